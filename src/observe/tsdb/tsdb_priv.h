/*
 * The parts of a store and who owns what.
 *
 * struct tsdb       everything; one thread
 * struct head       series that had samples lately: symbols, label sets, postings, open chunks
 * struct window     one file: chunks of one span of time. *Open*: it takes samples, its series are
 *                   the head's, a journal is beside it. *Closed*: it is read by its own index
 * struct catalog    what selecting needs of a head or of an index, the same for both
 *
 * A series has a slot in the head, an id in each window, and a place in the head's order of labels.
 */
#ifndef OBSERVE_TSDB_TSDB_PRIV_H
#define OBSERVE_TSDB_TSDB_PRIV_H

#include "base/siphash.h"
#include "observe/tsdb/codec_priv.h"
#include "observe/tsdb/tsdb.h"

#define TSDB_NONE       UINT32_MAX
#define TSDB_LATE_MAX   32                 /* samples of a series that wait out of order */
#define TSDB_FILES_MAX  16                 /* of one span of time */
#define TSDB_TIME_LIMIT (INT64_C(1) << 60) /* so that differences of differences fit */
#define TSDB_AHEAD_MS   (10 * 60 * 1000)
#define TSDB_IDS_MAX    (1u << 28)          /* series of a window; more are damage */
#define TSDB_LATE_CHAIN (UINT64_C(1) << 63) /* in window.last: a chunk of late samples is there */

/* ------------------------------------------------------------------ head */

struct symbol {
	uint32_t refs, n, hash;
	char text[];
};

/* Texts that are there once; the number of one that nobody names any more is used again. */
struct symbols {
	struct symbol **at;
	uint32_t n, cap, free_list; /* free_list: 1 + a number, chained through `links` */
	uint32_t *links;
	uint32_t *slots, slot_cap, used; /* open addressing: 1 + number */
};

/* Series with one value of a label, in no order. */
struct posting {
	uint32_t name, value;
	uint32_t n, cap;
	uint32_t *slots;
};

/* The postings of one label name. */
struct head_name {
	uint32_t name;
	uint32_t n, cap;
	uint32_t *postings;
};

struct late {
	struct window *window;
	uint32_t n, segment;
	int64_t t[TSDB_LATE_MAX];
	double v[TSDB_LATE_MAX];
};

/* How a journal writes the values of a series: learns how far off expectations are. */
struct journal_coder {
	uint32_t mean;       /* of the zigzag differences, in sixteenths */
	uint8_t lead, width; /* of the last XOR that named them; width 0: none yet */
	bool noisy;          /* the last value was an XOR */
	/* Writer only: the frame that values since the last misfit would need, and how many bits
	 * they paid more than that. */
	uint8_t near_lead, near_trail, waste;
	uint32_t segment; /* 1 + the segment it learned in */
};

struct series {
	uint32_t *pairs; /* name, value: symbols, by the order of names */
	struct late *late;
	struct window *window; /* of the open chunk; NULL: none */
	struct stream open;
	struct journal_coder coder;
	uint64_t last_bits;
	int64_t last_t; /* TSDB_NO_MIN: never had one */
	uint32_t hash, generation, app, rank;
	uint32_t segment;  /* of the journal, where the open chunk begins */
	uint16_t n, limit; /* labels; samples at which the open chunk ends */
	bool used, staggered;
	bool last_known; /* last_bits; not after a start, when a chunk had the last sample */
	bool last_none;  /* last_t is no sample's time: only what is newer is in order */
};

struct app {
	uint32_t symbol, series;     /* APP_NAMELESS: series without app and job; or APP_OWN */
	uint64_t refused, looked_at; /* how many were refused, and when `worst` was found */
	uint32_t worst, worst_values;
};
#define APP_NAMELESS TSDB_NONE
#define APP_OWN      (TSDB_NONE - 1) /* Headgate's own series: no quota */

struct head {
	struct symbols symbols;
	struct series *series;
	uint32_t n, cap, live; /* slots; those in use */
	uint32_t *free_slots, free_n, free_cap;
	uint32_t *table, table_cap; /* open addressing: 1 + slot */
	struct posting *postings;
	uint32_t posting_n, posting_cap;
	struct head_name *names;
	uint32_t name_n, name_cap;
	/* Open addressing: name << 32 | value; names have the value TSDB_NONE, and apps the name
	 * TSDB_NONE with their symbol. */
	uint64_t *keys;
	uint32_t *key_at, key_cap, key_n;
	uint32_t *order, ordered, order_cap; /* slots by labels, their place is series.rank */
	uint32_t *fresh, fresh_n, fresh_cap; /* slots that have no place yet */
	struct app *apps;
	uint32_t app_n, app_cap;
	uint64_t held_bytes; /* of open chunks and late samples */
	uint8_t seed[16];
};

