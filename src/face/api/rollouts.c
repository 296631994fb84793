/*
 * Rollouts over HTTP: bodies are checked here, what they mean is decided in the room. Its documents
 * are passed on as they are (docs/reference/rollout-json.md).
 */
#include "api_priv.h"
#include "spec/spec.h"

#include <stdio.h>

#define ENV_MAX      256
#define COMMAND_MAX  8192
#define ARTIFACT_MAX 4095
#define VALUE_MAX    65536
#define OVERRIDE_MAX 500
#define LIST_DEFAULT 100
#define LIST_MAX     1000
#define DOCUMENT_MAX (16u << 20)

static enum hg_rc room_find(struct api_request *r, struct rollouts **ret_room, struct hg_err *err)
{
	*ret_room = r->api->d.rollouts;
	if (*ret_room) return HG_OK;
	hg_err_set(err, HG_E_AGAIN, "rollouts are not available: control has not started them");
	hg_err_hint(err, "Try again in a moment; headgate logs control shows the reason.");
	return HG_E_AGAIN;
}

/* Answers with a document of the room, or frees it and passes the failure on. */
static enum hg_rc document_answer(struct api_request *r, enum hg_rc rc, struct hg_buf *text)
{
	if (rc == HG_OK && text->failed) rc = HG_E_TOO_LARGE;
	if (rc == HG_OK) {
		if (text->n && text->p[text->n - 1] != '\n') hg_buf_byte(text, '\n');
		api_text(r, 200, "application/json", hg_buf_view(text));
	}
	hg_buf_free(text);
	return rc;
}

static enum hg_rc id_read(const struct api_request *r, uint64_t *ret_id, struct hg_err *err)
{
	if (hg_str_u64(r->param[0], ret_id) && *ret_id > 0 && *ret_id <= INT64_MAX) return HG_OK;
	hg_err_set(err, HG_E_NOT_FOUND, "there is no rollout \"%.*s\"",
	        (int)HG_MIN(r->param[0].n, 32), r->param[0].p);
	hg_err_hint(err, "A rollout has a number; headgate rollouts list shows them.");
	return HG_E_NOT_FOUND;
}

/* ---- what is ---- */

enum hg_rc api_get_rollouts(struct api_request *r, struct hg_err *err)
{
	struct rollouts *room;
	struct hg_buf text;
	char app[256] = "";
	uint64_t limit = LIST_DEFAULT;
	enum hg_rc rc = room_find(r, &room, err);
	if (rc == HG_OK) rc = api_query_u64(r, "limit", LIST_MAX, &limit, err);
	if (rc < 0) return rc;
	if (!serve_query(r->req->query, "app", app, sizeof app)) app[0] = 0;
	hg_buf_init(&text, DOCUMENT_MAX);
	rc = rollouts_list_json(room, hg_str(app), (uint32_t)limit, &text, err);
	return document_answer(r, rc, &text);
}

enum hg_rc api_get_rollout(struct api_request *r, struct hg_err *err)
{
	struct rollouts *room;
	struct hg_buf text;
	uint64_t id = 0;
	enum hg_rc rc = room_find(r, &room, err);
	if (rc == HG_OK) rc = id_read(r, &id, err);
	if (rc < 0) return rc;
	hg_buf_init(&text, DOCUMENT_MAX);
	rc = rollouts_show_json(room, id, &text, err);
	return document_answer(r, rc, &text);
}

/* ---- a deploy ---- */

/* A text that may be left out but not be empty. Control bytes would reach terminals and logs. */
static enum hg_rc text_read(const json_t *body, const char *name, size_t max, bool one_line,
        struct hg_str *ret_s, struct hg_err *err)
{
	const json_t *v = json_object_get(body, name);
	*ret_s = (struct hg_str){0};
	if (!v) return HG_OK;
	if (!json_is_string(v) || json_string_length(v) == 0 || json_string_length(v) > max)
		return hg_err_set(
		        err, HG_E_API_BODY, "\"%s\" is a text of 1 to %zu bytes", name, max);
	*ret_s = (struct hg_str){json_string_value(v), json_string_length(v)};
	for (size_t i = 0; i < ret_s->n && one_line; i++)
		if ((unsigned char)ret_s->p[i] < ' ' || ret_s->p[i] == 0x7f)
			return hg_err_set(err, HG_E_API_BODY,
			        "\"%s\" has a control character at byte %zu", name, i + 1);
	return HG_OK;
}

static bool version_good(struct hg_str v)
{
	static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                           "0123456789._+-:@";
	for (size_t i = 0; i < v.n; i++)
		if (!strchr(safe, v.p[i])) return false;
	return true;
}

