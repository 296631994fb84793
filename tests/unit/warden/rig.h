/*
 * A warden with real processes for the tests. Control is a relay: what the warden tells it comes
 * out of `rig.control`, and what the test writes there goes to the warden. Observe and edge are
 * small but keep their contracts.
 */
#ifndef TESTS_UNIT_WARDEN_RIG_H
#define TESTS_UNIT_WARDEN_RIG_H

#include "../test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/sandbox.h"
#include "os/shm.h"
#include "warden/warden.h"

#define WAIT_MS 20000

struct rig {
	char data[128];
	pid_t warden;
	int control; /* our end of the relay */
	uint16_t port;
	struct warden_plan plan;
};

/* ---- the roles ---- */

static bool relay(int from, int to)
{
	struct wd_msg m;
	int fds[SOCK_FDS_MAX];
	size_t n;
	ssize_t got = sock_recv(from, &m, sizeof m, fds, &n);
	if (got == -EAGAIN) return true;
	if (got <= 0) return false;
	while (sock_send(to, &m, (size_t)got, fds, n) == -EAGAIN)
		usleep(1000);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	return true;
}

static int rig_control(const struct warden_child *c)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = c->warden_fd, .events = POLLIN},
		        {.fd = c->plan_fd, .events = POLLIN}};
		if (poll(p, 2, -1) < 0) continue;
		if (p[0].revents && !relay(c->warden_fd, c->plan_fd)) return 1;
		if (p[1].revents && !relay(c->plan_fd, c->warden_fd)) return 0;
	}
}

#define SOURCES_MAX 64
struct rig_source {
	struct wd_msg m;
	int fd[2];
	bool ended;
};

/* FIFO to the end of the spool file; true while something moved. */
static bool to_spool(const char *data, struct rig_source *s, int i)
{
	char path[512];
	snprintf(path, sizeof path, "%s/logs/spool/%s.%u.%u.%u.%s", data, s->m.who.app,
	        s->m.who.release, s->m.who.replica, s->m.who.incarnation, i ? "err" : "out");
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) return false;
	loff_t at = lseek(fd, 0, SEEK_END);
	ssize_t n = splice(s->fd[i], NULL, fd, &at, 65536, SPLICE_F_NONBLOCK);
	close(fd);
	return n > 0;
}

static void drain(const char *data, struct rig_source *s)
{
	for (int i = 0; i < 2; i++) {
		while (to_spool(data, s, i)) {
		}
	}
}

/* A line in DATA/logs/told for each thing that observe was told: its pid, what, and a number or the
 * first bytes of it. */
static void rig_told(const struct warden_child *c, const struct wd_msg *m, int fd)
{
	char path[300], text[64] = "", line[128];
	bool conf = m->type == WD_OBSERVE_CONF;
	if (conf && pread(fd, text, sizeof text - 1, 0) < 0) text[0] = 0;
	snprintf(path, sizeof path, "%s/logs/told", c->data_dir);
	int n = snprintf(line, sizeof line, "%d %s %s%llu\n", (int)getpid(),
	        conf ? "conf" : "snapshot", text, (unsigned long long)m->generation);
	int to = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (to < 0) return;
	(void)!write(to, line, (size_t)n);
	close(to);
}

static int rig_observe(const struct warden_child *c)
{
	struct rig_source s[SOURCES_MAX];
	size_t n = 0;
	for (;;) {
		struct pollfd p[2 * SOURCES_MAX + 1];
		for (size_t i = 0; i < n; i++) {
			p[2 * i] = (struct pollfd){.fd = s[i].fd[0], .events = POLLIN};
			p[2 * i + 1] = (struct pollfd){.fd = s[i].fd[1], .events = POLLIN};
		}
		p[2 * n] = (struct pollfd){.fd = c->warden_fd, .events = POLLIN};
		if (poll(p, 2 * n + 1, -1) < 0) continue;
		for (size_t i = 0; i < n; i++)
			drain(c->data_dir, &s[i]);
		if (!p[2 * n].revents) continue;
		struct wd_msg m;
		int fds[SOCK_FDS_MAX];
		size_t fd_count;
		ssize_t got = sock_recv(c->warden_fd, &m, sizeof m, fds, &fd_count);
		if (got == -EAGAIN) continue;
		if (got <= 0 || m.type == WD_LOG_STOP) {
			for (size_t i = 0; i < n; i++)
				drain(c->data_dir, &s[i]);
			return 0;
		}
		if ((m.type == WD_OBSERVE_CONF || m.type == WD_OBSERVE_SNAPSHOT) && fd_count == 1) {
			rig_told(c, &m, fds[0]);
			close(fds[0]);
		}
		if (m.type == WD_LOG_OPEN && n < SOURCES_MAX) {
			s[n++] = (struct rig_source){.m = m, .fd = {fds[0], fds[1]}};
		}
		for (size_t i = 0; m.type == WD_LOG_END && i < n; i++) {
			if (s[i].m.id != m.id) continue;
			drain(c->data_dir, &s[i]);
			close(s[i].fd[0]);
			close(s[i].fd[1]);
			s[i] = s[--n];
			m.type = WD_LOG_DRAINED;
			if (sock_send(c->warden_fd, &m, sizeof m, NULL, 0) < 0) return 1;
			break;
		}
	}
}

