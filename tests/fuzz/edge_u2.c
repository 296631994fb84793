/*
 * A hostile replica that speaks HTTP/2: the bytes are what it sends to whatever reaches it, behind
 * an empty SETTINGS frame; a line "====" parts them into what it says at once and what it says
 * later. Three clients ask it: one for nothing, one with a body and trailers, one for a WebSocket.
 * What a client gets must be an answer to our own strict parser, or the beginning of one, what the
 * replica gets whole frames, and afterwards every buffer, stream and session must be back.
 */
#include "fuzz.h"

#include "data/edge/u2_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPLICA_MAX 64
#define CLIENTS     3
#define TURNS       24
#define TAIL_TURNS  400

static struct {
	struct loop *l;
	struct edge *e;
	struct meter *meter;
	struct snap_table *table;
	struct sock_addr peer;
	int replica; /* listener */
	int fds[REPLICA_MAX], n, said[REPLICA_MAX];
	struct snap_endpoint ep;
} w;

static char dir[] = "/tmp/fuzz-edge-u2-XXXXXX";

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

static void world_image(void)
{
	struct snap_in_app apps[] = {{.name = HG_STR("a"),
	        .fixed = {.id = 1, .retries = 1, .retry_budget_ppm = 1000000}}};
	struct snap_in_route routes[] = {{.host = HG_STR("*"), .path = HG_STR("/")}};
	struct snap_in in = {.apps = apps,
	        .app_count = 1,
	        .routes = routes,
	        .route_count = 1,
	        .via = HG_STR("me")};
	int fd = -1;
	HG_ASSERT(snap_build(&in, &fd, NULL) == HG_OK && edge_snapshot(w.e, fd) == HG_OK);
	close(fd);
}

static void world_begin(void)
{
	struct sock_addr a = {.len = sizeof a.un, .un.sun_family = AF_UNIX};
	if (w.l) return;
	w.ep = (struct snap_endpoint){
	        .state = SNAP_EP_UP, .app = 1, .weight = 1, .family = AF_UNIX, .http2 = 1};
	HG_ASSERT(mkdtemp(dir) && atexit(world_end) == 0);
	snprintf(w.ep.path, sizeof w.ep.path, "%s/s", dir);
	memcpy(a.un.sun_path, w.ep.path, sizeof a.un.sun_path);
	w.replica = sock_listen(&a, 64);
	HG_ASSERT(w.replica >= 0);
	w.meter = calloc(1, meter_size(1));
	w.table = calloc(1, sizeof *w.table);
	HG_ASSERT(w.meter && w.table && loop_new(&w.l) == HG_OK);
	meter_init(w.meter, 1);
	snap_table_init(w.table);
	sock_addr_tcp4(INADDR_LOOPBACK, 1, &w.peer);
	struct edge_conf conf = {.loop = w.l,
	        .meter = w.meter,
	        .table = w.table,
	        .log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC),
	        .connections = 8,
	        .buffers = 32};
	HG_ASSERT(edge_new(&conf, &w.e) == HG_OK);
	world_image();
}

/* Whole frames behind the preface. */
static void frames_judge(const uint8_t *p, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	size_t k = HG_MIN(n, sizeof preface - 1);
	HG_ASSERT(memcmp(p, preface, k) == 0);
	for (p += k, n -= k; n >= 9;) {
		size_t size = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
		HG_ASSERT(size <= 16384 && p[3] <= NGHTTP2_CONTINUATION);
		if (size > n - 9) return;
		p += 9 + size;
		n -= 9 + size;
	}
}

static void replica_turn(struct hg_str first, struct hg_str later)
{
	static uint8_t buf[1 << 17];
	static const char settings[9] = {0, 0, 0, 4};
	for (int fd; w.n < REPLICA_MAX && (fd = sock_accept(w.replica, NULL)) >= 0;) {
		w.said[w.n] = 0;
		w.fds[w.n++] = fd;
		(void)!send(fd, settings, sizeof settings, MSG_NOSIGNAL);
	}
	for (int i = 0; i < w.n; i++) {
		ssize_t n = w.fds[i] < 0 ? -1 : recv(w.fds[i], buf, sizeof buf, 0);
		if (n > 0 && w.said[i] == 0) frames_judge(buf, (size_t)n);
		if (w.fds[i] < 0 || w.said[i] > 6) continue;
		/* The second half comes some turns after the first. */
		struct hg_str p = w.said[i] == 0 ? first : w.said[i] == 4 ? later : HG_STR("");
		if (w.said[i] || n > 0) w.said[i]++;
		(void)!send(w.fds[i], p.p, p.n, MSG_NOSIGNAL);
	}
}

