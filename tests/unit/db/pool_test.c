#include "tests/unit/test.h"

#include "db/pool_decide.c"

static void lag_is_the_age_of_the_oldest_position_that_is_missing(void **state)
{
	struct samples s = {0};
	(void)state;
	assert_int_equal(pool_lag_ms(&s, 0, 1000), 0); /* nothing is known of the primary */
	pool_sample(&s, 100, 1000);
	pool_sample(&s, 200, 2000);
	pool_sample(&s, 300, 3000);
	assert_int_equal(pool_lag_ms(&s, 300, 9000), 0);
	assert_int_equal(pool_lag_ms(&s, 999, 9000), 0);
	assert_int_equal(pool_lag_ms(&s, 299, 3500), 500);
	assert_int_equal(pool_lag_ms(&s, 199, 3500), 1500);
	assert_int_equal(pool_lag_ms(&s, 0, 3500), 2500);
	/* missing, however young */
	assert_int_equal(pool_lag_ms(&s, 299, 3000), 1);
}

static void an_idle_primary_makes_no_lag(void **state)
{
	struct samples s = {0};
	(void)state;
	for (uint64_t ms = 1000; ms < 100000; ms += 250)
		pool_sample(&s, 100, ms);
	assert_int_equal(s.n, 1);
	assert_int_equal(pool_lag_ms(&s, 100, 100000), 0);
	/* and what is missing since then is as old as when it was first seen */
	assert_int_equal(pool_lag_ms(&s, 99, 100000), 99000);
}

static void old_positions_make_room_and_a_lag_beyond_them_is_at_least_theirs(void **state)
{
	struct samples s = {0};
	(void)state;
	for (uint64_t i = 1; i <= 10 * POOL_SAMPLES; i++)
		pool_sample(&s, i, i * 100);
	assert_int_equal(s.n, POOL_SAMPLES);
	uint64_t now_ms = 10 * POOL_SAMPLES * 100;
	assert_int_equal(pool_lag_ms(&s, 10 * POOL_SAMPLES, now_ms), 0);
	assert_int_equal(pool_lag_ms(&s, 10 * POOL_SAMPLES - 3, now_ms), 200);
	assert_int_equal(pool_lag_ms(&s, 1, now_ms), (POOL_SAMPLES - 1) * 100);
}

static void only_what_was_certainly_not_carried_out_is_sent_again(void **state)
{
	(void)state;
	assert_true(pool_untouched("25006", "cannot execute INSERT in a read-only transaction"));
	assert_true(pool_untouched("40001", ""));
	assert_true(pool_untouched("40P01", ""));
	assert_true(pool_untouched("0A000", "cached plan must not change result type"));
	assert_false(pool_untouched("0A000", "something else"));
	assert_false(
	        pool_untouched("57P01", "terminating connection")); /* perhaps after the commit */
	assert_false(pool_untouched("57014", "canceling statement"));
	assert_false(pool_untouched("23505", ""));
	assert_false(pool_untouched("", ""));
	assert_false(pool_untouched(NULL, NULL));
}

static void a_connection_to_a_standby_or_without_our_statements_is_closed(void **state)
{
	(void)state;
	assert_int_equal(pool_useless("25006", ""), USELESS_ALL);
	assert_int_equal(pool_useless("26000", ""), USELESS_ALL);
	assert_int_equal(
	        pool_useless("0A000", "cached plan must not change result type"), USELESS_ALL);
	assert_int_equal(pool_useless("57P01", ""), USELESS_THIS);
	assert_int_equal(pool_useless("57014", ""), USELESS_NONE);
	assert_int_equal(pool_useless("23505", ""), USELESS_NONE);
	assert_int_equal(pool_useless(NULL, NULL), USELESS_NONE);
}

