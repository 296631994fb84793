#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/shm.h"
#include "warden/warden_priv.h"

#define MEMORY_WATCH_MS 1000
#define CHILDREN_MAX    1024

/* ---- deaths ---- */

static void reap_one(struct warden *w, pid_t pid)
{
	int status;
	struct role *r = role_of_pid(w, pid);
	struct replica *p = r ? NULL : replica_of_pid(w, pid);
	if (p) replica_before_reap(p);
	if (waitpid(pid, &status, 0) != pid) return;
	/* What is left is ours by adoption (a double fork): reaped and forgotten. */
	if (r) role_died(r, status);
	if (p && p->pid == pid) replica_reaped(p, status);
}

static void on_child(struct loop *l, int signo, void *arg)
{
	struct warden *w = arg;
	(void)l;
	(void)signo;
	for (;;) {
		siginfo_t si = {0};
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0) break;
		reap_one(w, si.si_pid);
	}
	replicas_settle(w);
	shutdown_step(w);
}

static void on_stop_signal(struct loop *l, int signo, void *arg)
{
	(void)l;
	shutdown_begin(arg, signo);
}

static void on_watch(struct loop *l, struct loop_timer *t)
{
	struct warden *w = HG_CONTAINER(t, struct warden, watch_timer);
	replicas_watch_memory(w);
	if (loop_timer_start(l, t, MEMORY_WATCH_MS, on_watch) < 0) {
		hg_log(&w->log, HG_ERROR, "warden.memory");
	}
}

/* ---- start ---- */

static int share(const char *name, size_t size, int *ret_ro, void **ret_map)
{
	int fd = shm_create(name, size);
	if (fd < 0) return fd;
	*ret_map = shm_map(fd, size, true);
	/* Read-only for those who only read: their mapping can never be made writable. */
	*ret_ro = shm_read_only(fd);
	if (!*ret_map || *ret_ro < 0 || shm_seal_size(fd) < 0) {
		close(fd);
		return -ENOMEM;
	}
	return fd;
}

static enum hg_rc make_memory(struct warden *w, struct hg_err *err)
{
	const struct warden_plan *p = w->plan;
	void *table = NULL, *rates = NULL, *board = NULL;
	if (p->meter_size) {
		w->meter_fd = share("meter", p->meter_size, &w->meter_ro_fd, &w->meter);
		if (w->meter_fd < 0) goto fail;
		if (p->meter_format) p->meter_format(w->meter, p->meter_size, p->workers);
	}
	if (p->table_size) {
		w->table_fd = share("endpoints", p->table_size, &w->table_ro_fd, &table);
		if (w->table_fd < 0) goto fail;
		if (p->table_format) p->table_format(table, p->table_size);
		shm_unmap(table, p->table_size);
	}
	if (p->rates_size) {
		w->rates_fd = share("rates", p->rates_size, &w->rates_ro_fd, &rates);
		if (w->rates_fd < 0) goto fail;
		if (p->rates_format) p->rates_format(rates, p->rates_size);
		shm_unmap(rates, p->rates_size);
	}
	if (p->board_size) {
		w->board_fd = share("board", p->board_size, &w->board_ro_fd, &board);
		if (w->board_fd < 0) goto fail;
		if (p->board_format) p->board_format(board, p->board_size);
		shm_unmap(board, p->board_size);
	}
	return HG_OK;
fail:
	return hg_err_set(err, HG_E_PLATFORM, "could not create shared memory");
}

static void make_filters(struct warden *w)
{
	for (int i = 0; i < SANDBOX_PROFILES; i++) {
		if (sandbox_filter_build((enum sandbox_profile)i, &w->filter[i]) < 0) {
			w->filter[i] = (struct sandbox_filter){0};
		}
	}
}

/* Who may talk to control.sock: the caller of sudo, or whoever started us. */
static void find_owner(struct warden *w)
{
	uint64_t uid, gid;
	w->owner = getuid();
	w->owner_group = getgid();
	const char *u = getenv("SUDO_UID"), *g = getenv("SUDO_GID");
	if (!w->as_root || !u || !g || !hg_str_u64(hg_str(u), &uid) ||
	        !hg_str_u64(hg_str(g), &gid) || uid > UINT32_MAX - 1 || gid > UINT32_MAX - 1) {
		return;
	}
	w->owner = (uid_t)uid;
	w->owner_group = (gid_t)gid;
}

