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
	WD_SPAWN = 1, /* fd 0: sealed memfd with argv and env (wd_spawn_blob) */
	WD_SIGNAL,    /* deliver signo to the replica (to its whole process group when SIGKILL) */
	WD_SNAPSHOT,  /* fd 0: image; the warden keeps it and passes it on to every edge worker */
	WD_FORGET,    /* the exit of this replica was recorded: the warden may drop its entry */
	WD_READY,     /* control is up and its first snapshot is published (once per start) */
	WD_STOPPED,   /* answer to WD_SHUTDOWN: all replicas are gone */
	/* warden → control */
	WD_HELLO,    /* first message; count = replicas that live or whose exit is not forgotten */
	WD_REPLICA,  /* one per known replica after WD_HELLO, and the answer to WD_SPAWN;
	                fd 0: pidfd when it runs (pid > 0); else error = errno and step */
	WD_EXITED,   /* a replica ended: pid, status as from waitpid, at_ms (monotonic) */
	WD_CHILD,    /* a role process ended or was started: role, pid, status (for the journal) */
	WD_SHUTDOWN, /* stop everything gracefully within deadline_ms, then WD_STOPPED */
	/* warden → edge */
	WD_EDGE_SNAPSHOT, /* fd 0: image */
	WD_EDGE_DRAIN,    /* stop accepting, finish what is in flight within deadline_ms, exit 0 */
	/* warden → observe */
	WD_LOG_OPEN, /* fd 0: read end of a stdout FIFO, fd 1: of stderr; who writes is in `who` */
	WD_LOG_END,  /* the writer ended: read until empty, then answer WD_LOG_DRAINED */
	WD_LOG_STOP, /* drain everything, make it durable, exit 0 */
	/* observe → warden */
	WD_LOG_DRAINED,
};

enum wd_kind {
	WD_KIND_REPLICA,
	WD_KIND_ONESHOT, /* a probe command or hook: killed at deadline_ms, its exit is the answer
	                  */
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
	uint32_t flags; /* WD_F_… */
	uint64_t deadline_ms, at_ms, start_time /* field 22 of /proc/pid/stat */;
	uint64_t generation;
	uint64_t memory_max, cpu_max_milli, pids_max; /* limits, 0: none */
	char dir[256];                                /* working directory, absolute */
	char address[112]; /* where it listens, e.g. "127.0.0.1:41234", kept for control */
};

#define WD_FIRST_ID         1024
#define WD_F_READ_ONLY_ROOT 1u
#define WD_F_PRIVATE_TMP    2u

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
