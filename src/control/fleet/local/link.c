/* The line to the warden: messages out, facts in. */
#include "control/fleet/rows_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OUTBOX_MAX 8192u

static void message_free(struct fleet *f, struct fleet_message *q)
{
	hg_list_remove(&q->node);
	f->outbox_count--;
	if (q->fd >= 0) (void)close(q->fd);
	free(q);
}

static void want_writable(struct fleet *f, bool want)
{
	if (f->writable_wanted == want || f->warden_lost) return;
	f->writable_wanted = want;
	/* Failing to watch for room delays the outbox until the next message comes in. */
	(void)!loop_io_change(f->o.loop, &f->warden, EPOLLIN | (want ? EPOLLOUT : 0u));
}

static void lost(struct fleet *f)
{
	if (f->warden_lost) return;
	loop_io_stop(f->o.loop, &f->warden);
	f->warden_lost = true;
	for (struct hg_list *n; (n = hg_list_pop(&f->outbox));)
		message_free(f, HG_CONTAINER(n, struct fleet_message, node));
	fleet_commands_lost(f);
	fleet_journal(f, "warden.lost", NULL, 0, 0, NULL);
	if (f->o.on_warden_lost) f->o.on_warden_lost(f->o.arg);
}

/* 0: sent; -EAGAIN: no room; anything else: the warden is gone. */
static int send_now(struct fleet *f, const struct wd_msg *m, int fd)
{
	int rc;
	do
		rc = sock_send(f->o.child->warden_fd, m, sizeof *m, &fd, fd >= 0 ? 1 : 0);
	while (rc == -EINTR);
	return rc;
}

void fleet_link_flush(struct fleet *f)
{
	HG_LIST_EACH_SAFE (n, after, &f->outbox) {
		struct fleet_message *q = HG_CONTAINER(n, struct fleet_message, node);
		int rc = send_now(f, &q->m, q->fd);
		if (rc == -EAGAIN) break;
		if (rc < 0) {
			lost(f);
			return;
		}
		message_free(f, q);
	}
	want_writable(f, !hg_list_empty(&f->outbox));
}

void fleet_send(struct fleet *f, struct wd_msg *m, int fd)
{
	m->magic = WD_MAGIC;
	int rc = f->warden_lost ? -EPIPE : -EAGAIN;
	if (!f->warden_lost && !f->hold && hg_list_empty(&f->outbox)) rc = send_now(f, m, fd);
	struct fleet_message *q =
	        rc == -EAGAIN && f->outbox_count < OUTBOX_MAX ? malloc(sizeof *q) : NULL;
	if (q) {
		*q = (struct fleet_message){.m = *m, .fd = fd};
		hg_list_append(&f->outbox, &q->node);
		f->outbox_count++;
		if (!f->hold) want_writable(f, true);
		return;
	}
	if (fd >= 0) (void)close(fd);
	if (rc < 0 && rc != -EAGAIN) lost(f);
}

void fleet_send_simple(struct fleet *f, enum wd_type type, uint64_t id, int signo)
{
	struct wd_msg m = {.type = type, .id = id, .signo = signo};
	fleet_send(f, &m, -1);
}

/* The answer to a WD_SPAWN of ours. */
static void not_started(struct fleet_replica *r, const struct wd_msg *m)
{
	const struct fleet_release *rel = fleet_release_find(r->f, r->app, fleet_core(r)->release);
	if (m->step == WD_STEP_WRITABLE && (m->error == ELOOP || m->error == ESTALE)) {
		(void)snprintf(r->reason, sizeof r->reason,
		        "a writable folder is reached through a symbolic link that others may "
		        "change: name the folder itself in sandbox.writable");
		return;
	}
	if (m->step == WD_STEP_WRITABLE && m->error == EXDEV) {
		(void)snprintf(r->reason, sizeof r->reason,
		        "a writable folder holds Headgate's data folder: name one beside it, or "
		        "use --data DIR");
		return;
	}
	if (m->step == WD_STEP_WRITABLE && rel && rel->writable_count > 0) {
		(void)snprintf(r->reason, sizeof r->reason,
		        "as root run: chown -R %u %s (it may not write%s)", m->uid,
		        rel->writable[0],
		        rel->writable_count == 1 ? " there"
		                                 : " there or to another of its folders");
		return;
	}
	(void)snprintf(r->reason, sizeof r->reason, "could not be started: %s failed: %s",
	        wd_step_text(m->step), strerror(m->error));
}

static void on_spawned(struct fleet_replica *r, const struct wd_msg *m)
{
	struct fleet *f = r->f;
	if (m->pid > 0 && !m->error) {
		r->pid = m->pid;
		r->started_ms = clock_wall_ms();
		r->usage = (struct fleet_usage){0};
		r->applied = m->applied;
		r->reason[0] = 0;
		fl_spawned(&r->app->core, r->slot, loop_now_ms(f->o.loop));
		fleet_row_save(r);
	} else {
		r->pid = 0;
		not_started(r, m);
		fl_ended(&r->app->core, r->slot, loop_now_ms(f->o.loop));
		fleet_forget(r);
	}
	fleet_kick(f);
}

