/* What people ask for. */
#include "control/rollout/rollout_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

static enum hg_rc conf_for(const struct rollouts *r, struct hg_str app,
        const struct ro_conf **ret_conf, struct hg_err *err)
{
	const struct ro_conf *c = ro_conf_find(r, app);
	if (c) {
		*ret_conf = c;
		return HG_OK;
	}
	enum hg_rc rc = hg_err_set(
	        err, HG_E_FLEET_APP, "there is no app \"%.*s\"", (int)HG_MIN(app.n, 64u), app.p);
	for (uint32_t i = 0; i < r->conf_count; i++)
		if (hg_str_distance(app, hg_str(r->confs[i].app)) <= 2)
			hg_err_hint(err, "Did you mean \"%s\"?", r->confs[i].app);
	return rc;
}

/* The row first: its number is the rollout's. */
static enum hg_rc run_make(struct rollouts *r, const struct ro_conf *conf, uint32_t app_id,
        uint32_t release, struct hg_str who, uint64_t *ret_id, struct hg_err *err)
{
	uint32_t n = 0;
	struct fleet_want want = {0};
	HG_ASSERT(conf);
	HG_LIST_EACH (node, &r->runs)
		n++;
	if (n >= SNAP_TRIALS)
		return hg_err_set(err, HG_E_ROLLOUT_LIMIT, "%u rollouts run already", SNAP_TRIALS);
	struct ro_run *run = ro_run_new(r);
	if (!run) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	run->conf = *conf;
	if (!hg_str_copy(who, run->who, sizeof run->who)) run->who[0] = 0;
	/* Its old release is known when it begins; until then what serves now is shown. */
	if (fleet_want(r->o.fleet, hg_str(conf->app), &want) < 0 || !want.serving) want.serving = 1;
	ro_begin(&run->kept, 1, app_id, want.serving, release, &conf->rules, clock_wall_ms());
	enum hg_rc rc = ro_row_add(run, ret_id, err);
	if (rc < 0) {
		free(run);
		return rc;
	}
	run->kept.id = *ret_id;
	hg_list_append(&r->runs, &run->node);
	ro_kick(r);
	return HG_OK;
}

static enum hg_rc quarantine_check(
        struct rollouts *r, uint32_t app, uint32_t release, struct hg_err *err)
{
	uint64_t id = 0;
	enum hg_rc rc = store_quarantine_get(r->o.store, app, release, &id, err);
	if (rc < 0 || id == 0) return rc;
	rc = hg_err_set(err, HG_E_ROLLOUT_QUARANTINED,
	        "release %u was taken back by rollout %llu and is not tried again by itself",
	        release, (unsigned long long)id);
	hg_err_hint(err, "headgate rollouts why %llu; headgate rollouts retry %llu",
	        (unsigned long long)id, (unsigned long long)id);
	return rc;
}

static enum hg_rc serving_of(struct rollouts *r, struct hg_str app, struct fleet_want *ret_want,
        uint32_t *ret_app_id, struct hg_err *err)
{
	enum hg_rc rc = fleet_want(r->o.fleet, app, ret_want);
	if (rc < 0 || ret_want->serving == 0)
		return hg_err_set(
		        err, HG_E_AGAIN, "app \"%.*s\" serves no release yet", HG_STR_ARG(app));
	*ret_app_id = fleet_app_id(r->o.fleet, app);
	return HG_OK;
}

/* The release a deploy would end with: of the newest rollout that waits or runs, else what serves.
 */
static uint32_t headed_for(const struct rollouts *r, const char *app, uint32_t serving)
{
	uint32_t release = serving;
	HG_LIST_EACH (node, &r->runs) {
		const struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		if (strcmp(run->conf.app, app) != 0) continue;
		bool back = run->kept.head.phase == RO_PHASE_BACK ||
		            run->kept.head.outcome == RO_ROLLED_BACK;
		release = run->begun && back ? run->kept.old_release : run->kept.new_release;
	}
	return release;
}

enum hg_rc ro_conf_of(const struct rollouts *r, const struct rollouts_deploy *d,
        struct ro_conf **ret_conf, struct hg_err *err)
{
	const struct ro_conf *found = NULL;
	enum ro_strategy strategy = RO_ROLLING;
	enum hg_rc rc = conf_for(r, d->app, &found, err);
	if (rc < 0) return rc;
	HG_ASSERT(found);
	if (d->strategy.n && !ro_strategy_parse(d->strategy, &strategy)) {
		rc = hg_err_set(err, HG_E_INVALID, "there is no strategy \"%.*s\"",
		        (int)HG_MIN(d->strategy.n, 64u), d->strategy.p);
		hg_err_hint(err, "recreate, rolling, blue-green or canary");
		return rc;
	}
	struct ro_conf *conf = malloc(sizeof *conf);
	if (!conf) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	*conf = *found;
	if (d->strategy.n) {
		conf->rules.strategy = strategy;
		ro_rules_fill(&conf->rules);
	}
	*ret_conf = conf;
	return HG_OK;
}

