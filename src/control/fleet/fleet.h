/*
 * The fleet: keeps the wanted number of replicas of every app alive, probed and known to the edge.
 * It owns its apps, replicas, probers and the endpoint table; loop, store, log and the descriptors
 * of `struct warden_child` stay the caller's and must outlive it. Everything runs on the one thread
 * of the given loop; no function blocks but for the store's commits. Desired state is written to
 * the store before anything is done, so that a killed control resumes where it was:
 * level-triggered, without a second copy of a process and without a replica leaving the balancer.
 * What can fail is checked first (fleet_check), what is applied cannot fail (fleet_apply). It never
 * starts a process itself (the warden does), never takes user traffic, never gives up on a replica.
 *
 * After a change nothing is done at once: one reconcile pass runs at the end of the loop's turn.
 */
#ifndef CONTROL_FLEET_FLEET_H
#define CONTROL_FLEET_FLEET_H

#include "base/err.h"
#include "base/log.h"
#include "os/loop.h"
#include "spec/snapshot.h"
#include "store/store.h"
#include "warden/warden.h"

struct fleet;
struct fleet_plan;
struct spec;
struct spec_pair;

#define FLEET_REPLICAS_MAX 1000 /* per app */

struct fleet_authority {
	const char *name;
	struct hg_str certs, crl; /* PEM */
};

struct fleet_options {
	struct loop *loop;
	struct store *store;
	struct hg_log *log;               /* may be NULL */
	const struct warden_child *child; /* warden_fd, table, meter, data_dir, incarnation */
	uint64_t seed;                    /* of the jitter */
	/*
	 * The warden asked for the end (WD_SHUTDOWN) and every replica is gone; WD_STOPPED was
	 * sent. May be NULL.
	 */
	void (*on_stopped)(void *arg);
	/* The warden's end of the socket closed: nothing can be started or stopped any more; the
	 * probers and the balancer go on. May be NULL. */
	void (*on_warden_lost)(void *arg);
	/*
	 * The file describes another release than before of an app that serves one already: it is
	 * in the store, the snapshot is published, and who set this decides how it takes over
	 * (fleet_want_set). Called at the end of fleet_apply, later when the store cannot be
	 * written, and again after a control that died before the call returned. Not called for
	 * the first release of an app, when the file goes back to what serves, and at the first
	 * fleet_apply of a fresh warden, when nothing serves yet and no trial is wanted: these run
	 * at once. A release made by fleet_release_make stays until the file itself changes.
	 * NULL: the file's release replaces the serving one step by step at once.
	 */
	void (*on_release)(void *arg, const char *app, uint32_t release);
	/* The authorities of clients' certificates, asked for with each snapshot; how many. NULL:
	 * none. */
	uint32_t (*authorities)(void *arg, struct fleet_authority to[SNAP_CAS_MAX]);
	/* How probes speak TLS to this app's replicas; NULL, or it is NULL: they cannot. */
	struct tls_remote *(*remote)(void *arg, struct hg_str app);
	void *arg;
};

/*
 * Reads desired state and replica rows from the store, takes over `child->warden_fd` (registers it
 * on the loop) and waits for the warden's list; nothing is started before fleet_apply was called
 * once and the list is complete. HG_E_FLEET_TABLE when the endpoint table is not of this layout.
 */
HG_MUST enum hg_rc fleet_new(
        const struct fleet_options *o, struct fleet **ret_fleet, struct hg_err *err);
/* Forgets everything in memory; replicas live on. NULL is fine. */
void fleet_free(struct fleet *f);

/*
 * Everything of a configuration that can fail: commands are split and expanded, artifacts read and
 * hashed, dependencies ordered, routes counted, meter lanes found. Copies what it needs: `s` may
 * be freed afterwards. `base_dir`: absolute folder that relative `dir` and `artifact` start from.
 */
HG_MUST enum hg_rc fleet_check(struct fleet *f, const struct spec *s, const char *base_dir,
        struct fleet_plan **ret_plan, struct hg_err *err);
