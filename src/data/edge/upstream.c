#include <errno.h>
#include <linux/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "data/edge/secure_priv.h"

#define EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLET)

static void on_up(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct edge_up *up =
	        HG_OBJ(HG_CONTAINER(io, struct edge_up, io), struct edge_up, EDGE_UP_MAGIC);
	(void)l;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) up->flags |= EDGE_CAN_READ;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) up->flags |= EDGE_HUP;
	if (events & (EPOLLHUP | EPOLLERR)) up->flags |= EDGE_DEAD;
	if (events & EPOLLOUT) up->flags |= EDGE_CAN_WRITE;
	if (HG_UNLIKELY(up->secure)) edge_secure_event(up, events);
	if (HG_UNLIKELY(up->session != NULL)) {
		edge_u2_drive(up->session);
	} else if (up->conn) {
		edge_conn_drive(up->conn);
	} else if (up->mirror) {
		edge_mirror_drive(up->mirror);
	} else if (HG_UNLIKELY(up->hedge)) {
		edge_hedge_drive(up->hedge);
	} else if (up->flags & (EDGE_CAN_READ | EDGE_HUP | EDGE_DEAD)) {
		/* An idle replica connection has nothing to say but goodbye. */
		if (HG_UNLIKELY(up->tls) && edge_secure_quiet(up)) return;
		if (!(up->flags & (EDGE_HUP | EDGE_DEAD))) edge_up_loose(up);
		edge_up_close(up);
	}
}

void edge_up_close(struct edge_up *up)
{
	if (!up) return;
	if (HG_UNLIKELY(up->stream != NULL)) {
		edge_u2_close(up);
		return;
	}
	struct edge *e = up->edge;
	int fd = up->io.fd;
	if (!up->conn && !up->mirror && !up->hedge && !up->session) e->eps[up->slot].idle_n--;
	hg_list_remove(&up->owned);
	hg_list_remove(&up->node);
	edge_timer_off(&up->timer);
	if (HG_UNLIKELY(up->tls)) edge_secure_close(up);
	loop_io_stop(e->loop, &up->io);
	close(fd);
	up->magic = 0;
	edge_pool_give(&e->ups, up);
}

void edge_up_loose(const struct edge_up *up)
{
	struct edge_ep *ep = &up->edge->eps[up->slot];
	if (ep->incarnation == up->incarnation)
		ep->loose_until_ms = edge_now_ms(up->edge) + EDGE_LOOSE_MS;
}

