/*
 * Prometheus' HTTP API over a store of its own, without a platform around it: for tests and for
 * comparisons with Prometheus over the same samples.
 *
 *   metrics_server --listen ADDR [--dir DIR] [--load FILE]… [--scrape ADDR --interval MS]
 *                  [--now UNIX_MS] [--external NAME=VALUE]…
 *
 * FILE is OpenMetrics with a timestamp on every sample (what promtool tsdb
 * create-blocks-from openmetrics takes). Says "ready ADDR" once it listens; SIGTERM ends it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "observe/api/api.h"
#include "os/clock.h"
#include "os/file.h"
#include "wire/promread.h"

#define FILE_BYTES ((size_t)1 << 30)

static int64_t fixed_now; /* 0: the clock's */

static int64_t now_ms(void)
{
	return fixed_now ? fixed_now : (int64_t)clock_wall_ms();
}

static void die(const char *what, const struct hg_err *err)
{
	fprintf(stderr, "metrics_server: %s%s%s\n", what, err ? ": " : "", err ? err->message : "");
	exit(1);
}

/* ---- samples from a file ---- */

/* The parts of a series, unescaped, in `text`, which must not move. */
static struct hg_str part(struct hg_str s, bool escaped, struct hg_buf *text)
{
	size_t from = text->n;
	if (!escaped) return s;
	promread_unescape(s, false, text);
	return (struct hg_str){text->p + from, text->n - from};
}

static tsdb_ref series_of(struct tsdb *db, struct hg_str series)
{
	struct labels_builder b = {0};
	struct promread_label l;
	struct labels ls;
	struct hg_err err = {0};
	struct hg_buf text;
	tsdb_ref ref = 0;
	size_t at = 0;
	hg_buf_init(&text, series.n + 16);
	if (!hg_buf_room(&text, series.n + 1)) die("no memory", NULL);
	while (promread_label_next(series, &at, &l))
		labels_builder_add(&b, part(l.name, l.name_escaped, &text),
		        part(l.value, l.value_escaped, &text));
	if (labels_builder_done(&b, &ls) < 0 || tsdb_series(db, ls, &ref, &err) < 0)
		die("a series was refused", &err);
	labels_builder_fini(&b);
	hg_buf_free(&text);
	return ref;
}

static void load(struct tsdb *db, const char *file)
{
	struct hg_buf text;
	struct hg_err err = {0};
	struct promread_entry e;
	struct hg_str last = {0};
	enum promread_event got;
	tsdb_ref ref = 0;
	uint64_t samples = 0;
	hg_buf_init(&text, FILE_BYTES);
	if (file_read(file, FILE_BYTES, &text, &err) < 0) die(file, &err);
	struct promread r = promread_over(hg_buf_view(&text), PROMREAD_OPENMETRICS);
	while ((got = promread_next(&r, last, &e)) != PROMREAD_END) {
		if (got == PROMREAD_BAD) {
			(void)promread_err(&r, file, &err);
			die(file, &err);
		}
		if (got != PROMREAD_SAMPLE) continue;
		if (!e.has_time) die("a sample has no time", NULL);
		if (!last.n || !hg_str_eq(last, e.series)) ref = series_of(db, e.series);
		last = e.series;
		if (tsdb_append(db, ref, e.time_ms, e.value) < 0) die("a sample was refused", NULL);
		if (++samples % 1000000 == 0 && tsdb_commit(db) < 0) die("the disk refuses", NULL);
	}
	if (tsdb_commit(db) < 0) die("the disk refuses", NULL);
	hg_buf_free(&text);
}

/* ---- serving ---- */

struct server {
	struct loop *loop;
	struct tsdb *db;
	struct promapi *api;
	struct observe_lock lock;
	struct loop_timer commit;
};

static void handle(void *arg, struct serve_call *call, const struct serve_request *req)
{
	struct server *s = arg;
	if (promapi_http(s->api, call, req)) return;
	serve_answer(call, 404, "text/plain", HG_STR("there is nothing at this path\n"));
}

static void commit(struct loop *l, struct loop_timer *t)
{
	struct server *s = HG_CONTAINER(t, struct server, commit);
	if (tsdb_commit(s->db) < 0) fprintf(stderr, "the disk refuses\n");
	if (loop_timer_start(l, t, 1000, commit) < 0) loop_stop(l);
}

static void on_term(struct loop *l, int signo, void *arg)
{
	(void)signo, (void)arg;
	loop_stop(l);
}

