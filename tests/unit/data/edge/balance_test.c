/*
 * Choosing a replica: by turns, by a key, less for new ones. The arithmetic is tested in the edge's
 * own thread with replicas that are only rows of the table, the rest as dialogues.
 */
#include "trial_rig.h"

#define MANY 1000
#define KEYS 20000

/* A request that is only as far as its choice. */
struct fake {
	struct edge_conn conn;
	struct edge_req req;
	struct snap_app limits;
	struct snap_route route;
};

static struct fake *fake_new(struct rig *g, struct snap_balance b)
{
	struct fake *f = calloc(1, sizeof *f);
	assert_non_null(f);
	f->limits = g->app;
	f->limits.balance = b;
	f->conn.edge = g->edge;
	f->conn.req = &f->req;
	f->req.limits = &f->limits;
	f->req.route = &f->route;
	f->req.app = edge_app_of(g->edge, 7);
	f->req.chosen = true;
	assert_non_null(f->req.app);
	return f;
}

static void row(struct rig *g, uint32_t slot, uint32_t replica, uint32_t state, uint32_t weight)
{
	struct snap_endpoint ep = {.state = state,
	        .app = 7,
	        .release = 1,
	        .replica = replica,
	        .incarnation = ++g->rep[0].slot,
	        .weight = weight,
	        .family = AF_INET,
	        .port = 1,
	        .ip4 = INADDR_LOOPBACK};
	snap_table_set(g->table, slot, &ep);
}

static struct rig *rows(uint32_t n)
{
	struct rig *g = rig_bare(0, 0);
	rig_publish(g);
	for (uint32_t i = 0; i < n; i++)
		row(g, i, i + 1, SNAP_EP_UP, 1000000);
	return g;
}

static uint64_t key_of(uint32_t i)
{
	uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	return x ^ x >> 27;
}

/* The replica of every key. */
static void map(struct rig *g, struct fake *f, uint32_t *to)
{
	edge_table_refresh(g->edge, false);
	f->req.keyed = true;
	for (uint32_t i = 0; i < KEYS; i++) {
		f->req.key = key_of(i);
		struct edge_ep *ep = edge_choose(&f->conn);
		assert_non_null(ep);
		to[i] = ep->replica;
	}
}

static const struct snap_balance by_hash = {.method = SNAP_HASH};
static uint32_t before[KEYS], after[KEYS], share[MANY + 2];

static void spread_call(struct rig *g)
{
	struct fake *f = fake_new(g, by_hash);
	map(g, f, before);
	map(g, f, after);
	assert_memory_equal(before, after, sizeof before);
	memset(share, 0, sizeof share);
	for (uint32_t i = 0; i < KEYS; i++)
		share[before[i]]++;
	/* 64 points each: a standard deviation of 1/8 of 2000. */
	for (uint32_t k = 1; k <= 10; k++)
		assert_in_range(share[k], 1200, 2900);
	free(f);
}

static void a_key_has_one_replica_and_every_replica_its_share(void **state)
{
	struct rig *g = rows(10);
	(void)state;
	rig_do(g, spread_call);
	rig_free(g);
}

static void leave_call(struct rig *g)
{
	struct fake *f = fake_new(g, by_hash);
	uint32_t moved = 0, of_seven = 0;
	map(g, f, before);
	row(g, 6, 7, SNAP_EP_DOWN, 1000000);
	map(g, f, after);
	for (uint32_t i = 0; i < KEYS; i++) {
		of_seven += before[i] == 7;
		moved += before[i] != after[i];
		if (before[i] != 7) assert_int_equal(after[i], before[i]);
		assert_int_not_equal(after[i], 7);
	}
	assert_int_equal(moved, of_seven);
	assert_true(of_seven > 0);
	/* A new process in its place, in another slot of the table: as before. */
	row(g, 6, 0, SNAP_EP_FREE, 0);
	row(g, 77 + MANY, 7, SNAP_EP_UP, 1000000);
	map(g, f, after);
	assert_memory_equal(before, after, sizeof before);
	/* One more takes from all and gives to none. */
	row(g, 78 + MANY, MANY + 1, SNAP_EP_UP, 1000000);
	map(g, f, after);
	moved = 0;
	for (uint32_t i = 0; i < KEYS; i++) {
		moved += before[i] != after[i];
		if (before[i] != after[i]) assert_int_equal(after[i], MANY + 1);
	}
	assert_in_range(moved, 1, KEYS / MANY * 3);
	free(f);
}

