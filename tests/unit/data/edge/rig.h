/*
 * An edge in a thread of its own, replicas that are threads with blocking sockets and a script,
 * and clients that are the test itself: a test reads like a dialogue.
 */
#ifndef TESTS_EDGE_RIG_H
#define TESTS_EDGE_RIG_H

#include "../../test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "data/edge/edge_priv.h"
#include "os/clock.h"

#ifdef RIG_TLS /* the same tests with HTTPS */
#include "cert/cert.h"
#include "tls_bridge.h"
#endif
#ifdef RIG_UP /* … with TLS to the replicas */
#include "cert/cert.h"
#include "tls_bridge.h"
#endif
#ifdef RIG_H2 /* … with HTTP/2 */
#include "h2_bridge.h"
#endif

#ifdef RIG_H2
#define RIG_H1 0 /* is what only HTTP/1.1 has to be there? */
#else
#define RIG_H1 1
#endif
#ifdef RIG_TLS
#define RIG_PROTO "https"
#else
#define RIG_PROTO "http"
#endif
#define RIG_REPLICAS 4
#define RIG_PEERS    1024

struct replica;
struct pem_text;
typedef void (*rig_script)(struct replica *rep, int fd);

/* One replica: accepts, and runs the script on every connection in its own thread. */
struct replica {
	int fd;
	uint16_t port;
	uint32_t slot, release, proxy, tls, http2;
	_Atomic(rig_script) script; /* of connections that begin */
	_Atomic(void *) arg;
	pthread_t accepter;
	pthread_mutex_t lock;
	pthread_t thread[RIG_PEERS];
	int peer[RIG_PEERS];
	int peers;
	_Atomic int connections, requests;
	char last[65536];           /* the last request head, zero-terminated */
	const struct pem_text *pem; /* what it shows */
};

struct rig {
	struct loop *loop;
	struct edge *edge;
	struct meter *meter;
	struct snap_table *table;
	int listener;
	struct sock_addr addr;
	int wake[2];
	struct loop_io wake_io;
	void (*call)(struct rig *);
	uint32_t bufs_used, ups_used, lanes;
	uint64_t loose_ms;
	sem_t called;
	pthread_t thread;
	bool stop;
	struct replica rep[RIG_REPLICAS];
	int replicas;
	int log_pipe[2];
	int lane[2]; /* of spans: the edge's end is the second */
	uint64_t generation;
	struct snap_image shape;    /* edge-wide numbers of the next image */
	struct snap_app app;        /* the application of the next image */
	struct snap_in_route guard; /* limits and lists of the next image's first route */
	const struct snap_in_route
	        *routes; /* of the next image; NULL: one for all, and "preview" */
	uint32_t route_count;
	struct snap_in_ca ca[2];
	uint32_t ca_count;
	bool allow_1_2;
	struct snap_in_set trusted, exempt, access;
	struct hg_str probe;
	struct snap_in_app shown; /* pages, message and through of the next image's application */
	struct rates *rates;      /* NULL: none */
	uint32_t affinity;        /* of its first route */
	uint32_t connections, buffers, worker;
	struct rig *owner; /* of meter and table, when this is one more worker; NULL: itself */
};

/* ---- blocking sockets ---- */

static inline void put_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k <= 0) return;
		p += k;
		n -= (size_t)k;
	}
}

static inline void put(int fd, const char *text)
{
	put_all(fd, text, strlen(text));
}

/* Reads a head, byte by byte (so that nothing after it is taken); 0 at the end. */
static inline size_t get_head(int fd, char *to, size_t cap)
{
	size_t n = 0;
	while (n + 1 < cap) {
		ssize_t k = recv(fd, to + n, 1, 0);
		if (k <= 0) return 0;
		n++;
		if (n >= 4 && memcmp(to + n - 4, "\r\n\r\n", 4) == 0) break;
	}
	to[n] = 0;
	return n;
}

static inline bool get_n(int fd, char *to, size_t n)
{
	while (n) {
		ssize_t k = recv(fd, to, n, 0);
		if (k <= 0) return false;
		to += k;
		n -= (size_t)k;
	}
	return true;
}