static bool variable_good(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	if (!*name || !strchr(letters, *name)) return false;
	for (; *name; name++)
		if (!strchr(letters, *name) && !(*name >= '0' && *name <= '9')) return false;
	return true;
}

static enum hg_rc env_read(const json_t *body, struct spec_pair pairs[ENV_MAX],
        struct rollouts_deploy *d, struct hg_err *err)
{
	json_t *env = json_object_get(body, "env"), *value;
	const char *name;
	if (!env) return HG_OK;
	if (!json_is_object(env) || json_object_size(env) > ENV_MAX)
		return hg_err_set(
		        err, HG_E_API_BODY, "\"env\" is an object of at most %d texts", ENV_MAX);
	json_object_foreach(env, name, value)
	{
		if (!variable_good(name))
			return hg_err_set(err, HG_E_API_BODY,
			        "\"env\" has \"%.64s\", which is no name of a variable", name);
		if (!json_is_string(value) || json_string_length(value) > VALUE_MAX)
			return hg_err_set(err, HG_E_API_BODY,
			        "\"env\" has \"%.64s\", which is no text of at most %d bytes", name,
			        VALUE_MAX);
		pairs[d->env_count].name = hg_str(name);
		pairs[d->env_count++].value =
		        (struct hg_str){json_string_value(value), json_string_length(value)};
	}
	d->env = pairs;
	return HG_OK;
}

static enum hg_rc deploy_read(const json_t *body, struct spec_pair pairs[ENV_MAX],
        struct rollouts_deploy *d, struct hg_err *err)
{
	enum hg_rc rc = api_members_known(
	        body, "version command artifact env strategy override dry_run", err);
	if (rc == HG_OK)
		rc = text_read(body, "version", FLEET_VERSION_MAX - 1, true, &d->version, err);
	if (rc == HG_OK && !version_good(d->version))
		rc = hg_err_set(err, HG_E_API_BODY,
		        "\"version\" is made of letters, digits and . _ + - : @");
	if (rc == HG_OK) rc = text_read(body, "command", COMMAND_MAX, false, &d->command, err);
	if (rc == HG_OK) rc = text_read(body, "artifact", ARTIFACT_MAX, true, &d->artifact, err);
	if (rc == HG_OK && d->artifact.n && d->artifact.p[0] != '/')
		rc = hg_err_set(err, HG_E_API_BODY, "\"artifact\" is not an absolute path");
	if (rc == HG_OK) rc = text_read(body, "strategy", 32, true, &d->strategy, err);
	if (rc == HG_OK && d->strategy.n && !hg_str_eq(d->strategy, HG_STR("recreate")) &&
	        !hg_str_eq(d->strategy, HG_STR("rolling")) &&
	        !hg_str_eq(d->strategy, HG_STR("blue-green")) &&
	        !hg_str_eq(d->strategy, HG_STR("canary")))
		rc = hg_err_set(err, HG_E_API_BODY,
		        "\"strategy\" is recreate, rolling, blue-green or canary");
	if (rc == HG_OK) rc = text_read(body, "override", OVERRIDE_MAX, true, &d->override, err);
	if (rc == HG_OK) rc = env_read(body, pairs, d, err);
	return rc;
}

/* What was asked for; of the environment the names, because values may be secret. */
static json_t *deploy_details(const struct rollouts_deploy *d)
{
	json_t *j = json_object(), *env = json_array();
	const struct {
		const char *name;
		struct hg_str value;
	} rows[] = {{"version", d->version}, {"artifact", d->artifact}, {"command", d->command},
	        {"strategy", d->strategy}, {"override", d->override}};
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		if (rows[i].value.n)
			json_object_set_new(j, rows[i].name, api_json_str(rows[i].value));
	for (uint32_t i = 0; i < d->env_count; i++)
		json_array_append_new(env, api_json_str(d->env[i].name));
	if (d->env_count) json_object_set(j, "env", env);
	json_decref(env);
	return j;
}

/* The rollout that was made or changed, and where it is. */
static void accepted(struct api_request *r, const char *schema, uint64_t id)
{
	char url[64];
	snprintf(url, sizeof url, "/v1/rollouts/%llu", (unsigned long long)id);
	r->reply = json_pack("{s:s,s:I,s:s}", "schema", schema, "id", (json_int_t)id, "url", url);
	if (r->dry_run) json_object_set_new(r->reply, "dry_run", json_true());
	r->status = r->dry_run ? 200 : 202;
}

