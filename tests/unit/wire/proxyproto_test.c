#include "../test.h"

#include "wire/ip.h"
#include "wire/proxyproto.h"

#include <stdio.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"

static void text_headers_are_read(void **s)
{
	static const struct {
		struct hg_str in;
		bool known;
		unsigned from_port, last;
	} row[] = {
	        {HG_STR("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"), true, 56324, 1},
	        {HG_STR("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), true, 65535,
	                255},
	        {HG_STR("PROXY TCP6 2001:db8::9 ::1 1 0\r\n"), true, 1, 9},
	        {HG_STR("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	                true, 65535, 255},
	        {HG_STR("PROXY UNKNOWN\r\n"), false, 0, 0},
	        {HG_STR("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), false, 0,
	                0},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct proxyproto r;
		for (size_t n = 0; n < row[i].in.n; n++) {
			struct hg_str part = {row[i].in.p, n};
			assert_int_equal(proxyproto_read(part, &r), PROXYPROTO_MORE);
		}
		if (proxyproto_read(row[i].in, &r) != PROXYPROTO_DONE)
			fail_msg("row %zu: %s", i, r.bad);
		assert_int_equal(r.version, 1);
		assert_int_equal(r.size, row[i].in.n);
		assert_int_equal(r.known, row[i].known);
		assert_int_equal(r.from_port, row[i].from_port);
		if (r.known) assert_int_equal(r.from[15], row[i].last);
	}
}

static void other_spellings_are_refused(void **s)
{
	static const char *const row[] = {
	        "PROXY\r\n",
	        "proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
	        "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
	        "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
	        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
	        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
	        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
	        "PROXY TCP4 1.1.1.1 2.2.2.2\r\n",
	        "PROXY TCP4\r\n",
	        "PROXY \r\n",
	        "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
	        "PROXY UNKNOWNX\r\n",
	        "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
	        "PROXY TCP4 ::1 ::2 1 2\r\n",
	        "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
	        "PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
	        "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
	        "PROXY TCP4 1.1.1.1.1 2.2.2.2 1 2\r\n",
	        "PROXY TCP4 1.1.1.1. 2.2.2.2 1 2\r\n",
	        "PROXY TCP4 256.1.1.1 2.2.2.2 1 2\r\n",
	        "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
	        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
	        "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
	        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n\r\n",
	        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\r\n",
	        "GET / HTTP/1.1\r\n",
	        "\r\n\r\nGET",
	        "\x16\x03\x01",
	};
	char longest[120];
	struct proxyproto r;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		if (proxyproto_read(hg_str(row[i]), &r) != PROXYPROTO_BAD) fail_msg("%s", row[i]);
		assert_non_null(r.bad);
		assert_false(r.known);
	}
	/* 107 bytes are the most; the end of line is among them. */
	snprintf(longest, sizeof longest, "PROXY UNKNOWN %*s\r\n", 91, "x");
	assert_int_equal(proxyproto_read(hg_str(longest), &r), PROXYPROTO_DONE);
	assert_int_equal(r.size, 107);
	snprintf(longest, sizeof longest, "PROXY UNKNOWN %*s\r\n", 92, "x");
	assert_int_equal(proxyproto_read(hg_str(longest), &r), PROXYPROTO_BAD);
}

struct v2_row {
	struct hg_str in;
	enum proxyproto_result want;
	bool known;
};

static void binary_headers_are_read(void **s)
{
	/* Address blocks, extensions and their lengths. */
	static const struct v2_row row[] = {
	        {HG_STR(SIG "\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x1f\x90\x01\xbb"),
	                PROXYPROTO_DONE, true},
	        {HG_STR(SIG "\x20\x00\x00\x00"), PROXYPROTO_DONE, false},
	        {HG_STR(SIG "\x20\x11\x00\x03"
	                    "abc"),
	                PROXYPROTO_DONE, false},
	        {HG_STR(SIG "\x21\x00\x00\x00"), PROXYPROTO_DONE, false},
	        /* NOOP, and an extension of a type we do not know */
	        {HG_STR(SIG "\x21\x11\x00\x13\x0a\x00\x00\x01\x0a\x00\x00\x02\x1f\x90\x01\xbb"
	                    "\x04\x00\x01x\xee\x00\x00"),
	                PROXYPROTO_DONE, true},
	        {HG_STR(SIG "\x21\x11\x00\x0b\x0a\x00\x00\x01\x0a\x00\x00\x02\x1f\x90\x01"),
	                PROXYPROTO_BAD, false},
	        {HG_STR(SIG "\x21\x12\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x1f\x90\x01\xbb"),
	                PROXYPROTO_BAD, false},
	        {HG_STR(SIG "\x21\x10\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x1f\x90\x01\xbb"),
	                PROXYPROTO_BAD, false},
	        {HG_STR(SIG "\x21\x41\x00\x00"), PROXYPROTO_BAD, false},
	        {HG_STR(SIG "\x22\x11\x00\x00"), PROXYPROTO_BAD, false},
	        {HG_STR(SIG "\x11\x11\x00\x00"), PROXYPROTO_BAD, false},
	        {HG_STR(SIG "\x21\x11\xff\xff"), PROXYPROTO_BAD, false},
	        {HG_STR(SIG "\x21\x00\x00\x02\x04\x00"), PROXYPROTO_BAD, false},
	        {HG_STR(SIG "\x21\x00\x00\x04\x04\x00\x02x"), PROXYPROTO_BAD, false},
	        {HG_STR(SIG "\x21\x00\x00\x05\x03\x00\x02xx"), PROXYPROTO_BAD, false},
	        {HG_STR(SIG "\x21\x00\x00\x07\x03\x00\x04\0\0\0\0"), PROXYPROTO_BAD, false},
	};
	struct proxyproto r;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		enum proxyproto_result got = proxyproto_read(row[i].in, &r);
		if (got != row[i].want || r.known != row[i].known)
			fail_msg("row %zu: %s", i, r.bad);
		if (got != PROXYPROTO_DONE) continue;
		assert_int_equal(r.size, row[i].in.n);
		for (size_t n = 0; n < row[i].in.n; n++) {
			struct hg_str part = {row[i].in.p, n};
			assert_int_equal(proxyproto_read(part, &r), PROXYPROTO_MORE);
		}
	}
	assert_int_equal(proxyproto_read(row[0].in, &r), PROXYPROTO_DONE);
	assert_int_equal(r.from[15], 1);
	assert_int_equal(r.to[15], 2);
	assert_int_equal(r.from_port, 8080);
	assert_int_equal(r.to_port, 443);
}

static void a_checksum_is_checked(void **s)
{
	/* By another implementation, which gives e3069283 for "123456789". */
	char good[] = SIG "\x21\x11\x00\x13\x0a\x00\x00\x01\x0a\x00\x00\x02\x1f\x90\x01\xbb"
	                  "\x03\x00\x04\x5d\x4d\x18\x5b";
	struct proxyproto r;
	(void)s;
	assert_int_equal(
	        proxyproto_read((struct hg_str){good, sizeof good - 1}, &r), PROXYPROTO_DONE);
	assert_true(r.known);
	for (size_t i = 16; i < sizeof good - 1; i++) {
		good[i] ^= 1;
		if (i < 28 || i > 30)
			assert_int_equal(
			        proxyproto_read((struct hg_str){good, sizeof good - 1}, &r),
			        PROXYPROTO_BAD);
		good[i] ^= 1;
	}
}

static void what_is_written_is_read(void **s)
{
	(void)s;
	for (unsigned version = 1; version <= 2; version++) {
		for (int kind = 0; kind < 4; kind++) {
			struct proxyproto p = {.known = kind > 0,
			                          .version = (uint8_t)version,
			                          .from_port = 65535,
			                          .to_port = 443},
			                  r;
			char to[PROXYPROTO_SENT];
			struct hg_out o = hg_out_over(to, sizeof to);
			const char *a = kind == 1 ? "255.255.255.254"
			                          : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1";
			const char *b = kind == 3 ? "255.255.255.253" : a;
			assert_true(ip_parse(hg_str(a), p.from) && ip_parse(hg_str(b), p.to));
			proxyproto_write(&p, &o);
			assert_false(hg_out_failed(&o));
			assert_int_equal(
			        proxyproto_read((struct hg_str){to, o.n}, &r), PROXYPROTO_DONE);
			assert_int_equal(r.size, o.n);
			assert_int_equal(r.known, p.known);
			if (!p.known) continue;
			assert_memory_equal(r.from, p.from, 16);
			assert_memory_equal(r.to, p.to, 16);
			assert_int_equal(r.from_port, 65535);
			assert_int_equal(r.to_port, 443);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(text_headers_are_read),
	        cmocka_unit_test(other_spellings_are_refused),
	        cmocka_unit_test(binary_headers_are_read),
	        cmocka_unit_test(a_checksum_is_checked),
	        cmocka_unit_test(what_is_written_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
