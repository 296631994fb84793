#include "cache/cache.h"

#include <stdlib.h>

#include "base/siphash.h"

#define CACHE_MAGIC     0xcac4e001u
#define FREQUENCY_MOST  3
#define TO_MAIN         2  /* asked for so often in the small queue: it is worth keeping */
#define SMALL_SHARE     10 /* the small queue has a tenth */
#define LARGEST_SHARE   8
#define GHOST_WAYS      4u
#define GHOST_BYTES     512u /* of the bound, for each name that is remembered */
#define FLIGHTS_DEFAULT 1024u
#define HEAP_OVERHEAD   16u /* of malloc, for each piece */

enum queue_name { SMALL, MAIN, QUEUES };

struct entry {
	struct hg_list node; /* of its queue, the oldest first */
	struct entry *next;  /* of its bucket */
	uint64_t hash, until_ms;
	struct cache_ticket ticket;
	uint32_t key_n, value_n;
	uint8_t queue, frequency;
	_Alignas(max_align_t) char bytes[]; /* value, key */
};

/* When a name left the small queue; the oldest of a row makes room. */
struct ghost {
	uint32_t print, at; /* at 0: free */
};

struct cache_flight {
	struct hg_list node, waiters;
	uint64_t hash;
	struct cache_ticket ticket;
	bool overtaken; /* by a later flight for the same key */
	uint32_t key_n;
	char key[];
};

struct cache {
	uint32_t magic;
	struct cache_options o;
	uint8_t seed[16];
	struct entry **bucket; /* a power of two */
	size_t buckets;
	struct hg_list queue[QUEUES];
	size_t queue_bytes[QUEUES];
	struct ghost *ghost; /* rows of GHOST_WAYS */
	size_t ghost_rows;
	uint32_t ghost_clock;   /* names that left so far */
	struct hg_list *flight; /* flights by hash */
	size_t flight_rows;
	uint64_t generation[CACHE_TAGS], all;
	struct cache_stats stats;
};

static uint64_t hash_of(const struct cache *c, struct hg_str key)
{
	return hg_siphash(c->seed, key.p, key.n);
}

static size_t power_of_two(size_t least)
{
	size_t n = 1;
	while (n < least)
		n *= 2;
	return n;
}

static size_t bytes_of(size_t key_n, size_t value_n)
{
	size_t n = sizeof(struct entry) + key_n + value_n + HEAP_OVERHEAD;
	return (n + 15) & ~(size_t)15;
}

enum hg_rc cache_new(const struct cache_options *o, struct cache **ret_cache)
{
	if (o->bytes_max < CACHE_BYTES_LEAST) return HG_E_INVALID;
	struct cache *c = calloc(1, sizeof *c);
	if (!c) return HG_E_NOMEM;
	c->magic = CACHE_MAGIC;
	c->o = *o;
	if (!c->o.flights_max) c->o.flights_max = FLIGHTS_DEFAULT;
	memcpy(c->seed, &o->seed, sizeof o->seed);
	c->seed[15] = 1;
	for (size_t i = 0; i < QUEUES; i++)
		hg_list_init(&c->queue[i]);
	c->buckets = power_of_two(HG_MAX(o->bytes_max / 4096, 16u));
	c->ghost_rows = power_of_two(o->bytes_max / GHOST_BYTES / GHOST_WAYS);
	c->flight_rows = power_of_two(c->o.flights_max);
	c->bucket = calloc(c->buckets, sizeof(struct entry *));
	c->ghost = calloc(c->ghost_rows * GHOST_WAYS, sizeof *c->ghost);
	c->flight = calloc(c->flight_rows, sizeof *c->flight);
	if (!c->bucket || !c->ghost || !c->flight) {
		cache_free(c);
		return HG_E_NOMEM;
	}
	for (size_t i = 0; i < c->flight_rows; i++)
		hg_list_init(&c->flight[i]);
	c->stats.bytes_max = o->bytes_max;
	c->stats.bytes = sizeof *c + c->buckets * sizeof(struct entry *) +
	                 c->ghost_rows * GHOST_WAYS * sizeof *c->ghost +
	                 c->flight_rows * sizeof *c->flight + 4 * HEAP_OVERHEAD;
	*ret_cache = c;
	return HG_OK;
}

