/* A folder of its own for a store, its files, and damage done to them. */
#ifndef TESTS_TSDB_BOX_H
#define TESTS_TSDB_BOX_H

#include "model.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

struct box {
	char path[64], dir[80];
	struct tsdb_options o;
};

static inline void box_init(struct box *b)
{
	*b = (struct box){.path = "/tmp/hg-tsdb-XXXXXX"};
	assert_non_null(mkdtemp(b->path));
	snprintf(b->dir, sizeof b->dir, "%s/m", b->path);
	b->o = (struct tsdb_options){.dir = b->dir, .window_ms = 600000};
}

static inline int box_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static inline void box_empty(const char *path)
{
	nftw(path, box_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void box_fini(struct box *b)
{
	box_empty(b->path);
}

/* Names of the files that end so; returns how many. */
static inline uint32_t box_files(const char *dir, const char *end, char (*to)[64], uint32_t cap)
{
	uint32_t n = 0;
	DIR *d = opendir(dir);
	if (!d) return 0;
	for (struct dirent *e; (e = readdir(d));)
		if (n < cap && hg_str_ends(hg_str(e->d_name), hg_str(end)))
			snprintf(to[n++], 64, "%.63s", e->d_name);
	closedir(d);
	return n;
}

static inline void box_copy_file(const char *from_dir, const char *to_dir, const char *name)
{
	char path[4400], *bytes = NULL;
	struct stat st;
	snprintf(path, sizeof path, "%s/%s", from_dir, name);
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	bytes = malloc((size_t)st.st_size + 1);
	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	snprintf(path, sizeof path, "%s/%s", to_dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	free(bytes);
}

static inline void box_copy(const char *from, const char *to)
{
	char names[64][64];
	box_empty(to);
	assert_int_equal(mkdir(to, 0700), 0);
	uint32_t n = box_files(from, "", names, 64);
	for (uint32_t i = 0; i < n; i++)
		if (names[i][0] != '.') box_copy_file(from, to, names[i]);
}

static inline int64_t box_size(const char *dir, const char *name)
{
	char path[4400];
	struct stat st;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return stat(path, &st) == 0 ? st.st_size : -1;
}

/* Flips one bit. */
static inline void box_flip(const char *dir, const char *name, int64_t at, unsigned bit)
{
	char path[4400], c;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c = (char)(c ^ (1 << bit));
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

static inline void box_cut(const char *dir, const char *name, int64_t at)
{
	char path[4400];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	assert_int_equal(truncate(path, at), 0);
}

#endif
