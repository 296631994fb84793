/*
 * A load generator that counts exactly. Open loop: requests start at a fixed rate whatever the
 * server does, so that a stall is seen as waiting and not as silence (no coordinated omission).
 *
 *   load --port N [--rate 1000] [--seconds 10] [--connections 64] [--posts 20] [--host H]
 *        [--path /feedback] [--keys] [--acked FILE] [--timeout-ms 10000]
 *
 * `--posts P`: P % of the requests are POSTs; with --keys each carries an Idempotency-Key. The
 * messages of POSTs answered by 201 go to FILE, one a line: a test reads them back from the app.
 * SIGTERM: no further requests; those in flight are waited for. Prints one JSON object. A request
 * fails when the connection could not be made, ended early, timed out, or the status is 5xx;
 * failures of GET (replayable) and POST are counted apart.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define RESPONSE_MAX    (1 << 20)

enum phase { IDLE, CONNECTING, SENDING, RECEIVING };

struct conn {
	int fd;
	enum phase phase;
	bool post, fresh;
	uint64_t due_ns, number;
	char out[512];
	size_t out_n, out_at;
	char *in;
	size_t in_n;
};

struct load {
	const char *host, *path, *acked_name;
	int port, posts;
	bool keys;
	uint64_t rate, seconds, timeout_ms;
	int connections;
	FILE *acked;
	int epoll_fd;
	struct conn *conn;
	uint64_t begin_ns, now_ns, started, finished;
	uint64_t gets, post_count, ok, status[600];
	uint64_t failed_get, failed_post, fail_connect, fail_closed, fail_timeout, fail_status;
	uint64_t connect_errors, closed_idle, late;
	uint32_t *latency_us;
	uint64_t latency_n;
	uint32_t run_id;
};

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void conn_close(struct conn *c)
{
	if (c->fd >= 0) close(c->fd);
	c->fd = -1;
}

static void finish(struct load *l, struct conn *c, int status)
{
	l->finished++;
	l->latency_us[l->latency_n++] = (uint32_t)((l->now_ns - c->due_ns) / 1000);
	l->status[status]++;
	if (status < 500) {
		l->ok++;
		if (c->post && status == 201 && l->acked) {
			fprintf(l->acked, "load-%u-%llu\n", l->run_id,
			        (unsigned long long)c->number);
		}
	} else {
		l->fail_status++;
		if (c->post) {
			l->failed_post++;
		} else {
			l->failed_get++;
		}
	}
	c->phase = IDLE;
}

static void fail(struct load *l, struct conn *c, uint64_t *reason)
{
	l->finished++;
	(*reason)++;
	if (c->post) {
		l->failed_post++;
	} else {
		l->failed_get++;
	}
	conn_close(c);
	c->phase = IDLE;
}

static void watch(struct load *l, struct conn *c, uint32_t events, int op)
{
	struct epoll_event e = {.events = events, .data.ptr = c};
	if (epoll_ctl(l->epoll_fd, op, c->fd, &e) < 0) perror("epoll_ctl");
}

static bool conn_open(struct load *l, struct conn *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port)};
	int on = 1;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) return false;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0 && errno != EINPROGRESS)
		return false;
	c->phase = CONNECTING;
	c->fresh = true;
	watch(l, c, EPOLLOUT, EPOLL_CTL_ADD);
	return true;
}

static void request_write(struct load *l, struct conn *c)
{
	char body[128], key[96] = "";
	if (!c->post) {
		c->out_n = (size_t)snprintf(c->out, sizeof c->out,
		        "GET %s?limit=10 HTTP/1.1\r\nHost: %s\r\n\r\n", l->path, l->host);
	} else {
		int n = snprintf(body, sizeof body, "{\"message\":\"load-%u-%llu\"}", l->run_id,
		        (unsigned long long)c->number);
		if (l->keys) {
			snprintf(key, sizeof key, "Idempotency-Key: k-%u-%llu\r\n", l->run_id,
			        (unsigned long long)c->number);
		}
		c->out_n = (size_t)snprintf(c->out, sizeof c->out,
		        "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
		        "%sContent-Length: %d\r\n\r\n%s",
		        l->path, l->host, key, n, body);
	}
	c->out_at = 0;
	c->in_n = 0;
}

static void conn_send(struct load *l, struct conn *c)
{
	while (c->out_at < c->out_n) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_n - c->out_at, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			c->phase = SENDING;
			watch(l, c, EPOLLOUT, EPOLL_CTL_MOD);
			return;
		}
		if (n < 0) {
			fail(l, c, &l->fail_closed);
			return;
		}
		c->out_at += (size_t)n;
	}
	c->phase = RECEIVING;
	watch(l, c, EPOLLIN, EPOLL_CTL_MOD);
}

/* Length of a complete response in the buffer, 0 when it is not complete, -1 when it is no HTTP. */
static long response_size(const struct conn *c, int *ret_status, bool *ret_close)
{
	char *end = memmem(c->in, c->in_n, "\r\n\r\n", 4);
	if (!end) return 0;
	size_t head = (size_t)(end - c->in) + 4;
	*end = 0;
	int status = c->in_n > 12 ? (int)strtol(c->in + 9, NULL, 10) : 0;
	char *length = strcasestr(c->in, "\r\nContent-Length:");
	char *chunked = strcasestr(c->in, "\r\nTransfer-Encoding: chunked");
	*ret_close = strcasestr(c->in, "\r\nConnection: close") != NULL;
	*end = '\r';
	if (status < 100 || status > 599) return -1;
	*ret_status = status;
	if (chunked) {
		char *last = memmem(c->in + head, c->in_n - head, "0\r\n\r\n", 5);
		return last ? (long)(last - c->in) + 5 : 0;
	}
	long body = length ? strtol(length + 17, NULL, 10) : 0;
	return c->in_n >= head + (size_t)body ? (long)head + body : 0;
}

