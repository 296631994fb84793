#include "wire/http1_priv.h"

#include <arpa/inet.h>

#define T (HTTP1_C_TOKEN | HTTP1_C_PLAIN)
#define V HTTP1_C_VALUE
#define U HTTP1_C_TARGET
#define H HTTP1_C_HOST
#define X HTTP1_C_HEX
#define D HTTP1_C_DIGIT

const uint8_t http1_class[256] = {
        ['\t'] = V,
        [' '] = V,
        ['!'] = T | V | U | H,
        ['"'] = V | U,
        ['#'] = T | V,
        ['$'] = T | V | U | H,
        ['%'] = T | V | U,
        ['&'] = T | V | U | H,
        ['\''] = T | V | U | H,
        ['('] = V | U | H,
        [')'] = V | U | H,
        ['*'] = T | V | U | H,
        ['+'] = T | V | U | H,
        [','] = V | U | H,
        ['-'] = T | V | U | H,
        ['.'] = T | V | U | H,
        ['/'] = V | U,
        ['0' ... '9'] = T | V | U | H | X | D,
        [':'] = V | U,
        [';'] = V | U | H,
        ['<'] = V | U,
        ['='] = V | U | H,
        ['>'] = V | U,
        ['?'] = V | U,
        ['@'] = V | U,
        ['A' ... 'F'] = T | V | U | H | X,
        ['G' ... 'Z'] = T | V | U | H,
        ['['] = V | U,
        ['\\'] = V | U,
        [']'] = V | U,
        ['^'] = T | V | U,
        ['_'] = HTTP1_C_TOKEN | V | U | H,
        ['`'] = T | V | U,
        ['a' ... 'f'] = T | V | U | H | X,
        ['g' ... 'z'] = T | V | U | H,
        ['{'] = V | U,
        ['|'] = T | V | U,
        ['}'] = V | U,
        ['~'] = T | V | U | H,
        [0x80 ... 0xff] = V,
};

const char *http1_value_end(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
	/* Eight bytes at a time while none is below 0x20 or is DEL; a tab ends this loop too. */
	while (end - p >= 8) {
		uint64_t x, del;
		memcpy(&x, p, sizeof x);
		del = x ^ (ones * 0x7f);
		if ((((x - ones * 0x20) & ~x) | ((del - ones) & ~del)) & high) break;
		p += 8;
	}
	while (p < end && http1_is(*p, HTTP1_C_VALUE))
		p++;
	return p;
}

static bool port_valid(struct hg_str port)
{
	uint64_t v;
	return port.n <= 5 && hg_str_u64(port, &v) && v <= 65535;
}

/* `*at`: after the literal. */
static bool ip_literal(struct hg_str host, size_t *at)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr ip;
	size_t close = hg_str_find(host, ']');
	if (close == host.n) return false;
	struct hg_str inside = {host.p + 1, close - 1};
	if (memchr(inside.p, 0, inside.n) || !hg_str_copy(inside, text, sizeof text)) return false;
	*at = close + 1;
	return inet_pton(AF_INET6, text, &ip) == 1;
}

/* `*at`: after the name, at the end or at the first byte that is none of it. */
static bool reg_name(struct hg_str host, size_t *at)
{
	size_t i = 0;
	while (i < host.n) {
		if (http1_is(host.p[i], HTTP1_C_HOST)) {
			i++;
		} else if (host.p[i] == '%' && i + 2 < host.n &&
		           http1_is(host.p[i + 1], HTTP1_C_HEX) &&
		           http1_is(host.p[i + 2], HTTP1_C_HEX)) {
			i += 3;
		} else {
			break;
		}
	}
	*at = i;
	return i > 0;
}

bool http1_host_valid(struct hg_str host, bool need_port)
{
	size_t at = 0;
	if (host.n == 0) return false;
	if (!(host.p[0] == '[' ? ip_literal(host, &at) : reg_name(host, &at))) return false;
	if (at == host.n) return !need_port;
	if (host.p[at] != ':') return false;
	return port_valid((struct hg_str){host.p + at + 1, host.n - at - 1});
}
