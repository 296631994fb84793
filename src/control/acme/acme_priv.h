/* Inside the room of ACME: what is configured, what is kept, what is under way. */
#ifndef CONTROL_ACME_ACME_PRIV_H
#define CONTROL_ACME_ACME_PRIV_H

#include "cert/cert.h"
#include "control/acme/acme.h"
#include "control/acme/decide.h"
#include "fetch/fetch.h"
#include "os/jws.h"
#include "os/tls_make.h"

#define ACME_THUMB_MAX    48u
#define ACME_ACCOUNTS_MAX 8u
#define ACME_STATE_MAX    (32u << 20) /* bytes of the file */

/* ---- what is configured ---- */

struct acme_conf {
	bool on;
	char email[256], kid[256], hmac[512]; /* hmac: base64url */
	uint32_t ca_count;
	char ca[ACME_CAS_MAX][ACME_URL_MAX], staging[ACME_URL_MAX]; /* staging "": none */
	struct acme_rules rules;
	enum acme_challenge challenge;
	uint32_t hook_timeout_ms;
	char *hook, *dir;       /* the command, and the folder it runs in */
	char *ca_pem;           /* NULL: the machine's store */
	struct acme_cert *want; /* names alone */
	uint32_t want_count;
};
void acme_conf_free(struct acme_conf *c);

/* ---- what is kept: DATA/certs/acme.json ---- */

struct acme_account {
	char directory[ACME_URL_MAX], url[ACME_URL_MAX]; /* url "": none yet */
	int64_t after_ms;                                /* it wants no order before */
};

/* A certificate beside its place in the schedule. */
struct acme_held {
	char *chain, *key;            /* PEM; NULL: none yet */
	char authority[ACME_URL_MAX]; /* directory of who issued it */
	char id[ACME_ID_MAX];         /* for renewal information */
};

struct acme_placed {
	char name[ACME_NAME_MAX], token[ACME_TOKEN_MAX];
};

/* The order under way; active: its key and its place outlive control. */
struct acme_order {
	bool active, staging;
	struct acme_cert names; /* names alone */
	char *key;
	char directory[ACME_URL_MAX], order[ACME_URL_MAX];
	int64_t began_ms;
	enum acme_challenge challenge;
	uint32_t placed_count;
	struct acme_placed placed[ACME_NAMES_MAX];
};

/* A file that whoever ran `up` could read. */
struct acme_given {
	char *path, *text;
};

struct acme_state {
	char *key; /* of the account, PEM; NULL: none yet */
	uint32_t account_count;
	struct acme_account account[ACME_ACCOUNTS_MAX];
	struct acme_book book;
	/* [0, used): what the configuration wants, the others are kept until they end. */
	uint32_t count, used;
	struct acme_cert *cert;
	struct acme_held *held;
	struct acme_order order;
	struct acme_given given[2];
};

/* state.c. Pure: text to state and back. HG_E_INVALID for anything that is not such a text. */
HG_MUST enum hg_rc acme_state_read(struct hg_str text, struct acme_state *ret_state);
HG_MUST enum hg_rc acme_state_write(const struct acme_state *s, struct hg_buf *to);
void acme_state_free(struct acme_state *s);
/* DATA/certs/acme.json; one that cannot be read is put aside as acme.json.damaged. HG_E_IO. */
HG_MUST enum hg_rc acme_state_load(
        const char *data_dir, struct acme_state *ret_state, bool *ret_damaged, struct hg_err *err);
HG_MUST enum hg_rc acme_state_save(
        const char *data_dir, const struct acme_state *s, struct hg_err *err);
/* Brings `cert` and `held` into the order of `want`; what is not wanted goes behind. HG_E_NOMEM. */
HG_MUST enum hg_rc acme_state_arrange(
        struct acme_state *s, const struct acme_cert *want, uint32_t n, int64_t now_ms);
bool acme_names_equal(const struct acme_cert *a, const struct acme_cert *b);
/* The account at this directory, made if there is none; NULL: too many. */
struct acme_account *acme_account_at(struct acme_state *s, const char *directory);

/* ---- requests: jose.c ---- */

/* base64url(SHA-256(JWK)). */
HG_MUST enum hg_rc acme_thumbprint(const struct jws_key *key, char ret_text[ACME_THUMB_MAX]);
/* `account` NULL: signed with the key itself. Appends the body of a POST. */
HG_MUST enum hg_rc acme_request_sign(const struct jws_key *key, const char *account,
        const char *nonce, const char *url, struct hg_str payload, struct hg_buf *to);
HG_MUST enum hg_rc acme_account_payload(const struct jws_key *key, const char *url,
        const struct acme_conf *conf, bool eab, struct hg_buf *to);
HG_MUST enum hg_rc acme_order_payload(
        const struct acme_cert *c, const char *replaces, struct hg_buf *to);
HG_MUST enum hg_rc acme_finalize_payload(
        const struct acme_cert *c, struct hg_str key_pem, struct hg_buf *to, char why[TLS_WHY_MAX]);
/* RFC 9773 section 4.1; "" when the chain's leaf does not say. */
void acme_renewal_id(struct hg_str chain, char ret_id[ACME_ID_MAX]);

/* ---- doing: acme.c, place.c ---- */

struct acme {
	struct acme_options o;
	struct acme_conf *conf; /* NULL: not applied yet */
	struct acme_state state;
	struct jws_key *key; /* of state.key */
	char thumb[ACME_THUMB_MAX];
	struct hg_rand rand;
	struct loop_timer timer; /* the next look, or the wait of a session */
	struct loop_timer place_timer;
	struct acme_session session;
	uint32_t at; /* certificate of the session, in [0, used) */
	bool staging;
	enum acme_ask asked;
	struct fetch_call *call;
	struct acme_body *body; /* of the last answer */
	/* Challenges: place.c */
	uint64_t place_generation;
	int64_t place_until_ms;
	uint32_t hook_at;
	bool hook_runs, hook_clears, challenged;
	uint32_t clearing_count;
	struct acme_placed clearing[ACME_NAMES_MAX];
	char place_why[ACME_WHY_MAX];
	bool dirty;                /* the last save failed */
	uint64_t orders, failures; /* since control began */
};

void acme_session_seen(struct acme *a, const struct acme_seen *seen);
int64_t acme_now(const struct acme *a);
/* Puts what is pending in the session where the authority looks; then acme_session_seen. */
void acme_place(struct acme *a);
/* What a session before this process had placed is put back, without a word to the session. */
void acme_place_again(struct acme *a);
void acme_place_clear(struct acme *a);
bool acme_save(struct acme *a);
/* Looks for what is due, unless a session is on. */
void acme_wake(struct acme *a);

#endif
