#include "apps/feedback/app_priv.h"

#include <string.h>

#include "base/embed.h"

extern const struct hg_embed feedback_web[];
extern const size_t feedback_web_count;

/* The page runs only its own script and style, whatever a message says. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
                             "img-src 'self'; connect-src 'self'; base-uri 'none'; "
                             "form-action 'self'; frame-ancestors 'none'";

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
	char plain[128];
	struct hg_str hash;
	struct hg_str path = cut_hash(req->path, plain, sizeof plain, &hash);
	/*
	 * While a release takes over, its page may ask a process of the other one for its script:
	 * it gets that one's, to be asked for again, rather than nothing.
	 */
	const struct hg_embed *f = hg_embed_find(feedback_web, feedback_web_count, path);
	*ret_found = f != NULL;
	if (!f) return;
	serve_field(call, "Referrer-Policy", HG_STR("same-origin"));
	serve_field(call, "Content-Security-Policy", hg_str(policy));
	serve_file(call, req, f,
	        is_hashed(req, f, hash) ? HG_STR("public, max-age=31536000, immutable")
	                                : HG_STR("no-cache"));
}
