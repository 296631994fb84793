#include "tests/unit/test.h"

#include "base/buf.h"

#include "apps/feedback/message.c"

static const char required[] = "Request body is required";
static const char missing[] = "Message field is required and cannot be empty";

static void check_refused(const char *body, const char *want)
{
	struct message m;
	const char *wrong = message_parse(hg_str(body), &m);
	if (!wrong) fail_msg("%s was accepted", body);
	assert_string_equal(wrong, want);
}

static void a_message_is_taken_trimmed(void **state)
{
	struct message m;
	(void)state;
	assert_null(message_parse(HG_STR("{\"message\": \"  Great app! \\n\"}"), &m));
	assert_str(((struct hg_str){m.bytes, m.n}), "Great app!");
	assert_null(message_parse(HG_STR("{\"message\": \"\\ud83c\\udf0a <b>&\", \"x\": 1}"), &m));
	assert_str(((struct hg_str){m.bytes, m.n}), "\xf0\x9f\x8c\x8a <b>&");
}

static void every_kind_of_nothing_has_its_sentence(void **state)
{
	(void)state;
	check_refused("", required);
	check_refused("  \n", required);
	check_refused("{}", required);
	check_refused("null", required);
	check_refused("[]", required);
	check_refused("{\"other\": 1}", missing);
	check_refused("{\"message\": null}", missing);
	check_refused("{\"message\": \"\"}", missing);
	check_refused("{\"message\": \" \\t\\u00a0\\u3000 \"}", missing);
}

static void other_types_and_broken_json_are_refused(void **state)
{
	(void)state;
	check_refused("{\"message\": 7}", "Message must be a string");
	check_refused("{\"message\": [\"a\"]}", "Message must be a string");
	check_refused("{\"message\": false}", "Message must be a string");
	check_refused("[1]", "Request body must be a JSON object");
	check_refused("\"text\"", "Request body must be a JSON object");
	check_refused("{\"message\": \"a\"", "Request body is not valid JSON");
	check_refused("message=hello", "Request body is not valid JSON");
	check_refused("{\"message\": \"\xff\"}", "Request body is not valid JSON");
	check_refused("{\"message\": \"\\ud800\"}", "Request body is not valid JSON");
	check_refused("{\"message\": \"a\"} {}", "Request body is not valid JSON");
	check_refused(
	        "{\"message\": \"a\\u0000b\"}", "Message cannot contain the character U+0000");
}

/* What is read at once is read as the library reads it: every byte, put in, put over and taken out.
 */
static void the_short_way_is_as_exact_as_the_long_one(void **state)
{
	static const char *const bodies[] = {"{\"message\":\"a \xc3\xa4\"}",
	        " {\t\"message\" : \n\"  \xe2\x98\x83\"\r} ", "{\"message\": \"\"}"};
	uint32_t short_ways = 0;
	(void)state;
	for (size_t i = 0; i < 3 * HG_COUNT(bodies); i++) {
		const char *body = bodies[i / 3];
		size_t n = strlen(body), how = i % 3;
		for (size_t at = 0; at < n + (how == 0); at++) {
			for (int byte = 0; byte < (how == 2 ? 1 : 256); byte++) {
				char text[64];
				size_t put = how != 2, over = how != 0;
				memcpy(text, body, at);
				if (put) text[at] = (char)byte;
				memcpy(text + at + put, body + at + over, n - at - over);
				struct hg_str s = {text, n + put - over}, unused;
				struct message a = {0}, b = {0};
				const char *x = message_parse(s, &a), *y = parse(s, &b);
				if (x != y && (!x || !y || strcmp(x, y) != 0))
					fail_msg("%.*s: %s, %s", HG_STR_ARG(s), x, y);
				if (!x) assert_int_equal(a.n, b.n);
				if (!x) assert_memory_equal(a.bytes, b.bytes, a.n);
				short_ways += plain(s, &unused);
			}
		}
	}
	assert_true(short_ways > 1000);
}

static void body_of(struct hg_buf *b, const char *character, size_t n)
{
	hg_buf_init(b, 1 << 20);
	hg_buf_cstr(b, "{\"message\": \" ");
	for (size_t i = 0; i < n; i++)
		hg_buf_cstr(b, character);
	hg_buf_cstr(b, " \"}");
}

static void five_hundred_code_points_fit_and_one_more_does_not(void **state)
{
	static const char *const characters[] = {
	        "a", "\xc3\xa4", "\xf0\x9f\x8c\x8a", "\\ud83c\\udf0a"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(characters); i++) {
		struct message m;
		struct hg_buf b;
		body_of(&b, characters[i], 500);
		assert_null(message_parse(hg_buf_view(&b), &m));
		assert_int_equal(hg_utf8_count((struct hg_str){m.bytes, m.n}), 500);
		hg_buf_free(&b);
		body_of(&b, characters[i], 501);
		assert_string_equal(
		        message_parse(hg_buf_view(&b), &m), "Message cannot exceed 500 characters");
		hg_buf_free(&b);
	}
}

static void json_nested_without_end_is_refused_and_not_followed(void **state)
{
	struct hg_buf b;
	struct message m;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	for (int i = 0; i < 60000; i++)
		hg_buf_byte(&b, '[');
	assert_string_equal(message_parse(hg_buf_view(&b), &m), "Request body is not valid JSON");
	hg_buf_free(&b);
}

static void only_json_in_utf8_is_json(void **state)
{
	(void)state;
	assert_true(message_type_ok(HG_STR("application/json")));
	assert_true(message_type_ok(HG_STR("Application/JSON; charset=UTF-8")));
	assert_true(message_type_ok(HG_STR("application/json; charset=\"utf-8\"")));
	assert_true(message_type_ok(HG_STR("application/vnd.feedback+json")));
	assert_false(message_type_ok(HG_STR("application/json; charset=latin1")));
	assert_false(message_type_ok(HG_STR("application/jsonx")));
	assert_false(message_type_ok(HG_STR("text/plain")));
	assert_false(message_type_ok(HG_STR("application/x-www-form-urlencoded")));
	assert_false(message_type_ok(HG_STR("text/x+json")));
	assert_false(message_type_ok(HG_STR("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_message_is_taken_trimmed),
	        cmocka_unit_test(every_kind_of_nothing_has_its_sentence),
	        cmocka_unit_test(other_types_and_broken_json_are_refused),
	        cmocka_unit_test(the_short_way_is_as_exact_as_the_long_one),
	        cmocka_unit_test(five_hundred_code_points_fit_and_one_more_does_not),
	        cmocka_unit_test(json_nested_without_end_is_refused_and_not_followed),
	        cmocka_unit_test(only_json_in_utf8_is_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
