/*
 * What fills the metrics store without anybody being asked: the edge's meter, straight from shared
 * memory; the machine; Headgate's own processes; what control has written on the board. And the
 * scraper's jobs, from what control wants and the endpoint table. docs/howto/metrics.md lists the
 * series.
 *
 * Every COLLECT_INTERVAL_MS all of it is looked at and gets one time. Series that are not there any
 * more (a release or a replica is gone) end with a staleness marker at the next look; what control
 * wrote stays in force for COLLECT_BOARD_MS when control is away. Nothing here waits, writes to the
 * shared memory, or is noticed by the edge.
 *
 * The interval: 5 s gives twelve samples to a window of one minute, the shortest that alerts
 * commonly have, at a third of the cost of 2 s; what has to be known sooner (trials of releases,
 * budgets) does not wait for the store.
 */
#ifndef OBSERVE_COLLECT_COLLECT_H
#define OBSERVE_COLLECT_COLLECT_H

#include "base/err.h"
#include "base/log.h"
#include "observe/collect/conf.h"
#include "observe/scrape/scrape.h"
#include "os/loop.h"
#include "spec/snapshot.h"

#define COLLECT_INTERVAL_MS 5000u
#define COLLECT_BOARD_MS    60000u

struct board;
struct collect;
struct meter;

struct collect_options {
	struct loop *loop;
	struct tsdb *db;
	const struct meter *meter;      /* NULL: none */
	const struct snap_table *table; /* NULL: none */
	const struct board *board;      /* NULL: none */
	int64_t (*now_ms)(void);        /* Unix time */
	struct hg_log *log;
	const char *data_dir; /* whose file system is told of; outlives it */
	uint32_t warden_pid;  /* 0: unknown */
	/* Appends what this process says of itself, in the text format. May be NULL. */
	void (*own)(void *arg, struct hg_buf *to);
	void *arg;
};

HG_MUST enum hg_rc collect_new(
        const struct collect_options *o, struct collect **ret_collect, struct hg_err *err);
/* NULL is fine. */
void collect_free(struct collect *c);
/* Valid until the next one. */
void collect_conf(struct collect *c, const struct observe_conf *conf);
void collect_image(struct collect *c, const struct snap_image *image);
/* To be called every 250 ms: a changed endpoint table becomes jobs of the scraper. */
void collect_tick(struct collect *c, uint64_t mono_ms);
/* One more look, at the end: counters are kept as they stand. */
void collect_last(struct collect *c);
/* Whose targets and their states are asked for. */
struct scrape *collect_scrape(struct collect *c);
/* headgate_collect_* and headgate_scrape_* in the text format. */
void collect_metrics(const struct collect *c, struct hg_buf *to);

#endif
