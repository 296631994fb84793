/* Trees to text. */
#include "wire/gotemplate_priv.h"

#include <stdio.h>
#include <stdlib.h>

bool gt_fail(struct gt_run *r, const char *fmt, ...)
{
	char text[sizeof r->err->message];
	va_list list;
	if (r->rc < 0) return false;
	va_start(list, fmt);
	vsnprintf(text, sizeof text, fmt, list);
	va_end(list);
	r->rc = gt_error(r->err, r->src, r->at, "%s", text);
	return false;
}

static bool too_large(struct gt_run *r, const char *what)
{
	if (r->rc == HG_OK)
		r->rc = hg_err_set(r->err, HG_E_TOO_LARGE, "a template %s more than it may", what);
	return false;
}

void *gt_memory(struct gt_run *r, size_t count, size_t size)
{
	void *m = hg_arena_array(r->mem, count ? count : 1, size);
	if (!m) too_large(r, "uses");
	return m;
}

bool gt_take(struct gt_run *r, struct hg_buf *b, enum gt_kind kind, struct gt_value *ret)
{
	bool good = !b->failed;
	struct hg_str s = good ? hg_arena_str(r->mem, hg_buf_view(b)) : (struct hg_str){0};
	hg_buf_free(b);
	if (!s.p) return too_large(r, "uses");
	*ret = (struct gt_value){.kind = kind, .s = s};
	return true;
}

bool gt_true(const struct gt_value *v)
{
	switch (v->kind) {
	case GT_NONE: return false;
	case GT_BOOL: return v->b;
	case GT_INT:
	case GT_DURATION: return v->i != 0;
	case GT_FLOAT: return v->f != 0;
	case GT_STR:
	case GT_SAFE: return v->s.n > 0;
	case GT_LIST: return v->list.n > 0;
	case GT_MAP: return v->type == GT_OBJECT || v->map.n > 0;
	case GT_TIME: break;
	}
	return true;
}

const char *gt_kind_name(const struct gt_value *v)
{
	static const char *const names[] = {[GT_NONE] = "nil",
	        [GT_BOOL] = "bool",
	        [GT_INT] = "int",
	        [GT_FLOAT] = "float64",
	        [GT_STR] = "string",
	        [GT_SAFE] = "template.HTML",
	        [GT_LIST] = "list",
	        [GT_MAP] = "map",
	        [GT_TIME] = "time.Time",
	        [GT_DURATION] = "time.Duration"};
	return names[v->kind];
}

static bool step(struct gt_run *r, size_t at)
{
	r->at = at;
	if (++r->steps > GOTEMPLATE_STEPS_MAX)
		return gt_fail(r, "the template takes more than %u steps", GOTEMPLATE_STEPS_MAX);
	return r->rc == HG_OK;
}

/* ---- values ---- */

static bool pipe_eval(struct gt_run *r, const struct gt_value *dot, const struct gt_pipe *pipe,
        struct gt_value *ret);

static struct gt_value *var_find(struct gt_run *r, struct hg_str name)
{
	for (uint32_t i = r->var_count; i > 0; i--)
		if (hg_str_eq(r->vars[i - 1].name, name)) return &r->vars[i - 1].value;
	return NULL;
}

static bool var_push(struct gt_run *r, struct hg_str name, const struct gt_value *v)
{
	if (r->var_count == GT_VARS_MAX)
		return gt_fail(r, "there are more than %u variables", GT_VARS_MAX);
	r->vars[r->var_count++] = (struct gt_var){name, *v};
	return true;
}

/* `args`: of the last field, when that is a method. */
static bool chain(struct gt_run *r, const struct gt_expr *e, struct gt_value v,
        const struct gt_value *args, uint32_t n, struct gt_value *ret)
{
	for (uint32_t i = 0; i < e->field_count; i++) {
		bool last = i + 1 == e->field_count;
		struct gt_value next;
		if (!step(r, e->at)) return false;
		if (!gt_field(r, &v, e->fields[i], last ? args : NULL, last ? n : 0, &next))
			return false;
		v = next;
	}
	*ret = v;
	return true;
}

