#include <errno.h>

#include "data/edge/mirror_priv.h"
#include "data/edge/secure_priv.h"
#include "os/clock.h"

/*
 * Mirroring: what the old release has answered is asked again of the new one, and the two answers
 * are compared. Nothing here may touch a client: the copy begins when the old answer is whole, has
 * memory and connections of its own, is in no gauge that limits requests, ejects no replica, and is
 * evidence of nothing. What cannot be done at once is left out and counted.
 *
 * Only GET, HEAD and OPTIONS without a body. That a method is idempotent is not enough: the request
 * would be carried out by two releases that, as a rule, share a database.
 */

static struct meter_trial_count *counters(const struct edge_mirror *m)
{
	return &m->edge->count->trial[m->trial->is.cell];
}

static void mirror_free(struct edge_mirror *m)
{
	struct edge *e = m->edge;
	HG_ASSERT(!m->up);
	loop_task_cancel(&m->task);
	edge_timer_off(&m->timer);
	hg_list_remove(&m->node);
	edge_trial_drop(e, m->trial);
	m->magic = 0;
	edge_pool_give(&e->mirrors_pool, m);
}

/* ---- the old answer ---- */

static bool is_current(struct edge *e, const struct edge_trial *t)
{
	const struct edge_app *a = edge_app_of(e, t->is.app);
	return a && a->trial && a->trial->is.rollout == t->is.rollout &&
	       !meter_tripped(&e->meter->trial[t->slot], t->is.rollout);
}

static bool is_safe(const struct edge_req *r)
{
	bool method =
	        r->method == HTTP1_GET || r->method == HTTP1_HEAD || r->method == HTTP1_OPTIONS;
	return method && !r->body_any && !r->upgrade && !r->expect;
}

/* Is this worker at work nearly all of the time? Looked at ten times a second. */
static bool is_busy(struct edge *e)
{
	uint64_t now = loop_now_ns(e->loop), gone = now - e->mirror_look_ns;
	if (gone < EDGE_MIRROR_LOOK_NS) return e->mirror_busy;
	uint64_t busy = atomic_load_explicit(&e->count->busy_ns, memory_order_relaxed);
	uint64_t part = busy - e->mirror_busy_ns;
	e->mirror_busy = part / 1000 > gone / 1000 * EDGE_MIRROR_BUSY_PPM / 1000000;
	e->mirror_look_ns = now;
	e->mirror_busy_ns = busy;
	return e->mirror_busy;
}

static const char mark[] = "X-Headgate-Mirror: 1\r\n\r\n";

/* The head as the old release got it, and a mark: its last line end gives way. */
static void head_copy(struct edge_mirror *m, const struct edge_req *r)
{
	memcpy(m->head, r->uo, r->uo_n - 2);
	memcpy(m->head + r->uo_n - 2, mark, sizeof mark - 1);
	m->head_n = r->uo_n - 2 + (uint32_t)sizeof mark - 1;
	m->method = r->method;
	m->method_n = r->method_n;
	memcpy(m->method_text, r->method_text, r->method_n);
	m->path_n = (uint8_t)HG_MIN(r->path_n, sizeof m->path);
	memcpy(m->path, r->path, m->path_n);
	m->rid_n = (uint8_t)HG_MIN(r->rid_n, sizeof m->rid);
	memcpy(m->rid, r->rid, m->rid_n);
}

static void on_task(struct loop *l, struct loop_task *t);

