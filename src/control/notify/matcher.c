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

/* Without the quotes; `\"`, `\\` and `\n` are undone, another backslash stays. */
static enum hg_rc unquote(struct hg_str in, struct hg_arena *mem, struct hg_str *ret)
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

enum hg_rc notify_matcher_parse(struct hg_str text, struct hg_arena *mem,
        struct label_matcher *ret_matcher, struct hg_err *err)
{
	struct hg_str s = hg_str_trim(text);
	size_t n = 0;
	while (n < s.n && name_char(s.p[n]))
		n++;
	struct label_matcher m = {.name = {s.p, n}};
	struct hg_str rest = hg_str_trim((struct hg_str){s.p + n, s.n - n});
	static const enum label_match ops[] = {LABEL_RE, LABEL_NRE, LABEL_NE, LABEL_EQ};
	size_t sign = 0;
	for (size_t i = 0; i < HG_COUNT(ops) && !sign; i++) {
		struct hg_str text_of = hg_str(notify_matcher_sign(ops[i]));
		if (!hg_str_starts(rest, text_of)) continue;
		m.op = ops[i];
		sign = text_of.n;
	}
	if (!n || !sign)
		return hg_err_set(err, HG_E_INVALID, "\"%.*s\" is no matcher of labels",
		        (int)HG_MIN(text.n, 100), text.p);
	m.value = hg_str_trim((struct hg_str){rest.p + sign, rest.n - sign});
	enum hg_rc rc = HG_OK;
	if (m.value.n && m.value.p[0] == '"') {
		bool closed = m.value.n > 1 && m.value.p[m.value.n - 1] == '"';
		rc = closed ? unquote((struct hg_str){m.value.p + 1, m.value.n - 2}, mem, &m.value)
		            : HG_E_INVALID;
	} else if (hg_str_find(m.value, '"') < m.value.n) {
		rc = HG_E_INVALID;
	}
	if (rc == HG_E_NOMEM) return hg_err_set(err, rc, "memory is exhausted");
	if (rc < 0)
		return hg_err_set(err, rc, "the value of \"%.*s\" is not well quoted",
		        (int)HG_MIN(text.n, 100), text.p);
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
