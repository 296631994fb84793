#include "data/edge/edge_priv.h"
#include "os/clock.h"

/*
 * Answers that the edge gives itself: in whose words and in which form. A page of the application
 * for those who accept HTML, a problem (RFC 9457) for those who prefer JSON, a line of text for all
 * others. A response of a replica is never replaced.
 */

/* Is the type named, and not with q=0? "*" alone is nobody's wish. */
static bool accepts(struct hg_str list, struct hg_str type)
{
	while (list.n) {
		struct hg_str one = hg_str_cut(&list, ',');
		struct hg_str name = hg_str_trim(hg_str_cut(&one, ';')), q = hg_str_trim(one);
		if (!hg_str_eq_nocase(name, type)) continue;
		return !hg_str_eq(q, HG_STR("q=0")) && !hg_str_eq(q, HG_STR("q=0.0"));
	}
	return false;
}

bool edge_page_wanted(const struct http1_head *h)
{
	const struct http1_field *f = http1_find(h, HTTP1_F_ACCEPT);
	return f && accepts(f->value, HG_STR("text/html"));
}

/* The exact status comes before its class. */
static struct hg_str page_of(const struct edge_req *r, unsigned status)
{
	const struct snap_image *im = r->image->snap;
	const struct snap_page *p = &snap_pages(im)[r->limits->page_first];
	struct hg_str found = {NULL, 0};
	for (uint32_t i = 0; i < r->limits->page_count; i++) {
		if (status < p[i].from || status > p[i].to) continue;
		if (!found.p || p[i].from == p[i].to) found = snap_str(im, p[i].body);
	}
	return found;
}

static void escaped(struct hg_out *o, struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char ch = (unsigned char)s.p[i];
		if (ch < 0x20 || ch == '"' || ch == '\\' || ch == 0x7f)
			hg_out_fmt(o, "\\u%04x", ch);
		else
			hg_out_byte(o, (char)ch);
	}
}

/* `error` is the member that applications and their clients look for. */
static void problem_write(
        const struct edge_req *r, unsigned status, struct hg_str why, struct hg_out *o)
{
	bool quota = status == 429 && r->refused_by;
	hg_out_cstr(o, "{\"type\":\"");
	hg_out_cstr(o, quota ? "https://iana.org/assignments/http-problem-types#quota-exceeded"
	                     : "about:blank");
	hg_out_cstr(o, "\",\"title\":\"");
	hg_out_cstr(o, http1_reason(status));
	hg_out_cstr(o, "\",\"status\":");
	hg_out_u64(o, status);
	hg_out_cstr(o, ",\"detail\":\"");
	escaped(o, why);
	hg_out_cstr(o, "\",\"error\":\"");
	escaped(o, why);
	if (r->traced && status >= 500) {
		hg_out_cstr(o, "\",\"trace_id\":\"");
		hg_out_str(o, (struct hg_str){r->trace, sizeof r->trace});
	}
	if (quota) {
		hg_out_cstr(o, "\",\"violated-policies\":[\"");
		escaped(o, snap_str(r->image->snap, r->refused_by->name));
		hg_out_cstr(o, "\"]}\n");
	} else {
		hg_out_cstr(o, "\"}\n");
	}
}

void edge_page_write(struct edge_req *r, unsigned status, const char *words, struct hg_out *o,
        const char **ret_type)
{
	struct hg_str why = r->message.n ? r->message : hg_str(words);
	struct hg_str page = {NULL, 0};
	if (HG_UNLIKELY(r->html) && r->limits && r->limits->page_count) page = page_of(r, status);
	r->page = page;
	r->page_sent = 0;
	if (page.p) {
		*ret_type = "text/html; charset=utf-8";
	} else if (HG_UNLIKELY(r->denied) && status != 503) {
		/* As applications say it: their clients look for this member and no more. */
		*ret_type = "application/json";
		hg_out_cstr(o, "{\"error\": \"");
		hg_out_cstr(o, http1_reason(status));
		hg_out_cstr(o, "\"}\n");
	} else if (r->json) {
		*ret_type = "application/problem+json";
		problem_write(r, status, why, o);
	} else {
		*ret_type = "text/plain; charset=utf-8";
		hg_out_str(o, why);
		hg_out_byte(o, '\n');
	}
}

#define MAINTENANCE_RETRY_S 60 /* when nobody said how long it takes */

enum edge_step edge_maintenance(struct edge_conn *c, struct hg_str path)
{
	struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	const struct snap_app *app = r->limits;
	uint64_t now = clock_wall_ms(), retry = MAINTENANCE_RETRY_S;
	char line[64];
	/* Its end comes whether control lives to tell of it or not. */
	if (app->maintenance_until_ms && now >= app->maintenance_until_ms) return EDGE_STEP_ON;
	if (r->route->preview || edge_of_probe(r, path)) return EDGE_STEP_ON;
	if (snap_set_find(im, app->maintenance_through, c->addr)) return EDGE_STEP_ON;
	if (app->maintenance_until_ms) retry = (app->maintenance_until_ms - now + 999) / 1000;
	struct hg_out o = hg_out_over(line, sizeof line);
	hg_out_cstr(&o, "Retry-After: ");
	hg_out_u64(&o, retry);
	hg_out_cstr(&o, "\r\n");
	r->message = snap_str(im, app->maintenance_message);
	return edge_answer_with(c, 503, "down for maintenance", (struct hg_str){line, o.n});
}
