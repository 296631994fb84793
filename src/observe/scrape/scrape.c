#include "observe/scrape/scrape.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "observe/scrape/scrape_priv.h"
#include "os/clock.h"

#define COMMIT_MS 500 /* what was appended is handed to the kernel at the latest after */

#define TURN_NS 5000000u /* of taking in answers, of which others on the loop are kept waiting */

static void on_timer(struct loop *l, struct loop_timer *t);
static void on_taking(struct loop *l, struct loop_timer *timer);

/* ---- one scrape ---- */

static void wait_for(struct target *t)
{
	struct scrape *s = t->scrape;
	int64_t now = s->o.now_ms();
	int64_t wait =
	        t->state == TARGET_LEAVING ? t->end.act_ms - now : scrape_plan_wait(&t->plan, now);
	/* A timer needs no memory but the loop's array, which has had this one before. */
	(void)!loop_timer_start(s->o.loop, &t->timer, wait > 0 ? (uint64_t)wait : 0, on_timer);
}

static void on_commit(struct loop *l, struct loop_timer *timer)
{
	struct scrape *s = HG_CONTAINER(timer, struct scrape, commit);
	(void)l;
	(void)!tsdb_commit(s->o.db); /* tsdb_health tells those who look */
}

static void commit_soon(struct scrape *s)
{
	if (loop_timer_active(&s->commit)) return;
	if (loop_timer_start(s->o.loop, &s->commit, COMMIT_MS, on_commit) < 0)
		(void)!tsdb_commit(s->o.db);
}

/* The content type as a format; what is unknown is read as text, as old exporters need it. */
static enum promread_format format_of(const char *type)
{
	struct hg_str t = hg_str(type);
	t = hg_str_trim((struct hg_str){t.p, hg_str_find(t, ';')});
	return hg_str_eq_nocase(t, HG_STR("application/openmetrics-text")) ? PROMREAD_OPENMETRICS
	                                                                   : PROMREAD_TEXT;
}

static bool known_type(const char *type)
{
	struct hg_str t = hg_str(type);
	t = hg_str_trim((struct hg_str){t.p, hg_str_find(t, ';')});
	return t.n == 0 || hg_str_eq_nocase(t, HG_STR("text/plain")) ||
	       format_of(type) == PROMREAD_OPENMETRICS;
}

static void report(struct target *t, bool up, const struct intake_counts *c)
{
	struct intake *in = &t->scrape->intake;
	scrape_intake_report(in, t, REPORT_UP, t->t_ms, up);
	scrape_intake_report(in, t, REPORT_DURATION, t->t_ms, t->duration_s);
	scrape_intake_report(in, t, REPORT_SCRAPED, t->t_ms, c->scraped);
	scrape_intake_report(in, t, REPORT_KEPT, t->t_ms, c->kept);
	scrape_intake_report(in, t, REPORT_ADDED, t->t_ms, up ? c->added : 0);
	commit_soon(t->scrape);
}

static void log_change(struct target *t, enum scrape_health now)
{
	struct hg_log *log = t->scrape->o.log;
	if (t->health == now || !log) return;
	if (now == SCRAPE_DOWN)
		hg_log(log, HG_WARN, "scrape.failing", HG_V("job", t->job->c.name),
		        HG_S("url", t->place.url), HG_S("error", t->why));
	else if (t->health == SCRAPE_DOWN)
		hg_log(log, HG_INFO, "scrape.well_again", HG_V("job", t->job->c.name),
		        HG_S("url", t->place.url));
}

static void failed(struct target *t, const struct intake_counts *c)
{
	scrape_intake_end_all(&t->scrape->intake, t, t->t_ms, false);
	t->scrape->stats.failed++;
	log_change(t, SCRAPE_DOWN);
	t->health = SCRAPE_DOWN;
	t->samples = 0;
	report(t, false, c);
}

