#include "rig.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define GET "GET /p?secret=1 HTTP/1.1\r\nHost: a\r\n\r\n"

static void rep_gate(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		while (!*(_Atomic bool *)rep->arg)
			usleep(1000);
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
}

static void drain_call(struct rig *g)
{
	edge_drain(g->edge, 5000);
}

static void draining_finishes_what_is_in_flight_and_no_more(void **state)
{
	_Atomic bool open = false;
	struct rig *g = rig_bare(0, 0);
	char v[16];
	(void)state;
	rig_replica(g, rep_gate)->arg = &open;
	rig_publish(g);
	int busy = dial(g), idle = dial(g), fresh;
	open = true;
	talk(idle, GET, 200, "ok");
	open = false;
	put(busy, GET);
	while (g->rep[0].requests < 2)
		usleep(1000);
	rig_do(g, drain_call);
	assert_true(closed(idle));
	/* Nobody accepts it here; another worker of the same listener would. */
	fresh = dial(g);
	open = true;
	struct resp *r = hear(busy);
	assert_non_null(r);
	assert_string_equal(r->body, "ok");
	assert_string_equal(field(r->head, "Connection", v, sizeof v), "close");
	resp_free(r);
	assert_true(closed(busy));
	rig_sync(g);
	assert_true(edge_idle(g->edge));
	close(busy), close(idle), close(fresh);
	rig_free(g);
}

static void short_drain_call(struct rig *g)
{
	edge_drain(g->edge, 100);
}

static void draining_ends_at_its_deadline(void **state)
{
	_Atomic bool open = false;
	struct rig *g = rig_bare(0, 0);
	(void)state;
	rig_replica(g, rep_gate)->arg = &open;
	rig_publish(g);
	int busy = dial(g);
	put(busy, GET);
	while (g->rep[0].requests < 1)
		usleep(1000);
	rig_do(g, short_drain_call);
	assert_true(closed(busy));
	open = true;
	close(busy);
	rig_free(g);
}

static void a_request_keeps_the_image_it_began_with(void **state)
{
	_Atomic bool open = false;
	struct rig *g = rig_bare(0, 0);
	(void)state;
	rig_replica(g, rep_gate)->arg = &open;
	rig_publish(g);
	assert_int_equal(atomic_load(&g->meter->worker[1].snapshot_ack), 1);
	int fd = dial(g);
	put(fd, GET);
	while (g->rep[0].requests < 1)
		usleep(1000);
	for (int i = 0; i < 10; i++)
		rig_publish(g);
	assert_int_equal(atomic_load(&g->meter->worker[1].snapshot_ack), 11);
	open = true;
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 200);
	resp_free(r);
	rig_sync(g);
	assert_int_equal(g->edge->image->refs, 1);
	close(fd);
	rig_free(g);
}

static void bad_snapshot_call(struct rig *g)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (edge_snapshot(g->edge, fd) != HG_E_INVALID) abort();
	close(fd);
	fd = rig_image(g);
	struct snap_image *w = calloc(1, 65536);
	ssize_t n = pread(fd, w, 65536, 0);
	close(fd);
	/* A lane beyond the meter must never be written to. */
	((struct snap_lane *)(void *)((char *)w + w->lane_at))->lane = METER_LANES_MAX;
	fd = memfd_create("bad", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (write(fd, w, (size_t)n) != n) abort();
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	if (edge_snapshot(g->edge, fd) != HG_E_INVALID) abort();
	close(fd);
	free(w);
}

static void a_bad_image_changes_nothing(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	(void)state;
	rig_do(g, bad_snapshot_call);
	talk(fd, GET, 200, "=");
	assert_int_equal(atomic_load(&g->meter->worker[1].snapshot_ack), 1);
	close(fd);
	rig_free(g);
}

static void flush_call(struct rig *g)
{
	edge_log_flush(g->edge);
}

