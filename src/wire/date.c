#include "wire/date.h"

#define LAST_SECOND 253402300799u /* 9999-12-31T23:59:59Z */
#define DAY_S       86400u

struct civil {
	unsigned year, month, day;              /* month and day from 1 */
	unsigned hour, minute, second, weekday; /* weekday: 0 is Sunday */
};

static bool leap(unsigned y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static unsigned days_of_month(unsigned y, unsigned m)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	return days[m - 1] + (m == 2 && leap(y));
}

/* Days from 1970-01-01 to the first of January of `y`. */
static uint64_t days_to_year(unsigned y)
{
	unsigned past = y - 1;
	return (uint64_t)past * 365 + past / 4 - past / 100 + past / 400 - 719162;
}

static struct civil civil_of(uint64_t unix_s)
{
	if (unix_s > LAST_SECOND) unix_s = LAST_SECOND;
	uint64_t days = unix_s / DAY_S;
	unsigned rest = (unsigned)(unix_s % DAY_S);
	/* Never too early: years have 365 days or one more. Steps back a few at most. */
	unsigned year = 1970 + (unsigned)(days / 365);
	while (days_to_year(year) > days)
		year--;
	unsigned day = (unsigned)(days - days_to_year(year)), month = 1;
	while (day >= days_of_month(year, month))
		day -= days_of_month(year, month++);
	return (struct civil){.year = year,
	        .month = month,
	        .day = day + 1,
	        .hour = rest / 3600,
	        .minute = rest / 60 % 60,
	        .second = rest % 60,
	        .weekday = (unsigned)((days + 4) % 7)};
}

static char *put(char *to, unsigned v, unsigned digits)
{
	for (unsigned i = digits; i-- > 0; v /= 10)
		to[i] = (char)('0' + v % 10);
	return to + digits;
}

static char *put_clock(char *to, const struct civil *c)
{
	to = put(to, c->hour, 2);
	*to++ = ':';
	to = put(to, c->minute, 2);
	*to++ = ':';
	return put(to, c->second, 2);
}

void date_http(uint64_t unix_s, char to[static DATE_HTTP_SIZE])
{
	static const char weekdays[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct civil c = civil_of(unix_s);
	memcpy(to, weekdays + (size_t)c.weekday * 3, 3);
	memcpy(to + 3, ", ", 2);
	to = put(to + 5, c.day, 2);
	*to++ = ' ';
	memcpy(to, months + ((size_t)c.month - 1) * 3, 3);
	to[3] = ' ';
	to = put(to + 4, c.year, 4);
	*to++ = ' ';
	to = put_clock(to, &c);
	memcpy(to, " GMT", 5);
}

void date_rfc3339(uint64_t unix_ms, char to[static DATE_RFC3339_SIZE])
{
	struct civil c = civil_of(unix_ms / 1000);
	to = put(to, c.year, 4);
	*to++ = '-';
	to = put(to, c.month, 2);
	*to++ = '-';
	to = put(to, c.day, 2);
	*to++ = 'T';
	to = put_clock(to, &c);
	*to++ = '.';
	to = put(to, (unsigned)(unix_ms % 1000), 3);
	memcpy(to, "Z", 2);
}

struct scan {
	struct hg_str s;
	bool bad;
};

static char take(struct scan *c)
{
	if (c->s.n == 0) {
		c->bad = true;
		return 0;
	}
	c->s.n--;
	return *c->s.p++;
}

static void expect(struct scan *c, char want)
{
	if (take(c) != want) c->bad = true;
}

static unsigned number(struct scan *c, unsigned digits)
{
	unsigned v = 0;
	for (unsigned i = 0; i < digits; i++) {
		char d = take(c);
		if (d < '0' || d > '9') c->bad = true;
		v = v * 10 + (unsigned)(d - '0');
	}
	return c->bad ? 0 : v;
}

/* ".123456" in milliseconds; the point was seen. */
static unsigned fraction(struct scan *c)
{
	unsigned ms = 0, digits = 0;
	take(c);
	for (; c->s.n && *c->s.p >= '0' && *c->s.p <= '9'; digits++) {
		unsigned d = number(c, 1);
		if (digits < 3) ms = ms * 10 + d;
	}
	if (digits == 0 || digits > 9) c->bad = true;
	for (; digits < 3; digits++)
		ms *= 10;
	return ms;
}

/* Minutes east of UTC. */
static int offset(struct scan *c)
{
	char sign = take(c);
	if (sign == 'Z' || sign == 'z') return 0;
	if (sign != '+' && sign != '-') c->bad = true;
	unsigned hours = number(c, 2);
	expect(c, ':');
	unsigned minutes = number(c, 2);
	if (hours > 23 || minutes > 59) c->bad = true;
	int east = (int)(hours * 60 + minutes);
	return sign == '-' ? -east : east;
}

bool date_rfc3339_parse(struct hg_str s, uint64_t *ret_unix_ms)
{
	struct scan c = {.s = s};
	unsigned year = number(&c, 4);
	expect(&c, '-');
	unsigned month = number(&c, 2);
	expect(&c, '-');
	unsigned day = number(&c, 2);
	char between = take(&c);
	unsigned hour = number(&c, 2);
	expect(&c, ':');
	unsigned minute = number(&c, 2);
	expect(&c, ':');
	unsigned second = number(&c, 2);
	unsigned ms = c.s.n && *c.s.p == '.' ? fraction(&c) : 0;
	int east = offset(&c);
	if (c.bad || c.s.n || (between != 'T' && between != 't' && between != ' ')) return false;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
		return false;
	if (hour > 23 || minute > 59 || second > 60) return false;
	uint64_t days = days_to_year(year) + day - 1;
	for (unsigned m = 1; m < month; m++)
		days += days_of_month(year, m);
	int64_t at = (int64_t)(days * DAY_S + hour * 3600 + minute * 60 + second) - east * 60;
	if (at < 0) return false;
	*ret_unix_ms = (uint64_t)at * 1000 + ms;
	return true;
}
