#include "trial_rig.h"

#define HEAD    "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n"
#define OPTIONS "OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n"

/* Weight 0: the new release gets copies and nothing else. */
static struct snap_trial shadow(const char *ignore)
{
	struct snap_trial t = trial_of(0);
	t.mirror_ppm = 1000000;
	t.ignore_n = (uint32_t)strlen(ignore);
	memcpy(t.ignore, ignore, t.ignore_n);
	return t;
}

/* Answers every request with the text that is its argument, head and all. */
static void rep_says(struct replica *rep, int fd)
{
	while (rep_head(rep, fd))
		put(fd, rep->arg);
}

/* … and then closes the connection, which it had not announced. */
static void rep_says_once(struct replica *rep, int fd)
{
	if (rep_head(rep, fd)) put(fd, rep->arg);
}

static struct rig *says(const char *old, const char *new, const char *ignore)
{
	struct snap_trial t = shadow(ignore);
	struct rig *g = trial_rig(rep_says, rep_says, &t);
	g->rep[0].arg = (void *)(uintptr_t)old;
	g->rep[1].arg = (void *)(uintptr_t) new;
	return g;
}

/* All copies that were due have come to an end. */
static struct meter_trial_sum copies(struct rig *g, uint64_t n)
{
	struct meter_trial_sum s = trial_sum(g);
	for (int i = 0; i < 1000 && s.mirrored + s.mirror_dropped < n; i++) {
		usleep(10000);
		s = trial_sum(g);
	}
	assert_int_equal(s.mirrored + s.mirror_dropped, n);
	return s;
}

static uint32_t pool_used;

static void pool_call(struct rig *g)
{
	const struct edge_pool *p = &g->edge->mirrors_pool;
	pool_used = p->used;
}

/* No copy is under way any more. */
static void drain(struct rig *g)
{
	rig_do(g, pool_call);
	for (int i = 0; i < 1000 && pool_used; i++) {
		usleep(10000);
		rig_do(g, pool_call);
	}
	assert_int_equal(pool_used, 0);
}

static void done(struct rig *g)
{
	drain(g);
	rig_free(g);
}

static void difference_is(struct rig *g, uint32_t i, enum meter_differs what, const char *at)
{
	struct meter_difference d;
	assert_true(meter_difference_get(&g->meter->trial[SLOT], i, ROLLOUT, &d));
	assert_int_equal(d.what, what);
	assert_str(((struct hg_str){d.at, d.at_n}), at);
	assert_str(((struct hg_str){d.path, d.path_n}), "/x");
	assert_str(((struct hg_str){d.method, d.method_n}), "GET");
	assert_true(d.rid_n > 0 && d.wall_ms > 0);
}

static bool no_difference(struct rig *g, uint32_t i)
{
	struct meter_difference d;
	return !meter_difference_get(&g->meter->trial[SLOT], i, ROLLOUT, &d);
}

