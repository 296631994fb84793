/*
 * Stand-ins for the server and the fleet, defined in the test program itself: the API is tested
 * without a socket and without a process. The store is the real one.
 */
#ifndef TESTS_FACE_API_FAKES_H
#define TESTS_FACE_API_FAKES_H

#include "face/api/api_priv.h"

#include <stdlib.h>

/* ---- serve, unless the real one is wanted ---- */

#ifndef FAKES_REAL_SERVE

struct serve_call {
	unsigned status;
	char type[96];
	struct hg_buf fields, body;
	bool streaming, ended, aborted, full;
	void (*writable)(void *arg);
	void (*gone)(void *arg);
	void *arg;
};

struct serve {
	struct serve_options o;
	uint32_t listeners;
};

enum hg_rc serve_new(struct loop *l, const struct serve_options *o, struct serve **ret_serve)
{
	(void)l;
	*ret_serve = calloc(1, sizeof **ret_serve);
	(*ret_serve)->o = *o;
	return HG_OK;
}

void serve_free(struct serve *s)
{
	free(s);
}

enum hg_rc serve_listen(struct serve *s, int listen_fd, uint32_t tag)
{
	(void)listen_fd, (void)tag;
	s->listeners++;
	return HG_OK;
}

void serve_drain(struct serve *s, uint32_t within_ms, void (*drained)(void *arg), void *arg)
{
	(void)s, (void)within_ms;
	drained(arg);
}

void serve_field(struct serve_call *c, const char *name, struct hg_str value)
{
	hg_buf_fmt(&c->fields, "%s: %.*s\n", name, HG_STR_ARG(value));
}

void serve_answer(struct serve_call *c, unsigned status, const char *type, struct hg_str body)
{
	assert_int_equal(c->status, 0); /* answered twice */
	c->status = status;
	hg_str_copy(hg_str(type ? type : ""), c->type, sizeof c->type);
	hg_buf_str(&c->body, body);
	c->ended = true;
}

void serve_later(struct serve_call *c, void (*gone)(void *arg), void *arg)
{
	c->gone = gone;
	c->arg = arg;
}

void serve_stream(struct serve_call *c, unsigned status, const char *type,
        void (*writable)(void *arg), void (*gone)(void *arg), void *arg)
{
	c->status = status;
	hg_str_copy(hg_str(type), c->type, sizeof c->type);
	c->streaming = true;
	c->writable = writable;
	c->gone = gone;
	c->arg = arg;
}

bool serve_write(struct serve_call *c, struct hg_str bytes)
{
	hg_buf_str(&c->body, bytes);
	return !c->full;
}

void serve_end(struct serve_call *c)
{
	c->ended = true;
}

void serve_abort(struct serve_call *c)
{
	c->aborted = true;
}

bool serve_query(struct hg_str query, const char *name, char *to, size_t cap)
{
	while (query.n) {
		struct hg_str value = hg_str_cut(&query, '&'), key = hg_str_cut(&value, '=');
		if (hg_str_eq(key, hg_str(name))) return hg_str_copy(value, to, cap);
	}
	return false;
}

#endif

/* ---- fleet: one app "web" with two replicas, one of them in back-off ---- */

struct fleet {
	uint32_t scaled, restarts;
	struct fleet_watch *watch;
};

const char *fleet_state_name(enum fleet_state s)
{
	return s == FLEET_READY ? "ready" : "backoff";
}

const char *fleet_phase_name(enum fleet_phase p)
{
	return p == FLEET_APP_DEGRADED ? "degraded" : "running";
}

enum hg_rc fleet_status(const struct fleet *f, struct fleet_status **ret_status)
{
	static const char *const routes[] = {"*/"};
	static const struct fleet_replica_status replicas[] = {
	        {.number = 1,
	                .release = 1,
	                .state = FLEET_READY,
	                .pid = 4711,
	                .memory_bytes = 1024},
	        {.number = 2,
	                .release = 1,
	                .state = FLEET_BACKOFF,
	                .restarts = 3,
	                .has_exited = true,
	                .exit_status = 256,
	                .exit_text = "exit status 1",
	                .reason = "\xff is not UTF-8"},
	};
	static const struct fleet_app_status app = {.id = 1,
	        .name = "web",
	        .release = 1,
	        .desired = 2,
	        .ready = 1,
	        .total = 2,
	        .phase = FLEET_APP_DEGRADED,
	        .reason = "replica 2 ended: exit status 1",
	        .replicas = replicas,
	        .replica_count = 2,
	        .routes = routes,
	        .route_count = 1};
	(void)f;
	*ret_status = calloc(1, sizeof **ret_status);
	**ret_status = (struct fleet_status){.generation = 7, .apps = &app, .app_count = 1};
	return HG_OK;
}

void fleet_status_free(struct fleet_status *s)
{
	free(s);
}

enum hg_rc fleet_scale(struct fleet *f, struct hg_str app, uint32_t replicas, struct hg_err *err)
{
	(void)app, (void)err;
	f->scaled = replicas;
	return HG_OK;
}

enum hg_rc fleet_restart(struct fleet *f, struct hg_str app, struct hg_err *err)
{
	(void)app, (void)err;
	f->restarts++;
	return HG_OK;
}

const struct fleet_lane *fleet_lanes(const struct fleet *f, size_t *ret_n)
{
	static const struct fleet_lane lanes[] = {
	        {.app = "web", .route = "a\"b\\c", .release = 0, .lane = 0},
	        {.app = "web", .route = "a\"b\\c", .release = 1, .lane = 1},
	        {.app = "web", .route = "*/x", .release = 1, .lane = 2},
	};
	(void)f;
	*ret_n = HG_COUNT(lanes);
	return lanes;
}

void fleet_watch_start(struct fleet *f, struct fleet_watch *w, fleet_event_fn fn, void *arg)
{
	hg_list_init(&w->node);
	w->fn = fn;
	w->arg = arg;
	f->watch = w;
}

void fleet_watch_stop(struct fleet_watch *w)
{
	w->fn = NULL;
}

enum hg_rc warden_find(const char *data_dir, struct warden_info *ret_info, struct hg_err *err)
{
	(void)data_dir, (void)err;
	*ret_info = (struct warden_info){.pid = 10, .warden_alive = true, .role_count = 1};
	ret_info->roles[0].role = WD_ROLE_EDGE;
	ret_info->roles[0].pid = 11;
	return HG_OK;
}

#endif
