#include "wire/base64.h"

void base64url_encode(struct hg_buf *to, struct hg_str bytes)
{
	static const char alphabet[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t left = HG_MIN(bytes.n - i, (size_t)3);
		uint32_t v = 0;
		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (k < left ? (unsigned char)bytes.p[i + k] : 0u);
		for (size_t k = 0; k <= left; k++)
			hg_buf_byte(to, alphabet[v >> (18 - 6 * k) & 63]);
	}
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z') return c - 'A';
	if (c >= 'a' && c <= 'z') return c - 'a' + 26;
	if (c >= '0' && c <= '9') return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(struct hg_buf *to, struct hg_str text)
{
	size_t rest = text.n % 4;
	if (rest == 1) return false;
	for (size_t i = 0; i < text.n; i++)
		if (value_of(text.p[i]) < 0) return false;
	if (rest && value_of(text.p[text.n - 1]) & (rest == 2 ? 15 : 3)) return false;
	for (size_t i = 0; i < text.n; i += 4) {
		size_t n = HG_MIN(text.n - i, (size_t)4);
		uint32_t v = 0;
		for (size_t k = 0; k < 4; k++)
			v = v << 6 | (k < n ? (uint32_t)value_of(text.p[i + k]) : 0u);
		for (size_t k = 0; k + 1 < n; k++)
			hg_buf_byte(to, (char)(v >> (16 - 8 * k) & 255));
	}
	return true;
}
