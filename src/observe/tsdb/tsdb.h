/*
 * The metrics store: samples (time in milliseconds, a double) of series (label sets) in; columns
 * of the series that matchers select out.
 *
 * One thread owns a store and everything it hands out. Files: one per window of time (two hours),
 * in which compressed chunks, the series' names and, when it is over, an index stand; beside it a
 * journal of what is in no chunk yet. What tsdb_commit was called for survives a kill at any
 * moment; a loss of power may cost what the kernel had not written (it is told to write it when a
 * journal ends and when a window closes). docs/metrics-store.md has the format and its guarantees.
 *
 * Without `dir` everything stays in memory: for tests and for queries over samples of one's own.
 */
#ifndef OBSERVE_TSDB_TSDB_H
#define OBSERVE_TSDB_TSDB_H

#include "base/err.h"
#include "observe/tsdb/labels.h"

struct tsdb;
struct tsdb_selection;

typedef uint64_t tsdb_ref; /* a series, as long as the store is open; 0 is none */

#define TSDB_NO_MIN INT64_MIN
#define TSDB_NO_MAX INT64_MAX

struct tsdb_options {
	const char *dir;         /* DATA/metrics; its parent must exist. NULL: memory only */
	int64_t window_ms;       /* 0: two hours */
	int64_t keep_ms;         /* samples older than this go, window by window; 0: for ever */
	uint64_t keep_bytes;     /* files together; the oldest windows go. 0: no limit */
	uint64_t memory_bytes;   /* cap on what the store allocates; 0: 256 MiB */
	uint32_t series_per_app; /* quota; 0: none. By the label app, else job; those named
	                            headgate_… without a job count to none */
	int64_t out_of_order_ms; /* how far behind a series' newest sample one may be; 0: 10
	                            minutes; < 0: none */
	int64_t (*now_ms)(void); /* Unix time: samples over 10 minutes ahead are refused, and what
	                            is old is measured by it. NULL: by the newest sample */
	uint32_t chunk_samples;  /* 0: 128; for tests */
	uint64_t journal_bytes;  /* a journal's segment ends at; 0: 2 MiB, more with many series */
};

/*
 * Opens or makes the folder, cuts torn tails, replays journals (in memory bounded by what was in no
 * chunk). HG_E_IO, HG_E_NOMEM, HG_E_DENIED (somebody else has it open).
 */
HG_MUST enum hg_rc tsdb_open(
        const struct tsdb_options *o, struct tsdb **ret_db, struct hg_err *err);
/* Commits and frees everything; selections must have been freed. NULL is fine. */
void tsdb_close(struct tsdb *db);

/* Other limits from now on: keep_ms, keep_bytes, memory_bytes and series_per_app of `o`; all else
 * in it is not looked at. What is too old or too much goes with the next commits. */
void tsdb_limits(struct tsdb *db, const struct tsdb_options *o);

/* The marker that a series has ended: a NaN of its own. */
#define TSDB_STALE_BITS 0x7ff0000000000002ull

static inline double tsdb_stale(void)
{
	uint64_t bits = TSDB_STALE_BITS;
	double v;
	memcpy(&v, &bits, sizeof v);
	return v;
}

static inline bool tsdb_is_stale(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof bits);
	return bits == TSDB_STALE_BITS;
}

/*
 * Finds or makes a series. The labels are copied. The ref stays good until the series had no sample
 * for two windows; then tsdb_append says HG_E_NOT_FOUND, and the series is to be asked for again.
 * HG_E_TSDB_QUOTA: the app has its series, `err` names the label with the most values;
 * HG_E_TSDB_FULL: the cap on memory; HG_E_INVALID: the set is not in order (labels_valid) or empty.
 */
HG_MUST enum hg_rc tsdb_series(
        struct tsdb *db, struct labels ls, tsdb_ref *ret_ref, struct hg_err *err);

/*
 * One sample. Cheap; nothing is written before tsdb_commit, but queries see it at once. Any double
 * comes back bit by bit. Times of a series rise; a sample as old as the newest with the same bits
 * is fine and not kept twice. Refused and counted (tsdb_stats):
 * HG_E_TSDB_DUPLICATE (same time, other value), HG_E_TSDB_ORDER (older than out_of_order_ms
 * allows, or than retention), HG_E_TSDB_AHEAD (in the future), HG_E_TSDB_FULL (cap on memory),
 * HG_E_NOT_FOUND (no such series any more).
 */
HG_MUST enum hg_rc tsdb_append(struct tsdb *db, tsdb_ref ref, int64_t t_ms, double v);
/* The newest sample's time, TSDB_NO_MIN when there is none. */
int64_t tsdb_last_ms(const struct tsdb *db, tsdb_ref ref);

/* The first moment from t_ms on at which there may be a sample: behind a span without any a later
 * one. TSDB_NO_MAX: nothing is there from t_ms on. */
int64_t tsdb_next_ms(const struct tsdb *db, int64_t t_ms);

/*
 * Hands everything appended to the kernel: call it once a second, or after each scrape. Also closes
 * windows that are over, drops what retention does not keep, and tries again what the disk refused.
 * HG_E_IO, HG_E_TSDB_DISK: the samples stay in memory (queries see them) and are written by a later
 * call; tsdb_health has the reason.
 */
HG_MUST enum hg_rc tsdb_commit(struct tsdb *db);

