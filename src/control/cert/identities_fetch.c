/* Sets of keys behind addresses: when they are read, and what becomes of the answers. */
#include "control/cert/identities_priv.h"

#include <stdlib.h>
#include <string.h>

/* ---- decisions ---- */

bool identity_due(const struct identity_one *o, uint64_t unknown, uint64_t now_ms)
{
	if (!o->url || o->call) return false;
	if (o->tried_ms == 0 || now_ms >= o->due_ms) return true;
	/* Tokens with made-up names of keys come by the thousand, and an issuer is no target. */
	return unknown > o->unknown && now_ms - o->tried_ms >= o->refetch_ms;
}

static uint64_t clamp(uint64_t ms)
{
	return HG_MIN(HG_MAX(ms, (uint64_t)IDENTITIES_MIN_MS), (uint64_t)IDENTITIES_MAX_MS);
}

uint64_t identity_fresh_ms(struct hg_str cache_control, uint32_t refresh_ms)
{
	while (cache_control.n) {
		struct hg_str one = hg_str_trim(hg_str_cut(&cache_control, ','));
		struct hg_str name = hg_str_cut(&one, '=');
		uint64_t s;
		if (hg_str_eq_nocase(name, HG_STR("no-store")) ||
		        hg_str_eq_nocase(name, HG_STR("no-cache")))
			return IDENTITIES_MIN_MS;
		if (hg_str_eq_nocase(name, HG_STR("max-age")) && hg_str_u64(one, &s))
			return clamp(HG_MIN(s, (uint64_t)IDENTITIES_MAX_MS) * 1000);
	}
	return refresh_ms;
}

/* ---- doing ---- */

static uint64_t unknown_of(const struct identities *d, const struct identity_one *o)
{
	const struct meter *m = d->o.meter;
	uint32_t id = d->o.app_id ? d->o.app_id(d->o.arg, hg_str(o->app)) : 0;
	uint64_t n = 0;
	for (uint32_t w = 0; m && id && w < m->worker_count; w++) {
		const struct meter_app *a = meter_app_find(&m->worker[w], id);
		if (a)
			n += atomic_load_explicit(
			        &a->denied[METER_DENIED_UNKNOWN_KEY], memory_order_relaxed);
	}
	return n;
}

static void failed(struct identity_one *o, const char *why)
{
	struct identities *d = o->owner;
	uint64_t wait = (uint64_t)IDENTITIES_RETRY_MS << HG_MIN(o->fails, 16u);
	o->failures++;
	o->due_ms = loop_now_ms(d->o.loop) + HG_MIN(wait, (uint64_t)IDENTITIES_RETRY_MAX);
	/* Said once; the last good set serves on. */
	if (o->fails++ == 0)
		hg_log(d->o.log, HG_WARN, "identity.keys_away", HG_S("app", o->app),
		        HG_S("jwks", o->source), HG_S("reason", why),
		        HG_S("serving", o->text ? "the last good set" : "nobody"));
}

static void taken(struct identity_one *o, char *text, uint32_t keys)
{
	struct identities *d = o->owner;
	struct hg_err err = {0};
	free(o->text);
	o->text = text;
	o->keys = keys;
	free(d->text);
	d->text = NULL;
	hg_log(d->o.log, HG_INFO, "identity.keys", HG_S("app", o->app), HG_S("jwks", o->source),
	        HG_I("keys", keys));
	if (identities_kept_write(d->o.data_dir, d->now, &err) < 0)
		hg_log(d->o.log, HG_ERROR, "identity.keep", HG_S("error", err.message));
	if (d->o.on_change) d->o.on_change(d->o.arg);
}

static const char *answer_bad(const struct fetch_answer *a)
{
	if (a->result != FETCH_ANSWERED) return a->why;
	if (a->status != 200) return "its status is not 200";
	return a->cut ? "it is larger than 64 KiB" : NULL;
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
	struct identity_one *o = arg;
	struct identities *d = o->owner;
	struct hg_err err = {0};
	uint32_t keys = o->keys;
	o->call = NULL;
	const char *why = answer_bad(a);
	char *text = why ? NULL : strndup(a->body.p ? a->body.p : "", a->body.n);
	if (!why && !text) why = "memory is exhausted";
	if (text && identity_text_check(o, text, &err) < 0) why = err.message;
	if (why) {
		o->keys = keys;
		free(text);
		failed(o, why);
		return;
	}
	if (o->fails)
		hg_log(d->o.log, HG_INFO, "identity.keys_back", HG_S("app", o->app),
		        HG_S("jwks", o->source));
	o->fails = 0;
	o->fetched_ms = d->o.wall_ms();
	o->due_ms = loop_now_ms(d->o.loop) +
	            identity_fresh_ms(fetch_field(a, "Cache-Control"), o->refresh_ms);
	keys = o->keys;
	if (o->text && strcmp(o->text, text) == 0)
		free(text);
	else
		taken(o, text, keys);
}

static void ask(struct identities *d, struct identity_one *o)
{
	static const char *const headers[] = {"Accept: application/jwk-set+json, application/json"};
	struct hg_err err = {0};
	struct fetch_request r = {.method = "GET",
	        .url = o->source,
	        .headers = headers,
	        .header_count = 1,
	        .timeout_ms = IDENTITIES_TIMEOUT_MS,
	        .keep_fields = true};
	enum hg_rc rc = fetch_start(d->o.fetch, &r, on_answer, o, &o->call, &err);
	if (rc == HG_E_AGAIN) return; /* with the next tick */
	o->tried_ms = HG_MAX(loop_now_ms(d->o.loop), (uint64_t)1);
	o->unknown = unknown_of(d, o);
	if (rc < 0) failed(o, err.message);
}

static void on_tick(struct loop *l, struct loop_timer *t)
{
	struct identities *d = HG_CONTAINER(t, struct identities, tick);
	(void)l;
	for (uint32_t i = 0; i < d->now->count; i++) {
		struct identity_one *o = d->now->one[i];
		if (o->url && identity_due(o, unknown_of(d, o), loop_now_ms(d->o.loop))) ask(d, o);
	}
	identities_tick_start(d);
}

void identities_tick_start(struct identities *d)
{
	bool any = false;
	uint64_t wait = IDENTITIES_TICK_MS;
	for (uint32_t i = 0; i < d->now->count; i++) {
		any = any || d->now->one[i]->url;
		if (d->now->one[i]->url && !d->now->one[i]->tried_ms) wait = 1;
	}
	loop_timer_stop(d->o.loop, &d->tick);
	if (any && loop_timer_start(d->o.loop, &d->tick, wait, on_tick) < 0)
		hg_log(d->o.log, HG_ERROR, "identity.timer");
}

void identity_stop(struct identity_one *o)
{
	fetch_cancel(o->call);
	o->call = NULL;
}
