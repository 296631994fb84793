/*
 * Runs tests of rules as promtool does: at each step of `evaluation_interval` the samples up to it
 * are there, all groups are evaluated, whatever their interval, and then the alerts that fire are
 * compared with those expected; expressions are asked when all steps are done.
 */
#include "test_priv.h"

#include "os/file.h"

#include <glob.h>
#include <math.h>
#include <stdlib.h>

#define RULE_FILES_MAX 1000u
#define STEPS_MAX      10000000

struct run {
	struct rt_file *f;
	struct rt_test *t;
	struct rules_file **files;
	uint32_t file_n;
	struct rules_live_group *groups;
	struct rules_live_group **order;
	uint32_t group_n;
	struct tsdb *db;
	struct hg_buf *to;
	bool failed;
};

/* The first failure of a file comes behind "FAILED:". */
static void say(struct run *r)
{
	if (!r->failed) hg_buf_cstr(r->to, "  FAILED:\n");
	r->failed = true;
}

static void say_name(struct run *r)
{
	say(r);
	if (r->t->name.n) hg_buf_fmt(r->to, "    name: %.*s,\n", HG_STR_ARG(r->t->name));
}

/* ---- comparing ---- */

static bool same_number(const struct rt_file *f, double a, double b)
{
	if (a == b) return true;
	return f->fuzzy && (nextafter(a, -INFINITY) == b || nextafter(a, INFINITY) == b);
}

static int by_labels(const void *a, const void *b)
{
	const struct rt_alert *x = a, *y = b;
	int c = labels_compare(x->labels, y->labels);
	return c ? c : labels_compare(x->annotations, y->annotations);
}

static void alerts_print(struct hg_buf *to, const struct rt_alert *a, uint32_t n)
{
	if (!n) hg_buf_cstr(to, "[]");
	for (uint32_t i = 0; i < n; i++) {
		hg_buf_fmt(to, "%s\n            %u:\n              Labels:", i ? "," : "[", i);
		labels_print(to, a[i].labels);
		hg_buf_cstr(to, "\n              Annotations:");
		labels_print(to, a[i].annotations);
	}
	if (n) hg_buf_cstr(to, "\n            ]");
}

/* The alerts of that name that fire, of all groups; the caller frees them. */
static struct rt_alert *firing(const struct run *r, struct hg_str name, uint32_t *ret_n)
{
	uint32_t n = 0, cap = 0;
	struct rt_alert *at = NULL;
	for (uint32_t i = 0; i < r->group_n; i++) {
		for (uint32_t k = 0; k < r->groups[i].n; k++) {
			const struct rules_live *l = &r->groups[i].rules[k];
			if (!l->rule->alerting || !hg_str_eq(l->rule->name, name)) continue;
			for (uint32_t q = 0; q < l->alerts.n; q++) {
				if (l->alerts.at[q].state != RULES_FIRING) continue;
				if (n == cap) {
					cap = cap * 2 + 8;
					struct rt_alert *more = realloc(at, cap * sizeof *more);
					if (!more) goto out; /* fewer are not the same */
					at = more;
				}
				at[n++] = (struct rt_alert){
				        l->alerts.at[q].labels, l->alerts.at[q].annotations};
			}
		}
	}
out:
	*ret_n = n;
	return at;
}

static void alerts_judge(struct run *r, struct rt_alert_test *a)
{
	uint32_t n = 0;
	struct rt_alert *got = firing(r, a->name, &n);
	bool same = n == a->n;
	if (got) qsort(got, n, sizeof *got, by_labels);
	if (a->n) qsort(a->alerts, a->n, sizeof *a->alerts, by_labels);
	for (uint32_t i = 0; same && got && i < n; i++)
		same = by_labels(&got[i], &a->alerts[i]) == 0;
	if (!same) {
		say_name(r);
		hg_buf_fmt(r->to, "    alertname: %.*s, time: ", HG_STR_ARG(a->name));
		promql_print_duration(r->to, a->at_ms);
		hg_buf_cstr(r->to, ", \n        exp:");
		alerts_print(r->to, a->alerts, a->n);
		hg_buf_cstr(r->to, ", \n        got:");
		alerts_print(r->to, got, n);
		hg_buf_cstr(r->to, "\n\n");
	}
	free(got);
}