static void scrape_begin(struct scrape *s, const char *address, const char *interval)
{
	struct label label[] = {{HG_STR("__address__"), hg_str(address)}};
	struct scrape_target_conf target = {.labels = {label, 1}};
	struct scrape_job_conf job = {.name = HG_STR("test"), .targets = &target, .target_n = 1};
	struct hg_err err = {0};
	job.interval_ms = job.timeout_ms = (uint32_t)strtoul(interval, NULL, 10);
	if (scrape_apply(s, &job, 1, &err) < 0) die("scrape", &err);
}

struct arguments {
	const char *listen, *dir, *scrape, *interval, *load[16];
	struct label external[16];
	unsigned loads, externals;
};

static void read_arguments(int argc, char **argv, struct arguments *a)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *v = argv[i + 1];
		if (!strcmp(argv[i], "--listen")) a->listen = v;
		if (!strcmp(argv[i], "--dir")) a->dir = v;
		if (!strcmp(argv[i], "--scrape")) a->scrape = v;
		if (!strcmp(argv[i], "--interval")) a->interval = v;
		if (!strcmp(argv[i], "--now")) fixed_now = strtoll(v, NULL, 10);
		if (!strcmp(argv[i], "--load") && a->loads < HG_COUNT(a->load))
			a->load[a->loads++] = v;
		if (!strcmp(argv[i], "--external") && a->externals < HG_COUNT(a->external)) {
			struct hg_str value = hg_str(v), name = hg_str_cut(&value, '=');
			a->external[a->externals++] = (struct label){name, value};
		}
	}
	if (!a->listen) die("--listen ADDR is needed", NULL);
}

int main(int argc, char **argv)
{
	struct arguments a = {.interval = "15000"};
	struct server s = {0};
	struct scrape *scrape = NULL;
	struct serve *serve;
	struct sock_addr addr;
	struct hg_err err = {0};
	char text[SOCK_TEXT_MAX];
	read_arguments(argc, argv, &a);
	struct tsdb_options to = {.dir = a.dir,
	        .window_ms = 7200000,
	        .memory_bytes = (uint64_t)2 << 30,
	        .out_of_order_ms = (int64_t)366 * 86400000};
	if (tsdb_open(&to, &s.db, &err) < 0) die("store", &err);
	for (unsigned i = 0; i < a.loads; i++)
		load(s.db, a.load[i]);
	observe_lock_init(&s.lock);
	if (loop_new(&s.loop) < 0) die("loop", NULL);
	observe_lock_take(&s.lock);
	loop_hooks(s.loop, observe_lock_give, observe_lock_take, &s.lock);
	struct scrape_options co = {.loop = s.loop, .db = s.db, .now_ms = now_ms};
	if (a.scrape && scrape_new(&co, &scrape, &err) < 0) die("scrape", &err);
	if (a.scrape) scrape_begin(scrape, a.scrape, a.interval);
	struct promapi_options o = {.loop = s.loop,
	        .db = s.db,
	        .lock = &s.lock,
	        .now_ms = now_ms,
	        .scrape = scrape,
	        .version = HG_VERSION,
	        .dir = a.dir};
	if (promapi_new(&o, &s.api, &err) < 0) die("api", &err);
	if (promapi_external_labels(s.api, (struct labels){a.external, a.externals}) < 0)
		die("external labels", NULL);
	struct serve_options so = {.body_max = PROMAPI_BODY_MAX, .handle = handle, .arg = &s};
	if (serve_new(s.loop, &so, &serve) < 0) die("serve", NULL);
	int fd = sock_addr_parse(hg_str(a.listen), &addr) ? sock_listen(&addr, 128) : -1;
	if (fd < 0 || serve_listen(serve, fd, 0) < 0 || !sock_local(fd, &addr)) die("listen", NULL);
	if (loop_signal(s.loop, SIGTERM, on_term, NULL) < 0) die("signal", NULL);
	commit(s.loop, &s.commit);
	(void)sock_addr_text(&addr, text, sizeof text);
	printf("ready %s\n", text);
	fflush(stdout);
	enum hg_rc rc = loop_run(s.loop);
	serve_free(serve);
	promapi_free(s.api);
	scrape_free(scrape);
	loop_free(s.loop);
	observe_lock_give(&s.lock);
	observe_lock_fini(&s.lock);
	tsdb_close(s.db);
	sock_close(fd);
	return rc == HG_OK ? 0 : 1;
}
