/* A head in two pieces is the head at once; what is accepted can be written and read again. */
#include "fuzz.h"

#include "base/buf.h"
#include "wire/http1.h"

static const struct http1_limits lim = {2048, 512, 40};
static const struct http1_limits wide = {1u << 20, 1u << 16, HTTP1_FIELDS_MAX};

static void same(const struct http1_head *a, const struct http1_head *b)
{
	HG_ASSERT(a->method == b->method && a->minor == b->minor && a->body == b->body);
	HG_ASSERT(a->keep_alive == b->keep_alive && a->upgrade == b->upgrade);
	HG_ASSERT(a->expect_continue == b->expect_continue);
	HG_ASSERT(a->has_content_length == b->has_content_length);
	HG_ASSERT(a->content_length == b->content_length);
	HG_ASSERT(hg_str_eq(a->target, b->target) && hg_str_eq(a->path, b->path));
	HG_ASSERT(hg_str_eq(a->query, b->query) && hg_str_eq(a->authority, b->authority));
	HG_ASSERT(a->field_count == b->field_count);
	for (size_t i = 0; i < a->field_count; i++) {
		const struct http1_field *f = &a->field[i], *g = &b->field[i];
		HG_ASSERT(hg_str_eq(f->name, g->name) && hg_str_eq(f->value, g->value));
		HG_ASSERT(f->id == g->id && f->hop == g->hop);
	}
}

static void write_and_read(const struct http1_head *h)
{
	static struct http1_head again;
	struct hg_buf b;
	hg_buf_init(&b, 1u << 20);
	hg_buf_str(&b, h->method_text);
	hg_buf_byte(&b, ' ');
	hg_buf_str(&b, h->target);
	hg_buf_fmt(&b, " HTTP/1.%u\r\n", h->minor);
	for (size_t i = 0; i < h->field_count; i++) {
		hg_buf_str(&b, h->field[i].name);
		hg_buf_cstr(&b, ": ");
		hg_buf_str(&b, h->field[i].value);
		hg_buf_cstr(&b, "\r\n");
	}
	hg_buf_cstr(&b, "\r\n");
	HG_ASSERT(http1_request(hg_buf_view(&b), 0, &wide, &again) == HTTP1_DONE);
	HG_ASSERT(again.size == b.n);
	same(h, &again);
	hg_buf_free(&b);
}

static void in_two_pieces(
        struct hg_str p, size_t cut, enum http1_result whole, const struct http1_head *h)
{
	static struct http1_head got;
	enum http1_result r = http1_request((struct hg_str){p.p, cut}, 0, &lim, &got);
	if (r == HTTP1_MORE) r = http1_request(p, cut, &lim, &got);
	/* A head without an end may be refused at its end or at the limit instead of at once. */
	if (r == HTTP1_MORE && whole == HTTP1_BAD) return;
	HG_ASSERT(r == whole);
	if (r == HTTP1_BAD) HG_ASSERT(got.status == h->status && got.bad == h->bad);
	if (r == HTTP1_DONE) HG_ASSERT(got.size == h->size);
	if (r == HTTP1_DONE) same(h, &got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http1_head h;
	struct hg_str in = {(const char *)data, size};
	char *copy = fuzz_copy(in);
	struct hg_str p = {copy, size};
	enum http1_result whole = http1_request(p, 0, &lim, &h);
	if (whole == HTTP1_BAD) HG_ASSERT(h.status >= 400 && h.bad);
	if (whole == HTTP1_DONE) {
		HG_ASSERT(h.size <= size && h.size <= lim.head_max);
		HG_ASSERT(memcmp(copy + h.size - 4, "\r\n\r\n", 4) == 0);
		write_and_read(&h);
	}
	for (size_t cut = 1; cut < size; cut += fuzz_cut_step(size))
		in_two_pieces(p, cut, whole, &h);
	free(copy);
	return 0;
}
