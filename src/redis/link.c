/* One connection: where the server is, the first words, bytes in and out, and another attempt. */
#include "redis/redis_priv.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "math/backoff.h"

static void on_io(struct loop *l, struct loop_io *io, uint32_t events);
static void on_timer(struct loop *l, struct loop_timer *t);
static void on_task(struct loop *l, struct loop_task *t);

static uint64_t now_ms(const struct link *l)
{
	return loop_now_ms(l->redis->loop);
}

void link_init(struct link *l, struct redis *r, bool sub)
{
	size_t reply_max = r->o.reply_max;
	*l = (struct link){.redis = r, .sub = sub, .fd = -1, .io.fd = -1};
	hg_buf_init(&l->in, reply_max + 2 * (size_t)READ_BYTES);
	hg_buf_init(&l->out, OUT_MAX + (1u << 16));
	loop_task_init(&l->task, on_task);
}

static void note(struct link *l, enum hg_level level, const char *what, const char *why)
{
	struct redis *r = l->redis;
	if (r->o.note && !r->stopping) r->o.note(r->o.arg, level, what, why);
}

static void shut(struct link *l)
{
	struct loop *loop = l->redis->loop;
	loop_timer_stop(loop, &l->timer);
	loop_task_cancel(&l->task);
	loop_io_stop(loop, &l->io);
	tls_free(l->tls);
	l->tls = NULL;
	sock_close(l->fd);
	l->fd = -1;
	l->writing = false;
	l->greetings = 0;
	l->in_at = l->out_at = 0;
	l->scan = (struct resp_scan){0};
	hg_buf_reset(&l->in);
	hg_buf_reset(&l->out);
	l->state = LINK_NONE;
}

void link_fini(struct link *l)
{
	work_stop(l->work);
	l->work = NULL;
	shut(l);
	hg_buf_free(&l->in);
	hg_buf_free(&l->out);
}

static void try_later(struct link *l)
{
	struct redis *r = l->redis;
	if (r->stopping) return;
	l->streak++;
	uint32_t ms = backoff_connect_ms(l->streak, hg_rand_unit(&r->rand));
	/* Without a timer the next command tries. */
	if (loop_timer_start(r->loop, &l->timer, ms, on_timer) < 0) l->state = LINK_NONE;
}

void link_lost(struct link *l, const char *why)
{
	bool was_ready = l->state == LINK_READY;
	char text[sizeof l->why];
	snprintf(text, sizeof text, "%s", why); /* it may lie in what is closed */
	shut(l);
	if (strcmp(l->why, text) != 0)
		note(l, HG_WARN, was_ready ? "the connection was lost" : "no connection", text);
	memcpy(l->why, text, sizeof l->why);
	if (was_ready) l->streak = 0;
	try_later(l);
	if (was_ready) redis_link_down(l);
}

/* On a thread. */
static void look_up(void *arg, const atomic_bool *stop)
{
	struct link *l = arg;
	const struct redis_address *a = &l->redis->address;
	struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *all = NULL;
	char port[8];
	(void)stop;
	snprintf(port, sizeof port, "%u", a->port);
	l->address_count = 0;
	l->lookup_why[0] = 0;
	int code = getaddrinfo(a->host, port, &want, &all);
	if (code != 0) {
		snprintf(l->lookup_why, sizeof l->lookup_why, "could not look up \"%.80s\": %s",
		        a->host, gai_strerror(code));
		return;
	}
	for (struct addrinfo *i = all; i && l->address_count < ADDRESSES_MAX; i = i->ai_next) {
		struct sock_addr *to = &l->address[l->address_count];
		if (i->ai_addrlen > sizeof to->in6) continue;
		*to = (struct sock_addr){.len = i->ai_addrlen};
		memcpy(&to->sa, i->ai_addr, i->ai_addrlen);
		l->address_count++;
	}
	freeaddrinfo(all);
	if (l->address_count == 0)
		snprintf(l->lookup_why, sizeof l->lookup_why, "\"%.80s\" has no address", a->host);
}

static bool watch(struct link *l, uint32_t events)
{
	l->writing = (events & EPOLLOUT) != 0;
	if (l->io.fd >= 0) return loop_io_change(l->redis->loop, &l->io, events) == HG_OK;
	return loop_io_start(l->redis->loop, &l->io, l->fd, events, on_io) == HG_OK;
}

static void dial(struct link *l)
{
	struct redis *r = l->redis;
	const struct sock_addr *a = &l->address[l->attempt++ % l->address_count];
	char where[SOCK_TEXT_MAX + 1], text[sizeof l->why];
	where[sock_addr_text(a, where, SOCK_TEXT_MAX)] = 0;
	l->state = LINK_CONNECTING;
	l->fd = sock_connect(a);
	if (l->fd < 0) {
		snprintf(text, sizeof text, "%.100s: %s", where, strerror(-l->fd));
		l->fd = -1;
		link_lost(l, text);
		return;
	}
	if (!watch(l, EPOLLOUT) ||
	        loop_timer_start(r->loop, &l->timer, r->o.connect_ms, on_timer) < 0)
		link_lost(l, "the loop has no room for a connection");
}

