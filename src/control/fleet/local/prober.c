#include "control/fleet/local/prober_h2.h"
#include "control/fleet/local/prober_priv.h"
#include "wire/http1.h"
#include "wire/proxyproto.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROBER_MAGIC 0x9a0be001u

struct prober {
	uint32_t magic;
	struct loop *loop;
	struct loop_io io;
	struct loop_timer timer;
	struct loop_timer now; /* outcome known before the loop turned */
	int fd;
	bool connected, greeted, sent, head_done, closed;
	struct tls_remote *remote; /* a reference; NULL: plain */
	struct tls *tls;           /* NULL: plain, or not begun */
	size_t clear_n;            /* bytes of `out` that go before TLS */
	prober_fn fn;
	void *arg;
	uint32_t timeout_ms, body_max;
	struct hg_buf out, in, body;
	size_t out_at, seen, in_at;
	struct http1_head *head;
	struct http1_chunked chunked;
	struct prober_result early;
	struct prober_h2 *h2; /* NULL: HTTP/1.1 */
	unsigned h2_status;
	char why[160];
};

void prober_stop(struct prober *p)
{
	if (!p) return;
	loop_timer_stop(p->loop, &p->timer);
	loop_timer_stop(p->loop, &p->now);
	tls_free(p->tls);
	tls_remote_unref(p->remote);
	if (p->fd >= 0) {
		loop_io_stop(p->loop, &p->io);
		(void)close(p->fd);
	}
	hg_buf_free(&p->out);
	hg_buf_free(&p->in);
	hg_buf_free(&p->body);
	free(p->head);
	prober_h2_free(p->h2);
	p->magic = 0;
	free(p);
}

static void finish(struct prober *p, enum probe_outcome outcome)
{
	struct prober_result r = {
	        .outcome = outcome,
	        .status = p->h2          ? p->h2_status
	                  : p->head_done ? p->head->status
	                                 : 0,
	        .why = p->why,
	        .body = hg_buf_view(&p->body),
	};
	/* The callee may free the prober: nothing of it is touched afterwards. */
	p->fn(p->arg, &r);
}

static void fail(struct prober *p, int error)
{
	bool refused = !p->connected && (error == ECONNREFUSED || error == ENOENT);
	(void)snprintf(p->why, sizeof p->why, "%s: %s",
	        p->connected ? "connection broke" : "could not connect", strerror(error));
	finish(p, refused ? PROBE_REFUSED : PROBE_FAILED);
}

static void fail_tls(struct prober *p)
{
	(void)snprintf(p->why, sizeof p->why, "TLS failed: %s", tls_remote_why(p->tls));
	finish(p, PROBE_FAILED);
}

static void on_timeout(struct loop *l, struct loop_timer *t)
{
	struct prober *p = HG_CONTAINER(t, struct prober, timer);
	(void)l;
	(void)snprintf(p->why, sizeof p->why, "no %s within %u ms",
	        p->tls && !p->greeted ? "end of the TLS handshake"
	        : p->connected        ? "answer"
	                              : "connection",
	        p->timeout_ms);
	finish(p, PROBE_FAILED);
}

static void on_now(struct loop *l, struct loop_timer *t)
{
	struct prober *p = HG_CONTAINER(t, struct prober, now);
	(void)l;
	finish(p, p->early.outcome);
}

static void judge(struct prober *p)
{
	unsigned status = p->head->status;
	(void)snprintf(p->why, sizeof p->why, "answered %u %s", status, http1_reason(status));
	finish(p, status >= 200 && status < 400 ? PROBE_OK : PROBE_FAILED);
}

/* True when all of the body that is wanted is there. */
static bool take_body(struct prober *p)
{
	if (p->body_max == 0 || p->head->body == HTTP1_BODY_NONE) return true;
	struct hg_str rest = {p->in.p + p->in_at, p->in.n - p->in_at};
	bool chunked = p->head->body == HTTP1_BODY_CHUNKED;
	while (rest.n > 0) {
		struct hg_str data = rest;
		size_t used = rest.n;
		bool last = false;
		if (chunked) {
			struct http1_span s = http1_chunked_next(&p->chunked, rest);
			data = s.data;
			used = s.used;
			last = s.result != HTTP1_MORE;
			if (used == 0 && !last) break;
		}
		if (data.n > p->body_max - p->body.n) data.n = p->body_max - p->body.n;
		hg_buf_str(&p->body, data);
		p->in_at += used;
		rest = (struct hg_str){rest.p + used, rest.n - used};
		if (last || p->body.failed || p->body.n >= p->body_max) return true;
	}
	hg_buf_drop(&p->in, p->in_at);
	p->in_at = 0;
	return p->head->body == HTTP1_BODY_LENGTH && p->body.n >= p->head->content_length;
}