static struct entry **place_of(const struct cache *c, uint64_t hash, struct hg_str key)
{
	struct entry **at = &c->bucket[hash & (c->buckets - 1)];
	for (; *at; at = &(*at)->next) {
		const struct entry *e = *at;
		if (e->hash == hash && e->key_n == key.n &&
		        memcmp(e->bytes + e->value_n, key.p, key.n) == 0)
			break;
	}
	return at;
}

/* Out of the index, its queue and the count; the memory is given back. */
static void discard(struct cache *c, struct entry *e)
{
	struct entry **at = &c->bucket[e->hash & (c->buckets - 1)];
	size_t bytes = bytes_of(e->key_n, e->value_n);
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	hg_list_remove(&e->node);
	c->queue_bytes[e->queue] -= bytes;
	c->stats.bytes -= bytes;
	c->stats.entries--;
	free(e);
}

void cache_free(struct cache *c)
{
	if (!c) return;
	HG_OBJ(c, struct cache, CACHE_MAGIC);
	HG_ASSERT(c->stats.flights == 0);
	for (size_t q = 0; q < QUEUES; q++) {
		HG_LIST_EACH_SAFE (node, after, &c->queue[q]) {
			free(HG_CONTAINER(node, struct entry, node));
		}
	}
	free(c->bucket);
	free(c->ghost);
	free(c->flight);
	c->magic = 0;
	free(c);
}

static struct entry *oldest(const struct cache *c, enum queue_name q)
{
	const struct hg_list *first = hg_list_first(&c->queue[q]);
	return first ? HG_CONTAINER((void *)(uintptr_t)first, struct entry, node) : NULL;
}

static void enqueue(struct cache *c, struct entry *e, enum queue_name q)
{
	e->queue = (uint8_t)q;
	hg_list_append(&c->queue[q], &e->node);
	c->queue_bytes[q] += bytes_of(e->key_n, e->value_n);
}

static void move_to_main(struct cache *c, struct entry *e)
{
	hg_list_remove(&e->node);
	c->queue_bytes[e->queue] -= bytes_of(e->key_n, e->value_n);
	e->frequency = 0;
	enqueue(c, e, MAIN);
}

static struct ghost *ghost_row(const struct cache *c, uint64_t hash)
{
	return &c->ghost[(hash >> 32 & (c->ghost_rows - 1)) * GHOST_WAYS];
}

static void remember(struct cache *c, uint64_t hash)
{
	struct ghost *row = ghost_row(c, hash), *to = row;
	if (++c->ghost_clock == 0) c->ghost_clock = 1; /* once in four thousand million */
	for (size_t i = 0; i < GHOST_WAYS; i++) {
		if (row[i].at && row[i].print == (uint32_t)hash) {
			to = &row[i];
			break;
		}
		if (row[i].at == 0 || c->ghost_clock - row[i].at > c->ghost_clock - to->at)
			to = &row[i];
		if (to->at == 0) break;
	}
	*to = (struct ghost){(uint32_t)hash, c->ghost_clock};
}

/* Did this name leave the small queue not longer ago than the store has entries? Forgotten then. */
static bool recall(struct cache *c, uint64_t hash)
{
	struct ghost *row = ghost_row(c, hash);
	for (size_t i = 0; i < GHOST_WAYS; i++) {
		if (row[i].at == 0 || row[i].print != (uint32_t)hash) continue;
		bool young = c->ghost_clock - row[i].at <= c->stats.entries;
		row[i] = (struct ghost){0};
		return young;
	}
	return false;
}

/* It can never be given out again. */
static bool is_dead(const struct cache *c, const struct entry *e, uint64_t now_ms)
{
	return e->until_ms <= now_ms || !cache_current(c, &e->ticket);
}

static bool evict_main(struct cache *c, uint64_t now_ms)
{
	struct entry *e;
	while ((e = oldest(c, MAIN))) {
		if (e->frequency == 0 || is_dead(c, e, now_ms)) {
			discard(c, e);
			c->stats.evicted++;
			return true;
		}
		e->frequency--;
		hg_list_remove(&e->node);
		hg_list_append(&c->queue[MAIN], &e->node);
	}
	return false;
}

