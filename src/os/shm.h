/*
 * Anonymous shared memory: memfds that are filled, sealed and mapped, and passed to other
 * processes by descriptor. Functions return a descriptor or 0, or -errno.
 */
#ifndef HG_OS_SHM_H
#define HG_OS_SHM_H

#include "base/str.h"

/* A zeroed memfd of `size` bytes that may be sealed later; close-on-exec, never executable. */
HG_MUST int shm_create(const char *name, size_t size);
/* Its size can never change again, nor can further seals be set. Fit for mapping by others. */
HG_MUST int shm_seal_size(int fd);
/* A memfd with these bytes that nobody can change any more. */
HG_MUST int shm_sealed(const char *name, struct hg_str bytes);
/* True when the memfd can neither shrink, grow nor be written: safe to map from a stranger. */
HG_MUST bool shm_is_sealed(int fd);
/* A second descriptor of the same memory that cannot be mapped writable. */
HG_MUST int shm_read_only(int fd);
/* Size of a file or memfd; -errno on failure. */
HG_MUST int64_t shm_size(int fd);
/* Shared mapping of the first `size` bytes; NULL when refused. */
HG_MUST void *shm_map(int fd, size_t size, bool writable);
void shm_unmap(void *at, size_t size);

#endif
