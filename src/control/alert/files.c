/* `alerts.rules` and `alerts.import` to rule files. */
#include "control/alert/alert.h"

#include "observe/rules/rules.h"
#include "os/file.h"
#include "wire/json.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#define RULES_BYTES ((size_t)64 << 20)
#define OWN_LINES   3u /* in front of the rules of the configuration; one line a rule */

struct reading {
	const struct spec *s;
	const char *dir;
	struct alert_rules *to;
	struct alert_source *files;
	void (*note)(void *arg, const struct hg_err *e);
	void *arg;
	struct hg_err *err;
	struct spec_report *report;
};

static void pair(struct hg_buf *b, bool *any, struct hg_str name, struct hg_str value)
{
	if (*any) hg_buf_cstr(b, ", ");
	*any = true;
	json_quote(b, name);
	hg_buf_cstr(b, ": ");
	json_quote(b, value);
}

static const char *severity_name(enum spec_alert_rule_severity s)
{
	switch (s) {
	case SPEC_ALERT_RULE_SEVERITY_INFO: return "info";
	case SPEC_ALERT_RULE_SEVERITY_CRITICAL: return "critical";
	case SPEC_ALERT_RULE_SEVERITY_DISASTER: return "disaster";
	default: return "warning";
	}
}

static void rule_write(struct hg_buf *b, const struct spec_alert_rule *r)
{
	bool any = false;
	hg_buf_cstr(b, "  - {alert: ");
	json_quote(b, r->alert);
	hg_buf_cstr(b, ", expr: ");
	json_quote(b, r->expr);
	hg_buf_fmt(b, ", for: %llums, keep_firing_for: %llums, labels: {",
	        (unsigned long long)r->for_ms, (unsigned long long)r->keep_firing_for_ms);
	pair(b, &any, HG_STR("severity"), hg_str(severity_name(r->severity)));
	if (r->team.n) pair(b, &any, HG_STR("team"), r->team);
	for (uint32_t i = 0; i < r->label_count; i++)
		pair(b, &any, r->labels[i].name, r->labels[i].value);
	hg_buf_cstr(b, "}, annotations: {");
	any = false;
	if (r->summary.n) pair(b, &any, HG_STR("summary"), r->summary);
	if (r->runbook.n) pair(b, &any, HG_STR("runbook_url"), r->runbook);
	for (uint32_t i = 0; i < r->annotation_count; i++)
		pair(b, &any, r->annotations[i].name, r->annotations[i].value);
	hg_buf_cstr(b, "}}\n");
}

/* A problem in the text that was made of the configuration gets its place in the configuration. */
static void own_place(const struct reading *x, struct hg_err *e)
{
	char path[64];
	uint32_t at = e->line > OWN_LINES ? e->line - OWN_LINES - 1 : 0;
	bool expr = e->rc == HG_E_QUERY_SYNTAX || e->rc == HG_E_QUERY_LIMIT ||
	            e->rc == HG_E_RULES_ADVICE;
	(void)snprintf(path, sizeof path, "rules.%u%s", at, expr ? ".expr" : "");
	e->snippet[0] = 0;
	e->caret = 0;
	spec_alerts_place(x->s, path, e);
}

static void notes(struct reading *x, bool own)
{
	for (uint32_t i = 0; x->note && i < x->report->warning_count && i < SPEC_PROBLEMS_MAX;
	        i++) {
		struct hg_err e = x->report->warnings[i];
		if (own) own_place(x, &e);
		x->note(x->arg, &e);
	}
}

static enum hg_rc file_add(struct reading *x, struct hg_str name, struct hg_str text, bool own)
{
	struct rules_file *f = NULL;
	if (x->to->n == ALERT_FILES_MAX)
		return hg_err_set(x->err, HG_E_CONFIG_LIMIT, "there are more than %u rule files",
		        ALERT_FILES_MAX);
	struct alert_source *to = &x->files[x->to->n];
	to->name = hg_arena_str(&x->to->mem, name);
	to->text = hg_arena_str(&x->to->mem, text);
	if (!to->name.p || !to->text.p)
		return hg_err_set(
		        x->err, HG_E_CONFIG_LIMIT, "the rule files are too large together");
	spec_report_init(x->report, to->name, to->text);
	enum hg_rc rc = rules_file_read(to->text, to->name, x->report, &f);
	if (rc < 0) {
		if (x->err) *x->err = x->report->errors[0];
		if (own && x->err) own_place(x, x->err);
		return rc;
	}
	const struct rules_lint_options o = {.every_ms = (int64_t)x->s->alerts.every_ms};
	if (x->note) (void)rules_lint(f, &o, x->report);
	notes(x, own);
	rules_file_free(f);
	x->to->n++;
	return HG_OK;
}