static void every_request_is_one_line_of_json(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	char text[8192] = {0};
	(void)state;
	talk(fd,
	        "POST /a%22b?secret=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: r1\r\n"
	        "Content-Length: 2\r\n\r\nhi",
	        200, "=hi");
	talk(fd, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, NULL);
	rig_do(g, flush_call);
	assert_true(read(g->log_pipe[0], text, sizeof text - 1) > 0);
	char *second = strchr(text, '\n') + 1;
	assert_int_equal(strncmp(text, "{\"ts\":\"20", 9), 0);
	assert_non_null(strstr(text, "\"level\":\"info\",\"event\":\"access\",\"app\":\"app\","
	                             "\"route\":\"all/\",\"release\":1,\"replica\":0,"
	                             "\"upstream\":\"127.0.0.1:"));
	assert_non_null(strstr(text, "\"method\":\"POST\",\"path\":\"/a%22b\",\"status\":200,"));
	assert_non_null(strstr(text, "\"bytes_in\":2,\"bytes_out\":3,\"client\":\"127.0.0.1\","));
	assert_non_null(strstr(text, "\"request_id\":\"r1\",\"retries\":0}\n"));
	assert_null(strstr(text, "secret"));
	assert_non_null(strstr(second, "\"method\":\"TRACE\",\"path\":\"/\",\"status\":405,"));
	assert_null(strstr(second, "\"\"retries"));
	assert_int_equal(g->meter->worker[1].access_lines, 2);
	close(fd);
	rig_free(g);
}

/* Texts are looked at eight bytes at a time: whatever has to be escaped is, wherever it stands. */
static void quotes_in_a_path_are_escaped_at_every_place(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	char text[4096], path[32], request[128], want[80];
	(void)state;
	for (int n = 1; n <= 18; n++) {
		for (int at = 1; at < n; at++) {
			memset(path, 'p', sizeof path);
			path[0] = '/';
			path[at] = n % 2 ? '"' : '\\';
			path[n] = 0;
			snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
			        path);
			talk(fd, request, 200, NULL);
			rig_do(g, flush_call);
			ssize_t got = read(g->log_pipe[0], text, sizeof text - 1);
			assert_true(got > 0);
			text[got] = 0;
			snprintf(want, sizeof want, "\"path\":\"%.*s\\u00%02x%s\",", at, path,
			        (unsigned)path[at], path + at + 1);
			if (!strstr(text, want)) fail_msg("%s has no %s", text, want);
		}
	}
	close(fd);
	rig_free(g);
}

static void a_full_log_pipe_drops_lines_and_never_blocks(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	char text[65536];
	int fd = dial(g);
	size_t n = 0, lines = 0;
	(void)state;
	fcntl(g->log_pipe[0], F_SETPIPE_SZ, 4096);
	for (int i = 0; i < 1000; i++)
		talk(fd, GET, 200, "=");
	rig_sync(g);
	uint64_t dropped = g->meter->worker[1].access_dropped;
	assert_true(dropped > 100);
	for (int i = 0; i < 100; i++) {
		rig_do(g, flush_call);
		ssize_t k = read(g->log_pipe[0], text, sizeof text);
		if (k <= 0) break;
		n += (size_t)k;
		for (ssize_t j = 0; j < k; j++)
			lines += text[j] == '\n';
	}
	assert_true(n > 0);
	assert_int_equal(lines + dropped, 1000);
	assert_int_equal(lines, g->meter->worker[1].access_lines);
	close(fd);
	rig_free(g);
}

static void sampling_logs_a_share(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	(void)state;
	g->shape.access_sample_ppm = 100000;
	rig_publish(g);
	for (int i = 0; i < 500; i++)
		talk(fd, GET, 200, "=");
	rig_sync(g);
	assert_in_range(g->meter->worker[1].access_lines, 10, 120);
	close(fd);
	rig_free(g);
}

static void dates_are_those_of_rfc_9110(void **state)
{
	char to[32];
	(void)state;
	assert_int_equal(edge_http_date(784111777, to), 29);
	assert_string_equal(to, "Sun, 06 Nov 1994 08:49:37 GMT");
	edge_http_date(951782400, to);
	assert_string_equal(to, "Tue, 29 Feb 2000 00:00:00 GMT");
	edge_http_date(0, to);
	assert_string_equal(to, "Thu, 01 Jan 1970 00:00:00 GMT");
}

static bool resident(void *p)
{
	unsigned char in[EDGE_BUF_SIZE / 4096];
	assert_int_equal(mincore(p, EDGE_BUF_SIZE, in), 0);
	return in[0] & 1;
}

