/* The certificates that a configuration names, read by whoever runs `up` and `reload`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cert/cert.h"
#include "config_priv.h"
#include "os/tls_client.h"
#include "os/file.h"

#define PATH_ROOM 8300

static void absolute(const struct cli_config *k, struct hg_str path, char to[PATH_ROOM])
{
	bool whole = path.n && path.p[0] == '/';
	snprintf(
	        to, PATH_ROOM, "%s%s%.*s", whole ? "" : k->dir, whole ? "" : "/", HG_STR_ARG(path));
}

static void cert_warn(const char *path, const struct tls_cert *is)
{
	time_t now = time(NULL);
	if (is->until_s <= now) {
		cli_say("warning: the certificate \"%s\" expired %lld days ago", path,
		        (long long)(now - is->until_s) / 86400);
	} else if (is->until_s - now < 14 * 86400) {
		cli_say("warning: the certificate \"%s\" expires in %lld days", path,
		        (long long)(is->until_s - now) / 86400);
	} else if (is->from_s > now) {
		cli_say("warning: the certificate \"%s\" is not valid yet", path);
	}
}

/* The authorities of clients' certificates go the same way. */
static int authorities(struct cli_config *k, bool runnable)
{
	const struct spec_edge_tls *tls = &k->spec->edge.tls;
	int status = 0;
	for (uint32_t i = 0; i < tls->client_ca_count && status == 0; i++) {
		const struct spec_client_ca *c = &tls->client_ca[i];
		struct hg_err err = {0};
		char path[PATH_ROOM], name[PATH_ROOM], why[TLS_WHY_MAX] = "";
		char *certs = NULL, *crl = NULL;
		struct tls_cert is;
		int64_t crl_until_s;
		absolute(k, c->file, path);
		enum hg_rc rc = cert_text_read(path, &certs, &err);
		if (rc == HG_OK && c->crl.n) {
			absolute(k, c->crl, path);
			rc = cert_text_read(path, &crl, &err);
		}
		struct tls_ca ca = {hg_str(certs), hg_str(crl)};
		if (rc == HG_OK && tls_ca_check(&ca, &is, &crl_until_s, why) < 0)
			rc = hg_err_set(&err, HG_E_CERT_FILE,
			        "could not use the client authority \"%.*s\": %s",
			        HG_STR_ARG(c->name), why);
		if (rc == HG_OK) {
			absolute(k, c->file, path);
			cert_warn(path, &is);
			if (crl_until_s && crl_until_s <= time(NULL))
				cli_say("warning: the revocation list \"%.*s\" is over: nobody "
				        "gets in by it",
				        HG_STR_ARG(c->crl));
			snprintf(name, sizeof name, "ca:%.*s", HG_STR_ARG(c->file));
			json_array_append_new(
			        k->certs, json_pack("{s:s,s:s,s:s}", "cert", name, "chain", certs,
			                          "key", crl ? crl : ""));
		} else if (rc != HG_E_DENIED || !runnable) {
			status = cli_fail(&err);
		}
		free(certs);
		free(crl);
	}
	return status;
}

/* A file whose text is handed over as it is: the root of an authority, a key of its customers. */
static int text_add(struct cli_config *k, struct hg_str path, bool runnable)
{
	char full[PATH_ROOM];
	struct hg_buf text = {0};
	struct hg_err err = {0};
	if (!path.n) return 0;
	absolute(k, path, full);
	enum hg_rc rc = file_read(full, CERT_FILE_MAX, &text, &err);
	if (rc == HG_OK)
		json_array_append_new(k->certs, json_pack("{s:s#,s:s,s:s}", "cert", path.p, path.n,
		                                        "chain", hg_buf_text(&text), "key", ""));
	if (text.p) explicit_bzero(text.p, text.n);
	hg_buf_free(&text);
	if (rc == HG_OK || (rc == HG_E_DENIED && runnable)) return 0;
	char why[320];
	snprintf(why, sizeof why, "%s", err.message);
	hg_err_set(&err, HG_E_CERT_FILE, "%s", why);
	return cli_fail(&err);
}