static void when_a_replica_leaves_only_its_keys_move(void **state)
{
	struct rig *g = rows(MANY);
	(void)state;
	rig_do(g, leave_call);
	rig_free(g);
}

static void bound_call(struct rig *g)
{
	struct fake *f = fake_new(g, by_hash);
	struct edge *e = g->edge;
	edge_table_refresh(e, false);
	f->req.keyed = true;
	f->req.key = key_of(5);
	uint32_t first = edge_choose(&f->conn)->replica, got[5] = {0};
	/* A single key that everybody wants, and nothing ever ends. */
	for (uint32_t i = 1; i <= 400; i++) {
		struct edge_ep *ep = edge_choose(&f->conn);
		got[ep->replica]++;
		meter_gauge_add(&e->count->in_flight[ep->slot], 1);
		f->req.app->in_flight++;
		for (uint32_t k = 1; k <= 4; k++)
			assert_true(got[k] <= (5 * i + 15) / 16);
	}
	/* Its own replica has all that it may have. */
	assert_int_equal(got[first], 125);
	for (uint32_t i = 0; i < 4; i++)
		atomic_store(&e->count->in_flight[i], 0);
	f->req.app->in_flight = 0;
	assert_int_equal(edge_choose(&f->conn)->replica, first);
	free(f);
}

static void nobody_has_more_than_five_quarters_of_a_share(void **state)
{
	struct rig *g = rows(4);
	(void)state;
	rig_do(g, bound_call);
	rig_free(g);
}

static void tried_call(struct rig *g)
{
	struct fake *f = fake_new(g, by_hash);
	uint32_t seen = 0;
	edge_table_refresh(g->edge, false);
	f->req.keyed = true;
	f->req.key = key_of(9);
	for (int i = 0; i < 4; i++) {
		struct edge_ep *ep = edge_choose(&f->conn);
		assert_false(seen & 1u << ep->replica);
		seen |= 1u << ep->replica;
		f->req.tried[f->req.tried_n++] = ep->slot;
	}
	assert_null(edge_choose(&f->conn));
	free(f);
}

static void a_further_attempt_goes_to_the_next_on_the_ring(void **state)
{
	struct rig *g = rows(4);
	(void)state;
	rig_do(g, tried_call);
	rig_free(g);
}

static void weighted_call(struct rig *g)
{
	struct fake *f = fake_new(g, by_hash);
	uint32_t n[3] = {0};
	map(g, f, before);
	for (uint32_t i = 0; i < KEYS; i++)
		n[before[i]]++;
	assert_in_range(n[1], KEYS / 8, KEYS * 3 / 8);
	f->limits.balance.method = SNAP_ROUND_ROBIN;
	f->req.keyed = false;
	memset(n, 0, sizeof n);
	for (uint32_t i = 0; i < 4000; i++)
		n[edge_choose(&f->conn)->replica]++;
	assert_in_range(n[1], 990, 1010);
	free(f);
}

static void weights_hold_for_turns_and_keys(void **state)
{
	struct rig *g = rows(0);
	(void)state;
	row(g, 0, 1, SNAP_EP_UP, 100000);
	row(g, 1, 2, SNAP_EP_UP, 300000);
	rig_do(g, weighted_call);
	rig_free(g);
}

/* ---- slow start ---- */

/* Of 30,000 choices, those of the last of four replicas. */
static uint32_t last_of_four(struct rig *g, struct fake *f)
{
	uint32_t n = 0;
	edge_table_refresh(g->edge, true);
	for (uint32_t i = 0; i < 30000; i++) {
		f->req.key = key_of(i);
		n += edge_choose(&f->conn)->replica == 4;
	}
	return n;
}

