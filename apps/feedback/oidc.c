#include "apps/feedback/people_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/jwks.h"
#include "fetch/fetch.h"
#include "os/clock.h"
#include "wire/base64.h"
#include "wire/url.h"

#define FETCH_MS   5000u
#define EVERY_MS   3600000u
#define UNKNOWN_MS 300000u
#define PAUSE_MS   2000u
#define URL_MAX    512u

struct oidc {
	struct people *people;
	const struct config *config;
	struct loop *loop;
	struct fetch *fetch;
	struct fetch_call *call; /* of discovery, or of the keys */
	struct loop_timer again;
	struct hg_list exchanges;
	char authorize[URL_MAX], token[URL_MAX], jwks[URL_MAX];
	bool known;       /* the three above */
	bool says_issuer; /* its responses have `iss` */
	struct jwt_keys *keys;
	uint64_t unknown_ms;
	uint32_t pause_ms;
};

struct oidc_exchange {
	struct hg_list node;
	struct oidc *oidc;
	struct fetch_call *call;
	void (*done)(void *arg, const struct oidc_person *person, const char *why);
	void *arg;
	char nonce[OIDC_TEXT + 1];
	char *id_token; /* while the keys are read again for it */
};

static void text_of(
        const struct people *p, const char *label, struct hg_str seed, char ret_text[OIDC_TEXT + 1])
{
	unsigned char mac[JWS_DIGEST];
	struct hg_buf b;
	people_mac(p, label, seed, mac);
	hg_buf_init(&b, 64);
	base64url_encode(&b, (struct hg_str){(const char *)mac, sizeof mac});
	(void)hg_str_copy(hg_buf_view(&b), ret_text, OIDC_TEXT + 1);
	hg_buf_free(&b);
}

void oidc_flow_of(const struct people *p, struct hg_str seed, struct oidc_flow *ret_flow)
{
	unsigned char hash[JWS_DIGEST] = {0};
	struct hg_buf b;
	text_of(p, "oidc state", seed, ret_flow->state);
	text_of(p, "oidc nonce", seed, ret_flow->nonce);
	text_of(p, "oidc verifier", seed, ret_flow->verifier);
	(void)!jws_sha256(hg_str(ret_flow->verifier), hash); /* S256, RFC 7636 section 4.2 */
	hg_buf_init(&b, 64);
	base64url_encode(&b, (struct hg_str){(const char *)hash, sizeof hash});
	(void)hg_str_copy(hg_buf_view(&b), ret_flow->challenge, sizeof ret_flow->challenge);
	hg_buf_free(&b);
}

const char *oidc_name(const struct oidc *o)
{
	return o->config->oidc_name;
}

static void pair(struct hg_buf *to, char before, const char *name, struct hg_str value)
{
	hg_buf_byte(to, before);
	hg_buf_cstr(to, name);
	hg_buf_byte(to, '=');
	url_encode(to, value, "");
}

bool oidc_start(struct oidc *o, const struct oidc_flow *f, struct hg_buf *to)
{
	const struct config *c = o->config;
	if (!o->known || !o->keys) return false;
	hg_buf_cstr(to, o->authorize);
	pair(to, strchr(o->authorize, '?') ? '&' : '?', "response_type", HG_STR("code"));
	pair(to, '&', "client_id", hg_str(c->oidc_client));
	pair(to, '&', "redirect_uri", hg_str(c->oidc_redirect));
	pair(to, '&', "scope", hg_str(c->oidc_scope));
	pair(to, '&', "state", hg_str(f->state));
	pair(to, '&', "nonce", hg_str(f->nonce));
	pair(to, '&', "code_challenge", hg_str(f->challenge));
	pair(to, '&', "code_challenge_method", HG_STR("S256"));
	return !to->failed;
}

bool oidc_is_issuer(const struct oidc *o, struct hg_str iss)
{
	return iss.n ? hg_str_eq(iss, hg_str(o->config->oidc_issuer)) : !o->says_issuer;
}

/* ---- what the provider publishes ---- */

static void discover(struct oidc *o);

static void on_again(struct loop *l, struct loop_timer *t)
{
	(void)l;
	discover(HG_CONTAINER(t, struct oidc, again));
}

static void later(struct oidc *o, const char *why)
{
	o->pause_ms = why ? HG_MIN(HG_MAX(o->pause_ms * 2, PAUSE_MS), UNKNOWN_MS) : 0;
	if (why)
		jsonlog(o->people->app->log, HG_WARN, "feedback.people",
		        "the provider of sign-ins could not be read",
		        HG_S("issuer", o->config->oidc_issuer), HG_S("reason", why));
	(void)!loop_timer_start(o->loop, &o->again, why ? o->pause_ms : EVERY_MS, on_again);
}

