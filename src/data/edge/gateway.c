#include "data/edge/gateway_priv.h"
#include "os/clock.h"
#include "wire/pathmap.h"

#define REDIRECT_MAX 9216u /* bytes of a Location line */
#define OWN_MAX      8192u /* … of what an answer of the edge has by the rules */

/* The image has the route that serves who names no version first. */
static const struct snap_route *variant(
        const struct snap_image *im, const struct snap_route *r, const struct http1_head *h)
{
	for (uint32_t i = 1; i <= r->variants; i++) {
		const struct snap_gateway *g = &snap_gateways(im)[r[i].gateway - 1];
		const struct http1_field *f =
		        http1_find_name(h, snap_str(im, g->text[SNAP_GW_VERSION_FIELD]));
		if (f && hg_str_eq(f->value, snap_str(im, g->text[SNAP_GW_VERSION]))) return &r[i];
	}
	return r;
}

void edge_gateway_enter(struct edge_conn *c, const struct http1_head *h)
{
	struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	if (r->route->variants) r->route = variant(im, r->route, h);
	if (!r->route->gateway) return;
	r->gateway = &snap_gateways(im)[r->route->gateway - 1];
	if (r->gateway->flags & SNAP_GW_LOCATIONS && h->authority.n <= sizeof r->host) {
		r->host_n = (uint8_t)h->authority.n;
		if (r->host_n) memcpy(r->host, h->authority.p, r->host_n);
	}
	if (r->gateway->flags & SNAP_GW_CORS) edge_cors_enter(r, h);
}

/* A Location that begins with two slashes, or what browsers take for them, names another host. */
static bool names_host(struct hg_str location)
{
	return location.n > 1 && location.p[0] == '/' &&
	       (location.p[1] == '/' || location.p[1] == '\\');
}

static enum edge_step redirect(struct edge_conn *c, const struct http1_head *h, struct hg_str path)
{
	struct edge_req *r = c->req;
	const struct snap_gateway *g = r->gateway;
	char text[REDIRECT_MAX];
	struct hg_str to = edge_gateway_text(r, SNAP_GW_REDIRECT_TO);
	struct hg_str name = HG_STR("Location: ");
	struct hg_out o = hg_out_over(text, sizeof text);
	hg_out_str(&o, name);
	if (g->flags & SNAP_GW_KEEP_PATH) {
		size_t skip = r->route->path.n == 1 ? 0 : r->route->path.n;
		struct hg_str rest = {path.p + HG_MIN(skip, path.n), path.n - HG_MIN(skip, path.n)};
		bool doubled = to.p[to.n - 1] == '/' && rest.n && rest.p[0] == '/';
		hg_out_str(&o, (struct hg_str){to.p, to.n - doubled});
		if (rest.n == 0 || rest.p[0] == '/') hg_out_str(&o, rest); /* not of "*" */
		if (h->query.n) hg_out_byte(&o, '?');
		hg_out_str(&o, h->query);
	} else {
		hg_out_str(&o, to);
	}
	hg_out_str(&o, HG_STR("\r\n"));
	if (hg_out_failed(&o)) return edge_answer(c, 414, "the address is too long");
	if (names_host((struct hg_str){text + name.n, o.n - name.n}))
		return edge_answer(c, 400, "the path would begin with an empty segment");
	return edge_answer_with(c, g->redirect, "this has moved", (struct hg_str){text, o.n});
}

enum edge_step edge_gateway_answer(
        struct edge_conn *c, const struct http1_head *h, struct hg_str path)
{
	struct edge_req *r = c->req;
	const struct snap_gateway *g = r->gateway;
	if (g->flags & SNAP_GW_CORS && edge_cors_asks(h)) return edge_cors_preflight(c, h);
	if (g->redirect) return redirect(c, h, path);
	if (g->gone_s && clock_wall_ms() / 1000 >= g->gone_s)
		return edge_answer(c, 410, "this version has ended");
	if (g->flags & SNAP_GW_PATH) {
		const char *why = pathmap_check(
		        path, edge_gateway_text(r, SNAP_GW_FROM), edge_gateway_text(r, SNAP_GW_TO));
		if (why) {
			meter_add(&c->edge->count->bad_requests, 1);
			return edge_answer(c, 400, why);
		}
	}
	return EDGE_STEP_ON;
}

/* Behind these stands a body in the same buffer. Lines that do not fit are left out as a whole. */
void edge_gateway_own(struct edge_conn *c, struct hg_out *o)
{
	const struct edge_req *r = c->req;
	struct hg_out own = hg_out_over(o->p + o->n, HG_MIN(o->cap - o->n, OWN_MAX));
	if (r->gateway->flags & SNAP_GW_CORS) edge_cors_fields(r, NULL, &own);
	size_t n = own.n;
	edge_rewrite_lines(c, NULL, edge_gateway_text(r, SNAP_GW_OWN_LINES), &own);
	o->n += hg_out_failed(&own) ? n : own.n;
}

bool edge_gateway_drops(const struct edge_req *r, struct hg_str name)
{
	struct hg_str list = edge_gateway_text(r, SNAP_GW_RESPONSE_DROP);
	while (list.n)
		if (hg_str_eq(hg_str_cut(&list, '\n'), name)) return true;
	return false;
}
