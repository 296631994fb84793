/* What the answer of a service that a gate asks means. */
#include "control/rollout/hook_priv.h"

#define NOT_YET_MS   5000u
#define FIRST_MS     1000u
#define LONGEST_MS   30000u /* between two asks */
#define LAST_MS      1000u
#define AFTER_MAX_MS 60000u /* a service that wants to be left alone for longer is asked anyway */

/* One of "2xx 404"; *ret_exact: by its own number. */
static bool expected(const char *expect, int status, bool *ret_exact)
{
	struct hg_str rest = hg_str(expect);
	bool found = false;
	*ret_exact = false;
	while (rest.n) {
		struct hg_str c = hg_str_cut(&rest, ' ');
		if (c.n != 3 || c.p[0] - '0' != status / 100) continue;
		if (c.p[1] == 'x') {
			found = true;
		} else if ((c.p[1] - '0') * 10 + (c.p[2] - '0') == status % 100) {
			found = *ret_exact = true;
		}
	}
	return found;
}

/* The last one is asked a second before the end, however long the wait should be. */
static struct ro_hook_next again(
        const struct ro_hook_rules *r, uint64_t wait_ms, uint64_t elapsed_ms)
{
	uint64_t left = r->timeout_ms > elapsed_ms ? r->timeout_ms - elapsed_ms : 0;
	if (left <= LAST_MS) return (struct ro_hook_next){.verdict = RO_HOOK_FAILED, .late = true};
	return (struct ro_hook_next){
	        .verdict = RO_HOOK_AGAIN, .wait_ms = HG_MIN(wait_ms, left - LAST_MS)};
}

struct ro_hook_next ro_hook_decide(const struct ro_hook_rules *r, const struct ro_hook_seen *seen,
        uint32_t *failures, uint64_t elapsed_ms)
{
	bool exact, good = expected(r->expect, seen->status, &exact);
	int s = seen->status;
	uint64_t after =
	        HG_MIN(HG_MAX(seen->retry_after_ms, (uint64_t)FIRST_MS), (uint64_t)AFTER_MAX_MS);
	if (seen->hopeless) return (struct ro_hook_next){.verdict = RO_HOOK_FAILED};
	if (good && (exact || s != 202)) return (struct ro_hook_next){.verdict = RO_HOOK_PASSED};
	if (s == 202 || s == 409 || s == 425)
		return again(r, seen->retry_after_ms ? after : NOT_YET_MS, elapsed_ms);
	if (s != 0 && s != 408 && s != 429 && s < 500)
		return (struct ro_hook_next){.verdict = RO_HOOK_FAILED};
	if (*failures >= r->retries) return (struct ro_hook_next){.verdict = RO_HOOK_FAILED};
	uint32_t doubled = HG_MIN(*failures, 5u);
	++*failures;
	return again(r, seen->retry_after_ms ? after : HG_MIN(FIRST_MS << doubled, LONGEST_MS),
	        elapsed_ms);
}
