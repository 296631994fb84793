/* What outlives control: a row an app and hour, and who fires. */
#include "control/slo/slo_priv.h"

#include "control/fleet/fleet.h"
#include "store/store.h"

#define FIRING                                                                            \
	"slo.firing" /* key: a line for each alert: app, objective, severity, rule, since \
	              */

static void word(uint8_t **at, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		*(*at)++ = (uint8_t)(v >> (8 * i));
}

static uint64_t word_get(const uint8_t **at)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t) * (*at)++ << (8 * i);
	return v;
}

void slo_base_write(const struct slo_base *b, uint8_t to[SLO_BASE_N])
{
	const uint64_t v[] = {b->memory_id, b->mark, b->minute, b->serial, b->counts.good,
	        b->counts.bad, b->counts.fast, b->counts.slow};
	for (unsigned i = 0; i < HG_COUNT(v); i++)
		word(&to, v[i]);
}

bool slo_base_read(struct hg_str bytes, struct slo_base *ret_base)
{
	const uint8_t *at = (const uint8_t *)bytes.p;
	if (bytes.n != SLO_BASE_N) return false;
	ret_base->memory_id = word_get(&at);
	ret_base->mark = word_get(&at);
	ret_base->minute = word_get(&at);
	ret_base->serial = word_get(&at);
	ret_base->counts.good = word_get(&at);
	ret_base->counts.bad = word_get(&at);
	ret_base->counts.fast = word_get(&at);
	ret_base->counts.slow = word_get(&at);
	return true;
}

/* ---- hours ---- */

struct loading {
	struct slo *s;
	struct slo_app *a;
	enum hg_rc rc;
};

static void on_hour(void *arg, const struct store_slo_hour *h)
{
	struct loading *l = arg;
	struct slo_base base;
	bool good = false;
	if (l->rc < 0) return;
	l->rc = slo_history_load(
	        &l->a->history, h->hour, (const uint8_t *)h->counts.p, h->counts.n, &good);
	if (l->rc == HG_OK && good && slo_base_read(h->base, &base)) {
		if (base.serial >= l->a->base.serial) l->a->base = base;
	} else if (l->rc == HG_OK && l->s->o.log) {
		hg_log(l->s->o.log, HG_ERROR, "slo.hour_damaged", HG_S("app", l->a->conf.app),
		        HG_I("hour", h->hour), HG_S("code", hg_rc_info(HG_E_SLO_DAMAGED)->code));
	}
}

enum hg_rc slo_app_load(struct slo *s, struct slo_app *a, struct hg_err *err)
{
	struct loading l = {.s = s, .a = a};
	a->id = fleet_app_id(s->o.fleet, hg_str(a->conf.app));
	if (!a->id) return hg_err_set(err, HG_E_AGAIN, "the app has no number yet");
	slo_history_free(&a->history);
	a->base = (struct slo_base){0};
	enum hg_rc rc = store_slo_hours(s->o.store, a->id, on_hour, &l, err);
	if (rc == HG_OK && l.rc < 0) rc = hg_err_set(err, l.rc, "memory is exhausted");
	if (rc == HG_OK) a->loaded = true;
	a->kept_minute = a->base.minute;
	return rc;
}

enum hg_rc slo_app_save(struct slo *s, struct slo_app *a, struct hg_err *err)
{
	uint8_t counts[SLO_PACKED_MAX], base[SLO_BASE_N];
	if (!a->history.open || !a->history.dirty) return HG_OK;
	a->base.serial++;
	slo_base_write(&a->base, base);
	struct store_slo_hour row = {.app = a->id,
	        .hour = a->history.open_hour,
	        .counts = {(const char *)counts, slo_history_pack(&a->history, counts)},
	        .base = {(const char *)base, sizeof base}};
	return store_slo_hour_set(s->o.store, &row, err);
}

/* An hour more than the windows need: the one that they begin in. As many hours as that stay
 * whatever the clock says: one that is a year ahead for a minute must not cost the budget. */
static enum hg_rc prune(struct slo *s, struct slo_app *a, struct hg_err *err)
{
	uint64_t now = slo_minute_now(s), keeps = slo_keeps_min(&a->conf) + SLO_HOUR_MIN;
	uint64_t first = now > keeps ? (now - keeps) / SLO_HOUR_MIN : 0;
	uint64_t least = (keeps + SLO_HOUR_MIN - 1) / SLO_HOUR_MIN;
	if (a->history.count <= least) return HG_OK;
	first = HG_MIN(first, a->history.hours[a->history.count - least].hour);
	if (a->history.hours[0].hour >= first) return HG_OK;
	enum hg_rc rc = store_slo_hours_prune(s->o.store, a->id, first, err);
	if (rc == HG_OK) slo_history_prune(&a->history, first);
	return rc;
}

