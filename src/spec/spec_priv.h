/* The table, the tree and the helpers that the files of this room share. */
#ifndef SPEC_SPEC_PRIV_H
#define SPEC_SPEC_PRIV_H

#include "spec/spec.h"
#include "spec/yaml.h"

/* ---- table: made from schema/config.toml ---- */

enum spec_kind {
	SPEC_K_STRING,
	SPEC_K_COMMAND,
	SPEC_K_BOOL,
	SPEC_K_INT,
	SPEC_K_DURATION,
	SPEC_K_SIZE,
	SPEC_K_RATIO,
	SPEC_K_FACTOR,
	SPEC_K_CPU,
	SPEC_K_ENUM,
	SPEC_K_ADDRESS,
	SPEC_K_SHARE,
	SPEC_K_STRINGS,
	SPEC_K_PAIRS,
	SPEC_K_GROUP,
	SPEC_K_MAP,
	SPEC_K_LIST,
	SPEC_K_OVERLAYS,
};

enum spec_check_kind {
	SPEC_C_NONE,
	SPEC_C_NAME,
	SPEC_C_HOST,
	SPEC_C_PATH,
	SPEC_C_ENV_NAME,
	SPEC_C_INSIDE,
	SPEC_C_RATE,
	SPEC_C_REDIS,
	SPEC_C_NET,
	SPEC_C_PAGE_CODE,
	SPEC_C_TOKEN,
	SPEC_C_HEADER,
	SPEC_C_HASH_KEY,
	SPEC_C_HEADER_NAME,
	SPEC_C_IDENTITY_HEADER,
	SPEC_C_WORD,
	SPEC_C_JWKS,
	SPEC_C_SHA256,
	SPEC_C_DAY,
	SPEC_C_HEDGE_AFTER,
	SPEC_C_WHEN,
	SPEC_C_HOOK_URL,
	SPEC_C_OTLP_URL,
	SPEC_C_REGEX,
	SPEC_C_CODES,
	SPEC_C_DATABASE_URL,
	SPEC_C_CRON,
	SPEC_C_ORIGIN,
	SPEC_C_REDIRECT,
	SPEC_C_DATE,
	SPEC_C_LINK,
	SPEC_C_SCRAPE_ADDRESS,
	SPEC_C_LABEL_NAME,
};

struct spec_group;

struct spec_key {
	const char *name;
	const struct spec_group *of; /* GROUP, MAP, LIST; OVERLAYS: the keys of an environment */
	const char *const *choices;  /* ends with NULL */
	const char *const *later;    /* choices that are not built yet; NULL or ends with NULL */
	uint64_t min, max;           /* in the unit of the field */
	const char *low, *high;      /* the same as people write it */
	const char *word;            /* a name for a number, e.g. auto */
	uint64_t word_value;
	const char *fallback; /* default as it would be written; NULL: none */
	const char *doc, *example;
	size_t at, count_at; /* of the member, and of its count */
	enum spec_kind kind;
	enum spec_check_kind check;
	enum spec_apply apply;
	bool required, available;
	bool single;  /* a bare text is a list of one */
	bool expands; /* written out into other keys while loading */
};

struct spec_alias {
	const char *name, *instead;
};

struct spec_group {
	const char *name, *doc, *shorthand;
	const struct spec_key *keys;
	const struct spec_alias *aliases;
	size_t key_count, alias_count, size, name_at;
	bool named;
};

extern const struct spec_group *const spec_root;
const struct spec_key *spec_key_find(const struct spec_group *g, struct hg_str name);
const struct spec_key *spec_key_get(const struct spec_group *g, const char *name);
/* A key of `g` that was probably meant: the same letters (maxSurge, max-surge), or at most `edits`
 * edits away. NULL: none. */
const struct spec_key *spec_key_near(
        const struct spec_group *g, struct hg_str name, uint32_t edits);
