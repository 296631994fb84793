/*
 * The observe process: pipes from the warden, lines into the store, answers over HTTP. It may be
 * killed at any instruction: the warden starts another one, hands it the same pipes, and the
 * store goes on where the last block ended.
 */
#include "observe/logs/http_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/clock.h"
#include "warden/warden.h"

#define TICK_MS       250
#define ORPHANS_MS    10000 /* for the warden to hand over all pipes again */
#define FEEDS_MAX     4096u
#define BLIND_TICKS   20 /* without a spool file for 5 s: the pipe is emptied all the same */
#define FEED_STREAMS  2
#define DISCARD_BYTES 65536
#define TRACES_MS     500 /* for what is left of traces at the end */

struct observe;

struct pipe_feed {
	struct loop_io io;
	struct feed *feed;
	struct logs_source *source; /* NULL: could not be opened yet */
	int fd;                     /* the source's; ours while there is none */
	unsigned blind;
};

/* One replica. */
struct feed {
	struct hg_list node;
	struct observe *o;
	uint64_t id;
	struct wd_who who;
	struct pipe_feed pipe[FEED_STREAMS];
	bool drained; /* only the answer to the warden is missing */
};

struct observe {
	struct loop *loop;
	struct logs *logs;
	struct logs_http *http;
	struct traces *traces;
	struct serve *serve;
	struct loop_io warden_io;
	struct loop_timer tick;
	struct hg_list feeds;
	uint32_t feed_count;
	uint64_t started_ms;
	bool orphans_ended;
	struct hg_log log;
};

static void pipe_ready(struct loop *loop, struct loop_io *io, uint32_t events)
{
	struct pipe_feed *p = HG_CONTAINER(io, struct pipe_feed, io);
	struct observe *o = p->feed->o;
	uint64_t before = logs_lines(o->logs);
	(void)events;
	/* An end without writers would be reported for ever; WD_LOG_END reads the rest. */
	if (logs_source_drain(o->logs, p->source) == LOGS_CLOSED) loop_io_stop(loop, io);
	if (logs_lines(o->logs) != before) logs_http_wake(o->http);
}

/* Opens the spool of one pipe; when that fails it is tried again with every tick. */
static void pipe_open(struct pipe_feed *p, enum logs_stream stream)
{
	struct feed *f = p->feed;
	struct logs_label label = {.release = f->who.release,
	        .replica = f->who.replica,
	        .incarnation = f->who.incarnation,
	        .stream = stream};
	hg_str_copy(hg_str(f->who.app), label.app, sizeof label.app);
	int fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 3); /* the store closes what it is given */
	if (fd < 0 || logs_source_open(f->o->logs, &label, fd, &p->source) < 0) {
		p->source = NULL;
		return;
	}
	close(p->fd);
	p->fd = fd;
	if (loop_io_start(f->o->loop, &p->io, fd, EPOLLIN, pipe_ready) < 0)
		hg_log(&f->o->log, HG_ERROR, "logs.watch_failed", HG_S("app", f->who.app));
}

/* A replica must not stand still because there is no spool file. */
static void pipe_blind(struct pipe_feed *p)
{
	char sink[DISCARD_BYTES];
	if (++p->blind < BLIND_TICKS) return;
	if (p->blind == BLIND_TICKS)
		hg_log(&p->feed->o->log, HG_ERROR, "logs.no_spool", HG_S("app", p->feed->who.app));
	for (unsigned i = 0; i < 64; i++)
		if (read(p->fd, sink, sizeof sink) <= 0) break;
}

static void feed_free(struct feed *f)
{
	for (unsigned i = 0; i < FEED_STREAMS; i++)
		if (!f->pipe[i].source && f->pipe[i].fd >= 0) close(f->pipe[i].fd);
	hg_list_remove(&f->node);
	f->o->feed_count--;
	free(f);
}

