/* Inside the fleet: the doing half. Actions of decide_priv.h become messages, rows and slots. */
#ifndef CONTROL_FLEET_FLEET_PRIV_H
#define CONTROL_FLEET_FLEET_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "control/fleet/decide_priv.h"
#include "control/fleet/local/prober_priv.h"
#include "meter/board.h"
#include "meter/meter.h"
#include "os/clock.h"
#include "os/sock.h"
#include "spec/spec.h"

#include <limits.h>

#define FLEET_MAGIC         0xf1ee7001u
#define FLEET_REPLICA_MAGIC 0xf1ee7002u
#define FLEET_CONF_MAX      (4u << 20) /* memory of one app's configuration */
#define FLEET_REPORT_LINES  20u
#define FLEET_SAMPLE_MS     5000u
#define FLEET_USAGE_MS      1000u

/* What a release is made of; read from, and written as, the JSON text kept in the store. */
struct fleet_release {
	struct fleet_release *next;
	uint32_t number;
	struct hg_arena mem;
	const char *command, *dir;
	const char *path;   /* folder that comes first in PATH; "" when there is no artifact */
	const char *source; /* what `path` is a copy of, "" when it is none */
	struct spec_pair *env;
	uint32_t env_count;
	const char **writable;
	uint32_t writable_count;
	uint32_t uid;
	uint32_t flags;                                            /* WD_F_… */
	uint32_t proxy, tls;                                       /* as in struct snap_endpoint */
	bool http2;                                                /* likewise */
	uint64_t memory_max, cpu_max_milli, memory_low, cpu_milli; /* as in struct wd_msg */
	/* observed, since control knows it */
	uint32_t failed_starts, exits, memory_ends;
};

struct fleet_probe_conf {
	enum {
		FLEET_PROBE_NONE,
		FLEET_PROBE_HTTP,
		FLEET_PROBE_GRPC,
		FLEET_PROBE_TCP,
		FLEET_PROBE_COMMAND
	} kind;
	const char *what; /* path, service or command */
	uint32_t timeout_ms;
};

struct fleet_route {
	const char *host, *path, *name;
	bool preview; /* shows the release under trial */
	uint32_t priority, affinity, affinity_s;
	const char *affinity_cookie; /* NULL: none */
	uint32_t client;             /* enum snap_client */
	const char **cas;            /* names; none: all */
	uint32_t ca_count;
	struct snap_in_limit *limits;
	uint32_t limit_count;
	struct hg_str policy, session;
	struct snap_in_set access;
	struct hg_str rules;             /* who may, by roles; n 0: nobody is asked */
	struct snap_in_gateway *gateway; /* NULL: none */
};

/* Lists of networks of the whole edge. */
struct fleet_guard {
	struct hg_arena mem;
	struct snap_in_set trusted, exempt, access;
};

struct fleet_version {
	struct hg_str name;
	struct spec_pair *env;
	uint32_t env_count;
};

/* One app's part of the configuration, copied. */
struct fleet_conf {
	struct hg_arena mem;
	const char *name;
	struct fl_rules rules;
	struct fleet_probe_conf probe[PROBE_KINDS];
	const char **needs; /* apps only */
	uint32_t need_count;
	uint32_t replicas;
	struct fleet_route *routes;
	uint32_t route_count;
	struct snap_app edge;
	struct snap_in_page *pages;
	uint32_t page_count;
	const char *release_json, *digest;
	const char *artifact; /* absolute, "": none */
	bool kept;            /* there is a copy of it under DATA/releases */
	uint32_t release;     /* number of what the file describes */
	struct fleet_version *versions;
	uint32_t version_count;
	uint64_t logs_keep_ms, logs_max_bytes;
};

#define FLEET_URL_MAX 1008u

