/* Decoding in pieces is decoding at once; what was decoded can be encoded and decoded again. */
#include "fuzz.h"

#include "base/buf.h"
#include "wire/http1.h"

struct decoded {
	enum http1_result result;
	size_t used;
	struct hg_buf data;
};

/* Fed `piece` bytes at a time. */
static struct decoded decode(struct hg_str p, size_t piece)
{
	struct http1_chunked c = {0};
	struct decoded d = {.result = HTTP1_MORE};
	hg_buf_init(&d.data, p.n + 1);
	while (d.result == HTTP1_MORE && d.used < p.n) {
		size_t n = HG_MIN(piece, p.n - d.used);
		struct http1_span span = http1_chunked_next(&c, (struct hg_str){p.p + d.used, n});
		HG_ASSERT(span.used <= n && (span.used > 0 || span.result == HTTP1_BAD));
		HG_ASSERT(span.data.n <= span.used);
		hg_buf_str(&d.data, span.data);
		d.used += span.used;
		d.result = span.result;
	}
	HG_ASSERT(!d.data.failed && c.total == d.data.n);
	return d;
}

static void encode_and_decode(struct hg_str data)
{
	struct hg_buf b;
	hg_buf_init(&b, data.n + 64);
	if (data.n) {
		hg_buf_fmt(&b, "%zx\r\n", data.n);
		hg_buf_str(&b, data);
		hg_buf_cstr(&b, "\r\n");
	}
	hg_buf_cstr(&b, "0\r\n\r\n");
	struct decoded d = decode(hg_buf_view(&b), b.n);
	HG_ASSERT(d.result == HTTP1_DONE && d.used == b.n);
	HG_ASSERT(hg_str_eq(hg_buf_view(&d.data), data));
	hg_buf_free(&d.data);
	hg_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct hg_str p = {copy, size};
	struct decoded whole = decode(p, size ? size : 1);
	for (size_t piece = 1; piece < 8; piece++) {
		struct decoded d = decode(p, piece);
		HG_ASSERT(d.result == whole.result);
		HG_ASSERT(d.result == HTTP1_BAD || d.used == whole.used);
		HG_ASSERT(hg_str_eq(hg_buf_view(&d.data), hg_buf_view(&whole.data)));
		hg_buf_free(&d.data);
	}
	if (whole.result == HTTP1_DONE) encode_and_decode(hg_buf_view(&whole.data));
	hg_buf_free(&whole.data);
	free(copy);
	return 0;
}
