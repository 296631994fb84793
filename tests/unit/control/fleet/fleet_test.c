#include "rig.h"

#include "store/store_priv.h"

#define HELLO(n)                                               \
	"app: hello\n"                                         \
	"command: sleep $PORT\n"                               \
	"domain: hello.example.com\n"                          \
	"probes: {readiness: {http: /health, every: 100ms}}\n" \
	"replicas: " #n "\n"

static void wanted_replicas_are_spawned_probed_and_given_to_the_edge(void **state)
{
	struct rig *r = *state;
	struct fleet_replica_status first = {0};
	rig_apply(r, HELLO(2) "env: {COLOR: blue, HOME: /nowhere}\n");
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 2);
	RIG_UNTIL(r, r->readies == 1);
	assert_int_equal(r->proc_count, 2);
	struct rig_proc *p = rig_alive(r, 0);
	assert_non_null(strstr(p->argv0, "/sleep"));
	assert_non_null(strstr(p->env, "COLOR=blue\n"));
	assert_non_null(strstr(p->env, "HOME=/nowhere\n"));
	assert_non_null(strstr(p->env, "HEADGATE_APP=hello\n"));
	assert_non_null(strstr(p->env, "HEADGATE_RELEASE=1\n"));
	assert_non_null(strstr(p->env, "HEADGATE_REPLICA=1\n"));
	char port[32];
	(void)snprintf(port, sizeof port, "PORT=%s\n", strrchr(p->m.address, ':') + 1);
	assert_non_null(strstr(p->env, port));
	assert_string_not_equal(p->m.address, rig_alive(r, 1)->m.address);
	struct fleet_app_status a = rig_app(r, &first);
	assert_int_equal(a.phase, FLEET_APP_RUNNING);
	assert_int_equal(a.ready, 2);
	assert_int_equal(a.release, 1);
	assert_int_equal(first.number, 1);
	assert_int_equal(first.state, FLEET_READY);
	assert_string_equal(first.address, p->m.address);
	assert_non_null(strstr(r->kinds, "release.created "));
	size_t n;
	const struct fleet_lane *lanes = fleet_lanes(r->fleet, &n);
	assert_int_equal(n, 2);
	assert_string_equal(lanes[0].app, "hello");
	assert_string_equal(lanes[0].route, "hello.example.com/");
}

static void writable_folders_lie_in_the_folder_the_app_runs_in(void **state)
{
	struct rig *r = *state;
	char want[128];
	rig_apply(r, HELLO(1) "dir: sub\nsandbox: {writable: [data/, /srv/hello]}\n");
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	(void)snprintf(want, sizeof want, "%s/sub/data/\n/srv/hello\n", r->dir);
	assert_string_equal(rig_alive(r, 0)->writable, want);
}

static void nobody_gets_traffic_before_readiness(void **state)
{
	struct rig *r = *state;
	r->answer = 503;
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_DOWN) == 1);
	struct fleet_replica_status first = {0};
	RIG_UNTIL(r, (rig_app(r, &first), strstr(first.reason, "503") != NULL));
	assert_int_equal(rig_endpoints(r, SNAP_EP_UP), 0);
	r->answer = 200;
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	rig_app(r, &first);
	assert_string_equal(first.reason, "");
}

static void an_app_whose_replicas_are_all_unready_is_in_a_panic(void **state)
{
	struct rig *r = *state;
	rig_apply(r, "app: hello\ncommand: sleep $PORT\ndomain: hello.example.com\nreplicas: 2\n"
	             "probes: {readiness: {http: /r, every: 1s, failures: 1}}\n");
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 2);
	r->answer = 503;
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UNREADY) == 2);
	RIG_UNTIL(r, strstr(r->kinds, "app.panic ") != NULL);
	assert_null(strstr(r->kinds, "app.panic_over"));
	r->answer = 200;
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 2);
	RIG_UNTIL(r, strstr(r->kinds, "app.panic_over ") != NULL);
	assert_null(strstr(strstr(r->kinds, "app.panic ") + 1, "app.panic "));
}

