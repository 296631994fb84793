#include "meter/peers.h"

#define TRIES 8

/* Its own column: nobody else writes it. */
static void column_add(struct peers *p, uint32_t place, uint32_t worker, int by)
{
	_Atomic uint16_t *c = &p->count[place][worker];
	int v = (int)atomic_load_explicit(c, memory_order_relaxed) + by;
	atomic_store(c, (uint16_t)(v < 0 ? 0 : v > UINT16_MAX ? UINT16_MAX : v));
}

static uint32_t sum_of(const struct peers *p, uint32_t place)
{
	uint32_t sum = 0;
	for (uint32_t w = 0; w < PEERS_WORKERS; w++)
		sum += atomic_load_explicit(&p->count[place][w], memory_order_relaxed);
	return sum;
}

static uint32_t find(const struct peers *p, uint32_t bucket, uint64_t key)
{
	for (uint32_t i = 0; i < PEERS_WAYS; i++)
		if (atomic_load(&p->key[bucket][i]) == key) return bucket * PEERS_WAYS + i;
	return PEERS_NONE;
}

/* A place that nobody has a connection in becomes this key's. */
static bool claim(struct peers *p, uint32_t bucket, uint64_t key)
{
	for (uint32_t i = 0; i < PEERS_WAYS; i++) {
		uint64_t old = atomic_load(&p->key[bucket][i]);
		if (old && sum_of(p, bucket * PEERS_WAYS + i)) continue;
		if (atomic_compare_exchange_strong(&p->key[bucket][i], &old, key)) return true;
		return true; /* somebody was faster: look again */
	}
	return false;
}

bool peers_enter(struct peers *p, uint64_t key, uint32_t worker, uint32_t max, uint32_t *ret_place)
{
	uint32_t bucket = (uint32_t)(key >> 32) % PEERS_BUCKETS;
	HG_ASSERT(worker < PEERS_WORKERS);
	*ret_place = PEERS_NONE;
	for (int tries = 0; tries < TRIES; tries++) {
		uint32_t place = find(p, bucket, key);
		if (place == PEERS_NONE) {
			if (!claim(p, bucket, key)) return true;
			continue;
		}
		/* Counted first, so that of two at once both see each other. */
		column_add(p, place, worker, 1);
		if (find(p, bucket, key) == place) {
			if (sum_of(p, place) <= max) {
				*ret_place = place;
				return true;
			}
			column_add(p, place, worker, -1);
			return false;
		}
		column_add(p, place, worker, -1);
	}
	return true;
}

void peers_leave(struct peers *p, uint32_t place, uint32_t worker)
{
	if (place != PEERS_NONE) column_add(p, place, worker, -1);
}

void peers_worker_reset(struct peers *p, uint32_t worker)
{
	for (uint32_t i = 0; i < PEERS_BUCKETS * PEERS_WAYS; i++) {
		if (atomic_load_explicit(&p->count[i][worker], memory_order_relaxed))
			atomic_store(&p->count[i][worker], 0);
	}
}