/* NULL is fine. */
void fleet_plan_free(struct fleet_plan *p);
/*
 * Makes the plan the desired state (frees the plan). Apps with a changed command, env, dir or
 * artifact get a new release, see on_release; what is made of the same as a release of before is
 * that one. Releases run from copies of their artifacts. Apps that are gone are stopped. The
 * first snapshot is published and WD_READY sent in the same turn. A scale set by fleet_scale stays
 * until the file's own `replicas` changes.
 */
void fleet_apply(struct fleet *f, struct fleet_plan *p);

/* Whether the edge answers for the app, with 503. */
#define FLEET_MAINTENANCE_NETS 16
struct fleet_maintenance {
	bool on;
	uint64_t until_ms;                      /* Unix time; 0: until it is told otherwise */
	char message[257];                      /* said instead of the usual words; "" */
	char allow[FLEET_MAINTENANCE_NETS][48]; /* networks that are served all the same */
	uint32_t allow_count;
};
/* HG_E_INVALID: a message of several lines, a network that is none. */
HG_MUST enum hg_rc fleet_maintenance_check(const struct fleet_maintenance *m, struct hg_err *err);
/* Durable when it returns, and on its way to the edge; outlives every restart. As above, and
 * HG_E_FLEET_APP, the store's. */
HG_MUST enum hg_rc fleet_maintenance_set(
        struct fleet *f, struct hg_str app, const struct fleet_maintenance *m, struct hg_err *err);

/* The authorities say something else now: a new snapshot tells the edge. */
void fleet_authorities_changed(struct fleet *f);

/* HG_E_FLEET_APP: no such app. HG_E_INVALID: more than FLEET_REPLICAS_MAX. Others: the store's. */
HG_MUST enum hg_rc fleet_scale(
        struct fleet *f, struct hg_str app, uint32_t replicas, struct hg_err *err);
/* Replaces every replica of the app step by step, with the same release. */
HG_MUST enum hg_rc fleet_restart(struct fleet *f, struct hg_str app, struct hg_err *err);

/* ---- releases ---- */

#define FLEET_VERSION_MAX   64
#define FLEET_RELEASES_KEPT 10 /* per app, beside those in use */

/* What a deploy lays over the app's configuration; empty: as configured. */
struct fleet_change {
	struct hg_str version; /* name for people, also that of one of the app's `versions` */
	struct hg_str command;
	struct hg_str artifact; /* absolute path of a file or folder */
	const struct spec_pair *env;
	uint32_t env_count;
};

/*
 * Writes the release to the store and keeps a copy of its artifact under DATA/releases, so that a
 * rollback needs no rebuild. What is made of the same as a kept release is that one: then
 * *ret_fresh is false, and a name is noted for it. The artifact is read anew, also the configured
 * one. Blocks while it is copied (1 GiB at most) unless a reading is entered. Nothing is started.
 * HG_E_FLEET_APP, HG_E_FLEET_READING, HG_E_COMMAND,
 * HG_E_FLEET_COMMAND, HG_E_FLEET_ARTIFACT, HG_E_INVALID (names of version or environment),
 * HG_E_AGAIN (the file's own release could not be written yet), the store's.
 */
HG_MUST enum hg_rc fleet_release_make(struct fleet *f, struct hg_str app,
        const struct fleet_change *c, uint32_t *ret_release, bool *ret_fresh, struct hg_err *err);

/*
 * Reading an artifact takes as long as it is large, and is done beside the loop for those who can
 * wait. Between enter and leave, fleet_release_make and fleet_check fail with HG_E_FLEET_READING
 * when they need an artifact that was not read for *slot yet, which they make when it is NULL. Then
 * start it, and when `done` was called enter with the same slot and ask again, until the answer is
 * another one. Each asker has a slot of his own: what was read before he asked is not good enough.
 * HG_E_AGAIN: too many are being read.
 */
