#include "observe/logs/logs_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/disk.h"

#define NAME_CAP    160
#define PIPE_BYTES  (256 * 1024)
#define MOVE_BYTES  (1024u * 1024)
#define END_BYTES   (64u << 20) /* a writer that outlives its replica cannot hold us for ever */
#define PUNCH_LEAST (256u * 1024)
#define PUNCH_ALIGN 4096u

static void spool_name(const struct logs_label *b, char to[static NAME_CAP])
{
	snprintf(to, NAME_CAP, "%s.%u.%u.%u.%s", b->app, b->release, b->replica, b->incarnation,
	        b->stream == LOGS_STDERR ? "err" : "out");
}

static bool cut_u32(struct hg_str *rest, uint32_t *ret_v)
{
	uint64_t v;
	if (!hg_str_u64(hg_str_cut(rest, '.'), &v) || v > UINT32_MAX) return false;
	*ret_v = (uint32_t)v;
	return true;
}

static bool spool_name_parse(const char *name, struct logs_label *ret_label)
{
	struct hg_str rest = hg_str(name), app = hg_str_cut(&rest, '.');
	if (!app_name_valid(app) || !cut_u32(&rest, &ret_label->release) ||
	        !cut_u32(&rest, &ret_label->replica) || !cut_u32(&rest, &ret_label->incarnation))
		return false;
	bool err = hg_str_eq(rest, HG_STR("err"));
	if (!err && !hg_str_eq(rest, HG_STR("out"))) return false;
	ret_label->stream = err ? LOGS_STDERR : LOGS_STDOUT;
	return hg_str_copy(app, ret_label->app, sizeof ret_label->app);
}

static bool label_same(const struct logs_label *a, const struct logs_label *b)
{
	return a->release == b->release && a->replica == b->replica &&
	       a->incarnation == b->incarnation && a->stream == b->stream;
}

static struct logs_source *source_find(struct log_app *a, const struct logs_label *label)
{
	HG_LIST_EACH (at, &a->sources) {
		struct logs_source *s = HG_CONTAINER(at, struct logs_source, node);
		if (label_same(&s->label, label)) return s;
	}
	return NULL;
}

/* How far the last block had read this spool. */
static struct block_label *offset_find(const struct log_app *a, const struct logs_label *b)
{
	for (uint32_t i = 0; i < a->gone_count; i++) {
		struct block_label *g = &a->gone[i];
		if (g->release == b->release && g->replica == b->replica &&
		        g->incarnation == b->incarnation && g->stream == b->stream)
			return g;
	}
	return NULL;
}

/*
 * A spool file that is new although the last block names it was removed because all of it was
 * committed: it begins with a hole up to there, so that offsets never mean two things.
 */
static enum hg_rc source_place(struct logs_source *s, bool is_new)
{
	const struct block_label *known = offset_find(s->app, &s->label);
	int64_t size = disk_size(s->spool_fd);
	if (size < 0) return HG_E_IO;
	uint64_t from = known ? known->offset : 0;
	if (is_new && from > 0) {
		if (disk_cut(s->spool_fd, from) < 0) return HG_E_IO;
		size = (int64_t)from;
	}
	if (from > (uint64_t)size) from = 0; /* somebody else's file: nothing of it was read */
	s->size = (uint64_t)size;
	s->parsed = s->written = s->committed = from;
	s->punched = from / PUNCH_ALIGN * PUNCH_ALIGN;
	s->in_line = from && (known->flags & LABEL_IN_LINE);
	return HG_OK;
}

static enum hg_rc source_new(
        struct logs *l, const struct logs_label *label, struct logs_source **ret_source)
{
	enum hg_rc rc;
	char name[NAME_CAP];
	struct log_app *a = app_get(l, hg_str(label->app), true, &rc);
	if (!a) return rc;
	if (l->source_count >= LOGS_SOURCES_MAX) return HG_E_NOMEM;
	struct logs_source *s = calloc(1, sizeof *s);
	if (!s) return HG_E_NOMEM;
	*s = (struct logs_source){.app = a, .label = *label, .pipe_fd = -1};
	hg_list_init(&s->node);
	spool_name(label, name);
	s->spool_fd = disk_open(l->spool_dir, name, O_RDWR);
	bool is_new = s->spool_fd == -ENOENT;
	if (is_new) s->spool_fd = disk_open(l->spool_dir, name, O_RDWR | O_CREAT);
	rc = s->spool_fd < 0 ? HG_E_IO : source_place(s, is_new);
	if (rc < 0) {
		disk_close(s->spool_fd);
		free(s);
		return rc;
	}
	hg_list_append(&a->sources, &s->node);
	l->source_count++;
	*ret_source = s;
	return HG_OK;
}

void source_free(struct logs *l, struct logs_source *s)
{
	hg_list_remove(&s->node);
	disk_close(s->pipe_fd);
	disk_close(s->spool_fd);
	l->source_count--;
	free(s);
}

