/*
 * The metrics store's life. It is opened on a thread, since its journals are read then: logs go on
 * meanwhile. From the end of that thread on the store is the loop's.
 */
#include "observe/host/host_priv.h"

#include <stdio.h>

#include "os/clock.h"

static void on_timer(struct loop *l, struct loop_timer *t);

static int64_t wall_ms(void)
{
	return (int64_t)clock_wall_ms();
}

static void timer_in(struct host_store *s, uint64_t ms)
{
	/* Without memory for a timer there would be no metrics until the next restart. */
	if (loop_timer_start(s->loop, &s->timer, ms, on_timer) < 0) loop_stop(s->loop);
}

/* On the thread: nobody else looks at these members until it has ended. */
static void open_it(void *arg, const atomic_bool *stop)
{
	struct host_store *s = arg;
	(void)stop;
	s->err = (struct hg_err){0};
	s->rc = tsdb_open(&s->o, &s->opened, &s->err);
}

static void limits_of(struct tsdb_options *o, const struct observe_conf_store *c)
{
	o->keep_ms = (int64_t)c->keep_ms;
	o->keep_bytes = c->keep_bytes;
	o->memory_bytes = c->memory_bytes;
	o->series_per_app = c->series_per_app;
}

static void failed(struct host_store *s, const char *why)
{
	s->state = STORE_FAILED;
	/* Once, and then now and again: it is tried every few seconds. */
	if (s->failures++ % 30 == 0 || strcmp(s->why, why) != 0)
		hg_log(s->log, HG_ERROR, "metrics.store_failed", HG_S("error", why),
		        HG_S("hint", "logs and traces go on; the store is tried again by itself"));
	hg_str_copy(hg_str(why), s->why, sizeof s->why);
	timer_in(s, STORE_RETRY_MS);
}

static void on_opened(void *arg)
{
	struct host_store *s = arg;
	struct tsdb_stats st;
	s->work = NULL;
	s->took_ms = clock_mono_ms() - s->began_ms;
	if (s->has_next) limits_of(&s->o, &s->next);
	s->has_next = false;
	if (s->rc < 0) {
		failed(s, s->err.message);
		return;
	}
	s->db = s->opened;
	s->opened = NULL;
	s->state = STORE_OPEN;
	s->failures = 0;
	s->why[0] = 0;
	tsdb_limits(s->db, &s->o); /* control may have said otherwise meanwhile */
	tsdb_stats(s->db, &st);
	hg_log(s->log, HG_INFO, "metrics.store_open", HG_I("ms", s->took_ms),
	        HG_I("windows", st.windows), HG_I("series", st.series),
	        HG_I("replayed", st.replayed), HG_I("damaged", st.damaged));
	s->on_open(s->arg);
	timer_in(s, STORE_COMMIT_MS);
}

static void begin(struct host_store *s)
{
	s->state = STORE_OPENING;
	s->began_ms = clock_mono_ms();
	enum hg_rc rc = work_start(s->loop, open_it, on_opened, s, &s->work);
	if (rc < 0) failed(s, "there was no thread to open it");
}

static void health_tell(struct host_store *s)
{
	struct tsdb_health h;
	tsdb_health(s->db, &h);
	if (h.state == s->told) return;
	s->told = h.state;
	if (h.state == TSDB_WELL)
		hg_log(s->log, HG_INFO, "metrics.store_well");
	else
		hg_log(s->log, HG_ERROR, "metrics.store_unwell", HG_S("error", h.message));
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	struct host_store *s = HG_CONTAINER(t, struct host_store, timer);
	(void)l;
	if (!s->db) {
		begin(s);
		return;
	}
	s->commits++;
	if (tsdb_commit(s->db) < 0) s->commit_failures++;
	health_tell(s);
	timer_in(s, STORE_COMMIT_MS);
}

