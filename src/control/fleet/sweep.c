/* Artifacts that nobody needs any more: which ones, and when they go. */
#include "control/fleet/fleet_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SWEEP_FIRST_MS 60000u
#define SWEEP_EVERY_MS 3600000u
#define MARK           ".removed" /* in the folder of an app: since when it is not in the file */

/* ---- of an app of the file ---- */

#define SWEEP_MAX (FLEET_RELEASES_KEPT + 16)

struct sweep {
	struct fleet *f;
	const struct fleet_app *a;
	uint32_t seen, count, changed;
	char digest[SWEEP_MAX][FLEET_DIGEST_MAX];
	struct {
		uint32_t number;
		bool kept;
		char version[FLEET_VERSION_MAX];
	} change[16]; /* rows that say something else than the folder */
};

static bool in_use(const struct fleet_app *a, uint32_t number)
{
	if (number == a->core.release || number == a->core.trial.release ||
	        number == a->file_release)
		return true;
	for (uint32_t i = 0; i < a->core.high; i++)
		if (a->core.slot[i].used && a->core.slot[i].release == number) return true;
	return false;
}

static bool wants(void *arg, const char *digest)
{
	const struct sweep *s = arg;
	for (uint32_t i = 0; i < s->count; i++)
		if (strcmp(s->digest[i], digest) == 0) return true;
	return false;
}

static void on_sweep(void *arg, const struct store_release *r)
{
	struct sweep *s = arg;
	bool last = s->seen++ < FLEET_RELEASES_KEPT;
	if (!r->digest.n || !(last || in_use(s->a, r->number)) || s->count == SWEEP_MAX) return;
	if (hg_str_copy(r->digest, s->digest[s->count], FLEET_DIGEST_MAX)) s->count++;
}

static void on_check(void *arg, const struct store_release *r)
{
	struct sweep *s = arg;
	char path[PATH_MAX];
	struct stat st;
	if (!r->digest.n || s->changed == HG_COUNT(s->change)) return;
	int n = snprintf(path, sizeof path, "%s/releases/%s/%.*s", s->f->o.child->data_dir,
	        s->a->name, HG_STR_ARG(r->digest));
	bool kept = n < PATH_MAX && lstat(path, &st) == 0;
	if (kept == r->kept) return;
	s->change[s->changed].number = r->number;
	s->change[s->changed].kept = kept;
	(void)hg_str_copy(r->version, s->change[s->changed++].version, FLEET_VERSION_MAX);
}

void fleet_releases_sweep(struct fleet *f, struct fleet_app *a)
{
	struct sweep *s = calloc(1, sizeof *s);
	struct hg_err err = {0};
	/* Before the past is known some releases may run that nobody knows of. */
	if (!s || f->known || !a->conf || fleet_reading_any(f, a->name)) goto out;
	s->f = f;
	s->a = a;
	if (a->conf->digest[0])
		(void)snprintf(s->digest[s->count++], FLEET_DIGEST_MAX, "%s", a->conf->digest);
	if (store_releases(f->o.store, a->id, 0, on_sweep, s, &err) < 0) goto out;
	/* Without any release that has an artifact there is no folder either. */
	fleet_artifacts_sweep(f, a->name, wants, s);
	if (store_releases(f->o.store, a->id, 0, on_check, s, &err) < 0) goto out;
	for (uint32_t i = 0; i < s->changed; i++) {
		struct store_release row = {.app = a->id,
		        .number = s->change[i].number,
		        .version = hg_str(s->change[i].version),
		        .kept = s->change[i].kept};
		/* Only a remark; it is written again at the next sweep. */
		(void)!store_release_note(f->o.store, &row, &err);
	}
out:
	free(s);
}

/* ---- of apps that are not in the file any more ---- */

static bool lives(const struct fleet_app *a)
{
	for (uint32_t i = 0; a && i < a->core.high; i++)
		if (a->core.slot[i].used) return true;
	return false;
}

/* True when its time has come. The first look only leaves the mark; one who has left an app out by
 * mistake finds its releases when he puts it back. */
static bool removed_long_ago(const char *folder)
{
	char mark[PATH_MAX];
	struct stat st;
	if (snprintf(mark, sizeof mark, "%s/" MARK, folder) >= PATH_MAX) return false;
	int fd = open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0) {
		(void)close(fd);
		return false;
	}
	if (lstat(mark, &st) < 0) return false;
	uint64_t now_s = clock_wall_ms() / 1000, since_s = (uint64_t)HG_MAX(st.st_mtime, 0);
	return now_s > since_s && now_s - since_s >= FLEET_REMOVED_KEEP_S;
}

void fleet_removed_sweep(struct fleet *f)
{
	char root[PATH_MAX], folder[PATH_MAX];
	char(*path)[PATH_MAX] = calloc(FLEET_SWEEP_EACH, sizeof *path);
	uint32_t count = 0;
	DIR *d = NULL;
	if (path && !f->known && f->applied &&
	        snprintf(root, sizeof root, "%s/releases", f->o.child->data_dir) < PATH_MAX)
		d = opendir(root);
	for (struct dirent *e; d && count < FLEET_SWEEP_EACH && (e = readdir(d));) {
		const struct fleet_app *a = fleet_app_find(f, hg_str(e->d_name));
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
		if (snprintf(folder, sizeof folder, "%s/%s", root, e->d_name) >= PATH_MAX) continue;
		bool left = e->d_name[0] == '.'; /* of a sweep that did not come to its end */
		if (!left && ((a && (a->present || lives(a))) || fleet_reading_any(f, e->d_name) ||
		                     !removed_long_ago(folder)))
			continue;
		count += fleet_artifact_aside(root, e->d_name, ++f->reading_serial, path[count]);
	}
	if (d) (void)closedir(d);
	fleet_artifacts_remove(f, path, count);
}

static void on_time(struct loop *l, struct loop_timer *t)
{
	struct fleet *f = HG_CONTAINER(t, struct fleet, sweep);
	for (uint32_t i = 0; i < f->app_count; i++)
		if (f->apps[i]->conf) fleet_releases_sweep(f, f->apps[i]);
	fleet_removed_sweep(f);
	/* Without memory for a timer the next apply or deploy sweeps. */
	(void)!loop_timer_start(l, t, SWEEP_EVERY_MS, on_time);
}

void fleet_sweep_start(struct fleet *f)
{
	if (!loop_timer_active(&f->sweep))
		(void)!loop_timer_start(f->o.loop, &f->sweep, SWEEP_FIRST_MS, on_time);
}
