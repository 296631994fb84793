#include "data/edge/secure_priv.h"

#define BUDGET_MAX_PPM (1000u * 1000000u) /* tokens that may be saved up */
#define BUDGET_FLOOR   10u                /* tokens a second that every application gets */
#define PPM            1000000u
#define PICK_TRIES     4

struct edge_app *edge_app_of(struct edge *e, uint32_t id)
{
	uint32_t mask = HG_COUNT(e->app_hash) - 1;
	for (uint32_t at = (id * 2654435761u) & mask; e->app_hash[at]; at = (at + 1) & mask) {
		struct edge_app *a = &e->apps[e->app_hash[at] - 1];
		if (a->id == id) return a;
	}
	return NULL;
}

static void close_idle(struct edge_ep *ep)
{
	for (struct hg_list *n; (n = hg_list_first(&ep->idle));)
		edge_up_close(HG_CONTAINER(n, struct edge_up, node));
	edge_u2_part(ep);
}

static void ep_read(struct edge *e, uint16_t slot)
{
	struct edge_ep *ep = &e->eps[slot];
	struct snap_endpoint in;
	uint32_t seq = atomic_load_explicit(&e->table->slot[slot].seq, memory_order_acquire);
	if (ep->known && seq == ep->seq) return;
	if (!ep->known && seq == 0) return; /* never used */
	if (!snap_table_get(e->table, slot, &in)) in = (struct snap_endpoint){0};
	if (!ep->known) {
		hg_list_init(&ep->idle);
		hg_list_init(&ep->sessions);
	}
	if (ep->known && ep->incarnation != in.incarnation) {
		close_idle(ep);
		edge_secure_forget(ep);
		ep->fails = ep->taken = 0;
		ep->ejected_until_ms = ep->up_ms = ep->loose_until_ms = ep->ejected_last_ms = 0;
		ep->outs = 0;
		ep->outlier = false;
	}
	bool was_up = ep->known && ep->state == SNAP_EP_UP && ep->incarnation == in.incarnation;
	if (in.state == SNAP_EP_UP && !was_up) ep->warm_ms = edge_now_ms(e);
	ep->known = true;
	ep->seq = seq;
	ep->slot = slot;
	ep->state = in.state;
	ep->app_id = in.app;
	ep->release = in.release;
	ep->replica = in.replica;
	ep->incarnation = in.incarnation;
	ep->weight = in.weight;
	ep->proxy = in.proxy <= 2 ? in.proxy : 0;
	ep->http2 = in.http2;
	ep->secure = in.tls != 0;
	if (in.family == AF_UNIX) {
		ep->addr = (struct sock_addr){.len = sizeof ep->addr.un};
		ep->addr.un.sun_family = AF_UNIX;
		memcpy(ep->addr.un.sun_path, in.path, sizeof ep->addr.un.sun_path);
	} else {
		sock_addr_tcp4(in.ip4, in.port, &ep->addr);
	}
	ep->text_n = (uint8_t)sock_addr_text(&ep->addr, ep->text, sizeof ep->text);
	if (ep->state != SNAP_EP_UP && ep->state != SNAP_EP_UNREADY) close_idle(ep);
	if (ep->state == SNAP_EP_UP && !ep->up_ms) ep->up_ms = edge_now_ms(e);
}

/* The application that the endpoint belongs to by its weight, or with a trial by its release. */
static struct edge_app *wanted_by(struct edge *e, const struct edge_ep *ep)
{
	if (!ep->known) return NULL;
	struct edge_app *a = edge_app_of(e, ep->app_id);
	if (!a || !a->trial) return ep->weight > 0 ? a : NULL;
	const struct snap_trial *t = &a->trial->is;
	return ep->release == t->old_release || ep->release == t->new_release ? a : NULL;
}

/* The application whose requests it takes; NULL: nobody's. */
static struct edge_app *taker_of(struct edge *e, const struct edge_ep *ep)
{
	struct edge_app *a = wanted_by(e, ep);
	if (!a || ep->state == SNAP_EP_UP) return a;
	return ep->state == SNAP_EP_UNREADY && a->panic ? a : NULL;
}

/* An app none of whose replicas is ready may be overloaded: an answer of some is better than 503
 * to all. One that was never ready, drains or ends is not asked. */
static void panic_find(struct edge *e)
{
	for (uint32_t i = 0; i < EDGE_APPS; i++)
		e->apps[i].panic = true;
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++) {
		struct edge_app *a =
		        e->eps[i].state == SNAP_EP_UP ? wanted_by(e, &e->eps[i]) : NULL;
		if (a) a->panic = false;
	}
}

