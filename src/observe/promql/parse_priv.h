/* The parser's state, shared by its two files. */
#ifndef OBSERVE_PROMQL_PARSE_PRIV_H
#define OBSERVE_PROMQL_PARSE_PRIV_H

#include "ast_priv.h"

struct pq_parser {
	struct promql_query *q;
	struct pq_lex lex;
	struct pq_tok tok;
	uint32_t last; /* end of the token before this one */
	uint32_t depth;
	struct hg_err *err;
};

void pq_advance(struct pq_parser *p);
bool pq_is(const struct pq_parser *p, const char *symbol);
/* A keyword, whatever its case. */
bool pq_is_word(const struct pq_parser *p, const char *word);
bool pq_accept(struct pq_parser *p, const char *symbol);
/* Takes it or refuses: `where` is "in aggregation". */
bool pq_expect(struct pq_parser *p, const char *symbol, const char *where);
/* "unexpected X in <where>"; returns false. */
bool pq_unexpected(struct pq_parser *p, const char *where, const char *expected);
bool pq_nomem(struct pq_parser *p);
struct pq_node *pq_node_new(struct pq_parser *p, enum pq_kind kind, uint32_t from);
/* Any expression; NULL: the error is set. */
struct pq_node *pq_parse_expr(struct pq_parser *p, int least);
/* ( a, b ): labels in parentheses. */
bool pq_parse_names(struct pq_parser *p, struct pq_names *ret_names, const char *where);
/* The braces behind a name, or a selector without one; the current token is `{` or what follows. */
struct pq_node *pq_parse_selector(struct pq_parser *p, struct hg_str name, uint32_t from);
/* [ ], offset, @ and so on behind `n`. */
struct pq_node *pq_parse_behind(struct pq_parser *p, struct pq_node *n);
/* A number with its sign, which may be a duration. */
bool pq_parse_signed(struct pq_parser *p, double *ret_v, const char *where);

#endif
