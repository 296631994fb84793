#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/shm.h"
#include "warden/warden_priv.h"

#define FAST_DEATH_MS   1000
#define RESTART_MS      100
#define RESTART_MAX_MS  2000
#define KEEP_MAX        (WARDEN_LISTENERS_MAX + 12)
#define MESSAGES_A_TURN 64

static const char *role_name(enum wd_role role)
{
	static const char *const name[] = {"warden", "control", "observe", "edge"};
	return name[role];
}

static uid_t role_uid(enum wd_role role)
{
	return role == WD_ROLE_EDGE      ? WARDEN_UID_EDGE
	       : role == WD_ROLE_CONTROL ? WARDEN_UID_CONTROL
	                                 : WARDEN_UID_OBSERVE;
}

static void role_init(struct warden *w, struct role *r, enum wd_role role, uint32_t worker)
{
	struct wd_who who = {.replica = worker};
	*r = (struct role){.magic = ROLE_MAGIC, .w = w, .role = role, .worker = worker, .fd = -1};
	r->io.fd = -1;
	r->log = (struct source){.keep = {-1, -1}, .rd = {-1, -1}};
	if (role == WD_ROLE_OBSERVE) return;
	hg_str_copy(hg_str(role_name(role)), who.app, sizeof who.app);
	uint64_t id = role == WD_ROLE_CONTROL ? WD_ID_CONTROL : WD_ID_EDGE + worker;
	int rc = source_open(w, &r->log, id, &who, w->as_root ? role_uid(role) : geteuid());
	r->has_log = rc == 0;
	if (rc < 0) {
		hg_log(&w->log, HG_WARN, "warden.role_log", HG_S("role", role_name(role)),
		        HG_S("error", strerror(-rc)));
	}
	r->log.tell = r->has_log ? TELL_OPEN : 0;
}

void roles_init(struct warden *w)
{
	role_init(w, &w->roles[0], WD_ROLE_CONTROL, 0);
	role_init(w, &w->roles[1], WD_ROLE_OBSERVE, 0);
	for (uint32_t i = 0; i < w->plan->workers; i++)
		role_init(w, &w->roles[2 + i], WD_ROLE_EDGE, i);
	w->role_count = 2 + w->plan->workers;
}

/* ---- the child ---- */

static int by_value(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;
	return (x > y) - (x < y);
}

/* Closes everything above 2 that is not in `keep`. */
static void close_others(int *keep, size_t n)
{
	unsigned from = 3;
	qsort(keep, n, sizeof *keep, by_value);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < (int)from) continue;
		if (keep[i] > (int)from) {
			syscall(SYS_close_range, from, (unsigned)keep[i] - 1, 0);
		}
		from = (unsigned)keep[i] + 1;
	}
	syscall(SYS_close_range, from, ~0u, 0);
}

static void role_output(struct warden *w, const struct role *r)
{
	char path[PATH_ROOM];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) dup2(null, 0);
	if (r->has_log) {
		dup2(r->log.keep[0], 1);
		dup2(r->log.keep[1], 2);
	} else if (r->role == WD_ROLE_OBSERVE) {
		snprintf(path, sizeof path, "%s/logs/observe.log", w->data_dir);
		int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0) {
			if (w->as_root && fchown(fd, WARDEN_UID_OBSERVE, WARDEN_UID_OBSERVE) < 0) {
				return;
			}
			dup2(fd, 1);
			dup2(fd, 2);
		}
	}
}

static void child_memory(struct warden *w, const struct role *r, struct warden_child *c)
{
	bool edge = r->role == WD_ROLE_EDGE, control = r->role == WD_ROLE_CONTROL;
	c->meter_size = w->plan->meter_size;
	c->table_size = w->plan->table_size;
	if (c->meter_size) {
		c->meter = shm_map(edge ? w->meter_fd : w->meter_ro_fd, c->meter_size, edge);
	}
	if (c->table_size) {
		c->table = shm_map(control ? w->table_fd : w->table_ro_fd, c->table_size, control);
	}
	c->board_size = edge ? 0 : w->plan->board_size;
	if (c->board_size)
		c->board = shm_map(control ? w->board_fd : w->board_ro_fd, c->board_size, control);
	c->rates_size = edge ? w->plan->rates_size : 0;
	if (c->rates_size) c->rates = shm_map(w->rates_fd, c->rates_size, true);
	shm_unmap(w->meter, w->plan->meter_size);
	w->meter = NULL;
	if ((c->rates_size && !c->rates) || (c->board_size && !c->board)) _exit(1);
	if ((c->meter_size && !c->meter) || (c->table_size && !c->table)) _exit(1);
}

