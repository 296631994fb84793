/* The notification log. */
#include "control/notify/decide_priv.h"

#include <stdlib.h>

static int order(const struct notify_entry *e, struct hg_str group, struct hg_str channel)
{
	int c = label_text_compare(e->group, group);
	return c ? c : label_text_compare(e->channel, channel);
}

static uint32_t place(
        const struct notify_state *s, struct hg_str group, struct hg_str channel, bool *ret_there)
{
	uint32_t from = 0, to = s->log_count;
	*ret_there = false;
	while (from < to) {
		uint32_t mid = from + (to - from) / 2;
		int c = order(&s->log[mid]->e, group, channel);
		if (c == 0) {
			*ret_there = true;
			return mid;
		}
		if (c < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

struct notify_entry_slot *notify_log_find(
        const struct notify_state *s, struct hg_str group, struct hg_str channel)
{
	bool there;
	uint32_t at = place(s, group, channel, &there);
	return there && !s->log[at]->gone ? s->log[at] : NULL;
}

void notify_log_free(struct notify_entry_slot *slot)
{
	free((char *)slot->e.group.p);
	free((char *)slot->e.channel.p);
	free(slot->e.firing);
	free(slot->e.resolved);
	free(slot->e.try_firing);
	free(slot->e.try_resolved);
	free(slot);
}

struct notify_entry_slot *notify_log_open(
        struct notify_state *s, struct hg_str group, struct hg_str channel)
{
	bool there;
	uint32_t at = place(s, group, channel, &there);
	if (there) {
		s->log[at]->gone = false;
		return s->log[at];
	}
	if (s->log_count >= NOTIFY_LOG_MAX) return NULL;
	struct notify_entry_slot *slot = calloc(1, sizeof *slot);
	if (!slot || !notify_text_copy(group, &slot->e.group) ||
	        !notify_text_copy(channel, &slot->e.channel) ||
	        !notify_room((void *)&s->log, s->log_count, &s->log_cap, sizeof *s->log)) {
		if (slot) notify_log_free(slot);
		return NULL;
	}
	memmove(s->log + at + 1, s->log + at, (s->log_count - at) * sizeof *s->log);
	s->log[at] = slot;
	s->log_count++;
	return slot;
}

bool notify_subset(const uint64_t *a, uint32_t n, const uint64_t *b, uint32_t m)
{
	uint32_t k = 0;
	for (uint32_t i = 0; i < n; i++) {
		while (k < m && b[k] < a[i])
			k++;
		if (k == m || b[k] != a[i]) return false;
	}
	return true;
}

static bool copy_list(const uint64_t *from, uint32_t n, uint64_t **to, uint32_t *to_count)
{
	uint64_t *p = malloc((n ? n : 1) * sizeof *p);
	if (!p) return false;
	if (n) memcpy(p, from, n * sizeof *p);
	free(*to);
	*to = p;
	*to_count = n;
	return true;
}

enum hg_rc notify_log_restore(struct notify_state *s, const struct notify_entry *e)
{
	struct notify_entry_slot *slot = notify_log_open(s, e->group, e->channel);
	if (!slot) return HG_E_NOMEM;
	struct notify_entry *to = &slot->e;
	if (!copy_list(e->firing, e->firing_count, &to->firing, &to->firing_count) ||
	        !copy_list(e->resolved, e->resolved_count, &to->resolved, &to->resolved_count) ||
	        !copy_list(e->try_firing, e->try_firing_count, &to->try_firing,
	                &to->try_firing_count) ||
	        !copy_list(e->try_resolved, e->try_resolved_count, &to->try_resolved,
	                &to->try_resolved_count))
		return HG_E_NOMEM;
	to->sent_ms = e->sent_ms;
	to->expires_ms = e->expires_ms;
	to->try_ms = e->try_ms;
	to->attempts = e->attempts;
	memcpy(to->id, e->id, sizeof to->id);
	memcpy(to->error, e->error, sizeof to->error);
	return HG_OK;
}

uint32_t notify_entry_count(const struct notify_state *s)
{
	return s->log_count;
}

const struct notify_entry *notify_entry_at(const struct notify_state *s, uint32_t i)
{
	HG_ASSERT(i < s->log_count);
	return &s->log[i]->e;
}
