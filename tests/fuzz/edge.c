/*
 * The whole path of a request through the edge: the bytes before the line "====" are a client's,
 * those after it a replica's answer to whatever reaches it (closed at the end when its last byte
 * is "!"). What the replica gets must be well-formed to our own strict parser, what the client
 * gets must begin with a response, and afterwards every buffer must be back in its pool. With an
 * odd number of bytes a release is under trial, so that responses are held and requests rescued.
 */
#include "fuzz.h"

#include "data/edge/edge_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPLICA_MAX 16
#define TURNS       24
#define TAIL_TURNS  64

static struct {
	struct loop *l;
	struct edge *e;
	struct meter *meter;
	struct snap_table *table;
	struct sock_addr peer;
	int replica; /* listener */
	int fds[REPLICA_MAX], n;
	bool answered[REPLICA_MAX], seen[REPLICA_MAX];
} w;

static void world_image(void)
{
	struct snap_in_app apps[] = {{.name = HG_STR("a"),
	        .fixed = {.id = 1, .retries = 1, .retry_budget_ppm = 1000000, .body_max = 100000}}};
	struct snap_in_route routes[] = {{.host = HG_STR("*"), .path = HG_STR("/")},
	        {.host = HG_STR("*.x"), .path = HG_STR("/a")}};
	struct snap_in in = {.apps = apps,
	        .app_count = 1,
	        .routes = routes,
	        .route_count = 2,
	        .via = HG_STR("me")};
	int fd = -1;
	HG_ASSERT(snap_build(&in, &fd, NULL) == HG_OK && edge_snapshot(w.e, fd) == HG_OK);
	close(fd);
}

static char dir[] = "/tmp/fuzz-edge-XXXXXX";

static void world_end(void)
{
	char path[64];
	/* Its own memory is no heap: what it points to would look lost. */
	edge_free(w.e);
	w.e = NULL;
	snprintf(path, sizeof path, "%s/s", dir);
	unlink(path);
	rmdir(dir);
}

static void world_begin(void)
{
	struct snap_endpoint ep = {.state = SNAP_EP_UP, .app = 1, .weight = 1, .family = AF_UNIX};
	struct sock_addr a = {.len = sizeof a.un, .un.sun_family = AF_UNIX};
	if (w.l) return;
	HG_ASSERT(mkdtemp(dir) && atexit(world_end) == 0);
	snprintf(ep.path, sizeof ep.path, "%s/s", dir);
	memcpy(a.un.sun_path, ep.path, sizeof a.un.sun_path);
	w.replica = sock_listen(&a, 64);
	HG_ASSERT(w.replica >= 0);
	w.meter = calloc(1, meter_size(1));
	w.table = calloc(1, sizeof *w.table);
	HG_ASSERT(w.meter && w.table && loop_new(&w.l) == HG_OK);
	meter_init(w.meter, 1);
	snap_table_init(w.table);
	snap_table_set(w.table, 0, &ep);
	ep.release = 1;
	ep.weight = 0;
	snap_table_set(w.table, 1, &ep);
	sock_addr_tcp4(INADDR_LOOPBACK, 1, &w.peer);
	struct edge_conf conf = {.loop = w.l,
	        .meter = w.meter,
	        .table = w.table,
	        .log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC),
	        .connections = 8,
	        .buffers = 16};
	HG_ASSERT(edge_new(&conf, &w.e) == HG_OK);
	world_image();
}

static void world_trial(size_t size)
{
	static uint32_t epoch;
	epoch++;
	struct snap_trial t = {.app = size & 1,
	        .new_release = 1,
	        .weight_ppm = size & 2 ? 1000000 : 500000,
	        .epoch = epoch,
	        .cell = epoch % SNAP_CELLS,
	        .flags = SNAP_TRIAL_JUDGE | SNAP_TRIAL_RESCUE | (size & 4 ? SNAP_TRIAL_STICKY : 0) |
	                 (size & 8 ? SNAP_TRIAL_REPLAYABLE : 0),
	        .rollout = 1,
	        .slow_new_ns = {1},
	        .match_count = 3,
	        .match = {{SNAP_MATCH_HEADER, "b", "1"}, {SNAP_MATCH_COOKIE, "b", ""},
	                {SNAP_MATCH_QUERY, "b", ""}}};
	hg_rand_seed(&w.e->rand, size);
	snap_trial_set(w.table, 0, &t);
	edge_table_refresh(w.e, false);
}

