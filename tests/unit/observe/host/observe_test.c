/* The observe process as the warden and control see it: pipes in, messages, HTTP out. */
#include "tests/unit/observe/logs/box.h"

#include "observe/host/host.h"
#include "os/clock.h"
#include "os/shm.h"
#include "os/sock.h"
#include "warden/warden.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct house {
	char path[64], socket[80];
	int listener, warden[2];
	pid_t pid;
	int out[2], err[2]; /* both ends stay here, as in the warden */
};

static void house_start(struct house *h)
{
	assert_int_equal(sock_pair(h->warden), 0);
	h->pid = fork();
	if (h->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nobody behind */
		struct warden_child child = {.role = WD_ROLE_OBSERVE,
		        .incarnation = 1,
		        .warden_fd = h->warden[1],
		        .admin_fd = -1,
		        .control_fd = -1,
		        .observe_fd = h->listener,
		        .data_dir = h->path};
		close(h->warden[0]);
		hg_child_exit(observe_main(&child));
	}
	close(h->warden[1]);
}

static void house_send(struct house *h, enum wd_type type, bool with_pipes)
{
	struct wd_msg m = {.magic = WD_MAGIC,
	        .type = (uint16_t)type,
	        .id = 1024,
	        .who = {.app = "web", .release = 2, .replica = 1, .incarnation = 5}};
	int fds[2] = {h->out[0], h->err[0]};
	assert_int_equal(sock_send(h->warden[0], &m, sizeof m, fds, with_pipes ? 2 : 0), 0);
}

