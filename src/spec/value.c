/* Texts to values and back: numbers with units, addresses, shares, and the checks on texts. */
#include "spec/spec_priv.h"

#include <stdio.h>

#define MICRO 1000000u

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit durations[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit sizes[] = {
        {"Ki", 1ull << 10}, {"Mi", 1ull << 20}, {"Gi", 1ull << 30}, {"Ti", 1ull << 40}};

static bool no(struct spec_problem *p, enum hg_rc rc, const char *why)
{
	p->rc = rc;
	snprintf(p->why, sizeof p->why, "%s", why);
	return false;
}

HG_PRINTF(2, 3) static bool hint(struct spec_problem *p, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(p->hint, sizeof p->hint, fmt, ap);
	va_end(ap);
	return false;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits with at most six behind a point, in millionths. Cuts them off `*s`. */
static bool decimal(struct hg_str *s, uint64_t *ret_micro)
{
	size_t i = 0, behind = 0;
	uint64_t v = 0, scale = MICRO;
	for (; i < s->n && digit(s->p[i]) && i < 13; i++)
		v = v * 10 + (uint64_t)(s->p[i] - '0');
	if (i == 0 || i == 13) return false;
	v *= MICRO;
	if (i < s->n && s->p[i] == '.') {
		for (i++; i < s->n && digit(s->p[i]) && behind < 6; i++, behind++) {
			scale /= 10;
			v += (uint64_t)(s->p[i] - '0') * scale;
		}
		if (behind == 0 || (i < s->n && digit(s->p[i]))) return false;
	}
	*s = (struct hg_str){s->p + i, s->n - i};
	*ret_micro = v;
	return true;
}

static bool integer(struct hg_str *s, uint64_t *ret_v)
{
	size_t i = 0;
	uint64_t v = 0;
	for (; i < s->n && digit(s->p[i]) && i < 16; i++)
		v = v * 10 + (uint64_t)(s->p[i] - '0');
	if (i == 0 || i == 16) return false;
	*s = (struct hg_str){s->p + i, s->n - i};
	*ret_v = v;
	return true;
}

static bool bad_duration(struct hg_str text, struct spec_problem *p)
{
	uint64_t v;
	struct hg_str rest = text;
	no(p, HG_E_CONFIG_VALUE, "must be a duration such as 500ms, 5s, 15m, 1h or 30d");
	if (integer(&rest, &v) && rest.n == 0)
		return hint(p, "give a unit: %.*ss is seconds, %.*sm minutes", HG_STR_ARG(text),
		        HG_STR_ARG(text));
	return false;
}

/* One or more parts, the larger unit first: 90s, 1h30m. */
static bool duration(struct hg_str text, uint64_t *ret_v, struct spec_problem *p)
{
	struct hg_str rest = text;
	uint64_t sum = 0, part, last = UINT64_MAX;
	if (hg_str_eq(text, HG_STR("0"))) {
		*ret_v = 0;
		return true;
	}
	do {
		const struct unit *u = NULL;
		if (!integer(&rest, &part)) return bad_duration(text, p);
		for (size_t i = 0; i < HG_COUNT(durations); i++) {
			struct hg_str name = hg_str(durations[i].name);
			if (!hg_str_starts(rest, name)) continue;
			if (rest.n > name.n && !digit(rest.p[name.n])) continue;
			u = &durations[i];
			break;
		}
		if (!u || u->factor >= last) return bad_duration(text, p);
		last = u->factor;
		if (part > UINT64_MAX / 16 / u->factor) return bad_duration(text, p);
		sum += part * u->factor;
		rest = (struct hg_str){rest.p + strlen(u->name), rest.n - strlen(u->name)};
	} while (rest.n);
	*ret_v = sum;
	return true;
}

static bool size(struct hg_str text, uint64_t *ret_v, struct spec_problem *p)
{
	struct hg_str rest = text;
	uint64_t v;
	if (!integer(&rest, &v))
		return no(p, HG_E_CONFIG_VALUE, "must be a size such as 256Mi or 1Gi");
	for (size_t i = 0; i < HG_COUNT(sizes); i++) {
		if (!hg_str_eq(rest, hg_str(sizes[i].name))) continue;
		if (v > UINT64_MAX / sizes[i].factor)
			return no(p, HG_E_CONFIG_VALUE, "must be a size below 16777216Ti");
		*ret_v = v * sizes[i].factor;
		return true;
	}
	if (rest.n == 0) {
		*ret_v = v;
		return true;
	}
	no(p, HG_E_CONFIG_VALUE, "must be a size such as 256Mi or 1Gi");
	if (rest.n <= 2 && strchr("kKmMgGtT", rest.p[0]))
		hint(p, "write %llu%ci: Ki, Mi, Gi and Ti are the units", (unsigned long long)v,
		        rest.p[0] & ~0x20);
	return false;
}

static bool ratio(struct hg_str text, uint64_t *ret_v, struct spec_problem *p)
{
	struct hg_str rest = text;
	uint64_t micro;
	no(p, HG_E_CONFIG_VALUE, "must be a ratio such as 5% or 0.05");
	if (!decimal(&rest, &micro)) return false;
	if (hg_str_eq(rest, HG_STR("%"))) {
		*ret_v = (micro + 50) / 100;
		return true;
	}
	if (rest.n) return false;
	if (micro >= MICRO)
		return hint(
		        p, "%.*s is ambiguous: write %.*s%%", HG_STR_ARG(text), HG_STR_ARG(text));
	*ret_v = micro;
	return true;
}

static bool factor(struct hg_str text, uint64_t *ret_v, struct spec_problem *p)
{
	struct hg_str rest = text;
	uint64_t micro;
	if (!decimal(&rest, &micro) || !hg_str_eq(rest, HG_STR("x")))
		return no(p, HG_E_CONFIG_VALUE, "must be a factor such as 1.5x");
	*ret_v = micro;
	return true;
}

static bool cpu(struct hg_str text, uint64_t *ret_v, struct spec_problem *p)
{
	struct hg_str rest = text;
	uint64_t micro;
	if (decimal(&rest, &micro)) {
		if (rest.n == 0 && micro % 1000 == 0) {
			*ret_v = micro / 1000;
			return true;
		}
		if (hg_str_eq(rest, HG_STR("m")) && micro % MICRO == 0) {
			*ret_v = micro / MICRO;
			return true;
		}
	}
	return no(p, HG_E_CONFIG_VALUE, "must be an amount of CPU such as 500m or 2");
}

static bool whole(struct hg_str text, uint64_t *ret_v, struct spec_problem *p)
{
	if (hg_str_u64(text, ret_v)) return true;
	if (text.n && text.p[0] == '-' && text.n > 1 && digit(text.p[1]))
		return no(p, HG_E_CONFIG_RANGE, "must not be negative");
	return no(p, HG_E_CONFIG_TYPE, "must be a whole number");
}

static bool boolean(struct hg_str text, uint64_t *ret_v, struct spec_problem *p)
{
	static const char *const yes[] = {"yes", "on", "y", "1", "True", "TRUE"};
	static const char *const nope[] = {"no", "off", "n", "0", "False", "FALSE"};
	bool v = hg_str_eq(text, HG_STR("true"));
	if (v || hg_str_eq(text, HG_STR("false"))) {
		*ret_v = v;
		return true;
	}
	no(p, HG_E_CONFIG_TYPE, "must be true or false");
	for (size_t i = 0; i < HG_COUNT(yes); i++) {
		if (hg_str_eq_nocase(text, hg_str(yes[i]))) return hint(p, "write true");
		if (hg_str_eq_nocase(text, hg_str(nope[i]))) return hint(p, "write false");
	}
	return false;
}

static bool choice(
        const struct spec_key *k, struct hg_str text, uint64_t *ret_v, struct spec_problem *p)
{
	const char *near = NULL;
	uint32_t best = 3;
	size_t at = (size_t)snprintf(p->why, sizeof p->why, "must be one of");
	for (size_t i = 0; k->choices[i]; i++) {
		struct hg_str c = hg_str(k->choices[i]);
		if (hg_str_eq(c, text)) {
			*ret_v = i;
			return true;
		}
		uint32_t d = hg_str_eq_nocase(c, text) ? 0 : hg_str_distance(c, text);
		if (d < best && d < c.n) {
			best = d;
			near = k->choices[i];
		}
		if (at < sizeof p->why)
			at += (size_t)snprintf(p->why + at, sizeof p->why - at, "%s %s",
			        i ? "," : "", k->choices[i]);
	}
	p->rc = HG_E_CONFIG_VALUE;
	return near ? hint(p, "did you mean \"%s\"?", near) : false;
}

bool spec_value_number(
        const struct spec_key *k, struct hg_str text, uint64_t *ret_v, struct spec_problem *p)
{
	uint64_t v = 0;
	bool good = false;
	*p = (struct spec_problem){0};
	if (k->word && hg_str_eq(text, hg_str(k->word))) {
		*ret_v = k->word_value;
		return true;
	}
	switch (k->kind) {
	case SPEC_K_BOOL: return boolean(text, ret_v, p);
	case SPEC_K_ENUM: return choice(k, text, ret_v, p);
	case SPEC_K_INT: good = whole(text, &v, p); break;
	case SPEC_K_DURATION: good = duration(text, &v, p); break;
	case SPEC_K_SIZE: good = size(text, &v, p); break;
	case SPEC_K_RATIO: good = ratio(text, &v, p); break;
	case SPEC_K_FACTOR: good = factor(text, &v, p); break;
	case SPEC_K_CPU: good = cpu(text, &v, p); break;
	default: HG_ASSERT(!"a number"); break;
	}
	if (!good) {
		if (k->word && p->rc == HG_E_CONFIG_TYPE) hint(p, "or the word \"%s\"", k->word);
		return false;
	}
	if (v < k->min || v > k->max) {
		p->rc = HG_E_CONFIG_RANGE;
		if (k->min == k->max)
			snprintf(p->why, sizeof p->why, "must be %s", k->low);
		else
			snprintf(p->why, sizeof p->why, "must be from %s to %s", k->low, k->high);
		p->hint[0] = 0;
		return false;
	}
	*ret_v = v;
	p->rc = HG_OK;
	return true;
}

bool spec_value_address(struct hg_str text, struct spec_address *ret_v, struct spec_problem *p)
{
	struct hg_str port = text, host = {0};
	uint64_t v;
	*p = (struct spec_problem){0};
	for (size_t i = text.n; i-- > 0;) {
		if (text.p[i] != ':') continue;
		host = (struct hg_str){text.p, i};
		port = (struct hg_str){text.p + i + 1, text.n - i - 1};
		break;
	}
	no(p, HG_E_CONFIG_VALUE, "must be a port, or address:port");
	if (!hg_str_u64(port, &v)) return hint(p, "for example 8080 or 127.0.0.1:8080");
	if (v < 1 || v > 65535) return no(p, HG_E_CONFIG_RANGE, "must have a port from 1 to 65535");
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
		host = (struct hg_str){host.p + 1, host.n - 2};
	} else if (hg_str_find(host, ':') < host.n) {
		return hint(p, "write an IPv6 address in brackets: [::1]:8080");
	}
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];
		if (!digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '.' &&
		        c != '-' && c != ':')
			return false;
	}
	*ret_v =
	        (struct spec_address){.set = true, .text = text, .host = host, .port = (uint16_t)v};
	return true;
}

