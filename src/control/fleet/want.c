/* Which releases an app is to run, and what became of each of them. */
#include "control/fleet/rows_priv.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct store_app fleet_app_row(const struct fleet_app *a)
{
	return (struct store_app){.id = a->id,
	        .name = hg_str(a->name),
	        .scale = a->scale,
	        .scale_file = a->scale_file,
	        .release = a->core.release,
	        .revision = a->core.revision,
	        .present = a->present,
	        .trial = a->core.trial.release,
	        .trial_revision = a->core.trial.revision,
	        .trial_replicas = a->core.trial.desired,
	        .serving_replicas = a->serving_replicas,
	        .recreate = a->recreate,
	        .file_release = a->file_release,
	        .told = a->told};
}

void fleet_app_take(struct fleet_app *a, const struct store_app *row)
{
	(void)hg_str_copy(row->name, a->name, sizeof a->name);
	a->id = row->id;
	a->present = row->present;
	a->scale = row->scale;
	a->scale_file = row->scale_file;
	a->file_release = row->file_release;
	a->told = row->told;
	a->recreate = row->recreate;
	a->serving_replicas = row->serving_replicas;
	a->core.release = row->release;
	a->core.revision = row->revision;
	a->core.rules.grace_ms = 30000; /* until there is a configuration */
	a->core.rules.recreate = row->recreate;
	a->core.trial = (struct fl_trial){
	        .release = row->trial,
	        .revision = row->trial_revision,
	        .desired = row->trial_replicas,
	};
	/* A program that knows no trials wrote the row: its arms cannot be told apart. */
	if (row->trial_revision == row->revision || row->trial == row->release) {
		a->core.trial = (struct fl_trial){0};
		a->serving_replicas = 0;
	}
}

uint32_t fleet_revision_next(const struct fleet *f, const struct fleet_app *a)
{
	uint32_t last = HG_MAX(a->core.revision, a->core.trial.revision);
	for (uint32_t i = 0; i < a->core.high; i++)
		if (a->core.slot[i].used) last = HG_MAX(last, a->core.slot[i].revision);
	for (uint32_t i = 0; i < f->known_count; i++)
		if (f->known[i].row && f->known[i].r.app == a->id)
			last = HG_MAX(last, f->known[i].r.revision);
	return last + 1;
}

static enum hg_rc want_check(
        struct fleet *f, struct fleet_app *a, const struct fleet_want *w, struct hg_err *err)
{
	if (!w->serving || w->trial == w->serving)
		return hg_err_set(err, HG_E_INVALID,
		        "app \"%s\" cannot serve release %u with release %u under trial", a->name,
		        w->serving, w->trial);
	if (w->trial_replicas > FLEET_REPLICAS_MAX)
		return hg_err_set(err, HG_E_INVALID, "a trial can have %d replicas, not %u",
		        FLEET_REPLICAS_MAX, w->trial_replicas);
	if (!fleet_release_find(f, a, w->serving) ||
	        (w->trial && !fleet_release_find(f, a, w->trial)))
		return hg_err_set(err, HG_E_NOT_FOUND, "app \"%s\" has no release %u", a->name,
		        fleet_release_find(f, a, w->serving) ? w->trial : w->serving);
	const uint32_t both[] = {w->serving, w->trial};
	for (size_t i = 0; i < HG_COUNT(both); i++) {
		const struct fleet_release *rel =
		        both[i] ? fleet_release_find(f, a, both[i]) : NULL;
		if (!rel || both[i] == a->core.release || both[i] == a->core.trial.release)
			continue;
		/* Another build in its place would be another release. */
		if (*rel->source && access(rel->path, F_OK) < 0 && errno == ENOENT)
			return hg_err_set(err, HG_E_FLEET_ARTIFACT,
			        "the artifact of release %u of app \"%s\" is not kept any more",
			        both[i], a->name);
	}
	return HG_OK;
}

/* The arms as they are to be: who keeps his place keeps his processes. */
static void arms_of(const struct fleet *f, const struct fleet_app *a, const struct fleet_want *w,
        struct fl_trial *ret_main, struct fl_trial *ret_trial)
{
	const struct fl_app *c = &a->core;
	uint32_t next = fleet_revision_next(f, a);
	bool promoted = c->trial.release && w->serving == c->trial.release;
	*ret_main = (struct fl_trial){.release = w->serving};
	*ret_trial =
	        (struct fl_trial){.release = w->trial, .desired = w->trial ? w->trial_replicas : 0};
	if (w->serving == c->release)
		ret_main->revision = c->revision;
	else
		ret_main->revision = promoted ? c->trial.revision : next++;
	if (!w->trial) return;
	/* The former serving one becomes the trial only when its place is taken at once; otherwise
	 * its replicas go on serving until those of the new one are ready. */
	if (w->trial == c->trial.release)
		ret_trial->revision = c->trial.revision;
	else if (w->trial == c->release && promoted)
		ret_trial->revision = c->revision;
	else
		ret_trial->revision = next;
}

/*
 * The endpoint table says at once who serves, not at the next pass: whoever wanted it may free the
 * slot of the trial next, and requests would go by the weights of before, to what was proven bad.
 */
