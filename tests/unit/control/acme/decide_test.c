/* One order step by step, what each kind of problem leads to, and the schedule's arithmetic. */
#include "../../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "control/acme/decide.h"

#define MINUTE_MS  60000ll
#define HOUR_MS    (60 * MINUTE_MS)
#define DAY_MS     (24 * HOUR_MS)
#define ARI_MS     (6 * HOUR_MS)
#define NONCES_MAX 6u

#define T0 1795000000000ll
#define U  "https://ca.example/"

static struct hg_rand rnd;
static struct acme_session s;
static struct acme_body body;
static struct acme_do d;
static int64_t now;

/* ---- talking to a session ---- */

static void start(void)
{
	struct acme_seen seen = {.kind = ACME_SEEN_TIME, .why = "", .nonce = "", .location = ""};
	hg_rand_seed(&rnd, 1);
	now = T0;
	memset(&s, 0, sizeof s);
	(void)hg_str_copy(hg_str(U "dir"), s.directory, sizeof s.directory);
	acme_step(&s, &seen, &rnd, now, &d);
	assert_int_equal(d.act, ACME_DO_ASK);
	assert_int_equal(d.ask, ACME_ASK_DIRECTORY);
}

static void after_wait(void)
{
	struct acme_seen seen = {.kind = ACME_SEEN_TIME, .why = "", .nonce = "", .location = ""};
	assert_int_equal(d.act, ACME_DO_WAIT);
	now += d.wait_ms;
	acme_step(&s, &seen, &rnd, now, &d);
}

static void answered_with(int status, const char *json, const char *location, int64_t after_ms)
{
	assert_int_equal(d.act, ACME_DO_ASK);
	acme_parse(d.ask, status, s.challenge, hg_str(json), &body);
	struct acme_seen seen = {.kind = ACME_SEEN_ANSWER,
	        .status = status,
	        .why = "",
	        .nonce = "nonce",
	        .location = location,
	        .retry_after_ms = after_ms,
	        .body = d.ask == ACME_ASK_CERT && status < 400 ? NULL : &body};
	acme_step(&s, &seen, &rnd, now, &d);
}

static void answered(int status, const char *json)
{
	answered_with(status, json, "", 0);
}

static void silent(void)
{
	struct acme_seen seen = {
	        .kind = ACME_SEEN_ANSWER, .why = "no answer", .nonce = "", .location = ""};
	acme_step(&s, &seen, &rnd, now, &d);
}

static void asks(enum acme_ask what, const char *url, bool post)
{
	assert_int_equal(d.act, ACME_DO_ASK);
	assert_int_equal(d.ask, what);
	assert_string_equal(d.url, url);
	assert_int_equal(d.post, post);
}

static void fails(enum acme_trouble t, const char *why)
{
	assert_int_equal(d.act, ACME_DO_FAIL);
	assert_int_equal(d.trouble, t);
	if (!strstr(d.why, why)) fail_msg("\"%s\" does not say \"%s\"", d.why, why);
	assert_true(d.clear);
	assert_int_equal(s.phase, ACME_OFF);
}

#define DIRECTORY                                                                        \
	"{\"newNonce\":\"" U "nonce\",\"newAccount\":\"" U "account\",\"newOrder\":\"" U \
	"order\",\"renewalInfo\":\"" U "renewal\",\"meta\":{\"termsOfService\":\"" U "terms\"}}"
#define ORDER(status, more)                                                             \
	"{\"status\":\"" status "\",\"finalize\":\"" U "f/1\",\"authorizations\":[\"" U \
	"a/1\",\"" U "a/2\"]" more "}"
#define AUTH(status, name, error)                                                                \
	"{\"status\":\"" status "\",\"identifier\":{\"type\":\"dns\",\"value\":\"" name          \
	"\"},\"challenges\":[{\"type\":\"dns-01\",\"url\":\"" U "c/dns\",\"token\":\"x\"},"      \
	"{\"type\":\"http-01\",\"url\":\"" U "c/" name "\",\"token\":\"token-0123456789\"" error \
	"}]}"
#define PROBLEM(type) "{\"type\":\"urn:ietf:params:acme:error:" type "\",\"detail\":\"words\"}"

