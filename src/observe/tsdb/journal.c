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
	if (!tsdb_grow(&j->open, &j->open_cap, i + 1, sizeof *j->open)) return false;
	j->open[i]++;
	return true;
}

void journal_release(struct journal *j, uint32_t segment)
{
	HG_ASSERT(segment >= j->oldest && segment - j->oldest < j->open_cap);
	HG_ASSERT(j->open[segment - j->oldest]);
	j->open[segment - j->oldest]--;
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
