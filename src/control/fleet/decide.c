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

struct fl_count fl_counts(const struct fl_app *app)
{
	struct fl_count c = {0};
	for (uint32_t i = 0; i < app->high; i++) {
		const struct fl_replica *r = &app->slot[i];
		if (!r->used) continue;
		if (r->retire) {
			c.retiring++;
			continue;
		}
		bool ready = r->state == FLEET_READY;
		c.total++;
		c.ready += ready;
		c.waiting += r->state == FLEET_WAITING;
		c.starting += r->state == FLEET_SPAWNING || r->state == FLEET_STARTING ||
		              (r->state == FLEET_UNREADY && !r->probes.ever_ready);
		c.failed += !ready && r->backoff.streak > 0;
		c.crash_loops += backoff_crash_loop(&r->backoff);
		if (r->revision == app->revision) {
			c.updated++;
			c.updated_ready += ready;
		}
	}
	return c;
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

static bool create(struct fl_app *app, uint64_t now_ms, struct fl_actions *out)
{
	uint32_t number = free_number(app);
	uint32_t i = fl_slot_take(app, now_ms);
	if (i == FL_SLOTS) return false;
	struct fl_replica *r = &app->slot[i];
	r->number = number;
	r->release = app->release;
	r->revision = app->revision;
	r->state = FLEET_WAITING;
	fl_event(out, i, FL_EV_CREATED);
	return true;
}

/* Retires up to `n` of the places that `pick` accepts, in the order of victims. */
static bool retire(struct fl_app *app, uint32_t n, bool old, bool only_sick, uint64_t now_ms,
        struct fl_actions *out)
{
	bool did = false;
	for (; n > 0 && out->n + 8 < FL_ACTIONS_MAX; n--) {
		uint32_t victim = FL_SLOTS;
		for (uint32_t i = 0; i < app->high; i++) {
			struct fl_replica *r = &app->slot[i];
			if (!r->used || r->retire || (r->revision != app->revision) != old)
				continue;
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
		if (r->used && r->revision != app->revision) return true;
	}
	return false;
}

static bool grow(struct fl_app *app, uint32_t n, uint64_t now_ms, struct fl_actions *out)
{
	bool did = false;
	for (; n > 0 && out->n + 8 < FL_ACTIONS_MAX && create(app, now_ms, out); n--)
		did = true;
	return did;
}

/* One thing a pass, as Kubernetes' deployment controller does it; false: nothing to do. */
static bool pass(struct fl_app *app, uint64_t now_ms, struct fl_actions *out)
{
	struct fl_count c = fl_counts(app);
	uint32_t n = app->desired, old = c.total - c.updated;
	if (app->rules.recreate && old > 0) return retire(app, old, true, false, now_ms, out);
	if (app->rules.recreate && c.updated < n && old_process_left(app)) return false;
	struct rolling_fence f = rolling_fence(app->rules.surge, app->rules.unavailable, n);
	uint32_t want = old ? rolling_new(f, n, c.updated, c.total) : n;
	if (want < c.updated) return retire(app, c.updated - want, false, false, now_ms, out);
	if (want > c.updated) return grow(app, want - c.updated, now_ms, out);
	struct rolling_down d =
	        rolling_old(f, n, old, c.ready - c.updated_ready, c.updated, c.updated_ready);
	bool sick = d.unhealthy && retire(app, d.unhealthy, true, true, now_ms, out);
	bool well = d.available && retire(app, d.available, true, false, now_ms, out);
	return sick || well;
}

bool fl_panics(const struct fl_app *app, uint32_t *ret_n)
{
	uint32_t up = 0;
	*ret_n = 0;
	for (uint32_t i = 0; i < app->high; i++) {
		const struct fl_replica *r = &app->slot[i];
		up += r->used && r->endpoint == SNAP_EP_UP;
		*ret_n += r->used && r->endpoint == SNAP_EP_UNREADY;
	}
	return up == 0 && *ret_n > 0;
}

bool fl_held(const struct fl_app *app, uint64_t now_ms)
{
	return app->users > 0 && now_ms + app->rules.grace_ms < app->hurry_ms;
}

void fl_decide(struct fl_app *app, uint64_t now_ms, struct hg_rand *rand, struct fl_actions *out)
{
	out->n = 0;
	out->next_ms = UINT64_MAX;
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
