/*
 * The app's rows over one database connection: the loop has one to read, the writer one to write.
 * Each is used by one thread. Every function may fail with the codes of db.h.
 */
#ifndef FEEDBACK_ROWS_PRIV_H
#define FEEDBACK_ROWS_PRIV_H

#include "db/db.h"

#include "apps/feedback/audit_priv.h"
#include "apps/feedback/message_priv.h"
#include "apps/feedback/status_priv.h"
#include "apps/feedback/text_priv.h"

#define ROWS_LIMIT_MAX 1000u

struct rows;

struct row {
	int64_t id;
	struct message message;
	char created_at[TEXT_TIME_MAX + 8];
	char updated_at[TEXT_TIME_MAX + 8];
	int64_t votes;
	enum status status;
};

/* How objects are written: of the first version with four members, of the second with `votes` and
 * `status` too. */
enum rows_form { ROWS_V1, ROWS_V2 };

struct rows_options {
	const char *url;
	enum db_durability durability;
	bool as_is; /* the schema must be up to date, instead of being brought there */
	/* What a create leaves to be done, in its transaction. */
	const char *notify_email; /* NULL or "": no mail */
	bool webhooks;
};

/* Opens, and brings the schema up to date. */
HG_MUST enum hg_rc rows_open(
        const struct rows_options *o, struct rows **ret_rows, struct hg_err *err);
/* Takes NULL. */
void rows_close(struct rows *r);

/* HG_E_NOT_FOUND when there is none, here and below. */
HG_MUST enum hg_rc rows_get(struct rows *r, int64_t id, struct row *ret_row, struct hg_err *err);
HG_MUST enum hg_rc rows_total(struct rows *r, int64_t *ret_total, struct hg_err *err);
/* Also a number that is another one after each change of the rows, by whatever process. */
HG_MUST enum hg_rc rows_stamp(
        struct rows *r, int64_t *ret_total, int64_t *ret_stamp, struct hg_err *err);
struct rows_page {
	int64_t total; /* of all rows, at the same moment */
	int64_t stamp; /* as rows_stamp, at the same moment */
	int64_t next;  /* `before` of the next page; 0: this is the last one */
};

/*
 * The newest `limit` rows with an id below `before` (0: from the newest) as a JSON array.
 * The ids ascend with the writing order: newest first is highest id first.
 */
HG_MUST enum hg_rc rows_list(struct rows *r, enum rows_form form, int64_t before, uint32_t limit,
        struct hg_buf *to, struct rows_page *ret_page, struct hg_err *err);

HG_MUST enum hg_rc rows_begin(struct rows *r, struct hg_err *err);
HG_MUST enum hg_rc rows_commit(struct rows *r, struct hg_err *err);
bool rows_in_transaction(const struct rows *r);
/* What the jobs of the next creates go on with (traceparent); "" nothing. Stays the caller's. */
void rows_trace(struct rows *r, struct hg_str traceparent);
/* `owner`: whose it is; 0: nobody's. */
HG_MUST enum hg_rc rows_create(struct rows *r, const struct message *m, int64_t owner,
        uint64_t wall_ns, struct row *ret_row, struct hg_err *err);
/* What has become of a creation under a key. */
enum rows_once {
	ROWS_FIRST, /* a row was made */
	ROWS_AGAIN, /* the same message came under this key before: *ret_row is as it was made then
	             */
	ROWS_OTHER, /* the key was used for another message, and nothing is done */
};
/* As rows_create, but once for a key (draft-ietf-httpapi-idempotency-key-header). Keys are kept for
 * a day at least. Within a transaction, which is over when a row was made and its key could not be
 * kept. */
HG_MUST enum hg_rc rows_create_once(struct rows *r, struct hg_str key, const struct message *m,
        int64_t owner, uint64_t wall_ns, struct row *ret_row, enum rows_once *ret_once,
        struct hg_err *err);
/* HG_E_DENIED: it is not `only`'s (0: anybody's will do); here and below. */
HG_MUST enum hg_rc rows_update(struct rows *r, int64_t id, int64_t only, const struct message *m,
        uint64_t wall_ns, struct row *ret_row, struct hg_err *err);
HG_MUST enum hg_rc rows_delete(struct rows *r, int64_t id, int64_t only, struct hg_err *err);
/*
 * Gives a vote of `voter` (`given`), or takes it back. *ret_changed false: it was like that
 * already, and nothing is done. The count is the row's, in the same statement.
 */
HG_MUST enum hg_rc rows_vote(struct rows *r, int64_t id, int64_t voter, bool given,
        uint64_t wall_ns, struct row *ret_row, bool *ret_changed, struct hg_err *err);
/* Likewise. A change leaves what webhooks are to be told, within a transaction, which is over when
 * that cannot be. */
HG_MUST enum hg_rc rows_status(struct rows *r, int64_t id, enum status status, uint64_t wall_ns,
        struct row *ret_row, bool *ret_changed, struct hg_err *err);
/*
 * Writes down who has done what to a row, in the transaction of the change, which is over when that
 * cannot be: there is no change without its entry.
 */
struct rows_deed {
	const char *action, *detail; /* "feedback.status", "planned" */
	int64_t id;
};
HG_MUST enum hg_rc rows_audit(struct rows *r, const struct audit_from *from,
        const struct rows_deed *deed, uint64_t wall_ns, struct hg_err *err);

/* {"id": 1, "message": "…", "created_at": "…", "updated_at": "…"}, and what `form` adds; a line
 * of its own. */
void row_json(const struct row *row, enum rows_form form, struct hg_buf *to);
/* The end of it, behind the text of updated_at. */
void rows_end_json(enum rows_form form, int64_t votes, enum status status, struct hg_buf *to);

#endif
