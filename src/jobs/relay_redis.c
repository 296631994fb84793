/*
 * Redis Streams as a driver of relay.h. A queue is the stream "jobs:QUEUE" with the consumer group
 * "workers"; an entry is {id, lease, kind}. What a dead consumer was given and did not acknowledge
 * is claimed by others after a minute. Acknowledged entries are deleted, and the stream is trimmed
 * in any case: more than the relay's window means that somebody else writes to it.
 */
#include "jobs/relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "redis/redis.h"

#define DRIVER_MAGIC 0x2ed15001u
#define COMMAND_MS   3000u
#define BLOCK_MS     "1000"
#define READ_MS      4000u
#define IDLE_MS      "60000" /* a consumer that is silent for so long has lost what it holds */
#define CLAIM_EVERY  15000u
#define AGAIN_MS     200u
#define ENTRIES_MAX  "~"
#define LENGTH_MAX   "20000"
#define GROUP        "workers"

struct driver {
	uint32_t magic;
	struct loop *loop;
	struct relay_driver_options o;
	char key[JOBS_QUEUES_MAX][JOBS_NAME_MAX + 8];
	char queue[JOBS_QUEUES_MAX][JOBS_NAME_MAX + 1];
	char consumer[128];
	struct redis *writer,
	        *reader; /* a read waits in the server: it has a connection of its own */
	struct redis_command read, group, claim;
	bool reading, grouping, claiming;
	uint32_t grouped; /* streams whose group is there */
	uint32_t claim_at;
	uint32_t room;
	uint32_t publishing;
	struct hg_list sent; /* struct sent: publishes and acknowledgements under way */
	struct loop_timer again, sweep;
};

struct sent {
	struct hg_list node;
	struct redis_command c;
	struct driver *driver;
	int64_t id, lease; /* of a publish; id 0: an acknowledgement */
};

static void pump(struct driver *d);

static void note(void *arg, enum hg_level level, const char *what, const char *why)
{
	struct driver *d = HG_OBJ(arg, struct driver, DRIVER_MAGIC);
	if (d->o.note) d->o.note(d->o.arg, level, what, why);
}

static void on_again(struct loop *l, struct loop_timer *t)
{
	(void)l;
	pump(HG_CONTAINER(t, struct driver, again));
}

static void later(struct driver *d)
{
	/* Without memory for a timer the next `want` comes here too. */
	(void)!loop_timer_start(d->loop, &d->again, AGAIN_MS, on_again);
}

/* ---- publishing ---- */

static void on_sent(struct redis_command *c)
{
	struct sent *s = HG_CONTAINER(c, struct sent, c);
	struct driver *d = s->driver;
	int64_t id = s->id, lease = s->lease;
	bool kept = c->rc == HG_OK && c->reply.type == RESP_STR;
	hg_list_remove(&s->node);
	free(s);
	if (!id) return;
	d->publishing--;
	d->o.confirmed(d->o.arg, id, lease, kept ? HG_OK : HG_E_AGAIN);
}

static enum hg_rc send(
        struct driver *d, int64_t id, int64_t lease, const struct hg_str *arg, size_t n)
{
	struct sent *s = calloc(1, sizeof *s);
	if (!s) return HG_E_NOMEM;
	*s = (struct sent){.driver = d, .id = id, .lease = lease};
	s->c.done = on_sent;
	s->c.within_ms = COMMAND_MS;
	enum hg_rc rc = redis_send(d->writer, &s->c, arg, n);
	if (rc < 0)
		free(s);
	else
		hg_list_append(&d->sent, &s->node);
	return rc;
}

