/*
 * Rules: Prometheus' rule files, unchanged. Groups of expressions are evaluated over the metrics
 * store at their intervals; recording rules write what they give, alerting rules have alerts
 * (decide.h), which are written as ALERTS and ALERTS_FOR_STATE and are there for others to ask.
 *
 * One loop, one thread owns all of it. Expressions and templates are evaluated on a thread of their
 * own, one rule at a time, with the store's lock around each access (promql_options): a rule may
 * take seconds, and the loop has logs to empty and targets to scrape. Everything else, results
 * written to the store as well, is done on the loop. docs/howto/alert-rules.md is for users.
 */
#ifndef OBSERVE_RULES_RULES_H
#define OBSERVE_RULES_RULES_H

#include "base/log.h"
#include "observe/promql/promql.h"
#include "observe/rules/decide.h"
#include "os/loop.h"
#include "spec/yaml.h"

#define RULES_EVERY_MS  15000u        /* of a group that does not say, and no file does */
#define RULES_FILE_MAX  SPEC_FILE_MAX /* bytes */
#define RULES_RESEND_MS 60000         /* an alert ends when nobody told of it for 4 times this */

/* ---- rule files ---- */

struct gotemplate;

struct rules_rule {
	bool alerting;
	struct hg_str name; /* of `alert` or `record` */
	struct hg_str expr; /* as it was written */
	struct promql_query *query;
	int64_t for_ms, keep_firing_ms;
	struct labels labels, annotations; /* templates; with the group's labels */
	struct gotemplate *templates;      /* NULL: there are none */
	uint32_t line, column;             /* of the rule */
	const struct spec_node *node, *expr_node;
};

struct rules_group {
	struct hg_str name;
	uint32_t line;
	int64_t interval_ms; /* 0: not given */
	int64_t offset_ms;   /* how far behind the clock it is evaluated; < 0: not given */
	uint32_t limit;
	struct rules_rule *rules;
	uint32_t n;
};

/* A file that was read; everything in it lives as long as it does. */
struct rules_file {
	struct hg_arena mem;
	struct hg_str name, text;
	struct rules_group *groups;
	uint32_t n, rules;
};

/*
 * Reads a rule file. Problems go to the report (file, line, column, cause, hint), which must have
 * been initialised with text and name and points into them: HG_E_RULES_FILE, HG_E_QUERY_SYNTAX,
 * HG_E_TEMPLATE, the reader's own. The rc is the first error's. Text and name are copied into the
 * file.
 */
HG_MUST enum hg_rc rules_file_read(struct hg_str text, struct hg_str name,
        struct spec_report *report, struct rules_file **ret_file);
void rules_file_free(struct rules_file *f);
/* The place in the file of a byte of a scalar's text: `expr` of a rule, for instance. */
void rules_place(const struct rules_file *f, const struct spec_node *n, uint32_t at,
        uint32_t *ret_line, uint32_t *ret_column);
/* The recording rules that are always there (headgate:error_ratio:5m …), as a rule file. */
struct hg_str rules_builtin(void);

/* ---- lint ---- */

struct rules_lint_options {
	int64_t every_ms, scrape_ms; /* 0: RULES_EVERY_MS, 15 s */
	/* As in observe/promql/lint.h; may be NULL. */
	bool (*exists)(void *arg, const struct label_matcher *m, uint32_t n);
	void *arg;
};

/* What is probably wrong, as warnings of the report (HG_E_RULES_ADVICE): of expressions, of `for`,
 * of labels in templates that the result cannot have. Their number. `o` may be NULL. */
uint32_t rules_lint(
        const struct rules_file *f, const struct rules_lint_options *o, struct spec_report *report);

/* ---- tests of rules ---- */

/*
 * Runs a file in the format of `promtool test rules`: a store in memory, the rules evaluated step
 * by step, alerts and expressions compared. Rule files are read from the file's folder. What is
 * said is appended to `to`, as promtool says it; false: something failed, or could not be read.
 */
bool rules_test_file(const char *path, struct hg_buf *to);

struct rules_source;

/* An alert that began (`ends` false) or ceased to fire at a step of a play. */
typedef void (*rules_play_fn)(void *arg, int64_t at_ms, const struct rules_alert *a, bool ends);
/*
 * Plays the series of the first test of such a file through the rules of `files`, from its start to
 * the last sample: `fn` is called for what changes, at_ms from the start. HG_E_RULES_FILE with the
 * place …
 */
