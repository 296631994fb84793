/*
 * Answers to changes of what the edge does. A snapshot is handed to the workers, each of which
 * takes it in a turn of its own; who is told "done" and asks the edge at once must not meet the
 * state before. So the answer waits until every worker that lives has it, for a second at most: one
 * that hangs must not keep people from changing things.
 */
#include "api_priv.h"
#include "control/cert/certs.h"

#include <stdlib.h>

#define HOLD_MS 1000u
#define LOOK_MS 2u

struct api_held {
	struct hg_list node; /* of api.held */
	struct api *api;
	struct serve_call *call;
	unsigned status;
	json_t *reply;
	struct api_edge want;
	uint64_t until_ms; /* of the loop's clock */
};

struct api_edge api_edge_told(const struct api *a)
{
	return (struct api_edge){
	        .snapshot = a->d.fleet ? fleet_generation(a->d.fleet) : 0,
	        .certs = a->d.certs ? certs_generation(a->d.certs) : 0,
	};
}

/* The pid of a worker that has not taken it; 0: all have. */
static uint32_t behind(const struct api *a, const struct api_edge *want)
{
	return a->d.meter ? meter_behind(a->d.meter, want->snapshot, want->certs) : 0;
}

static void held_free(struct api_held *h)
{
	hg_list_remove(&h->node);
	json_decref(h->reply);
	free(h);
}

static void answer(struct api_held *h)
{
	struct api_request r = {.api = h->api, .call = h->call};
	api_json(&r, h->status, "application/json", h->reply);
	held_free(h);
}

/* The change is made and in the audit trail; only nobody waits for its answer. */
static void on_gone(void *arg)
{
	held_free(arg);
}

static void on_look(struct loop *l, struct loop_timer *t)
{
	struct api *a = HG_CONTAINER(t, struct api, hold);
	HG_LIST_EACH_SAFE (node, after, &a->held) {
		struct api_held *h = HG_CONTAINER(node, struct api_held, node);
		uint32_t pid = behind(a, &h->want);
		if (pid && loop_now_ms(l) < h->until_ms) continue;
		if (pid && a->d.log)
			hg_log(a->d.log, HG_WARN, "edge.takes_long", HG_I("pid", pid),
			        HG_I("generation", h->want.snapshot),
			        HG_I("certificates", h->want.certs));
		answer(h);
	}
	if (hg_list_empty(&a->held) || loop_timer_start(l, t, LOOK_MS, on_look) == HG_OK) return;
	api_held_end(a);
}

bool api_hold(struct api_request *r, const struct api_edge *before)
{
	struct api *a = r->api;
	struct api_edge want = api_edge_told(a);
	if (want.snapshot == before->snapshot) want.snapshot = 0;
	if (want.certs == before->certs) want.certs = 0;
	if (!behind(a, &want)) return false;
	struct api_held *h = calloc(1, sizeof *h);
	if (!h) return false;
	if (hg_list_empty(&a->held) &&
	        loop_timer_start(a->d.loop, &a->hold, LOOK_MS, on_look) < 0) {
		free(h);
		return false;
	}
	*h = (struct api_held){.api = a,
	        .call = r->call,
	        .status = r->status,
	        .reply = json_incref(r->reply),
	        .want = want,
	        .until_ms = loop_now_ms(a->d.loop) + HOLD_MS};
	hg_list_append(&a->held, &h->node);
	r->answered = true;
	serve_later(r->call, on_gone, h);
	return true;
}

void api_held_end(struct api *a)
{
	loop_timer_stop(a->d.loop, &a->hold);
	HG_LIST_EACH_SAFE (node, after, &a->held)
		answer(HG_CONTAINER(node, struct api_held, node));
}
