#include "data/edge/challenge_priv.h"
#include "data/edge/gateway_priv.h"
#include "data/edge/identity_priv.h"
#include "data/edge/hello_priv.h"
#include "data/edge/mtls_priv.h"
#include "data/edge/together_priv.h"
#include "data/edge/edge.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cert/cert.h"
#include "data/edge/secure_priv.h"
#include "os/clock.h"

#define LOG_SIZE        65536u
#define ACCEPT_PAUSE_MS 100
#define ACCEPT_LEAVE_MS 20
#define HEAP_LEFT       64u /* connections: a MiB */
#define ACCEPT_TRUST_MS 250 /* so long newcomers are left to workers that take none */

/* ---- images ---- */

static void image_free(struct edge_image *im)
{
	edge_index_fini(&im->index);
	edge_mtls_free(im);
	free(im->apps);
	snap_unmap(im->snap);
	free(im);
}

void edge_image_drop(struct edge *e, struct edge_image *im)
{
	HG_ASSERT(im->refs > 0);
	if (--im->refs > 0) return;
	for (uint32_t i = 0; i < im->snap->app_count; i++)
		e->apps[im->apps[i]].refs--;
	image_free(im);
}

static bool lanes_ok(const struct snap_image *im)
{
	for (uint32_t i = 0; i < im->lane_count; i++) {
		if (snap_lanes(im)[i].lane >= METER_LANES_MAX) return false;
	}
	for (uint32_t i = 0; i < im->route_count; i++) {
		if (snap_routes(im)[i].lane_none >= METER_LANES_MAX) return false;
	}
	return true;
}

/* The worker's own record of an application, which outlives images. */
static uint32_t app_find(struct edge *e, uint32_t id)
{
	uint32_t vacant = EDGE_APPS;
	for (uint32_t i = 0; i < EDGE_APPS; i++) {
		if (e->apps[i].refs && e->apps[i].id == id) return i;
		if (!e->apps[i].refs && vacant == EDGE_APPS) vacant = i;
	}
	if (vacant == EDGE_APPS) return vacant;
	edge_queue_free(&e->apps[vacant]);
	edge_hedge_free(&e->apps[vacant]);
	e->apps[vacant] = (struct edge_app){
	        .id = id, .tokens_ppm = 250u * 1000000u, .tokens_at_ms = edge_now_ms(e)};
	return vacant;
}

/* After this all applications of the image have a record; false: there is no room. */
static bool apps_take(struct edge *e, struct edge_image *im)
{
	for (uint32_t i = 0; i < im->snap->app_count; i++) {
		uint32_t k = app_find(e, snap_apps(im->snap)[i].id);
		if (k == EDGE_APPS) {
			while (i-- > 0)
				e->apps[im->apps[i]].refs--;
			return false;
		}
		e->apps[k].refs++;
		im->apps[i] = (uint16_t)k;
	}
	return true;
}

static void apps_index(struct edge *e)
{
	uint32_t mask = HG_COUNT(e->app_hash) - 1;
	memset(e->app_hash, 0, sizeof e->app_hash);
	for (uint32_t i = 0; i < EDGE_APPS; i++) {
		if (!e->apps[i].refs) continue;
		uint32_t at = (e->apps[i].id * 2654435761u) & mask;
		while (e->app_hash[at])
			at = (at + 1) & mask;
		e->app_hash[at] = (uint16_t)(i + 1);
	}
}

static void image_limits(struct edge_image *im)
{
	const struct snap_image *s = im->snap;
	uint32_t most = EDGE_BUF_SIZE - EDGE_HEAD_SPARE;
	im->limits = (struct http1_limits){most, 8192, HTTP1_FIELDS_MAX};
	if (s->fields_max && s->fields_max < HTTP1_FIELDS_MAX)
		im->limits.field_max = (uint16_t)s->fields_max;
	if (s->head_max && s->head_max < most) im->limits.head_max = s->head_max;
	if (s->target_max) im->limits.target_max = HG_MIN(s->target_max, im->limits.head_max);
	im->via = s->via.n ? snap_str(s, s->via) : HG_STR("headgate");
}

