#include "control/cert/identities_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/provider.h"
#include "os/file.h"
#include "wire/base64.h"

#define TEXT_MAX 65536u

static enum hg_rc nomem(struct hg_err *err)
{
	return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
}

static void secret_free(char *text)
{
	if (text) explicit_bzero(text, strlen(text));
	free(text);
}

void identity_one_free(struct identity_one *o)
{
	if (!o) return;
	identity_stop(o);
	json_decref(o->doc);
	secret_free(o->text);
	free(o->app);
	free(o->source);
	free(o->issuer);
	free(o);
}

void identities_plan_free(struct identities_plan *p)
{
	if (!p) return;
	for (uint32_t i = 0; i < p->count; i++)
		identity_one_free(p->one[i]);
	identity_one_free(p->rates_password);
	identity_one_free(p->rates_ca);
	json_decref(p->rates);
	free(p->one);
	free(p);
}

/* ---- documents ---- */

static json_t *str(struct hg_str s)
{
	return json_stringn(s.p ? s.p : "", s.n);
}

static json_t *strings(const struct hg_str *list, uint32_t n)
{
	json_t *to = json_array();
	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(to, str(list[i]));
	return to;
}

static bool address(struct hg_str s)
{
	return hg_str_starts(s, HG_STR("http://")) || hg_str_starts(s, HG_STR("https://"));
}

static json_t *jwt_document(const struct spec_identity_jwt *j)
{
	bool any = j->audience_count == 1 && hg_str_eq(j->audience[0], HG_STR("*"));
	json_t *to = json_object();
	json_object_set_new(to, "issuer", str(j->issuer));
	json_object_set_new(to, "audience", strings(j->audience, any ? 0 : j->audience_count));
	json_object_set_new(to, "algorithms", strings(j->algorithms, j->algorithm_count));
	json_object_set_new(to, "access_only", json_boolean(j->access_tokens_only));
	json_object_set_new(to, "header", str(j->header));
	json_object_set_new(to, "cookie", str(j->cookie));
	json_object_set_new(to, "user_claim", str(j->user_claim));
	json_object_set_new(to, "roles_claim", str(j->roles_claim));
	/* Who can serve an address can know what is behind it: no secrets from there. */
	json_object_set_new(to, "secrets", json_boolean(!address(j->jwks)));
	return to;
}

static json_t *keys_document(const struct spec_identity *id)
{
	json_t *to = json_array();
	for (uint32_t i = 0; i < id->key_count; i++) {
		const struct spec_identity_key *k = &id->keys[i];
		json_t *one = json_object();
		uint64_t until_s;
		json_object_set_new(one, "sha256", str(k->sha256));
		json_object_set_new(one, "user", str(k->user.n ? k->user : k->name));
		json_object_set_new(one, "roles", strings(k->roles, k->role_count));
		json_object_set_new(one, "scopes", strings(k->scopes, k->scope_count));
		if (k->expires.n && spec_day_end(k->expires, &until_s))
			json_object_set_new(one, "expires", json_integer((json_int_t)until_s));
		json_array_append_new(to, one);
	}
	return to;
}

/* `j`: of the issuer whose it is, NULL: of none. Of several only the first has the rest. */
static json_t *document(const struct spec_app *app, const struct spec_identity_jwt *j, bool first)
{
	const struct spec_identity *id = &app->identity;
	json_t *to = json_object();
	json_object_set_new(to, "app", str(app->name));
	if (j) json_object_set_new(to, "jwt", jwt_document(j));
	if (!first) return to;
	if (id->issuer_count > 0) json_object_set_new(to, "issuer_field", str(id->issuer_header));
	json_object_set_new(to, "user_field", str(id->user_header));
	json_object_set_new(to, "roles_field", str(id->roles_header));
	json_object_set_new(to, "scopes_field", str(id->scopes_header));
	json_object_set_new(to, "key_header", str(id->key_header));
	json_object_set_new(to, "keep", json_boolean(id->forward));
	json_object_set_new(to, "keys", keys_document(id));
	return to;
}

