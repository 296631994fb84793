/* Certificates: what is served, what is being obtained, and asking for a new one. */
#include "api_priv.h"
#include "control/acme/acme.h"
#include "control/cert/certs.h"
#include "os/clock.h"

#include <stdio.h>

static json_t *time_or_null(int64_t ms)
{
	return ms > 0 ? json_integer(ms) : json_null();
}

static json_t *file_json(const struct certs_view *v, int64_t now_ms)
{
	json_t *names = json_array();
	uint32_t n = HG_MIN(v->cert->name_count, (uint32_t)HG_COUNT(v->cert->names));
	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(names, api_json_str(hg_str(v->cert->names[i])));
	return json_pack("{s:s,s:o,s:o,s:s,s:o,s:o}", "source", "file", "names", names, "file",
	        api_json_str(hg_str(v->file)), "state",
	        v->cert->until_s * 1000 <= now_ms ? "expired" : "served", "not_before_ms",
	        time_or_null(v->cert->from_s * 1000), "not_after_ms",
	        time_or_null(v->cert->until_s * 1000));
}

static const char *state_of(const struct acme_view *v, int64_t now_ms)
{
	if (v->working) return v->until_ms > now_ms ? "renewing" : "ordering";
	if (v->until_ms == 0) return v->failures ? "failing" : "waiting";
	if (v->until_ms <= now_ms) return "expired";
	return v->failures ? "renewal failing" : "served";
}

static json_t *acme_json(const struct acme_view *v, int64_t now_ms)
{
	json_t *names = json_array();
	struct hg_str rest = hg_str(v->names);
	while (rest.n)
		json_array_append_new(names, api_json_str(hg_str_cut(&rest, ' ')));
	return json_pack("{s:s,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:i,s:o}", "source", "acme", "names",
	        names, "authority", api_json_str(hg_str(v->authority)), "state",
	        state_of(v, now_ms), "not_before_ms", time_or_null(v->from_ms), "not_after_ms",
	        time_or_null(v->until_ms), "renew_ms", time_or_null(v->renew_ms), "next_ms",
	        time_or_null(v->next_ms), "failures", (int)v->failures, "last_error",
	        api_json_str(hg_str(v->why)));
}

enum hg_rc api_get_certificates(struct api_request *r, struct hg_err *err)
{
	const struct api_deps *d = &r->api->d;
	int64_t now_ms = (int64_t)clock_wall_ms();
	json_t *list = json_array();
	(void)err;
	for (uint32_t i = 0; d->certs && i < certs_count(d->certs); i++) {
		struct certs_view v = certs_at(d->certs, i);
		if (!v.other) json_array_append_new(list, file_json(&v, now_ms));
	}
	for (uint32_t i = 0; d->acme && i < acme_count(d->acme); i++) {
		struct acme_view v;
		acme_at(d->acme, i, &v);
		json_array_append_new(list, acme_json(&v, now_ms));
	}
	r->reply = json_pack("{s:s,s:b,s:o}", "schema", "headgate.certificates/1", "placeholder",
	        d->certs && certs_placeholder(d->certs), "certificates", list);
	return HG_OK;
}

enum hg_rc api_post_certificate_renew(struct api_request *r, struct hg_err *err)
{
	struct acme *acme = r->api->d.acme;
	api_target_set(r, r->param[0]);
	enum hg_rc rc = api_members_known(r->body, "dry_run", err);
	if (rc == HG_OK && !acme)
		rc = hg_err_set(err, HG_E_NOT_FOUND, "nothing is obtained by ACME");
	if (rc == HG_OK) rc = acme_renew(acme, r->param[0], r->dry_run, err);
	if (rc < 0) return rc;
	r->reply = json_pack("{s:s,s:o,s:b}", "schema", "headgate.renew/1", "name",
	        api_json_str(r->param[0]), "dry_run", r->dry_run);
	return HG_OK;
}

bool api_certificates_problem(const struct api *a, char *to, size_t cap)
{
	int64_t now_ms = (int64_t)clock_wall_ms();
	for (uint32_t i = 0; a->d.acme && i < acme_count(a->d.acme); i++) {
		struct acme_view v;
		acme_at(a->d.acme, i, &v);
		if (v.until_ms > now_ms && !v.failures) continue;
		(void)snprintf(to, cap, "%s: %s%s%.300s", v.first,
		        v.until_ms > now_ms ? "renewal fails"
		        : v.until_ms        ? "the certificate has expired"
		                            : "there is no certificate yet",
		        v.why[0] ? ": " : "", v.why);
		return true;
	}
	return false;
}
