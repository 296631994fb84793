/* From an alert to an incident. */
#include "control/incident/incident.h"

#include <stdio.h>

/* The text of a label, cut at a character's border. */
static void text_of(struct labels ls, const char *name, char *to, size_t cap)
{
	struct hg_str v = labels_get(ls, hg_str(name));
	size_t n = HG_MIN(v.n, cap - 1);
	while (n && n < v.n && ((unsigned char)v.p[n] & 0xc0) == 0x80)
		n--;
	if (n) memcpy(to, v.p, n);
	to[n] = 0;
}

static uint32_t priority_of(struct labels ls)
{
	struct hg_str v = labels_get(ls, HG_STR("priority"));
	bool said = v.n == 2 && (v.p[0] == 'P' || v.p[0] == 'p') && v.p[1] >= '1' && v.p[1] <= '4';
	return said ? (uint32_t)(v.p[1] - '0') : INCIDENT_P1;
}

bool incident_of_alert(
        struct labels ls, struct labels annotations, struct incident_alert *ret_alert)
{
	struct incident_alert *a = ret_alert;
	char name[128];
	struct hg_str severity = labels_get(ls, HG_STR("severity"));
	if (!hg_str_eq(severity, HG_STR("critical")) && !hg_str_eq(severity, HG_STR("disaster")))
		return false;
	text_of(ls, "alertname", name, sizeof name);
	text_of(ls, "app", a->app, sizeof a->app);
	text_of(annotations, "summary", a->title, sizeof a->title);
	if (!a->title[0]) (void)snprintf(a->title, sizeof a->title, "alert %s", name);
	text_of(annotations, "runbook_url", a->runbook, sizeof a->runbook);
	if (!a->runbook[0]) text_of(annotations, "runbook", a->runbook, sizeof a->runbook);
	(void)snprintf(a->cause, sizeof a->cause, "%s:%s", a->app[0] ? "app" : "alert",
	        a->app[0] ? a->app : name);
	a->trigger = (struct incident_trigger){.app = a->app,
	        .cause = a->cause,
	        .title = a->title,
	        .runbook = a->runbook,
	        .priority = priority_of(ls)};
	return true;
}
