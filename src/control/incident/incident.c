#include "control/incident/incident_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* One transaction, or the caller's. */
static enum hg_rc begin(struct incidents *in, bool *ret_own, struct hg_err *err)
{
	*ret_own = !store_in_transaction(in->o.store);
	return *ret_own ? store_begin(in->o.store, err) : HG_OK;
}

static enum hg_rc end(struct incidents *in, bool own, enum hg_rc rc, struct hg_err *err)
{
	if (!own) return rc;
	if (rc == HG_OK) rc = store_commit(in->o.store, err);
	if (rc < 0) store_rollback(in->o.store);
	if (rc == HG_OK && in->o.on_event) in->o.on_event(in->o.arg);
	return rc;
}

static void kick(struct incidents *in)
{
	loop_task_queue(in->o.loop, &in->task);
}

/* ---- opening ---- */

static enum hg_rc open_new(struct incidents *in, const struct incident_trigger *t,
        struct incident *i, struct hg_err *err)
{
	uint64_t now = in->o.wall_ms();
	*i = (struct incident){0};
	incident_begin(&i->life, t->priority, now);
	(void)hg_str_copy(hg_str(t->app), i->app, sizeof i->app);
	(void)hg_str_copy(hg_str(t->runbook), i->runbook, sizeof i->runbook);
	(void)snprintf(i->title, sizeof i->title, "%s", t->title);
	if (!hg_str_copy(hg_str(t->cause), i->cause, sizeof i->cause))
		return hg_err_set(err, HG_E_TOO_LARGE, "the cause of an incident is too long");
	enum hg_rc rc = incident_first_event(in, hg_str(i->app), now, &i->first_event, err);
	if (rc == HG_OK) rc = incident_add(in, i, err);
	if (rc < 0) return rc;
	return incident_event(in, i, "incident.opened",
	        json_pack("{s:s,s:s}", "title", i->title, "cause", i->cause), NULL, err);
}

static enum hg_rc join(struct incidents *in, const struct incident_trigger *t, struct incident *i,
        struct hg_err *err)
{
	bool raised = incident_join(&i->life, t->priority, in->o.wall_ms());
	if (!i->runbook[0]) (void)hg_str_copy(hg_str(t->runbook), i->runbook, sizeof i->runbook);
	enum hg_rc rc = incident_set(in, i, err);
	if (rc < 0) return rc;
	return incident_event(in, i, raised ? "incident.raised" : "incident.joined",
	        json_pack("{s:s}", "title", t->title), NULL, err);
}

enum hg_rc incidents_trigger(struct incidents *in, const struct incident_trigger *t,
        uint64_t *ret_id, struct hg_err *err)
{
	struct incident i;
	bool own;
	HG_ASSERT(t->priority >= INCIDENT_P1 && t->priority <= INCIDENT_P4);
	enum hg_rc rc = begin(in, &own, err);
	if (rc < 0) return rc;
	rc = incident_find(in, hg_str(t->cause), &i, err);
	if (rc == HG_OK) rc = i.id ? join(in, t, &i, err) : open_new(in, t, &i, err);
	if (rc == HG_OK) *ret_id = i.id;
	rc = end(in, own, rc, err);
	kick(in);
	return rc;
}

static enum hg_rc trigger_or_leave(struct incidents *in, const struct incident_trigger *t,
        uint64_t since_ms, struct incident *i, struct hg_err *err)
{
	uint64_t resolved_ms = 0;
	enum hg_rc rc = incident_find(in, hg_str(t->cause), i, err);
	bool known = i->id && i->life.opened_ms >= since_ms;
	if (rc == HG_OK && i->id && !known) return join(in, t, i, err);
	if (rc == HG_OK && !i->id)
		rc = incident_resolved_last(in, hg_str(t->cause), &resolved_ms, err);
	if (rc < 0) return rc;
	if (!known && resolved_ms < since_ms) return open_new(in, t, i, err);
	i->id = 0;
	return HG_OK;
}

enum hg_rc incidents_alert(struct incidents *in, const struct incident_trigger *t,
        uint64_t since_ms, uint64_t *ret_id, struct hg_err *err)
{
	struct incident i;
	bool own;
	HG_ASSERT(t->priority >= INCIDENT_P1 && t->priority <= INCIDENT_P4);
	enum hg_rc rc = begin(in, &own, err);
	if (rc < 0) return rc;
	rc = trigger_or_leave(in, t, since_ms, &i, err);
	if (rc == HG_OK) *ret_id = i.id;
	rc = end(in, own, rc, err);
	kick(in);
	return rc;
}

/* ---- people ---- */

static json_t *said(struct hg_str who, struct hg_str note)
{
	json_t *j = json_object();
	json_object_set_new(j, "who", json_stringn(who.p ? who.p : "", who.n));
	if (note.n) json_object_set_new(j, "note", json_stringn(note.p, note.n));
	return j;
}