static void to_order(void)
{
	start();
	answered(200, DIRECTORY);
	asks(ACME_ASK_ACCOUNT, U "account", true); /* the directory's answer had a nonce */
	assert_true(d.by_key);
	answered_with(201, "{}", U "me", 0);
	assert_true(d.save && d.fresh_account);
	asks(ACME_ASK_ORDER, U "order", true);
	assert_false(d.by_key);
}

static void to_place(void)
{
	to_order();
	answered_with(201, ORDER("pending", ""), U "o/1", 0);
	assert_true(d.save);
	assert_string_equal(s.order, U "o/1");
	asks(ACME_ASK_AUTH, U "a/1", true);
	answered(200, AUTH("valid", "a.example", ""));
	asks(ACME_ASK_AUTH, U "a/2", true);
	answered(200, AUTH("pending", "b.example", ""));
	assert_int_equal(d.act, ACME_DO_PLACE);
	assert_false(s.auth[0].pending);
	assert_true(s.auth[1].pending);
	assert_string_equal(s.auth[1].token, "token-0123456789");
}

static void placed(bool ok)
{
	struct acme_seen seen = {.kind = ACME_SEEN_PLACED,
	        .placed = ok,
	        .why = "no room",
	        .nonce = "",
	        .location = ""};
	acme_step(&s, &seen, &rnd, now, &d);
}

static void to_finalize(void)
{
	to_place();
	placed(true);
	asks(ACME_ASK_VALIDATE, U "c/b.example", true);
	answered(200, "{}");
	after_wait();
	asks(ACME_ASK_AUTH, U "a/2", true);
	answered_with(200, AUTH("pending", "b.example", ""), "", 7000);
	assert_int_equal(d.wait_ms, 7000);
	after_wait();
	answered(200, AUTH("valid", "b.example", ""));
	asks(ACME_ASK_POLL, U "o/1", true);
	answered(200, ORDER("ready", ""));
	assert_true(d.clear);
	asks(ACME_ASK_FINALIZE, U "f/1", true);
}

static void an_order_goes_its_way(void **state)
{
	(void)state;
	to_finalize();
	answered_with(200, ORDER("processing", ""), "", 3000);
	assert_int_equal(d.wait_ms, 3000);
	after_wait();
	asks(ACME_ASK_POLL, U "o/1", true);
	answered(200, ORDER("valid", ",\"certificate\":\"" U "cert\""));
	asks(ACME_ASK_CERT, U "cert", true);
	answered(200, "");
	assert_int_equal(d.act, ACME_DO_TAKE);
	assert_int_equal(s.phase, ACME_OFF);
}

static void an_order_of_before_goes_on_where_it_was(void **state)
{
	static const struct {
		const char *status;
		enum acme_ask then;
	} row[] = {{ORDER("pending", ""), ACME_ASK_AUTH}, {ORDER("ready", ""), ACME_ASK_FINALIZE},
	        {ORDER("valid", ",\"certificate\":\"" U "cert\""), ACME_ASK_CERT}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		start();
		(void)hg_str_copy(hg_str(U "me"), s.account, sizeof s.account);
		(void)hg_str_copy(hg_str(U "o/1"), s.order, sizeof s.order);
		answered(200, DIRECTORY);
		asks(ACME_ASK_POLL, U "o/1", true);
		answered(200, row[i].status);
		assert_int_equal(d.act, ACME_DO_ASK);
		assert_int_equal(d.ask, row[i].then);
	}
	/* Too old by now: a new one. */
	start();
	(void)hg_str_copy(hg_str(U "me"), s.account, sizeof s.account);
	(void)hg_str_copy(hg_str(U "o/1"), s.order, sizeof s.order);
	answered(200, DIRECTORY);
	answered(404, PROBLEM("malformed"));
	asks(ACME_ASK_ORDER, U "order", true);
	assert_true(d.save);
	assert_string_equal(s.order, "");
}

