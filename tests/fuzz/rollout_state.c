/*
 * A rollout's saved state survives any bytes. Checksums would keep a fuzzer out, so the input is
 * also tried with both of them put right; what loads is saved as it was, and can be decided about.
 */
#include "fuzz.h"

#include "base/crc32c.h"
#include "control/rollout/decide.h"

static void crc_put(uint8_t *p, size_t n)
{
	uint64_t crc = hg_crc32c(0, p, n - 8);
	for (unsigned i = 0; i < 8; i++)
		p[n - 8 + i] = (uint8_t)(crc >> (8 * i));
}

static void decide(struct ro_state *s, uint8_t pick)
{
	static struct ro_actions out;
	struct ro_observation o = {.replicas = pick % 5,
	        .fleet_known = pick & 1,
	        .old_arm = {.ready = pick >> 1 & 3, .total = 3},
	        .new_arm = {.ready = pick >> 3 & 3, .total = 3},
	        .want = {.serving = s->old_release},
	        .memory_id = pick & 2 ? s->memory_id : 1,
	        .tripped = pick & 4,
	        .superseded = pick & 8,
	        .evidence_epoch = s->head.epoch,
	        .evidence = {.n_new = pick * 1000ull, .n_old = pick}};
	for (unsigned i = 0; i < RO_GATES_MAX; i++)
		o.gate[i].state = (pick + i) % RO_GATE_WAITING;
	for (unsigned turn = 0; turn < 8; turn++) {
		ro_decide(s, &o, s->last_ms + 1000, &out);
		for (uint32_t i = 0; i < out.n; i++) {
			if (out.a[i].kind == RO_SPLIT) o.split = out.a[i].split;
			if (out.a[i].kind == RO_WANT) o.want = out.a[i].want;
			if (out.a[i].kind == RO_END_TRIAL) o.split.present = false;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct ro_state s;
	if (n == 0) return 0;
	uint8_t again[RO_SAVED_MAX];
	uint8_t *copy = (uint8_t *)fuzz_copy((struct hg_str){(const char *)data, n});
	(void)!ro_load(copy, n, &s);
	if (n > JUDGE_SAVED_SIZE + 8) {
		crc_put(copy + n - 8 - JUDGE_SAVED_SIZE, JUDGE_SAVED_SIZE);
		crc_put(copy, n);
		if (ro_load(copy, n, &s)) {
			size_t saved = ro_save(&s, again, sizeof again);
			/* What a former program saved gets longer; the judge takes -0 for 0. */
			HG_ASSERT(saved >= n);
			if (saved == n)
				HG_ASSERT(memcmp(again, copy, n - JUDGE_SAVED_SIZE - 8) == 0);
			decide(&s, copy[8]);
		}
	}
	free(copy);
	return 0;
}