enum hg_rc api_post_deploy(struct api_request *r, struct hg_err *err)
{
	struct spec_pair pairs[ENV_MAX];
	struct rollouts_deploy d = {.app = r->param[0], .who = hg_str(r->who)};
	struct rollouts *room;
	struct hg_buf text;
	uint64_t id = 0;
	uint32_t desired;
	api_target_set(r, r->param[0]);
	enum hg_rc rc = room_find(r, &room, err);
	if (rc == HG_OK) rc = deploy_read(r->body, pairs, &d, err);
	if (rc == HG_OK) r->details = deploy_details(&d);
	if (rc == HG_OK) rc = api_app_find(r, &desired, err);
	if (rc < 0) return rc;
	if (!r->dry_run) {
		rc = rollouts_deploy(room, &d, &id, err);
		if (rc == HG_OK) accepted(r, "headgate.deploy/1", id);
		return rc;
	}
	hg_buf_init(&text, DOCUMENT_MAX);
	rc = rollouts_plan_json(room, &d, &text, err);
	return document_answer(r, rc, &text);
}

enum hg_rc api_post_rollback(struct api_request *r, struct hg_err *err)
{
	struct rollouts *room;
	uint64_t id = 0;
	uint32_t desired;
	api_target_set(r, r->param[0]);
	enum hg_rc rc = room_find(r, &room, err);
	if (rc == HG_OK) rc = api_members_known(r->body, "to dry_run", err);
	json_t *to = json_object_get(r->body, "to");
	if (rc == HG_OK && to &&
	        (!json_is_integer(to) || json_integer_value(to) < 1 ||
	                json_integer_value(to) > UINT32_MAX))
		rc = hg_err_set(err, HG_E_API_BODY, "\"to\" is the number of a release, from 1 on");
	if (rc == HG_OK && to) r->details = json_pack("{s:O}", "to", to);
	if (rc == HG_OK) rc = api_app_find(r, &desired, err);
	if (rc == HG_OK && !r->dry_run)
		rc = rollouts_rollback(room, r->param[0], (uint32_t)json_integer_value(to),
		        hg_str(r->who), &id, err);
	if (rc < 0) return rc;
	if (!r->dry_run) {
		accepted(r, "headgate.deploy/1", id);
		return HG_OK;
	}
	r->reply = json_pack("{s:s,s:o,s:I,s:b}", "schema", "headgate.rollback/1", "app",
	        api_json_str(r->param[0]), "to", (json_int_t)json_integer_value(to), "dry_run", 1);
	return HG_OK;
}

/* ---- steering ---- */

static enum hg_rc steer(
        struct api_request *r, enum rollouts_verb verb, const char *known, struct hg_err *err)
{
	struct rollouts *room;
	uint64_t id = 0, after = 0;
	api_target_set(r, r->param[0]);
	enum hg_rc rc = room_find(r, &room, err);
	if (rc == HG_OK) rc = api_members_known(r->body, known, err);
	if (rc == HG_OK) rc = id_read(r, &id, err);
	if (rc < 0) return rc;
	if (r->dry_run) { /* it must exist; whether its state allows it is known when it is done */
		struct hg_buf text;
		hg_buf_init(&text, DOCUMENT_MAX);
		rc = rollouts_show_json(room, id, &text, err);
		hg_buf_free(&text);
		after = id;
	} else {
		rc = rollouts_do(room, id, verb, hg_str(r->who), &after, err);
	}
	if (rc == HG_OK) accepted(r, "headgate.steer/1", after);
	return rc;
}

enum hg_rc api_post_promote(struct api_request *r, struct hg_err *err)
{
	const json_t *full = json_object_get(r->body, "full");
	if (full && !json_is_boolean(full))
		return hg_err_set(err, HG_E_API_BODY, "\"full\" is true or false");
	if (json_is_true(full)) r->details = json_pack("{s:b}", "full", 1);
	return steer(r, json_is_true(full) ? ROLLOUTS_PROMOTE_FULL : ROLLOUTS_PROMOTE,
	        "full dry_run", err);
}

enum hg_rc api_post_pause(struct api_request *r, struct hg_err *err)
{
	return steer(r, ROLLOUTS_PAUSE, "dry_run", err);
}

enum hg_rc api_post_resume(struct api_request *r, struct hg_err *err)
{
	return steer(r, ROLLOUTS_RESUME, "dry_run", err);
}

enum hg_rc api_post_abort(struct api_request *r, struct hg_err *err)
{
	return steer(r, ROLLOUTS_ABORT, "dry_run", err);
}

enum hg_rc api_post_retry(struct api_request *r, struct hg_err *err)
{
	return steer(r, ROLLOUTS_RETRY, "dry_run", err);
}
