/* Go's own functions: comparison, len, index, slice, print, printf, escapes. */
#include "wire/gotemplate_priv.h"

#include <stdlib.h>

static bool numeric(const struct gt_value *v)
{
	return v->kind == GT_INT || v->kind == GT_FLOAT || v->kind == GT_DURATION;
}

static bool textual(const struct gt_value *v)
{
	return v->kind == GT_STR || v->kind == GT_SAFE;
}

static double as_double(const struct gt_value *v)
{
	return v->kind == GT_FLOAT ? v->f : (double)v->i;
}

/* -1, 0, 1; 2: a NaN is among them. False: they do not compare. */
static bool compare(struct gt_run *r, const struct gt_value *a, const struct gt_value *b, int *ret)
{
	if (textual(a) && textual(b)) {
		int c = memcmp(a->s.p ? a->s.p : "", b->s.p ? b->s.p : "", HG_MIN(a->s.n, b->s.n));
		*ret = c < 0 ? -1 : c > 0 ? 1 : a->s.n < b->s.n ? -1 : a->s.n > b->s.n;
		return true;
	}
	if ((numeric(a) && numeric(b)) || (a->kind == GT_TIME && b->kind == GT_TIME)) {
		if (a->kind != GT_FLOAT && b->kind != GT_FLOAT) {
			*ret = a->i < b->i ? -1 : a->i > b->i;
			return true;
		}
		double x = as_double(a), y = as_double(b);
		*ret = x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
		return true;
	}
	return gt_fail(r, "a %s and a %s do not compare", gt_kind_name(a), gt_kind_name(b));
}

static bool same(struct gt_run *r, const struct gt_value *a, const struct gt_value *b, bool *ret)
{
	int c = 1;
	if (a->kind == GT_NONE || b->kind == GT_NONE) {
		*ret = a->kind == b->kind;
		return true;
	}
	if (a->kind == GT_BOOL && b->kind == GT_BOOL) {
		*ret = a->b == b->b;
		return true;
	}
	if (!compare(r, a, b, &c)) return false;
	*ret = c == 0;
	return true;
}

static bool fn_eq(struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	bool is = false;
	for (uint32_t i = 1; i < n && !is; i++)
		if (!same(r, &a[0], &a[i], &is)) return false;
	*ret = gt_bool(is);
	return true;
}

static bool fn_ne(struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	bool is;
	(void)n;
	if (!same(r, &a[0], &a[1], &is)) return false;
	*ret = gt_bool(!is);
	return true;
}

#define ORDER(name, is)                                                                       \
	static bool name(                                                                     \
	        struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret) \
	{                                                                                     \
		int c = 0;                                                                    \
		(void)n;                                                                      \
		if (!compare(r, &a[0], &a[1], &c)) return false;                              \
		*ret = gt_bool(is);                                                           \
		return true;                                                                  \
	}
ORDER(fn_lt, c == -1)
ORDER(fn_le, c == -1 || c == 0)
ORDER(fn_gt, c == 1)
ORDER(fn_ge, c == 1 || c == 0)

static bool fn_not(struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	(void)r, (void)n;
	*ret = gt_bool(!gt_true(a));
	return true;
}

static bool fn_len(struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	(void)n;
	if (a->kind == GT_LIST) return *ret = gt_int(a->list.n), true;
	if (a->kind == GT_MAP) return *ret = gt_int(a->map.n), true;
	if (textual(a)) return *ret = gt_int((int64_t)a->s.n), true;
	return gt_fail(r, "a %s has no length", gt_kind_name(a));
}

