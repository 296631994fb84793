/* Talking to control, inside of the command line. */
#ifndef FACE_CLI_CLIENT_PRIV_H
#define FACE_CLI_CLIENT_PRIV_H

#include "cli_priv.h"

#include <jansson.h>

/*
 * One request; `body` may be NULL. A problem comes back as the hg_err it was. HG_E_NOT_RUNNING,
 * HG_E_CONTROL_SILENT. `ret_json` may be NULL; the caller frees it.
 */
HG_MUST enum hg_rc cli_call(const struct cli *c, const char *method, const char *path,
        const json_t *body, uint32_t timeout_ms, json_t **ret_json, struct hg_err *err);
/* POST of a change that may need an artifact: while control reads one it is waited for, and every
 * few seconds a line on stderr says how far it is. */
HG_MUST enum hg_rc cli_call_patient(const struct cli *c, const char *path, const json_t *body,
        json_t **ret_json, struct hg_err *err);
/*
 * GET of the API of metrics. Control passes it on; when it does not answer, observe is asked itself
 * (*ret_without), which whoever Headgate runs as, and root, may.
 */
HG_MUST enum hg_rc cli_call_metrics(const struct cli *c, const char *path, uint32_t timeout_ms,
        json_t **ret_json, bool *ret_without, struct hg_err *err);
/* GET, one call of `line` for each line as it comes; false from it ends. `timeout_ms`: between
 * two pieces of the answer. */
HG_MUST enum hg_rc cli_lines(const struct cli *c, const char *path, uint32_t timeout_ms,
        bool (*line)(void *arg, struct hg_str text), void *arg, struct hg_err *err);
/* The problem document as the error it was made from; returns its rc. */
enum hg_rc cli_problem(const json_t *j, unsigned status, struct hg_err *err);
/* Appends "?name=value" or "&name=value", percent-encoded. */
void cli_query_add(struct hg_buf *path, const char *name, struct hg_str value);

#define CLI_READ_MS   5000
#define CLI_CHANGE_MS 30000

/* Members of an object, with a default for what is missing or of another type. */
static inline const char *cli_text(const json_t *j, const char *name)
{
	const char *v = json_string_value(json_object_get(j, name));
	return v ? v : "";
}
static inline int64_t cli_int(const json_t *j, const char *name)
{
	return json_integer_value(json_object_get(j, name));
}
/* Negative: null or missing. */
static inline double cli_num(const json_t *j, const char *name)
{
	const json_t *v = json_object_get(j, name);
	return json_is_number(v) ? json_number_value(v) : -1;
}
/* The member as an array; NULL otherwise (json_array_foreach takes NULL). */
static inline json_t *cli_list(const json_t *j, const char *name)
{
	return json_object_get(j, name);
}

/* complete.c: words from an answer of /v1/status or /v1/rollouts, lines as of cli_complete_words.
 */
void cli_complete_live(
        enum cli_more more, const json_t *doc, const char *current, struct hg_buf *to);

/* logs.c: lines of a search that comes newest first, given to `fn` oldest first. */
HG_MUST enum hg_rc cli_log_tail(const struct cli *c, const char *path,
        bool (*fn)(void *arg, struct hg_str line), void *arg, struct hg_err *err);
/* One stored line as a person reads it, with a line feed. */
void cli_log_line(const struct cli *c, const json_t *line, struct hg_buf *to);

/* Adds the newest rollouts to a status; without them nothing changes. */
void cli_rollouts_add(const struct cli *c, json_t *status);
/* status.c: the table of apps, for `status`, `up` and `top`; returns its lines. */
int cli_apps_table(const struct cli *c, const json_t *status, struct hg_buf *to);
enum cli_mark cli_phase_mark(const char *phase);
/* 0, 5 or 7 by what the apps are. */
int cli_status_exit(const json_t *status);

#endif
