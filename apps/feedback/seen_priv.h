/*
 * Who was looked up lately, by the hash of what was shown: so that a request with a session or a
 * key asks the database once in five seconds, not every time. A fixed number of places; used from
 * the loop's thread. What is ended in this process is forgotten at once; what another process has
 * ended counts here for as long as a look-up does.
 */
#ifndef FEEDBACK_SEEN_PRIV_H
#define FEEDBACK_SEEN_PRIV_H

#include "apps/feedback/access_priv.h"

#define SEEN_HASH   32u
#define SEEN_PLACES 4096u
#define SEEN_CSRF   32u

struct seen;

struct seen_who {
	struct access_who who;
	int64_t created_ms;       /* of the session: Unix time */
	char csrf[SEEN_CSRF + 1]; /* what goes with the session; "" of a key */
};

HG_MUST enum hg_rc seen_new(struct seen **ret_seen);
void seen_free(struct seen *s); /* NULL is fine */
/* NULL: not looked up, or too long ago. Valid until the next call. */
const struct seen_who *seen_find(
        const struct seen *s, const unsigned char hash[SEEN_HASH], uint64_t now_ms);
void seen_put(struct seen *s, const unsigned char hash[SEEN_HASH], const struct seen_who *who,
        uint64_t until_ms);
void seen_forget(struct seen *s, const unsigned char hash[SEEN_HASH]);
void seen_forget_user(struct seen *s, int64_t user);
uint32_t seen_count(const struct seen *s, uint64_t now_ms);

#endif
