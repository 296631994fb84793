#include "../test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/proc.h"

static const char *const sleeper[] = {"sleep", "1000", NULL};

static pid_t start(const char *const *argv, int out)
{
	struct proc_spec s = {.argv = argv,
	        .in = -1,
	        .out = out,
	        .err = -1,
	        .session = true,
	        .die_with_parent = true};
	return proc_spawn(&s);
}

static void a_process_is_known_by_pid_and_start_time(void **state)
{
	struct proc_usage u;
	int status;
	(void)state;
	pid_t pid = start(sleeper, -1);
	assert_true(pid > 0);
	uint64_t t = proc_start_time(pid);
	assert_true(t > 0);
	assert_true(proc_is(pid, t));
	assert_false(proc_is(pid, t + 1));
	assert_int_equal(proc_usage(pid, &u), 0);
	assert_int_equal(u.parent, getpid());
	assert_int_equal(u.session, pid);
	assert_int_equal(u.threads, 1);
	assert_int_equal(proc_usage(getpid(), &u), 0);
	assert_true(u.rss_bytes > 0 && u.state == 'R');
	assert_true(proc_pss_bytes(getpid()) > 0);
	pid_t children[8];
	size_t n = proc_children(getpid(), children, 8);
	assert_true(n == 0 || (n == 1 && children[0] == pid));

	int fd = proc_pidfd(pid);
	assert_true(fd >= 0);
	assert_false(proc_pidfd_ended(fd));
	assert_int_equal(proc_pidfd_signal(fd, SIGKILL), 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_true(proc_pidfd_ended(fd));
	assert_false(proc_is(pid, t)); /* a zombie still has its start time */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(proc_pidfd_signal(fd, SIGKILL), -ESRCH);
	close(fd);
	assert_int_equal(proc_usage(pid, &u), -ESRCH);
	char text[PROC_STATUS_TEXT];
	proc_status_text(status, text, sizeof text);
	assert_string_equal(text, "killed by signal 9 (SIGKILL)");
	proc_status_text(3 << 8, text, sizeof text);
	assert_string_equal(text, "exit status 3");
}

static void a_program_that_cannot_start_gives_its_errno_and_no_zombie(void **state)
{
	const char *const none[] = {"/nonexistent/program", NULL}, *const dir[] = {"/", NULL};
	(void)state;
	assert_int_equal(start(none, -1), -ENOENT);
	assert_int_equal(start(dir, -1), -EACCES);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void a_helper_has_only_three_descriptors_and_a_clean_signal_mask(void **state)
{
	const char *const show[] = {"sh", "-c",
	        "ls /proc/self/fd | tr '\\n' ' '; grep -E 'SigBlk|SigIgn' /proc/self/status", NULL};
	char text[512];
	int p[2];
	sigset_t block;
	size_t n = 0;
	(void)state;
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, NULL);
	signal(SIGPIPE, SIG_IGN);
	int leak = dup(0); /* not close-on-exec: the child must not have it */
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid_t pid = start(show, p[1]);
	close(p[1]);
	for (ssize_t r; (r = read(p[0], text + n, sizeof text - 1 - n)) > 0;)
		n += (size_t)r;
	text[n] = 0;
	close(p[0]);
	close(leak);
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* 3 is the directory that ls reads. */
	if (strcmp(text, "0 1 2 3 SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n") != 0)
		fail_msg("the helper has \"%s\"", text);
}

/* A shell with a child that keeps `bytes` zeros, and a grandchild of another session. */
static void a_tree_counts_what_was_started_in_it(void **state)
{
	static const char *const tree[] = {"sh", "-c",
	        "(head -c 40000000 /dev/zero; sleep 1000) | tail & setsid sleep 30 & wait", NULL};
	(void)state;
	struct proc_tree t[3] = {
	        {.leader = start(tree, -1)}, {.leader = start(sleeper, -1)}, {.leader = 0x3ffffff}};
	assert_true(t[0].leader > 0 && t[1].leader > 0);
	/* Until tail has it all and grows no more: the two figures are read one after the other. */
	uint64_t before = 0;
	for (int i = 0; i < 1000 && (t[0].rss_bytes < 40000000 || t[0].pss_bytes < 40000000 ||
	                                    t[0].pss_bytes != before || t[0].processes < 4);
	        i++) {
		before = t[0].pss_bytes;
		usleep(10000);
		proc_trees(t, 3, true);
	}
	/* sh, sleep (some shells: below a subshell), tail, and the sleep of another session. */
	assert_in_range(t[0].processes, 4, 5);
	assert_true(t[0].rss_bytes >= 40000000 && t[0].rss_bytes < 80000000);
	/* The kernel rounds what /proc/PID/stat says. */
	assert_true(t[0].pss_bytes >= 40000000 && t[0].pss_bytes <= t[0].rss_bytes + 4000000);
	assert_int_equal(t[1].processes, 1);
	assert_true(t[1].rss_bytes > 0 && t[1].rss_bytes < 20000000);
	assert_true(t[2].processes == 0 && t[2].rss_bytes == 0);
	for (int i = 0; i < 2; i++) {
		struct proc_tree one = {.leader = t[i].leader};
		kill(-t[i].leader, SIGKILL);
		assert_int_equal(waitpid(t[i].leader, NULL, 0), t[i].leader);
		proc_trees(&one, 1, false);
		assert_int_equal(one.processes, 0);
	}
}

static void a_title_longer_than_the_arguments_shows_and_the_environment_stays(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		struct proc_title t;
		char path[64], have[256] = {0};
		const char *want = "headgate: a title that is rather longer than the arguments";
		setenv("HG_TEST", "still here", 1);
		proc_title_find(&t);
		proc_title_set(&t, want);
		snprintf(path, sizeof path, "/proc/%d/cmdline", (int)getpid());
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, have, sizeof have - 1);
		if (n <= 0 || strncmp(have, want, HG_MIN(strlen(want), t.room - 1)) != 0) _exit(1);
		const char *env = getenv("HG_TEST");
		_exit(env && strcmp(env, "still here") == 0 && getenv("PATH") ? 0 : 2);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_process_is_known_by_pid_and_start_time),
	        cmocka_unit_test(a_program_that_cannot_start_gives_its_errno_and_no_zombie),
	        cmocka_unit_test(a_helper_has_only_three_descriptors_and_a_clean_signal_mask),
	        cmocka_unit_test(a_tree_counts_what_was_started_in_it),
	        cmocka_unit_test(a_title_longer_than_the_arguments_shows_and_the_environment_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
