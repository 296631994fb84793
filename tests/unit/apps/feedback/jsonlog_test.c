#include "tests/unit/test.h"

#include "apps/feedback/jsonlog.c"

#include <stdio.h>

/* Standard output is a pipe nobody reads until the test says so. */
static int pipe_for_stdout(int *ret_saved)
{
	int fds[2];
	fflush(stdout);
	assert_int_equal(pipe(fds), 0);
	*ret_saved = dup(STDOUT_FILENO);
	assert_true(dup2(fds[1], STDOUT_FILENO) >= 0);
	close(fds[1]);
	return fds[0];
}

static void restore(int saved)
{
	dup2(saved, STDOUT_FILENO);
	close(saved);
}

static void a_line_has_the_keys_that_log_pipelines_know(void **state)
{
	struct loop *l = NULL;
	struct jsonlog *log = NULL;
	char text[1024] = "";
	int saved, from = pipe_for_stdout(&saved);
	(void)state;
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(jsonlog_new(l, HG_INFO, "", &log), HG_OK);
	jsonlog(log, HG_DEBUG, "feedback", "not this one");
	jsonlog(log, HG_WARN, "feedback", "a \"b\"", HG_I("n", -3), HG_F("ms", 1.5),
	        HG_S("empty", ""), HG_S("s", "x\ny"));
	assert_int_equal(loop_turn(l, 0), HG_OK);
	ssize_t n = read(from, text, sizeof text - 1);
	restore(saved);
	assert_true(n > 0);
	assert_non_null(strstr(text, "{\"asctime\":\"20"));
	assert_non_null(
	        strstr(text, "\",\"levelname\":\"WARNING\",\"name\":\"feedback\",\"message\":"
	                     "\"a \\\"b\\\"\",\"n\":-3,\"ms\":1.500,\"s\":\"x\\ny\"}\n"));
	assert_null(strstr(text, "not this one"));
	jsonlog_free(log);
	loop_free(l);
	close(from);
}

static void a_reader_that_does_not_read_costs_lines_but_never_stops_the_writer(void **state)
{
	struct loop *l = NULL;
	struct jsonlog *log = NULL;
	char big[400];
	int saved, from = pipe_for_stdout(&saved);
	(void)state;
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = 0;
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(jsonlog_new(l, HG_INFO, "", &log), HG_OK);
	for (int i = 0; i < 5000; i++) {
		jsonlog(log, HG_INFO, "feedback", big);
		if (i % 100 == 0) assert_int_equal(loop_turn(l, 0), HG_OK);
	}
	uint64_t dropped = jsonlog_dropped(log);
	/* the pipe and the buffer hold about 2,500 lines of 480 bytes */
	assert_in_range(dropped, 1000, 4000);
	/* once somebody reads, the loss is told */
	char text[65536];
	bool told = false;
	size_t tail = 0;
	for (int i = 0; i < 100 && !told; i++) {
		ssize_t n = read(from, text + tail, sizeof text - 1 - tail);
		assert_true(n > 0);
		text[tail + (size_t)n] = 0;
		told = strstr(text, "log lines were dropped") != NULL;
		size_t keep = HG_MIN((size_t)n, (size_t)64);
		memmove(text, text + tail + (size_t)n - keep, keep);
		tail = keep;
		jsonlog(log, HG_INFO, "feedback", "more");
		assert_int_equal(loop_turn(l, 0), HG_OK);
	}
	restore(saved);
	assert_true(told);
	jsonlog_free(log);
	loop_free(l);
	close(from);
}

static void lines_also_go_to_the_log_file(void **state)
{
	char path[] = "/tmp/hg-jsonlog-XXXXXX", text[512] = "";
	int fd = mkstemp(path), saved, from = pipe_for_stdout(&saved);
	struct loop *l = NULL;
	struct jsonlog *log = NULL;
	(void)state;
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(jsonlog_new(l, HG_INFO, path, &log), HG_OK);
	jsonlog(log, HG_INFO, "feedback", "both");
	jsonlog_free(log);
	restore(saved);
	assert_true(read(fd, text, sizeof text - 1) > 0);
	assert_non_null(strstr(text, "\"message\":\"both\"}\n"));
	assert_int_equal(jsonlog_new(l, HG_INFO, "/nonexistent/x/y.log", &log), HG_E_IO);
	loop_free(l);
	close(fd);
	close(from);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_line_has_the_keys_that_log_pipelines_know),
	        cmocka_unit_test(
	                a_reader_that_does_not_read_costs_lines_but_never_stops_the_writer),
	        cmocka_unit_test(lines_also_go_to_the_log_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
