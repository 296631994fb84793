#include "trial_rig.h"

#define PUT "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"

static struct snap_trial all_new(void)
{
	return trial_of(1000000);
}

/* A body whose every byte depends on its place. */
static char at(size_t i)
{
	return (char)('a' + (i ^ i >> 8 ^ i >> 16) % 23);
}

static void put_body(int fd, size_t from, size_t to)
{
	char text[4096];
	while (from < to) {
		size_t n = HG_MIN(to - from, sizeof text);
		for (size_t i = 0; i < n; i++)
			text[i] = at(from + i);
		put_all(fd, text, n);
		from += n;
	}
}

static void assert_body(const struct resp *r, size_t n)
{
	assert_int_equal(r->n, n);
	for (size_t i = 0; i < n; i++) {
		if (r->body[i] != at(i)) fail_msg("byte %zu differs", i);
	}
}

struct cut_at {
	size_t of, at;
	bool reset;
};

/* Sends the first bytes of a body and goes. */
static void rep_cut(struct replica *rep, int fd)
{
	const struct cut_at *cut = rep->arg;
	struct linger hard = {1, 0};
	char text[128];
	if (!rep_head(rep, fd)) return;
	snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", cut->of);
	put(fd, cut->reset ? "HTTP/1.1 200 OK\r\n\r\n" : text);
	put_body(fd, 0, cut->at);
	if (!cut->reset) return;
	usleep(50000);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

static void rep_bad_chunk(struct replica *rep, int fd)
{
	if (rep_head(rep, fd)) {
		put(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n");
	}
}

static void whatever_the_new_release_does_wrong_the_old_one_answers(void **state)
{
	static const rig_script bad[] = {
	        rep_500, rep_reset, rep_garbage, rep_cut, rep_bad_chunk, rep_hang};
	static const enum meter_cause cause[] = {METER_CAUSE_STATUS, METER_CAUSE_CLOSED,
	        METER_CAUSE_INVALID, METER_CAUSE_CLOSED, METER_CAUSE_INVALID, METER_CAUSE_TIMEOUT};
	struct cut_at cut = {1000, 500, false};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		struct snap_trial t = all_new();
		struct rig *g = trial_rig(rep_echo, bad[i], &t);
		/* No retries and no budget: a rescue needs neither. */
		g->app.retries = g->app.retry_budget_ppm = 0;
		g->app.response_ms = 400;
		rig_publish(g);
		g->rep[1].arg = &cut;
		int fd = dial(g);
		for (int k = 0; k < 2; k++) {
			talk(fd, GET, 200, "=");
			talk(fd, PUT, 200, "=hi");
			talk(fd, KEYED, 200, "=hi");
		}
		struct meter_trial_sum s = trial_sum(g);
		assert_int_equal(s.n_new, 6);
		assert_int_equal(count_new(&s, JUDGE_ERRORS), 6);
		assert_int_equal(s.rescued, 6);
		assert_int_equal(s.seen + s.n_old + count_old(&s, JUDGE_ERRORS), 0);
		struct meter_failure f;
		assert_true(meter_failure_get(&g->meter->trial[SLOT], 1, ROLLOUT, &f));
		assert_int_equal(f.cause, cause[i]);
		/* It counts as the release that answered. */
		assert_int_equal(meter_lane_code(g->meter, 1, 200), 6);
		assert_int_equal(meter_lane_code(g->meter, 2, 200), 0);
		close(fd);
		rig_free(g);
	}
}

static void what_cannot_be_repeated_is_seen_and_counted_exactly(void **state)
{
	static const rig_script bad[] = {rep_500, rep_reset, rep_garbage};
	static const int status[] = {500, 502, 502};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		struct snap_trial t = all_new();
		struct rig *g = trial_rig(rep_echo, bad[i], &t);
		int fd = dial(g);
		for (int k = 0; k < 5; k++) {
			talk(fd, POST, status[i], i ? NULL : "boom");
			talk(fd, GET, 200, "=");
		}
		struct meter_trial_sum s = trial_sum(g);
		assert_int_equal(s.n_new, 10);
		assert_int_equal(count_new(&s, JUDGE_ERRORS), 10);
		assert_int_equal(s.rescued, 5);
		assert_int_equal(s.seen, 5);
		assert_int_equal(s.unreplayable, 5);
		close(fd);
		rig_free(g);
	}
}

