#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "data/edge/edge_priv.h"
#include "os/clock.h"

/*
 * The process around an edge: the warden's messages, signals, descriptors, the loop. The warden has
 * confined it already (own uid, no capabilities, SANDBOX_EDGE); it needs nothing that forbids.
 */

#define DRAIN_DEFAULT_MS 30000

struct role {
	struct loop_io warden_io;
	struct edge *edge;
	struct hg_log log;
};

static void on_term(struct loop *l, int signo, void *arg)
{
	struct role *r = arg;
	const struct edge_image *im = r->edge->image;
	(void)l, (void)signo;
	edge_drain(r->edge, im && im->snap->drain_ms ? im->snap->drain_ms : DRAIN_DEFAULT_MS);
}

static void take_message(struct role *r, const struct wd_msg *m, const int *fds, size_t fd_n)
{
	if (m->type == WD_EDGE_DRAIN) {
		edge_drain(r->edge, m->deadline_ms ? m->deadline_ms : DRAIN_DEFAULT_MS);
	} else if (m->type == WD_EDGE_CERTS && fd_n == 1) {
		char why[TLS_WHY_MAX];
		if (edge_certs(r->edge, fds[0], why) < 0)
			hg_log(&r->log, HG_ERROR, "edge.certificates_refused", HG_S("reason", why));
	} else if (m->type == WD_EDGE_SNAPSHOT && fd_n == 1) {
		enum hg_rc rc = edge_snapshot(r->edge, fds[0]);
		if (rc < 0) {
			hg_log(&r->log, HG_ERROR, "edge.snapshot_refused",
			        HG_I("generation", m->generation),
			        HG_S("reason", hg_rc_info(rc)->summary));
		}
	}
}

static void on_warden(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct role *r = HG_CONTAINER(io, struct role, warden_io);
	(void)events;
	for (;;) {
		struct wd_msg m = {0};
		int fds[SOCK_FDS_MAX];
		size_t fd_n = 0;
		ssize_t n = sock_recv(io->fd, &m, sizeof m, fds, &fd_n);
		if (n == -EAGAIN) return;
		if (n <= 0) {
			/* The warden died. What is known is served on; a new warden adopts us. */
			loop_io_stop(l, io);
			hg_log(&r->log, HG_WARN, "edge.warden_gone");
			return;
		}
		if (wd_msg_valid(&m, (size_t)n)) take_message(r, &m, fds, fd_n);
		for (size_t i = 0; i < fd_n; i++)
			close(fds[i]);
	}
}

/* A pipe is opened anew, so that O_NONBLOCK is ours alone and not of everybody who shares it. */
static int log_open(void)
{
	struct stat st;
	if (fstat(STDOUT_FILENO, &st) < 0) return -1;
	if (!S_ISFIFO(st.st_mode)) return STDOUT_FILENO;
	int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) return fd;
	int flags = fcntl(STDOUT_FILENO, F_GETFL);
	if (flags >= 0) fcntl(STDOUT_FILENO, F_SETFL, flags | O_NONBLOCK);
	return STDOUT_FILENO;
}

static void raise_files(void)
{
	struct rlimit rl;
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0) return;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

static enum hg_rc role_setup(struct role *r, const struct warden_child *child, struct loop *l)
{
	uint64_t seed = 0;
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = clock_wall_ns();
	struct edge_conf conf = {.loop = l,
	        .meter = meter_open(child->meter, child->meter_size),
	        .worker = child->worker,
	        .table = snap_table_open(child->table, child->table_size),
	        .rates = rates_open(child->rates, child->rates_size),
	        .listen_fds = child->listen_fds,
	        .listen_count = child->listen_count,
	        .listen_tls = child->listen_tls,
	        .log_fd = log_open(),
	        .span_fd = child->span_fd,
	        .log = &r->log,
	        .seed = seed};
	bool odd = child->rates && !conf.rates;
	if (odd || !conf.meter || !conf.table || child->worker >= conf.meter->worker_count) {
		return HG_E_INVALID;
	}
	/* Its predecessor's connections died with it. */
	if (conf.rates && child->incarnation > 1)
		peers_worker_reset(&conf.rates->peers, child->worker);
	enum hg_rc rc = edge_new(&conf, &r->edge);
	if (rc == HG_OK) rc = loop_signal(l, SIGTERM, on_term, r);
	if (rc == HG_OK && child->warden_fd >= 0) {
		rc = loop_io_start(l, &r->warden_io, child->warden_fd, EPOLLIN, on_warden);
	}
	return rc;
}

static enum hg_rc role_run(struct role *r, struct loop *l)
{
	enum hg_rc rc = HG_OK;
	struct meter_worker *count = r->edge->count;
	while (rc == HG_OK && !(r->edge->draining && edge_idle(r->edge))) {
		rc = loop_turn(l, -1);
		meter_add(&count->loop_turns, 1);
		meter_add(&count->busy_ns, clock_mono_ns() - loop_now_ns(l));
	}
	return rc;
}

int edge_main(const struct warden_child *child)
{
	struct role r = {.warden_io = {.fd = -1}};
	struct loop *l = NULL;
	r.log = (struct hg_log){.fd = STDERR_FILENO, .who = "edge", .wall_ms = clock_wall_ms};
	signal(SIGPIPE, SIG_IGN);
	raise_files();
	enum hg_rc rc = loop_new(&l);
	if (rc == HG_OK) rc = role_setup(&r, child, l);
	if (rc == HG_OK) rc = role_run(&r, l);
	if (rc < 0) {
		hg_log(&r.log, HG_ERROR, "edge.failed", HG_S("reason", hg_rc_info(rc)->summary));
	}
	edge_free(r.edge);
	loop_free(l);
	return rc < 0 ? 1 : 0;
}
