/*
 * Rollouts whose row says that they run, and that cannot be read: nobody knows where they were, so
 * they end where nothing can go wrong. The release that serves goes on serving, with all its
 * replicas; the slot of the trial was freed when control started (rollout.c: slots_find), so no
 * request reaches the new release; here its replicas are told to go, and the end is written.
 */
#include "control/rollout/rollout_priv.h"

#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

/* What the columns of the row say, and as much of the rest as can be read. */
enum hg_rc ro_damaged_add(struct rollouts *r, const struct store_rollout *row)
{
	struct ro_run *run = ro_run_new(r);
	uint32_t old = HG_MAX(row->old_release, 1u);
	struct ro_rules rules;
	if (!run) return HG_E_NOMEM;
	ro_rules_default(&rules, RO_ROLLING);
	rules.step_count = rules.gate_count = 0;
	ro_rules_fill(&rules);
	ro_begin(&run->kept, row->id, row->app, old,
	        row->new_release && row->new_release != old ? row->new_release : old + 1, &rules,
	        row->created_ms);
	run->conf.rules = rules;
	run->begun = row->begun;
	ro_row_remarks(run, row);
	hg_list_append(&r->damaged, &run->node);
	if (r->o.log)
		hg_log(r->o.log, HG_ERROR, "rollout.unreadable",
		        HG_S("code", hg_rc_info(HG_E_ROLLOUT_DAMAGED)->code),
		        HG_I("rollout", (int64_t)row->id), HG_I("app_id", row->app),
		        HG_I("release", row->new_release));
	return HG_OK;
}

/* The name of its app; false: the configuration does not have it. */
static bool name_find(struct rollouts *r, struct ro_run *run)
{
	for (uint32_t i = 0; i < r->conf_count; i++) {
		struct hg_str app = hg_str(r->confs[i].app);
		if (fleet_app_id(r->o.fleet, app) == run->kept.app)
			return hg_str_copy(app, run->conf.app, sizeof run->conf.app);
	}
	return false;
}

/* One that had begun has replicas of its own, unless another one has taken over meanwhile. */
static bool replicas_go(struct rollouts *r, const struct ro_run *run)
{
	struct hg_str app = hg_str(run->conf.app);
	struct fleet_want want = {0};
	struct hg_err err = {0};
	HG_LIST_EACH (node, &r->runs) {
		const struct ro_run *other = HG_CONTAINER(node, struct ro_run, node);
		if (other->begun && other->kept.app == run->kept.app) return true;
	}
	if (!run->begun || fleet_want(r->o.fleet, app, &want) < 0 || !want.serving) return true;
	if (!want.trial && !want.serving_replicas && !want.recreate) return true;
	want = (struct fleet_want){.serving = want.serving};
	enum hg_rc rc = fleet_want_set(r->o.fleet, app, &want, &err);
	if (rc < 0 && r->o.log)
		hg_log(r->o.log, HG_WARN, "rollout.want", HG_S("app", run->conf.app),
		        HG_S("error", err.message));
	return rc == HG_OK;
}

bool ro_damaged_end(struct rollouts *r, uint64_t now)
{
	bool all = true;
	HG_LIST_EACH_SAFE (node, after, &r->damaged) {
		struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		bool known = name_find(r, run);
		/* First the replicas: what was ended is not looked at again. */
		if ((known && !replicas_go(r, run)) ||
		        !ro_end_now(run, RO_ROLLED_BACK, RO_CAUSE_DAMAGED, now)) {
			all = false;
			continue;
		}
		ro_run_free(run);
	}
	return all;
}
