#include "apps/feedback/lists_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/clock.h"

#include "apps/feedback/app_priv.h"

#define VALUE_MAX (17u << 20) /* a list of 1000, and what is kept with it */
#define CHANNEL   "feedback:changed"

struct lists {
	struct app *app;
	struct loop *loop;
	struct cache *cache;
	struct redis *redis; /* NULL: none */
	uint32_t ttl_ms, tag;
	struct hg_buf value;
	uint64_t moment; /* of the last question to the database */
	uint64_t count[LISTS_HOWS], changes_heard;
	/* the check: one at a time, for all who wait */
	struct hg_list asking, asked; /* for the next one; for the one on its way */
	struct loop_task check;
	struct loop_timer slow; /* it takes too long */
	bool checking, is_slow;
	uint64_t check_moment, checked_moment, pause_until_ms;
	int64_t checked_stamp;
	uint64_t checks, checks_failed;
	struct redis_subscription changed;
	bool stopping;
};

/* A request that waits. */
struct want {
	struct cache_waiter waiter; /* for another's fetch */
	struct hg_list node;        /* for a check */
	struct lists *lists;
	struct deferred *d;
	struct lists_page key;
	uint64_t since, seen;
	struct trace trace;
	uint64_t begun_ns; /* Unix time; 0: it is not traced */
	uint32_t rounds;
	bool stale, waited; /* a list was there; another's fetch was waited for */
};

struct fetch {
	struct lists *lists;
	struct cache_flight *flight;
	struct want *leader;
	struct lists_page key;
	struct redis_command get;
	uint64_t get_begun_ns;
	struct listed list; /* stamp and moment: what Redis is asked for */
};

static void step(struct want *w, const struct listed *at_hand, struct hg_str json);

static struct hg_str bytes_of(const struct lists_page *k)
{
	return (struct hg_str){(const char *)k, sizeof *k};
}

static bool lookup(
        struct lists *l, const struct lists_page *k, struct listed *ret, struct hg_str *ret_json)
{
	struct hg_str value;
	if (!cache_get(l->cache, bytes_of(k), loop_now_ms(l->loop), &value)) return false;
	HG_ASSERT(value.n >= sizeof *ret);
	memcpy(ret, value.p, sizeof *ret);
	*ret_json = (struct hg_str){value.p + sizeof *ret, value.n - sizeof *ret};
	return true;
}

static void keep(struct lists *l, const struct lists_page *k, const struct cache_ticket *t,
        const struct listed *e, struct hg_str json)
{
	uint64_t now_ms = loop_now_ms(l->loop);
	hg_buf_reset(&l->value);
	hg_buf_str(&l->value, (struct hg_str){(const char *)e, sizeof *e});
	hg_buf_str(&l->value, json);
	if (l->value.failed) return;
	cache_put(l->cache, bytes_of(k), hg_buf_view(&l->value), t, now_ms, now_ms + l->ttl_ms);
	/* Most are small; one that was not need not be kept twice. */
	if (l->value.cap > (256u << 10)) hg_buf_free(&l->value);
}

/* Ends the request. NULL: the client has left. */
static struct serve_call *conclude(struct want *w, const struct serve_request **ret_req)
{
	struct serve_call *call = w->d->call;
	*ret_req = w->d->req;
	w->d->queued = false;
	app_deferred_free(w->d);
	free(w);
	return call;
}

static const char *lists_result(enum lists_how how)
{
	static const char *const name[LISTS_HOWS] = {
	        "hit", "redis", "coalesced", "miss", "stale", "bypass"};
	return name[how];
}

static void trace_cache(
        struct lists *l, const struct trace *t, uint64_t begun_ns, enum lists_how how)
{
	struct trace_span s;
	if (!begun_ns) return;
	trace_begin(&s, l->app->tracer, t, TRACE_CACHE, SPAN_INTERNAL, "cache.lookup",
	        (struct trace_when){begun_ns, clock_wall_ns()});
	trace_str(&s, "cache.result", hg_str(lists_result(how)));
	trace_end(&s);
}

