/* Rows of the store: written as replicas live, read back after control died. */
#include "control/fleet/rows_priv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define KNOWN_MAX 8192u

static struct store_replica row_of(const struct fleet_replica *r)
{
	const struct fl_replica *c = fleet_core(r);
	return (struct store_replica){
	        .id = r->id,
	        .app = r->app->id,
	        .release = c->release,
	        .revision = c->revision,
	        .number = c->number,
	        .state = c->state,
	        .pid = r->pid,
	        .address = hg_str(r->address),
	        .started = c->probes.started,
	        .ready = fl_runs(c) && probe_ready(&c->probes),
	        .retire = c->retire,
	        .spare = c->spare,
	        .restarts = c->restarts,
	        .streak = c->backoff.streak,
	        .started_ms = r->started_ms,
	        .exit_ms = r->exit_ms,
	        .exit_status = r->exit_status,
	};
}

/* Without a row a replica starts all the same when the disk is full: availability does not wait
 * for it. A control that dies meanwhile learns of the process from the warden's list. */
void fleet_row_spawn(struct fleet_replica *r, uint64_t old_id)
{
	if (old_id) r->old_row = old_id;
	r->row = false;
	r->dirty = true;
}

void fleet_row_save(struct fleet_replica *r)
{
	if (r->id) r->dirty = true;
	fleet_kick(r->f);
}

void fleet_row_remove(struct fleet_replica *r)
{
	struct fleet *f = r->f;
	const uint64_t ids[] = {r->row ? r->id : 0, r->old_row};
	for (size_t i = 0; i < HG_COUNT(ids); i++) {
		/* A row that stays is found without a process at the next start, and goes then. */
		if (ids[i] && f->gone_count < FLEET_GONE_MAX) f->gone[f->gone_count++] = ids[i];
	}
	r->row = r->dirty = false;
	r->old_row = 0;
}

typedef enum hg_rc (*each_fn)(struct fleet_replica *r, struct hg_err *err);

static enum hg_rc each_dirty(struct fleet *f, each_fn fn, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; rc == HG_OK && i < f->app_count; i++) {
		struct fleet_app *a = f->apps[i];
		for (uint32_t k = 0; rc == HG_OK && k < a->core.high; k++)
			if (a->at[k] && a->at[k]->dirty) rc = fn(a->at[k], err);
	}
	return rc;
}

static enum hg_rc write_row(struct fleet_replica *r, struct hg_err *err)
{
	struct store *s = r->f->o.store;
	struct store_replica row = row_of(r);
	uint64_t id;
	if (r->old_row) {
		enum hg_rc rc = store_replica_remove(s, r->old_row, err);
		if (rc < 0) return rc;
	}
	return r->row ? store_replica_set(s, &row, err) : store_replica_add(s, &row, &id, err);
}

static enum hg_rc row_written(struct fleet_replica *r, struct hg_err *err)
{
	(void)err;
	r->row = true;
	r->dirty = false;
	r->old_row = 0;
	/* Only what is on disk may be forgotten by the warden. */
	if (fleet_core(r)->state == FLEET_BACKOFF) fleet_forget(r);
	return HG_OK;
}

static enum hg_rc note(struct fleet_replica *r, struct hg_err *err)
{
	(void)r;
	(void)err;
	return HG_E_AGAIN; /* there is one */
}

static enum hg_rc write_all(struct fleet *f, struct hg_err *err)
{
	enum hg_rc rc = store_begin(f->o.store, err);
	if (rc < 0) return rc;
	for (uint32_t i = 0; rc == HG_OK && i < f->gone_count; i++)
		rc = store_replica_remove(f->o.store, f->gone[i], err);
	if (rc == HG_OK) rc = each_dirty(f, write_row, err);
	if (rc == HG_OK) rc = fleet_lanes_write(f, err);
	HG_LIST_EACH (node, &f->pending) {
		struct fleet_pending *p = HG_CONTAINER(node, struct fleet_pending, node);
		if (rc == HG_OK) rc = store_event_add(f->o.store, &p->e, &p->e.id, err);
	}
	if (rc == HG_OK) rc = store_commit(f->o.store, err);
	if (rc < 0) store_rollback(f->o.store);
	return rc;
}

