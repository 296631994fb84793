#include "observe/tsdb/bits_priv.h"
#include "observe/tsdb/file_priv.h"

#include <stdlib.h>

/*
 * The records of a frame are runs and, apart from them, the bits of their values (coder.c).
 *   varint n << 2 | kind · zigzag varint id - id expected · zigzag varint t - t of the run before
 *   kind 0  n series with rising ids, one sample each, all at time t: n values
 *   kind 1  n samples of one series: n - 1 zigzag varints of how the difference of times differs
 *           from the one before, and n values
 *   kind 2  a late sample (n is 1): 8 bytes of value, no bits
 * The id expected is the one after the last run's; both start at 0 in every frame.
 */
enum { RUN_ROW, RUN_COLUMN, RUN_LATE };

#define RUN_HEAD_MAX 32
#define VALUE_BYTES  32 /* more than the bits of a value ever need */

void journal_close(struct journal *j)
{
	disk_close(j->fd);
	j->fd = -1;
}

bool journal_hold(struct journal *j)
{
	uint32_t i = j->segment - j->oldest;
	if (!tsdb_grow(&j->at, &j->cap, i + 1, sizeof *j->at)) return false;
	j->at[i].open++;
	return true;
}

void journal_release(struct journal *j, uint32_t segment)
{
	HG_ASSERT(segment >= j->oldest && segment - j->oldest < j->cap);
	HG_ASSERT(j->at[segment - j->oldest].open);
	j->at[segment - j->oldest].open--;
}

/* The head of the run is put before its times: they move up by its few bytes. */
void journal_end_run(struct journal *j)
{
	struct journal_run *r = &j->run;
	uint8_t head[RUN_HEAD_MAX], *p = head;
	if (!r->n) return;
	p = varint_put(p, (uint64_t)r->n << 2 | (r->column ? RUN_COLUMN : RUN_ROW));
	p = varint_put(p, zigzag((int64_t)r->id - (int64_t)j->end_id));
	p = varint_put(p, zigzag(r->t0 - j->end_t));
	size_t size = (size_t)(p - head);
	struct hg_buf *b = &j->pending;
	HG_ASSERT(b->n + size < b->cap); /* journal_room saw to it */
	memmove(b->p + r->at + size, b->p + r->at, b->n - r->at);
	memcpy(b->p + r->at, head, size);
	hg_buf_add(b, size);
	j->end_id = r->column ? r->id : r->id + r->n;
	j->end_t = r->t0;
	r->n = 0;
}

bool journal_room(struct journal *j)
{
	bool room = hg_buf_room(&j->pending, 2 * RUN_HEAD_MAX + CODEC_TIME_MAX) &&
	            hg_buf_room(&j->bits, VALUE_BYTES);
	j->pending.failed = j->bits.failed = false;
	return room;
}

static void run_begin(struct journal *j, uint32_t id, int64_t t)
{
	journal_end_run(j);
	j->run = (struct journal_run){.t0 = t, .t = t, .id = id, .at = j->pending.n};
}

void journal_add(struct journal *j, uint32_t id, int64_t t, bool reset,
        const struct codec_step *step, struct journal_coder *coder)
{
	struct journal_run *r = &j->run;
	bool row = r->n && !r->column && t == r->t0 && id == r->id + r->n;
	bool column = r->n && id == r->id && (r->column || r->n == 1);
	if (!row && !column) run_begin(j, id, t);
	r->column = column;
	if (column) {
		uint8_t *to = (uint8_t *)j->pending.p + j->pending.n;
		hg_buf_add(&j->pending, (size_t)(varint_put(to, zigzag((t - r->t) - r->dt)) - to));
		r->dt = t - r->t;
		r->t = t;
	}
	r->n++;
	/* Each segment can be read without those before it: what was learned begins anew. */
	if (coder->segment != j->segment + 1) {
		coder_init(coder);
		coder->segment = j->segment + 1;
	}
	struct bits_out o = {.p = (uint8_t *)j->bits.p + j->bits.n, .acc = j->acc, .have = j->have};
	coder_put(&o, coder, reset, step);
	coder->segment = j->segment + 1;
	hg_buf_add(&j->bits, (size_t)(o.p - (uint8_t *)j->bits.p) - j->bits.n);
	j->acc = o.acc;
	j->have = o.have;
}

