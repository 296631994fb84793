/* Alertmanager's API, version 2, so that amtool and whoever sends alerts to it work here; and
 * tests of receivers. Unlike the API of Headgate itself, bodies may be arrays. */
#include "api_priv.h"
#include "control/notify/notify.h"
#include "os/clock.h"
#include "wire/date.h"
#include "wire/re.h"

#include <stdio.h>
#include <stdlib.h>

#define MATCHERS_MAX 64u

static enum hg_rc there(const struct api_request *r, struct notify **ret, struct hg_err *err)
{
	*ret = r->api->d.notify;
	if (*ret) return HG_OK;
	(void)hg_err_set(err, HG_E_AGAIN, "alerts are not up yet");
	return HG_E_AGAIN;
}

static json_t *time_json(uint64_t ms)
{
	char text[DATE_RFC3339_SIZE];
	date_rfc3339(ms, text);
	return json_string(text);
}

static json_t *labels_json(struct labels ls)
{
	json_t *o = json_object();
	for (uint32_t i = 0; i < ls.n; i++)
		(void)json_object_setn_new(
		        o, ls.at[i].name.p, ls.at[i].name.n, api_json_str(ls.at[i].value));
	return o;
}

static struct hg_str text_of(const json_t *j)
{
	const char *p = json_string_value(j);
	return (struct hg_str){p ? p : "", p ? json_string_length(j) : 0};
}

/* ---- filters: "filter=a%3D%22b%22&filter=…" ---- */

struct filters {
	struct label_matcher at[MATCHERS_MAX];
	uint32_t n;
	struct re *receiver; /* "receiver=…", of the whole name; NULL: any */
	struct hg_arena mem;
};

static char unhex(char c)
{
	return c >= '0' && c <= '9' ? (char)(c - '0') : (char)((c | 0x20) - 'a' + 10);
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static struct hg_str decoded(struct hg_str s, struct hg_arena *mem)
{
	char *to = hg_arena_take(mem, s.n + 1);
	size_t n = 0;
	for (size_t i = 0; to && i < s.n; i++) {
		bool escape =
		        s.p[i] == '%' && i + 2 < s.n && is_hex(s.p[i + 1]) && is_hex(s.p[i + 2]);
		to[n++] = escape          ? (char)(unhex(s.p[i + 1]) << 4 | unhex(s.p[i + 2]))
		          : s.p[i] == '+' ? ' '
		                          : s.p[i];
		if (escape) i += 2;
	}
	return (struct hg_str){to, n};
}

static void filters_free(struct filters *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		notify_matcher_free(&f->at[i]);
	re_free(f->receiver);
	hg_arena_fini(&f->mem);
}

static enum hg_rc filter_read(
        struct filters *f, struct hg_str name, struct hg_str text, struct hg_err *why)
{
	if (hg_str_eq(name, HG_STR("receiver")))
		return f->receiver ? HG_E_INVALID : re_compile(text, RE_LABEL, &f->receiver, why);
	if (f->n == MATCHERS_MAX) return HG_E_INVALID;
	enum hg_rc rc = notify_matcher_make(text, &f->mem, &f->at[f->n], why);
	if (rc == HG_OK) f->n++;
	return rc;
}

static enum hg_rc filters_read(const struct api_request *r, struct filters *f, struct hg_err *err)
{
	struct hg_str rest = r->req->query;
	struct hg_err why = {0};
	*f = (struct filters){0};
	hg_arena_init(&f->mem, "filters", 1 << 20);
	while (rest.n) {
		struct hg_str value = hg_str_cut(&rest, '&'), name = hg_str_cut(&value, '=');
		bool ours =
		        hg_str_eq(name, HG_STR("filter")) || hg_str_eq(name, HG_STR("receiver"));
		if (!ours || !value.n) continue;
		struct hg_str text = decoded(value, &f->mem);
		enum hg_rc rc = text.p ? filter_read(f, name, text, &why) : HG_E_INVALID;
		if (rc == HG_OK) continue;
		filters_free(f);
		return hg_err_set(err, HG_E_API_BODY, "%.*s: %.200s", HG_STR_ARG(name),
		        why.message[0] ? why.message : "there are too many");
	}
	return HG_OK;
}

static bool receiver_wanted(const struct filters *f, const struct notify_conf *c, uint32_t receiver)
{
	return !f->receiver || re_match(f->receiver, c->receivers[receiver].name);
}

static bool any_receiver_wanted(
        const struct filters *f, const struct notify_conf *c, struct labels ls)
{
	uint32_t routes[64], n = c && f->receiver ? notify_route_match(c, ls, routes, 64) : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct notify_route *r = &c->routes[routes[i]];
		for (uint32_t k = 0; k < r->receiver_count; k++)
			if (receiver_wanted(f, c, r->receivers[k])) return true;
	}
	return !f->receiver;
}

