#include "observe/collect/collect.h"
#include "observe/collect/collect_priv.h"

#include <stdlib.h>

#include "os/file.h"

#define JOBS_ARENA  ((size_t)64 << 20)
#define OWN_MAX     ((size_t)4 << 20)
#define JOBS_MS     1000u /* between two looks at a table that changes all the time */
#define ON_TIME_MS  50    /* 1 % of the interval: the sample has the planned time */
#define TELL_ROUNDS 60u   /* refusals are on the log every five minutes */

static void on_timer(struct loop *l, struct loop_timer *t);

/* ---- looks ---- */

/* What the store has refused, now and then: the reason names the label that explodes. */
static void tell_refused(struct collect *c)
{
	uint64_t n = 0;
	const char *why = "";
	for (size_t i = 0; i < SOURCES; i++) {
		n += c->in[i].refused;
		if (c->in[i].why[0]) why = c->in[i].why;
	}
	if (n == c->refused_told || (c->refused_told && c->rounds % TELL_ROUNDS)) return;
	hg_log(c->o.log, HG_WARN, "metrics.refused", HG_I("samples", n - c->refused_told),
	        HG_S("error", why));
	c->refused_told = n;
}

static void timer_start(struct collect *c)
{
	int64_t now = c->o.now_ms();
	c->planned_ms = (now / COLLECT_INTERVAL_MS + 1) * COLLECT_INTERVAL_MS;
	uint64_t in = (uint64_t)(c->planned_ms - now);
	/* Without memory for a timer nothing would be counted until the next restart. */
	if (loop_timer_start(c->o.loop, &c->timer, in, on_timer) < 0) loop_stop(c->o.loop);
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	struct collect *c = HG_CONTAINER(t, struct collect, timer);
	int64_t now = c->o.now_ms(), late = now - c->planned_ms;
	(void)l;
	if (!c->round.under_way) {
		if (c->planned_ms && late > ON_TIME_MS) c->late++;
		round_begin(c, late >= 0 && late <= ON_TIME_MS ? c->planned_ms : now);
	}
	if (!round_some(c, ROUND_TURN_NS)) {
		if (loop_timer_start(c->o.loop, &c->timer, 0, on_timer) < 0) loop_stop(c->o.loop);
		return;
	}
	tell_refused(c);
	timer_start(c);
}

void collect_last(struct collect *c)
{
	if (c->round.under_way) (void)round_some(c, UINT64_MAX);
	round_begin(c, c->o.now_ms());
	(void)round_some(c, UINT64_MAX);
}

/* ---- jobs ---- */

static void jobs_apply(struct collect *c)
{
	struct hg_arena a;
	struct scrape_replicas jobs = {0};
	struct hg_err err = {0};
	hg_arena_init(&a, "jobs", JOBS_ARENA);
	view_table(&c->view, c->o.table, NULL, 0);
	enum hg_rc rc = jobs_make(&a, c->conf, c->view.endpoints, SNAP_ENDPOINTS, &jobs);
	if (rc == HG_OK) rc = scrape_apply(c->scrape, jobs.jobs, jobs.job_n, &err);
	if (rc < 0) {
		/* Those before go on, and it is tried again when something changes. */
		c->jobs_failed++;
		hg_log(c->o.log, HG_ERROR, "scrape.jobs_failed",
		        HG_S("error", err.message[0] ? err.message : hg_rc_info(rc)->summary));
	} else if (jobs.unasked != c->unasked) {
		c->unasked = jobs.unasked;
		if (c->unasked)
			hg_log(c->o.log, HG_WARN, "scrape.replicas_unasked",
			        HG_I("replicas", c->unasked),
			        HG_S("error", "they speak TLS, or HTTP/2 alone"));
	}
	hg_arena_fini(&a);
}

void collect_tick(struct collect *c, uint64_t mono_ms)
{
	uint64_t seen =
	        c->o.table ? atomic_load_explicit(&c->o.table->generation, memory_order_acquire)
	                   : 0;
	if (seen != c->table_seen) c->jobs_due = true;
	/* A round uses the view of the table. */
	if (!c->conf || !c->jobs_due || c->round.under_way ||
	        (c->jobs_ms && mono_ms < c->jobs_ms + JOBS_MS))
		return;
	c->table_seen = seen;
	c->jobs_due = false;
	c->jobs_ms = mono_ms;
	jobs_apply(c);
}

void collect_conf(struct collect *c, const struct observe_conf *conf)
{
	c->conf = conf;
	c->jobs_due = true;
}

void collect_image(struct collect *c, const struct snap_image *image)
{
	if (view_image(&c->view, image) < 0)
		hg_log(c->o.log, HG_ERROR, "metrics.no_memory", HG_S("error", "names of lanes"));
	c->round.under_way = false; /* its names are those of the image before */
	/* At once: what begins is seen while it is 0. */
	if (loop_timer_start(c->o.loop, &c->timer, 0, on_timer) < 0) loop_stop(c->o.loop);
}

/* ---- life ---- */

static void on_family(void *arg, const char *name, const char *type, const char *help)
{
	scrape_meta_own(arg, hg_str(name), type, hg_str(help));
}

