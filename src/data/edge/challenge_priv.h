/* Answers for authorities that validate names (challenge.c). */
#ifndef DATA_EDGE_CHALLENGE_PRIV_H
#define DATA_EDGE_CHALLENGE_PRIV_H

#include "data/edge/edge_priv.h"

/* Takes the tokens (freed with the next ones). */
void edge_challenges_set(struct edge *e, struct cert_token *tokens, uint32_t n);
/* What is to be answered to this head if it asks for one of them, else NULL. */
const char *edge_challenge(const struct edge *e, const struct http1_head *h);
enum edge_step edge_challenge_answer(struct edge_conn *c, const char *answer);

#endif
