/*
 * TLS to replicas. Whether a replica speaks it is a fact of its release and stands in the table of
 * endpoints; how (authorities, names, our certificate) is a setting of its app and comes with the
 * certificates. A connection has a struct tls from its handshake on, and every function that moves
 * bytes takes it; without one it is NULL, and nothing here is ever called.
 */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "cert/cert.h"
#include "data/edge/secure_priv.h"

#define SAY_MS 10000u /* one line about a replica in this time */
#define H1     "\x08http/1.1"
#define H2     "\x02h2"

/* ---- settings ---- */

void edge_secure_assign(struct edge *e)
{
	const struct edge_image *im = e->image;
	for (uint32_t i = 0; i < EDGE_APPS; i++)
		e->apps[i].secure = NULL;
	for (uint32_t i = 0; e->remotes && im && i < im->snap->app_count; i++)
		e->apps[im->apps[i]].secure = cert_remotes_find(
		        e->remotes, snap_str(im->snap, snap_apps(im->snap)[i].name));
}

void edge_secure_forget(struct edge_ep *ep)
{
	tls_session_free(ep->session);
	ep->session = NULL;
	ep->said_ms = 0;
	ep->unsaid = 0;
}

/* ---- saying what went wrong ---- */

static struct hg_str app_name(const struct edge *e, uint32_t id)
{
	const struct snap_image *im = e->image ? e->image->snap : NULL;
	for (uint32_t i = 0; im && i < im->app_count; i++)
		if (snap_apps(im)[i].id == id) return snap_str(im, snap_apps(im)[i].name);
	return HG_STR("?");
}

/* A replica that fails, fails often: a line now and then, with how many there were. */
static void say(struct edge_up *up, const char *event, const char *why)
{
	struct edge *e = up->edge;
	struct edge_ep *ep = &e->eps[up->slot];
	uint64_t now = edge_now_ms(e);
	if (!e->say || (ep->said_ms && now < ep->said_ms + SAY_MS)) {
		ep->unsaid++;
		return;
	}
	ep->said_ms = now ? now : 1;
	hg_log(e->say, HG_ERROR, event, HG_V("app", app_name(e, ep->app_id)),
	        HG_I("release", ep->release), HG_I("replica", ep->replica),
	        HG_V("address", ((struct hg_str){ep->text, ep->text_n})), HG_S("reason", why),
	        HG_I("unsaid", ep->unsaid));
	ep->unsaid = 0;
}

static enum edge_step failed(struct edge_up *up, const char *why)
{
	meter_add(&up->edge->count->upstream_tls_failures, 1);
	say(up, "upstream.tls_failed", why);
	return EDGE_STEP_GONE;
}

/* ---- handshakes ---- */

static bool begin(struct edge_up *up)
{
	struct edge *e = up->edge;
	const struct edge_ep *ep = &e->eps[up->slot];
	struct edge_app *a = edge_app_of(e, ep->app_id);
	bool same = ep->incarnation == up->incarnation;
	if (!a || !a->secure) {
		failed(up, "the settings of this app are not here yet");
		return false;
	}
	up->tls = tls_remote_open(
	        a->secure, up->io.fd, same ? ep->session : NULL, ep->http2 ? H2 : H1);
	if (!up->tls) {
		failed(up, "memory is exhausted");
		return false;
	}
	if (up->flags & EDGE_HUP) tls_hung_up(up->tls);
	up->plain = up->sent; /* a header of the PROXY protocol */
	return true;
}

/* The first thing that comes is tickets, and nothing for whoever waits for an answer: a buffer is
 * taken for that alone. */
static void may_read(struct edge_up *up, bool something)
{
	up->flags &= ~EDGE_CAN_READ;
	if (something && tls_remote_waits(up->tls)) up->flags |= EDGE_CAN_READ;
}

