/* The thread's side: one connection with two channels, one to publish with confirmations, one to
 * consume. Everything that can wait has a time-out; a connection that failed is left, and made
 * again. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/rand.h"
#include "jobs/amqp_priv.h"
#include "os/clock.h"

#define OUT            1 /* channels */
#define IN             2
#define CONNECT_S      5
#define HEARTBEAT_S    10
#define CONFIRM_MS     20000u /* a broker that is well needs milliseconds */
#define FRAME_MAX      131072
#define TURN_MS        1000
#define RETRY_MIN_MS   100u
#define RETRY_MAX_MS   5000u
#define DEAD_KEPT_MS   (14ll * 24 * 3600 * 1000)
#define PROPS(p, flag) ((p)->_flags & AMQP_BASIC_##flag##_FLAG)

static const amqp_bytes_t no_bytes;
static const amqp_table_t no_table;

struct sent {
	int64_t id, lease;
	uint64_t number; /* of the channel; 0: free */
	uint64_t since_ms;
	bool returned; /* no queue took it */
};

/* A message that is being read: its method was seen, its header and body follow. */
struct reading {
	enum { NOTHING, DELIVERY, RETURN } what;
	bool fits; /* it is one of ours */
	uint64_t tag, body_left;
	uint32_t queue;
	int64_t id, lease;
	char kind[JOBS_NAME_MAX + 1];
};

struct link {
	struct amqp_driver *d;
	const struct amqp_calls *call;
	amqp_connection_state_t c;
	uint32_t connection; /* counts them */
	uint64_t number;     /* of the last message published */
	struct sent sent[RELAY_UNCONFIRMED_MAX];
	bool consuming, missing;        /* missing: a queue; the connection is made anew */
	struct reading reading[IN + 1]; /* of each channel: their frames may come in any order */
	struct hg_rand rand;
	char why[AMQP_WHY_MAX];
};

static amqp_bytes_t bytes_of(const char *s)
{
	return (amqp_bytes_t){strlen(s), (void *)(uintptr_t)s};
}

static struct hg_str str_of(amqp_bytes_t b)
{
	return (struct hg_str){b.bytes, b.len};
}

/* ---- to the loop ---- */

static struct amqp_event *event_new(void)
{
	struct amqp_event *e = calloc(1, sizeof *e);
	/* A confirmation must not be lost; a process without memory for 600 bytes is at its end. */
	HG_ASSERT(e);
	return e;
}

static void tell_note(struct link *k, enum hg_level level, const char *what, const char *why)
{
	struct amqp_event *e = event_new();
	e->what = AMQP_NOTE;
	e->level = level;
	e->note = what;
	(void)snprintf(e->why, sizeof e->why, "%s", why);
	amqp_event_tell(k->d, e);
}

static void tell_confirmed(struct link *k, int64_t id, int64_t lease, enum hg_rc rc)
{
	struct amqp_event *e = event_new();
	e->what = AMQP_CONFIRMED;
	e->id = id;
	e->lease = lease;
	e->rc = rc;
	amqp_event_tell(k->d, e);
}

/* ---- making a connection ---- */

static bool failed(struct link *k, const char *what, int status)
{
	(void)snprintf(k->why, sizeof k->why, "%s: %s", what, k->call->error_string2(status));
	return false;
}

/* What the library and the broker say to the last call that has an answer. */
static bool good(struct link *k, const char *what, amqp_rpc_reply_t r)
{
	if (r.reply_type == AMQP_RESPONSE_NORMAL) return true;
	if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
		return failed(k, what, r.library_error);
	struct hg_str text = HG_STR("the broker ended the connection");
	if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && r.reply.decoded) {
		if (r.reply.id == AMQP_CONNECTION_CLOSE_METHOD)
			text = str_of(((amqp_connection_close_t *)r.reply.decoded)->reply_text);
		else if (r.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
			text = str_of(((amqp_channel_close_t *)r.reply.decoded)->reply_text);
	}
	(void)snprintf(k->why, sizeof k->why, "%s: %.*s", what, (int)HG_MIN(text.n, 200), text.p);
	return false;
}

static bool good_rpc(struct link *k, const char *what)
{
	return good(k, what, k->call->get_rpc_reply(k->c));
}

static amqp_table_entry_t text_entry(const char *key, const char *value)
{
	return (amqp_table_entry_t){.key = bytes_of(key),
	        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = bytes_of(value)}}};
}

