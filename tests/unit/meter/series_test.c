/* Names and numbers of the meter's series, as the text format has them. */
#include "../test.h"

#include "meter/series.c"

#include <stdio.h>
#include <stdlib.h>

static const struct meter_series_lane lanes[] = {
        {.app = {"web", 3}, .route = {"a\"b", 3}, .release = 1, .lane = 1, .edge_s = 0.06},
        {.app = {"web", 3}, .route = {"x", 1}, .release = 1, .lane = 2, .edge_s = 0.06},
        {.app = {"web", 3}, .route = {"x", 1}, .release = 2, .lane = 3, .edge_s = 0.06},
};

static void has(const struct hg_buf *text, const char *line)
{
	if (!strstr(text->p, line)) fail_msg("no %s", line);
}

static void test_every_family_is_named_once_and_its_samples_stand_together(void **state)
{
	struct meter *m = calloc(1, meter_size(2));
	const struct meter_series_app app = {{"web", 3}, 7};
	struct meter_replica_sum base = {0};
	struct hg_buf to;
	(void)state;
	assert_non_null(m);
	meter_init(m, 2);
	hg_buf_init(&to, 1 << 20);
	struct meter_worker *w = &m->worker[0];
	meter_observe(meter_lane_of(w, 1), 200, 3000000);
	meter_observe(meter_lane_of(&m->worker[1], 2), 418, 55000000);
	meter_add(&meter_lane_of(w, 2)->fast, 2);
	meter_add(&meter_lane_of(w, 3)->attempts, 5);
	meter_observe_replica(&w->replica[4], 500, 2000000);
	meter_replica_sum(m, 4, &base);
	meter_observe_replica(&w->replica[4], 200, 2000000);
	meter_add(&meter_app_take(w, 7)->denied[METER_DENIED_EXPIRED], 3);
	const struct meter_series_replica replicas[] = {
	        {.app = {"web", 3}, .release = 1, .replica = 2, .endpoint = 4, .base = &base}};
	const struct meter_series_view v = {.meter = m,
	        .lanes = lanes,
	        .lane_n = 3,
	        .apps = &app,
	        .app_n = 1,
	        .replicas = replicas,
	        .replica_n = 1};
	struct meter_series_sink sink = meter_series_text(&to);
	meter_series(&v, &sink);
	hg_buf_byte(&to, 0);
	has(&to, "headgate_requests_total{app=\"web\",release=\"1\",route=\"a\\\"b\",code=\"200\"} "
	         "1\n");
	has(&to, "headgate_requests_total{app=\"web\",release=\"1\",route=\"x\",code=\"418\"} 1\n");
	has(&to, "headgate_requests_total{app=\"web\",release=\"2\",route=\"x\",code=\"503\"} 0\n");
	assert_null(strstr(to.p, "release=\"2\",route=\"x\",code=\"418\""));
	has(&to, "headgate_request_duration_seconds_bucket{app=\"web\",release=\"1\",le=\"0.05\"} "
	         "1\n"
	         "headgate_request_duration_seconds_bucket{app=\"web\",release=\"1\",le=\"0.06\"} "
	         "2\n"
	         "headgate_request_duration_seconds_bucket{app=\"web\",release=\"1\",le=\"0.075\"} "
	         "2\n");
	has(&to, "headgate_request_duration_seconds_sum{app=\"web\",release=\"1\"} 0.058\n");
	has(&to, "headgate_request_duration_seconds_count{app=\"web\",release=\"2\"} 0\n");
	has(&to, "headgate_upstream_attempts_total{app=\"web\",release=\"2\"} 5\n");
	has(&to, "headgate_replica_requests_total{app=\"web\",release=\"1\",replica=\"2\"} 1\n");
	has(&to, "headgate_replica_errors_total{app=\"web\",release=\"1\",replica=\"2\"} 0\n");
	has(&to, "headgate_replica_duration_seconds_bucket{app=\"web\",release=\"1\",replica=\"2\","
	         "le=\"+Inf\"} 1\n");
	has(&to, "headgate_identity_refused_total{app=\"web\",reason=\"expired\"} 3\n");
	has(&to, "headgate_edge_accepted_total{worker=\"1\"} 0\n");
	/* Each HELP once. */
	for (const char *at = to.p; (at = strstr(at, "# HELP ")) != NULL; at++) {
		char line[128];
		struct hg_str rest = {at, strcspn(at, "\n")};
		(void)hg_str_cut(&rest, ' '), (void)hg_str_cut(&rest, ' ');
		struct hg_str name = hg_str_cut(&rest, ' ');
		snprintf(line, sizeof line, "# HELP %.*s ", HG_STR_ARG(name));
		assert_ptr_equal(strstr(to.p, line), at);
	}
	hg_buf_free(&to);
	free(m);
}

