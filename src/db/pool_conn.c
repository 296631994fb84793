/* One connection: it is made, its statements are prepared, queries are sent and results read. */
#include "db/pool_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "math/backoff.h"
#include "os/clock.h"

static void on_io(struct loop *l, struct loop_io *io, uint32_t events);

static uint64_t now_ms(const struct server *s)
{
	return loop_now_ms(s->pool->loop);
}

static const struct libpq *pq_of(const struct conn *c)
{
	return &c->server->pool->pq;
}

static bool watch(struct conn *c, bool reading, bool writing)
{
	uint32_t events = (reading ? EPOLLIN : 0) | (writing ? EPOLLOUT : 0);
	struct loop *l = c->server->pool->loop;
	int fd = pq_of(c)->socket(c->pg);
	if (fd < 0) return false;
	c->writing = writing;
	if (c->io.fd == fd) return loop_io_change(l, &c->io, events) == HG_OK;
	return loop_io_start(l, &c->io, fd, events, on_io) == HG_OK;
}

/* The first connection that works ends what was away. */
static void came_up(struct server *s)
{
	if (s->down_since_ms && s->streak) pool_note(s, HG_INFO, "the database answers again", "");
	s->down_since_ms = 0;
	s->streak = 0;
	s->why[0] = 0;
}

static void on_retry(struct loop *l, struct loop_timer *t)
{
	struct server *s = HG_CONTAINER(t, struct server, retry);
	(void)l;
	pool_server_open(s);
}

void pool_conn_close(struct conn *c)
{
	struct server *s = c->server;
	loop_timer_stop(s->pool->loop, &c->timer);
	loop_io_stop(s->pool->loop, &c->io);
	if (c->result) pq_of(c)->clear(c->result);
	if (c->pg) pq_of(c)->finish(c->pg);
	if (c->state == CONN_READY)
		s->ready--;
	else if (c->state != CONN_NONE)
		s->starting--;
	*c = (struct conn){.server = s, .io.fd = -1};
	hg_list_init(&c->flying);
}

/* Another attempt later, when somebody needs it. */
static void fail_to_open(struct server *s, const char *why)
{
	uint32_t wait_ms;
	s->stats.refused++;
	if (strcmp(s->why, why) != 0) pool_note(s, HG_WARN, "no connection to the database", why);
	snprintf(s->why, sizeof s->why, "%s", why);
	s->streak++;
	wait_ms = backoff_connect_ms(s->streak + 1, hg_rand_unit(&s->pool->rand));
	if (loop_timer_start(s->pool->loop, &s->retry, wait_ms, on_retry) < 0)
		pool_note(s, HG_ERROR, "no timer to connect again", why);
}

static void abandon(struct conn *c, const char *why)
{
	struct server *s = c->server;
	pool_conn_close(c);
	fail_to_open(s, why);
}

static const char *field(const struct db_pool *p, const PGresult *r, int which)
{
	const char *text = p->pq.resultErrorField(r, which);
	return text ? text : "";
}

