/* Rollouts as text: fixed documents in, what a person reads out. */
#include "../../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "face/cli/rollout_priv.h"

#include "rollout_docs.h"

#define NOW 1200000u /* 100 s into a step of 600 s */

static const struct cli utf8 = {.utf8 = true, .columns = 80};
static const struct cli ascii = {.utf8 = false, .plain = true, .columns = 80};

static json_t *doc(const char *text)
{
	json_error_t e;
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &e);
	if (!j) fail_msg("%s: %s", e.text, text + HG_MAX(e.position - 40, 0));
	return j;
}

static void fits(const struct hg_buf *text, bool only_ascii)
{
	struct hg_str rest = hg_buf_view(text);
	assert_false(text->failed);
	while (rest.n) {
		struct hg_str line = hg_str_cut(&rest, '\n');
		if (cli_columns(line) > 80) fail_msg("too wide: %.*s", HG_STR_ARG(line));
		for (size_t i = 0; i < line.n; i++) {
			unsigned char ch = (unsigned char)line.p[i];
			if (ch < 0x20 || ch == 0x7f || (only_ascii && ch >= 0x80))
				fail_msg("byte %02x in: %.*s", ch, HG_STR_ARG(line));
		}
	}
}

static void is_page(const struct cli *c, const char *text, const char *want)
{
	struct hg_buf page;
	json_t *j = doc(text);
	hg_buf_init(&page, 1u << 16);
	cli_rollout_page(c, j, NOW, &page);
	fits(&page, !c->utf8);
	assert_string_equal(hg_buf_text(&page), want);
	hg_buf_free(&page);
	json_decref(j);
}

static void a_page_of_a_start(void **s)
{
	(void)s;
	is_page(&utf8, doc_start,
	        "feedback 1.7.3 → 1.8.0   canary   rollout 42\n"
	        " ◌ start    0/1 canary replicas ready, 1 starting\n"
	        "   gate     ./smoke.sh                       before           next\n"
	        " users      0 errors seen: 0 canary failures answered by stable\n");
}

static void a_page_of_a_step(void **s)
{
	(void)s;
	is_page(&utf8, doc_step,
	        "feedback 1.7.3 → 1.8.0   canary   rollout 42\n"
	        " ✔ start    1/1 canary replicas ready\n"
	        " ✔ gate     ./smoke.sh                       before           passed 1.2s\n"
	        " ◌ canary   ███░░░░░░░░░░░░░░░░░  step 2/4  set 10 %  actual 9.8 %  8m20s left\n"
	        "   steps    ✔ 1 %  ◌ 10 %  25 %  100 %\n"
	        "\n"
	        "            stable 1.7.3    canary 1.8.0              evidence      verdict\n"
	        " requests   1804            201\n"
	        " errors     0.02 %          0.50 % [0.01, 2.7]        1.2 of 1000   ✔ within\n"
	        " slow p95   4.99 %          5.47 % [3, 10]            0.8 of 1000   ✔ within\n"
	        " good       3.1 of the 20 that prove it good\n"
	        " users      0 errors seen: 24 canary failures answered by stable\n");
}

static void a_page_on_a_terminal_without_utf8(void **s)
{
	(void)s;
	is_page(&ascii, doc_waiting,
	        "feedback 1.7.3 -> 1.8.0   canary   rollout 42\n"
	        " + start    1/1 canary replicas ready\n"
	        " o canary   #####...............  step 3/4  set 25 %  actual 25 %\n"
	        "   steps    + 1 %  o 10 %  25 %  100 %\n"
	        " ! waiting  for a person; go on with: headgate promote 42\n"
	        "   why      step 3 asks for a person\n"
	        " users      0 errors seen: 0 canary failures answered by stable\n");
}

static void is_end(const struct cli *c, const char *text, const char *logs, const char *want)
{
	struct hg_buf page;
	json_t *j = doc(text), *lines = logs ? json_loads(logs, 0, NULL) : NULL;
	hg_buf_init(&page, 1u << 16);
	cli_rollout_end(c, j, lines, cli_rollout_exit(j, false), &page);
	fits(&page, !c->utf8);
	assert_string_equal(hg_buf_text(&page), want);
	hg_buf_free(&page);
	json_decref(lines);
	json_decref(j);
}

#define LOG_LINE                                                                            \
	"{\"ts\":\"2026-11-23T20:14:03.123456Z\",\"level\":\"error\",\"app\":\"feedback\"," \
	"\"release\":8,\"replica\":4,\"text\":\"no such column: rating\"}"

