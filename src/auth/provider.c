#include "auth/provider.h"

#include <stdlib.h>

#include "auth/jwks.h"
#include "wire/base64.h"

/* ---- life ---- */

struct auth_provider *auth_provider_ref(struct auth_provider *p)
{
	p->refs++;
	return p;
}

void auth_provider_unref(struct auth_provider *p)
{
	if (!p) return;
	HG_ASSERT(p->refs > 0);
	if (--p->refs > 0) return;
	for (uint32_t i = 0; i < p->apikey_count; i++)
		auth_identity_unref(p->apikey[i].id);
	free(p->apikey);
	auth_seen_free(p->seen);
	for (uint32_t i = 0; i < p->issuer_count; i++)
		jwt_keys_free(p->issuer[i].keys);
	free(p->issuer);
	json_decref(p->doc);
	if (p->source) explicit_bzero(p->source, strlen(p->source));
	free(p->source);
	free(p);
}

void auth_providers_free(struct auth_providers *p)
{
	for (uint32_t i = 0; p && i < p->count; i++)
		auth_provider_unref(p->one[i]);
	free(p);
}

struct auth_provider *auth_providers_find(const struct auth_providers *p, struct hg_str app)
{
	for (uint32_t i = 0; p && i < p->count; i++)
		if (hg_str_eq(p->one[i]->app, app)) return p->one[i];
	return NULL;
}

/* ---- reading ---- */

static struct hg_str text_of(const json_t *v)
{
	if (!json_is_string(v)) return (struct hg_str){NULL, 0};
	return (struct hg_str){json_string_value(v), json_string_length(v)};
}

static struct hg_str member(const json_t *o, const char *name)
{
	return text_of(json_object_get(o, name));
}

static enum hg_rc bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return HG_E_INVALID;
}

/* At most `cap` texts of a list. */
static uint32_t texts(const json_t *list, struct hg_str *to, uint32_t cap)
{
	uint32_t n = 0;
	size_t i;
	json_t *one;
	json_array_foreach(list, i, one)
	{
		if (n < cap && json_is_string(one)) to[n++] = text_of(one);
	}
	return n;
}

static enum hg_rc secret_take(struct auth_issuer *p, struct hg_str text, const char **ret_why)
{
	struct hg_buf b;
	enum hg_rc rc;
	hg_buf_init(&b, JWT_HMAC_KEY_MAX + 1);
	if (base64url_decode(&b, text) && !b.failed)
		rc = jwt_keys_secret(p->keys, (struct hg_str){NULL, 0}, hg_buf_view(&b), ret_why);
	else
		rc = bad(ret_why, "its secret is too long, or not base64url");
	if (b.p) explicit_bzero(b.p, b.n);
	hg_buf_free(&b);
	return rc;
}

/* One of secret, PEM and set; none of them: the set is not known yet. */
static enum hg_rc keys_take(struct auth_issuer *p, const json_t *jwt, const char **ret_why)
{
	struct hg_str secret = member(jwt, "secret"), pem = member(jwt, "pem");
	struct hg_str set = member(jwt, "jwks");
	struct jwks_report report;
	if (!secret.n && !pem.n && !set.n) return HG_OK;
	enum hg_rc rc = jwt_keys_new(&p->keys);
	if (rc < 0) return rc;
	if (secret.n) return secret_take(p, secret, ret_why);
	if (pem.n) return jwt_keys_pem(p->keys, (struct hg_str){NULL, 0}, pem, ret_why);
	rc = jwks_read(set, json_is_true(json_object_get(jwt, "secrets")), p->keys, &report);
	*ret_why = report.why;
	return rc;
}