static void an_open_circuit_breaker_is_told_of_once_and_shows_in_the_status(void **state)
{
	struct rig *r = *state;
	struct fleet_status *s;
	struct meter *m = r->child.meter;
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	assert_int_equal(fleet_status(r->fleet, &s), HG_OK);
	struct meter_app *ma = meter_app_take(&m->worker[0], s->apps[0].id);
	fleet_status_free(s);
	assert_non_null(ma);
	atomic_store(&ma->breaker, 1);
	atomic_store(&ma->breaker_opened, 1);
	fleet_kick(r->fleet);
	RIG_UNTIL(r, strstr(r->kinds, "app.breaker_open ") != NULL);
	assert_int_equal(fleet_status(r->fleet, &s), HG_OK);
	assert_non_null(strstr(s->apps[0].reason, "circuit breaker"));
	fleet_status_free(s);
	/* Half open, and open again: still the same. */
	atomic_store(&ma->breaker, 2);
	atomic_store(&ma->breaker_opened, 2);
	fleet_kick(r->fleet);
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	atomic_store(&ma->breaker, 0);
	fleet_kick(r->fleet);
	RIG_UNTIL(r, strstr(r->kinds, "app.breaker_closed ") != NULL);
	assert_null(strstr(strstr(r->kinds, "app.breaker_open ") + 1, "app.breaker_open "));
}

static void a_replica_that_is_killed_is_replaced_at_once_in_its_place(void **state)
{
	struct rig *r = *state;
	struct fleet_replica_status first = {0};
	rig_apply(r, HELLO(2));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 2);
	struct rig_proc *dead = rig_alive(r, 0);
	uint64_t at = clock_mono_ms();
	rig_end(dead, SIGKILL);
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 2);
	assert_true(clock_mono_ms() - at < 5000);
	RIG_UNTIL(r, dead->forgotten);
	rig_app(r, &first);
	assert_int_equal(first.number, 1);
	assert_int_equal(first.restarts, 1);
	assert_string_equal(first.exit_text, "killed by signal 9 (SIGKILL)");
	RIG_UNTIL(r, strstr(r->kinds, "replica.died "));
}

static void on_observe(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct rig *r = HG_CONTAINER(io, struct rig, observe);
	static const char answer[] =
	        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
	        "{\"seq\":8,\"app\":\"hello\",\"text\":\"no such table: users\"}\n"
	        "{\"seq\":7,\"app\":\"hello\",\"text\":\"reading configuration\"}\n";
	(void)l;
	(void)events;
	rig_accept(
	        r, r->observe_fd, answer, "GET /v1/logs?app=hello&release=1&replica=1&limit=20 ");
}

static void rig_observe(struct rig *r)
{
	struct sock_addr a;
	char text[128];
	(void)snprintf(text, sizeof text, "unix:%s/run/observe.sock", r->dir);
	assert_true(sock_addr_parse(hg_str(text), &a));
	r->observe_fd = sock_listen(&a, 8);
	assert_true(r->observe_fd >= 0);
	assert_int_equal(
	        loop_io_start(r->loop, &r->observe, r->observe_fd, EPOLLIN, on_observe), HG_OK);
}

