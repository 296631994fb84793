/* Answers to an authority that validates a name (RFC 8555 section 8.3), before any route. */
#include <stdlib.h>

#include "cert/cert.h"
#include "data/edge/challenge_priv.h"

#define PREFIX "/.well-known/acme-challenge/"

void edge_challenges_set(struct edge *e, struct cert_token *tokens, uint32_t n)
{
	free(e->challenges);
	e->challenges = tokens;
	e->challenge_count = n;
}

const char *edge_challenge(const struct edge *e, const struct http1_head *h)
{
	struct hg_str prefix = HG_STR(PREFIX);
	if (h->method != HTTP1_GET && h->method != HTTP1_HEAD) return NULL;
	if (!hg_str_starts(h->path, prefix)) return NULL;
	struct hg_str token = {h->path.p + prefix.n, h->path.n - prefix.n};
	/* Any other token may be the application's own affair. */
	return cert_token_answer(e->challenges, e->challenge_count, token);
}

enum edge_step edge_challenge_answer(struct edge_conn *c, const char *answer)
{
	c->req->json = false; /* the authority reads the bytes */
	return edge_answer(c, 200, answer);
}
