/*
 * Sends spans (wire/span.h) to a receiver of OTLP/HTTP, in batches, from a loop: bounded in bytes,
 * with retries, and nobody who hands it a span ever waits. What does not fit is dropped and
 * counted, and so is a batch that was refused or not taken after SPANS_TRIES.
 */
#ifndef FETCH_SPANS_H
#define FETCH_SPANS_H

#include "base/log.h"
#include "fetch/fetch.h"
#include "wire/otlp.h"

#define SPANS_BATCH_MAX 512u
#define SPANS_QUEUE_MAX (2u << 20) /* bytes of records that wait: some 5000 spans */
#define SPANS_TRIES     10u
#define SPANS_PAUSE_MS  1000u /* before the second try of a batch; doubled each time … */
#define SPANS_PAUSE_MAX 30000u
#define SPANS_RESOURCE  16u
#define SPANS_HEADERS   8u

struct spans;

struct spans_options {
	const char *url;     /* whole: http://127.0.0.1:4318/v1/traces */
	const char *headers; /* as OTEL_EXPORTER_OTLP_HEADERS: "k=v,k=v"; NULL or "": none */
	const struct otlp_pair *resource;
	size_t resource_n;   /* SPANS_RESOURCE at most */
	const char *scope;   /* what makes the spans */
	uint32_t timeout_ms; /* of one POST; 0: 10 s */
	uint32_t delay_ms;   /* so long a batch may grow; 0: it is sent at the next turn */
	uint32_t batch_max;  /* 0: SPANS_BATCH_MAX */
	/* Optional: when it begins to fail, and when it is well again. */
	void (*note)(void *arg, enum hg_level level, const char *what, const char *why);
	void *arg;
};

struct spans_stats {
	uint64_t exported;        /* spans that were taken */
	uint64_t dropped;         /* … that were lost here, for whatever reason */
	uint64_t rejected;        /* … that the receiver did not want, of a batch that it took */
	uint64_t failures;        /* POSTs that were not answered with success */
	uint64_t queued, waiting; /* spans that wait; of these, of the batch that is being sent */
	bool failing;
};

/* Everything in `o` is copied. Makes no connection. HG_E_INVALID: no http or https address. */
HG_MUST enum hg_rc spans_new(struct loop *l, const struct spans_options *o,
        struct spans **ret_spans, struct hg_err *err);
/* What waits is dropped. Takes NULL. */
void spans_free(struct spans *s);
/* One record; copied. What is none is dropped and counted like what finds no room. */
void spans_put(struct spans *s, struct hg_str record);
/* Sends all that there is now, and tries nothing twice. True: nothing is left. */
bool spans_flush(struct spans *s);
void spans_stats(const struct spans *s, struct spans_stats *ret_stats);

/* ---- pure ---- */

struct spans_view {
	bool flying, made; /* a POST is under way; a batch is made and was not taken */
	bool closing;
	uint64_t queued;   /* spans that are in no batch */
	uint64_t since_ms; /* when the first of them came */
	uint64_t retry_ms; /* not before */
	uint32_t batch_max, delay_ms;
};
enum spans_step { SPANS_IDLE, SPANS_WAIT, SPANS_MAKE, SPANS_SEND };
/* What is to be done; SPANS_WAIT: until *ret_until_ms. */
enum spans_step spans_decide(const struct spans_view *v, uint64_t now_ms, uint64_t *ret_until_ms);
/* How long to wait before try number `tries` + 1; `asked_ms`: Retry-After, 0: none said; `random`:
 * any number, for the jitter of a fifth. */
uint64_t spans_pause(uint32_t tries, uint64_t asked_ms, uint64_t random);

/* ---- on a thread of its own ---- */

/*
 * The same for a loop that must not even make JSON: the records cross a buffer under a lock that is
 * held for a copy, and a thread with a loop of its own sends them. One thread puts.
 */
struct spans_thread;

/* `o.note` is called on the thread. */
HG_MUST enum hg_rc spans_thread_new(
        const struct spans_options *o, struct spans_thread **ret_thread, struct hg_err *err);
void spans_thread_put(struct spans_thread *t, struct hg_str record);
/* Sends what is left, for `within_ms` at most, and frees it. Takes NULL. */
void spans_thread_stop(struct spans_thread *t, uint32_t within_ms);
void spans_thread_stats(struct spans_thread *t, struct spans_stats *ret_stats);

#endif