static void safe_requests_are_copied_and_count_for_nothing_else(void **state)
{
	struct snap_trial t = shadow("");
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	char old_id[64], new_id[64];
	(void)state;
	for (int i = 0; i < 20; i++)
		talk(fd, GET, 200, "=");
	talk(fd, OPTIONS, 200, "=");
	put(fd, HEAD);
	struct resp *r = hear_(fd, true);
	assert_int_equal(r->status, 200);
	resp_free(r);
	struct meter_trial_sum s = copies(g, 22);
	assert_int_equal(s.mirrored, 22);
	assert_int_equal(s.mirror_differs + s.mirror_failed + s.mirror_partly, 0);
	assert_int_equal(g->rep[1].requests, 22);
	/* The same request, with a mark; one at a time, for copies may overtake each other. */
	talk(fd, GET, 200, "=");
	copies(g, 23);
	assert_non_null(strstr(g->rep[1].last, "\r\nX-Headgate-Mirror: 1\r\n\r\n"));
	assert_null(strstr(g->rep[0].last, "Mirror"));
	assert_non_null(field(g->rep[0].last, "X-Request-Id", old_id, sizeof old_id));
	assert_non_null(field(g->rep[1].last, "X-Request-Id", new_id, sizeof new_id));
	assert_string_equal(old_id, new_id);
	size_t same = strlen(g->rep[0].last) - 2;
	assert_memory_equal(g->rep[0].last, g->rep[1].last, same);
	/* What changes something is not done twice; nor is what has a body. */
	talk(fd, POST, 200, "=hi");
	talk(fd, KEYED, 200, "=hi");
	talk(fd, "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 200, "=hi");
	talk(fd, "DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n", 200, "=");
	talk(fd, "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 200, "=hi");
	usleep(100000);
	s = trial_sum(g);
	assert_int_equal(s.mirrored + s.mirror_dropped, 23);
	assert_int_equal(g->rep[1].requests, 23);
	/* No evidence, no attempt, no answer of the new release. */
	assert_int_equal(s.n_new, 0);
	assert_int_equal(s.n_old, 28);
	for (int m = 0; m < JUDGE_METRICS; m++)
		assert_int_equal(s.word[m], 0);
	struct meter_lane_sum lane;
	meter_lane_sum(g->meter, 2, &lane);
	assert_int_equal(lane.attempts + lane.failures + lane.total, 0);
	assert_true(no_difference(g, 0));
	close(fd);
	done(g);
}

static void the_mark_of_a_client_reaches_nobody(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	(void)state;
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nx-headgate-MIRROR: 1\r\nX-A: b\r\n\r\n", 200, "=");
	assert_null(strcasestr(g->rep[0].last, "mirror"));
	assert_non_null(strstr(g->rep[0].last, "\r\nX-A: b\r\n"));
	close(fd);
	rig_free(g);
}

static void the_share_is_drawn_by_chance(void **state)
{
	struct snap_trial t = shadow("");
	t.mirror_ppm = 250000;
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 800; i++)
		talk(fd, GET, 200, "=");
	drain(g);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.mirror_dropped, 0);
	/* 200 ± 5 standard deviations. */
	assert_in_range(s.mirrored, 139, 261);
	assert_int_equal(g->rep[1].requests, (int)s.mirrored);
	close(fd);
	done(g);
}

HG_UNUSED static void whatever_the_new_release_does_with_copies_no_client_notices(void **state)
{
	static const rig_script bad[] = {rep_500, rep_404, rep_reset, rep_garbage, rep_hang};
	static const enum meter_cause cause[] = {
	        0, 0, METER_CAUSE_CLOSED, METER_CAUSE_INVALID, METER_CAUSE_TIMEOUT};
	static const int status[] = {500, 404, 0, 0, 0};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		struct snap_trial t = shadow("");
		struct rig *g = trial_rig(rep_echo, bad[i], &t);
		g->app.response_ms = 400;
		g->app.eject_errors = 1;
		rig_publish(g);
		int fd = dial(g);
		uint64_t from = clock_mono_ns();
		for (int k = 0; k < 10; k++)
			talk(fd, GET, 200, "=");
		assert_true(clock_mono_ns() - from < 2000000000u);
		struct meter_trial_sum s = copies(g, 10);
		assert_int_equal(s.mirrored, 10);
		assert_int_equal(s.mirror_differs, 10);
		assert_int_equal(s.mirror_failed, status[i] ? 0 : 10);
		assert_int_equal(s.n_new + s.rescued + s.seen, 0);
		assert_false(trial_tripped(g));
		assert_int_equal(g->meter->worker[1].ejected, 0);
		/* Ten times the same is told once. */
		struct meter_difference d;
		difference_is(g, 0, status[i] ? METER_DIFFERS_STATUS : METER_DIFFERS_NO_ANSWER, "");
		assert_true(meter_difference_get(&g->meter->trial[SLOT], 0, ROLLOUT, &d));
		assert_int_equal(d.cause, cause[i]);
		assert_int_equal(d.status_old, 200);
		assert_int_equal(d.status_new, status[i]);
		assert_int_equal(d.replica, 1);
		assert_true(no_difference(g, 1));
		close(fd);
		done(g);
	}
}

