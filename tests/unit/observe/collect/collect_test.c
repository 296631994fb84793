/* The collector over a meter, a table, a board and an image in ordinary memory. */
#include "tests/unit/observe/collect/shelf.h"

#include "observe/collect/collect.c"
#include "observe/collect/round.c"

#include <unistd.h>

struct world {
	struct loop *loop;
	struct tsdb *db;
	struct meter *m;
	struct snap_table *table;
	struct board *board;
	const struct snap_image *image;
	struct hg_log log;
	struct collect *c;
};

static int64_t clock_ms;

static int64_t now_ms(void)
{
	return clock_ms;
}

static void own(void *arg, struct hg_buf *to)
{
	(void)arg;
	hg_buf_cstr(to, "headgate_own 7\n");
}

/* Apps web (id 7, routes / and /x, releases 1 and, if `second`, 2) and idle (id 9). */
static const struct snap_image *image_make(bool second)
{
	static const struct snap_in_app apps[] = {
	        {.name = {"web", 3}, .fixed = {.id = 7, .fast_ms = 60}},
	        {.name = {"idle", 4}, .fixed = {.id = 9}},
	};
	static const struct snap_in_lane lanes[] = {{1, 10}, {2, 20}, {1, 11}, {2, 21}, {1, 12}};
	const struct snap_in_route routes[] = {
	        {.host = HG_STR("a"),
	                .path = HG_STR("/"),
	                .name = HG_STR("a/"),
	                .app = 0,
	                .lanes = lanes,
	                .lane_count = second ? 2 : 1,
	                .lane_none = 1},
	        {.host = HG_STR("a"),
	                .path = HG_STR("/x"),
	                .name = HG_STR("a/x"),
	                .app = 0,
	                .lanes = lanes + 2,
	                .lane_count = second ? 2 : 1,
	                .lane_none = 2},
	        {.host = HG_STR("b"),
	                .path = HG_STR("/"),
	                .name = HG_STR("b/"),
	                .app = 1,
	                .lanes = lanes + 4,
	                .lane_count = 1,
	                .lane_none = 3},
	};
	const struct snap_in in = {.generation = 1,
	        .apps = apps,
	        .app_count = 2,
	        .routes = routes,
	        .route_count = 3,
	        .via = HG_STR("x")};
	const struct snap_image *i;
	struct hg_err err = {0};
	int fd;
	assert_int_equal(snap_build(&in, &fd, &err), HG_OK);
	assert_int_equal(snap_map(fd, &i), HG_OK);
	close(fd);
	return i;
}

static void world_start(struct world *w)
{
	struct hg_err err = {0};
	const struct collect_options o = {.loop = w->loop,
	        .db = w->db,
	        .meter = w->m,
	        .table = w->table,
	        .board = w->board,
	        .now_ms = now_ms,
	        .log = &w->log,
	        .data_dir = "/tmp",
	        .warden_pid = 1,
	        .own = own};
	assert_int_equal(collect_new(&o, &w->c, &err), HG_OK);
	collect_image(w->c, w->image);
}

static void world_init(struct world *w)
{
	*w = (struct world){.log = {.fd = -1, .least = HG_ERROR, .who = "test"}};
	clock_ms = 1000000;
	assert_int_equal(loop_new(&w->loop), HG_OK);
	w->db = shelf_open(0);
	w->m = calloc(1, meter_size(2));
	w->table = calloc(1, sizeof *w->table);
	w->board = calloc(1, sizeof *w->board);
	assert_non_null(w->m);
	assert_non_null(w->table);
	assert_non_null(w->board);
	meter_init(w->m, 2);
	snap_table_init(w->table);
	board_init(w->board);
	w->image = image_make(false);
	world_start(w);
}

static void world_fini(struct world *w)
{
	collect_free(w->c);
	tsdb_close(w->db);
	snap_unmap(w->image);
	loop_free(w->loop);
	free(w->m);
	free(w->table);
	free(w->board);
}

static void look(struct world *w, int64_t t)
{
	clock_ms = t;
	collect_last(w->c);
}

static void request(struct world *w, uint32_t worker, uint32_t lane, unsigned code, uint64_t ms)
{
	meter_observe(meter_lane_of(&w->m->worker[worker], lane), code, ms * 1000000);
}

