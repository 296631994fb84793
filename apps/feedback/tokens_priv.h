/*
 * Tokens of services (JWT): verified with a secret, a file of keys, or the set of keys that an
 * authority publishes. A set is fetched beside the requests: at the start, every hour, and when a
 * token names a key that is not known, but then once in five minutes at most. While the authority
 * is away the keys that were known go on. What was verified is remembered until it ends.
 */
#ifndef FEEDBACK_TOKENS_PRIV_H
#define FEEDBACK_TOKENS_PRIV_H

#include "apps/feedback/access_priv.h"
#include "apps/feedback/config_priv.h"
#include "apps/feedback/jsonlog_priv.h"

struct tokens;

/* NULL in *ret_tokens: none are configured. HG_E_INVALID: a secret or file that cannot be used. */
HG_MUST enum hg_rc tokens_new(struct loop *l, const struct config *c, struct jsonlog *log,
        struct tokens **ret_tokens, struct hg_err *err);
void tokens_free(struct tokens *t); /* NULL is fine */
/* False: it counts for nothing. `now_s`: Unix time. */
HG_MUST bool tokens_check(
        struct tokens *t, struct hg_str token, int64_t now_s, struct access_who *ret_who);
/* Nothing when `t` is NULL. */
void tokens_metrics(const struct tokens *t, struct hg_buf *to);

#endif
