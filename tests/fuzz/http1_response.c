/* The first byte says what the response answers: H(EAD), C(ONNECT), U(pgrade), else GET. */
#include "fuzz.h"

#include "base/buf.h"
#include "wire/http1.h"

static const struct http1_limits lim = {2048, 512, 40};
static const struct http1_limits wide = {1u << 20, 1u << 16, HTTP1_FIELDS_MAX};

static void same(const struct http1_head *a, const struct http1_head *b)
{
	HG_ASSERT(a->status == b->status && a->minor == b->minor && a->body == b->body);
	HG_ASSERT(a->keep_alive == b->keep_alive && a->upgrade == b->upgrade);
	HG_ASSERT(a->content_length == b->content_length && hg_str_eq(a->reason, b->reason));
	HG_ASSERT(a->field_count == b->field_count);
	for (size_t i = 0; i < a->field_count; i++) {
		const struct http1_field *f = &a->field[i], *g = &b->field[i];
		HG_ASSERT(hg_str_eq(f->name, g->name) && hg_str_eq(f->value, g->value));
		HG_ASSERT(f->id == g->id && f->hop == g->hop);
	}
}

static void write_and_read(const struct http1_head *h, enum http1_method to, bool upgrade)
{
	static struct http1_head again;
	struct hg_buf b;
	hg_buf_init(&b, 1u << 20);
	hg_buf_fmt(&b, "HTTP/1.%u %03u ", h->minor, h->status);
	hg_buf_str(&b, h->reason);
	hg_buf_cstr(&b, "\r\n");
	for (size_t i = 0; i < h->field_count; i++) {
		hg_buf_str(&b, h->field[i].name);
		hg_buf_cstr(&b, ": ");
		hg_buf_str(&b, h->field[i].value);
		hg_buf_cstr(&b, "\r\n");
	}
	hg_buf_cstr(&b, "\r\n");
	HG_ASSERT(http1_response(hg_buf_view(&b), 0, &wide, to, upgrade, &again) == HTTP1_DONE);
	HG_ASSERT(again.size == b.n);
	same(h, &again);
	hg_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http1_head h, got;
	if (size == 0) return 0;
	enum http1_method to = data[0] == 'H'   ? HTTP1_HEAD
	                       : data[0] == 'C' ? HTTP1_CONNECT
	                                        : HTTP1_GET;
	bool upgrade = data[0] == 'U';
	char *copy = fuzz_copy((struct hg_str){(const char *)data + 1, size - 1});
	struct hg_str p = {copy, size - 1};
	enum http1_result whole = http1_response(p, 0, &lim, to, upgrade, &h);
	if (whole == HTTP1_BAD) HG_ASSERT(h.status == 502 && h.bad);
	if (whole == HTTP1_DONE) {
		HG_ASSERT(h.size <= p.n && h.status >= 100 && h.status <= 999);
		HG_ASSERT(to != HTTP1_HEAD || h.body == HTTP1_BODY_NONE || h.status == 101);
		write_and_read(&h, to, upgrade);
	}
	for (size_t cut = 1; cut < p.n; cut += fuzz_cut_step(p.n)) {
		struct hg_str part = {p.p, cut};
		enum http1_result r = http1_response(part, 0, &lim, to, upgrade, &got);
		if (r == HTTP1_MORE) r = http1_response(p, cut, &lim, to, upgrade, &got);
		if (r == HTTP1_MORE && whole == HTTP1_BAD) continue;
		HG_ASSERT(r == whole);
		if (r == HTTP1_DONE) same(&h, &got);
	}
	free(copy);
	return 0;
}