static bool evict_small(struct cache *c, uint64_t now_ms)
{
	struct entry *e;
	while ((e = oldest(c, SMALL))) {
		if (e->frequency >= TO_MAIN && !is_dead(c, e, now_ms)) {
			move_to_main(c, e);
			continue;
		}
		remember(c, e->hash);
		discard(c, e);
		c->stats.evicted++;
		return true;
	}
	return false;
}

/* One entry less; false: there was none. */
static bool evict(struct cache *c, uint64_t now_ms)
{
	size_t room = c->queue_bytes[SMALL] + c->queue_bytes[MAIN];
	if (c->queue_bytes[SMALL] > room / SMALL_SHARE && evict_small(c, now_ms)) return true;
	return evict_main(c, now_ms) || evict_small(c, now_ms);
}

uint32_t cache_tag(struct hg_str name)
{
	return (uint32_t)(hg_str_hash(name) % CACHE_TAGS);
}

void cache_purge(struct cache *c, uint32_t tag)
{
	HG_OBJ(c, struct cache, CACHE_MAGIC);
	c->generation[tag % CACHE_TAGS]++;
}

void cache_purge_all(struct cache *c)
{
	HG_OBJ(c, struct cache, CACHE_MAGIC);
	c->all++;
}

struct cache_ticket cache_begin(const struct cache *c, const uint32_t *tags, size_t n)
{
	struct cache_ticket t = {.count = (uint32_t)n, .all = c->all};
	HG_ASSERT(n <= CACHE_TAGS_MAX);
	for (size_t i = 0; i < n; i++) {
		t.tag[i] = tags[i] % CACHE_TAGS;
		t.generation[i] = c->generation[t.tag[i]];
	}
	return t;
}

bool cache_current(const struct cache *c, const struct cache_ticket *t)
{
	if (t->all != c->all) return false;
	for (uint32_t i = 0; i < t->count; i++)
		if (t->generation[i] != c->generation[t->tag[i]]) return false;
	return true;
}

/* Doubles the index when chains grow; it is part of the bound, so it grows only while there is
 * room. */
static void grow(struct cache *c)
{
	size_t more = c->buckets * sizeof(struct entry *);
	if (c->stats.entries <= c->buckets || c->stats.bytes + more > c->o.bytes_max) return;
	struct entry **bigger = calloc(2 * c->buckets, sizeof(struct entry *));
	if (!bigger) return;
	for (size_t i = 0; i < c->buckets; i++) {
		struct entry *after;
		for (struct entry *e = c->bucket[i]; e; e = after) {
			struct entry **to = &bigger[e->hash & (2 * c->buckets - 1)];
			after = e->next;
			e->next = *to;
			*to = e;
		}
	}
	free(c->bucket);
	c->bucket = bigger;
	c->buckets *= 2;
	c->stats.bytes += more;
}

static struct entry *entry_of(uint64_t hash, struct hg_str key, struct hg_str value,
        const struct cache_ticket *t, uint64_t until_ms)
{
	struct entry *e = malloc(sizeof *e + key.n + value.n);
	if (!e) return NULL;
	*e = (struct entry){.hash = hash,
	        .until_ms = until_ms,
	        .ticket = *t,
	        .key_n = (uint32_t)key.n,
	        .value_n = (uint32_t)value.n};
	if (value.n) memcpy(e->bytes, value.p, value.n);
	if (key.n) memcpy(e->bytes + value.n, key.p, key.n);
	return e;
}

bool cache_put(struct cache *c, struct hg_str key, struct hg_str value,
        const struct cache_ticket *t, uint64_t now_ms, uint64_t until_ms)
{
	HG_OBJ(c, struct cache, CACHE_MAGIC);
	uint64_t hash = hash_of(c, key);
	struct entry *old = *place_of(c, hash, key), *e = NULL;
	size_t bytes = bytes_of(key.n, value.n);
	uint8_t queue = SMALL, frequency = 0;
	if (old) {
		queue = old->queue;
		frequency = old->frequency;
		discard(c, old);
	}
	bool fits = key.n <= CACHE_KEY_MAX && value.n <= c->o.bytes_max &&
	            bytes <= c->o.bytes_max / LARGEST_SHARE;
	if (fits && until_ms > now_ms && cache_current(c, t))
		e = entry_of(hash, key, value, t, until_ms);
	while (e && c->stats.bytes + bytes > c->o.bytes_max) {
		if (evict(c, now_ms)) continue;
		free(e); /* the fixed parts leave too little */
		e = NULL;
	}
	if (!e) {
		c->stats.refused++;
		return false;
	}
	struct entry **bucket = &c->bucket[hash & (c->buckets - 1)];
	e->next = *bucket;
	*bucket = e;
	e->frequency = frequency;
	c->stats.entries++;
	c->stats.bytes += bytes;
	c->stats.puts++;
	enqueue(c, e, old ? (enum queue_name)queue : recall(c, hash) ? MAIN : SMALL);
	grow(c);
	return true;
}

