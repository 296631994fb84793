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

/* What each character stands for, and one more; 0: nothing. Those of 62 and 63 differ. */
static const unsigned char place[256] = {['A'] = 1,
        ['B'] = 2,
        ['C'] = 3,
        ['D'] = 4,
        ['E'] = 5,
        ['F'] = 6,
        ['G'] = 7,
        ['H'] = 8,
        ['I'] = 9,
        ['J'] = 10,
        ['K'] = 11,
        ['L'] = 12,
        ['M'] = 13,
        ['N'] = 14,
        ['O'] = 15,
        ['P'] = 16,
        ['Q'] = 17,
        ['R'] = 18,
        ['S'] = 19,
        ['T'] = 20,
        ['U'] = 21,
        ['V'] = 22,
        ['W'] = 23,
        ['X'] = 24,
        ['Y'] = 25,
        ['Z'] = 26,
        ['a'] = 27,
        ['b'] = 28,
        ['c'] = 29,
        ['d'] = 30,
        ['e'] = 31,
        ['f'] = 32,
        ['g'] = 33,
        ['h'] = 34,
        ['i'] = 35,
        ['j'] = 36,
        ['k'] = 37,
        ['l'] = 38,
        ['m'] = 39,
        ['n'] = 40,
        ['o'] = 41,
        ['p'] = 42,
        ['q'] = 43,
        ['r'] = 44,
        ['s'] = 45,
        ['t'] = 46,
        ['u'] = 47,
        ['v'] = 48,
        ['w'] = 49,
        ['x'] = 50,
        ['y'] = 51,
        ['z'] = 52,
        ['0'] = 53,
        ['1'] = 54,
        ['2'] = 55,
        ['3'] = 56,
        ['4'] = 57,
        ['5'] = 58,
        ['6'] = 59,
        ['7'] = 60,
        ['8'] = 61,
        ['9'] = 62};

/* `last`: the two characters of this alphabet for 62 and 63. */
static int value_of(char c, const char *last)
{
	int v = place[(unsigned char)c];
	return v ? v - 1 : c == last[0] ? 62 : c == last[1] ? 63 : -1;
}

static bool decode(struct hg_buf *to, struct hg_str text, const char *last)
{
	size_t rest = text.n % 4;
	int all = 0;
	if (rest == 1) return false;
	for (size_t i = 0; i < text.n; i++)
		all |= value_of(text.p[i], last);
	if (all < 0) return false;
	if (rest && value_of(text.p[text.n - 1], last) & (rest == 2 ? 15 : 3)) return false;
	size_t size = text.n / 4 * 3 + (rest ? rest - 1 : 0), done = 0;
	char *out = hg_buf_room(to, size);
	for (size_t i = 0; out && i < text.n; i += 4) {
		size_t n = HG_MIN(text.n - i, (size_t)4);
		uint32_t v = 0;
		for (size_t k = 0; k < 4; k++)
			v = v << 6 | (k < n ? (uint32_t)value_of(text.p[i + k], last) : 0u);
		for (size_t k = 0; k + 1 < n; k++)
			out[done++] = (char)(v >> (16 - 8 * k) & 255);
	}
	if (out) hg_buf_add(to, size);
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
