/*
 * An edge alone, in this process, for whoever counts what a request costs in user space: run it
 * under `valgrind --tool=callgrind` (bench/path.py does) or `perf record`.
 *
 *   path PORT UPSTREAM-PORT [log|identity] [APPS [REPLICAS]]
 *
 * Listens on PORT until SIGTERM, then says how many requests there were. All replicas of all apps
 * are the one upstream; app i has the host h<i>.example.com, one app has all hosts. "log": access
 * log (to /dev/null) and a rate limit by address that never refuses. "identity": every request has
 * to have a token, HS256 with the secret of bench/path.py.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cert/cert.h"
#include "data/edge/edge.h"
#include "os/sock.h"
#include "wire/rate.h"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#endif

static void must(bool ok, const char *what)
{
	if (ok) return;
	(void)fprintf(stderr, "path: %s\n", what);
	exit(1);
}

static void on_term(struct loop *l, int signo, void *arg)
{
	(void)signo, (void)arg;
	CALLGRIND_STOP_INSTRUMENTATION;
	loop_stop(l);
}

/* What was before does not count. */
static void on_begin(struct loop *l, int signo, void *arg)
{
	(void)l, (void)signo;
	struct meter_worker *w = arg;
	for (uint32_t i = 0; i < METER_LANES_MAX; i++)
		atomic_store(&w->lane[i].attempts, 0);
	CALLGRIND_START_INSTRUMENTATION;
}

/* "0123456789abcdef0123456789abcdef", for app "app". */
static void providers(struct edge *e)
{
	struct hg_err err = {0};
	char why[TLS_WHY_MAX];
	int fd = -1;
	struct tls_conf none = {.pem_count = 0};
	struct cert_extra extra = {.generation = 1,
	        .identities =
	                HG_STR("{\"providers\":[{\"app\":\"app\",\"user_field\":\"X-Auth-User\","
	                       "\"roles_field\":\"X-Auth-Roles\",\"jwt\":{\"issuer\":\"me\","
	                       "\"header\":\"Authorization\",\"roles_claim\":\"roles\",\"secret\":"
	                       "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}}]}")};
	must(cert_bundle_make(&none, &extra, &fd, &err) == HG_OK, err.message);
	must(edge_certs(e, fd, why) == HG_OK, why);
	close(fd);
}

/* Somebody who takes what comes, in a process of its own, so that it is not counted. */
static int span_lane(void)
{
	int pair[2];
	static char sink[65536];
	must(sock_pair(pair) == 0, "a lane");
	pid_t pid = fork();
	must(pid >= 0, "a reader");
	if (pid > 0) {
		close(pair[0]);
		return pair[1];
	}
	close(pair[1]);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		struct pollfd p = {.fd = pair[0], .events = POLLIN};
		if (poll(&p, 1, -1) == 1 && read(pair[0], sink, sizeof sink) == 0) _exit(0);
	}
}

static void image(
        struct edge *e, bool log, bool identity, bool top, uint32_t trace_ppm, uint32_t apps)
{
	struct hg_err err = {0};
	struct snap_in_app *app = calloc(apps, sizeof *app);
	struct snap_in_route *route = calloc(apps, sizeof *route);
	struct snap_in_lane *lane = calloc(apps, sizeof *lane);
	char(*text)[32] = calloc(apps, sizeof *text);
	must(app && route && lane && text, "memory");
	struct snap_in_limit limit = {.name = HG_STR("all"),
	        .id = 1,
	        .rule = {.interval_ns = 1000, .tolerance_ns = 1000000000},
	        .who = RATE_PER_IP};
	for (uint32_t i = 0; i < apps; i++) {
		size_t n = (size_t)snprintf(text[i], sizeof text[i], "h%u.example.com", i);
		lane[i] = (struct snap_in_lane){.release = i + 1, .lane = i + 1};
		app[i] = (struct snap_in_app){.name = HG_STR("app"),
		        .fixed = {.id = i + 1,
		                .identity = identity,
		                .connect_ms = 1000,
		                .response_ms = 60000,
		                .idle_ms = 60000,
		                .retries = 2,
		                .retry_budget_ppm = 200000,
		                .eject_errors = 5,
		                .eject_ms = 10000,
		                .eject_max_ppm = 500000,
		                .analytics =
		                        top ? SNAP_ANALYTICS_CONSUMERS | SNAP_ANALYTICS_PATHS : 0}};
		route[i] = (struct snap_in_route){
		        .host = apps == 1 ? HG_STR("*") : (struct hg_str){text[i], n},
		        .path = HG_STR("/"),
		        .name = HG_STR("app/"),
		        .app = i,
		        .lanes = &lane[i],
		        .lane_count = 1,
		        .limits = &limit,
		        .limit_count = log};
		if (identity) route[i].rules = HG_STR("ffffffff 2 admin,user -\n");
		if (log) route[i].policy = HG_STR("RateLimit-Policy: \"all\";q=1000000;w=1\r\n");
	}
	struct snap_in in = {.generation = 1,
	        .apps = app,
	        .app_count = apps,
	        .routes = route,
	        .route_count = apps,
	        .edge = {.access_sample_ppm = 1000000,
	                .trace_to = trace_ppm > 0,
	                .trace_out_ppm = trace_ppm ? 1000000 - trace_ppm : 0,
	                .trace_slow_ms = 1000},
	        .via = HG_STR("headgate")};
	int fd = -1;
	must(snap_build(&in, &fd, &err) == HG_OK && edge_snapshot(e, fd) == HG_OK, err.message);
	close(fd);
	free(app);
	free(route);
	free(lane);
	free(text);
}

