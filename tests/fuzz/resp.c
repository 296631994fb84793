/* A reply in pieces is the reply at once; what is complete can be walked to its end; a request is
 * a reply that means what was asked. */
#include "fuzz.h"

#include "wire/resp.h"

#define MAX 4096u

static void walk(struct hg_str reply)
{
	struct hg_str rest = reply, other = reply;
	struct resp_value v;
	size_t values = 0;
	while (resp_next(&rest, &v)) {
		values++;
		HG_ASSERT(v.str.n <= reply.n);
		HG_ASSERT(v.str.n == 0 ||
		          (v.str.p >= reply.p && v.str.p + v.str.n <= reply.p + reply.n));
	}
	HG_ASSERT(values > 0 && rest.n == 0);
	HG_ASSERT(resp_next(&other, &v));
	resp_skip(&other, &v);
	HG_ASSERT(other.n == 0);
}

static void pieces(struct hg_str in, size_t step, enum resp_result want, size_t want_n)
{
	struct resp_scan s = {0};
	enum resp_result got = RESP_MORE;
	size_t n = 0;
	for (size_t have = 0; have < in.n && got == RESP_MORE;) {
		have = HG_MIN(have + step, in.n);
		got = resp_scan(&s, (struct hg_str){in.p, have}, MAX, &n);
	}
	HG_ASSERT(got == want);
	HG_ASSERT(got != RESP_DONE || n == want_n);
}

static void as_request(struct hg_str in)
{
	struct hg_str arg[3] = {in, HG_STR(""), {in.p, in.n / 2}}, rest;
	struct resp_scan s = {0};
	struct resp_value v;
	struct hg_buf b;
	size_t n = 0;
	hg_buf_init(&b, 4 * in.n + 256);
	resp_request(&b, arg, HG_COUNT(arg));
	HG_ASSERT(!b.failed);
	HG_ASSERT(resp_scan(&s, hg_buf_view(&b), b.n, &n) == RESP_DONE && n == b.n);
	rest = hg_buf_view(&b);
	HG_ASSERT(resp_next(&rest, &v) && v.type == RESP_ARRAY && v.n == 3);
	for (size_t i = 0; i < HG_COUNT(arg); i++)
		HG_ASSERT(resp_next(&rest, &v) && v.type == RESP_STR && hg_str_eq(v.str, arg[i]));
	hg_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct hg_str in = {copy, size};
	struct resp_scan s = {0};
	size_t n = 0;
	enum resp_result whole = resp_scan(&s, in, MAX, &n);
	HG_ASSERT(whole != RESP_DONE || (n > 0 && n <= size && n <= MAX));
	if (whole == RESP_DONE) {
		char *reply = fuzz_copy((struct hg_str){copy, n});
		walk((struct hg_str){reply, n});
		free(reply);
	}
	for (size_t step = 1; step < 5; step++)
		pieces(in, step, whole, n);
	as_request(in);
	free(copy);
	return 0;
}
