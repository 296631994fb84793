#include "wire/proxyproto.h"

#include <arpa/inet.h>
#include <string.h>

#define V2_HEAD  16u
#define TLV_CRC  0x03
#define TLV_HEAD 3u

static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static enum proxyproto_result bad(struct proxyproto *r, const char *why)
{
	r->bad = why;
	r->known = false;
	return PROXYPROTO_BAD;
}

/* ---- version 1 ---- */

static bool ip4(struct hg_str s, uint8_t to[16])
{
	memcpy(to, mapped, sizeof mapped);
	for (int i = 0; i < 4; i++) {
		uint64_t v;
		if ((hg_str_find(s, '.') == s.n) != (i == 3)) return false;
		struct hg_str part = hg_str_cut(&s, '.');
		if (part.n == 0 || part.n > 3 || !hg_str_u64(part, &v) || v > 255) return false;
		if (part.n > 1 && part.p[0] == '0') return false;
		to[12 + i] = (uint8_t)v;
	}
	return true;
}

static bool ip6(struct hg_str s, uint8_t to[16])
{
	char zero[INET6_ADDRSTRLEN];
	return s.n && !memchr(s.p, 0, s.n) && hg_str_copy(s, zero, sizeof zero) &&
	       inet_pton(AF_INET6, zero, to) == 1;
}

static bool port(struct hg_str s, uint16_t *ret_port)
{
	uint64_t v;
	if (s.n == 0 || s.n > 5 || (s.n > 1 && s.p[0] == '0')) return false;
	if (!hg_str_u64(s, &v) || v > 65535) return false;
	*ret_port = (uint16_t)v;
	return true;
}

static bool v1_addresses(struct hg_str line, struct proxyproto *r)
{
	struct hg_str family = hg_str_cut(&line, ' '), part[4];
	bool v6 = hg_str_eq(family, HG_STR("TCP6"));
	if (!v6 && !hg_str_eq(family, HG_STR("TCP4"))) return false;
	for (int i = 0; i < 4; i++) {
		bool last = hg_str_find(line, ' ') == line.n;
		if (last != (i == 3)) return false;
		part[i] = hg_str_cut(&line, ' ');
	}
	if (!(v6 ? ip6 : ip4)(part[0], r->from) || !(v6 ? ip6 : ip4)(part[1], r->to)) return false;
	return port(part[2], &r->from_port) && port(part[3], &r->to_port);
}

static enum proxyproto_result v1_read(struct hg_str p, struct proxyproto *r)
{
	struct hg_str name = HG_STR("PROXY "), unknown = HG_STR("UNKNOWN");
	size_t n = HG_MIN(p.n, (size_t)PROXYPROTO_V1_MAX);
	const char *end = n >= 2 ? memmem(p.p, n, "\r\n", 2) : NULL;
	if (!end && n == PROXYPROTO_V1_MAX) return bad(r, "its line is too long");
	if (!end) return PROXYPROTO_MORE;
	r->version = 1;
	r->size = (size_t)(end - p.p) + 2;
	struct hg_str line = {p.p + name.n, r->size - 2 - name.n};
	if (hg_str_starts(line, unknown) && (line.n == unknown.n || line.p[unknown.n] == ' '))
		return PROXYPROTO_DONE;
	if (!v1_addresses(line, r)) return bad(r, "its addresses are not valid");
	r->known = true;
	return PROXYPROTO_DONE;
}

/* ---- version 2 ---- */

