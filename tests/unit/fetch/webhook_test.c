#include "../test.h"

#include "fetch/webhook.h"

#define SPECS HG_STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
#define LONGER                                                                                     \
	HG_STR("whsec_"                                                                            \
	       "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7P" \
	       "D0+Pw==")

static struct hg_buf out;

static int clean(void **state)
{
	(void)state;
	hg_buf_free(&out);
	return 0;
}

static enum hg_rc sign(const struct hg_str *secrets, uint32_t n)
{
	hg_buf_free(&out);
	hg_buf_init(&out, 4096);
	return webhook_sign(secrets, n, HG_STR("msg_p5jXN8AQM9LWM0D4loKWxJek"), 1614265330,
	        HG_STR("{\"test\": 2432232314}"), &out);
}

/* The specification's own example; the longer key's by Python's hmac. */
static void a_signature_is_the_specifications(void **state)
{
	struct hg_str one = SPECS, two[] = {LONGER, SPECS};
	(void)state;
	assert_int_equal(sign(&one, 1), HG_OK);
	assert_string_equal(hg_buf_text(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	assert_int_equal(sign(two, 2), HG_OK);
	assert_string_equal(hg_buf_text(&out), "v1,LZ5zuwHTqQH3VM8ERUusjzVQq1FXzemvpR8Mk7Ivp5c= "
	                                       "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void secrets_have_24_to_64_bytes(void **state)
{
	static const char *const bad[] = {"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
	        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS-",
	        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
	        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	        "AAAAAAAAAAAAAAAAAAAAAAAAAAA="};
	char a[WEBHOOK_SECRET_MAX], b[WEBHOOK_SECRET_MAX];
	struct hg_str made;
	(void)state;
	assert_true(webhook_secret_ok(SPECS));
	assert_true(webhook_secret_ok(LONGER));
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		struct hg_str s = hg_str(bad[i]);
		if (webhook_secret_ok(s)) fail_msg("\"%s\"", bad[i]);
		assert_int_equal(sign(&s, 1), HG_E_INVALID);
	}
	assert_int_equal(sign(NULL, 0), HG_E_INVALID);
	assert_int_equal(webhook_secret_new(a), HG_OK);
	assert_int_equal(webhook_secret_new(b), HG_OK);
	made = hg_str(a);
	assert_true(webhook_secret_ok(made));
	assert_int_equal(made.n, 6 + 44);
	assert_string_not_equal(a, b);
}

static void urls_lead_somewhere_else_by_https(void **state)
{
	static const struct {
		const char *url;
		bool plain;
		const char *allow, *why; /* why NULL: fine */
	} row[] = {
	        {"https://example.com/hook", false, "", NULL},
	        {"https://example.com:8443/hook?a=b&c=%20", false, "", NULL},
	        {"https://example.com", false, "", NULL},
	        {"https://8.8.8.8/", false, "", NULL},
	        {"https://[2001:4860:4860::8888]:443/", false, "", NULL},
	        {"http://example.com/", true, "10.0.0.0/8", NULL},
	        {"https://127.0.0.1/", false, "127.0.0.0/8", NULL},
	        {"http://example.com/", false, "", "https://"},
	        {"ftp://example.com/", true, "", "https://"},
	        {"HTTPS://example.com/", true, "", "https://"},
	        {"", false, "", "https://"},
	        {"https://127.0.0.1/", false, "", "loopback"},
	        {"https://127.0.0.1:8443", false, "", "loopback"},
	        {"https://169.254.169.254/latest/meta-data", false, "", "link-local"},
	        {"https://[::1]/", false, "", "loopback"},
	        {"https://[::ffff:10.0.0.1]/", false, "", "private"},
	        {"https://[fe80::1]/", false, "10.0.0.0/8", "link-local"},
	        {"https://user:word@example.com/", false, "", "user"},
	        {"https://example.com@127.0.0.1/", false, "", "user"},
	        {"https://example.com/a#b", false, "", "fragment"},
	        {"https://example.com/a b", false, "", "space"},
	        {"https://example.com\\@127.0.0.1/", false, "", "encoded"},
	        {"https://example.com/\r\nX: y", false, "", "encoded"},
	        {"https://ex\xc3\xa4mple.com/", false, "", "encoded"},
	        {"https:///a", false, "", "no host"},
	        {"https://:443/", false, "", "no host"},
	        {"https://example.com:/", false, "", "no host"},
	        {"https://example.com:0/", false, "", "no host"},
	        {"https://example.com:65536/", false, "", "no host"},
	        {"https://example.com:44x/", false, "", "no host"},
	        {"https://[::1/", false, "", "no host"},
	        {"https://[example.com]/", false, "", "no host"},
	        {"https://[127.0.0.1]/", false, "", "no host"},
	        {"https://::1/", false, "", "no host"},
	        {"https://exa$mple.com/", false, "", "no host"},
	        {"https://[fe80::1%25eth0]/", false, "", "no host"},
	};
	char longer[WEBHOOK_URL_MAX + 8];
	struct guard g = {0};
	struct hg_err err;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		assert_int_equal(guard_parse(hg_str(row[i].allow), &g, NULL), HG_OK);
		err = (struct hg_err){0};
		enum hg_rc rc = webhook_url_check(hg_str(row[i].url), row[i].plain, &g, &err);
		if ((rc == HG_OK) != (row[i].why == NULL) ||
		        (rc < 0 && !strstr(err.message, row[i].why)))
			fail_msg("%s: %s", row[i].url, err.message);
	}
	memset(longer, 'a', sizeof longer);
	memcpy(longer, "https://example.com/", 20);
	assert_int_equal(
	        webhook_url_check((struct hg_str){longer, WEBHOOK_URL_MAX - 1}, false, &g, &err),
	        HG_OK);
	assert_int_equal(
	        webhook_url_check((struct hg_str){longer, WEBHOOK_URL_MAX}, false, &g, &err),
	        HG_E_INVALID);
}

static void only_2xx_is_success_and_410_is_the_end(void **state)
{
	static const struct {
		enum fetch_result result;
		int status;
		enum webhook_verdict want;
	} row[] = {
	        {FETCH_ANSWERED, 200, WEBHOOK_OK},
	        {FETCH_ANSWERED, 204, WEBHOOK_OK},
	        {FETCH_ANSWERED, 299, WEBHOOK_OK},
	        {FETCH_ANSWERED, 301, WEBHOOK_FAIL},
	        {FETCH_ANSWERED, 304, WEBHOOK_FAIL},
	        {FETCH_ANSWERED, 400, WEBHOOK_FAIL},
	        {FETCH_ANSWERED, 404, WEBHOOK_FAIL},
	        {FETCH_ANSWERED, 410, WEBHOOK_GONE},
	        {FETCH_ANSWERED, 429, WEBHOOK_FAIL},
	        {FETCH_ANSWERED, 500, WEBHOOK_FAIL},
	        {FETCH_SILENT, 0, WEBHOOK_FAIL},
	        {FETCH_REFUSED, 0, WEBHOOK_FAIL},
	        {FETCH_BLOCKED, 0, WEBHOOK_FAIL},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct fetch_answer a = {.result = row[i].result, .status = row[i].status};
		assert_int_equal(webhook_judge(&a), row[i].want);
	}
}

static void ten_attempts_take_three_days(void **state)
{
	uint64_t all = 0;
	(void)state;
	for (size_t i = 0; i < WEBHOOK_DELAYS; i++) {
		assert_true(i == 0 || webhook_delay_ms[i] > webhook_delay_ms[i - 1]);
		all += webhook_delay_ms[i];
	}
	assert_int_equal(WEBHOOK_ATTEMPTS, WEBHOOK_DELAYS + 1);
	/* 5 s + 5 min + 30 min + 2 + 5 + 10 + 14 + 20 + 24 h */
	assert_int_equal(all, 5000 + 35ull * 60000 + 75ull * 3600000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_signature_is_the_specifications),
	        cmocka_unit_test(secrets_have_24_to_64_bytes),
	        cmocka_unit_test(urls_lead_somewhere_else_by_https),
	        cmocka_unit_test(only_2xx_is_success_and_410_is_the_end),
	        cmocka_unit_test(ten_attempts_take_three_days),
	};
	return cmocka_run_group_tests(tests, NULL, clean);
}
