/* YAML → rules: what Prometheus accepts is accepted, what it refuses is refused, with the place. */
#include "rules_priv.h"

#include <stdlib.h>

#define FILE_BYTES ((size_t)128 << 20)

const char *const rules_variables[] = {"labels", "externalLabels", "externalURL", "value", NULL};

/* ---- places ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t offset_of(struct hg_str text, uint32_t line, uint32_t column)
{
	size_t at = 0;
	for (uint32_t i = 1; i < line; i++) {
		struct hg_str rest = {text.p + at, text.n - at};
		size_t end = hg_str_find(rest, '\n');
		if (end == rest.n) return text.n;
		at += end + 1;
	}
	/* Columns count code points. */
	for (uint32_t i = 1; i < column && at < text.n && text.p[at] != '\n'; i++)
		do
			at++;
		while (at < text.n && ((unsigned char)text.p[at] & 0xc0) == 0x80);
	return at;
}

/*
 * Whatever the style of the scalar (plain, quoted, literal, folded), white space and escapes apart
 * its characters stand in the source in the same order: count them.
 */
void rules_place(const struct rules_file *f, const struct spec_node *n, uint32_t at,
        uint32_t *ret_line, uint32_t *ret_column)
{
	struct hg_str s = f->text;
	size_t i = offset_of(s, n->line, n->column), want = 0;
	uint32_t line = n->line, column = n->column;
	char quote = 0;
	*ret_line = line;
	*ret_column = column;
	for (size_t k = 0; k < n->text.n && k < at; k++)
		want += !is_space(n->text.p[k]);
	if (i < s.n && n->quoted && (s.p[i] == '"' || s.p[i] == '\'')) {
		quote = s.p[i++];
		column++;
	} else if (i < s.n && n->quoted && (s.p[i] == '|' || s.p[i] == '>')) {
		while (i < s.n && s.p[i] != '\n')
			i++;
	}
	for (; i < s.n; i++) {
		char c = s.p[i];
		if (c == '\n') {
			line++;
			column = 1;
			continue;
		}
		bool more = ((unsigned char)c & 0xc0) == 0x80;
		if (!is_space(c) && !more) {
			if (!want) break;
		}
		bool last = !is_space(c) && want == 1;
		if (!is_space(c) && want) want--;
		if (!more) column++;
		if (last && at >= n->text.n) break; /* behind it */
		if (quote && i + 1 < s.n &&
		        ((quote == '"' && c == '\\') || (quote == '\'' && c == quote))) {
			i++;
			column++;
		}
	}
	*ret_line = line;
	*ret_column = column;
}

/* ---- reading ---- */

struct reading {
	struct rules_file *f;
	struct spec_report *r;
};

static struct hg_err *refuse(struct reading *x, enum hg_rc rc, uint32_t line, uint32_t column)
{
	return spec_report_error(x->r, rc, line, column);
}

#define REFUSE(x, n, ...) \
	spec_err_say(refuse((x), HG_E_RULES_FILE, (n)->line, (n)->column), __VA_ARGS__)
#define REFUSE_KEY(x, n, ...) \
	spec_err_say(refuse((x), HG_E_RULES_FILE, (n)->key_line, (n)->key_column), __VA_ARGS__)

static void nomem(struct reading *x)
{
	spec_err_say(refuse(x, HG_E_NOMEM, 0, 0), "the file needs more memory than it may");
}

static bool empty(const struct spec_node *n)
{
	return !n || (n->kind == SPEC_N_SCALAR && !n->text.n && !n->quoted);
}

/* A name in quotes with nothing between them is none, as Prometheus reads it. */
static bool nameless(const struct spec_node *n)
{
	return !n || (n->kind == SPEC_N_SCALAR && !n->text.n);
}

/* Every key of the map is one of `names`. */
void rules_keys_check(struct spec_report *r, const struct spec_node *map, const char *const *names,
        const char *what)
{
	for (const struct spec_node *c = map->first; c; c = c->next) {
		const char *near = NULL;
		bool known = false;
		uint32_t best = 3;
		for (const char *const *n = names; *n; n++) {
			uint32_t d = hg_str_distance(hg_str(*n), c->key);
			known = known || d == 0;
			if (d < best) {
				best = d;
				near = *n;
			}
		}
		if (known) continue;
		struct hg_err *e =
		        spec_report_error(r, HG_E_RULES_FILE, c->key_line, c->key_column);
		spec_err_say(
		        e, "unknown key \"%.*s\" in %s", (int)HG_MIN(c->key.n, 60), c->key.p, what);
		if (near) hg_err_hint(e, "did you mean \"%s\"?", near);
	}
}

