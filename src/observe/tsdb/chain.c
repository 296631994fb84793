#include "observe/tsdb/file_priv.h"

#include <stdlib.h>

/*
 * An open window knows the last chunk of each series, and each chunk the one before it. When a
 * checksum fails on the way, the file is walked from its beginning instead: slow, and nothing that
 * is whole is missed.
 */

struct places {
	uint64_t *at;
	uint32_t n, cap;
	uint32_t id;
	bool failed;
};

static bool place_add(struct places *to, uint64_t place)
{
	if (!tsdb_grow(&to->at, &to->cap, to->n + 1, sizeof *to->at)) return false;
	to->at[to->n++] = place;
	return true;
}

static bool chain_walk(struct window *w, uint32_t id, int64_t from, struct places *to)
{
	bool late = w->last[id] & TSDB_LATE_CHAIN;
	uint64_t place = w->last[id] & ~TSDB_LATE_CHAIN;
	while (place) {
		struct record r;
		if (!window_at(w, place, &r) || r.id != id) return false;
		/* Chunks of late samples may stand behind newer ones: then all are looked at. */
		if (r.max_ms < from && !late) break;
		if (!place_add(to, place)) {
			to->failed = true;
			return false;
		}
		place = r.before;
	}
	return true;
}

static void place_found(void *arg, const struct record *r, uint64_t place)
{
	struct places *to = arg;
	if (r->id == to->id && !place_add(to, place)) to->failed = true;
}

/* Newest first, as the chain gives them. */
static bool file_walk(struct window *w, uint32_t id, struct places *to)
{
	uint64_t damaged = 0;
	to->n = 0;
	to->id = id;
	if (!window_walk(w, &damaged, place_found, to) || to->failed) return false;
	for (uint32_t i = 0; i < to->n / 2; i++) {
		uint64_t place = to->at[i];
		to->at[i] = to->at[to->n - 1 - i];
		to->at[to->n - 1 - i] = place;
	}
	return true;
}

static bool chain_chunks(struct window *w, uint32_t id, int64_t from, int64_t to_ms,
        bool (*fn)(void *arg, const struct record *r), void *arg)
{
	struct places all = {0};
	struct record r;
	if (id >= w->ids) return false;
	bool whole = chain_walk(w, id, from, &all), good = whole;
	if (!whole && !all.failed && !file_walk(w, id, &all)) all.n = 0;
	while (all.n) {
		if (!window_at(w, all.at[--all.n], &r)) continue;
		if (r.max_ms < from || r.min_ms > to_ms) continue;
		if (fn(arg, &r)) continue;
		good = false;
		break;
	}
	free(all.at);
	return good;
}

bool window_chunks(struct tsdb *db, struct window *w, uint32_t id, int64_t from, int64_t to,
        bool (*fn)(void *arg, const struct record *r), void *arg)
{
	if (!w->closed) return chain_chunks(w, id, from, to, fn, arg);
	return index_ready(db, w) && index_chunks(w, id, from, to, fn, arg);
}
