#include "../../test.h"

#include "world.h"

#include "face/api/sessions.c"

static struct ask post(const char *path, const char *token, const char *body)
{
	return (struct ask){
	        .method = "POST", .path = path, .token = token, .body = body, .tcp = token != NULL};
}

/* A code of the asker (NULL: the owner, by the socket); the caller frees it. */
static char *code_new(struct world *w, const char *token, const char *body)
{
	struct ask q = post("/v1/logins", token, body);
	json_t *j = ask_json(w, &q, 201);
	char *code = strdup(json_string_value(json_object_get(j, "code")));
	json_decref(j);
	return code;
}

static struct ask sign_in(const char *code, char body[256])
{
	snprintf(body, 256, "{\"code\":\"%s\"}", code);
	return (struct ask){.method = "POST", .path = "/v1/session", .body = body, .tcp = true};
}

/* The session's token; the caller frees it. */
static char *session_new(struct world *w, const char *code, char name[128])
{
	char body[256];
	struct ask q = sign_in(code, body);
	json_t *j = ask_json(w, &q, 201);
	char *token = strdup(json_string_value(json_object_get(j, "token")));
	snprintf(name, 128, "%s", json_string_value(json_object_get(j, "name")));
	json_decref(j);
	return token;
}

static void refused(struct world *w, const struct ask *q, unsigned status, const char *code)
{
	char text[128];
	text_of(ask_json(w, q, status), "code", text);
	assert_string_equal(text, code);
}

static unsigned looks(struct world *w, const char *token)
{
	return ask_status(w,
	        &(struct ask){.method = "GET", .path = "/v1/session", .token = token, .tcp = true});
}

static void a_code_signs_in_once_with_the_role_that_was_asked_for(void **s)
{
	struct world *w = *s;
	char body[256], name[128], text[128];
	char *code = code_new(w, NULL, "{\"role\":\"deployer\"}");
	assert_true(strlen(code) >= 4 + 32); /* 128 bits */
	uint64_t before_ms = clock_wall_ms();
	struct ask q = sign_in(code, body);
	json_t *j = ask_json(w, &q, 201);
	assert_string_equal(json_string_value(json_object_get(j, "schema")), "headgate.session/1");
	assert_string_equal(json_string_value(json_object_get(j, "role")), "deployer");
	int64_t left = json_integer_value(json_object_get(j, "expires_ms")) - (int64_t)before_ms;
	assert_in_range(left, SESSION_MS, SESSION_MS + 10000);
	snprintf(name, sizeof name, "%s", json_string_value(json_object_get(j, "name")));
	assert_int_equal(strncmp(name, "login-unix-1000-", 16), 0);
	char *token = strdup(json_string_value(json_object_get(j, "token")));
	json_decref(j);

	refused(w, &q, 401, "HG1621"); /* once */
	j = ask_json(w,
	        &(struct ask){.method = "GET", .path = "/v1/session", .token = token, .tcp = true},
	        200);
	assert_string_equal(json_string_value(json_object_get(j, "name")), name);
	assert_true(json_is_true(json_object_get(j, "login")));
	text_of(j, "role", text);
	assert_string_equal(text, "deployer");
	q = post("/v1/apps/web/scale", token, "{\"replicas\":2}");
	assert_int_equal(ask_status(w, &q), 200);
	q = post("/v1/reload", token, "{}");
	refused(w, &q, 403, "HG1612");
	free(code);
	free(token);
}

static void nobody_makes_a_code_of_a_higher_role_or_without_a_token(void **s)
{
	struct world *w = *s;
	char *viewer = token_new(w, "eyes", "viewer"), name[128];
	struct ask q = post("/v1/logins", viewer, "{\"role\":\"deployer\"}");
	refused(w, &q, 403, "HG1612");
	q.body = "{\"role\":\"none\"}";
	refused(w, &q, 400, "HG1614");
	q.body = "{\"role\":1}";
	refused(w, &q, 400, "HG1614");
	q.token = NULL;
	q.body = "{}";
	refused(w, &q, 401, "HG1611");
	q.token = "hgt_made_up";
	refused(w, &q, 401, "HG1611");
	for (size_t i = 0; i < API_CODES_MAX; i++)
		assert_int_equal(w->api->codes.code[i].until_ns, 0);
	char *code = code_new(w, viewer, "{}"), *token = session_new(w, code, name);
	q = post("/v1/apps/web/scale", token, "{\"replicas\":2}");
	refused(w, &q, 403, "HG1612");
	free(viewer);
	free(code);
	free(token);
}