static void say_why(struct target *t, const struct hg_err *err, const char *type)
{
	struct hg_out o = hg_out_over(t->why, sizeof t->why - 1);
	if (err->line) hg_out_fmt(&o, "line %u, column %u: ", err->line, err->column);
	hg_out_fmt(&o, "%.250s", err->message);
	if (!known_type(type)) hg_out_fmt(&o, " (the content type is \"%.60s\")", type);
	t->why[hg_out_failed(&o) ? sizeof t->why - 1 : o.n] = 0;
}

/* What the store has refused is told when it begins: the reason names the label that explodes. */
static void log_refused(struct target *t, uint32_t n)
{
	const struct hg_err *why = &t->scrape->intake.reading.refused;
	bool before = t->refused;
	t->refused = n > 0;
	if (!n || before || !t->scrape->o.log) return;
	hg_log(t->scrape->o.log, HG_WARN, "scrape.refused", HG_V("job", t->job->c.name),
	        HG_S("url", t->place.url), HG_I("samples", n),
	        HG_S("error", why->message[0] ? why->message : "they are too old, or too new"),
	        HG_S("detail", why->detail), HG_S("hint", why->hint));
}

/* The answer of the first in the row has been taken in, or is bad. */
static void taken(struct target *t, bool good, const struct intake_counts *c, struct hg_err *err)
{
	struct scrape *s = t->scrape;
	if (!good) {
		say_why(t, err, t->type);
		failed(t, c);
	} else {
		s->stats.bytes += t->body.n;
		log_change(t, SCRAPE_UP);
		log_refused(t, c->refused);
		t->health = SCRAPE_UP;
		t->why[0] = 0;
		t->samples = c->scraped;
		report(t, true, c);
	}
	hg_list_remove(&t->turn);
	hg_buf_free(&t->body);
	wait_for(t);
}

/*
 * Takes in what is there, one answer after the other, as long as others on this loop may wait: a
 * hundred thousand new series are a quarter of a second, and meanwhile applications write lines.
 */
static void take_some(struct scrape *s)
{
	uint64_t until = clock_mono_ns() + TURN_NS;
	struct hg_list *first;
	while ((first = hg_list_first(&s->waiting))) {
		struct target *t = HG_CONTAINER(first, struct target, turn);
		struct intake_counts c = {0};
		struct hg_err err = {0};
		if (s->intake.reading.t != t)
			scrape_intake_begin(
			        &s->intake, t, hg_buf_view(&t->body), format_of(t->type), t->t_ms);
		enum intake_result r = scrape_intake_some(&s->intake, until, &c, &err);
		if (r != INTAKE_MORE) taken(t, r == INTAKE_TAKEN, &c, &err);
		if (clock_mono_ns() < until) continue;
		/* Without memory for a timer it is done at once. */
		if (hg_list_empty(&s->waiting) ||
		        loop_timer_start(s->o.loop, &s->taking, 0, on_taking) == HG_OK)
			return;
		until = UINT64_MAX;
	}
}

static void on_taking(struct loop *l, struct loop_timer *timer)
{
	(void)l;
	take_some(HG_CONTAINER(timer, struct scrape, taking));
}

static void on_answer(void *arg, const struct get_answer *a)
{
	struct target *t = HG_OBJ(arg, struct target, TARGET_MAGIC);
	struct scrape *s = t->scrape;
	struct intake_counts c = {0};
	t->duration_s = (double)(clock_mono_ns() - t->began_ns) / 1e9;
	t->last_ms = t->t_ms;
	s->stats.scrapes++;
	if (!a->good) {
		(void)snprintf(t->why, sizeof t->why, "%s", a->why);
		failed(t, &c);
		wait_for(t);
		return;
	}
	t->body = *a->body;
	*a->body = (struct hg_buf){0};
	(void)hg_str_copy(hg_str(a->type), t->type, sizeof t->type);
	hg_list_append(&s->waiting, &t->turn);
	if (!loop_timer_active(&s->taking)) take_some(s);
}