bool spec_value_share(struct hg_str text, struct spec_share *ret_v, struct spec_problem *p)
{
	uint64_t v;
	*p = (struct spec_problem){0};
	if (hg_str_u64(text, &v)) {
		if (v > 100000) return no(p, HG_E_CONFIG_RANGE, "must be at most 100000");
		*ret_v = (struct spec_share){.set = true, .is_count = true, .count = (uint32_t)v};
		return true;
	}
	if (!ratio(text, &v, p))
		return no(
		        p, HG_E_CONFIG_VALUE, "must be a count such as 2, or a ratio such as 25%");
	if (v > MICRO) return no(p, HG_E_CONFIG_RANGE, "must be from 0% to 100%");
	*ret_v = (struct spec_share){.set = true, .ppm = (uint32_t)v};
	return true;
}

/* ---- back to text ---- */

uint64_t spec_member_number(const struct spec_key *k, const void *member)
{
	switch (k->kind) {
	case SPEC_K_BOOL: return *(const bool *)member;
	case SPEC_K_DURATION:
	case SPEC_K_SIZE: return *(const uint64_t *)member;
	case SPEC_K_ENUM: return (uint64_t) * (const unsigned *)member;
	default: return *(const uint32_t *)member;
	}
}

static void print_micro(uint64_t micro, struct hg_buf *to)
{
	uint64_t rest = micro % MICRO;
	hg_buf_u64(to, micro / MICRO);
	if (!rest) return;
	int digits = 6;
	while (rest % 10 == 0) {
		rest /= 10;
		digits--;
	}
	hg_buf_fmt(to, ".%0*llu", digits, (unsigned long long)rest);
}

