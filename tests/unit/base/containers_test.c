#include "../test.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rand.h"

static void a_heap_gives_back_in_order_whatever_is_removed(void **s)
{
	struct hg_heap h = {0};
	struct hg_heap_node nodes[500] = {0};
	struct hg_rand r;
	(void)s;
	hg_rand_seed(&r, 1);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(hg_heap_reserve(&h), HG_OK);
		hg_heap_put(&h, &nodes[i], hg_rand_below(&r, 1000));
	}
	for (int i = 0; i < 500; i += 3)
		hg_heap_remove(&h, &nodes[i]);
	uint64_t last = 0;
	uint32_t count = 0;
	for (struct hg_heap_node *n; (n = hg_heap_min(&h)); count++) {
		assert_true(n->key >= last);
		last = n->key;
		hg_heap_remove(&h, n);
	}
	assert_int_equal(count, 500 - 167);
	hg_heap_remove(&h, &nodes[0]);
	hg_heap_fini(&h);
}

static void a_map_agrees_with_a_plain_array(void **s)
{
	static char present[1000];
	struct hg_map m;
	struct hg_rand r;
	(void)s;
	hg_map_init(&m, 42);
	hg_rand_seed(&r, 2);
	for (int step = 0; step < 20000; step++) {
		uint32_t k = hg_rand_below(&r, 1000);
		char text[16];
		struct hg_str key = {text, (size_t)snprintf(text, sizeof text, "key-%u", k)};
		if (hg_rand_below(&r, 2)) {
			assert_int_equal(hg_map_put(&m, key, &present[k]), HG_OK);
			present[k] = 1;
		} else {
			assert_ptr_equal(hg_map_remove(&m, key), present[k] ? &present[k] : NULL);
			present[k] = 0;
		}
		assert_ptr_equal(hg_map_get(&m, key), present[k] ? &present[k] : NULL);
	}
	uint32_t want = 0, have = 0, at = 0;
	struct hg_str key;
	void *value;
	for (int i = 0; i < 1000; i++)
		want += (uint32_t)present[i];
	while (hg_map_next(&m, &at, &key, &value))
		have++;
	assert_int_equal(have, want);
	assert_int_equal(m.n, want);
	hg_map_fini(&m);
}

static void an_arena_respects_its_cap_and_zeroes(void **s)
{
	struct hg_arena a;
	(void)s;
	hg_arena_init(&a, "test", 10000);
	char *p = hg_arena_take(&a, 100);
	assert_non_null(p);
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	assert_null(hg_arena_take(&a, 9999));
	assert_null(hg_arena_array(&a, SIZE_MAX / 2, 3));
	assert_non_null(hg_arena_take(&a, 9000));
	assert_str(hg_arena_str(&a, HG_STR("x")), "x");
	hg_arena_fini(&a);
	assert_int_equal(a.used, 0);
}

static void lists_survive_removal_while_walking(void **s)
{
	struct hg_list l, n[4];
	int seen = 0;
	(void)s;
	hg_list_init(&l);
	for (int i = 0; i < 4; i++)
		hg_list_append(&l, &n[i]);
	HG_LIST_EACH_SAFE (pos, after, &l) {
		hg_list_remove(pos);
		seen++;
	}
	assert_int_equal(seen, 4);
	assert_true(hg_list_empty(&l));
}

static void random_numbers_repeat_and_stay_in_range(void **s)
{
	struct hg_rand a, b;
	(void)s;
	hg_rand_seed(&a, 9);
	hg_rand_seed(&b, 9);
	for (int i = 0; i < 1000; i++) {
		assert_true(hg_rand_below(&a, 7) < 7);
		double u = hg_rand_unit(&a);
		assert_true(u >= 0 && u < 1);
	}
	assert_true(hg_rand_u64(&b) != hg_rand_u64(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_heap_gives_back_in_order_whatever_is_removed),
	        cmocka_unit_test(a_map_agrees_with_a_plain_array),
	        cmocka_unit_test(an_arena_respects_its_cap_and_zeroes),
	        cmocka_unit_test(lists_survive_removal_while_walking),
	        cmocka_unit_test(random_numbers_repeat_and_stay_in_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
