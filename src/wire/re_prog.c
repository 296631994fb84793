/*
 * From the tree to instructions over bytes. Code is emitted backwards: emit(node, next) returns
 * where to enter so that what matches goes on at `next`; only loops need a place held open.
 */
#include "wire/re_priv.h"

#include <stdlib.h>

#define NOWHERE  UINT32_MAX
#define SUFFIXES 256u /* power of two */

struct suffix {
	uint32_t next, inst;
	uint8_t lo, hi;
};

struct maker {
	struct re_prog *prog;
	bool too_large, no_memory;
	/* Of the class that is being emitted: its byte instructions, so that ends are shared. */
	struct suffix suffix[SUFFIXES];
};

static uint32_t put(struct maker *m, struct re_inst inst)
{
	struct re_prog *p = m->prog;
	if (m->too_large || m->no_memory) return 0;
	if (p->n == p->cap) {
		uint32_t cap = p->cap ? p->cap * 2 : 16;
		struct re_inst *at = NULL;
		if (p->n >= RE_PROG_MAX) {
			m->too_large = true;
			return 0;
		}
		at = realloc(p->at, cap * sizeof *at);
		if (!at) {
			m->no_memory = true;
			return 0;
		}
		p->at = at;
		p->cap = cap;
	}
	p->at[p->n] = inst;
	return p->n++;
}

static uint32_t put_byte(struct maker *m, uint8_t lo, uint8_t hi, uint32_t next)
{
	return put(m, (struct re_inst){.op = RE_OP_BYTE, .lo = lo, .hi = hi, .out = next});
}

static uint32_t put_split(struct maker *m, uint32_t out, uint32_t also)
{
	return put(m, (struct re_inst){.op = RE_OP_SPLIT, .out = out, .also = also});
}

static uint32_t put_rune(struct maker *m, uint32_t rune, uint32_t next)
{
	char bytes[4];
	for (size_t n = re_utf8_put(rune, bytes); n > 0; n--)
		next = put_byte(m, (uint8_t)bytes[n - 1], (uint8_t)bytes[n - 1], next);
	return next;
}

/* ---- classes ---- */

static uint32_t put_shared(struct maker *m, uint8_t lo, uint8_t hi, uint32_t next)
{
	uint32_t h = (next * 0x9e3779b1u ^ (uint32_t)lo << 8 ^ hi) & (SUFFIXES - 1);
	struct suffix *s = &m->suffix[h];
	if (s->inst != NOWHERE && s->next == next && s->lo == lo && s->hi == hi) return s->inst;
	*s = (struct suffix){.next = next, .lo = lo, .hi = hi};
	s->inst = put_byte(m, lo, hi, next);
	return s->inst;
}

/* A range whose ends have `n` bytes and differ from some byte on in all that follow. */
static void put_sequence(struct maker *m, uint32_t lo, uint32_t hi, uint32_t next, uint32_t *entry)
{
	char from[4], to[4];
	size_t n = re_utf8_put(lo, from);
	uint32_t at = next;
	(void)re_utf8_put(hi, to);
	for (size_t i = n; i > 0; i--)
		at = put_shared(m, (uint8_t)from[i - 1], (uint8_t)to[i - 1], at);
	*entry = *entry == NOWHERE ? at : put_split(m, at, *entry);
}

/* Cuts a range until each piece is a sequence of byte ranges. */
static void put_range(struct maker *m, uint32_t lo, uint32_t hi, uint32_t next, uint32_t *entry)
{
	static const uint32_t last[] = {0x7f, 0x7ff, 0xd7ff, 0xdfff, 0xffff};
	while (lo <= hi) {
		uint32_t end = hi;
		if (lo >= 0xd800 && lo <= 0xdfff) { /* surrogates are never encoded */
			lo = 0xe000;
			continue;
		}
		for (size_t i = 0; i < HG_COUNT(last); i++)
			if (lo <= last[i] && end > last[i]) end = last[i];
		for (uint32_t bits = 6; bits <= 18; bits += 6) {
			uint32_t low = (1u << bits) - 1;
			if ((lo & ~low) == (end & ~low)) break; /* same leading bytes */
			if (lo & low)
				end = lo | low; /* up to where the trailing bytes are full */
			else if ((end & low) != low)
				end = (end & ~low) - 1; /* only full ones */
		}
		if (end < 0x80)
			*entry = *entry == NOWHERE
			                 ? put_shared(m, (uint8_t)lo, (uint8_t)end, next)
			                 : put_split(m,
			                           put_shared(m, (uint8_t)lo, (uint8_t)end, next),
			                           *entry);
		else
			put_sequence(m, lo, end, next, entry);
		lo = end + 1;
		if (m->too_large || m->no_memory) return;
	}
}

