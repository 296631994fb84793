#include "os/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/file.h"

#define ROOM        (PATH_MAX + 64)
#define ENTRIES_MAX 1024

static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};

static int bind_fd(int fd, const char *to, bool recursive)
{
	char from[32];
	snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
	return mount(from, to, NULL, MS_BIND | (recursive ? MS_REC : 0), NULL) < 0 ? -errno : 0;
}

static int bind_path(const char *from, const char *to)
{
	return mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0 ? -errno : 0;
}

static int set_read_only(const char *path)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
	return syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof attr) < 0
	               ? -errno
	               : 0;
}

HG_PRINTF(2, 3) static int path_of(char to[ROOM], const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(to, ROOM, fmt, ap);
	va_end(ap);
	return n > 0 && n < ROOM ? 0 : -ENAMETOOLONG;
}

static bool may_search(const struct stat *st, uid_t uid, gid_t gid)
{
	if (uid == 0) return true;
	if (st->st_uid == uid) return st->st_mode & S_IXUSR;
	if (st->st_gid == gid) return st->st_mode & S_IXGRP;
	return st->st_mode & S_IXOTH;
}

/* Length of the first directory above `path` that the user cannot search; 0 when there is none. */
static size_t closed_prefix(const char *path, uid_t uid, gid_t gid)
{
	char at[PATH_MAX];
	struct stat st;
	if (!hg_str_copy(hg_str(path), at, sizeof at)) return 0;
	for (size_t i = 1; at[i]; i++) {
		if (at[i] != '/') continue;
		at[i] = 0;
		if (stat(at, &st) == 0 && S_ISDIR(st.st_mode) && !may_search(&st, uid, gid))
			return i;
		at[i] = '/';
	}
	return 0;
}

bool sandbox_reachable(const char *path, uid_t uid, gid_t gid)
{
	return closed_prefix(path, uid, gid) == 0;
}

/* ---- ways through closed directories ---- */

struct way {
	int fd;        /* of the path as the machine has it, the caller's; -1: visible anyway */
	size_t closed; /* length of the closed directory to cover, 0: none */
	bool whole;    /* the path itself is that directory: all that lies in it is shown */
};

static int cover(const char *root, const char *path, size_t closed)
{
	char at[ROOM];
	int rc = path_of(at, "%s%.*s", root, (int)closed, path);
	if (rc < 0) return rc;
	return mount("headgate", at, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0711,size=256k") < 0
	               ? -errno
	               : 0;
}

static bool covered_before(const struct sandbox_view *v, const struct way *ways, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (ways[k].fd >= 0 && ways[k].closed == ways[i].closed &&
		        strncmp(v->reach[k].name, v->reach[i].name, ways[i].closed) == 0) {
			return true;
		}
	}
	return false;
}

static bool hidden_by_tmp(const struct sandbox_view *v, const char *path)
{
	return v->private_tmp &&
	       (strncmp(path, "/tmp/", 5) == 0 || strncmp(path, "/var/tmp/", 9) == 0);
}

/* The path itself is a directory that the user cannot search: a bind mount would keep it closed. */
static bool closed_itself(const struct sandbox_view *v, int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && !may_search(&st, v->uid, v->gid);
}

/*
 * Makes the mount point for `path` below `root`: directories, or an empty file at the end. Like the
 * cover, the directories can be passed but not listed: what they show is not all there is.
 */
static int make_point(const char *root, const char *path, int fd)
{
	char at[ROOM];
	struct stat st;
	int rc = path_of(at, "%s%s", root, path);
	if (rc < 0) return rc;
	if (fstat(fd, &st) < 0) return -errno;
	if (S_ISDIR(st.st_mode)) return file_mkdirs(at, 0711);
	char *slash = strrchr(at, '/');
	*slash = 0;
	rc = file_mkdirs(at, 0711);
	*slash = '/';
	if (rc < 0) return rc;
	int made = file_open(at, O_WRONLY | O_CREAT, 0644);
	if (made < 0) return made;
	close(made);
	return 0;
}

static void find_ways(const struct sandbox_view *v, struct way *ways)
{
	for (size_t i = 0; i < v->reach_count; i++) {
		const struct sandbox_path *p = &v->reach[i];
		ways[i] = (struct way){.fd = -1};
		if (p->fd < 0) continue;
		ways[i].closed = closed_prefix(p->name, v->uid, v->gid);
		bool hidden = hidden_by_tmp(v, p->name);
		ways[i].whole = closed_itself(v, p->fd);
		if (ways[i].whole && !ways[i].closed) ways[i].closed = strlen(p->name);
		if (!ways[i].closed && !hidden) continue;
		/* The private /tmp is empty: the way through it is made anew, nothing is closed. */
		if (hidden) ways[i].closed = 0;
		ways[i].fd = p->fd;
	}
}