static void copies_and_the_first_differences_are_told(void **s)
{
	struct hg_buf page;
	json_t *j = doc("{" DOC_MIRROR "\"users\":{},\"outcome\":\"\"}");
	(void)s;
	hg_buf_init(&page, 1u << 16);
	cli_rollout_why(&utf8, j, &page);
	fits(&page, false);
	assert_non_null(strstr(hg_buf_text(&page),
	        "   mirror   120 requests copied: 4 answered differently, 1 of them not at all;\n"
	        "            bodies of 2 not compared; 3 left out\n"
	        "   differs  GET /a: body at $.items[3].price, request 7f3c\n"
	        "            HEAD /b: 200 became 404\n"
	        "            GET /: header content-type\n"
	        "            GET /: no answer (timeout)\n"));
	hg_buf_free(&page);
	json_decref(j);
}

static void a_rollback_says_why_who_noticed_and_what_failed_first(void **s)
{
	(void)s;
	is_end(&utf8, doc_back, "[" LOG_LINE "]",
	        " ✖ rolled back from 10 % after 0.07s, 14 requests, 5 failed               exit 4\n"
	        "   why      errors: canary 5 of 14, stable 0 of 1804\n"
	        "   evidence errors: new 5/14, old 0/1804; 1700 ≥ 1000\n"
	        "   users    0 errors seen: 6 of 6 failures answered by 1.7.3\n"
	        "   first    POST /feedback 500 \"no such column: rating\"\n"
	        "            replica 4, request 7f3c91\n"
	        "   logs     20:14:03.123 error feedback.8.4 no such column: rating\n"
	        "   now      1.7.3 serves 100 %, 3 of 3 replicas ready\n"
	        "   next     headgate rollouts why 42\n"
	        "            headgate logs feedback --release 8 --replica 4\n");
}

static void a_promotion_says_what_serves(void **s)
{
	(void)s;
	is_end(&ascii, doc_promoted, NULL,
	        " + promoted: 1.8.0 serves, after 25m10s                                   exit 0\n"
	        "   users    0 errors seen: 3 of 3 failures answered by 1.7.3\n"
	        "   now      1.8.0 serves 100 %, 3 of 3 replicas ready\n"
	        "   next     headgate rollouts show 42 --watch\n");
}

static void a_promotion_without_proof_says_so(void **s)
{
	struct hg_buf page;
	json_t *j = doc(doc_promoted), *steps = json_object_get(j, "steps");
	(void)s;
	for (size_t i = 0; i < 2; i++) {
		json_object_set_new(json_array_get(steps, i), "unproven", json_true());
		json_object_set_new(json_array_get(steps, i), "proof", json_string("quiet"));
	}
	hg_buf_init(&page, 1u << 16);
	cli_rollout_end(&utf8, j, NULL, 0, &page);
	assert_non_null(strstr(hg_buf_text(&page),
	        "   unproven 2 of 4 steps: no request came, so nothing was judged\n"));
	json_object_set_new(json_array_get(steps, 0), "proof", json_string("person"));
	hg_buf_reset(&page);
	cli_rollout_end(&utf8, j, NULL, 0, &page);
	assert_non_null(strstr(hg_buf_text(&page), "   unproven 2 of 4 steps\n"));
	hg_buf_free(&page);
	json_decref(j);
}

static void a_rollback_to_nothing_that_is_ready_needs_a_human(void **s)
{
	struct hg_buf page;
	json_t *j = doc(doc_degraded);
	(void)s;
	hg_buf_init(&page, 1u << 16);
	cli_rollout_end(&utf8, j, NULL, cli_rollout_exit(j, false), &page);
	assert_non_null(strstr(hg_buf_text(&page), "exit 7\n"));
	assert_non_null(strstr(page.p, "none of the 3 replicas of 1.7.3 is ready: needs a human"));
	hg_buf_free(&page);
	json_decref(j);
}

static void what_an_app_answered_cannot_drive_the_terminal(void **s)
{
	const struct cli *const terms[] = {&utf8, &ascii};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(terms); i++) {
		struct hg_buf page;
		json_t *j = doc(doc_hostile);
		json_object_set_new(json_object_get(j, "new"), "version",
		        json_string("1\x1b[31m.8\x1b]52;c;AA==\x07\nspoof"));
		json_object_set_new(j, "why", json_string("\x1b[H\x1b[2Jall is \xc2\x9b well"));
		json_object_set_new(j, "next", json_string("\x1b[8mrm -rf"));
		hg_buf_init(&page, 1u << 16);
		cli_rollout_page(terms[i], j, NOW, &page);
		cli_rollout_end(terms[i], j, NULL, 4, &page);
		cli_rollout_line(terms[i], j, &page);
		fits(&page, terms[i] == &ascii); /* no byte below a space */
		assert_null(strstr(hg_buf_text(&page), "\xc2\x9b"));
		assert_null(strstr(page.p, "\xe2\x80\xae")); /* U+202E */
		assert_non_null(strstr(page.p, terms[i] == &utf8 ? "你好" : "a b"));
		hg_buf_free(&page);
		json_decref(j);
	}
}