/* The authorities of an app's replicas. */
static enum hg_rc replicas_ca(
        struct cli_config *k, const struct spec_app *app, bool runnable, struct hg_err *err)
{
	const struct spec_upstream_tls *t = &app->upstream.tls;
	char path[PATH_ROOM], name[PATH_ROOM], why[TLS_WHY_MAX];
	char *text = NULL;
	struct tls_remote *made = NULL;
	if (!t->ca.n || !t->verify) return HG_OK;
	absolute(k, t->ca, path);
	enum hg_rc rc = cert_text_read(path, &text, err);
	if (rc == HG_E_DENIED && runnable) return HG_OK;
	struct tls_remote_conf conf = {.ca = hg_str(text), .name = t->name, .verify = true};
	if (rc == HG_OK && tls_remote_new(&conf, NULL, &made, why) < 0)
		rc = hg_err_set(err, HG_E_CERT_FILE, "could not use \"%s\": %s", path, why);
	if (rc == HG_OK) {
		snprintf(name, sizeof name, "up-ca:%.*s", HG_STR_ARG(t->ca));
		json_array_append_new(k->certs,
		        json_pack("{s:s,s:s,s:s}", "cert", name, "chain", text, "key", ""));
	} else {
		hg_err_hint(err, "`ca` is a PEM file with the certificates of the authorities, or "
		                 "with the replicas' own");
		spec_app_place(k->spec, app->name, "upstream.tls.ca", err);
	}
	tls_remote_unref(made);
	free(text);
	return rc;
}

/* What the edge shows them. */
static enum hg_rc replicas_pair(
        struct cli_config *k, const struct spec_app *app, bool runnable, struct hg_err *err)
{
	const struct spec_upstream_tls *t = &app->upstream.tls;
	char chain[PATH_ROOM], key[PATH_ROOM], name[PATH_ROOM];
	struct cert_texts texts;
	struct tls_cert is;
	if (!t->certificate.n) return HG_OK;
	absolute(k, t->certificate, chain);
	absolute(k, t->key, key);
	enum hg_rc rc = cert_texts_read(chain, key, &texts, &is, err);
	if (rc == HG_E_DENIED && runnable) return HG_OK;
	if (rc < 0) {
		hg_err_hint(err, "`certificate` is a PEM file with the certificate first and its "
		                 "chain behind it, `key` its private key");
		bool of_key = strstr(err->message, key) != NULL;
		spec_app_place(k->spec, app->name,
		        of_key ? "upstream.tls.key" : "upstream.tls.certificate", err);
		return rc;
	}
	cert_warn(chain, &is);
	snprintf(name, sizeof name, "up:%.*s", HG_STR_ARG(t->certificate));
	json_array_append_new(k->certs,
	        json_pack("{s:s,s:s,s:s}", "cert", name, "chain", texts.chain, "key", texts.key));
	cert_texts_free(&texts);
	return HG_OK;
}

static int replicas(struct cli_config *k, bool runnable)
{
	for (uint32_t i = 0; i < k->spec->app_count; i++) {
		const struct spec_app *app = &k->spec->apps[i];
		struct hg_err err = {0};
		if (!app->upstream.tls.enabled) continue;
		if (!k->certs) k->certs = json_array();
		enum hg_rc rc = replicas_ca(k, app, runnable, &err);
		if (rc == HG_OK) rc = replicas_pair(k, app, runnable, &err);
		if (rc < 0) return cli_fail(&err);
	}
	return 0;
}

/* What tokens are checked with, where it comes from a file. */
static enum hg_rc identity_key(struct cli_config *k, const struct spec_app *app,
        const struct spec_identity_jwt *j, bool runnable, struct hg_err *err)
{
	struct hg_str path = j->jwks.n ? j->jwks : j->public_key.n ? j->public_key : j->secret_file;
	char full[PATH_ROOM], name[PATH_ROOM], why[320];
	struct hg_buf text = {0};
	if (!path.n || hg_str_starts(path, HG_STR("https://")) ||
	        hg_str_starts(path, HG_STR("http://")))
		return HG_OK;
	absolute(k, path, full);
	enum hg_rc rc = file_read(full, 65536, &text, err);
	json_t *value = rc == HG_OK ? json_stringn(text.p ? text.p : "", text.n) : NULL;
	snprintf(name, sizeof name, "jwt:%.*s", HG_STR_ARG(path));
	if (value)
		json_array_append_new(k->certs,
		        json_pack("{s:s,s:o,s:s}", "cert", name, "chain", value, "key", ""));
	if (text.p) explicit_bzero(text.p, text.n);
	hg_buf_free(&text);
	if (value || (rc == HG_E_DENIED && runnable)) return HG_OK;
	snprintf(why, sizeof why, "%s",
	        rc == HG_OK ? "the key for tokens is in a file that is no text" : err->message);
	hg_err_set(err, HG_E_KEY_FILE, "%s", why);
	spec_identity_place(k->spec, app, j, err);
	return HG_E_KEY_FILE;
}

