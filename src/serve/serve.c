#include "serve/serve_priv.h"

#include <errno.h>
#include <stdlib.h>

static void on_accept(struct loop *l, struct loop_io *io, uint32_t events);

static uint32_t or_default(uint32_t v, uint32_t otherwise)
{
	return v ? v : otherwise;
}

static void on_drain_task(struct loop *l, struct loop_task *t)
{
	struct serve *s = HG_CONTAINER(t, struct serve, drain_task);
	if (s->drain_told) return;
	s->drain_told = true;
	loop_timer_stop(l, &s->drain_timer);
	if (s->drained) s->drained(s->drained_arg);
}

static void on_drain_timer(struct loop *l, struct loop_timer *t)
{
	struct serve *s = HG_CONTAINER(t, struct serve, drain_timer);
	on_drain_task(l, &s->drain_task);
}

enum hg_rc serve_new(struct loop *l, const struct serve_options *o, struct serve **ret_serve)
{
	struct serve *s = calloc(1, sizeof *s);
	HG_ASSERT(o->handle);
	if (!s) return HG_E_NOMEM;
	s->l = l;
	s->o = *o;
	s->o.connections_max = or_default(o->connections_max, 1024);
	s->o.body_max = or_default(o->body_max, 1u << 20);
	s->o.header_ms = or_default(o->header_ms, 10000);
	s->o.body_ms = or_default(o->body_ms, 30000);
	s->o.keepalive_ms = or_default(o->keepalive_ms, 60000);
	s->o.write_ms = or_default(o->write_ms, 30000);
	s->lim = HTTP1_LIMITS_DEFAULT;
	hg_list_init(&s->live);
	hg_list_init(&s->free);
	loop_task_init(&s->drain_task, on_drain_task);
	/* Untouched slots cost no memory: calloc of this size comes from fresh zero pages. */
	s->pool = calloc(s->o.connections_max, sizeof *s->pool);
	if (!s->pool) {
		free(s);
		return HG_E_NOMEM;
	}
	*ret_serve = s;
	return HG_OK;
}

static void stop_listening(struct serve *s)
{
	for (uint32_t i = 0; i < s->listener_count; i++)
		loop_io_stop(s->l, &s->listener[i].io);
	loop_timer_stop(s->l, &s->accept_again);
}

void serve_free(struct serve *s)
{
	if (!s) return;
	s->drain_told = true;
	stop_listening(s);
	while (!hg_list_empty(&s->live)) {
		struct hg_list *node = hg_list_first(&s->live);
		conn_close(HG_CONTAINER(node, struct serve_call, node));
	}
	loop_timer_stop(s->l, &s->drain_timer);
	loop_task_cancel(&s->drain_task);
	while (s->spare) {
		struct serve_room *r = s->spare;
		s->spare = r->next;
		room_free(r);
	}
	free(s->pool);
	free(s);
}

enum hg_rc serve_listen(struct serve *s, int listen_fd, uint32_t tag)
{
	if (s->listener_count == LISTENERS_MAX) return HG_E_TOO_LARGE;
	struct serve_listener *li = &s->listener[s->listener_count];
	*li = (struct serve_listener){.s = s, .tag = tag, .fd = listen_fd};
	enum hg_rc rc = loop_io_start(s->l, &li->io, listen_fd, EPOLLIN, on_accept);
	if (rc < 0) return rc;
	s->listener_count++;
	return HG_OK;
}

static void on_accept_again(struct loop *l, struct loop_timer *t)
{
	struct serve *s = HG_CONTAINER(t, struct serve, accept_again);
	for (uint32_t i = 0; i < s->listener_count; i++) {
		struct serve_listener *li = &s->listener[i];
		if (li->io.fd >= 0) continue;
		enum hg_rc rc = loop_io_start(l, &li->io, li->fd, EPOLLIN, on_accept);
		if (rc < 0) rc = loop_timer_start(l, &s->accept_again, 100, on_accept_again);
		HG_ASSERT(rc == HG_OK); /* the heap just gave this timer's place back */
	}
}

static void on_accept(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct serve_listener *li = HG_CONTAINER(io, struct serve_listener, io);
	struct serve *s = li->s;
	struct sock_addr peer;
	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = sock_accept(li->fd, &peer);
		if (fd >= 0) {
			conn_open(s, fd, &peer, li->tag);
			continue;
		}
		if (fd != -EMFILE && fd != -ENFILE && fd != -ENOBUFS && fd != -ENOMEM) return;
		/* No descriptors: the queue would wake us without end. Look again in a while. */
		if (loop_timer_start(l, &s->accept_again, 100, on_accept_again) == HG_OK)
			loop_io_stop(l, &li->io);
		return;
	}
}

void serve_conn_gone(struct serve *s)
{
	if (s->draining && s->live_count == 0 && !s->drain_told)
		loop_task_queue(s->l, &s->drain_task);
}

void serve_drain(struct serve *s, uint32_t within_ms, void (*drained)(void *arg), void *arg)
{
	HG_ASSERT(!s->draining);
	s->draining = true;
	s->drained = drained;
	s->drained_arg = arg;
	stop_listening(s);
	/* Idle connections close at the end of this turn, when their turn to read has been. */
	HG_LIST_EACH (node, &s->live) {
		struct serve_call *c = HG_CONTAINER(node, struct serve_call, node);
		if (c->state == CONN_HEAD) conn_run_later(c);
	}
	if (loop_timer_start(s->l, &s->drain_timer, within_ms, on_drain_timer) < 0)
		loop_task_queue(s->l, &s->drain_task);
	serve_conn_gone(s);
}

uint32_t serve_connections(const struct serve *s)
{
	return s->live_count;
}