static void every_page_fits_whatever_the_names_are(void **s)
{
	static const char *const docs[] = {doc_start, doc_step, doc_waiting, doc_promoted,
	        doc_ended, doc_back, doc_degraded, doc_aborted, doc_hostile};
	const struct cli *const terms[] = {&utf8, &ascii};
	(void)s;
	for (size_t i = 0; i < 2 * HG_COUNT(docs); i++) {
		const struct cli *c = terms[i % 2];
		struct hg_buf page;
		json_t *j = doc(docs[i / 2]), *many = json_array();
		json_t *new = json_object_get(j, "new"), *old = json_object_get(j, "old");
		json_object_set_new(
		        j, "app", json_string("an-app-with-a-name-that-has-no-end-at-all"));
		json_object_set_new(new, "version",
		        json_string("版本号很长很长很长很长很长很长很长很长很长很长很长"));
		json_object_set_new(old, "version",
		        json_string("2026.11.23-rc.1+build.0123456789abcdef0123456789"));
		json_object_set_new(j, "why",
		        json_string(
		                "a sentence that goes on and on, well beyond what a line of a "
		                "terminal holds, and thenawordthatisaslongasalineisanddoesnotend"
		                "thenawordthatisaslongasalineisanddoesnotend "
		                "漢字漢字漢字漢字漢字"));
		for (int k = 0; k < 30; k++)
			json_array_append_new(many, json_pack("{s:f,s:s,s:b}", "weight", 0.033 * k,
			                                    "state", "done", "unproven", k % 2));
		json_object_set_new(j, "steps", many);
		json_object_set_new(j, "gates",
		        json_pack("[{s:s,s:s,s:s,s:I,s:i}]", "when", "before-the-very-first-step",
		                "run", "./a/very/long/path/to/a/script --with many --flags x",
		                "state", "failed", "took_ms", (json_int_t)123456789, "status", 1));
		hg_buf_init(&page, 1u << 18);
		cli_rollout_page(c, j, NOW, &page);
		cli_rollout_end(c, j, NULL, 4, &page);
		cli_rollout_line(c, j, &page);
		fits(&page, c == &ascii);
		hg_buf_free(&page);
		json_decref(j);
	}
}

static void an_empty_document_is_shown_and_does_no_harm(void **s)
{
	struct hg_buf page;
	json_t *j = json_object();
	char key[256];
	(void)s;
	hg_buf_init(&page, 1u << 16);
	cli_rollout_page(&utf8, j, NOW, &page);
	cli_rollout_end(&utf8, j, NULL, 1, &page);
	cli_rollout_line(&utf8, j, &page);
	cli_rollout_key(j, key);
	cli_rollouts_table(&utf8, j, NOW, &page);
	cli_plan_text(&utf8, j, &page);
	fits(&page, false);
	assert_int_equal(cli_rollout_exit(j, false), -1);
	hg_buf_free(&page);
	json_decref(j);
}

