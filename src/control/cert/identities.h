/*
 * How clients of apps prove who they are, as the edge is told: policies of the configuration with
 * the keys that go with them. Keys from files are read at `up` and `reload`, like certificates;
 * sets behind an address are fetched here, kept on disk, and read again from time to time and when
 * tokens name keys that are in no set. What was fetched last is served until there is something
 * better, however long the issuer is away. With them goes the Redis of edge.rate_limits, and its
 * password.
 */
#ifndef CONTROL_CERT_IDENTITIES_H
#define CONTROL_CERT_IDENTITIES_H

#include "control/cert/certs.h"
#include "fetch/fetch.h"
#include "meter/meter.h"

struct identities;
struct identities_plan;

struct identities_options {
	struct loop *loop;
	struct hg_log *log;
	struct fetch *fetch;
	const struct meter *meter; /* where workers count tokens with unknown keys; may be NULL */
	const char *data_dir;
	uint64_t (*wall_ms)(void);
	/* The number that the meter knows an app by; 0: it has none. */
	uint32_t (*app_id)(void *arg, struct hg_str app);
	/* There is another set of keys: the edge should be told. */
	void (*on_change)(void *arg);
	void *arg;
};

HG_MUST enum hg_rc identities_new(
        const struct identities_options *o, struct identities **ret_identities, struct hg_err *err);
void identities_free(struct identities *d);

/*
 * As certs_check: the text of a file is what was given under "jwt:" and its path, else what the
 * file says, else what was kept. HG_E_KEY_FILE, HG_E_RATE_PASSWORD,
 * with the place of the key in the configuration.
 */
HG_MUST enum hg_rc identities_check(struct identities *d, const struct spec *s, const char *dir,
        const struct certs_given *given, uint32_t given_count, struct identities_plan **ret_plan,
        struct hg_err *err);
/* HG_E_IO. */
HG_MUST enum hg_rc identities_keep(
        struct identities *d, const struct identities_plan *p, struct hg_err *err);
/* Takes the plan; who calls publishes. */
void identities_apply(struct identities *d, struct identities_plan *p);
void identities_plan_free(struct identities_plan *p);

/* The document for the edge (auth/provider.h); n 0: no app has an identity. Valid until the next
 * apply or turn of the loop. */
struct hg_str identities_text(struct identities *d);

/* What is known of a set behind an address, for metrics. */
struct identities_view {
	const char *app;
	const char *issuer;  /* NULL: it is the app's only one */
	bool fetched;        /* it is behind an address */
	uint32_t keys;       /* of the set that is served */
	uint64_t fetched_ms; /* Unix time; 0: never by this control */
	uint64_t failures;   /* to fetch it, ever */
};
/* Is there something to tell the edge? */
bool identities_any(const struct identities *d);
uint32_t identities_count(const struct identities *d);
struct identities_view identities_at(const struct identities *d, uint32_t i);

#endif
