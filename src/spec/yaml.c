/*
 * YAML text → tree, strictly. libfyaml scans and parses (events, no document, nothing resolved);
 * what Headgate refuses is refused here, and every cost is bounded before it arises: bytes and
 * line lengths before the parser sees the text, depth and counts while events arrive.
 */
#include "spec/spec_priv.h"

#include <libfyaml.h>
#include <stdio.h>

#define LINE_MAX_BYTES 16384u
#define DEPTH_MAX      32u
#define NODES_MAX      65536u
#define KEYS_MAX       1024u

/* Behind a key: the pairs of its value belong to the mapping. Told by its address. */
static const char merge_key[] = "<<";

struct anchor {
	struct hg_str name;
	struct spec_node *node;
	struct anchor *next; /* the one before it */
};

struct parse {
	struct fy_parser *fy;
	struct fy_diag *diag;
	struct hg_arena *a;
	struct spec_report *r;
	struct spec_node *stack[DEPTH_MAX];
	struct spec_node *root;
	struct spec_node key;  /* key, key_line, key_column of the value to come */
	bool has_key, aliases; /* aliases: they are allowed */
	struct anchor *anchors;
	uint32_t depth, nodes, documents;
	struct hg_str line, line_rest; /* line number line_n of the text, 1…, and what follows it */
	uint32_t line_n;
};

static enum hg_rc limit(struct spec_report *r, uint32_t line, const char *what, unsigned max)
{
	struct hg_err *e = spec_report_error(r, HG_E_CONFIG_LIMIT, line, line ? 1 : 0);
	spec_err_say(e, "%s; the limit is %u", what, max);
	return e->rc;
}

static const char *control_name(unsigned char c)
{
	return c == 0 ? "a zero byte" : "a control character";
}

/* What the text must be before a parser may look at it: UTF-8, printable, in lines of bounded size.
 */
static enum hg_rc text_check(struct hg_str text, struct spec_report *r)
{
	uint32_t line = 1, open = 0;
	size_t start = 0;
	if (text.n > SPEC_FILE_MAX)
		return limit(r, 0, "the file has too many bytes", SPEC_FILE_MAX);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		/* libfyaml looks ahead through all of them before it says a word: 0.4 s a MiB */
		if (c == '[' || c == '{')
			open++;
		else if (c > ' ')
			open = 0;
		if (open > 2 * DEPTH_MAX)
			return limit(r, line, "the nesting is too deep", DEPTH_MAX);
		if (c == '\n') {
			line++;
			start = i + 1;
		} else if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f) {
			struct hg_str before = {text.p + start, i - start};
			size_t column = hg_utf8_valid(before) ? hg_utf8_count(before) : before.n;
			struct hg_err *e = spec_report_error(
			        r, HG_E_CONFIG_SYNTAX, line, (uint32_t)column + 1);
			spec_err_say(e, "the file contains %s (0x%02x)", control_name(c), c);
			hg_err_hint(e, "a configuration is plain text; is this the right file?");
			return e->rc;
		} else if (i - start >= LINE_MAX_BYTES) {
			return limit(r, line, "the line has too many bytes", LINE_MAX_BYTES);
		}
	}
	if (!hg_utf8_valid(text)) {
		struct hg_str rest = text;
		line = 1;
		while (rest.n && hg_utf8_valid(hg_str_cut(&rest, '\n')))
			line++;
		struct hg_err *e = spec_report_error(r, HG_E_CONFIG_SYNTAX, line, 1);
		spec_err_say(e, "the file is not valid UTF-8");
		hg_err_hint(e, "save it as UTF-8");
		return e->rc;
	}
	return HG_OK;
}

static void mark_of(struct fy_token *t, uint32_t *line, uint32_t *column)
{
	const struct fy_mark *m = t ? fy_token_start_mark(t) : NULL;
	*line = m ? (uint32_t)m->line + 1 : 0;
	*column = m ? (uint32_t)m->column + 1 : 0;
}

