#include "fetch/curl_priv.h"

#include "os/library.h"

enum hg_rc curl_calls_load(struct curl_calls *ret_calls, struct hg_err *err)
{
	static const char *const name[] = {
#define X(name) "curl_" #name,
	        CURL_CALLS(X)
#undef X
	};
	/* Of Debian's libcurl4 and libcurl4-openssl-dev. */
	static const struct library lib = {.file = "libcurl.so.4",
	        .hint = "Install the package libcurl4.",
	        .rc = HG_E_FETCH,
	        .call = name,
	        .call_n = HG_COUNT(name)};
	enum hg_rc rc = library_load(&lib, ret_calls, sizeof *ret_calls, err);
	if (rc == HG_OK && ret_calls->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		rc = library_error(&lib, "it cannot be initialised", err);
	return rc;
}