/* Between the question and the end of what its answer brought. */
static bool busy(const struct target *t)
{
	return t->get.flight || !hg_list_empty(&t->turn);
}

static void ask(struct target *t)
{
	struct scrape *s = t->scrape;
	const struct scrape_job_conf *c = &t->job->c;
	struct get_request r = {.place = &t->place,
	        .timeout_ms = c->timeout_ms,
	        .body_max = c->body_size_limit,
	        .gzip = c->compression == SCRAPE_GZIP_ALWAYS ||
	                (c->compression == SCRAPE_GZIP_REMOTE && !t->place.local)};
	struct get_answer none = {.why = "there is no memory for the request"};
	t->t_ms = scrape_plan_take(&t->plan, s->o.now_ms());
	t->began_ns = clock_mono_ns();
	if (scrape_get_start(&t->get, &r, on_answer, t) < 0) on_answer(t, &none);
}

/* ---- targets ---- */

/* Nobody wants to know the answer any more. */
static void target_stop(struct target *t)
{
	struct scrape *s = t->scrape;
	scrape_get_close(&t->get);
	if (s->intake.reading.t == t) scrape_intake_give_up(&s->intake);
	hg_list_remove(&t->turn);
	hg_buf_free(&t->body);
}

static void target_free(struct target *t)
{
	struct scrape *s = t->scrape;
	loop_timer_stop(s->o.loop, &t->timer);
	target_stop(t);
	hg_list_remove(&t->node);
	s->target_n--;
	scrape_series_fini(&t->series);
	scrape_meta_list_fini(&s->meta, &t->meta);
	scrape_place_fini(&t->place);
	scrape_job_unref(t->job);
	t->magic = 0;
	free(t);
}

static void end_reports(struct target *t)
{
	for (unsigned i = 0; i < REPORTS; i++) {
		tsdb_ref ref = t->report[i];
		if (!ref || tsdb_last_ms(t->scrape->o.db, ref) >= t->end.stale_ms) continue;
		(void)!tsdb_append(t->scrape->o.db, ref, t->end.stale_ms, tsdb_stale());
	}
}

static void on_timer(struct loop *l, struct loop_timer *timer)
{
	struct target *t = HG_CONTAINER(timer, struct target, timer);
	int64_t now = t->scrape->o.now_ms();
	(void)l;
	if (t->state == TARGET_WANTED) {
		if (scrape_plan_wait(&t->plan, now) > 0)
			wait_for(t); /* the clock was set, or the timer early */
		else if (!busy(t))
			ask(t);
		return;
	}
	if (now < t->end.act_ms && t->end.act_ms - now < 4 * t->plan.interval_ms) {
		wait_for(t);
		return;
	}
	scrape_intake_end_all(&t->scrape->intake, t, t->end.stale_ms, true);
	end_reports(t);
	commit_soon(t->scrape);
	target_free(t);
}

static struct target *target_new(struct scrape *s, struct job *j, struct place *place)
{
	struct target *t = calloc(1, sizeof *t);
	uint64_t seed;
	if (!t) return NULL;
	*t = (struct target){
	        .magic = TARGET_MAGIC, .scrape = s, .job = scrape_job_ref(j), .place = *place};
	*place = (struct place){0};
	hg_list_init(&t->node);
	hg_list_init(&t->turn);
	scrape_get_init(&t->get, s->o.loop, s->chunk);
	scrape_series_init(&t->series, s->key);
	seed = labels_hash(t->place.labels) ^
	       (t->place.url ? hg_str_hash(hg_str(t->place.url)) : 0);
	t->plan = scrape_plan_new(j->c.interval_ms, seed, s->o.now_ms());
	hg_list_append(&s->targets, &t->node);
	s->target_n++;
	return t;
}

