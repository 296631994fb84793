#include "../../test.h"

#include "observe/collect/conf.c"

struct box {
	struct hg_arena a;
	struct hg_buf text;
	struct hg_err err;
};

static void box_init(struct box *b)
{
	hg_arena_init(&b->a, "test", 1 << 20);
	hg_buf_init(&b->text, 1 << 20);
	b->err = (struct hg_err){0};
}

static void box_fini(struct box *b)
{
	hg_arena_fini(&b->a);
	hg_buf_free(&b->text);
}

static const struct observe_conf_label labels[] = {
        {{"env", 3}, {"a \"quoted\" \\ one", 16}}, {{"zone", 4}, {"x\ny", 3}}};
static const struct observe_conf_app apps[] = {
        {.id = 7, .name = {"web", 3}, .path = {"/metrics?x=1&y", 14}, .interval_ms = 5000},
        {.id = UINT32_MAX,
                .name = {"b", 1},
                .path = {"/", 1},
                .timeout_ms = 1,
                .sample_limit = UINT32_MAX}};
static const struct observe_conf_target targets[] = {{.job = {"node", 4},
                                                             .address = {"127.0.0.1:9100", 14},
                                                             .path = {"/metrics", 8},
                                                             .interval_ms = 15000,
                                                             .timeout_ms = 2000,
                                                             .sample_limit = 9,
                                                             .honor_labels = true,
                                                             .labels = labels,
                                                             .label_n = 2},
        {.job = {"x", 1}, .address = {"unix:/x", 7}, .path = {"/m", 2}}};
static const struct hg_str sources[] = {{"__name__", 8}, {"job", 3}};
static const struct observe_conf_relabel rules[] = {
        {.action = {"drop", 4}, .regex = {"go_.*", 5}, .source = sources, .source_n = 2},
        {.action = {"replace", 7},
                .regex = {"(.*)", 4},
                .target = {"x", 1},
                .separator = {"", 0},
                .has_separator = true,
                .has_replacement = true}};
static const struct observe_conf_remote_target remotes[] = {
        {.name = {"central", 7},
                .url = {"https://a/api/v1/write", 22},
                .user = {"u", 1},
                .password = {"p\"", 2},
                .headers = labels,
                .header_n = 2,
                .timeout_ms = 30000,
                .shards = 4,
                .relabel = rules,
                .relabel_n = 2},
        {.name = {"b", 1},
                .url = {"http://b/", 9},
                .token = {"t", 1},
                .timeout_ms = 1,
                .shards = 1}};
static const struct observe_conf whole = {.remote = {.receive = true,
                                                  .labels = labels,
                                                  .label_n = 1,
                                                  .targets = remotes,
                                                  .target_n = 2},
        .store = {.keep_ms = 3600000,
                .keep_bytes = 1 << 20,
                .memory_bytes = 8 << 20,
                .series_per_app = 1},
        .apps = apps,
        .app_n = 2,
        .targets = targets,
        .target_n = 2};

