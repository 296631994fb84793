#include "jobs/worker_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "jobs/amqp_relay.h"
#include "os/clock.h"

#define RELAY_MAGIC 0x2e1a7001u
#define STOP_MS     3000u
#define WAIT_MS     1000u

struct jobs_relay {
	uint32_t magic;
	struct loop *loop;
	struct jobs_setting set;
	void (*note)(void *arg, enum hg_level level, const char *what, const struct job *job,
	        const char *why);
	void *arg;
	const struct relay_driver *driver;
	void *d;
	struct jobs_thread *thread;
	struct turn *turn;
	bool under_way;
	struct hg_list unconfirmed; /* struct job_run by node */
	struct hg_list returned;    /* by turn_node: to be given back */
	struct jobs_pace pace;
	struct hg_rand rand;
	struct loop_task look;
	struct loop_timer wake, stopping;
	void (*stopped)(void *arg);
	void *stopped_arg;
	bool forced;
	struct jobs_relay_stats stats;
};

static const struct {
	const char *prefix;
	const struct relay_driver *driver;
} drivers[] = {
        {"redis://", &relay_redis},
        {"rediss://", &relay_redis},
        {"unix:", &relay_redis},
        {"redis+unix://", &relay_redis},
        {"amqp://", &relay_rabbitmq},
        {"amqps://", &relay_rabbitmq},
};

const struct relay_driver *relay_driver_of(const char *url)
{
	for (size_t i = 0; i < HG_COUNT(drivers); i++)
		if (hg_str_starts(hg_str(url), hg_str(drivers[i].prefix))) return drivers[i].driver;
	return NULL;
}

static void note(struct jobs_relay *r, enum hg_level level, const char *what, const char *why)
{
	if (r->note) r->note(r->arg, level, what, NULL, why ? why : "");
}

static void on_broker_note(void *arg, enum hg_level level, const char *what, const char *why)
{
	note(HG_OBJ(arg, struct jobs_relay, RELAY_MAGIC), level, what, why);
}

static void on_delivered(void *arg, const struct relay_delivery *d, const struct relay_message *m)
{
	(void)arg; /* nothing is wanted, and nothing comes */
	(void)d;
	(void)m;
}

/* The broker does not have it, or may not: whatever it has does not fit any more then. */
static void give_back(struct jobs_relay *r, struct job_run *run)
{
	run->over = true;
	hg_list_remove(&run->node);
	hg_list_append(&r->returned, &run->turn_node);
	r->stats.returned++;
}

static void on_confirmed(void *arg, int64_t id, int64_t lease, enum hg_rc rc)
{
	struct jobs_relay *r = HG_OBJ(arg, struct jobs_relay, RELAY_MAGIC);
	HG_LIST_EACH_SAFE (node, after, &r->unconfirmed) {
		struct job_run *run = HG_CONTAINER(node, struct job_run, node);
		const struct job *job = &run->claimed->job;
		if (job->id != id || job->lease != lease) continue;
		if (rc == HG_OK) {
			r->stats.published++;
			hg_list_remove(&run->node);
			jobs_run_free(run);
		} else {
			give_back(r, run);
		}
	}
	loop_task_queue(r->loop, &r->look);
}

static void publish(struct jobs_relay *r, struct job_run *run)
{
	const struct job *job = &run->claimed->job;
	struct relay_message m = {job->id, job->lease, job->queue, job->kind};
	hg_list_append(&r->unconfirmed, &run->node);
	if (r->driver->publish(r->d, &m) < 0) give_back(r, run);
}

static uint32_t count(const struct hg_list *l)
{
	uint32_t n = 0;
	HG_LIST_EACH (node, l) {
		n++;
	}
	return n;
}

static void turn_failed(struct jobs_relay *r, struct turn *t)
{
	struct hg_list *node;
	while ((node = hg_list_pop(&t->ending)))
		hg_list_append(&r->returned, node);
	if (!r->pace.away)
		note(r, HG_ERROR, "the queue's database does not answer", t->err.message);
	r->pace.away = true;
	r->pace.failures++;
}

