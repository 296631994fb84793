/* The Redis in which all machines count their requests, as the edge is told: with the secrets. */
#include "control/cert/identities_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/file.h"
#include "os/tls_remote.h"
#include "redis/redis.h"
#include "wire/url.h"

#define PASSWORD_MAX  255u                                 /* as an address may hold */
#define CA_SYSTEM     "/etc/ssl/certs/ca-certificates.crt" /* of Debian's ca-certificates */
#define CA_SYSTEM_MAX (4u << 20)

static enum hg_rc nomem(struct hg_err *err)
{
	return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
}

static bool is_tls(struct hg_str url)
{
	return hg_str_starts(url, HG_STR("rediss://"));
}

/* redis://USER:PASSWORD@…, redis+unix://USER:PASSWORD@PATH; NULL: no memory. */
static char *address_make(struct hg_str url, struct hg_str user, const char *password)
{
	struct hg_buf to;
	bool unix_socket = hg_str_starts(url, HG_STR("unix:"));
	const char *scheme = unix_socket ? "redis+unix://" : is_tls(url) ? "rediss://" : "redis://";
	size_t skip = unix_socket ? strlen("unix:") : strlen(scheme);
	struct hg_str rest = {url.p + skip, url.n - skip};
	hg_buf_init(&to, 4096);
	if (unix_socket && hg_str_starts(rest, HG_STR("//")))
		rest = (struct hg_str){rest.p + 2, rest.n - 2};
	hg_buf_cstr(&to, scheme);
	url_encode(&to, user.n ? user : HG_STR(""), "");
	hg_buf_cstr(&to, ":");
	url_encode(&to, hg_str(password), "");
	hg_buf_cstr(&to, "@");
	hg_buf_str(&to, rest);
	char *text = to.failed ? NULL : strndup(hg_buf_text(&to), to.n);
	if (to.p) explicit_bzero(to.p, to.n);
	hg_buf_free(&to);
	return text;
}

/* One line, without its end. */
static enum hg_rc password_check(struct identity_one *o, struct hg_err *err)
{
	if (!o->text) return nomem(err);
	size_t n = strlen(o->text);
	while (n && (o->text[n - 1] == '\n' || o->text[n - 1] == '\r'))
		o->text[--n] = 0;
	const char *why = n == 0                  ? "it is empty"
	                  : n > PASSWORD_MAX      ? "it is longer than 255 bytes"
	                  : strchr(o->text, '\n') ? "it has more than one line"
	                                          : NULL;
	if (!why) return HG_OK;
	return hg_err_set(err, HG_E_RATE_PASSWORD, "could not use \"%s\": %s", o->source, why);
}

/* What a file beside the configuration says. */
static enum hg_rc text_find(struct identities *d, struct hg_str path,
        const struct identity_finding *f, struct identity_one **ret_one, struct hg_err *err)
{
	struct identity_one *o = calloc(1, sizeof *o);
	if (!o) return nomem(err);
	*ret_one = o;
	o->owner = d;
	o->secret = true;
	o->app = strdup("edge.rate_limits");
	o->source = identity_absolute(f->dir, path);
	if (!o->app || !o->source) return nomem(err);
	enum hg_rc rc = identity_text_find(o, path, f, err);
	if (rc == HG_E_KEY_FILE) {
		char why[320];
		snprintf(why, sizeof why, "%s", err->message);
		rc = hg_err_set(err, HG_E_RATE_PASSWORD, "%s", why);
	}
	return rc;
}

/* Certificates of authorities, as a client needs them. */
static enum hg_rc ca_check(const char *source, struct hg_str ca, struct hg_err *err)
{
	struct tls_remote_conf conf = {.ca = ca, .name = HG_STR("localhost"), .verify = true};
	struct tls_remote *remote = NULL;
	char why[TLS_WHY_MAX] = "";
	enum hg_rc rc = tls_remote_new(&conf, NULL, &remote, why);
	tls_remote_unref(remote);
	if (rc == HG_OK || rc == HG_E_NOMEM) return rc;
	return hg_err_set(err, HG_E_RATE_PASSWORD, "could not use \"%s\": %s", source, why);
}

/* Of whom the certificate must be: *ret_ca is the caller's; NULL: it is not asked for one. The edge
 * cannot read it for itself. */
static enum hg_rc ca_find(struct identities *d, const struct spec_edge_rates *r,
        const struct identity_finding *f, struct identities_plan *p, char **ret_ca,
        struct hg_err *err)
{
	struct hg_buf system = {0};
	enum hg_rc rc;
	*ret_ca = NULL;
	if (!is_tls(r->redis)) return HG_OK;
	if (r->ca_file.n) {
		rc = text_find(d, r->ca_file, f, &p->rates_ca, err);
		const char *text = p->rates_ca ? p->rates_ca->text : NULL;
		if (rc == HG_OK && text) rc = ca_check(p->rates_ca->source, hg_str(text), err);
		if (rc == HG_OK && text) *ret_ca = strdup(text);
		return rc < 0 ? rc : *ret_ca ? HG_OK : nomem(err);
	}
	rc = file_read(CA_SYSTEM, CA_SYSTEM_MAX, &system, err);
	if (rc < 0 && rc != HG_E_NOMEM)
		rc = hg_err_set(err, HG_E_RATE_PASSWORD, "could not read \"%s\"", CA_SYSTEM);
	if (rc == HG_OK) rc = ca_check(CA_SYSTEM, hg_buf_view(&system), err);
	if (rc == HG_OK) *ret_ca = strndup(hg_buf_text(&system), system.n);
	hg_buf_free(&system);
	return rc < 0 ? rc : *ret_ca ? HG_OK : nomem(err);
}

enum hg_rc identities_rates_check(struct identities *d, const struct spec *s,
        const struct identity_finding *f, struct identities_plan *p, struct hg_err *err)
{
	const struct spec_edge_rates *r = &s->edge.rate_limits;
	if (!r->set) return HG_OK;
	const char *password = NULL;
	char *ca = NULL;
	enum hg_rc rc = HG_OK;
	if (r->password_file.n) rc = text_find(d, r->password_file, f, &p->rates_password, err);
	if (rc == HG_OK && p->rates_password) rc = password_check(p->rates_password, err);
	if (rc < 0) {
		if (rc != HG_E_NOMEM) spec_edge_place(s, "rate_limits.password_file", err);
		return rc;
	}
	rc = ca_find(d, r, f, p, &ca, err);
	if (rc < 0) {
		if (rc != HG_E_NOMEM) spec_edge_place(s, "rate_limits.ca_file", err);
		return rc;
	}
	if (p->rates_password) password = p->rates_password->text;
	char *url = password ? address_make(r->redis, r->user, password)
	                     : strndup(r->redis.p, r->redis.n);
	char *secret = NULL;
	/* Projects and those with other passwords do not meet. */
	int n = asprintf(&secret, "%.*s\n%s", HG_STR_ARG(s->project), password ? password : "");
	if (n < 0) secret = NULL;
	if (url && secret)
		p->rates = json_pack("{s:s,s:s,s:I}", "redis", url, "secret", secret, "timeout_ms",
		        (json_int_t)r->timeout_ms);
	if (p->rates && ca && json_object_set_new(p->rates, "ca", json_string(ca)) < 0) {
		json_decref(p->rates);
		p->rates = NULL;
	}
	free(ca);
	if (url) explicit_bzero(url, strlen(url));
	if (secret) explicit_bzero(secret, strlen(secret));
	free(url);
	free(secret);
	return p->rates ? HG_OK : nomem(err);
}