/* As the system calls say it: -1 and errno; by TLS, EPROTO is for fail_tls. */
static ssize_t bytes_read(struct prober *p, char *to, size_t cap)
{
	if (!p->tls) return read(p->fd, to, cap);
	ssize_t n = tls_read(p->tls, to, cap);
	if (n >= 0) return n;
	errno = (int)-n;
	return -1;
}

static ssize_t bytes_send(struct prober *p)
{
	size_t n = p->out.n - p->out_at;
	bool clear = p->out_at < p->clear_n;
	if (clear) n = p->clear_n - p->out_at;
	if (!p->remote || clear) return send(p->fd, p->out.p + p->out_at, n, MSG_NOSIGNAL);
	struct iovec v = {p->out.p + p->out_at, n};
	ssize_t k = tls_write(p->tls, &v, 1);
	if (k >= 0) return k;
	errno = (int)-k;
	return -1;
}

/* True when it called back. */
static bool digest_h2(struct prober *p)
{
	hg_buf_drop(&p->out, p->out.n);
	enum prober_h2_result r = prober_h2_take(
	        p->h2, hg_buf_view(&p->in), &p->out, &p->h2_status, p->why, sizeof p->why);
	hg_buf_drop(&p->in, p->in.n);
	if (r != PROBER_H2_MORE) {
		finish(p, r == PROBER_H2_GOOD ? PROBE_OK : PROBE_FAILED);
		return true;
	}
	/* Acknowledgements: a socket takes so few bytes at once; without them the probe fails. */
	p->out_at = p->clear_n = 0;
	if (p->out.n) (void)bytes_send(p);
	return false;
}

/* True when it called back. */
static bool digest(struct prober *p)
{
	if (p->h2) return digest_h2(p);
	while (!p->head_done) {
		enum http1_result res = http1_response(hg_buf_view(&p->in), p->seen,
		        &HTTP1_LIMITS_DEFAULT, HTTP1_GET, false, p->head);
		p->seen = p->in.n;
		if (res == HTTP1_BAD || (res == HTTP1_MORE && p->in.n >= PROBER_HEAD_MAX)) {
			(void)snprintf(p->why, sizeof p->why, "the answer is not HTTP: %s",
			        res == HTTP1_BAD && p->head->bad ? p->head->bad : "no end of head");
			finish(p, PROBE_FAILED);
			return true;
		}
		if (res == HTTP1_MORE) return false;
		if (p->head->status >= 200) {
			p->in_at = p->head->size;
			p->head_done = true;
			break;
		}
		hg_buf_drop(&p->in, p->head->size); /* 1xx: the answer follows */
		p->seen = 0;
	}
	if (!take_body(p)) return false;
	judge(p);
	return true;
}

static void on_readable(struct prober *p)
{
	for (;;) {
		char *room = hg_buf_room(&p->in, 4096);
		if (!room) {
			(void)snprintf(p->why, sizeof p->why, "the answer is too long");
			finish(p, PROBE_FAILED);
			return;
		}
		ssize_t n = bytes_read(p, room, 4096);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && errno == EAGAIN) return;
		if (n < 0 && errno == EPROTO && p->tls) {
			fail_tls(p);
			return;
		}
		if (n < 0) {
			fail(p, errno);
			return;
		}
		if (n == 0) {
			if (p->head_done && p->head->body == HTTP1_BODY_CLOSE) {
				judge(p);
				return;
			}
			(void)snprintf(p->why, sizeof p->why, "closed without an answer");
			finish(p, PROBE_FAILED);
			return;
		}
		hg_buf_add(&p->in, (size_t)n);
		if (digest(p)) return;
	}
}

/* True when the handshake is over; else it waits, or it has failed and called back. */
static bool greet(struct prober *p, uint32_t events)
{
	bool first = !p->tls;
	const char *alpn = p->h2 ? "\x02h2" : "\x08http/1.1";
	if (first) p->tls = tls_remote_open(p->remote, p->fd, NULL, alpn);
	if (!p->tls) {
		fail(p, ENOMEM);
		return false;
	}
	if (!first) tls_ready(p->tls, events & ~(uint32_t)EPOLLOUT, events & EPOLLOUT);
	int r = p->greeted ? 0 : tls_handshake(p->tls);
	p->greeted = r == 0;
	if (r == 0) return true;
	/* Writable it nearly always is: only what comes is waited for. */
	if (r == -EAGAIN && loop_io_change(p->loop, &p->io, EPOLLIN) == HG_OK) return false;
	fail_tls(p);
	return false;
}

