#include "control/fleet/rows_priv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define LATEST_MS 60000u

struct fleet_app *fleet_app_find(const struct fleet *f, struct hg_str name)
{
	for (uint32_t i = 0; i < f->app_count; i++)
		if (hg_str_eq(hg_str(f->apps[i]->name), name)) return f->apps[i];
	return NULL;
}

struct fleet_app *fleet_app_by_id(const struct fleet *f, uint32_t id)
{
	for (uint32_t i = 0; i < f->app_count; i++)
		if (f->apps[i]->id == id) return f->apps[i];
	return NULL;
}

struct fleet_replica *fleet_replica_by_id(const struct fleet *f, uint64_t id)
{
	for (uint32_t i = 0; i < f->app_count; i++) {
		const struct fleet_app *a = f->apps[i];
		for (uint32_t k = 0; k < a->core.high; k++)
			if (a->at[k] && a->at[k]->id == id) return a->at[k];
	}
	return NULL;
}

struct fleet_replica *fleet_replica_new(struct fleet *f, struct fleet_app *a, uint32_t slot)
{
	struct fleet_replica *r = calloc(1, sizeof *r);
	if (!r) return NULL;
	*r = (struct fleet_replica){.magic = FLEET_REPLICA_MAGIC,
	        .f = f,
	        .app = a,
	        .slot = slot,
	        .ep = -1,
	        .since_ms = clock_wall_ms()};
	a->at[slot] = r;
	return r;
}

void fleet_replica_free(struct fleet_replica *r)
{
	if (!r) return;
	fleet_probes_stop(r);
	r->app->at[r->slot] = NULL;
	if (r->ep >= 0) r->f->ep_owner[r->ep] = NULL;
	r->magic = 0;
	free(r);
}

void fleet_app_free(struct fleet_app *a)
{
	for (uint32_t i = 0; i < FL_SLOTS; i++)
		fleet_replica_free(a->at[i]);
	while (a->releases) {
		struct fleet_release *next = a->releases->next;
		fleet_release_free(a->releases);
		a->releases = next;
	}
	fleet_conf_free(a->conf);
	free(a);
}

uint32_t fleet_desired(const struct fleet *f, const struct fleet_app *a)
{
	if (f->stopping || !a->present || !a->conf) return 0;
	return a->scale >= 0 ? (uint32_t)a->scale : a->conf->replicas;
}

/* Of the serving release; in a rolling update it gives places to the one under trial. */
uint32_t fleet_serving(const struct fleet *f, const struct fleet_app *a)
{
	uint32_t n = fleet_desired(f, a);
	return a->serving_replicas ? HG_MIN(n, a->serving_replicas) : n;
}

/* ---- the pass ---- */

static bool app_blocked(const struct fleet *f, const struct fleet_app *a)
{
	for (uint32_t i = 0; a->conf && i < a->conf->need_count; i++) {
		const struct fleet_app *need = fleet_app_find(f, hg_str(a->conf->needs[i]));
		if (need && !need->core.ever_ready) return true;
	}
	return false;
}

/* Apps that need it and are not gone yet. */
static uint32_t users_left(const struct fleet *f, const struct fleet_app *a)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < f->app_count; i++) {
		const struct fleet_app *user = f->apps[i];
		if (user->core.high == 0 || !user->conf) continue;
		for (uint32_t k = 0; k < user->conf->need_count; k++)
			n += strcmp(user->conf->needs[k], a->name) == 0;
	}
	return n;
}

static void do_spawn(struct fleet_replica *r)
{
	struct hg_err err = {0};
	enum hg_rc rc = fleet_spawn(r, &err);
	if (rc == HG_OK) return;
	(void)snprintf(r->reason, sizeof r->reason, "%.159s", err.message);
	r->has_exited = false;
	fl_ended(&r->app->core, r->slot, loop_now_ms(r->f->o.loop));
	fleet_kick(r->f);
}

void fleet_forget(struct fleet_replica *r)
{
	if (!r->id || r->forgotten) return;
	r->forgotten = true;
	fleet_send_simple(r->f, WD_FORGET, r->id, 0);
}

static void do_save(struct fleet_replica *r)
{
	const struct fl_replica *c = fleet_core(r);
	r->since_ms = clock_wall_ms();
	if (!fl_runs(c)) fleet_probes_stop(r);
	fleet_row_save(r);
}

static void do_gone(struct fleet_replica *r)
{
	fleet_row_remove(r);
	fleet_forget(r);
	fleet_replica_free(r);
}

