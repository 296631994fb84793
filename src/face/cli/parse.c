#include "cli_priv.h"

/*
 * One pass over argv. Flags may stand before and after arguments; `--` ends them. The words of
 * the verb come first, except for flags that every verb takes (`headgate --data x status`).
 */
struct parser {
	int argc, at;
	char **argv;
	struct cli_args *a;
	struct hg_err *err;
};

bool cli_duration(struct hg_str s, uint64_t *ret_ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	size_t digits = 0;
	uint64_t n;
	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	if (!hg_str_u64((struct hg_str){s.p, digits}, &n) || n > 1000000000u) return false;
	struct hg_str unit = {s.p + digits, s.n - digits};
	for (size_t i = 0; i < HG_COUNT(units); i++) {
		if (!hg_str_eq(unit, hg_str(units[i].unit))) continue;
		*ret_ms = n * units[i].ms;
		return true;
	}
	return false;
}

static const struct cli_flag *flag_in(const struct cli_flag *rows, struct hg_str name, char letter)
{
	for (; rows->name; rows++) {
		if (letter ? rows->letter == letter : hg_str_eq(hg_str(rows->name), name))
			return rows;
	}
	return NULL;
}

static const struct cli_flag *flag_find(const struct parser *p, struct hg_str name, char letter)
{
	const struct cli_flag *f = flag_in(cli_common_flags(), name, letter);
	if (!f && p->a->row) f = flag_in(p->a->row->flags, name, letter);
	return f;
}

static bool choice_has(const char *choices, struct hg_str value)
{
	struct hg_str rest = hg_str(choices);
	while (rest.n)
		if (hg_str_eq(hg_str_cut(&rest, ' '), value)) return true;
	return false;
}

static enum hg_rc flag_value(struct parser *p, const struct cli_flag *f, const char *value)
{
	struct hg_str v = hg_str(value);
	bool good = true;
	const char *want = "";
	switch (f->type) {
	case CLI_T_DURATION:
		good = cli_duration(v, &p->a->number[f->id]);
		want = "a duration such as 500ms, 5s, 15m, 1h or 30d";
		break;
	case CLI_T_COUNT:
		good = hg_str_u64(v, &p->a->number[f->id]) && p->a->number[f->id] <= 1000000000u;
		want = "a whole number";
		break;
	case CLI_T_CHOICE:
		good = choice_has(f->choices, v);
		want = f->choices;
		break;
	default: good = v.n > 0; want = "a value that is not empty";
	}
	if (!good) {
		hg_err_set(p->err, HG_E_USAGE, "\"%s\" is not a value for --%s", value, f->name);
		hg_err_hint(p->err, f->type == CLI_T_CHOICE ? "one of: %s" : "it takes %s", want);
		return HG_E_USAGE;
	}
	p->a->value[f->id] = value;
	if (f->repeat) {
		if (p->a->many_count >= CLI_MANY_MAX)
			return hg_err_set(p->err, HG_E_USAGE, "--%s is given more than %d times",
			        f->name, CLI_MANY_MAX);
		p->a->many[p->a->many_count++] = (struct cli_many){f->id, value};
	}
	return HG_OK;
}

static enum hg_rc flag_take(struct parser *p, const struct cli_flag *f, const char *attached)
{
	if (cli_has(p->a, f->id) && f->type != CLI_T_SWITCH && !f->repeat)
		return hg_err_set(p->err, HG_E_USAGE, "--%s is given twice", f->name);
	if (f->type == CLI_T_SWITCH) {
		if (attached) return hg_err_set(p->err, HG_E_USAGE, "--%s takes no value", f->name);
		p->a->value[f->id] = "";
		if (f->id == CLI_F_HELP) p->a->help = true;
		return HG_OK;
	}
	if (!attached) {
		if (p->at + 1 >= p->argc) {
			hg_err_set(p->err, HG_E_USAGE, "--%s needs %s", f->name, f->arg);
			return HG_E_USAGE;
		}
		attached = p->argv[++p->at];
	}
	return flag_value(p, f, attached);
}

static enum hg_rc flag_unknown(struct parser *p, struct hg_str name, const char *as_written)
{
	if (!p->a->row) {
		hg_err_set(p->err, HG_E_USAGE, "unknown flag \"%s\"", as_written);
		hg_err_hint(p->err, "flags of a command come after it: headgate COMMAND [FLAGS]");
		return HG_E_USAGE;
	}
	hg_err_set(p->err, HG_E_USAGE, "\"headgate %s\" has no flag \"%s\"", p->a->row->name,
	        as_written);
	const char *near = cli_nearest_flag(p->a->row, name);
	if (near)
		hg_err_hint(p->err, "did you mean \"--%s\"?", near);
	else
		hg_err_hint(p->err, "headgate help %s", p->a->row->name);
	return HG_E_USAGE;
}

static enum hg_rc flag_long(struct parser *p, const char *word)
{
	struct hg_str name = hg_str(word + 2);
	size_t eq = hg_str_find(name, '=');
	const char *attached = eq < name.n ? name.p + eq + 1 : NULL;
	name.n = eq;
	const struct cli_flag *f = flag_find(p, name, 0);
	if (!f && !p->a->row && hg_str_eq(name, HG_STR("version"))) {
		p->a->version = true;
		return HG_OK;
	}
	return f ? flag_take(p, f, attached) : flag_unknown(p, name, word);
}

