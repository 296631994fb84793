/*
 * Many users at once: each lists, thinks, creates, thinks, on a connection of its own, as the
 * owner's load test has it (closed loop). One thread and one epoll; 10,000 users are 10,000
 * connections.
 *
 *   users --port N [--host 127.0.0.1] [--stages 120:100,300:100,120:0] [--think-ms 1000]
 *         [--path /feedback] [--timeout-ms 60000] [--hold N]
 *
 * `--stages`: seconds and the number of users at the stage's end, one after the other. `--hold N`:
 * opens N further connections first, sends one request on each and leaves them open and silent.
 * The clients' addresses are 127.0.0.1 … 127.0.0.8 in turn, so that source ports suffice. Prints
 * one JSON object; the quantiles "full_…" are of the requests that began while all users were
 * there.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define USERS_MAX  18000u
#define STAGES_MAX 32u
#define HEAD_MAX   2048u
#define SLOTS      4096u /* of the wheel of waiting users, a millisecond each */

enum phase { OUT, THINKING, CONNECTING, SENDING, HEAD, BODY };

struct user {
	int fd;
	enum phase phase;
	bool post, closing, held, for_out; /* epoll tells when it can be written */
	uint32_t next;                     /* of the wheel's slot, or of none: index + 1 */
	uint32_t turn;
	uint64_t wake_ms;
	uint64_t begun_ns;
	int status;
	char buf[HEAD_MAX]; /* the request, then the answer's head */
	size_t n, at;
	uint64_t left; /* of the body */
};

struct stage {
	double s;
	double users;
};

struct run {
	struct sockaddr_in to;
	const char *path;
	uint64_t think_ms, timeout_ms;
	struct stage stage[STAGES_MAX];
	uint32_t stages, users, hold, most, peak;
	int epoll_fd;
	struct user *user;
	uint32_t slot[SLOTS];
	uint64_t wheel_ms, begin_ns, now_ns, swept_ns;
	double wanted;
	uint32_t in, inside; /* users that are in; requests under way */
	bool over;
	uint64_t requests, failed, created, connects, bytes;
	uint64_t fail_connect, fail_closed, fail_timeout, fail_status, status[600];
	uint32_t *latency_us;
	uint64_t latency_n, latency_cap;
	uint32_t *full_us;
	uint64_t full_n, full_cap, full_ms;
};

static uint64_t clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void keep(uint32_t **at, uint64_t *n, uint64_t *cap, uint32_t us)
{
	if (*n == *cap) {
		*cap = *cap ? *cap * 2 : 65536;
		*at = realloc(*at, *cap * sizeof **at);
		if (!*at) abort();
	}
	(*at)[(*n)++] = us;
}

static void sleep_until(struct run *r, struct user *u, uint64_t ms)
{
	uint64_t now = r->now_ns / 1000000;
	u->phase = THINKING;
	u->wake_ms = ms > now ? ms : now + 1;
	uint32_t *slot = &r->slot[u->wake_ms % SLOTS];
	u->next = *slot;
	*slot = (uint32_t)(u - r->user) + 1;
}

static void hang_up(struct user *u)
{
	if (u->fd >= 0) close(u->fd);
	u->fd = -1;
}

/* The answer is there, or never will be. */
static void ended(struct run *r, struct user *u, bool ok)
{
	uint32_t us = (uint32_t)((r->now_ns - u->begun_ns) / 1000);
	r->inside--;
	keep(&r->latency_us, &r->latency_n, &r->latency_cap, us);
	if (r->peak && r->in >= r->peak) keep(&r->full_us, &r->full_n, &r->full_cap, us);
	r->failed += !ok;
	r->created += ok && u->post;
	if (u->closing || !ok) hang_up(u);
	if (u->held) {
		u->phase = OUT;
		return;
	}
	u->turn++;
	u->post = !u->post;
	sleep_until(r, u, r->now_ns / 1000000 + r->think_ms);
}

static void lost(struct run *r, struct user *u, uint64_t *why)
{
	(*why)++;
	u->closing = true;
	ended(r, u, false);
}

static void watch(struct run *r, struct user *u, uint32_t events, int op)
{
	struct epoll_event e = {.events = events, .data.u32 = (uint32_t)(u - r->user)};
	if (epoll_ctl(r->epoll_fd, op, u->fd, &e) < 0) perror("epoll_ctl");
}