static void lines_for_a_log_say_when_and_where_it_is(void **s)
{
	static const struct {
		const char *doc, *line;
	} rows[] = {
	        {doc_start, "   0.00s  o start           0/1 replicas ready\n"},
	        {doc_step, "   1m40s  o step 10 %       2/4\n"},
	        {doc_waiting, "  11m40s  ! waiting 25 %    for a person: headgate promote 42\n"},
	        {doc_promoted, "  25m10s  + promoted        1.8.0 serves 100 %\n"},
	        {doc_back,
	                "   1m40s  x rolled back     errors: canary 5 of 14, stable 0 of 1804\n"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct hg_buf text;
		json_t *j = doc(rows[i].doc);
		hg_buf_init(&text, 4096);
		cli_rollout_line(&ascii, j, &text);
		assert_string_equal(hg_buf_text(&text), rows[i].line);
		hg_buf_free(&text);
		json_decref(j);
	}
}

static void the_exit_status_of_every_state(void **s)
{
	static const struct {
		const char *state, *phase, *outcome;
		int old_ready, promoted, ended;
	} rows[] = {
	        {"running", "start", "", 3, -1, -1},
	        {"running", "gate", "", 3, -1, -1},
	        {"running", "step", "", 3, -1, -1},
	        {"running", "hold", "", 3, -1, -1},
	        {"paused", "step", "", 3, -1, -1},
	        {"waiting", "gate", "", 3, -1, -1},
	        {"running", "promote", "", 3, -1, -1},
	        {"running", "watch", "", 3, 0, -1},
	        {"running", "watch", "promoted", 0, 0, -1},
	        {"running", "back", "", 3, -1, -1},
	        {"done", "end", "promoted", 0, 0, 0},
	        {"aborted", "end", "rolled_back", 3, 4, 4},
	        {"aborted", "end", "rolled_back", 1, 4, 4},
	        {"aborted", "end", "rolled_back", 0, 7, 7},
	        {"superseded", "end", "superseded", 3, 4, 4},
	        {"done", "end", "", 3, 1, 1},
	        {"done", "end", "of another version", 3, 1, 1},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		json_t *j = json_pack("{s:s,s:s,s:s,s:{s:i,s:i}}", "state", rows[i].state, "phase",
		        rows[i].phase, "outcome", rows[i].outcome, "old", "wanted", 3, "ready",
		        rows[i].old_ready);
		print_message("# %s %s %s\n", rows[i].state, rows[i].phase, rows[i].outcome);
		assert_int_equal(cli_rollout_exit(j, false), rows[i].promoted);
		assert_int_equal(cli_rollout_exit(j, true), rows[i].ended);
		json_decref(j);
	}
	/* An app of zero replicas is not degraded by having none. */
	json_t *j = json_pack(
	        "{s:s,s:{s:i,s:i}}", "outcome", "rolled_back", "old", "wanted", 0, "ready", 0);
	assert_int_equal(cli_rollout_exit(j, false), 4);
	json_decref(j);
}

static void the_list_fits_and_has_a_number_in_its_first_column(void **s)
{
	json_t *list = json_loads(
	        "{\"rollouts\":[{\"id\":43,\"app\":\"feedback\",\"strategy\":\"canary\",\"old\":"
	        "{\"release\":7,\"version\":\"1.7.3\"},\"new\":{\"release\":9,\"version\":\"1.8."
	        "1\"}"
	        ",\"state\":\"running\",\"phase\":\"step\",\"outcome\":\"\",\"cause\":\"\","
	        "\"weight\":0.1,\"why\":\"\",\"created_ms\":1140000,\"ended_ms\":0},"
	        "{\"id\":42,\"app\":\"feedback\",\"strategy\":\"blue-green\",\"old\":{\"release\":"
	        "7,"
	        "\"version\":\"1.7.3\"},\"new\":{\"release\":8,\"version\":\"1.8.0\"},\"state\":"
	        "\"aborted\",\"phase\":\"end\",\"outcome\":\"rolled_back\",\"weight\":0,"
	        "\"created_ms\":1000,\"ended_ms\":2000}]}",
	        0, NULL);
	struct hg_buf text;
	(void)s;
	assert_non_null(list);
	hg_buf_init(&text, 1u << 16);
	cli_rollouts_table(&utf8, list, NOW, &text);
	fits(&text, false);
	assert_string_equal(hg_buf_text(&text),
	        "ID    APP          REL  FROM       TO         STRATEGY   STATE             AGE\n"
	        "43    feedback     9    1.7.3      1.8.1      canary     ◌ step 10 %       60s\n"
	        "42    feedback     8    1.7.3      1.8.0      blue-green ✖ rolled back     19m\n");
	hg_buf_free(&text);
	json_decref(list);
}

static void a_plan_shows_steps_times_and_what_would_be_found(void **s)
{
	json_t *plan = json_loads(
	        "{\"schema\":\"headgate.plan/1\",\"app\":\"feedback\",\"strategy\":\"canary\","
	        "\"old\":{\"release\":7,\"version\":\"1.7.3\"},\"new\":{\"release\":0,\"version\":"
	        "\"1.8.0\"},\"changes\":[\"artifact: 3f2a → 91bc\",\"env.LOG_LEVEL: debug\"],"
	        "\"traffic\":{\"requests_per_second\":20.04},\"steps\":[{\"weight\":0.01,"
	        "\"replicas\":1,\"least_ms\":300000,\"proven_ms\":-1},{\"weight\":0.1,\"replicas\":"
	        "1,"
	        "\"least_ms\":600000,\"proven_ms\":754000}],\"total_ms\":-1,\"detects\":[{"
	        "\"rate_old\":0.001,\"rate_new\":0.5,\"weight\":0.1,\"requests\":12,\"ms\":6000}],"
	        "\"warnings\":[\"step 1 has too little traffic to prove anything\"]}",
	        0, NULL);
	struct hg_buf text;
	(void)s;
	assert_non_null(plan);
	hg_buf_init(&text, 1u << 16);
	cli_plan_text(&ascii, plan, &text);
	fits(&text, true);
	assert_string_equal(hg_buf_text(&text),
	        "feedback 1.7.3 -> 1.8.0   canary   plan, nothing was changed\n"
	        " changes    artifact: 3f2a -> 91bc\n"
	        "            env.LOG_LEVEL: debug\n"
	        " traffic    20 requests/s\n"
	        "\n"
	        "STEP  WEIGHT   REPLICAS  AT LEAST  PROVEN AFTER\n"
	        "1     1 %      1         5m00s     never at this traffic\n"
	        "2     10 %     1         10m00s    12m34s\n"
	        "\n"
	        " total      no end at this traffic: a person promotes\n"
	        " detects    50 % failing (now 0.1 %) at 10 %: 12 requests, 6.0s\n"
	        " ! warning  step 1 has too little traffic to prove anything\n");
	hg_buf_free(&text);
	json_decref(plan);
}

static void columns_count_wide_and_combining_letters(void **s)
{
	struct hg_buf b;
	(void)s;
	assert_int_equal(cli_columns(HG_STR("你好")), 4);
	assert_int_equal(cli_columns(HG_STR("e\xcc\x81")), 1);
	assert_int_equal(cli_columns(HG_STR("\033[31m✖\033[0m x")), 3);
	assert_int_equal(cli_columns(HG_STR("\xff\xfe")), 2);
	hg_buf_init(&b, 1024);
	assert_int_equal(cli_put(&utf8, &b, HG_STR("你好你好"), 6), 5);
	assert_string_equal(hg_buf_text(&b), "你好…");
	hg_buf_reset(&b);
	cli_cell(&utf8, &b, "你好", 6);
	assert_string_equal(hg_buf_text(&b), "你好  ");
	hg_buf_reset(&b);
	assert_int_equal(cli_put(&ascii, &b, HG_STR("a → b ≥ c é"), 80), 13);
	assert_string_equal(hg_buf_text(&b), "a -> b >= c ?");
	hg_buf_reset(&b);
	cli_clip(&b, HG_STR("\033[1mabc\033[0mdef\nghi\njkl\n"), 4, 2);
	assert_string_equal(hg_buf_text(&b), "\033[1mabc\033[0md\033[0m\nghi\n");
	hg_buf_free(&b);
}

static void times_and_shares_read_like_people_write_them(void **s)
{
	char t[CLI_TEXT_MAX];
	(void)s;
	assert_string_equal(cli_human_ms(70, t), "0.07s");
	assert_string_equal(cli_human_ms(1234, t), "1.2s");
	assert_string_equal(cli_human_ms(500000, t), "8m20s");
	assert_string_equal(cli_human_ms(7500000, t), "2h05m");
	assert_string_equal(cli_human_ms(260000000, t), "3d");
	assert_string_equal(cli_human_share(0.1, t), "10 %");
	assert_string_equal(cli_human_share(0.098, t), "9.8 %");
	assert_string_equal(cli_human_share(0.0001, t), "0.01 %");
	assert_string_equal(cli_human_share(1, t), "100 %");
	assert_string_equal(cli_human_share(0, t), "0 %");
	assert_string_equal(cli_human_share(0.335, t), "33.5 %");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_page_of_a_start),
	        cmocka_unit_test(a_page_of_a_step),
	        cmocka_unit_test(a_page_on_a_terminal_without_utf8),
	        cmocka_unit_test(copies_and_the_first_differences_are_told),
	        cmocka_unit_test(a_rollback_says_why_who_noticed_and_what_failed_first),
	        cmocka_unit_test(a_promotion_says_what_serves),
	        cmocka_unit_test(a_promotion_without_proof_says_so),
	        cmocka_unit_test(a_rollback_to_nothing_that_is_ready_needs_a_human),
	        cmocka_unit_test(what_an_app_answered_cannot_drive_the_terminal),
	        cmocka_unit_test(every_page_fits_whatever_the_names_are),
	        cmocka_unit_test(an_empty_document_is_shown_and_does_no_harm),
	        cmocka_unit_test(lines_for_a_log_say_when_and_where_it_is),
	        cmocka_unit_test(the_exit_status_of_every_state),
	        cmocka_unit_test(the_list_fits_and_has_a_number_in_its_first_column),
	        cmocka_unit_test(a_plan_shows_steps_times_and_what_would_be_found),
	        cmocka_unit_test(columns_count_wide_and_combining_letters),
	        cmocka_unit_test(times_and_shares_read_like_people_write_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
