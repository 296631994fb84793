#include "os/disk.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int disk_dir(int at, const char *name)
{
	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST) return -errno;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int disk_open(int at, const char *name, int flags)
{
	int fd = openat(at, name, flags | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

int disk_lock(int at, const char *name)
{
	int fd = disk_open(at, name, O_RDWR | O_CREAT);
	if (fd < 0) return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
	int rc = -errno;
	close(fd);
	return rc;
}

void disk_close(int fd)
{
	if (fd >= 0) close(fd);
}

ssize_t disk_read(int fd, void *to, size_t n, uint64_t offset)
{
	size_t got = 0;
	while (got < n) {
		ssize_t r = pread(fd, (char *)to + got, n - got, (off_t)(offset + got));
		if (r < 0 && errno == EINTR) continue;
		if (r < 0) return -errno;
		if (r == 0) break;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

int disk_write(int fd, const void *from, size_t n, uint64_t offset)
{
	size_t put = 0;
	while (put < n) {
		ssize_t r = pwrite(fd, (const char *)from + put, n - put, (off_t)(offset + put));
		if (r < 0 && errno == EINTR) continue;
		if (r < 0) return -errno;
		if (r == 0) return -ENOSPC;
		put += (size_t)r;
	}
	return 0;
}

ssize_t disk_read_pipe(int pipe_fd, void *to, size_t n)
{
	for (;;) {
		ssize_t r = read(pipe_fd, to, n);
		if (r >= 0) return r;
		if (errno != EINTR) return -errno;
	}
}

ssize_t disk_splice(int pipe_fd, int fd, uint64_t offset, size_t n)
{
	for (;;) {
		loff_t at = (loff_t)offset;
		ssize_t r = splice(pipe_fd, NULL, fd, &at, n, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		if (r >= 0) return r;
		if (errno != EINTR) return -errno;
	}
}

void disk_pipe_size(int pipe_fd, size_t n)
{
	(void)fcntl(pipe_fd, F_SETPIPE_SZ, (int)n);
}

int64_t disk_size(int fd)
{
	struct stat st;
	return fstat(fd, &st) < 0 ? -errno : (int64_t)st.st_size;
}

uint64_t disk_modified_ns(int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_mtim.tv_sec < 0) return 0;
	return (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
}

int disk_cut(int fd, uint64_t size)
{
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int disk_punch(int fd, uint64_t offset, uint64_t n)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	return fallocate(fd, mode, (off_t)offset, (off_t)n) < 0 ? -errno : 0;
}

int disk_sync(int fd)
{
	return fdatasync(fd) < 0 ? -errno : 0;
}

int disk_sync_names(int dir_fd)
{
	return fsync(dir_fd) < 0 ? -errno : 0;
}

#define PART_BYTES 16384

int disk_write_again(int fd, uint64_t from, uint64_t to)
{
	char part[PART_BYTES];
	while (from < to) {
		ssize_t n = disk_read(fd, part, (size_t)HG_MIN(to - from, sizeof part), from);
		if (n <= 0) return n < 0 ? (int)n : -EIO;
		int rc = disk_write(fd, part, (size_t)n, from);
		if (rc < 0) return rc;
		from += (uint64_t)n;
	}
	return 0;
}

int disk_probe(int fd, uint64_t size)
{
	char part[PART_BYTES];
	for (uint64_t at = 0; at < size; at += sizeof part) {
		ssize_t n = disk_read(fd, part, (size_t)HG_MIN(size - at, sizeof part), at);
		if (n < 0) return (int)n;
	}
	return 0;
}

int disk_unlink(int at, const char *name)
{
	return unlinkat(at, name, 0) < 0 ? -errno : 0;
}

int disk_replace(int at, const char *name, struct hg_str bytes)
{
	char temp[NAME_MAX + 1];
	if (snprintf(temp, sizeof temp, "%s.new", name) >= (int)sizeof temp) return -ENAMETOOLONG;
	int fd = disk_open(at, temp, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0) return fd;
	int rc = disk_write(fd, bytes.p, bytes.n, 0);
	if (rc == 0 && fsync(fd) < 0) rc = -errno;
	if (close(fd) < 0 && rc == 0) rc = -errno;
	if (rc == 0 && renameat(at, temp, at, name) < 0) rc = -errno;
	if (rc < 0) {
		disk_unlink(at, temp);
		return rc;
	}
	return fsync(at) < 0 ? -errno : 0;
}

int disk_list(int dir_fd, bool (*fn)(void *arg, const char *name), void *arg)
{
	/* An own description, so that the position of the caller's is not moved. */
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) return -errno;
	DIR *d = fdopendir(fd);
	if (!d) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	int rc = 0;
	for (;;) {
		errno = 0;
		const struct dirent *e = readdir(d);
		if (!e) {
			rc = -errno;
			break;
		}
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
		if (!fn(arg, e->d_name)) break;
	}
	closedir(d);
	return rc;
}

uint64_t disk_total(int fd)
{
	struct statvfs v;
	return fstatvfs(fd, &v) < 0 ? 0 : (uint64_t)v.f_blocks * v.f_frsize;
}

bool disk_is_full(int negative_errno)
{
	return negative_errno == -ENOSPC || negative_errno == -EDQUOT || negative_errno == -EFBIG;
}
