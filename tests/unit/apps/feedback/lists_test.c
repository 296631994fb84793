#include "tests/unit/test.h"

#include "apps/feedback/lists_decide.c"
#include "apps/feedback/lists_redis.c"

#include "base/rand.h"

static void a_list_is_given_only_when_it_is_as_new_as_the_request(void **state)
{
	static const struct {
		struct lists_view v;
		enum lists_step want;
	} rows[] = {
	        /* nothing is known: the list itself is asked for; with Redis, the stamp first */
	        {{.since = 5, .checks = true}, LISTS_FETCH},
	        {{.since = 5, .checks = true, .worth = true}, LISTS_CHECK},
	        /* a list from before the request: is it still right? */
	        {{.since = 5, .checks = true, .have = true, .have_moment = 5, .have_stamp = 7},
	                LISTS_CHECK},
	        /* a check from before the request says nothing */
	        {{.since = 5,
	                 .checks = true,
	                 .have = true,
	                 .have_moment = 3,
	                 .have_stamp = 7,
	                 .checked_moment = 5,
	                 .checked_stamp = 7},
	                LISTS_CHECK},
	        {{.since = 5,
	                 .checks = true,
	                 .have = true,
	                 .have_moment = 3,
	                 .have_stamp = 7,
	                 .checked_moment = 6,
	                 .checked_stamp = 7},
	                LISTS_GIVE},
	        {{.since = 5,
	                 .checks = true,
	                 .have = true,
	                 .have_moment = 3,
	                 .have_stamp = 7,
	                 .checked_moment = 6,
	                 .checked_stamp = 8},
	                LISTS_FETCH},
	        /* asked for after the request came, whatever was checked meanwhile */
	        {{.since = 5,
	                 .have = true,
	                 .have_moment = 6,
	                 .have_stamp = 7,
	                 .checked_moment = 9,
	                 .checked_stamp = 8},
	                LISTS_GIVE},
	        /* … but of a replica that has not what this client has seen */
	        {{.since = 5,
	                 .seen = 100,
	                 .checks = true,
	                 .have = true,
	                 .have_moment = 6,
	                 .have_seen = 99,
	                 .have_stamp = 7},
	                LISTS_CHECK},
	        {{.since = 5, .seen = 100, .have = true, .have_moment = 6, .have_seen = 100},
	                LISTS_GIVE},
	        {{.since = 5,
	                 .seen = 100,
	                 .have = true,
	                 .have_moment = 6,
	                 .have_seen = 0,
	                 .have_stamp = 7,
	                 .checked_moment = 6,
	                 .checked_stamp = 7},
	                LISTS_GIVE},
	        /* the client has it */
	        {{.since = 5, .client_has = true, .checked_moment = 6, .checked_stamp = 7},
	                LISTS_UNCHANGED},
	        {{.since = 5,
	                 .client_has = true,
	                 .checks = true,
	                 .checked_moment = 5,
	                 .worth = true},
	                LISTS_CHECK},
	        /* no checks: as without a cache */
	        {{.since = 5, .have = true, .have_moment = 3}, LISTS_FETCH_ALONE},
	        {{.since = 5}, LISTS_FETCH_ALONE},
	        /* writers are quicker than readers: no more waiting for others */
	        {{.since = 5,
	                 .rounds = LISTS_ROUNDS,
	                 .checks = true,
	                 .have = true,
	                 .have_moment = 3,
	                 .have_stamp = 7,
	                 .checked_moment = 6,
	                 .checked_stamp = 8},
	                LISTS_FETCH_ALONE},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		enum lists_step got = lists_decide(&rows[i].v);
		if (got != rows[i].want) fail_msg("row %zu: %d", i, got);
	}
}

/*
 * A database whose state is a number that grows, seen through questions that take their time: each
 * is answered with the state at some moment between its asking and its answer. Whatever is decided,
 * no request may get a state older than that of its arrival.
 */
