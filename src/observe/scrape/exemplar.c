/* Exemplars of scrapes: the newest, in a ring of bounded size. */
#include <stdlib.h>

#include "observe/scrape/scrape_priv.h"

static size_t bytes_of(struct labels ls)
{
	size_t n = ls.n * sizeof *ls.at;
	for (uint32_t i = 0; i < ls.n; i++)
		n += ls.at[i].name.n + ls.at[i].value.n;
	return n;
}

static struct exemplar *at(const struct exemplars *x, uint32_t i)
{
	return &x->ring[(x->first + i) % EXEMPLARS_MAX];
}

static void drop_oldest(struct exemplars *x)
{
	struct exemplar *e = at(x, 0);
	x->bytes -= bytes_of(e->series) + bytes_of(e->labels);
	labels_free(e->series);
	labels_free(e->labels);
	x->first = (x->first + 1) % EXEMPLARS_MAX;
	x->n--;
}

bool scrape_exemplar_is_new(struct exemplars *x, uint64_t series, uint64_t print)
{
	if (!x->ring) {
		x->ring = calloc(EXEMPLARS_MAX, sizeof *x->ring);
		x->seen = calloc(EXEMPLAR_SLOTS, sizeof *x->seen);
		if (!x->ring || !x->seen) {
			scrape_exemplars_fini(x);
			return false;
		}
	}
	/* Of few slots the one of this series, or an arbitrary one: to see an exemplar twice costs
	 * a place in the ring. */
	struct exemplar_seen *to = NULL;
	for (uint32_t k = 0; k < EXEMPLAR_PROBES; k++) {
		struct exemplar_seen *s = &x->seen[(series + k) % EXEMPLAR_SLOTS];
		if (s->series == series) {
			if (s->print == print) return false;
			to = s;
			break;
		}
		if (!to && !s->series) to = s;
	}
	if (!to) to = &x->seen[(series + print % EXEMPLAR_PROBES) % EXEMPLAR_SLOTS];
	*to = (struct exemplar_seen){series, print};
	return true;
}

void scrape_exemplar_add(
        struct exemplars *x, struct labels series, struct labels labels, double v, int64_t t_ms)
{
	struct exemplar e = {.value = v, .t_ms = t_ms};
	size_t bytes = bytes_of(series) + bytes_of(labels);
	if (!x->ring || bytes > EXEMPLAR_BYTES / 16) return;
	if (labels_clone(series, &e.series) < 0) return;
	if (labels_clone(labels, &e.labels) < 0) {
		labels_free(e.series);
		return;
	}
	while (x->n && (x->n == EXEMPLARS_MAX || x->bytes + bytes > EXEMPLAR_BYTES))
		drop_oldest(x);
	*at(x, x->n++) = e;
	x->bytes += bytes;
}

void scrape_exemplars_fini(struct exemplars *x)
{
	while (x->n)
		drop_oldest(x);
	free(x->ring);
	free(x->seen);
	*x = (struct exemplars){0};
}

bool scrape_exemplar_next(const struct scrape *s, size_t *i, struct scrape_exemplar *ret)
{
	if (*i >= s->exemplars.n) return false;
	const struct exemplar *e = at(&s->exemplars, (uint32_t)(*i)++);
	*ret = (struct scrape_exemplar){e->series, e->labels, e->value, e->t_ms};
	return true;
}
