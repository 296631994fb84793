/*
 * The scraper against a server that means well, and against one that does not. Time is the test's:
 * a scrape happens when it says so, so that nothing depends on how fast the machine is.
 */
#include "../../test.h"

#include "observe/scrape/scrape.c"

#include "world.h"

static void a_good_answer_becomes_samples_and_a_report(void **s)
{
	struct world w;
	int64_t t;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	w.label[2] = (struct label){HG_STR("__param_x y"), HG_STR("1&2")};
	w.label[3] = (struct label){HG_STR("__internal"), HG_STR("z")};
	w.target.labels.n = 4;
	apply(&w);
	t = scraped(&w, "# TYPE a counter\na{x=\"1\"} 5\na{x=\"2\"} 6\nb 7 \n");
	has(&w, "a", t,
	        "{instance=\"i\", job=\"j\", x=\"1\"} 5;{instance=\"i\", job=\"j\", x=\"2\"} 6;");
	has(&w, "b", t, "{instance=\"i\", job=\"j\"} 7;");
	has(&w, "up", t, "{instance=\"i\", job=\"j\"} 1;");
	has(&w, "scrape_samples_scraped", t, "{instance=\"i\", job=\"j\"} 3;");
	has(&w, "scrape_samples_post_metric_relabeling", t, "{instance=\"i\", job=\"j\"} 3;");
	has(&w, "scrape_series_added", t, "{instance=\"i\", job=\"j\"} 3;");
	assert_non_null(strstr(have(&w, "scrape_duration_seconds", t), "job=\"j\""));
	assert_true(t % 60000 == first(&w)->plan.offset_ms);
	assert_non_null(strstr(w.server.request, "GET /metrics?x%20y=1%262 HTTP/1.1\r\n"));
	assert_non_null(
	        strstr(w.server.request, "\r\nX-Prometheus-Scrape-Timeout-Seconds: 60\r\n"));
	assert_non_null(strstr(w.server.request,
	        "\r\nAccept: "
	        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"));
	assert_null(strstr(w.server.request, "Accept-Encoding")); /* nothing to save on loopback */
	t = scraped(&w, "# TYPE a counter\na{x=\"1\"} 5\na{x=\"2\"} 8\nb 7\n");
	has(&w, "scrape_series_added", t, "{instance=\"i\", job=\"j\"} 0;");
	assert_int_equal(w.server.connections, 1);
	world_free(&w);
}

static void lines_may_come_in_any_order(void **s)
{
	struct world w;
	int64_t t;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	(void)scraped(&w, "a 1\nb 2\nc 3\nd 4\n");
	t = scraped(&w, "x 9\na 1\nc 3\nb 2\nd 4\n");
	has(&w, "scrape_series_added", t, "{instance=\"i\", job=\"j\"} 1;");
	t = scraped(&w, "d 5\nc 6\nb 7\na 8\nx 9\n");
	has(&w, "a", t, "{instance=\"i\", job=\"j\"} 8;");
	has(&w, "d", t, "{instance=\"i\", job=\"j\"} 5;");
	has(&w, "scrape_series_added", t, "{instance=\"i\", job=\"j\"} 0;");
	assert_int_equal(first(&w)->series.used, 5);
	world_free(&w);
}

static void a_series_that_is_missing_ends_at_once(void **s)
{
	struct world w;
	int64_t t;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	(void)scraped(&w, "a{x=\"1\"} 5\na{x=\"2\"} 6\n");
	t = scraped(&w, "a{x=\"2\"} 6\n");
	has(&w, "a", t,
	        "{instance=\"i\", job=\"j\", x=\"1\"} end;{instance=\"i\", job=\"j\", x=\"2\"} 6;");
	t = scraped(&w, "a{x=\"2\"} 6\n"); /* one marker is enough */
	has(&w, "a", t, "{instance=\"i\", job=\"j\", x=\"2\"} 6;");
	t = scraped(&w, "a{x=\"1\"} 7\na{x=\"2\"} 6\n");
	has(&w, "a", t,
	        "{instance=\"i\", job=\"j\", x=\"1\"} 7;{instance=\"i\", job=\"j\", x=\"2\"} 6;");
	has(&w, "scrape_series_added", t, "{instance=\"i\", job=\"j\"} 1;");
	t = scraped(&w, "");
	has(&w, "a", t,
	        "{instance=\"i\", job=\"j\", x=\"1\"} end;{instance=\"i\", job=\"j\", x=\"2\"} "
	        "end;");
	has(&w, "up", t, "{instance=\"i\", job=\"j\"} 1;");
	assert_int_equal(first(&w)->series.used, 0);
	world_free(&w);
}

static void gzip_is_asked_for_where_it_helps_and_unpacked(void **s)
{
	struct world w;
	struct hg_buf body;
	int64_t t;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	w.job.compression = SCRAPE_GZIP_ALWAYS;
	apply(&w);
	hg_buf_init(&body, 1 << 20);
	zip(&body, 1000, 0);
	hg_buf_fmt(&w.answer,
	        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
	        "5\r\n");
	hg_buf_str(&w.answer, (struct hg_str){body.p, 5});
	hg_buf_fmt(&w.answer, "\r\n%zx\r\n", body.n - 5);
	hg_buf_str(&w.answer, (struct hg_str){body.p + 5, body.n - 5});
	hg_buf_cstr(&w.answer, "\r\n0\r\n\r\n");
	w.server.answer = hg_buf_view(&w.answer);
	t = once(&w);
	has(&w, "a", t, "{instance=\"i\", job=\"j\"} 1;");
	assert_non_null(strstr(w.server.request, "\r\nAccept-Encoding: gzip\r\n"));
	hg_buf_free(&body);
	world_free(&w);
}

struct hostile {
	const char *answer;
	enum then then;
	size_t repeat;
	const char *says;
};

static const struct hostile hostile[] = {
        {"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\na 1", KEEP, 0,
                "it answered 500 Internal Server Error"},
        {"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", KEEP, 0,
                "redirects are not followed"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na 1\n", CLOSE, 0,
                "closed before the end of the answer"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n", CLOSE, 0,
                "closed before the end of the answer"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", KEEP, 0,
                "chunks cannot be read"},
        {"", CLOSE, 0, "closed before the end of the answer"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na 1\n", RESET, 0, "onnection"},
        {"SSH-2.0-OpenSSH_9.2\r\n", KEEP, 0, "the answer is no HTTP"},
        {"HTTP/1.1 200 OK\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", REPEAT, 40,
                "the answer is no HTTP"},
        {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 17\r\n\r\n<html>hi</html>"
         "\r\n",
                KEEP, 0,
                "line 1, column 1: these metrics cannot be read: the name of a metric "
                "should stand here (the content type is \"text/html\")"},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", KEEP,
                0, "the content type is \"application/json\""},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\n"
         "Content-Length: 4\r\n\r\na 1\n",
                KEEP, 0, "# EOF"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\na 1\n", KEEP, 0,
                "more than 1048576 bytes"},
        {"HTTP/1.1 200 OK\r\n\r\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\n"
         "a 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\na 1\n",
                REPEAT, 100, "more than 1048576 bytes"},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nxx", KEEP, 0,
                "encoded as \"br\""},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx", KEEP, 0,
                "gzip is damaged"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\na 1\nb x\n", KEEP, 0,
                "line 2, column 3: these metrics cannot be read: a number should stand here"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\na{x=\"1\",x=\"2\"} 1\n", KEEP, 0,
                "the label \"x\" is there twice"},
};

