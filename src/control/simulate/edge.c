#include "control/simulate/world_priv.h"

struct judge_evidence *sim_cell(struct sim_edge *e, uint32_t epoch)
{
	uint32_t i = epoch % SIM_CELLS;
	return e->cell_epoch[i] == epoch ? &e->cell[i] : NULL;
}

void sim_split_set(struct sim_edge *e, const struct ro_split *p)
{
	if (!e->split.present || e->split.epoch != p->epoch) {
		uint32_t i = p->epoch % SIM_CELLS;
		e->cell_epoch[i] = p->epoch;
		e->cell[i] = (struct judge_evidence){0};
	}
	e->split = *p;
	e->split.present = true;
}

bool sim_edge_judges(const struct sim_edge *e, uint32_t epoch)
{
	return e->split.present && (e->split.flags & RO_SPLIT_JUDGE) && epoch == e->split.epoch &&
	       !e->tripped;
}

bool sim_edge_event(struct sim_edge *e, uint32_t epoch, bool of_new, bool enters, uint32_t mask)
{
	struct judge_evidence *cell = sim_cell(e, epoch);
	if (!cell) return false;
	if (enters && of_new)
		cell->n_new++;
	else if (enters)
		cell->n_old++;
	for (uint32_t m = 0; m < JUDGE_METRICS; m++) {
		if (!(mask & 1u << m)) continue;
		if (of_new)
			cell->count[m].c++;
		else
			cell->count[m].s++;
	}
	/* As the edge: it is asked at each event of the new release. */
	if (!of_new || !mask || !sim_edge_judges(e, epoch)) return false;
	if (judge_decide(&e->lens, cell, NULL) != JUDGE_BAD) return false;
	e->tripped = true;
	return true;
}
