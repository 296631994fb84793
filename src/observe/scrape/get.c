/*
 * One HTTP GET on the loop. The connection is kept for the next one; when a kept connection turns
 * out to be closed before a byte has come back, the request goes out once more on a fresh one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "observe/scrape/scrape_priv.h"
#include "os/clock.h"
#include "wire/proxyproto.h"

#define HEAD_MAX    32768u
#define REQUEST_MAX 16384u
#define CHUNK       SCRAPE_CHUNK
#define HEAD_READ   4096u    /* what stands behind the head may be gzip already */
#define GZIP_READ   2048u    /* becomes 2 MiB at most */
#define TURN_NS     5000000u /* of reading; others on the loop want to go on, too */

/* Prometheus 3's order: OpenMetrics before the text format. */
#define ACCEPT                                                                                    \
	"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"                  \
	"application/openmetrics-text;version=0.0.1;q=0.4,"                                       \
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;" \
	"q=0.1"

struct get_flight {
	struct get *get;
	get_fn fn;
	void *arg;
	const struct place *place;
	struct loop_timer timer;
	uint32_t timeout_ms;
	uint64_t body_max, left; /* `left`: of a body whose length is known */
	int broken;              /* errno of a connection that could not be begun */
	bool connected, reused, heard, head_done, keep, gzip, inflating, unzipped;
	enum http1_body framing;
	struct hg_buf out, in, body;
	size_t out_at, seen;
	struct http1_chunked chunked;
	z_stream z;
	char type[GET_TYPE_MAX];
	char why[SCRAPE_WHY_MAX];
};

static void on_io(struct loop *l, struct loop_io *io, uint32_t events);

void scrape_get_init(struct get *g, struct loop *l, char *chunk)
{
	*g = (struct get){.loop = l, .chunk = chunk, .fd = -1, .io.fd = -1};
}

static void disconnect(struct get *g)
{
	if (g->fd < 0) return;
	loop_io_stop(g->loop, &g->io);
	sock_close(g->fd);
	g->fd = -1;
}

static void flight_free(struct get *g, struct get_flight *f)
{
	if (!f) return;
	loop_timer_stop(g->loop, &f->timer);
	if (f->inflating) (void)inflateEnd(&f->z);
	hg_buf_free(&f->out);
	hg_buf_free(&f->in);
	hg_buf_free(&f->body);
	free(f);
}

void scrape_get_close(struct get *g)
{
	struct get_flight *f = g->flight;
	g->flight = NULL;
	disconnect(g);
	flight_free(g, f);
}

/* The end, good or not. `g` is not touched after the callback: it may be gone. */
static void finish(struct get *g, bool good)
{
	struct get_flight *f = g->flight;
	struct loop *l = g->loop;
	struct get_answer a = {.good = good, .body = good ? &f->body : NULL, .why = f->why};
	struct get none = {.loop = l, .fd = -1};
	(void)hg_str_copy(hg_str(f->type), a.type, sizeof a.type);
	if (!good || !f->keep) disconnect(g);
	g->flight = NULL;
	loop_timer_stop(l, &f->timer);
	f->fn(f->arg, &a);
	flight_free(&none, f);
}

HG_PRINTF(2, 3) static void fail(struct get *g, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(g->flight->why, sizeof g->flight->why, fmt, ap);
	va_end(ap);
	finish(g, false);
}

static void fail_errno(struct get *g, int error)
{
	if (g->flight->connected)
		fail(g, "the connection broke: %s", strerror(error));
	else
		fail(g, "could not connect: %s", strerror(error));
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	struct get_flight *f = HG_CONTAINER(t, struct get_flight, timer);
	(void)l;
	if (f->broken)
		fail_errno(f->get, f->broken);
	else
		fail(f->get, "no %s within %u ms",
		        f->head_done   ? "end of the answer"
		        : f->connected ? "answer"
		                       : "connection",
		        f->timeout_ms);
}

/* ---- connecting and asking ---- */

static bool request_make(struct get_flight *f, bool gzip)
{
	struct hg_buf *b = &f->out;
	char seconds[32];
	size_t n = (size_t)snprintf(
	        seconds, sizeof seconds, "%u.%03u", f->timeout_ms / 1000, f->timeout_ms % 1000);
	while (n > 0 && seconds[n - 1] == '0')
		n--;
	if (n > 0 && seconds[n - 1] == '.') n--;
	hg_buf_fmt(b, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: headgate/" HG_VERSION "\r\n",
	        f->place->target, f->place->host);
	hg_buf_cstr(b, "Accept: " ACCEPT "\r\n");
	if (gzip) hg_buf_cstr(b, "Accept-Encoding: gzip\r\n");
	hg_buf_fmt(b, "X-Prometheus-Scrape-Timeout-Seconds: %.*s\r\n\r\n", (int)n, seconds);
	return !b->failed;
}