/* Counting sort by application; releases are put together by insertion. */
static void lists_build(struct edge *e)
{
	uint32_t at = 0;
	panic_find(e);
	e->names_known = false;
	for (uint32_t i = 0; i < EDGE_APPS; i++)
		e->apps[i].all.count = e->apps[i].all.ring_n = 0;
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++) {
		struct edge_app *a = taker_of(e, &e->eps[i]);
		e->eps[i].place = UINT32_MAX;
		if (a) a->all.count++;
	}
	for (uint32_t i = 0; i < EDGE_APPS; i++) {
		struct edge_set *all = &e->apps[i].all;
		all->first = at;
		at += all->count;
		all->count = 0;
	}
	for (uint16_t i = 0; i < SNAP_ENDPOINTS; i++) {
		struct edge_app *a = taker_of(e, &e->eps[i]);
		if (!a) continue;
		uint16_t *list = e->slots + a->all.first;
		uint32_t k = a->all.count++;
		for (; k && e->eps[list[k - 1]].release > e->eps[i].release; k--)
			list[k] = list[k - 1];
		list[k] = i;
	}
}

/* The ready endpoints of a release, which stand together. */
static struct edge_set arm_find(const struct edge *e, const struct edge_set *all, uint32_t release)
{
	struct edge_set arm = {.first = all->first, .even = true};
	for (uint32_t k = all->first; k < all->first + all->count; k++) {
		if (e->eps[e->slots[k]].release != release) continue;
		if (arm.count++ == 0) arm.first = k;
	}
	return arm;
}

static void warm_find(const struct edge *e, struct edge_set *a)
{
	a->warm_first_ms = UINT64_MAX;
	a->warm_last_ms = 0;
	for (uint32_t k = a->first; k < a->first + a->count; k++) {
		uint64_t at = e->eps[e->slots[k]].warm_ms;
		a->warm_first_ms = HG_MIN(a->warm_first_ms, at);
		a->warm_last_ms = HG_MAX(a->warm_last_ms, at);
	}
}

static void weights_sum(struct edge *e, struct edge_set *a)
{
	a->even = true;
	a->weight_sum = 0;
	for (uint32_t k = a->first; k < a->first + a->count; k++) {
		uint32_t w = e->eps[e->slots[k]].weight;
		a->even = a->even && w == e->eps[e->slots[a->first]].weight;
		a->weight_sum += w;
		e->weight_to[k] = a->weight_sum;
		e->eps[e->slots[k]].place = k;
	}
	warm_find(e, a);
}

void edge_table_refresh(struct edge *e, bool force)
{
	uint64_t g = atomic_load_explicit(&e->table->generation, memory_order_acquire);
	if (HG_LIKELY(g == e->table_generation && !force)) return;
	e->table_generation = g;
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++)
		ep_read(e, (uint16_t)i);
	edge_trials_read(e);
	edge_trials_assign(e);
	lists_build(e);
	for (uint32_t i = 0; i < EDGE_APPS; i++) {
		struct edge_app *a = &e->apps[i];
		weights_sum(e, &a->all);
		if (!a->trial) continue;
		a->arm[EDGE_OLD] = arm_find(e, &a->all, a->trial->is.old_release);
		a->arm[EDGE_NEW] = arm_find(e, &a->all, a->trial->is.new_release);
		warm_find(e, &a->arm[EDGE_OLD]);
		warm_find(e, &a->arm[EDGE_NEW]);
	}
}

/* What has to be done now and then while there is traffic. */
static void on_table(struct loop *l, struct loop_timer *t)
{
	struct edge *e = HG_CONTAINER(t, struct edge, table_timer);
	(void)l;
	edge_table_refresh(e, false);
	bool more = edge_pools_trim(e);
	if (more || e->ups.used) edge_table_watch(e);
}

void edge_table_watch(struct edge *e)
{
	if (loop_timer_active(&e->table_timer)) return;
	/* Without memory for the timer: the next attempt refreshes, or the next kept connection. */
	if (loop_timer_start(e->loop, &e->table_timer, EDGE_TABLE_MS, on_table) < 0) return;
}

bool edge_ep_usable(struct edge *e, uint16_t slot, const uint16_t *tried, int tried_n)
{
	struct edge_ep *ep = &e->eps[slot];
	if (ep->ejected_until_ms && ep->ejected_until_ms > edge_now_ms(e)) return false;
	for (int i = 0; i < tried_n; i++) {
		if (tried[i] == slot) return false;
	}
	return true;
}

/* A random place in the application's list, by weight. */
uint32_t edge_set_draw(struct edge *e, const struct edge_set *a)
{
	if (a->even) return a->first + hg_rand_below(&e->rand, a->count);
	uint64_t x = (uint64_t)(hg_rand_unit(&e->rand) * (double)a->weight_sum);
	uint32_t low = a->first, high = a->first + a->count - 1;
	while (low < high) {
		uint32_t mid = (low + high) / 2;
		if (x < e->weight_to[mid]) {
			high = mid;
		} else {
			low = mid + 1;
		}
	}
	return low;
}

/* A second candidate. Where weights differ it is one of the same release: the split between
 * releases is a matter of chance alone, or the judge of a rollout would compare unlike loads. */
uint32_t edge_set_rival(struct edge *e, const struct edge_set *a, uint32_t first)
{
	uint32_t low = a->first, n = a->count;
	if (!a->even) {
		uint32_t release = e->eps[e->slots[first]].release, high = first + 1;
		for (low = first; low > a->first && e->eps[e->slots[low - 1]].release == release;)
			low--;
		while (high < a->first + a->count && e->eps[e->slots[high]].release == release)
			high++;
		n = high - low;
	}
	if (n < 2) return first;
	uint32_t k = low + hg_rand_below(&e->rand, n - 1);
	return k >= first ? k + 1 : k;
}

