/* What waits, what is sent and what is lost, against a receiver on the same loop. */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fetch/spans.h"
#include "os/clock.h"
#include "os/sock.h"

#define PATIENCE_MS 30000u

struct rig {
	struct loop *loop;
	struct loop_io listener, peer;
	int fd, peer_fd;
	uint16_t port;
	char got[1 << 20];
	size_t got_n;
	int say[8]; /* statuses, one a POST; the last one goes on */
	unsigned posts, spans;
	const char *body, *extra;
	bool keyed; /* the last POST had the header */
	unsigned notes, warned;
	struct spans *s;
};

static unsigned count(const char *p, size_t n, const char *what)
{
	unsigned found = 0;
	const char *end = p + n;
	while ((p = memmem(p, (size_t)(end - p), what, strlen(what)))) {
		p += strlen(what);
		found++;
	}
	return found;
}

/* A whole POST? Answers it. */
static void answer(struct rig *r)
{
	char text[512];
	r->got[r->got_n] = 0;
	char *head_end = strstr(r->got, "\r\n\r\n"), *length = strstr(r->got, "Content-Length: ");
	if (!head_end || !length) return;
	size_t body_n = strtoull(length + 16, NULL, 10);
	if (r->got_n < (size_t)(head_end + 4 - r->got) + body_n) return;
	unsigned at = HG_MIN(r->posts, (unsigned)HG_COUNT(r->say) - 1);
	while (at && !r->say[at])
		at--;
	assert_non_null(strstr(r->got, "POST /v1/traces HTTP/1.1"));
	assert_non_null(strstr(r->got, "Content-Type: application/json"));
	r->keyed = strstr(r->got, "api-key: secret") != NULL;
	if (r->say[at] == 200) r->spans += count(head_end, body_n + 4, "\"spanId\"");
	r->posts++;
	int n = snprintf(text, sizeof text,
	        "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%sContent-Type: "
	        "application/json\r\n\r\n%s",
	        r->say[at], strlen(r->body), r->extra, r->body);
	assert_int_equal(write(r->peer_fd, text, (size_t)n), n);
	r->got_n = 0;
}

static void peer_close(struct rig *r)
{
	if (r->peer_fd < 0) return;
	loop_io_stop(r->loop, &r->peer);
	close(r->peer_fd);
	r->peer_fd = -1;
	r->got_n = 0;
}

static void on_peer(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct rig *r = HG_CONTAINER(io, struct rig, peer);
	(void)l, (void)events;
	ssize_t n = read(r->peer_fd, r->got + r->got_n, sizeof r->got - 1 - r->got_n);
	if (n <= 0) {
		peer_close(r);
		return;
	}
	r->got_n += (size_t)n;
	if (r->say[0]) answer(r);
}

static void on_accept(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct rig *r = HG_CONTAINER(io, struct rig, listener);
	(void)events;
	int fd = sock_accept(r->fd, NULL);
	if (fd < 0) return;
	peer_close(r);
	r->peer_fd = fd;
	assert_int_equal(loop_io_start(l, &r->peer, fd, EPOLLIN, on_peer), HG_OK);
}

static void on_note(void *arg, enum hg_level level, const char *what, const char *why)
{
	struct rig *r = arg;
	(void)what;
	r->notes++;
	r->warned += level == HG_WARN && why[0];
}

