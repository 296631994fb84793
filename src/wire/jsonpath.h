/*
 * Paths into a JSON value, a small part of RFC 9535: "$" is the whole, and each step goes one level
 * down: `.name` or `['any name']` a member, `[3]` an element from 0, `[*]` or `.*` all of them.
 * A name after a dot has letters, digits, "_", "-", "$", "@" and everything beyond ASCII.
 */
#ifndef WIRE_JSONPATH_H
#define WIRE_JSONPATH_H

#include "base/str.h"

#define JSONPATH_TEXT_MAX  128u
#define JSONPATH_STEPS_MAX 12u

enum jsonpath_kind { JSONPATH_MEMBER, JSONPATH_ELEMENT, JSONPATH_ANY };

struct jsonpath_step {
	enum jsonpath_kind kind;
	uint32_t index;
	struct hg_str name; /* within the text that was parsed */
};

struct jsonpath {
	uint32_t n; /* 0: the whole value */
	struct jsonpath_step step[JSONPATH_STEPS_MAX];
};

/* NULL: *ret_path is the path, valid as long as `text`. Else what is wrong (static text), and
 * *ret_at is the byte of `text` where. */
HG_MUST const char *jsonpath_parse(struct hg_str text, struct jsonpath *ret_path, size_t *ret_at);

#endif