/* True when the white space that starts the line holds a tab. Lines are asked for in rising order,
 * or nearly: the search goes on where the last one ended. */
static bool tab_indented(struct parse *p, uint32_t line)
{
	if (line < p->line_n || p->line_n == 0) {
		p->line_rest = p->r->text;
		p->line_n = 0;
	}
	for (; p->line_n < line && p->line_rest.n; p->line_n++)
		p->line = hg_str_cut(&p->line_rest, '\n');
	struct hg_str cut = p->line_n == line ? p->line : (struct hg_str){0};
	for (size_t i = 0; i < cut.n && (cut.p[i] == ' ' || cut.p[i] == '\t'); i++) {
		if (cut.p[i] == '\t') return true;
	}
	return false;
}

static enum hg_rc refuse(struct parse *p, struct fy_token *t, const char *what, const char *hint)
{
	uint32_t line, column;
	mark_of(t, &line, &column);
	struct hg_err *e = spec_report_error(p->r, HG_E_CONFIG_REFUSED, line, column);
	spec_err_say(e, "%s", what);
	hg_err_hint(e, "%s", hint);
	return e->rc;
}

/* The parser stopped: its first complaint, in our form. */
static enum hg_rc syntax(struct parse *p)
{
	void *at = NULL;
	struct fy_diag_error *d = fy_diag_errors_iterate(p->diag, &at);
	uint32_t line = d && d->line >= 0 ? (uint32_t)d->line : 0;
	uint32_t column = d && d->column >= 0 ? (uint32_t)d->column : 0;
	struct hg_err *e = spec_report_error(p->r, HG_E_CONFIG_SYNTAX, line, column);
	if (line && tab_indented(p, line)) {
		spec_err_say(e, "the line is indented with a tab");
		hg_err_hint(e, "indent with spaces, two a level");
		return e->rc;
	}
	spec_err_say(
	        e, "not well-formed YAML: %s", d && d->msg ? d->msg : "the parser gave no reason");
	hg_err_hint(e, "look for a missing space after a colon, an unclosed quote or bracket, or "
	               "lines indented differently");
	return e->rc;
}

static struct spec_node *node_new(struct parse *p, enum spec_node_kind kind, struct fy_token *t)
{
	struct spec_node *n = hg_arena_take(p->a, sizeof *n);
	if (!n) return NULL;
	n->kind = kind;
	mark_of(t, &n->line, &n->column);
	n->end_line =
	        t && fy_token_end_mark(t) ? (uint32_t)fy_token_end_mark(t)->line + 1 : n->line;
	return n;
}

static enum hg_rc nomem(struct parse *p)
{
	struct hg_err *e = spec_report_error(p->r, HG_E_NOMEM, 0, 0);
	spec_err_say(e, "no memory for the configuration");
	return e->rc;
}

/* Hangs a node below the collection that is open; a scalar in a map without key becomes the key. */
static enum hg_rc place(struct parse *p, struct spec_node *n)
{
	if (!n) return nomem(p);
	if (++p->nodes > NODES_MAX)
		return limit(p->r, n->line, "the file has too many values", NODES_MAX);
	if (p->depth == 0) {
		p->root = n;
		return HG_OK;
	}
	struct spec_node *parent = p->stack[p->depth - 1];
	if (parent->kind == SPEC_N_MAP) {
		HG_ASSERT(p->has_key);
		n->key = p->key.key;
		n->key_line = p->key.key_line;
		n->key_column = p->key.key_column;
		if (!n->line) {
			n->line = n->key_line;
			n->column = n->key_column;
		}
		p->has_key = false;
		if (parent->count >= KEYS_MAX)
			return limit(p->r, n->key_line, "the mapping has too many keys", KEYS_MAX);
	}
	spec_node_add(parent, n);
	return HG_OK;
}

static bool wants_key(const struct parse *p)
{
	return p->depth && p->stack[p->depth - 1]->kind == SPEC_N_MAP && !p->has_key;
}

