/*
 * Clients that mean no good, for bench/attacks.py. One thread, one epoll; prints "READY" once all
 * connections are up (of the modes that keep them), and at SIGTERM one line of JSON with what it
 * did.
 *
 *   attack MODE --port N [--connections 100] [--rate R] [--path /] [--bytes FILE]
 *
 *   idle      connects and stays silent after one request       heads   one byte of a head each
 * second bodies    a POST of 1 MB, one byte each second              reads   asks and takes 1 KiB
 * each second bomb      a head of 64 KiB, again and again                 fields  a head of 1000
 * fields, again churn     connects, asks, resets                            pipe    100 requests at
 * once, again bytes     connects, sends FILE, resets when something comes (a ClientHello: the
 * server signs)
 *
 * --rate: connections begun a second at most (0: as fast as answers come).
 */
#include <arpa/inet.h>
#include <errno.h>
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

#define CONNECTIONS_MAX 19900
#define TEXT_MAX        (1 << 17)

enum mode { IDLE, HEADS, BODIES, READS, BOMB, FIELDS, CHURN, PIPE, BYTES, MODES };
static const char *const names[MODES] = {
        "idle", "heads", "bodies", "reads", "bomb", "fields", "churn", "pipe", "bytes"};

struct client {
	int fd; /* -1: none */
	bool connected;
	uint32_t at; /* bytes of the text that were sent */
	uint64_t drip_ms;
};

struct attack {
	enum mode mode;
	int port, connections, epoll_fd;
	uint64_t rate, begun, ended, received, refused, start_ms;
	const char *path, *bytes;
	char text[TEXT_MAX];
	size_t size;
	struct client *client;
	int up;
	bool said;
};

static volatile sig_atomic_t stopped;

static void on_stop(int signo)
{
	(void)signo;
	stopped = 1;
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* Connections that are to stay, as opposed to such that come and go. */
static bool stays(const struct attack *a)
{
	return a->mode <= READS || a->mode == PIPE;
}

static void text_make(struct attack *a)
{
	char *t = a->text;
	size_t n = (size_t)snprintf(t, TEXT_MAX, "%s %s HTTP/1.1\r\nHost: x\r\n",
	        a->mode == BODIES ? "POST" : "GET", a->path);
	if (a->mode == HEADS) {
		memset(t + n, 'x', 4096);
		n += 4096;
	} else if (a->mode == BODIES) {
		n += (size_t)snprintf(t + n, TEXT_MAX - n, "Content-Length: 1000000\r\n\r\n");
	} else if (a->mode == BOMB) {
		n += (size_t)snprintf(t + n, TEXT_MAX - n, "X: ");
		memset(t + n, 'y', 65536);
		n += 65536;
	} else if (a->mode == FIELDS) {
		for (int i = 0; i < 1000; i++)
			n += (size_t)snprintf(t + n, TEXT_MAX - n, "X-%d: y\r\n", i);
	}
	if (a->mode != HEADS && a->mode != BODIES)
		n += (size_t)snprintf(t + n, TEXT_MAX - n, "\r\n");
	a->size = n;
	if (a->mode == PIPE) {
		for (int i = 1; i < 100; i++)
			memcpy(t + n * (size_t)i, t, n);
		a->size = n * 100;
	}
	if (a->mode != BYTES) return;
	FILE *f = fopen(a->bytes, "rb");
	a->size = f ? fread(t, 1, TEXT_MAX, f) : 0;
	if (f) fclose(f);
}

static void drop(struct attack *a, struct client *c, bool reset)
{
	struct linger hard = {1, 0};
	if (reset) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(c->fd);
	c->fd = -1;
	if (c->connected) a->up--;
	a->ended++;
}

static void begin(struct attack *a, struct client *c)
{
	/* Source addresses are spread, so that one pair of addresses does not run out of ports. */
	uint32_t source = INADDR_LOOPBACK + 2 + (uint32_t)((c - a->client) % 200) +
	                  256u * (uint32_t)(getpid() % 200);
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = {htonl(source)}};
	struct sockaddr_in to = {.sin_family = AF_INET,
	        .sin_port = htons((uint16_t)a->port),
	        .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int on = 1, small = 4096;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) return;
	c->connected = false;
	c->at = 0;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	if (a->mode == READS) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	struct epoll_event ev = {
	        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
	if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0 ||
	        (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) ||
	        epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0) {
		close(c->fd);
		c->fd = -1;
		a->refused++;
		return;
	}
	a->begun++;
}

/* Sends up to `max` bytes of the text; false when the connection is over. */
static bool push(struct attack *a, struct client *c, size_t max)
{
	while (c->at < a->size && max) {
		size_t n = a->size - c->at < max ? a->size - c->at : max;
		ssize_t k = send(c->fd, a->text + c->at, n, MSG_NOSIGNAL);
		if (k < 0) return errno == EAGAIN;
		c->at += (uint32_t)k;
		max -= (size_t)k;
	}
	return true;
}