/* HG_OK: it may go out. `*ret_over`: only because somebody said why it has to. */
static enum hg_rc frozen_check(
        struct rollouts *r, const struct rollouts_deploy *d, bool *ret_over, struct hg_err *err)
{
	struct hg_err why = {0};
	*ret_over = false;
	enum hg_rc rc = r->o.may_deploy ? r->o.may_deploy(r->o.arg, d->app, &why) : HG_OK;
	if (rc == HG_OK) return HG_OK;
	*ret_over = d->override.n > 0;
	if (!*ret_over && err) *err = why;
	return *ret_over ? HG_OK : rc;
}

/* That a freeze was overridden is told beside the rollout that came of it. */
static void overridden(struct rollouts *r, const struct rollouts_deploy *d, uint64_t rollout)
{
	struct hg_err err = {0};
	uint64_t id;
	json_t *o = json_pack("{s:I,s:s%,s:s%}", "rollout", (json_int_t)rollout, "who", d->who.p,
	        d->who.n, "why", d->override.p, d->override.n);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	struct store_event row = {.ts_ms = clock_wall_ms(),
	        .kind = HG_STR("rollout.override"),
	        .app = d->app,
	        .text = hg_str(text ? text : "{}")};
	if (store_event_add(r->o.store, &row, &id, &err) < 0 && r->o.log)
		hg_log(r->o.log, HG_ERROR, "rollout.save", HG_S("error", err.message));
	json_decref(o);
	free(text);
	if (r->o.on_event) r->o.on_event(r->o.arg);
}

enum hg_rc rollouts_deploy(
        struct rollouts *r, const struct rollouts_deploy *d, uint64_t *ret_id, struct hg_err *err)
{
	struct ro_conf *conf = NULL;
	struct fleet_want want = {0};
	uint32_t app_id = 0, release = 0;
	bool fresh, over = false;
	enum hg_rc rc = ro_conf_of(r, d, &conf, err);
	if (rc < 0) return rc;
	HG_ASSERT(conf);
	rc = serving_of(r, d->app, &want, &app_id, err);
	if (rc == HG_OK) rc = frozen_check(r, d, &over, err);
	if (rc < 0) goto out;
	struct fleet_change change = {.version = d->version,
	        .command = d->command,
	        .artifact = d->artifact,
	        .env = d->env,
	        .env_count = d->env_count};
	rc = fleet_release_make(r->o.fleet, d->app, &change, &release, &fresh, err);
	if (rc < 0) goto out;
	rc = quarantine_check(r, app_id, release, err);
	if (rc < 0) goto out;
	if (headed_for(r, conf->app, want.serving) == release) {
		rc = hg_err_set(err, HG_E_ROLLOUT_SAME,
		        "app \"%.*s\" serves this very release already, or is about to",
		        HG_STR_ARG(d->app));
		goto out;
	}
	rc = run_make(r, conf, app_id, release, d->who, ret_id, err);
	if (rc == HG_OK && over) overridden(r, d, *ret_id);
out:
	free(conf);
	return rc;
}

/* The file asked for it, and nobody waits for an answer. */
static void frozen_tell(struct rollouts *r, const char *app, uint32_t release)
{
	struct hg_err err = {0};
	uint64_t id;
	struct store_event row = {.ts_ms = clock_wall_ms(),
	        .kind = HG_STR("rollout.frozen"),
	        .app = hg_str(app),
	        .release = release};
	if (store_event_add(r->o.store, &row, &id, &err) < 0 && r->o.log)
		hg_log(r->o.log, HG_ERROR, "rollout.save", HG_S("error", err.message));
	if (r->o.on_event) r->o.on_event(r->o.arg);
}

void rollouts_on_release(struct rollouts *r, const char *app, uint32_t release)
{
	const struct ro_conf *conf = ro_conf_find(r, hg_str(app));
	struct fleet_want want = {0};
	struct hg_err err = {0};
	uint32_t app_id = 0;
	uint64_t id;
	enum hg_rc rc = conf ? serving_of(r, hg_str(app), &want, &app_id, &err) : HG_E_NOT_FOUND;
	if (rc == HG_OK && headed_for(r, app, want.serving) == release) return;
	if (rc == HG_OK) rc = quarantine_check(r, app_id, release, &err);
	if (rc == HG_OK && r->o.may_deploy) {
		rc = r->o.may_deploy(r->o.arg, hg_str(app), &err);
		if (rc < 0) frozen_tell(r, app, release);
	}
	if (rc == HG_OK) rc = run_make(r, conf, app_id, release, HG_STR("file"), &id, &err);
	if (rc < 0 && r->o.log)
		hg_log(r->o.log, HG_WARN, "rollout.refused", HG_S("app", app),
		        HG_I("release", release), HG_S("error", err.message));
}

