/* What a file of tests says, and what runs it. */
#ifndef OBSERVE_RULES_TEST_PRIV_H
#define OBSERVE_RULES_TEST_PRIV_H

#include "rules_priv.h"

#define RT_BYTES ((size_t)512 << 20) /* of a file and what it loads */

struct rt_series {
	struct labels labels;
	struct promql_item *items;
	uint32_t n, next; /* the first that is not in the store yet */
	tsdb_ref ref;
};

struct rt_alert { /* that is expected */
	struct labels labels, annotations;
};

struct rt_alert_test {
	int64_t at_ms;
	struct hg_str name;
	struct rt_alert *alerts;
	uint32_t n;
};

struct rt_sample {
	struct labels labels;
	double v;
	bool bad; /* its labels could not be read */
	struct hg_str text;
};

struct rt_expr_test {
	int64_t at_ms;
	struct hg_str expr;
	struct rt_sample *samples;
	uint32_t n;
};

struct rt_test {
	struct hg_str name;
	uint32_t line;
	int64_t interval_ms, start_ms;
	struct rt_series *series;
	uint32_t series_n;
	struct rt_alert_test *alerts;
	uint32_t alert_n;
	struct rt_expr_test *exprs;
	uint32_t expr_n;
	struct labels external;
	struct hg_str url;
};

struct rt_file {
	struct hg_arena mem;
	struct hg_str *rule_files;
	uint32_t rule_file_n;
	int64_t every_ms;
	struct hg_str *order;
	uint32_t order_n;
	bool fuzzy;
	struct rt_test *tests;
	uint32_t test_n;
};

/* Problems go to the report. *ret_file is to be freed with rt_file_free also on failure. */
HG_MUST enum hg_rc rt_file_read(
        struct hg_str text, struct spec_report *report, struct rt_file *ret_file);
void rt_file_free(struct rt_file *f);

#endif
