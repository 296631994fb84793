/*
 * First byte: the format. Every entry lies in the text, its labels can be walked, an error has its
 * place on its line, and the series of one reading as hints of the next change nothing.
 */
#include "fuzz.h"

#include "wire/promread.h"

#include <math.h>

#define SEEN 64u

static void within(struct hg_str part, struct hg_str text)
{
	HG_ASSERT(part.n == 0 || (part.p >= text.p && part.p + part.n <= text.p + text.n));
}

static void labels_end(struct hg_str series)
{
	struct promread_label l;
	struct hg_buf b;
	size_t at = 0, n = 0;
	hg_buf_init(&b, 2 * series.n + 16);
	while (promread_label_next(series, &at, &l)) {
		HG_ASSERT(l.name.n > 0 && ++n <= series.n);
		within(l.value, series);
		hg_buf_reset(&b);
		promread_unescape(l.value, false, &b);
		HG_ASSERT(b.n <= l.value.n && hg_utf8_valid(hg_buf_view(&b)));
	}
	hg_buf_free(&b);
}

static void numbers_come_back(double v)
{
	char to[PROMREAD_NUMBER_MAX];
	double back;
	size_t n = promread_number_text(v, to);
	HG_ASSERT(n <= sizeof to && promread_number((struct hg_str){to, n}, &back));
	HG_ASSERT(back == v || (isnan(v) && isnan(back)));
}

static size_t read_all(struct promread *r, struct hg_str *seen, bool hints)
{
	struct promread_entry e;
	enum promread_event event;
	size_t n = 0;
	while ((event = promread_next(r, hints && n < SEEN ? seen[n] : HG_STR(""), &e)) >
	                PROMREAD_END &&
	        event != PROMREAD_BAD) {
		if (event != PROMREAD_SAMPLE) {
			within(e.family, r->text);
			within(e.text, r->text);
			continue;
		}
		within(e.series, r->text);
		HG_ASSERT(e.series.n > 0);
		labels_end(e.series);
		if (e.has_exemplar) labels_end(e.exemplar);
		numbers_come_back(e.value);
		if (hints && n < SEEN) HG_ASSERT(hg_str_eq(seen[n], e.series));
		if (!hints && n < SEEN) seen[n] = e.series;
		n++;
	}
	if (event == PROMREAD_BAD) {
		struct hg_err err;
		HG_ASSERT(r->why_at >= r->line_at && r->why_at <= r->text.n);
		HG_ASSERT(promread_err(r, "x", &err) < 0 && err.caret <= sizeof err.snippet);
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) return 0;
	char *copy = fuzz_copy((struct hg_str){(const char *)data + 1, size - 1});
	enum promread_format format = data[0] & 1 ? PROMREAD_OPENMETRICS : PROMREAD_TEXT;
	struct promread r = promread_over((struct hg_str){copy, size - 1}, format), again = r;
	struct hg_str seen[SEEN] = {{0}};
	size_t n = read_all(&r, seen, false);
	HG_ASSERT(n == read_all(&again, seen, true));
	HG_ASSERT(r.why == again.why && r.at == again.at && r.line == again.line);
	free(copy);
	return 0;
}