/* "active=false": what is not wanted. */
static bool wanted(const struct api_request *r, const char *name)
{
	char text[16];
	return !serve_query(r->req->query, name, text, sizeof text) || strcmp(text, "false") != 0;
}

/* ---- alerts ---- */

static json_t *receivers_of(const struct notify_conf *c, struct labels ls)
{
	uint32_t routes[64], n = c ? notify_route_match(c, ls, routes, 64) : 0;
	json_t *list = json_array();
	for (uint32_t i = 0; i < n; i++) {
		const struct notify_route *r = &c->routes[routes[i]];
		for (uint32_t k = 0; k < r->receiver_count; k++)
			json_array_append_new(
			        list, json_pack("{s:o}", "name",
			                      api_json_str(c->receivers[r->receivers[k]].name)));
	}
	return list;
}

/* NULL: it is not wanted. */
static json_t *alert_json(
        const struct api_request *r, struct notify *n, const struct notify_alert *a, uint64_t now)
{
	struct notify_state *s = notify_view(n);
	json_t *silenced = json_array(), *inhibited = json_array();
	const struct notify_silence *q;
	char print[17];
	uint32_t at = 0;
	while ((q = notify_silenced_by(s, a->labels, now, &at)))
		json_array_append_new(silenced, json_string(q->id));
	const struct notify_alert *by = notify_inhibited_by(s, a->labels, now);
	snprintf(print, sizeof print, "%016llx", (unsigned long long)(by ? by->fingerprint : 0));
	if (by) json_array_append_new(inhibited, json_string(print));
	bool kept = json_array_size(silenced) || by;
	bool show = kept ? (!json_array_size(silenced) || wanted(r, "silenced")) &&
	                            (!by || wanted(r, "inhibited"))
	                 : wanted(r, "active");
	snprintf(print, sizeof print, "%016llx", (unsigned long long)a->fingerprint);
	json_t *o = json_pack("{s:o,s:o,s:o,s:o,s:o,s:s,s:o,s:o,s:{s:o,s:o,s:s}}", "labels",
	        labels_json(a->labels), "annotations", labels_json(a->annotations), "startsAt",
	        time_json(a->starts_ms), "endsAt", time_json(a->ends_ms), "updatedAt",
	        time_json(a->updated_ms), "fingerprint", print, "generatorURL",
	        api_json_str(a->generator), "receivers",
	        receivers_of(notify_conf_now(n), a->labels), "status", "inhibitedBy", inhibited,
	        "silencedBy", silenced, "state", kept ? "suppressed" : "active");
	if (show) return o;
	json_decref(o);
	return NULL;
}

enum hg_rc api_get_am_alerts(struct api_request *r, struct hg_err *err)
{
	struct notify *n = NULL;
	struct filters f = {0};
	uint64_t now = clock_wall_ms();
	enum hg_rc rc = there(r, &n, err);
	if (rc == HG_OK) rc = filters_read(r, &f, err);
	if (rc < 0) return rc;
	r->reply = json_array();
	for (uint32_t i = 0; i < notify_alert_count(notify_view(n)); i++) {
		const struct notify_alert *a = notify_alert_at(notify_view(n), i);
		if (notify_alert_resolved(a, now)) continue;
		if (!label_matchers_match(f.at, f.n, a->labels)) continue;
		if (!any_receiver_wanted(&f, notify_conf_now(n), a->labels)) continue;
		json_t *o = alert_json(r, n, a, now);
		if (o) json_array_append_new(r->reply, o);
	}
	filters_free(&f);
	return HG_OK;
}

