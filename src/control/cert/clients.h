/*
 * The authorities that clients' certificates may come from: read, kept and looked at again like the
 * edge's own certificates (certs.h). They are no secret and reach the edge with the routes that
 * name them, in the snapshot.
 */
#ifndef CONTROL_CERT_CLIENTS_H
#define CONTROL_CERT_CLIENTS_H

#include "control/cert/certs.h"

struct clients;
struct clients_plan;

struct clients_options {
	struct loop *loop;
	struct hg_log *log;
	const char *data_dir;
	uint64_t (*wall_ms)(void);
	/* A file says something else: the edge should be told. */
	void (*on_change)(void *arg);
	void *arg;
};

HG_MUST enum hg_rc clients_new(
        const struct clients_options *o, struct clients **ret_clients, struct hg_err *err);
void clients_free(struct clients *c);

/*
 * As certs_check. What was given has "ca:" before the file's path as `cert`, the certificates as
 * `chain` and the revocation list as `key`, which is empty without one. HG_E_CERT_FILE.
 */
HG_MUST enum hg_rc clients_check(struct clients *c, const struct spec *s, const char *dir,
        const struct certs_given *given, uint32_t given_count, struct clients_plan **ret_plan,
        struct hg_err *err);
HG_MUST enum hg_rc clients_keep(struct clients *c, struct clients_plan *p, struct hg_err *err);
/* Takes the plan; who calls publishes. */
void clients_apply(struct clients *c, struct clients_plan *p);
void clients_plan_free(struct clients_plan *p);

/* What is in force. Valid until the next apply or turn of the loop. */
struct clients_view {
	const char *name, *file;
	struct hg_str certs, crl;
	const struct tls_cert *cert;
	int64_t crl_until_s; /* 0: it has none */
};
uint32_t clients_count(const struct clients *c);
struct clients_view clients_at(const struct clients *c, uint32_t i);

#endif
