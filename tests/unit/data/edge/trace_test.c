/* Whose trace goes on, what replicas are told, and which spans leave a worker. */
#include "trial_rig.h"

#include "wire/span.h"

#define SPANS_MAX   64
#define PATIENCE_MS 20000u

struct taken {
	struct span_head head[SPANS_MAX];
	char name[SPANS_MAX][SPAN_NAME_MAX + 1];
	char text[SPANS_MAX][4096]; /* " key=value" … " " */
	int n;
};

static void take_attrs(struct span *s, char *to, size_t cap)
{
	struct hg_out o = hg_out_over(to, cap - 1);
	struct span_attr a;
	while (span_attr(s, &a)) {
		if (a.type == SPAN_STR)
			hg_out_fmt(&o, " %.*s=%.*s", HG_STR_ARG(a.key), HG_STR_ARG(a.text));
		else
			hg_out_fmt(&o, " %.*s=%lld", HG_STR_ARG(a.key), (long long)a.number);
	}
	hg_out_byte(&o, ' ');
	to[o.n] = 0;
}

/* Until there are so many spans. */
static void lane_take(struct rig *g, struct taken *t, int want)
{
	static char message[65536];
	uint64_t until_ms = clock_mono_ms() + PATIENCE_MS;
	while (t->n < want && clock_mono_ms() < until_ms) {
		struct pollfd p = {.fd = g->lane[0], .events = POLLIN};
		if (poll(&p, 1, 20) != 1) continue;
		ssize_t n = recv(g->lane[0], message, sizeof message, 0);
		struct hg_str rest = {message, n > 0 ? (size_t)n : 0};
		for (size_t size; (size = span_size(rest)) > 0;) {
			struct span s;
			assert_true(span_read((struct hg_str){rest.p, size}, &s));
			assert_true(t->n < SPANS_MAX);
			t->head[t->n] = s.head;
			snprintf(t->name[t->n], sizeof t->name[0], "%.*s", HG_STR_ARG(s.name));
			take_attrs(&s, t->text[t->n], sizeof t->text[0]);
			t->n++;
			rest = (struct hg_str){rest.p + size, rest.n - size};
		}
		assert_int_equal(rest.n, 0);
	}
	assert_int_equal(t->n, want);
}

static void check_text(const struct taken *t, int i, const char *what)
{
	if (!strstr(t->text[i], what)) fail_msg("no \"%s\" in%s", what, t->text[i]);
}

static struct rig *traced(struct rig *g, uint32_t out_ppm)
{
	g->shape.trace_to = 1;
	g->shape.trace_out_ppm = out_ppm;
	rig_publish(g);
	return g;
}

