/* What is: status, apps, configuration, audit trail. */
#include "api_priv.h"
#include "gen/api_routes.h"
#include "os/clock.h"
#include "warden/warden.h"

#include <stdio.h>

enum hg_rc api_get_healthz(struct api_request *r, struct hg_err *err)
{
	(void)err;
	api_text(r, 200, "text/plain; charset=utf-8", HG_STR("ok\n"));
	return HG_OK;
}

enum hg_rc api_get_readyz(struct api_request *r, struct hg_err *err)
{
	const char *why = "not ready";
	char text[256];
	(void)err;
	if (!r->api->d.ready || r->api->d.ready(r->api->d.arg, &why)) {
		api_text(r, 200, "text/plain; charset=utf-8", HG_STR("ready\n"));
		return HG_OK;
	}
	snprintf(text, sizeof text, "not ready: %s\n", why);
	api_text(r, 503, "text/plain; charset=utf-8", hg_str(text));
	return HG_OK;
}

enum hg_rc api_get_openapi(struct api_request *r, struct hg_err *err)
{
	(void)err;
	api_text(r, 200, "application/json", (struct hg_str){api_openapi, sizeof api_openapi - 1});
	return HG_OK;
}

static json_t *replica_json(const struct fleet_replica_status *s)
{
	json_t *j = json_pack("{s:i,s:i,s:i,s:s,s:b,s:i,s:s,s:i,s:I,s:I,s:I,s:f,s:f,s:I,s:i}",
	        "replica", (int)s->number, "release", (int)s->release, "incarnation",
	        (int)s->incarnation, "state", fleet_state_name(s->state), "crash_loop",
	        s->crash_loop, "pid", s->pid, "address", s->address, "restarts", (int)s->restarts,
	        "since_ms", (json_int_t)s->since_ms, "started_ms", (json_int_t)s->started_ms,
	        "next_start_ms", (json_int_t)s->next_start_ms, "cpu_seconds", s->cpu_seconds, "cpu",
	        s->cpu, "memory_bytes", (json_int_t)s->memory_bytes, "in_flight",
	        (int)s->in_flight);
	if (!j) return json_null();
	json_object_set_new(j, "reason", api_json_str(hg_str(s->reason)));
	json_object_set_new(j, "limits",
	        json_pack("{s:I,s:s,s:f,s:s}", "memory_bytes", (json_int_t)s->memory_limit,
	                "memory_keeper", s->memory_keeper ? s->memory_keeper : "", "cpu",
	                s->cpu_limit, "cpu_keeper", s->cpu_keeper ? s->cpu_keeper : ""));
	if (s->has_exited)
		json_object_set_new(j, "exit",
		        json_pack("{s:i,s:s,s:I,s:b}", "status", s->exit_status, "text",
		                s->exit_text, "at_ms", (json_int_t)s->exit_ms, "out_of_memory",
		                s->exit_memory));
	return j;
}

static void set_or_null(json_t *j, const char *key, double v)
{
	json_object_set_new(j, key, v < 0 ? json_null() : json_real(v));
}

static json_t *app_json(const struct api *a, const struct fleet_app_status *s)
{
	struct api_now now;
	json_t *replicas = json_array(), *routes = json_array();
	for (uint32_t i = 0; i < s->replica_count; i++)
		json_array_append_new(replicas, replica_json(&s->replicas[i]));
	for (uint32_t i = 0; i < s->route_count; i++)
		json_array_append_new(routes, api_json_str(hg_str(s->routes[i])));
	json_t *j = json_pack("{s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:o,s:o}", "name", s->name,
	        "release", (int)s->release, "desired", (int)s->desired, "desired_file",
	        (int)s->desired_file, "ready", (int)s->ready, "starting", (int)s->starting, "total",
	        (int)s->total, "updated", (int)s->updated, "restarts", (int)s->restarts, "phase",
	        fleet_phase_name(s->phase), "replicas", replicas, "routes", routes);
	if (!j) return json_null();
	json_object_set_new(j, "reason", api_json_str(hg_str(s->reason)));
	if (!api_rate_now(a, s->name, &now)) now = (struct api_now){0, -1, -1};
	json_object_set_new(j, "rate", json_real(now.rate));
	json_object_set_new(j, "maintenance", json_boolean(s->maintenance));
	if (s->maintenance)
		json_object_set_new(j, "maintenance_until_ms",
		        json_integer((json_int_t)s->maintenance_until_ms));
	set_or_null(j, "error_ratio", now.error_ratio);
	set_or_null(j, "p95_seconds", now.p95_s);
	return j;
}

