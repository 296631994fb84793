/* Completion scripts, made from the rows: what is in the table is offered, nothing else. */
#include "cli_priv.h"

/* Names of the running apps; empty when nothing runs. Lines with a reason are indented, what
 * follows the table comes after an empty line. */
#define LIST_APPS                                \
	"headgate status --plain 2>/dev/null | " \
	"awk '/^$/ {exit} NR > 1 && /^[a-z0-9]/ {print $1}'"
/* Shells expand what they are offered, so only harmless words are. */
#define LIST_ROLLOUTS                                   \
	"headgate rollouts list --plain 2>/dev/null | " \
	"awk 'NR > 1 && $1 ~ /^[0-9]+$/ {print $1}'"
#define LIST_RELEASES                                                                        \
	"headgate rollouts list --plain 2>/dev/null | "                                      \
	"awk 'NR > 1 {for (i = 3; i <= 5; i++) if ($i ~ /^[A-Za-z0-9][A-Za-z0-9._+:@-]*$/) " \
	"print $i}' | sort -u"

/* The same for fish, inside double quotes. */
#define FISH_APPS                                \
	"headgate status --plain 2>/dev/null | " \
	"awk '/^\\$/ {exit} NR > 1 && /^[a-z0-9]/ {print \\$1}'"
#define FISH_ROLLOUTS                                   \
	"headgate rollouts list --plain 2>/dev/null | " \
	"awk 'NR > 1 && \\$1 ~ /^[0-9]+\\$/ {print \\$1}'"
#define FISH_RELEASES                                                                         \
	"headgate rollouts list --plain 2>/dev/null | awk 'NR > 1 {for (i = 3; i <= 5; i++) " \
	"if (\\$i ~ /^[A-Za-z0-9][A-Za-z0-9._+:@-]*\\$/) print \\$i}' | sort -u"

static void quoted(struct hg_buf *to, const char *text)
{
	/* Inside single quotes of any of the three shells; the rows have no quote that matters. */
	for (; *text; text++)
		if (*text != '\'') hg_buf_byte(to, *text);
}

static void first_words(struct hg_buf *to)
{
	size_t n;
	const struct cli_verb_row *rows = cli_rows(&n);
	struct hg_str last = {0};
	for (size_t i = 0; i < n; i++) {
		struct hg_str rest = hg_str(rows[i].name);
		struct hg_str first = hg_str_cut(&rest, ' ');
		if (hg_str_eq(first, last)) continue;
		last = first;
		hg_buf_byte(to, ' ');
		hg_buf_str(to, first);
	}
}

static void flag_words(const struct cli_verb_row *row, struct hg_buf *to)
{
	for (const struct cli_flag *f = row->flags; f->name; f++)
		hg_buf_fmt(to, " --%s", f->name);
	for (const struct cli_flag *f = cli_common_flags(); f->name; f++)
		hg_buf_fmt(to, " --%s", f->name);
}

/* What the arguments of a verb are, as bash words; "" when they are files or nothing. */
static const char *bash_arguments(const char *complete)
{
	if (!strcmp(complete, "app")) return "$(" LIST_APPS ")";
	if (!strcmp(complete, "rollout")) return "$(" LIST_ROLLOUTS ")";
	if (!strcmp(complete, "verb")) return "$commands";
	if (!strcmp(complete, "shell")) return "bash zsh fish";
	return "";
}

static void bash_values(struct hg_buf *to)
{
	size_t n;
	const struct cli_verb_row *rows = cli_rows(&n);
	bool seen[CLI_FLAGS] = {false};
	hg_buf_cstr(to, "\tcase \"$prev\" in\n");
	for (size_t i = 0; i < n; i++) {
		for (const struct cli_flag *f = rows[i].flags; f->name; f++) {
			if (seen[f->id] || f->type == CLI_T_SWITCH) continue;
			seen[f->id] = true;
			hg_buf_fmt(to, "\t--%s) ", f->name);
			if (f->type == CLI_T_CHOICE)
				hg_buf_fmt(to, "COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return",
				        f->choices);
			else if (f->type == CLI_T_FILE)
				hg_buf_cstr(to, "COMPREPLY=($(compgen -f -- \"$cur\")); return");
			else if (f->type == CLI_T_DIR)
				hg_buf_cstr(to, "COMPREPLY=($(compgen -d -- \"$cur\")); return");
			else if (f->type == CLI_T_RELEASE)
				hg_buf_cstr(to, "COMPREPLY=($(compgen -W \"$(" LIST_RELEASES
				                ")\" -- \"$cur\")); return");
			else
				hg_buf_cstr(to, "return");
			hg_buf_cstr(to, " ;;\n");
		}
	}
	hg_buf_cstr(to, "\t--data) COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n\tesac\n");
}