static void a_request_is_a_span_and_so_is_its_attempt(void **state)
{
	struct rig *g = traced(rig_new(rep_echo, 1), 0);
	struct taken t = {0};
	char v[256];
	int fd = dial(g);
	(void)state;
	talk(fd, "POST /a/b?q=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 200, "=hi");
	lane_take(g, &t, 2);
	assert_non_null(field(g->rep[0].last, "traceparent", v, sizeof v));
	struct tracectx told;
	assert_true(tracectx_read(hg_str(v), &told));
	/* The replica's parent is the attempt, whose parent is the request, which has none. */
	assert_int_equal(t.head[0].kind, SPAN_CLIENT);
	assert_memory_equal(t.head[0].id, told.span, 16);
	assert_memory_equal(t.head[0].trace, told.trace, 32);
	assert_int_equal(told.flags & TRACECTX_SAMPLED, 1);
	assert_int_equal(t.head[1].kind, SPAN_SERVER);
	assert_memory_equal(t.head[0].parent, t.head[1].id, 16);
	assert_false(t.head[1].has_parent);
	assert_int_equal(t.head[1].status, SPAN_UNSET);
	assert_true(t.head[1].start_ns <= t.head[0].start_ns);
	assert_true(t.head[1].end_ns >= t.head[0].end_ns);
	assert_string_equal(t.name[0], "POST");
	assert_memory_equal(t.name[1], "POST ", 5);
	check_text(&t, 0, " http.response.status_code=200 ");
	check_text(&t, 0, " headgate.release=1 ");
	check_text(&t, 1, " url.path=/a/b ");
	check_text(&t, 1, " client.address=127.0.0.1 ");
	check_text(&t, 1, " http.response.status_code=200 ");
	assert_int_equal(g->meter->worker[1].spans_written, 2);
	close(fd);
	rig_free(g);
}

static void what_was_not_drawn_is_kept_when_it_fails(void **state)
{
	struct rig *g = traced(rig_new(rep_echo, 1), 1000000);
	struct taken t = {0};
	char v[256];
	int fd = dial(g);
	(void)state;
	talk(fd, GET, 200, "=");
	assert_non_null(field(g->rep[0].last, "traceparent", v, sizeof v));
	assert_string_equal(v + 52, "-00");
	replica_stop(&g->rep[0]);
	put(fd, "GET /gone HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
	struct resp *r = hear(fd);
	assert_non_null(r);
	assert_int_equal(r->status, 502);
	lane_take(g, &t, 2);
	check_text(&t, 0, " error.type=connect ");
	assert_int_equal(t.head[0].status, SPAN_ERROR);
	check_text(&t, 1, " url.path=/gone ");
	check_text(&t, 1, " error.type=502 ");
	assert_int_equal(t.head[1].status, SPAN_ERROR);
	assert_int_equal(t.head[1].flags, 0);
	/* The answer names its trace, in a field and where errors are JSON. */
	assert_non_null(field(r->head, "X-Trace-Id", v, sizeof v));
	assert_memory_equal(v, t.head[1].trace, 32);
	assert_non_null(memmem(r->body, r->n, "\"trace_id\":\"", 12));
	assert_non_null(memmem(r->body, r->n, v, 32));
	resp_free(r);
	close(fd);
	rig_free(g);
}

static void each_attempt_is_told_a_parent_of_its_own(void **state)
{
	struct rig *g = rig_new(rep_echo, 2);
	struct taken t = {0};
	char v[256];
	(void)state;
	traced(g, 1000000);
	replica_stop(&g->rep[0]);
	int fd = dial(g), seen = 0;
	/* Until one of them went to the one that is gone first. */
	for (int i = 0; i < 200 && !seen; i++) {
		talk(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, "=");
		rig_sync(g);
		seen = g->meter->worker[1].spans_written > 0;
	}
	lane_take(g, &t, 3);
	assert_int_equal(t.head[0].status, SPAN_ERROR);
	check_text(&t, 0, " error.type=connect ");
	check_text(&t, 1, " http.request.resend_count=1 ");
	check_text(&t, 1, " http.response.status_code=200 ");
	assert_memory_not_equal(t.head[0].id, t.head[1].id, 16);
	assert_memory_equal(t.head[0].parent, t.head[2].id, 16);
	assert_memory_equal(t.head[1].parent, t.head[2].id, 16);
	assert_non_null(field(g->rep[1].last, "traceparent", v, sizeof v));
	assert_memory_equal(v + 36, t.head[1].id, 16);
	assert_memory_equal(v + 3, t.head[2].trace, 32);
	close(fd);
	rig_free(g);
}

static void requests_of_a_release_under_trial_are_drawn_and_rescues_are_told(void **state)
{
	struct snap_trial all = trial_of(1000000);
	struct rig *g = trial_rig(rep_echo, rep_500, &all);
	struct taken t = {0};
	char v[256];
	(void)state;
	traced(g, 1000000);
	int fd = dial(g);
	talk(fd, GET, 200, "=");
	lane_take(g, &t, 3);
	assert_non_null(field(g->rep[1].last, "traceparent", v, sizeof v));
	assert_string_equal(v + 52, "-01");
	assert_memory_equal(v + 36, t.head[0].id, 16);
	assert_non_null(field(g->rep[0].last, "traceparent", v, sizeof v));
	assert_memory_equal(v + 36, t.head[1].id, 16);
	check_text(&t, 0, " http.response.status_code=500 ");
	check_text(&t, 0, " headgate.release=2 ");
	check_text(&t, 1, " headgate.release=1 ");
	check_text(&t, 2, " headgate.arm=new ");
	check_text(&t, 2, " headgate.rescued=1 ");
	close(fd);
	rig_free(g);
}

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"

static bool goes_on(struct rig *g, int fd, const char *lines)
{
	char text[512], v[256];
	snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
	talk(fd, text, 200, "=");
	assert_non_null(field(g->rep[0].last, "traceparent", v, sizeof v));
	bool same = memcmp(v + 3, PARENT + 3, 32) == 0;
	assert_true(same == (field(g->rep[0].last, "tracestate", v, sizeof v) != NULL));
	return same;
}

static void a_trace_goes_on_only_for_those_who_are_believed(void **state)
{
	static const char one[] = "traceparent: " PARENT "01\r\ntracestate: a=b\r\n";
	static const struct ip_step loopback[] = {
	        {0, 0, 0, 0}, {0, 0xffff7f000000u, 1, 0}, {0, 0xffff80000000u, 0, 0}};
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	(void)state;
	assert_true(goes_on(g, fd, one));
	/* Two of them are none. */
	assert_false(goes_on(g, fd,
	        "traceparent: " PARENT "01\r\ntraceparent: " PARENT "01\r\ntracestate: a=b\r\n"));
	g->shape.trace_from = SNAP_TRACE_NOBODY;
	rig_publish(g);
	assert_false(goes_on(g, fd, one));
	g->shape.trace_from = SNAP_TRACE_TRUSTED;
	rig_publish(g);
	assert_false(goes_on(g, fd, one));
	g->trusted = (struct snap_in_set){loopback, HG_COUNT(loopback), 0};
	rig_publish(g);
	assert_true(goes_on(g, fd, one));
	close(fd);
	rig_free(g);
}

static void whose_trace_goes_on_is_the_parent_of_the_request(void **state)
{
	struct rig *g = traced(rig_new(rep_echo, 1), 1000000);
	struct taken t = {0};
	int fd = dial(g);
	(void)state;
	assert_true(goes_on(g, fd, "traceparent: " PARENT "00\r\ntracestate: a=b\r\n"));
	assert_true(goes_on(g, fd, "traceparent: " PARENT "03\r\ntracestate: a=b\r\n"));
	lane_take(g, &t, 2); /* of the second alone */
	assert_true(t.head[1].has_parent);
	assert_memory_equal(t.head[1].parent, PARENT + 36, 16);
	assert_int_equal(t.head[1].flags, 3);
	close(fd);
	rig_free(g);
}

static void a_full_lane_costs_spans_and_nothing_else(void **state)
{
	struct rig *g = traced(rig_new(rep_echo, 1), 0);
	char path[700];
	int fd = dial(g);
	uint64_t dropped = 0;
	(void)state;
	snprintf(path, sizeof path, "GET /%0600d HTTP/1.1\r\nHost: a\r\n\r\n", 1);
	for (int i = 0; i < 20000 && !dropped; i++) {
		talk(fd, path, 200, "=");
		rig_sync(g);
		dropped = g->meter->worker[1].spans_dropped;
	}
	assert_true(dropped > 0);
	close(fd);
	rig_free(g);
}

static void without_a_receiver_no_spans_are_made(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	char c;
	(void)state;
	talk(fd, GET, 200, "=");
	replica_stop(&g->rep[0]);
	talk(fd, GET, 502, NULL);
	usleep(300000);
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].spans_written, 0);
	assert_true(recv(g->lane[0], &c, 1, MSG_DONTWAIT) < 0);
	close(fd);
	rig_free(g);
}