static void a_list_for_libpq_is_taken_apart_and_one_element_is_for_all(void **state)
{
	unsigned n = 0;
	(void)state;
	assert_str(pool_element("a,b,c", 0, &n), "a");
	assert_int_equal(n, 3);
	assert_str(pool_element("a,b,c", 2, NULL), "c");
	assert_str(pool_element("a,,c", 1, &n), "");
	assert_int_equal(n, 3);
	assert_str(pool_element("a,b,", 2, &n), "");
	assert_int_equal(n, 3);
	assert_str(pool_element("5432", 7, &n), "5432");
	assert_int_equal(n, 1);
	assert_str(pool_element("", 3, &n), "");
}

static void the_text_of_an_address_has_no_password(void **state)
{
	static const char *const rows[][2] = {
	        {"postgres://u:secret@h:1,i:2/d", "postgres://u:***@h:1,i:2/d"},
	        {"postgres://u:se@cret@h/d?x=1", "postgres://u:***@h/d?x=1"},
	        {"postgres://u@h:5432/d", "postgres://u@h:5432/d"},
	        {"postgres://h/d?user=u&password=secret&x=1",
	                "postgres://h/d?user=u&password=***&x=1"},
	        {"postgres://h/d?a=@b:c", "postgres://h/d?a=@b:c"},
	        {"sqlite:data/feedback.db", "sqlite:data/feedback.db"},
	        {"", ""},
	};
	char text[128];
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		size_t n = db_url_text(rows[i][0], text, sizeof text);
		assert_string_equal(text, rows[i][1]);
		assert_int_equal(n, strlen(text));
	}
	db_url_text("postgres://u:secret@h/d?password=secret", text, sizeof text);
	assert_null(strstr(text, "secret"));
	assert_true(db_url_text("postgres://u:secret@host/d", text, 16) < 16);
	assert_null(strstr(text, "secret"));
}

static void errors_of_the_server_are_those_of_the_door(void **state)
{
	static const struct {
		const char *state;
		enum hg_rc rc;
	} rows[] = {{"", HG_E_AGAIN}, {"08006", HG_E_AGAIN}, {"25006", HG_E_AGAIN},
	        {"40001", HG_E_AGAIN}, {"53300", HG_E_AGAIN}, {"53100", HG_E_DB_FULL},
	        {"57P01", HG_E_AGAIN}, {"57014", HG_E_AGAIN}, {"55P03", HG_E_AGAIN},
	        {"23505", HG_E_DB_CONSTRAINT}, {"23502", HG_E_DB_CONSTRAINT},
	        {"XX001", HG_E_DB_CORRUPT}, {"42601", HG_E_DB_QUERY}, {"22P02", HG_E_DB_QUERY}};
	(void)state;
	assert_int_equal(libpq_rc_of(NULL), HG_E_AGAIN);
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		assert_int_equal(libpq_rc_of(rows[i].state), rows[i].rc);
}

static void words_of_several_lines_become_one(void **state)
{
	char to[32];
	(void)state;
	libpq_words("  could not\n\tconnect:  refused\n", to, sizeof to);
	assert_string_equal(to, "could not connect: refused");
	libpq_words(NULL, to, sizeof to);
	assert_string_equal(to, "");
	libpq_words("0123456789", to, 5);
	assert_string_equal(to, "0123");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(lag_is_the_age_of_the_oldest_position_that_is_missing),
	        cmocka_unit_test(an_idle_primary_makes_no_lag),
	        cmocka_unit_test(old_positions_make_room_and_a_lag_beyond_them_is_at_least_theirs),
	        cmocka_unit_test(only_what_was_certainly_not_carried_out_is_sent_again),
	        cmocka_unit_test(a_connection_to_a_standby_or_without_our_statements_is_closed),
	        cmocka_unit_test(a_list_for_libpq_is_taken_apart_and_one_element_is_for_all),
	        cmocka_unit_test(the_text_of_an_address_has_no_password),
	        cmocka_unit_test(errors_of_the_server_are_those_of_the_door),
	        cmocka_unit_test(words_of_several_lines_become_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
