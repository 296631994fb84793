#include "jobs/worker_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "os/clock.h"

#define SLOTS_DEFAULT   8u
#define TIMEOUT_MS      60000u
#define CANCEL_GRACE_MS 5000u
#define STATE_WAIT_MS   1000u /* looked at again at least so often */
#define TURN_MS         8000u /* longer, and the server hangs: the connection is left */

const uint32_t jobs_bucket_ms[JOBS_BUCKETS] = {10, 50, 100, 500, 1000, 5000, 15000, 60000, 300000};

#define WORKER_MAGIC 0x10b5a001u

struct jobs_worker {
	uint32_t magic;
	struct loop *loop;
	struct jobs_setting set;
	void (*note)(void *arg, enum hg_level level, const char *what, const struct job *job,
	        const char *why);
	void (*on_ended)(void *arg, const struct job *job, uint64_t ran_ms, enum jobs_end how);
	void *arg;
	struct jobs_thread *thread;
	struct hg_list runs;  /* claimed, until their end was written */
	struct hg_list ended; /* of those: their end is to be written */
	/* A broker's, when it brings the jobs. */
	const struct relay_driver *broker;
	void *driver;
	struct jobs_message message[JOBS_SLOTS_MAX]; /* delivered, and not yet taken */
	uint32_t messages;
	struct turn *turn; /* one, used again and again */
	bool under_way;
	struct jobs_pace pace;
	struct hg_rand rand;
	struct loop_task look;
	struct loop_timer wake, stopping;
	uint32_t queue_first;
	int64_t wall_offset_ms; /* the database's clock less the monotonic one */
	void (*stopped)(void *arg);
	void *stopped_arg;
	bool forced; /* the end of a stop is not waited for any longer */
	struct jobs_stats stats;
};

static void note(struct jobs_worker *w, enum hg_level level, const char *what,
        const struct job *job, const char *why)
{
	if (w->note) w->note(w->arg, level, what, job, why ? why : "");
}

/* ---- runs ---- */

const struct job *job_of(const struct job_run *run)
{
	return &run->claimed->job;
}

struct hg_str job_loaded(const struct job_run *run)
{
	return hg_buf_view(&run->loaded);
}

void job_set_data(struct job_run *run, void *data)
{
	run->data = data;
}

void *job_data(const struct job_run *run)
{
	return run->data;
}

struct loop *job_loop(const struct job_run *run)
{
	return run->worker->loop;
}

bool job_is_ours(const struct job_run *run)
{
	return !job_lease_lapsed(run->leased_mono_ms, run->lease_ms, clock_mono_ms());
}

static uint32_t timeout_of(const struct job_run *run)
{
	return run->kind && run->kind->timeout_ms ? run->kind->timeout_ms : TIMEOUT_MS;
}

/* What the worker makes of what the handler said, when it had asked for the end itself. */
static void judge(struct job_run *run)
{
	char said[256];
	if (run->cancelled == CANCEL_NOT || run->verdict == JOB_OK) return;
	if (run->cancelled == CANCEL_STOP) {
		run->verdict = JOB_RELEASE;
		hg_buf_reset(&run->text);
	} else if (run->cancelled == CANCEL_TIME) {
		snprintf(said, sizeof said, "%s", hg_buf_text(&run->text));
		hg_buf_reset(&run->text);
		hg_buf_fmt(&run->text, "over its time of %u ms%s%s", timeout_of(run),
		        said[0] ? ": " : "", said);
		if (run->verdict != JOB_GIVE_UP) run->verdict = JOB_RETRY;
	}
}

void job_end(struct job_run *run, const struct job_outcome *o)
{
	struct jobs_worker *w = HG_OBJ(run, struct job_run, JOB_RUN_MAGIC)->worker;
	HG_ASSERT(!run->over);
	run->over = true;
	if (!w) { /* the worker is gone, and waited for nobody */
		jobs_run_free(run);
		return;
	}
	loop_timer_stop(w->loop, &run->timer);
	run->verdict = o->verdict;
	run->after_ms = o->after_ms;
	if (o->text.p != run->text.p) {
		struct hg_str text = {o->text.p, HG_MIN(o->text.n, JOBS_ERROR_MAX)};
		hg_buf_reset(&run->text);
		hg_buf_str(&run->text, text);
	}
	run->unit = hg_rand_unit(&w->rand);
	judge(run);
	hg_list_append(&w->ended, &run->turn_node);
	loop_task_queue(w->loop, &w->look);
}

