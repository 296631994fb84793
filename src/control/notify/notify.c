#include "control/notify/notify_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define CALLS_MAX    64u
#define CLOCK_SET_MS 2000 /* less is how clocks are kept right */

static void step(struct notify *n);

static void on_timer(struct loop *l, struct loop_timer *t)
{
	(void)l;
	step(HG_CONTAINER(t, struct notify, timer));
}

static void arm(struct notify *n)
{
	uint64_t now = n->o.wall_ms(), next = notify_next(n->state);
	loop_timer_stop(n->o.loop, &n->timer);
	/* At least once a minute: alerts end by themselves, and clocks are set. */
	uint64_t wait = next <= now ? 0 : HG_MIN(next - now, (uint64_t)60000);
	if (loop_timer_start(n->o.loop, &n->timer, HG_MAX(wait, (uint64_t)10), on_timer) < 0 &&
	        n->o.log)
		hg_log(n->o.log, HG_ERROR, "alert.no_timer");
}

void notify_journal(struct notify *n, const char *kind, const struct notify_channel *c,
        const struct notify_send *send, const char *why)
{
	struct hg_err err = {0};
	uint64_t id;
	json_t *o = json_pack("{s:s%,s:s%,s:i,s:i,s:i,s:s,s:s*}", "channel", c->key.p, c->key.n,
	        "group", send->group->key.p, send->group->key.n, "firing", (int)send->firing_count,
	        "resolved", (int)(send->count - send->firing_count), "attempts",
	        (int)send->attempts, "id", send->id, "why", why && *why ? why : NULL);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	struct store_event e = {.ts_ms = n->o.wall_ms(),
	        .kind = hg_str(kind),
	        .app = labels_get(send->group->labels, HG_STR("app")),
	        .text = hg_str(text ? text : "{}")};
	if (store_event_add(n->o.store, &e, &id, &err) < 0 && n->o.log)
		hg_log(n->o.log, HG_ERROR, "alert.not_journalled", HG_S("error", err.message));
	free(text);
	json_decref(o);
	if (n->o.on_event) n->o.on_event(n->o.arg);
}

/* A store that does not take it keeps nobody from being told; what may follow is a repeat. */
static void save(struct notify *n)
{
	struct hg_err err = {0};
	bool good = notify_rows_write(n, &err) == HG_OK;
	if (!good && !n->store_failed && n->o.log)
		hg_log(n->o.log, HG_ERROR, "alert.not_kept", HG_S("error", err.message));
	n->store_failed = !good;
}

static void begin(struct notify *n, struct notify_send *send)
{
	const struct notify_channel *c = &n->plan->conf.channels[send->channel];
	struct notify_message m = {.plan = n->plan,
	        .channel = send->channel,
	        .group = send->group->key,
	        .group_labels = send->group->labels,
	        .alerts = send->alerts,
	        .firing = send->firing_count,
	        .count = send->count,
	        .id = send->id,
	        .now_ms = send->now_ms};
	struct notify_send shown = *send; /* it may be gone when the attempt failed at once */
	notify_attempt_begin(n, send, NULL, send->channel, &m);
	if (m.template_error[0] && shown.attempts == 1)
		notify_journal(n, "alert.template_failed", c, &shown, m.template_error);
}

/* The clock by which alerts are told was set, or the machine slept. */
static void clock_look(struct notify *n)
{
	if (!n->o.mono_ms) return;
	int64_t ahead = (int64_t)n->o.wall_ms() - (int64_t)n->o.mono_ms(), by = ahead - n->clock_ms;
	if (by < CLOCK_SET_MS && by > -CLOCK_SET_MS) return;
	n->clock_ms = ahead;
	notify_clock_set(n->state, by);
	if (n->o.log) hg_log(n->o.log, HG_INFO, "alert.clock_set", HG_I("by_ms", by));
}

static void step(struct notify *n)
{
	struct notify_send *send;
	if (!n->plan) return;
	clock_look(n);
	notify_tick(n->state, n->o.wall_ms());
	save(n); /* before anything is sent */
	while ((send = notify_due(n->state, n->o.wall_ms())))
		begin(n, send);
	arm(n);
}

static void test_told(struct notify_attempt *a, bool good, const char *why)
{
	struct notify *n = a->n;
	struct notify_test *t = a->test;
	struct hg_str key = n->plan->conf.channels[a->channel].key;
	notify_attempt_free(a);
	bool last = --t->left == 0;
	if (t->done) t->done(t->arg, key, good, why, last);
	if (!last) return;
	hg_list_remove(&t->node);
	free(t);
}

void notify_attempt_done(
        struct notify_attempt *a, enum notify_result r, uint64_t retry_after_ms, const char *why)
{
	struct notify *n = a->n;
	struct notify_send *send = a->send;
	bool good = r == NOTIFY_DELIVERED;
	clock_look(n);
	if (!send) {
		test_told(a, good, why);
		return;
	}
	const struct notify_channel *c = &n->plan->conf.channels[send->channel];
	if (good)
		n->sent++;
	else
		n->failed++;
	if (good)
		notify_journal(n, "alert.sent", c, send, NULL);
	else if (send->attempts == 1 || r == NOTIFY_FINAL)
		notify_journal(n, "alert.failed", c, send, why);
	notify_attempt_free(a);
	notify_result(n->state, send, r, retry_after_ms, why, n->o.wall_ms());
	save(n);
	arm(n);
}

/* ---- the door ---- */