static enum hg_rc own_read(struct reading *x)
{
	const struct spec_alerts *a = &x->s->alerts;
	struct hg_buf b;
	if (!a->rule_count) return HG_OK;
	hg_buf_init(&b, RULES_FILE_MAX);
	hg_buf_cstr(&b, "groups:\n- name: headgate.yaml\n  rules:\n");
	for (uint32_t i = 0; i < a->rule_count; i++)
		rule_write(&b, &a->rules[i]);
	enum hg_rc rc = b.failed ? hg_err_set(x->err, HG_E_CONFIG_LIMIT,
	                                   "`alerts.rules` is too large; use `import`")
	                         : file_add(x, HG_STR("headgate.yaml"), hg_buf_view(&b), true);
	hg_buf_free(&b);
	return rc;
}

static enum hg_rc import_file(struct reading *x, const char *path, const char *key)
{
	struct hg_buf text;
	hg_buf_init(&text, RULES_FILE_MAX);
	enum hg_rc rc = file_read(path, RULES_FILE_MAX, &text, x->err);
	if (rc < 0) spec_alerts_place(x->s, key, x->err);
	/* The name as it stands in the configuration, as far as that goes. */
	struct hg_str name = hg_str(path), dir = hg_str(x->dir);
	if (dir.n && hg_str_starts(name, dir) && name.n > dir.n && name.p[dir.n] == '/')
		name = (struct hg_str){name.p + dir.n + 1, name.n - dir.n - 1};
	if (rc == HG_OK) rc = file_add(x, name, hg_buf_view(&text), false);
	hg_buf_free(&text);
	return rc;
}

static enum hg_rc import_read(struct reading *x, struct hg_str pattern, uint32_t at)
{
	struct hg_buf path;
	char key[32];
	glob_t found = {0};
	bool wild = memchr(pattern.p, '*', pattern.n) || memchr(pattern.p, '?', pattern.n) ||
	            memchr(pattern.p, '[', pattern.n);
	(void)snprintf(key, sizeof key, "import.%u", at);
	hg_buf_init(&path, 8192);
	if (!hg_str_starts(pattern, HG_STR("/"))) hg_buf_fmt(&path, "%s/", x->dir);
	hg_buf_str(&path, pattern);
	enum hg_rc rc = HG_OK;
	if (path.failed) {
		rc = hg_err_set(x->err, HG_E_CONFIG_VALUE, "the path is too long");
		spec_alerts_place(x->s, key, x->err);
	} else if (!wild) {
		rc = import_file(x, hg_buf_text(&path), key);
	} else if (glob(hg_buf_text(&path), 0, NULL, &found) == 0) {
		for (size_t i = 0; rc == HG_OK && i < found.gl_pathc; i++)
			rc = import_file(x, found.gl_pathv[i], key);
		globfree(&found);
	}
	hg_buf_free(&path);
	return rc;
}

void alert_rules_free(struct alert_rules *r)
{
	if (!r) return;
	hg_arena_fini(&r->mem);
	free(r);
}

enum hg_rc alert_rules_read(const struct spec *s, const char *dir,
        void (*note)(void *arg, const struct hg_err *e), void *arg, struct alert_rules **ret_rules,
        struct hg_err *err)
{
	struct alert_rules *r = calloc(1, sizeof *r);
	struct reading x = {.s = s,
	        .dir = dir,
	        .to = r,
	        .note = note,
	        .arg = arg,
	        .err = err,
	        .report = calloc(1, sizeof *x.report)};
	enum hg_rc rc = HG_E_NOMEM;
	if (r) {
		hg_arena_init(&r->mem, "rule files", RULES_BYTES);
		r->files = x.files = hg_arena_array(&r->mem, ALERT_FILES_MAX, sizeof *x.files);
	}
	if (r && x.report && x.files) {
		rc = own_read(&x);
		for (uint32_t i = 0; rc == HG_OK && i < s->alerts.import_count; i++)
			rc = import_read(&x, s->alerts.import[i], i);
	} else {
		hg_err_set(err, rc, "memory is exhausted");
	}
	free(x.report);
	if (rc == HG_OK)
		*ret_rules = r;
	else
		alert_rules_free(r);
	return rc;
}