/* ------------------------------------------------------------------ windows */

/* A column of one sample each of series with neighbouring ids, or several of one series. */
struct journal_run {
	int64_t t0, t, dt;
	uint32_t id, n;
	size_t at; /* of its head in `pending` */
	bool column;
};

struct journal_segment {
	uint64_t bytes;
	uint32_t open; /* chunks that begin in it and are in no file yet */
};

struct journal {
	int fd;
	uint32_t segment, oldest;   /* numbers; `segment` is written to */
	struct journal_segment *at; /* of oldest + i */
	uint32_t cap;
	uint64_t size;   /* of the current segment */
	bool unsure;     /* a sync of it failed */
	int64_t first_t; /* of the current segment */
	int64_t end_t;   /* of the frame that is being made */
	uint32_t end_id;
	struct hg_buf pending; /* of the frame that is being made: runs and their times … */
	struct hg_buf bits;    /* … and values */
	uint64_t acc;          /* bits that are no whole byte yet */
	unsigned have;
	uint32_t number;      /* of the next frame */
	struct hg_buf sealed; /* frames that wait for the disk */
	struct journal_run run;
};

struct index_view {
	const uint8_t *p; /* the index in the map */
	uint64_t at, n;   /* where it is in the file */
	uint32_t crc;
	uint32_t symbols, series, names, values; /* how many */
	const uint32_t *symbol_at, *series_at;   /* one more than there are */
	const uint32_t *name_at, *value_at;      /* pairs, triples */
	const uint8_t *text, *entries, *postings;
	uint32_t text_n, entries_n, postings_n;
};

struct window {
	int64_t start, end; /* start ≤ t < end */
	uint32_t seq;       /* files of one span are numbered */
	uint32_t pins;      /* selections that read it */
	bool closed, gone;
	bool broken, checked; /* closed: the index is damaged; it was looked at */
	uint32_t idle;        /* commits since a sample came */
	bool has_journal;     /* found at the start */
	bool rebuild;         /* closed: the next commit makes the index anew */
	int64_t min_ms, max_ms;
	uint64_t samples;
	int fd; /* -1: memory only, or not made yet */
	/* Bytes [0, written) are in the file, [written, size) in `tail`. */
	uint64_t size, written, synced;
	bool unsure; /* a sync failed */
	struct hg_buf tail;
	size_t frame_at; /* in the tail: head of the frame that takes the next chunk */
	const uint8_t *map;
	size_t map_bytes;
	/* open: */
	uint32_t *id_of, id_of_cap; /* by slot: 1 + id */
	uint32_t *slot_of;
	uint64_t *last; /* by id: place of its last chunk, 0 none, with TSDB_LATE_CHAIN */
	uint32_t ids, ids_cap, ids_written;
	struct journal journal;
	/* closed: */
	struct index_view index;
};

/* A chunk as it stands in a window. */
struct record {
	uint32_t id;
	bool late;
	int64_t min_ms, max_ms;
	uint64_t before; /* place of the one before it, 0 none */
	struct hg_str payload;
};

struct tsdb {
	struct tsdb_options o;
	struct head head;
	struct window **windows; /* by start, then seq */
	uint32_t window_n, window_cap;
	int dir, lock;
	bool names_unsynced; /* files were made since the folder was synced */
	int64_t max_ms;      /* newest sample */
	uint32_t selections;
	struct tsdb_stats stats;
	struct tsdb_health health;
	void *zstd, *unzstd; /* contexts, made when first used */
	struct hg_buf scratch;
	bool sweep; /* series may have come out of use */
	bool replaying;
	bool full;      /* the cap on memory is reached: no more series */
	bool choked;    /* and the disk takes nothing: no more samples */
	int64_t now_ms; /* the clock at the last commit; TSDB_NO_MIN without one */
};

/* The clock at the last commit, or without one the newest sample's time. */
static inline int64_t tsdb_now(const struct tsdb *db)
{
	return db->now_ms != TSDB_NO_MIN ? db->now_ms : db->max_ms;
}

/* ---- head.c, series.c */
void head_fini(struct head *h);
/* The slot, or TSDB_NONE. */
uint32_t head_find(const struct head *h, struct labels ls);
/* Makes the series; TSDB_NONE without memory (nothing was changed). */
HG_MUST uint32_t head_make(struct head *h, struct labels ls);
uint32_t head_app(struct head *h, struct labels ls);
/* Drops every series for which `unused` says so. */
void head_sweep(struct head *h, bool (*unused)(void *arg, uint32_t slot), void *arg);
/* Gives every series its place in the order of labels. */
HG_MUST bool head_rank(struct head *h);
struct hg_str head_text(const struct head *h, uint32_t symbol);
uint64_t head_memory(const struct head *h);
/* Late samples of a series, which has some, go. */
void head_late_free(struct head *h, struct series *s);
/* The label name with the most values among the series of an app. */
uint32_t head_worst(const struct head *h, uint32_t app, uint32_t *ret_values);
const struct posting *head_posting(const struct head *h, uint32_t name, uint32_t value);
const struct head_name *head_name(const struct head *h, uint32_t name);
uint32_t head_symbol(const struct head *h, struct hg_str text);

