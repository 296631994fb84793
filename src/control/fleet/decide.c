/* How many replicas of which release there are to be. One replica's life is in life.c. */
#include "control/fleet/life_priv.h"

static unsigned rank(const struct fl_replica *r)
{
	switch (r->state) {
	case FLEET_WAITING:
	case FLEET_BACKOFF: return 0;
	case FLEET_SPAWNING: return 1;
	case FLEET_STARTING: return 2;
	case FLEET_UNREADY: return 3;
	default: return 4;
	}
}

static unsigned log2_s(uint64_t ms)
{
	uint64_t s = ms / 1000;
	return s ? 64 - (unsigned)__builtin_clzll(s) : 0;
}

int fl_victim_order(const struct fl_replica *a, const struct fl_replica *b, uint64_t now_ms)
{
	if (rank(a) != rank(b)) return rank(a) < rank(b) ? -1 : 1;
	if (a->state == FLEET_READY) {
		unsigned la = log2_s(now_ms - HG_MIN(a->ready_since_ms, now_ms));
		unsigned lb = log2_s(now_ms - HG_MIN(b->ready_since_ms, now_ms));
		if (la != lb) return la < lb ? -1 : 1;
	}
	if (a->restarts != b->restarts) return a->restarts > b->restarts ? -1 : 1;
	if (a->born_ms != b->born_ms) return a->born_ms > b->born_ms ? -1 : 1;
	return a->number > b->number ? -1 : a->number < b->number;
}

enum fl_arm fl_arm(const struct fl_app *app, const struct fl_replica *r)
{
	if (r->revision == app->revision) return FL_MAIN;
	if (app->trial.release && r->revision == app->trial.revision) return FL_TRIAL;
	return r->spare ? FL_LEFT : FL_OLD;
}

static struct fl_count count(const struct fl_app *app, bool trial)
{
	struct fl_count c = {0};
	for (uint32_t i = 0; i < app->high; i++) {
		const struct fl_replica *r = &app->slot[i];
		if (!r->used) continue;
		enum fl_arm arm = fl_arm(app, r);
		if (r->retire) {
			c.retiring++;
			continue;
		}
		if (arm == FL_LEFT || (arm == FL_TRIAL) != trial) continue;
		bool ready = r->state == FLEET_READY;
		c.total++;
		c.ready += ready;
		c.waiting += r->state == FLEET_WAITING;
		c.starting += fl_starting(r);
		c.failed += !ready && r->backoff.streak > 0;
		c.crash_loops += backoff_crash_loop(&r->backoff);
		if (arm != FL_OLD) {
			c.updated++;
			c.updated_ready += ready;
		}
	}
	return c;
}

struct fl_count fl_counts(const struct fl_app *app)
{
	return count(app, false);
}

struct fl_count fl_counts_trial(const struct fl_app *app)
{
	return count(app, true);
}

/* The lowest number nobody has, so that labels stay few. */
static uint32_t free_number(const struct fl_app *app)
{
	for (uint32_t n = 1;; n++) {
		bool taken = false;
		for (uint32_t i = 0; i < app->high && !taken; i++)
			taken = app->slot[i].used && app->slot[i].number == n;
		if (!taken) return n;
	}
}

uint32_t fl_slot_take(struct fl_app *app, uint64_t now_ms)
{
	uint32_t i = 0;
	while (i < app->high && app->slot[i].used)
		i++;
	if (i == FL_SLOTS) return FL_SLOTS;
	app->high = HG_MAX(app->high, i + 1);
	app->slot[i] = (struct fl_replica){.used = true, .born_ms = now_ms, .since_ms = now_ms};
	return i;
}

static bool create(struct fl_app *app, enum fl_arm arm, uint64_t now_ms, struct fl_actions *out)
{
	uint32_t number = free_number(app);
	uint32_t i = fl_slot_take(app, now_ms);
	if (i == FL_SLOTS) return false;
	struct fl_replica *r = &app->slot[i];
	r->number = number;
	r->spare = arm == FL_TRIAL;
	r->release = r->spare ? app->trial.release : app->release;
	r->revision = r->spare ? app->trial.revision : app->revision;
	r->state = FLEET_WAITING;
	fl_event(out, i, FL_EV_CREATED);
	return true;
}

/* Retires up to `n` places of this arm, in the order of victims. */
static bool retire(struct fl_app *app, uint32_t n, enum fl_arm arm, bool only_sick, uint64_t now_ms,
        struct fl_actions *out)
{
	bool did = false;
	for (; n > 0 && out->n + 8 < FL_ACTIONS_MAX; n--) {
		uint32_t victim = FL_SLOTS;
		for (uint32_t i = 0; i < app->high; i++) {
			struct fl_replica *r = &app->slot[i];
			if (!r->used || r->retire || fl_arm(app, r) != arm) continue;
			if (only_sick && r->state == FLEET_READY) continue;
			if (victim == FL_SLOTS ||
			        fl_victim_order(r, &app->slot[victim], now_ms) < 0)
				victim = i;
		}
		if (victim == FL_SLOTS) break;
		app->slot[victim].retire = true;
		fl_event(out, victim, FL_EV_RETIRED);
		if (app->slot[victim].process) fl_emit(out, FL_SAVE, victim);
		did = true;
	}
	return did;
}

static bool old_process_left(const struct fl_app *app)
{
	for (uint32_t i = 0; i < app->high; i++) {
		const struct fl_replica *r = &app->slot[i];
		if (r->used && fl_arm(app, r) == FL_OLD) return true;
	}
	return false;
}