static void test_every_series_is_there_with_zero_before_anything_happens(void **state)
{
	static const char *const wanted[] = {
	        "headgate_requests_total{app=\"web\", code=\"200\", release=\"1\", route=\"a/\"}",
	        "headgate_requests_total{app=\"web\", code=\"503\", release=\"0\", route=\"a/x\"}",
	        "headgate_requests_total{app=\"idle\", code=\"500\", release=\"1\", route=\"b/\"}",
	        "headgate_request_duration_seconds_bucket{app=\"web\", le=\"0.05\", release=\"1\"}",
	        "headgate_request_duration_seconds_bucket{app=\"web\", le=\"0.06\", release=\"1\"}",
	        "headgate_request_duration_seconds_bucket{app=\"idle\", le=\"1.0\", release=\"1\"}",
	        "headgate_request_duration_seconds_bucket{app=\"web\", le=\"+Inf\", release=\"1\"}",
	        "headgate_request_duration_seconds_count{app=\"web\", release=\"1\"}",
	        "headgate_upstream_attempts_total{app=\"web\", release=\"1\"}",
	        "headgate_upstream_retries_total{app=\"web\", release=\"1\"}",
	        "headgate_edge_accepted_total{worker=\"1\"}",
	        "headgate_edge_breaker_open{app=\"idle\"}",
	        "headgate_edge_tls_failure_reasons_total{reason=\"alpn\"}",
	};
	struct world w;
	(void)state;
	world_init(&w);
	look(&w, 1005000);
	for (size_t i = 0; i < HG_COUNT(wanted); i++)
		if (strcmp(shelf(w.db, wanted[i]), "1005000=0") != 0)
			fail_msg("%s: %s", wanted[i], shelf(w.db, wanted[i]));
	/* idle has no objective, and no edge of its own. */
	assert_shelf(w.db,
	        "headgate_request_duration_seconds_bucket{app=\"idle\", le=\"0.06\", "
	        "release=\"1\"}",
	        "none");
	assert_shelf(w.db, "headgate_own", "1005000=7");
	world_fini(&w);
}

static void test_counts_are_those_of_all_workers_and_new_codes_begin_with_zero(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	look(&w, 1005000);
	request(&w, 0, 10, 200, 10);
	request(&w, 1, 10, 200, 60);
	request(&w, 1, 10, 418, 70);
	request(&w, 0, 11, 200, 70);
	look(&w, 1010000);
	assert_shelf(w.db,
	        "headgate_requests_total{app=\"web\", code=\"200\", release=\"1\", route=\"a/\"}",
	        "1005000=0 1010000=2");
	assert_shelf(w.db,
	        "headgate_requests_total{app=\"web\", code=\"418\", release=\"1\", route=\"a/\"}",
	        "1005001=0 1010000=1");
	assert_shelf(w.db, "headgate_request_duration_seconds_count{app=\"web\", release=\"1\"}",
	        "1005000=0 1010000=4");
	/* A new observe knows nothing of before: what it finds is no rise. */
	collect_free(w.c);
	request(&w, 0, 10, 404, 1);
	request(&w, 0, 10, 409, 1);
	world_start(&w);
	look(&w, 1015000);
	assert_shelf(w.db,
	        "headgate_requests_total{app=\"web\", code=\"418\", release=\"1\", route=\"a/\"}",
	        "1005001=0 1010000=1 1015000=1");
	assert_shelf(w.db,
	        "headgate_requests_total{app=\"web\", code=\"409\", release=\"1\", route=\"a/\"}",
	        "1015000=1");
	world_fini(&w);
}

static void test_a_release_that_goes_ends_and_one_that_comes_back_does_not_jump(void **state)
{
	static const char second[] =
	        "headgate_requests_total{app=\"web\", code=\"409\", release=\"2\", route=\"a/\"}";
	struct world w;
	(void)state;
	world_init(&w);
	const struct snap_image *one = w.image, *two = image_make(true);
	look(&w, 1005000);
	collect_image(w.c, two);
	look(&w, 1010000);
	request(&w, 0, 20, 409, 5);
	look(&w, 1015000);
	collect_image(w.c, one);
	look(&w, 1020000);
	assert_shelf(w.db, second, "1010001=0 1015000=1 1020000=stale");
	/* Stragglers, and the way back. */
	request(&w, 0, 20, 409, 5);
	look(&w, 1025000);
	collect_image(w.c, two);
	look(&w, 1030000);
	assert_shelf(w.db, second, "1010001=0 1015000=1 1020000=stale 1030000=2");
	collect_image(w.c, one);
	snap_unmap(two);
	world_fini(&w);
}

static void replica_at(struct world *w, uint32_t slot, uint32_t replica, uint64_t base)
{
	struct meter_replica_sum sum;
	meter_replica_sum(w->m, slot, &sum);
	assert_int_equal(sum.count, base);
	board_base_set(w->board, slot, &sum, clock_mono_ms() + 1);
	const struct snap_endpoint e = {
	        .state = SNAP_EP_UP, .app = 7, .release = 1, .replica = replica};
	snap_table_set(w->table, slot, &e);
}

