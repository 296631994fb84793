/* How a rollout begins, and what people may ask of it. */
#include "control/rollout/decide.h"

void ro_begin(struct ro_state *s, uint64_t id, uint32_t app, uint32_t old_release,
        uint32_t new_release, const struct ro_rules *rules, uint64_t now_ms)
{
	*s = (struct ro_state){
	        .id = id,
	        .app = app,
	        .old_release = old_release,
	        .new_release = new_release,
	        .rules = *rules,
	        .created_ms = now_ms,
	        .phase_since_ms = now_ms,
	        .last_ms = now_ms,
	        .asked = true,
	};
	ro_rules_fill(&s->rules);
	judge_init(&s->judge, &s->rules.judge);
	s->rules.judge = s->judge.rules;
}

static enum hg_rc refuse(const struct ro_state *s, const char *why, struct hg_err *err)
{
	return hg_err_set(err, HG_E_ROLLOUT_STATE, "rollout %llu is in phase \"%s\": %s",
	        (unsigned long long)s->id, ro_phase_name(s->head.phase), why);
}

static bool confirm(struct ro_state *s)
{
	for (uint32_t i = 0; i < s->rules.gate_count; i++) {
		if (s->head.gate[i] != RO_GATE_WAITING) continue;
		s->head.gate[i] = RO_GATE_PASSED;
		return true;
	}
	return false;
}

static enum hg_rc promote(struct ro_state *s, bool full, struct hg_err *err)
{
	enum ro_phase phase = s->head.phase;
	if (s->closing || phase >= RO_PHASE_BACK) return refuse(s, "it is ending", err);
	/* Only until the next look, which goes back. */
	if (s->tripped || s->verdict == JUDGE_BAD)
		return refuse(s, "the new release is proven bad", err);
	bool confirmed = confirm(s);
	if (full && phase < RO_PHASE_PROMOTE) s->full = true;
	if (!confirmed && !s->full) {
		if (phase == RO_PHASE_START)
			return refuse(s, "replicas are starting, there is no step to leave", err);
		if (phase == RO_PHASE_GATE || phase == RO_PHASE_PROMOTE)
			return refuse(
			        s, "it waits for replicas or gates, which are never skipped", err);
		s->skip = true;
	}
	s->head.pause = RO_GOING;
	return HG_OK;
}

enum hg_rc ro_command(
        struct ro_state *s, enum rollouts_verb verb, uint64_t now_ms, struct hg_err *err)
{
	bool ends = s->closing || s->head.phase == RO_PHASE_END;
	bool back = s->head.phase == RO_PHASE_BACK;
	switch (verb) {
	case ROLLOUTS_PROMOTE:
	case ROLLOUTS_PROMOTE_FULL: {
		enum hg_rc rc = promote(s, verb == ROLLOUTS_PROMOTE_FULL, err);
		if (rc < 0) return rc;
		break;
	}
	case ROLLOUTS_PAUSE:
		if (ends || back) return refuse(s, "it is ending", err);
		if (s->head.pause == RO_PAUSED_PERSON) return refuse(s, "it is paused", err);
		s->head.pause = RO_PAUSED_PERSON;
		break;
	case ROLLOUTS_RESUME:
		if (s->head.pause == RO_GOING) return refuse(s, "it is not paused", err);
		s->head.pause = RO_GOING;
		break;
	case ROLLOUTS_ABORT:
		if (ends) return refuse(s, "it is ending", err);
		if (back)
			s->skip = true;
		else
			s->abort = true;
		break;
	default: return refuse(s, "this begins another rollout", err);
	}
	s->changed_ms = HG_MAX(s->changed_ms, now_ms);
	return HG_OK;
}