static bool grow(
        struct fl_app *app, enum fl_arm arm, uint32_t n, uint64_t now_ms, struct fl_actions *out)
{
	bool did = false;
	for (; n > 0 && out->n + 8 < FL_ACTIONS_MAX && create(app, arm, now_ms, out); n--)
		did = true;
	return did;
}

/* Places the trial may take without ever being in the way of the main arm. */
static uint32_t trial_room(const struct fl_app *app, const struct rolling_fence *f)
{
	uint32_t used = 0, most = app->desired + f->surge, main = fl_counts(app).total;
	for (uint32_t i = 0; i < app->high; i++)
		used += app->slot[i].used;
	used += most > main ? most - main : 0;
	return used < FL_SLOTS ? FL_SLOTS - used : 0;
}

static bool trial_pass(
        struct fl_app *app, const struct rolling_fence *f, uint64_t now_ms, struct fl_actions *out)
{
	uint32_t n = app->trial.release && app->desired
	                     ? HG_MIN(app->trial.desired, (uint32_t)FLEET_REPLICAS_MAX)
	                     : 0;
	uint32_t now = fl_counts_trial(app).total;
	bool left = retire(app, FL_SLOTS, FL_LEFT, false, now_ms, out);
	if (now > n) return retire(app, now - n, FL_TRIAL, false, now_ms, out) || left;
	if (now == n) return left;
	uint32_t more = HG_MIN(n - now, trial_room(app, f));
	return grow(app, FL_TRIAL, more, now_ms, out) || left;
}

/* One thing a pass, as Kubernetes' deployment controller does it; false: nothing to do. */
static bool main_pass(
        struct fl_app *app, const struct rolling_fence *f, uint64_t now_ms, struct fl_actions *out)
{
	struct fl_count c = fl_counts(app);
	uint32_t n = app->desired, old = c.total - c.updated;
	if (app->rules.recreate && old > 0) return retire(app, old, FL_OLD, false, now_ms, out);
	if (app->rules.recreate && c.updated < n && old_process_left(app)) return false;
	uint32_t want = old ? rolling_new(*f, n, c.updated, c.total) : n;
	if (want < c.updated) return retire(app, c.updated - want, FL_MAIN, false, now_ms, out);
	if (want > c.updated) return grow(app, FL_MAIN, want - c.updated, now_ms, out);
	struct rolling_down d =
	        rolling_old(*f, n, old, c.ready - c.updated_ready, c.updated, c.updated_ready);
	bool sick = d.unhealthy && retire(app, d.unhealthy, FL_OLD, true, now_ms, out);
	bool well = d.available && retire(app, d.available, FL_OLD, false, now_ms, out);
	return sick || well;
}

bool fl_panics(const struct fl_app *app, uint32_t *ret_n)
{
	uint32_t up = 0;
	*ret_n = 0;
	for (uint32_t i = 0; i < app->high; i++) {
		const struct fl_replica *r = &app->slot[i];
		if (!r->used || r->spare) continue; /* a trial takes nobody's place */
		up += r->endpoint == SNAP_EP_UP;
		*ret_n += r->endpoint == SNAP_EP_UNREADY;
	}
	return up == 0 && *ret_n > 0;
}

bool fl_held(const struct fl_app *app, uint64_t now_ms)
{
	return app->users > 0 && now_ms + app->rules.grace_ms < app->hurry_ms;
}

static bool pass(struct fl_app *app, uint64_t now_ms, struct fl_actions *out)
{
	uint32_t n = app->desired;
	struct rolling_fence f = rolling_fence(app->rules.surge, app->rules.unavailable, n);
	if (main_pass(app, &f, now_ms, out)) return true;
	return trial_pass(app, &f, now_ms, out);
}

bool fl_roles(struct fl_app *app, struct fl_actions *out)
{
	out->n = 0;
	for (int lower = 0; lower < 2; lower++) {
		for (uint32_t i = 0; i < app->high; i++) {
			struct fl_replica *r = &app->slot[i];
			if (!r->used || r->spare == lower) continue;
			if (fl_arm(app, r) != (lower ? FL_TRIAL : FL_MAIN)) continue;
			if (out->n == FL_ACTIONS_MAX) return false;
			r->spare = lower;
			if (r->endpoint != SNAP_EP_FREE)
				fl_emit(out, FL_ENDPOINT, i)->endpoint = r->endpoint;
		}
	}
	return true;
}

void fl_decide(struct fl_app *app, uint64_t now_ms, struct hg_rand *rand, struct fl_actions *out)
{
	out->next_ms = UINT64_MAX;
	if (!fl_roles(app, out)) {
		out->next_ms = now_ms;
		return;
	}
	/* Facts first: an end that was not looked at yet changes what is counted below. */
	for (uint32_t i = 0; i < app->high; i++)
		fl_live(app, i, now_ms, rand, out);
	bool held = fl_held(app, now_ms);
	if (held) out->next_ms = HG_MIN(out->next_ms, app->hurry_ms - app->rules.grace_ms);
	for (int turn = 0; !held && turn < 8 && out->n + 8 < FL_ACTIONS_MAX; turn++) {
		if (!pass(app, now_ms, out)) break;
		out->next_ms = now_ms;
	}
	while (app->high > 0 && !app->slot[app->high - 1].used)
		app->high--;
	struct fl_count c = fl_counts(app);
	if (app->desired == 0)
		app->ever_ready = false;
	else if (c.ready >= app->desired)
		app->ever_ready = true;
}
