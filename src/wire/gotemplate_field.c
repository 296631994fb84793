/* Fields of values, and the methods of Alertmanager's lists and maps. */
#include "wire/gotemplate_priv.h"

#include <stdlib.h>

static int by_name(const void *a, const void *b)
{
	struct hg_str x = ((const struct gt_member *)a)->name,
	              y = ((const struct gt_member *)b)->name;
	int c = memcmp(x.p ? x.p : "", y.p ? y.p : "", HG_MIN(x.n, y.n));
	return c ? c : x.n < y.n ? -1 : x.n > y.n;
}

void gt_members_sort(struct gt_member *at, uint32_t n)
{
	if (n) qsort(at, n, sizeof *at, by_name);
}

const struct gt_value *gt_member(const struct gt_value *map, struct hg_str name)
{
	uint32_t from = 0, to = map->map.n;
	struct gt_member want = {.name = name};
	while (from < to) {
		uint32_t mid = from + (to - from) / 2;
		int c = by_name(&want, &map->map.at[mid]);
		if (c == 0) return &map->map.at[mid].value;
		if (c < 0)
			to = mid;
		else
			from = mid + 1;
	}
	return NULL;
}

static bool name_is(struct hg_str name, const char *is)
{
	return hg_str_eq(name, hg_str(is));
}

static bool list_of(struct gt_run *r, uint32_t n, struct gt_value **ret)
{
	*ret = gt_memory(r, n, sizeof **ret);
	return *ret != NULL;
}

/* Names or values of a map of texts. */
static bool map_column(
        struct gt_run *r, const struct gt_value *of, bool names, struct gt_value *ret)
{
	struct gt_value *at;
	if (!list_of(r, of->map.n, &at)) return false;
	for (uint32_t i = 0; i < of->map.n; i++)
		at[i] = names ? gt_str(of->map.at[i].name) : of->map.at[i].value;
	*ret = gt_list(at, of->map.n, GT_TEXTS);
	return true;
}

/* "alertname" first, then by name. */
static bool sorted_pairs(struct gt_run *r, const struct gt_value *of, struct gt_value *ret)
{
	uint32_t n = of->map.n, first = n;
	struct gt_value *at;
	struct gt_member *m = gt_memory(r, (size_t)n * 2, sizeof *m);
	if (!m || !list_of(r, n, &at)) return false;
	for (uint32_t i = 0; i < n; i++)
		if (name_is(of->map.at[i].name, "alertname")) first = i;
	for (uint32_t i = 0, k = 0; i < n; i++) {
		uint32_t from = first == n ? i : i == 0 ? first : k;
		if (first != n && i > 0) {
			if (k == first) from = ++k;
			k++;
		}
		m[2 * i] = (struct gt_member){HG_STR("Name"), gt_str(of->map.at[from].name)};
		m[2 * i + 1] = (struct gt_member){HG_STR("Value"), of->map.at[from].value};
		at[i] = gt_map(m + 2 * (size_t)i, 2, GT_OBJECT);
	}
	*ret = gt_list(at, n, GT_PAIRS);
	return true;
}

static bool removed(struct gt_run *r, const struct gt_value *of, const struct gt_value *names,
        struct gt_value *ret)
{
	struct gt_member *m = gt_memory(r, of->map.n, sizeof *m);
	uint32_t n = 0;
	if (!m) return false;
	for (uint32_t i = 0; i < of->map.n; i++) {
		bool gone = false;
		for (uint32_t k = 0; k < names->list.n && !gone; k++) {
			const struct gt_value *v = &names->list.at[k];
			gone = v->kind == GT_STR && hg_str_eq(v->s, of->map.at[i].name);
		}
		if (!gone) m[n++] = of->map.at[i];
	}
	*ret = gt_map(m, n, GT_TEXTS);
	return true;
}

/* True: it is a method, and *ret_good says how it went. */
static bool texts_method(struct gt_run *r, const struct gt_value *of, struct hg_str name,
        const struct gt_value *args, uint32_t n, struct gt_value *ret, bool *ret_good)
{
	if (name_is(name, "SortedPairs"))
		*ret_good = sorted_pairs(r, of, ret);
	else if (name_is(name, "Names") || name_is(name, "Values"))
		*ret_good = map_column(r, of, name.p[0] == 'N', ret);
	else if (name_is(name, "Remove"))
		*ret_good = n == 1 && args[0].kind == GT_LIST
		                    ? removed(r, of, &args[0], ret)
		                    : gt_fail(r, "Remove takes a list of names");
	else
		return false;
	return true;
}

static bool pairs_column(
        struct gt_run *r, const struct gt_value *of, struct hg_str name, struct gt_value *ret)
{
	struct gt_value *at;
	bool names = name_is(name, "Names");
	if (!names && !name_is(name, "Values"))
		return gt_fail(r, "pairs have no field \"%.*s\"", HG_STR_ARG(name));
	if (!list_of(r, of->list.n, &at)) return false;
	for (uint32_t i = 0; i < of->list.n; i++) {
		const struct gt_value *v =
		        gt_member(&of->list.at[i], names ? HG_STR("Name") : HG_STR("Value"));
		at[i] = v ? *v : gt_str(HG_STR(""));
	}
	*ret = gt_list(at, of->list.n, GT_TEXTS);
	return true;
}