static void test_a_replica_counts_what_it_answered_and_not_its_predecessors(void **state)
{
	static const char name[] =
	        "headgate_replica_requests_total{app=\"web\", release=\"1\", replica=\"2\"}";
	struct world w;
	(void)state;
	world_init(&w);
	meter_observe_replica(&w.m->worker[0].replica[5], 200, 1000000);
	meter_observe_replica(&w.m->worker[1].replica[5], 200, 1000000);
	look(&w, 1005000);
	replica_at(&w, 5, 2, 2);
	meter_observe_replica(&w.m->worker[1].replica[5], 500, 1000000);
	look(&w, 1010000);
	assert_shelf(w.db, name, "1005001=0 1010000=1");
	/* It ends, and starts again at another place that has counted more. */
	snap_table_set(w.table, 5, &(struct snap_endpoint){0});
	look(&w, 1015000);
	for (int i = 0; i < 9; i++)
		meter_observe_replica(&w.m->worker[0].replica[6], 200, 1000000);
	replica_at(&w, 6, 2, 9);
	look(&w, 1020000);
	assert_shelf(w.db, name, "1005001=0 1010000=1 1015000=stale 1020000=0");
	assert_shelf(w.db,
	        "headgate_replica_errors_total{app=\"web\", release=\"1\", replica=\"2\"}",
	        "1005001=0 1010000=1 1015000=stale 1020000=0");
	world_fini(&w);
}

static void test_the_board_outlives_control_for_a_minute(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	board_write(w.board, HG_STR("headgate_replica_up{app=\"web\"} 1\n"), 77, clock_mono_ms());
	look(&w, 1005000);
	assert_shelf(w.db, "headgate_replica_up{app=\"web\"}", "1005000=1");
	assert_int_equal(w.c->look.control_pid, 77);
	/* Nobody writes: it stays. */
	look(&w, 1010000);
	assert_shelf(w.db, "headgate_replica_up{app=\"web\"}", "1005000=1 1010000=1");
	/* Half a page: nothing ends. */
	board_write(w.board, HG_STR("headgate_replica_up{app="), 77, clock_mono_ms());
	look(&w, 1015000);
	assert_int_equal(w.c->bad_pages, 1);
	/* Too long ago. */
	uint64_t long_ago = clock_mono_ms() - COLLECT_BOARD_MS - 1000;
	board_write(w.board, HG_STR("headgate_replica_up{app=\"web\"} 1\n"), 77, long_ago);
	look(&w, 1020000);
	look(&w, 1025000);
	assert_shelf(w.db, "headgate_replica_up{app=\"web\"}", "1005000=1 1010000=1 1020000=stale");
	/* The next control. */
	board_write(w.board, HG_STR("headgate_replica_up{app=\"web\"} 0\n"), 78, clock_mono_ms());
	look(&w, 1030000);
	assert_shelf(w.db, "headgate_replica_up{app=\"web\"}",
	        "1005000=1 1010000=1 1020000=stale 1030000=0");
	world_fini(&w);
}

static void test_looks_in_the_same_moment_have_times_of_their_own(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	look(&w, 1005000);
	request(&w, 0, 10, 200, 1);
	look(&w, 1005000);
	assert_shelf(w.db,
	        "headgate_requests_total{app=\"web\", code=\"200\", release=\"1\", route=\"a/\"}",
	        "1005000=0 1005001=1");
	for (size_t i = 0; i < SOURCES; i++)
		assert_int_equal(w.c->in[i].refused, 0);
	world_fini(&w);
}

