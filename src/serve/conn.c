#include "serve/serve_priv.h"

#include "os/clock.h"

#include <errno.h>
#include <stdlib.h>

static void on_io(struct loop *l, struct loop_io *io, uint32_t events);
static void on_timer(struct loop *l, struct loop_timer *t);
static void on_task(struct loop *l, struct loop_task *t);

void conn_move(struct serve_call *c, enum conn_state to)
{
#define TO(state) (1u << (state))
	static const uint8_t allowed[CONN_STATES] = {
	        [CONN_FREE] = TO(CONN_HEAD),
	        [CONN_HEAD] = TO(CONN_BODY) | TO(CONN_FLUSH) | TO(CONN_FREE),
	        [CONN_BODY] = TO(CONN_BUSY) | TO(CONN_FLUSH) | TO(CONN_FREE),
	        [CONN_BUSY] = TO(CONN_FLUSH) | TO(CONN_FREE),
	        [CONN_FLUSH] = TO(CONN_HEAD) | TO(CONN_LINGER) | TO(CONN_FREE),
	        [CONN_LINGER] = TO(CONN_FREE),
	};
#undef TO
	HG_ASSERT(allowed[c->state] & (1u << to));
	c->state = to;
}

/* A kept timer that fires too early looks at the deadline again: most deadlines only move on. */
static void set_deadline(struct serve_call *c, uint64_t ms)
{
	c->deadline_ms = loop_now_ms(c->s->l) + ms;
	if (loop_timer_active(&c->timer) && c->timer_at_ms <= c->deadline_ms) return;
	c->timer_at_ms = c->deadline_ms;
	if (loop_timer_start(c->s->l, &c->timer, ms, on_timer) < 0) c->broken = true;
}

#define CONN_READS ((uint32_t)EPOLLIN | EPOLLRDHUP)

static void set_interest(struct serve_call *c, uint32_t events)
{
	if (events == c->interest) return;
	c->interest = events;
	if (loop_io_change(c->s->l, &c->io, events) < 0) c->broken = true;
}

void room_free(struct serve_room *r)
{
	hg_buf_free(&r->in);
	hg_buf_free(&r->out);
	hg_buf_free(&r->fields);
	hg_buf_free(&r->path);
	free(r);
}

static void trim(struct hg_buf *b, size_t keep)
{
	hg_buf_reset(b);
	if (b->cap > keep) hg_buf_free(b);
}

/* The one that was used last is the one that is still in the processor's cache. */
static bool room_take(struct serve_call *c)
{
	struct serve *s = c->s;
	struct serve_room *r = s->spare;
	if (r) {
		s->spare = r->next;
		s->spare_count--;
	} else {
		r = malloc(sizeof *r);
		if (!r) return false;
		hg_buf_init(&r->in, (size_t)s->lim.head_max + s->o.body_max + 2 * READ_BYTES);
		hg_buf_init(&r->out, OUT_MAX);
		hg_buf_init(&r->fields, FIELD_BYTES_MAX);
		hg_buf_init(&r->path, s->lim.target_max);
	}
	memset(&r->head, 0, offsetof(struct http1_head, field));
	c->room = r;
	c->req.head = &r->head;
	c->in_at = c->out_at = c->raw_at = 0;
	c->head_base = NULL;
	return true;
}

static void room_give(struct serve_call *c)
{
	struct serve *s = c->s;
	struct serve_room *r = c->room;
	if (!r) return;
	c->room = NULL;
	c->req.head = NULL;
	c->in_at = c->out_at = c->raw_at = 0;
	if (s->spare_count == ROOMS_SPARE_MAX) {
		room_free(r);
		return;
	}
	trim(&r->in, KEEP_BYTES);
	trim(&r->out, KEEP_BYTES);
	trim(&r->fields, READ_BYTES);
	trim(&r->path, READ_BYTES);
	r->next = s->spare;
	s->spare = r;
	s->spare_count++;
}

static struct serve_call *take_slot(struct serve *s)
{
	struct hg_list *node = hg_list_first(&s->free);
	if (node) {
		hg_list_remove(node);
		return HG_CONTAINER(node, struct serve_call, node);
	}
	if (s->pool_used == s->o.connections_max) return NULL;
	struct serve_call *c = &s->pool[s->pool_used++];
	hg_list_init(&c->node);
	loop_task_init(&c->task, on_task);
	c->s = s;
	return c;
}

static void refuse_full(int fd)
{
	const struct hg_str full =
	        HG_STR("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
	               "Retry-After: 1\r\nContent-Type: text/plain\r\n"
	               "Content-Length: 21\r\n\r\ntoo many connections\n");
	ssize_t n = sock_write(fd, full, (struct hg_str){0});
	(void)n; /* whether it arrives or not, the connection is closed */
	sock_close(fd);
}

