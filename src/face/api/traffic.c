/* What the edge has answered, by route and by replica: counters, from which a client makes rates.
 */
#include "api_priv.h"
#include "os/clock.h"

#include <stdlib.h>

#define ROWS_MAX 1000u /* the busiest of each */

static json_t *bucket_json(const uint64_t bucket[METER_BUCKETS])
{
	json_t *list = json_array();
	for (int i = 0; i < METER_BUCKETS; i++)
		json_array_append_new(list, json_integer((json_int_t)bucket[i]));
	return list;
}

struct route_row {
	const struct fleet_lane *lane;
	struct meter_lane_sum sum;
};

static int busier(const void *a, const void *b)
{
	const struct route_row *x = a, *y = b;
	return (x->sum.total < y->sum.total) - (x->sum.total > y->sum.total);
}

static json_t *route_json(const struct route_row *row)
{
	const struct meter_lane_sum *s = &row->sum;
	json_t *j = json_pack("{s:o,s:o,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:f}", "app",
	        api_json_str(hg_str(row->lane->app)), "route",
	        api_json_str(hg_str(row->lane->route)), "release", (int)row->lane->release,
	        "requests", (json_int_t)s->total, "errors", (json_int_t)s->by_class[5], "refused",
	        (json_int_t)s->by_class[4], "aborted", (json_int_t)s->aborted, "bytes_in",
	        (json_int_t)s->bytes_in, "bytes_out", (json_int_t)s->bytes_out, "seconds",
	        (double)s->duration_ns / 1e9);
	if (j) json_object_set_new(j, "buckets", bucket_json(s->bucket));
	return j ? j : json_null();
}

/* Those that were ever asked. */
static json_t *routes_json(const struct api *a)
{
	size_t n = 0, used = 0;
	json_t *list = json_array();
	const struct fleet_lane *lanes = fleet_lanes(a->d.fleet, &n);
	struct route_row *row = a->d.meter ? calloc(n + 1, sizeof *row) : NULL;
	for (size_t i = 0; row && i < n; i++) {
		if (!meter_lane_used(a->d.meter, lanes[i].lane)) continue;
		row[used].lane = &lanes[i];
		meter_lane_sum(a->d.meter, lanes[i].lane, &row[used++].sum);
	}
	if (used) qsort(row, used, sizeof *row, busier);
	for (size_t i = 0; i < HG_MIN(used, ROWS_MAX); i++)
		json_array_append_new(list, route_json(&row[i]));
	free(row);
	return list;
}

static json_t *replica_json(const struct api *a, const struct fleet_app_status *app,
        const struct fleet_replica_status *r)
{
	struct meter_replica_sum s;
	meter_replica_sum(a->d.meter, (uint32_t)r->endpoint, &s);
	json_t *j = json_pack("{s:s,s:i,s:i,s:i,s:s,s:I,s:I,s:I,s:i,s:f,s:f}", "app", app->name,
	        "replica", (int)r->number, "release", (int)r->release, "incarnation",
	        (int)r->incarnation, "state", fleet_state_name(r->state), "requests",
	        (json_int_t)s.count, "errors", (json_int_t)s.errors, "failures",
	        (json_int_t)s.failures, "in_flight", (int)r->in_flight, "seconds",
	        (double)s.duration_ns / 1e9, "cpu", r->cpu);
	if (j) json_object_set_new(j, "buckets", bucket_json(s.bucket));
	return j ? j : json_null();
}

static json_t *replicas_json(const struct api *a, const struct fleet_status *s)
{
	json_t *list = json_array();
	for (uint32_t i = 0; a->d.meter && i < s->app_count; i++) {
		const struct fleet_app_status *app = &s->apps[i];
		for (uint32_t k = 0; k < app->replica_count; k++) {
			if (app->replicas[k].endpoint < 0 || json_array_size(list) == ROWS_MAX)
				continue;
			json_array_append_new(list, replica_json(a, app, &app->replicas[k]));
		}
	}
	return list;
}

enum hg_rc api_get_traffic(struct api_request *r, struct hg_err *err)
{
	struct fleet_status *s;
	struct api *a = r->api;
	json_t *bounds = json_array();
	uint32_t connections = 0;
	enum hg_rc rc = fleet_status(a->d.fleet, &s);
	if (rc < 0) {
		json_decref(bounds);
		return hg_err_set(err, rc, "no memory for the status");
	}
	for (int i = 0; i < METER_BUCKETS - 1; i++)
		json_array_append_new(bounds, json_real(meter_bounds[i]));
	for (uint32_t w = 0; a->d.meter && w < a->d.meter->worker_count; w++)
		connections += atomic_load_explicit(
		        &a->d.meter->worker[w].connections, memory_order_relaxed);
	r->reply = json_pack("{s:s,s:I,s:I,s:I,s:o,s:o,s:o}", "schema", "headgate.traffic/1",
	        "now_ms", (json_int_t)clock_wall_ms(), "mono_ms", (json_int_t)clock_mono_ms(),
	        "connections", (json_int_t)connections, "bounds", bounds, "routes", routes_json(a),
	        "replicas", replicas_json(a, s));
	fleet_status_free(s);
	return HG_OK;
}
