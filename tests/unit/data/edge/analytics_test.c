/* Who asks most, and for what. */
#include "rig.h"

static struct rig *counted(uint32_t flags)
{
	struct rig *g = rig_bare(0, 0);
	rig_replica(g, rep_echo);
	g->app.analytics = flags;
	rig_publish(g);
	return g;
}

/* The rows of the first route, found by name; NULL: there is none. */
static const struct meter_top_row *row_of(
        struct rig *g, enum meter_top_kind kind, const char *name, size_t *ret_n)
{
	static struct meter_top_row found;
	struct meter_top_row *rows;
	const uint32_t lanes[] = {0};
	bool there = false;
	rig_sync(g);
	assert_int_equal(meter_top_rows(g->meter, kind, lanes, 1, &rows, ret_n), HG_OK);
	for (size_t i = 0; i < *ret_n; i++) {
		if (i) assert_true(rows[i - 1].count >= rows[i].count);
		if (strcmp(rows[i].name, name) != 0) continue;
		found = rows[i];
		there = true;
	}
	free(rows);
	return there ? &found : NULL;
}

static void consumers_are_counted_by_network_and_paths_by_shape(void **state)
{
	struct rig *g = counted(SNAP_ANALYTICS_CONSUMERS | SNAP_ANALYTICS_PATHS);
	int fd = dial(g);
	size_t n;
	(void)state;
	for (int i = 0; i < 5; i++) {
		char text[128];
		snprintf(text, sizeof text, "GET /things/%d/parts?x=%d HTTP/1.1\r\nHost: a\r\n\r\n",
		        i, i);
		talk(fd, text, 200, NULL);
	}
	talk(fd, "GET /t/9f8e7d6c-1234-5678-9abc-def012345678 HTTP/1.1\r\nHost: a\r\n\r\n", 200,
	        NULL);
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
	const struct meter_top_row *r = row_of(g, METER_TOP_CONSUMERS, "127.0.0.0/24", &n);
	assert_non_null(r);
	assert_int_equal(n, 1);
	assert_int_equal(r->count, 7);
	assert_int_equal(r->over, 0);
	assert_int_equal(r->code[2], 7);
	assert_true(r->duration_ns > 0 && r->last_ms > 1700000000000u && r->bytes_out == 7);
	r = row_of(g, METER_TOP_PATHS, "/things/:id/parts", &n);
	assert_non_null(r);
	assert_int_equal(r->count, 5);
	assert_int_equal(n, 3);
	assert_non_null(row_of(g, METER_TOP_PATHS, "/t/:id", &n));
	assert_non_null(row_of(g, METER_TOP_PATHS, "/", &n));
	close(fd);
	rig_free(g);
}

static void whole_addresses_only_by_choice_and_nobody_unless_asked(void **state)
{
	struct rig *g = counted(SNAP_ANALYTICS_CONSUMERS | SNAP_ANALYTICS_ADDRESS);
	int fd = dial(g);
	size_t n;
	(void)state;
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
	assert_non_null(row_of(g, METER_TOP_CONSUMERS, "127.0.0.1", &n));
	assert_null(row_of(g, METER_TOP_PATHS, "/", &n));
	g->app.analytics = 0;
	rig_publish(g);
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
	assert_int_equal(row_of(g, METER_TOP_CONSUMERS, "127.0.0.1", &n)->count, 1);
	close(fd);
	rig_free(g);
}

static void more_names_than_places_stay_within_the_bounds(void **state)
{
	struct rig *g = counted(SNAP_ANALYTICS_PATHS);
	int fd = dial(g);
	size_t n;
	(void)state;
	for (int i = 0; i < METER_TOP * 2; i++) {
		char text[128];
		snprintf(text, sizeof text, "GET /x%dy HTTP/1.1\r\nHost: a\r\n\r\n", i);
		talk(fd, text, 200, NULL);
		if (i % 8 == 0) talk(fd, "GET /busy HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
	}
	const struct meter_top_row *r = row_of(g, METER_TOP_PATHS, "/busy", &n);
	assert_non_null(r);
	assert_int_equal(n, METER_TOP);
	assert_true(r->count >= METER_TOP / 4 && r->count - r->over <= METER_TOP / 4);
	close(fd);
	rig_free(g);
}

static void a_new_worker_goes_on_where_the_dead_one_stopped(void **state)
{
	struct rig *g = counted(SNAP_ANALYTICS_CONSUMERS | SNAP_ANALYTICS_PATHS);
	int fd = dial(g);
	size_t n;
	(void)state;
	talk(fd, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
	talk(fd, "GET /b HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
	close(fd);
	rig_sync(g);
	/* The same slab, another process. */
	struct rig *next = rig_worker(0, 0, g, 1);
	next->app.analytics = g->app.analytics;
	rig_replica(next, rep_echo);
	rig_publish(next);
	fd = dial(next);
	talk(fd, "GET /b HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
	rig_sync(next);
	const struct meter_top_row *r = row_of(next, METER_TOP_PATHS, "/b", &n);
	assert_non_null(r);
	assert_int_equal(r->count, 2);
	assert_int_equal(n, 2);
	assert_int_equal(row_of(next, METER_TOP_PATHS, "/a", &n)->count, 1);
	close(fd);
	rig_free(next);
	rig_free(g);
}

static void rep_nothing(struct replica *rep, int fd)
{
	while (rep_head(rep, fd))
		put(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

static void what_is_not_there_counts_as_one_path(void **state)
{
	struct rig *g = rig_bare(0, 0);
	size_t n;
	(void)state;
	rig_replica(g, rep_nothing);
	g->app.analytics = SNAP_ANALYTICS_PATHS;
	rig_publish(g);
	int fd = dial(g);
	talk(fd, "GET /.env HTTP/1.1\r\nHost: a\r\n\r\n", 404, NULL);
	talk(fd, "GET /wp-login.php HTTP/1.1\r\nHost: a\r\n\r\n", 404, NULL);
	const struct meter_top_row *r = row_of(g, METER_TOP_PATHS, "(not found)", &n);
	assert_non_null(r);
	assert_int_equal(n, 1);
	assert_int_equal(r->code[4], 2);
	close(fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(consumers_are_counted_by_network_and_paths_by_shape),
	        cmocka_unit_test(whole_addresses_only_by_choice_and_nobody_unless_asked),
	        cmocka_unit_test(what_is_not_there_counts_as_one_path),
	        cmocka_unit_test(more_names_than_places_stay_within_the_bounds),
	        cmocka_unit_test(a_new_worker_goes_on_where_the_dead_one_stopped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
