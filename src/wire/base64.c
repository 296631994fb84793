#include "wire/base64.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static void encode(struct hg_buf *to, struct hg_str bytes, const char *alphabet, bool pad)
{
	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t left = HG_MIN(bytes.n - i, (size_t)3);
		uint32_t v = 0;
		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (k < left ? (unsigned char)bytes.p[i + k] : 0u);
		for (size_t k = 0; k <= left; k++)
			hg_buf_byte(to, alphabet[v >> (18 - 6 * k) & 63]);
		for (size_t k = left; pad && k < 3; k++)
			hg_buf_byte(to, '=');
	}
}

/* `last`: the two characters of this alphabet for 62 and 63. */
static int value_of(char c, const char *last)
{
	if (c >= 'A' && c <= 'Z') return c - 'A';
	if (c >= 'a' && c <= 'z') return c - 'a' + 26;
	if (c >= '0' && c <= '9') return c - '0' + 52;
	return c == last[0] ? 62 : c == last[1] ? 63 : -1;
}

static bool decode(struct hg_buf *to, struct hg_str text, const char *last)
{
	size_t rest = text.n % 4;
	if (rest == 1) return false;
	for (size_t i = 0; i < text.n; i++)
		if (value_of(text.p[i], last) < 0) return false;
	if (rest && value_of(text.p[text.n - 1], last) & (rest == 2 ? 15 : 3)) return false;
	for (size_t i = 0; i < text.n; i += 4) {
		size_t n = HG_MIN(text.n - i, (size_t)4);
		uint32_t v = 0;
		for (size_t k = 0; k < 4; k++)
			v = v << 6 | (k < n ? (uint32_t)value_of(text.p[i + k], last) : 0u);
		for (size_t k = 0; k + 1 < n; k++)
			hg_buf_byte(to, (char)(v >> (16 - 8 * k) & 255));
	}
	return true;
}

void base64url_encode(struct hg_buf *to, struct hg_str bytes)
{
	encode(to, bytes, LETTERS "-_", false);
}

bool base64url_decode(struct hg_buf *to, struct hg_str text)
{
	return decode(to, text, "-_");
}

void base64_encode(struct hg_buf *to, struct hg_str bytes)
{
	encode(to, bytes, LETTERS "+/", true);
}

bool base64_decode(struct hg_buf *to, struct hg_str text)
{
	if (text.n % 4) return false;
	for (int i = 0; i < 2 && text.n && text.p[text.n - 1] == '='; i++)
		text.n--;
	return decode(to, text, "+/");
}
