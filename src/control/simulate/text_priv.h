/* Between the parsers of what people type: words with their places. */
#ifndef CONTROL_SIMULATE_TEXT_PRIV_H
#define CONTROL_SIMULATE_TEXT_PRIV_H

#include "base/err.h"

struct sim_text {
	const char *name;   /* "--traffic" */
	struct hg_str all;  /* the argument */
	struct hg_err *err; /* may be NULL */
};

/* HG_E_USAGE that points at `at`, a part of t->all. */
enum hg_rc sim_text_fail(const struct sim_text *t, struct hg_str at, const char *fmt, ...)
        HG_PRINTF(3, 4);
/* "500ms" "2s" "5m" "1h" "1d", at most SIM_SPAN_MAX_MS; "1.5s" too. */
HG_MUST bool sim_text_span(struct hg_str s, uint64_t *ret_ms);
/* "12" "0.5" "20k" "1.5M". */
HG_MUST bool sim_text_number(struct hg_str s, double *ret_v);
/* "5%" "0.1%", 0 … 100 %. */
HG_MUST bool sim_text_share(struct hg_str s, double *ret_share);

#endif
