/* alerts lint, alerts test: rule files on the command line. */
#include "cli_priv.h"

#include "observe/rules/rules.h"
#include "os/file.h"

#include <stdio.h>
#include <stdlib.h>

#define OUT_MAX ((size_t)64 << 20)

/* 0, or the exit status of the first error. */
static int lint_one(const char *path, struct hg_buf *to, uint32_t *notes, uint32_t *count)
{
	struct spec_report *report = calloc(1, sizeof *report);
	struct rules_file *f = NULL;
	struct hg_buf text;
	struct hg_err err = {0};
	hg_buf_init(&text, RULES_FILE_MAX);
	enum hg_rc rc = report ? file_read(path, RULES_FILE_MAX, &text, &err)
	                       : hg_err_set(&err, HG_E_NOMEM, "memory is exhausted");
	if (rc < 0) {
		free(report);
		hg_buf_free(&text);
		return cli_fail(&err);
	}
	spec_report_init(report, hg_str(path), hg_buf_view(&text));
	rc = rules_file_read(hg_buf_view(&text), hg_str(path), report, &f);
	if (rc == HG_OK) {
		*notes += rules_lint(f, NULL, report);
		*count += f->rules;
		spec_report_sort(report);
	}
	spec_report_print(report, to);
	rules_file_free(f);
	hg_buf_free(&text);
	free(report);
	return rc == HG_OK ? 0 : hg_rc_info(HG_E_RULES_FILE)->exit_status;
}

int cli_do_alerts_lint(struct cli *c)
{
	uint32_t notes = 0, rules = 0;
	int status = 0;
	for (int i = 0; i < c->args.count; i++) {
		struct hg_buf out;
		hg_buf_init(&out, OUT_MAX);
		int one = lint_one(c->args.positional[i], &out, &notes, &rules);
		if (out.n) fputs(hg_buf_text(&out), stderr);
		hg_buf_free(&out);
		if (!status) status = one;
	}
	if (status) {
		cli_next(NULL, "headgate help %s", hg_rc_info(HG_E_RULES_FILE)->code);
		return status;
	}
	cli_out("%u rule%s, %u note%s\n", rules, rules == 1 ? "" : "s", notes,
	        notes == 1 ? "" : "s");
	return notes && cli_has(&c->args, CLI_F_STRICT) ? hg_rc_info(HG_E_RULES_ADVICE)->exit_status
	                                                : 0;
}

int cli_do_alerts_test(struct cli *c)
{
	bool good = true;
	for (int i = 0; i < c->args.count; i++) {
		struct hg_buf out;
		hg_buf_init(&out, OUT_MAX);
		good = rules_test_file(c->args.positional[i], &out) && good;
		cli_out("%s", hg_buf_text(&out));
		hg_buf_free(&out);
	}
	return good ? 0 : 1;
}