static void end_with(struct job_run *run, enum job_verdict verdict, const char *text)
{
	job_end(run, &(struct job_outcome){.verdict = verdict, .text = hg_str(text)});
}

static void cancel(struct job_run *run, enum job_cancel why)
{
	if (run->over) return;
	/* The stronger reason stays: what was lost cannot be given back. */
	if (run->cancelled != CANCEL_NOT && why != CANCEL_LOST) return;
	bool told = run->cancelled != CANCEL_NOT;
	run->cancelled = why;
	if (told) return;
	if (run->work)
		work_hurry(run->work);
	else if (run->kind && run->kind->cancel)
		run->kind->cancel(run->kind->arg, run);
}

static void on_time_over(struct loop *l, struct loop_timer *t)
{
	(void)l;
	cancel(HG_CONTAINER(t, struct job_run, timer), CANCEL_TIME);
}

static void on_thread(void *arg, const atomic_bool *stop)
{
	struct job_run *run = arg;
	run->verdict = run->kind->work(run->kind->arg, run, stop, &run->text);
}

static void on_thread_over(void *arg)
{
	struct job_run *run = arg;
	run->work = NULL;
	job_end(run, &(struct job_outcome){run->verdict, 0, hg_buf_view(&run->text)});
}

static void start(struct jobs_worker *w, struct job_run *run)
{
	char text[400];
	run->worker = w;
	run->started_mono_ms = loop_now_ms(w->loop);
	hg_list_append(&w->runs, &run->node);
	if (w->pace.stopping) {
		end_with(run, JOB_RELEASE, "");
	} else if (!run->kind) {
		snprintf(text, sizeof text, "this worker does not know the kind \"%.*s\"",
		        HG_STR_ARG(run->claimed->job.kind));
		end_with(run, JOB_RETRY, text);
	} else if (run->load_rc == HG_E_NOT_FOUND) {
		snprintf(text, sizeof text, "nothing to do: %s", run->load_why);
		end_with(run, JOB_OK, text);
	} else if (run->load_rc < 0) {
		end_with(run, JOB_RETRY, run->load_why);
	} else if (loop_timer_start(w->loop, &run->timer, timeout_of(run), on_time_over) < 0) {
		end_with(run, JOB_RELEASE, "");
	} else if (!run->kind->work) {
		run->kind->start(run->kind->arg, run);
	} else if (work_start(w->loop, on_thread, on_thread_over, run, &run->work) < 0) {
		end_with(run, JOB_RETRY, "no thread could be started");
	}
}

/* ---- messages ---- */

static void on_delivered(void *arg, const struct relay_delivery *d, const struct relay_message *m)
{
	struct jobs_worker *w = HG_OBJ(arg, struct jobs_worker, WORKER_MAGIC);
	/* More than was wanted: it comes again, to somebody who has room. */
	if (w->messages == JOBS_SLOTS_MAX) return;
	w->message[w->messages++] = (struct jobs_message){*d, m->id, m->lease};
	loop_task_queue(w->loop, &w->look);
}

static void on_broker_note(void *arg, enum hg_level level, const char *what, const char *why)
{
	note(HG_OBJ(arg, struct jobs_worker, WORKER_MAGIC), level, what, NULL, why);
}

/* The jobs are in the database now, or were before: the broker may forget the messages. */
static void acknowledge(struct jobs_worker *w, const struct turn *t)
{
	for (uint32_t i = 0; i < t->messages; i++)
		w->broker->ack(w->driver, &t->message[i].delivery);
	w->messages -= t->messages;
	memmove(w->message, w->message + t->messages, w->messages * sizeof w->message[0]);
}

/* How many messages can become runs now. */
static uint32_t takeable(const struct jobs_worker *w)
{
	uint32_t room = w->pace.running < w->set.slots ? w->set.slots - w->pace.running : 0;
	return w->pace.stopping ? 0 : HG_MIN(w->messages, room);
}

static void want(struct jobs_worker *w)
{
	uint32_t held = w->pace.running + w->messages;
	bool none = w->pace.stopping || w->pace.away || held >= w->set.slots;
	if (w->broker) w->broker->want(w->driver, none ? 0 : w->set.slots - held);
}

