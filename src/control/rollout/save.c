/*
 * A rollout as bytes: words of 64 bits, little endian: a mark that names the version, all of the
 * state, the judge as it saves itself, and CRC-32C over what comes before it.
 */
#include "base/crc32c.h"
#include "control/rollout/decide.h"

#include <string.h>

#define MARK     0x32544f5250474748u /* "HGGPROT2" */
#define MARK_OLD 0x31544f5250474748u /* without what was used of limits */

/* One pass serves both directions, so that they cannot disagree. */
struct pass {
	uint8_t *to; /* NULL: reading */
	const uint8_t *from;
	size_t at, size;
	bool bad, old;
};

static void word(struct pass *p, uint64_t *v)
{
	uint64_t got = 0;
	if (p->bad || p->size - p->at < 8 || (!p->to && !p->from)) {
		p->bad = true;
		return;
	}
	for (unsigned i = 0; i < 8; i++) {
		if (p->to)
			p->to[p->at + i] = (uint8_t)(*v >> (8 * i));
		else
			got |= (uint64_t)p->from[p->at + i] << (8 * i);
	}
	if (!p->to) *v = got;
	p->at += 8;
}

/* A number up to `most`, in whatever it is kept. */
static uint32_t small(struct pass *p, uint32_t v, uint32_t most)
{
	uint64_t w = v;
	word(p, &w);
	if (w > most) p->bad = true;
	return p->bad ? 0 : (uint32_t)w;
}

static void u32(struct pass *p, uint32_t *v, uint32_t most)
{
	*v = small(p, *v, most);
}

static void flag(struct pass *p, bool *v)
{
	*v = small(p, *v, 1) == 1;
}

static void byte(struct pass *p, uint8_t *v, uint32_t most)
{
	*v = (uint8_t)small(p, *v, most);
}

static void number(struct pass *p, double *v)
{
	uint64_t w;
	memcpy(&w, v, 8);
	word(p, &w);
	memcpy(v, &w, 8);
	if (!(*v >= 0 && *v <= 1e9) || w >> 63) p->bad = true; /* NaN and -0 too */
}

#define ENUM(p, field, count) ((field) = small((p), (uint32_t)(field), (uint32_t)(count)-1))

static void share(struct pass *p, struct rolling_share *v)
{
	flag(p, &v->is_ratio);
	u32(p, &v->v, UINT32_MAX);
}

static void rules(struct pass *p, struct ro_rules *r)
{
	ENUM(p, r->strategy, RO_STRATEGIES);
	u32(p, &r->step_count, RO_STEPS_MAX);
	for (unsigned i = 0; i < RO_STEPS_MAX; i++) {
		u32(p, &r->step[i].weight_ppm, RO_WHOLE);
		word(p, &r->step[i].wait_ms);
	}
	u32(p, &r->gate_count, RO_GATES_MAX);
	for (unsigned i = 0; i < RO_GATES_MAX; i++) {
		ENUM(p, r->gate[i].when, RO_WHENS);
		u32(p, &r->gate[i].weight_ppm, RO_WHOLE);
		u32(p, &r->gate[i].text, UINT32_MAX);
	}
	number(p, &r->memory);
	number(p, &r->cpu);
	ENUM(p, r->inconclusive, RO_INCONCLUSIVE_ABORT + 1);
	word(p, &r->inconclusive_after_ms);
	flag(p, &r->rescue);
	flag(p, &r->preview);
	flag(p, &r->match);
	flag(p, &r->open_incident);
	u32(p, &r->mirror_ppm, RO_WHOLE);
	u32(p, &r->control_ppm, RO_WHOLE);
	word(p, &r->keep_canary_ms);
	word(p, &r->watch_ms);
	word(p, &r->keep_previous_ms);
	word(p, &r->progress_deadline_ms);
	share(p, &r->surge);
	share(p, &r->unavailable);
}

static void head(struct pass *p, struct ro_head *h)
{
	ENUM(p, h->phase, RO_PHASES);
	u32(p, &h->step, RO_STEPS_MAX - 1);
	u32(p, &h->weight_ppm, RO_WHOLE);
	u32(p, &h->epoch, UINT32_MAX);
	ENUM(p, h->pause, RO_PAUSED_SHARED + 1);
	ENUM(p, h->outcome, RO_OUTCOMES);
	ENUM(p, h->cause, RO_CAUSES);
	flag(p, &h->promoted);
	for (unsigned i = 0; i < RO_STEPS_MAX; i++)
		byte(p, &h->proof[i], RO_PROOFS - 1);
	for (unsigned i = 0; i < RO_GATES_MAX; i++)
		byte(p, &h->gate[i], RO_GATE_STATES - 1);
}

