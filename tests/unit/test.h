/* cmocka needs these before its own header; every unit test includes this first. */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

/* They jump out of the test; told to the compiler, what was asserted is known after it. */
_Noreturn void _fail(const char *file, int line);
#undef assert_non_null
#define assert_non_null(p)                            \
	do {                                          \
		if (!(p)) fail_msg("%s is NULL", #p); \
	} while (0)

/* Compares an hg_str with a literal and shows both on failure. */
#define assert_str(have, want)                                                             \
	do {                                                                               \
		struct hg_str have_ = (have), want_ = hg_str(want);                        \
		if (!hg_str_eq(have_, want_))                                              \
			fail_msg("have \"%.*s\", want \"%s\"", HG_STR_ARG(have_), (want)); \
	} while (0)

#endif