static void ages(struct rig *g, uint64_t old_ms, uint64_t new_ms)
{
	uint64_t now = edge_now_ms(g->edge);
	edge_table_refresh(g->edge, true);
	for (uint32_t i = 0; i < 4; i++)
		g->edge->eps[i].warm_ms = now - (i == 3 ? new_ms : old_ms);
}

static void slow_call(struct rig *g)
{
	static const enum snap_method method[] = {SNAP_LEAST, SNAP_ROUND_ROBIN, SNAP_HASH};
	for (size_t m = 0; m < HG_COUNT(method); m++) {
		struct fake *f = fake_new(
		        g, (struct snap_balance){.method = method[m], .slow_start_ms = 30000});
		f->req.keyed = method[m] == SNAP_HASH;
		ages(g, 3600000, 15000);
		/* Half of what each of the others has: one in seven. */
		assert_in_range(last_of_four(g, f), 3000, 5700);
		ages(g, 3600000, 0);
		uint32_t least = last_of_four(g, f);
		if (method[m] == SNAP_HASH) /* a key moves when it may */
			assert_in_range(least, 0, 900);
		else /* a tenth: one in 31 */
			assert_in_range(least, 600, 1500);
		ages(g, 3600000, 30000);
		assert_in_range(last_of_four(g, f), 5500, 9500);
		/* All are equally new. */
		ages(g, 2000, 2000);
		assert_in_range(last_of_four(g, f), 5500, 9500);
		free(f);
	}
}

static void a_new_replica_gets_a_growing_share(void **state)
{
	struct rig *g = rows(4);
	(void)state;
	rig_do(g, slow_call);
	rig_free(g);
}

static void a_replica_that_comes_back_is_new(void **state)
{
	struct rig *g = rig_new(rep_echo, 2);
	(void)state;
	g->app.balance = (struct snap_balance){.slow_start_ms = 60000};
	rig_publish(g);
	usleep(300000);
	rig_endpoint(g, 1, SNAP_EP_UNREADY);
	int fd = dial(g);
	talk(fd, GET, 200, "=");
	g->edge->eps[0].warm_ms = 1; /* for hours */
	rig_endpoint(g, 1, SNAP_EP_UP);
	for (int i = 0; i < 400; i++)
		talk(fd, GET, 200, "=");
	/* A tenth of the other's share: 36 of 400. */
	assert_in_range(g->rep[1].requests, 10, 80);
	close(fd);
	rig_free(g);
}

/* ---- turns ---- */

static void turns_are_equal_to_the_request(void **state)
{
	struct rig *g = rig_new(rep_echo, 4);
	(void)state;
	g->app.balance = (struct snap_balance){.method = SNAP_ROUND_ROBIN};
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 400; i++)
		talk(fd, GET, 200, "=");
	for (int i = 0; i < 4; i++)
		assert_int_equal(g->rep[i].requests, 100);
	close(fd);
	rig_free(g);
}

/* ---- keys as requests have them ---- */

/* Requests of the busiest replica. */
static int most(struct rig *g)
{
	int n = 0;
	for (int i = 0; i < g->replicas; i++) {
		n = HG_MAX(n, (int)g->rep[i].requests);
		g->rep[i].requests = 0;
	}
	return n;
}

static void say(int fd, const char *path, const char *fields)
{
	char text[512];
	snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, fields);
	talk(fd, text, 200, "=");
}

