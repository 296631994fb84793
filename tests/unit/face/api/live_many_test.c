/* What a turn of /v1/live costs control's loop with many apps, replicas and readers. */
#include "../../test.h"

#define FAKES_OWN_STATUS
#include "world.h"

#include "face/api/live.c"

#define APPS     200u
#define REPLICAS 5u /* each */
#define READERS  20u
#define TURNS    20

static uint32_t busy; /* replicas change when it does */

enum hg_rc fleet_status(const struct fleet *f, struct fleet_status **ret_status)
{
	struct fleet_app_status *apps = calloc(APPS, sizeof *apps);
	struct fleet_replica_status *replicas = calloc((size_t)APPS * REPLICAS, sizeof *replicas);
	(void)f;
	*ret_status = calloc(1, sizeof **ret_status);
	assert_true(apps && replicas && *ret_status);
	for (uint32_t i = 0; i < APPS * REPLICAS; i++) {
		replicas[i] = (struct fleet_replica_status){.number = i % REPLICAS + 1,
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
	for (uint32_t i = 0; i < APPS; i++) {
		static const char *const routes[] = {"shop.example/"};
		apps[i] = (struct fleet_app_status){.id = i + 1,
		        .release = 12,
		        .desired = REPLICAS,
		        .ready = REPLICAS,
		        .total = REPLICAS,
		        .phase = FLEET_APP_RUNNING,
		        .replicas = &replicas[(size_t)i * REPLICAS],
		        .replica_count = REPLICAS,
		        .routes = routes,
		        .route_count = 1};
		snprintf(apps[i].name, sizeof apps[i].name, "app-%03u", i);
	}
	**ret_status = (struct fleet_status){.generation = 7, .apps = apps, .app_count = APPS};
	return HG_OK;
}

void fleet_status_free(struct fleet_status *s)
{
	free((void *)(uintptr_t)s->apps[0].replicas);
	free((void *)(uintptr_t)s->apps);
	free(s);
}

/* Mean of a whole turn for all readers, in ms. */
static double turns(struct world *w, struct serve_call *calls, bool change, size_t *ret_bytes)
{
	struct api_live *l = w->api->live;
	uint64_t spent = 0;
	for (int i = 0; i < TURNS; i++) {
		busy += change;
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

static void a_turn_costs_the_loop_little(void **s)
{
	struct world *w = *s;
	struct serve_call calls[READERS];
	size_t first, quiet, all;
	for (uint32_t i = 0; i < READERS; i++)
		ask(w, &(struct ask){.method = "GET", .path = "/v1/live"}, &calls[i]);
	assert_int_equal(loop_turn(w->loop, 0), HG_OK);
	first = calls[0].body.n;
	assert_true(first > 300000);
	double of_quiet = turns(w, calls, false, &quiet), of_all = turns(w, calls, true, &all);
	print_message(
	        "# %u apps, %u replicas, %u readers: %.2f ms and %zu bytes a reader when nothing "
	        "changed, %.2f ms and %zu bytes when all did\n",
	        APPS, APPS * REPLICAS, READERS, of_quiet, quiet, of_all, all);
	/* Nothing changed: nothing is sent. */
	assert_true(quiet < 100);
	for (uint32_t i = 0; i < READERS; i++) {
		calls[i].gone(calls[i].arg);
		call_free(&calls[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(a_turn_costs_the_loop_little, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
