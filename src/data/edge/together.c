/*
 * A request that waits for the count of all machines is in the state EDGE_ASK and reads nothing:
 * its head, which the rest of its way needs, is kept beside it. One script call counts all its
 * limits, or none. What Redis says goes into this machine's own table too: who is over a limit
 * elsewhere is refused here, without asking, until he is not, and when Redis goes away each machine
 * starts from what all of them knew.
 *
 * Nobody waits for a Redis that is away, and no request is counted twice: a question that was not
 * answered in time is not put again. Redis may have counted it all the same, which is right: the
 * request was let through.
 */
#include "data/edge/together_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/siphash.h"

#define QUEUE_MAX  4096u
#define SAY_MS     60000u
#define TIMEOUT_MS 5u
#define KEY_ROOM   40u
#define EXTRA_MAX  1024u

struct edge_together {
	struct edge *edge;
	struct redis *redis;
	struct redis_script script;
	uint8_t secret[16];
	char *text; /* what it was made from */
	uint64_t said_ms;
	uint32_t unsaid;
	bool away; /* said, and not yet that it is back */
};

struct edge_ask {
	struct redis_command command;
	struct edge_conn *conn;
	uint64_t since_ns;
	bool answered, alone; /* alone: Redis has said nothing of use */
	uint8_t n;
	uint8_t limit[SNAP_LIMITS]; /* the numbers within the route, of those that are asked about
	                             */
	struct together_rule rule[SNAP_LIMITS];
	struct together_said said;
	uint64_t own[SNAP_LIMITS];
	unsigned status; /* of the answer that waits; 0: the request goes on */
	const char *why;
	uint32_t extra_n;
	char extra[EXTRA_MAX];
	struct http1_head head;
};

size_t edge_together_size(void)
{
	return sizeof(struct edge_ask);
}

/* ---- settings ---- */

static void say(struct edge_together *t, const char *why)
{
	struct edge *e = t->edge;
	uint64_t now = edge_now_ms(e);
	t->unsaid++;
	if (!e->say || (t->said_ms && now - t->said_ms < SAY_MS)) return;
	hg_log(e->say, HG_WARN, "edge.rate_limits_alone", HG_S("reason", why),
	        HG_I("requests", t->unsaid));
	t->said_ms = now;
	t->unsaid = 0;
	t->away = true;
}

static void say_back(struct edge_together *t)
{
	t->away = false;
	if (t->edge->say) hg_log(t->edge->say, HG_INFO, "edge.rate_limits_together");
}

static void on_note(void *arg, enum hg_level level, const char *what, const char *why)
{
	struct edge_together *t = arg;
	if (level >= HG_WARN && t->edge->say)
		hg_log(t->edge->say, level, "edge.rate_limits_redis", HG_S("what", what),
		        HG_S("reason", why));
	if (level >= HG_WARN) t->away = true;
}

static void together_free(struct edge_together *t)
{
	if (!t) return;
	redis_free(t->redis);
	if (t->text) explicit_bzero(t->text, strlen(t->text));
	free(t->text);
	explicit_bzero(t->secret, sizeof t->secret);
	free(t);
}

/* 128 bits of the text that all machines have: with a key of its own for each half. */
static void secret_make(const char *text, uint8_t to[16])
{
	for (uint8_t half = 0; half < 2; half++) {
		uint64_t h =
		        hg_siphash((const uint8_t[16]){'r', 'a', 't', half}, text, strlen(text));
		memcpy(to + 8 * (size_t)half, &h, sizeof h);
	}
}

static struct edge_together *together_make(struct edge *e, const json_t *doc, struct hg_err *err)
{
	struct edge_together *t = calloc(1, sizeof *t);
	const char *secret = json_string_value(json_object_get(doc, "secret"));
	const json_t *timeout = json_object_get(doc, "timeout_ms");
	struct redis_options o = {.url = json_string_value(json_object_get(doc, "redis")),
	        .name = "headgate-edge",
	        .ca = json_string_value(json_object_get(doc, "ca")),
	        .timeout_ms = TIMEOUT_MS,
	        .queue_max = QUEUE_MAX,
	        .reply_max = 65536,
	        .note = on_note,
	        .arg = t};
	if (!t) return NULL;
	t->edge = e;
	if (json_is_integer(timeout)) o.timeout_ms = (uint32_t)json_integer_value(timeout);
	secret_make(secret ? secret : "", t->secret);
	redis_script_init(&t->script, together_script);
	t->text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
	if (t->text && redis_new(e->loop, &o, &t->redis, err) == HG_OK) return t;
	together_free(t);
	return NULL;
}

