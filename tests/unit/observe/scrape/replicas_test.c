#include "../../test.h"

#include "observe/scrape/replicas.c"

static const struct scrape_app apps[] = {
        {.id = 7, .name = {"web", 3}, .path = {"/metrics", 8}, .interval_ms = 5000},
        {.id = 9, .name = {"idle", 4}, .path = {"/m", 2}},
};

static void every_replica_that_has_a_process_is_a_target(void **s)
{
	const struct snap_endpoint ep[] = {
	        {.state = SNAP_EP_UP,
	                .app = 7,
	                .release = 3,
	                .replica = 1,
	                .family = AF_INET,
	                .ip4 = 0x7f000001,
	                .port = 8080,
	                .proxy = 2},
	        {.state = SNAP_EP_FREE, .app = 7, .replica = 2, .family = AF_INET, .port = 8081},
	        {.state = SNAP_EP_DRAINING,
	                .app = 7,
	                .release = 2,
	                .replica = 1,
	                .family = AF_UNIX,
	                .path = "/run/web.sock"},
	        {.state = SNAP_EP_DOWN, .app = 7, .release = 4, .replica = 5}, /* no address yet */
	        {.state = SNAP_EP_UP,
	                .app = 7,
	                .replica = 6,
	                .family = AF_INET,
	                .port = 1,
	                .tls = 1},
	        {.state = SNAP_EP_UP, .app = 8, .replica = 1, .family = AF_INET, .port = 1},
	};
	static const char *const want[] = {
	        "{__address__=\"127.0.0.1:8080\", app=\"web\", instance=\"web/1\", release=\"3\", "
	        "replica=\"1\"}",
	        "{__address__=\"unix:/run/web.sock\", app=\"web\", instance=\"web/1\", "
	        "release=\"2\", "
	        "replica=\"1\"}"};
	struct scrape_replicas r;
	struct hg_arena a;
	(void)s;
	hg_arena_init(&a, "test", 1 << 20);
	assert_int_equal(scrape_replicas(&a, apps, 2, ep, HG_COUNT(ep), &r), HG_OK);
	assert_int_equal(r.job_n, 2);
	assert_int_equal(r.target_n, 2);
	assert_int_equal(r.unasked, 1);
	assert_str(r.jobs[0].name, "web");
	assert_str(r.jobs[0].path, "/metrics");
	assert_int_equal(r.jobs[0].interval_ms, 5000);
	assert_int_equal(r.jobs[0].target_n, 2);
	assert_int_equal(r.jobs[1].target_n, 0);
	for (uint32_t i = 0; i < 2; i++) {
		struct hg_buf text;
		hg_buf_init(&text, 1000);
		assert_true(labels_valid(r.jobs[0].targets[i].labels));
		labels_print(&text, r.jobs[0].targets[i].labels);
		assert_str(hg_buf_view(&text), want[i]);
		hg_buf_free(&text);
	}
	assert_int_equal(r.jobs[0].targets[0].proxy, 2);
	hg_arena_fini(&a);
}

static void want_of_memory_is_said(void **s)
{
	const struct snap_endpoint ep = {
	        .state = SNAP_EP_UP, .app = 7, .family = AF_INET, .port = 1};
	struct scrape_replicas r;
	(void)s;
	for (size_t max = 0; max < 4096; max += 512) {
		struct hg_arena a;
		hg_arena_init(&a, "test", max);
		enum hg_rc rc = scrape_replicas(&a, apps, 2, &ep, 1, &r);
		assert_true(rc == HG_OK || rc == HG_E_NOMEM);
		if (max == 0) assert_int_equal(rc, HG_E_NOMEM);
		hg_arena_fini(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_replica_that_has_a_process_is_a_target),
	        cmocka_unit_test(want_of_memory_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
