#include "wire/http1_priv.h"

/* More connection options than anybody has a use for: 400, so that marking stays cheap. */
#define OPTIONS_MAX 32

void http1_begin(struct http1_reading *r, struct hg_str p, const struct http1_limits *lim,
        struct http1_head *head, bool request)
{
	/* What lies beyond the limit is not looked at, so that a head that comes in pieces and
	 * the same head at once are refused for the same reason. */
	size_t n = HG_MIN(p.n, (size_t)lim->head_max);
	memset(head, 0, offsetof(struct http1_head, field));
	head->bad = NULL;
	*r = (struct http1_reading){
	        .p = p.p, .end = p.p + n, .lim = lim, .head = head, .request = request};
}

enum http1_result http1_refuse(struct http1_reading *r, unsigned status, const char *why)
{
	r->head->status = r->request ? (uint16_t)status : 502;
	r->head->bad = why;
	r->head->keep_alive = false;
	return HTTP1_BAD;
}

enum http1_result http1_refuse_byte(struct http1_reading *r, char c, const char *otherwise)
{
	const char *why = otherwise;
	if (c == '\n') why = "line feed without carriage return";
	if (c == '\r') why = "carriage return without line feed";
	if (c == 0) why = "zero byte in the head";
	return http1_refuse(r, 400, why);
}

enum http1_result http1_crlf(struct http1_reading *r, const char *otherwise)
{
	if (r->p == r->end) return HTTP1_MORE;
	if (*r->p != '\r') return http1_refuse_byte(r, *r->p, otherwise);
	if (r->p + 1 == r->end) return HTTP1_MORE;
	if (r->p[1] != '\n') return http1_refuse_byte(r, '\r', otherwise);
	r->p += 2;
	return HTTP1_DONE;
}

bool http1_wait(struct hg_str p, size_t seen, const struct http1_limits *lim)
{
	if (seen == 0 || p.n >= lim->head_max) return false;
	/* A carriage return alone will be refused: nobody has to wait for a line feed. */
	for (size_t i = seen - 1; i + 1 < p.n; i++) {
		const char *cr = memchr(p.p + i, '\r', p.n - 1 - i);
		if (!cr) break;
		if (cr[1] != '\n') return false;
		i = (size_t)(cr - p.p);
	}
	for (size_t i = seen; i < p.n; i++) {
		const char *lf = memchr(p.p + i, '\n', p.n - i);
		if (!lf) return true;
		i = (size_t)(lf - p.p);
		if (i < 1 || lf[-1] != '\r') return false; /* will be refused */
		if (i >= 3 && lf[-2] == '\n') return false;
	}
	return true;
}

static enum http1_result note_length(struct http1_reading *r, struct http1_field *f)
{
	struct http1_head *h = r->head;
	if (r->length) {
		if (!hg_str_eq(r->length->value, f->value))
			return http1_refuse(r, 400, "two Content-Length fields that differ");
		f->hop = true; /* said once is enough for the next hop */
		return HTTP1_DONE;
	}
	if (!hg_str_u64(f->value, &h->content_length))
		return http1_refuse(r, 400, "Content-Length is not a number");
	h->has_content_length = true;
	r->length = f;
	return HTTP1_DONE;
}

/*
 * RFC 9112 section 6.1: a list of other codings that ends in "chunked" could be read by somebody
 * (501); what does not end in "chunked", or is no list of tokens, has no certain end (400).
 */
static enum http1_result note_encoding(struct http1_reading *r, const struct http1_field *f)
{
	struct hg_str rest = f->value;
	unsigned chunked = 0;
	bool last = false;
	if (r->chunked) return http1_refuse(r, 400, "two Transfer-Encoding fields");
	if (r->head->minor == 0) return http1_refuse(r, 400, "Transfer-Encoding in HTTP/1.0");
	if (hg_str_eq_nocase(f->value, HG_STR("chunked"))) {
		r->chunked = true;
		return HTTP1_DONE;
	}
	while (rest.n) {
		struct hg_str coding = hg_str_trim(hg_str_cut(&rest, ','));
		for (size_t i = 0; i < coding.n; i++) {
			if (!http1_is(coding.p[i], HTTP1_C_TOKEN)) coding.n = 0;
		}
		if (coding.n == 0) return http1_refuse(r, 400, "Transfer-Encoding is malformed");
		last = hg_str_eq_nocase(coding, HG_STR("chunked"));
		chunked += last;
	}
	if (last && chunked == 1)
		return http1_refuse(r, 501, "a transfer coding other than chunked");
	return http1_refuse(r, 400, "Transfer-Encoding does not end in one chunked");
}

static enum http1_result note_connection(struct http1_reading *r, const struct http1_field *f)
{
	struct hg_str rest = f->value;
	while (rest.n) {
		struct hg_str option = hg_str_trim(hg_str_cut(&rest, ','));
		if (++r->options > OPTIONS_MAX)
			return http1_refuse(r, 400, "too many connection options");
		if (option.n == 0) continue;
		if (hg_str_eq_nocase(option, HG_STR("close"))) {
			r->close = true;
		} else if (hg_str_eq_nocase(option, HG_STR("keep-alive"))) {
			r->keep = true;
		} else if (hg_str_eq_nocase(option, HG_STR("upgrade"))) {
			r->connection_upgrade = true;
		} else {
			r->options_other++;
		}
	}
	return HTTP1_DONE;
}

