/*
 * The certificates of the edge: read from the files that the configuration names, kept in the data
 * folder (so that control starts with them although it may not read the files itself), published to
 * the edge as one bundle with the keys of session tickets, and looked at again every half minute.
 * Expiry is a metric, and an entry in the journal when it is near.
 */
#ifndef CONTROL_CERT_CERTS_H
#define CONTROL_CERT_CERTS_H

#include "base/err.h"
#include "base/log.h"
#include "os/loop.h"
#include "os/tls.h"
#include "spec/spec.h"
#include "store/store.h"
#include "warden/warden.h"

struct certs;
struct certs_plan;
struct upstreams;
struct identities;

/* What whoever ran `up` or `reload` read: the file of the chain as the configuration names it. */
struct certs_given {
	struct hg_str cert, chain, key; /* zero-terminated */
};

struct certs_options {
	struct loop *loop;
	struct hg_log *log;
	struct store *store;
	const struct warden_child *child;
	const struct upstreams *upstreams; /* travel with them; may be NULL */
	struct identities *identities;     /* … as these do */
	const struct meter *meter;         /* what workers acknowledge; may be NULL */
	uint64_t (*wall_ms)(void);
};

HG_MUST enum hg_rc certs_new(
        const struct certs_options *o, struct certs **ret_certs, struct hg_err *err);
void certs_free(struct certs *c);

/*
 * Checks that every certificate of the configuration can be used: its text is what was given, else
 * what its files say (relative paths start at `dir`), else what was kept. HG_E_CERT_FILE.
 */
HG_MUST enum hg_rc certs_check(struct certs *c, const struct spec *s, const char *dir,
        const struct certs_given *given, uint32_t given_count, struct certs_plan **ret_plan,
        struct hg_err *err);
/* Keeps them on disk; nothing is published yet. HG_E_IO. */
HG_MUST enum hg_rc certs_keep(struct certs *c, struct certs_plan *p, struct hg_err *err);
/* Does one of its files answer for this host (lower case)? */
bool certs_plan_covers(const struct certs_plan *p, struct hg_str host);
/* Publishes; takes the plan. */
void certs_apply(struct certs *c, struct certs_plan *p);
void certs_plan_free(struct certs_plan *p);

/*
 * Certificates of another source, served behind those of files, so that files win for their names.
 * Texts are copied; what was given before is replaced. Published by certs_refresh. HG_E_NOMEM,
 * HG_E_CERT_FILE for one that cannot be used: nothing is changed.
 */
struct certs_other {
	struct hg_str chain, key;
};
HG_MUST enum hg_rc certs_others_set(
        struct certs *c, const struct certs_other *others, uint32_t n, struct hg_err *err);
/* Answers for authorities that validate names; likewise copied and replaced. HG_E_NOMEM. */
struct cert_token;
HG_MUST enum hg_rc certs_challenges_set(struct certs *c, const struct cert_token *tokens,
        uint32_t token_count, const struct certs_other *alpn, uint32_t alpn_count,
        struct hg_err *err);
/* Publishes what there is now, with what is said of replicas; the generation that workers will
 * acknowledge, 0: HTTPS is off. */
uint64_t certs_refresh(struct certs *c);
/* Of what was published last; 0: HTTPS is off, or was never on. */
uint64_t certs_generation(const struct certs *c);
/* Do all workers that live use this generation, or a later one? */
bool certs_taken(const struct certs *c, uint64_t generation);
/* Nothing but a certificate that nobody trusts is served: the first one is still being obtained. */
bool certs_placeholder(const struct certs *c);

/* What is served, for views and metrics. Valid until the next apply. */
struct certs_view {
	const char *file; /* "acme" for those of certs_others_set */
	const struct tls_cert *cert;
	bool other;
};
uint32_t certs_count(const struct certs *c);
struct certs_view certs_at(const struct certs *c, uint32_t i);

#endif