static void target_leave(struct target *t)
{
	target_stop(t);
	t->state = TARGET_LEAVING;
	t->end = scrape_plan_end(&t->plan);
	if (t->place.dropped || t->last_ms == 0)
		target_free(t);
	else
		wait_for(t);
}

/* ---- what is wanted ---- */

static bool same_place(const struct place *a, const struct place *b)
{
	if (a->dropped != b->dropped || a->proxy != b->proxy) return false;
	if (!labels_equal(a->discovered, b->discovered)) return false;
	return a->dropped || (labels_equal(a->labels, b->labels) && strcmp(a->url, b->url) == 0);
}

/* Which targets go on. */
struct matching {
	struct hg_list *last; /* the one that was found last */
	uint32_t left;        /* so many may still be found */
};

/* Behind the last one: there it is when the table has changed in one place alone. Ten thousand
 * targets that are all compared are fifty million comparisons. */
static struct target *target_like(
        struct scrape *s, struct matching *m, const struct job *j, const struct place *place)
{
	struct hg_list *at = m->last;
	if (!m->left) return NULL;
	do {
		at = at->next;
		if (at == &s->targets) continue;
		struct target *t = HG_CONTAINER(at, struct target, node);
		if (t->state != TARGET_WANTED || t->kept || t->job->print != j->print ||
		        !same_place(&t->place, place))
			continue;
		m->last = at;
		m->left--;
		return t;
	} while (at != m->last);
	return NULL;
}

/* What an apply has made, before anything changes. */
struct draft {
	struct job **job;
	uint32_t job_n;
	struct draft_target {
		struct job *job;
		struct place place;
	} * at;
	uint32_t n;
};

static void draft_free(struct draft *d)
{
	for (uint32_t i = 0; i < d->n; i++)
		scrape_place_fini(&d->at[i].place);
	for (uint32_t i = 0; i < d->job_n; i++)
		scrape_job_unref(d->job[i]);
	free(d->at);
	free(d->job);
}

static enum hg_rc draft_job(struct draft *d, const struct scrape_job_conf *c, struct hg_err *err)
{
	struct job *j;
	enum hg_rc rc;
	rc = scrape_job_new(c, &j, err);
	if (rc < 0) return rc;
	d->job[d->job_n++] = j;
	for (uint32_t i = 0; i < c->target_n && rc >= 0; i++) {
		rc = scrape_place_make(j, &c->targets[i], &d->at[d->n].place, err);
		if (rc < 0) break;
		d->at[d->n++].job = j;
	}
	return rc;
}

static enum hg_rc draft_make(
        struct draft *d, const struct scrape_job_conf *jobs, uint32_t n, struct hg_err *err)
{
	uint64_t targets = 0;
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < n; i++)
		targets += jobs[i].target_n;
	if (targets > SCRAPE_TARGETS_MAX)
		return hg_err_set(err, HG_E_TOO_LARGE, "there are more than %u targets to scrape",
		        SCRAPE_TARGETS_MAX);
	d->job = calloc(n + 1, sizeof(void *));
	d->at = calloc((size_t)targets + 1, sizeof *d->at);
	if (!d->job || !d->at)
		return hg_err_set(err, HG_E_NOMEM, "no memory for the targets to scrape");
	for (uint32_t i = 0; i < n && rc >= 0; i++)
		rc = draft_job(d, &jobs[i], err);
	return rc;
}

