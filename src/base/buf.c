#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

void hg_buf_init(struct hg_buf *b, size_t max)
{
	*b = (struct hg_buf){.max = max};
}

void hg_buf_free(struct hg_buf *b)
{
	free(b->p);
	*b = (struct hg_buf){.max = b->max};
}

void hg_buf_reset(struct hg_buf *b)
{
	b->n = 0;
	b->failed = false;
}

char *hg_buf_room(struct hg_buf *b, size_t n)
{
	if (b->failed) return NULL;
	if (n > b->max || b->n > b->max - n) {
		b->failed = true;
		return NULL;
	}
	/* One byte more than asked for: hg_buf_text can always close with a zero. */
	if (b->n + n + 1 > b->cap) {
		size_t cap = HG_MAX(b->cap * 2, b->n + n + 1);
		cap = HG_MAX(cap, (size_t)64);
		char *p = realloc(b->p, cap);
		if (!p) {
			b->failed = true;
			return NULL;
		}
		b->p = p;
		b->cap = cap;
	}
	return b->p + b->n;
}

void hg_buf_add(struct hg_buf *b, size_t n)
{
	HG_ASSERT(b->n + n < b->cap);
	b->n += n;
}

void hg_buf_drop(struct hg_buf *b, size_t n)
{
	HG_ASSERT(n <= b->n);
	if (n && b->n > n) memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void hg_buf_str(struct hg_buf *b, struct hg_str s)
{
	char *to = hg_buf_room(b, s.n);
	if (!to || s.n == 0) return;
	memcpy(to, s.p, s.n);
	b->n += s.n;
}

void hg_buf_cstr(struct hg_buf *b, const char *s)
{
	hg_buf_str(b, hg_str(s));
}

void hg_buf_byte(struct hg_buf *b, char c)
{
	hg_buf_str(b, (struct hg_str){&c, 1});
}

/* Writes the digits of v before `end` and returns their start. */
static char *digits(uint64_t v, char *end)
{
	for (; v >= 100; v /= 100) {
		uint64_t two = v % 100;
		*--end = (char)('0' + two % 10);
		*--end = (char)('0' + two / 10);
	}
	do {
		*--end = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return end;
}

void hg_buf_u64(struct hg_buf *b, uint64_t v)
{
	char text[20], *end = text + sizeof text, *p = digits(v, end);
	hg_buf_str(b, (struct hg_str){p, (size_t)(end - p)});
}

void hg_buf_fmt(struct hg_buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *to = n < 0 ? NULL : hg_buf_room(b, (size_t)n);
	if (n < 0) b->failed = true;
	if (to) {
		vsnprintf(to, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

char *hg_buf_take(struct hg_buf *b)
{
	char *to = hg_buf_room(b, 0);
	if (!to) return NULL;
	*to = 0;
	char *p = b->p;
	*b = (struct hg_buf){.max = b->max};
	return p;
}

const char *hg_buf_text(struct hg_buf *b)
{
	char *to = hg_buf_room(b, 0);
	if (!to) return "";
	*to = 0;
	return b->p;
}

void hg_out_cstr(struct hg_out *o, const char *s)
{
	hg_out_str(o, hg_str(s));
}

void hg_out_u64(struct hg_out *o, uint64_t v)
{
	unsigned small = (unsigned)v;
	if (v < 10) {
		hg_out_byte(o, (char)('0' + small));
		return;
	}
	if (v < 1000) {
		char three[3] = {(char)('0' + small / 100), (char)('0' + small / 10 % 10),
		        (char)('0' + small % 10)};
		hg_out_str(o, (struct hg_str){three + (v < 100), 3 - (v < 100)});
		return;
	}
	char text[20], *end = text + sizeof text, *p = digits(v, end);
	hg_out_str(o, (struct hg_str){p, (size_t)(end - p)});
}

void hg_out_fmt(struct hg_out *o, const char *fmt, ...)
{
	va_list ap;
	if (o->failed) return;
	va_start(ap, fmt);
	int n = vsnprintf(o->p + o->n, o->cap - o->n, fmt, ap);
	va_end(ap);
	/* vsnprintf needs one byte for its zero, so the last byte of the room stays unused. */
	if (n < 0 || (size_t)n >= o->cap - o->n) {
		o->failed = true;
		return;
	}
	o->n += (size_t)n;
}