static enum hg_rc issuer_take(struct auth_issuer *p, const json_t *jwt, const char **ret_why)
{
	struct hg_str name[JWT_ALGS];
	p->user_claim = member(jwt, "user_claim");
	p->roles_claim = member(jwt, "roles_claim");
	uint32_t n = texts(json_object_get(jwt, "algorithms"), name, JWT_ALGS);
	for (uint32_t i = 0; i < n; i++) {
		enum jwt_alg alg = jwt_alg_of(name[i]);
		if (alg == JWT_ALGS) return bad(ret_why, "an algorithm is not known");
		p->policy.algorithms |= JWT_BIT(alg);
	}
	p->policy.issuer = member(jwt, "issuer");
	p->policy.audience = p->audience;
	p->policy.audience_count =
	        texts(json_object_get(jwt, "audience"), p->audience, AUTH_AUDIENCES_MAX);
	p->policy.skew_s = JWT_SKEW_S;
	p->policy.access_only = json_is_true(json_object_get(jwt, "access_only"));
	if (!p->policy.issuer.n) return bad(ret_why, "it has no issuer");
	return keys_take(p, jwt, ret_why);
}

/* "jwt", or "issuers": where tokens stand, the first says for all. */
static enum hg_rc issuers_take(struct auth_provider *p, const char **ret_why)
{
	const json_t *list = json_object_get(p->doc, "issuers");
	const json_t *jwt = json_object_get(p->doc, "jwt");
	bool one = json_is_object(jwt);
	size_t n = one ? 1 : json_array_size(list);
	enum hg_rc rc = HG_OK;
	if (n > AUTH_ISSUERS_MAX) return bad(ret_why, "it has too many issuers");
	if (n == 0) return HG_OK;
	p->issuer = calloc(n, sizeof *p->issuer);
	if (!p->issuer) return HG_E_NOMEM;
	if (!one) jwt = json_array_get(list, 0);
	p->header = member(jwt, "header");
	p->cookie = member(jwt, "cookie");
	for (size_t i = 0; i < n && rc == HG_OK; i++) {
		p->issuer_count++;
		rc = issuer_take(&p->issuer[i], one ? jwt : json_array_get(list, i), ret_why);
		for (size_t k = 0; k < i && rc == HG_OK; k++)
			if (hg_str_eq(p->issuer[k].policy.issuer, p->issuer[i].policy.issuer))
				rc = bad(ret_why, "an issuer is there twice");
	}
	return rc;
}

#define WORDS_MAX 64u

static enum hg_rc apikey_take(struct auth_apikey *to, const json_t *o, const char **ret_why)
{
	struct hg_str role[WORDS_MAX], scope[WORDS_MAX];
	const json_t *until = json_object_get(o, "expires");
	uint32_t roles = texts(json_object_get(o, "roles"), role, WORDS_MAX);
	uint32_t scopes = texts(json_object_get(o, "scopes"), scope, WORDS_MAX);
	if (!apikey_hash_read(member(o, "sha256"), to->hash))
		return bad(ret_why, "the SHA-256 of a key is not 64 hexadecimal digits");
	to->until_s = json_is_integer(until) ? json_integer_value(until) : INT64_MAX;
	to->id = auth_identity_new(member(o, "user"), (struct auth_words){role, roles},
	        (struct auth_words){scope, scopes}, to->until_s);
	return to->id ? HG_OK : bad(ret_why, "a key has no user, or too many roles");
}

static int by_hash(const void *a, const void *b)
{
	const struct auth_apikey *x = a, *y = b;
	return memcmp(x->hash, y->hash, APIKEY_HASH);
}

static enum hg_rc apikeys_take(struct auth_provider *p, const json_t *list, const char **ret_why)
{
	size_t n = json_array_size(list);
	enum hg_rc rc = HG_OK;
	if (n > AUTH_APIKEYS_MAX) return bad(ret_why, "it has too many keys");
	if (n == 0) return HG_OK;
	p->apikey = calloc(n, sizeof *p->apikey);
	if (!p->apikey) return HG_E_NOMEM;
	for (size_t i = 0; i < n && rc == HG_OK; i++) {
		rc = apikey_take(&p->apikey[i], json_array_get(list, i), ret_why);
		if (rc == HG_OK) p->apikey_count++;
	}
	if (rc == HG_OK) qsort(p->apikey, n, sizeof *p->apikey, by_hash);
	return rc;
}

