#include "api_priv.h"

#include <stdio.h>

static const struct {
	const char *name;
	unsigned status;
} kinds[] = {
        [PA_FINE] = {"", 200},
        [PA_BAD_DATA] = {"bad_data", 400},
        [PA_EXECUTION] = {"execution", 422},
        [PA_TIMEOUT] = {"timeout", 503},
        [PA_CANCELED] = {"canceled", 499},
        [PA_INTERNAL] = {"internal", 500},
        [PA_UNAVAILABLE] = {"unavailable", 503},
        [PA_NOT_FOUND] = {"not_found", 404},
};

unsigned pa_status(enum pa_kind kind)
{
	return kinds[kind].status;
}

enum hg_rc pa_code(enum pa_kind kind)
{
	switch (kind) {
	case PA_BAD_DATA: return HG_E_API_BODY;
	case PA_TIMEOUT:
	case PA_CANCELED: return HG_E_QUERY_TIME;
	case PA_UNAVAILABLE: return HG_E_AGAIN;
	case PA_NOT_FOUND: return HG_E_NOT_FOUND;
	case PA_INTERNAL: return HG_E_NOMEM;
	default: return HG_E_QUERY_FAILED;
	}
}

bool pa_fail(struct pa_error *e, enum pa_kind kind, const char *fmt, ...)
{
	va_list ap;
	e->kind = kind;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	return false;
}

bool pa_fail_param(struct pa_error *e, const char *name, const char *fmt, ...)
{
	va_list ap;
	e->kind = PA_BAD_DATA;
	int n = snprintf(e->text, sizeof e->text, "invalid parameter \"%s\": ", name);
	HG_ASSERT(n > 0 && (size_t)n < sizeof e->text);
	va_start(ap, fmt);
	vsnprintf(e->text + n, sizeof e->text - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

static enum pa_kind kind_of(enum hg_rc rc)
{
	switch (rc) {
	case HG_E_QUERY_SYNTAX: return PA_BAD_DATA;
	case HG_E_QUERY_TIME: return PA_TIMEOUT;
	case HG_E_NOMEM:
	case HG_E_IO: return PA_INTERNAL;
	default: return PA_EXECUTION;
	}
}

bool pa_fail_from(struct pa_error *e, const char *name, const struct hg_err *err)
{
	enum pa_kind kind = kind_of(err->rc);
	const char *hint = err->hint[0] ? "; " : "";
	if (err->rc == HG_E_QUERY_SYNTAX && err->line)
		return pa_fail_param(e, name, "%u:%u: parse error: %s%s%s", err->line, err->column,
		        err->message, hint, err->hint);
	if (err->rc == HG_E_QUERY_SYNTAX) return pa_fail_param(e, name, "%s", err->message);
	return pa_fail(e, kind, "%s%s%s", err->message, hint, err->hint);
}

void pa_error_json(const struct pa_error *e, struct hg_buf *to)
{
	hg_buf_cstr(to, "{\"status\":\"error\",\"errorType\":");
	json_quote(to, hg_str(kinds[e->kind].name));
	hg_buf_cstr(to, ",\"error\":");
	json_quote(to, hg_str(e->text));
	hg_buf_byte(to, '}');
}