static void codes_end_with_time_and_with_the_token_they_were_made_with(void **s)
{
	struct world *w = *s;
	char body[256];
	char *code = code_new(w, NULL, "{}");
	for (size_t i = 0; i < API_CODES_MAX; i++) {
		struct api_code *c = &w->api->codes.code[i];
		if (!c->until_ns) continue;
		assert_in_range(c->until_ns, clock_mono_ns() + 290 * CLOCK_NS_PER_S,
		        clock_mono_ns() + 300 * CLOCK_NS_PER_S);
		c->until_ns = clock_mono_ns();
	}
	struct ask q = sign_in(code, body);
	refused(w, &q, 401, "HG1621");
	free(code);

	char *ci = token_new(w, "ci", "deployer");
	code = code_new(w, ci, "{}");
	assert_int_equal(
	        ask_status(w, &(struct ask){.method = "DELETE", .path = "/v1/tokens/ci"}), 200);
	q = sign_in(code, body);
	refused(w, &q, 401, "HG1621");
	free(code);

	/* Likewise one that has expired meanwhile, and one that may less than the code. */
	const struct store_token over[] = {
	        {.name = HG_STR("over"), .role = STORE_ADMIN, .expires_ms = 1, .sha256 = {1}},
	        {.name = HG_STR("less"), .role = STORE_VIEWER, .sha256 = {2}}};
	free(ci);
	ci = token_new(w, "other", "deployer");
	for (size_t k = 0; k < HG_COUNT(over); k++) {
		assert_int_equal(store_token_add(w->store, &over[k], NULL), HG_OK);
		code = code_new(w, ci, "{}");
		for (size_t i = 0; i < API_CODES_MAX; i++)
			memcpy(w->api->codes.code[i].maker, over[k].sha256, 32);
		q = sign_in(code, body);
		refused(w, &q, 401, "HG1621");
		free(code);
	}
	free(ci);
}

static void a_session_ends_with_the_token_behind_it_and_not_after_it(void **s)
{
	struct world *w = *s;
	char name[128], second_name[128], body[128];
	uint64_t ends_ms = clock_wall_ms() + 60000;
	snprintf(body, sizeof body, "{\"name\":\"short\",\"role\":\"viewer\",\"expires_ms\":%llu}",
	        (unsigned long long)ends_ms);
	struct ask q = post("/v1/tokens", NULL, body);
	json_t *j = ask_json(w, &q, 201);
	char *ci = strdup(json_string_value(json_object_get(j, "token")));
	assert_int_equal(json_integer_value(json_object_get(j, "expires_ms")), ends_ms);
	json_decref(j);
	char *code = code_new(w, ci, "{}"), *token = session_new(w, code, name);
	free(code);
	assert_int_equal(strncmp(name, "login-short-", 12), 0);
	/* A session of a session is named after who it is, and ends as it does. */
	code = code_new(w, token, "{}");
	char *second = session_new(w, code, second_name);
	assert_int_equal(strncmp(second_name, "login-short-", 12), 0);
	assert_int_equal(strlen(second_name), strlen(name));
	j = ask_json(w,
	        &(struct ask){.method = "GET", .path = "/v1/session", .token = second, .tcp = true},
	        200);
	assert_int_equal(json_integer_value(json_object_get(j, "expires_ms")), ends_ms);
	json_decref(j);
	assert_int_equal(
	        ask_status(w, &(struct ask){.method = "DELETE", .path = "/v1/tokens/short"}), 200);
	assert_int_equal(looks(w, ci), 401);
	assert_int_equal(looks(w, token), 401);
	assert_int_equal(looks(w, second), 401);
	free(code);
	free(ci);
	free(token);
	free(second);
}

static void signing_out_ends_the_session_and_no_token(void **s)
{
	struct world *w = *s;
	char name[128];
	char *ci = token_new(w, "ci", "viewer"), *code = code_new(w, ci, "{}");
	char *token = session_new(w, code, name);
	struct ask q = {.method = "DELETE", .path = "/v1/session", .token = ci, .tcp = true};
	refused(w, &q, 409, "HG1623");
	refused(w, &(struct ask){.method = "DELETE", .path = "/v1/session"}, 409, "HG1623");
	q.token = token;
	q.body = "{\"dry_run\":true}";
	assert_int_equal(ask_status(w, &q), 200);
	assert_int_equal(looks(w, token), 200);
	q.body = NULL;
	assert_int_equal(ask_status(w, &q), 200);
	assert_int_equal(looks(w, token), 401);
	assert_int_equal(looks(w, ci), 200);
	free(ci);
	free(code);
	free(token);
}

