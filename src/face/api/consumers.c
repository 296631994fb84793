/* Who asks most of an app, and for what. */
#include "api_priv.h"
#include "os/clock.h"

#include <stdlib.h>

#define ROWS_MAX 100u

static const struct fleet_lane *lane_of(const struct fleet_lane *lanes, size_t n, uint32_t number)
{
	for (size_t i = 0; i < n; i++)
		if (lanes[i].lane == number) return &lanes[i];
	return NULL;
}

static json_t *row_json(
        const struct fleet_lane *lane, const struct meter_top_row *row, const char *key)
{
	json_int_t answers = 0;
	for (size_t i = 0; i < HG_COUNT(row->code); i++)
		answers += (json_int_t)row->code[i];
	json_t *j = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:I}", "requests",
	        (json_int_t)row->count, "over", (json_int_t)row->over, "counted", answers, "errors",
	        (json_int_t)row->code[5], "refused", (json_int_t)row->code[4], "aborted",
	        (json_int_t)row->code[0], "seconds", (double)row->duration_ns / 1e9, "bytes_out",
	        (json_int_t)row->bytes_out, "last_ms", (json_int_t)row->last_ms);
	if (!j) return json_null();
	json_object_set_new(j, key, api_json_str((struct hg_str){row->name, row->name_n}));
	json_object_set_new(j, "route", api_json_str(hg_str(lane ? lane->route : "")));
	return j;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static json_t *rows_json(const struct api *a, enum meter_top_kind kind, const uint32_t *mine,
        size_t mine_n, const char *key)
{
	size_t n = 0, lane_n = 0;
	struct meter_top_row *row = NULL;
	json_t *list = json_array();
	const struct fleet_lane *lanes = fleet_lanes(a->d.fleet, &lane_n);
	if (!a->d.meter || meter_top_rows(a->d.meter, kind, mine, mine_n, &row, &n) < 0)
		return list;
	for (size_t i = 0; i < HG_MIN(n, ROWS_MAX); i++)
		json_array_append_new(
		        list, row_json(lane_of(lanes, lane_n, row[i].lane), &row[i], key));
	free(row);
	return list;
}

enum hg_rc api_get_consumers(struct api_request *r, struct hg_err *err)
{
	const struct api *a = r->api;
	size_t n = 0, mine_n = 0;
	const struct fleet_lane *lanes = fleet_lanes(a->d.fleet, &n);
	uint32_t *mine = calloc(n + 1, sizeof *mine);
	bool known = false;
	if (!mine) return hg_err_set(err, HG_E_NOMEM, "no memory for the list");
	for (size_t i = 0; i < n; i++) {
		if (!hg_str_eq(hg_str(lanes[i].app), r->param[0])) continue;
		known = true;
		if (lanes[i].release == 0) mine[mine_n++] = lanes[i].lane;
	}
	if (!known) {
		free(mine);
		return hg_err_set(err, HG_E_NOT_FOUND, "there is no app \"%.*s\" with a route",
		        (int)HG_MIN(r->param[0].n, 64), r->param[0].p);
	}
	qsort(mine, mine_n, sizeof *mine, by_number);
	r->reply = json_pack("{s:s,s:I,s:o,s:o}", "schema", "headgate.consumers/1", "now_ms",
	        (json_int_t)clock_wall_ms(), "consumers",
	        rows_json(a, METER_TOP_CONSUMERS, mine, mine_n, "consumer"), "paths",
	        rows_json(a, METER_TOP_PATHS, mine, mine_n, "path"));
	free(mine);
	return HG_OK;
}