static void the_key_is_what_was_asked_for(void **state)
{
	struct rig *g = rig_new(rep_echo, 4);
	int fd = dial(g);
	char text[64];
	(void)state;
	static const struct {
		enum snap_key key;
		const char *name;
	} cases[] = {{SNAP_KEY_CLIENT, ""}, {SNAP_KEY_PATH, ""}, {SNAP_KEY_HEADER, "x-tenant"},
	        {SNAP_KEY_COOKIE, "who"}};
	for (size_t k = 0; k < HG_COUNT(cases); k++) {
		g->app.balance = (struct snap_balance){.method = SNAP_HASH, .key = cases[k].key};
		snprintf(g->app.balance.key_name, 60, "%s", cases[k].name);
		rig_publish(g);
		most(g);
		for (int i = 0; i < 40; i++)
			say(fd, "/same?a", "X-Tenant: 7\r\nCookie: a=b; who=me\r\n");
		assert_int_equal(most(g), 40);
		for (int i = 0; i < 80; i++) {
			bool path = cases[k].key == SNAP_KEY_PATH;
			snprintf(text, sizeof text, "X-Tenant: %d\r\nCookie: who=%d\r\n", i, i);
			char at[16];
			snprintf(at, sizeof at, "/%d", i);
			say(fd, path ? at : "/", text);
		}
		int busy = most(g);
		if (cases[k].key == SNAP_KEY_CLIENT)
			assert_int_equal(busy, 80);
		else
			assert_in_range(busy, 20, 60);
		/* Without the key: anywhere. */
		if (cases[k].key < SNAP_KEY_HEADER) continue;
		for (int i = 0; i < 80; i++)
			say(fd, "/", "");
		assert_in_range(most(g), 20, 50);
	}
	close(fd);
	rig_free(g);
}

/* The arm is drawn as ever, and each arm has its own turns. */
static void the_split_of_a_trial_stays_a_matter_of_chance(void **state)
{
	static const enum snap_method method[] = {SNAP_ROUND_ROBIN, SNAP_HASH, SNAP_LEAST};
	(void)state;
	for (size_t m = 0; m < HG_COUNT(method); m++) {
		struct snap_trial t = trial_of(250000);
		struct rig *g = rig_bare(0, 0);
		for (uint32_t i = 0; i < 4; i++)
			rig_replica_of(g, rep_echo, i < 2 ? 1 : 2);
		trial_set(g, &t);
		g->affinity = SNAP_AFFINITY_CLIENT;
		g->app.balance = (struct snap_balance){.method = method[m], .slow_start_ms = 5000};
		if (method[m] == SNAP_ROUND_ROBIN) g->affinity = SNAP_AFFINITY_NONE;
		rig_publish(g);
		int fd = dial(g);
		for (int i = 0; i < 1000; i++)
			talk(fd, GET, 200, "=");
		int n_new = g->rep[2].requests + g->rep[3].requests;
		/* Six standard deviations are 82. */
		assert_in_range(n_new, 168, 332);
		struct meter_trial_sum sum = trial_sum(g);
		assert_int_equal(sum.n_new, n_new);
		assert_int_equal(sum.n_old, 1000 - n_new);
		if (method[m] == SNAP_ROUND_ROBIN) {
			int apart = g->rep[2].requests - g->rep[3].requests;
			assert_in_range(apart + 1, 0, 2);
		} else { /* one replica of each arm */
			assert_true(g->rep[2].requests == 0 || g->rep[3].requests == 0);
			assert_true(g->rep[0].requests == 0 || g->rep[1].requests == 0);
		}
		close(fd);
		rig_free(g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_key_has_one_replica_and_every_replica_its_share),
	        cmocka_unit_test(when_a_replica_leaves_only_its_keys_move),
	        cmocka_unit_test(nobody_has_more_than_five_quarters_of_a_share),
	        cmocka_unit_test(a_further_attempt_goes_to_the_next_on_the_ring),
	        cmocka_unit_test(weights_hold_for_turns_and_keys),
	        cmocka_unit_test(a_new_replica_gets_a_growing_share),
	        cmocka_unit_test(a_replica_that_comes_back_is_new),
	        cmocka_unit_test(turns_are_equal_to_the_request),
	        cmocka_unit_test(the_key_is_what_was_asked_for),
	        cmocka_unit_test(the_split_of_a_trial_stays_a_matter_of_chance),
	};
	return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
