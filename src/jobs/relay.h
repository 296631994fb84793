/*
 * The seam to a message broker (Redis Streams, RabbitMQ), which brings jobs to workers instead of
 * their asking the database. The database stays the record: a broker carries numbers of jobs, and
 * may lose or repeat them.
 *
 *   relay    claims due jobs for the broker ("sent": a lease that is long, and counts no attempt),
 *            publishes each, and forgets one only when the broker has confirmed it; what was not
 *            confirmed, or got lost in the broker, becomes due again when that lease lapses.
 *   consumer takes the job in the database with the number the message brought: a message that
 *            came twice, or late, fits no more and is only acknowledged. When the job was taken the
 *            message is acknowledged too: it runs as any other now, with a lease of its own, and
 *            how it ends is written in the database.
 *
 * Retries, schedules, unique keys, the dead-letter queue and all the views are therefore the same
 * with and without a broker.
 *
 * A driver is one connection of one process, used on one loop; a client library that blocks belongs
 * on a thread behind it. It reconnects by itself (back-off up to 5 s).
 */
#ifndef JOBS_RELAY_H
#define JOBS_RELAY_H

#include "jobs/jobs.h"

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
	void (*delivered)(void *arg, const struct relay_delivery *d, const struct relay_message *m);
	/* With HG_OK only after the broker has said that it keeps the message; else it may or may
	 * not have it. Once for every publish that returned HG_OK. */
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
	/* The consumer has room for so many more than it holds; 0: none at all. Takes also what
	 * died consumers were given and did not acknowledge for a minute. */
	void (*want)(void *driver, uint32_t n);
	void (*ack)(void *driver, const struct relay_delivery *d);
	bool (*connected)(const void *driver);
	/* Nothing is told any more. What was not acknowledged is delivered again to others. */
	void (*close)(void *driver);
};

extern const struct relay_driver relay_redis;

/* By the address; NULL: no broker is known for it. */
const struct relay_driver *relay_driver_of(const char *url);

/* ---- from the database to the broker ---- */

#define RELAY_LEASE_MS 600000u /* what a broker has for so long is taken to be lost */
#define RELAY_WINDOW   1000u   /* jobs that it has at once; the others wait in the database */

struct jobs_relay;

struct jobs_relay_options {
	const char *database; /* address for db_open */
	enum db_durability durability;
	const char *name;
	const char *const *queue;
	uint32_t queue_count;
	const struct relay_driver *driver;
	const char *url;   /* of the broker */
	uint64_t lease_ms; /* 0: RELAY_LEASE_MS */
	void (*note)(void *arg, enum hg_level level, const char *what, const struct job *job,
	        const char *why);
	void *arg;
};

struct jobs_relay_stats {
	bool connected; /* to the broker */
	uint32_t unconfirmed;
	uint64_t published, returned; /* returned: given back to the database, to be sent again */
};

/* Any number of processes may relay the same queues. HG_E_NOMEM, HG_E_INVALID, or what the driver
 * said. */
HG_MUST enum hg_rc jobs_relay_new(struct loop *l, const struct jobs_relay_options *o,
        struct jobs_relay **ret_relay, struct hg_err *err);
void jobs_relay_nudge(struct jobs_relay *r);
/* Sends no more; `stopped` comes from the loop when everything is confirmed, or 3 s later. */
void jobs_relay_stop(struct jobs_relay *r, void (*stopped)(void *arg), void *arg);
/* Takes NULL. */
void jobs_relay_free(struct jobs_relay *r);
void jobs_relay_stats(const struct jobs_relay *r, struct jobs_relay_stats *ret_stats);

#endif
