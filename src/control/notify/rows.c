/* Alerts, silences and the log in the store: one JSON row each. */
#include "control/notify/notify_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- to JSON ---- */

static json_t *labels_json(struct labels ls)
{
	json_t *o = json_object();
	for (uint32_t i = 0; i < ls.n; i++)
		(void)json_object_setn_new(o, ls.at[i].name.p, ls.at[i].name.n,
		        json_stringn(ls.at[i].value.p ? ls.at[i].value.p : "", ls.at[i].value.n));
	return o;
}

static json_t *prints_json(const uint64_t *at, uint32_t n)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < n; i++)
		(void)json_array_append_new(list, json_integer((json_int_t)at[i]));
	return list;
}

static json_t *alert_json(const struct notify_alert *a)
{
	return json_pack("{s:o,s:o,s:s%,s:I,s:I,s:I,s:b,s:b}", "labels", labels_json(a->labels),
	        "annotations", labels_json(a->annotations), "generator",
	        a->generator.p ? a->generator.p : "", a->generator.n, "starts",
	        (json_int_t)a->starts_ms, "ends", (json_int_t)a->ends_ms, "updated",
	        (json_int_t)a->updated_ms, "timeout", a->timeout, "rule", a->rule);
}

static json_t *entry_json(const struct notify_entry *e)
{
	return json_pack("{s:s%,s:s%,s:I,s:I,s:o,s:o,s:s,s:I,s:o,s:o,s:i,s:s}", "group", e->group.p,
	        e->group.n, "channel", e->channel.p, e->channel.n, "sent", (json_int_t)e->sent_ms,
	        "expires", (json_int_t)e->expires_ms, "firing",
	        prints_json(e->firing, e->firing_count), "resolved",
	        prints_json(e->resolved, e->resolved_count), "id", e->id, "try",
	        (json_int_t)e->try_ms, "try_firing",
	        prints_json(e->try_firing, e->try_firing_count), "try_resolved",
	        prints_json(e->try_resolved, e->try_resolved_count), "attempts", (int)e->attempts,
	        "error", e->error);
}

static json_t *silence_json(const struct notify_silence *s)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < s->matcher_count; i++) {
		const struct label_matcher *m = &s->matchers[i];
		(void)json_array_append_new(list, json_pack("[i,s%,s%]", (int)m->op, m->name.p,
		                                          m->name.n, m->value.p, m->value.n));
	}
	return json_pack("{s:o,s:I,s:I,s:I,s:s%,s:s%}", "matchers", list, "starts",
	        (json_int_t)s->starts_ms, "ends", (json_int_t)s->ends_ms, "updated",
	        (json_int_t)s->updated_ms, "by", s->created_by.p, s->created_by.n, "comment",
	        s->comment.p, s->comment.n);
}

struct writing {
	struct notify *n;
	struct hg_err *err;
};

static void print_key(uint64_t fingerprint, char to[static 17])
{
	snprintf(to, 17, "%016llx", (unsigned long long)fingerprint);
}

static enum hg_rc set(struct writing *w, enum store_notify kind, struct hg_str key, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	/* What is not UTF-8 cannot be kept; the API takes none. */
	enum hg_rc rc =
	        text ? store_notify_set(w->n->o.store, kind, key, hg_str(text), w->err) : HG_OK;
	free(text);
	json_decref(value);
	return rc;
}

static enum hg_rc write_one(void *arg, const struct notify_changed *c)
{
	struct writing *w = arg;
	char print[17];
	struct hg_buf key;
	enum hg_rc rc = HG_OK;
	switch (c->what) {
	case NOTIFY_ALERT_SET:
		print_key(c->alert->fingerprint, print);
		return set(w, STORE_ALERT, hg_str(print), alert_json(c->alert));
	case NOTIFY_ALERT_GONE:
		print_key(c->fingerprint, print);
		return store_notify_remove(w->n->o.store, STORE_ALERT, hg_str(print), w->err);
	case NOTIFY_SILENCE_SET:
		return set(w, STORE_SILENCE, hg_str(c->silence->id), silence_json(c->silence));
	case NOTIFY_SILENCE_GONE:
		return store_notify_remove(
		        w->n->o.store, STORE_SILENCE, hg_str(c->silence->id), w->err);
	case NOTIFY_ENTRY_SET:
	case NOTIFY_ENTRY_GONE: break;
	}
	hg_buf_init(&key, 1 << 20);
	hg_buf_str(&key, c->entry->channel);
	hg_buf_byte(&key, ' ');
	hg_buf_str(&key, c->entry->group);
	if (c->what == NOTIFY_ENTRY_SET)
		rc = set(w, STORE_TOLD, hg_buf_view(&key), entry_json(c->entry));
	else
		rc = store_notify_remove(w->n->o.store, STORE_TOLD, hg_buf_view(&key), w->err);
	hg_buf_free(&key);
	return rc;
}

enum hg_rc notify_rows_write(struct notify *n, struct hg_err *err)
{
	struct writing w = {n, err};
	enum hg_rc rc = store_begin(n->o.store, err);
	if (rc < 0) return rc;
	rc = notify_changes(n->state, write_one, &w);
	if (rc == HG_OK) rc = store_commit(n->o.store, err);
	if (rc < 0) store_rollback(n->o.store);
	return rc;
}

/* ---- from JSON ---- */

struct reading {
	struct notify *n;
	uint32_t bad;
	bool no_memory;
};