static bool index_one(struct gt_run *r, const struct gt_value *of, const struct gt_value *key,
        struct gt_value *ret)
{
	if (of->kind == GT_MAP && textual(key)) {
		const struct gt_value *v = gt_member(of, key->s);
		*ret = v ? *v : of->type == GT_TEXTS ? gt_str(HG_STR("")) : (struct gt_value){0};
		return true;
	}
	size_t n = of->kind == GT_LIST ? of->list.n : textual(of) ? of->s.n : 0;
	if ((of->kind != GT_LIST && !textual(of)) || key->kind != GT_INT)
		return gt_fail(
		        r, "a %s has no index of type %s", gt_kind_name(of), gt_kind_name(key));
	if (key->i < 0 || (uint64_t)key->i >= n)
		return gt_fail(
		        r, "index %lld is out of range: there are %zu", (long long)key->i, n);
	*ret = of->kind == GT_LIST ? of->list.at[key->i] : gt_int((unsigned char)of->s.p[key->i]);
	return true;
}

static bool fn_index(struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	struct gt_value v = a[0];
	for (uint32_t i = 1; i < n; i++) {
		struct gt_value next = {0};
		if (!index_one(r, &v, &a[i], &next)) return false;
		v = next;
	}
	*ret = v;
	return true;
}

static bool fn_slice(struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	uint64_t count = a->kind == GT_LIST ? a->list.n : textual(a) ? a->s.n : 0;
	uint64_t from = 0, to = count;
	if (a->kind != GT_LIST && !textual(a))
		return gt_fail(r, "a %s cannot be sliced", gt_kind_name(a));
	for (uint32_t i = 1; i < n; i++)
		if (a[i].kind != GT_INT || a[i].i < 0 || (uint64_t)a[i].i > count)
			return gt_fail(r, "a bound of slice is out of range");
	if (n > 1) from = (uint64_t)a[1].i;
	if (n > 2) to = (uint64_t)a[2].i;
	if (from > to) return gt_fail(r, "a bound of slice is out of range");
	*ret = *a;
	if (a->kind == GT_LIST) {
		ret->list.at += from;
		ret->list.n = (uint32_t)(to - from);
	} else {
		ret->s = (struct hg_str){a->s.p + from, to - from};
	}
	return true;
}

static void buffer(struct gt_run *r, struct hg_buf *b)
{
	hg_buf_init(b, r->to->max);
}

static bool fn_print(struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	struct hg_buf b;
	buffer(r, &b);
	for (uint32_t i = 0; i < n; i++) {
		/* Sprint: a space between two of which neither is a text. */
		if (i && !textual(&a[i]) && !textual(&a[i - 1])) hg_buf_byte(&b, ' ');
		gotemplate_print(&b, &a[i]);
	}
	return gt_take(r, &b, GT_STR, ret);
}

static bool fn_println(struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	struct hg_buf b;
	buffer(r, &b);
	for (uint32_t i = 0; i < n; i++) {
		if (i) hg_buf_byte(&b, ' ');
		gotemplate_print(&b, &a[i]);
	}
	hg_buf_byte(&b, '\n');
	return gt_take(r, &b, GT_STR, ret);
}

static bool fn_printf(struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	struct hg_str format = {0};
	struct hg_buf b;
	if (!gt_text(r, a, &format)) return false;
	buffer(r, &b);
	gt_printf(&b, format, a + 1, n - 1);
	return gt_take(r, &b, GT_STR, ret);
}

static void joined(struct hg_buf *b, const struct gt_value *a, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		gotemplate_print(b, &a[i]);
}

void gotemplate_escape(struct hg_buf *to, struct hg_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		switch (text.p[i]) {
		case '&': hg_buf_cstr(to, "&amp;"); break;
		case '<': hg_buf_cstr(to, "&lt;"); break;
		case '>': hg_buf_cstr(to, "&gt;"); break;
		case '"': hg_buf_cstr(to, "&#34;"); break;
		case '\'': hg_buf_cstr(to, "&#39;"); break;
		case '+': hg_buf_cstr(to, "&#43;"); break;
		case 0: hg_buf_cstr(to, "\xef\xbf\xbd"); break;
		default: hg_buf_byte(to, text.p[i]);
		}
	}
}