static enum hg_rc driver_publish(void *driver, const struct relay_message *m)
{
	struct driver *d = HG_OBJ(driver, struct driver, DRIVER_MAGIC);
	char id[24], lease[24], key[JOBS_NAME_MAX + 8];
	if (d->publishing >= RELAY_UNCONFIRMED_MAX) return HG_E_AGAIN;
	snprintf(key, sizeof key, "jobs:%.*s", (int)HG_MIN(m->queue.n, JOBS_NAME_MAX), m->queue.p);
	snprintf(id, sizeof id, "%" PRId64, m->id);
	snprintf(lease, sizeof lease, "%" PRId64, m->lease);
	struct hg_str arg[] = {HG_STR("XADD"), hg_str(key), HG_STR("MAXLEN"), HG_STR(ENTRIES_MAX),
	        HG_STR(LENGTH_MAX), HG_STR("*"), HG_STR("id"), hg_str(id), HG_STR("lease"),
	        hg_str(lease), HG_STR("kind"), m->kind};
	enum hg_rc rc = send(d, m->id, m->lease, arg, HG_COUNT(arg));
	if (rc == HG_OK) d->publishing++;
	return rc;
}

static void driver_ack(void *driver, const struct relay_delivery *r)
{
	struct driver *d = HG_OBJ(driver, struct driver, DRIVER_MAGIC);
	char id[48];
	snprintf(id, sizeof id, "%" PRIu64 "-%" PRIu64, r->a, r->b);
	struct hg_str key = hg_str(d->key[r->queue]);
	struct hg_str ack[] = {HG_STR("XACK"), key, HG_STR(GROUP), hg_str(id)};
	struct hg_str del[] = {HG_STR("XDEL"), key, hg_str(id)};
	/* What is not heard comes once more, and fits no job then. */
	(void)!send(d, 0, 0, ack, HG_COUNT(ack));
	(void)!send(d, 0, 0, del, HG_COUNT(del));
}

/* ---- consuming ---- */

static bool entry_id(struct hg_str text, struct relay_delivery *r)
{
	struct hg_str rest = text, first = hg_str_cut(&rest, '-');
	return hg_str_u64(first, &r->a) && hg_str_u64(rest, &r->b);
}

/* One value of the entry {id, lease, kind}, in whatever order; others are passed over. */
static void entry_field(struct hg_str name, struct hg_str value, struct relay_message *m)
{
	uint64_t n = 0;
	if (hg_str_eq(name, HG_STR("kind"))) {
		m->kind = value;
	} else if (hg_str_u64(value, &n) && n <= INT64_MAX) {
		if (hg_str_eq(name, HG_STR("id"))) m->id = (int64_t)n;
		if (hg_str_eq(name, HG_STR("lease"))) m->lease = (int64_t)n;
	}
}

/* [id, [name, value, …]]: the values of `v` are next in `rest`. */
static void take_entry(struct driver *d, uint32_t queue, struct resp_value v, struct hg_str *rest)
{
	struct relay_delivery r = {.queue = queue};
	struct relay_message m = {.queue = hg_str(d->queue[queue])};
	struct resp_value id, fields, name, value;
	bool good = v.type == RESP_ARRAY && v.n == 2 && resp_next(rest, &id) &&
	            resp_next(rest, &fields) && id.type == RESP_STR && entry_id(id.str, &r);
	if (!good) return;
	for (int64_t i = 0; fields.type == RESP_ARRAY && i + 1 < fields.n; i += 2) {
		if (!resp_next(rest, &name) || !resp_next(rest, &value)) return;
		if (name.type == RESP_STR && value.type == RESP_STR)
			entry_field(name.str, value.str, &m);
	}
	if (!m.id) { /* not one of ours, or deleted meanwhile */
		driver_ack(d, &r);
		return;
	}
	d->room -= d->room > 0;
	d->o.delivered(d->o.arg, &r, &m);
}

static void take_entries(struct driver *d, uint32_t queue, struct hg_str *rest)
{
	struct resp_value list, entry;
	if (!resp_next(rest, &list) || list.type != RESP_ARRAY) return;
	for (int64_t i = 0; i < list.n; i++) {
		if (!resp_next(rest, &entry)) return;
		take_entry(d, queue, entry, rest);
	}
}

