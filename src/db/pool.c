#include "db/pool_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

#define CONNECTIONS_DEFAULT 8u
#define DEPTH_DEFAULT       8u
#define QUEUE_DEFAULT       2048u
#define QUERY_MS_DEFAULT    5000u
#define CONNECT_MS_DEFAULT  3000u
#define LAG_MS_DEFAULT      1000u
#define QUIET_TICK_MS       10000u

static void on_tick(struct loop *l, struct loop_timer *t);

static uint64_t now_of(const struct db_pool *p)
{
	return loop_now_ms(p->loop);
}

void pool_note(struct server *s, enum hg_level level, const char *what, const char *why)
{
	struct db_pool *p = s->pool;
	if (p->o.note && !p->stopping) p->o.note(p->o.arg, level, what, s->name, why);
}

void pool_finish(struct db_query *q)
{
	struct db_pool *p = q->pool;
	PGresult *r = q->result; /* the query may be gone when `done` returns */
	p->pending--;
	q->done(q);
	if (r) p->pq.clear(r);
}

void pool_fail(struct db_query *q, enum hg_rc rc, const char *why)
{
	q->rc = rc;
	snprintf(q->why, sizeof q->why, "%s", why);
	pool_finish(q);
}

static uint32_t probe_ms(const struct db_pool *p)
{
	return HG_MIN(HG_MAX(p->o.lag_max_ms / 4, 100u), 1000u);
}

/* The next look at the clock: soon while something waits. */
static void arm(struct db_pool *p)
{
	uint32_t ms = p->pending ? POOL_TICK_MS : p->servers > 1 ? probe_ms(p) : QUIET_TICK_MS;
	if (p->tick_ms && p->tick_ms <= ms) return;
	/* Without a timer time-outs come late, with the next query. */
	p->tick_ms = loop_timer_start(p->loop, &p->tick, ms, on_tick) == HG_OK ? ms : 0;
}

/* Reads of the replica are answered there, for what is known now. */
static bool may_read(const struct server *s, const struct db_query *q)
{
	return s->usable && s->ready && s->position >= q->after_lsn;
}

static struct server *choose(struct db_pool *p, const struct db_query *q)
{
	struct server *primary = &p->server[0], *best = primary;
	bool stuck = primary->down_since_ms != 0; /* better a replica twice than nobody */
	if (q->pinned) return q->pinned;
	if (q->write || q->primary_only || p->servers == 1 || (q->tries > 1 && !stuck))
		return primary;
	p->turn++;
	for (size_t i = 0; i < p->servers - 1; i++) {
		struct server *s = &p->server[1 + (p->turn + i) % (p->servers - 1)];
		if (!may_read(s, q)) continue;
		if (best == primary ||
		        s->flying + s->waiting_count < best->flying + best->waiting_count)
			best = s;
	}
	return best;
}

void pool_route(struct db_pool *p, struct db_query *q)
{
	struct server *s = choose(p, q);
	hg_list_append(&s->waiting, &q->node);
	s->waiting_count++;
	loop_task_queue(p->loop, &p->pump);
}

bool pool_again(struct db_pool *p, struct db_query *q)
{
	if (p->stopping || q->tries >= DB_QUERY_TRIES_MAX || now_of(p) >= q->deadline_ms)
		return false;
	q->tries++;
	p->server[0].stats.repeated++;
	pool_route(p, q);
	return true;
}

static bool is_slow(const struct conn *c, uint64_t now_ms)
{
	const struct hg_list *first = hg_list_first(&c->flying);
	return first && now_ms - HG_CONTAINER(first, struct db_query, node)->sent_ms > POOL_SLOW_MS;
}

/* The connection with the least in flight; one that has stopped answering only if all have. */
static struct conn *best_conn(struct server *s)
{
	const struct db_pool *p = s->pool;
	uint64_t now_ms = now_of(p);
	struct conn *best = NULL;
	uint32_t least = UINT32_MAX;
	for (uint32_t i = 0; i < p->o.connections_max; i++) {
		struct conn *c = &s->conns[i];
		if (c->state != CONN_READY || c->retired || c->depth >= p->o.depth_max) continue;
		uint32_t score = c->depth + (is_slow(c, now_ms) ? p->o.depth_max : 0);
		if (score >= least) continue;
		least = score;
		best = c;
	}
	return best;
}

