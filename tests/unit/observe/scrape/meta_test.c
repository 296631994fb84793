/* What families mean, as targets say it. */
#include "../../test.h"

#include "observe/scrape/scrape.c"

#include "world.h"

/* "family|type|help|unit;" of the first target's last answer. */
static const char *meant(struct world *w)
{
	static struct hg_buf b;
	struct scrape_status st;
	struct scrape_meta m;
	size_t i = 0;
	uint32_t at = 0;
	if (!b.max) hg_buf_init(&b, 1 << 20);
	hg_buf_reset(&b);
	assert_true(scrape_status_next(w->scrape, &i, &st));
	while (scrape_meta_next(&st, &at, &m))
		hg_buf_fmt(&b, "%.*s|%s|%.*s|%.*s;", HG_STR_ARG(m.family), m.type,
		        HG_STR_ARG(m.help), HG_STR_ARG(m.unit));
	return hg_buf_text(&b);
}

static uint32_t meanings(struct world *w)
{
	static struct scrape_meta all[SCRAPE_META_MAX];
	return scrape_meta_all(w->scrape, all, SCRAPE_META_MAX);
}

static void what_families_mean_is_kept_once_and_as_long_as_it_is_said(void **s)
{
	struct world w;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	scraped(&w, "# HELP a_total Up \\\\ down.\\nAll.\n# TYPE a_total counter\na_total 1\n"
	            "# TYPE b gauge\nb 1\nc 1\n# HELP d Only that.\n");
	assert_string_equal(meant(&w), "a_total|counter|Up \\ down.\nAll.|;b|gauge||;"
	                               "d|unknown|Only that.|;");
	assert_int_equal(meanings(&w), 3);
	/* An answer that cannot be read says nothing. */
	scraped(&w, "# TYPE e gauge\ne 1\nf{\n");
	assert_int_equal(meanings(&w), 3);
	/* Another text, another family, one that is gone. */
	scraped(&w,
	        "# HELP a_total Else.\n# TYPE a_total counter\na_total 1\n# TYPE e gauge\ne 1\n");
	assert_string_equal(meant(&w), "a_total|counter|Else.|;e|gauge||;");
	assert_int_equal(meanings(&w), 2);
	say(&w, "Content-Type: application/openmetrics-text; version=1.0.0\r\n",
	        "# TYPE h_seconds histogram\n# UNIT h_seconds seconds\n# HELP h_seconds How long.\n"
	        "h_seconds_bucket{le=\"+Inf\"} 1\nh_seconds_count 1\nh_seconds_sum 1\n# EOF\n");
	once(&w);
	assert_string_equal(meant(&w), "h_seconds|histogram|How long.|seconds;");
	/* Those of our own stay, and are there once, also when a target writes the same. */
	scrape_meta_own(w.scrape, HG_STR("own"), "gauge", HG_STR("Ours."));
	scrape_meta_own(w.scrape, HG_STR("own"), "gauge", HG_STR("Ours."));
	scraped(&w, "# HELP own Ours.\n# TYPE own gauge\nown 1\n");
	assert_int_equal(meanings(&w), 1);
	scraped(&w, "x 1\n");
	assert_int_equal(meanings(&w), 1);
	assert_string_equal(meant(&w), "");
	world_free(&w);
}

static void what_is_kept_of_meanings_is_bounded(void **s)
{
	struct world w;
	struct hg_buf b;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	hg_buf_init(&b, 8 << 20);
	hg_buf_cstr(&b, "# HELP long ");
	for (int i = 0; i < 800; i++)
		hg_buf_cstr(&b, "\xc3\xa9"); /* two bytes: it is cut between them */
	hg_buf_cstr(&b, "x\n# TYPE long gauge\nlong 1\n");
	scraped(&w, hg_buf_text(&b));
	struct scrape_meta m;
	struct scrape_status st;
	size_t i = 0;
	uint32_t at = 0;
	assert_true(scrape_status_next(w.scrape, &i, &st) && scrape_meta_next(&st, &at, &m));
	assert_true(m.help.n <= META_TEXT_MAX && m.help.n > META_TEXT_MAX - 4);
	assert_true(hg_utf8_valid(m.help));
	hg_buf_reset(&b);
	for (unsigned k = 0; k < 2 * SCRAPE_META_MAX; k++)
		hg_buf_fmt(&b, "# TYPE m%u gauge\nm%u 1\n", k, k);
	scraped(&w, hg_buf_text(&b));
	assert_int_equal(meanings(&w), META_EACH_MAX);
	for (unsigned k = 0; k < SCRAPE_META_MAX; k++) {
		char name[16];
		(void)snprintf(name, sizeof name, "own%u", k);
		scrape_meta_own(w.scrape, hg_str(name), "gauge", HG_STR(""));
	}
	assert_int_equal(meanings(&w), SCRAPE_META_MAX);
	hg_buf_free(&b);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_families_mean_is_kept_once_and_as_long_as_it_is_said),
	        cmocka_unit_test(what_is_kept_of_meanings_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
