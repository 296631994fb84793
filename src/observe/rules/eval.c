/* A rule's expression and templates, evaluated once. Knows nothing of state, schedule or loop. */
#include "rules_priv.h"

#include <stdlib.h>

#define OUTCOME_BYTES  ((size_t)128 << 20)
#define TEMPLATE_BYTES ((size_t)16 << 20)
#define TEXT_BYTES     65536u /* of one label or annotation */

#define NAME_FOR_STATE HG_STR("ALERTS_FOR_STATE")
#define NAME_ALERTS    HG_STR("ALERTS")

struct expanding {
	const struct rules_rule *rule;
	const struct rules_world *w;
	struct rules_outcome *out;
	struct hg_buf text, name;
};

static void failed(struct rules_outcome *out, enum hg_rc rc, const char *what)
{
	if (out->rc == HG_OK) out->rc = hg_err_set(&out->err, rc, "%s", what);
}

static void lock(const struct rules_world *w)
{
	if (w->lock) w->lock(w->lock_arg);
}

static void unlock(const struct rules_world *w)
{
	if (w->unlock) w->unlock(w->lock_arg);
}

static enum hg_rc ask(const struct rules_world *w, struct promql_query *q, int64_t at_ms,
        const struct promql_result **ret, struct hg_err *err)
{
	struct promql_options o = {.start_ms = at_ms,
	        .end_ms = at_ms,
	        .deadline_ms = w->deadline_ms,
	        .cancel = w->cancel,
	        .lock = w->lock,
	        .unlock = w->unlock,
	        .arg = w->lock_arg};
	return promql_run(w->db, q, &o, ret, err);
}

/* ---- what templates see ---- */

/* Labels are sorted by name, as a map's members must be. */
static struct gt_value texts(struct hg_arena *mem, struct labels ls)
{
	struct gt_member *m = hg_arena_array(mem, ls.n + 1ul, sizeof *m);
	for (uint32_t i = 0; m && i < ls.n; i++)
		m[i] = (struct gt_member){ls.at[i].name, gt_str(ls.at[i].value)};
	return gt_map(m, m ? ls.n : 0, GT_TEXTS);
}

static struct gt_value sample_value(struct hg_arena *mem, struct labels ls, double v)
{
	struct gt_member *m = hg_arena_array(mem, 2, sizeof *m);
	if (!m) return (struct gt_value){0};
	struct labels own;
	if (labels_copy(mem, ls, &own) < 0) own = (struct labels){0};
	m[0] = (struct gt_member){HG_STR("Labels"), texts(mem, own)};
	m[1] = (struct gt_member){HG_STR("Value"), gt_float(v)};
	return gt_map(m, 2, GT_OBJECT);
}

static enum hg_rc template_query(void *arg, struct hg_str expr, struct hg_arena *mem,
        struct gt_value *ret, struct hg_err *err)
{
	const struct expanding *x = arg;
	const struct promql_result *r = NULL;
	struct promql_query *q = NULL;
	enum hg_rc rc = promql_parse(expr, &q, err);
	if (rc == HG_OK) rc = ask(x->w, q, x->w->now_ms, &r, err);
	if (rc == HG_OK && r->type != PROMQL_VECTOR && r->type != PROMQL_SCALAR)
		rc = hg_err_set(err, HG_E_QUERY_FAILED, "query result is not a vector or scalar");
	if (rc == HG_OK) {
		size_t n = r->type == PROMQL_SCALAR ? 1 : r->n;
		struct gt_value *at = hg_arena_array(mem, n + 1, sizeof *at);
		for (size_t i = 0; at && i < n; i++)
			at[i] = r->type == PROMQL_SCALAR
			                ? sample_value(mem, (struct labels){0}, r->scalar)
			                : sample_value(mem, r->series[i].labels, r->series[i].v[0]);
		*ret = gt_list(at, at ? (uint32_t)n : 0, GT_PLAIN);
		if (!at) rc = hg_err_set(err, HG_E_TOO_LARGE, "the result is too large");
	}
	promql_result_free(r);
	promql_free(q);
	return rc;
}

/* The path of a URL, as templates have it in front of their links. */
static struct hg_str path_of(struct hg_str url)
{
	size_t at = 0;
	if (!url.n) return url;
	for (size_t i = 0; i + 2 < url.n; i++)
		if (url.p[i] == ':' && url.p[i + 1] == '/' && url.p[i + 2] == '/') at = i + 3;
	struct hg_str rest = {url.p + at, url.n - at};
	size_t slash = hg_str_find(rest, '/');
	return (struct hg_str){rest.p + slash, rest.n - slash};
}