void pool_server_pump(struct server *s)
{
	while (!hg_list_empty(&s->waiting)) {
		struct conn *c = best_conn(s);
		if (!c) break;
		struct hg_list *node = hg_list_pop(&s->waiting);
		s->waiting_count--;
		pool_conn_send(c, HG_CONTAINER(node, struct db_query, node));
	}
	pool_server_open(s);
}

static void on_pump(struct loop *l, struct loop_task *t)
{
	struct db_pool *p = HG_CONTAINER(t, struct db_pool, pump);
	(void)l;
	for (size_t i = 0; i < p->servers; i++)
		pool_server_pump(&p->server[i]);
}

/* Away for longer than anybody may wait: say so at once. */
static bool is_away(const struct server *s, uint64_t now_ms)
{
	return s->down_since_ms && s->streak && now_ms - s->down_since_ms > s->pool->o.query_ms;
}

static enum hg_rc submit(struct db_pool *p, struct db_query *q)
{
	uint32_t within_ms = q->within_ms ? q->within_ms : p->o.query_ms;
	q->pool = p;
	q->rc = HG_OK;
	q->why[0] = 0;
	q->result = NULL;
	q->server = NULL;
	q->lsn = 0;
	q->tries = 1;
	q->queued_ns = clock_mono_ns();
	q->deadline_ms = now_of(p) + within_ms;
	p->pending++;
	pool_route(p, q);
	arm(p);
	return HG_OK;
}

enum hg_rc db_pool_query(struct db_pool *p, struct db_query *q, struct hg_err *err)
{
	struct server *s;
	uint32_t waiting = 0;
	HG_OBJ(p, struct db_pool, POOL_MAGIC);
	HG_ASSERT(q->statement < p->o.statement_count && q->done);
	q->pinned = NULL;
	q->tries = 1;
	s = choose(p, q);
	if (is_away(s, now_of(p)))
		return hg_err_set(err, HG_E_AGAIN, "the database does not answer: %s", s->why);
	for (size_t i = 0; i < p->servers; i++)
		waiting += p->server[i].waiting_count;
	if (waiting >= p->o.queue_max)
		return hg_err_set(err, HG_E_NOMEM, "%u queries wait for the database", waiting);
	return submit(p, q);
}

static void on_probed(struct db_query *q)
{
	struct db_pool *p = q->pool;
	struct server *s = q->arg;
	uint64_t now_ms = now_of(p);
	s->probing = false;
	if (q->rc < 0 || p->stopping) return;
	s->position = strtoull(p->pq.getvalue(q->result, 0, 0), NULL, 10);
	s->probed_ms = now_ms;
	if (!s->replica) pool_sample(&p->samples, s->position, now_ms);
}

static void judge_replica(struct server *s, uint64_t now_ms)
{
	struct db_pool *p = s->pool;
	bool known = s->probed_ms && now_ms - s->probed_ms <= 3 * probe_ms(p) + 500;
	s->lag_ms = known ? (int64_t)pool_lag_ms(&p->samples, s->position, now_ms) : -1;
	bool usable = known && s->ready && s->lag_ms <= (int64_t)p->o.lag_max_ms;
	if (usable == s->usable) return;
	s->usable = usable;
	pool_note(s, usable ? HG_INFO : HG_WARN,
	        usable ? "reads go to the replica" : "reads no longer go to the replica",
	        usable     ? ""
	        : !known   ? "it does not answer"
	        : s->ready ? "it lags"
	                   : "no connection");
}

static void probe(struct db_pool *p, uint64_t now_ms)
{
	for (size_t i = 0; i < p->servers; i++) {
		struct server *s = &p->server[i];
		if (s->replica) judge_replica(s, now_ms);
		if (s->probing || now_ms < p->probe_due_ms) continue;
		s->probing = true;
		s->probe = (struct db_query){
		        .statement = (unsigned)p->o.statement_count + POOL_POSITION,
		        .within_ms = p->o.query_ms,
		        .done = on_probed,
		        .arg = s,
		        .pinned = s};
		if (submit(p, &s->probe) < 0) s->probing = false;
	}
	if (now_ms >= p->probe_due_ms) p->probe_due_ms = now_ms + probe_ms(p);
}