static void conn_receive(struct load *l, struct conn *c)
{
	for (;;) {
		ssize_t n = recv(c->fd, c->in + c->in_n, RESPONSE_MAX - c->in_n, 0);
		if (n < 0 && errno == EAGAIN) return;
		if (n <= 0 && c->phase == IDLE) {
			l->closed_idle++;
			conn_close(c);
			return;
		}
		if (n <= 0) {
			fail(l, c, &l->fail_closed);
			return;
		}
		c->in_n += (size_t)n;
		int status = 0;
		bool closing = false;
		long size = response_size(c, &status, &closing);
		if (size == 0) continue;
		if (size < 0 || c->phase == IDLE) {
			fail(l, c, &l->fail_closed);
			return;
		}
		finish(l, c, status);
		if (closing) conn_close(c);
		return;
	}
}

static void on_event(struct load *l, struct conn *c, uint32_t events)
{
	if (c->fd < 0) return;
	if (c->phase == CONNECTING) {
		int err = 0;
		socklen_t n = sizeof err;
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n);
		if (err) {
			l->connect_errors++;
			fail(l, c, &l->fail_connect);
			return;
		}
		conn_send(l, c);
	} else if (c->phase == SENDING && (events & EPOLLOUT)) {
		conn_send(l, c);
	} else {
		conn_receive(l, c);
	}
}

/* Starts what is due; requests that find no idle connection wait, and their waiting counts. */
static void start_due(struct load *l)
{
	uint64_t total = l->rate * l->seconds;
	for (int i = 0; i < l->connections && l->started < total; i++) {
		struct conn *c = &l->conn[i];
		uint64_t due = l->begin_ns + l->started * 1000000000u / l->rate;
		if (due > l->now_ns) return;
		if (c->phase != IDLE) continue;
		c->due_ns = due;
		c->number = l->started++;
		c->post = (int)(c->number * 37 % 100) < l->posts;
		if (c->post) {
			l->post_count++;
		} else {
			l->gets++;
		}
		if (l->now_ns - due > 100000000u) l->late++;
		request_write(l, c);
		if (c->fd >= 0) {
			conn_send(l, c);
		} else if (!conn_open(l, c)) {
			l->connect_errors++;
			fail(l, c, &l->fail_connect);
		}
	}
}

