#include "control/rollout/rollout_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fetch/fetch.h"
#include "os/clock.h"
#include "spec/spec.h"
#include "warden/warden.h"

#define LOOK_MS   100u /* while a trial has traffic: the edge may have tripped */
#define RETRY_MS  1000u
#define SAMPLE_MS 5000u
#define TURNS_MAX 16

/* ---- finding ---- */

struct ro_run *ro_run_find(const struct rollouts *r, uint64_t id)
{
	HG_LIST_EACH (node, &r->runs) {
		struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		if (run->kept.id == id) return run;
	}
	return NULL;
}

struct ro_run *ro_run_of(const struct rollouts *r, const char *app)
{
	HG_LIST_EACH (node, &r->runs) {
		struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		if (strcmp(run->conf.app, app) == 0) return run;
	}
	return NULL;
}

const struct ro_conf *ro_conf_find(const struct rollouts *r, struct hg_str app)
{
	for (uint32_t i = 0; i < r->conf_count; i++)
		if (hg_str_eq(app, hg_str(r->confs[i].app))) return &r->confs[i];
	return NULL;
}

/* ---- the pass ---- */

struct ro_run *ro_run_new(struct rollouts *r)
{
	struct ro_run *run = calloc(1, sizeof *run);
	if (!run) return NULL;
	run->all = r;
	run->trial.slot = -1;
	for (unsigned i = 0; i < RO_FORMER; i++)
		run->former[i].slot = -1;
	hg_list_init(&run->node);
	return run;
}

void ro_run_free(struct ro_run *run)
{
	for (uint32_t i = 0; i < RO_GATES_MAX; i++)
		ro_hook_stop(run, i);
	hg_list_remove(&run->node);
	free(run);
}

/* What serves now is what it starts from: it may have waited for the end of another one. True: what
 * it would release serves by now, there is nothing left to be done. */
static bool run_begin(struct ro_run *run, uint64_t now)
{
	struct fleet_want want = {0};
	struct hg_err err = {0};
	uint32_t release = run->kept.new_release;
	struct ro_rules rules = run->kept.rules;
	if (fleet_want(run->all->o.fleet, hg_str(run->conf.app), &want) < 0 || !want.serving)
		return false;
	if (want.serving == release)
		return ro_end_now(run, RO_SUPERSEDED, RO_CAUSE_SUPERSEDED, now);
	run->begun = true;
	ro_begin(&run->kept, run->kept.id, run->kept.app, want.serving, release, &rules, now);
	enum hg_rc rc = ro_row_set(run, &run->kept, &err);
	if (rc < 0 && run->all->o.log)
		hg_log(run->all->o.log, HG_WARN, "rollout.save", HG_S("error", err.message));
	return false;
}

/* True when it has ended and nothing is left to be done. */
static bool run_pass(struct ro_run *run, uint64_t now)
{
	struct ro_actions out;
	struct ro_observation seen;
	struct ro_state next;
	for (int turn = 0; turn < TURNS_MAX; turn++) {
		ro_observe(run, &seen);
		next = run->kept;
		ro_decide(&next, &seen, now, &out);
		run->waits = out.waits;
		run->left_ms = out.left_ms;
		run->asked_ms = now;
		if (!ro_act(run, &next, &out)) {
			run->next_ms = run->retry_ms = now + RETRY_MS;
			return false;
		}
		if (out.done) return true;
		run->next_ms = out.next_ms;
		if (out.next_ms > now) break;
	}
	if (run->trial.slot >= 0) run->next_ms = HG_MIN(run->next_ms, now + LOOK_MS);
	run->next_ms = HG_MAX(run->next_ms, now + 1);
	return false;
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	struct rollouts *r = HG_CONTAINER(t, struct rollouts, timer);
	(void)l;
	ro_kick(r);
}

/* In the order of their numbers: one of an app that waits begins when the one before has ended.
 * When to look again. */
static uint64_t runs_pass(struct rollouts *r, uint64_t now)
{
	uint64_t next = UINT64_MAX;
	struct hg_list over;
	hg_list_init(&over);
	HG_LIST_EACH_SAFE (node, after, &r->runs) {
		struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		bool first = ro_run_of(r, run->conf.app) == run, done = false;
		if (!run->begun && first) done = run_begin(run, now);
		if (!done && run->begun && run->retry_ms <= now) done = run_pass(run, now);
		if (done) {
			hg_list_remove(&run->node);
			hg_list_append(&over, &run->node);
			next = now + 1;
		} else {
			next = HG_MIN(next, run->begun ? run->next_ms : now + RETRY_MS);
		}
	}
	HG_LIST_EACH_SAFE (node, after, &over)
		ro_run_free(HG_CONTAINER(node, struct ro_run, node));
	return next;
}

