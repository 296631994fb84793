/*
 * A stage for the doing half: a real store in a folder of its own, a real loop, the real table and
 * meter in plain memory; the fleet and the clock are in doer_fleet.h, the test is the edge.
 */
#ifndef TESTS_UNIT_CONTROL_ROLLOUT_DOER_RIG_H
#define TESTS_UNIT_CONTROL_ROLLOUT_DOER_RIG_H

#include "doer_fleet.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control/rollout/rollout_priv.h"
#include "db/db.h"
#include "os/file.h"
#include "store/store_priv.h"
#include "warden/warden.h"

#define WEB 3u /* its app id */
#define CANARY                                                                                \
	"app: web\n"                                                                          \
	"command: web --port $PORT\n"                                                         \
	"replicas: 2\n"                                                                       \
	"rollout:\n"                                                                          \
	"  strategy: canary\n"                                                                \
	"  steps: [{weight: 10%, wait: 30s}, {weight: 50%, wait: 30s}, {weight: 100%, wait: " \
	"30s}]\n"                                                                             \
	"  after_promote: {watch: 2s, keep_previous: 2s}\n"

struct rig {
	char dir[64];
	struct loop *loop;
	struct store *store;
	struct hg_log log;
	struct fleet fleet;
	struct warden_child child;
	struct rollouts *rollouts;
	uint32_t told; /* on_event */
};

/* ---- life ---- */

static void rig_told(void *arg)
{
	struct rig *r = arg;
	r->told++;
}

static void rig_control(struct rig *r)
{
	struct hg_err err = {0};
	struct rollouts_options o = {.loop = r->loop,
	        .store = r->store,
	        .log = &r->log,
	        .fleet = &r->fleet,
	        .child = &r->child,
	        .on_event = rig_told,
	        .arg = r};
	if (rollouts_new(&o, &r->rollouts, &err) < 0) fail_msg("%s", err.message);
}

/* kill -9 of control, as far as the others can tell. */
static void rig_control_dies(struct rig *r)
{
	rollouts_free(r->rollouts);
	r->rollouts = NULL;
}

static void rig_memory(struct rig *r)
{
	r->child.table_size = sizeof(struct snap_table);
	r->child.table = calloc(1, r->child.table_size);
	r->child.meter_size = meter_size(1);
	r->child.meter = calloc(1, r->child.meter_size);
	assert_non_null(r->child.table);
	assert_non_null(r->child.meter);
	snap_table_init(r->child.table);
	meter_init(r->child.meter, 1);
}

static void rig_memory_gone(struct rig *r)
{
	free(r->child.table);
	free(r->child.meter);
}