static bool is_same(const struct edge_together *t, const json_t *doc)
{
	char *text = t ? json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	bool same = text && strcmp(text, t->text) == 0;
	if (text) explicit_bzero(text, strlen(text));
	free(text);
	return same;
}

void edge_together_take(struct edge *e, struct hg_str text)
{
	struct edge_together *old = e->together;
	struct hg_err err = {.message = "memory is exhausted"};
	json_t *doc = text.n ? json_loadb(text.p, text.n, 0, NULL) : NULL;
	const json_t *rates = json_object_get(doc, "rates");
	if (rates && is_same(old, rates)) {
		json_decref(doc);
		return;
	}
	e->together = rates ? together_make(e, rates, &err) : NULL;
	if (rates && !e->together && e->say)
		hg_log(e->say, HG_ERROR, "edge.rate_limits_refused", HG_S("reason", err.message));
	json_decref(doc);
	/* Those that wait go on by their own count. */
	together_free(old);
}

void edge_together_fini(struct edge *e)
{
	together_free(e->together);
	e->together = NULL;
}

bool edge_together_usable(const struct edge *e)
{
	return e->together && redis_usable(e->together->redis);
}

uint64_t edge_together_key(
        const struct edge *e, const struct snap_limit *l, uint8_t kind, struct hg_str name)
{
	return rates_key_by(e->together->secret, l->id, kind, name.p, name.n);
}

/* ---- asking ---- */

static void on_reply(struct redis_command *c)
{
	struct edge_ask *a = HG_CONTAINER(c, struct edge_ask, command);
	struct edge *e = a->conn->edge;
	bool good = c->rc == HG_OK && together_read(c->reply, c->rest, a->rule, a->n, &a->said);
	a->answered = true;
	a->alone = !good;
	meter_add(good ? &e->count->rate_asked : &e->count->rate_alone, 1);
	if (e->together && !good) {
		char why[160];
		struct hg_str text = c->rc == HG_OK ? HG_STR("an answer of another kind") : c->why;
		snprintf(why, sizeof why, "%.*s", (int)HG_MIN(text.n, sizeof why - 1), text.p);
		say(e->together, why);
	} else if (e->together && e->together->away) {
		say_back(e->together);
	}
	edge_conn_drive(a->conn);
}

static uint32_t limits_take(const struct edge_req *r, struct edge_ask *a)
{
	const struct snap_limit *limit = &snap_limits(r->image->snap)[r->route->limit_first];
	for (uint32_t i = 0; i < r->route->limit_count; i++) {
		if (limit[i].local) continue;
		a->limit[a->n] = (uint8_t)i;
		a->rule[a->n++] = together_rule_of(limit[i].rule);
	}
	return a->n;
}

static enum hg_rc send_ask(
        struct edge_together *t, struct edge_ask *a, const uint64_t shared[SNAP_LIMITS])
{
	char text[3 * SNAP_LIMITS][KEY_ROOM];
	struct hg_str key[SNAP_LIMITS], arg[2 * SNAP_LIMITS];
	for (uint32_t i = 0; i < a->n; i++) {
		char *k = text[3 * i], *interval = text[3 * i + 1], *tolerance = text[3 * i + 2];
		snprintf(k, KEY_ROOM, "hg:rate:%016llx", (unsigned long long)shared[a->limit[i]]);
		snprintf(interval, KEY_ROOM, "%llu", (unsigned long long)a->rule[i].interval);
		snprintf(tolerance, KEY_ROOM, "%llu", (unsigned long long)a->rule[i].tolerance);
		key[i] = hg_str(k);
		arg[2 * i] = hg_str(interval);
		arg[2 * i + 1] = hg_str(tolerance);
	}
	a->command = (struct redis_command){.done = on_reply};
	return redis_eval(t->redis, &a->command, &t->script, key, a->n, arg, 2 * (size_t)a->n);
}

