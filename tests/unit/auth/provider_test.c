#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "../test.h"

#include "auth/provider.h"
#include "wire/base64.h"

#define NOW    1800000000
#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER  "fedcba9876543210fedcba9876543210"

/* ---- rules ---- */

#define GET    (1u << 1)
#define POST   (1u << 3)
#define DELETE (1u << 5)

static struct auth_words words(const struct hg_str *w, uint32_t n)
{
	return (struct auth_words){w, n};
}

static struct auth_identity *somebody(const char *role, const char *scope)
{
	struct hg_str r = hg_str(role), s = hg_str(scope);
	return auth_identity_new(
	        HG_STR("ann"), words(&r, role ? 1 : 0), words(&s, scope ? 1 : 0), INT64_MAX);
}

static void the_first_rule_for_a_method_decides(void **state)
{
	static const struct hg_str admin[] = {{"admin", 5}}, both[] = {{"admin", 5}, {"user", 4}};
	static const struct hg_str create[] = {{"f:create", 8}};
	char text[512];
	struct hg_out o = hg_out_over(text, sizeof text);
	struct auth_found found;
	(void)state;
	auth_rule_write(&o, &(struct auth_rule){GET, AUTH_OPTIONAL, {0}, {0}});
	auth_rule_write(&o, &(struct auth_rule){DELETE, AUTH_REQUIRED, words(admin, 1), {0}});
	auth_rule_write(&o, &(struct auth_rule){AUTH_ANY_METHOD, AUTH_REQUIRED, words(both, 2),
	                            words(create, 1)});
	struct hg_str rules = {text, o.n};
	assert_true(auth_rules_valid(rules));
	static const struct {
		uint32_t method;
		const char *role, *scope;
		bool nobody;
		enum auth_access want;
	} row[] = {
	        {GET, NULL, NULL, true, AUTH_PASS},
	        {GET, NULL, NULL, false, AUTH_PASS},
	        {DELETE, NULL, NULL, true, AUTH_WHO},
	        {DELETE, "user", "f:create", false, AUTH_ROLE},
	        {DELETE, "admin", NULL, false, AUTH_PASS},
	        {POST, NULL, NULL, true, AUTH_WHO},
	        {POST, "user", NULL, false, AUTH_SCOPE},
	        {POST, "guest", "f:create", false, AUTH_ROLE},
	        {POST, "user", "f:create", false, AUTH_PASS},
	        {1u /* of no name */, "user", "f:create", false, AUTH_PASS},
	        {1u, NULL, NULL, true, AUTH_WHO},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct auth_identity *id =
		        row[i].nobody ? NULL : somebody(row[i].role, row[i].scope);
		assert_true(auth_rules_find(rules, row[i].method, &found));
		if (auth_decide(&found, id) != row[i].want) fail_msg("row %zu", i);
		auth_identity_unref(id);
	}
}

static void roles_on_an_optional_route_are_asked_for(void **state)
{
	static const struct hg_str admin[] = {{"admin", 5}};
	char text[128];
	struct hg_out o = hg_out_over(text, sizeof text);
	struct auth_found found;
	(void)state;
	auth_rule_write(
	        &o, &(struct auth_rule){AUTH_ANY_METHOD, AUTH_OPTIONAL, words(admin, 1), {0}});
	assert_true(auth_rules_find((struct hg_str){text, o.n}, GET, &found));
	assert_int_equal(auth_decide(&found, NULL), AUTH_WHO);
}