static void house_init(struct house *h)
{
	struct sock_addr a;
	char text[100];
	*h = (struct house){.path = "/tmp/hg-observe-XXXXXX"};
	assert_non_null(mkdtemp(h->path));
	snprintf(h->socket, sizeof h->socket, "%s/o.sock", h->path);
	snprintf(text, sizeof text, "unix:%s", h->socket);
	assert_true(sock_addr_parse(hg_str(text), &a));
	h->listener = sock_listen(&a, 16);
	assert_true(h->listener >= 0);
	assert_int_equal(pipe2(h->out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(h->err, O_CLOEXEC), 0);
	house_start(h);
	house_send(h, WD_LOG_OPEN, true);
}

static void house_fini(struct house *h)
{
	int status;
	house_send(h, WD_LOG_STOP, false);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(h->listener);
	close(h->warden[0]);
	for (unsigned i = 0; i < 2; i++) {
		close(h->out[i]);
		close(h->err[i]);
	}
	nftw(h->path, box_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int ask(struct house *h, const char *method, const char *target)
{
	struct sock_addr a;
	char text[512];
	snprintf(text, sizeof text, "unix:%s", h->socket);
	assert_true(sock_addr_parse(hg_str(text), &a));
	int fd = sock_connect(&a);
	assert_true(fd >= 0);
	int n = snprintf(text, sizeof text,
	        "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, target);
	assert_int_equal(write(fd, text, (size_t)n), n);
	return fd;
}

/* Reads until `want` was seen (or the end, when NULL); what was read is in `to`. */
static bool hear(int fd, const char *want, char *to, size_t cap)
{
	size_t n = strlen(to);
	uint64_t deadline = clock_mono_ms() + 10000;
	while (clock_mono_ms() < deadline) {
		if (want && strstr(to, want)) return true;
		struct pollfd p = {.fd = fd, .events = POLLIN};
		poll(&p, 1, 100);
		ssize_t got = read(fd, to + n, cap - 1 - n);
		if (got < 0) continue;
		if (got == 0) return !want;
		n += (size_t)got;
		to[n] = 0;
	}
	return false;
}

static void get(struct house *h, const char *target, char *to, size_t cap)
{
	to[0] = 0;
	int fd = ask(h, "GET", target);
	assert_true(hear(fd, NULL, to, cap));
	close(fd);
}

/* Waits for an event of another process: asks until the answer has it. */
static void get_until(struct house *h, const char *target, const char *want, char *to, size_t cap)
{
	uint64_t deadline = clock_mono_ms() + 10000;
	do {
		get(h, target, to, cap);
		if (strstr(to, want)) return;
		poll(NULL, 0, 5);
	} while (clock_mono_ms() < deadline);
	fail_msg("no \"%s\" in \"%s\"", want, to);
}

static void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void test_lines_come_out_with_labels_and_bad_questions_are_refused(void **state)
{
	(void)state;
	struct house h;
	char text[8192];
	house_init(&h);
	say(h.out[1], "hello\n");
	say(h.err[1], "ERROR no\n");
	get_until(&h, "/v1/logs?app=web&level=error", "ERROR no", text, sizeof text);
	assert_non_null(strstr(text, "200 OK"));
	assert_non_null(strstr(text, "application/x-ndjson"));
	assert_non_null(
	        strstr(text, "\"app\":\"web\",\"release\":2,\"replica\":1,\"stream\":\"stderr\","
	                     "\"level\":\"error\",\"text\":\"ERROR no\""));
	assert_null(strstr(text, "hello"));
	get_until(&h, "/v1/logs?grep=hell&format=json", "\"text\":\"hello\"", text, sizeof text);
	assert_non_null(strstr(text, "[\n{"));
	assert_non_null(strstr(text, "\n]\n"));
	get(&h, "/v1/logs?app=nobody&format=json", text, sizeof text);
	assert_non_null(strstr(text, "[]"));
	get(&h, "/v1/logs?level=loud", text, sizeof text);
	assert_non_null(strstr(text, "400 Bad Request"));
	assert_non_null(strstr(text, "application/problem+json"));
	assert_non_null(strstr(text, "it takes debug, info, warn or error"));
	get(&h, "/v1/nothing", text, sizeof text);
	assert_non_null(strstr(text, "404 Not Found"));
	get(&h, "/metrics", text, sizeof text);
	assert_non_null(strstr(text, "headgate_logs_lines_total 2\n"));
	assert_non_null(
	        strstr(text, "headgate_logs_app_lines_total{app=\"web\",level=\"error\"} 1\n"));
	assert_non_null(
	        strstr(text, "headgate_logs_app_lines_total{app=\"web\",level=\"warn\"} 0\n"));
	int fd = ask(&h, "PUT", "/v1/logs/retention?app=web&keep_ms=1000&max_bytes=5");
	text[0] = 0;
	assert_true(hear(fd, NULL, text, sizeof text));
	assert_non_null(strstr(text, "204 No Content"));
	close(fd);
	house_fini(&h);
}

static void test_a_follower_gets_the_last_lines_and_then_what_comes(void **state)
{
	(void)state;
	struct house h;
	char text[65536] = "", other[8192];
	house_init(&h);
	for (unsigned i = 0; i < 30; i++) {
		char line[32];
		snprintf(line, sizeof line, "line %u.\n", i);
		say(h.out[1], line);
	}
	get_until(&h, "/v1/logs?app=web", "line 29.", other, sizeof other);
	int fd = ask(&h, "GET", "/v1/logs?app=web&follow=1&limit=3");
	assert_true(hear(fd, "line 29.", text, sizeof text));
	assert_non_null(strstr(text, "line 27."));
	assert_null(strstr(text, "line 26."));
	for (unsigned i = 0; i < 5; i++) {
		char line[32], want[32];
		snprintf(line, sizeof line, "later %u.\n", i);
		snprintf(want, sizeof want, "later %u.", i);
		say(h.out[1], line);
		assert_true(hear(fd, want, text, sizeof text));
	}
	close(fd);
	house_fini(&h);
}

static void status_is(struct house *h, const char *method, const char *target, const char *want)
{
	char text[8192] = "";
	int fd = ask(h, method, target);
	assert_true(hear(fd, NULL, text, sizeof text));
	close(fd);
	if (strncmp(text, "HTTP/1.1 ", 9) != 0 || strncmp(text + 9, want, strlen(want)) != 0)
		fail_msg("%s %s: want %s, have %s", method, target, want, text);
}

static void test_every_path_knows_its_methods_and_what_it_needs(void **state)
{
	static const char *const rows[][3] = {
	        {"POST", "/v1/logs", "405"},
	        {"GET", "/v1/logs/retention?app=web&keep_ms=1&max_bytes=1", "405"},
	        {"PUT", "/metrics", "405"},
	        {"HEAD", "/v1/logs", "200"},
	        {"GET", "/healthz", "200"},
	        {"PUT", "/v1/logs/retention", "400"},
	        {"PUT", "/v1/logs/retention?app=web&keep_ms=1", "400"},
	        {"PUT", "/v1/logs/retention?app=web&keep_ms=-1&max_bytes=1", "400"},
	        {"PUT", "/v1/logs/retention?app=../x&keep_ms=1&max_bytes=1", "400"},
	        {"PUT", "/v1/logs/retention?app=web&keep_ms=1&max_bytes=1", "204"},
	        {"GET", "/v1/logs?limit=abc", "400"},
	};
	(void)state;
	struct house h;
	house_init(&h);
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		status_is(&h, rows[i][0], rows[i][1], rows[i][2]);
	house_fini(&h);
}

static void test_a_follower_without_history_gets_only_what_comes(void **state)
{
	(void)state;
	struct house h;
	char text[65536] = "", other[8192];
	house_init(&h);
	say(h.out[1], "before\n");
	get_until(&h, "/v1/logs?app=web", "before", other, sizeof other);
	int fd = ask(&h, "GET", "/v1/logs?app=web&follow=1&limit=0");
	assert_true(hear(fd, "\r\n\r\n", text, sizeof text));
	say(h.out[1], "after\n");
	assert_true(hear(fd, "after", text, sizeof text));
	assert_null(strstr(text, "before"));
	close(fd);
	house_fini(&h);
}

static void test_followers_are_limited_and_make_room_when_they_leave(void **state)
{
	(void)state;
	struct house h;
	char text[65536];
	int fd[64];
	house_init(&h);
	for (size_t i = 0; i < HG_COUNT(fd); i++) {
		text[0] = 0;
		fd[i] = ask(&h, "GET", "/v1/logs?follow=1&limit=0");
		assert_true(hear(fd[i], "\r\n\r\n", text, sizeof text));
		assert_non_null(strstr(text, "200 OK"));
	}
	status_is(&h, "GET", "/v1/logs?limit=1", "503");
	close(fd[7]);
	get_until(&h, "/metrics", "headgate_logs_searches 63\n", text, sizeof text);
	assert_non_null(strstr(text, "headgate_logs_requests_refused_total 1\n"));
	status_is(&h, "GET", "/v1/logs?limit=1", "200");
	for (size_t i = 0; i < HG_COUNT(fd); i++)
		if (i != 7) close(fd[i]);
	house_fini(&h);
}

static void test_a_follower_that_does_not_read_holds_nobody_up(void **state)
{
	(void)state;
	struct house h;
	static char line[8193], text[65536];
	house_init(&h);
	int fd = ask(&h, "GET", "/v1/logs?app=web&follow=1&since=1h");
	memset(line, 'x', sizeof line - 1);
	line[sizeof line - 2] = '\n';
	for (unsigned i = 0; i < 2000; i++)
		say(h.out[1], line); /* 16 MB: blocks unless they are read */
	say(h.out[1], "the end\n");
	get_until(&h, "/v1/logs?app=web&limit=1", "the end", text, sizeof text);
	/* Now it reads, and misses nothing. */
	size_t lines = 0;
	bool end = false;
	uint64_t deadline = clock_mono_ms() + 20000;
	while (!end && clock_mono_ms() < deadline) {
		ssize_t n = read(fd, text, sizeof text - 1);
		if (n <= 0) {
			poll(NULL, 0, 1);
			continue;
		}
		text[n] = 0;
		for (const char *at = text; (at = strstr(at, "\"text\"")) != NULL; at++)
			lines++;
		end = strstr(text, "the end") != NULL;
	}
	assert_true(end);
	assert_in_range(lines, 1990, 2001); /* a name may lie across two reads */
	close(fd);
	house_fini(&h);
}

static void test_a_killed_process_is_replaced_and_every_line_is_there_once(void **state)
{
	(void)state;
	struct house h;
	static char text[262144];
	house_init(&h);
	for (unsigned i = 0; i < 400; i++) {
		char line[32];
		snprintf(line, sizeof line, "line %03u.\n", i);
		say(h.out[1], line);
		if (i % 100 != 50) continue;
		kill(h.pid, SIGKILL);
		waitpid(h.pid, NULL, 0);
		close(h.warden[0]);
		house_start(&h);
		house_send(&h, WD_LOG_OPEN, true);
	}
	house_send(&h, WD_LOG_END, false);
	struct wd_msg m;
	int fds[SOCK_FDS_MAX];
	size_t fd_count;
	struct pollfd p = {.fd = h.warden[0], .events = POLLIN};
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(sock_recv(h.warden[0], &m, sizeof m, fds, &fd_count), sizeof m);
	assert_int_equal(m.type, WD_LOG_DRAINED);
	assert_int_equal(m.id, 1024);
	get(&h, "/v1/logs?app=web&order=oldest&limit=100000", text, sizeof text);
	const char *at = text;
	for (unsigned i = 0; i < 400; i++) {
		char want[32];
		snprintf(want, sizeof want, "\"text\":\"line %03u.\"", i);
		at = strstr(at, "\"text\":");
		if (!at || strncmp(at, want, strlen(want)) != 0)
			fail_msg("want %s, have %.60s", want, at ? at : "nothing");
		at++;
	}
	assert_null(strstr(at, "\"text\":"));
	house_fini(&h);
}

static void conf_send(struct house *h, const char *text, bool sealed)
{
	struct wd_msg m = {.magic = WD_MAGIC, .type = WD_OBSERVE_CONF};
	int fd = sealed ? shm_sealed("conf", hg_str(text)) : shm_create("conf", strlen(text));
	assert_true(fd >= 0);
	if (!sealed) assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
	assert_int_equal(sock_send(h->warden[0], &m, sizeof m, &fd, 1), 0);
	close(fd);
}

static void test_the_metrics_store_opens_beside_the_logs_and_hears_of_its_limits(void **state)
{
	(void)state;
	struct house h;
	char text[16384];
	house_init(&h);
	get_until(&h, "/metrics", "headgate_tsdb_state{state=\"well\"} 1", text, sizeof text);
	conf_send(&h, "{\"version\":1,\"store\":{\"keep_ms\":1}}", true);
	get_until(&h, "/metrics", "conf_refused_total 1\n", text, sizeof text);
	conf_send(&h, "{\"version\":1}", false); /* who may still change it is not believed */
	get_until(&h, "/metrics", "conf_refused_total 2\n", text, sizeof text);
	conf_send(&h, "{\"version\":1,\"store\":{\"keep_ms\":7200000}}", true);
	say(h.out[1], "still here\n");
	get_until(&h, "/v1/logs?app=web", "still here", text, sizeof text);
	get(&h, "/metrics", text, sizeof text);
	assert_non_null(strstr(text, "conf_refused_total 2\n"));
	house_fini(&h);
}

static void test_without_a_metrics_store_logs_go_on_and_it_is_said_why(void **state)
{
	(void)state;
	struct house h;
	char text[16384], file[96];
	house_init(&h);
	get_until(&h, "/metrics", "headgate_tsdb_state{state=\"well\"} 1", text, sizeof text);
	/* The next one finds a file where the folder should be. */
	kill(h.pid, SIGKILL);
	waitpid(h.pid, NULL, 0);
	close(h.warden[0]);
	snprintf(file, sizeof file, "%s/metrics", h.path);
	nftw(file, box_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	house_start(&h);
	house_send(&h, WD_LOG_OPEN, true);
	get_until(&h, "/metrics", "headgate_tsdb_state{state=\"failed\"} 1", text, sizeof text);
	say(h.out[1], "all the same\n");
	get_until(&h, "/v1/logs?app=web", "all the same", text, sizeof text);
	get(&h, "/api/v1/query?query=up", text, sizeof text);
	assert_non_null(strstr(text, "503 Service Unavailable"));
	assert_non_null(strstr(text, "cannot open"));
	house_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_lines_come_out_with_labels_and_bad_questions_are_refused),
	        cmocka_unit_test(test_a_follower_gets_the_last_lines_and_then_what_comes),
	        cmocka_unit_test(test_every_path_knows_its_methods_and_what_it_needs),
	        cmocka_unit_test(test_a_follower_without_history_gets_only_what_comes),
	        cmocka_unit_test(test_followers_are_limited_and_make_room_when_they_leave),
	        cmocka_unit_test(test_a_follower_that_does_not_read_holds_nobody_up),
	        cmocka_unit_test(test_a_killed_process_is_replaced_and_every_line_is_there_once),
	        cmocka_unit_test(
	                test_the_metrics_store_opens_beside_the_logs_and_hears_of_its_limits),
	        cmocka_unit_test(test_without_a_metrics_store_logs_go_on_and_it_is_said_why),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
