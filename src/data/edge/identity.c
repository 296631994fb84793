/*
 * Who sends a request: a token or an API key is looked at once, before anything of the request goes
 * anywhere, so that retries, rescues and mirrored copies carry what was found and nothing is
 * checked twice. Nobody's word is taken for it: the fields that tell a replica are taken out of
 * every request of the app first, on routes without checks too.
 *
 * What is refused here is no replica's failure: it is answered before a release is drawn.
 */
#include <stdlib.h>

#include "cert/cert.h"
#include "data/edge/identity_priv.h"
#include "data/edge/together_priv.h"
#include "os/clock.h"

#define RETRY_S "Retry-After: 5\r\n"

/* ---- settings ---- */

/* Tells apps of their providers, after a new bundle or image. */
static void assign(struct edge *e)
{
	const struct edge_image *im = e->image;
	for (uint32_t i = 0; i < EDGE_APPS; i++)
		e->apps[i].provider = NULL;
	for (uint32_t i = 0; e->providers && im && i < im->snap->app_count; i++)
		e->apps[im->apps[i]].provider = auth_providers_find(
		        e->providers, snap_str(im->snap, snap_apps(im->snap)[i].name));
}

/* An app that is in no new bundle may be in the image that is still in force: what was said of it
 * counts until there is another one. */
static enum hg_rc leftovers_add(
        const struct auth_providers *old, struct auth_providers **p, uint32_t *ret_more)
{
	uint32_t more = 0;
	for (uint32_t i = 0; old && i < old->count; i++)
		more += auth_providers_find(*p, old->one[i]->app) == NULL;
	*ret_more = more;
	if (more == 0) return HG_OK;
	struct auth_providers *all =
	        realloc(*p, sizeof *all + ((size_t)(*p)->count + more) * sizeof all->one[0]);
	if (!all) return HG_E_NOMEM;
	*p = all;
	for (uint32_t i = 0, n = all->count; i < old->count; i++) {
		bool there = false;
		for (uint32_t k = 0; k < n && !there; k++)
			there = hg_str_eq(all->one[k]->app, old->one[i]->app);
		if (!there) all->one[all->count++] = auth_provider_ref(old->one[i]);
	}
	return HG_OK;
}

enum hg_rc edge_identity_take(struct edge *e, int fd, char why[TLS_WHY_MAX])
{
	struct auth_providers *fresh = NULL, *old = e->providers;
	const char *reason = "it is not a whole bundle";
	char *text = NULL;
	size_t n = 0;
	uint32_t more = 0;
	enum hg_rc rc = cert_bundle_identities(fd, &text, &n);
	if (rc == HG_OK) rc = auth_providers_read((struct hg_str){text, n}, old, &fresh, &reason);
	if (rc == HG_OK) rc = leftovers_add(old, &fresh, &more);
	if (rc == HG_OK) edge_together_take(e, (struct hg_str){text, n});
	if (text) explicit_bzero(text, n);
	free(text);
	if (rc < 0) {
		struct hg_out o = hg_out_over(why, TLS_WHY_MAX - 1);
		hg_out_cstr(&o, rc == HG_E_NOMEM ? "memory is exhausted" : reason);
		why[hg_out_failed(&o) ? 0 : o.n] = 0;
		auth_providers_free(fresh);
		return rc;
	}
	e->leftovers = more;
	e->providers = fresh;
	assign(e);
	auth_providers_free(old);
	return HG_OK;
}

static void leftovers_drop(struct edge *e)
{
	struct auth_providers *p = e->providers;
	while (p && e->leftovers > 0) {
		auth_provider_unref(p->one[--p->count]);
		e->leftovers--;
	}
}

void edge_identity_image(struct edge *e)
{
	leftovers_drop(e);
	assign(e);
}

void edge_identity_fini(struct edge *e)
{
	auth_providers_free(e->providers);
	e->providers = NULL;
}

/* ---- what was sent ---- */

/* Where a proof was found. */
struct shown {
	struct hg_str token, key;  /* n 0: none */
	struct http1_field *field; /* that it was in, NULL: a cookie */
	bool twice;                /* there is more than one, and which counts nobody knows */
};