static struct edge_mirror *mirror_new(struct edge_conn *c, const struct http1_head *h)
{
	struct edge *e = c->edge;
	const struct edge_req *r = c->req;
	if (e->draining || r->uo_n + sizeof mark > EDGE_MIRROR_HEAD || is_busy(e)) return NULL;
	struct edge_mirror *m = edge_pool_take(&e->mirrors_pool);
	if (!m) return NULL;
	memset(m, 0, offsetof(struct edge_mirror, old));
	m->magic = EDGE_MIRROR_MAGIC;
	m->edge = e;
	m->trial = r->draw->trial;
	m->trial->refs++;
	hg_list_init(&m->node);
	hg_list_init(&m->timer.node);
	m->timer.owner = EDGE_TIMER_MIRROR;
	loop_task_init(&m->task, on_task);
	m->limits = r->image->limits;
	uint32_t most = r->limits->response_ms ? r->limits->response_ms : EDGE_MIRROR_MS;
	m->time_ms = HG_MIN(most, EDGE_MIRROR_MS);
	m->old.over = m->fresh.over = false;
	mirror_answer_head(&m->old, h);
	head_copy(m, r);
	return m;
}

void edge_mirror_head(struct edge_conn *c, const struct http1_head *h)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_draw *d = r->draw;
	const struct snap_trial *t = &d->trial->is;
	if (HG_LIKELY(t->mirror_ppm == 0)) return;
	/* Rescued: the new release has had it. */
	bool old = d->arm == EDGE_OLD && r->release == t->old_release && r->sent_all;
	if (!old || !is_safe(r) || !is_current(e, d->trial)) return;
	if (!edge_draw_new(hg_rand_u64(&e->rand), t->mirror_ppm)) return;
	d->mirror = mirror_new(c, h);
	if (!d->mirror) meter_add(&e->count->trial[t->cell].mirror_dropped, 1);
}

static void take(char *to, uint32_t *n, struct mirror_answer *a, struct hg_str data)
{
	size_t room = MIRROR_BODY_MAX - *n;
	if (data.n > room) a->over = true;
	data.n = HG_MIN(data.n, room);
	if (data.n) memcpy(to + *n, data.p, data.n);
	*n += (uint32_t)data.n;
}

/* It was checked and counted on its way to the client: no error can come up here. */
static void take_chunks(struct edge_mirror *m, struct hg_str p)
{
	while (p.n) {
		struct http1_span s = http1_chunked_next(&m->frame, p);
		take(m->old_body, &m->old_n, &m->old, s.data);
		if (s.used == 0 || s.result != HTTP1_MORE) return;
		p = (struct hg_str){p.p + s.used, p.n - s.used};
	}
}

void edge_mirror_body(struct edge_req *r, uint32_t from)
{
	struct edge_mirror *m = r->draw->mirror;
	struct hg_str p = HG_STR("");
	if (r->rf.ready > from) p = (struct hg_str){r->rf.buf + from, r->rf.ready - from};
	if (r->resp.kind == HTTP1_BODY_CHUNKED && !r->resp.dechunk)
		take_chunks(m, p);
	else
		take(m->old_body, &m->old_n, &m->old, p);
	if (!r->resp.done && !m->old.over) return;
	r->draw->mirror = NULL;
	m->state = EDGE_MIRROR_QUEUED;
	hg_list_append(&m->edge->mirrors, &m->node);
	loop_task_queue(m->edge->loop, &m->task);
}

void edge_mirror_forget(struct edge_mirror *m)
{
	if (m) mirror_free(m);
}

/* ---- the end ---- */

/* The connection serves the next request if nothing of this one is left on it. */
static void up_leave(struct edge_mirror *m)
{
	struct edge_up *up = m->up;
	if (!up) return;
	bool clean = m->state == EDGE_MIRROR_BODY && m->keep_alive && m->body.done &&
	             m->body.kind != HTTP1_BODY_CLOSE && m->in.raw == m->in.n &&
	             m->sent == m->head_n;
	m->up = NULL;
	if (clean) {
		edge_up_keep(up);
	} else {
		edge_up_close(up);
	}
}

static void dropped(struct edge_mirror *m)
{
	meter_add(&counters(m)->mirror_dropped, 1);
	up_leave(m);
	mirror_free(m);
}

