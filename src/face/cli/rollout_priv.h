/* Rollouts on the command line: the documents of docs/reference/rollout-json.md as people read
 * them, and waiting for one. */
#ifndef FACE_CLI_ROLLOUT_PRIV_H
#define FACE_CLI_ROLLOUT_PRIV_H

#include "client_priv.h"

/* ---- text.c: words of others on somebody's terminal ---- */

/* Columns a text takes: wide letters two, combining ones and our colours none. */
size_t cli_columns(struct hg_str text);
/*
 * Appends text of unknown origin on one line: no escape sequences, no control or bidi characters,
 * ASCII only when the terminal is; at most `columns` columns, cut with an ellipsis. Returns the
 * columns used.
 */
size_t cli_put(const struct cli *c, struct hg_buf *to, struct hg_str text, size_t columns);
/* The same, padded to `columns`. */
void cli_cell(const struct cli *c, struct hg_buf *to, const char *text, size_t columns);
/* The same, broken at spaces into lines that start at column `indent`; the first is begun. */
void cli_wrap(const struct cli *c, struct hg_buf *to, struct hg_str text, size_t indent);
/* Lines of our own making, cut to the terminal: `columns` wide, at most `rows` of them. Returns
 * their number. */
int cli_clip(struct hg_buf *to, struct hg_str page, size_t columns, int rows);
const char *cli_human_ms(int64_t ms, char to[CLI_TEXT_MAX]);      /* "0.07s" "8m20s" "2h05m" */
const char *cli_human_share(double share, char to[CLI_TEXT_MAX]); /* "10 %" "9.8 %" */

/* An e-value: "1.2", "1700", "2.3e6". */
void cli_put_evidence(struct hg_buf *to, double e);

/* ---- rollout_view.c: pure ---- */

/*
 * What a wait for this rollout ends with: 0 promoted, 4 taken back and the old release serves, 7
 * taken back and nothing is ready, 1 ended in a way we do not know; −1: it goes on. `to_end`: a
 * promotion that is still watched is no end.
 */
int cli_rollout_exit(const json_t *doc, bool to_end);
/* "feedback 1.7.3 → 1.8.0   canary   rollout 42" with a line feed. */
void cli_rollout_header(const struct cli *c, const json_t *doc, struct hg_buf *to);
/* Header, phases, evidence and users as they stand. */
void cli_rollout_page(const struct cli *c, const json_t *doc, uint64_t now_ms, struct hg_buf *to);
/* "120 requests copied: 4 answered differently"; false: none was, and nothing was written. */
bool cli_mirror_text(const json_t *doc, struct hg_buf *to);
/* Why it waits or ended, in full: the sentence, the evidence, the gates that failed. */
void cli_rollout_why(const struct cli *c, const json_t *doc, struct hg_buf *to);
/* Two documents with the same key look the same as a line. */
void cli_rollout_key(const json_t *doc, char to[256]);
/* One line for a log: when, where it is, and why. */
void cli_rollout_line(const struct cli *c, const json_t *doc, struct hg_buf *to);
/*
 * After the end: what happened, why, who noticed, the first failure with the replica's lines
 * (`logs`: an array of stored lines, or NULL), what serves now, what to type next.
 */
void cli_rollout_end(
        const struct cli *c, const json_t *doc, const json_t *logs, int status, struct hg_buf *to);
/* "◌ step 10 %", "✖ rolled back": of a document or a row of the list. */
void cli_rollout_state(const struct cli *c, const json_t *doc, struct hg_buf *to);
enum cli_mark cli_rollout_mark(const json_t *doc);
void cli_rollouts_table(
        const struct cli *c, const json_t *list, uint64_t now_ms, struct hg_buf *to);
void cli_plan_text(const struct cli *c, const json_t *plan, struct hg_buf *to);

/* ---- rollouts.c ---- */

/* What the replica of the first failure logged within a second of it; never fails, may be empty.
 * `patience_ms`: how long to wait for lines that are still on their way. */
json_t *cli_rollout_logs(const struct cli *c, const json_t *doc, uint32_t patience_ms);
int cli_print_json(const json_t *j, bool compact);

/* ---- wait.c ---- */

struct cli_wait {
	bool to_end; /* until it has ended; otherwise until it is promoted */
	bool each;   /* with --json: every change, one object a line; otherwise the last one */
	bool back;   /* a rollback that was asked for: taken back by a person is success */
	uint32_t patience_ms; /* without an answer of control; 0: 45 s */
};
/* Shows the rollout until it is over; the exit status. Survives a control that is replaced. */
int cli_rollout_wait(struct cli *c, uint64_t id, const struct cli_wait *w);

#endif
