/* Schedule, configuration and the thread: groups are due, rules are evaluated one after another. */
#include "rules_priv.h"

#include "base/rand.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS        1000   /* clocks are set: no timer waits longer */
#define DEADLINE_MIN   10000u /* of a group's evaluation; else its interval */
#define DEADLINE_MAX   120000u
#define CONF_BYTES     ((size_t)1 << 20)
#define RESTORE_ROUNDS 2 /* evaluations in which new alerts may have been there before */

static void look(struct rules *r);

static struct rules_live_group *group_of(struct rules *r)
{
	return &r->groups[r->job.group];
}

/* ---- one rule on the thread ---- */

static void job_run(void *arg, const atomic_bool *stop)
{
	struct rules *r = arg;
	struct rules_job *j = &r->job;
	uint64_t began = clock_mono_ns();
	j->world.cancel = stop;
	rules_evaluate(j->rule, &j->world, &j->out);
	j->took_s = (double)(clock_mono_ns() - began) / 1e9;
}

static void group_end(struct rules *r)
{
	struct rules_live_group *g = group_of(r);
	g->took_s = (double)(clock_mono_ns() - r->job.began_ns) / 1e9;
	g->last_ms = r->job.world.now_ms;
	g->iterations++;
	r->busy = false;
	if (r->news) {
		r->news = false;
		rules_waiters_tell(r);
		if (r->o.on_news) r->o.on_news(r->o.arg);
	}
	look(r);
}

static void job_next(struct rules *r);

/* Once it is known what fires, those who ask are told: it may be that something does not any more.
 */
static void known(struct rules *r, struct rules_live *l)
{
	int64_t after = (int64_t)((r->job.began_ns - r->started_ns) / 1000000);
	if (l->known || l->error[0] || !rules_knows(after, r->settle_ms, l->rule->keep_firing_ms))
		return;
	l->known = true;
	if (!l->rule->alerting) return;
	r->change++;
	r->news = true;
}

static void job_done(void *arg)
{
	struct rules *r = arg;
	struct rules_job *j = &r->job;
	struct rules_live_group *g = group_of(r);
	struct rules_live *l = &g->rules[j->at];
	bool was_well = !l->error[0];
	r->work = NULL;
	if (rules_take(r->o.db, l, g, &j->out, j->world.now_ms, r->change + 1)) {
		r->change++;
		r->news = true;
	}
	rules_outcome_free(&j->out);
	l->took_s = j->took_s;
	l->restored = l->restored || g->iterations + 1 >= RESTORE_ROUNDS;
	known(r, l);
	if (l->error[0]) {
		g->failures++;
		if (was_well && r->o.log)
			hg_log(r->o.log, HG_WARN, "rule.failed", HG_V("group", g->group->name),
			        HG_V("rule", l->rule->name), HG_S("error", l->error));
	}
	j->at++;
	job_next(r);
}

static void job_next(struct rules *r)
{
	struct rules_live_group *g = group_of(r);
	struct rules_job *j = &r->job;
	if (j->at == g->n) {
		group_end(r);
		return;
	}
	struct rules_live *l = &g->rules[j->at];
	j->rule = l->rule;
	j->world.restoring = l->rule->alerting && !l->restored;
	if (work_start(r->o.loop, job_run, job_done, r, &r->work) == HG_OK) return;
	/* No thread for now: the rule is left out, the group goes on at its next time. */
	(void)snprintf(l->error, sizeof l->error, "no thread could be made");
	g->failures++;
	group_end(r);
}

static void group_begin(struct rules *r, uint32_t at, int64_t now)
{
	struct rules_live_group *g = &r->groups[at];
	int64_t late = (now - g->due_ms) / g->interval_ms;
	if (late > 0) {
		g->missed += (uint64_t)late;
		g->due_ms += late * g->interval_ms;
	}
	uint64_t limit = (uint64_t)HG_MIN(g->interval_ms, (int64_t)DEADLINE_MAX);
	r->busy = true;
	r->job = (struct rules_job){.group = at,
	        .began_ns = clock_mono_ns(),
	        .world = {.db = r->o.db,
	                .lock = r->o.lock,
	                .unlock = r->o.unlock,
	                .lock_arg = r->o.lock_arg,
	                .deadline_ms = clock_mono_ms() + HG_MAX(limit, (uint64_t)DEADLINE_MIN),
	                .now_ms = g->due_ms,
	                .offset_ms = g->offset_ms,
	                .external = r->external,
	                .url = r->url,
	                .started_ms = r->started_ms}};
	g->due_ms += g->interval_ms;
	job_next(r);
}

/* ---- the schedule ---- */

static uint64_t group_hash(const struct rules_live_group *g)
{
	return hg_str_hash(g->file->name) * 31 + hg_str_hash(g->group->name);
}

