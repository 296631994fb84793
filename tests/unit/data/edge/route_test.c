#include "../../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/edge/edge_priv.h"
#include "data/edge/route.c"

/* The slow twin: the list of the image, best first, looked through in order. */
static bool host_fits(struct hg_str want, struct hg_str host)
{
	if (want.n == 0) return true;
	if (want.p[0] != '*') return hg_str_eq(want, host);
	struct hg_str tail = {want.p + 1, want.n - 1};
	return host.n > tail.n && hg_str_ends(host, tail);
}

static bool path_fits(struct hg_str want, struct hg_str path)
{
	if (want.n == 1) return true;
	if (!hg_str_starts(path, want)) return false;
	return path.n == want.n || path.p[want.n] == '/';
}

static const struct snap_route *slow(
        const struct snap_image *im, struct hg_str host, struct hg_str path)
{
	for (uint32_t i = 0; i < im->route_count; i++) {
		const struct snap_route *r = &snap_routes(im)[i];
		if (host_fits(snap_str(im, r->host), host) &&
		        path_fits(snap_str(im, r->path), path)) {
			return r;
		}
	}
	return NULL;
}

static struct hg_str random_host(struct hg_rand *r, char *to, bool pattern)
{
	static const char *label[] = {"a", "b", "example", "x", "www"};
	struct hg_out o = hg_out_over(to, 64);
	if (pattern && hg_rand_below(r, 8) == 0) return HG_STR("*");
	if (pattern && hg_rand_below(r, 3) == 0) hg_out_cstr(&o, "*.");
	uint32_t n = 1 + hg_rand_below(r, 3);
	for (uint32_t i = 0; i < n; i++) {
		if (i) hg_out_byte(&o, '.');
		hg_out_cstr(&o, label[hg_rand_below(r, HG_COUNT(label))]);
	}
	return (struct hg_str){to, o.n};
}

static struct hg_str random_path(struct hg_rand *r, char *to)
{
	static const char *part[] = {"a", "b", "ab", "", "api", "v1"};
	struct hg_out o = hg_out_over(to, 64);
	uint32_t n = hg_rand_below(r, 5);
	hg_out_byte(&o, '/');
	for (uint32_t i = 0; i < n; i++) {
		if (i) hg_out_byte(&o, '/');
		hg_out_cstr(&o, part[hg_rand_below(r, HG_COUNT(part))]);
	}
	return (struct hg_str){to, o.n};
}

static const struct snap_image *random_image(struct hg_rand *r, uint32_t count)
{
	struct snap_in_route *routes = calloc(count + 1, sizeof *routes);
	char(*text)[2][64] = calloc(count + 1, sizeof *text);
	struct snap_in_app app = {.name = HG_STR("a")};
	const struct snap_image *im = NULL;
	struct snap_in in = {.apps = &app, .app_count = 1, .routes = routes, .route_count = count};
	int fd = -1;
	for (uint32_t i = 0; i < count; i++) {
		routes[i].host = random_host(r, text[i][0], true);
		routes[i].path = random_path(r, text[i][1]);
	}
	while (in.route_count > 0 && snap_build(&in, &fd, NULL) < 0)
		in.route_count /= 2; /* the same route twice */
	if (fd < 0) assert_int_equal(snap_build(&in, &fd, NULL), HG_OK);
	assert_int_equal(snap_map(fd, &im), HG_OK);
	close(fd);
	free(routes);
	free(text);
	return im;
}

static void random_routes_match_as_a_walk_over_the_list_does(void **state)
{
	struct hg_rand r;
	uint32_t hits = 0, some = 0;
	(void)state;
	hg_rand_seed(&r, 5);
	for (int i = 0; i < 3000; i++) {
		const struct snap_image *im = random_image(&r, hg_rand_below(&r, 24));
		struct edge_index x;
		assert_int_equal(edge_index_build(im, &x), HG_OK);
		some += im->route_count > 4;
		for (int k = 0; k < 50; k++) {
			char h[64], p[64];
			struct hg_str host = random_host(&r, h, false), path = random_path(&r, p);
			const struct snap_route *want = slow(im, host, path);
			if (want != edge_route(im, &x, host, path)) {
				fail_msg("%.*s%.*s", HG_STR_ARG(host), HG_STR_ARG(path));
			}
			hits += want != NULL;
		}
		edge_index_fini(&x);
		snap_unmap(im);
	}
	assert_true(hits > 1000 && some > 100);
}

static void hosts_are_compared_in_lower_case_without_port_and_last_dot(void **state)
{
	char to[32];
	struct hg_str h;
	(void)state;
	assert_true(edge_host_normal(HG_STR("EXAMPLE.com:8080"), to, sizeof to, &h));
	assert_str(h, "example.com");
	assert_true(edge_host_normal(HG_STR("example.com."), to, sizeof to, &h));
	assert_str(h, "example.com");
	assert_true(edge_host_normal(HG_STR("[::1]:80"), to, sizeof to, &h));
	assert_str(h, "[::1]");
	assert_true(edge_host_normal(HG_STR(""), to, sizeof to, &h));
	assert_str(h, "");
	assert_false(edge_host_normal(HG_STR("0123456789012345678901234567890123"), to, 32, &h));
}

static void normal(const char *path, const char *want)
{
	char *to = malloc(strlen(path)); /* exact, so that the sanitizer sees an overrun */
	struct hg_str have = edge_path_normal(hg_str(path), to);
	assert_str(have, want);
	free(to);
}

static void paths_cannot_be_disguised(void **state)
{
	(void)state;
	normal("/a/b", "/a/b");
	normal("/static/../admin", "/admin");
	normal("/static/%2e%2E/admin", "/admin");
	normal("/%61dmin", "/admin");
	normal("/a%2Fb", "/a%2Fb");
	normal("/a/./b/.", "/a/b/");
	normal("/a/b/..", "/a/");
	normal("/../../x", "/x");
	normal("/..", "/");
	normal("/a%", "/a%");
	normal("/.hidden", "/.hidden");
	normal("/..x/", "/..x/");
	normal("*", "*");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(random_routes_match_as_a_walk_over_the_list_does),
	        cmocka_unit_test(hosts_are_compared_in_lower_case_without_port_and_last_dot),
	        cmocka_unit_test(paths_cannot_be_disguised),
	};
	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
