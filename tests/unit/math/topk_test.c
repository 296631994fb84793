#include "../test.h"

#include <math.h>
#include <stdlib.h>

#include "base/rand.h"
#include "math/topk.h"

#define KEYS 20000u

static struct topk made(uint32_t cap, void **ret_memory)
{
	struct topk t;
	*ret_memory = calloc(1, topk_size(cap));
	assert_non_null(*ret_memory);
	topk_init(&t, cap, *ret_memory);
	return t;
}

static void whole(const struct topk *t)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < t->n; i++) {
		assert_int_equal(t->at[t->heap[i]], i);
		if (i)
			assert_true(
			        t->slot[t->heap[(i - 1) / 2]].count <= t->slot[t->heap[i]].count);
		sum += t->slot[i].count;
	}
	/* Whatever comes, the counts add up: it is what the bounds rest on. */
	assert_int_equal(sum, t->total);
}

/* What topk.h promises, against counting everything. */
static void promises(const struct topk *t, const uint64_t *truth)
{
	uint64_t limit = t->total / t->cap;
	uint8_t *there = calloc(1, KEYS);
	assert_non_null(there);
	whole(t);
	for (uint32_t i = 0; i < t->n; i++) {
		const struct topk_slot *s = &t->slot[i];
		assert_true(s->key < KEYS && !there[s->key]);
		there[s->key] = 1;
		assert_true(s->count >= truth[s->key]);
		assert_true(s->count - s->over <= truth[s->key]);
		assert_true(s->over <= limit);
	}
	for (uint32_t k = 0; k < KEYS; k++)
		if (truth[k] > limit && !there[k]) fail_msg("key %u with %lu is lost", k, truth[k]);
	free(there);
}

enum shape { EVEN, ZIPF, ROUND, LATE, SHAPES };

static uint32_t draw(struct hg_rand *r, enum shape shape, uint32_t step, uint32_t all)
{
	double u = (double)(hg_rand_u64(r) >> 11) / 9007199254740992.0;
	switch (shape) {
	case EVEN: return (uint32_t)(u * KEYS);
	case ZIPF: return (uint32_t)pow(KEYS, u) - 1;
	case ROUND: return step % KEYS; /* the worst there is: nobody twice before all */
	default: return step < all * 2 / 3 ? (uint32_t)(u * KEYS) : 7; /* one that comes late */
	}
}

static void the_bounds_hold_for_every_stream(void **state)
{
	static const uint32_t caps[] = {1, 2, 7, 64, 1000};
	uint64_t *truth = calloc(KEYS, sizeof *truth);
	(void)state;
	for (size_t c = 0; c < HG_COUNT(caps); c++) {
		for (unsigned shape = 0; shape < SHAPES; shape++) {
			enum { STEPS = 60000 };
			struct hg_rand r;
			void *memory;
			struct topk t = made(caps[c], &memory);
			hg_rand_seed(&r, 7 + c * SHAPES + shape);
			memset(truth, 0, KEYS * sizeof *truth);
			for (uint32_t i = 0; i < STEPS; i++) {
				uint32_t key = draw(&r, (enum shape)shape, i, STEPS);
				bool fresh;
				uint64_t by = 1 + (i % 5 == 0);
				uint32_t slot = topk_add(&t, key, by, &fresh);
				truth[key] += by;
				assert_int_equal(t.slot[slot].key, key);
				if (i % 9973 == 0) promises(&t, truth);
			}
			promises(&t, truth);
			free(memory);
		}
	}
	free(truth);
}

static void a_slot_tells_when_it_became_another_ones(void **state)
{
	void *memory;
	struct topk t = made(2, &memory);
	bool fresh;
	(void)state;
	assert_int_equal(topk_add(&t, 10, 5, &fresh), 0);
	assert_true(fresh);
	assert_int_equal(topk_add(&t, 11, 1, &fresh), 1);
	assert_int_equal(topk_add(&t, 10, 1, &fresh), 0);
	assert_false(fresh);
	assert_int_equal(topk_add(&t, 12, 1, &fresh), 1); /* in place of the one with the least */
	assert_true(fresh);
	assert_int_equal(t.slot[1].count, 2);
	assert_int_equal(t.slot[1].over, 1);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_bounds_hold_for_every_stream),
	        cmocka_unit_test(a_slot_tells_when_it_became_another_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
