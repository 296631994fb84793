#include "os/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u /* Linux 6.3; older kernels refuse the flag */
#endif
#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int shm_create(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0) return -errno;
	if (ftruncate(fd, (off_t)size) == 0) return fd;
	int err = errno;
	close(fd);
	return -err;
}

int shm_seal_size(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ? -errno : 0;
}

int shm_sealed(const char *name, struct hg_str bytes)
{
	int fd = shm_create(name, 0);
	if (fd < 0) return fd;
	while (bytes.n > 0) {
		ssize_t w = write(fd, bytes.p, bytes.n);
		if (w < 0 && errno == EINTR) continue;
		if (w < 0) goto fail;
		bytes.p += w;
		bytes.n -= (size_t)w;
	}
	if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, ALL_SEALS | F_SEAL_SEAL) < 0) {
		goto fail;
	}
	return fd;
fail:;
	int err = errno;
	close(fd);
	return -err;
}

bool shm_is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	return seals >= 0 && (seals & ALL_SEALS) == ALL_SEALS;
}

int shm_read_only(int fd)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int copy = open(path, O_RDONLY | O_CLOEXEC);
	return copy < 0 ? -errno : copy;
}

int64_t shm_size(int fd)
{
	struct stat st;
	return fstat(fd, &st) < 0 ? -(int64_t)errno : (int64_t)st.st_size;
}

void *shm_map(int fd, size_t size, bool writable)
{
	void *at =
	        mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	return at == MAP_FAILED ? NULL : at;
}

void shm_unmap(void *at, size_t size)
{
	if (at) munmap(at, size);
}
