/* Rollouts in the store: the state machine as bytes, everything else as JSON. */
#include "control/rollout/rollout_priv.h"

#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

#define OPEN_MAX 1000u

static json_t *users_save(const struct ro_users *u)
{
	return json_pack("[I,I,I,I,I,I,I,I,I,I,I,I]", (json_int_t)u->requests_new,
	        (json_int_t)u->requests_old, (json_int_t)u->failed_new, (json_int_t)u->rescued,
	        (json_int_t)u->seen, (json_int_t)u->unreplayable, (json_int_t)u->forced,
	        (json_int_t)u->mirrored, (json_int_t)u->differs, (json_int_t)u->mirror_failed,
	        (json_int_t)u->mirror_partly, (json_int_t)u->mirror_dropped);
}

static void users_load(const json_t *a, struct ro_users *u)
{
	uint64_t *to[] = {&u->requests_new, &u->requests_old, &u->failed_new, &u->rescued, &u->seen,
	        &u->unreplayable, &u->forced, &u->mirrored, &u->differs, &u->mirror_failed,
	        &u->mirror_partly, &u->mirror_dropped};
	for (size_t i = 0; i < HG_COUNT(to); i++) {
		json_int_t v = json_integer_value(json_array_get(a, i));
		*to[i] = v > 0 ? (uint64_t)v : 0;
	}
}

/*
 * The users of epochs that have ended, without those of the present one: a control that takes over
 * reads that one from the meter again, but has no more than the sum of the former ones.
 */
static void users_of_the_past(const struct ro_run *run, struct ro_users *ret_users)
{
	struct ro_run past = *run;
	past.trial.slot = -1;
	ro_users_now(&past, ret_users);
}

