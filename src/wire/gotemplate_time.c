/* Go's Time.Format: a layout is how the second of January 2006, 15:04:05, would be written. */
#include "wire/gotemplate_priv.h"

#include <stdlib.h>

struct civil {
	int64_t year;
	uint32_t month, day, hour, minute, second, ms, weekday, yearday;
};

/* Days to a date of the proleptic Gregorian calendar (Hinnant, "chrono-compatible algorithms"). */
static struct civil civil_of(int64_t unix_ms)
{
	int64_t s = unix_ms / 1000, ms = unix_ms % 1000;
	if (ms < 0) {
		ms += 1000;
		s--;
	}
	int64_t days = s / 86400, rest = s % 86400;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	struct civil c = {.day = (uint32_t)(doy - (153 * mp + 2) / 5 + 1),
	        .month = (uint32_t)(mp < 10 ? mp + 3 : mp - 9),
	        .hour = (uint32_t)(rest / 3600),
	        .minute = (uint32_t)(rest / 60 % 60),
	        .second = (uint32_t)(rest % 60),
	        .ms = (uint32_t)ms,
	        .weekday = (uint32_t)(((days + 4) % 7 + 7) % 7)};
	c.year = yoe + era * 400 + (c.month <= 2);
	bool leap = (c.year % 4 == 0 && c.year % 100 != 0) || c.year % 400 == 0;
	static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	c.yearday = before[c.month - 1] + c.day + (leap && c.month > 2);
	return c;
}

static const char *const months[] = {"January", "February", "March", "April", "May", "June", "July",
        "August", "September", "October", "November", "December"};