static void child_fds(struct warden *w, const struct role *r, int fd, struct warden_child *c)
{
	int keep[KEEP_MAX];
	size_t n = 0;
	c->warden_fd = fd;
	c->admin_fd = c->control_fd = c->observe_fd = c->plan_fd = c->span_fd = -1;
	switch (r->role) {
	case WD_ROLE_EDGE:
		c->listen_count = w->plan->listen_count;
		c->listen_tls = w->plan->listen_tls;
		for (uint32_t i = 0; i < c->listen_count; i++)
			keep[n++] = c->listen_fds[i] = w->listen_fds[i];
		if (w->span_fds[1] >= 0) keep[n++] = c->span_fd = w->span_fds[1];
		break;
	case WD_ROLE_CONTROL:
		keep[n++] = c->admin_fd = w->admin_fd;
		keep[n++] = c->control_fd = w->control_fd;
		keep[n++] = c->plan_fd = w->plan->plan_fd;
		break;
	default:
		keep[n++] = c->observe_fd = w->observe_fd;
		if (w->span_fds[0] >= 0) keep[n++] = c->span_fd = w->span_fds[0];
		break;
	}
	keep[n++] = fd;
	keep[n++] = w->lock_fd; /* the lock is held while any of us lives */
	close_others(keep, n);
}

/* The data folder may lie below a directory that only root may enter, like /root. */
static int child_reach_data(const struct warden *w, uid_t uid)
{
	struct sandbox_view v = {.reach_count = 1, .uid = uid, .gid = uid};
	uint32_t how;
	if (sandbox_reachable(w->data_dir, uid, uid)) return 0;
	v.reach[0] = (struct sandbox_path){w->data_dir, file_open(w->data_dir, O_PATH, 0)};
	int rc = sandbox_view_enter(&v, &how);
	if (v.reach[0].fd >= 0) close(v.reach[0].fd);
	return rc;
}

static int child_confine(struct warden *w, const struct role *r)
{
	enum sandbox_profile p = r->role == WD_ROLE_EDGE ? SANDBOX_EDGE : SANDBOX_ROLE;
	uid_t uid = w->as_root ? role_uid(r->role) : geteuid();
	gid_t gid = w->as_root ? uid : getegid();
	/* Control probes replicas through their sockets, which belong to the edge's group; observe
	 * asks them for their metrics. */
	gid_t extra = WARDEN_UID_EDGE;
	int rc = w->as_root && r->role != WD_ROLE_EDGE ? child_reach_data(w, uid) : 0;
	if (rc < 0) return rc;
	if (!w->as_root && uid == 0) return 0;
	rc = sandbox_drop(uid, gid, &extra, r->role != WD_ROLE_EDGE);
	if (rc < 0) return rc;
	rc = sandbox_filter_apply(&w->filter[p]);
	return rc == -ENOSYS || rc == -EINVAL ? 0 : rc; /* doctor says that there is none */
}

#ifdef HG_COVERAGE
void __gcov_dump(void);

/* Control has nothing to save and ends by the signal itself: its line counts would go with it. */
static void counts_write(int signo)
{
	__gcov_dump();
	signal(signo, SIG_DFL);
	raise(signo);
}
#endif

#define OBSERVE_NICE 5 /* beside one busy thread it still has a quarter of a core */