/* What a client got. */
static void answer_judge(const char *p, size_t n, enum http1_method method)
{
	static struct http1_head h;
	struct http1_limits lim = {2 * EDGE_BUF_SIZE, EDGE_BUF_SIZE, HTTP1_FIELDS_MAX};
	while (n) {
		enum http1_result r =
		        http1_response((struct hg_str){p, n}, 0, &lim, method, true, &h);
		HG_ASSERT(r != HTTP1_BAD);
		if (r == HTTP1_MORE || (h.status >= 200 || h.status == 101)) return;
		p += h.size;
		n -= h.size;
	}
}

static bool all_back(const struct edge_pool *p)
{
	return p->used == 0;
}

static void world_check(void)
{
	struct snap_endpoint gone = {.state = SNAP_EP_FREE};
	for (int i = 0; i < w.n; i++) {
		if (w.fds[i] >= 0) close(w.fds[i]);
	}
	w.n = 0;
	snap_table_set(w.table, 0, &gone);
	edge_table_refresh(w.e, false);
	for (int i = 0; i < TAIL_TURNS && (!edge_idle(w.e) || !all_back(&w.e->ups)); i++) {
		HG_ASSERT(loop_turn(w.l, 0) == HG_OK);
		replica_turn(HG_STR(""), HG_STR(""));
		for (int k = 0; k < w.n; k++)
			close(w.fds[k]);
		w.n = 0;
	}
	HG_ASSERT(edge_idle(w.e));
	HG_ASSERT(all_back(&w.e->bufs) && all_back(&w.e->reqs) && all_back(&w.e->keeps));
	HG_ASSERT(all_back(&w.e->ups) && all_back(&w.e->u2_streams) && all_back(&w.e->u2_sessions));
	HG_ASSERT(meter_in_flight(w.meter, 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const ask[CLIENTS] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
	        "Content-Type: application/grpc\r\n\r\n3\r\nabc\r\n0\r\nX-End: 1\r\n\r\n",
	        "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
	        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"};
	static char out[CLIENTS][1 << 17];
	struct hg_str first = {(const char *)data, size}, later = HG_STR("");
	int pair[CLIENTS][2];
	size_t n[CLIENTS] = {0};
	world_begin();
	w.ep.incarnation++;
	snap_table_set(w.table, 0, &w.ep);
	const char *cut = size ? memmem(data, size, "\n====\n", 6) : NULL;
	if (cut) {
		first.n = (size_t)(cut - first.p);
		later = (struct hg_str){cut + 6, size - first.n - 6};
	}
	for (int i = 0; i < CLIENTS; i++) {
		HG_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		                  pair[i]) == 0);
		(void)!send(pair[i][0], ask[i], strlen(ask[i]), MSG_NOSIGNAL);
		if (!edge_conn_new(w.e, pair[i][1], false, &w.peer, PEERS_NONE))
			HG_ASSERT(!"room for a connection");
	}
	for (int t = 0; t < TURNS; t++) {
		HG_ASSERT(loop_turn(w.l, 0) == HG_OK);
		replica_turn(first, later);
		for (int i = 0; i < CLIENTS; i++) {
			size_t room = sizeof out[i] - n[i];
			ssize_t k = room ? recv(pair[i][0], out[i] + n[i], room, 0) : 0;
			n[i] += k > 0 ? (size_t)k : 0;
		}
	}
	for (int i = 0; i < CLIENTS; i++) {
		answer_judge(out[i], n[i], i == 1 ? HTTP1_POST : HTTP1_GET);
		close(pair[i][0]);
	}
	world_check();
	return 0;
}