static inline const char *field(const char *head, const char *name, char *to, size_t cap)
{
	size_t n = strlen(name);
	to[0] = 0;
	for (const char *p = strstr(head, "\r\n"); p && p[2]; p = strstr(p + 2, "\r\n")) {
		if (strncasecmp(p + 2, name, n) != 0 || p[2 + n] != ':') continue;
		const char *v = p + 3 + n, *end = strstr(v, "\r\n");
		while (*v == ' ')
			v++;
		snprintf(to, cap, "%.*s", (int)(end - v), v);
		return to;
	}
	return NULL;
}

/* A chunked body, decoded. */
static inline size_t get_chunked(int fd, char *to, size_t cap)
{
	size_t n = 0;
	for (;;) {
		char line[64];
		size_t k = 0;
		while (k < sizeof line - 1 && recv(fd, line + k, 1, 0) == 1 && line[k] != '\n')
			k++;
		line[k] = 0;
		size_t size = strtoul(line, NULL, 16);
		if (size == 0) {
			get_n(fd, line, 2);
			return n;
		}
		if (n + size > cap || !get_n(fd, to + n, size) || !get_n(fd, line, 2)) return n;
		n += size;
	}
}

/* ---- replicas ---- */

struct peer_arg {
	struct replica *rep;
	int number;
};

static inline void *peer_thread(void *arg)
{
	struct peer_arg a = *(struct peer_arg *)arg;
	free(arg);
	pthread_mutex_lock(&a.rep->lock);
	int fd = a.rep->peer[a.number];
#ifdef RIG_UP
	if (a.rep->pem) fd = a.rep->peer[a.number] = bridge_serve(fd, a.rep->pem);
#endif
	pthread_mutex_unlock(&a.rep->lock);
	a.rep->script(a.rep, fd);
	pthread_mutex_lock(&a.rep->lock);
	a.rep->peer[a.number] = -1;
	close(fd);
	pthread_mutex_unlock(&a.rep->lock);
	return NULL;
}

static inline void *accept_thread(void *arg)
{
	struct replica *rep = arg;
	for (;;) {
		int fd = accept(rep->fd, NULL, NULL);
		if (fd < 0) return NULL;
		struct timeval tv = {10, 0};
		int on = 1;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
		setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
		rep->connections++;
		struct peer_arg *a = malloc(sizeof *a);
		pthread_mutex_lock(&rep->lock);
		*a = (struct peer_arg){rep, rep->peers};
		if (rep->peers == RIG_PEERS) abort();
		rep->peer[rep->peers] = fd;
		if (pthread_create(&rep->thread[rep->peers++], NULL, peer_thread, a)) abort();
		pthread_mutex_unlock(&rep->lock);
	}
}

/* The request head is put into rep->last, and into `head` for who must not see another
 * connection's. */
static inline bool rep_head_of(struct replica *rep, int fd, char *head, size_t cap)
{
	if (get_head(fd, head, cap) == 0) return false;
	pthread_mutex_lock(&rep->lock);
	memcpy(rep->last, head, strlen(head) + 1);
	pthread_mutex_unlock(&rep->lock);
	rep->requests++;
	return true;
}

/* False at the end of the connection. */
static inline bool rep_head(struct replica *rep, int fd)
{
	char head[65536];
	return rep_head_of(rep, fd, head, sizeof head);
}

/* Ends the replica's first connection. */
static inline void rep_hang_up(struct replica *rep)
{
	pthread_mutex_lock(&rep->lock);
	shutdown(rep->peer[0], SHUT_RDWR);
	pthread_mutex_unlock(&rep->lock);
}

/* Head and body (given back in *ret_body, at most cap bytes). */
static inline bool rep_request(struct replica *rep, int fd, char *body, size_t cap, size_t *ret_n)
{
	char head[65536], v[64];
	*ret_n = 0;
	if (get_head(fd, head, sizeof head) == 0) return false;
	if (field(head, "Content-Length", v, sizeof v)) {
		*ret_n = strtoul(v, NULL, 10);
		if (*ret_n > cap || !get_n(fd, body, *ret_n)) return false;
	} else if (field(head, "Transfer-Encoding", v, sizeof v)) {
		*ret_n = get_chunked(fd, body, cap);
	}
	pthread_mutex_lock(&rep->lock);
	memcpy(rep->last, head, strlen(head) + 1);
	pthread_mutex_unlock(&rep->lock);
	rep->requests++;
	return true;
}

