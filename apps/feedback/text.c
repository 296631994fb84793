#include "apps/feedback/text_priv.h"

#include <time.h>

/* Bytes of the character that starts here, 0 when it is not well-formed. */
static size_t character_size(struct hg_str s)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (n > s.n || !hg_utf8_valid((struct hg_str){s.p, n})) return 0;
	return n;
}

/* `v` with `n` digits. These stand in every answer and every line of the log: printf took half of
 * the latter. */
static void digits(struct hg_out *o, unsigned v, unsigned n)
{
	char text[8];
	HG_ASSERT(n <= sizeof text);
	for (unsigned i = n; i > 0; i--) {
		text[i - 1] = (char)('0' + v % 10);
		v /= 10;
	}
	hg_out_str(o, (struct hg_str){text, n});
}

/* "2026-11-21" and "07:12:12", with `between` them. */
static void date_and_time(struct hg_out *o, uint64_t wall_ns, char between)
{
	time_t seconds = (time_t)(wall_ns / 1000000000u);
	struct tm tm = {0};
	gmtime_r(&seconds, &tm);
	digits(o, (unsigned)tm.tm_year + 1900, 4);
	hg_out_byte(o, '-');
	digits(o, (unsigned)tm.tm_mon + 1, 2);
	hg_out_byte(o, '-');
	digits(o, (unsigned)tm.tm_mday, 2);
	hg_out_byte(o, between);
	digits(o, (unsigned)tm.tm_hour, 2);
	hg_out_byte(o, ':');
	digits(o, (unsigned)tm.tm_min, 2);
	hg_out_byte(o, ':');
	digits(o, (unsigned)tm.tm_sec, 2);
}

size_t text_time_iso(uint64_t wall_ns, char to[TEXT_TIME_MAX])
{
	struct hg_out o = hg_out_over(to, TEXT_TIME_MAX);
	date_and_time(&o, wall_ns, 'T');
	hg_out_byte(&o, '.');
	digits(&o, (unsigned)(wall_ns / 1000 % 1000000), 6);
	hg_out_byte(&o, 'Z');
	return o.n;
}

size_t text_time_log(uint64_t wall_ns, char to[TEXT_TIME_MAX])
{
	struct hg_out o = hg_out_over(to, TEXT_TIME_MAX);
	date_and_time(&o, wall_ns, ' ');
	hg_out_byte(&o, ',');
	digits(&o, (unsigned)(wall_ns / 1000000 % 1000), 3);
	return o.n;
}

static bool is_space(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
	       c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Decodes the valid character at `p` of `n` bytes. */
static uint32_t character_at(const char *p, size_t n)
{
	static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = (unsigned char)p[0] & lead[n];
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

struct hg_str text_trim(struct hg_str s)
{
	while (s.n) {
		size_t n = character_size(s);
		if (n == 0 || !is_space(character_at(s.p, n))) break;
		s.p += n;
		s.n -= n;
	}
	while (s.n) {
		size_t n = 1;
		while (n < s.n && n < 4 && ((unsigned char)s.p[s.n - n] & 0xc0) == 0x80)
			n++;
		if (!is_space(character_at(s.p + s.n - n, n))) break;
		s.n -= n;
	}
	return s;
}

size_t text_characters(struct hg_str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

bool text_is_token(struct hg_str s, size_t max)
{
	if (s.n == 0 || s.n > max) return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x21 || s.p[i] > 0x7e || s.p[i] == '"' || s.p[i] == '\\') return false;
	return true;
}