static void on_sample(
        void *arg, const char *name, const struct prom_label *labels, size_t n, double value)
{
	(void)arg, (void)name, (void)labels, (void)n, (void)value;
}

/* What the meter's series mean, also of those that there are none of yet. */
static void families_tell(struct collect *c)
{
	const struct meter_series_view none = {.meter = c->o.meter};
	const struct meter_series_sink sink = {
	        .family = on_family, .sample = on_sample, .arg = c->scrape};
	for (size_t i = 0; i < SOURCES; i++)
		c->in[i].scrape = c->scrape;
	if (c->o.meter) meter_series(&none, &sink);
}

enum hg_rc collect_new(
        const struct collect_options *o, struct collect **ret_collect, struct hg_err *err)
{
	uint8_t key[16];
	struct collect *c = calloc(1, sizeof *c);
	if (!c) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	c->o = *o;
	hg_buf_init(&c->page, HG_MAX(OWN_MAX, BOARD_TEXT + 64));
	enum hg_rc rc = file_random(key, sizeof key) < 0 ? HG_E_IO : view_init(&c->view);
	for (size_t i = 0; rc == HG_OK && i < SOURCES; i++)
		intake_init(&c->in[i], o->db, key);
	if (rc == HG_OK) {
		look_init(&c->look, o->data_dir, o->meter, o->warden_pid);
		struct scrape_options so = {
		        .loop = o->loop, .db = o->db, .now_ms = o->now_ms, .log = o->log};
		rc = scrape_new(&so, &c->scrape, err);
	}
	if (rc == HG_OK) families_tell(c);
	if (rc < 0) {
		if (err && !err->message[0]) hg_err_set(err, rc, "out of memory");
		collect_free(c);
		return rc;
	}
	/* At once: every series is there from the start. */
	if (loop_timer_start(o->loop, &c->timer, 0, on_timer) < 0) loop_stop(o->loop);
	*ret_collect = c;
	return HG_OK;
}

void collect_free(struct collect *c)
{
	if (!c) return;
	loop_timer_stop(c->o.loop, &c->timer);
	scrape_free(c->scrape);
	for (size_t i = 0; i < SOURCES; i++)
		intake_fini(&c->in[i]);
	view_fini(&c->view);
	look_fini(&c->look);
	hg_buf_free(&c->page);
	free(c);
}

struct scrape *collect_scrape(struct collect *c)
{
	return c->scrape;
}

static void line(struct hg_buf *to, const char *name, const char *type, const char *help, double v)
{
	prom_head(to, name, type, help);
	prom_sample(to, name, NULL, 0, v);
}

void collect_metrics(const struct collect *c, struct hg_buf *to)
{
	struct scrape_stats st;
	uint64_t samples = 0, refused = 0, series = 0, ended = 0;
	for (size_t i = 0; i < SOURCES; i++) {
		samples += c->in[i].samples;
		refused += c->in[i].refused;
		series += c->in[i].n;
		ended += c->in[i].ended;
	}
	line(to, "headgate_collect_rounds_total", "counter",
	        "Looks at meter, machine, processes and board.", (double)c->rounds);
	line(to, "headgate_collect_late_total", "counter", "Of them not at the planned time.",
	        (double)c->late);
	line(to, "headgate_collect_seconds", "gauge", "What the last look took.",
	        (double)c->took_ns / 1e9);
	line(to, "headgate_collect_turn_seconds", "gauge",
	        "Of that the longest time in which nothing else was done.",
	        (double)c->longest_ns / 1e9);
	line(to, "headgate_collect_series", "gauge", "Series that come without being asked for.",
	        (double)series);
	line(to, "headgate_collect_samples_total", "counter", "Their samples.", (double)samples);
	line(to, "headgate_collect_refused_total", "counter", "Samples that the store refused.",
	        (double)refused);
	line(to, "headgate_collect_ended_total", "counter", "Series that ended.", (double)ended);
	line(to, "headgate_collect_bad_pages_total", "counter", "Pages that could not be read.",
	        (double)c->bad_pages);
	scrape_stats(c->scrape, &st);
	line(to, "headgate_scrape_targets", "gauge", "Targets that are asked for metrics.",
	        st.targets);
	line(to, "headgate_scrape_unasked", "gauge",
	        "Replicas that cannot be asked: they speak TLS, or HTTP/2 alone.", c->unasked);
	line(to, "headgate_scrape_scrapes_total", "counter", "Scrapes.", (double)st.scrapes);
	line(to, "headgate_scrape_failed_total", "counter", "Of them failed.", (double)st.failed);
	line(to, "headgate_scrape_samples_total", "counter", "Samples scraped.",
	        (double)st.samples);
	line(to, "headgate_scrape_refused_series_total", "counter",
	        "Series that the store refused.", (double)st.refused_series);
	line(to, "headgate_scrape_refused_samples_total", "counter",
	        "Samples that the store refused.", (double)st.refused_samples);
	line(to, "headgate_scrape_jobs_failed_total", "counter",
	        "Sets of jobs that could not be used.", (double)c->jobs_failed);
}
