/*
 * What every fuzz target is: one function that must neither crash nor fail an assertion, whatever
 * the bytes are. The same file links to libFuzzer (meson -Dfuzz=true with clang) and to replay.c,
 * which runs the corpus as a plain test.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "base/str.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly this size on the heap, so that sanitizers see a read past its end. */
static inline char *fuzz_copy(struct hg_str s)
{
	char *p = malloc(s.n ? s.n : 1);
	HG_ASSERT(p);
	if (s.n) memcpy(p, s.p, s.n);
	return p;
}

/* Places to cut the input: all of a short one, some of a long one. */
static inline size_t fuzz_cut_step(size_t n)
{
	return n <= 256 ? 1 : n / 61;
}

#endif
