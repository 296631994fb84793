#include "rig.h"

#include "warden/warden_priv.h"

static void a_replica_starts_and_its_exit_status_comes_back(void **state)
{
	struct rig r;
	int fd;
	(void)state;
	rig_open(&r, 1);
	assert_int_equal(rig_expect(&r, WD_HELLO, NULL).count, 0);
	rig_spawn_send(
	        &r, &(struct rig_spawn){
	                    .id = 2000, SH("read x; exit 7"), .more = {.address = "127.0.0.1:1"}});
	struct wd_msg m = rig_expect(&r, WD_REPLICA, &fd);
	(void)m;
	/* stdin is /dev/null: read ends at once. */
	struct wd_msg e = rig_expect(&r, WD_EXITED, NULL);
	assert_int_equal(e.id, 2000);
	assert_true(WIFEXITED(e.status));
	assert_int_equal(WEXITSTATUS(e.status), 7);
	assert_string_equal(e.address, "127.0.0.1:1");
	if (fd >= 0) close(fd);
	rig_forget(&r, 2000);
	rig_close(&r);
}

static void a_pidfd_comes_with_a_started_replica_and_signals_reach_it(void **state)
{
	struct rig r;
	int fd;
	(void)state;
	rig_open(&r, 1);
	rig_spawn_send(
	        &r, &(struct rig_spawn){.id = 2000,
	                    SH("trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done")});
	struct wd_msg m = rig_expect(&r, WD_REPLICA, &fd);
	assert_int_equal(m.error, 0);
	assert_true(fd >= 0);
	assert_int_equal(m.start_time, proc_start_time(m.pid));
	struct proc_usage u;
	assert_int_equal(proc_usage(m.pid, &u), 0);
	assert_int_equal(u.session, m.pid);
	struct hg_buf b = {0};
	rig_await_file(&r, "logs/spool/app.1.1.2000.out", 3, &b);
	assert_str(hg_buf_view(&b), "up\n");
	hg_buf_free(&b);
	rig_send(&r, (struct wd_msg){.type = WD_SIGNAL, .id = 2000, .signo = SIGTERM}, -1);
	struct wd_msg e = rig_expect(&r, WD_EXITED, NULL);
	assert_int_equal(WEXITSTATUS(e.status), 9);
	assert_true(proc_pidfd_ended(fd));
	close(fd);
	rig_close(&r);
}

static void a_failed_start_names_its_step_and_errno(void **state)
{
	struct rig r;
	(void)state;
	rig_open(&r, 1);
	struct wd_msg m = rig_spawn(&r, .id = 2000, .argv = {"/nonexistent/x"});
	assert_int_equal(m.step, WD_STEP_EXEC);
	assert_int_equal(m.error, ENOENT);
	assert_int_equal(m.pid, 0);
	assert_string_equal(wd_step_text(m.step), "execution of its command");
	m = rig_spawn(&r, .id = 2000, .argv = {"/etc/passwd"});
	assert_int_equal(m.step, WD_STEP_EXEC);
	assert_int_equal(m.error, EACCES);
	m = rig_spawn(&r, .id = 2001, .dir = "/nonexistent", .argv = {"true"});
	assert_int_equal(m.step, WD_STEP_CHECK);
	assert_int_equal(m.error, ENOENT);
	m = rig_spawn(&r, .id = 2001, .app = "../x", .argv = {"true"});
	assert_int_equal(m.step, WD_STEP_CHECK);
	assert_int_equal(m.error, EINVAL);
	m = rig_spawn(&r, .id = 5, .argv = {"true"});
	assert_int_equal(m.error, EEXIST);
	m = rig_spawn(&r, .id = 2001, .env = {"A=b"});
	assert_int_equal(m.error, EBADMSG);
	/* Nothing of it stays. */
	char path[256];
	snprintf(path, sizeof path, "%s/run/app.1.1.2000", r.data);
	assert_int_equal(access(path, F_OK), -1);
	rig_close(&r);
}

