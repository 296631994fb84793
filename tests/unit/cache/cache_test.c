#include "tests/unit/test.h"

#include <stdio.h>

#include "base/rand.h"
#include "cache/cache.c"

static struct cache *make(size_t bytes_max)
{
	struct cache *c = NULL;
	assert_int_equal(
	        cache_new(&(struct cache_options){.bytes_max = bytes_max, .seed = 7}, &c), HG_OK);
	return c;
}

static bool put(struct cache *c, const char *key, const char *value, uint64_t until_ms)
{
	struct cache_ticket t = cache_begin(c, NULL, 0);
	return cache_put(c, hg_str(key), hg_str(value), &t, 0, until_ms);
}

static const char *get(struct cache *c, const char *key, uint64_t now_ms)
{
	static char text[64];
	struct hg_str v;
	if (!cache_get(c, hg_str(key), now_ms, &v)) return "";
	assert_int_equal((uintptr_t)v.p % _Alignof(max_align_t), 0);
	hg_str_copy(v, text, sizeof text);
	return text;
}

static void what_was_put_comes_back_until_its_time(void **state)
{
	struct cache *c = make(1 << 20);
	(void)state;
	assert_string_equal(get(c, "a", 0), "");
	assert_true(put(c, "a", "one", 100));
	assert_true(put(c, "b", "two", 200));
	assert_string_equal(get(c, "a", 99), "one");
	assert_string_equal(get(c, "a", 100), "");
	assert_string_equal(get(c, "b", 100), "two");
	assert_true(put(c, "a", "three", 300));
	assert_string_equal(get(c, "a", 100), "three");
	cache_drop(c, HG_STR("a"));
	assert_string_equal(get(c, "a", 100), "");
	assert_false(put(c, "late", "x", 0));
	struct cache_stats s;
	cache_stats(c, &s);
	assert_int_equal(s.entries, 1);
	assert_int_equal(s.hits, 3);
	assert_int_equal(s.misses, 3);
	assert_int_equal(s.expired, 1);
	assert_int_equal(s.refused, 1);
	cache_free(c);
}

static void a_purge_takes_all_that_carries_the_tag_and_nothing_else(void **state)
{
	struct cache *c = make(1 << 20);
	uint32_t red = cache_tag(HG_STR("red")), blue = cache_tag(HG_STR("blue"));
	(void)state;
	assert_true(red != blue);
	struct cache_ticket both = cache_begin(c, (uint32_t[]){red, blue}, 2);
	struct cache_ticket one = cache_begin(c, &blue, 1);
	assert_true(cache_put(c, HG_STR("both"), HG_STR("x"), &both, 0, 9));
	assert_true(cache_put(c, HG_STR("one"), HG_STR("y"), &one, 0, 9));
	cache_purge(c, red);
	assert_string_equal(get(c, "both", 0), "");
	assert_string_equal(get(c, "one", 0), "y");
	cache_purge_all(c);
	assert_string_equal(get(c, "one", 0), "");
	struct cache_stats s;
	cache_stats(c, &s);
	assert_int_equal(s.purged, 2);
	cache_free(c);
}

/* A read begins, a write is made and purges, the read ends: it must not be kept. */
static void what_a_purge_has_overtaken_is_not_kept(void **state)
{
	struct cache *c = make(1 << 20);
	uint32_t tag = cache_tag(HG_STR("t"));
	(void)state;
	struct cache_ticket before = cache_begin(c, &tag, 1);
	assert_true(cache_put(c, HG_STR("k"), HG_STR("older"), &before, 0, 9));
	before = cache_begin(c, &tag, 1);
	cache_purge(c, tag);
	assert_false(cache_current(c, &before));
	assert_false(cache_put(c, HG_STR("k"), HG_STR("old"), &before, 0, 9));
	assert_string_equal(get(c, "k", 0), "");
	struct cache_ticket after = cache_begin(c, &tag, 1);
	assert_true(cache_put(c, HG_STR("k"), HG_STR("new"), &after, 0, 9));
	assert_string_equal(get(c, "k", 0), "new");
	cache_free(c);
}

