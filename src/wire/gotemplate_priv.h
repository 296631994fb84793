/* The tree of a template, and a run through it. */
#ifndef WIRE_GOTEMPLATE_PRIV_H
#define WIRE_GOTEMPLATE_PRIV_H

#include "wire/gotemplate.h"

#define GT_DEPTH_MAX 64u /* of blocks, parentheses, and of templates that call each other */
#define GT_VARS_MAX  128u
#define GT_ARGS_MAX  32u
#define GT_SET_BYTES (16u << 20)
#define GT_VARIABLES 8u /* that a run is given */

/* One text; places are offsets into it. */
struct gt_source {
	const char *file;
	struct hg_str text;
};

enum gt_expr_kind {
	GT_E_DOT,
	GT_E_VALUE, /* a literal */
	GT_E_VAR,
	GT_E_FUNC,
	GT_E_PIPE
};

struct gt_expr {
	enum gt_expr_kind kind;
	uint32_t at;
	struct hg_str name;
	struct gt_value value;
	const struct gt_func *func;
	struct gt_pipe *pipe;
	struct hg_str *fields;
	uint32_t field_count;
	struct gt_expr *next;
};

struct gt_cmd {
	struct gt_expr *args; /* the first is what is called */
	uint32_t n;
	struct gt_cmd *next;
};

struct gt_pipe {
	uint32_t at;
	struct hg_str vars[2];
	uint32_t var_count;
	bool assign; /* "=": to one that is there */
	struct gt_cmd *cmds;
};

enum gt_node_kind {
	GT_N_TEXT,
	GT_N_ACTION,
	GT_N_IF,
	GT_N_RANGE,
	GT_N_WITH,
	GT_N_CALL,
	GT_N_BREAK,
	GT_N_CONTINUE
};

struct gt_node {
	enum gt_node_kind kind;
	uint32_t at;
	struct hg_str text; /* of TEXT; name of CALL */
	struct gt_pipe *pipe;
	struct gt_node *body, *otherwise, *next;
};

struct gt_template {
	struct hg_str name;
	const struct gt_source *src;
	struct gt_node *nodes;
	struct hg_str variables[GT_VARIABLES];
	uint32_t variable_count;
	struct gt_template *next;
};

struct gotemplate {
	struct hg_arena mem;
	struct gt_template *first;
};

const struct gt_template *gt_find(const struct gotemplate *set, struct hg_str name);
/* HG_E_TEMPLATE with file, line, column and the line itself. */
enum hg_rc gt_error(struct hg_err *err, const struct gt_source *src, size_t at, const char *fmt,
        ...) HG_PRINTF(4, 5);

/* ---- a run ---- */

struct gt_var {
	struct hg_str name;
	struct gt_value value;
};

enum gt_flow { GT_GO, GT_BREAK, GT_CONTINUE };

struct gt_run {
	const struct gotemplate *set;
	const struct gotemplate_env *env;
	const struct gt_source *src;
	struct hg_arena *mem;
	struct hg_buf *to;
	struct hg_err *err;
	enum hg_rc rc;
	size_t at; /* of what is being evaluated, for messages */
	uint32_t steps, depth, var_count;
	enum gt_flow flow;
	struct gt_var vars[GT_VARS_MAX];
};

/* The run fails at the place it is at; always false. */
bool gt_fail(struct gt_run *r, const char *fmt, ...) HG_PRINTF(2, 3);
/* The buffer's bytes, moved to the run's memory; frees the buffer. False: the run has failed. */
HG_MUST bool gt_take(struct gt_run *r, struct hg_buf *b, enum gt_kind kind, struct gt_value *ret);
/* Memory of the run; NULL: it has failed. */
HG_MUST void *gt_memory(struct gt_run *r, size_t count, size_t size);

typedef bool (*gt_fn)(
        struct gt_run *r, const struct gt_value *args, uint32_t n, struct gt_value *ret);
struct gt_func {
	const char *name;
	uint32_t min, max;
	gt_fn fn; /* NULL: `and` and `or`, which look at no more than they need */
};
/* NULL: none. */
const struct gt_func *gt_func_find(struct hg_str name);
/* The closest name within two edits; NULL: none. */
const char *gt_func_near(struct hg_str name);

bool gt_true(const struct gt_value *v);
const char *gt_kind_name(const struct gt_value *v); /* as Go calls it: "float64" … */
/* A value by its name or a method; `args` are the method's. */
HG_MUST bool gt_field(struct gt_run *r, const struct gt_value *of, struct hg_str name,
        const struct gt_value *args, uint32_t n, struct gt_value *ret);
const struct gt_value *gt_member(const struct gt_value *map, struct hg_str name);

/* A number out of int, float, duration (seconds), or a text that is one. */
HG_MUST bool gt_number(struct gt_run *r, const struct gt_value *v, double *ret);
/* The text of a text. */
HG_MUST bool gt_text(struct gt_run *r, const struct gt_value *v, struct hg_str *ret);
/* Go's Sprintf. */
void gt_printf(struct hg_buf *to, struct hg_str format, const struct gt_value *args, uint32_t n);
/* Go's float formats: verb e f g, precision -1: the shortest. */
void gt_float_format(struct hg_buf *to, double v, char verb, int precision);

/* The tables of functions: gotemplate_func.c (Go's) and gotemplate_prom.c (the others'). */
extern const struct gt_func gt_funcs_go[], gt_funcs_prom[];

#endif