/* For who judges a release by what became of its processes. */
static void note_end(struct fleet *f, struct fleet_app *a, const struct fl_action *act)
{
	const struct fl_replica *c = &a->core.slot[act->slot];
	if (act->event != FL_EV_DIED && act->event != FL_EV_DIED_STARTING) return;
	if (!fleet_release_find(f, a, c->release)) return;
	struct fleet_release *rel = a->releases;
	while (rel->number != c->release)
		rel = rel->next;
	rel->exits++;
	const struct fleet_replica *r = a->at[act->slot];
	rel->memory_ends +=
	        r && r->has_exited && (r->exit_status & (WD_STATUS_OOM | WD_STATUS_OVER));
	/* Killed by its startup probe is told as a death like any other. */
	if (act->event == FL_EV_DIED_STARTING || !c->probes.ever_ready) rel->failed_starts++;
}

static void do_action(struct fleet *f, struct fleet_app *a, const struct fl_action *act)
{
	struct fleet_replica *r = a->at[act->slot];
	if (!r) r = fleet_replica_new(f, a, act->slot);
	if (!r) {
		/* The place stays; what it asked for is asked again as a failed start. */
		fl_ended(&a->core, act->slot, loop_now_ms(f->o.loop));
		return;
	}
	switch (act->kind) {
	case FL_SPAWN:
		r->since_ms = clock_wall_ms();
		do_spawn(r);
		break;
	case FL_PROBE: fleet_probe(r, act->probe); break;
	case FL_ENDPOINT: fleet_endpoint(r, act->endpoint); break;
	case FL_SIGNAL: fleet_send_simple(f, WD_SIGNAL, r->id, act->signo); break;
	case FL_SAVE: do_save(r); break;
	case FL_GONE: do_gone(r); break;
	case FL_EVENT:
		note_end(f, a, act);
		fleet_report(r, act);
		break;
	}
}

static void panic_note(struct fleet *f, struct fleet_app *a)
{
	uint32_t n;
	char detail[64];
	bool now = fl_panics(&a->core, &n) && a->conf && a->conf->route_count > 0;
	if (now == a->panics) return;
	a->panics = now;
	(void)snprintf(detail, sizeof detail, "{\"ready\":%u,\"unready\":%u}",
	        fl_counts(&a->core).ready, n);
	fleet_journal(f, now ? "app.panic" : "app.panic_over", a, a->core.release, 0, detail);
}

static uint64_t app_pass(struct fleet *f, struct fleet_app *a)
{
	struct fl_actions out;
	uint64_t now = loop_now_ms(f->o.loop);
	a->core.desired = fleet_serving(f, a);
	a->core.blocked = app_blocked(f, a);
	a->core.hurry_ms = f->stopping ? f->stop_by_ms : 0;
	a->core.users = f->stopping ? users_left(f, a) : 0;
	for (uint32_t i = 0; i < a->core.high; i++) {
		struct fl_replica *c = &a->core.slot[i];
		bool has = a->at[i] && a->at[i]->ep >= 0 && f->meter;
		if (c->used && c->state == FLEET_DRAINING)
			c->in_flight = has ? meter_in_flight(f->meter, (uint32_t)a->at[i]->ep) : 0;
	}
	for (int turn = 0; turn < 64; turn++) {
		fl_decide(&a->core, now, &f->rand, &out);
		for (uint32_t i = 0; i < out.n; i++)
			do_action(f, a, &out.a[i]);
		if (out.next_ms > now) break;
	}
	panic_note(f, a);
	fleet_guards_note(f, a);
	return out.next_ms;
}

static bool all_gone(const struct fleet *f)
{
	for (uint32_t i = 0; i < f->app_count; i++)
		if (f->apps[i]->core.high > 0) return false;
	return true;
}

/* Apps that left the configuration and have no replica any more are forgotten. */
static void apps_sweep(struct fleet *f)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < f->app_count; i++) {
		struct fleet_app *a = f->apps[i];
		if (!a->present && !a->dirty && a->core.high == 0)
			fleet_app_free(a);
		else
			f->apps[n++] = a;
	}
	f->app_count = n;
}

static void stop_check(struct fleet *f)
{
	if (!f->stopping || f->stopped || !all_gone(f)) return;
	f->stopped = true;
	fleet_journal(f, "fleet.stopped", NULL, 0, 0, NULL);
	fleet_flush(f);
	if (f->stop_done) f->stop_done(f->stop_arg);
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	struct fleet *f = HG_CONTAINER(t, struct fleet, timer);
	(void)l;
	fleet_kick(f);
}

