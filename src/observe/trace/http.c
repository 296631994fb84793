#include "observe/trace/trace.h"

bool traces_http(struct traces *t, struct serve_call *call, const struct serve_request *req)
{
	char url[TRACES_URL_MAX] = "";
	struct hg_err err = {0};
	if (!hg_str_eq(req->path, HG_STR("/v1/traces/export"))) return false;
	if (req->method != HTTP1_PUT && req->method != HTTP1_POST) {
		serve_problem(call, 405, HG_E_INVALID, "this path has no such method");
		return true;
	}
	if (!serve_query(req->query, "url", url, sizeof url)) {
		serve_problem(call, 400, HG_E_INVALID, "url is needed; empty: traces are not sent");
		return true;
	}
	enum hg_rc rc = traces_export(t, hg_str(url), &err);
	if (rc == HG_OK)
		serve_answer(call, 204, NULL, (struct hg_str){NULL, 0});
	else
		serve_problem(call, rc == HG_E_INVALID ? 400 : 500, rc, err.message);
	return true;
}