struct fleet_plan {
	struct fleet_conf **confs;
	uint32_t count;
	struct snap_image edge;        /* the edge-wide numbers */
	char traces_to[FLEET_URL_MAX]; /* "": spans are sent nowhere */
	struct fleet_guard *guard;
	/* prepared, so that applying allocates nothing */
	struct fleet_app **apps;         /* new ones; NULL where the app is known */
	struct fleet_release **releases; /* NULL where the release stays */
	struct fleet_app **table;        /* room for the new list of apps */
	uint32_t table_cap;
};

#define FLEET_USAGE_LOOKS 6u /* FLEET_USAGE_MS apart: CPU is the mean of 5 s */

/* What a process uses with all that it started. */
struct fleet_usage {
	uint64_t memory_bytes;
	uint64_t cpu_ns;  /* so far; never goes down */
	uint64_t tree_ns; /* as /proc had it last, which may */
	double cpu;       /* cores */
	struct {
		uint64_t at_ns, cpu_ns;
	} look[FLEET_USAGE_LOOKS]; /* a ring */
	uint32_t looks;
};

struct fleet_replica {
	uint32_t magic;
	struct fleet *f;
	struct fleet_app *app;
	uint32_t slot;
	uint64_t id;      /* of the newest process, 0: none yet */
	bool row;         /* the store has a row of this id */
	uint64_t old_row; /* row of a former process that goes with the next write, 0: none */
	bool dirty;       /* the row is behind */
	bool forgotten;   /* the warden was told that its end is recorded */
	int pid;
	char address[112];
	struct sock_addr addr;
	int ep;                                 /* place in the endpoint table, -1: none */
	uint64_t started_ms, exit_ms, since_ms; /* Unix time */
	bool has_exited;
	int exit_status; /* with WD_STATUS_… */
	char reason[160];
	uint32_t applied; /* WD_A_…, of the newest process */
	struct fleet_usage usage;
	struct prober *prober[PROBE_KINDS];
	uint64_t oneshot[PROBE_KINDS]; /* id of a command probe that runs */
};

struct fleet_app {
	uint32_t id;
	char name[WD_NAME_MAX];
	bool present;                             /* in the configuration */
	bool dirty;                               /* its row is behind */
	bool panics;                              /* as the journal has it */
	bool broken;                              /* … of its circuit breaker */
	uint64_t breaker_opened, breaker_refused; /* as counted when the journal was told last */
	bool maintenance_read;                    /* from the store */
	struct fleet_maintenance maintenance;
	struct ip_step through[IPSET_STEPS(FLEET_MAINTENANCE_NETS)];
	uint32_t through_count;
	int32_t scale;
	uint32_t scale_file;
	uint32_t file_release;     /* made from the configuration in force */
	uint32_t told;             /* the one that on_release was called for */
	uint32_t serving_replicas; /* struct fleet_want */
	bool recreate;
	struct fleet_conf *conf; /* NULL: only what is left of it is being stopped */
	struct fleet_release *releases;
	struct fl_app core;
	struct fleet_replica *at[FL_SLOTS];
};

struct fleet_lane_slot {
	bool used, live;
	bool unsaved; /* the store has no row of it, or one of somebody else */
	uint32_t app, release;
	char route[256];
};

/* Lanes of the meter, kept for as long as it lives (lanes.c). */
struct fleet_lanes {
	struct fleet_lane_slot *slot; /* by lane */
	uint32_t count, cap;          /* lanes handed out so far; room */
	uint32_t spare;               /* where the search for one that is not live goes on */
	struct hg_map by_key;
	struct fleet_lane *shown; /* for visitors: by app, release, lane */
	size_t shown_count;
	uint32_t unsaved; /* so many are */
};

struct fleet_message {
	struct hg_list node;
	struct wd_msg m;
	int fd; /* ours to close, -1: none */
};

/* Not in the journal yet: all of a turn are written in one transaction. */
struct fleet_pending {
	struct hg_list node;
	struct store_event e; /* its strings are below */
	char app[WD_NAME_MAX], kind[64];
	char text[];
};

#define FLEET_PENDING_MAX 1024u
#define FLEET_GONE_MAX    256u

struct fleet_reporter; /* a deathwhose last lines are being asked for */

