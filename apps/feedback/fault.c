#include "apps/feedback/fault_priv.h"

#define SLOW_MS_DEFAULT 2000u
#define TIME_MS_MAX     86400000u

static bool kind_of(struct hg_str s, enum fault_kind *ret_kind)
{
	static const char *const names[] = {
	        "none", "errors", "slow", "hang", "crash", "close", "unhealthy", "leak", "jobs"};
	for (size_t i = 0; i < HG_COUNT(names); i++) {
		if (!hg_str_eq(s, hg_str(names[i]))) continue;
		*ret_kind = (enum fault_kind)i;
		return true;
	}
	return false;
}

static bool share_of(struct hg_str s, double *ret_share)
{
	struct hg_str whole = hg_str_cut(&s, '.');
	uint64_t w = 0, tenths = 0;
	if (!hg_str_u64(whole, &w) || w > 100) return false;
	if (s.n && (s.n != 1 || !hg_str_u64(s, &tenths))) return false;
	if (w == 100 && tenths) return false;
	*ret_share = ((double)w + (double)tenths / 10) / 100;
	return true;
}

static bool time_of(struct hg_str s, uint32_t *ret_ms)
{
	uint64_t n = 0, unit = 0;
	if (hg_str_ends(s, HG_STR("ms"))) {
		unit = 1;
		s.n -= 2;
	} else if (hg_str_ends(s, HG_STR("s"))) {
		unit = 1000;
		s.n -= 1;
	} else if (hg_str_ends(s, HG_STR("m"))) {
		unit = 60000;
		s.n -= 1;
	}
	if (!unit || !hg_str_u64(s, &n) || n > TIME_MS_MAX / unit) return false;
	*ret_ms = (uint32_t)(n * unit);
	return true;
}

bool fault_parse(struct hg_str text, struct fault *ret_fault)
{
	struct fault f = {.share = 1, .slow_ms = SLOW_MS_DEFAULT};
	struct hg_str rest = hg_str_trim(text);
	if (rest.n && !kind_of(hg_str_cut(&rest, ':'), &f.kind)) return false;
	while (rest.n) {
		struct hg_str part = hg_str_cut(&rest, ':');
		char first = part.n ? part.p[0] : 0;
		struct hg_str tail = {part.p + 1, part.n ? part.n - 1 : 0};
		if (hg_str_ends(part, HG_STR("%"))) {
			part.n--;
			if (!share_of(part, &f.share)) return false;
		} else if (first == '+') {
			if (!time_of(tail, &f.after_ms)) return false;
		} else if (first == '#') {
			if (!hg_str_u64(tail, &f.after_n)) return false;
		} else if (f.kind != FAULT_SLOW || !time_of(part, &f.slow_ms)) {
			return false;
		}
	}
	*ret_fault = f;
	return true;
}

enum fault_kind fault_draw(
        const struct fault *f, struct hg_rand *r, bool probe, struct fault_past past)
{
	if (f->kind == FAULT_NONE || f->kind == FAULT_JOBS) return FAULT_NONE;
	if (past.age_ms < f->after_ms || past.requests < f->after_n) return FAULT_NONE;
	if (f->kind == FAULT_UNHEALTHY) return probe ? FAULT_UNHEALTHY : FAULT_NONE;
	if (probe || hg_rand_unit(r) >= f->share) return FAULT_NONE;
	return f->kind;
}