/* Takes a reference of `doc`. */
static enum hg_rc provider_read(
        json_t *doc, struct auth_provider **ret_provider, const char **ret_why)
{
	static const char *const fields[AUTH_FIELDS] = {
	        "user_field", "roles_field", "scopes_field", "issuer_field"};
	struct auth_provider *p = calloc(1, sizeof *p);
	if (!p) return HG_E_NOMEM;
	p->refs = 1;
	p->doc = json_incref(doc);
	p->source = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
	p->app = member(doc, "app");
	p->key_header = member(doc, "key_header");
	p->keep = json_is_true(json_object_get(doc, "keep"));
	for (int i = 0; i < AUTH_FIELDS; i++)
		p->field[i] = member(doc, fields[i]);
	enum hg_rc rc = !p->source  ? HG_E_NOMEM
	                : !p->app.n ? bad(ret_why, "a provider names no app")
	                            : HG_OK;
	if (rc == HG_OK) rc = issuers_take(p, ret_why);
	if (rc == HG_OK) rc = apikeys_take(p, json_object_get(doc, "keys"), ret_why);
	if (rc == HG_OK)
		*ret_provider = p;
	else
		auth_provider_unref(p);
	return rc;
}

/* The one of before, if nothing has changed. */
static enum hg_rc provider_take(json_t *doc, const struct auth_providers *old,
        struct auth_provider **ret_provider, const char **ret_why)
{
	struct auth_provider *was = auth_providers_find(old, member(doc, "app"));
	char *source = was ? json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	bool same = source && strcmp(source, was->source) == 0;
	if (source) explicit_bzero(source, strlen(source));
	free(source);
	if (!same) return provider_read(doc, ret_provider, ret_why);
	*ret_provider = auth_provider_ref(was);
	return HG_OK;
}

enum hg_rc auth_providers_read(struct hg_str text, const struct auth_providers *old,
        struct auth_providers **ret_providers, const char **ret_why)
{
	json_error_t err;
	enum hg_rc rc = HG_OK;
	*ret_why = "";
	if (text.n > AUTH_DOC_MAX) return bad(ret_why, "it is too large");
	json_t *doc = text.n ? json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &err) : NULL;
	if (text.n && !doc) return bad(ret_why, "it is no JSON");
	const json_t *list = json_object_get(doc, "providers");
	size_t n = json_array_size(list);
	struct auth_providers *p =
	        n <= AUTH_PROVIDERS_MAX ? calloc(1, sizeof *p + (n + 1) * sizeof p->one[0]) : NULL;
	if (!p) rc = n > AUTH_PROVIDERS_MAX ? bad(ret_why, "it has too many") : HG_E_NOMEM;
	for (size_t i = 0; i < n && rc == HG_OK; i++) {
		rc = provider_take(json_array_get(list, i), old, &p->one[p->count], ret_why);
		if (rc == HG_OK) p->count++;
	}
	json_decref(doc);
	if (rc == HG_OK)
		*ret_providers = p;
	else
		auth_providers_free(p);
	return rc;
}

/* ---- asking ---- */

static enum auth_proof found(struct auth_proved *to, struct auth_identity *id)
{
	to->id = auth_identity_ref(id);
	return AUTH_PROVED;
}

/* Whose token it says that it is; NULL: nobody's of ours, or it is none. */
static const struct auth_issuer *issuer_of(
        const struct auth_provider *p, struct hg_str token, enum jwt_verdict *ret_verdict)
{
	char room[JWT_ISSUER_MAX];
	struct hg_str name;
	*ret_verdict = JWT_GOOD;
	if (p->issuer_count == 1) return &p->issuer[0];
	*ret_verdict = jwt_issuer_named(token, room, &name);
	if (*ret_verdict != JWT_GOOD) return NULL;
	for (uint32_t i = 0; i < p->issuer_count; i++)
		if (hg_str_eq(p->issuer[i].policy.issuer, name)) return &p->issuer[i];
	*ret_verdict = JWT_ISSUER;
	return NULL;
}

