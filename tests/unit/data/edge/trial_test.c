#include "trial_rig.h"

/* ---- the draw ---- */

static void the_split_is_the_weight_and_chance_alone(void **state)
{
	static const uint32_t ppm[] = {1, 1000, 10000, 100000, 500000, 999999};
	struct hg_rand rand;
	(void)state;
	hg_rand_seed(&rand, 4);
	for (size_t i = 0; i < HG_COUNT(ppm); i++) {
		double w = ppm[i] / 1e6, n = 100000, sigma = sqrt(n * w * (1 - w));
		uint32_t drawn = 0;
		for (int k = 0; k < 100000; k++)
			drawn += edge_draw_new(hg_rand_u64(&rand), ppm[i]);
		assert_true(fabs(drawn - n * w) <= 4 * sigma);
	}
	assert_false(edge_draw_new(0, 0));
	assert_false(edge_draw_new(UINT64_MAX, 999999));
	assert_true(edge_draw_new(UINT64_MAX, 1000000));
	/* The border of one millionth lies at 2^64 / 10^6 = 18446744073709.55. */
	assert_true(edge_draw_new(18446744073709u, 1));
	assert_false(edge_draw_new(18446744073710u, 1));
}

static void requests_go_by_the_trials_weight_and_no_other(void **state)
{
	struct snap_trial t = trial_of(100000);
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	/* Weights of endpoints do not count, and a third release gets nothing. */
	rig_replica_of(g, rep_echo, 3);
	struct snap_endpoint ep;
	assert_true(snap_table_get(g->table, 1, &ep));
	ep.weight = 0;
	snap_table_set(g->table, 1, &ep);
	for (int i = 0; i < 2000; i++)
		talk(fd, GET, 200, "=");
	/* 200 of 2,000; four standard deviations are 54. */
	assert_in_range(g->rep[1].requests, 146, 254);
	assert_int_equal(g->rep[2].requests, 0);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new, g->rep[1].requests);
	assert_int_equal(s.n_old, g->rep[0].requests);
	assert_int_equal(s.word[JUDGE_ERRORS], 0);
	assert_int_equal(meter_lane_code(g->meter, 2, 200), g->rep[1].requests);
	/* The trial ends: weights count again. */
	trial_set(g, &(struct snap_trial){0});
	int before = g->rep[1].requests;
	for (int i = 0; i < 100; i++)
		talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[1].requests, before);
	assert_true(g->rep[2].requests > 0);
	assert_int_equal(trial_sum(g).n_new, s.n_new);
	close(fd);
	rig_free(g);
}

static void replayable_only_keeps_the_others_on_the_old_release_uncounted(void **state)
{
	struct snap_trial t = trial_of(1000000);
	t.flags |= SNAP_TRIAL_REPLAYABLE;
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	static char big[70000];
	(void)state;
	for (int i = 0; i < 5; i++) {
		talk(fd, POST, 200, "=hi");
		/* HTTP/2 says that there is no body. */
		if (!RIG_H1) continue;
		talk(fd,
		        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		        200, "=");
	}
	put(fd, "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n");
	put_all(fd, big, sizeof big);
	resp_free(hear(fd));
	assert_int_equal(g->rep[1].requests, 0);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new + s.n_old, 0);
	talk(fd, KEYED, 200, "=hi");
	talk(fd, GET, 200, "=");
	s = trial_sum(g);
	assert_int_equal(s.n_new, 2);
	assert_int_equal(g->rep[1].requests, 2);
	close(fd);
	rig_free(g);
}