static void one_fetches_and_the_others_wait(void **state)
{
	struct cache *c = make(1 << 20);
	struct cache_flight *f = NULL, *g = NULL;
	struct cache_waiter w[4] = {0};
	struct hg_list landed;
	uint32_t tag = cache_tag(HG_STR("t"));
	(void)state;
	hg_list_init(&landed);
	assert_int_equal(cache_join(c, HG_STR("k"), &tag, 1, &w[0], &f), CACHE_FETCH);
	assert_int_equal(cache_join(c, HG_STR("k"), &tag, 1, &w[1], &g), CACHE_WAIT);
	assert_int_equal(cache_join(c, HG_STR("k"), &tag, 1, &w[2], &g), CACHE_WAIT);
	cache_leave(c, &w[1]);
	cache_leave(c, &w[0]); /* it does not wait */
	cache_purge(c, tag);
	/* who comes after a write does not wait for a read that began before it */
	assert_int_equal(cache_join(c, HG_STR("k"), &tag, 1, &w[3], &g), CACHE_FETCH);
	assert_true(f != g);
	assert_int_equal(cache_join(c, HG_STR("k"), &tag, 1, &w[1], NULL), CACHE_WAIT);
	assert_false(cache_current(c, cache_flight_ticket(f)));
	cache_land(c, f, &landed);
	assert_ptr_equal(cache_next(&landed), &w[2]);
	assert_null(cache_next(&landed));
	assert_str(cache_flight_key(g), "k");
	cache_land(c, g, &landed);
	cache_leave(c, &w[1]); /* even now */
	assert_null(cache_next(&landed));
	struct cache_stats s;
	cache_stats(c, &s);
	assert_int_equal(s.flights, 0);
	assert_int_equal(s.waits, 3);
	cache_free(c);
}

static void flights_are_bounded(void **state)
{
	struct cache *c = NULL;
	struct cache_options o = {.bytes_max = 1 << 20, .flights_max = 2};
	struct cache_flight *f[2], *none = NULL;
	struct cache_waiter w[3] = {0};
	struct hg_list landed;
	(void)state;
	hg_list_init(&landed);
	assert_int_equal(cache_new(&o, &c), HG_OK);
	assert_int_equal(cache_join(c, HG_STR("a"), NULL, 0, &w[0], &f[0]), CACHE_FETCH);
	assert_int_equal(cache_join(c, HG_STR("b"), NULL, 0, &w[1], &f[1]), CACHE_FETCH);
	assert_int_equal(cache_join(c, HG_STR("c"), NULL, 0, &w[2], &none), CACHE_ALONE);
	for (int i = 0; i < 2; i++)
		cache_land(c, f[i], &landed);
	cache_free(c);
}

static void too_small_and_too_large_are_refused(void **state)
{
	static char big[40000];
	struct cache *c = NULL;
	(void)state;
	assert_int_equal(cache_new(&(struct cache_options){.bytes_max = 1000}, &c), HG_E_INVALID);
	c = make(1 << 18);
	struct cache_ticket t = cache_begin(c, NULL, 0);
	assert_true(put(c, "k", "small", 9));
	assert_false(cache_put(c, HG_STR("k"), (struct hg_str){big, sizeof big}, &t, 0, 9));
	assert_string_equal(get(c, "k", 0), ""); /* not the older one instead */
	assert_false(cache_put(c, (struct hg_str){big, CACHE_KEY_MAX + 1}, HG_STR("x"), &t, 0, 9));
	cache_free(c);
}

/* What the structure says of itself, counted again. */
static void check(const struct cache *c)
{
	size_t bytes[QUEUES] = {0}, entries = 0, indexed = 0;
	for (size_t q = 0; q < QUEUES; q++) {
		HG_LIST_EACH (node, &c->queue[q]) {
			const struct entry *e = HG_CONTAINER(node, struct entry, node);
			assert_int_equal(e->queue, q);
			bytes[q] += bytes_of(e->key_n, e->value_n);
			entries++;
		}
		assert_int_equal(bytes[q], c->queue_bytes[q]);
	}
	for (size_t i = 0; i < c->buckets; i++)
		for (const struct entry *e = c->bucket[i]; e; e = e->next)
			indexed++;
	assert_int_equal(entries, c->stats.entries);
	assert_int_equal(indexed, entries);
	assert_true(c->stats.bytes <= c->o.bytes_max);
	assert_int_equal(c->stats.bytes, sizeof *c + c->buckets * sizeof(struct entry *) +
	                                         c->ghost_rows * GHOST_WAYS * sizeof *c->ghost +
	                                         c->flight_rows * sizeof *c->flight +
	                                         4 * HEAP_OVERHEAD + bytes[SMALL] + bytes[MAIN]);
}