static bool is_good(const struct db_pool *p, const PGresult *r)
{
	ExecStatusType status = p->pq.resultStatus(r);
	return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

static void describe(const struct db_pool *p, const PGresult *r, char *to, size_t cap)
{
	char words[200];
	libpq_words(field(p, r, PG_DIAG_MESSAGE_PRIMARY), words, sizeof words);
	snprintf(to, cap, "%s (%s)", words, field(p, r, PG_DIAG_SQLSTATE));
}

/* The query is over with this result, which is taken. *ret_useless: connections that are, too. */
static void conclude(struct db_query *q, PGresult *r, enum useless *ret_useless)
{
	struct db_pool *p = q->pool;
	if (is_good(p, r)) {
		q->rc = HG_OK;
		q->result = r;
		pool_finish(q);
		return;
	}
	const char *state = field(p, r, PG_DIAG_SQLSTATE);
	const char *message = field(p, r, PG_DIAG_MESSAGE_PRIMARY);
	bool untouched = pool_untouched(state, message);
	*ret_useless = pool_useless(state, message);
	q->rc = libpq_rc_of(state);
	describe(p, r, q->why, sizeof q->why);
	p->pq.clear(r);
	if (untouched && pool_again(p, q)) return;
	pool_finish(q);
}

/* The connection of a query that was sent is gone. */
static void settle(struct db_query *q)
{
	struct db_pool *p = q->pool;
	PGresult *r = q->result;
	enum useless useless = USELESS_NONE;
	if (r) { /* the answer came, only the position behind it did not */
		q->result = NULL;
		q->lsn = DB_LSN_UNKNOWN;
		conclude(q, r, &useless);
		return;
	}
	if ((!q->write || q->repeatable) && pool_again(p, q)) return;
	pool_fail(q, HG_E_AGAIN,
	        q->write ? "the connection to the database was lost before the answer came: "
	                   "nobody knows whether the change was made"
	                 : "the connection to the database was lost");
}

void pool_conn_lost(struct conn *c, const char *why)
{
	struct server *s = c->server;
	struct hg_list flying;
	char text[256];
	struct hg_list *node;
	snprintf(text, sizeof text, "%s", why); /* it may lie in what is closed */
	if (c->state != CONN_READY) {
		abandon(c, text);
		return;
	}
	hg_list_init(&flying);
	while ((node = hg_list_pop(&c->flying)))
		hg_list_append(&flying, node);
	s->flying -= c->depth;
	s->stats.lost++;
	pool_conn_close(c);
	pool_note(s, HG_WARN, "a connection to the database was lost", text);
	if (s->ready == 0) {
		s->down_since_ms = HG_MAX(now_ms(s), 1u);
		snprintf(s->why, sizeof s->why, "%s", text);
	}
	while ((node = hg_list_pop(&flying)))
		settle(HG_CONTAINER(node, struct db_query, node));
	pool_server_open(s);
}

/*
 * The server itself ends a statement before our own deadline: who is late hangs, or is cut off, and
 * with it every connection there. Each of them would cost somebody the whole time again. One that
 * has answered since is trusted; one that still owes an answer may give it.
 */
void pool_conn_late(struct conn *c, uint64_t sent_ms)
{
	struct server *s = c->server;
	for (uint32_t i = 0; i < s->pool->o.connections_max; i++) {
		struct conn *other = &s->conns[i];
		if (other == c || other->state != CONN_READY || other->used_ms > sent_ms) continue;
		if (other->depth == 0)
			pool_conn_close(other);
		else
			other->retired = "another connection was not answered in time";
	}
	pool_conn_lost(c, "no answer in time");
}

static const char *words_of(struct conn *c, char *to, size_t cap)
{
	libpq_words(pq_of(c)->errorMessage(c->pg), to, cap);
	return to[0] ? to : "the server closed the connection";
}

static void fail_io(struct conn *c)
{
	char words[240];
	pool_conn_lost(c, words_of(c, words, sizeof words));
}

/* Also says whether there is more to send later. */
static bool flush(struct conn *c)
{
	int left = pq_of(c)->flush(c->pg);
	if (left < 0) return false;
	if ((left > 0) == c->writing) return true;
	return watch(c, true, left > 0);
}

static void on_timeout(struct loop *l, struct loop_timer *t)
{
	struct conn *c = HG_CONTAINER(t, struct conn, timer);
	char words[160];
	(void)l;
	snprintf(words, sizeof words, "no connection within %u ms", c->server->pool->o.connect_ms);
	pool_server_rotate(c->server);
	abandon(c, words);
}

static void quiet(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

/* Statements that the pool needs itself come behind the table. */
static const char *sql_of(const struct db_pool *p, unsigned i, const char **ret_name)
{
	if (i < p->o.statement_count) {
		*ret_name = p->o.statement[i].name;
		return p->o.statement[i].sql;
	}
	if (i == p->o.statement_count + POOL_WRITTEN) {
		/* Not behind the commit just made, however the server flushes. */
		*ret_name = "pool_written";
		return "SELECT CASE WHEN pg_is_in_recovery() THEN NULL"
		       " ELSE pg_current_wal_insert_lsn() - '0/0'::pg_lsn END";
	}
	*ret_name = "pool_position";
	/* Of a standby what it has replayed, of a primary what it has written. */
	return "SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0')"
	       " ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn";
}

static unsigned statements(const struct db_pool *p)
{
	return (unsigned)p->o.statement_count + (p->servers > 1 ? POOL_OWN : 0);
}

static void prepare(struct conn *c)
{
	const struct libpq *pq = pq_of(c);
	struct db_pool *p = c->server->pool;
	bool ok = pq->setnonblocking(c->pg, 1) == 0 && pq->enterPipelineMode(c->pg) == 1;
	pq->setNoticeProcessor(c->pg, quiet, NULL);
	for (unsigned i = 0; ok && i < statements(p); i++) {
		const char *name, *sql = sql_of(p, i, &name);
		ok = pq->sendPrepare(c->pg, name, sql, 0, NULL) == 1;
	}
	c->state = CONN_PREPARING;
	if (!ok || pq->pipelineSync(c->pg) != 1 || !watch(c, true, false) || !flush(c)) fail_io(c);
}

static void connect_on(struct conn *c)
{
	const struct libpq *pq = pq_of(c);
	char words[240];
	/* libpq may close its socket and open another with the same number. */
	loop_io_stop(c->server->pool->loop, &c->io);
	c->io.fd = -1;
	switch (pq->connectPoll(c->pg)) {
	case PGRES_POLLING_READING:
		if (watch(c, true, false)) return;
		break;
	case PGRES_POLLING_WRITING:
		if (watch(c, false, true)) return;
		break;
	case PGRES_POLLING_OK: prepare(c); return;
	default: break;
	}
	abandon(c, words_of(c, words, sizeof words));
}

static struct conn *free_place(struct server *s)
{
	for (uint32_t i = 0; i < s->pool->o.connections_max; i++)
		if (s->conns[i].state == CONN_NONE) return &s->conns[i];
	return NULL;
}

/* One at a time, so that a server that comes back is not met by all of them at once. */
void pool_server_open(struct server *s)
{
	const struct libpq *pq = &s->pool->pq;
	bool wanted = s->ready == 0 || s->waiting_count || s->flying >= s->ready;
	struct conn *c;
	if (s->pool->stopping || s->starting || !wanted || loop_timer_active(&s->retry)) return;
	c = free_place(s);
	if (!c || !pool_server_look_up(s)) return;
	if (s->lookup.names && s->lookup.why[0]) {
		fail_to_open(s, s->lookup.why);
		return;
	}
	c->pg = pq->connectStartParams(s->parameters.key, s->parameters.value, 0);
	c->state = CONN_CONNECTING;
	s->starting++;
	if (!c->pg || pq->status(c->pg) == CONNECTION_BAD) {
		char words[240] = "not enough memory";
		if (c->pg) words_of(c, words, sizeof words);
		abandon(c, words);
		return;
	}
	if (loop_timer_start(s->pool->loop, &c->timer, s->pool->o.connect_ms, on_timeout) < 0 ||
	        !watch(c, false, true))
		abandon(c, "the loop has no room for a connection");
}

/* The answers to what `prepare` sent. False: the connection is gone. */
static bool prepared(struct conn *c, PGresult *r)
{
	const struct libpq *pq = pq_of(c);
	ExecStatusType status = pq->resultStatus(r);
	char words[240];
	if (status == PGRES_FATAL_ERROR) {
		describe(c->server->pool, r, words, sizeof words);
		pq->clear(r);
		abandon(c, words);
		return false;
	}
	pq->clear(r);
	if (status != PGRES_PIPELINE_SYNC) return true;
	loop_timer_stop(c->server->pool->loop, &c->timer);
	c->state = CONN_READY;
	c->used_ms = now_ms(c->server);
	c->server->starting--;
	c->server->ready++;
	c->server->stats.opened++;
	came_up(c->server);
	return true;
}

static void observe(struct server *s, const struct db_query *q)
{
	uint64_t took_ns = clock_mono_ns() - q->queued_ns;
	size_t b = 0;
	while (b < DB_POOL_BUCKETS && took_ns > db_pool_bucket_ns[b])
		b++;
	s->stats.bucket[b]++;
	s->stats.sum_ns += took_ns;
	s->stats.queries++;
}

/* No connection to this server gets a query any more; each is closed when it has answered. */
static void retire_all(struct server *s)
{
	for (uint32_t i = 0; i < s->pool->o.connections_max; i++)
		if (s->conns[i].state == CONN_READY)
			s->conns[i].retired =
			        "the server takes no writes, or no longer our statements";
}

static void close_retired(struct server *s)
{
	for (uint32_t i = 0; i < s->pool->o.connections_max; i++) {
		struct conn *c = &s->conns[i];
		if (c->state == CONN_READY && c->retired && c->depth == 0)
			pool_conn_lost(c, c->retired);
	}
}

/* A sync: what the first query in flight asked for is done and committed, or rolled back. */
static void synced(struct conn *c)
{
	struct server *s = c->server;
	struct db_pool *p = s->pool;
	struct hg_list *node = hg_list_first(&c->flying);
	PGresult *r = c->result;
	if (!node || !r) {
		pool_conn_lost(c, "the server gave no result");
		return;
	}
	struct db_query *q = HG_CONTAINER(node, struct db_query, node);
	c->result = NULL;
	c->used_ms = now_ms(s);
	if (--q->syncs) { /* the position comes next, whether or not this was carried out */
		q->result = r;
		return;
	}
	hg_list_remove(&q->node);
	c->depth--;
	s->flying--;
	q->server = s->name;
	q->by_replica = s->replica;
	if (q->result) {
		q->lsn = is_good(p, r) ? strtoull(p->pq.getvalue(r, 0, 0), NULL, 10)
		                       : DB_LSN_UNKNOWN;
		p->pq.clear(r);
		r = q->result;
		q->result = NULL;
	}
	observe(s, q);
	enum useless useless = USELESS_NONE;
	conclude(q, r, &useless);
	if (useless == USELESS_THIS) c->retired = "the server ends the connection";
	if (useless == USELESS_ALL) retire_all(s);
}

static bool take(struct conn *c, PGresult *r)
{
	const struct libpq *pq = pq_of(c);
	ExecStatusType status = pq->resultStatus(r);
	if (c->state == CONN_PREPARING) return prepared(c, r);
	if (hg_list_empty(&c->flying)) { /* a last word: the server shuts down */
		pq->clear(r);
		return true;
	}
	if (status == PGRES_PIPELINE_SYNC) {
		pq->clear(r);
		synced(c);
		return true;
	}
	/* A commit may fail after its statement succeeded: the last word counts. */
	if (c->result) pq->clear(c->result);
	c->result = r;
	return true;
}

static void read_results(struct conn *c)
{
	const struct libpq *pq = pq_of(c);
	unsigned empty = 0;
	while (c->state == CONN_PREPARING || c->state == CONN_READY) {
		if (c->state == CONN_READY && hg_list_empty(&c->flying)) break;
		if (pq->isBusy(c->pg)) break;
		PGresult *r = pq->getResult(c->pg);
		if (!r && ++empty > 2) break;
		if (!r) continue;
		empty = 0;
		if (!take(c, r)) return;
	}
}

static void on_io(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct conn *c = HG_CONTAINER(io, struct conn, io);
	struct server *s = c->server;
	const struct libpq *pq = pq_of(c);
	(void)l;
	if (c->state == CONN_CONNECTING) {
		connect_on(c);
		return;
	}
	bool alive = true;
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
		alive = pq->consumeInput(c->pg) == 1;
		read_results(c);
		if (c->state == CONN_NONE) return;
		/* It ended: what could be read has been. */
		alive = alive && pq->status(c->pg) == CONNECTION_OK;
	}
	if (alive) alive = flush(c);
	if (!alive)
		fail_io(c);
	else if (c->retired)
		close_retired(s);
	if (!s->pool->stopping) pool_server_pump(s);
}

void pool_conn_send(struct conn *c, struct db_query *q)
{
	const struct libpq *pq = pq_of(c);
	struct db_pool *p = c->server->pool;
	const char *name;
	(void)sql_of(p, q->statement, &name);
	q->syncs = 1;
	q->sent_ms = now_ms(c->server);
	hg_list_append(&c->flying, &q->node);
	c->depth++;
	c->server->flying++;
	bool ok = pq->sendQueryPrepared(
	                  c->pg, name, (int)q->param_count, q->param, NULL, NULL, 0) == 1 &&
	          pq->pipelineSync(c->pg) == 1;
	if (ok && q->write && p->servers > 1) {
		q->syncs = 2;
		(void)sql_of(p, (unsigned)p->o.statement_count + POOL_WRITTEN, &name);
		ok = pq->sendQueryPrepared(c->pg, name, 0, NULL, NULL, NULL, 0) == 1 &&
		     pq->pipelineSync(c->pg) == 1;
	}
	if (!ok || !flush(c)) fail_io(c);
}
