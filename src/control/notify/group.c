/* Groups: when they are looked at, what is sent of them, and to whom. */
#include "control/notify/decide_priv.h"

#include <stdlib.h>

#define ROUTES_EACH    64u
#define RETRY_FIRST_MS 1000u
#define RETRY_MAX_MS   60000u
#define TRY_KEEP_MS    86400000u /* the id of a message that could not be sent */

/* ---- making groups ---- */

static bool grouped_by(const struct notify_route *r, struct hg_str name)
{
	for (uint32_t i = 0; i < r->group_by_count; i++)
		if (hg_str_eq(r->group_by[i], name)) return true;
	return r->group_by_all;
}

/* The labels by which the alert is grouped, borrowed; at most `max`. */
static uint32_t group_labels(
        const struct notify_route *r, struct labels ls, struct label *to, uint32_t max)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < ls.n && n < max; i++)
		if (grouped_by(r, ls.at[i].name)) to[n++] = ls.at[i];
	return n;
}

static int group_order(const struct notify_group *g, uint32_t route, struct labels ls)
{
	if (g->route != route) return g->route < route ? -1 : 1;
	return labels_compare(g->labels, ls);
}

static uint32_t group_place(
        const struct notify_state *s, uint32_t route, struct labels ls, bool *ret_there)
{
	uint32_t from = 0, to = s->group_count;
	*ret_there = false;
	while (from < to) {
		uint32_t mid = from + (to - from) / 2;
		int c = group_order(s->groups[mid], route, ls);
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

static void group_free(struct notify_group *g)
{
	free((char *)g->key.p);
	labels_free(g->labels);
	free(g->alerts);
	free(g);
}

static bool group_key(const struct notify_route *r, struct labels ls, struct hg_str *ret)
{
	struct hg_buf b;
	hg_buf_init(&b, 1 << 20);
	hg_buf_str(&b, r->key);
	hg_buf_byte(&b, ':');
	labels_print(&b, ls);
	bool good = !b.failed && notify_text_copy(hg_buf_view(&b), ret);
	hg_buf_free(&b);
	return good;
}

/* Something of it was under way when the last process ended. */
static bool was_under_way(const struct notify_state *s, const struct notify_group *g)
{
	const struct notify_route *r = &s->conf->routes[g->route];
	for (uint32_t i = 0; i < r->receiver_count; i++) {
		const struct notify_receiver *to = &s->conf->receivers[r->receivers[i]];
		for (uint32_t k = 0; k < to->count; k++) {
			const struct notify_entry_slot *e =
			        notify_log_find(s, g->key, s->conf->channels[to->first + k].key);
			if (e && e->e.id[0]) return true;
		}
	}
	return false;
}

static enum hg_rc group_new(struct notify_state *s, uint32_t route, struct labels ls, uint32_t at,
        struct notify_group **ret)
{
	const struct notify_route *r = &s->conf->routes[route];
	if (s->group_count >= NOTIFY_GROUPS_MAX) return HG_E_ALERT_LIMIT;
	struct notify_group *g = calloc(1, sizeof *g);
	if (!g) return HG_E_NOMEM;
	g->route = route;
	if (labels_clone(ls, &g->labels) < 0 || !group_key(r, ls, &g->key) ||
	        !notify_room(
	                (void *)&s->groups, s->group_count, &s->group_cap, sizeof *s->groups)) {
		group_free(g);
		return HG_E_NOMEM;
	}
	g->next_ms = HG_MAX(s->now_ms + r->wait_ms, s->hold_ms);
	if (was_under_way(s, g)) g->next_ms = s->now_ms;
	memmove(s->groups + at + 1, s->groups + at, (s->group_count - at) * sizeof *s->groups);
	s->groups[at] = g;
	s->group_count++;
	*ret = g;
	return HG_OK;
}

static enum hg_rc member_add(struct notify_group *g, struct notify_alert *a)
{
	uint32_t at = 0, end = g->alert_count;
	while (at < end) {
		uint32_t mid = at + (end - at) / 2;
		if (g->alerts[mid]->fingerprint < a->fingerprint)
			at = mid + 1;
		else
			end = mid;
	}
	if (at < g->alert_count && g->alerts[at] == a) return HG_OK;
	if (!notify_room((void *)&g->alerts, g->alert_count, &g->alert_cap, sizeof *g->alerts))
		return HG_E_NOMEM;
	memmove(g->alerts + at + 1, g->alerts + at, (g->alert_count - at) * sizeof *g->alerts);
	g->alerts[at] = a;
	g->alert_count++;
	a->groups++;
	return HG_OK;
}

enum hg_rc notify_group_alert(struct notify_state *s, struct notify_alert *a)
{
	uint32_t routes[ROUTES_EACH];
	struct label by[LABELS_MAX];
	uint32_t n = notify_route_match(s->conf, a->labels, routes, ROUTES_EACH);
	for (uint32_t i = 0; i < n; i++) {
		const struct notify_route *r = &s->conf->routes[routes[i]];
		struct labels ls = {.at = by};
		ls.n = group_labels(r, a->labels, by, LABELS_MAX);
		struct notify_group *g;
		bool there;
		uint32_t at = group_place(s, routes[i], ls, &there);
		enum hg_rc rc = HG_OK;
		if (there)
			g = s->groups[at];
		else
			rc = group_new(s, routes[i], ls, at, &g);
		if (rc == HG_OK) rc = member_add(g, a);
		if (rc < 0) return rc;
		/* One that burns for longer than the group waits is not kept waiting. */
		if (!g->looked && a->starts_ms + r->wait_ms < s->now_ms)
			g->next_ms = HG_MIN(g->next_ms, HG_MAX(s->now_ms, s->hold_ms));
	}
	return HG_OK;
}

static void send_free(struct notify_state *s, struct notify_send *send)
{
	for (struct notify_send **at = &s->sends; *at; at = &(*at)->next) {
		if (*at != send) continue;
		*at = send->next;
		break;
	}
	if (send->group->busy) send->group->busy--;
	HG_CONTAINER(send->entry, struct notify_entry_slot, e)->busy = false;
	free(send->alerts);
	free(send);
}

void notify_groups_free(struct notify_state *s)
{
	while (s->sends)
		send_free(s, s->sends);
	for (uint32_t i = 0; i < s->group_count; i++)
		group_free(s->groups[i]);
	for (uint32_t i = 0; i < s->alert_count; i++)
		s->alerts[i]->a.groups = 0;
	free(s->groups);
	s->groups = NULL;
	s->group_count = s->group_cap = 0;
}

enum hg_rc notify_conf_use(
        struct notify_state *s, const struct notify_conf *c, uint64_t now_ms, struct hg_err *err)
{
	if (now_ms > s->now_ms) s->now_ms = now_ms;
	notify_groups_free(s);
	notify_clock_clamp(s, s->now_ms);
	s->sources_valid = false;
	s->conf = c;
	for (uint32_t i = 0; i < s->alert_count; i++) {
		enum hg_rc rc = notify_group_alert(s, &s->alerts[i]->a);
		if (rc < 0) return hg_err_set(err, rc, "could not group the alerts anew");
	}
	return HG_OK;
}

/* ---- looking at a group ---- */

/* What of the group counts at this look, sorted by fingerprint. */
struct look {
	uint64_t *firing, *resolved;
	uint32_t firing_count, resolved_count;
	bool silenced, inhibited;
};

static void look_free(struct look *l)
{
	free(l->firing);
	free(l->resolved);
}

static bool look_at(struct notify_state *s, const struct notify_group *g, struct look *l)
{
	*l = (struct look){.firing = malloc((g->alert_count + 1) * sizeof(uint64_t)),
	        .resolved = malloc((g->alert_count + 1) * sizeof(uint64_t))};
	if (!l->firing || !l->resolved) return false;
	for (uint32_t i = 0; i < g->alert_count; i++) {
		const struct notify_alert *a = g->alerts[i];
		uint32_t at = 0;
		if (notify_inhibited_by(s, a->labels, s->now_ms)) {
			l->inhibited = true;
		} else if (notify_silenced_by(s, a->labels, s->now_ms, &at)) {
			l->silenced = true;
		} else if (notify_alert_resolved(a, s->now_ms)) {
			l->resolved[l->resolved_count++] = a->fingerprint;
		} else {
			l->firing[l->firing_count++] = a->fingerprint;
		}
	}
	return true;
}

static bool time_muted(const struct notify_state *s, const struct notify_route *r)
{
	for (uint32_t i = 0; i < r->mute_count; i++)
		if (notify_times_contain(&s->conf->times[r->mute[i]], s->now_ms)) return true;
	for (uint32_t i = 0; i < r->active_count; i++)
		if (notify_times_contain(&s->conf->times[r->active[i]], s->now_ms)) return false;
	return r->active_count > 0;
}

/* Alertmanager's needsUpdate. */
static bool needs(const struct notify_entry *e, const struct look *l, bool wants_resolved,
        uint64_t repeat_ms, uint64_t now_ms)
{
	/* Kept back, all of it: that is no end. */
	if (!l->firing_count && !l->resolved_count) return false;
	if (!e || !e->sent_ms) return l->firing_count > 0;
	if (!notify_subset(l->firing, l->firing_count, e->firing, e->firing_count)) return true;
	/* All is over: asked of everybody, so that the log says so. */
	if (!l->firing_count) return e->firing_count > 0;
	if (wants_resolved &&
	        !notify_subset(l->resolved, l->resolved_count, e->resolved, e->resolved_count))
		return true;
	return e->sent_ms + repeat_ms <= now_ms;
}

static bool same(const uint64_t *a, uint32_t n, const uint64_t *b, uint32_t m)
{
	return n == m && notify_subset(a, n, b, m);
}

static bool list_set(const uint64_t *from, uint32_t n, uint64_t **to, uint32_t *to_count)
{
	uint64_t *p = malloc((n ? n : 1) * sizeof *p);
	if (!p) return false;
	if (n) memcpy(p, from, n * sizeof *p);
	free(*to);
	*to = p;
	*to_count = n;
	return true;
}

static uint64_t repeat_of(
        const struct notify_state *s, const struct notify_group *g, uint32_t channel)
{
	uint64_t own = s->conf->receivers[s->conf->channels[channel].receiver].repeat_ms;
	return own ? own : s->conf->routes[g->route].repeat_ms;
}

/* The log says that the channel knows it, by the time of the look: so `repeat` is a multiple of
 * `interval` and not one more for the time that sending took. It is kept until the repetition has
 * been missed: an end can be told until then. */
static void entry_done(struct notify_state *s, const struct notify_group *g, uint32_t channel,
        struct notify_entry_slot *slot, uint64_t looked_ms)
{
	uint64_t again_ms = HG_MAX(repeat_of(s, g, channel), s->conf->routes[g->route].interval_ms);
	struct notify_entry *e = &slot->e;
	free(e->firing);
	free(e->resolved);
	e->firing = e->try_firing;
	e->firing_count = e->try_firing_count;
	e->resolved = e->try_resolved;
	e->resolved_count = e->try_resolved_count;
	e->try_firing = e->try_resolved = NULL;
	e->try_firing_count = e->try_resolved_count = 0;
	e->id[0] = e->error[0] = 0;
	e->attempts = 0;
	e->sent_ms = looked_ms;
	e->expires_ms = looked_ms + 2 * again_ms + NOTIFY_TIMEOUT_MIN_MS;
	slot->dirty = true;
}

static bool is_member(const uint64_t *list, uint32_t n, uint64_t v)
{
	uint32_t from = 0, to = n;
	while (from < to) {
		uint32_t mid = from + (to - from) / 2;
		if (list[mid] == v) return true;
		if (list[mid] < v)
			from = mid + 1;
		else
			to = mid;
	}
	return false;
}

static int by_labels(const void *a, const void *b)
{
	const struct notify_alert *const *x = a, *const *y = b;
	return labels_compare((*x)->labels, (*y)->labels);
}

/* Firing ones first, each kind in the order of their labels. */
static bool send_fill(struct notify_send *send, const struct notify_group *g, const struct look *l,
        bool wants_resolved)
{
	send->alerts = malloc((g->alert_count + 1) * sizeof(struct notify_alert *));
	if (!send->alerts) return false;
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < g->alert_count && (pass == 0 || wants_resolved); i++) {
			const struct notify_alert *a = g->alerts[i];
			bool in = pass == 0 ? is_member(l->firing, l->firing_count, a->fingerprint)
			                    : is_member(l->resolved, l->resolved_count,
			                              a->fingerprint);
			if (in) send->alerts[send->count++] = a;
		}
		if (pass == 0) send->firing_count = send->count;
	}
	uint32_t firing = send->firing_count;
	qsort(send->alerts, firing, sizeof(*send->alerts), by_labels);
	qsort(send->alerts + firing, send->count - firing, sizeof(*send->alerts), by_labels);
	return true;
}

