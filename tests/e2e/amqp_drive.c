/*
 * Drives the RabbitMQ driver of src/jobs as relay and consumer at once: publishes the numbers 1 … N
 * until each is confirmed, takes what comes and acknowledges it, and prints one JSON object:
 *   amqp_drive URL QUEUE N SECONDS RATE [mute]
 * RATE: messages a second; 0: as fast as it goes. "mute": nothing is acknowledged. SIGTERM: no
 * further numbers; it ends when those that were begun are through.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "jobs/amqp_relay.h"
#include "jobs/jobs.h"
#include "os/clock.h"

#define HELD 4u /* at a time, as a worker with so many slots */

enum { NEW, UNDER_WAY, CONFIRMED };

struct run {
	struct loop *loop;
	void *driver;
	struct loop_timer tick;
	const char *queue;
	uint32_t n, rate, next, through; /* numbers up to `through` are confirmed */
	unsigned char *state;            /* of each number */
	uint32_t *times;                 /* it was delivered */
	uint64_t born_ms, until_ms;
	uint64_t confirmed, unsure, delivered, connects, losses;
	bool mute;
	struct relay_delivery held[HELD];
	uint32_t held_n;
};

static void on_confirmed(void *arg, int64_t id, int64_t lease, enum hg_rc rc)
{
	struct run *r = arg;
	HG_ASSERT(lease == id * 2 && r->state[id] == UNDER_WAY);
	r->state[id] = rc == HG_OK ? CONFIRMED : NEW;
	if (rc == HG_OK)
		r->confirmed++;
	else
		r->unsure++;
}

static void on_delivered(void *arg, const struct relay_delivery *d, const struct relay_message *m)
{
	struct run *r = arg;
	HG_ASSERT(m->id > 0 && m->id <= (int64_t)r->n && m->lease == m->id * 2);
	HG_ASSERT(hg_str_eq(m->queue, hg_str(r->queue)) && hg_str_eq(m->kind, HG_STR("test")));
	r->times[m->id]++;
	r->delivered++;
	if (r->mute) return;
	HG_ASSERT(r->held_n < HELD); /* no more than was wanted */
	r->held[r->held_n++] = *d;
	relay_rabbitmq.want(r->driver, HELD - r->held_n);
}

/* The runs are over. */
static void end_held(struct run *r)
{
	if (!r->held_n) return;
	while (r->held_n)
		relay_rabbitmq.ack(r->driver, &r->held[--r->held_n]);
	relay_rabbitmq.want(r->driver, HELD);
}

static void on_note(void *arg, enum hg_level level, const char *what, const char *why)
{
	struct run *r = arg;
	if (level == HG_INFO)
		r->connects++;
	else
		r->losses++;
	fprintf(stderr, "%s: %s\n", what, why);
}

static bool complete(const struct run *r)
{
	if (r->confirmed < r->n) return false;
	for (uint32_t i = 1; !r->mute && i <= r->n; i++)
		if (!r->times[i]) return false;
	return true;
}

static void publish_some(struct run *r)
{
	uint64_t age_ms = clock_mono_ms() - r->born_ms;
	uint64_t most = r->rate ? age_ms * r->rate / 1000 : r->n;
	while (r->through < r->n && r->state[r->through + 1] == CONFIRMED)
		r->through++;
	if (r->rate) r->next = r->through;
	for (uint32_t tried = r->through; tried < r->n; tried++) {
		uint32_t id = r->next % r->n + 1;
		struct relay_message m = {.id = id,
		        .lease = (int64_t)id * 2,
		        .queue = hg_str(r->queue),
		        .kind = HG_STR("test")};
		if (r->state[id] == NEW) {
			if (id > most) break;
			if (relay_rabbitmq.publish(r->driver, &m) < 0) return;
			r->state[id] = UNDER_WAY;
		}
		r->next++;
	}
}

static void on_tick(struct loop *l, struct loop_timer *t)
{
	struct run *r = HG_CONTAINER(t, struct run, tick);
	publish_some(r);
	end_held(r);
	if (complete(r) || clock_mono_ms() > r->until_ms || loop_timer_start(l, t, 1, on_tick) < 0)
		loop_stop(l);
}

static void on_signal(struct loop *l, int signo, void *arg)
{
	struct run *r = arg;
	uint32_t last = 0;
	(void)l, (void)signo;
	for (uint32_t i = 1; i <= r->n; i++)
		if (r->state[i] != NEW || r->times[i]) last = i;
	r->n = HG_MAX(last, 1u);
}

static void report(const struct run *r)
{
	uint64_t lost = 0, twice = 0, open = 0;
	for (uint32_t i = 1; i <= r->n; i++) {
		open += r->state[i] != CONFIRMED;
		lost += r->state[i] == CONFIRMED && !r->times[i];
		twice += r->times[i] > 1;
	}
	printf("{\"confirmed\":%llu,\"open\":%llu,\"unsure\":%llu,\"delivered\":%llu,\"lost\":%llu,"
	       "\"twice\":%"
	       "llu,"
	       "\"connects\":%llu,\"losses\":%llu,\"ms\":%llu}\n",
	        (unsigned long long)r->confirmed, (unsigned long long)open,
	        (unsigned long long)r->unsure, (unsigned long long)r->delivered,
	        (unsigned long long)lost, (unsigned long long)twice,
	        (unsigned long long)r->connects, (unsigned long long)r->losses,
	        (unsigned long long)(clock_mono_ms() - r->born_ms));
}

int main(int argc, char **argv)
{
	struct hg_err err = {0};
	uint64_t n = 0, seconds = 0, rate = 0;
	if (argc < 6 || !hg_str_u64(hg_str(argv[3]), &n) ||
	        !hg_str_u64(hg_str(argv[4]), &seconds) || !hg_str_u64(hg_str(argv[5]), &rate) ||
	        n == 0 || n > 10000000)
		return 2;
	struct run r = {
	        .queue = argv[2], .n = (uint32_t)n, .rate = (uint32_t)rate, .mute = argc > 6};
	const char *queue[] = {argv[2]};
	struct relay_driver_options o = {.url = argv[1],
	        .consumer = "drive",
	        .queue = queue,
	        .queue_count = 1,
	        .delivered = on_delivered,
	        .confirmed = on_confirmed,
	        .note = on_note,
	        .arg = &r};
	signal(SIGPIPE, SIG_IGN);
	r.state = calloc(n + 1, 1);
	r.times = calloc(n + 1, sizeof *r.times);
	r.born_ms = clock_mono_ms();
	r.until_ms = r.born_ms + seconds * 1000;
	int status = 1;
	if (!r.state || !r.times || loop_new(&r.loop) < 0) return 1;
	if (relay_rabbitmq.open(r.loop, &o, &r.driver, &err) < 0) {
		fprintf(stderr, "%s\n", err.message);
		status = 2;
		goto out;
	}
	relay_rabbitmq.want(r.driver, r.mute ? 32 : HELD);
	if (loop_signal(r.loop, SIGTERM, on_signal, &r) < 0 ||
	        loop_timer_start(r.loop, &r.tick, 1, on_tick) < 0 || loop_run(r.loop) < 0)
		goto out;
	report(&r);
	relay_rabbitmq.close(r.driver);
	status = 0;
out:
	loop_free(r.loop);
	free(r.state);
	free(r.times);
	return status;
}
