#include "../test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/sandbox.h"

#define NOBODY 65534

/* The line where a check in the child failed, 0 when all held; 1 is "not possible here". */
#define CHECK(cond)                                                                  \
	do {                                                                         \
		if (!(cond)) {                                                       \
			fprintf(stderr, "child: %s (%s)\n", #cond, strerror(errno)); \
			hg_child_exit(100);                                          \
		}                                                                    \
	} while (0)
#define NOT_HERE 42

static int child(void (*fn)(const char *dir), const char *dir)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		fn(dir);
		hg_child_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return -1;
	return WEXITSTATUS(status);
}

static uid_t runs_as(void)
{
	return geteuid() == 0 ? NOBODY : geteuid();
}

static gid_t runs_in(void)
{
	return geteuid() == 0 ? NOBODY : getegid();
}

static bool status_has(const char *line)
{
	char text[8192];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return strstr(text, line) != NULL;
}

static void drop(const char *dir)
{
	char line[64];
	(void)dir;
	bool root = geteuid() == 0;
	CHECK(sandbox_drop(0, 0, NULL, 0) == -EPERM);
	CHECK(sandbox_drop(runs_as(), runs_in(), NULL, 0) == 0);
	snprintf(line, sizeof line, "\nUid:\t%u\t%u\t%u\t%u\n", geteuid(), geteuid(), geteuid(),
	        geteuid());
	CHECK(status_has(line));
	CHECK(geteuid() != 0 && setuid(0) < 0);
	CHECK(status_has("\nCapEff:\t0000000000000000"));
	CHECK(status_has("\nCapPrm:\t0000000000000000"));
	CHECK(!root || status_has("\nCapBnd:\t0000000000000000"));
	CHECK(!root || status_has("\nGroups:\t \n"));
	CHECK(status_has("\nNoNewPrivs:\t1"));
}

static void privileges_are_gone_for_good(void **state)
{
	(void)state;
	assert_int_equal(child(drop, NULL), 0);
}

static void filtered_replica(const char *dir)
{
	struct sandbox_filter f;
	(void)dir;
	if (sandbox_filter_build(SANDBOX_REPLICA, &f) < 0) hg_child_exit(NOT_HERE);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(sandbox_filter_apply(&f) == 0);
	CHECK(mount("x", "/x", "x", 0, NULL) < 0 && errno == EPERM);
	CHECK(unshare(CLONE_NEWUSER) < 0 && errno == EPERM);
	pid_t pid = fork(); /* ordinary work goes on */
	if (pid == 0) {
		execl("/bin/true", "true", NULL);
		hg_child_exit(9);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	sandbox_filter_free(&f);
}

static void filtered_edge(const char *dir)
{
	struct sandbox_filter f;
	if (sandbox_filter_build(SANDBOX_EDGE, &f) < 0) hg_child_exit(NOT_HERE);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(sandbox_filter_apply(&f) == 0);
	CHECK(fork() < 0 && errno == EPERM);
	CHECK(open("/proc/self/stat", O_RDONLY) >= 0);
	CHECK(open(dir, O_RDONLY | O_DIRECTORY) >= 0);
	CHECK(chdir(dir) == 0 && open("new", O_WRONLY | O_CREAT, 0600) < 0 && errno == EPERM);
	execl("/bin/true", "true", NULL);
	CHECK(errno == EPERM);
	sandbox_filter_free(&f);
}

static char top[64];

static int tell(int rc, const char *what)
{
	if (rc == NOT_HERE) print_message("[   SKIP   ] %s: not possible on this machine\n", what);
	return rc == NOT_HERE ? 0 : rc;
}

static void filters_refuse_what_they_should_and_nothing_else(void **state)
{
	(void)state;
	assert_int_equal(tell(child(filtered_replica, top), "replica filter"), 0);
	assert_int_equal(tell(child(filtered_edge, top), "edge filter"), 0);
}

static bool can_write(const char *dir, const char *name)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	if (fd >= 0) close(fd);
	return fd >= 0;
}