static void expr_head(struct run *r, const struct rt_expr_test *e)
{
	say_name(r);
	hg_buf_cstr(r->to, "    expr: ");
	label_text_quote(r->to, e->expr);
	hg_buf_cstr(r->to, ", time: ");
	promql_print_duration(r->to, e->at_ms);
	hg_buf_cstr(r->to, ",");
}

static void samples_print(struct hg_buf *to, const struct rt_sample *s, uint32_t n)
{
	if (!n) hg_buf_cstr(to, "nil");
	for (uint32_t i = 0; i < n; i++) {
		if (i) hg_buf_cstr(to, ", ");
		labels_print(to, s[i].labels);
		hg_buf_byte(to, ' ');
		promql_print_number(to, s[i].v);
	}
}

static int by_sample(const void *a, const void *b)
{
	const struct rt_sample *x = a, *y = b;
	return labels_compare(x->labels, y->labels);
}

static void samples_judge(struct run *r, struct rt_expr_test *e, const struct promql_result *res)
{
	uint32_t n = res->type == PROMQL_SCALAR ? 1 : (uint32_t)res->n;
	struct rt_sample *got = calloc(n + 1ul, sizeof *got);
	if (!got) return;
	for (uint32_t i = 0; i < n; i++)
		got[i] = res->type == PROMQL_SCALAR
		                 ? (struct rt_sample){.v = res->scalar}
		                 : (struct rt_sample){.labels = res->series[i].labels,
		                           .v = res->series[i].v[0]};
	bool same = n == e->n;
	if (n) qsort(got, n, sizeof *got, by_sample);
	if (e->n) qsort(e->samples, e->n, sizeof *e->samples, by_sample);
	for (uint32_t i = 0; same && i < n; i++)
		same = by_sample(&got[i], &e->samples[i]) == 0 &&
		       same_number(r->f, e->samples[i].v, got[i].v);
	if (!same) {
		expr_head(r, e);
		hg_buf_cstr(r->to, "\n        exp: ");
		samples_print(r->to, e->samples, e->n);
		hg_buf_cstr(r->to, "\n        got: ");
		samples_print(r->to, got, n);
		hg_buf_cstr(r->to, "\n\n");
	}
	free(got);
}

static void expr_judge(struct run *r, struct rt_expr_test *e)
{
	struct hg_err err = {0};
	struct promql_query *q = NULL;
	const struct promql_result *res = NULL;
	int64_t at = r->t->start_ms + e->at_ms;
	struct promql_options o = {.start_ms = at, .end_ms = at};
	enum hg_rc rc = promql_parse(e->expr, &q, &err);
	if (rc == HG_OK) rc = promql_run(r->db, q, &o, &res, &err);
	if (rc == HG_OK && res && res->type != PROMQL_VECTOR && res->type != PROMQL_SCALAR)
		rc = hg_err_set(&err, HG_E_QUERY_FAILED, "rule result is not a vector or scalar");
	for (uint32_t i = 0; rc == HG_OK && i < e->n; i++)
		if (e->samples[i].bad)
			rc = hg_err_set(&err, HG_E_QUERY_SYNTAX, "labels \"%.*s\" are no series",
			        (int)HG_MIN(e->samples[i].text.n, 100), e->samples[i].text.p);
	if (rc < 0) {
		expr_head(r, e);
		hg_buf_fmt(r->to, " err: %s\n\n", err.detail[0] ? err.detail : err.message);
	} else if (res) {
		samples_judge(r, e, res);
	}
	promql_result_free(res);
	promql_free(q);
}

/* ---- a test ---- */

