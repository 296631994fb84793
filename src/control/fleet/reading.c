/*
 * Artifacts are read, copied and removed beside the loop: a gigabyte takes seconds, in which
 * probes, rollouts and the API must go on. Whoever needs an artifact that was not read for him yet
 * is refused with HG_E_FLEET_READING and asks again when it was (fleet.h: fleet_reading_…).
 */
#include "control/fleet/fleet_priv.h"

#include "os/work.h"

#include <stdio.h>
#include <stdlib.h>

#define READING_MAGIC 0xf1ee7004u
#define ITEMS_MAX     4096u /* more than a file has apps */

/* One artifact. The loop fills in what is asked, the thread what came of it; never at once. */
struct item {
	char app[WD_NAME_MAX];
	char path[PATH_MAX];
	bool read;
	enum hg_rc rc;
	struct hg_err err;
	char digest[FLEET_DIGEST_MAX], folder[PATH_MAX];
};

struct fleet_reading {
	uint32_t magic;
	struct hg_list node; /* of fleet.readings */
	struct fleet *f;
	struct work *work;   /* NULL: it does not run */
	struct item **items; /* the thread reads them; the loop adds only while it does not run */
	uint32_t count;
	struct fleet_reader reader;
	char *data_dir; /* the thread's own */
	bool abandoned;
	void (*done)(void *arg);
	void *arg;
};

static void reading_free(struct fleet_reading *r)
{
	hg_list_remove(&r->node);
	r->f->reading_count--;
	for (uint32_t i = 0; i < r->count; i++)
		free(r->items[i]);
	free(r->items);
	free(r->data_dir);
	r->magic = 0;
	free(r);
}

static struct fleet_reading *reading_new(struct fleet *f)
{
	struct fleet_reading *r = calloc(1, sizeof *r);
	if (!r) return NULL;
	r->magic = READING_MAGIC;
	r->f = f;
	r->reader.serial = ++f->reading_serial;
	r->data_dir = strdup(f->o.child->data_dir);
	hg_list_append(&f->readings, &r->node);
	f->reading_count++;
	if (r->data_dir) return r;
	reading_free(r);
	return NULL;
}

/* ---- for who needs an artifact ---- */

static enum hg_rc item_add(struct fleet_reading *r, const char *app, const char *path)
{
	if (r->count == ITEMS_MAX) return HG_E_TOO_LARGE;
	struct item **more = realloc(r->items, (r->count + 1) * sizeof(struct item *));
	if (!more) return HG_E_NOMEM;
	r->items = more;
	struct item *it = calloc(1, sizeof *it);
	if (!it) return HG_E_NOMEM;
	if (!hg_str_copy(hg_str(app), it->app, sizeof it->app) ||
	        !hg_str_copy(hg_str(path), it->path, sizeof it->path)) {
		free(it);
		return HG_E_TOO_LARGE;
	}
	r->items[r->count++] = it;
	return HG_OK;
}

enum hg_rc fleet_artifact_take(struct fleet *f, const char *app, const char *path,
        char ret_digest[FLEET_DIGEST_MAX], char ret_folder[PATH_MAX], struct hg_err *err)
{
	struct fleet_reading **slot = f->reading;
	ret_digest[0] = 0;
	/* At the first start nobody waits for anything else. */
	if (!slot)
		return fleet_artifact_keep(
		        f->o.child->data_dir, app, path, NULL, ret_digest, ret_folder, err);
	for (uint32_t i = 0; *slot && i < (*slot)->count; i++) {
		const struct item *it = (*slot)->items[i];
		if (!it->read || strcmp(it->app, app) != 0 || strcmp(it->path, path) != 0) continue;
		memcpy(ret_digest, it->digest, FLEET_DIGEST_MAX);
		memcpy(ret_folder, it->folder, PATH_MAX);
		if (it->rc < 0 && err) *err = it->err;
		return it->rc;
	}
	if (!*slot && f->reading_count >= FLEET_READINGS_MAX)
		return hg_err_set(
		        err, HG_E_AGAIN, "%u artifacts are being read already", f->reading_count);
	if (!*slot) *slot = reading_new(f);
	enum hg_rc rc = *slot ? item_add(*slot, app, path) : HG_E_NOMEM;
	if (rc < 0) return hg_err_set(err, rc, "memory is exhausted");
	return hg_err_set(err, HG_E_FLEET_READING, "the artifact of app \"%s\" is being read", app);
}

/* ---- for who asks ---- */

