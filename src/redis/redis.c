#include "redis/redis_priv.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

#define TIMEOUT_MS_DEFAULT 50u
#define CONNECT_MS_DEFAULT 1000u
#define QUEUE_DEFAULT      1024u
#define QUEUE_MOST         (1u << 16)
#define REPLY_DEFAULT      (16u << 20)

const uint64_t redis_bucket_ns[REDIS_BUCKETS] = {100000, 250000, 500000, 1000000, 2500000, 5000000,
        10000000, 25000000, 100000000, 1000000000};

/* Half of five or more within 10 s were late: a second without. */
static const struct breaker_rules rules = {
        .errors_ppm = 500000, .over_ms = 10000, .open_ms = 1000, .min_requests = 5, .probes = 1};

enum command_state { COMMAND_IDLE, COMMAND_WAITING, COMMAND_FLYING };

static void on_tick(struct loop *l, struct loop_timer *t);

static uint64_t now_of(const struct redis *r)
{
	return loop_now_ms(r->loop);
}

static struct flight *flight_at(struct redis *r, uint32_t place)
{
	return &r->flight[place & (r->o.queue_max - 1)];
}

/* Something is over its time; what is sent now would be answered behind it. */
static bool is_stuck(struct redis *r)
{
	return redis_flying(r) && flight_at(r, r->first)->deadline_ms <= now_of(r);
}

static void arm(struct redis *r, uint64_t at_ms)
{
	uint64_t now_ms = now_of(r);
	if (r->tick_ms && r->tick_ms <= at_ms) return;
	/* Without a timer time-outs come with the next command. */
	bool set = loop_timer_start(r->loop, &r->tick, at_ms > now_ms ? at_ms - now_ms : 0,
	                   on_tick) == HG_OK;
	r->tick_ms = set ? at_ms : 0;
}

static void forget(struct redis_command *c)
{
	free(c->request);
	c->request = NULL;
	c->request_n = 0;
	c->script = NULL;
	c->state = COMMAND_IDLE;
}

static void finish(struct redis_command *c, enum hg_rc rc, struct hg_str why)
{
	c->rc = rc;
	c->why = why;
	forget(c);
	c->done(c);
}

static void tell(struct redis *r, const struct redis_command *c, enum breaker_outcome outcome)
{
	if (!c->patient) breaker_tell(&r->breaker, &rules, c->term, outcome, now_of(r));
}

static void expire(struct redis *r, struct redis_command *c)
{
	r->stats.timeouts++;
	tell(r, c, BREAKER_BAD);
	finish(c, HG_E_TIMEOUT, HG_STR("no answer in time"));
}

static void expire_waiting(struct redis *r, uint64_t now_ms, uint64_t *next_ms)
{
	struct hg_list late, *first;
	hg_list_init(&late);
	HG_LIST_EACH_SAFE (node, after, &r->waiting) {
		struct redis_command *c = HG_CONTAINER(node, struct redis_command, node);
		if (c->deadline_ms > now_ms) {
			*next_ms = HG_MIN(*next_ms, c->deadline_ms);
			continue;
		}
		hg_list_remove(node);
		hg_list_append(&late, node);
	}
	/* Each may cancel others, here and there. */
	while ((first = hg_list_pop(&late))) {
		struct redis_command *c = HG_CONTAINER(first, struct redis_command, node);
		r->waiting_count--;
		r->stats.timeouts++;
		finish(c, HG_E_TIMEOUT, HG_STR("no connection in time"));
	}
}