static void a_oneshot_is_killed_with_its_children_at_its_deadline(void **state)
{
	struct rig r;
	(void)state;
	rig_open(&r, 1);
	uint64_t from = clock_mono_ms();
	struct wd_msg m = rig_spawn(&r, .id = 2000, SH("sleep 1000 & echo $!; sleep 1000"),
	        .more = {.kind = WD_KIND_ONESHOT, .deadline_ms = 200});
	assert_int_equal(m.error, 0);
	struct wd_msg e = rig_expect(&r, WD_EXITED, NULL);
	assert_true(clock_mono_ms() - from >= 200);
	assert_true(WIFSIGNALED(e.status));
	assert_int_equal(WTERMSIG(e.status), SIGKILL);
	struct hg_buf b = {0};
	rig_await_file(&r, "logs/spool/app.1.1.2000.out", 2, &b);
	int child = (int)strtol(hg_buf_text(&b), NULL, 10);
	hg_buf_free(&b);
	assert_true(child > 1);
	for (uint64_t until = clock_mono_ms() + WAIT_MS; kill(child, 0) == 0; usleep(1000))
		assert_true(clock_mono_ms() < until);
	rig_close(&r);
}

/* By the kernel where there is a cgroup, else by the warden: its end says so either way. */
static void a_replica_over_its_memory_is_ended_with_all_it_started(void **state)
{
	struct rig r;
	(void)state;
	rig_open(&r, 1);
	struct wd_msg m = rig_spawn(&r, .id = 2000,
	        SH("(head -c 60000000 /dev/zero; sleep 1000) | tail & wait; exit 3"),
	        .more = {.memory_max = 32u << 20});
	assert_int_equal(m.error, 0);
	bool kept = m.applied & WD_A_MEMORY;
	assert_int_equal(!kept, (m.applied & WD_A_WATCHED) != 0);
	struct wd_msg e = rig_expect(&r, WD_EXITED, NULL);
	assert_int_equal(e.status & ~WD_STATUS_MASK, kept ? WD_STATUS_OOM : WD_STATUS_OVER);
	if (!kept) assert_true(WIFSIGNALED(e.status) && WTERMSIG(e.status) == SIGKILL);
	rig_forget(&r, 2000);
	/* One that stays below, and ends by itself, is not told of it. */
	m = rig_spawn(&r, .id = 2001, SH("sleep 3; exit 4"), .more = {.memory_max = 64u << 20});
	assert_int_equal(m.error, 0);
	e = rig_expect(&r, WD_EXITED, NULL);
	assert_int_equal(e.status, 4 << 8);
	rig_close(&r);
}

static void the_private_directory_goes_when_exit_is_known_and_logs_are_drained(void **state)
{
	struct rig r;
	char path[200], env[256];
	(void)state;
	rig_open(&r, 1);
	snprintf(path, sizeof path, "%s/run/app.1.1.2000", r.data);
	snprintf(env, sizeof env, "DIR=%s", path);
	rig_spawn(&r, .id = 2000,
	        .argv = {"sh", "-c", "mkdir -p $DIR/tmp/a/b && echo x > $DIR/tmp/a/b/c"},
	        .env = {"PATH=/usr/bin:/bin", env});
	assert_int_equal(rig_expect(&r, WD_EXITED, NULL).status, 0);
	rig_forget(&r, 2000);
	for (uint64_t until = clock_mono_ms() + WAIT_MS; access(path, F_OK) == 0; usleep(1000))
		assert_true(clock_mono_ms() < until);
	struct wd_msg m = rig_spawn(&r, .id = 2000, .argv = {"/bin/true"});
	assert_int_equal(m.error, 0); /* the id is free again after WD_FORGET */
	rig_close(&r);
}

