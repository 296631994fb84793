/*
 * ACME (RFC 8555), the pure half. Two machines, both (state, observation, now) → (state′, what to
 * do), without I/O and clock:
 *
 *   schedule  which certificate is due, at which authority, and whether it may be asked for now:
 *             renewal (2/3 of the lifetime, or as the authority suggests: RFC 9773), back-off of
 *             failures, and the most orders in an hour
 *   session   one order from the directory to the certificate, one request at a time
 *
 * Times are milliseconds of the wall clock since 1970, because they outlive processes. What an
 * authority sends is read in parse.c; requests are signed in jose.c; acme.c does.
 */
#ifndef CONTROL_ACME_DECIDE_H
#define CONTROL_ACME_DECIDE_H

#include "base/rand.h"
#include "base/str.h"

#define ACME_NAMES_MAX  16u /* in one certificate: os/tls.h reads as many */
#define ACME_CERTS_MAX  512u
#define ACME_CAS_MAX    4u
#define ACME_URL_MAX    512u
#define ACME_NAME_MAX   254u
#define ACME_TOKEN_MAX  129u /* with the closing zero, as in cert/cert.h */
#define ACME_NONCE_MAX  256u
#define ACME_WHY_MAX    400u
#define ACME_ID_MAX     128u
#define ACME_ORDERS_MAX 300u /* an hour */

enum acme_challenge { ACME_HTTP_01, ACME_TLS_ALPN_01, ACME_DNS_01 };

/* Why an order came to nothing, as far as it matters for what is tried next. */
enum acme_trouble {
	ACME_NO_TROUBLE,
	ACME_AWAY,    /* no answer, or 5xx */
	ACME_LIMITED, /* rateLimited */
	ACME_NAME,    /* could not be validated: another authority would say the same */
	ACME_REFUSED, /* this authority does not want to: caa, rejectedIdentifier, malformed, … */
	ACME_SLOW,    /* no end within the time for one order */
	ACME_LOCAL    /* ours: a challenge could not be placed, a chain that is not in order */
};

/* ---- what an authority said (parse.c) ---- */

enum acme_ask {
	ACME_ASK_DIRECTORY,
	ACME_ASK_NONCE,
	ACME_ASK_ACCOUNT,
	ACME_ASK_ORDER,
	ACME_ASK_AUTH,     /* POST-as-GET of an authorization */
	ACME_ASK_VALIDATE, /* tells that a challenge is in place */
	ACME_ASK_FINALIZE,
	ACME_ASK_POLL, /* POST-as-GET of the order */
	ACME_ASK_CERT,
	ACME_ASK_RENEWAL /* renewal information */
};

enum acme_status {
	ACME_ST_OTHER,
	ACME_ST_PENDING,
	ACME_ST_PROCESSING,
	ACME_ST_READY,
	ACME_ST_VALID,
	ACME_ST_INVALID /* also deactivated, expired, revoked */
};

/* RFC 8555 section 6.7 and RFC 9773 section 5; the part behind urn:ietf:params:acme:error:. */
#define ACME_PROBLEMS(X)                                        \
	X(ACCOUNT_DOES_NOT_EXIST, "accountDoesNotExist")        \
	X(ALREADY_REPLACED, "alreadyReplaced")                  \
	X(ALREADY_REVOKED, "alreadyRevoked")                    \
	X(BAD_CSR, "badCSR")                                    \
	X(BAD_NONCE, "badNonce")                                \
	X(BAD_PUBLIC_KEY, "badPublicKey")                       \
	X(BAD_REVOCATION_REASON, "badRevocationReason")         \
	X(BAD_SIGNATURE_ALGORITHM, "badSignatureAlgorithm")     \
	X(CAA, "caa")                                           \
	X(COMPOUND, "compound")                                 \
	X(CONNECTION, "connection")                             \
	X(DNS, "dns")                                           \
	X(EXTERNAL_ACCOUNT_REQUIRED, "externalAccountRequired") \
	X(INCORRECT_RESPONSE, "incorrectResponse")              \
	X(INVALID_CONTACT, "invalidContact")                    \
	X(MALFORMED, "malformed")                               \
	X(ORDER_NOT_READY, "orderNotReady")                     \
	X(RATE_LIMITED, "rateLimited")                          \
	X(REJECTED_IDENTIFIER, "rejectedIdentifier")            \
	X(SERVER_INTERNAL, "serverInternal")                    \
	X(TLS, "tls")                                           \
	X(UNAUTHORIZED, "unauthorized")                         \
	X(UNSUPPORTED_CONTACT, "unsupportedContact")            \
	X(UNSUPPORTED_IDENTIFIER, "unsupportedIdentifier")      \
	X(USER_ACTION_REQUIRED, "userActionRequired")