static void listen_now(struct rig *r, uint16_t port)
{
	struct sock_addr a;
	char text[32];
	(void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
	assert_true(sock_addr_parse(hg_str(text), &a));
	r->fd = sock_listen(&a, 8);
	assert_true(r->fd >= 0 && sock_local(r->fd, &a));
	r->port = sock_addr_port(&a);
	assert_int_equal(loop_io_start(r->loop, &r->listener, r->fd, EPOLLIN, on_accept), HG_OK);
}

static void listen_end(struct rig *r)
{
	if (r->fd < 0) return;
	loop_io_stop(r->loop, &r->listener);
	close(r->fd);
	r->fd = -1;
}

static struct rig *rig_new(uint32_t delay_ms, uint32_t batch_max)
{
	struct rig *r = calloc(1, sizeof *r);
	struct hg_err err = {0};
	char url[64];
	assert_non_null(r);
	*r = (struct rig){.peer_fd = -1, .say = {200}, .body = "{}", .extra = ""};
	assert_int_equal(loop_new(&r->loop), HG_OK);
	listen_now(r, 0);
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u/v1/traces", r->port);
	const struct otlp_pair resource[] = {{"service.name", HG_STR("test")}};
	struct spans_options o = {.url = url,
	        .headers = "api-key=secret",
	        .resource = resource,
	        .resource_n = 1,
	        .scope = "test",
	        .timeout_ms = 10000,
	        .delay_ms = delay_ms,
	        .batch_max = batch_max,
	        .note = on_note,
	        .arg = r};
	assert_int_equal(spans_new(r->loop, &o, &r->s, &err), HG_OK);
	return r;
}

static void rig_free(struct rig *r)
{
	spans_free(r->s);
	peer_close(r);
	listen_end(r);
	loop_free(r->loop);
	free(r);
}

static struct hg_str record(char *to, size_t cap, const char *name)
{
	struct hg_out o = hg_out_over(to, cap);
	struct span_head h = {.kind = SPAN_SERVER, .start_ns = 1, .end_ns = 2};
	struct span_writer w;
	memcpy(h.trace, "4bf92f3577b34da6a3ce929d0e0e4736", 32);
	memcpy(h.id, "00f067aa0ba902b7", 16);
	span_begin(&w, &o, &h, hg_str(name));
	assert_true(span_end(&w));
	return (struct hg_str){to, o.n};
}

static void put(struct rig *r, unsigned n)
{
	char room[SPAN_RECORD_MAX];
	for (unsigned i = 0; i < n; i++)
		spans_put(r->s, record(room, sizeof room, "GET /"));
}

static struct spans_stats stats(const struct rig *r)
{
	struct spans_stats s;
	spans_stats(r->s, &s);
	return s;
}

#define UNTIL(r, condition)                                                \
	do {                                                               \
		uint64_t until_ms = clock_mono_ms() + PATIENCE_MS;         \
		while (!(condition) && clock_mono_ms() < until_ms)         \
			assert_int_equal(loop_turn((r)->loop, 20), HG_OK); \
		assert_true(condition);                                    \
	} while (0)

static void batches_are_as_large_as_they_may_and_come_whole(void **state)
{
	(void)state;
	struct rig *r = rig_new(20, 100);
	put(r, 250);
	UNTIL(r, stats(r).exported == 250);
	assert_int_equal(r->posts, 3);
	assert_int_equal(r->spans, 250);
	assert_true(r->keyed);
	assert_int_equal(stats(r).queued, 0);
	assert_int_equal(stats(r).dropped, 0);
	assert_int_equal(r->notes, 0);
	rig_free(r);
}

static void a_receiver_that_is_busy_is_asked_again(void **state)
{
	static const int busy[] = {503, 429, 200};
	(void)state;
	struct rig *r = rig_new(0, 0);
	memcpy(r->say, busy, sizeof busy);
	r->extra = "Retry-After: 1\r\n";
	put(r, 3);
	UNTIL(r, stats(r).exported == 3);
	assert_int_equal(r->posts, 3);
	assert_int_equal(stats(r).failures, 2);
	assert_int_equal(stats(r).dropped, 0);
	/* Told once that it fails, and once that it does no more. */
	assert_int_equal(r->notes, 2);
	assert_int_equal(r->warned, 1);
	rig_free(r);
}

static void what_is_refused_is_dropped_and_the_next_batch_goes_on(void **state)
{
	static const int refuse[] = {400, 200};
	(void)state;
	struct rig *r = rig_new(0, 2);
	memcpy(r->say, refuse, sizeof refuse);
	put(r, 4);
	UNTIL(r, stats(r).exported == 2);
	assert_int_equal(stats(r).dropped, 2);
	assert_int_equal(r->posts, 2);
	rig_free(r);
}

static void spans_that_the_receiver_did_not_want_are_counted(void **state)
{
	(void)state;
	struct rig *r = rig_new(0, 0);
	r->body = "{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"no\"}}";
	put(r, 5);
	UNTIL(r, stats(r).exported == 3);
	assert_int_equal(stats(r).rejected, 2);
	rig_free(r);
}

static void without_a_receiver_the_queue_is_bounded_and_afterwards_it_is_sent(void **state)
{
	(void)state;
	struct rig *r = rig_new(0, 0);
	uint16_t port = r->port;
	listen_end(r);
	put(r, 30000); /* some 100 bytes each: more than there is room for */
	UNTIL(r, stats(r).failures > 0);
	struct spans_stats s = stats(r);
	assert_true(s.failing);
	assert_true(s.dropped > 0);
	assert_in_range(s.queued, 10000, 22000);
	assert_int_equal(s.queued + s.dropped, 30000);
	listen_now(r, port);
	UNTIL(r, stats(r).queued == 0);
	assert_int_equal(stats(r).exported, s.queued);
	assert_int_equal(r->spans, s.queued);
	assert_false(stats(r).failing);
	rig_free(r);
}

static void a_flush_tries_nothing_twice(void **state)
{
	(void)state;
	struct rig *r = rig_new(60000, 0);
	listen_end(r);
	put(r, 700);
	UNTIL(r, spans_flush(r->s));
	assert_int_equal(stats(r).dropped, 700);
	rig_free(r);
}

static void what_is_no_record_is_not_queued(void **state)
{
	char room[SPAN_RECORD_MAX];
	(void)state;
	struct rig *r = rig_new(0, 0);
	struct hg_str good = record(room, sizeof room, "x");
	spans_put(r->s, (struct hg_str){good.p, good.n - 1});
	spans_put(r->s, HG_STR(""));
	assert_int_equal(stats(r).dropped, 2);
	room[40] = 'Z'; /* an id that is none: found when the batch is made */
	spans_put(r->s, good);
	UNTIL(r, stats(r).dropped == 3);
	assert_int_equal(r->posts, 0);
	rig_free(r);
}

static void the_thread_sends_while_this_one_does_nothing(void **state)
{
	struct rig *r = rig_new(0, 0);
	struct spans_thread *t = NULL;
	struct hg_err err = {0};
	struct spans_stats s;
	char url[64], room[SPAN_RECORD_MAX];
	(void)state;
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u/v1/traces", r->port);
	struct spans_options o = {.url = url, .scope = "test", .delay_ms = 20};
	assert_int_equal(spans_thread_new(&o, &t, &err), HG_OK);
	for (int i = 0; i < 10; i++)
		spans_thread_put(t, record(room, sizeof room, "x"));
	UNTIL(r, r->spans == 10);
	UNTIL(r, (spans_thread_stats(t, &s), s.exported == 10));
	/* Nobody takes them: the one who puts does not wait. */
	listen_end(r);
	peer_close(r);
	for (int i = 0; i < 50000; i++)
		spans_thread_put(t, record(room, sizeof room, "x"));
	UNTIL(r, (spans_thread_stats(t, &s), s.dropped > 0 && s.failures > 0));
	spans_thread_stop(t, 1000);
	rig_free(r);
}

static void what_is_left_is_sent_at_the_end(void **state)
{
	struct rig *r = rig_new(0, 0);
	struct spans_thread *t = NULL;
	struct hg_err err = {0};
	char url[64], room[SPAN_RECORD_MAX];
	(void)state;
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u/v1/traces", r->port);
	struct spans_options o = {.url = url, .scope = "test", .delay_ms = 60000};
	assert_int_equal(spans_thread_new(&o, &t, &err), HG_OK);
	spans_thread_put(t, record(room, sizeof room, "x"));
	/* The receiver is on this thread, which waits for the other one: it is not answered, but
	 * what was asked is there afterwards. */
	spans_thread_stop(t, 300);
	UNTIL(r, r->spans == 1);
	rig_free(r);
	o.url = "ftp://127.0.0.1/";
	assert_int_equal(spans_thread_new(&o, &t, &err), HG_E_INVALID);
}

static void steps_follow_from_what_there_is(void **state)
{
	static const struct {
		struct spans_view v;
		enum spans_step step;
		uint64_t until_ms;
	} row[] = {
	        {{.queued = 0}, SPANS_IDLE, 0},
	        {{.queued = 1, .since_ms = 900, .delay_ms = 200, .batch_max = 5}, SPANS_WAIT, 1100},
	        {{.queued = 1, .since_ms = 800, .delay_ms = 200, .batch_max = 5}, SPANS_MAKE, 1000},
	        {{.queued = 5, .since_ms = 999, .delay_ms = 200, .batch_max = 5}, SPANS_MAKE, 1199},
	        {{.queued = 1, .since_ms = 999, .delay_ms = 200, .batch_max = 5, .closing = true},
	                SPANS_MAKE, 1199},
	        {{.queued = 9, .batch_max = 5, .flying = true, .made = true}, SPANS_IDLE, 0},
	        {{.queued = 9, .batch_max = 5, .made = true}, SPANS_SEND, 0},
	        {{.queued = 9, .batch_max = 5, .made = true, .retry_ms = 1500}, SPANS_WAIT, 1500},
	        {{.made = true, .retry_ms = 1000}, SPANS_SEND, 1000},
	        {{.made = true, .retry_ms = 1500, .closing = true}, SPANS_SEND, 1500},
	};
	uint64_t until_ms;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		if (spans_decide(&row[i].v, 1000, &until_ms) != row[i].step ||
		        until_ms != row[i].until_ms)
			fail_msg("row %zu", i);
	}
}

