/*
 * Limits by cgroup: a fresh directory per incarnation (a directory that was killed once kills what
 * is started in it later, see cgroup(7) and cgroup.kill), in the v2 tree where its controllers are
 * delegated to us, else in the v1 hierarchies we may write. Only below the cgroup this process is
 * in, and only when that is ours: the root of the hierarchy, or marked delegated by systemd
 * (xattr user.delegate or trusted.delegate = 1), or owned by our own user. No state but a table
 * of directories the caller keeps. Functions return 0 or -errno.
 */
#ifndef HG_OS_CGROUP_H
#define HG_OS_CGROUP_H

#include "base/str.h"

#include <sys/types.h>

enum cgroup_part { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_KILL, CGROUP_PARTS };

#define CGROUP_PATH_MAX 256

/* Where new groups go, by what they are for; [part][0] == 0: not possible here. */
struct cgroup_root {
	bool v2; /* all parts are one v2 directory */
	char base[CGROUP_PARTS][CGROUP_PATH_MAX];
};

struct cgroup_limits {
	uint64_t memory_max;    /* bytes, 0: none */
	uint64_t cpu_max_milli; /* 1000 = one CPU, 0: none */
	uint64_t pids_max;      /* 0: none */
	/* What is wished for when others want it too, 0: nothing. Never refused, never told of. */
	uint64_t memory_low; /* bytes that are reclaimed last; v2 only */
	uint64_t cpu_milli;  /* weight against others */
};

/*
 * Finds what is usable; makes one directory `name` in each (kept until cgroup_root_remove). A v2
 * group that holds processes hands no controller down: when ours does, this process, and its
 * parent when that is the same program, move into a group "headgate" below it, and stay there.
 * All processes of the group do when it was delegated by its mark: they are ours then. `look`:
 * nothing is moved, and what would be had by it counts as usable.
 */
void cgroup_root_find(const char *name, bool look, struct cgroup_root *ret_root);
/* Removes the directories when they are empty. */
void cgroup_root_remove(const struct cgroup_root *root);
/*
 * Makes the group `name` with these limits. *ret_parts gets bits (1 << enum cgroup_part) of what
 * is really kept. Parts that fail are left out; only an unusable name is an error.
 */
HG_MUST int cgroup_create(const struct cgroup_root *root, const char *name,
        const struct cgroup_limits *limits, uint32_t *ret_parts);
/* Moves the calling process in. For a child before exec: opens, writes and closes, no memory. */
HG_MUST int cgroup_join(const struct cgroup_root *root, const char *name, uint32_t parts);
/* Ends every process of the group, at once and with all they forked. Harmless when empty. */
void cgroup_kill(const struct cgroup_root *root, const char *name, uint32_t parts);
/* Removes the group; -EBUSY while somebody is in it. */
int cgroup_remove(const struct cgroup_root *root, const char *name, uint32_t parts);
/* Processes of the group that the kernel ended because the group was out of memory. */
uint64_t cgroup_oom_kills(const struct cgroup_root *root, const char *name);

struct cgroup_usage {
	bool has_memory, has_cpu; /* whether a cgroup counts it */
	/*
	 * What the kernel could not take back without ending somebody: all but files' pages and
	 * slabs that may be dropped. Those fill any group that reads files, up to its limit, and
	 * say nothing of how near its end it is.
	 */
	uint64_t memory_bytes;
	uint64_t cpu_ns;
};
/* Of the group `name` that the process is in; nothing when it is in none of that name. Needs no
 * cgroup_root: any process may look. */
void cgroup_usage_of(pid_t pid, const char *name, struct cgroup_usage *ret_usage);

#endif