/* ---- turns ---- */

static uint32_t count(const struct hg_list *l)
{
	uint32_t n = 0;
	HG_LIST_EACH (node, l) {
		n++;
	}
	return n;
}

static struct jobs_kind_stats *stats_of(struct jobs_worker *w, const struct job_run *run)
{
	for (uint32_t i = 0; i < w->set.kinds; i++)
		if (run->kind == &w->set.kind[i]) return &w->stats.kind[i];
	return &w->stats.kind[w->set.kinds]; /* unknown kinds share one */
}

static enum jobs_end end_of(const struct job_run *run)
{
	if (run->ended == JOBS_NOT_OURS) return JOBS_END_LOST;
	if (run->next.state == JOB_DONE) return JOBS_END_DONE;
	if (run->next.state == JOB_DEAD) return JOBS_END_DEAD;
	return run->next.state == JOB_RETRYABLE ? JOBS_END_RETRIED : JOBS_END_RELEASED;
}

static void count_end(struct jobs_worker *w, const struct job_run *run)
{
	struct jobs_kind_stats *k = stats_of(w, run);
	uint64_t took_ms = loop_now_ms(w->loop) - run->started_mono_ms;
	size_t b = 0;
	if (w->on_ended) w->on_ended(w->arg, &run->claimed->job, took_ms, end_of(run));
	while (b < JOBS_BUCKETS && took_ms > jobs_bucket_ms[b])
		b++;
	k->bucket[b]++;
	k->sum_ms += took_ms;
	switch (end_of(run)) {
	case JOBS_END_LOST: k->lost++; break;
	case JOBS_END_DONE: k->ok++; break;
	case JOBS_END_DEAD: k->dead++; break;
	case JOBS_END_RETRIED: k->retried++; break;
	case JOBS_END_RELEASED: w->stats.released++; break;
	}
}

static void say_end(struct jobs_worker *w, struct job_run *run)
{
	const struct job *job = &run->claimed->job;
	const char *text = hg_buf_text(&run->text);
	if (run->ended == JOBS_NOT_OURS)
		note(w, HG_WARN, "job ended after its lease was another's", job, text);
	else if (run->next.state == JOB_DONE)
		note(w, HG_INFO, "job done", job, text);
	else if (run->next.state == JOB_DEAD)
		note(w, HG_ERROR, "job dead", job, text);
	else if (run->next.state == JOB_RETRYABLE)
		note(w, HG_WARN, "job failed, to be tried again", job, text);
	else
		note(w, HG_INFO, "job given back", job, "the worker stops");
}

static void finish_ends(struct jobs_worker *w, struct turn *t)
{
	for (struct hg_list *node; (node = hg_list_pop(&t->ending));) {
		struct job_run *run = HG_CONTAINER(node, struct job_run, turn_node);
		count_end(w, run);
		say_end(w, run);
		hg_list_remove(&run->node);
		jobs_run_free(run);
	}
}

static void take_beats(struct jobs_worker *w, const struct turn *t)
{
	HG_LIST_EACH_SAFE (node, after, &w->runs) {
		struct job_run *run = HG_CONTAINER(node, struct job_run, node);
		const struct job *job = &run->claimed->job;
		for (uint32_t i = 0; i < t->beats; i++) {
			if (t->beat[i].id != job->id || t->beat[i].lease != job->lease) continue;
			if (t->beat[i].ours)
				run->leased_mono_ms = t->begun_mono_ms;
			else
				cancel(run, CANCEL_LOST);
		}
	}
}

static void pace_after(struct jobs_worker *w, const struct turn *t)
{
	struct jobs_pace *p = &w->pace;
	uint64_t now = loop_now_ms(w->loop);
	if (p->away) note(w, HG_INFO, "the queue's database answers again", NULL, NULL);
	p->away = false;
	p->failures = 0;
	if (t->plan.beat) p->beat_mono_ms = t->begun_mono_ms;
	if (t->plan.rescue) p->rescued_mono_ms = now;
	if (t->plan.sweep) p->swept_mono_ms = now;
	if (t->claimed_n && hg_list_empty(&w->runs)) p->beat_mono_ms = t->begun_mono_ms;
	if (t->claim_asked) {
		p->claimed_mono_ms = now;
		p->next_due_ms = t->next_due_ms;
		p->more = t->plan.claim && t->claim_full;
		p->idle = t->claimed_n ? 0 : p->idle + 1;
	}
	w->wall_offset_ms = t->now_ms - (int64_t)now;
	w->stats.connected = true;
	w->stats.claimed += t->claimed_n;
	w->stats.rescued += t->rescued;
	if (t->rescued) note(w, HG_WARN, "took over jobs whose lease was over", NULL, NULL);
}

