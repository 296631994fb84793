#include "control/rollout/trial_priv.h"

#include <math.h>
#include <string.h>
#include <sys/random.h>

#include "control/fleet/fleet.h"

#define QUANTILE_LEAST 100 /* requests: a quantile of fewer is a guess */
#define WARM_REQUESTS  50
#define WARM_MS        10000

_Static_assert(SNAP_TRIALS == METER_TRIALS && SNAP_CELLS == METER_CELLS &&
                       (int)METER_METRICS == (int)JUDGE_METRICS,
        "snapshot, meter and judge speak of the same places");

static const double levels[SNAP_TRIAL_LEVELS] = {0.5, 0.95, 0.99};

void trial_board_init(struct trial_board *b, struct snap_table *table, const struct meter *meter,
        const struct fleet *fleet)
{
	struct snap_trial t;
	*b = (struct trial_board){.table = table, .meter = meter, .fleet = fleet};
	for (uint32_t i = 0; i < SNAP_TRIALS; i++) {
		b->used[i] = snap_trial_get(table, i, &t) && t.app != 0;
		/* A cell rests for as long as possible: what completes late still counts in it. */
		if (b->used[i] && t.cell >= b->next_cell) b->next_cell = (t.cell + 1) % SNAP_CELLS;
	}
}

bool trial_find(struct trial_board *b, struct trial *t, const struct trial_rules *r)
{
	t->slot = -1;
	for (uint32_t i = 0; i < SNAP_TRIALS; i++) {
		if (!snap_trial_get(b->table, i, &t->snap) || t->snap.app != r->app) continue;
		if (t->snap.rollout != r->rollout || t->snap.new_release != r->new_release ||
		        t->snap.old_release != r->old_release)
			continue;
		t->slot = (int)i;
		return true;
	}
	return false;
}

bool trial_open(struct trial_board *b, struct trial *t, const struct trial_rules *r)
{
	t->slot = -1;
	for (uint32_t i = 0; i < SNAP_TRIALS && t->slot < 0; i++)
		if (!b->used[i]) t->slot = (int)i;
	if (t->slot < 0) return false;
	b->used[t->slot] = true;
	t->snap = (struct snap_trial){
	        .app = r->app,
	        .old_release = r->old_release,
	        .new_release = r->new_release,
	        .flags = r->flags,
	        .rollout = r->rollout,
	        .warm_requests = WARM_REQUESTS,
	        .warm_ms = WARM_MS,
	        .sticky_s = r->sticky_s,
	        .match_count = HG_MIN(r->match_count, (uint32_t)SNAP_TRIAL_MATCHES),
	};
	memcpy(t->snap.match, r->match, sizeof t->snap.match);
	/* Without random bytes a client could choose its arm, which harms nobody but the evidence.
	 */
	if (getrandom(t->snap.sticky_key, sizeof t->snap.sticky_key, GRND_NONBLOCK) < 0)
		memcpy(t->snap.sticky_key, &r->rollout, sizeof r->rollout);
	snap_trial_set(b->table, (uint32_t)t->slot, &t->snap);
	return true;
}

static void thresholds(
        const struct trial_board *b, struct snap_trial *t, const struct trial_rules *r)
{
	uint64_t p95 = 0;
	for (int i = 0; i < SNAP_TRIAL_LEVELS; i++) {
		uint64_t ns = trial_quantile_ns(b, r->app_name, r->old_release, levels[i]);
		t->slow_old_ns[i] = ns;
		t->slow_new_ns[i] = judge_slow_new_ns(ns, r->tolerance);
		if (i == 1) p95 = ns;
	}
	t->rule_p95_ns = r->p95_ns;
	bool ratio = r->p95_ratio > 1 && p95;
	t->rule_ratio_old_ns = ratio ? p95 : 0;
	t->rule_ratio_new_ns = ratio ? (uint64_t)((double)p95 * r->p95_ratio) : 0;
}

static void cell_take(struct trial_board *b, struct snap_trial *t)
{
	struct meter_trial_sum sum = {0};
	t->cell = b->next_cell;
	b->next_cell = (b->next_cell + 1) % SNAP_CELLS;
	if (b->meter) meter_trial_sum(b->meter, t->cell, &sum);
	memcpy(t->base_word, sum.word, sizeof t->base_word);
	t->base_new = sum.n_new;
	t->base_old = sum.n_old;
	const uint64_t users[] = {sum.forced, sum.rescued, sum.seen, sum.unreplayable, sum.mirrored,
	        sum.mirror_differs, sum.mirror_failed, sum.mirror_partly, sum.mirror_dropped};
	_Static_assert(sizeof users == sizeof t->base_users, "one base for each");
	memcpy(t->base_users, users, sizeof t->base_users);
}