static enum hg_rc warden_open(struct warden *w, struct hg_err *err)
{
	const struct warden_plan *p = w->plan;
	char name[48];
	HG_ASSERT(p->workers >= 1 && p->workers <= WARDEN_WORKERS_MAX);
	HG_ASSERT(p->listen_count <= WARDEN_LISTENERS_MAX);
	if (!hg_str_copy(hg_str(p->data_dir), w->data_dir, sizeof w->data_dir)) {
		return hg_err_set(err, HG_E_DATA_DIR, "the path of the data folder is too long");
	}
	enum hg_rc rc = data_open(w, err);
	if (rc == HG_OK) rc = data_listen(w, err);
	if (rc == HG_OK) rc = make_memory(w, err);
	if (rc == HG_OK && sock_pair(w->span_fds) < 0)
		rc = hg_err_set(err, HG_E_PLATFORM, "could not create the lane of traces");
	if (rc < 0) return rc;
	make_filters(w);
	snprintf(name, sizeof name, "headgate-%d", (int)getpid());
	cgroup_root_find(name, false, &w->cgroup);
	/* Double-forked children of replicas come to us, so that none becomes a stray. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	rc = loop_new(&w->loop);
	static const int stops[] = {SIGTERM, SIGINT, SIGHUP};
	for (size_t i = 0; i < HG_COUNT(stops) && rc == HG_OK; i++)
		rc = loop_signal(w->loop, stops[i], on_stop_signal, w);
	if (rc == HG_OK) rc = loop_signal(w->loop, SIGCHLD, on_child, w);
	if (rc == HG_OK) {
		rc = loop_timer_start(w->loop, &w->watch_timer, MEMORY_WATCH_MS, on_watch);
	}
	if (rc < 0) hg_err_set(err, rc, "could not start the event loop: %s", strerror(errno));
	return rc;
}

static struct warden *warden_new(const struct warden_plan *plan)
{
	struct warden *w = calloc(1, sizeof *w);
	if (!w) return NULL;
	w->plan = plan;
	w->log = (struct hg_log){
	        .fd = 2, .least = HG_INFO, .who = "warden", .wall_ms = clock_wall_ms};
	w->as_root = geteuid() == 0;
	w->admin_fd = w->control_fd = w->observe_fd = w->image_fd = w->certs_fd = -1;
	w->conf_fd = w->board_fd = w->board_ro_fd = -1;
	w->meter_fd = w->meter_ro_fd = w->table_fd = w->table_ro_fd = -1;
	w->rates_fd = w->rates_ro_fd = -1;
	w->span_fds[0] = w->span_fds[1] = -1;
	w->run_fd = w->spool_fd = w->lock_fd = w->replicas_fd = -1;
	for (size_t i = 0; i < WARDEN_LISTENERS_MAX; i++)
		w->listen_fds[i] = -1;
	find_owner(w);
	return w;
}

/* ---- end ---- */

/* Nothing that we started outlives us: what double-forked is our child by adoption. */
static void sweep(struct warden *w)
{
	pid_t pids[CHILDREN_MAX];
	for (int round = 0; round < 100; round++) {
		size_t n = proc_children(getpid(), pids, HG_COUNT(pids));
		for (size_t i = 0; i < n; i++)
			kill(pids[i], SIGKILL);
		if (n == 0) break;
		while (waitpid(-1, NULL, WNOHANG) > 0) {
		}
		usleep(1000);
	}
	for (uint32_t i = 0; i < w->replica_high; i++) {
		struct replica *r = &w->replicas[i];
		if (r->state == REPLICA_FREE) continue;
		if (r->cgroup_parts) cgroup_kill(&w->cgroup, r->log.name, r->cgroup_parts);
		source_spool(w, &r->log, true);
		source_close(w, &r->log);
		if (r->cgroup_parts) {
			cgroup_remove(&w->cgroup, r->log.name, r->cgroup_parts);
		}
	}
	for (uint32_t i = 0; i < w->role_count; i++) {
		source_spool(w, &w->roles[i].log, true);
		source_close(w, &w->roles[i].log);
		role_close(&w->roles[i]);
	}
	/* The helpers that removed directories. */
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
	}
}

static void warden_free(struct warden *w)
{
	int *fds[] = {&w->admin_fd, &w->control_fd, &w->observe_fd, &w->image_fd, &w->certs_fd,
	        &w->meter_fd, &w->meter_ro_fd, &w->table_fd, &w->table_ro_fd, &w->rates_fd,
	        &w->conf_fd, &w->board_fd, &w->board_ro_fd, &w->rates_ro_fd, &w->span_fds[0],
	        &w->span_fds[1]};
	for (size_t i = 0; i < HG_COUNT(fds); i++) {
		if (*fds[i] >= 0) close(*fds[i]);
	}
	for (size_t i = 0; i < WARDEN_LISTENERS_MAX; i++) {
		if (w->listen_fds[i] >= 0) close(w->listen_fds[i]);
	}
	for (int i = 0; i < SANDBOX_PROFILES; i++)
		sandbox_filter_free(&w->filter[i]);
	if (w->meter) shm_unmap(w->meter, w->plan->meter_size);
	cgroup_root_remove(&w->cgroup);
	data_close(w);
	loop_free(w->loop);
	free(w);
}

static void say_ready(int ready_fd, const struct hg_err *err)
{
	struct hg_buf text;
	if (ready_fd < 0) return;
	hg_buf_init(&text, 8192);
	if (err) hg_err_print(err, &text);
	(void)!write(ready_fd, err ? hg_buf_text(&text) : "", err ? text.n : 1);
	hg_buf_free(&text);
	close(ready_fd);
}

static void say_failure(const struct hg_err *err)
{
	struct hg_buf text;
	hg_buf_init(&text, 8192);
	hg_err_print(err, &text);
	(void)!write(2, hg_buf_text(&text), text.n);
	hg_buf_free(&text);
}

int warden_run(const struct warden_plan *plan, int ready_fd)
{
	struct hg_err err = {0};
	int status = 1;
	struct warden *w = warden_new(plan);
	enum hg_rc rc = HG_E_NOMEM;
	if (w) rc = warden_open(w, &err);
	if (rc < 0) {
		if (!w) hg_err_set(&err, rc, "memory is exhausted");
		if (ready_fd < 0) say_failure(&err);
		say_ready(ready_fd, &err);
		if (w) warden_free(w);
		return hg_rc_info(rc)->exit_status;
	}
	proc_title_find(&w->title);
	proc_title_set(&w->title, "headgate: warden");
	roles_init(w);
	/* Observe first: the others' first lines have a reader; control before the edges need it.
	 */
	role_start(role_observe(w));
	for (uint32_t i = 0; i < w->role_count; i++) {
		if (w->roles[i].role != WD_ROLE_OBSERVE) role_start(&w->roles[i]);
	}
	data_write_state(w);
	say_ready(ready_fd, NULL);
	if (loop_run(w->loop) < 0) hg_log(&w->log, HG_ERROR, "warden.loop");
	status = w->exit_status;
	sweep(w);
	warden_free(w);
	return status;
}
