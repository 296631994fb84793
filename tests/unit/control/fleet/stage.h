/*
 * A stage for the pure half: facts in, actions out, the clock in our hand.
 */
#ifndef TESTS_UNIT_FLEET_STAGE_H
#define TESTS_UNIT_FLEET_STAGE_H

#include "../../test.h"

#include <signal.h>
#include <stdlib.h>

#include "control/fleet/decide_priv.h"

struct stage {
	struct fl_app *app;
	struct hg_rand rand;
	uint64_t now;
	struct fl_action seen[4096];
	uint32_t n;
	uint64_t next;
};

HG_UNUSED static int up(void **state)
{
	struct stage *s = calloc(1, sizeof *s);
	assert_non_null(s);
	s->app = calloc(1, sizeof *s->app);
	assert_non_null(s->app);
	s->now = 1000000;
	s->app->release = s->app->revision = 1;
	s->app->rules.grace_ms = 10000;
	s->app->rules.surge = s->app->rules.unavailable = ROLLING_25_PERCENT;
	hg_rand_seed(&s->rand, 1);
	*state = s;
	return 0;
}

HG_UNUSED static int down(void **state)
{
	struct stage *s = *state;
	free(s->app);
	free(s);
	return 0;
}

/* Decides until nothing more is to be done now. */
HG_UNUSED static void play(struct stage *s)
{
	struct fl_actions out;
	s->n = 0;
	do {
		fl_decide(s->app, s->now, &s->rand, &out);
		for (uint32_t i = 0; i < out.n && s->n < HG_COUNT(s->seen); i++)
			s->seen[s->n++] = out.a[i];
	} while (out.next_ms <= s->now);
	s->next = out.next_ms;
}

HG_UNUSED static uint32_t count(const struct stage *s, enum fl_act kind)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->n; i++)
		n += s->seen[i].kind == kind;
	return n;
}

/* The first of its kind; signo -1 and endpoint 99 when there is none. */
HG_UNUSED static struct fl_action find(const struct stage *s, enum fl_act kind)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->seen[i].kind == kind) return s->seen[i];
	return (struct fl_action){.kind = kind, .signo = -1, .endpoint = 99};
}

HG_UNUSED static uint32_t place_of(const struct stage *s, enum fl_act kind)
{
	uint32_t i = 0;
	while (i < s->n && s->seen[i].kind != kind)
		i++;
	return i;
}

HG_UNUSED static bool happened(const struct stage *s, enum fl_event e)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->seen[i].kind == FL_EVENT && s->seen[i].event == e) return true;
	return false;
}

/* Every spawn that was asked for succeeds; without probes that is ready. */
HG_UNUSED static void start_all(struct stage *s)
{
	for (uint32_t i = 0; i < s->app->high; i++)
		if (s->app->slot[i].state == FLEET_SPAWNING) fl_spawned(s->app, i, s->now);
	play(s);
}

HG_UNUSED static void end_all_signalled(struct stage *s)
{
	for (uint32_t i = 0; i < s->app->high; i++)
		if (s->app->slot[i].used && s->app->slot[i].state == FLEET_STOPPING)
			fl_ended(s->app, i, s->now);
	play(s);
}

#endif
