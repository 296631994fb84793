#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "os/shm.h"
#include "warden/warden_priv.h"

/* Keeps a sealed memfd for the edge workers or observe, also for one that is started later. */
static bool keep(const int *fds, size_t fd_count, int *kept)
{
	/* They map it: a memfd that could still shrink would kill them by SIGBUS. */
	if (fd_count != 1 || !shm_is_sealed(fds[0])) return false;
	int fd = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
	if (fd < 0) return false;
	if (*kept >= 0) close(*kept);
	*kept = fd;
	return true;
}

static void tell_edges(struct warden *w, uint32_t what)
{
	for (uint32_t i = 0; i < w->role_count; i++) {
		if (w->roles[i].role == WD_ROLE_EDGE) role_tell(&w->roles[i], what);
	}
}

static void on_snapshot(struct warden *w, const struct wd_msg *m, const int *fds, size_t fd_count)
{
	if (!keep(fds, fd_count, &w->image_fd)) return;
	w->image_generation = m->generation;
	tell_edges(w, TELL_IMAGE);
	role_tell(role_observe(w), TELL_IMAGE);
}

static void on_certs(struct warden *w, const int *fds, size_t fd_count)
{
	if (keep(fds, fd_count, &w->certs_fd)) tell_edges(w, TELL_CERTS);
}

static void on_control(struct role *r, const struct wd_msg *m, int *fds, size_t fd_count)
{
	struct warden *w = r->w;
	struct replica *p = NULL;
	switch (m->type) {
	case WD_SPAWN: replica_spawn(w, m, fds, fd_count); break;
	case WD_SIGNAL:
		p = replica_of_id(w, m->id);
		if (p && p->state == REPLICA_RUNS) replica_signal(p, m->signo);
		break;
	case WD_SNAPSHOT: on_snapshot(w, m, fds, fd_count); break;
	case WD_CERTS: on_certs(w, fds, fd_count); break;
	case WD_OBSERVE:
		if (keep(fds, fd_count, &w->conf_fd)) role_tell(role_observe(w), TELL_CONF);
		break;
	case WD_FORGET:
		p = replica_of_id(w, m->id);
		if (!p || p->state != REPLICA_ENDED) break;
		p->forgotten = true;
		replica_settle(p);
		break;
	case WD_READY: w->control_ready = true; break;
	case WD_FAILED:
		/* Its own log may not be readable by anybody yet: `up` shows this line instead. */
		hg_log(&w->log, HG_ERROR, "control.failed",
		        HG_S("code", hg_rc_info((enum hg_rc)m->error)->code),
		        HG_S("message", m->dir));
		break;
	case WD_STOPPED:
		w->control_done = true;
		shutdown_step(w);
		break;
	default: break; /* a newer or confused control: nothing is done */
	}
}

void on_role_message(struct role *r, const struct wd_msg *m, int *fds, size_t fd_count)
{
	if (r->role == WD_ROLE_CONTROL) on_control(r, m, fds, fd_count);
	if (r->role != WD_ROLE_OBSERVE || m->type != WD_LOG_DRAINED) return;
	struct source *s = source_of_id(r->w, m->id);
	/* Only what has ended: an answer that crossed a restart of observe must not lose bytes. */
	if (!s || !s->ended) return;
	source_close(r->w, s);
	replicas_settle(r->w);
}
