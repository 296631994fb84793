/*
 * A saved judge that was damaged, with its checksum put right so that the fuzzer gets in: what is
 * accepted must go on to judge with finite numbers, and be accepted again.
 */
#include "fuzz.h"

#include "base/crc32c.h"
#include "math/judge.h"

#include <math.h>

static void live(struct judge *j)
{
	struct judge_evidence e = j->lens.seen;
	struct judge_report r;
	uint8_t bytes[JUDGE_SAVED_SIZE];
	judge_report(j, &e, &r);
	HG_ASSERT(isfinite(r.e) && r.e >= 0 && isfinite(r.e_bad) && isfinite(r.e_good));
	e.count[JUDGE_ERRORS].c += 5;
	e.n_new += 50;
	judge_look(j, &e);
	judge_fold(j, 0.5, &e);
	judge_epoch(j, 0.5, &e);
	judge_report(j, &e, &r);
	HG_ASSERT(isfinite(r.e) && r.e >= 0);
	judge_save(j, bytes);
	HG_ASSERT(judge_load(bytes, sizeof bytes, j));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct judge j;
	uint8_t *copy = calloc(1, n ? n : 1);
	HG_ASSERT(copy);
	if (n) memcpy(copy, p, n);
	if (judge_load(copy, n, &j)) live(&j);
	if (n == JUDGE_SAVED_SIZE) {
		uint64_t crc = hg_crc32c(0, copy, n - 8);
		for (unsigned i = 0; i < 8; i++)
			copy[n - 8 + i] = (uint8_t)(crc >> (8 * i));
		if (judge_load(copy, n, &j)) live(&j);
	}
	free(copy);
	return 0;
}
