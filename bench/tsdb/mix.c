/*
 * The 10,000 series of bench/tsdb.py, for two stores at once: 5,000 counters, 100 histograms of ten
 * buckets with sums and counts, 1,000 counters of CPU seconds, 2,800 gauges (a quarter hardly ever
 * changes, a quarter are bytes in pages, a quarter have two decimal places, a quarter are noise in
 * all bits). Values are functions of series and step, made of one seed.
 *   mix serve ADDR             /metrics has all of them, /t/0 … /t/199 fifty each; a step a second
 *   mix openmetrics FROM N MS  N steps MS apart from Unix time FROM (seconds) on, for promtool
 *   mix store DIR FROM N MS    the same straight into our store, a commit a step; prints figures:
 * bytes written are those of /proc/self/io mix close DIR FROM N MS    and afterwards all windows
 * are closed, as they are in the long run
 */
#include "base/rand.h"
#include "observe/tsdb/tsdb.h"
#include "os/loop.h"
#include "os/sock.h"
#include "serve/serve.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define SERIES  10000u
#define TARGETS 200u

struct mix {
	double v[SERIES];
	struct hg_rand rand;
	char name[SERIES][200]; /* as it stands in the text formats */
	struct label label[SERIES][8];
	uint32_t labels[SERIES];
	char text[SERIES][5][40];
};

/* About Poisson with this mean. */
static double steps(struct hg_rand *r, double mean)
{
	double x = 0;
	for (int i = 0; i < 12; i++)
		x += hg_rand_unit(r);
	x = mean + (x - 6) * sqrt(mean);
	return x < 0 ? 0 : floor(x + 0.5);
}

static void label(struct mix *m, uint32_t i, const char *name, const char *value)
{
	m->label[i][m->labels[i]++] = (struct label){hg_str(name), hg_str(value)};
}

