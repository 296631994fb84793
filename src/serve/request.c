#include "serve/serve_priv.h"

#include "wire/url.h"

static struct hg_str received(const struct serve_call *c)
{
	return (struct hg_str){c->room->in.p + c->in_at, c->room->in.n - c->in_at};
}

/* Nothing is known of the request that is being refused. */
static void forget_head(struct serve_call *c)
{
	memset(&c->room->head, 0, offsetof(struct http1_head, field));
	c->room->head.minor = 1;
}

/* The head points into `in`, which may have moved while the body came. */
static void refresh_head(struct serve_call *c)
{
	if (c->head_base == c->room->in.p) return;
	enum http1_result got = http1_request(received(c), 0, &c->s->lim, &c->room->head);
	HG_ASSERT(got == HTTP1_DONE);
	c->head_base = c->room->in.p;
}

static void refuse(struct serve_call *c, unsigned status, const char *what)
{
	refresh_head(c);
	c->req.path = c->room->head.path;
	c->req.query = c->room->head.query;
	answer_error(c, status, what);
}

static void begin_call(struct serve_call *c)
{
	c->later = c->streaming = c->stream_chunked = c->want_writable = c->mute = false;
	c->waiting = c->told = false;
	c->keep = c->room->head.keep_alive && !c->s->draining;
	c->status = 0;
	c->sent_bytes = 0;
	hg_buf_reset(&c->room->fields);
	c->requests++;
	c->body_n = 0;
	c->req.method = c->room->head.method;
	c->req.path = c->req.query = c->req.body = (struct hg_str){0};
	c->req.id = ++c->s->calls;
	c->req.note[0] = c->req.note[1] = 0;
}

/* A refused head is only partly read: nothing of it is shown to `done`. */
static void refuse_head(struct serve_call *c, unsigned status, const char *why)
{
	forget_head(c);
	begin_call(c);
	answer_error(c, status, why);
}

void request_late(struct serve_call *c)
{
	if (c->state == CONN_HEAD) {
		refuse_head(c, 408, "the request did not arrive in time");
	} else {
		refuse(c, 408, "the body did not arrive in time");
	}
}

bool request_head(struct serve_call *c)
{
	struct hg_str p = received(c);
	if (p.n == 0) return false;
	if (c->seen == 0) c->req.started_ns = loop_now_ns(c->s->l);
	enum http1_result got = http1_request(p, c->seen, &c->s->lim, &c->room->head);
	c->seen = p.n;
	if (got == HTTP1_MORE) return false;
	c->head_base = c->room->in.p;
	if (got == HTTP1_BAD) {
		refuse_head(c, c->room->head.status, c->room->head.bad);
		return true;
	}
	begin_call(c);
	c->raw_at = c->in_at + c->room->head.size;
	c->chunked = (struct http1_chunked){0};
	conn_move(c, CONN_BODY);
	if (c->room->head.method == HTTP1_CONNECT) {
		refuse(c, 501, "CONNECT is not served here");
	} else if (c->room->head.body == HTTP1_BODY_LENGTH &&
	           c->room->head.content_length > c->s->o.body_max) {
		refuse(c, 413, "the body is too large");
	} else if (c->room->head.expect_continue && c->raw_at == c->room->in.n) {
		hg_buf_str(&c->room->out, HG_STR("HTTP/1.1 100 Continue\r\n\r\n"));
		conn_flush(c);
	}
	return true;
}

/* Moves the payload of the chunks down, behind the head. True when something was decided. */
static bool take_chunks(struct serve_call *c)
{
	size_t body_at = c->in_at + c->room->head.size;
	for (;;) {
		struct http1_span span = http1_chunked_next(&c->chunked,
		        (struct hg_str){c->room->in.p + c->raw_at, c->room->in.n - c->raw_at});
		if (span.result == HTTP1_BAD) {
			refuse(c, 400, "malformed chunked body");
			return true;
		}
		if (span.data.n > c->s->o.body_max - c->body_n) {
			refuse(c, 413, "the body is too large");
			return true;
		}
		if (span.data.n)
			memmove(c->room->in.p + body_at + c->body_n, span.data.p, span.data.n);
		c->body_n += span.data.n;
		c->raw_at += span.used;
		if (span.result == HTTP1_DONE) return true;
		if (c->raw_at < c->room->in.n) continue;
		/* All is decoded: the room of the framing is used again. */
		c->room->in.n = c->raw_at = body_at + c->body_n;
		return false;
	}
}

bool request_body(struct serve_call *c)
{
	size_t have = c->room->in.n - c->raw_at;
	if (c->room->head.body == HTTP1_BODY_CHUNKED) {
		if (!take_chunks(c)) return false;
		if (c->state != CONN_BODY) return true;
	} else if (c->room->head.body == HTTP1_BODY_LENGTH) {
		if (have < c->room->head.content_length) return false;
		c->body_n = (size_t)c->room->head.content_length;
		c->raw_at += c->body_n;
	}
	request_dispatch(c);
	return true;
}

/* The path as programs compare it. Most need no work. */
static bool decode_path(struct serve_call *c)
{
	struct hg_str raw = c->room->head.path;
	bool plain = !memchr(raw.p, '%', raw.n) && !memmem(raw.p, raw.n, "/.", 2);
	c->req.path = raw;
	if (plain) return true;
	hg_buf_reset(&c->room->path);
	char *to = hg_buf_room(&c->room->path, raw.n);
	return to && url_path(raw, to, raw.n, &c->req.path);
}

void request_dispatch(struct serve_call *c)
{
	struct serve_request *req = &c->req;
	refresh_head(c);
	req->query = c->room->head.query;
	req->body = (struct hg_str){c->room->in.p + c->in_at + c->room->head.size, c->body_n};
	if (!decode_path(c)) {
		refuse(c, 400, "malformed path");
		return;
	}
	conn_move(c, CONN_BUSY);
	c->s->o.handle(c->s->o.arg, c, req);
	if (c->state == CONN_BUSY && !c->later && !c->streaming && !c->broken)
		answer_error(c, 500, "the handler gave no answer");
}
