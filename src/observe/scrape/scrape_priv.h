/* Between the files of the scraper: what was read, how it is fetched, a target. */
#ifndef OBSERVE_SCRAPE_SCRAPE_PRIV_H
#define OBSERVE_SCRAPE_SCRAPE_PRIV_H

#include <zlib.h>

#include "base/list.h"
#include "base/siphash.h"
#include "observe/scrape/plan_priv.h"
#include "observe/scrape/scrape.h"
#include "os/sock.h"
#include "wire/http1.h"
#include "wire/promread.h"

/* ---- series.c: what is remembered of a target's series ---- */

#define SERIES_NONE UINT32_MAX

/* One series as its target writes it. */
struct series_place {
	tsdb_ref ref;      /* 0: none yet */
	uint32_t text, n;  /* within texts */
	uint32_t chain;    /* of the table, or of what is free */
	uint32_t round;    /* that saw it last */
	uint32_t position; /* in `order`, SERIES_NONE: not there */
	uint8_t wait;      /* scrapes until the store is asked again, which has refused it */
	bool dropped;      /* by relabelling */
	bool live;         /* has samples whose end is to be marked */
};

struct series {
	const uint8_t *key; /* of the table: applications choose what is in it */
	struct series_place *at;
	uint32_t n, cap, used, free;         /* `free`: first of the free ones */
	uint32_t *order, order_n, order_cap; /* places by the lines of the last good answer */
	uint32_t *table, table_cap;
	struct hg_buf texts;
	size_t garbage; /* bytes of texts nobody uses */
	uint32_t round;
};

/* `key` stays the caller's. */
void scrape_series_init(struct series *s, const uint8_t key[16]);
/* Empty again. */
void scrape_series_fini(struct series *s);
/* The place of a text, or SERIES_NONE. */
uint32_t scrape_series_find(const struct series *s, struct hg_str text);
/* SERIES_NONE: no memory. */
uint32_t scrape_series_add(struct series *s, struct hg_str text);
void scrape_series_drop(struct series *s, uint32_t place);
/* Bytes that nobody uses go when they are the larger part. */
void scrape_series_tidy(struct series *s);
static inline struct hg_str scrape_series_text(const struct series *s, uint32_t place)
{
	return (struct hg_str){s->texts.p + s->at[place].text, s->at[place].n};
}
size_t scrape_series_bytes(const struct series *s);

/* ---- job.c ---- */

/* One job's rules; counted, since targets that leave still have them. */
struct job {
	uint32_t refs;
	struct scrape_job_conf c; /* texts of its own, no targets */
	struct hg_arena arena;
	struct relabel *relabel, *metric_relabel;
	uint64_t print; /* fingerprint of all but the targets */
};

HG_MUST enum hg_rc scrape_job_new(
        const struct scrape_job_conf *conf, struct job **ret_job, struct hg_err *err);
struct job *scrape_job_ref(struct job *j);
void scrape_job_unref(struct job *j);

/* Where a target is and what it is called. */
struct place {
	struct labels labels, discovered; /* cloned */
	struct sock_addr addr;
	char host[SOCK_TEXT_MAX]; /* of the Host field */
	char *target;             /* path and query */
	char *url;                /* for people */
	bool local;               /* loopback or a unix socket */
	uint8_t proxy;
	bool dropped;
};

/* Relabels and checks; HG_E_INVALID says what is wrong with which target. */
HG_MUST enum hg_rc scrape_place_make(struct job *j, const struct scrape_target_conf *conf,
        struct place *ret_place, struct hg_err *err);
void scrape_place_fini(struct place *p);

/* ---- meta.c: what metrics mean ---- */

#define META_ENTRIES_MAX SCRAPE_META_MAX
#define META_EACH_MAX    4096u /* families of one target */
#define META_TEXT_MAX    1024u
#define META_BUCKETS     2048u

/* Texts as they stand in an answer. */
struct meta_text {
	struct hg_str family, help, unit;
	const char *type; /* static */
};

struct meta_entry {
	struct meta_entry *next;
	uint64_t hash; /* keyed, of the texts as they were written */
	uint32_t refs;
	bool own; /* for ever: of series that are not scraped */
	struct hg_str family, help, unit;
	const char *type;
	char bytes[];
};

