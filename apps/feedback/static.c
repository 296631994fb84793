#include "apps/feedback/app_priv.h"

#include "base/embed.h"

extern const struct hg_embed feedback_web[];
extern const size_t feedback_web_count;

/* The page runs only its own script and style, whatever a message says. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
                             "img-src 'self'; connect-src 'self'; base-uri 'none'; "
                             "form-action 'self'; frame-ancestors 'none'";

static bool wants_gzip(const struct serve_request *req, const struct hg_embed *f)
{
	const struct http1_field *accept = http1_find(req->head, HTTP1_F_ACCEPT_ENCODING);
	return f->gzip.n && accept && http1_list_has(accept->value, HG_STR("gzip"));
}

bool app_unchanged(const struct serve_request *req, struct hg_str etag)
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

/* Named with the hash of exactly these bytes: they will never change. */
static bool is_hashed(const struct serve_request *req, const struct hg_embed *f)
{
	char v[32];
	return serve_query(req->query, "v", v, sizeof v) && hg_str_eq(hg_str(v), f->hash);
}

void app_static(struct serve_call *call, const struct serve_request *req, bool *ret_found)
{
	const struct hg_embed *f = hg_embed_find(feedback_web, feedback_web_count, req->path);
	char text[40];
	struct hg_out o = hg_out_over(text, sizeof text);
	*ret_found = f != NULL;
	if (!f) return;
	bool gzip = wants_gzip(req, f);
	hg_out_fmt(&o, "\"%.*s%s\"", HG_STR_ARG(f->hash), gzip ? "-gz" : "");
	struct hg_str etag = {text, o.n};
	serve_field(call, "ETag", etag);
	serve_field(call, "Vary", HG_STR("Accept-Encoding"));
	serve_field(call, "Cache-Control",
	        is_hashed(req, f) ? HG_STR("public, max-age=31536000, immutable")
	                          : HG_STR("no-cache"));
	if (app_unchanged(req, etag)) {
		serve_answer(call, 304, NULL, HG_STR(""));
		return;
	}
	serve_field(call, "X-Content-Type-Options", HG_STR("nosniff"));
	serve_field(call, "Referrer-Policy", HG_STR("same-origin"));
	serve_field(call, "Content-Security-Policy", hg_str(policy));
	if (gzip) serve_field(call, "Content-Encoding", HG_STR("gzip"));
	serve_answer(call, 200, f->type.p, gzip ? f->gzip : f->data);
}
