/*
 * The cache of lists. What it gives is never older than the request that asks for it, whoever
 * wrote, through whatever process: it keeps a list with the stamp the database had at that moment
 * (migration 0007), and gives it only when the database says, after the request came, that its
 * stamp is still this one. So a write need not find everybody who has a copy, and a message that
 * is lost costs nothing but room.
 *
 *   file      the stamp is read at once, on the loop: one row instead of a list
 *   server    one question (`check`) for all requests that wait, asked while none is on its way;
 *             of those that want the same list one fetches it. With Redis lists are found there by
 *             their stamp, so that one process fetches for all; who writes says so by pub/sub, and
 *             the others give the room back.
 *
 * When a check fails or takes longer than LISTS_CHECK_MS, requests go to the database as without a
 * cache; when Redis does not answer within its time, likewise.
 */
#ifndef FEEDBACK_LISTS_PRIV_H
#define FEEDBACK_LISTS_PRIV_H

#include "cache/cache.h"
#include "redis/redis.h"
#include "serve/serve.h"

#include "apps/feedback/config_priv.h"
#include "apps/feedback/store_priv.h"

#define LISTS_CHECK_MS 100u  /* a check that takes longer is not waited for */
#define LISTS_PAUSE_MS 1000u /* after one that failed */
#define LISTS_ROUNDS   3u    /* so often a request may find what it waited for too old */

struct app;
struct deferred;
struct lists;

/* What became of a request, for the field Cache-Status and the metrics. */
enum lists_how {
	LISTS_HIT,
	LISTS_SHARED,    /* found in Redis */
	LISTS_COALESCED, /* another request fetched it */
	LISTS_MISS,      /* there was none */
	LISTS_STALE,     /* there was one, with another stamp */
	LISTS_BYPASS,    /* asked for itself: no check, or too much was going on */
	LISTS_HOWS
};

/* NULL: no cache (CACHE_TTL_S is 0). Starts to connect to Redis when there is one. */
HG_MUST enum hg_rc lists_new(
        struct app *a, const struct config *c, struct lists **ret_lists, struct hg_err *err);
/* Who waits is answered, and nothing is kept on its way. Before the store is closed. Takes NULL. */
void lists_stop(struct lists *l);
/* After the store was closed. Takes NULL. */
void lists_free(struct lists *l);

/* Answers a request for a list. `d`: it was deferred already, or NULL. */
void lists_ask(struct lists *l, struct serve_call *call, const struct serve_request *req,
        const struct store_op *op, struct deferred *d);
/* A write of this process was made. Takes NULL. */
void lists_changed(struct lists *l);
void lists_metrics(struct lists *l, struct hg_buf *to);
/* "feedback; hit" and the like. */
const char *lists_status(enum lists_how how);

/* lists_decide.c: pure. */

/* What is known when a request for a list goes on. Moments count questions to the database: what
 * was asked later than `since` is new enough for the request. */
struct lists_view {
	uint64_t since, seen; /* the request: moment of its arrival, position its client has seen */
	bool have;            /* a list is at hand … */
	uint64_t have_moment, have_seen; /* … asked for then, of a server that had this position */
	int64_t have_stamp;
	uint64_t checked_moment; /* the newest stamp that was asked for, and when */
	int64_t checked_stamp;
	bool client_has; /* what the client has already is of the stamp that was checked */
	bool checks;     /* they work */
	bool worth;      /* to know the stamp: Redis or the client may have the list */
	uint32_t rounds;
};

enum lists_step {
	LISTS_GIVE,       /* what is at hand */
	LISTS_UNCHANGED,  /* 304 */
	LISTS_CHECK,      /* ask for the stamp */
	LISTS_FETCH,      /* ask for the list, together with others */
	LISTS_FETCH_ALONE /* ask for the list, for itself */
};

enum lists_step lists_decide(const struct lists_view *v);

/* Which list it is: the key in the cache, so without holes. */
struct lists_page {
	int64_t before;
	uint32_t limit;
	uint32_t form; /* enum rows_form: the bytes are others */
};

/* The list as it is kept: this, then the JSON. */
struct listed {
	int64_t stamp, total, next;
	uint64_t moment, seen, made_ms;
};

/* A strong validator: the same for the same bytes of the same build. */
#define LISTS_ETAG_MAX 24
struct hg_str lists_etag(
        uint64_t build, int64_t stamp, const struct lists_page *page, char to[LISTS_ETAG_MAX]);

/* lists_redis.c */

/* Names the list of this build with this stamp. Returns its length. */
#define LISTS_NAME_MAX 128
size_t lists_shared_name(
        uint64_t build, int64_t stamp, const struct lists_page *page, char to[LISTS_NAME_MAX]);
/* "total next\n" before the JSON, and back. */
void lists_shared_text(const struct listed *e, struct hg_str json, struct hg_buf *to);
HG_MUST bool lists_shared_read(struct hg_str text, struct listed *ret, struct hg_str *ret_json);
/* A number that programs of the same bytes share: only they share lists. */
uint64_t lists_build(void);
void lists_redis_metrics(struct redis *r, struct hg_buf *to);

#endif
