#include "observe/scrape/relabel.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/md5.h"
#include "wire/re.h"

#define VALUE_MAX (1u << 20) /* of a value that a rule makes */

struct rule {
	struct relabel_conf c;
	struct re *re;
	bool as_written; /* the regular expression is the default one */
};

struct relabel {
	struct hg_arena arena; /* of the texts of the rules */
	struct rule *rule;
	uint32_t n;
	struct hg_buf joined, made;
};

static const char *const action_name[] = {"replace", "keep", "drop", "keepequal", "dropequal",
        "hashmod", "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase"};

bool relabel_action_parse(struct hg_str name, enum relabel_action *ret_action)
{
	for (size_t i = 0; i < HG_COUNT(action_name); i++) {
		if (!hg_str_eq_nocase(name, hg_str(action_name[i]))) continue;
		*ret_action = (enum relabel_action)i;
		return true;
	}
	return false;
}

const char *relabel_action_name(enum relabel_action action)
{
	return (size_t)action < HG_COUNT(action_name) ? action_name[action] : "";
}

/* ---- check ---- */

static bool needs_target(enum relabel_action a)
{
	return a == RELABEL_REPLACE || a == RELABEL_KEEPEQUAL || a == RELABEL_DROPEQUAL ||
	       a == RELABEL_HASHMOD || a == RELABEL_LOWERCASE || a == RELABEL_UPPERCASE;
}

/* What is wrong with a rule, and NULL when nothing is. */
static const char *fault(const struct relabel_conf *c)
{
	bool equal = c->action == RELABEL_KEEPEQUAL || c->action == RELABEL_DROPEQUAL;
	bool names = c->action == RELABEL_LABELDROP || c->action == RELABEL_LABELKEEP;
	bool letters = c->action == RELABEL_LOWERCASE || c->action == RELABEL_UPPERCASE;
	if ((size_t)c->action >= HG_COUNT(action_name)) return "there is no such action";
	if (c->action == RELABEL_HASHMOD && c->modulus == 0) return "`modulus` is missing";
	if (needs_target(c->action) && c->target.n == 0) return "`target_label` is missing";
	if (letters && c->replacement.p) return "`replacement` says nothing here";
	if (equal && (c->regex.p || c->modulus || c->separator.p || c->replacement.p))
		return "only `source_labels` and `target_label` say something here";
	if (names &&
	        (c->source_n || c->target.n || c->modulus || c->separator.p || c->replacement.p))
		return "only `regex` says something here: it looks at the names of labels";
	if (c->action == RELABEL_LABELMAP && c->replacement.p && c->replacement.n == 0)
		return "`replacement` is the new name: it cannot be empty";
	if (c->target.n && !hg_utf8_valid(c->target)) return "`target_label` is not UTF-8";
	if (c->replacement.n && !hg_utf8_valid(c->replacement)) return "`replacement` is not UTF-8";
	return NULL;
}

/* ---- making ---- */

static bool keep_text(struct hg_arena *a, struct hg_str *s, struct hg_str instead)
{
	*s = hg_arena_str(a, s->p ? *s : instead);
	return s->p != NULL;
}

static bool keep_texts(struct relabel *r, struct relabel_conf *c)
{
	struct hg_str *source = hg_arena_array(&r->arena, c->source_n + 1, sizeof *source);
	bool ok = source != NULL;
	for (uint32_t i = 0; ok && i < c->source_n; i++) {
		source[i] = c->source[i];
		ok = keep_text(&r->arena, &source[i], HG_STR(""));
	}
	c->source = source;
	return ok && keep_text(&r->arena, &c->separator, HG_STR(";")) &&
	       keep_text(&r->arena, &c->regex, HG_STR("(.*)")) &&
	       keep_text(&r->arena, &c->target, HG_STR("")) &&
	       keep_text(&r->arena, &c->replacement, HG_STR("$1"));
}

