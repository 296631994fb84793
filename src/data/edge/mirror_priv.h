/*
 * A copy of a request, in mirror.c. From the head of the old release's response on it belongs to
 * that request's draw and takes the body in; once that is whole (or larger than is kept) it goes on
 * by itself: it has a connection to the new release, and no client.
 */
#ifndef DATA_EDGE_MIRROR_PRIV_H
#define DATA_EDGE_MIRROR_PRIV_H

#include "data/edge/edge_priv.h"
#include "wire/mirror.h"

#define EDGE_MIRROR_HEAD    8192u /* bytes of a request head; larger ones are not copied */
#define EDGE_MIRROR_MS      5000u /* for all of the copy, or protect.timeout if that is less */
#define EDGE_MIRROR_LOOK_NS 100000000u
#define EDGE_MIRROR_BUSY_PPM                                                 \
	750000u /* a worker that works more than this has no time for copies \
	         */

#define EDGE_MIRROR_MAGIC 0xed6e0004u

enum edge_mirror_state {
	EDGE_MIRROR_OLD,     /* takes in what the old release says; belongs to the draw */
	EDGE_MIRROR_QUEUED,  /* begins after what this turn of the loop does for clients */
	EDGE_MIRROR_CONNECT, /* to the new release */
	EDGE_MIRROR_WAIT,    /* the request is being sent, the head awaited */
	EDGE_MIRROR_BODY
};

struct edge_mirror {
	uint32_t magic;
	enum edge_mirror_state state;
	struct edge *edge;
	struct edge_trial *trial; /* a reference */
	struct hg_list node;      /* of edge.mirrors once it goes on by itself */
	struct loop_task task;
	struct edge_timer timer;
	struct edge_up *up;
	struct http1_limits limits;
	enum http1_method method;
	uint32_t time_ms, replica, head_n, sent, interim;
	bool again;                 /* the second try, on a connection that is not reused */
	bool keep_alive;            /* the new release's word */
	struct http1_chunked frame; /* of the old body */
	struct edge_flow in;
	struct edge_framing body; /* of the new one */
	uint32_t seen, old_n, fresh_n;
	struct mirror_answer old, fresh;
	uint8_t method_n, path_n, rid_n;
	char method_text[16], path[128], rid[64];
	/* The four below are 168 KiB; nothing is read of them that was not written. */
	char head[EDGE_MIRROR_HEAD];
	char flow[EDGE_BUF_SIZE];
	char old_body[MIRROR_BODY_MAX], fresh_body[MIRROR_BODY_MAX];
};

#endif
