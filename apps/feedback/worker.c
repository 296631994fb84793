#include "apps/feedback/worker_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "apps/feedback/config_priv.h"
#include "apps/feedback/jsonlog_priv.h"
#include "jobs/relay.h"
#include "os/clock.h"

struct worker {
	struct jsonlog *log;
	struct jobs_context context;
	struct jobs_kinds kinds;
	struct jobs_worker *jobs;
	struct jobs_relay *relay; /* NULL: no broker */
	int ending;
	void (*stopped)(void *arg);
	void *stopped_arg;
	char name[128];
};

static void on_note(
        void *arg, enum hg_level level, const char *what, const struct job *job, const char *why)
{
	struct worker *w = arg;
	if (!job) {
		jsonlog(w->log, level, "feedback.jobs", what, HG_S("reason", why));
		return;
	}
	struct trace t = trace_of_job(w->context.tracer, job);
	jsonlog(w->log, level, "feedback.jobs", what, HG_I("job", job->id), HG_V("kind", job->kind),
	        HG_V("queue", job->queue), HG_I("attempt", job->attempt), HG_S("reason", why),
	        HG_V("trace_id", trace_id(&t)));
}

/* The span of an attempt; its parent is the one that has put the job there. */
static void on_ended(void *arg, const struct job *job, uint64_t ran_ms, enum jobs_end how)
{
	static const char *const outcome[] = {"done", "retried", "dead", "released", "lost"};
	struct worker *w = arg;
	struct tracer *tracer = w->context.tracer;
	struct trace t = trace_of_job(tracer, job);
	struct trace_span s;
	char name[JOBS_NAME_MAX + 1], id[24];
	uint64_t now_ns = clock_wall_ns();
	if (!trace_kept(tracer, &t) || !hg_str_copy(job->kind, name, sizeof name)) return;
	int n = snprintf(id, sizeof id, "%" PRId64, job->id);
	trace_begin(&s, tracer, &t, TRACE_SELF, SPAN_CONSUMER, name,
	        (struct trace_when){now_ns - ran_ms * 1000000u, now_ns});
	trace_str(&s, "messaging.system", HG_STR("feedback"));
	trace_str(&s, "messaging.operation.name", HG_STR("process"));
	trace_str(&s, "messaging.operation.type", HG_STR("process"));
	trace_str(&s, "messaging.destination.name", job->queue);
	trace_str(&s, "messaging.message.id", (struct hg_str){id, (size_t)n});
	trace_int(&s, "job.attempt", job->attempt);
	trace_str(&s, "job.outcome", hg_str(outcome[how]));
	if (how == JOBS_END_RETRIED || how == JOBS_END_DEAD || how == JOBS_END_LOST)
		trace_failed(&s, hg_str(outcome[how]));
	trace_end(&s);
}

static enum hg_rc start_relay(struct worker *w, struct loop *l, const struct config *c,
        const struct jobs_worker_options *as, struct hg_err *err)
{
	struct jobs_relay_options o = {.database = as->database,
	        .durability = as->durability,
	        .name = as->name,
	        .queue = as->queue,
	        .queue_count = as->queue_count,
	        .driver = as->broker,
	        .url = as->broker_url,
	        .lease_ms = c->sent_lease_ms,
	        .note = on_note,
	        .arg = w};
	if (o.driver) return jobs_relay_new(l, &o, &w->relay, err);
	hg_err_set(err, HG_E_INVALID, "QUEUE_URL names no broker that is known");
	hg_err_hint(err,
	        "redis://HOST[:PORT][/DB] or amqp://USER:PASSWORD@HOST[/VHOST]; rediss:// and "
	        "amqps:// with TLS");
	return HG_E_INVALID;
}

enum hg_rc worker_new(struct loop *l, const struct config *c, struct jsonlog *log,
        struct tracer *tracer, struct worker **ret_worker, struct hg_err *err)
{
	const char *queue[JOBS_QUEUES_MAX];
	char host[64] = "localhost";
	struct worker *w = calloc(1, sizeof *w);
	if (!w) return hg_err_set(err, HG_E_NOMEM, "not enough memory for a worker");
	w->log = log;
	w->context = (struct jobs_context){c, log, l, tracer};
	jobs_kinds_make(&w->context, &w->kinds);
	(void)gethostname(host, sizeof host - 1);
	snprintf(w->name, sizeof w->name, "%s:%d", host, (int)getpid());
	for (uint32_t i = 0; i < c->queue_count; i++)
		queue[i] = c->queue[i];
	struct jobs_worker_options o = {.database = c->database,
	        .durability = c->durability,
	        .name = w->name,
	        .queue = queue,
	        .queue_count = c->queue_count,
	        .kind = w->kinds.kind,
	        .kind_count = w->kinds.n,
	        .slots = c->concurrency,
	        .lease_ms = c->lease_ms,
	        .note = on_note,
	        .ended = on_ended,
	        .arg = w};
	enum hg_rc rc = HG_OK;
	if (c->queue_url[0]) {
		o.broker = relay_driver_of(c->queue_url);
		o.broker_url = c->queue_url;
		rc = start_relay(w, l, c, &o, err);
	}
	if (rc == HG_OK) rc = jobs_worker_new(l, &o, &w->jobs, err);
	if (rc < 0)
		worker_free(w);
	else
		*ret_worker = w;
	return rc;
}

