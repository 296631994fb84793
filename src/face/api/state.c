/* What is: status, apps, configuration, audit trail. */
#include "live_priv.h"
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

#define DOCUMENT_MAX ((size_t)64 << 20)

static void process_write(struct json_out *j, const char *role, int pid)
{
	json_out_object(j);
	json_out_key(j, "role");
	json_out_cstr(j, role);
	json_out_key(j, "pid");
	json_out_int(j, pid);
	json_out_end(j);
}

static void processes_write(struct json_out *j, const struct api *a)
{
	static const char *const names[] = {[WD_ROLE_WARDEN] = "warden",
	        [WD_ROLE_CONTROL] = "control",
	        [WD_ROLE_OBSERVE] = "observe",
	        [WD_ROLE_EDGE] = "edge"};
	struct warden_info w = {0};
	bool found = warden_find(a->d.data_dir, &w, NULL) == HG_OK;
	json_out_array(j);
	if (found && w.warden_alive) process_write(j, "warden", w.pid);
	for (uint32_t i = 0; found && i < w.role_count && i < HG_COUNT(w.roles); i++) {
		size_t role = (size_t)w.roles[i].role;
		if (role >= HG_COUNT(names) || role == WD_ROLE_WARDEN) continue;
		process_write(j, names[role], w.roles[i].pid);
	}
	json_out_end(j);
}

void api_admin_address(const struct api *a, char *to, size_t cap)
{
	struct sock_addr addr;
	to[0] = 0;
	if (a->d.admin_fd < 0 || !sock_local(a->d.admin_fd, &addr) || cap < SOCK_TEXT_MAX) return;
	to[sock_addr_text(&addr, to, cap)] = 0;
}

static void listeners_write(struct json_out *j, const struct api *a)
{
	char admin[SOCK_TEXT_MAX + 1];
	struct hg_buf urls;
	hg_buf_init(&urls, 16384);
	if (a->d.edge_urls) a->d.edge_urls(a->d.arg, &urls);
	struct hg_str rest = hg_str(hg_buf_text(&urls));
	json_out_object(j);
	json_out_key(j, "edge");
	json_out_array(j);
	while (rest.n) {
		struct hg_str line = hg_str_cut(&rest, '\n');
		if (line.n) json_out_str(j, line);
	}
	json_out_end(j);
	hg_buf_free(&urls);
	api_admin_address(a, admin, sizeof admin);
	json_out_key(j, "admin");
	json_out_cstr(j, admin);
	json_out_end(j);
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

void api_platform_write(struct json_out *j, const struct api *a, const struct fleet_status *s)
{
	char problem[API_PROBLEM_MAX];
	json_out_key(j, "state");
	json_out_cstr(j, overall(s));
	json_out_key(j, "listeners");
	listeners_write(j, a);
	json_out_key(j, "processes");
	processes_write(j, a);
	if (!api_certificates_problem(a, problem, sizeof problem)) return;
	json_out_key(j, "certificates");
	json_out_cstr(j, problem);
}

static void apps_write(struct json_out *j, const struct api *a, const struct fleet_status *s)
{
	json_out_key(j, "apps");
	json_out_array(j);
	for (uint32_t i = 0; i < s->app_count; i++)
		api_app_write(j, a, &s->apps[i]);
	json_out_end(j);
}

/* Artifacts that changes wait for. */
static void reading_write(struct json_out *j, const struct fleet *f)
{
	const char *app;
	uint64_t bytes;
	json_out_key(j, "reading");
	json_out_array(j);
	for (uint32_t i = 0; fleet_reading_at(f, i, &app, &bytes); i++) {
		json_out_object(j);
		json_out_key(j, "app");
		json_out_cstr(j, app);
		json_out_key(j, "bytes");
		json_out_u64(j, bytes);
		json_out_end(j);
	}
	json_out_end(j);
}

/* A document that begins with its schema; what belongs into it is written next. */
static void document_begin(struct json_out *j, struct hg_buf *text, const char *schema)
{
	hg_buf_init(text, DOCUMENT_MAX);
	json_out_init(j, text);
	json_out_object(j);
	json_out_key(j, "schema");
	json_out_cstr(j, schema);
}

static enum hg_rc document_end(struct api_request *r, struct json_out *j, struct hg_err *err)
{
	struct hg_buf *text = j->to;
	enum hg_rc rc = HG_OK;
	json_out_end(j);
	if (!json_out_ok(j))
		rc = hg_err_set(err, HG_E_NOMEM, "no memory for the status");
	else
		hg_buf_byte(text, '\n');
	if (rc == HG_OK) api_text(r, 200, "application/json", hg_buf_view(text));
	hg_buf_free(text);
	return rc;
}

static void status_write(struct json_out *j, const struct api *a, const struct fleet_status *s)
{
	json_out_key(j, "version");
	json_out_cstr(j, HG_VERSION);
	json_out_key(j, "data");
	json_out_cstr(j, a->d.data_dir);
	json_out_key(j, "settled");
	json_out_bool(j, s->settled);
	json_out_key(j, "generation");
	json_out_u64(j, s->generation);
	json_out_key(j, "started_ms");
	json_out_u64(j, a->started_ms);
	json_out_key(j, "now_ms");
	json_out_u64(j, clock_wall_ms());
	api_platform_write(j, a, s);
	apps_write(j, a, s);
	reading_write(j, a->d.fleet);
}

enum hg_rc api_get_status(struct api_request *r, struct hg_err *err)
{
	struct fleet_status *s;
	struct json_out j;
	struct hg_buf text;
	enum hg_rc rc = fleet_status(r->api->d.fleet, &s);
	if (rc < 0) return hg_err_set(err, rc, "no memory for the status");
	document_begin(&j, &text, "headgate.status/1");
	status_write(&j, r->api, s);
	fleet_status_free(s);
	return document_end(r, &j, err);
}

enum hg_rc api_get_apps(struct api_request *r, struct hg_err *err)
{
	struct fleet_status *s;
	struct json_out j;
	struct hg_buf text;
	enum hg_rc rc = fleet_status(r->api->d.fleet, &s);
	if (rc < 0) return hg_err_set(err, rc, "no memory for the status");
	document_begin(&j, &text, "headgate.apps/1");
	apps_write(&j, r->api, s);
	fleet_status_free(s);
	return document_end(r, &j, err);
}

enum hg_rc api_get_app(struct api_request *r, struct hg_err *err)
{
	struct fleet_status *s;
	struct json_out j;
	struct hg_buf text;
	enum hg_rc rc = fleet_status(r->api->d.fleet, &s);
	if (rc < 0) return hg_err_set(err, rc, "no memory for the status");
	rc = HG_E_NOT_FOUND;
	for (uint32_t i = 0; i < s->app_count && rc < 0; i++) {
		if (!hg_str_eq(hg_str(s->apps[i].name), r->param[0])) continue;
		document_begin(&j, &text, "headgate.app/1");
		json_out_key(&j, "app");
		api_app_write(&j, r->api, &s->apps[i]);
		rc = HG_OK;
	}
	fleet_status_free(s);
	if (rc == HG_OK) return document_end(r, &j, err);
	return hg_err_set(
	        err, rc, "there is no app \"%.*s\"", (int)HG_MIN(r->param[0].n, 64), r->param[0].p);
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
