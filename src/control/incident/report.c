/* What people and programs are shown, and the document that is written after it. */
#include "control/incident/incident_priv.h"

#include <stdio.h>
#include <stdlib.h>

static json_t *time_or_null(uint64_t ms)
{
	return ms ? json_integer((json_int_t)ms) : json_null();
}

static json_t *incident_json(const struct incident *i)
{
	char priority[8];
	(void)snprintf(priority, sizeof priority, "P%u", i->life.priority);
	return json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:o,s:o,s:o,s:o,s:I}", "id",
	        (json_int_t)i->id, "app", i->app, "cause", i->cause, "title", i->title, "priority",
	        priority, "state", incident_state_name(i->life.state), "assignee", i->assignee,
	        "runbook", i->runbook, "escalations", (int)i->life.escalations, "opened_ms",
	        time_or_null(i->life.opened_ms), "acknowledged_ms",
	        time_or_null(i->life.acknowledged_ms), "resolved_ms",
	        time_or_null(i->life.resolved_ms), "due_ms", time_or_null(i->life.due_ms),
	        "response_s", (json_int_t)(incident_response_ms(i->life.priority) / 1000));
}

static enum hg_rc dump(json_t *j, struct hg_buf *to, struct hg_err *err)
{
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (text) hg_buf_cstr(to, text);
	bool good = text && !to->failed;
	free(text);
	return good ? HG_OK : hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
}

enum hg_rc incidents_list_json(
        struct incidents *in, bool open, uint32_t limit, struct hg_buf *to, struct hg_err *err)
{
	struct incident *list = NULL;
	uint32_t n = 0;
	enum hg_rc rc = incident_list(in, open, limit, &list, &n, err);
	if (rc < 0) return rc;
	json_t *all = json_array();
	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(all, incident_json(&list[i]));
	free(list);
	return dump(json_pack("{s:s,s:I,s:o}", "schema", "headgate.incidents/1", "now_ms",
	                    (json_int_t)in->o.wall_ms(), "incidents", all),
	        to, err);
}

static void line_json(void *arg, const struct incident_line *l)
{
	struct hg_buf text;
	hg_buf_init(&text, 65536);
	incident_line_text(l, &text);
	json_t *j = json_pack("{s:I,s:s,s:i,s:i,s:s,s:O}", "ts_ms", (json_int_t)l->ts_ms, "kind",
	        l->kind, "release", (int)l->release, "replica", (int)l->replica, "text",
	        hg_buf_text(&text), "event", l->text);
	if (j) json_array_append_new(arg, j);
	hg_buf_free(&text);
}

enum hg_rc incidents_show_json(
        struct incidents *in, uint64_t id, struct hg_buf *to, struct hg_err *err)
{
	struct incident i;
	enum hg_rc rc = incident_get(in, id, &i, err);
	if (rc < 0) return rc;
	json_t *lines = json_array();
	rc = incident_timeline(in, &i, line_json, lines, err);
	if (rc < 0) {
		json_decref(lines);
		return rc;
	}
	json_t *j = incident_json(&i);
	if (j) {
		json_object_set_new(j, "schema", json_string("headgate.incident/1"));
		json_object_set_new(j, "now_ms", json_integer((json_int_t)in->o.wall_ms()));
		json_object_set(j, "timeline", lines);
	}
	json_decref(lines);
	return dump(j, to, err);
}

/* ---- the document ---- */

static void span(uint64_t from_ms, uint64_t to_ms, struct hg_buf *to)
{
	uint64_t s = to_ms > from_ms ? (to_ms - from_ms) / 1000 : 0;
	if (s < 120)
		hg_buf_fmt(to, "%llu s", (unsigned long long)s);
	else if (s < 7200)
		hg_buf_fmt(to, "%llu min", (unsigned long long)s / 60);
	else
		hg_buf_fmt(to, "%llu h %llu min", (unsigned long long)s / 3600,
		        (unsigned long long)s / 60 % 60);
}

static void moment(const char *what, uint64_t opened_ms, uint64_t ms, struct hg_buf *to)
{
	char text[32];
	incident_time_text(ms, text);
	hg_buf_fmt(to, "| %s | ", what);
	if (!ms) {
		hg_buf_cstr(to, "not yet |\n");
		return;
	}
	hg_buf_fmt(to, "%s UTC", text);
	if (ms != opened_ms) {
		hg_buf_cstr(to, ", after ");
		span(opened_ms, ms, to);
	}
	hg_buf_cstr(to, " |\n");
}