static void on_looked_up(void *arg)
{
	struct link *l = arg;
	l->work = NULL;
	l->looked = true;
	l->looked_ms = now_ms(l);
	l->state = LINK_NONE;
	if (l->address_count)
		dial(l);
	else
		link_lost(l, l->lookup_why);
}

/* True: addresses are known. False: the rest follows. */
static bool find(struct link *l)
{
	const struct redis_address *a = &l->redis->address;
	char text[sizeof a->host + 16];
	if (a->path[0]) {
		snprintf(text, sizeof text, "unix:%s", a->path);
		l->address_count = sock_addr_parse(hg_str(text), &l->address[0]) ? 1 : 0;
		if (l->address_count == 0) link_lost(l, "the path of the socket is too long");
		return l->address_count > 0;
	}
	snprintf(text, sizeof text, strchr(a->host, ':') ? "[%s]:%u" : "%s:%u", a->host, a->port);
	if (sock_addr_parse(hg_str(text), &l->address[0])) {
		l->address_count = 1;
		return true;
	}
	if (l->looked && l->address_count && now_ms(l) - l->looked_ms < FRESH_MS) return true;
	l->state = LINK_LOOKUP;
	if (work_start(l->redis->loop, look_up, on_looked_up, l, &l->work) < 0)
		link_lost(l, "no thread to look up the host's name");
	return false;
}

void link_open(struct link *l)
{
	if (l->state != LINK_NONE || l->redis->stopping || loop_timer_active(&l->timer)) return;
	if (find(l)) dial(l);
}

static void on_timer(struct loop *loop, struct loop_timer *t)
{
	struct link *l = HG_CONTAINER(t, struct link, timer);
	char text[sizeof l->why];
	(void)loop;
	if (l->state == LINK_NONE) {
		link_open(l);
		return;
	}
	if (l->state == LINK_READY) { /* of subscriptions: is anybody there? */
		if (now_ms(l) - l->heard_ms > SUB_SILENT_MS) {
			link_lost(l, "no answer to a ping");
			return;
		}
		resp_request(&l->out, &HG_STR("PING"), 1);
		link_flush_later(l);
		if (loop_timer_start(loop, &l->timer, SUB_PING_MS, on_timer) < 0)
			link_lost(l, "the loop has no room for a timer");
		return;
	}
	snprintf(text, sizeof text, "no connection within %u ms", l->redis->o.connect_ms);
	link_lost(l, text);
}

static void greet(struct link *l)
{
	const struct redis_address *a = &l->redis->address;
	struct hg_str user[] = {HG_STR("AUTH"), hg_str(a->user), hg_str(a->password)};
	struct hg_str password[] = {HG_STR("AUTH"), hg_str(a->password)};
	struct hg_str name[] = {HG_STR("CLIENT"), HG_STR("SETNAME"), hg_str(l->redis->o.name)};
	char db[16];
	l->state = LINK_GREETING;
	if (a->password[0]) {
		if (a->user[0])
			resp_request(&l->out, user, HG_COUNT(user));
		else
			resp_request(&l->out, password, HG_COUNT(password));
		l->greetings++;
	}
	if (a->db) {
		snprintf(db, sizeof db, "%u", a->db);
		resp_request(&l->out, (struct hg_str[]){HG_STR("SELECT"), hg_str(db)}, 2);
		l->greetings++;
	}
	if (l->redis->o.name) {
		resp_request(&l->out, name, HG_COUNT(name));
		l->greetings++;
	}
	/* A server that still loads its data answers this one with an error. */
	resp_request(&l->out, &HG_STR("PING"), 1);
	l->greetings++;
	if (watch(l, EPOLLIN))
		link_flush_later(l);
	else
		link_lost(l, "the loop has no room for a connection");
}

static void greeted(struct link *l, const struct resp_value *v)
{
	char text[sizeof l->why];
	if (v->type == RESP_ERROR) {
		snprintf(text, sizeof text, "the server refuses: %.*s", (int)HG_MIN(v->str.n, 120),
		        v->str.p);
		link_lost(l, text);
		return;
	}
	if (--l->greetings) return;
	loop_timer_stop(l->redis->loop, &l->timer);
	if (l->sub && loop_timer_start(l->redis->loop, &l->timer, SUB_PING_MS, on_timer) < 0) {
		link_lost(l, "the loop has no room for a timer");
		return;
	}
	l->state = LINK_READY;
	if (l->why[0]) note(l, HG_INFO, "connected again", "");
	l->why[0] = 0;
	l->streak = 0;
	redis_link_up(l);
}