/* Answers each connection with "<pid> <generation>\n". */
static int rig_edge(const struct warden_child *c)
{
	unsigned long long generation = 0;
	for (;;) {
		struct pollfd p[2] = {{.fd = c->warden_fd, .events = POLLIN},
		        {.fd = c->listen_count ? c->listen_fds[0] : -1, .events = POLLIN}};
		if (poll(p, 2, -1) < 0) continue;
		if (p[0].revents) {
			struct wd_msg m;
			int fds[SOCK_FDS_MAX];
			size_t n;
			ssize_t got = sock_recv(c->warden_fd, &m, sizeof m, fds, &n);
			if (got == 0 || (got > 0 && m.type == WD_EDGE_DRAIN)) return 0;
			if (got > 0 && m.type == WD_EDGE_SNAPSHOT) generation = m.generation;
			for (size_t i = 0; got > 0 && i < n; i++)
				close(fds[i]);
		}
		if (!p[1].revents) continue;
		int fd = sock_accept(c->listen_fds[0], NULL);
		if (fd < 0) continue;
		if (c->meter) ((uint32_t *)c->meter)[c->worker]++;
		dprintf(fd, "%d %llu\n", (int)getpid(), generation);
		close(fd);
	}
}

static void rig_worker_dead(void *meter, size_t size, uint32_t worker)
{
	(void)size;
	((uint32_t *)meter)[worker] = 0;
}

/* ---- the rig ---- */

static void rig_plan(struct rig *r, const char *data, int plan_fd)
{
	r->port = sock_free_port();
	r->plan = (struct warden_plan){.data_dir = data,
	        .listen_count = 1,
	        .workers = 1,
	        .plan_fd = plan_fd,
	        .grace_ms = 8000,
	        .meter_size = 4096,
	        .table_size = 4096,
	        .meter_worker_dead = rig_worker_dead,
	        .control_main = rig_control,
	        .observe_main = rig_observe,
	        .edge_main = rig_edge};
	sock_addr_tcp4(INADDR_LOOPBACK, r->port, &r->plan.listen[0]);
}

/* Forks the warden and waits for its ready byte; the text of its failure otherwise. */
static bool rig_launch(struct rig *r, char *ret_text, size_t cap)
{
	int ready[2], log_fd;
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	fflush(NULL);
	r->warden = fork();
	if (r->warden == 0) {
		close(ready[0]);
		prctl(PR_SET_PDEATHSIG, SIGTERM); /* a failed test leaves nothing behind */
		log_fd = open("/dev/null", O_WRONLY);
		if (!getenv("RIG_LOG")) dup2(log_fd, 2);
		hg_child_exit(warden_run(&r->plan, ready[1]));
	}
	close(ready[1]);
	size_t n = 0;
	for (ssize_t got; (got = read(ready[0], ret_text + n, cap - 1 - n)) > 0;)
		n += (size_t)got;
	ret_text[n] = 0;
	close(ready[0]);
	return n == 1 && ret_text[0] == 0;
}

static void rig_folder(struct rig *r)
{
	*r = (struct rig){0};
	snprintf(r->data, sizeof r->data, "/tmp/hg-warden-XXXXXX");
	assert_non_null(mkdtemp(r->data));
}

/* Starts it on the folder that is there. */
static void rig_open_there(struct rig *r, uint32_t workers)
{
	int pair[2];
	char text[2048];
	assert_int_equal(sock_pair(pair), 0);
	rig_plan(r, r->data, pair[1]);
	r->plan.workers = workers;
	r->control = pair[0];
	if (!rig_launch(r, text, sizeof text)) fail_msg("warden did not start: %s", text);
	close(pair[1]);
}

static void rig_open(struct rig *r, uint32_t workers)
{
	rig_folder(r);
	rig_open_there(r, workers);
}

/* The next message for control of this type; others are dropped. *ret_fd: its descriptor or -1. */
static struct wd_msg rig_expect(struct rig *r, enum wd_type type, int *ret_fd)
{
	uint64_t until = clock_mono_ms() + WAIT_MS;
	for (;;) {
		struct pollfd p = {.fd = r->control, .events = POLLIN};
		uint64_t now = clock_mono_ms();
		if (now >= until || poll(&p, 1, (int)(until - now)) != 1) {
			fail_msg("no message of type %d came", type);
		}
		struct wd_msg m;
		int fds[SOCK_FDS_MAX];
		size_t n;
		ssize_t got = sock_recv(r->control, &m, sizeof m, fds, &n);
		if (got == -EAGAIN) continue;
		assert_true(wd_msg_valid(&m, got < 0 ? 0 : (size_t)got));
		bool mine = m.type == type;
		if (ret_fd) *ret_fd = mine && n > 0 ? fds[0] : -1;
		for (size_t i = mine && ret_fd ? 1 : 0; i < n; i++)
			close(fds[i]);
		if (mine) return m;
	}
}

