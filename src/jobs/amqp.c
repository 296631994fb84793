/* The loop's side: orders to the thread, its events as callbacks. */
#include "jobs/amqp_relay.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "jobs/amqp_priv.h"
#include "os/library.h"
#include "wire/url.h"

#define FAREWELL_S 1

enum hg_rc amqp_calls_load(struct amqp_calls *ret_calls, struct hg_err *err)
{
	static const char *const name[] = {
#define X(name) "amqp_" #name,
	        AMQP_CALLS(X)
#undef X
	};
	static const struct library lib = {
	        .file = "librabbitmq.so.4", /* of Debian's librabbitmq4 */
	        .hint = "Install the package librabbitmq4.",
	        .rc = HG_E_IO,
	        .call = name,
	        .call_n = HG_COUNT(name)};
	return library_load(&lib, ret_calls, sizeof *ret_calls, err);
}

/* ---- between the two ---- */

static void ring(int fd)
{
	uint64_t one = 1;
	/* Cannot fail but when the counter is full, and then the other is awake anyway. */
	while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
		continue;
}

struct amqp_order *amqp_order_take(struct amqp_driver *d)
{
	pthread_mutex_lock(&d->lock);
	struct hg_list *node = hg_list_pop(&d->orders);
	pthread_mutex_unlock(&d->lock);
	return node ? HG_CONTAINER(node, struct amqp_order, node) : NULL;
}

static void order(struct amqp_driver *d, struct amqp_order *o)
{
	pthread_mutex_lock(&d->lock);
	hg_list_append(&d->orders, &o->node);
	pthread_mutex_unlock(&d->lock);
	ring(d->to_thread);
}

void amqp_event_tell(struct amqp_driver *d, struct amqp_event *e)
{
	pthread_mutex_lock(&d->lock);
	hg_list_append(&d->events, &e->node);
	pthread_mutex_unlock(&d->lock);
	ring(d->to_loop);
}

static void deliver(struct amqp_driver *d, struct amqp_event *e)
{
	struct relay_message m = {.id = e->id,
	        .lease = e->lease,
	        .queue = hg_str(d->queue[e->delivery.queue]),
	        .kind = hg_str(e->kind)};
	d->with.delivered(d->with.arg, &e->delivery, &m);
	free(e);
}

static void deliver_waiting(struct amqp_driver *d)
{
	while (d->room) {
		struct hg_list *node = hg_list_pop(&d->waiting);
		if (!node) return;
		d->room--;
		deliver(d, HG_CONTAINER(node, struct amqp_event, node));
	}
}

/* Of a connection that is gone nothing can be acknowledged: the broker delivers it again. */
static void forget_old(struct amqp_driver *d, uint32_t connection)
{
	struct hg_list keep;
	hg_list_init(&keep);
	for (struct hg_list *node; (node = hg_list_pop(&d->waiting));) {
		struct amqp_event *e = HG_CONTAINER(node, struct amqp_event, node);
		if (e->delivery.connection == connection)
			hg_list_append(&keep, &e->node);
		else
			free(e);
	}
	for (struct hg_list *node; (node = hg_list_pop(&keep));)
		hg_list_append(&d->waiting, node);
}

static void on_event(struct amqp_driver *d, struct amqp_event *e)
{
	switch (e->what) {
	case AMQP_CONFIRMED:
		d->under_way--;
		d->with.confirmed(d->with.arg, e->id, e->lease, e->rc);
		break;
	case AMQP_DELIVERED:
		forget_old(d, e->delivery.connection);
		hg_list_append(&d->waiting, &e->node);
		deliver_waiting(d);
		return;
	case AMQP_NOTE: d->with.note(d->with.arg, e->level, e->note, e->why); break;
	}
	free(e);
}

static void on_ring(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct amqp_driver *d = HG_CONTAINER(io, struct amqp_driver, io);
	uint64_t n;
	(void)l, (void)events;
	if (read(d->to_loop, &n, sizeof n) < 0) return;
	for (;;) {
		pthread_mutex_lock(&d->lock);
		struct hg_list *node = hg_list_pop(&d->events);
		pthread_mutex_unlock(&d->lock);
		if (!node) break;
		on_event(d, HG_CONTAINER(node, struct amqp_event, node));
	}
	deliver_waiting(d); /* there may be room since */
}

