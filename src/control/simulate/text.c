#include "control/simulate/text_priv.h"
#include "control/simulate/simulate.h"

#include <math.h>
#include <stdio.h>

enum hg_rc sim_text_fail(const struct sim_text *t, struct hg_str at, const char *fmt, ...)
{
	char what[200];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	hg_err_set(t->err, HG_E_USAGE, "%s", what);
	if (!t->err) return HG_E_USAGE;
	size_t before = (size_t)(at.p - t->all.p), from = before > 60 ? before - 40 : 0;
	hg_err_place(t->err, t->name, 1, (unsigned)before + 1);
	struct hg_str shown = {t->all.p + from, HG_MIN(t->all.n - from, 100u)};
	struct hg_out o = hg_out_over(t->err->snippet, sizeof t->err->snippet - 1);
	/* One byte is one column there; anything else would move the caret. */
	for (size_t i = 0; i < shown.n; i++)
		hg_out_byte(&o, shown.p[i] >= ' ' && shown.p[i] < 127 ? shown.p[i] : '?');
	t->err->snippet[o.n] = 0;
	t->err->caret = (unsigned)(before - from) + 1;
	return HG_E_USAGE;
}

bool sim_text_number(struct hg_str s, double *ret_v)
{
	double v = 0, unit = 1, part = 1;
	bool digits = false, point = false;
	if (s.n && (s.p[s.n - 1] == 'k' || s.p[s.n - 1] == 'M')) {
		unit = s.p[s.n - 1] == 'k' ? 1e3 : 1e6;
		s.n--;
	}
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '.' && !point) {
			point = true;
		} else if (c >= '0' && c <= '9') {
			digits = true;
			if (point) part /= 10;
			v = point ? v + part * (c - '0') : v * 10 + (c - '0');
		} else {
			return false;
		}
	}
	if (!digits || s.n > 20) return false;
	*ret_v = v * unit;
	return true;
}

bool sim_text_span(struct hg_str s, uint64_t *ret_ms)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	double v;
	for (size_t i = 0; i < HG_COUNT(units); i++) {
		struct hg_str unit = hg_str(units[i].name), number = s;
		if (!hg_str_ends(s, unit)) continue;
		number.n -= unit.n;
		if (number.n == 0 || number.p[number.n - 1] < '0' || number.p[number.n - 1] > '9')
			continue;
		if (!sim_text_number(number, &v)) return false;
		v *= units[i].ms;
		if (v > (double)SIM_SPAN_MAX_MS) return false;
		*ret_ms = (uint64_t)llround(v);
		return true;
	}
	return false;
}

bool sim_text_share(struct hg_str s, double *ret_share)
{
	double v;
	if (!hg_str_ends(s, HG_STR("%"))) return false;
	s.n--;
	if (s.n == 0 || s.p[s.n - 1] < '0' || s.p[s.n - 1] > '9') return false;
	if (!sim_text_number(s, &v) || v > 100) return false;
	*ret_share = v / 100;
	return true;
}
