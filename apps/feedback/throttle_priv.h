/*
 * How long who has failed to sign in has to wait. Pure: the counts are rows of the database, so
 * that they hold for all processes of the app and survive them.
 *
 * An attempt is counted under its address, and under its account. A stranger who tries an account
 * makes strangers wait, not the owner: who has signed in from a browser before has a device cookie
 * (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"), and is counted under that.
 */
#ifndef FEEDBACK_THROTTLE_PRIV_H
#define FEEDBACK_THROTTLE_PRIV_H

#include "base/hg.h"

struct throttle_policy {
	uint32_t free;      /* failures that cost nothing */
	uint32_t wait_ms;   /* after the next one; doubled with each … */
	uint32_t most_ms;   /* … up to this */
	uint32_t forget_ms; /* after so long without an attempt everything is forgotten */
};

struct throttle_state {
	uint64_t failures; /* attempts that have not succeeded */
	uint64_t last_ms;  /* the last one that was let through */
};

extern const struct throttle_policy throttle_address, throttle_account, throttle_device;

/* Milliseconds to wait before the next attempt; 0: it may be made now. */
uint64_t throttle_wait_ms(
        const struct throttle_policy *p, struct throttle_state s, uint64_t now_ms);
/* The state after an attempt that was let through. Who is refused is not counted. */
struct throttle_state throttle_attempt(
        const struct throttle_policy *p, struct throttle_state s, uint64_t now_ms);

#endif
