/* What the configuration wants of ACME. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/acme/acme_priv.h"
#include "os/file.h"

#define LE_PRODUCTION "https://acme-v02.api.letsencrypt.org/directory"
#define LE_STAGING    "https://acme-staging-v02.api.letsencrypt.org/directory"

void acme_conf_free(struct acme_conf *c)
{
	if (!c) return;
	explicit_bzero(c->hmac, sizeof c->hmac);
	free(c->hook);
	free(c->dir);
	free(c->ca_pem);
	free(c->want);
	free(c);
}

static enum hg_rc nomem(struct hg_err *err)
{
	return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
}

/* ---- files ---- */

static enum hg_rc absolute(const char *dir, struct hg_str path, char to[4300], struct hg_err *err)
{
	bool whole = path.n && path.p[0] == '/';
	int n = snprintf(
	        to, 4300, "%s%s%.*s", whole ? "" : dir, whole ? "" : "/", HG_STR_ARG(path));
	return n > 0 && n < 4300
	               ? HG_OK
	               : hg_err_set(err, HG_E_CERT_FILE, "the path of a file is too long");
}

static void keep_text(struct acme_state *s, const char *path, const char *text)
{
	struct acme_given *to = NULL;
	for (size_t i = 0; i < HG_COUNT(s->given); i++)
		if (s->given[i].path && strcmp(s->given[i].path, path) == 0) to = &s->given[i];
	if (!to) {
		to = &s->given[0];
		free(s->given[1].path);
		free(s->given[1].text);
		s->given[1] = s->given[0];
		*to = (struct acme_given){0};
	}
	if (to->text && strcmp(to->text, text) == 0) return;
	free(to->path);
	free(to->text);
	*to = (struct acme_given){strdup(path), strdup(text)};
}

/* What was given, else what the file says, else what was given before. */
static enum hg_rc text_find(struct acme *a, const char *dir, struct hg_str path,
        const struct certs_given *given, uint32_t n, char **ret_text, struct hg_err *err)
{
	char full[4300];
	struct hg_buf text = {0};
	enum hg_rc rc = absolute(dir, path, full, err);
	if (rc < 0) return rc;
	*ret_text = NULL;
	for (uint32_t i = 0; i < n && !*ret_text; i++)
		if (hg_str_eq(given[i].cert, path))
			*ret_text = strndup(given[i].chain.p, given[i].chain.n);
	if (!*ret_text) {
		rc = file_read(full, CERT_FILE_MAX, &text, err);
		if (rc == HG_OK) *ret_text = strndup(text.p ? text.p : "", text.n);
		if (text.p) explicit_bzero(text.p, text.n);
		hg_buf_free(&text);
	}
	for (size_t i = 0; i < HG_COUNT(a->state.given) && rc < 0; i++) {
		const struct acme_given *g = &a->state.given[i];
		if (!g->path || !g->text || strcmp(g->path, full) != 0) continue;
		*ret_text = strdup(g->text);
		return *ret_text ? HG_OK : nomem(err);
	}
	if (rc < 0) {
		char why[320];
		(void)snprintf(why, sizeof why, "%s", err->message);
		hg_err_set(err, HG_E_CERT_FILE, "%.310s", why);
		return HG_E_CERT_FILE;
	}
	if (!*ret_text) return nomem(err);
	keep_text(&a->state, full, *ret_text);
	return HG_OK;
}

static enum hg_rc files_take(struct acme *a, const struct spec_acme *s, const char *dir,
        const struct certs_given *given, uint32_t n, struct acme_conf *to, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	char *hmac = NULL;
	if (s->ca_file.n) rc = text_find(a, dir, s->ca_file, given, n, &to->ca_pem, err);
	if (rc == HG_OK && s->eab.set) {
		rc = text_find(a, dir, s->eab.hmac_file, given, n, &hmac, err);
		if (rc < 0) return rc;
		struct hg_str key = hg_str_trim(hg_str(hmac));
		while (key.n && key.p[key.n - 1] == '=')
			key.n--;
		if (!hg_str_copy(key, to->hmac, sizeof to->hmac) ||
		        !hg_str_copy(s->eab.kid, to->kid, sizeof to->kid) || !to->hmac[0])
			rc = hg_err_set(err, HG_E_CERT_FILE, "could not use \"%.*s\": it is no key",
			        HG_STR_ARG(s->eab.hmac_file));
		explicit_bzero(hmac, strlen(hmac));
		free(hmac);
	}
	return rc;
}

/* ---- names ---- */

static bool wanted_already(const struct acme_conf *c, const struct acme_cert *one)
{
	for (uint32_t i = 0; i < c->want_count; i++)
		if (acme_names_equal(&c->want[i], one)) return true;
	return false;
}

/* Files win for their names. */
static void name_add(struct acme_cert *to, struct hg_str name, const struct certs_plan *files)
{
	char low[ACME_NAME_MAX];
	if (to->name_count == ACME_NAMES_MAX || !hg_str_copy(name, low, sizeof low)) return;
	if (certs_plan_covers(files, name)) return;
	for (uint32_t i = 0; i < to->name_count; i++)
		if (strcmp(to->names[i], low) == 0) return;
	memcpy(to->names[to->name_count++], low, sizeof low);
}