/* A fresh connection says first for whom it is: for nobody. */
static bool greet(struct get_flight *f)
{
	char text[PROXYPROTO_SENT];
	struct hg_out o = hg_out_over(text, sizeof text);
	struct proxyproto p = {.version = f->place->proxy};
	struct hg_buf with;
	if (!f->place->proxy) return true;
	proxyproto_write(&p, &o);
	hg_buf_init(&with, REQUEST_MAX + sizeof text);
	hg_buf_str(&with, (struct hg_str){text, o.n});
	hg_buf_str(&with, hg_buf_view(&f->out));
	if (with.failed) {
		hg_buf_free(&with);
		return false;
	}
	hg_buf_free(&f->out);
	f->out = with;
	return true;
}

/* 0, or an errno. */
static int dial(struct get *g)
{
	struct get_flight *f = g->flight;
	int fd = sock_connect(&f->place->addr);
	f->connected = f->reused = false;
	f->out_at = 0;
	if (fd < 0) return -fd;
	if (!greet(f) || loop_io_start(g->loop, &g->io, fd, EPOLLIN | EPOLLOUT, on_io) < 0) {
		sock_close(fd);
		return ENOMEM;
	}
	g->fd = fd;
	return 0;
}

static bool again(struct get *g);

static void send_request(struct get *g)
{
	struct get_flight *f = g->flight;
	while (f->out_at < f->out.n) {
		ssize_t n = sock_write(g->fd,
		        (struct hg_str){f->out.p + f->out_at, f->out.n - f->out_at}, HG_STR(""));
		if (n == -EAGAIN || (n < 0 && again(g))) return;
		if (n < 0) {
			fail_errno(g, (int)-n);
			return;
		}
		f->out_at += (size_t)n;
	}
	if (loop_io_change(g->loop, &g->io, EPOLLIN) < 0) fail_errno(g, ENOMEM);
}

/* Over a kept connection the request goes out at once, as far as the socket takes it. False: the
 * connection is of no use any more. */
static bool send_kept(struct get *g)
{
	struct get_flight *f = g->flight;
	ssize_t n = sock_write(g->fd, hg_buf_view(&f->out), HG_STR(""));
	if (n < 0 && n != -EAGAIN) return false;
	f->out_at = n > 0 ? (size_t)n : 0;
	return f->out_at == f->out.n ||
	       loop_io_change(g->loop, &g->io, EPOLLIN | EPOLLOUT) == HG_OK;
}

enum hg_rc scrape_get_start(struct get *g, const struct get_request *r, get_fn fn, void *arg)
{
	struct get_flight *f = calloc(1, sizeof *f);
	HG_ASSERT(!g->flight);
	if (!f) return HG_E_NOMEM;
	*f = (struct get_flight){.get = g,
	        .fn = fn,
	        .arg = arg,
	        .place = r->place,
	        .timeout_ms = r->timeout_ms,
	        .body_max = r->body_max};
	hg_buf_init(&f->out, REQUEST_MAX);
	hg_buf_init(&f->in, HEAD_MAX + CHUNK); /* the parser has its own limit */
	hg_buf_init(&f->body, r->body_max);
	if (!request_make(f, r->gzip) ||
	        loop_timer_start(g->loop, &f->timer, r->timeout_ms, on_timer) < 0) {
		flight_free(g, f);
		return HG_E_NOMEM;
	}
	g->flight = f;
	f->reused = f->connected = g->fd >= 0;
	if (f->reused && send_kept(g)) return HG_OK;
	f->reused = f->connected = false;
	disconnect(g);
	f->broken = dial(g);
	if (!f->broken) return HG_OK;
	if (loop_timer_start(g->loop, &f->timer, 0, on_timer) == HG_OK) return HG_OK;
	scrape_get_close(g);
	return HG_E_NOMEM;
}

/* ---- the body ---- */

static bool too_large(struct get *g)
{
	fail(g, "the answer has more than %llu bytes (body_size_limit)",
	        (unsigned long long)g->flight->body_max);
	return false;
}