/* Groups are spread over their interval, each always at the same place of it. */
static int64_t first_due(const struct rules_live_group *g, int64_t now)
{
	int64_t offset = (int64_t)(group_hash(g) % (uint64_t)g->interval_ms);
	int64_t base = now - offset;
	base -= ((base % g->interval_ms) + g->interval_ms) % g->interval_ms;
	return base + offset + g->interval_ms;
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	(void)l;
	look(HG_CONTAINER(t, struct rules, timer));
}

static void look(struct rules *r)
{
	int64_t now = r->o.wall_ms(), next = now + LOOK_MS;
	uint32_t due = r->n;
	if (r->busy) return;
	for (uint32_t i = 0; i < r->n; i++) {
		struct rules_live_group *g = &r->groups[i];
		/* The clock was set back. */
		if (g->due_ms - now > 2 * g->interval_ms) g->due_ms = first_due(g, now);
		next = HG_MIN(next, g->due_ms);
		if (g->due_ms <= now && (due == r->n || g->due_ms < r->groups[due].due_ms)) due = i;
	}
	if (due < r->n) {
		group_begin(r, due, now);
		return;
	}
	if (loop_timer_start(
	            r->o.loop, &r->timer, (uint64_t)HG_MAX(next - now, (int64_t)1), on_timer) < 0 &&
	        r->o.log)
		hg_log(r->o.log, HG_ERROR, "rules.no_timer");
}

/* ---- configuration ---- */

/* What rules_apply makes before anything of what is in force changes. */
struct making {
	struct rules_file **files;
	uint32_t file_n;
	struct rules_live_group *groups;
	uint32_t n;
	struct hg_arena mem;
	struct labels external;
	struct hg_str url;
};

static void groups_fini(struct rules_live_group *g, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t k = 0; k < g[i].n; k++)
			rules_live_fini(&g[i].rules[k]);
		free(g[i].rules);
		free(g[i].notes);
	}
	free(g);
}

static void making_fini(struct making *m)
{
	groups_fini(m->groups, m->n);
	for (uint32_t i = 0; i < m->file_n; i++)
		rules_file_free(m->files[i]);
	free(m->files);
	hg_arena_fini(&m->mem);
}

static enum hg_rc file_add(
        struct making *m, struct hg_str name, struct hg_str text, struct hg_err *err)
{
	struct spec_report *report = calloc(1, sizeof *report);
	if (!report) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	spec_report_init(report, name, text);
	enum hg_rc rc = rules_file_read(text, name, report, &m->files[m->file_n]);
	if (rc == HG_OK)
		m->file_n++;
	else if (err)
		*err = report->errors[0];
	free(report);
	return rc;
}

static enum hg_rc files_read(struct making *m, const struct rules_conf *c, struct hg_err *err)
{
	m->files = calloc(c->file_count + 1ul, sizeof *m->files);
	if (!m->files) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	enum hg_rc rc = HG_OK;
	if (c->builtin) rc = file_add(m, HG_STR("headgate"), rules_builtin(), err);
	for (uint32_t i = 0; rc == HG_OK && i < c->file_count; i++)
		rc = file_add(m, c->files[i].name, c->files[i].text, err);
	return rc;
}

enum hg_rc rules_live_groups(struct rules_file *const *files, uint32_t file_n, int64_t every_ms,
        struct rules_live_group **ret, uint32_t *ret_n)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < file_n; i++)
		n += files[i]->n;
	struct rules_live_group *all = calloc(n + 1ul, sizeof *all);
	*ret = all;
	*ret_n = 0;
	if (!all) return HG_E_NOMEM;
	for (uint32_t i = 0; i < file_n; i++) {
		for (uint32_t k = 0; k < files[i]->n; k++) {
			const struct rules_group *g = &files[i]->groups[k];
			struct rules_live_group *to = &all[*ret_n];
			*to = (struct rules_live_group){.group = g,
			        .file = files[i],
			        .interval_ms = g->interval_ms ? g->interval_ms : every_ms,
			        .offset_ms = HG_MAX(g->offset_ms, (int64_t)0),
			        .rules = calloc(g->n + 1ul, sizeof *to->rules)};
			if (!to->rules) return HG_E_NOMEM;
			++*ret_n;
			to->n = g->n;
			for (uint32_t q = 0; q < g->n; q++)
				to->rules[q].rule = &g->rules[q];
		}
	}
	return HG_OK;
}

void rules_live_groups_free(struct rules_live_group *groups, uint32_t n)
{
	groups_fini(groups, n);
}

static bool same_rule(const struct rules_rule *a, const struct rules_rule *b)
{
	return a->alerting == b->alerting && hg_str_eq(a->name, b->name) &&
	       labels_equal(a->labels, b->labels);
}

