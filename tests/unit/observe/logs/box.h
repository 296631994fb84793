/* A folder of its own for a log store, a clock that stands where it is put, and lines into it. */
#ifndef TESTS_LOGS_BOX_H
#define TESTS_LOGS_BOX_H

#include "tests/unit/test.h"

#include "observe/logs/logs.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <unistd.h>

static uint64_t box_now_ns = 1795460400000000000u;

static uint64_t box_wall(void)
{
	return box_now_ns;
}

struct box {
	char path[64], dir[80];
	struct logs *l;
	struct logs_options o;
};

static inline void box_open(struct box *b)
{
	struct hg_err err = {0};
	if (logs_open(&b->o, &b->l, &err) != HG_OK) fail_msg("%s", err.message);
}

static inline void box_init(struct box *b, uint32_t block_bytes)
{
	*b = (struct box){.path = "/tmp/hg-logs-XXXXXX"};
	assert_non_null(mkdtemp(b->path));
	snprintf(b->dir, sizeof b->dir, "%s/logs", b->path);
	b->o = (struct logs_options){
	        .dir = b->dir, .wall_ns = box_wall, .block_bytes = block_bytes};
	box_open(b);
}

static inline int box_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static inline void box_fini(struct box *b)
{
	logs_close(b->l);
	nftw(b->path, box_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A source over a pipe; returns the write end. */
static inline int box_source(struct box *b, const char *app, uint32_t release, uint32_t replica,
        enum logs_stream stream, struct logs_source **ret_source)
{
	int p[2];
	struct logs_label label = {
	        .release = release, .replica = replica, .incarnation = replica, .stream = stream};
	hg_str_copy(hg_str(app), label.app, sizeof label.app);
	assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(logs_source_open(b->l, &label, p[0], ret_source), HG_OK);
	return p[1];
}

static inline void box_put(struct box *b, struct logs_source *s, int fd, const char *text)
{
	size_t n = strlen(text);
	while (n) {
		ssize_t w = write(fd, text, n);
		if (w > 0) {
			text += w;
			n -= (size_t)w;
		}
		while (logs_source_drain(b->l, s) == LOGS_MORE)
			;
	}
}

/* All lines that are found, each closed by a line feed; the caller frees it. */
static inline char *box_find(struct box *b, const struct logs_query *q, size_t *ret_count)
{
	struct logs_search *s;
	struct logs_entry e;
	struct hg_buf out;
	*ret_count = 0;
	hg_buf_init(&out, 256u << 20);
	assert_int_equal(logs_search_new(b->l, q, &s), HG_OK);
	for (;;) {
		unsigned blocks = 1;
		enum logs_found f = logs_search_next(s, &blocks, &e);
		if (f == LOGS_NO_MORE) break;
		if (f == LOGS_WORKING) continue;
		hg_buf_str(&out, e.text);
		hg_buf_byte(&out, '\n');
		++*ret_count;
	}
	logs_search_free(s);
	if (out.n == 0) hg_buf_cstr(&out, "");
	char *text = hg_buf_take(&out);
	return text ? text : calloc(1, 1);
}

static inline void box_expect(struct box *b, const struct logs_query *q, const char *want)
{
	size_t n;
	char *have = box_find(b, q, &n);
	assert_string_equal(have, want);
	free(have);
}

#endif