HG_NORETURN static void role_child(struct role *r, int fd)
{
	struct warden *w = r->w;
	char title[64];
	struct warden_child c = {.role = r->role,
	        .worker = r->worker,
	        .worker_count = w->plan->workers,
	        .incarnation = r->incarnation,
	        .data_dir = w->data_dir};
	setsid(); /* Ctrl-C in the terminal is for the warden alone */
	/* What remembers steps back behind what serves where they want the same core. */
	if (r->role == WD_ROLE_OBSERVE) (void)!nice(OBSERVE_NICE);
	proc_reset_signals();
	signal(SIGPIPE, SIG_IGN);
#ifdef HG_COVERAGE
	signal(SIGTERM, counts_write);
#endif
	if (r->role == WD_ROLE_EDGE) {
		snprintf(title, sizeof title, "headgate: edge %u", r->worker);
	} else {
		snprintf(title, sizeof title, "headgate: %s", role_name(r->role));
	}
	proc_title_set(&w->title, title);
	umask(0077);
	role_output(w, r);
	child_memory(w, r, &c);
	child_fds(w, r, fd, &c);
	int rc = child_confine(w, r);
	if (rc < 0) {
		hg_log(&w->log, HG_ERROR, "role.confine", HG_S("role", role_name(r->role)),
		        HG_S("error", strerror(-rc)));
		_exit(1);
	}
	exit(r->role == WD_ROLE_EDGE         ? w->plan->edge_main(&c)
	        : r->role == WD_ROLE_CONTROL ? w->plan->control_main(&c)
	                                     : w->plan->observe_main(&c));
}

/* ---- the parent ---- */

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (fds[i] >= 0) close(fds[i]);
	}
}

static void on_role_io(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct role *r = HG_CONTAINER(io, struct role, io);
	(void)l;
	HG_ASSERT(r->magic == ROLE_MAGIC);
	if (events & EPOLLOUT) role_flush(r);
	for (int i = 0; i < MESSAGES_A_TURN && r->fd >= 0; i++) {
		struct wd_msg m = {0};
		int fds[SOCK_FDS_MAX];
		size_t fd_count;
		ssize_t n = sock_recv(r->fd, &m, sizeof m, fds, &fd_count);
		if (n == -EAGAIN) return;
		if (n <= 0) { /* it is dying: SIGCHLD tells the rest */
			close_all(fds, n < 0 ? 0 : fd_count);
			role_close(r);
			return;
		}
		if (wd_msg_valid(&m, (size_t)n)) on_role_message(r, &m, fds, fd_count);
		close_all(fds, fd_count);
	}
}

void role_close(struct role *r)
{
	if (r->fd < 0) return;
	loop_io_stop(r->w->loop, &r->io);
	close(r->fd);
	r->fd = -1;
	r->waits_out = false;
}

void role_flush(struct role *r)
{
	if (r->fd < 0) return;
	bool done = r->role == WD_ROLE_CONTROL   ? tell_control(r)
	            : r->role == WD_ROLE_OBSERVE ? tell_observe(r)
	                                         : tell_edge(r);
	if (r->waits_out == !done) return;
	r->waits_out = !done;
	if (loop_io_change(r->w->loop, &r->io, done ? EPOLLIN : EPOLLIN | EPOLLOUT) < 0) {
		role_close(r);
	}
}

void role_tell(struct role *r, uint32_t what)
{
	r->tell |= what;
	role_flush(r);
}

/* All that a fresh process of this role has to hear, in its order. */
static void role_tell_all(struct role *r)
{
	struct warden *w = r->w;
	r->tell = 0;
	if (r->role == WD_ROLE_EDGE) {
		r->tell = (w->image_fd >= 0 ? TELL_IMAGE : 0) | (w->certs_fd >= 0 ? TELL_CERTS : 0);
	}
	if (r->role == WD_ROLE_OBSERVE) {
		r->tell = (w->image_fd >= 0 ? TELL_IMAGE : 0) | (w->conf_fd >= 0 ? TELL_CONF : 0);
	}
	if (r->role == WD_ROLE_CONTROL) r->tell = TELL_HELLO;
	for (uint32_t i = 0; i < w->role_count && r->role == WD_ROLE_OBSERVE; i++) {
		struct source *s = &w->roles[i].log;
		if (s->open) s->tell = TELL_OPEN;
	}
	for (uint32_t i = 0; i < w->replica_high; i++) {
		struct replica *p = &w->replicas[i];
		if (r->role == WD_ROLE_OBSERVE && p->log.open && p->state >= REPLICA_RUNS) {
			p->log.tell = p->log.ended ? TELL_OPEN | TELL_END : TELL_OPEN;
		}
		if (r->role == WD_ROLE_CONTROL && !p->forgotten) {
			if (p->state == REPLICA_RUNS) p->tell = TELL_REPLICA;
			if (p->state == REPLICA_ENDED) p->tell = TELL_REPLICA | TELL_EXIT;
		}
	}
	role_flush(r);
}