static void turn_failed(struct jobs_worker *w, struct turn *t)
{
	struct hg_list *node;
	/* As if it had not begun: the ends are written by another. */
	while ((node = hg_list_pop(&t->ending)))
		hg_list_append(&w->ended, node);
	if (!w->pace.away)
		note(w, HG_ERROR, "the queue's database does not answer", NULL, t->err.message);
	w->pace.away = true;
	w->pace.failures++;
	w->stats.connected = false;
}

static void on_turn(void *arg)
{
	struct jobs_worker *w = HG_OBJ(arg, struct jobs_worker, WORKER_MAGIC);
	struct turn *t = w->turn;
	w->under_way = false;
	w->pace.tried_mono_ms = loop_now_ms(w->loop);
	if (t->rc < 0) {
		turn_failed(w, t);
	} else {
		pace_after(w, t);
		acknowledge(w, t);
		finish_ends(w, t);
		take_beats(w, t);
		for (struct hg_list *node; (node = hg_list_pop(&t->claimed));)
			start(w, HG_CONTAINER(node, struct job_run, turn_node));
	}
	loop_task_queue(w->loop, &w->look);
}

static void begin_turn(struct jobs_worker *w, const struct jobs_plan *plan)
{
	struct turn *t = w->turn;
	*t = (struct turn){.plan = *plan,
	        .claim_asked = plan->claim > 0,
	        .queue_first = w->queue_first++,
	        .begun_mono_ms = clock_mono_ms()};
	hg_list_init(&t->ending);
	hg_list_init(&t->claimed);
	for (struct hg_list *node; (node = hg_list_pop(&w->ended));)
		hg_list_append(&t->ending, node);
	if (plan->beat) {
		HG_LIST_EACH (node, &w->runs) {
			const struct job_run *run = HG_CONTAINER(node, struct job_run, node);
			if (run->over || t->beats == JOBS_SLOTS_MAX) continue;
			t->beat[t->beats++] = (struct jobs_beat){
			        run->claimed->job.id, run->claimed->job.lease, false};
		}
	}
	t->messages = takeable(w);
	memcpy(t->message, w->message, t->messages * sizeof t->message[0]);
	if (plan->claim) w->pace.nudged = false;
	w->under_way = true;
	jobs_thread_give(w->thread, t);
}

/* Returns when the next lease may lapse. */
static uint64_t guard_leases(struct jobs_worker *w, uint64_t now)
{
	uint64_t next = UINT64_MAX;
	HG_LIST_EACH_SAFE (node, after, &w->runs) {
		struct job_run *run = HG_CONTAINER(node, struct job_run, node);
		if (run->over) continue;
		if (job_lease_lapsed(run->leased_mono_ms, w->set.lease_ms, now))
			cancel(run, CANCEL_LOST);
		else
			next = HG_MIN(
			        next, run->leased_mono_ms + w->set.lease_ms - w->set.lease_ms / 10);
	}
	return next;
}

static bool may_leave(const struct jobs_worker *w)
{
	if (!w->pace.stopping || !w->stopped) return false;
	return w->forced || (!w->under_way && hg_list_empty(&w->runs) && hg_list_empty(&w->ended));
}

static void on_wake(struct loop *l, struct loop_timer *t);

static void look(struct jobs_worker *w)
{
	uint64_t now = loop_now_ms(w->loop);
	uint64_t wake = HG_MIN(guard_leases(w, now), now + STATE_WAIT_MS);
	if (may_leave(w)) {
		void (*stopped)(void *arg) = w->stopped;
		w->stopped = NULL;
		stopped(w->stopped_arg);
		return;
	}
	if (w->under_way && clock_mono_ms() > w->turn->begun_mono_ms + TURN_MS)
		jobs_thread_interrupt(w->thread);
	if (!w->under_way) {
		w->pace.running = count(&w->runs);
		want(w);
		w->pace.ended = !hg_list_empty(&w->ended) || takeable(w);
		struct jobs_plan plan = jobs_decide_plan(
		        &w->pace, w->wall_offset_ms + (int64_t)now, now, hg_rand_unit(&w->rand));
		if (plan.any)
			begin_turn(w, &plan);
		else
			wake = HG_MIN(wake, plan.wake_mono_ms);
	}
	/* Without memory for a timer the next event looks again. */
	(void)!loop_timer_start(w->loop, &w->wake, wake > now ? wake - now : 1, on_wake);
}

