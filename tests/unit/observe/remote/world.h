/*
 * Two stores on one loop: what one sends by remote write the other takes over HTTP, unless the test
 * tells the server in between to say something else. Time is the test's.
 */
#ifndef TESTS_REMOTE_WORLD_H
#define TESTS_REMOTE_WORLD_H

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "observe/remote/remote_priv.h"
#include "os/sock.h"

#define START INT64_C(1700000000000)

static int64_t clock_ms;

static inline int64_t now_ms(void)
{
	return clock_ms;
}

struct world {
	struct loop *loop;
	struct tsdb *from, *to; /* the sender's store, the receiver's */
	struct remote *sender, *taker;
	struct serve *serve;
	int listener;
	char dir[64], url[64], from_dir[80], to_dir[80];
	struct hg_log *log; /* of remotes that are opened from now on */
	/* What the server does: `say` 0: what the receiver says. */
	unsigned say, times; /* the next so many requests get this status */
	const char *retry_after;
	bool hang, garbage;
	struct serve_call *held;
	unsigned requests, flying_most;
	uint64_t bodies[64]; /* hashes */
	uint32_t body_n;
};

static inline void held_gone(void *arg)
{
	((struct world *)arg)->held = NULL;
}

static inline void handle(void *arg, struct serve_call *call, const struct serve_request *req)
{
	struct world *w = arg;
	w->requests++;
	if (w->body_n < HG_COUNT(w->bodies)) w->bodies[w->body_n++] = hg_str_hash(req->body);
	if (w->hang) {
		w->held = call;
		serve_later(call, held_gone, w);
		return;
	}
	if (w->garbage) {
		serve_abort(call);
		return;
	}
	if (w->say && w->times) {
		w->times--;
		if (w->retry_after) serve_field(call, "Retry-After", hg_str(w->retry_after));
		serve_answer(call, w->say, "text/plain", HG_STR("no, said the test\nmore"));
		return;
	}
	if (!remote_http(w->taker, call, req))
		serve_answer(call, 404, "text/plain", HG_STR("not here"));
}

static inline int world_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static inline struct remote *remote_open(struct world *w, struct tsdb *db, const char *dir)
{
	struct remote_options o = {
	        .loop = w->loop, .db = db, .dir = dir, .now_ms = now_ms, .log = w->log};
	struct remote *r;
	struct hg_err err = {0};
	if (remote_new(&o, &r, &err) != HG_OK) fail_msg("%s", err.message);
	return r;
}

static inline struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof *w);
	struct tsdb_options o = {.out_of_order_ms = 600000};
	struct remote_conf take = {.receive = true};
	struct sock_addr addr;
	struct hg_err err = {0};
	assert_non_null(w);
	clock_ms = START;
	(void)snprintf(w->dir, sizeof w->dir, "/tmp/hg-remote-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->from_dir, sizeof w->from_dir, "%s/from", w->dir);
	(void)snprintf(w->to_dir, sizeof w->to_dir, "%s/to", w->dir);
	assert_int_equal(loop_new(&w->loop), HG_OK);
	assert_int_equal(tsdb_open(&o, &w->from, &err), HG_OK);
	assert_int_equal(tsdb_open(&o, &w->to, &err), HG_OK);
	w->sender = remote_open(w, w->from, w->from_dir);
	w->taker = remote_open(w, w->to, w->to_dir);
	assert_int_equal(remote_apply(w->taker, &take, &err), HG_OK);
	sock_addr_tcp4(INADDR_LOOPBACK, 0, &addr);
	w->listener = sock_listen(&addr, 64);
	assert_true(w->listener >= 0 && sock_local(w->listener, &addr));
	(void)snprintf(
	        w->url, sizeof w->url, "http://127.0.0.1:%u/api/v1/write", sock_addr_port(&addr));
	struct serve_options so = {
	        .name = "test", .body_max = REMOTE_BODY_MAX, .handle = handle, .arg = w};
	assert_int_equal(serve_new(w->loop, &so, &w->serve), HG_OK);
	assert_int_equal(serve_listen(w->serve, w->listener, 0), HG_OK);
	return w;
}

static inline void world_free(struct world *w)
{
	remote_free(w->sender);
	remote_free(w->taker);
	serve_free(w->serve);
	close(w->listener);
	tsdb_close(w->from);
	tsdb_close(w->to);
	loop_free(w->loop);
	nftw(w->dir, world_remove, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
}

static inline tsdb_ref series(struct tsdb *db, const char *name, uint32_t i)
{
	char number[16];
	struct hg_err err = {0};
	tsdb_ref ref;
	(void)snprintf(number, sizeof number, "%05u", i);
	struct label l[] = {{LABEL_METRIC, hg_str(name)}, {HG_STR("i"), hg_str(number)}};
	assert_int_equal(tsdb_series(db, (struct labels){l, 2}, &ref, &err), HG_OK);
	return ref;
}

/* All series and samples as text: what two stores have in common is one text. */
static inline char *everything(struct tsdb *db)
{
	struct tsdb_selection *sel;
	struct tsdb_samples s = {0};
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 64 << 20);
	assert_int_equal(tsdb_select(db, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX, &sel, &err), HG_OK);
	for (uint32_t i = 0; i < tsdb_selection_count(sel); i++) {
		assert_int_equal(tsdb_selection_read(sel, i, TSDB_NO_MIN, TSDB_NO_MAX, &s), HG_OK);
		labels_print(&b, tsdb_selection_labels(sel, i));
		for (size_t k = 0; k < s.n; k++) {
			uint64_t bits;
			memcpy(&bits, &s.v[k], sizeof bits);
			hg_buf_fmt(&b, " %lld:%llx", (long long)(s.t[k] - START),
			        (unsigned long long)bits);
		}
		hg_buf_byte(&b, '\n');
	}
	tsdb_samples_free(&s);
	tsdb_selection_free(sel);
	char *text = strdup(hg_buf_text(&b));
	hg_buf_free(&b);
	assert_non_null(text);
	return text;
}

static inline bool same(struct world *w)
{
	char *a = everything(w->from), *b = everything(w->to);
	bool equal = strcmp(a, b) == 0;
	free(a);
	free(b);
	return equal;
}

#endif
