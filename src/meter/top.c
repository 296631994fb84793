#include "meter/meter.h"

#include <stdlib.h>
#include <string.h>

#define WORDS    HG_COUNT(((struct meter_top *)0)->name)
#define READ_MAX 100

_Static_assert(METER_TOP_NAME + 1 == WORDS * 8, "whole words");
_Static_assert(METER_TOP_NAME <= UINT8_MAX, "its length is a byte");

static void set(meter_u64 *c, uint64_t v)
{
	atomic_store_explicit(c, v, memory_order_relaxed);
}

static uint64_t get(const meter_u64 *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

void meter_top_take(struct meter_top *t, uint32_t lane, struct hg_str name)
{
	char text[METER_TOP_NAME + 1] = {0};
	uint64_t word[WORDS];
	uint32_t seq = atomic_load_explicit(&t->seq, memory_order_relaxed) | 1;
	size_t n = HG_MIN(name.n, (size_t)METER_TOP_NAME);
	text[0] = (char)n;
	if (n) memcpy(text + 1, name.p, n);
	memcpy(word, text, sizeof word);
	atomic_store_explicit(&t->seq, seq, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&t->lane, lane, memory_order_relaxed);
	for (size_t i = 0; i < WORDS; i++)
		set(&t->name[i], word[i]);
	for (size_t i = 0; i < HG_COUNT(t->code); i++)
		set(&t->code[i], 0);
	set(&t->duration_ns, 0);
	set(&t->bytes_out, 0);
	atomic_store_explicit(&t->seq, seq + 1, memory_order_release);
}

/* A place that changes hands all the time while it is read says nothing of anybody. */
static bool row_get(const struct meter_top *t, struct meter_top_row *to)
{
	for (int tries = 0; tries < READ_MAX; tries++) {
		uint64_t word[WORDS];
		uint32_t seq = atomic_load_explicit(&t->seq, memory_order_acquire);
		if (seq % 2) continue;
		to->lane = atomic_load_explicit(&t->lane, memory_order_relaxed);
		to->count = get(&t->count);
		to->over = get(&t->over);
		for (size_t i = 0; i < HG_COUNT(t->code); i++)
			to->code[i] = get(&t->code[i]);
		to->duration_ns = get(&t->duration_ns);
		to->bytes_out = get(&t->bytes_out);
		to->last_ms = get(&t->last_ms);
		for (size_t i = 0; i < WORDS; i++)
			word[i] = get(&t->name[i]);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&t->seq, memory_order_relaxed) != seq) continue;
		char text[METER_TOP_NAME + 1];
		memcpy(text, word, sizeof text);
		to->name_n = (uint8_t)HG_MIN((uint8_t)text[0], METER_TOP_NAME);
		memcpy(to->name, text + 1, to->name_n);
		to->name[to->name_n] = 0;
		return true;
	}
	return false;
}

static int by_name(const void *va, const void *vb)
{
	const struct meter_top_row *a = va, *b = vb;
	if (a->lane != b->lane) return a->lane < b->lane ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int by_count(const void *va, const void *vb)
{
	const struct meter_top_row *a = va, *b = vb;
	if (a->count != b->count) return a->count > b->count ? -1 : 1;
	return by_name(a, b);
}

static bool listed(const uint32_t *lanes, size_t n, uint32_t lane)
{
	size_t low = 0;
	while (low < n) {
		size_t mid = low + (n - low) / 2;
		if (lanes[mid] == lane) return true;
		if (lanes[mid] < lane)
			low = mid + 1;
		else
			n = mid;
	}
	return false;
}

static void row_add(struct meter_top_row *to, const struct meter_top_row *r)
{
	to->count += r->count;
	to->over += r->over;
	for (size_t i = 0; i < HG_COUNT(r->code); i++)
		to->code[i] += r->code[i];
	to->duration_ns += r->duration_ns;
	to->bytes_out += r->bytes_out;
	to->last_ms = HG_MAX(to->last_ms, r->last_ms);
}

enum hg_rc meter_top_rows(const struct meter *m, enum meter_top_kind kind, const uint32_t *lanes,
        size_t lane_n, struct meter_top_row **ret_rows, size_t *ret_n)
{
	size_t room = 1, n = 0, one = 0;
	for (uint32_t w = 0; w < m->worker_count; w++)
		room += HG_MIN(get(&m->worker[w].top_n[kind]), (uint64_t)METER_TOP);
	struct meter_top_row *row = calloc(room, sizeof *row);
	if (!row) return HG_E_NOMEM;
	for (uint32_t w = 0; w < m->worker_count; w++) {
		uint64_t used = HG_MIN(get(&m->worker[w].top_n[kind]), (uint64_t)METER_TOP);
		for (uint64_t i = 0; i < used && n < room; i++)
			n += row_get(&m->worker[w].top[kind][i], &row[n]) &&
			     listed(lanes, lane_n, row[n].lane);
	}
	qsort(row, n, sizeof *row, by_name);
	for (size_t i = 1; i < n; i++) {
		if (by_name(&row[one], &row[i]) == 0)
			row_add(&row[one], &row[i]);
		else
			row[++one] = row[i];
	}
	n = n ? one + 1 : 0;
	qsort(row, n, sizeof *row, by_count);
	*ret_rows = row;
	*ret_n = n;
	return HG_OK;
}