int main(int argc, char **argv)
{
	bool log = argc > 3 && strcmp(argv[3], "log") == 0;
	bool identity = argc > 3 && strcmp(argv[3], "identity") == 0;
	bool top = argc > 3 && strcmp(argv[3], "top") == 0;
	bool trace = argc > 3 && strncmp(argv[3], "trace", 5) == 0;
	uint32_t trace_ppm = trace ? (uint32_t)strtoul(argv[3] + 5, NULL, 10) : 0;
	uint32_t apps = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 1;
	uint32_t replicas = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 1;
	must(argc > 2 && apps && replicas && apps * replicas <= SNAP_ENDPOINTS, "see the source");
	struct loop *loop;
	struct edge *e;
	struct meter *meter = calloc(1, meter_size(2));
	struct snap_table *table = calloc(1, sizeof *table);
	struct rates *rates = calloc(1, sizeof *rates);
	struct sock_addr at;
	must(meter && table && rates && loop_new(&loop) == HG_OK, "memory");
	meter_init(meter, 2);
	snap_table_init(table);
	rates_init(rates, (const uint8_t[16]){1});
	sock_addr_tcp4(INADDR_LOOPBACK, (uint16_t)strtoul(argv[1], NULL, 10), &at);
	int fd = sock_listen(&at, 1024);
	must(fd >= 0, "cannot listen");
	struct edge_conf conf = {.loop = loop,
	        .meter = meter,
	        .table = table,
	        .rates = rates,
	        .listen_fds = &fd,
	        .listen_count = 1,
	        .log_fd = log ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1,
	        .span_fd = trace ? span_lane() : -1,
	        .seed = 1};
	must(edge_new(&conf, &e) == HG_OK, "edge");
	if (identity) providers(e);
	image(e, log, identity, top, trace_ppm, apps);
	for (uint32_t i = 0; i < apps * replicas; i++) {
		struct snap_endpoint ep = {.state = SNAP_EP_UP,
		        .app = i % apps + 1,
		        .release = i % apps + 1,
		        .replica = i,
		        .incarnation = i + 1,
		        .weight = 1000000,
		        .family = AF_INET,
		        .port = (uint16_t)strtoul(argv[2], NULL, 10),
		        .ip4 = INADDR_LOOPBACK};
		snap_table_set(table, (uint16_t)i, &ep);
	}
	must(loop_signal(loop, SIGTERM, on_term, NULL) == HG_OK &&
	                loop_signal(loop, SIGUSR1, on_begin, &meter->worker[0]) == HG_OK,
	        "signals");
	must(loop_run(loop) == HG_OK, "loop");
	uint64_t requests = 0;
	for (uint32_t i = 0; i < METER_LANES_MAX; i++)
		requests += atomic_load(&meter->worker[0].lane[i].attempts);
	printf("%llu requests\n", (unsigned long long)requests);
	edge_free(e);
	loop_free(loop);
	close(fd);
	free(meter);
	free(table);
	free(rates);
	return 0;
}