static void evidence(struct pass *p, struct judge_evidence *e)
{
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		u32(p, &e->count[m].c, UINT32_MAX);
		u32(p, &e->count[m].s, UINT32_MAX);
	}
	word(p, &e->n_new);
	word(p, &e->n_old);
}

static void times(struct pass *p, struct ro_state *s)
{
	uint64_t *all[] = {&s->created_ms, &s->changed_ms, &s->promoted_ms, &s->back_ms,
	        &s->ended_ms, &s->phase_since_ms, &s->last_ms, &s->wait_ms, &s->hold_ms, &s->ask_ms,
	        &s->settle_ms, &s->look_ms, &s->unsaved_ms, &s->sample, &s->memory_id};
	for (unsigned i = 0; i < HG_COUNT(all); i++)
		word(p, all[i]);
	for (unsigned i = 0; i < RO_STEPS_MAX; i++)
		word(p, &s->step_took_ms[i]);
	for (unsigned i = 0; i < RO_GATES_MAX; i++) {
		uint32_t status = (uint32_t)s->gate_status[i];
		word(p, &s->gate_took_ms[i]);
		u32(p, &status, UINT32_MAX);
		s->gate_status[i] = (int32_t)status;
	}
}

static void facts(struct pass *p, struct ro_state *s)
{
	bool *all[] = {&s->begun, &s->asked, &s->raised, &s->had_ready, &s->tripped, &s->abort,
	        &s->skip, &s->full, &s->closing, &s->traffic, &s->proven, &s->shared, &s->stuck,
	        &s->told_hold};
	for (unsigned i = 0; i < HG_COUNT(all); i++)
		flag(p, all[i]);
	u32(p, &s->want_old, UINT32_MAX);
	u32(p, &s->want_new, UINT32_MAX);
	u32(p, &s->base, UINT32_MAX);
	u32(p, &s->memory_over, UINT32_MAX);
	u32(p, &s->cpu_over, UINT32_MAX);
	ENUM(p, s->verdict, JUDGE_SHARED + 1);
	double *used[] = {&s->memory_new, &s->memory_old, &s->cpu_new, &s->cpu_old};
	for (unsigned i = 0; i < HG_COUNT(used) && !p->old; i++)
		number(p, used[i]);
	if (p->old) return;
	u32(p, &s->memory_ends_new, UINT32_MAX);
	u32(p, &s->memory_ends_old, UINT32_MAX);
}

static void state(struct pass *p, struct ro_state *s)
{
	word(p, &s->id);
	u32(p, &s->app, UINT32_MAX);
	u32(p, &s->old_release, UINT32_MAX);
	u32(p, &s->new_release, UINT32_MAX);
	rules(p, &s->rules);
	head(p, &s->head);
	head(p, &s->told);
	times(p, s);
	facts(p, s);
	evidence(p, &s->evidence);
	for (unsigned i = 0; i < RO_FORMER; i++) {
		u32(p, &s->former[i].epoch, UINT32_MAX);
		u32(p, &s->former[i].weight_ppm, RO_WHOLE);
		evidence(p, &s->former[i].taken);
	}
}

size_t ro_save(const struct ro_state *s, void *to, size_t cap)
{
	struct pass p = {.to = to, .size = cap};
	struct ro_state copy = *s;
	uint64_t mark = MARK, crc;
	word(&p, &mark);
	state(&p, &copy);
	if (p.bad || cap - p.at < JUDGE_SAVED_SIZE + 8) return 0;
	judge_save(&s->judge, p.to + p.at);
	p.at += JUDGE_SAVED_SIZE;
	crc = hg_crc32c(0, to, p.at);
	word(&p, &crc);
	return p.at;
}

bool ro_load(const void *bytes, size_t n, struct ro_state *ret)
{
	struct pass p = {.from = bytes, .size = n};
	struct ro_state s = {0};
	uint64_t mark = 0, crc = 0;
	word(&p, &mark);
	p.old = mark == MARK_OLD;
	if (p.bad || (mark != MARK && !p.old)) return false;
	state(&p, &s);
	if (p.bad || n - p.at != JUDGE_SAVED_SIZE + 8) return false;
	if (!judge_load(p.from + p.at, JUDGE_SAVED_SIZE, &s.judge)) return false;
	p.at += JUDGE_SAVED_SIZE;
	uint32_t want = hg_crc32c(0, bytes, p.at);
	word(&p, &crc);
	if (p.bad || crc != want) return false;
	s.rules.judge = s.judge.rules;
	/* What ro_begin would have put right was not written by ro_save. */
	struct ro_rules filled = s.rules;
	ro_rules_fill(&filled);
	if (s.head.step >= HG_MAX(s.rules.step_count, 1u) ||
	        filled.step_count != s.rules.step_count || filled.gate_count != s.rules.gate_count)
		return false;
	*ret = s;
	return true;
}