/* Each of these: false when it has failed and was told. */
static bool keep(struct get *g, struct hg_str data)
{
	struct get_flight *f = g->flight;
	if (data.n > f->body_max - f->body.n) return too_large(g);
	hg_buf_str(&f->body, data);
	if (!f->body.failed) return true;
	fail(g, "there is no memory for the answer");
	return false;
}

static bool unzip(struct get *g, struct hg_str data)
{
	struct get_flight *f = g->flight;
	f->z.next_in = (Bytef *)(uintptr_t)data.p;
	f->z.avail_in = (uInt)data.n;
	while (f->z.avail_in) {
		char *out = g->chunk + CHUNK;
		int rc;
		if (f->unzipped && inflateReset(&f->z) != Z_OK) break; /* one more member */
		f->unzipped = false;
		do {
			f->z.next_out = (Bytef *)out;
			f->z.avail_out = CHUNK;
			rc = inflate(&f->z, Z_NO_FLUSH);
			if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
				fail(g, "the answer's gzip is damaged: %s",
				        f->z.msg ? f->z.msg : "no gzip");
				return false;
			}
			if (!keep(g, (struct hg_str){out, CHUNK - f->z.avail_out})) return false;
			f->unzipped = rc == Z_STREAM_END;
		} while (f->z.avail_out == 0 && !f->unzipped);
		if (rc == Z_BUF_ERROR && f->z.avail_in == 0) break;
	}
	return true;
}

static bool take(struct get *g, struct hg_str data)
{
	if (data.n == 0) return true;
	return g->flight->gzip ? unzip(g, data) : keep(g, data);
}

static void complete(struct get *g)
{
	struct get_flight *f = g->flight;
	if (f->gzip && !f->unzipped) /* of nothing, too */
		fail(g, "the answer's gzip ends too early");
	else
		finish(g, true);
}

/* What came of the body. False: it is over, one way or the other, and was told. */
static bool digest(struct get *g, struct hg_str p)
{
	struct get_flight *f = g->flight;
	if (f->framing == HTTP1_BODY_LENGTH) {
		if (p.n > f->left) f->keep = false; /* what follows belongs to nothing */
		p.n = HG_MIN(p.n, f->left);
		f->left -= p.n;
		if (!take(g, p)) return false;
		if (f->left) return true;
		complete(g);
		return false;
	}
	if (f->framing != HTTP1_BODY_CHUNKED) return take(g, p);
	while (p.n) {
		struct http1_span s = http1_chunked_next(&f->chunked, p);
		p = (struct hg_str){p.p + s.used, p.n - s.used};
		if (s.result == HTTP1_BAD) {
			fail(g, "the answer's chunks cannot be read");
			return false;
		}
		if (!take(g, s.data)) return false;
		if (s.result == HTTP1_DONE) {
			f->keep = f->keep && p.n == 0;
			complete(g);
			return false;
		}
		if (s.used == 0) break;
	}
	return true;
}

/* ---- the head ---- */

static bool encoding(struct get *g, const struct http1_head *h)
{
	struct get_flight *f = g->flight;
	const struct http1_field *e = http1_find_name(h, HG_STR("content-encoding"));
	if (!e || e->value.n == 0 || hg_str_eq_nocase(e->value, HG_STR("identity"))) return true;
	if (!hg_str_eq_nocase(e->value, HG_STR("gzip")) &&
	        !hg_str_eq_nocase(e->value, HG_STR("x-gzip"))) {
		fail(g, "the answer is encoded as \"%.*s\", which was not asked for",
		        (int)HG_MIN(e->value.n, (size_t)60), e->value.p);
		return false;
	}
	f->gzip = f->inflating = inflateInit2(&f->z, 16 + MAX_WBITS) == Z_OK;
	if (!f->gzip) fail(g, "there is no memory to unpack the answer");
	return f->gzip;
}

static bool head(struct get *g, const struct http1_head *h)
{
	struct get_flight *f = g->flight;
	const struct http1_field *type = http1_find_name(h, HG_STR("content-type"));
	f->head_done = true;
	f->framing = h->body;
	f->left = h->body == HTTP1_BODY_LENGTH ? h->content_length : 0;
	f->keep = h->keep_alive && h->body != HTTP1_BODY_CLOSE;
	if (h->status != 200) {
		fail(g, "it answered %u %s", h->status,
		        h->status >= 300 && h->status < 400 ? "(redirects are not followed)"
		                                            : http1_reason(h->status));
		return false;
	}
	if (type) {
		struct hg_str v = {type->value.p, HG_MIN(type->value.n, sizeof f->type - 1)};
		(void)hg_str_copy(v, f->type, sizeof f->type);
	}
	if (f->left > f->body_max) return too_large(g);
	if (!encoding(g, h)) return false;
	if (!f->gzip && f->left && !hg_buf_room(&f->body, f->left)) {
		fail(g, "there is no memory for the answer");
		return false;
	}
	if (f->framing != HTTP1_BODY_NONE) return true;
	complete(g);
	return false;
}

