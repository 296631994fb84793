/* Which routes take an alert, what inhibits it, and muted times. */
#include "control/notify/decide_priv.h"

#include "wire/tzif.h"

#include <stdlib.h>

static uint32_t match_from(
        const struct notify_conf *c, uint32_t route, struct labels ls, uint32_t *to, uint32_t max)
{
	const struct notify_route *r = &c->routes[route];
	uint32_t n = 0;
	if (!label_matchers_match(r->matchers, r->matcher_count, ls)) return 0;
	for (uint32_t child = r->first; child != NOTIFY_NONE; child = c->routes[child].next) {
		uint32_t found = match_from(c, child, ls, to + n, max - n);
		n += found;
		if (found && !c->routes[child].go_on) break;
	}
	if (!n && max) to[n++] = route;
	return n;
}

uint32_t notify_route_match(
        const struct notify_conf *c, struct labels ls, uint32_t *ret_routes, uint32_t max)
{
	return c->route_count ? match_from(c, 0, ls, ret_routes, max) : 0;
}

/* ---- inhibition ---- */

static bool equal_on(const struct notify_inhibit *r, struct labels a, struct labels b)
{
	for (uint32_t i = 0; i < r->equal_count; i++)
		if (!hg_str_eq(labels_get(a, r->equal[i]), labels_get(b, r->equal[i])))
			return false;
	return true;
}

/* Without this list 10,000 alerts would be compared with 10,000. */
static bool sources_fill(struct notify_state *s, uint64_t now_ms)
{
	uint32_t n = 0, rules = s->conf->inhibit_count;
	if (s->sources_valid && s->sources_ms == now_ms) return true;
	s->sources_valid = false;
	uint32_t *from = realloc(s->source_from, (rules + 1) * sizeof *from);
	if (!from) return false;
	s->source_from = from;
	for (uint32_t i = 0; i < rules; i++) {
		const struct notify_inhibit *r = &s->conf->inhibits[i];
		from[i] = n;
		for (uint32_t k = 0; k < s->alert_count; k++) {
			const struct notify_alert *a = &s->alerts[k]->a;
			if (notify_alert_resolved(a, now_ms)) continue;
			if (!label_matchers_match(r->source, r->source_count, a->labels)) continue;
			if (!notify_room(
			            (void *)&s->sources, n, &s->source_cap, sizeof *s->sources))
				return false;
			s->sources[n++] = a;
		}
	}
	from[rules] = n;
	s->sources_valid = true;
	s->sources_ms = now_ms;
	return true;
}

const struct notify_alert *notify_inhibited_by(
        struct notify_state *s, struct labels ls, uint64_t now_ms)
{
	/* Without memory nothing is inhibited: rather told than kept back. */
	if (!s->conf || !s->conf->inhibit_count || !sources_fill(s, now_ms)) return NULL;
	for (uint32_t i = 0; i < s->conf->inhibit_count; i++) {
		const struct notify_inhibit *r = &s->conf->inhibits[i];
		if (!label_matchers_match(r->target, r->target_count, ls)) continue;
		/* What is on both sides is not inhibited by what is on both sides too. */
		bool both = label_matchers_match(r->source, r->source_count, ls);
		for (uint32_t k = s->source_from[i]; k < s->source_from[i + 1]; k++) {
			const struct notify_alert *a = s->sources[k];
			if (!equal_on(r, a->labels, ls)) continue;
			if (both && label_matchers_match(r->target, r->target_count, a->labels))
				continue;
			return a;
		}
	}
	return NULL;
}

/* ---- times ---- */

struct day {
	int32_t year, month, day, month_days, weekday, minute;
};

static struct day day_of(int64_t unix_s)
{
	int64_t days = unix_s / 86400, rest = unix_s % 86400;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	struct day d = {.day = (int32_t)(doy - (153 * mp + 2) / 5 + 1),
	        .month = (int32_t)(mp < 10 ? mp + 3 : mp - 9),
	        .weekday = (int32_t)(((days + 4) % 7 + 7) % 7),
	        .minute = (int32_t)(rest / 60)};
	d.year = (int32_t)(yoe + era * 400 + (d.month <= 2));
	static const int32_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (d.year % 4 == 0 && d.year % 100 != 0) || d.year % 400 == 0;
	d.month_days = lengths[d.month - 1] + (leap && d.month == 2);
	return d;
}

static bool in_spans(const struct notify_span *s, uint32_t n, int32_t v)
{
	for (uint32_t i = 0; i < n; i++)
		if (v >= s[i].from && v <= s[i].to) return true;
	return n == 0;
}

static bool in_minutes(const struct notify_period *p, int32_t minute)
{
	for (uint32_t i = 0; i < p->minute_count; i++)
		if (minute >= p->minutes[i].from && minute < p->minutes[i].to) return true;
	return p->minute_count == 0;
}

/* Negative days count from the month's end; what reaches beyond it is cut. */
static bool in_days(const struct notify_period *p, const struct day *d)
{
	for (uint32_t i = 0; i < p->day_count; i++) {
		int32_t from = p->days[i].from, to = p->days[i].to;
		if (from < 0) from = HG_MAX(d->month_days + from + 1, 1);
		if (to < 0) to = d->month_days + to + 1;
		if (d->day >= from && d->day <= HG_MIN(to, d->month_days)) return true;
	}
	return p->day_count == 0;
}

bool notify_times_contain(const struct notify_times *t, uint64_t now_ms)
{
	int64_t now_s = (int64_t)(now_ms / 1000);
	struct day d = day_of(now_s + (t->zone ? tzif_at(t->zone, now_s).offset_s : 0));
	for (uint32_t i = 0; i < t->period_count; i++) {
		const struct notify_period *p = &t->periods[i];
		if (in_minutes(p, d.minute) && in_days(p, &d) &&
		        in_spans(p->weekdays, p->weekday_count, d.weekday) &&
		        in_spans(p->months, p->month_count, d.month) &&
		        in_spans(p->years, p->year_count, d.year))
			return true;
	}
	return false;
}
