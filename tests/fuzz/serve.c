/*
 * The bytes are sent to a server at once and in pieces; every answer must be a well-formed
 * response, and the requests that reached the handler must be the same both times.
 */
#include "fuzz.h"

#include "serve/serve.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define TURNS_MAX   20000
#define ANSWERS_MAX 512 /* more requests than 4 KiB can hold */

static struct {
	struct loop *l;
	struct serve *s;
	struct sock_addr addr;
	unsigned handled, done;
	bool head[ANSWERS_MAX]; /* of each answer: it was to a HEAD, and has no body */
	struct hg_buf log;      /* what the handler saw */
} w;

static void handle(void *arg, struct serve_call *c, const struct serve_request *req)
{
	(void)arg;
	w.handled++;
	hg_buf_fmt(&w.log, "%u ", (unsigned)req->method);
	hg_buf_str(&w.log, req->path);
	hg_buf_byte(&w.log, '?');
	hg_buf_str(&w.log, req->query);
	hg_buf_byte(&w.log, ' ');
	hg_buf_str(&w.log, req->body);
	hg_buf_byte(&w.log, '\n');
	serve_field(c, "X-Path", req->path);
	if (req->body.n % 2) {
		serve_stream(c, 200, "x/y", NULL, NULL, NULL);
		serve_write(c, req->body);
		serve_end(c);
	} else {
		serve_answer(c, 200, "x/y", req->body);
	}
}

static void on_done(void *arg, const struct serve_request *req, unsigned status, uint64_t bytes,
        uint64_t duration_ns)
{
	(void)arg, (void)status, (void)bytes, (void)duration_ns;
	HG_ASSERT(w.done < ANSWERS_MAX);
	w.head[w.done++] = req && req->head && req->method == HTTP1_HEAD;
}

static void start(void)
{
	char dir[] = "/tmp/serve-fuzz-XXXXXX", text[64];
	struct serve_options o = {.handle = handle, .done = on_done, .body_max = 4096};
	HG_ASSERT(mkdtemp(dir));
	snprintf(text, sizeof text, "unix:%s/s", dir);
	HG_ASSERT(sock_addr_parse(hg_str(text), &w.addr));
	int fd = sock_listen(&w.addr, 8);
	HG_ASSERT(fd >= 0 && loop_new(&w.l) == HG_OK);
	HG_ASSERT(serve_new(w.l, &o, &w.s) == HG_OK);
	HG_ASSERT(serve_listen(w.s, fd, 0) == HG_OK);
	hg_buf_init(&w.log, 1u << 20);
}

static void turn(int wait_ms)
{
	HG_ASSERT(loop_turn(w.l, wait_ms) == HG_OK);
}

/* Sends everything, `piece` bytes at a time, and reads until the server closes. */
static void converse(struct hg_str in, size_t piece, struct hg_buf *answers)
{
	char got[4096];
	int fd = sock_connect(&w.addr);
	HG_ASSERT(fd >= 0);
	turn(0);
	bool sending = true;
	for (unsigned i = 0;; i++) {
		HG_ASSERT(i < TURNS_MAX);
		size_t n = HG_MIN(piece, in.n);
		ssize_t sent = 0;
		if (sending && n) sent = sock_write(fd, (struct hg_str){in.p, n}, HG_STR(""));
		if (sent > 0) {
			in.p += sent;
			in.n -= (size_t)sent;
		}
		if (sending && (in.n == 0 || (sent < 0 && sent != -EAGAIN))) {
			sock_finish(fd);
			sending = false;
		}
		turn(sending ? 0 : 1);
		ssize_t r = sock_read(fd, got, sizeof got);
		if (r == -EAGAIN) continue;
		if (r <= 0) break;
		hg_buf_str(answers, (struct hg_str){got, (size_t)r});
	}
	sock_close(fd);
	for (unsigned i = 0; serve_connections(w.s); i++) {
		HG_ASSERT(i < TURNS_MAX);
		turn(1);
	}
}

/* The length of the response at the beginning. */
static size_t response_size(struct hg_str p, bool to_head)
{
	static struct http1_head h;
	const struct http1_limits lim = {1u << 16, 1u << 13, HTTP1_FIELDS_MAX};
	enum http1_result got = http1_response(p, 0, &lim, HTTP1_GET, false, &h);
	HG_ASSERT(got == HTTP1_DONE);
	if (h.status == 100 || to_head) return h.size;
	if (h.body == HTTP1_BODY_CLOSE) return p.n;
	if (h.body == HTTP1_BODY_NONE) return h.size;
	if (h.body == HTTP1_BODY_LENGTH) {
		HG_ASSERT(h.content_length <= p.n - h.size);
		return h.size + (size_t)h.content_length;
	}
	HG_ASSERT(h.body == HTTP1_BODY_CHUNKED);
	struct http1_chunked c = {0};
	size_t at = h.size;
	for (;;) {
		struct http1_span span =
		        http1_chunked_next(&c, (struct hg_str){p.p + at, p.n - at});
		at += span.used;
		HG_ASSERT(span.result != HTTP1_BAD && (span.used || span.result == HTTP1_DONE));
		if (span.result == HTTP1_DONE) return at;
	}
}

static void check_answers(struct hg_str p)
{
	unsigned answers = 0;
	while (p.n) {
		size_t n = response_size(p, answers < w.done && w.head[answers]);
		bool interim = n >= 12 && memcmp(p.p + 9, "100", 3) == 0;
		answers += !interim;
		p.p += n;
		p.n -= n;
	}
	/* One for each request, and at most one more that refuses what follows. */
	HG_ASSERT(answers == w.done && w.done >= w.handled && w.done <= w.handled + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = {1u << 16, 1, 7, 64};
	struct hg_buf answers, first;
	if (!w.s) start();
	if (size > 4096) return 0;
	hg_buf_init(&answers, 4u << 20);
	hg_buf_init(&first, 1u << 20);
	for (size_t i = 0; i < HG_COUNT(pieces); i++) {
		hg_buf_reset(&answers);
		hg_buf_reset(&w.log);
		w.handled = w.done = 0;
		converse((struct hg_str){(const char *)data, size}, pieces[i], &answers);
		HG_ASSERT(!answers.failed && !w.log.failed);
		check_answers(hg_buf_view(&answers));
		if (i == 0) hg_buf_str(&first, hg_buf_view(&w.log));
		HG_ASSERT(hg_str_eq(hg_buf_view(&first), hg_buf_view(&w.log)));
	}
	hg_buf_free(&answers);
	hg_buf_free(&first);
	return 0;
}
