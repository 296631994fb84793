/* The present, copied for visitors. */
#include "control/fleet/fleet_priv.h"

#include <stdio.h>
#include <stdlib.h>

const char *fleet_state_name(enum fleet_state s)
{
	static const char *const name[FLEET_STATES] = {"waiting", "spawning", "starting", "unready",
	        "ready", "draining", "stopping", "backoff"};
	return s < FLEET_STATES ? name[s] : "unknown";
}

const char *fleet_phase_name(enum fleet_phase p)
{
	static const char *const name[] = {"running", "starting", "updating", "waiting", "degraded",
	        "crashloop", "stopping", "stopped"};
	return (size_t)p < HG_COUNT(name) ? name[p] : "unknown";
}

static void replica_status(
        const struct fleet *f, const struct fleet_replica *r, struct fleet_replica_status *to)
{
	const struct fl_replica *c = fleet_core(r);
	uint64_t now = loop_now_ms(f->o.loop), wall = clock_wall_ms();
	*to = (struct fleet_replica_status){
	        .id = r->id,
	        .number = c->number,
	        .release = c->release,
	        .incarnation = (uint32_t)r->id,
	        .state = c->state,
	        .crash_loop = backoff_crash_loop(&c->backoff),
	        .pid = r->pid,
	        .since_ms = r->since_ms,
	        .started_ms = r->pid ? r->started_ms : 0,
	        .restarts = c->restarts,
	        .has_exited = r->has_exited,
	        .exit_status = r->exit_status & WD_STATUS_MASK,
	        .exit_memory = (r->exit_status & (WD_STATUS_OOM | WD_STATUS_OVER)) != 0,
	        .exit_ms = r->exit_ms,
	        .memory_keeper = "",
	        .cpu_keeper = "",
	};
	(void)hg_str_copy(hg_str(r->address), to->address, sizeof to->address);
	(void)hg_str_copy(hg_str(r->reason), to->reason, sizeof to->reason);
	if (r->has_exited) fleet_replica_exit(r, to->exit_text, sizeof to->exit_text);
	if (c->state == FLEET_BACKOFF)
		to->next_start_ms = wall + (c->next_start_ms > now ? c->next_start_ms - now : 0);
	if (r->pid > 0) {
		to->cpu_seconds = (double)r->usage.cpu_ns / 1e9;
		to->cpu = r->usage.cpu;
		to->memory_bytes = r->usage.memory_bytes;
		to->memory_keeper = fleet_memory_keeper(r);
		to->cpu_keeper = fleet_cpu_keeper(r);
	}
	const struct fleet_release *rel = fleet_release_known(r->app, c->release);
	if (rel) {
		to->memory_limit = rel->memory_max;
		to->cpu_limit = (double)rel->cpu_max_milli / 1000;
	}
	to->endpoint = r->ep;
	if (r->ep >= 0 && f->meter) to->in_flight = meter_in_flight(f->meter, (uint32_t)r->ep);
}

static enum fleet_phase phase_of(
        const struct fleet *f, const struct fleet_app *a, const struct fl_count *c)
{
	uint32_t n = a->core.desired;
	if (c->total == 0 && n == 0) return c->retiring ? FLEET_APP_STOPPING : FLEET_APP_STOPPED;
	if (f->stopping || n == 0) return FLEET_APP_STOPPING;
	if (c->crash_loops) return FLEET_APP_CRASHLOOP;
	if (c->updated < c->total || c->total > n) return FLEET_APP_UPDATING;
	if (c->ready >= n) return FLEET_APP_RUNNING;
	if (a->core.blocked && c->waiting) return FLEET_APP_WAITING;
	if (c->failed || a->core.ever_ready) return FLEET_APP_DEGRADED;
	return FLEET_APP_STARTING;
}

