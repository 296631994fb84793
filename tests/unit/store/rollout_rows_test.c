#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/store.h"

struct place {
	char dir[64];
	struct store *s;
	struct hg_err err;
	uint32_t app, other;
};

static void opened(struct place *p)
{
	if (store_open(p->dir, &p->s, &p->err) < 0) fail_msg("%s", p->err.message);
}

static int open_fresh(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	struct store_app a;
	assert_non_null(p);
	(void)snprintf(p->dir, sizeof p->dir, "/tmp/headgate-rows-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	opened(p);
	assert_int_equal(store_app_open(p->s, HG_STR("shop"), &a, &p->err), HG_OK);
	p->app = a.id;
	assert_int_equal(store_app_open(p->s, HG_STR("cart"), &a, &p->err), HG_OK);
	p->other = a.id;
	*state = p;
	return 0;
}

static int remove_all(void **state)
{
	struct place *p = *state;
	static const char *const names[] = {
	        "store/headgate.db", "store/headgate.db-wal", "store/headgate.db-shm", "store", ""};
	store_close(p->s);
	for (size_t i = 0; i < HG_COUNT(names); i++) {
		char path[128];
		(void)snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
		(void)remove(path);
	}
	free(p);
	return 0;
}

static uint64_t add(struct place *p, uint32_t app, uint32_t old, uint32_t new)
{
	uint64_t id = 0;
	struct store_rollout r = {.app = app,
	        .old_release = old,
	        .new_release = new,
	        .strategy = 3,
	        .who = HG_STR("token:ci"),
	        .texts = HG_STR("{\"gates\":[\"./smoke.sh\"]}"),
	        .created_ms = 1700000000000 + new};
	assert_int_equal(store_rollout_add(p->s, &r, &id, &p->err), HG_OK);
	return id;
}

struct seen {
	uint32_t n;
	uint64_t id[16];
	struct store_rollout last;
	char who[32], texts[64];
	uint8_t state[16];
	size_t state_n;
};

static void note(void *arg, const struct store_rollout *r)
{
	struct seen *x = arg;
	assert_true(x->n < 16);
	x->id[x->n++] = r->id;
	x->last = *r;
	assert_true(hg_str_copy(r->who, x->who, sizeof x->who));
	assert_true(hg_str_copy(r->texts, x->texts, sizeof x->texts));
	assert_true(r->state.n <= sizeof x->state);
	memcpy(x->state, r->state.p ? r->state.p : "", r->state.n);
	x->state_n = r->state.n;
}

static void set(struct place *p, uint64_t id, uint64_t ended_ms)
{
	struct store_rollout r = {.id = id,
	        .phase = 7,
	        .pause = 1,
	        .outcome = 2,
	        .cause = 5,
	        .weight_ppm = 250000,
	        .changed_ms = 1700000001234,
	        .ended_ms = ended_ms,
	        .state = {"\0\1\2\377", 4}};
	assert_int_equal(store_rollout_set(p->s, &r, &p->err), HG_OK);
}

static void a_rollout_is_kept_with_its_state(void **state)
{
	struct place *p = *state;
	struct seen x = {0};
	uint64_t id = add(p, p->app, 4, 5);
	set(p, id, 0);
	store_close(p->s);
	opened(p);
	assert_int_equal(store_rollout_get(p->s, id, note, &x, NULL), HG_OK);
	assert_int_equal(x.n, 1);
	assert_int_equal(x.last.app, p->app);
	assert_int_equal(x.last.old_release, 4);
	assert_int_equal(x.last.new_release, 5);
	assert_int_equal(x.last.strategy, 3);
	assert_int_equal(x.last.phase, 7);
	assert_int_equal(x.last.pause, 1);
	assert_int_equal(x.last.outcome, 2);
	assert_int_equal(x.last.cause, 5);
	assert_int_equal(x.last.weight_ppm, 250000);
	assert_int_equal(x.last.created_ms, 1700000000005);
	assert_int_equal(x.last.changed_ms, 1700000001234);
	assert_string_equal(x.who, "token:ci");
	assert_string_equal(x.texts, "{\"gates\":[\"./smoke.sh\"]}");
	assert_int_equal(x.state_n, 4);
	assert_memory_equal(x.state, "\0\1\2\377", 4);
}

static void a_rollout_that_is_not_there_is_not_found(void **state)
{
	struct place *p = *state;
	struct seen x = {0};
	struct store_rollout r = {.id = 77};
	assert_int_equal(store_rollout_get(p->s, 77, note, &x, NULL), HG_E_NOT_FOUND);
	assert_int_equal(store_rollout_get(p->s, UINT64_MAX, note, &x, NULL), HG_E_NOT_FOUND);
	assert_int_equal(store_rollout_set(p->s, &r, NULL), HG_E_NOT_FOUND);
	assert_int_equal(x.n, 0);
}

static void ids_are_never_used_again(void **state)
{
	struct place *p = *state;
	uint64_t a = add(p, p->app, 1, 2), b = add(p, p->other, 1, 2);
	assert_true(a > 0);
	assert_int_equal(b, a + 1);
	/* One that was undone has told nobody its id. */
	assert_int_equal(store_begin(p->s, NULL), HG_OK);
	uint64_t c = add(p, p->app, 2, 3);
	assert_int_equal(store_commit(p->s, NULL), HG_OK);
	store_close(p->s);
	opened(p);
	assert_true(add(p, p->app, 3, 4) > c);
}

static void running_ones_are_found_oldest_first(void **state)
{
	struct place *p = *state;
	struct seen x = {0};
	uint64_t a = add(p, p->app, 1, 2), b = add(p, p->other, 1, 2), c = add(p, p->app, 2, 3);
	set(p, b, 1700000009999);
	assert_int_equal(store_rollouts_running(p->s, note, &x, NULL), HG_OK);
	assert_int_equal(x.n, 2);
	assert_int_equal(x.id[0], a);
	assert_int_equal(x.id[1], c);
	assert_true(x.texts[0] == '{');
}

static void lists_go_from_the_newest_and_by_app(void **state)
{
	struct place *p = *state;
	struct seen x = {0};
	uint64_t id[5];
	for (uint32_t i = 0; i < 5; i++)
		id[i] = add(p, i % 2 ? p->other : p->app, i, i + 1);
	set(p, id[4], 0);
	assert_int_equal(store_rollouts(p->s, 0, 0, 3, note, &x, NULL), HG_OK);
	assert_int_equal(x.n, 3);
	assert_int_equal(x.id[0], id[4]);
	assert_int_equal(x.id[2], id[2]);
	assert_int_equal(x.state_n, 0);
	x = (struct seen){0};
	assert_int_equal(store_rollouts(p->s, p->app, id[4], 10, note, &x, NULL), HG_OK);
	assert_int_equal(x.n, 2);
	assert_int_equal(x.id[0], id[2]);
	assert_int_equal(x.id[1], id[0]);
}

struct held {
	uint32_t n, release[8];
	uint64_t rollout[8];
};

static void hold(void *arg, const struct store_quarantine *q)
{
	struct held *h = arg;
	assert_true(h->n < 8);
	h->release[h->n] = q->release;
	h->rollout[h->n++] = q->rollout;
}

static void a_release_stays_in_quarantine_until_it_is_let_out(void **state)
{
	struct place *p = *state;
	struct held h = {0};
	struct store_quarantine q = {p->app, 5, 12, 1700000000000};
	assert_int_equal(store_quarantine_add(p->s, &q, NULL), HG_OK);
	q.rollout = 13; /* taken back once more */
	assert_int_equal(store_quarantine_add(p->s, &q, NULL), HG_OK);
	q.release = 3;
	assert_int_equal(store_quarantine_add(p->s, &q, NULL), HG_OK);
	assert_int_equal(store_quarantines(p->s, p->app, hold, &h, NULL), HG_OK);
	assert_int_equal(h.n, 2);
	assert_int_equal(h.release[0], 3);
	assert_int_equal(h.release[1], 5);
	assert_int_equal(h.rollout[1], 13);
	assert_int_equal(store_quarantine_remove(p->s, p->app, 5, NULL), HG_OK);
	assert_int_equal(store_quarantine_remove(p->s, p->app, 5, NULL), HG_OK);
	h = (struct held){0};
	assert_int_equal(store_quarantines(p->s, p->app, hold, &h, NULL), HG_OK);
	assert_int_equal(h.n, 1);
	h = (struct held){0};
	assert_int_equal(store_quarantines(p->s, p->other, hold, &h, NULL), HG_OK);
	assert_int_equal(h.n, 0);
}

static void event_state_and_quarantine_are_one_transaction(void **state)
{
	struct place *p = *state;
	struct seen x = {0};
	struct held h = {0};
	uint64_t id = add(p, p->app, 1, 2);
	assert_int_equal(store_begin(p->s, NULL), HG_OK);
	set(p, id, 0);
	struct store_quarantine q = {p->app, 2, id, 1};
	assert_int_equal(store_quarantine_add(p->s, &q, NULL), HG_OK);
	store_rollback(p->s);
	assert_int_equal(store_rollout_get(p->s, id, note, &x, NULL), HG_OK);
	assert_int_equal(x.last.phase, 0);
	assert_int_equal(store_quarantines(p->s, p->app, hold, &h, NULL), HG_OK);
	assert_int_equal(h.n, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_fresh, remove_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_rollout_is_kept_with_its_state),
	        TEST(a_rollout_that_is_not_there_is_not_found),
	        TEST(ids_are_never_used_again),
	        TEST(running_ones_are_found_oldest_first),
	        TEST(lists_go_from_the_newest_and_by_app),
	        TEST(a_release_stays_in_quarantine_until_it_is_let_out),
	        TEST(event_state_and_quarantine_are_one_transaction),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