/* ---- who fires ---- */

static enum hg_rc alerts_save(struct slo *s, struct hg_err *err)
{
	struct hg_buf b;
	hg_buf_init(&b, 4u << 20);
	for (uint32_t i = 0; i < s->count; i++) {
		const struct slo_app *a = &s->apps[i];
		for (int k = 0; k < SLO_KINDS; k++) {
			for (int v = 0; v < SLO_SEVERITIES; v++) {
				const struct slo_alert_state *x = &a->state.alert[k][v];
				if (x->firing)
					hg_buf_fmt(&b, "%s %d %d %u %llu\n", a->conf.app, k, v,
					        x->rule, (unsigned long long)x->since_ms);
			}
		}
		if (a->state.frozen) hg_buf_fmt(&b, "%s frozen\n", a->conf.app);
	}
	enum hg_rc rc = b.failed ? hg_err_set(err, HG_E_NOMEM, "memory is exhausted")
	                         : store_kv_set(s->o.store, FIRING, hg_buf_view(&b), err);
	hg_buf_free(&b);
	return rc;
}

static void alert_line(struct slo *s, struct hg_str line)
{
	struct hg_str app = hg_str_cut(&line, ' '), field[4];
	uint64_t v[4];
	struct slo_app *a = NULL;
	for (uint32_t i = 0; i < s->count; i++)
		if (hg_str_eq(hg_str(s->apps[i].conf.app), app)) a = &s->apps[i];
	if (!a) return;
	if (hg_str_eq(line, HG_STR("frozen"))) {
		a->state.frozen = true;
		return;
	}
	for (unsigned i = 0; i < 4; i++) {
		field[i] = hg_str_cut(&line, ' ');
		if (!hg_str_u64(field[i], &v[i])) return;
	}
	if (v[0] >= SLO_KINDS || v[1] >= SLO_SEVERITIES || v[2] >= BURN_RULES) return;
	a->state.alert[v[0]][v[1]] = (struct slo_alert_state){
	        .firing = a->conf.of[v[0]].set, .rule = (uint8_t)v[2], .since_ms = v[3]};
	a->noticed = a->state;
}

void slo_alerts_load(struct slo *s)
{
	struct hg_buf b;
	struct hg_err err = {0};
	hg_buf_init(&b, 4u << 20);
	/* Without it, what fires is said once more. */
	if (store_kv_get(s->o.store, FIRING, &b, &err) == HG_OK) {
		struct hg_str rest = hg_buf_view(&b);
		while (rest.n)
			alert_line(s, hg_str_cut(&rest, '\n'));
	}
	hg_buf_free(&b);
}

/* ---- all of it ---- */

static bool any_news(const struct slo *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->apps[i].said_n) return true;
	return false;
}

static enum hg_rc write_all(struct slo *s, bool news, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; rc == HG_OK && i < s->count; i++) {
		struct slo_app *a = &s->apps[i];
		if (!a->loaded) continue;
		for (uint32_t k = 0; rc == HG_OK && k < a->said_n; k++)
			rc = slo_journal(s, a, &a->said[k], err);
		if (rc == HG_OK) rc = slo_app_save(s, a, err);
		if (rc == HG_OK) rc = prune(s, a, err);
	}
	return rc == HG_OK && news ? alerts_save(s, err) : rc;
}

bool slo_save(struct slo *s)
{
	struct hg_err err = {0};
	bool news = any_news(s), any = news;
	for (uint32_t i = 0; i < s->count; i++)
		any = any || (s->apps[i].loaded && s->apps[i].history.dirty);
	if (!any) return true;
	enum hg_rc rc = store_begin(s->o.store, &err);
	if (rc == HG_OK) {
		rc = write_all(s, news, &err);
		if (rc == HG_OK) rc = store_commit(s->o.store, &err);
		if (rc < 0) store_rollback(s->o.store);
	}
	for (uint32_t i = 0; rc == HG_OK && i < s->count; i++) {
		struct slo_app *a = &s->apps[i];
		if (a->history.dirty) a->kept_minute = a->base.minute;
		a->history.dirty = false;
	}
	/* Counts stay in memory and are written with the next minute's. */
	if (rc < 0 && (!s->failing || news) && s->o.log)
		hg_log(s->o.log, HG_ERROR, "slo.save", HG_S("error", err.message));
	s->failing = rc < 0;
	return rc == HG_OK;
}
