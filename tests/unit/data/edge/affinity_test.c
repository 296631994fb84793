/* A client keeps its replica: by a cookie, through restarts and beside a release under trial. */
#include "trial_rig.h"

struct client {
	int fd;
	char cookie[128]; /* "hg=…", empty: none yet */
	int sets;         /* how often a cookie came */
};

/* One request; the slot of the replica that answered. */
static int visit(struct client *c)
{
	char text[512], v[256];
	snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s%s%s\r\n",
	        c->cookie[0] ? "Cookie: x=y; " : "", c->cookie, c->cookie[0] ? "\r\n" : "");
	put(c->fd, text);
	struct resp *r = hear(c->fd);
	assert_non_null(r);
	assert_int_equal(r->status, 200);
	if (field(r->head, "Set-Cookie", v, sizeof v)) {
		assert_true(strncmp(v, "hg=", 3) == 0);
		snprintf(c->cookie, sizeof c->cookie, "%.*s", (int)strcspn(v, ";"), v);
		c->sets++;
	}
	assert_non_null(field(r->head, "X-Slot", v, sizeof v));
	resp_free(r);
	return (int)strtol(v, NULL, 10);
}

static struct client client_of(struct rig *g)
{
	return (struct client){.fd = dial(g)};
}

static struct rig *sticky_rig(int replicas)
{
	struct rig *g = rig_bare(0, 0);
	for (int i = 0; i < replicas; i++)
		rig_replica(g, rep_echo);
	g->affinity = SNAP_AFFINITY_COOKIE;
	rig_publish(g);
	return g;
}

static void a_client_keeps_its_replica_and_clients_are_spread(void **state)
{
	struct rig *g = sticky_rig(4);
	unsigned seen = 0;
	(void)state;
	for (int k = 0; k < 40; k++) {
		struct client c = client_of(g);
		int slot = visit(&c);
		seen |= 1u << slot;
		for (int i = 0; i < 8; i++)
			assert_int_equal(visit(&c), slot);
		assert_int_equal(c.sets, 1);
		close(c.fd);
	}
	assert_int_equal(seen, 15);
	rig_free(g);
}

static void the_cookie_outlives_a_restart_of_its_replica(void **state)
{
	struct rig *g = sticky_rig(4);
	struct client c = client_of(g);
	(void)state;
	int slot = visit(&c), other = -1;
	/* Away, draining, gone: always the same other one. */
	static const uint32_t states[] = {
	        SNAP_EP_UNREADY, SNAP_EP_DOWN, SNAP_EP_DRAINING, SNAP_EP_FREE};
	for (size_t s = 0; s < HG_COUNT(states); s++) {
		rig_endpoint(g, slot, states[s]);
		for (int i = 0; i < 6; i++) {
			int now = visit(&c);
			assert_int_not_equal(now, slot);
			if (other >= 0) assert_int_equal(now, other);
			other = now;
		}
	}
	/* Another process with the same number. */
	struct snap_endpoint ep;
	rig_endpoint(g, slot, SNAP_EP_UP);
	assert_true(snap_table_get(g->table, (uint32_t)slot, &ep));
	ep.incarnation = 99;
	snap_table_set(g->table, (uint32_t)slot, &ep);
	for (int i = 0; i < 6; i++)
		assert_int_equal(visit(&c), slot);
	assert_int_equal(c.sets, 1);
	close(c.fd);
	rig_free(g);
}

static void an_ejected_replica_is_gone_round(void **state)
{
	struct rig *g = sticky_rig(3);
	struct client c = client_of(g);
	(void)state;
	int slot = visit(&c);
	rig_sync(g);
	g->edge->eps[slot].ejected_until_ms = clock_mono_ms() + 60000;
	for (int i = 0; i < 6; i++)
		assert_int_not_equal(visit(&c), slot);
	rig_sync(g);
	g->edge->eps[slot].ejected_until_ms = 0;
	assert_int_equal(visit(&c), slot);
	close(c.fd);
	rig_free(g);
}