void fleet_reading_enter(struct fleet *f, struct fleet_reading **slot)
{
	HG_ASSERT(!f->reading);
	f->reading = slot;
}

void fleet_reading_leave(struct fleet *f)
{
	f->reading = NULL;
}

/* On the thread. */
static void read_all(void *arg, const atomic_bool *stop)
{
	struct fleet_reading *r = arg;
	r->reader.stop = stop;
	for (uint32_t i = 0; i < r->count && !atomic_load(stop); i++) {
		struct item *it = r->items[i];
		if (it->read) continue;
		it->rc = fleet_artifact_keep(r->data_dir, it->app, it->path, &r->reader, it->digest,
		        it->folder, &it->err);
		it->read = true;
	}
}

static void on_read(void *arg)
{
	struct fleet_reading *r = arg;
	r->work = NULL;
	r->reader.stop = NULL;
	if (r->abandoned)
		reading_free(r);
	else
		r->done(r->arg);
}

enum hg_rc fleet_reading_start(
        struct fleet_reading *r, void (*done)(void *arg), void *arg, struct hg_err *err)
{
	HG_ASSERT(r->magic == READING_MAGIC && !r->work);
	r->done = done;
	r->arg = arg;
	enum hg_rc rc = work_start(r->f->o.loop, read_all, on_read, r, &r->work);
	return rc < 0 ? hg_err_set(err, rc, "no thread could be started") : HG_OK;
}

bool fleet_reading_at(const struct fleet *f, uint32_t i, const char **ret_app, uint64_t *ret_bytes)
{
	HG_LIST_EACH (node, &f->readings) {
		const struct fleet_reading *r = HG_CONTAINER(node, struct fleet_reading, node);
		if (!r->work || r->abandoned || i-- > 0) continue;
		*ret_app = r->items[r->count - 1]->app; /* the others were read before */
		*ret_bytes = atomic_load_explicit(&r->reader.bytes, memory_order_relaxed);
		return true;
	}
	return false;
}

void fleet_reading_free(struct fleet_reading *r)
{
	if (!r) return;
	HG_ASSERT(r->magic == READING_MAGIC);
	if (!r->work) {
		reading_free(r);
		return;
	}
	/* It may be in an fsync for seconds: it is left behind and frees itself. */
	r->abandoned = true;
	work_hurry(r->work);
}

bool fleet_reading_any(const struct fleet *f, const char *app)
{
	HG_LIST_EACH (node, &f->readings) {
		const struct fleet_reading *r = HG_CONTAINER(node, struct fleet_reading, node);
		/* What it has read, who asks just now has made a release of. */
		if (f->reading && *f->reading == r) continue;
		for (uint32_t i = 0; i < r->count; i++)
			if (strcmp(r->items[i]->app, app) == 0) return true;
	}
	return false;
}

/* ---- what nobody needs any more ---- */

struct fleet_removal {
	struct hg_list node; /* of fleet.removals */
	struct work *work;
	char (*path)[PATH_MAX];
	uint32_t count;
};

static void remove_all(void *arg, const atomic_bool *stop)
{
	const struct fleet_removal *m = arg;
	/* What is left is found by the next sweep. */
	for (uint32_t i = 0; i < m->count && !atomic_load(stop); i++)
		fleet_artifact_remove(m->path[i]);
}

static void on_removed(void *arg)
{
	struct fleet_removal *m = arg;
	hg_list_remove(&m->node);
	free(m->path);
	free(m);
}

void fleet_artifacts_remove(struct fleet *f, char (*path)[PATH_MAX], uint32_t count)
{
	struct fleet_removal *m = count ? calloc(1, sizeof *m) : NULL;
	if (!m) {
		free(path);
		return;
	}
	*m = (struct fleet_removal){.path = path, .count = count};
	hg_list_append(&f->removals, &m->node);
	if (work_start(f->o.loop, remove_all, on_removed, m, &m->work) < 0) on_removed(m);
}

void fleet_readings_end(struct fleet *f)
{
	HG_LIST_EACH_SAFE (node, after, &f->readings) {
		struct fleet_reading *r = HG_CONTAINER(node, struct fleet_reading, node);
		work_stop(r->work);
		reading_free(r);
	}
	HG_LIST_EACH_SAFE (node, after, &f->removals) {
		struct fleet_removal *m = HG_CONTAINER(node, struct fleet_removal, node);
		work_stop(m->work);
		on_removed(m);
	}
}
