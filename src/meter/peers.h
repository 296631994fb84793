/*
 * Who is connected how often: connections by client address, over all edge workers.
 *
 * A place belongs to an address and has a column for each worker, which only that worker changes;
 * the sum is what the address has open. A place whose sum is 0 is free for the next. A worker that
 * died leaves its column behind; its successor clears it (peers_worker_reset). When a bucket is
 * full of others, who comes is not counted. Two workers that meet an address for the first time in
 * the same instant may each let one connection too many through; a refusal is never too many.
 */
#ifndef METER_PEERS_H
#define METER_PEERS_H

#include "base/hg.h"

#include <stdatomic.h>

#define PEERS_WORKERS 32u /* = METER_WORKERS_MAX */
#define PEERS_WAYS    8u  /* the keys of a bucket are one cache line */
#define PEERS_BUCKETS 2048u
#define PEERS_NONE    UINT32_MAX

struct peers {
	_Atomic uint64_t key[PEERS_BUCKETS][PEERS_WAYS]; /* 0: never used */
	_Atomic uint16_t count[PEERS_BUCKETS * PEERS_WAYS][PEERS_WORKERS];
};

/* One more connection of the client with this key (not 0). False: it has `max` already. *ret_place
 * is for peers_leave; PEERS_NONE: it is not counted. */
HG_MUST bool peers_enter(
        struct peers *p, uint64_t key, uint32_t worker, uint32_t max, uint32_t *ret_place);
void peers_leave(struct peers *p, uint32_t place, uint32_t worker);
/* The former worker of this number died with its connections. */
void peers_worker_reset(struct peers *p, uint32_t worker);

#endif
