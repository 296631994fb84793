#include "wire/span.h"

#define KEY_MAX   127u
#define ATTR_HEAD 4u

/* ---- writing ---- */

void span_begin(
        struct span_writer *w, struct hg_out *out, const struct span_head *h, struct hg_str name)
{
	*w = (struct span_writer){.out = out, .head = *h, .at = out->n};
	w->head.attrs = 0;
	w->head.name_n = (uint16_t)HG_MIN(name.n, SPAN_NAME_MAX);
	w->failed = out->cap - out->n < sizeof *h + SPAN_NAME_MAX;
	if (w->failed) return;
	hg_out_str(out, (struct hg_str){(const char *)h, sizeof *h});
	hg_out_str(out, (struct hg_str){name.p, w->head.name_n});
}

static void put(struct span_writer *w, const char *key, enum span_type type, struct hg_str value)
{
	size_t key_n = strlen(key), used = w->out->n - w->at, n = ATTR_HEAD + key_n + value.n;
	HG_ASSERT(key_n > 0 && key_n <= KEY_MAX && value.n <= SPAN_VALUE_MAX);
	w->failed = w->failed || w->head.attrs == SPAN_ATTRS_MAX || used + n > SPAN_RECORD_MAX ||
	            n > w->out->cap - w->out->n;
	if (w->failed) return;
	uint16_t value_n = (uint16_t)value.n;
	char head[ATTR_HEAD] = {(char)key_n, (char)type};
	memcpy(head + 2, &value_n, sizeof value_n);
	hg_out_str(w->out, (struct hg_str){head, sizeof head});
	hg_out_str(w->out, (struct hg_str){key, key_n});
	hg_out_str(w->out, value);
	w->head.attrs++;
}

void span_str(struct span_writer *w, const char *key, struct hg_str value)
{
	if (value.n)
		put(w, key, SPAN_STR, (struct hg_str){value.p, HG_MIN(value.n, SPAN_VALUE_MAX)});
}

void span_int(struct span_writer *w, const char *key, int64_t value)
{
	put(w, key, SPAN_INT, (struct hg_str){(const char *)&value, sizeof value});
}

void span_bool(struct span_writer *w, const char *key, bool value)
{
	char byte = value;
	put(w, key, SPAN_BOOL, (struct hg_str){&byte, 1});
}

bool span_end(struct span_writer *w)
{
	if (w->out->n == w->at) return false;
	w->head.size = (uint32_t)(w->out->n - w->at);
	memcpy(w->out->p + w->at, &w->head, sizeof w->head);
	return true;
}

/* ---- reading ---- */

size_t span_size(struct hg_str b)
{
	uint32_t size;
	if (b.n < sizeof(struct span_head)) return 0;
	memcpy(&size, b.p, sizeof size);
	return size >= sizeof(struct span_head) && size <= SPAN_RECORD_MAX && size <= b.n ? size
	                                                                                  : 0;
}

/* The next attribute; false: the bytes are none. */
static bool take(struct hg_str *b, struct span_attr *ret)
{
	uint16_t value_n;
	if (b->n < ATTR_HEAD) return false;
	size_t key_n = (unsigned char)b->p[0];
	unsigned type = (unsigned char)b->p[1];
	memcpy(&value_n, b->p + 2, sizeof value_n);
	if (!key_n || key_n > KEY_MAX || value_n > SPAN_VALUE_MAX) return false;
	if (b->n - ATTR_HEAD < key_n + value_n) return false;
	*ret = (struct span_attr){.key = {b->p + ATTR_HEAD, key_n},
	        .text = {b->p + ATTR_HEAD + key_n, value_n},
	        .type = (enum span_type)type};
	if (type > SPAN_BOOL || (type == SPAN_INT && value_n != sizeof ret->number) ||
	        (type == SPAN_BOOL && value_n != 1))
		return false;
	if (type == SPAN_INT) memcpy(&ret->number, ret->text.p, sizeof ret->number);
	if (type == SPAN_BOOL) ret->number = ret->text.p[0] != 0;
	b->p += ATTR_HEAD + key_n + value_n;
	b->n -= ATTR_HEAD + key_n + value_n;
	return true;
}

static bool ids_ok(const struct span_head *h)
{
	struct tracectx c = {.flags = h->flags}, again;
	char text[TRACECTX_SIZE];
	memcpy(c.trace, h->trace, sizeof c.trace);
	memcpy(c.span, h->id, sizeof c.span);
	tracectx_write(&c, text);
	if (!tracectx_read((struct hg_str){text, sizeof text}, &again)) return false;
	memcpy(c.span, h->parent, sizeof c.span);
	tracectx_write(&c, text);
	return !h->has_parent || tracectx_read((struct hg_str){text, sizeof text}, &again);
}

bool span_read(struct hg_str b, struct span *ret)
{
	struct span_attr a;
	size_t size = span_size(b);
	if (!size) return false;
	memcpy(&ret->head, b.p, sizeof ret->head);
	const struct span_head *h = &ret->head;
	bool sane = h->kind >= SPAN_INTERNAL && h->kind <= SPAN_CONSUMER &&
	            h->status <= SPAN_ERROR && h->name_n > 0 && h->name_n <= SPAN_NAME_MAX &&
	            h->attrs <= SPAN_ATTRS_MAX && size >= sizeof *h + h->name_n && ids_ok(h);
	if (!sane) return false;
	ret->name = (struct hg_str){b.p + sizeof *h, h->name_n};
	ret->rest = (struct hg_str){ret->name.p + h->name_n, size - sizeof *h - h->name_n};
	struct hg_str rest = ret->rest;
	for (unsigned i = 0; i < h->attrs; i++)
		if (!take(&rest, &a)) return false;
	return rest.n == 0;
}

bool span_attr(struct span *s, struct span_attr *ret_attr)
{
	return s->rest.n > 0 && take(&s->rest, ret_attr);
}