static void an_expired_token_is_told_so_and_forgotten_after_a_day(void **s)
{
	struct world *w = *s;
	char text[API_TOKEN_TEXT];
	struct store_token t = {.name = HG_STR("old"), .role = STORE_ADMIN};
	assert_int_equal(api_token_make("hgt_", text, t.sha256, NULL), HG_OK);
	t.expires_ms = clock_wall_ms();
	assert_int_equal(store_token_add(w->store, &t, NULL), HG_OK);
	struct serve_call c;
	struct ask q = {.method = "GET", .path = "/v1/session", .token = text, .tcp = true};
	ask(w, &q, &c);
	assert_int_equal(c.status, 401);
	assert_non_null(strstr(hg_buf_text(&c.fields), "WWW-Authenticate: Bearer error="));
	assert_non_null(strstr(hg_buf_text(&c.body), "\"HG1620\""));
	assert_non_null(strstr(hg_buf_text(&c.body), "has expired"));
	call_free(&c);
	q.path = "/healthz"; /* needs none, so a bad one does not matter */
	assert_int_equal(ask_status(w, &q), 200);
	q.path = "/v1/session";
	for (uint32_t i = 0; i <= PRUNE_EVERY; i++)
		api_sessions_tick(w->api);
	refused(w, &q, 401, "HG1620");
	assert_int_equal(store_token_remove(w->store, t.name, NULL), HG_OK);
	t.expires_ms = clock_wall_ms() - REMEMBERED_MS - 1000;
	assert_int_equal(store_token_add(w->store, &t, NULL), HG_OK);
	for (uint32_t i = 0; i <= PRUNE_EVERY; i++)
		api_sessions_tick(w->api);
	refused(w, &q, 401, "HG1611");
}

static void a_token_expires_only_in_times_to_come(void **s)
{
	static const char *const bodies[] = {"1", "-5", "0", "\"30d\"", "1.5e15", "true"};
	for (size_t i = 0; i < HG_COUNT(bodies); i++) {
		char body[128];
		snprintf(body, sizeof body,
		        "{\"name\":\"x\",\"role\":\"viewer\",\"expires_ms\":%s}", bodies[i]);
		struct ask q = post("/v1/tokens", NULL, body);
		refused(*s, &q, 400, "HG1614");
	}
}

static void wrong_codes_are_bounded_and_use_nothing_up(void **s)
{
	struct world *w = *s;
	char body[256], name[128];
	char *code = code_new(w, NULL, "{}");
	struct ask q = sign_in("hgc_0000000000000000000000000000000000000000", body);
	unsigned wrong = 0, many = 0;
	for (unsigned i = 0; i < WRONG_BURST + 5; i++) {
		unsigned status = ask_status(w, &q);
		wrong += status == 401;
		many += status == 429;
	}
	assert_int_equal(wrong + many, WRONG_BURST + 5);
	assert_in_range(many, 1, 5);
	/* Nobody's line is a write to disk: they are few, whatever comes. */
	for (unsigned i = 0; i < 200; i++)
		(void)ask_status(w, &q);
	json_t *j = ask_json(
	        w, &(struct ask){.method = "GET", .path = "/v1/audit", .query = "limit=1000"}, 200);
	assert_in_range(json_array_size(json_object_get(j, "entries")), 10, NOBODY_BURST + 5);
	json_decref(j);
	w->api->codes.wrong_tat_ns = 0; /* a moment later */
	char *token = session_new(w, code, name);
	free(code);
	free(token);
}

static void a_request_for_a_session_is_checked_before_it_is_looked_at(void **s)
{
	struct world *w = *s;
	char *big = calloc(1, 5001), body[256];
	memset(big, ' ', 5000);
	struct ask q = {.method = "POST", .path = "/v1/session", .body = big, .tcp = true};
	assert_int_equal(ask_status(w, &q), 413);
	free(big);
	static const char *const bad[] = {
	        "{}", "{\"code\":1}", "{\"code\":\"a\",\"x\":1}", "[]", "x"};
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		q.body = bad[i];
		refused(w, &q, 400, "HG1614");
	}
	q.host = "evil.example";
	q.body = "{\"code\":\"a\"}";
	refused(w, &q, 421, "HG1613");
	/* A page of another origin, also of another port of this machine. */
	static const char *const elsewhere[] = {"Origin: http://evil.example\r\n",
	        "Origin: http://127.0.0.1:8080\r\n", "Origin: null\r\n",
	        "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n"};
	char *code = code_new(w, NULL, "{}");
	q = sign_in(code, body);
	for (size_t i = 0; i < HG_COUNT(elsewhere); i++) {
		q.fields = elsewhere[i];
		assert_int_equal(ask_status(w, &q), 403);
	}
	q.fields = "Origin: http://127.0.0.1:4323\r\nSec-Fetch-Site: same-origin\r\n";
	assert_int_equal(ask_status(w, &q), 201);
	free(code);
}

