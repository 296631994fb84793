#include "auth/jwt.h"

#include <math.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "auth/jwt_priv.h"
#include "wire/base64.h"

#define TIME_MAX 253402300799.0 /* the end of the year 9999 */

static const char *const alg_names[JWT_ALGS] = {"RS256", "ES256", "EdDSA", "HS256"};

enum jwt_alg jwt_alg_of(struct hg_str name)
{
	for (int i = 0; i < JWT_ALGS; i++)
		if (hg_str_eq(name, hg_str(alg_names[i]))) return (enum jwt_alg)i;
	return JWT_ALGS;
}

const char *jwt_alg_name(enum jwt_alg alg)
{
	return alg < JWT_ALGS ? alg_names[alg] : "none";
}

static const struct {
	const char *word, *text;
} verdicts[JWT_VERDICTS] = {
        [JWT_GOOD] = {"good", "the token is good"},
        [JWT_MALFORMED] = {"malformed", "the token is malformed"},
        [JWT_TOO_LARGE] = {"too_large", "the token is too large"},
        [JWT_ALGORITHM] = {"algorithm", "the token's algorithm is not allowed"},
        [JWT_UNKNOWN] = {"unknown_key", "the token's key is not known"},
        [JWT_SIGNATURE] = {"signature", "the token's signature is not valid"},
        [JWT_EXPIRED] = {"expired", "the token has expired"},
        [JWT_NOT_YET] = {"not_yet", "the token is not yet valid"},
        [JWT_ISSUER] = {"issuer", "the token is of another issuer"},
        [JWT_AUDIENCE] = {"audience", "the token is for another audience"},
        [JWT_TYPE] = {"type", "the token is of another type"},
        [JWT_NOMEM] = {"no_memory", "the token could not be looked at"},
};

const char *jwt_verdict_word(enum jwt_verdict v)
{
	return v < JWT_VERDICTS ? verdicts[v].word : "unknown";
}

const char *jwt_verdict_text(enum jwt_verdict v)
{
	return v < JWT_VERDICTS ? verdicts[v].text : "unknown";
}

/* ---- form ---- */

struct parts {
	struct hg_str head, claims, signature, bytes; /* bytes: what was signed */
};

static bool parts_cut(struct hg_str token, struct parts *p)
{
	struct hg_str rest = token;
	p->head = hg_str_cut(&rest, '.');
	p->claims = hg_str_cut(&rest, '.');
	p->signature = rest;
	size_t n = p->head.n + 1 + p->claims.n;
	/* A cut without a separator takes all and leaves nothing. */
	if (!p->head.n || !p->claims.n || !p->signature.n) return false;
	if (memchr(p->signature.p, '.', p->signature.n)) return false;
	p->bytes = (struct hg_str){token.p, n};
	return true;
}

/* A part that is a JSON object without a member twice; NULL: it is not, or out of memory. */
static json_t *object_read(struct hg_str part, bool *ret_nomem)
{
	struct hg_buf text;
	json_error_t err;
	json_t *o = NULL;
	hg_buf_init(&text, part.n + 4);
	bool form = base64url_decode(&text, part);
	*ret_nomem = text.failed;
	if (form && !text.failed) {
		o = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &err);
		if (!o && json_error_code(&err) == json_error_out_of_memory) *ret_nomem = true;
	}
	hg_buf_free(&text);
	if (json_is_object(o)) return o;
	json_decref(o);
	return NULL;
}

static struct hg_str text_of(const json_t *v)
{
	if (!json_is_string(v)) return (struct hg_str){NULL, 0};
	return (struct hg_str){json_string_value(v), json_string_length(v)};
}

/* ---- the head ---- */

struct head {
	enum jwt_alg alg;
	struct hg_str kid;
};

/* A token for something else (a logout, an event, a proof of possession) is no access token. */
static bool type_good(const json_t *head, const struct jwt_policy *policy)
{
	const json_t *typ = json_object_get(head, "typ");
	struct hg_str t = text_of(typ);
	if (hg_str_starts(t, HG_STR("application/"))) t = (struct hg_str){t.p + 12, t.n - 12};
	if (hg_str_eq_nocase(t, HG_STR("at+jwt"))) return true;
	return !policy->access_only && (!typ || hg_str_eq_nocase(t, HG_STR("JWT")));
}

/* Nothing critical is understood, keys come from the set alone, and nothing is packed. */
static bool head_brings(const json_t *head)
{
	static const char *const refused[] = {
	        "crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc", "cty"};
	for (size_t i = 0; i < HG_COUNT(refused); i++)
		if (json_object_get(head, refused[i])) return true;
	return false;
}

