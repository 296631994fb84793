#include "observe/logs/entry_priv.h"

#include <stdio.h>

#define NS_PER_S    1000000000ll
#define LOOKED_AT   64           /* bytes of a plain line */
#define MEMBERS_MAX 64           /* of a JSON line */
#define EPOCH_S_MAX 9223372036ll /* what fits into 63 bits of nanoseconds */

struct word {
	const char *name;
	enum hg_level level;
};

static const struct word level_words[] = {
        {"trace", HG_DEBUG},
        {"debug", HG_DEBUG},
        {"dbg", HG_DEBUG},
        {"info", HG_INFO},
        {"information", HG_INFO},
        {"notice", HG_INFO},
        {"inf", HG_INFO},
        {"warn", HG_WARN},
        {"warning", HG_WARN},
        {"wrn", HG_WARN},
        {"error", HG_ERROR},
        {"err", HG_ERROR},
        {"fatal", HG_ERROR},
        {"critical", HG_ERROR},
        {"crit", HG_ERROR},
        {"alert", HG_ERROR},
        {"emerg", HG_ERROR},
        {"emergency", HG_ERROR},
        {"panic", HG_ERROR},
        {"severe", HG_ERROR},
};

static bool level_of_word(struct hg_str w, enum hg_level *ret_level)
{
	for (size_t i = 0; i < HG_COUNT(level_words); i++) {
		if (hg_str_eq_nocase(w, hg_str(level_words[i].name))) {
			*ret_level = level_words[i].level;
			return true;
		}
	}
	return false;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Exactly `n` digits at s->p, moved past. */
static bool take_digits(struct hg_str *s, unsigned n, int *ret_v)
{
	int v = 0;
	if (s->n < n) return false;
	for (unsigned i = 0; i < n; i++) {
		if (!is_digit(s->p[i])) return false;
		v = v * 10 + (s->p[i] - '0');
	}
	s->p += n;
	s->n -= n;
	*ret_v = v;
	return true;
}

static bool take_one_of(struct hg_str *s, const char *set)
{
	if (s->n == 0 || !s->p[0] || !strchr(set, s->p[0])) return false;
	s->p++;
	s->n--;
	return true;
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar, March-based years. */
static int64_t days_of(int y, int m, int d)
{
	y -= m <= 2;
	int era = y / 400, yoe = y - era * 400;
	int doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return (int64_t)era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool take_fraction(struct hg_str *s, int64_t *ret_ns)
{
	int64_t scale = NS_PER_S / 10, ns = 0;
	if (!take_one_of(s, ".,")) {
		*ret_ns = 0;
		return true;
	}
	if (s->n == 0 || !is_digit(s->p[0])) return false;
	for (; s->n && is_digit(s->p[0]); s->p++, s->n--) {
		ns += (s->p[0] - '0') * scale;
		scale /= 10;
	}
	*ret_ns = ns;
	return true;
}

static bool take_zone(struct hg_str *s, int *ret_seconds)
{
	int h = 0, m = 0;
	*ret_seconds = 0;
	if (s->n == 0 || take_one_of(s, "Zz")) return s->n == 0;
	int sign = s->p[0] == '-' ? -1 : 1;
	if (!take_one_of(s, "+-") || !take_digits(s, 2, &h)) return false;
	(void)take_one_of(s, ":");
	if (!take_digits(s, 2, &m) || h > 23 || m > 59) return false;
	*ret_seconds = sign * (h * 3600 + m * 60);
	return s->n == 0;
}

bool entry_time(struct hg_str text, int64_t *ret_ns)
{
	int y, mo, d, h, mi, s, zone;
	int64_t ns;
	if (!take_digits(&text, 4, &y) || !take_one_of(&text, "-/")) return false;
	if (!take_digits(&text, 2, &mo) || !take_one_of(&text, "-/")) return false;
	if (!take_digits(&text, 2, &d) || !take_one_of(&text, "Tt ")) return false;
	if (!take_digits(&text, 2, &h) || !take_one_of(&text, ":")) return false;
	if (!take_digits(&text, 2, &mi) || !take_one_of(&text, ":")) return false;
	if (!take_digits(&text, 2, &s) || !take_fraction(&text, &ns)) return false;
	if (!take_zone(&text, &zone)) return false;
	if (y < 1970 || y > 2261 || mo < 1 || mo > 12 || d < 1 || d > 31) return false;
	if (h > 23 || mi > 59 || s > 60) return false;
	int64_t seconds = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + s - zone;
	*ret_ns = seconds * NS_PER_S + ns;
	return true;
}

bool entry_epoch(struct hg_str text, int64_t *ret_ns)
{
	size_t point = hg_str_find(text, '.');
	uint64_t whole;
	int64_t ns = 0;
	if (!hg_str_u64((struct hg_str){text.p, point}, &whole)) return false;
	struct hg_str rest = {text.p + point, text.n - point};
	if (!take_fraction(&rest, &ns) || rest.n) return false;
	uint64_t unit = NS_PER_S; /* nanoseconds in what `whole` counts */
	while (unit > 1 && whole / ((uint64_t)EPOCH_S_MAX * (NS_PER_S / unit)) > 0)
		unit /= 1000;
	if (whole > INT64_MAX / unit) return false;
	*ret_ns = (int64_t)(whole * unit) + ns / (int64_t)(NS_PER_S / unit);
	return *ret_ns >= 0;
}

void entry_time_text(uint64_t ns, char to[static 31])
{
	uint64_t seconds = ns / NS_PER_S, day = seconds / 86400, left = seconds % 86400;
	/* The inverse of days_of. */
	uint64_t z = day + 719468, era = z / 146097, doe = z % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	unsigned d = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	unsigned m = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	unsigned y = (unsigned)(yoe + era * 400 + (m <= 2));
	struct hg_out o = hg_out_over(to, 30);
	hg_out_fmt(&o, "%04u-%02u-%02uT%02u:%02u:%02u.", y % 10000, m, d, (unsigned)(left / 3600),
	        (unsigned)(left / 60 % 60), (unsigned)(left % 60));
	/* The last ten bytes by hand: hg_out keeps one for its own zero. */
	unsigned fraction = (unsigned)(ns % NS_PER_S);
	for (int i = 28; i >= 20; i--, fraction /= 10)
		to[i] = (char)('0' + fraction % 10);
	to[29] = 'Z';
	to[30] = 0;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

static bool is_capital(struct hg_str w)
{
	for (size_t i = 0; i < w.n; i++)
		if (w.p[i] < 'A' || w.p[i] > 'Z') return false;
	return w.n > 0;
}

/* `before`, `after`: the bytes around the word, 0 at the ends of the line. */
static bool marks_level(struct hg_str w, char before, char after)
{
	if (is_capital(w)) return true;
	if (before == '=') return true;
	bool opens = before == 0 || before == '[' || before == '<' || before == '(';
	return opens && after && strchr("]:>)|", after);
}

static enum hg_level level_of_plain(struct hg_str line)
{
	enum hg_level level = HG_INFO;
	if (hg_str_starts(line, HG_STR("Traceback (most recent call last)"))) return HG_ERROR;
	size_t end = HG_MIN(line.n, (size_t)LOOKED_AT);
	for (size_t i = 0; i < end;) {
		if (!is_word(line.p[i])) {
			i++;
			continue;
		}
		size_t from = i;
		while (i < end && is_word(line.p[i]))
			i++;
		struct hg_str w = {line.p + from, i - from};
		char before = from ? line.p[from - 1] : 0, after = i < line.n ? line.p[i] : 0;
		if (level_of_word(w, &level) && marks_level(w, before, after)) return level;
	}
	return HG_INFO;
}

static void skip_space(struct hg_str *s)
{
	while (s->n && strchr(" \t\r\n", s->p[0]) && s->p[0])
		s->p++, s->n--;
}

/* At a quote: the bytes up to the closing one, escapes left as they are. */
static bool take_string(struct hg_str *s, struct hg_str *ret_inside)
{
	size_t i = 1;
	while (i < s->n && s->p[i] != '"')
		i += s->p[i] == '\\' ? 2 : 1;
	if (i >= s->n) return false;
	*ret_inside = (struct hg_str){s->p + 1, i - 1};
	s->p += i + 1;
	s->n -= i + 1;
	return true;
}

/* Past one value; `ret_text` is a string's inside or the bytes of anything else. */
static bool take_value(struct hg_str *s, struct hg_str *ret_text)
{
	if (s->n && s->p[0] == '"') return take_string(s, ret_text);
	struct hg_str all = *s, inside;
	unsigned depth = 0;
	while (s->n) {
		char c = s->p[0];
		if (c == '"') {
			if (!take_string(s, &inside)) return false;
			continue;
		}
		if (depth == 0 && (c == ',' || c == '}')) break;
		if (c == '{' || c == '[') depth++;
		if (c == '}' || c == ']') depth--;
		s->p++, s->n--;
	}
	*ret_text = hg_str_trim((struct hg_str){all.p, (size_t)(s->p - all.p)});
	return s->n > 0;
}

static bool is_one_of(struct hg_str key, const char *const *names)
{
	for (; *names; names++)
		if (hg_str_eq(key, hg_str(*names))) return true;
	return false;
}

static void member_read(struct hg_str key, struct hg_str value, struct entry_said *said)
{
	static const char *const levels[] = {"level", "levelname", "severity", "lvl", NULL};
	static const char *const times[] = {
	        "ts", "time", "timestamp", "@timestamp", "asctime", NULL};
	uint64_t number;
	int64_t ns;
	if (is_one_of(key, levels)) {
		/* pino and bunyan: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal. */
		if (!level_of_word(value, &said->level) && hg_str_u64(value, &number) &&
		        number >= 10 && number <= 60)
			said->level = number < 30   ? HG_DEBUG
			              : number < 40 ? HG_INFO
			              : number < 50 ? HG_WARN
			                            : HG_ERROR;
	} else if (said->event_ns == LOGS_NO_EVENT && is_one_of(key, times)) {
		if (entry_time(value, &ns) || entry_epoch(value, &ns)) said->event_ns = ns;
	}
}

/* False when the line is no JSON object as far as it was read. */
static bool read_json(struct hg_str s, struct entry_said *said)
{
	struct hg_str key, value;
	s.p++, s.n--;
	for (unsigned members = 0; members < MEMBERS_MAX; members++) {
		skip_space(&s);
		if (s.n == 0) return false;
		if (s.p[0] == '}') return true;
		if (s.p[0] != '"' || !take_string(&s, &key)) return false;
		skip_space(&s);
		if (!take_one_of(&s, ":")) return false;
		skip_space(&s);
		if (!take_value(&s, &value)) return false;
		member_read(key, value, said);
		skip_space(&s);
		(void)take_one_of(&s, ",");
	}
	return true;
}

struct entry_said entry_read(struct hg_str line)
{
	struct entry_said said = {.level = HG_INFO, .event_ns = LOGS_NO_EVENT};
	skip_space(&line);
	if (line.n && line.p[0] == '{' && read_json(line, &said)) return said;
	said = (struct entry_said){.level = level_of_plain(line), .event_ns = LOGS_NO_EVENT};
	return said;
}