static void what_is_no_rule_lets_nobody_in(void **state)
{
	static const char *const bad[] = {"x 0 - -\n", "2 3 - -\n", "2 0 -\n", "2 0  -\n", "2\n",
	        "\n", "2 0 - - -\n", "2 0 - - \n", "2 0 - - a b\n", "2 0 - -", "fffffffff 0 - -\n",
	        " 0 - -\n"};
	struct auth_found found;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		assert_false(auth_rules_valid(hg_str(bad[i])));
		if (bad[i][strlen(bad[i]) - 1] == '\n')
			assert_false(auth_rules_find(hg_str(bad[i]), GET, &found));
	}
	assert_true(auth_rules_valid(HG_STR("")));
	assert_false(auth_rules_find(HG_STR(""), GET, &found));
	assert_false(auth_rules_find(HG_STR("8 0 - -\n"), GET, &found));
}

/* ---- providers ---- */

static char *token_of(const char *secret, const char *claims)
{
	unsigned char mac[32];
	unsigned n = 0;
	struct hg_buf b;
	hg_buf_init(&b, 4096);
	base64url_encode(&b, HG_STR("{\"alg\":\"HS256\"}"));
	hg_buf_byte(&b, '.');
	base64url_encode(&b, hg_str(claims));
	HMAC(EVP_sha256(), secret, (int)strlen(secret), (unsigned char *)b.p, b.n, mac, &n);
	hg_buf_byte(&b, '.');
	base64url_encode(&b, (struct hg_str){(char *)mac, n});
	return hg_buf_take(&b);
}

static char *token(const char *secret, const char *sub, int64_t exp)
{
	char claims[256];
	snprintf(claims, sizeof claims,
	        "{\"iss\":\"i\",\"aud\":\"shop\",%s\"exp\":%lld,\"roles\":[\"user\"],\"scope\":\"a "
	        "b\"}",
	        sub, (long long)exp);
	return token_of(secret, claims);
}

/* A document with one provider of this secret (or none) and the one API key `key`. */
static char *document(const char *secret, const char *key, int64_t until)
{
	struct hg_buf b;
	uint8_t hash[APIKEY_HASH];
	char hex[2 * APIKEY_HASH + 1];
	assert_true(apikey_hash(hg_str(key), hash));
	apikey_hash_text(hash, hex);
	hg_buf_init(&b, 4096);
	hg_buf_cstr(&b, "{\"providers\":[{\"app\":\"shop\",\"user_field\":\"X-Auth-User\","
	                "\"roles_field\":\"X-Auth-Roles\",\"scopes_field\":\"X-Auth-Scopes\","
	                "\"key_header\":\"X-Api-Key\",\"jwt\":{\"issuer\":\"i\",\"audience\":["
	                "\"shop\"],\"algorithms\":[],\"header\":\"Authorization\","
	                "\"roles_claim\":\"roles\"");
	if (secret) {
		hg_buf_cstr(&b, ",\"secret\":\"");
		base64url_encode(&b, hg_str(secret));
		hg_buf_cstr(&b, "\"");
	}
	hg_buf_fmt(
	        &b, "},\"keys\":[{\"sha256\":\"%s\",\"user\":\"bob\",\"roles\":[\"admin\"]", hex);
	if (until) hg_buf_fmt(&b, ",\"expires\":%lld", (long long)until);
	hg_buf_cstr(&b, "}]}]}");
	return hg_buf_take(&b);
}

static struct auth_providers *read(const char *text, const struct auth_providers *old)
{
	struct auth_providers *p;
	const char *why;
	if (auth_providers_read(hg_str(text), old, &p, &why) != HG_OK) fail_msg("%s", why);
	return p;
}

static enum auth_proof show(struct auth_provider *p, const char *text, struct auth_proved *to)
{
	return auth_provider_token(p, hg_str(text), NOW, to);
}

static char api_key[APIKEY_TEXT_MAX + 1];

static int key_make(void **state)
{
	uint8_t random[APIKEY_RANDOM];
	(void)state;
	memset(random, 7, sizeof random);
	apikey_make(HG_STR("hgk"), random, api_key);
	return 0;
}