static void memory_of_a_burst_goes_back_to_the_kernel(void **state)
{
	struct edge_pool p;
	char *item[8];
	(void)state;
	assert_int_equal(edge_pool_init(&p, EDGE_BUF_SIZE, 8), HG_OK);
	for (int i = 0; i < 8; i++) {
		item[i] = edge_pool_take(&p);
		memset(item[i], 1, EDGE_BUF_SIZE);
	}
	assert_null(edge_pool_take(&p));
	for (int i = 0; i < 8; i++)
		edge_pool_give(&p, item[i]);
	edge_pool_trim(&p);
	/* One is used all the time: it stays, the others were not needed between two trims. */
	for (int i = 0; i < 3; i++) {
		char *hot = edge_pool_take(&p);
		assert_ptr_equal(hot, item[0]);
		hot[0] = 1;
		edge_pool_give(&p, hot);
		edge_pool_trim(&p);
	}
	assert_true(resident(item[0]));
	for (int i = 1; i < 8; i++)
		assert_false(resident(item[i]));
	for (int i = 0; i < 8; i++) {
		assert_ptr_equal(edge_pool_take(&p), item[i]);
		item[i][0] = 2;
	}
	edge_pool_fini(&p);
}

/* Items smaller than a page: those that stay stand together, whatever order they came in. */
static void pages_between_those_in_use_go_back_too(void **state)
{
	enum { N = 3000, SIZE = 320, PAGES = N * SIZE / 4096 };
	static char *item[N];
	static unsigned char in[PAGES + 1];
	struct edge_pool p;
	size_t count = 0;
	(void)state;
	assert_int_equal(edge_pool_init(&p, SIZE, N), HG_OK);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++) {
			item[i] = edge_pool_take(&p);
			assert_non_null(item[i]);
			memset(item[i], round, SIZE);
		}
		assert_null(edge_pool_take(&p));
		for (int i = 0; i < N; i++)
			for (int k = 0; k < SIZE; k++)
				assert_int_equal(item[i][k], round);
		for (int i = 0; i < N; i++)
			if (i % 1000 != 7) edge_pool_give(&p, item[i]);
		assert_true(edge_pool_trim(&p));
		assert_false(edge_pool_trim(&p));
		for (int i = 7; i < N; i += 1000)
			edge_pool_give(&p, item[i]);
	}
	assert_true(edge_pool_trim(&p));
	for (int i = 0; i < 3; i++) {
		item[i] = edge_pool_take(&p);
		assert_ptr_equal(item[i], p.base + i * SIZE);
		item[i][SIZE - 1] = 1;
	}
	assert_int_equal(p.used, 3);
	assert_false(edge_pool_trim(&p));
	assert_int_equal(mincore(p.base, N * SIZE, in), 0);
	for (int i = 0; i < PAGES; i++)
		count += in[i] & 1;
	assert_true(count > 0 && count <= 5); /* 64 items are five pages */
	for (int i = 0; i < 3; i++)
		assert_int_equal(item[i][SIZE - 1], 1);
	edge_pool_fini(&p);
}

static size_t pages_of(const struct edge_pool *p)
{
	size_t n = p->size * p->max, count = 0;
	unsigned char *in = malloc(n / 4096 + 1);
	assert_int_equal(mincore(p->base, n, in), 0);
	for (size_t i = 0; i < (n + 4095) / 4096; i++)
		count += in[i] & 1;
	free(in);
	return count;
}

static void pages_fall(struct rig *g, const struct edge_pool *p, size_t most)
{
	size_t n = 0;
	for (int i = 0; i < 100; i++) {
		rig_sync(g);
		n = pages_of(p);
		if (n <= most) return;
		usleep(50000);
	}
	fail_msg("%zu pages, not %zu", n, most);
}

