#include "../test.h"

#include "meter/board.c"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static struct board *fresh(void)
{
	struct board *b = calloc(1, sizeof *b);
	assert_non_null(b);
	assert_null(board_open(b, sizeof *b)); /* not formatted yet */
	board_init(b);
	assert_ptr_equal(board_open(b, sizeof *b), b);
	assert_null(board_open(b, sizeof *b - 1));
	assert_null(board_open(NULL, sizeof *b));
	return b;
}

static void test_a_page_is_read_as_it_was_written(void **state)
{
	struct board *b = fresh();
	struct board_page page = {.pid = 7};
	struct hg_buf to;
	(void)state;
	hg_buf_init(&to, BOARD_TEXT + 64);
	assert_false(board_read(b, &to, &page)); /* nobody has written */
	assert_int_equal(page.pid, 7);
	for (size_t n = 0; n < 40; n++) {
		char text[40];
		memset(text, 'a' + (int)n % 26, sizeof text);
		board_write(b, (struct hg_str){text, n}, 100 + (uint32_t)n, 5000 + n);
		assert_true(board_read(b, &to, &page));
		assert_int_equal(to.n, n);
		assert_memory_equal(to.p, text, n);
		assert_int_equal(page.pid, 100 + n);
		assert_int_equal(page.at_ms, 5000 + n);
	}
	hg_buf_free(&to);
	free(b);
}

static void test_a_page_without_room_leaves_the_one_before(void **state)
{
	struct board *b = fresh();
	struct board_page page;
	struct hg_buf to;
	(void)state;
	hg_buf_init(&to, BOARD_TEXT + 64);
	board_write(b, HG_STR("before"), 1, 1);
	board_write(b, (struct hg_str){NULL, BOARD_TEXT + 1}, 2, 2);
	assert_true(board_read(b, &to, &page));
	assert_str(hg_buf_view(&to), "before");
	assert_int_equal(page.pid, 1);
	assert_int_equal(b->lost, 1);
	hg_buf_free(&to);
	free(b);
}

static void test_who_died_while_writing_does_not_stop_his_successor(void **state)
{
	struct board *b = fresh();
	struct board_page page;
	struct hg_buf to;
	(void)state;
	hg_buf_init(&to, BOARD_TEXT + 64);
	board_write(b, HG_STR("whole"), 1, 1);
	b->seq++; /* killed at the first word */
	b->text[0] = 0;
	assert_false(board_read(b, &to, &page));
	board_write(b, HG_STR("after"), 2, 9);
	assert_true(board_read(b, &to, &page));
	assert_str(hg_buf_view(&to), "after");
	assert_int_equal(page.pid, 2);
	hg_buf_free(&to);
	free(b);
}

static atomic_bool stop;

static void *write_on(void *arg)
{
	static char text[4096];
	for (unsigned i = 0; !atomic_load(&stop); i++) {
		memset(text, 'a' + (int)(i % 26), sizeof text);
		board_write(arg, (struct hg_str){text, 1 + i % sizeof text}, 1, i);
		if (i % 16 == 0) usleep(1); /* readers need a moment without a writer */
	}
	return NULL;
}

static void test_a_reader_never_sees_half_of_two_pages(void **state)
{
	struct board *b = fresh();
	struct hg_buf to;
	pthread_t t;
	(void)state;
	unsigned good = 0;
	hg_buf_init(&to, BOARD_TEXT + 64);
	assert_int_equal(pthread_create(&t, NULL, write_on, b), 0);
	for (unsigned i = 0; good < 2000 && i < 5000000; i++) {
		struct board_page page;
		if (!board_read(b, &to, &page)) continue;
		good++;
		assert_int_equal(to.n, 1 + page.at_ms % 4096);
		for (size_t k = 0; k < to.n; k++)
			assert_int_equal(to.p[k], 'a' + (int)(page.at_ms % 26));
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	assert_true(good > 0);
	hg_buf_free(&to);
	free(b);
}

static void test_bases_are_kept_by_place(void **state)
{
	struct board *b = fresh();
	struct meter_replica_sum in = {.count = 7, .errors = 3, .overtaken = 9}, out;
	(void)state;
	in.bucket[METER_BUCKETS - 1] = UINT64_MAX;
	assert_int_equal(board_base_get(b, 5, &out), 0);
	assert_int_equal(out.count, 0);
	board_base_set(b, 5, &in, 1234);
	assert_int_equal(board_base_get(b, 5, &out), 1234);
	assert_memory_equal(&in, &out, sizeof in);
	assert_int_equal(board_base_get(b, METER_ENDPOINTS - 1, &out), 0);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_a_page_is_read_as_it_was_written),
	        cmocka_unit_test(test_a_page_without_room_leaves_the_one_before),
	        cmocka_unit_test(test_who_died_while_writing_does_not_stop_his_successor),
	        cmocka_unit_test(test_a_reader_never_sees_half_of_two_pages),
	        cmocka_unit_test(test_bases_are_kept_by_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