static uint32_t ignore_read(const struct snap_trial *t, struct jsonpath *to)
{
	struct hg_str list = {t->ignore, t->ignore_n};
	uint32_t n = 0;
	while (list.n && n < JSONDIFF_IGNORE_MAX) {
		size_t at;
		/* What the configuration's check lets through is a path; shared memory is not
		 * trusted. */
		if (!jsonpath_parse(hg_str_cut(&list, '\n'), &to[n], &at)) n++;
	}
	return n;
}

static void record(struct edge_mirror *m, uint8_t what, enum meter_cause cause, struct hg_str at)
{
	static const struct meter_difference none;
	const struct edge_trial *t = m->trial;
	struct meter_difference d = none;
	d.wall_ms = clock_wall_ms();
	d.replica = m->replica;
	d.status_old = m->old.status;
	d.status_new = what == METER_DIFFERS_NO_ANSWER ? 0 : m->fresh.status;
	d.what = what;
	d.cause = (uint8_t)cause;
	d.method_n = m->method_n;
	d.path_n = m->path_n;
	d.rid_n = m->rid_n;
	d.at_n = (uint8_t)HG_MIN(at.n, sizeof d.at);
	memcpy(d.method, m->method_text, d.method_n);
	memcpy(d.path, m->path, d.path_n);
	memcpy(d.rid, m->rid, d.rid_n);
	if (d.at_n) memcpy(d.at, at.p, d.at_n);
	meter_difference_keep(&m->edge->meter->trial[t->slot], t->is.rollout, &d);
}

/* An answer that never came is not the old one's either. */
static void failed(struct edge_mirror *m, enum meter_cause cause)
{
	meter_add(&counters(m)->mirrored, 1);
	meter_add(&counters(m)->mirror_differs, 1);
	meter_add(&counters(m)->mirror_failed, 1);
	record(m, METER_DIFFERS_NO_ANSWER, cause, HG_STR(""));
	up_leave(m);
	mirror_free(m);
}

static void answered(struct edge_mirror *m)
{
	static const uint8_t differs[] = {[MIRROR_STATUS] = METER_DIFFERS_STATUS,
	        [MIRROR_FIELD] = METER_DIFFERS_FIELD,
	        [MIRROR_JSON] = METER_DIFFERS_JSON,
	        [MIRROR_BYTES] = METER_DIFFERS_BYTES};
	struct jsonpath ignore[JSONDIFF_IGNORE_MAX];
	struct mirror_result r;
	up_leave(m);
	m->old.body = (struct hg_str){m->old_body, m->old_n};
	m->fresh.body = (struct hg_str){m->fresh_body, m->fresh_n};
	uint32_t n = ignore_read(&m->trial->is, ignore);
	mirror_compare(&m->old, &m->fresh, ignore, n, &m->edge->mirror_scratch, &r);
	meter_add(&counters(m)->mirrored, 1);
	if (r.what == MIRROR_PARTLY) meter_add(&counters(m)->mirror_partly, 1);
	if (r.what > MIRROR_PARTLY) {
		meter_add(&counters(m)->mirror_differs, 1);
		record(m, differs[r.what], 0, (struct hg_str){r.at, r.at_n});
	}
	mirror_free(m);
}

struct edge_mirror *edge_mirror_of(struct edge_timer *t)
{
	return HG_OBJ(
	        HG_CONTAINER(t, struct edge_mirror, timer), struct edge_mirror, EDGE_MIRROR_MAGIC);
}

/* Whole pages: the pool gives those back that were not needed. */
size_t edge_mirror_size(void)
{
	return (sizeof(struct edge_mirror) + 4095) / 4096 * 4096;
}

void edge_mirror_timeout(struct edge_mirror *m)
{
	failed(m, m->state == EDGE_MIRROR_CONNECT ? METER_CAUSE_CONNECT : METER_CAUSE_TIMEOUT);
}

