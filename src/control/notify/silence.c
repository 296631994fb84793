/* Silences. */
#include "control/notify/decide_priv.h"

#include <stdlib.h>

#include "wire/re.h"

void notify_silence_free(struct notify_silence_slot *slot)
{
	for (uint32_t i = 0; i < slot->s.matcher_count; i++) {
		free((char *)slot->s.matchers[i].name.p);
		free((char *)slot->s.matchers[i].value.p);
		re_free(slot->s.matchers[i].re);
	}
	free(slot->s.matchers);
	free((char *)slot->s.created_by.p);
	free((char *)slot->s.comment.p);
	free(slot);
}

static enum hg_rc matcher_copy(
        const struct label_matcher *from, struct label_matcher *to, struct hg_err *err)
{
	to->op = from->op;
	if (!notify_text_copy(from->name, &to->name) || !notify_text_copy(from->value, &to->value))
		return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	if (to->op != LABEL_RE && to->op != LABEL_NRE) return HG_OK;
	struct hg_err why = {0};
	if (re_compile(to->value, RE_LABEL, &to->re, &why) == HG_OK) return HG_OK;
	return hg_err_set(err, HG_E_ALERT_BODY, "the matcher \"%.*s\" of a silence: %s",
	        (int)HG_MIN(from->name.n, 60), from->name.p, why.message);
}

static enum hg_rc slot_new(
        const struct notify_silence *in, struct notify_silence_slot **ret, struct hg_err *err)
{
	struct notify_silence_slot *slot = calloc(1, sizeof *slot);
	enum hg_rc rc = HG_E_NOMEM;
	if (!slot) return hg_err_set(err, rc, "memory is exhausted");
	slot->s = *in;
	slot->s.created_by = slot->s.comment = (struct hg_str){0};
	slot->s.matcher_count = 0;
	slot->s.matchers = calloc(in->matcher_count + 1, sizeof *slot->s.matchers);
	if (!slot->s.matchers || !notify_text_copy(in->created_by, &slot->s.created_by) ||
	        !notify_text_copy(in->comment, &slot->s.comment)) {
		(void)hg_err_set(err, rc, "memory is exhausted");
		goto out;
	}
	for (uint32_t i = 0; i < in->matcher_count; i++) {
		slot->s.matcher_count++;
		rc = matcher_copy(&in->matchers[i], &slot->s.matchers[i], err);
		if (rc < 0) goto out;
	}
	*ret = slot;
	return HG_OK;
out:
	notify_silence_free(slot);
	return rc;
}

/* At least one matcher says something: it does not match the empty text, or excludes one. */
static bool says_something(const struct notify_silence *s)
{
	for (uint32_t i = 0; i < s->matcher_count; i++) {
		const struct label_matcher *m = &s->matchers[i];
		if (m->op == LABEL_NE || m->op == LABEL_NRE) return true;
		if (!label_matcher_matches(m, HG_STR(""))) return true;
	}
	return false;
}

static enum hg_rc check(const struct notify_silence *s, uint64_t now_ms, struct hg_err *err)
{
	if (!s->matcher_count)
		return hg_err_set(err, HG_E_ALERT_BODY, "a silence has at least one matcher");
	for (uint32_t i = 0; i < s->matcher_count; i++)
		if (!s->matchers[i].name.n)
			return hg_err_set(
			        err, HG_E_ALERT_BODY, "a matcher of a silence has no name");
	if (!says_something(s))
		return hg_err_set(err, HG_E_ALERT_BODY,
		        "every matcher of the silence matches the empty text: it would take "
		        "everything");
	if (s->ends_ms <= s->starts_ms)
		return hg_err_set(err, HG_E_ALERT_BODY, "a silence ends before it starts");
	if (s->ends_ms <= now_ms)
		return hg_err_set(err, HG_E_ALERT_BODY, "the end of the silence has passed");
	if (!s->created_by.n || !s->comment.n)
		return hg_err_set(err, HG_E_ALERT_BODY, "a silence says who made it, and why");
	if (s->comment.n > 4096 || s->created_by.n > 256 || s->matcher_count > 64)
		return hg_err_set(err, HG_E_ALERT_BODY, "a silence is too large");
	return HG_OK;
}

static struct notify_silence_slot *find(const struct notify_state *s, struct hg_str id)
{
	for (uint32_t i = 0; i < s->silence_count; i++)
		if (!s->silences[i]->gone && hg_str_eq(hg_str(s->silences[i]->s.id), id))
			return s->silences[i];
	return NULL;
}

static bool same_matchers(const struct notify_silence *a, const struct notify_silence *b)
{
	if (a->matcher_count != b->matcher_count) return false;
	for (uint32_t i = 0; i < a->matcher_count; i++) {
		const struct label_matcher *x = &a->matchers[i], *y = &b->matchers[i];
		if (x->op != y->op || !hg_str_eq(x->name, y->name) ||
		        !hg_str_eq(x->value, y->value))
			return false;
	}
	return true;
}