static struct hg_str expanded(
        struct expanding *x, bool annotation, const struct label *l, struct labels of, double value)
{
	struct hg_arena mem;
	struct hg_err err = {0};
	const struct rules_world *w = x->w;
	if (!x->rule->templates) return l->value;
	hg_arena_init(&mem, "rule template", TEMPLATE_BYTES);
	hg_buf_reset(&x->text);
	rules_template_name(&x->name, annotation, l->name);
	struct gt_value labels = texts(&mem, of), external = texts(&mem, w->external);
	struct gt_member dot[] = {{HG_STR("ExternalLabels"), external},
	        {HG_STR("ExternalURL"), gt_str(w->url)}, {HG_STR("Labels"), labels},
	        {HG_STR("Value"), gt_float(value)}};
	struct gt_value top = gt_map(dot, HG_COUNT(dot), GT_OBJECT);
	const struct gt_value values[] = {labels, external, gt_str(w->url), gt_float(value)};
	struct gotemplate_env env = {.now_ms = w->now_ms > 0 ? (uint64_t)w->now_ms : 0,
	        .external_url = w->url,
	        .path_prefix = path_of(w->url),
	        .query = template_query,
	        .arg = x};
	enum hg_rc rc = gotemplate_run(x->rule->templates, hg_buf_view(&x->name), &top, values,
	        &env, &mem, &x->text, &err);
	hg_arena_fini(&mem);
	if (rc < 0) {
		x->out->template_errors++;
		hg_buf_reset(&x->text);
		hg_buf_fmt(&x->text, "<error expanding template: %s>", err.message);
	}
	struct hg_str own = hg_arena_str(&x->out->mem, hg_buf_view(&x->text));
	if (!own.p) failed(x->out, HG_E_RULES_LIMIT, "the alerts' texts are too large");
	return own.p ? own : (struct hg_str){"", 0};
}

/* ---- samples ---- */

static void alert_sample(struct expanding *x, struct labels of, double v, struct rules_sample *to)
{
	struct labels_builder b;
	struct hg_arena *mem = &x->out->mem;
	const struct rules_rule *r = x->rule;
	labels_builder_init(&b);
	labels_builder_from(&b, of);
	labels_builder_drop(&b, LABEL_METRIC);
	for (uint32_t i = 0; i < r->labels.n; i++)
		labels_builder_set(
		        &b, r->labels.at[i].name, expanded(x, false, &r->labels.at[i], of, v));
	labels_builder_set(&b, HG_STR("alertname"), r->name);
	struct labels ls = {0};
	enum hg_rc rc = labels_builder_done(&b, &ls);
	if (rc == HG_OK) rc = labels_copy(mem, ls, &to->labels);
	labels_builder_fini(&b);
	struct label *notes = hg_arena_array(mem, r->annotations.n + 1ul, sizeof *notes);
	if (rc < 0 || !notes) {
		failed(x->out, HG_E_RULES_LIMIT, "the alerts take more memory than they may");
		return;
	}
	for (uint32_t i = 0; i < r->annotations.n; i++)
		notes[i] = (struct label){
		        r->annotations.at[i].name, expanded(x, true, &r->annotations.at[i], of, v)};
	to->annotations = (struct labels){notes, r->annotations.n};
	to->value = v;
}

static void record_sample(struct expanding *x, struct labels of, double v, struct rules_sample *to)
{
	struct labels_builder b;
	const struct rules_rule *r = x->rule;
	struct labels ls = {0};
	labels_builder_init(&b);
	labels_builder_from(&b, of);
	labels_builder_set(&b, LABEL_METRIC, r->name);
	for (uint32_t i = 0; i < r->labels.n; i++)
		labels_builder_set(&b, r->labels.at[i].name, r->labels.at[i].value);
	enum hg_rc rc = labels_builder_done(&b, &ls);
	if (rc == HG_OK) rc = labels_copy(&x->out->mem, ls, &to->labels);
	labels_builder_fini(&b);
	if (rc < 0) failed(x->out, HG_E_RULES_LIMIT, "the series take more memory than they may");
	to->value = v;
}

static void samples_make(struct expanding *x, const struct promql_result *r)
{
	struct rules_outcome *out = x->out;
	size_t n = r->type == PROMQL_SCALAR ? 1 : r->n;
	if (x->rule->alerting && n > RULES_ALERTS_MAX) {
		out->rc = hg_err_set(&out->err, HG_E_RULES_LIMIT,
		        "the rule gives %zu alerts; the limit is %u", n, RULES_ALERTS_MAX);
		return;
	}
	out->samples = hg_arena_array(&out->mem, n + 1, sizeof *out->samples);
	if (!out->samples) {
		failed(out, HG_E_RULES_LIMIT, "the result is too large");
		return;
	}
	for (size_t i = 0; i < n && out->rc == HG_OK; i++) {
		struct labels ls =
		        r->type == PROMQL_SCALAR ? (struct labels){0} : r->series[i].labels;
		double v = r->type == PROMQL_SCALAR ? r->scalar : r->series[i].v[0];
		if (x->rule->alerting)
			alert_sample(x, ls, v, &out->samples[i]);
		else
			record_sample(x, ls, v, &out->samples[i]);
		out->n++;
	}
}

