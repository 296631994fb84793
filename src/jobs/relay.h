/*
 * The seam to a message broker (Redis Streams, RabbitMQ), which brings jobs to workers instead of
 * their asking the database. The database stays the record: a broker carries numbers of jobs, and
 * may lose or repeat them.
 *
 *   relay    claims due jobs for the broker ("sent": a lease that is long, and counts no attempt),
 *            publishes each, and forgets one only when the broker has confirmed it; what was not
 *            confirmed, or got lost in the broker, becomes due again when that lease lapses.
 *   consumer takes the job in the database with the number the message brought: a message that
 *            came twice, or late, fits no more and is only acknowledged. Then it runs as any other,
 *            with a lease of its own, and how it ended is written there; the message is
 *            acknowledged after that.
 *
 * Retries, schedules, unique keys, the dead-letter queue and all the views are therefore the same
 * with and without a broker.
 *
 * A driver is one connection of one process, used on one loop; a client library that blocks belongs
 * on a thread behind it. It reconnects by itself (back-off up to 5 s).
 */
#ifndef JOBS_RELAY_H
#define JOBS_RELAY_H

#include "base/err.h"
#include "base/log.h"
#include "os/loop.h"

#define RELAY_UNCONFIRMED_MAX 256u /* messages published and not yet confirmed */

struct relay_message {
	int64_t id, lease;
	struct hg_str queue; /* the job's: a stream, or a queue, of its own each */
	struct hg_str kind;  /* for people who look into the broker */
};

/* What was delivered, until it is acknowledged. The driver's; opaque, fits RabbitMQ's tag and both
 * halves of a stream's id. */
struct relay_delivery {
	uint64_t a, b;
	uint32_t queue;      /* index in the queues of relay_driver_options */
	uint32_t connection; /* an acknowledgement for one that is gone is dropped */
};

struct relay_driver_options {
	const char *url;          /* redis://…, amqp://… */
	const char *consumer;     /* name of this consumer: "host:pid" */
	const char *const *queue; /* to consume from, or to publish to; declared when missing */
	uint32_t queue_count;
	/* Called on the loop, never from within a call of the driver. */
	void (*delivered)(
	        void *arg, const struct relay_delivery *d, const struct relay_message *m);
	/* With HG_OK only after the broker has said that it keeps the message; else it may or may not
	 * have it. Once for every publish that returned HG_OK. */
	void (*confirmed)(void *arg, int64_t id, int64_t lease, enum hg_rc rc);
	void (*note)(void *arg, enum hg_level level, const char *what, const char *why);
	void *arg;
};

/* What a broker can do. Every function is called on the loop and returns at once. */
struct relay_driver {
	const char *name; /* "redis", "rabbitmq" */
	enum hg_rc (*open)(struct loop *l, const struct relay_driver_options *o, void **ret_driver,
	        struct hg_err *err);
	/* HG_E_AGAIN: not connected, or RELAY_UNCONFIRMED_MAX are under way. */
	enum hg_rc (*publish)(void *driver, const struct relay_message *m);
	/* The consumer has room for so many more than it holds; 0: none at all. Takes also what died
	 * consumers were given and did not acknowledge for a minute. */
	void (*want)(void *driver, uint32_t n);
	void (*ack)(void *driver, const struct relay_delivery *d);
	bool (*connected)(const void *driver);
	/* Nothing is told any more. What was not acknowledged is delivered again to others. */
	void (*close)(void *driver);
};

extern const struct relay_driver relay_redis;

#endif