/* Answers every request with its method, slot and body. */
static inline void rep_echo(struct replica *rep, int fd)
{
	enum { CAP = 1 << 20 };
	char *body = malloc(CAP), out[256], method[32];
	size_t n;
	while (rep_request(rep, fd, body, CAP, &n)) {
		sscanf(rep->last, "%31s", method);
		bool head = strcmp(method, "HEAD") == 0;
		snprintf(out, sizeof out,
		        "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nX-Slot: %u\r\n"
		        "Content-Length: %zu\r\n\r\n",
		        rep->slot, n + 1);
		put(fd, out);
		if (head) continue;
		put(fd, "=");
		put_all(fd, body, n);
	}
	free(body);
}

/* Answers after rep->arg milliseconds. */
static inline void rep_slow(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		usleep(1000 * *(unsigned *)rep->arg);
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
	}
}

/* ---- the edge ---- */

static inline void rig_on_wake(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct rig *g = HG_CONTAINER(io, struct rig, wake_io);
	char c;
	(void)l, (void)events;
	while (read(io->fd, &c, 1) == 1) {
		g->call(g);
		sem_post(&g->called);
	}
}

static inline void *rig_thread(void *arg)
{
	struct rig *g = arg;
	while (!g->stop) {
		if (loop_turn(g->loop, -1) < 0) abort();
	}
	return NULL;
}

/* Runs `fn` in the edge's thread. */
static inline void rig_do(struct rig *g, void (*fn)(struct rig *))
{
	g->call = fn;
	assert_int_equal(write(g->wake[1], "x", 1), 1);
	while (sem_wait(&g->called) < 0)
		;
}

static inline void rig_nothing_call(struct rig *g)
{
	(void)g;
}

/* Returns when the edge has finished what it was doing, its counting for instance. */
static inline void rig_sync(struct rig *g)
{
	rig_do(g, rig_nothing_call);
}

/* Buffers and connections to replicas in use, as the edge's own thread sees them. */
static inline void rig_look_call(struct rig *g)
{
	g->bufs_used = g->edge->bufs.used;
	g->ups_used = g->edge->ups.used;
	g->loose_ms = g->edge->eps[g->rep[0].slot].loose_until_ms;
}

static inline uint32_t rig_bufs_used(struct rig *g)
{
	rig_do(g, rig_look_call);
	return g->bufs_used;
}

static inline uint32_t rig_ups_used(struct rig *g)
{
	rig_do(g, rig_look_call);
	return g->ups_used;
}

static inline void rig_stop_call(struct rig *g)
{
	g->stop = true;
}

static inline int rig_image(struct rig *g)
{
	struct hg_err err = {0};
	struct snap_in_app apps[] = {
	        {.name = HG_STR("app"), .fixed = g->app, .probe = {[1] = g->probe}}};
	apps[0].pages = g->shown.pages;
	apps[0].page_count = g->shown.page_count;
	apps[0].message = g->shown.message;
	apps[0].through = g->shown.through;
	struct snap_in_lane lanes[] = {{1, 1}, {2, 2}};
	struct snap_in_route routes[] = {{.host = HG_STR("*"),
	                                         .path = HG_STR("/"),
	                                         .name = HG_STR("all/"),
	                                         .lanes = lanes,
	                                         .lane_count = 2,
	                                         .limits = g->guard.limits,
	                                         .limit_count = g->guard.limit_count,
	                                         .policy = g->guard.policy,
	                                         .session = g->guard.session,
	                                         .access = g->guard.access,
	                                         .gateway = g->guard.gateway,
	                                         .affinity = g->affinity,
	                                         .affinity_s = 3600,
	                                         .affinity_cookie = HG_STR("hg")},
	        {.host = HG_STR("preview"),
	                .path = HG_STR("/"),
	                .name = HG_STR("preview/"),
	                .lanes = lanes,
	                .lane_count = 2,
	                .preview = 1}};
	struct snap_in in = {.generation = ++g->generation,
	        .apps = apps,
	        .app_count = 1,
	        .routes = routes,
	        .route_count = 2,
	        .edge = g->shape,
	        .via = HG_STR("test-edge"),
	        .cas = g->ca,
	        .ca_count = g->ca_count,
	        .trusted = g->trusted,
	        .exempt = g->exempt,
	        .access = g->access};
	int fd = -1;
	struct snap_in_route own[16];
	for (uint32_t i = 0; g->routes && i < g->route_count; i++) {
		own[i] = g->routes[i];
		own[i].lanes = lanes;
		own[i].lane_count = 2;
		in.routes = own;
		in.route_count = g->route_count;
	}
	if (snap_build(&in, &fd, &err) < 0) fail_msg("%s", err.message);
	return fd;
}