/* What is in the spool now came before this start: its time is that of the last write. */
static void source_recover(struct logs_source *s)
{
	HG_ASSERT(s);
	int64_t size = disk_size(s->spool_fd);
	if (size > 0 && (uint64_t)size > s->size) s->size = (uint64_t)size;
	if (s->size > s->parsed) {
		s->recovered = true;
		s->recovered_to = s->size;
		s->recovered_ns = disk_modified_ns(s->spool_fd);
	}
}

enum hg_rc logs_source_open(struct logs *l, const struct logs_label *label, int pipe_fd,
        struct logs_source **ret_source)
{
	enum hg_rc rc = HG_E_INVALID;
	struct logs_source *s = NULL;
	if (memchr(label->app, 0, sizeof label->app) == NULL) goto out;
	struct log_app *a = app_get(l, hg_str(label->app), true, &rc);
	if (!a) goto out;
	s = source_find(a, label);
	if (!s) {
		rc = source_new(l, label, &s);
		if (rc < 0) goto out;
	}
	source_recover(s);
	s->orphan = s->ended = false;
	disk_close(s->pipe_fd);
	s->pipe_fd = pipe_fd;
	disk_pipe_size(pipe_fd, PIPE_BYTES);
	pipe_fd = -1;
	*ret_source = s;
	rc = HG_OK;
out:
	disk_close(pipe_fd);
	return rc;
}

static bool scan_one(void *arg, const char *name)
{
	struct logs *l = arg;
	struct logs_label label = {0};
	struct logs_source *s;
	if (!spool_name_parse(name, &label)) return true;
	if (source_new(l, &label, &s) < 0) return true; /* its file stays for the next start */
	s->orphan = true;
	source_recover(s);
	return true;
}

enum hg_rc spool_scan(struct logs *l)
{
	return disk_list(l->spool_dir, scan_one, l) < 0 ? HG_E_IO : HG_OK;
}

static uint64_t arrival_of(struct logs *l, struct logs_source *s)
{
	uint64_t now = l->o.wall_ns();
	if (s->recovered && s->parsed < s->recovered_to) return HG_MIN(s->recovered_ns, now);
	s->recovered = false;
	return now;
}

/* A split must not tear a UTF-8 sequence: back to its first byte, at most three. */
static size_t split_at(const char *p, size_t n)
{
	size_t at = n;
	while (at > n - 3 && ((unsigned char)p[at] & 0xc0) == 0x80)
		at--;
	return ((unsigned char)p[at] & 0xc0) == 0x80 ? n : at;
}

static void note_dropped(struct logs *l, struct logs_source *s)
{
	char text[64];
	int n = snprintf(
	        text, sizeof text, "%llu lines dropped: disk full", (unsigned long long)s->dropped);
	if (app_add(l, s->app, s, (struct hg_str){text, (size_t)n}, LOGS_NOTE, l->o.wall_ns()) ==
	        HG_OK)
		s->dropped = 0;
}

/* One line or part of it from the `n` bytes at s->parsed; 0: not complete yet, or no room. */
static size_t parse_one(struct logs *l, struct logs_source *s, const char *p, size_t n, bool last)
{
	size_t window = HG_MIN(n, (size_t)LOGS_LINE_MAX + 1), used, length;
	unsigned flags = s->in_line ? LOGS_CONTINUED : 0;
	if (s->break_at > s->parsed && s->break_at - s->parsed < window)
		window = (size_t)(s->break_at - s->parsed);
	bool broken = s->break_at == s->parsed + window;
	const char *feed = memchr(p, '\n', window);
	if (feed) {
		length = (size_t)(feed - p);
		used = length + 1;
	} else if (window > LOGS_LINE_MAX) {
		used = length = split_at(p, LOGS_LINE_MAX);
		flags |= LOGS_SPLIT;
	} else if (broken || (last && window == n)) {
		used = length = window;
	} else {
		return 0;
	}
	struct hg_str text = {p, length};
	if (feed && length && p[length - 1] == '\r') text.n--;
	/* An empty rest of a split line is no line. */
	bool nothing = text.n == 0 && s->in_line;
	if (!nothing && app_add(l, s->app, s, text, flags, arrival_of(l, s)) < 0) return 0;
	/* A line broken off by a gap is ended by gap_close(), and that is no line of its own. */
	s->in_line = (flags & LOGS_SPLIT) || (!feed && broken);
	return used;
}

void spool_parse(struct logs *l, struct logs_source *s)
{
	while (s->parsed < s->size) {
		size_t want = HG_MIN((uint64_t)LOGS_READ_BYTES, s->size - s->parsed), at = 0;
		ssize_t got = disk_read(s->spool_fd, l->read_buf, want, s->parsed);
		if (got <= 0) return;
		bool last = s->ended && s->parsed + (uint64_t)got == s->size;
		while (at < (size_t)got) {
			size_t used = parse_one(l, s, l->read_buf + at, (size_t)got - at, last);
			if (used == 0) break;
			at += used;
			s->parsed += used;
		}
		if (at == 0) break;
	}
	if (s->dropped && !s->dropping) note_dropped(l, s);
}

