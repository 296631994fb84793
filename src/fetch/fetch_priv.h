/* One call under way, between what drives libcurl and the protocols above it. */
#ifndef FETCH_FETCH_PRIV_H
#define FETCH_FETCH_PRIV_H

#include "base/buf.h"
#include "base/list.h"
#include "fetch/curl_priv.h"
#include "fetch/fetch.h"
#include "wire/ip.h"

#define FETCH_CONNECT_MAX_MS \
	10000L /* one address that does not answer must not take all the time */
#define FETCH_WHY_MAX 320u

struct fetch;

struct fetch_call {
	struct hg_list node;
	struct fetch *f;
	const struct curl_calls *curl;
	CURL *easy;
	struct curl_slist *headers;
	struct hg_buf body, fields;
	size_t body_max;
	bool cut;
	bool headed; /* the answer's head came whole */
	bool fields_wanted;
	struct guard *guard; /* NULL: every address is fine */
	bool plain;          /* http: the guard must name the address */
	bool blocked;        /* it did not let an address pass, the last of this class */
	enum guard_class refused;
	char peer[IP_TEXT_MAX]; /* the address it was last connected to */
	char error[CURL_ERROR_SIZE];
	fetch_fn fn;
	void *arg;
};

#define FETCH_SET(c, option, value) ((c)->curl->easy_setopt((c)->easy, option, value) == CURLE_OK)

/* A call without options; HG_E_AGAIN, HG_E_NOMEM, HG_E_FETCH. */
HG_MUST enum hg_rc fetch_call_new(
        struct fetch *f, void *arg, struct fetch_call **ret_call, struct hg_err *err);
/* What holds for every call: time, certificates, no proxy, nothing kept. */
HG_MUST bool fetch_call_limits(struct fetch_call *c, const char *protocols, uint32_t timeout_ms);
/* Its options are set: it begins. Frees it when that fails. */
HG_MUST enum hg_rc fetch_call_go(struct fetch_call *c, struct hg_err *err);
void fetch_call_free(struct fetch_call *c);
/* Why a call failed, as curl has it. */
const char *fetch_call_why(const struct fetch_call *c, CURLcode code);

#endif