static void test_replicas_and_targets_are_asked(void **state)
{
	static const struct observe_conf_app apps[] = {{.id = 7,
	        .name = {"web", 3},
	        .path = {"/metrics", 8},
	        .interval_ms = 1000,
	        .timeout_ms = 500,
	        .sample_limit = 10}};
	static const struct observe_conf_label labels[] = {{{"zone", 4}, {"a", 1}}};
	static const struct observe_conf_target targets[] = {{.job = {"node", 4},
	        .address = {"127.0.0.1:1", 11},
	        .path = {"/metrics", 8},
	        .interval_ms = 2000,
	        .timeout_ms = 10000, /* cut to the interval: one target must not stop them all */
	        .labels = labels,
	        .label_n = 1}};
	const struct observe_conf conf = {
	        .apps = apps, .app_n = 1, .targets = targets, .target_n = 1};
	struct world w;
	struct scrape_stats st;
	struct scrape_status at;
	size_t i = 0;
	(void)state;
	world_init(&w);
	collect_tick(w.c, 1000); /* nothing is known yet */
	scrape_stats(w.c->scrape, &st);
	assert_int_equal(st.targets, 0);
	collect_conf(w.c, &conf);
	collect_tick(w.c, 1250);
	scrape_stats(w.c->scrape, &st);
	assert_int_equal(st.targets, 1);
	const struct snap_endpoint e = {.state = SNAP_EP_UP,
	        .app = 7,
	        .release = 3,
	        .replica = 1,
	        .family = AF_INET,
	        .ip4 = 0x7f000001,
	        .port = 1};
	snap_table_set(w.table, 0, &e);
	collect_tick(w.c, 1500); /* not twice within a second */
	scrape_stats(w.c->scrape, &st);
	assert_int_equal(st.targets, 1);
	collect_tick(w.c, 2250);
	scrape_stats(w.c->scrape, &st);
	assert_int_equal(st.targets, 2);
	bool node = false, web = false;
	while (scrape_status_next(w.c->scrape, &i, &at)) {
		struct hg_buf text;
		hg_buf_init(&text, 4096);
		labels_print(&text, at.labels);
		node |= strcmp(hg_buf_text(&text),
		                "{instance=\"127.0.0.1:1\", job=\"node\", zone=\"a\"}") == 0;
		if (strcmp(hg_buf_text(&text),
		            "{app=\"web\", instance=\"web/1\", job=\"web\", release=\"3\", "
		            "replica=\"1\"}") == 0) {
			web = true;
			assert_int_equal(at.interval_ms, 1000);
			assert_int_equal(at.timeout_ms, 500);
		}
		hg_buf_free(&text);
	}
	assert_true(node);
	assert_true(web);
	world_fini(&w);
}

#define THOUSAND 1000u

/* As many apps as there may be, each with a replica, and all of them asked. */
static const struct snap_image *thousand_make(struct world *w)
{
	static struct snap_in_app apps[THOUSAND];
	static struct snap_in_route routes[THOUSAND];
	static struct snap_in_lane lanes[THOUSAND];
	static char names[THOUSAND][16];
	struct hg_err err = {0};
	for (uint32_t i = 0; i < THOUSAND; i++) {
		snprintf(names[i], sizeof names[i], "app-%u", i);
		apps[i] = (struct snap_in_app){.name = hg_str(names[i]), .fixed = {.id = 100 + i}};
		lanes[i] = (struct snap_in_lane){1, 2 * i + 1};
		routes[i] = (struct snap_in_route){.host = hg_str(names[i]),
		        .path = HG_STR("/"),
		        .name = hg_str(names[i]),
		        .app = i,
		        .lanes = &lanes[i],
		        .lane_count = 1,
		        .lane_none = 2 * i};
		request(w, i % 2, 2 * i + 1, 200, i);
		const struct snap_endpoint e = {
		        .state = SNAP_EP_UP, .app = 100 + i, .release = 1, .replica = 1};
		snap_table_set(w->table, i, &e);
	}
	const struct snap_in in = {.generation = 2,
	        .apps = apps,
	        .app_count = THOUSAND,
	        .routes = routes,
	        .route_count = THOUSAND,
	        .via = HG_STR("x")};
	const struct snap_image *image;
	int fd;
	assert_int_equal(snap_build(&in, &fd, &err), HG_OK);
	assert_int_equal(snap_map(fd, &image), HG_OK);
	close(fd);
	return image;
}

static void test_a_thousand_apps_are_looked_at(void **state)
{
	enum { N = THOUSAND };
	struct world w;
	struct tsdb_stats st;
	(void)state;
	world_init(&w);
	const struct snap_image *image = thousand_make(&w);
	collect_image(w.c, image);
	look(&w, 1005000);
	double first_ms = (double)w.c->took_ns / 1e6;
	for (int64_t t = 1010000; t <= 1100000; t += 5000) {
		for (uint32_t i = 0; i < N; i += 3)
			request(&w, 0, 2 * i + 1, 200, i);
		look(&w, t);
	}
	tsdb_stats(w.db, &st);
	print_message("# %u series, %.1f MiB; first look %.1f ms, the last one %.1f ms\n",
	        w.c->in[FROM_METER].n, (double)st.memory_bytes / 1048576, first_ms,
	        (double)w.c->took_ns / 1e6);
	for (size_t i = 0; i < SOURCES; i++)
		assert_int_equal(w.c->in[i].refused, 0);
	assert_true(w.c->in[FROM_METER].n > 60 * N);
	const char *text = shelf(
	        w.db, "headgate_request_duration_seconds_count{app=\"app-999\", release=\"1\"}");
	const char *last = strrchr(text, ' ');
	assert_non_null(last);
	assert_string_equal(last, " 1100000=20"); /* one, and 19 that every third app got */
	collect_image(w.c, w.image);
	snap_unmap(image);
	world_fini(&w);
}

