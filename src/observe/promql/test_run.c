/* Runs a test file: a store in memory, each eval as it is written, pinned with @, and as a range.
 */
#include "test_priv.h"

#include <stdlib.h>

#define BASE_ARENA_MAX ((size_t)512 << 20)
#define SECOND         ((int64_t)1000)
#define MINUTE         (60 * SECOND)

/* Series that cannot be stored: what selects them is skipped. */
struct unknown {
	struct labels ls;
	int64_t from, to, step; /* native histograms: there may be one at each step */
	const char *why;
	struct unknown *next;
};

struct run {
	struct hg_arena arena; /* until the next clear */
	struct tsdb *db;
	struct unknown *unknown;
	const char *skip; /* set by watch */
	uint64_t samples;
	const char *name;
	struct hg_buf *to;
	struct promql_test_counts *counts;
	struct pt_eval *e;
};

static bool watch(void *arg, const struct label_matcher *m, uint32_t n, int64_t from, int64_t to)
{
	struct run *r = arg;
	for (const struct unknown *u = r->unknown; u; u = u->next) {
		if (u->to < from || u->from > to || !label_matchers_match(m, n, u->ls)) continue;
		r->skip = u->why;
		return false;
	}
	return true;
}

static enum hg_rc clear(struct run *r, struct hg_err *err)
{
	/* A store of its own for a file: nothing is late, nothing is too far ahead. */
	struct tsdb_options o = {.out_of_order_ms = (int64_t)1 << 50};
	tsdb_close(r->db);
	r->db = NULL;
	r->unknown = NULL;
	hg_arena_fini(&r->arena);
	return tsdb_open(&o, &r->db, err);
}

/* ---- load ---- */

static bool remember(struct run *r, struct labels ls, int64_t from, int64_t to, const char *why)
{
	struct unknown *u = hg_arena_take(&r->arena, sizeof *u);
	if (!u) return false;
	*u = (struct unknown){.ls = ls, .from = from, .to = to, .why = why, .next = r->unknown};
	r->unknown = u;
	return true;
}

/* The native histogram with custom buckets that load_with_nhcb makes of classic ones. */
static bool remember_nhcb(struct run *r, struct labels ls, uint32_t n, int64_t step)
{
	struct labels_builder b;
	struct hg_str name = labels_get(ls, LABEL_METRIC);
	static const char *const end[] = {"_bucket", "_sum", "_count"};
	struct labels base;
	bool ok = true;
	for (int i = 0; i < 3 && ok; i++) {
		size_t len = strlen(end[i]);
		if (!hg_str_ends(name, hg_str(end[i])) || (!i && !labels_get(ls, HG_STR("le")).n))
			continue;
		labels_builder_init(&b);
		labels_builder_from(&b, ls);
		labels_builder_set(&b, LABEL_METRIC, (struct hg_str){name.p, name.n - len});
		labels_builder_drop(&b, HG_STR("le"));
		ok = labels_builder_done(&b, &base) == HG_OK &&
		     labels_copy(&r->arena, base, &base) == HG_OK;
		labels_builder_fini(&b);
		return ok &&
		       remember(r, base, 0, (int64_t)n * step, "a native histogram is selected");
	}
	return ok;
}

static bool store(struct run *r, const struct pt_series *s, int64_t step, const char **why)
{
	int64_t first = INT64_MAX, last = 0;
	struct hg_err err = {0};
	tsdb_ref ref = 0;
	*why = "the store took it";
	for (uint32_t k = 0; k < s->n; k++) {
		int64_t t = k * step;
		if (s->at[k].kind == PT_HISTOGRAM) {
			first = HG_MIN(first, t);
			last = t;
		}
		if (s->at[k].kind != PT_VALUE) continue;
		if (++r->samples > PT_SAMPLES_MAX) {
			*why = "fewer samples in a file";
			return false;
		}
		if (!ref && tsdb_series(r->db, s->ls, &ref, &err) < 0) return false;
		enum hg_rc rc = tsdb_append(r->db, ref, t, s->at[k].v);
		if (rc < 0 && rc != HG_E_TSDB_DUPLICATE) return false;
	}
	return first == INT64_MAX ||
	       remember(r, s->ls, first, last, "a native histogram is selected");
}