static bool status_line(int pid, const char *name, char *to, size_t cap)
{
	char path[64];
	struct hg_buf b = {0};
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	if (file_read(path, 65536, &b, NULL) < 0) return false;
	const char *at = strstr(hg_buf_text(&b), name);
	bool ok = at && hg_str_copy((struct hg_str){at, strcspn(at, "\n")}, to, cap);
	hg_buf_free(&b);
	return ok;
}

static void everything_runs_without_privileges(void **state)
{
	struct rig r;
	char line[128], want[128];
	(void)state;
	rig_open(&r, 1);
	struct wd_msg m = rig_spawn(&r, .id = 2000, .app = "one", .argv = {"/bin/sleep", "1000"});
	struct wd_msg k = rig_spawn(&r, .id = 2001, .app = "two", .argv = {"/bin/sleep", "1000"});
	int pids[] = {m.pid, k.pid, rig_role(&r, WD_ROLE_CONTROL, 0),
	        rig_role(&r, WD_ROLE_OBSERVE, 0), rig_role(&r, WD_ROLE_EDGE, 0)};
	uint32_t uids[] = {m.uid, k.uid, WARDEN_UID_CONTROL, WARDEN_UID_OBSERVE, WARDEN_UID_EDGE};
	if (geteuid() == 0) {
		assert_true(m.uid >= WARDEN_UID_APPS && m.uid < WARDEN_UID_APPS_END);
		assert_true(k.uid >= WARDEN_UID_APPS && k.uid < WARDEN_UID_APPS_END);
		assert_int_not_equal(m.uid, k.uid);
	}
	for (size_t i = 0; i < HG_COUNT(pids); i++) {
		uint32_t uid = geteuid() == 0 ? uids[i] : geteuid();
		snprintf(want, sizeof want, "Uid:\t%u\t%u\t%u\t%u", uid, uid, uid, uid);
		/* Role processes drop theirs a moment after their start. */
		for (uint64_t until = clock_mono_ms() + WAIT_MS; clock_mono_ms() < until;) {
			assert_true(status_line(pids[i], "Uid:", line, sizeof line));
			if (strcmp(line, want) == 0) break;
		}
		assert_string_equal(line, want);
		for (uint64_t until = clock_mono_ms() + WAIT_MS; clock_mono_ms() < until;) {
			assert_true(status_line(pids[i], "NoNewPrivs:", line, sizeof line));
			if (strcmp(line, "NoNewPrivs:\t1") == 0) break;
		}
		assert_string_equal(line, "NoNewPrivs:\t1");
		assert_true(status_line(pids[i], "CapEff:", line, sizeof line));
		assert_string_equal(line, "CapEff:\t0000000000000000");
	}
	if (geteuid() != 0) print_message("[   SKIP   ] own users: needs root\n");
	rig_close(&r);
}

static void a_sandboxed_replica_writes_only_where_it_may(void **state)
{
	struct rig r;
	char rw[256], env[300], file[300];
	struct hg_buf b = {0};
	(void)state;
	rig_open(&r, 1);
	snprintf(rw, sizeof rw, "%s.rw/made/", r.data);
	snprintf(env, sizeof env, "RW=%s", rw);
	struct wd_msg m = rig_spawn(&r, .id = 2000,
	        .argv = {"sh", "-c",
	                "echo x > $RW/file || echo no-rw; echo x > /tmp/p || echo no-tmp;"
	                "echo x > /var/hg-test 2>/dev/null && echo var; echo end"},
	        .env = {"PATH=/usr/bin:/bin", env}, .writable = {rw},
	        .more = {.flags = WD_F_READ_ONLY_ROOT | WD_F_PRIVATE_TMP});
	assert_int_equal(m.error, 0);
	struct wd_msg e = rig_expect(&r, WD_EXITED, NULL);
	assert_int_equal(e.status, 0);
	rig_await_file(&r, "logs/spool/app.1.1.2000.out", 4, &b);
	assert_str(hg_buf_view(&b), "end\n");
	snprintf(file, sizeof file, "%sfile", rw);
	assert_int_equal(file_read(file, 10, &b, NULL), HG_OK);
	assert_str(hg_buf_view(&b), "x\n");
	hg_buf_free(&b);
	if (!(m.applied & (WD_A_ROOT | WD_A_LANDLOCK))) {
		print_message("[   SKIP   ] read-only root: not possible on this machine\n");
	}
	assert_int_equal(unlink(file), 0);
	*strrchr(rw, '/') = 0;
	assert_int_equal(rmdir(rw), 0);
	*strrchr(rw, '/') = 0;
	assert_int_equal(rmdir(rw), 0);
	rig_close(&r);
}

