#include "control/slo/slo_priv.h"

#include <stdlib.h>
#include <string.h>

#include "control/fleet/fleet.h"
#include "store/store.h"

/* ---- reading the meter ---- */

static struct slo_app *app_find(const struct slo *s, struct hg_str name)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (hg_str_eq(hg_str(s->apps[i].conf.app), name)) return &s->apps[i];
	return NULL;
}

static void lane_read(
        const struct meter *m, uint32_t lane, const struct slo_conf *c, struct slo_counts *add_to)
{
	uint64_t code[METER_CODES];
	struct meter_lane_sum sum;
	if (!meter_lane_used(m, lane)) return;
	meter_lane_sum(m, lane, &sum);
	for (uint32_t i = 0; i < METER_CODES; i++)
		code[i] = c->code[i] ? meter_lane_place(m, lane, i) : 0;
	slo_counts_of(c, code, &sum, add_to);
}

static void less(uint64_t *from, uint64_t by)
{
	*from -= HG_MIN(*from, by);
}

/* When all lanes are used up those of old releases are given to others, and keep what they have
 * counted: that is no traffic of the new app, and none that the old one has lost. */
static void lane_moved(struct slo *s, uint32_t lane, uint64_t from, struct slo_app *to)
{
	for (uint32_t i = 0; i < s->count; i++) {
		struct slo_app *a = &s->apps[i];
		struct slo_counts c = {0};
		if (hg_str_hash(hg_str(a->conf.app)) != from) continue;
		lane_read(s->o.meter, lane, &a->conf, &c);
		less(&a->base.counts.good, c.good);
		less(&a->base.counts.bad, c.bad);
		less(&a->base.counts.fast, c.fast);
		less(&a->base.counts.slow, c.slow);
		a->history.dirty = a->history.open;
	}
	if (!to) return;
	lane_read(s->o.meter, lane, &to->conf, &to->base.counts);
	to->history.dirty = to->history.open;
}

/* All that was ever counted, for each app. Lanes of an app stand together. */
static void meter_read(struct slo *s)
{
	size_t n = 0;
	const struct fleet_lane *lanes = fleet_lanes(s->o.fleet, &n);
	struct slo_app *a = NULL;
	for (uint32_t i = 0; i < s->count; i++)
		s->apps[i].read = (struct slo_counts){0};
	for (size_t i = 0; s->o.meter && i < n; i++) {
		if (i == 0 || strcmp(lanes[i].app, lanes[i - 1].app) != 0)
			a = app_find(s, hg_str(lanes[i].app));
		uint64_t is = hg_str_hash(hg_str(lanes[i].app)), *was = &s->owner[lanes[i].lane];
		if (*was && *was != is) lane_moved(s, lanes[i].lane, *was, a);
		*was = is;
		if (a) lane_read(s->o.meter, lanes[i].lane, &a->conf, &a->read);
	}
}

/* ---- a look ---- */

static struct slo_counts gained(const struct slo_base *b, const struct slo_counts *now)
{
	/* A lane that was given to another route takes its counts along: that is no news, and nor
	 * is what stands there now. */
	if (now->good < b->counts.good || now->bad < b->counts.bad || now->fast < b->counts.fast ||
	        now->slow < b->counts.slow)
		return (struct slo_counts){0};
	return (struct slo_counts){.good = burn_gained(b->counts.good, now->good),
	        .bad = burn_gained(b->counts.bad, now->bad),
	        .fast = burn_gained(b->counts.fast, now->fast),
	        .slow = burn_gained(b->counts.slow, now->slow)};
}

static void forward(struct slo_counts *to, const struct slo_counts *by)
{
	to->good += by->good;
	to->bad += by->bad;
	to->fast += by->fast;
	to->slow += by->slow;
}

/* True: the counts are in the history. A row of the hour that closes is written before. */
static bool put(struct slo *s, struct slo_app *a, uint64_t minute, const struct slo_counts *c)
{
	struct hg_err err = {0};
	enum hg_rc rc = HG_OK;
	if (slo_history_turns(&a->history, minute)) rc = slo_app_save(s, a, &err);
	/* Without a row the hour lives on in memory. */
	if (rc < 0 && s->o.log)
		hg_log(s->o.log, HG_ERROR, "slo.save", HG_S("app", a->conf.app),
		        HG_S("error", err.message));
	if (slo_history_add(&a->history, minute, c) < 0) return false;
	forward(&a->base.counts, c);
	return true;
}