void edge_mirrors_fini(struct edge *e)
{
	for (struct hg_list *n; (n = hg_list_first(&e->mirrors));)
		dropped(HG_CONTAINER(n, struct edge_mirror, node));
}

/* ---- the exchange ---- */

/* One kept connection is left to clients, who need not wait for another. */
static void begin(struct edge_mirror *m)
{
	struct edge *e = m->edge;
	struct edge_app *a = edge_app_of(e, m->trial->is.app);
	int err = 0;
	edge_table_refresh(e, false);
	bool current = is_current(e, m->trial);
	struct edge_ep *ep = current ? edge_pick(e, &a->arm[EDGE_NEW], NULL, 0) : NULL;
	/* A copy has no client that could be told of. */
	if (!ep || ep->proxy) {
		dropped(m);
		return;
	}
	m->replica = ep->replica;
	m->up = edge_up_get(e, ep, m->again || ep->idle_n < 2, true, &err);
	if (!m->up && (err == ENOBUFS || edge_attempt_ours(err))) {
		dropped(m);
	} else if (!m->up) {
		failed(m, METER_CAUSE_CONNECT);
	} else {
		m->up->mirror = m;
		m->state = m->up->connecting ? EDGE_MIRROR_CONNECT : EDGE_MIRROR_WAIT;
		edge_mirror_drive(m);
	}
}

static void on_task(struct loop *l, struct loop_task *t)
{
	struct edge_mirror *m = HG_OBJ(
	        HG_CONTAINER(t, struct edge_mirror, task), struct edge_mirror, EDGE_MIRROR_MAGIC);
	(void)l;
	edge_timer_set(m->edge, &m->timer, edge_now_ms(m->edge) + m->time_ms);
	begin(m);
}

/* How it goes on: MORE, or it has ended one way or the other. */
enum turn { TURN_MORE, TURN_BLOCK, TURN_ANSWERED, TURN_CONNECT, TURN_CLOSED, TURN_INVALID };

static enum turn hello_on(struct edge_mirror *m)
{
	enum edge_step s = edge_secure_step(m->up);
	if (s == EDGE_STEP_BLOCK) return TURN_BLOCK;
	if (s == EDGE_STEP_GONE) return TURN_CONNECT;
	m->state = EDGE_MIRROR_WAIT;
	return TURN_MORE;
}

static enum turn connect_on(struct edge_mirror *m)
{
	struct edge_up *up = m->up;
	if (HG_UNLIKELY(up->stream != NULL)) {
		if (!(up->flags & EDGE_CAN_WRITE)) return TURN_BLOCK;
		up->connecting = false;
	} else if (HG_UNLIKELY(up->tls)) {
		return hello_on(m);
	} else {
		int r = edge_up_connect(up);
		if (r == -EAGAIN) return TURN_BLOCK;
		if (r < 0) return TURN_CONNECT;
		if (HG_UNLIKELY(up->secure)) return hello_on(m);
	}
	m->state = EDGE_MIRROR_WAIT;
	return TURN_MORE;
}

static enum turn send_on(struct edge_mirror *m)
{
	struct edge_piece p = edge_piece_of(m->head, m->sent, m->head_n);
	if (p.n == 0) return TURN_MORE;
	ssize_t n = -EAGAIN;
	if (m->up->flags & EDGE_CAN_WRITE) n = edge_up_send(m->up, &p, 1);
	if (n == -EAGAIN) edge_up_want_write(m->up);
	if (n >= 0) m->sent += (uint32_t)n;
	/* It may have answered before it stopped reading. */
	if (n < 0 && n != -EAGAIN) m->up->flags |= EDGE_CAN_READ;
	return TURN_MORE;
}