static void expire(struct load *l)
{
	for (int i = 0; i < l->connections; i++) {
		struct conn *c = &l->conn[i];
		if (c->phase != IDLE && l->now_ns - c->due_ns > l->timeout_ms * 1000000u) {
			fail(l, c, &l->fail_timeout);
		}
	}
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static uint32_t quantile(const struct load *l, double q)
{
	return l->latency_n ? l->latency_us[(uint64_t)((double)(l->latency_n - 1) * q)] : 0;
}

static void report(struct load *l)
{
	qsort(l->latency_us, l->latency_n, sizeof *l->latency_us, by_size);
	printf("{\"requests\":%llu,\"finished\":%llu,\"ok\":%llu,\"gets\":%llu,\"posts\":%llu,",
	        (unsigned long long)l->started, (unsigned long long)l->finished,
	        (unsigned long long)l->ok, (unsigned long long)l->gets,
	        (unsigned long long)l->post_count);
	printf("\"failed_get\":%llu,\"failed_post\":%llu,\"connect_errors\":%llu,\"closed\":%llu,"
	       "\"closed_idle\":%llu,\"timeouts\":%llu,\"status_5xx\":%llu,\"late\":%llu,",
	        (unsigned long long)l->failed_get, (unsigned long long)l->failed_post,
	        (unsigned long long)l->connect_errors, (unsigned long long)l->fail_closed,
	        (unsigned long long)l->closed_idle, (unsigned long long)l->fail_timeout,
	        (unsigned long long)l->fail_status, (unsigned long long)l->late);
	printf("\"p50_us\":%u,\"p95_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"status\":{",
	        quantile(l, 0.5), quantile(l, 0.95), quantile(l, 0.99), quantile(l, 1));
	const char *comma = "";
	for (int s = 100; s < 600; s++) {
		if (!l->status[s]) continue;
		printf("%s\"%d\":%llu", comma, s, (unsigned long long)l->status[s]);
		comma = ",";
	}
	printf("}}\n");
}

static volatile sig_atomic_t stopped;

static void on_stop(int signo)
{
	(void)signo;
	stopped = 1;
}

static int run(struct load *l)
{
	struct epoll_event ev[256];
	uint64_t total = l->rate * l->seconds, swept = 0;
	l->begin_ns = l->now_ns = now_ns();
	while (stopped ? l->finished < l->started : l->finished < total) {
		if (!stopped) start_due(l);
		int n = epoll_wait(l->epoll_fd, ev, 256, 1);
		l->now_ns = now_ns();
		for (int i = 0; i < n; i++)
			on_event(l, ev[i].data.ptr, ev[i].events);
		if (l->now_ns - swept > 50000000u) {
			swept = l->now_ns;
			expire(l);
		}
	}
	report(l);
	return 0;
}

static void options(struct load *l, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(name, "--keys") == 0) {
			l->keys = true;
			continue;
		}
		i++;
		if (strcmp(name, "--port") == 0)
			l->port = (int)strtol(value, NULL, 10);
		else if (strcmp(name, "--rate") == 0)
			l->rate = strtoull(value, NULL, 10);
		else if (strcmp(name, "--seconds") == 0)
			l->seconds = strtoull(value, NULL, 10);
		else if (strcmp(name, "--connections") == 0)
			l->connections = (int)strtol(value, NULL, 10);
		else if (strcmp(name, "--posts") == 0)
			l->posts = (int)strtol(value, NULL, 10);
		else if (strcmp(name, "--host") == 0)
			l->host = value;
		else if (strcmp(name, "--path") == 0)
			l->path = value;
		else if (strcmp(name, "--acked") == 0)
			l->acked_name = value;
		else if (strcmp(name, "--timeout-ms") == 0)
			l->timeout_ms = strtoull(value, NULL, 10);
		else {
			fprintf(stderr, "load: unknown option %s\n", name);
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct load l = {.host = "localhost",
	        .path = "/feedback",
	        .port = 8080,
	        .rate = 1000,
	        .seconds = 10,
	        .connections = 64,
	        .timeout_ms = 10000,
	        .run_id = (uint32_t)getpid()};
	options(&l, argc, argv);
	if (l.connections < 1 || l.connections > CONNECTIONS_MAX || l.rate == 0 ||
	        l.rate * l.seconds > 100000000u) {
		fprintf(stderr, "load: 1…%d connections, at most 1e8 requests\n", CONNECTIONS_MAX);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_stop);
	l.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l.conn = calloc((size_t)l.connections, sizeof *l.conn);
	l.latency_us = calloc(l.rate * l.seconds + 1, sizeof *l.latency_us);
	if (l.acked_name) l.acked = fopen(l.acked_name, "w");
	if (!l.conn || !l.latency_us || l.epoll_fd < 0 || (l.acked_name && !l.acked)) {
		perror("load");
		return 1;
	}
	for (int i = 0; i < l.connections; i++) {
		l.conn[i].fd = -1;
		l.conn[i].in = malloc(RESPONSE_MAX);
		if (!l.conn[i].in) return 1;
	}
	int status = run(&l);
	if (l.acked && fclose(l.acked) != 0) status = 1;
	for (int i = 0; i < l.connections; i++) {
		conn_close(&l.conn[i]);
		free(l.conn[i].in);
	}
	free(l.conn);
	free(l.latency_us);
	close(l.epoll_fd);
	return status;
}