/* False when it is over. */
static bool pull(struct attack *a, struct client *c, size_t max)
{
	static char buf[65536];
	while (max) {
		ssize_t n = recv(c->fd, buf, max < sizeof buf ? max : sizeof buf, 0);
		if (n == 0) return false;
		if (n < 0) return errno == EAGAIN;
		a->received += (uint64_t)n;
		max -= (size_t)n < max ? (size_t)n : max;
		/* What comes and goes has seen enough when it has an answer. */
		if (a->mode == CHURN || a->mode == BYTES) return false;
		if (a->mode == PIPE) {
			if (c->at == a->size) c->at = 0;
			if (!push(a, c, SIZE_MAX)) return false;
		}
	}
	return true;
}

static void on_event(struct attack *a, struct client *c, uint32_t events)
{
	if (c->fd < 0) return;
	bool first = !c->connected && events & EPOLLOUT;
	if (events & (EPOLLERR | EPOLLHUP)) {
		a->refused += !c->connected;
		return drop(a, c, false);
	}
	if (first) {
		c->connected = true;
		c->drip_ms = now_ms() + (uint64_t)(c - a->client) % 1000;
		a->up++;
	}
	bool drips = a->mode == HEADS || a->mode == BODIES;
	size_t now = SIZE_MAX;
	if (a->mode == HEADS) now = first ? 20 : 0;
	if (!push(a, c, now)) return drop(a, c, true);
	if (a->mode == READS && !(events & EPOLLRDHUP)) return;
	if (events & (EPOLLIN | EPOLLRDHUP) && !pull(a, c, SIZE_MAX)) drop(a, c, !drips);
}

/* One byte, or one KiB, each second. */
static void drip(struct attack *a, uint64_t now)
{
	for (int i = 0; i < a->connections; i++) {
		struct client *c = &a->client[i];
		bool good = true;
		if (c->fd < 0 || !c->connected || now < c->drip_ms) continue;
		c->drip_ms = now + 1000;
		if (a->mode == HEADS) good = push(a, c, 1);
		if (a->mode == READS) good = pull(a, c, 1024);
		if (a->mode == BODIES) {
			ssize_t k = send(c->fd, "x", 1, MSG_NOSIGNAL);
			good = k > 0 || errno == EAGAIN;
		}
		if (!good) drop(a, c, true);
	}
}

static void refill(struct attack *a, uint64_t now)
{
	uint64_t allowed = a->rate ? a->rate * (now - a->start_ms) / 1000 + 1 : UINT64_MAX;
	int burst = 200;
	for (int i = 0; i < a->connections && burst && a->begun < allowed; i++) {
		if (a->client[i].fd >= 0) continue;
		begin(a, &a->client[i]);
		burst--;
	}
	if (a->said || a->up < (stays(a) ? a->connections * 9 / 10 : 1)) return;
	a->said = true;
	puts("READY");
	fflush(stdout);
}

static void options(struct attack *a, int argc, char **argv)
{
	for (int m = 0; m < MODES && argc > 1; m++) {
		if (strcmp(argv[1], names[m]) == 0) a->mode = (enum mode)m;
	}
	for (int i = 2; i + 1 < argc; i += 2) {
		const char *value = argv[i + 1];
		if (strcmp(argv[i], "--port") == 0) a->port = (int)strtol(value, NULL, 10);
		if (strcmp(argv[i], "--connections") == 0)
			a->connections = (int)strtol(value, NULL, 10);
		if (strcmp(argv[i], "--rate") == 0) a->rate = strtoull(value, NULL, 10);
		if (strcmp(argv[i], "--path") == 0) a->path = value;
		if (strcmp(argv[i], "--bytes") == 0) a->bytes = value;
	}
	if (a->connections < 1 || a->connections > CONNECTIONS_MAX) a->connections = 100;
}

int main(int argc, char **argv)
{
	static struct attack a = {.mode = MODES, .path = "/", .bytes = "", .connections = 100};
	struct epoll_event ev[512];
	options(&a, argc, argv);
	if (a.mode == MODES || a.port == 0) {
		fprintf(stderr, "usage: attack MODE --port N …\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_stop);
	text_make(&a);
	a.client = calloc((size_t)a.connections, sizeof *a.client);
	a.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!a.client || a.epoll_fd < 0 || a.size == 0) return 1;
	for (int i = 0; i < a.connections; i++)
		a.client[i].fd = -1;
	a.start_ms = now_ms();
	while (!stopped) {
		uint64_t now = now_ms();
		refill(&a, now);
		int n = epoll_wait(a.epoll_fd, ev, 512, 10);
		for (int i = 0; i < n; i++)
			on_event(&a, ev[i].data.ptr, ev[i].events);
		if (a.mode == HEADS || a.mode == BODIES || a.mode == READS) drip(&a, now_ms());
	}
	printf("{\"up\":%d,\"begun\":%llu,\"ended\":%llu,\"refused\":%llu,\"received\":%llu,\"ms\":"
	       "%llu}\n",
	        a.up, (unsigned long long)a.begun, (unsigned long long)a.ended,
	        (unsigned long long)a.refused, (unsigned long long)a.received,
	        (unsigned long long)(now_ms() - a.start_ms));
	return 0;
}
