/* What the edge's guards did, as the meter has it: told to the journal when it changes. */
#include "control/fleet/fleet_priv.h"

#include <stdio.h>

#include "math/breaker.h"

struct guards {
	uint32_t open;    /* workers whose breaker is not closed */
	uint64_t opened;  /* how often, of all workers */
	uint64_t refused; /* requests */
};

static struct guards look(const struct fleet *f, const struct fleet_app *a)
{
	struct guards g = {0};
	for (uint32_t w = 0; f->meter && w < f->meter->worker_count; w++) {
		const struct meter_app *m = meter_app_find(&f->meter->worker[w], a->id);
		if (!m) continue;
		g.open += atomic_load_explicit(&m->breaker, memory_order_relaxed) != BREAKER_CLOSED;
		g.opened += atomic_load_explicit(&m->breaker_opened, memory_order_relaxed);
		g.refused += atomic_load_explicit(&m->breaker_refused, memory_order_relaxed);
	}
	return g;
}

void fleet_guards_learn(struct fleet *f, struct fleet_app *a)
{
	struct guards g = look(f, a);
	a->broken = g.open > 0;
	a->breaker_opened = g.opened;
	a->breaker_refused = g.refused;
}

void fleet_guards_note(struct fleet *f, struct fleet_app *a)
{
	struct guards g = look(f, a);
	char detail[96];
	/* One that opened and closed again between two looks is told of as well. */
	bool opened = g.opened > a->breaker_opened, open = g.open > 0;
	if (!a->broken && (open || opened)) {
		(void)snprintf(detail, sizeof detail, "{\"workers\":%u,\"opened\":%llu}", g.open,
		        (unsigned long long)(g.opened - a->breaker_opened));
		fleet_journal(f, "app.breaker_open", a, a->core.release, 0, detail);
		a->broken = true;
	}
	a->breaker_opened = g.opened;
	if (!a->broken || open) return;
	(void)snprintf(detail, sizeof detail, "{\"refused\":%llu}",
	        (unsigned long long)(g.refused - a->breaker_refused));
	fleet_journal(f, "app.breaker_closed", a, a->core.release, 0, detail);
	a->broken = false;
	a->breaker_refused = g.refused;
}
