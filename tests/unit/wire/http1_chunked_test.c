#include "../test.h"

#include "wire/http1.h"

/* Decodes `p` cut at `cut`; the payload goes to `to`. */
static enum http1_result decode(
        struct hg_str p, size_t cut, char *to, size_t *ret_n, size_t *ret_used)
{
	struct http1_chunked c = {0};
	struct hg_str part[2] = {{p.p, cut}, {p.p + cut, p.n - cut}};
	struct http1_span span = {0};
	*ret_n = *ret_used = 0;
	for (int i = 0; i < 2; i++) {
		for (size_t at = 0;;) {
			span = http1_chunked_next(
			        &c, (struct hg_str){part[i].p + at, part[i].n - at});
			if (span.data.n) memcpy(to + *ret_n, span.data.p, span.data.n);
			*ret_n += span.data.n;
			*ret_used += span.used;
			at += span.used;
			if (span.result != HTTP1_MORE) return span.result;
			if (at == part[i].n && span.data.n == 0) break;
		}
	}
	assert_int_equal(c.total, *ret_n);
	return span.result;
}

static void a_body_cut_anywhere_decodes_the_same(void **s)
{
	struct hg_str p = HG_STR("5\r\nhello\r\n0A ;x=\"y\"\r\n0123456789\r\n1;a\r\n \r\n"
	                         "00\r\nA: b\r\nX-C:\r\n\r\nGET");
	char to[64];
	size_t n, used;
	(void)s;
	for (size_t cut = 0; cut <= p.n; cut++) {
		assert_int_equal(decode(p, cut, to, &n, &used), HTTP1_DONE);
		assert_str(((struct hg_str){to, n}), "hello0123456789 ");
		assert_int_equal(used, p.n - 3);
	}
}

static void malformed_bodies_are_refused_wherever_they_are_cut(void **s)
{
	static const struct hg_str row[] = {
	        HG_STR("\r\n"),
	        HG_STR("g\r\n"),
	        HG_STR("0x5\r\nhello\r\n"),
	        HG_STR("-1\r\n"),
	        HG_STR("+5\r\nhello"),
	        HG_STR(" 5\r\nhello"),
	        HG_STR("5 \r\nhello"),
	        HG_STR("5\nhello\r\n"),
	        HG_STR("5\r\nhello\n0\r\n\r\n"),
	        HG_STR("5\r\nhello!\r\n"),
	        HG_STR("5\r\nhelloX\r\n0\r\n\r\n"),
	        HG_STR("5;a\nb\r\nhello\r\n"),
	        HG_STR("5;a\rb\r\nhello\r\n"),
	        HG_STR("5;a\0b\r\nhello\r\n"),
	        HG_STR("0000000000000005\r\nhello"),
	        HG_STR("ffffffffffffffff\r\n"),
	        HG_STR("10000000000000000\r\n"),
	        HG_STR("0\r\n A: b\r\n\r\n"),
	        HG_STR("0\r\nA : b\r\n\r\n"),
	        HG_STR("0\r\n: b\r\n\r\n"),
	        HG_STR("0\r\nA: b\n\r\n"),
	        HG_STR("0\r\nA: \0\r\n\r\n"),
	        HG_STR("0\r\n\n"),
	        HG_STR("0\r\n\rX"),
	        /* Nothing that frames, routes or identifies a message comes behind it. */
	        HG_STR("0\r\nContent-Length: 5\r\n\r\n"),
	        HG_STR("0\r\nA: b\r\ntransfer_encoding: chunked\r\n\r\n"),
	        HG_STR("0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"),
	        HG_STR("0\r\nproxy-authorization: x\r\n\r\n"),
	        HG_STR("0\r\nX-Real-IP: 1.2.3.4\r\n\r\n"),
	        HG_STR("0\r\nX_Forwarded_Port: 1\r\n\r\n"),
	        HG_STR("0\r\nX-Forwarded-Client-Cert-And-More: 1\r\n\r\n"),
	        HG_STR("0\r\nX-Client-Cert-Subject: CN=root\r\n\r\n"),
	        HG_STR("0\r\nClient-Cert: :aaaa:\r\n\r\n"),
	        HG_STR("0\r\nclient_cert_chain: :aaaa:\r\n\r\n"),
	        HG_STR("0\r\ntraceparent: 00-1-1-01\r\n\r\n"),
	};
	char to[64];
	size_t n, used;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		for (size_t cut = 0; cut <= row[i].n; cut++) {
			if (decode(row[i], cut, to, &n, &used) != HTTP1_BAD)
				fail_msg("row %zu cut at %zu", i, cut);
		}
	}
}

static void trailers_of_the_application_are_allowed(void **s)
{
	const struct hg_str row[] = {HG_STR("0\r\ngrpc-status: 0\r\nETag: x\r\n\r\n"),
	        HG_STR("0\r\nX-Real-IPs: 5\r\nClient-Certificate: 1\r\n\r\n"),
	        HG_STR("0\r\nContent-Lengths: 5\r\n\r\n"),
	        HG_STR("0\r\nproxy-authorizationsx: 5\r\n\r\n"),
	        HG_STR("0\r\nproxy-authorization-which-is-longer: 5\r\n\r\n")};
	char to[8];
	size_t n, used;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		for (size_t cut = 0; cut <= row[i].n; cut++)
			assert_int_equal(decode(row[i], cut, to, &n, &used), HTTP1_DONE);
	}
}

static void lines_and_trailers_have_limits(void **s)
{
	static char text[16384];
	char to[8];
	size_t n, used;
	(void)s;
	memset(text, 'a', sizeof text);
	memcpy(text, "5;", 2);
	memcpy(text + 254, "\r\nhello", 7);
	assert_int_equal(decode((struct hg_str){text, 261}, 0, to, &n, &used), HTTP1_MORE);
	assert_int_equal(n, 5);
	memset(text + 254, 'a', 10);
	assert_int_equal(decode((struct hg_str){text, 300}, 0, to, &n, &used), HTTP1_BAD);
	memcpy(text, "0\r\nA:", 5);
	assert_int_equal(decode((struct hg_str){text, 3 + 8192}, 0, to, &n, &used), HTTP1_MORE);
	assert_int_equal(decode((struct hg_str){text, 3 + 8193}, 0, to, &n, &used), HTTP1_BAD);
}

static void a_refusal_and_an_end_are_final(void **s)
{
	struct http1_chunked c = {0};
	(void)s;
	assert_int_equal(http1_chunked_next(&c, HG_STR("x")).result, HTTP1_BAD);
	assert_int_equal(http1_chunked_next(&c, HG_STR("0\r\n\r\n")).result, HTTP1_BAD);
	c = (struct http1_chunked){0};
	assert_int_equal(http1_chunked_next(&c, HG_STR("0\r\n\r\n")).result, HTTP1_DONE);
	struct http1_span again = http1_chunked_next(&c, HG_STR("5\r\n"));
	assert_int_equal(again.result, HTTP1_DONE);
	assert_int_equal(again.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_body_cut_anywhere_decodes_the_same),
	        cmocka_unit_test(malformed_bodies_are_refused_wherever_they_are_cut),
	        cmocka_unit_test(trailers_of_the_application_are_allowed),
	        cmocka_unit_test(lines_and_trailers_have_limits),
	        cmocka_unit_test(a_refusal_and_an_end_are_final),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