static void write_request(struct run *r, struct user *u)
{
	char body[96];
	int n = 0;
	if (u->post)
		n = snprintf(body, sizeof body, "{\"message\": \"user %u turn %u\"}",
		        (uint32_t)(u - r->user), u->turn);
	u->n = (size_t)snprintf(u->buf, sizeof u->buf, "%s %s HTTP/1.1\r\nHost: localhost\r\n",
	        u->post ? "POST" : "GET", r->path);
	if (u->post)
		u->n += (size_t)snprintf(u->buf + u->n, sizeof u->buf - u->n,
		        "Content-Type: application/json\r\nContent-Length: %d\r\n", n);
	u->n += (size_t)snprintf(
	        u->buf + u->n, sizeof u->buf - u->n, "\r\n%s", u->post ? body : "");
	u->at = 0;
}

static void send_some(struct run *r, struct user *u)
{
	while (u->at < u->n) {
		ssize_t n = send(u->fd, u->buf + u->at, u->n - u->at, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			u->phase = SENDING;
			if (!u->for_out) watch(r, u, EPOLLOUT, EPOLL_CTL_MOD);
			u->for_out = true;
			return;
		}
		if (n < 0) {
			lost(r, u, &r->fail_closed);
			return;
		}
		u->at += (size_t)n;
	}
	if (u->for_out) watch(r, u, EPOLLIN, EPOLL_CTL_MOD);
	u->for_out = false;
	u->phase = HEAD;
	u->n = 0;
}

