/*
 * Fixed-form messages between the warden and its children, over SEQPACKET pairs. The warden
 * parses nothing else. Every message is one `struct wd_msg`; descriptors ride along by
 * SCM_RIGHTS in the order given. Both ends check magic, type and size.
 *
 * Descriptors that every child finds at its start are in `struct warden_child` (warden.h).
 */
#ifndef WARDEN_PROTO_H
#define WARDEN_PROTO_H

#include "base/hg.h"

#define WD_MAGIC    0x57440001u
#define WD_NAME_MAX 64

enum wd_type {
	/* control → warden */
	WD_SPAWN = 1, /* fd 0: sealed memfd with argv and env (see below). Uses kind, id, who, uid,
	                 gid, blob_*, flags, deadline_ms, limits, dir, address */
	WD_SIGNAL,    /* deliver signo to the replica id; SIGKILL ends all it ever started */
	WD_SNAPSHOT,  /* fd 0: image; the warden keeps it and passes it on to every edge worker */
	WD_CERTS,     /* fd 0: certificates and keys (cert/cert.h); kept and passed on likewise */
	WD_OBSERVE,   /* fd 0: what observe has to do (observe/collect/conf.h); kept and passed on
	                 to observe likewise */
	WD_FORGET,    /* the exit of this replica was recorded: the warden may drop its entry */
	WD_READY,     /* control is up and its first snapshot is published (once per start) */
	WD_STOPPED,   /* answer to WD_SHUTDOWN: all replicas are gone */
	WD_FAILED,    /* control cannot start: error = its hg_rc, dir = why, for the warden's log */
	/* warden → control */
	WD_HELLO,    /* first message; count = replicas that live or whose exit is not forgotten */
	WD_REPLICA,  /* one per known replica after WD_HELLO, and the answer to WD_SPAWN;
	                fd 0: pidfd when it runs (pid > 0); else error = errno and step */
	WD_EXITED,   /* a replica ended: pid, status as from waitpid and WD_STATUS_…, at_ms
	                (monotonic) */
	WD_CHILD,    /* a role process ended or was started: role, pid, status (for the journal) */
	WD_SHUTDOWN, /* stop everything gracefully within deadline_ms, then WD_STOPPED */
	/* warden → edge */
	WD_EDGE_SNAPSHOT, /* fd 0: image */
	WD_EDGE_CERTS,    /* fd 0: certificates and keys */
	WD_EDGE_DRAIN,    /* stop accepting, finish what is in flight within deadline_ms, exit 0 */
	/* warden → observe */
	WD_LOG_OPEN, /* fd 0: read end of a stdout FIFO, fd 1: of stderr; who writes is in `who` */
	WD_LOG_END,  /* the writer ended: read until empty, then answer WD_LOG_DRAINED */
	WD_LOG_STOP, /* drain everything, make it durable, exit 0 */
	WD_OBSERVE_SNAPSHOT, /* fd 0: image, the same that the edge has */
	WD_OBSERVE_CONF,     /* fd 0: what control wants of it */
	/* observe → warden */
	WD_LOG_DRAINED,
};

enum wd_kind {
	WD_KIND_REPLICA,
	WD_KIND_ONESHOT, /* a probe command or hook: killed after deadline_ms, its exit is the
	                    answer (WD_EXITED; to be forgotten like any other) */
};

/* Who a process is; the labels of its logs. Names are zero-terminated, [a-z0-9-] (checked). */
struct wd_who {
	char app[WD_NAME_MAX];
	uint32_t release;
	uint32_t replica;
	uint32_t incarnation; /* unique per app for ever; names the private directory */
};

struct wd_msg {
	uint32_t magic;
	uint16_t type; /* enum wd_type */
	uint16_t kind; /* enum wd_kind */
	uint64_t id;   /* chosen by control for WD_SPAWN, unique for ever; names the replica in all
	                  later messages. Role processes have ids below WD_FIRST_ID. */
	struct wd_who who;
	int32_t pid, status, signo, error, step, role;
	uint32_t count;
	uint32_t uid, gid; /* 0: the warden's choice for the app; never root */
	uint32_t blob_argc, blob_envc;
	uint32_t blob_size;
	uint32_t flags;       /* WD_F_… */
	uint64_t deadline_ms; /* counts from the receipt of the message, 0: none */
	uint64_t at_ms;       /* CLOCK_MONOTONIC: of the start or the end */
	uint64_t start_time;  /* field 22 of /proc/pid/stat */
	uint64_t generation;
	uint64_t memory_max, cpu_max_milli, pids_max; /* limits, 0: none */
	uint64_t memory_low, cpu_milli;               /* requests, 0: none */
	uint32_t applied;                             /* WD_REPLICA: what was done, WD_A_… */
	uint32_t reserved;
	char dir[256];     /* working directory, absolute */
	char address[112]; /* where it listens, e.g. "127.0.0.1:41234", kept for control */
};