static amqp_table_entry_t number_entry(const char *key, int64_t value)
{
	return (amqp_table_entry_t){.key = bytes_of(key),
	        .value = {.kind = AMQP_FIELD_KIND_I64, .value = {.i64 = value}}};
}

static bool declare(struct link *k, const char *name)
{
	char dead[JOBS_NAME_MAX + 8];
	(void)snprintf(dead, sizeof dead, "%s-dlq", name);
	amqp_table_entry_t of_dead[] = {
	        text_entry("x-queue-type", "quorum"), number_entry("x-message-ttl", DEAD_KEPT_MS)};
	amqp_table_entry_t of_queue[] = {text_entry("x-queue-type", "quorum"),
	        number_entry("x-delivery-limit", AMQP_DELIVERIES),
	        text_entry("x-dead-letter-exchange", ""),
	        text_entry("x-dead-letter-routing-key", dead)};
	k->call->queue_declare(
	        k->c, OUT, bytes_of(dead), 0, 1, 0, 0, (amqp_table_t){HG_COUNT(of_dead), of_dead});
	if (!good_rpc(k, dead)) return false;
	k->call->queue_declare(k->c, OUT, bytes_of(name), 0, 1, 0, 0,
	        (amqp_table_t){HG_COUNT(of_queue), of_queue});
	return good_rpc(k, name);
}

static bool open_channels(struct link *k)
{
	for (amqp_channel_t c = OUT; c <= IN; c++) {
		k->call->channel_open(k->c, c);
		if (!good_rpc(k, "channel")) return false;
	}
	k->call->confirm_select(k->c, OUT);
	if (!good_rpc(k, "confirmations")) return false;
	for (uint32_t i = 0; i < k->d->with.queue_count; i++)
		if (!declare(k, k->d->queue[i])) return false;
	return true;
}

/* With TLS: 1.2 or later, of an authority that is trusted, and for the host that the address names.
 */
static amqp_socket_t *socket_new(struct link *k)
{
	bool tls = k->d->ca[0] != 0;
	amqp_socket_t *s = tls ? k->call->ssl_socket_new(k->c) : k->call->tcp_socket_new(k->c);
	int status = s ? AMQP_STATUS_OK : AMQP_STATUS_NO_MEMORY;
	if (s && tls) {
		status = k->call->ssl_socket_set_ssl_versions(s, AMQP_TLSv1_2, AMQP_TLSvLATEST);
		if (status == AMQP_STATUS_OK) status = k->call->ssl_socket_set_cacert(s, k->d->ca);
		k->call->ssl_socket_set_verify_peer(s, 1);
		k->call->ssl_socket_set_verify_hostname(s, 1);
	}
	if (status == AMQP_STATUS_OK) return s;
	(void)failed(k, tls ? "the authorities" : "connect", status);
	return NULL;
}

static bool login(struct link *k, const struct amqp_connection_info *info)
{
	struct timeval limit = {.tv_sec = CONNECT_S};
	amqp_socket_t *socket = socket_new(k);
	if (!socket) return false;
	int status = k->call->socket_open_noblock(socket, info->host, info->port, &limit);
	if (status != AMQP_STATUS_OK) return failed(k, "connect", status);
	pthread_mutex_lock(&k->d->lock);
	atomic_store(&k->d->fd, k->call->get_sockfd(k->c));
	pthread_mutex_unlock(&k->d->lock);
	if (k->call->set_handshake_timeout(k->c, &limit) != AMQP_STATUS_OK ||
	        k->call->set_rpc_timeout(k->c, &limit) != AMQP_STATUS_OK)
		return failed(k, "connect", AMQP_STATUS_NO_MEMORY);
	return good(k, "sign-in",
	        k->call->login(k->c, info->vhost, 0, FRAME_MAX, HEARTBEAT_S, AMQP_SASL_METHOD_PLAIN,
	                info->user, info->password));
}

static bool connect_to(struct link *k)
{
	struct amqp_connection_info info;
	char url[AMQP_URL_MAX];
	memcpy(url, k->d->url, sizeof url);
	k->connection++;
	k->number = 0;
	k->consuming = false;
	memset(k->reading, 0, sizeof k->reading);
	k->c = k->call->new_connection();
	bool ok = k->c && k->call->parse_url(url, &info) == AMQP_STATUS_OK && login(k, &info) &&
	          open_channels(k);
	explicit_bzero(url, sizeof url);
	return ok && !atomic_load(&k->d->stop);
}