static void flush_store(struct fleet *f)
{
	struct hg_err err = {0};
	bool work = f->gone_count || f->pending_count || f->lanes.unsaved ||
	            each_dirty(f, note, &err) < 0;
	if (!work || (f->store_failing && !f->retry)) return;
	f->retry = false;
	enum hg_rc rc = write_all(f, &err);
	fleet_store_result(f, rc, &err);
	if (rc < 0) return;
	f->gone_count = 0;
	fleet_lanes_written(f);
	(void)each_dirty(f, row_written, &err);
	/* A watcher may cause events of its own: those wait for the next turn. */
	struct hg_list done;
	hg_list_init(&done);
	while (!hg_list_empty(&f->pending)) {
		struct hg_list *node = f->pending.next;
		hg_list_remove(node);
		hg_list_append(&done, node);
	}
	f->pending_count = 0;
	while (!hg_list_empty(&done)) {
		struct fleet_pending *p = HG_CONTAINER(done.next, struct fleet_pending, node);
		hg_list_remove(&p->node);
		fleet_journal_tell(f, &p->e);
		free(p);
	}
}

void fleet_flush(struct fleet *f)
{
	flush_store(f);
	f->hold = false;
	if (!f->warden_lost) fleet_link_flush(f);
}

struct newest {
	uint32_t number;
};

static void on_newest(void *arg, const struct store_release *r)
{
	struct newest *n = arg;
	n->number = HG_MAX(n->number, r->number);
}

void fleet_app_save(struct fleet *f, struct fleet_app *a)
{
	struct store *s = f->o.store;
	struct hg_err err = {0};
	struct newest newest = {0};
	struct store_app row = fleet_app_row(a);
	uint32_t number;
	enum hg_rc rc = store_begin(s, &err);
	if (rc == HG_OK) rc = store_releases(s, a->id, 0, on_newest, &newest, &err);
	if (rc == HG_OK && a->conf && newest.number < a->file_release) {
		struct store_release rel = {
		        .app = a->id,
		        .digest = hg_str(a->conf->digest),
		        .spec = hg_str(a->conf->release_json),
		        .created_ms = clock_wall_ms(),
		        .kept = a->conf->kept,
		};
		rc = store_release_add(s, &rel, &number, &err);
	}
	if (rc == HG_OK) rc = store_app_set(s, &row, &err);
	if (rc == HG_OK) rc = store_commit(s, &err);
	if (rc < 0) store_rollback(s);
	a->dirty = rc < 0;
	fleet_store_result(f, rc, &err);
}

/* ---- the past ---- */

static struct fleet_known *known_get(struct fleet *f, uint64_t id)
{
	for (uint32_t i = 0; i < f->known_count; i++)
		if (f->known[i].id == id) return &f->known[i];
	if (f->known_count == f->known_cap) {
		if (f->known_cap >= KNOWN_MAX) return NULL;
		uint32_t cap = f->known_cap ? f->known_cap * 2 : 64;
		struct fleet_known *more = realloc(f->known, cap * sizeof *more);
		if (!more) return NULL;
		f->known = more;
		f->known_cap = cap;
	}
	struct fleet_known *k = &f->known[f->known_count++];
	*k = (struct fleet_known){.id = id};
	return k;
}

void fleet_known_note(struct fleet *f, const struct wd_msg *m)
{
	struct fleet_known *k = known_get(f, m->id);
	if (!k) return;
	f->next_id = HG_MAX(f->next_id, m->id + 1);
	k->listed = true;
	k->oneshot = m->kind == WD_KIND_ONESHOT;
	if (m->type == WD_EXITED || m->error || m->pid <= 0) {
		k->exited = true;
		k->status = m->status;
	} else {
		k->who = m->who;
		k->pid = m->pid;
		k->applied = m->applied;
		k->at_ms = m->at_ms;
		(void)hg_str_copy(hg_str(m->address), k->address, sizeof k->address);
	}
	fleet_kick(f);
}

static void on_row(void *arg, const struct store_replica *row)
{
	struct fleet *f = arg;
	struct fleet_known *k = known_get(f, row->id);
	if (!k) return;
	k->row = true;
	k->r = *row;
	k->r.address = (struct hg_str){0};
	(void)hg_str_copy(row->address, k->address, sizeof k->address);
}

