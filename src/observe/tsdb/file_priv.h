/*
 * Files of the store; docs/metrics-store.md has every field. All integers are little-endian.
 *
 *   START-SEQ.hgm    a window: head, frames (series, chunks), and at its end, once it is closed,
 *                    the index and its foot
 *   START-SEQ-N.hgj  segment N of its journal: head, frames of records
 *
 * Whoever reads believes nothing: places, lengths and counts are checked before they are used, and
 * what a checksum refuses is left out, never guessed.
 */
#ifndef OBSERVE_TSDB_FILE_PRIV_H
#define OBSERVE_TSDB_FILE_PRIV_H

#include "observe/tsdb/tsdb_priv.h"
#include "os/disk.h"

#define FILE_HEAD_BYTES  32u
#define FRAME_HEAD_BYTES 16u
#define FOOT_BYTES       64u
#define FILE_VERSION     1u
#define JOURNAL_VERSION  2u           /* 1 is read as well: its expectations are whole numbers */
#define TAIL_BYTES       (64u * 1024) /* chunks are written in frames of about this size */
#define FRAME_MAX        (64u << 20)  /* larger ones are damage */
#define INDEX_HEAD       8u           /* numbers */
#define SEAL_BYTES       (1u << 20)   /* records of a journal's frame, before compression */
#define NAME_BYTES       64

#define MAGIC_WINDOW  0x574d4748u /* "HGMW" */
#define MAGIC_JOURNAL 0x4a4d4748u /* "HGMJ" */
#define MAGIC_FRAME   0x464d4748u /* "HGMF" */
#define MAGIC_RECORDS 0x524d4748u /* "HGMR" */
#define MAGIC_FOOT    0x544d4748u /* "HGMT" */
#define MAGIC_INDEX   0x494d4748u /* "HGMI" */

enum frame_type { FRAME_SERIES = 1, FRAME_CHUNKS = 2, FRAME_INDEX = 3 };

struct file_head {
	uint32_t magic, version;
	int64_t start;
	uint32_t seq;
	uint32_t segment; /* of a journal; windows: minutes of the span */
	uint32_t crc;     /* of what is before it */
	uint32_t zero;
};

/* The payload follows. */
struct frame_head {
	uint32_t magic, type, bytes;
	uint32_t crc; /* of what is before it and, for series, of the payload: chunks and the index
	                 have checksums of their own */
};

/* Body: varint bytes of the runs · varint of how many they are compressed, 0: they are not · the
 * runs · the bits of their values. */
struct records_head {
	uint32_t magic;
	uint32_t bytes;  /* of the body */
	uint32_t number; /* frames of a window are numbered, over all segments: none is missing */
	uint32_t crc;    /* of what is before it and of the body */
};

struct file_foot {
	uint32_t magic, version;
	int64_t min_ms, max_ms;
	uint64_t samples, index_at, index_bytes;
	uint32_t index_crc, zero[2];
	uint32_t crc; /* of what is before it */
};

_Static_assert(sizeof(struct file_head) == FILE_HEAD_BYTES, "layout");
_Static_assert(sizeof(struct frame_head) == FRAME_HEAD_BYTES, "layout");
_Static_assert(sizeof(struct records_head) == FRAME_HEAD_BYTES, "layout");
_Static_assert(sizeof(struct file_foot) == FOOT_BYTES, "layout");

/* ---- window.c: chunks as records */
/* The head of the frame that is being made says how long it is; more may be added later. */
void window_frame_end(struct window *w);
HG_MUST bool record_parse(const uint8_t *p, size_t n, int64_t start, uint64_t place, bool check,
        struct record *ret_record, size_t *ret_bytes);

