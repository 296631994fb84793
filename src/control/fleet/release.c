/* What a release is made of, as JSON for the store and back. */
#include "control/fleet/fleet_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARTIFACT_FILES_MAX 10000u
#define ARTIFACT_BYTES_MAX (1ull << 30)
#define ARTIFACT_DEPTH_MAX 16

/* FNV-1a over 128 bits in two halves with different starts: tells versions of one's own files
 * apart; it is no protection against somebody who wants two files to look the same. */
struct print {
	uint64_t a, b;
	uint64_t bytes;
	uint32_t files;
};

static void print_add(struct print *p, const void *bytes, size_t n)
{
	const unsigned char *s = bytes;
	uint64_t a = p->a, b = p->b;
	for (size_t i = 0; i < n; i++) {
		a = (a ^ s[i]) * 0x100000001b3ull;
		b = (b + s[i]) * 0x9e3779b97f4a7c15ull;
		b ^= b >> 29;
	}
	p->a = a;
	p->b = b;
}

static enum hg_rc refuse(const char *path, const char *why, struct hg_err *err)
{
	return hg_err_set(
	        err, HG_E_FLEET_ARTIFACT, "could not read artifact \"%s\": %s", path, why);
}

static enum hg_rc print_file(
        int at, const char *name, struct print *p, const char *path, struct hg_err *err)
{
	char block[65536];
	int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) return refuse(path, strerror(errno), err);
	enum hg_rc rc = HG_OK;
	for (;;) {
		ssize_t n = read(fd, block, sizeof block);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) rc = refuse(path, strerror(errno), err);
		if (n <= 0) break;
		p->bytes += (uint64_t)n;
		if (p->bytes > ARTIFACT_BYTES_MAX) {
			rc = refuse(path, "it is larger than 1 GiB", err);
			break;
		}
		print_add(p, block, (size_t)n);
	}
	(void)close(fd);
	return rc;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static enum hg_rc print_tree(
        const char *path, struct print *p, int depth, const char *top, struct hg_err *err);

static enum hg_rc print_entry(const char *path, const char *name, struct print *p, int depth,
        const char *top, struct hg_err *err)
{
	char full[PATH_MAX];
	struct stat st;
	if (++p->files > ARTIFACT_FILES_MAX) return refuse(top, "it has too many files", err);
	if (snprintf(full, sizeof full, "%s/%s", path, name) >= (int)sizeof full)
		return refuse(top, "a path in it is too long", err);
	if (lstat(full, &st) < 0) return refuse(full, strerror(errno), err);
	print_add(p, name, strlen(name) + 1);
	print_add(p, &st.st_mode, sizeof st.st_mode);
	if (S_ISREG(st.st_mode)) return print_file(AT_FDCWD, full, p, full, err);
	if (S_ISDIR(st.st_mode)) return print_tree(full, p, depth + 1, top, err);
	if (S_ISLNK(st.st_mode)) {
		char link[PATH_MAX];
		ssize_t n = readlink(full, link, sizeof link);
		if (n > 0) print_add(p, link, (size_t)n);
	}
	return HG_OK;
}

static enum hg_rc print_tree(
        const char *path, struct print *p, int depth, const char *top, struct hg_err *err)
{
	struct dirent **names = NULL;
	if (depth > ARTIFACT_DEPTH_MAX) return refuse(top, "its folders are too deep", err);
	int n = scandir(path, &names, NULL, by_name);
	if (n < 0) return refuse(path, strerror(errno), err);
	enum hg_rc rc = HG_OK;
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		bool dot = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
		if (rc == HG_OK && !dot) rc = print_entry(path, name, p, depth, top, err);
		free(names[i]);
	}
	free(names);
	return rc;
}

/* Digest of file or folder, and the folder that comes first in PATH. */
static enum hg_rc artifact_read(
        const char *path, char ret_digest[40], char ret_folder[PATH_MAX], struct hg_err *err)
{
	struct print p = {.a = 0xcbf29ce484222325ull, .b = 0x243f6a8885a308d3ull};
	struct stat st;
	if (stat(path, &st) < 0) return refuse(path, strerror(errno), err);
	enum hg_rc rc;
	(void)snprintf(ret_folder, PATH_MAX, "%s", path);
	if (S_ISDIR(st.st_mode)) {
		rc = print_tree(path, &p, 0, path, err);
	} else if (S_ISREG(st.st_mode)) {
		char *slash = strrchr(ret_folder, '/');
		if (slash && slash > ret_folder) *slash = 0;
		rc = print_file(AT_FDCWD, path, &p, path, err);
	} else {
		rc = refuse(path, "it is neither a file nor a folder", err);
	}
	(void)snprintf(
	        ret_digest, 40, "%016llx%016llx", (unsigned long long)p.a, (unsigned long long)p.b);
	return rc;
}

static bool path_join(const char *base, struct hg_str rel, char to[PATH_MAX])
{
	if (rel.n == 0 || hg_str_eq(rel, HG_STR(".")))
		return snprintf(to, PATH_MAX, "%s", base) < PATH_MAX;
	if (rel.p[0] == '/') return hg_str_copy(rel, to, PATH_MAX);
	return snprintf(to, PATH_MAX, "%s/%.*s", base, HG_STR_ARG(rel)) < PATH_MAX;
}

static json_t *text(struct hg_str s)
{
	return json_stringn(s.n ? s.p : "", s.n);
}