bool edge_up_quiet(struct edge_up *up)
{
	char c;
	if (HG_UNLIKELY(up->tls)) return edge_secure_quiet(up);
	ssize_t n = recv(up->io.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void edge_up_wake(struct edge_up *up)
{
	hg_list_remove(&up->node);
	up->edge->eps[up->slot].idle_n--;
	up->reused = true;
	if (HG_UNLIKELY(up->proxy)) hg_list_remove(&up->owned);
}

static struct edge_up *take_idle(struct edge_ep *ep, bool probe)
{
	for (struct hg_list *n; (n = hg_list_first(&ep->idle));) {
		struct edge_up *up = HG_CONTAINER(n, struct edge_up, node);
		if (probe && !edge_up_quiet(up)) {
			edge_up_close(up);
			continue;
		}
		edge_up_wake(up);
		return up;
	}
	return NULL;
}

struct edge_up *edge_up_open(struct edge *e, struct edge_ep *ep, int *ret_errno)
{
	struct edge_up *up = edge_pool_take(&e->ups);
	*ret_errno = ENOBUFS;
	if (!up) return NULL;
	meter_add(&e->count->upstream_connects, 1);
	int fd = sock_connect(&ep->addr);
	if (fd < 0) {
		*ret_errno = -fd;
		edge_pool_give(&e->ups, up);
		return NULL;
	}
	*up = (struct edge_up){.magic = EDGE_UP_MAGIC,
	        .edge = e,
	        .slot = ep->slot,
	        .incarnation = ep->incarnation,
	        .proxy = (uint8_t)ep->proxy,
	        .secure = ep->secure,
	        .unix_socket = ep->addr.sa.sa_family == AF_UNIX,
	        .timer.owner = EDGE_TIMER_UP};
	hg_list_init(&up->node);
	hg_list_init(&up->owned);
	hg_list_init(&up->timer.node);
	/* A unix socket is connected at once; TCP says so by EPOLLOUT. Armed for good on TCP, which
	 * reports writability only after a full buffer; on demand on unix sockets, which report it
	 * whenever the peer has read. */
	up->connecting =
	        !up->unix_socket || up->proxy || up->secure; /* which has something to say first */
	up->out_armed = !up->unix_socket;
	if (up->unix_socket) up->flags = EDGE_CAN_WRITE;
	uint32_t events = EVENTS | (up->out_armed ? (uint32_t)EPOLLOUT : 0);
	if (loop_io_start(e->loop, &up->io, fd, events, on_up) == HG_OK) return up;
	close(fd);
	edge_pool_give(&e->ups, up);
	return NULL;
}

struct edge_up *edge_up_get(
        struct edge *e, struct edge_ep *ep, bool fresh, bool probe, int *ret_errno)
{
	if (HG_UNLIKELY(ep->http2)) return edge_u2_get(e, ep, ret_errno);
	/* Who has spoken without being asked does it again: with a second answer on its way no look
	 * at a connection says that it is clean. */
	if (HG_UNLIKELY(ep->loose_until_ms)) {
		if (edge_now_ms(e) < ep->loose_until_ms) {
			fresh = true;
		} else {
			ep->loose_until_ms = 0;
		}
	}
	struct edge_up *up = fresh ? NULL : take_idle(ep, probe);
	if (up) {
		meter_add(&e->count->upstream_reused, 1);
		return up;
	}
	return edge_up_open(e, ep, ret_errno);
}

void edge_up_keep(struct edge_up *up)
{
	if (HG_UNLIKELY(up->stream != NULL)) {
		edge_u2_close(up);
		return;
	}
	struct edge *e = up->edge;
	struct edge_ep *ep = &e->eps[up->slot];
	bool taken = ep->state == SNAP_EP_UP || ep->state == SNAP_EP_UNREADY;
	/* The last read filled a buffer: what is behind it raised no edge of its own, and would be
	 * taken for the answer to the next request. */
	if (HG_UNLIKELY(up->flags & EDGE_CAN_READ)) {
		if (edge_up_quiet(up)) {
			up->flags &= ~EDGE_CAN_READ;
		} else {
			edge_up_loose(up);
			taken = false;
		}
	}
	bool clean = HG_LIKELY(!up->tls) || edge_secure_keep(up);
	if (!clean || ep->incarnation != up->incarnation || !taken ||
	        ep->idle_n >= EDGE_UP_IDLE_MAX || e->draining ||
	        (up->flags & (EDGE_HUP | EDGE_DEAD | EDGE_EOF))) {
		edge_up_close(up);
		return;
	}
	if (HG_UNLIKELY(up->proxy)) edge_proxy_keep(up->conn, up);
	up->conn = NULL;
	up->mirror = NULL;
	up->hedge = NULL;
	ep->idle_n++;
	hg_list_prepend(&ep->idle, &up->node);
	edge_timer_set(e, &up->timer, edge_now_ms(e) + EDGE_UP_IDLE_MS);
	edge_table_watch(e);
}

/*
 * A replica that closes a kept connection while a request is on its way has not seen it: its end
 * of stream came first, and its kernel acknowledged none of our bytes. (After a reset without an
 * end of stream it may have read some of them; TLS that ends without a goodbye is no reset.)
 * tcpi_bytes_acked may count the SYN as one.
 */
bool edge_up_untouched(const struct edge_up *up)
{
	struct tcp_info ti = {0};
	socklen_t n = sizeof ti;
	if (HG_UNLIKELY(up->stream != NULL)) return edge_u2_untouched(up);
	bool reset = up->flags & EDGE_RESET && !(up->tls && tls_remote_cut(up->tls));
	if (up->unix_socket || reset || !(up->flags & EDGE_EOF)) return false;
	if (getsockopt(up->io.fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0) return false;
	if (n < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof ti.tcpi_bytes_acked) {
		return false;
	}
	return ti.tcpi_bytes_acked <= up->sent_before + 1;
}

void edge_up_want_write(struct edge_up *up)
{
	if (up->out_armed) return;
	up->out_armed = true;
	/* Registered already: the kernel has nothing to refuse; if it does, the timeout ends it. */
	if (loop_io_change(up->edge->loop, &up->io, EVENTS | EPOLLOUT) < 0) up->flags |= EDGE_DEAD;
}

int edge_up_connect(struct edge_up *up)
{
	if (!(up->flags & (EDGE_CAN_WRITE | EDGE_DEAD | EDGE_HUP))) return -EAGAIN;
	up->connecting = false;
	int r = sock_error(up->io.fd);
	if (r == 0 && up->flags & EDGE_DEAD) r = ECONNRESET;
	return -r;
}

void edge_up_finish(struct edge_up *up)
{
	if (HG_UNLIKELY(up->stream != NULL)) {
		edge_u2_finish(up);
	} else {
		if (HG_UNLIKELY(up->tls)) tls_finish(up->tls);
		shutdown(up->io.fd, SHUT_WR);
	}
}