static void roles_apply(struct fleet_app *a)
{
	struct fl_actions out;
	bool all = false;
	while (!all) {
		all = fl_roles(&a->core, &out);
		for (uint32_t i = 0; i < out.n; i++) {
			struct fleet_replica *r = a->at[out.a[i].slot];
			if (r) fleet_endpoint(r, out.a[i].endpoint);
		}
	}
}

enum hg_rc fleet_want_set(
        struct fleet *f, struct hg_str app, const struct fleet_want *w, struct hg_err *err)
{
	struct fleet_app *a = NULL;
	struct fl_trial main, trial;
	char detail[128];
	enum hg_rc rc = fleet_app_for(f, app, &a, err);
	if (rc < 0) return rc;
	HG_ASSERT(a);
	rc = want_check(f, a, w, err);
	if (rc < 0) return rc;
	arms_of(f, a, w, &main, &trial);
	bool same = main.revision == a->core.revision && trial.revision == a->core.trial.revision &&
	            trial.desired == a->core.trial.desired;
	if (same && w->recreate == a->recreate && w->serving_replicas == a->serving_replicas)
		return HG_OK;
	struct store_app row = fleet_app_row(a);
	row.release = main.release;
	row.revision = main.revision;
	row.trial = trial.release;
	row.trial_revision = trial.revision;
	row.trial_replicas = trial.desired;
	row.recreate = w->recreate;
	row.serving_replicas = w->serving_replicas;
	rc = store_app_set(f->o.store, &row, err);
	fleet_store_result(f, rc, err);
	if (rc < 0) return rc;
	a->core.release = main.release;
	a->core.revision = main.revision;
	a->core.trial = trial;
	a->serving_replicas = w->serving_replicas;
	a->recreate = a->core.rules.recreate = w->recreate;
	roles_apply(a);
	(void)snprintf(detail, sizeof detail,
	        "{\"serving\":%u,\"trial\":%u,\"trial_replicas\":%u,\"recreate\":%s}", main.release,
	        trial.release, trial.desired, w->recreate ? "true" : "false");
	if (!same) fleet_journal(f, "app.releases", a, main.release, 0, detail);
	if (f->applied) fleet_publish(f); /* lanes for both */
	fleet_kick(f);
	return HG_OK;
}

enum hg_rc fleet_want(const struct fleet *f, struct hg_str app, struct fleet_want *ret_want)
{
	const struct fleet_app *a = fleet_app_find(f, app);
	if (!a || !a->present) return HG_E_FLEET_APP;
	*ret_want = (struct fleet_want){.serving = a->core.release,
	        .trial = a->core.trial.release,
	        .trial_replicas = a->core.trial.desired,
	        .serving_replicas = a->serving_replicas,
	        .recreate = a->recreate};
	return HG_OK;
}

void fleet_release_state(const struct fleet *f, struct hg_str app, uint32_t release,
        struct fleet_release_state *ret_state)
{
	struct fleet_release_state *s = ret_state;
	const struct fleet_app *a = fleet_app_find(f, app);
	*s = (struct fleet_release_state){0};
	if (!a || !release) return;
	uint32_t desired = fleet_desired(f, a);
	if (release == a->core.release) s->wanted += fleet_serving(f, a);
	if (release == a->core.trial.release && desired) s->wanted += a->core.trial.desired;
	for (uint32_t i = 0; i < a->core.high; i++) {
		const struct fl_replica *c = &a->core.slot[i];
		const struct fleet_replica *r = a->at[i];
		if (!c->used || c->release != release) continue;
		if (r && r->pid > 0) {
			s->memory_max = HG_MAX(s->memory_max, r->usage.memory_bytes);
			s->cpu_max = HG_MAX(s->cpu_max, r->usage.cpu);
		}
		if (c->retire) continue;
		s->total++;
		s->ready += c->state == FLEET_READY;
		s->starting += fl_starting(c);
		s->crash_loops += backoff_crash_loop(&c->backoff);
	}
	for (const struct fleet_release *r = a->releases; r; r = r->next) {
		if (r->number != release) continue;
		s->failed_starts = r->failed_starts;
		s->exits = r->exits;
		s->memory_ends = r->memory_ends;
		s->memory_limit = r->memory_max;
		s->cpu_limit = (double)r->cpu_max_milli / 1000;
	}
}

uint32_t fleet_replicas_wanted(const struct fleet *f, struct hg_str app)
{
	const struct fleet_app *a = fleet_app_find(f, app);
	if (!a || !a->present || !a->conf) return 0;
	return a->scale >= 0 ? (uint32_t)a->scale : a->conf->replicas;
}

void fleet_releases_tell(struct fleet *f)
{
	if (!f->o.on_release || !f->applied || f->stopping) return;
	for (uint32_t i = 0; i < f->app_count; i++) {
		struct fleet_app *a = f->apps[i];
		if (!a->present || !a->conf || a->told == a->file_release) continue;
		/* One that a full disk kept out of the store could not be wanted. */
		if (a->dirty) continue;
		f->o.on_release(f->o.arg, a->name, a->file_release);
		/* Told first: a control that dies in between tells it again. */
		a->told = a->file_release;
		fleet_app_save(f, a);
	}
}

uint32_t fleet_app_id(const struct fleet *f, struct hg_str app)
{
	const struct fleet_app *a = fleet_app_find(f, app);
	return a ? a->id : 0;
}

bool fleet_knows(const struct fleet *f)
{
	return f->applied && !f->known;
}