static void on_app(void *arg, const struct store_app *row)
{
	struct fleet *f = arg;
	struct fleet_app **more = realloc(f->apps, (f->app_count + 1) * sizeof(struct fleet_app *));
	struct fleet_app *a = more ? calloc(1, sizeof *a) : NULL;
	if (more) f->apps = more;
	if (!a) return;
	fleet_app_take(a, row);
	f->apps[f->app_count++] = a; /* the rows come in the order of their names */
}

enum hg_rc fleet_resume(struct fleet *f, struct hg_err *err)
{
	f->known_cap = 64;
	f->known = calloc(f->known_cap, sizeof *f->known);
	if (!f->known) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	enum hg_rc rc = store_apps(f->o.store, on_app, f, err);
	if (rc == HG_OK) rc = store_replicas(f->o.store, on_row, f, err);
	if (rc == HG_OK) rc = store_replica_next_id(f->o.store, &f->next_id, err);
	if (rc == HG_OK) rc = store_kv_u64(f->o.store, "snapshot.generation", &f->generation, err);
	if (f->next_id < WD_FIRST_ID) f->next_id = WD_FIRST_ID;
	/* Ids that had no row (probe commands) are not met again. */
	f->next_id += 1000;
	return rc;
}

/* The place in the endpoint table that this process had. */
static int endpoint_of(
        struct fleet *f, const struct fleet_app *a, uint64_t id, struct snap_endpoint *ret_ep)
{
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++) {
		if (!snap_table_get(f->table, i, ret_ep) || ret_ep->state == SNAP_EP_FREE) continue;
		if (ret_ep->app == a->id && ret_ep->incarnation == (uint32_t)id) return (int)i;
	}
	*ret_ep = (struct snap_endpoint){0};
	return -1;
}

static bool number_taken(const struct fleet_app *a, uint32_t number)
{
	for (uint32_t i = 0; i < a->core.high; i++)
		if (a->core.slot[i].used && a->core.slot[i].number == number) return true;
	return false;
}

/* Of a process that has no row. */
static uint32_t revision_of(const struct fleet_app *a, uint32_t release)
{
	if (a->core.trial.release && release == a->core.trial.release)
		return a->core.trial.revision;
	return release == a->core.release ? a->core.revision : 0;
}

static bool settle_alive(struct fleet *f, struct fleet_app *a, const struct fleet_known *k)
{
	struct snap_endpoint ep;
	uint64_t now = loop_now_ms(f->o.loop);
	int place = endpoint_of(f, a, k->id, &ep);
	bool up = place >= 0 && ep.state == SNAP_EP_UP;
	bool was_up = place >= 0 && ep.state == SNAP_EP_UNREADY;
	struct fl_adopted ad = {
	        .number = k->row ? k->r.number : k->who.replica,
	        .release = k->row ? k->r.release : k->who.release,
	        .revision = k->row ? k->r.revision : revision_of(a, k->who.release),
	        .restarts = k->r.restarts,
	        .streak = k->r.streak,
	        .alive = true,
	        .started = k->r.started || up || was_up,
	        /* The table is written before the row: where both speak, it knows better. */
	        .ready = place >= 0 ? up : k->r.ready,
	        .retire = k->r.retire,
	        .spare = place >= 0 ? ep.weight == 0 : k->r.spare,
	        .start_ms = HG_MIN(k->at_ms, now),
	        .endpoint = place >= 0 ? ep.state : SNAP_EP_FREE,
	};
	if (number_taken(a, ad.number)) return false;
	uint32_t slot = fl_adopt(&a->core, &ad, now, now - f->born_ms, &f->rand);
	if (slot == FL_SLOTS) return false;
	struct fleet_replica *r = fleet_replica_new(f, a, slot);
	if (!r) {
		a->core.slot[slot].used = false;
		return false;
	}
	r->id = k->id;
	r->row = k->row;
	r->dirty = !k->row;
	r->pid = k->pid;
	r->applied = k->applied;
	(void)fleet_release_find(f, a, ad.release); /* its limits are asked for all the time */
	r->started_ms = clock_wall_ms() - (now - ad.start_ms);
	(void)hg_str_copy(hg_str(k->address), r->address, sizeof r->address);
	if (!sock_addr_parse(hg_str(r->address), &r->addr)) r->addr = (struct sock_addr){0};
	r->ep = place;
	if (place >= 0) f->ep_owner[place] = r;
	if (k->exited) {
		r->pid = 0;
		r->has_exited = true;
		r->exit_status = k->status;
		r->exit_ms = clock_wall_ms();
		fl_ended(&a->core, slot, now);
	}
	return true;
}