/* ---- steering ---- */

static enum hg_rc ended(uint64_t id, struct hg_err *err)
{
	return hg_err_set(
	        err, HG_E_ROLLOUT_STATE, "rollout %llu has ended", (unsigned long long)id);
}

static enum hg_rc retry(
        struct rollouts *r, uint64_t id, struct hg_str who, uint64_t *ret_id, struct hg_err *err)
{
	struct ro_old old;
	const struct ro_conf *conf = NULL;
	struct fleet_want want = {0};
	uint32_t app_id = 0;
	if (ro_run_find(r, id))
		return hg_err_set(err, HG_E_ROLLOUT_STATE, "rollout %llu has not ended yet",
		        (unsigned long long)id);
	enum hg_rc rc = ro_row_old(r, id, &old, err);
	if (rc == HG_OK) rc = conf_for(r, hg_str(old.app), &conf, err);
	if (rc == HG_OK) rc = serving_of(r, hg_str(old.app), &want, &app_id, err);
	if (rc < 0) return rc;
	HG_ASSERT(conf);
	if (headed_for(r, conf->app, want.serving) == old.new_release)
		return hg_err_set(
		        err, HG_E_ROLLOUT_SAME, "release %u serves already", old.new_release);
	rc = store_quarantine_remove(r->o.store, app_id, old.new_release, err);
	if (rc < 0) return rc;
	rc = run_make(r, conf, app_id, old.new_release, who, ret_id, err);
	/* It was not tried: it stays where it was. */
	if (rc < 0) (void)!store_quarantine_set(r->o.store, app_id, old.new_release, id, NULL);
	return rc;
}

enum hg_rc rollouts_do(struct rollouts *r, uint64_t id, enum rollouts_verb verb, struct hg_str who,
        uint64_t *ret_id, struct hg_err *err)
{
	struct ro_old old;
	*ret_id = id;
	if (verb == ROLLOUTS_RETRY) return retry(r, id, who, ret_id, err);
	struct ro_run *run = ro_run_find(r, id);
	if (!run) {
		enum hg_rc rc = ro_row_old(r, id, &old, err);
		return rc < 0 ? rc : ended(id, err);
	}
	if (!run->begun)
		return hg_err_set(err, HG_E_ROLLOUT_STATE,
		        "rollout %llu waits for the end of the one before it",
		        (unsigned long long)id);
	struct ro_state next = run->kept;
	enum hg_rc rc = ro_command(&next, verb, clock_wall_ms(), err);
	if (rc == HG_OK) rc = ro_row_set(run, &next, err);
	if (rc < 0) return rc;
	run->kept = next;
	run->next_ms = run->retry_ms = 0;
	ro_kick(r);
	return HG_OK;
}

enum hg_rc rollouts_rollback(struct rollouts *r, struct hg_str app, uint32_t release,
        struct hg_str who, uint64_t *ret_id, struct hg_err *err)
{
	const struct ro_conf *found = NULL;
	struct fleet_want want = {0};
	struct fleet_release_info info;
	uint32_t app_id = 0;
	enum hg_rc rc = conf_for(r, app, &found, err);
	if (rc == HG_OK) rc = serving_of(r, app, &want, &app_id, err);
	if (rc < 0) return rc;
	HG_ASSERT(found);
	struct ro_run *run = ro_run_of(r, found->app);
	if (run && run->begun && run->kept.head.phase != RO_PHASE_END &&
	        (release == 0 || release == run->kept.old_release))
		return rollouts_do(r, run->kept.id, ROLLOUTS_ABORT, who, ret_id, err);
	if (release == 0) {
		rc = ro_row_before(r, app_id, want.serving, &release, err);
		if (rc < 0) return rc;
	}
	if (release == 0)
		return hg_err_set(err, HG_E_ROLLOUT_NONE,
		        "app \"%.*s\" has no release that was promoted before release %u",
		        HG_STR_ARG(app), want.serving);
	if (release == want.serving)
		return hg_err_set(err, HG_E_ROLLOUT_SAME, "release %u serves already", release);
	rc = fleet_release_info(r->o.fleet, app, release, &info, err);
	if (rc < 0) return rc;
	struct ro_conf *conf = malloc(sizeof *conf);
	if (!conf) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	*conf = *found;
	/* Watched, kept and rescued as the app has it; nothing is asked or proven on the way. */
	conf->rules.strategy = RO_IMMEDIATE;
	conf->rules.step_count = conf->rules.gate_count = 0;
	conf->match_count = 0;
	conf->rules.match = conf->rules.preview = false;
	ro_rules_fill(&conf->rules);
	rc = run_make(r, conf, app_id, release, who, ret_id, err);
	free(conf);
	return rc;
}
