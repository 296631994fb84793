#ifndef OBSERVE_REMOTE_REMOTE_PRIV_H
#define OBSERVE_REMOTE_REMOTE_PRIV_H

#include "base/list.h"
#include "base/rand.h"
#include "fetch/fetch.h"
#include "observe/remote/remote.h"
#include "wire/remotewrite.h"

/* ---- snappy.c: the block format, by the library, which is loaded by the first who needs it */
struct snappy_calls {
	int (*compress)(const char *from, size_t n, char *to, size_t *to_n);
	int (*uncompress)(const char *from, size_t n, char *to, size_t *to_n);
	size_t (*max_compressed_length)(size_t n);
	int (*uncompressed_length)(const char *from, size_t n, size_t *ret_n);
};
/* HG_E_SNAPPY with the reason. */
HG_MUST enum hg_rc snappy_load(struct snappy_calls *ret_calls, struct hg_err *err);
/* Replaces what is in `to`. HG_E_SNAPPY, HG_E_NOMEM. */
HG_MUST enum hg_rc snappy_pack(struct hg_str bytes, struct hg_buf *to, struct hg_err *err);
/* HG_E_INVALID: it is no such block; HG_E_TOO_LARGE: more than `max` would come out. */
HG_MUST enum hg_rc snappy_unpack(
        struct hg_str packed, size_t max, struct hg_buf *to, struct hg_err *err);

/* ---- receive.c */
struct receive_counts {
	uint64_t requests, samples;     /* taken over; samples written */
	uint64_t refused, bad;          /* samples and series the store refused; requests */
	uint64_t histograms, exemplars; /* passed over */
};
struct receive {
	struct tsdb *db;
	struct labels_builder builder;
	struct hg_buf inflated;
	struct receive_counts count;
};
void receive_init(struct receive *r, struct tsdb *db);
void receive_fini(struct receive *r);
void receive_handle(struct receive *r, struct serve_call *call, const struct serve_request *req);

/* ---- decide.c: pure */
enum send_verdict { SEND_TAKEN, SEND_AGAIN, SEND_REFUSED };
/* What an answer means; 0: there was none. */
enum send_verdict send_judge(int status);
/* How long to wait before the next try; `tries` from 1 on, `asked_ms` of Retry-After, 0: none. */
uint64_t send_pause(uint32_t tries, uint64_t asked_ms, uint64_t random);
/*
 * The end of the next pass, which begins behind `passed_ms`: what has come by now when hardly
 * anything is missing, else a slice, so that a receiver sees all series move on together. Not
 * behind `passed_ms`: there is no pass to make yet.
 */
int64_t send_until(int64_t passed_ms, int64_t now_ms);
/* Whether a position is so far in the future that the clock must have been set back since. */
bool send_is_ahead(int64_t position_ms, int64_t now_ms);
/* Where to go on when it was: `low_ms` is where sending stood before the clock leapt ahead, 0 if
 * that is not known; then what came since the last pass is sent, perhaps once more. */
int64_t send_back(int64_t low_ms, uint32_t batch_ms, int64_t now_ms);
/*
 * Where to go on, behind what has passed: the clock was set back from `high_ms` (what had passed
 * then) and has now leapt to beyond it, as when a machine without a clock gets the time; what is
 * between was sent.
 */
int64_t send_leap(int64_t passed_ms, int64_t high_ms, int64_t now_ms);

/* Where positions are kept; made when it can be: on a full disk not at once. */
struct remote_dir {
	char *path;
	int at; /* < 0: not yet */
};
/* Opens it if that was not possible before; 0 or -errno. */
HG_MUST int remote_dir_open(struct remote_dir *d);

/* ---- check.c */
HG_MUST enum hg_rc target_check(const struct remote_target_conf *conf, struct hg_err *err);
/* No control characters. */
bool target_plain(struct hg_str s);

/* ---- target.c */
struct target;
struct target_place {
	struct loop *loop;
	struct fetch *fetch;
	struct tsdb *db;
	struct remote_dir *dir; /* of the positions */
	int64_t (*now_ms)(void);
	struct hg_log *log;
	const struct label *external;
	uint32_t external_n;
};
/* Copies what it needs; begins at its stored position, or now. */
HG_MUST enum hg_rc target_new(const struct target_place *place,
        const struct remote_target_conf *conf, struct target **ret_target, struct hg_err *err);
/* Requests under way end untold; the position is written. NULL is fine. */
void target_free(struct target *t);
/* The same settings, for which nothing would change. */
bool target_is(const struct target *t, const struct target_place *place,
        const struct remote_target_conf *conf);
uint32_t target_shards(const struct target *t);
void target_status(const struct target *t, struct remote_status *ret_status);

/* ---- position.c */
/* Everything up to `passed` is acknowledged or refused for good; nothing behind `until` was ever
 * sent. */
struct position {
	int64_t passed_ms, until_ms;
};
/* HG_E_NOT_FOUND: there is none; HG_E_INVALID: it is damaged; HG_E_AGAIN: it cannot be said now. */
HG_MUST enum hg_rc position_read(int dir, const char *name, struct position *ret_position);
/* The same in the folder, which is opened if it can be. */
HG_MUST enum hg_rc position_find(
        struct remote_dir *d, const char *name, struct position *ret_position);
/* 0 or -errno. A kill and a loss of power leave the old one or the new one. Waits for the disk. */
HG_MUST int position_write(int dir, const char *name, struct position p);

#endif