/* ---- the driver ---- */

static enum hg_rc driver_publish(void *driver, const struct relay_message *m)
{
	struct amqp_driver *d = HG_OBJ(driver, struct amqp_driver, AMQP_MAGIC);
	if (!atomic_load(&d->connected) || d->under_way >= RELAY_UNCONFIRMED_MAX) return HG_E_AGAIN;
	struct amqp_order *o = calloc(1, sizeof *o);
	if (!o) return HG_E_NOMEM;
	o->what = AMQP_PUBLISH;
	o->id = m->id;
	o->lease = m->lease;
	if (!hg_str_copy(m->queue, o->queue, sizeof o->queue) ||
	        !hg_str_copy(m->kind, o->kind, sizeof o->kind)) {
		free(o);
		return HG_E_INVALID;
	}
	d->under_way++;
	order(d, o);
	return HG_OK;
}

static void driver_want(void *driver, uint32_t n)
{
	struct amqp_driver *d = HG_OBJ(driver, struct amqp_driver, AMQP_MAGIC);
	d->room = n;
	if (n && !atomic_load(&d->prefetch)) {
		atomic_store(&d->prefetch, HG_MIN(n, AMQP_UNACKED_MAX));
		ring(d->to_thread);
	}
	/* Never from within a call: the thread's bell does it. */
	if (n && !hg_list_empty(&d->waiting)) ring(d->to_loop);
}

static void driver_ack(void *driver, const struct relay_delivery *delivery)
{
	struct amqp_driver *d = HG_OBJ(driver, struct amqp_driver, AMQP_MAGIC);
	struct amqp_order *o = calloc(1, sizeof *o);
	if (!o) return; /* it comes again, and fits no job any more */
	o->what = AMQP_ACK;
	o->tag = delivery->a;
	o->connection = delivery->connection;
	order(d, o);
}

static bool driver_connected(const void *driver)
{
	const struct amqp_driver *d = driver;
	return atomic_load(&d->connected);
}

static void free_events(struct hg_list *list)
{
	for (struct hg_list *node; (node = hg_list_pop(list));)
		free(HG_CONTAINER(node, struct amqp_event, node));
}

/* It says its farewell, or is cut off. */
static void thread_end(struct amqp_driver *d)
{
	struct timespec until;
	if (clock_gettime(CLOCK_MONOTONIC, &until) == 0) {
		until.tv_sec += FAREWELL_S;
		if (pthread_clockjoin_np(d->thread, NULL, CLOCK_MONOTONIC, &until) == 0) return;
	}
	/* Whatever the library waits for is over now. */
	pthread_mutex_lock(&d->lock);
	int fd = atomic_load(&d->fd);
	if (fd >= 0) shutdown(fd, SHUT_RDWR);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
}

static void driver_close(void *driver)
{
	struct amqp_driver *d = HG_OBJ(driver, struct amqp_driver, AMQP_MAGIC);
	atomic_store(&d->stop, true);
	if (d->started) {
		ring(d->to_thread);
		thread_end(d);
	}
	loop_io_stop(d->loop, &d->io);
	if (d->to_loop >= 0) close(d->to_loop);
	if (d->to_thread >= 0) close(d->to_thread);
	for (struct amqp_order *o; (o = amqp_order_take(d));)
		free(o);
	free_events(&d->events);
	free_events(&d->waiting);
	pthread_mutex_destroy(&d->lock);
	explicit_bzero(d->url, sizeof d->url);
	d->magic = 0;
	free(d);
}

/* The library would take parameters for a part of the virtual host. */
static bool url_copy(struct amqp_driver *d, const char *url)
{
	struct hg_str query = hg_str(url), plain = hg_str_cut(&query, '?'), ca = HG_STR("");
	bool tls = hg_str_starts(plain, HG_STR("amqps://"));
	size_t n = 0;
	if (!hg_str_copy(plain, d->url, sizeof d->url)) return false;
	if (!tls) return query.n == 0 || hg_str_copy(hg_str(url), d->url, sizeof d->url);
	if (query.n &&
	        (!url_query_find(query, HG_STR("ca"), &ca) || hg_str_find(query, '&') < query.n))
		return false;
	if (!ca.n) ca = HG_STR(AMQP_CA_SYSTEM);
	if (!url_decode(ca, false, d->ca, sizeof d->ca - 1, &n)) return false;
	d->ca[n] = 0;
	return n > 0;
}