static void idle_connections_hold_no_request(void **state)
{
	enum { N = 500 };
	struct rig *g = rig_new(rep_echo, 1);
	const struct edge *e = g->edge;
	int fd[N];
	(void)state;
	for (int i = 0; i < N; i++)
		fd[i] = dial(g);
	for (int round = 0; round < N; round += 50) {
		for (int i = round; i < round + 50; i++)
			put(fd[i], GET);
		for (int i = round; i < round + 50; i++)
			resp_free(hear(fd[i]));
	}
	rig_sync(g);
	assert_int_equal(e->conns.used, N);
	assert_int_equal(e->reqs.used, 0);
	assert_int_equal(e->bufs.used, 0);
	assert_true(pages_of(&e->conns) * 4096 / N <= 512);
	pages_fall(g, &e->reqs, 0);
	pages_fall(g, &e->bufs, 0);
	/* One that stays holds the pages that it is in, not those of the others. */
	for (int i = 0; i < N - 1; i++)
		close(fd[i]);
	pages_fall(g, &e->conns, 64 * e->conns.size / 4096);
	close(fd[N - 1]);
	pages_fall(g, &e->conns, 0);
	rig_free(g);
}

/* ---- the process role ---- */

static int edge_process(struct rig *g, void *meter, void *table, int warden_fd)
{
	struct warden_child child = {.role = WD_ROLE_EDGE,
	        .worker = 0,
	        .worker_count = 1,
	        .incarnation = 1,
	        .warden_fd = warden_fd,
	        .listen_fds = {g->listener},
	        .listen_count = 1,
	        .meter = meter,
	        .meter_size = meter_size(1),
	        .table = table,
	        .table_size = sizeof(struct snap_table)};
	int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(out, 1);
	return edge_main(&child);
}

static void *shared(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	return p;
}

static void say(int fd, uint16_t type, int image)
{
	struct wd_msg m = {.magic = WD_MAGIC, .type = type, .deadline_ms = 2000};
	assert_int_equal(sock_send(fd, &m, sizeof m, &image, image >= 0), 0);
}

static void the_role_serves_without_a_warden_and_obeys_drain(void **state)
{
	(void)state;
	for (int by_signal = 0; by_signal < 2; by_signal++) {
		struct rig *g = rig_new(rep_echo, 1);
		struct meter *meter = shared(meter_size(1));
		struct snap_table *table = shared(sizeof *table);
		int pair[2], status, image = rig_image(g);
		meter_init(meter, 1);
		memcpy(table, g->table, sizeof *table);
		/* The process takes the listener over. */
		rig_do(g, drain_call);
		assert_int_equal(sock_pair(pair), 0);
		pid_t pid = fork();
		if (pid == 0) {
			close(pair[0]);
			hg_child_exit(edge_process(g, meter, table, pair[1]));
		}
		close(pair[1]);
		int fd = dial(g);
		talk(fd, GET, 503, "starting\n");
		say(pair[0], WD_EDGE_SNAPSHOT, image);
		while (atomic_load(&meter->worker[0].snapshot_ack) == 0)
			usleep(1000);
		talk(fd, GET, 200, "=");
		if (by_signal) {
			close(pair[0]);
			usleep(20000);
			talk(fd, GET, 200, "=");
			kill(pid, SIGTERM);
		} else {
			say(pair[0], WD_EDGE_DRAIN, -1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		assert_true(closed(fd));
		close(fd);
		if (!by_signal) close(pair[0]);
		close(image);
		munmap(meter, meter_size(1));
		munmap(table, sizeof *table);
		rig_free(g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(draining_finishes_what_is_in_flight_and_no_more),
	        cmocka_unit_test(draining_ends_at_its_deadline),
	        cmocka_unit_test(a_request_keeps_the_image_it_began_with),
	        cmocka_unit_test(a_bad_image_changes_nothing),
	        cmocka_unit_test(every_request_is_one_line_of_json),
	        cmocka_unit_test(quotes_in_a_path_are_escaped_at_every_place),
	        cmocka_unit_test(a_full_log_pipe_drops_lines_and_never_blocks),
	        cmocka_unit_test(sampling_logs_a_share),
	        cmocka_unit_test(dates_are_those_of_rfc_9110),
	        cmocka_unit_test(memory_of_a_burst_goes_back_to_the_kernel),
	        cmocka_unit_test(pages_between_those_in_use_go_back_too),
	        cmocka_unit_test(idle_connections_hold_no_request),
	        cmocka_unit_test(the_role_serves_without_a_warden_and_obeys_drain),
	};
	return cmocka_run_group_tests_name("life", tests, NULL, NULL);
}
