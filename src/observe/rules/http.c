/* Who asks for news of alerts waits here until there is some. */
#include "rules_priv.h"

#include "serve/serve.h"

#include <stdlib.h>

#define WAITERS_MAX 16u
#define WAIT_MAX_MS 60000u
#define NEWS_MAX    ((size_t)60 << 20) /* an answer has 64 MiB at most */
#define EPOCH_SIZE  64u

struct waiter {
	struct hg_list node;
	struct rules *r;
	struct serve_call *call;
	struct loop_timer timer;
	char epoch[EPOCH_SIZE];
	uint64_t after;
};

static void answer(struct rules *r, struct serve_call *call, struct hg_str epoch, uint64_t after)
{
	struct hg_buf b;
	hg_buf_init(&b, NEWS_MAX);
	rules_news_json(r, epoch, after, &b);
	if (b.failed)
		serve_answer(call, 500, "text/plain", HG_STR("too large\n"));
	else
		serve_answer(call, 200, "application/json", hg_buf_view(&b));
	hg_buf_free(&b);
}

static void waiter_free(struct waiter *w)
{
	loop_timer_stop(w->r->o.loop, &w->timer);
	hg_list_remove(&w->node);
	w->r->waiter_n--;
	free(w);
}

static void waiter_answer(struct waiter *w)
{
	struct rules *r = w->r;
	struct serve_call *call = w->call;
	char epoch[EPOCH_SIZE];
	uint64_t after = w->after;
	memcpy(epoch, w->epoch, sizeof epoch);
	waiter_free(w);
	answer(r, call, hg_str(epoch), after);
}

static void on_gone(void *arg)
{
	waiter_free(arg);
}

static void on_over(struct loop *l, struct loop_timer *t)
{
	(void)l;
	waiter_answer(HG_CONTAINER(t, struct waiter, timer));
}

void rules_waiters_tell(struct rules *r)
{
	HG_LIST_EACH_SAFE (node, after, &r->waiters) {
		waiter_answer(HG_CONTAINER(node, struct waiter, node));
	}
}

void rules_waiters_end(struct rules *r)
{
	HG_LIST_EACH_SAFE (node, after, &r->waiters) {
		struct waiter *w = HG_CONTAINER(node, struct waiter, node);
		struct serve_call *call = w->call;
		waiter_free(w);
		serve_answer(call, 503, "text/plain", HG_STR("the rules are not there\n"));
	}
}

static bool number(struct hg_str query, const char *name, uint64_t *ret)
{
	char text[24];
	*ret = 0;
	return !serve_query(query, name, text, sizeof text) || hg_str_u64(hg_str(text), ret);
}

bool rules_http(struct rules *r, struct serve_call *call, const struct serve_request *req)
{
	uint64_t after, wait_ms;
	char epoch[EPOCH_SIZE] = "";
	if (!hg_str_eq(req->path, HG_STR("/v1/rules/news"))) return false;
	(void)serve_query(req->query, "epoch", epoch, sizeof epoch);
	if (req->method != HTTP1_GET || !number(req->query, "after", &after) ||
	        !number(req->query, "wait_ms", &wait_ms)) {
		serve_answer(call, 400, "text/plain", HG_STR("GET, with after and wait_ms\n"));
		return true;
	}
	struct waiter *w = NULL;
	bool wait = wait_ms && !rules_has_news(r, hg_str(epoch), after);
	if (wait && r->waiter_n < WAITERS_MAX) w = calloc(1, sizeof *w);
	if (!w) {
		answer(r, call, hg_str(epoch), after);
		return true;
	}
	*w = (struct waiter){.r = r, .call = call, .after = after};
	memcpy(w->epoch, epoch, sizeof epoch);
	hg_list_append(&r->waiters, &w->node);
	r->waiter_n++;
	if (loop_timer_start(
	            r->o.loop, &w->timer, HG_MIN(wait_ms, (uint64_t)WAIT_MAX_MS), on_over) < 0) {
		waiter_answer(w);
		return true;
	}
	serve_later(call, on_gone, w);
	return true;
}