/* A row whose process is over, or never was: the place waits for its next start. */
static void settle_over(struct fleet *f, struct fleet_app *a, const struct fleet_known *k)
{
	uint64_t now = loop_now_ms(f->o.loop), wall = clock_wall_ms();
	struct fl_adopted ad = {
	        .number = k->r.number,
	        .release = k->r.release,
	        .revision = k->r.revision,
	        .restarts = k->r.restarts,
	        .streak = k->r.streak,
	        .spare = k->r.spare,
	        .start_ms = now,
	        .ended_ago_ms = wall > k->r.exit_ms ? wall - k->r.exit_ms : 0,
	};
	struct fleet_replica *r = NULL;
	if (a && a->present && !k->r.retire && !number_taken(a, ad.number)) {
		uint32_t slot = fl_adopt(&a->core, &ad, now, now - f->born_ms, &f->rand);
		if (slot < FL_SLOTS) r = fleet_replica_new(f, a, slot);
		if (slot < FL_SLOTS && !r) a->core.slot[slot].used = false;
	}
	if (!r) {
		struct hg_err err = {0};
		fleet_store_result(f, store_replica_remove(f->o.store, k->id, &err), &err);
		return;
	}
	r->id = k->id;
	r->row = true;
	(void)fleet_release_find(f, a, ad.release);
	r->exit_status = k->r.exit_status;
	r->exit_ms = k->r.exit_ms;
	r->has_exited = k->r.exit_ms > 0;
}

static void settle_one(struct fleet *f, const struct fleet_known *k)
{
	struct fleet_app *a =
	        k->row ? fleet_app_by_id(f, k->r.app) : fleet_app_find(f, hg_str(k->who.app));
	if (k->row && !k->listed) {
		settle_over(f, a, k);
		return;
	}
	if (k->row && k->exited && k->r.state == FLEET_BACKOFF) {
		/* Its end was recorded; only the warden had not heard yet. */
		settle_over(f, a, k);
		fleet_send_simple(f, WD_FORGET, k->id, 0);
		return;
	}
	if (!k->row && (k->exited || k->oneshot)) {
		fleet_send_simple(f, k->exited ? WD_FORGET : WD_SIGNAL, k->id, SIGKILL);
		return;
	}
	if (a && settle_alive(f, a, k)) return;
	/* Nobody's: a process of an app that is unknown, or a second one for one place. */
	fleet_send_simple(f, k->exited ? WD_FORGET : WD_SIGNAL, k->id, SIGKILL);
}

static int settle_order(const struct fleet_known *k)
{
	if (!k->row) return 1;
	return k->listed && !k->exited ? 0 : 2;
}

void fleet_known_settle(struct fleet *f)
{
	struct fleet_known *known = f->known;
	uint32_t count = f->known_count;
	struct snap_endpoint ep;
	/* Who lives keeps his place: recorded ones first, then those that a full disk kept out of
	 * the store, and what is only remembered last. */
	for (int pass = 0; pass < 3; pass++)
		for (uint32_t i = 0; i < count; i++)
			if (settle_order(&known[i]) == pass) settle_one(f, &known[i]);
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++) {
		if (f->ep_owner[i]) continue;
		if (snap_table_get(f->table, i, &ep) && ep.state == SNAP_EP_FREE) continue;
		snap_table_set(f->table, i, &(struct snap_endpoint){.state = SNAP_EP_FREE});
	}
	fleet_known_free(f);
}

void fleet_known_free(struct fleet *f)
{
	free(f->known);
	f->known = NULL;
	f->known_count = f->known_cap = 0;
}
