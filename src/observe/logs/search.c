#include "observe/logs/logs_priv.h"

#include <stdlib.h>
#include <zstd.h>

#include "os/disk.h"

#define SEARCH_APPS_MAX 64u
#define HEADS_A_BLOCK   16u /* reading so many heads costs about as much as one block */

/*
 * One app's part of a search. It hands out one block's matching entries at a time, copied out of
 * the store: whatever the store does between two calls, what was taken stays.
 *
 * Oldest first: everything below `next_seq` was looked at. Newest first: everything from
 * `next_seq` on was looked at.
 */
struct part {
	struct log_app *app;
	uint64_t next_seq;
	/* Where the next block is: in the segment that begins with `segment_seq`, at `at`. */
	int fd;
	uint64_t segment_seq, at;
	uint32_t *offsets; /* newest first: the blocks of the segment */
	uint32_t offset_count, offset_cap;
	struct block_reader reader;
	struct block_view view;
	uint16_t *hits;
	uint32_t hit_count, hit_at;
	bool over; /* nothing more in this direction (oldest first: until new lines come) */
};

struct logs_search {
	struct logs *l;
	struct logs_query q;
	char grep[LOGS_GREP_MAX], grep_low[LOGS_GREP_MAX];
	char cursor_app[LOGS_APP_MAX];
	struct part *part;
	uint32_t part_count;
	struct hg_buf head; /* of the block that is looked at */
	char *low;          /* lower-case copy of a text */
	size_t low_cap, counted;
	uint64_t past_ns, past_seq; /* cursor */
	struct logs_volume *volume; /* lines are counted into it, not handed out */
};

static void lower(const char *from, char *to, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)from[i];
		to[i] = (char)(c + ((unsigned)(c - 'A') < 26u ? 32 : 0));
	}
}

static bool passes(const struct logs_search *s, const struct part *p, uint32_t i)
{
	const struct logs_query *q = &s->q;
	const struct block_item *it = &p->view.items[i];
	const struct block_label *b = &p->view.labels[it->label];
	uint64_t seq = p->view.head.min_seq + i;
	if (q->newest_first ? seq >= p->next_seq : seq < p->next_seq) return false;
	if (it->level < q->least) return false;
	if (q->release && b->release != q->release) return false;
	if (q->has_replica && b->replica != q->replica) return false;
	if (q->has_stream && b->stream != q->stream) return false;
	if (it->ts_ns < q->since_ns || (q->until_ns && it->ts_ns >= q->until_ns)) return false;
	if (!q->has_cursor) return true;
	int names = strcmp(p->app->name, s->cursor_app);
	bool after = it->ts_ns != s->past_ns ? it->ts_ns > s->past_ns
	             : names                 ? names > 0
	                                     : seq > s->past_seq;
	bool same = it->ts_ns == s->past_ns && names == 0 && seq == s->past_seq;
	return !same && after != q->newest_first;
}

