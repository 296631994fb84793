#include "serve/serve_priv.h"

#include "base/err.h"
#include "os/clock.h"
#include "wire/json.h"
#include "wire/url.h"

#define PROBLEM_DETAIL 2048u
#define PROBLEM_MAX    (PROBLEM_DETAIL * 6 + 1024) /* every byte may become six */

static struct serve_call *active(struct serve_call *c)
{
	c = HG_OBJ(c, struct serve_call, CALL_MAGIC);
	HG_ASSERT(c->state == CONN_BUSY);
	return c;
}

static bool of_framing(struct hg_str name)
{
	static const char *const ours[] = {
	        "Content-Length", "Transfer-Encoding", "Connection", "Date", "Server"};
	for (size_t i = 0; i < HG_COUNT(ours); i++) {
		if (hg_str_eq_nocase(name, hg_str(ours[i]))) return true;
	}
	return false;
}

void serve_field(struct serve_call *c, const char *name, struct hg_str value)
{
	active(c);
	HG_ASSERT(!c->streaming && !of_framing(hg_str(name)));
	hg_buf_cstr(&c->room->fields, name);
	hg_buf_str(&c->room->fields, HG_STR(": "));
	char *to = hg_buf_room(&c->room->fields, value.n);
	if (!to) return;
	/* A line end in a value would let its author write fields and bodies of his own. */
	for (size_t i = 0; i < value.n; i++) {
		unsigned char b = (unsigned char)value.p[i];
		to[i] = (b < 0x20 && b != '\t') || b == 0x7f ? ' ' : (char)b;
	}
	hg_buf_add(&c->room->fields, value.n);
	hg_buf_str(&c->room->fields, HG_STR("\r\n"));
}

void serve_note(struct serve_call *c, int64_t first, int64_t second)
{
	active(c);
	c->req.note[0] = first;
	c->req.note[1] = second;
}

static const char *date_now(struct serve *s)
{
	uint64_t now = loop_now_ns(s->l);
	if (now < s->date_until_ns) return s->date;
	uint64_t second = clock_wall_ms() / 1000;
	if (second != s->date_s) date_http(second, s->date);
	s->date_s = second;
	s->date_until_ns = now + 50 * CLOCK_NS_PER_MS;
	return s->date;
}

static bool no_content(unsigned status)
{
	return status < 200 || status == 204 || status == 304;
}

/* Status line and fields. `length` is ignored for streams. */
static void write_head(struct serve_call *c, unsigned status, const char *type, uint64_t length)
{
	struct hg_buf *o = &c->room->out;
	HG_ASSERT(status >= 200 && status <= 599);
	if (c->s->draining) c->keep = false;
	c->status = status;
	if (status == 200) {
		hg_buf_str(o, HG_STR("HTTP/1.1 200 OK\r\nDate: "));
	} else {
		hg_buf_str(o, HG_STR("HTTP/1.1 "));
		hg_buf_u64(o, status);
		hg_buf_byte(o, ' ');
		hg_buf_cstr(o, http1_reason(status));
		hg_buf_str(o, HG_STR("\r\nDate: "));
	}
	hg_buf_str(o, (struct hg_str){date_now(c->s), DATE_HTTP_SIZE - 1});
	if (c->s->o.name) {
		hg_buf_str(o, HG_STR("\r\nServer: "));
		hg_buf_cstr(o, c->s->o.name);
	}
	hg_buf_str(o, HG_STR("\r\n"));
	if (type) {
		hg_buf_str(o, HG_STR("Content-Type: "));
		hg_buf_cstr(o, type);
		hg_buf_str(o, HG_STR("\r\n"));
	}
	hg_buf_str(o, hg_buf_view(&c->room->fields));
	if (c->stream_chunked) {
		hg_buf_str(o, HG_STR("Transfer-Encoding: chunked\r\n"));
	} else if (!c->streaming && !no_content(status)) {
		hg_buf_str(o, HG_STR("Content-Length: "));
		hg_buf_u64(o, length);
		hg_buf_str(o, HG_STR("\r\n"));
	}
	if (!c->keep) {
		hg_buf_str(o, HG_STR("Connection: close\r\n"));
	} else if (c->room->head.minor == 0) {
		hg_buf_str(o, HG_STR("Connection: keep-alive\r\n"));
	}
	hg_buf_str(o, HG_STR("\r\n"));
}

/* A large body is written from where it lies; what the socket does not take is copied. */
static void write_body(struct serve_call *c, struct hg_str body)
{
	if (body.n >= BATCH_BYTES && !c->room->out.failed && !c->broken) {
		size_t pending = conn_pending(c);
		ssize_t n = sock_write(
		        c->io.fd, (struct hg_str){c->room->out.p + c->out_at, pending}, body);
		if (n > 0 && (size_t)n < pending) {
			c->out_at += (size_t)n;
		} else if (n > 0) {
			hg_buf_reset(&c->room->out);
			c->out_at = 0;
			body.p += (size_t)n - pending;
			body.n -= (size_t)n - pending;
		}
	}
	hg_buf_str(&c->room->out, body);
}

static void over(struct serve_call *c)
{
	if (c->room->out.failed) c->broken = true;
	c->waiting = false;
	conn_move(c, CONN_FLUSH);
	conn_run_later(c);
}

