/* Parameters, as Prometheus reads them. Pure. */
#include "api_priv.h"

#include <math.h>
#include <stdlib.h>

#include "wire/date.h"
#include "wire/url.h"

#define SHOWN 100 /* bytes of a wrong value in an error */

static bool add_pairs(struct pa_form *f, struct hg_str from, struct pa_error *e)
{
	struct hg_str name, value;
	while (url_query_next(&from, &name, &value)) {
		struct pa_pair p;
		size_t n, v;
		if (f->n == PA_PAIRS_MAX)
			return pa_fail(e, PA_BAD_DATA, "error parsing form values: more than %u",
			        PA_PAIRS_MAX);
		char *at = hg_arena_take(&f->mem, name.n + value.n + 1);
		if (!at) return pa_fail(e, PA_INTERNAL, "no memory for the parameters");
		if (!url_decode(name, true, at, name.n, &n) ||
		        !url_decode(value, true, at + n, value.n, &v))
			return pa_fail(
			        e, PA_BAD_DATA, "error parsing form values: invalid URL escape");
		p = (struct pa_pair){{at, n}, {at + n, v}};
		f->at[f->n++] = p;
	}
	return true;
}

static size_t count(struct hg_str s)
{
	size_t n = s.n > 0;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '&';
	return n;
}

bool pa_form_read(struct pa_form *f, struct hg_str body, struct hg_str query, struct pa_error *e)
{
	size_t n = HG_MIN(count(body) + count(query), (size_t)PA_PAIRS_MAX);
	*f = (struct pa_form){0};
	/* Values are at most as long decoded; rests of blocks and lists of them come on top. */
	hg_arena_init(&f->mem, "parameters", 4 * (body.n + query.n) + ((size_t)1 << 20));
	f->at = hg_arena_array(&f->mem, n + 1, sizeof *f->at);
	if (!f->at) return pa_fail(e, PA_INTERNAL, "no memory for the parameters");
	return add_pairs(f, body, e) && add_pairs(f, query, e);
}

void pa_form_free(struct pa_form *f)
{
	hg_arena_fini(&f->mem);
}

struct hg_str pa_form_get(const struct pa_form *f, const char *name)
{
	for (uint32_t i = 0; i < f->n; i++)
		if (hg_str_eq(f->at[i].name, hg_str(name))) return f->at[i].value;
	return HG_STR("");
}

bool pa_form_all(struct pa_form *f, const char *name, const struct hg_str **ret_values,
        uint32_t *ret_n, struct pa_error *e)
{
	struct hg_str *to = hg_arena_array(&f->mem, f->n + 1, sizeof *to);
	uint32_t n = 0;
	if (!to) return pa_fail(e, PA_INTERNAL, "no memory for the parameters");
	for (uint32_t i = 0; i < f->n; i++)
		if (hg_str_eq(f->at[i].name, hg_str(name))) to[n++] = f->at[i].value;
	*ret_values = to;
	*ret_n = n;
	return true;
}

/* A decimal number, whole text. */
static bool number(struct hg_str s, double *ret_v)
{
	char text[64], *end;
	if (!s.n || s.n >= sizeof text) return false;
	for (size_t i = 0; i < s.n; i++)
		if (!strchr("0123456789.eE+-", s.p[i])) return false;
	(void)hg_str_copy(s, text, sizeof text);
	*ret_v = strtod(text, &end);
	return *end == 0 && isfinite(*ret_v);
}

static int64_t clamp_time(double ms)
{
	if (ms > (double)PA_TIME_MAX_MS) return PA_TIME_MAX_MS;
	if (ms < -(double)PA_TIME_MAX_MS) return -PA_TIME_MAX_MS;
	return (int64_t)ms;
}

bool pa_time(struct hg_str s, int64_t *ret_ms)
{
	double v;
	uint64_t ms;
	if (number(s, &v)) {
		double whole, part = modf(v, &whole);
		/* Through both parts, so that 1435781451.781 is not 1435781451.780999. */
		*ret_ms = clamp_time(whole * 1000 + round(part * 1000));
		return true;
	}
	if (date_rfc3339_parse(s, &ms)) {
		*ret_ms = (int64_t)ms;
		return true;
	}
	/* What Prometheus' own clients send for "from the beginning" and "to the end". */
	if (hg_str_eq(s, HG_STR("-292273086-05-16T16:47:06Z")))
		*ret_ms = -PA_TIME_MAX_MS;
	else if (hg_str_eq(s, HG_STR("292277025-08-18T07:12:54.999999999Z")))
		*ret_ms = PA_TIME_MAX_MS;
	else
		return false;
	return true;
}