static void pass(struct loop *l, struct loop_task *t)
{
	struct rollouts *r = HG_CONTAINER(t, struct rollouts, task);
	uint64_t now = clock_wall_ms();
	bool ready = r->applied && fleet_knows(r->o.fleet);
	bool clean = ready && ro_damaged_end(r, now);
	uint64_t next = ready ? runs_pass(r, now) : now + LOOK_MS;
	if (ready && !clean) next = HG_MIN(next, now + RETRY_MS);
	if (next == UINT64_MAX) {
		loop_timer_stop(l, &r->timer);
		return;
	}
	uint64_t wait = next > now ? HG_MIN(next - now, (uint64_t)RETRY_MS) : 1;
	if (loop_timer_start(l, &r->timer, wait, on_timer) < 0) loop_task_queue(l, &r->task);
}

void ro_kick(struct rollouts *r)
{
	loop_task_queue(r->o.loop, &r->task);
}

static void on_fleet(void *arg, const struct store_event *e)
{
	struct rollouts *r = arg;
	(void)e;
	if (!hg_list_empty(&r->runs)) ro_kick(r);
}

/* ---- requests a second, for `plan` ---- */

static void rate_take(struct rollouts *r, struct ro_rate *rate, uint64_t now)
{
	struct fleet_want want = {0};
	if (fleet_want(r->o.fleet, hg_str(rate->app), &want) < 0) return;
	uint64_t total = trial_requests(&r->board, rate->app, want.serving) +
	                 (want.trial ? trial_requests(&r->board, rate->app, want.trial) : 0);
	if (rate->n == RO_RATE_SPANS) {
		memmove(rate->at_ms, rate->at_ms + 1, sizeof rate->at_ms[0] * (RO_RATE_SPANS - 1));
		memmove(rate->total, rate->total + 1, sizeof rate->total[0] * (RO_RATE_SPANS - 1));
		rate->n--;
	}
	/* Another release serves: its counter knows nothing of the former one. */
	if (rate->n && total < rate->total[rate->n - 1]) rate->n = 0;
	rate->at_ms[rate->n] = now;
	rate->total[rate->n++] = total;
}

static void on_sample(struct loop *l, struct loop_timer *t)
{
	struct rollouts *r = HG_CONTAINER(t, struct rollouts, sample);
	uint64_t now = loop_now_ms(l);
	r->samples++;
	for (uint32_t i = 0; i < r->rate_count; i++)
		rate_take(r, &r->rates[i], now);
	if (loop_timer_start(l, t, SAMPLE_MS, on_sample) < 0) r->samples++; /* no further ones */
}

/* ---- life ---- */

/* Tells one shared memory from another: a control that is replaced finds the mark of the former. */
static uint64_t memory_mark(struct snap_table *table)
{
	uint64_t id = atomic_load_explicit(&table->id, memory_order_relaxed);
	if (id) return id;
	if (getrandom(&id, sizeof id, 0) < (ssize_t)sizeof id) id = clock_mono_ns();
	id |= 1;
	atomic_store_explicit(&table->id, id, memory_order_relaxed);
	return id;
}

static void slots_find(struct rollouts *r)
{
	bool owned[SNAP_TRIALS] = {0};
	HG_LIST_EACH (node, &r->runs) {
		struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		struct trial_rules rules;
		ro_run_trial_rules(run, &rules);
		if (run->begun && trial_find(&r->board, &run->trial, &rules))
			owned[run->trial.slot] = true;
		/* The meter knows the epoch better than the row, if it still has it. */
		if (run->trial.slot < 0 || run->trial.snap.epoch != run->last_epoch)
			ro_users_sum(&run->users, &run->last);
		run->last = (struct ro_users){0};
	}
	/* Of a rollout that ended while its slot was not freed yet. */
	for (uint32_t i = 0; i < SNAP_TRIALS; i++) {
		struct trial stray = {.slot = (int)i};
		if (r->board.used[i] && !owned[i]) trial_close(&r->board, &stray);
	}
}