static void test_edges_of_an_apps_own_stand_in_their_order(void **state)
{
	static const struct {
		double edge, rule;
		uint64_t fast, within;
		const char *want; /* around two answers of 160 and 190 ms */
	} rows[] = {
	        {0.17, 0.18, 1, 1,
	                "le=\"0.15\"} 0\nle=\"0.17\"} 1\nle=\"0.18\"} 1\nle=\"0.2\"} 2\n"},
	        {0.18, 0.17, 1, 1,
	                "le=\"0.15\"} 0\nle=\"0.17\"} 1\nle=\"0.18\"} 1\nle=\"0.2\"} 2\n"},
	        {0, 0.17, 0, 1, "le=\"0.15\"} 0\nle=\"0.17\"} 1\nle=\"0.2\"} 2\n"},
	        {0.195, 0.22, 2, 2,
	                "le=\"0.15\"} 0\nle=\"0.195\"} 2\nle=\"0.2\"} 2\nle=\"0.22\"} 2\n"},
	        /* Counted with other thresholds before: never down, never above the bucket. */
	        {0.17, 0.18, 9, 0,
	                "le=\"0.15\"} 0\nle=\"0.17\"} 2\nle=\"0.18\"} 2\nle=\"0.2\"} 2\n"},
	        {0.2, 0.15, 1, 1, "le=\"0.15\"} 0\nle=\"0.2\"} 2\n"},
	        {40, 0.0001, 2, 0, "le=\"0.15\"} 0\nle=\"0.2\"} 2\n"},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct meter *m = calloc(1, meter_size(1));
		struct hg_buf to, got;
		assert_non_null(m);
		meter_init(m, 1);
		hg_buf_init(&to, 1 << 20);
		hg_buf_init(&got, 1 << 20);
		struct meter_lane *l = meter_lane_of(&m->worker[0], 1);
		meter_observe(l, 200, 160000000);
		meter_observe(l, 200, 190000000);
		meter_add(&l->fast, rows[i].fast);
		meter_add(&l->rule, rows[i].within);
		const struct meter_series_lane lane = {.app = {"a", 1},
		        .route = {"r", 1},
		        .lane = 1,
		        .edge_s = rows[i].edge,
		        .rule_s = rows[i].rule};
		const struct meter_series_view v = {.meter = m, .lanes = &lane, .lane_n = 1};
		struct meter_series_sink sink = meter_series_text(&to);
		durations(&v, &sink);
		hg_buf_byte(&to, 0);
		for (const char *at = to.p; (at = strstr(at, "le=\"")) != NULL; at++) {
			double le = strtod(at + 4, NULL);
			if (le < 0.15 || (le > 0.2 && le != rows[i].rule) || le > 1) continue;
			hg_buf_str(&got, (struct hg_str){at, strcspn(at, "\n") + 1});
		}
		assert_string_equal(hg_buf_text(&got), rows[i].want);
		hg_buf_free(&to);
		hg_buf_free(&got);
		free(m);
	}
}

static void test_with_many_lanes_those_nobody_asked_are_left_out(void **state)
{
	enum { N = METER_SERIES_ZEROS + 1 };
	struct meter_series_lane *many = calloc(N, sizeof *many);
	struct meter *m = calloc(1, meter_size(1));
	struct hg_buf to;
	(void)state;
	assert_non_null(many);
	assert_non_null(m);
	meter_init(m, 1);
	hg_buf_init(&to, 16 << 20);
	for (uint32_t i = 0; i < N; i++)
		many[i] = (struct meter_series_lane){
		        .app = {"web", 3}, .route = {"r", 1}, .release = i, .lane = i};
	meter_observe(meter_lane_of(&m->worker[0], 5), 200, 1);
	const struct meter_series_view v = {.meter = m, .lanes = many, .lane_n = N};
	struct meter_series_sink sink = meter_series_text(&to);
	meter_series(&v, &sink);
	hg_buf_byte(&to, 0);
	has(&to, "release=\"5\",route=\"r\",code=\"200\"} 1\n");
	has(&to, "headgate_request_duration_seconds_count{app=\"web\",release=\"5\"} 1\n");
	assert_null(strstr(to.p, "release=\"6\""));
	hg_buf_free(&to);
	free(many);
	free(m);
}

static void test_a_base_of_another_time_gives_nothing_below_zero(void **state)
{
	struct meter *m = calloc(1, meter_size(1));
	struct meter_replica_sum base = {.count = 9, .errors = 1}, sum;
	const struct meter_series_replica r = {.endpoint = 4, .base = &base};
	(void)state;
	assert_non_null(m);
	meter_init(m, 1);
	const struct meter_series_view v = {.meter = m};
	replica_sum(&v, &r, &sum);
	assert_int_equal(sum.count, 0);
	assert_int_equal(sum.errors, 0);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_every_family_is_named_once_and_its_samples_stand_together),
	        cmocka_unit_test(test_edges_of_an_apps_own_stand_in_their_order),
	        cmocka_unit_test(test_with_many_lanes_those_nobody_asked_are_left_out),
	        cmocka_unit_test(test_a_base_of_another_time_gives_nothing_below_zero),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