/* The base is of another memory or another way of counting, or there is none. */
static void rebase(struct slo *s, struct slo_app *a)
{
	bool fresh = a->base.memory_id == 0;
	bool other = a->base.mark != slo_conf_mark(&a->conf);
	bool renewed = a->base.memory_id != s->o.memory_id;
	if (!fresh && !other && !renewed) return;
	/* A new memory began with nothing: all that stands in it came since. What was counted
	 * before anybody asked, or in another way, is left out. */
	a->base.counts = renewed && !fresh && !other ? (struct slo_counts){0} : a->read;
	a->base.memory_id = s->o.memory_id;
	a->base.mark = slo_conf_mark(&a->conf);
	a->base.minute = slo_minute_now(s);
}

static void app_take(struct slo *s, struct slo_app *a, uint64_t minute)
{
	rebase(s, a);
	struct slo_counts news = gained(&a->base, &a->read);
	/* While control was away the edge went on: its minutes get equal shares. */
	uint64_t parts = minute > a->base.minute ? minute - a->base.minute : 1;
	parts = HG_MIN(parts, (uint64_t)SLO_SPREAD_MIN);
	for (uint64_t i = 0; i < parts; i++) {
		struct slo_counts part;
		slo_counts_part(&news, parts, i, &part);
		if (!put(s, a, minute - (parts - 1 - i), &part)) return; /* next time */
	}
	a->base.counts = a->read;
	a->base.minute = minute;
}

void slo_app_observe(const struct slo *s, struct slo_app *a)
{
	uint64_t minute = slo_minute_now(s);
	for (int k = 0; k < SLO_KINDS; k++)
		slo_observe(&a->conf.of[k], &a->history, (enum slo_kind)k, minute, &a->seen[k]);
}

/* Counts what came since the last look. */
static void take_all(struct slo *s)
{
	uint64_t minute = slo_minute_now(s);
	struct hg_err err = {0};
	/* What could not be written stays in memory. */
	if (minute != s->saved_minute) (void)slo_save(s);
	s->saved_minute = minute;
	meter_read(s);
	for (uint32_t i = 0; i < s->count; i++) {
		struct slo_app *a = &s->apps[i];
		if (!a->loaded && slo_app_load(s, a, &err) < 0) {
			if (!s->failing && s->o.log)
				hg_log(s->o.log, HG_ERROR, "slo.load", HG_S("app", a->conf.app),
				        HG_S("error", err.message));
			s->failing = true;
			continue;
		}
		app_take(s, a, minute);
	}
}

static void look(struct slo *s)
{
	bool news = false, awake = false;
	take_all(s);
	for (uint32_t i = 0; i < s->count; i++) {
		struct slo_app *a = &s->apps[i];
		if (!a->loaded) continue;
		/* The first traffic after a quiet time is written at once: a control that is killed
		 * would otherwise not know that it is new, and give it to the quiet minutes. */
		awake = awake || (a->history.dirty && a->kept_minute + 1 < s->saved_minute);
		slo_app_observe(s, a);
		a->before = a->state;
		a->said_n = slo_decide(&a->conf, a->seen, s->o.wall_ms(), &a->state, a->said);
		news = news || a->said_n;
	}
	bool written = news || awake ? slo_save(s) : true;
	/* People hear of it also when the disk is full; the journal, when it is no longer. */
	for (uint32_t i = 0; i < s->count; i++) {
		struct slo_app *a = &s->apps[i];
		if (!a->loaded) continue;
		for (uint32_t k = 0; k < a->said_n; k++)
			slo_notice(s, a, &a->said[k]);
		slo_notice_again(s, a);
		if (!written && a->said_n) a->state = a->before;
		a->said_n = 0;
	}
	if (!news) return;
	if (s->o.on_event) s->o.on_event(s->o.arg);
}

static void on_look(struct loop *l, struct loop_timer *t)
{
	struct slo *s = HG_CONTAINER(t, struct slo, timer);
	look(s);
	if (loop_timer_start(l, t, SLO_LOOK_MS, on_look) < 0 && s->o.log)
		hg_log(s->o.log, HG_ERROR, "slo.no_timer");
}

/* ---- life ---- */

