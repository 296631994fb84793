#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define REMOVE_DEPTH_MAX 64

static enum hg_rc rc_of(int err)
{
	switch (err) {
	case ENOENT:
	case ENOTDIR: return HG_E_NOT_FOUND;
	case EACCES:
	case EPERM:
	case EROFS: return HG_E_DENIED;
	case ENOMEM: return HG_E_NOMEM;
	case EISDIR: return HG_E_INVALID;
	default: return HG_E_IO;
	}
}

int file_open(const char *path, int flags, mode_t mode)
{
	int fd;
	do {
		fd = open(path, flags | O_CLOEXEC, mode);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

/* 0, or a positive errno; EFBIG when there is more than the buffer may hold. */
static int read_all(int fd, struct hg_buf *to)
{
	for (;;) {
		size_t room = to->max - to->n;
		/* At the cap one more byte decides between "exactly full" and "too large". */
		if (room == 0) {
			char more;
			ssize_t r = read(fd, &more, 1);
			if (r < 0 && errno == EINTR) continue;
			return r == 0 ? 0 : r < 0 ? errno : EFBIG;
		}
		size_t want = HG_MIN(room, (size_t)16384);
		char *at = hg_buf_room(to, want);
		if (!at) return ENOMEM;
		ssize_t n = read(fd, at, want);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return errno;
		if (n == 0) return 0;
		hg_buf_add(to, (size_t)n);
	}
}

enum hg_rc file_read(const char *path, size_t max, struct hg_buf *to, struct hg_err *err)
{
	hg_buf_free(to);
	hg_buf_init(to, max);
	int fd = file_open(path, O_RDONLY | O_NOCTTY, 0);
	if (fd < 0) {
		return hg_err_set(
		        err, rc_of(-fd), "could not open \"%s\": %s", path, strerror(-fd));
	}
	int e = read_all(fd, to);
	close(fd);
	if (e == 0) return HG_OK;
	hg_buf_free(to);
	if (e == EFBIG) {
		return hg_err_set(
		        err, HG_E_TOO_LARGE, "\"%s\" is larger than %zu bytes", path, max);
	}
	return hg_err_set(err, rc_of(e), "could not read \"%s\": %s", path, strerror(e));
}

int file_write_all(int fd, const void *bytes, size_t n)
{
	const char *p = bytes;
	while (n > 0) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno == EINTR) continue;
		if (w < 0) return -errno;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static int sync_dir_of(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	if (n >= sizeof dir) return -ENAMETOOLONG;
	snprintf(
	        dir, sizeof dir, "%.*s", slash ? (int)HG_MAX(n, (size_t)1) : 1, slash ? path : ".");
	int fd = file_open(dir, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) return fd;
	int rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	/* Some file systems cannot sync a directory and say so; the rename stands all the same. */
	return rc == -EINVAL ? 0 : rc;
}

static int write_temp(const char *temp, mode_t mode, struct hg_str bytes, bool durable)
{
	int fd = file_open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
	if (fd < 0) return fd;
	int rc = file_write_all(fd, bytes.p, bytes.n);
	if (rc == 0 && fchmod(fd, mode) < 0) rc = -errno;
	if (rc == 0 && durable && fsync(fd) < 0) rc = -errno;
	if (close(fd) < 0 && rc == 0) rc = -errno;
	return rc;
}

static enum hg_rc replace(
        const char *path, mode_t mode, struct hg_str bytes, bool durable, struct hg_err *err)
{
	char temp[PATH_MAX];
	uint64_t salt = 0;
	int rc = file_random(&salt, sizeof salt);
	int n = snprintf(temp, sizeof temp, "%s.%016llx.tmp", path, (unsigned long long)salt);
	if (rc == 0 && (n < 0 || (size_t)n >= sizeof temp)) rc = -ENAMETOOLONG;
	if (rc == 0) {
		rc = write_temp(temp, mode, bytes, durable);
		if (rc == 0 && rename(temp, path) < 0) rc = -errno;
		if (rc < 0 && rc != -EEXIST) unlink(temp);
		if (rc == 0 && durable) rc = sync_dir_of(path);
	}
	if (rc == 0) return HG_OK;
	return hg_err_set(err, rc_of(-rc), "could not write \"%s\": %s", path, strerror(-rc));
}

enum hg_rc file_write_atomic(const char *path, mode_t mode, struct hg_str bytes, struct hg_err *err)
{
	return replace(path, mode, bytes, true, err);
}

enum hg_rc file_write_replace(
        const char *path, mode_t mode, struct hg_str bytes, struct hg_err *err)
{
	return replace(path, mode, bytes, false, err);
}

static int mkdir_one(const char *path, mode_t mode)
{
	struct stat st;
	if (mkdir(path, mode) == 0) return 0;
	int err = errno;
	/* EACCES and EROFS also come for directories that are there: what is asked is "exists". */
	if (stat(path, &st) == 0) return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	return -err;
}

int file_mkdirs(const char *path, mode_t mode)
{
	char at[PATH_MAX];
	if (!path[0]) return -ENOENT;
	if (!hg_str_copy(hg_str(path), at, sizeof at)) return -ENAMETOOLONG;
	for (char *p = at + 1; *p; p++) {
		if (*p != '/') continue;
		*p = 0;
		int rc = mkdir_one(at, mode);
		if (rc < 0) return rc;
		*p = '/';
	}
	return mkdir_one(at, mode);
}

static int remove_level(int dir_fd, dev_t device, int depth);

static int remove_entry(int dir_fd, const char *name, dev_t device, int depth)
{
	struct stat st;
	if (unlinkat(dir_fd, name, 0) == 0) return 0;
	if (errno != EISDIR && errno != EPERM) return errno == ENOENT ? 0 : -errno;
	int sub = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sub < 0) return errno == ENOENT ? 0 : -errno;
	int rc = 0;
	if (fstat(sub, &st) < 0) {
		rc = -errno;
	} else if (st.st_dev != device) {
		rc = -EXDEV;
	} else {
		rc = remove_level(sub, device, depth + 1);
	}
	close(sub);
	if (rc == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0) rc = -errno;
	return rc;
}

static int remove_level(int dir_fd, dev_t device, int depth)
{
	int first = 0;
	if (depth > REMOVE_DEPTH_MAX) return -ELOOP;
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (copy < 0) return -errno;
	DIR *d = fdopendir(copy);
	if (!d) {
		int err = errno;
		close(copy);
		return -err;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
		int rc = remove_entry(dir_fd, e->d_name, device, depth);
		if (rc < 0 && first == 0) first = rc;
	}
	closedir(d);
	return first;
}

int file_remove_below(int dir_fd)
{
	struct stat st;
	if (fstat(dir_fd, &st) < 0) return -errno;
	return remove_level(dir_fd, st.st_dev, 0);
}

static int chown_level(int dir_fd, uid_t uid, gid_t gid, int depth)
{
	int first = 0;
	if (depth > REMOVE_DEPTH_MAX) return -ELOOP;
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		int err = errno;
		if (copy >= 0) close(copy);
		return -err;
	}
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
		if (fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) continue;
		int rc = 0;
		/* A second hard link may be a file outside: it is not given away. */
		bool dir = S_ISDIR(st.st_mode);
		if ((st.st_uid != uid || st.st_gid != gid) && (dir || st.st_nlink == 1) &&
		        fchownat(dir_fd, e->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) {
			rc = -errno;
		}
		int sub = dir ? openat(dir_fd, e->d_name,
		                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
		              : -1;
		if (sub >= 0) {
			int below = chown_level(sub, uid, gid, depth + 1);
			if (rc == 0) rc = below;
			close(sub);
		}
		if (rc < 0 && first == 0) first = rc;
	}
	closedir(d);
	return first;
}

int file_chown_below(int dir_fd, uid_t uid, gid_t gid)
{
	return chown_level(dir_fd, uid, gid, 0);
}

/* ---- paths on which others may lie in wait ---- */

#define LINKS_MAX 40

static bool link_trusted(int dir, const struct stat *link, uid_t trusted)
{
	struct stat d;
	if (link->st_uid != 0 && link->st_uid != trusted) return false;
	if (fstat(dir, &d) < 0 || (d.st_uid != 0 && d.st_uid != trusted)) return false;
	return !(d.st_mode & (S_IWGRP | S_IWOTH)) || d.st_mode & S_ISVTX;
}

/* What the link names comes before what is `left` of the path. */
static int link_put(int link, char left[PATH_MAX])
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(link, "", target, sizeof target - 1);
	if (n <= 0) return n < 0 ? -errno : -ENOENT;
	target[n] = 0;
	size_t rest = strlen(left);
	if ((size_t)n + 1 + rest >= PATH_MAX) return -ENAMETOOLONG;
	memmove(left + n + 1, left, rest + 1);
	memcpy(left, target, (size_t)n);
	left[n] = '/';
	return 0;
}

