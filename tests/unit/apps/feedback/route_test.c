#include "tests/unit/test.h"

#include "apps/feedback/route.c"

static void check(const char *path, enum endpoint want, int64_t id, const char *prefix)
{
	struct route r = route_of(hg_str(path));
	if (r.endpoint != want) fail_msg("%s is %s", path, route_label(r.endpoint));
	assert_true(r.id == id);
	assert_str(r.prefix, prefix);
}

static void every_path_of_the_contract_is_known(void **state)
{
	(void)state;
	check("/", ENDPOINT_PAGE, 0, "");
	check("/admin", ENDPOINT_PAGE, 0, "");
	check("/admin/", ENDPOINT_NONE, 0, "");
	check("/health", ENDPOINT_HEALTH, 0, "");
	check("/metrics", ENDPOINT_METRICS, 0, "");
	check("/static/css/style.css", ENDPOINT_STATIC, 0, "");
	check("/feedback", ENDPOINT_LIST, 0, "");
	check("/feedback/17", ENDPOINT_ITEM, 17, "");
	check("/v1/feedback", ENDPOINT_LIST, 0, "/v1");
	check("/v2/feedback/3", ENDPOINT_ITEM, 3, "/v2");
	check("/api/feedback", ENDPOINT_LIST, 0, "/api");
	check("/api/v2/feedback/9", ENDPOINT_ITEM, 9, "/api/v2");
	check("/admin/mail/test", ENDPOINT_MAIL_TEST, 0, "");
	check("/admin/webhooks", ENDPOINT_WEBHOOKS, 0, "");
	check("/admin/webhooks/3/rotate", ENDPOINT_WEBHOOKS, 0, "");
}

static void votes_and_statuses_are_not_of_the_first_version(void **state)
{
	(void)state;
	check("/feedback/17/vote", ENDPOINT_VOTE, 17, "");
	check("/v2/feedback/17/vote", ENDPOINT_VOTE, 17, "/v2");
	check("/api/v2/feedback/17/status", ENDPOINT_STATUS, 17, "/api/v2");
	check("/api/feedback/x/status", ENDPOINT_STATUS, 0, "/api");
	check("/feedback/votes", ENDPOINT_VOTES, 0, "");
	check("/v2/feedback/votes", ENDPOINT_VOTES, 0, "/v2");
	check("/v1/feedback/17/vote", ENDPOINT_NONE, 0, "");
	check("/api/v1/feedback/17/status", ENDPOINT_NONE, 0, "");
	check("/v1/feedback/votes", ENDPOINT_ITEM, 0, "/v1");
	check("/feedback//vote", ENDPOINT_NONE, 0, "");
	check("/feedback/vote", ENDPOINT_ITEM, 0, "");
	check("/feedback/1/2/vote", ENDPOINT_NONE, 0, "");
	check("/feedback/1/vote/", ENDPOINT_NONE, 0, "");
	check("/feedback/1/votes", ENDPOINT_NONE, 0, "");
	assert_true(route_of(HG_STR("/v2/feedback")).v2);
	assert_true(route_of(HG_STR("/api/v2/feedback/1")).v2);
	assert_false(route_of(HG_STR("/feedback")).v2);
	assert_false(route_of(HG_STR("/v1/feedback")).v2);
}

static void ids_that_no_row_can_have_are_items_without_an_id(void **state)
{
	(void)state;
	check("/feedback/abc", ENDPOINT_ITEM, 0, "");
	check("/feedback/0", ENDPOINT_ITEM, 0, "");
	check("/feedback/-1", ENDPOINT_ITEM, 0, "");
	check("/feedback/9223372036854775807", ENDPOINT_ITEM, INT64_MAX, "");
	check("/feedback/9223372036854775808", ENDPOINT_ITEM, 0, "");
	check("/feedback/99999999999999999999999", ENDPOINT_ITEM, 0, "");
}

static void everything_else_is_nothing(void **state)
{
	(void)state;
	check("/feedbacks", ENDPOINT_NONE, 0, "");
	check("/feedback/", ENDPOINT_NONE, 0, "");
	check("/feedback/1/2", ENDPOINT_NONE, 0, "");
	check("/v1", ENDPOINT_NONE, 0, "");
	check("/v3/feedback", ENDPOINT_NONE, 0, "");
	check("/v1/v2/feedback", ENDPOINT_NONE, 0, "");
	check("/v1/health", ENDPOINT_NONE, 0, "");
	check("/apifeedback", ENDPOINT_NONE, 0, "");
	check("/staticx", ENDPOINT_NONE, 0, "");
	check("/admin/webhooksx", ENDPOINT_NONE, 0, "");
	check("/admin/mail", ENDPOINT_NONE, 0, "");
	check("", ENDPOINT_NONE, 0, "");
}

static void the_queue_has_its_paths(void **state)
{
	(void)state;
	check("/admin/jobs", ENDPOINT_JOBS, 0, "");
	check("/admin/jobs/7", ENDPOINT_JOB, 7, "");
	check("/admin/jobs/x", ENDPOINT_JOB, 0, "");
	check("/admin/jobs/7/retry", ENDPOINT_JOB_RETRY, 7, "");
	check("/admin/jobs/retry", ENDPOINT_JOBS_RETRY, 0, "");
	check("/admin/jobs/stats", ENDPOINT_JOBS_STATS, 0, "");
	check("/exports", ENDPOINT_EXPORTS, 0, "");
	check("/exports/9", ENDPOINT_EXPORT, 9, "");
	check("/admin/jobs/", ENDPOINT_NONE, 0, "");
	check("/admin/jobs//retry", ENDPOINT_NONE, 0, "");
	check("/admin/jobs/7/again", ENDPOINT_NONE, 0, "");
	check("/exports/", ENDPOINT_NONE, 0, "");
	check("/api/exports", ENDPOINT_NONE, 0, "");
}

static void methods_are_allowed_as_the_allow_field_says(void **state)
{
	(void)state;
	for (int e = 0; e < ENDPOINTS; e++)
		for (int m = 1; m < HTTP1_METHODS; m++) {
			const char *name = http1_method_name((enum http1_method)m);
			bool named = strstr(route_allow((enum endpoint)e), name) != NULL;
			assert_int_equal(
			        route_allows((enum endpoint)e, (enum http1_method)m), named);
		}
	assert_false(route_allows(ENDPOINT_LIST, HTTP1_OTHER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_path_of_the_contract_is_known),
	        cmocka_unit_test(votes_and_statuses_are_not_of_the_first_version),
	        cmocka_unit_test(ids_that_no_row_can_have_are_items_without_an_id),
	        cmocka_unit_test(everything_else_is_nothing),
	        cmocka_unit_test(the_queue_has_its_paths),
	        cmocka_unit_test(methods_are_allowed_as_the_allow_field_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
