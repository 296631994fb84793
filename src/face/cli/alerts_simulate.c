/* alerts simulate: alerts through the pure half of control/notify, on a clock of their own. */
#include "config_priv.h"

#include "control/alert/alert.h"
#include "control/notify/notify.h"
#include "observe/rules/rules.h"
#include "os/clock.h"
#include "wire/date.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>

#define HOUR_MS      3600000ull
#define CONFIRM_MS   60000u /* alerts that fire are told of again and again */
#define ALERTS_MAX   2000u
#define MESSAGES_MAX 10000u
#define PLAY_BYTES   ((size_t)64 << 20)

struct played {
	struct labels labels;
	uint64_t starts_ms, ends_ms; /* of the play */
	bool told_end;
};

struct play {
	struct cli_config k;
	struct hg_arena mem;
	struct notify_plan *plan;
	struct notify_state *state;
	struct played alerts[ALERTS_MAX];
	uint32_t n, messages;
	uint64_t t0, until_ms; /* Unix time of the start; of the play */
	bool json, too_many;
	struct hg_buf out;
	struct json_out j;
};

/* ---- what is played ---- */

static bool add(struct play *p, struct labels ls, uint64_t starts, uint64_t ends)
{
	struct played *a = &p->alerts[p->n];
	if (p->n == ALERTS_MAX || labels_copy(&p->mem, ls, &a->labels) < 0) {
		p->too_many = true;
		return false;
	}
	a->starts_ms = starts;
	a->ends_ms = ends;
	p->n++;
	return true;
}

static void on_rule(void *arg, int64_t at_ms, const struct rules_alert *a, bool ends)
{
	struct play *p = arg;
	if (!ends) {
		(void)add(p, a->labels, (uint64_t)at_ms, UINT64_MAX);
		return;
	}
	for (uint32_t i = p->n; i-- > 0;)
		if (labels_equal(p->alerts[i].labels, a->labels)) {
			p->alerts[i].ends_ms = (uint64_t)at_ms;
			return;
		}
}

static enum hg_rc series_play(struct play *p, const char *file, struct hg_err *err)
{
	struct alert_rules *rules = NULL;
	struct rules_source files[ALERT_FILES_MAX];
	enum hg_rc rc = alert_rules_read(p->k.spec, p->k.dir, NULL, NULL, &rules, err);
	if (rc < 0) return rc;
	for (uint32_t i = 0; i < rules->n; i++)
		files[i] = (struct rules_source){rules->files[i].name, rules->files[i].text};
	rc = rules_play(file, files, rules->n, on_rule, p, err);
	alert_rules_free(rules);
	return rc;
}

/* "a=b,c=d" */
static enum hg_rc labels_play(
        struct play *p, const char *text, uint64_t lasts_ms, struct hg_err *err)
{
	struct labels_builder b;
	struct labels ls = {0};
	struct hg_str rest = hg_str(text);
	enum hg_rc rc = HG_OK;
	labels_builder_init(&b);
	while (rest.n && rc == HG_OK) {
		struct hg_str value = hg_str_cut(&rest, ','), name = hg_str_cut(&value, '=');
		if (!name.n || !value.n)
			rc = hg_err_set(
			        err, HG_E_USAGE, "\"%.100s\" is no NAME=VALUE,NAME=VALUE", text);
		else
			labels_builder_set(&b, name, value);
	}
	if (rc == HG_OK) rc = labels_builder_done(&b, &ls);
	if (rc == HG_OK && !ls.n) rc = hg_err_set(err, HG_E_USAGE, "an alert needs labels");
	if (rc == HG_OK && !add(p, ls, 0, lasts_ms))
		rc = hg_err_set(err, HG_E_USAGE, "there are too many alerts");
	labels_builder_fini(&b);
	return rc;
}

/* ---- what is said ---- */

static void span(struct hg_buf *to, uint64_t ms)
{
	hg_buf_byte(to, '+');
	promql_print_duration(to, (int64_t)ms);
}

static void alert_text(struct hg_buf *to, struct labels ls)
{
	hg_buf_str(to, labels_get(ls, HG_STR("alertname")));
	for (uint32_t i = 0; i < ls.n; i++)
		if (!hg_str_eq(ls.at[i].name, HG_STR("alertname")))
			hg_buf_fmt(to, " %.*s=%.*s", HG_STR_ARG(ls.at[i].name),
			        HG_STR_ARG(ls.at[i].value));
}

