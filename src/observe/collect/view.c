#include "observe/collect/collect_priv.h"

#include <stdlib.h>

#include "meter/board.h"

enum hg_rc view_init(struct view *v)
{
	*v = (struct view){0};
	v->endpoints = calloc(SNAP_ENDPOINTS, sizeof *v->endpoints);
	v->replicas = calloc(SNAP_ENDPOINTS, sizeof *v->replicas);
	v->bases = calloc(SNAP_ENDPOINTS, sizeof *v->bases);
	v->lane_seen = calloc(METER_LANES_MAX, sizeof *v->lane_seen);
	if (v->endpoints && v->replicas && v->bases && v->lane_seen) return HG_OK;
	view_fini(v);
	return HG_E_NOMEM;
}

void view_fini(struct view *v)
{
	free(v->endpoints);
	free(v->replicas);
	free(v->bases);
	free(v->lane_seen);
	free(v->lanes);
	free(v->apps);
	*v = (struct view){0};
}

static int by_id(const void *a, const void *b)
{
	const struct meter_series_app *x = a, *y = b;
	return (x->id > y->id) - (x->id < y->id);
}

/* Lanes of a release stand together, and routes that share a lane are one. */
static int by_release(const void *a, const void *b)
{
	const struct meter_series_lane *x = a, *y = b;
	int d = label_text_compare(x->app, y->app);
	if (d == 0) d = (x->release > y->release) - (x->release < y->release);
	return d ? d : (x->lane > y->lane) - (x->lane < y->lane);
}

static void lane_add(struct view *v, const struct snap_image *i, const struct snap_route *r,
        uint32_t release, uint32_t lane)
{
	const struct snap_app *a = &snap_apps(i)[r->app];
	v->lanes[v->lane_n++] = (struct meter_series_lane){.app = snap_str(i, a->name),
	        .route = snap_str(i, r->name),
	        .release = release,
	        .lane = HG_MIN(lane, (uint32_t)METER_LANES_MAX - 1),
	        .edge_s = a->fast_ms / 1e3,
	        .rule_s = a->rule_ms / 1e3};
}

static void lanes_unique(struct view *v)
{
	uint32_t n = 0;
	qsort(v->lanes, v->lane_n, sizeof *v->lanes, by_release);
	for (uint32_t i = 0; i < v->lane_n; i++)
		if (n == 0 || by_release(&v->lanes[n - 1], &v->lanes[i]) != 0)
			v->lanes[n++] = v->lanes[i];
	v->lane_n = n;
}

enum hg_rc view_image(struct view *v, const struct snap_image *i)
{
	size_t lanes = (size_t)i->route_count + i->lane_count;
	free(v->lanes);
	free(v->apps);
	v->lane_n = v->app_n = v->replica_n = 0;
	v->lanes = calloc(lanes + 1, sizeof *v->lanes);
	v->apps = calloc((size_t)i->app_count + 1, sizeof *v->apps);
	if (!v->lanes || !v->apps) return HG_E_NOMEM;
	for (uint32_t k = 0; k < i->app_count; k++)
		v->apps[v->app_n++] = (struct meter_series_app){
		        snap_str(i, snap_apps(i)[k].name), snap_apps(i)[k].id};
	qsort(v->apps, v->app_n, sizeof *v->apps, by_id);
	for (uint32_t k = 0; k < i->route_count; k++) {
		const struct snap_route *r = &snap_routes(i)[k];
		if (v->lane_n + 1 + r->lane_count > lanes) break; /* lanes of two routes */
		lane_add(v, i, r, 0, r->lane_none);
		for (uint32_t n = 0; n < r->lane_count; n++) {
			const struct snap_lane *l = &snap_lanes(i)[r->lane_first + n];
			lane_add(v, i, r, l->release, l->lane);
		}
	}
	lanes_unique(v);
	for (uint32_t k = 0; k < v->lane_n; k++)
		v->lanes[k].whole = v->lane_seen[v->lanes[k].lane];
	return HG_OK;
}

static const struct meter_series_app *app_of(const struct view *v, uint32_t id)
{
	struct meter_series_app key = {.id = id};
	return v->app_n ? bsearch(&key, v->apps, v->app_n, sizeof *v->apps, by_id) : NULL;
}

void view_looked(struct view *v)
{
	memset(v->lane_seen, 0, METER_LANES_MAX * sizeof *v->lane_seen);
	for (uint32_t i = 0; i < v->lane_n; i++) {
		v->lane_seen[v->lanes[i].lane] = true;
		v->lanes[i].whole = true;
	}
}

void view_table(
        struct view *v, const struct snap_table *t, const struct board *b, uint64_t before_ms)
{
	v->replica_n = 0;
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++) {
		struct snap_endpoint *e = &v->endpoints[i];
		if (!t || !snap_table_get(t, i, e)) *e = (struct snap_endpoint){0};
		const struct meter_series_app *a =
		        e->state == SNAP_EP_FREE ? NULL : app_of(v, e->app);
		if (!a) continue;
		uint64_t since = b ? board_base_get(b, i, &v->bases[i]) : 0;
		v->replicas[v->replica_n++] = (struct meter_series_replica){.app = a->name,
		        .release = e->release,
		        .replica = e->replica,
		        .endpoint = i,
		        .base = since ? &v->bases[i] : NULL,
		        .whole = before_ms && since > before_ms};
	}
}

struct meter_series_view view_of(const struct view *v, const struct meter *m)
{
	return (struct meter_series_view){.meter = m,
	        .lanes = v->lanes,
	        .lane_n = v->lane_n,
	        .apps = v->apps,
	        .app_n = v->app_n,
	        .replicas = v->replicas,
	        .replica_n = v->replica_n};
}
