/*
 * The rate table: who has used how much of which limit, shared by all edge workers.
 *
 * One segment of fixed size, made by the warden, so that it outlives workers and configurations. A
 * key is a keyed hash of (rule, client): who a client is stands nowhere in it, and nobody outside
 * can tell which keys meet. A bucket is one cache line of four entries, each a key and a
 * theoretical arrival time (math/gcra.h); both are changed by compare-and-swap only. No locks, no
 * allocation, and a writer may die at any instruction.
 *
 * When a bucket is full the entry with the earliest TAT goes: one that is idle, if there is one,
 * else who owes least. The newcomer takes over what it owed, as far as his own rule lets him be
 * admitted once. So nobody gets his limit back by being evicted: an eviction gives him at most one
 * request, and costs a request under a key that was not in the table. The price: while four
 * clients of a bucket owe, a fifth begins without his burst.
 */
#ifndef METER_RATES_H
#define METER_RATES_H

#include "math/gcra.h"
#include "meter/peers.h"

#include <stdatomic.h>

#define RATES_MAGIC   0x52415445u
#define RATES_WAYS    4u
#define RATES_BUCKETS (1u << 17) /* 8 MiB; pages nobody touched cost nothing */

struct rates_entry {
	_Atomic uint64_t key; /* 0: never used */
	_Atomic uint64_t tat_ns;
};

struct rates_bucket {
	struct rates_entry entry[RATES_WAYS];
} __attribute__((aligned(64)));

struct rates {
	uint32_t magic, layout;
	uint8_t secret[16];
	uint8_t pad[40];
	struct rates_bucket bucket[RATES_BUCKETS];
	struct peers peers; /* another count, by the same names */
};

/* Formats fresh zeroed memory of sizeof(struct rates). */
void rates_init(struct rates *t, const uint8_t secret[16]);
/* NULL when the mapping of `size` bytes is not of this layout. */
struct rates *rates_open(void *mapping, size_t size);

/* A key, never 0. `rule`: number of the rule; `kind`: what sort of name this is. */
uint64_t rates_key(const struct rates *t, uint64_t rule, uint8_t kind, const void *name, size_t n);

/* The same by another secret: one that several machines share. */
uint64_t rates_key_by(
        const uint8_t secret[16], uint64_t rule, uint8_t kind, const void *name, size_t n);

/* Decides one request and keeps it if it is admitted. */
struct gcra_verdict rates_take(
        struct rates *t, uint64_t key, struct gcra_rule rule, uint64_t now_ns);
/* What rates_take would say, without keeping anything. */
struct gcra_verdict rates_peek(
        const struct rates *t, uint64_t key, struct gcra_rule rule, uint64_t now_ns);
/* A request that rates_take admitted was counted elsewhere too: `back` gives it back, as it was
 * refused there; whoever has the key owes at least until `tat_ns`, as is known from there. */
void rates_settle(struct rates *t, uint64_t key, struct gcra_rule rule, bool back, uint64_t tat_ns);

#endif