static void what_was_never_sent_can_be_repeated_whatever_it_is(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	replica_stop(&g->rep[1]); /* refused */
	for (int i = 0; i < 5; i++)
		talk(fd, POST, 200, "=hi");
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(count_new(&s, JUDGE_ERRORS), 5);
	assert_int_equal(s.rescued, 5);
	assert_int_equal(s.seen, 0);
	struct meter_failure f;
	assert_true(meter_failure_get(&g->meter->trial[SLOT], 0, ROLLOUT, &f));
	assert_int_equal(f.cause, METER_CAUSE_CONNECT);
	close(fd);
	rig_free(g);
}

HG_UNUSED static void bodies_up_to_64_kib_are_kept_for_the_rescue(void **state)
{
	static char text[70000];
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_reset, &t);
	int fd = dial(g), bad = 0;
	(void)state;
	memset(text, 'a', sizeof text);
	put(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n");
	put_all(fd, text, 65536);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 200);
	assert_int_equal(r->n, 65537);
	resp_free(r);
	for (int i = 0; i < 3; i++) {
		int other = dial(g);
		put(other, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n");
		put_all(other, text, sizeof text);
		r = hear(other);
		bad += !r || r->status == 502;
		resp_free(r);
		close(other);
	}
	assert_int_equal(bad, 3);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.rescued, 1);
	assert_int_equal(s.seen, 3);
	assert_int_equal(s.unreplayable, 3);
	close(fd);
	rig_free(g);
}

static void a_response_that_stops_within_64_kib_is_rescued(void **state)
{
	struct cut_at cuts[] = {{100, 0, false}, {40000, 39999, false}, {200000, 60000, false},
	        {0, 1000, true}, {0, 50000, true}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(cuts); i++) {
#ifdef RIG_UP /* the bridge makes no resets */
		if (cuts[i].reset) continue;
#endif
		struct snap_trial t = all_new();
		struct rig *g = trial_rig(rep_echo, rep_cut, &t);
		int fd = dial(g);
		g->rep[1].arg = &cuts[i];
		/* The connection to the client goes on, although the lost response would have
		 * ended it. */
		talk(fd, GET, 200, "=");
		talk(fd, GET, 200, "=");
		struct meter_trial_sum s = trial_sum(g);
		assert_int_equal(s.rescued, 2);
		assert_int_equal(count_new(&s, JUDGE_ERRORS), 2);
		assert_int_equal(s.seen, 0);
		close(fd);
		rig_free(g);
	}
}

static void a_response_that_stops_later_is_a_failure_that_the_client_saw(void **state)
{
	struct cut_at cut = {400000, 300000, false};
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_cut, &t);
	int fd = dial(g);
	(void)state;
	g->rep[1].arg = &cut;
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 200);
	assert_true(r->closed);
	resp_free(r);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new, 1);
	assert_int_equal(count_new(&s, JUDGE_ERRORS), 1);
	assert_int_equal(s.seen, 1);
	assert_int_equal(s.rescued, 0);
	close(fd);
	rig_free(g);
}

static void rep_stall(struct replica *rep, int fd)
{
	char c;
	if (!rep_head(rep, fd)) return;
	put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n");
	put_body(fd, 0, 300000);
	(void)!recv(fd, &c, 1, 0);
}

static void a_response_that_stalls_later_is_a_failure_too(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_stall, &t);
	struct meter_failure f;
	int fd = dial(g);
	(void)state;
	g->app.idle_ms = 300;
	rig_publish(g);
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_true(r && r->closed);
	resp_free(r);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(count_new(&s, JUDGE_ERRORS), 1);
	assert_int_equal(s.seen, 1);
	assert_true(meter_failure_get(&g->meter->trial[SLOT], 0, ROLLOUT, &f));
	assert_int_equal(f.cause, METER_CAUSE_TIMEOUT);
	close(fd);
	rig_free(g);
}

