#include "fetch/spans.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "os/clock.h"

#define BODY_MAX     (8u << 20)
#define TIMEOUT_MS   10000u
#define HEADER_MAX   1024u
#define URL_MAX      1024u
#define VALUE_MAX    256u
#define AFTER_MAX_MS 300000u

struct spans {
	struct loop *loop;
	struct fetch *fetch;
	struct fetch_call *call; /* NULL: none is under way */
	struct loop_timer timer;
	struct loop_task task;
	struct hg_rand rand;
	char url[URL_MAX], scope[64];
	char key[SPANS_RESOURCE][64], value[SPANS_RESOURCE][VALUE_MAX];
	struct otlp_pair resource[SPANS_RESOURCE];
	size_t resource_n;
	char header[SPANS_HEADERS][HEADER_MAX];
	uint32_t header_n;
	uint32_t timeout_ms, delay_ms, batch_max;
	void (*note)(void *arg, enum hg_level level, const char *what, const char *why);
	void *arg;
	struct hg_buf queue; /* records */
	uint64_t queued, since_ms;
	struct hg_buf body; /* of the batch */
	uint64_t made;      /* spans in it; 0: there is none */
	uint32_t tries;
	uint64_t retry_ms;
	bool closing, failing;
	struct spans_stats count;
};

/* ---- pure ---- */

enum spans_step spans_decide(const struct spans_view *v, uint64_t now_ms, uint64_t *ret_until_ms)
{
	*ret_until_ms = 0;
	if (v->flying) return SPANS_IDLE;
	if (v->made) {
		*ret_until_ms = v->retry_ms;
		return v->closing || now_ms >= v->retry_ms ? SPANS_SEND : SPANS_WAIT;
	}
	if (v->queued == 0) return SPANS_IDLE;
	*ret_until_ms = v->since_ms + v->delay_ms;
	bool due = v->closing || v->queued >= v->batch_max || now_ms >= *ret_until_ms;
	return due ? SPANS_MAKE : SPANS_WAIT;
}

uint64_t spans_pause(uint32_t tries, uint64_t asked_ms, uint64_t random)
{
	if (asked_ms) return HG_MIN(asked_ms, AFTER_MAX_MS);
	uint64_t ms = (uint64_t)SPANS_PAUSE_MS << HG_MIN(tries ? tries - 1 : 0, 16u);
	ms = HG_MIN(ms, SPANS_PAUSE_MAX);
	return ms - ms / 10 + random % (ms / 5);
}

/* ---- what is sent ---- */

/* Takes as many records as a batch may have out of the queue. */
static void make(struct spans *s)
{
	struct otlp_writer w;
	struct hg_str rest = hg_buf_view(&s->queue);
	uint64_t n = 0, bad = 0;
	hg_buf_reset(&s->body);
	otlp_begin(&w, &s->body, s->resource, s->resource_n, s->scope);
	while (n + bad < s->batch_max && rest.n) {
		struct span span;
		size_t size = span_size(rest);
		HG_ASSERT(size); /* looked at when it came */
		if (span_read((struct hg_str){rest.p, size}, &span)) {
			otlp_span(&w, &span);
			n++;
		} else {
			bad++;
		}
		rest = (struct hg_str){rest.p + size, rest.n - size};
	}
	hg_buf_drop(&s->queue, s->queue.n - rest.n);
	s->queued -= n + bad;
	s->since_ms = loop_now_ms(s->loop);
	s->count.dropped += bad;
	s->made = n;
	s->tries = 0;
	s->retry_ms = 0;
	if (otlp_end(&w)) return;
	s->count.dropped += n; /* no memory for so much text */
	s->made = 0;
}

static void step(struct spans *s);

static void say(struct spans *s, bool failing, const char *why)
{
	if (s->failing == failing) return;
	s->failing = failing;
	if (s->note)
		s->note(s->arg, failing ? HG_WARN : HG_INFO,
		        failing ? "traces cannot be exported" : "traces are exported again", why);
}

static void lose(struct spans *s)
{
	s->count.dropped += s->made;
	s->made = 0;
}

static void not_taken(struct spans *s, uint64_t after_ms, const char *why)
{
	s->count.failures++;
	say(s, true, why);
	if (s->closing || s->tries >= SPANS_TRIES) {
		lose(s);
		return;
	}
	s->retry_ms = loop_now_ms(s->loop) + spans_pause(s->tries, after_ms, hg_rand_u64(&s->rand));
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
	struct spans *s = arg;
	char why[96];
	s->call = NULL;
	(void)snprintf(why, sizeof why, "it was answered with status %d", a->status);
	switch (a->result == FETCH_ANSWERED ? otlp_judge(a->status) : OTLP_LATER) {
	case OTLP_TAKEN: {
		uint64_t rejected = HG_MIN(otlp_rejected(a->body), s->made);
		s->count.rejected += rejected;
		s->count.exported += s->made - rejected;
		s->made = 0;
		say(s, false, "");
		break;
	}
	case OTLP_LATER:
		not_taken(s, a->retry_after_ms, a->result == FETCH_ANSWERED ? why : a->why);
		break;
	case OTLP_REFUSED:
		s->count.failures++;
		say(s, true, why);
		lose(s);
		break;
	}
	step(s);
}