static enum edge_step alone(struct edge *e, struct edge_ask *a)
{
	meter_add(&e->count->rate_alone, 1);
	edge_pool_give(&e->asks, a);
	return EDGE_STEP_ON;
}

enum edge_step edge_together_ask(struct edge_conn *c, const struct http1_head *h,
        const uint64_t own[SNAP_LIMITS], const uint64_t shared[SNAP_LIMITS],
        const struct edge_after *after)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_ask *a = edge_pool_take(&e->asks);
	if (!a) return alone(e, NULL);
	memset(a, 0, offsetof(struct edge_ask, extra));
	if (limits_take(r, a) == 0) {
		edge_pool_give(&e->asks, a);
		return EDGE_STEP_ON;
	}
	if (after && after->extra.n > EXTRA_MAX) return alone(e, a);
	if (!redis_usable(e->together->redis) || send_ask(e->together, a, shared) < 0)
		return alone(e, a);
	a->conn = c;
	a->since_ns = loop_now_ns(e->loop);
	memcpy(a->own, own, r->route->limit_count * sizeof *own);
	if (after) {
		a->status = after->status;
		a->why = after->why;
		a->extra_n = (uint32_t)after->extra.n;
		if (a->extra_n) memcpy(a->extra, after->extra.p, a->extra_n);
	}
	memcpy(&a->head, h, offsetof(struct http1_head, field));
	memcpy(a->head.field, h->field, h->field_count * sizeof h->field[0]);
	a->head.bad = h->bad;
	r->ask = a;
	edge_conn_move(c, EDGE_ASK);
	return EDGE_STEP_BLOCK;
}

void edge_together_drop(struct edge_conn *c)
{
	struct edge_ask *a = c->req->ask;
	c->req->ask = NULL;
	redis_cancel(&a->command);
	edge_pool_give(&c->edge->asks, a);
}

/* What is known of all machines: for the fields of the answer, and for this machine's table. */
static void settle(struct edge_conn *c, const struct edge_ask *a)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	const struct snap_limit *limit = &snap_limits(r->image->snap)[r->route->limit_first];
	uint64_t known[SNAP_LIMITS] = {0};
	for (uint32_t i = 0; i < a->n; i++) {
		edge_limit_keep(r, a->limit[i], a->said.limit[i].left, a->said.limit[i].wait_ns);
		/* Since it was asked: not later than by the clock of Redis. */
		known[a->limit[i]] = a->since_ns + a->said.limit[i].ahead_ns;
	}
	for (uint32_t i = 0; i < r->route->limit_count; i++)
		rates_settle(e->rates, a->own[i], limit[i].rule, !a->said.admit, known[i]);
}

static enum edge_step refuse(struct edge_conn *c, const struct edge_ask *a)
{
	uint32_t worst = 0;
	uint64_t wait_ns = 0;
	for (uint32_t i = 0; i < a->n; i++) {
		if (!a->said.limit[i].refused || a->said.limit[i].wait_ns < wait_ns) continue;
		wait_ns = a->said.limit[i].wait_ns;
		worst = a->limit[i];
	}
	return edge_limit_refuse(c, worst, wait_ns);
}

enum edge_step edge_together_step(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_ask *a = r->ask;
	enum edge_step s;
	if (!a->answered) return EDGE_STEP_BLOCK;
	/* Nobody's fault, and no release's. */
	r->asked_ns = loop_now_ns(e->loop) - a->since_ns;
	r->ask = NULL;
	if (!a->alone) settle(c, a);
	if (!a->alone && !a->said.admit) {
		s = refuse(c, a);
	} else if (a->status) {
		r->denied = true;
		s = edge_answer_with(c, a->status, a->why, (struct hg_str){a->extra, a->extra_n});
	} else {
		memcpy(&e->head, &a->head, offsetof(struct http1_head, field));
		memcpy(e->head.field, a->head.field, a->head.field_count * sizeof a->head.field[0]);
		e->head.bad = a->head.bad;
		s = edge_request_go_on(c, &e->head);
	}
	edge_pool_give(&e->asks, a);
	return s;
}

enum edge_step edge_together_timeout(struct edge_conn *c)
{
	struct edge_ask *a = c->req->ask;
	redis_cancel(&a->command);
	meter_add(&c->edge->count->rate_alone, 1);
	a->answered = a->alone = true;
	return EDGE_STEP_ON;
}
