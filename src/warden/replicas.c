#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/shm.h"
#include "warden/warden_priv.h"

#define START_MAX_MS 30000 /* from fork to exec */

/* ---- look-up ---- */

struct replica *replica_of_pid(struct warden *w, int pid)
{
	for (uint32_t i = 0; i < w->replica_high; i++) {
		struct replica *r = &w->replicas[i];
		if (r->pid == pid && (r->state == REPLICA_STARTING || r->state == REPLICA_RUNS)) {
			return r;
		}
	}
	return NULL;
}

struct replica *replica_of_id(struct warden *w, uint64_t id)
{
	for (uint32_t i = 0; i < w->replica_high; i++) {
		if (w->replicas[i].state != REPLICA_FREE && w->replicas[i].id == id) {
			return &w->replicas[i];
		}
	}
	return NULL;
}

struct source *source_of_id(struct warden *w, uint64_t id)
{
	struct replica *r = replica_of_id(w, id);
	return r && r->log.open ? &r->log : NULL;
}

uint32_t replicas_running(const struct warden *w)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < w->replica_high; i++) {
		n += w->replicas[i].state == REPLICA_STARTING ||
		     w->replicas[i].state == REPLICA_RUNS;
	}
	return n;
}

static struct replica *take_free(struct warden *w)
{
	for (uint32_t i = 0; i < WARDEN_REPLICAS_MAX; i++) {
		if (w->replicas[i].state != REPLICA_FREE) continue;
		if (i >= w->replica_high) w->replica_high = i + 1;
		return &w->replicas[i];
	}
	return NULL;
}

/* ---- requests ---- */

static bool name_ok(const char *s)
{
	size_t n = strnlen(s, WD_NAME_MAX);
	if (n == 0 || n == WD_NAME_MAX) return false;
	for (size_t i = 0; i < n; i++) {
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
		            s[i] == '-')) {
			return false;
		}
	}
	return true;
}

/* Users of Headgate itself: a replica with one of them could signal and read its processes. */
static bool uid_ok(const struct warden *w, uint32_t uid)
{
	return !w->as_root ||
	       (uid != WARDEN_UID_EDGE && uid != WARDEN_UID_CONTROL && uid != WARDEN_UID_OBSERVE);
}

static int check_blob(const struct wd_msg *m, const int *fds, size_t fd_count)
{
	if (fd_count != 1 || !shm_is_sealed(fds[0])) return EBADF;
	if (m->blob_size == 0 || m->blob_size > WD_BLOB_MAX) return E2BIG;
	if (shm_size(fds[0]) != (int64_t)m->blob_size) return EBADMSG;
	if (m->blob_argc == 0 || m->blob_argc > m->blob_size || m->blob_envc > m->blob_size) {
		return EBADMSG;
	}
	return 0;
}

/* 0 or a positive errno. What control asks for is not trusted: it talks to the network. */
static int check_spawn(struct warden *w, const struct wd_msg *m, const int *fds, size_t fd_count)
{
	struct stat st;
	if (w->phase != PHASE_UP && m->kind != WD_KIND_ONESHOT) return ESHUTDOWN;
	if (m->id < WD_FIRST_ID || replica_of_id(w, m->id)) return EEXIST;
	if (m->kind != WD_KIND_REPLICA && m->kind != WD_KIND_ONESHOT) return EINVAL;
	if (!name_ok(m->who.app) || !uid_ok(w, m->uid)) return EINVAL;
	if (strcmp(m->who.app, "control") == 0 || strcmp(m->who.app, "edge") == 0) return EINVAL;
	if (m->dir[0] != '/') return EINVAL;
	if (stat(m->dir, &st) < 0) return errno;
	if (!S_ISDIR(st.st_mode)) return ENOTDIR;
	return check_blob(m, fds, fd_count);
}

static void refuse(struct warden *w, const struct wd_msg *m, int error, enum wd_step step)
{
	struct wd_msg a = msg_of(WD_REPLICA);
	a.kind = m->kind;
	a.id = m->id;
	a.who = m->who;
	a.error = error;
	a.step = (int32_t)step;
	note_to_control(w, &a);
}

/* ---- the end of an entry ---- */

void replica_settle(struct replica *r)
{
	if (r->state != REPLICA_ENDED && r->state != REPLICA_FAILED) return;
	if (r->cgroup_parts && cgroup_remove(&r->w->cgroup, r->log.name, r->cgroup_parts) == 0) {
		r->cgroup_parts = 0;
	}
	bool told = r->state == REPLICA_FAILED ? !r->tell : r->forgotten;
	if (!told || r->log.open) return;
	r->state = REPLICA_FREE;
	r->tell = 0;
	r->id = 0;
}

void replicas_settle(struct warden *w)
{
	for (uint32_t i = 0; i < w->replica_high; i++)
		replica_settle(&w->replicas[i]);
}

static void close_pidfd(struct replica *r)
{
	if (r->pidfd >= 0) close(r->pidfd);
	r->pidfd = -1;
}

