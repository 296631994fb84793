/* What Redis says of limits: numbers that its rules can give, or nothing. The first byte: how many
 * limits were asked about. */
#include "fuzz.h"

#include "data/edge/together_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct gcra_rule gcra[SNAP_LIMITS] = {{60000000, 59940000000}, {1, 0},
	        {72000000, 3599928000000}, {3600000000000, 7200000000000}};
	struct together_rule rule[SNAP_LIMITS];
	struct together_said said;
	struct resp_scan s = {0};
	struct resp_value v;
	size_t whole = 0;
	if (n == 0) return 0;
	struct hg_str in = {(const char *)data + 1, n - 1};
	uint32_t count = 1 + data[0] % SNAP_LIMITS;
	for (uint32_t i = 0; i < SNAP_LIMITS; i++)
		rule[i] = together_rule_of(gcra[i]);
	if (resp_scan(&s, in, 65536, &whole) != RESP_DONE) return 0;
	struct hg_str rest = {in.p, whole};
	if (!resp_next(&rest, &v) || !together_read(v, rest, rule, count, &said)) return 0;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t most = rule[i].tolerance + rule[i].interval;
		HG_ASSERT(said.limit[i].ahead_ns <= most * TOGETHER_TICK_NS);
		HG_ASSERT(said.limit[i].wait_ns <= rule[i].interval * TOGETHER_TICK_NS);
		HG_ASSERT(said.limit[i].left <= rule[i].tolerance / rule[i].interval);
		HG_ASSERT(!said.limit[i].refused || !said.admit);
	}
	return 0;
}
