/*
 * What every file of Headgate may rely on: attributes, assertions that stay on, object magics,
 * and the generated list of return codes. Includes nothing above the C library.
 */
#ifndef HG_BASE_HG_H
#define HG_BASE_HG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gen/errors.h" /* enum hg_rc: 0 is good, every failure is negative */

/* The result must be looked at. */
#define HG_MUST         __attribute__((warn_unused_result))
#define HG_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define HG_NORETURN     __attribute__((noreturn))
#define HG_UNUSED       __attribute__((unused))
#define HG_LIKELY(x)    __builtin_expect(!!(x), 1)
#define HG_UNLIKELY(x)  __builtin_expect(!!(x), 0)

#define HG_COUNT(a)                     (sizeof(a) / sizeof((a)[0]))
#define HG_MIN(a, b)                    ((a) < (b) ? (a) : (b))
#define HG_MAX(a, b)                    ((a) > (b) ? (a) : (b))
#define HG_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * Assertions state what cannot happen; they stay on in release builds. A worker that asserts
 * dies alone and is replaced. Memory, peers and disks are never asserted about.
 */
#define HG_ASSERT(cond)                                                                \
	do {                                                                           \
		if (HG_UNLIKELY(!(cond))) hg_assert_failed(#cond, __FILE__, __LINE__); \
	} while (0)

/* Writes one line to stderr and aborts. Async-signal-safe. */
HG_NORETURN void hg_assert_failed(const char *cond, const char *file, int line);

/*
 * Ends a forked child that keeps its parent's buffers unwritten (_exit). A coverage build writes
 * the child's line counts first.
 */
HG_NORETURN void hg_child_exit(int status);

/*
 * A pointer that crossed a callback or shared memory is turned back into its type through its
 * magic: `struct conn *c = HG_OBJ(arg, struct conn, CONN_MAGIC);`. The first member of such a
 * struct is `uint32_t magic`, set on creation and cleared on free.
 */
#define HG_OBJ(ptr, type, want) ((type *)hg_obj_check((ptr), (want), __FILE__, __LINE__))

static inline void *hg_obj_check(void *ptr, uint32_t want, const char *file, int line)
{
	uint32_t have = 0;
	if (ptr) __builtin_memcpy(&have, ptr, sizeof have);
	if (HG_UNLIKELY(have != want)) hg_assert_failed("object magic", file, line);
	return ptr;
}

#endif
