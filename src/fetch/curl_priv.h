/* The part of libcurl that is used, loaded while the program runs. */
#ifndef FETCH_CURL_PRIV_H
#define FETCH_CURL_PRIV_H

#include "base/err.h"

#include <curl/curl.h>

#define CURL_CALLS(X)          \
	X(global_init)         \
	X(easy_init)           \
	X(easy_cleanup)        \
	X(easy_perform)        \
	X(easy_setopt)         \
	X(easy_getinfo)        \
	X(easy_strerror)       \
	X(slist_append)        \
	X(slist_free_all)      \
	X(multi_init)          \
	X(multi_cleanup)       \
	X(multi_setopt)        \
	X(multi_assign)        \
	X(multi_add_handle)    \
	X(multi_remove_handle) \
	X(multi_info_read)     \
	X(multi_socket_action)

/* curl.h covers these names by macros that look at the arguments; here the functions are meant. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

struct curl_calls {
#define X(name) __typeof__(curl_##name) *name;
	CURL_CALLS(X)
#undef X
};

/* Never unloaded: a thread that resolves a name may be in it. HG_E_FETCH with the reason. */
HG_MUST enum hg_rc curl_calls_load(struct curl_calls *ret_calls, struct hg_err *err);

#endif