struct meta {
	const uint8_t *key;
	struct meta_entry *bucket[META_BUCKETS];
	uint32_t n;
};

struct meta_list {
	struct meta_entry **at;
	uint32_t n, cap;
};

/* One more of the answer that is being read; `before`: the list of the last one. What there is no
 * room for is left out. */
void scrape_meta_add(struct meta *m, struct meta_list *l, const struct meta_list *before,
        const struct meta_text *t);
/* `list` becomes `by`, which is empty then. */
void scrape_meta_replace(struct meta *m, struct meta_list *list, struct meta_list *by);
void scrape_meta_list_clear(struct meta *m, struct meta_list *l);
void scrape_meta_list_fini(struct meta *m, struct meta_list *l);
void scrape_meta_fini(struct meta *m);

/* ---- exemplar.c ---- */

#define EXEMPLARS_MAX   SCRAPE_EXEMPLARS_MAX
#define EXEMPLAR_BYTES  ((size_t)8 << 20)
#define EXEMPLAR_SLOTS  16384u
#define EXEMPLAR_PROBES 8u
#define EXEMPLAR_TEXT   1024u  /* of one, as it is written; longer ones are passed over */
#define EXEMPLAR_LINES  10000u /* of an answer */

struct exemplar {
	struct labels series, labels; /* owned */
	double value;
	int64_t t_ms;
};

/* What a series had last: it comes again with each scrape. */
struct exemplar_seen {
	uint64_t series, print;
};

/* Memory only once there is an exemplar. */
struct exemplars {
	struct exemplar *ring;
	struct exemplar_seen *seen;
	uint32_t first, n;
	size_t bytes;
};

/* Hashes of the series and of the exemplar; false: the series had it already, or no memory. */
HG_MUST bool scrape_exemplar_is_new(struct exemplars *x, uint64_t series, uint64_t print);
/* Copies; the oldest ones make room. */
void scrape_exemplar_add(
        struct exemplars *x, struct labels series, struct labels labels, double v, int64_t t_ms);
void scrape_exemplars_fini(struct exemplars *x);

/* ---- intake.c: from an answer to samples ---- */

/* One sample of the answer that is being read. */
struct intake_row {
	uint32_t place;
	bool own_time, fresh;
	uint8_t type; /* enum promread_type: of the TYPE line before it */
	int64_t t_ms;
	double value;
};

/* An exemplar of the answer that is being read. */
struct intake_exemplar {
	uint32_t row;
	bool own_time;
	struct hg_str labels; /* within the answer */
	double value;
	int64_t t_ms;
};

struct intake_counts {
	uint32_t scraped, kept, added;
	uint32_t refused; /* by the store */
};

enum intake_stage {
	INTAKE_READING,
	INTAKE_APPENDING,
	INTAKE_EXEMPLARS,
	INTAKE_ENDING, /* markers for series that are gone */
	INTAKE_STAGES
};

struct intake;
struct target;

/* The answer that is being taken in. */
struct intake_reading {
	struct intake *in;
	struct target *t; /* NULL: none is */
	struct promread r;
	int64_t t_ms;
	enum intake_stage stage;
	uint32_t at;             /* within the stage, but for reading */
	uint32_t cursor;         /* in the order of the last answer */
	bool moved;              /* this one's is different */
	struct meta_text family; /* its lines so far; type NULL: none */
	struct intake_counts counts;
	struct hg_err refused; /* why the store has refused the first series that it has */
};

/* Memory that all targets share; one answer is read at a time. */
struct intake {
	struct tsdb *db;
	struct scrape_stats *stats;
	struct intake_row *row;
	uint32_t n, cap;
	struct labels_builder builder;
	struct hg_arena texts;
	struct meta *meta;
	struct meta_list families; /* of the answer that is being read */
	struct exemplars *exemplars;
	struct intake_exemplar *exemplar;
	uint32_t exemplar_n, exemplar_cap;
	struct intake_reading reading;
};

/* Begins to take in an answer. `body` stays where it is until the end, and nobody else touches the
 * target's series. */
void scrape_intake_begin(struct intake *in, struct target *t, struct hg_str body,
        enum promread_format format, int64_t t_ms);