static enum hg_rc key_take(struct parse *p, const struct spec_node *n)
{
	const struct spec_node *map = p->stack[p->depth - 1];
	bool merge = hg_str_eq(n->text, hg_str(merge_key)) && !n->quoted;
	if (merge && !p->aliases) {
		struct hg_err *e = spec_report_error(p->r, HG_E_CONFIG_REFUSED, n->line, n->column);
		spec_err_say(e, "merge keys (<<) are refused");
		hg_err_hint(
		        e, "write the values where they are used, or use `environments` overlays");
		return e->rc;
	}
	if (n->line && tab_indented(p, n->line)) {
		struct hg_err *e = spec_report_error(p->r, HG_E_CONFIG_SYNTAX, n->line, 1);
		spec_err_say(e, "the line is indented with a tab");
		hg_err_hint(e, "indent with spaces, two a level");
		return e->rc;
	}
	for (const struct spec_node *c = map->first; c; c = c->next) {
		if (!hg_str_eq(c->key, n->text)) continue;
		struct hg_err *e =
		        spec_report_error(p->r, HG_E_CONFIG_DUPLICATE_KEY, n->line, n->column);
		spec_err_say(
		        e, "key \"%.*s\" is written twice", (int)HG_MIN(n->text.n, 64), n->text.p);
		hg_err_detail(e, "the first is on line %u", c->key_line);
		hg_err_hint(e, "remove one of them");
		break; /* go on: the report shows more than one */
	}
	p->key = (struct spec_node){.key = merge ? hg_str(merge_key) : n->text,
	        .key_line = n->line,
	        .key_column = n->column};
	p->has_key = true;
	return HG_OK;
}

/* ---- anchors, aliases and merge keys, where they are allowed ---- */

static enum hg_rc on_anchor(struct parse *p, struct fy_token *t, struct spec_node *n)
{
	size_t len = 0;
	if (!t) return HG_OK;
	if (!p->aliases)
		return refuse(p, t, "anchors (&name) are refused",
		        "write the values where they are used, or use `environments` overlays");
	const char *name = fy_token_get_text(t, &len);
	struct anchor *to = hg_arena_take(p->a, sizeof *to);
	if (!to) return nomem(p);
	*to = (struct anchor){
	        hg_arena_str(p->a, (struct hg_str){name, name ? len : 0}), n, p->anchors};
	if (!to->name.p) return nomem(p);
	p->anchors = to;
	return HG_OK;
}

/* Levels below and with it. */
static uint32_t height_of(const struct spec_node *n)
{
	uint32_t most = 0;
	for (const struct spec_node *c = n->first; c; c = c->next)
		most = HG_MAX(most, height_of(c));
	return most + 1;
}

/* NULL: no memory, or more nodes than NODES_MAX. */
static struct spec_node *copy(struct parse *p, const struct spec_node *n)
{
	struct spec_node *to = ++p->nodes > NODES_MAX ? NULL : hg_arena_take(p->a, sizeof *to);
	if (!to) return NULL;
	*to = *n;
	to->first = to->last = to->next = NULL;
	to->count = 0;
	for (const struct spec_node *c = n->first; c; c = c->next) {
		struct spec_node *child = copy(p, c);
		if (!child) return NULL;
		spec_node_add(to, child);
	}
	return to;
}