static void line(struct play *p, uint64_t at, struct hg_str who, const char *what, struct labels ls)
{
	struct hg_buf when;
	hg_buf_init(&when, 64);
	span(&when, at);
	cli_pad(&p->out, hg_buf_text(&when), 12);
	hg_buf_byte(&p->out, ' ');
	char name[128];
	if (!hg_str_copy(who, name, sizeof name)) (void)snprintf(name, sizeof name, "…");
	cli_pad(&p->out, name, 24);
	hg_buf_byte(&p->out, ' ');
	cli_pad(&p->out, what, 9);
	hg_buf_byte(&p->out, ' ');
	alert_text(&p->out, ls);
	hg_buf_byte(&p->out, '\n');
	hg_buf_free(&when);
}

static void labels_json(
        struct json_out *j, const char *key, const struct notify_alert **a, uint32_t n)
{
	json_out_key(j, key);
	json_out_array(j);
	for (uint32_t i = 0; i < n; i++) {
		json_out_object(j);
		for (uint32_t k = 0; k < a[i]->labels.n; k++) {
			char name[256];
			if (!hg_str_copy(a[i]->labels.at[k].name, name, sizeof name)) continue;
			json_out_key(j, name);
			json_out_str(j, a[i]->labels.at[k].value);
		}
		json_out_end(j);
	}
	json_out_end(j);
}

static void message(struct play *p, const struct notify_send *s, uint64_t at)
{
	struct hg_str who = notify_plan_conf(p->plan)->channels[s->channel].key;
	p->messages++;
	if (p->json) {
		json_out_object(&p->j);
		json_out_key(&p->j, "after_ms");
		json_out_u64(&p->j, at);
		json_out_key(&p->j, "channel");
		json_out_str(&p->j, who);
		labels_json(&p->j, "firing", s->alerts, s->firing_count);
		labels_json(
		        &p->j, "resolved", s->alerts + s->firing_count, s->count - s->firing_count);
		json_out_end(&p->j);
		return;
	}
	for (uint32_t i = 0; i < s->count; i++)
		line(p, at, who, i < s->firing_count ? "firing" : "resolved", s->alerts[i]->labels);
}

/* ---- the play ---- */

static enum hg_rc put(struct play *p, struct played *a, uint64_t now, struct hg_err *err)
{
	bool ends = a->ends_ms <= now;
	struct notify_input in = {.labels = a->labels,
	        .starts_ms = p->t0 + a->starts_ms,
	        .ends_ms = p->t0 + (ends ? a->ends_ms : now + 4ull * CONFIRM_MS)};
	if (a->starts_ms > now || (ends && a->told_end)) return HG_OK;
	a->told_end = ends;
	return notify_put(p->state, &in, p->t0 + now, NULL, err);
}

/* When something of the alerts happens next. */
static uint64_t next_of(const struct play *p, uint64_t now)
{
	uint64_t next = now + CONFIRM_MS;
	for (uint32_t i = 0; i < p->n; i++) {
		const struct played *a = &p->alerts[i];
		if (a->starts_ms > now) next = HG_MIN(next, a->starts_ms);
		if (a->ends_ms > now) next = HG_MIN(next, a->ends_ms);
	}
	uint64_t theirs = notify_next(p->state);
	if (theirs != UINT64_MAX && theirs > p->t0 + now) next = HG_MIN(next, theirs - p->t0);
	return next;
}

static enum hg_rc play(struct play *p, struct hg_err *err)
{
	struct notify_send *s;
	enum hg_rc rc = notify_state_new(1, &p->state);
	if (rc == HG_OK) rc = notify_conf_use(p->state, notify_plan_conf(p->plan), p->t0, err);
	for (uint64_t now = 0; rc == HG_OK && now <= p->until_ms; now = next_of(p, now)) {
		for (uint32_t i = 0; rc == HG_OK && i < p->n; i++)
			rc = put(p, &p->alerts[i], now, err);
		notify_tick(p->state, p->t0 + now);
		while ((s = notify_due(p->state, p->t0 + now)) && p->messages < MESSAGES_MAX) {
			message(p, s, now);
			notify_result(p->state, s, NOTIFY_DELIVERED, 0, NULL, p->t0 + now);
		}
	}
	return rc;
}

