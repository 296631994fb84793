/*
 * An asynchronous Redis client on one loop, for whatever may be done without: caches, limits,
 * hints; and, with `patient` commands, for what may not (queues). Nothing blocks: names are looked
 * up on a thread, connections are made and replies read as the sockets allow.
 *
 * Commands are pipelined on one connection and answered in their order, each within its time: then
 * it is HG_E_TIMEOUT, and the late reply is dropped. What cannot be answered in time is not sent:
 * a command is refused (HG_E_AGAIN) at once while there is no connection, while an earlier one is
 * over its time (replies come in order), and for a second after half of at least five commands
 * were late. So a dead Redis costs nothing, and a slow one its time-out for a few commands a
 * second.
 *
 * A connection that is lost, or silent for too long, is made again at once, then after 0.1, 0.2 …
 * 5 s, ± 25 %. Of commands that were in flight nobody knows whether they were carried out.
 * Subscriptions have a connection of their own.
 *
 * Addresses: redis://[[USER]:PASSWORD@]HOST[:PORT][/DB] (6379, 0), unix:PATH or
 * redis+unix://[[USER]:PASSWORD@]PATH, both with ?db=N. rediss:// is the first with TLS, 1.2 or
 * later: the certificate must be of an authority of the system, or of one in the file of ?ca=FILE,
 * and be for HOST.
 */
#ifndef REDIS_REDIS_H
#define REDIS_REDIS_H

#include "base/err.h"
#include "base/log.h"
#include "os/loop.h"
#include "wire/resp.h"

#define REDIS_ARGS_MAX 64u
#define REDIS_BUCKETS  10

struct redis;

struct redis_options {
	const char *url;
	const char *name; /* for CLIENT SETNAME: letters, digits, punctuation; static */
	const char *ca;   /* PEM of the authorities for rediss://, instead of a file; NULL: none */
	uint32_t timeout_ms; /* of a command, from redis_send to its reply; 0: 50 */
	uint32_t connect_ms; /* of a connection until it is usable; 0: 1000 */
	uint32_t queue_max;  /* commands in flight and waiting; 0: 1024 */
	uint32_t reply_max;  /* bytes of a reply; 0: 16 MiB */
	/* Optional: connections lost and made. */
	void (*note)(void *arg, enum hg_level level, const char *what, const char *why);
	void *arg;
};

/* Starts to connect and returns. HG_E_INVALID: the address; HG_E_NOMEM. */
HG_MUST enum hg_rc redis_new(struct loop *l, const struct redis_options *o,
        struct redis **ret_redis, struct hg_err *err);
/* Answers every command HG_E_AGAIN. Takes NULL. Not from a callback of this client. */
void redis_free(struct redis *r);
/* Would a command be sent now? */
bool redis_usable(struct redis *r);

/* One command on its way; the caller's memory, zero before its first use. */
struct redis_command {
	/* in */
	void (*done)(struct redis_command *c); /* once, never from within redis_send */
	void *arg;
	uint32_t within_ms; /* 0: timeout_ms */
	bool patient; /* waits for a connection, within its time, and is not spared slowness */
	/* out; `reply`, `rest` and `why` are valid within `done` */
	enum hg_rc rc; /* HG_OK; HG_E_TIMEOUT; HG_E_AGAIN: no connection; HG_E_INVALID: refused by
	                  the server, whose words are in `why` */
	struct resp_value reply;
	struct hg_str rest; /* elements of an array, for resp_next */
	struct hg_str why;
	/* the client's */
	struct redis *redis;
	struct hg_list node;
	uint64_t queued_ns, deadline_ms;
	uint32_t place, term;
	const struct redis_script *script;
	char *request; /* patient: the whole of it; of a script: what follows its name */
	size_t request_n;
	uint8_t state;
};

/*
 * Sends; the arguments (1 to REDIS_ARGS_MAX) are copied. HG_E_AGAIN: not now (see above);
 * HG_E_NOMEM: the queue is full. Then `done` is not called and the command stays the caller's.
 */
HG_MUST enum hg_rc redis_send(
        struct redis *r, struct redis_command *c, const struct hg_str *arg, size_t n);
/* `done` will not be called. The server may carry the command out all the same. Fine for a command
 * that is not on its way. */
void redis_cancel(struct redis_command *c);

struct redis_script {
	const char *text;
	char sha1[41];
};

/* `text` is kept. */
void redis_script_init(struct redis_script *s, const char *text);
/* EVALSHA; EVAL when the server does not know the script. `s` stays until `done`. */
HG_MUST enum hg_rc redis_eval(struct redis *r, struct redis_command *c,
        const struct redis_script *s, const struct hg_str *keys, size_t key_count,
        const struct hg_str *args, size_t arg_count);

struct redis_subscription {
	const char *channel; /* must stay, as the subscription itself */
	/* `message.p` NULL: the subscription begins, for the first time or again; what was
	 * published before may have been missed. */
	void (*fn)(struct redis_subscription *s, struct hg_str message);
	void *arg;
	struct hg_list node;
};

/* From the next connection on, or at once. One for a channel. */
void redis_subscribe(struct redis *r, struct redis_subscription *s);
void redis_unsubscribe(struct redis *r, struct redis_subscription *s);

struct redis_stats {
	bool up;
	uint32_t in_flight;
	uint64_t sent, errors, timeouts, refused, lost, connections;
	uint64_t bucket[REDIS_BUCKETS + 1], sum_ns; /* of replies */
};

/* Upper bounds of the buckets in nanoseconds; the last is open. */
extern const uint64_t redis_bucket_ns[REDIS_BUCKETS];
void redis_stats(const struct redis *r, struct redis_stats *ret_stats);

/* NULL when the address can be used, else what is wrong with it (static text). */
const char *redis_url_wrong(const char *url);
/* The address without its password, for people. */
void redis_url_text(const char *url, char *to, size_t cap);

#endif