static void observe_hears_how_long_to_keep_lines_and_again_when_it_starts_anew(void **state)
{
	struct rig *r = *state;
	rig_apply(r, HELLO(1) "logs: {keep: 3d, max_size: 100Mi}\n");
	rig_observe(r); /* later than control: it is tried again */
	RIG_UNTIL(r, r->retention[0]);
	assert_string_equal(r->retention, "app=hello&keep_ms=259200000&max_bytes=104857600\n");
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	struct wd_msg m = {
	        .type = WD_CHILD, .role = WD_ROLE_OBSERVE, .flags = 1, .pid = 1 << 22, .count = 2};
	r->retention[0] = 0;
	rig_send(r, &m);
	RIG_UNTIL(r, r->retention[0]);
	r->retention[0] = 0;
	rig_apply(r, HELLO(1) "logs: 1d\n");
	RIG_UNTIL(r, r->retention[0]);
	assert_non_null(strstr(r->retention, "keep_ms=86400000&"));
	/* Likewise where traces are sent, and that they are sent no more. */
	RIG_UNTIL(r, strcmp(r->traces, "<>") == 0);
	rig_apply(r, "edge: {traces: \"http://[::1]:4318\"}\n" HELLO(1));
	RIG_UNTIL(r, strcmp(r->traces, "<http://%5B::1%5D:4318>") == 0);
	assert_int_equal(r->fleet->edge.trace_to, 1);
	assert_int_equal(r->fleet->edge.trace_from, SNAP_TRACE_TRUSTED);
	assert_int_equal(r->fleet->edge.trace_out_ppm, 990000);
	assert_int_equal(r->fleet->edge.trace_slow_ms, 1000);
	r->traces[0] = 0;
	rig_send(r, &m);
	RIG_UNTIL(r, r->traces[0]);
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, strcmp(r->traces, "<>") == 0);
	assert_int_equal(r->fleet->edge.trace_to, 0);
	assert_int_equal(r->fleet->edge.trace_out_ppm, 0);
	loop_io_stop(r->loop, &r->observe);
}

static void a_replica_that_dies_starting_is_reported_with_status_and_last_lines(void **state)
{
	struct rig *r = *state;
	rig_observe(r);
	r->dead_at_birth = true;
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, strstr(r->kinds, "replica.start_failed "));
	r->dead_at_birth = false;
	assert_non_null(strstr(r->last_text, "\"exit\":\"exit status 3\""));
	assert_non_null(strstr(
	        r->last_text, "\"lines\":[\"reading configuration\",\"no such table: users\"]"));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	loop_io_stop(r->loop, &r->observe);
}

static void a_command_that_cannot_be_executed_backs_off_and_says_why(void **state)
{
	struct rig *r = *state;
	struct fleet_replica_status first = {0};
	r->exec_fails = true;
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, r->proc_count >= 2); /* the first restart comes at once */
	RIG_UNTIL(r, (rig_app(r, &first), first.state == FLEET_BACKOFF));
	assert_non_null(strstr(first.reason, "execution of its command failed"));
	assert_true(first.next_start_ms > 0);
	r->exec_fails = false;
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
}

static void mistakes_are_refused_before_anything_changes(void **state)
{
	static const struct {
		const char *yaml, *want;
		enum hg_rc rc;
	} row[] = {
	        {"app: a\ncommand: no-such-program-anywhere\n",
	                "could not find program \"no-such-program-anywhere\" of app \"a\"",
	                HG_E_FLEET_COMMAND},
	        {"app: a\ncommand: sleep 1\nartifact: build/nothing\n", "could not read artifact",
	                HG_E_FLEET_ARTIFACT},
	        {"app: control\ncommand: sleep 1\n", "belongs to Headgate itself",
	                HG_E_FLEET_LIMIT},
	        {"app: a\ncommand: ./README.md\n", "could not find program", HG_E_FLEET_COMMAND},
	        {"project: p\napps:\n  a: {command: sleep 1, replicas: 1000}\n"
	         "  b: {command: sleep 1, replicas: 1000}\n  c: {command: sleep 1, replicas: 49}\n",
	                "2049 replicas in all are too many: 2048 can run", HG_E_FLEET_LIMIT},
	        {"project: p\napps:\n  a: {command: sleep 1, needs: [b]}\n"
	         "  b: {command: sleep 1, needs: [a]}\n",
	                "needs itself", HG_E_FLEET_NEEDS},
	};
	struct rig *r = *state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct hg_err err = {0};
		assert_int_equal(rig_try(r, row[i].yaml, &err), row[i].rc);
		if (!strstr(err.message, row[i].want)) fail_msg("%s", err.message);
	}
	struct hg_err err = {0};
	rig_apply(r, HELLO(1));
	assert_int_equal(fleet_scale(r->fleet, HG_STR("helo"), 2, &err), HG_E_FLEET_APP);
	assert_string_equal(err.hint, "Did you mean \"hello\"?");
	assert_int_equal(fleet_scale(r->fleet, HG_STR("hello"), 1001, &err), HG_E_INVALID);
	assert_int_equal(fleet_restart(r->fleet, HG_STR("x"), &err), HG_E_FLEET_APP);
}