static bool load_till(struct run *r, int64_t now)
{
	struct hg_err err = {0};
	for (uint32_t i = 0; i < r->t->series_n; i++) {
		struct rt_series *s = &r->t->series[i];
		for (; s->next < s->n; s->next++) {
			int64_t t = r->t->start_ms + s->next * r->t->interval_ms;
			if (t > now) break;
			if (!s->items[s->next].there) continue;
			enum hg_rc rc =
			        s->ref ? HG_OK : tsdb_series(r->db, s->labels, &s->ref, &err);
			if (rc == HG_OK) rc = tsdb_append(r->db, s->ref, t, s->items[s->next].v);
			if (rc == HG_E_NOT_FOUND) { /* it was silent for long */
				rc = tsdb_series(r->db, s->labels, &s->ref, &err);
				if (rc == HG_OK)
					rc = tsdb_append(r->db, s->ref, t, s->items[s->next].v);
			}
			if (rc == HG_OK || rc == HG_E_TSDB_DUPLICATE) continue;
			say_name(r);
			hg_buf_fmt(r->to, "    the series could not be loaded: %s\n\n",
			        hg_rc_info(rc)->summary);
			return false;
		}
	}
	return true;
}

static bool evaluate(struct run *r, int64_t now, uint64_t *change)
{
	const struct rules_world w = {.db = r->db, .external = r->t->external, .url = r->t->url};
	bool good = true;
	for (uint32_t i = 0; i < r->group_n; i++)
		rules_group_run(r->db, r->order[i], &w, now, change);
	for (uint32_t i = 0; i < r->group_n; i++) {
		for (uint32_t k = 0; k < r->order[i]->n; k++) {
			const struct rules_live *l = &r->order[i]->rules[k];
			if (!l->error[0]) continue;
			say(r);
			hg_buf_fmt(r->to, "    rule: %.*s, time: ", HG_STR_ARG(l->rule->name));
			promql_print_duration(r->to, now - r->t->start_ms);
			hg_buf_fmt(r->to, ", err: %s\n\n", l->error);
			good = false;
		}
	}
	return good;
}

static int64_t end_of(const struct rt_test *t)
{
	int64_t end = 0;
	for (uint32_t i = 0; i < t->alert_n; i++)
		end = HG_MAX(end, t->alerts[i].at_ms);
	for (uint32_t i = 0; i < t->expr_n; i++)
		end = HG_MAX(end, t->exprs[i].at_ms);
	return end;
}

static void steps(struct run *r)
{
	struct rt_test *t = r->t;
	int64_t end = end_of(t), every = r->f->every_ms;
	uint64_t change = 0;
	if (end / every > STEPS_MAX) {
		say_name(r);
		hg_buf_fmt(r->to, "    the test has more than %d steps\n\n", STEPS_MAX);
		return;
	}
	for (int64_t ts = 0; ts <= end; ts += every) {
		if (!load_till(r, t->start_ms + ts) || !evaluate(r, t->start_ms + ts, &change))
			return;
		/* What lies between two steps is compared with the former. */
		for (uint32_t i = 0; i < t->alert_n; i++)
			if (t->alerts[i].at_ms >= ts && t->alerts[i].at_ms < ts + every)
				alerts_judge(r, &t->alerts[i]);
	}
	for (uint32_t i = 0; i < t->expr_n; i++)
		expr_judge(r, &t->exprs[i]);
}

static uint32_t order_of(const struct rt_file *f, const struct rules_live_group *g)
{
	for (uint32_t i = 0; i < f->order_n; i++)
		if (hg_str_eq(f->order[i], g->group->name)) return i;
	return 0;
}

static bool groups_make(struct run *r)
{
	if (rules_live_groups(r->files, r->file_n, r->t->interval_ms, &r->groups, &r->group_n) < 0)
		return false;
	r->order = calloc(r->group_n + 1ul, sizeof(*r->order));
	for (uint32_t i = 0; r->order && i < r->group_n; i++) {
		uint32_t k = i;
		for (; k && order_of(r->f, r->order[k - 1]) > order_of(r->f, &r->groups[i]); k--)
			r->order[k] = r->order[k - 1];
		r->order[k] = &r->groups[i];
		/* As there: an offset of the query is kept, the interval of a group is not. */
		for (uint32_t q = 0; q < r->groups[i].n; q++)
			r->groups[i].rules[q].restored = true;
	}
	return r->order != NULL;
}

