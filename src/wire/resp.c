#include "wire/resp.h"

static void header(struct hg_buf *to, char kind, size_t n)
{
	hg_buf_byte(to, kind);
	hg_buf_u64(to, n);
	hg_buf_str(to, HG_STR("\r\n"));
}

void resp_request(struct hg_buf *to, const struct hg_str *arg, size_t n)
{
	header(to, '*', n);
	for (size_t i = 0; i < n; i++) {
		header(to, '$', arg[i].n);
		hg_buf_str(to, arg[i]);
		hg_buf_str(to, HG_STR("\r\n"));
	}
}

/* "-1", "0", "42": no sign but '-', no leading zeros beside "0" itself, no overflow. */
static bool number_of(struct hg_str text, int64_t *ret_n)
{
	bool negative = text.n > 1 && text.p[0] == '-';
	struct hg_str digits = {text.p + negative, text.n - negative};
	uint64_t n = 0;
	if (!hg_str_u64(digits, &n) || (digits.n > 1 && digits.p[0] == '0')) return false;
	if (n > (uint64_t)INT64_MAX + negative) return false;
	*ret_n = negative ? (n > INT64_MAX ? INT64_MIN : -(int64_t)n) : (int64_t)n;
	return true;
}

struct head {
	struct resp_value v;
	size_t n;     /* bytes of its line, with the line end */
	size_t bytes; /* of a string behind it, with its line end */
};

/* What a whole line says (without its end). False: nothing that RESP2 knows. */
static bool head_of(struct hg_str line, struct head *ret)
{
	struct hg_str rest = {line.p + 1, line.n - 1};
	*ret = (struct head){.n = line.n + 2, .v.str = rest};
	switch (line.p[0]) {
	case '+': ret->v.type = RESP_STATUS; return true;
	case '-': ret->v.type = RESP_ERROR; return true;
	case ':': ret->v.type = RESP_INT; return number_of(rest, &ret->v.n);
	case '$': ret->v.type = RESP_STR; break;
	case '*': ret->v.type = RESP_ARRAY; break;
	default: return false;
	}
	if (!number_of(rest, &ret->v.n) || ret->v.n < -1) return false;
	ret->v.str = HG_STR("");
	if (ret->v.n == -1) {
		ret->v.type = RESP_NIL;
		ret->v.n = 0;
	} else if (ret->v.type == RESP_STR) {
		ret->bytes = (size_t)ret->v.n + 2;
	}
	return true;
}

/* The line that begins at s->at. */
static enum resp_result line_of(struct resp_scan *s, struct hg_str in, struct hg_str *ret_line)
{
	const char *from = in.p + s->at + s->line;
	const char *end = in.p + in.n, *cr = from;
	while ((cr = memchr(cr, '\r', (size_t)(end - cr)))) {
		if (cr + 1 == end || cr[1] == '\n') break;
		cr++;
	}
	size_t n = (size_t)((cr ? cr : end) - in.p) - s->at;
	if (n > RESP_LINE_MAX) return RESP_BAD;
	if (!cr || cr + 1 == end) {
		s->line = n;
		return RESP_MORE;
	}
	s->line = 0;
	*ret_line = (struct hg_str){in.p + s->at, n};
	return n ? RESP_DONE : RESP_BAD;
}

/* Counts a value that is complete. True: so is the reply. */
static bool completes(struct resp_scan *s)
{
	while (s->depth) {
		if (--s->left[s->depth - 1]) return false;
		s->depth--;
	}
	return true;
}

/* One value more, without its elements. */
static enum resp_result scan_one(struct resp_scan *s, struct hg_str in, size_t bytes_max)
{
	struct hg_str line;
	struct head h;
	enum resp_result got = line_of(s, in, &line);
	if (got != RESP_DONE) return got;
	if (!head_of(line, &h) || ++s->values > RESP_VALUES_MAX) return RESP_BAD;
	if (h.v.type == RESP_ARRAY && h.v.n > (int64_t)(RESP_VALUES_MAX - s->values))
		return RESP_BAD;
	if (h.n + h.bytes < h.bytes || h.n + h.bytes > bytes_max - HG_MIN(s->at, bytes_max))
		return RESP_BAD;
	size_t n = h.n + h.bytes;
	if (in.n - s->at < n) {
		s->values--; /* its line is read again when there is more: once for each read */
		return RESP_MORE;
	}
	if (h.bytes && memcmp(in.p + s->at + n - 2, "\r\n", 2) != 0) return RESP_BAD;
	s->at += n;
	if (h.v.type == RESP_ARRAY && h.v.n > 0) {
		if (s->depth == RESP_DEPTH_MAX) return RESP_BAD;
		s->left[s->depth++] = (uint32_t)h.v.n;
		return RESP_MORE;
	}
	return completes(s) ? RESP_DONE : RESP_MORE;
}

enum resp_result resp_scan(struct resp_scan *s, struct hg_str in, size_t bytes_max, size_t *ret_n)
{
	while (s->at + s->line < in.n) {
		size_t before = s->at;
		enum resp_result got = scan_one(s, in, bytes_max);
		if (got == RESP_BAD) return RESP_BAD;
		if (got == RESP_DONE) {
			*ret_n = s->at;
			*s = (struct resp_scan){0};
			return RESP_DONE;
		}
		if (s->at == before) break;
	}
	return s->at + s->line > bytes_max ? RESP_BAD : RESP_MORE;
}

bool resp_next(struct hg_str *rest, struct resp_value *ret_v)
{
	struct resp_scan s = {0};
	struct hg_str line;
	struct head h;
	if (rest->n == 0) return false;
	bool whole = line_of(&s, *rest, &line) == RESP_DONE && head_of(line, &h) &&
	             h.n + h.bytes <= rest->n;
	HG_ASSERT(whole); /* resp_scan has found it so */
	if (h.bytes) h.v.str = (struct hg_str){rest->p + h.n, h.bytes - 2};
	if (h.v.type == RESP_STR) h.v.n = 0;
	*ret_v = h.v;
	rest->p += h.n + h.bytes;
	rest->n -= h.n + h.bytes;
	return true;
}

void resp_skip(struct hg_str *rest, const struct resp_value *v)
{
	uint64_t left = v->type == RESP_ARRAY ? (uint64_t)v->n : 0;
	struct resp_value one;
	while (left && resp_next(rest, &one)) {
		left--;
		if (one.type == RESP_ARRAY) left += (uint64_t)one.n;
	}
}
