/* When the clock was set. */
#include "control/notify/decide_priv.h"

static void move(uint64_t *at_ms, int64_t by_ms)
{
	if (*at_ms == 0 || *at_ms == UINT64_MAX) return; /* never */
	uint64_t by = (uint64_t)(by_ms < 0 ? -by_ms : by_ms);
	*at_ms = by_ms >= 0 ? *at_ms + by : *at_ms > by ? *at_ms - by : 1;
}

static void entry_move(struct notify_entry_slot *slot, int64_t by_ms)
{
	move(&slot->e.sent_ms, by_ms);
	move(&slot->e.expires_ms, by_ms);
	move(&slot->e.try_ms, by_ms);
	move(&slot->not_before_ms, by_ms);
	slot->dirty = true;
}

/* Those that end when nobody repeats them. */
static void alert_move(struct notify_alert_slot *slot, int64_t by_ms)
{
	if (!slot->a.timeout && !slot->a.rule) return;
	move(&slot->a.updated_ms, by_ms);
	move(&slot->a.ends_ms, by_ms);
	slot->dirty = true;
}

void notify_clock_set(struct notify_state *s, int64_t by_ms)
{
	move(&s->now_ms, by_ms);
	move(&s->hold_ms, by_ms);
	s->sources_valid = false;
	for (uint32_t i = 0; i < s->alert_count; i++)
		alert_move(s->alerts[i], by_ms);
	for (uint32_t i = 0; i < s->log_count; i++)
		entry_move(s->log[i], by_ms);
	for (uint32_t i = 0; i < s->group_count; i++)
		move(&s->groups[i]->next_ms, by_ms);
	for (struct notify_send *send = s->sends; send; send = send->next) {
		move(&send->now_ms, by_ms);
		move(&send->next_ms, by_ms);
		move(&send->until_ms, by_ms);
	}
}

void notify_clock_clamp(struct notify_state *s, uint64_t now_ms)
{
	for (uint32_t i = 0; i < s->alert_count; i++) {
		uint64_t at = s->alerts[i]->a.updated_ms;
		if (at > now_ms) alert_move(s->alerts[i], -(int64_t)(at - now_ms));
	}
	for (uint32_t i = 0; i < s->log_count; i++) {
		uint64_t at = HG_MAX(s->log[i]->e.sent_ms, s->log[i]->e.try_ms);
		if (at > now_ms) entry_move(s->log[i], -(int64_t)(at - now_ms));
	}
}