static void a_replica_that_refuses_is_an_answer_that_did_not_come(void **state)
{
	struct snap_trial t = shadow("");
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	replica_stop(&g->rep[1]);
	for (int k = 0; k < 3; k++)
		talk(fd, GET, 200, "=");
	struct meter_trial_sum s = copies(g, 3);
	assert_int_equal(s.mirror_failed, 3);
	struct meter_difference d;
	assert_true(meter_difference_get(&g->meter->trial[SLOT], 0, ROLLOUT, &d));
	assert_int_equal(d.cause, METER_CAUSE_CONNECT);
	close(fd);
	done(g);
}

#define OK   "HTTP/1.1 200 OK\r\n"
#define JSON OK "Content-Type: application/json\r\n"

static void answers_are_compared_whatever_frames_them(void **state)
{
	static const struct {
		const char *old, *new, *at;
		enum meter_differs what; /* 0: the same */
	} row[] = {
	        {JSON "Content-Length: 13\r\n\r\n{\"a\":1,\"t\":1}",
	                JSON
	                "Transfer-Encoding: chunked\r\n\r\n7\r\n{\"t\":2,\r\n6\r\n\"a\":1}\r\n0"
	                "\r\n\r\n",
	                "", 0},
	        {JSON "Transfer-Encoding: "
	              "chunked\r\n\r\n7\r\n{\"t\":2,\r\n6\r\n\"a\":1}\r\n0\r\n\r\n",
	                JSON "Content-Length: 13\r\n\r\n{\"a\":2,\"t\":1}", "$.a",
	                METER_DIFFERS_JSON},
	        {OK "Content-Length: 3\r\n\r\nabc", OK "Content-Length: 3\r\n\r\nabx", "byte 2",
	                METER_DIFFERS_BYTES},
	        {OK "Content-Length: 0\r\n\r\n", OK "Content-Length: 0\r\n\r\n", "", 0},
	        {OK "Content-Length: 0\r\nCache-Control: no-store\r\n\r\n",
	                OK "Content-Length: 0\r\nSet-Cookie: a=b\r\n\r\n", "cache-control",
	                METER_DIFFERS_FIELD},
	        {"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", "", 0},
	        {OK "Content-Length: 2\r\n\r\nhi",
	                "HTTP/1.1 103 Early Hints\r\n\r\n" OK "Content-Length: 2\r\n\r\nhi", "", 0},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct rig *g = says(row[i].old, row[i].new, "$.x\n$.t\n");
		int fd = dial(g);
		put(fd, GET);
		resp_free(hear(fd));
		put(fd, "GET /x HTTP/1.0\r\nHost: a\r\n\r\n");
		resp_free(hear(fd));
		struct meter_trial_sum s = copies(g, 2);
		if (s.mirror_differs != (row[i].what ? 2 : 0)) fail_msg("row %zu", i);
		assert_int_equal(s.mirror_failed + s.mirror_partly + s.mirror_dropped, 0);
		if (row[i].what) difference_is(g, 0, row[i].what, row[i].at);
		close(fd);
		done(g);
	}
}

/* Until the end of the connection, on both sides; and a kept connection that ends unannounced is
 * no failure of the new release. */
static void the_end_of_a_connection_is_understood(void **state)
{
	static char until[] = OK "\r\nuntil";
	struct rig *g = says("", OK "Content-Length: 5\r\n\r\nuntil", "");
	(void)state;
	g->rep[0].script = rep_says_once;
	g->rep[0].arg = until;
	g->rep[1].script = rep_says_once;
	for (int i = 0; i < 5; i++) {
		int fd = dial(g);
		put(fd, GET);
		struct resp *r = hear(fd);
		assert_int_equal(r->n, 5);
		resp_free(r);
		close(fd);
		copies(g, (uint64_t)i + 1);
	}
	g->rep[1].arg = until;
	int fd = dial(g);
	put(fd, GET);
	resp_free(hear(fd));
	close(fd);
	struct meter_trial_sum s = copies(g, 6);
	assert_int_equal(s.mirror_differs + s.mirror_dropped, 0);
	done(g);
}

