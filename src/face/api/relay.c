/*
 * What observe answers on DATA/run/observe.sock: GET /v1/logs and its volume, and Prometheus' HTTP
 * API with /federate and /v1/columns. Bytes are passed on as they come, so that a search or a query
 * that eats memory takes observe and not control.
 */
#include "api_priv.h"
#include "os/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define RELAY_MAGIC 0x4c4f4753u
#define HEAD_MAX    8192u
#define READ_FIRST  16384u /* most answers are smaller */
#define READ_MORE   65536u
#define LOGS_MS     10000  /* until the head of the answer is here */
#define METRICS_MS  150000 /* a query may take two minutes, after it has waited for its turn */

struct relay {
	uint32_t magic;
	struct hg_list node;
	struct api *api;
	struct serve_call *call;
	struct api_link *link; /* not watched while `full`: a hang-up is reported even to who asks
	                          for nothing. NULL: there is none any more */
	struct loop_timer deadline; /* until the head of the answer is here */
	struct hg_buf out, in;
	size_t out_at; /* bytes of `out` that were sent */
	struct http1_chunked chunked;
	enum http1_body body;
	uint64_t left;
	bool streaming, full, metrics;
	bool again;       /* the connection may be kept for the next question */
	bool prometheus;  /* errors are told as Prometheus' API tells them */
	struct api_by by; /* what was shown when it was opened */
};

static const char *store_of(const struct relay *p)
{
	return p->metrics ? "metrics store" : "log store";
}

static void relay_free(struct relay *p)
{
	if (p->link) api_link_close(p->link);
	loop_timer_stop(p->api->d.loop, &p->deadline);
	hg_list_remove(&p->node);
	if (p->metrics)
		p->api->query_count--;
	else
		p->api->log_count--;
	hg_buf_free(&p->out);
	hg_buf_free(&p->in);
	p->magic = 0;
	free(p);
}

static void on_gone(void *arg)
{
	relay_free(HG_OBJ(arg, struct relay, RELAY_MAGIC));
}

/* Before the head: a problem. After it: the stream is cut, so that nobody takes it for whole. */
static void relay_fail(struct relay *p, enum hg_rc rc, const char *why)
{
	struct api_request r = {.api = p->api, .call = p->call, .prometheus = p->prometheus};
	struct hg_err err = {0};
	bool streaming = p->streaming;
	const char *store = store_of(p);
	relay_free(p);
	if (streaming) {
		serve_abort(r.call);
		return;
	}
	hg_err_set(&err, rc, "the %s does not answer: %s", store, why);
	hg_err_hint(&err, "It is started again by itself; try once more.");
	api_problem(&r, &err);
}

/* The whole answer was read: what carried it may carry the next one. */
static void relay_let_go(struct relay *p)
{
	struct api_link *k = p->link;
	p->link = NULL;
	if (p->again && p->in.n == 0)
		api_link_give(k);
	else
		api_link_close(k);
}

static void relay_end(struct relay *p)
{
	struct serve_call *call = p->call;
	relay_let_go(p);
	relay_free(p);
	serve_end(call);
}