static void on_event(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct prober *p = HG_CONTAINER(io, struct prober, io);
	HG_ASSERT(p->magic == PROBER_MAGIC);
	if (!p->connected) {
		int error = sock_error(p->fd);
		if (error) {
			fail(p, error);
			return;
		}
		if (!(events & EPOLLOUT)) return;
		p->connected = true;
		if (p->out.n == 0) {
			(void)snprintf(p->why, sizeof p->why, "connected");
			finish(p, PROBE_OK);
			return;
		}
	}
	while (!p->sent) {
		if (p->remote && p->out_at >= p->clear_n && !greet(p, events)) return;
		ssize_t n = bytes_send(p);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && errno == EAGAIN) break;
		if (n < 0) {
			fail(p, errno);
			return;
		}
		p->out_at += (size_t)n;
		p->sent = p->out_at == p->out.n;
		if (p->sent && loop_io_change(l, io, EPOLLIN) < 0) {
			fail(p, ENOMEM);
			return;
		}
	}
	if (p->sent && p->tls && !greet(p, events)) return;
	if (p->sent && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) on_readable(p);
}

static bool compose(struct prober *p, const struct prober_target *t)
{
	char host[SOCK_TEXT_MAX], first[PROXYPROTO_SENT];
	if (t->proxy) { /* we come for ourselves */
		struct hg_out o = hg_out_over(first, sizeof first);
		proxyproto_write(&(struct proxyproto){.version = (uint8_t)t->proxy}, &o);
		hg_buf_str(&p->out, (struct hg_str){first, o.n});
		p->clear_n = o.n;
	}
	if (t->addr->sa.sa_family == AF_UNIX)
		(void)snprintf(host, sizeof host, "localhost");
	else
		(void)sock_addr_text(t->addr, host, sizeof host);
	if (t->http2) {
		struct prober_h2_ask ask = {host, t->path, t->service};
		p->h2 = prober_h2_new(&ask, &p->out);
		return p->h2 != NULL;
	}
	hg_buf_fmt(&p->out,
	        "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: headgate-probe\r\n"
	        "Accept: */*\r\n%sConnection: close\r\n\r\n",
	        t->put ? "PUT" : "GET", t->path, host, t->put ? "Content-Length: 0\r\n" : "");
	return true;
}

enum hg_rc prober_start(struct loop *loop, const struct prober_target *t, prober_fn fn, void *arg,
        struct prober **ret_prober)
{
	struct prober *p = calloc(1, sizeof *p);
	if (!p) return HG_E_NOMEM;
	*p = (struct prober){.magic = PROBER_MAGIC,
	        .loop = loop,
	        .fd = -1,
	        .fn = fn,
	        .arg = arg,
	        .timeout_ms = t->timeout_ms,
	        .body_max = t->body_max,
	        .remote = t->remote && (t->path || t->service) ? tls_remote_ref(t->remote) : NULL};
	hg_buf_init(&p->out, PROBER_PATH_MAX + 512 + PROXYPROTO_SENT);
	hg_buf_init(&p->in, PROBER_HEAD_MAX + 8192);
	hg_buf_init(&p->body, (size_t)t->body_max + 1);
	enum hg_rc rc = HG_E_NOMEM;
	p->head = calloc(1, sizeof *p->head);
	if (!p->head) goto out;
	if ((t->path || t->service) && !compose(p, t)) goto out;
	if (p->out.failed) goto out;
	p->fd = sock_connect(t->addr);
	if (p->fd < 0) {
		int error = -p->fd;
		p->fd = -1;
		bool refused = error == ECONNREFUSED || error == ENOENT;
		p->early.outcome = refused ? PROBE_REFUSED : PROBE_FAILED;
		if (error == EMFILE || error == ENFILE || error == ENOMEM)
			p->early.outcome = PROBE_BROKEN; /* ours, not the replica's, fault */
		(void)snprintf(p->why, sizeof p->why, "could not connect: %s", strerror(error));
		rc = loop_timer_start(loop, &p->now, 0, on_now);
	} else {
		rc = loop_io_start(loop, &p->io, p->fd, EPOLLIN | EPOLLOUT, on_event);
		if (rc == HG_OK) rc = loop_timer_start(loop, &p->timer, t->timeout_ms, on_timeout);
	}
	if (rc < 0) goto out;
	*ret_prober = p;
	p = NULL;
out:
	prober_stop(p);
	return rc;
}