static enum hg_rc labels_read(json_t *o, const char *what, struct labels_builder *b,
        struct labels *ret, struct hg_err *err)
{
	const char *name;
	json_t *value;
	if (o && !json_is_object(o))
		return hg_err_set(err, HG_E_ALERT_BODY, "\"%s\" of an alert is an object", what);
	json_object_foreach(o, name, value)
	{
		if (!json_is_string(value) || !*name)
			return hg_err_set(err, HG_E_ALERT_BODY,
			        "\"%s\" of an alert holds names and texts", what);
		labels_builder_add(b, hg_str(name), text_of(value));
	}
	if (labels_builder_done(b, ret) == HG_OK) return HG_OK;
	return hg_err_set(err, HG_E_ALERT_BODY, "\"%s\" of an alert is too large", what);
}

static enum hg_rc time_read(const json_t *o, const char *name, uint64_t *ret, struct hg_err *err)
{
	struct hg_str s = text_of(json_object_get(o, name));
	*ret = 0;
	/* Go's zero time is "not said". */
	if (!s.n || hg_str_starts(s, HG_STR("0001-01-01T"))) return HG_OK;
	if (date_rfc3339_parse(s, ret)) return HG_OK;
	return hg_err_set(err, HG_E_ALERT_BODY, "\"%s\" is no time of RFC 3339: \"%.*s\"", name,
	        (int)HG_MIN(s.n, 60), s.p);
}

static enum hg_rc put_one(struct notify *n, json_t *o, struct hg_err *err)
{
	struct labels_builder labels, annotations;
	struct notify_input in = {0};
	if (!json_is_object(o)) return hg_err_set(err, HG_E_ALERT_BODY, "an alert is an object");
	labels_builder_init(&labels);
	labels_builder_init(&annotations);
	enum hg_rc rc =
	        labels_read(json_object_get(o, "labels"), "labels", &labels, &in.labels, err);
	if (rc == HG_OK)
		rc = labels_read(json_object_get(o, "annotations"), "annotations", &annotations,
		        &in.annotations, err);
	if (rc == HG_OK) rc = time_read(o, "startsAt", &in.starts_ms, err);
	if (rc == HG_OK) rc = time_read(o, "endsAt", &in.ends_ms, err);
	in.generator = text_of(json_object_get(o, "generatorURL"));
	if (rc == HG_OK) rc = notify_put(notify_view(n), &in, clock_wall_ms(), NULL, err);
	labels_builder_fini(&labels);
	labels_builder_fini(&annotations);
	return rc;
}

enum hg_rc api_post_am_alerts(struct api_request *r, struct hg_err *err)
{
	struct notify *n = NULL;
	json_error_t je;
	enum hg_rc rc = there(r, &n, err);
	if (rc < 0) return rc;
	json_t *list = json_loadb(
	        r->req->body.p ? r->req->body.p : "", r->req->body.n, JSON_REJECT_DUPLICATES, &je);
	if (!json_is_array(list)) {
		json_decref(list);
		return hg_err_set(err, HG_E_ALERT_BODY, "the body is no JSON array of alerts");
	}
	/* All that are good are taken, as Alertmanager does. */
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct hg_err why = {0};
		enum hg_rc one = put_one(n, json_array_get(list, i), &why);
		if (one == HG_OK || rc < 0) continue;
		rc = one;
		*err = why;
		hg_err_detail(err, "alert %zu of the array", i + 1);
	}
	json_decref(list);
	struct hg_err kept = {0};
	if (notify_changed(n, &kept) < 0 && rc == HG_OK) {
		rc = kept.rc;
		*err = kept;
	}
	if (rc == HG_OK) r->reply = json_object();
	return rc;
}