#define KEYS 400u
#define TAGS 3u

/* A naive store that forgets nothing: the cache may know less, never anything else. */
struct model {
	uint32_t value[KEYS], size[KEYS];
	uint64_t until_ms[KEYS];
	uint32_t tag[KEYS];
	bool there[KEYS];
};

static void any_sequence_gives_what_a_naive_store_would_or_nothing(void **state)
{
	static char value[9000];
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		static struct model m;
		struct hg_rand r;
		struct cache *c = make((96 + seed * 40) << 10);
		uint64_t now_ms = 1, found = 0;
		hg_rand_seed(&r, seed);
		m = (struct model){0};
		for (uint32_t step = 0; step < 20000; step++) {
			uint32_t k = hg_rand_below(&r, KEYS), what = hg_rand_below(&r, 100);
			char key[16];
			struct hg_str name = {key, (size_t)snprintf(key, sizeof key, "key%u", k)};
			struct hg_str v = {0};
			if (hg_rand_below(&r, 8) == 0) now_ms += hg_rand_below(&r, 20);
			if (what < 60) {
				bool got = cache_get(c, name, now_ms, &v);
				bool may = m.there[k] && m.until_ms[k] > now_ms;
				if (got) {
					uint32_t have = 0;
					assert_true(may);
					assert_int_equal(v.n, m.size[k]);
					memcpy(&have, v.p, sizeof have);
					assert_int_equal(have, m.value[k]);
					found++;
				}
			} else if (what < 96) {
				uint32_t tag = hg_rand_below(&r, TAGS);
				size_t n = 4 + hg_rand_below(&r, what < 62 ? 8000 : 600);
				uint64_t until_ms = now_ms + 1 + hg_rand_below(&r, 500);
				struct cache_ticket t = cache_begin(c, &tag, 1);
				bool late = hg_rand_below(&r, 200) == 0;
				if (late) {
					cache_purge(c, tag);
					for (uint32_t i = 0; i < KEYS; i++)
						m.there[i] &= m.tag[i] != tag;
				}
				memcpy(value, &step, sizeof step);
				bool kept = cache_put(
				        c, name, (struct hg_str){value, n}, &t, now_ms, until_ms);
				assert_false(late && kept);
				m.there[k] = kept;
				m.value[k] = step;
				m.size[k] = (uint32_t)n;
				m.until_ms[k] = until_ms;
				m.tag[k] = tag;
			} else if (what < 98) {
				cache_drop(c, name);
				m.there[k] = false;
			} else {
				uint32_t tag = hg_rand_below(&r, TAGS);
				if (hg_rand_below(&r, 10)) continue;
				cache_purge(c, tag);
				for (uint32_t i = 0; i < KEYS; i++)
					m.there[i] &= m.tag[i] != tag;
			}
			if (step % 997 == 0) check(c);
		}
		check(c);
		assert_true(found > 1000);
		cache_free(c);
	}
}

/* Zipf with exponent 1, by the inverse of its sums. */
struct zipf {
	double *sum;
	uint32_t n;
};

static struct zipf zipf_of(uint32_t n)
{
	struct zipf z = {calloc(n, sizeof(double)), n};
	double all = 0;
	assert_non_null(z.sum);
	for (uint32_t i = 0; i < n; i++)
		z.sum[i] = all += 1.0 / (i + 1);
	return z;
}

