/* Rollouts as metrics: design section 7. */
#include "control/rollout/rollout_priv.h"

#include <stdio.h>

#include "wire/promtext.h"

static bool splits(const struct ro_run *run)
{
	return run->begun && run->trial.slot >= 0 && run->trial.snap.epoch > 0;
}

static void weight(struct hg_buf *to, const struct ro_run *run, uint32_t release, double w)
{
	char number[16];
	snprintf(number, sizeof number, "%u", release);
	const struct prom_label labels[] = {
	        {"app", hg_str(run->conf.app)}, {"release", hg_str(number)}};
	prom_sample(to, "headgate_split_weight", labels, HG_COUNT(labels), w);
}

static void weights(const struct rollouts *r, struct hg_buf *to)
{
	prom_head(to, "headgate_split_weight", "gauge",
	        "Share of an app's requests drawn to a release, while two of them are in traffic.");
	HG_LIST_EACH (node, &r->runs) {
		const struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		if (!splits(run)) continue;
		struct trial_seen seen;
		trial_look(&r->board, &run->trial, &seen);
		/* A trip is ahead of the slot. */
		double w = seen.tripped ? 0 : (double)run->trial.snap.weight_ppm / RO_WHOLE;
		weight(to, run, run->kept.new_release, w);
		weight(to, run, run->kept.old_release, 1 - w);
	}
}

static void evidence(const struct rollouts *r, struct hg_buf *to)
{
	prom_head(to, "headgate_judge_evidence", "gauge",
	        "Evidence that the release under trial is worse, by metric; \"all\" is compared "
	        "with "
	        "the threshold.");
	HG_LIST_EACH (node, &r->runs) {
		const struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		struct judge_report rep;
		if (!splits(run)) continue;
		judge_report(&run->kept.judge, &run->kept.evidence, &rep);
		struct prom_label labels[] = {
		        {"app", hg_str(run->conf.app)}, {"metric", HG_STR("all")}};
		prom_sample(to, "headgate_judge_evidence", labels, HG_COUNT(labels), rep.e);
		for (unsigned m = 0; m < JUDGE_METRICS; m++) {
			if (!(rep.weight[m] > 0)) continue;
			labels[1].value = hg_str(judge_metric_name((enum judge_metric)m));
			prom_sample(to, "headgate_judge_evidence", labels, HG_COUNT(labels),
			        rep.e_metric[m]);
		}
	}
	prom_head(to, "headgate_judge_threshold", "gauge",
	        "What headgate_judge_evidence{metric=\"all\"} must reach.");
	HG_LIST_EACH (node, &r->runs) {
		const struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		const struct prom_label labels[] = {{"app", hg_str(run->conf.app)}};
		if (splits(run))
			prom_sample(to, "headgate_judge_threshold", labels, HG_COUNT(labels),
			        run->kept.judge.lens.threshold);
	}
}

static void requests(const struct rollouts *r, struct hg_buf *to)
{
	static const char *const names[] = {"total", "failed", "rescued", "seen"};
	prom_head(to, "headgate_rollout_requests", "gauge",
	        "Requests to the release under trial in the present rollout: all, failed, of those "
	        "answered by the old release, and seen to fail by a client.");
	HG_LIST_EACH (node, &r->runs) {
		const struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		struct ro_users u;
		if (!run->begun) continue;
		ro_users_now(run, &u);
		const uint64_t values[] = {u.requests_new, u.failed_new, u.rescued, u.seen};
		for (size_t i = 0; i < HG_COUNT(names); i++) {
			const struct prom_label labels[] = {
			        {"app", hg_str(run->conf.app)}, {"kind", hg_str(names[i])}};
			prom_sample_u64(to, "headgate_rollout_requests", labels, HG_COUNT(labels),
			        values[i]);
		}
	}
}

/* Which is which also when the new one serves already and the old one stands by. */
static void releases(const struct rollouts *r, struct hg_buf *to)
{
	prom_head(to, "headgate_rollout_release", "gauge",
	        "Numbers of the new and the old release of a rollout that has not ended.");
	HG_LIST_EACH (node, &r->runs) {
		const struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		if (!run->begun) continue;
		struct prom_label labels[] = {
		        {"app", hg_str(run->conf.app)}, {"arm", HG_STR("new")}};
		prom_sample_u64(to, "headgate_rollout_release", labels, HG_COUNT(labels),
		        run->kept.new_release);
		labels[1].value = HG_STR("old");
		prom_sample_u64(to, "headgate_rollout_release", labels, HG_COUNT(labels),
		        run->kept.old_release);
	}
}

static void mirrors(const struct rollouts *r, struct hg_buf *to)
{
	static const char *const names[] = {"copied", "differs", "failed", "partly", "dropped"};
	prom_head(to, "headgate_rollout_mirror", "gauge",
	        "Copies of requests to the release under trial in the present rollout: all, "
	        "answered "
	        "otherwise or not at all, of those not at all, all without their bodies compared, "
	        "and those that were left out.");
	HG_LIST_EACH (node, &r->runs) {
		const struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		struct ro_users u;
		if (!run->begun || run->kept.rules.mirror_ppm == 0) continue;
		ro_users_now(run, &u);
		const uint64_t values[] = {
		        u.mirrored, u.differs, u.mirror_failed, u.mirror_partly, u.mirror_dropped};
		for (size_t i = 0; i < HG_COUNT(names); i++) {
			const struct prom_label labels[] = {
			        {"app", hg_str(run->conf.app)}, {"kind", hg_str(names[i])}};
			prom_sample_u64(
			        to, "headgate_rollout_mirror", labels, HG_COUNT(labels), values[i]);
		}
	}
}

static void phases(const struct rollouts *r, struct hg_buf *to)
{
	prom_head(to, "headgate_rollout_info", "gauge", "1 for each rollout that has not ended.");
	HG_LIST_EACH (node, &r->runs) {
		const struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		const struct ro_state *s = &run->kept;
		char id[24];
		snprintf(id, sizeof id, "%llu", (unsigned long long)s->id);
		const struct prom_label labels[] = {{"app", hg_str(run->conf.app)},
		        {"rollout", hg_str(id)},
		        {"strategy", hg_str(ro_strategy_name(s->rules.strategy))},
		        {"phase", hg_str(ro_phase_name(s->head.phase))},
		        {"state", hg_str(run->begun ? ro_state_name(s) : "waiting")}};
		prom_sample_u64(to, "headgate_rollout_info", labels, HG_COUNT(labels), 1);
	}
}

void rollouts_metrics(const struct rollouts *r, struct hg_buf *to)
{
	weights(r, to);
	evidence(r, to);
	requests(r, to);
	releases(r, to);
	mirrors(r, to);
	phases(r, to);
}
