/* The history of an app's releases, and what differs between two of them. */
#include "api_priv.h"

#define LIST_DEFAULT 100
#define LIST_MAX     1000

static json_t *id_or_null(uint64_t id)
{
	return id ? json_integer((json_int_t)id) : json_null();
}

/* The app's number in the store; *ret_serving 0: it serves none yet. */
static enum hg_rc app_find(
        struct api_request *r, uint32_t *ret_app, uint32_t *ret_serving, struct hg_err *err)
{
	struct fleet *f = r->api->d.fleet;
	struct fleet_want want = {0};
	uint32_t ignored;
	*ret_app = fleet_app_id(f, r->param[0]);
	if (!*ret_app) {
		enum hg_rc rc = api_app_find(r, &ignored, err);
		return rc < 0 ? rc : hg_err_set(err, HG_E_AGAIN, "the app has no release yet");
	}
	*ret_serving = fleet_want(f, r->param[0], &want) < 0 ? 0 : want.serving;
	return HG_OK;
}

struct listing {
	json_t *list;
	uint32_t serving;
};

static void on_past(void *arg, const struct store_past *p)
{
	struct listing *to = arg;
	json_array_append_new(to->list,
	        json_pack("{s:I,s:o,s:o,s:I,s:b,s:b,s:o,s:o}", "number", (json_int_t)p->number,
	                "version", api_json_str(p->version), "digest", api_json_str(p->digest),
	                "created_ms", (json_int_t)p->created_ms, "kept", p->kept, "serving",
	                p->number == to->serving, "quarantined_by", id_or_null(p->quarantined_by),
	                "rollout", id_or_null(p->rollout)));
}

enum hg_rc api_get_releases(struct api_request *r, struct hg_err *err)
{
	uint64_t before = 0, limit = LIST_DEFAULT;
	struct listing to = {0};
	uint32_t app = 0;
	enum hg_rc rc = api_query_u64(r, "before", UINT32_MAX, &before, err);
	if (rc == HG_OK) rc = api_query_u64(r, "limit", LIST_MAX, &limit, err);
	if (rc == HG_OK) rc = app_find(r, &app, &to.serving, err);
	if (rc < 0) return rc;
	to.list = json_array();
	rc = store_history(
	        r->api->d.store, app, (uint32_t)before, (uint32_t)limit, on_past, &to, err);
	r->reply = json_pack("{s:s,s:o,s:o,s:o}", "schema", "headgate.releases/1", "app",
	        api_json_str(r->param[0]), "serving", id_or_null(to.serving), "releases", to.list);
	return rc;
}

static void on_spec(void *arg, const struct store_release *row)
{
	*(json_t **)arg = json_loadb(row->spec.p, row->spec.n, JSON_REJECT_DUPLICATES, NULL);
}

/* What the release of the `i`-th parameter is made of; the caller frees it. */
static enum hg_rc spec_read(struct api_request *r, uint32_t app, unsigned i, uint32_t *ret_number,
        json_t **ret_spec, struct hg_err *err)
{
	uint64_t number = 0;
	enum hg_rc rc = HG_E_NOT_FOUND;
	if (hg_str_u64(r->param[i], &number) && number > 0 && number <= UINT32_MAX)
		rc = store_releases(r->api->d.store, app, (uint32_t)number, on_spec, ret_spec, err);
	if (rc == HG_E_NOT_FOUND)
		return hg_err_set(err, rc, "app \"%.*s\" has no release \"%.*s\"",
		        (int)HG_MIN(r->param[0].n, 64), r->param[0].p,
		        (int)HG_MIN(r->param[i].n, 20), r->param[i].p);
	if (rc < 0) return rc;
	*ret_number = (uint32_t)number;
	if (json_is_object(*ret_spec)) return HG_OK;
	return hg_err_set(err, HG_E_DB_CORRUPT, "what release %u is made of cannot be read",
	        (unsigned)number);
}

enum hg_rc api_get_release_diff(struct api_request *r, struct hg_err *err)
{
	json_t *was = NULL, *now = NULL, *lines = json_array();
	uint32_t app = 0, serving, old_number = 0, new_number = 0;
	enum hg_rc rc = app_find(r, &app, &serving, err);
	if (rc == HG_OK) rc = spec_read(r, app, 1, &old_number, &was, err);
	if (rc == HG_OK) rc = spec_read(r, app, 2, &new_number, &now, err);
	if (rc == HG_OK) {
		/* As the configuration that they were made from (GET /v1/config). */
		json_t *changes = api_release_diff(was, now, r->role == API_ADMIN, lines);
		r->reply = json_pack("{s:s,s:o,s:I,s:I,s:o,s:O}", "schema", "headgate.diff/1",
		        "app", api_json_str(r->param[0]), "old", (json_int_t)old_number, "new",
		        (json_int_t)new_number, "changes", changes, "lines", lines);
	}
	json_decref(was);
	json_decref(now);
	json_decref(lines);
	return rc;
}
