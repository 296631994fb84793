/*
 * Heads by the rules of a route. As in head.c, fields that pass unchanged are copied in runs; a
 * list of rules is walked for each field, which is cheaper than a table for the few that there are.
 */
#include "data/edge/gateway_priv.h"
#include "wire/fieldvars.h"
#include "wire/pathmap.h"

/* ---- lines ---- */

static void number(bool known, uint32_t v, struct hg_out *o)
{
	if (known)
		hg_out_u64(o, v);
	else
		hg_out_byte(o, '-');
}

static void var_write(
        struct edge_conn *c, const struct http1_head *h, enum fieldvar v, struct hg_out *o)
{
	const struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	switch (v) {
	case FIELDVAR_CLIENT_IP: hg_out_str(o, (struct hg_str){c->client, c->client_n}); break;
	case FIELDVAR_REQUEST_ID: hg_out_str(o, (struct hg_str){r->rid, r->rid_n}); break;
	case FIELDVAR_TRACE_ID:
		/* Both ids come with the head for the replica. */
		if (r->traced) hg_out_str(o, (struct hg_str){r->trace, sizeof r->trace});
		break;
	case FIELDVAR_APP: hg_out_str(o, snap_str(im, r->limits->name)); break;
	case FIELDVAR_ROUTE: hg_out_str(o, snap_str(im, r->route->name)); break;
	case FIELDVAR_SCHEME: hg_out_str(o, c->https ? HG_STR("https") : HG_STR("http")); break;
	case FIELDVAR_HOST:
		if (h) hg_out_str(o, h->authority);
		break;
	case FIELDVAR_METHOD:
		if (h) hg_out_str(o, h->method_text);
		break;
	case FIELDVAR_PATH:
		if (h) hg_out_str(o, h->path);
		break;
	case FIELDVAR_RELEASE: number(!r->local && r->has_lane, r->release, o); break;
	case FIELDVAR_REPLICA: number(!r->local && r->has_lane, r->replica, o); break;
	case FIELDVARS: break;
	}
}

void edge_rewrite_lines(
        struct edge_conn *c, const struct http1_head *h, struct hg_str lines, struct hg_out *o)
{
	struct hg_str text;
	enum fieldvar v;
	while (fieldvars_next(&lines, &text, &v)) {
		if (v == FIELDVARS)
			hg_out_str(o, text);
		else
			var_write(c, h, v, o);
	}
}

/* ---- fields ---- */

struct rules {
	const struct edge_req *r;
	const struct http1_head *h;
	struct hg_str drop, rename;
	bool (*ours)(const struct http1_field *);
	bool response;
};

static bool listed(struct hg_str list, struct hg_str name)
{
	while (list.n) {
		struct hg_str one = hg_str_cut(&list, '\n');
		if (one.n == name.n && hg_str_eq_nocase(one, name)) return true;
	}
	return false;
}

/* The new name, or nothing. */
static struct hg_str renamed(struct hg_str list, struct hg_str name)
{
	while (list.n) {
		struct hg_str old = hg_str_cut(&list, '\n'), to = hg_str_cut(&list, '\n');
		if (old.n == name.n && hg_str_eq_nocase(old, name)) return to;
	}
	return (struct hg_str){NULL, 0};
}

/* Does another field, which is there, get this name? */
static bool replaced(const struct rules *x, struct hg_str name)
{
	struct hg_str list = x->rename;
	while (list.n) {
		struct hg_str old = hg_str_cut(&list, '\n'), to = hg_str_cut(&list, '\n');
		if (to.n == name.n && hg_str_eq_nocase(to, name) && http1_find_name(x->h, old))
			return true;
	}
	return false;
}

static bool of_cors(struct hg_str name)
{
	struct hg_str prefix = HG_STR("Access-Control-");
	return name.n > prefix.n && hg_str_eq_nocase((struct hg_str){name.p, prefix.n}, prefix);
}

static bool left_out(const struct rules *x, const struct http1_field *f)
{
	if (x->ours(f) || listed(x->drop, f->name)) return true;
	if (x->rename.n && replaced(x, f->name)) return true;
	return x->response && x->r->gateway->flags & SNAP_GW_CORS && of_cors(f->name);
}

/* Only what leads to the host that was asked is ours to change. */
static bool location(const struct edge_req *r, struct hg_str v, struct hg_out *o)
{
	struct hg_str from = edge_gateway_text(r, SNAP_GW_FROM);
	struct hg_str to = edge_gateway_text(r, SNAP_GW_TO);
	size_t skip = hg_str_starts(v, HG_STR("https://"))  ? 8
	              : hg_str_starts(v, HG_STR("http://")) ? 7
	                                                    : 0;
	if (skip == 0) return pathmap_back(v, from, to, false, o);
	size_t end = skip + hg_str_find((struct hg_str){v.p + skip, v.n - skip}, '/');
	struct hg_str host = {v.p + skip, end - skip};
	if (!r->host_n || !hg_str_eq_nocase(host, (struct hg_str){r->host, r->host_n}))
		return false;
	size_t before = o->n;
	hg_out_str(o, (struct hg_str){v.p, end});
	if (pathmap_back((struct hg_str){v.p + end, v.n - end}, from, to, false, o)) return true;
	o->n = before;
	return false;
}

