#include "rig.h"

/* "<pid> <generation>\n" of the edge, or false when the connection was lost. */
static bool read_answer(int fd, int *ret_pid, unsigned long long *ret_generation)
{
	char text[64];
	size_t n = 0;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	while (n < sizeof text - 1) {
		if (poll(&p, 1, WAIT_MS) != 1) return false;
		ssize_t got = read(fd, text + n, sizeof text - 1 - n);
		if (got <= 0) break;
		n += (size_t)got;
	}
	text[n] = 0;
	return sscanf(text, "%d %llu\n", ret_pid, ret_generation) == 2;
}

static int connect_to(const struct rig *r)
{
	int fd = sock_connect(&r->plan.listen[0]);
	assert_true(fd >= 0);
	return fd;
}

static void ask(const struct rig *r, int *ret_pid, unsigned long long *ret_generation)
{
	int fd = connect_to(r);
	assert_true(read_answer(fd, ret_pid, ret_generation));
	close(fd);
}

#define CLIENTS 300
static void connections_queued_while_an_edge_is_killed_are_all_served(void **state)
{
	struct rig r;
	int fd[CLIENTS], pid, lost = 0;
	unsigned long long generation;
	(void)state;
	rig_open(&r, 1);
	ask(&r, &pid, &generation);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	for (int i = 0; i < CLIENTS; i++)
		fd[i] = connect_to(&r);
	assert_int_equal(kill(pid, SIGKILL), 0);
	for (int i = 0; i < CLIENTS; i++) {
		int who = 0;
		lost += !read_answer(fd[i], &who, &generation) || who == pid;
		close(fd[i]);
	}
	assert_int_equal(lost, 0);
	struct wd_msg m;
	do {
		m = rig_expect(&r, WD_CHILD, NULL);
	} while (m.role != WD_ROLE_EDGE || m.flags);
	assert_int_equal(m.pid, pid);
	assert_int_equal(WTERMSIG(m.status), SIGKILL);
	rig_close(&r);
}

static void a_new_edge_gets_the_newest_snapshot(void **state)
{
	struct rig r;
	int pid, again;
	unsigned long long generation = 0;
	(void)state;
	rig_open(&r, 2);
	for (uint64_t g = 6; g <= 7; g++) {
		int image = shm_sealed("image", HG_STR("an image"));
		rig_send(&r, (struct wd_msg){.type = WD_SNAPSHOT, .generation = g}, image);
		close(image);
	}
	/* One that could still change is not passed on. */
	int open_image = shm_create("image", 8);
	rig_send(&r, (struct wd_msg){.type = WD_SNAPSHOT, .generation = 8}, open_image);
	close(open_image);
	for (uint64_t until = clock_mono_ms() + WAIT_MS; generation != 7; usleep(1000)) {
		assert_true(clock_mono_ms() < until);
		ask(&r, &pid, &generation);
		assert_true(generation != 8);
	}
	for (int round = 0; round < 3; round++) {
		int first = rig_role(&r, WD_ROLE_EDGE, 0);
		/* The list may still name the one that was killed in the round before. */
		assert_true(kill(first, SIGKILL) == 0 || errno == ESRCH);
		(void)rig_role(&r, WD_ROLE_EDGE, first);
	}
	/* Its first message may come after its first connection; the last answer must be right. */
	for (uint64_t until = clock_mono_ms() + WAIT_MS; clock_mono_ms() < until; usleep(1000)) {
		ask(&r, &again, &generation);
		if (generation == 7) break;
	}
	assert_int_equal(generation, 7);
	rig_close(&r);
}

/* Waits until observe `pid` was told so. */
static void told(struct rig *r, int pid, const char *what)
{
	char line[64];
	struct hg_buf text = {0};
	snprintf(line, sizeof line, "%d %s\n", pid, what);
	for (uint64_t until = clock_mono_ms() + WAIT_MS;; usleep(1000)) {
		hg_buf_free(&text);
		hg_buf_init(&text, 1 << 20);
		if (rig_read(r, "logs/told", &text) && strstr(hg_buf_text(&text), line)) break;
		if (clock_mono_ms() > until)
			fail_msg("no \"%s\" in \"%s\"", line, hg_buf_text(&text));
	}
	hg_buf_free(&text);
}

