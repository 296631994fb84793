/* What is changed through the API. Each handler checks everything before it hands anything over. */
#include "api_priv.h"
#include "os/clock.h"

#include <stdio.h>

enum hg_rc api_members_known(const json_t *body, const char *known, struct hg_err *err)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)body, key, value)
	{
		struct hg_str rest = hg_str(known);
		bool found = false;
		while (rest.n && !found)
			found = hg_str_eq(hg_str_cut(&rest, ' '), hg_str(key));
		if (found) continue;
		hg_err_set(err, HG_E_API_BODY, "unknown member \"%.64s\"", key);
		hg_err_hint(err, "known: %s", known);
		return HG_E_API_BODY;
	}
	return HG_OK;
}

enum hg_rc api_app_find(struct api_request *r, uint32_t *ret_desired, struct hg_err *err)
{
	struct fleet_status *s;
	enum hg_rc rc = fleet_status(r->api->d.fleet, &s);
	if (rc < 0) return hg_err_set(err, rc, "no memory for the status");
	rc = HG_E_NOT_FOUND;
	const char *near = NULL;
	uint32_t best = 3;
	for (uint32_t i = 0; i < s->app_count; i++) {
		uint32_t d = hg_str_distance(hg_str(s->apps[i].name), r->param[0]);
		if (d < best) {
			best = d;
			near = s->apps[i].name;
		}
		if (d != 0) continue;
		*ret_desired = s->apps[i].desired;
		rc = HG_OK;
	}
	if (rc < 0) {
		hg_err_set(err, rc, "there is no app \"%.*s\"", (int)HG_MIN(r->param[0].n, 64),
		        r->param[0].p);
		if (near) hg_err_hint(err, "did you mean \"%s\"?", near);
	}
	fleet_status_free(s);
	return rc;
}

void api_target_set(struct api_request *r, struct hg_str target)
{
	if (!hg_str_copy(target, r->target, sizeof r->target)) r->target[0] = 0;
}

enum hg_rc api_post_scale(struct api_request *r, struct hg_err *err)
{
	uint32_t was = 0;
	api_target_set(r, r->param[0]);
	enum hg_rc rc = api_members_known(r->body, "replicas dry_run", err);
	if (rc < 0) return rc;
	const json_t *n = json_object_get(r->body, "replicas");
	if (!json_is_integer(n) || json_integer_value(n) < 0 ||
	        json_integer_value(n) > FLEET_REPLICAS_MAX)
		return hg_err_set(err, HG_E_API_BODY, "\"replicas\" is a whole number from 0 to %d",
		        FLEET_REPLICAS_MAX);
	uint32_t replicas = (uint32_t)json_integer_value(n);
	rc = api_app_find(r, &was, err);
	if (rc == HG_OK)
		r->details = json_pack(
		        "{s:{s:i,s:i}}", "replicas", "old", (int)was, "new", (int)replicas);
	if (rc == HG_OK && !r->dry_run)
		rc = fleet_scale(r->api->d.fleet, r->param[0], replicas, err);
	if (rc < 0) return rc;
	r->reply = json_pack("{s:s,s:o,s:i,s:i,s:b}", "schema", "headgate.scale/1", "app",
	        api_json_str(r->param[0]), "was", (int)was, "replicas", (int)replicas, "dry_run",
	        r->dry_run);
	return HG_OK;
}

static enum hg_rc maintenance_allow(
        const json_t *list, struct fleet_maintenance *m, struct hg_err *err)
{
	size_t i;
	json_t *one;
	if (list && (!json_is_array(list) || json_array_size(list) > FLEET_MAINTENANCE_NETS))
		return hg_err_set(err, HG_E_API_BODY, "\"allow\" is a list of at most %d networks",
		        FLEET_MAINTENANCE_NETS);
	json_array_foreach((json_t *)list, i, one)
	{
		const char *net = json_string_value(one);
		if (!net || !hg_str_copy(hg_str(net), m->allow[i], sizeof m->allow[i]))
			return hg_err_set(err, HG_E_API_BODY, "\"allow\" is a list of networks");
		m->allow_count++;
	}
	return HG_OK;
}

