#include "../test.h"

#include "wire/ip.h"

static void networks_are_read_and_mistakes_refused(void **state)
{
	static const struct {
		const char *text;
		int bits; /* −1: refused */
		const char *addr;
	} row[] = {
	        {"192.0.2.0/24", 120, "192.0.2.0"},
	        {"192.0.2.1", 128, "192.0.2.1"},
	        {"0.0.0.0/0", 96, "0.0.0.0"},
	        {"2001:db8::/32", 32, "2001:db8::"},
	        {"::1", 128, "::1"},
	        {"::/0", 0, "::"},
	        {"192.0.2.1/24", -1, NULL}, /* bits behind the prefix */
	        {"2001:db8::1/32", -1, NULL},
	        {"192.0.2.0/33", -1, NULL},
	        {"2001:db8::/129", -1, NULL},
	        {"192.0.2.0/", -1, NULL},
	        {"192.0.2.0/x", -1, NULL},
	        {"192.0.2", -1, NULL},
	        {"192.0.2.256", -1, NULL},
	        {"fe80::1%eth0", -1, NULL},
	        {"example.com", -1, NULL},
	        {"", -1, NULL},
	        {"/8", -1, NULL},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		uint8_t addr[16];
		char text[IP_TEXT_MAX];
		uint32_t bits;
		bool ok = ip_parse_net(hg_str(row[i].text), addr, &bits);
		if (ok != (row[i].bits >= 0)) fail_msg("%s", row[i].text);
		if (!ok) continue;
		assert_int_equal(bits, row[i].bits);
		assert_int_equal(ip_text(addr, text), strlen(row[i].addr));
		assert_string_equal(text, row[i].addr);
	}
}

static void a_list_of_hops_is_read_from_its_end(void **state)
{
	struct hg_str list = HG_STR("unknown, 10.0.0.1:80,[2001:db8::1]:443 , \"[::2]\",192.0.2.7");
	static const char *const want[] = {"192.0.2.7", "::2", "2001:db8::1", "10.0.0.1"};
	uint8_t addr[16];
	char text[IP_TEXT_MAX];
	(void)state;
	for (size_t i = 0; i < HG_COUNT(want); i++) {
		assert_true(ip_list_last(&list, addr));
		ip_text(addr, text);
		assert_string_equal(text, want[i]);
	}
	/* What is no address ends it: who stands before cannot be believed. */
	assert_false(ip_list_last(&list, addr));
	assert_int_equal(list.n, 0);
	static const char *const bad[] = {"", ",", "a", "[::1", "1.2.3.4,", "1.2.3.4 5.6.7.8"};
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		list = hg_str(bad[i]);
		if (ip_list_last(&list, addr)) fail_msg("\"%s\"", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(networks_are_read_and_mistakes_refused),
	        cmocka_unit_test(a_list_of_hops_is_read_from_its_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
