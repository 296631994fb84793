/* query: PromQL on the command line. */
#include "cli_priv.h"

#include "observe/promql/promql.h"
#include "os/file.h"

#include <stdio.h>

#define FILE_MAX_N ((size_t)16 << 20)
#define OUT_MAX    ((size_t)256 << 20)

int cli_do_query_test(struct cli *c)
{
	struct promql_test_counts counts = {0};
	struct hg_err err = {0};
	enum hg_rc rc = HG_OK;
	for (int i = 0; i < c->args.count && rc == HG_OK; i++) {
		struct hg_buf text, out;
		hg_buf_init(&text, FILE_MAX_N);
		hg_buf_init(&out, OUT_MAX);
		rc = file_read(c->args.positional[i], FILE_MAX_N, &text, &err);
		if (rc == HG_OK)
			rc = promql_test(
			        hg_buf_view(&text), c->args.positional[i], &out, &counts, &err);
		if (out.n) cli_out("%s", hg_buf_text(&out));
		hg_buf_free(&out);
		hg_buf_free(&text);
	}
	if (rc < 0) return cli_fail(&err);
	cli_out("%llu passed, %llu failed, %llu skipped\n", (unsigned long long)counts.passed,
	        (unsigned long long)counts.failed, (unsigned long long)counts.skipped);
	return counts.failed ? 1 : 0;
}