static void an_app_keeps_its_user_when_others_came_first(void **state)
{
	struct rig r;
	uint32_t first = 0;
	(void)state;
	rig_open(&r, 1);
	first = rig_spawn(&r, .id = 2000, .app = "web", .argv = {"/bin/sleep", "1000"}).uid;
	static struct warden w, other;
	w.log = (struct hg_log){.fd = STDERR_FILENO, .who = "test", .wall_ms = clock_wall_ms};
	snprintf(w.data_dir, sizeof w.data_dir, "%s", r.data);
	other = w;
	/* Another Headgate; nothing is there to be written to. */
	snprintf(other.data_dir, sizeof other.data_dir, "%s/other", r.data);
	assert_int_not_equal(data_uid_of(&w, "api"), 0);
	assert_true(geteuid() != 0 || data_uid_of(&w, "web") == first);
	assert_int_not_equal(data_uid_of(&other, "web"), data_uid_of(&w, "web"));
	rig_close(&r);
}

static void a_writable_folder_of_somebody_else_fails_the_start_by_name(void **state)
{
	struct rig r;
	char dir[300];
	(void)state;
	if (geteuid() != 0) skip(); /* whose else would it be */
	rig_open(&r, 1);
	snprintf(dir, sizeof dir, "%s.root", r.data);
	assert_int_equal(mkdir(dir, 0755), 0);
	struct wd_msg m =
	        rig_spawn(&r, .id = 2000, .argv = {"/bin/sleep", "1000"}, .writable = {dir});
	assert_int_equal(m.step, WD_STEP_WRITABLE);
	assert_int_equal(m.error, EACCES);
	assert_int_not_equal(m.uid, 0);
	assert_int_equal(rmdir(dir), 0);
	rig_close(&r);
}

/* DATA.trap/, which user 12345 owns, with a link to DATA.secret/, which only root may enter. */
static void set_trap(struct rig *r, char trap[300], char secret[300])
{
	char path[340];
	snprintf(trap, 300, "%s.trap", r->data);
	snprintf(secret, 300, "%s.secret", r->data);
	assert_int_equal(mkdir(trap, 0755), 0);
	assert_int_equal(mkdir(secret, 0700), 0);
	snprintf(path, sizeof path, "%s/readable", secret);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	close(fd);
	snprintf(path, sizeof path, "%s/link", trap);
	assert_int_equal(symlink(secret, path), 0);
	assert_int_equal(lchown(path, 12345, 12345), 0);
	assert_int_equal(chown(trap, 12345, 12345), 0);
}

static void clear_trap(const char *trap, const char *secret)
{
	char path[340];
	snprintf(path, sizeof path, "%s/link", trap);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(trap), 0);
	snprintf(path, sizeof path, "%s/readable", secret);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(secret), 0); /* nothing else was made in it */
}