HG_MUST enum hg_rc rules_play(const char *path, const struct rules_source *files, uint32_t n,
        rules_play_fn fn, void *arg, struct hg_err *err);

/* ---- evaluation ---- */

struct rules;

struct rules_options {
	struct loop *loop;
	struct tsdb *db;
	struct hg_log *log; /* may be NULL */
	int64_t (*wall_ms)(void);
	/* Around each access to the store from the evaluating thread; NULL: nobody else uses it.
	 * rules_apply and rules_free are called by who holds it: they give it while they wait for
	 * the thread. */
	void (*lock)(void *arg);
	void (*unlock)(void *arg);
	void *lock_arg;
	/* From the loop, when alerts have begun or ceased to fire; may be NULL. */
	void (*on_news)(void *arg);
	void *arg;
};

HG_MUST enum hg_rc rules_new(
        const struct rules_options *o, struct rules **ret_rules, struct hg_err *err);
/* Waits for the evaluation under way (it is cancelled). NULL is fine. */
void rules_free(struct rules *r);

/* A file of the configuration: its name as people know it, and what stands in it. */
struct rules_source {
	struct hg_str name, text;
};

struct rules_conf {
	const struct rules_source *files;
	uint32_t file_count;
	int64_t every_ms;       /* 0: RULES_EVERY_MS */
	struct labels external; /* $externalLabels */
	struct hg_str url;      /* of this Headgate: $externalURL, links of alerts; may be empty */
	bool builtin;           /* the built-in recording rules as well */
	/* These are the rules that people want, not what holds until they are known. Until then
	 * rules_news_json does not say that it has all that fires. */
	bool configured;
	/* After the start samples may be missing for that long: what does not fire meanwhile is not
	 * known to be over. */
	int64_t settle_ms;
};

/*
 * Another configuration; everything is copied. Rules that were there before (same file, group, name
 * and labels) keep their alerts. All or nothing: the error names the place of the first mistake,
 * and what is in force stays.
 */
HG_MUST enum hg_rc rules_apply(struct rules *r, const struct rules_conf *conf, struct hg_err *err);

/* Writes to the log why a configuration was refused. */
void rules_complain(struct rules *r, const struct hg_err *err);

/* ---- what there is ---- */

struct rules_filter {
	bool no_alerting, no_recording;              /* type=record, type=alert */
	bool no_alerts;                              /* exclude_alerts=true */
	const struct hg_str *names, *groups, *files; /* rule_name[], rule_group[], file[] */
	uint32_t name_n, group_n, file_n;
};

/* `data` of /api/v1/rules and of /api/v1/alerts as Prometheus has them. `f` may be NULL. */
void rules_json(const struct rules *r, const struct rules_filter *f, struct hg_buf *to);
void rules_alerts_json(const struct rules *r, struct hg_buf *to);
/* headgate_rules_* in the text format. */
void rules_metrics(const struct rules *r, struct hg_buf *to);

/*
 * For whoever tells people: all alerts that fire, and those that ceased to fire after `after`.
 * {"epoch":"…","at":N,"alerts":[{"labels":{},"annotations":{},"starts":ms,"ends":ms,"valid":ms,
 * "url":"…"}],"pending":[{}],"complete":true,"incomplete":["…"]}; "ends" 0: it fires, and counts
 * for "valid" more ms. `at` is what to ask for next time. Another epoch: another process,
 * everything is told.
 *
 * With "complete", an alert that is neither in "alerts" nor (by its labels) in "pending" is over,
 * unless "incomplete" has its name: rules of that name were not evaluated yet since they came, or
 * only while samples may have been missing. Without it nothing follows from what is not there.
 */
void rules_news_json(const struct rules *r, struct hg_str epoch, uint64_t after, struct hg_buf *to);
struct serve_call;
struct serve_request;

/* GET /v1/rules/news?epoch=&after=&wait_ms=: rules_news_json, when there is news or the time is
 * over. True: answered, now or later; false: the path is another's. */
bool rules_http(struct rules *r, struct serve_call *call, const struct serve_request *req);
/* True when rules_news_json would tell of a change that the asker does not know. */
bool rules_has_news(const struct rules *r, struct hg_str epoch, uint64_t after);

#endif
