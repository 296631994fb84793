/*
 * Gates that ask a service over HTTP. What an answer means is a pure function; asking, waiting and
 * the words for people are beside it. Delivery is at least once: a control that takes over asks
 * again, with the same Idempotency-Key.
 */
#ifndef CONTROL_ROLLOUT_HOOK_PRIV_H
#define CONTROL_ROLLOUT_HOOK_PRIV_H

#include "base/str.h"

#define RO_HOOK_NOTE_MAX 400u
#define RO_HOOK_BODY_MAX 256u /* of an answer, for people */

/* ---- hook_decide.c ---- */

struct ro_hook_rules {
	const char *expect; /* "2xx 404" */
	uint32_t timeout_ms, retries;
};

struct ro_hook_seen {
	int status;              /* 0: no answer */
	bool hopeless;           /* no answer, and asking again would not help */
	uint64_t retry_after_ms; /* as the service asked; 0: it did not */
};

enum ro_hook_verdict { RO_HOOK_PASSED, RO_HOOK_FAILED, RO_HOOK_AGAIN };

struct ro_hook_next {
	enum ro_hook_verdict verdict;
	uint64_t wait_ms; /* AGAIN: from now */
	bool late;        /* FAILED because there is no time left */
};

/*
 * `failures`: how often there was no answer, a 5xx, 408 or 429 so far; counted on here.
 * `elapsed_ms`: since the gate began.
 */
struct ro_hook_next ro_hook_decide(const struct ro_hook_rules *r, const struct ro_hook_seen *seen,
        uint32_t *failures, uint64_t elapsed_ms);

/* ---- hook.c ---- */

struct ro_run;
struct ro_state;
struct ro_hook;

/* Asks for gate `i`, and goes on until the gate has its result (rollout_priv.h: ro_gate_run), which
 * it may have at once. False without memory. */
bool ro_hook_begin(struct ro_run *run, const struct ro_state *next, uint32_t i);
/* Whatever is under way for gate `i`; nobody is told. */
void ro_hook_stop(struct ro_run *run, uint32_t i);
/* "POST http://ci.local/approve": what is shown for it; without the query, which may hold a key. */
void ro_hook_name(const char *method, const char *url, char *to, size_t cap);
/* Appends the first bytes of an answer as one line of text: no control bytes, valid UTF-8. */
struct hg_out;
void ro_hook_text(struct hg_out *to, struct hg_str body);

#endif