static json_t *processes_json(const struct api *a)
{
	static const char *const names[] = {[WD_ROLE_WARDEN] = "warden",
	        [WD_ROLE_CONTROL] = "control",
	        [WD_ROLE_OBSERVE] = "observe",
	        [WD_ROLE_EDGE] = "edge"};
	struct warden_info w = {0};
	json_t *list = json_array();
	if (warden_find(a->d.data_dir, &w, NULL) < 0) return list;
	if (w.warden_alive)
		json_array_append_new(list, json_pack("{s:s,s:i}", "role", "warden", "pid", w.pid));
	for (uint32_t i = 0; i < w.role_count && i < HG_COUNT(w.roles); i++) {
		size_t role = (size_t)w.roles[i].role;
		if (role >= HG_COUNT(names) || role == WD_ROLE_WARDEN) continue;
		json_array_append_new(
		        list, json_pack("{s:s,s:i}", "role", names[role], "pid", w.roles[i].pid));
	}
	return list;
}

void api_admin_address(const struct api *a, char *to, size_t cap)
{
	struct sock_addr addr;
	to[0] = 0;
	if (a->d.admin_fd < 0 || !sock_local(a->d.admin_fd, &addr) || cap < SOCK_TEXT_MAX) return;
	to[sock_addr_text(&addr, to, cap)] = 0;
}

static json_t *listeners_json(const struct api *a)
{
	char admin[SOCK_TEXT_MAX + 1];
	struct hg_buf urls;
	json_t *edge = json_array();
	hg_buf_init(&urls, 16384);
	if (a->d.edge_urls) a->d.edge_urls(a->d.arg, &urls);
	struct hg_str rest = hg_str(hg_buf_text(&urls));
	while (rest.n) {
		struct hg_str line = hg_str_cut(&rest, '\n');
		if (line.n) json_array_append_new(edge, api_json_str(line));
	}
	hg_buf_free(&urls);
	api_admin_address(a, admin, sizeof admin);
	return json_pack("{s:o,s:s}", "edge", edge, "admin", admin);
}

/* One word for the whole: the worst that is true. */
static const char *overall(const struct fleet_status *s)
{
	bool starting = s->generation == 0;
	if (s->shutting_down) return "stopping";
	if (s->warden_lost) return "degraded";
	for (uint32_t i = 0; i < s->app_count; i++) {
		enum fleet_phase p = s->apps[i].phase;
		if (p == FLEET_APP_DEGRADED || p == FLEET_APP_CRASHLOOP) return "degraded";
		starting |= p == FLEET_APP_STARTING || p == FLEET_APP_WAITING;
	}
	return starting ? "starting" : "running";
}

static json_t *apps_json(const struct api *a, const struct fleet_status *s)
{
	json_t *apps = json_array();
	for (uint32_t i = 0; i < s->app_count; i++)
		json_array_append_new(apps, app_json(a, &s->apps[i]));
	return apps;
}

/* Artifacts that changes wait for. */
static json_t *reading_json(const struct fleet *f)
{
	json_t *all = json_array();
	const char *app;
	uint64_t bytes;
	for (uint32_t i = 0; fleet_reading_at(f, i, &app, &bytes); i++)
		json_array_append_new(
		        all, json_pack("{s:s,s:I}", "app", app, "bytes", (json_int_t)bytes));
	return all;
}

enum hg_rc api_get_status(struct api_request *r, struct hg_err *err)
{
	struct fleet_status *s;
	struct api *a = r->api;
	enum hg_rc rc = fleet_status(a->d.fleet, &s);
	if (rc < 0) return hg_err_set(err, rc, "no memory for the status");
	r->reply = json_pack("{s:s,s:s,s:s,s:s,s:b,s:I,s:I,s:I,s:o,s:o,s:o}", "schema",
	        "headgate.status/1", "version", HG_VERSION, "state", overall(s), "data",
	        a->d.data_dir, "settled", s->settled, "generation", (json_int_t)s->generation,
	        "started_ms", (json_int_t)a->started_ms, "now_ms", (json_int_t)clock_wall_ms(),
	        "listeners", listeners_json(a), "processes", processes_json(a), "apps",
	        apps_json(a, s));
	json_object_set_new(r->reply, "reading", reading_json(a->d.fleet));
	json_t *problem = api_certificates_problem(a);
	if (problem) json_object_set_new(r->reply, "certificates", problem);
	fleet_status_free(s);
	return HG_OK;
}

