/*
 * The audit log: sign-ins, changes of people and keys, and every change of a feedback, written in
 * the transaction of the change. It is only added to; the database itself refuses anything else.
 */
#ifndef FEEDBACK_AUDIT_PRIV_H
#define FEEDBACK_AUDIT_PRIV_H

#include "base/buf.h"
#include "db/db.h"

#include "apps/feedback/access_priv.h"

#define AUDIT_ADDRESS_MAX 48u
#define AUDIT_REQUEST_MAX 128u
#define AUDIT_LIMIT_MAX   1000u

/* Who does something, and from where: copied texts, so that it may cross to another thread. */
struct audit_from {
	bool on; /* false: the change is not written down (AUTH=off) */
	enum access_by by;
	int64_t user; /* 0: no user of ours */
	char name[ACCESS_NAME_MAX + 1];
	char address[AUDIT_ADDRESS_MAX];
	char request_id[AUDIT_REQUEST_MAX + 1];
};

/* "session", "key", "token", "operator", "" */
const char *audit_via(enum access_by by);
/* `object`: "feedback:12"; `detail`: a short text, or "". */
HG_MUST enum hg_rc audit_add(struct db *db, const struct audit_from *from, uint64_t now_ms,
        const char *action, const char *object, const char *detail, struct hg_err *err);
/*
 * Appends a JSON array of entries, newest first, of ids below `before` (0: from the newest).
 * *ret_next: `before` of the next page, 0: this is the last.
 */
HG_MUST enum hg_rc audit_list(struct db *db, int64_t before, uint32_t limit, struct hg_buf *to,
        int64_t *ret_next, struct hg_err *err);
/* Removes some of those older than `before_ms`, which the database allows after 30 days. */
HG_MUST enum hg_rc audit_expire(struct db *db, uint64_t before_ms, struct hg_err *err);

#endif