static void an_app_starts_after_the_one_it_needs_is_ready(void **state)
{
	struct rig *r = *state;
	r->deaf = true;
	rig_apply(r, "project: p\napps:\n"
	             "  base: {command: sleep 1, probes: {startup: {tcp: true, every: 1s}}}\n"
	             "  top: {command: sleep 1, needs: [base]}\n");
	RIG_UNTIL(r, r->proc_count == 1);
	struct fleet_app_status top = rig_app(r, NULL);
	assert_string_equal(top.name, "top");
	assert_int_equal(top.phase, FLEET_APP_WAITING);
	assert_string_equal(top.reason, "waits for app \"base\" to be ready");
	assert_string_equal(r->proc[0].m.who.app, "base");
	struct rig_proc *base = rig_alive(r, 0);
	struct sock_addr a;
	assert_true(sock_addr_parse(hg_str(base->m.address), &a));
	base->fd = sock_listen(&a, 8);
	assert_true(base->fd >= 0);
	assert_int_equal(loop_io_start(r->loop, &base->io, base->fd, EPOLLIN, rig_answer), HG_OK);
	RIG_UNTIL(r, r->proc_count == 2);
	assert_string_equal(r->proc[1].m.who.app, "top");
}

static void scaling_survives_and_the_file_wins_when_it_changes(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	assert_int_equal(fleet_scale(r->fleet, HG_STR("hello"), 3, &err), HG_OK);
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 3);
	rig_apply(r, HELLO(1));
	assert_int_equal(rig_app(r, NULL).desired, 3);
	rig_apply(r, HELLO(2));
	RIG_UNTIL(r, rig_living(r) == 2);
	assert_int_equal(rig_app(r, NULL).desired, 2);
	assert_int_equal(rig_app(r, NULL).release, 1);
	assert_int_equal(r->terms, 1);
}

static void a_changed_environment_is_a_new_release_replaced_step_by_step(void **state)
{
	struct rig *r = *state;
	rig_apply(r, HELLO(2) "env: {COLOR: blue}\n");
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 2);
	rig_apply(r, HELLO(2) "env: {COLOR: green}\n");
	uint64_t end = clock_mono_ms() + RIG_WAIT_MS;
	for (;;) {
		assert_true(rig_endpoints(r, SNAP_EP_UP) >= 2);
		assert_true(rig_living(r) <= 4);
		struct fleet_app_status a = rig_app(r, NULL);
		if (a.phase == FLEET_APP_RUNNING && rig_living(r) == 2) break;
		assert_true(clock_mono_ms() < end);
		assert_int_equal(loop_turn(r->loop, 50), HG_OK);
	}
	assert_int_equal(rig_app(r, NULL).release, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_non_null(strstr(rig_alive(r, i)->env, "COLOR=green\n"));
		assert_int_equal(rig_alive(r, i)->m.who.release, 2);
	}
}

static void a_restart_by_hand_replaces_all_with_the_same_release(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	rig_apply(r, HELLO(2));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 2);
	assert_int_equal(fleet_restart(r->fleet, HG_STR("hello"), &err), HG_OK);
	RIG_UNTIL(r, r->proc_count == 4 && rig_living(r) == 2 && !r->proc[0].alive);
	RIG_UNTIL(r, rig_app(r, NULL).phase == FLEET_APP_RUNNING);
	assert_int_equal(rig_app(r, NULL).release, 1);
	assert_false(r->proc[1].alive);
}

