/*
 * How one app's clients prove who they are: what is read from the document that control makes of
 * the configuration and the sets of keys, and what a worker asks with each request. The document is
 *
 *   {"providers": [{"app": "shop", "user_field": …, "jwt": {…}, "keys": […]}, …]}
 *
 * ("issuers": [{…}, …] instead of "jwt" where there are several) and holds secrets. A provider has
 * memory of what it verified, and belongs to one thread.
 */
#ifndef AUTH_PROVIDER_H
#define AUTH_PROVIDER_H

#include "auth/apikey.h"
#include "auth/rules.h"

#define AUTH_PROVIDERS_MAX 1024u
#define AUTH_APIKEYS_MAX   4096u /* of an app */
#define AUTH_DOC_MAX       (16u << 20)
#define AUTH_SEEN          4096u /* tokens of an app that are remembered */
#define AUTH_AUDIENCES_MAX 16u
#define AUTH_ISSUERS_MAX   16u
#define AUTH_FIELDS        4 /* user, roles, scopes, issuer */

struct auth_apikey {
	uint8_t hash[APIKEY_HASH];
	int64_t until_s; /* INT64_MAX: never */
	struct auth_identity *id;
};

/* What tokens of one issuer are checked with. */
struct auth_issuer {
	struct jwt_keys *keys; /* NULL: not known yet */
	struct jwt_policy policy;
	struct hg_str user_claim, roles_claim;
	struct hg_str audience[AUTH_AUDIENCES_MAX];
};

struct auth_provider {
	uint32_t refs;
	struct hg_str app;
	struct hg_str field[AUTH_FIELDS]; /* what the replica is told by; n 0: it is not */
	bool keep;                        /* what a client proved it with goes on to the replica */
	/* tokens */
	struct hg_str header, cookie; /* where they are; n 0: not there */
	struct auth_issuer *issuer;   /* with several a token's own word says which */
	uint32_t issuer_count;        /* 0: no tokens */
	struct auth_seen *seen;       /* made with the first token */
	/* API keys, sorted by their hash */
	struct hg_str key_header;
	struct auth_apikey *apikey;
	uint32_t apikey_count;
	/* what the texts above are inside of, and what it was made of */
	json_t *doc;
	char *source;
};

struct auth_providers {
	uint32_t count;
	struct auth_provider *one[];
};

/*
 * Reads a document, of which everything is checked. What has not changed since `old` (may be NULL)
 * is taken over with what it remembers. n 0: a list of none. HG_E_INVALID (*ret_why: static text),
 * HG_E_NOMEM.
 */
HG_MUST enum hg_rc auth_providers_read(struct hg_str text, const struct auth_providers *old,
        struct auth_providers **ret_providers, const char **ret_why);
void auth_providers_free(struct auth_providers *p); /* NULL is fine */
/* NULL: that app has none. Stays theirs. */
struct auth_provider *auth_providers_find(const struct auth_providers *p, struct hg_str app);
struct auth_provider *auth_provider_ref(struct auth_provider *p);
void auth_provider_unref(struct auth_provider *p); /* NULL is fine */

enum auth_proof {
	AUTH_PROVED,
	AUTH_KEYLESS,  /* the set of keys is not known yet: nobody can be verified */
	AUTH_TOKEN,    /* a token was refused: `verdict` says why */
	AUTH_NAMELESS, /* a good token says nothing of whose it is, or more than can be told */
	AUTH_KEY_FORM, /* no API key has this form */
	AUTH_KEY,      /* no such key is known */
	AUTH_KEY_OVER, /* it has expired */
	AUTH_PROOFS
};

struct auth_proved {
	struct auth_identity *id; /* a reference of the caller's; NULL unless PROVED */
	enum jwt_verdict verdict; /* of TOKEN */
	bool seen;                /* it was known already */
	uint64_t key;             /* a name of the API key, never 0; 0: it is none */
};
/* `now_s`: Unix time. */
HG_MUST enum auth_proof auth_provider_token(struct auth_provider *p, struct hg_str token,
        int64_t now_s, struct auth_proved *ret_proved);
HG_MUST enum auth_proof auth_provider_key(
        struct auth_provider *p, struct hg_str key, int64_t now_s, struct auth_proved *ret_proved);
/* A sentence for whoever sent it. Static. */
const char *auth_proof_text(enum auth_proof proof, enum jwt_verdict verdict);

/* Is a field with this name one that only the edge may write ("_" counts as "-")? */
bool auth_provider_claims(const struct auth_provider *p, struct hg_str name);

#endif