struct fleet_reading;
void fleet_reading_enter(struct fleet *f, struct fleet_reading **slot);
void fleet_reading_leave(struct fleet *f);
/* HG_E_NOMEM, HG_E_IO. `done` comes from the loop, once. */
HG_MUST enum hg_rc fleet_reading_start(
        struct fleet_reading *r, void (*done)(void *arg), void *arg, struct hg_err *err);
/* The `i`-th that is under way; false: there is none. `bytes`: read so far, those of a copy again:
 * only good to see that it goes on. */
bool fleet_reading_at(const struct fleet *f, uint32_t i, const char **ret_app, uint64_t *ret_bytes);
/* Also while it is under way: it gives up soon, `done` is not called. NULL is fine. */
void fleet_reading_free(struct fleet_reading *r);

struct fleet_release_info {
	uint32_t number;
	char version[FLEET_VERSION_MAX]; /* "" when it has no name */
	char digest[80];                 /* of the artifact, "" without */
	uint64_t created_ms;
};
/* HG_E_FLEET_APP, HG_E_NOT_FOUND. */
HG_MUST enum hg_rc fleet_release_info(struct fleet *f, struct hg_str app, uint32_t release,
        struct fleet_release_info *ret_info, struct hg_err *err);

/*
 * The releases an app is to run. `serving` has the app's own number of replicas, `trial` runs
 * beside it. When both change places no process is started or stopped (a promotion, and the way
 * back). A serving release that was not the trial replaces the former one by the app's fence
 * (max_surge, max_unavailable), or with `recreate` after all former replicas have ended. Endpoints
 * of the trial have weight 0: they get requests only from a trial of the snapshot.
 */
struct fleet_want {
	uint32_t serving;
	uint32_t serving_replicas; /* 0: the app's own number; fewer in a rolling update */
	uint32_t trial;            /* 0: none */
	uint32_t trial_replicas;
	bool recreate;
};
/*
 * Durable when it returns, and the endpoint table says who serves; the pass at the end of the turn
 * starts and stops. A former trial that is neither of both any more is stopped at once. With
 * `serving` new and the former serving one as trial the former replicas serve until they are
 * replaced; the trial gets replicas of its own.
 * HG_E_FLEET_APP; HG_E_NOT_FOUND: no such release; HG_E_FLEET_ARTIFACT: its artifact is not kept
 * any more; HG_E_INVALID: twice the same release, too many replicas; the store's.
 */
HG_MUST enum hg_rc fleet_want_set(
        struct fleet *f, struct hg_str app, const struct fleet_want *w, struct hg_err *err);
HG_MUST enum hg_rc fleet_want(
        const struct fleet *f, struct hg_str app, struct fleet_want *ret_want);

/* What became of one release of an app; all zero when nothing of it runs or is wanted. */
struct fleet_release_state {
	uint32_t wanted, total /* not being stopped */, ready, starting;
	uint32_t crash_loops;   /* replicas in CrashLoop */
	uint32_t failed_starts; /* replicas whose process ended, or was killed by its startup probe,
	                           before it was ready for the first time */
	uint32_t exits;         /* unwanted ends of processes since control knows the release */
	uint32_t memory_ends;   /* those of them for want of memory */
	uint64_t memory_max;    /* bytes, of the largest replica */
	double cpu_max;         /* cores, of the busiest */
	uint64_t memory_limit;  /* bytes, 0: none */
	double cpu_limit;       /* cores, 0: none */
};
void fleet_release_state(const struct fleet *f, struct hg_str app, uint32_t release,
        struct fleet_release_state *ret_state);

/* Replicas the app is to have, also while all is shut down: the file's, or fleet_scale's. 0 for an
 * unknown app. */
uint32_t fleet_replicas_wanted(const struct fleet *f, struct hg_str app);
/* Stable number of the app's name; 0 for an unknown one. */
uint32_t fleet_app_id(const struct fleet *f, struct hg_str app);
/* The warden's list is complete and a configuration is in force: what is said of replicas may be
 * believed. */
bool fleet_knows(const struct fleet *f);

