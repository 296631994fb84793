#include "../../test.h"

#include "data/edge/edge_priv.h"
#include "wire/pathmap.h"

/* What a client asks for, and what a replica sees; NULL: refused. */
struct row {
	const char *from, *to, *asked, *seen;
};

static const struct row rows[] = {
        {"/v1", "", "/v1", "/"},
        {"/v1", "", "/v1/", "/"},
        {"/v1", "", "/v1/users", "/users"},
        {"/v1", "", "/v1/users/", "/users/"},
        {"/v1", "", "/v10/users", "/v10/users"},
        {"/v1", "/api", "/v1", "/api"},
        {"/v1", "/api", "/v1/x", "/api/x"},
        {"", "/api", "/", "/api/"},
        {"", "/api", "/x/y", "/api/x/y"},
        /* dot segments are gone before anything is decided */
        {"/v1", "", "/v1/a/../b", "/b"},
        {"/v1", "", "/v1/%2e%2e/v1/x", "/x"},
        {"/v1", "", "/v1/./x", "/x"},
        {"/v1", "", "/x/../v1/y", "/y"},
        {"", "/api", "/../x", "/api/x"},
        {"", "/api", "/%2e%2e/%2E%2E/x", "/api/x"},
        {"", "/api", "/a/%2e%2e/%2e%2e/x", "/api/x"},
        /* unreserved characters are themselves, all others stay as they are */
        {"/v1", "", "/%76%31/x", "/x"},
        {"/v1", "", "/v1/a%20b%7e", "/a%20b~"},
        {"/v1", "", "/v1/%252e%252e/x", "/%252e%252e/x"},
        {"/files", "", "/files/a%2Fb", "/a%2Fb"},
        {"/files", "", "/files/a%5Cb", "/a%5Cb"},
        {"/files", "", "/files/..a", "/..a"},
        /* a dot segment for whoever decodes slashes */
        {"/v1", "", "/v1/..%2fadmin", NULL},
        {"/v1", "", "/v1/a%2f..%2fadmin", NULL},
        {"/v1", "", "/v1/a%2F%2e%2e%2Fadmin", NULL},
        {"/v1", "", "/v1/..%5cadmin", NULL},
        {"/v1", "", "/v1/a\\..\\admin", NULL},
        {"/v1", "/api", "/v1/x%2f..", NULL},
        {"", "/api", "/..%2f..%2fetc", NULL},
        /* an empty segment in front is the name of a host; behind a prefix it is the app's */
        {"/v1", "", "/v1//evil.example", NULL},
        {"/v1", "", "/v1/.//evil.example", NULL},
        {"/v1", "", "//evil.example/v1", NULL},
        {"/v1", "/api", "/v1//x", "/api//x"},
        {"", "/api", "//x", "/api//x"},
        {"/v1", "", "*", "*"},
};

static void what_replicas_see_is_what_the_router_saw(void **state)
{
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		char normal[256], seen[256];
		const struct row *w = &rows[i];
		struct hg_str path = edge_path_normal(hg_str(w->asked), normal);
		const char *why = pathmap_check(path, hg_str(w->from), hg_str(w->to));
		struct hg_out o = hg_out_over(seen, sizeof seen - 1);
		if (why && !w->seen) continue;
		pathmap_put(path, hg_str(w->from), hg_str(w->to), &o);
		seen[o.n] = 0;
		if (why || !w->seen || strcmp(seen, w->seen) != 0)
			fail_msg("%s (%s → %s): %s, %s", w->asked, w->from, w->to, seen, why);
	}
}

static void places_that_the_app_names_are_changed_back(void **state)
{
	static const struct {
		const char *from, *to, *said, *heard; /* NULL: left as it is */
		bool cookie;
	} back[] = {
	        {"/v1", "", "/users/7", "/v1/users/7", false},
	        {"/v1", "", "/", "/v1/", false},
	        {"/v1", "", "/", "/v1", true},
	        {"/v1", "", "/x?a=/b#c", "/v1/x?a=/b#c", false},
	        {"/v1", "", "/v1/users", NULL, false}, /* the app knows of its prefix */
	        {"/v1", "", "/v10/users", "/v1/v10/users", false},
	        {"/v1", "", "//other.example/x", NULL, false},
	        {"/v1", "", "users", NULL, false},
	        {"/v1", "", "?page=2", NULL, false},
	        {"/v1", "", "", NULL, false},
	        {"/v1", "/api", "/api/users", "/v1/users", false},
	        {"/v1", "/api", "/api", "/v1", false},
	        {"/v1", "/api", "/apiary", NULL, false},
	        {"/v1", "/api", "/login", NULL, false},
	        {"", "/api", "/api/users", "/users", false},
	        {"", "/api", "/api", "/", false},
	        {"", "/api", "/api/", "/", true},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(back); i++) {
		char heard[256];
		struct hg_out o = hg_out_over(heard, sizeof heard - 1);
		bool done = pathmap_back(hg_str(back[i].said), hg_str(back[i].from),
		        hg_str(back[i].to), back[i].cookie, &o);
		heard[o.n] = 0;
		if (done != (back[i].heard != NULL) || (done && strcmp(heard, back[i].heard) != 0))
			fail_msg("%s: %s", back[i].said, heard);
		if (!done) assert_int_equal(o.n, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_replicas_see_is_what_the_router_saw),
	        cmocka_unit_test(places_that_the_app_names_are_changed_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