/* The whole value, with its Path changed. */
static void cookie(const struct edge_req *r, struct hg_str v, struct hg_out *o)
{
	for (bool first = true; v.n; first = false) {
		struct hg_str part = hg_str_cut(&v, ';'), value = part;
		struct hg_str name = hg_str_trim(hg_str_cut(&value, '='));
		if (!first) hg_out_byte(o, ';');
		bool path = !first && hg_str_eq_nocase(name, HG_STR("Path"));
		size_t before = o->n;
		if (path) {
			hg_out_str(o, HG_STR(" Path="));
			if (pathmap_back(hg_str_trim(value), edge_gateway_text(r, SNAP_GW_FROM),
			            edge_gateway_text(r, SNAP_GW_TO), true, o))
				continue;
			o->n = before;
		}
		hg_out_str(o, part);
	}
}

/* A field that does not pass as it is. */
struct change {
	struct hg_str name; /* its new name, or nothing */
	bool place, crumb;
};

static bool changes(const struct rules *x, const struct http1_field *f, struct change *ret)
{
	uint32_t flags = x->response ? x->r->gateway->flags : 0;
	*ret = (struct change){0};
	if (x->rename.n) ret->name = renamed(x->rename, f->name);
	ret->place = flags & SNAP_GW_LOCATIONS &&
	             (f->id == HTTP1_F_LOCATION ||
	                     hg_str_eq_nocase(f->name, HG_STR("Content-Location")));
	ret->crumb = flags & SNAP_GW_COOKIES && hg_str_eq_nocase(f->name, HG_STR("Set-Cookie"));
	return ret->name.n || ret->place || ret->crumb;
}

static void change_write(const struct rules *x, const struct http1_field *f,
        const struct change *to, struct hg_out *o)
{
	hg_out_str(o, to->name.n ? to->name : f->name);
	hg_out_str(o, HG_STR(": "));
	if (to->crumb)
		cookie(x->r, f->value, o);
	else if (!to->place || !location(x->r, f->value, o))
		hg_out_str(o, f->value);
	hg_out_str(o, HG_STR("\r\n"));
}

static void fields(const struct rules *x, const char *end, bool no_tracestate, struct hg_out *o)
{
	const char *run = NULL;
	struct change to;
	for (uint16_t i = 0; i < x->h->field_count; i++) {
		const struct http1_field *f = &x->h->field[i];
		bool out = left_out(x, f) || (no_tracestate && f->id == HTTP1_F_TRACESTATE);
		bool other = !out && changes(x, f, &to);
		if (!out && !other) {
			if (!run) run = f->name.p;
			continue;
		}
		if (run) hg_out_str(o, (struct hg_str){run, (size_t)(f->name.p - run)});
		run = NULL;
		if (other) change_write(x, f, &to, o);
	}
	if (run) hg_out_str(o, (struct hg_str){run, (size_t)(end - run)});
}

/* ---- requests ---- */

void edge_rewrite_line(struct edge_conn *c, const struct http1_head *h, struct hg_out *o)
{
	const struct edge_req *r = c->req;
	struct hg_str path = edge_path_normal(h->path, c->edge->path_scratch);
	hg_out_str(o, h->method_text);
	hg_out_byte(o, ' ');
	if (path.n == 0) path = HG_STR("/");
	pathmap_put(path, edge_gateway_text(r, SNAP_GW_FROM), edge_gateway_text(r, SNAP_GW_TO), o);
	if (h->query.n) hg_out_byte(o, '?');
	hg_out_str(o, h->query);
	hg_out_str(o, HG_STR(" HTTP/1.1\r\n"));
}

void edge_rewrite_request(struct edge_conn *c, const struct http1_head *h, const char *end,
        bool no_tracestate, struct hg_out *o)
{
	const struct edge_req *r = c->req;
	struct rules x = {.r = r,
	        .h = h,
	        .drop = edge_gateway_text(r, SNAP_GW_REQUEST_DROP),
	        .rename = edge_gateway_text(r, SNAP_GW_REQUEST_RENAME),
	        .ours = edge_head_ours_request};
	fields(&x, end, no_tracestate, o);
}

void edge_rewrite_request_end(struct edge_conn *c, const struct http1_head *h, struct hg_out *o)
{
	const struct edge_req *r = c->req;
	if (r->gateway->flags & SNAP_GW_STRIPPED) {
		hg_out_str(o, HG_STR("X-Forwarded-Prefix: "));
		hg_out_str(o, edge_gateway_text(r, SNAP_GW_FROM));
		hg_out_str(o, HG_STR("\r\n"));
	}
	edge_rewrite_lines(c, h, edge_gateway_text(r, SNAP_GW_REQUEST_LINES), o);
}

/* ---- responses ---- */

void edge_rewrite_response(
        struct edge_conn *c, const struct http1_head *h, const char *end, struct hg_out *o)
{
	const struct edge_req *r = c->req;
	struct rules x = {.r = r,
	        .h = h,
	        .drop = edge_gateway_text(r, SNAP_GW_RESPONSE_DROP),
	        .rename = edge_gateway_text(r, SNAP_GW_RESPONSE_RENAME),
	        .ours = edge_head_ours_response,
	        .response = true};
	fields(&x, end, false, o);
	edge_rewrite_lines(c, NULL, edge_gateway_text(r, SNAP_GW_RESPONSE_LINES), o);
	if (r->gateway->flags & SNAP_GW_CORS) edge_cors_fields(r, h, o);
}
