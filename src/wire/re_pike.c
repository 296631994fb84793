/*
 * Search with captures: all ways through the program at once, in order of preference, one step a
 * byte (Thompson, Pike). A thread is an instruction that waits for a byte, with its places.
 */
#include "wire/re_priv.h"

#include <stdlib.h>

#define NO_PLACE SIZE_MAX

struct threads {
	uint32_t *id;
	size_t *places; /* of id[i]: places[i * slots …] */
	uint32_t n;
};

/* What is still to be followed; or, with `undo`, a place to set back. */
struct todo {
	uint32_t id;
	bool undo;
	size_t place;
};

struct re_pike {
	const struct re_prog *prog;
	size_t slots; /* of each thread */
	size_t bytes; /* of memory, itself included */
	struct threads now, next;
	struct re_ids seen; /* at the place that threads are added for */
	size_t *block;      /* where all places lie; `now` and `next` change theirs */
	size_t *places;     /* while following */
	size_t *found;
	struct todo *todo;
};

void re_pike_free(struct re_pike *p)
{
	if (!p) return;
	free(p->seen.dense);
	free(p->block);
	free(p->todo);
	free(p);
}

size_t re_pike_bytes(const struct re_pike *p)
{
	return p ? p->bytes : 0;
}

static struct re_pike *pike_new(const struct re_prog *prog, size_t slots)
{
	struct re_pike *p = calloc(1, sizeof *p);
	size_t n = prog->n, waits = 0;
	HG_ASSERT(n > 0); /* a program has its end at least */
	if (!p) return NULL;
	for (size_t i = 0; i < n; i++)
		waits += prog->at[i].op == RE_OP_BYTE || prog->at[i].op == RE_OP_MATCH;
	p->prog = prog;
	p->slots = slots;
	p->seen.dense = calloc((n + waits) * 2, sizeof(uint32_t));
	p->block = p->now.places = calloc((waits * 2 + 2) * slots, sizeof(size_t));
	p->todo = calloc(n + 1, sizeof *p->todo);
	p->bytes = sizeof *p + (n + waits) * 2 * sizeof(uint32_t) +
	           (waits * 2 + 2) * slots * sizeof(size_t) + (n + 1) * sizeof *p->todo;
	if (!p->seen.dense || !p->block || !p->todo) {
		re_pike_free(p);
		return NULL;
	}
	p->seen.sparse = p->seen.dense + n;
	p->now.id = p->seen.sparse + n;
	p->next.id = p->now.id + waits;
	p->next.places = p->now.places + waits * slots;
	p->places = p->next.places + waits * slots;
	p->found = p->places + slots;
	return p;
}

static bool is_word(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_';
}

static unsigned looks_at(struct hg_str s, size_t at)
{
	int before = at > 0 ? (unsigned char)s.p[at - 1] : -1;
	int after = at < s.n ? (unsigned char)s.p[at] : -1;
	unsigned have = is_word(before) != is_word(after) ? RE_WORD_EDGE : RE_NO_WORD_EDGE;
	if (before < 0) have |= RE_TEXT_BEGIN | RE_LINE_BEGIN;
	if (before == '\n') have |= RE_LINE_BEGIN;
	if (after < 0) have |= RE_TEXT_END | RE_LINE_END;
	if (after == '\n') have |= RE_LINE_END;
	return have;
}

/* The follower of `in` that is followed at once; another one, or what is to be undone, is noted. */
static bool follow_one(struct re_pike *p, const struct re_inst *in, size_t at, unsigned have,
        uint32_t *depth, uint32_t *ret_id)
{
	*ret_id = in->out;
	switch (in->op) {
	case RE_OP_SPLIT: p->todo[(*depth)++] = (struct todo){.id = in->also}; return true;
	case RE_OP_LOOK: return (in->look & have) != 0;
	case RE_OP_SAVE:
		if (in->also < p->slots) {
			p->todo[(*depth)++] = (struct todo){in->also, true, p->places[in->also]};
			p->places[in->also] = at;
		}
		return true;
	default: return false;
	}
}

/*
 * Adds what waits for a byte behind `id`, the preferred first, with p->places. What was reached
 * before at this place has a better way: it is not looked at again. Every instruction is followed
 * once and leaves at most one todo, hence the room.
 */
