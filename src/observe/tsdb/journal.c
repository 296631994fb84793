#include "observe/tsdb/file_priv.h"

#include <stdlib.h>

/*
 * Records of a frame: runs of samples.
 *   varint n << 2 | kind · varint zigzag (id - id expected) · zigzag varint (t - t of the run
 * before) kind 0  n series with rising ids, one sample each, all at time t: n values kind 1  n
 * samples of one series: (zigzag varint difference of differences of time, not for the first) and
 * value, n times kind 2  a late sample (n is 1): 8 bytes of value A value is a token of stream.c,
 * after a byte CODEC_RESET when a chunk of the series begins with it. The id expected is the one
 * after the last run's; both start at 0 and the frame's time.
 */
enum { RUN_ROW, RUN_COLUMN, RUN_LATE };

#define RUN_HEAD_MAX 32

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

/* The head of the run is put before its values: they move up by its few bytes. */
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
	bool room =
	        hg_buf_room(&j->pending, 2 * RUN_HEAD_MAX + CODEC_TIME_MAX + CODEC_TOKEN_MAX + 1);
	j->pending.failed = false;
	return room;
}

static void run_begin(struct journal *j, uint32_t id, int64_t t)
{
	journal_end_run(j);
	j->run = (struct journal_run){.t0 = t, .t = t, .id = id, .at = j->pending.n};
}

void journal_add(
        struct journal *j, uint32_t id, int64_t t, bool reset, const uint8_t *token, size_t bytes)
{
	struct journal_run *r = &j->run;
	uint8_t *to;
	bool row = r->n && !r->column && t == r->t0 && id == r->id + r->n;
	bool column = r->n && id == r->id && (r->column || r->n == 1);
	if (!row && !column) run_begin(j, id, t);
	r->column = column;
	to = (uint8_t *)j->pending.p + j->pending.n;
	uint8_t *p = to;
	if (column) {
		p = varint_put(p, zigzag((t - r->t) - r->dt));
		r->dt = t - r->t;
		r->t = t;
	}
	if (reset) *p++ = CODEC_RESET;
	memcpy(p, token, bytes);
	hg_buf_add(&j->pending, (size_t)(p - to) + bytes);
	r->n++;
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

/* ------------------------------------------------------------------ reading */

static bool reader_room(struct journal_reader *r, uint32_t ids)
{
	if (ids <= r->ids) return true;
	if (ids > TSDB_IDS_MAX) return false;
	if (!tsdb_grow(&r->state, &r->state_cap, ids, sizeof *r->state) ||
	        !tsdb_grow(&r->synced, &r->synced_cap, ids, sizeof *r->synced))
		return false;
	r->ids = ids;
	return true;
}

/* One value; of a series whose state is not known it is read over, until a chunk begins. */
static bool read_value(struct journal_reader *r, struct span *in, uint32_t id, int64_t t)
{
	struct codec_state nothing = {.e = 0}, *state = &r->state[id];
	bool reset = in->p < in->end && *in->p == CODEC_RESET;
	if (reset) {
		in->p++;
		codec_state_init(state);
		r->synced[id] = true;
	}
	bool known = r->synced[id];
	double v = codec_value_get(known ? state : &nothing, in);
	if (in->bad) return false;
	return !known || r->fn(r->arg, id, t, v, reset, false);
}

static bool read_run(struct journal_reader *r, struct span *in, uint32_t *id, int64_t *time)
{
	uint64_t head = span_varint(in), n = head >> 2;
	uint64_t first = (uint64_t)*id + (uint64_t)unzigzag(span_varint(in));
	uint64_t at = (uint64_t)*time + (uint64_t)unzigzag(span_varint(in)), dt = 0;
	unsigned kind = head & 3;
	if (in->bad || !n || n > FRAME_MAX || kind > RUN_LATE || first >= TSDB_IDS_MAX)
		return false;
	if (!reader_room(r, (uint32_t)(first + (kind == RUN_ROW ? n : 1)))) return false;
	*time = (int64_t)at;
	*id = (uint32_t)(first + (kind == RUN_ROW ? n : kind == RUN_LATE));
	if (kind == RUN_LATE) {
		uint64_t bits = span_le(in, 8);
		double v;
		memcpy(&v, &bits, sizeof v);
		return !in->bad && r->fn(r->arg, (uint32_t)first, (int64_t)at, v, false, true);
	}
	for (uint64_t i = 0; i < n; i++) {
		if (kind == RUN_COLUMN && i) {
			dt += (uint64_t)unzigzag(span_varint(in));
			at += dt;
		}
		uint32_t of = (uint32_t)(first + (kind == RUN_ROW ? i : 0));
		if (!read_value(r, in, of, (int64_t)at)) return false;
	}
	return true;
}

bool journal_read(struct journal_reader *r, const uint8_t *p, size_t n)
{
	struct span in = {.p = p, .end = p + n};
	uint32_t id = 0;
	int64_t t = 0;
	while (in.p < in.end)
		if (!read_run(r, &in, &id, &t)) return false;
	return true;
}
