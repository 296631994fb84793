/* Answers to changes of the edge come when its workers have taken them. */
#include "../../test.h"

#include "world.h"

static const struct ask on = {
        .method = "POST", .path = "/v1/apps/web/maintenance", .body = "{\"on\":true}"};

/* The worker has taken it. */
static void edge_has(struct world *w, uint64_t generation)
{
	atomic_store(&w->meter->worker[0].pid, 4711);
	atomic_store(&w->meter->worker[0].snapshot_ack, generation);
}

static void turns(struct world *w, uint32_t ms)
{
	for (uint64_t until = clock_mono_ms() + ms; clock_mono_ms() < until;)
		assert_int_equal(loop_turn(w->loop, 5), HG_OK);
}

static void who_asks_hears_of_a_change_when_every_worker_has_it(void **s)
{
	struct world *w = *s;
	struct serve_call c;
	fake_told = 7;
	edge_has(w, 7);
	ask(w, &on, &c);
	assert_int_equal(fake_told, 8);
	assert_true(w->fleet.maintenance.on); /* it is made, and only not said yet */
	turns(w, 30);
	assert_int_equal(c.status, 0);
	edge_has(w, 8);
	turns(w, 20);
	assert_int_equal(c.status, 200);
	assert_non_null(strstr(hg_buf_text(&c.body), "headgate.maintenance/1"));
	call_free(&c);
	/* Taken already, or nothing that the edge is told: at once. */
	assert_int_equal(ask_status(w, &(struct ask){.method = "POST",
	                                       .path = "/v1/apps/web/scale",
	                                       .body = "{\"replicas\":4}"}),
	        200);
	edge_has(w, 9);
	assert_int_equal(ask_status(w, &on), 200);
}

static void a_worker_that_hangs_holds_nobody_for_longer_than_a_second(void **s)
{
	struct world *w = *s;
	struct serve_call c;
	fake_told = 0;
	edge_has(w, 0);
	turns(w, 1); /* the loop's clock is the one of its last turn */
	uint64_t began = clock_mono_ms();
	ask(w, &on, &c);
	while (!c.status && clock_mono_ms() < began + 20000)
		turns(w, 1);
	assert_int_equal(c.status, 200);
	assert_true(clock_mono_ms() - began >= 990);
	call_free(&c);
}

static void a_client_that_leaves_is_forgotten_and_an_end_answers_all(void **s)
{
	struct world *w = *s;
	struct serve_call gone, waits;
	fake_told = 0;
	edge_has(w, 0);
	ask(w, &on, &gone);
	ask(w, &on, &waits);
	gone.gone(gone.arg);
	call_free(&gone);
	api_held_end(w->api);
	assert_int_equal(gone.status, 0);
	assert_int_equal(waits.status, 200);
	call_free(&waits);
}

static void what_failed_is_said_at_once(void **s)
{
	struct world *w = *s;
	fake_told = 5;
	edge_has(w, 0);
	assert_int_equal(ask_status(w, &(struct ask){.method = "POST",
	                                       .path = "/v1/apps/nope/maintenance",
	                                       .body = "{\"on\":true}"}),
	        404);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	        CASE(who_asks_hears_of_a_change_when_every_worker_has_it),
	        CASE(a_worker_that_hangs_holds_nobody_for_longer_than_a_second),
	        CASE(a_client_that_leaves_is_forgotten_and_an_end_answers_all),
	        CASE(what_failed_is_said_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
