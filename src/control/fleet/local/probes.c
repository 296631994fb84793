/* Runs the probes that the decision asks for and tells it what came out. */
#include "control/fleet/fleet_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

static const char *const kind_name[PROBE_KINDS] = {[PROBE_STARTUP] = "startup",
        [PROBE_READINESS] = "readiness",
        [PROBE_LIVENESS] = "liveness"};

/* What fits into a replica's reason beside "readiness probe: ". */
#define REASON_WHY_MAX 140

static void tell(
        struct fleet_replica *r, enum probe_kind kind, enum probe_outcome outcome, const char *why)
{
	if (outcome == PROBE_OK) {
		if (!fleet_core(r)->probes.worker[kind].last_ok) r->reason[0] = 0;
	} else {
		(void)snprintf(r->reason, sizeof r->reason, "%s probe: %.*s", kind_name[kind],
		        REASON_WHY_MAX, why);
	}
	fl_probed(&r->app->core, r->slot, kind, outcome, loop_now_ms(r->f->o.loop));
	if (probe_ready(&fleet_core(r)->probes)) r->reason[0] = 0;
	fleet_kick(r->f);
}

static void on_result(
        struct fleet_replica *r, enum probe_kind kind, const struct prober_result *res)
{
	char why[160];
	enum probe_outcome outcome = res->outcome;
	(void)snprintf(why, sizeof why, "%s", res->why);
	prober_stop(r->prober[kind]);
	r->prober[kind] = NULL;
	tell(r, kind, outcome, why);
}

static void on_startup(void *arg, const struct prober_result *res)
{
	on_result(HG_OBJ(arg, struct fleet_replica, FLEET_REPLICA_MAGIC), PROBE_STARTUP, res);
}

static void on_readiness(void *arg, const struct prober_result *res)
{
	on_result(HG_OBJ(arg, struct fleet_replica, FLEET_REPLICA_MAGIC), PROBE_READINESS, res);
}

static void on_liveness(void *arg, const struct prober_result *res)
{
	on_result(HG_OBJ(arg, struct fleet_replica, FLEET_REPLICA_MAGIC), PROBE_LIVENESS, res);
}

void fleet_probe(struct fleet_replica *r, enum probe_kind kind)
{
	static const prober_fn fn[PROBE_KINDS] = {
	        [PROBE_STARTUP] = on_startup,
	        [PROBE_READINESS] = on_readiness,
	        [PROBE_LIVENESS] = on_liveness,
	};
	const struct fleet_probe_conf *c = r->app->conf ? &r->app->conf->probe[kind] : NULL;
	const struct fleet_release *rel = fleet_release_find(r->f, r->app, fleet_core(r)->release);
	struct hg_err err = {0};
	enum hg_rc rc = HG_OK;
	prober_stop(r->prober[kind]);
	r->prober[kind] = NULL;
	if (!c || c->kind == FLEET_PROBE_NONE) {
		/* The configuration lost this probe while it was due: nothing is asked any more. */
		tell(r, kind, PROBE_OK, "");
		return;
	}
	if (c->kind == FLEET_PROBE_COMMAND) {
		rc = fleet_spawn_probe(r, kind, &err);
	} else {
		struct prober_target t = {
		        .addr = &r->addr,
		        .path = c->kind == FLEET_PROBE_HTTP ? c->what : NULL,
		        .service = c->kind == FLEET_PROBE_GRPC ? c->what : NULL,
		        .http2 = c->kind == FLEET_PROBE_GRPC || (rel && rel->http2),
		        .timeout_ms = c->timeout_ms,
		        .proxy = rel ? rel->proxy : 0,
		};
		if ((t.path || t.service) && rel && rel->tls && r->f->o.remote)
			t.remote = r->f->o.remote(r->f->o.arg, hg_str(r->app->name));
		rc = prober_start(r->f->o.loop, &t, fn[kind], r, &r->prober[kind]);
		if (rc < 0) (void)hg_err_set(&err, rc, "could not probe: memory is exhausted");
	}
	if (rc < 0) tell(r, kind, PROBE_BROKEN, err.message);
}

void fleet_probes_stop(struct fleet_replica *r)
{
	for (int k = 0; k < PROBE_KINDS; k++) {
		prober_stop(r->prober[k]);
		r->prober[k] = NULL;
		/* A one-shot that still runs has its deadline from the warden; its end finds
		 * nobody. */
		r->oneshot[k] = 0;
	}
}

static void oneshot_result(struct fleet_replica *r, enum probe_kind kind, bool started, int status)
{
	char why[64];
	r->oneshot[kind] = 0;
	if (!started) {
		tell(r, kind, PROBE_FAILED, "its command could not be started");
		return;
	}
	fleet_exit_text(status, why, sizeof why);
	bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	tell(r, kind, ok ? PROBE_OK : PROBE_FAILED, why);
}

bool fleet_probe_ended(struct fleet *f, uint64_t id, bool started, int status)
{
	for (uint32_t i = 0; i < f->app_count; i++) {
		struct fleet_app *a = f->apps[i];
		for (uint32_t k = 0; k < a->core.high; k++) {
			struct fleet_replica *r = a->at[k];
			for (int p = 0; r && p < PROBE_KINDS; p++) {
				if (r->oneshot[p] != id) continue;
				oneshot_result(r, p, started, status);
				return true;
			}
		}
	}
	return false;
}
