/* A query that is taken is printed, read again and printed the same; whatever it is, nothing breaks. */
#include "fuzz.h"

#include "observe/promql/promql.h"

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
		(void)promql_pin(q, 1000);
		reads_back(q);
		promql_free(q);
	} else {
		HG_ASSERT(err.message[0] && err.rc < 0);
	}
	free(copy);
	return 0;
}
