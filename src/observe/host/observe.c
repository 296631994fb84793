/* The observe process: what the warden says, the turns of time, and the end. */
#include "observe/host/host.h"
#include "observe/host/host_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "observe/api/api.h"
#include "observe/remote/remote.h"
#include "os/clock.h"
#include "os/shm.h"
#include "os/sock.h"

#define TICK_MS         250
#define TRACES_MS       500 /* for what is left of traces at the end */
#define CONNECTIONS_MAX 256

static void stop(struct host *h)
{
	feeds_drain(&h->feeds);
	rooms_stop(h);
	if (h->store.db && tsdb_commit(h->store.db) < 0)
		hg_log(&h->log, HG_WARN, "metrics.flush_failed");
	traces_flush(h->traces, TRACES_MS);
	if (logs_flush(h->logs) < 0) hg_log(&h->log, HG_WARN, "logs.flush_failed");
	loop_stop(h->loop);
}

/* ---- what control wants ---- */

static void conf_take(struct host *h, int fd)
{
	struct hg_err err = {0};
	struct observe_conf c;
	struct hg_arena mem;
	int64_t n = shm_is_sealed(fd) ? shm_size(fd) : -EINVAL;
	enum hg_rc rc = HG_E_INVALID;
	char *text =
	        n > 0 && (uint64_t)n <= OBSERVE_CONF_MAX ? shm_map(fd, (size_t)n, false) : NULL;
	hg_arena_init(&mem, "observe.conf", OBSERVE_CONF_ARENA);
	if (text) rc = observe_conf_read((struct hg_str){text, (size_t)n}, &mem, &c, &err);
	if (text) shm_unmap(text, (size_t)n);
	if (rc < 0) {
		/* What held until now goes on. */
		hg_arena_fini(&mem);
		h->conf_refused++;
		hg_log(&h->log, HG_ERROR, "observe.conf_refused",
		        HG_S("error", err.message[0] ? err.message : "it is no sealed document"));
		return;
	}
	struct hg_arena before = h->conf_mem;
	h->conf = c;
	h->conf_mem = mem;
	store_configure(&h->store, &h->conf.store);
	rooms_tell_conf(h);
	hg_arena_fini(&before); /* nobody points into it any more */
}

static void image_take(struct host *h, int fd)
{
	const struct snap_image *i, *before = h->image;
	if (snap_map(fd, &i) < 0) {
		hg_log(&h->log, HG_ERROR, "observe.snapshot_refused");
		return;
	}
	h->image = i;
	rooms_tell_image(h);
	if (before) snap_unmap(before);
}

/* ---- the warden ---- */

static void warden_message(struct host *h, const struct wd_msg *m, int *fds, size_t fd_count)
{
	if (m->type == WD_LOG_OPEN && fd_count == 2) {
		feeds_open(&h->feeds, m, fds);
		return;
	}
	if (m->type == WD_OBSERVE_CONF && fd_count == 1) conf_take(h, fds[0]);
	if (m->type == WD_OBSERVE_SNAPSHOT && fd_count == 1) image_take(h, fds[0]);
	for (size_t i = 0; i < fd_count; i++)
		close(fds[i]);
	if (m->type == WD_LOG_STOP) stop(h);
	if (m->type == WD_LOG_END) feeds_end(&h->feeds, m);
}

static void warden_ready(struct loop *loop, struct loop_io *io, uint32_t events)
{
	struct host *h = HG_CONTAINER(io, struct host, warden_io);
	struct wd_msg m = {0};
	int fds[SOCK_FDS_MAX];
	size_t fd_count = 0;
	(void)events;
	ssize_t n = sock_recv(io->fd, &m, sizeof m, fds, &fd_count);
	if (n == -EAGAIN || n == -EINTR) return;
	if (n <= 0) {
		/* The warden died. We go on for those who still write. */
		hg_log(&h->log, HG_WARN, "logs.warden_gone");
		loop_io_stop(loop, io);
		h->feeds.o.warden_fd = -1;
		return;
	}
	if (!wd_msg_valid(&m, (size_t)n)) {
		for (size_t i = 0; i < fd_count; i++)
			close(fds[i]);
		return;
	}
	warden_message(h, &m, fds, fd_count);
}

static void tick(struct loop *loop, struct loop_timer *t)
{
	struct host *h = HG_CONTAINER(t, struct host, tick);
	uint64_t now = loop_now_ms(loop);
	feeds_tick(&h->feeds, now);
	rooms_tick(h, now);
	if (loop_timer_start(loop, &h->tick, TICK_MS, tick) < 0) loop_stop(loop);
}

