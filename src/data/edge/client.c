#include "data/edge/edge_priv.h"
#include "wire/ip.h"

/*
 * Who the client is. Without trusted proxies it is the peer, whatever the request says. A trusted
 * one writes the address that it was asked from behind those it was told: read from the end, the
 * first that is no trusted proxy is the client. What stands before it anybody may have made up.
 */

#define HOPS_MAX 32

static void addr_bytes(const struct sock_addr *a, uint8_t to[16])
{
	memset(to, 0, 16);
	if (a->sa.sa_family == AF_INET) {
		to[10] = to[11] = 0xff;
		memcpy(to + 12, &a->in4.sin_addr, 4);
	} else if (a->sa.sa_family == AF_INET6) {
		memcpy(to, &a->in6.sin6_addr, 16);
	}
}

static void client_set(struct edge_conn *c, const uint8_t addr[16])
{
	c->client_n = (uint8_t)ip_text(addr, c->client);
	c->addr = ip_addr_of(addr);
}

void edge_client_peer(struct edge_conn *c, const struct sock_addr *peer)
{
	char text[SOCK_TEXT_MAX];
	size_t n = sock_addr_host(peer, text, sizeof text);
	c->client_n = (uint8_t)HG_MIN(n, sizeof c->client);
	memcpy(c->client, text, c->client_n);
	addr_bytes(peer, c->peer);
	c->addr = ip_addr_of(c->peer);
	c->https = c->secure;
}

static bool trusted(const struct snap_image *im, struct ip_addr a)
{
	return snap_set_find(im, im->trusted, a) != 0;
}

/* The fields are one list: the last field is its end. */
static bool hop_before(
        const struct http1_head *h, uint16_t *field, struct hg_str *list, uint8_t ret_addr[16])
{
	while (list->n == 0) {
		if (*field == 0) return false;
		const struct http1_field *f = &h->field[--*field];
		if (f->id == HTTP1_F_X_FORWARDED_FOR) *list = f->value;
	}
	if (ip_list_last(list, ret_addr)) return true;
	*field = 0;
	return false;
}

/* What the nearest proxy said, if it said it behind what the client sent along: the end of the
 * list, as with the addresses. Unchanged when nobody said anything. */
static void proto_last(const struct http1_head *h, bool *ret_https)
{
	for (uint16_t i = h->field_count; i-- > 0;) {
		if (h->field[i].id != HTTP1_F_X_FORWARDED_PROTO) continue;
		struct hg_str rest = h->field[i].value, last = {NULL, 0};
		while (rest.n)
			last = hg_str_trim(hg_str_cut(&rest, ','));
		*ret_https = hg_str_eq_nocase(last, HG_STR("https"));
		return;
	}
}

void edge_client_find(struct edge_conn *c, const struct http1_head *h)
{
	const struct snap_image *im = c->req->image->snap;
	uint8_t addr[16], at[16];
	uint16_t field = h->field_count;
	struct hg_str list = {NULL, 0};
	memcpy(at, c->peer, sizeof at);
	c->https = c->secure;
	if (trusted(im, ip_addr_of(c->peer))) {
		for (int hops = 0; hops < HOPS_MAX && hop_before(h, &field, &list, addr); hops++) {
			memcpy(at, addr, sizeof at);
			if (!trusted(im, ip_addr_of(at))) break;
		}
		proto_last(h, &c->https);
	}
	client_set(c, at);
}

bool edge_peer_enter(struct edge *e, const struct sock_addr *peer, uint32_t *ret_place)
{
	const struct snap_image *im = e->image->snap;
	uint8_t addr[16];
	*ret_place = PEERS_NONE;
	addr_bytes(peer, addr);
	struct ip_addr a = ip_addr_of(addr);
	/* A proxy's connections are of many clients. */
	if (!e->rates || trusted(im, a) || snap_set_find(im, im->exempt, a)) return true;
	struct ip_addr client = ip_addr_client(a);
	uint64_t key = rates_key(e->rates, 0, 0, &client, sizeof client);
	return peers_enter(&e->rates->peers, key, e->worker, im->connections_per_ip, ret_place);
}

static bool allowed(
        const struct snap_image *im, struct snap_set set, uint32_t other, struct ip_addr a)
{
	uint32_t v = snap_set_find(im, set, a);
	return (v ? v : other) != SNAP_ACCESS_DENY;
}

bool edge_access_peer(const struct snap_image *im, const struct sock_addr *peer)
{
	uint8_t addr[16];
	addr_bytes(peer, addr);
	struct ip_addr a = ip_addr_of(addr);
	return edge_access_edge(im, a) || trusted(im, a);
}

bool edge_access_edge(const struct snap_image *im, struct ip_addr client)
{
	return allowed(im, im->access, im->access_other, client);
}

bool edge_access_route(
        const struct snap_image *im, const struct snap_route *route, struct ip_addr client)
{
	return allowed(im, route->access, route->access_other, client);
}
