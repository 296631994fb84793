#include "wire/rate.h"

#define PERIOD_MAX_S (30u * 86400)
#define COUNT_MAX    1000000u
#define BURST_MAX_S  (365u * 86400)
#define NAME_MAX_N   64

struct unit {
	const char *name;
	uint32_t seconds;
};

static const struct unit units[] = {{"s", 1}, {"sec", 1}, {"second", 1}, {"m", 60}, {"min", 60},
        {"minute", 60}, {"h", 3600}, {"hour", 3600}, {"d", 86400}, {"day", 86400}};

static bool no(const char **ret_why, const char *why)
{
	*ret_why = why;
	return false;
}

static bool period(struct hg_str s, uint64_t *ret_s)
{
	size_t digits = 0;
	uint64_t times = 1;
	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	if (digits && !hg_str_u64((struct hg_str){s.p, digits}, &times)) return false;
	s = (struct hg_str){s.p + digits, s.n - digits};
	for (size_t i = 0; i < HG_COUNT(units); i++) {
		if (!hg_str_eq(s, hg_str(units[i].name))) continue;
		*ret_s = times * units[i].seconds;
		return times >= 1 && times <= PERIOD_MAX_S && *ret_s <= PERIOD_MAX_S;
	}
	return false;
}

/* The next word; empty at the end. */
static struct hg_str word(struct hg_str *rest)
{
	*rest = hg_str_trim(*rest);
	return hg_str_cut(rest, ' ');
}

static bool token(struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		          (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
		if (!ok) return false;
	}
	return s.n > 0 && s.n <= NAME_MAX_N;
}

static bool who(struct hg_str *rest, struct rate *r, const char **ret_why)
{
	struct hg_str w = word(rest);
	if (hg_str_eq(w, HG_STR("user"))) {
		r->who = RATE_PER_USER;
	} else if (hg_str_eq(w, HG_STR("key"))) {
		r->who = RATE_PER_KEY;
	} else if (hg_str_eq(w, HG_STR("ip"))) {
		r->who = RATE_PER_IP;
	} else if (hg_str_eq(w, HG_STR("route"))) {
		r->who = RATE_PER_ROUTE;
	} else if (hg_str_eq(w, HG_STR("header")) || hg_str_eq(w, HG_STR("cookie"))) {
		r->who = w.p[0] == 'h' ? RATE_PER_HEADER : RATE_PER_COOKIE;
		r->name = word(rest);
		if (!token(r->name))
			return no(ret_why, "after header and cookie comes the name of one");
	} else {
		return no(ret_why, "after \"per\" comes user, key, ip, route, header NAME or "
		                   "cookie NAME");
	}
	return true;
}

bool rate_parse(struct hg_str text, struct rate *ret_rate, const char **ret_why)
{
	struct hg_str rest = hg_str_trim(text), count = hg_str_cut(&rest, '/'), w;
	struct rate r = {.who = RATE_PER_ROUTE};
	if (!hg_str_u64(count, &r.count) || r.count == 0)
		return no(ret_why, "it begins with a number of requests: 1000/min");
	if (!period(word(&rest), &r.period_s))
		return no(ret_why, "after \"/\" comes a period: s, min, h, d, or 5m, up to 30d");
	if (r.count > COUNT_MAX * r.period_s)
		return no(ret_why, "a limit is at most 1000000 requests a second");
	r.burst = HG_MIN(r.count, COUNT_MAX);
	w = word(&rest);
	if (hg_str_eq(w, HG_STR("per"))) {
		if (!who(&rest, &r, ret_why)) return false;
		w = word(&rest);
	}
	if (hg_str_eq(w, HG_STR("burst"))) {
		w = word(&rest);
		if (!hg_str_u64(w, &r.burst) || r.burst == 0 || r.burst > COUNT_MAX)
			return no(ret_why, "after \"burst\" comes a number from 1 to 1000000");
		w = word(&rest);
	}
	if (hg_str_eq(w, HG_STR("local"))) {
		r.local = true;
		w = word(&rest);
	}
	if (w.n || rest.n) return no(ret_why, "there is something behind it that is not known");
	/* Whole periods a burst takes to come back. */
	if (r.burst / r.count * r.period_s > BURST_MAX_S)
		return no(ret_why, "a burst has to come back within a year");
	*ret_rate = r;
	return true;
}