static void a_token_is_verified_once(void **state)
{
	char *doc = document(SECRET, api_key, 0), *t = token(SECRET, "\"sub\":\"ann\",", NOW + 60);
	struct auth_providers *all = read(doc, NULL);
	struct auth_provider *p = auth_providers_find(all, HG_STR("shop"));
	struct auth_proved a, b;
	(void)state;
	assert_non_null(p);
	assert_null(auth_providers_find(all, HG_STR("shopp")));
	assert_int_equal(show(p, t, &a), AUTH_PROVED);
	assert_false(a.seen);
	assert_str(a.id->user, "ann");
	assert_str(a.id->roles, "user");
	assert_str(a.id->scopes, "a b");
	assert_int_equal(show(p, t, &b), AUTH_PROVED);
	assert_true(b.seen);
	assert_ptr_equal(a.id, b.id);
	auth_identity_unref(a.id);
	auth_identity_unref(b.id);
	/* What was seen is over when the token is. */
	assert_int_equal(auth_provider_token(p, hg_str(t), NOW + 60 + JWT_SKEW_S, &a), AUTH_TOKEN);
	assert_int_equal(a.verdict, JWT_EXPIRED);
	auth_providers_free(all);
	free(doc);
	free(t);
}

static void what_was_seen_ends_with_its_keys(void **state)
{
	char *doc = document(SECRET, api_key, 0), *next = document(OTHER, api_key, 0);
	char *t = token(SECRET, "\"sub\":\"ann\",", NOW + 60);
	struct auth_proved a;
	(void)state;
	struct auth_providers *all = read(doc, NULL);
	assert_int_equal(show(all->one[0], t, &a), AUTH_PROVED);
	auth_identity_unref(a.id);
	/* The same again: nothing is forgotten. */
	struct auth_providers *same = read(doc, all);
	assert_ptr_equal(same->one[0], all->one[0]);
	auth_providers_free(all);
	assert_int_equal(show(same->one[0], t, &a), AUTH_PROVED);
	assert_true(a.seen);
	auth_identity_unref(a.id);
	struct auth_providers *other = read(next, same);
	auth_providers_free(same);
	assert_int_equal(show(other->one[0], t, &a), AUTH_TOKEN);
	assert_int_equal(a.verdict, JWT_SIGNATURE);
	auth_providers_free(other);
	free(doc);
	free(next);
	free(t);
}

static void without_keys_nobody_is_verified(void **state)
{
	char *doc = document(NULL, api_key, 0), *t = token(SECRET, "\"sub\":\"ann\",", NOW + 60);
	struct auth_providers *all = read(doc, NULL);
	struct auth_proved a;
	(void)state;
	assert_int_equal(show(all->one[0], t, &a), AUTH_KEYLESS);
	assert_null(a.id);
	auth_providers_free(all);
	free(doc);
	free(t);
}

static void who_is_nobody_is_not_verified(void **state)
{
	char *doc = document(SECRET, api_key, 0), *t = token(SECRET, "", NOW + 60);
	struct auth_providers *all = read(doc, NULL);
	struct auth_proved a;
	(void)state;
	assert_int_equal(show(all->one[0], t, &a), AUTH_NAMELESS);
	assert_null(a.id);
	auth_providers_free(all);
	free(doc);
	free(t);
}

static void keys_are_known_by_their_hash(void **state)
{
	char *doc = document(SECRET, api_key, NOW + 10), other[APIKEY_TEXT_MAX + 1];
	uint8_t random[APIKEY_RANDOM] = {1};
	struct auth_providers *all = read(doc, NULL);
	struct auth_provider *p = all->one[0];
	struct auth_proved a;
	(void)state;
	assert_int_equal(auth_provider_key(p, hg_str(api_key), NOW, &a), AUTH_PROVED);
	assert_str(a.id->user, "bob");
	assert_true(auth_identity_role(a.id, HG_STR("admin")));
	assert_true(a.key != 0);
	auth_identity_unref(a.id);
	assert_int_equal(auth_provider_key(p, hg_str(api_key), NOW + 10, &a), AUTH_KEY_OVER);
	apikey_make(HG_STR("hgk"), random, other);
	assert_int_equal(auth_provider_key(p, hg_str(other), NOW, &a), AUTH_KEY);
	other[20] = other[20] == 'x' ? 'y' : 'x';
	assert_int_equal(auth_provider_key(p, hg_str(other), NOW, &a), AUTH_KEY_FORM);
	assert_int_equal(auth_provider_key(p, HG_STR(""), NOW, &a), AUTH_KEY_FORM);
	auth_providers_free(all);
	free(doc);
}