static void on_term(struct loop *loop, int signo, void *arg)
{
	(void)loop, (void)signo;
	stop(arg);
}

static void on_store_open(void *arg)
{
	rooms_open(arg);
}

static void on_store_close(void *arg)
{
	rooms_close(arg);
}

/* ---- start and end ---- */

static enum hg_rc logs_start(struct host *h, struct hg_err *err)
{
	char dir[512];
	struct logs_options lo = {.dir = dir, .wall_ns = clock_wall_ns};
	int n = snprintf(dir, sizeof dir, "%s/logs", h->child->data_dir);
	if (n < 0 || n >= (int)sizeof dir)
		return hg_err_set(err, HG_E_INVALID, "the path of the data folder is too long");
	enum hg_rc rc = logs_open(&lo, &h->logs, err);
	if (rc == HG_OK) rc = logs_http_new(h->loop, h->logs, clock_wall_ns, &h->http);
	if (rc < 0) return rc;
	feeds_init(&h->feeds, &(struct feeds_options){.loop = h->loop,
	                              .logs = h->logs,
	                              .http = h->http,
	                              .log = &h->log,
	                              .warden_fd = h->child->warden_fd});
	return HG_OK;
}

static enum hg_rc host_start(struct host *h, struct hg_err *err)
{
	const struct warden_child *child = h->child;
	struct serve_options so = {.name = "headgate",
	        .connections_max = CONNECTIONS_MAX,
	        .body_max = HG_MAX(PROMAPI_BODY_MAX, REMOTE_BODY_MAX),
	        .handle = host_http,
	        .arg = h};
	enum hg_rc rc = loop_new(&h->loop);
	if (rc == HG_OK) rc = logs_start(h, err);
	if (rc == HG_OK)
		rc = traces_new(
		        h->loop, child->span_fd > 0 ? child->span_fd : -1, &h->log, &h->traces);
	if (rc == HG_OK) rc = serve_new(h->loop, &so, &h->serve);
	if (rc == HG_OK && child->observe_fd >= 0)
		rc = serve_listen(h->serve, child->observe_fd, 0);
	if (rc == HG_OK)
		rc = loop_io_start(h->loop, &h->warden_io, child->warden_fd, EPOLLIN, warden_ready);
	if (rc == HG_OK) rc = loop_timer_start(h->loop, &h->tick, TICK_MS, tick);
	if (rc == HG_OK) rc = loop_signal(h->loop, SIGTERM, on_term, h);
	if (rc < 0) return rc;
	/* Threads that evaluate queries have the store only while the loop waits for events. */
	loop_hooks(h->loop, observe_lock_give, observe_lock_take, &h->lock);
	h->store.loop = h->loop;
	store_start(&h->store, child->data_dir, &h->conf.store);
	return HG_OK;
}

static void host_end(struct host *h)
{
	serve_free(h->serve);
	if (h->store.loop) store_stop(&h->store);
	logs_http_free(h->http);
	traces_free(h->traces);
	if (h->http) feeds_fini(&h->feeds);
	logs_close(h->logs);
	if (h->image) snap_unmap(h->image);
	hg_arena_fini(&h->conf_mem);
	loop_free(h->loop);
}

int observe_main(const struct warden_child *child)
{
	struct hg_err err = {0};
	struct host h = {.child = child,
	        .warden_pid = getppid() > 1 ? (uint32_t)getppid() : 0,
	        .warden_io.fd = -1,
	        .log = {.fd = 2, .least = HG_INFO, .who = "observe", .wall_ms = clock_wall_ms}};
	h.store = (struct host_store){
	        .log = &h.log, .on_open = on_store_open, .on_close = on_store_close, .arg = &h};
	hg_arena_init(&h.conf_mem, "observe.conf", OBSERVE_CONF_ARENA);
	observe_conf_defaults(&h.conf);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is one more way to have no room */
	signal(SIGINT, SIG_IGN);  /* Ctrl-C on the terminal is the warden's business */
	observe_lock_init(&h.lock);
	observe_lock_take(&h.lock);
	enum hg_rc rc = host_start(&h, &err);
	if (rc == HG_OK) {
		rc = loop_run(h.loop);
	} else {
		hg_log(&h.log, HG_ERROR, "observe.start_failed", HG_S("error", err.message),
		        HG_S("code", hg_rc_info(rc)->code));
	}
	host_end(&h);
	observe_lock_give(&h.lock);
	observe_lock_fini(&h.lock);
	return rc == HG_OK ? 0 : 1;
}
