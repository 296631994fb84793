#include "trial_rig.h"

/* Requests until the trial is tripped, at most `max`. */
static int until_tripped(struct rig *g, int fd, const char *what, int max)
{
	for (int i = 0; i < max; i++) {
		if (trial_tripped(g)) return i;
		put(fd, what);
		struct resp *r = hear(fd);
		assert_non_null(r);
		resp_free(r);
	}
	return max;
}

static int by_size(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static uint64_t next_seed;

static void seed_call(struct rig *g)
{
	hg_rand_seed(&g->edge->rand, next_seed);
}

static void a_release_that_fails_every_request_gets_none_from_the_proof_on(void **state)
{
	enum { RUNS = 10 };
	int sum = 0;
	struct snap_trial t = trial_of(100000);
	(void)state;
	for (int run = 0; run < RUNS; run++) {
		struct rig *g = trial_rig(rep_echo, rep_500, &t);
		int fd = dial(g);
		next_seed = 100 + (uint64_t)run;
		rig_do(g, seed_call);
		sum += until_tripped(g, fd, GET, 2000);
		struct meter_trial_sum s = trial_sum(g);
		uint32_t failed = count_new(&s, JUDGE_ERRORS);
		assert_in_range(failed, 3, 5);
		assert_int_equal(s.seen, 0);
		assert_int_equal(s.rescued, failed);
		assert_int_equal(g->rep[1].requests, failed);
		assert_int_equal(g->meter->trial[SLOT].tripped_epoch, 1);
		/* From that very response on. */
		for (int i = 0; i < 50; i++)
			talk(fd, GET, 200, "=");
		assert_int_equal(g->rep[1].requests, failed);
		assert_int_equal(trial_sum(g).n_old, s.n_old);
		close(fd);
		rig_free(g);
	}
	/* Five failures at 10 % take 50 requests on average, with a deviation of 21. */
	assert_true(sum <= RUNS * 50 + 4 * 21 * 4);
}

/* The draw and the judge without the sockets between them. */
static void half_of_all_proofs_take_at_most_fifty_requests(void **state)
{
	enum { RUNS = 2001 };
	static int total[RUNS];
	struct snap_trial t = trial_of(100000);
	struct hg_rand rand;
	(void)state;
	hg_rand_seed(&rand, 6);
	for (int run = 0; run < RUNS; run++) {
		struct judge_evidence now = {0};
		do {
			bool failed = edge_draw_new(hg_rand_u64(&rand), t.weight_ppm);
			now.n_new += failed;
			now.n_old += !failed;
			now.count[JUDGE_ERRORS].c += failed;
			total[run]++;
		} while (judge_decide(&t.lens, &now, NULL) != JUDGE_BAD);
		assert_true(now.n_new <= 5);
	}
	qsort(total, RUNS, sizeof total[0], by_size);
	assert_true(total[RUNS / 2] <= 50);
}

static void a_proof_from_requests_that_cannot_be_repeated_costs_as_little(void **state)
{
	struct snap_trial t = trial_of(100000);
	struct rig *g = trial_rig(rep_echo, rep_500, &t);
	int fd = dial(g);
	(void)state;
	assert_true(until_tripped(g, fd, POST, 2000) < 2000);
	struct meter_trial_sum s = trial_sum(g);
	assert_in_range(s.seen, 3, 5);
	assert_int_equal(s.seen, count_new(&s, JUDGE_ERRORS));
	assert_int_equal(s.unreplayable, s.seen);
	close(fd);
	rig_free(g);
}

static void equal_releases_are_not_condemned(void **state)
{
	struct snap_trial t = trial_of(500000);
	struct rig *g = trial_rig(rep_500, rep_500, &t);
	int fd = dial(g);
	(void)state;
	assert_int_equal(until_tripped(g, fd, POST, 500), 500);
	close(fd);
	rig_free(g);
}

static void without_the_flag_nothing_is_counted_and_nothing_trips(void **state)
{
	struct snap_trial t = trial_of(500000);
	t.flags = SNAP_TRIAL_RESCUE;
	struct rig *g = trial_rig(rep_echo, rep_500, &t);
	int fd = dial(g);
	(void)state;
	assert_int_equal(until_tripped(g, fd, GET, 200), 200);
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.n_new + s.n_old + s.word[JUDGE_ERRORS] + s.seen, 0);
	assert_true(s.rescued > 50);
	close(fd);
	rig_free(g);
}