static bool fn_html(struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	struct hg_buf b, to;
	buffer(r, &b);
	buffer(r, &to);
	joined(&b, a, n);
	gotemplate_escape(&to, hg_buf_view(&b));
	hg_buf_free(&b);
	return gt_take(r, &to, GT_SAFE, ret);
}

static bool fn_js(struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	struct hg_buf b, to;
	buffer(r, &b);
	buffer(r, &to);
	joined(&b, a, n);
	for (size_t i = 0; i < b.n; i++) {
		unsigned char c = (unsigned char)b.p[i];
		if (c == '\\' || c == '\'' || c == '"')
			hg_buf_fmt(&to, "\\%c", c);
		else if (c < 0x20 || c == '<' || c == '>' || c == '&' || c == '=')
			hg_buf_fmt(&to, "\\u%04X", c);
		else
			hg_buf_byte(&to, (char)c);
	}
	hg_buf_free(&b);
	return gt_take(r, &to, GT_STR, ret);
}

static bool fn_urlquery(
        struct gt_run *r, const struct gt_value *a, uint32_t n, struct gt_value *ret)
{
	struct hg_buf b, to;
	buffer(r, &b);
	buffer(r, &to);
	joined(&b, a, n);
	for (size_t i = 0; i < b.n; i++) {
		unsigned char c = (unsigned char)b.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		             (c >= '0' && c <= '9') || strchr("-_.~", c ? c : ' ');
		if (plain)
			hg_buf_byte(&to, (char)c);
		else if (c == ' ')
			hg_buf_byte(&to, '+');
		else
			hg_buf_fmt(&to, "%%%02X", c);
	}
	hg_buf_free(&b);
	return gt_take(r, &to, GT_STR, ret);
}

const struct gt_func gt_funcs_go[] = {
        {"and", 1, GT_ARGS_MAX + 1, NULL},
        {"or", 1, GT_ARGS_MAX + 1, NULL},
        {"eq", 2, GT_ARGS_MAX + 1, fn_eq},
        {"ne", 2, 2, fn_ne},
        {"lt", 2, 2, fn_lt},
        {"le", 2, 2, fn_le},
        {"gt", 2, 2, fn_gt},
        {"ge", 2, 2, fn_ge},
        {"not", 1, 1, fn_not},
        {"len", 1, 1, fn_len},
        {"index", 1, GT_ARGS_MAX + 1, fn_index},
        {"slice", 1, 3, fn_slice},
        {"print", 0, GT_ARGS_MAX + 1, fn_print},
        {"println", 0, GT_ARGS_MAX + 1, fn_println},
        {"printf", 1, GT_ARGS_MAX + 1, fn_printf},
        {"html", 1, GT_ARGS_MAX + 1, fn_html},
        {"js", 1, GT_ARGS_MAX + 1, fn_js},
        {"urlquery", 1, GT_ARGS_MAX + 1, fn_urlquery},
        {"urlQueryEscape", 1, 1, fn_urlquery},
        {NULL, 0, 0, NULL},
};

const struct gt_func *gt_func_find(struct hg_str name)
{
	for (const struct gt_func *f = gt_funcs_go; f->name; f++)
		if (hg_str_eq(name, hg_str(f->name))) return f;
	for (const struct gt_func *f = gt_funcs_prom; f->name; f++)
		if (hg_str_eq(name, hg_str(f->name))) return f;
	return NULL;
}

const char *gt_func_near(struct hg_str name)
{
	const char *best = NULL;
	uint32_t least = 3;
	const struct gt_func *tables[] = {gt_funcs_go, gt_funcs_prom};
	for (int t = 0; t < 2; t++) {
		for (const struct gt_func *f = tables[t]; f->name; f++) {
			uint32_t d = hg_str_distance(name, hg_str(f->name));
			if (d >= least || d >= name.n) continue;
			least = d;
			best = f->name;
		}
	}
	return best;
}