static bool func_call(struct gt_run *r, const struct gt_expr *e, const struct gt_value *args,
        uint32_t n, struct gt_value *ret)
{
	const struct gt_func *f = e->func;
	r->at = e->at;
	if (n < f->min || n > f->max)
		return gt_fail(r, "\"%s\" takes %u%s argument%s, not %u", f->name, f->min,
		        f->max > f->min ? " or more" : "", f->min == 1 && f->max == 1 ? "" : "s",
		        n);
	struct gt_value v = {0};
	if (!f->fn(r, args, n, &v)) return gt_fail(r, "\"%s\" failed", f->name);
	*ret = v;
	return true;
}

/* What a base is before its fields; a function without arguments is called. */
static bool base_eval(
        struct gt_run *r, const struct gt_value *dot, const struct gt_expr *e, struct gt_value *ret)
{
	struct gt_value *v;
	if (!step(r, e->at)) return false;
	switch (e->kind) {
	case GT_E_DOT: *ret = *dot; return true;
	case GT_E_VALUE: *ret = e->value; return true;
	case GT_E_PIPE: return pipe_eval(r, dot, e->pipe, ret);
	case GT_E_FUNC:
		if (!e->func->fn) return gt_fail(r, "\"%s\" has no arguments", e->func->name);
		return func_call(r, e, NULL, 0, ret);
	case GT_E_VAR: break;
	}
	v = var_find(r, e->name);
	if (!v) return gt_fail(r, "there is no variable \"$%.*s\"", HG_STR_ARG(e->name));
	*ret = *v;
	return true;
}

static bool expr_eval(
        struct gt_run *r, const struct gt_value *dot, const struct gt_expr *e, struct gt_value *ret)
{
	struct gt_value v;
	return base_eval(r, dot, e, &v) && chain(r, e, v, NULL, 0, ret);
}

/* `and`, `or`: the first value that decides, else the last. */
static bool short_cut(struct gt_run *r, const struct gt_value *dot, const struct gt_cmd *c,
        const struct gt_value *final, struct gt_value *ret)
{
	bool until = c->args->func->name[0] == 'o';
	bool any = false;
	for (const struct gt_expr *e = c->args->next; e; e = e->next) {
		if (!expr_eval(r, dot, e, ret)) return false;
		any = true;
		if (gt_true(ret) == until) return true;
	}
	if (final) *ret = *final;
	r->at = c->args->at;
	return any || final || gt_fail(r, "\"%s\" has no arguments", c->args->func->name);
}

static bool cmd_eval(struct gt_run *r, const struct gt_value *dot, const struct gt_cmd *c,
        const struct gt_value *final, struct gt_value *ret)
{
	struct gt_value args[GT_ARGS_MAX + 1], base;
	const struct gt_expr *called = c->args;
	bool function = called->kind == GT_E_FUNC && !called->field_count;
	uint32_t n = 0;
	if (!step(r, called->at)) return false;
	if (function && !called->func->fn) return short_cut(r, dot, c, final, ret);
	for (const struct gt_expr *e = called->next; e; e = e->next)
		if (!expr_eval(r, dot, e, &args[n++])) return false;
	if (final) args[n++] = *final;
	if (function) return func_call(r, called, args, n, ret);
	if (n && !called->field_count) return gt_fail(r, "what is no function takes no arguments");
	return base_eval(r, dot, called, &base) && chain(r, called, base, args, n, ret);
}

static bool pipe_eval(struct gt_run *r, const struct gt_value *dot, const struct gt_pipe *pipe,
        struct gt_value *ret)
{
	struct gt_value v = {0}, next;
	bool any = false;
	if (++r->depth > 4 * GT_DEPTH_MAX) return gt_fail(r, "the template is nested too deep");
	for (const struct gt_cmd *c = pipe->cmds; c; c = c->next) {
		if (!cmd_eval(r, dot, c, any ? &v : NULL, &next)) return false;
		v = next;
		any = true;
	}
	r->depth--;
	*ret = v;
	if (pipe->var_count != 1) return true; /* the two of a range are set by it */
	if (!pipe->assign) return var_push(r, pipe->vars[0], &v);
	struct gt_value *to = var_find(r, pipe->vars[0]);
	if (to) *to = v;
	return true;
}