/* Tests under way end: whose channels they were is not told any more. */
static void tests_end(struct notify *n)
{
	struct hg_list *node;
	while ((node = hg_list_first(&n->tests))) {
		struct notify_test *t = HG_CONTAINER(node, struct notify_test, node);
		hg_list_remove(node);
		if (t->done) t->done(t->arg, HG_STR(""), false, "it was cut off", true);
		free(t);
	}
}

enum hg_rc notify_new(
        const struct notify_options *o, struct notify **ret_notify, struct hg_err *err)
{
	struct notify *n = calloc(1, sizeof *n);
	if (!n) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	n->o = *o;
	if (o->mono_ms) n->clock_ms = (int64_t)o->wall_ms() - (int64_t)o->mono_ms();
	hg_list_init(&n->attempts);
	hg_list_init(&n->tests);
	enum hg_rc rc = notify_state_new(o->seed, &n->state);
	if (rc == HG_OK) rc = fetch_new(o->loop, &n->fetch, err);
	if (rc == HG_OK) fetch_limit(n->fetch, CALLS_MAX);
	if (rc == HG_OK) rc = notify_rows_read(n, err);
	if (rc == HG_OK)
		*ret_notify = n;
	else
		notify_free(n);
	return rc;
}

void notify_free(struct notify *n)
{
	if (!n) return;
	notify_attempts_stop(n);
	loop_timer_stop(n->o.loop, &n->timer);
	tests_end(n);
	notify_state_free(n->state);
	notify_plan_free(n->plan);
	if (n->fetch) fetch_free(n->fetch);
	free(n);
}

void notify_apply(struct notify *n, struct notify_plan *p)
{
	struct hg_err err = {0};
	struct notify_plan *old = n->plan;
	clock_look(n);
	uint64_t now = n->o.wall_ms();
	notify_attempts_stop(n);
	tests_end(n);
	if (!old) notify_hold(n->state, now + p->settle_ms);
	if (notify_conf_use(n->state, &p->conf, now, &err) < 0 && n->o.log)
		hg_log(n->o.log, HG_ERROR, "alert.not_grouped", HG_S("error", err.message));
	n->plan = p;
	notify_plan_free(old);
	step(n);
}

enum hg_rc notify_changed(struct notify *n, struct hg_err *err)
{
	enum hg_rc rc = notify_rows_write(n, err);
	step(n);
	return rc;
}

enum hg_rc notify_alert(
        struct notify *n, const struct notify_input *in, uint32_t count, struct hg_err *err)
{
	enum hg_rc first = HG_OK;
	clock_look(n);
	for (uint32_t i = 0; i < count; i++) {
		struct hg_err why = {0};
		enum hg_rc rc = notify_put(n->state, &in[i], n->o.wall_ms(), NULL, &why);
		if (rc < 0 && first == HG_OK) {
			first = rc;
			if (err) *err = why;
		}
	}
	enum hg_rc rc = notify_changed(n, first == HG_OK ? err : NULL);
	return first < 0 ? first : rc;
}

struct notify_state *notify_view(struct notify *n)
{
	clock_look(n);
	return n->state;
}

const struct notify_conf *notify_conf_now(const struct notify *n)
{
	return n->plan ? &n->plan->conf : NULL;
}

enum hg_rc notify_test(struct notify *n, struct hg_str receiver, notify_test_fn done, void *arg,
        uint32_t *ret_count, struct hg_err *err)
{
	static const struct label labels[] = {{HG_STR("alertname"), HG_STR("HeadgateTest")},
	        {HG_STR("severity"), HG_STR("info")}};
	static const struct label notes[] = {
	        {HG_STR("summary"), HG_STR("a test of this receiver: nothing is wrong")}};
	const struct notify_conf *c = notify_conf_now(n);
	uint32_t at = 0;
	while (c && at < c->receiver_count && !hg_str_eq(c->receivers[at].name, receiver))
		at++;
	if (!c || at == c->receiver_count)
		return hg_err_set(err, HG_E_NOT_FOUND, "there is no receiver \"%.*s\"",
		        (int)HG_MIN(receiver.n, 60), receiver.p);
	struct notify_test *t = calloc(1, sizeof *t);
	if (!t) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	t->done = done;
	t->arg = arg;
	t->left = *ret_count = c->receivers[at].count;
	hg_list_append(&n->tests, &t->node);
	uint64_t now = n->o.wall_ms();
	char id[64];
	snprintf(id, sizeof id, "test-%llu", (unsigned long long)now);
	const struct notify_alert alert = {.labels = {labels, 2},
	        .annotations = {notes, 1},
	        .generator = HG_STR(""),
	        .starts_ms = now,
	        .ends_ms = now + 60000,
	        .fingerprint = notify_fingerprint((struct labels){labels, 2})};
	const struct notify_alert *const list[] = {&alert};
	for (uint32_t i = 0, count = *ret_count; i < count; i++) {
		struct notify_message m = {.plan = n->plan,
		        .channel = c->receivers[at].first + i,
		        .group = HG_STR("{}:{alertname=\"HeadgateTest\"}"),
		        .group_labels = {labels, 1},
		        .alerts = list,
		        .firing = 1,
		        .count = 1,
		        .id = id,
		        .now_ms = now};
		notify_attempt_begin(n, NULL, t, m.channel, &m);
	}
	return HG_OK;
}

void notify_test_forget(struct notify *n, void *arg)
{
	HG_LIST_EACH (node, &n->tests) {
		struct notify_test *t = HG_CONTAINER(node, struct notify_test, node);
		if (t->arg == arg) t->done = NULL;
	}
}