/* One line feed at its end is the editor's. */
static json_t *secret_value(const char *text)
{
	struct hg_buf b;
	struct hg_str s = hg_str(text);
	if (s.n && s.p[s.n - 1] == '\n') s.n--;
	if (s.n && s.p[s.n - 1] == '\r') s.n--;
	hg_buf_init(&b, 4 * TEXT_MAX);
	base64url_encode(&b, s);
	json_t *v = b.failed ? NULL : json_stringn(b.p ? b.p : "", b.n);
	if (b.p) explicit_bzero(b.p, b.n);
	hg_buf_free(&b);
	return v;
}

json_t *identity_document(const struct identity_one *o, const char *text)
{
	json_t *doc = json_deep_copy(o->doc), *jwt = json_object_get(doc, "jwt");
	if (!doc || !jwt || !text) return doc;
	const char *name = o->secret ? "secret" : strstr(text, "-----BEGIN ") ? "pem" : "jwks";
	json_t *value = o->secret ? secret_value(text) : json_string(text);
	if (value && json_object_set_new(jwt, name, value) == 0) return doc;
	json_decref(doc);
	return NULL;
}

enum hg_rc identity_text_check(struct identity_one *o, const char *text, struct hg_err *err)
{
	struct auth_providers *p = NULL;
	const char *why = "";
	json_t *one = identity_document(o, text);
	json_t *doc = one ? json_pack("{s:[o]}", "providers", one) : NULL;
	char *all = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	json_decref(doc);
	if (!all) return nomem(err);
	enum hg_rc rc = auth_providers_read(hg_str(all), NULL, &p, &why);
	secret_free(all);
	const struct auth_provider *is = rc == HG_OK ? p->one[0] : NULL;
	const struct jwt_keys *keys = is && is->issuer_count ? is->issuer[0].keys : NULL;
	if (is) o->keys = keys ? jwt_keys_count(keys) : 0;
	auth_providers_free(p);
	if (rc == HG_OK) return rc;
	if (rc == HG_E_NOMEM) return nomem(err);
	return hg_err_set(err, HG_E_KEY_FILE, "could not use \"%s\": %s",
	        o->source ? o->source : "identity", why);
}

/* Adds a provider; of several issuers of an app each adds itself to the first's. */
static bool provider_add(json_t *list, const struct identity_one *o)
{
	json_t *doc = identity_document(o, o->text), *to = doc;
	if (!doc) return false;
	if (!o->first) to = json_array_get(list, json_array_size(list) - 1);
	bool whole = true;
	if (o->issuer) {
		json_t *issuers = json_object_get(to, "issuers");
		if (!issuers) {
			issuers = json_array();
			whole = json_object_set_new(to, "issuers", issuers) == 0;
		}
		whole = whole && json_array_append(issuers, json_object_get(doc, "jwt")) == 0;
		json_object_del(doc, "jwt");
	}
	if (o->first) return json_array_append_new(list, doc) == 0 && whole;
	json_decref(doc);
	return whole;
}

struct hg_str identities_text(struct identities *d)
{
	if (!d || !d->now || (d->now->count == 0 && !d->now->rates))
		return (struct hg_str){NULL, 0};
	if (d->text) return hg_str(d->text);
	json_t *list = json_array();
	bool whole = list != NULL;
	for (uint32_t i = 0; i < d->now->count; i++)
		whole = whole && provider_add(list, d->now->one[i]);
	json_t *doc = json_pack("{s:o}", "providers", list);
	if (d->now->rates) whole = !json_object_set(doc, "rates", d->now->rates) && whole;
	d->text = doc && whole ? json_dumps(doc, JSON_COMPACT) : NULL;
	json_decref(doc);
	if (!d->text) hg_log(d->o.log, HG_ERROR, "identity.no_memory");
	return hg_str(d->text);
}

/* ---- plans ---- */

