#include "fetch/guard.h"

#include "wire/ip.h"

struct rule {
	uint8_t addr[16];
	uint8_t bits;
	uint8_t class;
};

/* clang-format off */
#define V4(a, b, c, d, n, class) {{[10] = 0xff, 0xff, a, b, c, d}, 96 + (n), class}
#define V6(a, b, n, class)       {{(a) >> 8, (a)&255, (b) >> 8, (b)&255}, n, class}

/*
 * The registries of special addresses (RFC 6890 and what was added to IANA's tables), the first row
 * that fits. Of IPv6 only 2000::/3 was ever given out; all else is refused at the end.
 */
static const struct rule rules[] = {
        V4(0, 0, 0, 0, 8, GUARD_LOOPBACK),       V4(10, 0, 0, 0, 8, GUARD_PRIVATE),
        V4(100, 64, 0, 0, 10, GUARD_SHARED),     V4(127, 0, 0, 0, 8, GUARD_LOOPBACK),
        V4(169, 254, 0, 0, 16, GUARD_LINK_LOCAL), V4(172, 16, 0, 0, 12, GUARD_PRIVATE),
        V4(192, 0, 0, 0, 24, GUARD_RESERVED),    V4(192, 0, 2, 0, 24, GUARD_RESERVED),
        V4(192, 88, 99, 0, 24, GUARD_RESERVED),  V4(192, 168, 0, 0, 16, GUARD_PRIVATE),
        V4(198, 18, 0, 0, 15, GUARD_RESERVED),   V4(198, 51, 100, 0, 24, GUARD_RESERVED),
        V4(203, 0, 113, 0, 24, GUARD_RESERVED),  V4(224, 0, 0, 0, 4, GUARD_MULTICAST),
        V4(240, 0, 0, 0, 4, GUARD_RESERVED),     V4(0, 0, 0, 0, 0, GUARD_PUBLIC),
        {{0}, 127, GUARD_LOOPBACK},              /* :: and ::1 */
        V6(0xfc00, 0, 7, GUARD_PRIVATE),         V6(0xfec0, 0, 10, GUARD_PRIVATE),
        V6(0xfe80, 0, 10, GUARD_LINK_LOCAL),     V6(0xff00, 0, 8, GUARD_MULTICAST),
        V6(0x2001, 0, 23, GUARD_RESERVED),       /* Teredo, ORCHID, benchmarks … */
        V6(0x2001, 0x0db8, 32, GUARD_RESERVED),  V6(0x2002, 0, 16, GUARD_RESERVED), /* 6to4 */
        V6(0x3fff, 0, 20, GUARD_RESERVED),       V6(0x2000, 0, 3, GUARD_PUBLIC),
        {{0}, 0, GUARD_RESERVED},
};
/* clang-format on */

static bool inside(const uint8_t addr[16], const uint8_t net[16], uint32_t bits)
{
	uint32_t whole = bits / 8, rest = bits % 8;
	if (memcmp(addr, net, whole) != 0) return false;
	return rest == 0 || ((addr[whole] ^ net[whole]) >> (8 - rest)) == 0;
}

enum hg_rc guard_parse(struct hg_str text, struct guard *ret_guard, struct hg_err *err)
{
	struct guard g = {0};
	while (text.n) {
		struct hg_str one = hg_str_trim(hg_str_cut(&text, ','));
		struct guard_net net;
		if (!one.n) continue;
		if (!ip_parse_net(one, net.addr, &net.bits))
			return hg_err_set(err, HG_E_INVALID,
			        "\"%.*s\" is no network such as 10.0.0.0/8 or fd00::/8",
			        (int)HG_MIN(one.n, 100), one.p);
		if (g.allow_count == GUARD_ALLOW_MAX)
			return hg_err_set(
			        err, HG_E_INVALID, "more than %u networks", GUARD_ALLOW_MAX);
		g.allow[g.allow_count++] = net;
	}
	*ret_guard = g;
	return HG_OK;
}

enum guard_class guard_judge(const struct guard *g, const uint8_t addr[16])
{
	static const uint8_t nat64[16] = {0, 0x64, 0xff, 0x9b};
	uint8_t v4[16] = {[10] = 0xff, [11] = 0xff};
	for (uint32_t i = 0; i < g->allow_count; i++)
		if (inside(addr, g->allow[i].addr, g->allow[i].bits)) return GUARD_ALLOWED;
	if (inside(addr, nat64, 96)) {
		memcpy(v4 + 12, addr + 12, 4);
		addr = v4;
	}
	const struct rule *r = rules;
	while (!inside(addr, r->addr, r->bits))
		r++;
	return (enum guard_class)r->class;
}

const char *guard_class_name(enum guard_class c)
{
	static const char *const name[] = {[GUARD_PUBLIC] = "public",
	        [GUARD_ALLOWED] = "allowed",
	        [GUARD_LOOPBACK] = "loopback",
	        [GUARD_PRIVATE] = "private",
	        [GUARD_LINK_LOCAL] = "link-local",
	        [GUARD_SHARED] = "shared",
	        [GUARD_MULTICAST] = "multicast",
	        [GUARD_RESERVED] = "reserved"};
	return name[c];
}