static void on_wake(struct loop *l, struct loop_timer *t)
{
	(void)l;
	look(HG_CONTAINER(t, struct jobs_worker, wake));
}

static void on_look(struct loop *l, struct loop_task *t)
{
	(void)l;
	look(HG_CONTAINER(t, struct jobs_worker, look));
}

/* ---- the worker ---- */

static bool name_ok(const char *name)
{
	size_t n = name ? strlen(name) : 0;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
			return false;
	}
	return n > 0 && n <= JOBS_NAME_MAX;
}

static enum hg_rc take_options(
        struct jobs_setting *set, const struct jobs_worker_options *o, struct hg_err *err)
{
	if (o->queue_count == 0 || o->queue_count > JOBS_QUEUES_MAX ||
	        o->kind_count > JOBS_KINDS_MAX - 1 || o->slots > JOBS_SLOTS_MAX)
		return hg_err_set(err, HG_E_INVALID,
		        "a worker has 1 to %u queues, %u kinds and %u jobs at once at most",
		        JOBS_QUEUES_MAX, JOBS_KINDS_MAX - 1, JOBS_SLOTS_MAX);
	for (uint32_t i = 0; i < o->queue_count; i++) {
		if (!name_ok(o->queue[i]))
			return hg_err_set(err, HG_E_INVALID,
			        "\"%.64s\" is no name of a queue: 1 to 64 letters, digits, -, _ "
			        "and .",
			        o->queue[i]);
		snprintf(set->queue_text[i], sizeof set->queue_text[i], "%s", o->queue[i]);
		set->queue[i] = set->queue_text[i];
	}
	set->queues = o->queue_count;
	for (uint32_t i = 0; i < o->kind_count; i++)
		set->kind[i] = o->kind[i];
	set->kinds = o->kind_count;
	set->slots = o->slots ? o->slots : SLOTS_DEFAULT;
	set->lease_ms = o->lease_ms ? o->lease_ms : JOBS_LEASE_MS;
	set->keep_ms = JOBS_KEEP_MS;
	set->durability = o->durability;
	if (set->lease_ms < 1000)
		return hg_err_set(err, HG_E_INVALID, "a lease is at least one second");
	if (!hg_str_copy(hg_str(o->database), set->database, sizeof set->database))
		return hg_err_set(err, HG_E_INVALID, "the database's address is too long");
	(void)hg_str_copy(hg_str(o->name), set->name, sizeof set->name);
	return HG_OK;
}

static void init_stats(struct jobs_worker *w)
{
	w->stats.slots = w->set.slots;
	w->stats.kind_count = w->set.kinds + 1;
	for (uint32_t i = 0; i < w->set.kinds; i++)
		w->stats.kind[i].kind = w->set.kind[i].name;
	w->stats.kind[w->set.kinds].kind = "unknown";
}

static enum hg_rc open_broker(
        struct jobs_worker *w, const struct jobs_worker_options *o, struct hg_err *err)
{
	struct relay_driver_options with = {.url = o->broker_url,
	        .consumer = w->set.name,
	        .queue = w->set.queue,
	        .queue_count = w->set.queues,
	        .delivered = on_delivered,
	        .note = on_broker_note,
	        .arg = w};
	enum hg_rc rc = o->broker->open(w->loop, &with, &w->driver, err);
	if (rc == HG_OK) w->broker = o->broker;
	return rc;
}