static void feed_open(struct observe *o, const struct wd_msg *m, const int *fds)
{
	struct feed *f = o->feed_count < FEEDS_MAX ? calloc(1, sizeof *f) : NULL;
	if (!f) {
		hg_log(&o->log, HG_ERROR, "logs.too_many_sources", HG_S("app", m->who.app));
		for (unsigned i = 0; i < FEED_STREAMS; i++)
			close(fds[i]);
		return;
	}
	*f = (struct feed){.o = o, .id = m->id, .who = m->who};
	hg_list_init(&f->node);
	hg_list_append(&o->feeds, &f->node);
	o->feed_count++;
	for (unsigned i = 0; i < FEED_STREAMS; i++) {
		struct pipe_feed *p = &f->pipe[i];
		*p = (struct pipe_feed){.io.fd = -1, .feed = f, .fd = fds[i]};
		(void)fcntl(p->fd, F_SETFL, O_NONBLOCK);
		pipe_open(p, i == 0 ? LOGS_STDOUT : LOGS_STDERR);
	}
}

/* Empties the pipes; from then on the store has everything. */
static void feed_drain(struct feed *f)
{
	for (unsigned i = 0; i < FEED_STREAMS; i++) {
		struct pipe_feed *p = &f->pipe[i];
		loop_io_stop(f->o->loop, &p->io);
		if (!p->source) pipe_open(p, i == 0 ? LOGS_STDOUT : LOGS_STDERR);
		if (!p->source) continue;
		loop_io_stop(f->o->loop, &p->io);
		logs_source_end(f->o->logs, p->source);
		p->fd = -1;
	}
	f->drained = true;
}

static void feed_answer(struct observe *o, struct feed *f)
{
	struct wd_msg m = {.magic = WD_MAGIC, .type = WD_LOG_DRAINED, .id = f->id, .who = f->who};
	int rc = o->warden_io.fd >= 0 ? sock_send(o->warden_io.fd, &m, sizeof m, NULL, 0) : 0;
	if (rc != -EAGAIN) feed_free(f);
}

static void stop(struct observe *o)
{
	HG_LIST_EACH (at, &o->feeds) {
		struct feed *f = HG_CONTAINER(at, struct feed, node);
		if (!f->drained) feed_drain(f);
	}
	traces_flush(o->traces, TRACES_MS);
	if (logs_flush(o->logs) < 0) hg_log(&o->log, HG_WARN, "logs.flush_failed");
	loop_stop(o->loop);
}

static void warden_message(struct observe *o, const struct wd_msg *m, int *fds, size_t fd_count)
{
	if (m->type == WD_LOG_OPEN && fd_count == FEED_STREAMS) {
		feed_open(o, m, fds);
		return;
	}
	for (size_t i = 0; i < fd_count; i++)
		close(fds[i]);
	if (m->type == WD_LOG_STOP) stop(o);
	if (m->type != WD_LOG_END) return;
	HG_LIST_EACH_SAFE (at, after, &o->feeds) {
		struct feed *f = HG_CONTAINER(at, struct feed, node);
		if (f->id != m->id || f->drained) continue;
		feed_drain(f);
		logs_http_wake(o->http);
		feed_answer(o, f);
		return;
	}
	/* Unknown: it ended before this process was there, and the spool has what came. */
	struct wd_msg answer = {
	        .magic = WD_MAGIC, .type = WD_LOG_DRAINED, .id = m->id, .who = m->who};
	(void)!sock_send(o->warden_io.fd, &answer, sizeof answer, NULL, 0);
}

static void warden_ready(struct loop *loop, struct loop_io *io, uint32_t events)
{
	struct observe *o = HG_CONTAINER(io, struct observe, warden_io);
	struct wd_msg m = {0};
	int fds[SOCK_FDS_MAX];
	size_t fd_count = 0;
	(void)events;
	ssize_t n = sock_recv(io->fd, &m, sizeof m, fds, &fd_count);
	if (n == -EAGAIN || n == -EINTR) return;
	if (n <= 0) {
		/* The warden died. We go on for those who still write. */
		hg_log(&o->log, HG_WARN, "logs.warden_gone");
		loop_io_stop(loop, io);
		return;
	}
	if (!wd_msg_valid(&m, (size_t)n)) {
		for (size_t i = 0; i < fd_count; i++)
			close(fds[i]);
		return;
	}
	warden_message(o, &m, fds, fd_count);
}

