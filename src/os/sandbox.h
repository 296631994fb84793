/*
 * What confines a process: loss of privileges, a system call filter, an own view of the file
 * system; and the table of what this machine offers, for `headgate doctor`.
 *
 * The functions that confine act on the calling process, between fork and exec (or before a role's
 * main function), cannot be undone, and return 0 or -errno; after a failure the caller must exit
 * or, where the text says so, may go on with less. They never log and keep nothing open.
 */
#ifndef HG_OS_SANDBOX_H
#define HG_OS_SANDBOX_H

#include "base/err.h"

#include <sys/types.h>

/* ---- privileges ---- */

/*
 * Supplementary groups, gid and uid for good; then no capability in any set (bounding and ambient
 * included) and no_new_privs. As a plain user `uid` and `gid` must be its own; only what it may
 * give up is given up. `uid` 0 is refused (-EPERM).
 */
HG_MUST int sandbox_drop(uid_t uid, gid_t gid, const gid_t *groups, size_t group_count);

/* ---- system calls ---- */

enum sandbox_profile {
	SANDBOX_REPLICA, /* any program: no kernel, mount, namespace, clock or module calls */
	SANDBOX_ROLE,    /* + no exec, no ptrace, no reading of other processes' memory */
	SANDBOX_EDGE,    /* + no new process, no file opened for writing, renamed or removed */
	SANDBOX_PROFILES
};

/* A compiled filter; made once by the parent, so that the child needs no memory for it. */
struct sandbox_filter {
	void *code; /* struct sock_filter[] */
	size_t count;
};

/* HG_E_NOT_FOUND: this build or kernel knows no filters (also for roles under sanitizers, whose
 * leak check needs ptrace, and in coverage builds, which write files at exit). */
HG_MUST enum hg_rc sandbox_filter_build(
        enum sandbox_profile profile, struct sandbox_filter *ret_filter);
void sandbox_filter_free(struct sandbox_filter *filter);
/* no_new_privs must be set. Refused calls fail with EPERM (clone3: ENOSYS). */
HG_MUST int sandbox_filter_apply(const struct sandbox_filter *filter);

/* ---- file system view ---- */

#define SANDBOX_PATHS_MAX 24

/* A path as the process will name it, and what it is: opened once (O_PATH), by whoever checked it.
 * fd < 0: it is not there, or nobody vouches for it; it is passed over. The caller's to close. */
struct sandbox_path {
	const char *name;
	int fd;
};

struct sandbox_view {
	const char *staging;     /* an empty directory of ours, hidden afterwards; read_only only */
	bool read_only;          /* all of the machine read-only, but `writable` */
	const char *private_tmp; /* directory shown as /tmp and /var/tmp; NULL: the machine's own */
	struct sandbox_path writable[SANDBOX_PATHS_MAX];
	size_t writable_count;
	/*
	 * Paths the process must be able to reach although a directory on the way may be closed
	 * for it (a mode-0700 home): such a directory is replaced, for this process only, by an
	 * empty one that holds just the way to the path.
	 */
	struct sandbox_path reach[SANDBOX_PATHS_MAX];
	size_t reach_count;
	uid_t uid; /* who will use the view */
	gid_t gid;
};

#define SANDBOX_VIEW_USERNS 1u /* made through a user namespace */

/*
 * Enters the view in a mount namespace of its own. As a plain user through a user namespace that
 * maps only `uid` to itself. *ret_how: SANDBOX_VIEW_… bits. -EPERM, -ENOSYS, -ENOSPC: this machine
 * does not allow it; nothing has changed and the caller may go on without.
 * Other errors may leave a half-made view: exit (-ESTALE: a path was exchanged meanwhile).
 */
HG_MUST int sandbox_view_enter(const struct sandbox_view *view, uint32_t *ret_how);
/* True when no directory above `path` is closed for that user (by mode bits; ACLs count not). */
HG_MUST bool sandbox_reachable(const char *path, uid_t uid, gid_t gid);

/*
 * Landlock: from now on writes only below `writable` (and /dev, /proc). For machines without the
 * namespaces above. -EOPNOTSUPP, -ENOSYS: the kernel has none; go on without.
 */
HG_MUST int sandbox_landlock_writes(const struct sandbox_path *writable, size_t count);

/* ---- what this machine offers ---- */

enum sandbox_state { SANDBOX_WORKS, SANDBOX_LIMITED, SANDBOX_MISSING };

struct sandbox_fact {
	const char *name;    /* "mount namespace" */
	const char *purpose; /* what Headgate does with it */
	enum sandbox_state state;
	char detail[160]; /* the kernel's answer, a version, a path */
	const char *hint; /* how to get it; "" when it works */
};

#define SANDBOX_FACTS_MAX 24
/* Tries each facility in a short-lived child; takes a few milliseconds. Returns the number. */
size_t sandbox_probe(struct sandbox_fact ret_facts[SANDBOX_FACTS_MAX]);
const char *sandbox_state_text(enum sandbox_state state); /* "works", "limited", "missing" */

#endif