enum hg_rc slo_new(const struct slo_options *o, struct slo **ret_slo, struct hg_err *err)
{
	struct slo *s = calloc(1, sizeof *s);
	if (!s) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	/* Pages of it that no lane stands in are never made. */
	*s = (struct slo){
	        .magic = SLO_MAGIC, .o = *o, .owner = calloc(METER_LANES_MAX, sizeof *s->owner)};
	if (!s->owner) {
		free(s);
		return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	}
	*ret_slo = s;
	return HG_OK;
}

static void apps_free(struct slo_app *apps, uint32_t count)
{
	for (uint32_t i = 0; apps && i < count; i++)
		slo_history_free(&apps[i].history);
	free(apps);
}

void slo_free(struct slo *s)
{
	if (!s) return;
	HG_ASSERT(s->magic == SLO_MAGIC);
	loop_timer_stop(s->o.loop, &s->timer);
	if (s->count) {
		take_all(s);
		(void)slo_save(s);
	}
	apps_free(s->apps, s->count);
	s->magic = 0;
	free(s->owner);
	free(s);
}

enum hg_rc slo_check(
        struct slo *s, const struct spec *spec, struct slo_plan **ret_plan, struct hg_err *err)
{
	struct slo_plan *p = calloc(1, sizeof *p);
	(void)s;
	if (!p) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	enum hg_rc rc = slo_conf_read(spec, p, err);
	if (rc == HG_OK)
		*ret_plan = p;
	else
		slo_plan_free(p);
	return rc;
}

void slo_plan_free(struct slo_plan *p)
{
	if (!p) return;
	apps_free(p->apps, p->count);
	free(p);
}

void slo_apply(struct slo *s, struct slo_plan *p)
{
	bool first = s->count == 0;
	if (s->count) {
		/* By the rules that were in force until now. */
		take_all(s);
		(void)slo_save(s);
	}
	for (uint32_t i = 0; i < p->count; i++) {
		struct slo_app *to = &p->apps[i], *from = app_find(s, hg_str(to->conf.app));
		if (!from) continue;
		struct slo_conf conf = to->conf;
		*to = *from;
		to->conf = conf;
		from->history = (struct slo_history){0};
		for (int k = 0; k < SLO_KINDS; k++)
			if (!conf.of[k].set)
				memset(to->state.alert[k], 0, sizeof to->state.alert[k]);
	}
	apps_free(s->apps, s->count);
	s->apps = p->apps;
	s->count = p->count;
	free(p);
	if (first) slo_alerts_load(s);
	loop_timer_stop(s->o.loop, &s->timer);
	if (s->count) on_look(s->o.loop, &s->timer);
}

enum hg_rc slo_may_deploy(struct slo *s, struct hg_str app, struct hg_err *err)
{
	struct slo_app *a = app_find(s, app);
	enum slo_kind by;
	if (!a || !a->conf.freeze_ppm) return HG_OK;
	take_all(s);
	slo_app_observe(s, a);
	if (!slo_frozen(&a->conf, a->seen, &by)) return HG_OK;
	const struct slo_objective *o = &a->conf.of[by];
	char span[SLO_SPAN], left[64];
	slo_span_text(o->period_min, span);
	slo_left_text(burn_left(a->seen[by].period, o->objective_ppm), "its error budget", left,
	        sizeof left);
	enum hg_rc rc = hg_err_set(err, HG_E_SLO_FROZEN,
	        "deployments of app \"%s\" are frozen: %s; at least %g %% must be left",
	        a->conf.app, left, (double)a->conf.freeze_ppm / 1e4);
	hg_err_detail(err, "%s: %llu of %llu answers of the last %s were bad, %g %% may be",
	        slo_kind_name(by), (unsigned long long)a->seen[by].period.bad,
	        (unsigned long long)a->seen[by].period.total, span,
	        (double)(BURN_PPM - o->objective_ppm) / 1e4);
	hg_err_hint(err,
	        "headgate slo %s shows what spent it; a fix goes out with headgate deploy %s "
	        "--override WHY",
	        a->conf.app, a->conf.app);
	return rc;
}

double slo_edge_s(const struct slo *s, const char *app)
{
	const struct slo_app *a = app_find(s, hg_str(app));
	if (!a || !a->conf.fast_ns || meter_bound_at(a->conf.fast_ns)) return 0;
	return (double)a->conf.fast_ns / 1e9;
}
