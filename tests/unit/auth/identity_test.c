#include <stdio.h>
#include <stdlib.h>

#include "../test.h"

#include "auth/apikey.h"
#include "auth/identity.h"

/* ---- API keys ---- */

static void keys_have_a_form_that_is_known(void **state)
{
	uint8_t random[APIKEY_RANDOM], other[APIKEY_RANDOM];
	char text[APIKEY_TEXT_MAX + 1], text2[APIKEY_TEXT_MAX + 1];
	(void)state;
	memset(random, 0, sizeof random);
	size_t n = apikey_make(HG_STR("hgk"), random, text);
	assert_int_equal(n, 4 + 43 + 6);
	assert_int_equal(strlen(text), n);
	assert_int_equal(strncmp(text, "hgk_0000000000000000000000000000000000000000000", 47), 0);
	assert_true(apikey_well_formed(hg_str(text)));
	memset(other, 0xff, sizeof other);
	apikey_make(HG_STR("hgk"), other, text2);
	assert_true(apikey_well_formed(hg_str(text2)));
	assert_string_not_equal(text, text2);
	/* 2^256 − 1 in base 62. */
	assert_int_equal(strncmp(text2, "hgk_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1", 47), 0);
	/* The lowest bit of the random bytes is in the text. */
	random[31] = 1;
	apikey_make(HG_STR("hgk"), random, text2);
	assert_string_not_equal(text, text2);
}

static void mistyped_keys_are_found_without_a_lookup(void **state)
{
	uint8_t random[APIKEY_RANDOM];
	char text[APIKEY_TEXT_MAX + 1];
	(void)state;
	for (size_t i = 0; i < sizeof random; i++)
		random[i] = (uint8_t)(i * 37 + 5);
	size_t n = apikey_make(HG_STR("shop_live"), random, text);
	for (size_t i = 0; i < n; i++) {
		char was = text[i];
		text[i] = was == 'x' ? 'y' : 'x';
		assert_false(apikey_well_formed(hg_str(text)));
		text[i] = was;
		assert_false(apikey_well_formed((struct hg_str){text, i}));
	}
	for (size_t i = 0; i + 1 < n; i++) {
		if (text[i] == text[i + 1]) continue;
		char was = text[i];
		text[i] = text[i + 1];
		text[i + 1] = was;
		assert_false(apikey_well_formed(hg_str(text)));
		text[i + 1] = text[i];
		text[i] = was;
	}
	assert_true(apikey_well_formed(hg_str(text)));
	assert_false(apikey_well_formed(HG_STR("")));
	assert_false(apikey_well_formed(HG_STR("_")));
}