struct fleet_known; /* rows_priv.h */

struct fleet {
	uint32_t magic;
	struct fleet_options o;
	struct snap_table *table;
	const struct meter *meter;
	struct board *board; /* NULL: none */
	struct hg_rand rand;
	uint64_t born_ms;
	struct fleet_app **apps; /* by name */
	uint32_t app_count;
	struct loop_io warden;
	bool warden_lost, writable_wanted;
	struct hg_list outbox; /* messages the pair had no room for */
	uint32_t outbox_count;
	struct fleet_known *known; /* until the past is sorted out, then NULL */
	uint32_t known_count, known_cap;
	bool greeted;       /* WD_HELLO came */
	uint32_t list_left; /* WD_REPLICA messages of the list still to come */
	bool applied, ready_sent;
	struct loop_timer timer, sample, usage, sweep;
	struct loop_task task;
	bool store_failing, retry; /* a failing store is tried again every FLEET_SAMPLE_MS */
	bool hold;                 /* messages wait until what they rest on is on disk */
	struct hg_list pending;
	uint32_t pending_count;
	uint64_t gone[FLEET_GONE_MAX]; /* rows to be removed */
	uint32_t gone_count;
	uint64_t next_id, generation;
	struct snap_image edge;
	char traces_to[FLEET_URL_MAX];
	struct fleet_guard *guard; /* NULL before the first fleet_apply */
	struct loop_timer maintain;
	struct fleet_lanes lanes;
	struct hg_list watches, reporters, commands, readings, removals;
	struct fleet_reading **reading; /* of who is asking just now; NULL: nobody can wait */
	uint32_t reading_count;
	uint64_t reading_serial;
	uint32_t reporter_count, command_count;
	struct {
		struct loop_timer timer;
		struct prober *prober;
		uint32_t at; /* the app that is being told of; behind the last: of traces */
		bool failing;
	} retention;
	bool stopping, stopped;
	uint64_t stop_by_ms;
	void (*stop_done)(void *arg);
	void *stop_arg;
	uint32_t ep_next;
	struct fleet_replica *ep_owner[SNAP_ENDPOINTS];
};

/* ---- fleet.c ---- */
void fleet_kick(struct fleet *f); /* a pass at the end of this turn */
struct fleet_app *fleet_app_find(const struct fleet *f, struct hg_str name);
struct fleet_app *fleet_app_by_id(const struct fleet *f, uint32_t id);
struct fleet_replica *fleet_replica_by_id(const struct fleet *f, uint64_t id);
HG_MUST struct fleet_replica *fleet_replica_new(
        struct fleet *f, struct fleet_app *a, uint32_t slot);
void fleet_replica_free(struct fleet_replica *r);
void fleet_app_free(struct fleet_app *a);
/* The end of its process is on disk: the warden may forget it. Once an id. */
void fleet_forget(struct fleet_replica *r);
/* HG_E_FLEET_STOPPING, HG_E_FLEET_WARDEN: a change would never take effect. */
HG_MUST enum hg_rc fleet_may_change(const struct fleet *f, struct hg_err *err);
uint32_t fleet_desired(const struct fleet *f, const struct fleet_app *a);
uint32_t fleet_serving(const struct fleet *f, const struct fleet_app *a);

HG_MUST enum hg_rc fleet_app_for(
        struct fleet *f, struct hg_str name, struct fleet_app **ret_app, struct hg_err *err);

/* ---- want.c ---- */
void fleet_app_take(struct fleet_app *a, const struct store_app *row);
struct store_app fleet_app_row(const struct fleet_app *a);
/* Above all that any place of the app has or had. */
uint32_t fleet_revision_next(const struct fleet *f, const struct fleet_app *a);
/* Calls on_release for what the file brought and nobody was told of yet. */
void fleet_releases_tell(struct fleet *f);

/* ---- plan.c, release.c ---- */
void fleet_conf_free(struct fleet_conf *c);
/* Fills release_json, digest, artifact and kept; an artifact that can be read and not be kept is
 * run from where it is. */
