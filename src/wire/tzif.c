#include "wire/tzif.h"

#include <stdlib.h>

#define TYPES_MAX 256u

/* "Mm.w.d", "Jn", "n" of POSIX' TZ, with the second of the day. */
struct rule {
	enum { RULE_MONTH, RULE_JULIAN, RULE_DAY } kind;
	int32_t month, week, day;
	int32_t second;
};

struct type {
	int32_t offset_s;
	bool summer;
	char name[8];
};

struct tzif {
	int64_t *at;
	uint8_t *which;
	uint32_t count, type_count;
	struct type types[TYPES_MAX];
	bool footer, footer_summer; /* there is one; it has two halves of the year */
	struct type standard, summer;
	struct rule begin, end;
};

static uint32_t be32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;
	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static int64_t be64(const char *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

/* ---- the rule at the end ---- */

static bool number(struct hg_str *s, int32_t max, int32_t *ret)
{
	int32_t v = 0;
	size_t n = 0;
	while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9' && v <= max)
		v = v * 10 + (s->p[n++] - '0');
	s->p += n;
	s->n -= n;
	*ret = v;
	return n > 0 && v <= max;
}

static bool take(struct hg_str *s, char c)
{
	if (!s->n || s->p[0] != c) return false;
	s->p++;
	s->n--;
	return true;
}

/* "[+-]hh[:mm[:ss]]" in seconds. */
static bool clock(struct hg_str *s, int32_t *ret)
{
	int32_t h, m = 0, sec = 0, sign = take(s, '-') ? -1 : 1;
	if (sign > 0) (void)take(s, '+');
	if (!number(s, 167, &h)) return false;
	if (take(s, ':') && !number(s, 59, &m)) return false;
	if (take(s, ':') && !number(s, 59, &sec)) return false;
	*ret = sign * (h * 3600 + m * 60 + sec);
	return true;
}

static bool zone_name(struct hg_str *s, char to[static 8])
{
	bool quoted = take(s, '<');
	size_t n = 0;
	while (n < s->n &&
	        (quoted ? s->p[n] != '>' : ((s->p[n] | 0x20) >= 'a' && (s->p[n] | 0x20) <= 'z')))
		n++;
	(void)hg_str_copy((struct hg_str){s->p, HG_MIN(n, (size_t)7)}, to, 8);
	s->p += n;
	s->n -= n;
	return n > 0 && (!quoted || take(s, '>'));
}

static bool rule_parse(struct hg_str *s, struct rule *r)
{
	r->second = 7200;
	if (take(s, 'M')) {
		r->kind = RULE_MONTH;
		if (!number(s, 12, &r->month) || !take(s, '.') || !number(s, 5, &r->week) ||
		        !take(s, '.') || !number(s, 6, &r->day) || !r->month || !r->week)
			return false;
	} else {
		r->kind = take(s, 'J') ? RULE_JULIAN : RULE_DAY;
		if (!number(s, 366, &r->day)) return false;
	}
	return !take(s, '/') || clock(s, &r->second);
}

static bool footer_parse(struct tzif *z, struct hg_str s)
{
	int32_t offset;
	if (!zone_name(&s, z->standard.name) || !clock(&s, &offset)) return false;
	z->standard.offset_s = -offset;
	z->footer = true;
	if (!s.n) return true;
	if (!zone_name(&s, z->summer.name)) return false;
	z->summer.offset_s = z->standard.offset_s + 3600;
	z->summer.summer = true;
	if (s.n && s.p[0] != ',') {
		if (!clock(&s, &offset)) return false;
		z->summer.offset_s = -offset;
	}
	if (!take(&s, ',') || !rule_parse(&s, &z->begin) || !take(&s, ',') ||
	        !rule_parse(&s, &z->end) || s.n)
		return false;
	z->footer_summer = true;
	return true;
}

static bool leap(int64_t y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

/* Days from 1970 to a date (Hinnant). */
static int64_t days_of(int64_t y, int32_t m, int32_t d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* Second of 1970 at which a rule holds in a year, on a clock without offset. */
static int64_t rule_at(const struct rule *r, int64_t year)
{
	int64_t day;
	if (r->kind == RULE_MONTH) {
		int64_t first = days_of(year, r->month, 1);
		int32_t weekday = (int32_t)(((first + 4) % 7 + 7) % 7);
		day = first + (r->day - weekday + 7) % 7 + (r->week - 1) * 7;
		int64_t next =
		        r->month == 12 ? days_of(year + 1, 1, 1) : days_of(year, r->month + 1, 1);
		while (day >= next)
			day -= 7;
	} else {
		day = days_of(year, 1, 1) + r->day;
		if (r->kind == RULE_JULIAN) day += -1 + (leap(year) && r->day >= 60);
	}
	return day * 86400 + r->second;
}

static int64_t year_of(int64_t unix_s)
{
	int64_t days = unix_s / 86400 - (unix_s % 86400 < 0), z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	return yoe + era * 400 + ((5 * doy + 2) / 153 >= 10);
}

static const struct type *footer_at(const struct tzif *z, int64_t t)
{
	if (!z->footer_summer) return &z->standard;
	int64_t year = year_of(t + z->standard.offset_s);
	int64_t begin = rule_at(&z->begin, year) - z->standard.offset_s;
	int64_t end = rule_at(&z->end, year) - z->summer.offset_s;
	bool summer = begin < end ? t >= begin && t < end : t >= begin || t < end;
	return summer ? &z->summer : &z->standard;
}

struct tzif_offset tzif_at(const struct tzif *z, int64_t t)
{
	const struct type *found;
	if (!z->count || t < z->at[0]) {
		found = z->count || !z->footer ? &z->types[0] : footer_at(z, t);
	} else if (t >= z->at[z->count - 1] && z->footer) {
		found = footer_at(z, t);
	} else {
		uint32_t from = 0, to = z->count;
		while (to - from > 1) {
			uint32_t mid = from + (to - from) / 2;
			if (z->at[mid] <= t)
				from = mid;
			else
				to = mid;
		}
		found = &z->types[z->which[from]];
	}
	struct tzif_offset o = {.offset_s = found->offset_s, .summer = found->summer};
	memcpy(o.name, found->name, sizeof o.name);
	return o;
}

/* ---- the file ---- */

struct header {
	uint32_t utc, standard, leaps, times, types, chars;
};

static bool header_read(struct hg_str s, struct header *h)
{
	if (s.n < 44 || memcmp(s.p, "TZif", 4) != 0) return false;
	uint32_t *to[] = {&h->utc, &h->standard, &h->leaps, &h->times, &h->types, &h->chars};
	for (uint32_t i = 0; i < HG_COUNT(to); i++) {
		*to[i] = be32(s.p + 20 + 4 * (size_t)i);
		if (*to[i] > TZIF_MAX) return false;
	}
	return true;
}

static size_t body_size(const struct header *h, size_t time_size)
{
	return h->times * (time_size + 1) + (size_t)h->types * 6 + h->chars +
	       h->leaps * (time_size + 4) + h->standard + h->utc;
}

static bool types_read(struct tzif *z, const struct header *h, const char *p, struct hg_str names)
{
	z->type_count = h->types;
	for (uint32_t i = 0; i < h->types; i++, p += 6) {
		uint32_t name = (unsigned char)p[5];
		z->types[i].offset_s = (int32_t)be32(p);
		z->types[i].summer = p[4] != 0;
		if (abs(z->types[i].offset_s) > 93599 || name >= names.n) return false;
		struct hg_str rest = {names.p + name, names.n - name};
		size_t n = hg_str_find(rest, 0);
		if (n == rest.n) return false;
		(void)hg_str_copy(
		        (struct hg_str){rest.p, HG_MIN(n, (size_t)7)}, z->types[i].name, 8);
	}
	return true;
}

static bool body_read(struct tzif *z, const struct header *h, struct hg_str s)
{
	size_t size = body_size(h, 8);
	if (s.n < size || !h->types || h->types > TYPES_MAX) return false;
	z->count = h->times;
	const char *which = s.p + (size_t)h->times * 8, *types = which + h->times;
	struct hg_str names = {types + (size_t)h->types * 6, h->chars};
	for (uint32_t i = 0; i < h->times; i++) {
		z->at[i] = be64(s.p + 8 * (size_t)i);
		z->which[i] = (uint8_t)which[i];
		if (z->which[i] >= h->types || (i && z->at[i] <= z->at[i - 1])) return false;
	}
	if (!types_read(z, h, types, names)) return false;
	struct hg_str footer = {s.p + size, s.n - size};
	if (footer.n < 2 || footer.p[0] != '\n') return false;
	footer.p++;
	footer.n--;
	size_t end = hg_str_find(footer, '\n');
	if (end == footer.n) return false;
	return end == 0 || footer_parse(z, (struct hg_str){footer.p, end});
}

enum hg_rc tzif_parse(struct hg_str bytes, struct tzif **ret_zone)
{
	struct header h;
	if (bytes.n > TZIF_MAX || !header_read(bytes, &h) || bytes.p[4] < '2') return HG_E_INVALID;
	size_t skip = 44 + body_size(&h, 4);
	if (skip > bytes.n) return HG_E_INVALID;
	struct hg_str second = {bytes.p + skip, bytes.n - skip};
	if (!header_read(second, &h)) return HG_E_INVALID;
	struct tzif *z = calloc(1, sizeof *z);
	if (!z) return HG_E_NOMEM;
	z->at = calloc(h.times + 1, sizeof *z->at);
	z->which = calloc(h.times + 1, 1);
	enum hg_rc rc = z->at && z->which ? HG_OK : HG_E_NOMEM;
	if (rc == HG_OK && !body_read(z, &h, (struct hg_str){second.p + 44, second.n - 44}))
		rc = HG_E_INVALID;
	if (rc == HG_OK)
		*ret_zone = z;
	else
		tzif_free(z);
	return rc;
}

void tzif_free(struct tzif *z)
{
	if (!z) return;
	free(z->at);
	free(z->which);
	free(z);
}

bool tzif_name_ok(struct hg_str name)
{
	if (!name.n || name.n > 64 || name.p[0] == '/') return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool letter =
		        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && c != '/' && c != '_' && c != '-' && c != '+') return false;
	}
	return true;
}
