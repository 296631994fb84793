#include "../test.h"

#include <pthread.h>

#include "base/rand.h"
#include "spec/snapshot.c"

static const struct snap_in_gateway moved = {
        .redirect = 308, .text = {[SNAP_GW_REDIRECT_TO] = {"/new", 4}, [SNAP_GW_TO] = {"/x", 2}}};
static const struct snap_in_lane lanes[] = {{1, 10}, {2, 11}};

static struct snap_in sample(struct snap_in_app *apps, struct snap_in_route *routes)
{
	apps[0] =
	        (struct snap_in_app){.name = HG_STR("feedback"), .fixed = {.id = 4, .retries = 2}};
	apps[1] = (struct snap_in_app){.name = HG_STR("shop"), .fixed = {.id = 9}};
	routes[0] = (struct snap_in_route){.host = HG_STR("*"), .path = HG_STR("/"), .app = 0};
	routes[1] = (struct snap_in_route){.host = HG_STR("a.example"),
	        .path = HG_STR("/"),
	        .name = HG_STR("a/"),
	        .app = 1,
	        .lanes = lanes,
	        .lane_count = 2,
	        .lane_none = 12};
	routes[2] = (struct snap_in_route){.host = HG_STR("*.example"),
	        .path = HG_STR("/x/"),
	        .app = 0,
	        .lanes = lanes,
	        .lane_count = 1};
	routes[3] = (struct snap_in_route){.host = HG_STR("a.example"),
	        .path = HG_STR("/static/"),
	        .app = 0,
	        .gateway = &moved};
	return (struct snap_in){.generation = 77,
	        .apps = apps,
	        .app_count = 2,
	        .routes = routes,
	        .route_count = 4,
	        .edge = {.head_max = 32768, .drain_ms = 5000},
	        .via = HG_STR("hg-1")};
}

static int build_sample(void)
{
	struct snap_in_app apps[2];
	struct snap_in_route routes[4];
	struct hg_err err = {0};
	struct snap_in in = sample(apps, routes);
	int fd = -1;
	if (snap_build(&in, &fd, &err) < 0) fail_msg("%s", err.message);
	return fd;
}

static void an_image_reads_back_what_was_put_in_best_route_first(void **state)
{
	const struct snap_image *im;
	int fd = build_sample();
	(void)state;
	assert_int_equal(snap_map(fd, &im), HG_OK);
	close(fd);
	assert_int_equal(im->generation, 77);
	assert_int_equal(im->head_max, 32768);
	assert_str(snap_str(im, im->via), "hg-1");
	assert_str(snap_str(im, snap_apps(im)[1].name), "shop");
	assert_int_equal(snap_apps(im)[0].retries, 2);
	const struct snap_route *r = snap_routes(im);
	assert_str(snap_str(im, r[0].host), "a.example");
	assert_str(snap_str(im, r[0].path), "/static");
	assert_int_equal(r[0].gateway, 1);
	assert_int_equal(snap_gateways(im)[0].redirect, 308);
	assert_str(snap_str(im, snap_gateways(im)[0].text[SNAP_GW_TO]), "/x");
	assert_int_equal(r[1].gateway, 0);
	assert_str(snap_str(im, r[1].path), "/");
	assert_str(snap_str(im, r[1].name), "a/");
	assert_int_equal(r[1].lane_count, 2);
	assert_int_equal(snap_lanes(im)[r[1].lane_first + 1].lane, 11);
	assert_int_equal(r[1].lane_none, 12);
	assert_str(snap_str(im, r[2].host), "*.example");
	assert_str(snap_str(im, r[2].path), "/x");
	assert_str(snap_str(im, r[3].host), "");
	snap_unmap(im);
}

static void a_sealed_image_cannot_be_changed(void **state)
{
	int fd = build_sample();
	(void)state;
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	close(fd);
}

static void inputs_that_make_no_sense_are_refused_by_name(void **state)
{
	struct snap_in_app apps[2];
	struct snap_in_route routes[4];
	struct hg_err err = {0};
	struct snap_in in = sample(apps, routes);
	int fd;
	(void)state;
	routes[2].path = HG_STR("x");
	assert_int_equal(snap_build(&in, &fd, &err), HG_E_INVALID);
	assert_string_equal(err.message, "route \"*.examplex\" is not valid");
	in = sample(apps, routes);
	routes[2].host = HG_STR("A.example");
	assert_int_equal(snap_build(&in, &fd, &err), HG_E_INVALID);
	in = sample(apps, routes);
	routes[2].app = 2;
	assert_int_equal(snap_build(&in, &fd, &err), HG_E_INVALID);
	in = sample(apps, routes);
	routes[2] = routes[3];
	routes[2].path = HG_STR("/static");
	assert_int_equal(snap_build(&in, &fd, &err), HG_E_INVALID);
	assert_string_equal(err.message, "route \"a.example/static/\" is given twice");
	in = sample(apps, routes);
	in.route_count = SNAP_ROUTES_MAX + 1;
	assert_int_equal(snap_build(&in, &fd, &err), HG_E_TOO_LARGE);
}

