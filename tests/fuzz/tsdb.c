/*
 * Readers of the metrics store survive any bytes. Checksums would keep a fuzzer out, so what they
 * guard is also given to the decoders as it is. The first byte says whom: 0 a chunk, 1 the records
 * of a journal, 2 an index, 3 the frames of a window's file.
 */
#include "fuzz.h"

#include "observe/tsdb/file_priv.h"

static bool sample_seen(void *arg, uint32_t id, int64_t t, double v, bool reset, bool late)
{
	uint64_t *n = arg;
	(void)id, (void)t, (void)v, (void)reset, (void)late;
	return ++*n < 100000;
}

static void journal_bytes(const uint8_t *p, size_t n)
{
	uint64_t seen = 0;
	struct journal_reader r = {.fn = sample_seen, .arg = &seen, .most = 1u << 16};
	/* The first two bytes say where the runs end and the values begin. */
	size_t cut = n < 2 ? 0 : ((size_t)p[0] << 8 | p[1]) % (n - 1);
	if (n < 2) return;
	struct hg_str runs = {(const char *)p + 2, HG_MIN(cut, n - 2)};
	(void)!journal_read(&r, runs, p + 2 + runs.n, n - 2 - runs.n);
	free(r.at);
}

static bool chunk_seen(void *arg, const struct record *r)
{
	(void)arg, (void)r;
	return true;
}

static void index_bytes(const uint8_t *p, size_t n)
{
	/* Aligned, as in a file that is mapped. */
	struct window w = {
	        .closed = true, .size = n, .written = n, .map = p, .map_bytes = n, .fd = -1};
	struct catalog c = {&index_catalog, &w};
	uint32_t room[2 * LABELS_MAX], symbol, value;
	const uint32_t *pairs;
	if (!index_valid(p, n, &w.index)) return;
	uint32_t *to = malloc((n + 1) * sizeof *to);
	HG_ASSERT(to);
	for (uint32_t i = 0; i < HG_MIN(c.ops->series(&w), 64u); i++) {
		uint32_t labels = c.ops->pairs(&w, i, room, &pairs);
		for (uint32_t k = 0; k < 2 * labels; k++)
			HG_ASSERT(c.ops->symbol(&w, c.ops->text(&w, pairs[k])) != n + 1);
		(void)!index_chunks(&w, i, INT64_MIN, INT64_MAX, chunk_seen, NULL);
	}
	for (uint32_t i = 0; i < 16 && c.ops->name(&w, i, &symbol); i++)
		for (uint32_t k = 0; k < 16 && c.ops->value(&w, symbol, k, &value); k++)
			(void)c.ops->posting(&w, symbol, value, to);
	free(to);
}

struct walking {
	struct tsdb *db;
	uint64_t damaged;
};

static bool series_seen(void *arg, uint32_t id, struct labels ls)
{
	(void)arg, (void)id;
	HG_ASSERT(labels_valid(ls));
	return true;
}

static void record_seen(void *arg, const struct record *r, uint64_t place)
{
	int64_t t[CODEC_CHUNK_MAX], u[CODEC_CHUNK_MAX];
	double v[CODEC_CHUNK_MAX], w[CODEC_CHUNK_MAX];
	(void)arg, (void)place;
	uint32_t n = chunk_decode(r->payload, r->min_ms, t, v), lo = n / 3, hi = n - n / 4, got;
	if (!n) return;
	HG_ASSERT(chunk_decode_part(r->payload, r->min_ms, t[lo], t[hi - 1], u, w, &got));
	HG_ASSERT(got == hi - lo && memcmp(t + lo, u, got * sizeof *u) == 0);
	HG_ASSERT(memcmp(v + lo, w, got * sizeof *w) == 0);
}

static bool frame_seen(void *arg, const struct frame_at *f)
{
	struct walking *k = arg;
	if (f->type == FRAME_CHUNKS) records_walk(f, 0, &k->damaged, record_seen, k);
	if (f->type == FRAME_SERIES) (void)!series_walk(k->db, f, series_seen, k);
	return true;
}

static void window_bytes(const uint8_t *p, size_t n)
{
	static struct tsdb_options in_memory;
	struct walking k = {0};
	struct hg_err err;
	HG_ASSERT(tsdb_open(&in_memory, &k.db, &err) == HG_OK);
	(void)frames_walk(p, n, &k.damaged, frame_seen, &k);
	/* The same behind checksums: the payload as it is, of each type. */
	for (uint32_t type = FRAME_SERIES; type <= FRAME_CHUNKS; type++)
		frame_seen(&k, &(struct frame_at){type, 0, p, n});
	struct record r;
	size_t bytes;
	if (record_parse(p, n, 0, 1000, false, &r, &bytes)) record_seen(&k, &r, 0);
	tsdb_close(k.db);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (!n) return 0;
	char *copy = fuzz_copy((struct hg_str){(const char *)p + 1, n - 1});
	const uint8_t *bytes = (const uint8_t *)copy;
	if (*p % 4 == 0)
		record_seen(NULL, &(struct record){.payload = {copy, n - 1}}, 0);
	else if (*p % 4 == 1)
		journal_bytes(bytes, n - 1);
	else if (*p % 4 == 2)
		index_bytes(bytes, n - 1);
	else
		window_bytes(bytes, n - 1);
	free(copy);
	return 0;
}