static void each_problem_has_its_consequence(void **state)
{
	static const struct {
		const char *type;
		int status;
		enum acme_trouble trouble;
	} row[] = {{"rateLimited", 429, ACME_LIMITED}, {"rejectedIdentifier", 403, ACME_REFUSED},
	        {"unsupportedIdentifier", 400, ACME_REFUSED}, {"malformed", 400, ACME_REFUSED},
	        {"userActionRequired", 403, ACME_REFUSED}, {"caa", 403, ACME_REFUSED},
	        {"unauthorized", 403, ACME_NAME}, {"dns", 400, ACME_NAME},
	        {"connection", 400, ACME_NAME}, {"tls", 400, ACME_NAME},
	        {"incorrectResponse", 403, ACME_NAME}, {"badCSR", 400, ACME_REFUSED},
	        {"somethingNew", 400, ACME_REFUSED}};
	char json[200];
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		to_order();
		snprintf(json, sizeof json, PROBLEM("%s"), row[i].type);
		answered_with(row[i].status, json, "", 90000);
		fails(row[i].trouble, row[i].type);
		assert_int_equal(d.retry_after_ms, 90000);
	}
	to_order();
	answered(429, "<html>");
	fails(ACME_LIMITED, "refused");
}

static void a_used_nonce_is_replaced_at_once(void **state)
{
	(void)state;
	to_order();
	for (unsigned i = 0; i < NONCES_MAX; i++) {
		answered(400, PROBLEM("badNonce"));
		asks(ACME_ASK_ORDER, U "order", true);
	}
	answered(400, PROBLEM("badNonce"));
	fails(ACME_REFUSED, "badNonce");
	/* An answer without one: asked for before the next request. */
	to_order();
	silent();
	after_wait();
	asks(ACME_ASK_NONCE, U "nonce", false);
	answered(204, "");
	asks(ACME_ASK_ORDER, U "order", true);
}

static void silence_is_tried_again_for_a_while(void **state)
{
	int64_t waited = 0;
	unsigned tries = 0;
	(void)state;
	to_order();
	for (; d.act != ACME_DO_FAIL; tries++) {
		if (tries % 2)
			silent();
		else
			answered(503, "");
		if (d.act != ACME_DO_WAIT) continue;
		waited += d.wait_ms;
		after_wait();
		if (d.act == ACME_DO_ASK && d.ask == ACME_ASK_NONCE) answered(204, "");
	}
	fails(ACME_AWAY, "");
	assert_in_range(tries, 3, 12);
	assert_in_range(waited, 1000, 60000);
	/* One that cannot be trusted is not asked again. */
	start();
	struct acme_seen seen = {.kind = ACME_SEEN_ANSWER,
	        .hopeless = true,
	        .why = "no trust",
	        .nonce = "",
	        .location = ""};
	acme_step(&s, &seen, &rnd, now, &d);
	fails(ACME_AWAY, "no trust");
}

static void what_the_authority_forgot_is_made_anew(void **state)
{
	(void)state;
	start();
	(void)hg_str_copy(hg_str(U "me"), s.account, sizeof s.account);
	answered(200, DIRECTORY);
	asks(ACME_ASK_ORDER, U "order", true);
	answered(401, PROBLEM("accountDoesNotExist"));
	asks(ACME_ASK_ACCOUNT, U "account", true);
	/* A certificate that it does not know cannot be replaced. */
	start();
	(void)hg_str_copy(hg_str(U "me"), s.account, sizeof s.account);
	(void)hg_str_copy(hg_str("a.b"), s.renewal_id, sizeof s.renewal_id);
	answered(200, DIRECTORY);
	answered(409, PROBLEM("alreadyReplaced"));
	asks(ACME_ASK_ORDER, U "order", true);
	assert_string_equal(s.renewal_id, "");
}

static void names_that_are_not_validated_fail(void **state)
{
	(void)state;
	to_place();
	placed(false);
	fails(ACME_LOCAL, "no room");
	to_place();
	placed(true);
	answered(200, "{}");
	after_wait();
	answered(200, AUTH("invalid", "b.example", ",\"error\":" PROBLEM("dns")));
	fails(ACME_NAME, "dns: words");
	to_order();
	answered_with(201, ORDER("pending", ""), U "o/1", 0);
	s.challenge = ACME_TLS_ALPN_01;
	answered(200, AUTH("pending", "b.example", ""));
	fails(ACME_REFUSED, "does not offer");
}

