/*
 * Signing in at an OpenID Connect provider (code flow with PKCE, RFC 7636 and RFC 9207): what its
 * discovery document and its keys say, the exchange of a code, and what its id_token proves. All of
 * it on the loop, through fetch. Nothing of a sign-in that is under way is kept here: a short-lived
 * cookie has a random seed with our mark, and state, nonce and verifier follow from it by the app's
 * secret, so that any process of the app can end what another began.
 */
#ifndef FEEDBACK_OIDC_PRIV_H
#define FEEDBACK_OIDC_PRIV_H

#include "auth/jwt.h"

#include "apps/feedback/access_priv.h"

struct people;
struct oidc;
struct oidc_exchange;

#define OIDC_SEED      32u
#define OIDC_TEXT      43u /* characters of state, nonce and verifier */
#define OIDC_EMAIL     254u
#define OIDC_WITHIN_MS 600000u

/* What a seed stands for. */
struct oidc_flow {
	char state[OIDC_TEXT + 1], nonce[OIDC_TEXT + 1], verifier[OIDC_TEXT + 1];
	char challenge[OIDC_TEXT + 1];
};

struct oidc_person {
	char subject[256];
	char email[OIDC_EMAIL + 1]; /* "" unknown, or not hers as far as is known */
	bool verified;              /* the provider says the address is hers */
	bool has_role;              /* the claim names one of ours */
	enum access_role role;      /* the most that it names */
};

/* NULL in *ret_oidc: none is configured. */
HG_MUST enum hg_rc oidc_new(struct people *p, struct oidc **ret_oidc, struct hg_err *err);
void oidc_free(struct oidc *o); /* NULL is fine; exchanges end without being told */
/* What the page calls it. */
const char *oidc_name(const struct oidc *o);
void oidc_flow_of(const struct people *p, struct hg_str seed, struct oidc_flow *ret_flow);
/* The address to send a browser to; false: the provider has not been reached yet. */
HG_MUST bool oidc_start(struct oidc *o, const struct oidc_flow *flow, struct hg_buf *to);
/* True: `iss` (may be empty) is what a response of this provider has to say. */
HG_MUST bool oidc_is_issuer(const struct oidc *o, struct hg_str iss);
/*
 * Exchanges a code and verifies what comes for it. `done` is called once, from the loop, with NULL
 * or with why not. HG_E_AGAIN: too much is under way, or the provider was not reached.
 */
HG_MUST enum hg_rc oidc_exchange(struct oidc *o, struct hg_str code, const struct oidc_flow *flow,
        void (*done)(void *arg, const struct oidc_person *person, const char *why), void *arg,
        struct oidc_exchange **ret_exchange);
/* Nobody waits for it: `done` is not called. NULL is fine. */
void oidc_cancel(struct oidc_exchange *x);

/* Pure: what a verified id_token says. NULL, or what is wrong with it. */
const char *oidc_person_of(const struct jwt_claims *claims, struct hg_str client,
        struct hg_str nonce, struct hg_str roles, struct oidc_person *ret_person);

#endif
