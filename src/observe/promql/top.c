/* Aggregations that let series through: topk, bottomk, limitk, limit_ratio. */
#include "eval_priv.h"

#include <math.h>
#include <stdlib.h>

/* ---- XXH64, as Prometheus hashes labels: limit_ratio then chooses the same series ---- */

#define P1 0x9e3779b185ebca87ull
#define P2 0xc2b2ae3d27d4eb4full
#define P3 0x165667b19e3779f9ull
#define P4 0x85ebca77c2b2ae63ull
#define P5 0x27d4eb2f165667c5ull

static uint64_t rotl(uint64_t x, unsigned r)
{
	return x << r | x >> (64 - r);
}

static uint64_t word64(const unsigned char *p)
{
	uint64_t v = 0;
	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static uint64_t lane(uint64_t acc, uint64_t in)
{
	return rotl(acc + in * P2, 31) * P1;
}

static uint64_t merge(uint64_t h, uint64_t acc)
{
	return (h ^ lane(0, acc)) * P1 + P4;
}

static uint64_t xxh64(struct hg_str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t left = s.n;
	uint64_t h, a[4] = {P1 + P2, P2, 0, 0 - P1};
	if (left >= 32) {
		for (; left >= 32; left -= 32)
			for (int i = 0; i < 4; i++, p += 8)
				a[i] = lane(a[i], word64(p));
		h = rotl(a[0], 1) + rotl(a[1], 7) + rotl(a[2], 12) + rotl(a[3], 18);
		for (int i = 0; i < 4; i++)
			h = merge(h, a[i]);
	} else {
		h = P5;
	}
	h += s.n;
	for (; left >= 8; left -= 8, p += 8)
		h = rotl(h ^ lane(0, word64(p)), 27) * P1 + P4;
	if (left >= 4) {
		uint64_t v = (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
		             (uint64_t)p[3] << 24;
		h = rotl(h ^ v * P1, 23) * P2 + P3;
		p += 4;
		left -= 4;
	}
	for (; left; left--)
		h = rotl(h ^ *p++ * P5, 11) * P1;
	h = (h ^ h >> 33) * P2;
	h = (h ^ h >> 29) * P3;
	return h ^ h >> 32;
}

/* Its labels in one text: each with its length in front. */
static void length(struct hg_buf *b, size_t n)
{
	if (n < 255) {
		hg_buf_byte(b, (char)n);
		return;
	}
	hg_buf_byte(b, (char)255);
	for (int i = 0; i < 24; i += 8)
		hg_buf_byte(b, (char)(n >> i & 255));
}

static double share_of(struct labels ls)
{
	struct hg_buf b;
	hg_buf_init(&b, (size_t)16 << 20);
	for (uint32_t i = 0; i < ls.n; i++) {
		length(&b, ls.at[i].name.n);
		hg_buf_str(&b, ls.at[i].name);
		length(&b, ls.at[i].value.n);
		hg_buf_str(&b, ls.at[i].value);
	}
	uint64_t h = xxh64(hg_buf_view(&b));
	hg_buf_free(&b);
	return (double)h / 18446744073709551615.0;
}

/* ---- what is asked for ---- */

static bool wanted(struct pq_ev *ev, const struct pq_node *n, double k, double *ret_k)
{
	*ret_k = k;
	if (n->u.agg.op != PQ_LIMIT_RATIO) {
		if (isnan(k)) return pq_fail(ev, HG_E_QUERY_FAILED, "Parameter value is NaN");
		if (k >= 9223372036854775807.0)
			return pq_fail(ev, HG_E_QUERY_FAILED, "Scalar value %g overflows int64", k);
		if (k <= -9223372036854775808.0)
			return pq_fail(
			        ev, HG_E_QUERY_FAILED, "Scalar value %g underflows int64", k);
		*ret_k = trunc(k);
		return true;
	}
	if (isnan(k)) return pq_fail(ev, HG_E_QUERY_FAILED, "Ratio value is NaN");
	if (k >= -1 && k <= 1) return true;
	*ret_k = k < 0 ? -1 : 1;
	struct hg_buf b;
	hg_buf_init(&b, 800);
	pq_number_print(&b, k);
	pq_note(ev, true, n->u.agg.param,
	        "ratio value should be between -1 and 1, got %s, capping to %d", hg_buf_text(&b),
	        k < 0 ? -1 : 1);
	hg_buf_free(&b);
	return true;
}

/* ---- choosing at one step ---- */

struct pick {
	double v;
	uint32_t series;
	bool top;
};

static int better(const void *a, const void *b)
{
	const struct pick *x = a, *y = b;
	if (isnan(x->v) || isnan(y->v)) {
		if (isnan(x->v) != isnan(y->v)) return isnan(x->v) ? 1 : -1;
	} else if (x->v != y->v) {
		return (x->v > y->v) == x->top ? -1 : 1;
	}
	return x->series < y->series ? -1 : 1;
}

struct choice {
	struct pq_ev *ev;
	const struct pq_node *n;
	const struct pq_grid *g;
	const struct pq_value *in;
	const uint32_t *order, *first; /* series by group */
	uint32_t groups;
	struct pick *pick;
	double *share;
	double **to;           /* by series; NULL: never chosen */
	uint32_t *rank, ranks; /* order in which they were chosen */
};

static bool choose(struct choice *c, uint32_t series, uint32_t step)
{
	if (!c->to[series]) {
		if (!(c->to[series] = pq_blank(c->ev, c->g->n))) return false;
		c->rank[c->ranks++] = series;
	}
	c->to[series][step] = c->in->at[series].v[step];
	return true;
}

static bool choose_step(struct choice *c, uint32_t group, uint32_t step, double k)
{
	enum pq_agg op = c->n->u.agg.op;
	uint32_t found = 0;
	for (uint32_t m = c->first[group]; m < c->first[group + 1]; m++) {
		uint32_t s = c->order[m];
		double v = c->in->at[s].v[step];
		if (pq_is_none(v)) continue;
		if (op == PQ_LIMITK && found >= k) break;
		if (op == PQ_LIMIT_RATIO && !(k >= 0 ? c->share[s] < k : c->share[s] >= 1 + k))
			continue;
		c->pick[found++] = (struct pick){v, s, op == PQ_TOPK};
	}
	if (!pq_worked(c->ev, pq_sorting(found))) return false;
	if (op == PQ_TOPK || op == PQ_BOTTOMK) {
		qsort(c->pick, found, sizeof *c->pick, better);
		if (found > k) found = k < 0 ? 0 : (uint32_t)k;
	}
	for (uint32_t i = 0; i < found; i++)
		if (!choose(c, c->pick[i].series, step)) return false;
	return true;
}

static bool by_group(struct choice *c, const uint32_t *group)
{
	uint32_t *at = pq_take(c->ev, c->groups + 2ul, sizeof *at);
	uint32_t *order = pq_take(c->ev, c->in->n, sizeof *order);
	if (!at || !order) return false;
	for (uint32_t k = 0; k < c->in->n; k++)
		at[group[k] + 2]++;
	for (uint32_t i = 1; i < c->groups + 2; i++)
		at[i] += at[i - 1];
	for (uint32_t k = 0; k < c->in->n; k++)
		order[at[group[k] + 1]++] = k;
	c->first = at;
	c->order = order;
	return true;
}

bool pq_top(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, const struct pq_value *in,
        const uint32_t *group, uint32_t groups, struct pq_value *ret)
{
	struct choice c = {.ev = ev, .n = n, .g = g, .in = in, .groups = groups};
	double *k;
	if (!pq_scalar(ev, n->u.agg.param, g, &k)) return false;
	for (uint32_t i = 0; i < g->n; i++)
		if (!wanted(ev, n, k[i], &k[i])) return false;
	c.pick = pq_take(ev, in->n, sizeof *c.pick);
	c.to = pq_take(ev, in->n, sizeof *c.to);
	c.rank = pq_take(ev, in->n, sizeof *c.rank);
	if (!c.pick || !c.to || !c.rank || !by_group(&c, group)) return false;
	if (n->u.agg.op == PQ_LIMIT_RATIO) {
		if (!(c.share = pq_take(ev, in->n, sizeof *c.share))) return false;
		for (uint32_t s = 0; s < in->n; s++)
			c.share[s] = share_of(in->at[s].ls);
	}
	for (uint32_t q = 0; q < groups; q++) {
		if (!pq_may_go_on(ev)) return false;
		for (uint32_t i = 0; i < g->n; i++)
			if (!choose_step(&c, q, i, k[i])) return false;
	}
	ret->at = pq_take(ev, c.ranks, sizeof *ret->at);
	if (!ret->at) return false;
	for (uint32_t i = 0; i < c.ranks; i++) {
		const struct pq_column *from = &in->at[c.rank[i]];
		ret->at[ret->n++] = (struct pq_column){from->ls, c.to[c.rank[i]], from->drop};
	}
	return true;
}
