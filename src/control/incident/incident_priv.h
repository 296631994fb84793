/* Inside of the room: one incident as it was read from the store. */
#ifndef CONTROL_INCIDENT_INCIDENT_PRIV_H
#define CONTROL_INCIDENT_INCIDENT_PRIV_H

#include "control/incident/incident.h"
#include "store/store.h"

#include <jansson.h>

#define INCIDENT_MAGIC     0x17c1de07u
#define INCIDENT_LOOK_MS   5000u
#define INCIDENT_OPEN_MAX  1000u          /* at a time */
#define INCIDENT_BEFORE_MS (3600u * 1000) /* the timeline begins so long before it */
#define INCIDENT_EVENTS    1000u          /* of a timeline */

struct incidents {
	uint32_t magic;
	struct incidents_options o;
	struct loop_timer timer;
	struct loop_task task;
};

struct incident {
	uint64_t id;
	struct incident_life life;
	uint64_t first_event, last_event;
	char app[64], cause[128], assignee[INCIDENT_TEXT_MAX + 1], runbook[512];
	char title[INCIDENT_TEXT_MAX + 1];
};

/* rows.c */
HG_MUST enum hg_rc incident_get(
        struct incidents *in, uint64_t id, struct incident *ret_incident, struct hg_err *err);
/* The open one of this cause; ret->id 0: there is none. */
HG_MUST enum hg_rc incident_find(struct incidents *in, struct hg_str cause,
        struct incident *ret_incident, struct hg_err *err);
HG_MUST enum hg_rc incident_add(struct incidents *in, struct incident *i, struct hg_err *err);
HG_MUST enum hg_rc incident_set(struct incidents *in, const struct incident *i, struct hg_err *err);
/* All, newest first, to be freed. */
HG_MUST enum hg_rc incident_list(struct incidents *in, bool open, uint32_t limit,
        struct incident **ret_list, uint32_t *ret_n, struct hg_err *err);
/* When the last one of that cause was resolved, among the newest INCIDENT_OPEN_MAX; 0: never. */
HG_MUST enum hg_rc incident_resolved_last(
        struct incidents *in, struct hg_str cause, uint64_t *ret_ms, struct hg_err *err);
/* A journal entry about it; takes `more` (may be NULL), whose members are added. */
HG_MUST enum hg_rc incident_event(struct incidents *in, const struct incident *i, const char *kind,
        json_t *more, uint64_t *ret_id, struct hg_err *err);
/* The first entry of its app's journal within the hour before. */
HG_MUST enum hg_rc incident_first_event(struct incidents *in, struct hg_str app, uint64_t now_ms,
        uint64_t *ret_id, struct hg_err *err);

/* timeline.c */
struct incident_line {
	uint64_t ts_ms;
	const char *kind;
	const json_t *text; /* an object */
	uint32_t release, replica;
};
typedef void (*incident_line_fn)(void *arg, const struct incident_line *l);
HG_MUST enum hg_rc incident_timeline(struct incidents *in, const struct incident *i,
        incident_line_fn fn, void *arg, struct hg_err *err);
/* One line for people. */
void incident_line_text(const struct incident_line *l, struct hg_buf *to);
/* "2026-11-26 19:00:00" in UTC; "-" for 0. */
void incident_time_text(uint64_t ms, char to[32]);

#endif
