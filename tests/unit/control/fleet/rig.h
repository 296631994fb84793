/*
 * A stage for the doing half: the test is the warden, the observe process and the replicas, all on
 * one loop with real sockets. A "process" is a listener at the address that WD_SPAWN named.
 */
#ifndef TESTS_UNIT_FLEET_RIG_H
#define TESTS_UNIT_FLEET_RIG_H

#include "../../test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/fleet/fleet_priv.h"
#include "os/file.h"

#define RIG_PROCS   64
#define RIG_WAIT_MS 15000u

struct rig_proc {
	struct loop_io io;
	struct rig *rig;
	struct wd_msg m; /* as it was asked for */
	bool alive, ended, forgotten;
	int fd, status;
	char argv0[128];
	char env[4096]; /* "NAME=value\n…" */
	char writable[512];
};

struct rig {
	char dir[64];
	struct loop *loop;
	struct store *store;
	struct fleet *fleet;
	struct warden_child child;
	struct loop_io io;
	int fds[2];
	struct rig_proc proc[RIG_PROCS];
	uint32_t proc_count;
	/* how new processes behave */
	bool dead_at_birth, deaf, exec_fails, mute /* the warden takes no spawn */;
	bool slow_oneshots;    /* they run until they are killed */
	uint32_t dead_release; /* processes of this release die at birth */
	int answer;            /* status of their answers */
	int oneshot_status;    /* of one-shot commands */
	bool decides;          /* somebody else decides how a release takes over */
	/* what was seen */
	uint32_t snapshots, readies, stopped, terms, kills;
	char term_app[16][WD_NAME_MAX]; /* in the order of their SIGTERMs */
	uint32_t term_count;
	uint64_t generation;
	char kinds[8192]; /* "replica.ready replica.died …" */
	char last_text[4096];
	char retention[1024]; /* what observe was told */
	char traces[256];     /* where they are to be sent, in <>, as observe was told last */
	struct fleet_watch watch;
	struct loop_io observe;
	int observe_fd;
	bool on_stopped;
	char told[256];           /* "hello 2 @3, …": what on_release said, at which generation */
	uint32_t previews, lanes; /* of the newest snapshot: preview routes, lanes in all */
	struct hg_list conns;
};

static void rig_send(struct rig *r, struct wd_msg *m)
{
	m->magic = WD_MAGIC;
	assert_int_equal(sock_send(r->fds[1], m, sizeof *m, NULL, 0), 0);
}

/* One connection to a "process" or to observe: answers once the request is whole. */
struct rig_conn {
	struct hg_list node;
	struct loop_io io;
	int fd;
	const char *answer;
	struct rig *rig;
	char got[1024];
	size_t n;
	const char *want;
};

static void rig_conn_end(struct loop *l, struct rig_conn *c)
{
	loop_io_stop(l, &c->io);
	close(c->fd);
	hg_list_remove(&c->node);
	free(c);
}

static void rig_request(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct rig_conn *c = HG_CONTAINER(io, struct rig_conn, io);
	(void)events;
	ssize_t n = read(c->fd, c->got + c->n, sizeof c->got - 1 - c->n);
	if (n > 0) c->n += (size_t)n;
	if (n > 0 && !strstr(c->got, "\r\n\r\n")) return;
	if (n > 0 && strstr(c->got, "PUT /v1/traces/export?url=") == c->got) {
		const char done[] = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
		(void)snprintf(c->rig->traces, sizeof c->rig->traces, "<%.*s>",
		        (int)strcspn(c->got + 26, " "), c->got + 26);
		assert_int_equal(write(c->fd, done, sizeof done - 1), sizeof done - 1);
	} else if (n > 0 && strstr(c->got, "PUT /v1/logs/retention?") == c->got) {
		const char done[] = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
		size_t at = strlen(c->rig->retention);
		(void)snprintf(c->rig->retention + at, sizeof c->rig->retention - at, "%.*s\n",
		        (int)strcspn(c->got + 23, " "), c->got + 23);
		assert_int_equal(write(c->fd, done, sizeof done - 1), sizeof done - 1);
	} else if (n > 0) {
		if (c->want && !strstr(c->got, c->want)) fail_msg("asked: %s", c->got);
		assert_int_equal(write(c->fd, c->answer, strlen(c->answer)), strlen(c->answer));
	}
	rig_conn_end(l, c);
}