static void on_tick(struct loop *l, struct loop_timer *t)
{
	struct redis *r = HG_CONTAINER(t, struct redis, tick);
	uint64_t now_ms = loop_now_ms(l), next_ms = UINT64_MAX;
	uint32_t end = r->next;
	r->tick_ms = 0;
	for (uint32_t i = r->first; i != end; i++) {
		struct flight *f = flight_at(r, i);
		struct redis_command *c = f->command;
		if (c && f->deadline_ms <= now_ms) {
			f->command = NULL;
			expire(r, c); /* may send: behind `end` */
		} else if (c) {
			next_ms = HG_MIN(next_ms, f->deadline_ms);
		}
	}
	expire_waiting(r, now_ms, &next_ms);
	if (redis_flying(r)) {
		uint64_t stall_ms = flight_at(r, r->first)->deadline_ms + STALL_MS;
		if (stall_ms <= now_ms)
			link_lost(&r->main, "the server does not answer");
		else
			next_ms = HG_MIN(next_ms, stall_ms);
	}
	if (next_ms != UINT64_MAX) arm(r, next_ms);
}

static void fly(struct redis *r, struct redis_command *c)
{
	c->place = r->next++;
	c->state = COMMAND_FLYING;
	*flight_at(r, c->place) = (struct flight){c, c->deadline_ms};
	r->stats.sent++;
	arm(r, c->deadline_ms);
	link_flush_later(&r->main);
}

/* May it be sent now? HG_OK: and it must be. */
static enum hg_rc admit(struct redis *r, struct redis_command *c, size_t bytes)
{
	if (redis_flying(r) + r->waiting_count >= r->o.queue_max ||
	        r->main.out.n - r->main.out_at + bytes > OUT_MAX)
		return HG_E_NOMEM;
	if (c->patient) return HG_OK;
	if (r->main.state == LINK_NONE) link_open(&r->main); /* nothing, while its timer runs */
	if (r->main.state != LINK_READY || is_stuck(r) ||
	        !breaker_ask(&r->breaker, &rules, now_of(r), &c->term))
		return HG_E_AGAIN;
	return HG_OK;
}

static size_t bytes_of(const struct hg_str *arg, size_t n)
{
	size_t bytes = 32;
	for (size_t i = 0; i < n; i++)
		bytes += arg[i].n + 32;
	return bytes;
}

/* It waits for a connection: its request is kept. */
static enum hg_rc wait_for_link(struct redis *r, struct redis_command *c, struct hg_buf *request)
{
	size_t n = request->n;
	c->request = hg_buf_take(request);
	if (!c->request) return HG_E_NOMEM;
	c->request_n = n;
	c->state = COMMAND_WAITING;
	hg_list_append(&r->waiting, &c->node);
	r->waiting_count++;
	arm(r, c->deadline_ms);
	link_open(&r->main);
	return HG_OK;
}

static enum hg_rc begin(struct redis *r, struct redis_command *c, size_t bytes)
{
	HG_OBJ(r, struct redis, REDIS_MAGIC);
	HG_ASSERT(c->done && c->state == COMMAND_IDLE);
	c->redis = r;
	c->queued_ns = clock_mono_ns();
	c->deadline_ms = now_of(r) + (c->within_ms ? c->within_ms : r->o.timeout_ms);
	enum hg_rc rc = r->stopping ? HG_E_AGAIN : admit(r, c, bytes);
	if (rc < 0) r->stats.refused++;
	return rc;
}

enum hg_rc redis_send(struct redis *r, struct redis_command *c, const struct hg_str *arg, size_t n)
{
	size_t bytes = bytes_of(arg, n);
	HG_ASSERT(n >= 1 && n <= REDIS_ARGS_MAX);
	enum hg_rc rc = begin(r, c, bytes);
	if (rc < 0) return rc;
	if (r->main.state == LINK_READY) {
		resp_request(&r->main.out, arg, n);
		fly(r, c);
		return HG_OK;
	}
	struct hg_buf request;
	hg_buf_init(&request, bytes);
	resp_request(&request, arg, n);
	rc = wait_for_link(r, c, &request);
	hg_buf_free(&request);
	return rc;
}

void redis_cancel(struct redis_command *c)
{
	struct redis *r = c->redis;
	if (c->state == COMMAND_IDLE) return;
	if (c->state == COMMAND_WAITING) {
		hg_list_remove(&c->node);
		r->waiting_count--;
	} else {
		flight_at(r, c->place)->command = NULL;
		tell(r, c, BREAKER_NONE);
	}
	forget(c);
}

