#include "math/judge_priv.h"

#include "base/crc32c.h"

#include <math.h>
#include <string.h>

/*
 * Words of 64 bits, little endian: a mark that names the version, all that cannot be derived, and
 * CRC-32C over what comes before it. Coefficients are derived again.
 */
#define MARK 0x31454744554a4748u /* "HGJUDGE1" */

/* One pass serves both directions, so that they cannot disagree. */
struct pass {
	uint8_t *to; /* NULL: reading */
	const uint8_t *from;
	size_t at;
	bool bad;
};

static void word(struct pass *p, uint64_t *v)
{
	uint64_t got = 0;
	for (unsigned i = 0; i < 8; i++) {
		if (p->to)
			p->to[p->at + i] = (uint8_t)(*v >> (8 * i));
		else
			got |= (uint64_t)p->from[p->at + i] << (8 * i);
	}
	if (!p->to) *v = got;
	p->at += 8;
}

static void small(struct pass *p, uint32_t *v)
{
	uint64_t w = *v;
	word(p, &w);
	if (w > UINT32_MAX) p->bad = true;
	*v = (uint32_t)w;
}

static void number(struct pass *p, double *v, double low, double high)
{
	uint64_t w;
	memcpy(&w, v, 8);
	word(p, &w);
	memcpy(v, &w, 8);
	if (!(*v >= low && *v <= high)) p->bad = true; /* NaN too */
}

static void rules(struct pass *p, struct judge_rules *r)
{
	uint32_t p95 = r->p95;
	number(p, &r->alpha, 0, 1);
	number(p, &r->tolerance_errors, 0, 1e9);
	number(p, &r->tolerance_latency, 0, 1e9);
	number(p, &r->error_rate, 0, 1);
	number(p, &r->error_above, 0, 1);
	number(p, &r->p95_ratio, 0, 1e9);
	small(p, &p95);
	if (p95 > 1) p->bad = true;
	r->p95 = p95 == 1;
}

static void evidence(struct pass *p, struct judge_evidence *e)
{
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		uint64_t both = (uint64_t)e->count[m].c << 32 | e->count[m].s;
		word(p, &both);
		e->count[m] = (struct judge_count){(uint32_t)(both >> 32), (uint32_t)both};
	}
	word(p, &e->n_new);
	word(p, &e->n_old);
}

static void state(struct pass *p, struct judge *j)
{
	number(p, &j->w, 0, 1);
	number(p, &j->above_p0, 0, 1);
	small(p, &j->epochs);
	small(p, &j->looks);
	small(p, &j->ticks);
	number(p, &j->lens.rest, 0, 0.5);
	evidence(p, &j->lens.seen);
	evidence(p, &j->lens.look);
	for (unsigned m = 0; m < JUDGE_METRICS; m++)
		for (unsigned k = 0; k < JUDGE_TERMS; k++)
			number(p, &j->lens.metric[m].m[k], -JUDGE_M_MAX, JUDGE_M_MAX);
	for (unsigned i = 0; i < JUDGE_ABSOLUTE; i++)
		for (unsigned k = 0; k < JUDGE_TERMS; k++)
			number(p, &j->lens.old[i][k], -JUDGE_M_MAX, JUDGE_M_MAX);
	for (unsigned i = 0; i < JUDGE_BY_LIMIT; i++)
		for (unsigned k = 0; k < JUDGE_TERMS; k++)
			number(p, &j->lens.now[i][k], 0, JUDGE_M_MAX);
	if (j->epochs > j->looks) p->bad = true;
}

void judge_save(const struct judge *j, uint8_t ret_bytes[JUDGE_SAVED_SIZE])
{
	struct pass p = {.to = ret_bytes};
	struct judge copy = *j;
	uint64_t mark = MARK, crc;
	word(&p, &mark);
	rules(&p, &copy.rules);
	state(&p, &copy);
	crc = hg_crc32c(0, ret_bytes, p.at);
	word(&p, &crc);
	HG_ASSERT(p.at == JUDGE_SAVED_SIZE);
}

bool judge_load(const void *bytes, size_t n, struct judge *ret)
{
	struct pass p = {.from = bytes};
	struct judge_rules have = {0}, understood;
	struct judge j;
	uint64_t mark = 0, crc = 0;
	if (n != JUDGE_SAVED_SIZE) return false;
	word(&p, &mark);
	if (mark != MARK) return false;
	rules(&p, &have);
	understood = judge_rules_understood(&have);
	/* Rules that would be read otherwise than they were written are not ours. */
	if (p.bad || understood.alpha != have.alpha || understood.error_rate != have.error_rate ||
	        understood.error_above != have.error_above ||
	        understood.p95_ratio != have.p95_ratio ||
	        understood.tolerance_errors != have.tolerance_errors ||
	        understood.tolerance_latency != have.tolerance_latency)
		return false;
	judge_init(&j, &have);
	state(&p, &j);
	size_t body = p.at;
	word(&p, &crc);
	if (p.bad || crc != hg_crc32c(0, bytes, body)) return false;
	judge_terms(&j);
	*ret = j;
	return true;
}