static void names_are_claimed_however_they_are_written(void **state)
{
	static const char *const ours[] = {
	        "X-Auth-User", "x-auth-user", "X_AUTH_USER", "x-Auth_roles", "X-AUTH-SCOPES"};
	static const char *const theirs[] = {
	        "X-Auth-Use", "X-Auth-Users", "X-Auth-Token", "User", ""};
	char *doc = document(SECRET, api_key, 0);
	struct auth_providers *all = read(doc, NULL);
	(void)state;
	for (size_t i = 0; i < HG_COUNT(ours); i++)
		assert_true(auth_provider_claims(all->one[0], hg_str(ours[i])));
	for (size_t i = 0; i < HG_COUNT(theirs); i++)
		assert_false(auth_provider_claims(all->one[0], hg_str(theirs[i])));
	auth_providers_free(all);
	free(doc);
}

/* "in": SECRET, for "shop"; "out": OTHER, for "store", says who it is otherwise; "far": its keys
 * are not known yet. */
static char *several(void)
{
	struct hg_buf b;
	hg_buf_init(&b, 4096);
	hg_buf_cstr(&b, "{\"providers\":[{\"app\":\"shop\",\"user_field\":\"X-Auth-User\","
	                "\"issuer_field\":\"X-Auth-Issuer\",\"issuers\":[{\"issuer\":\"in\","
	                "\"header\":\"Authorization\",\"audience\":[\"shop\"],"
	                "\"roles_claim\":\"roles\",\"secret\":\"");
	base64url_encode(&b, HG_STR(SECRET));
	hg_buf_cstr(&b, "\"},{\"issuer\":\"out\",\"audience\":[\"store\"],\"user_claim\":"
	                "\"email\",\"roles_claim\":\"groups\",\"secret\":\"");
	base64url_encode(&b, HG_STR(OTHER));
	hg_buf_cstr(&b, "\"},{\"issuer\":\"far\",\"audience\":[\"shop\"]}]}]}");
	return hg_buf_take(&b);
}