static enum hg_rc on_alias(struct parse *p, struct fy_token *t)
{
	size_t len = 0;
	if (!p->aliases)
		return refuse(p, t, "aliases (*name) are refused",
		        "write the value where it is used, or use `environments` overlays");
	const char *text = fy_token_get_text(t, &len);
	struct hg_str name = {text, text ? len : 0};
	const struct anchor *of = p->anchors;
	while (of && !hg_str_eq(of->name, name))
		of = of->next;
	if (!of)
		return refuse(p, t, "the alias names no anchor above it",
		        "an anchor `&name` stands before the value, above its first alias `*name`");
	for (uint32_t i = 0; i < p->depth; i++)
		if (p->stack[i] == of->node)
			return refuse(p, t, "the alias stands inside of what it names",
			        "write the value out");
	uint32_t line, column;
	mark_of(t, &line, &column);
	if (p->depth + height_of(of->node) > DEPTH_MAX + 1)
		return limit(p->r, line, "the nesting is too deep", DEPTH_MAX);
	struct spec_node *n = copy(p, of->node);
	if (!n && p->nodes > NODES_MAX)
		return limit(p->r, line, "the file has too many values", NODES_MAX);
	if (!n) return nomem(p);
	n->key = (struct hg_str){0};
	p->nodes--; /* place() counts it */
	if (!wants_key(p)) return place(p, n);
	if (n->kind == SPEC_N_SCALAR) return key_take(p, n);
	return refuse(p, t, "a key must be a text", "lists and mappings cannot be keys");
}

static bool has_pair(const struct spec_node *map, struct hg_str key)
{
	const struct spec_node *c = map->first;
	while (c && !hg_str_eq(c->key, key))
		c = c->next;
	return c;
}

/* What the mapping says itself wins, then what was merged first. */
static enum hg_rc merge_pairs(struct parse *p, struct spec_node *map, struct spec_node *from)
{
	if (from->kind != SPEC_N_MAP) {
		struct hg_err *e =
		        spec_report_error(p->r, HG_E_CONFIG_TYPE, from->line, from->column);
		spec_err_say(e, "only mappings can be merged (<<)");
		hg_err_hint(e, "`<<: *name`, where `&name` stands before a mapping");
		return e->rc;
	}
	for (struct spec_node *c = from->first, *next; c; c = next) {
		next = c->next;
		if (has_pair(map, c->key)) continue;
		if (map->count >= KEYS_MAX)
			return limit(p->r, map->line, "the mapping has too many keys", KEYS_MAX);
		spec_node_add(map, c);
	}
	return HG_OK;
}

static enum hg_rc merge(struct parse *p, struct spec_node *map)
{
	struct spec_node *from = map->first;
	enum hg_rc rc = HG_OK;
	while (from && from->key.p != merge_key)
		from = from->next;
	if (!from) return HG_OK;
	spec_node_remove(map, from);
	if (from->kind != SPEC_N_LIST) return merge_pairs(p, map, from);
	for (struct spec_node *c = from->first; c && rc >= 0; c = c->next)
		rc = merge_pairs(p, map, c);
	return rc;
}

/* Where aliases are allowed, the common tags are too: every value's type is known from its key, and
 * only `!!str` says more: that a text is meant. What would make another value of it is not. */
static enum hg_rc on_tag(struct parse *p, struct fy_token *t, struct spec_node *n)
{
	static const char core[] = "tag:yaml.org,2002:";
	static const char *const scalars[] = {
	        "str", "int", "float", "bool", "null", "timestamp", NULL};
	static const char *const lists[] = {"seq", NULL}, *const maps[] = {"map", NULL};
	static const char *const *const known[] = {
	        [SPEC_N_SCALAR] = scalars, [SPEC_N_LIST] = lists, [SPEC_N_MAP] = maps};
	size_t len = 0;
	if (!t) return HG_OK;
	if (!p->aliases)
		return refuse(p, t, "tags (!name) are refused",
		        "the type of every value is known from its key; remove the tag");
	const char *text = fy_token_get_text(t, &len);
	struct hg_str tag = {text, text ? len : 0};
	const size_t k = sizeof core - 1;
	if (tag.n < k || memcmp(tag.p, core, k) != 0)
		return HG_OK; /* of somebody's own programs, which none of ours is */
	tag = (struct hg_str){tag.p + k, tag.n - k};
	for (const char *const *of = known[n->kind]; *of; of++) {
		if (!hg_str_eq(tag, hg_str(*of))) continue;
		if (of == scalars) n->quoted = true;
		return HG_OK;
	}
	return refuse(p, t, "this tag (!!name) is refused here",
	        "!!str, !!int, !!float, !!bool, !!null, !!timestamp, !!seq and !!map are "
	        "understood where they fit; remove the tag");
}