static void a_trip_beats_weight_rule_and_cookie(void **state)
{
	struct snap_trial t = trial_of(1000000);
	char cookie[256], text[512];
	t.flags |= SNAP_TRIAL_STICKY;
	t.match_count = 1;
	t.match[0] = (struct snap_match){SNAP_MATCH_HEADER, "X-Beta", ""};
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	struct hg_out o = hg_out_over(cookie, sizeof cookie);
	(void)state;
	edge_sticky_write(&t, EDGE_NEW, &o);
	cookie[o.n] = 0;
	*strchr(cookie, ';') = 0;
	snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nCookie: %s\r\n\r\n",
	        strstr(cookie, "hg_arm="));
	for (int tripped = 0; tripped < 2; tripped++) {
		talk(fd, GET, 200, "=");
		talk(fd, text, 200, "=");
		talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nX-Beta: 1\r\n\r\n", 200, "=");
		assert_int_equal(g->rep[1].requests, 3);
		assert_int_equal(g->rep[0].requests, 3 * tripped);
		assert_int_equal(meter_trip(&g->meter->trial[SLOT], ROLLOUT, 1, 1), !tripped);
	}
	talk(fd, "GET / HTTP/1.1\r\nHost: preview\r\n\r\n", 503, NULL);
	close(fd);
	rig_free(g);
}

static void two_workers_share_one_verdict(void **state)
{
	struct snap_trial t = trial_of(100000);
	struct rig *g = trial_rig(rep_echo, rep_500, &t), *h = rig_worker(0, 0, g, 0);
	rig_publish(h);
	int fd[2] = {dial(g), dial(h)}, i = 0;
	(void)state;
	for (; i < 2000 && !trial_tripped(g); i++)
		talk(fd[i % 2], GET, 200, "=");
	assert_true(i < 2000);
	struct meter_trial_sum s = trial_sum(h);
	assert_in_range(count_new(&s, JUDGE_ERRORS), 3, 5);
	assert_int_equal(s.n_new + s.n_old, i);
	assert_true(g->meter->worker[0].trial[CELL].n_old > 0);
	assert_true(g->meter->worker[1].trial[CELL].n_old > 0);
	int before = g->rep[1].requests;
	for (i = 0; i < 100; i++)
		talk(fd[i % 2], GET, 200, "=");
	assert_int_equal(g->rep[1].requests, before);
	close(fd[0]);
	close(fd[1]);
	rig_free(h);
	rig_free(g);
}

static void a_late_worker_cannot_trip_the_next_rollout(void **state)
{
	struct snap_trial t = trial_of(100000);
	struct rig *g = trial_rig(rep_echo, rep_hang, &t);
	int fd[6];
	(void)state;
	/* Six requests of the first rollout hang on the new release. */
	for (int n = 0; n < 6;) {
		fd[n] = dial(g);
		put(fd[n], POST);
		struct pollfd p = {.fd = fd[n], .events = POLLIN};
		int before = n;
		while (g->rep[1].requests == before && poll(&p, 1, 1) == 0)
			;
		if (g->rep[1].requests > before) {
			n++;
			continue;
		}
		resp_free(hear(fd[n]));
		close(fd[n]);
	}
	struct snap_trial next = trial_of(100000);
	next.rollout = ROLLOUT + 1;
	trial_set(g, &next);
	replica_stop(&g->rep[1]);
	for (int n = 0; n < 6; n++) {
		struct resp *r = hear(fd[n]);
		assert_int_equal(r->status, 502);
		resp_free(r);
		close(fd[n]);
	}
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(count_new(&s, JUDGE_ERRORS), 6);
	assert_false(meter_tripped(&g->meter->trial[SLOT], ROLLOUT));
	assert_true(meter_trip(&g->meter->trial[SLOT], ROLLOUT, 1, 1));
	assert_false(meter_tripped(&g->meter->trial[SLOT], ROLLOUT + 1));
	rig_free(g);
}

/* What control does ten times a second: takes in what was counted, and publishes the lens. */
static void tick(struct rig *g, struct snap_trial *t, struct judge *j)
{
	struct meter_trial_sum s = trial_sum(g);
	struct judge_evidence e = {.n_new = s.n_new, .n_old = s.n_old};
	for (unsigned m = 0; m < JUDGE_METRICS; m++)
		e.count[m] = (struct judge_count){
		        count_new(&s, (enum judge_metric)m), count_old(&s, (enum judge_metric)m)};
	judge_tune(j, &e);
	t->lens = j->lens;
	trial_set(g, t);
}

