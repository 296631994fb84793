/* An HTTP server on the test's own loop that says what the test tells it to, however wrong. */
#ifndef TESTS_SCRAPE_SERVER_H
#define TESTS_SCRAPE_SERVER_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/loop.h"
#include "os/sock.h"

enum then { KEEP, CLOSE, RESET, HANG, REPEAT };

struct server {
	struct loop *loop;
	struct loop_io io;
	int fd;
	struct sock_addr addr;
	struct hg_str answer; /* whole, head included */
	enum then then;       /* after the answer; REPEAT: its last `repeat` bytes for ever */
	size_t repeat;
	unsigned connections, requests;
	char request[8192]; /* the last one */
	struct hg_list conns;
};

struct server_conn {
	struct hg_list node;
	struct server *s;
	struct loop_io io;
	char in[8192];
	size_t in_n, out_at;
	bool answering;
};

static inline void conn_end(struct server_conn *c, bool reset)
{
	struct linger now = {.l_onoff = 1};
	if (reset) (void)setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	int fd = c->io.fd;
	loop_io_stop(c->s->loop, &c->io);
	close(fd);
	hg_list_remove(&c->node);
	free(c);
}

/* True while the connection is there. */
static inline bool conn_write(struct server_conn *c)
{
	struct server *s = c->s;
	for (;;) {
		struct hg_str rest = {s->answer.p + c->out_at, s->answer.n - c->out_at};
		if (rest.n == 0 && s->then == REPEAT) {
			c->out_at -= s->repeat;
			continue;
		}
		if (rest.n == 0) break;
		ssize_t n = sock_write(c->io.fd, rest, HG_STR(""));
		if (n == -EAGAIN) {
			assert_int_equal(
			        loop_io_change(s->loop, &c->io, EPOLLIN | EPOLLOUT), HG_OK);
			return true;
		}
		if (n < 0) {
			conn_end(c, false);
			return false;
		}
		c->out_at += (size_t)n;
		if (s->then == REPEAT) return true; /* one piece a turn: others want to run */
	}
	c->answering = false;
	assert_int_equal(loop_io_change(s->loop, &c->io, EPOLLIN), HG_OK);
	if (s->then == CLOSE || s->then == RESET) {
		conn_end(c, s->then == RESET);
		return false;
	}
	return true;
}

static inline void conn_ready(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct server_conn *c = HG_CONTAINER(io, struct server_conn, io);
	(void)l;
	if (events & EPOLLIN) {
		ssize_t n = sock_read(c->io.fd, c->in + c->in_n, sizeof c->in - 1 - c->in_n);
		if (n == 0 || (n < 0 && n != -EAGAIN)) {
			conn_end(c, false);
			return;
		}
		if (n > 0) c->in_n += (size_t)n;
		c->in[c->in_n] = 0;
		if (strstr(c->in, "\r\n\r\n")) {
			(void)snprintf(c->s->request, sizeof c->s->request, "%s", c->in);
			c->s->requests++;
			c->in_n = c->out_at = 0;
			c->answering = true;
			if (c->s->then == REPEAT)
				assert_int_equal(
				        loop_io_change(l, &c->io, EPOLLIN | EPOLLOUT), HG_OK);
		}
	}
	if (c->answering) (void)conn_write(c);
}

static inline void server_accept(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct server *s = HG_CONTAINER(io, struct server, io);
	int fd = sock_accept(s->fd, NULL);
	(void)events;
	if (fd < 0) return;
	struct server_conn *c = calloc(1, sizeof *c);
	assert_non_null(c);
	c->s = s;
	hg_list_init(&c->node);
	hg_list_append(&s->conns, &c->node);
	s->connections++;
	assert_int_equal(loop_io_start(l, &c->io, fd, EPOLLIN, conn_ready), HG_OK);
}

static inline void server_start(struct server *s, struct loop *l, const char *address)
{
	*s = (struct server){.loop = l};
	hg_list_init(&s->conns);
	assert_true(sock_addr_parse(hg_str(address), &s->addr));
	s->fd = sock_listen(&s->addr, 16);
	assert_true(s->fd >= 0 && sock_local(s->fd, &s->addr));
	assert_int_equal(loop_io_start(l, &s->io, s->fd, EPOLLIN, server_accept), HG_OK);
}

static inline void server_stop(struct server *s)
{
	HG_LIST_EACH_SAFE (at, after, &s->conns) {
		conn_end(HG_CONTAINER(at, struct server_conn, node), false);
	}
	loop_io_stop(s->loop, &s->io);
	close(s->fd);
}

#endif