/* ---- the start ---- */

static void failed(struct replica *r, int error, int step)
{
	r->state = REPLICA_FAILED;
	r->error = error;
	r->step = step;
	r->pid = 0;
	close_pidfd(r);
	loop_timer_stop(r->w->loop, &r->deadline);
	source_close(r->w, &r->log);
	r->tell = TELL_REPLICA;
	role_flush(role_control(r->w));
	replica_settle(r);
}

static void on_deadline(struct loop *l, struct loop_timer *t)
{
	struct replica *r = HG_CONTAINER(t, struct replica, deadline);
	(void)l;
	replica_signal(r, SIGKILL);
}

static void started(struct replica *r)
{
	struct warden *w = r->w;
	r->state = REPLICA_RUNS;
	r->started_ms = clock_mono_ms();
	loop_timer_stop(w->loop, &r->deadline);
	if (r->kind == WD_KIND_ONESHOT && r->deadline_ms &&
	        loop_timer_start(w->loop, &r->deadline, r->deadline_ms, on_deadline) < 0) {
		replica_signal(r, SIGKILL);
	}
	r->log.tell = TELL_OPEN;
	r->tell = TELL_REPLICA;
	data_note(w, "started", r);
	role_flush(role_observe(w));
	role_flush(role_control(w));
}

/* Everything the child has to say is in the pipe, or will be: its end is exec or death. */
static void read_report(struct replica *r)
{
	struct spawn_report got;
	ssize_t n;
	if (r->report_fd < 0) return;
	for (;;) {
		n = read(r->report_fd, &got, sizeof got);
		if (n < 0 && errno == EINTR) continue;
		if (n != sizeof got) break;
		r->step = got.step;
		r->error = got.error;
		r->applied |= got.applied;
	}
	if (n < 0 && errno == EAGAIN) return;
	loop_io_stop(r->w->loop, &r->report);
	close(r->report_fd);
	r->report_fd = -1;
	/* The process of a failed start is reaped without a word: pid 0 is in no table. */
	if (r->error) {
		failed(r, r->error, r->step);
	} else {
		started(r);
	}
}

static void on_report(struct loop *l, struct loop_io *io, uint32_t events)
{
	(void)l;
	(void)events;
	read_report(HG_CONTAINER(io, struct replica, report));
}

static int launch(struct replica *r, const struct wd_msg *m, int blob_fd)
{
	struct warden *w = r->w;
	int report[2];
	if (pipe2(report, O_CLOEXEC) < 0) return errno;
	pid_t pid = fork();
	if (pid == 0) spawn_child(w, r, m, blob_fd, report[1]);
	int err = errno;
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return err;
	}
	(void)fcntl(report[0], F_SETFL, O_NONBLOCK);
	r->pid = pid;
	r->start_time = proc_start_time(pid);
	r->pidfd = proc_pidfd(pid);
	r->report_fd = report[0];
	r->state = REPLICA_STARTING;
	if (loop_io_start(w->loop, &r->report, report[0], EPOLLIN, on_report) < 0 ||
	        loop_timer_start(w->loop, &r->deadline, START_MAX_MS, on_deadline) < 0) {
		kill(pid, SIGKILL);
	}
	return 0;
}

static void fill(struct replica *r, struct warden *w, const struct wd_msg *m)
{
	*r = (struct replica){.magic = REPLICA_MAGIC,
	        .w = w,
	        .id = m->id,
	        .kind = m->kind,
	        .who = m->who,
	        .pidfd = -1,
	        .report_fd = -1,
	        .deadline_ms = m->deadline_ms,
	        .memory_max = m->memory_max};
	r->report.fd = -1;
	r->log = (struct source){.keep = {-1, -1}, .rd = {-1, -1}};
	memcpy(r->address, m->address, sizeof r->address);
}

void replica_spawn(struct warden *w, const struct wd_msg *m, int *fds, size_t fd_count)
{
	struct cgroup_limits limits = {.memory_max = m->memory_max,
	        .cpu_max_milli = m->cpu_max_milli,
	        .pids_max = m->pids_max,
	        .memory_low = m->memory_low,
	        .cpu_milli = m->cpu_milli};
	int err = check_spawn(w, m, fds, fd_count);
	if (err) {
		refuse(w, m, err, WD_STEP_CHECK);
		return;
	}
	uid_t uid = !w->as_root ? geteuid() : m->uid ? m->uid : data_uid_of(w, m->who.app);
	struct replica *r = take_free(w);
	if (!r || uid == 0) {
		refuse(w, m, uid == 0 && r ? ENOSPC : EAGAIN, WD_STEP_CHECK);
		return;
	}
	fill(r, w, m);
	r->uid = uid;
	int rc = source_open(w, &r->log, m->id, &m->who, uid);
	if (rc < 0) {
		failed(r, -rc, WD_STEP_PRIVATE_DIR);
		return;
	}
	rc = cgroup_create(&w->cgroup, r->log.name, &limits, &r->cgroup_parts);
	if (rc < 0) r->cgroup_parts = 0;
	(void)spawn_view_works(w);
	err = launch(r, m, fds[0]);
	if (err) failed(r, err, WD_STEP_FORK);
}

