/*
 * What the metrics store alone costs: time of a sample appended and read, bytes written and kept,
 * memory of a series, time of a restart. One thread, one core, page cache.
 *
 * usage: tsdb-store [live [SECONDS]|backfill|series N]
 *   live      10,000 series, a sample a second each, 180 s, a commit a second
 *   backfill  the same series, 15 s apart, two hours
 *   series N  N series, 20 samples each, 15 s apart: memory
 * Without argument: live, backfill and series 10000. Prints one line a figure; the folder is made
 * and removed.
 *
 * The mix (values are functions of series and second): 5,000 counters that grow by about 0.3 to 300
 * a second, 1,000 buckets, 200 sums and counts, 1,000 CPU seconds in hundredths, 2,800 gauges: a
 * quarter hardly ever changes, a quarter are bytes in pages, a quarter have two decimal places, a
 * quarter are noise in all bits. What Prometheus' XOR chunks of 120 samples need for the very same
 * samples is computed beside it, bit by bit.
 */
#include "tests/unit/observe/tsdb/box.h"

#include "base/rand.h"
#include "os/clock.h"

#include <sys/resource.h>

#define SERIES 10000u
#define START  1700000000000

struct bench {
	struct box box;
	struct tsdb *db;
	tsdb_ref *ref;
	double *last;
	uint32_t n;
	struct hg_rand rand;
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

static double next_value(struct bench *b, uint32_t i, double seconds)
{
	struct hg_rand *r = &b->rand;
	double *v = &b->last[i];
	uint32_t k = i % SERIES;
	if (k < 5000) return *v += steps(r, seconds * 0.3 * pow(10, k % 1000 / 333.0));
	if (k < 6000) return *v += steps(r, seconds * 0.1 * (1 + k % 10) * (k % 10));
	if (k < 6100) return *v = round((*v + seconds * 0.4 * hg_rand_unit(r)) * 1e6) / 1e6;
	if (k < 6200) return *v += steps(r, seconds * 20);
	if (k < 7200) return *v = round((*v + seconds * 0.3 * hg_rand_unit(r)) * 100) / 100;
	switch (k % 4) {
	case 0: return hg_rand_below(r, 200) ? *v : (*v = hg_rand_below(r, 10));
	case 1: *v += 4096.0 * ((double)hg_rand_below(r, 64) - 32); return *v = *v < 0 ? 0 : *v;
	case 2: return *v = hg_rand_below(r, 10000) / 100.0;
	default: return *v = hg_rand_unit(r) * 100;
	}
}

static void make_series(struct bench *b, uint32_t n)
{
	struct hg_err err = {0};
	b->n = n;
	b->ref = calloc(n, sizeof *b->ref);
	b->last = calloc(n, sizeof *b->last);
	for (uint32_t i = 0; i < n; i++) {
		char name[32], instance[32], path[32], le[16], service[32];
		uint32_t k = i % SERIES;
		snprintf(name, sizeof name, "%s_%u_total", k < 5000 ? "requests" : "things",
		        k / 1000);
		snprintf(instance, sizeof instance, "10.0.%u.%u:9100", i / 50 / 250, i / 50 % 250);
		snprintf(service, sizeof service, "service-%u", i / 100 % 50);
		snprintf(path, sizeof path, "/api/v1/path/%u", i);
		snprintf(le, sizeof le, "%u", i % 10);
		struct label at[] = {{HG_STR("__name__"), hg_str(name)},
		        {HG_STR("code"), i % 5 ? HG_STR("200") : HG_STR("500")},
		        {HG_STR("instance"), hg_str(instance)}, {HG_STR("job"), HG_STR("bench")},
		        {HG_STR("le"), hg_str(le)}, {HG_STR("path"), hg_str(path)},
		        {HG_STR("service"), hg_str(service)}};
		if (tsdb_series(b->db, (struct labels){at, HG_COUNT(at)}, &b->ref[i], &err) !=
		        HG_OK)
			fail_msg("%s", err.message);
		b->last[i] = k >= 7200 && k % 4 == 1 ? 1e8 : 0;
		b->last[i] = floor(b->last[i] / 4096) * 4096 + (k < 5000 ? k * 100.0 : 0);
	}
}

static void begin(struct bench *b, uint32_t n)
{
	struct hg_err err = {0};
	*b = (struct bench){0};
	hg_rand_seed(&b->rand, 5);
	box_init(&b->box);
	b->box.o = (struct tsdb_options){.dir = b->box.dir, .memory_bytes = 8ull << 30};
	if (tsdb_open(&b->box.o, &b->db, &err) != HG_OK) fail_msg("%s", err.message);
	make_series(b, n);
}

static void end(struct bench *b)
{
	tsdb_close(b->db);
	box_fini(&b->box);
	free(b->ref);
	free(b->last);
}

static double cpu_s(void)
{
	struct rusage use;
	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static long rss_kib(const char *what)
{
	char line[128];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");
	size_t n = strlen(what);
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, what, n) == 0) kib = strtol(line + n + 1, NULL, 10);
	if (f) fclose(f);
	return kib;
}

