/*
 * Two builders that remember failure, so that ten appends need one check.
 *
 * hg_buf grows on the heap up to a hard cap given at creation and owns its bytes.
 * hg_out writes into memory the caller owns and never allocates.
 * Both: after the first failed append nothing more is written, and *_failed says so.
 */
#ifndef HG_BASE_BUF_H
#define HG_BASE_BUF_H

#include "base/str.h"

#include <stdarg.h>

struct hg_buf {
	char *p;
	size_t n, cap, max;
	bool failed;
};

/* `max`: the hard cap in bytes. Nothing is allocated yet. */
void hg_buf_init(struct hg_buf *b, size_t max);
void hg_buf_free(struct hg_buf *b);
/* Empties the buffer and forgets a failure; keeps the memory. */
void hg_buf_reset(struct hg_buf *b);
void hg_buf_str(struct hg_buf *b, struct hg_str s);
void hg_buf_cstr(struct hg_buf *b, const char *s);
void hg_buf_byte(struct hg_buf *b, char c);
void hg_buf_u64(struct hg_buf *b, uint64_t v);
void hg_buf_fmt(struct hg_buf *b, const char *fmt, ...) HG_PRINTF(2, 3);
/* Room for `n` more bytes, or NULL (failed is set); commit what was written with hg_buf_add. */
char *hg_buf_room(struct hg_buf *b, size_t n);
void hg_buf_add(struct hg_buf *b, size_t n);
/* Drops the first `n` bytes (n ≤ b->n). */
void hg_buf_drop(struct hg_buf *b, size_t n);
/* Gives the bytes, zero-terminated, to the caller (who frees them); NULL after a failure. */
char *hg_buf_take(struct hg_buf *b);
/* The bytes with a closing zero that does not count; "" after a failure. */
const char *hg_buf_text(struct hg_buf *b);

static inline struct hg_str hg_buf_view(const struct hg_buf *b)
{
	return (struct hg_str){b->p, b->n};
}

struct hg_out {
	char *p;
	size_t n, cap;
	bool failed;
};

static inline struct hg_out hg_out_over(char *to, size_t cap)
{
	return (struct hg_out){.p = to, .cap = cap};
}

/* Here, so that a literal becomes a few stores: heads and log lines are made of them. */
static inline void hg_out_str(struct hg_out *o, struct hg_str s)
{
	if (HG_UNLIKELY(o->failed || s.n > o->cap - o->n)) {
		o->failed = true;
		return;
	}
	if (s.n) memcpy(o->p + o->n, s.p, s.n);
	o->n += s.n;
}

static inline void hg_out_byte(struct hg_out *o, char c)
{
	hg_out_str(o, (struct hg_str){&c, 1});
}

void hg_out_cstr(struct hg_out *o, const char *s);
void hg_out_u64(struct hg_out *o, uint64_t v);
void hg_out_fmt(struct hg_out *o, const char *fmt, ...) HG_PRINTF(2, 3);

static inline bool hg_out_failed(const struct hg_out *o)
{
	return o->failed;
}

#endif
