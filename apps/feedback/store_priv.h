/*
 * Where the rows are kept: a file (SQLite: reads at once, on the loop; writes through the writer's
 * thread) or a server (PostgreSQL: everything through the pool, answered later). The app asks the
 * store, and knows one difference: whether reads come at once.
 */
#ifndef FEEDBACK_STORE_PRIV_H
#define FEEDBACK_STORE_PRIV_H

#include "base/log.h"
#include "os/loop.h"

#include "apps/feedback/audit_priv.h"
#include "apps/feedback/config_priv.h"
#include "apps/feedback/rows_priv.h"
#include "apps/feedback/trace_priv.h"

#define STORE_KEY_MAX   160u  /* 128 of the client's, and whose it is */
#define STORE_HEALTH_MS 2000u /* /health and /metrics wait no longer for a server */

struct store;

/* Operations that may wait: some seconds of writes. Each takes 3 KiB. */
#define STORE_QUEUE_MAX 8192u

enum store_kind {
	STORE_CREATE,
	STORE_UPDATE,
	STORE_VOTE,
	STORE_STATUS,
	STORE_DELETE, /* the last one */
	/* reads */
	STORE_LIST,
	STORE_GET,
	STORE_TOTAL,
	STORE_STAMP, /* the total and the stamp, as the primary has them */
};

struct store_op {
	struct hg_list node;
	enum store_kind kind;
	void *tag; /* the caller's; nobody else looks at it */
	void (*finish)(
	        struct store_op *op); /* gets and frees it instead of `done`; NULL: that does */
	struct row row;               /* in: id, message, status; out: the row */
	bool same;                    /* out: it was like that, and nothing was changed */
	size_t key_n;                 /* STORE_CREATE: only once for this key; 0: always */
	char key[STORE_KEY_MAX];
	enum rows_once once; /* out, with a key */
	int64_t voter;       /* STORE_VOTE: whose, and … */
	bool given;          /* … whether it is given or taken back */
	int64_t before;      /* STORE_LIST: as rows_list */
	uint32_t limit;
	enum rows_form form; /* also how an answer with the row is written */
	struct hg_str json;  /* out: the list, valid in `done` */
	struct rows_page page;
	int64_t owner;      /* STORE_CREATE: of the new row; 0: nobody's */
	int64_t only_owner; /* STORE_UPDATE, STORE_DELETE: another's row is HG_E_DENIED; 0: any */
	struct audit_from from; /* of a write: who is to be written down with it */
	struct trace trace;     /* of who asks */
	char trace_field[TRACECTX_SIZE +
	                 1];         /* STORE_CREATE: what its jobs go on with; "": nothing */
	uint64_t begun_ns, ended_ns; /* out, Unix time: of what the database did */
	uint64_t seen;     /* a position of the database that the client has seen; 0: none */
	uint64_t position; /* out, of a write: its own; 0: it does not matter */
	enum hg_rc rc; /* out: HG_OK, HG_E_NOT_FOUND, HG_E_DENIED, or what the database said … */
	char why[320]; /* … and its words */
};

struct store_options {
	const struct config *config;
	/* Gets and frees each operation that was queued. */
	void (*done)(void *arg, struct store_op *op);
	/* Servers that are lost and found. */
	void (*note)(void *arg, enum hg_level level, const char *what, const char *server,
	        const char *why);
	void *arg;
};

/* Opens the database and brings its schema up to date: of a server it waits until there is one. */
HG_MUST enum hg_rc store_open(struct loop *l, const struct store_options *o,
        struct store **ret_store, struct hg_err *err);
/* What was queued is finished, or answered. Takes NULL. */
void store_close(struct store *s);
/* The rows to read at once; NULL: reads are queued too. */
struct rows *store_rows(struct store *s);
/* HG_E_NOMEM: too much waits; HG_E_AGAIN: the server is away. The operation stays the caller's. */
HG_MUST enum hg_rc store_queue(struct store *s, struct store_op *op, struct hg_err *err);
/* Metrics of the pool, in the Prometheus format; nothing for a file. */
void store_metrics(struct store *s, struct hg_buf *to);
/* For how long a client must bring back the position it was given; 0: no need. */
uint32_t store_position_s(const struct store *s);

#endif