static void rules_by_header_cookie_and_query_force_the_new_release(void **state)
{
	struct snap_trial t = trial_of(0);
	t.match_count = 4;
	t.match[0] = (struct snap_match){SNAP_MATCH_HEADER, "X-Beta", "yes"};
	t.match[1] = (struct snap_match){SNAP_MATCH_COOKIE, "beta", "1"};
	t.match[2] = (struct snap_match){SNAP_MATCH_QUERY, "beta", ""};
	t.match[3] = (struct snap_match){SNAP_MATCH_HEADER, "X-Any", ""};
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nx-beta: yes\r\n\r\n", 200, "=");
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nX-Any: what\r\n\r\n", 200, "=");
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; beta=1; c\r\n\r\n", 200, "=");
	talk(fd, "GET /?x=1&beta HTTP/1.1\r\nHost: a\r\n\r\n", 200, "=");
	talk(fd, "POST /?beta=2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200, "=");
	assert_int_equal(g->rep[1].requests, 5);
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nX-Beta: no\r\n\r\n", 200, "=");
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; beta=2; xbeta=1\r\n\r\n", 200, "=");
	talk(fd, "GET /?alphabeta=1 HTTP/1.1\r\nHost: a\r\n\r\n", 200, "=");
	assert_int_equal(g->rep[1].requests, 5);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.forced, 5);
	assert_int_equal(s.n_new, 0);
	assert_int_equal(s.n_old, 3);
	close(fd);
	rig_free(g);
}

#define PREVIEW "GET / HTTP/1.1\r\nHost: preview\r\n\r\n"

static void a_preview_is_always_the_new_release_or_an_error(void **state)
{
	struct snap_trial t = trial_of(0);
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 10; i++)
		talk(fd, PREVIEW, 200, "=");
	assert_int_equal(g->rep[1].requests, 10);
	/* What it shows is not rescued, and no evidence. */
	g->rep[1].script = rep_500;
	rig_endpoint(g, 1, SNAP_EP_DOWN);
	talk(fd, PREVIEW, 503, NULL);
	rig_endpoint(g, 1, SNAP_EP_UP);
	talk(fd, PREVIEW, 500, "boom");
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.forced, 12);
	assert_int_equal(s.n_new + s.seen + s.rescued + s.word[JUDGE_ERRORS], 0);
	trial_set(g, &(struct snap_trial){0});
	talk(fd, PREVIEW, 503, NULL);
	assert_int_equal(g->rep[0].requests, 0);
	close(fd);
	rig_free(g);
}

/* ---- stickiness ---- */

static void ask_with(int fd, const char *cookie, char *ret_set, size_t cap, unsigned *ret_slot)
{
	char text[512], v[64];
	snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; hg_arm=%s\r\n\r\n",
	        cookie);
	put(fd, text);
	struct resp *r = hear(fd);
	assert_non_null(r);
	assert_int_equal(r->status, 200);
	if (!field(r->head, "Set-Cookie", ret_set, cap)) ret_set[0] = 0;
	assert_non_null(field(r->head, "X-Slot", v, sizeof v));
	*ret_slot = (unsigned)strtoul(v, NULL, 10);
	resp_free(r);
}

/* "hg_arm=VALUE; Path=/; …" → VALUE */
static void cookie_value(const char *set, char *to, size_t cap)
{
	assert_memory_equal(set, "hg_arm=", 7);
	snprintf(to, cap, "%.*s", (int)strcspn(set + 7, ";"), set + 7);
}