static enum turn head_on(struct edge_mirror *m)
{
	struct edge *e = m->edge;
	struct http1_head *h = &e->head;
	struct hg_str p = {m->in.buf + m->in.raw, m->in.n - m->in.raw};
	if (p.n == m->seen) return TURN_BLOCK;
	enum http1_result res = http1_response(p, m->seen, &m->limits, m->method, false, h);
	m->seen = (uint32_t)p.n;
	if (res == HTTP1_MORE) return TURN_BLOCK;
	bool upgraded = h->status == 101 || h->body == HTTP1_BODY_TUNNEL;
	if (res == HTTP1_BAD || h->status > 599 || upgraded) return TURN_INVALID;
	m->in.raw += (uint32_t)h->size;
	m->in.at = m->in.ready = m->in.raw;
	m->seen = 0;
	if (h->status < 200) return ++m->interim > EDGE_INTERIM_MAX ? TURN_INVALID : TURN_MORE;
	mirror_answer_head(&m->fresh, h);
	m->keep_alive = h->keep_alive;
	m->body = (struct edge_framing){.kind = h->body,
	        .left = h->content_length,
	        .dechunk = h->body == HTTP1_BODY_CHUNKED};
	m->state = EDGE_MIRROR_BODY;
	return TURN_MORE;
}

static enum turn body_on(struct edge_mirror *m)
{
	struct edge_flow *f = &m->in;
	if (!edge_flow_frame(f, &m->body)) return TURN_INVALID;
	take(m->fresh_body, &m->fresh_n, &m->fresh,
	        (struct hg_str){f->buf + f->at, edge_flow_ready(f)});
	f->at = f->ready;
	/* Nobody reads on what is not compared. */
	return m->body.done || m->fresh.over ? TURN_ANSWERED : TURN_BLOCK;
}

/* More bytes, or why there are none. */
static enum turn read_on(struct edge_mirror *m)
{
	struct edge_up *up = m->up;
	if (up->flags & EDGE_EOF) {
		bool whole = m->state == EDGE_MIRROR_BODY && m->body.kind == HTTP1_BODY_CLOSE;
		return whole && !(up->flags & EDGE_RESET) ? TURN_ANSWERED : TURN_CLOSED;
	}
	if (!(up->flags & EDGE_CAN_READ)) return TURN_BLOCK;
	edge_flow_compact(&m->in);
	if (m->in.n == EDGE_BUF_SIZE) return TURN_INVALID; /* a head that never ends */
	ssize_t n = edge_up_read(up, &m->in);
	return n == -EAGAIN ? TURN_BLOCK : TURN_MORE;
}

static enum turn step(struct edge_mirror *m)
{
	enum turn t;
	if (m->state == EDGE_MIRROR_CONNECT) return connect_on(m);
	send_on(m);
	t = m->state == EDGE_MIRROR_WAIT ? head_on(m) : body_on(m);
	return t == TURN_BLOCK ? read_on(m) : t;
}

/* A kept connection that the replica had closed: it has not seen the request. */
static bool was_stale(const struct edge_mirror *m)
{
	return m->up->reused && !m->again && m->state == EDGE_MIRROR_WAIT && m->in.n == 0 &&
	       m->interim == 0;
}

static void try_again(struct edge_mirror *m)
{
	struct edge_up *up = m->up;
	m->up = NULL;
	edge_up_close(up);
	m->again = true;
	m->sent = m->seen = 0;
	begin(m);
}

void edge_mirror_drive(struct edge_mirror *m)
{
	enum turn t;
	m->in.buf = m->flow; /* the flow's own functions take no other */
	do {
		t = step(m);
	} while (t == TURN_MORE);
	switch (t) {
	case TURN_ANSWERED: answered(m); break;
	case TURN_CONNECT: failed(m, METER_CAUSE_CONNECT); break;
	case TURN_INVALID: failed(m, METER_CAUSE_INVALID); break;
	case TURN_CLOSED:
		if (was_stale(m))
			try_again(m);
		else
			failed(m, METER_CAUSE_CLOSED);
		break;
	case TURN_MORE:
	case TURN_BLOCK: break;
	}
}