/* ---- symbols.c */
uint32_t symbols_find(const struct symbols *s, struct hg_str text, uint32_t hash);
HG_MUST uint32_t symbols_take(struct symbols *s, struct hg_str text, uint32_t hash);
void symbols_give(struct symbols *s, uint32_t number);
void symbols_fini(struct symbols *s);

/* ---- window.c */
HG_MUST struct window *window_new(int64_t start, int64_t end, uint32_t seq);
void window_free(struct window *w);
/* What only an open window has: which series is which. */
void window_ids_free(struct window *w);
/* The id of a slot, made when needed; TSDB_NONE without memory. */
HG_MUST uint32_t window_id(struct window *w, uint32_t slot);
uint32_t window_id_have(const struct window *w, uint32_t slot);
/* Writes a chunk into the tail. */
HG_MUST bool window_record(
        struct window *w, uint32_t id, bool late, const int64_t *t, const double *v, uint32_t n);
/* The chunk at `place`; false when it fails its checksum or is none. */
HG_MUST bool window_at(struct window *w, uint64_t place, struct record *ret_record);
uint64_t window_memory(const struct window *w);

/* ---- append.c */
/* Ends the open chunk of a series. */
HG_MUST bool append_flush(struct tsdb *db, uint32_t slot);
HG_MUST bool append_flush_late(struct tsdb *db, uint32_t slot);
/* The sample after, or behind, the newest of a series. Replaying takes them too. */
HG_MUST enum hg_rc append_next(struct tsdb *db, uint32_t slot, int64_t t, double v);
HG_MUST enum hg_rc append_late(struct tsdb *db, uint32_t slot, int64_t t, double v);
/* Finds or makes the open window of a time; NULL without memory. */
struct window *append_window(struct tsdb *db, int64_t t);
HG_MUST bool tsdb_window_insert(struct tsdb *db, struct window *w);
uint64_t tsdb_memory(const struct tsdb *db);
/* Whether the cap is reached, into db->full. */
void tsdb_memory_look(struct tsdb *db);

/* ------------------------------------------------------------------ selecting */

/*
 * What selecting asks of a head or of the index of a closed window. Symbols and series are numbers
 * of its own.
 */
struct catalog {
	const struct catalog_ops *ops;
	void *self;
};
struct catalog_ops {
	uint32_t (*symbol)(void *self, struct hg_str text); /* TSDB_NONE: not there */
	struct hg_str (*text)(void *self, uint32_t symbol);
	uint32_t (*symbols)(void *self); /* numbers are below this */
	uint32_t (*series)(void *self);
	/* name, value, name, …; returns how many labels, 0 for a number that is no series. `room`
	 * has 2 * LABELS_MAX places and may be used. */
	uint32_t (*pairs)(void *self, uint32_t series, uint32_t *room, const uint32_t **ret_pairs);
	/* The i-th value of a name; false behind the last. */
	bool (*value)(void *self, uint32_t name, uint32_t i, uint32_t *ret_symbol);
	/* How many series, and which: `to` may be NULL. */
	uint32_t (*posting)(void *self, uint32_t name, uint32_t value, uint32_t *to);
	bool (*name)(void *self, uint32_t i, uint32_t *ret_symbol);
};
extern const struct catalog_ops head_catalog;  /* self: struct head */
extern const struct catalog_ops index_catalog; /* self: struct window */

/* Bits of the series that all matchers match; the caller frees them. HG_E_NOMEM; HG_E_TOO_LARGE
 * when `looks` values and series do not suffice to find them. */
HG_MUST enum hg_rc catalog_select(struct catalog c, const struct label_matcher *m, uint32_t n,
        uint64_t looks, uint64_t **ret_bits);
/* Index of a closed window is mapped, checked and readable. */
HG_MUST bool index_ready(struct tsdb *db, struct window *w);
/* Calls `fn` for each chunk of a series that touches the span, oldest first if in order. */
HG_MUST bool window_chunks(struct tsdb *db, struct window *w, uint32_t id, int64_t from, int64_t to,
        bool (*fn)(void *arg, const struct record *r), void *arg);

/* ---- grow: arrays that double; `*cap` counts items. */
HG_MUST bool tsdb_grow(void *array, uint32_t *cap, uint32_t want, size_t item);

#endif
