/*
 * Go's text/template, the part that Prometheus' rules and Alertmanager's notifications use, with
 * their functions: pipelines, variables, if, range, with, define, template, block, break, continue,
 * trim marks and comments. A text is compiled once, with the place of every error, and run as often
 * as wished. Pure: no clock, no file; what a template may ask of the world is in the environment.
 *
 * Bounded: nesting, variables, steps, memory (the caller's arena) and output (the caller's buffer).
 * Kinder than Go in one thing: numbers of different types compare (`gt $value 5`).
 */
#ifndef WIRE_GOTEMPLATE_H
#define WIRE_GOTEMPLATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define GOTEMPLATE_TEXT_MAX  (256u << 10) /* bytes of one text */
#define GOTEMPLATE_STEPS_MAX 200000u      /* of one run */

enum gt_kind {
	GT_NONE, /* prints as "<no value>" */
	GT_BOOL,
	GT_INT,
	GT_FLOAT,
	GT_STR,
	GT_SAFE, /* a text that is HTML already */
	GT_LIST,
	GT_MAP,
	GT_TIME,    /* i: Unix milliseconds, shown in the zone */
	GT_DURATION /* i: nanoseconds */
};

/* What a list or a map knows to do besides being walked. */
enum gt_type {
	GT_PLAIN,  /* list; map whose missing key is none (map[string]any) */
	GT_TEXTS,  /* list of texts; map of texts, a missing key is "": SortedPairs Names Values
	              Remove */
	GT_PAIRS,  /* list of objects with Name and Value: Names Values */
	GT_ALERTS, /* list of objects with Status: Firing Resolved */
	GT_OBJECT  /* map with fixed fields: a missing one is an error */
};

struct gt_value {
	enum gt_kind kind;
	enum gt_type type; /* of LIST and MAP */
	union {
		bool b;
		int64_t i;
		double f;
		struct hg_str s;
		struct {
			const struct gt_value *at;
			uint32_t n;
		} list;
		struct {
			const struct gt_member *at; /* sorted by name */
			uint32_t n;
		} map;
	};
	int32_t zone_s; /* TIME: east of UTC, and the zone's short name; "": UTC */
	char zone[8];
};

struct gt_member {
	struct hg_str name;
	struct gt_value value;
};

static inline struct gt_value gt_str(struct hg_str s)
{
	return (struct gt_value){.kind = GT_STR, .s = s};
}
static inline struct gt_value gt_int(int64_t i)
{
	return (struct gt_value){.kind = GT_INT, .i = i};
}
static inline struct gt_value gt_float(double f)
{
	return (struct gt_value){.kind = GT_FLOAT, .f = f};
}
static inline struct gt_value gt_bool(bool b)
{
	return (struct gt_value){.kind = GT_BOOL, .b = b};
}
static inline struct gt_value gt_time(uint64_t unix_ms)
{
	return (struct gt_value){.kind = GT_TIME, .i = (int64_t)unix_ms};
}
static inline struct gt_value gt_list(const struct gt_value *at, uint32_t n, enum gt_type type)
{
	return (struct gt_value){.kind = GT_LIST, .type = type, .list = {at, n}};
}
/* `at` is sorted by name (bytes). */
static inline struct gt_value gt_map(const struct gt_member *at, uint32_t n, enum gt_type type)
{
	return (struct gt_value){.kind = GT_MAP, .type = type, .map = {at, n}};
}
/* Sorts members by name, for gt_map. */
void gt_members_sort(struct gt_member *at, uint32_t n);

/* What a run may ask. Zeroed: nothing, 1970, no HTML. */
struct gotemplate_env {
	uint64_t now_ms;
	struct hg_str external_url, path_prefix;
	bool html; /* what is printed is escaped for HTML, but for safeHtml and safeUrl */
	/*
	 * `query`: a list (GT_PLAIN) of objects with Labels (GT_TEXTS) and Value (GT_FLOAT), taken
	 * from `mem`. NULL: the function fails.
	 */
	enum hg_rc (*query)(void *arg, struct hg_str expr, struct hg_arena *mem,
	        struct gt_value *ret_value, struct hg_err *err);
	/* `tz`: the offset of a zone at a time; false: not known. NULL: only UTC is. */
	bool (*zone)(void *arg, struct hg_str name, int64_t unix_s, int32_t *ret_offset_s,
	        char ret_short[static 8]);
	void *arg;
};

struct gotemplate; /* a set of templates that call each other by name */

/* HG_E_NOMEM. */
HG_MUST enum hg_rc gotemplate_new(struct gotemplate **ret_set);
/* NULL is fine. */
void gotemplate_free(struct gotemplate *set);
/*
 * Compiles `text` as the template `name`; what it defines is added, or replaces what had the name.
 * `variables` (NULL-terminated, without "$"; may be NULL) are set by gotemplate_run. Errors have
 * file, line and column: HG_E_TEMPLATE, HG_E_NOMEM; then nothing of the text was added. Everything
 * is copied.
 */
HG_MUST enum hg_rc gotemplate_add(struct gotemplate *set, struct hg_str name, const char *file,
        struct hg_str text, const char *const *variables, struct hg_err *err);
/* Every name that is called exists. HG_E_TEMPLATE with the place of the first that does not. */
HG_MUST enum hg_rc gotemplate_check(const struct gotemplate *set, struct hg_err *err);
bool gotemplate_has(const struct gotemplate *set, struct hg_str name);
/*
 * Runs `name` with `dot` and appends to `to`. `values`: one for each of the variables that it was
 * compiled with. What was written before an error stays. HG_E_TEMPLATE: a field that is not there,
 * a function that failed, too many steps; HG_E_TOO_LARGE: `to` or `mem` is full.
 */
HG_MUST enum hg_rc gotemplate_run(const struct gotemplate *set, struct hg_str name,
        const struct gt_value *dot, const struct gt_value *values, const struct gotemplate_env *env,
        struct hg_arena *mem, struct hg_buf *to, struct hg_err *err);

/* As `{{ . }}` prints it. */
void gotemplate_print(struct hg_buf *to, const struct gt_value *v);
/* `text` escaped as html/template does in text and in quoted attributes. */
void gotemplate_escape(struct hg_buf *to, struct hg_str text);

/* ---- Prometheus' ways to write a number; used for other texts as well ---- */

void gotemplate_humanize(struct hg_buf *to, double v);          /* 1234 → "1.234k" */
void gotemplate_humanize1024(struct hg_buf *to, double v);      /* "1.205ki" */
void gotemplate_humanize_duration(struct hg_buf *to, double s); /* "20m 34s" */
/* Go's %v: the shortest digits that read back; an exponent from 1e+06 (as Go) and below 1e-04. */
void gotemplate_number(struct hg_buf *to, double v);
/* Go's Time.Format, in the value's zone. */
void gotemplate_time(struct hg_buf *to, const struct gt_value *time, struct hg_str layout);
/* "1h30m", "5m", "1w", "0": Prometheus' durations, in ms. */
HG_MUST bool gotemplate_duration(struct hg_str s, uint64_t *ret_ms);

#endif
