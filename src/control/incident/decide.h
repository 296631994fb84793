/*
 * Pure: the life of an incident. How urgent it is, what joins it, when nobody having taken it is
 * too late, and what people may do with it.
 */
#ifndef CONTROL_INCIDENT_DECIDE_H
#define CONTROL_INCIDENT_DECIDE_H

#include "base/str.h"

enum incident_state { INCIDENT_OPEN, INCIDENT_ACKNOWLEDGED, INCIDENT_RESOLVED, INCIDENT_STATES };

#define INCIDENT_P1          1u /* users are hurt now: 5 minutes */
#define INCIDENT_P2          2u /* 15 minutes */
#define INCIDENT_P3          3u /* an hour */
#define INCIDENT_P4          4u /* 4 hours */
#define INCIDENT_ESCALATIONS 3u /* times that lateness is said */

struct incident_life {
	enum incident_state state;
	uint32_t priority;
	uint32_t escalations;
	uint64_t opened_ms, acknowledged_ms, resolved_ms; /* Unix time; 0: not yet */
	uint64_t due_ms; /* somebody must have taken it by then; 0: nothing is due any more */
};

enum incident_verb { INCIDENT_ACK, INCIDENT_ASSIGN, INCIDENT_RESOLVE };

/* "open", "acknowledged", "resolved" */
const char *incident_state_name(enum incident_state s);
/* How long it may take until somebody has taken it. priority 1 … 4. */
uint64_t incident_response_ms(uint32_t priority);

void incident_begin(struct incident_life *i, uint32_t priority, uint64_t now_ms);
/* Something else of the same cause. True: it is more urgent than what there was; then the time runs
 * anew, by the shorter limit. */
bool incident_join(struct incident_life *i, uint32_t priority, uint64_t now_ms);
/* True: it is late, and that is to be said now; the next time is set. A clock that was set back
 * only makes it later. */
bool incident_late(struct incident_life *i, uint64_t now_ms);
/* False: not in this state, and nothing was changed. Taking it again changes nothing but is fine;
 * assigning takes it as well; resolving one that nobody took takes it in passing. */
bool incident_do(struct incident_life *i, enum incident_verb verb, uint64_t now_ms);

#endif
