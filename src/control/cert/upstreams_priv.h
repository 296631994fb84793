/* Inside the settings of TLS to replicas. */
#ifndef CONTROL_CERT_UPSTREAMS_PRIV_H
#define CONTROL_CERT_UPSTREAMS_PRIV_H

#include "control/cert/certs_priv.h"
#include "control/cert/upstreams.h"

struct upstreams_one {
	char *app, *name;
	char *ca_file;           /* absolute; NULL: the system's authorities, or no `verify` */
	char *cert, *key;        /* absolute, NULL: none */
	char *ca;                /* text, of ca_file */
	struct cert_texts texts; /* of cert and key */
	struct tls_cert is;      /* what `cert` says */
	bool verify, allow_1_2;
	bool old;       /* not in the file any more */
	uint64_t stamp; /* of the files when they were read here, 0: never */
	bool complained;
	uint8_t warned;
	struct tls_remote *remote;
};

struct upstreams_plan {
	char *system; /* text of the system's authorities, NULL: nobody needs them */
	const char *system_file;
	uint64_t system_stamp; /* of system_file when it was read */
	bool complained;       /* of system_file */
	uint32_t count;
	struct upstreams_one *one;
};

void upstreams_one_free(struct upstreams_one *o);
/* Makes `remote` from the texts; NULL for `system` when it has authorities of its own. `like` as in
 * tls_remote_new. HG_E_CERT_FILE. */
HG_MUST enum hg_rc upstreams_remote_make(
        struct upstreams_one *o, const char *system, struct tls_remote *like, struct hg_err *err);

/* upstreams_kept.c: DATA/certs/upstreams.json. */
HG_MUST enum hg_rc upstreams_kept_write(
        const char *data_dir, const struct upstreams_plan *p, struct hg_err *err);
/* Everything that was kept; a plan without remotes, empty when there is nothing. NULL: memory. */
struct upstreams_plan *upstreams_kept_read(const char *data_dir);

#endif
