/* Inside of the room. */
#ifndef OBSERVE_RULES_RULES_PRIV_H
#define OBSERVE_RULES_RULES_PRIV_H

#include "observe/rules/rules.h"
#include "base/list.h"
#include "observe/tsdb/tsdb.h"
#include "os/work.h"
#include "wire/gotemplate.h"

/* ---- read.c ---- */

extern const char *const rules_variables[]; /* of templates, without "$" */
void rules_keys_check(struct spec_report *r, const struct spec_node *map, const char *const *names,
        const char *what);
/* How a label's or annotation's template is called in its set. */
void rules_template_name(struct hg_buf *to, bool annotation, struct hg_str name);

/* ---- lint.c ---- */

struct rules_finding {
	const struct rules_rule *rule;
	uint32_t line, column;
	char message[300], hint[320]; /* the hint may be "" */
};
typedef void (*rules_found_fn)(void *arg, const struct rules_finding *y);

/* What rules_lint writes into its report, one call a finding. */
void rules_find(const struct rules_file *f, const struct rules_lint_options *o,
        rules_found_fn found, void *arg);

/* ---- eval.c: one rule, once; on any thread ---- */

/* What an evaluation asks of the world. */
struct rules_world {
	struct tsdb *db;
	void (*lock)(void *arg);
	void (*unlock)(void *arg);
	void *lock_arg;
	const atomic_bool *cancel; /* may be NULL */
	uint64_t deadline_ms;      /* monotonic; 0: none */
	int64_t now_ms;            /* of the evaluation: samples have this time */
	int64_t offset_ms;         /* the query is asked for that much earlier */
	struct labels external;
	struct hg_str url;
	bool restoring;     /* what the store knows of alerts is asked for */
	int64_t started_ms; /* what is older stems from before the restart */
};

struct rules_outcome {
	struct hg_arena mem;
	struct rules_sample *samples;
	uint32_t n;
	uint32_t template_errors;
	enum hg_rc rc;
	struct hg_err err;
};

/* The query and the templates of an alerting rule, or the samples of a recording rule. Always gives
 * an outcome, which rules_outcome_free gives back. */
void rules_evaluate(
        const struct rules_rule *rule, const struct rules_world *w, struct rules_outcome *out);
void rules_outcome_free(struct rules_outcome *out);

/* ---- a rule in force ---- */

/* Series that the last evaluation wrote. */
struct rules_written {
	struct labels labels; /* owned; first, for labels_place */
	tsdb_ref ref;
	bool now;
};

struct rules_live {
	const struct rules_rule *rule;
	struct rules_alerts alerts;
	struct rules_written *written; /* sorted by labels */
	uint32_t written_n, written_cap;
	bool restored;
	bool known; /* what fires of it is all that does: rules_knows() */
	/* Health, of the last evaluation. */
	bool asked;
	char error[320];
	int64_t last_ms;
	double took_s;
	uint32_t template_errors;
};

/* What is shown beside a rule. */
struct rules_note {
	uint32_t rule; /* of the group */
	bool missing;  /* series that are not there: looked for again and again */
	char message[300], hint[320];
};

struct rules_live_group {
	const struct rules_group *group;
	const struct rules_file *file;
	int64_t interval_ms, offset_ms;
	struct rules_live *rules;
	uint32_t n;
	struct rules_note *notes; /* in the order in which they were made */
	uint32_t note_n, note_cap;
	int64_t last_ms; /* of the last evaluation */
	double took_s;
	/* Of the schedule. */
	int64_t due_ms;
	uint64_t iterations, missed, failures;
};

/* Takes an outcome: alerts change, results and what the state of alerts is go to the store, series
 * that are gone are marked. `change` is written to alerts that changed; true when one did. */
bool rules_take(struct tsdb *db, struct rules_live *l, const struct rules_live_group *g,
        struct rules_outcome *out, int64_t now_ms, uint64_t change);
/* All rules of a group, one after another, here and now. `base`: without the times of the
 * evaluation. */
void rules_group_run(struct tsdb *db, struct rules_live_group *g, const struct rules_world *base,
        int64_t now_ms, uint64_t *change);
/* Marks all that it wrote as ended, and forgets it. */
void rules_live_end(struct tsdb *db, struct rules_live *l, int64_t now_ms);
void rules_live_fini(struct rules_live *l);
/* Groups of files that stay the caller's. Also on failure *ret is to be freed. */
HG_MUST enum hg_rc rules_live_groups(struct rules_file *const *files, uint32_t file_n,
        int64_t every_ms, struct rules_live_group **ret, uint32_t *ret_n);
void rules_live_groups_free(struct rules_live_group *groups, uint32_t n);

/* ---- rules.c ---- */

struct rules_job {
	uint32_t group, at;
	const struct rules_rule *rule;
	struct rules_world world;
	struct rules_outcome out;
	uint64_t began_ns; /* of the group */
	double took_s;
};

struct rules {
	struct rules_options o;
	struct hg_list waiters; /* who asked for news, http.c */
	uint32_t waiter_n;
	struct rules_file **files;
	uint32_t file_n;
	struct rules_live_group *groups;
	uint32_t n;
	struct hg_arena mem; /* of the two below */
	struct labels external;
	struct hg_str url;
	struct loop_timer timer;
	struct loop_timer empty_timer;
	uint32_t empty; /* rules of files that asked for series that there are not */
	struct work *work;
	struct rules_job job;
	bool busy, news;
	uint64_t change; /* rises with each evaluation in which alerts began or ceased to fire */
	bool configured;
	int64_t settle_ms;
	int64_t started_ms;
	uint64_t started_ns; /* the same by the clock that nobody sets */
	char epoch[17];
};

void rules_halt(struct rules *r);

/* ---- notes.c ---- */

/* What is probably wrong with the rules of groups that are not yet in force. */
void rules_notes_make(struct rules_live_group *groups, uint32_t n, int64_t every_ms);
/* `message` is copied. Without memory there is a note less. */
void rules_note_missing(struct rules_live_group *g, uint32_t rule, const char *message);
/* Forgets which series were missing. */
void rules_notes_found(struct rules_live_group *g);

/* ---- empty.c ---- */

/* Looks for the series that rules name, a while after a configuration came and then every hour. */
void rules_empty_start(struct rules *r);
/* Now. False: a rule is being evaluated, later. */
bool rules_empty_look(struct rules *r);

/* ---- http.c ---- */

/* There is news. */
void rules_waiters_tell(struct rules *r);
/* They are answered with what there is. */
void rules_waiters_end(struct rules *r);

#endif
