/*
 * How long a search over a million lines takes: writes them through a pipe, as replicas do, then
 * looks for a text that is nowhere, one that is rare, and with case ignored. One core, one thread.
 * usage: logs-search [LINES]     prints one line a figure; the folder is made and removed.
 */
#include "tests/unit/observe/logs/box.h"

#include "os/clock.h"

#include <sys/resource.h>

static void fill(struct box *b, unsigned lines)
{
	struct logs_source *s;
	char *batch = malloc(64 * 1024);
	int fd = box_source(b, "web", 1, 1, LOGS_STDOUT, &s);
	size_t n = 0;
	for (unsigned i = 0; i < lines; i++) {
		n += (size_t)snprintf(batch + n, 512,
		        "{\"ts\":\"2026-11-23T19:%02u:%02u.%03uZ\",\"level\":\"info\",\"event\":"
		        "\"request\","
		        "\"method\":\"GET\",\"path\":\"/api/v1/items/"
		        "%u\",\"status\":200,\"ms\":%u.%u,"
		        "\"id\":\"%08x%08x\"}\n",
		        i / 60000 % 60, i / 1000 % 60, i % 1000, i * 7919 % 100000, i % 90, i % 10,
		        i * 2654435761u, i * 40503u);
		if (n < 60 * 1024 && i + 1 < lines) continue;
		batch[n] = 0;
		box_put(b, s, fd, batch);
		n = 0;
	}
	close(fd);
	free(batch);
	assert_int_equal(logs_flush(b->l), HG_OK);
}

static void measure(struct box *b, const char *what, const struct logs_query *q)
{
	size_t n;
	uint64_t from = clock_mono_ns();
	free(box_find(b, q, &n));
	printf("search %-14s %8.1f ms  %zu found\n", what, (double)(clock_mono_ns() - from) / 1e6,
	        n);
}

int main(int argc, char **argv)
{
	struct box b;
	struct logs_stats st;
	struct rusage use;
	unsigned lines = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
	box_init(&b, 0);
	uint64_t from = clock_mono_ns();
	fill(&b, lines);
	double s = (double)(clock_mono_ns() - from) / 1e9;
	logs_stats(b.l, &st);
	printf("lines %llu, %.1f MB, taken in %.2f s (%.0f lines/s), %.1f MB on disk\n",
	        (unsigned long long)st.lines, (double)st.bytes / 1e6, s, (double)lines / s,
	        (double)st.disk_bytes / 1e6);
	measure(&b, "nowhere", &(struct logs_query){.grep = HG_STR("no such text")});
	measure(&b, "rare", &(struct logs_query){.grep = HG_STR("/items/77777\"")});
	measure(&b, "any case",
	        &(struct logs_query){.grep = HG_STR("NO SUCH"), .ignore_case = true});
	measure(&b, "level error", &(struct logs_query){.least = HG_ERROR});
	getrusage(RUSAGE_SELF, &use);
	printf("memory at most %.1f MB\n", (double)use.ru_maxrss / 1024);
	box_fini(&b);
	return 0;
}
