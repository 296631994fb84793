/* /api/v1/metadata and /api/v1/targets/metadata: what metrics mean. */
#include "api_priv.h"

#include <stdlib.h>

/* A parameter that is a number; without it, or below 0: no limit. */
static bool most(struct pa_ask *a, const char *name, uint64_t *ret)
{
	struct hg_str s = pa_form_get(a->form, name);
	*ret = UINT64_MAX;
	if (!s.n || hg_str_u64(s, ret) ||
	        (s.p[0] == '-' && hg_str_u64((struct hg_str){s.p + 1, s.n - 1}, ret))) {
		if (s.n && s.p[0] == '-') *ret = UINT64_MAX;
		return true;
	}
	return pa_fail(&a->error, PA_BAD_DATA, "%s must be a number", name);
}

static void member(struct json_out *j, const char *key, struct hg_str v)
{
	json_out_key(j, key);
	json_out_str(j, v);
}

static void texts(struct json_out *j, const struct scrape_meta *m)
{
	member(j, "type", hg_str(m->type));
	member(j, "help", m->help);
	member(j, "unit", m->unit);
}

static int by_family(const void *a, const void *b)
{
	const struct scrape_meta *x = a, *y = b;
	int d = label_text_compare(x->family, y->family);
	if (d == 0) d = strcmp(x->type, y->type);
	if (d == 0) d = label_text_compare(x->help, y->help);
	return d ? d : label_text_compare(x->unit, y->unit);
}

static void families(const struct scrape_meta *all, uint32_t n, uint64_t limit, uint64_t each,
        struct hg_str only, struct json_out *j)
{
	char name[1025];
	uint64_t written = 0;
	for (uint32_t i = 0, end; i < n && written < limit; i = end) {
		struct hg_str family = all[i].family;
		for (end = i + 1; end < n && hg_str_eq(all[end].family, family);)
			end++;
		if ((only.n && !hg_str_eq(family, only)) || !hg_str_copy(family, name, sizeof name))
			continue;
		written++;
		json_out_key(j, name);
		json_out_array(j);
		for (uint32_t k = i; k < end && k - i < each; k++) {
			json_out_object(j);
			texts(j, &all[k]);
			json_out_end(j);
		}
		json_out_end(j);
	}
}

bool pa_metadata(struct pa_ask *a, struct json_out *j)
{
	uint64_t limit, each;
	uint32_t n = 0;
	if (!most(a, "limit", &limit) || !most(a, "limit_per_metric", &each)) return false;
	struct scrape_meta *all = calloc(SCRAPE_META_MAX, sizeof *all);
	if (!all) return pa_fail(&a->error, PA_INTERNAL, "no memory for the answer");
	if (a->p->o.scrape) n = scrape_meta_all(a->p->o.scrape, all, SCRAPE_META_MAX);
	if (n) qsort(all, n, sizeof *all, by_family);
	json_out_object(j);
	families(all, n, limit, each, pa_form_get(a->form, "metric"), j);
	json_out_end(j);
	free(all);
	return true;
}

static void labels(struct json_out *j, struct labels ls)
{
	struct hg_buf b;
	hg_buf_init(&b, (size_t)1 << 20);
	pa_labels_json(&b, ls);
	json_out_key(j, "target");
	json_out_raw(j, b.failed ? HG_STR("{}") : hg_buf_view(&b));
	hg_buf_free(&b);
}

static void target_families(struct json_out *j, const struct scrape_status *t, struct hg_str only,
        uint64_t limit, uint64_t *written)
{
	struct scrape_meta m;
	uint32_t at = 0;
	while (*written < limit && scrape_meta_next(t, &at, &m)) {
		if (only.n && !hg_str_eq(m.family, only)) continue;
		++*written;
		json_out_object(j);
		labels(j, t->labels);
		if (!only.n) member(j, "metric", m.family);
		texts(j, &m);
		json_out_end(j);
	}
}

bool pa_targets_metadata(struct pa_ask *a, struct json_out *j)
{
	struct hg_str match = pa_form_get(a->form, "match_target");
	struct hg_str only = pa_form_get(a->form, "metric");
	struct promql_query *q = NULL;
	const struct label_matcher *m = NULL;
	struct scrape_status t;
	struct hg_err err = {0};
	uint64_t limit, written = 0;
	uint32_t n = 0;
	size_t at = 0;
	if (!most(a, "limit", &limit)) return false;
	if (match.n && promql_parse(match, &q, &err) < 0)
		return pa_fail_from(&a->error, "match_target", &err);
	if (q && !promql_matchers(q, &m, &n)) {
		promql_free(q);
		return pa_fail_param(&a->error, "match_target", "a selector is wanted");
	}
	json_out_array(j);
	while (a->p->o.scrape && scrape_status_next(a->p->o.scrape, &at, &t))
		if (!t.dropped && label_matchers_match(m, n, t.labels))
			target_families(j, &t, only, limit, &written);
	json_out_end(j);
	promql_free(q);
	return true;
}
