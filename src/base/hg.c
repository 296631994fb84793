#include "base/hg.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t put(char *to, size_t at, size_t cap, const char *s)
{
	size_t n = strlen(s);
	if (n > cap - at) n = cap - at;
	memcpy(to + at, s, n);
	return at + n;
}

void hg_assert_failed(const char *cond, const char *file, int line)
{
	char text[512], digits[12];
	size_t at = 0, d = sizeof digits - 1;
	digits[d] = 0;
	for (unsigned v = line > 0 ? (unsigned)line : 0;; v /= 10) {
		digits[--d] = (char)('0' + v % 10);
		if (v < 10) break;
	}
	at = put(text, at, sizeof text, "headgate: assertion failed: ");
	at = put(text, at, sizeof text, cond);
	at = put(text, at, sizeof text, " at ");
	at = put(text, at, sizeof text, file);
	at = put(text, at, sizeof text, ":");
	at = put(text, at, sizeof text, digits + d);
	at = put(text, at, sizeof text, "\n");
	if (write(2, text, at) < 0) abort();
	abort();
}

#ifdef HG_COVERAGE
void __gcov_dump(void);
#endif

void hg_child_exit(int status)
{
#ifdef HG_COVERAGE
	__gcov_dump();
#endif
	_exit(status);
}
