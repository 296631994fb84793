/* What is different with HTTP/2; the dialogues of the other tests run through it as well
 * (h2_bridge.h), and the frames section by section in tests/e2e/http2_test.py. */
#include "rig.h"

#include <sys/mman.h>

#include "data/edge/h2_priv.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
/* :method GET, :scheme http, :path /, :authority a */
#define GET_BLOCK              \
	"\x82\x86\x84\x41\x01" \
	"a"

struct frame {
	uint32_t n, stream;
	uint8_t kind, flags;
	uint8_t payload[16384];
};

static void say_frame(
        int fd, uint8_t kind, uint8_t flags, uint32_t stream, const void *payload, uint32_t n)
{
	uint8_t head[9] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, kind, flags,
	        (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8),
	        (uint8_t)stream};
	put_all(fd, (char *)head, sizeof head);
	put_all(fd, payload, n);
}

static void say_get(int fd, uint32_t stream)
{
	say_frame(fd, NGHTTP2_HEADERS, 5, stream, GET_BLOCK, sizeof GET_BLOCK - 1);
}

static bool hear_frame(int fd, struct frame *f)
{
	uint8_t head[9];
	if (!get_n(fd, (char *)head, sizeof head)) return false;
	f->n = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
	f->kind = head[3];
	f->flags = head[4];
	f->stream = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 |
	            head[8];
	assert_true(f->n <= sizeof f->payload);
	return get_n(fd, (char *)f->payload, f->n);
}

/* The next frame of this kind; false: the connection ended before. */
static bool hear_kind(int fd, uint8_t kind, struct frame *f)
{
	while (hear_frame(fd, f)) {
		if (f->kind == kind) return true;
	}
	return false;
}