static json_t *release_object(
        const struct spec_app *s, const char *dir, const char *folder, const char *digest)
{
	json_t *o = json_object(), *env = json_object(), *writable = json_array();
	char path[PATH_MAX];
	bool ok = o && env && writable;
	for (uint32_t i = 0; ok && i < s->env_count; i++)
		ok = json_object_setn_new(
		             env, s->env[i].name.p, s->env[i].name.n, text(s->env[i].value)) == 0;
	for (uint32_t i = 0; ok && i < s->sandbox.writable_count; i++) {
		ok = path_join(dir, s->sandbox.writable[i], path) &&
		     json_array_append_new(writable, json_string(path)) == 0;
	}
	unsigned flags = (s->sandbox.read_only_root ? WD_F_READ_ONLY_ROOT : 0) |
	                 (s->sandbox.private_tmp ? WD_F_PRIVATE_TMP : 0);
	ok = ok && json_object_set_new(o, "command", text(s->command)) == 0 &&
	     json_object_set_new(o, "dir", json_string(dir)) == 0 &&
	     json_object_set_new(o, "path", json_string(folder)) == 0 &&
	     json_object_set_new(o, "artifact", json_string(digest)) == 0 &&
	     json_object_set_new(o, "uid", json_integer(s->sandbox.user)) == 0 &&
	     json_object_set_new(o, "flags", json_integer(flags)) == 0 &&
	     json_object_set(o, "env", env) == 0 && json_object_set(o, "writable", writable) == 0;
	json_decref(env);
	json_decref(writable);
	if (ok) return o;
	json_decref(o);
	return NULL;
}

enum hg_rc fleet_release_json(const struct spec_app *s, const char *base_dir, const char *dir,
        struct hg_arena *mem, const char **ret_json, const char **ret_digest, struct hg_err *err)
{
	char folder[PATH_MAX] = "", digest[40] = "", artifact[PATH_MAX];
	if (s->artifact.n) {
		if (!path_join(base_dir, s->artifact, artifact))
			return refuse("…", "its path is too long", err);
		enum hg_rc rc = artifact_read(artifact, digest, folder, err);
		if (rc < 0) return rc;
	}
	json_t *o = release_object(s, dir, folder, digest);
	char *dump = o ? json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
	json_decref(o);
	if (!dump)
		return hg_err_set(err, HG_E_FLEET_COMMAND,
		        "app \"%.*s\" has text that is not UTF-8, or too much of it",
		        HG_STR_ARG(s->name));
	*ret_json = hg_arena_str(mem, hg_str(dump)).p;
	*ret_digest = hg_arena_str(mem, hg_str(digest)).p;
	free(dump);
	if (!*ret_json || !*ret_digest) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	return HG_OK;
}

static const char *keep(struct fleet_release *r, const json_t *v)
{
	if (!json_is_string(v)) return NULL;
	return hg_arena_str(&r->mem, (struct hg_str){json_string_value(v), json_string_length(v)})
	        .p;
}

static bool read_object(struct fleet_release *r, json_t *o)
{
	json_t *env = json_object_get(o, "env"), *list = json_object_get(o, "writable"), *v;
	const char *name;
	size_t i;
	r->command = keep(r, json_object_get(o, "command"));
	r->dir = keep(r, json_object_get(o, "dir"));
	r->path = keep(r, json_object_get(o, "path"));
	r->uid = (uint32_t)json_integer_value(json_object_get(o, "uid"));
	r->flags = (uint32_t)json_integer_value(json_object_get(o, "flags"));
	r->env = hg_arena_array(&r->mem, json_object_size(env) + 1, sizeof *r->env);
	r->writable = hg_arena_array(&r->mem, json_array_size(list) + 1, sizeof *r->writable);
	if (!r->command || !r->dir || !r->path || !r->env || !r->writable) return false;
	json_object_foreach(env, name, v)
	{
		struct spec_pair *p = &r->env[r->env_count++];
		p->name = hg_arena_str(&r->mem, hg_str(name));
		p->value = hg_str(keep(r, v));
		if (!p->name.p || !p->value.p) return false;
	}
	json_array_foreach(list, i, v)
	{
		if (!(r->writable[r->writable_count++] = keep(r, v))) return false;
	}
	return true;
}

enum hg_rc fleet_release_read(
        struct hg_str json, uint32_t number, struct fleet_release **ret_release, struct hg_err *err)
{
	struct fleet_release *r = calloc(1, sizeof *r);
	if (!r) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	hg_arena_init(&r->mem, "release", FLEET_CONF_MAX);
	r->number = number;
	json_t *o = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
	bool ok = o && read_object(r, o);
	json_decref(o);
	if (!ok) {
		fleet_release_free(r);
		return hg_err_set(
		        err, HG_E_DB_CORRUPT, "release %u of the store cannot be read", number);
	}
	*ret_release = r;
	return HG_OK;
}

void fleet_release_free(struct fleet_release *r)
{
	if (!r) return;
	hg_arena_fini(&r->mem);
	free(r);
}

struct wanted {
	uint32_t number;
	struct fleet_release *found;
};

static void on_release(void *arg, const struct store_release *row)
{
	struct wanted *w = arg;
	if (fleet_release_read(row->spec, row->number, &w->found, NULL) < 0) w->found = NULL;
}

const struct fleet_release *fleet_release_find(
        struct fleet *f, struct fleet_app *a, uint32_t number)
{
	for (struct fleet_release *r = a->releases; r; r = r->next)
		if (r->number == number) return r;
	struct wanted w = {.number = number};
	if (store_releases(f->o.store, a->id, number, on_release, &w, NULL) < 0 || !w.found)
		return NULL;
	w.found->next = a->releases;
	a->releases = w.found;
	return w.found;
}