static void routes_by_version_follow_the_one_without(void **state)
{
	struct snap_in_app apps[2];
	struct snap_in_route routes[4];
	struct snap_in_gateway v[3];
	struct hg_err err = {0};
	struct snap_in in = sample(apps, routes);
	const struct snap_image *im;
	int fd;
	(void)state;
	for (int i = 0; i < 3; i++) {
		v[i] = (struct snap_in_gateway){0};
		v[i].text[SNAP_GW_VERSION_FIELD] = HG_STR("V");
		v[i].text[SNAP_GW_VERSION] = (struct hg_str){&"321"[i], 1};
		routes[i] = (struct snap_in_route){
		        .host = HG_STR("a"), .path = HG_STR("/x"), .gateway = &v[i]};
	}
	routes[3] = (struct snap_in_route){.host = HG_STR("a"), .path = HG_STR("/x/")};
	assert_int_equal(snap_build(&in, &fd, &err), HG_OK);
	assert_int_equal(snap_map(fd, &im), HG_OK);
	close(fd);
	assert_int_equal(snap_routes(im)[0].variants, 3);
	assert_int_equal(snap_routes(im)[0].gateway, 0);
	for (uint32_t i = 1; i < 4; i++) {
		const struct snap_route *r = &snap_routes(im)[i];
		struct snap_text t = snap_gateways(im)[r->gateway - 1].text[SNAP_GW_VERSION];
		assert_int_equal(r->variants, 0);
		assert_int_equal(snap_str(im, t).p[0], '0' + (int)i);
	}
	snap_unmap(im);
	v[1].text[SNAP_GW_VERSION] = HG_STR("3");
	assert_int_equal(snap_build(&in, &fd, &err), HG_E_INVALID);
	v[1].text[SNAP_GW_VERSION] = HG_STR("2");
	routes[3].path = HG_STR("/y");
	assert_int_equal(snap_build(&in, &fd, &err), HG_E_INVALID);
	assert_string_equal(err.message, "route \"a/x\" is there by version alone");
}

static int memfd_of(const void *bytes, size_t n, bool seal)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	if (seal) assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	return fd;
}

static enum hg_rc map_bytes(const void *bytes, size_t n)
{
	const struct snap_image *im;
	int fd = memfd_of(bytes, n, true);
	enum hg_rc rc = snap_map(fd, &im);
	close(fd);
	if (rc == HG_OK) {
		/* Whatever was let through must be readable to the end (the sanitizer watches). */
		volatile char sink = 0;
		for (uint32_t i = 0; i < im->route_count; i++) {
			const struct snap_route *r = &snap_routes(im)[i];
			struct hg_str s[] = {snap_str(im, r->host), snap_str(im, r->path),
			        snap_str(im, r->name), snap_str(im, snap_apps(im)[r->app].name)};
			for (size_t k = 0; k < HG_COUNT(s); k++)
				for (size_t j = 0; j < s[k].n; j++)
					sink = (char)(sink ^ s[k].p[j]);
			for (uint32_t k = 0; k < r->lane_count; k++)
				sink = (char)(sink ^ snap_lanes(im)[r->lane_first + k].lane);
			for (uint32_t k = 0; r->gateway && k < SNAP_GW_TEXTS; k++) {
				const struct snap_gateway *g = &snap_gateways(im)[r->gateway - 1];
				struct hg_str t = snap_str(im, g->text[k]);
				for (size_t j = 0; j < t.n; j++)
					sink = (char)(sink ^ t.p[j]);
			}
		}
		snap_unmap(im);
	}
	return rc;
}