static void give(struct want *w, const struct listed *e, struct hg_str json, enum lists_how how)
{
	struct lists *l = w->lists;
	struct lists_page k = w->key;
	struct rows_page page = {.total = e->total, .stamp = e->stamp, .next = e->next};
	const struct serve_request *req;
	trace_cache(l, &w->trace, w->begun_ns, how);
	struct serve_call *call = conclude(w, &req);
	l->count[how]++;
	if (call) app_answer_list(l->app, call, req, &(struct app_list){k, &page, json, how});
}

static void give_unchanged(struct want *w)
{
	struct lists *l = w->lists;
	char text[LISTS_ETAG_MAX];
	struct hg_str etag = lists_etag(l->app->build, l->checked_stamp, &w->key, text);
	const struct serve_request *req;
	trace_cache(l, &w->trace, w->begun_ns, LISTS_HIT);
	struct serve_call *call = conclude(w, &req);
	l->count[LISTS_HIT]++;
	if (call) app_answer_unchanged(l->app, call, req, etag, LISTS_HIT);
}

static void fail(struct want *w, enum hg_rc rc, const char *why)
{
	struct app *a = w->lists->app;
	const struct serve_request *req;
	struct serve_call *call = conclude(w, &req);
	if (call)
		app_fail(a, call, req, rc == HG_E_NOMEM ? ERROR_OVERLOAD : ERROR_DATABASE, rc, why);
}

static void take_page(struct listed *e, const struct store_op *op)
{
	e->stamp = op->page.stamp;
	e->total = op->page.total;
	e->next = op->page.next;
	e->seen = op->seen;
}

static enum hg_rc ask_list(struct lists *l, const struct want *w, void *tag,
        void (*finish)(struct store_op *op), struct hg_err *err)
{
	struct store_op *op = l->stopping ? NULL : calloc(1, sizeof *op);
	if (!op)
		return hg_err_set(err, l->stopping ? HG_E_AGAIN : HG_E_NOMEM, "%s",
		        l->stopping ? "the program is stopping" : "not enough memory");
	op->kind = STORE_LIST;
	op->before = w->key.before;
	op->limit = w->key.limit;
	op->form = w->key.form;
	op->seen = w->seen;
	op->trace = w->trace;
	op->tag = tag;
	op->finish = finish;
	l->moment++;
	enum hg_rc rc = store_queue(l->app->store, op, err);
	if (rc < 0) free(op);
	return rc;
}

static void on_alone(struct store_op *op)
{
	struct want *w = op->tag;
	struct listed e = {0};
	take_page(&e, op);
	if (op->rc < 0)
		fail(w, op->rc, op->why);
	else
		give(w, &e, op->json, LISTS_BYPASS);
	free(op);
}

static void fetch_alone(struct want *w)
{
	struct hg_err err = {0};
	enum hg_rc rc = ask_list(w->lists, w, w, on_alone, &err);
	if (rc < 0) fail(w, rc, err.message);
}

/* Who waited goes on with what came, or fails as the fetch did. */
static void land(
        struct fetch *f, const struct listed *e, struct hg_str json, enum hg_rc rc, const char *why)
{
	struct hg_list to;
	struct cache_waiter *waiter;
	hg_list_init(&to);
	cache_land(f->lists->cache, f->flight, &to);
	free(f);
	while ((waiter = cache_next(&to))) {
		struct want *w = HG_CONTAINER(waiter, struct want, waiter);
		w->rounds++;
		if (rc < 0)
			fail(w, rc, why);
		else
			step(w, e, json);
	}
}

static void arrive(struct fetch *f, struct listed e, struct hg_str json, enum lists_how how)
{
	struct want *leader = f->leader;
	keep(f->lists, &f->key, cache_flight_ticket(f->flight), &e, json);
	give(leader, &e, json, how);
	land(f, &e, json, HG_OK, "");
}

/* For the other processes; whether it comes there is not waited for. */
static void on_shared(struct redis_command *c)
{
	free(c);
}

static void send_away(struct lists *l, const struct hg_str *arg, size_t n)
{
	if (!l->redis || !redis_usable(l->redis)) return;
	struct redis_command *c = calloc(1, sizeof *c);
	if (!c) return;
	c->done = on_shared;
	if (redis_send(l->redis, c, arg, n) < 0) free(c);
}

