/*
 * A disk that fails as it is told. The system calls that the store writes with are those below: a
 * program that includes this has them instead of libc's.
 *
 * Faults: from the n-th call on some calls say an error and do nothing, or, for a write, half of
 * it. With all from the n-th on it is what a kill there leaves behind.
 *
 * Loss of power: what is done to files is written down. power_image() makes a folder of what a disk
 * may have after the k-th of these deeds: of a file what was synced, and of what came later any
 * part; names likewise, of which only fsync of the folder makes sure. What a sync refused is lost
 * for ever, as Linux has it: the pages count as clean.
 */
#ifndef TESTS_TSDB_FAULTS_H
#define TESTS_TSDB_FAULTS_H

#include "box.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum fault_call {
	CALL_OPEN,
	CALL_READ,
	CALL_WRITE,
	CALL_CUT,
	CALL_SYNC,
	CALL_UNLINK,
	CALL_MAP,
	CALL_KINDS
};

struct faults {
	bool on;
	uint32_t from, n, seen; /* calls [from, from + n) of the kinds in `kinds` fail */
	unsigned kinds;
	int error;
	bool torn; /* a write that fails has written half */
	uint32_t hits;
};

static struct faults faults;

#define FAULTS_WRITING \
	(1u << CALL_OPEN | 1u << CALL_WRITE | 1u << CALL_CUT | 1u << CALL_SYNC | 1u << CALL_UNLINK)

static bool fault(enum fault_call kind)
{
	if (!faults.on || !(faults.kinds >> kind & 1)) return false;
	uint32_t i = faults.seen++;
	if (i < faults.from || i - faults.from >= faults.n) return false;
	faults.hits++;
	errno = faults.error;
	return true;
}

/* ------------------------------------------------------------------ what is written down */

enum deed_kind {
	DEED_MAKE,
	DEED_WRITE,
	DEED_CUT,
	DEED_SYNC,
	DEED_LOST,
	DEED_UNLINK,
	DEED_RENAME,
	DEED_NAMES
};

struct deed {
	enum deed_kind kind;
	uint32_t file; /* the how-manieth that was made */
	char name[64], to[64];
	uint64_t at;
	size_t n;
	uint8_t *bytes;
};

#define POWER_FDS 256

static struct {
	bool on;
	struct deed *at;
	uint32_t n, cap, files;
	int64_t file_of[POWER_FDS]; /* 1 + file; 0 none, -1 a folder */
} power;

static struct deed *deed(enum deed_kind kind, uint32_t file)
{
	if (power.n == power.cap) {
		power.cap = power.cap * 2 + 256;
		power.at = realloc(power.at, power.cap * sizeof *power.at);
		assert_non_null(power.at);
	}
	power.at[power.n] = (struct deed){.kind = kind, .file = file};
	return &power.at[power.n++];
}

__attribute__((unused)) static void power_reset(bool on)
{
	for (uint32_t i = 0; i < power.n; i++)
		free(power.at[i].bytes);
	free(power.at);
	memset(&power, 0, sizeof power);
	power.on = on;
}

static int64_t power_file(int fd)
{
	return power.on && fd >= 0 && fd < POWER_FDS ? power.file_of[fd] : 0;
}

/* ------------------------------------------------------------------ the calls */

int openat(int at, const char *name, int flags, ...)
{
	if (fault(CALL_OPEN)) return -1;
	bool there = syscall(SYS_faccessat, at, name, F_OK) == 0;
	int fd = (int)syscall(SYS_openat, at, name, flags, 0600);
	if (!power.on || fd < 0 || fd >= POWER_FDS) return fd;
	power.file_of[fd] = 0;
	if (flags & O_DIRECTORY) {
		power.file_of[fd] = -1;
	} else if (!there && flags & O_CREAT) {
		struct deed *d = deed(DEED_MAKE, power.files++);
		snprintf(d->name, sizeof d->name, "%.63s", name);
		power.file_of[fd] = power.files;
	} else {
		for (uint32_t i = power.n; i-- > 0;)
			if (power.at[i].kind == DEED_MAKE && !strcmp(power.at[i].name, name)) {
				power.file_of[fd] = 1 + power.at[i].file;
				break;
			}
	}
	return fd;
}

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
	if (fault(CALL_READ)) return -1;
	return syscall(SYS_pread64, fd, to, n, at);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
	bool failed = fault(CALL_WRITE);
	if (failed && (!faults.torn || n < 2)) return -1;
	if (failed) n /= 2;
	ssize_t put = syscall(SYS_pwrite64, fd, from, n, at);
	int64_t file = power_file(fd);
	if (put > 0 && file > 0) {
		struct deed *d = deed(DEED_WRITE, (uint32_t)(file - 1));
		d->at = (uint64_t)at;
		d->n = (size_t)put;
		d->bytes = malloc(d->n);
		assert_non_null(d->bytes);
		memcpy(d->bytes, from, d->n);
	}
	if (!failed) return put;
	errno = faults.error;
	return -1;
}

int ftruncate(int fd, off_t size)
{
	if (fault(CALL_CUT)) return -1;
	int64_t file = power_file(fd);
	if (file > 0) deed(DEED_CUT, (uint32_t)(file - 1))->at = (uint64_t)size;
	return (int)syscall(SYS_ftruncate, fd, size);
}

/* The disk is not waited for: it is the one that is written down which counts. */
static int synced(int fd, bool names)
{
	int64_t file = power_file(fd);
	bool failed = fault(CALL_SYNC);
	if (file > 0) deed(failed ? DEED_LOST : DEED_SYNC, (uint32_t)(file - 1));
	if (file < 0 && names && !failed) deed(DEED_NAMES, 0);
	return failed ? -1 : 0;
}