/* "whole number", "duration" … and how one is written. */
const char *spec_kind_name(enum spec_kind kind);
const char *spec_kind_example(const struct spec_key *k);

struct spec_origin {
	const struct spec_node *tree; /* merged, shorthands written out */
	const struct spec_node *environment;
	const struct spec_group *root;
	const char *environment_name;
	struct hg_str file, text;
	struct hg_str dir; /* absolute; "": not known */
};

/* Takes `child` out of `from`. */
void spec_node_remove(struct spec_node *from, struct spec_node *child);
/* A new node in the place of `like`; NULL without memory. */
HG_MUST struct spec_node *spec_node_like(struct hg_arena *a, const struct spec_node *like,
        enum spec_node_kind kind, const char *key);

/* ---- values ---- */

struct spec_problem {
	enum hg_rc rc;
	char why[200];  /* continues `"replicas" …` */
	char hint[240]; /* a sentence; may be empty */
};

/* Text → number of the field (INT … CPU, ENUM, BOOL). */
HG_MUST bool spec_value_number(
        const struct spec_key *k, struct hg_str text, uint64_t *ret_v, struct spec_problem *p);
HG_MUST bool spec_value_address(
        struct hg_str text, struct spec_address *ret_v, struct spec_problem *p);
HG_MUST bool spec_value_share(struct hg_str text, struct spec_share *ret_v, struct spec_problem *p);
/* text_identity.c: some of the checks below. */
HG_MUST bool spec_identity_text(
        enum spec_check_kind check, struct hg_str s, struct spec_problem *p);
/* The check of a row on a text. */
HG_MUST bool spec_value_check(
        enum spec_check_kind check, struct hg_str text, struct spec_problem *p);
/* A value as the file would say it: the canonical form. */
void spec_value_print(const struct spec_key *k, const void *member, struct hg_buf *to);
void spec_number_print(const struct spec_key *k, uint64_t v, struct hg_buf *to);
/* A text as YAML: plain when that is safe, else quoted. `flow`: inside [] or {}. */
void spec_text_print(struct hg_str text, struct hg_buf *to);
/* The number behind a member of a numeric kind, whatever its width. */
uint64_t spec_member_number(const struct spec_key *k, const void *member);

/* ---- stages of loading ---- */

struct spec_loading {
	struct hg_arena *a;
	struct spec_report *report;
	bool partial; /* an overlay: nothing is required */
	bool nomem;
};

/* The flat form and shorthands of `tree` are written out in place. `flat_app`: name the base
 * gave its flat app, or empty. */
void spec_tidy_tree(struct spec_loading *l, struct spec_node *tree, struct hg_str flat_app);
/* Lays `over` on `base` by the rules of the table. */
void spec_merge(const struct spec_group *g, struct spec_node *base, struct spec_node *over);
/* health and domain become probes and routes. */
void spec_expand_apps(struct spec_loading *l, struct spec_node *tree);
/* Tree → struct; problems go to the report. `map` may be NULL: defaults. */
void spec_bind(struct spec_loading *l, const struct spec_group *g, const struct spec_node *map,
        const char *what, void *out);
/* check_edge.c: a part of spec_check. */
void spec_check_edge(const struct spec *s, struct spec_report *report);
/* check_alerts.c and check_observe.c: likewise. */
void spec_check_alerts(const struct spec *s, struct spec_report *report);
void spec_check_observe(const struct spec *s, struct spec_report *report);
/* What the functions of a gateway at routes need: check_gateway.c. */
void spec_check_gateway(const struct spec *s, struct spec_report *report);
/* `[sh, -c, "…"]` as one line that spec_command_split takes apart again. */
HG_MUST struct hg_str spec_command_join(struct hg_arena *a, const struct spec_node *list);

/* check_tls.c: a part of spec_check. */
void spec_check_tls(const struct spec *s, struct spec_report *report);
void spec_check_upstream(const struct spec *s, struct spec_report *report);
void spec_check_identity(const struct spec *s, struct spec_report *report);

#endif
