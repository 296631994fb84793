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

/* "{series} {labels} value time;" of all, oldest first; times from the first clock. */
static const char *kept(struct world *w)
{
	static struct hg_buf b;
	struct scrape_exemplar e;
	size_t i = 0;
	if (!b.max) hg_buf_init(&b, 4 << 20);
	hg_buf_reset(&b);
	while (scrape_exemplar_next(w->scrape, &i, &e)) {
		labels_print(&b, e.series);
		hg_buf_byte(&b, ' ');
		labels_print(&b, e.labels);
		hg_buf_fmt(&b, " %g %lld;", e.value, (long long)e.t_ms);
	}
	return hg_buf_text(&b);
}

#define OM "Content-Type: application/openmetrics-text; version=1.0.0\r\n"

static void exemplars_are_kept_once_and_the_newest_of_them(void **s)
{
	static char body[1 << 20];
	struct world w;
	char want[512];
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	say(&w, OM,
	        "# TYPE a counter\na_total{x=\"1\"} 5 # {trace_id=\"t1\"} 2.5 1699999999.5\n"
	        "a_total{x=\"2\"} 5 # {trace_id=\"t\\\"2\",span=\"s\"} 1\n# EOF\n");
	int64_t t = once(&w);
	(void)snprintf(want, sizeof want,
	        "a_total{instance=\"i\", job=\"j\", x=\"1\"} {trace_id=\"t1\"} 2.5 1699999999500;"
	        "a_total{instance=\"i\", job=\"j\", x=\"2\"} {span=\"s\", trace_id=\"t\\\"2\"} 1 "
	        "%lld;",
	        (long long)t);
	assert_string_equal(kept(&w), want);
	/* The same again is the same; another of one series is one more; an answer that is cut,
	 * none. */
	once(&w);
	assert_string_equal(kept(&w), want);
	say(&w, OM,
	        "# TYPE a counter\na_total{x=\"1\"} 6 # {trace_id=\"t3\"} 2.5 1699999999.5\n# "
	        "EOF\n");
	once(&w);
	assert_int_equal(w.scrape->exemplars.n, 3);
	say(&w, OM, "# TYPE a counter\na_total{x=\"1\"} 7 # {trace_id=\"t4\"} 2.5\n");
	once(&w);
	assert_int_equal(w.scrape->exemplars.n, 3);
	/* The ring is full: the oldest make room. */
	for (unsigned k = 0; k < 2 * EXEMPLARS_MAX; k += 4096) {
		size_t n = (size_t)snprintf(body, sizeof body, "# TYPE b counter\n");
		for (unsigned i = 0; i < 4096; i++)
			n += (size_t)snprintf(body + n, sizeof body - n,
			        "b_total{i=\"%u\"} 1 # {n=\"%u\"} 1\n", i, k + i);
		(void)snprintf(body + n, sizeof body - n, "# EOF\n");
		say(&w, OM, body);
		once(&w);
	}
	assert_int_equal(w.scrape->exemplars.n, EXEMPLARS_MAX);
	assert_true(w.scrape->exemplars.bytes <= EXEMPLAR_BYTES);
	assert_null(strstr(kept(&w), "t3"));
	assert_non_null(strstr(kept(&w), "{n=\"16383\"}"));
	world_free(&w);
}

static void large_exemplars_do_not_take_more_than_their_room(void **s)
{
	struct exemplars x = {0};
	static char value[65536];
	(void)s;
	memset(value, 'v', sizeof value);
	const struct label l = {HG_STR("a"), {value, sizeof value}};
	for (uint64_t i = 1; i < 1000; i++) {
		assert_true(scrape_exemplar_is_new(&x, i, 7));
		scrape_exemplar_add(&x, (struct labels){&l, 1}, (struct labels){0}, 1, (int64_t)i);
		assert_true(x.bytes <= EXEMPLAR_BYTES);
	}
	assert_true(x.n > 100 && x.n < 200);
	scrape_exemplars_fini(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_families_mean_is_kept_once_and_as_long_as_it_is_said),
	        cmocka_unit_test(what_is_kept_of_meanings_is_bounded),
	        cmocka_unit_test(exemplars_are_kept_once_and_the_newest_of_them),
	        cmocka_unit_test(large_exemplars_do_not_take_more_than_their_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