static int lay_way(const char *root, const char *path, int fd, bool read_only)
{
	char at[ROOM];
	int rc = path_of(at, "%s%s", root, path);
	if (rc == 0) rc = make_point(root, path, fd);
	if (rc == 0) rc = bind_fd(fd, at, true);
	return rc == 0 && read_only ? set_read_only(at) : rc;
}

/* What lies in a closed directory, entry by entry; each keeps its own mode. */
static int lay_entries(const char *root, const char *path, int fd, bool read_only)
{
	char from[32], entry[ROOM], at[ROOM], target[PATH_MAX];
	int rc = 0, left = ENTRIES_MAX;
	snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
	rc = path_of(at, "%s%s", root, path);
	if (rc == 0) rc = file_mkdirs(at, 0711);
	if (rc < 0) return rc;
	DIR *d = opendir(from);
	if (!d) return -errno;
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
		if (left-- == 0) rc = -E2BIG;
		if (rc == 0) rc = path_of(entry, "%s/%s", path, e->d_name);
		if (rc == 0) rc = path_of(at, "%s%s", root, entry);
		if (rc < 0) break;
		ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof target - 1);
		if (n >= 0) {
			target[n] = 0;
			if (symlink(target, at) < 0 && errno != EEXIST) rc = -errno;
			continue;
		}
		int one = openat(dirfd(d), e->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (one < 0) continue; /* it went away meanwhile */
		rc = lay_way(root, entry, one, read_only);
		close(one);
	}
	closedir(d);
	return rc;
}

/* First all covers, then all paths: a path may lie below another one's cover. */
static int lay_ways(const char *root, const struct sandbox_view *v, const struct way *ways)
{
	int rc = 0;
	for (size_t i = 0; i < v->reach_count && rc == 0; i++) {
		if (ways[i].fd < 0 || !ways[i].closed || covered_before(v, ways, i)) continue;
		rc = cover(root, v->reach[i].name, ways[i].closed);
	}
	for (size_t i = 0; i < v->reach_count && rc == 0; i++) {
		if (ways[i].fd < 0 || !ways[i].whole) continue;
		rc = lay_entries(root, v->reach[i].name, ways[i].fd, v->read_only);
	}
	for (size_t i = 0; i < v->reach_count && rc == 0; i++) {
		if (ways[i].fd < 0 || ways[i].whole) continue;
		rc = lay_way(root, v->reach[i].name, ways[i].fd, v->read_only);
	}
	return rc;
}

/* ---- a root of its own ---- */