static enum hg_rc rule_make(struct relabel *r, uint32_t i, struct hg_err *err)
{
	struct rule *rule = &r->rule[i];
	const char *why = fault(&rule->c);
	enum hg_rc rc;
	if (why)
		return hg_err_set(err, HG_E_RELABEL, "relabelling rule %u (%s) is not valid: %s",
		        i + 1, relabel_action_name(rule->c.action), why);
	rule->as_written = !rule->c.regex.p || hg_str_eq(rule->c.regex, HG_STR("(.*)"));
	if (!keep_texts(r, &rule->c))
		return hg_err_set(err, HG_E_NOMEM, "no memory for relabelling rules");
	rc = re_compile(rule->c.regex, RE_LABEL, &rule->re, err);
	if (rc < 0 && err) {
		char message[sizeof err->message];
		(void)hg_str_copy(hg_str(err->message), message, sizeof message);
		(void)snprintf(err->message, sizeof err->message, "relabelling rule %u: %.280s",
		        i + 1, message);
	}
	return rc;
}

enum hg_rc relabel_new(const struct relabel_conf *conf, uint32_t n, struct relabel **ret_relabel,
        struct hg_err *err)
{
	struct relabel *r = calloc(1, sizeof *r);
	enum hg_rc rc = HG_OK;
	if (!r) return hg_err_set(err, HG_E_NOMEM, "no memory for relabelling rules");
	hg_arena_init(&r->arena, "relabelling rules", 64u << 20);
	hg_buf_init(&r->joined, VALUE_MAX);
	hg_buf_init(&r->made, VALUE_MAX);
	r->rule = calloc(n ? n : 1, sizeof *r->rule);
	if (!r->rule) rc = hg_err_set(err, HG_E_NOMEM, "no memory for relabelling rules");
	for (uint32_t i = 0; r->rule && i < n && rc >= 0; i++) {
		r->rule[i].c = conf[i];
		r->n = i + 1;
		rc = rule_make(r, i, err);
	}
	if (rc < 0)
		relabel_free(r);
	else
		*ret_relabel = r;
	return rc;
}

void relabel_free(struct relabel *r)
{
	if (!r) return;
	for (uint32_t i = 0; r->rule && i < r->n; i++)
		re_free(r->rule[i].re);
	free(r->rule);
	hg_buf_free(&r->joined);
	hg_buf_free(&r->made);
	hg_arena_fini(&r->arena);
	free(r);
}

uint32_t relabel_count(const struct relabel *r)
{
	return r ? r->n : 0;
}

/* ---- applying ---- */

static bool has_variable(struct hg_str s)
{
	return hg_str_find(s, '$') < s.n;
}

static enum relabel_result set(
        struct labels_builder *b, struct hg_arena *texts, struct hg_str name, struct hg_str value)
{
	struct hg_str n = hg_arena_str(texts, name), v = hg_arena_str(texts, value);
	if (!n.p || !v.p) return RELABEL_FAILED;
	labels_builder_set(b, n, v);
	return RELABEL_KEPT;
}

static enum relabel_result replace(struct relabel *r, const struct rule *u,
        struct labels_builder *b, struct hg_arena *texts, struct hg_str value)
{
	struct re_group group[RE_GROUPS_MAX];
	struct hg_str name;
	/* What is the most common rule needs no search: a fixed label. */
	if (value.n == 0 && u->as_written && !has_variable(u->c.target) &&
	        !has_variable(u->c.replacement)) {
		labels_builder_set(b, u->c.target, u->c.replacement);
		return RELABEL_KEPT;
	}
	if (!re_match(u->re, value)) return RELABEL_KEPT;
	if (!re_search(u->re, value, group, re_groups(u->re))) return RELABEL_FAILED;
	hg_buf_reset(&r->made);
	re_expand(u->re, u->c.target, group, &r->made);
	if (r->made.failed) return RELABEL_FAILED;
	name = hg_arena_str(texts, hg_buf_view(&r->made));
	if (!name.p) return RELABEL_FAILED;
	if (name.n == 0) return RELABEL_KEPT;
	hg_buf_reset(&r->made);
	re_expand(u->re, u->c.replacement, group, &r->made);
	if (r->made.failed) return RELABEL_FAILED;
	return set(b, texts, name, hg_buf_view(&r->made));
}

static enum relabel_result hashmod(
        const struct rule *u, struct labels_builder *b, struct hg_arena *texts, struct hg_str value)
{
	uint8_t sum[16];
	char text[24];
	uint64_t v = 0;
	struct hg_out o = hg_out_over(text, sizeof text);
	md5(value, sum);
	for (unsigned i = 8; i < 16; i++)
		v = v << 8 | sum[i];
	hg_out_u64(&o, v % u->c.modulus);
	return set(b, texts, u->c.target, (struct hg_str){text, o.n});
}

