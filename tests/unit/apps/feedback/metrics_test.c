#include "tests/unit/test.h"

#include "apps/feedback/metrics.c"

static void check_has(struct hg_buf *b, const char *line)
{
	if (!strstr(hg_buf_text(b), line)) fail_msg("no line %s in\n%s", line, hg_buf_text(b));
}

static void names_labels_and_buckets_are_those_of_the_contract(void **state)
{
	static struct metrics m;
	const struct metrics_gauges g = {.feedback_count = 12};
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	metrics_request(&m, ENDPOINT_LIST, HTTP1_GET, 200, 5000000);
	metrics_request(&m, ENDPOINT_LIST, HTTP1_GET, 200, 5000001);
	metrics_request(&m, ENDPOINT_LIST, HTTP1_GET, 200, 99000000000);
	metrics_request(&m, ENDPOINT_ITEM, HTTP1_DELETE, 404, 1000);
	metrics_request(&m, ENDPOINT_NONE, HTTP1_OTHER, 799, 1000);
	m.operations[OPERATION_CREATE] = 3;
	m.errors[ERROR_DATABASE] = 2;
	metrics_text(&m, &g, false, &b);
	check_has(&b,
	        "\nhttp_requests_total{method=\"GET\",endpoint=\"/feedback\",status=\"200\"} 3\n");
	check_has(&b, "\nhttp_requests_total{method=\"DELETE\",endpoint=\"/feedback/"
	              ":id\",status=\"404\"} 1\n");
	check_has(&b,
	        "\nhttp_requests_total{method=\"OTHER\",endpoint=\"unmatched\",status=\"0\"} 1\n");
	check_has(&b, "\n# TYPE http_request_duration_seconds histogram\n");
#define BUCKET "\nhttp_request_duration_seconds_bucket{method=\"GET\",endpoint=\"/feedback\",le="
	check_has(&b, BUCKET "\"0.005\"} 1\n");
	check_has(&b, BUCKET "\"0.01\"} 2\n");
	check_has(&b, BUCKET "\"10.0\"} 2\n");
	check_has(&b, BUCKET "\"+Inf\"} 3\n");
	check_has(&b,
	        "\nhttp_request_duration_seconds_count{method=\"GET\",endpoint=\"/feedback\"} 3\n");
	check_has(&b, "\nfeedback_operations_total{operation=\"create\"} 3\n");
	check_has(&b, "\nfeedback_operations_total{operation=\"delete\"} 0\n");
	check_has(&b, "\nerrors_total{error_type=\"database\"} 2\n");
	check_has(&b, "\nfeedback_count 12\n");
	hg_buf_free(&b);
}

static void an_unknown_count_is_left_out(void **state)
{
	static struct metrics m;
	const struct metrics_gauges g = {.feedback_count = -1};
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	metrics_text(&m, &g, false, &b);
	assert_null(strstr(hg_buf_text(&b), "feedback_count"));
	hg_buf_free(&b);
}

static void the_process_describes_itself(void **state)
{
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	metrics_process_text(&b);
	check_has(&b, "\nprocess_resident_memory_bytes ");
	check_has(&b, "\nprocess_cpu_seconds_total ");
	check_has(&b, "\nprocess_open_fds ");
	check_has(&b, "\nprocess_start_time_seconds ");
	hg_buf_free(&b);
}

static void openmetrics_has_the_last_trace_of_each_bucket(void **state)
{
	static struct metrics m;
	const struct metrics_gauges g = {.feedback_count = 1};
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	metrics_request(&m, ENDPOINT_LIST, HTTP1_GET, 200, 7000000);
	metrics_request(&m, ENDPOINT_LIST, HTTP1_GET, 200, 8000000);
	metrics_example(&m, ENDPOINT_LIST, HTTP1_GET, 7000000, "0af7651916cd43dd8448eb211c80319c",
	        1764183600123000000u);
	metrics_example(&m, ENDPOINT_LIST, HTTP1_GET, 8000000, "1af7651916cd43dd8448eb211c80319c",
	        1764183601456000000u);
	metrics_text(&m, &g, true, &b);
	hg_buf_cstr(&b, "# TYPE odd counter\nodd 1\n");
	metrics_openmetrics(&b);
	check_has(&b, BUCKET "\"0.01\"} 2 # {trace_id=\"1af7651916cd43dd8448eb211c80319c\"} "
	                     "0.008000000 1764183601.456\n");
	check_has(&b, BUCKET "\"0.005\"} 0\n");
	check_has(
	        &b, "# HELP http_requests HTTP requests answered\n# TYPE http_requests counter\n");
	check_has(&b,
	        "\nhttp_requests_total{method=\"GET\",endpoint=\"/feedback\",status=\"200\"} 2\n");
	check_has(&b, "# TYPE odd unknown\nodd 1\n# EOF\n");
	assert_true(hg_str_ends(hg_buf_view(&b), HG_STR("# EOF\n")));
	/* The text format has none. */
	hg_buf_reset(&b);
	metrics_text(&m, &g, false, &b);
	assert_null(strstr(hg_buf_text(&b), "trace_id"));
	metrics_free(&m);
	hg_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(names_labels_and_buckets_are_those_of_the_contract),
	        cmocka_unit_test(an_unknown_count_is_left_out),
	        cmocka_unit_test(the_process_describes_itself),
	        cmocka_unit_test(openmetrics_has_the_last_trace_of_each_bucket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
