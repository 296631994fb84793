/* The alerts there are, and what of the state must be written. */
#include "control/notify/decide_priv.h"

#include <stdlib.h>

bool notify_room(void *array, uint32_t n, uint32_t *cap, size_t size)
{
	void **at = array;
	if (n < *cap) return true;
	uint32_t more = *cap ? *cap * 2 : 16;
	void *p = realloc(*at, more * size);
	if (!p) return false;
	*at = p;
	*cap = more;
	return true;
}

bool notify_text_copy(struct hg_str s, struct hg_str *ret)
{
	char *p = malloc(s.n + 1);
	if (!p) return false;
	if (s.n) memcpy(p, s.p, s.n);
	p[s.n] = 0;
	ret->p = p;
	ret->n = s.n;
	return true;
}

/* A UUID of version 4. */
void notify_id_make(struct notify_state *s, char ret_id[NOTIFY_ID_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	uint64_t bits[2] = {hg_rand_u64(&s->rand), hg_rand_u64(&s->rand)};
	for (uint32_t i = 0, k = 0; i < NOTIFY_ID_SIZE - 1; i++) {
		uint32_t digit = (uint32_t)(bits[k / 16] >> (k % 16 * 4)) & 15;
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			ret_id[i] = '-';
			continue;
		}
		if (i == 14) digit = 4;
		if (i == 19) digit = 8 | (digit & 3);
		ret_id[i] = hex[digit];
		k++;
	}
	ret_id[NOTIFY_ID_SIZE - 1] = 0;
}

/* FNV-1a over names and values with 0xff behind each, as Prometheus and Alertmanager have it. */
uint64_t notify_fingerprint(struct labels ls)
{
	uint64_t h = 14695981039346656037u;
	for (uint32_t i = 0; i < ls.n; i++) {
		const struct hg_str part[2] = {ls.at[i].name, ls.at[i].value};
		for (int k = 0; k < 2; k++) {
			for (size_t b = 0; b < part[k].n; b++)
				h = (h ^ (unsigned char)part[k].p[b]) * 1099511628211u;
			h = (h ^ 0xff) * 1099511628211u;
		}
	}
	return h;
}

enum hg_rc notify_state_new(uint64_t seed, struct notify_state **ret_state)
{
	struct notify_state *s = calloc(1, sizeof *s);
	if (!s) return HG_E_NOMEM;
	hg_rand_seed(&s->rand, seed);
	*ret_state = s;
	return HG_OK;
}

static void slot_free(struct notify_alert_slot *slot)
{
	labels_free(slot->a.labels);
	labels_free(slot->a.annotations);
	free((char *)slot->a.generator.p);
	free(slot);
}

void notify_state_free(struct notify_state *s)
{
	if (!s) return;
	notify_groups_free(s);
	for (uint32_t i = 0; i < s->alert_count; i++)
		slot_free(s->alerts[i]);
	for (uint32_t i = 0; i < s->log_count; i++)
		notify_log_free(s->log[i]);
	for (uint32_t i = 0; i < s->silence_count; i++)
		notify_silence_free(s->silences[i]);
	free(s->alerts);
	free(s->gone);
	free(s->log);
	free(s->silences);
	free(s->sources);
	free(s->source_from);
	free(s);
}