HG_MUST enum hg_rc fleet_release_json(struct fleet *f, struct fleet_conf *c,
        const struct spec_app *s, const char *base_dir, const char *dir, struct hg_err *err);
struct json_t;
/* Where its artifact lies; `kept`: the folder is a copy of `artifact`. */
bool fleet_release_place(
        struct json_t *o, const char *artifact, const char *folder, const char *digest, bool kept);
HG_MUST enum hg_rc fleet_release_dump(struct json_t *o, const char *app, struct hg_arena *mem,
        const char **ret_json, struct hg_err *err);
/* The release of the app that is made of the same, whether its artifact lies elsewhere or not; of
 * several the serving one, else the newest. 0: none. *ret_newest: the highest number in use. */
HG_MUST enum hg_rc fleet_release_same(struct fleet *f, const struct fleet_app *a, const char *json,
        const char *digest, uint32_t *ret_number, uint32_t *ret_newest, struct hg_err *err);
/* "release.created" for the journal. */
void fleet_release_event(struct fleet *f, struct fleet_app *a, uint32_t number, const char *digest,
        const char *version);
/* Artifacts that neither run nor belong to the last FLEET_RELEASES_KEPT are removed; all of an app
 * that left the file FLEET_REMOVED_KEEP_S ago and has no replica any more. */
#define FLEET_REMOVED_KEEP_S 86400u
void fleet_releases_sweep(struct fleet *f, struct fleet_app *a);
void fleet_removed_sweep(struct fleet *f);
/* Both from time to time, from now on. */
void fleet_sweep_start(struct fleet *f);
HG_MUST enum hg_rc fleet_release_read(struct hg_str json, uint32_t number,
        struct fleet_release **ret_release, struct hg_err *err);
void fleet_release_free(struct fleet_release *r);
/* From memory or from the store; NULL when neither has it. */
const struct fleet_release *fleet_release_find(
        struct fleet *f, struct fleet_app *a, uint32_t number);

/* ---- maintain.c, pages.c ---- */
/* Of apps that were not read yet; starts the watch. */
void fleet_maintenance_load(struct fleet *f);
void fleet_maintenance_watch(struct fleet *f);
/* HG_E_CONFIG_PAGE: one cannot be read, or is too large. */
HG_MUST enum hg_rc fleet_pages_read(struct fleet *f, struct fleet_conf *c, const struct spec_app *s,
        const char *base_dir, struct hg_err *err);

/* ---- gateway.c ---- */
/* What an app's routes have of a gateway's functions, once they are there; false: no memory. */
HG_MUST bool fleet_gateway_take(
        struct fleet_conf *c, const struct spec *spec, const struct spec_app *s);

/* ---- guard.c ---- */
/* Limits and lists of one route; false: no memory. */
HG_MUST bool fleet_guard_route(struct fleet_conf *c, struct hg_str app, const struct spec_route *r,
        struct fleet_route *to);
HG_MUST enum hg_rc fleet_guard_make(
        const struct spec_edge *s, struct fleet_guard **ret_guard, struct hg_err *err);
void fleet_guard_free(struct fleet_guard *g);

/* ---- access.c ---- */
/* Who may use the route, by roles and scopes; false: it is too much. */
HG_MUST bool fleet_access_make(struct fleet_conf *c, const struct spec_identity *id,
        const struct spec_access *access, struct fleet_route *to);
/* The last route is that of the preview; behind it come those that differ by who may use them, as
 * the app's own do: nothing is open there that is not open here. Room for them is there. */
HG_MUST bool fleet_access_preview(struct fleet_conf *c, const struct spec_app *s);

/* ---- artifact.c ---- */
#define FLEET_DIGEST_MAX 40
/*
 * The digest of a file or folder, and the folder of its copy under DATA/releases, made when it is
 * not there or not whole. On failure *ret_digest is "" when the artifact could not be read;
 * otherwise only the copy failed, and *ret_folder is where the artifact itself lies.
 */
