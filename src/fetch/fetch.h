/*
 * Outgoing HTTP(S) on the event loop: one request, one answer, no state between them. libcurl does
 * the work and is loaded when it is needed first, so that programs that never ask pay nothing.
 *
 * What is fixed: http and https only, redirects are not followed, TLS certificates are verified
 * against the machine's store or a given one, proxies and .netrc of the environment are not looked
 * at, names are resolved on a thread of libcurl's, and at most FETCH_MAX requests are under way.
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "base/err.h"
#include "base/str.h"
#include "fetch/guard.h"
#include "os/loop.h"

#define FETCH_MAX         16u    /* under way at a time, unless fetch_limit says otherwise */
#define FETCH_BODY_MAX    65536u /* bytes of an answer that are kept; what follows is not read */
#define FETCH_HEADERS_MAX 24u
#define FETCH_FIELDS_MAX  16384u

struct fetch;      /* belongs to one loop */
struct fetch_call; /* one request under way */

struct fetch_request {
	const char *method;         /* "GET", "POST", … as it stands */
	const char *url;            /* absolute, http: or https: */
	const char *const *headers; /* "Name: value"; NULL with header_count 0 */
	uint32_t header_count;      /* FETCH_HEADERS_MAX at most */
	struct hg_str body;         /* n == 0: none */
	uint32_t timeout_ms;        /* from here to the last byte; names included. Not 0 */
	struct hg_str ca_pem; /* trusted instead of the machine's store; n == 0: the store is */
	bool keep_fields;     /* the answer's header fields are wanted */
	uint32_t body_max;    /* bytes of the answer's body that are kept; 0: FETCH_BODY_MAX */
	/* Which addresses a connection may be made to; NULL: all. With http: only those that it
	 * names. Copied. */
	const struct guard *guard;
};

enum fetch_result {
	FETCH_ANSWERED, /* a whole head of HTTP: status is set */
	FETCH_SILENT,   /* no connection, cut off, or too late: may be better next time */
	FETCH_REFUSED,  /* no HTTP, or a certificate that cannot be trusted: will be the same */
	FETCH_BLOCKED   /* the guard let no address of it pass: no connection was made */
};

struct fetch_answer {
	enum fetch_result result;
	int status;         /* 0 unless ANSWERED */
	int head_status;    /* of a head that came whole, whatever became of the rest; 0: none */
	struct hg_str body; /* as far as it came, FETCH_BODY_MAX at most; any bytes */
	bool cut;           /* there was more of it */
	uint64_t retry_after_ms; /* of the header Retry-After; 0: none */
	struct hg_str fields;    /* as they came, FETCH_FIELDS_MAX at most, if they were wanted */
	const char *why;         /* a sentence unless ANSWERED, else "" */
	const char *peer;        /* with a guard: the address that was asked; else "" */
};

/* From the loop, once; the call is over and its handle gone. Everything in `a` ends with the
 * function, which may start and cancel calls, but not free the fetch. */
typedef void (*fetch_fn)(void *arg, const struct fetch_answer *a);

/* Makes no connection and loads nothing. HG_E_NOMEM. */
HG_MUST enum hg_rc fetch_new(struct loop *l, struct fetch **ret_fetch, struct hg_err *err);
/* So many calls at a time instead of FETCH_MAX. */
void fetch_limit(struct fetch *f, uint32_t calls);
/* Calls that are under way end without being told. */
void fetch_free(struct fetch *f);

/* Loads the library now; HG_E_FETCH with the reason when that cannot be done. */
HG_MUST enum hg_rc fetch_ready(struct fetch *f, struct hg_err *err);

/*
 * Begins; `fn` is never called from inside. Everything in `r` may go afterwards. HG_E_AGAIN:
 * FETCH_MAX are under way; HG_E_FETCH: the library cannot be loaded, or refuses the request.
 */
HG_MUST enum hg_rc fetch_start(struct fetch *f, const struct fetch_request *r, fetch_fn fn,
        void *arg, struct fetch_call **ret_call, struct hg_err *err);
/* Value of the first field with this name, without spaces around it; empty: there is none. */
struct hg_str fetch_field(const struct fetch_answer *a, const char *name);
/* Ends it without being told; waits for nothing. NULL is fine. */
void fetch_cancel(struct fetch_call *c);

#endif
