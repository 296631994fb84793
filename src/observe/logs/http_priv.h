/* What a query string asks of the log store. */
#ifndef OBSERVE_LOGS_HTTP_PRIV_H
#define OBSERVE_LOGS_HTTP_PRIV_H

#include "observe/logs/http.h"

/* What the query string asks for; pointers go into the struct itself. */
struct logs_ask {
	struct logs_query q;
	char app[LOGS_APP_MAX], grep[LOGS_GREP_MAX + 1], cursor_app[LOGS_APP_MAX];
	uint64_t limit;
	uint32_t buckets; /* 0: not named */
	bool has_limit, has_order, follow, array;
};

/* Pure. False: `ret_why` says what is wrong, in words for the caller of the API. */
HG_MUST bool logs_ask_read(struct hg_str query, uint64_t now_ns, struct logs_ask *ret_ask,
        char *ret_why, size_t why_cap);

/* What is counted for the same parameters and `buckets`: since defaults to an hour ago, until to
 * now. False: `ret_why` as above. */
HG_MUST bool logs_ask_volume(struct hg_str query, uint64_t now_ns, struct logs_ask *ret_ask,
        struct logs_volume *ret_volume, char *ret_why, size_t why_cap);

#endif
