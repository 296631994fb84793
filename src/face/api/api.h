/*
 * The HTTP API of control (design section 6): on the admin TCP listener and on DATA/control.sock.
 * Rows of schema/routes.toml are the one source of dispatch, roles, OpenAPI document and docs.
 * It runs on control's loop and thread, owns its server, its streams and nothing else: fleet, store
 * and meter stay the caller's and must outlive it. Every failure is an RFC 9457 problem with the HG
 * code; every change is audited in the store with who, what and result. It never blocks the loop
 * and never decides: handlers read from, or hand over to, the doors of fleet and store.
 *
 * Who may: over the unix socket the owner of DATA and root are admin, others are refused. Over TCP
 * a bearer token with a role (viewer < deployer < admin) is needed for everything but /healthz,
 * /readyz and, from a loopback address, /metrics; the Host field must be an address literal,
 * or "localhost" (DNS rebinding), and no CORS permission is ever given.
 */
#ifndef FACE_API_API_H
#define FACE_API_API_H

#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "os/loop.h"

struct acme;
struct incidents;
struct slo;
struct certs;
struct clients;
struct identities;
struct fleet;
struct meter;
struct board;
struct notify;
struct rollouts;
struct store;
struct api;

/* A configuration as `up` and `reload` hand it over. Strings are zero-terminated. */
struct api_config {
	struct hg_str text;        /* the YAML file */
	struct hg_str file;        /* its name for messages */
	struct hg_str dir;         /* absolute; relative paths of the file start here */
	struct hg_str environment; /* overlay, or empty */
	bool dry_run;              /* check and say what would change, change nothing */
	/* Certificates as whoever ran `up` or `reload` could read them; may be fewer than the file
	 * names. */
	struct api_cert {
		struct hg_str cert, chain, key;
	} * certs;
	uint32_t cert_count;
};

struct api_deps {
	struct loop *loop;
	struct hg_log *log; /* may be NULL */
	struct fleet *fleet;
	struct rollouts *rollouts;           /* may be NULL: what needs them is 503 */
	const struct certs *certs;           /* may be NULL */
	const struct clients *clients;       /* likewise */
	const struct identities *identities; /* likewise */
	struct acme *acme;                   /* may be NULL */
	struct notify *notify;               /* may be NULL */
	struct slo *slo;                     /* likewise: 503 */
	struct incidents *incidents;         /* likewise */
	struct store *store;
	const struct meter *meter; /* may be NULL: no request counters yet */
	const struct board *board; /* may be NULL: replicas go on with their places' counts */
	const char *data_dir;
	int control_fd; /* listener of DATA/control.sock, or -1 */
	int admin_fd;   /* admin TCP listener, or -1 */
	uint32_t owner_uid;
	/*
	 * POST /v1/reload: check everything, then apply everything or nothing. `ret_diff` gets one
	 * line a change ("~ apps.feedback.replicas: 2 → 3"), empty when nothing changes.
	 */
	enum hg_rc (*reload)(void *arg, const struct api_config *config, struct hg_buf *ret_diff,
	        struct hg_err *err);
	/* Optional: the configuration in force with all defaults, as YAML (GET /v1/config). */
	enum hg_rc (*config_text)(void *arg, struct hg_buf *to, struct hg_err *err);
	/* Optional: URLs of the edge for people, one a line ("http://localhost:8080\n"). */
	void (*edge_urls)(void *arg, struct hg_buf *to);
	/* GET /readyz: false with a reason until the first snapshot is published. */
	bool (*ready)(void *arg, const char **ret_why);
	void *arg;
};

/* Copies *d (not what it points to) and starts to listen. */
HG_MUST enum hg_rc api_new(const struct api_deps *d, struct api **ret_api, struct hg_err *err);
void api_free(struct api *a);
/* New journal entries were written: sends them to the event streams at the end of this turn. */
void api_events_changed(struct api *a);
/* What control alone knows, in the text format: /metrics without what the meter has. */
void api_metrics_own(struct api *a, struct hg_buf *to);
/* Ends streams, answers what is in flight, then calls `drained`. */
void api_drain(struct api *a, uint32_t within_ms, void (*drained)(void *arg), void *arg);

/*
 * Reads the document of POST /v1/reload, which is also what `plan_fd` of the warden's plan holds.
 * Strings are taken from `mem`. HG_E_API_BODY for anything else, with the field at fault.
 */
HG_MUST enum hg_rc api_config_parse(struct hg_arena *mem, struct hg_str json,
        struct api_config *ret_config, struct hg_err *err);

#endif