static void rig_send(struct rig *r, struct wd_msg m, int fd)
{
	m.magic = WD_MAGIC;
	assert_int_equal(sock_send(r->control, &m, sizeof m, &fd, fd >= 0), 0);
}

struct rig_spawn {
	const char *app, *dir;
	uint64_t id;
	const char *argv[8], *env[8], *writable[4];
	struct wd_msg more; /* kind, flags, deadline_ms, limits, uid */
};

static void rig_spawn_send(struct rig *r, const struct rig_spawn *s)
{
	struct wd_msg m = s->more;
	struct hg_buf b;
	hg_buf_init(&b, WD_BLOB_MAX);
	for (; s->argv[m.blob_argc]; m.blob_argc++)
		hg_buf_str(&b,
		        (struct hg_str){s->argv[m.blob_argc], strlen(s->argv[m.blob_argc]) + 1});
	for (; s->env[m.blob_envc]; m.blob_envc++)
		hg_buf_str(
		        &b, (struct hg_str){s->env[m.blob_envc], strlen(s->env[m.blob_envc]) + 1});
	for (size_t i = 0; s->writable[i]; i++)
		hg_buf_str(&b, (struct hg_str){s->writable[i], strlen(s->writable[i]) + 1});
	m.type = WD_SPAWN;
	m.id = s->id;
	m.blob_size = (uint32_t)b.n;
	m.who.release = 1;
	m.who.replica = 1;
	m.who.incarnation = (uint32_t)s->id;
	hg_str_copy(hg_str(s->app ? s->app : "app"), m.who.app, sizeof m.who.app);
	hg_str_copy(hg_str(s->dir ? s->dir : "/"), m.dir, sizeof m.dir);
	int fd = shm_sealed("blob", hg_buf_view(&b));
	assert_true(fd >= 0);
	rig_send(r, m, fd);
	close(fd);
	hg_buf_free(&b);
}

/* Starts it and returns the answer. */
static struct wd_msg rig_spawn_(struct rig *r, const struct rig_spawn *s)
{
	rig_spawn_send(r, s);
	struct wd_msg m = rig_expect(r, WD_REPLICA, NULL);
	assert_int_equal(m.id, s->id);
	return m;
}
#define rig_spawn(r, ...) rig_spawn_((r), &(struct rig_spawn){__VA_ARGS__})
#define SH(text)          .argv = {"sh", "-c", (text)}, .env = {"PATH=/usr/bin:/bin"}

static void rig_forget(struct rig *r, uint64_t id)
{
	rig_send(r, (struct wd_msg){.type = WD_FORGET, .id = id}, -1);
}

/* Pid of a role process as run/warden has it; 0 when there is none. `not`: wait for another. */
static int rig_role(struct rig *r, enum wd_role role, int not_this)
{
	for (uint64_t until = clock_mono_ms() + WAIT_MS; clock_mono_ms() < until; usleep(2000)) {
		struct warden_info info;
		if (warden_find(r->data, &info, NULL) < 0) continue;
		for (uint32_t i = 0; i < info.role_count; i++) {
			if (info.roles[i].role == role && info.roles[i].pid != not_this) {
				return info.roles[i].pid;
			}
		}
	}
	fail_msg("role process %d did not come", role);
	return 0;
}

static int rig_wait(struct rig *r)
{
	int status;
	assert_int_equal(waitpid(r->warden, &status, 0), r->warden);
	r->warden = 0;
	return status;
}

static void rig_remove(struct rig *r)
{
	int fd = file_open(r->data, O_RDONLY | O_DIRECTORY, 0);
	if (fd >= 0) {
		assert_int_equal(file_remove_below(fd), 0);
		close(fd);
	}
	rmdir(r->data);
}

/* Stops it; control is the test: it answers when asked. */
static void rig_close(struct rig *r)
{
	kill(r->warden, SIGTERM);
	rig_expect(r, WD_SHUTDOWN, NULL);
	rig_send(r, (struct wd_msg){.type = WD_STOPPED}, -1);
	assert_int_equal(rig_wait(r), 0);
	close(r->control);
	rig_remove(r);
}

static bool rig_read(struct rig *r, const char *name, struct hg_buf *to)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", r->data, name);
	return file_read(path, 64 << 20, to, NULL) == HG_OK;
}

/* Waits until the file has `n` bytes and returns them all. */
static void rig_await_file(struct rig *r, const char *name, size_t n, struct hg_buf *to)
{
	for (uint64_t until = clock_mono_ms() + WAIT_MS; clock_mono_ms() < until; usleep(2000)) {
		if (rig_read(r, name, to) && to->n >= n) return;
	}
	fail_msg("%s has %zu bytes, wanted %zu", name, to->n, n);
}

#endif
