/* The dashboard's files, beside the API that it asks. */
#include "api_priv.h"
#include "face/web/web.h"

enum hg_rc api_get_root(struct api_request *r, struct hg_err *err)
{
	(void)err;
	/* A browser says so; curl and its like take anything. */
	r->answered = serve_accepts(r->req, HTTP1_F_ACCEPT, HG_STR("text/html")) &&
	              web_answer(r->call, r->req, HG_STR("/"));
	if (r->answered) return HG_OK;
	serve_field(r->call, "Vary", HG_STR("Accept"));
	api_text(r, 200, "text/plain; charset=utf-8",
	        HG_STR("This is Headgate " HG_VERSION ".\n\n"
	               "A browser finds the dashboard here; sign in with: headgate open\n\n"
	               "The API is described by /v1/openapi.json and needs a token:\n"
	               "  headgate token create NAME --role viewer\n"
	               "  curl -H 'Authorization: Bearer TOKEN' http://HOST/v1/status\n\n"
	               "Without a token: /healthz, /readyz, and /metrics from this machine.\n"));
	return HG_OK;
}

static enum hg_rc file_answer(struct api_request *r, struct hg_err *err)
{
	r->answered = web_answer(r->call, r->req, r->req->path);
	if (r->answered) return HG_OK;
	return hg_err_set(err, HG_E_API_NO_ROUTE, "the dashboard has no \"%.*s\"",
	        (int)HG_MIN(r->req->path.n, 100), r->req->path.p);
}

enum hg_rc api_get_asset(struct api_request *r, struct hg_err *err)
{
	return file_answer(r, err);
}

enum hg_rc api_get_favicon(struct api_request *r, struct hg_err *err)
{
	return file_answer(r, err);
}