static void pass(struct loop *l, struct loop_task *t)
{
	struct fleet *f = HG_CONTAINER(t, struct fleet, task);
	uint64_t now = loop_now_ms(l), next = now + LATEST_MS;
	bool listed = (f->greeted && f->list_left == 0) || f->warden_lost;
	f->hold = true;
	if (f->known) {
		/* While the past is unknown nothing is decided: it could be done twice. */
		if (!listed || (!f->applied && !f->stopping)) {
			fleet_flush(f);
			return;
		}
		fleet_known_settle(f);
		uint32_t n;
		for (uint32_t i = 0; i < f->app_count; i++) {
			f->apps[i]->panics = fl_panics(&f->apps[i]->core, &n);
			fleet_guards_learn(f, f->apps[i]);
		}
		/* Releases that live on must be named in the snapshot. */
		if (f->applied) fleet_publish(f);
	}
	/* Twice: an app that got ready unblocks those that need it, one that is gone those it
	 * needed. */
	for (int turn = 0; turn < 2; turn++)
		for (uint32_t i = 0; i < f->app_count; i++)
			next = HG_MIN(next, app_pass(f, f->apps[i]));
	fleet_flush(f);
	apps_sweep(f);
	stop_check(f);
	uint64_t wait = next > now ? next - now : 1;
	if (loop_timer_start(l, &f->timer, wait, on_timer) < 0) loop_task_queue(l, &f->task);
}

void fleet_kick(struct fleet *f)
{
	loop_task_queue(f->o.loop, &f->task);
}

/* ---- the door ---- */

static void on_sample(struct loop *l, struct loop_timer *t)
{
	struct fleet *f = HG_CONTAINER(t, struct fleet, sample);
	for (uint32_t i = 0; i < f->app_count; i++)
		if (f->apps[i]->dirty) fleet_app_save(f, f->apps[i]);
	fleet_releases_tell(f);
	f->retry = true;
	fleet_kick(f);
	/* Without memory for the timer there are no further samples; nothing else depends on it. */
	(void)!loop_timer_start(l, &f->sample, FLEET_SAMPLE_MS, on_sample);
}

static void on_usage(struct loop *l, struct loop_timer *t)
{
	struct fleet *f = HG_CONTAINER(t, struct fleet, usage);
	fleet_sample(f);
	(void)!loop_timer_start(l, &f->usage, fleet_usage_wait_ms(f), on_usage);
}

enum hg_rc fleet_new(const struct fleet_options *o, struct fleet **ret_fleet, struct hg_err *err)
{
	struct fleet *f = calloc(1, sizeof *f);
	if (!f) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	*f = (struct fleet){.magic = FLEET_MAGIC, .o = *o, .warden = {.fd = -1}};
	hg_list_init(&f->outbox);
	hg_list_init(&f->pending);
	hg_list_init(&f->watches);
	hg_list_init(&f->reporters);
	hg_list_init(&f->commands);
	hg_list_init(&f->readings);
	hg_list_init(&f->removals);
	hg_rand_seed(&f->rand, o->seed);
	hg_map_init(&f->lanes.by_key, o->seed);
	loop_task_init(&f->task, pass);
	f->born_ms = loop_now_ms(o->loop);
	f->warden_lost = true; /* until it is watched */
	f->board = board_open(o->child->board, o->child->board_size);
	f->meter = o->child->meter ? meter_open(o->child->meter, o->child->meter_size) : NULL;
	f->table = snap_table_open(o->child->table, o->child->table_size);
	enum hg_rc rc = HG_E_FLEET_TABLE;
	if (!f->table) {
		(void)hg_err_set(
		        err, rc, "the endpoint table has another layout than this program");
		goto out;
	}
	snap_table_repair(f->table);
	rc = fleet_lanes_load(f, err);
	if (rc == HG_OK) rc = fleet_resume(f, err);
	if (rc == HG_OK) rc = fleet_link_start(f, err);
	if (rc < 0) goto out;
	f->warden_lost = false;
	rc = loop_timer_start(o->loop, &f->sample, FLEET_SAMPLE_MS, on_sample);
	if (rc == HG_OK) rc = loop_timer_start(o->loop, &f->usage, FLEET_USAGE_MS, on_usage);
	if (rc < 0) goto out;
	*ret_fleet = f;
	f = NULL;
out:
	fleet_free(f);
	return rc;
}

