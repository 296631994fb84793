/*
 * What a person is told about a failure. Rooms above plane L3, and the configuration, fill one;
 * command line, API (RFC 9457) and dashboard show it unchanged. Style: PostgreSQL's error
 * message guide (message: lower case, no full stop; detail: facts; hint: the next step).
 */
#ifndef HG_BASE_ERR_H
#define HG_BASE_ERR_H

#include "base/buf.h"

struct hg_err {
	enum hg_rc rc;
	char message[320];
	char detail[640];
	char hint[320];
	/* Place in a file, when there is one: line and column count from 1, 0 = unknown. */
	char file[256];
	unsigned line, column;
	char snippet[160]; /* the line of the file, shortened around the column */
	unsigned caret;    /* column within snippet, from 1; 0 = no caret */
	bool warning;      /* nothing failed: printed as "warning" */
};

/* Each returns e->rc, so that `return hg_err_set(err, HG_E_…, "…")` reads well. `err` may be NULL.
 */
enum hg_rc hg_err_set(struct hg_err *err, enum hg_rc rc, const char *fmt, ...) HG_PRINTF(3, 4);
void hg_err_detail(struct hg_err *err, const char *fmt, ...) HG_PRINTF(2, 3);
void hg_err_hint(struct hg_err *err, const char *fmt, ...) HG_PRINTF(2, 3);
void hg_err_place(struct hg_err *err, const char *file, unsigned line, unsigned column);

/*
 * The whole error as a person reads it on a terminal, ending in a line feed:
 *   headgate.yaml:7:5: error HG1004: unknown key "replica"
 *       7 |     replica: 3
 *         |     ^
 *     hint: did you mean "replicas"?
 */
void hg_err_print(const struct hg_err *err, struct hg_buf *to);

/* From the rows of schema/errors.toml. */
struct hg_rc_info {
	enum hg_rc rc;
	const char *code;    /* "HG1004" */
	const char *name;    /* "HG_E_CONFIG_UNKNOWN_KEY" */
	const char *summary; /* one line */
	const char *page;    /* the offline page, Markdown */
	int exit_status;     /* of the command line, design section 5 */
	int http_status;     /* of the API */
};

/* Never NULL: an unknown rc gives the row of HG_E_INTERNAL. */
const struct hg_rc_info *hg_rc_info(enum hg_rc rc);
/* By code ("HG1004" or "1004"); NULL when there is none. */
const struct hg_rc_info *hg_rc_by_code(struct hg_str code);
/* All rows, in the order of their codes. */
const struct hg_rc_info *hg_rc_all(size_t *ret_n);

#endif
