#include "observe/logs/logs_priv.h"

#include <stdlib.h>

#include "observe/logs/entry_priv.h"
#include "os/disk.h"

bool app_name_valid(struct hg_str name)
{
	if (name.n == 0 || name.n >= LOGS_APP_MAX) return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
	}
	return true;
}

static void retention_read(struct log_app *a)
{
	char text[64];
	a->keep_ms = LOGS_KEEP_MS;
	a->max_bytes = LOGS_MAX_BYTES;
	int fd = disk_open(a->dir, "retention", O_RDONLY);
	if (fd < 0) return;
	ssize_t n = disk_read(fd, text, sizeof text, 0);
	disk_close(fd);
	struct hg_str rest = {text, n > 0 ? (size_t)n : 0};
	struct hg_str keep = hg_str_cut(&rest, ' ');
	uint64_t keep_ms, max_bytes;
	if (!hg_str_u64(keep, &keep_ms) || !hg_str_u64(hg_str_trim(rest), &max_bytes)) return;
	a->keep_ms = keep_ms;
	a->max_bytes = max_bytes;
}

static enum hg_rc app_load(struct logs *l, struct log_app *a)
{
	a->dir = disk_dir(l->dir, a->name);
	if (a->dir < 0) return HG_E_IO;
	retention_read(a);
	return segments_load(l, a);
}

struct log_app *app_get(struct logs *l, struct hg_str name, bool create, enum hg_rc *ret_rc)
{
	*ret_rc = HG_E_INVALID;
	if (!app_name_valid(name)) return NULL;
	HG_LIST_EACH (at, &l->apps) {
		struct log_app *a = HG_CONTAINER(at, struct log_app, node);
		if (hg_str_eq(hg_str(a->name), name)) return a;
	}
	*ret_rc = create ? HG_E_NOMEM : HG_E_NOT_FOUND;
	if (!create || l->app_count >= LOGS_APPS_MAX) return NULL;
	struct log_app *a = calloc(1, sizeof *a);
	if (!a) return NULL;
	hg_list_init(&a->node);
	hg_list_init(&a->sources);
	hg_str_copy(name, a->name, sizeof a->name);
	a->active_fd = -1;
	a->next_seq = 1;
	a->live.generation = 1;
	*ret_rc = app_load(l, a);
	if (*ret_rc < 0) {
		app_free(l, a);
		return NULL;
	}
	a->live.min_seq = a->next_seq;
	hg_list_append(&l->apps, &a->node);
	l->app_count++;
	return a;
}

static size_t live_size(const struct log_live *v)
{
	return v->text_cap + v->items_cap * sizeof *v->items + v->labels_cap * sizeof *v->labels;
}

void app_live_trim(struct logs *l, struct log_app *a)
{
	struct log_live *v = &a->live;
	if (v->count) return;
	l->live_bytes -= live_size(v);
	free(v->text);
	free(v->items);
	free(v->labels);
	v->text = NULL;
	v->items = NULL;
	v->labels = NULL;
	v->text_cap = v->items_cap = v->labels_cap = 0;
}

void app_free(struct logs *l, struct log_app *a)
{
	if (!a) return;
	if (!hg_list_empty(&a->node)) {
		hg_list_remove(&a->node);
		l->app_count--;
	}
	a->live.count = 0;
	app_live_trim(l, a);
	disk_close(a->active_fd);
	disk_close(a->dir);
	free(a->segments);
	free(a->gone);
	free(a);
}

uint64_t app_bytes(const struct log_app *a)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < a->segment_count; i++)
		sum += a->segments[i].size;
	return sum;
}

static bool grow(void **p, uint32_t *cap, uint32_t want, uint32_t least, uint32_t most, size_t unit)
{
	if (want <= *cap) return true;
	uint32_t next = HG_MAX(HG_MIN(HG_MAX(*cap * 2, least), most), want);
	void *q = realloc(*p, next * unit);
	if (!q) return false;
	*p = q;
	*cap = next;
	return true;
}

static bool live_room(struct logs *l, struct log_live *v, uint32_t text)
{
	size_t before = live_size(v);
	uint32_t most = l->o.block_bytes + LOGS_LINE_MAX;
	bool good = grow((void **)&v->text, &v->text_cap, v->text_size + text, 4096, most, 1) &&
	            grow((void **)&v->items, &v->items_cap, v->count + 1, 64, BLOCK_ENTRIES_MAX,
	                    sizeof *v->items) &&
	            grow((void **)&v->labels, &v->labels_cap, v->label_count + 1, 4,
	                    BLOCK_LABELS_MAX, sizeof *v->labels);
	l->live_bytes += live_size(v) - before;
	return good;
}

static struct block_label label_of(const struct logs_source *s)
{
	return (struct block_label){.release = s->label.release,
	        .replica = s->label.replica,
	        .incarnation = s->label.incarnation,
	        .stream = (uint8_t)s->label.stream,
	        .flags = s->in_line ? LABEL_IN_LINE : 0,
	        .offset = s->parsed};
}