static enum jwt_verdict head_look(
        const json_t *head, const struct jwt_policy *policy, struct head *ret)
{
	const json_t *kid = json_object_get(head, "kid");
	if (head_brings(head)) return JWT_MALFORMED;
	ret->kid = text_of(kid);
	if (kid && (ret->kid.n == 0 || ret->kid.n > JWT_KID_MAX)) return JWT_MALFORMED;
	if (!json_is_string(json_object_get(head, "alg"))) return JWT_MALFORMED;
	ret->alg = jwt_alg_of(text_of(json_object_get(head, "alg")));
	if (ret->alg == JWT_ALGS) return JWT_ALGORITHM;
	if (policy->algorithms && !(policy->algorithms & JWT_BIT(ret->alg))) return JWT_ALGORITHM;
	return type_good(head, policy) ? JWT_GOOD : JWT_TYPE;
}

/* ---- signatures ---- */

/* JOSE has both numbers side by side, OpenSSL wants DER. Zero is no number of a signature: who
 * forgets that takes a signature of zeros for anybody's. */
static int ec_der(const unsigned char *raw, unsigned char *der)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, 32, NULL), *s = BN_bin2bn(raw + 32, 32, NULL);
	int n = -1;
	if (sig && r && s && !BN_is_zero(r) && !BN_is_zero(s) && ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL;
		n = i2d_ECDSA_SIG(sig, &der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return n;
}

static bool mac_good(const struct jwt_key *k, struct hg_str bytes, struct hg_str sig)
{
	unsigned char want[32];
	size_t n = 0;
	EVP_MAC_CTX *mac = EVP_MAC_CTX_dup(k->mac);
	bool ok = mac && EVP_MAC_update(mac, (const unsigned char *)bytes.p, bytes.n) == 1 &&
	          EVP_MAC_final(mac, want, &n, sizeof want) == 1 && n == sizeof want &&
	          sig.n == sizeof want && CRYPTO_memcmp(want, sig.p, n) == 0;
	EVP_MAC_CTX_free(mac);
	OPENSSL_cleanse(want, sizeof want);
	return ok;
}

static bool public_good(const struct jwt_key *k, struct hg_str bytes, struct hg_str sig)
{
	unsigned char der[80]; /* 72 at most */
	const unsigned char *s = (const unsigned char *)sig.p;
	size_t n = sig.n;
	const EVP_MD *digest = k->alg == JWT_EDDSA ? NULL : EVP_sha256();
	if (k->alg == JWT_ES256) {
		int der_n = ec_der(s, der);
		if (der_n <= 0) return false;
		s = der;
		n = (size_t)der_n;
	}
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestVerifyInit(md, NULL, digest, NULL, k->pkey) == 1 &&
	          EVP_DigestVerify(md, s, n, (const unsigned char *)bytes.p, bytes.n) == 1;
	EVP_MD_CTX_free(md);
	return ok;
}

static bool signature_good(const struct jwt_key *k, struct hg_str bytes, struct hg_str sig)
{
	if (sig.n != k->signature) return false;
	bool ok = k->alg == JWT_HS256 ? mac_good(k, bytes, sig) : public_good(k, bytes, sig);
	ERR_clear_error();
	return ok;
}

/* A key with a name is for tokens that give it, or none; one without is for all. */
static bool named(const struct jwt_key *k, struct hg_str kid)
{
	return !k->kid || kid.n == 0 || hg_str_eq((struct hg_str){k->kid, k->kid_n}, kid);
}

static enum jwt_verdict signed_by(const struct jwt_keys *keys, const struct head *head,
        struct hg_str bytes, struct hg_str sig)
{
	bool any = false;
	uint32_t tries = 0;
	for (uint32_t i = 0; i < keys->count && tries < JWT_TRIES; i++) {
		const struct jwt_key *k = &keys->key[i];
		if (!named(k, head->kid)) continue;
		any = true;
		if (k->alg != head->alg) continue;
		tries++;
		if (signature_good(k, bytes, sig)) return JWT_GOOD;
	}
	if (tries) return JWT_SIGNATURE;
	return any ? JWT_ALGORITHM : JWT_UNKNOWN;
}

static enum jwt_verdict signature_look(
        const struct jwt_keys *keys, const struct head *head, const struct parts *p)
{
	struct hg_buf sig;
	enum jwt_verdict v = JWT_MALFORMED;
	hg_buf_init(&sig, p->signature.n + 4);
	bool form = base64url_decode(&sig, p->signature);
	if (sig.failed)
		v = JWT_NOMEM;
	else if (form && sig.n)
		v = signed_by(keys, head, p->bytes, hg_buf_view(&sig));
	hg_buf_free(&sig);
	return v;
}

/* ---- claims ---- */

/* A NumericDate, rounded down. False: it is none, or of no time that a calendar has. */
static bool time_of(const json_t *v, int64_t *ret_s)
{
	double s = json_number_value(v);
	if (!json_is_number(v) || !isfinite(s) || s < 0 || s > TIME_MAX) return false;
	*ret_s = (int64_t)s;
	return true;
}

static enum jwt_verdict times_look(
        const struct jwt_policy *policy, int64_t now_s, struct jwt_claims *c)
{
	const json_t *nbf = json_object_get(c->all, "nbf"), *iat = json_object_get(c->all, "iat");
	int64_t skew = policy->skew_s, begins;
	if (!time_of(json_object_get(c->all, "exp"), &c->expires_s)) return JWT_MALFORMED;
	if (nbf && !time_of(nbf, &begins)) return JWT_MALFORMED;
	if (iat && !time_of(iat, &c->issued_s)) return JWT_MALFORMED;
	if (now_s >= c->expires_s + skew) return JWT_EXPIRED;
	if (nbf && begins > now_s + skew) return JWT_NOT_YET;
	if (iat && c->issued_s > now_s + skew) return JWT_NOT_YET;
	/* One that ended before it was made was made by nobody's clock. */
	if (iat && c->issued_s > c->expires_s) return JWT_MALFORMED;
	return JWT_GOOD;
}

static bool is_audience(const struct jwt_policy *policy, const json_t *v)
{
	for (uint32_t i = 0; json_is_string(v) && i < policy->audience_count; i++)
		if (hg_str_eq(text_of(v), policy->audience[i])) return true;
	return false;
}

static bool audience_good(const struct jwt_policy *policy, const json_t *aud)
{
	size_t i;
	json_t *one;
	if (policy->audience_count == 0 || is_audience(policy, aud)) return true;
	json_array_foreach(aud, i, one)
	{
		if (is_audience(policy, one)) return true;
	}
	return false;
}

static enum jwt_verdict claims_look(
        const struct jwt_policy *policy, int64_t now_s, struct jwt_claims *c)
{
	const json_t *iss = json_object_get(c->all, "iss"), *sub = json_object_get(c->all, "sub");
	enum jwt_verdict v = times_look(policy, now_s, c);
	if (v != JWT_GOOD) return v;
	if ((iss && !json_is_string(iss)) || (sub && !json_is_string(sub))) return JWT_MALFORMED;
	if (policy->issuer.n && !(iss && hg_str_eq(text_of(iss), policy->issuer)))
		return JWT_ISSUER;
	c->subject = text_of(sub);
	return audience_good(policy, json_object_get(c->all, "aud")) ? JWT_GOOD : JWT_AUDIENCE;
}

void jwt_claims_fini(struct jwt_claims *c)
{
	json_decref(c->all);
	*c = (struct jwt_claims){0};
}

enum jwt_verdict jwt_verify(const struct jwt_keys *keys, const struct jwt_policy *policy,
        struct hg_str token, int64_t now_s, struct jwt_claims *ret_claims)
{
	struct parts p;
	struct head head = {0};
	struct jwt_claims c = {0};
	bool nomem = false;
	size_t most = policy->size_max ? policy->size_max : JWT_SIZE_MAX;
	if (token.n > most) return JWT_TOO_LARGE;
	if (!parts_cut(token, &p)) return JWT_MALFORMED;
	json_t *o = object_read(p.head, &nomem);
	if (!o) return nomem ? JWT_NOMEM : JWT_MALFORMED;
	enum jwt_verdict v = head_look(o, policy, &head);
	if (v == JWT_GOOD) v = signature_look(keys, &head, &p);
	json_decref(o);
	/* What was not signed is not read. */
	if (v != JWT_GOOD) return v;
	c.alg = head.alg;
	c.all = object_read(p.claims, &nomem);
	v = c.all ? claims_look(policy, now_s, &c) : nomem ? JWT_NOMEM : JWT_MALFORMED;
	if (v == JWT_GOOD)
		*ret_claims = c;
	else
		jwt_claims_fini(&c);
	return v;
}

enum jwt_verdict jwt_issuer_named(
        struct hg_str token, char to[JWT_ISSUER_MAX], struct hg_str *ret_issuer)
{
	struct parts p;
	bool nomem = false;
	if (token.n > JWT_SIZE_MAX) return JWT_TOO_LARGE;
	if (!parts_cut(token, &p)) return JWT_MALFORMED;
	json_t *claims = object_read(p.claims, &nomem);
	if (!claims) return nomem ? JWT_NOMEM : JWT_MALFORMED;
	struct hg_str iss = text_of(json_object_get(claims, "iss"));
	bool fits = iss.n && iss.n <= JWT_ISSUER_MAX;
	if (fits) memcpy(to, iss.p, iss.n);
	*ret_issuer = (struct hg_str){to, fits ? iss.n : 0};
	json_decref(claims);
	return fits ? JWT_GOOD : JWT_ISSUER;
}

const json_t *jwt_claim(const struct jwt_claims *claims, struct hg_str name)
{
	const json_t *at = json_object_getn(claims->all, name.p, name.n);
	struct hg_str rest = name;
	if (at) return at;
	at = claims->all;
	while (at && rest.n) {
		struct hg_str one = hg_str_cut(&rest, '.');
		at = json_object_getn(at, one.p, one.n);
	}
	return at == claims->all ? NULL : at;
}