static void corrupted_images_are_refused_or_harmless(void **state)
{
	char whole[4096], bad[4096];
	struct hg_rand r;
	int fd = build_sample();
	ssize_t n = pread(fd, whole, sizeof whole, 0);
	(void)state;
	close(fd);
	assert_true(n > (ssize_t)sizeof(struct snap_image));
	assert_int_equal(map_bytes(whole, (size_t)n), HG_OK);
	for (ssize_t cut = 0; cut < n; cut += 7)
		assert_int_equal(map_bytes(whole, (size_t)cut), HG_E_INVALID);
	hg_rand_seed(&r, 3);
	int refused = 0;
	for (int i = 0; i < 20000; i++) {
		memcpy(bad, whole, (size_t)n);
		for (uint32_t k = 0; k <= hg_rand_below(&r, 3); k++) {
			uint32_t at = hg_rand_below(&r, (uint32_t)n);
			bad[at] = hg_rand_below(&r, 2) ? (char)hg_rand_u64(&r) : (char)0xff;
		}
		if (map_bytes(bad, (size_t)n) != HG_OK) refused++;
	}
	assert_true(refused > 1000);
}

static void an_image_that_could_change_is_refused(void **state)
{
	char whole[4096];
	const struct snap_image *im;
	int fd = build_sample(), p[2];
	ssize_t n = pread(fd, whole, sizeof whole, 0);
	(void)state;
	close(fd);
	fd = memfd_of(whole, (size_t)n, false);
	assert_int_equal(snap_map(fd, &im), HG_E_INVALID);
	close(fd);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(snap_map(p[0], &im), HG_E_INVALID);
	close(p[0]), close(p[1]);
	assert_int_equal(snap_map(-1, &im), HG_E_INVALID);
}

static struct snap_table *table_new(void)
{
	struct snap_table *t = calloc(1, sizeof *t);
	assert_non_null(t);
	snap_table_init(t);
	return t;
}

#define WRITES 200000

static void *writer(void *arg)
{
	struct snap_table *t = arg;
	for (uint32_t i = 1; i <= WRITES; i++) {
		struct snap_endpoint ep = {.state = i,
		        .app = i,
		        .release = i,
		        .replica = i,
		        .incarnation = i,
		        .weight = i,
		        .ip4 = i};
		memset(ep.path, (int)('a' + i % 26), sizeof ep.path - 1);
		snap_table_set(t, 5, &ep);
	}
	return NULL;
}

static void a_reader_never_sees_half_a_slot(void **state)
{
	struct snap_table *t = table_new();
	struct snap_endpoint ep = {0};
	pthread_t th;
	(void)state;
	assert_int_equal(pthread_create(&th, NULL, writer, t), 0);
	uint32_t seen = 0;
	while (ep.state < WRITES) {
		if (!snap_table_get(t, 5, &ep)) continue;
		if (ep.state == 0) continue;
		if (ep.app != ep.state || ep.weight != ep.state || ep.ip4 != ep.state ||
		        ep.path[0] != (char)('a' + ep.state % 26) ||
		        ep.path[106] != (char)('a' + ep.state % 26) || ep.state < seen) {
			fail_msg("torn read of %u", ep.state);
		}
		seen = ep.state;
	}
	pthread_join(th, NULL);
	assert_int_equal(atomic_load(&t->generation), WRITES);
	free(t);
}

static void a_slot_left_half_written_reads_as_absent_until_repaired(void **state)
{
	struct snap_table *t = table_new();
	struct snap_endpoint ep = {.state = SNAP_EP_UP, .app = 1};
	(void)state;
	snap_table_set(t, 3, &ep);
	atomic_fetch_add(&t->slot[3].seq, 1);
	uint64_t g = atomic_load(&t->generation);
	assert_false(snap_table_get(t, 3, &ep));
	snap_table_repair(t);
	assert_true(snap_table_get(t, 3, &ep));
	assert_int_equal(ep.state, SNAP_EP_FREE);
	assert_int_equal(atomic_load(&t->generation), g + 1);
	snap_table_set(t, 3, &ep);
	free(t);
}

static void a_foreign_table_is_not_opened(void **state)
{
	struct snap_table *t = table_new();
	(void)state;
	assert_ptr_equal(snap_table_open(t, sizeof *t), t);
	assert_null(snap_table_open(t, sizeof *t - 1));
	assert_null(snap_table_open(NULL, 0));
	t->layout ^= 1;
	assert_null(snap_table_open(t, sizeof *t));
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_image_reads_back_what_was_put_in_best_route_first),
	        cmocka_unit_test(a_sealed_image_cannot_be_changed),
	        cmocka_unit_test(inputs_that_make_no_sense_are_refused_by_name),
	        cmocka_unit_test(routes_by_version_follow_the_one_without),
	        cmocka_unit_test(corrupted_images_are_refused_or_harmless),
	        cmocka_unit_test(an_image_that_could_change_is_refused),
	        cmocka_unit_test(a_reader_never_sees_half_a_slot),
	        cmocka_unit_test(a_slot_left_half_written_reads_as_absent_until_repaired),
	        cmocka_unit_test(a_foreign_table_is_not_opened),
	};
	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
