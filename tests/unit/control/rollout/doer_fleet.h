/*
 * A fleet that does what it is told, and a clock in our hand: the doing half of rollouts calls
 * these instead of the real room. Apps "web" and "api"; releases 1 … 9, a deploy of version "4"
 * makes release 4. A replica that is wanted is ready at once, up to `most` of its release.
 */
#ifndef TESTS_UNIT_CONTROL_ROLLOUT_DOER_FLEET_H
#define TESTS_UNIT_CONTROL_ROLLOUT_DOER_FLEET_H

#include "../../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "control/fleet/fleet.h"
#include "os/clock.h"
#include "spec/spec.h"

#define FAKE_RELEASES 10u
#define FAKE_APPS     2u
#define FAKE_COMMANDS 16u
#define FAKE_WALL_MS  1700000000000ull

/* ---- time ---- */

static uint64_t fake_now_ns = CLOCK_NS_PER_S;

uint64_t clock_mono_ns(void)
{
	return fake_now_ns;
}

uint64_t clock_mono_ms(void)
{
	return fake_now_ns / CLOCK_NS_PER_MS;
}

uint64_t clock_wall_ms(void)
{
	return FAKE_WALL_MS + fake_now_ns / CLOCK_NS_PER_MS;
}

uint64_t clock_wall_ns(void)
{
	return FAKE_WALL_MS * CLOCK_NS_PER_MS + fake_now_ns;
}

/* ---- the fleet ---- */

struct fake_app {
	const char *name;
	uint32_t id, replicas;
	struct fleet_want want;
	uint32_t most[FAKE_RELEASES]; /* ready ones */
};

struct fake_command {
	fleet_command_fn done; /* NULL: it has ended */
	void *arg;
	char app[16], run[64], env[256]; /* "NAME=value " */
	uint32_t release, timeout_ms;
};

struct fleet {
	struct fake_app app[FAKE_APPS];
	bool knows;
	enum hg_rc refuses_want, refuses_command; /* HG_OK: it does not */
	uint32_t wants;                           /* fleet_want_set */
	struct fake_command command[FAKE_COMMANDS];
	uint32_t command_count;
	struct hg_list watches;
};

static struct fake_app *fake_app(const struct fleet *f, struct hg_str name)
{
	for (uint32_t i = 0; i < FAKE_APPS; i++)
		if (hg_str_eq(name, hg_str(f->app[i].name))) return (struct fake_app *)&f->app[i];
	return NULL;
}

static void fake_fleet_init(struct fleet *f)
{
	*f = (struct fleet){.knows = true,
	        .app = {{.name = "web", .id = 3, .replicas = 2, .want.serving = 1},
	                {.name = "api", .id = 4, .replicas = 1, .want.serving = 1}}};
	for (uint32_t i = 0; i < FAKE_APPS; i++)
		for (uint32_t n = 0; n < FAKE_RELEASES; n++)
			f->app[i].most[n] = UINT32_MAX;
	hg_list_init(&f->watches);
}

/* Something happened to a replica. */
HG_UNUSED static void fake_event(struct fleet *f)
{
	const struct store_event e = {.kind = HG_STR("replica.ready")};
	HG_LIST_EACH_SAFE (node, next, &f->watches) {
		struct fleet_watch *w = HG_CONTAINER(node, struct fleet_watch, node);
		w->fn(w->arg, &e);
	}
}

/* The command `i` ends. */
HG_UNUSED static void fake_command_ends(struct fleet *f, uint32_t i, int status)
{
	struct fake_command *c = &f->command[i];
	fleet_command_fn done = c->done;
	assert_true(i < f->command_count && done);
	c->done = NULL;
	done(c->arg, status, status < 0 ? "it took too long" : NULL);
}

static enum hg_rc fake_no_app(struct hg_str app, struct hg_err *err)
{
	return hg_err_set(err, HG_E_FLEET_APP, "there is no app \"%.*s\"", HG_STR_ARG(app));
}

enum hg_rc fleet_want(const struct fleet *f, struct hg_str app, struct fleet_want *ret_want)
{
	const struct fake_app *a = fake_app(f, app);
	if (!a) return HG_E_FLEET_APP;
	*ret_want = a->want;
	return HG_OK;
}

enum hg_rc fleet_want_set(
        struct fleet *f, struct hg_str app, const struct fleet_want *w, struct hg_err *err)
{
	struct fake_app *a = fake_app(f, app);
	f->wants++;
	if (!a) return fake_no_app(app, err);
	if (f->refuses_want < 0) return hg_err_set(err, f->refuses_want, "not now");
	assert_true(w->serving > 0 && w->serving != w->trial);
	a->want = *w;
	return HG_OK;
}