enum intake_result { INTAKE_MORE, INTAKE_TAKEN, INTAKE_BAD };
/*
 * Goes on until it has ended or that time (clock_mono_ns) has come, and a little at least. First
 * all of the body is read; then, if it is good, its samples are appended, and the markers of series
 * that are gone. BAD (`err`: HG_E_EXPOSITION, HG_E_TOO_LARGE for a limit, HG_E_INVALID,
 * HG_E_NOMEM): nothing was appended.
 */
HG_MUST enum intake_result scrape_intake_some(
        struct intake *in, uint64_t until_ns, struct intake_counts *ret_counts, struct hg_err *err);
/* Nobody wants to have it any more; what was appended already is live. Nothing under way: nothing
 * happens. */
void scrape_intake_give_up(struct intake *in);
/* Marks the end of all series that are live, at `t_ms`; `unless_newer`: not where somebody has
 * appended since. */
void scrape_intake_end_all(struct intake *in, struct target *t, int64_t t_ms, bool unless_newer);
/* One of the series about the scrape. */
void scrape_intake_report(
        struct intake *in, struct target *t, unsigned which, int64_t t_ms, double v);
void scrape_intake_fini(struct intake *in);

enum intake_reports {
	REPORT_UP,
	REPORT_DURATION,
	REPORT_SCRAPED,
	REPORT_KEPT,
	REPORT_ADDED,
	REPORTS
};

/* ---- get.c: one HTTP GET over a connection that is kept ---- */

#define GET_TYPE_MAX 160u

struct get_request {
	const struct place *place;
	uint32_t timeout_ms;
	uint64_t body_max;
	bool gzip;
};

struct get_answer {
	bool good; /* 200, and all of it */
	char type[GET_TYPE_MAX];
	struct hg_buf *body; /* decompressed; the callee may move it elsewhere. NULL unless good */
	const char *why;     /* unless good */
};
typedef void (*get_fn)(void *arg, const struct get_answer *a);

struct get_flight;

#define SCRAPE_CHUNK 65536u

struct get {
	struct loop *loop;
	char *chunk; /* what is read passes through here; all share it */
	struct loop_io io;
	int fd;                    /* -1: no connection */
	struct get_flight *flight; /* NULL: nothing is under way */
};

/* `chunk`: 2 * SCRAPE_CHUNK bytes, the caller's. */
void scrape_get_init(struct get *g, struct loop *l, char *chunk);
/* Calls back exactly once, from the loop, unless get_close comes first. The callee may close or
 * start again. */
HG_MUST enum hg_rc scrape_get_start(
        struct get *g, const struct get_request *r, get_fn fn, void *arg);
/* Ends what is under way untold, and the connection. */
void scrape_get_close(struct get *g);

/* ---- target ---- */

enum target_state { TARGET_WANTED, TARGET_LEAVING };

#define TARGET_MAGIC 0x5c4a9e01u

struct target {
	uint32_t magic;
	struct scrape *scrape;
	struct hg_list node;
	struct job *job;
	struct place place;
	enum target_state state;
	bool kept; /* by the apply that is going on */
	struct plan plan;
	struct plan_end end;
	struct loop_timer timer;
	struct get get;
	struct hg_list turn; /* in scrape.waiting, while its answer is to be taken in */
	struct hg_buf body;  /* of that */
	char type[GET_TYPE_MAX];
	bool refused; /* the store has refused some of the last answer */
	struct series series;
	struct meta_list meta; /* of the last good answer */
	tsdb_ref report[REPORTS];
	int64_t t_ms; /* of the scrape that is under way */
	uint64_t began_ns;
	enum scrape_health health;
	char why[SCRAPE_WHY_MAX];
	int64_t last_ms;
	double duration_s;
	uint32_t samples;
};

struct scrape {
	struct scrape_options o;
	uint8_t key[16];
	struct hg_list targets;
	uint32_t target_n;
	char *chunk;
	struct meta meta;
	struct exemplars exemplars;
	struct intake intake;
	struct hg_list waiting; /* targets whose answers are here; the first is being taken in */
	struct loop_timer taking;
	struct scrape_stats stats;
	struct loop_timer commit;
};

#endif