/* Of alerts that nobody was told of people want to know why. */
static void silent(struct play *p)
{
	const struct notify_conf *c = notify_plan_conf(p->plan);
	for (uint32_t i = 0; i < p->n; i++) {
		uint32_t routes[64];
		uint32_t n = notify_route_match(c, p->alerts[i].labels, routes, HG_COUNT(routes));
		bool anybody = false;
		for (uint32_t k = 0; k < n; k++)
			anybody = anybody || c->routes[routes[k]].receiver_count > 0;
		if (anybody) continue;
		struct hg_buf b;
		hg_buf_init(&b, 4096);
		alert_text(&b, p->alerts[i].labels);
		cli_say("nobody is told of %s: no route that takes it names a receiver",
		        hg_buf_text(&b));
		hg_buf_free(&b);
	}
}

static enum hg_rc prepare(const struct cli *c, struct play *p, struct hg_err *err)
{
	const struct cli_args *a = &c->args;
	uint64_t lasts = cli_has(a, CLI_F_FOR) ? a->number[CLI_F_FOR] : HOUR_MS;
	p->until_ms = cli_has(a, CLI_F_UNTIL) ? a->number[CLI_F_UNTIL] : 24 * HOUR_MS;
	p->t0 = clock_wall_ms();
	if (a->value[CLI_F_AT] && !date_rfc3339_parse(hg_str(a->value[CLI_F_AT]), &p->t0))
		return hg_err_set(err, HG_E_USAGE, "--at is a time as 2026-12-24T22:00:00Z");
	if (!a->count == !a->value[CLI_F_SERIES])
		return hg_err_set(
		        err, HG_E_USAGE, "either LABELS or --series FILE says what fires");
	enum hg_rc rc = HG_OK;
	if (a->value[CLI_F_SERIES]) rc = series_play(p, a->value[CLI_F_SERIES], err);
	for (int i = 0; rc == HG_OK && i < a->count; i++)
		rc = labels_play(p, a->positional[i], lasts, err);
	if (rc == HG_OK && p->too_many)
		rc = hg_err_set(err, HG_E_USAGE, "there are more than %u alerts", ALERTS_MAX);
	return rc < 0 ? rc : notify_check(p->k.spec, &p->plan, err);
}

static int told(struct play *p)
{
	if (p->json) {
		json_out_end(&p->j);
		json_out_end(&p->j);
		hg_buf_byte(&p->out, '\n');
	}
	cli_out("%s", hg_buf_text(&p->out));
	if (p->json) return 0;
	cli_say("%u message%s of %u alert%s", p->messages, p->messages == 1 ? "" : "s", p->n,
	        p->n == 1 ? "" : "s");
	silent(p);
	return 0;
}

int cli_do_alerts_simulate(struct cli *c)
{
	struct play *p = calloc(1, sizeof *p);
	struct hg_err err = {0};
	if (!p) {
		hg_err_set(&err, HG_E_NOMEM, "memory is exhausted");
		return cli_fail(&err);
	}
	hg_arena_init(&p->mem, "alerts", PLAY_BYTES);
	hg_buf_init(&p->out, PLAY_BYTES);
	p->json = cli_has(&c->args, CLI_F_JSON);
	int status = cli_config_load(c, &p->k, NULL, NULL, false);
	if (!status) {
		json_out_init(&p->j, &p->out);
		if (p->json) {
			json_out_object(&p->j);
			json_out_key(&p->j, "schema");
			json_out_cstr(&p->j, "headgate.alerts-simulate/1");
			json_out_key(&p->j, "messages");
			json_out_array(&p->j);
		}
		enum hg_rc rc = prepare(c, p, &err);
		if (rc == HG_OK) rc = play(p, &err);
		status = rc < 0 ? cli_fail(&err) : told(p);
	}
	notify_state_free(p->state);
	notify_plan_free(p->plan);
	cli_config_fini(&p->k);
	hg_arena_fini(&p->mem);
	hg_buf_free(&p->out);
	free(p);
	return status;
}