enum hg_rc scrape_apply(
        struct scrape *s, const struct scrape_job_conf *jobs, uint32_t n, struct hg_err *err)
{
	struct draft d = {0};
	struct matching m = {.last = &s->targets};
	enum hg_rc rc = draft_make(&d, jobs, n, err);
	if (rc < 0) goto out;
	HG_LIST_EACH (at, &s->targets) {
		struct target *t = HG_CONTAINER(at, struct target, node);
		t->kept = false;
		m.left += t->state == TARGET_WANTED;
	}
	for (uint32_t i = 0; i < d.n; i++) {
		struct target *t = target_like(s, &m, d.at[i].job, &d.at[i].place);
		if (!t) t = target_new(s, d.at[i].job, &d.at[i].place);
		if (!t) {
			rc = hg_err_set(err, HG_E_NOMEM, "no memory for a target to scrape");
			continue;
		}
		t->kept = true;
		if (!t->place.dropped && !busy(t) && !loop_timer_active(&t->timer)) wait_for(t);
	}
	HG_LIST_EACH_SAFE (at, after, &s->targets) {
		struct target *t = HG_CONTAINER(at, struct target, node);
		if (!t->kept && t->state == TARGET_WANTED) target_leave(t);
	}
out:
	draft_free(&d);
	return rc;
}

/* ---- the whole ---- */

enum hg_rc scrape_new(
        const struct scrape_options *o, struct scrape **ret_scrape, struct hg_err *err)
{
	struct scrape *s = calloc(1, sizeof *s);
	char *chunk = malloc(2 * SCRAPE_CHUNK);
	if (!s || !chunk) {
		free(s);
		free(chunk);
		return hg_err_set(err, HG_E_NOMEM, "no memory for the scraper");
	}
	s->o = *o;
	s->chunk = chunk;
	/* Without randomness an application could slow down its own scrapes, no more. */
	if (getrandom(s->key, sizeof s->key, GRND_NONBLOCK) < 0) s->key[0] = 1;
	hg_list_init(&s->targets);
	hg_list_init(&s->waiting);
	s->meta.key = s->key;
	s->intake = (struct intake){
	        .db = o->db, .stats = &s->stats, .meta = &s->meta, .exemplars = &s->exemplars};
	hg_arena_init(&s->intake.texts, "labels of a sample", 4u << 20);
	labels_builder_init(&s->intake.builder);
	*ret_scrape = s;
	return HG_OK;
}

void scrape_free(struct scrape *s)
{
	if (!s) return;
	HG_LIST_EACH_SAFE (at, after, &s->targets) {
		target_free(HG_CONTAINER(at, struct target, node));
	}
	loop_timer_stop(s->o.loop, &s->commit);
	loop_timer_stop(s->o.loop, &s->taking);
	scrape_intake_fini(&s->intake);
	scrape_meta_fini(&s->meta);
	scrape_exemplars_fini(&s->exemplars);
	free(s->chunk);
	free(s);
}

bool scrape_status_next(const struct scrape *s, size_t *at, struct scrape_status *ret_status)
{
	/* *at is where it goes on: a walk from the start for each would be seconds for ten
	 * thousand. */
	const struct hg_list *node = *at ? (const struct hg_list *)*at : s->targets.next;
	for (; node != &s->targets; node = node->next) {
		const struct target *t = HG_CONTAINER(node, struct target, node);
		if (t->state != TARGET_WANTED) continue;
		*at = (size_t)(uintptr_t)node->next;
		*ret_status = (struct scrape_status){.job = t->job->c.name,
		        .url = hg_str(t->place.url),
		        .labels = t->place.labels,
		        .discovered = t->place.discovered,
		        .dropped = t->place.dropped,
		        .health = t->health,
		        .why = t->why,
		        .last_ms = t->last_ms,
		        .duration_s = t->duration_s,
		        .interval_ms = t->job->c.interval_ms,
		        .timeout_ms = t->job->c.timeout_ms,
		        .samples = t->samples,
		        .series = t->series.used,
		        .meta = &t->meta};
		return true;
	}
	return false;
}

void scrape_stats(const struct scrape *s, struct scrape_stats *ret_stats)
{
	*ret_stats = s->stats;
	ret_stats->targets = 0;
	HG_LIST_EACH (node, &s->targets) {
		const struct target *t = HG_CONTAINER(node, struct target, node);
		ret_stats->targets += t->state == TARGET_WANTED && !t->place.dropped;
	}
}
