#include "wire/tracectx.h"

/* Lower-case digits; -1: another byte. */
static int digit(char c)
{
	if (c >= '0' && c <= '9') return c - '0';
	if (c >= 'a' && c <= 'f') return c - 'a' + 10;
	return -1;
}

static bool id_ok(const char *p, size_t n)
{
	bool other = false;
	for (size_t i = 0; i < n; i++) {
		if (digit(p[i]) < 0) return false;
		other |= p[i] != '0';
	}
	return other;
}

/* Two digits; -1: they are none. */
static int byte_of(const char *p)
{
	int high = digit(p[0]), low = digit(p[1]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool tracectx_read(struct hg_str t, struct tracectx *ret_ctx)
{
	if (t.n < TRACECTX_SIZE || t.p[2] != '-' || t.p[35] != '-' || t.p[52] != '-') return false;
	int version = byte_of(t.p), flags = byte_of(t.p + 53);
	if (version < 0 || version == 0xff || flags < 0) return false;
	if (t.n > TRACECTX_SIZE && (version == 0 || t.p[TRACECTX_SIZE] != '-')) return false;
	if (!id_ok(t.p + 3, TRACECTX_TRACE) || !id_ok(t.p + 36, TRACECTX_SPAN)) return false;
	memcpy(ret_ctx->trace, t.p + 3, TRACECTX_TRACE);
	memcpy(ret_ctx->span, t.p + 36, TRACECTX_SPAN);
	ret_ctx->flags = (uint8_t)flags & (TRACECTX_SAMPLED | TRACECTX_RANDOM);
	return true;
}

void tracectx_write(const struct tracectx *c, char to[static TRACECTX_SIZE])
{
	memcpy(to, "00-", 3);
	memcpy(to + 3, c->trace, TRACECTX_TRACE);
	to[35] = '-';
	memcpy(to + 36, c->span, TRACECTX_SPAN);
	to[52] = '-';
	to[53] = '0';
	to[54] = (char)('0' + (c->flags & (TRACECTX_SAMPLED | TRACECTX_RANDOM)));
}

bool tracectx_drawn(const char trace[static TRACECTX_TRACE], uint32_t ppm)
{
	uint64_t v = 0;
	for (size_t i = TRACECTX_TRACE - 14; i < TRACECTX_TRACE; i++)
		v = v << 4 | (uint64_t)(digit(trace[i]) & 15);
	/* v < 2^56, so that neither side overflows: v / 2^56 < ppm / 1e6, in steps of 2^-32. */
	return (v >> 24) * 1000000u < (uint64_t)ppm << 32;
}
