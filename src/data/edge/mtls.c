/*
 * Certificates of clients. TLS 1.3 cannot ask later, so the name in the hello decides whether a
 * certificate is asked for: by all authorities that a route of this host wants. The route decides
 * what it is good for. A request for another host than the hello's is sent away (421) where a
 * certificate counts: it was asked for by another host's rules.
 */
#include <stdlib.h>

#include "data/edge/mtls_priv.h"
#include "data/edge/edge_priv.h"

/* What the routes of a host want together. */
struct edge_asks {
	uint32_t cas;
	bool all; /* it has a route for every path: none of a wider host is ever asked */
};

/* ---- images ---- */

static bool same_authorities(const struct snap_image *a, const struct snap_image *b)
{
	if (a->ca_count != b->ca_count) return false;
	for (uint32_t i = 0; i < a->ca_count; i++) {
		const struct snap_ca *x = &snap_cas(a)[i], *y = &snap_cas(b)[i];
		if (!hg_str_eq(snap_str(a, x->certs), snap_str(b, y->certs)) ||
		        !hg_str_eq(snap_str(a, x->crl), snap_str(b, y->crl)))
			return false;
	}
	return true;
}

static enum hg_rc authorities_make(struct edge_image *im, const struct edge_image *old)
{
	const struct snap_image *s = im->snap;
	struct tls_ca ca[TLS_CLIENT_CAS_MAX];
	char why[TLS_WHY_MAX];
	if (old && old->clients && same_authorities(s, old->snap)) {
		im->clients = tls_clients_ref(old->clients);
		return HG_OK;
	}
	for (uint32_t i = 0; i < s->ca_count; i++) {
		const struct snap_ca *from = &snap_cas(s)[i];
		ca[i] = (struct tls_ca){snap_str(s, from->certs), snap_str(s, from->crl)};
	}
	return tls_clients_new(ca, s->ca_count, &im->clients, NULL, why);
}

enum hg_rc edge_mtls_make(struct edge_image *im, const struct edge_image *old)
{
	const struct snap_image *s = im->snap;
	bool any = false;
	_Static_assert(SNAP_CAS_MAX == TLS_CLIENT_CAS_MAX, "one mask for both");
	for (uint32_t i = 0; i < s->route_count; i++)
		any = any || snap_routes(s)[i].client != SNAP_CLIENT_OFF;
	if (!any) return HG_OK;
	im->asks = calloc(im->index.host_count + 1, sizeof *im->asks);
	if (!im->asks) return HG_E_NOMEM;
	for (uint32_t i = 0; i < s->route_count; i++) {
		const struct snap_route *r = &snap_routes(s)[i];
		struct edge_asks *a = &im->asks[im->index.route_host[i]];
		if (r->client != SNAP_CLIENT_OFF) a->cas |= r->cas;
		if (r->path.n == 1) a->all = true;
	}
	return authorities_make(im, old);
}

void edge_mtls_free(struct edge_image *im)
{
	tls_clients_unref(im->clients);
	free(im->asks);
}

/* ---- handshakes ---- */

/* The authorities that requests for this host may want, found as their route will be. */
static uint32_t wanted(const struct edge_image *im, struct hg_str host)
{
	const struct edge_index *x = &im->index;
	uint32_t cas = 0;
	for (size_t i = 0; i < host.n; i++) {
		if (i && host.p[i] != '.') continue;
		uint32_t k = edge_host_number(x, (struct hg_str){host.p + i, host.n - i});
		if (k == UINT32_MAX) continue;
		cas |= im->asks[k].cas;
		if (im->asks[k].all) return cas;
	}
	return x->any ? cas | im->asks[x->any - 1].cas : cas;
}

static void on_hello(void *arg, struct tls *t)
{
	struct edge_conn *c = arg;
	const struct edge_image *im = c->edge->image;
	uint32_t cas = im->clients ? wanted(im, tls_host(t)) : 0;
	if (!cas) return;
	tls_ask(t, im->clients, cas);
	meter_add(&c->edge->count->client_asked, 1);
}

void edge_mtls_prepare(struct edge_conn *c)
{
	tls_on_hello(c->tls, on_hello, c);
}

void edge_mtls_shown(struct edge_conn *c)
{
	struct edge *e = c->edge;
	uint32_t cas;
	if (!e->image->clients) return; /* nobody wants it any more */
	enum tls_peer is = tls_peer(c->tls, e->image->clients, &cas);
	if (is != TLS_PEER_NONE) meter_add(&e->count->client_shown, 1);
	if (is == TLS_PEER_BAD) meter_add(&e->count->client_invalid, 1);
}

/* ---- requests ---- */

static enum edge_step refuse(struct edge_conn *c, unsigned status, const char *why)
{
	meter_add(&c->edge->count->client_refused, 1);
	/* The next connection begins with another hello. */
	if (status == 421) c->req->keep_alive = false;
	return edge_answer(c, status, why);
}

enum edge_step edge_mtls_check(struct edge_conn *c, struct hg_str host)
{
	struct edge_req *r = c->req;
	bool required = r->route->client == SNAP_CLIENT_REQUIRED;
	struct tls_clients *clients = r->image->clients;
	struct tls *tls = edge_conn_carrier(c)->tls;
	uint32_t cas = 0;
	HG_ASSERT(clients);
	if (!c->secure || !tls) {
		if (!required) return EDGE_STEP_ON;
		return refuse(c, 403, "a client certificate is required: come by HTTPS");
	}
	if (!hg_str_eq(host, tls_host(tls)) || !tls_asked(tls)) {
		if (!required) return EDGE_STEP_ON;
		return refuse(c, 421, "this connection was made for another host");
	}
	enum tls_peer is = tls_peer(tls, clients, &cas);
	r->identity = is == TLS_PEER_GOOD && (cas & r->route->cas);
	if (!required || r->identity) return EDGE_STEP_ON;
	if (is == TLS_PEER_NONE) return refuse(c, 403, "a client certificate is required");
	if (is == TLS_PEER_BAD) return refuse(c, 403, tls_peer_why(tls));
	return refuse(c, 403, "the client certificate is of another authority");
}