static inline void rig_snapshot_call(struct rig *g)
{
	int fd = rig_image(g);
	if (edge_snapshot(g->edge, fd) < 0) abort();
	close(fd);
}

/* A new image with the present g->app and g->shape. */
static inline void rig_publish(struct rig *g)
{
	rig_do(g, rig_snapshot_call);
}

#ifdef RIG_UP
static inline const struct pem_text *rig_up_pem(void)
{
	static struct pem_text pem;
	if (!pem.chain[0]) pem = pem_make("DNS:localhost", false, 30);
	return &pem;
}

/* How the app's replicas are spoken to; call it in the edge's thread. */
static inline void rig_remote(struct rig *g, const struct tls_remote_conf *conf)
{
	char why[TLS_WHY_MAX];
	struct hg_err err = {0};
	struct cert_remote_conf app = {HG_STR("app"), *conf};
	struct cert_extra extra = {.generation = 1, .remotes = &app, .remote_count = 1};
	int fd = -1;
	if (cert_bundle_make(&(struct tls_conf){0}, &extra, &fd, &err) < 0) abort();
	if (edge_certs(g->edge, fd, why) < 0) abort();
	close(fd);
}
#endif

static inline void rig_endpoint(struct rig *g, int number, uint32_t state)
{
	struct replica *rep = &g->rep[number];
	struct snap_endpoint ep = {.state = state,
	        .app = 7,
	        .release = rep->release,
	        .replica = (uint32_t)number,
	        .incarnation = rep->slot + 1,
	        .weight = 1000000,
	        .family = AF_INET,
	        .port = rep->port,
	        .ip4 = INADDR_LOOPBACK,
	        .proxy = rep->proxy,
	        .tls = rep->tls,
	        .http2 = rep->http2};
	snap_table_set(g->table, rep->slot, &ep);
}

static inline struct replica *rig_replica_of(struct rig *g, rig_script script, uint32_t release)
{
	struct replica *rep = &g->rep[g->replicas];
	struct sock_addr a;
	*rep = (struct replica){
	        .slot = (uint32_t)g->replicas, .script = script, .release = release};
#ifdef RIG_UP
	rep->tls = 1;
	rep->pem = rig_up_pem();
#endif
	pthread_mutex_init(&rep->lock, NULL);
	sock_addr_tcp4(INADDR_LOOPBACK, 0, &a);
	rep->fd = sock_listen(&a, 512);
	assert_true(rep->fd >= 0 && sock_local(rep->fd, &a));
	fcntl(rep->fd, F_SETFL, 0);
	rep->port = sock_addr_port(&a);
	assert_int_equal(pthread_create(&rep->accepter, NULL, accept_thread, rep), 0);
	rig_endpoint(g, g->replicas++, SNAP_EP_UP);
	return rep;
}

static inline struct replica *rig_replica(struct rig *g, rig_script script)
{
	return rig_replica_of(g, script, 1);
}

#ifdef RIG_TLS
/* A certificate with these names; call it in the edge's thread. */
static inline void rig_certs(struct rig *g, const char *san)
{
	static const struct tls_ticket_key ticket = {{1}, {2}, {3}};
	char why[TLS_WHY_MAX];
	struct hg_err err = {0};
	struct pem_text text = pem_make(san, false, 30);
	struct tls_pem pem = pem_of(&text);
	struct tls_conf conf = {.pem = &pem,
	        .pem_count = 1,
	        .tickets = &ticket,
	        .ticket_count = 1,
	        .allow_1_2 = g->allow_1_2};
	int fd = -1;
	if (cert_bundle_make(&conf, &(struct cert_extra){.generation = 1}, &fd, &err) < 0) abort();
	if (edge_certs(g->edge, fd, why) < 0) abort();
	close(fd);
}