bool pa_span(struct hg_str s, int64_t *ret_ms, struct pa_error *e)
{
	double v;
	int64_t ms;
	int shown = (int)HG_MIN(s.n, (size_t)SHOWN);
	if (number(s, &v)) {
		if (fabs(v) > (double)INT64_MAX / 1e9)
			return pa_fail(e, PA_BAD_DATA,
			        "cannot parse \"%.*s\" to a valid duration. It overflows int64",
			        shown, s.p);
		*ret_ms = (int64_t)(v * 1000);
		return true;
	}
	if (!promql_duration(s, &ms) || ms > INT64_MAX / 1000000)
		return pa_fail(e, PA_BAD_DATA, "cannot parse \"%.*s\" to a valid duration", shown,
		        s.p ? s.p : "");
	*ret_ms = ms;
	return true;
}

bool pa_time_of(const struct pa_form *f, const char *name, int64_t *ret_ms, struct pa_error *e)
{
	struct hg_str s = pa_form_get(f, name);
	if (!s.n || pa_time(s, ret_ms)) return true;
	return pa_fail_param(e, name,
	        "Invalid time value for '%s': cannot parse \"%.*s\" to a valid timestamp", name,
	        (int)HG_MIN(s.n, (size_t)SHOWN), s.p);
}

bool pa_span_of(const struct pa_form *f, const char *name, int64_t *ret_ms, struct pa_error *e)
{
	struct hg_str s = pa_form_get(f, name);
	struct pa_error why = {0};
	if (!s.n || pa_span(s, ret_ms, &why)) return true;
	return pa_fail_param(e, name, "%s", why.text);
}

bool pa_limit_of(const struct pa_form *f, uint64_t *ret_limit, struct pa_error *e)
{
	struct hg_str s = pa_form_get(f, "limit");
	uint64_t v;
	if (!s.n) return true;
	if (s.p[0] == '-') return pa_fail_param(e, "limit", "limit must be non-negative");
	if (!hg_str_u64(s, &v)) return pa_fail_param(e, "limit", "limit must be a number");
	*ret_limit = v ? v : UINT64_MAX;
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9') return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Appends a code point; false when it is none. */
static bool put_rune(char *to, size_t *n, uint32_t c)
{
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return false;
	if (c < 0x80) {
		to[(*n)++] = (char)c;
		return true;
	}
	int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	to[(*n)++] = (char)((0xff00u >> (more + 1)) | (c >> (6 * more)));
	while (more--)
		to[(*n)++] = (char)(0x80 | ((c >> (6 * more)) & 0x3f));
	return true;
}

/* "_2e_" at *at; false: it is none. */
static bool escape(struct hg_str s, size_t *at, uint32_t *ret_c)
{
	size_t i = *at + 1, from = i;
	*ret_c = 0;
	for (; i < s.n && i - from < 6 && hex(s.p[i]) >= 0; i++)
		*ret_c = *ret_c * 16 + (uint32_t)hex(s.p[i]);
	if (i == from || i >= s.n || s.p[i] != '_') return false;
	*at = i + 1;
	return true;
}

/* What is not escaped correctly is no escaped name: it is taken as it stands. */
bool pa_label_name(struct pa_form *f, struct hg_str s, struct hg_str *ret_name)
{
	size_t n = 0;
	*ret_name = s;
	if (!hg_str_starts(s, HG_STR("U__"))) return true;
	char *to = hg_arena_take(&f->mem, s.n * 4);
	if (!to) return false;
	for (size_t i = 3; i < s.n;) {
		uint32_t c;
		if (s.p[i] != '_') {
			to[n++] = s.p[i++];
		} else if (i + 1 < s.n && s.p[i + 1] == '_') {
			to[n++] = '_';
			i += 2;
		} else if (!escape(s, &i, &c) || !put_rune(to, &n, c)) {
			return true;
		}
	}
	*ret_name = (struct hg_str){to, n};
	return true;
}
