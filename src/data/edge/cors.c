/*
 * CORS (Fetch standard, section 3.2). The edge alone speaks of it at a route that has it: a
 * preflight comes without cookies and certificates and must not cost a limit, and what the app
 * says as well would be said twice, which browsers refuse.
 */
#include "data/edge/gateway_priv.h"
#include "wire/origin.h"

#define ASKED_MAX 1024u /* bytes of field names that a preflight asks for */

void edge_cors_enter(struct edge_req *r, const struct http1_head *h)
{
	const struct http1_field *f = http1_find(h, HTTP1_F_ORIGIN);
	_Static_assert(ORIGIN_MAX <= sizeof r->origin && ORIGIN_MAX <= UINT8_MAX, "it fits");
	if (!f || r->gateway->flags & SNAP_GW_CORS_ANY) return;
	if (!origin_allowed(edge_gateway_text(r, SNAP_GW_ORIGINS), f->value)) return;
	memcpy(r->origin, f->value.p, f->value.n);
	r->origin_n = (uint8_t)f->value.n;
}

bool edge_cors_asks(const struct http1_head *h)
{
	return h->method == HTTP1_OPTIONS && http1_find(h, HTTP1_F_ORIGIN) &&
	       http1_find_name(h, HG_STR("Access-Control-Request-Method"));
}

/* Names of fields and what stands between them. */
static bool names_only(struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		            (c >= '0' && c <= '9') || strchr("-_, !#$%&'*+.^`|~", c);
		if (!good || c == 0) return false;
	}
	return s.n > 0 && s.n <= ASKED_MAX;
}

static bool says(const struct http1_head *h, struct hg_str name, struct hg_str value)
{
	const struct http1_field *f = http1_find_name(h, name);
	return f && hg_str_eq(f->value, value);
}

/* A method or a field that is not allowed is left to the browser: it says which one it was. */
enum edge_step edge_cors_preflight(struct edge_conn *c, const struct http1_head *h)
{
	struct edge_req *r = c->req;
	uint32_t flags = r->gateway->flags;
	char text[SNAP_GATEWAY_TEXT + ASKED_MAX + 256];
	struct hg_out o = hg_out_over(text, sizeof text);
	if (!r->origin_n && !(flags & SNAP_GW_CORS_ANY))
		return edge_answer(c, 403, "this origin may not use this route");
	hg_out_str(&o, edge_gateway_text(r, SNAP_GW_CORS_PREFLIGHT));
	const struct http1_field *asked =
	        http1_find_name(h, HG_STR("Access-Control-Request-Headers"));
	if (flags & SNAP_GW_CORS_ASKED && asked && names_only(asked->value)) {
		hg_out_str(&o, HG_STR("Access-Control-Allow-Headers: "));
		hg_out_str(&o, asked->value);
		hg_out_str(&o, HG_STR("\r\nVary: Access-Control-Request-Headers\r\n"));
	}
	if (flags & SNAP_GW_CORS_PRIVATE &&
	        says(h, HG_STR("Access-Control-Request-Private-Network"), HG_STR("true")))
		hg_out_str(&o, HG_STR("Access-Control-Allow-Private-Network: true\r\n"));
	HG_ASSERT(!hg_out_failed(&o));
	return edge_answer_with(c, 204, "", (struct hg_str){text, o.n});
}

static bool varies(const struct http1_head *h)
{
	for (uint16_t i = 0; h && i < h->field_count; i++) {
		const struct http1_field *f = &h->field[i];
		if (!hg_str_eq_nocase(f->name, HG_STR("Vary"))) continue;
		if (http1_list_has(f->value, HG_STR("Origin")) ||
		        http1_list_has(f->value, HG_STR("*")))
			return true;
	}
	return false;
}

void edge_cors_fields(const struct edge_req *r, const struct http1_head *h, struct hg_out *o)
{
	bool any = r->gateway->flags & SNAP_GW_CORS_ANY;
	/* Also without an origin: a cache must not give this answer to a page. */
	if (!any && !varies(h)) hg_out_str(o, HG_STR("Vary: Origin\r\n"));
	if (!any && !r->origin_n) return;
	hg_out_str(o, HG_STR("Access-Control-Allow-Origin: "));
	hg_out_str(o, any ? HG_STR("*") : (struct hg_str){r->origin, r->origin_n});
	hg_out_str(o, HG_STR("\r\n"));
	hg_out_str(o, edge_gateway_text(r, SNAP_GW_CORS_LINES));
}
