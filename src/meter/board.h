/*
 * The board: what control alone knows, in shared memory, for observe to read: what the places of
 * the meter had counted when replicas got them, and a page in the Prometheus text format (replicas,
 * rollouts, budgets, certificates, …), written anew every few seconds. It outlives control: the
 * last page stays, with the time when it was written, so that a control that is replaced leaves no
 * gap.
 *
 * One segment, made by the warden. One writer (control); readers never wait for it and never hold
 * it up: a page that changes under their hands is not taken, and looked at again with the next
 * turn.
 */
#ifndef METER_BOARD_H
#define METER_BOARD_H

#include "base/buf.h"
#include "meter/meter.h"

#include <stdatomic.h>

#define BOARD_MAGIC 0x424f4152u
#define BOARD_TEXT  ((size_t)8 << 20) /* bytes of a page */

/* What a slot of the endpoint table had counted when a replica got it. */
struct board_base {
	_Atomic uint64_t at_ms; /* CLOCK_MONOTONIC; 0: never */
	_Atomic uint64_t word[sizeof(struct meter_replica_sum) / 8];
};

struct board {
	uint32_t magic, layout;
	_Atomic uint32_t seq;   /* odd while control writes */
	_Atomic uint32_t pid;   /* of the control that wrote last; 0: none has yet */
	_Atomic uint64_t at_ms; /* CLOCK_MONOTONIC */
	_Atomic uint64_t size;
	_Atomic uint64_t lost; /* pages that had no room, since the memory was made */
	struct board_base base[METER_ENDPOINTS];
	_Atomic uint64_t text[BOARD_TEXT / 8];
};

/* Formats fresh zeroed memory. */
void board_init(struct board *b);
/* NULL when the mapping of `size` bytes is not a board of this layout. */
struct board *board_open(void *mapping, size_t size);
/* Control. A page that is too large is counted, and the one before it stays. */
void board_write(struct board *b, struct hg_str page, uint32_t pid, uint64_t now_ms);

/* Control, before the endpoint table says whose the slot is. */
void board_base_set(
        struct board *b, uint32_t endpoint, const struct meter_replica_sum *sum, uint64_t now_ms);
/* After the endpoint table was read; returns when it was set, 0: never, and then it is all 0. */
uint64_t board_base_get(
        const struct board *b, uint32_t endpoint, struct meter_replica_sum *ret_sum);

struct board_page {
	uint32_t pid;
	uint64_t at_ms;
};
/* The page into `to`, which is emptied. False: there is none, it changed meanwhile, or there is no
 * memory; *ret_page is as it was. */
HG_MUST bool board_read(const struct board *b, struct hg_buf *to, struct board_page *ret_page);

#endif