static void share(
        struct lists *l, const struct lists_page *k, const struct listed *e, struct hg_str json)
{
	char name[LISTS_NAME_MAX], ttl[16];
	size_t n = lists_shared_name(l->app->build, e->stamp, k, name);
	if (!l->redis || !redis_usable(l->redis)) return;
	hg_buf_reset(&l->value);
	lists_shared_text(e, json, &l->value);
	if (l->value.failed) return;
	snprintf(ttl, sizeof ttl, "%u", l->ttl_ms);
	send_away(l,
	        (struct hg_str[]){HG_STR("SET"), {name, n}, hg_buf_view(&l->value), HG_STR("PX"),
	                hg_str(ttl)},
	        5);
}

static void on_fetched(struct store_op *op)
{
	struct fetch *f = op->tag;
	struct listed e = f->list;
	take_page(&e, op);
	if (op->rc < 0) {
		fail(f->leader, op->rc, op->why);
		land(f, NULL, HG_STR(""), op->rc, op->why);
	} else {
		share(f->lists, &f->key, &e, op->json);
		arrive(f, e, op->json, f->leader->stale ? LISTS_STALE : LISTS_MISS);
	}
	free(op);
}

static void ask_database(struct fetch *f)
{
	struct lists *l = f->lists;
	struct hg_err err = {0};
	f->list = (struct listed){.moment = l->moment + 1, .made_ms = loop_now_ms(l->loop)};
	enum hg_rc rc = ask_list(l, f->leader, f, on_fetched, &err);
	if (rc == HG_OK) return;
	fail(f->leader, rc, err.message);
	land(f, NULL, HG_STR(""), rc, err.message);
}

static void trace_redis(const struct fetch *f, const struct redis_command *c)
{
	const struct want *w = f->leader;
	struct trace_span s;
	if (!w->begun_ns) return;
	trace_begin(&s, f->lists->app->tracer, &w->trace, TRACE_REDIS, SPAN_CLIENT, "redis.get",
	        (struct trace_when){f->get_begun_ns, clock_wall_ns()});
	trace_str(&s, "db.system.name", HG_STR("redis"));
	trace_str(&s, "db.operation.name", HG_STR("GET"));
	if (c->rc < 0) trace_failed(&s, hg_str(hg_rc_info(c->rc)->code));
	trace_end(&s);
}

static void on_got(struct redis_command *c)
{
	struct fetch *f = c->arg;
	struct hg_str json;
	trace_redis(f, c);
	if (c->rc == HG_OK && c->reply.type == RESP_STR &&
	        lists_shared_read(c->reply.str, &f->list, &json))
		arrive(f, f->list, json, LISTS_SHARED);
	else
		ask_database(f);
}

/* True: Redis is asked for the list of the stamp that was checked for the leader. */
static bool ask_redis(struct fetch *f)
{
	struct lists *l = f->lists;
	char name[LISTS_NAME_MAX];
	if (!l->redis || l->checked_moment <= f->leader->since) return false;
	size_t n = lists_shared_name(l->app->build, l->checked_stamp, &f->key, name);
	/* The primary had nothing that it lacks: as good as any position. */
	f->list = (struct listed){.stamp = l->checked_stamp,
	        .moment = l->checked_moment,
	        .seen = UINT64_MAX,
	        .made_ms = loop_now_ms(l->loop)};
	f->get_begun_ns = f->leader->begun_ns ? clock_wall_ns() : 0;
	f->get = (struct redis_command){.done = on_got, .arg = f};
	return redis_send(l->redis, &f->get, (struct hg_str[]){HG_STR("GET"), {name, n}}, 2) ==
	       HG_OK;
}

static void fetch(struct want *w)
{
	struct lists *l = w->lists;
	struct cache_flight *flight = NULL;
	enum cache_join join =
	        cache_join(l->cache, bytes_of(&w->key), &l->tag, 1, &w->waiter, &flight);
	if (join == CACHE_WAIT) {
		w->waited = true;
		return;
	}
	struct fetch *f = join == CACHE_FETCH ? calloc(1, sizeof *f) : NULL;
	if (!f) {
		struct hg_list none;
		hg_list_init(&none);
		if (flight) cache_land(l->cache, flight, &none);
		fetch_alone(w);
		return;
	}
	*f = (struct fetch){.lists = l, .flight = flight, .leader = w, .key = w->key};
	if (!ask_redis(f)) ask_database(f);
}

