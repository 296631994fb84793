#include "wire/http1_priv.h"

#define EMPTY_LINES_MAX 2

static enum http1_method method_of(struct hg_str m)
{
	for (unsigned i = HTTP1_GET; i < HTTP1_METHODS; i++) {
		if (hg_str_eq(m, hg_str(http1_method_name(i)))) return i;
	}
	return HTTP1_OTHER;
}

static enum http1_method method_quick(struct hg_str m)
{
	if (m.n == 3 && memcmp(m.p, "GET", 3) == 0) return HTTP1_GET;
	if (m.n == 4 && memcmp(m.p, "POST", 4) == 0) return HTTP1_POST;
	return method_of(m);
}

/* RFC 9112 section 2.2: a server should ignore at least one empty line before the request. */
static enum http1_result skip_empty_lines(struct http1_reading *r)
{
	for (unsigned n = 0; r->p < r->end && *r->p == '\r'; n++) {
		if (n == EMPTY_LINES_MAX)
			return http1_refuse(r, 400, "too many empty lines before the request");
		enum http1_result got = http1_crlf(r, "");
		if (got != HTTP1_DONE) return got;
	}
	return r->p == r->end ? HTTP1_MORE : HTTP1_DONE;
}

static enum http1_result take_method(struct http1_reading *r)
{
	struct http1_head *h = r->head;
	const char *from = r->p, *p = from;
	while (p < r->end && http1_is(*p, HTTP1_C_TOKEN))
		p++;
	if (p == r->end) return HTTP1_MORE;
	if (*p != ' ' || p == from) return http1_refuse_byte(r, *p, "malformed method");
	h->method_text = (struct hg_str){from, (size_t)(p - from)};
	h->method = method_quick(h->method_text);
	r->p = p + 1;
	return HTTP1_DONE;
}

static enum http1_result take_target(struct http1_reading *r)
{
	const char *from = r->p, *p = from;
	while (p < r->end && http1_is(*p, HTTP1_C_TARGET))
		p++;
	if ((size_t)(p - from) > r->lim->target_max)
		return http1_refuse(r, 414, "request target is too long");
	if (p == r->end) return HTTP1_MORE;
	if (*p != ' ' || p == from) return http1_refuse_byte(r, *p, "malformed request target");
	r->head->target = (struct hg_str){from, (size_t)(p - from)};
	r->p = p + 1;
	return HTTP1_DONE;
}

static enum http1_result take_version(struct http1_reading *r)
{
	static const char want[] = "HTTP/";
	const char *p = r->p;
	size_t n = (size_t)(r->end - p);
	for (size_t i = 0; i < HG_MIN(n, (size_t)5); i++) {
		if (p[i] != want[i]) return http1_refuse_byte(r, p[i], "malformed HTTP version");
	}
	if (n > 5 && !http1_is(p[5], HTTP1_C_DIGIT))
		return http1_refuse_byte(r, p[5], "malformed HTTP version");
	if (n > 6 && p[6] != '.') return http1_refuse_byte(r, p[6], "malformed HTTP version");
	if (n > 7 && !http1_is(p[7], HTTP1_C_DIGIT))
		return http1_refuse_byte(r, p[7], "malformed HTTP version");
	if (n < 8) return HTTP1_MORE;
	r->p += 8;
	enum http1_result got = http1_crlf(r, "bytes after the HTTP version");
	if (got != HTTP1_DONE) return got;
	if (p[5] != '1' || p[7] > '1')
		return http1_refuse(r, 505, "an HTTP version other than 1.0 and 1.1");
	r->head->minor = (uint8_t)(p[7] - '0');
	return HTTP1_DONE;
}

static void split_query(struct http1_head *h, struct hg_str path)
{
	size_t mark = hg_str_find(path, '?');
	h->path = (struct hg_str){path.p, mark};
	if (mark < path.n) h->query = (struct hg_str){path.p + mark + 1, path.n - mark - 1};
}

/* "http://host/path?query": `rest` is what follows the scheme. */
static enum http1_result absolute_form(struct http1_reading *r, struct hg_str rest)
{
	struct http1_head *h = r->head;
	size_t at = 0;
	while (at < rest.n && rest.p[at] != '/' && rest.p[at] != '?')
		at++;
	h->authority = (struct hg_str){rest.p, at};
	if (!http1_host_valid(h->authority, false))
		return http1_refuse(r, 400, "malformed authority in the request target");
	split_query(h, (struct hg_str){rest.p + at, rest.n - at});
	if (h->path.n == 0) {
		bool server_wide = h->method == HTTP1_OPTIONS && at == rest.n;
		h->path = server_wide ? HG_STR("*") : HG_STR("/");
	}
	return HTTP1_DONE;
}