static enum hg_rc maintenance_read(
        const json_t *body, struct fleet_maintenance *ret_m, struct hg_err *err)
{
	struct fleet_maintenance m = {0};
	const json_t *on = json_object_get(body, "on"), *ms = json_object_get(body, "for_ms");
	const json_t *message = json_object_get(body, "message");
	enum hg_rc rc = api_members_known(body, "on for_ms message allow dry_run", err);
	if (rc < 0) return rc;
	if (!json_is_boolean(on)) return hg_err_set(err, HG_E_API_BODY, "\"on\" is true or false");
	m.on = json_is_true(on);
	if (ms && (!json_is_integer(ms) || json_integer_value(ms) < 1000 ||
	                  json_integer_value(ms) > 30 * 86400000ll))
		return hg_err_set(
		        err, HG_E_API_BODY, "\"for_ms\" is a number of milliseconds up to 30 days");
	if (!m.on && json_object_size(body) > 1u + (json_object_get(body, "dry_run") != NULL))
		return hg_err_set(err, HG_E_API_BODY, "\"on\": false takes nothing else");
	if (ms) m.until_ms = clock_wall_ms() + (uint64_t)json_integer_value(ms);
	if (message && (!json_is_string(message) ||
	                       strlen(json_string_value(message)) != json_string_length(message) ||
	                       !hg_str_copy(hg_str(json_string_value(message)), m.message,
	                               sizeof m.message)))
		return hg_err_set(err, HG_E_API_BODY, "\"message\" is a text of at most 256 bytes");
	rc = maintenance_allow(json_object_get(body, "allow"), &m, err);
	if (rc == HG_OK) rc = fleet_maintenance_check(&m, err);
	if (rc == HG_OK) *ret_m = m;
	return rc;
}

enum hg_rc api_post_maintenance(struct api_request *r, struct hg_err *err)
{
	struct fleet_maintenance m = {0};
	uint32_t replicas = 0;
	api_target_set(r, r->param[0]);
	enum hg_rc rc = maintenance_read(r->body, &m, err);
	if (rc == HG_OK) rc = api_app_find(r, &replicas, err);
	if (rc == HG_OK)
		r->details = json_pack("{s:b,s:I}", "on", m.on, "until_ms", (json_int_t)m.until_ms);
	if (rc == HG_OK && !r->dry_run)
		rc = fleet_maintenance_set(r->api->d.fleet, r->param[0], &m, err);
	if (rc < 0) return rc;
	r->reply = json_pack("{s:s,s:o,s:b,s:I,s:b}", "schema", "headgate.maintenance/1", "app",
	        api_json_str(r->param[0]), "on", m.on, "until_ms", (json_int_t)m.until_ms,
	        "dry_run", r->dry_run);
	return HG_OK;
}

enum hg_rc api_post_restart(struct api_request *r, struct hg_err *err)
{
	uint32_t replicas = 0;
	api_target_set(r, r->param[0]);
	enum hg_rc rc = api_members_known(r->body, "dry_run", err);
	if (rc == HG_OK) rc = api_app_find(r, &replicas, err);
	if (rc == HG_OK && !r->dry_run) rc = fleet_restart(r->api->d.fleet, r->param[0], err);
	if (rc < 0) return rc;
	r->reply = json_pack("{s:s,s:o,s:i,s:b}", "schema", "headgate.restart/1", "app",
	        api_json_str(r->param[0]), "replicas", (int)replicas, "dry_run", r->dry_run);
	return HG_OK;
}

static enum hg_rc config_member(struct hg_arena *mem, const json_t *body, const char *name,
        bool required, struct hg_str *ret_s, struct hg_err *err)
{
	const json_t *v = json_object_get(body, name);
	if (!v && !required) {
		*ret_s = HG_STR("");
		return HG_OK;
	}
	if (!json_is_string(v))
		return hg_err_set(
		        err, HG_E_API_BODY, "\"%s\" is %s", name, v ? "not a string" : "missing");
	/* U+0000 would end the text early where it is handed on as a C string. */
	struct hg_str s = {json_string_value(v), json_string_length(v)};
	if (s.n && memchr(s.p, 0, s.n))
		return hg_err_set(err, HG_E_API_BODY, "\"%s\" contains a NUL", name);
	*ret_s = hg_arena_str(mem, s);
	return ret_s->p ? HG_OK : hg_err_set(err, HG_E_NOMEM, "\"%s\" is too large", name);
}

