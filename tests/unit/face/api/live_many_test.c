/* What a turn of /v1/live costs control's loop with many apps, replicas and readers. */
#include "../../test.h"

#define FAKES_OWN_STATUS
#include "world.h"

#include "face/api/live.c"

#define READERS 20u
#define TURNS   20

static struct {
	uint32_t apps, replicas; /* of each app */
	uint32_t changing;       /* of all replicas, in each turn */
	uint32_t turn;
} fleet_of;

/* In how many turns the replica has changed: some are busy, and others the next time. */
static uint32_t busy_of(uint32_t i)
{
	uint32_t all = fleet_of.apps * fleet_of.replicas;
	uint64_t changes = (uint64_t)fleet_of.changing * fleet_of.turn;
	return (uint32_t)((changes + all - 1 - i) / all);
}

enum hg_rc fleet_status(const struct fleet *f, struct fleet_status **ret_status)
{
	const uint32_t n = fleet_of.apps, each = fleet_of.replicas;
	struct fleet_app_status *apps = calloc(n, sizeof *apps);
	struct fleet_replica_status *replicas = calloc((size_t)n * each, sizeof *replicas);
	(void)f;
	*ret_status = calloc(1, sizeof **ret_status);
	assert_true(apps && replicas && *ret_status);
	for (uint32_t i = 0; i < n * each; i++) {
		uint32_t busy = busy_of(i);
		replicas[i] = (struct fleet_replica_status){.number = i % each + 1,
		        .release = 12,
		        .state = FLEET_READY,
		        .pid = (int)(4000 + i),
		        .since_ms = 1795751957817,
		        .started_ms = 1795751957817,
		        .cpu_seconds = (double)i / 7 + busy,
		        .cpu = 0.25 / (1 + i + busy),
		        .memory_bytes = 33554432 + busy,
		        .memory_limit = 67108864,
		        .memory_keeper = "cgroup",
		        .in_flight = busy,
		        .endpoint = (int)i};
		snprintf(
		        replicas[i].address, sizeof replicas[i].address, "127.0.0.1:%u", 20000 + i);
	}
	for (uint32_t i = 0; i < n; i++) {
		static const char *const routes[] = {"shop.example/"};
		apps[i] = (struct fleet_app_status){.id = i + 1,
		        .release = 12,
		        .desired = each,
		        .ready = each,
		        .total = each,
		        .phase = FLEET_APP_RUNNING,
		        .replicas = &replicas[(size_t)i * each],
		        .replica_count = each,
		        .routes = routes,
		        .route_count = 1};
		snprintf(apps[i].name, sizeof apps[i].name, "app-%03u", i);
	}
	**ret_status = (struct fleet_status){.generation = 7, .apps = apps, .app_count = n};
	return HG_OK;
}

void fleet_status_free(struct fleet_status *s)
{
	free((void *)(uintptr_t)s->apps[0].replicas);
	free((void *)(uintptr_t)s->apps);
	free(s);
}

/* Mean of a whole turn for all readers, in ms, and the bytes that each of them is sent. */
static double turns(struct world *w, struct serve_call *calls, uint32_t changing, size_t *ret_bytes)
{
	struct api_live *l = w->api->live;
	uint64_t spent = 0;
	fleet_of.changing = changing;
	for (int i = 0; i < TURNS; i++) {
		fleet_of.turn++;
		for (uint32_t k = 0; k < READERS; k++)
			hg_buf_reset(&calls[k].body);
		l->ticked_ms = 0;
		uint64_t began = clock_mono_ns();
		on_timer(w->loop, &l->timer);
		spent += clock_mono_ns() - began;
	}
	*ret_bytes = calls[0].body.n;
	return (double)spent / TURNS / 1e6;
}

static void readers_open(
        struct world *w, struct serve_call *calls, uint32_t apps, uint32_t replicas)
{
	fleet_of.apps = apps;
	fleet_of.replicas = replicas;
	fleet_of.changing = fleet_of.turn = 0;
	for (uint32_t i = 0; i < READERS; i++)
		ask(w, &(struct ask){.method = "GET", .path = "/v1/live"}, &calls[i]);
	assert_int_equal(loop_turn(w->loop, 0), HG_OK);
}

static void readers_close(struct serve_call *calls)
{
	for (uint32_t i = 0; i < READERS; i++) {
		calls[i].gone(calls[i].arg);
		call_free(&calls[i]);
	}
}

static void a_turn_costs_the_loop_little(void **s)
{
	struct world *w = *s;
	struct serve_call calls[READERS];
	size_t quiet, all;
	readers_open(w, calls, 200, 5);
	assert_true(calls[0].body.n > 300000);
	double of_quiet = turns(w, calls, 0, &quiet), of_all = turns(w, calls, 1000, &all);
	print_message("# 200 apps, 1000 replicas, %u readers: %.2f ms and %zu bytes a reader when "
	              "nothing changed, %.2f ms and %zu bytes when all did\n",
	        READERS, of_quiet, quiet, of_all, all);
	/* Nothing changed: nothing is sent. */
	assert_true(quiet < 100);
	readers_close(calls);
}

static void of_many_replicas_those_are_sent_that_changed(void **s)
{
	struct world *w = *s;
	struct serve_call calls[READERS];
	size_t some, all;
	readers_open(w, calls, 1, 1000);
	size_t whole = calls[0].body.n;
	double of_some = turns(w, calls, 10, &some), of_all = turns(w, calls, 1000, &all);
	print_message("# 1 app, 1000 replicas, %u readers: %zu bytes at first; %.2f ms and %zu "
	              "bytes a reader when 10 changed, %.2f ms and %zu bytes when all did\n",
	        READERS, whole, of_some, some, of_all, all);
	assert_true(all > 300000);
	assert_true(some > 3000 && some < all / 50);
	readers_close(calls);
}

static void every_app_that_is_being_released_says_so(void **s)
{
	struct world *w = *s;
	struct serve_call calls[READERS];
	static char names[200][16];
	for (uint32_t i = 0; i < HG_COUNT(names); i++) {
		/* Newest first, as likely as not, and two of the last app. */
		snprintf(names[i], sizeof names[i], "app-%03u", 199 - HG_MIN(i, 198u));
		fake_views[i] = (struct rollouts_view){.id = 1000 + i,
		        .app = names[i],
		        .state = i == 199 ? "queued" : "running",
		        .phase = "step",
		        .strategy = "canary",
		        .verdict = "not_yet",
		        .why = "",
		        .new_version = "v2"};
	}
	fake_view_count = HG_COUNT(names);
	readers_open(w, calls, 200, 1);
	uint32_t n = 0;
	const char *p = hg_buf_text(&calls[0].body);
	for (; (p = strstr(p, "\"rollout\":{\"id\":1")); p++)
		n++;
	assert_int_equal(n, 199);
	assert_null(strstr(hg_buf_text(&calls[0].body), "queued"));
	p = strstr(hg_buf_text(&calls[0].body), "\"name\":\"app-150\"");
	assert_non_null(p);
	assert_memory_equal(strstr(p, "\"rollout\":") + 10, "{\"id\":1049,", 11);
	readers_close(calls);
	fake_view_count = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(a_turn_costs_the_loop_little, setup, teardown),
	        cmocka_unit_test_setup_teardown(
	                of_many_replicas_those_are_sent_that_changed, setup, teardown),
	        cmocka_unit_test_setup_teardown(
	                every_app_that_is_being_released_says_so, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