static void everybody_has_a_few_codes_and_the_owner_always_one(void **s)
{
	struct world *w = *s;
	char body[256], name[32];
	char *first = code_new(w, NULL, "{}");
	for (unsigned i = 0; i < API_CODES_EACH; i++)
		free(code_new(w, NULL, "{}"));
	struct ask q = sign_in(first, body);
	refused(w, &q, 401, "HG1621"); /* his oldest gave way */
	free(first);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "t%u", i);
		char *token = token_new(w, name, "viewer");
		for (unsigned k = 0; k < API_CODES_EACH; k++)
			free(code_new(w, token, "{}"));
		free(token);
	}
	char *late = token_new(w, "late", "viewer");
	q = post("/v1/logins", late, "{}");
	refused(w, &q, 429, "HG1622");
	/* The owner: the oldest of all gives way. */
	q = (struct ask){.method = "POST", .path = "/v1/logins", .body = "{}", .uid = 1000};
	assert_int_equal(ask_status(w, &q), 201);
	free(late);
}

static void the_link_is_where_the_asker_reaches_it_and_a_dry_run_has_no_code(void **s)
{
	struct world *w = *s;
	char *token = token_new(w, "a", "viewer");
	struct ask q = post("/v1/logins", token, "{}");
	q.host = "10.1.2.3:4323";
	json_t *j = ask_json(w, &q, 201);
	const char *url = json_string_value(json_object_get(j, "url"));
	const char *code = json_string_value(json_object_get(j, "code"));
	static const char at[] = "http://10.1.2.3:4323/#/login?code=";
	assert_int_equal(strncmp(url, at, sizeof at - 1), 0);
	assert_string_equal(url + sizeof at - 1, code);
	json_decref(j);
	q.body = "{\"dry_run\":true}";
	j = ask_json(w, &q, 200);
	assert_string_equal(json_string_value(json_object_get(j, "code")), "");
	assert_string_equal(json_string_value(json_object_get(j, "url")), "http://10.1.2.3:4323");
	json_decref(j);
	free(token);
}

/* Who signed in is told from who made the code, and neither code nor token is in the trail. */
static void signing_in_is_audited_without_secrets(void **s)
{
	struct world *w = *s;
	char name[128], text[128];
	char *code = code_new(w, NULL, "{\"role\":\"viewer\"}"),
	     *token = session_new(w, code, name);
	json_t *j = ask_json(w, &(struct ask){.method = "GET", .path = "/v1/audit"}, 200);
	char *all = json_dumps(j, JSON_COMPACT);
	assert_null(strstr(all, code));
	assert_null(strstr(all, token));
	free(all);
	json_t *line = json_array_get(json_object_get(j, "entries"), 0);
	assert_string_equal(json_string_value(json_object_get(line, "who")), "unix:1000");
	assert_string_equal(json_string_value(json_object_get(line, "what")), "POST /v1/session");
	assert_string_equal(json_string_value(json_object_get(line, "target")), name);
	text_of(json_incref(json_object_get(line, "details")), "role", text);
	assert_string_equal(text, "viewer");
	json_decref(j);
	free(code);
	free(token);
}

static void sessions_have_names_that_tokens_may_have(void **s)
{
	static const uint8_t salt[4] = {0xab, 0, 1, 2};
	static const struct {
		struct api_code code;
		const char *name;
	} rows[] = {
	        {{.who = "unix:0"}, "login-unix-0-ab000102"},
	        {{.who = "token:ci", .by_token = true}, "login-ci-ab000102"},
	        {{.who = "token:login-ci-01234567", .by_token = true, .by_login = true},
	                "login-ci-ab000102"},
	        /* a token of that name that somebody made by hand */
	        {{.who = "token:login-x", .by_token = true}, "login-login-x-ab000102"},
	        {{.who = "token:aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee",
	                 .by_token = true},
	                "login-aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd-ab000102"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		char name[API_NAME_TEXT];
		login_name(&rows[i].code, salt, name);
		assert_string_equal(name, rows[i].name);
	}
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	        CASE(a_code_signs_in_once_with_the_role_that_was_asked_for),
	        CASE(nobody_makes_a_code_of_a_higher_role_or_without_a_token),
	        CASE(codes_end_with_time_and_with_the_token_they_were_made_with),
	        CASE(a_session_ends_with_the_token_behind_it_and_not_after_it),
	        CASE(signing_out_ends_the_session_and_no_token),
	        CASE(an_expired_token_is_told_so_and_forgotten_after_a_day),
	        CASE(a_token_expires_only_in_times_to_come),
	        CASE(wrong_codes_are_bounded_and_use_nothing_up),
	        CASE(a_request_for_a_session_is_checked_before_it_is_looked_at),
	        CASE(everybody_has_a_few_codes_and_the_owner_always_one),
	        CASE(the_link_is_where_the_asker_reaches_it_and_a_dry_run_has_no_code),
	        CASE(signing_in_is_audited_without_secrets),
	        CASE(sessions_have_names_that_tokens_may_have),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