static void test_what_is_written_is_read_again(void **state)
{
	struct box b;
	struct observe_conf c;
	struct hg_buf again;
	(void)state;
	box_init(&b);
	observe_conf_write(&whole, &b.text);
	assert_false(b.text.failed);
	assert_int_equal(observe_conf_read(hg_buf_view(&b.text), &b.a, &c, &b.err), HG_OK);
	assert_int_equal(c.store.keep_ms, 3600000);
	assert_int_equal(c.store.keep_bytes, 1 << 20);
	assert_int_equal(c.store.memory_bytes, 8 << 20);
	assert_int_equal(c.store.series_per_app, 1);
	assert_int_equal(c.app_n, 2);
	assert_int_equal(c.apps[0].id, 7);
	assert_str(c.apps[0].path, "/metrics?x=1&y");
	assert_int_equal(c.apps[0].interval_ms, 5000);
	assert_int_equal(c.apps[1].id, UINT32_MAX);
	assert_int_equal(c.apps[1].timeout_ms, 1);
	assert_int_equal(c.apps[1].sample_limit, UINT32_MAX);
	assert_int_equal(c.target_n, 2);
	assert_true(c.targets[0].honor_labels);
	assert_false(c.targets[1].honor_labels);
	assert_int_equal(c.targets[0].label_n, 2);
	assert_str(c.targets[0].labels[0].value, "a \"quoted\" \\ one");
	assert_str(c.targets[0].labels[1].value, "x\ny");
	assert_true(c.remote.receive);
	assert_int_equal(c.remote.label_n, 1);
	assert_int_equal(c.remote.target_n, 2);
	assert_str(c.remote.targets[0].password, "p\"");
	assert_int_equal(c.remote.targets[0].header_n, 2);
	assert_int_equal(c.remote.targets[0].relabel_n, 2);
	assert_str(c.remote.targets[0].relabel[0].source[1], "job");
	assert_true(c.remote.targets[0].relabel[1].has_separator);
	assert_int_equal(c.remote.targets[1].token.n, 1);
	/* Every member: the same text comes of it. */
	hg_buf_init(&again, 1 << 20);
	observe_conf_write(&c, &again);
	assert_str(hg_buf_view(&again), hg_buf_text(&b.text));
	hg_buf_free(&again);
	box_fini(&b);
}

static void test_what_is_not_said_has_its_default(void **state)
{
	struct box b;
	struct observe_conf c, d;
	(void)state;
	box_init(&b);
	observe_conf_defaults(&d);
	assert_int_equal(observe_conf_read(HG_STR("{\"version\":1}"), &b.a, &c, &b.err), HG_OK);
	assert_false(d.told);
	d.told = true;
	assert_memory_equal(&c, &d, sizeof c);
	assert_int_equal(d.store.keep_ms, 15ull * 24 * 3600 * 1000);
	/* A section of a room that this program does not have is no reason to refuse the rest. */
	assert_int_equal(observe_conf_read(HG_STR("{\"version\":1,\"store\":{\"keep_ms\":3600000},"
	                                          "\"later\":[1]}"),
	                         &b.a, &c, &b.err),
	        HG_OK);
	assert_int_equal(c.store.keep_ms, 3600000);
	assert_int_equal(c.store.keep_bytes, d.store.keep_bytes);
	box_fini(&b);
}

static void test_hostile_documents_are_refused_whole(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
	        {"", "no JSON object"},
	        {"[]", "no JSON object"},
	        {"{", "no JSON object"},
	        {"{\"version\":1}x", "no JSON object"},
	        {"{\"version\":1,\"version\":1}", "no JSON object"},
	        {"{\"version\":1,\"apps\":\"\xff\"}", "no JSON object"},
	        {"{}", "conf.version"},
	        {"{\"version\":2}", "conf.version"},
	        {"{\"version\":\"1\"}", "conf.version"},
	        {"{\"version\":1,\"store\":{\"keep_ms\":-1}}", "store.keep_ms"},
	        {"{\"version\":1,\"store\":{\"keep_ms\":1}}", "store.keep_ms"},
	        {"{\"version\":1,\"store\":{\"keep_ms\":1e9}}", "store.keep_ms"},
	        {"{\"version\":1,\"store\":{\"keep_bytes\":9223372036854775807}}",
	                "store.keep_bytes"},
	        {"{\"version\":1,\"store\":{\"memory_bytes\":true}}", "store.memory_bytes"},
	        {"{\"version\":1,\"store\":{\"series_per_app\":0}}", "store.series_per_app"},
	        {"{\"version\":1,\"apps\":{}}", "apps.list"},
	        {"{\"version\":1,\"apps\":[7]}", "apps.name"},
	        {"{\"version\":1,\"apps\":[{\"id\":1,\"name\":\"a\"}]}", "apps.path"},
	        {"{\"version\":1,\"apps\":[{\"name\":\"a\",\"path\":\"/\"}]}", "apps.id"},
	        {"{\"version\":1,\"apps\":[{\"id\":4294967296,\"name\":\"a\",\"path\":\"/\"}]}",
	                "apps.id"},
	        {"{\"version\":1,\"apps\":[{\"id\":1,\"name\":\"\",\"path\":\"/\"}]}", "apps.name"},
	        {"{\"version\":1,\"apps\":[{\"id\":1,\"name\":\"a\",\"path\":\"/\","
	         "\"interval_ms\":3600001}]}",
	                "apps.interval_ms"},
	        {"{\"version\":1,\"targets\":[{\"job\":\"a\",\"path\":\"/\"}]}", "targets.address"},
	        {"{\"version\":1,\"targets\":[{\"job\":\"a\",\"address\":\"b\",\"path\":\"/\","
	         "\"labels\":[{\"name\":\"x\"}]}]}",
	                "targets.value"},
	        {"{\"version\":1,\"targets\":[{\"job\":\"a\",\"address\":\"b\",\"path\":\"/\","
	         "\"labels\":{\"name\":\"x\"}}]}",
	                "targets.labels"},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct box b;
		struct observe_conf c = whole;
		box_init(&b);
		enum hg_rc rc = observe_conf_read(hg_str(rows[i].text), &b.a, &c, &b.err);
		if (rc != HG_E_INVALID || !strstr(b.err.message, rows[i].says))
			fail_msg("%s: %d %s", rows[i].text, rc, b.err.message);
		assert_memory_equal(&c, &whole, sizeof c);
		box_fini(&b);
	}
}

