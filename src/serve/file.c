/* Files that tools/embed.py built into the program: which form of them a client wants. */
#include "base/embed.h"
#include "serve/serve.h"

/* "q=0", "q=0.00": what the client does not want. */
static bool is_refused(struct hg_str parameters)
{
	while (parameters.n) {
		struct hg_str value = hg_str_trim(hg_str_cut(&parameters, ';'));
		struct hg_str name = hg_str_trim(hg_str_cut(&value, '='));
		if (!hg_str_eq_nocase(name, HG_STR("q"))) continue;
		value = hg_str_trim(value);
		for (size_t i = 0; i < value.n; i++)
			if (value.p[i] >= '1' && value.p[i] <= '9') return false;
		return true;
	}
	return false;
}

bool serve_accepts(const struct serve_request *req, enum http1_field_id field, struct hg_str what)
{
	const struct http1_field *accept = http1_find(req->head, field);
	struct hg_str rest = accept ? accept->value : HG_STR("");
	while (rest.n) {
		struct hg_str parameters = hg_str_cut(&rest, ',');
		struct hg_str name = hg_str_trim(hg_str_cut(&parameters, ';'));
		if (hg_str_eq_nocase(name, what)) return !is_refused(parameters);
	}
	return false;
}

bool serve_unchanged(const struct serve_request *req, struct hg_str etag)
{
	const struct http1_field *have = http1_find(req->head, HTTP1_F_IF_NONE_MATCH);
	struct hg_str rest = have ? have->value : HG_STR("");
	while (rest.n) {
		struct hg_str one = hg_str_trim(hg_str_cut(&rest, ','));
		if (hg_str_starts(one, HG_STR("W/"))) one = (struct hg_str){one.p + 2, one.n - 2};
		if (hg_str_eq(one, etag) || hg_str_eq(one, HG_STR("*"))) return true;
	}
	return false;
}

void serve_file(struct serve_call *c, const struct serve_request *req, const struct hg_embed *f,
        struct hg_str cache)
{
	char text[40];
	struct hg_out o = hg_out_over(text, sizeof text);
	bool gzip = f->gzip.n && serve_accepts(req, HTTP1_F_ACCEPT_ENCODING, HG_STR("gzip"));
	/* Two forms, two tags: a cache must not take one for the other. */
	hg_out_fmt(&o, "\"%.*s%s\"", HG_STR_ARG(f->hash), gzip ? "-gz" : "");
	struct hg_str etag = {text, o.n};
	serve_field(c, "ETag", etag);
	serve_field(c, "Vary", HG_STR("Accept-Encoding"));
	serve_field(c, "Cache-Control", cache);
	if (serve_unchanged(req, etag)) {
		serve_answer(c, 304, NULL, HG_STR(""));
		return;
	}
	serve_field(c, "X-Content-Type-Options", HG_STR("nosniff"));
	if (gzip) serve_field(c, "Content-Encoding", HG_STR("gzip"));
	serve_answer(c, 200, f->type.p, gzip ? f->gzip : f->data);
}
