/*
 * Artifacts: the digest of a file or folder, and the copies of them that releases run from:
 * DATA/releases/<app>/<digest>/. A copy is whole or not there: it is made beside its place, synced
 * and renamed. Never a hard link: who rebuilds into the same file would change the old release.
 */
#include "control/fleet/fleet_priv.h"

#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARTIFACT_FILES_MAX 10000u
#define ARTIFACT_BYTES_MAX (1ull << 30)
#define ARTIFACT_DEPTH_MAX 16
#define SYNC_EACH_MAX      64u /* files; for more the whole file system is synced once */

/* FNV-1a over 128 bits in two halves with different starts: tells versions of one's own files
 * apart; it is no protection against somebody who wants two files to look the same. */
struct print {
	uint64_t a, b;
	uint64_t bytes;
	uint32_t files;
	const char *top;             /* for messages */
	bool sync;                   /* copies: each file by itself */
	struct fleet_reader *reader; /* who wants to know, and may have lost interest; or NULL */
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

static struct print print_new(const char *top, struct fleet_reader *reader)
{
	return (struct print){.a = 0xcbf29ce484222325ull,
	        .b = 0x243f6a8885a308d3ull,
	        .top = top,
	        .reader = reader};
}

/* Once a block: true when nobody waits for it any more. */
static bool gone_on(const struct print *p, uint64_t bytes)
{
	if (!p->reader) return false;
	atomic_fetch_add_explicit(&p->reader->bytes, bytes, memory_order_relaxed);
	return p->reader->stop && atomic_load_explicit(p->reader->stop, memory_order_relaxed);
}

static enum hg_rc refuse(const char *path, const char *why, struct hg_err *err)
{
	return hg_err_set(
	        err, HG_E_FLEET_ARTIFACT, "could not read artifact \"%s\": %s", path, why);
}

/* What a copy keeps of a mode: the kind, and whether it can be executed. */
static uint32_t mode_of(const struct stat *st)
{
	return (st->st_mode & S_IFMT) | (S_ISREG(st->st_mode) && (st->st_mode & 0111) ? 0111 : 0);
}

static enum hg_rc print_file(const char *path, struct print *p, struct hg_err *err)
{
	char block[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
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
		if (!gone_on(p, (uint64_t)n)) continue;
		rc = refuse(path, "nobody waits for it any more", err);
		break;
	}
	(void)close(fd);
	return rc;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static enum hg_rc print_tree(const char *path, struct print *p, int depth, struct hg_err *err);

static enum hg_rc print_entry(const char *full, const char *name, const struct stat *st,
        struct print *p, int depth, struct hg_err *err)
{
	uint32_t mode = mode_of(st);
	/* A socket or pipe that lies there is no part of what was built. */
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && !S_ISLNK(st->st_mode)) return HG_OK;
	if (++p->files > ARTIFACT_FILES_MAX) return refuse(p->top, "it has too many files", err);
	print_add(p, name, strlen(name) + 1);
	print_add(p, &mode, sizeof mode);
	if (S_ISREG(st->st_mode)) return print_file(full, p, err);
	if (S_ISDIR(st->st_mode)) return print_tree(full, p, depth + 1, err);
	char link[PATH_MAX];
	ssize_t n = readlink(full, link, sizeof link);
	if (n > 0) print_add(p, link, (size_t)n);
	return HG_OK;
}

static enum hg_rc print_tree(const char *path, struct print *p, int depth, struct hg_err *err)
{
	struct dirent **names = NULL;
	char full[PATH_MAX];
	struct stat st;
	if (depth > ARTIFACT_DEPTH_MAX) return refuse(p->top, "its folders are too deep", err);
	int n = scandir(path, &names, NULL, by_name);
	if (n < 0) return refuse(path, strerror(errno), err);
	enum hg_rc rc = HG_OK;
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		if (rc == HG_OK && !is_dot(name)) {
			if (snprintf(full, sizeof full, "%s/%s", path, name) >= (int)sizeof full)
				rc = refuse(p->top, "a path in it is too long", err);
			else if (lstat(full, &st) < 0)
				rc = refuse(full, strerror(errno), err);
			else
				rc = print_entry(full, name, &st, p, depth, err);
		}
		free(names[i]);
	}
	free(names);
	return rc;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* A file is printed like a folder that holds nothing else: that is what its copy is. */
static enum hg_rc print_top(
        const char *path, const struct stat *st, struct print *p, struct hg_err *err)
{
	if (S_ISDIR(st->st_mode)) return print_tree(path, p, 0, err);
	if (S_ISREG(st->st_mode)) return print_entry(path, base_name(path), st, p, 0, err);
	return refuse(path, "it is neither a file nor a folder", err);
}

static void print_text(const struct print *p, char to[FLEET_DIGEST_MAX])
{
	(void)snprintf(to, FLEET_DIGEST_MAX, "%016llx%016llx", (unsigned long long)p->a,
	        (unsigned long long)p->b);
}

/* ---- copies ---- */

static enum hg_rc no_copy(const char *path, int e, struct hg_err *err)
{
	enum hg_rc rc = hg_err_set(err, HG_E_FLEET_ARTIFACT,
	        "could not keep a copy of the artifact at \"%s\": %s", path, strerror(e));
	hg_err_hint(err, "Releases run from copies under the data folder; see that there is room.");
	return rc;
}

static int copy_bytes(int from, int to, const struct print *p)
{
	static const size_t step = 4u << 20;
	char block[65536];
	/* Shared blocks that part on the first write, where the file system can do it. */
	if (ioctl(to, FICLONE, from) == 0) return 0;
	for (;;) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, step, 0);
		if (n == 0) return 0;
		if (n < 0 && errno != EINTR) break;
		if (gone_on(p, 0)) return ECANCELED;
	}
	for (;;) {
		ssize_t n = read(from, block, sizeof block);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return n < 0 ? errno : 0;
		int rc = file_write_all(to, block, (size_t)n);
		if (rc < 0) return -rc;
		if (gone_on(p, 0)) return ECANCELED;
	}
}