static bool checks_work(const struct lists *l)
{
	return !l->is_slow && !l->stopping && loop_now_ms(l->loop) >= l->pause_until_ms;
}

/* The client has the list of the stamp that was checked. */
static bool client_has(const struct want *w)
{
	const struct lists *l = w->lists;
	char text[LISTS_ETAG_MAX];
	if (!w->d->call || l->checked_moment <= w->since) return false;
	return serve_unchanged(
	        w->d->req, lists_etag(l->app->build, l->checked_stamp, &w->key, text));
}

static bool is_conditional(const struct want *w)
{
	return w->d->call && http1_find(w->d->req->head, HTTP1_F_IF_NONE_MATCH) != NULL;
}

/* Goes on with a request, with a list that has just come if there is one. */
static void step(struct want *w, const struct listed *at_hand, struct hg_str json)
{
	struct lists *l = w->lists;
	struct listed e = {0};
	bool have = at_hand || lookup(l, &w->key, &e, &json);
	if (at_hand) e = *at_hand;
	bool conditional = is_conditional(w);
	struct lists_view v = {.since = w->since,
	        .seen = w->seen,
	        .have = have,
	        .have_moment = e.moment,
	        .have_seen = e.seen,
	        .have_stamp = e.stamp,
	        .checked_moment = l->checked_moment,
	        .checked_stamp = l->checked_stamp,
	        .client_has = conditional && client_has(w),
	        .checks = checks_work(l),
	        .worth = conditional || (l->redis && redis_usable(l->redis)),
	        .rounds = w->rounds};
	w->stale |= have;
	switch (lists_decide(&v)) {
	case LISTS_GIVE: give(w, &e, json, w->waited ? LISTS_COALESCED : LISTS_HIT); break;
	case LISTS_UNCHANGED: give_unchanged(w); break;
	case LISTS_CHECK:
		hg_list_append(&l->asking, &w->node);
		if (!l->checking) loop_task_queue(l->loop, &l->check);
		break;
	case LISTS_FETCH: fetch(w); break;
	case LISTS_FETCH_ALONE: fetch_alone(w); break;
	}
}

/* Those who waited for a check go on. */
static void release(struct hg_list *waiting)
{
	struct hg_list now, *node;
	hg_list_init(&now);
	while ((node = hg_list_pop(waiting)))
		hg_list_append(&now, node);
	while ((node = hg_list_pop(&now)))
		step(HG_CONTAINER(node, struct want, node), NULL, HG_STR(""));
}

static void checks_fail(struct lists *l)
{
	l->checks_failed++;
	l->pause_until_ms = loop_now_ms(l->loop) + LISTS_PAUSE_MS;
}

static void on_checked(struct store_op *op)
{
	struct lists *l = op->tag;
	loop_timer_stop(l->loop, &l->slow);
	l->checking = l->is_slow = false;
	if (op->rc == HG_OK) {
		l->checked_moment = l->check_moment;
		l->checked_stamp = op->page.stamp;
	} else {
		checks_fail(l);
	}
	free(op);
	release(&l->asked);
	if (!hg_list_empty(&l->asking)) loop_task_queue(l->loop, &l->check);
}

static void on_slow(struct loop *loop, struct loop_timer *t)
{
	struct lists *l = HG_CONTAINER(t, struct lists, slow);
	(void)loop;
	l->is_slow = true; /* until it comes */
	l->checks_failed++;
	release(&l->asked);
	release(&l->asking);
}