/* What a rule had goes to the one that takes its place; each is taken once. */
static void inherit(struct rules_live_group *from, struct rules_live_group *to, int64_t now)
{
	if (from->interval_ms == to->interval_ms && from->due_ms > now) to->due_ms = from->due_ms;
	to->iterations = from->iterations;
	to->missed = from->missed;
	to->failures = from->failures;
	to->last_ms = from->last_ms;
	to->took_s = from->took_s;
	for (uint32_t i = 0; i < to->n; i++) {
		for (uint32_t k = 0; k < from->n; k++) {
			if (!from->rules[k].rule ||
			        !same_rule(to->rules[i].rule, from->rules[k].rule))
				continue;
			const struct rules_rule *rule = to->rules[i].rule;
			to->rules[i] = from->rules[k];
			to->rules[i].rule = rule;
			from->rules[k] = (struct rules_live){0};
			break;
		}
	}
}

static void take_over(struct rules *r, struct making *m)
{
	int64_t now = r->o.wall_ms();
	for (uint32_t i = 0; i < m->n; i++) {
		struct rules_live_group *to = &m->groups[i];
		to->due_ms = first_due(to, now);
		for (uint32_t k = 0; k < r->n; k++)
			if (hg_str_eq(r->groups[k].file->name, to->file->name) &&
			        hg_str_eq(r->groups[k].group->name, to->group->name))
				inherit(&r->groups[k], to, now);
	}
	/* What nobody took over has ended; an alert of it ends by itself, as nobody repeats it. */
	for (uint32_t k = 0; k < r->n; k++)
		for (uint32_t i = 0; i < r->groups[k].n; i++)
			rules_live_end(r->o.db, &r->groups[k].rules[i], now);
}

enum hg_rc rules_apply(struct rules *r, const struct rules_conf *conf, struct hg_err *err)
{
	struct making m = {0};
	hg_arena_init(&m.mem, "rules", CONF_BYTES);
	enum hg_rc rc = files_read(&m, conf, err);
	if (rc == HG_OK) {
		m.url = hg_arena_str(&m.mem, conf->url);
		rc = m.url.p ? labels_copy(&m.mem, conf->external, &m.external) : HG_E_NOMEM;
		if (rc == HG_OK)
			rc = rules_live_groups(m.files, m.file_n,
			        conf->every_ms ? conf->every_ms : (int64_t)RULES_EVERY_MS,
			        &m.groups, &m.n);
		if (rc < 0) hg_err_set(err, rc, "memory is exhausted");
	}
	if (rc == HG_OK) rules_notes_make(m.groups, m.n, conf->every_ms);
	if (rc < 0) {
		making_fini(&m);
		return rc;
	}
	rules_halt(r);
	take_over(r, &m);
	struct making old = {.files = r->files,
	        .file_n = r->file_n,
	        .groups = r->groups,
	        .n = r->n,
	        .mem = r->mem};
	r->files = m.files;
	r->file_n = m.file_n;
	r->groups = m.groups;
	r->n = m.n;
	r->mem = m.mem;
	r->external = m.external;
	r->url = m.url;
	/* Only now what people want to know is looked at. */
	if (conf->configured && !r->configured) r->started_ns = clock_mono_ns();
	r->configured = conf->configured;
	r->settle_ms = conf->settle_ms;
	making_fini(&old);
	rules_empty_start(r);
	look(r);
	return HG_OK;
}

void rules_complain(struct rules *r, const struct hg_err *err)
{
	if (r->o.log)
		hg_log(r->o.log, HG_ERROR, "rules.refused", HG_S("file", err->file),
		        HG_I("line", err->line), HG_S("error", err->message));
}

/* The evaluation under way is given up; the rest of its group comes at its next time. */
void rules_halt(struct rules *r)
{
	loop_timer_stop(r->o.loop, &r->timer);
	if (r->work) {
		/* The thread may wait for the store, which the loop has now. */
		if (r->o.unlock) r->o.unlock(r->o.lock_arg);
		work_stop(r->work);
		if (r->o.lock) r->o.lock(r->o.lock_arg);
		r->work = NULL;
		rules_outcome_free(&r->job.out);
	}
	r->busy = false;
}

enum hg_rc rules_new(const struct rules_options *o, struct rules **ret_rules, struct hg_err *err)
{
	struct rules *r = calloc(1, sizeof *r);
	struct hg_rand rand;
	if (!r) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	r->o = *o;
	hg_list_init(&r->waiters);
	r->started_ms = o->wall_ms();
	r->started_ns = clock_mono_ns();
	hg_rand_seed(&rand, clock_wall_ns() ^ (uint64_t)(uintptr_t)r);
	(void)snprintf(
	        r->epoch, sizeof r->epoch, "%016llx", (unsigned long long)hg_rand_u64(&rand));
	hg_arena_init(&r->mem, "rules", CONF_BYTES);
	*ret_rules = r;
	return HG_OK;
}

void rules_free(struct rules *r)
{
	if (!r) return;
	rules_halt(r);
	loop_timer_stop(r->o.loop, &r->empty_timer);
	rules_waiters_end(r);
	struct making all = {.files = r->files,
	        .file_n = r->file_n,
	        .groups = r->groups,
	        .n = r->n,
	        .mem = r->mem};
	making_fini(&all);
	free(r);
}