/* What reaches a replica is a request, or the beginning of one. */
static void request_judge(const char *p, size_t n)
{
	static struct http1_head h;
	struct http1_limits lim = {EDGE_BUF_SIZE, EDGE_BUF_SIZE, HTTP1_FIELDS_MAX};
	enum http1_result got = http1_request((struct hg_str){p, n}, 0, &lim, &h);
	if (got != HTTP1_DONE) {
		/* As many fields as a client may send, and ours, are more than this parser takes.
		 */
		HG_ASSERT(got == HTTP1_MORE ? n < EDGE_BUF_SIZE : h.status == 431);
		return;
	}
	HG_ASSERT(h.minor == 1 && h.keep_alive);
	HG_ASSERT(http1_find(&h, HTTP1_F_VIA) && http1_find(&h, HTTP1_F_X_FORWARDED_FOR));
	HG_ASSERT(http1_find(&h, HTTP1_F_X_REQUEST_ID) && http1_find(&h, HTTP1_F_TRACEPARENT));
}

static void replica_turn(struct hg_str answer)
{
	static char buf[65536];
	bool close_after = answer.n && answer.p[answer.n - 1] == '!';
	for (int fd; w.n < REPLICA_MAX && (fd = sock_accept(w.replica, NULL)) >= 0;) {
		w.answered[w.n] = w.seen[w.n] = false;
		w.fds[w.n++] = fd;
	}
	for (int i = 0; i < w.n; i++) {
		ssize_t n = w.fds[i] < 0 ? -1 : recv(w.fds[i], buf, sizeof buf, 0);
		if (n <= 0) continue;
		if (!w.seen[i]) request_judge(buf, (size_t)n);
		w.seen[i] = true;
		if (w.answered[i]) continue;
		w.answered[i] = true;
		/* Longer answers than a socket takes are cut: that is one more case. */
		(void)!send(w.fds[i], answer.p, answer.n, MSG_NOSIGNAL);
		if (!close_after) continue;
		close(w.fds[i]);
		w.fds[i] = -1;
	}
}

static size_t client_turn(int fd, char *to, size_t cap)
{
	ssize_t n = cap ? recv(fd, to, cap, 0) : 0;
	return n > 0 ? (size_t)n : 0;
}

static void response_judge(const char *p, size_t n)
{
	static struct http1_head h;
	struct http1_limits lim = {65536, 65536, HTTP1_FIELDS_MAX};
	if (n == 0) return;
	enum http1_result r = http1_response((struct hg_str){p, n}, 0, &lim, HTTP1_GET, true, &h);
	HG_ASSERT(r != HTTP1_BAD || n >= 65536);
}

static void world_check(void)
{
	for (int i = 0; i < w.n; i++) {
		if (w.fds[i] >= 0) close(w.fds[i]);
	}
	w.n = 0;
	for (int i = 0; i < TAIL_TURNS && (!edge_idle(w.e) || w.e->ups.used); i++) {
		HG_ASSERT(loop_turn(w.l, 0) == HG_OK);
		replica_turn(HG_STR("!"));
	}
	HG_ASSERT(edge_idle(w.e));
	HG_ASSERT(!w.e->bufs.used && !w.e->reqs.used);
	HG_ASSERT(!w.e->draws.used && hg_list_empty(&w.e->judged));
	HG_ASSERT(w.e->trials.used <= 1 && w.e->apps[0].rescues == 0);
	HG_ASSERT(!w.e->keeps.used && !w.e->ups.used);
	HG_ASSERT(meter_in_flight(w.meter, 0) == 0 && meter_in_flight(w.meter, 1) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[65536];
	struct hg_str all = {(const char *)data, size}, answer = HG_STR("");
	int pair[2];
	world_begin();
	world_trial(size);
	const char *cut = size ? memmem(data, size, "\n====\n", 6) : NULL;
	if (cut) {
		all.n = (size_t)(cut - all.p) + 1;
		answer = (struct hg_str){cut + 6, size - all.n - 5};
	}
	HG_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	if (!edge_conn_new(w.e, pair[1], false, &w.peer, PEERS_NONE))
		HG_ASSERT(!"room for one connection");
	size_t half = all.n / 2, n = 0;
	(void)!send(pair[0], all.p, half, MSG_NOSIGNAL);
	for (int i = 0; i < TURNS; i++) {
		if (i == 2) (void)!send(pair[0], all.p + half, all.n - half, MSG_NOSIGNAL);
		if (i == TURNS / 2) shutdown(pair[0], SHUT_WR);
		HG_ASSERT(loop_turn(w.l, 0) == HG_OK);
		replica_turn(answer);
		n += client_turn(pair[0], out + n, sizeof out - n);
	}
	response_judge(out, n);
	close(pair[0]);
	world_check();
	return 0;
}
