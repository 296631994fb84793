/*
 * The PROXY protocol. In: a load balancer that is trusted says first for whom it connects. Out: a
 * replica that wants it is told by us; such a connection is kept by the client's own connection and
 * serves nobody else.
 */
#include <errno.h>
#include <sys/socket.h>

#include "data/edge/edge_priv.h"
#include "wire/ip.h"
#include "wire/proxyproto.h"

#define OWN_MAX 4u /* connections to replicas that one client keeps */

/* ---- from a load balancer ---- */

/* As IPv6; false: not of the internet. */
static bool ip_of(const struct sock_addr *a, uint8_t to[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (a->len == 0) return false;
	if (a->sa.sa_family == AF_INET) {
		memcpy(to, mapped, sizeof mapped);
		memcpy(to + 12, &a->in4.sin_addr, 4);
	} else if (a->sa.sa_family == AF_INET6) {
		memcpy(to, &a->in6.sin6_addr, 16);
	}
	return a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6;
}

bool edge_proxy_trusts(const struct snap_image *im, const struct sock_addr *peer)
{
	uint8_t ip[16];
	return ip_of(peer, ip) && snap_set_find(im, im->trusted, ip_addr_of(ip)) != 0;
}

static enum edge_step refuse(struct edge_conn *c)
{
	meter_add(&c->edge->count->proxy_refused, 1);
	edge_conn_close(c);
	return EDGE_STEP_GONE;
}

static void client_set(struct edge_conn *c, const struct proxyproto *p)
{
	struct sock_addr a = {.len = sizeof a.in6};
	a.in6.sin6_family = AF_INET6;
	a.in6.sin6_port = htons(p->from_port);
	memcpy(&a.in6.sin6_addr, p->from, 16);
	edge_client_peer(c, &a);
	c->client_port = p->from_port;
	memcpy(c->to_ip, p->to, 16);
	c->to_port = p->to_port;
	c->to_known = true;
}

/* Looked at before it is taken: what follows may be TLS, whose bytes are not ours to take. */
enum edge_step edge_proxy_step(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct proxyproto p;
	ssize_t n;
	if (!(c->flags & EDGE_CAN_READ)) return EDGE_STEP_BLOCK;
	do {
		n = recv(c->io.fd, e->path_scratch, PROXYPROTO_MAX, MSG_PEEK);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		c->flags &= ~EDGE_CAN_READ;
		return EDGE_STEP_BLOCK;
	}
	if (n <= 0) { /* a load balancer looking whether somebody listens */
		edge_conn_close(c);
		return EDGE_STEP_GONE;
	}
	enum proxyproto_result r = proxyproto_read((struct hg_str){e->path_scratch, (size_t)n}, &p);
	if (r == PROXYPROTO_BAD || (r == PROXYPROTO_MORE && c->flags & EDGE_HUP)) return refuse(c);
	if (r == PROXYPROTO_MORE) {
		c->flags &= ~EDGE_CAN_READ;
		return EDGE_STEP_BLOCK;
	}
	if (recv(c->io.fd, e->path_scratch, p.size, 0) != (ssize_t)p.size) return refuse(c);
	meter_add(&e->count->proxy_headers, 1);
	if (p.known) client_set(c, &p);
	const struct snap_image *im = e->image->snap;
	if (p.known && !edge_access_edge(im, c->addr)) {
		meter_add(&e->count->denied, 1);
		edge_conn_close(c);
		return EDGE_STEP_GONE;
	}
	edge_conn_move(c, c->secure ? EDGE_HELLO : EDGE_IDLE);
	return EDGE_STEP_ON;
}

/* ---- to a replica ---- */

static struct proxyproto header_of(struct edge_conn *c, uint32_t version)
{
	const struct edge_conn *k = edge_conn_carrier(c);
	struct proxyproto p = {.version = (uint8_t)version};
	struct sock_addr local;
	p.known = ip_parse((struct hg_str){c->client, c->client_n}, p.from);
	/* Whom a proxy named by X-Forwarded-For came from another port, which nobody knows. */
	if (memcmp(p.from, c->peer, sizeof p.from) == 0) p.from_port = k->client_port;
	if (k->to_known) {
		memcpy(p.to, k->to_ip, 16);
		p.to_port = k->to_port;
	} else if (p.known) {
		p.known = sock_local(k->io.fd, &local) && ip_of(&local, p.to);
		if (p.known) p.to_port = sock_addr_port(&local);
	}
	return p;
}

/* Is it the same client that the replica was told of? */
static bool is_for(const struct edge_up *up, const struct edge_conn *c)
{
	return up->whose.hi == c->addr.hi && up->whose.lo == c->addr.lo;
}

static struct edge_up *own_find(struct edge_conn *c, const struct edge_ep *ep)
{
	for (struct hg_list *n = c->own.next; n != &c->own; n = n->next) {
		struct edge_up *up = HG_CONTAINER(n, struct edge_up, owned);
		if (up->slot == ep->slot && up->incarnation == ep->incarnation) return up;
	}
	return NULL;
}

struct edge_up *edge_proxy_up_get(
        struct edge_conn *c, struct edge_ep *ep, bool fresh, bool probe, int *ret_errno)
{
	struct edge *e = c->edge;
	struct edge_up *up = own_find(edge_conn_carrier(c), ep);
	if (up && !fresh && is_for(up, c) && (!probe || edge_up_quiet(up))) {
		edge_up_wake(up);
		meter_add(&e->count->upstream_reused, 1);
		return up;
	}
	if (up) edge_up_close(up);
	up = edge_up_get(e, ep, true, false, ret_errno);
	if (!up) return NULL;
	up->whose = c->addr;
	return up;
}

/* Nothing was sent before on this connection: a socket takes so few bytes at once. */
bool edge_proxy_say(struct edge_conn *c, struct edge_up *up)
{
	char to[PROXYPROTO_SENT];
	struct hg_out o = hg_out_over(to, sizeof to);
	struct proxyproto p = header_of(c, up->proxy);
	proxyproto_write(&p, &o);
	if (hg_out_failed(&o)) return false;
	ssize_t n = send(up->io.fd, to, o.n, MSG_NOSIGNAL);
	if (n != (ssize_t)o.n) return false;
	up->sent += o.n;
	up->sent_before = up->sent;
	return true;
}

void edge_proxy_forget(struct edge_conn *c)
{
	for (struct hg_list *n; (n = hg_list_first(&c->own));)
		edge_up_close(HG_CONTAINER(n, struct edge_up, owned));
}

/* The one that was used longest ago gives way. */
void edge_proxy_keep(struct edge_conn *c, struct edge_up *up)
{
	uint32_t n = 0;
	c = edge_conn_carrier(c); /* its streams are of one client */
	for (struct hg_list *k = c->own.next; k != &c->own; k = k->next)
		n++;
	if (n >= OWN_MAX) edge_up_close(HG_CONTAINER(c->own.prev, struct edge_up, owned));
	hg_list_prepend(&c->own, &up->owned);
}