void store_start(struct host_store *s, const char *data_dir, const struct observe_conf_store *c)
{
	s->o = (struct tsdb_options){.dir = s->dir, .now_ms = wall_ms};
	limits_of(&s->o, c);
	int n = snprintf(s->dir, sizeof s->dir, "%s/metrics", data_dir);
	if (n < 0 || n >= (int)sizeof s->dir) {
		failed(s, "the path of the data folder is too long");
		return;
	}
	begin(s);
}

void store_configure(struct host_store *s, const struct observe_conf_store *c)
{
	/* The thread has these; what it opens is told when it is there. */
	if (s->work) {
		s->next = *c;
		s->has_next = true;
		return;
	}
	limits_of(&s->o, c);
	if (s->db) tsdb_limits(s->db, &s->o);
}

void store_stop(struct host_store *s)
{
	loop_timer_stop(s->loop, &s->timer);
	work_stop(s->work);
	s->work = NULL;
	if (s->db) s->on_close(s->arg);
	tsdb_close(s->db);
	tsdb_close(s->opened);
	s->db = s->opened = NULL;
}

static void one(struct hg_buf *to, const char *name, const char *type, const char *help, uint64_t v)
{
	hg_buf_fmt(to,
	        "# HELP headgate_tsdb_%s %s\n# TYPE headgate_tsdb_%s %s\nheadgate_tsdb_%s %llu\n",
	        name, help, name, type, name, (unsigned long long)v);
}

static void state_metric(const struct host_store *s, struct hg_buf *to)
{
	static const char *const names[] = {
	        "well", "disk_full", "disk_broken", "memory_full", "opening", "failed"};
	struct tsdb_health h = {0};
	if (s->db) tsdb_health(s->db, &h);
	size_t now = s->state == STORE_OPENING ? 4 : s->state == STORE_FAILED ? 5 : h.state;
	hg_buf_cstr(to, "# HELP headgate_tsdb_state 1 for the state that the metrics store is in.\n"
	                "# TYPE headgate_tsdb_state gauge\n");
	for (size_t i = 0; i < HG_COUNT(names); i++)
		hg_buf_fmt(to, "headgate_tsdb_state{state=\"%s\"} %d\n", names[i], i == now);
}

void store_metrics(const struct host_store *s, struct hg_buf *to)
{
	struct tsdb_stats st = {0};
	state_metric(s, to);
	if (s->db) tsdb_stats(s->db, &st);
	one(to, "open_seconds", "gauge", "Whole seconds that the last opening took.",
	        s->took_ms / 1000);
	one(to, "open_failures", "gauge", "Openings in a row that came to nothing.", s->failures);
	one(to, "commits_total", "counter", "Commits.", s->commits);
	one(to, "commit_failures_total", "counter", "Commits that the disk did not take whole.",
	        s->commit_failures);
	one(to, "series", "gauge", "Series in memory.", st.series);
	one(to, "samples_total", "counter", "Samples taken.", st.samples);
	one(to, "duplicates_total", "counter", "Samples refused: same time, other value.",
	        st.duplicates);
	one(to, "out_of_order_total", "counter", "Samples taken although late.", st.out_of_order);
	one(to, "too_old_total", "counter", "Samples refused as too old.", st.too_old);
	one(to, "ahead_total", "counter", "Samples refused as in the future.", st.ahead);
	one(to, "refused_series_total", "counter", "Series refused by quota or for want of memory.",
	        st.refused_series);
	one(to, "refused_samples_total", "counter", "Samples refused for want of memory.",
	        st.refused_samples);
	one(to, "memory_bytes", "gauge", "Memory that the store has allocated.", st.memory_bytes);
	one(to, "disk_bytes", "gauge", "Bytes of its files.", st.disk_bytes);
	one(to, "written_bytes_total", "counter", "Bytes handed to the kernel.", st.written_bytes);
	one(to, "windows", "gauge", "Files of windows.", st.windows);
	one(to, "dropped_windows_total", "counter", "Windows removed by retention.",
	        st.dropped_windows);
	one(to, "damaged_total", "counter", "Frames, chunks or indexes that failed their checksum.",
	        st.damaged);
}
