/*
 * Inside of the evaluator. A value is columns: one array of doubles per series with a place for
 * each step. A step without a sample holds the staleness marker's bits, which no arithmetic can
 * make (it would come out as a quiet NaN) and which selectors never let through.
 */
#ifndef OBSERVE_PROMQL_EVAL_PRIV_H
#define OBSERVE_PROMQL_EVAL_PRIV_H

#include "ast_priv.h"

#define PQ_LOOKBACK_MS ((int64_t)300000)

static inline double pq_none(void)
{
	return tsdb_stale();
}
static inline bool pq_is_none(double v)
{
	return tsdb_is_stale(v);
}

/* The steps an expression is evaluated at. */
struct pq_grid {
	int64_t start, step;
	uint32_t n;
};

static inline int64_t pq_grid_at(const struct pq_grid *g, uint32_t i)
{
	return g->start + (int64_t)i * g->step;
}

struct pq_column {
	struct labels ls;
	double *v; /* one per step */
	bool drop; /* __name__ goes at the end (delayed removal) */
};

struct pq_value {
	enum promql_type type; /* scalar, vector or string */
	struct pq_column *at;
	uint32_t n;
	double *scalar;
	struct hg_str text;
};

struct pq_open {
	struct tsdb_selection *sel;
	struct pq_open *next;
};

struct pq_note_item {
	struct promql_note note;
	struct pq_note_item *next;
};

struct pq_ev {
	struct hg_arena *arena;
	struct tsdb *db;
	const struct promql_query *q;
	struct promql_options o;
	struct hg_err *err;
	struct pq_open *open;
	struct pq_note_item *notes;
	uint32_t note_n;
	uint64_t samples;
	struct tsdb_samples read; /* buffer, reused */
	struct label *scratch;    /* buffer for reduced label sets */
	uint32_t scratch_cap;
	uint32_t depth;
	uint64_t selected; /* bytes of what is open */
	uint64_t work;     /* since somebody looked whether it may go on */
};

/* ---- eval.c ---- */