enum hg_rc api_get_apps(struct api_request *r, struct hg_err *err)
{
	struct fleet_status *s;
	enum hg_rc rc = fleet_status(r->api->d.fleet, &s);
	if (rc < 0) return hg_err_set(err, rc, "no memory for the status");
	r->reply =
	        json_pack("{s:s,s:o}", "schema", "headgate.apps/1", "apps", apps_json(r->api, s));
	fleet_status_free(s);
	return HG_OK;
}

enum hg_rc api_get_app(struct api_request *r, struct hg_err *err)
{
	struct fleet_status *s;
	enum hg_rc rc = fleet_status(r->api->d.fleet, &s);
	if (rc < 0) return hg_err_set(err, rc, "no memory for the status");
	rc = HG_E_NOT_FOUND;
	for (uint32_t i = 0; i < s->app_count && rc < 0; i++) {
		if (!hg_str_eq(hg_str(s->apps[i].name), r->param[0])) continue;
		r->reply = json_pack("{s:s,s:o}", "schema", "headgate.app/1", "app",
		        app_json(r->api, &s->apps[i]));
		rc = HG_OK;
	}
	fleet_status_free(s);
	return rc < 0 ? hg_err_set(err, rc, "there is no app \"%.*s\"",
	                        (int)HG_MIN(r->param[0].n, 64), r->param[0].p)
	              : rc;
}

enum hg_rc api_get_config(struct api_request *r, struct hg_err *err)
{
	struct hg_buf mem;
	struct store_config c;
	hg_buf_init(&mem, STORE_CONFIG_MAX + 65536);
	enum hg_rc rc = store_config_get(r->api->d.store, &mem, &c, err);
	if (rc == HG_OK)
		r->reply = json_pack("{s:s,s:o,s:o,s:o,s:o,s:I}", "schema", "headgate.config/1",
		        "text", api_json_str(c.text), "file", api_json_str(c.file), "dir",
		        api_json_str(c.dir), "environment", api_json_str(c.environment),
		        "applied_ms", (json_int_t)c.applied_ms);
	hg_buf_reset(&mem);
	if (rc == HG_OK && r->api->d.config_text &&
	        r->api->d.config_text(r->api->d.arg, &mem, NULL) == HG_OK)
		json_object_set_new(r->reply, "effective", api_json_str(hg_buf_view(&mem)));
	hg_buf_free(&mem);
	return rc;
}

static void audit_line(void *arg, const struct store_audit *l)
{
	json_t *evidence = json_loadb(l->text.p, l->text.n, 0, NULL);
	json_array_append_new(arg,
	        json_pack("{s:I,s:I,s:o,s:o,s:o,s:o,s:o}", "id", (json_int_t)l->id, "ts_ms",
	                (json_int_t)l->ts_ms, "who", api_json_str(l->who), "what",
	                api_json_str(l->what), "target", api_json_str(l->target), "result",
	                api_json_str(l->result), "details", evidence ? evidence : json_null()));
}

enum hg_rc api_get_audit(struct api_request *r, struct hg_err *err)
{
	uint64_t before = 0, limit = 100;
	enum hg_rc rc = api_query_u64(r, "before", INT64_MAX, &before, err);
	if (rc == HG_OK) rc = api_query_u64(r, "limit", 1000, &limit, err);
	if (rc < 0) return rc;
	json_t *list = json_array();
	rc = store_audits(r->api->d.store, before, (uint32_t)limit, audit_line, list, err);
	r->reply = json_pack("{s:s,s:o}", "schema", "headgate.audit/1", "entries", list);
	return rc;
}

static void token_line(void *arg, const struct store_token *t)
{
	json_array_append_new(arg,
	        json_pack("{s:o,s:s,s:I,s:I,s:o,s:b}", "name", api_json_str(t->name), "role",
	                api_role_name((enum api_role)t->role), "created_ms",
	                (json_int_t)t->created_ms, "used_ms", (json_int_t)t->used_ms, "expires_ms",
	                t->expires_ms ? json_integer((json_int_t)t->expires_ms) : json_null(),
	                "login", t->login));
}

enum hg_rc api_get_tokens(struct api_request *r, struct hg_err *err)
{
	json_t *list = json_array();
	enum hg_rc rc = store_tokens(r->api->d.store, token_line, list, err);
	r->reply = json_pack("{s:s,s:o}", "schema", "headgate.tokens/1", "tokens", list);
	return rc;
}