static inline void rig_certs_again(struct rig *g)
{
	rig_certs(g, "DNS:a.example,DNS:*.b.example");
}
#endif

/* `owner`: NULL, or whose meter and table this worker shares. */
static inline struct rig *rig_worker(
        uint32_t connections, uint32_t buffers, struct rig *owner, uint32_t worker)
{
	struct rig *g = calloc(1, sizeof *g);
	g->owner = owner;
	g->worker = worker;
	g->connections = connections;
	g->app = (struct snap_app){.id = 7,
	        .connect_ms = 1000,
	        .response_ms = 5000,
	        .idle_ms = 5000,
	        .retries = 2,
	        .retry_budget_ppm = 200000,
	        .eject_errors = 0,
	        .eject_ms = 10000,
	        .eject_max_ppm = 500000};
	g->shape = (struct snap_image){
	        .head_max = 16384,
	        .target_max = 4096,
	        .header_ms = 5000,
	        .body_idle_ms = 5000,
	        .keepalive_ms = 30000,
	        .drain_ms = 5000,
	        .access_sample_ppm = 1000000,
#ifdef RIG_H2
	        .h2_flags = SNAP_H2_CLEAR,
#endif
	};
	assert_int_equal(loop_new(&g->loop), HG_OK);
	g->meter = owner ? owner->meter : calloc(1, meter_size(2));
	g->table = owner ? owner->table : calloc(1, sizeof *g->table);
	if (!owner) {
		meter_init(g->meter, 2);
		snap_table_init(g->table);
	}
	g->rates = owner ? owner->rates : calloc(1, sizeof *g->rates);
	if (!owner) rates_init(g->rates, (const uint8_t[16]){1});
	sock_addr_tcp4(INADDR_LOOPBACK, 0, &g->addr);
	g->listener = sock_listen(&g->addr, 1024);
	assert_true(g->listener >= 0 && sock_local(g->listener, &g->addr));
	assert_int_equal(pipe2(g->log_pipe, O_NONBLOCK), 0);
	fcntl(g->log_pipe[0], F_SETPIPE_SZ, 1 << 20);
	assert_int_equal(pipe2(g->wake, O_NONBLOCK), 0);
	assert_int_equal(sock_pair(g->lane), 0);
	sem_init(&g->called, 0, 0);
	struct edge_conf conf = {.loop = g->loop,
	        .meter = g->meter,
	        .worker = worker,
	        .table = g->table,
	        .rates = g->rates,
	        .listen_fds = &g->listener,
	        .listen_count = 1,
	        .log_fd = g->log_pipe[1],
	        .span_fd = g->lane[1],
	        .connections = connections,
	        .buffers = buffers,
	        .seed = worker};
#ifdef RIG_TLS
	conf.listen_tls = 1;
#endif
	assert_int_equal(edge_new(&conf, &g->edge), HG_OK);
#ifdef RIG_TLS
	rig_certs(g, "DNS:a.example,DNS:*.b.example");
#endif
#ifdef RIG_UP
	rig_remote(g, &(struct tls_remote_conf){.ca = hg_str(rig_up_pem()->chain),
	                      .name = HG_STR("localhost"),
	                      .verify = true});
#endif
	assert_int_equal(
	        loop_io_start(g->loop, &g->wake_io, g->wake[0], EPOLLIN, rig_on_wake), HG_OK);
	assert_int_equal(pthread_create(&g->thread, NULL, rig_thread, g), 0);
	return g;
}

/* An edge that listens and has no snapshot yet. */
static inline struct rig *rig_bare(uint32_t connections, uint32_t buffers)
{
	return rig_worker(connections, buffers, NULL, 1);
}

static inline struct rig *rig_new(rig_script script, int replicas)
{
	struct rig *g = rig_bare(0, 0);
	for (int i = 0; i < replicas; i++)
		rig_replica(g, script);
	rig_publish(g);
	return g;
}

