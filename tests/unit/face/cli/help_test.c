#include "../../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "face/cli/cli_priv.h"

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

/* Runs `command` with the text as its input; its exit status. */
static int feed(const char *command, struct hg_buf *text)
{
	FILE *to = popen(command, "w");
	assert_non_null(to);
	fwrite(text->p, 1, text->n, to);
	return pclose(to);
}

static void the_bash_completion_is_valid_and_completes(void **s)
{
	struct hg_buf text;
	(void)s;
	hg_buf_init(&text, 1u << 20);
	cli_complete_bash(&text);
	assert_int_equal(feed("bash -n", &text), 0);
	hg_buf_cstr(&text,
	        "complete_words() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _headgate; "
	        "echo \"${COMPREPLY[@]}\"; }\n"
	        "[ \"$(complete_words headgate stat)\" = status ] || exit 3\n"
	        "[ \"$(complete_words headgate up --det)\" = --detach ] || exit 4\n"
	        "[ \"$(complete_words headgate config ch)\" = check ] || exit 5\n"
	        "[ \"$(complete_words headgate logs --level e)\" = error ] || exit 6\n"
	        "[ \"$(complete_words headgate completion z)\" = zsh ] || exit 7\n");
	assert_int_equal(feed("bash", &text), 0);
	hg_buf_free(&text);
}

static void every_shell_is_offered_every_verb(void **s)
{
	void (*const shells[])(struct hg_buf *) = {
	        cli_complete_bash, cli_complete_zsh, cli_complete_fish};
	size_t n;
	const struct cli_verb_row *rows = cli_rows(&n);
	(void)s;
	for (size_t i = 0; i < HG_COUNT(shells); i++) {
		struct hg_buf text;
		hg_buf_init(&text, 1u << 20);
		shells[i](&text);
		assert_false(text.failed);
		for (size_t j = 0; j < n; j++) {
			const char *last = strrchr(rows[j].name, ' ');
			assert_non_null(strstr(hg_buf_text(&text), last ? last + 1 : rows[j].name));
		}
		hg_buf_free(&text);
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
	        cmocka_unit_test(the_bash_completion_is_valid_and_completes),
	        cmocka_unit_test(every_shell_is_offered_every_verb),
	        cmocka_unit_test(numbers_read_like_people_write_them),
	        cmocka_unit_test(log_text_cannot_drive_the_terminal),
	        cmocka_unit_test(columns_count_letters_and_not_bytes_or_colours),
	        cmocka_unit_test(a_page_is_cut_to_the_screen_and_keeps_its_last_line),
	        cmocka_unit_test(plain_output_has_words_and_ascii_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
