#include "observe/logs/logs_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "os/disk.h"

#define NAME_CAP 64

static void segment_name(const struct log_segment *seg, char to[static NAME_CAP])
{
	snprintf(to, NAME_CAP, "%020llu-%020llu.hgl", (unsigned long long)seg->first_ns,
	        (unsigned long long)seg->first_seq);
}

static bool segment_name_parse(const char *name, struct log_segment *ret_seg)
{
	struct hg_str s = hg_str(name);
	if (s.n != 45 || s.p[20] != '-' || !hg_str_ends(s, HG_STR(".hgl"))) return false;
	return hg_str_u64((struct hg_str){s.p, 20}, &ret_seg->first_ns) &&
	       hg_str_u64((struct hg_str){s.p + 21, 20}, &ret_seg->first_seq);
}

int segment_open(const struct log_app *a, const struct log_segment *seg)
{
	char name[NAME_CAP];
	segment_name(seg, name);
	return disk_open(a->dir, name, O_RDONLY);
}

/* Reads head and labels at `at`; false when they are not whole and well. */
static bool head_read(
        int fd, uint64_t size, uint64_t at, struct hg_buf *buf, struct block_head *ret_head)
{
	struct block_head h;
	if (size - at < sizeof h) return false;
	hg_buf_reset(buf);
	/* Most heads have few labels: one read is enough. */
	size_t want = HG_MIN(size - at, (uint64_t)1024);
	char *p = hg_buf_room(buf, want);
	if (!p || disk_read(fd, p, want, at) != (ssize_t)want) return false;
	memcpy(&h, p, sizeof h);
	if (!block_head_plausible(&h) || h.head_size > size - at) return false;
	if (h.head_size > want) {
		p = hg_buf_room(buf, h.head_size);
		if (!p || disk_read(fd, p, h.head_size, at) != (ssize_t)h.head_size) return false;
	}
	hg_buf_add(buf, h.head_size);
	if (!block_head_valid(p, h.head_size, ret_head)) return false;
	return ret_head->payload_size <= size - at - ret_head->head_size;
}

/* The next place of the magic after `at`, or `size`. */
static uint64_t magic_find(int fd, uint64_t size, uint64_t at)
{
	static const char magic[4] = {'H', 'G', 'L', 'B'};
	char chunk[4096];
	for (at++; at < size && size - at >= sizeof(struct block_head);) {
		ssize_t n = disk_read(fd, chunk, sizeof chunk, at);
		if (n < (ssize_t)sizeof magic) break;
		const char *hit = memmem(chunk, (size_t)n, magic, sizeof magic);
		if (hit) return at + (uint64_t)(hit - chunk);
		at += (uint64_t)n - sizeof magic + 1;
	}
	return size;
}

bool segment_next(int fd, uint64_t size, uint64_t *at, struct hg_buf *buf,
        struct block_head *ret_head, uint64_t *ret_skipped)
{
	bool damaged = false;
	uint64_t from = *at;
	while (from < size) {
		if (head_read(fd, size, from, buf, ret_head)) {
			if (damaged) ++*ret_skipped;
			*at = from;
			return true;
		}
		damaged = true;
		from = magic_find(fd, size, from);
	}
	return false;
}

static bool payload_good(int fd, uint64_t at, const struct block_head *h, char *buf, size_t cap)
{
	uint32_t crc = 0;
	for (uint64_t done = 0; done < h->payload_size;) {
		size_t n = HG_MIN(cap, h->payload_size - done);
		if (disk_read(fd, buf, n, at + h->head_size + done) != (ssize_t)n) return false;
		crc = hg_crc32c(crc, buf, n);
		done += n;
	}
	return crc == h->payload_crc;
}

static int by_name(const void *a, const void *b)
{
	const struct log_segment *x = a, *y = b;
	if (x->first_seq != y->first_seq) return x->first_seq < y->first_seq ? -1 : 1;
	return (x->first_ns > y->first_ns) - (x->first_ns < y->first_ns);
}

struct listing {
	struct log_app *app;
	bool failed;
};

static bool segment_put(struct log_app *a, struct log_segment seg)
{
	if (a->segment_count == a->segment_cap) {
		uint32_t cap = HG_MAX(a->segment_cap * 2, 16u);
		void *p = realloc(a->segments, cap * sizeof *a->segments);
		if (!p) return false;
		a->segments = p;
		a->segment_cap = cap;
	}
	a->segments[a->segment_count++] = seg;
	return true;
}

static bool listing_add(void *arg, const char *name)
{
	struct listing *to = arg;
	struct log_segment seg = {0};
	if (!segment_name_parse(name, &seg)) return true;
	int fd = segment_open(to->app, &seg);
	int64_t size = fd < 0 ? 0 : disk_size(fd);
	disk_close(fd);
	seg.size = size > 0 ? (uint64_t)size : 0;
	if (!segment_put(to->app, seg)) to->failed = true;
	return !to->failed;
}

/* Takes over what the last good block of a segment says about the app. */
static bool state_take(struct log_app *a, const struct block_head *h, const struct hg_buf *buf)
{
	if (h->max_seq >= a->next_seq) a->next_seq = h->max_seq + 1;
	if (h->max_ns > a->last_ns) a->last_ns = h->max_ns;
	if (h->version != BLOCK_VERSION) return true;
	void *p = realloc(a->gone, HG_MAX(h->label_count, 1u) * sizeof *a->gone);
	if (!p) return false;
	a->gone = p;
	a->gone_count = h->label_count;
	memcpy(a->gone, buf->p + sizeof *h, h->label_count * sizeof *a->gone);
	return true;
}

