/*
 * The log store: bytes of replicas' pipes in, lines with time, level and labels out.
 *
 * Bytes are moved from a pipe into a spool file by the kernel (splice), cut into lines, collected
 * into compressed blocks of checked segments, one series of segments an app; the block carries how
 * far the spool was read, so that a kill at any instruction neither loses a line nor doubles one.
 * The store owns its folder, the pipes it was given and everything it hands out (lines of a search
 * are valid until its next call). One thread. It never blocks a writer for want of room: without
 * room it drops the oldest segments, then lines, and counts and reports what it dropped.
 * Files: spool/<app>.<release>.<replica>.<incarnation>.{out,err} and <app>/<first ns>-<seq>.hgl.
 */
#ifndef OBSERVE_LOGS_LOGS_H
#define OBSERVE_LOGS_LOGS_H

#include "base/err.h"
#include "base/log.h"

struct logs;
struct logs_source; /* one stream of one replica */
struct logs_search;

#define LOGS_APP_MAX   64           /* with the closing zero */
#define LOGS_LINE_MAX  (64u * 1024) /* longer lines are split and marked */
#define LOGS_GREP_MAX  256
#define LOGS_NO_EVENT  INT64_MIN
#define LOGS_KEEP_MS   (30ull * 24 * 3600 * 1000) /* default retention */
#define LOGS_MAX_BYTES (10ull << 30)

enum logs_stream { LOGS_STDOUT, LOGS_STDERR };

/* Names are [a-z0-9-], zero-terminated; anything else is refused. */
struct logs_label {
	char app[LOGS_APP_MAX];
	uint32_t release, replica, incarnation;
	enum logs_stream stream;
};

struct logs_options {
	const char *dir;           /* DATA/logs; its parent must exist */
	uint64_t (*wall_ns)(void); /* Unix time; arrival times never run backwards within an app */
	uint32_t block_bytes;      /* text in a block; 0: 256 KiB */
	uint64_t segment_bytes;    /* 0: 64 MiB, less on small disks */
	uint32_t block_ms;         /* a block is written at the latest after; 0: 1000 */
	uint32_t trickle_ms; /* … when it is below 32 KiB; 0: 3000 (the spool has the bytes) */
};

/* Cuts a torn tail, resumes every spool from the last block. HG_E_IO, HG_E_NOMEM. */
HG_MUST enum hg_rc logs_open(
        const struct logs_options *o, struct logs **ret_logs, struct hg_err *err);
/* Commits what it can, durably, and frees everything. */
void logs_close(struct logs *l);
/*
 * Time's work: due blocks, one sync a second, holes in the spool, finished spools, retention.
 * `now_ms`: monotonic. To be called at least every 500 ms.
 */
void logs_tick(struct logs *l, uint64_t now_ms);
/* Everything read so far is durable when this returns HG_OK; HG_E_IO: it stays in the spool. */
HG_MUST enum hg_rc logs_flush(struct logs *l);

/*
 * Reads `pipe_fd` (taken over, also on failure; non-blocking) for this label from now on, into
 * the spool file that may be there already. A second open of a label replaces the pipe.
 */
HG_MUST enum hg_rc logs_source_open(struct logs *l, const struct logs_label *label, int pipe_fd,
        struct logs_source **ret_source);
enum logs_drained {
	LOGS_MORE,   /* call again soon */
	LOGS_EMPTY,  /* nothing there at the moment */
	LOGS_CLOSED, /* no writer is left */
};
/* Moves what the pipe holds, at most about 1 MiB. */
enum logs_drained logs_source_drain(struct logs *l, struct logs_source *s);
/* The writer ended: reads until the pipe is empty, closes it. The last line may lack its line
 * feed. `s` is gone for the caller; its spool file goes once a block has it all. */
void logs_source_end(struct logs *l, struct logs_source *s);
/* After a start: sources found in the spool that nobody opened again are over. */
void logs_orphans_end(struct logs *l);

/* Kept for `keep_ms` and up to `max_bytes` on disk (whole segments go, oldest first); remembered
 * over restarts. HG_E_INVALID: a bad name; HG_E_IO. */
HG_MUST enum hg_rc logs_retention_set(
        struct logs *l, struct hg_str app, uint64_t keep_ms, uint64_t max_bytes);

/* How many of `n` segments, oldest first, are to go. Pure. A segment ends where the next begins;
 * the newest is never dropped. */
struct logs_extent {
	uint64_t first_ns, bytes;
};
size_t logs_retention_decide(const struct logs_extent *seg, size_t n, uint64_t keep_ms,
        uint64_t max_bytes, uint64_t now_ns);