static void a_new_observe_is_told_what_to_do_and_what_there_is(void **state)
{
	struct rig r;
	(void)state;
	rig_open(&r, 1);
	int image = shm_sealed("image", HG_STR("an image")), open_conf = shm_create("conf", 8);
	int conf[2] = {shm_sealed("conf", HG_STR("first ")), shm_sealed("conf", HG_STR("second "))};
	rig_send(&r, (struct wd_msg){.type = WD_SNAPSHOT, .generation = 9}, image);
	rig_send(&r, (struct wd_msg){.type = WD_OBSERVE}, conf[0]);
	int pid = rig_role(&r, WD_ROLE_OBSERVE, 0);
	told(&r, pid, "conf first 0");
	told(&r, pid, "snapshot 9");
	rig_send(&r, (struct wd_msg){.type = WD_OBSERVE}, conf[1]);
	/* What could still change is not passed on, and is not kept. */
	rig_send(&r, (struct wd_msg){.type = WD_OBSERVE}, open_conf);
	told(&r, pid, "conf second 0");
	for (int round = 0; round < 2; round++) {
		assert_true(kill(pid, SIGKILL) == 0 || errno == ESRCH);
		pid = rig_role(&r, WD_ROLE_OBSERVE, pid);
		told(&r, pid, "conf second 0");
		told(&r, pid, "snapshot 9");
	}
	close(image);
	close(conf[0]);
	close(conf[1]);
	close(open_conf);
	rig_close(&r);
}

static void a_new_control_is_told_of_all_replicas_and_unforgotten_exits(void **state)
{
	struct rig r;
	int fd, seen_running = 0, seen_exited = 0;
	(void)state;
	rig_open(&r, 1);
	assert_int_equal(rig_expect(&r, WD_HELLO, NULL).count, 0);
	struct wd_msg a = rig_spawn(&r, .id = 2000, .argv = {"/bin/sleep", "1000"});
	rig_spawn(&r, .id = 2001, .argv = {"/bin/true"});
	rig_expect(&r, WD_EXITED, NULL);
	rig_spawn(&r, .id = 2002, .argv = {"/bin/true"});
	rig_expect(&r, WD_EXITED, NULL);
	rig_forget(&r, 2002);
	struct wd_msg c = rig_spawn(&r, .id = 2003, .argv = {"/bin/sleep", "1000"});
	int control = rig_role(&r, WD_ROLE_CONTROL, 0);
	assert_int_equal(kill(control, SIGKILL), 0);
	/* It ends while nobody may be listening. */
	assert_int_equal(kill(c.pid, SIGKILL), 0);
	struct wd_msg h = rig_expect(&r, WD_HELLO, NULL);
	assert_int_equal(h.count, 3);
	for (uint32_t i = 0; i < h.count; i++) {
		struct wd_msg m = rig_expect(&r, WD_REPLICA, &fd);
		assert_int_equal(m.error, 0);
		if (m.id == 2000) {
			assert_int_equal(m.pid, a.pid);
			assert_true(fd >= 0 && !proc_pidfd_ended(fd));
			seen_running++;
		}
		if (m.id == 2001) {
			assert_int_equal(fd, -1);
			assert_int_equal(rig_expect(&r, WD_EXITED, NULL).id, 2001);
			seen_exited++;
		}
		if (fd >= 0) close(fd);
	}
	assert_int_equal(seen_running, 1);
	assert_int_equal(seen_exited, 1);
	struct wd_msg e = rig_expect(&r, WD_EXITED, NULL);
	assert_int_equal(e.id, 2003);
	assert_int_equal(WTERMSIG(e.status), SIGKILL);
	rig_close(&r);
}