static void bad_answer(struct world *w, const struct hostile *h)
{
	hg_buf_reset(&w->answer);
	hg_buf_cstr(&w->answer, h->answer);
	w->server.answer = hg_buf_view(&w->answer);
	w->server.then = h->then;
	w->server.repeat = h->repeat;
}

/* After it: down, all series ended once, nothing of the answer kept; the next good one is fine. */
static void survives(struct world *w, const char *says)
{
	int64_t t = once(w);
	if (!strstr(first(w)->why, says)) fail_msg("have \"%s\", want \"%s\"", first(w)->why, says);
	has(w, "up", t, "{instance=\"i\", job=\"j\"} 0;");
	has(w, "good", t,
	        "{instance=\"i\", job=\"j\", x=\"1\"} end;{instance=\"i\", job=\"j\", x=\"2\"} "
	        "end;");
	has(w, "a", t, "");
	has(w, "scrape_series_added", t, "{instance=\"i\", job=\"j\"} 0;");
	assert_int_equal(first(w)->health, SCRAPE_DOWN);
	assert_int_equal(first(w)->series.used, 2); /* what the bad answer brought is forgotten */
	t = once(w);                                /* still bad: the series have ended already */
	has(w, "good", t, "");
	t = scraped(w, "good{x=\"1\"} 1\ngood{x=\"2\"} 2\n");
	has(w, "up", t, "{instance=\"i\", job=\"j\"} 1;");
	has(w, "good", t,
	        "{instance=\"i\", job=\"j\", x=\"1\"} 1;{instance=\"i\", job=\"j\", x=\"2\"} 2;");
	has(w, "scrape_series_added", t, "{instance=\"i\", job=\"j\"} 0;");
	assert_string_equal(first(w)->why, "");
}