static void of_several_issuers_each_has_its_own_keys_and_audiences(void **state)
{
	static const struct {
		const char *claims, *secret;
		enum auth_proof proof;
		enum jwt_verdict verdict;
		const char *issuer, *name, *roles;
	} row[] = {
	        {"\"iss\":\"in\",\"aud\":\"shop\",\"sub\":\"ann\",\"roles\":[\"user\"]", SECRET,
	                AUTH_PROVED, JWT_GOOD, "in", "in ann", "user"},
	        {"\"iss\":\"out\",\"aud\":\"store\",\"sub\":\"1\",\"email\":\"ann\",\"roles\":"
	         "[\"admin\"]",
	                OTHER, AUTH_PROVED, JWT_GOOD, "out", "out ann", ""},
	        /* The keys of one are nothing for the tokens of another. */
	        {"\"iss\":\"in\",\"aud\":\"shop\",\"sub\":\"ann\"", OTHER, AUTH_TOKEN,
	                JWT_SIGNATURE, NULL, NULL, NULL},
	        {"\"iss\":\"out\",\"aud\":\"store\",\"email\":\"ann\"", SECRET, AUTH_TOKEN,
	                JWT_SIGNATURE, NULL, NULL, NULL},
	        /* Nor are its audiences, and its claims. */
	        {"\"iss\":\"out\",\"aud\":\"shop\",\"email\":\"ann\"", OTHER, AUTH_TOKEN,
	                JWT_AUDIENCE, NULL, NULL, NULL},
	        {"\"iss\":\"in\",\"aud\":\"store\",\"sub\":\"ann\"", SECRET, AUTH_TOKEN,
	                JWT_AUDIENCE, NULL, NULL, NULL},
	        {"\"iss\":\"out\",\"aud\":\"store\",\"sub\":\"ann\"", OTHER, AUTH_NAMELESS,
	                JWT_GOOD, NULL, NULL, NULL},
	        /* Nobody's. */
	        {"\"iss\":\"who\",\"aud\":\"shop\",\"sub\":\"ann\"", SECRET, AUTH_TOKEN, JWT_ISSUER,
	                NULL, NULL, NULL},
	        {"\"iss\":\"IN\",\"aud\":\"shop\",\"sub\":\"ann\"", SECRET, AUTH_TOKEN, JWT_ISSUER,
	                NULL, NULL, NULL},
	        {"\"iss\":\"in \",\"aud\":\"shop\",\"sub\":\"ann\"", SECRET, AUTH_TOKEN, JWT_ISSUER,
	                NULL, NULL, NULL},
	        {"\"iss\":[\"in\"],\"aud\":\"shop\",\"sub\":\"ann\"", SECRET, AUTH_TOKEN,
	                JWT_ISSUER, NULL, NULL, NULL},
	        {"\"iss\":\"\",\"aud\":\"shop\",\"sub\":\"ann\"", SECRET, AUTH_TOKEN, JWT_ISSUER,
	                NULL, NULL, NULL},
	        {"\"aud\":\"shop\",\"sub\":\"ann\"", SECRET, AUTH_TOKEN, JWT_ISSUER, NULL, NULL,
	                NULL},
	        {"\"iss\":\"in\",\"iss\":\"out\",\"aud\":\"shop\",\"sub\":\"ann\"", SECRET,
	                AUTH_TOKEN, JWT_MALFORMED, NULL, NULL, NULL},
	        {"\"iss\":\"far\",\"aud\":\"shop\",\"sub\":\"ann\"", SECRET, AUTH_KEYLESS, JWT_GOOD,
	                NULL, NULL, NULL},
	};
	char *doc = several();
	struct auth_providers *all = read(doc, NULL);
	struct auth_provider *p = all->one[0];
	(void)state;
	assert_int_equal(p->issuer_count, 3);
	assert_true(auth_provider_claims(p, HG_STR("x_auth_issuer")));
	/* Twice: what was seen is told like what was verified. */
	for (size_t i = 0; i < 2 * HG_COUNT(row); i++) {
		size_t at = i % HG_COUNT(row);
		char claims[256];
		struct auth_proved got;
		snprintf(claims, sizeof claims, "{%s,\"exp\":%d}", row[at].claims, NOW + 60);
		char *t = token_of(row[at].secret, claims);
		enum auth_proof proof = show(p, t, &got);
		if (proof != row[at].proof || got.verdict != row[at].verdict)
			fail_msg("%s: %d %s", claims, proof, jwt_verdict_word(got.verdict));
		if (proof == AUTH_PROVED) {
			assert_str(got.id->issuer, row[at].issuer);
			assert_str(got.id->name, row[at].name);
			assert_str(got.id->user, "ann");
			assert_str(got.id->roles, row[at].roles);
			assert_int_equal(got.seen, i >= HG_COUNT(row));
			auth_identity_unref(got.id);
		}
		free(t);
	}
	auth_providers_free(all);
	free(doc);
}