static uint32_t u32_of(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static struct rig *clear_rig(rig_script script, uint32_t connections, uint32_t buffers)
{
	struct rig *g = rig_bare(connections, buffers);
	g->shape.h2_flags = SNAP_H2_CLEAR;
	rig_replica(g, script);
	rig_publish(g);
	return g;
}

static int dial_h2(struct rig *g)
{
	int fd = dial(g);
	put_all(fd, PREFACE, sizeof PREFACE - 1);
	return fd;
}

/* One request and its whole answer. */
static void served(int fd, uint32_t stream)
{
	struct frame f;
	say_get(fd, stream);
	assert_true(hear_kind(fd, NGHTTP2_HEADERS, &f));
	assert_int_equal(f.stream, stream);
	assert_int_equal(f.payload[0], 0x88); /* :status 200 */
	assert_true(hear_kind(fd, NGHTTP2_DATA, &f));
	assert_int_equal(f.flags & 1, 1);
}

static void answers_earn_resets_and_movement_forgives_noise(void **state)
{
	struct edge_h2_guard g;
	(void)state;
	edge_h2_guard_init(&g);
	for (uint32_t i = 0; i < EDGE_H2_RESETS; i++)
		assert_true(edge_h2_guard_reset(&g));
	assert_false(edge_h2_guard_reset(&g));
	edge_h2_guard_answered(&g);
	assert_true(edge_h2_guard_reset(&g));
	assert_false(edge_h2_guard_reset(&g));
	for (uint32_t i = 0; i < 10 * EDGE_H2_RESETS_MAX; i++)
		edge_h2_guard_answered(&g);
	for (uint32_t i = 0; i < EDGE_H2_RESETS_MAX; i++)
		assert_true(edge_h2_guard_reset(&g));
	assert_false(edge_h2_guard_reset(&g));

	assert_true(edge_h2_guard_frames(&g, EDGE_H2_NOISE, 5000));
	assert_false(edge_h2_guard_frames(&g, 1, 5999));
	assert_true(edge_h2_guard_frames(&g, 1, 6000)); /* another second */
	assert_true(edge_h2_guard_frames(&g, EDGE_H2_NOISE - 1, 6500));
	edge_h2_guard_moved(&g);
	assert_true(edge_h2_guard_frames(&g, EDGE_H2_NOISE, 6600));
}

static void idle_sessions_say_goodbye_in_time(void **state)
{
	struct rig *g = clear_rig(rep_echo, 0, 0);
	struct frame f;
	(void)state;
	g->shape.keepalive_ms = 200;
	rig_publish(g);
	int fd = dial_h2(g);
	served(fd, 1);
	uint64_t begin = clock_mono_ms();
	/* Talking without asking for anything keeps no connection. */
	say_frame(fd, NGHTTP2_PING, 0, 0, "12345678", 8);
	assert_true(hear_kind(fd, NGHTTP2_GOAWAY, &f));
	assert_int_equal(u32_of(f.payload), 1);
	assert_int_equal(u32_of(f.payload + 4), NGHTTP2_NO_ERROR);
	assert_false(hear_frame(fd, &f));
	assert_in_range(clock_mono_ms() - begin, 150, 2000);
	close(fd);
	rig_free(g);
}

static void idle_sessions_make_room(void **state)
{
	struct rig *g = clear_rig(rep_echo, 2, 0);
	int fd[3];
	(void)state;
	for (int i = 0; i < 3; i++) {
		fd[i] = dial_h2(g);
		served(fd[i], 1);
	}
	struct frame f;
	while (hear_frame(fd[0], &f))
		;
	served(fd[1], 3);
	served(fd[2], 3);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	rig_free(g);
}

static void sessions_with_requests_do_not_make_room(void **state)
{
	static unsigned ms = 400;
	struct rig *g = clear_rig(rep_slow, 2, 0);
	struct frame f;
	char c;
	(void)state;
	g->rep[0].arg = &ms;
	int a = dial_h2(g), b = dial_h2(g);
	say_get(a, 1);
	say_get(b, 1);
	usleep(200000);
	int late = dial(g);
	assert_true(recv(late, &c, 1, 0) == 1); /* 503 */
	assert_true(hear_kind(a, NGHTTP2_DATA, &f) && hear_kind(b, NGHTTP2_DATA, &f));
	close(a), close(b), close(late);
	rig_free(g);
}

static void without_buffers_requests_are_refused_and_may_come_again(void **state)
{
	static unsigned ms = 300;
	struct rig *g = clear_rig(rep_slow, 0, 6);
	struct frame f;
	uint32_t refused = 0, answered = 0;
	(void)state;
	g->rep[0].arg = &ms;
	int fd = dial_h2(g);
	for (uint32_t i = 0; i < 20; i++)
		say_get(fd, 1 + 2 * i);
	while (refused + answered < 20 && hear_frame(fd, &f)) {
		if (f.kind == NGHTTP2_RST_STREAM) {
			assert_int_equal(u32_of(f.payload), NGHTTP2_REFUSED_STREAM);
			refused++;
		}
		if (f.kind == NGHTTP2_DATA && f.flags & 1) answered++;
	}
	assert_int_equal(refused + answered, 20);
	assert_true(refused > 0);
	close(fd);
	rig_sync(g);
	rig_free(g);
}

static void a_window_that_stays_shut_ends_the_request_alone(void **state)
{
	struct rig *g = clear_rig(rep_echo, 0, 0);
	static const uint8_t none[6] = {0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE};
	struct frame f;
	(void)state;
	g->shape.body_idle_ms = 200;
	rig_publish(g);
	int fd = dial_h2(g);
	say_frame(fd, NGHTTP2_SETTINGS, 0, 0, none, sizeof none);
	say_get(fd, 1);
	assert_true(hear_kind(fd, NGHTTP2_RST_STREAM, &f));
	assert_int_equal(f.stream, 1);
	/* The connection goes on. */
	say_get(fd, 3);
	assert_true(hear_kind(fd, NGHTTP2_HEADERS, &f));
	assert_int_equal(f.stream, 3);
	close(fd);
	rig_free(g);
}

static void rep_takes_nothing(struct replica *rep, int fd)
{
	char c;
	if (!rep_head(rep, fd)) return;
	while (rep->arg && recv(fd, &c, 0, MSG_PEEK) >= 0 && *(_Atomic int *)rep->arg == 0)
		usleep(10000);
}

/* A replica that does not take a body: the client waits, and no more than a window is kept. */
static void a_body_that_nobody_takes_is_bounded(void **state)
{
	_Atomic int over = 0;
	struct rig *g = clear_rig(rep_takes_nothing, 0, 0);
	static const uint8_t zeros[16384];
	static const char post[] = "\x83\x86\x84\x41\x01"
	                           "a";
	struct frame f;
	uint64_t window = 65535, sent = 0;
	(void)state;
	g->rep[0].arg = (void *)&over;
	int small = 4096;
	setsockopt(g->rep[0].fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	int fd = dial_h2(g);
	assert_true(hear_kind(fd, NGHTTP2_SETTINGS, &f));
	window = EDGE_H2_WINDOW;
	say_frame(fd, NGHTTP2_HEADERS, 4, 1, post, sizeof post - 1);
	struct timeval tv = {0, 300000};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	for (bool more = true; more && sent < (64u << 20);) {
		for (; window >= sizeof zeros; window -= sizeof zeros, sent += sizeof zeros)
			say_frame(fd, NGHTTP2_DATA, 0, 1, zeros, sizeof zeros);
		while ((more = hear_frame(fd, &f))) {
			if (f.kind != NGHTTP2_WINDOW_UPDATE || f.stream != 1) continue;
			window += u32_of(f.payload);
			break;
		}
	}
	assert_true(sent < (16u << 20)); /* kernel buffers and one window */
	assert_true(g->edge->bufs.most < EDGE_H2_RX_BUFS + 6);
	over = 1;
	close(fd);
	rig_free(g);
}

static size_t desk_pages(const struct edge *e)
{
	enum { N = EDGE_H2_DESK / 4096 };
	unsigned char in[4 * N];
	size_t count = 0;
	assert_int_equal(mincore(e->desks.base, 4 * EDGE_H2_DESK, in), 0);
	for (int i = 0; i < 4 * N; i++)
		count += in[i] & 1;
	return count;
}

/* … and is the same session afterwards: what was said of its fields holds, both ways. */
static void a_quiet_session_gives_memory_back(void **state)
{
	static const char first[] = GET_BLOCK "\x40\x02"
	                                      "aa\x02"
	                                      "bb";
	/* The first of the dynamic table; the authority is not put into it again. */
	static const char later[] = "\x82\x86\x84\x01\x01"
	                            "a\xbe";
	struct rig *g = clear_rig(rep_echo, 0, 0);
	struct frame f;
	char v[16];
	int fd[3];
	uint32_t head_n = 0;
	(void)state;
	for (int i = 0; i < 3; i++) {
		fd[i] = dial_h2(g);
		say_frame(fd[i], NGHTTP2_HEADERS, 5, 1, first, sizeof first - 1);
		assert_true(hear_kind(fd[i], NGHTTP2_HEADERS, &f));
		assert_true(hear_kind(fd[i], NGHTTP2_DATA, &f));
	}
	rig_sync(g);
	/* The table of streams and the start of the buffer, no more. */
	assert_int_equal(desk_pages(g->edge), 6);
	for (int i = 0; i < 100 && desk_pages(g->edge); i++) {
		usleep(50000);
		rig_sync(g);
	}
	assert_int_equal(desk_pages(g->edge), 0);
	assert_true(hg_list_empty(&g->edge->h2_warm));
	for (uint32_t id = 3; id < 9; id += 2) {
		say_frame(fd[1], NGHTTP2_HEADERS, 5, id, later, sizeof later - 1);
		assert_true(hear_kind(fd[1], NGHTTP2_HEADERS, &f));
		assert_int_equal(f.stream, id);
		if (head_n) assert_int_equal(f.n, head_n);
		head_n = f.n;
		assert_true(hear_kind(fd[1], NGHTTP2_DATA, &f));
		assert_string_equal(field(g->rep[0].last, "aa", v, sizeof v), "bb");
	}
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	rig_free(g);
}

static void drain_call(struct rig *g)
{
	edge_drain(g->edge, 5000);
}

static void a_drain_is_announced_and_serves_what_is_on_its_way(void **state)
{
	static unsigned ms = 300;
	struct rig *g = clear_rig(rep_slow, 0, 0);
	struct frame f;
	(void)state;
	g->rep[0].arg = &ms;
	int fd = dial_h2(g);
	say_get(fd, 1);
	usleep(50000);
	rig_do(g, drain_call);
	assert_true(hear_kind(fd, NGHTTP2_GOAWAY, &f));
	assert_int_equal(u32_of(f.payload), 0x7fffffff);
	say_get(fd, 3); /* it had not heard yet */
	int answered = 0;
	while (hear_frame(fd, &f) && f.kind != NGHTTP2_GOAWAY)
		answered += f.kind == NGHTTP2_DATA && f.flags & 1;
	assert_int_equal(u32_of(f.payload), 3);
	while (hear_frame(fd, &f))
		answered += f.kind == NGHTTP2_DATA && f.flags & 1;
	assert_int_equal(answered, 2);
	assert_int_equal(g->meter->worker[1].h2_goaways, 2);
	close(fd);
	rig_free(g);
}

static void rep_trailers(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		put(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		for (int i = 0; i < 3; i++)
			put(fd, "5\r\nhello\r\n");
		const char *end = "0\r\nGrpc-Status: 0\r\nA: b\r\n\r\n";
		for (size_t i = 0; end[i]; i++) {
			put_all(fd, end + i, 1);
			usleep(1000);
		}
	}
}

/* However the trailers come in pieces. */
static void trailers_of_a_replica_end_the_stream(void **state)
{
	struct rig *g = clear_rig(rep_trailers, 0, 0);
	struct frame f;
	size_t body = 0;
	(void)state;
	int fd = dial_h2(g);
	for (uint32_t id = 1; id < 7; id += 2, body = 0) {
		say_get(fd, id);
		assert_true(hear_kind(fd, NGHTTP2_HEADERS, &f));
		while (hear_frame(fd, &f) && f.kind != NGHTTP2_HEADERS) {
			assert_int_equal(f.flags & 1, 0);
			body += f.kind == NGHTTP2_DATA ? f.n : 0;
		}
		assert_int_equal(body, 15);
		assert_int_equal(f.flags & 1, 1);
	}
	close(fd);
	rig_free(g);
}

static void a_session_is_cheap(void **state)
{
	(void)state;
	/* Beside what nghttp2 keeps, which docs/benchmarks.md has by measurement. */
	assert_true(sizeof(struct edge_h2) <= 256);
	assert_true(sizeof(struct edge_h2_stream) <= 704);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(answers_earn_resets_and_movement_forgives_noise),
	        cmocka_unit_test(idle_sessions_say_goodbye_in_time),
	        cmocka_unit_test(idle_sessions_make_room),
	        cmocka_unit_test(sessions_with_requests_do_not_make_room),
	        cmocka_unit_test(without_buffers_requests_are_refused_and_may_come_again),
	        cmocka_unit_test(a_window_that_stays_shut_ends_the_request_alone),
	        cmocka_unit_test(a_body_that_nobody_takes_is_bounded),
	        cmocka_unit_test(a_quiet_session_gives_memory_back),
	        cmocka_unit_test(a_drain_is_announced_and_serves_what_is_on_its_way),
	        cmocka_unit_test(trailers_of_a_replica_end_the_stream),
	        cmocka_unit_test(a_session_is_cheap),
	};
	return cmocka_run_group_tests_name("h2", tests, NULL, NULL);
}