char *identity_absolute(const char *dir, struct hg_str path)
{
	char *to = NULL;
	bool whole = path.n && path.p[0] == '/';
	int n = asprintf(&to, "%s%s%.*s", whole ? "" : dir, whole ? "" : "/", HG_STR_ARG(path));
	return n < 0 ? NULL : to;
}

static const struct certs_given *given_find(const struct identity_finding *f, struct hg_str path)
{
	for (uint32_t i = 0; i < f->given_count; i++) {
		struct hg_str name = f->given[i].cert;
		if (!hg_str_starts(name, HG_STR("jwt:"))) continue;
		if (hg_str_eq((struct hg_str){name.p + 4, name.n - 4}, path)) return &f->given[i];
	}
	return NULL;
}

static enum hg_rc file_text(const char *path, char **ret_text, struct hg_err *err)
{
	struct hg_buf b = {0};
	enum hg_rc rc = file_read(path, TEXT_MAX, &b, err);
	if (rc == HG_OK) {
		const char *text = hg_buf_text(&b);
		if (strlen(text) != b.n || !hg_utf8_valid(hg_buf_view(&b)))
			rc = hg_err_set(
			        err, HG_E_KEY_FILE, "could not use \"%s\": it is no text", path);
		else if (!(*ret_text = strndup(text, b.n)))
			rc = nomem(err);
	}
	if (b.p) explicit_bzero(b.p, b.n);
	hg_buf_free(&b);
	return rc;
}

enum hg_rc identity_text_find(struct identity_one *o, struct hg_str path,
        const struct identity_finding *f, struct hg_err *err)
{
	const struct certs_given *g = o->url ? NULL : given_find(f, path);
	if (g) return (o->text = strndup(g->chain.p, g->chain.n)) ? HG_OK : nomem(err);
	if (!o->url) {
		enum hg_rc rc = file_text(o->source, &o->text, err);
		if (rc == HG_OK || rc == HG_E_NOMEM) return rc;
		o->text = identities_kept_find(f->data_dir, o->app, o->source);
		if (o->text) return HG_OK;
		if (rc == HG_E_KEY_FILE) return rc;
		char why[320];
		snprintf(why, sizeof why, "%s", err->message);
		return hg_err_set(err, HG_E_KEY_FILE, "%s", why);
	}
	o->text = identities_kept_find(f->data_dir, o->app, o->source);
	/* What a later version or a broken disk left is no reason not to start. */
	struct hg_err ignored = {0};
	if (o->text && identity_text_check(o, o->text, &ignored) < 0) {
		free(o->text);
		o->text = NULL;
	}
	return HG_OK;
}

/* `at`: which of the app's issuers; without a list there is one, or none. */
static enum hg_rc one_make(const struct spec *s, const struct spec_app *app, uint32_t at,
        const struct identity_finding *f, struct identity_one *o, struct hg_err *err)
{
	const struct spec_identity *id = &app->identity;
	bool several = id->issuer_count > 0;
	const struct spec_identity_jwt *j = several ? &id->issuers[at] : &id->jwt;
	struct hg_str path = j->jwks.n ? j->jwks : j->public_key.n ? j->public_key : j->secret_file;
	bool any = several || j->set;
	o->first = at == 0;
	o->app = strndup(app->name.p, app->name.n);
	o->doc = document(app, any ? j : NULL, o->first);
	if (several) o->issuer = strndup(j->issuer.p, j->issuer.n);
	if (!o->app || !o->doc || (several && !o->issuer)) return nomem(err);
	enum hg_rc rc = HG_OK;
	if (any) {
		o->url = j->jwks.n && address(path);
		o->secret = j->secret_file.n > 0;
		o->refresh_ms = (uint32_t)j->refresh_ms;
		o->refetch_ms = (uint32_t)j->refetch_ms;
		o->source = o->url ? strndup(path.p, path.n) : identity_absolute(f->dir, path);
		if (!o->source) return nomem(err);
		rc = identity_text_find(o, path, f, err);
	}
	if (rc == HG_OK) rc = identity_text_check(o, o->text, err);
	if (rc < 0 && rc != HG_E_NOMEM) spec_identity_place(s, app, j, err);
	return rc;
}

