/*
 * A client of an edge that speaks HTTP/2, for tests that know HTTP/1.1 only: a thread between a
 * socket pair and the connection. One request after the other becomes a stream, its answer text
 * again; a stream that is reset is a connection that ends.
 */
#ifndef TESTS_EDGE_H2_BRIDGE_H
#define TESTS_EDGE_H2_BRIDGE_H

#include "bridges.h"

#include <nghttp2/nghttp2.h>

struct h2_bridge {
	int plain, net;
	nghttp2_session *ng;
	char in[1 << 17]; /* from the plain side */
	size_t in_n;
	/* the request that is on its way */
	int32_t id; /* 0: none */
	struct http1_head head;
	struct http1_chunked chunked;
	uint64_t left;
	bool body_done, headless, begun, chunk, over, close_after;
	char fields[70000], status[4], trailers[16384];
	size_t fields_n, trailers_n;
};

/* Body bytes of the request from what was read; as nghttp2 wants them. */
static inline ssize_t h2_bridge_pull(nghttp2_session *ng, int32_t id, uint8_t *to, size_t cap,
        uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct h2_bridge *b = arg;
	size_t n = 0, used = 0;
	(void)ng, (void)id, (void)source;
	if (b->head.body == HTTP1_BODY_CHUNKED) {
		while (used < b->in_n && !b->body_done && n < cap) {
			struct hg_str p = {b->in + used, HG_MIN(b->in_n - used, cap - n)};
			struct http1_span s = http1_chunked_next(&b->chunked, p);
			if (s.data.n) memcpy(to + n, s.data.p, s.data.n);
			n += s.data.n;
			used += s.used;
			b->body_done = s.result == HTTP1_DONE;
			if (s.used == 0) break;
		}
	} else {
		n = used = HG_MIN(HG_MIN(b->in_n, cap), (size_t)b->left);
		memcpy(to, b->in, n);
		b->left -= n;
		b->body_done = b->left == 0;
	}
	memmove(b->in, b->in + used, b->in_n - used);
	b->in_n -= used;
	if (b->body_done) *flags |= NGHTTP2_DATA_FLAG_EOF;
	return n || b->body_done ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
}

static inline nghttp2_nv h2_bridge_nv(struct hg_str name, struct hg_str value)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n,
	        value.n, NGHTTP2_NV_FLAG_NONE};
}

/* A whole head becomes a stream. */
static inline void h2_bridge_submit(struct h2_bridge *b)
{
	const struct http1_limits lim = {65536, 65536, HTTP1_FIELDS_MAX};
	const nghttp2_data_provider body = {.read_callback = h2_bridge_pull};
	nghttp2_nv nv[HTTP1_FIELDS_MAX + 4];
	size_t n = 0;
	struct http1_head *h = &b->head;
	if (b->id || http1_request((struct hg_str){b->in, b->in_n}, 0, &lim, h) != HTTP1_DONE)
		return;
	struct hg_str path = {h->path.p, h->path.n + (h->query.n ? h->query.n + 1 : 0)};
	nv[n++] = h2_bridge_nv(HG_STR(":method"), h->method_text);
	nv[n++] = h2_bridge_nv(HG_STR(":scheme"), HG_STR("http"));
	nv[n++] = h2_bridge_nv(HG_STR(":path"), path);
	nv[n++] = h2_bridge_nv(HG_STR(":authority"), h->authority);
	for (int i = 0; i < h->field_count; i++) {
		if (h->field[i].hop || h->field[i].id == HTTP1_F_HOST) continue;
		nv[n++] = h2_bridge_nv(h->field[i].name, h->field[i].value);
	}
	b->close_after = !h->keep_alive;
	b->headless = h->method == HTTP1_HEAD;
	b->begun = b->over = false;
	b->body_done = h->body == HTTP1_BODY_NONE;
	b->left = h->content_length;
	b->chunked = (struct http1_chunked){0};
	b->fields_n = b->trailers_n = 0;
	b->id = nghttp2_submit_request(b->ng, NULL, nv, n, b->body_done ? NULL : &body, NULL);
	memmove(b->in, b->in + h->size, b->in_n - h->size);
	b->in_n -= h->size;
}

static inline void h2_bridge_say(struct h2_bridge *b, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(b->plain, p, n, MSG_NOSIGNAL);
		if (k <= 0) return;
		p += k;
		n -= (size_t)k;
	}
}

static inline int h2_bridge_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name,
        size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct h2_bridge *b = arg;
	(void)ng, (void)flags;
	if (f->hd.stream_id != b->id) return 0;
	if (name[0] == ':') {
		memcpy(b->status, value, 3);
		return 0;
	}
	char *to = b->begun ? b->trailers : b->fields;
	size_t *n = b->begun ? &b->trailers_n : &b->fields_n, from = *n;
	*n += (size_t)snprintf(
	        to + *n, 16384, "%.*s: %.*s\r\n", (int)name_n, name, (int)value_n, value);
	/* As it is usually written; nothing depends on it but eyes and strstr. */
	for (size_t i = from; to[i] != ':'; i++) {
		if (to[i] >= 'a' && to[i] <= 'z' && (i == from || to[i - 1] == '-')) to[i] -= 32;
	}
	return 0;
}