static void an_authority_that_never_ends_is_left(void **state)
{
	(void)state;
	to_finalize();
	answered(200, ORDER("processing", ""));
	for (unsigned i = 0; d.act == ACME_DO_WAIT; i++) {
		assert_in_range(i, 0, 2000);
		after_wait();
		if (d.act == ACME_DO_ASK) answered(200, ORDER("processing", ""));
	}
	fails(ACME_SLOW, "15 minutes");
}

static void customers_only(void **state)
{
	(void)state;
	start();
	answered(200, "{\"newNonce\":\"" U "n\",\"newAccount\":\"" U "a\",\"newOrder\":\"" U
	              "o\",\"meta\":{\"externalAccountRequired\":true}}");
	fails(ACME_REFUSED, "edge.tls.acme.eab");
}

static void renewal_information_is_asked_for_alone(void **state)
{
	(void)state;
	start();
	s.renewal_only = true;
	(void)hg_str_copy(hg_str("a.b"), s.renewal_id, sizeof s.renewal_id);
	answered(200, DIRECTORY);
	asks(ACME_ASK_RENEWAL, U "renewal/a.b", false);
	answered_with(200,
	        "{\"suggestedWindow\":{\"start\":\"2026-01-02T04:00:00Z\",\"end\":"
	        "\"2026-01-03T04:00:00+02:00\"}}",
	        "", 5000);
	assert_int_equal(d.act, ACME_DO_WINDOW);
	assert_int_equal(d.retry_after_ms, 5000);
	assert_int_equal(body.window_until_ms - body.window_from_ms, 22 * 3600 * 1000);
	start();
	s.renewal_only = true;
	(void)hg_str_copy(hg_str("a.b"), s.renewal_id, sizeof s.renewal_id);
	answered(
	        200, "{\"newNonce\":\"" U "n\",\"newAccount\":\"" U "a\",\"newOrder\":\"" U "o\"}");
	assert_int_equal(d.act, ACME_DO_END);
}

static void answers_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {"", "{", "[]", "{\"newNonce\":1}",
	        "{\"newNonce\":\"http://x/\",\"newAccount\":\"" U "a\",\"newOrder\":\"" U "o\"}",
	        "{\"newNonce\":\"" U "n\\r\\nX: y\",\"newAccount\":\"" U "a\",\"newOrder\":\"" U
	        "o\"}"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		start();
		answered(200, bad[i]);
		fails(ACME_REFUSED, "RFC 8555");
	}
	to_order();
	answered(201, ORDER("pending", ""));
	fails(ACME_REFUSED, "no address");
	/* A token that would lead elsewhere. */
	acme_parse(ACME_ASK_AUTH, 200, ACME_HTTP_01,
	        HG_STR("{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\",\"value\":\"a\"},"
	               "\"challenges\":[{\"type\":\"http-01\",\"url\":\"" U
	               "c\",\"token\":\"../../../../etc/passwd\"}]}"),
	        &body);
	assert_false(body.offered);
	acme_parse(ACME_ASK_ORDER, 400, ACME_HTTP_01,
	        HG_STR("{\"type\":\"x\",\"detail\":\"a\\u001b[31m\\nb\"}"), &body);
	assert_string_equal(body.problem.text, "x: a [31m b");
}

static void times_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} row[] = {{"1970-01-01T00:00:00Z", 0}, {"2026-11-26T08:40:00Z", 1795682400000},
	        {"2026-11-26T10:40:00.5+02:00", 1795682400500},
	        {"2000-02-29T00:00:00Z", 951782400000}, {"2026-11-26", -1},
	        {"2026-13-26T08:40:00Z", -1}, {"2026-11-26T08:40:00", -1},
	        {"2026-11-26T08:40:00Zx", -1}, {"", -1}, {"2026-11-26T08:40:00+2", -1}};
	int64_t ms;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		bool ok = acme_time(row[i].text, &ms);
		assert_int_equal(ok, row[i].ms >= 0);
		if (ok) assert_int_equal(ms, row[i].ms);
	}
}

/* ---- schedule ---- */

static const int64_t open_now[ACME_CAS_MAX];

