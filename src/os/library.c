#include "os/library.h"

#include <dlfcn.h>
#include <string.h>

#define CALLS_MAX 64u

enum hg_rc library_error(const struct library *lib, const char *why, struct hg_err *err)
{
	enum hg_rc rc = hg_err_set(err, lib->rc, "could not load %s", lib->file);
	hg_err_detail(err, "%s", why ? why : "");
	hg_err_hint(err, "%s", lib->hint);
	return rc;
}

enum hg_rc library_load(
        const struct library *lib, void *ret_calls, size_t ret_size, struct hg_err *err)
{
	void *call[CALLS_MAX];
	HG_ASSERT(lib->call_n <= CALLS_MAX && ret_size == lib->call_n * sizeof call[0]);
	void *so = dlopen(lib->file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!so) return library_error(lib, dlerror(), err);
	for (size_t i = 0; i < lib->call_n; i++) {
		call[i] = dlsym(so, lib->call[i]);
		if (!call[i]) return library_error(lib, dlerror(), err);
	}
	/* ISO C has no conversion from an object's pointer to a function's; POSIX says that the
	 * bytes are the same. */
	memcpy(ret_calls, call, ret_size);
	return HG_OK;
}