static void test_run(struct run *r)
{
	struct tsdb_options o = {.out_of_order_ms = (int64_t)1 << 50, .memory_bytes = RT_BYTES};
	struct hg_err err = {0};
	if (tsdb_open(&o, &r->db, &err) == HG_OK && groups_make(r)) {
		steps(r);
	} else {
		say_name(r);
		hg_buf_cstr(r->to, "    memory is exhausted\n\n");
	}
	rules_live_groups_free(r->groups, r->group_n);
	free(r->order);
	tsdb_close(r->db);
	r->groups = NULL;
	r->order = NULL;
	r->group_n = 0;
	r->db = NULL;
}

/* ---- files ---- */

static bool rule_file_add(struct run *r, const char *path)
{
	struct spec_report *report = calloc(1, sizeof *report);
	struct hg_buf text;
	struct hg_err err = {0};
	hg_buf_init(&text, RULES_FILE_MAX);
	enum hg_rc rc = report ? file_read(path, RULES_FILE_MAX, &text, &err) : HG_E_NOMEM;
	if (rc < 0) {
		say(r);
		hg_buf_fmt(r->to, "    %s: %s\n\n", path, err.message);
	} else if (r->file_n < RULE_FILES_MAX) {
		spec_report_init(report, hg_str(path), hg_buf_view(&text));
		rc = rules_file_read(
		        hg_buf_view(&text), hg_str(path), report, &r->files[r->file_n]);
		if (rc == HG_OK) {
			r->file_n++;
		} else {
			say(r);
			spec_report_print(report, r->to);
			hg_buf_byte(r->to, '\n');
		}
	}
	hg_buf_free(&text);
	free(report);
	return rc == HG_OK;
}

static bool rule_files_read(struct run *r, const char *path)
{
	struct hg_str folder = hg_str(path);
	while (folder.n && folder.p[folder.n - 1] != '/')
		folder.n--;
	r->files = calloc(RULE_FILES_MAX, sizeof(*r->files));
	bool good = r->files != NULL;
	for (uint32_t i = 0; good && i < r->f->rule_file_n; i++) {
		struct hg_str name = r->f->rule_files[i];
		struct hg_buf full;
		glob_t found = {0};
		hg_buf_init(&full, 8192);
		if (!hg_str_starts(name, HG_STR("/"))) hg_buf_str(&full, folder);
		hg_buf_str(&full, name);
		int rc = glob(hg_buf_text(&full), GLOB_NOMAGIC, NULL, &found);
		for (size_t k = 0; rc == 0 && good && k < found.gl_pathc; k++)
			good = rule_file_add(r, found.gl_pathv[k]);
		if (rc == 0) globfree(&found);
		/* As there: a pattern that finds nothing is only told. */
		if (rc != 0)
			hg_buf_fmt(
			        r->to, "  WARNING: no file match pattern %.*s\n", HG_STR_ARG(name));
		hg_buf_free(&full);
	}
	return good;
}

bool rules_test_file(const char *path, struct hg_buf *to)
{
	struct rt_file f = {0};
	struct run r = {.f = &f, .to = to};
	struct spec_report *report = calloc(1, sizeof *report);
	struct hg_buf text;
	struct hg_err err = {0};
	hg_buf_fmt(to, "Unit Testing:  %s\n", path);
	hg_buf_init(&text, RULES_FILE_MAX);
	if (!report || file_read(path, RULES_FILE_MAX, &text, &err) < 0) {
		say(&r);
		hg_buf_fmt(to, "    %s\n\n", report ? err.message : "memory is exhausted");
	} else {
		spec_report_init(report, hg_str(path), hg_buf_view(&text));
		if (rt_file_read(hg_buf_view(&text), report, &f) < 0) {
			say(&r);
			spec_report_print(report, to);
			hg_buf_byte(to, '\n');
		} else if (rule_files_read(&r, path)) {
			for (uint32_t i = 0; i < f.test_n; i++) {
				r.t = &f.tests[i];
				test_run(&r);
			}
		}
		rt_file_free(&f);
	}
	for (uint32_t i = 0; i < r.file_n; i++)
		rules_file_free(r.files[i]);
	free(r.files);
	hg_buf_free(&text);
	free(report);
	if (!r.failed) hg_buf_cstr(to, "  SUCCESS\n\n");
	return !r.failed;
}

