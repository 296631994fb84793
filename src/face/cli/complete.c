/*
 * Completion. The scripts for the shells are thin: they ask `headgate completion words`, which
 * knows the rows, the flags before the verb and what runs: apps, rollouts, releases. So all shells
 * offer the same.
 */
#include "client_priv.h"

#define LIVE_MS 500 /* for what runs: nobody waits longer for a Tab */

/* What the words before the one being written have said so far. */
struct line {
	const struct cli_verb_row *row;
	const char *noun;            /* "config", and its verb is still to come */
	const struct cli_flag *flag; /* whose value comes next */
	const char *data;            /* value of --data */
	const char *first;           /* argument behind the verb */
	int count;                   /* arguments behind the verb */
	bool only_arguments;         /* after "--" */
	bool lost;                   /* no such verb */
};

static const struct cli_flag *flag_named(
        const struct cli_verb_row *row, struct hg_str name, char letter)
{
	const struct cli_flag *sets[] = {cli_common_flags(), row ? row->flags : NULL};
	for (size_t i = 0; i < HG_COUNT(sets); i++) {
		for (const struct cli_flag *f = sets[i]; f && f->name; f++) {
			if (letter ? f->letter == letter : hg_str_eq(hg_str(f->name), name))
				return f;
		}
	}
	return NULL;
}

static void take_value(struct line *l, const struct cli_flag *f, const char *value)
{
	if (f->id == CLI_F_DATA && *value) l->data = value;
	l->flag = NULL;
}

static void take_flag(struct line *l, const char *word)
{
	const char *eq = strchr(word, '=');
	struct hg_str name = hg_str(word);
	const struct cli_flag *f;
	if (!l->row && l->noun) l->row = cli_row_alone(hg_str(l->noun));
	if (word[1] == '-') {
		name = (struct hg_str){word + 2, (eq ? (size_t)(eq - word) : name.n) - 2};
		f = flag_named(l->row, name, 0);
		if (!f || f->type == CLI_T_SWITCH) return;
		if (eq)
			take_value(l, f, eq + 1);
		else
			l->flag = f;
		return;
	}
	for (const char *at = word + 1; *at; at++) { /* "-df FILE", "-n50" */
		f = flag_named(l->row, HG_STR(""), *at);
		if (!f || f->type == CLI_T_SWITCH) continue;
		if (!at[1]) l->flag = f;
		return;
	}
}

static void take_verb(struct line *l, const char *word)
{
	char both[64];
	if (l->noun) {
		struct hg_out o = hg_out_over(both, sizeof both);
		hg_out_fmt(&o, "%s %s", l->noun, word);
		l->row = hg_out_failed(&o) ? NULL : cli_row_find((struct hg_str){both, o.n});
		l->lost = !l->row;
	} else if (cli_is_noun(hg_str(word))) {
		l->noun = word;
	} else {
		l->row = cli_row_find(hg_str(word));
		l->lost = !l->row;
	}
}

static void take_argument(struct line *l, const char *word)
{
	if (!l->count++) l->first = word;
}

static void take(struct line *l, const char *word)
{
	if (l->flag && !strcmp(word, "=")) return; /* bash cuts "--level=error" into three */
	if (l->flag)
		take_value(l, l->flag, word);
	else if (l->only_arguments)
		take_argument(l, word);
	else if (!strcmp(word, "--"))
		l->only_arguments = true;
	else if (word[0] == '-' && word[1])
		take_flag(l, word);
	else if (!l->row)
		take_verb(l, word);
	else
		take_argument(l, word);
}

static void offer(struct hg_buf *to, const char *current, struct hg_str word, const char *what)
{
	if (!hg_str_starts(word, hg_str(current))) return;
	hg_buf_str(to, word);
	if (*what) hg_buf_fmt(to, "\t%s", what);
	hg_buf_byte(to, '\n');
}

static void offer_words(struct hg_buf *to, const char *current, const char *words)
{
	struct hg_str rest = hg_str(words);
	while (rest.n)
		offer(to, current, hg_str_cut(&rest, ' '), "");
}