static struct sandbox_path opened(const char *path)
{
	return (struct sandbox_path){path, open(path, O_PATH | O_CLOEXEC)};
}

/* dir/{staging,tmp,rw,closed/way/app}; closed is 0700 and not ours when we are root. */
static void in_view(const char *dir)
{
	char staging[128], tmp[128], rw[128], app[128], home[128], file[160];
	uint32_t how;
	snprintf(staging, sizeof staging, "%s/staging", dir);
	snprintf(tmp, sizeof tmp, "%s/tmp", dir);
	snprintf(rw, sizeof rw, "%s/rw", dir);
	snprintf(app, sizeof app, "%s/closed/way/app", dir);
	snprintf(home, sizeof home, "%s/home", dir);
	snprintf(file, sizeof file, "%s/home/file", dir);
	struct sandbox_view v = {.staging = staging,
	        .read_only = true,
	        .private_tmp = tmp,
	        .writable = {opened(rw)},
	        .writable_count = 1,
	        .reach = {opened(app), opened(rw), opened(tmp), opened(home)},
	        .reach_count = 4,
	        .uid = runs_as(),
	        .gid = runs_in()};
#ifdef HG_COVERAGE
	char counts[4096]; /* the build folder: line counts are written at the end */
	if (getcwd(counts, sizeof counts))
		v.writable[v.writable_count++] = v.reach[v.reach_count++] = counts;
#endif
	umask(0077); /* as the warden's children have it: the ways must be open all the same */
	int rc = sandbox_view_enter(&v, &how);
	if (rc == -EPERM || rc == -ENOSYS || rc == -ENOSPC) hg_child_exit(NOT_HERE);
	CHECK(rc == 0);
	CHECK(sandbox_drop(runs_as(), runs_in(), NULL, 0) == 0);
	CHECK(can_write(dir, "rw/file"));
	CHECK(can_write("/tmp", "mine"));
	CHECK(!can_write("/usr", "hg-test") && errno == EROFS);
	CHECK(!can_write("", "hg-test") && errno == EROFS);
	CHECK(!can_write(dir, "closed/way/app/file"));
	CHECK(access(app, X_OK) == 0);
	CHECK(access(file, R_OK) == 0); /* home itself is 0700 */
	CHECK(access("/usr/bin/env", X_OK) == 0);
	CHECK(open("/dev/null", O_RDWR) >= 0 && open("/dev/urandom", O_RDONLY) >= 0);
	CHECK(access("/dev/vda", F_OK) < 0 && access("/dev/kmsg", F_OK) < 0);
	CHECK(access("/proc/self/stat", R_OK) == 0);
	CHECK(can_write("/dev/shm", "x"));
}

static void a_process_in_its_view_writes_only_where_it_may(void **state)
{
	static const char *const names[] = {
	        "staging", "tmp", "rw", "closed", "closed/way", "closed/way/app"};
	char path[128];
	(void)state;
	for (size_t i = 0; i < HG_COUNT(names); i++) {
		snprintf(path, sizeof path, "%s/%s", top, names[i]);
		assert_int_equal(mkdir(path, 0755), 0);
		if (geteuid() == 0 && i < 3) assert_int_equal(chown(path, NOBODY, NOBODY), 0);
	}
	snprintf(path, sizeof path, "%s/home", top);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/home/file", top);
	int fd = open(path, O_WRONLY | O_CREAT, 0644);
	assert_true(fd >= 0);
	close(fd);
	snprintf(path, sizeof path, "%s/closed", top);
	assert_int_equal(chmod(path, 0700), 0);
	if (geteuid() == 0) assert_false(sandbox_reachable(path, 65534, 65534)); /* top is 0700 */
	assert_int_equal(tell(child(in_view, top), "own view of the file system"), 0);
	snprintf(path, sizeof path, "%s/tmp/mine", top);
	if (access(path, F_OK) == 0) print_message("the private /tmp lies in %s\n", path);
}

