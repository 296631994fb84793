/* What happened meanwhile: the journal's entries of its app. */
#include "control/incident/incident_priv.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct walk {
	const struct incident *i;
	incident_line_fn fn;
	void *arg;
	uint64_t last; /* id of the last entry that was seen */
	uint32_t seen;
};

static void on_event(void *arg, const struct store_event *e)
{
	struct walk *w = arg;
	w->seen++;
	w->last = e->id;
	if (w->i->last_event && e->id > w->i->last_event) return;
	/* Without an app it is about those entries that have none either. */
	if (!w->i->app[0] && e->app.n) return;
	json_t *text = json_loadb(e->text.p, e->text.n, 0, NULL);
	const json_t *whose = json_object_get(text, "incident");
	char kind[64];
	(void)snprintf(
	        kind, sizeof kind, "%.*s", (int)HG_MIN(e->kind.n, sizeof kind - 1), e->kind.p);
	if (!whose || json_integer_value(whose) == (json_int_t)w->i->id)
		w->fn(w->arg, &(struct incident_line){.ts_ms = e->ts_ms,
		                      .kind = kind,
		                      .text = text,
		                      .release = e->release,
		                      .replica = e->replica});
	json_decref(text);
}

enum hg_rc incident_timeline(struct incidents *in, const struct incident *i, incident_line_fn fn,
        void *arg, struct hg_err *err)
{
	struct walk w = {.i = i, .fn = fn, .arg = arg};
	return store_events(in->o.store, i->first_event ? i->first_event - 1 : 0, hg_str(i->app),
	        INCIDENT_EVENTS, on_event, &w, err);
}

void incident_time_text(uint64_t ms, char to[32])
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	if (!ms || !gmtime_r(&s, &tm) || !strftime(to, 32, "%F %T", &tm))
		(void)snprintf(to, 32, "-");
}

/* ---- a line for people ---- */

static const char *text_of(const json_t *j, const char *name)
{
	const char *v = json_string_value(json_object_get(j, name));
	return v ? v : "";
}

static void incident_words(const struct incident_line *l, struct hg_buf *to)
{
	const char *note = text_of(l->text, "note"), *who = text_of(l->text, "who");
	if (!strcmp(l->kind, "incident.opened"))
		hg_buf_fmt(to, "incident opened as %s: %s", text_of(l->text, "priority"),
		        text_of(l->text, "title"));
	else if (!strcmp(l->kind, "incident.joined"))
		hg_buf_fmt(to, "joined: %s", text_of(l->text, "title"));
	else if (!strcmp(l->kind, "incident.raised"))
		hg_buf_fmt(to, "raised to %s: %s", text_of(l->text, "priority"),
		        text_of(l->text, "title"));
	else if (!strcmp(l->kind, "incident.late"))
		hg_buf_fmt(to, "not acknowledged in time (escalation %lld)",
		        (long long)json_integer_value(json_object_get(l->text, "escalation")));
	else if (!strcmp(l->kind, "incident.assigned"))
		hg_buf_fmt(to, "assigned to %s by %s", text_of(l->text, "assignee"), who);
	else
		hg_buf_fmt(to, "%s by %s", l->kind + strlen("incident."), who);
	if (note[0]) hg_buf_fmt(to, ": %s", note);
}

static void slo_words(const struct incident_line *l, struct hg_buf *to)
{
	const char *slo = text_of(l->text, "slo");
	const json_t *burn = json_object_get(l->text, "burn"),
	             *windows = json_object_get(l->text, "windows");
	double left = 100 * json_number_value(json_object_get(l->text, "left"));
	if (!strcmp(l->kind, "slo.burn"))
		hg_buf_fmt(to, "%s alert (%s): burn %.3g in %s, limit %.3g", slo,
		        text_of(l->text, "severity"), json_number_value(json_array_get(burn, 0)),
		        json_string_value(json_array_get(windows, 0)),
		        json_number_value(json_object_get(l->text, "limit")));
	else if (!strcmp(l->kind, "slo.burn_over"))
		hg_buf_fmt(to, "%s alert (%s) is over", slo, text_of(l->text, "severity"));
	else if (!strcmp(l->kind, "slo.frozen"))
		hg_buf_fmt(to, "deployments frozen by the error budget of %s", slo);
	else
		hg_buf_cstr(to, "deployments are allowed again");
	hg_buf_fmt(to, "; %.1f %% of the budget is left", left);
}

/* Of entries that are not known here: their kind and their plain members. */
static void other_words(const struct incident_line *l, struct hg_buf *to)
{
	const char *name;
	json_t *v;
	unsigned n = 0;
	hg_buf_cstr(to, l->kind);
	if (l->release) hg_buf_fmt(to, " release %u", l->release);
	if (l->replica) hg_buf_fmt(to, " replica %u", l->replica);
	json_object_foreach((json_t *)l->text, name, v)
	{
		if (n == 8) break;
		if (json_is_string(v) && json_string_length(v) && json_string_length(v) < 200)
			hg_buf_fmt(to, "%s %s=%s", n++ ? "," : "", name, json_string_value(v));
		else if (json_is_integer(v))
			hg_buf_fmt(to, "%s %s=%lld", n++ ? "," : "", name,
			        (long long)json_integer_value(v));
	}
}

void incident_line_text(const struct incident_line *l, struct hg_buf *to)
{
	if (!strncmp(l->kind, "incident.", 9))
		incident_words(l, to);
	else if (!strncmp(l->kind, "slo.", 4))
		slo_words(l, to);
	else
		other_words(l, to);
}