static void releases_that_hang_are_found_while_they_hang(void **state)
{
	struct snap_trial t = trial_of(500000);
	struct judge j;
	judge_init(&j, &(struct judge_rules){.alpha = 0.001});
	judge_epoch(&j, 0.5, NULL);
	for (int i = 0; i < SNAP_TRIAL_LEVELS; i++)
		t.slow_old_ns[i] = t.slow_new_ns[i] = 200000000u + 1000000u * (uint32_t)i;
	struct rig *g = trial_rig(rep_echo, rep_hang, &t);
	int fd[300], n = 0;
	(void)state;
	/* One moment of them is no proof, it may be a replica without CPU: some ticks are. */
	for (int ticks = 0; n < 300 && !trial_tripped(g); ticks++) {
		for (int i = 0; i < 5; i++, n++) {
			fd[n] = dial(g);
			put(fd[n], POST);
		}
		usleep(50000);
		tick(g, &t, &j);
		if (ticks < 6) assert_false(trial_tripped(g));
	}
	assert_true(trial_tripped(g));
	struct meter_trial_sum s = trial_sum(g);
	assert_int_equal(s.word[JUDGE_ERRORS], 0);
	assert_true(count_new(&s, JUDGE_P50) >= 3);
	assert_int_equal(count_old(&s, JUDGE_P50), 0);
	while (n)
		close(fd[--n]);
	rig_free(g);
}

static void the_proof_needs_no_control(void **state)
{
	struct snap_trial t = trial_of(100000);
	struct rig *g = trial_rig(rep_echo, rep_reset, &t);
	int fd = dial(g);
	(void)state;
	talk(fd, GET, 200, "=");
	/* Control died while it wrote, and nobody writes any more. */
	atomic_fetch_add(&g->table->trial[SLOT].seq, 1);
	assert_true(until_tripped(g, fd, GET, 2000) < 2000);
	struct meter_trial_sum s = trial_sum(g);
	assert_in_range(count_new(&s, JUDGE_ERRORS), 3, 5);
	assert_int_equal(s.seen, 0);
	close(fd);
	rig_free(g);
}

static void counters_of_an_earlier_use_of_the_cell_are_taken_off(void **state)
{
	struct snap_trial t = trial_of(100000);
	(void)state;
	/* A trial whose bases are right is judged from its own events; with wrong ones, at once. */
	for (int right = 1; right >= 0; right--) {
		t.base_word[JUDGE_ERRORS] = right ? (uint64_t)50 << 32 | 7 : 0;
		t.base_new = right ? 100 : 0;
		t.base_old = right ? 900 : 0;
		struct rig *g = rig_bare(0, 0);
		atomic_store(&g->meter->cell[CELL].word[JUDGE_ERRORS], (uint64_t)50 << 32 | 7);
		atomic_store(&g->meter->worker[0].trial[CELL].n_new, 100);
		atomic_store(&g->meter->worker[0].trial[CELL].n_old, 900);
		rig_replica_of(g, rep_echo, 1);
		rig_replica_of(g, rep_500, 2);
		trial_set(g, &t);
		rig_publish(g);
		int fd = dial(g);
		assert_true(until_tripped(g, fd, GET, 2000) < 2000);
		if (right) assert_in_range(g->rep[1].requests, 3, 5);
		if (!right) assert_int_equal(g->rep[1].requests, 1);
		close(fd);
		rig_free(g);
	}
}

static void epochs_that_are_over_give_their_place_back(void **state)
{
	struct snap_trial t = trial_of(100000);
	struct rig *g = trial_rig(rep_echo, rep_echo, &t);
	int fd = dial(g);
	(void)state;
	for (uint32_t epoch = 1; epoch < 400; epoch++) {
		t.epoch = epoch;
		t.cell = epoch % SNAP_CELLS;
		trial_set(g, &t);
		t.lens.rest *= 0.99;
		trial_set(g, &t); /* the same epoch, another lens */
		talk(fd, GET, 200, "=");
	}
	rig_sync(g);
	assert_int_equal(g->edge->trials.used, 1);
	assert_true(g->edge->trials.most <= 2);
	assert_int_equal(g->edge->draws.used, 0);
	close(fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_release_that_fails_every_request_gets_none_from_the_proof_on),
	        cmocka_unit_test(half_of_all_proofs_take_at_most_fifty_requests),
	        cmocka_unit_test(a_proof_from_requests_that_cannot_be_repeated_costs_as_little),
	        cmocka_unit_test(equal_releases_are_not_condemned),
	        cmocka_unit_test(without_the_flag_nothing_is_counted_and_nothing_trips),
	        cmocka_unit_test(a_trip_beats_weight_rule_and_cookie),
	        cmocka_unit_test(two_workers_share_one_verdict),
	        cmocka_unit_test(a_late_worker_cannot_trip_the_next_rollout),
	        cmocka_unit_test(releases_that_hang_are_found_while_they_hang),
	        cmocka_unit_test(the_proof_needs_no_control),
	        cmocka_unit_test(counters_of_an_earlier_use_of_the_cell_are_taken_off),
	        cmocka_unit_test(epochs_that_are_over_give_their_place_back),
	};
	return cmocka_run_group_tests_name("trial_verdict", tests, NULL, NULL);
}
