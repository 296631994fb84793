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

/* What services said, by gate: the state has only numbers. */
static json_t *notes_save(const struct ro_run *run)
{
	json_t *a = json_array();
	for (uint32_t i = 0; i < run->conf.rules.gate_count; i++)
		json_array_append_new(a, json_string(run->gate[i].note));
	return a;
}

static void notes_load(const json_t *a, struct ro_run *run)
{
	for (uint32_t i = 0; i < RO_GATES_MAX; i++) {
		const char *s = json_string_value(json_array_get(a, i));
		struct ro_gate_run *g = &run->gate[i];
		if (!s || !hg_str_copy(hg_str(s), g->note, sizeof g->note)) g->note[0] = 0;
	}
}

/*
 * The users of epochs that have ended, and apart from them those of the present one: a control that
 * takes over reads that one from the meter again, if it is still there. It is not when the weight
 * changed right after this was written; then what stands here is all that is known of it.
 */
static char *text_of(struct ro_run *run, const struct ro_state *s)
{
	struct ro_users past, last;
	uint32_t epoch = ro_users_present(run, &last);
	ro_users_past(run, &past);
	json_t *o = json_pack("{s:s,s:I,s:o,s:o,s:o,s:I,s:o,s:o}", "who", run->who, "raised_ms",
	        (json_int_t)run->raised_ms, "conf", ro_conf_json(&run->conf), "users",
	        users_save(&past), "last", users_save(&last), "last_epoch", (json_int_t)epoch,
	        "notes", notes_save(run), "shown", ro_run_json(run, s));
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
	enum hg_rc rc;
};

static void remarks_load(struct ro_run *run, const json_t *o)
{
	const char *who = json_string_value(json_object_get(o, "who"));
	json_int_t epoch = json_integer_value(json_object_get(o, "last_epoch"));
	if (!who || !hg_str_copy(hg_str(who), run->who, sizeof run->who)) run->who[0] = 0;
	users_load(json_object_get(o, "users"), &run->users);
	users_load(json_object_get(o, "last"), &run->last);
	run->last_epoch = epoch > 0 && epoch <= UINT32_MAX ? (uint32_t)epoch : 0;
	notes_load(json_object_get(o, "notes"), run);
	run->raised_ms = (uint64_t)json_integer_value(json_object_get(o, "raised_ms"));
}

void ro_row_remarks(struct ro_run *run, const struct store_rollout *row)
{
	json_t *o = json_loadb(row->text.p, row->text.n, 0, NULL);
	const char *app = json_string_value(json_object_get(json_object_get(o, "conf"), "app"));
	remarks_load(run, o);
	ro_users_sum(&run->users, &run->last);
	if (!app || !hg_str_copy(hg_str(app), run->conf.app, sizeof run->conf.app))
		run->conf.app[0] = 0;
	json_decref(o);
}

static bool run_read(struct ro_run *run, const struct store_rollout *row)
{
	json_t *o = json_loadb(row->text.p, row->text.n, 0, NULL);
	bool ok = o && ro_load(row->state.p, row->state.n, &run->kept) &&
	          ro_conf_load(json_object_get(o, "conf"), &run->conf);
	if (ok) {
		run->conf.rules = run->kept.rules;
		run->kept.id = row->id;
		run->begun = row->begun;
		remarks_load(run, o);
	}
	json_decref(o);
	return ok;
}

static void on_open(void *arg, const struct store_rollout *row)
{
	struct loading *l = arg;
	struct ro_run *run = ro_run_new(l->r);
	if (run && run_read(run, row)) {
		/* The newest comes first: the list is by number. */
		hg_list_prepend(&l->r->runs, &run->node);
		return;
	}
	if (!run || ro_damaged_add(l->r, row) < 0) l->rc = HG_E_NOMEM;
	if (run) ro_run_free(run);
}

enum hg_rc ro_rows_load(struct rollouts *r, struct hg_err *err)
{
	struct loading l = {.r = r, .rc = HG_OK};
	enum hg_rc rc = store_rollouts(r->o.store, 0, true, OPEN_MAX, on_open, &l, err);
	if (rc == HG_OK && l.rc < 0) rc = hg_err_set(err, l.rc, "memory is exhausted");
	return rc;
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
