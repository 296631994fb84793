/* Pipes of replicas and roles: opened, read into the log store, drained when their writer ended. */
#include "observe/host/host_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/sock.h"

#define FEEDS_MAX     4096u
#define BLIND_TICKS   20 /* without a spool file for 5 s: the pipe is emptied all the same */
#define FEED_STREAMS  2
#define DISCARD_BYTES 65536

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
	struct feeds *o;
	uint64_t id;
	struct wd_who who;
	struct pipe_feed pipe[FEED_STREAMS];
	bool drained; /* only the answer to the warden is missing */
};

void feeds_init(struct feeds *f, const struct feeds_options *o)
{
	*f = (struct feeds){.o = *o, .started_ms = loop_now_ms(o->loop)};
	hg_list_init(&f->list);
}

static void pipe_ready(struct loop *loop, struct loop_io *io, uint32_t events)
{
	struct pipe_feed *p = HG_CONTAINER(io, struct pipe_feed, io);
	struct feeds *o = p->feed->o;
	uint64_t before = logs_lines(o->o.logs);
	(void)events;
	/* An end without writers would be reported for ever; WD_LOG_END reads the rest. */
	if (logs_source_drain(o->o.logs, p->source) == LOGS_CLOSED) loop_io_stop(loop, io);
	if (logs_lines(o->o.logs) != before) logs_http_wake(o->o.http);
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
	if (fd < 0 || logs_source_open(f->o->o.logs, &label, fd, &p->source) < 0) {
		p->source = NULL;
		return;
	}
	close(p->fd);
	p->fd = fd;
	if (loop_io_start(f->o->o.loop, &p->io, fd, EPOLLIN, pipe_ready) < 0)
		hg_log(f->o->o.log, HG_ERROR, "logs.watch_failed", HG_S("app", f->who.app));
}

/* A replica must not stand still because there is no spool file. */
static void pipe_blind(struct pipe_feed *p)
{
	char sink[DISCARD_BYTES];
	if (++p->blind < BLIND_TICKS) return;
	if (p->blind == BLIND_TICKS)
		hg_log(p->feed->o->o.log, HG_ERROR, "logs.no_spool", HG_S("app", p->feed->who.app));
	for (unsigned i = 0; i < 64; i++)
		if (read(p->fd, sink, sizeof sink) <= 0) break;
}

static void feed_free(struct feed *f)
{
	for (unsigned i = 0; i < FEED_STREAMS; i++)
		if (!f->pipe[i].source && f->pipe[i].fd >= 0) close(f->pipe[i].fd);
	hg_list_remove(&f->node);
	f->o->count--;
	free(f);
}

void feeds_open(struct feeds *o, const struct wd_msg *m, const int *fds)
{
	struct feed *f = o->count < FEEDS_MAX ? calloc(1, sizeof *f) : NULL;
	if (!f) {
		hg_log(o->o.log, HG_ERROR, "logs.too_many_sources", HG_S("app", m->who.app));
		for (unsigned i = 0; i < FEED_STREAMS; i++)
			close(fds[i]);
		return;
	}
	*f = (struct feed){.o = o, .id = m->id, .who = m->who};
	hg_list_init(&f->node);
	hg_list_append(&o->list, &f->node);
	o->count++;
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
		loop_io_stop(f->o->o.loop, &p->io);
		if (!p->source) pipe_open(p, i == 0 ? LOGS_STDOUT : LOGS_STDERR);
		if (!p->source) continue;
		loop_io_stop(f->o->o.loop, &p->io);
		logs_source_end(f->o->o.logs, p->source);
		p->fd = -1;
	}
	f->drained = true;
}

static void feed_answer(struct feeds *o, struct feed *f)
{
	struct wd_msg m = {.magic = WD_MAGIC, .type = WD_LOG_DRAINED, .id = f->id, .who = f->who};
	int rc = o->o.warden_fd >= 0 ? sock_send(o->o.warden_fd, &m, sizeof m, NULL, 0) : 0;
	if (rc != -EAGAIN) feed_free(f);
}

void feeds_end(struct feeds *o, const struct wd_msg *m)
{
	HG_LIST_EACH_SAFE (at, after, &o->list) {
		struct feed *f = HG_CONTAINER(at, struct feed, node);
		if (f->id != m->id || f->drained) continue;
		feed_drain(f);
		logs_http_wake(o->o.http);
		feed_answer(o, f);
		return;
	}
	/* Unknown: it ended before this process was there, and the spool has what came. */
	struct wd_msg answer = {
	        .magic = WD_MAGIC, .type = WD_LOG_DRAINED, .id = m->id, .who = m->who};
	if (o->o.warden_fd >= 0) (void)!sock_send(o->o.warden_fd, &answer, sizeof answer, NULL, 0);
}

void feeds_tick(struct feeds *o, uint64_t now)
{
	uint64_t before = logs_lines(o->o.logs);
	HG_LIST_EACH_SAFE (at, after, &o->list) {
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
	if (!o->orphans_ended && now >= o->started_ms + FEEDS_ORPHANS_MS) {
		o->orphans_ended = true;
		logs_orphans_end(o->o.logs);
	}
	logs_tick(o->o.logs, now);
	if (logs_lines(o->o.logs) != before) logs_http_wake(o->o.http);
}

void feeds_drain(struct feeds *o)
{
	HG_LIST_EACH (at, &o->list) {
		struct feed *f = HG_CONTAINER(at, struct feed, node);
		if (!f->drained) feed_drain(f);
	}
}

void feeds_fini(struct feeds *o)
{
	HG_LIST_EACH_SAFE (at, after, &o->list) {
		feed_free(HG_CONTAINER(at, struct feed, node));
	}
}