static void rep_sizes(struct replica *rep, int fd)
{
	char head[128], path[32];
	while (rep_head(rep, fd)) {
		size_t n = strtoul(rep->last + strlen("GET /"), NULL, 10);
		snprintf(path, sizeof path, "%.31s", strchr(rep->last, '/'));
		bool chunked = strncmp(strchr(path + 1, '/') + 1, "chunked", 7) == 0;
		if (!chunked) {
			snprintf(head, sizeof head,
			        "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
			put(fd, head);
			put_body(fd, 0, n);
			continue;
		}
		put(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		for (size_t k = 0; k < n; k += 1000) {
			size_t end = HG_MIN(k + 1000, n);
			snprintf(head, sizeof head, "%zx\r\n", end - k);
			put(fd, head);
			put_body(fd, k, end);
			put(fd, "\r\n");
		}
		put(fd, "0\r\n\r\n");
	}
}

static void held_responses_of_all_sizes_come_whole(void **state)
{
	static const size_t sizes[] = {0, 1, 2000, 32767, 32768, 32769, 65535, 65536, 65537, 98304,
	        98305, 131072, 1000000};
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_sizes, &t);
	char text[128];
	(void)state;
	for (size_t i = 0; i < HG_COUNT(sizes); i++) {
		for (int k = 0; k < 4; k++) {
			int fd = dial(g);
			snprintf(text, sizeof text, "GET /%zu/%s HTTP/1.%d\r\nHost: a\r\n\r\n",
			        sizes[i], k & 1 ? "chunked" : "length", k < 2);
			put(fd, text);
			struct resp *r = hear(fd);
			assert_non_null(r);
			assert_int_equal(r->status, 200);
			assert_body(r, sizes[i]);
			resp_free(r);
			close(fd);
		}
	}
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new, 4 * HG_COUNT(sizes));
	assert_int_equal(s.word[JUDGE_ERRORS] + s.seen + s.rescued, 0);
	assert_int_equal(g->rep[0].requests, 0);
	rig_free(g);
}

static void rep_drip(struct replica *rep, int fd)
{
	if (!rep_head(rep, fd)) return;
	put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n");
	for (size_t i = 0; i < 30; i++) {
		put_body(fd, i, i + 1);
		usleep(70000);
	}
}

static void a_slow_response_streams_after_a_second(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_drip, &t);
	int fd = dial(g);
	char c;
	(void)state;
	put(fd, GET);
	uint64_t begin = clock_mono_ns();
	assert_int_equal(recv(fd, &c, 1, MSG_PEEK), 1);
	uint64_t first_ms = (clock_mono_ns() - begin) / 1000000;
	struct resp *r = hear(fd);
	uint64_t last_ms = (clock_mono_ns() - begin) / 1000000;
	assert_body(r, 30);
	resp_free(r);
	assert_in_range(first_ms, 950, 1500);
	assert_true(last_ms > first_ms + 400);
	assert_int_equal(trial_sum(g).n_new, 1);
	close(fd);
	rig_free(g);
}

static void rep_events(struct replica *rep, int fd)
{
	char c;
	if (!rep_head(rep, fd)) return;
	put(fd, "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n"
	        "Transfer-Encoding: chunked\r\n\r\n3\r\na\n\n\r\n");
	(void)!recv(fd, &c, 1, 0);
}

static void events_are_not_held(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_events, &t);
	int fd = dial(g);
	char c;
	(void)state;
	put(fd, GET);
	uint64_t begin = clock_mono_ns();
	assert_int_equal(recv(fd, &c, 1, 0), 1);
	assert_true(clock_mono_ns() - begin < 700000000u);
	close(fd);
	rig_free(g);
}

static void the_first_try_gets_half_of_the_time(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_hang, &t);
	int fd = dial(g);
	(void)state;
	g->app.response_ms = 1000;
	rig_publish(g);
	uint64_t begin = clock_mono_ns();
	talk(fd, GET, 200, "=");
	assert_in_range((clock_mono_ns() - begin) / 1000000, 450, 900);
	/* Where nobody else may be asked, all of it. */
	begin = clock_mono_ns();
	talk(fd, POST, 504, NULL);
	assert_in_range((clock_mono_ns() - begin) / 1000000, 950, 2000);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.rescued, 1);
	assert_int_equal(s.seen, 1);
	close(fd);
	rig_free(g);
}

/* The last replica of the old release has all of its time: nobody else would be asked, although
 * the new release has a replica too. */
static void the_last_old_replica_is_not_hurried(void **state)
{
	unsigned slow_ms = 700;
	struct snap_trial t = trial_of(0);
	struct rig *g = trial_rig(rep_slow, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	g->rep[0].arg = &slow_ms;
	g->app.response_ms = 1000;
	rig_publish(g);
	talk(fd, GET, 200, "slow");
	assert_int_equal(g->rep[1].requests, 0);
	close(fd);
	rig_free(g);
}

static void without_an_old_replica_the_client_gets_what_there_is(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_500, &t);
	int fd = dial(g);
	(void)state;
	rig_endpoint(g, 0, SNAP_EP_DOWN);
	talk(fd, GET, 500, "boom");
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.seen, 1);
	assert_int_equal(s.unreplayable, 0);
	/* A connection that failed is tried on another new replica then. */
	rig_replica_of(g, rep_echo, 2);
	g->rep[1].script = rep_reset;
	replica_stop(&g->rep[1]);
	for (int i = 0; i < 10; i++)
		talk(fd, GET, 200, "=");
	close(fd);
	rig_free(g);
}