/* Codes and tokens go there: never in the clear, but to this machine. */
static bool is_safe(struct hg_str url)
{
	struct hg_str plain = HG_STR("http://");
	if (hg_str_starts(url, HG_STR("https://"))) return true;
	if (!hg_str_starts(url, plain)) return false;
	struct hg_str rest = {url.p + plain.n, url.n - plain.n};
	return access_is_loopback(hg_str_cut(&rest, '/'));
}

static bool take_url(const json_t *doc, const char *name, char to[URL_MAX])
{
	const json_t *v = json_object_get(doc, name);
	struct hg_str url = {json_string_value(v), json_string_length(v)};
	return json_is_string(v) && !memchr(url.p, 0, url.n) && is_safe(url) &&
	       hg_str_copy(url, to, URL_MAX);
}

static const char *take_discovery(struct oidc *o, struct hg_str body)
{
	json_error_t where;
	json_t *doc = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &where);
	const char *issuer = json_string_value(json_object_get(doc, "issuer"));
	const char *wrong = NULL;
	char authorize[URL_MAX], token[URL_MAX], jwks[URL_MAX];
	if (!json_is_object(doc))
		wrong = "its discovery document is no JSON object";
	else if (!issuer || strcmp(issuer, o->config->oidc_issuer) != 0)
		wrong = "its discovery document is another issuer's";
	else if (!take_url(doc, "authorization_endpoint", authorize) ||
	         !take_url(doc, "token_endpoint", token) || !take_url(doc, "jwks_uri", jwks))
		wrong = "its discovery document lacks an address, or has one that is not https";
	if (!wrong) {
		memcpy(o->authorize, authorize, sizeof authorize);
		memcpy(o->token, token, sizeof token);
		memcpy(o->jwks, jwks, sizeof jwks);
		o->says_issuer = json_is_true(
		        json_object_get(doc, "authorization_response_iss_parameter_supported"));
		o->known = true;
	}
	json_decref(doc);
	return wrong;
}

static const char *take_keys(struct oidc *o, struct hg_str body)
{
	struct jwks_report report = {.why = ""};
	struct jwt_keys *keys = NULL;
	enum hg_rc rc = jwt_keys_new(&keys);
	if (rc == HG_OK) rc = jwks_read(body, false, keys, &report);
	if (rc < 0) {
		jwt_keys_free(keys);
		return report.why[0] ? report.why : "its keys cannot be read";
	}
	jwt_keys_free(o->keys);
	o->keys = keys;
	return NULL;
}

static const char *wrong_answer(const struct fetch_answer *a)
{
	if (a->result != FETCH_ANSWERED) return a->why;
	if (a->cut) return "its answer is larger than 64 KiB";
	return a->status == 200 ? NULL : "its answer is not 200";
}

static const char *get(struct oidc *o, const char *url, fetch_fn fn)
{
	struct hg_err err = {0};
	struct fetch_request r = {.method = "GET", .url = url, .timeout_ms = FETCH_MS};
	enum hg_rc rc = fetch_start(o->fetch, &r, fn, o, &o->call, &err);
	return rc < 0 ? "it could not be asked" : NULL;
}

static void on_keys(void *arg, const struct fetch_answer *a)
{
	struct oidc *o = arg;
	const char *wrong = wrong_answer(a);
	o->call = NULL;
	if (!wrong) wrong = take_keys(o, a->body);
	later(o, wrong);
}

static void on_discovery(void *arg, const struct fetch_answer *a)
{
	struct oidc *o = arg;
	const char *wrong = wrong_answer(a);
	o->call = NULL;
	if (!wrong) wrong = take_discovery(o, a->body);
	if (!wrong) wrong = get(o, o->jwks, on_keys);
	if (wrong) later(o, wrong);
}

static void discover(struct oidc *o)
{
	char url[URL_MAX + 40];
	struct hg_str issuer = hg_str(o->config->oidc_issuer);
	if (o->call) return;
	if (hg_str_ends(issuer, HG_STR("/"))) issuer.n--;
	snprintf(url, sizeof url, "%.*s/.well-known/openid-configuration", HG_STR_ARG(issuer));
	const char *wrong = get(o, url, on_discovery);
	if (wrong) later(o, wrong);
}

