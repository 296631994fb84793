/* A release under trial for the rig: releases 1 (old) and 2 (new) of the application 7. */
#ifndef TESTS_EDGE_TRIAL_RIG_H
#define TESTS_EDGE_TRIAL_RIG_H

#include "rig.h"

#include <math.h>

#define GET  "GET /x?a=1 HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
#define KEYED                                                                   \
	"POST /x HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: " \
	"2\r\n\r\nhi"

#define SLOT    3
#define CELL    5
#define ROLLOUT 17u

static inline struct snap_trial trial_of(uint32_t weight_ppm)
{
	struct snap_trial t = {.app = 7,
	        .old_release = 1,
	        .new_release = 2,
	        .weight_ppm = weight_ppm,
	        .epoch = 1,
	        .cell = CELL,
	        .flags = SNAP_TRIAL_JUDGE | SNAP_TRIAL_RESCUE,
	        .rollout = ROLLOUT,
	        .sticky_s = 600,
	        .sticky_key = "0123456789abcde"};
	struct judge j;
	judge_init(&j, &(struct judge_rules){.alpha = 0.001});
	judge_epoch(&j, weight_ppm / 1e6, NULL);
	t.lens = j.lens;
	return t;
}

static inline void trial_set(struct rig *g, const struct snap_trial *t)
{
	snap_trial_set(g->table, SLOT, t);
}

/* One replica of each release, and the trial. */
static inline struct rig *trial_rig(
        rig_script old_script, rig_script new_script, const struct snap_trial *t)
{
	struct rig *g = rig_bare(0, 0);
	rig_replica_of(g, old_script, 1);
	rig_replica_of(g, new_script, 2);
	trial_set(g, t);
	rig_publish(g);
	return g;
}

static inline struct meter_trial_sum trial_sum(struct rig *g)
{
	struct meter_trial_sum s;
	rig_sync(g);
	meter_trial_sum(g->meter, CELL, &s);
	return s;
}

static inline uint32_t count_new(const struct meter_trial_sum *s, enum judge_metric m)
{
	return (uint32_t)(s->word[m] >> 32);
}

static inline uint32_t count_old(const struct meter_trial_sum *s, enum judge_metric m)
{
	return (uint32_t)s->word[m];
}

static inline bool trial_tripped(struct rig *g)
{
	rig_sync(g);
	return meter_tripped(&g->meter->trial[SLOT], ROLLOUT);
}

/* ---- ways to fail ---- */

static inline void rep_500(struct replica *rep, int fd)
{
	char body[64];
	size_t n;
	while (rep_request(rep, fd, body, sizeof body, &n))
		put(fd, "HTTP/1.1 500 Bad\r\nContent-Length: 4\r\n\r\nboom");
}

/* Closes the connection instead of answering. */
static inline void rep_reset(struct replica *rep, int fd)
{
	struct linger hard = {1, 0};
	if (!rep_head(rep, fd)) return;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

static inline void rep_hang(struct replica *rep, int fd)
{
	char c;
	while (rep_head(rep, fd))
		;
	(void)!recv(fd, &c, 1, 0);
}

static inline void rep_garbage(struct replica *rep, int fd)
{
	if (rep_head(rep, fd)) put(fd, "ERROR: no such thing\r\n\r\n");
}

static inline void rep_404(struct replica *rep, int fd)
{
	while (rep_head(rep, fd))
		put(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope");
}

#endif