static void dial(struct run *r, struct user *u)
{
	uint32_t number = (uint32_t)(u - r->user);
	struct sockaddr_in from = {.sin_family = AF_INET};
	int on = 1;
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number % 8);
	u->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (u->fd < 0) {
		lost(r, u, &r->fail_connect);
		return;
	}
	setsockopt(u->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(u->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	r->connects++;
	u->phase = CONNECTING;
	if (bind(u->fd, (struct sockaddr *)&from, sizeof from) < 0 ||
	        (connect(u->fd, (struct sockaddr *)&r->to, sizeof r->to) < 0 &&
	                errno != EINPROGRESS)) {
		lost(r, u, &r->fail_connect);
		return;
	}
	u->for_out = true;
	watch(r, u, EPOLLOUT, EPOLL_CTL_ADD);
}

static void ask(struct run *r, struct user *u)
{
	u->begun_ns = r->now_ns;
	u->closing = false;
	r->requests++;
	r->inside++;
	write_request(r, u);
	u->phase = SENDING;
	if (u->fd < 0)
		dial(r, u);
	else
		send_some(r, u);
}

/* False: the head is not one of HTTP/1.1 with a length. */
static bool read_head(struct user *u, size_t head)
{
	char *length, *close_;
	u->buf[head - 2] = 0;
	u->status = u->n > 12 ? (int)strtol(u->buf + 9, NULL, 10) : 0;
	length = strcasestr(u->buf, "\r\ncontent-length:");
	close_ = strcasestr(u->buf, "\r\nconnection: close");
	if (u->status < 100 || u->status > 599 || !length) return false;
	u->closing = close_ != NULL;
	u->left = strtoull(length + 17, NULL, 10);
	return true;
}

static void receive(struct run *r, struct user *u)
{
	static char waste[262144];
	for (;;) {
		bool head = u->phase == HEAD;
		ssize_t n = head ? recv(u->fd, u->buf + u->n, sizeof u->buf - 1 - u->n, 0)
		                 : recv(u->fd, waste, sizeof waste, 0);
		if (n < 0 && errno == EAGAIN) return;
		if (n <= 0) {
			lost(r, u, &r->fail_closed);
			return;
		}
		r->bytes += (uint64_t)n;
		if (head) {
			u->n += (size_t)n;
			char *end = memmem(u->buf, u->n, "\r\n\r\n", 4);
			if (!end && u->n < sizeof u->buf - 1) continue;
			if (!end || !read_head(u, (size_t)(end - u->buf) + 4)) {
				lost(r, u, &r->fail_closed);
				return;
			}
			u->phase = BODY;
			n = (ssize_t)(u->n - ((size_t)(end - u->buf) + 4));
		}
		if ((uint64_t)n > u->left) {
			lost(r, u, &r->fail_closed);
			return;
		}
		u->left -= (uint64_t)n;
		if (u->left) continue;
		bool ok = u->status == (u->post ? 201 : 200);
		r->status[u->status]++;
		r->fail_status += !ok;
		ended(r, u, ok);
		return;
	}
}

static void on_event(struct run *r, struct user *u)
{
	int err = 0;
	socklen_t n = sizeof err;
	switch (u->phase) {
	case CONNECTING:
		getsockopt(u->fd, SOL_SOCKET, SO_ERROR, &err, &n);
		if (err)
			lost(r, u, &r->fail_connect);
		else
			send_some(r, u);
		break;
	case SENDING: send_some(r, u); break;
	case HEAD:
	case BODY: receive(r, u); break;
	case OUT: /* a held one that the server closed */
	case THINKING: hang_up(u); break;
	}
}

/* How many users there are now; below 0: it is over. */
static double users_at(const struct run *r, double s)
{
	double before = 0;
	for (uint32_t i = 0; i < r->stages; i++) {
		const struct stage *g = &r->stage[i];
		if (s < g->s) return before + (g->users - before) * s / g->s;
		s -= g->s;
		before = g->users;
	}
	return -1;
}

static void wake(struct run *r)
{
	uint64_t now = r->now_ns / 1000000;
	for (; r->wheel_ms <= now; r->wheel_ms++) {
		uint32_t at = r->slot[r->wheel_ms % SLOTS];
		r->slot[r->wheel_ms % SLOTS] = 0;
		while (at) {
			struct user *u = &r->user[at - 1];
			at = u->next;
			if (u->wake_ms > r->wheel_ms) { /* of a later round */
				sleep_until(r, u, u->wake_ms);
			} else if (r->over || (double)(u - r->user) >= r->wanted) {
				u->phase = OUT;
				r->in--;
				hang_up(u);
			} else {
				ask(r, u);
			}
		}
	}
}

/* Users come in one after the other as the stage wants more of them. */
static void admit(struct run *r)
{
	double s = (double)(r->now_ns - r->begin_ns) / 1e9;
	r->wanted = users_at(r, s);
	if (r->wanted < 0) {
		r->over = true;
		return;
	}
	for (uint32_t i = 0; i < r->users && (double)i < r->wanted; i++) {
		struct user *u = &r->user[i];
		if (u->phase != OUT) continue;
		u->post = false;
		r->in++;
		ask(r, u);
	}
	if (r->in > r->most) r->most = r->in;
}

static void expire(struct run *r)
{
	for (uint32_t i = 0; i < r->users + r->hold; i++) {
		struct user *u = &r->user[i];
		if (u->phase > THINKING && r->now_ns - u->begun_ns > r->timeout_ms * 1000000)
			lost(r, u, &r->fail_timeout);
	}
}

static void turn(struct run *r, int wait_ms)
{
	struct epoll_event e[512];
	int n = epoll_wait(r->epoll_fd, e, 512, wait_ms);
	r->now_ns = clock_ns();
	for (int i = 0; i < n; i++)
		on_event(r, &r->user[e[i].data.u32]);
	if (r->now_ns - r->swept_ns < 20000000) return;
	if (r->peak && r->in >= r->peak && r->swept_ns)
		r->full_ms += (r->now_ns - r->swept_ns) / 1000000;
	r->swept_ns = r->now_ns;
	if (!r->over && r->begin_ns) admit(r);
	expire(r);
}

/* One request each, a few hundred at once, and then they are silent. */
static bool hold(struct run *r)
{
	uint32_t open = 0;
	for (uint32_t i = 0; i < r->hold; i++) {
		struct user *u = &r->user[r->users + i];
		u->held = true;
		r->now_ns = clock_ns();
		ask(r, u);
		while (r->inside > 256)
			turn(r, 100);
	}
	while (r->inside)
		turn(r, 100);
	for (uint32_t i = 0; i < r->hold; i++)
		open += r->user[r->users + i].fd >= 0;
	fprintf(stderr, "held %u\n", open);
	return open == r->hold;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void quantiles(const char *name, uint32_t *us, uint64_t n)
{
	static const struct {
		const char *name;
		double q;
	} q[] = {{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1}};
	if (n) qsort(us, n, sizeof *us, by_size);
	for (size_t i = 0; i < sizeof q / sizeof *q; i++)
		printf("\"%s%s_ms\":%.1f,", name, q[i].name,
		        n ? us[(uint64_t)((double)(n - 1) * q[i].q)] / 1e3 : 0.0);
}

static void report(struct run *r)
{
	uint32_t held = 0;
	const char *comma = "";
	for (uint32_t i = 0; i < r->hold; i++)
		held += r->user[r->users + i].fd >= 0;
	printf("{\"seconds\":%.1f,\"most\":%u,\"requests\":%llu,\"failed\":%llu,\"created\":%llu,",
	        (double)(clock_ns() - r->begin_ns) / 1e9, r->most, (unsigned long long)r->requests,
	        (unsigned long long)r->failed, (unsigned long long)r->created);
	printf("\"connects\":%llu,\"megabytes\":%.0f,\"held\":%u,\"fail_connect\":%llu,"
	       "\"fail_closed\":%llu,\"fail_timeout\":%llu,\"fail_status\":%llu,",
	        (unsigned long long)r->connects, (double)r->bytes / 1e6, held,
	        (unsigned long long)r->fail_connect, (unsigned long long)r->fail_closed,
	        (unsigned long long)r->fail_timeout, (unsigned long long)r->fail_status);
	printf("\"full_requests\":%llu,\"full_seconds\":%.1f,", (unsigned long long)r->full_n,
	        (double)r->full_ms / 1e3);
	quantiles("", r->latency_us, r->latency_n);
	quantiles("full_", r->full_us, r->full_n);
	printf("\"status\":{");
	for (int s = 100; s < 600; s++) {
		if (!r->status[s]) continue;
		printf("%s\"%d\":%llu", comma, s, (unsigned long long)r->status[s]);
		comma = ",";
	}
	printf("}}\n");
}

static bool read_stages(struct run *r, const char *text)
{
	char *end;
	for (r->stages = 0; *text && r->stages < STAGES_MAX; r->stages++) {
		struct stage *g = &r->stage[r->stages];
		g->s = strtod(text, &end);
		if (*end != ':' || g->s <= 0) return false;
		g->users = strtod(end + 1, &end);
		if (g->users > r->users) r->users = (uint32_t)g->users;
		text = *end == ',' ? end + 1 : end;
		if (*end && *end != ',') return false;
	}
	r->peak = r->users;
	return *text == 0 && r->stages > 0;
}

static bool options(struct run *r, int argc, char **argv)
{
	bool ok = argc % 2 == 1;
	r->to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 1; ok && i + 1 < argc; i += 2) {
		const char *name = argv[i], *value = argv[i + 1];
		if (strcmp(name, "--port") == 0)
			r->to.sin_port = htons((uint16_t)strtoul(value, NULL, 10));
		else if (strcmp(name, "--host") == 0)
			ok = inet_pton(AF_INET, value, &r->to.sin_addr) == 1;
		else if (strcmp(name, "--stages") == 0)
			ok = read_stages(r, value);
		else if (strcmp(name, "--think-ms") == 0)
			r->think_ms = strtoull(value, NULL, 10);
		else if (strcmp(name, "--path") == 0)
			r->path = value;
		else if (strcmp(name, "--timeout-ms") == 0)
			r->timeout_ms = strtoull(value, NULL, 10);
		else if (strcmp(name, "--hold") == 0)
			r->hold = (uint32_t)strtoul(value, NULL, 10);
		else
			ok = false;
	}
	return ok && r->to.sin_port && r->stages && r->users + r->hold <= USERS_MAX;
}

static void raise_files(void)
{
	struct rlimit rl;
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0) return;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

int main(int argc, char **argv)
{
	struct run r = {.to = {.sin_family = AF_INET},
	        .path = "/feedback",
	        .think_ms = 1000,
	        .timeout_ms = 60000};
	if (!options(&r, argc, argv)) {
		fprintf(stderr,
		        "usage: users --port N --stages SECONDS:USERS,… (tests/e2e/users.c)\n");
		return 2;
	}
	raise_files();
	signal(SIGPIPE, SIG_IGN);
	r.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (r.epoll_fd < 0) return 1;
	r.user = calloc(r.users + r.hold + 1, sizeof *r.user);
	if (!r.user) return 1;
	for (uint32_t i = 0; i < r.users + r.hold; i++)
		r.user[i].fd = -1;
	bool held = hold(&r);
	if (!held) {
		fprintf(stderr, "not all connections could be opened\n");
		r.over = true;
	}
	r.requests = r.failed = r.connects = r.bytes = r.latency_n = 0;
	memset(r.status, 0, sizeof r.status);
	r.now_ns = r.begin_ns = clock_ns();
	r.wheel_ms = r.now_ns / 1000000;
	while (!r.over || r.in) {
		wake(&r);
		turn(&r, 1);
	}
	if (held) report(&r);
	for (uint32_t i = 0; i < r.users + r.hold; i++)
		hang_up(&r.user[i]);
	free(r.user);
	free(r.latency_us);
	free(r.full_us);
	close(r.epoll_fd);
	return held ? 0 : 1;
}