/* Bytes while the head is not complete. False: it is over and was told. */
static bool digest_head(struct get *g, struct hg_str p)
{
	struct get_flight *f = g->flight;
	struct http1_head h;
	struct hg_str rest;
	hg_buf_str(&f->in, p);
	for (;;) {
		enum http1_result r =
		        f->in.failed ? HTTP1_BAD
		                     : http1_response(hg_buf_view(&f->in), f->seen,
		                               &HTTP1_LIMITS_DEFAULT, HTTP1_GET, false, &h);
		if (r == HTTP1_MORE) {
			f->seen = f->in.n;
			return true;
		}
		if (r == HTTP1_BAD) {
			fail(g, "the answer is no HTTP: %s",
			        f->in.failed ? "its head does not end"
			        : h.bad      ? h.bad
			                     : "its head is malformed");
			return false;
		}
		if (h.status >= 200) break;
		hg_buf_drop(&f->in, h.size); /* 1xx: the answer follows */
		f->seen = 0;
	}
	if (!head(g, &h)) return false;
	rest = (struct hg_str){f->in.p + h.size, f->in.n - h.size};
	return rest.n == 0 || digest(g, rest);
}

/* ---- events ---- */

static void ended(struct get *g)
{
	if (g->flight->head_done && g->flight->framing == HTTP1_BODY_CLOSE)
		complete(g);
	else
		fail(g, "the connection was closed before the end of the answer");
}

/* Nothing came back over a connection that was kept: it was closed meanwhile. True: tried again. */
static bool again(struct get *g)
{
	struct get_flight *f = g->flight;
	int error;
	if (!f->reused || f->heard) return false;
	disconnect(g);
	error = dial(g);
	if (error) fail_errno(g, error);
	return true;
}

/* A body of known length, as it is, goes where it belongs at once. False: over, and told. */
static ssize_t read_straight(struct get *g, size_t *ret_want)
{
	struct get_flight *f = g->flight;
	size_t want = HG_MIN(f->left, (uint64_t)(16 * CHUNK));
	char *to = hg_buf_room(&f->body, want); /* the room was made with the head */
	*ret_want = want;
	return to ? sock_read(g->fd, to, want) : -ENOMEM;
}

static void readable(struct get *g)
{
	uint64_t until = clock_mono_ns() + TURN_NS;
	do {
		char *chunk = g->chunk;
		struct get_flight *f = g->flight;
		bool straight =
		        f->head_done && f->framing == HTTP1_BODY_LENGTH && !f->gzip && f->left;
		size_t want = !f->head_done ? HEAD_READ : f->gzip ? GZIP_READ : CHUNK;
		ssize_t n = straight ? read_straight(g, &want) : sock_read(g->fd, chunk, want);
		if (n == -EAGAIN) return;
		if (n <= 0 && again(g)) return;
		if (n < 0) {
			fail_errno(g, (int)-n);
			return;
		}
		if (n == 0) {
			ended(g);
			return;
		}
		f->heard = true;
		if (straight) {
			hg_buf_add(&f->body, (size_t)n);
			f->left -= (uint64_t)n;
			if (f->left) continue;
			complete(g);
			return;
		}
		struct hg_str p = {chunk, (size_t)n};
		if (!(f->head_done ? digest(g, p) : digest_head(g, p))) return;
	} while (clock_mono_ns() < until);
}

static void on_io(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct get *g = HG_CONTAINER(io, struct get, io);
	(void)l;
	if (!g->flight) { /* closed, or talking without being asked */
		disconnect(g);
		return;
	}
	if (!g->flight->connected && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		int error = sock_error(g->fd);
		if (error) {
			fail_errno(g, error);
			return;
		}
		g->flight->connected = true;
	}
	if (g->flight->connected && g->flight->out_at < g->flight->out.n) {
		if (events & (EPOLLERR | EPOLLHUP) && again(g)) return;
		send_request(g);
		return; /* what there is to read is told again */
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) readable(g);
}