/* ---- what the store knows from before ---- */

/* The labels without the metric's name (and alertstate), in the builder. */
static struct labels bare(struct labels_builder *b, struct labels ls)
{
	struct labels out = {0};
	labels_builder_reset(b);
	labels_builder_from(b, ls);
	labels_builder_drop(b, LABEL_METRIC);
	labels_builder_drop(b, HG_STR("alertstate"));
	if (labels_builder_done(b, &out) < 0) out = (struct labels){0};
	return out;
}

static int by_labels(const void *a, const void *b)
{
	const struct rules_sample *x = a, *y = b;
	return labels_compare(x->labels, y->labels);
}

/* The samples are in order: a storm has ten thousand, and the store as many from before. */
static struct rules_sample *sample_find(struct rules_outcome *out, struct labels ls)
{
	const struct rules_sample key = {.labels = ls};
	return out->n ? bsearch(&key, out->samples, out->n, sizeof *out->samples, by_labels) : NULL;
}

static void before_read(struct expanding *x, const struct label_matcher *m, uint32_t n, bool state)
{
	const struct rules_world *w = x->w;
	struct tsdb_selection *sel = NULL;
	struct tsdb_samples s = {0};
	struct labels_builder b;
	int64_t from = w->now_ms - RULES_OUTAGE_MAX_MS, to = w->started_ms - 1;
	struct hg_err err = {0};
	if (tsdb_select(w->db, m, n, from, to, &sel, &err) < 0) return;
	labels_builder_init(&b);
	for (uint32_t i = 0; i < tsdb_selection_count(sel); i++) {
		struct rules_sample *of =
		        sample_find(x->out, bare(&b, tsdb_selection_labels(sel, i)));
		if (!of || tsdb_selection_read(sel, i, from, to, &s) < 0 || !s.n) continue;
		double v = s.v[s.n - 1];
		if (tsdb_is_stale(v)) continue;
		if (state) {
			of->before.known = true;
			of->before.active_ms = (int64_t)(v * 1000);
			of->before.last_ms = s.t[s.n - 1];
		} else if (of->before.known && s.t[s.n - 1] == of->before.last_ms) {
			of->before.firing = true;
		}
	}
	labels_builder_fini(&b);
	tsdb_samples_free(&s);
	tsdb_selection_free(sel);
}

static void restore(struct expanding *x)
{
	const struct label_matcher m[] = {
	        {.op = LABEL_EQ, .name = LABEL_METRIC, .value = NAME_FOR_STATE},
	        {.op = LABEL_EQ, .name = HG_STR("alertname"), .value = x->rule->name}};
	const struct label_matcher fires[] = {
	        {.op = LABEL_EQ, .name = LABEL_METRIC, .value = NAME_ALERTS},
	        {.op = LABEL_EQ, .name = HG_STR("alertname"), .value = x->rule->name},
	        {.op = LABEL_EQ, .name = HG_STR("alertstate"), .value = HG_STR("firing")}};
	if (x->out->n) qsort(x->out->samples, x->out->n, sizeof *x->out->samples, by_labels);
	lock(x->w);
	before_read(x, m, HG_COUNT(m), true);
	before_read(x, fires, HG_COUNT(fires), false);
	unlock(x->w);
}

void rules_evaluate(
        const struct rules_rule *rule, const struct rules_world *w, struct rules_outcome *out)
{
	struct expanding x = {.rule = rule, .w = w, .out = out};
	const struct promql_result *r = NULL;
	*out = (struct rules_outcome){0};
	hg_arena_init(&out->mem, "rule outcome", OUTCOME_BYTES);
	hg_buf_init(&x.text, TEXT_BYTES);
	hg_buf_init(&x.name, TEXT_BYTES);
	out->rc = ask(w, rule->query, w->now_ms - w->offset_ms, &r, &out->err);
	if (out->rc == HG_OK) samples_make(&x, r);
	if (out->rc == HG_OK && w->restoring && rule->alerting && out->n) restore(&x);
	promql_result_free(r);
	hg_buf_free(&x.text);
	hg_buf_free(&x.name);
}

void rules_outcome_free(struct rules_outcome *out)
{
	hg_arena_fini(&out->mem);
}