static void disconnect(struct link *k)
{
	atomic_store(&k->d->connected, false);
	/* So that the loop shuts down no descriptor that is another's by then. */
	pthread_mutex_lock(&k->d->lock);
	atomic_store(&k->d->fd, -1);
	pthread_mutex_unlock(&k->d->lock);
	if (k->c) (void)k->call->destroy_connection(k->c);
	k->c = NULL;
	/* Whether the broker has them, nobody knows. */
	for (size_t i = 0; i < HG_COUNT(k->sent); i++) {
		if (k->sent[i].number) tell_confirmed(k, k->sent[i].id, k->sent[i].lease, HG_E_IO);
		k->sent[i].number = 0;
	}
}

/* ---- orders ---- */

static bool publish(struct link *k, const struct amqp_order *o)
{
	char id[48], body[JOBS_NAME_MAX + 64];
	struct sent *s = k->sent;
	(void)snprintf(id, sizeof id, "%lld-%lld", (long long)o->id, (long long)o->lease);
	(void)snprintf(
	        body, sizeof body, "{\"job\":%lld,\"kind\":\"%s\"}\n", (long long)o->id, o->kind);
	amqp_basic_properties_t p = {._flags = AMQP_BASIC_CONTENT_TYPE_FLAG |
	                                       AMQP_BASIC_DELIVERY_MODE_FLAG |
	                                       AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TYPE_FLAG,
	        .content_type = bytes_of("application/json"),
	        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
	        .message_id = bytes_of(id),
	        .type = bytes_of(o->kind)};
	while (s->number)
		s++; /* as many as the loop lets through */
	*s = (struct sent){
	        .id = o->id, .lease = o->lease, .number = ++k->number, .since_ms = clock_mono_ms()};
	int status = k->call->basic_publish(
	        k->c, OUT, no_bytes, bytes_of(o->queue), 1, 0, &p, bytes_of(body));
	return status == AMQP_STATUS_OK || failed(k, "publish", status);
}

static bool carry_out(struct link *k, const struct amqp_order *o)
{
	int status;
	if (o->what == AMQP_PUBLISH) return publish(k, o);
	if (o->connection != k->connection) return true;
	status = k->call->basic_ack(k->c, IN, o->tag, 0);
	return status == AMQP_STATUS_OK || failed(k, "acknowledge", status);
}

static bool carry_out_all(struct link *k)
{
	for (struct amqp_order *o; (o = amqp_order_take(k->d));) {
		bool ok = carry_out(k, o);
		free(o);
		if (!ok) return false;
	}
	return true;
}

/* What was ordered while there was no connection. */
static void refuse_all(struct link *k)
{
	for (struct amqp_order *o; (o = amqp_order_take(k->d));) {
		if (o->what == AMQP_PUBLISH) tell_confirmed(k, o->id, o->lease, HG_E_IO);
		free(o);
	}
}

static bool consume(struct link *k)
{
	uint32_t prefetch = atomic_load(&k->d->prefetch);
	if (k->consuming || !prefetch) return true;
	k->consuming = true;
	k->call->basic_qos(k->c, IN, 0, (uint16_t)prefetch, 0);
	if (!good_rpc(k, "consume")) return false;
	for (uint32_t i = 0; i < k->d->with.queue_count; i++) {
		char tag[16]; /* says which queue a message came from */
		char what[JOBS_NAME_MAX + 16];
		(void)snprintf(tag, sizeof tag, "%u", i);
		(void)snprintf(what, sizeof what, "consume from %s", k->d->queue[i]);
		k->call->basic_consume(
		        k->c, IN, bytes_of(k->d->queue[i]), bytes_of(tag), 0, 0, 0, no_table);
		if (!good_rpc(k, what)) return false;
	}
	return true;
}

/* ---- what the broker says ---- */

static void confirm(struct link *k, uint64_t number, bool multiple, enum hg_rc rc)
{
	for (size_t i = 0; i < HG_COUNT(k->sent); i++) {
		struct sent *s = &k->sent[i];
		if (!s->number || (multiple ? s->number > number : s->number != number)) continue;
		tell_confirmed(k, s->id, s->lease, s->returned ? HG_E_NOT_FOUND : rc);
		s->number = 0;
	}
}