/* Asks for a send to one channel; true: something is under way for it. */
static bool send_begin(struct notify_state *s, struct notify_group *g, uint32_t channel,
        const struct look *l, struct notify_entry_slot *slot)
{
	const struct notify_channel *c = &s->conf->channels[channel];
	const struct notify_route *r = &s->conf->routes[g->route];
	struct notify_entry *e = &slot->e;
	bool again = e->id[0] &&
	             same(e->try_firing, e->try_firing_count, l->firing, l->firing_count) &&
	             same(e->try_resolved, e->try_resolved_count, l->resolved, l->resolved_count);
	if (!list_set(l->firing, l->firing_count, &e->try_firing, &e->try_firing_count) ||
	        !list_set(l->resolved, l->resolved_count, &e->try_resolved, &e->try_resolved_count))
		return false;
	slot->dirty = true;
	if (!l->firing_count && !c->resolved) { /* nothing to say, but known */
		entry_done(s, g, channel, slot, s->now_ms);
		return false;
	}
	struct notify_send *send = calloc(1, sizeof *send);
	if (!send || !send_fill(send, g, l, c->resolved)) {
		free(send);
		return false;
	}
	if (!again) {
		notify_id_make(s, e->id);
		e->error[0] = 0;
		e->attempts = 0;
		e->try_ms = s->now_ms;
	}
	memcpy(send->id, e->id, sizeof send->id);
	send->group = g;
	send->channel = channel;
	send->now_ms = send->next_ms = s->now_ms;
	send->until_ms = s->now_ms + HG_MAX(r->interval_ms, (uint64_t)NOTIFY_TIMEOUT_MIN_MS);
	send->entry = e;
	slot->busy = true;
	send->next = s->sends;
	s->sends = send;
	g->busy++;
	return true;
}