static struct hg_str text_of(struct reading *x, const struct spec_node *map, const char *key)
{
	const struct spec_node *n = spec_node_get(map, key);
	if (!n) return (struct hg_str){"", 0};
	if (n->kind == SPEC_N_SCALAR) return n->text;
	REFUSE(x, n, "`%s` must be a text", key);
	return (struct hg_str){"", 0};
}

static int64_t duration_of(
        struct reading *x, const struct spec_node *map, const char *key, int64_t otherwise)
{
	const struct spec_node *n = spec_node_get(map, key);
	int64_t ms = 0;
	if (empty(n)) return otherwise;
	if (n->kind == SPEC_N_SCALAR && promql_duration(n->text, &ms) && ms >= 0) return ms;
	struct hg_err *e = refuse(x, HG_E_RULES_FILE, n->line, n->column);
	spec_err_say(
	        e, "`%s` is no duration: \"%.*s\"", key, (int)HG_MIN(n->text.n, 40), n->text.p);
	hg_err_hint(e, "write 30s, 5m, 1h30m");
	return otherwise;
}

/* A label must not be the metric's name; an annotation is a text like another. */
static bool name_ok(struct hg_str s, const char *key)
{
	if (!s.n || !hg_utf8_valid(s)) return false;
	return strcmp(key, "labels") != 0 || !hg_str_eq(s, LABEL_METRIC);
}

/* The map's pairs, sorted; those of `also` that it has not, too. */
static struct labels pairs_of(
        struct reading *x, const struct spec_node *map, const char *key, struct labels also)
{
	const struct spec_node *n = spec_node_get(map, key);
	if (empty(n)) return also;
	if (n->kind != SPEC_N_MAP) {
		REFUSE(x, n, "`%s` must be a mapping", key);
		return also;
	}
	struct label *at = hg_arena_array(&x->f->mem, n->count + also.n + 1ul, sizeof *at);
	uint32_t count = 0;
	if (!at) {
		nomem(x);
		return also;
	}
	for (const struct spec_node *c = n->first; c; c = c->next) {
		if (c->kind != SPEC_N_SCALAR)
			REFUSE(x, c, "`%.*s` must be a text", (int)HG_MIN(c->key.n, 60), c->key.p);
		else if (!name_ok(c->key, key))
			REFUSE_KEY(x, c, "\"%.*s\" is no name of a label",
			        (int)HG_MIN(c->key.n, 60), c->key.p);
		else
			at[count++] = (struct label){c->key, c->text};
	}
	for (uint32_t i = 0; i < also.n; i++) {
		uint32_t k = 0;
		while (k < count && !hg_str_eq(at[k].name, also.at[i].name))
			k++;
		if (k == count) at[count++] = also.at[i];
	}
	for (uint32_t i = 1; i < count; i++)
		for (uint32_t k = i; k && label_text_compare(at[k - 1].name, at[k].name) > 0; k--) {
			struct label swap = at[k];
			at[k] = at[k - 1];
			at[k - 1] = swap;
		}
	return (struct labels){at, count};
}

/* ---- a rule ---- */

static const struct spec_node *pair_node(const struct spec_node *rule,
        const struct spec_node *group, const char *map, struct hg_str name)
{
	const struct spec_node *from[2] = {spec_node_get(rule, map), spec_node_get(group, map)};
	for (int i = 0; i < 2; i++) {
		if (!from[i] || from[i]->kind != SPEC_N_MAP) continue;
		for (const struct spec_node *c = from[i]->first; c; c = c->next)
			if (hg_str_eq(c->key, name)) return c;
	}
	return rule;
}

/* An error within a scalar gets the place in the file. */
static void place_inside(struct reading *x, const struct spec_node *n, const struct hg_err *why)
{
	uint32_t at = 0, line, column;
	for (unsigned i = 1; i < why->line; i++) {
		struct hg_str rest = {n->text.p + at, n->text.n - at};
		at += (uint32_t)HG_MIN(hg_str_find(rest, '\n') + 1, rest.n);
	}
	at += why->column ? why->column - 1 : 0;
	rules_place(x->f, n, at, &line, &column);
	struct hg_err *e = refuse(x, why->rc, line, column);
	spec_err_say(e, "%s", why->message);
	if (why->detail[0]) hg_err_detail(e, "%s", why->detail);
	if (why->hint[0]) hg_err_hint(e, "%s", why->hint);
}

static bool is_template(struct labels ls)
{
	for (uint32_t i = 0; i < ls.n; i++)
		for (size_t k = 0; k + 1 < ls.at[i].value.n; k++)
			if (ls.at[i].value.p[k] == '{' && ls.at[i].value.p[k + 1] == '{')
				return true;
	return false;
}

