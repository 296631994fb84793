#include "observe/tsdb/file_priv.h"

#include <stdlib.h>

/* An open window knows the last chunk of each series; each chunk knows the one before it. */

struct places {
	uint64_t *at;
	uint32_t n, cap;
};

static bool chain_walk(struct window *w, uint32_t id, int64_t from, struct places *to)
{
	bool late = w->last[id] & TSDB_LATE_CHAIN;
	uint64_t place = w->last[id] & ~TSDB_LATE_CHAIN;
	while (place) {
		struct record r;
		if (!window_at(w, place, &r) || r.id != id) return false;
		/* Chunks of late samples may stand behind newer ones: then all are looked at. */
		if (r.max_ms < from && !late) break;
		if (!tsdb_grow(&to->at, &to->cap, to->n + 1, sizeof *to->at)) return false;
		to->at[to->n++] = place;
		place = r.before;
	}
	return true;
}

static bool chain_chunks(struct window *w, uint32_t id, int64_t from, int64_t to_ms,
        bool (*fn)(void *arg, const struct record *r, int64_t base), void *arg)
{
	struct places all = {0};
	struct record r;
	if (id >= w->ids) return false;
	/* What can be reached is given, also when the chain breaks somewhere. */
	bool good = chain_walk(w, id, from, &all);
	while (all.n) {
		if (!window_at(w, all.at[--all.n], &r)) {
			good = false;
			continue;
		}
		if (r.max_ms < from || r.min_ms > to_ms) continue;
		if (fn(arg, &r, w->start)) continue;
		good = false;
		break;
	}
	free(all.at);
	return good;
}

bool window_chunks(struct tsdb *db, struct window *w, uint32_t id, int64_t from, int64_t to,
        bool (*fn)(void *arg, const struct record *r, int64_t base), void *arg)
{
	if (!w->closed) return chain_chunks(w, id, from, to, fn, arg);
	(void)db;
	return false;
}