struct fleet_reader {            /* of a thread that reads */
	atomic_ullong bytes;     /* read so far, each as often as it was read */
	const atomic_bool *stop; /* set: give up soon */
	uint64_t serial;         /* makes the names of its temporary folders its own */
};
/* `reader` may be NULL. Touches nothing of the fleet: runs on any thread. */
HG_MUST enum hg_rc fleet_artifact_keep(const char *data_dir, const char *app, const char *path,
        struct fleet_reader *reader, char ret_digest[FLEET_DIGEST_MAX], char ret_folder[PATH_MAX],
        struct hg_err *err);
/* Removes all copies of the app that `keep` does not want, beside the loop. */
void fleet_artifacts_sweep(
        struct fleet *f, const char *app, bool (*keep)(void *arg, const char *digest), void *arg);
#define FLEET_SWEEP_EACH 32u /* folders at a time; more wait for the next sweep */
/* Renames it to where nobody finds it but a sweep; *ret_path: PATH_MAX bytes. What begins with a
 * dot lies there already. */
HG_MUST bool fleet_artifact_aside(
        const char *root, const char *name, uint64_t serial, char *ret_path);
/* A copy, or what was left of one. Runs on any thread. */
void fleet_artifact_remove(const char *path);

/* ---- reading.c ---- */
#define FLEET_READINGS_MAX 8u
/* fleet_artifact_keep from the present reading; without one, at once. HG_E_FLEET_READING: not yet.
 */
HG_MUST enum hg_rc fleet_artifact_take(struct fleet *f, const char *app, const char *path,
        char ret_digest[FLEET_DIGEST_MAX], char ret_folder[PATH_MAX], struct hg_err *err);
/* An artifact of the app is being read, or was and is about to be used by somebody else than who
 * asks just now. */
bool fleet_reading_any(const struct fleet *f, const char *app);
/* Beside the loop; takes `path`, which was allocated. */
void fleet_artifacts_remove(struct fleet *f, char (*path)[PATH_MAX], uint32_t count);
void fleet_readings_end(struct fleet *f);

/* ---- local/spawn.c ---- */
/* Splits with sample values: says at check time what would fail at every start. */
HG_MUST enum hg_rc fleet_command_check(
        const struct fleet_release *rel, const char *command, const char *app, struct hg_err *err);
HG_MUST enum hg_rc fleet_spawn(struct fleet_replica *r, struct hg_err *err);
HG_MUST enum hg_rc fleet_spawn_probe(
        struct fleet_replica *r, enum probe_kind kind, struct hg_err *err);

struct fleet_oneshot {
	struct fleet_app *app;
	uint32_t release;
	uint64_t id;
	struct hg_str command;
	const struct spec_pair *env;
	uint32_t env_count, timeout_ms;
};
HG_MUST enum hg_rc fleet_spawn_command(
        struct fleet *f, const struct fleet_oneshot *o, struct hg_err *err);
/* A command of no app; `id` is new. */
HG_MUST enum hg_rc fleet_spawn_hook(
        struct fleet *f, const struct fleet_hook *h, uint64_t id, struct hg_err *err);
/* HG_E_INVALID: a name that no environment can have, or a value with a zero. */
HG_MUST enum hg_rc fleet_env_check(const struct spec_pair *env, uint32_t n, struct hg_err *err);

/* ---- local/command.c ---- */
/* True when the message is about a command of fleet_command_run. */
bool fleet_command_ended(struct fleet *f, const struct wd_msg *m);
void fleet_commands_lost(struct fleet *f);
void fleet_commands_free(struct fleet *f); /* nobody is told */

/* ---- local/link.c ---- */
HG_MUST enum hg_rc fleet_link_start(struct fleet *f, struct hg_err *err);
void fleet_link_stop(struct fleet *f);
/* `fd` is taken over, -1: none. Never blocks: waits in the outbox when the pair is full. */
void fleet_send(struct fleet *f, struct wd_msg *m, int fd);
/* Sends what was held or had no room. */
void fleet_link_flush(struct fleet *f);
void fleet_send_simple(struct fleet *f, enum wd_type type, uint64_t id, int signo);

