#include "wire/jsonpath.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' ||
	       c == '-' || c == '$' || c == '@' || (unsigned char)c >= 0x80;
}

static const char *dotted(struct hg_str t, size_t *at, struct jsonpath_step *to)
{
	size_t from = *at;
	if (from < t.n && t.p[from] == '*') {
		to->kind = JSONPATH_ANY;
		++*at;
		return NULL;
	}
	while (*at < t.n && is_name(t.p[*at]))
		++*at;
	*to = (struct jsonpath_step){.kind = JSONPATH_MEMBER, .name = {t.p + from, *at - from}};
	return *at > from ? NULL : "a name or * must follow the dot";
}

static const char *quoted(struct hg_str t, size_t *at, struct jsonpath_step *to)
{
	char quote = t.p[(*at)++];
	size_t from = *at;
	while (*at < t.n && t.p[*at] != quote)
		++*at;
	if (*at == t.n) return "the closing quote is missing";
	*to = (struct jsonpath_step){.kind = JSONPATH_MEMBER, .name = {t.p + from, *at - from}};
	++*at;
	return NULL;
}

static const char *number(struct hg_str t, size_t *at, struct jsonpath_step *to)
{
	uint32_t v = 0;
	size_t from = *at;
	for (; *at < t.n && is_digit(t.p[*at]); ++*at) {
		if (*at - from == 9) return "the index is too large";
		v = v * 10 + (uint32_t)(t.p[*at] - '0');
	}
	*to = (struct jsonpath_step){.kind = JSONPATH_ELEMENT, .index = v};
	return *at > from ? NULL : "[*], [NUMBER] or ['NAME'] is meant";
}

static const char *bracketed(struct hg_str t, size_t *at, struct jsonpath_step *to)
{
	const char *why = NULL;
	if (*at < t.n && t.p[*at] == '*') {
		to->kind = JSONPATH_ANY;
		++*at;
	} else if (*at < t.n && (t.p[*at] == '\'' || t.p[*at] == '"')) {
		why = quoted(t, at, to);
	} else {
		why = number(t, at, to);
	}
	if (why) return why;
	if (*at == t.n || t.p[*at] != ']') return "the closing ] is missing";
	++*at;
	return NULL;
}

const char *jsonpath_parse(struct hg_str text, struct jsonpath *ret_path, size_t *ret_at)
{
	size_t at = 0;
	const char *why = NULL;
	ret_path->n = 0;
	*ret_at = 0;
	if (text.n == 0 || text.p[0] != '$') return "a path begins with $";
	if (text.n > JSONPATH_TEXT_MAX) return "the path is too long";
	for (at = 1; at < text.n;) {
		*ret_at = at;
		if (ret_path->n == JSONPATH_STEPS_MAX) return "the path has too many steps";
		struct jsonpath_step *to = &ret_path->step[ret_path->n];
		char c = text.p[at++];
		if (c != '.' && c != '[') return "a step begins with . or [";
		why = c == '.' ? dotted(text, &at, to) : bracketed(text, &at, to);
		if (why) {
			*ret_at = at;
			return why;
		}
		ret_path->n++;
	}
	return NULL;
}