static uint32_t put_set(struct maker *m, const struct re_node *n, uint32_t next)
{
	uint32_t entry = NOWHERE;
	for (size_t i = 0; i < SUFFIXES; i++)
		m->suffix[i].inst = NOWHERE;
	for (uint32_t i = n->n; i > 0; i--)
		put_range(m, n->set[i - 1].lo, n->set[i - 1].hi, next, &entry);
	/* A set of nothing, such as [^\x00-\x{10ffff}]: no byte is in this range. */
	return entry == NOWHERE ? put_byte(m, 1, 0, next) : entry;
}

/* ---- repetition ---- */

static uint32_t emit(struct maker *m, const struct re_node *n, uint32_t next);

static uint32_t prefer(struct maker *m, uint32_t more, uint32_t done, bool lazy)
{
	return lazy ? put_split(m, done, more) : put_split(m, more, done);
}

/* kid+: the loop stands behind its body, so that an empty body cannot hold it up. */
static uint32_t emit_plus(
        struct maker *m, const struct re_node *kid, uint32_t next, bool lazy, uint32_t *ret_loop)
{
	uint32_t loop = put_split(m, 0, 0);
	uint32_t body = emit(m, kid, loop);
	if (m->too_large || m->no_memory) return 0;
	m->prog->at[loop].out = lazy ? next : body;
	m->prog->at[loop].also = lazy ? body : next;
	*ret_loop = loop;
	return body;
}

static uint32_t emit_repeat(struct maker *m, const struct re_node *n, uint32_t next)
{
	const struct re_node *kid = n->kids[0];
	uint32_t loop = 0, fixed = n->min;
	if (n->max == RE_UNBOUNDED) {
		uint32_t body = emit_plus(m, kid, next, n->lazy, &loop);
		/* With an empty body x* is (x+)?, as in Go: else its priorities are lost. */
		if (n->min == 0) return kid->nullable ? prefer(m, body, next, n->lazy) : loop;
		next = body;
		fixed--;
	} else {
		uint32_t done = next;
		for (uint32_t i = n->min; i < n->max; i++) /* (x(x(x)?)?)? */
			next = prefer(m, emit(m, kid, next), done, n->lazy);
	}
	for (uint32_t i = 0; i < fixed && !m->too_large && !m->no_memory; i++)
		next = emit(m, kid, next);
	return next;
}

/* ---- the rest ---- */

static uint32_t emit_group(struct maker *m, const struct re_node *n, uint32_t next)
{
	uint32_t end =
	        put(m, (struct re_inst){.op = RE_OP_SAVE, .out = next, .also = n->value * 2 + 1});
	uint32_t body = emit(m, n->kids[0], end);
	return put(m, (struct re_inst){.op = RE_OP_SAVE, .out = body, .also = n->value * 2});
}

static uint32_t emit(struct maker *m, const struct re_node *n, uint32_t next)
{
	uint32_t entry;
	if (m->too_large || m->no_memory) return 0;
	switch (n->kind) {
	case RE_NOTHING: return next;
	case RE_RUNE: return put_rune(m, n->value, next);
	case RE_SET: return put_set(m, n, next);
	case RE_LOOK:
		m->prog->looks |= n->value;
		return put(m,
		        (struct re_inst){.op = RE_OP_LOOK, .look = (uint8_t)n->value, .out = next});
	case RE_CAT:
		for (uint32_t i = n->n; i > 0; i--)
			next = emit(m, n->kids[i - 1], next);
		return next;
	case RE_ALT:
		entry = emit(m, n->kids[n->n - 1], next);
		for (uint32_t i = n->n - 1; i > 0; i--)
			entry = put_split(m, emit(m, n->kids[i - 1], next), entry);
		return entry;
	case RE_REPEAT: return emit_repeat(m, n, next);
	case RE_GROUP: return emit_group(m, n, next);
	}
	return next;
}

enum hg_rc re_prog_make(const struct re_tree *t, struct re_prog *ret_prog, struct hg_err *err)
{
	struct maker *m = malloc(sizeof *m);
	uint32_t match;
	*ret_prog = (struct re_prog){0};
	if (!m) return hg_err_set(err, HG_E_NOMEM, "no memory for a regular expression");
	*m = (struct maker){.prog = ret_prog};
	match = put(m, (struct re_inst){.op = RE_OP_MATCH});
	ret_prog->start = emit(m, t->root, match);
	bool too_large = m->too_large, no_memory = m->no_memory;
	free(m);
	if (no_memory) return hg_err_set(err, HG_E_NOMEM, "no memory for a regular expression");
	if (!too_large) return HG_OK;
	(void)hg_err_set(err, HG_E_TOO_LARGE,
	        "the regular expression expands to more than %u instructions", RE_PROG_MAX);
	hg_err_hint(err, "smaller counts in {n,m}, or ASCII classes instead of \\pL, make it less");
	return HG_E_TOO_LARGE;
}