static int identities(struct cli_config *k, bool runnable)
{
	for (uint32_t i = 0; i < k->spec->app_count; i++) {
		const struct spec_app *app = &k->spec->apps[i];
		struct hg_err err = {0};
		if (!app->identity.set) continue;
		if (!k->certs) k->certs = json_array();
		enum hg_rc rc = identity_key(k, app, &app->identity.jwt, runnable, &err);
		for (uint32_t n = 0; rc == HG_OK && n < app->identity.issuer_count; n++)
			rc = identity_key(k, app, &app->identity.issuers[n], runnable, &err);
		if (rc < 0) return cli_fail(&err);
	}
	return 0;
}

/* A file of edge.rate_limits, at `key`: what the Redis in which machines count together needs. */
static int rates_text(
        struct cli_config *k, struct hg_str path, const char *key, const char *what, bool runnable)
{
	char full[PATH_ROOM], name[PATH_ROOM], why[320];
	struct hg_buf text = {0};
	struct hg_err err = {0};
	if (!k->spec->edge.rate_limits.set || !path.n) return 0;
	if (!k->certs) k->certs = json_array();
	absolute(k, path, full);
	enum hg_rc rc = file_read(full, 65536, &text, &err);
	json_t *value = rc == HG_OK ? json_stringn(text.p ? text.p : "", text.n) : NULL;
	snprintf(name, sizeof name, "jwt:%.*s", HG_STR_ARG(path));
	if (value)
		json_array_append_new(k->certs,
		        json_pack("{s:s,s:o,s:s}", "cert", name, "chain", value, "key", ""));
	if (text.p) explicit_bzero(text.p, text.n);
	hg_buf_free(&text);
	if (value || (rc == HG_E_DENIED && runnable)) return 0;
	if (rc == HG_OK)
		snprintf(why, sizeof why, "%s of Redis is in a file that is no text", what);
	else
		snprintf(why, sizeof why, "%s", err.message);
	hg_err_set(&err, HG_E_RATE_PASSWORD, "%s", why);
	spec_edge_place(k->spec, key, &err);
	return cli_fail(&err);
}

static int rates(struct cli_config *k, bool runnable)
{
	const struct spec_edge_rates *r = &k->spec->edge.rate_limits;
	int status = rates_text(
	        k, r->password_file, "rate_limits.password_file", "the password", runnable);
	if (status) return status;
	return rates_text(k, r->ca_file, "rate_limits.ca_file", "the authority", runnable);
}

int cli_config_certs(struct cli_config *k, bool runnable)
{
	const struct spec_edge *e = &k->spec->edge;
	const struct spec_acme *acme = &e->tls.acme;
	struct hg_err err = {0};
	int theirs = replicas(k, runnable);
	if (theirs == 0) theirs = identities(k, runnable);
	if (theirs == 0) theirs = rates(k, runnable);
	if (theirs || !e->listen.https.set || (e->tls.certificate_count == 0 && !acme->set))
		return theirs;
	if (!k->certs) k->certs = json_array();
	if (acme->set) {
		int status = text_add(k, acme->ca_file, runnable);
		if (status == 0 && acme->eab.set)
			status = text_add(k, acme->eab.hmac_file, runnable);
		if (status) return status;
	}
	for (uint32_t i = 0; i < e->tls.certificate_count; i++) {
		const struct spec_certificate *c = &e->tls.certificates[i];
		struct cert_texts texts;
		struct tls_cert is;
		char chain[PATH_ROOM], key[PATH_ROOM];
		absolute(k, c->cert, chain);
		absolute(k, c->key, key);
		enum hg_rc rc = cert_texts_read(chain, key, &texts, &is, &err);
		if (rc == HG_E_DENIED && runnable) continue; /* Headgate may have it from before */
		if (rc < 0) return cli_fail(&err);
		cert_warn(chain, &is);
		json_array_append_new(k->certs, json_pack("{s:s,s:s,s:s}", "cert", c->cert.p,
		                                        "chain", texts.chain, "key", texts.key));
		cert_texts_free(&texts);
	}
	return authorities(k, runnable);
}