/* ---- signals and the end ---- */

void replica_signal(struct replica *r, int signo)
{
	if (r->pid <= 1 || signo < 0 || signo >= NSIG) return;
	if (signo == SIGKILL) {
		if (r->cgroup_parts) {
			cgroup_kill(&r->w->cgroup, r->log.name, r->cgroup_parts);
		}
		kill(-r->pid, SIGKILL);
	}
	if (r->pidfd >= 0) {
		(void)!proc_pidfd_signal(r->pidfd, signo);
	} else {
		kill(r->pid, signo); /* our own child that is not reaped: the pid is still its */
	}
}

/* The dead leader still keeps its number, so the group cannot be somebody else's yet. */
void replica_before_reap(struct replica *r)
{
	read_report(r);
	if (r->state == REPLICA_FAILED || r->pid <= 1) return;
	kill(-r->pid, SIGKILL);
	if (r->cgroup_parts) cgroup_kill(&r->w->cgroup, r->log.name, r->cgroup_parts);
}

/* Why it ended, where the status alone would not tell. */
static int memory_bits(const struct replica *r, int status)
{
	if (status == 0) return 0;
	if (r->over) return WD_STATUS_OVER;
	bool kept = r->memory_max && r->cgroup_parts & 1u << CGROUP_MEMORY;
	return kept && cgroup_oom_kills(&r->w->cgroup, r->log.name) ? WD_STATUS_OOM : 0;
}

void replica_reaped(struct replica *r, int status)
{
	struct warden *w = r->w;
	int bits = memory_bits(r, status);
	if (r->state == REPLICA_STARTING) { /* killed before exec: no report will come */
		if (r->report_fd >= 0) {
			loop_io_stop(w->loop, &r->report);
			close(r->report_fd);
			r->report_fd = -1;
		}
		failed(r, bits ? ENOMEM : ECANCELED, WD_STEP_EXEC);
		return;
	}
	r->state = REPLICA_ENDED;
	r->status = status | bits;
	r->ended_ms = clock_mono_ms();
	close_pidfd(r);
	loop_timer_stop(w->loop, &r->deadline);
	r->log.ended = true;
	r->log.tell |= TELL_END;
	r->tell |= TELL_EXIT;
	data_note(w, "ended", r);
	role_flush(role_control(w));
	role_flush(role_observe(w));
	replica_settle(r);
}

/* ---- limits that no cgroup keeps ---- */

#define COUNT_AGAIN_MS 10000

/*
 * Resident pages that several processes of a replica share are counted for each of them by the
 * cheap look, which may only acquit. The exact one walks page tables: not every second.
 */
static bool is_over(struct replica *r, const struct proc_tree *cheap)
{
	uint64_t now = clock_mono_ms();
	if (cheap->rss_bytes <= r->memory_max) return false;
	if (cheap->processes <= 1) return true;
	if (r->counted_ms && now - r->counted_ms < COUNT_AGAIN_MS &&
	        cheap->rss_bytes <= r->counted_bytes + r->counted_bytes / 50)
		return false;
	struct proc_tree exact = {.leader = r->pid};
	proc_trees(&exact, 1, true);
	r->counted_ms = now;
	r->counted_bytes = cheap->rss_bytes;
	return exact.pss_bytes > r->memory_max;
}

void replicas_watch_memory(struct warden *w)
{
	struct proc_tree *trees = NULL;
	struct replica **who = NULL;
	uint32_t n = 0;
	for (uint32_t i = 0; i < w->replica_high; i++)
		n += w->replicas[i].state == REPLICA_RUNS && w->replicas[i].applied & WD_A_WATCHED;
	if (n == 0) return;
	trees = calloc(n, sizeof *trees);
	who = calloc(n, sizeof(struct replica *));
	if (!trees || !who) goto out;
	n = 0;
	for (uint32_t i = 0; i < w->replica_high; i++) {
		struct replica *r = &w->replicas[i];
		if (r->state != REPLICA_RUNS || !(r->applied & WD_A_WATCHED)) continue;
		who[n] = r;
		trees[n++].leader = r->pid;
	}
	proc_trees(trees, n, false);
	for (uint32_t i = 0; i < n; i++) {
		if (!is_over(who[i], &trees[i])) continue;
		who[i]->over = true;
		hg_log(&w->log, HG_WARN, "replica.memory", HG_S("app", who[i]->who.app),
		        HG_I("replica", who[i]->who.replica), HG_I("rss", trees[i].rss_bytes),
		        HG_I("limit", who[i]->memory_max));
		replica_signal(who[i], SIGKILL);
	}
out:
	free(trees);
	free(who);
}
