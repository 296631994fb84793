#include "face/web/web.h"

#include "base/embed.h"

extern const struct hg_embed dashboard_web[];
extern const size_t dashboard_web_count;

/* Images may be `data:`: charts and icons are drawn that way, and nothing runs in them. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
                             "img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
                             "form-action 'none'; frame-ancestors 'none'";

/* On every file: a picture or a script that is opened by itself is a page as well. */
static void guard(struct serve_call *call)
{
	serve_field(call, "Content-Security-Policy", hg_str(policy));
	serve_field(call, "Referrer-Policy", HG_STR("no-referrer"));
	serve_field(call, "Cross-Origin-Opener-Policy", HG_STR("same-origin"));
	serve_field(call, "Cross-Origin-Resource-Policy", HG_STR("same-origin"));
	serve_field(call, "Permissions-Policy",
	        HG_STR("camera=(), display-capture=(), geolocation=(), microphone=(), "
	               "payment=(), usb=()"));
}

bool web_answer(struct serve_call *call, const struct serve_request *req, struct hg_str url)
{
	const struct hg_embed *f = hg_embed_find(dashboard_web, dashboard_web_count, url);
	if (!f) return false;
	guard(call);
	/* The same address is a text for programs. */
	if (hg_str_eq(url, HG_STR("/"))) serve_field(call, "Vary", HG_STR("Accept"));
	serve_file(call, req, f,
	        hg_str_starts(url, HG_STR("/assets/"))
	                ? HG_STR("public, max-age=31536000, immutable")
	                : HG_STR("no-cache"));
	return true;
}