static bool live_full(const struct logs *l, const struct log_live *v, size_t more)
{
	return v->count >= BLOCK_ENTRIES_MAX ||
	       (v->count && v->text_size + more + 1 > l->o.block_bytes);
}

enum hg_rc app_add(struct logs *l, struct log_app *a, struct logs_source *s, struct hg_str text,
        unsigned flags, uint64_t ns)
{
	struct log_live *v = &a->live;
	HG_ASSERT(text.n <= LOGS_LINE_MAX);
	if (live_full(l, v, text.n)) {
		enum hg_rc rc = app_commit(l, a);
		if (rc < 0) return rc;
	}
	if (!live_room(l, v, (uint32_t)text.n + 1)) return HG_E_NOMEM;
	if (v->count == 0) v->since_ms = l->now_ms;
	if (s->live_generation != v->generation) {
		s->live_generation = v->generation;
		s->live_label = v->label_count;
		v->labels[v->label_count++] = label_of(s);
	}
	struct entry_said said = entry_read(text);
	enum hg_level level = flags & LOGS_NOTE ? HG_WARN : said.level;
	/* Arrival never runs backwards: the order of lines is the order of their times. */
	a->last_ns = HG_MAX(a->last_ns, ns);
	v->labels[s->live_label].lines++;
	v->items[v->count++] = (struct block_item){.ts_ns = a->last_ns,
	        .event_ns = said.event_ns,
	        .length = (uint32_t)text.n,
	        .label = (uint16_t)s->live_label,
	        .level = (uint8_t)level,
	        .flags = (uint8_t)flags};
	if (text.n) memcpy(v->text + v->text_size, text.p, text.n);
	v->text_size += (uint32_t)text.n;
	v->text[v->text_size++] = '\n';
	a->next_seq++;
	a->lines[level]++;
	l->stats.lines++;
	l->stats.bytes += text.n + 1;
	return HG_OK;
}

/* The labels of the lines, then every other source with a spool file: the offsets of all of them
 * belong to the block, so that the last block alone tells where to go on. */
static enum hg_rc labels_complete(struct logs *l, struct log_app *a, uint32_t *ret_n)
{
	struct log_live *v = &a->live;
	uint32_t n = v->label_count;
	HG_LIST_EACH (at, &a->sources) {
		const struct logs_source *s = HG_CONTAINER(at, struct logs_source, node);
		bool has_lines = s->live_generation == v->generation;
		if (!has_lines && n >= BLOCK_LABELS_MAX) continue;
		size_t before = live_size(v);
		bool good = grow((void **)&v->labels, &v->labels_cap, n + 1, 4,
		        BLOCK_LABELS_MAX + 1, sizeof *v->labels);
		l->live_bytes += live_size(v) - before;
		if (!good) return HG_E_NOMEM;
		struct block_label label = label_of(s);
		if (has_lines) label.lines = v->labels[s->live_label].lines;
		v->labels[has_lines ? s->live_label : n++] = label;
	}
	*ret_n = n;
	return HG_OK;
}

static bool scratch(char **p, size_t *cap, size_t want)
{
	if (want <= *cap) return true;
	char *q = realloc(*p, want);
	if (!q) return false;
	*p = q;
	*cap = want;
	return true;
}

enum hg_rc app_commit(struct logs *l, struct log_app *a)
{
	struct log_live *v = &a->live;
	uint32_t label_count;
	size_t size;
	if (v->count == 0) return HG_OK;
	enum hg_rc rc = labels_complete(l, a, &label_count);
	if (rc < 0) return rc;
	size_t bound = block_bound(v->count, v->text_size, label_count);
	if (!scratch(&l->raw, &l->raw_cap, v->count * BLOCK_COLUMNS + v->text_size) ||
	        !scratch(&l->encoded, &l->encoded_cap, bound))
		return HG_E_NOMEM;
	struct block_head head = {
	        .count = v->count, .label_count = label_count, .min_seq = v->min_seq};
	rc = block_encode(l->cctx, &head, v->labels, v->items, v->text, v->text_size, l->raw,
	        l->encoded, l->encoded_cap, &size);
	if (rc < 0) return rc;
	rc = segment_append(l, a, l->encoded, size, head.min_ns, head.min_seq);
	if (rc < 0 && store_relieve(l))
		rc = segment_append(l, a, l->encoded, size, head.min_ns, head.min_seq);
	if (rc < 0) return rc;
	HG_LIST_EACH (at, &a->sources) {
		struct logs_source *s = HG_CONTAINER(at, struct logs_source, node);
		s->written = s->parsed;
	}
	v->text_size = v->count = v->label_count = 0;
	v->min_seq = a->next_seq;
	v->generation++;
	if (a->segment_count > LOGS_SEGMENTS_MAX) segments_drop(l, a, 1);
	return HG_OK;
}

void app_sync(struct logs *l, struct log_app *a)
{
	segment_sync(a);
	if (a->unsynced) return;
	HG_LIST_EACH_SAFE (at, after, &a->sources) {
		struct logs_source *s = HG_CONTAINER(at, struct logs_source, node);
		s->committed = s->written;
		if (!spool_reap(l, s)) spool_punch(s);
	}
}
