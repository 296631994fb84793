/* Parameters of the API of metrics: a body, a line feed, a query string. Whatever comes, values lie
 * in the form's memory and within their bounds. */
#include "fuzz.h"

#include "observe/api/api_priv.h"

static void one(struct pa_form *f, struct hg_str v)
{
	struct pa_error e = {0};
	struct hg_str name = {0};
	int64_t ms = 0;
	if (pa_time(v, &ms)) HG_ASSERT(ms <= PA_TIME_MAX_MS && ms >= -PA_TIME_MAX_MS);
	ms = 0;
	if (pa_span(v, &ms, &e))
		HG_ASSERT(ms <= INT64_MAX / 1000000 && ms >= -(INT64_MAX / 1000000));
	else
		HG_ASSERT(e.kind == PA_BAD_DATA && e.text[0]);
	if (pa_label_name(f, v, &name)) HG_ASSERT(name.n <= v.n);
	if (hg_utf8_valid(v)) HG_ASSERT(hg_utf8_valid(name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hg_str query = {(const char *)data, n}, body = hg_str_cut(&query, '\n');
	struct pa_form f;
	struct pa_error e = {0};
	const struct hg_str *all = NULL;
	uint32_t count = 0;
	uint64_t limit = 1;
	if (pa_form_read(&f, body, query, &e)) {
		for (uint32_t i = 0; i < f.n && i < 64; i++)
			one(&f, f.at[i].value);
		HG_ASSERT(pa_form_all(&f, "match[]", &all, &count, &e) && count <= f.n);
		(void)!pa_limit_of(&f, &limit, &e);
		HG_ASSERT(count == 0 || hg_str_eq(pa_form_get(&f, "match[]"), all[0]));
	} else {
		HG_ASSERT(e.kind == PA_BAD_DATA && e.text[0]);
	}
	pa_form_free(&f);
	return 0;
}