void fleet_free(struct fleet *f)
{
	if (!f) return;
	f->retry = true;
	fleet_flush(f);
	HG_LIST_EACH_SAFE (node, after, &f->pending)
		free(HG_CONTAINER(node, struct fleet_pending, node));
	hg_list_init(&f->pending);
	fleet_link_stop(f);
	fleet_reports_stop(f);
	fleet_commands_free(f);
	fleet_readings_end(f);
	loop_timer_stop(f->o.loop, &f->sweep);
	fleet_retention_stop(f);
	loop_timer_stop(f->o.loop, &f->timer);
	loop_timer_stop(f->o.loop, &f->sample);
	loop_timer_stop(f->o.loop, &f->maintain);
	loop_timer_stop(f->o.loop, &f->usage);
	loop_task_cancel(&f->task);
	for (uint32_t i = 0; i < f->app_count; i++)
		fleet_app_free(f->apps[i]);
	fleet_lanes_fini(&f->lanes);
	free(f->apps);
	fleet_guard_free(f->guard);
	fleet_known_free(f);
	f->magic = 0;
	free(f);
}

enum hg_rc fleet_may_change(const struct fleet *f, struct hg_err *err)
{
	if (f->stopping) return hg_err_set(err, HG_E_FLEET_STOPPING, "Headgate is shutting down");
	if (!f->warden_lost) return HG_OK;
	(void)hg_err_set(err, HG_E_FLEET_WARDEN, "the warden is dead: nothing can be changed");
	hg_err_hint(err, "Traffic is served. headgate down, then headgate up.");
	return HG_E_FLEET_WARDEN;
}

enum hg_rc fleet_app_for(
        struct fleet *f, struct hg_str name, struct fleet_app **ret_app, struct hg_err *err)
{
	enum hg_rc rc = fleet_may_change(f, err);
	if (rc < 0) return rc;
	struct fleet_app *a = fleet_app_find(f, name), *near = NULL;
	if (a && a->present) {
		*ret_app = a;
		return HG_OK;
	}
	rc = hg_err_set(
	        err, HG_E_FLEET_APP, "there is no app \"%.*s\"", (int)HG_MIN(name.n, 64u), name.p);
	for (uint32_t i = 0; i < f->app_count; i++)
		if (hg_str_distance(name, hg_str(f->apps[i]->name)) <= 2) near = f->apps[i];
	if (near) hg_err_hint(err, "Did you mean \"%s\"?", near->name);
	return rc;
}

enum hg_rc fleet_scale(struct fleet *f, struct hg_str app, uint32_t replicas, struct hg_err *err)
{
	struct fleet_app *a;
	char detail[96];
	enum hg_rc rc = fleet_app_for(f, app, &a, err);
	if (rc < 0) return rc;
	if (replicas > FLEET_REPLICAS_MAX)
		return hg_err_set(err, HG_E_INVALID, "an app can have %d replicas, not %u",
		        FLEET_REPLICAS_MAX, replicas);
	uint32_t before = fleet_desired(f, a);
	int32_t was = a->scale;
	a->scale = (int32_t)replicas;
	struct store_app row = fleet_app_row(a);
	rc = store_app_set(f->o.store, &row, err);
	fleet_store_result(f, rc, err);
	if (rc < 0) {
		a->scale = was;
		return rc;
	}
	(void)snprintf(detail, sizeof detail, "{\"from\":%u,\"to\":%u}", before, replicas);
	fleet_journal(f, "app.scaled", a, a->core.release, 0, detail);
	fleet_kick(f);
	return HG_OK;
}

enum hg_rc fleet_restart(struct fleet *f, struct hg_str app, struct hg_err *err)
{
	struct fleet_app *a = NULL;
	enum hg_rc rc = fleet_app_for(f, app, &a, err);
	if (rc < 0) return rc;
	HG_ASSERT(a);
	struct store_app row = fleet_app_row(a);
	row.revision = fleet_revision_next(f, a);
	row.recreate = a->conf && a->conf->rules.recreate;
	rc = store_app_set(f->o.store, &row, err);
	fleet_store_result(f, rc, err);
	if (rc < 0) return rc;
	a->core.revision = row.revision;
	a->recreate = a->core.rules.recreate = row.recreate;
	fleet_journal(f, "app.restarted", a, a->core.release, 0, NULL);
	fleet_kick(f);
	return HG_OK;
}

void fleet_shutdown(struct fleet *f, uint32_t within_ms, void (*done)(void *arg), void *arg)
{
	uint64_t by = loop_now_ms(f->o.loop) + HG_MAX(within_ms, 1u);
	/* Asked again, the earlier end counts. */
	f->stop_by_ms = f->stopping && f->stop_by_ms ? HG_MIN(f->stop_by_ms, by) : by;
	f->stop_done = done;
	f->stop_arg = arg;
	bool again = f->stopping;
	f->stopping = true;
	if (!again) fleet_journal(f, "fleet.stopping", NULL, 0, 0, NULL);
	if (f->stopped && done) done(arg);
	fleet_kick(f);
}