static inline void h2_bridge_answer(struct h2_bridge *b, bool end)
{
	char line[64];
	bool interim = b->status[0] == '1';
	bool bodiless = b->headless || end || interim || strcmp(b->status, "204") == 0 ||
	                strcmp(b->status, "304") == 0;
	b->fields[b->fields_n] = 0;
	h2_bridge_say(b, line, (size_t)snprintf(line, sizeof line, "HTTP/1.1 %s X\r\n", b->status));
	h2_bridge_say(b, b->fields, b->fields_n);
	b->chunk = !bodiless && !strstr(b->fields, "Content-Length: ");
	if (b->chunk) h2_bridge_say(b, "Transfer-Encoding: chunked\r\n", 28);
	if (!interim && end && !b->headless && !strstr(b->fields, "Content-Length: ") &&
	        b->status[0] != '3' && strcmp(b->status, "204") != 0) {
		h2_bridge_say(b, "Content-Length: 0\r\n", 19);
	}
	if (!interim && (b->close_after || !b->body_done)) {
		b->close_after = true;
		h2_bridge_say(b, "Connection: close\r\n", 19);
	}
	h2_bridge_say(b, "\r\n", 2);
	b->begun = !interim;
	b->fields_n = 0;
}

static inline int h2_bridge_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct h2_bridge *b = arg;
	bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
	(void)ng;
	if (f->hd.stream_id != b->id || b->id == 0) return 0;
	if (f->hd.type == NGHTTP2_HEADERS && !b->begun) h2_bridge_answer(b, end);
	if ((f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) && end) {
		if (b->chunk) {
			h2_bridge_say(b, "0\r\n", 3);
			h2_bridge_say(b, b->trailers, b->trailers_n);
			h2_bridge_say(b, "\r\n", 2);
		}
		b->over = true;
	}
	return 0;
}

static inline int h2_bridge_data(
        nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2_bridge *b = arg;
	char line[32];
	(void)ng, (void)flags, (void)id;
	if (b->chunk && n)
		h2_bridge_say(b, line, (size_t)snprintf(line, sizeof line, "%zx\r\n", n));
	h2_bridge_say(b, (const char *)p, n);
	if (b->chunk && n) h2_bridge_say(b, "\r\n", 2);
	return 0;
}

static inline int h2_bridge_closed(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct h2_bridge *b = arg;
	(void)ng, (void)code;
	if (id != b->id) return 0;
	b->id = 0;
	if (!b->over || b->close_after) b->close_after = true, b->id = -1;
	return 0;
}

static inline nghttp2_session *h2_bridge_session(struct h2_bridge *b)
{
	nghttp2_session_callbacks *cb;
	nghttp2_session *ng;
	if (nghttp2_session_callbacks_new(&cb) < 0) abort();
	nghttp2_session_callbacks_set_on_header_callback(cb, h2_bridge_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2_bridge_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2_bridge_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2_bridge_closed);
	if (nghttp2_session_client_new(&ng, cb, b) < 0) abort();
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(ng, 0, NULL, 0);
	return ng;
}

/* False: the connection is over. */
static inline bool h2_bridge_flush(struct h2_bridge *b)
{
	const uint8_t *p;
	for (ssize_t n; (n = nghttp2_session_mem_send(b->ng, &p)) > 0;) {
		for (ssize_t at = 0; at < n;) {
			ssize_t k = send(b->net, p + at, (size_t)(n - at), MSG_NOSIGNAL);
			if (k <= 0) return false;
			at += k;
		}
	}
	return nghttp2_session_want_read(b->ng);
}

static inline void *h2_bridge_main(void *arg)
{
	struct h2_bridge *b = arg;
	char buf[16384];
	bool on = h2_bridge_flush(b), hard = false;
	while (on && b->id >= 0) {
		struct pollfd p[2] = {{b->plain, b->in_n < sizeof b->in / 2 ? POLLIN : 0, 0},
		        {b->net, POLLIN, 0}};
		if (poll(p, 2, 30000) <= 0) break;
		if (p[0].revents & (POLLIN | POLLHUP | POLLERR) && p[0].events) {
			ssize_t n = recv(b->plain, b->in + b->in_n, sizeof b->in - b->in_n, 0);
			if (n <= 0) {
				hard = true; /* nobody waits for an answer */
				break;
			}
			b->in_n += (size_t)n;
			if (b->id) nghttp2_session_resume_data(b->ng, b->id);
		}
		if (p[1].revents) {
			ssize_t n = recv(b->net, buf, sizeof buf, 0);
			on = n > 0 &&
			     nghttp2_session_mem_recv(b->ng, (uint8_t *)buf, (size_t)n) == n;
		}
		if (b->id == 0) h2_bridge_submit(b);
		on = h2_bridge_flush(b) && on;
	}
	if (hard) {
		struct linger reset = {1, 0};
		setsockopt(b->net, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	}
	nghttp2_session_del(b->ng);
	bridge_close(b->plain, b->net);
	free(b);
	return NULL;
}

/* The plain end of a connection over the connected socket, which it takes. */
static inline int h2_bridge_over(int net)
{
	int fd[2];
	struct h2_bridge *b = calloc(1, sizeof *b);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	b->plain = fd[1];
	b->net = net;
	b->ng = h2_bridge_session(b);
	bridge_start(h2_bridge_main, b, b->plain, b->net);
	return fd[0];
}

#endif
