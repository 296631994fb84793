/*
 * What replicas use. From the files of their cgroups where these count it: exact, and two small
 * reads. The others are found together in one pass over /proc.
 */
#include "control/fleet/fleet_priv.h"

#include "os/cgroup.h"
#include "os/proc.h"

#include <stdio.h>
#include <stdlib.h>

const struct fleet_release *fleet_release_known(const struct fleet_app *a, uint32_t number)
{
	for (const struct fleet_release *r = a->releases; r; r = r->next)
		if (r->number == number) return r;
	return NULL;
}

const char *fleet_memory_keeper(const struct fleet_replica *r)
{
	const struct fleet_release *rel = fleet_release_known(r->app, fleet_core(r)->release);
	if (!rel || !rel->memory_max) return "";
	return r->applied & WD_A_MEMORY ? "cgroup" : r->applied & WD_A_WATCHED ? "watch" : "";
}

const char *fleet_cpu_keeper(const struct fleet_replica *r)
{
	const struct fleet_release *rel = fleet_release_known(r->app, fleet_core(r)->release);
	return rel && rel->cpu_max_milli && r->applied & WD_A_CPU ? "cgroup" : "";
}

#define MEAN_NS (FLEET_SAMPLE_MS * CLOCK_NS_PER_MS)

/* The mean since the youngest look that is 5 s old, or since the oldest there is. */
static void cpu_note(struct fleet_usage *u, uint64_t cpu_ns, uint64_t now_ns)
{
	uint32_t kept = HG_MIN(u->looks, FLEET_USAGE_LOOKS), at;
	for (uint32_t back = 1; back <= kept; back++) {
		at = (u->looks - back) % FLEET_USAGE_LOOKS;
		uint64_t span = now_ns - u->look[at].at_ns;
		if (span) u->cpu = (double)(cpu_ns - u->look[at].cpu_ns) / (double)span;
		if (span + MEAN_NS / 10 >= MEAN_NS) break;
	}
	u->cpu_ns = cpu_ns;
	at = u->looks++ % FLEET_USAGE_LOOKS;
	u->look[at].at_ns = now_ns;
	u->look[at].cpu_ns = cpu_ns;
}

struct asked {
	struct fleet_replica *r;
	bool memory, cpu; /* still to be found */
};

static struct asked ask_cgroup(struct fleet_replica *r, uint64_t now_ns)
{
	const struct fl_replica *c = fleet_core(r);
	struct cgroup_usage u;
	char name[128];
	(void)snprintf(name, sizeof name, "%s.%u.%u.%u", r->app->name, c->release, c->number,
	        (uint32_t)r->id);
	cgroup_usage_of(r->pid, name, &u);
	if (u.has_memory) r->usage.memory_bytes = u.memory_bytes;
	if (u.has_cpu) cpu_note(&r->usage, HG_MAX(u.cpu_ns, r->usage.cpu_ns), now_ns);
	return (struct asked){r, !u.has_memory, !u.has_cpu};
}

static void take_tree(const struct asked *a, const struct proc_tree *t, uint64_t now_ns)
{
	struct fleet_usage *u = &a->r->usage;
	if (!t->processes) return;
	if (a->memory) u->memory_bytes = t->rss_bytes;
	if (!a->cpu) return;
	uint64_t more = t->cpu_ns > u->tree_ns ? t->cpu_ns - u->tree_ns : 0;
	u->tree_ns = t->cpu_ns;
	cpu_note(u, u->cpu_ns + more, now_ns);
}

uint64_t fleet_usage_wait_ms(const struct fleet *f)
{
	for (uint32_t i = 0; i < f->app_count; i++) {
		const struct fleet_app *a = f->apps[i];
		const struct fleet_release *r = fleet_release_known(a, a->core.release);
		const struct fleet_release *trial = fleet_release_known(a, a->core.trial.release);
		if ((r && (r->memory_max || r->cpu_max_milli)) ||
		        (trial && (trial->memory_max || trial->cpu_max_milli)))
			return FLEET_USAGE_MS;
	}
	return FLEET_SAMPLE_MS;
}

void fleet_sample(struct fleet *f)
{
	uint64_t now = clock_mono_ns();
	uint32_t room = 0, n = 0;
	for (uint32_t i = 0; i < f->app_count; i++)
		room += f->apps[i]->core.high;
	struct asked *left = calloc(room + 1, sizeof *left);
	struct proc_tree *trees = calloc(room + 1, sizeof *trees);
	for (uint32_t i = 0; left && trees && i < f->app_count; i++) {
		struct fleet_app *a = f->apps[i];
		for (uint32_t k = 0; k < a->core.high; k++) {
			struct fleet_replica *r = a->at[k];
			if (!r || r->pid <= 0) continue;
			left[n] = ask_cgroup(r, now);
			if (!left[n].memory && !left[n].cpu) continue;
			trees[n++].leader = r->pid;
		}
	}
	if (n) proc_trees(trees, n, false);
	for (uint32_t i = 0; i < n; i++)
		take_tree(&left[i], &trees[i], now);
	free(trees);
	free(left);
}
