#include "apps/feedback/status_priv.h"

#include <jansson.h>

#include "base/siphash.h"

static const char *const names[STATUSES] = {[STATUS_OPEN] = "open",
        [STATUS_PLANNED] = "planned",
        [STATUS_IN_PROGRESS] = "in_progress",
        [STATUS_DONE] = "done",
        [STATUS_DECLINED] = "declined"};

const char *status_name(enum status s)
{
	return names[s];
}

bool status_named(struct hg_str name, enum status *ret_status)
{
	for (size_t i = 0; i < STATUSES; i++) {
		if (!hg_str_eq(name, hg_str(names[i]))) continue;
		*ret_status = (enum status)i;
		return true;
	}
	return false;
}

enum status status_of(struct hg_str name)
{
	enum status s = STATUS_OPEN;
	return status_named(name, &s) ? s : STATUS_OPEN;
}

static const char *check(const json_t *root, enum status *ret_status)
{
	if (!json_is_object(root)) return "Request body must be a JSON object";
	const json_t *v = json_object_get(root, "status");
	if (!v) return "Status field is required";
	if (json_is_string(v) &&
	        status_named(
	                (struct hg_str){json_string_value(v), json_string_length(v)}, ret_status))
		return NULL;
	return "Status must be open, planned, in_progress, done or declined";
}

const char *status_parse(struct hg_str body, enum status *ret_status)
{
	json_error_t where;
	if (hg_str_trim(body).n == 0) return "Request body is required";
	json_t *root = json_loadb(body.p, body.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
	if (!root) return "Request body is not valid JSON";
	const char *wrong = check(root, ret_status);
	json_decref(root);
	return wrong;
}

int64_t status_voter(struct hg_str text)
{
	static const uint8_t key[16] = "feedback's votes";
	if (text.n < 16 || text.n > 64) return 0;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		             (c >= '0' && c <= '9') || c == '-' || c == '_';
		if (!plain) return 0;
	}
	return -1 - (int64_t)(hg_siphash(key, text.p, text.n) >> 1);
}