void conn_open(struct serve *s, int fd, const struct sock_addr *peer, uint32_t tag)
{
	struct serve_call *c = take_slot(s);
	if (!c) {
		refuse_full(fd);
		return;
	}
	c->magic = CALL_MAGIC;
	c->state = CONN_FREE;
	conn_move(c, CONN_HEAD);
	c->in_at = c->seen = c->out_at = 0;
	c->eof = c->broken = c->running = c->linger = c->waiting = c->later = c->streaming = false;
	c->early = false;
	c->requests = 0;
	c->lingered = 0;
	c->req = (struct serve_request){.peer = *peer, .listener = tag};
	c->req.peer_uid = peer->sa.sa_family == AF_UNIX ? sock_peer_uid(fd) : UINT32_MAX;
	hg_list_append(&s->live, &c->node);
	s->live_count++;
	c->interest = CONN_READS;
	if (loop_io_start(s->l, &c->io, fd, CONN_READS, on_io) < 0) {
		c->io.fd = -1;
		sock_close(fd);
		conn_close(c);
		return;
	}
	set_deadline(c, s->o.header_ms);
}

static void tell_done(struct serve_call *c)
{
	const struct serve_options *o = &c->s->o;
	bool first = !c->told;
	c->told = true;
	if (o->done && first)
		o->done(o->arg, &c->req, c->status, c->sent_bytes,
		        clock_mono_ns() - c->req.started_ns);
}

void conn_close(struct serve_call *c)
{
	struct serve *s = c->s;
	int fd = c->io.fd;
	bool in_call = c->state == CONN_BUSY || c->state == CONN_FLUSH;
	loop_io_stop(s->l, &c->io);
	sock_close(fd);
	loop_timer_stop(s->l, &c->timer);
	loop_task_cancel(&c->task);
	if (c->waiting && c->gone) c->gone(c->arg);
	c->waiting = false;
	if (in_call) tell_done(c);
	conn_move(c, CONN_FREE);
	c->magic = 0;
	room_give(c);
	hg_list_remove(&c->node);
	hg_list_append(&s->free, &c->node);
	s->live_count--;
	serve_conn_gone(s);
}

void conn_flush(struct serve_call *c)
{
	size_t before = c->out_at;
	while (conn_pending(c) && !c->broken) {
		ssize_t n = sock_write(c->io.fd,
		        (struct hg_str){c->room->out.p + c->out_at, conn_pending(c)},
		        (struct hg_str){0});
		if (n == -EAGAIN) break;
		if (n < 0) {
			c->broken = true;
			return;
		}
		c->out_at += (size_t)n;
	}
	if (conn_pending(c) == 0) {
		if (c->room) trim(&c->room->out, KEEP_BYTES);
		c->out_at = 0;
	} else {
		if (c->out_at != before || c->deadline_ms == 0) set_deadline(c, c->s->o.write_ms);
		if (c->out_at >= STREAM_LOW && c->out_at >= c->room->out.n / 2) {
			hg_buf_drop(&c->room->out, c->out_at);
			c->out_at = 0;
		}
	}
}

/* The answer is written: on to the next request, or to the end. False: closed. */
static bool finish(struct serve_call *c)
{
	tell_done(c);
	if (!c->keep) {
		/* Closing over unread bytes resets the connection, and the answer is lost. */
		if (!c->linger && c->room->in.n == c->raw_at) return false;
		sock_finish(c->io.fd);
		room_give(c);
		conn_move(c, CONN_LINGER);
		set_deadline(c, LINGER_MS);
		return true;
	}
	conn_move(c, CONN_HEAD);
	c->seen = 0;
	c->in_at = c->raw_at;
	if (conn_unread(c) == 0) {
		room_give(c);
		set_deadline(c, c->s->o.keepalive_ms);
	}
	return true;
}

/* A stream's answer is under way. True: call again, there may be more to do. */
static bool pump(struct serve_call *c)
{
	conn_flush(c);
	if (c->broken) return true;
	if (conn_pending(c) == 0) c->deadline_ms = 0;
	if (!c->want_writable || conn_pending(c) > STREAM_LOW) return false;
	c->want_writable = false;
	if (c->writable) c->writable(c->arg);
	return true;
}

/* One step; false: it has to wait. Sets `broken` to be closed. */
static bool step(struct serve_call *c)
{
	switch (c->state) {
	case CONN_HEAD: {
		bool first = c->seen == 0;
		if (conn_unread(c) && request_head(c)) return true;
		if (c->eof || (c->s->draining && conn_unread(c) == 0)) {
			conn_flush(c);
			c->broken = true;
		}
		if (first && c->seen) set_deadline(c, c->s->o.header_ms);
		return false;
	}
	case CONN_BODY:
		if (request_body(c)) return true;
		if (c->eof) c->broken = true;
		return false;
	case CONN_BUSY: return pump(c);
	case CONN_FLUSH:
		/* Answers to pipelined requests go out together, unless each is to be told of. */
		if (c->keep && !c->s->o.done && c->room->in.n > c->raw_at &&
		        conn_pending(c) < BATCH_BYTES) {
			if (!finish(c)) c->broken = true;
			return true;
		}
		conn_flush(c);
		if (c->broken) return true;
		if (conn_pending(c)) return false;
		if (!finish(c)) c->broken = true;
		return true;
	case CONN_LINGER:
		if (c->eof || c->lingered > LINGER_BYTES) c->broken = true;
		return false;
	case CONN_FREE:
	case CONN_STATES: break;
	}
	return false;
}