static void a_hostile_server_costs_its_own_scrape_and_nothing_else(void **s)
{
	struct world w;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	w.job.body_size_limit = 1 << 20;
	apply(&w);
	(void)scraped(&w, "good{x=\"1\"} 1\ngood{x=\"2\"} 2\n");
	for (size_t i = 0; i < HG_COUNT(hostile); i++) {
		bad_answer(&w, &hostile[i]);
		survives(&w, hostile[i].says);
	}
	world_free(&w);
}

static void a_gzip_bomb_and_a_torn_gzip_are_refused(void **s)
{
	struct world w;
	struct hg_buf body;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	w.job.body_size_limit = 1 << 20;
	apply(&w);
	(void)scraped(&w, "good{x=\"1\"} 1\ngood{x=\"2\"} 2\n");
	for (int torn = 0; torn < 2; torn++) {
		hg_buf_init(&body, 1 << 20);
		zip(&body, torn ? 1000 : 200 << 20, torn ? 2 : 0);
		hg_buf_reset(&w.answer);
		hg_buf_fmt(&w.answer,
		        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
		        body.n);
		hg_buf_str(&w.answer, hg_buf_view(&body));
		w.server.answer = hg_buf_view(&w.answer);
		w.server.then = KEEP;
		survives(&w, torn ? "gzip ends too early" : "more than 1048576 bytes");
		hg_buf_free(&body);
	}
	world_free(&w);
}

static void an_empty_gzip_is_no_answer(void **s)
{
	struct world w;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	(void)scraped(&w, "good{x=\"1\"} 1\ngood{x=\"2\"} 2\n");
	say_gzip(&w, HG_STR(""));
	survives(&w, "gzip ends too early");
	/* An exporter that ends behind the head of its answer. */
	w.server.answer = HG_STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n");
	w.server.then = CLOSE;
	survives(&w, "gzip ends too early");
	world_free(&w);
}

