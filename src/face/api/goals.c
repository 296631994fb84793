/*
 * Objectives and incidents over HTTP: bodies are checked here, documents are the rooms' own and are
 * passed on as they are.
 */
#include "api_priv.h"
#include "control/incident/incident.h"
#include "control/slo/slo.h"

#include <stdio.h>

#define LIST_DEFAULT 100
#define LIST_MAX     1000
#define DOCUMENT_MAX (16u << 20)

static enum hg_rc away(const char *what, struct hg_err *err)
{
	hg_err_set(err, HG_E_AGAIN, "%s are not available: control has not started them", what);
	hg_err_hint(err, "Try again in a moment; headgate logs control shows the reason.");
	return HG_E_AGAIN;
}

/* Answers with a document of the room, or frees it and passes the failure on. */
static enum hg_rc answer(
        struct api_request *r, enum hg_rc rc, const char *type, struct hg_buf *text)
{
	if (rc == HG_OK && text->failed) rc = HG_E_TOO_LARGE;
	if (rc == HG_OK) {
		if (text->n && text->p[text->n - 1] != '\n') hg_buf_byte(text, '\n');
		api_text(r, 200, type, hg_buf_view(text));
	}
	hg_buf_free(text);
	return rc;
}

enum hg_rc api_get_slo(struct api_request *r, struct hg_err *err)
{
	struct hg_buf text;
	char app[256] = "";
	if (!r->api->d.slo) return away("objectives", err);
	if (!serve_query(r->req->query, "app", app, sizeof app)) app[0] = 0;
	hg_buf_init(&text, DOCUMENT_MAX);
	enum hg_rc rc = slo_json(r->api->d.slo, hg_str(app), &text, err);
	return answer(r, rc, "application/json", &text);
}

/* ---- incidents ---- */

static enum hg_rc id_read(const struct api_request *r, uint64_t *ret_id, struct hg_err *err)
{
	if (!r->api->d.incidents) return away("incidents", err);
	if (hg_str_u64(r->param[0], ret_id) && *ret_id > 0 && *ret_id <= INT64_MAX) return HG_OK;
	hg_err_set(err, HG_E_NOT_FOUND, "there is no incident \"%.*s\"",
	        (int)HG_MIN(r->param[0].n, 32), r->param[0].p);
	hg_err_hint(err, "An incident has a number; headgate incidents list shows them.");
	return HG_E_NOT_FOUND;
}

enum hg_rc api_get_incidents(struct api_request *r, struct hg_err *err)
{
	struct hg_buf text;
	char open[8] = "";
	uint64_t limit = LIST_DEFAULT;
	if (!r->api->d.incidents) return away("incidents", err);
	enum hg_rc rc = api_query_u64(r, "limit", LIST_MAX, &limit, err);
	if (rc < 0) return rc;
	bool given = serve_query(r->req->query, "open", open, sizeof open);
	if (given && strcmp(open, "true") != 0 && strcmp(open, "false") != 0)
		return hg_err_set(err, HG_E_API_BODY, "\"open\" is true or false");
	hg_buf_init(&text, DOCUMENT_MAX);
	rc = incidents_list_json(r->api->d.incidents, given && strcmp(open, "true") == 0,
	        (uint32_t)limit, &text, err);
	return answer(r, rc, "application/json", &text);
}

enum hg_rc api_get_incident(struct api_request *r, struct hg_err *err)
{
	struct hg_buf text;
	uint64_t id = 0;
	enum hg_rc rc = id_read(r, &id, err);
	if (rc < 0) return rc;
	hg_buf_init(&text, DOCUMENT_MAX);
	rc = incidents_show_json(r->api->d.incidents, id, &text, err);
	return answer(r, rc, "application/json", &text);
}

enum hg_rc api_get_incident_report(struct api_request *r, struct hg_err *err)
{
	struct hg_buf text;
	uint64_t id = 0;
	enum hg_rc rc = id_read(r, &id, err);
	if (rc < 0) return rc;
	hg_buf_init(&text, DOCUMENT_MAX);
	rc = incidents_report(r->api->d.incidents, id, &text, err);
	return answer(r, rc, "text/markdown; charset=utf-8", &text);
}

/* A line that is shown on terminals and written into documents. */
static enum hg_rc line_read(const json_t *body, const char *name, bool required,
        struct hg_str *ret_s, struct hg_err *err)
{
	const json_t *v = json_object_get(body, name);
	*ret_s = (struct hg_str){0};
	if (!v && !required) return HG_OK;
	if (!json_is_string(v) || json_string_length(v) == 0 ||
	        json_string_length(v) > INCIDENT_TEXT_MAX)
		return hg_err_set(err, HG_E_API_BODY, "\"%s\" is a text of 1 to %u bytes", name,
		        INCIDENT_TEXT_MAX);
	*ret_s = (struct hg_str){json_string_value(v), json_string_length(v)};
	for (size_t i = 0; i < ret_s->n; i++)
		if ((unsigned char)ret_s->p[i] < ' ' || ret_s->p[i] == 0x7f)
			return hg_err_set(err, HG_E_API_BODY,
			        "\"%s\" has a control character at byte %zu", name, i + 1);
	return HG_OK;
}

static enum hg_rc incident_do_verb(
        struct api_request *r, enum incident_verb verb, const char *known, struct hg_err *err)
{
	struct hg_str note = {0}, to = {0};
	uint64_t id = 0;
	api_target_set(r, r->param[0]);
	enum hg_rc rc = api_members_known(r->body, known, err);
	if (rc == HG_OK) rc = line_read(r->body, "note", false, &note, err);
	if (rc == HG_OK && verb == INCIDENT_ASSIGN) rc = line_read(r->body, "to", true, &to, err);
	if (rc == HG_OK) rc = id_read(r, &id, err);
	if (rc < 0) return rc;
	r->details = json_object();
	if (note.n) json_object_set_new(r->details, "note", api_json_str(note));
	if (to.n) json_object_set_new(r->details, "to", api_json_str(to));
	if (r->dry_run) {
		/* It must exist; whether its state allows it is known when it is done. */
		struct hg_buf text;
		hg_buf_init(&text, DOCUMENT_MAX);
		rc = incidents_show_json(r->api->d.incidents, id, &text, err);
		hg_buf_free(&text);
	} else {
		rc = incidents_do(r->api->d.incidents, id, verb, hg_str(r->who), to, note, err);
	}
	if (rc < 0) return rc;
	r->reply = json_pack("{s:s,s:I,s:b}", "schema", "headgate.incident_done/1", "id",
	        (json_int_t)id, "dry_run", r->dry_run);
	return HG_OK;
}

enum hg_rc api_post_incident_ack(struct api_request *r, struct hg_err *err)
{
	return incident_do_verb(r, INCIDENT_ACK, "note dry_run", err);
}

enum hg_rc api_post_incident_assign(struct api_request *r, struct hg_err *err)
{
	return incident_do_verb(r, INCIDENT_ASSIGN, "to note dry_run", err);
}

enum hg_rc api_post_incident_resolve(struct api_request *r, struct hg_err *err)
{
	return incident_do_verb(r, INCIDENT_RESOLVE, "note dry_run", err);
}
