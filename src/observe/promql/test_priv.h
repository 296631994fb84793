/* Inside of the test runner: what is read from a file, and what a run of it has. */
#ifndef OBSERVE_PROMQL_TEST_PRIV_H
#define OBSERVE_PROMQL_TEST_PRIV_H

#include "ast_priv.h"

/* Bounds of a file, so that a small one cannot ask for a large store. */
#define PT_ITEMS_MAX   1000000u /* of a series */
#define PT_SAMPLES_MAX 4000000u /* of a file */
#define PT_LINES_MAX   200u     /* expectations and series of an eval */

enum pt_kind { PT_NONE, PT_VALUE, PT_HISTOGRAM };

struct pt_item {
	enum pt_kind kind;
	double v;
};

struct pt_series {
	struct labels ls;
	struct pt_item *at;
	uint32_t n;
	bool start_times; /* a line of start timestamps, which are not built */
};

/* A series line: name{labels} items. False: *ret_why. The texts stay where they were. */
bool pt_series_read(
        struct hg_arena *a, struct hg_str line, struct pt_series *ret, const char **ret_why);

enum pt_want { PT_FAIL, PT_WARN, PT_INFO, PT_NO_WARN, PT_NO_INFO };

struct pt_expect {
	enum pt_want want;
	bool regex;
	struct hg_str text; /* empty: any */
};

struct pt_eval {
	unsigned line;
	bool range, ordered, scalar, is_string, matrix;
	int64_t from, to, step;       /* instant: at `from` */
	int64_t m_from, m_to, m_step; /* expect range vector */
	struct hg_str expr, text;
	double number;
	struct pt_expect expect[PT_LINES_MAX];
	uint32_t expects;
	struct pt_series series[PT_LINES_MAX * 4];
	uint32_t series_n;
	bool histograms; /* expects one */
};

struct pt_lines {
	struct hg_str rest;
	unsigned line; /* of the one that was taken last */
};

/* The next line without space around it; a comment is empty. False at the end. */
bool pt_line(struct pt_lines *l, struct hg_str *ret);
/* The block of an eval whose first line is `first`. False: *ret_why, and the rest of the block is
 * passed over. */
bool pt_eval_read(struct hg_arena *a, struct pt_lines *l, struct hg_str first, struct pt_eval *ret,
        const char **ret_why);
/* The word in front, and `*s` without it and the space behind. */
struct hg_str pt_word(struct hg_str *s);

/* ---- test_judge.c: is it what was expected ---- */

bool pt_same(double want, double got);
/* Compares and writes what differs to `why`; `at` picks one step of a range query's result. */
bool pt_judge(const struct pt_eval *e, const struct promql_result *r, bool middle, int64_t at,
        struct hg_buf *why);
bool pt_judge_notes(const struct pt_eval *e, const struct promql_result *r, struct hg_buf *why);
bool pt_judge_failure(const struct pt_eval *e, const struct hg_err *err, struct hg_buf *why);
/*
 * True when a text of the failure is expected and it is this one. An expression that cannot be read
 * is a fault of the file unless the file says which fault: else a slip of the pen would pass for
 * the failure that was meant.
 */
bool pt_expects_error(const struct pt_eval *e, const struct hg_err *err);
bool pt_expects(const struct pt_eval *e, enum pt_want want);

#endif