/* ---- file.c: windows as files. Functions of writing return 0 or -errno and tell health. */
struct file_head file_head_make(uint32_t magic, int64_t start, uint32_t seq, uint32_t segment);
bool file_head_valid(const struct file_head *h, uint32_t magic);
bool frame_head_valid(const struct frame_head *h);
struct frame_head frame_head_make(uint32_t type, const void *payload, size_t bytes);
bool frame_valid(const struct frame_head *h, const uint8_t *payload);
bool file_foot_valid(const struct file_foot *f, uint64_t size);
void window_name(const struct window *w, char to[static NAME_BYTES]);
void segment_name(const struct window *w, uint32_t segment, char to[static NAME_BYTES]);
/* Writes and counts. */
HG_MUST int file_put(struct tsdb *db, int fd, const void *bytes, size_t n, uint64_t at);
/*
 * The same for whole frames, the first FRAME_HEAD_BYTES of each saying at `bytes_at` how many
 * follow: what was written leaves `frames` and *at moves on, so that a disk with little room takes
 * what it can, once. The rest waits, and what is torn of it in the file is cut off: it would take
 * others' room for nothing.
 */
HG_MUST int file_put_frames(
        struct tsdb *db, int fd, struct hg_buf *frames, size_t bytes_at, uint64_t *at);
/* Makes the file when it is not there yet. */
HG_MUST int window_make(struct tsdb *db, struct window *w);
/* Chunks that wait, and series that have no frame yet, go to the file. */
HG_MUST int window_flush(struct tsdb *db, struct window *w);
/* Bytes [from, to) of a file, its name with it, are on the disk. *unsure: a sync failed before. */
HG_MUST int file_sync(struct tsdb *db, int fd, uint64_t from, uint64_t to, bool *unsure);
/* What was written of the window, and names of files. */
HG_MUST int window_sync(struct tsdb *db, struct window *w);
/* The first `bytes` of the file can be read at w->map. */
HG_MUST bool window_map(struct window *w, uint64_t bytes);
void window_unmap(struct window *w);
/* Walks the frames of a file in memory, from its head on; resumes behind damage, which it counts.
 * `fn` false stops. Returns where the last whole frame ended. */
struct frame_at {
	uint32_t type;
	uint64_t place; /* of its head */
	const uint8_t *payload;
	size_t bytes;
};
uint64_t frames_walk(const uint8_t *p, uint64_t size, uint64_t *damaged,
        bool (*fn)(void *arg, const struct frame_at *f), void *arg);
/* Every whole record of a frame of chunks; without `fn` they are only looked at. */
void records_walk(const struct frame_at *f, int64_t start, uint64_t *damaged,
        void (*fn)(void *arg, const struct record *r, uint64_t place), void *arg);
/* Every record of a window that is in the file or waits to be. */
HG_MUST bool window_walk(struct window *w, uint64_t *damaged,
        void (*fn)(void *arg, const struct record *r, uint64_t place), void *arg);
/* Inflates the payload of a frame of series; calls `fn` for each. */
HG_MUST bool series_walk(struct tsdb *db, const struct frame_at *f,
        bool (*fn)(void *arg, uint32_t id, struct labels ls), void *arg);

/* ---- journal.c: the records */
void journal_close(struct journal *j);
/* Room for one more sample, so that journal_add cannot fail. */
HG_MUST bool journal_room(struct journal *j);
void journal_add(struct journal *j, uint32_t id, int64_t t, bool reset,
        const struct codec_step *step, struct journal_coder *coder);
/* A late sample stands for itself. */
HG_MUST bool journal_add_late(struct journal *j, uint32_t id, int64_t t, double v);
/* One more, or one less, open chunk that begins in `segment`. */
HG_MUST bool journal_hold(struct journal *j);
void journal_release(struct journal *j, uint32_t segment);
/* Ends the run, and the byte, that is being made. */
void journal_end_run(struct journal *j);
void journal_end_bits(struct journal *j);
struct journal_series {
	struct codec_state state;
	struct journal_coder coder;
	bool synced; /* the state is known */
};
/* Reads the records of frames. */
struct journal_reader {
	struct journal_series *at; /* by id */
	uint32_t ids, cap;
	uint32_t most; /* ids are below: more are damage, and memory */
	bool no_memory;
	uint8_t shift; /* of what is expected, in this segment */
	/* `reset`: a chunk begins here. False stops. */
	bool (*fn)(void *arg, uint32_t id, int64_t t, double v, bool reset, bool late);
	void *arg;
};
/* A segment of that version begins. */
void journal_reader_segment(struct journal_reader *r, uint32_t version);
HG_MUST bool journal_read(
        struct journal_reader *r, struct hg_str runs, const uint8_t *bits, size_t bit_bytes);