static void a_signed_cookie_keeps_a_client_on_its_arm_and_is_no_evidence(void **state)
{
	struct snap_trial t = trial_of(500000);
	t.flags |= SNAP_TRIAL_STICKY;
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	char set[256], again[256], value[2][128] = {{0}};
	unsigned slot;
	(void)state;
	for (int i = 0; i < 100 && !(value[0][0] && value[1][0]); i++) {
		ask_with(fd, "", set, sizeof set, &slot);
		assert_non_null(strstr(set, "; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"));
		cookie_value(set, value[slot], sizeof value[slot]);
		assert_memory_equal(value[slot], slot ? "new.1.17." : "old.1.17.", 9);
	}
	struct meter_trial_sum before = trial_sum(g);
	for (int i = 0; i < 20; i++) {
		ask_with(fd, value[i % 2], again, sizeof again, &slot);
		assert_int_equal(slot, i % 2);
		assert_string_equal(again, "");
	}
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new + s.n_old, before.n_new + before.n_old);
	assert_int_equal(s.forced, 20);
	/* In the next epoch everybody is drawn again, and counts. */
	t = trial_of(0);
	t.flags |= SNAP_TRIAL_STICKY;
	t.epoch = 2;
	trial_set(g, &t);
	ask_with(fd, value[1], again, sizeof again, &slot);
	assert_int_equal(slot, 0);
	cookie_value(again, value[0], sizeof value[0]);
	assert_memory_equal(value[0], "old.2.17.", 9);
	assert_int_equal(trial_sum(g).n_old, s.n_old + 1);
	close(fd);
	rig_free(g);
}

static void a_forged_cookie_chooses_nothing(void **state)
{
	struct snap_trial t = trial_of(0);
	t.flags |= SNAP_TRIAL_STICKY;
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	char set[256], value[128], forged[200];
	unsigned slot;
	(void)state;
	ask_with(fd, "", set, sizeof set, &slot);
	cookie_value(set, value, sizeof value);
	snprintf(forged, sizeof forged, "new%s", value + 3);
	ask_with(fd, forged, set, sizeof set, &slot);
	assert_int_equal(slot, 0);
	assert_string_not_equal(set, "");
	ask_with(fd, "new.1.17.", set, sizeof set, &slot);
	assert_int_equal(slot, 0);
	ask_with(fd, "new.1.17.0000000000000000", set, sizeof set, &slot);
	assert_int_equal(slot, 0);
	/* One of another rollout: the key differs. */
	struct snap_trial other = trial_of(0);
	char text[200];
	struct hg_out o = hg_out_over(text, sizeof text);
	other.rollout = 16;
	edge_sticky_write(&other, EDGE_NEW, &o);
	snprintf(forged, sizeof forged, "%.*s", (int)strcspn(text + 19, ";"), text + 19);
	assert_memory_equal(forged, "new.1.16.", 9);
	ask_with(fd, forged, set, sizeof set, &slot);
	assert_int_equal(slot, 0);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.forced, 0);
	assert_int_equal(s.n_old, 5);
	close(fd);
	rig_free(g);
}

/* ---- evidence ---- */

static void client_errors_are_no_failures(void **state)
{
	struct snap_trial t = trial_of(500000);
	struct rig *g = trial_rig(rep_404, rep_404, &t);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 40; i++)
		talk(fd, GET, 404, "nope");
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new + s.n_old, 40);
	assert_int_equal(s.word[JUDGE_ERRORS], 0);
	close(fd);
	rig_free(g);
}

static void who_went_away_is_not_counted(void **state)
{
	struct snap_trial t = trial_of(1000000);
	struct rig *g = trial_rig(rep_echo, rep_hang, &t);
	(void)state;
	for (int i = 0; i < 5; i++) {
		struct linger hard = {1, 0};
		int fd = dial(g);
		put(fd, GET);
		while (g->rep[1].requests <= i)
			usleep(500);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		close(fd);
	}
	while (g->meter->worker[1].connections)
		usleep(500);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new + s.n_old + s.seen + s.rescued, 0);
	assert_int_equal(s.word[JUDGE_ERRORS], 0);
	rig_free(g);
}