bool journal_add_late(struct journal *j, uint32_t id, int64_t t, double v)
{
	if (!journal_room(j)) return false;
	journal_end_run(j);
	uint8_t *to = (uint8_t *)j->pending.p + j->pending.n, *p = to;
	p = varint_put(p, 1u << 2 | RUN_LATE);
	p = varint_put(p, zigzag((int64_t)id - (int64_t)j->end_id));
	p = varint_put(p, zigzag(t - j->end_t));
	memcpy(p, &v, sizeof v);
	hg_buf_add(&j->pending, (size_t)(p - to) + sizeof v);
	j->end_id = id + 1;
	j->end_t = t;
	return true;
}

void journal_end_bits(struct journal *j)
{
	struct bits_out o = {.p = (uint8_t *)j->bits.p + j->bits.n, .acc = j->acc, .have = j->have};
	if (j->have) {
		bits_end(&o); /* journal_room left room for it */
		hg_buf_add(&j->bits, 1);
	}
	j->acc = 0;
	j->have = 0;
}

/* ------------------------------------------------------------------ reading */

static bool reader_room(struct journal_reader *r, uint32_t ids)
{
	if (ids <= r->ids) return true;
	if (ids > r->most) return false;
	r->no_memory = !tsdb_grow(&r->at, &r->cap, ids, sizeof *r->at);
	if (r->no_memory) return false;
	for (; r->ids < ids; r->ids++)
		coder_init(&r->at[r->ids].coder);
	return true;
}

void journal_reader_segment(struct journal_reader *r, uint32_t version)
{
	r->shift = version < JOURNAL_VERSION ? CODEC_SHIFT_OLD : CODEC_SHIFT;
	for (uint32_t i = 0; i < r->ids; i++)
		coder_init(&r->at[i].coder);
}

/* One value; of a series whose state is not known it is read over, until a chunk begins. */
static bool read_value(struct journal_reader *r, struct bits_in *in, uint32_t id, int64_t t)
{
	struct journal_series *s = &r->at[id];
	struct codec_step step = {0};
	bool reset;
	double v;
	if (!coder_get(in, &s->coder, &reset, &step)) return false;
	if (reset) {
		codec_state_init(&s->state);
		s->state.shift = r->shift;
		s->synced = true;
	}
	if (!s->synced) return true;
	return codec_step_apply(&s->state, &step, &v) && r->fn(r->arg, id, t, v, reset, false);
}

static bool read_run(struct journal_reader *r, struct span *in, struct bits_in *bits, uint32_t *id,
        int64_t *time)
{
	uint64_t head = span_varint(in), n = head >> 2;
	uint64_t first = (uint64_t)*id + (uint64_t)unzigzag(span_varint(in));
	uint64_t at = (uint64_t)*time + (uint64_t)unzigzag(span_varint(in)), dt = 0;
	unsigned kind = head & 3;
	if (in->bad || !n || n > TSDB_IDS_MAX || kind > RUN_LATE || first >= TSDB_IDS_MAX)
		return false;
	/* Every value has a bit at least: a count beyond that is nonsense, and asks for memory. */
	if (kind != RUN_LATE && n > (uint64_t)(bits->end - bits->p) * 8 + bits->have) return false;
	if (!reader_room(r, (uint32_t)(first + (kind == RUN_ROW ? n : 1)))) return false;
	*time = (int64_t)at;
	*id = (uint32_t)(first + (kind == RUN_ROW ? n : kind == RUN_LATE));
	if (kind == RUN_LATE) {
		uint64_t raw = span_le(in, 8);
		double v;
		memcpy(&v, &raw, sizeof v);
		return !in->bad && r->fn(r->arg, (uint32_t)first, (int64_t)at, v, false, true);
	}
	for (uint64_t i = 0; i < n; i++) {
		if (kind == RUN_COLUMN && i) {
			dt += (uint64_t)unzigzag(span_varint(in));
			at += dt;
		}
		uint32_t of = (uint32_t)(first + (kind == RUN_ROW ? i : 0));
		if (in->bad || !read_value(r, bits, of, (int64_t)at)) return false;
	}
	return true;
}

bool journal_read(
        struct journal_reader *r, struct hg_str runs, const uint8_t *bits, size_t bit_bytes)
{
	struct span in = {.p = (const uint8_t *)runs.p, .end = (const uint8_t *)runs.p + runs.n};
	struct bits_in b = {.p = bits, .end = bits + bit_bytes};
	uint32_t id = 0;
	int64_t t = 0;
	while (in.p < in.end)
		if (!read_run(r, &in, &b, &id, &t)) return false;
	return true;
}
