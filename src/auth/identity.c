#include "auth/identity_priv.h"

#include <stdlib.h>

#define WORDS_MAX 128u

/* ---- texts ---- */

static bool plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '%' && c != ',';
}

static void encode(struct hg_out *o, struct hg_str s)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (plain(c)) {
			hg_out_byte(o, (char)c);
			continue;
		}
		char three[3] = {'%', hex[c >> 4], hex[c & 15]};
		hg_out_str(o, (struct hg_str){three, 3});
	}
}

void auth_words_write(struct hg_out *o, struct auth_words w, char between)
{
	bool any = false;
	for (uint32_t i = 0; i < w.n; i++) {
		if (w.word[i].n == 0) continue;
		if (any) hg_out_byte(o, between);
		encode(o, w.word[i]);
		any = true;
	}
}

static struct auth_identity *make(struct hg_str issuer, struct hg_str user, struct auth_words roles,
        struct auth_words scopes, int64_t until_s)
{
	char text[IDENTITY_TEXT_MAX];
	struct hg_out o = hg_out_over(text, sizeof text);
	encode(&o, issuer);
	size_t issuer_n = o.n;
	if (issuer_n) hg_out_byte(&o, ' ');
	size_t user_at = o.n;
	encode(&o, user);
	size_t user_n = o.n - user_at, roles_at = o.n;
	auth_words_write(&o, roles, ',');
	size_t roles_n = o.n - roles_at, scopes_at = o.n;
	auth_words_write(&o, scopes, ' ');
	if (hg_out_failed(&o) || user_n == 0) return NULL;
	struct auth_identity *id = malloc(sizeof *id + o.n);
	if (!id) return NULL;
	char *to = (char *)(id + 1);
	memcpy(to, text, o.n);
	*id = (struct auth_identity){.refs = 1,
	        .until_s = until_s,
	        .issuer = {to, issuer_n},
	        .user = {to + user_at, user_n},
	        .name = {to, user_at + user_n},
	        .roles = {to + roles_at, roles_n},
	        .scopes = {to + scopes_at, o.n - scopes_at}};
	return id;
}

struct auth_identity *auth_identity_new(
        struct hg_str user, struct auth_words roles, struct auth_words scopes, int64_t until_s)
{
	return make((struct hg_str){NULL, 0}, user, roles, scopes, until_s);
}

struct auth_identity *auth_identity_ref(struct auth_identity *id)
{
	id->refs++;
	return id;
}

void auth_identity_unref(struct auth_identity *id)
{
	if (!id) return;
	HG_ASSERT(id->refs > 0);
	if (--id->refs == 0) free(id);
}

/* ---- claims ---- */

struct words {
	struct hg_str word[WORDS_MAX];
	uint32_t n;
	bool full;
};

static void word_add(struct words *w, struct hg_str s)
{
	if (s.n == 0) return;
	if (w->n == WORDS_MAX)
		w->full = true;
	else
		w->word[w->n++] = s;
}

static void text_split(struct words *w, struct hg_str text)
{
	size_t from = 0;
	for (size_t i = 0; i <= text.n; i++) {
		if (i < text.n && text.p[i] != ' ' && text.p[i] != ',') continue;
		word_add(w, (struct hg_str){text.p + from, i - from});
		from = i + 1;
	}
}

static void claim_words(const json_t *v, struct words *w)
{
	size_t i;
	json_t *one;
	if (json_is_string(v))
		text_split(w, (struct hg_str){json_string_value(v), json_string_length(v)});
	json_array_foreach(v, i, one)
	{
		if (json_is_string(one))
			word_add(w,
			        (struct hg_str){json_string_value(one), json_string_length(one)});
	}
}

struct auth_identity *auth_identity_of(
        const struct jwt_claims *claims, const struct auth_claimed *taken)
{
	struct words r = {.n = 0}, s = {.n = 0};
	struct hg_str who = claims->subject;
	if (taken->user.n) {
		const json_t *v = jwt_claim(claims, taken->user);
		who = (struct hg_str){json_string_value(v), json_string_length(v)};
	}
	if (taken->roles.n) claim_words(jwt_claim(claims, taken->roles), &r);
	const json_t *scope = json_object_get(claims->all, "scope");
	claim_words(scope ? scope : json_object_get(claims->all, "scp"), &s);
	/* Half of somebody's roles could be what a rule is about. */
	if (r.full || s.full) return NULL;
	return make(taken->issuer, who, (struct auth_words){r.word, r.n},
	        (struct auth_words){s.word, s.n}, claims->expires_s);
}

static bool among(struct hg_str list, char between, struct hg_str word)
{
	while (list.n) {
		if (hg_str_eq(hg_str_cut(&list, between), word)) return true;
	}
	return false;
}

bool auth_identity_role(const struct auth_identity *id, struct hg_str role)
{
	return among(id->roles, ',', role);
}

bool auth_identity_scope(const struct auth_identity *id, struct hg_str scope)
{
	return among(id->scopes, ' ', scope);
}

bool auth_identity_issuer(const struct auth_identity *id, struct hg_str issuers)
{
	return id->issuer.n && among(issuers, ',', id->issuer);
}