static int make_dev(const char *root)
{
	char at[ROOM], from[64];
	int rc = path_of(at, "%s/dev", root);
	if (rc < 0) return rc;
	if (mkdir(at, 0755) < 0 && errno != EEXIST) return -errno;
	if (mount("headgate", at, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") < 0) {
		return -errno;
	}
	for (size_t i = 0; i < HG_COUNT(devices) && rc == 0; i++) {
		snprintf(from, sizeof from, "/dev/%s", devices[i]);
		if (access(from, F_OK) < 0) continue;
		rc = path_of(at, "%s%s", root, from);
		if (rc < 0) break;
		int fd = file_open(at, O_WRONLY | O_CREAT, 0666);
		if (fd < 0) return fd;
		close(fd);
		rc = bind_path(from, at);
	}
	static const char *const links[][2] = {{"/proc/self/fd", "fd"},
	        {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
	        {"/proc/self/fd/2", "stderr"}};
	for (size_t i = 0; i < HG_COUNT(links) && rc == 0; i++) {
		rc = path_of(at, "%s/dev/%s", root, links[i][1]);
		if (rc == 0 && symlink(links[i][0], at) < 0) rc = -errno;
	}
	if (rc == 0) rc = path_of(at, "%s/dev/shm", root);
	if (rc == 0 && mkdir(at, 01777) < 0) rc = -errno;
	if (rc == 0 && mount("headgate", at, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
	                       "mode=01777,size=64m") < 0) {
		rc = -errno;
	}
	return rc;
}

static int copy_link(const char *root, const char *name)
{
	char at[ROOM], from[ROOM], target[PATH_MAX];
	int rc = path_of(from, "/%s", name);
	if (rc == 0) rc = path_of(at, "%s/%s", root, name);
	if (rc < 0) return rc;
	ssize_t n = readlink(from, target, sizeof target - 1);
	if (n < 0) return 0; /* it went away meanwhile */
	target[n] = 0;
	return symlink(target, at) < 0 ? -errno : 0;
}

/* One directory of the machine's root, read-only with all that is mounted below it. */
static int show_dir(const char *root, const char *name)
{
	char at[ROOM], from[ROOM];
	int rc = path_of(from, "/%s", name);
	if (rc == 0) rc = path_of(at, "%s/%s", root, name);
	if (rc < 0) return rc;
	if (mkdir(at, 0755) < 0) return -errno;
	rc = bind_path(from, at);
	if (rc < 0) return rc;
	/* Its own /proc entries must stay writable; the rest of /proc needs root anyway. */
	return strcmp(name, "proc") == 0 ? 0 : set_read_only(at);
}

static int show_machine(const char *root)
{
	DIR *d = opendir("/");
	int rc = 0;
	if (!d) return -errno;
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		struct stat st;
		if (e->d_name[0] == '.' || strcmp(e->d_name, "dev") == 0) continue;
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) continue;
		if (S_ISLNK(st.st_mode)) rc = copy_link(root, e->d_name);
		if (S_ISDIR(st.st_mode)) rc = show_dir(root, e->d_name);
		/* A directory we may not even bind (a dead mount) is left empty, not fatal. */
		if (rc == -EACCES || rc == -ENODEV || rc == -EINVAL) rc = 0;
	}
	closedir(d);
	return rc;
}

/* Links on the way to the place are the machine's as the process will see them: none leads out. */
static int place_of(const char *root, const char *path)
{
	struct open_how how = {
	        .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	int top = file_open(root, O_PATH | O_DIRECTORY, 0);
	if (top < 0) return top;
	int fd = (int)syscall(SYS_openat2, top, path, &how, sizeof how);
	int rc = fd < 0 ? -errno : fd;
	close(top);
	return rc;
}

static int show_writable(const char *root, const struct sandbox_path *p)
{
	char to[32];
	if (p->fd < 0) return 0;
	int place = place_of(root, p->name);
	if (place < 0) return place;
	snprintf(to, sizeof to, "/proc/self/fd/%d", place);
	int rc = bind_fd(p->fd, to, true);
	close(place);
	return rc;
}

static int show_tmp(const char *root, const char *private_tmp)
{
	static const char *const names[] = {"/tmp", "/var/tmp"};
	char at[ROOM];
	int rc = 0, fd = file_open(private_tmp, O_PATH | O_DIRECTORY, 0);
	if (fd < 0) return fd;
	for (size_t i = 0; i < HG_COUNT(names) && rc == 0; i++) {
		rc = path_of(at, "%s%s", root, names[i]);
		if (rc == 0) rc = bind_fd(fd, at, true);
		if (rc == -ENOENT) rc = 0;
	}
	close(fd);
	return rc;
}

static int enter_root(const char *root)
{
	if (chdir(root) < 0) return -errno;
	if (syscall(SYS_pivot_root, ".", ".") < 0) return -errno;
	/* The old root now lies over the new one; it is taken away. */
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) return -errno;
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
	return syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof attr) < 0 ? -errno : 0;
}

/*
 * The private /tmp hides what lies below /tmp, and what is read-only hides what is to be
 * writable: so tmp first, ways through closed directories then, writable paths last, all opened
 * through the old root, which stays visible until enter_root.
 */
static int enter_read_only(const struct sandbox_view *v, const struct way *ways)
{
	const char *root = v->staging;
	if (mount("headgate", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") < 0) {
		return -errno;
	}
	int rc = show_machine(root);
	if (rc == 0) rc = make_dev(root);
	if (rc == 0 && v->private_tmp) rc = show_tmp(root, v->private_tmp);
	if (rc == 0) rc = lay_ways(root, v, ways);
	for (size_t i = 0; i < v->writable_count && rc == 0; i++)
		rc = show_writable(root, &v->writable[i]);
	return rc < 0 ? rc : enter_root(root);
}

/* ---- namespaces ---- */

static int write_text(const char *path, const char *text)
{
	int fd = file_open(path, O_WRONLY, 0);
	if (fd < 0) return fd;
	int rc = file_write_all(fd, text, strlen(text));
	close(fd);
	return rc;
}

static int unshare_as_user(uid_t uid, gid_t gid)
{
	char map[64];
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return -errno;
	(void)write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof map, "%u %u 1\n", uid, uid);
	int rc = write_text("/proc/self/uid_map", map);
	snprintf(map, sizeof map, "%u %u 1\n", gid, gid);
	if (rc == 0) rc = write_text("/proc/self/gid_map", map);
	return rc;
}