static void offer_flags(struct hg_buf *to, const char *current, const struct cli_verb_row *row)
{
	const struct cli_flag *sets[] = {row ? row->flags : NULL, cli_common_flags()};
	char name[64];
	for (size_t i = 0; i < HG_COUNT(sets); i++) {
		for (const struct cli_flag *f = sets[i]; f && f->name; f++) {
			snprintf(name, sizeof name, "--%s", f->name);
			offer(to, current, hg_str(name), f->help);
		}
	}
}

/* First words of the verbs, or with a noun its second words. */
static void offer_verbs(struct hg_buf *to, const char *current, const char *noun)
{
	size_t n;
	const struct cli_verb_row *rows = cli_rows(&n);
	struct hg_str last = {0};
	for (size_t i = 0; i < n; i++) {
		struct hg_str rest = hg_str(rows[i].name);
		struct hg_str first = hg_str_cut(&rest, ' ');
		if (noun && rest.n && hg_str_eq(first, hg_str(noun)))
			offer(to, current, rest, rows[i].summary);
		if (noun || hg_str_eq(first, last)) continue;
		last = first;
		if (!rest.n) {
			offer(to, current, first, rows[i].summary);
			continue;
		}
		struct hg_out what;
		char text[128] = "";
		what = hg_out_over(text, sizeof text - 1);
		for (size_t k = i; k < n; k++) {
			rest = hg_str(rows[k].name);
			if (!hg_str_eq(hg_str_cut(&rest, ' '), first)) continue;
			hg_out_fmt(&what, "%s%.*s", what.n ? ", " : "", HG_STR_ARG(rest));
		}
		offer(to, current, first, text);
	}
}

static enum cli_more offer_value(struct hg_buf *to, const char *current, const struct cli_flag *f)
{
	if (f->type == CLI_T_CHOICE) offer_words(to, current, f->choices);
	if (f->id == CLI_F_APP) return CLI_MORE_APPS;
	if (f->type == CLI_T_RELEASE) return CLI_MORE_RELEASES;
	return f->type == CLI_T_FILE  ? CLI_MORE_FILES
	       : f->type == CLI_T_DIR ? CLI_MORE_FOLDERS
	                              : CLI_MORE_NOTHING;
}

/* "--level=e": the value is part of the word. */
static void offer_joined(struct hg_buf *to, const char *current, const struct cli_verb_row *row)
{
	const char *eq = strchr(current, '=');
	const struct cli_flag *f =
	        flag_named(row, (struct hg_str){current + 2, (size_t)(eq - current) - 2}, 0);
	char word[128];
	if (!f || f->type != CLI_T_CHOICE) return;
	for (struct hg_str rest = hg_str(f->choices); rest.n;) {
		struct hg_str choice = hg_str_cut(&rest, ' ');
		snprintf(word, sizeof word, "--%s=%.*s", f->name, HG_STR_ARG(choice));
		offer(to, current, hg_str(word), "");
	}
}

enum cli_more cli_complete_words(
        int count, const char *const *words, struct cli_about *ret_about, struct hg_buf *to)
{
	struct line l = {0};
	const char *current = count > 0 ? words[count - 1] : "";
	for (int i = 0; i + 1 < count; i++)
		take(&l, words[i]);
	*ret_about = (struct cli_about){l.data, l.first};
	if (l.lost) return CLI_MORE_NOTHING;
	if (l.flag) return offer_value(to, strcmp(current, "=") ? current : "", l.flag);
	if (current[0] == '-' && !l.only_arguments) {
		if (current[1] == '-' && strchr(current, '='))
			offer_joined(to, current, l.row);
		else
			offer_flags(to, current,
			        l.row || !l.noun ? l.row : cli_row_alone(hg_str(l.noun)));
		return CLI_MORE_NOTHING;
	}
	if (!l.row) {
		offer_verbs(to, current, l.noun);
		return CLI_MORE_NOTHING;
	}
	const char *what = l.row->complete;
	if (l.count >= l.row->max) return CLI_MORE_NOTHING;
	if (!strcmp(what, "app")) return CLI_MORE_APPS;
	if (!strcmp(what, "rollout")) return CLI_MORE_ROLLOUTS;
	if (!strcmp(what, "file")) return CLI_MORE_FILES;
	if (l.count == 0 && !strcmp(what, "shell")) offer_words(to, current, "bash zsh fish");
	if (l.count == 0 && !strcmp(what, "verb")) offer_verbs(to, current, NULL);
	return CLI_MORE_NOTHING;
}

