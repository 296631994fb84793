/* The store's half. */
#include "control/incident/incident_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void cut_copy(struct hg_str s, char *to, size_t cap)
{
	size_t n = HG_MIN(s.n, cap - 1);
	/* Not in the middle of a character. */
	while (n && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	if (n) memcpy(to, s.p, n);
	to[n] = 0;
}

static void read_row(const struct store_incident *r, struct incident *to)
{
	*to = (struct incident){.id = r->id,
	        .first_event = r->first_event,
	        .last_event = r->last_event,
	        .life = {.state = r->state < INCIDENT_STATES ? (enum incident_state)r->state
	                                                     : INCIDENT_RESOLVED,
	                .priority = HG_MIN(HG_MAX(r->priority, INCIDENT_P1), INCIDENT_P4),
	                .escalations = r->escalations,
	                .opened_ms = r->opened_ms,
	                .acknowledged_ms = r->acknowledged_ms,
	                .resolved_ms = r->resolved_ms,
	                .due_ms = r->due_ms}};
	cut_copy(r->app, to->app, sizeof to->app);
	cut_copy(r->cause, to->cause, sizeof to->cause);
	cut_copy(r->title, to->title, sizeof to->title);
	cut_copy(r->assignee, to->assignee, sizeof to->assignee);
	cut_copy(r->runbook, to->runbook, sizeof to->runbook);
}

static struct store_incident row_of(const struct incident *i)
{
	return (struct store_incident){.id = i->id,
	        .app = hg_str(i->app),
	        .cause = hg_str(i->cause),
	        .title = hg_str(i->title),
	        .priority = i->life.priority,
	        .state = i->life.state,
	        .escalations = i->life.escalations,
	        .opened_ms = i->life.opened_ms,
	        .acknowledged_ms = i->life.acknowledged_ms,
	        .resolved_ms = i->life.resolved_ms,
	        .due_ms = i->life.due_ms,
	        .first_event = i->first_event,
	        .last_event = i->last_event,
	        .assignee = hg_str(i->assignee),
	        .runbook = hg_str(i->runbook)};
}

static void on_one(void *arg, const struct store_incident *r)
{
	read_row(r, arg);
}

enum hg_rc incident_get(
        struct incidents *in, uint64_t id, struct incident *ret_incident, struct hg_err *err)
{
	return store_incident_get(in->o.store, id, on_one, ret_incident, err);
}

enum hg_rc incident_add(struct incidents *in, struct incident *i, struct hg_err *err)
{
	struct store_incident row = row_of(i);
	return store_incident_add(in->o.store, &row, &i->id, err);
}

enum hg_rc incident_set(struct incidents *in, const struct incident *i, struct hg_err *err)
{
	struct store_incident row = row_of(i);
	return store_incident_set(in->o.store, &row, err);
}

struct listing {
	struct incident *list;
	uint32_t n, cap;
	bool failed;
};

static void on_row(void *arg, const struct store_incident *r)
{
	struct listing *l = arg;
	if (l->failed) return;
	if (l->n == l->cap) {
		uint32_t cap = l->cap ? l->cap * 2 : 8;
		struct incident *more = realloc(l->list, cap * sizeof *more);
		l->failed = !more;
		if (!more) return;
		l->list = more;
		l->cap = cap;
	}
	read_row(r, &l->list[l->n++]);
}

enum hg_rc incident_list(struct incidents *in, bool open, uint32_t limit,
        struct incident **ret_list, uint32_t *ret_n, struct hg_err *err)
{
	struct listing l = {0};
	enum hg_rc rc = store_incidents(in->o.store, open, limit, on_row, &l, err);
	if (rc == HG_OK && l.failed) rc = hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	if (rc < 0) {
		free(l.list);
		return rc;
	}
	*ret_list = l.list;
	*ret_n = l.n;
	return HG_OK;
}

enum hg_rc incident_find(struct incidents *in, struct hg_str cause, struct incident *ret_incident,
        struct hg_err *err)
{
	struct incident *list = NULL;
	uint32_t n = 0;
	ret_incident->id = 0;
	enum hg_rc rc = incident_list(in, true, INCIDENT_OPEN_MAX, &list, &n, err);
	for (uint32_t i = 0; rc == HG_OK && i < n; i++)
		if (hg_str_eq(hg_str(list[i].cause), cause)) *ret_incident = list[i];
	free(list);
	return rc;
}

enum hg_rc incident_resolved_last(
        struct incidents *in, struct hg_str cause, uint64_t *ret_ms, struct hg_err *err)
{
	struct incident *list = NULL;
	uint32_t n = 0;
	*ret_ms = 0;
	enum hg_rc rc = incident_list(in, false, INCIDENT_OPEN_MAX, &list, &n, err);
	for (uint32_t i = 0; rc == HG_OK && i < n; i++)
		if (hg_str_eq(hg_str(list[i].cause), cause))
			*ret_ms = HG_MAX(*ret_ms, list[i].life.resolved_ms);
	free(list);
	return rc;
}

enum hg_rc incident_event(struct incidents *in, const struct incident *i, const char *kind,
        json_t *more, uint64_t *ret_id, struct hg_err *err)
{
	char priority[8];
	(void)snprintf(priority, sizeof priority, "P%u", i->life.priority);
	json_t *j = json_pack("{s:I,s:s}", "incident", (json_int_t)i->id, "priority", priority);
	if (j && more) json_object_update(j, more);
	json_decref(more);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (!text) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	enum hg_rc rc = store_event_add(in->o.store,
	        &(struct store_event){.ts_ms = in->o.wall_ms(),
	                .kind = hg_str(kind),
	                .app = hg_str(i->app),
	                .text = hg_str(text)},
	        ret_id, err);
	free(text);
	return rc;
}

struct first {
	uint64_t since_ms, id, last;
};

static void on_first(void *arg, const struct store_event *e)
{
	struct first *f = arg;
	if (!f->id && e->ts_ms >= f->since_ms) f->id = e->id;
	f->last = e->id;
}

enum hg_rc incident_first_event(struct incidents *in, struct hg_str app, uint64_t now_ms,
        uint64_t *ret_id, struct hg_err *err)
{
	struct first f = {
	        .since_ms = now_ms > INCIDENT_BEFORE_MS ? now_ms - INCIDENT_BEFORE_MS : 0};
	enum hg_rc rc = store_events_last(in->o.store, app, 200, on_first, &f, err);
	*ret_id = f.id ? f.id : f.last + 1;
	return rc;
}