static void rep_hints_then_500(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		put(fd, "HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n");
		usleep(20000);
		put(fd, "HTTP/1.1 500 Bad\r\nContent-Length: 4\r\n\r\nboom");
	}
}

static void an_interim_response_does_not_stand_in_the_way(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_hints_then_500, &t);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 2; i++) {
		put(fd, GET);
		struct resp *r = hear(fd);
		assert_int_equal(r->status, 103);
		resp_free(r);
		r = hear(fd);
		assert_int_equal(r->status, 200);
		assert_string_equal(r->body, "=");
		resp_free(r);
	}
	assert_int_equal(trial_sum(g).rescued, 2);
	close(fd);
	rig_free(g);
}

static void a_rescue_is_tried_again_once_by_the_normal_rules(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_500, &t);
	int fd = dial(g);
	(void)state;
	rig_replica_of(g, rep_reset, 1);
	for (int i = 0; i < 20; i++)
		talk(fd, GET, 200, "=");
	assert_true(g->rep[2].requests > 3);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.rescued, 20);
	assert_int_equal(s.n_old + count_old(&s, JUDGE_ERRORS), 0);
	/* Twice is enough: with two bad old ones it is a 502. */
	rig_replica_of(g, rep_reset, 1);
	g->app.retries = 5;
	rig_publish(g);
	rig_endpoint(g, 0, SNAP_EP_DOWN);
	int before = g->rep[2].requests + g->rep[3].requests;
	talk(fd, GET, 502, NULL);
	assert_int_equal(g->rep[2].requests + g->rep[3].requests, before + 2);
	assert_int_equal(trial_sum(g).seen, 1);
	close(fd);
	rig_free(g);
}

static void many_rescues(struct rig *g)
{
	g->edge->apps[0].rescues += 64;
}

static void no_more_rescues(struct rig *g)
{
	g->edge->apps[0].rescues -= 64;
}

static void rescues_at_a_time_have_a_limit(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_500, &t);
	int fd = dial(g);
	(void)state;
	talk(fd, GET, 200, "=");
	rig_do(g, many_rescues);
	talk(fd, GET, 500, "boom");
	rig_do(g, no_more_rescues);
	talk(fd, GET, 200, "=");
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.rescued, 2);
	assert_int_equal(s.seen, 1);
	assert_int_equal(s.unreplayable, 0);
	assert_int_equal(g->edge->apps[0].rescues, 0);
	close(fd);
	rig_free(g);
}

static void without_the_flag_only_the_normal_rules_apply(void **state)
{
	struct snap_trial t = all_new();
	t.flags = SNAP_TRIAL_JUDGE;
	struct rig *g = trial_rig(rep_echo, rep_500, &t);
	int fd = dial(g);
	(void)state;
	talk(fd, GET, 500, "boom");
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.seen, 1);
	assert_int_equal(s.unreplayable, 0);
	/* A lost connection is tried again, on the old release. */
	g->rep[1].script = rep_reset;
	for (int up = 0; up < 2; up++) { /* without the kept connection */
		rig_endpoint(g, 1, up ? SNAP_EP_UP : SNAP_EP_DOWN);
		rig_publish(g);
	}
	int other = dial(g);
	talk(other, GET, 200, "=");
	s = trial_sum(g);
	assert_int_equal(s.rescued, 1);
	assert_int_equal(count_new(&s, JUDGE_ERRORS), 2);
	close(fd);
	close(other);
	rig_free(g);
}

static void rep_chunked_500(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		put(fd, "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n"
		        "4\r\nno d\r\n7\r\natabase\r\n0\r\n\r\n");
	}
}

