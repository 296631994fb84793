/*
 * Files as a store uses them: whole reads and writes at an offset, pipes moved into files by the
 * kernel, holes, durable replacement. Names are relative to a directory descriptor, so that a
 * store keeps to its folder. Descriptors are close-on-exec and the caller's.
 * Functions return a descriptor or a count, or -errno; nothing is retried but EINTR. Never logs.
 */
#ifndef HG_OS_DISK_H
#define HG_OS_DISK_H

#include "base/str.h"

#include <fcntl.h>
#include <sys/types.h>

/* Creates the directory (mode 0700) when it is missing, its parent must exist, and opens it. */
HG_MUST int disk_dir(int at, const char *name);
/* openat with O_CLOEXEC; new files get mode 0600. */
HG_MUST int disk_open(int at, const char *name, int flags);
/* Opens or makes the file and locks it until it is closed: a descriptor, or -EWOULDBLOCK when
 * another process has the lock. */
HG_MUST int disk_lock(int at, const char *name);
void disk_close(int fd);

/* Reads until `n` bytes are there or the file ends; returns the count. */
HG_MUST ssize_t disk_read(int fd, void *to, size_t n, uint64_t offset);
/* Writes everything: 0, or -errno after part of it may have been written. */
HG_MUST int disk_write(int fd, const void *from, size_t n, uint64_t offset);
/* Reads a pipe: bytes, 0 at its end, -EAGAIN when it is empty. */
HG_MUST ssize_t disk_read_pipe(int pipe_fd, void *to, size_t n);
/*
 * Moves up to `n` bytes from a pipe into the file at `offset` inside the kernel: bytes leave the
 * pipe only once they are in the file, so a process killed at any moment loses none.
 * Returns bytes, 0 at the end of the pipe, -EAGAIN when it is empty, -ENOSPC …
 */
HG_MUST ssize_t disk_splice(int pipe_fd, int fd, uint64_t offset, size_t n);
/* Asks for a larger pipe; what the kernel refuses stays as it is. */
void disk_pipe_size(int pipe_fd, size_t n);

/* -errno, or the size in bytes. */
HG_MUST int64_t disk_size(int fd);
/* Last modification, Unix time in nanoseconds; 0 when unknown. */
uint64_t disk_modified_ns(int fd);
/* The file then ends at `size`; growing leaves a hole. */
HG_MUST int disk_cut(int fd, uint64_t size);
/* Gives the blocks of [offset, offset + n) back; the size stays, the range reads as zeros. */
HG_MUST int disk_punch(int fd, uint64_t offset, uint64_t n);
/*
 * The data (not the times) are on the disk when this returns 0. After an error nobody knows what
 * is: Linux counts pages that it could not write as written, a second call may say 0 about them.
 */
HG_MUST int disk_sync(int fd);
/* The same for the names in a directory: fdatasync need not write those. */
HG_MUST int disk_sync_names(int dir_fd);
/* Writes bytes [from, to) of a file again as they can be read: after a sync that failed. */
HG_MUST int disk_write_again(int fd, uint64_t from, uint64_t to);
/* Reads them all and keeps nothing: 0, or what reading said. What is mapped later is in memory. */
HG_MUST int disk_probe(int fd, uint64_t size);
int disk_unlink(int at, const char *name);
/* Temporary file, fsync, rename, fsync of the directory: the old bytes or the new, never a mix. */
HG_MUST int disk_replace(int at, const char *name, struct hg_str bytes);
/* Calls `fn` for every name in the directory but "." and ".."; false from it stops. */
HG_MUST int disk_list(int dir_fd, bool (*fn)(void *arg, const char *name), void *arg);
/* Size of the file system in bytes, 0 when unknown. */
uint64_t disk_total(int fd);

/* True for the errors that mean "no room": ENOSPC, EDQUOT, EFBIG. */
bool disk_is_full(int negative_errno);

#endif