void rules_template_name(struct hg_buf *to, bool annotation, struct hg_str name)
{
	hg_buf_reset(to);
	hg_buf_cstr(to, annotation ? "a:" : "l:");
	hg_buf_str(to, name);
}

static void templates_of(struct reading *x, const struct spec_node *rule,
        const struct spec_node *group, struct rules_rule *to)
{
	struct hg_buf name;
	struct hg_err why = {0};
	if (!to->alerting || (!is_template(to->labels) && !is_template(to->annotations))) return;
	if (gotemplate_new(&to->templates) < 0) {
		nomem(x);
		return;
	}
	hg_buf_init(&name, 65536);
	for (int k = 0; k < 2; k++) {
		struct labels ls = k ? to->annotations : to->labels;
		for (uint32_t i = 0; i < ls.n; i++) {
			why = (struct hg_err){0};
			rules_template_name(&name, k, ls.at[i].name);
			if (gotemplate_add(to->templates, hg_buf_view(&name), NULL, ls.at[i].value,
			            rules_variables, &why) == HG_OK)
				continue;
			place_inside(x,
			        pair_node(rule, group, k ? "annotations" : "labels", ls.at[i].name),
			        &why);
		}
	}
	hg_buf_free(&name);
	why = (struct hg_err){0};
	if (!x->r->error_count && gotemplate_check(to->templates, &why) < 0)
		spec_err_say(refuse(x, why.rc, rule->line, rule->column), "%s", why.message);
}

static void name_check(struct reading *x, const struct spec_node *n, bool record)
{
	if (!record) return;
	if (!hg_utf8_valid(n->text) || memchr(n->text.p, '{', n->text.n) ||
	        memchr(n->text.p, '}', n->text.n))
		REFUSE(x, n, "\"%.*s\" is no name of a metric; should it be `expr`?",
		        (int)HG_MIN(n->text.n, 80), n->text.p);
}

static void expr_read(struct reading *x, const struct spec_node *rule, struct rules_rule *to)
{
	const struct spec_node *n = spec_node_get(rule, "expr");
	struct hg_err why = {0};
	if (empty(n) || n->kind != SPEC_N_SCALAR || !hg_str_trim(n->text).n) {
		const struct spec_node *at = n ? n : rule;
		REFUSE(x, at, "the rule has no `expr`");
		return;
	}
	to->expr = n->text;
	to->expr_node = n;
	if (promql_parse(n->text, &to->query, &why) < 0) {
		place_inside(x, n, &why);
		return;
	}
	enum promql_type t = promql_type_of(to->query);
	if (t == PROMQL_VECTOR || t == PROMQL_SCALAR) return;
	REFUSE(x, n, "the expression gives a %s; a rule needs an instant vector or a scalar",
	        promql_type_name(t));
}

static void rule_read(struct reading *x, const struct spec_node *n, const struct spec_node *group,
        struct labels group_labels, struct rules_rule *to)
{
	static const char *const keys[] = {
	        "record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations", NULL};
	static const char *const alerts_only[] = {"for", "keep_firing_for", "annotations"};
	if (n->kind != SPEC_N_MAP) {
		REFUSE(x, n, "a rule must be a mapping with `record` or `alert`, and `expr`");
		return;
	}
	rules_keys_check(x->r, n, keys, "a rule");
	const struct spec_node *record = spec_node_get(n, "record");
	const struct spec_node *alert = spec_node_get(n, "alert");
	to->node = n;
	to->line = n->line;
	to->column = n->column;
	to->alerting = !nameless(alert);
	if (!nameless(record) && !nameless(alert))
		REFUSE(x, alert, "a rule has either `record` or `alert`, not both");
	if (nameless(record) && nameless(alert))
		REFUSE(x, n, "the rule has neither `record` nor `alert`");
	to->name = text_of(x, n, to->alerting ? "alert" : "record");
	if (!nameless(record) && record->kind == SPEC_N_SCALAR) name_check(x, record, true);
	expr_read(x, n, to);
	for (size_t i = 0; !to->alerting && i < HG_COUNT(alerts_only); i++) {
		const struct spec_node *k = spec_node_get(n, alerts_only[i]);
		int64_t ms;
		if (empty(k) || (k->kind != SPEC_N_SCALAR && !k->count)) continue;
		/* Generated files say `for: 0s` everywhere. */
		bool none = k->kind == SPEC_N_SCALAR && promql_duration(k->text, &ms) && ms == 0;
		if (!none)
			REFUSE_KEY(x, k, "`%s` belongs to alerts, not to recording rules",
			        alerts_only[i]);
	}
	to->for_ms = duration_of(x, n, "for", 0);
	to->keep_firing_ms = duration_of(x, n, "keep_firing_for", 0);
	to->labels = pairs_of(x, n, "labels", group_labels);
	to->annotations = pairs_of(x, n, "annotations", (struct labels){0});
	templates_of(x, n, group, to);
}