enum hg_rc oidc_new(struct people *p, struct oidc **ret_oidc, struct hg_err *err)
{
	struct oidc *o;
	*ret_oidc = NULL;
	if (!p->config->oidc_issuer[0]) return HG_OK;
	if (!is_safe(hg_str(p->config->oidc_issuer)) || !is_safe(hg_str(p->config->oidc_redirect)))
		return hg_err_set(err, HG_E_INVALID,
		        "OIDC_ISSUER and OIDC_REDIRECT must be https://…, or on localhost");
	o = calloc(1, sizeof *o);
	if (!o) return hg_err_set(err, HG_E_NOMEM, "not enough memory for sign-ins");
	*o = (struct oidc){.people = p, .config = p->config, .loop = p->app->loop};
	hg_list_init(&o->exchanges);
	enum hg_rc rc = fetch_new(o->loop, &o->fetch, err);
	if (rc == HG_OK) rc = fetch_ready(o->fetch, err);
	if (rc < 0) {
		oidc_free(o);
		return rc;
	}
	discover(o);
	*ret_oidc = o;
	return HG_OK;
}

void oidc_free(struct oidc *o)
{
	if (!o) return;
	loop_timer_stop(o->loop, &o->again);
	while (!hg_list_empty(&o->exchanges))
		oidc_cancel(HG_CONTAINER(hg_list_first(&o->exchanges), struct oidc_exchange, node));
	fetch_cancel(o->call);
	if (o->fetch) fetch_free(o->fetch);
	jwt_keys_free(o->keys);
	free(o);
}

/* ---- the exchange of a code ---- */

void oidc_cancel(struct oidc_exchange *x)
{
	if (!x) return;
	fetch_cancel(x->call);
	hg_list_remove(&x->node);
	free(x->id_token);
	free(x);
}

static void finish(struct oidc_exchange *x, const struct oidc_person *person, const char *why)
{
	void (*done)(void *, const struct oidc_person *, const char *) = x->done;
	void *arg = x->arg;
	oidc_cancel(x);
	done(arg, person, why);
}

static void take_role(const json_t *v, struct oidc_person *to)
{
	enum access_role r;
	if (!json_is_string(v)) return;
	if (!access_role_parse((struct hg_str){json_string_value(v), json_string_length(v)}, &r))
		return;
	if (!to->has_role || r > to->role) to->role = r;
	to->has_role = true;
}

const char *oidc_person_of(const struct jwt_claims *claims, struct hg_str client,
        struct hg_str nonce, struct hg_str roles, struct oidc_person *ret_person)
{
	const json_t *got = jwt_claim(claims, HG_STR("nonce")), *v;
	const json_t *aud = jwt_claim(claims, HG_STR("aud")),
	             *azp = jwt_claim(claims, HG_STR("azp"));
	const json_t *email = jwt_claim(claims, HG_STR("email"));
	const json_t *list = jwt_claim(claims, roles);
	struct hg_str said = {json_string_value(got), json_string_length(got)};
	size_t i;
	*ret_person = (struct oidc_person){.role = ACCESS_USER};
	if (!json_is_string(got) || !hg_str_eq(said, nonce))
		return "the id_token is not for this sign-in";
	/* OpenID Connect Core section 3.1.3.7, 4 and 5 */
	if (json_is_array(aud) && json_array_size(aud) > 1 && !azp)
		return "the id_token is for several, and does not say who asked for it";
	if (azp && (!json_is_string(azp) || !hg_str_eq((struct hg_str){json_string_value(azp),
	                                                       json_string_length(azp)},
	                                            client)))
		return "the id_token was asked for by another";
	if (!claims->subject.n || memchr(claims->subject.p, 0, claims->subject.n) ||
	        !hg_str_copy(claims->subject, ret_person->subject, sizeof ret_person->subject))
		return "the id_token does not say whose it is";
	if (json_is_string(email) &&
	        people_email((struct hg_str){json_string_value(email), json_string_length(email)},
	                ret_person->email))
		ret_person->email[0] = 0;
	const json_t *verified = jwt_claim(claims, HG_STR("email_verified"));
	ret_person->verified = json_is_true(verified);
	if (verified && !ret_person->verified) ret_person->email[0] = 0;
	take_role(list, ret_person);
	json_array_foreach(list, i, v)
	{
		take_role(v, ret_person);
	}
	return NULL;
}

static void on_keys_again(void *arg, const struct fetch_answer *a);

