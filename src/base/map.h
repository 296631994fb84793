/*
 * Hash map from bytes to a pointer; open addressing, keys copied, values not owned.
 * The seed makes its order and its collisions unknown to whoever sends the keys.
 */
#ifndef HG_BASE_MAP_H
#define HG_BASE_MAP_H

#include "base/str.h"

struct hg_map_slot;

struct hg_map {
	struct hg_map_slot *slots;
	uint32_t n, cap;
	uint64_t seed;
};

void hg_map_init(struct hg_map *m, uint64_t seed);
void hg_map_fini(struct hg_map *m);
/* Replaces the value of an existing key. `value` must not be NULL. */
HG_MUST enum hg_rc hg_map_put(struct hg_map *m, struct hg_str key, void *value);
/* NULL when there is none. */
void *hg_map_get(const struct hg_map *m, struct hg_str key);
/* Returns the value that was removed, or NULL. */
void *hg_map_remove(struct hg_map *m, struct hg_str key);
/* Walk: start with *at = 0; false at the end. Do not change the map meanwhile. */
bool hg_map_next(const struct hg_map *m, uint32_t *at, struct hg_str *ret_key, void **ret_value);

#endif
