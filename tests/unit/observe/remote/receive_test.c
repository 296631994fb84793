/* What senders of every kind put before /api/v1/write. */
#include "../../test.h"

#include "world.h"

struct answer {
	bool done;
	int status;
	char body[512], written[32], retry[32];
};

static void on_answer(void *arg, const struct fetch_answer *a)
{
	struct answer *to = arg;
	to->done = true;
	to->status = a->status;
	if (a->result != FETCH_ANSWERED) fail_msg("%s", a->why);
	(void)snprintf(to->body, sizeof to->body, "%.*s", HG_STR_ARG(a->body));
	struct hg_str written = fetch_field(a, "X-Prometheus-Remote-Write-Samples-Written");
	struct hg_str retry = fetch_field(a, "Retry-After");
	(void)snprintf(to->written, sizeof to->written, "%.*s", (int)written.n,
	        written.n ? written.p : "");
	(void)snprintf(to->retry, sizeof to->retry, "%.*s", (int)retry.n, retry.n ? retry.p : "");
}

static struct answer post_as(struct world *w, struct hg_str body, const char *const *headers,
        uint32_t n, const char *method)
{
	struct answer a = {0};
	struct fetch *f;
	struct fetch_call *call;
	struct hg_err err = {0};
	struct fetch_request r = {.method = method,
	        .url = w->url,
	        .headers = headers,
	        .header_count = n,
	        .body = body,
	        .timeout_ms = 60000,
	        .keep_fields = true};
	assert_int_equal(fetch_new(w->loop, &f, &err), HG_OK);
	if (fetch_start(f, &r, on_answer, &a, &call, &err) != HG_OK) fail_msg("%s", err.message);
	while (!a.done)
		assert_int_equal(loop_turn(w->loop, 1000), HG_OK);
	fetch_free(f);
	return a;
}

static const char *const head_1[] = {"Content-Type: application/x-protobuf",
        "Content-Encoding: snappy", "X-Prometheus-Remote-Write-Version: 0.1.0"};