static void a_link_that_an_app_may_have_laid_is_not_followed(void **state)
{
	struct rig r;
	char trap[300], secret[300], link[340], below[340];
	(void)state;
	if (geteuid() != 0) skip(); /* everything is one user's */
	rig_open(&r, 1);
	set_trap(&r, trap, secret);
	snprintf(link, sizeof link, "%s/link", trap);
	snprintf(below, sizeof below, "%s/link/new", trap);
	const char *const ways[] = {link, below};
	for (uint32_t i = 0; i < 4; i++) {
		struct wd_msg m = rig_spawn(&r, .id = 2000 + i, .argv = {"/bin/sleep", "1000"},
		        .writable = {ways[i / 2]},
		        .more = {.flags = i % 2 ? WD_F_READ_ONLY_ROOT : 0});
		assert_int_equal(m.step, WD_STEP_WRITABLE);
		assert_int_equal(m.error, ELOOP);
	}
	/* Nor does it open a closed folder to the app that runs in it. */
	struct wd_msg m = rig_spawn(&r, .id = 2010, .dir = link, .argv = {"/bin/cat", "readable"});
	assert_int_equal(m.step, WD_STEP_CHDIR);
	clear_trap(trap, secret);
	rig_close(&r);
}

static void a_link_of_root_on_the_way_is_followed(void **state)
{
	struct rig r;
	char real[300], link[300], rw[340], env[400], file[400];
	(void)state;
	rig_open(&r, 1);
	/* Beside DATA and not below the private /tmp of the replica. */
	snprintf(real, sizeof real, "%s/real", r.data);
	snprintf(link, sizeof link, "%s/link", r.data);
	snprintf(rw, sizeof rw, "%s/made", link);
	snprintf(file, sizeof file, "%s/made/file", real);
	snprintf(env, sizeof env, "RW=%s", rw);
	assert_int_equal(mkdir(real, 0755), 0);
	assert_int_equal(symlink(real, link), 0);
	struct wd_msg m = rig_spawn(&r, .id = 2000, .argv = {"sh", "-c", "echo x > $RW/file"},
	        .env = {"PATH=/usr/bin:/bin", env}, .writable = {rw},
	        .more = {.flags = WD_F_READ_ONLY_ROOT});
	assert_int_equal(m.error, 0);
	assert_int_equal(rig_expect(&r, WD_EXITED, NULL).status, 0);
	assert_int_equal(access(file, F_OK), 0);
	rig_close(&r);
}

static void a_writable_folder_that_holds_data_is_refused(void **state)
{
	struct rig r;
	(void)state;
	if (geteuid() != 0) skip();
	rig_open(&r, 1);
	struct wd_msg m =
	        rig_spawn(&r, .id = 2000, .argv = {"/bin/sleep", "1000"}, .writable = {"/tmp"});
	assert_int_equal(m.step, WD_STEP_WRITABLE);
	assert_int_equal(m.error, EXDEV);
	m = rig_spawn(&r, .id = 2001, .argv = {"/bin/sleep", "1000"}, .writable = {r.data});
	assert_int_equal(m.error, EXDEV);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_app_keeps_its_user_when_others_came_first),
	        cmocka_unit_test(a_writable_folder_of_somebody_else_fails_the_start_by_name),
	        cmocka_unit_test(a_replica_over_its_memory_is_ended_with_all_it_started),
	        cmocka_unit_test(a_replica_starts_and_its_exit_status_comes_back),
	        cmocka_unit_test(a_pidfd_comes_with_a_started_replica_and_signals_reach_it),
	        cmocka_unit_test(a_failed_start_names_its_step_and_errno),
	        cmocka_unit_test(a_oneshot_is_killed_with_its_children_at_its_deadline),
	        cmocka_unit_test(
	                the_private_directory_goes_when_exit_is_known_and_logs_are_drained),
	        cmocka_unit_test(everything_runs_without_privileges),
	        cmocka_unit_test(a_sandboxed_replica_writes_only_where_it_may),
	        cmocka_unit_test(a_link_that_an_app_may_have_laid_is_not_followed),
	        cmocka_unit_test(a_link_of_root_on_the_way_is_followed),
	        cmocka_unit_test(a_writable_folder_that_holds_data_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
