/*
 * Inside of the log store: the app with its segments and the block being collected, the source
 * with its spool file. One mover for each: app.c collects and commits, segment.c owns the files of
 * an app, spool.c the sources, store.c time, search.c only reads.
 */
#ifndef OBSERVE_LOGS_LOGS_PRIV_H
#define OBSERVE_LOGS_LOGS_PRIV_H

#include "base/list.h"
#include "base/map.h"
#include "observe/logs/block_priv.h"

#define LOGS_APPS_MAX       1024u
#define LOGS_SOURCES_MAX    BLOCK_LABELS_MAX
#define LOGS_SEGMENTS_MAX   4096u /* of an app; more and the oldest goes */
#define LOGS_SEGMENT_BLOCKS 65536u
#define LOGS_READ_BYTES     (2 * LOGS_LINE_MAX)
#define LOGS_LIVE_MAX       (4u * 1024 * 1024) /* of all blocks being collected */
#define LOGS_DECODE_MAX     (8u * 1024 * 1024) /* of all searches */
#define LOGS_DAY_NS         (86400ull * 1000000000)

struct log_segment {
	uint64_t first_ns, first_seq; /* its name */
	uint64_t size;
};

/* The block that is being collected: searched as it is. */
struct log_live {
	char *text;
	uint32_t text_size, text_cap;
	struct block_item *items;
	uint32_t count, items_cap;
	struct block_label *labels; /* of sources with lines in it */
	uint32_t label_count, labels_cap;
	uint64_t min_seq;
	uint64_t generation; /* moves when the block is committed */
	uint64_t since_ms;   /* monotonic, of the first entry */
};

struct log_app {
	struct hg_list node;
	char name[LOGS_APP_MAX];
	int dir;
	struct log_segment *segments; /* oldest first; the last one is written to */
	uint32_t segment_count, segment_cap;
	int active_fd; /* of the last segment, -1: the next block starts a new one */
	uint32_t active_blocks;
	bool unsynced;
	uint64_t next_seq, last_ns;
	uint64_t lines[LOGS_LEVELS]; /* taken since the start, by enum hg_level */
	struct log_live live;
	struct hg_list sources;
	uint64_t keep_ms, max_bytes;
	/* Offsets of the last block whose spool file was not there at the start. */
	struct block_label *gone;
	uint32_t gone_count;
};

struct logs_source {
	struct hg_list node; /* in its app */
	struct log_app *app;
	struct logs_label label;
	int pipe_fd, spool_fd;
	uint64_t size;      /* of the spool file */
	uint64_t parsed;    /* collected up to here */
	uint64_t written;   /* in a block up to here */
	uint64_t committed; /* in a durable block up to here */
	uint64_t punched;   /* given back up to here */
	bool in_line;       /* `parsed` is inside a line that was split */
	bool orphan;        /* found in the spool, not opened yet */
	bool ended;
	bool recovered; /* lines up to `recovered_to` were there before this start */
	uint64_t recovered_to, recovered_ns;
	bool dropping;            /* no room: lines are thrown away */
	bool drop_to_line_end;    /* the rest of a line whose beginning was thrown away */
	uint64_t break_at;        /* a line ends here although no line feed follows; 0: nowhere */
	uint64_t dropped;         /* lines, not reported yet */
	uint32_t live_label;      /* index in live.labels … */
	uint64_t live_generation; /* … when it is of this generation */
};

struct logs {
	struct logs_options o;
	int dir, spool_dir;
	struct hg_list apps;
	uint32_t app_count, source_count;
	struct ZSTD_CCtx_s *cctx;
	struct ZSTD_DCtx_s *dctx;
	char *read_buf;      /* LOGS_READ_BYTES */
	char *raw, *encoded; /* scratch of commit */
	size_t raw_cap, encoded_cap;
	size_t live_bytes, decode_bytes;
	uint64_t now_ms; /* of the last tick */
	uint64_t synced_ms, retained_ms, relieved_ms;
	struct logs_stats stats;
};

/* app.c */
/* Finds or loads; NULL for a bad name, too many apps, or no memory (ret_rc says). */
struct log_app *app_get(struct logs *l, struct hg_str name, bool create, enum hg_rc *ret_rc);
void app_free(struct logs *l, struct log_app *a);
HG_MUST bool app_name_valid(struct hg_str name);
/* Adds a line; commits first when the block is full. HG_E_IO or HG_E_NOMEM: not added. */
HG_MUST enum hg_rc app_add(struct logs *l, struct log_app *a, struct logs_source *s,
        struct hg_str text, unsigned flags, uint64_t ns);
/* Writes the collected block; HG_E_IO leaves everything as it was. */
HG_MUST enum hg_rc app_commit(struct logs *l, struct log_app *a);
/* Makes written blocks durable and gives spool back. */
void app_sync(struct logs *l, struct log_app *a);
/* Frees the room of an empty live block. */
void app_live_trim(struct logs *l, struct log_app *a);
uint64_t app_bytes(const struct log_app *a);

/* segment.c */
/* Loads the list and the state of the newest blocks: next_seq, last_ns, offsets into `gone`. */
HG_MUST enum hg_rc segments_load(struct logs *l, struct log_app *a);
/* Appends an encoded block to the active segment, starting a new one where due. */
HG_MUST enum hg_rc segment_append(struct logs *l, struct log_app *a, const char *bytes, size_t n,
        uint64_t first_ns, uint64_t first_seq);
void segment_sync(struct log_app *a);
/* Removes the `n` oldest. */
void segments_drop(struct logs *l, struct log_app *a, uint32_t n);
HG_MUST int segment_open(const struct log_app *a, const struct log_segment *seg);
/*
 * The next valid block head at or after *at (≤ size): moves *at there and reads head and labels
 * into `buf` (BLOCK_HEAD_MAX bytes at most are needed; grows it). False: there is none.
 * *ret_skipped counts damaged places passed over.
 */
HG_MUST bool segment_next(int fd, uint64_t size, uint64_t *at, struct hg_buf *buf,
        struct block_head *ret_head, uint64_t *ret_skipped);

/* spool.c */
HG_MUST enum hg_rc spool_scan(struct logs *l);
/* Cuts what is in the spool into lines. */
void spool_parse(struct logs *l, struct logs_source *s);
/* Removes the file of a source that is over and all committed; true: `s` is freed. */
bool spool_reap(struct logs *l, struct logs_source *s);
void spool_punch(struct logs_source *s);
void source_free(struct logs *l, struct logs_source *s);

/* volume.c */
void volume_add(struct logs_volume *v, uint64_t ns, enum hg_level level, uint64_t lines);
/* The block's head says how many of its lines are wanted, and all of them fall into one bucket:
 * adds them. False: the lines themselves must be looked at. Pure but for `v`. */
HG_MUST bool volume_add_head(struct logs_volume *v, const struct logs_query *q,
        const struct block_head *h, const char *labels);

/* store.c */
/* Drops the oldest segments of the biggest app until 95 % is left; false: nothing to drop, or it
 * was tried less than a second ago. */
bool store_relieve(struct logs *l);

#endif