/* Lines "n\n" for n = 1…; false at the first gap. */
static bool counts_up(struct hg_str text, uint64_t *ret_last)
{
	*ret_last = 0;
	while (text.n > 0) {
		uint64_t v;
		if (!hg_str_u64(hg_str_cut(&text, '\n'), &v) || v != *ret_last + 1) return false;
		*ret_last = v;
	}
	return true;
}

static void no_line_is_lost_and_nobody_waits_when_observe_is_killed(void **state)
{
	struct rig r;
	struct hg_buf b = {0};
	uint64_t last;
	(void)state;
	rig_open(&r, 1);
	/* 2.7 MB: more than the FIFO holds. */
	rig_spawn(&r, .id = 2000, .argv = {"sh", "-c", "seq 1 400000"},
	        .env = {"PATH=/usr/bin:/bin"});
	for (int i = 0; i < 6; i++) {
		int pid = rig_role(&r, WD_ROLE_OBSERVE, 0);
		kill(pid, SIGKILL);
		(void)rig_role(&r, WD_ROLE_OBSERVE, pid);
	}
	assert_int_equal(rig_expect(&r, WD_EXITED, NULL).status, 0);
	rig_forget(&r, 2000);
	rig_await_file(&r, "logs/spool/app.1.1.2000.out", 2688895, &b);
	assert_true(counts_up(hg_buf_view(&b), &last));
	assert_int_equal(last, 400000);
	hg_buf_free(&b);
	rig_close(&r);
}

static void what_a_replica_said_before_it_and_observe_were_killed_is_kept(void **state)
{
	struct rig r;
	struct hg_buf b = {0};
	(void)state;
	rig_open(&r, 1);
	int observe = rig_role(&r, WD_ROLE_OBSERVE, 0);
	assert_int_equal(kill(observe, SIGSTOP), 0);
	struct wd_msg m = rig_spawn(&r, .id = 2000,
	        .argv = {"sh", "-c", "seq 1 10000; echo said >&2; sleep 1000"},
	        .env = {"PATH=/usr/bin:/bin"});
	/* It sleeps once all is said: the FIFO holds it, nobody has read. */
	char path[64], text[64];
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", m.pid, m.pid);
	for (bool sleeps = false; !sleeps; usleep(1000)) {
		struct hg_buf kids = {0}, comm = {0};
		assert_int_equal(file_read(path, 4096, &kids, NULL), HG_OK);
		int kid = (int)strtol(hg_buf_text(&kids), NULL, 10);
		snprintf(text, sizeof text, "/proc/%d/comm", kid);
		sleeps = kid > 0 && file_read(text, 64, &comm, NULL) == HG_OK &&
		         strcmp(hg_buf_text(&comm), "sleep\n") == 0;
		hg_buf_free(&kids);
		hg_buf_free(&comm);
	}
	kill(observe, SIGKILL);
	kill(m.pid, SIGKILL);
	rig_expect(&r, WD_EXITED, NULL);
	rig_forget(&r, 2000);
	rig_await_file(&r, "logs/spool/app.1.1.2000.out", 48894, &b);
	uint64_t last;
	assert_true(counts_up(hg_buf_view(&b), &last));
	assert_int_equal(last, 10000);
	rig_await_file(&r, "logs/spool/app.1.1.2000.err", 5, &b);
	assert_str(hg_buf_view(&b), "said\n");
	hg_buf_free(&b);
	rig_close(&r);
}

static int dying_observe(const struct warden_child *c)
{
	(void)c;
	return 3;
}

