/*
 * The metrics rooms on one loop, without a platform around them: store, scraper, remote write in
 * and out, PromQL and its API. For bench/tsdb and for tests beside a real Prometheus:
 *
 *   metrics_drive --listen ADDR --dir DIR [--scrape ADDR [--targets N] [--interval MS]]
 *                 [--send URL] [--batch-ms MS] [--shards N]
 *
 * POST /api/v1/write takes samples, GET /metrics has the figures of remote write, the rest of
 * /api/v1 is Prometheus' API. Targets are asked for /metrics (one) or /t/0 … /t/N-1. It commits
 * once a second, as the observe process does. Questions come as lines on stdin, answers as lines on
 * stdout, ended by "." alone:
 *
 *   query TIME_MS EXPR
 *   range START END STEP EXPR
 *   time N query …     (or range …) minimum and median of N runs: wall and CPU microseconds
 *   stats              figures of store and scraper, one a line
 *   close              closes the windows that are over, as later commits would
 *
 * A number is written in hexadecimal, so that nothing is rounded. SIGTERM and the end of stdin end
 * it in order.
 */
#include "observe/api/api.h"
#include "observe/promql/promql.h"
#include "observe/remote/remote.h"
#include "observe/scrape/scrape.h"
#include "os/clock.h"
#include "os/sock.h"
#include "serve/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define COMMIT_MS   1000
#define TARGETS_MAX 1000u
#define RUNS_MAX    1000u

struct drive {
	struct loop *loop;
	struct tsdb *db;
	struct scrape *scrape;
	struct remote *remote;
	struct promapi *api;
	struct observe_lock lock;
	struct serve *serve;
	struct loop_timer timer;
	struct loop_io in;
	struct hg_buf line;
	const char *listen, *dir, *address, *send;
	uint32_t targets, interval_ms, batch_ms, shards;
	int listener;
	double worst_commit_ms;
};

static int64_t now_ms(void)
{
	return (int64_t)clock_wall_ms();
}