/* Names and labels, by rising name of the label. */
static void describe(struct mix *m, uint32_t i)
{
	static const char *const le[] = {
	        "0.005", "0.01", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf"};
	static const char *const gauge[] = {
	        "queue_depth", "memory_bytes", "load_percent", "noise_ratio"};
	char(*t)[40] = m->text[i];
	(void)snprintf(t[0], sizeof t[0], "service-%02u", i / 20 % 50);
	(void)snprintf(t[1], sizeof t[1], "/api/v1/path/%u", i);
	(void)snprintf(t[2], sizeof t[2], "pod-%u", i);
	if (i < 5000) {
		label(m, i, "__name__", "http_requests_total");
		label(m, i, "code", i % 5 ? "200" : "500");
		label(m, i, "path", t[1]);
	} else if (i < 6000) {
		label(m, i, "__name__", "http_request_duration_seconds_bucket");
		label(m, i, "le", le[i % 10]);
		(void)snprintf(t[0], sizeof t[0], "service-%02u", i / 10 % 50);
		(void)snprintf(t[1], sizeof t[1], "/api/v1/path/%u", (i - 5000) / 10);
		label(m, i, "path", t[1]);
	} else if (i < 6200) {
		label(m, i, "__name__",
		        i < 6100 ? "http_request_duration_seconds_sum"
		                 : "http_request_duration_seconds_count");
		label(m, i, "path", t[1]);
	} else {
		label(m, i, "__name__", i < 7200 ? "process_cpu_seconds_total" : gauge[i % 4]);
		label(m, i, "pod", t[2]);
	}
	label(m, i, "service", t[0]);
	int n = snprintf(m->name[i], sizeof m->name[i], "%s{", m->label[i][0].value.p);
	for (uint32_t k = 1; k < m->labels[i]; k++)
		n += snprintf(m->name[i] + n, sizeof m->name[i] - (size_t)n, "%s%s=\"%s\"",
		        k > 1 ? "," : "", m->label[i][k].name.p, m->label[i][k].value.p);
	(void)snprintf(m->name[i] + n, sizeof m->name[i] - (size_t)n, "}");
}

static struct mix *mix_new(void)
{
	struct mix *m = calloc(1, sizeof *m);
	if (!m) exit(1);
	hg_rand_seed(&m->rand, 5);
	for (uint32_t i = 0; i < SERIES; i++) {
		describe(m, i);
		m->v[i] = i < 5000 ? i * 100.0 : i >= 7200 && i % 4 == 1 ? 1e8 : 0;
		m->v[i] = i < 5000 ? m->v[i] : floor(m->v[i] / 4096) * 4096;
	}
	return m;
}

static double next(struct mix *m, uint32_t i, double seconds)
{
	struct hg_rand *r = &m->rand;
	double *v = &m->v[i];
	if (i < 5000) return *v + steps(r, seconds * 0.3 * pow(10, i % 1000 / 333.0));
	if (i < 6000) return *v + steps(r, seconds * 0.1 * (1 + i % 10) * (i % 10));
	if (i < 6100) return round((*v + seconds * 0.4 * hg_rand_unit(r)) * 1e6) / 1e6;
	if (i < 6200) return *v + steps(r, seconds * 20);
	if (i < 7200) return round((*v + seconds * 0.3 * hg_rand_unit(r)) * 100) / 100;
	switch (i % 4) {
	case 0: return hg_rand_below(r, 200) ? *v : hg_rand_below(r, 10);
	case 1: return fmax(0, *v + 4096.0 * ((double)hg_rand_below(r, 64) - 32));
	case 2: return hg_rand_below(r, 10000) / 100.0;
	default: return hg_rand_unit(r) * 100;
	}
}

static void advance(struct mix *m, double seconds)
{
	for (uint32_t i = 0; i < SERIES; i++)
		m->v[i] = next(m, i, seconds);
}

/* ------------------------------------------------------------------ serve */

struct server {
	struct mix *m;
	struct loop_timer timer;
	struct hg_buf all, part[TARGETS]; /* made once a second */
};

static void texts_make(struct server *s)
{
	hg_buf_reset(&s->all);
	for (uint32_t k = 0; k < TARGETS; k++)
		hg_buf_reset(&s->part[k]);
	for (uint32_t i = 0; i < SERIES; i++) {
		char line[256];
		int n = snprintf(line, sizeof line, "%s %.17g\n", s->m->name[i], s->m->v[i]);
		char shorter[256];
		/* The shortest text that is this number, as clients write it. */
		for (int digits = 1; digits < 17; digits++) {
			int k = snprintf(shorter, sizeof shorter, "%s %.*g\n", s->m->name[i],
			        digits, s->m->v[i]);
			if (strtod(strrchr(shorter, ' '), NULL) != s->m->v[i]) continue;
			memcpy(line, shorter, (size_t)k + 1);
			n = k;
			break;
		}
		hg_buf_str(&s->all, (struct hg_str){line, (size_t)n});
		hg_buf_str(&s->part[i % TARGETS], (struct hg_str){line, (size_t)n});
	}
}

static void on_second(struct loop *l, struct loop_timer *t)
{
	struct server *s = HG_CONTAINER(t, struct server, timer);
	if (loop_timer_start(l, t, 1000, on_second) != HG_OK) exit(1);
	advance(s->m, 1);
	texts_make(s);
}

static void handle(void *arg, struct serve_call *call, const struct serve_request *req)
{
	struct server *s = arg;
	char path[32];
	struct hg_buf *b = &s->all;
	if (hg_str_copy(req->path, path, sizeof path) && strncmp(path, "/t/", 3) == 0)
		b = &s->part[strtoul(path + 3, NULL, 10) % TARGETS];
	serve_answer(call, 200, "text/plain; version=0.0.4", hg_buf_view(b));
}

static int serve(const char *address)
{
	static struct server s;
	struct loop *l;
	struct serve *sv;
	struct sock_addr a;
	struct serve_options o = {.name = "mix", .handle = handle, .arg = &s};
	s.m = mix_new();
	hg_buf_init(&s.all, 16 << 20);
	for (uint32_t k = 0; k < TARGETS; k++)
		hg_buf_init(&s.part[k], 1 << 20);
	texts_make(&s);
	if (loop_new(&l) != HG_OK || !sock_addr_parse(hg_str(address), &a)) return 1;
	int fd = sock_listen(&a, 512);
	if (fd < 0 || serve_new(l, &o, &sv) != HG_OK || serve_listen(sv, fd, 0) != HG_OK ||
	        loop_timer_start(l, &s.timer, 1000, on_second) != HG_OK)
		return 1;
	return loop_run(l) == HG_OK ? 0 : 1;
}

/* ------------------------------------------------------------------ back-filled */

static int openmetrics(uint64_t from, uint32_t n, uint32_t ms)
{
	struct mix *m = mix_new();
	static char out[1 << 20];
	setvbuf(stdout, out, _IOFBF, sizeof out);
	for (uint32_t k = 0; k < n; k++) {
		uint64_t t = from * 1000 + (uint64_t)k * ms;
		for (uint32_t i = 0; i < SERIES; i++)
			printf("%s %.17g %" PRIu64 ".%03" PRIu64 "\n", m->name[i], m->v[i],
			        t / 1000, t % 1000);
		advance(m, ms / 1000.0);
	}
	printf("# EOF\n");
	return fflush(stdout) == 0 ? 0 : 1;
}

static double cpu_s(void)
{
	struct rusage use;
	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* Bytes that this process has written, as the kernel counts them. */
static uint64_t written(void)
{
	char text[512], *at;
	FILE *f = fopen("/proc/self/io", "r");
	if (!f) exit(1);
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	fclose(f);
	at = strstr(text, "wchar: ");
	return at ? strtoull(at + 7, NULL, 10) : 0;
}

/* A sample far ahead, and time for every window before it. */
static bool store_close(struct tsdb *db, tsdb_ref ref, int64_t t)
{
	if (tsdb_append(db, ref, t + INT64_C(4) * 7200000, 1) != HG_OK) return false;
	for (int i = 0; i < 100; i++)
		if (tsdb_commit(db) != HG_OK) return false;
	return true;
}

static int store(const char *dir, uint64_t from, uint32_t n, uint32_t ms, bool closes)
{
	struct mix *m = mix_new();
	struct tsdb_options o = {.dir = dir, .memory_bytes = 1ull << 30};
	struct tsdb *db;
	struct tsdb_stats st;
	struct hg_err err;
	static tsdb_ref ref[SERIES];
	double spent = 0;
	uint64_t before = written();
	if (tsdb_open(&o, &db, &err) != HG_OK) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	for (uint32_t i = 0; i < SERIES; i++)
		if (tsdb_series(db, (struct labels){m->label[i], m->labels[i]}, &ref[i], &err) !=
		        HG_OK)
			return 1;
	for (uint32_t k = 0; k < n; k++) {
		int64_t t = (int64_t)(from * 1000 + (uint64_t)k * ms);
		double at = cpu_s();
		for (uint32_t i = 0; i < SERIES; i++)
			if (tsdb_append(db, ref[i], t, m->v[i]) != HG_OK) return 1;
		if (tsdb_commit(db) != HG_OK) return 1;
		spent += cpu_s() - at;
		advance(m, ms / 1000.0);
	}
	if (closes && !store_close(db, ref[0], (int64_t)(from * 1000 + (uint64_t)n * ms))) return 1;
	tsdb_stats(db, &st);
	printf("samples %" PRIu64 "\nwritten %" PRIu64 "\ndisk %" PRIu64 "\ncpu %.3f\n", st.samples,
	        written() - before, st.disk_bytes, spent);
	tsdb_close(db);
	free(m);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (strcmp(what, "serve") == 0 && argc == 3) return serve(argv[2]);
	bool closes = strcmp(what, "close") == 0;
	bool is_store = closes || strcmp(what, "store") == 0;
	if (argc == (is_store ? 6 : 5) && (is_store || strcmp(what, "openmetrics") == 0)) {
		char **at = argv + (is_store ? 3 : 2);
		uint64_t from = strtoull(at[0], NULL, 10);
		uint32_t n = (uint32_t)strtoul(at[1], NULL, 10);
		uint32_t ms = (uint32_t)strtoul(at[2], NULL, 10);
		return is_store ? store(argv[2], from, n, ms, closes) : openmetrics(from, n, ms);
	}
	fprintf(stderr, "mix serve ADDR | openmetrics FROM N MS | store|close DIR FROM N MS\n");
	return 2;
}