static void a_replica_never_waits_while_observe_cannot_run(void **state)
{
	struct rig r = {0};
	struct hg_buf b = {0};
	char text[512];
	int pair[2];
	(void)state;
	snprintf(r.data, sizeof r.data, "/tmp/hg-warden-XXXXXX");
	assert_non_null(mkdtemp(r.data));
	assert_int_equal(sock_pair(pair), 0);
	rig_plan(&r, r.data, pair[1]);
	r.plan.observe_main = dying_observe;
	r.control = pair[0];
	assert_true(rig_launch(&r, text, sizeof text));
	close(pair[1]);
	/* Lines of a little over half a page: the worst filling of a pipe. 6 MB in all. */
	rig_spawn(&r, .id = 2000,
	        .argv = {"sh", "-c",
	                "x=$(printf %02099d 0); i=0; while [ $i -lt 3000 ]; do echo $x; "
	                "i=$((i+1)); done"},
	        .env = {"PATH=/usr/bin:/bin"});
	assert_int_equal(rig_expect(&r, WD_EXITED, NULL).status, 0);
	rig_close(&r);
	hg_buf_free(&b);
}

static void a_second_start_is_refused_and_says_who_holds_the_data(void **state)
{
	struct rig r, second = {0};
	char text[2048], pid[32];
	(void)state;
	rig_open(&r, 1);
	rig_plan(&second, r.data, -1);
	assert_false(rig_launch(&second, text, sizeof text));
	assert_int_equal(WEXITSTATUS(rig_wait(&second)), 6);
	snprintf(pid, sizeof pid, "(pid %d)", (int)r.warden);
	assert_non_null(strstr(text, pid));
	assert_non_null(strstr(text, "headgate down"));
	/* The first one is as it was. */
	struct warden_info info;
	assert_int_equal(warden_find(r.data, &info, NULL), HG_OK);
	assert_true(info.warden_alive);
	assert_int_equal(info.pid, r.warden);
	assert_int_equal(info.role_count, 3);
	rig_close(&r);
}

static void what_stands_in_the_way_of_the_data_folder_is_named(void **state)
{
	static const struct {
		const char *name, *to; /* a link to `to`, or a file */
		const char *want;
	} rows[] = {
	        {"store", NULL, "/store\": Not a directory"},
	        {"logs", "/tmp",
	                "could not open \""}, /* never through a link: that is root's write */
	        {"run", NULL, "/run\": Not a directory"},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct rig r;
		char text[2048], path[200];
		struct stat before, after;
		rig_folder(&r);
		rig_plan(&r, r.data, -1);
		assert_int_equal(stat("/tmp", &before), 0);
		snprintf(path, sizeof path, "%s/%s", r.data, rows[i].name);
		if (rows[i].to)
			assert_int_equal(symlink(rows[i].to, path), 0);
		else
			assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
		assert_false(rig_launch(&r, text, sizeof text));
		assert_int_equal(WEXITSTATUS(rig_wait(&r)), 6);
		if (!strstr(text, rows[i].want) || !strstr(text, path))
			fail_msg("no %s %s in: %s", path, rows[i].want, text);
		assert_int_equal(stat("/tmp", &after), 0);
		assert_int_equal(before.st_uid, after.st_uid);
		assert_int_equal(before.st_mode, after.st_mode);
		assert_int_equal(unlink(path), 0);
		rig_remove(&r);
	}
}

static void a_damaged_list_of_users_gives_no_app_a_wrong_one(void **state)
{
	struct rig r;
	char path[200];
	(void)state;
	rig_folder(&r);
	snprintf(path, sizeof path, "%s/run", r.data);
	assert_int_equal(mkdir(path, 0711), 0);
	snprintf(path, sizeof path, "%s/run/uids", r.data);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f,
	        "web 0\nweb %u\nweb %u\nweb\n\nweb -1\nweb 99999999999999999999\n%0200d %u\n"
	        "api %u\n",
	        WARDEN_UID_CONTROL, WARDEN_UID_APPS_END, 7, WARDEN_UID_APPS + 1,
	        WARDEN_UID_APPS + 5);
	assert_int_equal(fclose(f), 0);
	rig_open_there(&r, 1);
	uint32_t web = rig_spawn(&r, .id = 2000, .app = "web", .argv = {"/bin/sleep", "1000"}).uid;
	uint32_t api = rig_spawn(&r, .id = 2001, .app = "api", .argv = {"/bin/sleep", "1000"}).uid;
	if (geteuid() == 0) {
		assert_in_range(web, WARDEN_UID_APPS, WARDEN_UID_APPS_END - 1);
		assert_int_equal(api, WARDEN_UID_APPS + 5); /* the good line holds */
		assert_int_not_equal(web, api);
	}
	rig_close(&r);
}