/* A turn of the loop; what is due is done, nothing is waited for. */
static void turn(struct world *w)
{
	assert_int_equal(loop_turn(w->loop, 1), HG_OK);
}

static void test_a_first_look_takes_turns_and_leaves_no_gap(void **state)
{
	static const char count[] =
	        "headgate_request_duration_seconds_count{app=\"app-999\", release=\"1\"}";
	struct world w;
	struct hg_buf page;
	unsigned turns = 0;
	(void)state;
	world_init(&w);
	const struct snap_image *image = thousand_make(&w);
	/* Control knows as many series. */
	hg_buf_init(&page, 1 << 20);
	for (unsigned i = 0; i < 10000; i++)
		hg_buf_fmt(&page, "of_the_board{i=\"%u\"} 1\n", i);
	board_write(w.board, hg_buf_view(&page), 77, clock_mono_ms());
	hg_buf_free(&page);
	collect_image(w.c, image);
	clock_ms = 1005000;
	for (; w.c->rounds == 0 && turns < 100000; turns++)
		turn(&w);
	print_message("# %.1f ms in %u turns, the longest took %.1f ms\n",
	        (double)w.c->took_ns / 1e6, turns, (double)w.c->longest_ns / 1e6);
	assert_int_equal(w.c->rounds, 1);
	assert_true(turns > 2);
	assert_shelf(w.db, count, "1005000=1");
	assert_shelf(w.db, "of_the_board{i=\"9999\"}", "1005000=1");
	/* Half of the next one: what has not come yet is as it was, and nothing has ended. */
	round_begin(w.c, 1010000);
	for (unsigned i = 0; i < 500; i++) {
		uint64_t before = w.c->in[FROM_METER].samples;
		assert_false(round_some(w.c, 1));
		/* The piece between two looks at the clock is a release, a replica or an app. */
		assert_true(w.c->in[FROM_METER].samples - before <= 100);
	}
	assert_shelf(w.db, count, "1005000=1");
	for (size_t i = 0; i < SOURCES; i++)
		assert_int_equal(w.c->in[i].ended, 0);
	/* Meanwhile the table is not looked at: the round's replicas are its own. */
	static const struct observe_conf conf = {0};
	collect_conf(w.c, &conf);
	collect_tick(w.c, 5000);
	assert_true(w.c->jobs_due);
	assert_true(round_some(w.c, UINT64_MAX));
	assert_shelf(w.db, count, "1005000=1 1010000=1");
	/* Another configuration in the middle of a round: that is given up, and what is gone ends.
	 */
	round_begin(w.c, 1015000);
	for (unsigned i = 0; i < 500; i++)
		assert_false(round_some(w.c, 1));
	collect_image(w.c, w.image);
	snap_unmap(image);
	clock_ms = 1016000;
	for (uint64_t before = w.c->rounds; w.c->rounds == before;)
		turn(&w);
	assert_shelf(w.db, count, "1005000=1 1010000=1 1016000=stale");
	assert_shelf(w.db, "headgate_request_duration_seconds_count{app=\"app-1\", release=\"1\"}",
	        "1005000=1 1010000=1 1015000=1 1016000=stale");
	assert_shelf(w.db, "headgate_request_duration_seconds_count{app=\"web\", release=\"1\"}",
	        "1016000=1"); /* its lane counts those of app-4 */
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_every_series_is_there_with_zero_before_anything_happens),
	        cmocka_unit_test(
	                test_counts_are_those_of_all_workers_and_new_codes_begin_with_zero),
	        cmocka_unit_test(
	                test_a_release_that_goes_ends_and_one_that_comes_back_does_not_jump),
	        cmocka_unit_test(test_a_replica_counts_what_it_answered_and_not_its_predecessors),
	        cmocka_unit_test(test_the_board_outlives_control_for_a_minute),
	        cmocka_unit_test(test_looks_in_the_same_moment_have_times_of_their_own),
	        cmocka_unit_test(test_replicas_and_targets_are_asked),
	        cmocka_unit_test(test_a_thousand_apps_are_looked_at),
	        cmocka_unit_test(test_a_first_look_takes_turns_and_leaves_no_gap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