static void write_answer(
        struct serve_call *c, unsigned status, const char *type, struct hg_str body)
{
	size_t before = conn_pending(c);
	bool mute = c->room->head.method == HTTP1_HEAD || no_content(status);
	write_head(c, status, type, body.n);
	c->sent_bytes += conn_pending(c) - before + (mute ? 0 : body.n);
	if (!mute) write_body(c, body);
}

void serve_answer(
        struct serve_call *c, unsigned status, const char *content_type, struct hg_str body)
{
	active(c);
	HG_ASSERT(!c->streaming);
	if (c->room->fields.failed) {
		answer_error(c, 500, "too many response fields");
		conn_run_later(c);
		return;
	}
	write_answer(c, status, content_type, body);
	over(c);
}

void answer_error(struct serve_call *c, unsigned status, const char *what)
{
	struct hg_buf body;
	const char *type = "text/plain; charset=utf-8";
	const struct serve_options *o = &c->s->o;
	hg_buf_init(&body, 64u << 10);
	hg_buf_reset(&c->room->fields);
	c->keep = false;
	c->linger = true;
	if (o->error_body) {
		o->error_body(o->arg, status, what, &body, &type);
	} else {
		hg_buf_fmt(&body, "%u %s: %s\n", status, http1_reason(status), what);
	}
	struct hg_str text = body.failed ? (struct hg_str){0} : hg_buf_view(&body);
	write_answer(c, status, type, text);
	hg_buf_free(&body);
	if (c->room->out.failed) c->broken = true;
	c->waiting = false;
	conn_move(c, CONN_FLUSH);
}

void serve_abort(struct serve_call *c)
{
	active(c);
	c->broken = true;
	c->waiting = false;
	c->status = 0;
	conn_run_later(c);
}

void serve_later(struct serve_call *c, void (*gone)(void *arg), void *arg)
{
	active(c);
	HG_ASSERT(!c->streaming);
	c->later = c->waiting = true;
	c->gone = gone;
	c->arg = arg;
}

void serve_stream(struct serve_call *c, unsigned status, const char *content_type,
        void (*writable)(void *arg), void (*gone)(void *arg), void *arg)
{
	active(c);
	HG_ASSERT(!c->streaming);
	c->streaming = c->waiting = true;
	c->writable = writable;
	c->gone = gone;
	c->arg = arg;
	c->mute = c->room->head.method == HTTP1_HEAD || no_content(status);
	c->stream_chunked = c->room->head.minor == 1 && !no_content(status);
	/* Without chunks only the end of the connection ends the body. */
	if (!c->stream_chunked && !c->mute) c->keep = false;
	size_t before = conn_pending(c);
	write_head(c, status, content_type, 0);
	c->sent_bytes += conn_pending(c) - before;
	if (c->room->fields.failed || c->room->out.failed) c->broken = true;
	conn_run_later(c);
}

bool serve_write(struct serve_call *c, struct hg_str bytes)
{
	active(c);
	HG_ASSERT(c->streaming);
	if (c->broken) return false;
	if (bytes.n && !c->mute) {
		size_t before = conn_pending(c);
		if (c->stream_chunked) hg_buf_fmt(&c->room->out, "%zx\r\n", bytes.n);
		hg_buf_str(&c->room->out, bytes);
		if (c->stream_chunked) hg_buf_str(&c->room->out, HG_STR("\r\n"));
		c->sent_bytes += conn_pending(c) - before;
	}
	if (c->room->out.failed) c->broken = true;
	if (conn_pending(c) > STREAM_LOW && !c->broken) conn_flush(c);
	conn_run_later(c);
	if (!c->broken && conn_pending(c) <= STREAM_HIGH) return true;
	c->want_writable = true;
	return false;
}

void serve_problem(struct serve_call *c, unsigned status, enum hg_rc rc, const char *detail)
{
	struct hg_buf text;
	struct json_out j;
	hg_buf_init(&text, PROBLEM_MAX);
	json_out_init(&j, &text);
	json_out_object(&j);
	json_out_key(&j, "type");
	json_out_cstr(&j, "about:blank");
	json_out_key(&j, "title");
	json_out_cstr(&j, http1_reason(status));
	json_out_key(&j, "status");
	json_out_u64(&j, status);
	json_out_key(&j, "code");
	json_out_cstr(&j, hg_rc_info(rc)->code);
	json_out_key(&j, "detail");
	size_t n = strlen(detail);
	json_out_str(&j, (struct hg_str){detail, HG_MIN(n, (size_t)PROBLEM_DETAIL)});
	json_out_end(&j);
	hg_buf_byte(&text, '\n');
	bool ok = json_out_ok(&j);
	serve_answer(
	        c, status, "application/problem+json", ok ? hg_buf_view(&text) : HG_STR("{}\n"));
	hg_buf_free(&text);
}

void serve_end(struct serve_call *c)
{
	active(c);
	HG_ASSERT(c->streaming);
	if (c->stream_chunked && !c->mute) {
		hg_buf_str(&c->room->out, HG_STR("0\r\n\r\n"));
		c->sent_bytes += 5;
	}
	c->want_writable = false;
	over(c);
}

bool serve_query(struct hg_str query, const char *name, char *to, size_t cap)
{
	struct hg_str value;
	size_t n;
	if (cap == 0 || !url_query_find(query, hg_str(name), &value)) return false;
	if (!url_decode(value, true, to, cap - 1, &n)) return false;
	to[n] = 0;
	return true;
}
