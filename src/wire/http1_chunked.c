#include "wire/http1_priv.h"

/* RFC 9112 section 7.1. */
enum chunked_state {
	IN_SIZE = 0, /* a zeroed decoder starts here */
	IN_SIZE_SPACE,
	IN_EXTENSION,
	IN_SIZE_LF,
	IN_DATA,
	IN_DATA_CR,
	IN_DATA_LF,
	IN_TRAILER_START,
	IN_TRAILER_NAME,
	IN_TRAILER_VALUE,
	IN_TRAILER_LF,
	IN_LAST_LF,
	AT_END,
	IS_BAD,
};

#define LINE_MAX_BYTES    256
#define TRAILER_MAX_BYTES 8192
#define DIGITS_MAX        15 /* below 2^60: sums cannot overflow */

static unsigned hex_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static int on_size(struct http1_chunked *c, char b)
{
	if (http1_is(b, HTTP1_C_HEX)) {
		if (++c->digits > DIGITS_MAX) return IS_BAD;
		c->left = c->left * 16 + hex_value(b);
		return IN_SIZE;
	}
	if (c->digits == 0) return IS_BAD;
	if (b == '\r') return IN_SIZE_LF;
	if (b == ';') return IN_EXTENSION;
	return b == ' ' || b == '\t' ? IN_SIZE_SPACE : IS_BAD;
}

static int after_size(struct http1_chunked *c)
{
	c->line_size = 0;
	c->digits = 0;
	return c->left ? IN_DATA : IN_TRAILER_START;
}

static int on_trailer_name(struct http1_chunked *c, char b)
{
	if (b == ':') {
		struct hg_str name = {c->name, c->name_n};
		/* Of a longer name its beginning is here: that is enough for whole families. */
		bool bad = name.n < sizeof c->name
		                   ? !http1_trailer_allowed(name)
		                   : http1_field_claims(name) || http1_field_identity(name);
		return bad ? IS_BAD : IN_TRAILER_VALUE;
	}
	if (!http1_is(b, HTTP1_C_TOKEN)) return IS_BAD;
	if (c->name_n < sizeof c->name) c->name[c->name_n++] = b;
	return IN_TRAILER_NAME;
}

/* The state after one byte of framing. */
static int step(struct http1_chunked *c, char b)
{
	switch ((enum chunked_state)c->state) {
	case IN_SIZE: return on_size(c, b);
	case IN_SIZE_SPACE:
		/* White space is only tolerated before an extension. */
		if (b == ';') return IN_EXTENSION;
		return b == ' ' || b == '\t' ? IN_SIZE_SPACE : IS_BAD;
	case IN_EXTENSION:
		if (b == '\r') return IN_SIZE_LF;
		return http1_is(b, HTTP1_C_VALUE) ? IN_EXTENSION : IS_BAD;
	case IN_SIZE_LF: return b == '\n' ? after_size(c) : IS_BAD;
	case IN_DATA_CR: return b == '\r' ? IN_DATA_LF : IS_BAD;
	case IN_DATA_LF: c->line_size = 0; return b == '\n' ? IN_SIZE : IS_BAD;
	case IN_TRAILER_START:
		if (b == '\r') return IN_LAST_LF;
		c->name_n = 0;
		return b == ':' ? IS_BAD : on_trailer_name(c, b);
	case IN_TRAILER_NAME: return on_trailer_name(c, b);
	case IN_TRAILER_VALUE:
		if (b == '\r') return IN_TRAILER_LF;
		return http1_is(b, HTTP1_C_VALUE) ? IN_TRAILER_VALUE : IS_BAD;
	case IN_TRAILER_LF: return b == '\n' ? IN_TRAILER_START : IS_BAD;
	case IN_LAST_LF: return b == '\n' ? AT_END : IS_BAD;
	case IN_DATA:
	case AT_END:
	case IS_BAD: break;
	}
	return IS_BAD;
}

static enum http1_result result_of(const struct http1_chunked *c)
{
	if (c->state == AT_END) return HTTP1_DONE;
	return c->state == IS_BAD ? HTTP1_BAD : HTTP1_MORE;
}

struct http1_span http1_chunked_next(struct http1_chunked *c, struct hg_str p)
{
	size_t i = 0, trailer = c->state >= IN_TRAILER_START ? 0 : SIZE_MAX;
	while (i < p.n && c->state < AT_END) {
		if (c->state == IN_DATA) {
			size_t n = (size_t)HG_MIN(c->left, (uint64_t)(p.n - i));
			c->left -= n;
			c->total += n;
			if (c->left == 0) c->state = IN_DATA_CR;
			return (struct http1_span){HTTP1_MORE, i + n, {p.p + i, n}, {NULL, 0}};
		}
		uint32_t max = c->state >= IN_TRAILER_START ? TRAILER_MAX_BYTES : LINE_MAX_BYTES;
		if (++c->line_size > max) {
			c->state = IS_BAD;
			break;
		}
		c->state = (uint8_t)step(c, p.p[i++]);
		if (c->state == IN_TRAILER_START && trailer > i) trailer = i;
	}
	trailer = HG_MIN(trailer, i);
	return (struct http1_span){result_of(c), i, {p.p + i, 0}, {p.p + trailer, i - trailer}};
}
