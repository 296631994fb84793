#include "../test.h"

#include <jansson.h>

#include "wire/otlp.h"

static struct span_head head(void)
{
	struct span_head h = {.kind = SPAN_SERVER,
	        .status = SPAN_ERROR,
	        .has_parent = 1,
	        .flags = 3,
	        .start_ns = 1764183600000000001u,
	        .end_ns = 1764183600000000777u};
	memcpy(h.trace, "4bf92f3577b34da6a3ce929d0e0e4736", 32);
	memcpy(h.id, "00f067aa0ba902b7", 16);
	memcpy(h.parent, "b7ad6b7169203331", 16);
	return h;
}

static size_t sample(char *to, size_t cap)
{
	struct hg_out o = hg_out_over(to, cap);
	struct span_head h = head();
	struct span_writer w;
	span_begin(&w, &o, &h, HG_STR("GET /feedback"));
	span_str(&w, "url.path", HG_STR("/a\"b\\c\x01"));
	span_int(&w, "http.response.status_code", -503);
	span_bool(&w, "headgate.rescued", true);
	span_str(&w, "nothing", HG_STR(""));
	assert_true(span_end(&w));
	return o.n;
}

static void a_record_is_read_as_it_was_written(void **state)
{
	char bytes[SPAN_RECORD_MAX];
	struct span s;
	struct span_attr a;
	(void)state;
	size_t n = sample(bytes, sizeof bytes);
	assert_int_equal(span_size((struct hg_str){bytes, n}), n);
	assert_true(span_read((struct hg_str){bytes, n}, &s));
	assert_true(hg_str_eq(s.name, HG_STR("GET /feedback")));
	assert_int_equal(s.head.attrs, 3);
	assert_int_equal(s.head.start_ns, head().start_ns);
	assert_true(span_attr(&s, &a));
	assert_true(hg_str_eq(a.key, HG_STR("url.path")));
	assert_true(hg_str_eq(a.text, HG_STR("/a\"b\\c\x01")));
	assert_true(span_attr(&s, &a));
	assert_int_equal(a.number, -503);
	assert_true(span_attr(&s, &a));
	assert_int_equal(a.type, SPAN_BOOL);
	assert_int_equal(a.number, 1);
	assert_false(span_attr(&s, &a));
}

static void no_part_of_a_record_is_a_record(void **state)
{
	char bytes[SPAN_RECORD_MAX];
	struct span s;
	(void)state;
	size_t n = sample(bytes, sizeof bytes);
	for (size_t i = 0; i < n; i++) {
		assert_false(span_read((struct hg_str){bytes, i}, &s));
		/* … nor one that says it is smaller. */
		uint32_t size = (uint32_t)i;
		char copy[SPAN_RECORD_MAX];
		memcpy(copy, bytes, n);
		memcpy(copy, &size, sizeof size);
		assert_false(span_read((struct hg_str){copy, n}, &s));
	}
}

static void what_is_no_span_is_refused(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		char bytes[SPAN_RECORD_MAX];
		struct span s;
		size_t n = sample(bytes, sizeof bytes);
		struct span_head h;
		memcpy(&h, bytes, sizeof h);
		switch (i) {
		case 0: h.kind = 0; break;
		case 1: h.kind = 6; break;
		case 2: h.status = 3; break;
		case 3: h.name_n = 0; break;
		case 4: h.name_n = SPAN_NAME_MAX; break;
		case 5: h.attrs = 4; break;
		case 6: h.attrs = 2; break;
		case 7: h.trace[31] = '"'; break;
		case 8: memset(h.id, '0', sizeof h.id); break;
		default: h.parent[3] = 'A'; break;
		}
		memcpy(bytes, &h, sizeof h);
		if (span_read((struct hg_str){bytes, n}, &s)) fail_msg("case %d", i);
	}
}

static void a_record_that_grows_too_large_loses_its_last_attributes(void **state)
{
	char bytes[3 * SPAN_RECORD_MAX], big[2 * SPAN_VALUE_MAX];
	struct hg_out o = hg_out_over(bytes, sizeof bytes);
	struct span_head h = head();
	struct span_writer w;
	struct span s;
	struct span_attr a;
	(void)state;
	memset(big, 'x', sizeof big);
	span_begin(&w, &o, &h, (struct hg_str){big, sizeof big});
	for (int i = 0; i < 10; i++)
		span_str(&w, "k", (struct hg_str){big, sizeof big});
	assert_true(span_end(&w));
	assert_true(span_read((struct hg_str){bytes, o.n}, &s));
	assert_in_range(o.n, SPAN_RECORD_MAX / 2, SPAN_RECORD_MAX);
	assert_int_equal(s.name.n, SPAN_NAME_MAX);
	assert_int_equal(s.head.attrs, 3);
	assert_true(span_attr(&s, &a));
	assert_int_equal(a.text.n, SPAN_VALUE_MAX);
	/* … and one that finds no room is none. */
	o = hg_out_over(bytes, 200);
	span_begin(&w, &o, &h, HG_STR("x"));
	span_int(&w, "k", 1);
	assert_false(span_end(&w));
	assert_int_equal(o.n, 0);
}

