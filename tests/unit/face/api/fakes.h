/*
 * Stand-ins for the server and the fleet, defined in the test program itself: the API is tested
 * without a socket and without a process. The store is the real one.
 */
#ifndef TESTS_FACE_API_FAKES_H
#define TESTS_FACE_API_FAKES_H

#include "face/api/api_priv.h"
#include "spec/spec.h"

#include <stdio.h>
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

/* What runs: set by tests that need it. */
HG_UNUSED static struct rollouts_view fake_views[256];
HG_UNUSED static uint32_t fake_view_count;

void rollouts_each(struct rollouts *r, rollouts_view_fn fn, void *arg)
{
	(void)r;
	for (uint32_t i = 0; i < fake_view_count; i++)
		fn(arg, &fake_views[i]);
}

bool rollouts_running(const struct rollouts *r, uint64_t id)
{
	(void)r;
	for (uint32_t i = 0; i < fake_view_count; i++)
		if (fake_views[i].id == id) return true;
	return false;
}

#ifndef FAKES_OWN_ROLLOUTS

static bool fake_unread(void);

/* ---- rollouts: number 42 exists; what was asked for is noted, `rc` is the answer ---- */

struct rollouts {
	uint64_t id; /* of the last change */
	enum rollouts_verb verb;
	uint32_t deploys, plans, changes, rollbacks, to, limit, env_count;
	char app[64], version[64], artifact[64], strategy[32], override[64], who[64], env[128];
	enum hg_rc rc;
};

static enum hg_rc fake_result(const struct rollouts *r, struct hg_err *err)
{
	return r->rc < 0 ? hg_err_set(err, r->rc, "the room says no") : HG_OK;
}

static void fake_note(struct rollouts *r, const struct rollouts_deploy *d)
{
	char *env = r->env;
	hg_str_copy(d->app, r->app, sizeof r->app);
	hg_str_copy(d->version, r->version, sizeof r->version);
	hg_str_copy(d->artifact, r->artifact, sizeof r->artifact);
	hg_str_copy(d->strategy, r->strategy, sizeof r->strategy);
	hg_str_copy(d->override, r->override, sizeof r->override);
	hg_str_copy(d->who, r->who, sizeof r->who);
	r->env_count = d->env_count;
	for (uint32_t i = 0; i < d->env_count; i++)
		env += snprintf(env, 32, "%.*s=%.*s ", HG_STR_ARG(d->env[i].name),
		        HG_STR_ARG(d->env[i].value));
}

enum hg_rc rollouts_deploy(
        struct rollouts *r, const struct rollouts_deploy *d, uint64_t *ret_id, struct hg_err *err)
{
	if (fake_unread()) return hg_err_set(err, HG_E_FLEET_READING, "the artifact is being read");
	r->deploys++;
	fake_note(r, d);
	*ret_id = 42;
	return fake_result(r, err);
}

enum hg_rc rollouts_do(struct rollouts *r, uint64_t id, enum rollouts_verb verb, struct hg_str who,
        uint64_t *ret_id, struct hg_err *err)
{
	r->changes++;
	r->id = id;
	r->verb = verb;
	hg_str_copy(who, r->who, sizeof r->who);
	*ret_id = verb == ROLLOUTS_RETRY ? id + 1 : id;
	return fake_result(r, err);
}

enum hg_rc rollouts_rollback(struct rollouts *r, struct hg_str app, uint32_t release,
        struct hg_str who, uint64_t *ret_id, struct hg_err *err)
{
	r->rollbacks++;
	r->to = release;
	hg_str_copy(app, r->app, sizeof r->app);
	hg_str_copy(who, r->who, sizeof r->who);
	*ret_id = 43;
	return fake_result(r, err);
}

void rollouts_metrics(const struct rollouts *r, struct hg_buf *to)
{
	(void)r;
	hg_buf_cstr(to, "headgate_rollout_info{app=\"web\"} 1\n");
}

enum hg_rc rollouts_list_json(struct rollouts *r, struct hg_str app, uint32_t limit,
        struct hg_buf *to, struct hg_err *err)
{
	hg_str_copy(app, r->app, sizeof r->app);
	r->limit = limit;
	hg_buf_cstr(to, "{\"schema\":\"headgate.rollouts/1\",\"rollouts\":[]}");
	return fake_result(r, err);
}

enum hg_rc rollouts_show_json(
        struct rollouts *r, uint64_t id, struct hg_buf *to, struct hg_err *err)
{
	if (id != 42) return hg_err_set(err, HG_E_NOT_FOUND, "there is no rollout %d", (int)id);
	hg_buf_fmt(to, "{\"schema\":\"headgate.rollout/1\",\"id\":42,\"why\":\"%s\"}",
	        fake_view_count ? fake_views[0].why : "");
	return fake_result(r, err);
}

enum hg_rc rollouts_plan_json(
        struct rollouts *r, const struct rollouts_deploy *d, struct hg_buf *to, struct hg_err *err)
{
	r->plans++;
	fake_note(r, d);
	hg_buf_cstr(to, "{\"schema\":\"headgate.plan/1\"}");
	return fake_result(r, err);
}

#endif

/* ---- fleet: one app "web" with two replicas, one of them in back-off ---- */

struct fleet_reading {
	void (*done)(void *arg);
	void *arg;
	uint32_t starts, frees;
};

struct fleet {
	uint32_t scaled, restarts;
	struct fleet_maintenance maintenance;
	struct fleet_watch *watch;
	bool other;         /* there is an app "api", too */
	uint32_t in_flight; /* of replica 1 of "web" */
	const char *reason; /* of "web"; NULL: the usual one */
	uint32_t to_read;   /* so many artifacts were not read yet */
	struct fleet_reading **slot, reading;
};