static void what_was_not_signed_here_is_nothing(void **state)
{
	struct rig *g = sticky_rig(4);
	struct client c = client_of(g);
	(void)state;
	visit(&c);
	char good[128];
	snprintf(good, sizeof good, "%s", c.cookie);
	size_t n = strlen(good);
	for (size_t i = 3; i < n; i += 5) {
		snprintf(c.cookie, sizeof c.cookie, "%s", good);
		c.cookie[i] = c.cookie[i] == '0' ? '1' : '0';
		c.sets = 0;
		visit(&c);
		assert_int_equal(c.sets, 1);
	}
	static const char *const bad[] = {"hg=", "hg=zz", "hg", "hg=\x01"};
	for (size_t i = 0; i + 1 < HG_COUNT(bad); i++) {
		snprintf(c.cookie, sizeof c.cookie, "%s", bad[i]);
		c.sets = 0;
		visit(&c);
		assert_int_equal(c.sets, 1);
	}
	/* Too long by one, and behind a wrong one of the same name the right one. */
	snprintf(c.cookie, sizeof c.cookie, "%.126s0", good);
	c.sets = 0;
	visit(&c);
	assert_int_equal(c.sets, 1);
	snprintf(c.cookie, sizeof c.cookie, "hg=old; %.110s", good);
	c.sets = 0;
	visit(&c);
	assert_int_equal(c.sets, 0);
	close(c.fd);
	rig_free(g);
}

/* ingress-nginx 3717: affinity that ignores the canary, or is lost by it. */
static void beside_a_trial_each_release_has_its_own_replica_for_a_client(void **state)
{
	struct snap_trial t = trial_of(500000);
	struct rig *g = rig_bare(0, 0);
	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		rig_replica_of(g, rep_echo, i < 2 ? 1 : 2);
	for (int i = 2; i < 4; i++) {
		rig_endpoint(g, i, SNAP_EP_DOWN);
	}
	g->affinity = SNAP_AFFINITY_COOKIE;
	rig_publish(g);
	struct client c = client_of(g);
	int mine = visit(&c), theirs = -1, n_new = 0;
	assert_true(mine < 2);
	/* The trial begins: a cookie of before neither keeps a client out of it nor in it. */
	for (int i = 2; i < 4; i++)
		rig_endpoint(g, i, SNAP_EP_UP);
	trial_set(g, &t);
	for (int i = 0; i < 400; i++) {
		int slot = visit(&c);
		if (slot < 2) {
			assert_int_equal(slot, mine);
		} else {
			if (theirs >= 0) assert_int_equal(slot, theirs);
			theirs = slot;
			n_new++;
		}
	}
	assert_in_range(n_new, 140, 260); /* six standard deviations */
	assert_int_equal(c.sets, 2);
	/* With the release's own cookie the client has one arm, and its replica in it. */
	struct meter_trial_sum sum = trial_sum(g);
	assert_int_equal(sum.n_new + sum.n_old, 400);
	/* It is promoted: the client stays where it was in the new release. */
	trial_set(g, &(struct snap_trial){0});
	for (int i = 0; i < 2; i++)
		rig_endpoint(g, i, SNAP_EP_FREE);
	for (int i = 0; i < 10; i++)
		assert_int_equal(visit(&c), theirs);
	assert_int_equal(c.sets, 2);
	close(c.fd);
	rig_free(g);
}

static void by_address_there_is_no_cookie(void **state)
{
	struct rig *g = rig_bare(0, 0);
	(void)state;
	for (int i = 0; i < 4; i++)
		rig_replica(g, rep_echo);
	g->affinity = SNAP_AFFINITY_CLIENT;
	rig_publish(g);
	struct client c = client_of(g), d = client_of(g);
	int slot = visit(&c);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(visit(&c), slot);
		assert_int_equal(visit(&d), slot);
	}
	assert_int_equal(c.sets, 0);
	rig_endpoint(g, slot, SNAP_EP_DOWN);
	int other = visit(&c);
	assert_int_not_equal(other, slot);
	for (int i = 0; i < 10; i++)
		assert_int_equal(visit(&d), other);
	rig_endpoint(g, slot, SNAP_EP_UP);
	assert_int_equal(visit(&d), slot);
	close(c.fd);
	close(d.fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_client_keeps_its_replica_and_clients_are_spread),
	        cmocka_unit_test(the_cookie_outlives_a_restart_of_its_replica),
	        cmocka_unit_test(an_ejected_replica_is_gone_round),
	        cmocka_unit_test(what_was_not_signed_here_is_nothing),
	        cmocka_unit_test(beside_a_trial_each_release_has_its_own_replica_for_a_client),
	        cmocka_unit_test(by_address_there_is_no_cookie),
	};
	return cmocka_run_group_tests_name("affinity", tests, NULL, NULL);
}
