/* What the API says about metrics beside samples: their meaning, and exemplars. */
#include "../../test.h"

#include "observe/api/answer.c"
#include "observe/api/api.c"
#include "observe/scrape/scrape_priv.h"

#include <math.h>

#include "world.h"

static void what_metrics_mean_is_told_as_prometheus_does(void **state)
{
	static const struct {
		const char *target, *body;
	} row[] = {
	        {"/api/v1/metadata", OK_DATA
	                "{\"a_total\":[{\"type\":\"counter\",\"help\":\"One \\\"x\\\".\",\"unit\":"
	                "\"\"},{\"type\":\"gauge\",\"help\":\"Two.\",\"unit\":\"\"}],\"b\":[{"
	                "\"type\":\"gauge\",\"help\":\"\",\"unit\":\"\"}]}}"},
	        {"/api/v1/metadata?limit=1&limit_per_metric=1", OK_DATA
	                "{\"a_total\":[{\"type\":\"counter\",\"help\":\"One \\\"x\\\".\",\"unit\":"
	                "\"\"}]}}"},
	        {"/api/v1/metadata?metric=b&limit=-1",
	                OK_DATA "{\"b\":[{\"type\":\"gauge\",\"help\":\"\",\"unit\":\"\"}]}}"},
	        {"/api/v1/metadata?metric=c", OK_DATA "{}}"},
	        {"/api/v1/metadata?limit=0", OK_DATA "{}}"},
	        {"/api/v1/targets/metadata", OK_DATA "[]}"},
	        {"/api/v1/targets/metadata?match_target=%7Bjob%3D%22x%22%7D&metric=b&limit=2",
	                OK_DATA "[]}"},
	};
	struct world w;
	struct loop *loop = NULL;
	struct scrape *scrape = NULL;
	struct hg_err err = {0};
	(void)state;
	assert_int_equal(loop_new(&loop), HG_OK);
	struct scrape_options so = {.loop = loop, .now_ms = now_ms};
	assert_int_equal(scrape_new(&so, &scrape, &err), HG_OK);
	scrape_meta_own(scrape, HG_STR("b"), "gauge", HG_STR(""));
	scrape_meta_own(scrape, HG_STR("a_total"), "gauge", HG_STR("Two."));
	scrape_meta_own(scrape, HG_STR("a_total"), "counter", HG_STR("One \"x\"."));
	world_start(&w, &(struct promapi_options){.scrape = scrape});
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		get(&w, row[i].target);
		assert_answer(&w, 200, row[i].body);
	}
	get(&w, "/api/v1/metadata?limit=many");
	assert_answer(&w, 400,
	        "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"limit must be a "
	        "number\"}");
	get(&w, "/api/v1/targets/metadata?match_target=sum(up)");
	assert_int_equal(w.status, 400);
	world_stop(&w);
	scrape_free(scrape);
	loop_free(loop);
}

static void exemplars_are_those_of_the_series_that_are_asked_for(void **state)
{
#define FIRST                                                                                    \
	"{\"seriesLabels\":{\"__name__\":\"a_total\",\"x\":\"1\"},\"exemplars\":[{\"labels\":{"  \
	"\"trace_id\":\"t1\"},\"value\":\"2.5\",\"timestamp\":1700000000},{\"labels\":{\"trace_" \
	"id\":"                                                                                  \
	"\"t2\"},\"value\":\"+Inf\",\"timestamp\":1700000001.5}]}"
#define SECOND                                                                                  \
	"{\"seriesLabels\":{\"__name__\":\"b\"},\"exemplars\":[{\"labels\":{},\"value\":\"1\"," \
	"\"timestamp\":1700000000}]}"
	static const struct {
		const char *target, *body;
	} row[] = {
	        {"/api/v1/query_exemplars?query=a_total&start=0&end=1800000000",
	                OK_DATA "[" FIRST "]}"},
	        {"/api/v1/query_exemplars?query=sum(rate(a_total[5m]))/b",
	                OK_DATA "[" FIRST "," SECOND "]}"},
	        {"/api/v1/query_exemplars?query=b&start=1700000000&end=1700000000",
	                OK_DATA "[" SECOND "]}"},
	        {"/api/v1/query_exemplars?query=b&start=1700000001", OK_DATA "[]}"},
	        {"/api/v1/query_exemplars?query=a_total%7Bx=~%22%5B2-9%5D%22%7D", OK_DATA "[]}"},
	        {"/api/v1/query_exemplars?query=1", OK_DATA "[]}"},
	};
	struct label a[] = {{LABEL_METRIC, HG_STR("a_total")}, {HG_STR("x"), HG_STR("1")}};
	struct label b[] = {{LABEL_METRIC, HG_STR("b")}};
	struct label t[] = {{HG_STR("trace_id"), HG_STR("t1")}, {HG_STR("trace_id"), HG_STR("t2")}};
	struct world w;
	struct loop *loop = NULL;
	struct scrape *scrape = NULL;
	struct hg_err err = {0};
	(void)state;
	assert_int_equal(loop_new(&loop), HG_OK);
	struct scrape_options so = {.loop = loop, .now_ms = now_ms};
	assert_int_equal(scrape_new(&so, &scrape, &err), HG_OK);
	struct exemplars *x = &scrape->exemplars;
	assert_true(scrape_exemplar_is_new(x, 1, 1));
	scrape_exemplar_add(
	        x, (struct labels){a, 2}, (struct labels){t + 1, 1}, INFINITY, NOW + 1500);
	scrape_exemplar_add(x, (struct labels){b, 1}, (struct labels){0}, 1, NOW);
	scrape_exemplar_add(x, (struct labels){a, 2}, (struct labels){t, 1}, 2.5, NOW);
	world_start(&w, &(struct promapi_options){.scrape = scrape});
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		get(&w, row[i].target);
		assert_answer(&w, 200, row[i].body);
	}
	ask(&w, "POST", "/api/v1/query_exemplars", "", "query=b");
	assert_answer(&w, 200, OK_DATA "[" SECOND "]}");
	static const char *const wrong[] = {
	        "query=b&start=2&end=1", "query=b(", "", "query=b&start=x"};
	for (size_t i = 0; i < HG_COUNT(wrong); i++) {
		ask(&w, "POST", "/api/v1/query_exemplars", "", wrong[i]);
		assert_int_equal(w.status, 400);
	}
	world_stop(&w);
	scrape_free(scrape);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_metrics_mean_is_told_as_prometheus_does),
	        cmocka_unit_test(exemplars_are_those_of_the_series_that_are_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