static void shown_add(
        struct shown *s, struct hg_str *to, struct hg_str value, struct http1_field *field)
{
	if (s->token.n || s->key.n) s->twice = true;
	*to = value;
	s->field = field;
}

/* "Bearer x", any case, one space or more; empty: it is of another kind. */
static struct hg_str bearer(struct hg_str value)
{
	struct hg_str rest = value, scheme = hg_str_cut(&rest, ' ');
	if (!hg_str_eq_nocase(scheme, HG_STR("Bearer"))) return (struct hg_str){NULL, 0};
	return hg_str_trim(rest);
}

static void authorization_look(
        const struct auth_provider *p, struct http1_field *f, struct shown *s)
{
	struct hg_str value = bearer(f->value);
	bool here = p->issuer_count && hg_str_eq_nocase(p->header, HG_STR("Authorization"));
	if (value.n == 0) return;
	if (p->apikey_count && apikey_well_formed(value))
		shown_add(s, &s->key, value, f);
	else if (here)
		shown_add(s, &s->token, value, f);
	else if (p->apikey_count)
		shown_add(s, &s->key, value, f);
}

static void field_look(const struct auth_provider *p, struct http1_field *f, struct shown *s)
{
	if (f->id == HTTP1_F_AUTHORIZATION) {
		authorization_look(p, f, s);
		return;
	}
	if (f->id != HTTP1_F_OTHER) return;
	if (p->apikey_count && p->key_header.n && hg_str_eq_nocase(f->name, p->key_header))
		shown_add(s, &s->key, f->value, f);
	else if (p->issuer_count && p->header.n && hg_str_eq_nocase(f->name, p->header) &&
	         f->value.n)
		shown_add(s, &s->token, f->value, f);
}

/* Fields first; a cookie only where no field says anything. */
static struct shown shown_of(const struct auth_provider *p, struct http1_head *h)
{
	struct shown s = {.field = NULL};
	struct hg_str value;
	for (uint16_t i = 0; i < h->field_count; i++)
		field_look(p, &h->field[i], &s);
	if (s.token.n || s.key.n || !p->issuer_count || !p->cookie.n) return s;
	struct edge_cookies it = edge_cookies_of(h);
	while (edge_cookies_next(&it, p->cookie, &value))
		if (value.n) shown_add(&s, &s.token, value, NULL);
	return s;
}

/* Names that only the edge may use, in whatever case, with "_" or "-". */
static void fields_strip(const struct auth_provider *p, struct http1_head *h)
{
	for (uint16_t i = 0; i < h->field_count; i++) {
		struct http1_field *f = &h->field[i];
		if (f->id == HTTP1_F_OTHER && auth_provider_claims(p, f->name)) f->hop = true;
	}
}

/* Browsers send cookies along with what other sites ask for. They say so (Fetch Metadata), the old
 * ones by Origin; who is no browser sends neither. */
static bool cross_site(const struct http1_head *h)
{
	const struct http1_field *site = http1_find_name(h, HG_STR("Sec-Fetch-Site"));
	const struct http1_field *origin = http1_find(h, HTTP1_F_ORIGIN);
	if (site) return hg_str_eq_nocase(site->value, HG_STR("cross-site"));
	if (!origin) return false;
	struct hg_str o = origin->value;
	size_t at = hg_str_find(o, ':');
	if (at + 3 >= o.n) return true; /* "null" */
	return !hg_str_eq_nocase((struct hg_str){o.p + at + 3, o.n - at - 3}, h->authority);
}

static bool changes(enum http1_method m)
{
	return m != HTTP1_GET && m != HTTP1_HEAD && m != HTTP1_OPTIONS;
}

/* What a browser asks before it asks: it brings no proof with it, and changes nothing. */
static bool preflight(const struct edge_req *r, const struct http1_head *h)
{
	return r->method == HTTP1_OPTIONS && http1_find(h, HTTP1_F_ORIGIN) &&
	       http1_find_name(h, HG_STR("Access-Control-Request-Method"));
}

/* ---- answers ---- */