/*
 * What is offered ends up in a command line, and versions are written by others: nothing that a
 * shell would run or expand.
 */
static bool is_harmless(struct hg_str word)
{
	static const char more[] = "._+:@-";
	for (size_t i = 0; i < word.n; i++) {
		char ch = word.p[i];
		bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
		              (ch >= '0' && ch <= '9');
		if (!letter && (i == 0 || !memchr(more, ch, sizeof more - 1))) return false;
	}
	return word.n > 0;
}

/* Each side of a rollout by its number and its version; `seen` has those already offered. */
static void offer_release(
        struct hg_buf *to, const char *current, const json_t *side, const char *app, json_t *seen)
{
	char number[24] = "";
	int64_t release = cli_int(side, "release");
	if (release > 0) snprintf(number, sizeof number, "%lld", (long long)release);
	const char *words[] = {cli_text(side, "version"), number};
	for (size_t i = 0; i < HG_COUNT(words); i++) {
		if (!is_harmless(hg_str(words[i])) || json_object_get(seen, words[i])) continue;
		json_object_set_new(seen, words[i], json_true());
		offer(to, current, hg_str(words[i]), app);
	}
}

static void offer_rollouts(
        enum cli_more more, const json_t *list, const char *current, struct hg_buf *to)
{
	json_t *seen = json_object();
	const json_t *row;
	size_t i;
	json_array_foreach(cli_list(list, "rollouts"), i, row)
	{
		const char *app = cli_text(row, "app");
		int64_t id = cli_int(row, "id");
		char word[24], what[128];
		if (!is_harmless(hg_str(app))) continue;
		if (more == CLI_MORE_RELEASES) {
			offer_release(to, current, json_object_get(row, "new"), app, seen);
			offer_release(to, current, json_object_get(row, "old"), app, seen);
		} else if (id > 0) {
			const char *state = cli_text(row, "state");
			snprintf(word, sizeof word, "%lld", (long long)id);
			snprintf(what, sizeof what, "%s %s", app,
			        is_harmless(hg_str(state)) ? state : "");
			offer(to, current, hg_str(word), what);
		}
	}
	json_decref(seen);
}

void cli_complete_live(
        enum cli_more more, const json_t *doc, const char *current, struct hg_buf *to)
{
	const json_t *app;
	size_t i;
	if (more == CLI_MORE_ROLLOUTS || more == CLI_MORE_RELEASES)
		offer_rollouts(more, doc, current, to);
	if (more != CLI_MORE_APPS) return;
	json_array_foreach(cli_list(doc, "apps"), i, app)
	{
		struct hg_str name = hg_str(cli_text(app, "name"));
		if (is_harmless(name)) offer(to, current, name, cli_text(app, "phase"));
	}
}

/* From the Headgate that the line means; nothing when it does not run. */
static void offer_live(struct cli *c, enum cli_more more, const struct cli_about *about,
        const char *current, struct hg_buf *to)
{
	json_t *doc = NULL;
	struct hg_buf path;
	if (about->data) c->args.value[CLI_F_DATA] = about->data;
	if (cli_data_dir(c, NULL) < 0) return;
	hg_buf_init(&path, 8192);
	hg_buf_cstr(&path, more == CLI_MORE_APPS ? "/v1/status" : "/v1/rollouts?limit=100");
	/* "rollback APP --to": of this app. */
	if (more == CLI_MORE_RELEASES && about->first)
		cli_query_add(&path, "app", hg_str(about->first));
	if (!path.failed &&
	        cli_call(c, "GET", hg_buf_text(&path), NULL, LIVE_MS, &doc, NULL) == HG_OK)
		cli_complete_live(more, doc, current, to);
	hg_buf_free(&path);
	json_decref(doc);
}

static int answer_words(struct cli *c, int count, const char *const *words)
{
	static const char *const kinds[] = {[CLI_MORE_NOTHING] = "nothing",
	        [CLI_MORE_FILES] = "files",
	        [CLI_MORE_FOLDERS] = "folders",
	        [CLI_MORE_APPS] = "nothing",
	        [CLI_MORE_ROLLOUTS] = "nothing",
	        [CLI_MORE_RELEASES] = "nothing"};
	struct cli_about about;
	struct hg_buf text;
	hg_buf_init(&text, 1u << 20);
	enum cli_more more = cli_complete_words(count, words, &about, &text);
	if (more >= CLI_MORE_APPS) offer_live(c, more, &about, words[count - 1], &text);
	cli_out("%s\n%s", kinds[more], hg_buf_text(&text));
	hg_buf_free(&text);
	return 0;
}