static void rep_large(struct replica *rep, int fd)
{
	enum { N = 200000 };
	char *text = malloc(N);
	memset(text, *(char *)rep->arg, N);
	while (rep_head(rep, fd)) {
		put(fd, OK "Content-Length: 200000\r\n\r\n");
		put_all(fd, text, N);
	}
	free(text);
}

static void bodies_beyond_the_cap_reach_the_client_and_are_not_compared(void **state)
{
	struct snap_trial t = shadow("");
	struct rig *g = trial_rig(rep_large, rep_large, &t);
	char a = 'a', b = 'b';
	(void)state;
	g->rep[0].arg = &a;
	g->rep[1].arg = &b;
	int fd = dial(g);
	for (int i = 0; i < 4; i++) {
		put(fd, GET);
		struct resp *r = hear(fd);
		assert_int_equal(r->n, 200000);
		assert_int_equal(r->body[199999], 'a');
		resp_free(r);
	}
	struct meter_trial_sum s = copies(g, 4);
	assert_int_equal(s.mirror_partly, 4);
	assert_int_equal(s.mirror_differs, 0);
	close(fd);
	done(g);
}

HG_UNUSED static void copies_at_a_time_are_bounded_and_the_rest_is_left_out(void **state)
{
	struct snap_trial t = shadow("");
	struct rig *g = trial_rig(rep_echo, rep_hang, &t);
	int fd = dial(g);
	(void)state;
	g->app.response_ms = 700;
	rig_publish(g);
	for (unsigned i = 0; i < EDGE_MIRRORS + 8; i++)
		talk(fd, GET, 200, "=");
	struct meter_trial_sum s = copies(g, EDGE_MIRRORS + 8);
	assert_int_equal(s.mirror_dropped, 8);
	assert_int_equal(s.mirror_failed, EDGE_MIRRORS);
	/* There is room again. */
	talk(fd, GET, 200, "=");
	s = copies(g, EDGE_MIRRORS + 9);
	assert_int_equal(s.mirror_failed, EDGE_MIRRORS + 1);
	close(fd);
	done(g);
}

static void busy_call(struct rig *g)
{
	meter_add(&g->edge->count->busy_ns, 1ull << 60);
	g->edge->mirror_look_ns = 0;
}

static void what_cannot_be_copied_at_once_is_left_out_and_counted(void **state)
{
	struct snap_trial t = shadow("");
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	char large[9000];
	(void)state;
	/* No endpoint that takes requests. */
	rig_endpoint(g, 1, SNAP_EP_DRAINING);
	talk(fd, GET, 200, "=");
	assert_int_equal(copies(g, 1).mirror_dropped, 1);
	rig_endpoint(g, 1, SNAP_EP_UP);
	/* A head that is too large to be kept. */
	int n = snprintf(large, sizeof large, "GET /x HTTP/1.1\r\nHost: a\r\nX-L: ");
	memset(large + n, 'l', sizeof large - (size_t)n);
	memcpy(large + sizeof large - 5, "\r\n\r\n", 5);
	talk(fd, large, 200, "=");
	assert_int_equal(copies(g, 2).mirror_dropped, 2);
	talk(fd, GET, 200, "=");
	assert_int_equal(copies(g, 3).mirrored, 1);
	/* A worker that has no time to spare. */
	rig_do(g, busy_call);
	talk(fd, GET, 200, "=");
	assert_int_equal(copies(g, 4).mirror_dropped, 3);
	close(fd);
	done(g);
}