enum hg_rc rollouts_new(
        const struct rollouts_options *o, struct rollouts **ret_rollouts, struct hg_err *err)
{
	struct rollouts *r = calloc(1, sizeof *r);
	if (!r) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	*r = (struct rollouts){.magic = ROLLOUTS_MAGIC, .o = *o};
	hg_list_init(&r->runs);
	hg_list_init(&r->damaged);
	loop_task_init(&r->task, pass);
	struct snap_table *table = snap_table_open(o->child->table, o->child->table_size);
	const struct meter *meter =
	        o->child->meter ? meter_open(o->child->meter, o->child->meter_size) : NULL;
	enum hg_rc rc = HG_E_FLEET_TABLE;
	if (!table) {
		(void)hg_err_set(
		        err, rc, "the endpoint table has another layout than this program");
		goto out;
	}
	r->memory_id = memory_mark(table);
	trial_board_init(&r->board, table, meter, o->fleet);
	fleet_watch_start(o->fleet, &r->watch, on_fleet, r);
	rc = ro_rows_load(r, err);
	if (rc < 0) goto out;
	slots_find(r);
	rc = loop_timer_start(o->loop, &r->sample, SAMPLE_MS, on_sample);
	if (rc < 0) goto out;
	*ret_rollouts = r;
	r = NULL;
out:
	rollouts_free(r);
	return rc;
}

void rollouts_free(struct rollouts *r)
{
	if (!r) return;
	if (r->watch.fn) fleet_watch_stop(&r->watch);
	loop_timer_stop(r->o.loop, &r->timer);
	loop_timer_stop(r->o.loop, &r->sample);
	loop_task_cancel(&r->task);
	HG_LIST_EACH_SAFE (node, after, &r->damaged)
		ro_run_free(HG_CONTAINER(node, struct ro_run, node));
	HG_LIST_EACH_SAFE (node, after, &r->runs)
		ro_run_free(HG_CONTAINER(node, struct ro_run, node));
	free(r->confs);
	free(r->rates);
	r->magic = 0;
	free(r);
}

/* ---- the configuration ---- */

static bool any_hook(const struct rollouts_plan *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		for (uint32_t k = 0; k < p->confs[i].rules.gate_count; k++)
			if (p->confs[i].gate[k].http[0]) return true;
	return false;
}

enum hg_rc rollouts_check(struct rollouts *r, const struct spec *s, struct rollouts_plan **ret_plan,
        struct hg_err *err)
{
	struct rollouts_plan *p = calloc(1, sizeof *p);
	enum hg_rc rc = HG_E_NOMEM;
	if (!p) return hg_err_set(err, rc, "memory is exhausted");
	p->count = s->app_count;
	p->confs = calloc(p->count + 1, sizeof *p->confs);
	p->rates = calloc(p->count + 1, sizeof *p->rates);
	if (!p->confs || !p->rates) {
		(void)hg_err_set(err, rc, "memory is exhausted");
		goto out;
	}
	rc = HG_OK;
	for (uint32_t i = 0; rc == HG_OK && i < p->count; i++)
		rc = ro_conf_read(&s->apps[i], &p->confs[i], err);
	/* Now and not in the middle of a release: whether services can be asked at all. */
	if (rc == HG_OK && any_hook(p)) rc = fetch_ready(r->o.fetch, err);
	if (rc < 0) goto out;
	*ret_plan = p;
	p = NULL;
out:
	rollouts_plan_free(p);
	return rc;
}

void rollouts_plan_free(struct rollouts_plan *p)
{
	if (!p) return;
	free(p->confs);
	free(p->rates);
	free(p);
}

void rollouts_apply(struct rollouts *r, struct rollouts_plan *p)
{
	for (uint32_t i = 0; i < p->count; i++) {
		struct ro_rate *to = &p->rates[i];
		memcpy(to->app, p->confs[i].app, sizeof to->app);
		for (uint32_t k = 0; k < r->rate_count; k++)
			if (strcmp(r->rates[k].app, to->app) == 0) *to = r->rates[k];
	}
	free(r->confs);
	free(r->rates);
	r->confs = p->confs;
	r->rates = p->rates;
	r->conf_count = r->rate_count = p->count;
	p->confs = NULL;
	p->rates = NULL;
	rollouts_plan_free(p);
	r->applied = true;
	ro_kick(r);
}
