/*
 * Certificates by ACME (RFC 8555): obtained for the names of the configuration, renewed in time,
 * and handed to control/cert, which serves them. One order at a time; what is under way, the
 * account's key and the certificates are in DATA/certs/acme.json (mode 0600), so that a control
 * that takes over goes on where the last one was, and no limit of an authority is used up by
 * restarts. It runs on control's loop. No private key is in a log, the journal, or an answer of the
 * API.
 */
#ifndef CONTROL_ACME_ACME_H
#define CONTROL_ACME_ACME_H

#include "base/err.h"
#include "base/log.h"
#include "control/cert/certs.h"
#include "os/loop.h"
#include "spec/spec.h"
#include "store/store.h"

struct acme;
struct acme_conf; /* a configuration that was checked */
struct fetch;

/* A command that sets or clears a record; main passes on fleet_hook_run's. */
typedef void (*acme_hook_fn)(void *arg, int status, const char *why);
struct acme_hook {
	const char *name, *dir;
	struct hg_str command;
	const struct spec_pair *env;
	uint32_t env_count, timeout_ms;
};

struct acme_options {
	struct loop *loop;
	struct hg_log *log;
	struct store *store;
	struct fetch *fetch;
	struct certs *certs;
	const char *data_dir;
	uint64_t seed;
	uint64_t (*wall_ms)(void);
	void (*on_event)(void *arg); /* the journal has something new; may be NULL */
	/* Runs the hook for dns-01; `done` from the loop, once. */
	enum hg_rc (*hook_run)(void *arg, const struct acme_hook *h, acme_hook_fn done,
	        void *done_arg, struct hg_err *err);
	void *arg;
};

/* Reads what is kept. HG_E_NOMEM, HG_E_IO. */
HG_MUST enum hg_rc acme_new(
        const struct acme_options *o, struct acme **ret_acme, struct hg_err *err);
/* NULL is fine. What is under way goes on with the next control. */
void acme_free(struct acme *a);

/*
 * Checks `edge.tls.acme`: which names are wanted, beside those that `files` answers for, and
 * whether its files can be read; `given` and `dir` as in certs_check. HG_E_CERT_FILE,
 * HG_E_CONFIG_LIMIT, HG_E_NOMEM.
 */
HG_MUST enum hg_rc acme_check(struct acme *a, const struct spec *s, const char *dir,
        const struct certs_plan *files, const struct certs_given *given, uint32_t given_count,
        struct acme_conf **ret_conf, struct hg_err *err);
/*
 * Takes the conf, and hands what is kept for its names to control/cert, which publishes it with the
 * next certs_apply: call that behind this. Orders begin from the loop.
 */
void acme_apply(struct acme *a, struct acme_conf *c);
void acme_conf_free(struct acme_conf *c);

/* For views and metrics; valid until the loop goes on. */
struct acme_view {
	char names[1024];          /* with spaces between them, shortened if need be */
	const char *first;         /* of the names */
	const char *authority;     /* its directory; "": there is no certificate yet */
	int64_t from_ms, until_ms; /* 0: likewise */
	int64_t renew_ms;          /* when it is due by itself */
	int64_t next_ms;           /* when something is tried next, 0: now */
	uint32_t failures;         /* since the last success */
	const char *why;           /* of the last failure; "": none */
	bool working;              /* an order is under way */
};
uint32_t acme_count(const struct acme *a);
void acme_at(const struct acme *a, uint32_t i, struct acme_view *ret_view);

/*
 * Wants a new certificate for this name (one of a certificate's) as soon as the limits allow, also
 * after failures; `dry_run`: only looks whether there is one. HG_E_NOT_FOUND.
 */
HG_MUST enum hg_rc acme_renew(struct acme *a, struct hg_str name, bool dry_run, struct hg_err *err);

/* Orders begun, and orders that came to nothing, since control began. */
struct acme_counts {
	uint64_t orders, failures;
};
struct acme_counts acme_counts(const struct acme *a);

#endif