static double cpu_us(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void die(const char *what, const struct hg_err *err)
{
	fprintf(stderr, "metrics_drive: %s: %s\n", what, err ? err->message : "");
	exit(1);
}

/* ------------------------------------------------------------------ questions */

struct question {
	struct promql_query *q;
	struct promql_options o;
};

static bool question_read(char *text, struct question *ret, struct hg_err *err)
{
	char *expr = NULL;
	*ret = (struct question){0};
	if (strncmp(text, "query ", 6) == 0) {
		ret->o.start_ms = ret->o.end_ms = strtoll(text + 6, &expr, 10);
	} else if (strncmp(text, "range ", 6) == 0) {
		ret->o.start_ms = strtoll(text + 6, &expr, 10);
		ret->o.end_ms = strtoll(expr, &expr, 10);
		ret->o.step_ms = strtoll(expr, &expr, 10);
	} else {
		(void)hg_err_set(err, HG_E_INVALID, "no such question");
		return false;
	}
	return promql_parse(hg_str(expr), &ret->q, err) == HG_OK;
}

static void print_result(const struct promql_result *r)
{
	struct hg_buf b;
	hg_buf_init(&b, 1 << 20);
	printf("%s\n", promql_type_name(r->type));
	if (r->type == PROMQL_SCALAR) printf("%a\n", r->scalar);
	for (size_t i = 0; i < r->n; i++) {
		const struct promql_series *s = &r->series[i];
		hg_buf_reset(&b);
		labels_print(&b, s->labels);
		printf("%s", hg_buf_text(&b));
		for (size_t k = 0; k < s->n; k++)
			printf("\t%" PRId64 " %a", s->t[k], s->v[k]);
		putchar('\n');
	}
	hg_buf_free(&b);
}

static void answer(struct drive *d, char *text)
{
	struct question q;
	struct hg_err err = {0};
	const struct promql_result *r = NULL;
	if (!question_read(text, &q, &err) || promql_run(d->db, q.q, &q.o, &r, &err) != HG_OK)
		printf("error %s %s\n", hg_rc_info(err.rc)->code, err.message);
	else
		print_result(r);
	promql_result_free(r);
	promql_free(q.q);
}

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void answer_timed(struct drive *d, char *text)
{
	static double wall[RUNS_MAX], cpu[RUNS_MAX];
	char *rest;
	unsigned long n = strtoul(text, &rest, 10);
	n = HG_MAX(1, HG_MIN(n, RUNS_MAX));
	for (unsigned long i = 0; i < n; i++) {
		struct question q;
		struct hg_err err = {0};
		const struct promql_result *r = NULL;
		double cpu_at = cpu_us();
		uint64_t at = clock_mono_ns();
		if (!question_read(rest + (*rest == ' '), &q, &err) ||
		        promql_run(d->db, q.q, &q.o, &r, &err) != HG_OK) {
			printf("error %s\n", err.message);
			return;
		}
		promql_result_free(r);
		promql_free(q.q);
		wall[i] = (double)(clock_mono_ns() - at) / 1e3;
		cpu[i] = cpu_us() - cpu_at;
	}
	qsort(wall, n, sizeof *wall, by_number);
	qsort(cpu, n, sizeof *cpu, by_number);
	printf("%.1f %.1f %.1f %.1f\n", wall[0], wall[n / 2], cpu[0], cpu[n / 2]);
}

static void answer_stats(struct drive *d)
{
	struct tsdb_stats s;
	struct scrape_stats sc = {0};
	tsdb_stats(d->db, &s);
	if (d->scrape) scrape_stats(d->scrape, &sc);
	printf("series %" PRIu64 "\nsamples %" PRIu64 "\nmemory %" PRIu64 "\ndisk %" PRIu64
	       "\nwritten %" PRIu64 "\nwindows %" PRIu64 "\nreplayed %" PRIu64 "\ndamaged %" PRIu64
	       "\nout_of_order %" PRIu64 "\n",
	        s.series, s.samples, s.memory_bytes, s.disk_bytes, s.written_bytes, s.windows,
	        s.replayed, s.damaged, s.out_of_order);
	printf("scrapes %" PRIu64 "\nscrapes_failed %" PRIu64 "\nrefused %" PRIu64
	       "\nworst_commit_ms %.3f\nmax_ms %" PRId64 "\n",
	        sc.scrapes, sc.failed, sc.refused_series + sc.refused_samples, d->worst_commit_ms,
	        s.max_ms);
}

/* A sample far ahead makes every other window one that is over; the commits close them. */
static void answer_close(struct drive *d)
{
	struct label l[] = {{LABEL_METRIC, HG_STR("drive_end")}};
	struct tsdb_stats s;
	struct hg_err err;
	tsdb_ref ref;
	tsdb_stats(d->db, &s);
	if (tsdb_series(d->db, (struct labels){l, 1}, &ref, &err) != HG_OK ||
	        tsdb_append(d->db, ref, s.max_ms + 4 * 7200000, 1) != HG_OK)
		printf("error\n");
	for (unsigned i = 0; i < 100; i++)
		(void)!tsdb_commit(d->db);
	answer_stats(d);
}

static void line_take(struct drive *d, char *text)
{
	if (strcmp(text, "stats") == 0)
		answer_stats(d);
	else if (strcmp(text, "close") == 0)
		answer_close(d);
	else if (strncmp(text, "time ", 5) == 0)
		answer_timed(d, text + 5);
	else
		answer(d, text);
	printf(".\n");
	fflush(stdout);
}

static void on_in(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct drive *d = HG_CONTAINER(io, struct drive, in);
	(void)events;
	char *to = hg_buf_room(&d->line, 65536);
	ssize_t n = to ? read(0, to, 65536) : 0;
	if (n < 0 && errno == EAGAIN) return;
	if (n <= 0) {
		loop_stop(l);
		return;
	}
	hg_buf_add(&d->line, (size_t)n);
	char *end;
	while ((end = memchr(d->line.p, '\n', d->line.n))) {
		*end = 0;
		line_take(d, d->line.p);
		hg_buf_drop(&d->line, (size_t)(end - d->line.p) + 1);
	}
}

/* ------------------------------------------------------------------ the process */

static void handle(void *arg, struct serve_call *call, const struct serve_request *req)
{
	struct drive *d = arg;
	if (remote_http(d->remote, call, req) || promapi_http(d->api, call, req)) return;
	struct hg_buf b;
	hg_buf_init(&b, 1 << 20);
	if (hg_str_eq(req->path, HG_STR("/metrics"))) {
		remote_metrics(d->remote, &b);
		serve_answer(call, 200, "text/plain; version=0.0.4", hg_buf_view(&b));
	} else {
		serve_answer(call, 404, "text/plain", HG_STR("nothing here\n"));
	}
	hg_buf_free(&b);
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	struct drive *d = HG_CONTAINER(t, struct drive, timer);
	uint64_t at = clock_mono_ns();
	(void)!tsdb_commit(d->db);
	double ms = (double)(clock_mono_ns() - at) / 1e6;
	d->worst_commit_ms = HG_MAX(d->worst_commit_ms, ms);
	if (loop_timer_start(l, &d->timer, COMMIT_MS, on_timer) != HG_OK) loop_stop(l);
}

static void on_term(struct loop *l, int signo, void *arg)
{
	(void)signo, (void)arg;
	loop_stop(l);
}

static void scrape_begin(struct drive *d)
{
	static struct scrape_target_conf target[TARGETS_MAX];
	static struct label label[TARGETS_MAX][3];
	static char text[TARGETS_MAX][2][32];
	struct scrape_options o = {.loop = d->loop, .db = d->db, .now_ms = now_ms};
	struct scrape_job_conf job = {.name = HG_STR("bench"),
	        .interval_ms = d->interval_ms,
	        .timeout_ms = d->interval_ms,
	        .targets = target,
	        .target_n = d->targets};
	struct hg_err err = {0};
	if (scrape_new(&o, &d->scrape, &err) != HG_OK) die("scrape", &err);
	for (uint32_t i = 0; i < d->targets; i++) {
		(void)snprintf(
		        text[i][0], sizeof text[i][0], d->targets > 1 ? "/t/%u" : "/metrics", i);
		(void)snprintf(text[i][1], sizeof text[i][1], "target-%u", i);
		label[i][0] = (struct label){HG_STR("__address__"), hg_str(d->address)};
		label[i][1] = (struct label){HG_STR("__metrics_path__"), hg_str(text[i][0])};
		label[i][2] = (struct label){HG_STR("instance"), hg_str(text[i][1])};
		target[i].labels = (struct labels){label[i], 3};
	}
	if (scrape_apply(d->scrape, &job, 1, &err) != HG_OK) die("scrape", &err);
}

static void begin(struct drive *d)
{
	struct hg_err err = {0};
	struct sock_addr addr;
	char path[512];
	uint64_t at = clock_mono_ns();
	struct tsdb_options o = {.dir = d->dir, .memory_bytes = 8ull << 30};
	struct serve_options so = {
	        .name = "drive", .body_max = REMOTE_BODY_MAX, .handle = handle, .arg = d};
	if (loop_new(&d->loop) != HG_OK || tsdb_open(&o, &d->db, &err) != HG_OK) die("store", &err);
	fprintf(stderr, "open_ms %.3f\n", (double)(clock_mono_ns() - at) / 1e6);
	(void)snprintf(path, sizeof path, "%s-remote", d->dir);
	struct remote_options ro = {.loop = d->loop, .db = d->db, .dir = path, .now_ms = now_ms};
	struct remote_target_conf to = {.name = HG_STR("drive"),
	        .url = hg_str(d->send),
	        .batch_ms = d->batch_ms,
	        .shards = d->shards};
	struct remote_conf rc = {.receive = true, .targets = &to, .target_n = d->send ? 1 : 0};
	if (remote_new(&ro, &d->remote, &err) != HG_OK ||
	        remote_apply(d->remote, &rc, &err) != HG_OK)
		die("remote", &err);
	struct promapi_options po = {.loop = d->loop,
	        .db = d->db,
	        .lock = &d->lock,
	        .now_ms = now_ms,
	        .version = HG_VERSION,
	        .dir = d->dir};
	if (promapi_new(&po, &d->api, &err) != HG_OK) die("api", &err);
	if (!sock_addr_parse(hg_str(d->listen), &addr) ||
	        (d->listener = sock_listen(&addr, 64)) < 0 ||
	        serve_new(d->loop, &so, &d->serve) != HG_OK ||
	        serve_listen(d->serve, d->listener, 0) != HG_OK)
		die("listen", NULL);
	if (d->address) scrape_begin(d);
	hg_buf_init(&d->line, 1 << 24);
	(void)fcntl(0, F_SETFL, O_NONBLOCK);
	if (loop_io_start(d->loop, &d->in, 0, EPOLLIN, on_in) != HG_OK ||
	        loop_timer_start(d->loop, &d->timer, COMMIT_MS, on_timer) != HG_OK ||
	        loop_signal(d->loop, SIGTERM, on_term, d) != HG_OK)
		die("loop", NULL);
}

static bool option(struct drive *d, const char *name, const char *value)
{
	uint32_t n = (uint32_t)strtoul(value, NULL, 10);
	if (strcmp(name, "--listen") == 0)
		d->listen = value;
	else if (strcmp(name, "--dir") == 0)
		d->dir = value;
	else if (strcmp(name, "--scrape") == 0)
		d->address = value;
	else if (strcmp(name, "--send") == 0)
		d->send = value;
	else if (strcmp(name, "--targets") == 0)
		d->targets = HG_MIN(n, TARGETS_MAX);
	else if (strcmp(name, "--interval") == 0)
		d->interval_ms = n;
	else if (strcmp(name, "--batch-ms") == 0)
		d->batch_ms = n;
	else if (strcmp(name, "--shards") == 0)
		d->shards = n;
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	struct drive d = {.targets = 1, .interval_ms = 1000, .in.fd = -1};
	for (int i = 1; i < argc; i += 2)
		if (i + 1 == argc || !option(&d, argv[i], argv[i + 1])) die(argv[i], NULL);
	if (!d.listen || !d.dir) die("--listen and --dir are needed", NULL);
	signal(SIGPIPE, SIG_IGN);
	observe_lock_init(&d.lock);
	observe_lock_take(&d.lock);
	begin(&d);
	loop_hooks(d.loop, observe_lock_give, observe_lock_take, &d.lock);
	enum hg_rc rc = loop_run(d.loop);
	scrape_free(d.scrape);
	serve_free(d.serve);
	promapi_free(d.api);
	remote_free(d.remote);
	tsdb_close(d.db);
	loop_free(d.loop);
	observe_lock_give(&d.lock);
	observe_lock_fini(&d.lock);
	hg_buf_free(&d.line);
	return rc == HG_OK ? 0 : 1;
}