/* The four forms of RFC 9112 section 3.2. */
static enum http1_result split_target(struct http1_reading *r)
{
	struct http1_head *h = r->head;
	struct hg_str t = h->target;
	if (h->method == HTTP1_CONNECT) {
		if (!http1_host_valid(t, true))
			return http1_refuse(r, 400, "CONNECT without host and port");
		h->authority = t;
		return HTTP1_DONE;
	}
	if (t.p[0] == '/') {
		split_query(h, t);
		return HTTP1_DONE;
	}
	if (t.n == 1 && t.p[0] == '*' && h->method == HTTP1_OPTIONS) {
		h->path = t;
		return HTTP1_DONE;
	}
	if (t.n > 7 && hg_str_eq_nocase((struct hg_str){t.p, 7}, HG_STR("http://")))
		return absolute_form(r, (struct hg_str){t.p + 7, t.n - 7});
	if (t.n > 8 && hg_str_eq_nocase((struct hg_str){t.p, 8}, HG_STR("https://")))
		return absolute_form(r, (struct hg_str){t.p + 8, t.n - 8});
	return http1_refuse(r, 400, "malformed request target");
}

static enum http1_result check_host(struct http1_reading *r)
{
	struct http1_head *h = r->head;
	if (!r->host) {
		if (h->minor == 0) return HTTP1_DONE;
		return http1_refuse(r, 400, "no Host field");
	}
	/* CONNECT names the port in its target and may leave it out of Host. */
	if (h->method == HTTP1_CONNECT) return HTTP1_DONE;
	if (h->authority.n == 0) {
		h->authority = r->host->value;
	} else if (!hg_str_eq_nocase(h->authority, r->host->value)) {
		return http1_refuse(r, 400, "Host differs from the request target");
	}
	return HTTP1_DONE;
}

/* RFC 9112 section 6.3. */
static enum http1_result decide_body(struct http1_reading *r)
{
	struct http1_head *h = r->head;
	if (r->chunked && r->length)
		return http1_refuse(r, 400, "Content-Length with Transfer-Encoding");
	h->body = HTTP1_BODY_NONE;
	if (h->has_content_length && h->content_length > 0) h->body = HTTP1_BODY_LENGTH;
	if (r->chunked) h->body = HTTP1_BODY_CHUNKED;
	if (h->body != HTTP1_BODY_NONE && (h->method == HTTP1_CONNECT || h->method == HTTP1_TRACE))
		return http1_refuse(r, 400, "a body in a CONNECT or TRACE request");
	return HTTP1_DONE;
}

static enum http1_result read_request(struct http1_reading *r)
{
	enum http1_result got = skip_empty_lines(r);
	if (got == HTTP1_DONE) got = take_method(r);
	if (got == HTTP1_DONE) got = take_target(r);
	if (got == HTTP1_DONE) got = take_version(r);
	if (got == HTTP1_DONE) got = split_target(r);
	if (got == HTTP1_DONE) got = http1_fields(r);
	if (got == HTTP1_DONE) got = check_host(r);
	if (got == HTTP1_DONE) got = decide_body(r);
	return got;
}

enum http1_result http1_request(
        struct hg_str p, size_t seen, const struct http1_limits *lim, struct http1_head *ret_head)
{
	struct http1_reading r;
	struct http1_head *h = ret_head;
	if (http1_wait(p, seen, lim)) return HTTP1_MORE;
	http1_begin(&r, p, lim, h, true);
	enum http1_result got = read_request(&r);
	if (got == HTTP1_MORE && p.n >= lim->head_max)
		return http1_refuse(&r, 431, "the head is too long");
	if (got != HTTP1_DONE) return got;
	h->size = (size_t)(r.p - p.p);
	h->keep_alive = !r.close && (h->minor == 1 || r.keep);
	/* RFC 9110 section 10.1.1: ignored in HTTP/1.0, and when no body will follow. */
	h->expect_continue = r.expect && h->minor == 1 && h->body != HTTP1_BODY_NONE;
	/* RFC 9110 section 7.8: ignored in HTTP/1.0. */
	h->upgrade = r.connection_upgrade && r.upgrade_field && h->minor == 1;
	http1_mark_hops(&r);
	return HTTP1_DONE;
}
