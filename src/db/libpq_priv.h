/*
 * The part of libpq that is used, loaded by whoever first names a PostgreSQL database: it brings
 * Kerberos and LDAP along, which a program with an SQLite file should not pay for.
 */
#ifndef DB_LIBPQ_PRIV_H
#define DB_LIBPQ_PRIV_H

#include "base/err.h"

#include <libpq-fe.h>

#define LIBPQ_CALLS(X)        \
	X(connectStartParams) \
	X(connectPoll)        \
	X(connectdbParams)    \
	X(conninfoParse)      \
	X(conninfoFree)       \
	X(freemem)            \
	X(finish)             \
	X(status)             \
	X(socket)             \
	X(errorMessage)       \
	X(setnonblocking)     \
	X(setNoticeProcessor) \
	X(enterPipelineMode)  \
	X(pipelineSync)       \
	X(sendPrepare)        \
	X(sendQueryPrepared)  \
	X(flush)              \
	X(consumeInput)       \
	X(isBusy)             \
	X(getResult)          \
	X(transactionStatus)  \
	X(exec)               \
	X(prepare)            \
	X(execPrepared)       \
	X(clear)              \
	X(resultStatus)       \
	X(resultErrorField)   \
	X(ntuples)            \
	X(getvalue)           \
	X(getlength)          \
	X(getisnull)          \
	X(cmdTuples)          \
	X(host)               \
	X(port)

struct libpq {
#define X(name) __typeof__(PQ##name) *name;
	LIBPQ_CALLS(X)
#undef X
};

/* Never unloaded. HG_E_DB_OPEN with the reason. */
HG_MUST enum hg_rc libpq_load(struct libpq *ret_calls, struct hg_err *err);

/* "postgres://…" or "postgresql://…" */
bool libpq_is_url(const char *url);

/* What an SQLSTATE means to the caller; "" or NULL: the connection. */
enum hg_rc libpq_rc_of(const char *sqlstate);

/* The parameters for connectdbParams: the address' own, then ours where it has none. */
#define LIBPQ_PARAMETERS_MAX 64
struct libpq_parameters {
	const char *key[LIBPQ_PARAMETERS_MAX + 1]; /* NULL at the end */
	const char *value[LIBPQ_PARAMETERS_MAX + 1];
	size_t n;
	char text[4096]; /* of what we made */
	size_t text_n;
	PQconninfoOption *options; /* what `key` and `value` point into */
};

struct libpq_wishes {
	const char *session;   /* target_session_attrs */
	uint32_t statement_ms; /* statement_timeout; 0: none */
	uint32_t connect_ms;   /* connect_timeout, for calls that block */
	const char *lock_ms;   /* lock_timeout; NULL: none */
	const char *name;      /* application_name */
};

/* HG_E_INVALID with libpq's words. Free with libpq_parameters_free, also after a failure. */
HG_MUST enum hg_rc libpq_parameters_of(const struct libpq *pq, const char *url,
        const struct libpq_wishes *w, struct libpq_parameters *ret_p, struct hg_err *err);
void libpq_parameters_free(const struct libpq *pq, struct libpq_parameters *p);
/* NULL when not set. */
const char *libpq_parameter(const struct libpq_parameters *p, const char *key);
/* Replaces or adds; `value` must stay. */
void libpq_parameter_set(struct libpq_parameters *p, const char *key, const char *value);

/* One line, trimmed, of what libpq says in several. */
void libpq_words(const char *message, char *to, size_t cap);

#endif