void cli_complete_bash(struct hg_buf *to)
{
	size_t n;
	const struct cli_verb_row *rows = cli_rows(&n);
	hg_buf_cstr(to, "# bash completion for headgate; made by: headgate completion bash\n"
	                "_headgate()\n{\n"
	                "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	                "\tlocal verb=${COMP_WORDS[1]} words='' commands='");
	first_words(to);
	hg_buf_cstr(to,
	        "'\n\tCOMPREPLY=()\n"
	        "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	        "\t\tCOMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))\n\t\treturn\n\tfi\n");
	bash_values(to);
	hg_buf_cstr(to, "\tcase \"$verb ${COMP_WORDS[2]}\" in\n");
	for (size_t i = 0; i < n; i++) {
		struct hg_str rest = hg_str(rows[i].name);
		struct hg_str first = hg_str_cut(&rest, ' ');
		if (rest.n)
			hg_buf_fmt(to, "\t'%s') ", rows[i].name);
		else
			hg_buf_fmt(to, "\t'%.*s '*) ", HG_STR_ARG(first));
		hg_buf_fmt(to, "words=\"%s", bash_arguments(rows[i].complete));
		flag_words(&rows[i], to);
		hg_buf_cstr(to, "\" ;;\n");
	}
	/* A noun alone: its second words. */
	hg_buf_cstr(to, "\t*) words='");
	hg_buf_cstr(
	        to, "' ;;\n\tesac\n\tif [ \"$COMP_CWORD\" -eq 2 ]; then\n\t\tcase \"$verb\" in\n");
	for (size_t i = 0; i < n; i++) {
		struct hg_str rest = hg_str(rows[i].name);
		struct hg_str first = hg_str_cut(&rest, ' ');
		if (rest.n)
			hg_buf_fmt(to, "\t\t%.*s) words=\"${words} %.*s\" ;;&\n", HG_STR_ARG(first),
			        HG_STR_ARG(rest));
	}
	hg_buf_cstr(to, "\t\tesac\n\tfi\n"
	                "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	                "}\ncomplete -o default -F _headgate headgate\n");
}

void cli_complete_zsh(struct hg_buf *to)
{
	size_t n;
	const struct cli_verb_row *rows = cli_rows(&n);
	hg_buf_cstr(to, "#compdef headgate\n# made by: headgate completion zsh\n"
	                "_headgate() {\n\tlocal -a commands flags apps\n\tcommands=(\n");
	for (size_t i = 0; i < n; i++) {
		struct hg_str rest = hg_str(rows[i].name);
		struct hg_str first = hg_str_cut(&rest, ' ');
		hg_buf_fmt(to, "\t\t'%.*s:", HG_STR_ARG(first));
		quoted(to, rows[i].summary);
		hg_buf_cstr(to, "'\n");
	}
	hg_buf_cstr(to, "\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n"
	                "\t\treturn\n\tfi\n\tcase \"$words[2] $words[3]\" in\n");
	for (size_t i = 0; i < n; i++) {
		bool two = strchr(rows[i].name, ' ') != NULL;
		hg_buf_fmt(to, two ? "\t'%s') flags=(" : "\t'%s '*) flags=(", rows[i].name);
		for (const struct cli_flag *f = rows[i].flags; f->name; f++) {
			hg_buf_fmt(to, "'--%s:", f->name);
			quoted(to, f->help);
			hg_buf_cstr(to, "' ");
		}
		hg_buf_cstr(to, "'--data:data folder' '--plain:no colour' '--help:help')\n");
		if (!strcmp(rows[i].complete, "app"))
			hg_buf_cstr(to, "\t\tapps=(${(f)\"$(" LIST_APPS ")\"})\n");
		if (!strcmp(rows[i].complete, "rollout"))
			hg_buf_cstr(to, "\t\tapps=(${(f)\"$(" LIST_ROLLOUTS ")\"})\n");
		hg_buf_cstr(to, "\t\t;;\n");
	}
	hg_buf_cstr(to, "\tesac\n\tif (( CURRENT == 3 )); then\n\t\tcase $words[2] in\n");
	for (size_t i = 0; i < n; i++) {
		struct hg_str rest = hg_str(rows[i].name);
		struct hg_str first = hg_str_cut(&rest, ' ');
		if (rest.n)
			hg_buf_fmt(to, "\t\t%.*s) apps+=(%.*s) ;|\n", HG_STR_ARG(first),
			        HG_STR_ARG(rest));
	}
	hg_buf_cstr(to, "\t\tesac\n\tfi\n"
	                "\t[[ $words[CURRENT-1] == --to ]] && "
	                "{ compadd -- ${(f)\"$(" LIST_RELEASES ")\"}; return }\n"
	                "\t[[ $PREFIX == -* ]] && { _describe flag flags; return }\n"
	                "\t(( $#apps )) && compadd -a apps || _files\n}\n"
	                "compdef _headgate headgate\n");
}