static void verify(struct oidc_exchange *x, struct hg_str id_token)
{
	struct oidc *o = x->oidc;
	const struct config *c = o->config;
	struct hg_str client = hg_str(c->oidc_client);
	struct jwt_policy policy = {.issuer = hg_str(c->oidc_issuer),
	        .audience = &client,
	        .audience_count = 1,
	        .skew_s = JWT_SKEW_S};
	struct jwt_claims claims;
	struct oidc_person person;
	enum jwt_verdict v =
	        jwt_verify(o->keys, &policy, id_token, (int64_t)(clock_wall_ms() / 1000), &claims);
	uint64_t now_ms = loop_now_ms(o->loop);
	bool again = v == JWT_UNKNOWN && !x->id_token &&
	             (!o->unknown_ms || now_ms - o->unknown_ms >= UNKNOWN_MS);
	if (again) {
		struct fetch_request r = {.method = "GET", .url = o->jwks, .timeout_ms = FETCH_MS};
		x->id_token = strndup(id_token.p, id_token.n);
		o->unknown_ms = now_ms;
		if (x->id_token &&
		        fetch_start(o->fetch, &r, on_keys_again, x, &x->call, NULL) == HG_OK)
			return;
	}
	if (v != JWT_GOOD) {
		finish(x, NULL, jwt_verdict_text(v));
		return;
	}
	const char *wrong =
	        oidc_person_of(&claims, client, hg_str(x->nonce), hg_str(c->oidc_roles), &person);
	jwt_claims_fini(&claims);
	finish(x, wrong ? NULL : &person, wrong);
}

static void on_keys_again(void *arg, const struct fetch_answer *a)
{
	struct oidc_exchange *x = arg;
	const char *wrong = wrong_answer(a);
	x->call = NULL;
	if (!wrong) wrong = take_keys(x->oidc, a->body);
	if (wrong)
		finish(x, NULL, wrong);
	else
		verify(x, hg_str(x->id_token));
}

static void on_token(void *arg, const struct fetch_answer *a)
{
	struct oidc_exchange *x = arg;
	const char *wrong = wrong_answer(a);
	json_error_t where;
	x->call = NULL;
	if (wrong) {
		finish(x, NULL, wrong);
		return;
	}
	json_t *doc = json_loadb(a->body.p, a->body.n, JSON_REJECT_DUPLICATES, &where);
	const json_t *t = json_object_get(doc, "id_token");
	if (json_is_string(t))
		verify(x, (struct hg_str){json_string_value(t), json_string_length(t)});
	else
		finish(x, NULL, "the provider gave no id_token");
	json_decref(doc);
}

/* RFC 6749 section 2.3.1: both halves are form-encoded, then base 64 as in RFC 7617. */
static void basic(const struct config *c, struct hg_buf *to)
{
	static const char letters[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct hg_buf b;
	hg_buf_init(&b, 4096);
	url_encode(&b, hg_str(c->oidc_client), "");
	hg_buf_byte(&b, ':');
	url_encode(&b, hg_str(c->oidc_secret), "");
	hg_buf_cstr(to, "Authorization: Basic ");
	for (size_t i = 0; i < b.n; i += 3) {
		uint32_t w = 0;
		for (size_t k = 0; k < 3; k++)
			w = w << 8 | (i + k < b.n ? (unsigned char)b.p[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			hg_buf_byte(to, i + k > b.n ? '=' : letters[w >> (18 - 6 * k) & 63]);
	}
	hg_buf_free(&b);
}

enum hg_rc oidc_exchange(struct oidc *o, struct hg_str code, const struct oidc_flow *flow,
        void (*done)(void *arg, const struct oidc_person *person, const char *why), void *arg,
        struct oidc_exchange **ret_exchange)
{
	const struct config *c = o->config;
	struct oidc_exchange *x = calloc(1, sizeof *x);
	struct hg_buf body, head;
	enum hg_rc rc = HG_E_NOMEM;
	if (!x) return rc;
	*x = (struct oidc_exchange){.oidc = o, .done = done, .arg = arg};
	hg_list_append(&o->exchanges, &x->node);
	memcpy(x->nonce, flow->nonce, sizeof x->nonce);
	hg_buf_init(&body, 16384);
	hg_buf_init(&head, 8192);
	hg_buf_cstr(&body, "grant_type=authorization_code");
	pair(&body, '&', "code", code);
	pair(&body, '&', "redirect_uri", hg_str(c->oidc_redirect));
	pair(&body, '&', "code_verifier", hg_str(flow->verifier));
	pair(&body, '&', "client_id", hg_str(c->oidc_client));
	if (c->oidc_secret[0]) basic(c, &head);
	const char *headers[] = {"Content-Type: application/x-www-form-urlencoded",
	        "Accept: application/json", c->oidc_secret[0] ? hg_buf_text(&head) : NULL};
	struct fetch_request r = {.method = "POST",
	        .url = o->token,
	        .headers = headers,
	        .header_count = c->oidc_secret[0] ? 3 : 2,
	        .body = hg_buf_view(&body),
	        .timeout_ms = FETCH_MS};
	if (!body.failed && !head.failed)
		rc = o->known && o->keys ? fetch_start(o->fetch, &r, on_token, x, &x->call, NULL)
		                         : HG_E_AGAIN;
	hg_buf_free(&body);
	hg_buf_free(&head);
	if (rc < 0)
		oidc_cancel(x);
	else
		*ret_exchange = x;
	return rc;
}
