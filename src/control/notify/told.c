/* What is said of a group to those who ask: what came of it, as of the last attempt. */
#include "control/notify/decide_priv.h"

#include <stdio.h>

const char *notify_why_text(enum notify_why w)
{
	static const char *const texts[] = {[NOTIFY_WHY_WAITING] = "waiting",
	        [NOTIFY_WHY_SENDING] = "being sent",
	        [NOTIFY_WHY_SENT] = "sent",
	        [NOTIFY_WHY_TOLD] = "nothing new",
	        [NOTIFY_WHY_SILENCED] = "silenced",
	        [NOTIFY_WHY_INHIBITED] = "inhibited",
	        [NOTIFY_WHY_TIME] = "muted at this time",
	        [NOTIFY_WHY_NOBODY] = "no receiver",
	        [NOTIFY_WHY_RESOLVED] = "resolved before anybody was told",
	        [NOTIFY_WHY_FAILED] = "failed"};
	return texts[w];
}

void notify_error_set(struct notify_entry *e, const char *why)
{
	struct hg_str s = hg_str(why && *why ? why : "no reason was given");
	/* Not in the middle of a character. */
	s.n = HG_MIN(s.n, sizeof e->error - 1);
	while (s.n && !hg_utf8_valid(s))
		s.n--;
	(void)hg_str_copy(s, e->error, sizeof e->error);
}

static bool under_way(const struct notify_state *s, const struct notify_group *g, uint32_t channel)
{
	for (const struct notify_send *send = s->sends; send; send = send->next)
		if (send->group == g && send->channel == channel) return true;
	return false;
}

enum notify_why notify_group_why(const struct notify_state *s, const struct notify_group *g,
        uint32_t receiver, const struct notify_entry **ret_failed)
{
	const struct notify_receiver *r = &s->conf->receivers[receiver];
	bool sending = false, told = false;
	*ret_failed = NULL;
	for (uint32_t i = r->first; i < r->first + r->count; i++) {
		const struct notify_entry_slot *slot =
		        notify_log_find(s, g->key, s->conf->channels[i].key);
		if (slot && slot->e.error[0]) {
			*ret_failed = &slot->e;
			return NOTIFY_WHY_FAILED;
		}
		sending = sending || under_way(s, g, i);
		told = told || (slot && slot->e.sent_ms);
	}
	if (sending) return NOTIFY_WHY_SENDING;
	/* That another receiver is being told, or could not be, is not about this one. */
	bool of_others = g->why == NOTIFY_WHY_SENDING || (g->why == NOTIFY_WHY_FAILED && told);
	return of_others ? NOTIFY_WHY_SENT : g->why;
}

uint64_t notify_again_ms(const struct notify_state *s, const struct notify_group *g,
        const struct notify_entry *failed)
{
	for (const struct notify_send *send = s->sends; send; send = send->next)
		if (send->entry == failed) return send->under_way ? 0 : send->next_ms;
	const struct notify_entry_slot *slot =
	        HG_CONTAINER(failed, const struct notify_entry_slot, e);
	return HG_MAX(g->next_ms, slot->not_before_ms);
}
