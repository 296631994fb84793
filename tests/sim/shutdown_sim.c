/*
 * Shutdowns of many apps that need each other: replicas that take their time, ignore SIGTERM or
 * die by themselves, deadlines that are long or far too short, and a second Ctrl-C in between.
 *
 * usage: shutdown_sim FIRST COUNT    (seeds FIRST … FIRST + COUNT - 1)
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/fleet/decide_priv.h"

#define APPS  7u
#define PROCS 4u
#define NEVER UINT64_MAX

struct app {
	struct fl_app core;
	bool needs[APPS]; /* only apps before it: no cycles */
	uint64_t die_at[FL_SLOTS];
	bool alive[FL_SLOTS], deaf[FL_SLOTS];
	uint64_t slow_ms[FL_SLOTS];
	uint64_t next;
};

struct world {
	struct hg_rand rand;
	uint64_t now, seed, deadline, stop_at;
	uint32_t app_count;
	struct app app[APPS];
};

#define MUST(cond)                                                                       \
	do {                                                                             \
		if (!(cond)) {                                                           \
			fprintf(stderr, "shutdown_sim: seed %llu at %llu ms: %s\n",      \
			        (unsigned long long)w->seed, (unsigned long long)w->now, \
			        "not: " #cond);                                          \
			exit(1);                                                         \
		}                                                                        \
	} while (0)

static uint32_t below(struct world *w, uint32_t n)
{
	return hg_rand_below(&w->rand, n);
}

static uint32_t living(const struct app *a)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < FL_SLOTS; i++)
		n += a->alive[i];
	return n;
}

/* The oracle's own view of who still needs an app: processes, not places. */
static bool needed(const struct world *w, uint32_t at)
{
	for (uint32_t i = 0; i < w->app_count; i++)
		if (w->app[i].needs[at] && living(&w->app[i])) return true;
	return false;
}

static void act(struct world *w, uint32_t at, const struct fl_action *x)
{
	struct app *a = &w->app[at];
	switch (x->kind) {
	case FL_SPAWN:
		MUST(!w->deadline); /* nothing begins while all ends */
		a->alive[x->slot] = true;
		a->die_at[x->slot] = NEVER;
		a->deaf[x->slot] = below(w, 5) == 0;
		a->slow_ms[x->slot] = below(w, 4) ? below(w, 300) : below(w, 20000);
		fl_spawned(&a->core, x->slot, w->now);
		break;
	case FL_ENDPOINT:
	case FL_SIGNAL:
		if (x->kind == FL_ENDPOINT && x->endpoint != SNAP_EP_DRAINING) break;
		/* In order, or for want of time. */
		MUST(w->deadline);
		MUST(!needed(w, at) || w->now + a->core.rules.grace_ms >= w->deadline);
		if (x->kind == FL_ENDPOINT || !a->alive[x->slot]) break;
		uint64_t end = w->now + (x->signo == SIGKILL ? 1 : a->slow_ms[x->slot]);
		if (x->signo == SIGTERM && a->deaf[x->slot]) break;
		a->die_at[x->slot] = HG_MIN(a->die_at[x->slot], end);
		break;
	case FL_GONE: MUST(!a->alive[x->slot]); break;
	default: break;
	}
}

static void decide(struct world *w)
{
	struct fl_actions out;
	for (uint32_t turn = 0; turn < 2; turn++) {
		for (uint32_t at = 0; at < w->app_count; at++) {
			struct app *a = &w->app[at];
			a->core.hurry_ms = w->deadline;
			a->core.users = 0;
			for (uint32_t i = 0; i < w->app_count; i++)
				a->core.users += w->app[i].needs[at] && w->app[i].core.high > 0;
			if (w->deadline) a->core.desired = 0;
			do {
				fl_decide(&a->core, w->now, &w->rand, &out);
				for (uint32_t i = 0; i < out.n; i++)
					act(w, at, &out.a[i]);
			} while (out.next_ms <= w->now);
			a->next = out.next_ms;
		}
	}
}

static void deaths(struct world *w)
{
	for (uint32_t at = 0; at < w->app_count; at++) {
		struct app *a = &w->app[at];
		for (uint32_t i = 0; i < FL_SLOTS; i++) {
			if (!a->alive[i] || w->now < a->die_at[i]) continue;
			a->alive[i] = false;
			fl_ended(&a->core, i, w->now);
		}
	}
}

static uint64_t next_time(const struct world *w)
{
	uint64_t next = NEVER;
	for (uint32_t at = 0; at < w->app_count; at++) {
		next = HG_MIN(next, w->app[at].next);
		for (uint32_t i = 0; i < FL_SLOTS; i++)
			if (w->app[at].alive[i]) next = HG_MIN(next, w->app[at].die_at[i]);
	}
	return HG_MAX(next, w->now + 1);
}

static void setup(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof *w);
	w->seed = seed;
	w->now = 1000000;
	hg_rand_seed(&w->rand, seed);
	w->app_count = 1 + below(w, APPS);
	for (uint32_t at = 0; at < w->app_count; at++) {
		struct app *a = &w->app[at];
		a->core.release = a->core.revision = 1;
		a->core.desired = below(w, PROCS);
		a->core.rules.grace_ms = below(w, 4) * 5000;
		for (uint32_t i = 0; i < at; i++)
			a->needs[i] = below(w, 3) == 0;
	}
	decide(w);
	w->now += 10;
	decide(w);
}

static void run(struct world *w, uint64_t seed)
{
	setup(w, seed);
	w->stop_at = w->now + 1000;
	uint64_t again_at = below(w, 3) ? NEVER : w->stop_at + below(w, 20000);
	uint64_t last = w->stop_at;
	for (;;) {
		/* A replica dies by itself now and then, also while all ends. */
		struct app *unlucky = &w->app[below(w, w->app_count)];
		uint32_t slot = below(w, PROCS);
		if (unlucky->alive[slot] && below(w, 20) == 0) unlucky->die_at[slot] = w->now;
		if (!w->deadline && w->now >= w->stop_at)
			w->deadline = w->now + (below(w, 3) ? 120000 : 1 + below(w, 15000));
		if (w->deadline && w->now >= again_at) {
			w->deadline = HG_MIN(w->deadline, w->now + 2000);
			again_at = NEVER;
		}
		deaths(w);
		decide(w);
		bool left = false;
		for (uint32_t at = 0; at < w->app_count; at++)
			left = left || w->app[at].core.high > 0;
		last = w->now;
		if (w->deadline && !left) break;
		MUST(!w->deadline || w->now < w->deadline + 5000);
		uint64_t next = next_time(w);
		if (!w->deadline) next = HG_MIN(next, w->stop_at);
		if (w->deadline) next = HG_MIN(next, again_at);
		w->now = HG_MAX(next, w->now + 1);
	}
	MUST(last <= w->deadline + 2500); /* what draining must leave for SIGTERM, and SIGKILL */
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
	struct world *w = calloc(1, sizeof *w);
	if (!w) return 1;
	for (uint64_t i = 0; i < count; i++)
		run(w, first + i);
	printf("%llu shutdowns: all invariants held\n", (unsigned long long)count);
	free(w);
	return 0;
}