static struct hg_str text_of(const json_t *j)
{
	const char *p = json_string_value(j);
	return (struct hg_str){p ? p : "", p ? json_string_length(j) : 0};
}

static uint64_t number_of(const json_t *o, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(o, name));
}

static enum hg_rc labels_of(json_t *o, struct labels_builder *b, struct labels *ret)
{
	const char *name;
	json_t *value;
	json_object_foreach(o, name, value) labels_builder_add(b, hg_str(name), text_of(value));
	return labels_builder_done(b, ret);
}

static void read_alert(void *arg, struct hg_str key, struct hg_str value)
{
	struct reading *r = arg;
	(void)key;
	json_t *o = json_loadb(value.p, value.n, 0, NULL);
	struct labels_builder labels, annotations;
	struct notify_input in = {0};
	labels_builder_init(&labels);
	labels_builder_init(&annotations);
	enum hg_rc rc = labels_of(json_object_get(o, "labels"), &labels, &in.labels);
	if (rc == HG_OK)
		rc = labels_of(json_object_get(o, "annotations"), &annotations, &in.annotations);
	in.generator = text_of(json_object_get(o, "generator"));
	in.starts_ms = number_of(o, "starts");
	in.ends_ms = number_of(o, "ends");
	in.rule = json_is_true(json_object_get(o, "rule"));
	if (rc == HG_OK)
		rc = notify_restore(r->n->state, &in, number_of(o, "updated"),
		        json_is_true(json_object_get(o, "timeout")));
	if (rc < 0) r->bad++;
	labels_builder_fini(&labels);
	labels_builder_fini(&annotations);
	json_decref(o);
}

static bool prints_of(const json_t *list, uint64_t **ret, uint32_t *ret_n)
{
	size_t n = json_array_size(list);
	uint64_t *to = calloc(n + 1, sizeof *to);
	if (!to) return false;
	for (size_t i = 0; i < n; i++)
		to[i] = (uint64_t)json_integer_value(json_array_get(list, i));
	*ret = to;
	*ret_n = (uint32_t)n;
	return true;
}

static void read_entry(void *arg, struct hg_str key, struct hg_str value)
{
	struct reading *r = arg;
	(void)key;
	json_t *o = json_loadb(value.p, value.n, 0, NULL);
	struct notify_entry e = {.group = text_of(json_object_get(o, "group")),
	        .channel = text_of(json_object_get(o, "channel")),
	        .sent_ms = number_of(o, "sent"),
	        .expires_ms = number_of(o, "expires"),
	        .try_ms = number_of(o, "try"),
	        .attempts = (uint32_t)number_of(o, "attempts")};
	(void)hg_str_copy(text_of(json_object_get(o, "id")), e.id, sizeof e.id);
	(void)hg_str_copy(text_of(json_object_get(o, "error")), e.error, sizeof e.error);
	bool good =
	        prints_of(json_object_get(o, "firing"), &e.firing, &e.firing_count) &&
	        prints_of(json_object_get(o, "resolved"), &e.resolved, &e.resolved_count) &&
	        prints_of(json_object_get(o, "try_firing"), &e.try_firing, &e.try_firing_count) &&
	        prints_of(json_object_get(o, "try_resolved"), &e.try_resolved,
	                &e.try_resolved_count) &&
	        notify_log_restore(r->n->state, &e) == HG_OK;
	if (!good) r->no_memory = true;
	free(e.firing);
	free(e.resolved);
	free(e.try_firing);
	free(e.try_resolved);
	json_decref(o);
}

static void read_silence(void *arg, struct hg_str key, struct hg_str value)
{
	struct reading *r = arg;
	struct label_matcher m[64];
	struct hg_err err = {0};
	json_t *o = json_loadb(value.p, value.n, 0, NULL);
	const json_t *list = json_object_get(o, "matchers");
	struct notify_silence s = {.matchers = m,
	        .starts_ms = number_of(o, "starts"),
	        .ends_ms = number_of(o, "ends"),
	        .updated_ms = number_of(o, "updated"),
	        .created_by = text_of(json_object_get(o, "by")),
	        .comment = text_of(json_object_get(o, "comment"))};
	(void)hg_str_copy(key, s.id, sizeof s.id);
	for (size_t i = 0; i < HG_MIN(json_array_size(list), HG_COUNT(m)); i++) {
		const json_t *one = json_array_get(list, i);
		int op = (int)json_integer_value(json_array_get(one, 0));
		m[s.matcher_count++] = (struct label_matcher){
		        .op = op >= LABEL_EQ && op <= LABEL_NRE ? (enum label_match)op : LABEL_EQ,
		        .name = text_of(json_array_get(one, 1)),
		        .value = text_of(json_array_get(one, 2))};
	}
	if (notify_silence_restore(r->n->state, &s, &err) < 0) r->bad++;
	json_decref(o);
}

enum hg_rc notify_rows_read(struct notify *n, struct hg_err *err)
{
	struct reading r = {.n = n};
	enum hg_rc rc = store_notify_each(n->o.store, STORE_ALERT, read_alert, &r, err);
	if (rc == HG_OK) rc = store_notify_each(n->o.store, STORE_TOLD, read_entry, &r, err);
	if (rc == HG_OK) rc = store_notify_each(n->o.store, STORE_SILENCE, read_silence, &r, err);
	if (r.bad && n->o.log)
		hg_log(n->o.log, HG_WARN, "alert.rows_not_read", HG_I("rows", r.bad));
	if (rc == HG_OK && r.no_memory) rc = hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	return rc;
}