enum acme_problem_type {
	ACME_P_NONE,
	ACME_P_UNKNOWN,
#define X(name, text) ACME_P_##name,
	ACME_PROBLEMS(X)
#undef X
};

struct acme_problem {
	enum acme_problem_type type;
	char text[ACME_WHY_MAX]; /* "unauthorized: …", one line of clean UTF-8 */
};

/* Only what the request was for is filled. */
struct acme_body {
	bool good; /* everything that is needed was there */
	char new_nonce[ACME_URL_MAX], new_account[ACME_URL_MAX], new_order[ACME_URL_MAX];
	char renewal[ACME_URL_MAX], terms[ACME_URL_MAX];
	bool eab; /* accounts need one from outside */
	enum acme_status status;
	char finalize[ACME_URL_MAX], certificate[ACME_URL_MAX];
	uint32_t auth_count;
	char auth[ACME_NAMES_MAX][ACME_URL_MAX];
	char name[ACME_NAME_MAX]; /* of an authorization */
	bool offered;             /* it has the challenge that was wanted */
	char challenge[ACME_URL_MAX], token[ACME_TOKEN_MAX];
	int64_t window_from_ms, window_until_ms;
	struct acme_problem problem; /* of the answer, the order or the challenge */
};

/* Reads an answer's body; anything at all may come in. `status`: of HTTP; from 400 on it is a
 * problem document. `want`: which challenge of an authorization counts. */
void acme_parse(enum acme_ask ask, int status, enum acme_challenge want, struct hg_str body,
        struct acme_body *ret_body);
/* "2026-11-26T08:40:00Z" (RFC 3339, any offset) to milliseconds; false: it is none. */
bool acme_time(const char *text, int64_t *ret_ms);

/* ---- one order ---- */

enum acme_phase {
	ACME_OFF,
	ACME_DIRECTORY,
	ACME_NONCE,
	ACME_ACCOUNT,
	ACME_ORDER,
	ACME_AUTHS,
	ACME_PLACE, /* challenges are being put where the authority will look */
	ACME_VALIDATE,
	ACME_CHECK,
	ACME_POLL,
	ACME_FINALIZE,
	ACME_CERT,
	ACME_RENEWAL
};

struct acme_auth {
	char url[ACME_URL_MAX], challenge[ACME_URL_MAX];
	char name[ACME_NAME_MAX], token[ACME_TOKEN_MAX];
	bool pending; /* has to be validated */
};

struct acme_session {
	enum acme_phase phase;
	bool renewal_only; /* asks for renewal information and no more */
	enum acme_challenge challenge;
	bool has_eab;
	char renewal_id[ACME_ID_MAX]; /* of the certificate that is replaced; "": none */
	int64_t began_ms;
	/* From the directory. */
	char directory[ACME_URL_MAX], new_nonce[ACME_URL_MAX], new_account[ACME_URL_MAX];
	char new_order[ACME_URL_MAX], renewal[ACME_URL_MAX], terms[ACME_URL_MAX];
	bool eab;
	/* What goes on. The first three outlive control. */
	char account[ACME_URL_MAX], order[ACME_URL_MAX], finalize[ACME_URL_MAX];
	char certificate[ACME_URL_MAX], nonce[ACME_NONCE_MAX];
	uint32_t auth_count, at;
	struct acme_auth auth[ACME_NAMES_MAX];
	uint32_t tries;     /* of the present request, for want of an answer */
	uint32_t bad_nonce; /* likewise */
	uint32_t looks;     /* polls of this phase */
	bool validated;     /* everything was valid: the order need only follow */
};

enum acme_seen_kind {
	ACME_SEEN_TIME,   /* the wait is over, or it begins */
	ACME_SEEN_ANSWER, /* of the authority */
	ACME_SEEN_PLACED  /* the challenges are where they will be looked for, or cannot be */
};

struct acme_seen {
	enum acme_seen_kind kind;
	int status;    /* of HTTP; 0: no answer */
	bool hopeless; /* no answer, and asking again would not help */
	const char *why;
	const char *nonce, *location; /* fields of the answer, "" when they are not there */
	int64_t retry_after_ms;       /* 0: none */
	const struct acme_body *body; /* not of ACME_ASK_CERT */
	bool placed;
};