static void on_exited(struct fleet_replica *r, const struct wd_msg *m)
{
	r->pid = 0;
	r->has_exited = true;
	r->exit_status = m->status;
	r->exit_ms = clock_wall_ms();
	fl_ended(&r->app->core, r->slot, loop_now_ms(r->f->o.loop));
	fleet_kick(r->f);
}

static void on_replica_message(struct fleet *f, const struct wd_msg *m)
{
	bool exited = m->type == WD_EXITED;
	if (f->known) {
		fleet_known_note(f, m);
		return;
	}
	struct fleet_replica *r = fleet_replica_by_id(f, m->id);
	if (r && fleet_core(r)->process) {
		if (exited)
			on_exited(r, m);
		else if (fleet_core(r)->state == FLEET_SPAWNING)
			on_spawned(r, m);
		return;
	}
	bool started = !m->error && m->pid > 0;
	if (exited || !started) {
		/* A one-shot's end, or of somebody we have recorded already. */
		if (!fleet_command_ended(f, m))
			(void)fleet_probe_ended(f, m->id, exited, m->status);
		fleet_send_simple(f, WD_FORGET, m->id, 0);
	} else if (m->kind != WD_KIND_ONESHOT) {
		/* A spawn from before our own start that the warden had still in hand: nobody
		 * waits for it any more. */
		fleet_send_simple(f, WD_SIGNAL, m->id, SIGKILL);
	}
}

static void on_child(struct fleet *f, const struct wd_msg *m)
{
	static const char *const role[] = {
	        [WD_ROLE_WARDEN] = "warden",
	        [WD_ROLE_CONTROL] = "control",
	        [WD_ROLE_OBSERVE] = "observe",
	        [WD_ROLE_EDGE] = "edge",
	};
	char detail[160], text[64];
	const char *name = m->role >= 0 && m->role < (int)HG_COUNT(role) ? role[m->role] : "?";
	bool started = m->flags & 1u;
	fleet_exit_text(m->status, text, sizeof text);
	(void)snprintf(detail, sizeof detail, "{\"role\":\"%s\",\"worker\":%u,\"pid\":%d%s%s%s}",
	        name, m->who.replica, m->pid, started ? "" : ",\"exit\":\"", started ? "" : text,
	        started ? "" : "\"");
	fleet_journal(f, started ? "process.started" : "process.ended", NULL, 0, 0, detail);
	if (started && m->role == WD_ROLE_OBSERVE && f->applied) fleet_retention_tell(f);
}

static void stopped_for_warden(void *arg)
{
	struct fleet *f = HG_OBJ(arg, struct fleet, FLEET_MAGIC);
	fleet_send_simple(f, WD_STOPPED, 0, 0);
	if (f->o.on_stopped) f->o.on_stopped(f->o.arg);
}

/* A tenth of the time is left for the kills to be seen and the answer to be sent. */
static void shutdown_within(struct fleet *f, uint64_t deadline_ms)
{
	uint64_t within = HG_MIN(deadline_ms, UINT32_MAX);
	within -= HG_MIN(within / 10, 1000);
	fleet_shutdown(f, (uint32_t)within, stopped_for_warden, f);
}

static void on_message(struct fleet *f, const struct wd_msg *m)
{
	switch (m->type) {
	case WD_HELLO:
		f->greeted = true;
		f->list_left = m->count;
		fleet_kick(f);
		break;
	case WD_REPLICA:
		if (f->list_left > 0) f->list_left--;
		on_replica_message(f, m);
		break;
	case WD_EXITED: on_replica_message(f, m); break;
	case WD_CHILD: on_child(f, m); break;
	case WD_SHUTDOWN: shutdown_within(f, m->deadline_ms); break;
	default: break; /* a newer warden may say more */
	}
}

static void on_event(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct fleet *f = HG_CONTAINER(io, struct fleet, warden);
	struct wd_msg m = {0};
	int fds[SOCK_FDS_MAX];
	size_t fd_count = 0;
	(void)l;
	if (events & EPOLLOUT) fleet_link_flush(f);
	if (f->warden_lost || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
	/* One message an event: the descriptor may be a blocking one. */
	ssize_t n = sock_recv(io->fd, &m, sizeof m, fds, &fd_count);
	if (n == -EAGAIN || n == -EINTR) return;
	if (n <= 0) {
		lost(f);
		return;
	}
	/* The pidfd: the warden reports every end, and signals go through it. */
	for (size_t i = 0; i < fd_count; i++)
		(void)close(fds[i]);
	if (wd_msg_valid(&m, (size_t)n)) on_message(f, &m);
}

enum hg_rc fleet_link_start(struct fleet *f, struct hg_err *err)
{
	enum hg_rc rc =
	        loop_io_start(f->o.loop, &f->warden, f->o.child->warden_fd, EPOLLIN, on_event);
	if (rc < 0) return hg_err_set(err, rc, "could not watch the socket to the warden");
	return HG_OK;
}

void fleet_link_stop(struct fleet *f)
{
	if (!f->warden_lost) loop_io_stop(f->o.loop, &f->warden);
	f->warden_lost = true;
	for (struct hg_list *n; (n = hg_list_pop(&f->outbox));)
		message_free(f, HG_CONTAINER(n, struct fleet_message, node));
}