static void send(struct spans *s)
{
	const char *headers[SPANS_HEADERS + 1] = {"Content-Type: application/json"};
	struct hg_err err = {0};
	for (uint32_t i = 0; i < s->header_n; i++)
		headers[i + 1] = s->header[i];
	struct fetch_request r = {.method = "POST",
	        .url = s->url,
	        .headers = headers,
	        .header_count = s->header_n + 1,
	        .body = hg_buf_view(&s->body),
	        .timeout_ms = s->timeout_ms,
	        .body_max = 4096};
	s->tries++;
	if (fetch_start(s->fetch, &r, on_answer, s, &s->call, &err) == HG_OK) return;
	s->call = NULL;
	not_taken(s, 0, err.message);
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	(void)l;
	step(HG_CONTAINER(t, struct spans, timer));
}

static void on_task(struct loop *l, struct loop_task *t)
{
	(void)l;
	step(HG_CONTAINER(t, struct spans, task));
}

static struct spans_view view(const struct spans *s)
{
	return (struct spans_view){.flying = s->call != NULL,
	        .made = s->made > 0,
	        .closing = s->closing,
	        .queued = s->queued,
	        .since_ms = s->since_ms,
	        .retry_ms = s->retry_ms,
	        .batch_max = s->batch_max,
	        .delay_ms = s->delay_ms};
}

static void step(struct spans *s)
{
	uint64_t now_ms = loop_now_ms(s->loop), until_ms;
	for (;;) {
		struct spans_view v = view(s);
		switch (spans_decide(&v, now_ms, &until_ms)) {
		case SPANS_MAKE: make(s); continue;
		case SPANS_SEND: send(s); continue;
		case SPANS_WAIT:
			/* Without memory for a timer the next span tries again. */
			(void)!loop_timer_start(s->loop, &s->timer, until_ms - now_ms, on_timer);
			return;
		case SPANS_IDLE: return;
		}
	}
}

/* ---- the door ---- */

static void take_resource(struct spans *s, const struct spans_options *o)
{
	for (size_t i = 0; i < o->resource_n; i++) {
		struct hg_str v = o->resource[i].value;
		size_t n = s->resource_n;
		if (n == SPANS_RESOURCE || !v.n) continue;
		if (!hg_str_copy(hg_str(o->resource[i].key), s->key[n], sizeof s->key[n])) continue;
		v.n = HG_MIN(v.n, VALUE_MAX - 1);
		if (!hg_str_copy(v, s->value[n], sizeof s->value[n])) continue;
		s->resource[n] = (struct otlp_pair){s->key[n], {s->value[n], v.n}};
		s->resource_n++;
	}
}

static void take_headers(struct spans *s, struct hg_str list)
{
	char room[HEADER_MAX / 2];
	struct hg_str key, value;
	while (s->header_n < SPANS_HEADERS &&
	        otlp_pair_next(&list, room, sizeof room, &key, &value)) {
		int n = snprintf(s->header[s->header_n], HEADER_MAX, "%.*s: %.*s", HG_STR_ARG(key),
		        HG_STR_ARG(value));
		if (n > 0 && n < (int)HEADER_MAX) s->header_n++;
	}
}

enum hg_rc spans_new(
        struct loop *l, const struct spans_options *o, struct spans **ret_spans, struct hg_err *err)
{
	struct hg_str url = hg_str(o->url);
	bool http = hg_str_starts(url, HG_STR("http://")) || hg_str_starts(url, HG_STR("https://"));
	if (!http || url.n >= URL_MAX)
		return hg_err_set(err, HG_E_INVALID, "\"%s\" is no address of HTTP", o->url);
	struct spans *s = calloc(1, sizeof *s);
	if (!s) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	*s = (struct spans){.loop = l,
	        .timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS,
	        .delay_ms = o->delay_ms,
	        .batch_max = o->batch_max ? o->batch_max : SPANS_BATCH_MAX,
	        .note = o->note,
	        .arg = o->arg};
	memcpy(s->url, o->url, url.n + 1);
	(void)snprintf(s->scope, sizeof s->scope, "%s", o->scope);
	take_resource(s, o);
	take_headers(s, hg_str(o->headers ? o->headers : ""));
	hg_buf_init(&s->queue, SPANS_QUEUE_MAX);
	hg_buf_init(&s->body, BODY_MAX);
	hg_rand_seed(&s->rand, clock_mono_ns());
	loop_task_init(&s->task, on_task);
	enum hg_rc rc = fetch_new(l, &s->fetch, err);
	if (rc < 0)
		spans_free(s);
	else
		*ret_spans = s;
	return rc;
}

void spans_free(struct spans *s)
{
	if (!s) return;
	fetch_cancel(s->call);
	fetch_free(s->fetch);
	loop_timer_stop(s->loop, &s->timer);
	loop_task_cancel(&s->task);
	hg_buf_free(&s->queue);
	hg_buf_free(&s->body);
	free(s);
}

void spans_put(struct spans *s, struct hg_str record)
{
	size_t size = span_size(record);
	if (!size || size != record.n || s->queue.n + size > SPANS_QUEUE_MAX) {
		s->count.dropped++;
		return;
	}
	hg_buf_str(&s->queue, record);
	if (s->queue.failed) { /* no memory: what there was is lost with it */
		s->count.dropped += s->queued + 1;
		s->queued = 0;
		hg_buf_reset(&s->queue);
		return;
	}
	if (s->queued++ == 0) s->since_ms = loop_now_ms(s->loop);
	if (s->queued == 1 || s->queued == s->batch_max) loop_task_queue(s->loop, &s->task);
}

bool spans_flush(struct spans *s)
{
	s->closing = true;
	step(s);
	return !s->call && !s->made && !s->queued;
}

void spans_stats(const struct spans *s, struct spans_stats *ret_stats)
{
	*ret_stats = s->count;
	ret_stats->queued = s->queued + s->made;
	ret_stats->waiting = s->made;
	ret_stats->failing = s->failing;
}