static bool on_method(struct link *k, struct reading *r, const amqp_method_t *m)
{
	uint64_t queue = 0;
	switch (m->id) {
	case AMQP_BASIC_ACK_METHOD: {
		const amqp_basic_ack_t *a = m->decoded;
		confirm(k, a->delivery_tag, a->multiple, HG_OK);
		return true;
	}
	case AMQP_BASIC_NACK_METHOD: {
		const amqp_basic_nack_t *a = m->decoded;
		confirm(k, a->delivery_tag, a->multiple, HG_E_AGAIN);
		return true;
	}
	case AMQP_BASIC_RETURN_METHOD: r->what = RETURN; return true;
	case AMQP_BASIC_DELIVER_METHOD: {
		const amqp_basic_deliver_t *a = m->decoded;
		r->what = DELIVERY;
		r->tag = a->delivery_tag;
		r->fits = hg_str_u64(str_of(a->consumer_tag), &queue) &&
		          queue < k->d->with.queue_count;
		r->queue = r->fits ? (uint32_t)queue : 0;
		return true;
	}
	case AMQP_CHANNEL_CLOSE_METHOD: {
		struct hg_str text = str_of(((amqp_channel_close_t *)m->decoded)->reply_text);
		(void)snprintf(k->why, sizeof k->why, "%.*s", (int)HG_MIN(text.n, 200), text.p);
		return false;
	}
	case AMQP_CONNECTION_CLOSE_METHOD: {
		struct hg_str text = str_of(((amqp_connection_close_t *)m->decoded)->reply_text);
		(void)snprintf(k->why, sizeof k->why, "%.*s", (int)HG_MIN(text.n, 200), text.p);
		return false;
	}
	case AMQP_BASIC_CANCEL_METHOD:
		(void)snprintf(k->why, sizeof k->why, "a queue was deleted");
		return false;
	default: return true;
	}
}

/* "ID-LEASE" */
static bool id_parse(struct hg_str s, int64_t *ret_id, int64_t *ret_lease)
{
	uint64_t id, lease;
	struct hg_str first = hg_str_cut(&s, '-');
	if (!hg_str_u64(first, &id) || !hg_str_u64(s, &lease) || id > INT64_MAX ||
	        lease > INT64_MAX)
		return false;
	*ret_id = (int64_t)id;
	*ret_lease = (int64_t)lease;
	return true;
}

static void on_header(struct link *k, struct reading *r, const amqp_basic_properties_t *p)
{
	bool named = PROPS(p, MESSAGE_ID) && id_parse(str_of(p->message_id), &r->id, &r->lease);
	r->kind[0] = 0;
	if (r->what == DELIVERY)
		r->fits = r->fits && named && PROPS(p, TYPE) &&
		          hg_str_copy(str_of(p->type), r->kind, sizeof r->kind);
	for (size_t i = 0; r->what == RETURN && named && i < HG_COUNT(k->sent); i++)
		if (k->sent[i].number && k->sent[i].id == r->id && k->sent[i].lease == r->lease)
			k->sent[i].returned = true;
}

/* The message is complete. False: the connection must be made anew. */
static bool on_message(struct link *k, struct reading *r)
{
	bool returned = r->what == RETURN;
	r->what = NOTHING;
	if (returned) {
		(void)snprintf(k->why, sizeof k->why, "a queue is missing");
		k->missing = true; /* but its confirmation has to come first */
		return true;
	}
	if (!r->fits) {
		int status = k->call->basic_reject(k->c, IN, r->tag, 0);
		tell_note(k, HG_WARN, "a message that is not ours went to the dead letters",
		        k->d->queue[r->queue]);
		return status == AMQP_STATUS_OK || failed(k, "reject", status);
	}
	struct amqp_event *e = event_new();
	e->what = AMQP_DELIVERED;
	e->id = r->id;
	e->lease = r->lease;
	e->delivery = (struct relay_delivery){
	        .a = r->tag, .queue = r->queue, .connection = k->connection};
	memcpy(e->kind, r->kind, sizeof e->kind);
	amqp_event_tell(k->d, e);
	return true;
}

static bool on_frame(struct link *k, const amqp_frame_t *f)
{
	struct reading *r = &k->reading[f->channel <= IN ? f->channel : 0];
	switch (f->frame_type) {
	case AMQP_FRAME_METHOD: return on_method(k, r, &f->payload.method);
	case AMQP_FRAME_HEADER:
		if (r->what == NOTHING) return true;
		r->body_left = f->payload.properties.body_size;
		on_header(k, r, f->payload.properties.decoded);
		return r->body_left ? true : on_message(k, r);
	case AMQP_FRAME_BODY:
		if (r->what == NOTHING) return true;
		r->body_left -= HG_MIN(r->body_left, f->payload.body_fragment.len);
		return r->body_left ? true : on_message(k, r);
	default: return true;
	}
}