static enum hg_rc copy_file(const char *from, const char *to, const struct stat *st,
        struct print *p, struct hg_err *err)
{
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (in < 0) return refuse(from, strerror(errno), err);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int e = out < 0 ? errno : copy_bytes(in, out, p);
	/* Read by the app's user, whoever built it. */
	if (e == 0 && fchmod(out, 0644 | (mode_of(st) & 0111)) < 0) e = errno;
	if (e == 0 && p->sync && fsync(out) < 0) e = errno;
	if (out >= 0 && close(out) < 0 && e == 0) e = errno;
	(void)close(in);
	return e ? no_copy(to, e, err) : HG_OK;
}

static enum hg_rc copy_link(const char *from, const char *to, struct hg_err *err)
{
	char link[PATH_MAX];
	ssize_t n = readlink(from, link, sizeof link - 1);
	if (n < 0) return refuse(from, strerror(errno), err);
	link[n] = 0;
	return symlink(link, to) < 0 ? no_copy(to, errno, err) : HG_OK;
}

static int sync_folder(const char *path)
{
	int fd = file_open(path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) return -fd;
	int e = fsync(fd) < 0 ? errno : 0;
	(void)close(fd);
	return e;
}

static enum hg_rc copy_tree(
        const char *from, const char *to, struct print *p, int depth, struct hg_err *err)
{
	char source[PATH_MAX], target[PATH_MAX];
	struct stat st;
	/* It was read before: what is over the limits now has changed since. */
	if (depth > ARTIFACT_DEPTH_MAX) return refuse(p->top, "its folders are too deep", err);
	DIR *d = opendir(from);
	if (!d) return refuse(from, strerror(errno), err);
	enum hg_rc rc = HG_OK;
	for (struct dirent *e; rc == HG_OK && (e = readdir(d));) {
		if (is_dot(e->d_name)) continue;
		if (snprintf(source, sizeof source, "%s/%s", from, e->d_name) >= PATH_MAX ||
		        snprintf(target, sizeof target, "%s/%s", to, e->d_name) >= PATH_MAX)
			rc = refuse(p->top, "a path in it is too long", err);
		else if (lstat(source, &st) < 0)
			rc = refuse(source, strerror(errno), err);
		else if (++p->files > ARTIFACT_FILES_MAX)
			rc = refuse(p->top, "it has too many files", err);
		else if (S_ISREG(st.st_mode))
			rc = copy_file(source, target, &st, p, err);
		else if (S_ISLNK(st.st_mode))
			rc = copy_link(source, target, err);
		else if (S_ISDIR(st.st_mode) && mkdir(target, 0755) < 0)
			rc = no_copy(target, errno, err);
		else if (S_ISDIR(st.st_mode) && chmod(target, 0755) < 0)
			rc = no_copy(target, errno, err);
		else if (S_ISDIR(st.st_mode))
			rc = copy_tree(source, target, p, depth + 1, err);
	}
	(void)closedir(d);
	int e = rc == HG_OK && p->sync ? sync_folder(to) : 0;
	return e ? no_copy(to, e, err) : rc;
}

