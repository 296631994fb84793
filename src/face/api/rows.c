/* Apps and their replicas as JSON, for the status and for whoever watches it. */
#include "live_priv.h"

static void member_u64(struct json_out *j, const char *key, uint64_t v)
{
	json_out_key(j, key);
	json_out_u64(j, v);
}

static void member_num(struct json_out *j, const char *key, double v)
{
	json_out_key(j, key);
	json_out_num(j, v);
}

static void member_text(struct json_out *j, const char *key, const char *v)
{
	json_out_key(j, key);
	json_out_str(j, hg_str(v ? v : ""));
}

static void member_bool(struct json_out *j, const char *key, bool v)
{
	json_out_key(j, key);
	json_out_bool(j, v);
}

static void limits_write(struct json_out *j, const struct fleet_replica_status *s)
{
	json_out_key(j, "limits");
	json_out_object(j);
	member_u64(j, "memory_bytes", s->memory_limit);
	member_text(j, "memory_keeper", s->memory_keeper);
	member_num(j, "cpu", s->cpu_limit);
	member_text(j, "cpu_keeper", s->cpu_keeper);
	json_out_end(j);
}

static void exit_write(struct json_out *j, const struct fleet_replica_status *s)
{
	json_out_key(j, "exit");
	json_out_object(j);
	json_out_key(j, "status");
	json_out_int(j, s->exit_status);
	member_text(j, "text", s->exit_text);
	member_u64(j, "at_ms", s->exit_ms);
	member_bool(j, "out_of_memory", s->exit_memory);
	json_out_end(j);
}

void api_replica_write(struct json_out *j, const struct fleet_replica_status *s)
{
	json_out_object(j);
	member_u64(j, "replica", s->number);
	member_u64(j, "release", s->release);
	member_u64(j, "incarnation", s->incarnation);
	member_text(j, "state", fleet_state_name(s->state));
	member_bool(j, "crash_loop", s->crash_loop);
	json_out_key(j, "pid");
	json_out_int(j, s->pid);
	member_text(j, "address", s->address);
	member_u64(j, "restarts", s->restarts);
	member_u64(j, "since_ms", s->since_ms);
	member_u64(j, "started_ms", s->started_ms);
	member_u64(j, "next_start_ms", s->next_start_ms);
	member_num(j, "cpu_seconds", s->cpu_seconds);
	member_num(j, "cpu", s->cpu);
	member_u64(j, "memory_bytes", s->memory_bytes);
	member_u64(j, "in_flight", s->in_flight);
	member_text(j, "reason", s->reason);
	limits_write(j, s);
	if (s->has_exited) exit_write(j, s);
	json_out_end(j);
}

void api_routes_write(struct json_out *j, const struct fleet_app_status *s)
{
	json_out_array(j);
	for (uint32_t i = 0; i < s->route_count; i++)
		json_out_str(j, hg_str(s->routes[i]));
	json_out_end(j);
}

void api_maintenance_write(struct json_out *j, const struct fleet_app_status *s)
{
	member_bool(j, "maintenance", s->maintenance);
	if (s->maintenance) member_u64(j, "maintenance_until_ms", s->maintenance_until_ms);
}

static void or_null(struct json_out *j, const char *key, double v)
{
	json_out_key(j, key);
	if (v < 0)
		json_out_null(j);
	else
		json_out_num(j, v);
}

void api_rates_write(struct json_out *j, const struct api *a, const char *app)
{
	struct api_now now;
	if (!api_rate_now(a, app, &now)) now = (struct api_now){0, -1, -1, -1};
	member_num(j, "rate", now.rate);
	or_null(j, "error_ratio", now.error_ratio);
	or_null(j, "p95_seconds", now.p95_s);
}

void api_app_write(struct json_out *j, const struct api *a, const struct fleet_app_status *s)
{
	json_out_object(j);
	member_text(j, "name", s->name);
	member_u64(j, "release", s->release);
	member_u64(j, "desired", s->desired);
	member_u64(j, "desired_file", s->desired_file);
	member_u64(j, "ready", s->ready);
	member_u64(j, "starting", s->starting);
	member_u64(j, "total", s->total);
	member_u64(j, "updated", s->updated);
	member_u64(j, "restarts", s->restarts);
	member_text(j, "phase", fleet_phase_name(s->phase));
	json_out_key(j, "replicas");
	json_out_array(j);
	for (uint32_t i = 0; i < s->replica_count; i++)
		api_replica_write(j, &s->replicas[i]);
	json_out_end(j);
	json_out_key(j, "routes");
	api_routes_write(j, s);
	member_text(j, "reason", s->reason);
	api_rates_write(j, a, s->name);
	api_maintenance_write(j, s);
	json_out_end(j);
}
