/*
 * What guards an app and chooses among its replicas, beyond the less loaded of two. None of it has
 * a say in which release a request goes to: that is chance and the trial's weight alone (draw.c).
 */
#ifndef DATA_EDGE_BALANCE_PRIV_H
#define DATA_EDGE_BALANCE_PRIV_H

#include "data/edge/trial_priv.h"
#include "math/breaker.h"

/* ---- guard.c: before a request is drawn ---- */

/* May the request of an app that is guarded go on? Or an answer. */
enum edge_step edge_guard_enter(struct edge_conn *c);
/* Its outcome for the client is known: the head of a final response, or that there will be none. At
 * the latest at its end, with BREAKER_NONE. */
void edge_guard_tell(struct edge_conn *c, enum breaker_outcome outcome);

#endif
