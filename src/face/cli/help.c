#include "cli_priv.h"

#include <stdio.h>

#define NAME_WIDTH 17 /* of the overview */
#define FLAG_WIDTH 28 /* of a flag with its argument */

static void list_group(const struct cli *c, const struct cli_group *g)
{
	size_t n, later_n;
	const struct cli_verb_row *rows = cli_rows(&n);
	const struct cli_later *later = cli_laters(&later_n);
	bool any = false;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(rows[i].group, g->name) != 0) continue;
		if (!any) cli_out("\n%s%s%s\n", cli_bold(c), g->title, cli_off(c));
		any = true;
		cli_out("  %-*s  %s\n", NAME_WIDTH, rows[i].name, rows[i].summary);
	}
	struct hg_buf line;
	hg_buf_init(&line, 4096);
	for (size_t i = 0; i < later_n; i++) {
		if (strcmp(later[i].group, g->name) != 0) continue;
		if (line.n) hg_buf_byte(&line, ' ');
		hg_buf_cstr(&line, later[i].name);
	}
	if (line.n && !any) cli_out("\n%s%s%s\n", cli_bold(c), g->title, cli_off(c));
	if (line.n)
		cli_out("%s  %-*s  %s%s\n", cli_dim(c), NAME_WIDTH, "(later)", hg_buf_text(&line),
		        cli_off(c));
	hg_buf_free(&line);
}

int cli_help_overview(const struct cli *c)
{
	size_t n;
	const struct cli_group *groups = cli_groups(&n);
	cli_out("headgate %s\n\n", cli_program_summary());
	cli_out("  headgate run -- ./hello --port '$PORT'   serve a program, no file needed\n");
	cli_out("  headgate init && headgate up             write a file, start what it says\n");
	cli_out("  headgate demo                            look at it with a real service\n");
	for (size_t i = 0; i < n; i++)
		list_group(c, &groups[i]);
	cli_out("\n--data DIR chooses the data folder, --plain writes for scripts and logs.\n");
	cli_out("headgate help COMMAND shows a command, headgate help HGnnnn an error.\n");
	return 0;
}

static void help_flag(const struct cli_flag *f, struct hg_buf *to)
{
	size_t start = to->n;
	if (f->letter)
		hg_buf_fmt(to, "  -%c, --%s", f->letter, f->name);
	else
		hg_buf_fmt(to, "      --%s", f->name);
	if (f->arg[0]) hg_buf_fmt(to, " %s", f->arg);
	size_t width = to->n - start;
	if (width >= FLAG_WIDTH) {
		hg_buf_byte(to, '\n');
		width = 0;
	}
	for (; width < FLAG_WIDTH; width++)
		hg_buf_byte(to, ' ');
	/* Broken at a space when it would pass column 80. */
	struct hg_str rest = hg_str(f->help);
	size_t column = FLAG_WIDTH;
	while (rest.n) {
		struct hg_str word = hg_str_cut(&rest, ' ');
		if (column + word.n + 1 > 79 && column > FLAG_WIDTH) {
			hg_buf_fmt(to, "\n%*s", FLAG_WIDTH, "");
			column = FLAG_WIDTH;
		}
		hg_buf_str(to, word);
		column += word.n;
		if (rest.n) {
			hg_buf_byte(to, ' ');
			column++;
		}
	}
	hg_buf_byte(to, '\n');
}

static void help_exits(const struct cli_verb_row *row, const char *heading, struct hg_buf *to)
{
	size_t n;
	const struct cli_exit *exits = cli_exits(&n);
	hg_buf_fmt(to, "\n%s\n", heading);
	for (size_t i = 0; i < n; i++) {
		bool used = exits[i].status <= 2;
		for (const int *e = row->exits; *e >= 0; e++)
			used |= *e == exits[i].status;
		if (used) hg_buf_fmt(to, "  %-4d %s\n", exits[i].status, exits[i].meaning);
	}
}