static uint32_t entry_at(const struct block_view *v, size_t offset)
{
	uint32_t low = 0, high = v->head.count;
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;
		if (v->start[mid] <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* Text first: memmem over the whole block, entries are looked at only where it hits. */
static void hits_by_text(struct logs_search *s, struct part *p, const char *text, const char *grep)
{
	const struct block_view *v = &p->view;
	for (size_t at = 0; at < v->text_size;) {
		const char *hit = memmem(text + at, v->text_size - at, grep, s->q.grep.n);
		if (!hit) break;
		uint32_t i = entry_at(v, (size_t)(hit - text));
		if (passes(s, p, i)) p->hits[p->hit_count++] = (uint16_t)i;
		at = v->start[i + 1];
	}
}

static bool hits_find(struct logs_search *s, struct part *p)
{
	const struct block_view *v = &p->view;
	p->hit_count = p->hit_at = 0;
	if (!p->hits) p->hits = malloc(BLOCK_ENTRIES_MAX * sizeof *p->hits);
	if (!p->hits) return false;
	s->l->stats.search_bytes += v->text_size;
	if (s->q.grep.n == 0) {
		for (uint32_t i = 0; i < v->head.count; i++)
			if (passes(s, p, i)) p->hits[p->hit_count++] = (uint16_t)i;
	} else if (s->q.ignore_case) {
		if (s->low_cap < v->text_size) {
			char *low = realloc(s->low, v->text_size);
			if (!low) return false;
			s->low = low;
			s->low_cap = v->text_size;
		}
		lower(v->text, s->low, v->text_size);
		hits_by_text(s, p, s->low, s->grep_low);
	} else {
		hits_by_text(s, p, v->text, s->grep);
	}
	return true;
}

static bool head_wanted(const struct logs_search *s, const struct part *p,
        const struct block_head *h, const char *labels)
{
	const struct logs_query *q = &s->q;
	if (h->version != BLOCK_VERSION) return false;
	if (q->newest_first ? h->min_seq >= p->next_seq : h->max_seq < p->next_seq) return false;
	if ((h->levels >> q->least) == 0) return false;
	if (h->max_ns < q->since_ns || (q->until_ns && h->min_ns >= q->until_ns)) return false;
	if (q->has_cursor && (q->newest_first ? h->min_ns > s->past_ns : h->max_ns < s->past_ns))
		return false;
	if (!q->release && !q->has_replica && !q->has_stream) return true;
	for (uint32_t i = 0; i < h->label_count; i++) {
		struct block_label b;
		memcpy(&b, labels + i * sizeof b, sizeof b);
		if (b.lines && (!q->release || b.release == q->release) &&
		        (!q->has_replica || b.replica == q->replica) &&
		        (!q->has_stream || b.stream == q->stream))
			return true;
	}
	return false;
}

/* Memory of the readers counts against the cap of all searches. */
static void count_memory(struct logs_search *s)
{
	size_t now = s->low_cap;
	for (uint32_t i = 0; i < s->part_count; i++)
		now += block_reader_size(&s->part[i].reader);
	s->l->decode_bytes += now - s->counted;
	s->counted = now;
}

/* What follows this block in our direction has a sequence number beyond all of it. */
static void seq_passed(const struct logs_search *s, struct part *p, const struct block_head *h)
{
	if (s->q.newest_first)
		p->next_seq = HG_MIN(p->next_seq, h->min_seq);
	else
		p->next_seq = HG_MAX(p->next_seq, h->max_seq + 1);
}

/* Reads the block whose head is in s->head at `at` of p->fd; damage is counted and skipped. */
static void block_take(
        struct logs_search *s, struct part *p, const struct block_head *h, uint64_t at)
{
	struct block_view v;
	p->hit_count = p->hit_at = 0;
	if (!head_wanted(s, p, h, s->head.p + sizeof *h)) {
		seq_passed(s, p, h);
		return;
	}
	/* A block may be in part what was seen before it was one. */
	if (s->volume && h->min_seq >= p->next_seq &&
	        volume_add_head(s->volume, &s->q, h, s->head.p + sizeof *h)) {
		seq_passed(s, p, h);
		return;
	}
	char *payload = malloc(HG_MAX(h->payload_size, 1u));
	if (!payload) return;
	p->reader.dctx = s->l->dctx;
	ssize_t got = disk_read(p->fd, payload, h->payload_size, at + h->head_size);
	if (got == (ssize_t)h->payload_size &&
	        block_decode(&p->reader, h, s->head.p + sizeof *h, payload, &v)) {
		p->view = v;
		if (!hits_find(s, p)) p->hit_count = 0;
	} else {
		s->l->stats.corrupt_blocks++;
	}
	free(payload);
	count_memory(s);
	seq_passed(s, p, h);
}

/* Copies the lines that are in no block yet. */
static bool live_take(struct logs_search *s, struct part *p)
{
	const struct log_live *v = &p->app->live;
	uint64_t end = v->min_seq + v->count;
	uint32_t first = 0;
	if (!s->q.newest_first && p->next_seq > v->min_seq)
		first = (uint32_t)HG_MIN(p->next_seq - v->min_seq, v->count);
	uint32_t n = v->count - first, skip = 0;
	p->hit_count = p->hit_at = 0;
	if (n == 0) return true;
	for (uint32_t i = 0; i < first; i++)
		skip += v->items[i].length + 1;
	uint32_t size = v->text_size - skip, at = 0;
	if (!block_reader_room(&p->reader, size, n, v->label_count)) return false;
	memcpy(p->reader.bytes, v->text + skip, size);
	memcpy(p->reader.items, v->items + first, n * sizeof *v->items);
	memcpy(p->reader.labels, v->labels, v->label_count * sizeof *v->labels);
	for (uint32_t i = 0; i < n; i++) {
		p->reader.start[i] = at;
		at += p->reader.items[i].length + 1;
	}
	p->reader.start[n] = at;
	p->view = (struct block_view){.head = {.count = n,
	                                      .min_seq = v->min_seq + first,
	                                      .max_seq = end - 1,
	                                      .label_count = v->label_count},
	        .labels = p->reader.labels,
	        .items = p->reader.items,
	        .text = p->reader.bytes,
	        .text_size = size,
	        .start = p->reader.start};
	count_memory(s);
	if (!hits_find(s, p)) return false;
	seq_passed(s, p, &p->view.head);
	return true;
}

static void part_close(struct part *p)
{
	disk_close(p->fd);
	p->fd = -1;
}

/* The segment at index `i` can hold something that is looked for. */
static bool segment_wanted(const struct logs_search *s, const struct part *p, uint32_t i)
{
	const struct log_segment *seg = &p->app->segments[i];
	const struct logs_query *q = &s->q;
	bool last = i + 1 == p->app->segment_count;
	uint64_t until = q->until_ns ? q->until_ns : UINT64_MAX;
	uint64_t since = q->since_ns;
	if (q->has_cursor && q->newest_first) until = HG_MIN(until, s->past_ns + 1);
	if (q->has_cursor && !q->newest_first) since = HG_MAX(since, s->past_ns);
	if (seg->first_ns >= until) return false;
	return last || seg[1].first_ns >= since;
}

/* Oldest first: opens the segment that holds next_seq or the first one after it. */
static bool older_open(struct logs_search *s, struct part *p)
{
	const struct log_app *a = p->app;
	for (uint32_t i = 0; i < a->segment_count; i++) {
		const struct log_segment *seg = &a->segments[i];
		if (p->segment_seq && seg->first_seq <= p->segment_seq) continue;
		if (i + 1 < a->segment_count && seg[1].first_seq <= p->next_seq) continue;
		if (!segment_wanted(s, p, i)) continue;
		p->fd = segment_open(a, seg);
		p->segment_seq = seg->first_seq;
		p->at = 0;
		if (p->fd >= 0) return true;
		s->l->stats.corrupt_blocks++;
	}
	return false;
}

/* Until where blocks of the open segment are written. */
static uint64_t segment_end(const struct part *p)
{
	const struct log_app *a = p->app;
	for (uint32_t i = a->segment_count; i > 0; i--)
		if (a->segments[i - 1].first_seq == p->segment_seq) return a->segments[i - 1].size;
	int64_t size = disk_size(p->fd); /* dropped while we read it */
	return size > 0 ? (uint64_t)size : 0;
}

static bool is_last_segment(const struct part *p)
{
	const struct log_app *a = p->app;
	return a->segment_count && a->segments[a->segment_count - 1].first_seq == p->segment_seq;
}

/* One block further; sets `over` when there is nothing (yet). */
static void oldest_step(struct logs_search *s, struct part *p)
{
	struct block_head h;
	uint64_t skipped = 0;
	const struct log_live *v = &p->app->live;
	if (p->next_seq >= v->min_seq) {
		/* All blocks were looked at. */
		if (p->next_seq >= v->min_seq + v->count || !live_take(s, p)) p->over = true;
		return;
	}
	if (p->fd < 0 && !older_open(s, p)) {
		p->next_seq = v->min_seq;
		return;
	}
	uint64_t end = segment_end(p);
	if (segment_next(p->fd, end, &p->at, &s->head, &h, &skipped)) {
		uint64_t at = p->at;
		p->at += h.head_size + h.payload_size;
		block_take(s, p, &h, at);
	} else if (is_last_segment(p)) {
		p->next_seq = v->min_seq;
	} else {
		part_close(p);
	}
	s->l->stats.corrupt_blocks += skipped;
}

static bool offsets_put(struct part *p, uint64_t at)
{
	if (p->offset_count == p->offset_cap) {
		uint32_t cap = HG_MAX(p->offset_cap * 2, 256u);
		void *q = cap <= 2 * LOGS_SEGMENT_BLOCKS
		                  ? realloc(p->offsets, cap * sizeof *p->offsets)
		                  : NULL;
		if (!q) return false;
		p->offsets = q;
		p->offset_cap = cap;
	}
	p->offsets[p->offset_count++] = (uint32_t)at;
	return true;
}

/* Newest first: opens the next older segment and lists its blocks. */
static bool newer_open(struct logs_search *s, struct part *p)
{
	const struct log_app *a = p->app;
	struct block_head h;
	for (uint32_t i = a->segment_count; i > 0; i--) {
		const struct log_segment *seg = &a->segments[i - 1];
		if (p->segment_seq && seg->first_seq >= p->segment_seq) continue;
		if (!segment_wanted(s, p, i - 1)) continue;
		p->fd = segment_open(a, seg);
		p->segment_seq = seg->first_seq;
		p->offset_count = 0;
		if (p->fd < 0) continue;
		uint64_t at = 0, skipped = 0;
		while (at <= UINT32_MAX &&
		        segment_next(p->fd, seg->size, &at, &s->head, &h, &skipped)) {
			if (head_wanted(s, p, &h, s->head.p + sizeof h) && !offsets_put(p, at))
				break;
			at += h.head_size + h.payload_size;
		}
		s->l->stats.corrupt_blocks += skipped;
		return true;
	}
	return false;
}

static void newest_step(struct logs_search *s, struct part *p)
{
	struct block_head h;
	uint64_t skipped = 0;
	const struct log_live *v = &p->app->live;
	p->hit_count = p->hit_at = 0;
	if (p->segment_seq == 0 && p->fd < 0 && v->count && p->next_seq > v->min_seq) {
		uint64_t before = p->next_seq;
		if (!live_take(s, p) || p->next_seq == before) p->over = true;
		return;
	}
	if (p->fd < 0 && !newer_open(s, p)) {
		p->over = true;
		return;
	}
	if (p->offset_count == 0) {
		part_close(p);
		return;
	}
	uint64_t at = p->offsets[--p->offset_count];
	if (segment_next(p->fd, segment_end(p), &at, &s->head, &h, &skipped))
		block_take(s, p, &h, at);
}

static bool part_ready(const struct part *p)
{
	return p->hit_at < p->hit_count;
}

static uint32_t part_entry(const struct logs_search *s, const struct part *p)
{
	return p->hits[s->q.newest_first ? p->hit_count - 1 - p->hit_at : p->hit_at];
}

static void entry_fill(const struct part *p, uint32_t i, struct logs_entry *e)
{
	const struct block_item *it = &p->view.items[i];
	const struct block_label *b = &p->view.labels[it->label];
	*e = (struct logs_entry){.ts_ns = it->ts_ns,
	        .event_ns = it->event_ns,
	        .seq = p->view.head.min_seq + i,
	        .app = p->app->name,
	        .release = b->release,
	        .replica = b->replica,
	        .stream = b->stream,
	        .level = it->level,
	        .flags = it->flags,
	        .text = {p->view.text + p->view.start[i], it->length}};
}

enum logs_found logs_search_next(
        struct logs_search *s, unsigned *blocks, struct logs_entry *ret_entry)
{
	struct part *best = NULL;
	for (uint32_t i = 0; i < s->part_count; i++) {
		struct part *p = &s->part[i];
		if (p->over && !s->q.newest_first)
			p->over = p->next_seq >= p->app->live.min_seq + p->app->live.count;
		while (!part_ready(p) && !p->over) {
			if (*blocks == 0) return LOGS_WORKING;
			--*blocks;
			if (s->q.newest_first)
				newest_step(s, p);
			else
				oldest_step(s, p);
		}
		if (!part_ready(p)) continue;
		if (!best) {
			best = p;
			continue;
		}
		/* Parts are sorted by name: on equal times the earlier name is the older line. */
		uint64_t mine = p->view.items[part_entry(s, p)].ts_ns;
		uint64_t its = best->view.items[part_entry(s, best)].ts_ns;
		if (s->q.newest_first ? mine >= its : mine < its) best = p;
	}
	if (!best) return LOGS_NO_MORE;
	entry_fill(best, part_entry(s, best), ret_entry);
	best->hit_at++;
	return LOGS_FOUND;
}

enum logs_found logs_search_count(struct logs_search *s, unsigned *blocks, struct logs_volume *v)
{
	unsigned heads = 0;
	HG_ASSERT(!s->q.newest_first && v->step_ns > 0 && v->buckets <= LOGS_BUCKETS_MAX);
	s->volume = v;
	for (uint32_t i = 0; i < s->part_count; i++) {
		struct part *p = &s->part[i];
		while (!p->over) {
			if (*blocks == 0) return LOGS_WORKING;
			uint64_t before = s->l->stats.search_bytes;
			oldest_step(s, p);
			if (s->l->stats.search_bytes != before || ++heads % HEADS_A_BLOCK == 0)
				--*blocks;
			for (; part_ready(p); p->hit_at++) {
				const struct block_item *it = &p->view.items[part_entry(s, p)];
				volume_add(v, it->ts_ns, it->level, 1);
			}
		}
	}
	return LOGS_NO_MORE;
}

static int by_name(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	return strcmp(x->app->name, y->app->name);
}

static void part_add(struct logs_search *s, struct log_app *a)
{
	struct part *p = &s->part[s->part_count++];
	*p = (struct part){.app = a, .fd = -1};
	if (s->q.newest_first) {
		p->next_seq = UINT64_MAX;
	} else if (s->q.has_cursor && strcmp(s->cursor_app, a->name) == 0) {
		p->next_seq = s->past_seq + 1;
	} else {
		p->next_seq = 1;
	}
}

static enum hg_rc parts_make(struct logs_search *s)
{
	struct logs *l = s->l;
	enum hg_rc rc;
	uint32_t n = s->q.app.n ? 1 : HG_MIN(l->app_count, SEARCH_APPS_MAX);
	s->part = calloc(HG_MAX(n, 1u), sizeof *s->part);
	if (!s->part) return HG_E_NOMEM;
	if (s->q.app.n) {
		struct log_app *a = app_get(l, s->q.app, false, &rc);
		if (a) part_add(s, a);
		return a || rc == HG_E_NOT_FOUND ? HG_OK : rc;
	}
	HG_LIST_EACH (at, &l->apps) {
		if (s->part_count < n) part_add(s, HG_CONTAINER(at, struct log_app, node));
	}
	qsort(s->part, s->part_count, sizeof *s->part, by_name);
	return HG_OK;
}

enum hg_rc logs_search_new(
        struct logs *l, const struct logs_query *q, struct logs_search **ret_search)
{
	if (q->grep.n > LOGS_GREP_MAX || q->least > HG_ERROR) return HG_E_INVALID;
	if (l->decode_bytes > LOGS_DECODE_MAX) return HG_E_NOMEM;
	struct logs_search *s = calloc(1, sizeof *s);
	if (!s) return HG_E_NOMEM;
	s->l = l;
	s->q = *q;
	hg_buf_init(&s->head, BLOCK_HEAD_MAX);
	if (q->grep.n) memcpy(s->grep, q->grep.p, q->grep.n);
	lower(s->grep, s->grep_low, q->grep.n);
	enum hg_rc rc = HG_E_INVALID;
	if (q->has_cursor && !hg_str_copy(q->cursor_app, s->cursor_app, sizeof s->cursor_app))
		goto out;
	s->past_ns = q->cursor_ns;
	s->past_seq = q->cursor_seq;
	rc = parts_make(s);
	/* What pointed to the caller's memory was copied. */
	s->q.grep.p = s->q.app.p = s->q.cursor_app.p = NULL;
	if (rc < 0) goto out;
	*ret_search = s;
	s = NULL;
out:
	logs_search_free(s);
	return rc;
}

void logs_search_free(struct logs_search *s)
{
	if (!s) return;
	for (uint32_t i = 0; i < s->part_count; i++) {
		part_close(&s->part[i]);
		free(s->part[i].offsets);
		free(s->part[i].hits);
		block_reader_free(&s->part[i].reader);
	}
	s->l->decode_bytes -= s->counted;
	free(s->part);
	free(s->low);
	hg_buf_free(&s->head);
	free(s);
}
