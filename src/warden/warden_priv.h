/* Inside of the warden: one struct, fixed tables, one loop, one thread. */
#ifndef WARDEN_PRIV_H
#define WARDEN_PRIV_H

#include "base/err.h"
#include "base/log.h"
#include "os/cgroup.h"
#include "os/file.h"
#include "os/loop.h"
#include "os/proc.h"
#include "os/sandbox.h"
#include "warden/warden.h"

#define NAME_ROOM    128 /* <app>.<release>.<replica>.<incarnation> */
#define PATH_ROOM    512
#define DATA_DIR_MAX 300
#define ROLES_MAX    (2 + WARDEN_WORKERS_MAX)
#define NOTES_MAX    128
#define UIDS_MAX     (WARDEN_UID_APPS_END - WARDEN_UID_APPS)

#define ROLE_MAGIC    0x524f4c45u
#define REPLICA_MAGIC 0x5245504cu

struct warden;

/* What a child still has to be told; sent as far as its socket takes it, the rest on EPOLLOUT. */
#define TELL_OPEN    1u   /* observe: WD_LOG_OPEN of this source */
#define TELL_END     2u   /* observe: WD_LOG_END */
#define TELL_REPLICA 4u   /* control: WD_REPLICA */
#define TELL_EXIT    8u   /* control: WD_EXITED */
#define TELL_HELLO   16u  /* control */
#define TELL_STOP    32u  /* control: WD_SHUTDOWN; edge: WD_EDGE_DRAIN; observe: WD_LOG_STOP */
#define TELL_IMAGE   64u  /* edge: WD_EDGE_SNAPSHOT; observe: WD_OBSERVE_SNAPSHOT */
#define TELL_CERTS   128u /* edge: WD_EDGE_CERTS */
#define TELL_CONF    256u /* observe: WD_OBSERVE_CONF */

/* The two FIFOs of a process. `keep` holds them open for reading and writing, so that neither a
 * reader's nor a writer's death closes them. */
struct source {
	bool open, ended;
	uint32_t tell;
	uint64_t id;
	struct wd_who who;
	uid_t uid;
	char name[NAME_ROOM]; /* of the directory below run/, and of the spool files */
	int keep[2], rd[2];
	uint64_t discarded; /* bytes lost because the disk was full */
};

struct role {
	uint32_t magic;
	struct warden *w;
	enum wd_role role;
	uint32_t worker;
	int pid; /* 0: not running */
	uint64_t start_time, started_ms;
	uint32_t incarnation, fast_deaths;
	int fd; /* our end of its pair */
	struct loop_io io;
	struct loop_timer timer; /* restart, or kill at shutdown */
	uint32_t tell;
	bool has_log, waits_out;
	struct source log;
};

enum replica_state { REPLICA_FREE, REPLICA_STARTING, REPLICA_RUNS, REPLICA_ENDED, REPLICA_FAILED };

struct replica {
	uint32_t magic;
	struct warden *w;
	enum replica_state state;
	uint64_t id;
	enum wd_kind kind;
	struct wd_who who;
	char address[sizeof((struct wd_msg *)0)->address];
	int pid, pidfd, status, error, step;
	uid_t uid;
	uint64_t start_time, started_ms, ended_ms, deadline_ms, memory_max;
	uint32_t applied, cgroup_parts, tell;
	bool forgotten;
	/* A limit that is watched: what several processes share is counted again when they have
	 * grown, or after a while. */
	bool over;
	uint64_t counted_bytes, counted_ms;
	int report_fd; /* where the child says how far it came */
	struct loop_io report;
	struct loop_timer deadline;
	struct source log;
};

enum phase { PHASE_UP, PHASE_EDGES, PHASE_CONTROL, PHASE_REPLICAS, PHASE_OBSERVE, PHASE_DONE };

struct warden {
	const struct warden_plan *plan;
	struct loop *loop;
	struct hg_log log;
	struct proc_title title;
	char data_dir[DATA_DIR_MAX];
	bool as_root;
	uid_t owner; /* of control.sock: who called us */
	gid_t owner_group;
	int run_fd, spool_fd, lock_fd, replicas_fd;

	int listen_fds[WARDEN_LISTENERS_MAX];
	int admin_fd, control_fd, observe_fd;
	int span_fds[2]; /* the lane of spans: observe's end, the edges' end; kept, so that neither
	                  * side's death closes it */
	int meter_fd, meter_ro_fd, table_fd, table_ro_fd, rates_fd, rates_ro_fd;
	int board_fd, board_ro_fd;
	void *meter;
	int image_fd; /* the newest snapshot, -1: none yet */
	int certs_fd; /* the newest certificates, -1: none yet */
	int conf_fd;  /* what observe has to do, -1: not told yet */
	uint64_t image_generation;