/* ---- coder.c: values in bits */
struct bits_in;
struct bits_out;
void coder_init(struct journal_coder *c);
void coder_put(
        struct bits_out *o, struct journal_coder *c, bool reset, const struct codec_step *step);
HG_MUST bool coder_get(
        struct bits_in *in, struct journal_coder *c, bool *ret_reset, struct codec_step *ret_step);

/* ---- segment.c: journals as files */
/* Makes a frame of what is pending. */
HG_MUST bool journal_seal(struct tsdb *db, struct window *w);
/* All that was appended goes to the kernel; 0 or -errno. */
HG_MUST int journal_write(struct tsdb *db, struct window *w);
/* Ends the segment, of which all frames are written; 0 or -errno. */
HG_MUST int journal_next(struct tsdb *db, struct window *w);
/* Begins a new segment when this one is long, drops those of which every chunk is in the file. */
HG_MUST int journal_turn(struct tsdb *db, struct window *w);
void journal_remove(struct tsdb *db, struct window *w);

/* The parts of a frame's body, inflated into db->scratch when need be. HG_E_INVALID: it is not
 * whole; HG_E_NOMEM. */
HG_MUST enum hg_rc records_open(struct tsdb *db, const uint8_t *body, size_t n,
        struct hg_str *ret_runs, struct hg_str *ret_bits);

/* ---- replay.c */
/* Reads the segments [oldest, segment] of a window's journal into the head. HG_E_INVALID: one of
 * them is there and cannot be read, and nothing was changed on the disk; HG_E_IO, HG_E_NOMEM. */
HG_MUST enum hg_rc journal_replay(struct tsdb *db, struct window *w, struct hg_err *err);

/* ---- recover.c */
HG_MUST enum hg_rc recover_folder(struct tsdb *db, struct hg_err *err);
/* Reads an open window's file: series into the head, chains, what is torn is cut. HG_E_INVALID: it
 * cannot be read; HG_E_NOMEM. */
HG_MUST enum hg_rc recover_window(struct tsdb *db, struct window *w, struct hg_err *err);

/* No series' newest sample is older than what stands in order in a chunk of this open window. */
void recover_newest(struct tsdb *db, struct window *w);

/* ---- index.c, index_read.c */
/* The index of an open window of which everything is in the file; NULL without memory. */
HG_MUST bool index_build(struct tsdb *db, struct window *w, struct hg_buf *to);
/* Looks at an index in memory: everything in it lies within its bounds. */
HG_MUST bool index_valid(const uint8_t *p, size_t n, struct index_view *ret_view);
HG_MUST bool index_chunks(struct window *w, uint32_t id, int64_t from, int64_t to,
        bool (*fn)(void *arg, const struct record *r), void *arg);

/* ---- lifecycle.c */
/* A window that cannot be read today: its files stay as they are, nobody looks at them. */
void lifecycle_aside(struct tsdb *db, struct window *w);
/* A closed window as if it had never been closed: recover_window comes next. */
void lifecycle_open_again(struct window *w);
/* Drops series that no open window knows. */
void lifecycle_sweep(struct tsdb *db);
/* Closes windows that are over; 0 or -errno. */
HG_MUST int lifecycle_close(struct tsdb *db);
/* Bytes of all files. */
uint64_t lifecycle_disk_bytes(const struct tsdb *db);
/* Drops windows that retention does not keep. */
void lifecycle_retention(struct tsdb *db);

#endif
