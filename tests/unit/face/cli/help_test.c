#include "../../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "face/cli/client_priv.h"

static void no_help_page_is_wider_than_80_columns(void **s)
{
	size_t n;
	const struct cli_verb_row *rows = cli_rows(&n);
	(void)s;
	assert_true(n >= 20);
	for (size_t i = 0; i < n; i++) {
		struct hg_buf text;
		hg_buf_init(&text, 65536);
		cli_help_text(&rows[i], false, &text);
		struct hg_str rest = hg_str(hg_buf_text(&text));
		while (rest.n) {
			struct hg_str line = hg_str_cut(&rest, '\n');
			if (hg_utf8_count(line) > 80) fail_msg("too wide: %.*s", HG_STR_ARG(line));
		}
		assert_non_null(strstr(text.p, "--data"));
		assert_non_null(strstr(text.p, rows[i].examples->command));
		hg_buf_free(&text);
	}
}

/* What is offered after the words of `line` (cut at its spaces), joined by commas. */
static enum cli_more offered(const char *line, char to[4096], struct cli_about *ret_about)
{
	static char copy[512];
	const char *words[16];
	struct cli_about about;
	int n = 0;
	struct hg_buf b;
	snprintf(copy, sizeof copy, "%s", line);
	words[n++] = copy;
	for (char *at = copy; *at; at++) {
		if (*at != ' ') continue;
		*at = 0;
		words[n++] = at + 1;
	}
	hg_buf_init(&b, 65536);
	enum cli_more more = cli_complete_words(n, words, ret_about ? ret_about : &about, &b);
	struct hg_str rest = hg_buf_view(&b);
	struct hg_out o = hg_out_over(to, 4095);
	while (rest.n) {
		struct hg_str text = hg_str_cut(&rest, '\n');
		if (o.n) hg_out_byte(&o, ',');
		hg_out_str(&o, hg_str_cut(&text, '\t'));
	}
	to[o.n] = 0;
	hg_buf_free(&b);
	return more;
}

static void completion_offers_what_the_line_may_go_on_with(void **s)
{
	static const struct {
		const char *line, *words;
		enum cli_more more;
	} rows[] = {
	        {"sta", "status", CLI_MORE_NOTHING},
	        {"to", "top,token", CLI_MORE_NOTHING},
	        {"config ", "check,show,fmt,schema", CLI_MORE_NOTHING},
	        {"config ch", "check", CLI_MORE_NOTHING},
	        {"config check ", "", CLI_MORE_FILES},
	        {"config check a.yaml ", "", CLI_MORE_NOTHING},
	        {"config fmt --", "--file,--check,--write,--data,--plain,--help", CLI_MORE_NOTHING},
	        {"token revoke --d", "--dry-run,--data", CLI_MORE_NOTHING},
	        {"up --det", "--detach", CLI_MORE_NOTHING},
	        {"up -f ", "", CLI_MORE_FILES},
	        {"up -df ", "", CLI_MORE_FILES},
	        {"up -fx.yaml --det", "--detach", CLI_MORE_NOTHING},
	        {"up --file= --det", "--detach", CLI_MORE_NOTHING},
	        {"logs -f ", "", CLI_MORE_APPS},
	        {"logs --level e", "error", CLI_MORE_NOTHING},
	        {"logs --level = e", "error", CLI_MORE_NOTHING},
	        {"logs --level =", "debug,info,warn,error", CLI_MORE_NOTHING},
	        {"logs --level=w", "--level=warn", CLI_MORE_NOTHING},
	        {"logs --app ", "", CLI_MORE_APPS},
	        {"logs --since ", "", CLI_MORE_NOTHING},
	        {"demo --dir ", "", CLI_MORE_FOLDERS},
	        {"--plain --data /x sta", "status", CLI_MORE_NOTHING},
	        {"run --replicas 3 -- ./server --", "", CLI_MORE_FILES},
	        {"deploy ", "", CLI_MORE_APPS},
	        {"deploy web --strategy ca", "canary", CLI_MORE_NOTHING},
	        {"promote 4", "", CLI_MORE_ROLLOUTS},
	        {"promote 43 ", "", CLI_MORE_NOTHING},
	        {"rollouts re", "resume,retry", CLI_MORE_NOTHING},
	        {"rollouts --lim", "--limit", CLI_MORE_NOTHING},
	        {"rollouts --limit 5 --js", "--json", CLI_MORE_NOTHING},
	        {"rollouts why ", "", CLI_MORE_ROLLOUTS},
	        {"rollouts list ", "", CLI_MORE_APPS},
	        {"rollback web --to ", "", CLI_MORE_RELEASES},
	        {"completion ", "bash,zsh,fish", CLI_MORE_NOTHING},
	        {"help vers", "version", CLI_MORE_NOTHING},
	        {"nonsense ", "", CLI_MORE_NOTHING},
	        {"config nonsense -", "", CLI_MORE_NOTHING},
	};
	char have[4096];
	(void)s;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		enum cli_more more = offered(rows[i].line, have, NULL);
		if (strcmp(have, rows[i].words) != 0 || more != rows[i].more)
			fail_msg("headgate %s: %s (%d), want %s (%d)", rows[i].line, have, more,
			        rows[i].words, rows[i].more);
	}
	struct cli_about about;
	(void)offered("--data /a/b scale ", have, &about);
	assert_string_equal(about.data, "/a/b");
	(void)offered("scale --data=/c ", have, &about);
	assert_string_equal(about.data, "/c");
	(void)offered("scale --data ", have, &about);
	assert_null(about.data);
	(void)offered("rollback --wait web --to ", have, &about);
	assert_string_equal(about.first, "web");
}