static uint32_t draw(const struct zipf *z, struct hg_rand *r)
{
	double u = hg_rand_unit(r) * z->sum[z->n - 1];
	uint32_t low = 0, high = z->n - 1;
	while (low < high) {
		uint32_t mid = (low + high) / 2;
		if (z->sum[mid] > u)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

#define OBJECTS 200000u
#define ASKED   2000000u
#define WARM    500000u

/* The least recently used leaves; by lists over an array. */
struct lru {
	struct hg_list node[OBJECTS], used;
	uint32_t n, most;
};

static bool lru_ask(struct lru *l, uint32_t k)
{
	bool hit = !hg_list_empty(&l->node[k]);
	if (hit)
		hg_list_remove(&l->node[k]);
	else if (l->n == l->most)
		(void)hg_list_pop(&l->used);
	else
		l->n++;
	hg_list_append(&l->used, &l->node[k]);
	return hit;
}

static double share_of_hits(uint32_t room, double *ret_lru)
{
	static struct lru lru;
	static const char value[400];
	struct zipf z = zipf_of(OBJECTS);
	struct hg_rand r;
	size_t each = bytes_of(sizeof(uint32_t), sizeof value), most = room * each;
	struct cache *c = make(most + CACHE_BYTES_LEAST);
	uint32_t hits = 0, lru_hits = 0, entries = 0;
	/* What the fixed parts and the index take is not room for entries. */
	c->o.bytes_max = c->stats.bytes + most + 8 * (size_t)power_of_two(2 * room);
	lru = (struct lru){.most = room};
	hg_list_init(&lru.used);
	for (uint32_t i = 0; i < OBJECTS; i++)
		hg_list_init(&lru.node[i]);
	hg_rand_seed(&r, 42);
	for (uint32_t i = 0; i < ASKED; i++) {
		uint32_t k = draw(&z, &r);
		struct hg_str key = {(const char *)&k, sizeof k}, v;
		bool hit = cache_get(c, key, 0, &v), lru_hit = lru_ask(&lru, k);
		if (!hit) {
			struct cache_ticket t = cache_begin(c, NULL, 0);
			assert_true(
			        cache_put(c, key, (struct hg_str){value, sizeof value}, &t, 0, 1));
		}
		if (i < WARM) continue;
		hits += hit;
		lru_hits += lru_hit;
	}
	entries = c->stats.entries;
	/* the same room for both, within a twentieth */
	assert_in_range(entries, room - room / 20, room + room / 20);
	cache_free(c);
	free(z.sum);
	*ret_lru = 100.0 * lru_hits / (ASKED - WARM);
	return 100.0 * hits / (ASKED - WARM);
}

/* The figures of the simulation that chose it: 62.1 and 79.5 % where LRU has 53.3 and 75.1. */
static void it_keeps_what_is_asked_for_better_than_lru(void **state)
{
	double lru, hits = share_of_hits(OBJECTS / 100, &lru);
	(void)state;
	print_message("# 1 %%: S3-FIFO %.1f, LRU %.1f\n", hits, lru);
	assert_true(hits > 61.1 && hits < 63.1);
	assert_true(lru > 52.3 && lru < 54.3);
	hits = share_of_hits(OBJECTS / 10, &lru);
	print_message("# 10 %%: S3-FIFO %.1f, LRU %.1f\n", hits, lru);
	assert_true(hits > 78.5 && hits < 80.5);
	assert_true(lru > 74.1 && lru < 76.1);
}

static void a_pass_over_many_things_leaves_what_was_asked_for_again(void **state)
{
	struct cache *c = make(1 << 20);
	char key[32];
	uint32_t left = 0;
	(void)state;
	for (int turn = 0; turn < 4; turn++)
		for (int i = 0; i < 500; i++) {
			snprintf(key, sizeof key, "often%d", i);
			if (!*get(c, key, 0)) assert_true(put(c, key, "value", 9));
		}
	for (int i = 0; i < 100000; i++) {
		snprintf(key, sizeof key, "once%d", i);
		assert_true(put(c, key, "value", 9));
	}
	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof key, "often%d", i);
		left += *get(c, key, 0) != 0;
	}
	assert_int_equal(left, 500);
	check(c);
	cache_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_was_put_comes_back_until_its_time),
	        cmocka_unit_test(a_purge_takes_all_that_carries_the_tag_and_nothing_else),
	        cmocka_unit_test(what_a_purge_has_overtaken_is_not_kept),
	        cmocka_unit_test(one_fetches_and_the_others_wait),
	        cmocka_unit_test(flights_are_bounded),
	        cmocka_unit_test(too_small_and_too_large_are_refused),
	        cmocka_unit_test(any_sequence_gives_what_a_naive_store_would_or_nothing),
	        cmocka_unit_test(a_pass_over_many_things_leaves_what_was_asked_for_again),
	        cmocka_unit_test(it_keeps_what_is_asked_for_better_than_lru),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
