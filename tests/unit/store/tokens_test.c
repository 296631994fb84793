#include "../test.h"

#include "store/store_priv.h"

#include "place.h"

static void tokens_are_found_by_digest_and_names_are_unique(void **state)
{
	struct place *p = *state;
	struct store_token t = {.name = HG_STR("ci"), .role = STORE_DEPLOYER, .sha256 = {1, 2, 3}};
	struct store_token got;
	struct hg_buf name;
	hg_buf_init(&name, 100);
	assert_int_equal(store_token_add(p->s, &t, NULL), HG_OK);
	t.sha256[0] = 9;
	assert_int_equal(store_token_add(p->s, &t, NULL), HG_E_DB_CONSTRAINT);
	assert_int_equal(store_token_find(p->s, t.sha256, &name, &got, NULL), HG_E_NOT_FOUND);
	t.sha256[0] = 1;
	assert_int_equal(store_token_used(p->s, t.sha256, 100000, NULL), HG_OK);
	assert_int_equal(store_token_used(p->s, t.sha256, 100001, NULL), HG_OK);
	assert_int_equal(store_token_find(p->s, t.sha256, &name, &got, NULL), HG_OK);
	assert_str(got.name, "ci");
	assert_int_equal(got.role, STORE_DEPLOYER);
	assert_int_equal(got.used_ms, 100000);
	assert_int_equal(store_token_remove(p->s, HG_STR("ci"), NULL), HG_OK);
	assert_int_equal(store_token_remove(p->s, HG_STR("ci"), NULL), HG_E_NOT_FOUND);
	hg_buf_free(&name);
}

static void token_of(struct store *s, const char *name, const char *parent, uint64_t expires_ms)
{
	struct store_token t = {.name = hg_str(name),
	        .role = STORE_VIEWER,
	        .created_ms = 1,
	        .expires_ms = expires_ms,
	        .login = parent[0] != 0,
	        .parent = hg_str(parent)};
	memcpy(t.sha256, name, HG_MIN(strlen(name), sizeof t.sha256));
	assert_int_equal(store_token_add(s, &t, NULL), HG_OK);
}

static void keep_names(void *arg, const struct store_token *t)
{
	hg_buf_fmt(arg, "%.*s ", HG_STR_ARG(t->name));
}

static void tokens_have(struct store *s, const char *names)
{
	struct hg_buf b;
	hg_buf_init(&b, 1000);
	assert_int_equal(store_tokens(s, keep_names, &b, NULL), HG_OK);
	assert_string_equal(hg_buf_text(&b), names);
	hg_buf_free(&b);
}

static void a_token_takes_along_whatever_came_from_it(void **state)
{
	struct place *p = *state;
	struct store_token got;
	struct hg_buf name;
	uint64_t n = 9;
	token_of(p->s, "ci", "", 0);
	token_of(p->s, "desk", "ci", 5000);
	token_of(p->s, "phone", "desk", 4000);
	token_of(p->s, "other", "cim", 5000);
	hg_buf_init(&name, 100);
	uint8_t digest[32] = "phone";
	assert_int_equal(store_token_find(p->s, digest, &name, &got, NULL), HG_OK);
	assert_str(got.name, "phone");
	assert_str(got.parent, "desk");
	assert_true(got.login);
	assert_int_equal(got.expires_ms, 4000);
	hg_buf_free(&name);
	assert_int_equal(store_logins(p->s, 4000, &n, NULL), HG_OK);
	assert_int_equal(n, 2); /* one has expired at that very moment */
	assert_int_equal(store_token_remove(p->s, HG_STR("ci"), NULL), HG_OK);
	tokens_have(p->s, "other ");
}

static enum hg_rc look_up(struct store *s, const char *name, struct store_token *ret_token)
{
	uint8_t digest[32] = {0};
	struct hg_buf text;
	memcpy(digest, name, strlen(name));
	hg_buf_init(&text, 1000);
	enum hg_rc rc = store_token_find(s, digest, &text, ret_token, NULL);
	if (rc == HG_OK) assert_str(ret_token->name, name);
	hg_buf_free(&text);
	return rc;
}

static void note_use(void *arg, const struct store_token *t)
{
	*(uint64_t *)arg = t->used_ms;
}

/* The store keeps tokens it was asked for: never one that is there no longer. */
static void a_token_that_was_just_found_is_gone_once_it_is_removed(void **state)
{
	struct place *p = *state;
	struct store_token got;
	uint64_t used = 0;
	uint8_t digest[32] = "ci";
	token_of(p->s, "ci", "", 0);
	token_of(p->s, "child", "ci", 5000); /* both in one place: their digests begin alike */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(look_up(p->s, "ci", &got), HG_OK);
		assert_int_equal(look_up(p->s, "child", &got), HG_OK);
		assert_int_equal(got.expires_ms, 5000);
		assert_int_equal(look_up(p->s, "c", &got), HG_E_NOT_FOUND);
	}
	assert_int_equal(store_token_remove(p->s, HG_STR("ci"), NULL), HG_OK);
	assert_int_equal(look_up(p->s, "ci", &got), HG_E_NOT_FOUND);
	assert_int_equal(look_up(p->s, "child", &got), HG_E_NOT_FOUND);
	token_of(p->s, "ci", "", 5000);
	assert_int_equal(look_up(p->s, "ci", &got), HG_OK);
	assert_int_equal(store_tokens_prune(p->s, 5000, NULL), HG_OK);
	assert_int_equal(look_up(p->s, "ci", &got), HG_E_NOT_FOUND);
	assert_int_equal(store_begin(p->s, NULL), HG_OK);
	token_of(p->s, "ci", "", 0);
	assert_int_equal(look_up(p->s, "ci", &got), HG_OK);
	store_rollback(p->s);
	assert_int_equal(look_up(p->s, "ci", &got), HG_E_NOT_FOUND);
	/* Its use is written once a minute all the same. */
	token_of(p->s, "ci", "", 0);
	for (uint64_t at = 100000; at <= 170000; at += 10000) {
		assert_int_equal(look_up(p->s, "ci", &got), HG_OK);
		assert_int_equal(store_token_used(p->s, digest, at, NULL), HG_OK);
	}
	assert_int_equal(store_tokens(p->s, note_use, &used, NULL), HG_OK);
	assert_int_equal(used, 170000);
	assert_int_equal(look_up(p->s, "ci", &got), HG_OK);
	assert_int_equal(got.used_ms, 170000);
}

static void tokens_that_expired_are_forgotten_and_no_others(void **state)
{
	struct place *p = *state;
	token_of(p->s, "ever", "", 0);
	token_of(p->s, "first", "", 1000);
	token_of(p->s, "second", "", 1001);
	assert_int_equal(store_tokens_prune(p->s, 999, NULL), HG_OK);
	tokens_have(p->s, "ever first second ");
	assert_int_equal(store_tokens_prune(p->s, 1000, NULL), HG_OK);
	tokens_have(p->s, "ever second ");
	assert_int_equal(store_tokens_prune(p->s, UINT64_MAX, NULL), HG_OK);
	tokens_have(p->s, "ever ");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_fresh, remove_all)
	const struct CMUnitTest tests[] = {
	        CASE(tokens_are_found_by_digest_and_names_are_unique),
	        CASE(a_token_takes_along_whatever_came_from_it),
	        CASE(a_token_that_was_just_found_is_gone_once_it_is_removed),
	        CASE(tokens_that_expired_are_forgotten_and_no_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