HG_UNUSED static struct fleet *fake_fleet_entered;

void fleet_reading_enter(struct fleet *f, struct fleet_reading **slot)
{
	assert_null(f->slot);
	f->slot = slot;
	fake_fleet_entered = f;
}

void fleet_reading_leave(struct fleet *f)
{
	f->slot = NULL;
	fake_fleet_entered = NULL;
}

enum hg_rc fleet_reading_start(
        struct fleet_reading *r, void (*done)(void *arg), void *arg, struct hg_err *err)
{
	(void)err;
	r->done = done;
	r->arg = arg;
	r->starts++;
	return HG_OK;
}

void fleet_reading_free(struct fleet_reading *r)
{
	if (r) r->frees++;
}

bool fleet_reading_at(const struct fleet *f, uint32_t i, const char **ret_app, uint64_t *ret_bytes)
{
	*ret_app = "web";
	*ret_bytes = 1 << 20;
	return i == 0 && f->to_read > 0;
}

/* True: who asks has to wait for an artifact. */
HG_UNUSED static bool fake_unread(void)
{
	struct fleet *f = fake_fleet_entered;
	if (!f || f->to_read == 0) return false;
	*f->slot = &f->reading;
	return true;
}

const char *fleet_state_name(enum fleet_state s)
{
	return s == FLEET_READY ? "ready" : "backoff";
}

const char *fleet_phase_name(enum fleet_phase p)
{
	return p == FLEET_APP_DEGRADED ? "degraded" : "running";
}

/* The generation that the edge was told. */
HG_UNUSED static uint64_t fake_told;

uint64_t fleet_generation(const struct fleet *f)
{
	(void)f;
	return fake_told;
}

#ifndef FAKES_OWN_STATUS

enum hg_rc fleet_status(const struct fleet *f, struct fleet_status **ret_status)
{
	static const char *const routes[] = {"*/"};
	static const struct fleet_replica_status replicas[] = {
	        {.number = 1,
	                .release = 1,
	                .state = FLEET_READY,
	                .pid = 4711,
	                .memory_bytes = 1024,
	                .endpoint = 7},
	        {.number = 2,
	                .release = 1,
	                .state = FLEET_BACKOFF,
	                .restarts = 3,
	                .endpoint = -1,
	                .has_exited = true,
	                .exit_status = 256,
	                .exit_text = "exit status 1",
	                .reason = "\xff is not UTF-8"},
	};
	static const struct fleet_app_status apps[] = {
	        {.id = 1,
	                .name = "web",
	                .release = 1,
	                .desired = 2,
	                .ready = 1,
	                .total = 2,
	                .phase = FLEET_APP_DEGRADED,
	                .replicas = replicas,
	                .replica_count = 2,
	                .routes = routes,
	                .route_count = 1},
	        {.id = 2, .name = "api", .release = 1},
	};
	/* As the real one, a copy. */
	struct {
		struct fleet_status s;
		struct fleet_app_status apps[HG_COUNT(apps)];
		struct fleet_replica_status replicas[HG_COUNT(replicas)];
	} *copy = calloc(1, sizeof *copy);
	memcpy(copy->apps, apps, sizeof apps);
	memcpy(copy->replicas, replicas, sizeof replicas);
	copy->apps[0].replicas = copy->replicas;
	copy->replicas[0].in_flight = f->in_flight;
	(void)snprintf(copy->apps[0].reason, sizeof copy->apps[0].reason, "%s",
	        f->reason ? f->reason : "replica 2 ended: exit status 1");
	copy->s = (struct fleet_status){
	        .generation = 7, .apps = copy->apps, .app_count = f->other ? 2 : 1};
	*ret_status = &copy->s;
	return HG_OK;
}

void fleet_status_free(struct fleet_status *s)
{
	free(s);
}

#endif

enum hg_rc fleet_scale(struct fleet *f, struct hg_str app, uint32_t replicas, struct hg_err *err)
{
	(void)app, (void)err;
	f->scaled = replicas;
	return HG_OK;
}

enum hg_rc fleet_maintenance_check(const struct fleet_maintenance *m, struct hg_err *err)
{
	if (!strchr(m->message, '\n')) return HG_OK;
	return hg_err_set(err, HG_E_INVALID, "several lines");
}

enum hg_rc fleet_maintenance_set(
        struct fleet *f, struct hg_str app, const struct fleet_maintenance *m, struct hg_err *err)
{
	(void)app, (void)err;
	f->maintenance = *m;
	fake_told++;
	return HG_OK;
}

enum hg_rc fleet_restart(struct fleet *f, struct hg_str app, struct hg_err *err)
{
	(void)app, (void)err;
	f->restarts++;
	return HG_OK;
}

enum hg_rc fleet_want(const struct fleet *f, struct hg_str app, struct fleet_want *ret_want)
{
	(void)f, (void)app;
	*ret_want = (struct fleet_want){.serving = 3};
	return HG_OK;
}

enum hg_rc fleet_release_info(struct fleet *f, struct hg_str app, uint32_t release,
        struct fleet_release_info *ret_info, struct hg_err *err)
{
	(void)f, (void)app, (void)err;
	*ret_info = (struct fleet_release_info){.number = release, .version = "v1.0"};
	return HG_OK;
}

uint32_t fleet_app_id(const struct fleet *f, struct hg_str app)
{
	(void)f;
	return hg_str_eq(app, HG_STR("web")) ? 1 : 0;
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