static void renewal_is_at_two_thirds_with_jitter(void **state)
{
	int64_t least = INT64_MAX, most = 0, life = 90 * DAY_MS;
	(void)state;
	hg_rand_seed(&rnd, 3);
	for (int i = 0; i < 1000; i++) {
		struct acme_cert c = {.name_count = 1};
		acme_cert_issued(&c, T0, T0 + life, false, &rnd, T0);
		least = HG_MIN(least, c.renew_ms - T0);
		most = HG_MAX(most, c.renew_ms - T0);
	}
	assert_in_range(least, 58 * DAY_MS, 59 * DAY_MS);
	assert_in_range(most, 61 * DAY_MS, 62 * DAY_MS);
}

static void failures_back_off_and_survive(void **state)
{
	struct acme_rules rules = {.ca_count = 1, .orders_per_hour = 60, .retry_ms = MINUTE_MS};
	struct acme_cert c = {.name_count = 1};
	struct acme_book book = {0};
	int64_t t = T0, before = 0;
	(void)state;
	hg_rand_seed(&rnd, 4);
	for (int i = 0; i < 30; i++) {
		acme_cert_failed(&c, &rules, false, ACME_NAME, 0, &rnd, t);
		int64_t wait = c.next_ms - t;
		assert_true(wait >= HG_MIN(before, DAY_MS));
		assert_true(wait <= DAY_MS + DAY_MS / 5 + 1);
		before = wait * 5 / 6;
		struct acme_due due = acme_schedule(&c, 1, &rules, &book, open_now, c.next_ms - 1);
		assert_int_equal(due.kind, ACME_DUE_NOTHING);
		t = c.next_ms;
		due = acme_schedule(&c, 1, &rules, &book, open_now, t);
		assert_int_equal(due.kind, ACME_DUE_ORDER);
	}
	/* As the authority asks. */
	c.failures = 0;
	acme_cert_failed(&c, &rules, false, ACME_LIMITED, 5 * HOUR_MS, &rnd, t);
	assert_true(c.next_ms - t >= 5 * HOUR_MS);
}

static void the_next_authority_is_asked_when_this_one_will_not(void **state)
{
	struct acme_rules rules = {.ca_count = 2, .orders_per_hour = 60, .retry_ms = MINUTE_MS};
	struct acme_cert c = {.name_count = 1};
	struct acme_book book = {0};
	int64_t closed[ACME_CAS_MAX] = {T0 + HOUR_MS};
	(void)state;
	hg_rand_seed(&rnd, 4);
	assert_int_equal(acme_schedule(&c, 1, &rules, &book, closed, T0).kind, ACME_DUE_NOTHING);
	acme_cert_failed(&c, &rules, false, ACME_LIMITED, 0, &rnd, T0);
	struct acme_due due = acme_schedule(&c, 1, &rules, &book, closed, c.next_ms);
	assert_int_equal(due.kind, ACME_DUE_ORDER);
	assert_int_equal(due.ca, 1);
	assert_int_equal(c.failures, 0);
	acme_cert_failed(&c, &rules, false, ACME_LIMITED, 0, &rnd, T0);
	assert_int_equal(c.failures, 1);
	assert_int_equal(c.ca, 0);
	/* A name that leads elsewhere is no authority's fault. */
	acme_cert_failed(&c, &rules, false, ACME_NAME, 0, &rnd, T0);
	assert_int_equal(c.ca, 0);
}