static void a_page_of_help_is_what_it_was(void **s)
{
	struct hg_buf text;
	(void)s;
	hg_buf_init(&text, 65536);
	cli_help_text(cli_row_find(HG_STR("rollback")), false, &text);
	assert_string_equal(hg_buf_text(&text),
	        "headgate rollback APP [FLAGS]\n"
	        "  go back to an earlier release\n"
	        "\n"
	        "To the release that was promoted last before the serving one, or to the one\n"
	        "named by --to. While a rollout of the app runs, it is aborted. With --wait it\n"
	        "returns when the earlier release serves.\n"
	        "\n"
	        "Flags\n"
	        "      --to RELEASE          number or version of the release\n"
	        "      --wait                return when it is done\n"
	        "      --timeout DURATION    with --wait: end with 5 after so long (default: no \n"
	        "                            end)\n"
	        "      --dry-run             show what would happen, change nothing\n"
	        "      --json                print one JSON object with a schema field\n"
	        "      --data DIR            data folder (HEADGATE_DATA, default ./.headgate)\n"
	        "      --plain               no colour, no animation, ASCII symbols\n"
	        "  -h, --help                show the help of the command\n"
	        "\n"
	        "Examples\n"
	        "  # back to the version before\n"
	        "  headgate rollback feedback --wait\n"
	        "  # to a release by version or number\n"
	        "  headgate rollback feedback --to 1.6.2\n"
	        "\n"
	        "Exit codes\n"
	        "  0    done\n"
	        "  1    unexpected failure\n"
	        "  2    usage: the command line is not understood\n"
	        "  4    rolled back, the old version is serving\n"
	        "  5    still waiting, or timed out\n"
	        "  6    a precondition is not met; nothing was changed\n"
	        "  7    degraded, needs a human\n"
	        "  130  detached by q or Ctrl-C; what was asked for goes on\n");
	hg_buf_free(&text);
}