static void rig_accept(struct rig *r, int listener, const char *answer, const char *want)
{
	struct rig_conn *c = calloc(1, sizeof *c);
	assert_non_null(c);
	c->fd = sock_accept(listener, NULL);
	c->answer = answer;
	c->want = want;
	c->rig = r;
	assert_true(c->fd >= 0);
	hg_list_append(&r->conns, &c->node);
	assert_int_equal(loop_io_start(r->loop, &c->io, c->fd, EPOLLIN, rig_request), HG_OK);
}

static void rig_answer(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct rig_proc *p = HG_CONTAINER(io, struct rig_proc, io);
	(void)l;
	(void)events;
	rig_accept(p->rig, p->fd,
	        p->rig->answer == 200 ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	                              : "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
	        NULL);
}

static void rig_end(struct rig_proc *p, int status)
{
	struct wd_msg m = p->m;
	m.type = WD_EXITED;
	m.status = p->status = status;
	p->alive = false;
	p->ended = true;
	if (p->fd >= 0) {
		loop_io_stop(p->rig->loop, &p->io);
		close(p->fd);
		p->fd = -1;
	}
	if (p->rig->fleet) rig_send(p->rig, &m);
}

static struct rig_proc *rig_proc(struct rig *r, uint64_t id)
{
	for (uint32_t i = 0; i < r->proc_count; i++)
		if (r->proc[i].m.id == id) return &r->proc[i];
	return NULL;
}

/* The nth living process. */
HG_UNUSED static struct rig_proc *rig_alive(struct rig *r, uint32_t nth)
{
	for (uint32_t i = 0; i < r->proc_count; i++)
		if (r->proc[i].alive && nth-- == 0) return &r->proc[i];
	fail_msg("there are not so many processes");
	return &r->proc[0];
}

static uint32_t rig_living(const struct rig *r)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->proc_count; i++)
		n += r->proc[i].alive;
	return n;
}

