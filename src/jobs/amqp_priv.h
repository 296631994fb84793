/* RabbitMQ by librabbitmq, which is loaded while the program runs: its part that is used, and what
 * the loop and the thread that waits for the broker say to each other. */
#ifndef JOBS_AMQP_PRIV_H
#define JOBS_AMQP_PRIV_H

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <pthread.h>

#include "base/list.h"
#include "jobs/jobs.h"
#include "jobs/relay.h"

#define AMQP_CALLS(X)                     \
	X(new_connection)                 \
	X(connection_close)               \
	X(destroy_connection)             \
	X(tcp_socket_new)                 \
	X(ssl_socket_new)                 \
	X(ssl_socket_set_cacert)          \
	X(ssl_socket_set_verify_peer)     \
	X(ssl_socket_set_verify_hostname) \
	X(ssl_socket_set_ssl_versions)    \
	X(socket_open_noblock)            \
	X(get_sockfd)                     \
	X(parse_url)                      \
	X(login)                          \
	X(set_handshake_timeout)          \
	X(set_rpc_timeout)                \
	X(channel_open)                   \
	X(confirm_select)                 \
	X(queue_declare)                  \
	X(basic_qos)                      \
	X(basic_consume)                  \
	X(basic_publish)                  \
	X(basic_ack)                      \
	X(basic_reject)                   \
	X(simple_wait_frame_noblock)      \
	X(frames_enqueued)                \
	X(data_in_buffer)                 \
	X(maybe_release_buffers)          \
	X(get_rpc_reply)                  \
	X(error_string2)

struct amqp_calls {
#define X(name) __typeof__(amqp_##name) *name;
	AMQP_CALLS(X)
#undef X
};

#define AMQP_URL_MAX     512u
#define AMQP_CA_MAX      256u
#define AMQP_CA_SYSTEM   "/etc/ssl/certs/ca-certificates.crt" /* of Debian's ca-certificates */
#define AMQP_WHY_MAX     256u
#define AMQP_UNACKED_MAX 64u /* messages of one queue that a consumer holds at most */
#define AMQP_DELIVERIES  20  /* a message that killed so many consumers goes to the dead letters */

/* From the loop to the thread. */
struct amqp_order {
	struct hg_list node;
	enum { AMQP_PUBLISH, AMQP_ACK } what;
	int64_t id, lease; /* AMQP_PUBLISH */
	char queue[JOBS_NAME_MAX + 1], kind[JOBS_NAME_MAX + 1];
	uint64_t tag; /* AMQP_ACK */
	uint32_t connection;
};

/* From the thread to the loop. */
struct amqp_event {
	struct hg_list node;
	enum { AMQP_CONFIRMED, AMQP_DELIVERED, AMQP_NOTE } what;
	int64_t id, lease;
	enum hg_rc rc; /* AMQP_CONFIRMED */
	struct relay_delivery delivery;
	char kind[JOBS_NAME_MAX + 1];
	enum hg_level level; /* AMQP_NOTE */
	char why[AMQP_WHY_MAX];
	const char *note;
};

struct amqp_driver {
	uint32_t magic;
	struct loop *loop;
	struct relay_driver_options with;
	char url[AMQP_URL_MAX], consumer[128]; /* without parameters */
	char ca[AMQP_CA_MAX]; /* file with the authorities that are trusted; "": amqp:// */
	char queue[JOBS_QUEUES_MAX][JOBS_NAME_MAX + 1];
	const char *queue_name[JOBS_QUEUES_MAX];
	struct amqp_calls call;
	struct loop_io io;
	int to_loop, to_thread; /* eventfds */
	pthread_t thread;
	bool started;
	uint32_t under_way;     /* published and not yet told; the loop's */
	uint32_t room;          /* messages the consumer still has room for; the loop's */
	struct hg_list waiting; /* deliveries beyond that; the loop's */
	atomic_bool connected, stop;
	atomic_uint prefetch; /* 0: nothing is consumed yet */
	atomic_int fd;        /* of the connection, to end it from the loop; -1 none */
	pthread_mutex_t lock;
	struct hg_list orders, events; /* under the lock */
};

#define AMQP_MAGIC 0xa39b0001u

/* HG_E_IO with the reason when the library is not there. */
HG_MUST enum hg_rc amqp_calls_load(struct amqp_calls *ret_calls, struct hg_err *err);
/* The thread: connects, works, connects again, until `stop`. */
void *amqp_link_run(void *driver);
/* Takes what was ordered, oldest first; NULL when there is nothing. The caller frees it. */
struct amqp_order *amqp_order_take(struct amqp_driver *d);
/* Tells the loop; the event is the loop's. */
void amqp_event_tell(struct amqp_driver *d, struct amqp_event *e);

#endif