static enum hg_rc on_scalar(struct parse *p, struct fy_event *ev)
{
	struct fy_token *t = ev->scalar.value;
	size_t n = 0;
	struct spec_node *node = node_new(p, SPEC_N_SCALAR, t);
	if (!node) return nomem(p);
	const char *text = t ? fy_token_get_text(t, &n) : "";
	enum fy_scalar_style style = t ? fy_token_scalar_style(t) : FYSS_PLAIN;
	node->quoted = style != FYSS_PLAIN;
	/* libfyaml's mark stands behind the quote */
	if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && node->column > 1)
		node->column--;
	enum hg_rc rc = on_tag(p, ev->scalar.tag, node);
	if (rc < 0) return rc;
	node->text = hg_arena_str(p->a, (struct hg_str){text ? text : "", n});
	if (!node->text.p) return nomem(p);
	if (memchr(node->text.p, 0, n)) {
		struct hg_err *e =
		        spec_report_error(p->r, HG_E_CONFIG_VALUE, node->line, node->column);
		spec_err_say(e, "a text must not contain a zero byte");
		return e->rc;
	}
	rc = on_anchor(p, ev->scalar.anchor, node);
	if (rc < 0) return rc;
	if (wants_key(p)) return key_take(p, node);
	return place(p, node);
}

static enum hg_rc on_start(struct parse *p, struct fy_token *anchor, struct fy_token *tag,
        struct fy_token *start, enum spec_node_kind kind)
{
	struct spec_node *n = node_new(p, kind, start);
	enum hg_rc rc;
	if (!n) return nomem(p);
	rc = on_anchor(p, anchor, n);
	if (rc < 0) return rc;
	rc = on_tag(p, tag, n);
	if (rc < 0) return rc;
	if (wants_key(p))
		return refuse(
		        p, start, "a key must be a text", "lists and mappings cannot be keys");
	rc = place(p, n);
	if (rc < 0) return rc;
	if (p->depth == DEPTH_MAX)
		return limit(p->r, n->line, "the nesting is too deep", DEPTH_MAX);
	p->stack[p->depth++] = n;
	return HG_OK;
}

static enum hg_rc on_end(struct parse *p, struct fy_token *end)
{
	uint32_t line, column;
	HG_ASSERT(p->depth > 0);
	mark_of(end, &line, &column);
	struct spec_node *n = p->stack[--p->depth];
	n->end_line = line;
	return n->kind == SPEC_N_MAP ? merge(p, n) : HG_OK;
}

static enum hg_rc on_event(struct parse *p, struct fy_event *ev)
{
	switch (ev->type) {
	case FYET_DOCUMENT_START:
		if (++p->documents > 1)
			return refuse(p, ev->document_start.document_start,
			        "more than one document in a file is refused",
			        "remove the line `---`, or split the file");
		if (ev->document_start.document_state &&
		        (fy_document_state_version_explicit(ev->document_start.document_state) ||
		                fy_document_state_tags_explicit(ev->document_start.document_state)))
			return refuse(p, ev->document_start.document_start,
			        "directives (%YAML, %TAG) are refused",
			        "remove the line that starts with %; Headgate reads YAML 1.2");
		return HG_OK;
	case FYET_ALIAS: return on_alias(p, ev->alias.anchor);
	case FYET_SCALAR: return on_scalar(p, ev);
	case FYET_MAPPING_START:
		return on_start(p, ev->mapping_start.anchor, ev->mapping_start.tag,
		        ev->mapping_start.mapping_start, SPEC_N_MAP);
	case FYET_SEQUENCE_START:
		return on_start(p, ev->sequence_start.anchor, ev->sequence_start.tag,
		        ev->sequence_start.sequence_start, SPEC_N_LIST);
	case FYET_MAPPING_END: return on_end(p, ev->mapping_end.mapping_end);
	case FYET_SEQUENCE_END: return on_end(p, ev->sequence_end.sequence_end);
	default: return HG_OK;
	}
}

