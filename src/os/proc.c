#include "os/proc.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/clock.h"

#define STAT_MAX 1024

int proc_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0); /* always close-on-exec */
	return fd < 0 ? -errno : fd;
}

int proc_pidfd_signal(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

bool proc_pidfd_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	return poll(&p, 1, 0) == 1;
}

/* Reads a small /proc file as text; -errno or the length. */
static ssize_t read_small(const char *path, char *to, size_t cap)
{
	size_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return -errno;
	while (n < cap - 1) {
		ssize_t r = read(fd, to + n, cap - 1 - n);
		if (r < 0 && errno == EINTR) continue;
		if (r <= 0) break;
		n += (size_t)r;
	}
	close(fd);
	to[n] = 0;
	return (ssize_t)n;
}

/* The fields of /proc/PID/stat from number 3 (state) on; the name before may hold anything. */
static int stat_fields(pid_t pid, char text[STAT_MAX], const char **ret_rest)
{
	char path[48];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	ssize_t n = read_small(path, text, STAT_MAX);
	if (n == -ENOENT || n == 0) return -ESRCH;
	if (n < 0) return (int)n;
	const char *close_paren = strrchr(text, ')');
	if (!close_paren || close_paren[1] != ' ') return -EINVAL;
	*ret_rest = close_paren + 2;
	return 0;
}

int proc_usage(pid_t pid, struct proc_usage *ret_usage)
{
	char text[STAT_MAX];
	const char *rest;
	int rc = stat_fields(pid, text, &rest);
	if (rc < 0) return rc;
	long long f[53] = {0};
	char state = rest[0];
	const char *p = rest + 1;
	for (int i = 4; i <= 52 && *p; i++) {
		char *end;
		f[i] = strtoll(p, &end, 10);
		if (end == p) break;
		p = end;
	}
	uint64_t tick_ns = CLOCK_NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
	*ret_usage = (struct proc_usage){.state = state,
	        .parent = (pid_t)f[4],
	        .group = (pid_t)f[5],
	        .session = (pid_t)f[6],
	        .user_ns = (uint64_t)f[14] * tick_ns,
	        .system_ns = (uint64_t)f[15] * tick_ns,
	        .children_ns = (uint64_t)(f[16] + f[17]) * tick_ns,
	        .threads = (uint32_t)f[20],
	        .start_time = (uint64_t)f[22],
	        .rss_bytes = (uint64_t)f[24] * (uint64_t)sysconf(_SC_PAGESIZE)};
	return 0;
}

uint64_t proc_start_time(pid_t pid)
{
	struct proc_usage u;
	return proc_usage(pid, &u) == 0 ? u.start_time : 0;
}

bool proc_is(pid_t pid, uint64_t start_time)
{
	struct proc_usage u;
	return proc_usage(pid, &u) == 0 && u.state != 'Z' && u.state != 'X' &&
	       u.start_time == start_time;
}

uint64_t proc_pss_bytes(pid_t pid)
{
	char path[48], text[4096];
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	if (read_small(path, text, sizeof text) <= 0) return 0;
	const char *at = strstr(text, "\nPss:");
	return at ? strtoull(at + 5, NULL, 10) * 1024 : 0;
}

size_t proc_children(pid_t pid, pid_t *ret_pids, size_t cap)
{
	char path[64], text[8192];
	size_t n = 0;
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	if (read_small(path, text, sizeof text) <= 0) return 0;
	for (char *p = text, *end; n < cap; p = end) {
		long v = strtol(p, &end, 10);
		/* A number cut by the end of the buffer is not taken. */
		if (end == p || *end == 0) break;
		ret_pids[n++] = (pid_t)v;
	}
	return n;
}

size_t proc_status_text(int status, char *to, size_t cap)
{
	if (WIFEXITED(status)) {
		snprintf(to, cap, "exit status %d", WEXITSTATUS(status));
	} else if (WIFSIGNALED(status)) {
		const char *name = sigabbrev_np(WTERMSIG(status));
		snprintf(to, cap, "killed by signal %d (SIG%s)%s", WTERMSIG(status),
		        name ? name : "RT", WCOREDUMP(status) ? ", core dumped" : "");
	} else {
		snprintf(to, cap, "wait status 0x%x", (unsigned)status);
	}
	return strlen(to);
}