static void on_turn(void *arg)
{
	struct jobs_relay *r = HG_OBJ(arg, struct jobs_relay, RELAY_MAGIC);
	struct jobs_pace *p = &r->pace;
	struct turn *t = r->turn;
	struct hg_list *node;
	r->under_way = false;
	p->tried_mono_ms = loop_now_ms(r->loop);
	loop_task_queue(r->loop, &r->look);
	if (t->rc < 0) {
		turn_failed(r, t);
		return;
	}
	if (p->away) note(r, HG_INFO, "the queue's database answers again", NULL);
	p->away = false;
	p->failures = 0;
	if (t->claim_asked) {
		p->claimed_mono_ms = p->tried_mono_ms;
		p->next_due_ms = t->next_due_ms;
		p->more = t->plan.claim && t->claim_full;
		p->idle = t->claimed_n ? 0 : p->idle + 1;
	}
	while ((node = hg_list_pop(&t->ending)))
		jobs_run_free(HG_CONTAINER(node, struct job_run, turn_node));
	while ((node = hg_list_pop(&t->claimed)))
		publish(r, HG_CONTAINER(node, struct job_run, turn_node));
}

static void begin_turn(struct jobs_relay *r, const struct jobs_plan *plan)
{
	struct turn *t = r->turn;
	*t = (struct turn){.plan = {.claim = plan->claim},
	        .claim_asked = plan->claim > 0,
	        .begun_mono_ms = clock_mono_ms()};
	hg_list_init(&t->ending);
	hg_list_init(&t->claimed);
	for (struct hg_list *node; (node = hg_list_pop(&r->returned));)
		hg_list_append(&t->ending, node);
	if (plan->claim) r->pace.nudged = false;
	r->under_way = true;
	jobs_thread_give(r->thread, t);
}

static bool may_leave(const struct jobs_relay *r)
{
	if (!r->pace.stopping || !r->stopped) return false;
	return r->forced ||
	       (!r->under_way && hg_list_empty(&r->unconfirmed) && hg_list_empty(&r->returned));
}

static void on_wake(struct loop *l, struct loop_timer *t);

static void look(struct jobs_relay *r)
{
	uint64_t now = loop_now_ms(r->loop), wake = now + WAIT_MS;
	if (may_leave(r)) {
		void (*stopped)(void *arg) = r->stopped;
		r->stopped = NULL;
		stopped(r->stopped_arg);
		return;
	}
	r->stats.connected = r->driver->connected(r->d);
	if (!r->under_way) {
		r->pace.slots = r->stats.connected ? RELAY_UNCONFIRMED_MAX : 0;
		r->pace.running = count(&r->unconfirmed);
		r->pace.ended = !hg_list_empty(&r->returned);
		struct jobs_plan plan = jobs_decide_plan(
		        &r->pace, (int64_t)clock_wall_ms(), now, hg_rand_unit(&r->rand));
		if (plan.claim || r->pace.ended)
			begin_turn(r, &plan);
		else if (plan.wake_mono_ms > now)
			wake = HG_MIN(wake, plan.wake_mono_ms);
	}
	/* Without memory for a timer the next event looks again. */
	(void)!loop_timer_start(r->loop, &r->wake, wake - now, on_wake);
}

static void on_wake(struct loop *l, struct loop_timer *t)
{
	(void)l;
	look(HG_CONTAINER(t, struct jobs_relay, wake));
}

static void on_look(struct loop *l, struct loop_task *t)
{
	(void)l;
	look(HG_CONTAINER(t, struct jobs_relay, look));
}

static enum hg_rc take_options(
        struct jobs_setting *set, const struct jobs_relay_options *o, struct hg_err *err)
{
	if (o->queue_count == 0 || o->queue_count > JOBS_QUEUES_MAX)
		return hg_err_set(err, HG_E_INVALID, "a relay has 1 to %u queues", JOBS_QUEUES_MAX);
	for (uint32_t i = 0; i < o->queue_count; i++) {
		snprintf(set->queue_text[i], sizeof set->queue_text[i], "%s", o->queue[i]);
		set->queue[i] = set->queue_text[i];
	}
	set->queues = o->queue_count;
	set->send = true;
	set->lease_ms = o->lease_ms ? o->lease_ms : RELAY_LEASE_MS;
	set->durability = o->durability;
	(void)hg_str_copy(hg_str(o->name), set->name, sizeof set->name);
	if (hg_str_copy(hg_str(o->database), set->database, sizeof set->database)) return HG_OK;
	return hg_err_set(err, HG_E_INVALID, "the database's address is too long");
}