/*
 * Walks one segment. What follows the last good block is a torn tail. Damage before it is left
 * alone: it is skipped and counted when it is read.
 */
static enum hg_rc segment_check(
        struct logs *l, struct log_app *a, struct log_segment *seg, bool *ret_any)
{
	char name[NAME_CAP];
	struct hg_buf buf;
	struct block_head h;
	uint64_t at = 0, end = 0, skipped = 0;
	segment_name(seg, name);
	int fd = disk_open(a->dir, name, O_RDWR);
	if (fd < 0) return HG_E_IO;
	hg_buf_init(&buf, BLOCK_HEAD_MAX);
	enum hg_rc rc = HG_OK;
	a->active_blocks = 0;
	while (rc == HG_OK && segment_next(fd, seg->size, &at, &buf, &h, &skipped)) {
		if (payload_good(fd, at, &h, l->read_buf, LOGS_READ_BYTES)) {
			if (!state_take(a, &h, &buf)) rc = HG_E_NOMEM;
			end = at + h.head_size + h.payload_size;
			*ret_any = true;
		}
		a->active_blocks++;
		at += h.head_size + h.payload_size;
	}
	if (rc == HG_OK && end < seg->size && disk_cut(fd, end) == 0) seg->size = end;
	hg_buf_free(&buf);
	if (rc == HG_OK && *ret_any)
		a->active_fd = fd;
	else
		disk_close(fd);
	return rc;
}

enum hg_rc segments_load(struct logs *l, struct log_app *a)
{
	struct listing to = {.app = a};
	if (disk_list(a->dir, listing_add, &to) < 0) return HG_E_IO;
	if (to.failed) return HG_E_NOMEM;
	if (a->segment_count) qsort(a->segments, a->segment_count, sizeof *a->segments, by_name);
	/* The newest that holds a block tells where to go on; empty ones behind it are nothing. */
	while (a->segment_count) {
		bool any = false;
		struct log_segment *seg = &a->segments[a->segment_count - 1];
		enum hg_rc rc = segment_check(l, a, seg, &any);
		if (rc < 0) return rc;
		if (any) break;
		char name[NAME_CAP];
		segment_name(seg, name);
		disk_unlink(a->dir, name);
		a->segment_count--;
	}
	return HG_OK;
}

static bool rotation_due(const struct logs *l, const struct log_app *a, uint64_t first_ns)
{
	const struct log_segment *seg = &a->segments[a->segment_count - 1];
	return seg->size >= l->o.segment_bytes || a->active_blocks >= LOGS_SEGMENT_BLOCKS ||
	       first_ns / LOGS_DAY_NS != seg->first_ns / LOGS_DAY_NS;
}

static enum hg_rc segment_start(struct log_app *a, uint64_t first_ns, uint64_t first_seq)
{
	struct log_segment seg = {.first_ns = first_ns, .first_seq = first_seq};
	char name[NAME_CAP];
	segment_name(&seg, name);
	if (!segment_put(a, seg)) return HG_E_NOMEM;
	int fd = disk_open(a->dir, name, O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0 || disk_sync_names(a->dir) < 0) {
		disk_close(fd);
		a->segment_count--;
		return HG_E_IO;
	}
	a->active_fd = fd;
	a->active_blocks = 0;
	return HG_OK;
}

void segment_sync(struct log_app *a)
{
	if (a->unsynced && a->active_fd >= 0 && disk_sync(a->active_fd) == 0) a->unsynced = false;
}

enum hg_rc segment_append(struct logs *l, struct log_app *a, const char *bytes, size_t n,
        uint64_t first_ns, uint64_t first_seq)
{
	if (a->active_fd >= 0 && rotation_due(l, a, first_ns)) {
		segment_sync(a);
		if (a->unsynced) return HG_E_IO;
		disk_close(a->active_fd);
		a->active_fd = -1;
	}
	if (a->active_fd < 0) {
		enum hg_rc rc = segment_start(a, first_ns, first_seq);
		if (rc < 0) return rc;
	}
	struct log_segment *seg = &a->segments[a->segment_count - 1];
	if (disk_write(a->active_fd, bytes, n, seg->size) < 0) {
		/* Part of it may be there; what stays of it would be cut at the next start. */
		(void)!disk_cut(a->active_fd, seg->size);
		if (seg->size == 0) {
			char name[NAME_CAP];
			segment_name(seg, name);
			disk_close(a->active_fd);
			disk_unlink(a->dir, name);
			a->active_fd = -1;
			a->segment_count--;
		}
		return HG_E_IO;
	}
	seg->size += n;
	a->active_blocks++;
	a->unsynced = true;
	return HG_OK;
}

void segments_drop(struct logs *l, struct log_app *a, uint32_t n)
{
	/* The last one is written to and says how far the spool was read. */
	HG_ASSERT(n < a->segment_count || n == 0);
	uint32_t gone = 0;
	for (; gone < n; gone++) {
		char name[NAME_CAP];
		segment_name(&a->segments[gone], name);
		int rc = disk_unlink(a->dir, name);
		if (rc < 0 && rc != -ENOENT) break;
	}
	l->stats.segments_dropped += gone;
	a->segment_count -= gone;
	memmove(a->segments, a->segments + gone, a->segment_count * sizeof *a->segments);
}
