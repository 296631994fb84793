#include "meter/board.h"

#include <string.h>

#define TRIES 3u

static uint32_t layout(void)
{
	return (uint32_t)(sizeof(struct board) ^ offsetof(struct board, text) << 24);
}

void board_init(struct board *b)
{
	b->magic = BOARD_MAGIC;
	b->layout = layout();
}

struct board *board_open(void *mapping, size_t size)
{
	struct board *b = mapping;
	if (!b || size < sizeof *b || b->magic != BOARD_MAGIC || b->layout != layout()) return NULL;
	return b;
}

void board_write(struct board *b, struct hg_str page, uint32_t pid, uint64_t now_ms)
{
	if (page.n > BOARD_TEXT) {
		atomic_fetch_add_explicit(&b->lost, 1, memory_order_relaxed);
		return;
	}
	/* A writer that died half way left it odd. */
	uint32_t seq = atomic_load_explicit(&b->seq, memory_order_relaxed) | 1;
	atomic_store_explicit(&b->seq, seq, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (size_t at = 0; at < page.n; at += 8) {
		uint64_t word = 0;
		memcpy(&word, page.p + at, HG_MIN(page.n - at, sizeof word));
		atomic_store_explicit(&b->text[at / 8], word, memory_order_relaxed);
	}
	atomic_store_explicit(&b->size, page.n, memory_order_relaxed);
	atomic_store_explicit(&b->pid, pid, memory_order_relaxed);
	atomic_store_explicit(&b->at_ms, now_ms, memory_order_relaxed);
	atomic_store_explicit(&b->seq, seq + 1, memory_order_release);
}

_Static_assert(sizeof(struct meter_replica_sum) % 8 == 0, "whole words");

void board_base_set(
        struct board *b, uint32_t endpoint, const struct meter_replica_sum *sum, uint64_t now_ms)
{
	HG_ASSERT(endpoint < METER_ENDPOINTS);
	struct board_base *to = &b->base[endpoint];
	uint64_t word[HG_COUNT(to->word)];
	memcpy(word, sum, sizeof word);
	for (size_t i = 0; i < HG_COUNT(word); i++)
		atomic_store_explicit(&to->word[i], word[i], memory_order_relaxed);
	atomic_store_explicit(&to->at_ms, now_ms, memory_order_release);
}

uint64_t board_base_get(const struct board *b, uint32_t endpoint, struct meter_replica_sum *ret_sum)
{
	HG_ASSERT(endpoint < METER_ENDPOINTS);
	const struct board_base *from = &b->base[endpoint];
	uint64_t word[HG_COUNT(from->word)] = {0};
	uint64_t at = atomic_load_explicit(&from->at_ms, memory_order_acquire);
	for (size_t i = 0; i < HG_COUNT(word); i++)
		word[i] = atomic_load_explicit(&from->word[i], memory_order_relaxed);
	memcpy(ret_sum, word, sizeof word);
	return at;
}

static bool read_once(const struct board *b, struct hg_buf *to, struct board_page *page)
{
	uint32_t seq = atomic_load_explicit(&b->seq, memory_order_acquire);
	if (seq & 1) return false;
	uint64_t size = atomic_load_explicit(&b->size, memory_order_relaxed);
	page->pid = atomic_load_explicit(&b->pid, memory_order_relaxed);
	page->at_ms = atomic_load_explicit(&b->at_ms, memory_order_relaxed);
	if (!page->pid || size > BOARD_TEXT) return false;
	hg_buf_reset(to);
	char *at = hg_buf_room(to, size + 8);
	if (!at) return false;
	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = atomic_load_explicit(&b->text[i / 8], memory_order_relaxed);
		memcpy(at + i, &word, sizeof word);
	}
	hg_buf_add(to, size);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&b->seq, memory_order_relaxed) == seq;
}

bool board_read(const struct board *b, struct hg_buf *to, struct board_page *ret_page)
{
	struct board_page page;
	for (unsigned i = 0; i < TRIES; i++) {
		if (!read_once(b, to, &page)) continue;
		*ret_page = page;
		return true;
	}
	return false;
}