/* ---- the scripts ---- */

static const char script_bash[] =
        "# bash completion for headgate; made by: headgate completion bash\n"
        "_headgate()\n{\n"
        "\tlocal program=${COMP_WORDS[0]/#\\~/$HOME} current=${COMP_WORDS[COMP_CWORD]} answer\n"
        "\tmapfile -t answer < <(\"$program\" completion words -- \\\n"
        "\t\t\"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
        "\tCOMPREPLY=(\"${answer[@]:1}\")\n"
        "\tCOMPREPLY=(\"${COMPREPLY[@]%%$'\\t'*}\")\n"
        "\tcase ${answer[0]} in\n"
        "\tfiles) mapfile -t COMPREPLY < <(compgen -f -- \"$current\") ;;\n"
        "\tfolders) mapfile -t COMPREPLY < <(compgen -d -- \"$current\") ;;\n"
        "\t*) return ;;\n"
        "\tesac\n"
        "\tcompopt -o filenames 2>/dev/null\n"
        "\treturn 0\n"
        "}\ncomplete -F _headgate headgate\n";

static const char script_zsh[] =
        "#compdef headgate\n# made by: headgate completion zsh\n"
        "_headgate() {\n"
        "\tlocal -a answer\n"
        "\tanswer=(\"${(@f)$(${(Q)~words[1]} completion words -- \\\n"
        "\t\t\"${(@Q)words[2,CURRENT-1]}\" \"${(Q)PREFIX}\" 2>/dev/null)}\")\n"
        "\tcase $answer[1] in\n"
        "\tfiles) _files; return ;;\n"
        "\tfolders) _files -/; return ;;\n"
        "\tesac\n"
        "\tshift answer\n"
        "\t(( $#answer )) || return 1\n"
        "\tanswer=(\"${(@)answer//:/\\\\:}\")\n"
        "\tanswer=(\"${(@)answer/$'\\t'/:}\")\n"
        "\t_describe headgate answer\n"
        "}\n"
        "# As a file of $fpath this is the body of the function; read by source it is not.\n"
        "if [[ $funcstack[1] == _headgate ]]; then\n"
        "\t_headgate \"$@\"\n"
        "else\n"
        "\tcompdef _headgate headgate\n"
        "fi\n";

static const char script_fish[] =
        "# fish completion for headgate; made by: headgate completion fish\n"
        "function __headgate_complete\n"
        "\tset -l words (commandline -opc)\n"
        "\tset -l current (commandline -ct)\n"
        "\tset -l answer ($words[1] completion words -- $words[2..-1] \"$current\" 2>/dev/null)\n"
        "\tswitch \"$answer[1]\"\n"
        "\tcase files\n"
        "\t\t__fish_complete_path \"$current\"\n"
        "\tcase folders\n"
        "\t\t__fish_complete_directories \"$current\"\n"
        "\tend\n"
        "\tset -q answer[2]; and printf '%s\\n' $answer[2..-1]\n"
        "end\n"
        "complete -c headgate -f -a '(__headgate_complete)'\n";

const char *cli_complete_script(const char *shell)
{
	return !strcmp(shell, "bash")   ? script_bash
	       : !strcmp(shell, "zsh")  ? script_zsh
	       : !strcmp(shell, "fish") ? script_fish
	                                : NULL;
}

int cli_do_completion(struct cli *c)
{
	const char *const *words = c->args.positional;
	struct hg_err err = {0};
	if (!strcmp(words[0], "words"))
		return answer_words(c, c->args.count - 1, c->args.count > 1 ? words + 1 : words);
	const char *script = cli_complete_script(words[0]);
	if (!script) {
		hg_err_set(&err, HG_E_USAGE, "there is no completion for \"%s\"", words[0]);
		hg_err_hint(&err, "one of: bash zsh fish");
		return cli_fail(&err);
	}
	if (c->args.count > 1) {
		hg_err_set(&err, HG_E_USAGE, "\"%s\" is one argument too many", words[1]);
		return cli_fail(&err);
	}
	cli_out("%s", script);
	return 0;
}