/*
 * Runs a command once, as a replica of the release would run (user, sandbox, folder, env), with
 * `env` added. `done` is called once, on the loop: the wait status, or -1 and why when it could not
 * be started or took longer than `timeout_ms` (it is killed, and its end waited for). Nothing
 * listens, so PORT and SOCKET are only what `env` says. Its output is kept as log lines of the app,
 * replica 0. At most 16 at a time, and none before the past is known after a start (HG_E_AGAIN). A
 * fleet that is freed tells nobody; a command that ran when control died is ended, and counts as
 * failed because control was replaced: who waits for one writes that down and asks again after a
 * start. HG_E_FLEET_APP, HG_E_NOT_FOUND (no such release), HG_E_COMMAND, HG_E_FLEET_COMMAND,
 * HG_E_INVALID.
 */
typedef void (*fleet_command_fn)(void *arg, int status, const char *why);
HG_MUST enum hg_rc fleet_command_run(struct fleet *f, struct hg_str app, uint32_t release,
        struct hg_str command, const struct spec_pair *env, uint32_t env_count, uint32_t timeout_ms,
        fleet_command_fn done, void *arg, struct hg_err *err);

/*
 * A command that belongs to no app: it runs as a user of its own (by `name`, which is the app of
 * its log lines), in the folder `dir`, writes nowhere but in its own /tmp, and has only `env`
 * beside PATH, HOME and LANG. `done`, limits and errors as above.
 */
struct fleet_hook {
	const char *name, *dir;
	struct hg_str command;
	const struct spec_pair *env;
	uint32_t env_count, timeout_ms;
};
HG_MUST enum hg_rc fleet_hook_run(struct fleet *f, const struct fleet_hook *h,
        fleet_command_fn done, void *arg, struct hg_err *err);

/*
 * Drains and stops all replicas; `done` runs once when the last is gone. After `within_ms` those
 * left are killed. The desired state in the store stays: the next start starts them again.
 */
void fleet_shutdown(struct fleet *f, uint32_t within_ms, void (*done)(void *arg), void *arg);

/* ---- what is ---- */

enum fleet_state {
	FLEET_WAITING,  /* for an app it needs */
	FLEET_SPAWNING, /* asked of the warden */
	FLEET_STARTING, /* runs; its startup probe has not succeeded yet */
	FLEET_UNREADY,  /* started; readiness says no */
	FLEET_READY,    /* takes requests */
	FLEET_DRAINING, /* out of the balancer, requests in flight finish */
	FLEET_STOPPING, /* SIGTERM or SIGKILL sent */
	FLEET_BACKOFF,  /* ended; starts again at next_start_ms */
	FLEET_STATES
};

/* "waiting", "spawning", "starting", "unready", "ready", "draining", "stopping", "backoff" */
const char *fleet_state_name(enum fleet_state s);

enum fleet_phase {
	FLEET_APP_RUNNING,   /* all replicas wanted are ready, of the serving release */
	FLEET_APP_STARTING,  /* not all ready yet, nothing has failed */
	FLEET_APP_UPDATING,  /* replicas of another release are being replaced */
	FLEET_APP_WAITING,   /* for an app it needs */
	FLEET_APP_DEGRADED,  /* fewer ready than wanted after a failure; see reason */
	FLEET_APP_CRASHLOOP, /* a replica ended for the third time in a row or oftener */
	FLEET_APP_STOPPING,
	FLEET_APP_STOPPED, /* zero replicas wanted, none left */
};

/* "running", "starting", "updating", "waiting", "degraded", "crashloop", "stopping", "stopped" */
const char *fleet_phase_name(enum fleet_phase p);