static uint32_t be(const uint8_t *p, size_t n)
{
	uint32_t v = 0;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* CRC-32C (Castagnoli, reflected), with `skip` … `skip` + 4 taken as zero. */
static uint32_t crc32c(const uint8_t *p, size_t n, size_t skip)
{
	uint32_t c = ~0u;
	for (size_t i = 0; i < n; i++) {
		c ^= i >= skip && i < skip + 4 ? 0 : p[i];
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
	}
	return ~c;
}

static const char *extensions_check(const uint8_t *p, size_t at, size_t size)
{
	while (at < size) {
		if (size - at < TLV_HEAD) return "an extension is cut";
		size_t n = be(p + at + 1, 2);
		if (n > size - at - TLV_HEAD) return "an extension is longer than the header";
		if (p[at] == TLV_CRC) {
			if (n != 4) return "its checksum is not of four bytes";
			size_t sum = at + TLV_HEAD;
			if (crc32c(p, size, sum) != be(p + sum, 4)) return "its checksum is wrong";
		}
		at += TLV_HEAD + n;
	}
	return NULL;
}

static void v2_addresses(const uint8_t *p, size_t width, struct proxyproto *r)
{
	memcpy(r->from, mapped, sizeof mapped);
	memcpy(r->to, mapped, sizeof mapped);
	memcpy(r->from + 16 - width, p, width);
	memcpy(r->to + 16 - width, p + width, width);
	r->from_port = (uint16_t)be(p + 2 * width, 2);
	r->to_port = (uint16_t)be(p + 2 * width + 2, 2);
	r->known = true;
}

static enum proxyproto_result v2_read(struct hg_str s, struct proxyproto *r)
{
	const uint8_t *p = (const uint8_t *)s.p;
	if (s.n < V2_HEAD) return PROXYPROTO_MORE;
	unsigned command = p[12], family = p[13];
	r->version = 2;
	r->size = V2_HEAD + be(p + 14, 2);
	if (command >> 4 != 2) return bad(r, "its version is neither 1 nor 2");
	if ((command & 15) > 1) return bad(r, "its command is neither LOCAL nor PROXY");
	if (r->size > PROXYPROTO_MAX) return bad(r, "it is too long");
	if (s.n < r->size) return PROXYPROTO_MORE;
	/* LOCAL: the sender speaks for itself, and what follows has no meaning. */
	if ((command & 15) == 0) return PROXYPROTO_DONE;
	size_t need = family == 0x11 ? 12 : family == 0x21 ? 36 : family == 0x31 ? 216 : 0;
	if (need == 0 && family != 0) return bad(r, "it is for no stream socket");
	if (r->size - V2_HEAD < need) return bad(r, "its addresses are cut");
	const char *why = extensions_check(p, V2_HEAD + need, r->size);
	if (why) return bad(r, why);
	if (family == 0x11) v2_addresses(p + V2_HEAD, 4, r);
	if (family == 0x21) v2_addresses(p + V2_HEAD, 16, r);
	return PROXYPROTO_DONE;
}

enum proxyproto_result proxyproto_read(struct hg_str p, struct proxyproto *ret)
{
	size_t n1 = HG_MIN(p.n, (size_t)6), n2 = HG_MIN(p.n, sizeof v2_signature);
	*ret = (struct proxyproto){0};
	if (n2 == 0) return PROXYPROTO_MORE;
	if (memcmp(p.p, v2_signature, n2) == 0) return v2_read(p, ret);
	if (memcmp(p.p, "PROXY ", n1) == 0) return v1_read(p, ret);
	return bad(ret, "it is no PROXY header");
}

/* ---- writing ---- */

static bool is_v4(const uint8_t ip[16])
{
	return memcmp(ip, mapped, sizeof mapped) == 0;
}

static void bytes(struct hg_out *o, const void *p, size_t n)
{
	hg_out_str(o, (struct hg_str){p, n});
}

static void number(struct hg_out *o, uint16_t v)
{
	hg_out_byte(o, (char)(v >> 8));
	hg_out_byte(o, (char)(v & 255));
}

static void v1_write(const struct proxyproto *p, bool v4, struct hg_out *o)
{
	char from[INET6_ADDRSTRLEN] = "", to[INET6_ADDRSTRLEN] = "";
	if (!p->known) {
		hg_out_cstr(o, "PROXY UNKNOWN\r\n");
		return;
	}
	/* inet_ntop cannot fail with these. */
	(void)!inet_ntop(v4 ? AF_INET : AF_INET6, p->from + (v4 ? 12 : 0), from, sizeof from);
	(void)!inet_ntop(v4 ? AF_INET : AF_INET6, p->to + (v4 ? 12 : 0), to, sizeof to);
	hg_out_fmt(o, "PROXY TCP%c %s %s %u %u\r\n", v4 ? '4' : '6', from, to, p->from_port,
	        p->to_port);
}

void proxyproto_write(const struct proxyproto *p, struct hg_out *o)
{
	/* Mixed families are said as IPv6: the mapped form of the other one. */
	bool v4 = is_v4(p->from) && is_v4(p->to);
	size_t width = v4 ? 4 : 16;
	if (p->version == 1) {
		v1_write(p, v4, o);
		return;
	}
	bytes(o, v2_signature, sizeof v2_signature);
	hg_out_byte(o, p->known ? 0x21 : 0x20);
	hg_out_byte(o, p->known ? (v4 ? 0x11 : 0x21) : 0);
	number(o, p->known ? (uint16_t)(2 * width + 4) : 0);
	if (!p->known) return;
	bytes(o, p->from + 16 - width, width);
	bytes(o, p->to + 16 - width, width);
	number(o, p->from_port);
	number(o, p->to_port);
}
