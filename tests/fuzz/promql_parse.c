/* A query that is taken is printed, read again and printed the same, in one line and in several;
 * its tree is written; whatever it is, nothing breaks. */
#include "fuzz.h"

#include "observe/promql/promql.h"

/* Broken over lines it is the same query, and its tree is written whatever it is. */
static void is_written(const struct promql_query *q)
{
	struct hg_buf line, lines, tree;
	struct promql_query *again;
	hg_buf_init(&line, (size_t)1 << 20);
	hg_buf_init(&lines, (size_t)1 << 20);
	hg_buf_init(&tree, (size_t)4 << 20);
	promql_pretty(q, &lines);
	if (!lines.failed && lines.n <= PROMQL_TEXT_MAX) {
		HG_ASSERT(promql_parse(hg_buf_view(&lines), &again, NULL) == HG_OK);
		promql_print(again, &line);
		hg_buf_reset(&lines);
		promql_print(q, &lines);
		HG_ASSERT(hg_str_eq(hg_buf_view(&line), hg_buf_view(&lines)));
		promql_free(again);
	}
	promql_tree(q, &tree);
	HG_ASSERT(tree.failed || (tree.n > 2 && tree.p[0] == '{' && tree.p[tree.n - 1] == '}'));
	hg_buf_free(&line);
	hg_buf_free(&lines);
	hg_buf_free(&tree);
}

static void reads_back(const struct promql_query *q)
{
	struct hg_buf first, second;
	struct promql_query *again;
	hg_buf_init(&first, (size_t)1 << 20);
	hg_buf_init(&second, (size_t)1 << 20);
	promql_print(q, &first);
	if (!first.failed && first.n <= PROMQL_TEXT_MAX) {
		HG_ASSERT(promql_parse(hg_buf_view(&first), &again, NULL) == HG_OK);
		HG_ASSERT(promql_type_of(again) == promql_type_of(q));
		promql_print(again, &second);
		HG_ASSERT(hg_str_eq(hg_buf_view(&first), hg_buf_view(&second)));
		promql_free(again);
	}
	hg_buf_free(&first);
	hg_buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct promql_query *q;
	struct hg_err err = {0};
	if (size > 4096) size = 4096;
	if (promql_parse((struct hg_str){copy, size}, &q, &err) == HG_OK) {
		reads_back(q);
		is_written(q);
		(void)promql_pin(q, 1000);
		reads_back(q);
		promql_free(q);
	} else {
		HG_ASSERT(err.message[0] && err.rc < 0);
	}
	free(copy);
	return 0;
}