static void after_kill_9_of_control_nothing_is_started_twice_nor_leaves_the_balancer(void **state)
{
	struct rig *r = *state;
	rig_apply(r, HELLO(3));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 3);
	rig_control_dies(r);
	rig_end(rig_alive(r, 1), 1 << 8); /* meanwhile */
	rig_control(r, 2);
	rig_apply(r, HELLO(3));
	uint64_t end = clock_mono_ms() + RIG_WAIT_MS;
	while (rig_app(r, NULL).phase != FLEET_APP_RUNNING || rig_endpoints(r, SNAP_EP_UP) < 3) {
		assert_true(rig_endpoints(r, SNAP_EP_UP) >= 2);
		assert_true(clock_mono_ms() < end);
		assert_int_equal(loop_turn(r->loop, 50), HG_OK);
	}
	assert_int_equal(r->proc_count, 4);
	assert_int_equal(rig_living(r), 3);
	RIG_UNTIL(r, r->proc[1].forgotten);
	assert_int_equal(r->readies, 1);
	RIG_UNTIL(r, r->kills + r->terms == 0 && rig_app(r, NULL).release == 1);
}

static void a_spawn_that_was_recorded_and_never_sent_is_made_once(void **state)
{
	struct rig *r = *state;
	r->mute = true;
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, rig_app(r, NULL).starting == 1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_turn(r->loop, 5), HG_OK);
	rig_control_dies(r);
	r->mute = false;
	rig_control(r, 2);
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	assert_int_equal(r->proc_count, 1);
	assert_int_equal(r->proc[0].m.who.replica, 1);
}

static void a_replica_nobody_recorded_is_taken_over_and_a_surplus_one_is_ended(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	/* Its row is lost, as after a full disk; and another process claims the same place. */
	assert_int_equal(store_replica_remove(r->store, r->proc[0].m.id, &err), HG_OK);
	rig_control_dies(r);
	struct rig_proc *twin = &r->proc[r->proc_count++];
	*twin = (struct rig_proc){.rig = r, .m = r->proc[0].m, .alive = true, .fd = -1};
	twin->m.id += 500;
	rig_control(r, 2);
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, !twin->alive && twin->forgotten);
	assert_true(r->proc[0].alive);
	assert_int_equal(r->proc_count, 2);
	assert_int_equal(rig_endpoints(r, SNAP_EP_UP), 1);
}

static void a_probe_command_runs_as_a_one_shot(void **state)
{
	struct rig *r = *state;
	rig_apply(r, "app: hello\ncommand: sleep 1\n"
	             "probes: {readiness: {command: 'true $PORT', every: 1s}}\n");
	RIG_UNTIL(r, rig_app(r, NULL).ready == 1);
	assert_int_equal(r->proc_count, 2);
	assert_int_equal(r->proc[1].m.kind, WD_KIND_ONESHOT);
	assert_int_equal(r->proc[1].m.deadline_ms, 1000);
	assert_non_null(strstr(r->proc[1].argv0, "/true"));
	RIG_UNTIL(r, r->proc[1].forgotten);
}

static void a_full_disk_keeps_nobody_from_being_restarted(void **state)
{
	struct rig *r = *state;
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	/* The store refuses every write from here on, as on a full disk. */
	struct hg_err err = {0};
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=1", &err), HG_OK);
	rig_end(rig_alive(r, 0), SIGKILL);
	RIG_UNTIL(r, r->proc_count == 2 && rig_endpoints(r, SNAP_EP_UP) == 1);
	assert_int_equal(fleet_scale(r->fleet, HG_STR("hello"), 2, &err), HG_E_DB_QUERY);
	/* Control dies while nothing could be written: the warden's list tells it all. */
	rig_control_dies(r);
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=0", &err), HG_OK);
	rig_control(r, 2);
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, rig_app(r, NULL).phase == FLEET_APP_RUNNING);
	assert_int_equal(r->proc_count, 2);
	assert_int_equal(rig_living(r), 1);
}

#define SHOP(routes)                 \
	"apps:\n"                    \
	"  shop:\n"                  \
	"    command: sleep $PORT\n" \
	"    routes:\n"              \
	"      - host: a.example.com\n" routes

/* Which lane counts the route when no replica answers. */
static uint32_t lane_of(struct rig *r, const char *route)
{
	size_t n;
	const struct fleet_lane *l = fleet_lanes(r->fleet, &n);
	for (size_t i = 0; i < n; i++)
		if (strcmp(l[i].route, route) == 0 && l[i].release == 0) return l[i].lane;
	fail_msg("no lane counts %s", route);
	return 0;
}