static enum hg_rc certs_read(
        struct hg_arena *mem, const json_t *body, struct api_config *c, struct hg_err *err)
{
	const json_t *list = json_object_get(body, "certificates"), *one;
	enum hg_rc rc = HG_OK;
	size_t i, n = json_array_size(list);
	if (!list) return HG_OK;
	if (!json_is_array(list) || n > API_CERTS_MAX)
		return hg_err_set(err, HG_E_API_BODY,
		        "\"certificates\" is not a list of at most %u", API_CERTS_MAX);
	c->certs = hg_arena_take(mem, (n + 1) * sizeof *c->certs);
	if (!c->certs) return hg_err_set(err, HG_E_NOMEM, "\"certificates\" is too large");
	json_array_foreach(list, i, one)
	{
		struct api_cert *to = &c->certs[c->cert_count++];
		*to = (struct api_cert){0};
		if (!json_is_object(one))
			return hg_err_set(
			        err, HG_E_API_BODY, "a member of \"certificates\" is no object");
		rc = api_members_known(one, "cert chain key", err);
		if (rc == HG_OK) rc = config_member(mem, one, "cert", true, &to->cert, err);
		if (rc == HG_OK) rc = config_member(mem, one, "chain", true, &to->chain, err);
		if (rc == HG_OK) rc = config_member(mem, one, "key", true, &to->key, err);
		if (rc < 0) return rc;
	}
	return HG_OK;
}

static enum hg_rc config_read(
        struct hg_arena *mem, const json_t *body, struct api_config *ret_config, struct hg_err *err)
{
	struct api_config c = {.dry_run = json_is_true(json_object_get(body, "dry_run"))};
	enum hg_rc rc =
	        api_members_known(body, "text file dir environment dry_run certificates", err);
	if (rc == HG_OK) rc = config_member(mem, body, "text", true, &c.text, err);
	if (rc == HG_OK) rc = config_member(mem, body, "file", true, &c.file, err);
	if (rc == HG_OK) rc = config_member(mem, body, "dir", true, &c.dir, err);
	if (rc == HG_OK) rc = config_member(mem, body, "environment", false, &c.environment, err);
	if (rc == HG_OK && (c.dir.n == 0 || c.dir.p[0] != '/'))
		rc = hg_err_set(err, HG_E_API_BODY, "\"dir\" is not an absolute path");
	if (rc == HG_OK) rc = certs_read(mem, body, &c, err);
	if (rc == HG_OK) *ret_config = c;
	return rc;
}

enum hg_rc api_config_parse(
        struct hg_arena *mem, struct hg_str json, struct api_config *ret_config, struct hg_err *err)
{
	json_error_t je;
	json_t *j = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, &je);
	enum hg_rc rc;
	if (!json_is_object(j))
		rc = hg_err_set(err, HG_E_API_BODY, "the configuration is not a JSON object: %s",
		        j ? "something else" : je.text);
	else
		rc = config_read(mem, j, ret_config, err);
	json_decref(j);
	return rc;
}

enum hg_rc api_post_reload(struct api_request *r, struct hg_err *err)
{
	struct hg_arena mem;
	struct hg_buf diff;
	struct api_config c;
	json_t *changes = json_array();
	if (!r->api->d.reload)
		return hg_err_set(err, HG_E_AGAIN, "control is not ready for a reload");
	hg_arena_init(&mem, "reload", 2 * API_BODY_MAX);
	hg_buf_init(&diff, 1u << 20);
	enum hg_rc rc = config_read(&mem, r->body, &c, err);
	if (rc == HG_OK) {
		api_target_set(r, c.file);
		rc = r->api->d.reload(r->api->d.arg, &c, &diff, err);
	}
	struct hg_str rest = hg_str(hg_buf_text(&diff));
	while (rc == HG_OK && rest.n) {
		struct hg_str line = hg_str_cut(&rest, '\n');
		if (line.n) json_array_append_new(changes, api_json_str(line));
	}
	r->reply = json_pack("{s:s,s:o,s:b}", "schema", "headgate.reload/1", "changes", changes,
	        "dry_run", r->dry_run);
	hg_buf_free(&diff);
	hg_arena_fini(&mem);
	return rc;
}

