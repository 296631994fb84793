#include "apps/feedback/app_priv.h"

#include <string.h>

#include "base/embed.h"

extern const struct hg_embed feedback_web[];
extern const size_t feedback_web_count;

/* The page runs only its own script and style, whatever a message says. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
                             "img-src 'self'; connect-src 'self'; base-uri 'none'; "
                             "form-action 'self'; frame-ancestors 'none'";

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

static bool wants_gzip(const struct serve_request *req, const struct hg_embed *f)
{
	const struct http1_field *accept = http1_find(req->head, HTTP1_F_ACCEPT_ENCODING);
	struct hg_str rest = f->gzip.n && accept ? accept->value : HG_STR("");
	while (rest.n) {
		struct hg_str parameters = hg_str_cut(&rest, ',');
		struct hg_str name = hg_str_trim(hg_str_cut(&parameters, ';'));
		if (hg_str_eq_nocase(name, HG_STR("gzip"))) return !is_refused(parameters);
	}
	return false;
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

/*
 * "/static/js/app.0123456789abcdef.js" is the file "/static/js/app.js" as long as it has this hash:
 * *ret_hash. Empty: the path has none, and *path stays.
 */
#define HASH 16
static struct hg_str cut_hash(struct hg_str path, char *to, size_t cap, struct hg_str *ret_hash)
{
	struct hg_out o = hg_out_over(to, cap);
	size_t dot = path.n;
	*ret_hash = HG_STR("");
	while (dot && path.p[dot - 1] != '.' && path.p[dot - 1] != '/')
		dot--;
	if (dot < HASH + 2 || path.p[dot - 1] != '.' || path.p[dot - 2 - HASH] != '.') return path;
	for (size_t i = dot - 1 - HASH; i < dot - 1; i++)
		if (!strchr("0123456789abcdef", path.p[i])) return path;
	hg_out_str(&o, (struct hg_str){path.p, dot - 2 - HASH});
	hg_out_str(&o, (struct hg_str){path.p + dot - 1, path.n - dot + 1});
	if (hg_out_failed(&o)) return path;
	*ret_hash = (struct hg_str){path.p + dot - 1 - HASH, HASH};
	return (struct hg_str){to, o.n};
}

/* Named with the hash of exactly these bytes: they will never change. `hash`: the path's. */
static bool is_hashed(const struct serve_request *req, const struct hg_embed *f, struct hg_str hash)
{
	char v[32];
	if (hash.n) return hg_str_eq(hash, f->hash);
	/* as pages of earlier releases name it */
	return serve_query(req->query, "v", v, sizeof v) && hg_str_eq(hg_str(v), f->hash);
}

void app_static(struct serve_call *call, const struct serve_request *req, bool *ret_found)
{
	char text[40], plain[128];
	struct hg_str hash;
	struct hg_str path = cut_hash(req->path, plain, sizeof plain, &hash);
	/*
	 * While a release takes over, its page may ask a process of the other one for its script:
	 * it gets that one's, to be asked for again, rather than nothing.
	 */
	const struct hg_embed *f = hg_embed_find(feedback_web, feedback_web_count, path);
	struct hg_out o = hg_out_over(text, sizeof text);
	*ret_found = f != NULL;
	if (!f) return;
	bool gzip = wants_gzip(req, f);
	hg_out_fmt(&o, "\"%.*s%s\"", HG_STR_ARG(f->hash), gzip ? "-gz" : "");
	struct hg_str etag = {text, o.n};
	serve_field(call, "ETag", etag);
	serve_field(call, "Vary", HG_STR("Accept-Encoding"));
	serve_field(call, "Cache-Control",
	        is_hashed(req, f, hash) ? HG_STR("public, max-age=31536000, immutable")
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
