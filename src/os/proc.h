/*
 * Processes: identity (pid + start time within one boot), pidfds, exit statuses as people read
 * them, what a process uses, and starting a helper. Nothing here waits for a process or owns one.
 */
#ifndef HG_OS_PROC_H
#define HG_OS_PROC_H

#include "base/str.h"

#include <sys/types.h>

/* Close-on-exec pidfd, or -errno. It succeeds for a zombie: see proc_pidfd_ended. */
HG_MUST int proc_pidfd(pid_t pid);
/* 0 or -errno (-ESRCH: it ended and was reaped). */
HG_MUST int proc_pidfd_signal(int pidfd, int signo);
/* True when the process ended (zombie or reaped). Does not wait. */
HG_MUST bool proc_pidfd_ended(int pidfd);

/* Field 22 of /proc/PID/stat, clock ticks since boot; 0 when there is no such process. */
HG_MUST uint64_t proc_start_time(pid_t pid);
/* True when `pid` runs (is no zombie) and started at `start_time`. */
HG_MUST bool proc_is(pid_t pid, uint64_t start_time);

struct proc_usage {
	char state; /* as in /proc/PID/stat: R S D Z … */
	pid_t parent, group, session;
	uint64_t user_ns, system_ns; /* CPU time */
	uint64_t children_ns;        /* of children that ended and were waited for */
	uint64_t start_time;         /* ticks, see above */
	uint64_t rss_bytes;
	uint32_t threads;
};
/* 0, or -errno (-ESRCH: no such process). */
HG_MUST int proc_usage(pid_t pid, struct proc_usage *ret_usage);
/* Proportional set size from smaps_rollup; 0 when unreadable (another user's process). */
uint64_t proc_pss_bytes(pid_t pid);
/* Direct children, at most `cap`; needs CONFIG_PROC_CHILDREN, gives 0 without. */
size_t proc_children(pid_t pid, pid_t *ret_pids, size_t cap);

/*
 * What processes use together with all they started: those of the leader's session, and their
 * descendants in other sessions. One pass over /proc for all leaders: a stat(2) for each process of
 * the machine, and a read for those of the leaders' users. Set `leader`; the rest is written, all
 * zero for one that is gone. What left both session and family (a daemon) is not found, nor is what
 * hides from /proc by PR_SET_DUMPABLE. Memory is counted once a process that has it mapped.
 */
struct proc_tree {
	pid_t leader;
	uint32_t processes;
	uint64_t rss_bytes;
	uint64_t pss_bytes; /* with `shared`: what several have mapped is counted once */
	uint64_t cpu_ns;    /* goes down when a child is not waited for */
};
#define PROC_TREES_MAX 8192 /* processes that are looked at; more are left out */
/* `shared`: fill in pss_bytes; as dear as all their page tables. Without memory for the list the
 * leaders are counted alone. */
void proc_trees(struct proc_tree *trees, size_t n, bool shared);

#define PROC_STATUS_TEXT 64
/* A wait status: "exit status 1", "killed by signal 9 (SIGKILL)", "… , core dumped". */
size_t proc_status_text(int status, char *to, size_t cap);

/*
 * Starts a program: argv[0] is looked up in PATH of `env` (NULL: of this process), signals and
 * mask are reset, descriptors other than the three given are closed; -1 stands for /dev/null.
 * The pid, or -errno of the exec itself. The caller reaps it.
 */
struct proc_spec {
	const char *const *argv;
	const char *const *env; /* NULL: ours */
	const char *dir;        /* NULL: ours */
	int in, out, err;
	bool session;         /* setsid */
	bool die_with_parent; /* PR_SET_PDEATHSIG; for throw-away helpers only */
};
HG_MUST pid_t proc_spawn(const struct proc_spec *spec);

/* Empty signal mask, all signals as after boot. For children between fork and exec. */
void proc_reset_signals(void);

/*
 * The name a process shows in `ps`: the memory of argv and environment is reused (the environment
 * itself is copied to the heap first, so getenv goes on working).
 */
struct proc_title {
	char *at;
	size_t args; /* bytes of argv */
	size_t room; /* bytes that may be overwritten */
};
/* Finds that memory through /proc/self/stat; room 0 when not readable. Before other threads. */
void proc_title_find(struct proc_title *ret_title);
/* Writes it and names the thread; longer texts are cut. */
void proc_title_set(const struct proc_title *title, const char *text);

#endif