static int enter_namespace(const struct sandbox_view *v, uint32_t *ret_how)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	*ret_how = 0;
	if (unshare(CLONE_NEWNS) < 0) {
		if (errno != EPERM || uid == 0 || uid != v->uid) return -errno;
		int rc = unshare_as_user(uid, gid);
		if (rc < 0) return rc;
		*ret_how = SANDBOX_VIEW_USERNS;
	}
	/* What we mount must not appear elsewhere; what the machine mounts later need not here. */
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

/* ---- descriptors into the namespace ---- */

/* A mount is of its namespace, and so is a descriptor below it: where each is, is asked before. */
static int names_take(const struct sandbox_path *p, size_t n, char **names)
{
	char path[PATH_MAX];
	for (size_t i = 0; i < n; i++) {
		if (p[i].fd < 0) continue;
		if (!file_path_of(p[i].fd, path, sizeof path)) return -ENAMETOOLONG;
		names[i] = strdup(path);
		if (!names[i]) return -ENOMEM;
	}
	return 0;
}

/* The same file or none: no link is followed, and what was exchanged meanwhile is refused. */
static int reopen(struct sandbox_path *p, const char *name)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC,
	        .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	struct stat was, is;
	if (fstat(p->fd, &was) < 0) return -errno;
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, name, &how, sizeof how);
	if (fd < 0) return -errno;
	bool same = fstat(fd, &is) == 0 && was.st_dev == is.st_dev && was.st_ino == is.st_ino;
	if (!same) {
		close(fd);
		return -ESTALE;
	}
	p->fd = fd;
	return 0;
}

static int reopen_all(struct sandbox_path *p, size_t n, char *const *names)
{
	int rc = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i].fd < 0) continue;
		if (rc == 0) rc = reopen(&p[i], names[i]);
		if (rc < 0) p[i].fd = -1; /* the one there is, is the caller's */
	}
	return rc;
}

static void paths_close(const struct sandbox_path *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i].fd >= 0) close(p[i].fd);
	}
}

static int enter(struct sandbox_view *v, char *const *reach, char *const *writable)
{
	struct way ways[SANDBOX_PATHS_MAX];
	int rc = reopen_all(v->reach, v->reach_count, reach);
	int more = reopen_all(v->writable, v->writable_count, writable);
	if (rc == 0) rc = more;
	if (rc == 0) find_ways(v, ways);
	if (rc == 0 && v->read_only) {
		rc = enter_read_only(v, ways);
	} else if (rc == 0) {
		if (v->private_tmp) rc = show_tmp("", v->private_tmp);
		if (rc == 0) rc = lay_ways("", v, ways);
	}
	paths_close(v->reach, v->reach_count);
	paths_close(v->writable, v->writable_count);
	return rc;
}

int sandbox_view_enter(const struct sandbox_view *view, uint32_t *ret_how)
{
	char *reach[SANDBOX_PATHS_MAX] = {0}, *writable[SANDBOX_PATHS_MAX] = {0};
	struct sandbox_view v = *view;
	HG_ASSERT(v.reach_count <= SANDBOX_PATHS_MAX);
	HG_ASSERT(v.writable_count <= SANDBOX_PATHS_MAX);
	int rc = names_take(v.reach, v.reach_count, reach);
	if (rc == 0) rc = names_take(v.writable, v.writable_count, writable);
	if (rc == 0) rc = enter_namespace(view, ret_how);
	if (rc < 0) goto out;
	/* The directories on a way must be open for `uid`, whatever the caller's mask closes. */
	mode_t mask = umask(022);
	rc = enter(&v, reach, writable);
	umask(mask);
	/* From here on "not allowed" is no longer "nothing has changed". */
	if (rc == -EPERM || rc == -ENOSYS || rc == -ENOSPC) rc = -EIO;
out:
	for (size_t i = 0; i < SANDBOX_PATHS_MAX; i++) {
		free(reach[i]);
		free(writable[i]);
	}
	return rc;
}
