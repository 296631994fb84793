/*
 * Asks applications for their metrics (HTTP GET, as Prometheus does) and puts the samples into the
 * store.
 *
 * It owns its jobs and targets, their connections, and what it remembers of each target's series;
 * loop, store and log are the caller's. One thread: the loop's. What a target answers is taken as a
 * whole or not at all; after a scrape that failed, or when a target or one of its series is gone,
 * the series end with a staleness marker, and `up` and the other series about the scrape say how it
 * went: scrape_duration_seconds, scrape_samples_scraped, scrape_samples_post_metric_relabeling,
 * scrape_series_added.
 *
 * Addresses are "HOST:PORT" with an IP address or localhost, "unix:/PATH", and plain HTTP.
 * Redirects are not followed; the protobuf format is not asked for.
 */
#ifndef OBSERVE_SCRAPE_SCRAPE_H
#define OBSERVE_SCRAPE_SCRAPE_H

#include "base/err.h"
#include "base/log.h"
#include "observe/scrape/relabel.h"
#include "observe/tsdb/tsdb.h"
#include "os/loop.h"

struct scrape;

#define SCRAPE_INTERVAL_MS 15000u /* defaults */
#define SCRAPE_TIMEOUT_MS  10000u
#define SCRAPE_BODY_MAX    (64ull << 20) /* of an answer, when the job says nothing; decompressed */
#define SCRAPE_TARGETS_MAX 10000u
#define SCRAPE_WHY_MAX     320u

struct scrape_options {
	struct loop *loop;
	struct tsdb *db;
	int64_t (*now_ms)(void); /* Unix time */
	struct hg_log *log;      /* NULL: nothing is logged */
};

/* A target before relabelling: __address__ at least; __scheme__, __metrics_path__ and __param_NAME
 * say how it is asked, other labels beginning with "__" vanish, `instance` is the address if it is
 * not given, `job` the job's name. */
struct scrape_target_conf {
	struct labels labels;
	uint8_t proxy; /* version of the PROXY protocol's header that it wants first; 0: none */
};

enum scrape_compression { SCRAPE_GZIP_REMOTE, SCRAPE_GZIP_ALWAYS, SCRAPE_GZIP_NEVER };

/* Zero fields are the defaults of Prometheus, where they have one. */
struct scrape_job_conf {
	struct hg_str name;
	uint32_t interval_ms, timeout_ms; /* 0: 15 s; 10 s or the interval, what is less */
	struct hg_str path;               /* "/metrics"; may have a query */
	bool honor_labels;                /* scraped labels win over the target's */
	bool ignore_timestamps;           /* honor_timestamps: false */
	bool track_timestamps_staleness;
	enum scrape_compression compression; /* by default not over loopback */
	uint64_t body_size_limit;            /* bytes; 0: SCRAPE_BODY_MAX */
	uint32_t sample_limit, label_limit, label_name_length_limit, label_value_length_limit;
	const struct relabel_conf *relabel, *metric_relabel;
	uint32_t relabel_n, metric_relabel_n;
	const struct scrape_target_conf *targets;
	uint32_t target_n;
};

HG_MUST enum hg_rc scrape_new(
        const struct scrape_options *o, struct scrape **ret_scrape, struct hg_err *err);
/* Scrapes under way end untold; series go on without markers, as at Prometheus' shutdown. */
void scrape_free(struct scrape *s);

/*
 * From now on exactly these jobs; several may have one name, with intervals and limits of their
 * own. Targets that are wanted as before go on undisturbed; those that are not wanted any more get
 * their markers after two intervals and 10 %, unless somebody else has written their series since.
 * All or nothing: after HG_E_RELABEL, HG_E_REGEX, HG_E_INVALID (message names job and target),
 * HG_E_TOO_LARGE, HG_E_NOMEM all is as it was.
 */
HG_MUST enum hg_rc scrape_apply(
        struct scrape *s, const struct scrape_job_conf *jobs, uint32_t n, struct hg_err *err);

struct meta_list;

enum scrape_health { SCRAPE_UNKNOWN, SCRAPE_UP, SCRAPE_DOWN };

struct scrape_status {
	struct hg_str job, url;
	struct labels labels;     /* as its samples get them */
	struct labels discovered; /* before relabelling */
	bool dropped;             /* by relabelling: only job and discovered mean something */
	enum scrape_health health;
	const char *why; /* "" unless DOWN */
	int64_t last_ms; /* 0: never */
	double duration_s;
	uint32_t interval_ms, timeout_ms;
	uint32_t samples, series;     /* of the last good scrape; that are remembered */
	const struct meta_list *meta; /* for scrape_meta_next */
};
/* Walks the targets; start with *at = 0, false at the end. Valid until the loop turns. */
bool scrape_status_next(const struct scrape *s, size_t *at, struct scrape_status *ret_status);

/* ---- what metrics mean ---- */

#define SCRAPE_META_MAX 8192u /* families with different texts; what comes then is left out */

/* HELP, TYPE and UNIT of a family; texts of at most 1 KiB. Valid until the loop turns. */
struct scrape_meta {
	struct hg_str family, help, unit;
	const char *type; /* "counter", …, "unknown" */
};
/* Of series that come without a scrape; `type` is static, texts are copied. Once is enough. */
void scrape_meta_own(struct scrape *s, struct hg_str family, const char *type, struct hg_str help);
/* All there are, each once, in no order; their number. */
uint32_t scrape_meta_all(const struct scrape *s, struct scrape_meta *ret, uint32_t max);
/* Those of a target's last good answer, in its order; start with *at = 0, false at the end. */
bool scrape_meta_next(const struct scrape_status *of, uint32_t *at, struct scrape_meta *ret);

/* ---- exemplars ---- */

#define SCRAPE_EXEMPLARS_MAX 8192u /* the newest of all targets; of at most 8 MiB */

struct scrape_exemplar {
	struct labels series, labels;
	double value;
	int64_t t_ms; /* its own, or the scrape's */
};
/* Walks them, oldest first; start with *at = 0, false at the end. Valid until the loop turns. */
bool scrape_exemplar_next(const struct scrape *s, size_t *at, struct scrape_exemplar *ret);

struct scrape_stats {
	uint64_t scrapes, failed, samples, bytes;
	uint64_t refused_series, refused_samples; /* by the store: quota, order, memory */
	uint64_t duplicates;                      /* a series twice in one answer */
	uint64_t markers;
	uint32_t targets;
};
void scrape_stats(const struct scrape *s, struct scrape_stats *ret_stats);

#endif