static void is_live(enum cli_more more, const char *doc, const char *current, const char *want)
{
	struct hg_buf b;
	json_t *j = json_loads(doc, 0, NULL);
	assert_non_null(j);
	hg_buf_init(&b, 65536);
	cli_complete_live(more, j, current, &b);
	assert_string_equal(hg_buf_text(&b), want);
	hg_buf_free(&b);
	json_decref(j);
}

/* A version could be made by somebody else, and ends up in the line of a shell. */
static void running_things_are_offered_and_nothing_a_shell_would_run(void **s)
{
	static const char apps[] = "{\"apps\":[{\"name\":\"feedback\",\"phase\":\"running\"},"
	                           "{\"name\":\"web\",\"phase\":\"backoff\"}]}";
	static const char list[] =
	        "{\"rollouts\":["
	        "{\"id\":43,\"app\":\"web\",\"state\":\"running\","
	        "\"old\":{\"release\":8,\"version\":\"1.7.3\"},"
	        "\"new\":{\"release\":9,\"version\":\"$(exit)\"}},"
	        "{\"id\":42,\"app\":\"web\",\"state\":\"ended\","
	        "\"old\":{\"release\":0,\"version\":\"-rf\"},"
	        "\"new\":{\"release\":8,\"version\":\"1.7.3\"}},"
	        "{\"id\":0,\"app\":\"a b\",\"new\":{\"release\":5,\"version\":\"a\\nb\"}}]}";
	(void)s;
	is_live(CLI_MORE_APPS, apps, "", "feedback\trunning\nweb\tbackoff\n");
	is_live(CLI_MORE_APPS, apps, "w", "web\tbackoff\n");
	is_live(CLI_MORE_ROLLOUTS, list, "4", "43\tweb running\n42\tweb ended\n");
	is_live(CLI_MORE_ROLLOUTS, list, "42", "42\tweb ended\n");
	is_live(CLI_MORE_RELEASES, list, "", "9\tweb\n1.7.3\tweb\n8\tweb\n");
	is_live(CLI_MORE_RELEASES, list, "1.", "1.7.3\tweb\n");
	is_live(CLI_MORE_RELEASES, "{\"rollouts\":3}", "", "");
	is_live(CLI_MORE_FILES, list, "", "");
}

static void every_verb_is_offered_with_its_flags(void **s)
{
	size_t n;
	const struct cli_verb_row *rows = cli_rows(&n);
	char line[128], have[4096];
	(void)s;
	for (size_t i = 0; i < n; i++) {
		const char *last = strrchr(rows[i].name, ' ');
		snprintf(line, sizeof line, "%.*s", (int)strlen(rows[i].name) - 1, rows[i].name);
		(void)offered(line, have, NULL);
		assert_non_null(strstr(have, last ? last + 1 : rows[i].name));
		snprintf(line, sizeof line, "%s -", rows[i].name);
		(void)offered(line, have, NULL);
		for (const struct cli_flag *f = rows[i].flags; f->name; f++)
			assert_non_null(strstr(have, f->name));
	}
}

static void numbers_read_like_people_write_them(void **s)
{
	char t[CLI_TEXT_MAX];
	(void)s;
	assert_string_equal(cli_human_rate(0, t), "0");
	assert_string_equal(cli_human_rate(0.44, t), "0.4");
	assert_string_equal(cli_human_rate(2005, t), "2005");
	assert_string_equal(cli_human_rate(20050, t), "20k");
	assert_string_equal(cli_human_seconds(0.0412, t), "41 ms");
	assert_string_equal(cli_human_seconds(0.00123, t), "1.2 ms");
	assert_string_equal(cli_human_seconds(1.25, t), "1.2 s");
	assert_string_equal(cli_human_ratio(0.0002, t), "0.02 %");
	assert_string_equal(cli_human_ratio(0.5, t), "50 %");
	assert_string_equal(cli_human_ratio(0.00001, t), "<0.01 %");
	assert_string_equal(cli_human_bytes(1023, t), "1023 B");
	assert_string_equal(cli_human_bytes(4299162, t), "4.1 MiB");
	assert_string_equal(cli_human_bytes(44023414784ull, t), "41 GiB");
	assert_string_equal(cli_human_age(41, t), "41s");
	assert_string_equal(cli_human_age(7200, t), "2h");
}