static void what_is_kept_follows_from_what_is_known_at_the_end(void **state)
{
	static const struct {
		struct edge_trace_view v;
		bool kept;
	} row[] = {
	        {{.status = 200}, false},
	        {{.status = 404}, false},
	        {{.status = 499}, false},
	        {{.status = 200, .sampled = true}, true},
	        {{.status = 500}, true},
	        {{.status = 503}, true},
	        {{.status = 0, .aborted = true}, true},
	        {{.status = 200, .aborted = true}, false}, /* it had its answer's head */
	        {{.status = 200, .trial = true}, true},
	        {{.status = 200, .again = 1}, true},
	        {{.status = 200, .took_ms = 1001, .slow_ms = 1000}, true},
	        {{.status = 200, .took_ms = 1000, .slow_ms = 1000}, false},
	        {{.status = 200, .took_ms = 100000, .slow_ms = 0}, false},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++)
		if (edge_trace_keep(&row[i].v) != row[i].kept) fail_msg("row %zu", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_kept_follows_from_what_is_known_at_the_end),
	        cmocka_unit_test(a_request_is_a_span_and_so_is_its_attempt),
	        cmocka_unit_test(what_was_not_drawn_is_kept_when_it_fails),
	        cmocka_unit_test(each_attempt_is_told_a_parent_of_its_own),
	        cmocka_unit_test(requests_of_a_release_under_trial_are_drawn_and_rescues_are_told),
	        cmocka_unit_test(a_trace_goes_on_only_for_those_who_are_believed),
	        cmocka_unit_test(whose_trace_goes_on_is_the_parent_of_the_request),
	        cmocka_unit_test(a_full_lane_costs_spans_and_nothing_else),
	        cmocka_unit_test(without_a_receiver_no_spans_are_made),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