static void wait_for_more(struct serve_call *c)
{
	enum conn_state was = c->state;
	/* The deadline of a body begins where the head ended. */
	if (was == CONN_BODY && c->seen) {
		set_deadline(c, c->s->o.body_ms);
		c->seen = 0;
	}
	if ((was == CONN_HEAD || was == CONN_BODY) && conn_pending(c)) conn_flush(c);
	uint32_t events = conn_pending(c) ? (uint32_t)EPOLLOUT : 0;
	if (was == CONN_LINGER) events |= EPOLLIN;
	if (was == CONN_HEAD || was == CONN_BODY) events |= CONN_READS;
	/* While the handler works nothing is read, but a client that leaves is noticed. Only one
	 * that sends more meanwhile makes it necessary to tell the kernel. */
	if (was == CONN_BUSY) events |= c->early ? (uint32_t)EPOLLRDHUP : CONN_READS;
	if (was != CONN_BUSY) c->early = false;
	if (was == CONN_BUSY && !conn_pending(c)) c->deadline_ms = 0;
	set_interest(c, events);
}

void conn_run(struct serve_call *c)
{
	unsigned rounds = 0;
	c->running = true;
	while (!c->broken && step(c)) {
		/* A fast reader of an endless stream must not starve the others. */
		if (c->state == CONN_BUSY && ++rounds == ROUNDS_A_TURN) {
			loop_task_queue(c->s->l, &c->task);
			break;
		}
	}
	if (!c->broken) wait_for_more(c);
	c->running = false;
	if (c->broken) conn_close(c);
}

void conn_run_later(struct serve_call *c)
{
	if (!c->running) loop_task_queue(c->s->l, &c->task);
}

static void discard(struct serve_call *c)
{
	char waste[READ_BYTES];
	ssize_t n = sock_read(c->io.fd, waste, sizeof waste);
	if (n == -EAGAIN) return;
	if (n <= 0) c->eof = true;
	if (n > 0) c->lingered += (uint64_t)n;
}

static void receive(struct serve_call *c)
{
	if (!c->room && !room_take(c)) {
		c->broken = true;
		return;
	}
	/* What was answered already makes room for what comes. */
	if (c->in_at) {
		hg_buf_drop(&c->room->in, c->in_at);
		c->raw_at -= HG_MIN(c->raw_at, c->in_at);
		c->in_at = 0;
		c->head_base = NULL;
	}
	char *to = hg_buf_room(&c->room->in, READ_BYTES);
	if (!to) {
		c->broken = true;
		return;
	}
	size_t room = HG_MAX((size_t)READ_BYTES, c->room->in.cap - c->room->in.n - 1);
	room = HG_MIN(room, c->room->in.max - c->room->in.n);
	ssize_t n = sock_read(c->io.fd, to, room);
	if (n > 0) hg_buf_add(&c->room->in, (size_t)n);
	if (n == 0) c->eof = true;
	if (n < 0 && n != -EAGAIN) c->broken = true;
	if (c->state == CONN_HEAD && conn_unread(c) == 0 && conn_pending(c) == 0) room_give(c);
}

static void on_task(struct loop *l, struct loop_task *t)
{
	struct serve_call *c =
	        HG_OBJ(HG_CONTAINER(t, struct serve_call, task), struct serve_call, CALL_MAGIC);
	(void)l;
	/* The last chance of a request that came while serve_drain was called. */
	if (c->s->draining && c->state == CONN_HEAD) receive(c);
	conn_run(c);
}

static void on_io(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct serve_call *c =
	        HG_OBJ(HG_CONTAINER(io, struct serve_call, io), struct serve_call, CALL_MAGIC);
	(void)l;
	if (events & (EPOLLERR | EPOLLHUP)) c->broken = true;
	if ((events & EPOLLRDHUP) && c->state == CONN_BUSY) c->broken = true;
	if ((events & EPOLLIN) && c->state == CONN_BUSY) c->early = true;
	if ((events & EPOLLIN) && !c->broken) {
		if (c->state == CONN_LINGER) discard(c);
		if (c->state == CONN_HEAD || c->state == CONN_BODY) receive(c);
	}
	conn_run(c);
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	struct serve_call *c =
	        HG_OBJ(HG_CONTAINER(t, struct serve_call, timer), struct serve_call, CALL_MAGIC);
	uint64_t now = loop_now_ms(l);
	if (c->deadline_ms == 0) return;
	if (now < c->deadline_ms) {
		set_deadline(c, c->deadline_ms - now);
	} else if (c->state == CONN_BODY || (c->state == CONN_HEAD && conn_unread(c))) {
		request_late(c);
	} else {
		c->broken = true;
	}
	conn_run(c);
}
