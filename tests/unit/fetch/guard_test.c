#include "../test.h"

#include "fetch/guard.h"
#include "wire/ip.h"

static enum guard_class judged(const char *allow, const char *text)
{
	struct guard g;
	uint8_t addr[16];
	assert_int_equal(guard_parse(hg_str(allow), &g, NULL), HG_OK);
	if (!ip_parse(hg_str(text), addr)) fail_msg("\"%s\" is no address", text);
	return guard_judge(&g, addr);
}

static void only_addresses_that_are_anybodys_are_public(void **state)
{
	static const struct {
		const char *addr;
		enum guard_class want;
	} row[] = {
	        {"0.0.0.0", GUARD_LOOPBACK},
	        {"0.1.2.3", GUARD_LOOPBACK},
	        {"1.0.0.0", GUARD_PUBLIC},
	        {"9.255.255.255", GUARD_PUBLIC},
	        {"10.0.0.0", GUARD_PRIVATE},
	        {"10.255.255.255", GUARD_PRIVATE},
	        {"11.0.0.0", GUARD_PUBLIC},
	        {"100.63.255.255", GUARD_PUBLIC},
	        {"100.64.0.0", GUARD_SHARED},
	        {"100.127.255.255", GUARD_SHARED},
	        {"100.128.0.0", GUARD_PUBLIC},
	        {"126.255.255.255", GUARD_PUBLIC},
	        {"127.0.0.1", GUARD_LOOPBACK},
	        {"127.255.255.255", GUARD_LOOPBACK},
	        {"128.0.0.0", GUARD_PUBLIC},
	        {"169.253.255.255", GUARD_PUBLIC},
	        {"169.254.169.254", GUARD_LINK_LOCAL},
	        {"169.255.0.0", GUARD_PUBLIC},
	        {"172.15.255.255", GUARD_PUBLIC},
	        {"172.16.0.0", GUARD_PRIVATE},
	        {"172.31.255.255", GUARD_PRIVATE},
	        {"172.32.0.0", GUARD_PUBLIC},
	        {"192.0.0.170", GUARD_RESERVED},
	        {"192.0.1.0", GUARD_PUBLIC},
	        {"192.0.2.1", GUARD_RESERVED},
	        {"192.88.99.1", GUARD_RESERVED},
	        {"192.167.255.255", GUARD_PUBLIC},
	        {"192.168.0.1", GUARD_PRIVATE},
	        {"192.169.0.0", GUARD_PUBLIC},
	        {"198.17.255.255", GUARD_PUBLIC},
	        {"198.18.0.1", GUARD_RESERVED},
	        {"198.19.255.255", GUARD_RESERVED},
	        {"198.20.0.0", GUARD_PUBLIC},
	        {"198.51.100.7", GUARD_RESERVED},
	        {"203.0.113.7", GUARD_RESERVED},
	        {"223.255.255.255", GUARD_PUBLIC},
	        {"224.0.0.1", GUARD_MULTICAST},
	        {"239.255.255.255", GUARD_MULTICAST},
	        {"240.0.0.1", GUARD_RESERVED},
	        {"255.255.255.255", GUARD_RESERVED},
	        /* In IPv6 */
	        {"::", GUARD_LOOPBACK},
	        {"::1", GUARD_LOOPBACK},
	        {"::2", GUARD_RESERVED},
	        {"::ffff:127.0.0.1", GUARD_LOOPBACK},
	        {"::ffff:10.0.0.1", GUARD_PRIVATE},
	        {"::ffff:169.254.169.254", GUARD_LINK_LOCAL},
	        {"::ffff:8.8.8.8", GUARD_PUBLIC},
	        {"::127.0.0.1", GUARD_RESERVED},
	        {"::8.8.8.8", GUARD_RESERVED},
	        {"::ffff:0:127.0.0.1", GUARD_RESERVED},
	        {"64:ff9b::127.0.0.1", GUARD_LOOPBACK},
	        {"64:ff9b::10.1.1.1", GUARD_PRIVATE},
	        {"64:ff9b::169.254.169.254", GUARD_LINK_LOCAL},
	        {"64:ff9b::8.8.8.8", GUARD_PUBLIC},
	        {"64:ff9b:1::8.8.8.8", GUARD_RESERVED},
	        {"100::1", GUARD_RESERVED},
	        {"2001::1", GUARD_RESERVED},
	        {"2001:10::1", GUARD_RESERVED},
	        {"2001:1ff::1", GUARD_RESERVED},
	        {"2001:200::1", GUARD_PUBLIC},
	        {"2001:db8::1", GUARD_RESERVED},
	        {"2001:4860:4860::8888", GUARD_PUBLIC},
	        {"2002:7f00:1::", GUARD_RESERVED},
	        {"2002:808:808::1", GUARD_RESERVED},
	        {"2a00:1450::1", GUARD_PUBLIC},
	        {"3fff::1", GUARD_RESERVED},
	        {"3fff:1000::1", GUARD_PUBLIC},
	        {"4000::1", GUARD_RESERVED},
	        {"fc00::1", GUARD_PRIVATE},
	        {"fd00:ec2::254", GUARD_PRIVATE},
	        {"fe80::1", GUARD_LINK_LOCAL},
	        {"febf::1", GUARD_LINK_LOCAL},
	        {"fec0::1", GUARD_PRIVATE},
	        {"ff02::1", GUARD_MULTICAST},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		enum guard_class got = judged("", row[i].addr);
		if (got != row[i].want) fail_msg("%s is %s", row[i].addr, guard_class_name(got));
		assert_int_equal(guard_lets(got), row[i].want == GUARD_PUBLIC);
	}
}

