/* A file of the test language, whatever it is: ends, in bounded memory, and each eval is counted once. */
#include "fuzz.h"

#include "observe/promql/promql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct promql_test_counts c = {0};
	struct hg_buf out;
	struct hg_err err = {0};
	uint64_t lines = 0;
	if (size > 2048) size = 2048;
	hg_buf_init(&out, (size_t)16 << 20);
	if (promql_test((struct hg_str){copy, size}, "f", &out, &c, &err) == HG_OK && !out.failed) {
		for (size_t i = 0; i + 1 < out.n; i++)
			lines += out.p[i] == 'f' && out.p[i + 1] == ':' && (!i || out.p[i - 1] == '\n');
		HG_ASSERT(lines >= c.passed + c.failed + c.skipped);
	}
	hg_buf_free(&out);
	free(copy);
	return 0;
}