/* ---- groups ---- */

static void limit_read(struct reading *x, const struct spec_node *n, struct rules_group *to)
{
	const struct spec_node *limit = spec_node_get(n, "limit");
	uint64_t v = 0;
	if (empty(limit)) return;
	if (limit->kind == SPEC_N_SCALAR && hg_str_u64(limit->text, &v) && v <= UINT32_MAX)
		to->limit = (uint32_t)v;
	else
		REFUSE(x, limit, "`limit` must be a whole number");
}

static void group_read(struct reading *x, const struct spec_node *n, struct rules_group *to)
{
	static const char *const keys[] = {
	        "name", "interval", "limit", "query_offset", "labels", "rules", NULL};
	if (n->kind != SPEC_N_MAP) {
		REFUSE(x, n, "a group must be a mapping with `name` and `rules`");
		return;
	}
	rules_keys_check(x->r, n, keys, "a group");
	to->line = n->line;
	to->name = text_of(x, n, "name");
	if (!to->name.n) REFUSE(x, n, "the group has no `name`");
	to->interval_ms = duration_of(x, n, "interval", 0);
	to->offset_ms = duration_of(x, n, "query_offset", -1);
	limit_read(x, n, to);
	struct labels labels = pairs_of(x, n, "labels", (struct labels){0});
	const struct spec_node *rules = spec_node_get(n, "rules");
	if (empty(rules)) return;
	if (rules->kind != SPEC_N_LIST) {
		REFUSE(x, rules, "`rules` must be a list");
		return;
	}
	to->rules = hg_arena_array(&x->f->mem, rules->count + 1ul, sizeof *to->rules);
	if (!to->rules) {
		nomem(x);
		return;
	}
	for (const struct spec_node *c = rules->first; c; c = c->next)
		rule_read(x, c, n, labels, &to->rules[to->n++]);
	x->f->rules += to->n;
}

static void groups_read(struct reading *x, const struct spec_node *list)
{
	struct rules_file *f = x->f;
	f->groups = hg_arena_array(&f->mem, list->count + 1ul, sizeof *f->groups);
	if (!f->groups) {
		nomem(x);
		return;
	}
	for (const struct spec_node *c = list->first; c; c = c->next) {
		struct rules_group *g = &f->groups[f->n++];
		group_read(x, c, g);
		for (uint32_t i = 0; g->name.n && i + 1 < f->n; i++)
			if (hg_str_eq(f->groups[i].name, g->name)) {
				REFUSE(x, c, "there are two groups \"%.*s\" in the file",
				        (int)HG_MIN(g->name.n, 80), g->name.p);
				break;
			}
	}
}

void rules_file_free(struct rules_file *f)
{
	if (!f) return;
	for (uint32_t i = 0; i < f->n; i++)
		for (uint32_t k = 0; k < f->groups[i].n; k++) {
			promql_free(f->groups[i].rules[k].query);
			gotemplate_free(f->groups[i].rules[k].templates);
		}
	hg_arena_fini(&f->mem);
	free(f);
}

enum hg_rc rules_file_read(struct hg_str text, struct hg_str name, struct spec_report *report,
        struct rules_file **ret_file)
{
	static const char *const keys[] = {"groups", NULL};
	struct rules_file *f = calloc(1, sizeof *f);
	struct reading x = {.f = f, .r = report};
	struct spec_node *tree = NULL;
	if (!f) {
		nomem(&x);
		return HG_E_NOMEM;
	}
	hg_arena_init(&f->mem, "rule file", FILE_BYTES);
	f->text = hg_arena_str(&f->mem, text);
	f->name = hg_arena_str(&f->mem, name);
	if (!f->text.p || !f->name.p)
		nomem(&x);
	else if (spec_yaml_parse_aliases(f->text, &f->mem, report, &tree) == HG_OK &&
	         !empty(tree)) {
		const struct spec_node *groups = spec_node_get(tree, "groups");
		if (tree->kind != SPEC_N_MAP)
			REFUSE(&x, tree, "a rule file must be a mapping with `groups`");
		else
			rules_keys_check(report, tree, keys, "a rule file");
		if (!empty(groups) && groups->kind != SPEC_N_LIST)
			REFUSE(&x, groups, "`groups` must be a list");
		else if (!empty(groups))
			groups_read(&x, groups);
	}
	if (!report->error_count) {
		*ret_file = f;
		return HG_OK;
	}
	enum hg_rc rc = spec_report_rc(report);
	rules_file_free(f);
	return rc;
}