static void with_landlock(const char *dir)
{
	char rw[128];
	snprintf(rw, sizeof rw, "%s/ll", dir);
	CHECK(mkdir(rw, 0700) == 0);
	struct sandbox_path paths[] = {opened(rw)};
	int rc = sandbox_landlock_writes(paths, 1);
	if (rc == -ENOSYS || rc == -EOPNOTSUPP) hg_child_exit(NOT_HERE);
	CHECK(rc == 0);
	CHECK(can_write(dir, "ll/file"));
	CHECK(!can_write(dir, "file") && errno == EACCES);
	CHECK(open("/dev/null", O_RDWR) >= 0);
}

static void landlock_keeps_writes_to_the_writable_paths(void **state)
{
	(void)state;
	assert_int_equal(tell(child(with_landlock, top), "Landlock"), 0);
}

static void the_probe_names_every_facility_and_says_how_to_get_what_is_missing(void **state)
{
	struct sandbox_fact f[SANDBOX_FACTS_MAX];
	(void)state;
	size_t n = sandbox_probe(f);
	assert_true(n >= 10);
	for (size_t i = 0; i < n; i++) {
		assert_true(f[i].name[0] && f[i].purpose[0]);
		assert_true(f[i].state == SANDBOX_WORKS || f[i].hint[0]);
		print_message("  %-18s %-8s %s\n", f[i].name, sandbox_state_text(f[i].state),
		        f[i].detail);
	}
}

static void a_cgroup_kills_what_left_the_session(void **state)
{
	struct cgroup_root root;
	struct cgroup_limits none = {.pids_max = 50};
	char name[64];
	uint32_t parts;
	int up[2];
	(void)state;
	snprintf(name, sizeof name, "hg-unit-%d", (int)getpid());
	cgroup_root_find(name, false, &root);
	assert_int_equal(cgroup_create(&root, "../x", &none, &parts), -EINVAL);
	assert_int_equal(cgroup_create(&root, "one", &none, &parts), 0);
	if (!parts) {
		tell(NOT_HERE, "cgroups");
		cgroup_root_remove(&root);
		return;
	}
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (cgroup_join(&root, "one", parts) < 0) hg_child_exit(1);
		if (fork() == 0) setsid();
		if (write(up[1], "x", 1) != 1) hg_child_exit(1);
		pause();
		hg_child_exit(0);
	}
	close(up[1]);
	/* A byte from each: both are in. The pipe closes when both are dead. */
	char bytes[2];
	for (size_t n = 0; n < 2;) {
		ssize_t r = read(up[0], bytes, 2 - n);
		assert_true(r > 0);
		n += (size_t)r;
	}
	cgroup_kill(&root, "one", parts);
	assert_int_equal(read(up[0], bytes, 1), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(up[0]);
	while (cgroup_remove(&root, "one", parts) == -EBUSY)
		usleep(1000);
	cgroup_root_remove(&root);
}

static int make_top(void **state)
{
	(void)state;
	snprintf(top, sizeof top, "/tmp/hg-sandbox-XXXXXX");
	return mkdtemp(top) ? 0 : -1;
}

static int remove_top(void **state)
{
	(void)state;
	int fd = file_open(top, O_RDONLY | O_DIRECTORY, 0);
	int rc = fd < 0 ? fd : file_remove_below(fd);
	if (fd >= 0) close(fd);
	return rc == 0 ? rmdir(top) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(privileges_are_gone_for_good),
	        cmocka_unit_test(filters_refuse_what_they_should_and_nothing_else),
	        cmocka_unit_test(a_process_in_its_view_writes_only_where_it_may),
	        cmocka_unit_test(landlock_keeps_writes_to_the_writable_paths),
	        cmocka_unit_test(a_cgroup_kills_what_left_the_session),
	        cmocka_unit_test(
	                the_probe_names_every_facility_and_says_how_to_get_what_is_missing),
	};
	return cmocka_run_group_tests(tests, make_top, remove_top);
}