/* Passes on what has arrived. False: the proxy is over. */
static bool relay_body(struct relay *p)
{
	while (p->in.n && !p->full) {
		struct hg_str data = hg_buf_view(&p->in);
		size_t used = data.n;
		bool last = false;
		if (p->body == HTTP1_BODY_CHUNKED) {
			struct http1_span s = http1_chunked_next(&p->chunked, data);
			if (s.result == HTTP1_BAD) {
				relay_fail(p, HG_E_CLOSED, "its answer is malformed");
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
			relay_end(p);
			return false;
		}
		if (used == 0 && data.n == 0) break;
	}
	return true;
}

static void on_writable(void *arg);

/* What the client has to know of the answer beyond its type. */
static void fields(struct relay *p, const struct http1_head *h)
{
	static const char *const name[] = {"Content-Encoding", "Vary", "Retry-After", "Allow",
	        "X-Prometheus-Remote-Write-Samples-Written",
	        "X-Prometheus-Remote-Write-Histograms-Written",
	        "X-Prometheus-Remote-Write-Exemplars-Written"};
	for (size_t i = 0; i < HG_COUNT(name); i++) {
		const struct http1_field *f = http1_find_name(h, hg_str(name[i]));
		if (f) serve_field(p->call, name[i], f->value);
	}
	serve_field(p->call, "Cache-Control", HG_STR("no-store"));
}

/* An answer that is here as a whole goes out as one. False: it is over. */
static bool relay_whole(struct relay *p, const struct http1_head *h, const char *type)
{
	struct serve_call *call = p->call;
	struct hg_str body = {p->in.p + h->size, p->in.n - h->size};
	if (p->body != HTTP1_BODY_LENGTH || body.n != p->left) return true;
	serve_answer(call, h->status, type, body);
	hg_buf_reset(&p->in);
	relay_let_go(p);
	relay_free(p);
	return false;
}

static bool relay_head(struct relay *p)
{
	struct http1_head h;
	enum http1_result got =
	        http1_response(hg_buf_view(&p->in), 0, &HTTP1_LIMITS_DEFAULT, HTTP1_GET, false, &h);
	char type[96] = "application/x-ndjson";
	if (got == HTTP1_MORE) return true;
	if (got == HTTP1_BAD || h.body == HTTP1_BODY_TUNNEL) {
		relay_fail(p, HG_E_CLOSED, "its answer is malformed");
		return false;
	}
	const struct http1_field *f = http1_find(&h, HTTP1_F_CONTENT_TYPE);
	if (f && !hg_str_copy(f->value, type, sizeof type))
		snprintf(type, sizeof type, "application/octet-stream");
	p->body = h.body;
	p->left = h.content_length;
	p->again = h.keep_alive;
	p->streaming = true;
	hg_buf_free(&p->out);
	loop_timer_stop(p->api->d.loop, &p->deadline);
	fields(p, &h);
	if (!relay_whole(p, &h, type)) return false;
	serve_stream(p->call, h.status, type, on_writable, on_gone, p);
	hg_buf_drop(&p->in, h.size);
	if (p->body != HTTP1_BODY_NONE) return true;
	relay_end(p);
	return false;
}

static bool unsent(const struct relay *p)
{
	return p->out_at < p->out.n;
}

static void watch(struct relay *p)
{
	uint32_t events = p->full ? 0 : EPOLLIN | (unsent(p) ? (uint32_t)EPOLLOUT : 0);
	if (api_link_watch(p->link, events) < 0) relay_fail(p, HG_E_IO, "the loop refused it");
}

static void on_writable(void *arg)
{
	struct relay *p = HG_OBJ(arg, struct relay, RELAY_MAGIC);
	p->full = false;
	if (relay_body(p)) watch(p);
}

static void on_link(void *arg, uint32_t events);

/* Negative: -errno. */
static int relay_send(struct relay *p)
{
	while (unsent(p)) {
		struct hg_str rest = {p->out.p + p->out_at, p->out.n - p->out_at};
		ssize_t n = sock_write(p->link->fd, rest, (struct hg_str){0});
		if (n < 0) return n == -EAGAIN ? 0 : (int)n;
		p->out_at += (size_t)n;
	}
	return 0;
}

/*
 * Another connection, and all of the question once more, when the one that had waited was closed
 * meanwhile. These errors come only while something of the question was not read: observe cannot
 * have begun to answer it, nor died of it.
 */
static bool relay_again(struct relay *p, int e, struct hg_err *err)
{
	while ((e == -EPIPE || e == -ECONNRESET) && p->link->used && !p->streaming && !p->in.n) {
		api_link_close(p->link);
		p->link = NULL;
		if (api_link_take(p->api, true, on_link, p, &p->link, err) < 0) return false;
		p->out_at = 0;
		e = relay_send(p);
	}
	if (e < 0) hg_err_set(err, HG_E_CLOSED, "%s", strerror(-e));
	return e == 0;
}

/* False: the relay is over. */
static bool relay_read(struct relay *p)
{
	struct hg_err err = {0};
	size_t most = p->streaming ? READ_MORE : READ_FIRST;
	char *room = hg_buf_room(&p->in, most);
	ssize_t n = room ? sock_read(p->link->fd, room, most) : -ENOMEM;
	if (n > 0) hg_buf_add(&p->in, (size_t)n);
	if (n > 0 || n == -EAGAIN) return true;
	if (n == 0 && p->streaming && p->body == HTTP1_BODY_CLOSE) {
		relay_end(p);
		return false;
	}
	if (n == 0)
		relay_fail(p, HG_E_CLOSED, "it closed the connection");
	else if (!relay_again(p, (int)n, &err))
		relay_fail(p, HG_E_CLOSED, err.message);
	else
		return true;
	return false;
}

static void on_link(void *arg, uint32_t events)
{
	struct relay *p = HG_OBJ(arg, struct relay, RELAY_MAGIC);
	struct hg_err err = {0};
	if (events & EPOLLOUT && !relay_again(p, relay_send(p), &err)) {
		relay_fail(p, HG_E_CLOSED, err.message);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !relay_read(p)) return;
	if (!p->streaming && !relay_head(p)) return;
	if (p->streaming && !relay_body(p)) return;
	watch(p);
}

static void on_deadline(struct loop *l, struct loop_timer *t)
{
	(void)l;
	struct relay *p = HG_CONTAINER(t, struct relay, deadline);
	relay_fail(
	        p, HG_E_TIMEOUT, p->metrics ? "no answer within 150 s" : "no answer within 10 s");
}

/* The question is sent at once: it fits in the socket, unless it is a large one. */
static enum hg_rc relay_connect(struct relay *p, struct hg_err *err)
{
	struct api *a = p->api;
	struct hg_err why = {0};
	enum hg_rc rc = api_link_take(a, false, on_link, p, &p->link, &why);
	if (rc == HG_OK && !relay_again(p, relay_send(p), &why)) rc = HG_E_CLOSED;
	if (rc < 0)
		return hg_err_set(err, rc, "the %s does not answer: %s", store_of(p), why.message);
	rc = api_link_watch(p->link, EPOLLIN | (unsent(p) ? (uint32_t)EPOLLOUT : 0));
	if (rc < 0) return hg_err_set(err, rc, "could not watch the %s", store_of(p));
	rc = loop_timer_start(
	        a->d.loop, &p->deadline, p->metrics ? METRICS_MS : LOGS_MS, on_deadline);
	return rc < 0 ? hg_err_set(err, rc, "could not start a timer") : HG_OK;
}

static struct relay *relay_new(struct api_request *r, bool metrics)
{
	struct api *a = r->api;
	struct relay *p = calloc(1, sizeof *p);
	if (!p) return NULL;
	p->magic = RELAY_MAGIC;
	p->api = a;
	p->call = r->call;
	p->by = r->by;
	p->metrics = metrics;
	p->prometheus = metrics && !hg_str_starts(r->req->path, HG_STR("/v1/"));
	hg_buf_init(&p->out, HEAD_MAX * 4 + API_BODY_MAX);
	hg_buf_init(&p->in, 4 * READ_MORE);
	hg_list_append(&a->relays, &p->node);
	if (metrics)
		a->query_count++;
	else
		a->log_count++;
	return p;
}

/* The request is in p->out. */
static enum hg_rc relay_start(struct relay *p, struct api_request *r, struct hg_err *err)
{
	enum hg_rc rc = p->out.failed ? hg_err_set(err, HG_E_TOO_LARGE, "the query is too long")
	                              : relay_connect(p, err);
	if (rc < 0) {
		relay_free(p);
		return rc;
	}
	r->answered = true;
	serve_later(r->call, on_gone, p);
	return HG_OK;
}

static enum hg_rc relay_logs(struct api_request *r, const char *path, struct hg_err *err)
{
	struct api *a = r->api;
	if (a->log_count >= API_STREAMS_MAX)
		return hg_err_set(
		        err, HG_E_API_STREAMS, "%u log streams are open already", API_STREAMS_MAX);
	struct relay *p = relay_new(r, false);
	if (!p) return hg_err_set(err, HG_E_NOMEM, "no memory for a log stream");
	/* The query was checked by the parser: no spaces and control bytes are in it. */
	hg_buf_fmt(&p->out, "GET %s%s%.*s HTTP/1.1\r\nHost: observe\r\n\r\n", path,
	        r->req->query.n ? "?" : "", HG_STR_ARG(r->req->query));
	return relay_start(p, r, err);
}

enum hg_rc api_get_logs(struct api_request *r, struct hg_err *err)
{
	return relay_logs(r, "/v1/logs", err);
}

enum hg_rc api_get_log_volume(struct api_request *r, struct hg_err *err)
{
	return relay_logs(r, "/v1/logs/volume", err);
}

static void pass_field(struct relay *p, const struct http1_head *h, const char *name)
{
	const struct http1_field *f = http1_find_name(h, hg_str(name));
	if (f) hg_buf_fmt(&p->out, "%s: %.*s\r\n", name, HG_STR_ARG(f->value));
}

/* Path, query and values of fields were checked by the parser, as above. */
enum hg_rc api_relay_metrics(struct api_request *r, struct hg_err *err)
{
	struct api *a = r->api;
	const struct http1_head *h = r->req->head;
	if (a->query_count >= API_QUERIES_MAX)
		return hg_err_set(
		        err, HG_E_API_STREAMS, "%u queries are under way already", API_QUERIES_MAX);
	struct relay *p = relay_new(r, true);
	if (!p) return hg_err_set(err, HG_E_NOMEM, "no memory for a query");
	hg_buf_fmt(&p->out, "%s %.*s%s%.*s HTTP/1.1\r\nHost: observe\r\n",
	        h->method == HTTP1_HEAD ? "GET" : http1_method_name(h->method), HG_STR_ARG(h->path),
	        r->req->query.n ? "?" : "", HG_STR_ARG(r->req->query));
	static const char *const name[] = {"Accept", "Accept-Encoding", "Content-Type",
	        "Content-Encoding", "X-Prometheus-Remote-Write-Version"};
	for (size_t i = 0; i < HG_COUNT(name); i++)
		pass_field(p, h, name[i]);
	if (h->method == HTTP1_POST || h->method == HTTP1_PUT)
		hg_buf_fmt(&p->out, "Content-Length: %zu\r\n", r->req->body.n);
	hg_buf_cstr(&p->out, "\r\n");
	hg_buf_str(&p->out, r->req->body);
	return relay_start(p, r, err);
}

void api_relays_end(struct api *a)
{
	HG_LIST_EACH_SAFE (node, after, &a->relays) {
		relay_fail(HG_CONTAINER(node, struct relay, node), HG_E_AGAIN, "control is ending");
	}
}

/* One that is not followed is over soon. */
void api_relays_check(struct api *a, uint64_t now_ms)
{
	HG_LIST_EACH_SAFE (node, after, &a->relays) {
		struct relay *p = HG_CONTAINER(node, struct relay, node);
		if (api_by_over(a, &p->by, now_ms))
			relay_fail(p, HG_E_TOKEN_EXPIRED, "the token is over");
	}
}

void api_streams_check(struct api *a)
{
	uint64_t now_ms = clock_wall_ms();
	api_events_check(a, now_ms);
	api_relays_check(a, now_ms);
	uint64_t mono_ms = loop_now_ms(a->d.loop);
	if (mono_ms > API_LINK_IDLE_MS) api_links_end(a, mono_ms - API_LINK_IDLE_MS);
	a->revoked = false;
}

void api_streams_end(struct api *a)
{
	api_events_end(a);
	api_relays_end(a);
}
