/* What became of a rollout from second to second, kept in memory while it runs and a while longer.
 * A control that is replaced begins anew; older seconds are in the metrics store. */
#include "live_priv.h"
#include "os/clock.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

/* ---- pure ---- */

static double or_nan(double v)
{
	return v < 0 ? (double)NAN : v;
}

/* What the release was asked: lanes count who answered, and a failure of the new release that the
 * old one answered for it is none of them. */
static struct api_point asked(const struct live_look *l, enum live_arm arm)
{
	struct api_point p = l->arm[arm];
	if (arm != LIVE_NEW) return p;
	p.total += l->rescued;
	p.errors += l->rescued;
	return p;
}

static struct api_now between(
        const struct live_look *from, const struct live_look *to, enum live_arm arm)
{
	struct api_point a = asked(from, arm), b = asked(to, arm);
	return api_rate_between(&a, &b);
}

/* Requests were drawn to the new release, and some of them answered by the old one. */
static double split(const struct live_look *from, const struct live_look *to)
{
	double of_new = between(from, to, LIVE_NEW).rate;
	double answered = api_rate_between(&from->arm[LIVE_NEW], &to->arm[LIVE_NEW]).rate +
	                  api_rate_between(&from->arm[LIVE_OLD], &to->arm[LIVE_OLD]).rate;
	return answered > 0 ? HG_MIN(of_new / answered, 1.0) : (double)NAN;
}

struct live_point live_point_of(
        const struct live_look *before, const struct live_look *window, const struct live_look *now)
{
	struct live_point p = {.t_ms = (double)now->wall_ms,
	        .set = now->set,
	        .actual = split(window, now),
	        .evidence = now->evidence,
	        .rescued = (double)now->rescued,
	        .seen = (double)now->seen};
	for (int i = 0; i < LIVE_ARMS; i++) {
		struct api_now second = between(before, now, (enum live_arm)i);
		struct api_now wide = between(window, now, (enum live_arm)i);
		bool time_passed = before->arm[i].at_ms < now->arm[i].at_ms;
		p.arm[i].rate = time_passed ? second.rate : (double)NAN;
		p.arm[i].error_ratio = or_nan(second.error_ratio);
		p.arm[i].p50 = or_nan(wide.p50_s);
		p.arm[i].p95 = or_nan(wide.p95_s);
	}
	return p;
}

static uint64_t age_ms(const struct live_look *look, const struct live_look *now)
{
	return now->arm[LIVE_NEW].at_ms - look->arm[LIVE_NEW].at_ms;
}

void live_trace_add(struct live_trace *t, const struct live_look *look)
{
	uint32_t old = 0;
	while (old < t->looks &&
	        (age_ms(&t->past[old], look) > LIVE_WINDOW_MS || t->looks - old == LIVE_LOOKS))
		old++;
	t->looks -= old;
	memmove(t->past, t->past + old, t->looks * sizeof t->past[0]);
	/* The first look has nothing to compare with, but a rollout may be over in a second. */
	const struct live_look *window = t->looks ? &t->past[0] : look, *before = window;
	for (uint32_t i = 1; i < t->looks && age_ms(&t->past[i], look) >= LIVE_SECOND_MS; i++)
		before = &t->past[i];
	t->ring[t->n++ % LIVE_POINTS] = live_point_of(before, window, look);
	t->past[t->looks++] = *look;
}

struct live_trace *live_trace_find(const struct hg_list *traces, uint64_t id)
{
	HG_LIST_EACH (node, traces) {
		struct live_trace *t = HG_CONTAINER(node, struct live_trace, node);
		if (t->id == id) return t;
	}
	return NULL;
}

/* ---- as columns ---- */

struct column {
	const char *name;
	size_t at; /* of a double in a point */
};

struct columns {
	const struct live_trace *t; /* may be NULL */
	uint64_t from;
	struct json_out *j;
};

static void column_write(const struct columns *c, struct column column)
{
	json_out_key(c->j, column.name);
	json_out_array(c->j);
	for (uint64_t i = c->from; c->t && i < c->t->n; i++) {
		double v;
		memcpy(&v, (const char *)&c->t->ring[i % LIVE_POINTS] + column.at, sizeof v);
		json_out_num(c->j, v);
	}
	json_out_end(c->j);
}

static void arm_write(const struct columns *c, const char *name, enum live_arm arm)
{
	static const struct column of_arm[] = {{"rate", offsetof(struct live_numbers, rate)},
	        {"error_ratio", offsetof(struct live_numbers, error_ratio)},
	        {"p50", offsetof(struct live_numbers, p50)},
	        {"p95", offsetof(struct live_numbers, p95)}};
	size_t at = offsetof(struct live_point, arm) + (size_t)arm * sizeof(struct live_numbers);
	json_out_key(c->j, name);
	json_out_object(c->j);
	for (size_t i = 0; i < HG_COUNT(of_arm); i++)
		column_write(c, (struct column){of_arm[i].name, at + of_arm[i].at});
	json_out_end(c->j);
}

static void columns_write(const struct columns *c)
{
	static const struct column of_all[] = {{"t_ms", offsetof(struct live_point, t_ms)},
	        {"set", offsetof(struct live_point, set)},
	        {"actual", offsetof(struct live_point, actual)},
	        {"evidence", offsetof(struct live_point, evidence)},
	        {"rescued", offsetof(struct live_point, rescued)},
	        {"seen", offsetof(struct live_point, seen)}};
	for (size_t i = 0; i < HG_COUNT(of_all); i++)
		column_write(c, of_all[i]);
	arm_write(c, "new", LIVE_NEW);
	arm_write(c, "old", LIVE_OLD);
}

