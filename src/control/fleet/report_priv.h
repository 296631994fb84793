/* The report of a replica that ended unasked, with the last lines it wrote. */
#ifndef CONTROL_FLEET_REPORT_PRIV_H
#define CONTROL_FLEET_REPORT_PRIV_H

#include "control/fleet/fleet_priv.h"

struct fleet_death {
	bool ran; /* false: it could not be started at all */
	int status;
	char exit[64], reason[160];
	uint64_t ran_ms, wait_ms;
	uint32_t streak;
};

/* Journals within about a second: the lines are asked of the log store first, which gets a
 * moment to read the pipe; without an answer the report has none. */
void fleet_death_report(struct fleet_replica *r, const char *kind, const struct fleet_death *d);

#endif
