/* The certificates that a configuration names, read by whoever runs `up` and `reload`. */
#include <stdio.h>
#include <time.h>

#include "cert/cert.h"
#include "config_priv.h"

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

int cli_config_certs(struct cli_config *k, bool runnable)
{
	const struct spec_edge *e = &k->spec->edge;
	struct hg_err err = {0};
	if (!e->listen.https.set || e->tls.certificate_count == 0) return 0;
	k->certs = json_array();
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
	return 0;
}
