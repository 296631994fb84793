/*
 * GET /v1/logs is answered by observe on DATA/run/observe.sock; bytes are passed on as they come,
 * so that a search that eats memory takes observe and not control.
 */
#include "api_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROXY_MAGIC   0x4c4f4753u
#define HEAD_MAX      8192u
#define FIRST_BYTE_MS 10000

struct proxy {
	uint32_t magic;
	struct hg_list node;
	struct api *api;
	struct serve_call *call;
	int fd;
	struct loop_io io; /* not watched while `full`: a hang-up is reported even to who asks for
	                      nothing */
	struct loop_timer deadline; /* until the head of the answer is here */
	struct hg_buf out, in;
	struct http1_chunked chunked;
	enum http1_body body;
	uint64_t left;
	bool streaming, full;
};

static void proxy_free(struct proxy *p)
{
	loop_io_stop(p->api->d.loop, &p->io);
	if (p->fd >= 0) close(p->fd);
	loop_timer_stop(p->api->d.loop, &p->deadline);
	hg_list_remove(&p->node);
	p->api->log_count--;
	hg_buf_free(&p->out);
	hg_buf_free(&p->in);
	p->magic = 0;
	free(p);
}

static void on_gone(void *arg)
{
	proxy_free(HG_OBJ(arg, struct proxy, PROXY_MAGIC));
}

/* Before the head: a problem. After it: the stream is cut, so that nobody takes it for whole. */
static void proxy_fail(struct proxy *p, enum hg_rc rc, const char *why)
{
	struct api_request r = {.api = p->api, .call = p->call};
	struct hg_err err = {0};
	bool streaming = p->streaming;
	proxy_free(p);
	if (streaming) {
		serve_abort(r.call);
		return;
	}
	hg_err_set(&err, rc, "the log store does not answer: %s", why);
	hg_err_hint(&err, "It is started again by itself; try once more.");
	api_problem(&r, &err);
}

static void proxy_end(struct proxy *p)
{
	struct serve_call *call = p->call;
	proxy_free(p);
	serve_end(call);
}

/* Passes on what has arrived. False: the proxy is over. */
static bool proxy_body(struct proxy *p)
{
	while (p->in.n && !p->full) {
		struct hg_str data = hg_buf_view(&p->in);
		size_t used = data.n;
		bool last = false;
		if (p->body == HTTP1_BODY_CHUNKED) {
			struct http1_span s = http1_chunked_next(&p->chunked, data);
			if (s.result == HTTP1_BAD) {
				proxy_fail(p, HG_E_CLOSED, "its answer is malformed");
				return false;
			}
			last = s.result == HTTP1_DONE;
			data = s.data;
			used = s.used;
		} else if (p->body == HTTP1_BODY_LENGTH) {
			data.n = used = (size_t)HG_MIN((uint64_t)data.n, p->left);
			p->left -= used;
			last = p->left == 0;
		}
		if (data.n) p->full = !serve_write(p->call, data);
		hg_buf_drop(&p->in, used);
		if (last) {
			proxy_end(p);
			return false;
		}
		if (used == 0 && data.n == 0) break;
	}
	return true;
}

static void on_writable(void *arg);

static bool proxy_head(struct proxy *p)
{
	struct http1_head h;
	enum http1_result got =
	        http1_response(hg_buf_view(&p->in), 0, &HTTP1_LIMITS_DEFAULT, HTTP1_GET, false, &h);
	char type[96] = "application/x-ndjson";
	if (got == HTTP1_MORE) return true;
	if (got == HTTP1_BAD || h.body == HTTP1_BODY_TUNNEL) {
		proxy_fail(p, HG_E_CLOSED, "its answer is malformed");
		return false;
	}
	const struct http1_field *f = http1_find(&h, HTTP1_F_CONTENT_TYPE);
	if (f && !hg_str_copy(f->value, type, sizeof type))
		snprintf(type, sizeof type, "application/octet-stream");
	p->body = h.body;
	p->left = h.content_length;
	p->streaming = true;
	loop_timer_stop(p->api->d.loop, &p->deadline);
	serve_field(p->call, "Cache-Control", HG_STR("no-store"));
	serve_stream(p->call, h.status, type, on_writable, on_gone, p);
	hg_buf_drop(&p->in, h.size);
	if (p->body != HTTP1_BODY_NONE) return true;
	proxy_end(p);
	return false;
}

static void on_io(struct loop *l, struct loop_io *io, uint32_t events);