static int rig_up(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	assert_non_null(r);
	(void)snprintf(r->dir, sizeof r->dir, "/tmp/headgate-rollout-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(store_open(r->dir, &r->store, NULL), HG_OK);
	/* Nobody pulls the plug here, and the disk is not ours alone. */
	assert_int_equal(db_exec(r->store->db, "PRAGMA synchronous=OFF", NULL), HG_OK);
	assert_int_equal(loop_new(&r->loop), HG_OK);
	r->log = (struct hg_log){
	        .fd = memfd_create("log", MFD_CLOEXEC), .who = "rollout", .wall_ms = clock_wall_ms};
	assert_true(r->log.fd >= 0);
	r->child.data_dir = r->dir;
	fake_fleet_init(&r->fleet);
	rig_memory(r);
	rig_control(r);
	*state = r;
	return 0;
}

static int rig_down(void **state)
{
	struct rig *r = *state;
	rig_control_dies(r);
	assert_true(hg_list_empty(&r->fleet.watches));
	/* The real fleet tells nobody when it ends, nor does this one. */
	for (uint32_t i = 0; i < r->fleet.command_count; i++)
		if (r->fleet.command[i].done) free(r->fleet.command[i].arg);
	loop_free(r->loop);
	store_close(r->store);
	rig_memory_gone(r);
	close(r->log.fd);
	int fd = file_open(r->dir, O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	assert_int_equal(file_remove_below(fd), 0);
	close(fd);
	assert_int_equal(rmdir(r->dir), 0);
	free(r);
	return 0;
}

/* ---- the configuration ---- */

static enum hg_rc rig_try(struct rig *r, const char *yaml, struct hg_err *err)
{
	struct hg_arena mem;
	struct spec_report *report = calloc(1, sizeof *report);
	struct spec *s;
	struct rollouts_plan *plan;
	assert_non_null(report);
	hg_arena_init(&mem, "test", 64u << 20);
	struct spec_source from = {.text = hg_str(yaml), .file = "headgate.yaml"};
	if (spec_load(&from, &mem, report, &s) < 0)
		fail_msg("%s: %s", report->errors[0].message, report->errors[0].hint);
	enum hg_rc rc = rollouts_check(r->rollouts, s, &plan, err);
	hg_arena_fini(&mem); /* the plan has all it needs */
	free(report);
	if (rc == HG_OK) rollouts_apply(r->rollouts, plan);
	return rc;
}

HG_UNUSED static void rig_apply(struct rig *r, const char *yaml)
{
	struct hg_err err = {0};
	if (rig_try(r, yaml, &err) < 0) fail_msg("%s", err.message);
}

/* ---- time ---- */

static void rig_turn(struct rig *r, uint64_t ms)
{
	fake_now_ns += ms * CLOCK_NS_PER_MS;
	assert_int_equal(loop_turn(r->loop, 0), HG_OK);
}

HG_UNUSED static void rig_run(struct rig *r, uint64_t ms)
{
	for (uint64_t gone = 0; gone < ms; gone += 100)
		rig_turn(r, 100);
}

#define RIG_UNTIL(r, cond, within_ms)                                               \
	do {                                                                        \
		uint64_t end_ = clock_mono_ms() + (within_ms);                      \
		while (!(cond)) {                                                   \
			if (clock_mono_ms() > end_) fail_msg("never came: " #cond); \
			rig_turn(r, 100);                                           \
		}                                                                   \
	} while (0)

/* ---- the edge ---- */

/* The slot of the app's trial; -1: none. */
static int rig_slot(const struct rig *r, uint32_t app, struct snap_trial *ret_trial)
{
	for (uint32_t i = 0; i < SNAP_TRIALS; i++)
		if (snap_trial_get(r->child.table, i, ret_trial) && ret_trial->app == app)
			return (int)i;
	*ret_trial = (struct snap_trial){0};
	return -1;
}

/* Percent of the requests that web's new release has; -1: no slot. */
HG_UNUSED static int rig_weight(const struct rig *r)
{
	struct snap_trial t;
	return rig_slot(r, WEB, &t) < 0 ? -1 : (int)(t.weight_ppm / 10000);
}

/* So many requests to both releases of web; so many of the new one's fail. */
HG_UNUSED static void rig_serve(struct rig *r, uint32_t fresh, uint32_t old, uint32_t failed)
{
	struct meter *m = r->child.meter;
	struct snap_trial t;
	assert_true(rig_slot(r, WEB, &t) >= 0);
	struct meter_trial_count *c = &m->worker[0].trial[t.cell];
	meter_add(&c->n_new, fresh);
	meter_add(&c->n_old, old);
	meter_add(&c->rescued, failed);
	atomic_fetch_add(&m->cell[t.cell].word[JUDGE_ERRORS], (uint64_t)failed << 32);
	for (uint32_t i = 0; i < fresh; i++)
		meter_observe(meter_lane_of(&m->worker[0], t.new_release), 200, 1000000);
	for (uint32_t i = 0; i < old; i++)
		meter_observe(meter_lane_of(&m->worker[0], t.old_release), 200, 1000000);
}

/* One of the first failures; `whole`: the worker lived to finish it. */
HG_UNUSED static void rig_failure(struct rig *r, const char *path, bool whole)
{
	struct meter *m = r->child.meter;
	struct snap_trial t;
	int slot = rig_slot(r, WEB, &t);
	assert_true(slot >= 0);
	struct meter_failure *f = meter_failure_take(&m->trial[slot], t.rollout);
	assert_non_null(f);
	f->wall_ms = clock_wall_ms();
	f->replica = 1;
	f->status = 500;
	f->cause = METER_CAUSE_STATUS;
	f->method_n = 3;
	memcpy(f->method, "GET", 3);
	f->path_n = (uint8_t)strlen(path);
	memcpy(f->path, path, f->path_n);
	f->rid_n = 4;
	memcpy(f->rid, "rid1", 4);
	f->body_n = 5;
	memcpy(f->body, "oops\xff", 5);
	if (whole) meter_failure_done(f, t.rollout);
}

HG_UNUSED static void rig_trip(struct rig *r)
{
	struct meter *m = r->child.meter;
	struct snap_trial t;
	int slot = rig_slot(r, WEB, &t);
	assert_true(slot >= 0);
	assert_true(meter_trip(&m->trial[slot], t.rollout, t.epoch, clock_wall_ms()));
}

/* ---- people ---- */

HG_UNUSED static enum hg_rc rig_ask(struct rig *r, const char *version, const char *strategy,
        uint64_t *ret_id, struct hg_err *err)
{
	struct rollouts_deploy d = {.app = HG_STR("web"),
	        .version = hg_str(version),
	        .strategy = hg_str(strategy),
	        .who = HG_STR("unix:1000")};
	return rollouts_deploy(r->rollouts, &d, ret_id, err);
}

HG_UNUSED static uint64_t rig_deploy(struct rig *r, const char *version)
{
	struct hg_err err = {0};
	uint64_t id = 0;
	if (rig_ask(r, version, "", &id, &err) < 0) fail_msg("%s", err.message);
	return id;
}

HG_UNUSED static uint64_t rig_do(struct rig *r, uint64_t id, enum rollouts_verb verb)
{
	struct hg_err err = {0};
	uint64_t ret_id = 0;
	if (rollouts_do(r->rollouts, id, verb, HG_STR("unix:1000"), &ret_id, &err) < 0)
		fail_msg("%s", err.message);
	return ret_id;
}

HG_UNUSED static enum hg_rc rig_refused(struct rig *r, uint64_t id, enum rollouts_verb verb)
{
	struct hg_err err = {0};
	uint64_t ret_id = 0;
	enum hg_rc rc = rollouts_do(r->rollouts, id, verb, HG_STR("unix:1000"), &ret_id, &err);
	assert_true(rc == HG_OK || err.message[0]);
	return rc;
}

/* ---- what is shown ---- */

static json_t *rig_json(struct hg_buf *b)
{
	json_error_t e;
	struct hg_str text = hg_buf_view(b);
	json_t *j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &e);
	if (!j) fail_msg("%s: %.*s", e.text, HG_STR_ARG(text));
	hg_buf_free(b);
	return j;
}

static json_t *rig_show(struct rig *r, uint64_t id)
{
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 1 << 20);
	if (rollouts_show_json(r->rollouts, id, &b, &err) < 0) fail_msg("%s", err.message);
	return rig_json(&b);
}

/* The member at "a.b"; NULL: none. */
HG_UNUSED static const json_t *rig_at(const json_t *o, const char *path)
{
	char name[64];
	while (*path) {
		size_t n = strcspn(path, ".");
		assert_true(n < sizeof name);
		memcpy(name, path, n);
		name[n] = 0;
		o = json_object_get(o, name);
		path += n + (path[n] == '.');
	}
	return o;
}

HG_UNUSED static int64_t rig_int(const json_t *o, const char *path)
{
	const json_t *v = rig_at(o, path);
	if (!json_is_integer(v)) fail_msg("%s is no whole number", path);
	return json_integer_value(v);
}

HG_UNUSED static double rig_num(const json_t *o, const char *path)
{
	const json_t *v = rig_at(o, path);
	if (!json_is_number(v)) fail_msg("%s is no number", path);
	return json_number_value(v);
}

HG_UNUSED static const char *rig_text(const json_t *o, const char *path)
{
	const char *v = json_string_value(rig_at(o, path));
	if (!v) fail_msg("%s is no text", path);
	return v;
}

/* A text of the shown rollout is this one. */
HG_UNUSED static bool rig_is(struct rig *r, uint64_t id, const char *path, const char *want)
{
	json_t *o = rig_show(r, id);
	bool same = strcmp(rig_text(o, path), want) == 0;
	json_decref(o);
	return same;
}

HG_UNUSED static bool rig_ended(struct rig *r, uint64_t id)
{
	return rig_is(r, id, "phase", "end");
}

HG_UNUSED static void rig_taken_back(struct rig *r, uint64_t id, const char *cause)
{
	RIG_UNTIL(r, rig_ended(r, id), 60000);
	assert_true(rig_is(r, id, "outcome", "rolled_back"));
	assert_true(rig_is(r, id, "cause", cause));
	assert_int_equal(rig_weight(r), -1);
	assert_int_equal(r->fleet.app[0].want.trial, 0);
}

/* A line of the log has this text. */
HG_UNUSED static bool rig_logged(const struct rig *r, const char *text)
{
	static char all[1 << 20];
	ssize_t n = pread(r->log.fd, all, sizeof all - 1, 0);
	assert_true(n >= 0);
	all[n] = 0;
	return strstr(all, text) != NULL;
}

static void rig_count_row(void *arg, const struct store_event *e)
{
	struct {
		const char *kind;
		uint32_t n;
	} *c = arg;
	c->n += hg_str_eq(e->kind, hg_str(c->kind));
}

/* Journal entries of this kind. */
HG_UNUSED static uint32_t rig_events(struct rig *r, const char *kind)
{
	struct {
		const char *kind;
		uint32_t n;
	} c = {kind, 0};
	assert_int_equal(
	        store_events(r->store, 0, HG_STR(""), 10000, rig_count_row, &c, NULL), HG_OK);
	return c.n;
}

HG_UNUSED static void rig_sql(struct rig *r, const char *sql)
{
	struct hg_err err = {0};
	if (db_exec(r->store->db, sql, &err) < 0) fail_msg("%s: %s", sql, err.message);
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)

#endif