static enum hg_rc image_make(struct edge *e, int fd, struct edge_image **ret_image)
{
	struct edge_image *im = calloc(1, sizeof *im);
	enum hg_rc rc = im ? snap_map(fd, &im->snap) : HG_E_NOMEM;
	if (rc < 0) goto out;
	rc = lanes_ok(im->snap) && im->snap->via.n <= 255 ? HG_OK : HG_E_INVALID;
	if (rc < 0) goto out;
	rc = edge_index_build(im->snap, &im->index);
	if (rc < 0) goto out;
	rc = edge_mtls_make(im, e->image);
	if (rc < 0) goto out;
	im->apps = calloc(im->snap->app_count + 1, sizeof *im->apps);
	rc = im->apps && apps_take(e, im) ? HG_OK : HG_E_NOMEM;
	if (rc < 0) goto out;
	image_limits(im);
	*ret_image = im;
	im = NULL;
out:
	if (im) image_free(im);
	return rc;
}

enum hg_rc edge_snapshot(struct edge *e, int fd)
{
	struct edge_image *im, *old = e->image;
	enum hg_rc rc = image_make(e, fd, &im);
	if (rc < 0) return rc;
	im->refs = 1;
	e->image = im;
	if (old) edge_image_drop(e, old);
	apps_index(e);
	edge_secure_assign(e);
	edge_identity_image(e);
	edge_table_refresh(e, true);
	atomic_store_explicit(&e->count->snapshot_ack, im->snap->generation, memory_order_release);
	return HG_OK;
}

enum hg_rc edge_certs(struct edge *e, int fd, char why[TLS_WHY_MAX])
{
	struct cert_opened got;
	struct cert_remotes *remotes, *old = e->remotes;
	enum hg_rc rc = cert_bundle_remotes(fd, old, &remotes, why);
	if (rc < 0) return rc;
	rc = cert_bundle_open(fd, "\x02h2\x08http/1.1\x08http/1.0", &got, why);
	if (rc < 0) {
		cert_remotes_free(remotes);
		return rc;
	}
	rc = edge_identity_take(e, fd, why);
	if (rc < 0) {
		cert_remotes_free(remotes);
		tls_keyring_unref(got.keyring);
		free(got.tokens);
		return rc;
	}
	e->remotes = remotes;
	edge_secure_assign(e);
	cert_remotes_free(old);
	tls_keyring_unref(e->keyring);
	e->keyring = got.keyring;
	edge_challenges_set(e, got.tokens, got.token_count);
	atomic_store_explicit(&e->count->certs_ack, got.generation, memory_order_release);
	return HG_OK;
}

/* ---- accepting ---- */

static void on_accept(struct loop *l, struct loop_io *io, uint32_t events);

static void on_accept_again(struct loop *l, struct loop_timer *t)
{
	struct edge *e = HG_CONTAINER(t, struct edge, accept_timer);
	for (uint32_t i = 0; i < e->listener_count && !e->draining; i++) {
		struct edge_listener *ls = &e->listener[i];
		if (ls->io.fd >= 0) continue;
		if (loop_io_start(l, &ls->io, ls->fd, EPOLLIN | EPOLLEXCLUSIVE, on_accept) ==
		        HG_OK) {
			continue;
		}
		/* Still short of memory: later. */
		if (loop_timer_start(l, t, ACCEPT_PAUSE_MS, on_accept_again) < 0) return;
	}
}

/* Out of descriptors or memory: the queue waits in the kernel, other workers may take from it. */
static void accept_pause(struct edge *e, struct edge_listener *ls, uint64_t ms)
{
	loop_io_stop(e->loop, &ls->io);
	if (loop_timer_start(e->loop, &e->accept_timer, ms, on_accept_again) < 0) {
		on_accept_again(e->loop, &e->accept_timer);
	}
}

static uint32_t conn_limit(const struct edge *e)
{
	uint32_t wish = e->image ? e->image->snap->connections_max : 0;
	return wish && wish < e->conns.max ? wish : e->conns.max;
}

/* The connection that has been silent longest makes room, whether it was ever served or not: who
 * only opens connections must not be able to keep others out. */
static bool reclaim_of(struct edge *e, enum edge_state state)
{
	struct hg_list *n = hg_list_first(&e->by_state[state]);
	if (!n) return false;
	struct edge_conn *c = HG_CONTAINER(n, struct edge_conn, node);
	/* A newcomer's request may be on its way. */
	if (!c->served && edge_now_ms(e) - c->idle_ms < EDGE_SILENT_MS) return false;
	if (c->flags & EDGE_CAN_READ) return false;
	edge_conn_close(c);
	return true;
}