static void no_order_of_events_gives_a_state_older_than_the_request(void **state)
{
	struct hg_rand r;
	uint32_t gives = 0, others = 0;
	(void)state;
	hg_rand_seed(&r, 11);
	for (uint32_t run = 0; run < 200000; run++) {
		struct lists_view v = {.checks = true, .worth = hg_rand_below(&r, 2)};
		int64_t now = 100, check_state = 0, list_state = 0, arrived;
		uint64_t moment = 10, check_moment = 0, list_moment = 0;
		/* what was asked before the request came, and may come after it */
		list_moment = hg_rand_below(&r, 2) ? ++moment : 0;
		check_moment = hg_rand_below(&r, 2) ? ++moment : 0;
		list_state = check_state = now;
		now += hg_rand_below(&r, 2);
		v.since = moment;
		arrived = now;
		for (uint32_t event = 0; event < 12; event++) {
			enum lists_step step = lists_decide(&v);
			if (step == LISTS_GIVE) {
				assert_true(v.have_stamp >= arrived);
				gives++;
				break;
			}
			if (step == LISTS_CHECK && !check_moment) {
				check_moment = ++moment;
				check_state = now;
			}
			if ((step == LISTS_FETCH || step == LISTS_FETCH_ALONE) && !list_moment) {
				list_moment = ++moment;
				list_state = now;
			}
			now += hg_rand_below(&r, 3) == 0;
			if (hg_rand_below(&r, 2)) list_state = HG_MAX(list_state, now - 1);
			if (check_moment && hg_rand_below(&r, 2)) {
				if (check_moment > v.checked_moment) {
					v.checked_moment = check_moment;
					v.checked_stamp = check_state;
				}
				check_moment = 0;
			}
			if (list_moment && hg_rand_below(&r, 2)) {
				v.have = true;
				v.have_moment = list_moment;
				v.have_stamp = list_state;
				v.rounds++;
				list_moment = 0;
			}
			others++;
		}
	}
	assert_true(gives > 150000 && others > gives);
}

static void a_validator_is_another_for_everything_that_makes_other_bytes(void **state)
{
	char one[LISTS_ETAG_MAX], two[LISTS_ETAG_MAX];
	const struct lists_page at = {3, 4, 0}, others[] = {{9, 4, 0}, {3, 9, 0}, {3, 4, 1}};
	struct hg_str a = lists_etag(1, 2, &at, one);
	(void)state;
	assert_int_equal(a.n, 18);
	assert_true(a.p[0] == '"' && a.p[17] == '"');
	assert_true(hg_str_eq(a, lists_etag(1, 2, &at, two)));
	assert_false(hg_str_eq(a, lists_etag(9, 2, &at, two)));
	assert_false(hg_str_eq(a, lists_etag(1, 9, &at, two)));
	for (size_t i = 0; i < HG_COUNT(others); i++)
		assert_false(hg_str_eq(a, lists_etag(1, 2, &others[i], two)));
}

static void what_is_shared_comes_back_and_what_is_damaged_does_not(void **state)
{
	static const char *const bad[] = {"", "1 2\n[]\n", "1 2 3\n", "1 2 4\n[]\n", "1 2 3\n[}\n",
	        "1 2 3 4\n[]\n", "x 2 3\n[]\n", "-1 2 3\n[]\n", "1 2 3[]\n",
	        "9223372036854775808 2 3\n[]\n"};
	struct listed e = {.total = 7, .next = 99}, got = {0};
	struct hg_str json;
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 256);
	lists_shared_text(&e, HG_STR("[{\"id\":1}]\n"), &b);
	assert_true(lists_shared_read(hg_buf_view(&b), &got, &json));
	assert_int_equal(got.total, 7);
	assert_int_equal(got.next, 99);
	assert_str(json, "[{\"id\":1}]\n");
	for (size_t n = 0; n < b.n; n++)
		assert_false(lists_shared_read((struct hg_str){b.p, n}, &got, &json));
	hg_buf_free(&b);
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		if (lists_shared_read(hg_str(bad[i]), &got, &json)) fail_msg("row %zu", i);
}

static void the_name_says_build_stamp_and_page(void **state)
{
	char name[LISTS_NAME_MAX];
	(void)state;
	const struct lists_page page = {INT64_MAX, 1000, 1};
	size_t n = lists_shared_name(UINT64_MAX, -1, &page, name);
	assert_str(((struct hg_str){name, n}),
	        "feedback:list:ffffffffffffffff:ffffffffffffffff:9223372036854775807:1000:v2");
	/* the key in the cache is its bytes: none of them is left to chance */
	assert_int_equal(sizeof page, sizeof page.before + sizeof page.limit + sizeof page.form);
	assert_true(lists_build() != 0);
	assert_true(lists_build() == lists_build());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_list_is_given_only_when_it_is_as_new_as_the_request),
	        cmocka_unit_test(no_order_of_events_gives_a_state_older_than_the_request),
	        cmocka_unit_test(a_validator_is_another_for_everything_that_makes_other_bytes),
	        cmocka_unit_test(what_is_shared_comes_back_and_what_is_damaged_does_not),
	        cmocka_unit_test(the_name_says_build_stamp_and_page),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