static bool token_name_good(const char *name)
{
	size_t n = strlen(name);
	return n >= 1 && n <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

/* *ret_ms 0: it does not expire. */
static enum hg_rc token_expiry(
        const json_t *body, uint64_t now_ms, uint64_t *ret_ms, struct hg_err *err)
{
	const json_t *v = json_object_get(body, "expires_ms");
	*ret_ms = 0;
	if (!v || json_is_null(v)) return HG_OK;
	if (!json_is_integer(v) || json_integer_value(v) <= (json_int_t)now_ms)
		return hg_err_set(err, HG_E_API_BODY,
		        "\"expires_ms\" is Unix time in milliseconds, and still to come");
	*ret_ms = (uint64_t)json_integer_value(v);
	return HG_OK;
}

enum hg_rc api_post_token(struct api_request *r, struct hg_err *err)
{
	char text[API_TOKEN_TEXT];
	enum api_role role;
	uint64_t now_ms = clock_wall_ms(), expires_ms = 0;
	enum hg_rc rc = api_members_known(r->body, "name role expires_ms dry_run", err);
	if (rc < 0) return rc;
	const char *name = json_string_value(json_object_get(r->body, "name"));
	const char *role_name = json_string_value(json_object_get(r->body, "role"));
	if (!name || !token_name_good(name))
		return hg_err_set(err, HG_E_API_BODY,
		        "\"name\" is 1 to 63 of a-z, 0-9, \".\", \"_\" and \"-\"");
	api_target_set(r, hg_str(name));
	if (!role_name || !api_role_parse(role_name, &role))
		return hg_err_set(err, HG_E_API_BODY, "\"role\" is viewer, deployer or admin");
	rc = token_expiry(r->body, now_ms, &expires_ms, err);
	if (rc < 0) return rc;
	struct store_token t = {.name = hg_str(name),
	        .role = (enum store_role)role,
	        .created_ms = now_ms,
	        .expires_ms = expires_ms};
	rc = api_token_make("hgt_", text, t.sha256, err);
	if (rc == HG_OK && !r->dry_run) rc = store_token_add(r->api->d.store, &t, err);
	if (rc == HG_E_DB_CONSTRAINT) {
		hg_err_set(err, HG_E_TOKEN_EXISTS, "there is a token \"%s\" already", name);
		hg_err_hint(err, "Revoke it first: headgate token revoke %s", name);
		return HG_E_TOKEN_EXISTS;
	}
	if (rc < 0) return rc;
	r->reply = json_pack("{s:s,s:s,s:s,s:s,s:o,s:b}", "schema", "headgate.token/1", "name",
	        name, "role", role_name, "token", r->dry_run ? "" : text, "expires_ms",
	        expires_ms ? json_integer((json_int_t)expires_ms) : json_null(), "dry_run",
	        r->dry_run);
	r->status = r->dry_run ? 200 : 201;
	return HG_OK;
}

enum hg_rc api_delete_token(struct api_request *r, struct hg_err *err)
{
	api_target_set(r, r->param[0]);
	enum hg_rc rc = api_members_known(r->body, "dry_run", err);
	if (rc < 0) return rc;
	if (!r->dry_run) rc = store_token_remove(r->api->d.store, r->param[0], err);
	if (rc == HG_E_NOT_FOUND)
		return hg_err_set(err, rc, "there is no token \"%.*s\"",
		        (int)HG_MIN(r->param[0].n, 63), r->param[0].p);
	if (rc < 0) return rc;
	if (!r->dry_run) r->api->revoked = true;
	r->reply = json_pack("{s:s,s:o,s:b}", "schema", "headgate.revoke/1", "name",
	        api_json_str(r->param[0]), "dry_run", r->dry_run);
	return HG_OK;
}