/* What an app's clients prove it with: one for each issuer, and one without any. */
static enum hg_rc app_make(struct identities *d, const struct spec *s, const struct spec_app *app,
        const struct identity_finding *f, struct identities_plan *p, struct hg_err *err)
{
	uint32_t n = HG_MAX(app->identity.issuer_count, 1u);
	enum hg_rc rc = HG_OK;
	for (uint32_t at = 0; at < n && rc == HG_OK; at++) {
		struct identity_one *o = calloc(1, sizeof *o);
		if (!o) return nomem(err);
		o->owner = d;
		p->one[p->count++] = o;
		rc = one_make(s, app, at, f, o, err);
	}
	return rc;
}

enum hg_rc identities_check(struct identities *d, const struct spec *s, const char *dir,
        const struct certs_given *given, uint32_t given_count, struct identities_plan **ret_plan,
        struct hg_err *err)
{
	struct identities_plan *p = calloc(1, sizeof *p);
	size_t most = 1;
	for (uint32_t i = 0; i < s->app_count; i++)
		most += 1 + s->apps[i].identity.issuer_count;
	if (p) p->one = calloc(most, sizeof(struct identity_one *));
	if (!p || !p->one) {
		identities_plan_free(p);
		return nomem(err);
	}
	struct identity_finding f = {dir, d->o.data_dir, given, given_count};
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < s->app_count && rc == HG_OK; i++) {
		if (s->apps[i].identity.set) rc = app_make(d, s, &s->apps[i], &f, p, err);
	}
	if (rc == HG_OK) rc = identities_rates_check(d, s, &f, p, err);
	if (rc == HG_OK)
		*ret_plan = p;
	else
		identities_plan_free(p);
	return rc;
}

enum hg_rc identities_keep(
        struct identities *d, const struct identities_plan *p, struct hg_err *err)
{
	return identities_kept_write(d->o.data_dir, p, err);
}

/* ---- life ---- */

/* An address that stays goes on where it was: a reload is no reason to ask an issuer again. */
static void carry(const struct identities_plan *was, struct identity_one *o)
{
	for (uint32_t i = 0; was && o->url && i < was->count; i++) {
		const struct identity_one *w = was->one[i];
		if (!w->url || strcmp(w->app, o->app) != 0 || strcmp(w->source, o->source) != 0)
			continue;
		o->fetched_ms = w->fetched_ms;
		o->tried_ms = w->tried_ms;
		o->unknown = w->unknown;
		o->fails = w->fails;
		o->failures = w->failures;
		o->due_ms = w->call ? 0 : w->due_ms;
		/* A full disk has kept nothing. */
		if (!o->text && w->text && (o->text = strdup(w->text))) o->keys = w->keys;
	}
}

void identities_apply(struct identities *d, struct identities_plan *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		carry(d->now, p->one[i]);
	identities_plan_free(d->now);
	d->now = p;
	secret_free(d->text);
	d->text = NULL;
	identities_tick_start(d);
}

enum hg_rc identities_new(
        const struct identities_options *o, struct identities **ret_identities, struct hg_err *err)
{
	struct identities *d = calloc(1, sizeof *d);
	if (!d) return nomem(err);
	d->o = *o;
	*ret_identities = d;
	return HG_OK;
}

void identities_free(struct identities *d)
{
	if (!d) return;
	loop_timer_stop(d->o.loop, &d->tick);
	identities_plan_free(d->now);
	secret_free(d->text);
	free(d);
}

bool identities_any(const struct identities *d)
{
	return d && d->now && (d->now->count || d->now->rates);
}

uint32_t identities_count(const struct identities *d)
{
	return d && d->now ? d->now->count : 0;
}

struct identities_view identities_at(const struct identities *d, uint32_t i)
{
	const struct identity_one *o = d->now->one[i];
	return (struct identities_view){
	        o->app, o->issuer, o->url, o->keys, o->fetched_ms, o->failures};
}
