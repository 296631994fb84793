/*
 * The head that the edge writes for a replica is, to our own parser, the request it was written
 * for: the same method, target, authority and body, every field that goes end to end in its order,
 * and nothing of the client's that the edge says itself. Written once more for a next hop it means
 * the same again.
 */
#include "fuzz.h"

#include "data/edge/edge_priv.h"

static const struct http1_limits lim = {EDGE_BUF_SIZE - EDGE_HEAD_SPARE, 8192, HTTP1_FIELDS_MAX};
static const struct http1_limits wide = {EDGE_BUF_SIZE, EDGE_BUF_SIZE, HTTP1_FIELDS_MAX};

static bool written(struct hg_str p, const struct http1_head *h, struct hg_out *o)
{
	static struct edge e;
	static const struct snap_image snap;
	static struct edge_image image = {.snap = &snap, .via = {"me", 2}};
	struct edge_req r = {.image = &image,
	        .expect = h->expect_continue,
	        .upgrade = h->upgrade && h->body == HTTP1_BODY_NONE};
	/* As in edge_request_begin: the head has been consumed. */
	struct edge_conn c = {.edge = &e,
	        .req = &r,
	        .io.fd = -1,
	        .in = {.buf = (char *)(uintptr_t)p.p, .raw = (uint32_t)h->size},
	        .client_n = 9};
	memcpy(c.client, "127.0.0.1", 9);
	hg_rand_seed(&e.rand, 1);
	edge_trace_begin(&c, h);
	return edge_head_request(&c, h, o);
}

/* Does the next hop see the field as it came? */
static bool end_to_end(const struct http1_field *f)
{
	static const char *const ours[] = {"x-forwarded-", "x_forwarded_", "x-forwarded_",
	        "x_forwarded-", "x-real-ip", "x_real_ip", "x-real_ip", "x_real-ip"};
	for (size_t i = 0; i < HG_COUNT(ours); i++) {
		struct hg_str want = hg_str(ours[i]), start = f->name;
		start.n = HG_MIN(start.n, want.n);
		if (hg_str_eq_nocase(start, want) && (want.n == 12 || f->name.n == want.n))
			return false;
	}
	return f->id == HTTP1_F_OTHER && !f->hop;
}

static const struct http1_field *next_field(const struct http1_head *h, uint16_t *at)
{
	while (*at < h->field_count) {
		const struct http1_field *f = &h->field[(*at)++];
		if (end_to_end(f)) return f;
	}
	return NULL;
}

static void same(const struct http1_head *a, const struct http1_head *b)
{
	uint16_t i = 0, k = 0;
	bool no_authority = a->authority.n == 0;
	HG_ASSERT(hg_str_eq(a->method_text, b->method_text) && a->body == b->body);
	HG_ASSERT(a->has_content_length == b->has_content_length || a->body != HTTP1_BODY_LENGTH);
	HG_ASSERT(a->body != HTTP1_BODY_LENGTH || a->content_length == b->content_length);
	HG_ASSERT(hg_str_eq(a->path, b->path) && hg_str_eq(a->query, b->query));
	HG_ASSERT(no_authority || hg_str_eq(a->authority, b->authority));
	HG_ASSERT(b->minor == 1 && b->keep_alive && b->target.p != NULL);
	for (;;) {
		const struct http1_field *f = next_field(a, &i), *g = next_field(b, &k);
		HG_ASSERT(!f == !g);
		if (!f) return;
		HG_ASSERT(hg_str_eq(f->name, g->name) && hg_str_eq(f->value, g->value));
	}
}

static unsigned count(const struct http1_head *h, enum http1_field_id id)
{
	unsigned n = 0;
	for (uint16_t i = 0; i < h->field_count; i++)
		n += h->field[i].id == id;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http1_head h, got, again;
	static char first[EDGE_BUF_SIZE], second[EDGE_BUF_SIZE];
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct hg_str p = {copy, size};
	struct hg_out o = hg_out_over(first, sizeof first), o2 = hg_out_over(second, sizeof second);
	bool known = http1_request(p, 0, &lim, &h) == HTTP1_DONE && h.method != HTTP1_CONNECT;
	if (known && written(p, &h, &o)) {
		struct hg_str out = {first, o.n};
		enum http1_result r = http1_request(out, 0, &wide, &got);
		/* What is ours may be the field that is too many. */
		bool full = r == HTTP1_BAD && got.status == 431;
		HG_ASSERT(full || (r == HTTP1_DONE && got.size == o.n));
		if (!full) {
			same(&h, &got);
			HG_ASSERT(count(&got, HTTP1_F_X_FORWARDED_FOR) == 1);
			HG_ASSERT(count(&got, HTTP1_F_FORWARDED) == 1);
			HG_ASSERT(count(&got, HTTP1_F_TRACEPARENT) == 1);
			HG_ASSERT(count(&got, HTTP1_F_X_REQUEST_ID) == 1);
			HG_ASSERT(
			        count(&got, HTTP1_F_TE) == 0 && count(&got, HTTP1_F_TRAILER) == 0);
		}
		if (!full && written(out, &got, &o2) &&
		        http1_request((struct hg_str){second, o2.n}, 0, &wide, &again) ==
		                HTTP1_DONE)
			same(&got, &again);
	}
	free(copy);
	return 0;
}