void redis_script_init(struct redis_script *s, const char *text)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	s->text = text;
	/* Redis names scripts by it; nothing rests on it. */
	HG_ASSERT(EVP_Digest(text, strlen(text), sum, &n, EVP_sha1(), NULL) == 1 && n == 20);
	for (unsigned i = 0; i < n; i++)
		snprintf(s->sha1 + 2 * (size_t)i, 3, "%02x", sum[i]);
}

/* "*n EVALSHA sha1" or "*n EVAL text", and what follows. */
static void add_script(struct hg_buf *to, const struct redis_command *c, bool whole)
{
	const struct redis_script *s = c->script;
	struct hg_str head[] = {
	        whole ? HG_STR("EVAL") : HG_STR("EVALSHA"), hg_str(whole ? s->text : s->sha1)};
	struct hg_buf two;
	char line[32];
	/* Two arguments are written, and those that follow are counted: the line is made anew. */
	hg_buf_init(&two, strlen(s->text) + 128);
	resp_request(&two, head, HG_COUNT(head));
	uint32_t n;
	memcpy(&n, c->request, sizeof n);
	snprintf(line, sizeof line, "*%u", n + 2);
	hg_buf_cstr(to, line);
	hg_buf_str(to, (struct hg_str){two.p + 2, two.failed ? 0 : two.n - 2});
	if (two.failed) to->failed = true;
	hg_buf_free(&two);
	hg_buf_str(to, (struct hg_str){c->request + sizeof n, c->request_n - sizeof n});
}

/* "$len arg" of the number of keys, the keys and the arguments, behind their count. */
static enum hg_rc keep_tail(struct redis_command *c, const struct hg_str *keys, size_t key_count,
        const struct hg_str *args, size_t arg_count)
{
	char count[16];
	struct hg_buf tail;
	uint32_t n = (uint32_t)(1 + key_count + arg_count);
	snprintf(count, sizeof count, "%zu", key_count);
	hg_buf_init(&tail, 64 + bytes_of(keys, key_count) + bytes_of(args, arg_count));
	hg_buf_str(&tail, (struct hg_str){(const char *)&n, sizeof n});
	for (size_t i = 0; i < n; i++) {
		struct hg_str one = i == 0           ? hg_str(count)
		                    : i <= key_count ? keys[i - 1]
		                                     : args[i - 1 - key_count];
		hg_buf_fmt(&tail, "$%zu\r\n", one.n);
		hg_buf_str(&tail, one);
		hg_buf_str(&tail, HG_STR("\r\n"));
	}
	c->request_n = tail.n;
	c->request = hg_buf_take(&tail);
	hg_buf_free(&tail);
	return c->request ? HG_OK : HG_E_NOMEM;
}

enum hg_rc redis_eval(struct redis *r, struct redis_command *c, const struct redis_script *s,
        const struct hg_str *keys, size_t key_count, const struct hg_str *args, size_t arg_count)
{
	HG_ASSERT(key_count + arg_count + 3 <= REDIS_ARGS_MAX);
	size_t bytes = bytes_of(keys, key_count) + bytes_of(args, arg_count) + strlen(s->text);
	enum hg_rc rc = begin(r, c, bytes);
	if (rc < 0) return rc;
	rc = keep_tail(c, keys, key_count, args, arg_count);
	if (rc < 0) {
		tell(r, c, BREAKER_NONE);
		return rc;
	}
	c->script = s;
	if (r->main.state == LINK_READY) {
		add_script(&r->main.out, c, false);
		fly(r, c);
		return HG_OK;
	}
	c->state = COMMAND_WAITING;
	hg_list_append(&r->waiting, &c->node);
	r->waiting_count++;
	arm(r, c->deadline_ms);
	link_open(&r->main);
	return HG_OK;
}

