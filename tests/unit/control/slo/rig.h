/* The doing half with a real store and meter, a fleet of some lanes, and a clock that is turned. */
#ifndef TESTS_SLO_RIG_H
#define TESTS_SLO_RIG_H

#include "../../test.h"

#include "control/slo/slo.c"

#include <stdio.h>
#include <unistd.h>

#include "db/db.h"
#include "spec/spec.h"
#include "store/store_priv.h"

#define T0 (29000000ull * 60000) /* the 20th minute of an hour */

static uint64_t fake_ms;

static inline uint64_t fake_wall(void)
{
	return fake_ms;
}

struct fleet {
	struct fleet_lane lane[4];
	size_t n;
};

uint32_t fleet_app_id(const struct fleet *f, struct hg_str app)
{
	(void)f;
	return hg_str_eq(app, HG_STR("web")) ? 3 : hg_str_eq(app, HG_STR("api")) ? 4 : 0;
}

const struct fleet_lane *fleet_lanes(const struct fleet *f, size_t *ret_n)
{
	*ret_n = f->n;
	return f->lane;
}

struct rig {
	char dir[64];
	struct loop *loop;
	struct store *store;
	struct meter *meter;
	struct fleet fleet;
	struct slo *slo;
	uint64_t memory_id;
	struct {
		uint32_t news, alerts, again, firing, over, events;
		char summary[400], severity[16];
		uint32_t priority;
		enum hg_rc news_rc;
	} told;
};

static inline enum hg_rc on_news(void *arg, const struct slo_alert *a, struct hg_err *err)
{
	struct rig *r = arg;
	r->told.news++;
	r->told.priority = a->priority;
	assert_true(store_in_transaction(r->store));
	return r->told.news_rc < 0 ? hg_err_set(err, r->told.news_rc, "no") : HG_OK;
}

static inline void on_alert(void *arg, const struct slo_alert *a)
{
	struct rig *r = arg;
	if (a->again) {
		assert_true(a->firing);
		r->told.again++;
		return;
	}
	r->told.alerts++;
	r->told.firing += a->firing;
	r->told.over += !a->firing;
	(void)snprintf(r->told.summary, sizeof r->told.summary, "%s", a->summary);
	(void)snprintf(r->told.severity, sizeof r->told.severity, "%s", a->severity);
}

static inline void on_event(void *arg)
{
	struct rig *r = arg;
	r->told.events++;
}

static inline void begin(struct rig *r)
{
	struct slo_options o = {.loop = r->loop,
	        .store = r->store,
	        .fleet = &r->fleet,
	        .meter = r->meter,
	        .memory_id = r->memory_id,
	        .wall_ms = fake_wall,
	        .on_news = on_news,
	        .on_alert = on_alert,
	        .on_event = on_event,
	        .arg = r};
	assert_int_equal(slo_new(&o, &r->slo, NULL), HG_OK);
}

/* kill -9: nothing is written any more. */
static inline void die(struct rig *r)
{
	loop_timer_stop(r->loop, &r->slo->timer);
	apps_free(r->slo->apps, r->slo->count);
	free(r->slo->owner);
	free(r->slo);
	r->slo = NULL;
}

#define YAML                                                                                     \
	"project: t\napps:\n  web:\n    command: x --port $PORT\n    slo:\n"                     \
	"      availability: {objective: 99.95%, window: 30d, good: 2xx 3xx 404}\n"              \
	"      latency: {objective: 95%, faster_than: 120ms}\n"                                  \
	"      error_budget: {freeze_deploys_below: 10%}\n"                                      \
	"      runbook: docs/runbooks/errors.md\n"                                               \
	"  api:\n    command: x --port $PORT\n    slo: {availability: {objective: 99%, window: " \
	"1h}}\n"

static inline void apply(struct rig *r, const char *yaml)
{
	struct hg_arena mem;
	struct hg_err err = {0};
	struct spec_report *report = calloc(1, sizeof *report);
	struct spec *s;
	struct slo_plan *plan;
	assert_non_null(report);
	hg_arena_init(&mem, "test", 64u << 20);
	struct spec_source from = {.text = hg_str(yaml), .file = "headgate.yaml"};
	if (spec_load(&from, &mem, report, &s) < 0)
		fail_msg("%s: %s", report->errors[0].message, report->errors[0].hint);
	if (slo_check(r->slo, s, &plan, &err) < 0) fail_msg("%s", err.message);
	hg_arena_fini(&mem);
	free(report);
	slo_apply(r->slo, plan);
}

static inline int up(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	assert_non_null(r);
	(void)snprintf(r->dir, sizeof r->dir, "/tmp/headgate-slo-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(store_open(r->dir, &r->store, NULL), HG_OK);
	assert_int_equal(db_exec(r->store->db, "PRAGMA synchronous=OFF", NULL), HG_OK);
	assert_int_equal(loop_new(&r->loop), HG_OK);
	r->meter = calloc(1, meter_size(2));
	assert_non_null(r->meter);
	meter_init(r->meter, 2);
	r->fleet = (struct fleet){.lane = {{"api", "*/", 1, 5}, {"web", "*/", 0, 6},
	                                  {"web", "*/", 1, 7}, {"web", "*/x", 1, 8}},
	        .n = 4};
	r->memory_id = 77;
	fake_ms = T0;
	begin(r);
	*state = r;
	return 0;
}

static inline int down(void **state)
{
	struct rig *r = *state;
	char command[128];
	if (r->slo) slo_free(r->slo);
	loop_free(r->loop);
	store_close(r->store);
	free(r->meter);
	(void)snprintf(command, sizeof command, "rm -r %s", r->dir);
	assert_int_equal(system(command), 0);
	free(r);
	return 0;
}

static inline void traffic(struct rig *r, uint32_t lane, unsigned status, uint32_t n, uint64_t ns)
{
	for (uint32_t i = 0; i < n; i++) {
		struct meter_lane *l = meter_lane_of(&r->meter->worker[i % 2], lane);
		meter_observe(l, status, ns);
		if (ns <= 120000000) meter_add(&l->fast, 1);
	}
}

static inline void after(struct rig *r, uint64_t ms)
{
	fake_ms += ms;
	look(r->slo);
}

static inline struct slo_counts counts(struct rig *r, const char *app, uint64_t minutes)
{
	struct slo_counts sum;
	struct slo_app *a = app_find(r->slo, hg_str(app));
	assert_non_null(a);
	slo_history_sum(&a->history, fake_ms / 60000, minutes, &sum);
	return sum;
}

static uint32_t journal_count;

static inline void on_journal(void *arg, const struct store_event *e)
{
	if (hg_str_eq(e->kind, hg_str(arg))) journal_count++;
}

static inline uint32_t journal(struct rig *r, const char *kind)
{
	journal_count = 0;
	assert_int_equal(
	        store_events(r->store, 0, HG_STR(""), 10000, on_journal, (void *)kind, NULL),
	        HG_OK);
	return journal_count;
}

#endif