int fdatasync(int fd)
{
	return synced(fd, false);
}

int fsync(int fd)
{
	return synced(fd, true);
}

int unlinkat(int at, const char *name, int flags)
{
	if (fault(CALL_UNLINK)) return -1;
	int rc = (int)syscall(SYS_unlinkat, at, name, flags);
	if (power.on && rc == 0) snprintf(deed(DEED_UNLINK, 0)->name, 64, "%.63s", name);
	return rc;
}

int renameat(int at, const char *name, int to_at, const char *to)
{
	if (fault(CALL_UNLINK)) return -1;
	int rc = (int)syscall(SYS_renameat, at, name, to_at, to);
	if (!power.on || rc < 0) return rc;
	struct deed *d = deed(DEED_RENAME, 0);
	snprintf(d->name, sizeof d->name, "%.63s", name);
	snprintf(d->to, sizeof d->to, "%.63s", to);
	return rc;
}

void *mmap(void *to, size_t n, int protection, int flags, int fd, off_t at)
{
	if (fd >= 0 && fault(CALL_MAP)) return MAP_FAILED;
	return (void *)syscall(SYS_mmap, to, n, protection, flags, fd, at);
}

/* ------------------------------------------------------------------ after the loss of power */

struct image {
	uint8_t *bytes;
	size_t n, cap;
};

static void image_apply(struct image *f, const struct deed *d)
{
	uint64_t end = d->kind == DEED_CUT ? d->at : d->at + d->n;
	if (end > f->cap) {
		f->bytes = realloc(f->bytes, end * 2);
		assert_non_null(f->bytes);
		memset(f->bytes + f->cap, 0, end * 2 - f->cap);
		f->cap = end * 2;
	}
	if (d->kind == DEED_CUT) {
		if (end < f->n) memset(f->bytes + end, 0, f->n - end);
		f->n = end;
		return;
	}
	memcpy(f->bytes + d->at, d->bytes, d->n);
	f->n = HG_MAX(f->n, end);
}

/* The last deed on the file, below k, from which nothing before can be lost any more. */
static uint32_t image_sure(uint32_t file, uint32_t k)
{
	for (uint32_t i = k; i-- > 0;)
		if (power.at[i].kind == DEED_SYNC && power.at[i].file == file) return i;
	return 0;
}

/* Whether a sync that failed took what was written at i. */
static bool image_lost(uint32_t file, uint32_t i, uint32_t k)
{
	for (; i < k; i++) {
		if (power.at[i].file != file) continue;
		if (power.at[i].kind == DEED_SYNC) return false;
		if (power.at[i].kind == DEED_LOST) return true;
	}
	return false;
}

static void image_put(const char *dir, const char *name, uint32_t file, uint32_t k, int keep,
        struct hg_rand *rand)
{
	struct image f = {0};
	uint32_t sure = image_sure(file, k);
	char path[256];
	for (uint32_t i = 0; i < k; i++) {
		const struct deed *d = &power.at[i];
		if (d->file != file || (d->kind != DEED_WRITE && d->kind != DEED_CUT)) continue;
		if (d->kind == DEED_WRITE && image_lost(file, i, k)) continue;
		bool there = i < sure || keep == 2 || (keep == 1 && hg_rand_below(rand, 2));
		if (there) image_apply(&f, d);
	}
	snprintf(path, sizeof path, "%.180s/%.63s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	if (f.n) assert_int_equal(syscall(SYS_write, fd, f.bytes, f.n), f.n);
	close(fd);
	free(f.bytes);
}

struct named {
	char name[64];
	uint32_t file;
	bool used;
};

static struct named *named(struct named *at, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++)
		if (at[i].used && strcmp(at[i].name, name) == 0) return &at[i];
	return NULL;
}

static void name_apply(struct named *at, uint32_t n, const struct deed *d)
{
	struct named *old = named(at, n, d->kind == DEED_RENAME ? d->to : d->name);
	struct named *from = d->kind == DEED_RENAME ? named(at, n, d->name) : NULL;
	if (d->kind == DEED_RENAME && !from) return;
	if (old) old->used = false;
	if (from) memcpy(from->name, d->to, sizeof from->name);
	if (d->kind != DEED_MAKE) return;
	uint32_t i = 0;
	while (at[i].used)
		i++;
	HG_ASSERT(i < n);
	at[i] = (struct named){.file = d->file, .used = true};
	memcpy(at[i].name, d->name, sizeof at[i].name);
}

/*
 * Makes `dir` what a disk may have after the deeds below k. `keep`: of what is not sure 0 nothing,
 * 1 any part, 2 all. Names: 0 what was made is not there, and what was removed is gone; 1 any; 2 as
 * they were.
 */
__attribute__((unused)) static void power_image(
        const char *dir, uint32_t k, int keep, int names, struct hg_rand *rand)
{
	struct named at[POWER_FDS] = {0};
	uint32_t sure = 0;
	bool was = power.on;
	box_empty(dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	power.on = false;
	for (uint32_t i = 0; i < k; i++)
		if (power.at[i].kind == DEED_NAMES) sure = i;
	for (uint32_t i = 0; i < k; i++) {
		const struct deed *d = &power.at[i];
		if (d->kind != DEED_MAKE && d->kind != DEED_UNLINK && d->kind != DEED_RENAME)
			continue;
		bool there =
		        names == 0 ? d->kind == DEED_UNLINK : names == 2 || hg_rand_below(rand, 2);
		if (i < sure || there) name_apply(at, POWER_FDS, d);
	}
	for (uint32_t i = 0; i < POWER_FDS; i++)
		if (at[i].used) image_put(dir, at[i].name, at[i].file, k, keep, rand);
	power.on = was;
}

#endif