static bool settings_copy(struct amqp_driver *d, const struct relay_driver_options *o)
{
	d->with = *o;
	if (!url_copy(d, o->url) ||
	        !hg_str_copy(hg_str(o->consumer), d->consumer, sizeof d->consumer) ||
	        o->queue_count > JOBS_QUEUES_MAX)
		return false;
	for (uint32_t i = 0; i < o->queue_count; i++) {
		if (!hg_str_copy(hg_str(o->queue[i]), d->queue[i], sizeof d->queue[i]))
			return false;
		d->queue_name[i] = d->queue[i];
	}
	d->with.url = d->url;
	d->with.consumer = d->consumer;
	d->with.queue = d->queue_name;
	return true;
}

static enum hg_rc url_check(struct amqp_driver *d, struct hg_err *err)
{
	struct amqp_connection_info info;
	char copy[AMQP_URL_MAX];
	memcpy(copy, d->url, sizeof copy);
	bool known = hg_str_starts(hg_str(copy), HG_STR("amqp://")) || d->ca[0];
	bool ok = known && d->call.parse_url(copy, &info) == AMQP_STATUS_OK && info.host &&
	          info.host[0];
	explicit_bzero(copy, sizeof copy);
	if (ok && d->ca[0] && access(d->ca, R_OK) < 0)
		return hg_err_set(err, HG_E_INVALID,
		        "could not read the authorities of the broker, \"%s\": %s", d->ca,
		        strerror(errno));
	if (ok) return HG_OK;
	hg_err_set(err, HG_E_INVALID,
	        "the broker's address is not amqp://USER:PASSWORD@HOST[:PORT]/VHOST");
	hg_err_hint(err, "A virtual host \"/\" is written as /%%2f, or left out.");
	return HG_E_INVALID;
}

/* Signals belong to the loop: the thread is born with all of them blocked. */
static bool thread_start(struct amqp_driver *d)
{
	sigset_t all, before;
	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
	d->started = pthread_create(&d->thread, NULL, amqp_link_run, d) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return d->started;
}

static enum hg_rc driver_open(
        struct loop *l, const struct relay_driver_options *o, void **ret_driver, struct hg_err *err)
{
	struct amqp_driver *d = calloc(1, sizeof *d);
	if (!d) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	d->magic = AMQP_MAGIC;
	d->loop = l;
	d->io.fd = -1;
	d->to_loop = d->to_thread = -1;
	atomic_init(&d->fd, -1);
	hg_list_init(&d->orders);
	hg_list_init(&d->events);
	hg_list_init(&d->waiting);
	pthread_mutex_init(&d->lock, NULL);
	enum hg_rc rc = amqp_calls_load(&d->call, err);
	if (rc == HG_OK && !settings_copy(d, o))
		rc = hg_err_set(err, HG_E_INVALID,
		        "a name or the broker's address is too long, or has parameters "
		        "other than ?ca=FILE");
	if (rc == HG_OK) rc = url_check(d, err);
	if (rc == HG_OK) {
		d->to_loop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		d->to_thread = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (d->to_loop < 0 || d->to_thread < 0 ||
		        loop_io_start(l, &d->io, d->to_loop, EPOLLIN, on_ring) < 0 ||
		        !thread_start(d))
			rc = hg_err_set(err, HG_E_IO, "could not start a thread for the broker");
	}
	if (rc == HG_OK)
		*ret_driver = d;
	else
		driver_close(d);
	return rc;
}

const struct relay_driver relay_rabbitmq = {
        .name = "rabbitmq",
        .open = driver_open,
        .publish = driver_publish,
        .want = driver_want,
        .ack = driver_ack,
        .connected = driver_connected,
        .close = driver_close,
};