static enum hg_rc carry_out(struct incidents *in, struct incident *i, enum incident_verb verb,
        struct hg_str who, struct hg_str note, struct hg_err *err)
{
	static const char *const kinds[] = {[INCIDENT_ACK] = "incident.acknowledged",
	        [INCIDENT_ASSIGN] = "incident.assigned",
	        [INCIDENT_RESOLVE] = "incident.resolved"};
	uint64_t id = 0;
	if (!incident_do(&i->life, verb, in->o.wall_ms()))
		return hg_err_set(err, HG_E_INCIDENT_STATE, "incident %llu is resolved",
		        (unsigned long long)i->id);
	json_t *more = said(who, note);
	if (verb == INCIDENT_ASSIGN)
		json_object_set_new(more, "assignee", json_string(i->assignee));
	enum hg_rc rc = incident_event(in, i, kinds[verb], more, &id, err);
	if (rc < 0) return rc;
	if (verb == INCIDENT_RESOLVE) i->last_event = id;
	return incident_set(in, i, err);
}

enum hg_rc incidents_do(struct incidents *in, uint64_t id, enum incident_verb verb,
        struct hg_str who, struct hg_str assignee, struct hg_str note, struct hg_err *err)
{
	struct incident i;
	bool own;
	enum hg_rc rc = incident_get(in, id, &i, err);
	if (rc < 0) return rc;
	struct hg_str taker = verb == INCIDENT_ASSIGN ? assignee : who;
	if (verb == INCIDENT_ASSIGN || !i.assignee[0])
		if (!hg_str_copy(taker, i.assignee, sizeof i.assignee))
			return hg_err_set(err, HG_E_TOO_LARGE, "a name is too long");
	rc = begin(in, &own, err);
	if (rc < 0) return rc;
	rc = end(in, own, carry_out(in, &i, verb, who, note, err), err);
	kick(in);
	return rc;
}

/* ---- lateness ---- */

static enum hg_rc late_write(struct incidents *in, const struct incident *i, struct hg_err *err)
{
	bool own;
	enum hg_rc rc = begin(in, &own, err);
	if (rc < 0) return rc;
	rc = incident_set(in, i, err);
	if (rc == HG_OK)
		rc = incident_event(in, i, "incident.late",
		        json_pack("{s:i,s:I}", "escalation", (int)i->life.escalations, "response_s",
		                (json_int_t)(incident_response_ms(i->life.priority) / 1000)),
		        NULL, err);
	return end(in, own, rc, err);
}

static void late(struct incidents *in, struct incident *i)
{
	struct hg_err err = {0};
	if (!incident_late(&i->life, in->o.wall_ms())) return;
	if (late_write(in, i, &err) < 0) {
		/* Said with the next look, when it can be written. */
		if (in->o.log)
			hg_log(in->o.log, HG_ERROR, "incident.save", HG_S("error", err.message));
		return;
	}
	if (in->o.log)
		hg_log(in->o.log, HG_WARN, "incident.late", HG_I("incident", i->id),
		        HG_S("app", i->app), HG_I("priority", i->life.priority),
		        HG_I("escalation", i->life.escalations));
	if (in->o.on_late)
		in->o.on_late(in->o.arg, &(struct incident_late_notice){.id = i->id,
		                                 .app = i->app,
		                                 .title = i->title,
		                                 .runbook = i->runbook,
		                                 .priority = i->life.priority,
		                                 .escalations = i->life.escalations});
}

static void on_timer(struct loop *l, struct loop_timer *t);

/* Looks every few seconds as long as something is due: a clock that was set is noticed. */
static void look(struct loop *l, struct loop_task *task)
{
	struct incidents *in = HG_CONTAINER(task, struct incidents, task);
	struct incident *list = NULL;
	struct hg_err err = {0};
	uint32_t n = 0;
	bool due = incident_list(in, true, INCIDENT_OPEN_MAX, &list, &n, &err) < 0;
	for (uint32_t i = 0; i < n; i++) {
		late(in, &list[i]);
		due = due || list[i].life.due_ms;
	}
	free(list);
	loop_timer_stop(l, &in->timer);
	if (due && loop_timer_start(l, &in->timer, INCIDENT_LOOK_MS, on_timer) < 0 && in->o.log)
		hg_log(in->o.log, HG_ERROR, "incident.no_timer");
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	struct incidents *in = HG_CONTAINER(t, struct incidents, timer);
	look(l, &in->task);
}

/* ---- life ---- */

enum hg_rc incidents_new(
        const struct incidents_options *o, struct incidents **ret_incidents, struct hg_err *err)
{
	struct incidents *in = calloc(1, sizeof *in);
	if (!in) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	*in = (struct incidents){.magic = INCIDENT_MAGIC, .o = *o};
	loop_task_init(&in->task, look);
	kick(in);
	*ret_incidents = in;
	return HG_OK;
}

void incidents_free(struct incidents *in)
{
	if (!in) return;
	HG_ASSERT(in->magic == INCIDENT_MAGIC);
	loop_task_cancel(&in->task);
	loop_timer_stop(in->o.loop, &in->timer);
	in->magic = 0;
	free(in);
}
