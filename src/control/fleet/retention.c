/* Tells observe how long and how much of each app's lines to keep, and where traces are sent. */
#include "control/fleet/fleet_priv.h"

#include <inttypes.h>
#include <stdio.h>

#include "wire/url.h"

#define RETENTION_ANSWER_MS 2000u
#define RETENTION_RETRY_MS  1000u

static void on_turn(struct loop *l, struct loop_timer *t);

static void turn_in(struct fleet *f, uint64_t ms)
{
	/* Without memory for a timer it is told at the next apply or start of observe. */
	if (loop_timer_start(f->o.loop, &f->retention.timer, ms, on_turn) < 0) f->retention.at = 0;
}

static void failing(struct fleet *f, bool now, const char *why)
{
	if (f->retention.failing == now) return;
	f->retention.failing = now;
	if (!f->o.log) return;
	if (now)
		hg_log(f->o.log, HG_WARN, "logs.retention_failing", HG_S("error", why));
	else
		hg_log(f->o.log, HG_INFO, "logs.retention_told");
}

static void on_answer(void *arg, const struct prober_result *res)
{
	struct fleet *f = arg;
	bool good = res->status >= 200 && res->status < 300;
	failing(f, !good, res->why);
	prober_stop(f->retention.prober);
	f->retention.prober = NULL;
	/* A refused app must not keep the others from being told. */
	if (good || (res->status >= 400 && res->status < 500)) f->retention.at++;
	turn_in(f, good ? 0 : RETENTION_RETRY_MS);
}

static void traces_path(const struct fleet *f, char *to, size_t cap)
{
	struct hg_buf url;
	hg_buf_init(&url, FLEET_URL_MAX * 3);
	url_encode(&url, hg_str(f->traces_to), ":/");
	(void)snprintf(to, cap, "/v1/traces/export?url=%s", hg_buf_text(&url));
	hg_buf_free(&url);
}

static void on_turn(struct loop *l, struct loop_timer *t)
{
	struct fleet *f = HG_CONTAINER(t, struct fleet, retention.timer);
	char path[FLEET_URL_MAX * 3 + 32], place[200];
	struct sock_addr addr;
	while (f->retention.at < f->app_count && !f->apps[f->retention.at]->conf)
		f->retention.at++;
	if (f->retention.at > f->app_count || f->retention.prober) return;
	if (f->retention.at == f->app_count) {
		traces_path(f, path, sizeof path);
	} else {
		const struct fleet_conf *c = f->apps[f->retention.at]->conf;
		(void)snprintf(path, sizeof path,
		        "/v1/logs/retention?app=%s&keep_ms=%" PRIu64 "&max_bytes=%" PRIu64, c->name,
		        c->logs_keep_ms, c->logs_max_bytes);
	}
	(void)snprintf(place, sizeof place, "unix:%s/run/observe.sock", f->o.child->data_dir);
	struct prober_target target = {
	        .addr = &addr, .path = path, .put = true, .timeout_ms = RETENTION_ANSWER_MS};
	if (sock_addr_parse(hg_str(place), &addr) &&
	        prober_start(l, &target, on_answer, f, &f->retention.prober) == HG_OK)
		return;
	failing(f, true, "could not ask");
	turn_in(f, RETENTION_RETRY_MS);
}

void fleet_retention_tell(struct fleet *f)
{
	fleet_retention_stop(f);
	if (f->stopping) return;
	turn_in(f, 0);
}

void fleet_retention_stop(struct fleet *f)
{
	loop_timer_stop(f->o.loop, &f->retention.timer);
	prober_stop(f->retention.prober);
	f->retention.prober = NULL;
	f->retention.at = 0;
}
