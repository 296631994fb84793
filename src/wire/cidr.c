#include "wire/cidr.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool cidr_ip(struct hg_str text, uint8_t ret_ip[16])
{
	char zero[INET6_ADDRSTRLEN];
	if (!text.p || text.n == 0 || memchr(text.p, 0, text.n) ||
	        !hg_str_copy(text, zero, sizeof zero))
		return false;
	if (memchr(text.p, ':', text.n)) return inet_pton(AF_INET6, zero, ret_ip) == 1;
	memcpy(ret_ip, mapped, sizeof mapped);
	return inet_pton(AF_INET, zero, ret_ip + 12) == 1;
}

static bool tail_is_zero(const struct cidr *c)
{
	for (uint32_t i = c->bits; i < 128; i++)
		if (c->ip[i / 8] & (0x80 >> i % 8)) return false;
	return true;
}

const char *cidr_parse(struct hg_str text, struct cidr *ret_cidr)
{
	struct hg_str length = text, ip = hg_str_cut(&length, '/');
	bool v4 = memchr(ip.p ? ip.p : "", ':', ip.n) == NULL;
	uint64_t n = v4 ? 32 : 128;
	if (!cidr_ip(ip, ret_cidr->ip)) return "is no IP address and no block of them";
	if (ip.n < text.n && (!hg_str_u64(length, &n) || length.n > 3 || n > (v4 ? 32u : 128u)))
		return v4 ? "must end with a length from /0 to /32"
		          : "must end with a length from /0 to /128";
	ret_cidr->bits = (uint32_t)n + (v4 ? 96 : 0);
	return tail_is_zero(ret_cidr) ? NULL : "has bits set beyond its length";
}

bool cidr_has(const struct cidr *c, const uint8_t ip[16])
{
	uint32_t whole = c->bits / 8, rest = c->bits % 8;
	if (memcmp(c->ip, ip, whole) != 0) return false;
	return rest == 0 || ((c->ip[whole] ^ ip[whole]) >> (8 - rest)) == 0;
}