/* Members whose end was told at the look, or that nobody had to be told of, leave. News that came
 * while it was being told is for the next look, also of an end that is said to have been before. */
static void members_drop(struct notify_state *s, struct notify_group *g, uint64_t looked_ms)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < g->alert_count; i++) {
		struct notify_alert *a = g->alerts[i];
		bool later = looked_ms < s->now_ms && a->updated_ms >= looked_ms;
		if (later || !notify_alert_resolved(a, looked_ms)) {
			g->alerts[n++] = a;
			continue;
		}
		if (--a->groups == 0) notify_alert_forget(s, a);
	}
	g->alert_count = n;
}

static enum notify_why why_nothing(const struct look *l)
{
	if (l->firing_count) return NOTIFY_WHY_TOLD;
	if (l->inhibited) return NOTIFY_WHY_INHIBITED;
	if (l->silenced) return NOTIFY_WHY_SILENCED;
	return NOTIFY_WHY_RESOLVED;
}

/* One channel of a group; true: it is asked to send. */
static bool channel_tell(
        struct notify_state *s, struct notify_group *g, uint32_t channel, const struct look *l)
{
	const struct notify_channel *c = &s->conf->channels[channel];
	struct notify_entry_slot *slot = notify_log_find(s, g->key, c->key);
	if (!needs(slot ? &slot->e : NULL, l, c->resolved, repeat_of(s, g, channel), s->now_ms)) {
		/* What was being told is no longer true. */
		if (slot && slot->e.id[0]) {
			slot->e.id[0] = slot->e.error[0] = 0;
			slot->dirty = true;
		}
		if (slot && slot->e.sent_ms && !l->firing_count && !l->inhibited && !l->silenced)
			g->why = NOTIFY_WHY_TOLD;
		return false;
	}
	if (!slot) slot = notify_log_open(s, g->key, c->key);
	/* A route with the same matchers, or the same receiver once more: it is being told. */
	if (slot && slot->busy) return false;
	if (!slot || slot->not_before_ms > s->now_ms) {
		g->failed = true;
		return false;
	}
	return send_begin(s, g, channel, l, slot);
}