/* False: ev->err is set. */
bool pq_eval(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
bool pq_fail(struct pq_ev *ev, enum hg_rc rc, const char *fmt, ...) HG_PRINTF(3, 4);
/* NULL: the cap is reached and the error set. */
void *pq_take(struct pq_ev *ev, size_t count, size_t size);
/* A column of `n` places, all none. */
double *pq_blank(struct pq_ev *ev, uint32_t n);
/* False when the deadline has passed or somebody cancelled. */
bool pq_may_go_on(struct pq_ev *ev);
/*
 * The same, after `n` more steps of a loop: samples of windows, values of columns. The clock is
 * looked at once in PQ_WORK of them, which is a fraction of a millisecond. For whatever takes more
 * than a pass over the values that a query may hold.
 */
#define PQ_WORK 100000u
static inline bool pq_worked(struct pq_ev *ev, uint64_t n)
{
	ev->work += n;
	if (HG_LIKELY(ev->work < PQ_WORK)) return true;
	ev->work = 0;
	return pq_may_go_on(ev);
}
/* What sorting n values counts as. */
static inline uint64_t pq_sorting(uint64_t n)
{
	return n * (64 - (unsigned)__builtin_clzll(n | 1));
}
/* Adds a note once; `at` is the node whose place it names. */
void pq_note(struct pq_ev *ev, bool warning, const struct pq_node *at, const char *fmt, ...)
        HG_PRINTF(4, 5);
/* Evaluates a scalar argument. */
bool pq_scalar(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, double **ret_v);

/* ---- prepare.c: what is the same at every step, and lengths of time ---- */

bool pq_prepare(struct pq_ev *ev, struct pq_node *n);

/* ---- labelset.c ---- */

/* Without __name__, __type__ and __unit__; shares what it can. .at NULL with n > 0: no memory. */
bool pq_without_name(struct pq_ev *ev, struct labels ls, struct labels *ret);
/* Marks the column's name as to be dropped, or drops it at once, as the options say. */
bool pq_drop_name(struct pq_ev *ev, struct pq_column *c);
/* How label sets are made smaller: by (a), without (a), ignoring (a): to match, type and unit
 * count. */
enum pq_less { PQ_BY, PQ_WITHOUT, PQ_IGNORING };
/* Only `names`, or all but `names` and the name. In the scratch buffer: valid until the next call.
 */
bool pq_reduce(struct pq_ev *ev, struct labels ls, const struct pq_names *names, enum pq_less how,
        struct labels *ret);
/* A copy of the array (the texts are shared) in the arena. */
bool pq_keep(struct pq_ev *ev, struct labels ls, struct labels *ret);
/* With one label set (an empty value: dropped), in the arena. */
bool pq_with(struct pq_ev *ev, struct labels ls, struct hg_str name, struct hg_str value,
        struct labels *ret);
/* "{a="b"}" for messages. */
const char *pq_labels_text(struct pq_ev *ev, struct labels ls);
struct hg_str pq_metric_name(struct labels ls);

/* A table from label sets to numbers 0, 1, … in the order in which they came. */
struct pq_table {
	uint32_t *slot; /* index + 1 */
	uint64_t *hash;
	struct labels *ls;
	uint32_t n, cap, slots;
};

bool pq_table_make(struct pq_ev *ev, struct pq_table *t, uint32_t expected);
/* Finds or adds (then `ls` is copied by pq_keep). `ret_new` may be NULL. */
bool pq_table_at(
        struct pq_ev *ev, struct pq_table *t, struct labels ls, uint32_t *ret_i, bool *ret_new);
/* UINT32_MAX: not there. */
uint32_t pq_table_find(const struct pq_table *t, struct labels ls);

/*
 * Columns with the same labels become one. Where two have a value at the same step: an error with
 * `strict`, else they stay two.
 */
bool pq_unite(struct pq_ev *ev, struct pq_value *v, uint32_t steps, bool strict);
/* After names were dropped: unites, strictly, unless removal is delayed. */
bool pq_after_drop(struct pq_ev *ev, struct pq_value *v, uint32_t steps);

/* ---- select.c ---- */

bool pq_select(struct pq_ev *ev, const struct pq_node *n, const struct pq_grid *g, bool times,
        struct pq_value *ret);

/* Series of a range selector or a subquery, one after the other. */
struct pq_ranges {
	const struct pq_node *n; /* the range or the subquery */
	const struct pq_node *h; /* where @ and offset stand */
	int64_t range_ms;
	struct tsdb_selection *sel;
	struct pq_value sub;
	struct pq_grid sub_grid;
	int64_t from, to;
	uint32_t i, count;
	int64_t *t; /* of a subquery's series */
	double *v;
};

struct pq_samples {
	struct labels ls;
	bool drop;
	const int64_t *t;
	const double *v;
	uint32_t n;
};

bool pq_ranges_open(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_ranges *r);
/* The next series; valid until the next call. *ret_more false: there was none. */
bool pq_ranges_next(struct pq_ev *ev, struct pq_ranges *r, struct pq_samples *ret, bool *ret_more);
/* The window of a step: samples with start < t ≤ end. */
static inline int64_t pq_window_end(const struct pq_node *h, int64_t at)
{
	return (h->at == PQ_AT_NONE ? at : h->at_ms) - h->offset_ms;
}

/* ---- window.c, rate.c: functions of ranges ---- */

struct pq_win {
	const int64_t *t;
	const double *v;
	uint32_t n;
	int64_t start, end; /* of the window */
	int64_t at;         /* the step */
	double arg[2];
	double *sort; /* room for n values */
	/* Resets within the window, for rate and increase: places i with v[i] < v[i-1]. */
	const uint32_t *reset;
	uint32_t reset_n, base; /* a place minus base counts from t[0] */
};

typedef double pq_win_fn(const struct pq_win *w);

pq_win_fn *pq_win_fn_of(enum pq_fn_id id);
pq_win_fn pq_rate, pq_increase, pq_delta, pq_irate, pq_idelta;
bool pq_range_call(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
/* rate, increase, delta with anchored or smoothed; the window has what is around it as well. */
bool pq_extended_call(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
/*
 * What an anchored or smoothed range consists of: a point at its start, the samples within, and a
 * point at its end unless a sample stands there. `s` has what is around the range as well; `t` and
 * `v` have room for s->n + 2. Returns how many; 0: there is nothing.
 */
uint32_t pq_extended_points(enum pq_extend how, const struct pq_samples *s, int64_t start,
        int64_t end, int64_t lookback_ms, int64_t *t, double *v);
bool pq_extended_select(
        struct pq_ev *ev, const struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
/* Counters that are not named like one: an information. */
void pq_note_counter(struct pq_ev *ev, const struct pq_node *call, struct labels ls);

double pq_kahan(double inc, double sum, double *c);
double pq_mean(const double *v, size_t n);
/* Sorts `v`. NaN sorts first. */
double pq_quantile(double q, double *v, size_t n);
/* Warns when q is not a share. */
void pq_check_quantile(struct pq_ev *ev, const struct pq_node *at, double q);

/* ---- calls.c and others ---- */

bool pq_math_call(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
bool pq_special_call(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
bool pq_label_replace(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
bool pq_label_join(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
bool pq_sort(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
bool pq_info(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
bool pq_histogram(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
bool pq_aggregate(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
bool pq_top(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, const struct pq_value *in,
        const uint32_t *group, uint32_t groups, struct pq_value *ret);
bool pq_count_values(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g,
        const struct pq_value *in, struct pq_value *ret);
bool pq_binary(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret);
/* False: a comparison that does not hold. */
bool pq_op_apply(enum pq_op op, double l, double r, double *ret_v);

#endif
