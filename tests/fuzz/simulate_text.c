/*
 * Profiles, faults and baselines take any bytes: they are refused at a place within the text, or
 * give numbers in their ranges at every time.
 */
#include "fuzz.h"

#include "control/simulate/simulate.h"

static void refused(const struct hg_err *err, struct hg_str text)
{
	HG_ASSERT(err->rc == HG_E_USAGE && err->message[0]);
	HG_ASSERT(err->column <= text.n + 1);
	HG_ASSERT(err->caret <= sizeof err->snippet);
}

static void traffic(struct hg_str text)
{
	struct sim_traffic t;
	struct hg_err err = {0};
	if (sim_traffic_parse(text, "--traffic", &t, &err) < 0) {
		refused(&err, text);
		return;
	}
	HG_ASSERT(t.count > 0 && t.count <= SIM_STAGES_MAX && t.unsafe >= 0 && t.unsafe <= 1);
	for (uint64_t ms = 0, turn = 0; turn < 2 * SIM_STAGES_MAX + 2; turn++) {
		struct sim_stage s = sim_traffic_at(&t, ms);
		HG_ASSERT(s.to >= 0 && s.to <= SIM_RATE_MAX);
		HG_ASSERT(!s.users || s.think_ms > 0);
		uint64_t next = sim_traffic_next(&t, ms);
		HG_ASSERT(next > ms);
		if (next == UINT64_MAX) break;
		ms = turn % 2 ? next : ms + (next - ms) / 2;
	}
}

static void fault(struct hg_str text)
{
	struct sim_fault f;
	struct hg_err err = {0};
	if (sim_fault_parse(text, "--fault", &f, &err) < 0) {
		refused(&err, text);
		return;
	}
	HG_ASSERT(f.kind < SIM_FAULT_KINDS && f.share >= 0 && f.share <= 1);
	HG_ASSERT(f.from_ms < f.till_ms && (f.factor >= 1 || !(f.factor > 0)));
}

static void baseline(struct hg_str text)
{
	struct sim_baseline b = {.median_ms = 1, .p95_ms = 2};
	struct hg_err err = {0};
	if (sim_baseline_parse(text, "--baseline", &b, &err) < 0) {
		refused(&err, text);
		return;
	}
	HG_ASSERT(b.errors >= 0 && b.errors <= 1 && b.median_ms > 0 && b.p95_ms >= b.median_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *copy = fuzz_copy((struct hg_str){(const char *)data, n});
	struct hg_str text = {copy, n};
	traffic(text);
	fault(text);
	baseline(text);
	free(copy);
	return 0;
}