bool live_trace_write(
        const struct live_trace *t, uint64_t id, bool begun, uint64_t *have, struct hg_buf *to)
{
	struct json_out j;
	uint64_t n = t ? t->n : 0, oldest = n > LIVE_POINTS ? n - LIVE_POINTS : 0;
	/* Who has missed more than the ring holds begins anew; so does the ring of a trace that was
	 * forgotten meanwhile. */
	bool all = !begun || *have < oldest || *have > n;
	if (!all && *have == n) return false;
	json_out_init(&j, to);
	struct columns c = {.t = t, .from = all ? oldest : *have, .j = &j};
	json_out_object(&j);
	json_out_key(&j, "id");
	json_out_u64(&j, id);
	json_out_key(&j, "all");
	json_out_bool(&j, all);
	columns_write(&c);
	json_out_end(&j);
	*have = n;
	return true;
}

/* ---- looking ---- */

/* Lanes are in order of app and release: the first that is not before. */
static size_t lane_first(
        const struct fleet_lane *lanes, size_t n, const char *app, uint32_t release)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(lanes[mid].app, app);
		if (order < 0 || (order == 0 && lanes[mid].release < release))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void arm_look(const struct api *a, const char *app, uint32_t release, struct api_point *to)
{
	size_t n = 0;
	const struct fleet_lane *lanes = fleet_lanes(a->d.fleet, &n);
	to->at_ms = clock_mono_ms();
	if (!a->d.meter) return;
	for (size_t i = lane_first(lanes, n, app, release);
	        i < n && lanes[i].release == release && strcmp(lanes[i].app, app) == 0; i++)
		if (meter_lane_used(a->d.meter, lanes[i].lane))
			api_point_add(to, a->d.meter, lanes[i].lane);
}

/* The one that was over for longest makes room; NULL: all of them run. */
static struct live_trace *trace_new(struct hg_list *traces)
{
	struct live_trace *oldest = NULL;
	uint32_t n = 0;
	HG_LIST_EACH (node, traces) {
		struct live_trace *t = HG_CONTAINER(node, struct live_trace, node);
		n++;
		if (t->over && (!oldest || t->looked_ms < oldest->looked_ms)) oldest = t;
	}
	if (n < LIVE_TRACES)
		oldest = NULL; /* there is room */
	else if (!oldest)
		return NULL;
	struct live_trace *t = calloc(1, sizeof *t);
	if (!t) return NULL;
	if (oldest) {
		hg_list_remove(&oldest->node);
		free(oldest);
	}
	hg_list_append(traces, &t->node);
	return t;
}

static void look_add(const struct api *a, struct live_trace *t, struct live_look *look)
{
	look->wall_ms = clock_wall_ms();
	for (int i = 0; i < LIVE_ARMS; i++)
		arm_look(a, t->app, t->release[i], &look->arm[i]);
	live_trace_add(t, look);
}

struct looking {
	struct api *api;
	struct hg_list *traces;
	uint64_t now_ms;
	bool whole;
};

static void on_rollout(void *arg, const struct rollouts_view *v)
{
	const struct looking *l = arg;
	struct live_trace *t = live_trace_find(l->traces, v->id);
	struct live_look look = {.set = v->weight_set,
	        .evidence = v->evidence,
	        .rescued = v->rescued,
	        .seen = v->seen};
	if (!t) t = trace_new(l->traces);
	if (!t) return;
	bool same = t->looks && t->past[t->looks - 1].set == v->weight_set;
	t->id = v->id;
	t->looked_ms = l->now_ms;
	t->over = false;
	t->release[LIVE_NEW] = v->new_release;
	t->release[LIVE_OLD] = v->old_release;
	if (!hg_str_copy(hg_str(v->app), t->app, sizeof t->app)) return;
	if (l->whole || !same) look_add(l->api, t, &look);
}

/* What it looked like in the end, as it is remembered. */
static void trace_end(const struct api *a, struct live_trace *t)
{
	struct hg_buf text;
	struct hg_err err = {0};
	t->over = true;
	hg_buf_init(&text, LIVE_TEXT_MAX);
	enum hg_rc rc = rollouts_show_json(a->d.rollouts, t->id, &text, &err);
	json_t *j = rc == HG_OK ? json_loadb(text.p, text.n, 0, NULL) : NULL;
	json_t *users = json_object_get(j, "users");
	struct live_look look = {
	        .set = json_number_value(json_object_get(json_object_get(j, "weight"), "set")),
	        .evidence = json_number_value(json_object_get(json_object_get(j, "evidence"), "e")),
	        .rescued = (uint64_t)json_integer_value(json_object_get(users, "rescued")),
	        .seen = (uint64_t)json_integer_value(json_object_get(users, "seen"))};
	if (j) look_add(a, t, &look);
	json_decref(j);
	hg_buf_free(&text);
}

void live_traces_tick(struct api *a, struct hg_list *traces, uint64_t now_ms, bool whole)
{
	struct looking l = {.api = a, .traces = traces, .now_ms = now_ms, .whole = whole};
	if (!a->d.rollouts || !a->d.fleet) return;
	rollouts_each(a->d.rollouts, on_rollout, &l);
	HG_LIST_EACH_SAFE (node, after, traces) {
		struct live_trace *t = HG_CONTAINER(node, struct live_trace, node);
		if (t->looked_ms != now_ms && !t->over) trace_end(a, t);
		if (now_ms - t->looked_ms < LIVE_KEEP_MS) continue;
		hg_list_remove(&t->node);
		free(t);
	}
}

void live_traces_free(struct hg_list *traces)
{
	HG_LIST_EACH_SAFE (node, after, traces) {
		hg_list_remove(node);
		free(HG_CONTAINER(node, struct live_trace, node));
	}
}