static void on_check(struct loop *loop, struct loop_task *t)
{
	struct lists *l = HG_CONTAINER(t, struct lists, check);
	struct hg_list *node;
	struct hg_err err = {0};
	if (l->checking || hg_list_empty(&l->asking)) return;
	while ((node = hg_list_pop(&l->asking)))
		hg_list_append(&l->asked, node);
	struct store_op *op = l->stopping ? NULL : calloc(1, sizeof *op);
	if (op) {
		op->kind = STORE_STAMP;
		op->tag = l;
		op->finish = on_checked;
		l->check_moment = ++l->moment;
		l->checks++;
		l->checking = store_queue(l->app->store, op, &err) == HG_OK;
	}
	if (l->checking) {
		/* Without a timer it is waited for as long as the database may take. */
		if (loop_timer_start(loop, &l->slow, LISTS_CHECK_MS, on_slow) < 0) return;
		return;
	}
	free(op);
	checks_fail(l);
	release(&l->asked);
}

/* A file: everything at once. */
static void ask_file(struct lists *l, struct rows *rows, struct serve_call *call,
        const struct serve_request *req, const struct store_op *op)
{
	struct app *a = l->app;
	struct lists_page k = {op->before, op->limit, op->form};
	struct listed e = {0};
	struct rows_page page = {0};
	struct hg_err err = {0};
	struct hg_str json = HG_STR("");
	char text[LISTS_ETAG_MAX];
	enum lists_how how = LISTS_HIT;
	enum hg_rc rc = rows_stamp(rows, &page.total, &page.stamp, &err);
	struct hg_str etag = lists_etag(a->build, page.stamp, &k, text);
	struct trace trace = trace_of(a->tracer, req);
	uint64_t begun_ns = trace_kept(a->tracer, &trace) ? clock_wall_ns() : 0;
	if (rc == HG_OK && serve_unchanged(req, etag)) {
		l->count[LISTS_HIT]++;
		app_answer_unchanged(a, call, req, etag, LISTS_HIT);
		return;
	}
	bool have = rc == HG_OK && lookup(l, &k, &e, &json);
	if (have && e.stamp == page.stamp) {
		page = (struct rows_page){e.total, e.stamp, e.next};
	} else if (rc == HG_OK) {
		struct cache_ticket t = cache_begin(l->cache, &l->tag, 1);
		how = have ? LISTS_STALE : LISTS_MISS;
		hg_buf_reset(&a->body);
		rc = rows_list(rows, op->form, op->before, op->limit, &a->body, &page, &err);
		app_trace_read(a, &trace, begun_ns, rc);
		json = hg_buf_view(&a->body);
		e = (struct listed){.stamp = page.stamp, .total = page.total, .next = page.next};
		if (rc == HG_OK) keep(l, &k, &t, &e, json);
	}
	trace_cache(l, &trace, begun_ns, how);
	if (rc < 0) {
		app_fail(a, call, req, ERROR_DATABASE, rc, err.message);
		return;
	}
	l->count[how]++;
	app_answer_list(a, call, req, &(struct app_list){k, &page, json, how});
}

void lists_ask(struct lists *l, struct serve_call *call, const struct serve_request *req,
        const struct store_op *op, struct deferred *d)
{
	struct rows *rows = store_rows(l->app->store);
	if (rows) {
		ask_file(l, rows, call, req, op);
		app_deferred_free(d);
		return;
	}
	struct want *w = calloc(1, sizeof *w);
	if (w && !d) d = app_defer(l->app, call, req);
	if (!w || !d) {
		free(w);
		app_deferred_free(d);
		app_fail(l->app, call, req, ERROR_OVERLOAD, HG_E_NOMEM, "not enough memory");
		return;
	}
	*w = (struct want){.lists = l,
	        .d = d,
	        .key = {op->before, op->limit, op->form},
	        .since = l->moment,
	        .seen = op->seen,
	        .trace = trace_of(l->app->tracer, req)};
	w->begun_ns = trace_kept(l->app->tracer, &w->trace) ? clock_wall_ns() : 0;
	d->queued = true;
	step(w, NULL, HG_STR(""));
}

void lists_changed(struct lists *l)
{
	if (!l) return;
	cache_purge(l->cache, l->tag);
	if (l->redis)
		send_away(l, (struct hg_str[]){HG_STR("PUBLISH"), HG_STR(CHANNEL), HG_STR("1")}, 3);
}

/* Another process has written: what is kept here will not be given again, whatever it says. */
static void on_changed(struct redis_subscription *s, struct hg_str message)
{
	struct lists *l = HG_CONTAINER(s, struct lists, changed);
	(void)message;
	l->changes_heard++;
	cache_purge(l->cache, l->tag);
}