/* Times are Unix milliseconds; 0: never or not known. */
struct fleet_replica_status {
	uint64_t id;     /* of the process for the warden; 0: none */
	uint32_t number; /* 1…; label `replica` */
	uint32_t release;
	uint32_t incarnation; /* label of its log streams' folder */
	enum fleet_state state;
	bool crash_loop;
	int pid;                /* 0: no process */
	char address[112];      /* "127.0.0.1:41234" */
	uint64_t since_ms;      /* when this state began */
	uint64_t started_ms;    /* start of the process */
	uint64_t next_start_ms; /* FLEET_BACKOFF */
	uint32_t restarts;      /* of this replica, since control knows it */
	bool has_exited;
	int exit_status;    /* last one, as from waitpid */
	bool exit_memory;   /* it was ended for want of memory */
	char exit_text[64]; /* "exit status 3", "killed by signal 9 (SIGKILL)", "out of memory:
	                       limit 64 MiB, ended by the kernel" */
	uint64_t exit_ms;
	char reason[160]; /* last probe failure or spawn error; "" when fine */
	/* With all processes that it started; from its cgroup where it has one. */
	double cpu_seconds;    /* used so far */
	double cpu;            /* cores: the mean of the last 5 s */
	uint64_t memory_bytes; /* what could not be taken back from it */
	uint64_t memory_limit; /* bytes, 0: none */
	double cpu_limit;      /* cores, 0: none */
	/* Who keeps it to the limit: "cgroup" the kernel, "watch" the warden, which looks once a
	 * second; "" nobody, or there is none. */
	const char *memory_keeper, *cpu_keeper;
	uint32_t in_flight;
	int32_t endpoint; /* slot of the endpoint table and of the meter, −1: none */
};

struct fleet_app_status {
	uint32_t id; /* stable number of the name */
	char name[WD_NAME_MAX];
	uint32_t release; /* the serving one */
	uint32_t trial;   /* the one under trial beside it, 0: none */
	uint32_t desired; /* replicas wanted: the file's, or fleet_scale's */
	uint32_t desired_file;
	/* Of what serves or is being replaced, never of the trial; total = not being stopped. */
	uint32_t ready, starting, total;
	uint32_t updated; /* of the serving release */
	uint32_t restarts;
	enum fleet_phase phase;
	bool maintenance;                            /* the edge answers for it */
	uint64_t maintenance_until_ms;               /* Unix time, 0: until it is told otherwise */
	char reason[192];                            /* one line for people; "" when all is well */
	const struct fleet_replica_status *replicas; /* by number */
	uint32_t replica_count;
	const char *const *routes; /* "feedback-app.com/static/" … */
	uint32_t route_count;
};

struct fleet_status {
	uint64_t generation; /* of the snapshot in force; 0: none yet */
	bool settled;        /* every app is running or stopped: what `up --detach` waits for */
	bool shutting_down;
	bool warden_lost; /* it died: what runs goes on, nothing is healed or changed */
	const struct fleet_app_status *apps; /* by name */
	uint32_t app_count;
};

/* Of the snapshot that was published last; 0: none yet. */
uint64_t fleet_generation(const struct fleet *f);

/* A copy of the present, to be freed with fleet_status_free. HG_E_NOMEM. */
HG_MUST enum hg_rc fleet_status(const struct fleet *f, struct fleet_status **ret_status);
void fleet_status_free(struct fleet_status *s);

/* What a meter lane counts: labels of headgate_requests_total and friends. In order of app,
 * release and lane. Valid until the next
 * fleet_apply. */
struct fleet_lane {
	const char *app, *route;
	uint32_t release; /* 0: answers that no replica gave */
	uint32_t lane;
	uint32_t rule_ms; /* an edge of the app's own in the histogram of durations; 0: none */
};
const struct fleet_lane *fleet_lanes(const struct fleet *f, size_t *ret_n);

/* Called on the loop for every journal entry the fleet writes, once it is durable. */
typedef void (*fleet_event_fn)(void *arg, const struct store_event *e);
struct fleet_watch {
	struct hg_list node;
	fleet_event_fn fn;
	void *arg;
};
/* The watch is the caller's memory; stop it before freeing. */
void fleet_watch_start(struct fleet *f, struct fleet_watch *w, fleet_event_fn fn, void *arg);
void fleet_watch_stop(struct fleet_watch *w);

#endif