static void group_tell(struct notify_state *s, struct notify_group *g, const struct look *l)
{
	const struct notify_route *r = &s->conf->routes[g->route];
	bool asked = false, any = false;
	g->why = why_nothing(l);
	for (uint32_t i = 0; i < r->receiver_count; i++) {
		const struct notify_receiver *to = &s->conf->receivers[r->receivers[i]];
		for (uint32_t k = 0; k < to->count; k++, any = true)
			if (channel_tell(s, g, to->first + k, l)) asked = true;
	}
	if (g->failed) g->why = NOTIFY_WHY_FAILED;
	if (asked) g->why = NOTIFY_WHY_SENDING;
	if (!any) g->why = NOTIFY_WHY_NOBODY;
}

static void group_look(struct notify_state *s, struct notify_group *g)
{
	const struct notify_route *r = &s->conf->routes[g->route];
	struct look l = {0};
	g->looked = true;
	g->failed = false;
	g->next_ms = s->now_ms + HG_MAX(r->interval_ms, (uint64_t)1000);
	if (time_muted(s, r))
		g->why = NOTIFY_WHY_TIME;
	else if (look_at(s, g, &l))
		group_tell(s, g, &l);
	else
		g->failed = true;
	look_free(&l);
	if (!g->busy && !g->failed) members_drop(s, g, s->now_ms);
}

static void group_remove(struct notify_state *s, uint32_t at)
{
	group_free(s->groups[at]);
	s->group_count--;
	memmove(s->groups + at, s->groups + at + 1, (s->group_count - at) * sizeof *s->groups);
}