static void what_the_edge_answers_by_itself_is_not_counted(void **state)
{
	struct snap_trial t = trial_of(500000);
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	(void)state;
	g->app.body_max = 10;
	rig_publish(g);
	for (int i = 0; i < 20; i++) {
		int fd = dial(g);
		put(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890");
		struct resp *r = hear(fd);
		assert_int_equal(r->status, 413);
		resp_free(r);
		close(fd);
		if (!RIG_H1) continue;
		fd = dial(g);
		put(fd, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
		r = hear(fd);
		assert_int_equal(r->status, 400);
		resp_free(r);
		close(fd);
	}
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new + s.n_old, 0);
	assert_int_equal(s.word[JUDGE_ERRORS], 0);
	rig_free(g);
}

static void failures_of_the_old_release_count_once_however_often_it_is_retried(void **state)
{
	struct snap_trial t = trial_of(0);
	struct rig *g = trial_rig(rep_reset, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	rig_replica_of(g, rep_reset, 1);
	for (int i = 0; i < 10; i++)
		talk(fd, GET, 502, NULL);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_old, 10);
	assert_int_equal(count_old(&s, JUDGE_ERRORS), 10);
	/* Retries stay with the old release. */
	assert_int_equal(g->rep[1].requests, 0);
	assert_true(g->rep[0].requests > 5 && g->rep[2].requests > 5);
	g->rep[2].script = rep_500;
	rig_endpoint(g, 0, SNAP_EP_DOWN);
	talk(fd, GET, 500, "boom");
	s = trial_sum(g);
	assert_int_equal(count_old(&s, JUDGE_ERRORS), 11);
	assert_int_equal(s.seen + s.rescued + count_new(&s, JUDGE_ERRORS), 0);
	close(fd);
	rig_free(g);
}

static void an_arm_without_a_replica_has_failed_and_the_other_one_answers(void **state)
{
	struct snap_trial t = trial_of(1000000);
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	rig_endpoint(g, 1, SNAP_EP_DOWN);
	for (int i = 0; i < 5; i++) {
		talk(fd, GET, 200, "=");
		talk(fd, POST, 200, "=hi");
	}
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new, 10);
	assert_int_equal(count_new(&s, JUDGE_ERRORS), 10);
	assert_int_equal(s.rescued, 10);
	assert_int_equal(s.seen, 0);
	struct meter_failure f;
	assert_true(meter_failure_get(&g->meter->trial[SLOT], 0, ROLLOUT, &f));
	assert_int_equal(f.cause, METER_CAUSE_NO_ENDPOINT);
	/* The same the other way round. */
	rig_endpoint(g, 1, SNAP_EP_UP);
	rig_endpoint(g, 0, SNAP_EP_DOWN);
	t = trial_of(0);
	t.epoch = 2;
	trial_set(g, &t);
	talk(fd, GET, 200, "=");
	s = trial_sum(g);
	assert_int_equal(g->rep[1].requests, 1);
	assert_int_equal(s.n_old, 1);
	assert_int_equal(count_old(&s, JUDGE_ERRORS), 1);
	rig_endpoint(g, 1, SNAP_EP_DOWN);
	talk(fd, GET, 503, NULL);
	close(fd);
	rig_free(g);
}

static void a_request_counts_in_the_epoch_it_was_drawn_in(void **state)
{
	_Atomic bool open = false;
	struct snap_trial t = trial_of(1000000);
	struct rig *g = trial_rig(rep_echo, rep_hang, &t);
	int fd = dial(g), other = dial(g);
	struct meter_trial_sum s;
	(void)state, (void)open;
	put(fd, POST);
	while (g->rep[1].requests == 0)
		usleep(500);
	struct snap_trial next = trial_of(0);
	next.epoch = 2;
	next.cell = CELL + 1;
	trial_set(g, &next);
	talk(other, GET, 200, "=");
	replica_stop(&g->rep[1]);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 502);
	resp_free(r);
	s = trial_sum(g);
	assert_int_equal(s.n_new, 1);
	assert_int_equal(s.n_old, 0);
	assert_int_equal(count_new(&s, JUDGE_ERRORS), 1);
	assert_int_equal(s.seen, 1);
	meter_trial_sum(g->meter, CELL + 1, &s);
	assert_int_equal(s.n_new, 0);
	assert_int_equal(s.n_old, 1);
	assert_int_equal(s.word[JUDGE_ERRORS], 0);
	close(fd);
	close(other);
	rig_free(g);
}