void trial_set(struct trial_board *b, struct trial *t, const struct trial_rules *r,
        uint32_t weight_ppm, uint32_t epoch, const struct judge *judge)
{
	HG_ASSERT(t->slot >= 0);
	if (t->snap.epoch != epoch) {
		cell_take(b, &t->snap);
		thresholds(b, &t->snap, r);
	}
	t->snap.weight_ppm = weight_ppm;
	t->snap.epoch = epoch;
	t->snap.flags = r->flags;
	t->snap.mirror_ppm = r->mirror_ppm;
	t->snap.match_count = HG_MIN(r->match_count, (uint32_t)SNAP_TRIAL_MATCHES);
	t->snap.ignore_n = r->ignore_n;
	memcpy(t->snap.ignore, r->ignore, sizeof t->snap.ignore);
	t->snap.lens = judge->lens;
	snap_trial_set(b->table, (uint32_t)t->slot, &t->snap);
}

void trial_lens(struct trial_board *b, struct trial *t, const struct trial_rules *r,
        const struct judge *judge)
{
	if (t->slot < 0) return;
	/* Chosen from the past alone: from here on both arms are counted against them. */
	if (t->snap.epoch && t->snap.slow_old_ns[0] == 0) thresholds(b, &t->snap, r);
	t->snap.lens = judge->lens;
	snap_trial_set(b->table, (uint32_t)t->slot, &t->snap);
}

void trial_close(struct trial_board *b, struct trial *t)
{
	const struct snap_trial none = {0};
	if (t->slot < 0) return;
	snap_trial_set(b->table, (uint32_t)t->slot, &none);
	b->used[t->slot] = false;
	t->slot = -1;
}

void trial_look(const struct trial_board *b, const struct trial *t, struct trial_seen *ret_seen)
{
	struct meter_trial_sum sum;
	*ret_seen = (struct trial_seen){0};
	if (t->slot < 0 || !b->meter) return;
	const struct meter_trial *mt = &b->meter->trial[t->slot];
	meter_trial_sum(b->meter, t->snap.cell, &sum);
	struct judge_evidence *e = &ret_seen->evidence;
	for (int i = 0; i < JUDGE_METRICS; i++) {
		uint64_t w = sum.word[i] - t->snap.base_word[i];
		e->count[i] = (struct judge_count){.c = (uint32_t)(w >> 32), .s = (uint32_t)w};
	}
	e->n_new = sum.n_new - t->snap.base_new;
	e->n_old = sum.n_old - t->snap.base_old;
	const uint64_t *base = t->snap.base_users;
	ret_seen->forced = sum.forced - base[0];
	ret_seen->rescued = sum.rescued - base[1];
	ret_seen->seen = sum.seen - base[2];
	ret_seen->unreplayable = sum.unreplayable - base[3];
	ret_seen->mirrored = sum.mirrored - base[4];
	ret_seen->mirror_differs = sum.mirror_differs - base[5];
	ret_seen->mirror_failed = sum.mirror_failed - base[6];
	ret_seen->mirror_partly = sum.mirror_partly - base[7];
	ret_seen->mirror_dropped = sum.mirror_dropped - base[8];
	ret_seen->tripped = meter_tripped(mt, t->snap.rollout);
	if (ret_seen->tripped)
		ret_seen->tripped_wall_ms =
		        atomic_load_explicit(&mt->tripped_wall_ms, memory_order_acquire);
}

/* ---- latency of the old release ---- */

static void lanes_sum(const struct trial_board *b, const char *app, uint32_t release,
        struct meter_lane_sum *ret_sum)
{
	size_t n;
	const struct fleet_lane *lanes = fleet_lanes(b->fleet, &n);
	*ret_sum = (struct meter_lane_sum){0};
	for (size_t i = 0; b->meter && i < n; i++) {
		struct meter_lane_sum one;
		if (lanes[i].release != release || strcmp(lanes[i].app, app) != 0) continue;
		meter_lane_sum(b->meter, lanes[i].lane, &one);
		ret_sum->total += one.total;
		ret_sum->count += one.count;
		for (int k = 0; k < METER_BUCKETS; k++)
			ret_sum->bucket[k] += one.bucket[k];
	}
}

uint64_t trial_requests(const struct trial_board *b, const char *app, uint32_t release)
{
	struct meter_lane_sum sum;
	lanes_sum(b, app, release, &sum);
	return sum.total;
}

/* Between the bounds of its bucket on a logarithmic scale; the least bucket has no lower bound. */
static double within_bucket(int k, double part)
{
	double high = meter_bounds[k], low = k ? meter_bounds[k - 1] : high / 10;
	if (isinf(high)) return low;
	return low * pow(high / low, part);
}

uint64_t trial_quantile_ns(const struct trial_board *b, const char *app, uint32_t release, double q)
{
	struct meter_lane_sum sum;
	lanes_sum(b, app, release, &sum);
	if (sum.count < QUANTILE_LEAST) return 0;
	double want = q * (double)sum.count, below = 0;
	for (int k = 0; k < METER_BUCKETS; k++) {
		double n = (double)sum.bucket[k];
		if (n > 0 && below + n >= want)
			return (uint64_t)(within_bucket(k, (want - below) / n) * 1e9);
		below += n;
	}
	return 0;
}