void worker_nudge(struct worker *w)
{
	if (!w) return;
	if (w->relay)
		jobs_relay_nudge(w->relay);
	else
		jobs_worker_nudge(w->jobs);
}

static void on_part_stopped(void *arg)
{
	struct worker *w = arg;
	if (--w->ending == 0) w->stopped(w->stopped_arg);
}

void worker_stop(struct worker *w, uint32_t within_ms, void (*stopped)(void *arg), void *arg)
{
	w->stopped = stopped;
	w->stopped_arg = arg;
	w->ending = w->relay ? 2 : 1;
	if (w->relay) jobs_relay_stop(w->relay, on_part_stopped, w);
	jobs_worker_stop(w->jobs, within_ms, on_part_stopped, w);
}

void worker_free(struct worker *w)
{
	if (!w) return;
	jobs_relay_free(w->relay);
	jobs_worker_free(w->jobs);
	jobs_kinds_unmake(&w->kinds);
	free(w);
}

bool worker_connected(const struct worker *w)
{
	struct jobs_stats s;
	jobs_worker_stats(w->jobs, &s);
	return s.connected;
}

static void finished_text(const struct jobs_stats *s, struct hg_buf *to)
{
	hg_buf_cstr(to, "# HELP jobs_finished_total Attempts of jobs that ended, by how\n"
	                "# TYPE jobs_finished_total counter\n");
	for (uint32_t i = 0; i < s->kind_count; i++) {
		const struct jobs_kind_stats *k = &s->kind[i];
		const struct {
			const char *outcome;
			uint64_t n;
		} row[] = {{"done", k->ok}, {"retried", k->retried}, {"dead", k->dead},
		        {"lost", k->lost}};
		for (size_t j = 0; j < HG_COUNT(row); j++)
			hg_buf_fmt(to,
			        "jobs_finished_total{kind=\"%s\",outcome=\"%s\"} %" PRIu64 "\n",
			        k->kind, row[j].outcome, row[j].n);
	}
}

static void duration_text(const struct jobs_stats *s, struct hg_buf *to)
{
	static const char *const name = "job_duration_seconds";
	hg_buf_fmt(
	        to, "# HELP %s How long attempts of jobs ran\n# TYPE %s histogram\n", name, name);
	for (uint32_t i = 0; i < s->kind_count; i++) {
		const struct jobs_kind_stats *k = &s->kind[i];
		uint64_t n = 0;
		for (size_t b = 0; b <= JOBS_BUCKETS; b++) {
			char le[24] = "+Inf";
			n += k->bucket[b];
			if (b < JOBS_BUCKETS)
				snprintf(le, sizeof le, "%g", jobs_bucket_ms[b] / 1e3);
			hg_buf_fmt(to, "%s_bucket{kind=\"%s\",le=\"%s\"} %" PRIu64 "\n", name,
			        k->kind, le, n);
		}
		hg_buf_fmt(to, "%s_sum{kind=\"%s\"} %.3f\n%s_count{kind=\"%s\"} %" PRIu64 "\n",
		        name, k->kind, (double)k->sum_ms / 1e3, name, k->kind, n);
	}
}

static void relay_text(const struct worker *w, struct hg_buf *to)
{
	struct jobs_relay_stats s;
	jobs_relay_stats(w->relay, &s);
	hg_buf_fmt(to,
	        "# HELP queue_broker_up Whether the broker is connected\n"
	        "# TYPE queue_broker_up gauge\nqueue_broker_up %d\n"
	        "# HELP queue_relayed_total Jobs that the broker has confirmed\n"
	        "# TYPE queue_relayed_total counter\nqueue_relayed_total %" PRIu64 "\n"
	        "# HELP queue_returned_total Jobs that it did not, and that went back\n"
	        "# TYPE queue_returned_total counter\nqueue_returned_total %" PRIu64 "\n",
	        s.connected, s.published, s.returned);
}

void worker_metrics(const struct worker *w, struct hg_buf *to)
{
	struct jobs_stats s;
	jobs_worker_stats(w->jobs, &s);
	finished_text(&s, to);
	duration_text(&s, to);
	hg_buf_fmt(to,
	        "# HELP jobs_running Jobs that this worker has under way\n"
	        "# TYPE jobs_running gauge\njobs_running %u\n"
	        "# HELP jobs_slots Jobs that it does at once\n"
	        "# TYPE jobs_slots gauge\njobs_slots %u\n"
	        "# HELP jobs_claimed_total Jobs that it has claimed\n"
	        "# TYPE jobs_claimed_total counter\njobs_claimed_total %" PRIu64 "\n"
	        "# HELP jobs_rescued_total Jobs whose lease was over and that it put back\n"
	        "# TYPE jobs_rescued_total counter\njobs_rescued_total %" PRIu64 "\n"
	        "# HELP jobs_released_total Jobs that it gave back when it stopped\n"
	        "# TYPE jobs_released_total counter\njobs_released_total %" PRIu64 "\n"
	        "# HELP jobs_database_up Whether the queue's database answered the last time\n"
	        "# TYPE jobs_database_up gauge\njobs_database_up %d\n",
	        s.running, s.slots, s.claimed, s.rescued, s.released, s.connected);
	if (w->relay) relay_text(w, to);
}
