#include "base/map.h"

#include <stdlib.h>

struct hg_map_slot {
	uint64_t hash;
	char *key;
	size_t n;
	void *value; /* NULL: empty */
};

void hg_map_init(struct hg_map *m, uint64_t seed)
{
	*m = (struct hg_map){.seed = seed};
}

void hg_map_fini(struct hg_map *m)
{
	for (uint32_t i = 0; i < m->cap; i++)
		free(m->slots[i].key);
	free(m->slots);
	hg_map_init(m, m->seed);
}

static uint64_t hash_of(const struct hg_map *m, struct hg_str key)
{
	uint64_t h = hg_str_hash(key) ^ m->seed;
	h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93u;
	return h ^ (h >> 32);
}

/* The slot that holds the key, or the empty one where it belongs. */
static struct hg_map_slot *slot_of(const struct hg_map *m, uint64_t hash, struct hg_str key)
{
	for (uint32_t i = (uint32_t)hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct hg_map_slot *s = &m->slots[i];
		if (!s->value) return s;
		if (s->hash == hash && s->n == key.n && memcmp(s->key, key.p, key.n) == 0) return s;
	}
}

static enum hg_rc grow(struct hg_map *m)
{
	struct hg_map bigger = {.cap = m->cap ? m->cap * 2 : 16, .n = m->n, .seed = m->seed};
	bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
	if (!bigger.slots) return HG_E_NOMEM;
	for (uint32_t i = 0; i < m->cap; i++) {
		struct hg_map_slot *s = &m->slots[i];
		if (s->value) *slot_of(&bigger, s->hash, (struct hg_str){s->key, s->n}) = *s;
	}
	free(m->slots);
	*m = bigger;
	return HG_OK;
}

enum hg_rc hg_map_put(struct hg_map *m, struct hg_str key, void *value)
{
	HG_ASSERT(value);
	if (4 * (m->n + 1) > 3 * m->cap) {
		enum hg_rc rc = grow(m);
		if (rc < 0) return rc;
	}
	uint64_t hash = hash_of(m, key);
	struct hg_map_slot *s = slot_of(m, hash, key);
	if (!s->value) {
		char *copy = malloc(key.n + 1);
		if (!copy) return HG_E_NOMEM;
		if (key.n) memcpy(copy, key.p, key.n);
		copy[key.n] = 0;
		*s = (struct hg_map_slot){.hash = hash, .key = copy, .n = key.n};
		m->n++;
	}
	s->value = value;
	return HG_OK;
}

void *hg_map_get(const struct hg_map *m, struct hg_str key)
{
	return m->cap ? slot_of(m, hash_of(m, key), key)->value : NULL;
}

void *hg_map_remove(struct hg_map *m, struct hg_str key)
{
	struct hg_map_slot *s = m->cap ? slot_of(m, hash_of(m, key), key) : NULL;
	if (!s || !s->value) return NULL;
	void *value = s->value;
	free(s->key);
	*s = (struct hg_map_slot){0};
	m->n--;
	/* Close the gap: whoever probed past it must be found without a tombstone. */
	for (uint32_t i = (uint32_t)(s - m->slots);;) {
		i = (i + 1) & (m->cap - 1);
		struct hg_map_slot moved = m->slots[i];
		if (!moved.value) return value;
		m->slots[i] = (struct hg_map_slot){0};
		*slot_of(m, moved.hash, (struct hg_str){moved.key, moved.n}) = moved;
	}
}

bool hg_map_next(const struct hg_map *m, uint32_t *at, struct hg_str *ret_key, void **ret_value)
{
	for (; *at < m->cap; (*at)++) {
		const struct hg_map_slot *s = &m->slots[*at];
		if (!s->value) continue;
		*ret_key = (struct hg_str){s->key, s->n};
		*ret_value = s->value;
		(*at)++;
		return true;
	}
	return false;
}