static void rig_read_blob(struct rig_proc *p, int fd)
{
	char *blob = mmap(NULL, p->m.blob_size, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(blob, MAP_FAILED);
	const char *at = blob;
	(void)snprintf(p->argv0, sizeof p->argv0, "%s", at);
	for (uint32_t i = 0; i < p->m.blob_argc; i++)
		at += strlen(at) + 1;
	for (uint32_t i = 0; i < p->m.blob_envc; i++, at += strlen(at) + 1) {
		size_t n = strlen(p->env);
		(void)snprintf(p->env + n, sizeof p->env - n, "%s\n", at);
	}
	for (; at < blob + p->m.blob_size; at += strlen(at) + 1) {
		size_t n = strlen(p->writable);
		(void)snprintf(p->writable + n, sizeof p->writable - n, "%s\n", at);
	}
	munmap(blob, p->m.blob_size);
}

static void rig_spawn(struct rig *r, const struct wd_msg *m, int fd)
{
	assert_null(rig_proc(r, m->id)); /* an id is never used twice */
	if (r->mute) return;
	assert_true(r->proc_count < RIG_PROCS);
	struct rig_proc *p = &r->proc[r->proc_count++];
	struct wd_msg answer = *m;
	*p = (struct rig_proc){.rig = r, .m = *m, .fd = -1};
	rig_read_blob(p, fd);
	answer.type = WD_REPLICA;
	if (r->exec_fails) {
		answer.error = ENOEXEC;
		answer.step = WD_STEP_EXEC;
		rig_send(r, &answer);
		p->ended = true;
		return;
	}
	answer.pid = p->m.pid = getpid();
	answer.at_ms = p->m.at_ms = clock_mono_ms();
	p->alive = true;
	struct sock_addr a;
	if (!r->deaf && m->kind == WD_KIND_REPLICA) {
		assert_true(sock_addr_parse(hg_str(m->address), &a));
		p->fd = sock_listen(&a, 16);
		assert_true(p->fd >= 0);
		assert_int_equal(loop_io_start(r->loop, &p->io, p->fd, EPOLLIN, rig_answer), HG_OK);
	}
	rig_send(r, &answer);
	if (m->kind == WD_KIND_ONESHOT && !r->slow_oneshots)
		rig_end(p, r->oneshot_status);
	else if (m->kind != WD_KIND_ONESHOT &&
	         (r->dead_at_birth || (r->dead_release && m->who.release == r->dead_release)))
		rig_end(p, 3 << 8);
}

static void rig_snapshot(struct rig *r, int fd)
{
	const struct snap_image *image;
	assert_int_equal(snap_map(fd, &image), HG_OK);
	r->previews = 0;
	r->lanes = image->lane_count;
	for (uint32_t i = 0; i < image->route_count; i++) {
		const struct snap_route *route = &snap_routes(image)[i];
		r->previews += route->preview;
		if (route->preview) assert_str(snap_str(image, route->path), "/");
	}
	snap_unmap(image);
}

static void rig_warden(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct rig *r = HG_CONTAINER(io, struct rig, io);
	struct wd_msg m;
	int fds[SOCK_FDS_MAX];
	size_t n_fds = 0;
	(void)l;
	(void)events;
	ssize_t n = sock_recv(r->fds[1], &m, sizeof m, fds, &n_fds);
	if (n <= 0) return;
	assert_true(wd_msg_valid(&m, (size_t)n));
	struct rig_proc *p = rig_proc(r, m.id);
	switch (m.type) {
	case WD_SPAWN: rig_spawn(r, &m, fds[0]); break;
	case WD_SIGNAL:
		assert_non_null(p);
		if (m.signo == SIGTERM) r->terms++;
		if (m.signo == SIGTERM && p && r->term_count < HG_COUNT(r->term_app))
			hg_str_copy(
			        hg_str(p->m.who.app), r->term_app[r->term_count++], WD_NAME_MAX);
		if (m.signo == SIGKILL) r->kills++;
		if (p->alive) rig_end(p, m.signo);
		break;
	case WD_FORGET:
		if (!p) break; /* asked to start and never was */
		assert_true(p->ended);
		p->forgotten = true;
		break;
	case WD_SNAPSHOT:
		assert_int_equal(n_fds, 1);
		assert_true(m.generation > r->generation);
		r->generation = m.generation;
		r->snapshots++;
		rig_snapshot(r, fds[0]);
		break;
	case WD_READY:
		assert_true(r->snapshots > 0);
		r->readies++;
		break;
	case WD_STOPPED: r->stopped++; break;
	default: fail_msg("message %u was not expected", m.type);
	}
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
}

static void rig_event(void *arg, const struct store_event *e)
{
	struct rig *r = arg;
	size_t n = strlen(r->kinds);
	(void)snprintf(r->kinds + n, sizeof r->kinds - n, "%.*s ", HG_STR_ARG(e->kind));
	(void)hg_str_copy(e->text, r->last_text, sizeof r->last_text);
	/* Events go to viewers and into the logs: never a value of the environment. */
	assert_null(strstr(r->last_text, "\"blue\""));
}

static void rig_stopped(void *arg)
{
	((struct rig *)arg)->on_stopped = true;
}

static void rig_told(void *arg, const char *app, uint32_t release)
{
	struct rig *r = arg;
	size_t n = strlen(r->told);
	(void)snprintf(r->told + n, sizeof r->told - n, "%s %u @%llu, ", app, release,
	        (unsigned long long)r->fleet->generation);
}

/* Control starts: `incarnation` 1 is the first of this warden. */
static void rig_control(struct rig *r, uint32_t incarnation)
{
	struct hg_err err = {0};
	assert_int_equal(sock_pair(r->fds), 0);
	assert_int_equal(loop_io_start(r->loop, &r->io, r->fds[1], EPOLLIN, rig_warden), HG_OK);
	r->child.warden_fd = r->fds[0];
	r->child.incarnation = incarnation;
	r->child.role = WD_ROLE_CONTROL;
	r->readies = 0;
	struct fleet_options o = {.loop = r->loop,
	        .store = r->store,
	        .child = &r->child,
	        .seed = 7,
	        .on_stopped = rig_stopped,
	        .on_release = r->decides ? rig_told : NULL,
	        .arg = r};
	if (fleet_new(&o, &r->fleet, &err) < 0) fail_msg("%s", err.message);
	fleet_watch_start(r->fleet, &r->watch, rig_event, r);
	/* The list: who lives, and whose end was not forgotten. */
	struct wd_msg hello = {.type = WD_HELLO};
	for (uint32_t i = 0; i < r->proc_count; i++)
		hello.count += !r->proc[i].forgotten;
	rig_send(r, &hello);
	for (uint32_t i = 0; i < r->proc_count; i++) {
		struct wd_msg m = r->proc[i].m;
		if (r->proc[i].forgotten) continue;
		m.type = WD_REPLICA;
		rig_send(r, &m);
		if (!r->proc[i].ended) continue;
		m.type = WD_EXITED;
		m.status = r->proc[i].status;
		rig_send(r, &m);
	}
}

/* kill -9 of control, as far as the others can tell. */
static void rig_control_dies(struct rig *r)
{
	loop_io_stop(r->loop, &r->io);
	fleet_free(r->fleet);
	r->fleet = NULL;
	close(r->fds[0]);
	close(r->fds[1]);
}

static int rig_up_with(void **state, bool decides)
{
	struct rig *r = calloc(1, sizeof *r);
	char path[128];
	assert_non_null(r);
	r->answer = 200;
	r->decides = decides;
	hg_list_init(&r->conns);
	r->observe_fd = -1;
	(void)snprintf(r->dir, sizeof r->dir, "/tmp/headgate-fleet-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	(void)snprintf(path, sizeof path, "%s/run", r->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(store_open(r->dir, &r->store, NULL), HG_OK);
	assert_int_equal(loop_new(&r->loop), HG_OK);
	r->child.data_dir = r->dir;
	r->child.table_size = sizeof(struct snap_table);
	r->child.table = calloc(1, r->child.table_size);
	r->child.meter_size = meter_size(1);
	r->child.meter = calloc(1, r->child.meter_size);
	assert_non_null(r->child.table);
	assert_non_null(r->child.meter);
	snap_table_init(r->child.table);
	meter_init(r->child.meter, 1);
	rig_control(r, 1);
	*state = r;
	return 0;
}

HG_UNUSED static int rig_up(void **state)
{
	return rig_up_with(state, false);
}

static int rig_down(void **state)
{
	struct rig *r = *state;
	rig_control_dies(r);
	for (uint32_t i = 0; i < r->proc_count; i++)
		if (r->proc[i].fd >= 0) close(r->proc[i].fd);
	if (r->observe_fd >= 0) close(r->observe_fd);
	while (!hg_list_empty(&r->conns))
		rig_conn_end(r->loop, HG_CONTAINER(r->conns.next, struct rig_conn, node));
	loop_free(r->loop);
	store_close(r->store);
	free(r->child.table);
	free(r->child.meter);
	int fd = file_open(r->dir, O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	assert_int_equal(file_remove_below(fd), 0);
	close(fd);
	assert_int_equal(rmdir(r->dir), 0);
	free(r);
	return 0;
}

static enum hg_rc rig_try(struct rig *r, const char *yaml, struct hg_err *err)
{
	struct hg_arena mem;
	struct spec_report *report = calloc(1, sizeof *report);
	struct spec *s;
	struct fleet_plan *plan;
	assert_non_null(report);
	hg_arena_init(&mem, "test", 64u << 20);
	struct spec_source from = {.text = hg_str(yaml), .file = "headgate.yaml"};
	if (spec_load(&from, &mem, report, &s) < 0)
		fail_msg("%s: %s", report->errors[0].message, report->errors[0].hint);
	enum hg_rc rc = fleet_check(r->fleet, s, r->dir, &plan, err);
	hg_arena_fini(&mem); /* the plan has all it needs */
	free(report);
	if (rc == HG_OK) fleet_apply(r->fleet, plan);
	return rc;
}

static void rig_apply(struct rig *r, const char *yaml)
{
	struct hg_err err = {0};
	if (rig_try(r, yaml, &err) < 0) fail_msg("%s", err.message);
}

/* Copies of one app's state; the caller looks only at plain members. */
HG_UNUSED static struct fleet_app_status rig_app(
        struct rig *r, struct fleet_replica_status *ret_first)
{
	struct fleet_status *s;
	struct fleet_app_status a = {0};
	assert_int_equal(fleet_status(r->fleet, &s), HG_OK);
	if (s->app_count > 0) {
		a = s->apps[s->app_count - 1];
		if (ret_first && a.replica_count > 0) *ret_first = a.replicas[0];
	}
	fleet_status_free(s);
	return a;
}

HG_UNUSED static uint32_t rig_endpoints(struct rig *r, enum snap_ep_state state)
{
	struct snap_endpoint ep;
	uint32_t n = 0;
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++)
		n += snap_table_get(r->child.table, i, &ep) && ep.state == (uint32_t)state;
	return n;
}

#define RIG_UNTIL(r, cond)                                                            \
	do {                                                                          \
		uint64_t end_ = clock_mono_ms() + RIG_WAIT_MS;                        \
		while (!(cond)) {                                                     \
			if (clock_mono_ms() > end_)                                   \
				fail_msg("never: %s; events: %s", #cond, (r)->kinds); \
			assert_int_equal(loop_turn((r)->loop, 50), HG_OK);            \
		}                                                                     \
	} while (0)

#endif