static void expire_waiting(struct server *s, uint64_t now_ms)
{
	char why[256];
	/* Answering may add to the list; what is added is not due. */
	HG_LIST_EACH_SAFE (node, after, &s->waiting) {
		struct db_query *q = HG_CONTAINER(node, struct db_query, node);
		bool leave = s->replica && !s->ready && !q->pinned;
		if (now_ms < q->deadline_ms && !leave) continue;
		hg_list_remove(node);
		s->waiting_count--;
		if (leave && now_ms < q->deadline_ms) {
			q->tries = 2;
			pool_route(s->pool, q);
			continue;
		}
		s->stats.timeouts++;
		snprintf(why, sizeof why, "no connection to the database was free in time%s%s",
		        s->why[0] ? ": " : "", s->why);
		pool_fail(q, HG_E_AGAIN, why);
	}
}

/*
 * A connection is closed when a query on it is over its time, or, at a replica, when a quarter of
 * it has passed: the rest is for asking the primary.
 */
static void expire_flying(struct conn *c, uint64_t now_ms)
{
	struct server *s = c->server;
	const struct hg_list *first = hg_list_first(&c->flying);
	if (!first) return;
	uint64_t sent_ms = HG_CONTAINER(first, struct db_query, node)->sent_ms;
	bool late = s->replica && now_ms - sent_ms > s->pool->o.query_ms / 4;
	HG_LIST_EACH (node, &c->flying) {
		late |= now_ms >= HG_CONTAINER(node, struct db_query, node)->deadline_ms;
	}
	if (!late) return;
	s->stats.timeouts++;
	pool_conn_late(c, sent_ms);
}

/* Connections beyond the first that nobody has used for a minute. */
static void shrink(struct server *s, uint64_t now_ms)
{
	for (uint32_t i = 0; i < s->pool->o.connections_max && s->ready > 1; i++) {
		struct conn *c = &s->conns[i];
		if (c->state == CONN_READY && c->depth == 0 && now_ms - c->used_ms > POOL_IDLE_MS)
			pool_conn_close(c);
	}
}

static void on_tick(struct loop *l, struct loop_timer *t)
{
	struct db_pool *p = HG_CONTAINER(t, struct db_pool, tick);
	uint64_t now_ms = loop_now_ms(l);
	p->tick_ms = 0;
	for (size_t i = 0; i < p->servers; i++) {
		struct server *s = &p->server[i];
		expire_waiting(s, now_ms);
		for (uint32_t k = 0; k < p->o.connections_max; k++)
			expire_flying(&s->conns[k], now_ms);
		shrink(s, now_ms);
	}
	if (p->servers > 1) probe(p, now_ms);
	arm(p);
}

static enum hg_rc server_init(
        struct db_pool *p, struct server *s, const char *url, size_t i, struct hg_err *err)
{
	*s = (struct server){.pool = p, .replica = i > 0, .lag_ms = i > 0 ? -1 : 0};
	snprintf(s->name, sizeof s->name, i ? "replica%zu" : "primary", i);
	hg_list_init(&s->waiting);
	p->servers++;
	s->down_since_ms = HG_MAX(now_of(p), 1u);
	s->conns = calloc(p->o.connections_max, sizeof *s->conns);
	if (!s->conns) return hg_err_set(err, HG_E_NOMEM, "not enough memory for connections");
	for (uint32_t k = 0; k < p->o.connections_max; k++) {
		s->conns[k] = (struct conn){.server = s, .io.fd = -1};
		hg_list_init(&s->conns[k].flying);
	}
	return pool_server_address(s, url, err);
}

static uint32_t or_default(uint32_t v, uint32_t fallback)
{
	return v ? v : fallback;
}