/* No room in the file system: take the bytes out of the pipe and count the lines. */
static ssize_t drop_some(struct logs *l, struct logs_source *s)
{
	ssize_t n = disk_read_pipe(s->pipe_fd, l->read_buf, LOGS_READ_BYTES);
	if (n <= 0) return n;
	uint64_t lines = 0;
	for (ssize_t i = 0; i < n; i++)
		lines += l->read_buf[i] == '\n';
	if (!s->dropping) {
		s->dropping = true;
		s->break_at = s->size;
	}
	s->drop_to_line_end = l->read_buf[n - 1] != '\n';
	s->dropped += lines;
	l->stats.dropped += lines;
	return n;
}

/* The rest of a line whose beginning is gone: byte by byte is slow, and rare. */
static bool drop_rest(struct logs *l, struct logs_source *s)
{
	char c = 0;
	for (unsigned i = 0; i < MOVE_BYTES && s->drop_to_line_end; i++) {
		if (disk_read_pipe(s->pipe_fd, &c, 1) <= 0) return false;
		if (c != '\n') continue;
		s->drop_to_line_end = false;
		s->dropped++;
		l->stats.dropped++;
	}
	return !s->drop_to_line_end;
}

/* For file systems that cannot splice: a kill between the two calls loses what was read. */
static ssize_t copy_some(struct logs *l, struct logs_source *s)
{
	ssize_t n = disk_read_pipe(s->pipe_fd, l->read_buf, LOGS_READ_BYTES);
	if (n <= 0) return n;
	int rc = disk_write(s->spool_fd, l->read_buf, (size_t)n, s->size);
	return rc < 0 ? rc : n;
}

/*
 * Is there room again behind lines that were dropped? Then the part of a line that came before the
 * gap ends here, in the file: after a kill too it is never joined to the line that comes next.
 */
static int gap_close(struct logs_source *s)
{
	char last = s->in_line ? 0 : '\n';
	if (s->parsed < s->size && disk_read(s->spool_fd, &last, 1, s->size - 1) != 1) return -EIO;
	int rc = disk_write(s->spool_fd, "\n", 1, s->size);
	if (rc < 0) return rc;
	if (last == '\n') return disk_cut(s->spool_fd, s->size);
	s->size++;
	return 0;
}

static ssize_t move_some(struct logs *l, struct logs_source *s)
{
	if (s->dropping) {
		int rc = gap_close(s);
		if (rc < 0) return disk_is_full(rc) ? rc : -EIO;
		if (s->drop_to_line_end && !drop_rest(l, s)) return -EAGAIN;
	}
	ssize_t n = disk_splice(s->pipe_fd, s->spool_fd, s->size, MOVE_BYTES);
	if (n == -EINVAL) n = copy_some(l, s);
	if (n > 0) {
		s->size += (uint64_t)n;
		s->dropping = false;
	}
	return n;
}

enum logs_drained logs_source_drain(struct logs *l, struct logs_source *s)
{
	enum logs_drained how = LOGS_MORE;
	if (s->pipe_fd < 0) return LOGS_CLOSED;
	ssize_t n = move_some(l, s);
	if (n < 0 && n != -EAGAIN) {
		if (store_relieve(l)) n = move_some(l, s);
		if (n < 0 && n != -EAGAIN) n = drop_some(l, s);
	}
	if (n == 0) how = LOGS_CLOSED;
	if (n < 0) how = LOGS_EMPTY;
	spool_parse(l, s);
	return how;
}

void logs_source_end(struct logs *l, struct logs_source *s)
{
	for (uint32_t moved = 0; moved < END_BYTES / MOVE_BYTES; moved++)
		if (logs_source_drain(l, s) != LOGS_MORE) break;
	disk_close(s->pipe_fd);
	s->pipe_fd = -1;
	s->ended = true;
	s->dropping = false;
	spool_parse(l, s);
}

void logs_orphans_end(struct logs *l)
{
	HG_LIST_EACH (app, &l->apps) {
		struct log_app *a = HG_CONTAINER(app, struct log_app, node);
		HG_LIST_EACH (at, &a->sources) {
			struct logs_source *s = HG_CONTAINER(at, struct logs_source, node);
			if (!s->orphan) continue;
			source_recover(s);
			s->ended = true;
			spool_parse(l, s);
		}
	}
}

void spool_punch(struct logs_source *s)
{
	uint64_t to = s->committed / PUNCH_ALIGN * PUNCH_ALIGN;
	if (to < s->punched + PUNCH_LEAST) return;
	/* Where the file system has no holes the file is given back when the source ends. */
	(void)!disk_punch(s->spool_fd, s->punched, to - s->punched);
	s->punched = to;
}

bool spool_reap(struct logs *l, struct logs_source *s)
{
	char name[NAME_CAP];
	if (!s->ended || s->committed < s->size || s->dropped) return false;
	if (s->app->live.count && s->live_generation == s->app->live.generation) return false;
	spool_name(&s->label, name);
	disk_unlink(l->spool_dir, name);
	/* Should it come again, its offsets go on where they ended. */
	struct block_label *known = offset_find(s->app, &s->label);
	if (known) known->offset = s->committed;
	source_free(l, s);
	return true;
}
