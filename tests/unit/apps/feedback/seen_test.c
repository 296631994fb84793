#include "tests/unit/test.h"

#include "apps/feedback/seen.c"

static void hash_of(uint32_t n, unsigned char to[SEEN_HASH])
{
	memset(to, 0, SEEN_HASH);
	memcpy(to, &n, sizeof n);
}

static void what_was_looked_up_counts_until_its_time_is_over(void **state)
{
	struct seen *s = NULL;
	unsigned char h[SEEN_HASH];
	struct seen_who w = {.who = {.user = 7}, .created_ms = 3};
	(void)state;
	assert_int_equal(seen_new(&s), HG_OK);
	hash_of(1, h);
	assert_null(seen_find(s, h, 0));
	seen_put(s, h, &w, 100);
	assert_non_null(seen_find(s, h, 99));
	assert_int_equal(seen_find(s, h, 99)->who.user, 7);
	assert_null(seen_find(s, h, 100));
	h[31] = 1; /* the same place, another hash */
	assert_null(seen_find(s, h, 50));
	seen_free(s);
}

static void one_or_all_of_a_user_are_forgotten_at_once(void **state)
{
	struct seen *s = NULL;
	unsigned char h[3][SEEN_HASH];
	struct seen_who w = {0};
	(void)state;
	assert_int_equal(seen_new(&s), HG_OK);
	for (uint32_t i = 0; i < 3; i++) {
		hash_of(i, h[i]);
		w.who.user = i < 2 ? 5 : 6;
		seen_put(s, h[i], &w, 100);
	}
	assert_int_equal(seen_count(s, 1), 3);
	seen_forget(s, h[0]);
	assert_null(seen_find(s, h[0], 1));
	assert_non_null(seen_find(s, h[1], 1));
	seen_forget_user(s, 5);
	assert_null(seen_find(s, h[1], 1));
	assert_non_null(seen_find(s, h[2], 1));
	seen_free(s);
}

static void it_never_grows_and_keeps_the_newest(void **state)
{
	struct seen *s = NULL;
	unsigned char h[SEEN_HASH];
	struct seen_who w = {0};
	(void)state;
	assert_int_equal(seen_new(&s), HG_OK);
	for (uint32_t i = 0; i < 4 * SEEN_PLACES; i++) {
		hash_of(i, h);
		seen_put(s, h, &w, 1000 + i);
	}
	assert_int_equal(seen_count(s, 1), SEEN_PLACES);
	hash_of(4 * SEEN_PLACES - 1, h);
	assert_non_null(seen_find(s, h, 1));
	hash_of(0, h);
	assert_null(seen_find(s, h, 1));
	seen_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_was_looked_up_counts_until_its_time_is_over),
	        cmocka_unit_test(one_or_all_of_a_user_are_forgotten_at_once),
	        cmocka_unit_test(it_never_grows_and_keeps_the_newest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