/* A handshake that does not move is silence as well. */
static bool reclaim(struct edge *e)
{
	return reclaim_of(e, EDGE_IDLE) || reclaim_of(e, EDGE_QUIET) || reclaim_of(e, EDGE_HELLO) ||
	       reclaim_of(e, EDGE_PROXY);
}

/* Nearly full, while another worker has room: newcomers are his. Which worker a connection wakes is
 * the kernel's choice, and it prefers one. But whoever has room and takes nobody (he stands still,
 * or was killed and is not yet replaced) is not waited for. */
static bool leave_to_others(struct edge *e)
{
	uint32_t limit = conn_limit(e), nearly = limit - limit / 8;
	uint64_t taken = 0, now = edge_now_ms(e);
	bool room = false;
	if (HG_LIKELY(e->conn_n < nearly)) return false;
	for (uint32_t i = 0; i < e->meter->worker_count; i++) {
		const struct meter_worker *w = &e->meter->worker[i];
		if (i == e->worker || !atomic_load_explicit(&w->pid, memory_order_relaxed))
			continue;
		taken += atomic_load_explicit(&w->accepted, memory_order_relaxed);
		room = room || atomic_load_explicit(&w->connections, memory_order_relaxed) < nearly;
	}
	if (!room) return false;
	if (e->left_since_ms == 0 || taken != e->left_taken) {
		e->left_taken = taken;
		e->left_since_ms = now;
	}
	return now - e->left_since_ms < ACCEPT_TRUST_MS;
}

static void on_accept(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct edge_listener *ls = HG_CONTAINER(io, struct edge_listener, io);
	struct edge *e = ls->edge;
	(void)l, (void)events;
	for (int i = 0; i < EDGE_ACCEPT_BATCH; i++) {
		struct sock_addr peer;
		if (HG_UNLIKELY(leave_to_others(e))) {
			accept_pause(e, ls, ACCEPT_LEAVE_MS);
			return;
		}
		int fd = sock_accept(ls->fd, &peer);
		if (fd == -EAGAIN) return;
		if (fd < 0) {
			accept_pause(e, ls, ACCEPT_PAUSE_MS);
			return;
		}
		meter_add(&e->count->accepted, 1);
		if (e->image && HG_UNLIKELY(e->image->snap->access.count) &&
		        !edge_access_peer(e->image->snap, &peer)) {
			meter_add(&e->count->denied, 1);
			meter_add(&e->count->closed, 1);
			close(fd);
			continue;
		}
		uint32_t place = PEERS_NONE;
		if (e->image && HG_UNLIKELY(e->image->snap->connections_per_ip) &&
		        !edge_peer_enter(e, &peer, &place)) {
			meter_add(&e->count->refused_per_ip, 1);
			meter_add(&e->count->closed, 1);
			if (!ls->tls) edge_refuse(fd);
			close(fd);
			continue;
		}
		bool room = e->conn_n < conn_limit(e) || reclaim(e);
		if (room && edge_conn_new(e, fd, ls->tls, &peer, place)) continue;
		if (place != PEERS_NONE) peers_leave(&e->rates->peers, place, e->worker);
		meter_add(&e->count->refused_full, 1);
		meter_add(&e->count->closed, 1);
		if (!ls->tls) edge_refuse(fd);
		close(fd);
	}
}

/* ---- life ---- */

static enum hg_rc pools_init(struct edge *e, const struct edge_conf *conf)
{
	_Static_assert(
	        sizeof(struct edge_conn) <= 448, "an idle connection: half a KiB, pages and all");
	uint32_t conns = conf->connections ? conf->connections : EDGE_CONNS;
	uint32_t bufs = conf->buffers ? conf->buffers : EDGE_BUFS;
	enum hg_rc rc = edge_pool_init(&e->conns, sizeof(struct edge_conn), conns);
	/* Copies take no connection from a client. */
	uint32_t most = 2 * conns; /* as many streams as connections */
	if (rc == HG_OK) rc = edge_pool_init(&e->ups, sizeof(struct edge_up), most + EDGE_MIRRORS);
	if (rc == HG_OK) rc = edge_pool_init(&e->reqs, sizeof(struct edge_req), most);
	if (rc == HG_OK) rc = edge_pool_init(&e->hedges, edge_hedge_size(), most);
	if (rc == HG_OK) rc = edge_pool_init(&e->asks, edge_together_size(), most);
	if (rc == HG_OK) rc = edge_pool_init(&e->draws, sizeof(struct edge_draw), most);
	if (rc == HG_OK) rc = edge_h2_pools_init(e, conns);
	if (rc == HG_OK) rc = edge_u2_pools_init(e, most + EDGE_MIRRORS);
	if (rc == HG_OK) rc = edge_pool_init(&e->trials, sizeof(struct edge_trial), EDGE_TRIALS);
	if (rc == HG_OK) rc = edge_pool_init(&e->bufs, EDGE_BUF_SIZE, bufs);
	if (rc == HG_OK) rc = edge_pool_init(&e->keeps, EDGE_KEEP_SIZE, EDGE_KEEPS);
	if (rc == HG_OK) rc = edge_pool_init(&e->mirrors_pool, edge_mirror_size(), EDGE_MIRRORS);
	e->log.buf = rc == HG_OK ? malloc(LOG_SIZE) : NULL;
	return rc == HG_OK && !e->log.buf ? HG_E_NOMEM : rc;
}