static void print_unit(
        uint64_t v, const struct unit *units, size_t n, const char *bare, struct hg_buf *to)
{
	for (size_t i = n; i-- > 0 && v;) {
		if (v % units[i].factor) continue;
		hg_buf_u64(to, v / units[i].factor);
		hg_buf_cstr(to, units[i].name);
		return;
	}
	hg_buf_u64(to, v);
	hg_buf_cstr(to, bare);
}

void spec_number_print(const struct spec_key *k, uint64_t v, struct hg_buf *to)
{
	if (k->word && v == k->word_value) {
		hg_buf_cstr(to, k->word);
		return;
	}
	switch (k->kind) {
	case SPEC_K_BOOL: hg_buf_cstr(to, v ? "true" : "false"); break;
	case SPEC_K_ENUM: spec_text_print(hg_str(k->choices[v]), to); break;
	case SPEC_K_DURATION: print_unit(v, durations, HG_COUNT(durations), "s", to); break;
	case SPEC_K_SIZE: print_unit(v, sizes, HG_COUNT(sizes), "", to); break;
	case SPEC_K_RATIO:
		print_micro(v * 100, to);
		hg_buf_byte(to, '%');
		break;
	case SPEC_K_FACTOR:
		print_micro(v, to);
		hg_buf_byte(to, 'x');
		break;
	case SPEC_K_CPU:
		hg_buf_u64(to, v % 1000 ? v : v / 1000);
		if (v % 1000) hg_buf_byte(to, 'm');
		break;
	default: hg_buf_u64(to, v); break;
	}
}

