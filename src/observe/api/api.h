/*
 * Prometheus' HTTP API over the metrics store, for Grafana, promtool and whoever else speaks it:
 * /api/v1/query, query_range, series, labels, label/NAME/values, format_query, parse_query,
 * metadata, targets, rules, alerts, status/…, and /federate, /-/healthy, /-/ready. docs/promql.md
 * says where it differs from Prometheus'. Beside it /v1/columns, Headgate's own: many range queries
 * in one request, values without their times.
 *
 * Parameters are read and answers are written on the loop's thread; what reads the store is run by
 * a few threads of its own, which take the lock around each access. A query ends early when its
 * client goes away, at its deadline, and when all queries together hold as much memory as they
 * may. The loop's thread holds the lock whenever it calls in here.
 *
 * (The prefix is promapi_: api_ belongs to Headgate's own API, face/api.)
 */
#ifndef OBSERVE_API_API_H
#define OBSERVE_API_API_H

#include "base/err.h"
#include "base/log.h"
#include "observe/scrape/scrape.h"
#include "observe/tsdb/lock.h"
#include "observe/tsdb/tsdb.h"
#include "os/loop.h"
#include "serve/serve.h"
#include "wire/json.h"

struct promapi;

/* serve_options.body_max of the server in front of it: forms hold queries of up to 1 MiB. */
#define PROMAPI_BODY_MAX    (4u << 20)
#define PROMAPI_THREADS     2u
#define PROMAPI_QUEUE_MAX   64u                 /* that wait for a thread; more are told 503 */
#define PROMAPI_MEMORY_MAX  ((size_t)256 << 20) /* of all queries and their answers together */
#define PROMAPI_DEADLINE_MS 120000u

struct promapi_options {
	struct loop *loop;
	struct tsdb *db;
	struct observe_lock *lock;   /* initialised; it outlives the API */
	int64_t (*now_ms)(void);     /* Unix time, any thread */
	struct hg_log *log;          /* NULL: nothing is logged */
	const struct scrape *scrape; /* for /targets; NULL: there are none */
	uint32_t threads, queue_max; /* 0: as above */
	size_t memory_max;           /* 0: as above */
	uint32_t deadline_ms;        /* 0: as above; what a client asks for is at most that */
	const char *version;         /* of this program, for status/buildinfo; static */
	const char *dir;             /* of the store, for status/runtimeinfo; borrowed */
	uint64_t keep_ms;            /* retention, for status/runtimeinfo; 0: for ever */
};

HG_MUST enum hg_rc promapi_new(
        const struct promapi_options *o, struct promapi **ret_api, struct hg_err *err);
/*
 * After serve_free, which tells it that its calls are gone. Cancels what runs and waits for the
 * threads; gives the lock up meanwhile. Before tsdb_close. NULL is fine.
 */
void promapi_free(struct promapi *p);

/*
 * True: the path is one of its own (all below /api/v1/, /federate, /-/, /v1/columns), and the call
 * was answered or will be. On the loop's thread; rooms that have paths of their own below /api/v1/
 * are asked before.
 */
bool promapi_http(struct promapi *p, struct serve_call *call, const struct serve_request *req);

/* Labels that /federate adds to series without them; copied. HG_E_NOMEM: as it was. */
HG_MUST enum hg_rc promapi_external_labels(struct promapi *p, struct labels ls);
/* What status/config shows; copied. HG_E_NOMEM: as it was. */
HG_MUST enum hg_rc promapi_config_text(struct promapi *p, struct hg_str yaml);

/* ---- rules and alerts, by who evaluates them ---- */

/* What /api/v1/rules was asked for. Lists are empty when everything is wanted. */
struct promapi_rules_ask {
	bool alerting, recording;
	bool without_alerts;                         /* exclude_alerts */
	const struct hg_str *names, *groups, *files; /* rule_name[], rule_group[], file[] */
	uint32_t name_n, group_n, file_n;
};

struct promapi_rules {
	void *arg;
	/* Writes the value of "data": {"groups": […]} and {"alerts": […]}, as Prometheus does.
	 * On the loop's thread. */
	void (*rules)(void *arg, const struct promapi_rules_ask *ask, struct json_out *to);
	void (*alerts)(void *arg, struct json_out *to);
};
/* Copied; NULL: there are none (any more). */
void promapi_rules_set(struct promapi *p, const struct promapi_rules *r);
/* True: the list is empty or has the text. For the two above. */
bool promapi_wanted(const struct hg_str *list, uint32_t n, struct hg_str text);

/* 503 in the envelope, by who has no API to ask: the store is not open. */
void promapi_unavailable(struct serve_call *call, const char *why);

/* ---- what it counts ---- */

struct promapi_stats {
	uint64_t requests, queries;           /* queries: what went to a thread */
	uint64_t refused;                     /* 503: queue or memory */
	uint64_t failed, timed_out, canceled; /* queries */
	uint64_t samples;                     /* read by queries */
	uint32_t running, waiting;
	size_t memory; /* held now */
};
void promapi_stats(const struct promapi *p, struct promapi_stats *ret_stats);
/* headgate_query_* in the text format. */
void promapi_metrics(const struct promapi *p, struct hg_buf *to);

#endif