static uint64_t lane_rows(struct rig *r)
{
	struct db_stmt *q;
	bool row;
	assert_int_equal(db_prepare(r->store->db, "SELECT count(*) FROM lane", &q, NULL), HG_OK);
	assert_int_equal(db_step(q, &row, NULL), HG_OK);
	uint64_t n = (uint64_t)db_column_i64(q, 0);
	db_stmt_free(q);
	return n;
}

static void lanes_that_a_full_disk_kept_out_are_written_when_there_is_room(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	rig_apply(r, SHOP());
	RIG_UNTIL(r, lane_rows(r) == 2);
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=1", &err), HG_OK);
	rig_apply(r, SHOP("      - host: b.example.com\n"));
	uint32_t b = lane_of(r, "b.example.com/");
	assert_int_equal(r->fleet->lanes.unsaved, 2);
	/* More of them, while the first ones wait. */
	rig_apply(r, SHOP("      - host: c.example.com\n      - host: b.example.com\n"));
	uint32_t c = lane_of(r, "c.example.com/");
	assert_int_equal(r->fleet->lanes.unsaved, 4);
	assert_int_equal(lane_rows(r), 2);
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=0", &err), HG_OK);
	RIG_UNTIL(r, lane_rows(r) == 6);
	assert_int_equal(r->fleet->lanes.unsaved, 0);
	/* The meter lives on: whoever comes next must not give their lanes to others. */
	rig_control_dies(r);
	rig_control(r, 2);
	rig_apply(r, SHOP("      - host: d.example.com\n      - host: c.example.com\n"
	                  "      - host: b.example.com\n"));
	assert_int_equal(lane_of(r, "b.example.com/"), b);
	assert_int_equal(lane_of(r, "c.example.com/"), c);
}

static void events_wait_for_a_store_that_cannot_write(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, strstr(r->kinds, "replica.ready "));
	r->kinds[0] = 0;
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=1", &err), HG_OK);
	rig_end(rig_alive(r, 0), SIGKILL);
	RIG_UNTIL(r, r->proc_count == 2 && rig_endpoints(r, SNAP_EP_UP) == 1);
	RIG_UNTIL(r, r->fleet->reporter_count == 0);
	assert_null(strstr(r->kinds, "replica.died "));
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=0", &err), HG_OK);
	r->fleet->retry = true; /* what the clock does every five seconds */
	fleet_kick(r->fleet);
	RIG_UNTIL(r, strstr(r->kinds, "replica.died "));
	RIG_UNTIL(r, strstr(r->kinds, "replica.ready "));
	/* The row is there as well: the next control needs no list to know the process. */
	assert_true(fleet_replica_by_id(r->fleet, r->proc[1].m.id)->row);
}

static void without_a_warden_changes_are_refused_and_the_status_says_so(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	struct fleet_status *s;
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	loop_io_stop(r->loop, &r->io);
	assert_int_equal(shutdown(r->fds[1], SHUT_RDWR), 0);
	RIG_UNTIL(r, strstr(r->kinds, "warden.lost "));
	assert_int_equal(fleet_scale(r->fleet, HG_STR("hello"), 2, &err), HG_E_FLEET_WARDEN);
	assert_int_equal(fleet_restart(r->fleet, HG_STR("hello"), &err), HG_E_FLEET_WARDEN);
	assert_int_equal(fleet_status(r->fleet, &s), HG_OK);
	assert_true(s->warden_lost);
	assert_int_equal(s->apps[0].desired, 1);
	fleet_status_free(s);
}

static void shutdown_stops_all_and_tells_the_warden(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	rig_apply(r, HELLO(2));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 2);
	struct wd_msg m = {.type = WD_SHUTDOWN, .deadline_ms = 10000};
	rig_send(r, &m);
	RIG_UNTIL(r, r->stopped == 1);
	assert_true(r->on_stopped);
	assert_int_equal(rig_living(r), 0);
	assert_int_equal(r->terms, 2);
	assert_int_equal(rig_endpoints(r, SNAP_EP_FREE), SNAP_ENDPOINTS);
	assert_int_equal(fleet_scale(r->fleet, HG_STR("hello"), 1, &err), HG_E_FLEET_STOPPING);
}