enum edge_step edge_secure_step(struct edge_up *up)
{
	const struct edge *e = up->edge;
	struct meter_worker *count = e->count;
	up->connecting = true;
	if (!up->tls && !begin(up)) return EDGE_STEP_GONE;
	int r = tls_handshake(up->tls);
	if (r == -EAGAIN) {
		up->flags &= ~EDGE_CAN_READ;
		return EDGE_STEP_BLOCK;
	}
	if (r < 0) return failed(up, tls_remote_why(up->tls));
	if (HG_UNLIKELY(e->eps[up->slot].http2) && !hg_str_eq(tls_alpn(up->tls), HG_STR("h2")))
		return failed(up, "it does not agree on HTTP/2 (ALPN)");
	meter_add(&count->upstream_tls_handshakes, 1);
	if (tls_resumed(up->tls)) meter_add(&count->upstream_tls_resumed, 1);
	up->connecting = false;
	up->flags |= EDGE_CAN_WRITE;
	may_read(up, true);
	up->sent_before = edge_up_wire(up);
	return EDGE_STEP_ON;
}

enum edge_step edge_secure_connect(struct edge_conn *c)
{
	enum edge_step s = edge_secure_step(c->req->up);
	if (s == EDGE_STEP_BLOCK) return s;
	if (s == EDGE_STEP_GONE) return edge_attempt_failed(c, EDGE_FAULT_TLS);
	edge_conn_move(c, EDGE_WAIT);
	return EDGE_STEP_ON;
}

void edge_secure_event(struct edge_up *up, uint32_t events)
{
	if (!up->tls) return;
	tls_ready(up->tls, events & ~(uint32_t)EPOLLOUT, events & EPOLLOUT);
	if (up->flags & (EDGE_HUP | EDGE_DEAD)) tls_hung_up(up->tls);
	if (!up->connecting && !tls_remote_heard(up->tls)) may_read(up, up->flags & EDGE_CAN_READ);
}

/* ---- between requests ---- */

bool edge_secure_quiet(struct edge_up *up)
{
	char c;
	if (up->flags & (EDGE_HUP | EDGE_DEAD | EDGE_EOF)) return false;
	tls_ready(up->tls, true, false);
	if (tls_read(up->tls, &c, 1) != -EAGAIN) return false;
	up->flags &= ~EDGE_CAN_READ;
	return true;
}

/* The newest ticket is the next connection's. */
static void session_keep(struct edge_up *up)
{
	struct edge_ep *ep = &up->edge->eps[up->slot];
	struct tls_session *s = tls_session_take(up->tls);
	if (!s) return;
	if (ep->incarnation != up->incarnation) {
		tls_session_free(s);
		return;
	}
	tls_session_free(ep->session);
	ep->session = s;
}

bool edge_secure_keep(struct edge_up *up)
{
	session_keep(up);
	/* Bytes that are here already belong to nobody. */
	return !tls_more(up->tls) || edge_secure_quiet(up);
}

void edge_secure_close(struct edge_up *up)
{
	session_keep(up);
	tls_free(up->tls);
	up->tls = NULL;
}

/* ---- failures ---- */

enum edge_fault edge_secure_fault(struct edge_conn *c, enum edge_fault fault)
{
	struct edge_req *r = c->req;
	struct edge_up *up = r->up;
	if (fault == EDGE_FAULT_CONNECT_TIMEOUT && up->tls) {
		failed(up, "the handshake did not end in time");
	} else if (fault == EDGE_FAULT_CLOSED && up->tls && tls_remote_refused(up->tls)) {
		failed(up, tls_remote_why(up->tls));
		r->sent_any = false;
		return EDGE_FAULT_TLS;
	}
	return fault;
}

void edge_secure_cut(struct edge_up *up)
{
	if (!tls_remote_cut(up->tls)) return;
	meter_add(&up->edge->count->upstream_tls_failures, 1);
	say(up, "upstream.tls_cut", "the response ended without close_notify");
}
