/*
 * Reads what applications expose for Prometheus: text format 0.0.4 (with the quoted UTF-8 names of
 * 3.x) and OpenMetrics 1.0. One pass over a whole buffer, an entry at a time; nothing is allocated
 * or copied, all strings lie in the buffer. The rules are those of Prometheus' own scraper:
 *
 * Text: any blanks between tokens, empty lines and other comments are skipped, timestamps are whole
 * milliseconds, the last line feed may lack. OpenMetrics: exactly one space, no empty lines, no
 * comments, timestamps in seconds with fraction, exemplars, and "# EOF" as the last line. Both:
 * label values must be UTF-8; their escapes are \\ \" and \n, any other backslash is one.
 */
#ifndef WIRE_PROMREAD_H
#define WIRE_PROMREAD_H

#include "base/err.h"

enum promread_format { PROMREAD_TEXT, PROMREAD_OPENMETRICS };

enum promread_type {
	PROMREAD_UNKNOWN, /* "untyped" in the text format; also before the first TYPE line */
	PROMREAD_COUNTER,
	PROMREAD_GAUGE,
	PROMREAD_HISTOGRAM,
	PROMREAD_SUMMARY,
	PROMREAD_GAUGEHISTOGRAM, /* the last four: OpenMetrics only */
	PROMREAD_INFO,
	PROMREAD_STATESET,
};

enum promread_event {
	PROMREAD_END,
	PROMREAD_SAMPLE,
	PROMREAD_TYPE,
	PROMREAD_HELP,
	PROMREAD_UNIT,
	PROMREAD_BAD, /* r->why says what, promread_err tells all; stays so */
};

struct promread {
	struct hg_str text;
	enum promread_format format;
	enum promread_type type; /* of the last TYPE line */
	size_t at, line_at;      /* next byte; where its line begins */
	uint32_t line;           /* from 1 */
	bool eof;                /* "# EOF" was read */
	const char *why;
	size_t why_at;
};

struct promread_entry {
	/* SAMPLE: name and labels as they stand, without blanks around. Bytes that were one whole
	 * series once are the same series wherever they stand. */
	struct hg_str series;
	bool same;    /* it is the hint */
	double value; /* any NaN is the quiet one with payload 1, never the staleness marker */
	bool has_time;
	int64_t time_ms;
	bool has_exemplar;
	struct hg_str exemplar; /* its labels, "{trace_id=\"…\"}", to be walked like a series */
	double exemplar_value;
	bool exemplar_has_time;
	int64_t exemplar_time_ms;
	/* TYPE, HELP, UNIT: the family, without quotes but perhaps with escapes, and the rest. */
	struct hg_str family, text;
	enum promread_type type;
};

struct promread promread_over(struct hg_str text, enum promread_format format);
/*
 * The next entry. `hint`: a series that was read before and may well come again here, or empty; if
 * the line begins with it, its labels are not looked at again.
 */
enum promread_event promread_next(
        struct promread *r, struct hg_str hint, struct promread_entry *ret_entry);
/* HG_E_EXPOSITION with line, column, the line, and `source` as the file. Only after BAD. */
enum hg_rc promread_err(const struct promread *r, const char *source, struct hg_err *err);

/* A label of a series; the metric's name has the name "__name__" and comes first if it does. */
struct promread_label {
	struct hg_str name, value; /* without quotes, with escapes */
	bool name_escaped, value_escaped;
};

/* Walks a series that promread_next gave (start with *at = 0); false at the end. */
bool promread_label_next(struct hg_str series, size_t *at, struct promread_label *ret_label);
/* Appends without escapes; `help`: as of a HELP line of the text format, where \" is two bytes. */
void promread_unescape(struct hg_str s, bool help, struct hg_buf *to);

/* "counter", …; "unknown" for PROMREAD_UNKNOWN, as the API of Prometheus says it. */
const char *promread_type_name(enum promread_type type);

#define PROMREAD_NUMBER_MAX 32
/*
 * `v` as OpenMetrics writes a canonical number ("1.0", "0.5", "1e+06", "+Inf"); returns the
 * length. Prometheus 3 gives `le` and `quantile` of histograms and summaries this form.
 */
size_t promread_number_text(double v, char to[PROMREAD_NUMBER_MAX]);
/* A number as Go's ParseFloat reads it, without hexadecimals and "_"; 1e999 is none. */
HG_MUST bool promread_number(struct hg_str s, double *ret_v);

#endif