enum tsdb_state {
	TSDB_WELL,
	TSDB_DISK_FULL,   /* samples are in memory only, within the cap */
	TSDB_DISK_BROKEN, /* the same, for another error */
	TSDB_MEMORY_FULL, /* new series or samples are refused */
};
struct tsdb_health {
	enum tsdb_state state;
	int error;         /* errno of the disk, or 0 */
	int64_t since_ms;  /* newest sample's time when it began */
	char message[160]; /* for a person; "" when well */
};
void tsdb_health(const struct tsdb *db, struct tsdb_health *ret_health);

struct tsdb_stats {
	uint64_t series;                          /* in memory: had a sample lately */
	uint64_t samples;                         /* taken since the start */
	uint64_t duplicates;                      /* refused: same time, other value */
	uint64_t repeated;                        /* same time, same value: not kept twice */
	uint64_t out_of_order;                    /* taken although late */
	uint64_t too_old, ahead;                  /* refused */
	uint64_t refused_series, refused_samples; /* by quota or cap */
	uint64_t memory_bytes;                    /* allocated by the store */
	uint64_t disk_bytes;                      /* files now */
	uint64_t written_bytes;   /* handed to the kernel since the start: journals, chunks, all */
	uint64_t windows;         /* files of windows */
	uint64_t dropped_windows; /* by retention */
	uint64_t damaged;         /* frames, chunks or indexes that failed their checksum */
	uint64_t replayed;        /* samples taken from journals at the start */
	int64_t min_ms, max_ms;   /* of what is kept; TSDB_NO_MAX, TSDB_NO_MIN when nothing is */
};
void tsdb_stats(const struct tsdb *db, struct tsdb_stats *ret_stats);

/* Grown arrays; {0} at first, given back by tsdb_samples_free. */
struct tsdb_samples {
	int64_t *t;
	double *v;
	size_t n, cap;
};
void tsdb_samples_free(struct tsdb_samples *s);

/*
 * The series that all matchers match and that may have samples in [from_ms, to_ms], both ends
 * included, sorted by labels_compare. As in Prometheus a label that is not there is the empty
 * string, so {a=""} or {a=~"x|"} also select series without `a`. With no matcher: all series.
 * Samples that come later are seen by tsdb_selection_read as well, new series are not.
 * HG_E_NOMEM, HG_E_TOO_LARGE (TSDB_SELECT_BYTES of labels).
 */
#define TSDB_SELECT_BYTES (1ull << 30)

HG_MUST enum hg_rc tsdb_select(struct tsdb *db, const struct label_matcher *matchers, uint32_t n,
        int64_t from_ms, int64_t to_ms, struct tsdb_selection **ret_selection, struct hg_err *err);
/*
 * The same within limits; HG_E_TOO_LARGE beyond them. `series` is for whoever may not wait: it is
 * told soon, also when finding so many takes looks at more than TSDB_LOOKS times as many values and
 * series.
 */
#define TSDB_LOOKS 16u

struct tsdb_select_limits {
	uint32_t series; /* 0: none */
	uint64_t bytes;  /* of labels and lists; 0: TSDB_SELECT_BYTES, which is the most */
};
HG_MUST enum hg_rc tsdb_select_within(struct tsdb *db, const struct label_matcher *matchers,
        uint32_t n, int64_t from_ms, int64_t to_ms, const struct tsdb_select_limits *limits,
        struct tsdb_selection **ret_selection, struct hg_err *err);
/* What it takes. */
uint64_t tsdb_selection_bytes(const struct tsdb_selection *s);
/* Must come before tsdb_close. NULL is fine. */
void tsdb_selection_free(struct tsdb_selection *s);
uint32_t tsdb_selection_count(const struct tsdb_selection *s);
/* Valid until tsdb_selection_free. */
struct labels tsdb_selection_labels(const struct tsdb_selection *s, uint32_t i);
/* The series' ref, for tsdb_last_ms; 0 when it has no sample lately (only closed windows have it).
 * The low 32 bits are a place in an array: small, and taken by another series, with other high
 * bits, once this one is gone. */
tsdb_ref tsdb_selection_ref(const struct tsdb_selection *s, uint32_t i);
/*
 * The samples of series `i` in [from_ms, to_ms], both ends included, within the selection's span:
 * by rising time, no time twice. `out` is emptied first and keeps its arrays. This decodes: a long
 * query reads series after series and may look at its deadline between two. HG_E_NOMEM. A chunk
 * that fails its checksum is left out and counted (stats.damaged).
 */
HG_MUST enum hg_rc tsdb_selection_read(struct tsdb_selection *s, uint32_t i, int64_t from_ms,
        int64_t to_ms, struct tsdb_samples *out);

/*
 * Names of labels, or the values of one, over the series that match and may have samples in the
 * span; sorted, each once, in the arena. HG_E_NOMEM.
 */
HG_MUST enum hg_rc tsdb_label_names(struct tsdb *db, const struct label_matcher *matchers,
        uint32_t n, int64_t from_ms, int64_t to_ms, struct hg_arena *arena,
        struct hg_str **ret_names, uint32_t *ret_n);
HG_MUST enum hg_rc tsdb_label_values(struct tsdb *db, struct hg_str name,
        const struct label_matcher *matchers, uint32_t n, int64_t from_ms, int64_t to_ms,
        struct hg_arena *arena, struct hg_str **ret_values, uint32_t *ret_n);

#endif