struct refusal {
	unsigned status;
	enum meter_denial reason;
	const char *why;   /* static */
	const char *error; /* of RFC 6750 section 3.1, NULL: none */
	struct hg_str scopes;
};

static struct meter_app *counted(struct edge_conn *c)
{
	return meter_app_take(c->edge->count, c->req->app->id);
}

static void challenge_write(const struct edge_req *r, const struct refusal *f, struct hg_out *o)
{
	const struct snap_image *im = r->image->snap;
	hg_out_cstr(o, "WWW-Authenticate: Bearer realm=\"");
	hg_out_str(o, snap_str(im, r->limits->name));
	hg_out_cstr(o, "\"");
	if (f->error) {
		hg_out_cstr(o, ", error=\"");
		hg_out_cstr(o, f->error);
		hg_out_cstr(o, "\", error_description=\"");
		hg_out_cstr(o, f->why);
		hg_out_cstr(o, "\"");
	}
	struct hg_str rest = f->scopes;
	if (rest.n) hg_out_cstr(o, ", scope=\"");
	while (rest.n) {
		hg_out_str(o, hg_str_cut(&rest, ','));
		hg_out_cstr(o, rest.n ? " " : "\"");
	}
	hg_out_cstr(o, "\r\n");
}

static enum edge_step refuse(struct edge_conn *c, struct hg_str path, const struct refusal *f)
{
	struct edge_req *r = c->req;
	struct meter_app *m = counted(c);
	char line[1024];
	struct hg_out o = hg_out_over(line, sizeof line);
	if (m) meter_add(&m->denied[f->reason], 1);
	if (f->status != 400 && f->status != 503) challenge_write(r, f, &o);
	if (hg_out_failed(&o)) o.n = 0;
	/* He has proved nothing, so his address has made this request. */
	if (f->status == 401 && r->route->limit_count) {
		const struct edge_after then = {401, f->why, {line, o.n}};
		enum edge_step s = edge_limit_then(c, &c->edge->head, path, &then);
		if (s != EDGE_STEP_ON || r->local) return s;
	}
	r->denied = true;
	if (f->status == 503) return edge_answer_with(c, 503, f->why, HG_STR(RETRY_S));
	return edge_answer_with(c, f->status, f->why, (struct hg_str){line, o.n});
}

static enum meter_denial reason_of(enum auth_proof proof, enum jwt_verdict v)
{
	static const uint8_t tokens[JWT_VERDICTS] = {
	        [JWT_MALFORMED] = METER_DENIED_MALFORMED,
	        [JWT_TOO_LARGE] = METER_DENIED_TOO_LARGE,
	        [JWT_ALGORITHM] = METER_DENIED_ALGORITHM,
	        [JWT_UNKNOWN] = METER_DENIED_UNKNOWN_KEY,
	        [JWT_SIGNATURE] = METER_DENIED_SIGNATURE,
	        [JWT_EXPIRED] = METER_DENIED_EXPIRED,
	        [JWT_NOT_YET] = METER_DENIED_NOT_YET,
	        [JWT_ISSUER] = METER_DENIED_ISSUER,
	        [JWT_AUDIENCE] = METER_DENIED_AUDIENCE,
	        [JWT_TYPE] = METER_DENIED_TYPE,
	        [JWT_NOMEM] = METER_DENIED_UNAVAILABLE,
	};
	switch (proof) {
	case AUTH_TOKEN: return (enum meter_denial)tokens[v];
	case AUTH_NAMELESS: return METER_DENIED_NAMELESS;
	case AUTH_KEY_FORM:
	case AUTH_KEY: return METER_DENIED_API_KEY;
	case AUTH_KEY_OVER: return METER_DENIED_API_KEY_EXPIRED;
	default: return METER_DENIED_UNAVAILABLE;
	}
}

/* ---- the request ---- */