static void watch(struct proxy *p)
{
	struct loop *l = p->api->d.loop;
	uint32_t events = EPOLLIN | (p->out.n ? EPOLLOUT : 0);
	if (p->full) {
		loop_io_stop(l, &p->io);
		return;
	}
	enum hg_rc rc = p->io.fd < 0 ? loop_io_start(l, &p->io, p->fd, events, on_io)
	                             : loop_io_change(l, &p->io, events);
	if (rc < 0) proxy_fail(p, HG_E_IO, "the loop refused it");
}

static void on_writable(void *arg)
{
	struct proxy *p = HG_OBJ(arg, struct proxy, PROXY_MAGIC);
	p->full = false;
	if (proxy_body(p)) watch(p);
}

static bool proxy_send(struct proxy *p)
{
	ssize_t n = write(p->fd, p->out.p, p->out.n);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		proxy_fail(p, HG_E_CLOSED, strerror(errno));
		return false;
	}
	if (n > 0) hg_buf_drop(&p->out, (size_t)n);
	return true;
}

static void on_io(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct proxy *p = HG_CONTAINER(io, struct proxy, io);
	(void)l;
	if (p->out.n && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) && !proxy_send(p)) return;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		char *room = hg_buf_room(&p->in, 16384);
		ssize_t n = room ? read(io->fd, room, 16384) : -1;
		if (n == 0 && p->streaming && p->body == HTTP1_BODY_CLOSE) {
			proxy_end(p);
			return;
		}
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			proxy_fail(
			        p, HG_E_CLOSED, n ? strerror(errno) : "it closed the connection");
			return;
		}
		if (n > 0) hg_buf_add(&p->in, (size_t)n);
	}
	if (!p->streaming && !proxy_head(p)) return;
	if (p->streaming && !proxy_body(p)) return;
	watch(p);
}

static void on_deadline(struct loop *l, struct loop_timer *t)
{
	(void)l;
	proxy_fail(HG_CONTAINER(t, struct proxy, deadline), HG_E_TIMEOUT, "no answer within 10 s");
}

static enum hg_rc proxy_connect(struct proxy *p, struct hg_err *err)
{
	struct sock_addr addr;
	char text[512];
	snprintf(text, sizeof text, "unix:%s/run/observe.sock", p->api->d.data_dir);
	if (!sock_addr_parse(hg_str(text), &addr))
		return hg_err_set(err, HG_E_IO, "the path of observe.sock is too long");
	int fd = sock_connect(&addr);
	if (fd < 0)
		return hg_err_set(
		        err, HG_E_CLOSED, "the log store does not answer: %s", strerror(-fd));
	p->fd = fd;
	enum hg_rc rc = loop_io_start(p->api->d.loop, &p->io, fd, EPOLLIN | EPOLLOUT, on_io);
	if (rc < 0) return hg_err_set(err, rc, "could not watch the log store");
	rc = loop_timer_start(p->api->d.loop, &p->deadline, FIRST_BYTE_MS, on_deadline);
	return rc < 0 ? hg_err_set(err, rc, "could not start a timer") : HG_OK;
}

enum hg_rc api_get_logs(struct api_request *r, struct hg_err *err)
{
	struct api *a = r->api;
	if (a->log_count >= API_STREAMS_MAX)
		return hg_err_set(
		        err, HG_E_API_STREAMS, "%u log streams are open already", API_STREAMS_MAX);
	struct proxy *p = calloc(1, sizeof *p);
	if (!p) return hg_err_set(err, HG_E_NOMEM, "no memory for a log stream");
	p->magic = PROXY_MAGIC;
	p->api = a;
	p->call = r->call;
	p->fd = p->io.fd = -1;
	hg_buf_init(&p->out, HEAD_MAX * 2);
	hg_buf_init(&p->in, 64u << 10);
	hg_list_append(&a->log_streams, &p->node);
	a->log_count++;
	/* The query was checked by the parser: no spaces and control bytes are in it. */
	hg_buf_fmt(&p->out,
	        "GET /v1/logs%s%.*s HTTP/1.1\r\nHost: observe\r\nConnection: close\r\n\r\n",
	        r->req->query.n ? "?" : "", HG_STR_ARG(r->req->query));
	enum hg_rc rc = p->out.failed ? hg_err_set(err, HG_E_TOO_LARGE, "the query is too long")
	                              : proxy_connect(p, err);
	if (rc < 0) {
		proxy_free(p);
		return rc;
	}
	r->answered = true;
	serve_later(r->call, on_gone, p);
	return HG_OK;
}

void api_logs_end(struct api *a)
{
	HG_LIST_EACH_SAFE (node, after, &a->log_streams) {
		proxy_fail(HG_CONTAINER(node, struct proxy, node), HG_E_AGAIN, "control is ending");
	}
}

void api_streams_end(struct api *a)
{
	api_events_end(a);
	api_logs_end(a);
}