static void forget(struct notify_state *s)
{
	for (uint32_t i = s->alert_count; i > 0; i--) {
		struct notify_alert *a = &s->alerts[i - 1]->a;
		if (!a->groups && notify_alert_resolved(a, s->now_ms)) notify_alert_forget(s, a);
	}
	for (uint32_t i = 0; i < s->log_count; i++) {
		struct notify_entry_slot *e = s->log[i];
		bool trying = e->busy || (e->e.id[0] && e->e.try_ms + TRY_KEEP_MS > s->now_ms);
		if (!e->gone && !trying && e->e.expires_ms < s->now_ms) e->gone = true;
	}
	for (uint32_t i = 0; i < s->silence_count; i++) {
		struct notify_silence_slot *q = s->silences[i];
		if (q->s.ends_ms + NOTIFY_KEEP_MS < s->now_ms) q->gone = true;
	}
}

void notify_tick(struct notify_state *s, uint64_t now_ms)
{
	if (now_ms > s->now_ms) s->now_ms = now_ms;
	if (!s->conf) return;
	for (uint32_t i = s->group_count; i > 0; i--) {
		struct notify_group *g = s->groups[i - 1];
		if (g->busy) continue;
		if (g->alert_count && g->next_ms <= s->now_ms) group_look(s, g);
		if (!g->alert_count && !g->busy) group_remove(s, i - 1);
	}
	forget(s);
}

/* ---- attempts ---- */

struct notify_send *notify_due(struct notify_state *s, uint64_t now_ms)
{
	if (now_ms > s->now_ms) s->now_ms = now_ms;
	for (struct notify_send *send = s->sends; send; send = send->next) {
		if (send->under_way || send->next_ms > s->now_ms) continue;
		send->under_way = true;
		send->attempts++;
		send->entry->attempts++;
		return send;
	}
	return NULL;
}

/* 1 s, 2 s, 4 s … a minute, each between three quarters and all of it. */
static uint64_t retry_ms(struct notify_state *s, uint32_t attempts)
{
	uint64_t full = attempts > 6 ? RETRY_MAX_MS : RETRY_FIRST_MS << (attempts - 1);
	full = HG_MIN(full, (uint64_t)RETRY_MAX_MS);
	return full - (uint64_t)((double)full / 4 * hg_rand_unit(&s->rand));
}

void notify_result(struct notify_state *s, struct notify_send *send, enum notify_result r,
        uint64_t retry_after_ms, const char *why, uint64_t now_ms)
{
	struct notify_group *g = send->group;
	if (now_ms > s->now_ms) s->now_ms = now_ms;
	send->under_way = false;
	struct notify_entry_slot *slot = HG_CONTAINER(send->entry, struct notify_entry_slot, e);
	if (r != NOTIFY_DELIVERED) notify_error_set(send->entry, why);
	if (r == NOTIFY_RETRY) {
		retry_after_ms = HG_MIN(retry_after_ms, (uint64_t)NOTIFY_ASKED_MAX_MS);
		if (retry_after_ms) slot->not_before_ms = s->now_ms + retry_after_ms;
		uint64_t wait = retry_ms(s, send->attempts);
		if (retry_after_ms > wait) wait = retry_after_ms;
		send->next_ms = s->now_ms + wait;
		if (send->next_ms < send->until_ms) return;
	}
	if (r == NOTIFY_DELIVERED) {
		entry_done(s, g, send->channel, slot, send->now_ms);
	} else {
		g->failed = true;
		/* The id stays: the same message is the same one at the next look. */
		slot->dirty = true;
	}
	uint64_t looked_ms = send->now_ms;
	send_free(s, send);
	if (!g->busy) g->why = g->failed ? NOTIFY_WHY_FAILED : NOTIFY_WHY_SENT;
	if (g->busy || g->failed) return;
	members_drop(s, g, looked_ms);
}

uint64_t notify_next(const struct notify_state *s)
{
	uint64_t next = UINT64_MAX;
	for (uint32_t i = 0; i < s->group_count; i++)
		if (!s->groups[i]->busy) next = HG_MIN(next, s->groups[i]->next_ms);
	for (const struct notify_send *send = s->sends; send; send = send->next)
		if (!send->under_way) next = HG_MIN(next, send->next_ms);
	return next;
}

uint32_t notify_group_count(const struct notify_state *s)
{
	return s->group_count;
}

const struct notify_group *notify_group_at(const struct notify_state *s, uint32_t i)
{
	HG_ASSERT(i < s->group_count);
	return s->groups[i];
}
