#include "fetch/curl_priv.h"

#include <dlfcn.h>
#include <string.h>

/* The name that Debian's libcurl4 and libcurl4-openssl-dev have; the number is its ABI. */
#define LIBRARY "libcurl.so.4"

static enum hg_rc no_library(const char *why, struct hg_err *err)
{
	enum hg_rc rc = hg_err_set(err, HG_E_FETCH, "could not load %s", LIBRARY);
	hg_err_detail(err, "%s", why ? why : "");
	hg_err_hint(err, "Install the package libcurl4.");
	return rc;
}

enum hg_rc curl_calls_load(struct curl_calls *ret_calls, struct hg_err *err)
{
	static const char *const name[] = {
#define X(name) "curl_" #name,
	        CURL_CALLS(X)
#undef X
	};
	void *call[HG_COUNT(name)];
	_Static_assert(sizeof call == sizeof *ret_calls, "one pointer a call");
	void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!lib) return no_library(dlerror(), err);
	for (size_t i = 0; i < HG_COUNT(name); i++) {
		call[i] = dlsym(lib, name[i]);
		if (!call[i]) return no_library(dlerror(), err);
	}
	/* ISO C has no conversion from an object's pointer to a function's; POSIX says that the
	 * bytes are the same. */
	memcpy(ret_calls, call, sizeof call);
	if (ret_calls->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return no_library("it cannot be initialised", err);
	return HG_OK;
}