static char *text_of(struct ro_run *run, const struct ro_state *s)
{
	struct ro_users u;
	users_of_the_past(run, &u);
	json_t *o = json_pack("{s:s,s:I,s:o,s:o,s:o}", "who", run->who, "raised_ms",
	        (json_int_t)run->raised_ms, "conf", ro_conf_json(&run->conf), "users",
	        users_save(&u), "shown", ro_run_json(run, s));
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

static enum hg_rc row_write(struct ro_run *run, const struct ro_state *s, bool add,
        uint64_t *ret_id, struct hg_err *err)
{
	uint8_t *bytes = malloc(RO_SAVED_MAX);
	size_t n = bytes ? ro_save(s, bytes, RO_SAVED_MAX) : 0;
	char *text = text_of(run, s);
	enum hg_rc rc = HG_E_NOMEM;
	if (n == 0 || !text) {
		(void)hg_err_set(err, rc, "memory is exhausted");
		goto out;
	}
	struct store_rollout row = {.id = s->id,
	        .app = s->app,
	        .old_release = s->old_release,
	        .new_release = s->new_release,
	        .created_ms = s->created_ms,
	        .ended_ms = s->ended_ms,
	        .promoted = s->head.outcome == RO_PROMOTED_OK,
	        .begun = run->begun,
	        .state = {(const char *)bytes, n},
	        .text = hg_str(text)};
	rc = add ? store_rollout_add(run->all->o.store, &row, ret_id, err)
	         : store_rollout_set(run->all->o.store, &row, err);
out:
	free(bytes);
	free(text);
	return rc;
}

enum hg_rc ro_row_add(struct ro_run *run, uint64_t *ret_id, struct hg_err *err)
{
	struct store *store = run->all->o.store;
	enum hg_rc rc = store_begin(store, err);
	if (rc < 0) return rc;
	rc = row_write(run, &run->kept, true, ret_id, err);
	/* Once more, with its number in it. */
	run->kept.id = *ret_id;
	if (rc == HG_OK) rc = row_write(run, &run->kept, false, NULL, err);
	if (rc == HG_OK) rc = store_commit(store, err);
	if (rc < 0) store_rollback(store);
	return rc;
}

enum hg_rc ro_row_set(struct ro_run *run, const struct ro_state *state, struct hg_err *err)
{
	return row_write(run, state, false, NULL, err);
}

/* ---- reading ---- */

struct loading {
	struct rollouts *r;
	bool failed;
	uint64_t id; /* of the one that failed */
};

static bool run_read(struct ro_run *run, const struct store_rollout *row)
{
	json_t *o = json_loadb(row->text.p, row->text.n, 0, NULL);
	const char *who = json_string_value(json_object_get(o, "who"));
	bool ok = o && ro_load(row->state.p, row->state.n, &run->kept) &&
	          ro_conf_load(json_object_get(o, "conf"), &run->conf);
	if (ok) {
		run->conf.rules = run->kept.rules;
		run->kept.id = row->id;
		run->begun = row->begun;
		if (!who || !hg_str_copy(hg_str(who), run->who, sizeof run->who)) run->who[0] = 0;
		users_load(json_object_get(o, "users"), &run->users);
		run->raised_ms = (uint64_t)json_integer_value(json_object_get(o, "raised_ms"));
	}
	json_decref(o);
	return ok;
}

static void on_open(void *arg, const struct store_rollout *row)
{
	struct loading *l = arg;
	struct ro_run *run = calloc(1, sizeof *run);
	if (run) {
		run->all = l->r;
		run->trial.slot = -1;
		for (unsigned i = 0; i < RO_FORMER; i++)
			run->former[i].slot = -1;
	}
	if (!run || !run_read(run, row)) {
		free(run);
		l->failed = true;
		l->id = row->id;
		return;
	}
	/* The newest comes first: the list is by number. */
	hg_list_prepend(&l->r->runs, &run->node);
}

enum hg_rc ro_rows_load(struct rollouts *r, struct hg_err *err)
{
	struct loading l = {.r = r};
	enum hg_rc rc = store_rollouts(r->o.store, 0, true, OPEN_MAX, on_open, &l, err);
	if (rc < 0) return rc;
	/* Its releases go on as the fleet has them; only the rollout itself cannot be continued. */
	if (l.failed && r->o.log)
		hg_log(r->o.log, HG_ERROR, "rollout.unreadable", HG_I("rollout", (int64_t)l.id));
	return HG_OK;
}

struct finding {
	struct ro_old old;
	uint32_t serving, before, newest;
	bool any;
};

static void on_old(void *arg, const struct store_rollout *row)
{
	struct finding *f = arg;
	json_t *o = json_loadb(row->text.p, row->text.n, 0, NULL);
	const char *app = json_string_value(json_object_get(json_object_get(o, "conf"), "app"));
	f->old = (struct ro_old){.old_release = row->old_release, .new_release = row->new_release};
	if (!app || !hg_str_copy(hg_str(app), f->old.app, sizeof f->old.app)) f->old.app[0] = 0;
	f->any = f->old.app[0] != 0;
	json_decref(o);
}

enum hg_rc ro_row_old(struct rollouts *r, uint64_t id, struct ro_old *ret_old, struct hg_err *err)
{
	struct finding f = {0};
	enum hg_rc rc = store_rollout_get(r->o.store, id, on_old, &f, err);
	if (rc == HG_OK && !f.any)
		rc = hg_err_set(err, HG_E_DB_CORRUPT, "rollout %llu of the store cannot be read",
		        (unsigned long long)id);
	if (rc == HG_OK) *ret_old = f.old;
	return rc;
}

/* Newest first: the promotion of what serves names what served before. */
static void on_promoted(void *arg, const struct store_rollout *row)
{
	struct finding *f = arg;
	if (!row->promoted || f->before) return;
	if (row->new_release == f->serving) f->before = row->old_release;
}

enum hg_rc ro_row_before(struct rollouts *r, uint32_t app, uint32_t serving, uint32_t *ret_release,
        struct hg_err *err)
{
	struct finding f = {.serving = serving};
	enum hg_rc rc = store_rollouts(r->o.store, app, false, OPEN_MAX, on_promoted, &f, err);
	*ret_release = f.before;
	return rc;
}