/* A block: of series written twice the last line counts. */
static bool load(
        struct run *r, struct pt_lines *l, struct hg_str s, const char **why, unsigned *ret_line)
{
	struct hg_str command = pt_word(&s), line;
	bool nhcb = hg_str_eq_nocase(command, HG_STR("load_with_nhcb")), ok = true;
	struct pt_series *all = NULL;
	uint32_t n = 0, cap = 0;
	int64_t step = 0;
	*ret_line = l->line;
	*why = "a step behind load";
	if (!promql_duration(pt_word(&s), &step) || step <= 0 || step >= (int64_t)1 << 40)
		ok = false;
	while (pt_line(l, &line) && line.n) {
		if (!ok) continue;
		*ret_line = l->line;
		if (n == cap) {
			struct pt_series *more =
			        hg_arena_array(&r->arena, cap * 2ul + 16, sizeof *more);
			*why = "a smaller file";
			if (!(ok = more != NULL)) continue;
			if (cap) memcpy(more, all, cap * sizeof *more);
			all = more;
			cap = cap * 2 + 16;
		}
		ok = pt_series_read(&r->arena, line, &all[n], why);
		if (!ok) continue;
		if (all[n].start_times) {
			ok = remember(r, all[n].ls, INT64_MIN, INT64_MAX,
			        "start timestamps are not built");
			continue;
		}
		uint32_t same = 0;
		while (same < n && !labels_equal(all[same].ls, all[n].ls))
			same++;
		all[same] = all[n];
		n += same == n;
	}
	for (uint32_t k = 0; ok && k < n; k++) {
		ok = store(r, &all[k], step, why);
		if (ok && nhcb) ok = remember_nhcb(r, all[k].ls, all[k].n, step);
	}
	return ok;
}

/* ---- eval ---- */

enum outcome { GOOD, BAD, SKIP };

static enum outcome once(struct run *r, struct promql_query *q, int64_t from, int64_t to,
        int64_t step, bool middle, int64_t at, bool notes, struct hg_buf *why)
{
	const struct pt_eval *e = r->e;
	struct promql_options o = {.start_ms = from,
	        .end_ms = to,
	        .step_ms = step,
	        .delayed_names = true,
	        .watch = watch,
	        .arg = r};
	const struct promql_result *result;
	struct hg_err err = {0};
	bool fails = pt_expects(e, PT_FAIL), ok;
	r->skip = NULL;
	enum hg_rc rc = promql_run(r->db, q, &o, &result, &err);
	if (rc == HG_E_QUERY_UNSUPPORTED) {
		hg_buf_cstr(why, r->skip ? r->skip : err.message);
		return SKIP;
	}
	if (rc < 0) {
		if (fails) return pt_judge_failure(e, &err, why) ? GOOD : BAD;
		hg_buf_fmt(why, "failed: %s", err.detail[0] ? err.detail : err.message);
		return BAD;
	}
	if (fails) {
		promql_result_free(result);
		hg_buf_cstr(why, "expected a failure, got a result");
		return BAD;
	}
	ok = pt_judge(e, result, middle, at, why) && (!notes || pt_judge_notes(e, result, why));
	promql_result_free(result);
	return ok ? GOOD : BAD;
}

/* As an instant query at `at`, and as the middle of a range query. */
static enum outcome instant(
        struct run *r, struct promql_query *q, int64_t at, bool notes, struct hg_buf *why)
{
	const struct pt_eval *e = r->e;
	/* Values are expected at the time of the query, whenever that is. */
	int64_t from = e->from;
	r->e->from = at;
	enum outcome out = once(r, q, at, at, 0, false, at, notes, why);
	bool ranges = promql_type_of(q) == PROMQL_VECTOR || promql_type_of(q) == PROMQL_SCALAR;
	bool again = ranges && !e->ordered && !pt_expects(e, PT_FAIL) && !promql_uses_bounds(q);
	if (out == GOOD && again) {
		out = once(r, q, at - MINUTE, at + MINUTE, MINUTE, true, at, false, why);
		if (out == BAD) hg_buf_cstr(why, " (as a range query)");
		if (out == SKIP) { /* what is around it is another matter */
			hg_buf_reset(why);
			out = GOOD;
		}
	}
	r->e->from = from;
	return out;
}