/* ---- a play ---- */

static void changes(struct run *r, int64_t at, uint64_t before, rules_play_fn fn, void *arg)
{
	for (uint32_t i = 0; i < r->group_n; i++)
		for (uint32_t k = 0; k < r->groups[i].n; k++) {
			const struct rules_alerts *s = &r->groups[i].rules[k].alerts;
			for (uint32_t q = 0; q < s->n; q++)
				if (s->at[q].changed > before)
					fn(arg, at, &s->at[q], s->at[q].state == RULES_INACTIVE);
		}
}

static int64_t samples_end(const struct rt_test *t)
{
	int64_t end = 0;
	for (uint32_t i = 0; i < t->series_n; i++)
		if (t->series[i].n)
			end = HG_MAX(end, (int64_t)(t->series[i].n - 1) * t->interval_ms);
	return end;
}

static enum hg_rc play(struct run *r, rules_play_fn fn, void *arg, struct hg_err *err)
{
	struct tsdb_options o = {.out_of_order_ms = (int64_t)1 << 50, .memory_bytes = RT_BYTES};
	int64_t end = samples_end(r->t), every = r->f->every_ms;
	uint64_t change = 0;
	enum hg_rc rc = tsdb_open(&o, &r->db, err);
	if (rc == HG_OK && !groups_make(r)) rc = hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	if (rc == HG_OK && end / every > STEPS_MAX)
		rc = hg_err_set(
		        err, HG_E_RULES_FILE, "the series have more than %d steps", STEPS_MAX);
	for (int64_t ts = 0; rc == HG_OK && ts <= end; ts += every) {
		uint64_t before = change;
		int64_t now = r->t->start_ms + ts;
		if (!load_till(r, now) || !evaluate(r, now, &change))
			rc = hg_err_set(err, HG_E_QUERY_FAILED, "a rule failed: %.200s",
			        hg_buf_text(r->to));
		else
			changes(r, ts, before, fn, arg);
	}
	rules_live_groups_free(r->groups, r->group_n);
	free(r->order);
	tsdb_close(r->db);
	return rc;
}

static enum hg_rc sources_read(struct run *r, const struct rules_source *files, uint32_t n,
        struct spec_report *report, struct hg_err *err)
{
	r->files = calloc(n + 1ul, sizeof(*r->files));
	if (!r->files) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	for (uint32_t i = 0; i < n; i++) {
		spec_report_init(report, files[i].name, files[i].text);
		enum hg_rc rc =
		        rules_file_read(files[i].text, files[i].name, report, &r->files[r->file_n]);
		if (rc < 0) {
			if (err) *err = report->errors[0];
			return rc;
		}
		r->file_n++;
	}
	return HG_OK;
}

enum hg_rc rules_play(const char *path, const struct rules_source *files, uint32_t n,
        rules_play_fn fn, void *arg, struct hg_err *err)
{
	struct rt_file f = {0};
	struct hg_buf text, said;
	struct run r = {.f = &f, .to = &said};
	struct spec_report *report = calloc(1, sizeof *report);
	if (!report) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	hg_buf_init(&text, RULES_FILE_MAX);
	hg_buf_init(&said, RULES_FILE_MAX);
	enum hg_rc rc = file_read(path, RULES_FILE_MAX, &text, err);
	if (rc == HG_OK) {
		spec_report_init(report, hg_str(path), hg_buf_view(&text));
		rc = rt_file_read(hg_buf_view(&text), report, &f);
		if (rc < 0 && err) *err = report->errors[0];
		if (rc == HG_OK && !f.test_n)
			rc = hg_err_set(err, HG_E_RULES_FILE, "%.200s has no test", path);
		r.t = f.tests;
		if (rc == HG_OK) rc = sources_read(&r, files, n, report, err);
		if (rc == HG_OK) rc = play(&r, fn, arg, err);
		rt_file_free(&f);
	}
	for (uint32_t i = 0; i < r.file_n; i++)
		rules_file_free(r.files[i]);
	free(r.files);
	hg_buf_free(&text);
	hg_buf_free(&said);
	free(report);
	return rc;
}