/* Everything drawn was unusable: the first usable one from a random place on. With nothing but
 * ejected ones left, an ejected one: an answer is possible, no answer is certain. */
static struct edge_ep *pick_any(
        struct edge *e, const struct edge_set *a, const uint16_t *tried, int tried_n)
{
	uint32_t start = hg_rand_below(&e->rand, a->count);
	struct edge_ep *ejected = NULL;
	for (uint32_t i = 0; i < a->count; i++) {
		uint16_t slot = e->slots[a->first + (start + i) % a->count];
		if (edge_ep_usable(e, slot, tried, tried_n)) return &e->eps[slot];
		bool was_tried = false;
		for (int k = 0; k < tried_n; k++)
			was_tried = was_tried || tried[k] == slot;
		if (!was_tried) ejected = &e->eps[slot];
	}
	return ejected;
}

struct edge_ep *edge_pick(
        struct edge *e, const struct edge_set *a, const uint16_t *tried, int tried_n)
{
	if (a->count == 0) return NULL;
	for (int i = 0; i < PICK_TRIES; i++) {
		uint32_t x = edge_set_draw(e, a), y = edge_set_rival(e, a, x);
		bool good_x = edge_ep_usable(e, e->slots[x], tried, tried_n);
		bool good_y = edge_ep_usable(e, e->slots[y], tried, tried_n);
		if (good_x && good_y && x != y) {
			uint32_t load_x = meter_in_flight(e->meter, e->slots[x]);
			uint32_t load_y = meter_in_flight(e->meter, e->slots[y]);
			return &e->eps[e->slots[load_y < load_x ? y : x]];
		}
		if (good_x) return &e->eps[e->slots[x]];
		if (good_y) return &e->eps[e->slots[y]];
	}
	return pick_any(e, a, tried, tried_n);
}

void edge_ep_good(struct edge_ep *ep)
{
	ep->fails = 0;
	/* One good answer of many proves nothing of one that fails or is slow now and then. */
	if (HG_LIKELY(!ep->ejected_until_ms) || ep->outlier) return;
	ep->ejected_until_ms = 0;
}

static uint32_t ejected_count(struct edge *e, const struct edge_set *a)
{
	uint32_t n = 0;
	for (uint32_t k = a->first; k < a->first + a->count; k++)
		n += e->eps[e->slots[k]].ejected_until_ms > edge_now_ms(e);
	return n;
}

/* Those it shares its work with: the last of a release under trial is not ejected either. */
static struct edge_set *peers_of(const struct edge_ep *ep, struct edge_app *a)
{
	if (!a->trial) return &a->all;
	return &a->arm[ep->release == a->trial->is.new_release ? EDGE_NEW : EDGE_OLD];
}

void edge_ep_bad(
        struct edge *e, struct edge_ep *ep, struct edge_app *app, const struct snap_app *limits)
{
	struct edge_set *a = peers_of(ep, app);
	if (ep->fails < UINT32_MAX) ep->fails++;
	if (limits->eject_errors == 0 || ep->fails < limits->eject_errors) return;
	if (ep->ejected_until_ms > edge_now_ms(e)) return;
	if (!outlier_room(a->count, ejected_count(e, a), limits->eject_max_ppm)) return;
	edge_ep_eject(e, ep, a, limits->eject_ms);
	/* When it comes back, one more failure is enough. */
	ep->fails = limits->eject_errors - 1;
}

bool edge_app_full(struct edge *e, const struct edge_app *a, const struct snap_app *limits)
{
	uint32_t max = limits->max_in_flight, n = 0;
	/* As long as no worker has more than its share, the sum cannot exceed the limit. */
	if (max == 0 || a->in_flight < max / e->meter->worker_count) return false;
	for (uint32_t k = a->all.first; k < a->all.first + a->all.count; k++)
		n += meter_in_flight(e->meter, e->slots[k]);
	return HG_MAX(n, a->in_flight) >= max;
}

void edge_budget_earn(struct edge_app *a, const struct snap_app *limits, uint64_t now_ms)
{
	uint64_t floor_ppm = HG_MIN(now_ms - a->tokens_at_ms, 60000u) * BUDGET_FLOOR * (PPM / 1000);
	a->tokens_at_ms = now_ms;
	a->tokens_ppm += limits->retry_budget_ppm + floor_ppm;
	if (a->tokens_ppm > BUDGET_MAX_PPM) a->tokens_ppm = BUDGET_MAX_PPM;
}

bool edge_other_usable(struct edge *e, const struct edge_set *a, uint16_t slot)
{
	for (uint32_t k = a->first; k < a->first + a->count; k++)
		if (edge_ep_usable(e, e->slots[k], &slot, 1)) return true;
	return false;
}

bool edge_budget_has(const struct edge_app *a)
{
	return a->tokens_ppm >= PPM;
}

bool edge_budget_take(struct edge_app *a)
{
	if (!edge_budget_has(a)) return false;
	a->tokens_ppm -= PPM;
	return true;
}