static enum outcome pinned(struct run *r, struct hg_str expr, struct hg_buf *why)
{
	struct promql_query *q;
	int64_t t = r->e->from, at[5] = {-10 * t, 0, t / 5, t, 10 * t};
	int n = 5;
	enum outcome out = GOOD;
	if (promql_parse(expr, &q, NULL) < 0) return GOOD;
	if (!t) {
		at[0] = -SECOND;
		at[1] = 0;
		at[2] = SECOND;
		n = 3;
	}
	for (int i = 0; promql_pin(q, t) && i < n && out == GOOD; i++) {
		out = instant(r, q, at[i], false, why);
		if (out == BAD)
			hg_buf_fmt(why, " (with @ %.3f, at %.3f)", (double)t / 1000,
			        (double)at[i] / 1000);
	}
	promql_free(q);
	return out;
}

static enum outcome judge(struct run *r, struct promql_query *q, struct hg_buf *why)
{
	const struct pt_eval *e = r->e;
	enum outcome out;
	if (e->histograms) {
		hg_buf_cstr(why, "a native histogram is expected");
		return SKIP;
	}
	if (e->range) return once(r, q, e->from, e->to, e->step, false, 0, true, why);
	out = instant(r, q, e->from, true, why);
	if (out == GOOD && !e->matrix && !pt_expects(e, PT_FAIL)) out = pinned(r, e->expr, why);
	return out;
}

static void eval(struct run *r, struct pt_lines *l, struct hg_str line)
{
	struct hg_arena a;
	struct promql_query *q = NULL;
	struct hg_buf why;
	struct hg_err err = {0};
	const char *wanted = "";
	enum outcome out = BAD;
	hg_arena_init(&a, "promql eval", BASE_ARENA_MAX);
	hg_buf_init(&why, 65536);
	if (!pt_eval_read(&a, l, line, r->e, &wanted))
		hg_buf_fmt(&why, "not an eval: expected %s", wanted);
	else if (promql_parse(r->e->expr, &q, &err) < 0 && pt_expects_error(r->e, &err))
		out = GOOD;
	else if (!q)
		hg_buf_fmt(&why, "%u:%u: %s", err.line, err.column, err.message);
	else
		out = judge(r, q, &why);
	hg_buf_fmt(r->to, "%s:%u: ", r->name, r->e->line);
	if (out == GOOD) {
		r->counts->passed++;
		hg_buf_cstr(r->to, "ok\n");
	} else if (out == SKIP) {
		r->counts->skipped++;
		hg_buf_fmt(r->to, "skipped: %s\n", hg_buf_text(&why));
	} else {
		r->counts->failed++;
		hg_buf_fmt(
		        r->to, "FAIL: %.*s\n    %s\n", HG_STR_ARG(r->e->expr), hg_buf_text(&why));
	}
	promql_free(q);
	hg_buf_free(&why);
	hg_arena_fini(&a);
}

/* ---- the file ---- */

static void bad(struct run *r, unsigned line, const char *expected)
{
	r->counts->failed++;
	hg_buf_fmt(r->to, "%s:%u: FAIL: expected %s\n", r->name, line, expected);
}

static bool command(struct run *r, struct pt_lines *l, struct hg_str line, struct hg_err *err)
{
	struct hg_str rest = line, word = pt_word(&rest);
	const char *why = "";
	unsigned at;
	if (word.n >= 4 && hg_str_eq_nocase((struct hg_str){word.p, 4}, HG_STR("load"))) {
		if (!load(r, l, line, &why, &at)) bad(r, at, why);
		return true;
	}
	if (word.n >= 4 && hg_str_eq_nocase((struct hg_str){word.p, 4}, HG_STR("eval"))) {
		eval(r, l, line);
		return true;
	}
	if (hg_str_eq_nocase(word, HG_STR("clear"))) return clear(r, err) == HG_OK;
	at = l->line;
	bad(r, at, "clear, load or eval");
	return true;
}

enum hg_rc promql_test(struct hg_str text, const char *name, struct hg_buf *to,
        struct promql_test_counts *counts, struct hg_err *err)
{
	struct run r = {.name = name, .to = to, .counts = counts};
	struct pt_lines l = {.rest = text};
	struct hg_str line;
	enum hg_rc rc;
	r.e = calloc(1, sizeof *r.e);
	if (!r.e) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	hg_arena_init(&r.arena, "promql test", BASE_ARENA_MAX);
	rc = clear(&r, err);
	while (rc == HG_OK && pt_line(&l, &line))
		if (line.n && !command(&r, &l, line, err)) rc = HG_E_NOMEM;
	tsdb_close(r.db);
	hg_arena_fini(&r.arena);
	free(r.e);
	return rc;
}