enum acme_act {
	ACME_DO_ASK,
	ACME_DO_WAIT,
	ACME_DO_PLACE,  /* put all pending challenges in place, then ACME_SEEN_PLACED */
	ACME_DO_TAKE,   /* the answer's body is the chain */
	ACME_DO_WINDOW, /* the answer has a window for renewal */
	ACME_DO_END,    /* renewal information is not to be had */
	ACME_DO_FAIL
};

struct acme_do {
	enum acme_act act;
	bool save;          /* the session is to be durable before anything else is done */
	bool clear;         /* challenges need not be in place any more */
	bool fresh_account; /* the account's URL is new */
	enum acme_ask ask;
	const char *url;   /* in the session, or ret_url_text */
	bool post, by_key; /* signed; with the key itself and not the account's URL */
	int64_t wait_ms;   /* from now */
	enum acme_trouble trouble;
	int64_t retry_after_ms; /* as the authority asks; 0: it does not */
	const char *why;        /* lives as long as what was seen */
	char url_text[ACME_URL_MAX + ACME_ID_MAX];
};

/* How long one order may take. */
#define ACME_SESSION_MS (15 * 60 * 1000)

/*
 * The next thing to do. With ACME_SEEN_TIME a session that was just filled, or read from disk,
 * begins: phase ACME_OFF, the directory's URL and, when it is known, the account's and the order's.
 */
void acme_step(struct acme_session *s, const struct acme_seen *seen, struct hg_rand *r,
        int64_t now_ms, struct acme_do *ret_do);

/* ---- which one, and when ---- */

enum acme_staging {
	ACME_STAGING_NONE,
	ACME_STAGING_AFTER, /* proves that it works again after a failure */
	ACME_STAGING_FIRST  /* … and before the first certificate */
};

struct acme_rules {
	uint32_t ca_count;
	uint32_t orders_per_hour;
	int64_t retry_ms; /* after the first failure; doubles up to a day */
	enum acme_staging staging;
};

/* What is known of one certificate. All but the names may be zero. */
struct acme_cert {
	uint32_t name_count;
	char names[ACME_NAMES_MAX][ACME_NAME_MAX];
	int64_t from_ms, until_ms; /* 0: there is none yet */
	int64_t renew_ms;          /* when it is due */
	int64_t ari_ms;            /* when renewal information is asked for next; 0: never */
	int64_t window_from_ms, window_until_ms;
	uint32_t failures;
	int64_t next_ms;        /* nothing before, for failures' sake */
	uint32_t ca;            /* whose turn it is */
	bool proved;            /* staging has issued it since the last failure */
	bool wanted;            /* somebody asked for a new one now */
	char why[ACME_WHY_MAX]; /* of the last failure; "": there was none since the last success */
};

/* When orders were made, of all certificates, the newest last. */
struct acme_book {
	uint32_t count;
	int64_t at_ms[ACME_ORDERS_MAX];
};

enum acme_due_kind { ACME_DUE_NOTHING, ACME_DUE_ORDER, ACME_DUE_RENEWAL };

struct acme_due {
	enum acme_due_kind kind;
	uint32_t cert, ca;
	bool staging;
	int64_t wake_ms; /* NOTHING: when to look again; INT64_MAX: never */
};

/* `ca_after_ms`: of each authority, not to be asked for orders before. */
struct acme_due acme_schedule(const struct acme_cert *certs, uint32_t n,
        const struct acme_rules *rules, const struct acme_book *book,
        const int64_t ca_after_ms[ACME_CAS_MAX], int64_t now_ms);
/* An order is about to be made. */
void acme_book_add(struct acme_book *b, int64_t now_ms);
/* It came to nothing: who is next, and when. Staging that is away or slow is done without. */
void acme_cert_failed(struct acme_cert *c, const struct acme_rules *rules, bool staging,
        enum acme_trouble trouble, int64_t retry_after_ms, struct hg_rand *r, int64_t now_ms);
/* Staging has issued. */
void acme_cert_proved(struct acme_cert *c);
/* A certificate is there; `ari`: its authority gives renewal information. */
void acme_cert_issued(struct acme_cert *c, int64_t from_ms, int64_t until_ms, bool ari,
        struct hg_rand *r, int64_t now_ms);
/* The authority suggests a window; 0, 0: it says nothing (now). */
void acme_cert_window(struct acme_cert *c, int64_t from_ms, int64_t until_ms,
        int64_t retry_after_ms, struct hg_rand *r, int64_t now_ms);

#endif