static void send_waiting(struct redis *r)
{
	struct hg_list *node;
	while ((node = hg_list_pop(&r->waiting))) {
		struct redis_command *c = HG_CONTAINER(node, struct redis_command, node);
		r->waiting_count--;
		if (c->script)
			add_script(&r->main.out, c, false);
		else
			hg_buf_str(&r->main.out, (struct hg_str){c->request, c->request_n});
		fly(r, c);
	}
}

static void subscribe_now(struct redis *r, const struct redis_subscription *s, const char *verb)
{
	resp_request(&r->sub.out, (struct hg_str[]){hg_str(verb), hg_str(s->channel)}, 2);
	link_flush_later(&r->sub);
}

void redis_link_up(struct link *l)
{
	struct redis *r = l->redis;
	if (l->sub) {
		HG_LIST_EACH (node, &r->subscriptions) {
			subscribe_now(r, HG_CONTAINER(node, struct redis_subscription, node),
			        "SUBSCRIBE");
		}
		return;
	}
	r->stats.connections++;
	r->breaker = (struct breaker){.term = r->breaker.term + 1}; /* it answers */
	send_waiting(r);
}

void redis_link_down(struct link *l)
{
	struct redis *r = l->redis;
	if (l->sub) return;
	r->stats.lost++;
	while (redis_flying(r)) {
		struct redis_command *c = flight_at(r, r->first++)->command;
		if (!c) continue;
		tell(r, c, BREAKER_NONE);
		finish(c, HG_E_AGAIN, HG_STR("the connection to Redis was lost"));
	}
}

static void observe(struct redis *r, const struct redis_command *c)
{
	uint64_t took_ns = clock_mono_ns() - c->queued_ns;
	size_t b = 0;
	while (b < REDIS_BUCKETS && took_ns > redis_bucket_ns[b])
		b++;
	r->stats.bucket[b]++;
	r->stats.sum_ns += took_ns;
}

/* The server does not know the script: it gets its text, within the time that is left. */
static bool eval_again(struct redis *r, struct redis_command *c, const struct resp_value *v)
{
	if (!c->script || v->type != RESP_ERROR || !hg_str_starts(v->str, HG_STR("NOSCRIPT")))
		return false;
	add_script(&r->main.out, c, true);
	fly(r, c);
	return true;
}

static void take_reply(struct redis *r, struct resp_value v, struct hg_str rest)
{
	if (redis_flying(r) == 0) {
		link_lost(&r->main, "the server answers what nobody asked");
		return;
	}
	struct redis_command *c = flight_at(r, r->first++)->command;
	if (!c || eval_again(r, c, &v)) return;
	observe(r, c);
	tell(r, c, BREAKER_GOOD);
	c->reply = v;
	c->rest = rest;
	if (v.type == RESP_ERROR) r->stats.errors++;
	if (v.type == RESP_ERROR)
		finish(c, HG_E_INVALID, v.str);
	else
		finish(c, HG_OK, HG_STR(""));
}

/* ["message", channel, text]; ["subscribe", channel, n]; answers to PING. */
static void take_push(struct redis *r, struct resp_value v, struct hg_str rest)
{
	struct resp_value kind = {0}, channel = {0}, text = {0};
	if (v.type != RESP_ARRAY || v.n < 3 || !resp_next(&rest, &kind) ||
	        !resp_next(&rest, &channel) || !resp_next(&rest, &text))
		return;
	bool message = hg_str_eq(kind.str, HG_STR("message"));
	if (!message && !hg_str_eq(kind.str, HG_STR("subscribe"))) return;
	HG_LIST_EACH_SAFE (node, after, &r->subscriptions) {
		struct redis_subscription *s = HG_CONTAINER(node, struct redis_subscription, node);
		if (!hg_str_eq(channel.str, hg_str(s->channel))) continue;
		s->fn(s, message ? text.str : (struct hg_str){0});
		return;
	}
}

