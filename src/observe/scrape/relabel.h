/*
 * Relabelling as Prometheus does it: rules that rewrite, keep or drop label sets, of targets before
 * they are asked and of samples before they are kept. Pure but for the regular expressions' caches:
 * a list of rules belongs to one thread.
 *
 * lowercase and uppercase change ASCII letters only.
 */
#ifndef OBSERVE_SCRAPE_RELABEL_H
#define OBSERVE_SCRAPE_RELABEL_H

#include "base/err.h"
#include "observe/tsdb/labels.h"

enum relabel_action {
	RELABEL_REPLACE,
	RELABEL_KEEP,
	RELABEL_DROP,
	RELABEL_KEEPEQUAL,
	RELABEL_DROPEQUAL,
	RELABEL_HASHMOD,
	RELABEL_LABELMAP,
	RELABEL_LABELDROP,
	RELABEL_LABELKEEP,
	RELABEL_LOWERCASE,
	RELABEL_UPPERCASE,
};

/* One rule as it is written. Strings with p == NULL are not given and get their default. */
struct relabel_conf {
	enum relabel_action action;
	const struct hg_str *source; /* source_labels */
	uint32_t source_n;
	struct hg_str separator;   /* ";" */
	struct hg_str regex;       /* "(.*)"; the whole value must match */
	uint64_t modulus;          /* hashmod: not 0 */
	struct hg_str target;      /* target_label */
	struct hg_str replacement; /* "$1" */
};

struct relabel; /* a list of rules */

/* "replace", …, any case; false: no such action. */
HG_MUST bool relabel_action_parse(struct hg_str name, enum relabel_action *ret_action);
const char *relabel_action_name(enum relabel_action action);

/*
 * Copies what it needs. HG_E_RELABEL: rule number and what is wrong; HG_E_REGEX, HG_E_NOMEM.
 * No rules give a list that changes nothing.
 */
HG_MUST enum hg_rc relabel_new(const struct relabel_conf *conf, uint32_t n,
        struct relabel **ret_relabel, struct hg_err *err);
void relabel_free(struct relabel *r); /* NULL is fine */
uint32_t relabel_count(const struct relabel *r);

enum relabel_result { RELABEL_KEPT, RELABEL_DROPPED, RELABEL_FAILED };

/*
 * Applies all rules to what is in `b`; texts that are made lie in `texts`. FAILED: no memory. NULL
 * changes nothing.
 */
HG_MUST enum relabel_result relabel_apply(
        struct relabel *r, struct labels_builder *b, struct hg_arena *texts);

#endif