static enum hg_rc open_driver(
        struct jobs_relay *r, const struct jobs_relay_options *o, struct hg_err *err)
{
	struct relay_driver_options with = {.url = o->url,
	        .consumer = r->set.name,
	        .queue = r->set.queue,
	        .queue_count = r->set.queues,
	        .delivered = on_delivered,
	        .confirmed = on_confirmed,
	        .note = on_broker_note,
	        .arg = r};
	enum hg_rc rc = o->driver->open(r->loop, &with, &r->d, err);
	if (rc == HG_OK) r->driver = o->driver;
	return rc;
}

enum hg_rc jobs_relay_new(struct loop *l, const struct jobs_relay_options *o,
        struct jobs_relay **ret_relay, struct hg_err *err)
{
	struct jobs_relay *r = calloc(1, sizeof *r);
	enum hg_rc rc = HG_E_NOMEM;
	if (!r) return hg_err_set(err, rc, "not enough memory for a relay");
	*r = (struct jobs_relay){.magic = RELAY_MAGIC, .loop = l, .note = o->note, .arg = o->arg};
	hg_list_init(&r->unconfirmed);
	hg_list_init(&r->returned);
	loop_task_init(&r->look, on_look);
	hg_rand_seed(&r->rand, clock_mono_ns() ^ (uintptr_t)r);
	rc = take_options(&r->set, o, err);
	if (rc < 0) goto out;
	r->pace.lease_ms = r->set.lease_ms;
	r->pace.next_due_ms = INT64_MAX;
	r->turn = calloc(1, sizeof *r->turn);
	rc = r->turn ? jobs_thread_new(l, &r->set, on_turn, r, &r->thread) : HG_E_NOMEM;
	if (rc < 0) {
		hg_err_set(err, rc, "the relay's thread could not be started");
		goto out;
	}
	rc = open_driver(r, o, err);
	if (rc < 0) goto out;
	loop_task_queue(l, &r->look);
	*ret_relay = r;
	return HG_OK;
out:
	jobs_relay_free(r);
	return rc;
}

void jobs_relay_nudge(struct jobs_relay *r)
{
	if (r->pace.nudged || r->pace.stopping) return;
	r->pace.nudged = true;
	loop_task_queue(r->loop, &r->look);
}

static void on_stop_forced(struct loop *l, struct loop_timer *t)
{
	struct jobs_relay *r = HG_CONTAINER(t, struct jobs_relay, stopping);
	r->forced = true;
	loop_task_queue(l, &r->look);
}

void jobs_relay_stop(struct jobs_relay *r, void (*stopped)(void *arg), void *arg)
{
	r->pace.stopping = true;
	r->stopped = stopped;
	r->stopped_arg = arg;
	if (loop_timer_start(r->loop, &r->stopping, STOP_MS, on_stop_forced) < 0) r->forced = true;
	loop_task_queue(r->loop, &r->look);
}

void jobs_relay_free(struct jobs_relay *r)
{
	struct hg_list *node;
	if (!r) return;
	if (r->driver) r->driver->close(r->d);
	bool whole = jobs_thread_free(r->thread);
	while ((node = hg_list_pop(&r->unconfirmed)))
		jobs_run_free(HG_CONTAINER(node, struct job_run, node));
	while ((node = hg_list_pop(&r->returned)))
		jobs_run_free(HG_CONTAINER(node, struct job_run, turn_node));
	if (r->turn && r->under_way && whole) {
		while ((node = hg_list_pop(&r->turn->claimed)))
			jobs_run_free(HG_CONTAINER(node, struct job_run, turn_node));
		while ((node = hg_list_pop(&r->turn->ending)))
			jobs_run_free(HG_CONTAINER(node, struct job_run, turn_node));
	}
	loop_timer_stop(r->loop, &r->wake);
	loop_timer_stop(r->loop, &r->stopping);
	loop_task_cancel(&r->look);
	if (!whole) return; /* the thread still reads the settings and writes to the turn */
	free(r->turn);
	r->magic = 0;
	free(r);
}

void jobs_relay_stats(const struct jobs_relay *r, struct jobs_relay_stats *ret_stats)
{
	*ret_stats = r->stats;
	ret_stats->unconfirmed = count(&r->unconfirmed);
}