static void log_text_cannot_drive_the_terminal(void **s)
{
	struct hg_buf b;
	(void)s;
	hg_buf_init(&b, 1024);
	cli_clean(&b, HG_STR("a\033[31mred\033[0m\033]0;title\007b\tc\r\xc2\x9b"
	                     "d\xc3\xa9"));
	assert_string_equal(hg_buf_text(&b), "ared]0;titleb    cd\xc3\xa9");
	hg_buf_free(&b);
}

static void columns_count_letters_and_not_bytes_or_colours(void **s)
{
	struct hg_buf b;
	(void)s;
	hg_buf_init(&b, 256);
	assert_int_equal(cli_width("\033[32m✔\033[0m é"), 3);
	cli_pad(&b, "é", 3);
	cli_pad(&b, "abcdef", 3);
	assert_string_equal(hg_buf_text(&b), "é  abc");
	hg_buf_free(&b);
}

static void a_page_is_cut_to_the_screen_and_keeps_its_last_line(void **s)
{
	struct cli c = {.columns = 4, .colour = true};
	struct hg_str page = HG_STR("\033[1mhéadgate\033[0m\none\ntwo\n\nlast\n");
	struct hg_buf b;
	(void)s;
	hg_buf_init(&b, 256);
	assert_int_equal(cli_fit(&c, page, 0, &b), 5);
	assert_string_equal(hg_buf_text(&b), "\033[1mhéad\033[0m\none\ntwo\n\nlast\n");
	hg_buf_reset(&b);
	assert_int_equal(cli_fit(&c, page, 3, &b), 3);
	assert_string_equal(hg_buf_text(&b), "\033[1mhéad\033[0m\none\nlast\n");
	/* héadgate takes two rows of four columns, an empty line takes one. */
	assert_int_equal(cli_rows_of(&c, page), 6);
	c.columns = 8;
	assert_int_equal(cli_rows_of(&c, page), 5);
	hg_buf_reset(&b);
	assert_int_equal(cli_fit(&c, page, 5, &b), 5);
	assert_str(hg_buf_view(&b), page.p);
	hg_buf_free(&b);
}

static void plain_output_has_words_and_ascii_only(void **s)
{
	struct cli c = {0};
	(void)s;
	setenv("LC_ALL", "C.UTF-8", 1);
	c.args.value[CLI_F_PLAIN] = "";
	cli_term_init(&c);
	assert_false(c.colour || c.utf8 || c.out_tty);
	assert_string_equal(cli_mark(&c, CLI_BAD), "x");
	c.args.value[CLI_F_PLAIN] = NULL;
	cli_term_init(&c);
	assert_true(c.utf8);
	assert_string_equal(cli_bold(&c), c.colour ? "\033[1m" : "");
	setenv("LC_ALL", "C", 1);
	cli_term_init(&c);
	assert_false(c.utf8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(no_help_page_is_wider_than_80_columns),
	        cmocka_unit_test(completion_offers_what_the_line_may_go_on_with),
	        cmocka_unit_test(running_things_are_offered_and_nothing_a_shell_would_run),
	        cmocka_unit_test(every_verb_is_offered_with_its_flags),
	        cmocka_unit_test(a_page_of_help_is_what_it_was),
	        cmocka_unit_test(numbers_read_like_people_write_them),
	        cmocka_unit_test(log_text_cannot_drive_the_terminal),
	        cmocka_unit_test(columns_count_letters_and_not_bytes_or_colours),
	        cmocka_unit_test(a_page_is_cut_to_the_screen_and_keeps_its_last_line),
	        cmocka_unit_test(plain_output_has_words_and_ascii_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