static void remove_tree(const char *path)
{
	int fd = file_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0) {
		(void)unlink(path);
		return;
	}
	/* What cannot be removed is tried again at the next sweep. */
	(void)!file_remove_below(fd);
	(void)close(fd);
	(void)rmdir(path);
}

static enum hg_rc folder_make(const char *path, struct hg_err *err)
{
	if (mkdir(path, 0711) < 0) return errno == EEXIST ? HG_OK : no_copy(path, errno, err);
	/* Passable for the apps' users, listable for nobody else; whatever our mask closes. */
	return chmod(path, 0711) < 0 ? no_copy(path, errno, err) : HG_OK;
}

static bool is_whole(const char *folder, const char *digest, struct fleet_reader *reader)
{
	char now[FLEET_DIGEST_MAX];
	struct print p = print_new(folder, reader);
	struct stat st;
	if (lstat(folder, &st) < 0 || !S_ISDIR(st.st_mode)) return false;
	if (print_tree(folder, &p, 0, NULL) < 0) return false;
	print_text(&p, now);
	return strcmp(now, digest) == 0;
}

static enum hg_rc copy_to(const char *path, const struct stat *st, const char *tmp, uint32_t files,
        struct fleet_reader *reader, struct hg_err *err)
{
	struct print p = print_new(path, reader);
	char file[PATH_MAX];
	p.sync = files <= SYNC_EACH_MAX;
	if (mkdir(tmp, 0755) < 0 || chmod(tmp, 0755) < 0) return no_copy(tmp, errno, err);
	enum hg_rc rc = HG_OK;
	if (S_ISDIR(st->st_mode))
		rc = copy_tree(path, tmp, &p, 0, err);
	else if (snprintf(file, sizeof file, "%s/%s", tmp, base_name(path)) >= PATH_MAX)
		rc = refuse(path, "its path is too long", err);
	else
		rc = copy_file(path, file, st, &p, err);
	if (rc < 0) return rc;
	int fd = file_open(tmp, O_RDONLY | O_DIRECTORY, 0);
	int e = fd < 0 ? -fd : (p.sync ? fsync(fd) : syncfs(fd)) < 0 ? errno : 0;
	if (fd >= 0) (void)close(fd);
	return e ? no_copy(tmp, e, err) : HG_OK;
}

/* In its place, unless another reader of the same has been quicker. */
static enum hg_rc put_in_place(const char *tmp, const char *folder, const char *digest,
        struct fleet_reader *reader, struct hg_err *err)
{
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, folder, RENAME_NOREPLACE) == 0) return HG_OK;
	if (errno == EEXIST && is_whole(folder, digest, reader)) {
		remove_tree(tmp);
		return HG_OK;
	}
	/* Whether it is whole is not known then. */
	if (gone_on(&(struct print){.reader = reader}, 0))
		return refuse(folder, "nobody waits for it any more", err);
	remove_tree(folder); /* one that somebody damaged */
	return rename(tmp, folder) < 0 ? no_copy(folder, errno, err) : HG_OK;
}

