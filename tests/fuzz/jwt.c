/*
 * A token and a set of keys, any bytes: the input is "token LF set". With the keys of the test
 * below, none of it can be good but the one token that is in the corpus.
 */
#include "fuzz.h"

#include "auth/apikey.h"
#include "auth/identity.h"
#include "auth/jwks.h"

static const char known[] =
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
        "1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
        "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},{\"kty\":\"EC\",\"crv\":\"P-"
        "256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":"
        "\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}";
static const char known_good[] = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

static bool visible(struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~') return false;
	return true;
}

static void token_look(const struct jwt_keys *keys, struct hg_str token, bool trusted)
{
	struct jwt_policy policy = {.skew_s = JWT_SKEW_S};
	struct jwt_claims c;
	enum jwt_verdict v = jwt_verify(keys, &policy, token, 1300819000, &c);
	HG_ASSERT(v < JWT_VERDICTS && *jwt_verdict_text(v));
	if (v != JWT_GOOD) return;
	/* Whoever can sign with this key could do worse. */
	if (trusted) HG_ASSERT(hg_str_ends(token, hg_str(known_good)));
	struct auth_claimed taken = {
	        HG_STR("iss"), HG_STR("realm_access.roles"), HG_STR("some issuer\n")};
	struct auth_identity *id = auth_identity_of(&c, &taken);
	if (id) HG_ASSERT(visible(id->user) && visible(id->roles) && visible(id->scopes));
	if (id) HG_ASSERT(visible(id->name) && hg_str_ends(id->name, id->user));
	auth_identity_unref(id);
	jwt_claims_fini(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct hg_str rest = {(const char *)p, n};
	struct hg_str token = hg_str_cut(&rest, '\n');
	struct jwks_report report;
	struct jwt_keys *keys, *theirs;
	uint8_t hash[APIKEY_HASH];
	char *copy = fuzz_copy(token), *set = fuzz_copy(rest);
	token.p = copy;
	HG_ASSERT(jwt_keys_new(&keys) == HG_OK && jwt_keys_new(&theirs) == HG_OK);
	HG_ASSERT(jwks_read(hg_str(known), true, keys, &report) == HG_OK);
	token_look(keys, token, true);
	if (jwks_read((struct hg_str){set, rest.n}, true, theirs, &report) == HG_OK) {
		HG_ASSERT(jwt_keys_count(theirs) > 0);
		token_look(theirs, token, false);
	}
	(void)(apikey_well_formed(token) && apikey_hash(token, hash));
	jwt_keys_free(keys);
	jwt_keys_free(theirs);
	free(copy);
	free(set);
	return 0;
}
