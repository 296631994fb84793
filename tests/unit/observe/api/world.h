/* The API over a server on a socket, and a client. Included behind api.c and answer.c. */
#ifndef TESTS_API_WORLD_H
#define TESTS_API_WORLD_H

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/sock.h"

#define NOW 1700000000000ll

static inline int64_t now_ms(void)
{
	return NOW;
}

struct world {
	struct loop *loop;
	struct tsdb *db;
	struct observe_lock lock;
	struct promapi *api;
	struct serve *serve;
	int fd;
	struct sock_addr addr;
	/* The last answer. */
	struct hg_buf raw, body;
	unsigned status;
};

static inline void handle(void *arg, struct serve_call *call, const struct serve_request *req)
{
	struct world *w = arg;
	if (!promapi_http(w->api, call, req)) serve_answer(call, 204, NULL, (struct hg_str){0});
}

/* name, label=value pairs, samples every 15 s up to NOW with v = first + i * step */
static inline void add(struct world *w, const char *metric, const char *a, const char *b,
        double first, double step, int n)
{
	struct label l[3] = {
	        {LABEL_METRIC, hg_str(metric)}, {HG_STR("a"), hg_str(a)}, {HG_STR("b"), hg_str(b)}};
	struct labels ls = {l, b[0] ? 3 : a[0] ? 2 : 1};
	tsdb_ref ref;
	struct hg_err err = {0};
	if (tsdb_series(w->db, ls, &ref, &err) < 0) fail_msg("%s", err.message);
	for (int i = 0; i < n; i++)
		assert_int_equal(tsdb_append(w->db, ref, NOW - (int64_t)(n - 1 - i) * 15000,
		                         first + i * step),
		        HG_OK);
}

static inline void world_start(struct world *w, const struct promapi_options *like)
{
	struct tsdb_options to = {.window_ms = 7200000};
	struct hg_err err = {0};
	struct promapi_options o = like ? *like : (struct promapi_options){0};
	struct serve_options so = {.body_max = PROMAPI_BODY_MAX, .handle = handle, .arg = w};
	*w = (struct world){0};
	hg_buf_init(&w->raw, (size_t)256 << 20);
	hg_buf_init(&w->body, (size_t)256 << 20);
	observe_lock_init(&w->lock);
	assert_int_equal(tsdb_open(&to, &w->db, &err), HG_OK);
	assert_int_equal(loop_new(&w->loop), HG_OK);
	o.loop = w->loop;
	o.db = w->db;
	o.lock = &w->lock;
	o.now_ms = now_ms;
	o.version = "1.2.3";
	assert_int_equal(promapi_new(&o, &w->api, &err), HG_OK);
	assert_int_equal(serve_new(w->loop, &so, &w->serve), HG_OK);
	assert_true(sock_addr_parse(HG_STR("127.0.0.1:0"), &w->addr));
	w->fd = sock_listen(&w->addr, 64);
	assert_true(w->fd >= 0 && sock_local(w->fd, &w->addr));
	assert_int_equal(serve_listen(w->serve, w->fd, 0), HG_OK);
	observe_lock_take(&w->lock);
	loop_hooks(w->loop, observe_lock_give, observe_lock_take, &w->lock);
}

static inline void world_stop(struct world *w)
{
	serve_free(w->serve);
	promapi_free(w->api);
	loop_free(w->loop);
	observe_lock_give(&w->lock);
	observe_lock_fini(&w->lock);
	tsdb_close(w->db);
	sock_close(w->fd);
	hg_buf_free(&w->raw);
	hg_buf_free(&w->body);
}

static inline int send_text(struct world *w, const char *text)
{
	int fd = sock_connect(&w->addr);
	size_t n = strlen(text);
	assert_true(fd >= 0);
	for (size_t at = 0; at < n;) {
		ssize_t got =
		        sock_write(fd, (struct hg_str){text + at, n - at}, (struct hg_str){0});
		if (got > 0) at += (size_t)got;
		assert_true(got > 0 || got == -EAGAIN || got == -ENOTCONN);
		if (got <= 0) assert_int_equal(loop_turn(w->loop, 1), HG_OK);
	}
	return fd;
}

static inline void unchunk(struct world *w, struct hg_str from)
{
	struct http1_chunked c = {0};
	for (;;) {
		struct http1_span s = http1_chunked_next(&c, from);
		assert_int_not_equal(s.result, HTTP1_BAD);
		hg_buf_str(&w->body, s.data);
		from.p += s.used;
		from.n -= s.used;
		if (s.result == HTTP1_DONE) return;
		assert_true(s.used > 0); /* else it was cut */
	}
}

/* Until the server closes. */
static inline void read_answer(struct world *w, int fd)
{
	struct http1_head h;
	hg_buf_reset(&w->raw);
	hg_buf_reset(&w->body);
	for (;;) {
		char *to = hg_buf_room(&w->raw, 65536);
		ssize_t n = sock_read(fd, to, 65536);
		if (n == 0) break;
		if (n > 0) hg_buf_add(&w->raw, (size_t)n);
		if (n < 0 && n != -EAGAIN) break;
		if (n < 0) assert_int_equal(loop_turn(w->loop, 50), HG_OK);
	}
	sock_close(fd);
	enum http1_result got = http1_response(
	        hg_buf_view(&w->raw), 0, &HTTP1_LIMITS_DEFAULT, HTTP1_GET, false, &h);
	if (got != HTTP1_DONE) {
		w->status = 0;
		return;
	}
	struct hg_str rest = {w->raw.p + h.size, w->raw.n - h.size};
	w->status = h.status;
	if (h.body == HTTP1_BODY_CHUNKED)
		unchunk(w, rest);
	else
		hg_buf_str(&w->body, rest);
}

static inline void ask(struct world *w, const char *method, const char *target, const char *fields,
        const char *body)
{
	struct hg_buf b;
	hg_buf_init(&b, 8 << 20);
	hg_buf_fmt(
	        &b, "%s %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n%s", method, target, fields);
	if (body)
		hg_buf_fmt(&b,
		        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
		        "%zu\r\n\r\n%s",
		        strlen(body), body);
	else
		hg_buf_cstr(&b, "\r\n");
	read_answer(w, send_text(w, hg_buf_text(&b)));
	hg_buf_free(&b);
}

static inline void get(struct world *w, const char *target)
{
	ask(w, "GET", target, "", NULL);
}

static inline void assert_answer(struct world *w, unsigned status, const char *body)
{
	if (w->status != status || !hg_str_eq(hg_buf_view(&w->body), hg_str(body)))
		fail_msg("%u %s\nwanted %u %s", w->status, hg_buf_text(&w->body), status, body);
}

static inline void assert_has(struct world *w, unsigned status, const char *part)
{
	if (w->status != status || !strstr(hg_buf_text(&w->body), part))
		fail_msg(
		        "%u %s\nwanted %u with %s", w->status, hg_buf_text(&w->body), status, part);
}

#define OK_DATA "{\"status\":\"success\",\"data\":"

#endif