bool edge_pools_trim(struct edge *e)
{
	struct edge_pool *all[] = {&e->conns, &e->ups, &e->reqs, &e->bufs, &e->keeps, &e->draws,
	        &e->sessions, &e->desks, &e->streams, &e->u2_sessions, &e->u2_streams,
	        &e->mirrors_pool, &e->hedges, &e->asks};
	bool more = edge_h2_desks_clear(e);
	for (size_t i = 0; i < HG_COUNT(all); i++)
		more = edge_pool_trim(all[i]) || more;
	/* OpenSSL's memory is in malloc's. Looking through it takes milliseconds: when nothing else
	 * is to be done. */
	if (!more && e->heap_left >= HEAP_LEFT) {
		malloc_trim(0);
		e->heap_left = 0;
	}
	return more;
}

static enum hg_rc listeners_start(struct edge *e, const struct edge_conf *conf)
{
	HG_ASSERT(conf->listen_count <= WARDEN_LISTENERS_MAX);
	for (uint32_t i = 0; i < conf->listen_count; i++) {
		struct edge_listener *ls = &e->listener[i];
		*ls = (struct edge_listener){
		        .edge = e, .fd = conf->listen_fds[i], .tls = conf->listen_tls >> i & 1};
		/* Exclusive: one waiting worker is woken for a connection, not all of them. */
		enum hg_rc rc = loop_io_start(
		        e->loop, &ls->io, ls->fd, EPOLLIN | EPOLLEXCLUSIVE, on_accept);
		if (rc < 0) return rc;
		e->listener_count++;
	}
	return HG_OK;
}

enum hg_rc edge_new(const struct edge_conf *conf, struct edge **ret_edge)
{
	/* Zero, and on the border of a cache line, which calloc does not promise. */
	struct edge *e =
	        mmap(NULL, sizeof *e, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (e == MAP_FAILED) return HG_E_NOMEM;
	HG_ASSERT(conf->worker < conf->meter->worker_count);
	e->magic = EDGE_MAGIC;
	e->loop = conf->loop;
	e->meter = conf->meter;
	e->worker = conf->worker;
	e->count = &conf->meter->worker[conf->worker];
	e->table = conf->table;
	e->rates = conf->rates;
	e->log.fd = conf->log_fd;
	e->spans.fd = conf->span_fd > 0 ? conf->span_fd : -1;
	e->say = conf->log;
	hg_rand_seed(&e->rand, conf->seed);
	for (int i = 0; i < EDGE_STATES; i++)
		hg_list_init(&e->by_state[i]);
	hg_list_init(&e->judged);
	edge_queue_init(e);
	edge_hello_init(e);
	hg_list_init(&e->mirrors);
	hg_list_init(&e->h2_warm);
	edge_wheel_init(e);
	enum hg_rc rc = pools_init(e, conf);
	if (rc == HG_OK) rc = listeners_start(e, conf);
	if (rc < 0) {
		edge_free(e);
		return rc;
	}
	atomic_store_explicit(&e->count->pid, (uint32_t)getpid(), memory_order_relaxed);
	*ret_edge = e;
	return HG_OK;
}

static void listeners_stop(struct edge *e)
{
	loop_timer_stop(e->loop, &e->accept_timer);
	for (uint32_t i = 0; i < e->listener_count; i++)
		loop_io_stop(e->loop, &e->listener[i].io);
}

static void close_all(struct edge *e, enum edge_state state)
{
	for (struct hg_list *n; (n = hg_list_first(&e->by_state[state]));) {
		struct edge_conn *c = HG_CONTAINER(n, struct edge_conn, node);
		if (c->req) edge_request_abort(c);
		edge_conn_close(c);
	}
}

static void upstreams_close(struct edge *e)
{
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++) {
		if (!e->eps[i].known) continue;
		for (struct hg_list *n; (n = hg_list_first(&e->eps[i].idle));)
			edge_up_close(HG_CONTAINER(n, struct edge_up, node));
	}
}