enum hg_rc jobs_worker_new(struct loop *l, const struct jobs_worker_options *o,
        struct jobs_worker **ret_worker, struct hg_err *err)
{
	struct jobs_worker *w = calloc(1, sizeof *w);
	enum hg_rc rc = HG_E_NOMEM;
	if (!w) return hg_err_set(err, rc, "not enough memory for a worker");
	*w = (struct jobs_worker){.magic = WORKER_MAGIC,
	        .loop = l,
	        .note = o->note,
	        .on_ended = o->ended,
	        .arg = o->arg};
	hg_list_init(&w->runs);
	hg_list_init(&w->ended);
	loop_task_init(&w->look, on_look);
	hg_rand_seed(&w->rand, clock_mono_ns() ^ (uintptr_t)w);
	rc = take_options(&w->set, o, err);
	if (rc < 0) goto out;
	w->pace.slots = w->set.slots;
	w->pace.lease_ms = w->set.lease_ms;
	w->pace.next_due_ms = INT64_MAX;
	init_stats(w);
	w->pace.by_broker = o->broker != NULL;
	w->turn = calloc(1, sizeof *w->turn);
	rc = w->turn ? jobs_thread_new(l, &w->set, on_turn, w, &w->thread) : HG_E_NOMEM;
	if (rc < 0) {
		hg_err_set(err, rc, "the worker's thread could not be started");
		goto out;
	}
	if (o->broker) {
		rc = open_broker(w, o, err);
		if (rc < 0) goto out;
	}
	loop_task_queue(l, &w->look);
	*ret_worker = w;
	return HG_OK;
out:
	jobs_worker_free(w);
	return rc;
}

void jobs_worker_nudge(struct jobs_worker *w)
{
	if (w->pace.nudged || w->pace.stopping) return;
	w->pace.nudged = true;
	loop_task_queue(w->loop, &w->look);
}

static void on_stop_forced(struct loop *l, struct loop_timer *t)
{
	struct jobs_worker *w = HG_CONTAINER(t, struct jobs_worker, stopping);
	(void)l;
	w->forced = true;
	loop_task_queue(w->loop, &w->look);
}

static void on_stop_over(struct loop *l, struct loop_timer *t)
{
	struct jobs_worker *w = HG_CONTAINER(t, struct jobs_worker, stopping);
	HG_LIST_EACH_SAFE (node, after, &w->runs) {
		cancel(HG_CONTAINER(node, struct job_run, node), CANCEL_STOP);
	}
	if (loop_timer_start(l, t, CANCEL_GRACE_MS, on_stop_forced) < 0) w->forced = true;
	loop_task_queue(w->loop, &w->look);
}

void jobs_worker_stop(
        struct jobs_worker *w, uint32_t within_ms, void (*stopped)(void *arg), void *arg)
{
	w->pace.stopping = true;
	w->stopped = stopped;
	w->stopped_arg = arg;
	if (loop_timer_start(w->loop, &w->stopping, within_ms, on_stop_over) < 0)
		on_stop_over(w->loop, &w->stopping);
	loop_task_queue(w->loop, &w->look);
}

/* `whole`: the thread has ended, and reads no run any more. */
static void abandon(struct job_run *run, bool whole)
{
	struct loop *l = run->worker->loop;
	if (run->work) {
		run->cancelled = CANCEL_LOST;
		work_stop(run->work);
		run->work = NULL;
		run->over = true;
	} else {
		cancel(run, CANCEL_LOST);
	}
	loop_timer_stop(l, &run->timer);
	hg_list_remove(&run->node);
	/* A handler that has not come to its end yet says so later, to nobody. */
	run->worker = NULL;
	if (run->over && whole) jobs_run_free(run);
}

void jobs_worker_free(struct jobs_worker *w)
{
	if (!w) return;
	if (w->broker) w->broker->close(w->driver);
	bool whole = jobs_thread_free(w->thread);
	HG_LIST_EACH_SAFE (node, after, &w->runs) {
		abandon(HG_CONTAINER(node, struct job_run, node), whole);
	}
	if (w->turn && w->under_way && whole)
		for (struct hg_list *node; (node = hg_list_pop(&w->turn->claimed));)
			jobs_run_free(HG_CONTAINER(node, struct job_run, turn_node));
	loop_timer_stop(w->loop, &w->wake);
	loop_timer_stop(w->loop, &w->stopping);
	loop_task_cancel(&w->look);
	if (!whole) return; /* the thread still reads the settings and writes to the turn */
	free(w->turn);
	w->magic = 0;
	free(w);
}

void jobs_worker_stats(const struct jobs_worker *w, struct jobs_stats *ret_stats)
{
	*ret_stats = w->stats;
	ret_stats->running = count(&w->runs);
}