/* ---- nodes ---- */

static bool nodes_run(struct gt_run *r, const struct gt_value *dot, const struct gt_node *n);

/* Whether a URL may stand in an attribute: relative, or of a scheme that runs nothing. */
static bool url_fine(struct hg_str s)
{
	static const char *const good[] = {"http", "https", "mailto"};
	size_t colon = hg_str_find(s, ':'), slash = hg_str_find(s, '/');
	if (colon == s.n || slash < colon) return true;
	for (size_t i = 0; i < HG_COUNT(good); i++)
		if (hg_str_eq_nocase((struct hg_str){s.p, colon}, hg_str(good[i]))) return true;
	return false;
}

static bool ends_in_url(const struct hg_buf *to)
{
	static const char *const attributes[] = {"href=\"", "src=\"", "href='", "src='"};
	for (size_t i = 0; i < HG_COUNT(attributes); i++)
		if (hg_str_ends(hg_buf_view(to), hg_str(attributes[i]))) return true;
	return false;
}

static void print_html(struct gt_run *r, const struct gt_value *v)
{
	struct hg_buf text;
	if (v->kind == GT_SAFE) {
		hg_buf_str(r->to, v->s);
		return;
	}
	hg_buf_init(&text, r->to->max);
	gotemplate_print(&text, v);
	if (text.failed)
		r->to->failed = true;
	else if (ends_in_url(r->to) && !url_fine(hg_str_trim(hg_buf_view(&text))))
		hg_buf_cstr(r->to, "#ZgotmplZ"); /* html/template's sign for this */
	else
		gotemplate_escape(r->to, hg_buf_view(&text));
	hg_buf_free(&text);
}

static bool action_run(struct gt_run *r, const struct gt_value *dot, const struct gt_node *n)
{
	struct gt_value v;
	if (!pipe_eval(r, dot, n->pipe, &v)) return false;
	if (n->pipe->var_count) return true;
	if (r->env->html)
		print_html(r, &v);
	else
		gotemplate_print(r->to, &v);
	return !r->to->failed || too_large(r, "writes");
}

static bool branch_run(struct gt_run *r, const struct gt_value *dot, const struct gt_node *n)
{
	struct gt_value v;
	if (!pipe_eval(r, dot, n->pipe, &v)) return false;
	bool yes = gt_true(&v);
	return nodes_run(r, yes && n->kind == GT_N_WITH ? &v : dot, yes ? n->body : n->otherwise);
}

/* One turn: `key` and `v` are what the variables become. */
static bool turn(struct gt_run *r, const struct gt_node *n, const struct gt_value *key,
        const struct gt_value *v)
{
	const struct gt_pipe *p = n->pipe;
	uint32_t vars = r->var_count;
	const struct gt_value *given[2] = {p->var_count == 2 ? key : v, v};
	HG_ASSERT(p->var_count <= HG_COUNT(given));
	for (uint32_t i = 0; i < p->var_count; i++) {
		struct gt_value *to = p->assign ? var_find(r, p->vars[i]) : NULL;
		if (to)
			*to = *given[i];
		else if (!var_push(r, p->vars[i], given[i]))
			return false;
	}
	bool good = step(r, n->at) && nodes_run(r, v, n->body);
	r->var_count = vars;
	if (r->flow == GT_CONTINUE) r->flow = GT_GO;
	return good;
}

static bool range_run(struct gt_run *r, const struct gt_value *dot, const struct gt_node *n)
{
	struct gt_value v;
	struct gt_pipe bare = *n->pipe;
	bare.var_count = 0;
	if (!pipe_eval(r, dot, &bare, &v)) return false;
	int64_t count = v.kind == GT_LIST  ? v.list.n
	                : v.kind == GT_MAP ? v.map.n
	                : v.kind == GT_INT ? v.i
	                                   : 0;
	if (v.kind != GT_LIST && v.kind != GT_MAP && v.kind != GT_INT && v.kind != GT_NONE)
		return gt_fail(r, "range cannot walk over a %s", gt_kind_name(&v));
	if (count <= 0) return nodes_run(r, dot, n->otherwise);
	for (int64_t i = 0; i < count && r->flow == GT_GO; i++) {
		struct gt_value key = gt_int(i), item = key;
		if (v.kind == GT_LIST) item = v.list.at[i];
		if (v.kind == GT_MAP) {
			key = gt_str(v.map.at[i].name);
			item = v.map.at[i].value;
		}
		if (!turn(r, n, &key, &item)) return false;
	}
	r->flow = GT_GO;
	return true;
}