void proc_reset_signals(void)
{
	sigset_t none;
	/*
	 * By the system call: the C library refuses the two signals it keeps for itself (32, 33),
	 * and a parent that ignored them would hand that on. All zero is SIG_DFL without flags.
	 */
	const unsigned long dfl[8] = {0};
	for (int s = 1; s < NSIG; s++) {
		if (s != SIGKILL && s != SIGSTOP)
			syscall(SYS_rt_sigaction, s, dfl, NULL, (size_t)8);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child: `fds` become 0, 1, 2. Moved above 2 first, so that none overwrites another. */
static int place_fds(const int fds[3])
{
	int high[3];
	for (int i = 0; i < 3; i++) {
		int from = fds[i] >= 0 ? fds[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
		high[i] = fcntl(from, F_DUPFD_CLOEXEC, 3);
		if (high[i] < 0) return -errno;
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(high[i], i) < 0) return -errno;
	}
	return 0;
}

static void child_run(const struct proc_spec *s, int report_fd, pid_t parent)
{
	const int fds[3] = {s->in, s->out, s->err};
	int rc = 0;
	proc_reset_signals();
	/* The report pipe must not sit where a standard descriptor goes. */
	int report = fcntl(report_fd, F_DUPFD_CLOEXEC, 10);
	if (report < 0) _exit(127);
	if (s->session && setsid() < 0) rc = -errno;
	if (rc == 0 && s->die_with_parent) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent) _exit(127);
	}
	if (rc == 0) rc = place_fds(fds);
	if (rc == 0 && s->dir && chdir(s->dir) < 0) rc = -errno;
	if (rc == 0) {
		syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
		if (s->env) environ = (char **)(uintptr_t)s->env;
		execvp(s->argv[0], (char **)(uintptr_t)s->argv);
		rc = -errno;
	}
	if (write(report, &rc, sizeof rc) < 0) _exit(126);
	_exit(127);
}

pid_t proc_spawn(const struct proc_spec *spec)
{
	int report[2], rc = 0;
	if (pipe2(report, O_CLOEXEC) < 0) return -errno;
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) child_run(spec, report[1], parent);
	int fork_err = errno;
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return -fork_err;
	}
	ssize_t n;
	do {
		n = read(report[0], &rc, sizeof rc);
	} while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n != sizeof rc) return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
	return rc;
}

/* The environment moves to the heap, so that its old place may be overwritten. */
static bool move_environ(void)
{
	size_t n = 0;
	while (environ && environ[n])
		n++;
	char **copy = calloc(n + 1, sizeof *copy);
	if (!copy) return false;
	for (size_t i = 0; i < n; i++) {
		copy[i] = strdup(environ[i]);
		if (copy[i]) continue;
		while (i > 0)
			free(copy[--i]);
		free(copy);
		return false;
	}
	environ = copy;
	return true;
}

void proc_title_find(struct proc_title *ret_title)
{
	char text[STAT_MAX];
	const char *p = NULL;
	unsigned long long at[4] = {0}; /* arg_start, arg_end, env_start, env_end: 48 to 51 */
	*ret_title = (struct proc_title){0};
	if (stat_fields(getpid(), text, &p) < 0) return;
	for (int i = 3; i < 48 && p; i++) {
		p = strchr(p, ' ');
		if (p) p++;
	}
	if (!p || sscanf(p, "%llu %llu %llu %llu", &at[0], &at[1], &at[2], &at[3]) != 4) return;
	if (at[0] == 0 || at[1] <= at[0]) return;
	ret_title->at = (char *)(uintptr_t)at[0];
	ret_title->args = (size_t)(at[1] - at[0]);
	ret_title->room = ret_title->args;
	if (at[2] == at[1] && at[3] > at[2] && move_environ()) {
		ret_title->room = HG_MIN((size_t)(at[3] - at[0]), (size_t)256);
		ret_title->room = HG_MAX(ret_title->room, ret_title->args);
	}
}

void proc_title_set(const struct proc_title *title, const char *text)
{
	prctl(PR_SET_NAME, text);
	if (title->room < 2) return;
	size_t n = HG_MIN(strlen(text), title->room - 1);
	memset(title->at, 0, title->room);
	memcpy(title->at, text, n);
	/*
	 * The kernel shows argv as it is while its last byte is zero; a title that reaches into
	 * the environment is shown up to its zero once that byte is not.
	 */
	if (n == title->args) title->at[n - 1] = 0;
}
