/*
 * YAML text → tree, strictly: what other files than the configuration are read with (rule files,
 * tests of rules). Directives, duplicate keys and a second document are refused, and aliases and
 * tags unless they are asked for; size, depth, counts and lengths of lines are bounded. Every node
 * knows its place.
 */
#ifndef SPEC_YAML_H
#define SPEC_YAML_H

#include "spec/spec.h"

enum spec_node_kind { SPEC_N_SCALAR, SPEC_N_LIST, SPEC_N_MAP };

struct spec_node {
	enum spec_node_kind kind;
	bool quoted;
	uint32_t line, column, end_line;
	uint32_t key_line, key_column;
	struct hg_str key;  /* in a map */
	struct hg_str text; /* of a scalar */
	const char *layer;  /* name of the environment it came from; NULL: the base */
	const char *by;     /* shorthand that made it; NULL: written out */
	struct spec_node *first, *last, *next;
	uint32_t count;
};

/* The tree lives in the arena; NULL for a file without a value. Problems go to the report, the rc
 * is that of its first error. */
HG_MUST enum hg_rc spec_yaml_parse(
        struct hg_str text, struct hg_arena *a, struct spec_report *r, struct spec_node **ret_tree);
/* The same for files that were written for others: `&name`, `*name`, `<<:` (YAML 1.1 merge keys)
 * and the core schema's tags (`!!str`) mean what they mean there. What an alias stands for has the
 * place where it is written out, and counts towards all limits each time. */
HG_MUST enum hg_rc spec_yaml_parse_aliases(
        struct hg_str text, struct hg_arena *a, struct spec_report *r, struct spec_node **ret_tree);
struct spec_node *spec_node_get(const struct spec_node *map, const char *key);
void spec_node_add(struct spec_node *to, struct spec_node *child);

void spec_report_init(struct spec_report *r, struct hg_str file, struct hg_str text);
/* Never NULL: beyond the limit it is a scratch place. Sets rc, place, line and caret. */
struct hg_err *spec_report_error(
        struct spec_report *r, enum hg_rc rc, uint32_t line, uint32_t column);
/* Further errors are only counted: finding their place and near names is not worth the time. */
static inline bool spec_report_full(const struct spec_report *r)
{
	return r->error_count >= SPEC_PROBLEMS_MAX;
}
struct hg_err *spec_report_warning(struct spec_report *r, uint32_t line, uint32_t column);
void spec_report_sort(struct spec_report *r);
enum hg_rc spec_report_rc(const struct spec_report *r);
/* Fills place, snippet and caret (column in code points, both from 1). */
void spec_err_place(
        struct hg_err *e, struct hg_str file, struct hg_str text, uint32_t line, uint32_t column);
HG_PRINTF(2, 3) void spec_err_say(struct hg_err *e, const char *fmt, ...);

#endif
