#include "data/edge/edge_priv.h"
#include "os/clock.h"

/*
 * A wheel of lists. An object that sets a later deadline than before stays where it is and is
 * looked at early, once; so a busy connection moves in the wheel every few seconds, not with
 * every request. Deadlines beyond the wheel wait in its last slot and are placed again.
 */

static void on_wheel(struct loop *l, struct loop_timer *t);

static void schedule(struct edge *e, uint64_t at_ms)
{
	struct edge_wheel *w = &e->wheel;
	uint64_t now = edge_now_ms(e);
	if (w->wake_ms && w->wake_ms <= at_ms) return;
	uint64_t after = at_ms > now ? at_ms - now : 0;
	/* Out of memory for the loop's heap: the wheel turns late, with the next timer set. */
	if (loop_timer_start(e->loop, &w->timer, after, on_wheel) == HG_OK) w->wake_ms = at_ms;
}

static void place(struct edge *e, struct edge_timer *t)
{
	struct edge_wheel *w = &e->wheel;
	uint64_t tick = (t->deadline_ms + EDGE_WHEEL_TICK_MS - 1) / EDGE_WHEEL_TICK_MS;
	tick = HG_MAX(tick, w->tick + 1);
	tick = HG_MIN(tick, w->tick + EDGE_WHEEL_SLOTS - 1);
	t->fires_ms = tick * EDGE_WHEEL_TICK_MS;
	hg_list_append(&w->slot[tick % EDGE_WHEEL_SLOTS], &t->node);
	schedule(e, t->fires_ms);
}

void edge_timer_set(struct edge *e, struct edge_timer *t, uint64_t deadline_ms)
{
	bool waits = !hg_list_empty(&t->node);
	t->deadline_ms = deadline_ms;
	if (waits && t->fires_ms <= deadline_ms) return;
	if (waits) hg_list_remove(&t->node);
	place(e, t);
}

void edge_timer_off(struct edge_timer *t)
{
	t->deadline_ms = 0;
	hg_list_remove(&t->node);
}

static void fire(struct edge *e, struct edge_timer *t, uint64_t now_ms)
{
	if (t->deadline_ms > now_ms) {
		place(e, t);
		return;
	}
	t->deadline_ms = 0;
	switch ((enum edge_timer_owner)t->owner) {
	case EDGE_TIMER_CONN: edge_conn_timeout(HG_CONTAINER(t, struct edge_conn, timer)); break;
	case EDGE_TIMER_MIRROR: edge_mirror_timeout(edge_mirror_of(t)); break;
	case EDGE_TIMER_UP: {
		struct edge_up *up = HG_CONTAINER(t, struct edge_up, timer);
		/* In use: set again when it is kept. */
		if (HG_UNLIKELY(up->session != NULL))
			edge_u2_timeout(up->session);
		else if (!up->conn && !up->mirror && !up->hedge)
			edge_up_close(up);
	}
	}
}

static void run_slot(struct edge *e, struct hg_list *slot, uint64_t now_ms)
{
	struct hg_list due;
	if (hg_list_empty(slot)) return;
	due = *slot;
	due.next->prev = due.prev->next = &due;
	hg_list_init(slot);
	for (struct hg_list *n; (n = hg_list_first(&due));) {
		hg_list_remove(n);
		fire(e, HG_CONTAINER(n, struct edge_timer, node), now_ms);
	}
}

static void on_wheel(struct loop *l, struct loop_timer *timer)
{
	struct edge *e = HG_CONTAINER(timer, struct edge, wheel.timer);
	struct edge_wheel *w = &e->wheel;
	uint64_t now = loop_now_ms(l), last = now / EDGE_WHEEL_TICK_MS;
	w->wake_ms = 0;
	/* After a long sleep every slot is looked at once. */
	if (last > w->tick + EDGE_WHEEL_SLOTS) w->tick = last - EDGE_WHEEL_SLOTS;
	while (w->tick < last) {
		w->tick++;
		run_slot(e, &w->slot[w->tick % EDGE_WHEEL_SLOTS], now);
	}
	for (uint64_t k = 1; k < EDGE_WHEEL_SLOTS; k++) {
		if (hg_list_empty(&w->slot[(w->tick + k) % EDGE_WHEEL_SLOTS])) continue;
		schedule(e, (w->tick + k) * EDGE_WHEEL_TICK_MS);
		break;
	}
}

void edge_wheel_init(struct edge *e)
{
	for (uint32_t i = 0; i < EDGE_WHEEL_SLOTS; i++)
		hg_list_init(&e->wheel.slot[i]);
	e->wheel.tick = edge_now_ms(e) / EDGE_WHEEL_TICK_MS;
}

void edge_wheel_fini(struct edge *e)
{
	loop_timer_stop(e->loop, &e->wheel.timer);
}
