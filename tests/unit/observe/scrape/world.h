/* A store, a scraper that is asked when the test says so, and the server it asks. Included behind
 * scrape.c. */
#ifndef TESTS_SCRAPE_WORLD_H
#define TESTS_SCRAPE_WORLD_H

#include <errno.h>

#include "server.h"

#define TEXT "Content-Type: text/plain; version=0.0.4\r\n"

static int64_t clock_ms; /* the test's clock */

static inline int64_t now_ms(void)
{
	return clock_ms;
}

struct world {
	struct loop *loop;
	struct tsdb *db;
	struct scrape *scrape;
	struct server server;
	struct scrape_job_conf job;
	struct scrape_target_conf target;
	struct label label[8];
	char address[SOCK_TEXT_MAX];
	struct hg_buf answer;
};

static inline void apply(struct world *w)
{
	struct hg_err err = {0};
	if (scrape_apply(w->scrape, &w->job, 1, &err) < 0) fail_msg("%s", err.message);
}

static inline void world_new(struct world *w, const char *address)
{
	struct tsdb_options o = {.out_of_order_ms = 600000};
	struct hg_err err = {0};
	struct scrape_options so;
	*w = (struct world){0};
	clock_ms = 1700000000000;
	hg_buf_init(&w->answer, 64 << 20);
	assert_int_equal(loop_new(&w->loop), HG_OK);
	assert_int_equal(tsdb_open(&o, &w->db, &err), HG_OK);
	so = (struct scrape_options){.loop = w->loop, .db = w->db, .now_ms = now_ms};
	assert_int_equal(scrape_new(&so, &w->scrape, &err), HG_OK);
	server_start(&w->server, w->loop, address);
	(void)sock_addr_text(&w->server.addr, w->address, sizeof w->address);
	w->label[0] = (struct label){HG_STR("__address__"), hg_str(w->address)};
	w->label[1] = (struct label){HG_STR("instance"), HG_STR("i")};
	w->target.labels = (struct labels){w->label, 2};
	w->job = (struct scrape_job_conf){.name = HG_STR("j"),
	        .interval_ms = 60000,
	        .timeout_ms = 60000,
	        .targets = &w->target,
	        .target_n = 1};
}

static inline void world_free(struct world *w)
{
	scrape_free(w->scrape);
	server_stop(&w->server);
	tsdb_close(w->db);
	loop_free(w->loop);
	hg_buf_free(&w->answer);
}

static inline struct target *first(struct world *w)
{
	struct hg_list *node = hg_list_first(&w->scrape->targets);
	assert_non_null(node);
	return HG_CONTAINER(node, struct target, node);
}

/* Goes to the next planned time and scrapes once. Returns the time of its samples. */
static inline int64_t once(struct world *w)
{
	struct target *t = first(w);
	clock_ms = t->plan.due_ms;
	loop_timer_stop(w->loop, &t->timer);
	ask(t);
	while (busy(t))
		assert_int_equal(loop_turn(w->loop, 1000), HG_OK);
	return t->t_ms;
}

/* An answer with this body, and what follows it. */
static inline void say(struct world *w, const char *type, const char *body)
{
	hg_buf_reset(&w->answer);
	hg_buf_fmt(
	        &w->answer, "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n", type, strlen(body));
	hg_buf_cstr(&w->answer, body);
	w->server.answer = hg_buf_view(&w->answer);
	w->server.then = KEEP;
}

static inline int64_t scraped(struct world *w, const char *body)
{
	say(w, TEXT, body);
	return once(w);
}

/* All series of this metric at `t`: "{labels} value;", a marker is "end". */
static inline const char *have(struct world *w, const char *metric, int64_t t)
{
	static struct hg_buf b;
	struct label_matcher m = {.op = LABEL_EQ, .name = LABEL_METRIC, .value = hg_str(metric)};
	struct tsdb_selection *sel;
	struct tsdb_samples samples = {0};
	struct hg_err err = {0};
	if (!b.max) hg_buf_init(&b, 1 << 16);
	hg_buf_reset(&b);
	assert_int_equal(tsdb_select(w->db, &m, 1, t, t, &sel, &err), HG_OK);
	for (uint32_t i = 0; i < tsdb_selection_count(sel); i++) {
		struct labels_builder lb;
		struct labels ls;
		assert_int_equal(tsdb_selection_read(sel, i, t, t, &samples), HG_OK);
		if (samples.n == 0) continue;
		labels_builder_init(&lb);
		labels_builder_from(&lb, tsdb_selection_labels(sel, i));
		labels_builder_drop(&lb, LABEL_METRIC);
		assert_int_equal(labels_builder_done(&lb, &ls), HG_OK);
		labels_print(&b, ls);
		labels_builder_fini(&lb);
		if (tsdb_is_stale(samples.v[0]))
			hg_buf_cstr(&b, " end;");
		else
			hg_buf_fmt(&b, " %g;", samples.v[0]);
	}
	tsdb_samples_free(&samples);
	tsdb_selection_free(sel);
	return hg_buf_text(&b);
}

static inline void has(struct world *w, const char *metric, int64_t t, const char *want)
{
	const char *got = have(w, metric, t);
	if (strcmp(got, want) != 0) fail_msg("%s: have \"%s\", want \"%s\"", metric, got, want);
}

/* 10 MiB of "a" lines in 10 kB, made with zlib itself. */
static inline void zip(struct hg_buf *to, size_t bytes, size_t cut)
{
	z_stream z = {0};
	static char plain[1 << 16];
	size_t from = to->n;
	memset(plain, '\n', sizeof plain);
	memcpy(plain, "a 1", 3);
	assert_int_equal(
	        deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
	for (size_t done = 0; done <= bytes; done += sizeof plain) {
		char out[1 << 16];
		bool last = done + sizeof plain > bytes;
		z.next_in = (Bytef *)plain;
		z.avail_in = bytes < sizeof plain ? (uInt)bytes : last ? 0 : sizeof plain;
		if (done) plain[0] = plain[1] = plain[2] = '\n';
		do {
			z.next_out = (Bytef *)out;
			z.avail_out = sizeof out;
			(void)deflate(&z, last ? Z_FINISH : Z_NO_FLUSH);
			hg_buf_str(to, (struct hg_str){out, sizeof out - z.avail_out});
		} while (z.avail_out == 0);
		if (last) break;
	}
	(void)deflateEnd(&z);
	if (cut) to->n = from + (to->n - from) / cut;
}

/* An answer of which `body` is the gzip. */
static inline void say_gzip(struct world *w, struct hg_str body)
{
	hg_buf_reset(&w->answer);
	hg_buf_fmt(&w->answer,
	        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", body.n);
	hg_buf_str(&w->answer, body);
	w->server.answer = hg_buf_view(&w->answer);
	w->server.then = KEEP;
}

#endif
