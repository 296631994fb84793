/* The Redis in which all machines count their requests, as the edge is told: with the secrets. */
#include "control/cert/identities_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/redis.h"
#include "wire/url.h"

#define PASSWORD_MAX 255u /* as an address may hold */

static enum hg_rc nomem(struct hg_err *err)
{
	return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
}

/* redis://USER:PASSWORD@…, redis+unix://USER:PASSWORD@PATH; NULL: no memory. */
static char *address_make(struct hg_str url, struct hg_str user, const char *password)
{
	struct hg_buf to;
	bool unix_socket = hg_str_starts(url, HG_STR("unix:"));
	size_t skip = unix_socket ? 5 : strlen("redis://");
	struct hg_str rest = {url.p + skip, url.n - skip};
	hg_buf_init(&to, 4096);
	if (unix_socket && hg_str_starts(rest, HG_STR("//")))
		rest = (struct hg_str){rest.p + 2, rest.n - 2};
	hg_buf_cstr(&to, unix_socket ? "redis+unix://" : "redis://");
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

static enum hg_rc password_find(struct identities *d, const struct spec_edge_rates *r,
        const struct identity_finding *f, struct identity_one **ret_one, struct hg_err *err)
{
	struct identity_one *o = calloc(1, sizeof *o);
	if (!o) return nomem(err);
	*ret_one = o;
	o->owner = d;
	o->secret = true;
	o->app = strdup("edge.rate_limits");
	o->source = identity_absolute(f->dir, r->password_file);
	if (!o->app || !o->source) return nomem(err);
	enum hg_rc rc = identity_text_find(o, r->password_file, f, err);
	if (rc == HG_E_KEY_FILE) {
		char why[320];
		snprintf(why, sizeof why, "%s", err->message);
		rc = hg_err_set(err, HG_E_RATE_PASSWORD, "%s", why);
	}
	return rc == HG_OK ? password_check(o, err) : rc;
}

enum hg_rc identities_rates_check(struct identities *d, const struct spec *s,
        const struct identity_finding *f, struct identities_plan *p, struct hg_err *err)
{
	const struct spec_edge_rates *r = &s->edge.rate_limits;
	if (!r->set) return HG_OK;
	const char *password = NULL;
	enum hg_rc rc = HG_OK;
	if (r->password_file.n) rc = password_find(d, r, f, &p->rates_password, err);
	if (rc < 0) {
		if (rc != HG_E_NOMEM) spec_edge_place(s, "rate_limits.password_file", err);
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
	if (url) explicit_bzero(url, strlen(url));
	if (secret) explicit_bzero(secret, strlen(secret));
	free(url);
	free(secret);
	return p->rates ? HG_OK : nomem(err);
}
