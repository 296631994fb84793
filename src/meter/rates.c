#include "meter/rates.h"

#include <string.h>

#include "base/siphash.h"

#define TRIES 16 /* of finding a place while others take it; then the request is let through */

static uint32_t layout(void)
{
	return (uint32_t)(sizeof(struct rates) ^ RATES_WAYS << 28);
}

void rates_init(struct rates *t, const uint8_t secret[16])
{
	memcpy(t->secret, secret, sizeof t->secret);
	t->layout = layout();
	t->magic = RATES_MAGIC;
}

struct rates *rates_open(void *mapping, size_t size)
{
	struct rates *t = mapping;
	if (!t || size < sizeof *t || t->magic != RATES_MAGIC || t->layout != layout()) return NULL;
	return t;
}

uint64_t rates_key_by(
        const uint8_t secret[16], uint64_t rule, uint8_t kind, const void *name, size_t n)
{
	struct {
		uint64_t rule, name;
		uint8_t kind;
	} __attribute__((packed)) whole = {rule, hg_siphash(secret, name, n), kind};
	uint64_t key = hg_siphash(secret, &whole, sizeof whole);
	return key ? key : 1;
}

uint64_t rates_key(const struct rates *t, uint64_t rule, uint8_t kind, const void *name, size_t n)
{
	return rates_key_by(t->secret, rule, kind, name, n);
}

static uint64_t key_at(const struct rates_entry *e)
{
	return atomic_load_explicit(&e->key, memory_order_acquire);
}

static uint64_t tat_at(const struct rates_entry *e)
{
	return atomic_load_explicit(&e->tat_ns, memory_order_acquire);
}

static uint32_t place_of(uint64_t key)
{
	return (uint32_t)(key >> 40) & (RATES_BUCKETS - 1);
}

/* Of two entries of a key, which only a race makes, the first counts. */
static uint32_t find(const struct rates_bucket *b, uint64_t key)
{
	uint32_t i = 0;
	while (i < RATES_WAYS && key_at(&b->entry[i]) != key)
		i++;
	return i;
}

/* Who goes: an unused one, or who owes least. */
static uint32_t victim(const struct rates_bucket *b)
{
	uint32_t best = 0;
	uint64_t least = UINT64_MAX;
	for (uint32_t i = 0; i < RATES_WAYS; i++) {
		if (key_at(&b->entry[i]) == 0) return i;
		uint64_t tat = tat_at(&b->entry[i]);
		if (tat >= least) continue;
		least = tat;
		best = i;
	}
	return best;
}

/* What a newcomer takes over: never more than lets him be admitted once. */
static uint64_t inherited(uint64_t tat, struct gcra_rule rule, uint64_t now_ns)
{
	return HG_MIN(tat, now_ns + rule.tolerance_ns);
}

/* The same key elsewhere: two workers met it for the first time at once. */
static void merge(struct rates_bucket *b, uint32_t keep, uint64_t key)
{
	for (uint32_t i = keep + 1; i < RATES_WAYS; i++) {
		uint64_t have = key;
		if (key_at(&b->entry[i]) != key) continue;
		uint64_t tat = tat_at(&b->entry[i]), mine = tat_at(&b->entry[keep]);
		while (tat > mine &&
		        !atomic_compare_exchange_weak(&b->entry[keep].tat_ns, &mine, tat)) {
		}
		atomic_compare_exchange_strong(&b->entry[i].key, &have, 0);
	}
}

/* A place for a key that has none; RATES_WAYS: somebody was faster, look again. */
static uint32_t claim(struct rates_bucket *b, uint64_t key, struct gcra_rule rule, uint64_t now_ns)
{
	uint32_t i = victim(b);
	struct rates_entry *e = &b->entry[i];
	uint64_t old = key_at(e), tat = tat_at(e);
	if (old == key || find(b, key) < RATES_WAYS) return RATES_WAYS;
	if (!atomic_compare_exchange_strong(&e->key, &old, key)) return RATES_WAYS;
	/* What it owes now: its last owner may have been faster. */
	tat = tat_at(e);
	uint64_t mine = inherited(tat, rule, now_ns);
	if (mine != tat) atomic_compare_exchange_strong(&e->tat_ns, &tat, mine);
	merge(b, i, key);
	return find(b, key);
}

struct gcra_verdict rates_take(
        struct rates *t, uint64_t key, struct gcra_rule rule, uint64_t now_ns)
{
	struct rates_bucket *b = &t->bucket[place_of(key)];
	for (int tries = 0; tries < TRIES; tries++) {
		uint32_t i = find(b, key);
		if (HG_UNLIKELY(i == RATES_WAYS)) i = claim(b, key, rule, now_ns);
		if (i == RATES_WAYS) continue;
		struct rates_entry *e = &b->entry[i];
		uint64_t tat = tat_at(e);
		struct gcra_verdict v;
		do {
			v = gcra_decide(rule, tat, now_ns);
			if (!v.admit) return v;
		} while (!atomic_compare_exchange_weak(&e->tat_ns, &tat, v.tat_ns));
		if (HG_LIKELY(key_at(e) == key)) return v;
		/* Evicted in between: that was put on somebody else's account. */
	}
	return gcra_decide(rule, 0, now_ns);
}

struct gcra_verdict rates_peek(
        const struct rates *t, uint64_t key, struct gcra_rule rule, uint64_t now_ns)
{
	const struct rates_bucket *b = &t->bucket[place_of(key)];
	uint32_t i = find(b, key);
	if (i < RATES_WAYS) return gcra_decide(rule, tat_at(&b->entry[i]), now_ns);
	const struct rates_entry *e = &b->entry[victim(b)];
	return gcra_decide(rule, inherited(tat_at(e), rule, now_ns), now_ns);
}

void rates_settle(struct rates *t, uint64_t key, struct gcra_rule rule, bool back, uint64_t tat_ns)
{
	struct rates_bucket *b = &t->bucket[place_of(key)];
	uint32_t i = find(b, key);
	if (i == RATES_WAYS) return; /* somebody else's place by now */
	struct rates_entry *e = &b->entry[i];
	uint64_t tat = tat_at(e), to;
	do {
		to = back && tat > rule.interval_ns ? tat - rule.interval_ns : tat;
		to = HG_MAX(to, tat_ns);
	} while (to != tat && !atomic_compare_exchange_weak(&e->tat_ns, &tat, to));
}
