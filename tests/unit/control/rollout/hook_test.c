/* What a service's answer means for the gate that asked. */
#include "../../test.h"

#include "control/rollout/hook_priv.h"

#include <stdio.h>

static void each_answer_has_its_meaning(void **state)
{
	static const struct {
		const char *expect;
		int status;
		bool hopeless;
		uint64_t retry_after_ms;
		uint32_t failures, elapsed_s; /* before */
		enum ro_hook_verdict verdict;
		uint64_t wait_ms;
		uint32_t failures_after;
		bool late;
	} table[] = {
	        {"2xx", 200, false, 0, 0, 0, RO_HOOK_PASSED, 0, 0, false},
	        {"2xx", 299, false, 0, 3, 29, RO_HOOK_PASSED, 0, 3, false},
	        {"200 404", 404, false, 0, 0, 0, RO_HOOK_PASSED, 0, 0, false},
	        {"200 404", 204, false, 0, 0, 0, RO_HOOK_FAILED, 0, 0, false},
	        {"2xx", 302, false, 0, 0, 0, RO_HOOK_FAILED, 0, 0, false},
	        {"2xx", 403, false, 9000, 0, 0, RO_HOOK_FAILED, 0, 0, false},
	        /* Not yet: as it says, or in five seconds; this is no failure. */
	        {"2xx", 202, false, 0, 0, 0, RO_HOOK_AGAIN, 5000, 0, false},
	        {"2xx", 409, false, 3000, 2, 0, RO_HOOK_AGAIN, 3000, 2, false},
	        {"2xx", 425, false, 0, 0, 0, RO_HOOK_AGAIN, 5000, 0, false},
	        {"202", 202, false, 0, 0, 0, RO_HOOK_PASSED, 0, 0, false},
	        {"2xx 409", 409, false, 0, 0, 0, RO_HOOK_PASSED, 0, 0, false},
	        {"2xx", 202, false, 10, 0, 0, RO_HOOK_AGAIN, 1000, 0, false},
	        {"2xx", 202, false, 600000, 0, 0, RO_HOOK_AGAIN, 29000, 0, false},
	        /* Trouble: growing pauses, so many times. */
	        {"2xx", 503, false, 0, 0, 0, RO_HOOK_AGAIN, 1000, 1, false},
	        {"2xx", 500, false, 0, 1, 0, RO_HOOK_AGAIN, 2000, 2, false},
	        {"2xx", 0, false, 0, 3, 0, RO_HOOK_AGAIN, 8000, 4, false},
	        {"2xx", 429, false, 4000, 3, 0, RO_HOOK_AGAIN, 4000, 4, false},
	        {"2xx", 408, false, 0, 0, 0, RO_HOOK_AGAIN, 1000, 1, false},
	        {"2xx", 503, false, 0, 4, 0, RO_HOOK_FAILED, 0, 4, false},
	        {"5xx", 503, false, 0, 0, 0, RO_HOOK_PASSED, 0, 0, false},
	        {"2xx", 0, true, 0, 0, 0, RO_HOOK_FAILED, 0, 0, false},
	        /* The last one is a second before the end. */
	        {"2xx", 202, false, 0, 0, 27, RO_HOOK_AGAIN, 2000, 0, false},
	        {"2xx", 202, false, 0, 0, 29, RO_HOOK_FAILED, 0, 0, true},
	        {"2xx", 0, false, 0, 0, 31, RO_HOOK_FAILED, 0, 1, true},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(table); i++) {
		struct ro_hook_rules r = {
		        .expect = table[i].expect, .timeout_ms = 30000, .retries = 4};
		struct ro_hook_seen seen = {.status = table[i].status,
		        .hopeless = table[i].hopeless,
		        .retry_after_ms = table[i].retry_after_ms};
		uint32_t failures = table[i].failures;
		struct ro_hook_next n =
		        ro_hook_decide(&r, &seen, &failures, table[i].elapsed_s * 1000u);
		if (n.verdict != table[i].verdict || n.wait_ms != table[i].wait_ms ||
		        n.late != table[i].late || failures != table[i].failures_after)
			fail_msg("row %zu: verdict %d, wait %llu ms, late %d, failures %u", i,
			        n.verdict, (unsigned long long)n.wait_ms, n.late, failures);
	}
}

/* Whatever a service does, the gate ends: no more than its time-out and the last second. */
static void it_ends_whatever_is_answered(void **state)
{
	static const int status[] = {0, 202, 503, 429};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(status); i++) {
		struct ro_hook_rules r = {.expect = "2xx", .timeout_ms = 60000, .retries = 1000};
		struct ro_hook_seen seen = {.status = status[i]};
		uint32_t failures = 0, asks = 0;
		uint64_t now = 0;
		struct ro_hook_next n;
		do {
			n = ro_hook_decide(&r, &seen, &failures, now);
			now += n.wait_ms + 10;
			assert_true(++asks < 20);
		} while (n.verdict == RO_HOOK_AGAIN);
		assert_int_equal(n.verdict, RO_HOOK_FAILED);
		assert_in_range(now, 59000, 61000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_answer_has_its_meaning),
	        cmocka_unit_test(it_ends_whatever_is_answered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