/* ------------------------------------------------------------------ Prometheus' chunks */

struct xor_size {
	uint64_t bits, before;
	int64_t t, dt;
	unsigned lead, trail, n;
	bool framed;
};

/* Bits that chunkenc.xorAppender writes for a sample (tsdb/chunkenc/xor.go, read as documented in
 * the facts: dod classes of 1, 14+2, 17+3, 20+4, 64+4 bits; XOR with a frame). */
static void xor_add(struct xor_size *x, int64_t t, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof bits);
	if (x->n == 120) *x = (struct xor_size){.bits = x->bits};
	if (x->n == 0) {
		x->bits += 16 + 48 + 64; /* count, time as a varint, value */
	} else {
		int64_t dt = t - x->t, dod = dt - x->dt;
		if (x->n == 1)
			x->bits += 16;
		else if (dod == 0)
			x->bits += 1;
		else
			x->bits += dod > -8192 && dod <= 8192 ? 16 : dod > -65536 ? 20 : 24;
		x->dt = dt;
		uint64_t d = bits ^ x->before;
		if (!d) {
			x->bits += 1;
		} else {
			unsigned lead = HG_MIN((unsigned)__builtin_clzll(d), 31u);
			unsigned trail = (unsigned)__builtin_ctzll(d);
			if (x->framed && lead >= x->lead && trail >= x->trail) {
				x->bits += 2 + 64 - x->lead - x->trail;
			} else {
				x->lead = lead;
				x->trail = trail;
				x->framed = true;
				x->bits += 2 + 5 + 6 + 64 - lead - trail;
			}
		}
	}
	x->t = t;
	x->before = bits;
	x->n++;
}

/* ------------------------------------------------------------------ measuring */

static void append_all(struct bench *b, uint32_t rounds, int64_t step, struct xor_size *peer)
{
	double spent = 0, commit = 0, worst = 0;
	double *row = malloc(b->n * sizeof *row);
	for (uint32_t k = 0; k < rounds; k++) {
		int64_t t = START + k * step;
		for (uint32_t i = 0; i < b->n; i++) {
			row[i] = next_value(b, i, (double)step / 1000);
			if (peer) xor_add(&peer[i], t, row[i]);
		}
		double from = cpu_s(), wall = (double)clock_mono_ns();
		for (uint32_t i = 0; i < b->n; i++)
			if (tsdb_append(b->db, b->ref[i], t, row[i]) != HG_OK) fail_msg("refused");
		double between = cpu_s();
		if (tsdb_commit(b->db) != HG_OK) fail_msg("not committed");
		double to = cpu_s();
		spent += between - from;
		commit += to - between;
		worst = HG_MAX(worst, (double)clock_mono_ns() - wall);
	}
	double n = (double)rounds * b->n;
	printf("append %.1f ns CPU, commit %.1f ns, a sample; longest round %.1f ms; %.2f CPU s in "
	       "all\n",
	        spent / n * 1e9, commit / n * 1e9, worst / 1e6, spent + commit);
	free(row);
}

static void print_bytes(struct bench *b, const struct xor_size *peer)
{
	struct tsdb_stats st;
	uint64_t bits = 0;
	tsdb_stats(b->db, &st);
	for (uint32_t i = 0; i < b->n; i++)
		bits += peer[i].bits;
	double n = (double)st.samples;
	printf("written %.2f B/sample, on disk %.2f B/sample (journals included); Prometheus' XOR "
	       "chunks alone %.2f\n",
	        (double)st.written_bytes / n, (double)st.disk_bytes / n, (double)bits / 8 / n);
}

static uint64_t read_all(
        struct bench *b, const struct label_matcher *m, int64_t from, int64_t to, const char *what)
{
	struct tsdb_selection *sel;
	struct hg_err err = {0};
	struct tsdb_samples got = {0};
	double best_select = 1e9, best_read = 1e9;
	uint64_t n = 0;
	uint32_t series = 0;
	for (int round = 0; round < 5; round++) {
		double at = cpu_s();
		if (tsdb_select(b->db, m, m ? 1 : 0, from, to, &sel, &err) != HG_OK) fail_msg("?");
		double between = cpu_s();
		n = 0;
		series = tsdb_selection_count(sel);
		for (uint32_t i = 0; i < series; i++) {
			if (tsdb_selection_read(sel, i, from, to, &got) != HG_OK) fail_msg("?");
			n += got.n;
		}
		double after = cpu_s();
		best_select = HG_MIN(best_select, between - at);
		best_read = HG_MIN(best_read, after - between);
		tsdb_selection_free(sel);
	}
	printf("read %-12s %u series: select %.2f ms, %llu samples in %.2f ms (%.1f ns each)\n",
	        what, series, best_select * 1e3, (unsigned long long)n, best_read * 1e3,
	        n ? best_read / (double)n * 1e9 : 0.0);
	tsdb_samples_free(&got);
	return n;
}