static void silence_ends_with_the_time_out_and_nobody_there_at_once(void **s)
{
	struct world w;
	struct hostile silent = {"", HANG, 0, ""};
	struct hostile half = {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na 1\n", HANG, 0, ""};
	(void)s;
	world_new(&w, "127.0.0.1:0");
	w.job.timeout_ms = 300;
	apply(&w);
	while (first(&w)->health != SCRAPE_UP) /* a loaded machine may need several */
		(void)scraped(&w, "good 1\n");
	bad_answer(&w, &silent);
	(void)once(&w);
	assert_string_equal(first(&w)->why, "no answer within 300 ms");
	bad_answer(&w, &half);
	(void)once(&w);
	assert_string_equal(first(&w)->why, "no end of the answer within 300 ms");
	server_stop(&w.server);
	(void)once(&w);
	assert_non_null(strstr(first(&w)->why, "could not connect: Connection refused"));
	server_start(&w.server, w.loop, w.address);
	world_free(&w);
}

static void a_kept_connection_that_was_closed_meanwhile_is_no_failure(void **s)
{
	struct world w;
	int64_t t;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	(void)scraped(&w, "a 1\n");
	HG_LIST_EACH_SAFE (at, after, &w.server.conns) {
		conn_end(HG_CONTAINER(at, struct server_conn, node), true);
	}
	t = scraped(&w, "a 2\n"); /* the loop has not turned: the scraper does not know yet */
	has(&w, "a", t, "{instance=\"i\", job=\"j\"} 2;");
	has(&w, "up", t, "{instance=\"i\", job=\"j\"} 1;");
	assert_int_equal(w.server.connections, 2);
	say(&w, "Connection: close\r\n", "a 3\n");
	w.server.then = CLOSE;
	t = once(&w);
	has(&w, "a", t, "{instance=\"i\", job=\"j\"} 3;");
	assert_int_equal(first(&w)->get.fd, -1);
	world_free(&w);
}

static void limits_fail_the_whole_scrape(void **s)
{
	static const struct {
		uint32_t samples, labels, name, value;
		const char *body, *says;
	} row[] = {
	        {2, 0, 0, 0, "a 1\nb 2\nc 3\nd 4\n",
	                "there are 4 samples, more than sample_limit allows (2)"},
	        {0, 5, 0, 0, "a{b=\"1\",c=\"2\",d=\"3\"} 1\n", "label_limit is 5"},
	        {0, 0, 8, 0, "a{abcdefghi=\"1\"} 1\n", "label_name_length_limit is 8"},
	        {0, 0, 0, 4, "a{b=\"12345\"} 1\n", "label_value_length_limit is 4"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct world w;
		world_new(&w, "127.0.0.1:0");
		w.job.sample_limit = row[i].samples;
		w.job.label_limit = row[i].labels;
		w.job.label_name_length_limit = row[i].name;
		w.job.label_value_length_limit = row[i].value;
		apply(&w);
		(void)scraped(&w, "good{x=\"1\"} 1\ngood{x=\"2\"} 2\n");
		say(&w, TEXT, row[i].body);
		survives(&w, row[i].says);
		world_free(&w);
	}
}

static void conflicts_of_labels_are_settled_by_honor_labels(void **s)
{
	struct world w;
	int64_t t;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	t = scraped(&w, "a{job=\"own\",exported_instance=\"e\",instance=\"o\"} 1\n");
	has(&w, "a", t,
	        "{exported_exported_instance=\"o\", exported_instance=\"e\", exported_job=\"own\", "
	        "instance=\"i\", job=\"j\"} 1;");
	world_free(&w);
	world_new(&w, "127.0.0.1:0");
	w.job.honor_labels = true;
	apply(&w);
	t = scraped(&w, "a{job=\"own\"} 1\nb{job=\"\"} 2\n");
	has(&w, "a", t, "{instance=\"i\", job=\"own\"} 1;");
	has(&w, "b", t, "{instance=\"i\"} 2;");
	has(&w, "up", t, "{instance=\"i\", job=\"j\"} 1;");
	world_free(&w);
}

static void times_of_the_target_count_unless_told_otherwise(void **s)
{
	struct world w;
	int64_t t;
	char body[64];
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	(void)snprintf(body, sizeof body, "a 1 %lld\n", (long long)clock_ms - 5000);
	t = scraped(&w, body);
	has(&w, "a", 1700000000000 - 5000, "{instance=\"i\", job=\"j\"} 1;");
	has(&w, "a", t, "");
	t = scraped(&w, ""); /* times of their own: no marker */
	has(&w, "a", t, "");
	world_free(&w);
	world_new(&w, "127.0.0.1:0");
	w.job.track_timestamps_staleness = true;
	apply(&w);
	(void)scraped(&w, body);
	t = scraped(&w, "");
	has(&w, "a", t, "{instance=\"i\", job=\"j\"} end;");
	world_free(&w);
	world_new(&w, "127.0.0.1:0");
	w.job.ignore_timestamps = true;
	apply(&w);
	t = scraped(&w, body);
	has(&w, "a", t, "{instance=\"i\", job=\"j\"} 1;");
	world_free(&w);
}

static void samples_are_relabelled_and_dropped_ones_counted(void **s)
{
	static const struct hg_str name[] = {{"__name__", 8}};
	const struct relabel_conf rule[] = {
	        {.action = RELABEL_DROP, .source = name, .source_n = 1, .regex = HG_STR("go_.*")},
	        {.action = RELABEL_LABELDROP, .regex = HG_STR("pod")},
	};
	struct world w;
	int64_t t;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	w.job.metric_relabel = rule;
	w.job.metric_relabel_n = HG_COUNT(rule);
	apply(&w);
	for (int i = 0; i < 2; i++) {
		t = scraped(&w, "go_x 1\na{pod=\"p\",q=\"r\"} 2\ngo_y 3\n");
		has(&w, "a", t, "{instance=\"i\", job=\"j\", q=\"r\"} 2;");
		has(&w, "go_x", t, "");
		has(&w, "scrape_samples_scraped", t, "{instance=\"i\", job=\"j\"} 3;");
		has(&w, "scrape_samples_post_metric_relabeling", t,
		        "{instance=\"i\", job=\"j\"} 1;");
		has(&w, "scrape_series_added", t,
		        i ? "{instance=\"i\", job=\"j\"} 0;" : "{instance=\"i\", job=\"j\"} 1;");
	}
	world_free(&w);
}

static void bounds_of_buckets_get_one_form(void **s)
{
	struct world w;
	int64_t t;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	t = scraped(&w,
	        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n"
	        "# TYPE s summary\ns{quantile=\"0.50\"} 3\n# TYPE g gauge\ng{le=\"1\"} 4\n");
	has(&w, "h_bucket", t,
	        "{instance=\"i\", job=\"j\", le=\"+Inf\"} 2;{instance=\"i\", job=\"j\", "
	        "le=\"1.0\"} 1;");
	has(&w, "s", t, "{instance=\"i\", job=\"j\", quantile=\"0.5\"} 3;");
	has(&w, "g", t, "{instance=\"i\", job=\"j\", le=\"1\"} 4;");
	world_free(&w);
}

static void openmetrics_and_doubles_are_read(void **s)
{
	struct world w;
	struct scrape_stats st;
	int64_t t;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	say(&w, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
	        "# TYPE a counter\na_total 1 # {t=\"x\"} 1\na_created 2\n# EOF\n");
	t = once(&w);
	has(&w, "a_total", t, "{instance=\"i\", job=\"j\"} 1;");
	has(&w, "a_created", t, "{instance=\"i\", job=\"j\"} 2;");
	t = scraped(&w, "b 1\nb 2\n"); /* the first one stays */
	has(&w, "b", t, "{instance=\"i\", job=\"j\"} 1;");
	scrape_stats(w.scrape, &st);
	assert_int_equal(st.duplicates, 1);
	assert_int_equal(st.refused_samples, 1);
	assert_int_equal(first(&w)->series.used, 1);
	t = scraped(&w, "c 1\n");
	has(&w, "b", t, "{instance=\"i\", job=\"j\"} end;");
	world_free(&w);
}

static void a_replica_behind_a_unix_socket_is_asked_and_greeted(void **s)
{
	struct world w;
	char address[64];
	int64_t t;
	(void)s;
	(void)snprintf(address, sizeof address, "unix:/tmp/scrape-test-%d.sock", (int)getpid());
	world_new(&w, address);
	w.target.proxy = 1;
	apply(&w);
	for (int i = 0; i < 2; i++) {
		t = scraped(&w, "a 1\n");
		has(&w, "up", t, "{instance=\"i\", job=\"j\"} 1;");
		assert_int_equal(
		        strncmp(w.server.request, i ? "GET /metrics" : "PROXY UNKNOWN\r\nGET", 12),
		        0);
		assert_non_null(strstr(w.server.request, "\r\nHost: localhost\r\n"));
	}
	world_free(&w);
	unlink(address + 5);
}

static void turn_until_gone(struct world *w)
{
	while (!hg_list_empty(&w->scrape->targets))
		assert_int_equal(loop_turn(w->loop, 100), HG_OK);
}

static void a_target_that_is_gone_ends_after_two_intervals(void **s)
{
	struct world w;
	struct target *t;
	int64_t stale;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	(void)scraped(&w, "a 1\n");
	w.job.target_n = 0;
	apply(&w);
	t = first(&w);
	assert_int_equal(t->state, TARGET_LEAVING);
	stale = t->end.stale_ms;
	assert_int_equal(t->end.act_ms, stale + 66000);
	clock_ms = t->end.act_ms - 1;
	on_timer(w.loop, &t->timer);
	has(&w, "a", stale, "");
	clock_ms = t->end.act_ms;
	on_timer(w.loop, &t->timer);
	turn_until_gone(&w);
	has(&w, "a", stale, "{instance=\"i\", job=\"j\"} end;");
	has(&w, "up", stale, "{instance=\"i\", job=\"j\"} end;");
	world_free(&w);
}

static void series_that_another_target_took_over_do_not_end(void **s)
{
	struct world w;
	struct target *old;
	int64_t stale;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	(void)scraped(&w, "a 1\nb 1\n");
	old = first(&w);
	w.job.sample_limit = 100; /* another job, the same labels */
	apply(&w);
	assert_int_equal(old->state, TARGET_LEAVING);
	stale = old->end.stale_ms;
	struct target *t = HG_CONTAINER(old->node.next, struct target, node);
	say(&w, TEXT, "a 2\n");
	for (clock_ms = stale; t->last_ms < stale + 60000; clock_ms += 60000) {
		loop_timer_stop(w.loop, &t->timer);
		ask(t);
		while (t->get.flight)
			assert_int_equal(loop_turn(w.loop, 1000), HG_OK);
	}
	clock_ms = old->end.act_ms;
	on_timer(w.loop, &old->timer);
	assert_ptr_equal(first(&w), t);
	has(&w, "a", stale, "{instance=\"i\", job=\"j\"} 2;");
	has(&w, "b", stale, "{instance=\"i\", job=\"j\"} end;");
	has(&w, "up", stale, "{instance=\"i\", job=\"j\"} 1;");
	world_free(&w);
}

static void an_apply_leaves_alone_what_is_wanted_as_before(void **s)
{
	struct world w;
	struct target *t;
	struct hg_err err = {0};
	struct scrape_status st;
	size_t at = 0;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	apply(&w);
	(void)scraped(&w, "a 1\n");
	t = first(&w);
	apply(&w);
	assert_ptr_equal(first(&w), t);
	assert_int_equal(t->state, TARGET_WANTED);
	assert_int_equal(w.scrape->target_n, 1);
	assert_true(scrape_status_next(w.scrape, &at, &st));
	assert_str(st.job, "j");
	assert_int_equal(st.health, SCRAPE_UP);
	assert_int_equal(st.samples, 1);
	assert_true(hg_str_starts(st.url, HG_STR("http://127.0.0.1:")));
	assert_false(scrape_status_next(w.scrape, &at, &st));
	w.label[0].value = HG_STR("no-port");
	assert_int_equal(scrape_apply(w.scrape, &w.job, 1, &err), HG_E_INVALID);
	assert_non_null(strstr(err.message, "target \"no-port\" of job \"j\" cannot be asked"));
	w.job.timeout_ms = 60001;
	assert_int_equal(scrape_apply(w.scrape, &w.job, 1, &err), HG_E_INVALID);
	assert_ptr_equal(first(&w), t);
	assert_int_equal(t->state, TARGET_WANTED);
	world_free(&w);
}

/* As a file has it that names exporters of several machines with one `job`. */
static void jobs_of_one_name_are_asked_each(void **s)
{
	enum { N = 5000 };
	struct world w;
	struct hg_err err = {0};
	static struct label label[N][2];
	static char address[N][32];
	static struct scrape_target_conf target[N];
	static struct scrape_job_conf job[N];
	static struct target *was[N];
	(void)s;
	world_new(&w, "127.0.0.1:0");
	for (int i = 0; i < N; i++) {
		(void)snprintf(address[i], sizeof address[i], "127.0.0.1:%d", 10000 + i);
		label[i][0] = (struct label){HG_STR("__address__"), hg_str(address[i])};
		label[i][1] = (struct label){HG_STR("instance"), hg_str(address[i])};
		target[i].labels = (struct labels){label[i], 2};
		job[i] = w.job;
		job[i].targets = &target[i];
		job[i].sample_limit = (uint32_t)i % 3;
	}
	assert_int_equal(scrape_apply(w.scrape, job, N, &err), HG_OK);
	assert_int_equal(w.scrape->target_n, N);
	int n = 0;
	HG_LIST_EACH (at, &w.scrape->targets)
		was[n++] = HG_CONTAINER(at, struct target, node);
	/* The first comes last and one goes: all others go on as they are, and soon. */
	struct scrape_job_conf first_job = job[0];
	memmove(job, job + 1, (N - 1) * sizeof *job);
	job[N - 1] = first_job;
	memmove(job + 10, job + 11, (N - 11) * sizeof *job);
	uint64_t begin = clock_mono_ns();
	for (int i = 0; i < 20; i++)
		assert_int_equal(scrape_apply(w.scrape, job, N - 1, &err), HG_OK);
	print_message(
	        "20 times %d targets: %.3f s\n", N - 1, (double)(clock_mono_ns() - begin) / 1e9);
	/* What was never asked has no series to end. */
	assert_int_equal(w.scrape->target_n, N - 1);
	for (int i = 0; i < N; i++)
		assert_true(i == 11 || was[i]->kept);
	world_free(&w);
}

static void targets_are_relabelled_before_they_are_asked(void **s)
{
	static const struct hg_str path[] = {{"__path", 6}}, keep[] = {{"keep", 4}};
	const struct relabel_conf rule[] = {
	        {.source = path, .source_n = 1, .target = HG_STR("__metrics_path__")},
	        {.action = RELABEL_KEEP, .source = keep, .source_n = 1, .regex = HG_STR("yes")},
	};
	struct world w;
	struct scrape_status st;
	size_t at = 0;
	(void)s;
	world_new(&w, "127.0.0.1:0");
	w.label[2] = (struct label){HG_STR("__path"), HG_STR("/stats?full=1")};
	w.label[3] = (struct label){HG_STR("keep"), HG_STR("yes")};
	w.target.labels.n = 4;
	w.job.relabel = rule;
	w.job.relabel_n = HG_COUNT(rule);
	apply(&w);
	int64_t t = scraped(&w, "a 1\n");
	has(&w, "a", t, "{instance=\"i\", job=\"j\", keep=\"yes\"} 1;");
	assert_int_equal(strncmp(w.server.request, "GET /stats?full=1 HTTP/1.1", 26), 0);
	w.label[3].value = HG_STR("no");
	apply(&w);
	assert_true(scrape_status_next(w.scrape, &at, &st));
	assert_true(st.dropped);
	assert_str(labels_get(st.discovered, HG_STR("keep")), "no");
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_good_answer_becomes_samples_and_a_report),
	        cmocka_unit_test(lines_may_come_in_any_order),
	        cmocka_unit_test(a_series_that_is_missing_ends_at_once),
	        cmocka_unit_test(gzip_is_asked_for_where_it_helps_and_unpacked),
	        cmocka_unit_test(a_hostile_server_costs_its_own_scrape_and_nothing_else),
	        cmocka_unit_test(a_gzip_bomb_and_a_torn_gzip_are_refused),
	        cmocka_unit_test(an_empty_gzip_is_no_answer),
	        cmocka_unit_test(silence_ends_with_the_time_out_and_nobody_there_at_once),
	        cmocka_unit_test(a_kept_connection_that_was_closed_meanwhile_is_no_failure),
	        cmocka_unit_test(limits_fail_the_whole_scrape),
	        cmocka_unit_test(conflicts_of_labels_are_settled_by_honor_labels),
	        cmocka_unit_test(times_of_the_target_count_unless_told_otherwise),
	        cmocka_unit_test(samples_are_relabelled_and_dropped_ones_counted),
	        cmocka_unit_test(bounds_of_buckets_get_one_form),
	        cmocka_unit_test(openmetrics_and_doubles_are_read),
	        cmocka_unit_test(a_replica_behind_a_unix_socket_is_asked_and_greeted),
	        cmocka_unit_test(a_target_that_is_gone_ends_after_two_intervals),
	        cmocka_unit_test(series_that_another_target_took_over_do_not_end),
	        cmocka_unit_test(an_apply_leaves_alone_what_is_wanted_as_before),
	        cmocka_unit_test(jobs_of_one_name_are_asked_each),
	        cmocka_unit_test(targets_are_relabelled_before_they_are_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