static json_t *at(json_t *j, const char *path)
{
	char copy[128];
	(void)snprintf(copy, sizeof copy, "%s", path);
	for (char *save, *p = strtok_r(copy, "/", &save); p && j; p = strtok_r(NULL, "/", &save))
		j = *p >= '0' && *p <= '9' ? json_array_get(j, (size_t)(*p - '0'))
		                           : json_object_get(j, p);
	return j;
}

static void otlp_is_the_json_of_the_specification(void **state)
{
	char bytes[SPAN_RECORD_MAX];
	struct hg_buf b;
	struct otlp_writer w;
	struct span s;
	const struct otlp_pair resource[] = {
	        {"service.name", HG_STR("edge")}, {"none", HG_STR("")}};
	(void)state;
	size_t n = sample(bytes, sizeof bytes);
	assert_true(span_read((struct hg_str){bytes, n}, &s));
	hg_buf_init(&b, 1 << 20);
	otlp_begin(&w, &b, resource, 2, "headgate");
	otlp_span(&w, &s);
	otlp_span(&w, &s);
	assert_true(otlp_end(&w));
	json_t *root = json_loadb(b.p, b.n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	json_t *one = at(root, "resourceSpans/0/scopeSpans/0/spans/1");
	assert_non_null(one);
	assert_int_equal(json_array_size(at(root, "resourceSpans/0/resource/attributes")), 1);
	assert_string_equal(json_string_value(at(root,
	                            "resourceSpans/0/resource/attributes/0/value/stringValue")),
	        "edge");
	assert_string_equal(
	        json_string_value(at(one, "traceId")), "4bf92f3577b34da6a3ce929d0e0e4736");
	assert_string_equal(json_string_value(at(one, "spanId")), "00f067aa0ba902b7");
	assert_string_equal(json_string_value(at(one, "parentSpanId")), "b7ad6b7169203331");
	assert_string_equal(json_string_value(at(one, "startTimeUnixNano")), "1764183600000000001");
	assert_string_equal(json_string_value(at(one, "endTimeUnixNano")), "1764183600000000777");
	assert_int_equal(json_integer_value(at(one, "kind")), 2);
	assert_int_equal(json_integer_value(at(one, "flags")), 3);
	assert_int_equal(json_integer_value(at(one, "status/code")), 2);
	assert_string_equal(
	        json_string_value(at(one, "attributes/0/value/stringValue")), "/a\"b\\c\x01");
	assert_string_equal(json_string_value(at(one, "attributes/1/value/intValue")), "-503");
	assert_true(json_is_true(at(one, "attributes/2/value/boolValue")));
	json_decref(root);
	hg_buf_free(&b);
}

static void answers_mean_taken_later_or_never(void **state)
{
	static const struct {
		int status;
		enum otlp_verdict v;
	} row[] = {{200, OTLP_TAKEN}, {202, OTLP_TAKEN}, {0, OTLP_LATER}, {429, OTLP_LATER},
	        {502, OTLP_LATER}, {503, OTLP_LATER}, {504, OTLP_LATER}, {500, OTLP_REFUSED},
	        {400, OTLP_REFUSED}, {404, OTLP_REFUSED}, {301, OTLP_REFUSED}, {505, OTLP_REFUSED}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++)
		assert_int_equal(otlp_judge(row[i].status), row[i].v);
	assert_int_equal(otlp_rejected(HG_STR("{}")), 0);
	assert_int_equal(otlp_rejected(HG_STR("")), 0);
	assert_int_equal(
	        otlp_rejected(HG_STR("{\"partialSuccess\":{\"rejectedSpans\":\"17\"}}")), 17);
	assert_int_equal(
	        otlp_rejected(HG_STR("{\"partialSuccess\": {\"rejectedSpans\" : 5 }}")), 5);
	assert_int_equal(otlp_rejected(HG_STR("{\"rejectedSpans\"")), 0);
}

static void lists_of_pairs_are_read_as_the_environment_has_them(void **state)
{
	struct hg_str list = HG_STR("a=1, b = two%20words ,,bad,=x,c=,d=%0a,e=%zz,api-key=k==");
	static const char *const want[][2] = {
	        {"a", "1"}, {"b", "two words"}, {"e", "%zz"}, {"api-key", "k=="}};
	char room[16];
	struct hg_str k, v;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(want); i++) {
		assert_true(otlp_pair_next(&list, room, sizeof room, &k, &v));
		assert_true(hg_str_eq(k, hg_str(want[i][0])) && hg_str_eq(v, hg_str(want[i][1])));
	}
	assert_false(otlp_pair_next(&list, room, sizeof room, &k, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_record_is_read_as_it_was_written),
	        cmocka_unit_test(no_part_of_a_record_is_a_record),
	        cmocka_unit_test(what_is_no_span_is_refused),
	        cmocka_unit_test(a_record_that_grows_too_large_loses_its_last_attributes),
	        cmocka_unit_test(otlp_is_the_json_of_the_specification),
	        cmocka_unit_test(answers_mean_taken_later_or_never),
	        cmocka_unit_test(lists_of_pairs_are_read_as_the_environment_has_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