static void nothing_is_copied_without_need(void **state)
{
	struct snap_trial t = shadow("");
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	/* What the new release failed to answer, and the old one did, it has had already. */
	replica_stop(&g->rep[1]);
	t.weight_ppm = 1000000;
	t.epoch = 2;
	trial_set(g, &t);
	talk(fd, GET, 200, "=");
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.rescued, 1);
	assert_int_equal(s.mirrored + s.mirror_dropped, 0);
	/* Proven bad. */
	t.weight_ppm = 0;
	t.epoch = 3;
	trial_set(g, &t);
	meter_trip(&g->meter->trial[SLOT], ROLLOUT, 3, 1);
	talk(fd, GET, 200, "=");
	/* No trial, and a trial that does not mirror. */
	t.rollout = ROLLOUT + 1;
	t.mirror_ppm = 0;
	trial_set(g, &t);
	talk(fd, GET, 200, "=");
	snap_trial_set(g->table, SLOT, &(struct snap_trial){0});
	talk(fd, GET, 200, "=");
	usleep(100000);
	s = trial_sum(g);
	assert_int_equal(s.mirrored + s.mirror_dropped, 0);
	close(fd);
	done(g);
}

static void rep_half(struct replica *rep, int fd)
{
	char c;
	if (!rep_head(rep, fd)) return;
	put(fd, OK "Content-Length: 10\r\n\r\nhalf");
	(void)!recv(fd, &c, 1, 0);
}

static void an_answer_that_nobody_got_whole_is_not_compared(void **state)
{
	struct snap_trial t = shadow("");
	struct rig *g = trial_rig(rep_half, rep_echo, &t);
	char text[512];
	(void)state;
	g->app.idle_ms = 200;
	rig_publish(g);
	for (int i = 0; i < 3; i++) {
		int fd = dial(g);
		put(fd, GET);
		assert_true(get_head(fd, text, sizeof text) > 0 && get_n(fd, text, 4));
		close(fd);
	}
	usleep(500000);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.mirrored + s.mirror_dropped, 0);
	assert_int_equal(g->rep[1].requests, 0);
	done(g);
}

static void a_worker_that_ends_leaves_its_copies_out(void **state)
{
	struct snap_trial t = shadow("");
	struct rig *g = trial_rig(rep_echo, rep_hang, &t);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 5; i++)
		talk(fd, GET, 200, "=");
	close(fd);
	rig_sync(g);
	struct meter *m = g->meter;
	struct snap_table *table = g->table;
	struct rates *rates = g->rates;
	struct meter_trial_sum s;
	g->owner = g; /* the meter outlives the worker */
	rig_free(g);
	meter_trial_sum(m, CELL, &s);
	assert_int_equal(s.mirror_dropped, 5);
	assert_int_equal(s.mirrored, 0);
	free(m);
	free(table);
	free(rates);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(safe_requests_are_copied_and_count_for_nothing_else),
	        cmocka_unit_test(the_mark_of_a_client_reaches_nobody),
	        cmocka_unit_test(the_share_is_drawn_by_chance),
#ifndef RIG_UP /* its times are of plain connections */
	        cmocka_unit_test(whatever_the_new_release_does_with_copies_no_client_notices),
#endif
	        cmocka_unit_test(a_replica_that_refuses_is_an_answer_that_did_not_come),
	        cmocka_unit_test(answers_are_compared_whatever_frames_them),
	        cmocka_unit_test(the_end_of_a_connection_is_understood),
	        cmocka_unit_test(bodies_beyond_the_cap_reach_the_client_and_are_not_compared),
#ifndef RIG_UP /* its times are of plain connections */
	        cmocka_unit_test(copies_at_a_time_are_bounded_and_the_rest_is_left_out),
#endif
	        cmocka_unit_test(what_cannot_be_copied_at_once_is_left_out_and_counted),
	        cmocka_unit_test(nothing_is_copied_without_need),
	        cmocka_unit_test(an_answer_that_nobody_got_whole_is_not_compared),
	        cmocka_unit_test(a_worker_that_ends_leaves_its_copies_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