/* DATA/releases/<app>, made when it is not there. */
static enum hg_rc root_make(const char *data_dir, const char *app, const char *path,
        char root[PATH_MAX], struct hg_err *err)
{
	if (snprintf(root, PATH_MAX, "%s/releases", data_dir) >= PATH_MAX - 200)
		return refuse(path, "the path of the data folder is too long", err);
	enum hg_rc rc = folder_make(root, err);
	(void)snprintf(root + strlen(root), PATH_MAX - strlen(root), "/%s", app);
	return rc == HG_OK ? folder_make(root, err) : rc;
}

enum hg_rc fleet_artifact_keep(const char *data_dir, const char *app, const char *path,
        struct fleet_reader *reader, char ret_digest[FLEET_DIGEST_MAX], char ret_folder[PATH_MAX],
        struct hg_err *err)
{
	char root[PATH_MAX], folder[PATH_MAX], tmp[PATH_MAX];
	struct print p = print_new(path, reader);
	struct stat st;
	ret_digest[0] = 0;
	if (stat(path, &st) < 0) return refuse(path, strerror(errno), err);
	enum hg_rc rc = print_top(path, &st, &p, err);
	if (rc < 0) return rc;
	print_text(&p, ret_digest);
	(void)snprintf(ret_folder, PATH_MAX, "%s", path);
	char *slash = strrchr(ret_folder, '/');
	if (S_ISREG(st.st_mode) && slash && slash > ret_folder) *slash = 0;
	rc = root_make(data_dir, app, path, root, err);
	if (rc < 0) return rc;
	int n = snprintf(folder, sizeof folder, "%s/%s", root, ret_digest);
	int m = snprintf(tmp, sizeof tmp, "%s/.tmp-%d-%llu", root, (int)getpid(),
	        reader ? (unsigned long long)reader->serial : 0);
	if (n >= PATH_MAX || m >= PATH_MAX) return refuse(path, "its path is too long", err);
	if (!is_whole(folder, ret_digest, reader)) {
		remove_tree(tmp);
		rc = copy_to(path, &st, tmp, p.files, reader, err);
		if (rc == HG_OK && !is_whole(tmp, ret_digest, reader))
			rc = refuse(path, "it changed while it was read", err);
		if (rc == HG_OK) rc = put_in_place(tmp, folder, ret_digest, reader, err);
		int e = rc == HG_OK ? sync_folder(root) : 0;
		if (e) rc = no_copy(root, e, err);
		if (rc < 0) remove_tree(tmp);
	}
	if (rc == HG_OK) (void)snprintf(ret_folder, PATH_MAX, "%s", folder);
	return rc;
}

void fleet_artifact_remove(const char *path)
{
	remove_tree(path);
}

bool fleet_artifact_aside(const char *root, const char *name, uint64_t serial, char *ret_path)
{
	char full[PATH_MAX];
	if (snprintf(full, sizeof full, "%s/%s", root, name) >= PATH_MAX) return false;
	if (name[0] == '.') return hg_str_copy(hg_str(full), ret_path, PATH_MAX);
	int n = snprintf(ret_path, PATH_MAX, "%s/.old-%d-%llu", root, (int)getpid(),
	        (unsigned long long)serial);
	return n < PATH_MAX && rename(full, ret_path) == 0;
}

void fleet_artifacts_sweep(
        struct fleet *f, const char *app, bool (*keep)(void *arg, const char *digest), void *arg)
{
	char root[PATH_MAX];
	uint32_t count = 0;
	if (snprintf(root, sizeof root, "%s/releases/%s", f->o.child->data_dir, app) >= PATH_MAX)
		return;
	DIR *d = opendir(root);
	if (!d) return;
	/* More of them wait for the next sweep. */
	char(*path)[PATH_MAX] = calloc(FLEET_SWEEP_EACH, sizeof *path);
	for (struct dirent *e; path && count < FLEET_SWEEP_EACH && (e = readdir(d));)
		if (!is_dot(e->d_name) && !keep(arg, e->d_name))
			count += fleet_artifact_aside(
			        root, e->d_name, ++f->reading_serial, path[count]);
	(void)closedir(d);
	fleet_artifacts_remove(f, path, count);
}