/* [[key, entries], …] */
static void take_streams(struct driver *d, const struct redis_command *c)
{
	struct hg_str rest = c->rest;
	struct resp_value stream, key;
	for (int64_t i = 0; c->reply.type == RESP_ARRAY && i < c->reply.n; i++) {
		uint32_t q = 0;
		if (!resp_next(&rest, &stream) || stream.type != RESP_ARRAY || stream.n != 2 ||
		        !resp_next(&rest, &key) || key.type != RESP_STR)
			return;
		while (q < d->o.queue_count && !hg_str_eq(key.str, hg_str(d->key[q])))
			q++;
		if (q == d->o.queue_count) return;
		take_entries(d, q, &rest);
	}
}

static void look_for_group(struct driver *d, const struct redis_command *c)
{
	/* The server was emptied: its groups went with the streams. */
	if (c->rc == HG_E_INVALID && hg_str_starts(c->why, HG_STR("NOGROUP"))) d->grouped = 0;
}

static void on_read(struct redis_command *c)
{
	struct driver *d = c->arg;
	d->reading = false;
	if (c->rc == HG_OK) {
		take_streams(d, c);
		pump(d);
		return;
	}
	look_for_group(d, c);
	later(d);
}

static void read_more(struct driver *d)
{
	struct hg_str arg[9 + 2 * JOBS_QUEUES_MAX];
	char count[16];
	size_t n = 0;
	snprintf(count, sizeof count, "%u", d->room);
	arg[n++] = HG_STR("XREADGROUP");
	arg[n++] = HG_STR("GROUP");
	arg[n++] = HG_STR(GROUP);
	arg[n++] = hg_str(d->consumer);
	arg[n++] = HG_STR("COUNT");
	arg[n++] = hg_str(count);
	arg[n++] = HG_STR("BLOCK");
	arg[n++] = HG_STR(BLOCK_MS);
	arg[n++] = HG_STR("STREAMS");
	for (uint32_t i = 0; i < d->o.queue_count; i++)
		arg[n++] = hg_str(d->key[i]);
	for (uint32_t i = 0; i < d->o.queue_count; i++)
		arg[n++] = HG_STR(">");
	d->read = (struct redis_command){
	        .done = on_read, .arg = d, .within_ms = READ_MS, .patient = true};
	d->reading = redis_send(d->reader, &d->read, arg, n) == HG_OK;
	if (!d->reading) later(d);
}

/* BUSYGROUP: it is there. */
static void on_group(struct redis_command *c)
{
	struct driver *d = c->arg;
	d->grouping = false;
	if (c->rc == HG_OK ||
	        (c->rc == HG_E_INVALID && hg_str_starts(c->why, HG_STR("BUSYGROUP")))) {
		d->grouped++;
		pump(d);
		return;
	}
	later(d);
}

static void make_group(struct driver *d)
{
	struct hg_str arg[] = {HG_STR("XGROUP"), HG_STR("CREATE"), hg_str(d->key[d->grouped]),
	        HG_STR(GROUP), HG_STR("0"), HG_STR("MKSTREAM")};
	d->group = (struct redis_command){
	        .done = on_group, .arg = d, .within_ms = COMMAND_MS, .patient = true};
	d->grouping = redis_send(d->reader, &d->group, arg, HG_COUNT(arg)) == HG_OK;
	if (!d->grouping) later(d);
}

static void pump(struct driver *d)
{
	if (d->room == 0 || d->reading || d->grouping) return;
	if (d->grouped < d->o.queue_count)
		make_group(d);
	else
		read_more(d);
}

/* [cursor, entries, deleted] */
static void on_claim(struct redis_command *c)
{
	struct driver *d = c->arg;
	struct hg_str rest = c->rest;
	struct resp_value cursor;
	uint32_t queue = d->claim_at++ % d->o.queue_count;
	d->claiming = false;
	if (c->rc < 0)
		look_for_group(d, c);
	else if (c->reply.type == RESP_ARRAY && resp_next(&rest, &cursor))
		take_entries(d, queue, &rest);
}

