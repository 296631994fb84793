/* Between the files of the collector. */
#ifndef OBSERVE_COLLECT_COLLECT_PRIV_H
#define OBSERVE_COLLECT_COLLECT_PRIV_H

#include "meter/board.h"
#include "meter/series.h"
#include "observe/collect/collect.h"
#include "observe/scrape/replicas.h"
#include "wire/promread.h"

/* ---- intake.c: samples of one source, and the end of series that it has no more ---- */

/* One series of the source. */
struct intake_place {
	uint64_t hash; /* keyed, of the name and labels as the source gives them */
	tsdb_ref ref;  /* 0: the store has refused it */
	uint32_t round;
	uint32_t wait; /* rounds until the store is asked again */
};

struct intake {
	struct tsdb *db;
	uint8_t key[16];
	struct intake_place *at;
	uint32_t n, cap;
	uint32_t *table; /* places + 1, by hash */
	uint32_t table_cap;
	uint32_t round;
	uint32_t next;           /* place of the series that will come now, as a rule */
	int64_t t_ms, before_ms; /* of this look and of the one before */
	bool whole;              /* as in meter_series_sink */
	bool fresh;              /* the series that was asked for last is new */
	struct labels_builder builder;
	struct hg_buf scratch;
	struct hg_arena texts;
	uint64_t samples, refused, ended;
	char why[160];         /* of the last refusal */
	struct scrape *scrape; /* is told what metrics mean; NULL: nobody is */
	struct hg_str help;    /* of a page: of the last HELP line, whose family is */
	struct hg_str help_of;
};

void intake_init(struct intake *in, struct tsdb *db, const uint8_t key[16]);
void intake_fini(struct intake *in);
/* Samples until intake_end have this time. */
void intake_begin(struct intake *in, int64_t t_ms);
/* A sink for meter_series and the like. */
struct meter_series_sink intake_sink(struct intake *in);
/* The next `most` lines of a page; what cannot be read ends it. */
enum intake_page { INTAKE_MORE, INTAKE_READ, INTAKE_BAD };
enum intake_page intake_page(struct intake *in, struct promread *page, uint32_t most);
/* Series that did not come since intake_begin end with a marker; all of them if `all`. */
void intake_end(struct intake *in, bool all);

/* ---- view.c: the names that the meter's numbers stand for ---- */

struct view {
	struct meter_series_lane *lanes;
	struct meter_series_app *apps; /* by id */
	struct meter_series_replica *replicas;
	uint32_t lane_n, app_n, replica_n;
	struct snap_endpoint *endpoints; /* SNAP_ENDPOINTS */
	struct meter_replica_sum *bases; /* likewise */
	bool *lane_seen;                 /* METER_LANES_MAX: was there at the look before */
};

HG_MUST enum hg_rc view_init(struct view *v);
void view_fini(struct view *v);
/* Lanes and apps; strings are the image's. After HG_E_NOMEM there are none. */
HG_MUST enum hg_rc view_image(struct view *v, const struct snap_image *i);
/* Copies the table, and makes replicas of its slots. `before_ms`: when that was done last; who has
 * begun since then is whole. */
void view_table(
        struct view *v, const struct snap_table *t, const struct board *b, uint64_t before_ms);
/* The lanes were looked at: from now on they are whole. */
void view_looked(struct view *v);
struct meter_series_view view_of(const struct view *v, const struct meter *m);

/* ---- host.c: the machine; pure, from the texts of /proc to samples ---- */

/* Names and meanings are node_exporter's; docs/howto/metrics.md. `who`: labels of all of them. */
struct host_sink {
	const struct meter_series_sink *sink;
	const struct prom_label *who;
	size_t who_n;
};

#define HOST_MODES    8u
#define HOST_CPUS_MAX 4096u

/* What each CPU had when it was looked at last, in ticks. {0} is empty; `at` is freed by who has
 * it. */
struct host_cpus {
	struct host_cpu {
		uint64_t mode[HOST_MODES];
	} * at;
	uint32_t n;
};
/* The kernel's iowait and idle times fall by a few ticks now and then (proc(5)), which for rate()
 * is a counter that began anew: they stand still then. `before` may be NULL. */
void host_stat(const struct host_sink *s, struct hg_str text, double ticks_per_second,
        struct host_cpus *before);
void host_meminfo(const struct host_sink *s, struct hg_str text);
void host_vmstat(const struct host_sink *s, struct hg_str text);
void host_diskstats(const struct host_sink *s, struct hg_str text);
void host_netdev(const struct host_sink *s, struct hg_str text);
void host_loadavg(const struct host_sink *s, struct hg_str text);
/* `what`: "cpu", "io", "memory". */
void host_pressure(const struct host_sink *s, const char *what, struct hg_str text);

/* ---- look.c: reads them, and the processes ---- */

struct look {
	const char *data_dir;
	uint32_t pid, warden_pid, control_pid;
	const struct meter *meter; /* has the workers' */
	char host[72];
	struct hg_buf text;
	double ticks;
	struct host_cpus cpus;
};
void look_init(struct look *l, const char *data_dir, const struct meter *m, uint32_t warden_pid);
void look_fini(struct look *l);
void look_machine(struct look *l, const struct meter_series_sink *to);
void look_processes(struct look *l, const struct meter_series_sink *to);

/* ---- round.c: one look at everything ---- */

#define ROUND_TURN_NS 5000000u /* of the loop: logs and queries wait meanwhile */

/* Where samples come from; each knows which of its series are gone. */
enum source { FROM_METER, FROM_BOARD, FROM_MACHINE, FROM_OWN, SOURCES };

struct round {
	bool under_way;
	int64_t t_ms;
	enum source from; /* which is looked at */
	bool begun;
	size_t piece; /* of the meter */
	struct promread page;
	uint64_t took_ns, longest_ns; /* altogether; in one turn */
};

struct collect {
	struct collect_options o;
	struct intake in[SOURCES];
	struct view view;
	struct look look;
	struct scrape *scrape;
	const struct observe_conf *conf; /* NULL: none yet */
	struct loop_timer timer;
	struct round round;
	struct hg_buf page;
	struct board_page board;
	bool board_ended; /* its series have their markers */
	uint64_t table_seen, jobs_ms, looked_ms;
	bool jobs_due;
	uint32_t unasked;
	int64_t planned_ms, last_ms;
	uint64_t rounds, late, bad_pages, jobs_failed, took_ns, longest_ns, refused_told;
};

/*
 * Begins to look. All samples of a round have its time, however many turns it takes: with a new
 * configuration of a thousand apps each of a hundred thousand series is new to the store, and that
 * is a second. Until a series has its sample the one before counts, so that nobody sees a gap; what
 * did not come ends when its source was looked at as a whole. A round under way is given up: what
 * it had not come to comes with this one.
 */
void round_begin(struct collect *c, int64_t t_ms);
/* Goes on for so long at least; UINT64_MAX: until the end. True: that was all. */
bool round_some(struct collect *c, uint64_t for_ns);

/* ---- jobs.c: the scraper's jobs ---- */

/* Pure: of apps and extra targets; all in the arena, but texts. HG_E_NOMEM. */
HG_MUST enum hg_rc jobs_make(struct hg_arena *a, const struct observe_conf *conf,
        const struct snap_endpoint *endpoints, uint32_t n, struct scrape_replicas *ret_jobs);

#endif