/* Verified, and who it is. */
static enum auth_proof verify(const struct auth_provider *p, struct hg_str token, int64_t now_s,
        struct auth_proved *proved)
{
	struct jwt_claims claims;
	const struct auth_issuer *by = issuer_of(p, token, &proved->verdict);
	if (!by) return AUTH_TOKEN;
	if (!by->keys) return AUTH_KEYLESS;
	proved->verdict = jwt_verify(by->keys, &by->policy, token, now_s, &claims);
	if (proved->verdict != JWT_GOOD) return AUTH_TOKEN;
	struct auth_claimed taken = {.user = by->user_claim, .roles = by->roles_claim};
	if (p->issuer_count > 1) taken.issuer = by->policy.issuer;
	proved->id = auth_identity_of(&claims, &taken);
	jwt_claims_fini(&claims);
	return proved->id ? AUTH_PROVED : AUTH_NAMELESS;
}

enum auth_proof auth_provider_token(
        struct auth_provider *p, struct hg_str token, int64_t now_s, struct auth_proved *ret_proved)
{
	uint8_t digest[AUTH_DIGEST];
	*ret_proved = (struct auth_proved){.verdict = JWT_GOOD};
	if (p->issuer_count == 0) return AUTH_KEYLESS;
	/* Without memory for remembering it is verified each time. */
	if (!p->seen && auth_seen_new(AUTH_SEEN, &p->seen) < 0) p->seen = NULL;
	bool hashed =
	        p->seen && token.n <= JWT_SIZE_MAX && auth_seen_digest(p->seen, token, digest);
	struct auth_identity *id = hashed ? auth_seen_find(p->seen, digest, now_s) : NULL;
	if (id) {
		ret_proved->seen = true;
		return found(ret_proved, id);
	}
	enum auth_proof proof = verify(p, token, now_s, ret_proved);
	if (proof == AUTH_PROVED && hashed) auth_seen_put(p->seen, digest, ret_proved->id);
	return proof;
}

/* Hashes of 256 random bits: what comparing them takes tells nobody a key. */
static const struct auth_apikey *apikey_find(
        const struct auth_provider *p, const uint8_t hash[APIKEY_HASH])
{
	uint32_t low = 0, high = p->apikey_count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (memcmp(p->apikey[mid].hash, hash, APIKEY_HASH) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	bool there = low < p->apikey_count && apikey_same(p->apikey[low].hash, hash);
	return there ? &p->apikey[low] : NULL;
}

enum auth_proof auth_provider_key(
        struct auth_provider *p, struct hg_str key, int64_t now_s, struct auth_proved *ret_proved)
{
	uint8_t hash[APIKEY_HASH];
	*ret_proved = (struct auth_proved){.verdict = JWT_GOOD};
	if (!apikey_well_formed(key)) return AUTH_KEY_FORM;
	if (!apikey_hash(key, hash)) return AUTH_KEY;
	const struct auth_apikey *k = apikey_find(p, hash);
	if (!k) return AUTH_KEY;
	if (now_s >= k->until_s) return AUTH_KEY_OVER;
	memcpy(&ret_proved->key, k->hash, sizeof ret_proved->key);
	ret_proved->key |= 1;
	return found(ret_proved, k->id);
}

const char *auth_proof_text(enum auth_proof proof, enum jwt_verdict verdict)
{
	switch (proof) {
	case AUTH_PROVED: return "it is good";
	case AUTH_KEYLESS: return "the keys that tokens are checked with are not known yet";
	case AUTH_TOKEN: return jwt_verdict_text(verdict);
	case AUTH_NAMELESS: return "the token does not say whose it is, or too much";
	case AUTH_KEY_FORM: return "this is no API key";
	case AUTH_KEY: return "this API key is not known";
	case AUTH_KEY_OVER: return "this API key has expired";
	case AUTH_PROOFS: break;
	}
	return "it is not good";
}

bool auth_provider_claims(const struct auth_provider *p, struct hg_str name)
{
	for (int k = 0; k < AUTH_FIELDS; k++) {
		struct hg_str f = p->field[k];
		size_t i = 0;
		if (f.n == 0 || f.n != name.n) continue;
		while (i < f.n) {
			char a = f.p[i], b = name.p[i] == '_' ? '-' : name.p[i];
			if (a == '_') a = '-';
			if (a >= 'A' && a <= 'Z') a = (char)(a | 0x20);
			if (b >= 'A' && b <= 'Z') b = (char)(b | 0x20);
			if (a != b) break;
			i++;
		}
		if (i == f.n) return true;
	}
	return false;
}