static void a_port_in_use_is_an_error_that_names_it(void **state)
{
	struct rig r;
	char text[2048], want[64];
	(void)state;
	rig_folder(&r);
	rig_plan(&r, r.data, -1);
	int fd = sock_listen(&r.plan.listen[0], 1);
	assert_true(fd >= 0);
	assert_false(rig_launch(&r, text, sizeof text));
	assert_int_equal(WEXITSTATUS(rig_wait(&r)), 6);
	snprintf(want, sizeof want, "could not bind listener 127.0.0.1:%u: address in use", r.port);
	assert_non_null(strstr(text, want));
	struct warden_info info;
	assert_int_equal(warden_find(r.data, &info, NULL), HG_E_NOT_FOUND);
	close(fd);
	rig_remove(&r);
}

static void shutdown_leaves_no_process_even_without_control(void **state)
{
	struct rig r;
	int roles[3];
	(void)state;
	rig_open(&r, 1);
	roles[0] = rig_role(&r, WD_ROLE_CONTROL, 0);
	roles[1] = rig_role(&r, WD_ROLE_OBSERVE, 0);
	roles[2] = rig_role(&r, WD_ROLE_EDGE, 0);
	struct wd_msg a = rig_spawn(&r, .id = 2000, .argv = {"/bin/sleep", "1000"});
	/* One that ignores SIGTERM and one that fled into a session of its own. */
	struct wd_msg b = rig_spawn(&r, .id = 2001,
	        .argv = {"sh", "-c",
	                "trap '' TERM; setsid sleep 1000 & echo $!; while :; do sleep 1; done"},
	        .env = {"PATH=/usr/bin:/bin"});
	struct hg_buf out = {0};
	rig_await_file(&r, "logs/spool/app.1.1.2001.out", 2, &out);
	int fled = (int)strtol(hg_buf_text(&out), NULL, 10);
	hg_buf_free(&out);
	/* A control that is stuck: the warden does its work. */
	kill(roles[0], SIGSTOP);
	kill(r.warden, SIGTERM);
	usleep(1000);
	kill(r.warden, SIGTERM);
	assert_int_equal(rig_wait(&r), 0);
	int all[] = {roles[0], roles[1], roles[2], a.pid, b.pid, fled};
	for (size_t i = 0; i < HG_COUNT(all); i++)
		assert_int_equal(kill(all[i], 0), -1);
	char path[256];
	snprintf(path, sizeof path, "%s/control.sock", r.data);
	assert_int_equal(access(path, F_OK), -1);
	close(r.control);
	rig_remove(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(connections_queued_while_an_edge_is_killed_are_all_served),
	        cmocka_unit_test(a_new_edge_gets_the_newest_snapshot),
	        cmocka_unit_test(a_new_observe_is_told_what_to_do_and_what_there_is),
	        cmocka_unit_test(a_new_control_is_told_of_all_replicas_and_unforgotten_exits),
	        cmocka_unit_test(no_line_is_lost_and_nobody_waits_when_observe_is_killed),
	        cmocka_unit_test(what_a_replica_said_before_it_and_observe_were_killed_is_kept),
	        cmocka_unit_test(a_replica_never_waits_while_observe_cannot_run),
	        cmocka_unit_test(a_second_start_is_refused_and_says_who_holds_the_data),
	        cmocka_unit_test(what_stands_in_the_way_of_the_data_folder_is_named),
	        cmocka_unit_test(a_damaged_list_of_users_gives_no_app_a_wrong_one),
	        cmocka_unit_test(a_port_in_use_is_an_error_that_names_it),
	        cmocka_unit_test(shutdown_leaves_no_process_even_without_control),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