enum hg_rc db_pool_new(struct loop *l, const struct db_pool_options *o, struct db_pool **ret_pool,
        struct hg_err *err)
{
	struct db_pool *p = calloc(1, sizeof *p);
	enum hg_rc rc;
	HG_ASSERT(o->replica_count <= DB_POOL_REPLICAS_MAX);
	HG_ASSERT(o->statement_count <= DB_POOL_STATEMENTS_MAX);
	if (!p) return hg_err_set(err, HG_E_NOMEM, "not enough memory for a pool");
	p->magic = POOL_MAGIC;
	p->loop = l;
	p->o = *o;
	p->o.connections_max = HG_MIN(or_default(o->connections_max, CONNECTIONS_DEFAULT),
	        (uint32_t)DB_POOL_CONNECTIONS_MAX);
	p->o.depth_max = or_default(o->depth_max, DEPTH_DEFAULT);
	p->o.queue_max = or_default(o->queue_max, QUEUE_DEFAULT);
	p->o.query_ms = or_default(o->query_ms, QUERY_MS_DEFAULT);
	p->o.connect_ms = or_default(o->connect_ms, CONNECT_MS_DEFAULT);
	p->o.lag_max_ms = or_default(o->lag_max_ms, LAG_MS_DEFAULT);
	hg_rand_seed(&p->rand, clock_mono_ns() ^ (uintptr_t)p);
	loop_task_init(&p->pump, on_pump);
	rc = libpq_load(&p->pq, err);
	if (rc == HG_OK) rc = server_init(p, &p->server[0], o->url, 0, err);
	for (size_t i = 0; rc == HG_OK && i < o->replica_count; i++)
		rc = server_init(p, &p->server[1 + i], o->replica[i], 1 + i, err);
	if (rc < 0) {
		db_pool_free(p);
		return rc;
	}
	loop_task_queue(l, &p->pump);
	arm(p);
	*ret_pool = p;
	return HG_OK;
}

static void server_fini(struct server *s)
{
	struct db_pool *p = s->pool;
	struct hg_list *node;
	loop_timer_stop(p->loop, &s->retry);
	for (uint32_t i = 0; s->conns && i < p->o.connections_max; i++) {
		while ((node = hg_list_pop(&s->conns[i].flying)))
			hg_list_append(&s->waiting, node);
		pool_conn_close(&s->conns[i]);
	}
	while ((node = hg_list_pop(&s->waiting))) {
		struct db_query *q = HG_CONTAINER(node, struct db_query, node);
		if (q->result) p->pq.clear(q->result);
		q->result = NULL;
		pool_fail(q, HG_E_AGAIN, "the program is stopping");
	}
	pool_server_address_free(s);
	free(s->conns);
}

void db_pool_free(struct db_pool *p)
{
	if (!p) return;
	HG_OBJ(p, struct db_pool, POOL_MAGIC);
	p->stopping = true;
	loop_timer_stop(p->loop, &p->tick);
	loop_task_cancel(&p->pump);
	for (size_t i = 0; i < p->servers; i++)
		server_fini(&p->server[i]);
	p->magic = 0;
	free(p);
}

unsigned db_result_rows(const struct db_query *q)
{
	return q->result ? (unsigned)q->pool->pq.ntuples(q->result) : 0;
}

struct hg_str db_result_str(const struct db_query *q, unsigned row, unsigned column)
{
	const struct libpq *pq = &q->pool->pq;
	const char *p = pq->getvalue(q->result, (int)row, (int)column);
	return p ? (struct hg_str){p, (size_t)pq->getlength(q->result, (int)row, (int)column)}
	         : HG_STR("");
}

int64_t db_result_i64(const struct db_query *q, unsigned row, unsigned column)
{
	struct hg_str s = db_result_str(q, row, column);
	return s.n ? strtoll(s.p, NULL, 10) : 0;
}

bool db_result_null(const struct db_query *q, unsigned row, unsigned column)
{
	return q->pool->pq.getisnull(q->result, (int)row, (int)column) == 1;
}

size_t db_pool_servers(const struct db_pool *p)
{
	return p->servers;
}

void db_pool_server(const struct db_pool *p, size_t i, struct db_pool_server *ret_server)
{
	const struct server *s = &p->server[i];
	*ret_server = s->stats;
	ret_server->name = s->name;
	ret_server->replica = s->replica;
	ret_server->up = s->ready > 0;
	ret_server->usable = s->replica ? s->usable : s->ready > 0;
	ret_server->lag_ms = s->lag_ms;
	ret_server->waiting = s->waiting_count;
	ret_server->flying = s->flying;
	ret_server->connecting = s->starting;
	for (uint32_t k = 0; k < p->o.connections_max; k++) {
		if (s->conns[k].state != CONN_READY) continue;
		if (s->conns[k].depth)
			ret_server->busy++;
		else
			ret_server->idle++;
	}
}