static int open_folder(int dir, const char *name)
{
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool same_file(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* -EEXIST: it is there already, whatever it is. */
static int make_new(int dir, const char *part)
{
	struct stat st;
	if (mkdirat(dir, part, 0755) < 0) return -errno;
	int fd = open_folder(dir, part);
	if (fd < 0 || (fstat(fd, &st) == 0 && st.st_uid == geteuid())) return fd;
	close(fd);
	return -ESTALE;
}

static int make_part(int dir, const char *part)
{
	int fd = make_new(dir, part);
	return fd == -EEXIST ? open_folder(dir, part) : fd; /* somebody was faster */
}

static bool give(int fd, const struct file_owner *owner)
{
	return fchownat(fd, "", owner->uid, owner->gid, AT_EMPTY_PATH) == 0;
}

/* Gives what is called `name` so far to its owner, then its name. 0 or -errno. */
static int hand_over(
        int dir, int fd, const char *name, const char *part, const struct file_owner *owner)
{
	if (!give(fd, owner)) return -FILE_E_OWNER;
	if (renameat2(dir, name, dir, part, RENAME_NOREPLACE) < 0) return -errno;
	/* Whoever may write around it may have put something else under the first name. */
	int now = open_folder(dir, part);
	bool same = now >= 0 && same_file(fd, now);
	if (now >= 0) close(now);
	return same ? 0 : -ESTALE;
}

static int make_owned(int dir, const char *part, const struct file_owner *owner)
{
	uint64_t number;
	char name[32];
	if (owner->uid == geteuid()) return make_part(dir, part);
	int rc = file_random(&number, sizeof number);
	if (rc < 0) return rc;
	snprintf(name, sizeof name, ".new-%016llx", (unsigned long long)number);
	int fd = make_new(dir, name);
	if (fd < 0) return fd;
	rc = hand_over(dir, fd, name, part, owner);
	if (rc == 0) return fd;
	if (rc != -ESTALE) (void)unlinkat(dir, name, AT_REMOVEDIR);
	close(fd);
	if (rc == -EEXIST) return open_folder(dir, part);
	if (rc != -EINVAL && rc != -ENOSYS) return rc;
	/* A file system that knows no such rename: others may find it before it is handed over. */
	fd = make_new(dir, part);
	if (fd == -EEXIST) return open_folder(dir, part);
	if (fd < 0 || give(fd, owner)) return fd;
	(void)unlinkat(dir, part, AT_REMOVEDIR);
	close(fd);
	return -FILE_E_OWNER;
}

/* Takes the first part off; false: nothing is left. */
static bool part_cut(char left[PATH_MAX], char ret_part[NAME_MAX + 1], int *ret_err)
{
	size_t from = strspn(left, "/"), n = strcspn(left + from, "/");
	if (n == 0) return false;
	*ret_err = n > NAME_MAX ? -ENAMETOOLONG : 0;
	if (*ret_err) return true;
	memcpy(ret_part, left + from, n);
	ret_part[n] = 0;
	memmove(left, left + from + n, strlen(left + from + n) + 1);
	return true;
}

/* The first part that is missing, where `left` says what comes below it. */
static int make_missing(int dir, const char *part, const char *left, const struct file_owner *owner)
{
	bool last = left[strspn(left, "/")] == 0;
	return last ? make_owned(dir, part, owner) : make_part(dir, part);
}

int file_open_guarded(const char *path, uid_t trusted, const struct file_owner *owner)
{
	char left[PATH_MAX], part[NAME_MAX + 1];
	int rc = 0, links = 0;
	if (path[0] != '/') return -EINVAL;
	if (!hg_str_copy(hg_str(path), left, sizeof left)) return -ENAMETOOLONG;
	int at = file_open("/", O_PATH | O_DIRECTORY, 0);
	while (at >= 0 && part_cut(left, part, &rc)) {
		struct stat st;
		int next = rc < 0 ? rc : openat(at, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (next == -1) next = -errno;
		if (next == -ENOENT && owner) next = make_missing(at, part, left, owner);
		rc = next < 0 ? next : fstat(next, &st) < 0 ? -errno : 0;
		bool is_link = rc == 0 && S_ISLNK(st.st_mode);
		if (is_link && (++links > LINKS_MAX || !link_trusted(at, &st, trusted)))
			rc = -ELOOP;
		if (is_link && rc == 0) rc = link_put(next, left);
		if (is_link || rc < 0) {
			if (next >= 0) close(next);
			/* A link goes on from where it lies, or from the root. */
			next = rc == 0 && left[0] != '/' ? at
			       : rc < 0                  ? rc
			                                 : file_open("/", O_PATH, 0);
		}
		if (next != at) close(at);
		at = next;
	}
	return at;
}

bool file_path_of(int fd, char *ret_path, size_t cap)
{
	char link[32];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, ret_path, cap);
	if (n <= 0 || (size_t)n >= cap || ret_path[0] != '/') return false;
	ret_path[n] = 0;
	return true;
}

int file_random(void *to, size_t n)
{
	char *p = to;
	while (n > 0) {
		ssize_t r = getrandom(p, n, 0);
		if (r < 0 && errno == EINTR) continue;
		if (r < 0) return -errno;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

bool file_boot_id(char ret_id[37])
{
	int fd = file_open("/proc/sys/kernel/random/boot_id", O_RDONLY, 0);
	if (fd < 0) return false;
	ssize_t n = read(fd, ret_id, 36);
	close(fd);
	ret_id[36] = 0;
	return n == 36;
}
