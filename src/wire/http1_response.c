#include "wire/http1_priv.h"

/* "HTTP/1.1 200 OK"; servers that leave out the space before an empty reason are understood. */
static enum http1_result take_status(struct http1_reading *r)
{
	static const char want[] = "HTTP/1.";
	struct http1_head *h = r->head;
	const char *p = r->p;
	size_t n = (size_t)(r->end - p);
	for (size_t i = 0; i < HG_MIN(n, (size_t)7); i++) {
		if (p[i] != want[i]) return http1_refuse_byte(r, p[i], "malformed HTTP version");
	}
	if (n < 13) {
		/* The shortest status line has 14 bytes with its CR LF. */
		const char *lf = n ? memchr(p, '\n', n) : NULL;
		return lf ? http1_refuse(r, 502, "malformed status line") : HTTP1_MORE;
	}
	if (p[7] != '0' && p[7] != '1')
		return http1_refuse_byte(r, p[7], "an HTTP version other than 1.0 and 1.1");
	if (p[8] != ' ') return http1_refuse_byte(r, p[8], "malformed status line");
	unsigned status = 0;
	for (size_t i = 9; i < 12; i++) {
		if (!http1_is(p[i], HTTP1_C_DIGIT))
			return http1_refuse_byte(r, p[i], "malformed status code");
		status = status * 10 + (unsigned)(p[i] - '0');
	}
	if (status < 100) return http1_refuse(r, 502, "malformed status code");
	r->p = p + 12;
	if (*r->p == ' ') {
		r->p++;
		const char *from = r->p;
		r->p = http1_value_end(from, r->end);
		h->reason = (struct hg_str){from, (size_t)(r->p - from)};
	}
	enum http1_result got = http1_crlf(r, "control byte in the status line");
	if (got != HTTP1_DONE) return got;
	h->minor = (uint8_t)(p[7] - '0');
	h->status = (uint16_t)status;
	return HTTP1_DONE;
}

/* RFC 9112 section 6.3, in its order. */
static enum http1_result decide_body(
        struct http1_reading *r, enum http1_method to, bool upgrade_asked)
{
	struct http1_head *h = r->head;
	bool interim = h->status < 200;
	if (r->chunked && r->length)
		return http1_refuse(r, 502, "Content-Length with Transfer-Encoding");
	if (r->chunked && (interim || h->status == 204))
		return http1_refuse(r, 502, "Transfer-Encoding where no body may be");
	if (h->status == 101) {
		if (!upgrade_asked) return http1_refuse(r, 502, "an upgrade nobody asked for");
		h->body = HTTP1_BODY_TUNNEL;
	} else if (to == HTTP1_CONNECT && h->status >= 200 && h->status < 300) {
		h->body = HTTP1_BODY_TUNNEL;
	} else if (to == HTTP1_HEAD || interim || h->status == 204 || h->status == 304) {
		h->body = HTTP1_BODY_NONE;
	} else if (r->chunked) {
		h->body = HTTP1_BODY_CHUNKED;
	} else if (h->has_content_length) {
		h->body = h->content_length ? HTTP1_BODY_LENGTH : HTTP1_BODY_NONE;
	} else {
		h->body = HTTP1_BODY_CLOSE;
	}
	return HTTP1_DONE;
}

enum http1_result http1_response(struct hg_str p, size_t seen, const struct http1_limits *lim,
        enum http1_method to, bool upgrade_asked, struct http1_head *ret_head)
{
	struct http1_reading r;
	struct http1_head *h = ret_head;
	if (http1_wait(p, seen, lim)) return HTTP1_MORE;
	http1_begin(&r, p, lim, h, false);
	enum http1_result got = take_status(&r);
	if (got == HTTP1_DONE) got = http1_fields(&r);
	if (got == HTTP1_DONE) got = decide_body(&r, to, upgrade_asked);
	if (got == HTTP1_MORE && p.n >= lim->head_max)
		return http1_refuse(&r, 502, "the head is too long");
	if (got != HTTP1_DONE) return got;
	h->size = (size_t)(r.p - p.p);
	bool until_close = h->body == HTTP1_BODY_CLOSE || h->body == HTTP1_BODY_TUNNEL;
	h->keep_alive = !until_close && !r.close && (h->minor == 1 || r.keep);
	h->upgrade = r.connection_upgrade && r.upgrade_field && h->minor == 1;
	http1_mark_hops(&r);
	return HTTP1_DONE;
}
