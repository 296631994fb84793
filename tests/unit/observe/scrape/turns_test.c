/* Answers that cost much: nobody else on the loop waits for them for long, and what is refused is
 * told. */
#include "../../test.h"

#include <time.h>

#include "observe/scrape/scrape.c"

#include "world.h"

static unsigned turns_until_taken(struct world *w, const struct target *t)
{
	unsigned turns = 0;
	for (; busy(t); turns++)
		assert_int_equal(loop_turn(w->loop, 1000), HG_OK);
	return turns;
}

static void a_gzip_bomb_does_not_stop_the_loop(void **s)
{
	struct world w;
	struct hg_buf body;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	hg_buf_init(&body, 1 << 20);
	zip(&body, 60 << 20, 0);
	assert_true(body.n < 64 << 10);
	say_gzip(&w, hg_buf_view(&body));
	struct target *t = first(&w);
	clock_ms = t->plan.due_ms;
	loop_timer_stop(w.loop, &t->timer);
	ask(t);
	/* All 60 MiB come out of less than 64 KiB, which are read in one turn if nothing stops it:
	 * it is five turns altogether then. Of 5 ms each they are a dozen and more. */
	unsigned turns = 0;
	for (; t->get.flight; turns++)
		assert_int_equal(loop_turn(w.loop, 1000), HG_OK);
	print_message("60 MiB of gzip in %u turns\n", turns);
	assert_true(turns > 10);
	(void)turns_until_taken(&w, t);
	assert_int_equal(t->health, SCRAPE_UP);
	hg_buf_free(&body);
	world_free(&w);
}

/* Begins a scrape and goes on until its answer has been read and is being taken in. */
static struct target *until_taking(struct world *w)
{
	struct target *t = first(w);
	clock_ms = t->plan.due_ms;
	loop_timer_stop(w->loop, &t->timer);
	ask(t);
	while (t->get.flight)
		assert_int_equal(loop_turn(w->loop, 1000), HG_OK);
	return t;
}

static void many_new_series(struct world *w, unsigned n, const char *end)
{
	struct hg_buf b;
	hg_buf_init(&b, 32 << 20);
	for (unsigned i = 0; i < n; i++)
		hg_buf_fmt(&b, "m{x=\"%u\"} %u\n", i, i);
	hg_buf_cstr(&b, end);
	say(w, TEXT, hg_buf_text(&b));
	hg_buf_free(&b);
}

static void a_large_answer_is_taken_in_turns(void **s)
{
	struct world w;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	many_new_series(&w, 200000, "");
	struct target *t = until_taking(&w);
	/* That is a third of a second of work, in pieces of 5 ms. */
	assert_true(busy(t) && loop_timer_active(&w.scrape->taking));
	assert_int_equal(t->health, SCRAPE_UNKNOWN);
	assert_true(turns_until_taken(&w, t) > 5);
	assert_int_equal(t->health, SCRAPE_UP);
	assert_int_equal(t->samples, 200000);
	assert_int_equal(w.scrape->stats.samples, 200000);
	/* What is wrong at its end spoils all of it, though it was read in turns. */
	many_new_series(&w, 200000, "y 1\nwrong\n");
	t = until_taking(&w);
	(void)turns_until_taken(&w, t);
	assert_int_equal(t->health, SCRAPE_DOWN);
	has(&w, "y", t->t_ms, "");
	assert_int_equal(t->series.used, 200000);
	world_free(&w);
}

static void a_target_may_leave_while_its_answer_is_taken_in(void **s)
{
	for (unsigned stage = 0; stage < 3; stage++) {
		struct world w;
		struct hg_err err;
		(void)s;
		world_new(&w, "127.0.0.1:0");
		apply(&w);
		many_new_series(&w, 200000, "");
		struct target *t = until_taking(&w);
		/* The last time round all is given back in the middle. */
		while (stage && w.scrape->intake.reading.stage < INTAKE_APPENDING)
			assert_int_equal(loop_turn(w.loop, 1000), HG_OK);
		assert_true(busy(t));
		if (stage < 2) {
			assert_int_equal(scrape_apply(w.scrape, NULL, 0, &err), HG_OK);
			assert_true(t->state == TARGET_LEAVING && !busy(t));
			assert_null(w.scrape->intake.reading.t);
			clock_ms = t->end.act_ms;
			loop_timer_stop(w.loop, &t->timer);
			on_timer(w.loop, &t->timer);
			assert_int_equal(w.scrape->target_n, 0);
			has(&w, "m", clock_ms, "");
		}
		world_free(&w);
	}
}

static void a_series_that_the_store_refuses_is_asked_for_once_a_minute(void **s)
{
	struct world w;
	struct tsdb_options few = {.memory_bytes = 64 << 20, .series_per_app = 10};
	char log[4096] = "";
	int pipe_[2];
	(void)s;
	assert_int_equal(pipe(pipe_), 0);
	struct hg_log to = {
	        .fd = pipe_[1], .least = HG_INFO, .who = "test", .wall_ms = clock_wall_ms};
	world_new(&w, "127.0.0.1:0");
	w.scrape->o.log = &to;
	tsdb_limits(w.db, &few);
	w.job.interval_ms = w.job.timeout_ms = 15000;
	apply(&w);
	many_new_series(&w, 100, "");
	for (unsigned i = 0; i < 8; i++)
		(void)once(&w);
	/* 90 and more samples are refused each time; that is said once, with the reason. */
	uint64_t refused = w.scrape->stats.refused_samples;
	assert_true(refused >= 8 * 90 && refused <= 8 * 95);
	assert_true(w.scrape->stats.refused_series < 2 * 100 + 5 * 8 + 1);
	assert_int_equal(first(&w)->health, SCRAPE_UP);
	/* When there is room again, it takes a minute. */
	few.series_per_app = 1000;
	tsdb_limits(w.db, &few);
	for (unsigned i = 0; i < 5; i++)
		(void)once(&w);
	refused = w.scrape->stats.refused_samples;
	(void)once(&w);
	assert_int_equal(w.scrape->stats.refused_samples, refused);
	close(pipe_[1]);
	assert_true(read(pipe_[0], log, sizeof log - 1) > 0);
	close(pipe_[0]);
	const char *line = strstr(log, "scrape.refused");
	assert_non_null(line);
	assert_null(strstr(line + 1, "scrape.refused"));
	assert_non_null(strstr(line, "has its 10 series"));
	assert_non_null(strstr(line, "the most values"));
	world_free(&w);
}