static void on_note(void *arg, enum hg_level level, const char *what, const char *why)
{
	struct lists *l = arg;
	jsonlog(l->app->log, level, "feedback.redis", what, HG_S("reason", why));
}

static enum hg_rc open_redis(struct lists *l, const struct config *c, struct hg_err *err)
{
	struct redis_options o = {.url = c->redis,
	        .name = "feedback-app",
	        .timeout_ms = c->redis_ms,
	        .note = on_note,
	        .arg = l};
	enum hg_rc rc = redis_new(l->loop, &o, &l->redis, err);
	if (rc < 0) return rc;
	l->changed = (struct redis_subscription){.channel = CHANNEL, .fn = on_changed};
	redis_subscribe(l->redis, &l->changed);
	return HG_OK;
}

enum hg_rc lists_new(
        struct app *a, const struct config *c, struct lists **ret_lists, struct hg_err *err)
{
	struct cache_options o = {.bytes_max = c->cache_bytes, .seed = hg_rand_u64(&a->rand)};
	if (!c->cache_ttl_ms) return HG_OK;
	struct lists *l = calloc(1, sizeof *l);
	if (!l) return hg_err_set(err, HG_E_NOMEM, "not enough memory for the cache");
	*l = (struct lists){.app = a,
	        .loop = a->loop,
	        .ttl_ms = c->cache_ttl_ms,
	        .tag = cache_tag(HG_STR("feedback"))};
	hg_buf_init(&l->value, VALUE_MAX);
	hg_list_init(&l->asking);
	hg_list_init(&l->asked);
	loop_task_init(&l->check, on_check);
	enum hg_rc rc = cache_new(&o, &l->cache);
	if (rc < 0) hg_err_set(err, rc, "not enough memory for the cache");
	/* On a file a list is made sooner than Redis could send it. */
	if (rc == HG_OK && c->redis[0] && !store_rows(a->store)) rc = open_redis(l, c, err);
	if (rc < 0)
		lists_free(l);
	else
		*ret_lists = l;
	return rc;
}

void lists_stop(struct lists *l)
{
	if (!l) return;
	l->stopping = true;
	loop_timer_stop(l->loop, &l->slow);
	loop_task_cancel(&l->check);
	release(&l->asked);
	release(&l->asking);
	redis_free(l->redis);
	l->redis = NULL;
}

void lists_free(struct lists *l)
{
	if (!l) return;
	redis_free(l->redis);
	cache_free(l->cache);
	hg_buf_free(&l->value);
	free(l);
}

void lists_metrics(struct lists *l, struct hg_buf *to)
{
	struct cache_stats s;
	if (!l) return;
	cache_stats(l->cache, &s);
	hg_buf_cstr(to,
	        "# HELP cache_requests_total Requests for lists, by how they were answered\n"
	        "# TYPE cache_requests_total counter\n");
	for (size_t i = 0; i < LISTS_HOWS; i++)
		hg_buf_fmt(to, "cache_requests_total{result=\"%s\"} %" PRIu64 "\n",
		        lists_result((enum lists_how)i), l->count[i]);
	hg_buf_fmt(to,
	        "# TYPE cache_entries gauge\ncache_entries %u\n"
	        "# TYPE cache_bytes gauge\ncache_bytes %zu\n"
	        "# TYPE cache_bytes_max gauge\ncache_bytes_max %zu\n"
	        "# TYPE cache_evictions_total counter\ncache_evictions_total %" PRIu64 "\n"
	        "# TYPE cache_checks_total counter\ncache_checks_total %" PRIu64 "\n"
	        "# TYPE cache_checks_failed_total counter\ncache_checks_failed_total %" PRIu64 "\n",
	        s.entries, s.bytes, s.bytes_max, s.evicted, l->checks, l->checks_failed);
	if (!l->redis) return;
	hg_buf_fmt(to,
	        "# TYPE cache_changes_heard_total counter\ncache_changes_heard_total %" PRIu64 "\n",
	        l->changes_heard);
	lists_redis_metrics(l->redis, to);
}
