/*
 * RabbitMQ as a driver of relay.h: "amqp://USER:PASSWORD@HOST[:PORT]/VHOST", or amqps:// with TLS
 * and perhaps "?ca=FILE". Each queue is a quorum queue of its name; what was given to 20 consumers
 * and acknowledged by none goes to NAME-dlq, which keeps it for 14 days. Publishing is confirmed by
 * the broker, messages are persistent and mandatory, acknowledgements are ours. librabbitmq is
 * loaded at `open`, and waits on a thread of its own.
 */
#ifndef JOBS_AMQP_RELAY_H
#define JOBS_AMQP_RELAY_H

#include "base/log.h"
#include "jobs/relay.h"

extern const struct relay_driver relay_rabbitmq;

#endif