static const char *const head_2[] = {
        "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "Content-Encoding: snappy", "X-Prometheus-Remote-Write-Version: 2.0.0"};

static struct answer post(struct world *w, struct hg_str raw, const char *const *headers)
{
	struct hg_buf b;
	struct hg_err err = {0};
	hg_buf_init(&b, 1 << 20);
	if (snappy_pack(raw, &b, &err) != HG_OK) fail_msg("%s", err.message);
	struct answer a = post_as(w, hg_buf_view(&b), headers, 3, "POST");
	hg_buf_free(&b);
	return a;
}

static void put(struct hg_buf *b, const char *name, int64_t t, double v)
{
	struct remotewrite_label l[] = {{LABEL_METRIC, hg_str(name)}, {HG_STR("i"), HG_STR("1")}};
	remotewrite_put(b, l, 2, &t, &v, 1);
}

static void have(struct world *w, const char *want)
{
	char *text = everything(w->to);
	if (strcmp(text, want) != 0) fail_msg("have %s, want %s", text, want);
	free(text);
}

static void samples_are_taken_and_doubles_do_no_harm(void **state)
{
	struct world *w = world_new();
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	put(&b, "a", START, 1);
	put(&b, "a", START + 1000, 2);
	put(&b, "b", START, tsdb_stale());
	for (int i = 0; i < 2; i++) {
		struct answer a = post(w, hg_buf_view(&b), head_1);
		if (a.status != 204) fail_msg("%d %s", a.status, a.body);
		have(w, "a{i=\"1\"} 0:3ff0000000000000 1000:4000000000000000\n"
		        "b{i=\"1\"} 0:7ff0000000000002\n");
	}
	hg_buf_free(&b);
	world_free(w);
}

static void what_cannot_be_read_changes_nothing(void **state)
{
	struct world *w = world_new();
	struct hg_buf b;
	struct answer a;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	put(&b, "a", START, 1);
	a = post_as(w, hg_buf_view(&b), head_1, 3, "POST"); /* not compressed */
	assert_int_equal(a.status, 400);
	assert_non_null(strstr(a.body, "snappy"));
	hg_buf_byte(&b, 0x0a); /* a series that is cut off behind a whole one */
	hg_buf_byte(&b, 0x7f);
	a = post(w, hg_buf_view(&b), head_1);
	assert_int_equal(a.status, 400);
	assert_non_null(strstr(a.body, "protobuf"));
	a = post_as(w, HG_STR(""), head_1, 3, "POST");
	assert_int_equal(a.status, 400);
	have(w, "");
	hg_buf_free(&b);
	world_free(w);
}

static void good_samples_of_a_bad_request_are_kept(void **state)
{
	struct world *w = world_new();
	struct hg_buf b;
	struct answer a;
	struct remotewrite_label twice[] = {{LABEL_METRIC, HG_STR("c")}, {HG_STR("x"), HG_STR("1")},
	        {HG_STR("x"), HG_STR("2")}};
	struct remotewrite_label nameless = {HG_STR("x"), HG_STR("1")};
	struct remotewrite_label no_text[] = {
	        {LABEL_METRIC, HG_STR("d")}, {HG_STR("x"), HG_STR("\xff")}};
	int64_t t = START;
	double v = 5;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	put(&b, "a", START, 1);
	put(&b, "a", START, 7); /* another value for this time */
	put(&b, "b", START, 2);
	remotewrite_put(&b, twice, 3, &t, &v, 1);
	remotewrite_put(&b, &nameless, 1, &t, &v, 1);
	remotewrite_put(&b, no_text, 2, &t, &v, 1);
	a = post(w, hg_buf_view(&b), head_1);
	assert_int_equal(a.status, 400);
	assert_string_equal(a.body, "2 samples were taken, 4 refused (3 whole series); the first: "
	                            "a: another value is there for the same time\n");
	have(w, "a{i=\"1\"} 0:3ff0000000000000\nb{i=\"1\"} 0:4000000000000000\n");
	hg_buf_free(&b);
	world_free(w);
}

/* The version's page: what was not written is an error, also when the rest was. */
static void version_2_is_told_how_much_was_written(void **state)
{
	struct world *w = world_new();
	/* Request{series{refs 1,2 sample{2, START} histogram}, symbols "", "__name__", "up"} */
	static const char body[] = "\x2a\x19\x0a\x02\x01\x02"
	                           "\x12\x10\x09\x00\x00\x00\x00\x00\x00\x00\x40\x10"
	                           "\x80\xd0\x95\xff\xbc\x31"
	                           "\x1a\x01\x00"
	                           "\x22\x00\x22\x08__name__\x22\x02up";
	(void)state;
	struct answer a = post(w, (struct hg_str){body, sizeof body - 1}, head_2);
	if (a.status != 400) fail_msg("%d %s", a.status, a.body);
	assert_string_equal(a.body, "1 samples were taken, 0 refused (0 whole series); 1 native "
	                            "histograms were not taken: they are not built, classic "
	                            "histograms are\n");
	assert_string_equal(a.written, "1");
	have(w, "up 0:4000000000000000\n");
	world_free(w);
}

static void heads_that_mean_something_else_are_refused(void **state)
{
	struct world *w = world_new();
	static const struct {
		const char *head[3];
		uint32_t n;
		const char *word;
	} row[] = {
	        {{"Content-Type: application/json"}, 1, "application/x-protobuf"},
	        {{"Content-Type: application/x-protobuf; proto=a.B"}, 1, "a.B"},
	        {{"Content-Type: application/x-protobuf", "Content-Encoding: gzip"}, 2, "snappy"},
	        {{"Content-Type: application/x-protobuf", "X-Prometheus-Remote-Write-Version: 7.0"},
	                2, "7.0"},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct answer a = post_as(w, HG_STR("x"), row[i].head, row[i].n, "POST");
		if (a.status != 415 || !strstr(a.body, row[i].word))
			fail_msg("row %zu: %d %s", i, a.status, a.body);
	}
	struct answer a = post_as(w, HG_STR(""), NULL, 0, "GET");
	assert_int_equal(a.status, 405);
	world_free(w);
}

static void a_small_body_that_becomes_a_large_one_is_refused(void **state)
{
	struct world *w = world_new();
	(void)state;
	/* Its length alone: 128 MiB. */
	struct answer a = post_as(w, HG_STR("\x80\x80\x80\x40xxxx"), head_1, 3, "POST");
	assert_int_equal(a.status, 413);
	struct hg_buf b;
	hg_buf_init(&b, 64 << 20);
	memset(hg_buf_room(&b, REMOTE_BODY_MAX + 1), 'x', REMOTE_BODY_MAX + 1);
	hg_buf_add(&b, REMOTE_BODY_MAX + 1);
	a = post_as(w, hg_buf_view(&b), head_1, 3, "POST");
	assert_int_equal(a.status, 413);
	hg_buf_free(&b);
	world_free(w);
}

static void a_store_without_memory_asks_to_come_again(void **state)
{
	struct world *w = world_new();
	struct tsdb_options o = {.memory_bytes = 1};
	struct remote_conf take = {.receive = true};
	struct hg_err err = {0};
	struct hg_buf b;
	(void)state;
	remote_free(w->taker);
	tsdb_close(w->to);
	assert_int_equal(tsdb_open(&o, &w->to, &err), HG_OK);
	w->taker = remote_open(w, w->to, w->to_dir);
	assert_int_equal(remote_apply(w->taker, &take, &err), HG_OK);
	hg_buf_init(&b, 1 << 20);
	for (int i = 0; i < 200; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "m%d", i);
		put(&b, name, START, 1);
	}
	struct answer a = post(w, hg_buf_view(&b), head_1);
	if (a.status != 429) fail_msg("%d %s", a.status, a.body);
	assert_string_equal(a.retry, "30");
	hg_buf_free(&b);
	world_free(w);
}

static void it_is_closed_unless_it_is_opened(void **state)
{
	struct world *w = world_new();
	struct remote_conf none = {0};
	struct hg_err err = {0};
	(void)state;
	assert_int_equal(remote_apply(w->taker, &none, &err), HG_OK);
	struct answer a = post(w, HG_STR("x"), head_1);
	assert_int_equal(a.status, 404);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(samples_are_taken_and_doubles_do_no_harm),
	        cmocka_unit_test(what_cannot_be_read_changes_nothing),
	        cmocka_unit_test(good_samples_of_a_bad_request_are_kept),
	        cmocka_unit_test(version_2_is_told_how_much_was_written),
	        cmocka_unit_test(heads_that_mean_something_else_are_refused),
	        cmocka_unit_test(a_small_body_that_becomes_a_large_one_is_refused),
	        cmocka_unit_test(a_store_without_memory_asks_to_come_again),
	        cmocka_unit_test(it_is_closed_unless_it_is_opened),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