static void the_first_failures_are_kept_with_what_the_release_said(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_chunked_500, &t);
	int fd = dial(g);
	struct meter_failure f;
	(void)state;
	for (int i = 0; i < METER_FAILURES + 2; i++) {
		talk(fd, "GET /pay?card=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n", 200,
		        "=");
	}
	rig_sync(g);
	for (uint32_t i = 0; i < METER_FAILURES; i++) {
		assert_true(meter_failure_get(&g->meter->trial[SLOT], i, ROLLOUT, &f));
		assert_int_equal(f.cause, METER_CAUSE_STATUS);
		assert_int_equal(f.status, 503);
		assert_int_equal(f.replica, 1);
		assert_true(f.wall_ms > 0);
		assert_str(((struct hg_str){f.method, f.method_n}), "GET");
		assert_str(((struct hg_str){f.path, f.path_n}), "/pay");
		assert_str(((struct hg_str){f.rid, f.rid_n}), "mine");
		assert_str(((struct hg_str){f.body, f.body_n}), "no database");
	}
	close(fd);
	rig_free(g);
}

static void rep_upgrade(struct replica *rep, int fd)
{
	char c;
	if (!rep_head(rep, fd)) return;
	put(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
	while (recv(fd, &c, 1, 0) == 1)
		put_all(fd, &c, 1);
}

static void tunnels_are_drawn_and_count_when_they_open(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_upgrade, &t);
	int fd = dial(g);
	char c;
	(void)state;
	put(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 101);
	resp_free(r);
	put(fd, "z");
	assert_int_equal(recv(fd, &c, 1, 0), 1);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new, 1);
	replica_stop(&g->rep[1]);
	assert_true(closed(fd));
	s = trial_sum(g);
	assert_int_equal(s.n_new, 1);
	assert_int_equal(s.word[JUDGE_ERRORS] + s.seen, 0);
	close(fd);
	rig_free(g);
}

static void a_client_that_goes_while_its_response_is_held_frees_everything(void **state)
{
	struct snap_trial t = all_new();
	struct rig *g = trial_rig(rep_echo, rep_drip, &t);
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct linger hard = {1, 0};
		int fd = dial(g);
		put(fd, GET);
		while (g->rep[1].requests <= i)
			usleep(500);
		usleep(50000);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		close(fd);
	}
	while (g->meter->worker[1].connections)
		usleep(500);
	rig_sync(g);
	struct edge *e = g->edge;
	assert_int_equal(e->draws.used, 0);
	assert_int_equal(e->keeps.used, 0);
	assert_int_equal(e->bufs.used, 0);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new + s.seen, 0);
	rig_free(g);
}

int main(void)
{
#ifdef RIG_H2 /* HTTP/1.1's own */
	(void)tunnels_are_drawn_and_count_when_they_open;
#endif
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(whatever_the_new_release_does_wrong_the_old_one_answers),
	        cmocka_unit_test(what_cannot_be_repeated_is_seen_and_counted_exactly),
	        cmocka_unit_test(what_was_never_sent_can_be_repeated_whatever_it_is),
#ifndef RIG_UP /* the failure may come before so much was read */
	        cmocka_unit_test(bodies_up_to_64_kib_are_kept_for_the_rescue),
#endif
	        cmocka_unit_test(a_response_that_stops_within_64_kib_is_rescued),
	        cmocka_unit_test(a_response_that_stops_later_is_a_failure_that_the_client_saw),
	        cmocka_unit_test(a_response_that_stalls_later_is_a_failure_too),
	        cmocka_unit_test(held_responses_of_all_sizes_come_whole),
	        cmocka_unit_test(a_slow_response_streams_after_a_second),
	        cmocka_unit_test(events_are_not_held),
	        cmocka_unit_test(the_first_try_gets_half_of_the_time),
	        cmocka_unit_test(the_last_old_replica_is_not_hurried),
	        cmocka_unit_test(without_an_old_replica_the_client_gets_what_there_is),
	        cmocka_unit_test(an_interim_response_does_not_stand_in_the_way),
	        cmocka_unit_test(a_rescue_is_tried_again_once_by_the_normal_rules),
	        cmocka_unit_test(rescues_at_a_time_have_a_limit),
	        cmocka_unit_test(without_the_flag_only_the_normal_rules_apply),
	        cmocka_unit_test(the_first_failures_are_kept_with_what_the_release_said),
#ifndef RIG_H2
	        cmocka_unit_test(tunnels_are_drawn_and_count_when_they_open),
#endif
	        cmocka_unit_test(a_client_that_goes_while_its_response_is_held_frees_everything),
	};
	return cmocka_run_group_tests_name("trial_rescue", tests, NULL, NULL);
}