/* `n` labels, names of seven bytes in no order; `more` stands behind them. */
static void wide(struct hg_buf *to, unsigned series, unsigned n, const char *more)
{
	hg_buf_fmt(to, "m%u{", series);
	for (unsigned i = 0; i < n; i++)
		hg_buf_fmt(to, "l%06x=\"1\",", (i * 40503u) & 0xffffff);
	hg_buf_fmt(to, "%s} 1\n", more);
}

/* CPU time of a scrape of `series` new ones with `n` labels each. */
static double cost(struct world *w, unsigned series, unsigned n)
{
	struct hg_buf b;
	struct timespec began, ended;
	hg_buf_init(&b, 32 << 20);
	for (unsigned i = 0; i < series; i++)
		wide(&b, i, n, "");
	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began), 0);
	has(w, "up", scraped(w, hg_buf_text(&b)), "{instance=\"i\", job=\"j\"} 1;");
	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended), 0);
	hg_buf_free(&b);
	return (double)(ended.tv_sec - began.tv_sec) +
	       (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
}

static void series_with_very_many_labels_cost_little_and_are_told_of(void **s)
{
	struct world w;
	struct hg_buf b;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	hg_buf_init(&b, 32 << 20);
	/* As many labels altogether. */
	double few = cost(&w, 30000, 10), many = cost(&w, 300, 1000);
	print_message("300,000 labels, ten a series: %.3f s, a thousand: %.3f s\n", few, many);
	assert_true(many < 3 * few);
	hg_buf_reset(&b);
	wide(&b, 7, 1000, "l000000=\"2\"");
	(void)scraped(&w, hg_buf_text(&b));
	assert_non_null(strstr(first(&w)->why, "the label \"l000000\" is there twice in m7{"));
	hg_buf_reset(&b);
	wide(&b, 8, 200000, "");
	(void)scraped(&w, hg_buf_text(&b));
	assert_non_null(strstr(first(&w)->why, "a series has more than 1024 labels: m8{l000000="));
	/* With the target's own it is one too many. */
	hg_buf_reset(&b);
	wide(&b, 9, 1022, "");
	(void)scraped(&w, hg_buf_text(&b));
	assert_non_null(strstr(first(&w)->why, "a series has more than 1024 labels: m9{"));
	hg_buf_reset(&b);
	hg_buf_cstr(&b, "big{x=\"\\n");
	for (unsigned i = 0; i < 500000; i++)
		hg_buf_cstr(&b, "0123456789");
	hg_buf_cstr(&b, "\"} 1\n");
	(void)scraped(&w, hg_buf_text(&b));
	assert_non_null(
	        strstr(first(&w)->why, "the labels of a series need more than 4 MiB: big{"));
	hg_buf_free(&b);
	world_free(&w);
}

/* Walking them by number would take a second: each step went from the start. */
static void ten_thousand_targets_are_listed_at_once(void **s)
{
	enum { N = 10000 };
	struct world w;
	struct scrape_status st;
	struct timespec began, ended;
	size_t at = 0;
	unsigned n = 0;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	struct scrape_target_conf *t = calloc(N, sizeof *t);
	struct label(*l)[2] = calloc(N, sizeof *l);
	char(*name)[16] = calloc(N, sizeof *name);
	assert_true(t && l && name);
	for (unsigned i = 0; i < N; i++) {
		(void)snprintf(name[i], sizeof name[i], "i%u", i);
		l[i][0] = w.label[0];
		l[i][1] = (struct label){HG_STR("instance"), hg_str(name[i])};
		t[i].labels = (struct labels){l[i], 2};
	}
	w.job.targets = t;
	w.job.target_n = N;
	apply(&w);
	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began), 0);
	for (; scrape_status_next(w.scrape, &at, &st); n++)
		assert_true(st.labels.n == 2 && st.health == SCRAPE_UNKNOWN);
	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended), 0);
	assert_int_equal(n, N);
	assert_false(scrape_status_next(w.scrape, &at, &st));
	double took = (double)(ended.tv_sec - began.tv_sec) * 1e3 +
	              (double)(ended.tv_nsec - began.tv_nsec) / 1e6;
	print_message("10,000 targets listed in %.1f ms\n", took);
	assert_true(took < 50);
	world_free(&w);
	free(t);
	free(l);
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_large_answer_is_taken_in_turns),
	        cmocka_unit_test(a_target_may_leave_while_its_answer_is_taken_in),
	        cmocka_unit_test(a_series_that_the_store_refuses_is_asked_for_once_a_minute),
	        cmocka_unit_test(series_with_very_many_labels_cost_little_and_are_told_of),
	        cmocka_unit_test(a_gzip_bomb_does_not_stop_the_loop),
	        cmocka_unit_test(ten_thousand_targets_are_listed_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
