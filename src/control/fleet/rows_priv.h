/* What a starting control knows of the past: rows of the store and the list of the warden. */
#ifndef CONTROL_FLEET_ROWS_PRIV_H
#define CONTROL_FLEET_ROWS_PRIV_H

#include "control/fleet/fleet_priv.h"

struct fleet_known {
	uint64_t id;
	bool row, listed, exited, oneshot;
	struct store_replica r; /* row; its strings are not kept */
	struct wd_who who;      /* listed */
	char address[112];
	int pid, status;
	uint32_t applied;
	uint64_t at_ms; /* start, CLOCK_MONOTONIC */
};

/* A message of the warden that came before the past was sorted out. */
void fleet_known_note(struct fleet *f, const struct wd_msg *m);
/* Rows and list become places; afterwards f->known is NULL. */
void fleet_known_settle(struct fleet *f);
void fleet_known_free(struct fleet *f);

#endif