static enum relabel_result letters(struct relabel *r, const struct rule *u,
        struct labels_builder *b, struct hg_arena *texts, struct hg_str value)
{
	bool lower = u->c.action == RELABEL_LOWERCASE;
	hg_buf_reset(&r->made);
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];
		if (lower && c >= 'A' && c <= 'Z') c = (char)(c + 'a' - 'A');
		if (!lower && c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
		hg_buf_byte(&r->made, c);
	}
	if (r->made.failed) return RELABEL_FAILED;
	return set(b, texts, u->c.target, hg_buf_view(&r->made));
}

/* The new name of a label whose name matches as a whole. */
static enum relabel_result map(
        struct relabel *r, const struct rule *u, struct labels_builder *b, struct hg_arena *texts)
{
	struct re_group group[RE_GROUPS_MAX];
	struct labels ls;
	struct label *before = NULL;
	enum relabel_result result = RELABEL_KEPT;
	if (labels_builder_done(b, &ls) < 0) return RELABEL_FAILED;
	before = hg_arena_array(texts, ls.n + 1, sizeof *before);
	if (!before) return RELABEL_FAILED;
	if (ls.n) memcpy(before, ls.at, ls.n * sizeof *before);
	for (uint32_t i = 0; i < ls.n && result == RELABEL_KEPT; i++) {
		if (!re_match(u->re, before[i].name)) continue;
		if (!re_search(u->re, before[i].name, group, re_groups(u->re)))
			return RELABEL_FAILED;
		hg_buf_reset(&r->made);
		re_expand(u->re, u->c.replacement, group, &r->made);
		if (r->made.failed) return RELABEL_FAILED;
		if (r->made.n) result = set(b, texts, hg_buf_view(&r->made), before[i].value);
	}
	return result;
}

static void names(const struct rule *u, struct labels_builder *b)
{
	bool drop = u->c.action == RELABEL_LABELDROP;
	for (uint32_t i = 0; i < b->n;) {
		if (re_match(u->re, b->at[i].name) == drop)
			labels_builder_drop(b, b->at[i].name);
		else
			i++;
	}
}

static bool join(struct relabel *r, const struct rule *u, struct labels_builder *b)
{
	hg_buf_reset(&r->joined);
	for (uint32_t i = 0; i < u->c.source_n; i++) {
		if (i) hg_buf_str(&r->joined, u->c.separator);
		hg_buf_str(&r->joined, labels_builder_get(b, u->c.source[i]));
	}
	return !r->joined.failed;
}

static enum relabel_result when(bool keep)
{
	return keep ? RELABEL_KEPT : RELABEL_DROPPED;
}

static enum relabel_result apply(
        struct relabel *r, const struct rule *u, struct labels_builder *b, struct hg_arena *texts)
{
	struct hg_str value;
	if (!join(r, u, b)) return RELABEL_FAILED;
	value = hg_buf_view(&r->joined);
	switch (u->c.action) {
	case RELABEL_REPLACE: return replace(r, u, b, texts, value);
	case RELABEL_KEEP: return when(re_match(u->re, value));
	case RELABEL_DROP: return when(!re_match(u->re, value));
	case RELABEL_KEEPEQUAL: return when(hg_str_eq(labels_builder_get(b, u->c.target), value));
	case RELABEL_DROPEQUAL: return when(!hg_str_eq(labels_builder_get(b, u->c.target), value));
	case RELABEL_HASHMOD: return hashmod(u, b, texts, value);
	case RELABEL_LOWERCASE:
	case RELABEL_UPPERCASE: return letters(r, u, b, texts, value);
	case RELABEL_LABELMAP: return map(r, u, b, texts);
	case RELABEL_LABELDROP:
	case RELABEL_LABELKEEP: names(u, b); return RELABEL_KEPT;
	}
	return RELABEL_KEPT;
}

enum relabel_result relabel_apply(
        struct relabel *r, struct labels_builder *b, struct hg_arena *texts)
{
	enum relabel_result result = RELABEL_KEPT;
	for (uint32_t i = 0; r && i < r->n && result == RELABEL_KEPT; i++)
		result = apply(r, &r->rule[i], b, texts);
	return b->failed ? RELABEL_FAILED : result;
}