/* ---- local/probes.c ---- */
void fleet_probe(struct fleet_replica *r, enum probe_kind kind);
void fleet_probes_stop(struct fleet_replica *r);
/* True when `id` was the one-shot process of a probe. */
bool fleet_probe_ended(struct fleet *f, uint64_t id, bool started, int status);

/* ---- publish.c ---- */
HG_MUST enum hg_rc fleet_lanes_load(struct fleet *f, struct hg_err *err);
void fleet_lanes_fini(struct fleet_lanes *l);
/* Around the making of a snapshot. */
void fleet_lanes_begin(struct fleet *f);
void fleet_lanes_end(struct fleet *f);
/* The lane of (app, release, route), kept for as long as the meter lives. When all are handed out
 * one that no snapshot names any more is given away: its series then goes on from a number above
 * zero, which rates do not see. */
uint32_t fleet_lane_of(struct fleet *f, uint32_t app, uint32_t release, const char *route);
/* Rows of those that have none, within a transaction of the caller; it was committed. */
HG_MUST enum hg_rc fleet_lanes_write(struct fleet *f, struct hg_err *err);
void fleet_lanes_written(struct fleet *f);
void fleet_publish(struct fleet *f);
void fleet_endpoint(struct fleet_replica *r, uint32_t state);

/* ---- report.c ---- */
/* `detail`: a JSON object or NULL. */
/* guards.c: what the edge's circuit breakers did, into the journal; `learn`: a control that was
 * replaced goes on from what is, without telling it again. */
void fleet_guards_learn(struct fleet *f, struct fleet_app *a);
void fleet_guards_note(struct fleet *f, struct fleet_app *a);
void fleet_journal(struct fleet *f, const char *kind, const struct fleet_app *a, uint32_t release,
        uint32_t replica, const char *detail);
void fleet_report(struct fleet_replica *r, const struct fl_action *a);
void fleet_reports_stop(struct fleet *f);
void fleet_journal_tell(struct fleet *f, const struct store_event *e);
void fleet_store_result(struct fleet *f, enum hg_rc rc, const struct hg_err *err);
void fleet_exit_text(int status, char *to, size_t cap);
/* The same of a replica's last end, which may have been for want of memory. */
void fleet_replica_exit(const struct fleet_replica *r, char *to, size_t cap);

/* ---- retention.c ---- */
/* From the first app on: after each apply and each start of observe. Tries until it is told. */
void fleet_retention_tell(struct fleet *f);
void fleet_retention_stop(struct fleet *f);

/* ---- usage.c ---- */
void fleet_sample(struct fleet *f); /* CPU and memory of the replicas */
/* Until the next sample: a second where there are limits, else five. */
uint64_t fleet_usage_wait_ms(const struct fleet *f);
/* A limit and who keeps it; release may be NULL. */
const char *fleet_memory_keeper(const struct fleet_replica *r); /* "cgroup", "watch", "" */
const char *fleet_cpu_keeper(const struct fleet_replica *r);    /* "cgroup", "" */
/* From memory only; NULL when nobody asked for it yet. */
const struct fleet_release *fleet_release_known(const struct fleet_app *a, uint32_t number);

/* ---- rows.c ---- */
HG_MUST enum hg_rc fleet_resume(struct fleet *f, struct hg_err *err);
void fleet_row_save(struct fleet_replica *r);
void fleet_row_spawn(struct fleet_replica *r, uint64_t old_id);
void fleet_row_remove(struct fleet_replica *r);
void fleet_app_save(struct fleet *f, struct fleet_app *a);
/* One transaction for all rows and events that wait; then watchers hear of the events. A store
 * that fails keeps them waiting. */
void fleet_flush(struct fleet *f);

static inline struct fl_replica *fleet_core(const struct fleet_replica *r)
{
	return &r->app->core.slot[r->slot];
}

#endif
