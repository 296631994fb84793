/* Who asks, and whether he may. */
#include "api_priv.h"
#include "os/clock.h"
#include "wire/base64.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>

static const char *const role_names[] = {
        [API_NONE] = "none",
        [API_VIEWER] = "viewer",
        [API_DEPLOYER] = "deployer",
        [API_ADMIN] = "admin",
};

const char *api_role_name(enum api_role role)
{
	return (size_t)role < HG_COUNT(role_names) ? role_names[role] : "none";
}

bool api_role_parse(const char *name, enum api_role *ret_role)
{
	for (enum api_role role = API_VIEWER; role <= API_ADMIN; role++) {
		if (strcmp(role_names[role], name) != 0) continue;
		*ret_role = role;
		return true;
	}
	return false;
}

void api_token_hash(struct hg_str text, uint8_t ret_sha256[32])
{
	unsigned n = 32;
	HG_ASSERT(EVP_Digest(text.p, text.n, ret_sha256, &n, EVP_sha256(), NULL) == 1);
}

enum hg_rc api_token_make(const char *prefix, char ret_text[API_TOKEN_TEXT], uint8_t ret_sha256[32],
        struct hg_err *err)
{
	uint8_t secret[32];
	struct hg_out o = hg_out_over(ret_text, API_TOKEN_TEXT - 1);
	if (RAND_bytes(secret, sizeof secret) != 1)
		return hg_err_set(err, HG_E_INTERNAL, "the kernel gave no randomness");
	hg_out_cstr(&o, prefix); /* scanners for leaked secrets find it by its prefix */
	for (size_t i = 0; i < sizeof secret; i++)
		hg_out_fmt(&o, "%02x", secret[i]);
	ret_text[o.n] = 0;
	OPENSSL_cleanse(secret, sizeof secret);
	api_token_hash((struct hg_str){ret_text, o.n}, ret_sha256);
	return HG_OK;
}

static bool ip4_literal(struct hg_str host)
{
	unsigned dots = 0;
	for (size_t i = 0; i < host.n; i++) {
		if (host.p[i] == '.')
			dots++;
		else if (host.p[i] < '0' || host.p[i] > '9')
			return false;
	}
	return dots == 3;
}

bool api_host_allowed(struct hg_str authority)
{
	struct hg_str host = authority;
	if (host.n && host.p[0] == '[') { /* the parser of heads has checked the brackets */
		size_t end = hg_str_find(host, ']');
		if (end == host.n) return false;
		struct hg_str rest = {host.p + end + 1, host.n - end - 1};
		return rest.n == 0 || rest.p[0] == ':';
	}
	host.n = hg_str_find(host, ':');
	if (host.n && host.p[host.n - 1] == '.') host.n--;
	if (ip4_literal(host)) return true;
	if (hg_str_eq_nocase(host, HG_STR("localhost"))) return true;
	struct hg_str under = HG_STR(".localhost");
	return host.n > under.n &&
	       hg_str_eq_nocase((struct hg_str){host.p + host.n - under.n, under.n}, under);
}

static bool loopback(const struct sock_addr *a)
{
	if (a->len && a->sa.sa_family == AF_INET)
		return (ntohl(a->in4.sin_addr.s_addr) >> 24) == 127;
	if (a->len && a->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr) &&
		               a->in6.sin6_addr.s6_addr[12] == 127);
	return false;
}

/*
 * "Bearer TOKEN", or the token as the password of "Basic": many programs know only that. Into
 * `mem`; empty: there is none.
 */
static struct hg_str token_of(struct hg_str value, struct hg_buf *mem)
{
	struct hg_str scheme = hg_str_cut(&value, ' '), none = {0};
	value = hg_str_trim(value);
	if (hg_str_eq_nocase(scheme, HG_STR("Bearer"))) return value;
	if (!hg_str_eq_nocase(scheme, HG_STR("Basic")) || !base64_decode(mem, value) || mem->failed)
		return none;
	struct hg_str user = hg_buf_view(mem);
	size_t colon = hg_str_find(user, ':');
	if (colon == user.n) return none;
	return (struct hg_str){user.p + colon + 1, user.n - colon - 1};
}