static json_t *group_json(const struct api_request *r, struct notify *n,
        const struct notify_group *g, uint32_t receiver, const struct filters *f, uint64_t now)
{
	const struct notify_conf *c = notify_conf_now(n);
	json_t *alerts = json_array();
	for (uint32_t i = 0; i < g->alert_count; i++) {
		if (!label_matchers_match(f->at, f->n, g->alerts[i]->labels)) continue;
		if (notify_alert_resolved(g->alerts[i], now)) continue;
		json_t *o = alert_json(r, n, g->alerts[i], now);
		if (o) json_array_append_new(alerts, o);
	}
	if (!json_array_size(alerts)) {
		json_decref(alerts);
		return NULL;
	}
	/* Beyond Alertmanager's: when it is looked at next, and what came of the last attempt. */
	const struct notify_entry *failed = NULL;
	enum notify_why why = notify_group_why(notify_view(n), g, receiver, &failed);
	json_t *o = json_pack("{s:o,s:{s:o},s:o,s:o,s:s}", "labels", labels_json(g->labels),
	        "receiver", "name", api_json_str(c->receivers[receiver].name), "alerts", alerts,
	        "nextFlush", time_json(g->next_ms), "last", notify_why_text(why));
	if (failed) {
		json_object_set_new(o, "lastError", api_json_str(hg_str(failed->error)));
		json_object_set_new(o, "lastChannel", api_json_str(failed->channel));
		json_object_set_new(o, "attempts", json_integer(failed->attempts));
		json_object_set_new(o, "failingSince", time_json(failed->try_ms));
		uint64_t again_ms = notify_again_ms(notify_view(n), g, failed);
		json_object_set_new(o, "nextAttempt", again_ms ? time_json(again_ms) : json_null());
	}
	return o;
}

enum hg_rc api_get_am_groups(struct api_request *r, struct hg_err *err)
{
	struct notify *n = NULL;
	struct filters f = {0};
	uint64_t now = clock_wall_ms();
	enum hg_rc rc = there(r, &n, err);
	if (rc == HG_OK) rc = filters_read(r, &f, err);
	if (rc < 0) return rc;
	const struct notify_conf *c = notify_conf_now(n);
	r->reply = json_array();
	for (uint32_t i = 0; c && i < notify_group_count(notify_view(n)); i++) {
		const struct notify_group *g = notify_group_at(notify_view(n), i);
		const struct notify_route *route = &c->routes[g->route];
		for (uint32_t k = 0; k < route->receiver_count; k++) {
			if (!receiver_wanted(&f, c, route->receivers[k])) continue;
			json_t *o = group_json(r, n, g, route->receivers[k], &f, now);
			if (o) json_array_append_new(r->reply, o);
		}
	}
	filters_free(&f);
	return HG_OK;
}

/* ---- silences ---- */

static json_t *silence_json(const struct notify_silence *s, uint64_t now)
{
	static const char *const states[] = {"pending", "active", "expired"};
	json_t *list = json_array();
	for (uint32_t i = 0; i < s->matcher_count; i++) {
		const struct label_matcher *m = &s->matchers[i];
		json_array_append_new(
		        list, json_pack("{s:o,s:o,s:b,s:b}", "name", api_json_str(m->name), "value",
		                      api_json_str(m->value), "isRegex",
		                      m->op == LABEL_RE || m->op == LABEL_NRE, "isEqual",
		                      m->op == LABEL_EQ || m->op == LABEL_RE));
	}
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:{s:s}}", "id", s->id, "matchers", list,
	        "startsAt", time_json(s->starts_ms), "endsAt", time_json(s->ends_ms), "updatedAt",
	        time_json(s->updated_ms), "createdBy", api_json_str(s->created_by), "comment",
	        api_json_str(s->comment), "status", "state", states[notify_silence_state(s, now)]);
}

