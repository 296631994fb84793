#include <errno.h>

#include "os/clock.h"
#include "warden/warden_priv.h"

struct wd_msg msg_of(enum wd_type type)
{
	return (struct wd_msg){.magic = WD_MAGIC, .type = (uint16_t)type};
}

bool role_send(struct role *r, const struct wd_msg *m, const int *fds, size_t n)
{
	int rc = sock_send(r->fd, m, sizeof *m, fds, n);
	return rc != -EAGAIN && rc != -ENOBUFS;
}

static bool send_stop(struct role *r, enum wd_type type)
{
	struct wd_msg m = msg_of(type);
	uint64_t now = clock_mono_ms(), until = r->w->phase_until_ms;
	m.deadline_ms = until > now ? until - now : 1;
	if (!role_send(r, &m, NULL, 0)) return false;
	r->tell &= ~TELL_STOP;
	return true;
}

static bool tell_image(struct role *r, enum wd_type type)
{
	const struct warden *w = r->w;
	if (r->tell & TELL_IMAGE && w->image_fd >= 0) {
		struct wd_msg m = msg_of(type);
		m.generation = w->image_generation;
		if (!role_send(r, &m, &w->image_fd, 1)) return false;
	}
	r->tell &= ~TELL_IMAGE;
	return true;
}

/* ---- control ---- */

static uint32_t known(const struct warden *w)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < w->replica_high; i++) {
		const struct replica *r = &w->replicas[i];
		n += (r->state == REPLICA_RUNS || r->state == REPLICA_ENDED) && !r->forgotten;
	}
	return n;
}

static struct wd_msg of_replica(enum wd_type type, const struct replica *p)
{
	struct wd_msg m = msg_of(type);
	m.kind = (uint16_t)p->kind;
	m.id = p->id;
	m.who = p->who;
	m.pid = p->pid;
	m.uid = m.gid = p->uid;
	m.start_time = p->start_time;
	m.applied = p->applied;
	memcpy(m.address, p->address, sizeof m.address);
	if (type == WD_EXITED) {
		m.status = p->status;
		m.at_ms = p->ended_ms;
	} else {
		m.at_ms = p->started_ms;
		m.error = p->error;
		m.step = p->step;
	}
	return m;
}

static bool tell_replica(struct role *r, struct replica *p)
{
	if (p->tell & TELL_REPLICA) {
		struct wd_msg m = of_replica(WD_REPLICA, p);
		bool fd = p->state == REPLICA_RUNS && p->pidfd >= 0;
		if (!role_send(r, &m, &p->pidfd, fd)) return false;
		p->tell &= ~TELL_REPLICA;
	}
	if (p->tell & TELL_EXIT) {
		struct wd_msg m = of_replica(WD_EXITED, p);
		if (!role_send(r, &m, NULL, 0)) return false;
		p->tell &= ~TELL_EXIT;
	}
	replica_settle(p);
	return true;
}

bool tell_control(struct role *r)
{
	struct warden *w = r->w;
	if (r->tell & TELL_HELLO) {
		struct wd_msg m = msg_of(WD_HELLO);
		m.count = known(w);
		if (!role_send(r, &m, NULL, 0)) return false;
		r->tell &= ~TELL_HELLO;
	}
	for (uint32_t i = 0; i < w->replica_high; i++) {
		if (w->replicas[i].tell && !tell_replica(r, &w->replicas[i])) return false;
	}
	for (; w->notes_n > 0; w->notes_n--) {
		if (!role_send(r, &w->notes[w->notes_at], NULL, 0)) return false;
		w->notes_at = (w->notes_at + 1) % NOTES_MAX;
	}
	if (r->tell & TELL_STOP && !send_stop(r, WD_SHUTDOWN)) return false;
	r->tell = 0;
	return true;
}

void note_to_control(struct warden *w, const struct wd_msg *m)
{
	if (w->notes_n == NOTES_MAX) { /* the oldest goes: nobody listens */
		w->notes_at = (w->notes_at + 1) % NOTES_MAX;
		w->notes_n--;
	}
	w->notes[(w->notes_at + w->notes_n++) % NOTES_MAX] = *m;
	role_flush(role_control(w));
}

/* ---- observe ---- */

static bool tell_source(struct role *r, struct source *s)
{
	struct wd_msg m = msg_of(WD_LOG_OPEN);
	m.id = s->id;
	m.who = s->who;
	if (s->tell & TELL_OPEN) {
		if (!role_send(r, &m, s->rd, 2)) return false;
		s->tell &= ~TELL_OPEN;
	}
	if (s->tell & TELL_END) {
		m.type = WD_LOG_END;
		if (!role_send(r, &m, NULL, 0)) return false;
		s->tell &= ~TELL_END;
	}
	return true;
}

bool tell_observe(struct role *r)
{
	struct warden *w = r->w;
	for (uint32_t i = 0; i < w->role_count; i++) {
		struct source *s = &w->roles[i].log;
		if (s->tell && !tell_source(r, s)) return false;
	}
	for (uint32_t i = 0; i < w->replica_high; i++) {
		struct source *s = &w->replicas[i].log;
		if (s->tell && !tell_source(r, s)) return false;
	}
	if (r->tell & TELL_CONF && w->conf_fd >= 0) {
		struct wd_msg m = msg_of(WD_OBSERVE_CONF);
		if (!role_send(r, &m, &w->conf_fd, 1)) return false;
	}
	r->tell &= ~TELL_CONF;
	if (!tell_image(r, WD_OBSERVE_SNAPSHOT)) return false;
	if (r->tell & TELL_STOP && !send_stop(r, WD_LOG_STOP)) return false;
	r->tell = 0;
	return true;
}

/* ---- edge ---- */

bool tell_edge(struct role *r)
{
	struct warden *w = r->w;
	/* First how replicas are spoken to, then which there are. */
	if (r->tell & TELL_CERTS && w->certs_fd >= 0) {
		struct wd_msg m = msg_of(WD_EDGE_CERTS);
		if (!role_send(r, &m, &w->certs_fd, 1)) return false;
	}
	r->tell &= ~TELL_CERTS;
	if (!tell_image(r, WD_EDGE_SNAPSHOT)) return false;
	if (r->tell & TELL_STOP && !send_stop(r, WD_EDGE_DRAIN)) return false;
	r->tell = 0;
	return true;
}