static enum hg_rc add(struct notify_state *s, struct notify_silence_slot *slot, struct hg_err *err)
{
	if (s->silence_count < NOTIFY_SILENCES_MAX &&
	        notify_room((void *)&s->silences, s->silence_count, &s->silence_cap,
	                sizeof *s->silences)) {
		s->silences[s->silence_count++] = slot;
		return HG_OK;
	}
	notify_silence_free(slot);
	return hg_err_set(
	        err, HG_E_ALERT_LIMIT, "there are %u silences already", NOTIFY_SILENCES_MAX);
}

/* Only its times and texts change: what it takes is the same. */
static bool can_stay(const struct notify_silence *old, const struct notify_silence *now, uint64_t t)
{
	if (!same_matchers(old, now)) return false;
	if (notify_silence_state(old, t) == NOTIFY_EXPIRED) return false;
	/* Whoever sends it back may have kept the seconds only. */
	return notify_silence_state(old, t) == NOTIFY_PENDING ||
	       now->starts_ms / 1000 == old->starts_ms / 1000;
}

enum hg_rc notify_silence_set(struct notify_state *s, const struct notify_silence *in,
        uint64_t now_ms, const struct notify_silence **ret_silence, struct hg_err *err)
{
	struct notify_silence_slot *slot = NULL, *old = in->id[0] ? find(s, hg_str(in->id)) : NULL;
	if (in->id[0] && !old)
		return hg_err_set(err, HG_E_NOT_FOUND, "there is no silence \"%s\"", in->id);
	enum hg_rc rc = slot_new(in, &slot, err);
	if (rc < 0) return rc;
	HG_ASSERT(slot);
	bool stay = old && can_stay(&old->s, &slot->s, now_ms);
	/* It begins now at the earliest, but for one that has begun and goes on. */
	if (!stay && slot->s.starts_ms < now_ms) slot->s.starts_ms = now_ms;
	rc = check(&slot->s, now_ms, err);
	if (rc < 0) {
		notify_silence_free(slot);
		return rc;
	}
	slot->s.updated_ms = now_ms;
	slot->dirty = true;
	if (stay) {
		struct notify_silence_slot kept = *old;
		*old = *slot; /* the place in the list stays */
		*slot = kept;
		notify_silence_free(slot);
		slot = old;
	} else {
		notify_id_make(s, slot->s.id);
		rc = add(s, slot, err);
		if (rc < 0) return rc;
		if (old && notify_silence_state(&old->s, now_ms) != NOTIFY_EXPIRED) {
			old->s.ends_ms = old->s.updated_ms = now_ms;
			old->dirty = true;
		}
	}
	if (ret_silence) *ret_silence = &slot->s;
	return HG_OK;
}

enum hg_rc notify_silence_restore(
        struct notify_state *s, const struct notify_silence *in, struct hg_err *err)
{
	struct notify_silence_slot *slot = NULL;
	enum hg_rc rc = slot_new(in, &slot, err);
	if (rc < 0) return rc;
	HG_ASSERT(slot);
	return add(s, slot, err);
}

enum hg_rc notify_silence_expire(struct notify_state *s, struct hg_str id, uint64_t now_ms,
        const struct notify_silence **ret_silence, struct hg_err *err)
{
	struct notify_silence_slot *slot = find(s, id);
	if (!slot)
		return hg_err_set(err, HG_E_NOT_FOUND, "there is no silence \"%.*s\"",
		        (int)HG_MIN(id.n, 60), id.p);
	if (notify_silence_state(&slot->s, now_ms) == NOTIFY_EXPIRED)
		return hg_err_set(err, HG_E_ALERT_BODY, "the silence has ended already");
	if (slot->s.starts_ms > now_ms) slot->s.starts_ms = now_ms;
	slot->s.ends_ms = slot->s.updated_ms = now_ms;
	slot->dirty = true;
	if (ret_silence) *ret_silence = &slot->s;
	return HG_OK;
}

const struct notify_silence *notify_silenced_by(
        const struct notify_state *s, struct labels ls, uint64_t now_ms, uint32_t *at)
{
	while (*at < s->silence_count) {
		const struct notify_silence *q = &s->silences[(*at)++]->s;
		if (notify_silence_state(q, now_ms) != NOTIFY_ACTIVE) continue;
		if (label_matchers_match(q->matchers, q->matcher_count, ls)) return q;
	}
	return NULL;
}

uint32_t notify_silence_count(const struct notify_state *s)
{
	return s->silence_count;
}

const struct notify_silence *notify_silence_at(const struct notify_state *s, uint32_t i)
{
	HG_ASSERT(i < s->silence_count);
	return &s->silences[i]->s;
}

const struct notify_silence *notify_silence_find(const struct notify_state *s, struct hg_str id)
{
	const struct notify_silence_slot *slot = find(s, id);
	return slot ? &slot->s : NULL;
}