static enum http1_result note_host(struct http1_reading *r, const struct http1_field *f)
{
	if (!r->request) return HTTP1_DONE;
	if (r->host) return http1_refuse(r, 400, "two Host fields");
	if (!http1_host_valid(f->value, false)) return http1_refuse(r, 400, "Host is malformed");
	r->host = f;
	return HTTP1_DONE;
}

static enum http1_result note_expect(struct http1_reading *r, const struct http1_field *f)
{
	if (!r->request) return HTTP1_DONE;
	if (!hg_str_eq_nocase(f->value, HG_STR("100-continue")))
		return http1_refuse(r, 417, "an expectation other than 100-continue");
	r->expect = true;
	return HTTP1_DONE;
}

static enum http1_result note(struct http1_reading *r, struct http1_field *f)
{
	switch (f->id) {
	case HTTP1_F_HOST: return note_host(r, f);
	case HTTP1_F_CONTENT_LENGTH: return note_length(r, f);
	case HTTP1_F_EXPECT: return note_expect(r, f);
	case HTTP1_F_CONNECTION: return note_connection(r, f);
	case HTTP1_F_TRANSFER_ENCODING: return note_encoding(r, f);
	case HTTP1_F_UPGRADE: r->upgrade_field = f->value.n > 0; break;
	default: break;
	}
	return HTTP1_DONE;
}

static enum http1_result refuse_name(struct http1_reading *r, char c, bool empty)
{
	const char *why = "a byte in a field name that is no token";
	if (c == ' ' || c == '\t') {
		why = empty ? "folded field line" : "white space before the colon";
	} else if (c == ':') {
		why = "empty field name";
	}
	return http1_refuse_byte(r, c, why);
}

/* One "name: value" CRLF; r->p is at its first byte. */
static enum http1_result field_line(struct http1_reading *r)
{
	struct http1_head *h = r->head;
	const char *name = r->p, *p = r->p;
	bool underscore = false;
	for (;; p++) {
		while (p < r->end && http1_is(*p, HTTP1_C_PLAIN))
			p++;
		if (HG_LIKELY(p == r->end || *p != '_')) break;
		underscore = true;
	}
	if (p == r->end) return HTTP1_MORE;
	if (*p != ':' || p == name) return refuse_name(r, *p, p == name);
	if (h->field_count >= HG_MIN(r->lim->field_max, (uint16_t)HTTP1_FIELDS_MAX))
		return http1_refuse(r, 431, "too many fields");
	struct http1_field *f = &h->field[h->field_count];
	f->name = (struct hg_str){name, (size_t)(p - name)};
	for (p++; p < r->end && (*p == ' ' || *p == '\t');)
		p++;
	const char *value = p;
	r->p = p = http1_value_end(p, r->end);
	enum http1_result got = http1_crlf(r, "control byte in a field value");
	if (got != HTTP1_DONE) return got;
	while (p > value && (p[-1] == ' ' || p[-1] == '\t'))
		p--;
	f->value = (struct hg_str){value, (size_t)(p - value)};
	f->id = (uint8_t)http1_field_lookup(f->name);
	f->hop = (http1_marks[f->id] & HTTP1_M_HOP) != 0;
	if (HG_UNLIKELY(underscore) && http1_field_alike(f->name) != HTTP1_F_OTHER) f->hop = true;
	h->field_count++;
	return note(r, f);
}

enum http1_result http1_fields(struct http1_reading *r)
{
	for (;;) {
		if (r->p == r->end) return HTTP1_MORE;
		if (*r->p == '\r') break;
		enum http1_result got = field_line(r);
		if (got != HTTP1_DONE) return got;
	}
	return http1_crlf(r, "");
}

void http1_mark_hops(struct http1_reading *r)
{
	struct http1_head *h = r->head;
	if (r->options_other == 0) return;
	for (size_t i = 0; i < h->field_count; i++) {
		if (h->field[i].id != HTTP1_F_CONNECTION) continue;
		struct hg_str rest = h->field[i].value;
		while (rest.n) {
			struct hg_str option = hg_str_trim(hg_str_cut(&rest, ','));
			for (size_t k = 0; k < h->field_count; k++) {
				struct http1_field *f = &h->field[k];
				/* A sender must not name these (RFC 9110 section 7.6.1); the
				 * message would change its meaning without them. */
				if (f->id == HTTP1_F_HOST || f->id == HTTP1_F_CONTENT_LENGTH)
					continue;
				if (hg_str_eq_nocase(f->name, option)) f->hop = true;
			}
		}
	}
}

const struct http1_field *http1_find(const struct http1_head *h, enum http1_field_id id)
{
	for (size_t i = 0; i < h->field_count; i++) {
		if (h->field[i].id == id) return &h->field[i];
	}
	return NULL;
}

const struct http1_field *http1_find_name(const struct http1_head *h, struct hg_str name)
{
	for (size_t i = 0; i < h->field_count; i++) {
		if (hg_str_eq_nocase(h->field[i].name, name)) return &h->field[i];
	}
	return NULL;
}

bool http1_list_has(struct hg_str list, struct hg_str token)
{
	while (list.n) {
		if (hg_str_eq_nocase(hg_str_trim(hg_str_cut(&list, ',')), token)) return true;
	}
	return false;
}