#define WD_FIRST_ID         1024
#define WD_F_READ_ONLY_ROOT 1u
#define WD_F_PRIVATE_TMP    2u
#define WD_F_LISTEN                                                            \
	4u /* it inherits a listener on `address` ("unix:PATH", in its private \
	      directory) as descriptor 3, and LISTEN_PID is set */

/* What a replica really got (wd_msg.applied); a missing one was not possible on this machine. */
#define WD_A_UID         1u  /* own uid and no capabilities */
#define WD_A_SECCOMP     2u  /* system call filter */
#define WD_A_ROOT        4u  /* own view of the file system, read-only root */
#define WD_A_USERNS      8u  /* the same through a user namespace */
#define WD_A_TMP         16u /* own /tmp */
#define WD_A_MEMORY      32u /* memory_max kept by a cgroup */
#define WD_A_CPU         64u
#define WD_A_PIDS        128u
#define WD_A_WATCHED     256u  /* memory_max kept by a look from outside once a second */
#define WD_A_CGROUP_KILL 512u  /* double-forked children die with it too */
#define WD_A_LANDLOCK    1024u /* writes outside the writable paths refused by Landlock */

/* Beside the wait status of a replica that did not end well (the macros of sys/wait.h do not look
 * at these bits): it had no memory left. */
#define WD_STATUS_OOM  0x10000 /* the kernel ended a process of its cgroup */
#define WD_STATUS_OVER 0x20000 /* the warden did, since it was over its limit */
#define WD_STATUS_MASK 0xffff  /* the wait status */

/* Where a start failed (wd_msg.step). Rows: name and text for people (wd_step_text). */
#define WD_STEPS(X)                                         \
	X(NONE, "nothing")                                  \
	X(CHECK, "check of the request")                    \
	X(PRIVATE_DIR, "creation of its private directory") \
	X(FORK, "fork")                                     \
	X(SESSION, "start of a session")                    \
	X(FDS, "set-up of its descriptors")                 \
	X(CGROUP, "move into its cgroup")                   \
	X(ROOT, "set-up of its file system view")           \
	X(LIMITS, "resource limits")                        \
	X(UID, "change of its user")                        \
	X(CAPS, "drop of capabilities")                     \
	X(SECCOMP, "system call filter")                    \
	X(WRITABLE, "write access to its writable folders") \
	X(CHDIR, "change into its working directory")       \
	X(EXEC, "execution of its command")

enum wd_step {
#define WD_STEP_ENUM(name, text) WD_STEP_##name,
	WD_STEPS(WD_STEP_ENUM)
#undef WD_STEP_ENUM
	        WD_STEP_COUNT
};

/* "execution of its command"; "unknown step" for anything else. */
static inline const char *wd_step_text(int step)
{
	switch (step) {
#define WD_STEP_CASE(name, text) \
	case WD_STEP_##name: return text;
		WD_STEPS(WD_STEP_CASE)
#undef WD_STEP_CASE
	default: return "unknown step";
	}
}

/*
 * Log sources are named like replicas: `id` is the replica's, or of a role process
 * (WD_ID_CONTROL, WD_ID_OBSERVE, WD_ID_EDGE + worker: app "control" or "edge", release 0,
 * replica = worker, incarnation 0). Observe moves the bytes into DATA/logs/spool/NAME.{out,err}
 * at the end of the file; NAME is <app>.<release>.<replica>.<incarnation>. While observe is dead
 * the warden does the same when a FIFO runs full; never both at once.
 */
#define WD_ID_CONTROL 1
#define WD_ID_OBSERVE 2
#define WD_ID_EDGE    16

/*
 * The blob of WD_SPAWN: blob_argc strings, then blob_envc strings "NAME=value", then the writable
 * paths until blob_size; each zero-terminated. At most WD_BLOB_MAX bytes.
 */
#define WD_BLOB_MAX (256u * 1024)

enum wd_role { WD_ROLE_WARDEN, WD_ROLE_CONTROL, WD_ROLE_OBSERVE, WD_ROLE_EDGE };

/* True when `n` bytes are a message of this protocol. */
static inline bool wd_msg_valid(const struct wd_msg *m, size_t n)
{
	return n == sizeof *m && m->magic == WD_MAGIC && m->who.app[WD_NAME_MAX - 1] == 0 &&
	       m->dir[sizeof m->dir - 1] == 0 && m->address[sizeof m->address - 1] == 0;
}

#endif