static inline void replica_stop(struct replica *rep)
{
	shutdown(rep->fd, SHUT_RDWR);
	pthread_join(rep->accepter, NULL);
	close(rep->fd);
	rep->fd = -1;
	pthread_mutex_lock(&rep->lock);
	for (int i = 0; i < rep->peers; i++) {
		if (rep->peer[i] >= 0) shutdown(rep->peer[i], SHUT_RDWR);
	}
	pthread_mutex_unlock(&rep->lock);
	for (int i = 0; i < rep->peers; i++)
		pthread_join(rep->thread[i], NULL);
	rep->peers = 0;
}

static inline void rig_free(struct rig *g)
{
	rig_do(g, rig_stop_call);
	pthread_join(g->thread, NULL);
	/* Every gauge must be back at zero once nothing is in flight. */
	edge_free(g->edge);
	for (uint32_t i = 0; i < METER_ENDPOINTS; i++)
		assert_int_equal(g->meter->worker[g->worker].in_flight[i], 0);
	assert_int_equal(g->meter->worker[g->worker].connections, 0);
	for (int i = 0; i < g->replicas; i++) {
		if (g->rep[i].fd >= 0) replica_stop(&g->rep[i]);
	}
	loop_free(g->loop);
	close(g->listener);
	close(g->wake[0]), close(g->wake[1]);
	close(g->log_pipe[0]), close(g->log_pipe[1]);
	close(g->lane[0]);
	close(g->lane[1]);
	if (!g->owner) free(g->meter);
	if (!g->owner) free(g->table);
	if (!g->owner) free(g->rates);
	free(g);
}

/* ---- clients ---- */

struct resp {
	int status;
	char head[65536];
	char *body;
	size_t n;
	bool closed; /* by the end of the connection */
};

static inline int dial(struct rig *g)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval tv = {10, 0};
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
	assert_int_equal(connect(fd, &g->addr.sa, g->addr.len), 0);
#ifdef RIG_TLS
	fd = bridge_over(fd, "a.example");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
#endif
#ifdef RIG_H2
	fd = h2_bridge_over(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
#endif
	return fd;
}

static inline void resp_free(struct resp *r)
{
	if (r) free(r->body);
	free(r);
}

/* Reads one response; NULL when the connection ended before a head. `no_body`: to HEAD. */
static inline struct resp *hear_(int fd, bool no_body)
{
	enum { CAP = 4 << 20 };
	struct resp *r = calloc(1, sizeof *r);
	char v[64];
	assert_non_null(r);
	if (get_head(fd, r->head, sizeof r->head) == 0) {
		free(r);
		return NULL;
	}
	r->status = (int)strtol(r->head + 9, NULL, 10);
	r->body = calloc(1, CAP + 1);
	assert_non_null(r->body);
	if (no_body || r->status < 200 || r->status == 204 || r->status == 304) return r;
	if (field(r->head, "Transfer-Encoding", v, sizeof v)) {
		r->n = get_chunked(fd, r->body, CAP);
	} else if (field(r->head, "Content-Length", v, sizeof v)) {
		r->n = strtoul(v, NULL, 10);
		assert_true(r->n <= CAP);
		r->closed = !get_n(fd, r->body, r->n);
	} else {
		ssize_t k;
		while ((k = recv(fd, r->body + r->n, CAP - r->n, 0)) > 0)
			r->n += (size_t)k;
		r->closed = true;
	}
	return r;
}

static inline struct resp *hear(int fd)
{
	return hear_(fd, false);
}

/* Says `text`, expects a status and (unless NULL) a body. */
static inline void talk(int fd, const char *text, int status, const char *body)
{
	put(fd, text);
	struct resp *r = hear(fd);
	if (!r) fail_msg("no answer to: %s", text);
	if (r->status != status || (body && strcmp(r->body, body) != 0)) {
		fail_msg("to: %shave: %s%s, want %d %s", text, r->head, r->body, status,
		        body ? body : "");
	}
	resp_free(r);
}

/* True when the peer closes without another byte. */
static inline bool closed(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0);
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

#endif