static void shutdown_goes_against_the_order_of_needs(void **state)
{
	struct rig *r = *state;
	rig_apply(r, "project: p\napps:\n"
	             "  a-base: {command: sleep 1}\n"
	             "  b-mid: {command: sleep 1, needs: [a-base], replicas: 2}\n"
	             "  c-top: {command: sleep 1, needs: [b-mid]}\n"
	             "  d-alone: {command: sleep 1}\n");
	RIG_UNTIL(r, rig_living(r) == 5);
	RIG_UNTIL(r, rig_app(r, NULL).ready == 1);
	struct wd_msg m = {.type = WD_SHUTDOWN, .deadline_ms = 120000};
	rig_send(r, &m);
	RIG_UNTIL(r, r->stopped == 1);
	assert_int_equal(r->kills, 0);
	const char *was = "";
	for (uint32_t i = 0; i < r->term_count; i++) {
		if (strcmp(r->term_app[i], "d-alone") == 0) continue;
		assert_true(i == 0 || !was[0] || strcmp(r->term_app[i], was) <= 0);
		was = r->term_app[i];
	}
	assert_int_equal(r->term_count, 5);
	assert_string_equal(was, "a-base");
}

static void an_app_that_left_the_file_is_stopped_and_forgotten(void **state)
{
	struct rig *r = *state;
	struct fleet_status *s;
	rig_apply(r, HELLO(1));
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	rig_apply(r, "app: other\ncommand: sleep 1\n");
	RIG_UNTIL(r, rig_living(r) == 1 && !r->proc[0].alive);
	RIG_UNTIL(r, r->proc[0].forgotten);
	assert_int_equal(fleet_status(r->fleet, &s), HG_OK);
	assert_int_equal(s->app_count, 1);
	assert_string_equal(s->apps[0].name, "other");
	fleet_status_free(s);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
	        CASE(wanted_replicas_are_spawned_probed_and_given_to_the_edge),
	        CASE(writable_folders_lie_in_the_folder_the_app_runs_in),
	        CASE(nobody_gets_traffic_before_readiness),
	        CASE(an_app_whose_replicas_are_all_unready_is_in_a_panic),
	        CASE(an_open_circuit_breaker_is_told_of_once_and_shows_in_the_status),
	        CASE(a_replica_that_is_killed_is_replaced_at_once_in_its_place),
	        CASE(a_replica_that_dies_starting_is_reported_with_status_and_last_lines),
	        CASE(a_command_that_cannot_be_executed_backs_off_and_says_why),
	        CASE(mistakes_are_refused_before_anything_changes),
	        CASE(an_app_starts_after_the_one_it_needs_is_ready),
	        CASE(scaling_survives_and_the_file_wins_when_it_changes),
	        CASE(a_changed_environment_is_a_new_release_replaced_step_by_step),
	        CASE(a_restart_by_hand_replaces_all_with_the_same_release),
	        CASE(after_kill_9_of_control_nothing_is_started_twice_nor_leaves_the_balancer),
	        CASE(a_spawn_that_was_recorded_and_never_sent_is_made_once),
	        CASE(a_replica_nobody_recorded_is_taken_over_and_a_surplus_one_is_ended),
	        CASE(a_probe_command_runs_as_a_one_shot),
	        CASE(a_full_disk_keeps_nobody_from_being_restarted),
	        CASE(observe_hears_how_long_to_keep_lines_and_again_when_it_starts_anew),
	        CASE(lanes_that_a_full_disk_kept_out_are_written_when_there_is_room),
	        CASE(events_wait_for_a_store_that_cannot_write),
	        CASE(without_a_warden_changes_are_refused_and_the_status_says_so),
	        CASE(shutdown_stops_all_and_tells_the_warden),
	        CASE(shutdown_goes_against_the_order_of_needs),
	        CASE(an_app_that_left_the_file_is_stopped_and_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
