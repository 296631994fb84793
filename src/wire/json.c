#include "wire/json.h"
#include "wire/shortest.h"

#include <math.h>

void json_out_init(struct json_out *j, struct hg_buf *to)
{
	*j = (struct json_out){.to = to};
}

bool json_out_ok(const struct json_out *j)
{
	return !j->failed && !j->to->failed && j->depth == 0 && (j->filled & 1);
}

static uint64_t level(const struct json_out *j)
{
	return 1ull << j->depth;
}

/* What stands before a value. Level 0 is the document, which has one value. */
static void before(struct json_out *j)
{
	bool in_array = (j->arrays & level(j)) != 0;
	HG_ASSERT(j->keyed || in_array || (j->depth == 0 && !(j->filled & 1)));
	if (in_array && (j->filled & level(j))) hg_buf_byte(j->to, ',');
	j->filled |= level(j);
	j->keyed = false;
}

static void begin(struct json_out *j, bool array)
{
	if (j->failed) return;
	before(j);
	if (j->depth + 1 == JSON_OUT_DEPTH_MAX) {
		j->failed = true;
		return;
	}
	j->depth++;
	j->filled &= ~level(j);
	j->arrays = array ? j->arrays | level(j) : j->arrays & ~level(j);
	hg_buf_byte(j->to, array ? '[' : '{');
}

void json_out_object(struct json_out *j)
{
	begin(j, false);
}

void json_out_array(struct json_out *j)
{
	begin(j, true);
}

void json_out_end(struct json_out *j)
{
	if (j->failed) return;
	HG_ASSERT(j->depth > 0 && !j->keyed);
	hg_buf_byte(j->to, j->arrays & level(j) ? ']' : '}');
	j->arrays &= ~level(j);
	j->depth--;
}

void json_out_key(struct json_out *j, const char *key)
{
	if (j->failed) return;
	HG_ASSERT(j->depth > 0 && !j->keyed && !(j->arrays & level(j)));
	if (j->filled & level(j)) hg_buf_byte(j->to, ',');
	json_quote(j->to, hg_str(key));
	hg_buf_byte(j->to, ':');
	j->keyed = true;
}

/* Bytes of the UTF-8 sequence at p, 0 when there is none. */
static size_t sequence(struct hg_str s)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	return n <= s.n && hg_utf8_valid((struct hg_str){s.p, n}) ? n : 0;
}

static void escape(struct hg_buf *to, unsigned char c)
{
	switch (c) {
	case '"': hg_buf_cstr(to, "\\\""); break;
	case '\\': hg_buf_cstr(to, "\\\\"); break;
	case '\n': hg_buf_cstr(to, "\\n"); break;
	case '\r': hg_buf_cstr(to, "\\r"); break;
	case '\t': hg_buf_cstr(to, "\\t"); break;
	case '\b': hg_buf_cstr(to, "\\b"); break;
	case '\f': hg_buf_cstr(to, "\\f"); break;
	default: hg_buf_fmt(to, "\\u%04x", c); break;
	}
}

/* Bytes from the beginning that stand for themselves. */
static size_t plain_n(struct hg_str s)
{
	size_t n = 0;
	while (n < s.n && s.p[n] != '"' && s.p[n] != '\\' && (unsigned char)s.p[n] >= 0x20 &&
	        (unsigned char)s.p[n] < 0x7f)
		n++;
	return n;
}

/* All of it stands for itself, as nearly always: one copy. */
static void quote_plain(struct hg_buf *to, struct hg_str s)
{
	char *at = hg_buf_room(to, s.n + 2);
	if (!at) return;
	at[0] = '"';
	if (s.n) memcpy(at + 1, s.p, s.n);
	at[s.n + 1] = '"';
	hg_buf_add(to, s.n + 2);
}

void json_quote(struct hg_buf *to, struct hg_str s)
{
	size_t plain = plain_n(s);
	if (plain == s.n) {
		quote_plain(to, s);
		return;
	}
	hg_buf_byte(to, '"');
	for (; s.n; plain = plain_n(s)) {
		if (plain == 0 && (unsigned char)s.p[0] < 0x80) {
			escape(to, (unsigned char)s.p[0]);
			plain = 1;
		} else if (plain == 0) {
			plain = sequence(s);
			hg_buf_str(
			        to, plain ? (struct hg_str){s.p, plain} : HG_STR("\xef\xbf\xbd"));
			if (plain == 0) plain = 1;
		} else {
			hg_buf_str(to, (struct hg_str){s.p, plain});
		}
		s.p += plain;
		s.n -= plain;
	}
	hg_buf_byte(to, '"');
}

void json_out_str(struct json_out *j, struct hg_str s)
{
	if (j->failed) return;
	before(j);
	json_quote(j->to, s);
}

void json_out_cstr(struct json_out *j, const char *s)
{
	if (s) {
		json_out_str(j, hg_str(s));
	} else {
		json_out_null(j);
	}
}

void json_out_raw(struct json_out *j, struct hg_str json)
{
	if (j->failed) return;
	before(j);
	hg_buf_str(j->to, json);
}

void json_out_int(struct json_out *j, int64_t v)
{
	if (j->failed) return;
	before(j);
	if (v < 0) hg_buf_byte(j->to, '-');
	hg_buf_u64(j->to, v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v);
}

void json_out_u64(struct json_out *j, uint64_t v)
{
	if (j->failed) return;
	before(j);
	hg_buf_u64(j->to, v);
}

void json_out_num(struct json_out *j, double v)
{
	char text[SHORTEST_TEXT];
	if (isfinite(v))
		json_out_raw(j, (struct hg_str){text, shortest_prometheus(v, text)});
	else
		json_out_null(j);
}

void json_out_bool(struct json_out *j, bool v)
{
	json_out_raw(j, v ? HG_STR("true") : HG_STR("false"));
}

void json_out_null(struct json_out *j)
{
	json_out_raw(j, HG_STR("null"));
}
