/*
 * A pool of PostgreSQL connections on one loop, for one primary and up to DB_POOL_REPLICAS_MAX
 * read replicas. Nothing blocks: connections are made, statements prepared and results read as the
 * sockets allow; names are looked up on a thread.
 *
 * Queries are prepared statements of a fixed table, sent in pipeline mode, each with a sync of its
 * own: each is a transaction of its own, and is answered after its commit. A query waits in a
 * bounded queue while every connection is full; its deadline counts the waiting. A connection that
 * does not answer in time is closed (the session's statement_timeout ends what runs on the server).
 *
 * When a connection is lost, what was in flight is sent again elsewhere if it is a read or marked
 * repeatable; a write is answered HG_E_AGAIN, and nobody knows whether it was carried out. What
 * the server has certainly not carried out (it had become a standby, rolled back by a deadlock) is
 * sent again by itself. The address may name several hosts; libpq takes the one that accepts
 * writes, so that a promoted standby is found.
 *
 * Reads go to the least loaded replica whose lag is below `lag_max_ms` and that has replayed
 * `after_lsn`, else to the primary. Lag is the age of the oldest position of the primary that the
 * replica has not replayed, by this process's clock: an idle primary is not lag.
 */
#ifndef DB_POOL_H
#define DB_POOL_H

#include "base/err.h"
#include "base/log.h"
#include "os/loop.h"

#define DB_POOL_REPLICAS_MAX    8
#define DB_POOL_CONNECTIONS_MAX 128
#define DB_POOL_STATEMENTS_MAX  32
#define DB_POOL_BUCKETS         12
#define DB_QUERY_PARAMETERS_MAX 12
#define DB_QUERY_TRIES_MAX      4
#define DB_LSN_UNKNOWN          UINT64_MAX

struct db_pool;

struct db_pool_statement {
	const char *name;
	const char *sql; /* $1 … $8 */
};

struct db_pool_options {
	const char *name;              /* of the program, for pg_stat_activity; static */
	const char *url;               /* postgres://… of the primary */
	const char *const *replica;    /* addresses */
	size_t replica_count;          /* at most DB_POOL_REPLICAS_MAX */
	uint32_t connections_max;      /* to each server; 0: 8 */
	uint32_t depth_max;            /* queries in flight on a connection; 0: 8 */
	uint32_t queue_max;            /* queries that wait; 0: 2048 */
	uint32_t query_ms, connect_ms; /* 0: 5000, 3000 */
	uint32_t lag_max_ms;           /* 0: 1000 */
	const struct db_pool_statement *statement; /* must stay */
	size_t statement_count;
	/* Optional: connections lost, servers away and back. `server` is "primary", "replica1", …
	 */
	void (*note)(void *arg, enum hg_level level, const char *what, const char *server,
	        const char *why);
	void *arg;
};

struct db_query {
	struct hg_list node;
	/* in */
	unsigned statement; /* index in the table */
	const char
	        *param[DB_QUERY_PARAMETERS_MAX]; /* text, NULL for null; must stay until `done` */
	unsigned param_count;
	bool write;
	bool repeatable;                  /* a write that may be carried out twice without harm */
	bool primary_only;                /* a read that no replica may answer */
	uint64_t after_lsn;               /* a read sees this position; 0: any */
	uint32_t within_ms;               /* 0: query_ms */
	void (*done)(struct db_query *q); /* once; the query is the caller's again */
	void *arg;
	/* out; the results are gone when `done` returns */
	enum hg_rc rc; /* HG_OK; HG_E_AGAIN, HG_E_DB_CONSTRAINT, HG_E_DB_FULL, HG_E_DB_QUERY … */
	char why[256];
	uint64_t lsn;       /* a write with replicas: a position after its commit, else 0 */
	const char *server; /* who answered; NULL: nobody */
	bool by_replica;
	/* the pool's */
	struct db_pool *pool;
	void *result;
	uint64_t queued_ns, sent_ms, deadline_ms;
	uint8_t tries, syncs;
	void *pinned;
};

/*
 * Starts to connect and returns. HG_E_INVALID: an address cannot be read; HG_E_DB_OPEN: no libpq;
 * HG_E_NOMEM.
 */
HG_MUST enum hg_rc db_pool_new(struct loop *l, const struct db_pool_options *o,
        struct db_pool **ret_pool, struct hg_err *err);
/* Answers every query HG_E_AGAIN. Takes NULL. Not from a `done`. */
void db_pool_free(struct db_pool *p);

/*
 * `done` comes later, never from within this call. HG_E_NOMEM: the queue is full; HG_E_AGAIN: the
 * server has been away for longer than queries may wait. Then the query stays the caller's.
 */
HG_MUST enum hg_rc db_pool_query(struct db_pool *p, struct db_query *q, struct hg_err *err);

/* Of a finished query, within `done`. */
unsigned db_result_rows(const struct db_query *q);
struct hg_str db_result_str(const struct db_query *q, unsigned row, unsigned column);
int64_t db_result_i64(const struct db_query *q, unsigned row, unsigned column);
bool db_result_null(const struct db_query *q, unsigned row, unsigned column);

struct db_pool_server {
	const char *name;                /* "primary", "replica1", … */
	uint32_t idle, busy, connecting; /* connections */
	uint32_t waiting, flying;        /* queries */
	uint64_t opened, lost, refused;  /* connections since the start */
	uint64_t queries, timeouts, repeated;
	bool replica, up, usable;                     /* usable: reads go there */
	int64_t lag_ms;                               /* -1: not known */
	uint64_t bucket[DB_POOL_BUCKETS + 1], sum_ns; /* time of queries, waiting included */
};

/* Upper bounds of the buckets in nanoseconds; the last is open. */
extern const uint64_t db_pool_bucket_ns[DB_POOL_BUCKETS];
size_t db_pool_servers(const struct db_pool *p);
void db_pool_server(const struct db_pool *p, size_t i, struct db_pool_server *ret_server);

/* Whether the address is of a PostgreSQL database. */
bool db_url_is_postgres(const char *url);
/* The address without its password, for people. Returns the length; what does not fit is left out.
 */
size_t db_url_text(const char *url, char *to, size_t cap);

#endif