void redis_link_reply(struct link *l, struct resp_value v, struct hg_str rest)
{
	if (l->sub)
		take_push(l->redis, v, rest);
	else
		take_reply(l->redis, v, rest);
}

void redis_subscribe(struct redis *r, struct redis_subscription *s)
{
	HG_OBJ(r, struct redis, REDIS_MAGIC);
	hg_list_append(&r->subscriptions, &s->node);
	if (r->sub.state == LINK_READY)
		subscribe_now(r, s, "SUBSCRIBE");
	else
		link_open(&r->sub);
}

void redis_unsubscribe(struct redis *r, struct redis_subscription *s)
{
	hg_list_remove(&s->node);
	if (r->sub.state == LINK_READY) subscribe_now(r, s, "UNSUBSCRIBE");
}

bool redis_usable(struct redis *r)
{
	if (r->main.state != LINK_READY || is_stuck(r)) return false;
	return r->breaker.state != BREAKER_OPEN || now_of(r) >= r->breaker.until_ms;
}

void redis_stats(const struct redis *r, struct redis_stats *ret_stats)
{
	*ret_stats = r->stats;
	ret_stats->up = r->main.state == LINK_READY;
	ret_stats->in_flight = redis_flying(r);
}

static uint32_t or_default(uint32_t v, uint32_t fallback)
{
	return v ? v : fallback;
}

enum hg_rc redis_new(
        struct loop *l, const struct redis_options *o, struct redis **ret_redis, struct hg_err *err)
{
	struct redis *r = calloc(1, sizeof *r);
	if (!r) return hg_err_set(err, HG_E_NOMEM, "not enough memory for a Redis client");
	const char *wrong = redis_address_of(o->url, &r->address);
	if (wrong) {
		free(r);
		return hg_err_set(err, HG_E_INVALID, "the address of Redis: %s", wrong);
	}
	r->magic = REDIS_MAGIC;
	r->loop = l;
	r->o = *o;
	r->o.timeout_ms = or_default(o->timeout_ms, TIMEOUT_MS_DEFAULT);
	r->o.connect_ms = or_default(o->connect_ms, CONNECT_MS_DEFAULT);
	r->o.reply_max = or_default(o->reply_max, REPLY_DEFAULT);
	uint32_t want = HG_MIN(or_default(o->queue_max, QUEUE_DEFAULT), QUEUE_MOST);
	for (r->o.queue_max = 1; r->o.queue_max < want;)
		r->o.queue_max *= 2;
	hg_list_init(&r->waiting);
	hg_list_init(&r->subscriptions);
	hg_rand_seed(&r->rand, clock_mono_ns() ^ (uintptr_t)r);
	enum hg_rc rc = redis_tls_new(r, err);
	if (rc < 0) {
		free(r);
		return rc;
	}
	link_init(&r->main, r, false);
	link_init(&r->sub, r, true);
	r->flight = calloc(r->o.queue_max, sizeof *r->flight);
	if (!r->flight) {
		redis_free(r);
		return hg_err_set(err, HG_E_NOMEM, "not enough memory for a Redis client");
	}
	link_open(&r->main);
	*ret_redis = r;
	return HG_OK;
}

void redis_free(struct redis *r)
{
	struct hg_list *node;
	if (!r) return;
	HG_OBJ(r, struct redis, REDIS_MAGIC);
	r->stopping = true;
	loop_timer_stop(r->loop, &r->tick);
	link_fini(&r->main);
	link_fini(&r->sub);
	while (r->flight && redis_flying(r)) {
		struct redis_command *c = flight_at(r, r->first++)->command;
		if (c) finish(c, HG_E_AGAIN, HG_STR("the program is stopping"));
	}
	while ((node = hg_list_pop(&r->waiting)))
		finish(HG_CONTAINER(node, struct redis_command, node), HG_E_AGAIN,
		        HG_STR("the program is stopping"));
	free(r->flight);
	tls_remote_unref(r->tls);
	r->magic = 0;
	free(r);
}