static void networks_that_are_named_are_let_pass(void **state)
{
	(void)state;
	assert_int_equal(judged("127.0.0.0/8", "127.1.2.3"), GUARD_ALLOWED);
	assert_int_equal(judged("127.0.0.0/8", "::ffff:127.0.0.1"), GUARD_ALLOWED);
	assert_int_equal(judged("127.0.0.0/8", "::1"), GUARD_LOOPBACK);
	assert_int_equal(judged("127.0.0.0/8", "10.0.0.1"), GUARD_PRIVATE);
	/* Behind a translator is another place than the address itself. */
	assert_int_equal(judged("127.0.0.0/8", "64:ff9b::127.0.0.1"), GUARD_LOOPBACK);
	assert_int_equal(judged(" 10.1.2.3 , fd00::/8,", "10.1.2.3"), GUARD_ALLOWED);
	assert_int_equal(judged("10.1.2.3, fd00::/8", "fd12::1"), GUARD_ALLOWED);
	assert_int_equal(judged("10.1.2.3, fd00::/8", "10.1.2.4"), GUARD_PRIVATE);
	assert_int_equal(judged("10.1.2.3, fd00::/8", "8.8.8.8"), GUARD_PUBLIC);
	assert_int_equal(judged("10.1.2.4/30", "10.1.2.7"), GUARD_ALLOWED);
	assert_int_equal(judged("10.1.2.4/30", "10.1.2.8"), GUARD_PRIVATE);
}

static void what_is_no_network_is_named(void **state)
{
	static const char *const bad[] = {"x", "10.0.0.1/8", "10.0.0.0/33", "1.2.3.4,y", "::1/129"};
	struct guard g;
	struct hg_err err;
	char many[400] = "";
	struct hg_out o = hg_out_over(many, sizeof many - 1);
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		assert_int_equal(guard_parse(hg_str(bad[i]), &g, &err), HG_E_INVALID);
	for (unsigned i = 0; i < GUARD_ALLOW_MAX; i++)
		hg_out_fmt(&o, "10.0.0.%u,", i);
	assert_int_equal(guard_parse(hg_str(many), &g, &err), HG_OK);
	hg_out_cstr(&o, "10.1.1.1");
	assert_int_equal(guard_parse(hg_str(many), &g, &err), HG_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(only_addresses_that_are_anybodys_are_public),
	        cmocka_unit_test(networks_that_are_named_are_let_pass),
	        cmocka_unit_test(what_is_no_network_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
