/*
 * How apps' replicas are spoken to by TLS: authorities, our certificates and their keys, read, kept
 * and looked at again like the edge's own certificates (certs.h), with which they travel to the
 * edge. What an app had last is kept until the app leaves the file: releases of before the key was
 * taken out may still be served, or come back by a rollback.
 */
#ifndef CONTROL_CERT_UPSTREAMS_H
#define CONTROL_CERT_UPSTREAMS_H

#include "cert/cert.h"
#include "control/cert/certs.h"

struct upstreams;
struct upstreams_plan;

struct upstreams_options {
	struct loop *loop;
	struct hg_log *log;
	const char *data_dir;
	uint64_t (*wall_ms)(void);
	const char *
	        system_file; /* the authorities this machine trusts; NULL: where they usually are */
	/* A file says something else: the edge should be told. */
	void (*on_change)(void *arg);
	void *arg;
};

HG_MUST enum hg_rc upstreams_new(
        const struct upstreams_options *o, struct upstreams **ret_upstreams, struct hg_err *err);
void upstreams_free(struct upstreams *u);

/*
 * As certs_check. What was given has "up-ca:" before the file's path as `cert` and the authorities
 * as `chain`, or "up:" before that of a certificate, and its key. HG_E_CERT_FILE, with the place of
 * the key in the file.
 */
HG_MUST enum hg_rc upstreams_check(struct upstreams *u, const struct spec *s, const char *dir,
        const struct certs_given *given, uint32_t given_count, struct upstreams_plan **ret_plan,
        struct hg_err *err);
HG_MUST enum hg_rc upstreams_keep(
        struct upstreams *u, struct upstreams_plan *p, struct hg_err *err);
/* Takes the plan; who calls publishes. */
void upstreams_apply(struct upstreams *u, struct upstreams_plan *p);
void upstreams_plan_free(struct upstreams_plan *p);

/* What is in force. Valid until the next apply or turn of the loop. */
uint32_t upstreams_count(const struct upstreams *u);
struct cert_remote_conf upstreams_at(const struct upstreams *u, uint32_t i);
/* For probes; NULL: that app has none. */
struct tls_remote *upstreams_remote(const struct upstreams *u, struct hg_str app);

#endif
