#include "wire/promtext.h"

#include <math.h>
#include <stdlib.h>

static void escaped(struct hg_buf *to, struct hg_str s, bool quotes)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '\\') {
			hg_buf_cstr(to, "\\\\");
		} else if (c == '\n') {
			hg_buf_cstr(to, "\\n");
		} else if (c == '"' && quotes) {
			hg_buf_cstr(to, "\\\"");
		} else {
			hg_buf_byte(to, c);
		}
	}
}

void prom_head(struct hg_buf *to, const char *name, const char *type, const char *help)
{
	hg_buf_fmt(to, "# HELP %s ", name);
	escaped(to, hg_str(help), false);
	hg_buf_fmt(to, "\n# TYPE %s %s\n", name, type);
}

static void number(struct hg_buf *to, double v)
{
	char text[40];
	if (isnan(v)) {
		hg_buf_cstr(to, "NaN");
	} else if (isinf(v)) {
		hg_buf_cstr(to, v > 0 ? "+Inf" : "-Inf");
	} else {
		struct hg_out o;
		for (int digits = 15; digits <= 17; digits++) {
			o = hg_out_over(text, sizeof text - 1);
			hg_out_fmt(&o, "%.*g", digits, v);
			text[o.n] = 0;
			if (strtod(text, NULL) == v) break;
		}
		hg_buf_cstr(to, text);
	}
}

/* `name``suffix`{labels,le="bound"} and a space; no le when `bound` is NULL. */
static void series(struct hg_buf *to, const char *name, const char *suffix,
        const struct prom_label *labels, size_t label_count, const double *bound)
{
	hg_buf_cstr(to, name);
	hg_buf_cstr(to, suffix);
	if (label_count || bound) {
		char before = '{';
		for (size_t i = 0; i < label_count; i++) {
			hg_buf_byte(to, before);
			hg_buf_cstr(to, labels[i].name);
			hg_buf_cstr(to, "=\"");
			escaped(to, labels[i].value, true);
			hg_buf_byte(to, '"');
			before = ',';
		}
		if (bound) {
			hg_buf_byte(to, before);
			hg_buf_cstr(to, "le=\"");
			number(to, *bound);
			hg_buf_byte(to, '"');
		}
		hg_buf_byte(to, '}');
	}
	hg_buf_byte(to, ' ');
}

void prom_sample(struct hg_buf *to, const char *name, const struct prom_label *labels,
        size_t label_count, double value)
{
	series(to, name, "", labels, label_count, NULL);
	number(to, value);
	hg_buf_byte(to, '\n');
}

void prom_sample_u64(struct hg_buf *to, const char *name, const struct prom_label *labels,
        size_t label_count, uint64_t value)
{
	series(to, name, "", labels, label_count, NULL);
	hg_buf_u64(to, value);
	hg_buf_byte(to, '\n');
}

void prom_histogram(struct hg_buf *to, const char *name, const struct prom_label *labels,
        size_t label_count, const struct prom_histogram *h)
{
	uint64_t total = 0;
	for (size_t i = 0; i <= h->bound_count; i++) {
		double bound = i < h->bound_count ? h->bounds[i] : INFINITY;
		total += h->counts[i];
		series(to, name, "_bucket", labels, label_count, &bound);
		hg_buf_u64(to, total);
		hg_buf_byte(to, '\n');
	}
	series(to, name, "_sum", labels, label_count, NULL);
	number(to, h->sum);
	hg_buf_byte(to, '\n');
	series(to, name, "_count", labels, label_count, NULL);
	hg_buf_u64(to, total);
	hg_buf_byte(to, '\n');
}
