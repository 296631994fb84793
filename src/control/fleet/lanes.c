/* Meter lanes: which counts what, handed out when a snapshot first names it. */
#include "control/fleet/fleet_priv.h"

#include <stdlib.h>

#define LANES_FIRST 64u
#define KEY_MAX     300u

/* app, release, route: what a lane is found by. */
static struct hg_str key_of(uint32_t app, uint32_t release, struct hg_str route, char to[KEY_MAX])
{
	struct fleet_lane_slot *s;
	size_t n = HG_MIN(route.n, sizeof s->route - 1);
	memcpy(to, &app, sizeof app);
	memcpy(to + 4, &release, sizeof release);
	memcpy(to + 8, route.p, n);
	return (struct hg_str){to, 8 + n};
}

/* Room for `count` lanes; false: no memory. */
static bool reserve(struct fleet_lanes *l, uint32_t count)
{
	uint32_t cap = l->cap ? l->cap : LANES_FIRST;
	while (cap < count)
		cap *= 2;
	if (cap == l->cap) return true;
	struct fleet_lane_slot *slot = realloc(l->slot, cap * sizeof *slot);
	if (!slot) return false;
	l->slot = slot;
	struct fleet_lane *shown = realloc(l->shown, cap * sizeof *shown);
	if (!shown) return false;
	l->shown = shown;
	memset(l->slot + l->cap, 0, (cap - l->cap) * sizeof *slot);
	l->cap = cap;
	return true;
}

/* Makes `place` count (app, release, route) and nothing else; false: no memory. */
static bool assign(
        struct fleet_lanes *l, uint32_t place, uint32_t app, uint32_t release, struct hg_str route)
{
	char text[KEY_MAX];
	if (!reserve(l, place + 1)) return false;
	struct fleet_lane_slot *s = &l->slot[place];
	if (s->used) hg_map_remove(&l->by_key, key_of(s->app, s->release, hg_str(s->route), text));
	if (s->unsaved) l->unsaved--;
	*s = (struct fleet_lane_slot){.used = true, .app = app, .release = release};
	(void)hg_str_copy(route, s->route, sizeof s->route);
	/* Places are kept as numbers, one up: the map knows no NULL. */
	void *value = (void *)(uintptr_t)(place + 1);
	if (hg_map_put(&l->by_key, key_of(app, release, route, text), value) < 0) {
		s->used = false;
		return false;
	}
	l->count = HG_MAX(l->count, place + 1);
	return true;
}

static void on_lane(void *arg, const struct store_lane *l)
{
	struct fleet_lanes *lanes = arg;
	/* Without memory it gets another one: its series begins again. */
	if (l->lane < METER_LANES_MAX) (void)assign(lanes, l->lane, l->app, l->release, l->route);
}

enum hg_rc fleet_lanes_load(struct fleet *f, struct hg_err *err)
{
	/* A fresh warden made a fresh meter: its lanes count for nobody yet. */
	if (f->o.child->incarnation <= 1) return store_lanes_clear(f->o.store, err);
	return store_lanes(f->o.store, on_lane, &f->lanes, err);
}

void fleet_lanes_fini(struct fleet_lanes *l)
{
	hg_map_fini(&l->by_key);
	free(l->slot);
	free(l->shown);
	*l = (struct fleet_lanes){0};
}

void fleet_lanes_begin(struct fleet *f)
{
	for (uint32_t i = 0; i < f->lanes.count; i++)
		f->lanes.slot[i].live = false;
	f->lanes.spare = 0;
}

/* One that nobody has, or that no snapshot names any more. */
static uint32_t vacant(struct fleet_lanes *l)
{
	if (l->count < METER_LANES_MAX) return l->count;
	while (l->spare < l->count && l->slot[l->spare].used && l->slot[l->spare].live)
		l->spare++;
	return l->spare;
}

enum hg_rc fleet_lanes_write(struct fleet *f, struct hg_err *err)
{
	struct fleet_lanes *l = &f->lanes;
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; l->unsaved && rc == HG_OK && i < l->count; i++) {
		const struct fleet_lane_slot *s = &l->slot[i];
		if (!s->unsaved) continue;
		rc = store_lane_set(f->o.store,
		        &(struct store_lane){.lane = i,
		                .app = s->app,
		                .release = s->release,
		                .route = hg_str(s->route)},
		        err);
	}
	return rc;
}

void fleet_lanes_written(struct fleet *f)
{
	struct fleet_lanes *l = &f->lanes;
	for (uint32_t i = 0; l->unsaved && i < l->count; i++) {
		if (!l->slot[i].unsaved) continue;
		l->slot[i].unsaved = false;
		l->unsaved--;
	}
}

/* Before the snapshot that names them is sent, in one transaction. What does not get there is
 * written with the other rows that are behind (rows.c), and only then while the store fails. */
static void save(struct fleet *f)
{
	struct hg_err err = {0};
	if (!f->lanes.unsaved || f->store_failing) return;
	enum hg_rc rc = store_begin(f->o.store, &err);
	if (rc == HG_OK) rc = fleet_lanes_write(f, &err);
	if (rc == HG_OK) rc = store_commit(f->o.store, &err);
	if (rc < 0) store_rollback(f->o.store);
	fleet_store_result(f, rc, &err);
	if (rc == HG_OK) fleet_lanes_written(f);
}

uint32_t fleet_lane_of(struct fleet *f, uint32_t app, uint32_t release, const char *route)
{
	char text[KEY_MAX];
	struct fleet_lanes *l = &f->lanes;
	void *found = hg_map_get(&l->by_key, key_of(app, release, hg_str(route), text));
	uint32_t place = found ? (uint32_t)((uintptr_t)found - 1) : vacant(l);
	if (!found && (place >= METER_LANES_MAX || !assign(l, place, app, release, hg_str(route))))
		return METER_LANES_MAX - 1;
	l->slot[place].live = true;
	if (found) return place;
	l->slot[place].unsaved = true;
	l->unsaved++;
	return place;
}

static int by_release(const void *a, const void *b)
{
	const struct fleet_lane *x = a, *y = b;
	int d = strcmp(x->app, y->app);
	if (d == 0) d = x->release < y->release ? -1 : x->release > y->release;
	return d ? d : (x->lane > y->lane) - (x->lane < y->lane);
}

void fleet_lanes_end(struct fleet *f)
{
	struct fleet_lanes *l = &f->lanes;
	save(f);
	l->shown_count = 0;
	for (uint32_t i = 0; i < l->count; i++) {
		const struct fleet_lane_slot *s = &l->slot[i];
		const struct fleet_app *a = s->used ? fleet_app_by_id(f, s->app) : NULL;
		if (!a) continue;
		l->shown[l->shown_count++] = (struct fleet_lane){.app = a->name,
		        .route = s->route,
		        .release = s->release,
		        .lane = i,
		        .rule_ms = a->conf ? a->conf->edge.rule_ms : 0};
	}
	if (l->shown_count) qsort(l->shown, l->shown_count, sizeof *l->shown, by_release);
}

const struct fleet_lane *fleet_lanes(const struct fleet *f, size_t *ret_n)
{
	*ret_n = f->lanes.shown_count;
	return f->lanes.shown;
}
