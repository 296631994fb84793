/*
 * The fault switch FEEDBACK_FAULT: a release that fails on purpose, for showing and testing what
 * catches it. Requests to /health and /metrics are spared, so that only traffic tells. Pure.
 *
 *   errors        500 with a JSON error
 *   slow          answers after 2 s, or the time given
 *   hang          never answers
 *   crash         the process aborts
 *   close         the connection is closed without an answer
 *   unhealthy     /health answers 503; everything else is fine
 *   jobs          requests are fine; mail and webhooks are written down instead of sent
 *                 (EXPORT_DIR/jobs.log), and there are jobs of the kind "test"
 *   leak          1 MiB of memory a request is never given back; everything else is fine
 *
 * KIND[:SHARE%][:TIME][:+TIME][:#N], for example errors:10%, slow:25%:800ms, errors:+15m,
 * crash:#200. The share is of all requests; +TIME: healthy for so long after the start; #N: healthy
 * for N requests.
 */
#ifndef FEEDBACK_FAULT_PRIV_H
#define FEEDBACK_FAULT_PRIV_H

#include "base/rand.h"
#include "base/str.h"

enum fault_kind {
	FAULT_NONE,
	FAULT_ERRORS,
	FAULT_SLOW,
	FAULT_HANG,
	FAULT_CRASH,
	FAULT_CLOSE,
	FAULT_UNHEALTHY,
	FAULT_LEAK,
	FAULT_JOBS
};

struct fault {
	enum fault_kind kind;
	double share; /* 0 … 1 */
	uint32_t slow_ms;
	uint32_t after_ms; /* of the process's life */
	uint64_t after_n;  /* requests, probes not counted */
};

/* What the process has behind it. */
struct fault_past {
	uint64_t age_ms, requests;
};

/* "" and "none" are FAULT_NONE. False when it is not understood. */
HG_MUST bool fault_parse(struct hg_str text, struct fault *ret_fault);
/* What happens to this request; FAULT_NONE mostly. `probe`: /health or /metrics. */
enum fault_kind fault_draw(
        const struct fault *f, struct hg_rand *r, bool probe, struct fault_past past);

#endif
