#include "control/incident/decide.h"

const char *incident_state_name(enum incident_state s)
{
	static const char *const names[INCIDENT_STATES] = {"open", "acknowledged", "resolved"};
	return s < INCIDENT_STATES ? names[s] : "?";
}

uint64_t incident_response_ms(uint32_t priority)
{
	static const uint64_t minutes[] = {5, 15, 60, 240};
	HG_ASSERT(priority >= INCIDENT_P1 && priority <= INCIDENT_P4);
	return minutes[priority - 1] * 60000;
}

void incident_begin(struct incident_life *i, uint32_t priority, uint64_t now_ms)
{
	*i = (struct incident_life){.priority = priority,
	        .opened_ms = now_ms,
	        .due_ms = now_ms + incident_response_ms(priority)};
}

bool incident_join(struct incident_life *i, uint32_t priority, uint64_t now_ms)
{
	HG_ASSERT(i->state != INCIDENT_RESOLVED);
	if (priority >= i->priority) return false;
	i->priority = priority;
	/* Who took it while it was less urgent has it already. */
	if (i->state != INCIDENT_OPEN) return true;
	i->escalations = 0;
	uint64_t due = now_ms + incident_response_ms(priority);
	i->due_ms = i->due_ms ? HG_MIN(i->due_ms, due) : due;
	return true;
}

bool incident_late(struct incident_life *i, uint64_t now_ms)
{
	if (i->state != INCIDENT_OPEN || !i->due_ms || now_ms < i->due_ms) return false;
	i->escalations++;
	/* From now on, not from when it was due: control may have been away. */
	i->due_ms = i->escalations < INCIDENT_ESCALATIONS
	                    ? now_ms + incident_response_ms(i->priority)
	                    : 0;
	return true;
}

bool incident_do(struct incident_life *i, enum incident_verb verb, uint64_t now_ms)
{
	if (i->state == INCIDENT_RESOLVED) return false;
	if (i->state == INCIDENT_OPEN) i->acknowledged_ms = now_ms;
	i->due_ms = 0;
	i->state = INCIDENT_ACKNOWLEDGED;
	if (verb != INCIDENT_RESOLVE) return true;
	i->state = INCIDENT_RESOLVED;
	i->resolved_ms = now_ms;
	return true;
}
