#include "math/ipset.h"

#include <stdlib.h>

typedef unsigned __int128 u128;

static u128 number(struct ip_addr a)
{
	return (u128)a.hi << 64 | a.lo;
}

static u128 mask_of(uint32_t bits)
{
	return bits == 0 ? 0 : ~(u128)0 << (128 - bits);
}

static u128 first_of(const struct ip_prefix *p)
{
	return number(p->addr) & mask_of(p->bits);
}

static u128 last_of(const struct ip_prefix *p)
{
	return number(p->addr) | ~mask_of(p->bits);
}

struct ip_addr ip_addr_of(const uint8_t b[16])
{
	struct ip_addr a = {0, 0};
	for (int i = 0; i < 8; i++) {
		a.hi = a.hi << 8 | b[i];
		a.lo = a.lo << 8 | b[8 + i];
	}
	return a;
}

struct ip_addr ip_addr_client(struct ip_addr a)
{
	return ip_addr_is_v4(a) ? a : (struct ip_addr){a.hi, 0};
}

/* By first address; of those that begin together the wider first, and then the smaller value. */
static int prefix_cmp(const void *va, const void *vb)
{
	const struct ip_prefix *a = va, *b = vb;
	u128 x = first_of(a), y = first_of(b);
	if (x != y) return x < y ? -1 : 1;
	if (a->bits != b->bits) return a->bits < b->bits ? -1 : 1;
	return (a->value > b->value) - (a->value < b->value);
}

struct building {
	struct ip_step *to;
	size_t n;
};

static void step_add(struct building *b, u128 from, uint32_t value)
{
	struct ip_step s = {(uint64_t)(from >> 64), (uint64_t)from, value, 0};
	/* Two that begin at the same address: the later one is the narrower. */
	if (b->n && b->to[b->n - 1].hi == s.hi && b->to[b->n - 1].lo == s.lo) b->n--;
	if (b->n && b->to[b->n - 1].value == value) return;
	b->to[b->n++] = s;
}

/* Prefixes nest or are apart: those that cover the present place are a stack, never deeper than
 * there are lengths. Equal ones replace each other. */
size_t ipset_compile(struct ip_prefix *prefixes, size_t n, struct ip_step *to)
{
	struct building b = {.to = to};
	const struct ip_prefix *open[130];
	size_t depth = 0;
	if (n == 0) return 0;
	qsort(prefixes, n, sizeof *prefixes, prefix_cmp);
	step_add(&b, 0, 0);
	for (size_t i = 0; i <= n; i++) {
		const struct ip_prefix *p = i < n ? &prefixes[i] : NULL;
		while (depth && (!p || last_of(open[depth - 1]) < first_of(p))) {
			u128 after = last_of(open[--depth]) + 1;
			/* 0: it ended with the last address there is. */
			if (after) step_add(&b, after, depth ? open[depth - 1]->value : 0);
		}
		if (!p) break;
		if (depth && open[depth - 1]->bits == p->bits) depth--;
		HG_ASSERT(depth < HG_COUNT(open));
		open[depth++] = p;
		step_add(&b, first_of(p), p->value);
	}
	return b.n;
}

bool ipset_valid(const struct ip_step *s, size_t n)
{
	if (n && (s[0].hi || s[0].lo)) return false;
	for (size_t i = 1; i < n; i++) {
		if (s[i - 1].hi > s[i].hi) return false;
		if (s[i - 1].hi == s[i].hi && s[i - 1].lo >= s[i].lo) return false;
	}
	return true;
}

uint32_t ipset_find(const struct ip_step *s, size_t n, struct ip_addr a)
{
	if (n == 0) return 0;
	size_t low = 0, high = n; /* s[low] ≤ a < s[high] */
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		bool above = s[mid].hi > a.hi || (s[mid].hi == a.hi && s[mid].lo > a.lo);
		if (above)
			high = mid;
		else
			low = mid;
	}
	return s[low].value;
}