static void staging_proves_first(void **state)
{
	struct acme_rules rules = {.ca_count = 1,
	        .orders_per_hour = 60,
	        .retry_ms = MINUTE_MS,
	        .staging = ACME_STAGING_AFTER};
	struct acme_cert c = {.name_count = 1};
	struct acme_book book = {0};
	(void)state;
	hg_rand_seed(&rnd, 4);
	assert_false(acme_schedule(&c, 1, &rules, &book, open_now, T0).staging);
	acme_cert_failed(&c, &rules, false, ACME_NAME, 0, &rnd, T0);
	assert_true(acme_schedule(&c, 1, &rules, &book, open_now, c.next_ms).staging);
	acme_cert_failed(&c, &rules, true, ACME_NAME, 0, &rnd, T0);
	assert_true(acme_schedule(&c, 1, &rules, &book, open_now, c.next_ms).staging);
	acme_cert_proved(&c);
	assert_int_equal(acme_schedule(&c, 1, &rules, &book, open_now, T0).kind, ACME_DUE_ORDER);
	assert_false(acme_schedule(&c, 1, &rules, &book, open_now, T0).staging);
	/* Staging that is away does not keep the real one from being asked. */
	acme_cert_failed(&c, &rules, false, ACME_NAME, 0, &rnd, T0);
	acme_cert_failed(&c, &rules, true, ACME_AWAY, 0, &rnd, T0);
	assert_false(acme_schedule(&c, 1, &rules, &book, open_now, T0).staging);
	rules.staging = ACME_STAGING_FIRST;
	c = (struct acme_cert){.name_count = 1};
	assert_true(acme_schedule(&c, 1, &rules, &book, open_now, T0).staging);
	acme_cert_issued(&c, T0, T0 + DAY_MS, false, &rnd, T0);
	c.wanted = true;
	assert_false(acme_schedule(&c, 1, &rules, &book, open_now, T0).staging);
}

static void a_window_moves_the_renewal(void **state)
{
	struct acme_cert c = {.name_count = 1};
	(void)state;
	hg_rand_seed(&rnd, 4);
	acme_cert_issued(&c, T0, T0 + 90 * DAY_MS, true, &rnd, T0);
	assert_true(c.ari_ms > T0 && c.ari_ms < T0 + 1000);
	acme_cert_window(&c, T0 + 10 * DAY_MS, T0 + 11 * DAY_MS, 0, &rnd, T0);
	assert_in_range(c.renew_ms, T0 + 10 * DAY_MS, T0 + 11 * DAY_MS);
	assert_int_equal(c.ari_ms, T0 + ARI_MS);
	int64_t chosen = c.renew_ms;
	acme_cert_window(&c, T0 + 10 * DAY_MS, T0 + 11 * DAY_MS, 2 * HOUR_MS, &rnd, T0 + 1);
	assert_int_equal(c.renew_ms, chosen); /* the same window: not drawn again */
	assert_int_equal(c.ari_ms, T0 + 1 + 2 * HOUR_MS);
	acme_cert_window(&c, T0 - DAY_MS, T0 - HOUR_MS, 0, &rnd, T0);
	struct acme_rules rules = {.ca_count = 1, .orders_per_hour = 60, .retry_ms = MINUTE_MS};
	struct acme_book book = {0};
	assert_int_equal(acme_schedule(&c, 1, &rules, &book, open_now, T0).kind, ACME_DUE_ORDER);
	/* An authority that would have it expire is not listened to. */
	acme_cert_window(&c, T0 + 200 * DAY_MS, T0 + 201 * DAY_MS, 0, &rnd, T0);
	assert_true(c.renew_ms < c.until_ms - 10 * DAY_MS);
	acme_cert_window(&c, 0, 0, 0, &rnd, T0);
	assert_int_equal(c.ari_ms, T0 + ARI_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_order_goes_its_way),
	        cmocka_unit_test(an_order_of_before_goes_on_where_it_was),
	        cmocka_unit_test(each_problem_has_its_consequence),
	        cmocka_unit_test(a_used_nonce_is_replaced_at_once),
	        cmocka_unit_test(silence_is_tried_again_for_a_while),
	        cmocka_unit_test(what_the_authority_forgot_is_made_anew),
	        cmocka_unit_test(names_that_are_not_validated_fail),
	        cmocka_unit_test(an_authority_that_never_ends_is_left),
	        cmocka_unit_test(customers_only),
	        cmocka_unit_test(renewal_information_is_asked_for_alone),
	        cmocka_unit_test(answers_that_are_none_are_refused),
	        cmocka_unit_test(times_are_read),
	        cmocka_unit_test(renewal_is_at_two_thirds_with_jitter),
	        cmocka_unit_test(failures_back_off_and_survive),
	        cmocka_unit_test(the_next_authority_is_asked_when_this_one_will_not),
	        cmocka_unit_test(staging_proves_first),
	        cmocka_unit_test(a_window_moves_the_renewal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
