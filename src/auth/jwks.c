#include "auth/jwks.h"

static enum hg_rc refuse(struct jwks_report *r, enum hg_rc rc, const char *why)
{
	r->why = why;
	return rc;
}

enum hg_rc jwks_read(
        struct hg_str text, bool secrets, struct jwt_keys *keys, struct jwks_report *ret_report)
{
	json_error_t err;
	size_t i;
	json_t *one;
	enum hg_rc rc = HG_OK;
	*ret_report = (struct jwks_report){.why = ""};
	if (text.n > JWKS_SIZE_MAX)
		return refuse(ret_report, HG_E_TOO_LARGE, "it is larger than 64 KiB");
	json_t *set = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &err);
	if (!set) return refuse(ret_report, HG_E_INVALID, "it is no JSON, or has a member twice");
	const json_t *list = json_object_get(set, "keys");
	if (!json_is_array(list))
		rc = refuse(ret_report, HG_E_INVALID, "it has no list of keys (`keys`)");
	json_array_foreach(list, i, one)
	{
		const char *why = "";
		if (rc < 0) break;
		rc = jwt_keys_jwk(keys, one, secrets, &why);
		if (rc == HG_OK) ret_report->taken++;
		if (rc != HG_E_INVALID) continue;
		rc = HG_OK;
		ret_report->left_out++;
		ret_report->why = why;
	}
	if (rc == HG_E_TOO_LARGE) ret_report->why = "it has more than 64 keys";
	if (rc == HG_OK && ret_report->taken == 0) {
		rc = HG_E_INVALID;
		if (!*ret_report->why) ret_report->why = "it has no keys";
	}
	json_decref(set);
	return rc;
}