/* All that is there; waits for nothing, and sends the heartbeat when it is time. */
static bool read_all(struct link *k)
{
	for (;;) {
		amqp_frame_t f;
		struct timeval now = {0};
		k->call->maybe_release_buffers(k->c);
		int status = k->call->simple_wait_frame_noblock(k->c, &f, &now);
		if (status == AMQP_STATUS_TIMEOUT) return true;
		if (status != AMQP_STATUS_OK) return failed(k, "connection", status);
		if (!on_frame(k, &f)) return false;
	}
}

static bool unconfirmed(const struct link *k)
{
	for (size_t i = 0; i < HG_COUNT(k->sent); i++)
		if (k->sent[i].number) return true;
	return false;
}

/* A broker whose heart beats and that confirms nothing (an alarm of memory or disk, a queue without
 * a leader) would hold what it was given for ever, and the places for it. */
static bool confirms(struct link *k)
{
	uint64_t now = clock_mono_ms();
	for (size_t i = 0; i < HG_COUNT(k->sent); i++) {
		if (!k->sent[i].number || now - k->sent[i].since_ms < CONFIRM_MS) continue;
		(void)snprintf(k->why, sizeof k->why,
		        "it has not confirmed a message for %u s; has it an alarm of memory or "
		        "disk?",
		        CONFIRM_MS / 1000);
		return false;
	}
	return true;
}

static void wait_for_something(struct link *k)
{
	struct pollfd fd[2] = {{.fd = k->call->get_sockfd(k->c), .events = POLLIN},
	        {.fd = k->d->to_thread, .events = POLLIN}};
	bool there = k->call->frames_enqueued(k->c) || k->call->data_in_buffer(k->c);
	uint64_t n;
	(void)poll(fd, 2, there ? 0 : TURN_MS);
	/* Empties the bell; what it rang for is in the list. */
	while (read(k->d->to_thread, &n, sizeof n) < 0 && errno == EINTR)
		continue;
}

static void work(struct link *k)
{
	k->missing = false;
	while (!atomic_load(&k->d->stop)) {
		if (!consume(k) || !carry_out_all(k) || !read_all(k) || !confirms(k)) return;
		if (k->missing && !unconfirmed(k)) return;
		wait_for_something(k);
	}
	/* Acknowledged is acknowledged: a farewell that is answered comes after all of them. */
	if (carry_out_all(k)) (void)k->call->connection_close(k->c, AMQP_REPLY_SUCCESS);
}

static void pause_before_next(struct link *k, uint32_t *wait_ms)
{
	struct pollfd fd = {.fd = k->d->to_thread, .events = POLLIN};
	uint32_t part = *wait_ms / 2 + hg_rand_below(&k->rand, *wait_ms / 2 + 1);
	uint64_t until = clock_mono_ms() + part, now, n;
	while (!atomic_load(&k->d->stop) && (now = clock_mono_ms()) < until) {
		(void)poll(&fd, 1, (int)(until - now));
		(void)!read(k->d->to_thread, &n, sizeof n);
		refuse_all(k);
	}
	*wait_ms = HG_MIN(*wait_ms * 2, RETRY_MAX_MS);
}

void *amqp_link_run(void *driver)
{
	struct amqp_driver *d = driver;
	struct link *k = calloc(1, sizeof *k);
	uint32_t wait_ms = RETRY_MIN_MS;
	HG_ASSERT(k);
	k->d = d;
	k->call = &d->call;
	hg_rand_seed(&k->rand, clock_mono_ns() ^ (uint64_t)getpid() << 32);
	while (!atomic_load(&d->stop)) {
		bool ok = connect_to(k);
		if (ok) {
			wait_ms = RETRY_MIN_MS;
			atomic_store(&d->connected, true);
			tell_note(k, HG_INFO, "the broker is there", "");
			work(k);
		}
		disconnect(k);
		refuse_all(k);
		if (atomic_load(&d->stop)) break;
		tell_note(
		        k, HG_WARN, ok ? "the broker was lost" : "the broker is not there", k->why);
		pause_before_next(k, &wait_ms);
	}
	free(k);
	return NULL;
}
