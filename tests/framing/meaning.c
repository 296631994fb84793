/*
 * What our parser understands of a stream of messages, for a comparison with another parser's:
 * reads records from stdin (kind 'Q' request, 'R' response to GET, 'H' response to HEAD; four bytes
 * of length, big-endian; the bytes), writes a line for each: how it ended, why, and the messages,
 * all text in hex.
 */
#include "base/buf.h"
#include "wire/http1.h"

#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAX    (1u << 20)
#define MESSAGES_MAX 64

struct stream {
	struct hg_str rest;
	char kind;
	const char *end, *why; /* end: NULL while it goes on */
	struct hg_buf out;
};

static void hex(struct hg_buf *b, struct hg_str s)
{
	static const char digit[] = "0123456789abcdef";
	for (size_t i = 0; i < s.n; i++) {
		hg_buf_byte(b, digit[(unsigned char)s.p[i] >> 4]);
		hg_buf_byte(b, digit[s.p[i] & 15]);
	}
}

static void finish(struct stream *s, const char *end, const char *why)
{
	s->end = end;
	s->why = why;
}

static void head_write(struct stream *s, const struct http1_head *h)
{
	struct hg_buf *b = &s->out;
	hg_buf_byte(b, ' ');
	if (s->kind == 'Q') {
		hex(b, h->method_text);
		hg_buf_byte(b, ':');
		hex(b, h->target);
	} else {
		hg_buf_fmt(b, "%u:", h->status);
		hex(b, h->reason);
	}
	hg_buf_fmt(b, ":%u:", h->minor);
	for (uint16_t i = 0; i < h->field_count; i++) {
		if (i) hg_buf_byte(b, '&');
		hex(b, h->field[i].name);
		hg_buf_byte(b, '=');
		hex(b, h->field[i].value);
	}
	hg_buf_byte(b, ':');
}

static void chunked(struct stream *s)
{
	struct http1_chunked c = {0};
	for (;;) {
		struct http1_span span = http1_chunked_next(&c, s->rest);
		hex(&s->out, span.data);
		s->rest = (struct hg_str){s->rest.p + span.used, s->rest.n - span.used};
		if (span.result == HTTP1_DONE) return;
		if (span.result == HTTP1_BAD) return finish(s, "bad-body", "chunked body");
		if (s->rest.n == 0 && span.data.n == 0) return finish(s, "more-body", "");
	}
}

static void body(struct stream *s, const struct http1_head *h)
{
	size_t n = 0;
	switch (h->body) {
	case HTTP1_BODY_CHUNKED: chunked(s); return;
	case HTTP1_BODY_CLOSE: n = s->rest.n; break;
	case HTTP1_BODY_LENGTH: n = (size_t)HG_MIN((uint64_t)s->rest.n, h->content_length); break;
	case HTTP1_BODY_NONE:
	case HTTP1_BODY_TUNNEL: break;
	}
	hex(&s->out, (struct hg_str){s->rest.p, n});
	s->rest = (struct hg_str){s->rest.p + n, s->rest.n - n};
	if (h->body == HTTP1_BODY_LENGTH && n < h->content_length) finish(s, "more-body", "");
	if (h->body == HTTP1_BODY_CLOSE) finish(s, "close", "");
}

static void message(struct stream *s)
{
	static struct http1_head h;
	const struct http1_limits lim = {INPUT_MAX, INPUT_MAX, HTTP1_FIELDS_MAX};
	enum http1_method to = s->kind == 'H' ? HTTP1_HEAD : HTTP1_GET;
	enum http1_result r = s->kind == 'Q' ? http1_request(s->rest, 0, &lim, &h)
	                                     : http1_response(s->rest, 0, &lim, to, true, &h);
	if (r == HTTP1_MORE) return finish(s, "more", "");
	if (r == HTTP1_BAD) return finish(s, "bad", h.bad);
	s->rest = (struct hg_str){s->rest.p + h.size, s->rest.n - h.size};
	head_write(s, &h);
	body(s, &h);
	if (s->end) return;
	bool tunnel = h.body == HTTP1_BODY_TUNNEL || h.method == HTTP1_CONNECT || h.upgrade;
	if (tunnel) return finish(s, "upgrade", "");
	if (!h.keep_alive) finish(s, "close", "");
}

static void understand(char kind, struct hg_str p)
{
	struct stream s = {.rest = p, .kind = kind};
	hg_buf_init(&s.out, 16u << 20);
	for (int i = 0; i < MESSAGES_MAX && !s.end; i++) {
		if (s.rest.n == 0) finish(&s, "done", "");
		if (!s.end) message(&s);
	}
	printf("%s\t%s\t%.*s\n", s.end ? s.end : "done", s.why ? s.why : "", (int)s.out.n,
	        s.out.n ? hg_buf_view(&s.out).p : "");
	hg_buf_free(&s.out);
}

int main(void)
{
	unsigned char head[5];
	while (fread(head, 1, sizeof head, stdin) == sizeof head) {
		size_t n = (size_t)head[1] << 24 | head[2] << 16 | head[3] << 8 | head[4];
		HG_ASSERT(n <= INPUT_MAX);
		/* Exactly as long as it says, so that sanitizers see a read past the end. */
		char *p = malloc(n ? n : 1);
		HG_ASSERT(p && fread(p, 1, n, stdin) == n);
		understand((char)head[0], (struct hg_str){p, n});
		free(p);
	}
	return 0;
}