static void on_sweep(struct loop *l, struct loop_timer *t)
{
	struct driver *d = HG_CONTAINER(t, struct driver, sweep);
	char count[16];
	uint32_t every = CLAIM_EVERY / d->o.queue_count;
	if (d->room && !d->claiming && d->grouped == d->o.queue_count) {
		snprintf(count, sizeof count, "%u", d->room);
		struct hg_str arg[] = {HG_STR("XAUTOCLAIM"),
		        hg_str(d->key[d->claim_at % d->o.queue_count]), HG_STR(GROUP),
		        hg_str(d->consumer), HG_STR(IDLE_MS), HG_STR("0-0"), HG_STR("COUNT"),
		        hg_str(count)};
		d->claim =
		        (struct redis_command){.done = on_claim, .arg = d, .within_ms = COMMAND_MS};
		d->claiming = redis_send(d->writer, &d->claim, arg, HG_COUNT(arg)) == HG_OK;
	}
	(void)!loop_timer_start(l, t, every, on_sweep);
}

static void driver_want(void *driver, uint32_t n)
{
	struct driver *d = HG_OBJ(driver, struct driver, DRIVER_MAGIC);
	d->room = n;
	if (n && !loop_timer_active(&d->sweep))
		(void)!loop_timer_start(
		        d->loop, &d->sweep, CLAIM_EVERY / d->o.queue_count, on_sweep);
	if (!loop_timer_active(&d->again)) pump(d);
}

/* ---- the connection ---- */

static bool driver_connected(const void *driver)
{
	const struct driver *d = driver;
	return redis_usable(d->writer);
}

static void driver_close(void *driver)
{
	struct driver *d = driver;
	if (!d) return;
	loop_timer_stop(d->loop, &d->again);
	loop_timer_stop(d->loop, &d->sweep);
	redis_cancel(&d->read);
	redis_cancel(&d->group);
	redis_cancel(&d->claim);
	for (struct hg_list *node; (node = hg_list_pop(&d->sent));) {
		struct sent *s = HG_CONTAINER(node, struct sent, node);
		redis_cancel(&s->c);
		free(s);
	}
	redis_free(d->reader);
	redis_free(d->writer);
	d->magic = 0;
	free(d);
}

static enum hg_rc driver_open(
        struct loop *l, const struct relay_driver_options *o, void **ret_driver, struct hg_err *err)
{
	struct driver *d = calloc(1, sizeof *d);
	struct redis_options writer = {
	        .url = o->url, .name = "jobs", .timeout_ms = COMMAND_MS, .note = note, .arg = d};
	struct redis_options reader = {.url = o->url, .name = "jobs-reader", .timeout_ms = READ_MS};
	if (!d) return hg_err_set(err, HG_E_NOMEM, "not enough memory for a broker");
	HG_ASSERT(o->queue_count >= 1 && o->queue_count <= JOBS_QUEUES_MAX);
	*d = (struct driver){.magic = DRIVER_MAGIC, .loop = l, .o = *o};
	hg_list_init(&d->sent);
	(void)hg_str_copy(hg_str(o->consumer), d->consumer, sizeof d->consumer);
	for (uint32_t i = 0; i < o->queue_count; i++) {
		snprintf(d->queue[i], sizeof d->queue[i], "%s", o->queue[i]);
		snprintf(d->key[i], sizeof d->key[i], "jobs:%.*s", (int)JOBS_NAME_MAX, o->queue[i]);
	}
	d->o.queue = NULL; /* the names are copied */
	enum hg_rc rc = redis_new(l, &writer, &d->writer, err);
	if (rc == HG_OK) rc = redis_new(l, &reader, &d->reader, err);
	if (rc < 0)
		driver_close(d);
	else
		*ret_driver = d;
	return rc;
}

const struct relay_driver relay_redis = {.name = "redis",
        .open = driver_open,
        .publish = driver_publish,
        .want = driver_want,
        .ack = driver_ack,
        .connected = driver_connected,
        .close = driver_close};