static void a_rule_may_be_for_some_issuers_only(void **state)
{
	static const struct hg_str in[] = {{"http://in,x", 11}, {"y", 1}};
	char text[128], issuer[] = "http://in%2Cx", other[] = "http://in";
	struct hg_out o = hg_out_over(text, sizeof text);
	struct auth_found found;
	struct auth_identity id = {.user = HG_STR("ann"), .issuer = hg_str(issuer)};
	(void)state;
	auth_rule_write(
	        &o, &(struct auth_rule){AUTH_ANY_METHOD, AUTH_OPTIONAL, {0}, {0}, words(in, 2)});
	assert_true(auth_rules_valid((struct hg_str){text, o.n}));
	assert_true(auth_rules_find((struct hg_str){text, o.n}, GET, &found));
	assert_int_equal(auth_decide(&found, &id), AUTH_PASS);
	id.issuer = HG_STR("y");
	assert_int_equal(auth_decide(&found, &id), AUTH_PASS);
	id.issuer = hg_str(other);
	assert_int_equal(auth_decide(&found, &id), AUTH_ISSUER);
	/* An API key is no issuer's. */
	id.issuer = HG_STR("");
	assert_int_equal(auth_decide(&found, &id), AUTH_ISSUER);
	assert_int_equal(auth_decide(&found, NULL), AUTH_WHO);
}

static void broken_documents_are_refused(void **state)
{
	static const char *const bad[] = {"{", "{\"providers\":[{}]}",
	        "{\"providers\":[{\"app\":\"a\",\"jwt\":{}}]}",
	        "{\"providers\":[{\"app\":\"a\",\"jwt\":{\"issuer\":\"i\",\"secret\":\"AA\"}}]}",
	        "{\"providers\":[{\"app\":\"a\",\"jwt\":{\"issuer\":\"i\",\"secret\":\"!\"}}]}",
	        "{\"providers\":[{\"app\":\"a\",\"jwt\":{\"issuer\":\"i\",\"pem\":\"x\"}}]}",
	        "{\"providers\":[{\"app\":\"a\",\"jwt\":{\"issuer\":\"i\",\"jwks\":\"{}\"}}]}",
	        "{\"providers\":[{\"app\":\"a\",\"jwt\":{\"issuer\":\"i\",\"algorithms\":[\"none\"]"
	        "}}"
	        "]}",
	        "{\"providers\":[{\"app\":\"a\",\"keys\":[{\"sha256\":\"00\",\"user\":\"u\"}]}]}",
	        "{\"providers\":[{\"app\":\"a\",\"keys\":[7]}]}",
	        "{\"providers\":[{\"app\":\"a\",\"issuers\":[{\"issuer\":\"i\"},{}]}]}",
	        "{\"providers\":[{\"app\":\"a\",\"issuers\":[{\"issuer\":\"i\"},{\"issuer\":\"i\"}]"
	        "}"
	        "]}"};
	struct auth_providers *p;
	const char *why;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		if (auth_providers_read(hg_str(bad[i]), NULL, &p, &why) != HG_E_INVALID || !*why)
			fail_msg("%s", bad[i]);
	p = read("", NULL);
	assert_int_equal(p->count, 0);
	auth_providers_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_first_rule_for_a_method_decides),
	        cmocka_unit_test(roles_on_an_optional_route_are_asked_for),
	        cmocka_unit_test(what_is_no_rule_lets_nobody_in),
	        cmocka_unit_test(a_token_is_verified_once),
	        cmocka_unit_test(what_was_seen_ends_with_its_keys),
	        cmocka_unit_test(without_keys_nobody_is_verified),
	        cmocka_unit_test(who_is_nobody_is_not_verified),
	        cmocka_unit_test(keys_are_known_by_their_hash),
	        cmocka_unit_test(names_are_claimed_however_they_are_written),
	        cmocka_unit_test(of_several_issuers_each_has_its_own_keys_and_audiences),
	        cmocka_unit_test(a_rule_may_be_for_some_issuers_only),
	        cmocka_unit_test(broken_documents_are_refused),
	};
	return cmocka_run_group_tests(tests, key_make, NULL);
}
