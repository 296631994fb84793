/*
 * Files of the store; docs/metrics-store.md has every field. All integers are little-endian.
 *
 *   START-SEQ.hgm    a window: head, frames (series, chunks), and at its end, once it is closed,
 *                    the index and its foot
 *   START-SEQ-N.hgj  segment N of its journal: head, frames of records
 *   lock             held as long as the store is open
 */
#ifndef OBSERVE_TSDB_FILE_PRIV_H
#define OBSERVE_TSDB_FILE_PRIV_H

#include "observe/tsdb/tsdb_priv.h"
#include "os/disk.h"

#define FILE_HEAD_BYTES  32u
#define FRAME_HEAD_BYTES 16u
#define FOOT_BYTES       64u
#define FILE_VERSION     1u
#define TAIL_BYTES       (64u * 1024) /* chunks are written in frames of about this size */
#define FRAME_MAX        (64u << 20)  /* larger ones are damage */

enum frame_type { FRAME_SERIES = 1, FRAME_CHUNKS = 2, FRAME_INDEX = 3 };

/* Checks the whole of window files and journal segments: what fuzzing calls. */
HG_MUST bool record_parse(const uint8_t *p, size_t n, int64_t start, uint64_t place, bool check,
        struct record *ret_record, size_t *ret_bytes);
/* The first `bytes` of the file can be read at w->map. */
HG_MUST bool window_map(struct window *w, uint64_t bytes);
void window_unmap(struct window *w);

/* ---- journal.c */
void journal_close(struct journal *j);
/* Room for one more sample, so that journal_add cannot fail. */
HG_MUST bool journal_room(struct journal *j);
void journal_add(
        struct journal *j, uint32_t id, int64_t t, bool reset, const uint8_t *token, size_t bytes);
/* A late sample stands for itself. */
HG_MUST bool journal_add_late(struct journal *j, uint32_t id, int64_t t, double v);
/* One more, or one less, open chunk that begins in `segment`. */
HG_MUST bool journal_hold(struct journal *j);
void journal_release(struct journal *j, uint32_t segment);

/* Ends the run that is being made, so that `pending` is whole. */
void journal_end_run(struct journal *j);

/* ---- lifecycle.c */
/* Drops series that no open window knows. */
void lifecycle_sweep(struct tsdb *db);
/* Drops windows that retention does not keep. */
void lifecycle_retention(struct tsdb *db);

#endif