/* Alertmanager's: each filter is one of the silence's matchers. */
static bool silence_wanted(const struct notify_silence *s, const struct filters *f)
{
	for (uint32_t i = 0; i < f->n; i++) {
		bool found = false;
		for (uint32_t k = 0; k < s->matcher_count && !found; k++)
			found = s->matchers[k].op == f->at[i].op &&
			        hg_str_eq(s->matchers[k].name, f->at[i].name) &&
			        hg_str_eq(s->matchers[k].value, f->at[i].value);
		if (!found) return false;
	}
	return true;
}

enum hg_rc api_get_am_silences(struct api_request *r, struct hg_err *err)
{
	struct notify *n = NULL;
	struct filters f = {0};
	enum hg_rc rc = there(r, &n, err);
	if (rc == HG_OK) rc = filters_read(r, &f, err);
	if (rc < 0) return rc;
	r->reply = json_array();
	for (uint32_t i = 0; i < notify_silence_count(notify_view(n)); i++) {
		const struct notify_silence *s = notify_silence_at(notify_view(n), i);
		if (silence_wanted(s, &f))
			json_array_append_new(r->reply, silence_json(s, clock_wall_ms()));
	}
	filters_free(&f);
	return HG_OK;
}

static enum hg_rc matchers_read(json_t *list, struct notify_silence *s, struct hg_err *err)
{
	if (!json_is_array(list) || json_array_size(list) > MATCHERS_MAX)
		return hg_err_set(err, HG_E_ALERT_BODY, "\"matchers\" of a silence is an array");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i), *equal = json_object_get(o, "isEqual");
		bool regex = json_is_true(json_object_get(o, "isRegex"));
		bool is = !equal || !json_is_false(equal);
		s->matchers[s->matcher_count++] =
		        (struct label_matcher){.op = regex ? is ? LABEL_RE : LABEL_NRE
		                                     : is  ? LABEL_EQ
		                                           : LABEL_NE,
		                .name = text_of(json_object_get(o, "name")),
		                .value = text_of(json_object_get(o, "value"))};
	}
	return HG_OK;
}

enum hg_rc api_post_am_silences(struct api_request *r, struct hg_err *err)
{
	struct notify *n = NULL;
	struct label_matcher matchers[MATCHERS_MAX];
	struct notify_silence in = {.matchers = matchers};
	const struct notify_silence *made = NULL;
	uint64_t now = clock_wall_ms();
	enum hg_rc rc = there(r, &n, err);
	if (rc == HG_OK) rc = matchers_read(json_object_get(r->body, "matchers"), &in, err);
	if (rc == HG_OK) rc = time_read(r->body, "startsAt", &in.starts_ms, err);
	if (rc == HG_OK) rc = time_read(r->body, "endsAt", &in.ends_ms, err);
	if (rc < 0) return rc;
	if (!in.starts_ms) in.starts_ms = now;
	in.created_by = text_of(json_object_get(r->body, "createdBy"));
	in.comment = text_of(json_object_get(r->body, "comment"));
	if (!hg_str_copy(text_of(json_object_get(r->body, "id")), in.id, sizeof in.id))
		return hg_err_set(err, HG_E_NOT_FOUND, "there is no such silence");
	rc = notify_silence_set(notify_view(n), &in, now, &made, err);
	if (rc < 0) return rc;
	api_target_set(r, hg_str(made->id));
	r->reply = json_pack("{s:s}", "silenceID", made->id);
	return notify_changed(n, err);
}

enum hg_rc api_get_am_silence(struct api_request *r, struct hg_err *err)
{
	struct notify *n = NULL;
	enum hg_rc rc = there(r, &n, err);
	if (rc < 0) return rc;
	const struct notify_silence *s = notify_silence_find(notify_view(n), r->param[0]);
	if (!s) return hg_err_set(err, HG_E_NOT_FOUND, "there is no such silence");
	r->reply = silence_json(s, clock_wall_ms());
	return HG_OK;
}