static void test_long_lists_and_texts_have_an_end(void **state)
{
	struct box b;
	struct observe_conf c;
	(void)state;
	box_init(&b);
	hg_buf_cstr(&b.text, "{\"version\":1,\"apps\":[");
	for (unsigned i = 0; i < OBSERVE_APPS_MAX + 1; i++)
		hg_buf_fmt(&b.text, "%s{\"id\":%u,\"name\":\"a%u\",\"path\":\"/\"}", i ? "," : "",
		        i + 1, i);
	hg_buf_cstr(&b.text, "]}");
	assert_int_equal(observe_conf_read(hg_buf_view(&b.text), &b.a, &c, &b.err), HG_E_INVALID);
	assert_non_null(strstr(b.err.message, "apps.list"));
	hg_buf_reset(&b.text);
	hg_buf_cstr(&b.text, "{\"version\":1,\"apps\":[{\"id\":1,\"path\":\"/\",\"name\":\"");
	for (unsigned i = 0; i < TEXT_MAX + 1; i++)
		hg_buf_byte(&b.text, 'x');
	hg_buf_cstr(&b.text, "\"}]}");
	assert_int_equal(observe_conf_read(hg_buf_view(&b.text), &b.a, &c, &b.err), HG_E_INVALID);
	assert_non_null(strstr(b.err.message, "apps.name"));
	/* An arena that is full is no crash either. */
	struct hg_arena small;
	hg_arena_init(&small, "small", 16);
	observe_conf_write(&whole, &b.text);
	hg_buf_reset(&b.text);
	observe_conf_write(&whole, &b.text);
	assert_int_equal(observe_conf_read(hg_buf_view(&b.text), &small, &c, &b.err), HG_E_NOMEM);
	hg_arena_fini(&small);
	box_fini(&b);
}

static void test_deep_documents_do_not_use_up_the_stack(void **state)
{
	struct box b;
	struct observe_conf c;
	(void)state;
	box_init(&b);
	hg_buf_cstr(&b.text, "{\"version\":1,\"apps\":");
	for (unsigned i = 0; i < 100000; i++)
		hg_buf_byte(&b.text, '[');
	assert_int_equal(observe_conf_read(hg_buf_view(&b.text), &b.a, &c, &b.err), HG_E_INVALID);
	box_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_what_is_written_is_read_again),
	        cmocka_unit_test(test_what_is_not_said_has_its_default),
	        cmocka_unit_test(test_hostile_documents_are_refused_whole),
	        cmocka_unit_test(test_long_lists_and_texts_have_an_end),
	        cmocka_unit_test(test_deep_documents_do_not_use_up_the_stack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
