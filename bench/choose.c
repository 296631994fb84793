/*
 * What the choice of a replica costs, for each way to choose, with few and with many replicas: ns
 * by the clock, instructions under `valgrind --tool=callgrind --toggle-collect=choices`.
 *
 *   choose [METHOD [REPLICAS [CHOICES]]]    all methods with 3 and 1000 replicas without arguments
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "data/edge/edge_priv.h"
#include "os/clock.h"

static const char *const names[] = {"least", "round-robin", "hash", "cookie", "slow-start", "room"};

struct world {
	struct loop *loop;
	struct meter *meter;
	struct snap_table *table;
	struct edge *edge;
	struct edge_conn conn;
	struct edge_req req;
	struct snap_app limits;
	struct snap_route route;
};

static void must(bool ok, const char *what)
{
	if (ok) return;
	(void)fprintf(stderr, "choose: %s\n", what);
	exit(1);
}

static void image(struct world *w)
{
	struct hg_err err = {0};
	struct snap_in_app app = {.name = HG_STR("app"), .fixed = {.id = 7}};
	struct snap_in in = {.generation = 1, .apps = &app, .app_count = 1};
	int fd = -1;
	must(snap_build(&in, &fd, &err) == HG_OK && edge_snapshot(w->edge, fd) == HG_OK, "image");
	close(fd);
}

static struct world *world_new(uint32_t replicas)
{
	struct world *w = calloc(1, sizeof *w);
	must(w, "memory");
	w->meter = calloc(1, meter_size(2));
	w->table = calloc(1, sizeof *w->table);
	must(w->meter && w->table && loop_new(&w->loop) == HG_OK, "memory");
	meter_init(w->meter, 2);
	snap_table_init(w->table);
	struct edge_conf conf = {
	        .loop = w->loop, .meter = w->meter, .table = w->table, .log_fd = -1, .seed = 1};
	must(edge_new(&conf, &w->edge) == HG_OK, "edge");
	for (uint32_t i = 0; i < replicas; i++) {
		struct snap_endpoint ep = {.state = SNAP_EP_UP,
		        .app = 7,
		        .release = 1,
		        .replica = i + 1,
		        .incarnation = i + 1,
		        .weight = 1000000,
		        .family = AF_INET,
		        .port = 1};
		snap_table_set(w->table, i, &ep);
	}
	image(w);
	w->conn.edge = w->edge;
	w->conn.req = &w->req;
	w->req.limits = &w->limits;
	w->req.route = &w->route;
	w->req.app = edge_app_of(w->edge, 7);
	must(w->req.app, "app");
	return w;
}

static void method_set(struct world *w, int method, uint32_t replicas)
{
	struct snap_balance *b = &w->limits.balance;
	w->req.chosen = method > 0;
	switch (method) {
	case 1: b->method = SNAP_ROUND_ROBIN; break;
	case 2:
		b->method = SNAP_HASH;
		w->req.keyed = true;
		break;
	case 3: w->req.pin_minute = 1; break;
	case 4:
		b->slow_start_ms = 3600000;
		w->edge->eps[replicas - 1].warm_ms = edge_now_ms(w->edge);
		for (uint32_t i = 0; i + 1 < replicas; i++)
			w->edge->eps[i].warm_ms = 1;
		edge_table_refresh(w->edge, true);
		break;
	case 5: b->replica_max = 10; break;
	default: break;
	}
}

/* The gauge of the chosen one goes up as it would, and one before it down. */
__attribute__((noinline)) static uint64_t choices(struct world *w, uint32_t replicas, uint64_t n)
{
	uint64_t sum = 0;
	for (uint64_t i = 0; i < n; i++) {
		w->req.key = i * 0x9e3779b97f4a7c15u;
		w->req.pin[0] = (struct edge_pin){1, (uint32_t)(w->req.key >> 32) % replicas + 1};
		sum += edge_pick_for(&w->conn)->slot;
	}
	return sum;
}

static void run(int method, uint32_t replicas, uint64_t n)
{
	struct world *w = world_new(replicas);
	method_set(w, method, replicas);
	uint64_t sum = choices(w, replicas, 1);
	uint64_t at = clock_mono_ns();
	sum += choices(w, replicas, n);
	double ns = (double)(clock_mono_ns() - at) / (double)n;
	printf("%-12s %5u replicas  %7.1f ns  (%llu)\n", names[method], replicas, ns,
	        (unsigned long long)sum % 10);
	w->req.app->in_flight = 0;
	edge_free(w->edge);
	loop_free(w->loop);
	free(w->meter);
	free(w->table);
	free(w);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 3 ? strtoull(argv[3], NULL, 10) : 2000000;
	for (int m = 0; m < (int)HG_COUNT(names); m++) {
		if (argc > 1 && strcmp(argv[1], names[m]) != 0) continue;
		if (argc > 2) {
			run(m, (uint32_t)strtoul(argv[2], NULL, 10), n);
			continue;
		}
		run(m, 3, n);
		run(m, 1000, n);
	}
	return 0;
}