static void a_hang_shows_when_it_is_too_old_not_when_it_ends(void **state)
{
	struct snap_trial t = trial_of(1000000);
	t.slow_new_ns[0] = 100000000;
	t.slow_new_ns[1] = 200000000;
	t.slow_new_ns[2] = 60000000000;
	t.rule_p95_ns = 150000000;
	struct rig *g = trial_rig(rep_echo, rep_hang, &t);
	int fd = dial(g);
	struct meter_trial_sum s;
	(void)state;
	put(fd, GET);
	uint64_t begin = clock_mono_ns();
	do {
		usleep(5000);
		s = trial_sum(g);
	} while (count_new(&s, JUDGE_P95) == 0 && clock_mono_ns() - begin < 5000000000u);
	assert_in_range((clock_mono_ns() - begin) / 1000000, 190, 1500);
	/* It is still in flight, and each metric has it once. */
	usleep(120000);
	s = trial_sum(g);
	assert_int_equal(s.n_new, 1);
	assert_int_equal(count_new(&s, JUDGE_P50), 1);
	assert_int_equal(count_new(&s, JUDGE_P95), 1);
	assert_int_equal(count_new(&s, JUDGE_P99), 0);
	assert_int_equal(count_new(&s, JUDGE_RULE_P95), 1);
	assert_int_equal(count_new(&s, JUDGE_RULE_P95_RATIO), 0);
	assert_int_equal(count_new(&s, JUDGE_ERRORS), 0);
	close(fd);
	rig_free(g);
}

static void a_new_replica_is_not_judged_by_latency_at_first(void **state)
{
	unsigned slow_ms = 30;
	struct snap_trial t = trial_of(1000000);
	t.slow_new_ns[0] = t.slow_old_ns[0] = 10000000;
	t.warm_requests = 5;
	t.warm_ms = 60000;
	struct rig *g = trial_rig(rep_slow, rep_slow, &t);
	int fd = dial(g);
	g->rep[0].arg = g->rep[1].arg = &slow_ms;
	(void)state;
	for (int i = 0; i < 8; i++)
		talk(fd, GET, 200, "slow");
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new, 8);
	assert_int_equal(s.warm_new, 5);
	assert_int_equal(count_new(&s, JUDGE_P50), 3);
	/* A new incarnation is new again. */
	struct snap_endpoint ep;
	assert_true(snap_table_get(g->table, 1, &ep));
	ep.incarnation = 900;
	snap_table_set(g->table, 1, &ep);
	talk(fd, GET, 200, "slow");
	s = trial_sum(g);
	assert_int_equal(s.warm_new, 6);
	/* Nor when its first seconds are over. */
	t.warm_ms = 0;
	t.epoch = 3;
	trial_set(g, &t);
	talk(fd, GET, 200, "slow");
	s = trial_sum(g);
	assert_int_equal(s.warm_new, 6);
	/* The old release has no such grace: that can only favour the new one. */
	t = trial_of(0);
	t.slow_old_ns[0] = 10000000;
	t.warm_requests = 5;
	t.epoch = 2;
	trial_set(g, &t);
	talk(fd, GET, 200, "slow");
	s = trial_sum(g);
	assert_int_equal(count_old(&s, JUDGE_P50), 1);
	close(fd);
	rig_free(g);
}

/* ---- the access log ---- */