/* "-df FILE": switches may be joined, the last may take a value, also joined: "-n50". */
static enum hg_rc flag_short(struct parser *p, const char *word)
{
	for (const char *at = word + 1; *at; at++) {
		const struct cli_flag *f = flag_find(p, (struct hg_str){at, 1}, *at);
		if (!f) {
			if (!p->a->row && *at == 'V') {
				p->a->version = true;
				continue;
			}
			return flag_unknown(p, (struct hg_str){at, 1}, word);
		}
		const char *rest = f->type != CLI_T_SWITCH && at[1] ? at + 1 : NULL;
		enum hg_rc rc = flag_take(p, f, rest);
		if (rc < 0 || f->type != CLI_T_SWITCH) return rc;
	}
	return HG_OK;
}

static enum hg_rc verb_refuse(struct parser *p, struct hg_str word)
{
	const struct cli_later *later = cli_later_find(word);
	if (later) {
		hg_err_set(p->err, HG_E_VERB_LATER, "\"headgate %s\" is not available yet",
		        later->name);
		hg_err_detail(p->err, "it will %s", later->summary);
		return HG_E_VERB_LATER;
	}
	hg_err_set(p->err, HG_E_VERB_UNKNOWN, "there is no command \"%.*s\"", HG_STR_ARG(word));
	const char *near = cli_nearest_verb(word);
	if (near)
		hg_err_hint(p->err, "did you mean \"headgate %s\"?", near);
	else
		hg_err_hint(p->err, "headgate help lists all commands");
	return HG_E_VERB_UNKNOWN;
}

/* A noun without its verb, or with a wrong one: names what it has. */
static enum hg_rc noun_refuse(struct parser *p, struct hg_str noun, const char *given)
{
	struct hg_out o = hg_out_over(p->err->hint, sizeof p->err->hint - 1);
	size_t n;
	const struct cli_verb_row *rows = cli_rows(&n);
	if (given)
		hg_err_set(p->err, HG_E_VERB_UNKNOWN, "there is no command \"%.*s %s\"",
		        HG_STR_ARG(noun), given);
	else
		hg_err_set(p->err, HG_E_USAGE, "\"headgate %.*s\" needs a word more",
		        HG_STR_ARG(noun));
	hg_out_cstr(&o, "one of:");
	for (size_t i = 0; i < n; i++) {
		struct hg_str rest = hg_str(rows[i].name);
		struct hg_str first = hg_str_cut(&rest, ' ');
		if (rest.n && hg_str_eq(first, noun)) {
			hg_out_byte(&o, ' ');
			hg_out_str(&o, rest);
		}
	}
	p->err->hint[o.n] = 0;
	return p->err->rc;
}

static enum hg_rc verb_find(struct parser *p)
{
	struct hg_str word = hg_str(p->argv[p->at]);
	char both[64];
	HG_ASSERT(word.p);
	if (cli_is_noun(word)) {
		const char *second = p->at + 1 < p->argc ? p->argv[p->at + 1] : NULL;
		if (second && second[0] == '-') second = NULL;
		struct hg_out o = hg_out_over(both, sizeof both);
		hg_out_str(&o, word);
		hg_out_byte(&o, ' ');
		hg_out_cstr(&o, second ? second : "");
		if (second && !hg_out_failed(&o))
			p->a->row = cli_row_find((struct hg_str){both, o.n});
		if (!p->a->row) {
			bool help = false;
			for (int i = p->at + 1; i < p->argc && p->argv[i]; i++)
				help |= !strcmp(p->argv[i], "--help") || !strcmp(p->argv[i], "-h");
			if (help && !second) {
				p->a->help = true;
				p->a->noun = word;
				p->at = p->argc;
				return HG_OK;
			}
			/* Also when it is what the verb that may be left out needs. */
			const struct cli_verb_row *alone = cli_row_alone(word);
			if (!second || (alone && alone->min > 0)) p->a->row = alone;
			if (p->a->row) return HG_OK;
			return noun_refuse(p, word, second);
		}
		p->at++;
		return HG_OK;
	}
	p->a->row = cli_row_find(word);
	return p->a->row ? HG_OK : verb_refuse(p, word);
}

static enum hg_rc check_count(const struct cli_args *a, struct hg_err *err)
{
	const struct cli_verb_row *r = a->row;
	if (a->count < r->min) {
		hg_err_set(err, HG_E_USAGE, "\"headgate %s\" needs %s", r->name, r->args);
	} else if (a->count > r->max) {
		hg_err_set(err, HG_E_USAGE, "\"%s\" is one argument too many for \"headgate %s\"",
		        a->positional[r->max], r->name);
	} else {
		return HG_OK;
	}
	hg_err_hint(err, "headgate help %s", r->name);
	return HG_E_USAGE;
}

enum hg_rc cli_parse(int argc, char **argv, struct cli_args *ret_args, struct hg_err *err)
{
	struct cli_args a = {0};
	struct hg_err unused = {0};
	struct parser p = {
	        .argc = argc, .at = 1, .argv = argv, .a = &a, .err = err ? err : &unused};
	int kept = 1; /* arguments are moved together, from argv[1] on */
	bool only_arguments = false;
	for (; p.at < argc; p.at++) {
		char *word = argv[p.at];
		enum hg_rc rc = HG_OK;
		if (only_arguments || word[0] != '-' || !word[1]) {
			if (a.row) {
				argv[kept++] = word;
				/* Flags behind the program of `run` are the program's. */
				only_arguments |= a.row->verb == CLI_RUN;
			} else {
				rc = verb_find(&p);
			}
		} else if (!strcmp(word, "--")) {
			only_arguments = true;
		} else if (word[1] == '-') {
			rc = flag_long(&p, word);
		} else {
			rc = flag_short(&p, word);
		}
		if (rc < 0) return rc;
	}
	a.positional = (const char *const *)argv + 1;
	a.count = kept - 1;
	if (!a.row && !a.version) a.help = true;
	if (a.row && !a.help) {
		enum hg_rc rc = check_count(&a, p.err);
		if (rc < 0) return rc;
	}
	*ret_args = a;
	return HG_OK;
}