bool cache_get(struct cache *c, struct hg_str key, uint64_t now_ms, struct hg_str *ret_value)
{
	HG_OBJ(c, struct cache, CACHE_MAGIC);
	struct entry *e = *place_of(c, hash_of(c, key), key);
	bool current = e && cache_current(c, &e->ticket);
	if (current && e->until_ms > now_ms) {
		if (e->frequency < FREQUENCY_MOST) e->frequency++;
		c->stats.hits++;
		*ret_value = (struct hg_str){e->bytes, e->value_n};
		return true;
	}
	c->stats.misses++;
	if (e && current) c->stats.expired++;
	if (e && !current) c->stats.purged++;
	/* It stays where it is: its key is about to be put again, and keeps the place it has
	 * earned; if not, it leaves with the others of its age. */
	return false;
}

void cache_drop(struct cache *c, struct hg_str key)
{
	struct entry *e = *place_of(c, hash_of(c, key), key);
	if (e) discard(c, e);
}

static struct cache_flight *flight_of(const struct cache *c, uint64_t hash, struct hg_str key)
{
	HG_LIST_EACH (node, &c->flight[hash & (c->flight_rows - 1)]) {
		struct cache_flight *f = HG_CONTAINER(node, struct cache_flight, node);
		if (f->hash == hash && !f->overtaken &&
		        hg_str_eq(key, (struct hg_str){f->key, f->key_n}))
			return f;
	}
	return NULL;
}

enum cache_join cache_join(struct cache *c, struct hg_str key, const uint32_t *tags, size_t n,
        struct cache_waiter *w, struct cache_flight **ret_flight)
{
	HG_OBJ(c, struct cache, CACHE_MAGIC);
	HG_ASSERT(!w->waits);
	uint64_t hash = hash_of(c, key);
	struct cache_flight *f = flight_of(c, hash, key);
	if (f && cache_current(c, &f->ticket)) {
		w->waits = true;
		hg_list_append(&f->waiters, &w->node);
		c->stats.waits++;
		return CACHE_WAIT;
	}
	if (f) f->overtaken = true;
	if (c->stats.flights >= c->o.flights_max || key.n > CACHE_KEY_MAX) return CACHE_ALONE;
	f = malloc(sizeof *f + key.n);
	if (!f) return CACHE_ALONE;
	*f = (struct cache_flight){
	        .hash = hash, .ticket = cache_begin(c, tags, n), .key_n = (uint32_t)key.n};
	if (key.n) memcpy(f->key, key.p, key.n);
	hg_list_init(&f->waiters);
	hg_list_append(&c->flight[hash & (c->flight_rows - 1)], &f->node);
	c->stats.flights++;
	c->stats.bytes += sizeof *f + key.n + HEAP_OVERHEAD;
	*ret_flight = f;
	return CACHE_FETCH;
}

void cache_leave(struct cache *c, struct cache_waiter *w)
{
	(void)c;
	if (!w->waits) return;
	hg_list_remove(&w->node);
	w->waits = false;
}

const struct cache_ticket *cache_flight_ticket(const struct cache_flight *f)
{
	return &f->ticket;
}

struct hg_str cache_flight_key(const struct cache_flight *f)
{
	return (struct hg_str){f->key, f->key_n};
}

void cache_land(struct cache *c, struct cache_flight *f, struct hg_list *to)
{
	struct hg_list *node;
	HG_OBJ(c, struct cache, CACHE_MAGIC);
	while ((node = hg_list_pop(&f->waiters)))
		hg_list_append(to, node);
	hg_list_remove(&f->node);
	c->stats.flights--;
	c->stats.bytes -= sizeof *f + f->key_n + HEAP_OVERHEAD;
	free(f);
}

void cache_stats(const struct cache *c, struct cache_stats *ret_stats)
{
	*ret_stats = c->stats;
}