static enum hg_rc parse_all(struct parse *p)
{
	for (;;) {
		struct fy_event *ev = fy_parser_parse(p->fy);
		if (!ev) return fy_diag_got_error(p->diag) || p->depth ? syntax(p) : HG_OK;
		bool end = ev->type == FYET_STREAM_END;
		enum hg_rc rc = on_event(p, ev);
		fy_parser_event_free(p->fy, ev);
		if (rc < 0) return rc;
		if (end) return fy_diag_got_error(p->diag) ? syntax(p) : HG_OK;
	}
}

static enum hg_rc parse_text(struct hg_str text, struct hg_arena *a, struct spec_report *r,
        bool aliases, struct spec_node **ret_tree)
{
	struct fy_diag_cfg dc;
	struct parse p = {.a = a, .r = r, .aliases = aliases};
	enum hg_rc rc = text_check(text, r);
	if (rc < 0) return rc;
	fy_diag_cfg_default(&dc);
	dc.fp = NULL;
	p.diag = fy_diag_create(&dc);
	if (!p.diag) return nomem(&p);
	fy_diag_set_collect_errors(p.diag, true);
	const struct fy_parse_cfg cfg = {
	        .search_path = "",
	        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 |
	                 FYPCF_JSON_NONE,
	        .diag = p.diag,
	};
	p.fy = fy_parser_create(&cfg);
	if (!p.fy || fy_parser_set_string(p.fy, text.p ? text.p : "", text.n) != 0) {
		rc = nomem(&p);
		goto out;
	}
	rc = parse_all(&p);
	if (rc == HG_OK) rc = spec_report_rc(r);
	if (rc == HG_OK) *ret_tree = p.root;
out:
	fy_parser_destroy(p.fy);
	fy_diag_destroy(p.diag);
	return rc;
}

enum hg_rc spec_yaml_parse(
        struct hg_str text, struct hg_arena *a, struct spec_report *r, struct spec_node **ret_tree)
{
	return parse_text(text, a, r, false, ret_tree);
}

enum hg_rc spec_yaml_parse_aliases(
        struct hg_str text, struct hg_arena *a, struct spec_report *r, struct spec_node **ret_tree)
{
	return parse_text(text, a, r, true, ret_tree);
}

/* ---- the tree ---- */

struct spec_node *spec_node_get(const struct spec_node *map, const char *key)
{
	if (!map || map->kind != SPEC_N_MAP) return NULL;
	for (struct spec_node *c = map->first; c; c = c->next) {
		if (hg_str_eq(c->key, hg_str(key))) return c;
	}
	return NULL;
}

void spec_node_add(struct spec_node *to, struct spec_node *child)
{
	child->next = NULL;
	if (to->last)
		to->last->next = child;
	else
		to->first = child;
	to->last = child;
	to->count++;
}

void spec_node_remove(struct spec_node *from, struct spec_node *child)
{
	struct spec_node *before = NULL;
	for (struct spec_node *c = from->first; c; before = c, c = c->next) {
		if (c != child) continue;
		if (before)
			before->next = c->next;
		else
			from->first = c->next;
		if (from->last == c) from->last = before;
		from->count--;
		child->next = NULL;
		return;
	}
	HG_ASSERT(!"a child of another node");
}

struct spec_node *spec_node_like(
        struct hg_arena *a, const struct spec_node *like, enum spec_node_kind kind, const char *key)
{
	struct spec_node *n = hg_arena_take(a, sizeof *n);
	if (!n) return NULL;
	n->kind = kind;
	n->line = like->line;
	n->column = like->column;
	n->key_line = like->key_line;
	n->key_column = like->key_column;
	n->layer = like->layer;
	n->key = key ? hg_str(key) : (struct hg_str){0};
	return n;
}