static bool template_run(struct gt_run *r, const struct gt_template *t, const struct gt_value *dot,
        const struct gt_value *values)
{
	const struct gt_source *src = r->src;
	static const struct gt_value none = {0};
	uint32_t vars = r->var_count;
	r->src = t->src;
	bool good = var_push(r, HG_STR(""), dot);
	for (uint32_t i = 0; good && i < t->variable_count; i++)
		good = var_push(r, t->variables[i], values ? &values[i] : &none);
	good = good && nodes_run(r, dot, t->nodes);
	r->var_count = vars;
	r->src = src;
	return good;
}

static bool call_run(struct gt_run *r, const struct gt_value *dot, const struct gt_node *n)
{
	const struct gt_template *t = gt_find(r->set, n->text);
	struct gt_value v = {0};
	if (n->pipe && !pipe_eval(r, dot, n->pipe, &v)) return false;
	r->at = n->at;
	if (!t) return gt_fail(r, "there is no template \"%.*s\"", HG_STR_ARG(n->text));
	if (r->depth > 2 * GT_DEPTH_MAX) return gt_fail(r, "templates call each other too deep");
	r->depth += 4;
	bool good = template_run(r, t, &v, NULL);
	r->depth -= 4;
	return good;
}

static bool node_run(struct gt_run *r, const struct gt_value *dot, const struct gt_node *n)
{
	uint32_t vars = r->var_count;
	bool good = true;
	if (!step(r, n->at)) return false;
	switch (n->kind) {
	case GT_N_TEXT: hg_buf_str(r->to, n->text); return !r->to->failed || too_large(r, "writes");
	case GT_N_ACTION: return action_run(r, dot, n); /* its variables live on */
	case GT_N_BREAK: r->flow = GT_BREAK; return true;
	case GT_N_CONTINUE: r->flow = GT_CONTINUE; return true;
	case GT_N_CALL: good = call_run(r, dot, n); break;
	case GT_N_RANGE: good = range_run(r, dot, n); break;
	case GT_N_IF:
	case GT_N_WITH: good = branch_run(r, dot, n); break;
	}
	r->var_count = vars;
	return good;
}

static bool nodes_run(struct gt_run *r, const struct gt_value *dot, const struct gt_node *n)
{
	uint32_t vars = r->var_count;
	bool good = true;
	for (; good && n && r->flow == GT_GO; n = n->next)
		good = node_run(r, dot, n);
	r->var_count = vars;
	return good;
}

enum hg_rc gotemplate_run(const struct gotemplate *set, struct hg_str name,
        const struct gt_value *dot, const struct gt_value *values, const struct gotemplate_env *env,
        struct hg_arena *mem, struct hg_buf *to, struct hg_err *err)
{
	static const struct gotemplate_env nothing = {0};
	const struct gt_template *t = gt_find(set, name);
	struct gt_run *r = calloc(1, sizeof *r);
	if (!r || !t) {
		free(r);
		return t ? hg_err_set(err, HG_E_NOMEM, "memory is exhausted")
		         : hg_err_set(err, HG_E_TEMPLATE, "there is no template \"%.*s\"",
		                   HG_STR_ARG(name));
	}
	*r = (struct gt_run){.set = set,
	        .env = env ? env : &nothing,
	        .src = t->src,
	        .mem = mem,
	        .to = to,
	        .err = err};
	enum hg_rc rc = HG_OK;
	if (!template_run(r, t, dot, values)) rc = r->rc < 0 ? r->rc : HG_E_TEMPLATE;
	free(r);
	return rc;
}