/* TLS goes on; the greeting follows it. */
static void secure(struct link *l)
{
	char text[sizeof l->why];
	int rc = link_tls_handshake(l, text, sizeof text);
	if (rc == 0)
		greet(l);
	else if (rc != -EAGAIN)
		link_lost(l, text);
}

static void connected(struct link *l)
{
	if (!l->redis->tls) {
		greet(l);
		return;
	}
	l->state = LINK_SECURING;
	l->tls = tls_remote_open(l->redis->tls, l->fd, NULL, NULL);
	if (l->tls && watch(l, EPOLLIN))
		secure(l);
	else
		link_lost(l, "no memory for TLS");
}

/* Replies that are complete; false: the connection is gone. */
static bool take_replies(struct link *l)
{
	for (;;) {
		struct hg_str in = {l->in.p + l->in_at, l->in.n - l->in_at};
		size_t n = 0;
		enum resp_result got = resp_scan(&l->scan, in, l->redis->o.reply_max, &n);
		if (got == RESP_BAD) {
			link_lost(l, "what the server says is not RESP2, or too much");
			return false;
		}
		if (got == RESP_MORE) break;
		struct hg_str rest = {in.p, n};
		struct resp_value v;
		l->in_at += n;
		if (!resp_next(&rest, &v)) return false; /* cannot be: it is complete */
		if (l->state == LINK_GREETING)
			greeted(l, &v);
		else
			redis_link_reply(l, v, rest);
		if (l->fd < 0) return false;
	}
	if (l->in_at == l->in.n) {
		l->in_at = 0;
		if (l->in.cap > KEEP_BYTES)
			hg_buf_free(&l->in);
		else
			hg_buf_reset(&l->in);
	} else if (l->in_at) { /* once for each reply that comes in pieces */
		hg_buf_drop(&l->in, l->in_at);
		l->in_at = 0;
	}
	return true;
}

static bool receive(struct link *l)
{
	for (;;) {
		char *room = hg_buf_room(&l->in, READ_BYTES);
		if (!room) {
			link_lost(l, "no memory for a reply");
			return false;
		}
		ssize_t n = link_read(l, room, READ_BYTES);
		if (n == -EAGAIN) return true;
		if (n <= 0) {
			link_lost(l, n ? strerror((int)-n) : "the server closed the connection");
			return false;
		}
		hg_buf_add(&l->in, (size_t)n);
		l->heard_ms = now_ms(l);
		if (!take_replies(l)) return false;
		/* The end of a record is not the end of what is there. */
		if ((size_t)n < READ_BYTES && !l->tls) return true;
	}
}

static bool flush(struct link *l)
{
	while (l->out_at < l->out.n) {
		struct hg_str rest = {l->out.p + l->out_at, l->out.n - l->out_at};
		ssize_t n = link_write(l, rest);
		if (n == -EAGAIN) break;
		if (n < 0) {
			link_lost(l, strerror((int)-n));
			return false;
		}
		l->out_at += (size_t)n;
	}
	bool all = l->out_at == l->out.n;
	if (all || l->out_at > l->out.n / 2) {
		hg_buf_drop(&l->out, l->out_at);
		l->out_at = 0;
	}
	if (all && l->out.cap > KEEP_BYTES) hg_buf_free(&l->out);
	if (all == !l->writing) return true;
	if (watch(l, EPOLLIN | (all ? 0 : EPOLLOUT))) return true;
	link_lost(l, "the loop has no room for a connection");
	return false;
}

void link_flush_later(struct link *l)
{
	loop_task_queue(l->redis->loop, &l->task);
}

static void on_task(struct loop *loop, struct loop_task *t)
{
	struct link *l = HG_CONTAINER(t, struct link, task);
	(void)loop;
	if (l->fd < 0) return;
	if (l->out.failed)
		link_lost(l, "no memory for a request");
	else
		(void)flush(l);
}

static void on_io(struct loop *loop, struct loop_io *io, uint32_t events)
{
	struct link *l = HG_CONTAINER(io, struct link, io);
	(void)loop;
	if (l->state == LINK_CONNECTING) {
		int code = sock_error(l->fd);
		if (code)
			link_lost(l, strerror(code));
		else
			connected(l);
		return;
	}
	if (l->tls) tls_ready(l->tls, events & (EPOLLIN | EPOLLERR | EPOLLHUP), events & EPOLLOUT);
	if (l->state == LINK_SECURING) {
		secure(l);
		return;
	}
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) && !receive(l)) return;
	if (events & EPOLLOUT) (void)flush(l);
}