void cli_help_text(const struct cli_verb_row *row, bool bold, struct hg_buf *to)
{
	const char *on = bold ? "\033[1m" : "", *off = bold ? "\033[0m" : "";
	char heading[32];
	hg_buf_fmt(to, "%sheadgate %s%s%s%s%s\n  %s\n\n", on, row->name, off,
	        row->args[0] ? " " : "", row->args, row->flags->name ? " [FLAGS]" : "",
	        row->summary);
	hg_buf_fmt(to, "%s\n\n%sFlags%s\n", row->text, on, off);
	for (const struct cli_flag *f = row->flags; f->name; f++)
		help_flag(f, to);
	for (const struct cli_flag *f = cli_common_flags(); f->name; f++)
		help_flag(f, to);
	hg_buf_fmt(to, "\n%sExamples%s\n", on, off);
	for (const struct cli_example *e = row->examples; e->command; e++)
		hg_buf_fmt(to, "  # %s\n  %s\n", e->what, e->command);
	snprintf(heading, sizeof heading, "%sExit codes%s", on, off);
	help_exits(row, heading, to);
}

int cli_help_verb(const struct cli *c, const struct cli_verb_row *row)
{
	struct hg_buf text;
	hg_buf_init(&text, 65536);
	cli_help_text(row, c->colour, &text);
	cli_out("%s", hg_buf_text(&text));
	hg_buf_free(&text);
	return 0;
}

/* Prints text broken at spaces, so that no line passes column 78. */
static void print_wrapped(struct hg_str text)
{
	while (text.n) {
		struct hg_str line = hg_str_cut(&text, '\n');
		size_t column = 0;
		while (line.n) {
			struct hg_str word = hg_str_cut(&line, ' ');
			if (column && column + 1 + word.n > 78) {
				cli_out("\n");
				column = 0;
			}
			cli_out("%s%.*s", column ? " " : "", HG_STR_ARG(word));
			column += word.n + (column ? 1 : 0);
		}
		cli_out("\n");
	}
}

int cli_help_code(const struct hg_rc_info *info)
{
	cli_out("%s: %s\n\n", info->code, info->summary);
	print_wrapped(hg_str(info->page));
	cli_out("\nexit code %d, HTTP status %d\n", info->exit_status, info->http_status);
	return 0;
}

int cli_help_noun(struct hg_str noun)
{
	size_t n;
	const struct cli_verb_row *rows = cli_rows(&n);
	for (size_t i = 0; i < n; i++) {
		struct hg_str rest = hg_str(rows[i].name);
		struct hg_str first = hg_str_cut(&rest, ' ');
		if (!rest.n || !hg_str_eq(first, noun)) continue;
		cli_out("  headgate %-16s  %s\n", rows[i].name, rows[i].summary);
	}
	return 0;
}

int cli_do_help(struct cli *c)
{
	struct hg_err err = {0};
	char both[96];
	if (!c->args.count) return cli_help_overview(c);
	struct hg_str word = hg_str(c->args.positional[0]);
	if (c->args.count == 2) {
		snprintf(both, sizeof both, "%s %s", c->args.positional[0], c->args.positional[1]);
		word = hg_str(both);
	}
	const struct cli_verb_row *row = cli_row_find(word);
	if (row) return cli_help_verb(c, row);
	if (cli_is_noun(word)) return cli_help_noun(word);
	const struct hg_rc_info *info = hg_rc_by_code(word);
	if (info) return cli_help_code(info);
	const struct cli_later *later = cli_later_find(word);
	if (later) {
		cli_out("headgate %s: %s (not available in this version)\n", later->name,
		        later->summary);
		return 0;
	}
	hg_err_set(&err, HG_E_VERB_UNKNOWN, "there is no command or error code \"%.*s\"",
	        HG_STR_ARG(word));
	const char *near = cli_nearest_verb(word);
	if (near)
		hg_err_hint(&err, "did you mean \"headgate help %s\"?", near);
	else
		hg_err_hint(&err, "headgate help lists all commands");
	return cli_fail(&err);
}

int cli_do_version(struct cli *c)
{
	if (c->args.row && cli_has(&c->args, CLI_F_JSON))
		cli_out("{\"schema\":\"headgate.version/1\",\"version\":\"%s\"}\n", HG_VERSION);
	else
		cli_out("headgate %s\n", HG_VERSION);
	return 0;
}