static void secure_free(struct edge *e)
{
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++)
		edge_secure_forget(&e->eps[i]);
	cert_remotes_free(e->remotes);
	edge_identity_fini(e);
}

void edge_free(struct edge *e)
{
	if (!e) return;
	e->draining = false;
	listeners_stop(e);
	loop_timer_stop(e->loop, &e->drain_timer);
	for (int s = EDGE_FREE + 1; s < EDGE_STATES; s++)
		close_all(e, (enum edge_state)s);
	edge_hello_fini(e);
	edge_together_fini(e);
	edge_mirrors_fini(e);
	upstreams_close(e);
	edge_u2_close_all(e);
	secure_free(e);
	loop_timer_stop(e->loop, &e->table_timer);
	edge_trials_fini(e);
	if (e->image) edge_image_drop(e, e->image);
	tls_keyring_unref(e->keyring);
	edge_challenges_set(e, NULL, 0);
	if (e->log.buf && e->log.fd >= 0) edge_log_flush(e);
	loop_timer_stop(e->loop, &e->log.timer);
	if (e->spans.n) edge_trace_flush(e);
	loop_timer_stop(e->loop, &e->spans.timer);
	edge_wheel_fini(e);
	edge_pool_fini(&e->conns);
	edge_pool_fini(&e->ups);
	edge_pool_fini(&e->reqs);
	edge_pool_fini(&e->bufs);
	edge_pool_fini(&e->keeps);
	edge_pool_fini(&e->draws);
	edge_pool_fini(&e->hedges);
	edge_pool_fini(&e->asks);
	edge_pool_fini(&e->trials);
	edge_pool_fini(&e->mirrors_pool);
	edge_h2_fini(e);
	edge_u2_fini(e);
	edge_queue_fini(e);
	edge_hedges_fini(e);
	edge_outliers_fini(e);
	edge_analytics_fini(e);
	free(e->ring);
	free(e->ring_spare);
	free(e->log.buf);
	free(e->spans.buf);
	munmap(e, sizeof *e);
}

bool edge_idle(const struct edge *e)
{
	return e->conn_n == 0;
}

/* ---- drain ---- */

static void on_drain_end(struct loop *l, struct loop_timer *t)
{
	struct edge *e = HG_CONTAINER(t, struct edge, drain_timer);
	for (int s = EDGE_FREE + 1; s < EDGE_STATES; s++)
		close_all(e, (enum edge_state)s);
	loop_stop(l);
}

void edge_check_drained(struct edge *e)
{
	if (e->draining && e->conn_n == 0) loop_stop(e->loop);
}

static void sessions_drain(struct edge *e, enum edge_state state)
{
	for (struct hg_list *n = e->by_state[state].next, *after; n != &e->by_state[state];
	        n = after) {
		after = n->next;
		edge_h2_drain(HG_CONTAINER(n, struct edge_conn, node));
	}
}

void edge_drain(struct edge *e, uint64_t deadline_ms)
{
	if (e->draining) return;
	e->draining = true;
	listeners_stop(e);
	if (loop_timer_start(e->loop, &e->drain_timer, deadline_ms, on_drain_end) < 0) {
		on_drain_end(e->loop, &e->drain_timer);
		return;
	}
	/* An idle connection whose next request has just arrived is served once more: head_step
	 * reads before it closes. */
	for (struct hg_list *n = e->by_state[EDGE_IDLE].next, *after; n != &e->by_state[EDGE_IDLE];
	        n = after) {
		after = n->next;
		struct edge_conn *c = HG_CONTAINER(n, struct edge_conn, node);
		c->flags |= EDGE_CAN_READ;
		if (c->tls) tls_ready(c->tls, true, false);
		edge_conn_drive(c);
	}
	sessions_drain(e, EDGE_QUIET);
	sessions_drain(e, EDGE_SESSION);
	upstreams_close(e);
	edge_check_drained(e);
}
