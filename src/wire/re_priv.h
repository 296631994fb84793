/* Between the files of re: tree, classes, program, and what runs it. */
#ifndef WIRE_RE_PRIV_H
#define WIRE_RE_PRIV_H

#include "base/arena.h"
#include "wire/re.h"

#define RE_RUNE_MAX   0x10ffffu
#define RE_REPEAT_MAX 1000u
#define RE_DEPTH_MAX  500u       /* of groups: bounds the recursion of parser and compiler */
#define RE_PROG_MAX   (1u << 21) /* instructions */

/* ---- classes: sets of code points ---- */

struct re_range {
	uint32_t lo, hi;
};

/* Grows on the heap; remembers failure. Ranges are in no order until re_class_tidy. */
struct re_class {
	struct re_range *at;
	uint32_t n, cap;
	bool failed;
};

void re_class_free(struct re_class *c);
void re_class_add(struct re_class *c, uint32_t lo, uint32_t hi);
/* Adds `from`, tidied; all others when `negated`. With `fold` its case variants come first. */
void re_class_add_class(struct re_class *c, struct re_class *from, bool fold, bool negated);
/* Sorted, disjoint and not adjacent. */
void re_class_tidy(struct re_class *c);
void re_class_fold(struct re_class *c);
void re_class_negate(struct re_class *c);
/* "alpha", "word", …; false: there is none. */
HG_MUST bool re_class_posix(struct re_class *c, struct hg_str name);
/* "L", "Lu", "Any"; false: there is none. */
HG_MUST bool re_class_category(struct re_class *c, struct hg_str name);
/* d, s or w. */
void re_class_perl(struct re_class *c, char letter);
/* The next code point that differs only in case; `c` itself when there is none. */
uint32_t re_fold_next(uint32_t c);

struct re_fold {
	uint32_t lo, hi, step;
	int32_t delta;
};
extern const char re_category_names[][3];
extern const uint32_t re_categories[];
extern const size_t re_category_count, re_categories_n;
extern const struct re_fold re_folds[];
extern const size_t re_folds_n;

/* ---- UTF-8 ---- */

/* Bytes written, 1 to 4. */
size_t re_utf8_put(uint32_t rune, char to[4]);
/* The code point at s.p[*at], which moves on; false: not UTF-8. */
HG_MUST bool re_utf8_get(struct hg_str s, size_t *at, uint32_t *ret_rune);

/* ---- tree ---- */

enum re_kind { RE_NOTHING, RE_RUNE, RE_SET, RE_LOOK, RE_CAT, RE_ALT, RE_REPEAT, RE_GROUP };

/* Also the bits of what holds at a place of the text. */
enum re_look {
	RE_TEXT_BEGIN = 1,
	RE_TEXT_END = 2,
	RE_LINE_BEGIN = 4,
	RE_LINE_END = 8,
	RE_WORD_EDGE = 16,
	RE_NO_WORD_EDGE = 32,
};

#define RE_UNBOUNDED UINT32_MAX

struct re_node {
	enum re_kind kind;
	bool lazy;
	bool nullable;         /* may match the empty text */
	uint32_t weight;       /* product of nested counts */
	uint32_t value;        /* RUNE: it; LOOK: which; GROUP: number */
	uint32_t min, max;     /* REPEAT */
	struct re_range *set;  /* SET: n of them, tidy */
	struct re_node **kids; /* CAT, ALT: n of them; REPEAT, GROUP: one */
	uint32_t n;
};

struct re_tree {
	struct hg_arena arena;
	struct re_node *root;
	uint32_t groups;
	struct hg_str name[RE_GROUPS_MAX]; /* within the pattern */
};

/* The caller ends the arena, also after a failure. */
HG_MUST enum hg_rc re_parse(
        struct hg_str pattern, unsigned flags, struct re_tree *ret_tree, struct hg_err *err);

/* ---- program: bytes in, next instruction out ---- */

enum re_op { RE_OP_BYTE, RE_OP_SPLIT, RE_OP_SAVE, RE_OP_LOOK, RE_OP_MATCH };

struct re_inst {
	uint8_t op, lo, hi, look;
	uint32_t out;  /* all but MATCH; SPLIT: preferred */
	uint32_t also; /* SPLIT: the other; SAVE: which slot */
};

struct re_prog {
	struct re_inst *at;
	uint32_t n, cap;
	uint32_t start;
	unsigned looks; /* all kinds of look that occur */
};

HG_MUST enum hg_rc re_prog_make(
        const struct re_tree *t, struct re_prog *ret_prog, struct hg_err *err);

/* ---- shortcuts ---- */

enum re_short {
	RE_SHORT_NONE,
	RE_SHORT_ANY,      /* everything of at least `least` bytes */
	RE_SHORT_LITERALS, /* exactly one of a sorted list */
	RE_SHORT_PREFIX,   /* literal[0], then `least` bytes or more */
	RE_SHORT_SUFFIX,
	RE_SHORT_CONTAINS, /* `least` and `least_after` bytes or more around it */
};

struct re_shortcut {
	enum re_short kind;
	size_t least, least_after;
	struct hg_str prefix;   /* of every match */
	struct hg_str *literal; /* owned, and their bytes too */
	size_t n;
	char *bytes;
};

/* Fails only for want of memory. */
HG_MUST enum hg_rc re_shortcut_find(
        const struct re_tree *t, bool anchored, struct re_shortcut *ret_shortcut);
void re_shortcut_fini(struct re_shortcut *s);
bool re_shortcut_match(const struct re_shortcut *s, struct hg_str text);

/* ---- running ---- */

/* A set of instructions with order of entry; clearing costs nothing. */
struct re_ids {
	uint32_t *dense, *sparse;
	uint32_t n;
};

struct re_state;

/* Lazily built automaton: is there a match? */
struct re_dfa {
	const struct re_prog *prog;
	bool anchored;
	uint8_t byte_class[256];
	uint8_t class_byte[256]; /* one of each class */
	uint32_t classes;
	struct re_state **table;
	uint32_t table_cap, states;
	size_t bytes;
	struct re_state *begin;
	struct re_ids seen, next;
	uint32_t *stack, *scratch; /* prog->n words each */
	uint32_t *block;           /* where these lie */
};

HG_MUST enum hg_rc re_dfa_init(struct re_dfa *d, const struct re_prog *prog, bool anchored);
void re_dfa_fini(struct re_dfa *d);
bool re_dfa_match(struct re_dfa *d, struct hg_str s);

struct re_pike; /* threads with captures; made at the first search */

struct re {
	struct hg_str pattern;
	unsigned flags;
	uint32_t groups;
	struct hg_str *name; /* of each group, within the pattern */
	struct re_prog prog;
	struct re_shortcut shortcut;
	struct re_dfa dfa; /* without block when the shortcut says it all */
	struct re_pike *pike;
};

void re_pike_free(struct re_pike *p);
size_t re_pike_bytes(const struct re_pike *p);

#endif