enum hg_rc fleet_release_make(struct fleet *f, struct hg_str app, const struct fleet_change *c,
        uint32_t *ret_release, bool *ret_fresh, struct hg_err *err)
{
	if (!fake_app(f, app)) return fake_no_app(app, err);
	*ret_release = c->version.n == 1 ? (uint32_t)(c->version.p[0] - '0') : 1;
	*ret_fresh = true;
	return HG_OK;
}

enum hg_rc fleet_release_info(struct fleet *f, struct hg_str app, uint32_t release,
        struct fleet_release_info *ret_info, struct hg_err *err)
{
	if (!fake_app(f, app)) return fake_no_app(app, err);
	if (release == 0 || release >= FAKE_RELEASES)
		return hg_err_set(err, HG_E_NOT_FOUND, "there is no release %u", release);
	*ret_info = (struct fleet_release_info){.number = release};
	/* Odd ones have no name. */
	if (release % 2 == 0) snprintf(ret_info->version, FLEET_VERSION_MAX, "1.%u.0", release);
	return HG_OK;
}

void fleet_release_state(const struct fleet *f, struct hg_str app, uint32_t release,
        struct fleet_release_state *ret_state)
{
	const struct fake_app *a = fake_app(f, app);
	uint32_t n = 0;
	*ret_state = (struct fleet_release_state){0};
	if (!a || release >= FAKE_RELEASES) return;
	if (release == a->want.serving)
		n = a->want.serving_replicas ? a->want.serving_replicas : a->replicas;
	else if (release == a->want.trial)
		n = a->want.trial_replicas;
	ret_state->wanted = ret_state->total = n;
	ret_state->ready = HG_MIN(n, a->most[release]);
	ret_state->starting = n - ret_state->ready;
}

uint32_t fleet_replicas_wanted(const struct fleet *f, struct hg_str app)
{
	const struct fake_app *a = fake_app(f, app);
	return a ? a->replicas : 0;
}

uint32_t fleet_app_id(const struct fleet *f, struct hg_str app)
{
	const struct fake_app *a = fake_app(f, app);
	return a ? a->id : 0;
}

bool fleet_knows(const struct fleet *f)
{
	return f->knows;
}

enum hg_rc fleet_command_run(struct fleet *f, struct hg_str app, uint32_t release,
        struct hg_str command, const struct spec_pair *env, uint32_t env_count, uint32_t timeout_ms,
        fleet_command_fn done, void *arg, struct hg_err *err)
{
	if (f->refuses_command < 0) return hg_err_set(err, f->refuses_command, "not now");
	assert_true(f->command_count < FAKE_COMMANDS);
	struct fake_command *c = &f->command[f->command_count++];
	*c = (struct fake_command){
	        .done = done, .arg = arg, .release = release, .timeout_ms = timeout_ms};
	assert_true(hg_str_copy(app, c->app, sizeof c->app));
	assert_true(hg_str_copy(command, c->run, sizeof c->run));
	for (uint32_t i = 0; i < env_count; i++) {
		size_t at = strlen(c->env);
		snprintf(c->env + at, sizeof c->env - at, "%.*s=%.*s ", HG_STR_ARG(env[i].name),
		        HG_STR_ARG(env[i].value));
	}
	return HG_OK;
}

/* Lane n counts release n of "web", lane 10 + n that of "api". */
const struct fleet_lane *fleet_lanes(const struct fleet *f, size_t *ret_n)
{
	static struct fleet_lane lanes[FAKE_APPS * FAKE_RELEASES];
	for (uint32_t i = 0; i < HG_COUNT(lanes); i++)
		lanes[i] = (struct fleet_lane){.app = f->app[i / FAKE_RELEASES].name,
		        .route = "*/",
		        .release = i % FAKE_RELEASES,
		        .lane = i};
	*ret_n = HG_COUNT(lanes);
	return lanes;
}

void fleet_watch_start(struct fleet *f, struct fleet_watch *w, fleet_event_fn fn, void *arg)
{
	w->fn = fn;
	w->arg = arg;
	hg_list_init(&w->node);
	hg_list_append(&f->watches, &w->node);
}

void fleet_watch_stop(struct fleet_watch *w)
{
	hg_list_remove(&w->node);
	w->fn = NULL;
}

#endif