/* Text of others within a table of Markdown. */
static void cell(struct hg_str s, struct hg_buf *to)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '|' || c == '\\' || c == '<' || c == '`' || c == '[' || c == '*' ||
		        c == '_')
			hg_buf_byte(to, '\\');
		hg_buf_byte(to, c < ' ' || c == 0x7f ? ' ' : (char)c);
	}
}

static void row(const char *what, const char *value, struct hg_buf *to)
{
	hg_buf_fmt(to, "| %s | ", what);
	cell(hg_str(value[0] ? value : "-"), to);
	hg_buf_cstr(to, " |\n");
}

static void facts(const struct incident *i, struct hg_buf *to)
{
	const struct incident_life *l = &i->life;
	uint64_t within = l->opened_ms + incident_response_ms(l->priority);
	hg_buf_fmt(to, "# Incident %llu: ", (unsigned long long)i->id);
	cell(hg_str(i->title), to);
	hg_buf_fmt(
	        to, "\n\n| | |\n| --- | --- |\n| priority | P%u, to be taken within ", l->priority);
	span(0, incident_response_ms(l->priority), to);
	hg_buf_cstr(to, " |\n");
	row("app", i->app, to);
	row("state", incident_state_name(l->state), to);
	moment("opened", l->opened_ms, l->opened_ms, to);
	moment("acknowledged", l->opened_ms, l->acknowledged_ms, to);
	if (l->acknowledged_ms)
		row("in time", l->acknowledged_ms <= within && !l->escalations ? "yes" : "no", to);
	moment("resolved", l->opened_ms, l->resolved_ms, to);
	row("assigned to", i->assignee, to);
	row("runbook", i->runbook, to);
}

static void line_md(void *arg, const struct incident_line *l)
{
	char when[32];
	struct hg_buf text, *to = arg;
	incident_time_text(l->ts_ms, when);
	hg_buf_init(&text, 65536);
	incident_line_text(l, &text);
	hg_buf_fmt(to, "| %s | ", when);
	cell(hg_buf_view(&text), to);
	hg_buf_cstr(to, " |\n");
	hg_buf_free(&text);
}

enum hg_rc incidents_report(
        struct incidents *in, uint64_t id, struct hg_buf *to, struct hg_err *err)
{
	static const char questions[] =
	        "\n## Impact\n\nWho was affected, by what, for how long? How much of the error "
	        "budget did it take?\n"
	        "\n## Root cause\n\nWhat made it possible? Ask why until the answer is something "
	        "that can be changed.\n"
	        "\n## Detection and response\n\nWhat found it, and could it have been found "
	        "sooner? What helped, what was in the way? Did the runbook fit?\n"
	        "\n## What went well, and where we were lucky\n\n"
	        "\n## Actions\n\n| action | owner | due | prevents / detects / mitigates |\n"
	        "| --- | --- | --- | --- |\n| | | | |\n";
	struct incident i;
	enum hg_rc rc = incident_get(in, id, &i, err);
	if (rc < 0) return rc;
	facts(&i, to);
	hg_buf_cstr(to, "\n## Summary\n\nTwo sentences for somebody who was not there.\n"
	                "\n## Timeline\n\n| time (UTC) | what |\n| --- | --- |\n");
	rc = incident_timeline(in, &i, line_md, to, err);
	hg_buf_cstr(to, questions);
	if (rc == HG_OK && to->failed)
		rc = hg_err_set(err, HG_E_TOO_LARGE, "the report is too large");
	return rc;
}

enum hg_rc incidents_open(struct incidents *in, uint32_t *ret_n, struct hg_err *err)
{
	struct incident *list = NULL;
	*ret_n = 0;
	enum hg_rc rc = incident_list(in, true, INCIDENT_OPEN_MAX, &list, ret_n, err);
	free(list);
	return rc;
}

void incidents_metrics(struct incidents *in, struct hg_buf *to)
{
	static const char name[] = "headgate_incidents_open";
	struct incident *list = NULL;
	struct hg_err err = {0};
	uint32_t n = 0, by[INCIDENT_P4 + 1] = {0};
	if (incident_list(in, true, INCIDENT_OPEN_MAX, &list, &n, &err) < 0) return;
	for (uint32_t i = 0; i < n; i++)
		by[list[i].life.priority]++;
	free(list);
	hg_buf_fmt(to, "# HELP %s Incidents that are not resolved.\n# TYPE %s gauge\n", name, name);
	for (uint32_t p = INCIDENT_P1; p <= INCIDENT_P4; p++)
		hg_buf_fmt(to, "%s{priority=\"P%u\"} %u\n", name, p, by[p]);
}
