/*
 * Shared libraries that are loaded while the program runs, by whoever first needs them: a machine
 * without one runs everything else, and who does not need it pays nothing for it. They are never
 * unloaded: a thread of theirs may still be in them.
 */
#ifndef HG_OS_LIBRARY_H
#define HG_OS_LIBRARY_H

#include "base/err.h"

struct library {
	const char *file;        /* "libpq.so.5": the number is the ABI that was compiled for */
	const char *hint;        /* for who reads the error: the package to install */
	enum hg_rc rc;           /* of the error */
	const char *const *call; /* names of the functions that are used */
	size_t call_n;
};

/*
 * Fills `ret_calls`, an array of call_n function pointers (or a struct of nothing else), in the
 * order of the names. Loading again costs little and gives the same. On an error, which is
 * lib->rc with the reason, nothing is written.
 */
HG_MUST enum hg_rc library_load(
        const struct library *lib, void *ret_calls, size_t ret_size, struct hg_err *err);

/* An error of this library that is not one of loading, in the same words. */
enum hg_rc library_error(const struct library *lib, const char *why, struct hg_err *err);

#endif