static bool looks_typed(struct hg_str s)
{
	static const char *const words[] = {"true", "false", "null", "yes", "no", "on", "off", "~"};
	for (size_t i = 0; i < HG_COUNT(words); i++) {
		if (hg_str_eq_nocase(s, hg_str(words[i]))) return true;
	}
	return false;
}

/* Safe without quotes, in a block and in [] or {}; rather too strict than clever. */
static bool plain_safe(struct hg_str s)
{
	if (s.n == 0 || looks_typed(s) || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == ':') return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool wordy = digit((char)c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		             c >= 0x80;
		if (!wordy && !strchr("/._$", c) && (i == 0 || !strchr("+-*=@%!?&;~^()<>|:# '", c)))
			return false;
		if (c == ':' && s.p[i + 1] == ' ') return false; /* not the last, see above */
		if (c == '#' && s.p[i - 1] == ' ') return false;
	}
	return true;
}

void spec_text_print(struct hg_str s, struct hg_buf *to)
{
	bool plain = plain_safe(s);
	if (plain) {
		hg_buf_str(to, s);
		return;
	}
	hg_buf_byte(to, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			hg_buf_fmt(to, "\\%c", c);
		else if (c == '\n')
			hg_buf_cstr(to, "\\n");
		else if (c < 0x20 || c == 0x7f)
			hg_buf_fmt(to, "\\x%02x", c);
		else
			hg_buf_byte(to, (char)c);
	}
	hg_buf_byte(to, '"');
}

static void print_share(const struct spec_share *s, struct hg_buf *to)
{
	if (s->is_count) {
		hg_buf_u64(to, s->count);
	} else {
		print_micro((uint64_t)s->ppm * 100, to);
		hg_buf_byte(to, '%');
	}
}

void spec_value_print(const struct spec_key *k, const void *member, struct hg_buf *to)
{
	const char *base = (const char *)member - k->at;
	uint32_t n = k->count_at ? *(const uint32_t *)(const void *)(base + k->count_at) : 0;
	switch (k->kind) {
	case SPEC_K_STRING:
	case SPEC_K_COMMAND: spec_text_print(*(const struct hg_str *)member, to); break;
	case SPEC_K_ADDRESS:
		spec_text_print(((const struct spec_address *)member)->text, to);
		break;
	case SPEC_K_SHARE: print_share(member, to); break;
	case SPEC_K_STRINGS: {
		const struct hg_str *s = *(struct hg_str *const *)member;
		hg_buf_byte(to, '[');
		for (uint32_t i = 0; i < n; i++) {
			if (i) hg_buf_cstr(to, ", ");
			spec_text_print(s[i], to);
		}
		hg_buf_byte(to, ']');
		break;
	}
	default: spec_number_print(k, spec_member_number(k, member), to); break;
	}
}