static void reason_write(
        const struct fleet *f, const struct fleet_app *a, struct fleet_app_status *to)
{
	if (to->phase == FLEET_APP_WAITING && a->conf) {
		for (uint32_t i = 0; i < a->conf->need_count; i++) {
			const struct fleet_app *need = fleet_app_find(f, hg_str(a->conf->needs[i]));
			if (!need || need->core.ever_ready) continue;
			(void)snprintf(to->reason, sizeof to->reason,
			        "waits for app \"%s\" to be ready", need->name);
			return;
		}
	}
	if (to->phase == FLEET_APP_RUNNING || to->phase == FLEET_APP_STOPPED) return;
	for (uint32_t i = 0; i < to->replica_count; i++) {
		const struct fleet_replica_status *r = &to->replicas[i];
		if (to->trial && r->release == to->trial) continue;
		if (r->state == FLEET_READY || r->state == FLEET_DRAINING ||
		        r->state == FLEET_STOPPING)
			continue;
		const char *why = r->reason[0] ? r->reason : r->exit_text;
		if (!why[0]) continue;
		(void)snprintf(to->reason, sizeof to->reason, "replica %u %s: %.140s", r->number,
		        fleet_state_name(r->state), why);
		return;
	}
}

static int by_number(const void *a, const void *b)
{
	const struct fleet_replica_status *x = a, *y = b;
	return x->number < y->number ? -1 : x->number > y->number;
}

static enum hg_rc app_status(
        const struct fleet *f, const struct fleet_app *a, struct fleet_app_status *to)
{
	struct fl_count c = fl_counts(&a->core);
	struct fleet_replica_status *list = calloc(a->core.high + 1, sizeof *list);
	const char **routes = calloc((a->conf ? a->conf->route_count : 0) + 1, sizeof *routes);
	*to = (struct fleet_app_status){
	        .id = a->id,
	        .release = a->core.release,
	        .trial = a->core.trial.release,
	        .desired = fleet_desired(f, a),
	        .desired_file = a->conf ? a->conf->replicas : 0,
	        .ready = c.ready,
	        .starting = c.starting,
	        .total = c.total,
	        .updated = c.updated,
	        .phase = phase_of(f, a, &c),
	        .replicas = list,
	        .routes = routes,
	};
	if (!list || !routes) return HG_E_NOMEM;
	(void)hg_str_copy(hg_str(a->name), to->name, sizeof to->name);
	for (uint32_t i = 0; i < a->core.high; i++) {
		if (!a->at[i] || !a->core.slot[i].used) continue;
		replica_status(f, a->at[i], &list[to->replica_count]);
		to->restarts += list[to->replica_count++].restarts;
	}
	qsort(list, to->replica_count, sizeof *list, by_number);
	for (uint32_t i = 0; a->conf && i < a->conf->route_count; i++) {
		if (a->conf->routes[i].preview) continue;
		if (!(routes[to->route_count] = strdup(a->conf->routes[i].name))) return HG_E_NOMEM;
		to->route_count++;
	}
	reason_write(f, a, to);
	return HG_OK;
}

enum hg_rc fleet_status(const struct fleet *f, struct fleet_status **ret_status)
{
	struct fleet_status *s = calloc(1, sizeof *s);
	struct fleet_app_status *apps = calloc(f->app_count + 1, sizeof *apps);
	enum hg_rc rc = s && apps ? HG_OK : HG_E_NOMEM;
	if (rc < 0) {
		free(apps);
		free(s);
		return rc;
	}
	*s = (struct fleet_status){
	        .generation = f->generation,
	        .settled = f->applied && !f->known,
	        .shutting_down = f->stopping,
	        .warden_lost = f->warden_lost,
	        .apps = apps,
	};
	for (uint32_t i = 0; rc == HG_OK && i < f->app_count; i++) {
		rc = app_status(f, f->apps[i], &apps[s->app_count++]);
		enum fleet_phase p = apps[i].phase;
		if (p != FLEET_APP_RUNNING && p != FLEET_APP_STOPPED) s->settled = false;
	}
	if (rc == HG_OK)
		*ret_status = s;
	else
		fleet_status_free(s);
	return rc;
}

void fleet_status_free(struct fleet_status *s)
{
	if (!s) return;
	for (uint32_t i = 0; i < s->app_count; i++) {
		const struct fleet_app_status *a = &s->apps[i];
		for (uint32_t k = 0; k < a->route_count; k++)
			free((void *)(uintptr_t)a->routes[k]);
		free((void *)(uintptr_t)a->routes);
		free((void *)(uintptr_t)a->replicas);
	}
	free((void *)(uintptr_t)s->apps);
	free(s);
}
