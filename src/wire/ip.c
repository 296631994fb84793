#include "wire/ip.h"

#include <arpa/inet.h>

static const uint8_t v4_head[12] = {[10] = 0xff, [11] = 0xff};

bool ip_parse(struct hg_str text, uint8_t ret_addr[16])
{
	char z[IP_TEXT_MAX];
	if (text.n == 0 || text.n >= sizeof z) return false;
	memcpy(z, text.p, text.n);
	z[text.n] = 0;
	if (memchr(z, 0, text.n)) return false;
	if (memchr(z, ':', text.n)) return inet_pton(AF_INET6, z, ret_addr) == 1;
	memcpy(ret_addr, v4_head, sizeof v4_head);
	return inet_pton(AF_INET, z, ret_addr + 12) == 1;
}

bool ip_parse_net(struct hg_str text, uint8_t ret_addr[16], uint32_t *ret_bits)
{
	size_t slash = hg_str_find(text, '/');
	struct hg_str addr = {text.p, HG_MIN(slash, text.n)};
	uint64_t bits;
	if (!ip_parse(addr, ret_addr)) return false;
	bool v4 = hg_str_find(addr, ':') >= addr.n;
	*ret_bits = 128;
	if (slash >= text.n) return true;
	struct hg_str count = {text.p + slash + 1, text.n - slash - 1};
	if (count.n > 3 || !hg_str_u64(count, &bits) || bits > (v4 ? 32 : 128)) return false;
	*ret_bits = (uint32_t)bits + (v4 ? 96 : 0);
	for (uint32_t i = *ret_bits; i < 128; i++) {
		if (ret_addr[i / 8] >> (7 - i % 8) & 1) return false;
	}
	return true;
}

/* "192.0.2.1:80" → "192.0.2.1", "[2001:db8::1]:80" → "2001:db8::1", both in quotes as well. */
static struct hg_str bare(struct hg_str s)
{
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"') s = (struct hg_str){s.p + 1, s.n - 2};
	if (s.n && s.p[0] == '[') {
		size_t end = hg_str_find(s, ']');
		return end < s.n ? (struct hg_str){s.p + 1, end - 1} : (struct hg_str){s.p, 0};
	}
	size_t colon = hg_str_find(s, ':');
	if (colon < s.n && !memchr(s.p + colon + 1, ':', s.n - colon - 1)) s.n = colon;
	return s;
}

bool ip_list_last(struct hg_str *list, uint8_t ret_addr[16])
{
	const char *comma = list->n ? memrchr(list->p, ',', list->n) : NULL;
	size_t at = comma ? (size_t)(comma - list->p) : 0;
	struct hg_str one = *list;
	if (comma) one = (struct hg_str){comma + 1, list->n - at - 1};
	list->n = at;
	if (ip_parse(bare(hg_str_trim(one)), ret_addr)) return true;
	list->n = 0;
	return false;
}

size_t ip_text(const uint8_t addr[16], char *to)
{
	bool v4 = memcmp(addr, v4_head, sizeof v4_head) == 0;
	const void *from = v4 ? addr + 12 : addr;
	return inet_ntop(v4 ? AF_INET : AF_INET6, from, to, IP_TEXT_MAX) ? strlen(to) : 0;
}