static void pauses_double_up_to_a_bound(void **state)
{
	(void)state;
	for (uint64_t random = 0; random < 100000; random += 777) {
		assert_in_range(spans_pause(1, 0, random), 900, 1100);
		assert_in_range(spans_pause(2, 0, random), 1800, 2200);
		assert_in_range(spans_pause(40, 0, random), 27000, 33000);
	}
	assert_int_equal(spans_pause(1, 7000, 5), 7000);
	assert_int_equal(spans_pause(1, 86400000, 5), 300000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(steps_follow_from_what_there_is),
	        cmocka_unit_test(pauses_double_up_to_a_bound),
	        cmocka_unit_test(batches_are_as_large_as_they_may_and_come_whole),
	        cmocka_unit_test(a_receiver_that_is_busy_is_asked_again),
	        cmocka_unit_test(what_is_refused_is_dropped_and_the_next_batch_goes_on),
	        cmocka_unit_test(spans_that_the_receiver_did_not_want_are_counted),
	        cmocka_unit_test(without_a_receiver_the_queue_is_bounded_and_afterwards_it_is_sent),
	        cmocka_unit_test(a_flush_tries_nothing_twice),
	        cmocka_unit_test(what_is_no_record_is_not_queued),
	        cmocka_unit_test(the_thread_sends_while_this_one_does_nothing),
	        cmocka_unit_test(what_is_left_is_sent_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