	struct sandbox_filter filter[SANDBOX_PROFILES];
	struct cgroup_root cgroup;
	int view_state; /* 0: not tried yet, 1: works, -1: this machine does not allow it */

	struct role roles[ROLES_MAX];
	uint32_t role_count;
	struct replica replicas[WARDEN_REPLICAS_MAX];
	uint32_t replica_high;          /* entries beyond were never used */
	struct wd_msg notes[NOTES_MAX]; /* to control: role events and refusals, oldest first */
	uint32_t notes_at, notes_n;
	bool control_ready;
	uint32_t control_tries;

	struct {
		char app[WD_NAME_MAX];
		uid_t uid;
	} uids[UIDS_MAX];
	uint32_t uid_count;

	struct loop_timer spool_timer, watch_timer, phase_timer;
	enum phase phase;
	uint64_t stop_at_ms;     /* when everything should be gone */
	uint64_t phase_until_ms; /* when this phase ends by force */
	bool hurry, control_done;
	int exit_status;
};

/* data.c */
HG_MUST enum hg_rc data_open(struct warden *w, struct hg_err *err);
void data_close(struct warden *w);
/* Rewrites run/warden. */
void data_write_state(struct warden *w);
/* One line into run/replicas. */
void data_note(struct warden *w, const char *what, const struct replica *r);
/* The app's user, made on first sight; 0: no more numbers. */
uid_t data_uid_of(struct warden *w, const char *app);
HG_MUST enum hg_rc data_listen(struct warden *w, struct hg_err *err);

/* source.c */
HG_MUST int source_open(
        struct warden *w, struct source *s, uint64_t id, const struct wd_who *who, uid_t uid);
void source_close(struct warden *w, struct source *s);
/* Moves what is in the FIFOs into the spool files; only while observe is dead. */
void source_spool(struct warden *w, struct source *s, bool all);
void spool_start(struct warden *w);
void spool_stop(struct warden *w);

/* roles.c */
void roles_init(struct warden *w);
void role_start(struct role *r);
void role_died(struct role *r, int status);
struct role *role_of_pid(struct warden *w, int pid);
void role_tell(struct role *r, uint32_t what);
/* Sends all that is due to it. */
void role_flush(struct role *r);
void role_close(struct role *r);
void note_to_control(struct warden *w, const struct wd_msg *m);
static inline struct role *role_control(struct warden *w)
{
	return &w->roles[0];
}
static inline struct role *role_observe(struct warden *w)
{
	return &w->roles[1];
}

/* tell.c */
/* Each sends all that is due; false: the socket is full, go on at EPOLLOUT. */
HG_MUST bool tell_control(struct role *r);
HG_MUST bool tell_observe(struct role *r);
HG_MUST bool tell_edge(struct role *r);
struct wd_msg msg_of(enum wd_type type);
/* False when the socket is full: go on at EPOLLOUT. Other errors end the peer; they show as its
 * death. */
HG_MUST bool role_send(struct role *r, const struct wd_msg *m, const int *fds, size_t n);

/* messages.c */
void on_role_message(struct role *r, const struct wd_msg *m, int *fds, size_t fd_count);

/* replicas.c */
void replica_spawn(struct warden *w, const struct wd_msg *m, int *fds, size_t fd_count);
void replica_signal(struct replica *r, int signo);
void replica_reaped(struct replica *r, int status);
void replica_before_reap(struct replica *r);
struct replica *replica_of_pid(struct warden *w, int pid);
struct replica *replica_of_id(struct warden *w, uint64_t id);
/* Frees the entry when nobody needs it any more. */
void replica_settle(struct replica *r);
void replicas_settle(struct warden *w);
uint32_t replicas_running(const struct warden *w);
void replicas_watch_memory(struct warden *w);
struct source *source_of_id(struct warden *w, uint64_t id);

/* spawn.c: the child's side */
struct spawn_report {
	int32_t step, error;
	uint32_t applied;
};
HG_NORETURN void spawn_child(struct warden *w, const struct replica *r, const struct wd_msg *m,
        int blob_fd, int report_fd);
bool spawn_view_works(struct warden *w);

/* shutdown.c */
void shutdown_begin(struct warden *w, int signo);
/* After every death and every timer: is the phase over? */
void shutdown_step(struct warden *w);

#endif