static enum hg_rc token_take(struct api_request *r, const struct store_token *t,
        const uint8_t hash[32], struct hg_err *err)
{
	uint64_t now_ms = clock_wall_ms();
	if (t->expires_ms && t->expires_ms <= now_ms) {
		serve_field(r->call, "WWW-Authenticate", HG_STR("Bearer error=\"invalid_token\""));
		hg_err_set(err, HG_E_TOKEN_EXPIRED, "the token \"%.*s\" has expired",
		        HG_STR_ARG(t->name));
		hg_err_hint(err, "%s",
		        t->login ? "Sign in again: headgate open"
		                 : "Make another one: headgate token create NAME");
		return HG_E_TOKEN_EXPIRED;
	}
	r->role = (enum api_role)t->role;
	snprintf(r->who, sizeof r->who, "token:%.*s", HG_STR_ARG(t->name));
	r->by.token = true;
	r->by.login = t->login;
	r->by.expires_ms = t->expires_ms;
	memcpy(r->by.sha256, hash, sizeof r->by.sha256);
	(void)hg_str_copy(t->name, r->by.name, sizeof r->by.name);
	/* Only a remark for `token list`; a full disk must not lock people out. */
	if (store_token_used(r->api->d.store, hash, now_ms, NULL) < 0 && r->api->d.log)
		hg_log(r->api->d.log, HG_WARN, "api.token_use_not_written", HG_S("who", r->who));
	return HG_OK;
}

static enum hg_rc by_token(struct api_request *r, struct hg_err *err)
{
	const struct http1_field *f = http1_find(r->req->head, HTTP1_F_AUTHORIZATION);
	struct store_token t = {0};
	struct hg_buf name, plain;
	uint8_t hash[32];
	if (!f) return HG_OK; /* role stays NONE */
	hg_buf_init(&plain, 4096);
	struct hg_str token = token_of(f->value, &plain);
	if (token.n) api_token_hash(token, hash);
	hg_buf_free(&plain);
	if (!token.n) return HG_OK;
	hg_buf_init(&name, 4096);
	enum hg_rc rc = store_token_find(r->api->d.store, hash, &name, &t, NULL);
	if (rc == HG_OK) rc = token_take(r, &t, hash, err);
	hg_buf_free(&name);
	if (rc == HG_E_NOT_FOUND) return HG_OK;
	return rc < 0 && err->rc == HG_OK ? hg_err_set(err, rc, "could not look the token up") : rc;
}

enum hg_rc api_authorize(struct api_request *r, const struct api_route *route, struct hg_err *err)
{
	const struct serve_request *q = r->req;
	if (q->listener == API_TAG_UNIX) {
		if (q->peer_uid != 0 && q->peer_uid != r->api->d.owner_uid)
			return hg_err_set(err, HG_E_DENIED, "user %u does not own this Headgate",
			        (unsigned)q->peer_uid);
		r->role = API_ADMIN;
		snprintf(r->who, sizeof r->who, "unix:%u", (unsigned)q->peer_uid);
		return HG_OK;
	}
	if (!api_host_allowed(q->head->authority)) {
		hg_err_set(err, HG_E_HOST, "this server is not \"%.*s\"",
		        (int)HG_MIN(q->head->authority.n, 100), q->head->authority.p);
		hg_err_hint(err, "Use its IP address or localhost.");
		return HG_E_HOST;
	}
	if (route->role == API_NONE) return HG_OK;
	if (route->handler == api_get_metrics && loopback(&q->peer)) {
		r->role = API_VIEWER;
		return HG_OK;
	}
	enum hg_rc rc = by_token(r, err);
	if (rc < 0) return rc;
	if (r->role == API_NONE) {
		serve_field(r->call, "WWW-Authenticate", HG_STR("Bearer"));
		hg_err_set(err, HG_E_TOKEN_MISSING, "a valid token is needed");
		hg_err_hint(err, "Make one with: headgate token create NAME --role %s",
		        api_role_name(route->role));
		return HG_E_TOKEN_MISSING;
	}
	if (r->role < route->role) {
		hg_err_set(err, HG_E_ROLE, "%s has the role %s, this needs %s", r->who,
		        api_role_name(r->role), api_role_name(route->role));
		return HG_E_ROLE;
	}
	return HG_OK;
}

bool api_by_over(const struct api *a, const struct api_by *by, uint64_t now_ms)
{
	struct store_token t;
	struct hg_buf name;
	if (!by->token) return false;
	if (by->expires_ms && by->expires_ms <= now_ms) return true;
	if (!a->revoked) return false;
	hg_buf_init(&name, 4096);
	bool gone = store_token_find(a->d.store, by->sha256, &name, &t, NULL) == HG_E_NOT_FOUND;
	hg_buf_free(&name);
	return gone;
}
