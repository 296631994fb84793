/* Matchers as people write them. */
#include "control/notify/notify.h"
#include "wire/re.h"

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == ':' || c == '.' || c == '-' || (c & 0x80);
}

const char *notify_matcher_sign(enum label_match op)
{
	static const char *const signs[] = {
	        [LABEL_EQ] = "=", [LABEL_NE] = "!=", [LABEL_RE] = "=~", [LABEL_NRE] = "!~"};
	return signs[op];
}

/* `\"`, `\\\\` and `\\n` are undone, another backslash stays; a quote by itself is a mistake. */
static enum hg_rc unescape(struct hg_str in, struct hg_arena *mem, struct hg_str *ret)
{
	char *to = hg_arena_take(mem, in.n + 1);
	size_t n = 0;
	if (!to) return HG_E_NOMEM;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i], next = i + 1 < in.n ? in.p[i + 1] : 0;
		if (c == '"') return HG_E_INVALID;
		if (c == '\\' && (next == '"' || next == '\\' || next == 'n')) {
			c = next == 'n' ? '\n' : next;
			i++;
		}
		to[n++] = c;
	}
	*ret = (struct hg_str){to, n};
	return HG_OK;
}

/* Where the quoted text at the start of `s` ends, its quotes among it; 0: it does not. */
static size_t quoted(struct hg_str s)
{
	for (size_t i = 1; s.n && s.p[0] == '"' && i < s.n; i++) {
		if (s.p[i] == '"') return i + 1;
		if (s.p[i] == '\\') i++;
	}
	return 0;
}

static enum hg_rc name_read(struct hg_str *s, struct hg_arena *mem, struct hg_str *ret)
{
	size_t n = quoted(*s);
	enum hg_rc rc = HG_OK;
	if (n) {
		rc = unescape((struct hg_str){s->p + 1, n - 2}, mem, ret);
	} else {
		while (n < s->n && name_char(s->p[n]))
			n++;
		*ret = (struct hg_str){s->p, n};
	}
	*s = hg_str_trim((struct hg_str){s->p + n, s->n - n});
	return rc == HG_OK && !ret->n ? HG_E_INVALID : rc;
}

/* Alertmanager takes what stands between commas and in braces for several matchers: without
 * quotes nobody could tell what is meant. */
static enum hg_rc value_read(struct hg_str s, struct hg_arena *mem, struct hg_str *ret)
{
	if (s.n && s.p[0] == '"')
		return quoted(s) == s.n ? unescape((struct hg_str){s.p + 1, s.n - 2}, mem, ret)
		                        : HG_E_INVALID;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == ',' || s.p[i] == '{' || s.p[i] == '}') return HG_E_INVALID;
	return unescape(s, mem, ret);
}

static size_t sign_read(struct hg_str s, enum label_match *ret)
{
	static const enum label_match ops[] = {LABEL_RE, LABEL_NRE, LABEL_NE, LABEL_EQ};
	for (size_t i = 0; i < HG_COUNT(ops); i++) {
		struct hg_str sign = hg_str(notify_matcher_sign(ops[i]));
		if (!hg_str_starts(s, sign)) continue;
		*ret = ops[i];
		return sign.n;
	}
	return 0;
}

enum hg_rc notify_matcher_parse(struct hg_str text, struct hg_arena *mem,
        struct label_matcher *ret_matcher, struct hg_err *err)
{
	struct hg_str s = hg_str_trim(text);
	struct label_matcher m = {0};
	enum hg_rc rc = name_read(&s, mem, &m.name);
	size_t sign = sign_read(s, &m.op);
	if (rc == HG_E_INVALID || (rc == HG_OK && !sign)) {
		hg_err_hint(err, "write NAME=\"VALUE\", !=, =~ or !~");
		return hg_err_set(err, HG_E_INVALID, "\"%.*s\" is no matcher of labels",
		        (int)HG_MIN(text.n, 100), text.p);
	}
	if (rc == HG_OK)
		rc = value_read(
		        hg_str_trim((struct hg_str){s.p + sign, s.n - sign}), mem, &m.value);
	if (rc == HG_E_INVALID)
		return hg_err_set(err, rc, "the value of \"%.*s\" is not well quoted",
		        (int)HG_MIN(text.n, 100), text.p);
	if (rc < 0) return hg_err_set(err, rc, "memory is exhausted");
	*ret_matcher = m;
	return HG_OK;
}

enum hg_rc notify_matcher_make(struct hg_str text, struct hg_arena *mem,
        struct label_matcher *ret_matcher, struct hg_err *err)
{
	enum hg_rc rc = notify_matcher_parse(text, mem, ret_matcher, err);
	if (rc < 0 || (ret_matcher->op != LABEL_RE && ret_matcher->op != LABEL_NRE)) return rc;
	return re_compile(ret_matcher->value, RE_LABEL, &ret_matcher->re, err);
}

void notify_matcher_free(struct label_matcher *m)
{
	re_free(m->re);
	m->re = NULL;
}