struct logs_stats {
	uint64_t lines, bytes;     /* read since the start */
	uint64_t dropped;          /* lines dropped for want of room */
	uint64_t segments_dropped; /* by retention or for want of room */
	uint64_t corrupt_blocks;   /* met and skipped */
	uint64_t segments, disk_bytes, apps, sources;
	uint64_t spool_bytes;  /* read from pipes and not in a block yet */
	uint64_t search_bytes; /* decompressed for searches */
};
void logs_stats(const struct logs *l, struct logs_stats *ret_stats);
#define LOGS_LEVELS (HG_ERROR + 1)
/* Each app with the lines taken of it since the store was opened, by enum hg_level. */
void logs_lines_each(const struct logs *l,
        void (*each)(void *arg, const char *app, const uint64_t lines[LOGS_LEVELS]), void *arg);
/* Grows with every line: whoever follows looks whether it moved. */
uint64_t logs_lines(const struct logs *l);

/* What to look for. Zero fields do not restrict. */
struct logs_query {
	struct hg_str app;           /* empty: all apps, merged by arrival */
	uint64_t since_ns, until_ns; /* arrival: since ≤ t < until */
	enum hg_level least;         /* HG_DEBUG: all */
	uint32_t release, replica;
	bool has_replica, has_stream; /* replica numbers may be 0 */
	enum logs_stream stream;
	struct hg_str grep; /* substring of the line, ≤ LOGS_GREP_MAX bytes */
	bool ignore_case;   /* ASCII letters only */
	bool newest_first;
	/* Only lines strictly beyond this place in the asked order. */
	bool has_cursor;
	uint64_t cursor_ns, cursor_seq;
	struct hg_str cursor_app;
};

enum logs_flag {
	LOGS_SPLIT = 1,     /* the line goes on in the next entry of its stream */
	LOGS_CONTINUED = 2, /* this is not its beginning */
	LOGS_NOTE = 4,      /* said by the store itself */
};

struct logs_entry {
	uint64_t ts_ns;   /* arrival */
	int64_t event_ns; /* time the line itself names, or LOGS_NO_EVENT */
	uint64_t seq;     /* counts from 1 within the app */
	const char *app;
	uint32_t release, replica;
	enum logs_stream stream;
	enum hg_level level;
	unsigned flags; /* enum logs_flag */
	struct hg_str text;
};

/* Copies what it needs. HG_E_NOMEM also when too much is being decoded at the moment;
 * HG_E_INVALID: grep or app too long. */
HG_MUST enum hg_rc logs_search_new(
        struct logs *l, const struct logs_query *q, struct logs_search **ret_search);
void logs_search_free(struct logs_search *s);
enum logs_found {
	LOGS_FOUND,
	LOGS_WORKING, /* *blocks is used up: call again, after looking at the pipes */
	LOGS_NO_MORE, /* oldest-first searches may be asked again after new lines came */
};
/* `blocks`: how many blocks may be looked at before LOGS_WORKING; counted down. */
enum logs_found logs_search_next(
        struct logs_search *s, unsigned *blocks, struct logs_entry *ret_entry);

#define LOGS_BUCKETS_MAX 240u
/* How many lines of each level there were in each of `buckets` equal parts of a span. */
struct logs_volume {
	uint64_t start_ns, step_ns; /* step_ns > 0 */
	uint32_t buckets;           /* ≤ LOGS_BUCKETS_MAX */
	uint64_t lines[LOGS_BUCKETS_MAX][LOGS_LEVELS];
};
/*
 * Adds what the search would find to `v`; `s`: oldest first, without a cursor, and nothing was
 * taken from it. A block that lies in one bucket is counted by its head alone, unless text is
 * looked for or only some of its sources are wanted. LOGS_WORKING as above, with the same `v`
 * then; LOGS_NO_MORE: everything was counted.
 */
enum logs_found logs_search_count(struct logs_search *s, unsigned *blocks, struct logs_volume *v);
/* {schema, start_ms, step_ms, n, debug: […], info: […], warn: […], error: […]} */
void logs_volume_json(const struct logs_volume *v, struct hg_buf *to);

/* One object, without line feed: ts seq app release replica stream level text [event_ts] [part]
 * [note] cursor. Bytes that are not UTF-8 become U+FFFD. */
void logs_entry_json(const struct logs_entry *e, struct hg_buf *to);

/* The reader of blocks alone, for tests: the bytes of a block whose lines are all well-formed. */
HG_MUST bool logs_block_valid(struct hg_str bytes);

#endif
