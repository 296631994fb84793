/*
 * Files: whole reads with a cap, durable atomic writes, directories, and bytes from the kernel's
 * random source. Nothing is kept open. Paths are used as given; symbolic links are followed unless
 * said otherwise. Functions that fill no `struct hg_err` return 0 or -errno.
 */
#ifndef HG_OS_FILE_H
#define HG_OS_FILE_H

#include "base/err.h"

#include <errno.h>
#include <sys/types.h>

/*
 * Reads all of `path` into `to`, which must be zeroed or initialised and is emptied first; the
 * caller frees it. HG_E_NOT_FOUND, HG_E_DENIED, HG_E_TOO_LARGE (over `max` bytes), HG_E_INVALID
 * (a directory), HG_E_IO, HG_E_NOMEM. Works for files of unknown size as in /proc.
 */
HG_MUST enum hg_rc file_read(const char *path, size_t max, struct hg_buf *to, struct hg_err *err);

/*
 * Replaces `path` by `bytes`: temporary file beside it, fsync, rename, fsync of the directory.
 * After a crash there is the old file or the new one, never a part.
 */
HG_MUST enum hg_rc file_write_atomic(
        const char *path, mode_t mode, struct hg_str bytes, struct hg_err *err);
/* The same without fsync, for files that are worthless after a reboot. */
HG_MUST enum hg_rc file_write_replace(
        const char *path, mode_t mode, struct hg_str bytes, struct hg_err *err);

/* mkdir -p; directories that exist keep their mode. 0 or -errno (-ENOTDIR: a file is in the way).
 */
HG_MUST int file_mkdirs(const char *path, mode_t mode);
/*
 * Removes what is below the open directory (not itself), following no symbolic link and leaving
 * this file system for no other; at most 64 levels deep. 0 or the first -errno.
 */
HG_MUST int file_remove_below(int dir_fd);
/* Gives everything below the open directory (not itself) to uid and gid; same rules. */
HG_MUST int file_chown_below(int dir_fd, uid_t uid, gid_t gid);
/* Fills from getrandom(2); only a kernel without it fails. */
HG_MUST int file_random(void *to, size_t n);
/* /proc/sys/kernel/random/boot_id, 36 characters and a zero; false when unreadable. */
HG_MUST bool file_boot_id(char ret_id[37]);
/* Writes all, repeating short writes. 0 or -errno. */
HG_MUST int file_write_all(int fd, const void *bytes, size_t n);
/*
 * Opens an absolute path on which others may lie in wait, as an O_PATH descriptor or -errno. Part
 * after part is opened below the one before, so no name is looked up twice. A symbolic link is
 * followed only when it belongs to root or to `trusted` and lies in a folder that nobody else may
 * write, or a sticky one; any other is -ELOOP. What is missing is made as folders of mode 0755 when
 * `owner` is given, and the last part is the owner's from the moment it has its name: whoever finds
 * it, also after a crash in between, finds it whole. -ESTALE: what was made was exchanged.
 * -FILE_E_OWNER: it could not be given to its owner, and is not there.
 */
#define FILE_E_OWNER EOWNERDEAD
struct file_owner {
	uid_t uid;
	gid_t gid;
};
HG_MUST int file_open_guarded(const char *path, uid_t trusted, const struct file_owner *owner);
/* Where a descriptor's file is, without links; false when it cannot be told in `cap` bytes. */
HG_MUST bool file_path_of(int fd, char *ret_path, size_t cap);
/* O_CLOEXEC open that repeats on EINTR; the descriptor or -errno. */
HG_MUST int file_open(const char *path, int flags, mode_t mode);

#endif