/* Where the fingerprint is, or would be. */
static uint32_t place(const struct notify_state *s, uint64_t fingerprint)
{
	uint32_t from = 0, to = s->alert_count;
	while (from < to) {
		uint32_t mid = from + (to - from) / 2;
		if (s->alerts[mid]->a.fingerprint < fingerprint)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static size_t bytes_of(struct labels ls)
{
	size_t n = 0;
	for (uint32_t i = 0; i < ls.n; i++)
		n += ls.at[i].name.n + ls.at[i].value.n;
	return n;
}

static enum hg_rc check(const struct notify_input *in, struct hg_err *err)
{
	if (!in->labels.n)
		return hg_err_set(err, HG_E_ALERT_BODY, "an alert has at least one label");
	if (bytes_of(in->labels) > NOTIFY_LABEL_BYTES ||
	        bytes_of(in->annotations) > NOTIFY_LABEL_BYTES ||
	        in->generator.n > NOTIFY_LABEL_BYTES)
		return hg_err_set(err, HG_E_ALERT_BODY,
		        "labels or annotations of an alert have more than %u bytes",
		        NOTIFY_LABEL_BYTES);
	if (in->starts_ms && in->ends_ms && in->ends_ms < in->starts_ms)
		return hg_err_set(err, HG_E_ALERT_BODY, "an alert ends before it starts");
	return HG_OK;
}

/* Copies what `in` borrows into `a`. */
static bool fill(struct notify_alert *a, const struct notify_input *in)
{
	struct labels annotations = {0};
	struct hg_str generator = {0};
	if (!a->labels.n && labels_clone(in->labels, &a->labels) < 0) return false;
	if (labels_clone(in->annotations, &annotations) < 0) return false;
	if (!notify_text_copy(in->generator, &generator)) {
		labels_free(annotations);
		return false;
	}
	labels_free(a->annotations);
	free((char *)a->generator.p);
	a->annotations = annotations;
	a->generator = generator;
	return true;
}

static enum hg_rc slot_new(struct notify_state *s, const struct notify_input *in,
        uint64_t fingerprint, uint32_t at, struct notify_alert_slot **ret, struct hg_err *err)
{
	if (s->alert_count >= NOTIFY_ALERTS_MAX) {
		hg_err_hint(err, "which label has so many values?");
		return hg_err_set(
		        err, HG_E_ALERT_LIMIT, "there are %u alerts already", NOTIFY_ALERTS_MAX);
	}
	struct notify_alert_slot *slot = calloc(1, sizeof *slot);
	if (!slot ||
	        !notify_room(
	                (void *)&s->alerts, s->alert_count, &s->alert_cap, sizeof *s->alerts) ||
	        !fill(&slot->a, in)) {
		if (slot) slot_free(slot);
		return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	}
	slot->a.fingerprint = fingerprint;
	memmove(s->alerts + at + 1, s->alerts + at, (s->alert_count - at) * sizeof *s->alerts);
	s->alerts[at] = slot;
	s->alert_count++;
	*ret = slot;
	return HG_OK;
}

/*
 * Rules tell of each alert again and again: what differs is only that it ends later, and the store
 * need not hear of each time. After a crash it ends as much earlier, which is still after the
 * next answer of those who evaluate rules.
 */
static bool is_news(const struct notify_alert_slot *slot, const struct notify_alert *old)
{
	const struct notify_alert *a = &slot->a;
	return slot->dirty || !a->rule || !old->rule || a->starts_ms != old->starts_ms ||
	       a->timeout != old->timeout || a->ends_ms < old->ends_ms ||
	       a->ends_ms > slot->kept_ends_ms + NOTIFY_KEPT_MS || a->ends_ms < slot->kept_ends_ms;
}

static bool is_same(const struct notify_alert *a, const struct notify_input *in)
{
	return labels_equal(a->annotations, in->annotations) &&
	       hg_str_eq(a->generator, in->generator);
}

/* Alertmanager's Merge of two that overlap; `a` was heard of later. */
static void merge(struct notify_alert *a, const struct notify_alert *old, uint64_t now_ms)
{
	a->starts_ms = HG_MIN(a->starts_ms, old->starts_ms);
	if (notify_alert_resolved(a, now_ms)) {
		if (notify_alert_resolved(old, now_ms))
			a->ends_ms = HG_MAX(a->ends_ms, old->ends_ms);
	} else if (old->ends_ms > a->ends_ms && !old->timeout) {
		a->ends_ms = old->ends_ms;
		a->timeout = false;
	}
}

static void times_fill(const struct notify_state *s, const struct notify_input *in, uint64_t now_ms,
        struct notify_alert *a)
{
	uint64_t resolve = s->conf && s->conf->resolve_ms ? s->conf->resolve_ms : NOTIFY_RESOLVE_MS;
	a->starts_ms = in->starts_ms ? in->starts_ms : in->ends_ms ? in->ends_ms : now_ms;
	a->timeout = !in->ends_ms;
	a->rule = in->rule;
	a->ends_ms = in->ends_ms ? in->ends_ms : now_ms + resolve;
	a->updated_ms = now_ms;
}

enum hg_rc notify_put(struct notify_state *s, const struct notify_input *in, uint64_t now_ms,
        const struct notify_alert **ret_alert, struct hg_err *err)
{
	struct notify_alert_slot *slot = NULL;
	bool news = true;
	enum hg_rc rc = check(in, err);
	if (rc < 0) return rc;
	uint64_t fingerprint = notify_fingerprint(in->labels);
	uint32_t at = place(s, fingerprint);
	if (now_ms > s->now_ms) s->now_ms = now_ms;
	bool known = at < s->alert_count && s->alerts[at]->a.fingerprint == fingerprint;
	if (known) {
		slot = s->alerts[at];
		if (!labels_equal(slot->a.labels, in->labels))
			return hg_err_set(
			        err, HG_E_ALERT_BODY, "another alert has the same fingerprint");
		struct notify_alert old = slot->a;
		bool same = is_same(&old, in);
		if (!same && !fill(&slot->a, in))
			return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
		times_fill(s, in, now_ms, &slot->a);
		const struct notify_alert *a = &slot->a;
		bool overlap = (a->ends_ms > old.starts_ms && a->ends_ms < old.ends_ms) ||
		               (a->starts_ms > old.starts_ms && a->starts_ms < old.ends_ms);
		if (overlap) merge(&slot->a, &old, now_ms);
		news = !same || is_news(slot, &old);
	} else {
		rc = slot_new(s, in, fingerprint, at, &slot, err);
		if (rc < 0) return rc;
		HG_ASSERT(slot);
		times_fill(s, in, now_ms, &slot->a);
	}
	slot->dirty = news;
	s->sources_valid = false;
	if (ret_alert) *ret_alert = &slot->a;
	rc = s->conf ? notify_group_alert(s, &slot->a) : HG_OK;
	if (rc == HG_E_ALERT_LIMIT)
		return hg_err_set(err, rc, "there are %u groups already", NOTIFY_GROUPS_MAX);
	return rc < 0 ? hg_err_set(err, rc, "memory is exhausted") : HG_OK;
}

enum hg_rc notify_restore(
        struct notify_state *s, const struct notify_input *in, uint64_t updated_ms, bool timeout)
{
	struct notify_alert_slot *slot = NULL;
	struct hg_err err = {0};
	uint64_t fingerprint = notify_fingerprint(in->labels);
	uint32_t at = place(s, fingerprint);
	enum hg_rc rc = check(in, &err);
	if (rc < 0) return rc;
	if (at < s->alert_count && s->alerts[at]->a.fingerprint == fingerprint) return HG_OK;
	rc = slot_new(s, in, fingerprint, at, &slot, &err);
	if (rc < 0) return rc;
	HG_ASSERT(slot);
	slot->a.starts_ms = in->starts_ms;
	slot->a.ends_ms = in->ends_ms;
	slot->a.updated_ms = updated_ms;
	slot->a.timeout = timeout;
	slot->a.rule = in->rule;
	slot->kept_ends_ms = in->ends_ms;
	return HG_OK;
}

void notify_hold(struct notify_state *s, uint64_t until_ms)
{
	uint64_t least_ms = until_ms + NOTIFY_RESOLVE_MS;
	s->hold_ms = until_ms;
	s->sources_valid = false;
	for (uint32_t i = 0; i < s->alert_count; i++) {
		struct notify_alert *a = &s->alerts[i]->a;
		if (a->ends_ms > a->updated_ms && a->ends_ms < least_ms) a->ends_ms = least_ms;
	}
}

/* Nothing holds it any more. */
void notify_alert_forget(struct notify_state *s, struct notify_alert *a)
{
	uint32_t at = place(s, a->fingerprint);
	HG_ASSERT(at < s->alert_count && &s->alerts[at]->a == a);
	/* Without memory it is forgotten later. */
	if (!notify_room((void *)&s->gone, s->gone_count, &s->gone_cap, sizeof *s->gone)) return;
	s->gone[s->gone_count++] = a->fingerprint;
	s->sources_valid = false;
	slot_free(s->alerts[at]);
	s->alert_count--;
	memmove(s->alerts + at, s->alerts + at + 1, (s->alert_count - at) * sizeof *s->alerts);
}

uint32_t notify_alert_count(const struct notify_state *s)
{
	return s->alert_count;
}

const struct notify_alert *notify_alert_at(const struct notify_state *s, uint32_t i)
{
	HG_ASSERT(i < s->alert_count);
	return &s->alerts[i]->a;
}

/* ---- what must be written ---- */

static enum hg_rc alert_changes(struct notify_state *s, notify_changed_fn fn, void *arg)
{
	enum hg_rc rc = HG_OK;
	while (s->gone_count && rc == HG_OK) {
		uint64_t fingerprint = s->gone[s->gone_count - 1];
		uint32_t at = place(s, fingerprint);
		bool back = at < s->alert_count && s->alerts[at]->a.fingerprint == fingerprint;
		if (!back)
			rc = fn(arg, &(struct notify_changed){.what = NOTIFY_ALERT_GONE,
			                     .fingerprint = fingerprint});
		if (rc == HG_OK) s->gone_count--;
	}
	for (uint32_t i = 0; i < s->alert_count && rc == HG_OK; i++) {
		if (!s->alerts[i]->dirty) continue;
		rc = fn(arg, &(struct notify_changed){
		                     .what = NOTIFY_ALERT_SET, .alert = &s->alerts[i]->a});
		if (rc < 0) break;
		s->alerts[i]->dirty = false;
		s->alerts[i]->kept_ends_ms = s->alerts[i]->a.ends_ms;
	}
	return rc;
}

static enum hg_rc entry_changes(struct notify_state *s, notify_changed_fn fn, void *arg)
{
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < s->log_count && rc == HG_OK;) {
		struct notify_entry_slot *slot = s->log[i];
		if (slot->dirty || slot->gone)
			rc = fn(arg, &(struct notify_changed){.what = slot->gone ? NOTIFY_ENTRY_GONE
			                                                         : NOTIFY_ENTRY_SET,
			                     .entry = &slot->e});
		if (rc < 0) break;
		slot->dirty = false;
		if (!slot->gone) {
			i++;
			continue;
		}
		notify_log_free(slot);
		s->log_count--;
		memmove(s->log + i, s->log + i + 1, (s->log_count - i) * sizeof *s->log);
	}
	return rc;
}

static enum hg_rc silence_changes(struct notify_state *s, notify_changed_fn fn, void *arg)
{
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < s->silence_count && rc == HG_OK;) {
		struct notify_silence_slot *slot = s->silences[i];
		if (slot->dirty || slot->gone)
			rc = fn(arg,
			        &(struct notify_changed){.what = slot->gone ? NOTIFY_SILENCE_GONE
			                                                    : NOTIFY_SILENCE_SET,
			                .silence = &slot->s});
		if (rc < 0) break;
		slot->dirty = false;
		if (!slot->gone) {
			i++;
			continue;
		}
		notify_silence_free(slot);
		s->silence_count--;
		memmove(s->silences + i, s->silences + i + 1,
		        (s->silence_count - i) * sizeof *s->silences);
	}
	return rc;
}

enum hg_rc notify_changes(struct notify_state *s, notify_changed_fn fn, void *arg)
{
	enum hg_rc rc = alert_changes(s, fn, arg);
	if (rc == HG_OK) rc = entry_changes(s, fn, arg);
	if (rc == HG_OK) rc = silence_changes(s, fn, arg);
	return rc;
}