static void prove(struct edge_conn *c, struct auth_provider *p, const struct shown *s,
        struct refusal *ret_refusal)
{
	struct edge_req *r = c->req;
	struct auth_proved proved;
	struct meter_app *m = counted(c);
	int64_t now_s = (int64_t)(clock_wall_ms() / 1000);
	enum auth_proof proof = s->key.n ? auth_provider_key(p, s->key, now_s, &proved)
	                                 : auth_provider_token(p, s->token, now_s, &proved);
	if (proof != AUTH_PROVED) {
		enum meter_denial reason = reason_of(proof, proved.verdict);
		*ret_refusal =
		        (struct refusal){.status = reason == METER_DENIED_UNAVAILABLE ? 503 : 401,
		                .reason = reason,
		                .why = auth_proof_text(proof, proved.verdict),
		                .error = "invalid_token"};
		return;
	}
	r->who = proved.id;
	r->who_key = proved.key;
	if (s->field && !p->keep) s->field->hop = true;
	if (m)
		meter_add(s->key.n      ? &m->identity_keys
		          : proved.seen ? &m->identity_seen
		                        : &m->identity_verified,
		        1);
}

static enum edge_step decide(struct edge_conn *c, struct hg_str path, const struct auth_found *rule)
{
	struct refusal f = {.status = 403, .error = "insufficient_scope"};
	switch (auth_decide(rule, c->req->who)) {
	case AUTH_PASS: return EDGE_STEP_ON;
	case AUTH_WHO:
		f.status = 401;
		f.error = NULL;
		f.reason = METER_DENIED_NOBODY;
		f.why = "this route wants to know who you are";
		break;
	case AUTH_ROLE:
		f.reason = METER_DENIED_ROLE;
		f.why = "none of your roles may do this";
		break;
	case AUTH_SCOPE:
		f.reason = METER_DENIED_SCOPE;
		f.why = "your token or key was not given for this";
		f.scopes = rule->scopes;
		break;
	case AUTH_ISSUER:
		f.status = 401;
		f.error = "invalid_token";
		f.reason = METER_DENIED_ISSUER;
		f.why = "tokens of your issuer are not taken here";
		break;
	}
	return refuse(c, path, &f);
}

enum edge_step edge_identity(struct edge_conn *c, struct hg_str path)
{
	struct edge_req *r = c->req;
	struct http1_head *h = &c->edge->head;
	struct auth_provider *p = r->app->provider;
	struct auth_found rule = {.require = AUTH_REQUIRED};
	struct refusal f = {.status = 503,
	        .reason = METER_DENIED_UNAVAILABLE,
	        .why = "who may use this is not known yet"};
	struct hg_str rules = snap_str(r->image->snap, r->route->rules);
	if (HG_UNLIKELY(!p)) return refuse(c, path, &f);
	fields_strip(p, h);
	if (!auth_rules_find(rules, 1u << r->method, &rule)) return refuse(c, path, &f);
	if (rule.require == AUTH_OFF || preflight(r, h)) return EDGE_STEP_ON;
	struct shown s = shown_of(p, h);
	if (s.twice) {
		f = (struct refusal){.status = 400,
		        .reason = METER_DENIED_AMBIGUOUS,
		        .why = "there is more than one token or key"};
		return refuse(c, path, &f);
	}
	if (s.token.n && !s.field && changes(r->method) && cross_site(h)) {
		f = (struct refusal){.status = 403,
		        .reason = METER_DENIED_CROSS_SITE,
		        .why = "another site sends this request"};
		return refuse(c, path, &f);
	}
	f.status = 0;
	if (s.token.n || s.key.n) prove(c, p, &s, &f);
	if (f.status) return refuse(c, path, &f);
	return decide(c, path, &rule);
}

static void line(struct hg_out *o, struct hg_str name, struct hg_str value)
{
	if (name.n == 0 || value.n == 0) return;
	hg_out_str(o, name);
	hg_out_str(o, HG_STR(": "));
	hg_out_str(o, value);
	hg_out_str(o, HG_STR("\r\n"));
}

void edge_identity_fields(const struct edge_req *r, struct hg_out *o)
{
	const struct auth_provider *p = r->app->provider;
	HG_ASSERT(p);
	line(o, p->field[0], r->who->user);
	line(o, p->field[1], r->who->roles);
	line(o, p->field[2], r->who->scopes);
	line(o, p->field[3], r->who->issuer);
}

void edge_identity_drop(struct edge_req *r)
{
	auth_identity_unref(r->who);
	r->who = NULL;
}