static void restart(struct bench *b)
{
	struct hg_err err = {0};
	struct tsdb_stats st;
	tsdb_close(b->db);
	uint64_t from = clock_mono_ns();
	double cpu = cpu_s();
	if (tsdb_open(&b->box.o, &b->db, &err) != HG_OK) fail_msg("%s", err.message);
	double ms = (double)(clock_mono_ns() - from) / 1e6;
	tsdb_stats(b->db, &st);
	printf("restart %.0f ms (%.0f ms CPU), %llu samples from journals\n", ms,
	        (cpu_s() - cpu) * 1e3, (unsigned long long)st.replayed);
}

static void run(const char *what, uint32_t rounds, int64_t step)
{
	struct bench b;
	struct label_matcher half = {
	        .op = LABEL_NE, .name = HG_STR("code"), .value = HG_STR("500")};
	begin(&b, SERIES);
	struct xor_size *peer = calloc(SERIES, sizeof *peer);
	printf("# %s: %u series, %u samples each, %lld ms apart\n", what, SERIES, rounds,
	        (long long)step);
	append_all(&b, rounds, step, peer);
	print_bytes(&b, peer);
	struct tsdb_stats st;
	tsdb_stats(b.db, &st);
	printf("memory: own count %.1f MiB, RSS %ld KiB, anonymous %ld KiB\n",
	        (double)st.memory_bytes / 1048576, rss_kib("VmRSS:"), rss_kib("RssAnon:"));
	int64_t end_t = START + (rounds - 1) * step;
	read_all(&b, NULL, TSDB_NO_MIN, TSDB_NO_MAX, "all");
	read_all(&b, &half, end_t - 300000, end_t, "5m of 8,000");
	read_all(&b, &half, end_t - 3600000, end_t, "1h of 8,000");
	restart(&b);
	/* Everything into closed windows: what is kept in the end. */
	for (int i = 0; i < 3; i++)
		if (tsdb_append(b.db, b.ref[0], 0, 0) == HG_E_NOT_FOUND) break;
	make_series(&b, SERIES);
	if (tsdb_append(b.db, b.ref[0], end_t + 4 * 7200000, 1) != HG_OK) fail_msg("?");
	uint64_t from = clock_mono_ns();
	double longest = 0;
	for (int i = 0; i < 100; i++) {
		uint64_t at = clock_mono_ns();
		if (tsdb_commit(b.db) != HG_OK) fail_msg("?");
		longest = HG_MAX(longest, (double)(clock_mono_ns() - at) / 1e6);
	}
	(void)from;
	uint64_t written = st.written_bytes;
	double n = (double)st.samples;
	tsdb_stats(b.db, &st);
	printf("closed: %.2f B/sample kept, %.2f written in all; longest commit %.0f ms\n",
	        (double)st.disk_bytes / n, (double)(written + st.written_bytes) / n, longest);
	read_all(&b, &half, end_t - 300000, end_t, "5m, closed");
	read_all(&b, &half, end_t - 3600000, end_t, "1h, closed");
	free(peer);
	end(&b);
}

static void run_series(uint32_t n)
{
	struct bench b;
	struct tsdb_stats st;
	long before = rss_kib("RssAnon:");
	begin(&b, n);
	long made = rss_kib("RssAnon:");
	printf("# %u series, 20 samples each\n", n);
	append_all(&b, 20, 15000, NULL);
	long after = rss_kib("RssAnon:") - (long)(n * 16 / 1024);
	tsdb_stats(b.db, &st);
	printf("memory: %.0f bytes a series made, %.0f with its samples (own count %.0f)\n",
	        (double)(made - before) * 1024 / n - 16, (double)(after - before) * 1024 / n,
	        (double)st.memory_bytes / n);
	restart(&b);
	end(&b);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	uint32_t n = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
	if (!*what || strcmp(what, "live") == 0) run("live", n ? n : 180, 1000);
	if (!*what || strcmp(what, "backfill") == 0) run("backfill", 481, 15000);
	if (!*what || strcmp(what, "series") == 0) run_series(n ? n : SERIES);
	return 0;
}
