/*
 * A bounded store in memory for what is cheaper to keep than to make again. A pure data structure:
 * no clock (time is passed), no I/O, no threads.
 *
 * What stays is decided by S3-FIFO (Yang et al., SOSP 2023): a small queue for newcomers, a main
 * queue for what was asked for again while it was there, and a memory of the names that left the
 * small one. One pass over many things that nobody asks for twice takes a tenth of the room at
 * most. The bound counts everything: entries with their allocation, index, names, tags.
 *
 * Tags are numbers with generations. To purge a tag is to count its generation up: O(1), whatever
 * carries it is gone at once and its memory is given back as it is met. What was begun before a
 * purge must not be kept after it: cache_begin gives a ticket when a fetch starts, and cache_put
 * refuses what its ticket is too old for.
 *
 * Concurrent misses: of those that want the same key one fetches (cache_join says so) and the
 * others wait; cache_land gives them back with the end of the fetch. Who waits may leave
 * (cache_leave). A flight that a purge has overtaken takes no new passengers.
 */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include "base/list.h"
#include "base/str.h"

#define CACHE_TAGS_MAX 4u
#define CACHE_KEY_MAX  1024u
#define CACHE_TAGS     1024u /* names of tags are spread over so many generations */

struct cache;

struct cache_options {
	size_t bytes_max;     /* of everything; at least CACHE_BYTES_LEAST */
	uint64_t seed;        /* unknown to whoever chooses keys */
	uint32_t flights_max; /* keys that are being fetched at a time; 0: 1024 */
};

#define CACHE_BYTES_LEAST (64u << 10)

/* HG_E_NOMEM; HG_E_INVALID: too small. */
HG_MUST enum hg_rc cache_new(const struct cache_options *o, struct cache **ret_cache);
/* No flight may be open. Takes NULL. */
void cache_free(struct cache *c);

/* A tag by its name. Two names may share a number (1 in 1024): then a purge takes both. */
uint32_t cache_tag(struct hg_str name);
void cache_purge(struct cache *c, uint32_t tag);
void cache_purge_all(struct cache *c);

/* What a fetch that begins now may be kept under. */
struct cache_ticket {
	uint32_t count;
	uint32_t tag[CACHE_TAGS_MAX];
	uint64_t generation[CACHE_TAGS_MAX], all;
};

struct cache_ticket cache_begin(const struct cache *c, const uint32_t *tags, size_t n);
/* No purge since? */
bool cache_current(const struct cache *c, const struct cache_ticket *t);

/*
 * Keeps a copy until `until_ms`. False: a purge came between, it is too large (an eighth of the
 * bound is the most), or there is no memory; an older value of the key is gone all the same.
 */
bool cache_put(struct cache *c, struct hg_str key, struct hg_str value,
        const struct cache_ticket *t, uint64_t now_ms, uint64_t until_ms);
/*
 * The value, aligned for any type; valid until the next cache_put, cache_get, cache_drop or
 * cache_free. False: there is none, or no longer (its time has come, a tag was purged).
 */
bool cache_get(struct cache *c, struct hg_str key, uint64_t now_ms, struct hg_str *ret_value);
void cache_drop(struct cache *c, struct hg_str key);

/* One who waits for a fetch; zero before its first use. */
struct cache_waiter {
	struct hg_list node;
	bool waits;
};

struct cache_flight;

enum cache_join {
	CACHE_FETCH, /* fetch it, and land *ret_flight whatever the end */
	CACHE_WAIT,  /* somebody does; the waiter is in the list that cache_land gives */
	CACHE_ALONE  /* too many flights, or no memory: fetch it for yourself, there is no flight */
};

/* For a fetch that would begin now, with tags as in cache_begin. */
enum cache_join cache_join(struct cache *c, struct hg_str key, const uint32_t *tags, size_t n,
        struct cache_waiter *w, struct cache_flight **ret_flight);
/* Nothing for one that does not wait. */
void cache_leave(struct cache *c, struct cache_waiter *w);
const struct cache_ticket *cache_flight_ticket(const struct cache_flight *f);
struct hg_str cache_flight_key(const struct cache_flight *f);
/* The flight is over. Its waiters are appended to `to`, for cache_next; they may still leave. */
void cache_land(struct cache *c, struct cache_flight *f, struct hg_list *to);
/* Takes the next one, which waits no longer; NULL: none. */
static inline struct cache_waiter *cache_next(struct hg_list *from)
{
	struct hg_list *node = hg_list_pop(from);
	struct cache_waiter *w = node ? HG_CONTAINER(node, struct cache_waiter, node) : NULL;
	if (w) w->waits = false;
	return w;
}

struct cache_stats {
	uint64_t hits, misses;    /* of cache_get */
	uint64_t expired, purged; /* misses because of that */
	uint64_t puts, refused, evicted;
	uint64_t waits; /* CACHE_WAIT */
	size_t bytes, bytes_max;
	uint32_t entries, flights;
};

void cache_stats(const struct cache *c, struct cache_stats *ret_stats);

#endif
