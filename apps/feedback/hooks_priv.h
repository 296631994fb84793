/*
 * Webhooks: who is told of new feedback by a signed POST (fetch/webhook.h), the rows, the job that
 * tells, and trying one at once. Secrets are kept to sign with, and shown once, when they are made.
 */
#ifndef FEEDBACK_HOOKS_PRIV_H
#define FEEDBACK_HOOKS_PRIV_H

#include "fetch/webhook.h"
#include "jobs/jobs.h"
#include "wire/json.h"

#include "apps/feedback/config_priv.h"
#include "apps/feedback/jobs_priv.h"

#define HOOKS_MAX       32u /* each is a job for every feedback */
#define HOOKS_WORDS_MAX 400u
#define HOOKS_OLD_MS    (24ll * 3600 * 1000) /* so long the secret before the last one signs too */

struct hook {
	int64_t id;
	char url[WEBHOOK_URL_MAX];
	char secret[WEBHOOK_SECRET_MAX], old_secret[WEBHOOK_SECRET_MAX]; /* old: "" none */
	bool enabled;
	int64_t created_ms, secret_changed_ms, disabled_ms, told_ms; /* 0: never */
	char disabled_why[HOOKS_WORDS_MAX], told[HOOKS_WORDS_MAX];
};

/* ---- rows: over one connection; the codes of db.h, and HG_E_NOT_FOUND ---- */

HG_MUST enum hg_rc hooks_list(struct db *db, void (*each)(void *arg, const struct hook *h),
        void *arg, struct hg_err *err);
HG_MUST enum hg_rc hooks_get(struct db *db, int64_t id, struct hook *ret_hook, struct hg_err *err);
/*
 * `secret` "": a new one is made. HG_E_INVALID: the address or the secret; HG_E_TOO_LARGE: there
 * are HOOKS_MAX.
 */
HG_MUST enum hg_rc hooks_add(struct db *db, const struct outgoing *o, struct hg_str url,
        struct hg_str secret, int64_t now_ms, struct hook *ret_hook, struct hg_err *err);
HG_MUST enum hg_rc hooks_remove(struct db *db, int64_t id, struct hg_err *err);
/* A new secret; the one before signs too for a day. */
HG_MUST enum hg_rc hooks_rotate(
        struct db *db, int64_t id, int64_t now_ms, struct hook *ret_hook, struct hg_err *err);
HG_MUST enum hg_rc hooks_enable(struct db *db, int64_t id, struct hg_err *err);
/* One object; the secret only when it was just made. */
void hook_json(struct json_out *j, const struct hook *h, bool secret);

/* ---- telling ---- */

struct hooks;

/*
 * `o` must outlive it; so must what is under way: free it after the worker. `calls`: at a time.
 * HG_E_NOMEM; HG_E_IO and others: WEBHOOK_CA cannot be read.
 */
HG_MUST enum hg_rc hooks_new(struct loop *l, const struct outgoing *o, uint32_t calls,
        struct hooks **ret_hooks, struct hg_err *err);
/* Takes NULL. */
void hooks_free(struct hooks *h);
/* A row for jobs_kinds.c: KIND_WEBHOOK. */
bool hooks_make(const struct jobs_context *c, struct job_kind *ret_kind);
void hooks_unmake(void *arg);

struct hooks_told {
	enum webhook_verdict verdict;
	uint64_t after_ms; /* the receiver asked for so much time; 0: it did not */
	const char *words; /* "200 from 192.0.2.1 after 12 ms", "503 …: body" */
};

typedef void (*hooks_fn)(void *arg, const struct hooks_told *t);

struct hooks_call; /* one delivery under way */

/*
 * Sends "webhook.test" at once. `fn` comes from the loop, once, and the call is gone. HG_E_AGAIN,
 * HG_E_FETCH, HG_E_NOMEM, HG_E_INVALID.
 */
HG_MUST enum hg_rc hooks_try(struct hooks *h, const struct hook *hook, hooks_fn fn, void *arg,
        struct hooks_call **ret_call, struct hg_err *err);
/* Ends it without being told. */
void hooks_cancel(struct hooks_call *c);

#endif