static void only_plain_prefixes_are_good(void **state)
{
	static const char *const bad[] = {
	        "", "_", "a_", "_a", "A", "a-b", "a b", "abcdefghijklmnopqrstu", "é"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		assert_false(apikey_prefix_good(hg_str(bad[i])));
	assert_true(apikey_prefix_good(HG_STR("hgk")));
	assert_true(apikey_prefix_good(HG_STR("a_b_2")));
	assert_true(apikey_prefix_good(HG_STR("abcdefghijklmnopqrst")));
}

static void hashes_are_sha_256_and_read_back(void **state)
{
	uint8_t hash[APIKEY_HASH], back[APIKEY_HASH];
	char hex[2 * APIKEY_HASH + 1];
	(void)state;
	assert_true(apikey_hash(HG_STR("abc"), hash));
	apikey_hash_text(hash, hex);
	assert_string_equal(
	        hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_true(apikey_hash_read(hg_str(hex), back));
	assert_true(apikey_same(hash, back));
	back[31] ^= 1;
	assert_false(apikey_same(hash, back));
	hex[5] = 'g';
	assert_false(apikey_hash_read(hg_str(hex), back));
	assert_false(apikey_hash_read(HG_STR("ba78"), back));
}

/* ---- identities ---- */

static struct auth_identity *of(const char *json, const char *user, const char *roles)
{
	struct jwt_claims c = {.all = json_loads(json, 0, NULL), .expires_s = 1000};
	const json_t *sub = json_object_get(c.all, "sub");
	c.subject = (struct hg_str){json_string_value(sub), json_string_length(sub)};
	struct auth_identity *id = auth_identity_of(
	        &c, &(struct auth_claimed){.user = hg_str(user), .roles = hg_str(roles)});
	json_decref(c.all);
	return id;
}

static void claims_become_words(void **state)
{
	static const struct {
		const char *json, *user, *roles_claim, *want_user, *roles, *scopes;
	} row[] = {
	        {"{\"sub\":\"ann\"}", "", "", "ann", "", ""},
	        {"{\"sub\":\"ann\",\"roles\":[\"a\",\"b\"],\"scope\":\"x:r y\"}", "", "roles",
	                "ann", "a,b", "x:r y"},
	        {"{\"sub\":\"ann\",\"roles\":\"a, b\",\"scp\":[\"x\",\"y\"]}", "", "roles", "ann",
	                "a,b", "x y"},
	        {"{\"sub\":\"1\",\"email\":\"a@b.c\",\"realm_access\":{\"roles\":[\"admin\"]}}",
	                "email", "realm_access.roles", "a@b.c", "admin", ""},
	        {"{\"sub\":\"1\",\"https://x.y/roles\":[\"admin\"]}", "", "https://x.y/roles", "1",
	                "admin", ""},
	        {"{\"sub\":\"1\",\"roles\":[1,null,{\"a\":1},\"\",\"u\"]}", "", "roles", "1", "u",
	                ""},
	        {"{\"sub\":\"1\",\"roles\":{\"admin\":true}}", "", "roles", "1", "", ""},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct auth_identity *id = of(row[i].json, row[i].user, row[i].roles_claim);
		assert_non_null(id);
		assert_str(id->user, row[i].want_user);
		assert_str(id->roles, row[i].roles);
		assert_str(id->scopes, row[i].scopes);
		assert_int_equal(id->until_s, 1000);
		auth_identity_unref(id);
	}
}

static void no_text_ends_its_field_and_no_two_users_are_one(void **state)
{
	(void)state;
	struct auth_identity *id = of("{\"sub\":\"a\\r\\nX-Auth-Roles: admin\","
	                              "\"roles\":[\"x,admin\",\"y z\"],\"scope\":\"s\\n t%20\"}",
	        "", "roles");
	assert_non_null(id);
	assert_str(id->user, "a%0D%0AX-Auth-Roles:%20admin");
	assert_str(id->roles, "x%2Cadmin,y%20z");
	assert_str(id->scopes, "s%0A t%2520");
	assert_false(auth_identity_role(id, HG_STR("admin")));
	auth_identity_unref(id);
	id = of("{\"sub\":\"a b\"}", "", "");
	struct auth_identity *other = of("{\"sub\":\"a%20b\"}", "", "");
	assert_non_null(id);
	assert_non_null(other);
	assert_false(hg_str_eq(id->user, other->user));
	auth_identity_unref(id);
	auth_identity_unref(other);
}

static void who_has_no_name_or_too_many_roles_is_nobody(void **state)
{
	struct hg_buf b;
	(void)state;
	assert_null(of("{}", "", ""));
	assert_null(of("{\"sub\":\"\"}", "", ""));
	assert_null(of("{\"sub\":\"a\",\"email\":7}", "email", ""));
	assert_null(of("{\"sub\":\"a\"}", "email", ""));
	hg_buf_init(&b, 1u << 16);
	hg_buf_cstr(&b, "{\"sub\":\"a\",\"roles\":[\"r\"");
	for (int i = 0; i < 128; i++)
		hg_buf_cstr(&b, ",\"r\"");
	hg_buf_cstr(&b, "]}");
	assert_null(of(hg_buf_text(&b), "", "roles"));
	hg_buf_free(&b);
}

static void roles_are_whole_words(void **state)
{
	struct hg_str roles[] = {HG_STR("admin"), HG_STR("user")};
	struct hg_str scopes[] = {HG_STR("f:read"), HG_STR("f:create")};
	struct auth_identity *id = auth_identity_new(HG_STR("ann"), (struct auth_words){roles, 2},
	        (struct auth_words){scopes, 2}, INT64_MAX);
	(void)state;
	assert_non_null(id);
	assert_true(auth_identity_role(id, HG_STR("admin")));
	assert_true(auth_identity_role(id, HG_STR("user")));
	assert_false(auth_identity_role(id, HG_STR("use")));
	assert_false(auth_identity_role(id, HG_STR("admin,user")));
	assert_false(auth_identity_role(id, HG_STR("")));
	assert_true(auth_identity_scope(id, HG_STR("f:create")));
	assert_false(auth_identity_scope(id, HG_STR("f:creat")));
	auth_identity_unref(id);
}

/* ---- what was seen ---- */

static struct auth_identity *anybody(const char *name, int64_t until_s)
{
	struct auth_words none = {NULL, 0};
	return auth_identity_new(hg_str(name), none, none, until_s);
}

static void seen_tokens_are_found_until_they_end(void **state)
{
	struct auth_seen *s;
	uint8_t digest[AUTH_DIGEST], other[AUTH_DIGEST];
	(void)state;
	assert_int_equal(auth_seen_new(8, &s), HG_OK);
	assert_true(auth_seen_digest(s, HG_STR("token"), digest));
	assert_true(auth_seen_digest(s, HG_STR("tokem"), other));
	assert_null(auth_seen_find(s, digest, 10));
	struct auth_identity *id = anybody("ann", 100);
	auth_seen_put(s, digest, id);
	auth_seen_put(s, digest, id);
	assert_int_equal(auth_seen_count(s), 1);
	assert_int_equal(id->refs, 2);
	assert_ptr_equal(auth_seen_find(s, digest, 99), id);
	assert_null(auth_seen_find(s, other, 99));
	assert_null(auth_seen_find(s, digest, 100));
	assert_int_equal(auth_seen_count(s), 0);
	assert_int_equal(id->refs, 1);
	auth_seen_put(s, digest, id);
	auth_seen_clear(s);
	assert_null(auth_seen_find(s, digest, 10));
	assert_int_equal(id->refs, 1);
	auth_identity_unref(id);
	auth_seen_free(s);
}

static void the_longest_unused_makes_room(void **state)
{
	struct auth_seen *s;
	uint8_t digest[6][AUTH_DIGEST];
	(void)state;
	assert_int_equal(auth_seen_new(4, &s), HG_OK);
	struct auth_identity *id = anybody("ann", 100);
	memset(digest, 0, sizeof digest);
	for (uint8_t i = 0; i < 4; i++) {
		digest[i][31] = i;
		auth_seen_put(s, digest[i], id);
	}
	assert_non_null(auth_seen_find(s, digest[0], 1));
	digest[4][31] = 4;
	auth_seen_put(s, digest[4], id);
	assert_int_equal(auth_seen_count(s), 4);
	assert_non_null(auth_seen_find(s, digest[0], 1));
	assert_null(auth_seen_find(s, digest[1], 1));
	assert_non_null(auth_seen_find(s, digest[4], 1));
	auth_identity_unref(id);
	auth_seen_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(keys_have_a_form_that_is_known),
	        cmocka_unit_test(mistyped_keys_are_found_without_a_lookup),
	        cmocka_unit_test(only_plain_prefixes_are_good),
	        cmocka_unit_test(hashes_are_sha_256_and_read_back),
	        cmocka_unit_test(claims_become_words),
	        cmocka_unit_test(no_text_ends_its_field_and_no_two_users_are_one),
	        cmocka_unit_test(who_has_no_name_or_too_many_roles_is_nobody),
	        cmocka_unit_test(roles_are_whole_words),
	        cmocka_unit_test(seen_tokens_are_found_until_they_end),
	        cmocka_unit_test(the_longest_unused_makes_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