static void add(struct re_pike *p, struct threads *to, uint32_t id, size_t at, unsigned have)
{
	uint32_t depth = 0;
	p->todo[depth++] = (struct todo){.id = id};
	while (depth) {
		struct todo t = p->todo[--depth];
		if (t.undo) {
			p->places[t.id] = t.place;
			continue;
		}
		for (id = t.id;;) {
			const struct re_inst *in = &p->prog->at[id];
			if (p->seen.sparse[id] < p->seen.n &&
			        p->seen.dense[p->seen.sparse[id]] == id)
				break;
			p->seen.sparse[id] = p->seen.n;
			p->seen.dense[p->seen.n++] = id;
			if (in->op == RE_OP_BYTE || in->op == RE_OP_MATCH) {
				to->id[to->n] = id;
				memcpy(to->places + to->n * p->slots, p->places,
				        p->slots * sizeof *p->places);
				to->n++;
				break;
			}
			if (!follow_one(p, in, at, have, &depth, &id)) break;
		}
	}
}

/* One byte on (or the end, when at == s.n). True: a match was found, and is noted. */
static bool turn(struct re_pike *p, struct hg_str s, size_t at, bool anchored)
{
	unsigned have = at < s.n ? looks_at(s, at + 1) : 0;
	p->seen.n = p->next.n = 0;
	for (uint32_t i = 0; i < p->now.n; i++) {
		const struct re_inst *in = &p->prog->at[p->now.id[i]];
		const size_t *places = p->now.places + i * p->slots;
		if (in->op == RE_OP_MATCH) {
			if (anchored && at < s.n) continue;
			memcpy(p->found, places, p->slots * sizeof *places);
			p->found[1] = at;
			return true; /* those behind it are worse */
		}
		if (at == s.n) continue;
		if ((unsigned char)s.p[at] < in->lo || (unsigned char)s.p[at] > in->hi) continue;
		memcpy(p->places, places, p->slots * sizeof *places);
		add(p, &p->next, in->out, at + 1, have);
	}
	return false;
}

static void swap(struct re_pike *p)
{
	struct threads t = p->now;
	p->now = p->next;
	p->next = t;
}

static bool run(struct re_pike *p, struct hg_str s, bool anchored, struct hg_str prefix)
{
	bool found = false;
	p->now.n = p->seen.n = 0;
	for (size_t at = 0; at <= s.n; at++) {
		bool inside = at < s.n && ((unsigned char)s.p[at] & 0xc0) == 0x80;
		if (p->now.n == 0 && !found && !anchored && prefix.n && at < s.n) {
			const char *hit = memmem(s.p + at, s.n - at, prefix.p, prefix.n);
			if (!hit) return false;
			at = (size_t)(hit - s.p);
			p->seen.n = 0;
			inside = false;
		}
		if (!found && !inside && (!anchored || at == 0)) {
			for (size_t i = 0; i < p->slots; i++)
				p->places[i] = NO_PLACE;
			p->places[0] = at;
			add(p, &p->now, p->prog->start, at, looks_at(s, at));
		}
		if (p->now.n == 0 && (found || anchored)) break;
		found |= turn(p, s, at, anchored);
		swap(p);
	}
	return found;
}

bool re_search(struct re *re, struct hg_str s, struct re_group *group, size_t n)
{
	size_t groups = HG_MIN(n, (size_t)re->groups), slots = HG_MAX(groups, (size_t)1) * 2;
	bool anchored = (re->flags & RE_ANCHORED) != 0;
	struct hg_str prefix = re->shortcut.prefix;
	if (anchored && !hg_str_starts(s, prefix)) return false;
	if (re->pike && re->pike->slots != slots) {
		re_pike_free(re->pike);
		re->pike = NULL;
	}
	if (!re->pike) re->pike = pike_new(&re->prog, slots);
	if (!re->pike || !run(re->pike, s, anchored, prefix)) return false;
	for (size_t i = 0; i < n; i++) {
		const size_t *at = re->pike->found + i * 2;
		bool part = i < groups && at[0] != NO_PLACE && at[1] != NO_PLACE;
		group[i] =
		        part ? (struct re_group){s.p + at[0], at[1] - at[0]} : (struct re_group){0};
	}
	return true;
}