static void the_access_log_says_which_arm_and_whether_it_was_rescued(void **state)
{
	struct snap_trial t = trial_of(1000000);
	struct rig *g = trial_rig(rep_echo, rep_500, &t);
	int fd = dial(g);
	char text[8192] = {0};
	(void)state;
	talk(fd, GET, 200, "=");
	t = trial_of(0);
	t.epoch = 2;
	trial_set(g, &t);
	talk(fd, GET, 200, "=");
	trial_set(g, &(struct snap_trial){0});
	talk(fd, GET, 200, "=");
	rig_sync(g);
	size_t n = 0;
	while (memmem(text, n, "\n", 1) == NULL ||
	        !strstr(strchr(strchr(text, '\n') + 1, '\n')
	                        ? strchr(strchr(text, '\n') + 1, '\n') + 1
	                        : "",
	                "\n")) {
		ssize_t k = read(g->log_pipe[0], text + n, sizeof text - 1 - n);
		if (k > 0) n += (size_t)k;
		usleep(1000);
	}
	char *second = strchr(text, '\n') + 1, *third = strchr(second, '\n') + 1;
	second[-1] = third[-1] = 0;
	assert_non_null(strstr(text, "\"arm\":\"new\",\"rollout\":17,\"rescued\":true"));
	assert_non_null(strstr(text, "\"release\":1,"));
	assert_non_null(strstr(second, "\"arm\":\"old\",\"rollout\":17"));
	assert_null(strstr(second, "rescued"));
	assert_null(strstr(third, "\"arm\""));
	close(fd);
	rig_free(g);
}

/* ---- a control that died ---- */

static void a_slot_left_half_written_keeps_the_former_trial(void **state)
{
	struct snap_trial t = trial_of(1000000);
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[1].requests, 1);
	atomic_fetch_add(&g->table->trial[SLOT].seq, 1);
	g->table->trial[SLOT].trial.weight_ppm = 0;
	g->table->trial[SLOT].trial.new_release = 9;
	atomic_fetch_add(&g->table->generation, 1);
	talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[1].requests, 2);
	/* A worker that comes now knows of no trial: endpoints' weights, which are of the old. */
	struct snap_endpoint ep;
	assert_true(snap_table_get(g->table, 1, &ep));
	ep.weight = 0;
	snap_table_set(g->table, 1, &ep);
	struct rig *late = rig_worker(0, 0, g, 0);
	rig_publish(late);
	int fd2 = dial(late);
	for (int i = 0; i < 20; i++)
		talk(fd2, GET, 200, "=");
	assert_int_equal(g->rep[1].requests, 2);
	assert_int_equal(g->rep[0].requests, 20);
	close(fd);
	close(fd2);
	rig_free(late);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_split_is_the_weight_and_chance_alone),
	        cmocka_unit_test(requests_go_by_the_trials_weight_and_no_other),
	        cmocka_unit_test(replayable_only_keeps_the_others_on_the_old_release_uncounted),
	        cmocka_unit_test(rules_by_header_cookie_and_query_force_the_new_release),
	        cmocka_unit_test(a_preview_is_always_the_new_release_or_an_error),
	        cmocka_unit_test(a_signed_cookie_keeps_a_client_on_its_arm_and_is_no_evidence),
	        cmocka_unit_test(a_forged_cookie_chooses_nothing),
	        cmocka_unit_test(client_errors_are_no_failures),
	        cmocka_unit_test(who_went_away_is_not_counted),
	        cmocka_unit_test(what_the_edge_answers_by_itself_is_not_counted),
	        cmocka_unit_test(
	                failures_of_the_old_release_count_once_however_often_it_is_retried),
	        cmocka_unit_test(an_arm_without_a_replica_has_failed_and_the_other_one_answers),
	        cmocka_unit_test(a_request_counts_in_the_epoch_it_was_drawn_in),
	        cmocka_unit_test(a_hang_shows_when_it_is_too_old_not_when_it_ends),
	        cmocka_unit_test(a_new_replica_is_not_judged_by_latency_at_first),
	        cmocka_unit_test(the_access_log_says_which_arm_and_whether_it_was_rescued),
	        cmocka_unit_test(a_slot_left_half_written_keeps_the_former_trial),
	};
	return cmocka_run_group_tests_name("trial", tests, NULL, NULL);
}
