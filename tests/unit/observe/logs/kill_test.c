/* SIGKILL at any moment: every line is there exactly once at the end. */
#include "tests/unit/observe/logs/box.h"

#include "base/rand.h"
#include "os/clock.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LINES_A_KILL 3000u

static void reader(struct box *b, const char *fifo)
{
	struct logs_source *s;
	struct logs_label label = {.app = "web", .release = 1, .replica = 1, .incarnation = 1};
	b->o.wall_ns = clock_wall_ns;
	b->o.block_ms = 2;
	b->o.trickle_ms = 2;
	if (logs_open(&b->o, &b->l, NULL) != HG_OK) _exit(1);
	int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (logs_source_open(b->l, &label, fd, &s) != HG_OK) _exit(1);
	for (unsigned turn = 0;; turn++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		poll(&p, 1, 1);
		(void)logs_source_drain(b->l, s);
		/* Turns stand for time: every tick is due for a sync and a hole. */
		logs_tick(b->l, (uint64_t)turn * 1000);
	}
}

static void writer(const char *fifo, unsigned lines)
{
	/* Like a replica: it holds its own read end, so that nobody's death is its own. */
	int fd = open(fifo, O_RDWR | O_CLOEXEC);
	for (unsigned i = 0; i < lines; i++) {
		char line[128];
		int n = snprintf(line, sizeof line,
		        "{\"level\":\"info\",\"n\":%08u,\"pad\":\"%.*s\"}\n", i, (int)(i % 60),
		        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
		if (write(fd, line, (size_t)n) != n) _exit(1);
	}
	/* Until everything was read: closing the last end would throw the rest away. */
	for (;;)
		pause();
}

static void count_lines(struct box *b, unsigned lines)
{
	size_t n;
	char *seen = calloc(lines, 1);
	char *text = box_find(b, &(struct logs_query){.app = HG_STR("web")}, &n);
	unsigned next = 0;
	/* Line by line: under AddressSanitizer strstr measures all the rest of the text each time.
	 */
	for (const char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		const char *number = memmem(at, (size_t)(end - at), "\"n\":", 4);
		if (!number) continue;
		unsigned long i = strtoul(number + 4, NULL, 10);
		assert_true(i < lines);
		seen[i]++;
		assert_int_equal(i, next++); /* in order, too */
	}
	for (unsigned i = 0; i < lines; i++)
		if (seen[i] != 1) fail_msg("line %u: %d times", i, seen[i]);
	assert_int_equal(n, lines);
	free(text);
	free(seen);
}

static void test_no_line_is_lost_or_doubled_by_kills_at_random_moments(void **state)
{
	(void)state;
	unsigned kills = getenv("HEADGATE_TEST_LONG") ? 400 : 25, lines = kills * LINES_A_KILL;
	struct box b;
	struct hg_rand rand;
	char fifo[96];
	hg_rand_seed(&rand, 7);
	box_init(&b, 16 * 1024);
	logs_close(b.l);
	b.l = NULL;
	snprintf(fifo, sizeof fifo, "%s/fifo", b.path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	pid_t from = fork();
	if (from == 0) writer(fifo, lines);
	for (unsigned k = 0; k < kills; k++) {
		pid_t pid = fork();
		if (pid == 0) reader(&b, fifo);
		usleep(1000 + hg_rand_below(&rand, 25000));
		kill(pid, SIGKILL);
		int status;
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
	}
	/* The last one reads to the end. */
	struct logs_source *s;
	struct logs_label label = {.app = "web", .release = 1, .replica = 1, .incarnation = 1};
	b.o.wall_ns = clock_wall_ns;
	box_open(&b);
	int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(logs_source_open(b.l, &label, fd, &s), HG_OK);
	uint64_t deadline = clock_mono_ms() + 30000;
	size_t n = 0;
	char last[32];
	snprintf(last, sizeof last, "\"n\":%08u", lines - 1);
	struct logs_query q = {.app = HG_STR("web"), .grep = hg_str(last)};
	while (n == 0 && clock_mono_ms() < deadline) {
		if (logs_source_drain(b.l, s) == LOGS_EMPTY) free(box_find(&b, &q, &n));
	}
	kill(from, SIGKILL);
	waitpid(from, NULL, 0);
	logs_source_end(b.l, s);
	count_lines(&b, lines);
	/* And once more from the files alone; the spool is gone. */
	logs_close(b.l);
	box_open(&b);
	count_lines(&b, lines);
	struct logs_stats st;
	logs_stats(b.l, &st);
	assert_int_equal(st.sources, 0);
	assert_int_equal(st.corrupt_blocks, 0);
	box_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_no_line_is_lost_or_doubled_by_kills_at_random_moments),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