static const char *const weekdays[] = {
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

enum part {
	P_MONTH_NAME,
	P_MONTH_SHORT,
	P_WEEKDAY,
	P_WEEKDAY_SHORT,
	P_ZONE,
	P_ZONE_COLON_Z,
	P_ZONE_Z,
	P_ZONE_COLON,
	P_ZONE_NUM,
	P_ZONE_HOUR,
	P_YEAR,
	P_YEARDAY,
	P_MONTH_ZERO,
	P_DAY_ZERO,
	P_HOUR12_ZERO,
	P_MINUTE_ZERO,
	P_SECOND_ZERO,
	P_YEAR_SHORT,
	P_HOUR,
	P_DAY_BLANK,
	P_PM,
	P_PM_SMALL,
	P_MONTH,
	P_DAY,
	P_HOUR12,
	P_MINUTE,
	P_SECOND,
};

/* The longer one of two that begin alike comes first. */
static const struct {
	const char *text;
	enum part part;
} parts[] = {{"January", P_MONTH_NAME}, {"Jan", P_MONTH_SHORT}, {"Monday", P_WEEKDAY},
        {"Mon", P_WEEKDAY_SHORT}, {"MST", P_ZONE}, {"Z07:00", P_ZONE_COLON_Z}, {"Z0700", P_ZONE_Z},
        {"-07:00", P_ZONE_COLON}, {"-0700", P_ZONE_NUM}, {"-07", P_ZONE_HOUR}, {"2006", P_YEAR},
        {"002", P_YEARDAY}, {"01", P_MONTH_ZERO}, {"02", P_DAY_ZERO}, {"03", P_HOUR12_ZERO},
        {"04", P_MINUTE_ZERO}, {"05", P_SECOND_ZERO}, {"06", P_YEAR_SHORT}, {"15", P_HOUR},
        {"_2", P_DAY_BLANK}, {"PM", P_PM}, {"pm", P_PM_SMALL}, {"1", P_MONTH}, {"2", P_DAY},
        {"3", P_HOUR12}, {"4", P_MINUTE}, {"5", P_SECOND}};

static void zone_put(struct hg_buf *to, enum part part, int32_t zone)
{
	if ((part == P_ZONE_Z || part == P_ZONE_COLON_Z) && zone == 0) {
		hg_buf_byte(to, 'Z');
		return;
	}
	uint32_t minutes = (uint32_t)abs(zone) / 60;
	hg_buf_fmt(to, "%c%02u", zone < 0 ? '-' : '+', minutes / 60);
	if (part == P_ZONE_HOUR) return;
	bool colon = part == P_ZONE_COLON || part == P_ZONE_COLON_Z;
	hg_buf_fmt(to, "%s%02u", colon ? ":" : "", minutes % 60);
}

static void part_put(
        struct hg_buf *to, enum part part, const struct civil *c, const struct gt_value *t)
{
	uint32_t hour12 = c->hour % 12 ? c->hour % 12 : 12;
	switch (part) {
	case P_MONTH_NAME: hg_buf_cstr(to, months[c->month - 1]); return;
	case P_MONTH_SHORT: hg_buf_fmt(to, "%.3s", months[c->month - 1]); return;
	case P_WEEKDAY: hg_buf_cstr(to, weekdays[c->weekday]); return;
	case P_WEEKDAY_SHORT: hg_buf_fmt(to, "%.3s", weekdays[c->weekday]); return;
	case P_ZONE: hg_buf_cstr(to, t->zone[0] ? t->zone : "UTC"); return;
	case P_ZONE_COLON_Z:
	case P_ZONE_Z:
	case P_ZONE_COLON:
	case P_ZONE_NUM:
	case P_ZONE_HOUR: zone_put(to, part, t->zone_s); return;
	case P_YEAR: hg_buf_fmt(to, "%04lld", (long long)c->year); return;
	case P_YEARDAY: hg_buf_fmt(to, "%03u", c->yearday); return;
	case P_MONTH_ZERO: hg_buf_fmt(to, "%02u", c->month); return;
	case P_DAY_ZERO: hg_buf_fmt(to, "%02u", c->day); return;
	case P_HOUR12_ZERO: hg_buf_fmt(to, "%02u", hour12); return;
	case P_MINUTE_ZERO: hg_buf_fmt(to, "%02u", c->minute); return;
	case P_SECOND_ZERO: hg_buf_fmt(to, "%02u", c->second); return;
	case P_YEAR_SHORT:
		hg_buf_fmt(to, "%02u", (uint32_t)(((c->year % 100) + 100) % 100));
		return;
	case P_HOUR: hg_buf_fmt(to, "%02u", c->hour); return;
	case P_DAY_BLANK: hg_buf_fmt(to, "%2u", c->day); return;
	case P_PM: hg_buf_cstr(to, c->hour >= 12 ? "PM" : "AM"); return;
	case P_PM_SMALL: hg_buf_cstr(to, c->hour >= 12 ? "pm" : "am"); return;
	case P_MONTH: hg_buf_u64(to, c->month); return;
	case P_DAY: hg_buf_u64(to, c->day); return;
	case P_HOUR12: hg_buf_u64(to, hour12); return;
	case P_MINUTE: hg_buf_u64(to, c->minute); return;
	case P_SECOND: hg_buf_u64(to, c->second); return;
	}
}

/* ".000" and ".999" behind seconds: fractions, the latter without zeros at their end. */
static size_t fraction(struct hg_buf *to, struct hg_str layout, uint32_t ms)
{
	if (layout.n < 2 || (layout.p[0] != '.' && layout.p[0] != ',')) return 0;
	char d = layout.p[1];
	size_t n = 1;
	while (n < layout.n && layout.p[n] == d && n < 10)
		n++;
	bool more = n < layout.n && layout.p[n] >= '0' && layout.p[n] <= '9';
	if ((d != '0' && d != '9') || more) return 0;
	uint64_t ns = (uint64_t)ms * 1000000;
	char text[10];
	for (int i = 8; i >= 0; i--, ns /= 10)
		text[i] = (char)('0' + ns % 10);
	size_t digits = n - 1;
	while (d == '9' && digits && text[digits - 1] == '0')
		digits--;
	if (digits) hg_buf_byte(to, layout.p[0]);
	hg_buf_str(to, (struct hg_str){text, digits});
	return n;
}

static size_t part_at(struct hg_str rest, enum part *ret)
{
	for (size_t i = 0; i < HG_COUNT(parts); i++) {
		struct hg_str text = hg_str(parts[i].text);
		if (!hg_str_starts(rest, text)) continue;
		/* "January" is one, "Janet" is none. */
		bool letters = parts[i].part == P_MONTH_SHORT || parts[i].part == P_WEEKDAY_SHORT;
		if (letters && rest.n > 3 && rest.p[3] >= 'a' && rest.p[3] <= 'z') continue;
		*ret = parts[i].part;
		return text.n;
	}
	return 0;
}

void gotemplate_time(struct hg_buf *to, const struct gt_value *time, struct hg_str layout)
{
	struct civil c = civil_of(time->i + (int64_t)time->zone_s * 1000);
	while (layout.n) {
		enum part part;
		size_t n = fraction(to, layout, c.ms);
		if (!n) {
			n = part_at(layout, &part);
			if (n) {
				part_put(to, part, &c, time);
			} else {
				hg_buf_byte(to, layout.p[0]);
				n = 1;
			}
		}
		layout.p += n;
		layout.n -= n;
	}
}

bool gotemplate_duration(struct hg_str s, uint64_t *ret_ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"y", 31536000000}, {"w", 604800000}, {"d", 86400000}, {"h", 3600000},
	        {"ms", 1}, {"m", 60000}, {"s", 1000}};
	/* In this order, each once. */
	static const uint8_t order[] = {0, 1, 2, 3, 6, 4, 5};
	uint64_t sum = 0;
	int last = -1;
	if (hg_str_eq(s, HG_STR("0"))) {
		*ret_ms = 0;
		return true;
	}
	while (s.n) {
		size_t n = 0;
		uint64_t v;
		while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
			n++;
		if (!hg_str_u64((struct hg_str){s.p, n}, &v)) return false;
		s.p += n;
		s.n -= n;
		size_t u = 0;
		while (u < HG_COUNT(units) && !hg_str_starts(s, hg_str(units[u].unit)))
			u++;
		if (u == HG_COUNT(units) || order[u] <= last) return false;
		last = order[u];
		if (v > (UINT64_MAX / 2 - sum) / units[u].ms) return false;
		sum += v * units[u].ms;
		s.p += strlen(units[u].unit);
		s.n -= strlen(units[u].unit);
	}
	*ret_ms = sum;
	return last >= 0;
}