static enum hg_rc want_add(struct acme_conf *c, const struct acme_cert *one, struct hg_err *err)
{
	if (one->name_count == 0 || wanted_already(c, one)) return HG_OK;
	if (c->want_count == ACME_CERTS_MAX)
		return hg_err_set(err, HG_E_CONFIG_LIMIT, "more than %u certificates by ACME",
		        ACME_CERTS_MAX);
	struct acme_cert *more = realloc(c->want, (c->want_count + 1) * sizeof *more);
	if (!more) return nomem(err);
	c->want = more;
	c->want[c->want_count++] = *one;
	return HG_OK;
}

static enum hg_rc domains_take(const struct spec_acme *s, const struct certs_plan *files,
        struct acme_cert *one, struct acme_conf *to, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < s->domain_count && rc == HG_OK; i++) {
		struct hg_str rest = s->domains[i];
		*one = (struct acme_cert){0};
		while (rest.n) {
			struct hg_str name = hg_str_cut(&rest, ' ');
			if (name.n) name_add(one, name, files);
		}
		rc = want_add(to, one, err);
	}
	return rc;
}

static enum hg_rc hosts_take(const struct spec *s, const struct certs_plan *files,
        struct acme_cert *one, struct acme_conf *to, struct hg_err *err)
{
	bool star = to->challenge == ACME_DNS_01;
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < s->app_count; i++) {
		const struct spec_app *app = &s->apps[i];
		for (uint32_t k = 0; k < app->route_count && rc == HG_OK; k++) {
			struct hg_str host = app->routes[k].host;
			if (!spec_name_public(host, star)) continue;
			*one = (struct acme_cert){0};
			name_add(one, host, files);
			rc = want_add(to, one, err);
		}
	}
	return rc;
}

/* ---- all of it ---- */

static bool url_take(struct hg_str url, char to[ACME_URL_MAX])
{
	return hg_str_copy(url, to, ACME_URL_MAX);
}

static enum hg_rc rest_take(const struct spec_acme *s, struct acme_conf *to, struct hg_err *err)
{
	bool ok = hg_str_copy(s->email, to->email, sizeof to->email) &&
	          s->directory_count <= ACME_CAS_MAX;
	for (uint32_t i = 0; ok && i < s->directory_count; i++)
		ok = url_take(s->directory[i], to->ca[to->ca_count++]);
	if (ok && to->ca_count == 0) ok = url_take(HG_STR(LE_PRODUCTION), to->ca[to->ca_count++]);
	ok = ok && url_take(s->staging, to->staging);
	if (!ok) return hg_err_set(err, HG_E_CONFIG_LIMIT, "a text of edge.tls.acme is too long");
	to->rules = (struct acme_rules){.ca_count = to->ca_count,
	        .orders_per_hour = s->orders_per_hour,
	        .retry_ms = (int64_t)s->retry_ms,
	        .staging = to->staging[0] ? ACME_STAGING_FIRST : ACME_STAGING_NONE};
	if (!to->staging[0] && to->ca_count == 1 && strcmp(to->ca[0], LE_PRODUCTION) == 0) {
		(void)hg_str_copy(HG_STR(LE_STAGING), to->staging, sizeof to->staging);
		to->rules.staging = ACME_STAGING_AFTER;
	}
	to->challenge = s->challenge == SPEC_ACME_CHALLENGE_DNS_01        ? ACME_DNS_01
	                : s->challenge == SPEC_ACME_CHALLENGE_TLS_ALPN_01 ? ACME_TLS_ALPN_01
	                                                                  : ACME_HTTP_01;
	to->hook_timeout_ms = (uint32_t)s->dns_timeout_ms;
	return HG_OK;
}

enum hg_rc acme_check(struct acme *a, const struct spec *s, const char *dir,
        const struct certs_plan *files, const struct certs_given *given, uint32_t given_count,
        struct acme_conf **ret_conf, struct hg_err *err)
{
	const struct spec_acme *from = &s->edge.tls.acme;
	struct acme_conf *c = calloc(1, sizeof *c);
	struct acme_cert *one = calloc(1, sizeof *one);
	enum hg_rc rc = c && one ? HG_OK : nomem(err);
	if (rc == HG_OK && from->set && s->edge.listen.https.set) {
		c->on = true;
		rc = rest_take(from, c, err);
		c->hook = strndup(from->dns_hook.p ? from->dns_hook.p : "", from->dns_hook.n);
		c->dir = strdup(dir);
		if (rc == HG_OK && (!c->hook || !c->dir)) rc = nomem(err);
		if (rc == HG_OK) rc = files_take(a, from, dir, given, given_count, c, err);
		if (rc == HG_OK && from->domain_count)
			rc = domains_take(from, files, one, c, err);
		else if (rc == HG_OK)
			rc = hosts_take(s, files, one, c, err);
	}
	free(one);
	if (rc < 0) {
		acme_conf_free(c);
		return rc;
	}
	*ret_conf = c;
	return HG_OK;
}
