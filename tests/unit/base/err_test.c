#include "../test.h"

#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

static void an_error_reads_as_documented(void **s)
{
	struct hg_err e;
	struct hg_buf b;
	(void)s;
	hg_buf_init(&b, 4096);
	assert_int_equal(
	        hg_err_set(&e, HG_E_INVALID, "unknown key \"%s\"", "replica"), HG_E_INVALID);
	hg_err_place(&e, "headgate.yaml", 7, 5);
	hg_err_hint(&e, "did you mean \"replicas\"?");
	assert_true(hg_str_copy(HG_STR("    replica: 3"), e.snippet, sizeof e.snippet));
	e.caret = 5;
	hg_err_print(&e, &b);
	assert_string_equal(hg_buf_text(&b),
	        "headgate.yaml:7:5: error HG1006: unknown key \"replica\"\n"
	        "     7 |     replica: 3\n"
	        "       |     ^\n"
	        "  hint: did you mean \"replicas\"?\n");
	hg_buf_free(&b);
}

static void every_code_is_found_by_its_name(void **s)
{
	size_t n;
	const struct hg_rc_info *rows = hg_rc_all(&n);
	(void)s;
	assert_true(n >= 10);
	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(hg_rc_by_code(hg_str(rows[i].code)), &rows[i]);
		assert_ptr_equal(hg_rc_by_code(hg_str(rows[i].code + 2)), &rows[i]);
		assert_ptr_equal(hg_rc_info(rows[i].rc), &rows[i]);
		assert_true(rows[i].exit_status > 0 && rows[i].http_status >= 400);
		assert_true(strlen(rows[i].page) > 20);
	}
	assert_null(hg_rc_by_code(HG_STR("HG0000")));
	assert_int_equal(hg_rc_info((enum hg_rc) - 7)->rc, HG_E_INTERNAL);
}

static uint64_t fixed_clock(void)
{
	return 1763924400123u;
}

static void a_log_line_is_one_json_object(void **s)
{
	int fds[2];
	char line[512];
	(void)s;
	assert_int_equal(pipe(fds), 0);
	struct hg_log l = {.fd = fds[1], .least = HG_INFO, .who = "test", .wall_ms = fixed_clock};
	hg_log(&l, HG_DEBUG, "not.seen");
	hg_log(&l, HG_WARN, "a.b", HG_S("text", "say \"hi\"\n"), HG_I("n", -3), HG_F("f", 0.5));
	ssize_t n = read(fds[0], line, sizeof line);
	assert_true(n > 0);
	assert_str(((struct hg_str){line, (size_t)n}),
	        "{\"ts\":\"2025-11-23T19:00:00.123Z\",\"level\":\"warn\",\"who\":\"test\","
	        "\"event\":\"a.b\",\"text\":\"say \\\"hi\\\"\\u000a\",\"n\":-3,\"f\":0.5}\n");
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_error_reads_as_documented),
	        cmocka_unit_test(every_code_is_found_by_its_name),
	        cmocka_unit_test(a_log_line_is_one_json_object),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