enum hg_rc api_delete_am_silence(struct api_request *r, struct hg_err *err)
{
	struct notify *n = NULL;
	enum hg_rc rc = there(r, &n, err);
	if (rc < 0) return rc;
	api_target_set(r, r->param[0]);
	rc = notify_silence_expire(notify_view(n), r->param[0], clock_wall_ms(), NULL, err);
	if (rc < 0) return rc;
	r->reply = json_object();
	return notify_changed(n, err);
}

/* ---- the rest ---- */

enum hg_rc api_get_am_receivers(struct api_request *r, struct hg_err *err)
{
	struct notify *n = NULL;
	enum hg_rc rc = there(r, &n, err);
	if (rc < 0) return rc;
	const struct notify_conf *c = notify_conf_now(n);
	r->reply = json_array();
	for (uint32_t i = 0; c && i < c->receiver_count; i++)
		json_array_append_new(
		        r->reply, json_pack("{s:o}", "name", api_json_str(c->receivers[i].name)));
	return HG_OK;
}

enum hg_rc api_get_am_status(struct api_request *r, struct hg_err *err)
{
	(void)err;
	r->reply = json_pack("{s:{s:s,s:[]},s:{s:s,s:s,s:s,s:s,s:s,s:s},s:{s:s},s:o}", "cluster",
	        "status", "disabled", "peers", "versionInfo", "branch", "", "buildDate", "",
	        "buildUser", "", "goVersion", "", "revision", "", "version", "headgate " HG_VERSION,
	        "config", "original", "# see headgate config show\n", "uptime",
	        time_json(r->api->started_ms));
	return HG_OK;
}

/* ---- a test of a receiver: answered when all of its channels have been asked ---- */

struct trial {
	struct hg_list node;
	struct api_request r;
	json_t *channels;
	bool gone, answered, waits;
	bool good;
};

static void trial_answer(struct trial *t)
{
	struct hg_err err = {0};
	if (t->good) {
		json_t *o = json_pack("{s:O}", "channels", t->channels);
		char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
		api_text(&t->r, 200, "application/json", hg_str(text ? text : "{}"));
		free(text);
		json_decref(o);
	} else {
		char *text = json_dumps(t->channels, JSON_COMPACT);
		hg_err_set(&err, HG_E_ALERT_RECEIVER, "not every channel took the message");
		hg_err_detail(&err, "%.600s", text ? text : "");
		free(text);
		api_problem(&t->r, &err);
	}
}

static void on_told(void *arg, struct hg_str channel, bool delivered, const char *why, bool last)
{
	struct trial *t = arg;
	json_array_append_new(
	        t->channels, json_pack("{s:o,s:b,s:s}", "channel", api_json_str(channel),
	                             "delivered", delivered, "answer", why));
	if (!delivered) t->good = false;
	if (!last) return;
	t->answered = true;
	if (!t->waits) return; /* it is not yet waited for: the handler answers */
	if (!t->gone) trial_answer(t);
	json_decref(t->channels);
	free(t);
}

static void on_trial_gone(void *arg)
{
	struct trial *t = arg;
	t->gone = true; /* its end frees it */
}

enum hg_rc api_post_receiver_test(struct api_request *r, struct hg_err *err)
{
	struct notify *n = NULL;
	uint32_t count;
	enum hg_rc rc = there(r, &n, err);
	if (rc < 0) return rc;
	struct trial *t = calloc(1, sizeof *t);
	if (!t) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	t->channels = json_array();
	t->good = true;
	api_target_set(r, r->param[0]);
	rc = notify_test(n, r->param[0], on_told, t, &count, err);
	if (rc < 0) {
		json_decref(t->channels);
		free(t);
		return rc;
	}
	t->r = *r;
	r->answered = true; /* now, or when the last channel has been heard */
	if (t->answered) {
		trial_answer(t);
		json_decref(t->channels);
		free(t);
		return HG_OK;
	}
	t->waits = true;
	serve_later(r->call, on_trial_gone, t);
	return HG_OK;
}