static void tick(struct loop *loop, struct loop_timer *t)
{
	struct observe *o = HG_CONTAINER(t, struct observe, tick);
	uint64_t now = loop_now_ms(loop), before = logs_lines(o->logs);
	HG_LIST_EACH_SAFE (at, after, &o->feeds) {
		struct feed *f = HG_CONTAINER(at, struct feed, node);
		if (f->drained) {
			feed_answer(o, f);
			continue;
		}
		for (unsigned i = 0; i < FEED_STREAMS; i++) {
			if (f->pipe[i].source) continue;
			pipe_open(&f->pipe[i], i == 0 ? LOGS_STDOUT : LOGS_STDERR);
			if (!f->pipe[i].source) pipe_blind(&f->pipe[i]);
		}
	}
	if (!o->orphans_ended && now >= o->started_ms + ORPHANS_MS) {
		o->orphans_ended = true;
		logs_orphans_end(o->logs);
	}
	logs_tick(o->logs, now);
	if (logs_lines(o->logs) != before) logs_http_wake(o->http);
	if (loop_timer_start(loop, &o->tick, TICK_MS, tick) < 0) loop_stop(loop);
}

static void on_term(struct loop *loop, int signo, void *arg)
{
	(void)loop, (void)signo;
	stop(arg);
}

static enum hg_rc observe_start(
        struct observe *o, const struct warden_child *child, struct hg_err *err)
{
	char dir[512];
	struct serve_options so = {.name = "headgate",
	        .connections_max = 128,
	        .body_max = 4096,
	        .handle = logs_http_handle};
	struct logs_options lo = {.dir = dir, .wall_ns = clock_wall_ns};
	int n = snprintf(dir, sizeof dir, "%s/logs", child->data_dir);
	if (n < 0 || n >= (int)sizeof dir)
		return hg_err_set(err, HG_E_INVALID, "the path of the data folder is too long");
	enum hg_rc rc = logs_open(&lo, &o->logs, err);
	if (rc == HG_OK) rc = loop_new(&o->loop);
	if (rc == HG_OK) rc = logs_http_new(o->loop, o->logs, clock_wall_ns, &o->http);
	if (rc == HG_OK)
		rc = traces_new(
		        o->loop, child->span_fd > 0 ? child->span_fd : -1, &o->log, &o->traces);
	if (rc == HG_OK) logs_http_traces(o->http, o->traces);
	so.arg = o->http;
	if (rc == HG_OK) rc = serve_new(o->loop, &so, &o->serve);
	if (rc == HG_OK && child->observe_fd >= 0)
		rc = serve_listen(o->serve, child->observe_fd, 0);
	if (rc == HG_OK)
		rc = loop_io_start(o->loop, &o->warden_io, child->warden_fd, EPOLLIN, warden_ready);
	if (rc == HG_OK) rc = loop_timer_start(o->loop, &o->tick, TICK_MS, tick);
	if (rc == HG_OK) rc = loop_signal(o->loop, SIGTERM, on_term, o);
	return rc;
}

int observe_main(const struct warden_child *child)
{
	struct hg_err err = {0};
	struct observe o = {.warden_io.fd = -1,
	        .log = {.fd = 2, .least = HG_INFO, .who = "observe", .wall_ms = clock_wall_ms}};
	hg_list_init(&o.feeds);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is one more way to have no room */
	signal(SIGINT, SIG_IGN);  /* Ctrl-C on the terminal is the warden's business */
	enum hg_rc rc = observe_start(&o, child, &err);
	if (rc == HG_OK) {
		o.started_ms = loop_now_ms(o.loop);
		rc = loop_run(o.loop);
	} else {
		hg_log(&o.log, HG_ERROR, "observe.start_failed", HG_S("error", err.message),
		        HG_S("code", hg_rc_info(rc)->code));
	}
	serve_free(o.serve);
	logs_http_free(o.http);
	traces_free(o.traces);
	HG_LIST_EACH_SAFE (at, after, &o.feeds) {
		feed_free(HG_CONTAINER(at, struct feed, node));
	}
	logs_close(o.logs);
	loop_free(o.loop);
	return rc == HG_OK ? 0 : 1;
}