static bool with_status(
        struct gt_run *r, const struct gt_value *of, struct hg_str name, struct gt_value *ret)
{
	struct gt_value *at;
	uint32_t n = 0;
	bool firing = name_is(name, "Firing");
	if (!firing && !name_is(name, "Resolved"))
		return gt_fail(r, "alerts have no field \"%.*s\"", HG_STR_ARG(name));
	if (!list_of(r, of->list.n, &at)) return false;
	for (uint32_t i = 0; i < of->list.n; i++) {
		const struct gt_value *v = gt_member(&of->list.at[i], HG_STR("Status"));
		if (v && hg_str_eq(v->s, firing ? HG_STR("firing") : HG_STR("resolved")))
			at[n++] = of->list.at[i];
	}
	*ret = gt_list(at, n, GT_ALERTS);
	return true;
}

static bool time_field(struct gt_run *r, const struct gt_value *of, struct hg_str name,
        const struct gt_value *args, uint32_t n, struct gt_value *ret)
{
	struct hg_buf b;
	if (name_is(name, "Format")) {
		struct hg_str layout;
		if (n != 1) return gt_fail(r, "Format takes a layout");
		if (!gt_text(r, args, &layout)) return false;
		hg_buf_init(&b, 4096 + 16 * layout.n);
		gotemplate_time(&b, of, layout);
		return gt_take(r, &b, GT_STR, ret);
	}
	if (name_is(name, "Add") && n == 1 && args[0].kind == GT_DURATION) {
		*ret = *of;
		ret->i += args[0].i / 1000000;
		return true;
	}
	if (name_is(name, "Sub") && n == 1 && args[0].kind == GT_TIME) {
		int64_t ms = of->i - args[0].i;
		*ret = (struct gt_value){.kind = GT_DURATION,
		        .i = ms > INT64_MAX / 1000000 || ms < INT64_MIN / 1000000 ? INT64_MAX
		                                                                  : ms * 1000000};
		return true;
	}
	if (name_is(name, "UTC") || name_is(name, "Local"))
		return *ret = gt_time((uint64_t)of->i), true;
	if (name_is(name, "Unix")) return *ret = gt_int(of->i / 1000), true;
	if (name_is(name, "UnixMilli")) return *ret = gt_int(of->i), true;
	if (name_is(name, "IsZero")) return *ret = gt_bool(of->i == 0), true;
	return gt_fail(r, "a time has no field \"%.*s\"", HG_STR_ARG(name));
}

static bool duration_field(
        struct gt_run *r, const struct gt_value *of, struct hg_str name, struct gt_value *ret)
{
	double s = (double)of->i / 1e9;
	if (name_is(name, "Seconds")) return *ret = gt_float(s), true;
	if (name_is(name, "Minutes")) return *ret = gt_float(s / 60), true;
	if (name_is(name, "Hours")) return *ret = gt_float(s / 3600), true;
	if (name_is(name, "Milliseconds")) return *ret = gt_int(of->i / 1000000), true;
	return gt_fail(r, "a duration has no field \"%.*s\"", HG_STR_ARG(name));
}

static bool map_field(struct gt_run *r, const struct gt_value *of, struct hg_str name,
        const struct gt_value *args, uint32_t n, struct gt_value *ret)
{
	bool good;
	if (of->type == GT_TEXTS && texts_method(r, of, name, args, n, ret, &good)) return good;
	const struct gt_value *v = gt_member(of, name);
	if (v) {
		*ret = *v;
		return n == 0 || gt_fail(r, "\"%.*s\" takes no arguments", HG_STR_ARG(name));
	}
	if (of->type == GT_OBJECT)
		return gt_fail(r, "there is no field \"%.*s\"", HG_STR_ARG(name));
	*ret = of->type == GT_TEXTS ? gt_str(HG_STR("")) : (struct gt_value){0};
	return true;
}

bool gt_field(struct gt_run *r, const struct gt_value *of, struct hg_str name,
        const struct gt_value *args, uint32_t n, struct gt_value *ret)
{
	if (of->kind == GT_MAP) return map_field(r, of, name, args, n, ret);
	if (of->kind == GT_TIME) return time_field(r, of, name, args, n, ret);
	if (of->kind == GT_DURATION) return duration_field(r, of, name, ret);
	if (of->kind == GT_LIST && of->type == GT_PAIRS) return pairs_column(r, of, name, ret);
	if (of->kind == GT_LIST && of->type == GT_ALERTS) return with_status(r, of, name, ret);
	return gt_fail(r, "a %s has no field \"%.*s\"", gt_kind_name(of), HG_STR_ARG(name));
}