void cli_complete_fish(struct hg_buf *to)
{
	size_t n;
	const struct cli_verb_row *rows = cli_rows(&n);
	hg_buf_cstr(to, "# fish completion for headgate; made by: headgate completion fish\n"
	                "complete -c headgate -l data -r -d 'data folder'\n"
	                "complete -c headgate -l plain -d 'no colour, no animation'\n"
	                "complete -c headgate -s h -l help -d 'show help'\n");
	for (size_t i = 0; i < n; i++) {
		struct hg_str rest = hg_str(rows[i].name);
		struct hg_str first = hg_str_cut(&rest, ' ');
		if (rest.n)
			hg_buf_fmt(to,
			        "complete -c headgate -n '__fish_seen_subcommand_from %.*s' -f "
			        "-a %.*s -d '",
			        HG_STR_ARG(first), HG_STR_ARG(rest));
		else
			hg_buf_fmt(to,
			        "complete -c headgate -n __fish_use_subcommand -f -a %s -d '",
			        rows[i].name);
		quoted(to, rows[i].summary);
		hg_buf_cstr(to, "'\n");
		for (const struct cli_flag *f = rows[i].flags; f->name; f++) {
			hg_buf_fmt(to,
			        "complete -c headgate -n '__fish_seen_subcommand_from %.*s' -l %s",
			        HG_STR_ARG(first), f->name);
			if (f->letter) hg_buf_fmt(to, " -s %c", f->letter);
			if (f->type == CLI_T_CHOICE)
				hg_buf_fmt(to, " -x -a '%s'", f->choices);
			else if (f->type == CLI_T_RELEASE)
				hg_buf_cstr(to, " -x -a \"(" FISH_RELEASES ")\"");
			else if (f->type != CLI_T_SWITCH)
				hg_buf_cstr(to, " -r");
			hg_buf_cstr(to, " -d '");
			quoted(to, f->help);
			hg_buf_cstr(to, "'\n");
		}
		bool app = !strcmp(rows[i].complete, "app");
		if (!app && strcmp(rows[i].complete, "rollout") != 0) continue;
		hg_buf_fmt(to, "complete -c headgate -n '__fish_seen_subcommand_from %.*s",
		        HG_STR_ARG(first));
		if (rest.n)
			hg_buf_fmt(to, "; and __fish_seen_subcommand_from %.*s", HG_STR_ARG(rest));
		hg_buf_fmt(to, "' -f -a \"(%s)\"\n", app ? FISH_APPS : FISH_ROLLOUTS);
	}
}

int cli_do_completion(struct cli *c)
{
	static const struct {
		const char *shell;
		void (*write)(struct hg_buf *to);
	} shells[] = {{"bash", cli_complete_bash}, {"zsh", cli_complete_zsh},
	        {"fish", cli_complete_fish}};
	struct hg_err err = {0};
	for (size_t i = 0; i < HG_COUNT(shells); i++) {
		struct hg_buf text;
		if (strcmp(shells[i].shell, c->args.positional[0]) != 0) continue;
		hg_buf_init(&text, 1u << 20);
		shells[i].write(&text);
		cli_out("%s", hg_buf_text(&text));
		hg_buf_free(&text);
		return 0;
	}
	hg_err_set(&err, HG_E_USAGE, "there is no completion for \"%s\"", c->args.positional[0]);
	hg_err_hint(&err, "one of: bash zsh fish");
	return cli_fail(&err);
}