static void role_note(struct role *r, int pid, int status)
{
	struct wd_msg m = msg_of(WD_CHILD);
	m.role = (int32_t)r->role;
	m.who.replica = r->worker;
	m.pid = pid;
	m.status = status;
	m.at_ms = clock_mono_ms();
	m.start_time = pid == r->pid ? r->start_time : 0;
	m.count = r->incarnation;
	m.flags = pid == r->pid; /* 1: it was started */
	note_to_control(r->w, &m);
}

static void on_restart(struct loop *l, struct loop_timer *t)
{
	struct role *r = HG_CONTAINER(t, struct role, timer);
	(void)l;
	role_start(r);
	data_write_state(r->w);
}

static void restart_in(struct role *r, uint64_t ms)
{
	if (loop_timer_start(r->w->loop, &r->timer, ms, on_restart) < 0) role_start(r);
}

void role_start(struct role *r)
{
	struct warden *w = r->w;
	int pair[2];
	int rc = sock_pair(pair);
	if (rc < 0) {
		hg_log(&w->log, HG_ERROR, "role.start", HG_S("role", role_name(r->role)),
		        HG_S("error", strerror(-rc)));
		restart_in(r, RESTART_MAX_MS);
		return;
	}
	r->incarnation++;
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		role_child(r, pair[1]);
	}
	close(pair[1]);
	if (pid < 0) {
		hg_log(&w->log, HG_ERROR, "role.start", HG_S("role", role_name(r->role)),
		        HG_S("error", strerror(errno)));
		close(pair[0]);
		restart_in(r, RESTART_MAX_MS);
		return;
	}
	if (r->role == WD_ROLE_OBSERVE) spool_stop(w);
	r->pid = pid;
	r->start_time = proc_start_time(pid);
	r->started_ms = clock_mono_ms();
	r->fd = pair[0];
	r->waits_out = false;
	if (loop_io_start(w->loop, &r->io, r->fd, EPOLLIN, on_role_io) < 0) {
		close(r->fd);
		r->fd = -1;
		kill(pid, SIGKILL); /* comes back through its death */
	}
	role_note(r, pid, 0);
	role_tell_all(r);
}

static bool role_wanted(const struct role *r)
{
	const struct warden *w = r->w;
	switch (r->role) {
	case WD_ROLE_EDGE:
	case WD_ROLE_CONTROL: return w->phase == PHASE_UP;
	default: return w->phase < PHASE_OBSERVE;
	}
}

void role_died(struct role *r, int status)
{
	struct warden *w = r->w;
	char text[PROC_STATUS_TEXT];
	bool fast = clock_mono_ms() - r->started_ms < FAST_DEATH_MS;
	int pid = r->pid;
	role_close(r);
	r->pid = 0;
	r->start_time = 0;
	if (r->role == WD_ROLE_EDGE && w->plan->meter_worker_dead && w->meter) {
		w->plan->meter_worker_dead(w->meter, w->plan->meter_size, r->worker);
	}
	if (r->role == WD_ROLE_OBSERVE) spool_start(w);
	role_note(r, pid, status);
	if (!role_wanted(r)) {
		data_write_state(w);
		return;
	}
	proc_status_text(status, text, sizeof text);
	hg_log(&w->log, HG_WARN, "role.died", HG_S("role", role_name(r->role)),
	        HG_I("worker", r->worker), HG_I("pid", pid), HG_S("status", text));
	if (r->role == WD_ROLE_CONTROL && !w->control_ready &&
	        ++w->control_tries >= WARDEN_CONTROL_TRIES) {
		w->exit_status = WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
		shutdown_begin(w, 0);
		return;
	}
	r->fast_deaths = fast ? r->fast_deaths + 1 : 0;
	uint64_t wait = r->fast_deaths < 2 ? 0 : RESTART_MS << HG_MIN(r->fast_deaths - 2, 5u);
	if (wait == 0) {
		role_start(r);
	} else {
		restart_in(r, HG_MIN(wait, (uint64_t)RESTART_MAX_MS));
	}
	data_write_state(w);
}

struct role *role_of_pid(struct warden *w, int pid)
{
	for (uint32_t i = 0; i < w->role_count; i++) {
		if (w->roles[i].pid == pid) return &w->roles[i];
	}
	return NULL;
}
