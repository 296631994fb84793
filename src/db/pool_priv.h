/* Inside the pool: servers, their connections, and the decisions that need neither. */
#ifndef DB_POOL_PRIV_H
#define DB_POOL_PRIV_H

#include "db/libpq_priv.h"
#include "db/pool.h"

#include "base/rand.h"
#include "os/work.h"

#define POOL_MAGIC     0x9001db01u
#define POOL_HOSTS_MAX 16u
#define POOL_SAMPLES   32u
#define POOL_TICK_MS   50u    /* while something waits */
#define POOL_IDLE_MS   60000u /* a connection beyond the first is closed after this */
#define POOL_SLOW_MS   100u   /* a connection that has not answered for so long gets no more */
#define POOL_FRESH_MS  5000u  /* names are looked up again after this */

/* Statements of the pool itself, behind the table. */
enum { POOL_POSITION, POOL_WRITTEN, POOL_OWN };

struct server;

enum conn_state { CONN_NONE, CONN_CONNECTING, CONN_PREPARING, CONN_READY };

struct conn {
	struct server *server;
	enum conn_state state;
	PGconn *pg;
	struct loop_io io;
	struct loop_timer timer; /* connect_ms */
	struct hg_list flying;   /* queries in the order they were sent */
	uint32_t depth;
	PGresult *result;    /* of the first of them */
	uint32_t prepared;   /* answers of CONN_PREPARING */
	bool writing;        /* EPOLLOUT is watched */
	const char *retired; /* it gets no more queries and is closed after its last: why */
	uint64_t used_ms;    /* when it answered last */
};

/* Where the address points, looked up on a thread. */
struct lookup {
	struct work *work;
	bool names; /* there is something to look up */
	bool fresh;
	uint64_t done_ms;
	char host[1024], port[256];                    /* as in the address */
	char hosts[2048], addresses[2048], ports[512]; /* for libpq: as many of each */
	char why[160];                                 /* "" when fine */
};

struct server {
	struct db_pool *pool;
	char name[16];
	bool replica;
	char *url;
	struct libpq_parameters parameters;
	struct lookup lookup;
	struct conn *conns; /* connections_max */
	uint32_t ready, starting, flying, waiting_count;
	struct hg_list waiting;
	struct loop_timer retry;
	uint32_t streak, rotate; /* failures in a row; which host is tried first */
	uint64_t down_since_ms;  /* 0: there is a connection that works */
	char why[256];           /* why the last connection failed */
	/* replicas and their primary */
	struct db_query probe;
	bool probing, usable;
	uint64_t probed_ms, position; /* replayed, or written */
	int64_t lag_ms;
	struct db_pool_server stats;
};

/* Positions of the primary and when they were seen, oldest first from `first`. */
struct samples {
	struct {
		uint64_t lsn, ms;
	} at[POOL_SAMPLES];
	uint32_t first, n;
};

struct db_pool {
	uint32_t magic;
	struct loop *loop;
	struct libpq pq;
	struct db_pool_options o;
	struct server server[1 + DB_POOL_REPLICAS_MAX];
	size_t servers;
	struct samples samples;
	struct loop_timer tick;
	struct loop_task pump; /* what was submitted in this turn is sent at its end */
	uint32_t pending;      /* queries that are not answered yet */
	uint32_t tick_ms;      /* what the timer runs with; 0: not */
	uint64_t probe_due_ms;
	uint32_t turn;
	struct hg_rand rand;
	bool stopping;
};

/* pool_decide.c: pure. */

void pool_sample(struct samples *s, uint64_t lsn, uint64_t now_ms);
/* How old the oldest known position is that `replayed` lacks; 0: it has them all. */
uint64_t pool_lag_ms(const struct samples *s, uint64_t replayed, uint64_t now_ms);
/* An error that says that the statement was certainly not carried out, and may be sent again. */
bool pool_untouched(const char *sqlstate, const char *message);
/* What an error says about the connection it came over, and the others to the same server. */
enum useless { USELESS_NONE, USELESS_THIS, USELESS_ALL };
enum useless pool_useless(const char *sqlstate, const char *message);
/* `text` with elements separated by commas, as `libpq` wants them: element `i`, or the only one. */
struct hg_str pool_element(const char *text, unsigned i, unsigned *ret_count);

/* pool_host.c */

/* Parameters of the server's address. HG_E_INVALID. */
HG_MUST enum hg_rc pool_server_address(struct server *s, const char *url, struct hg_err *err);
/* True: addresses are known and fresh. False: they are being looked up; pool_server_open comes
 * again. */
bool pool_server_look_up(struct server *s);
/* The host tried first moves on. */
void pool_server_rotate(struct server *s);
void pool_server_address_free(struct server *s);

/* pool_conn.c */

/* Starts one more connection if that is wanted and allowed. */
void pool_server_open(struct server *s);
void pool_conn_send(struct conn *c, struct db_query *q);
/* Closes; what was in flight is sent again or answered. `why`: for people. */
void pool_conn_lost(struct conn *c, const char *why);
/* The same, for a query that was not answered in time; others that have not answered since either
 * get no more. */
void pool_conn_late(struct conn *c, uint64_t sent_ms);
/* Closes without looking at what was in flight, which must be nothing. */
void pool_conn_close(struct conn *c);

/* pool.c */

/* Sends what waits, as far as connections have room. */
void pool_server_pump(struct server *s);
/* Gives the query to a server, or answers it. */
void pool_route(struct db_pool *p, struct db_query *q);
void pool_finish(struct db_query *q);
void pool_fail(struct db_query *q, enum hg_rc rc, const char *why);
/* It may be sent again: true when it has been taken care of. */
bool pool_again(struct db_pool *p, struct db_query *q);
void pool_note(struct server *s, enum hg_level level, const char *what, const char *why);

#endif
