#include "../test.h"

#include <stdlib.h>

#include "base/rand.h"
#include "math/ipset.h"

static struct ip_addr v4(uint32_t a)
{
	return (struct ip_addr){0, 0xffff00000000ull | a};
}

static bool covers(const struct ip_prefix *p, struct ip_addr a)
{
	for (uint32_t i = 0; i < p->bits; i++) {
		uint64_t x = i < 64 ? p->addr.hi >> (63 - i) : p->addr.lo >> (127 - i);
		uint64_t y = i < 64 ? a.hi >> (63 - i) : a.lo >> (127 - i);
		if ((x ^ y) & 1) return false;
	}
	return true;
}

/* The naive way: all of them. */
static uint32_t longest(const struct ip_prefix *p, size_t n, struct ip_addr a)
{
	uint32_t best = 0, value = 0;
	for (size_t i = 0; i < n; i++) {
		if (!covers(&p[i], a) || p[i].bits + 1 < best) continue;
		if (p[i].bits + 1 == best && p[i].value < value) continue;
		best = p[i].bits + 1;
		value = p[i].value;
	}
	return value;
}

static void the_longest_prefix_decides(void **state)
{
	struct ip_prefix p[] = {
	        {v4(0x0a000000), 96 + 8, 1},
	        {v4(0x0a010000), 96 + 16, 2},
	        {v4(0x0a010203), 128, 1},
	        {v4(0x0a010000), 96 + 16, 1}, /* the same again: the larger value */
	        {{0x20010db800000000, 0}, 32, 2},
	};
	struct ip_step s[IPSET_STEPS(5)];
	size_t n = ipset_compile(p, 5, s);
	(void)state;
	assert_true(ipset_valid(s, n));
	assert_int_equal(ipset_find(s, n, v4(0x0a000001)), 1);
	assert_int_equal(ipset_find(s, n, v4(0x0a010001)), 2);
	assert_int_equal(ipset_find(s, n, v4(0x0a010203)), 1);
	assert_int_equal(ipset_find(s, n, v4(0x0a010204)), 2);
	assert_int_equal(ipset_find(s, n, v4(0x0a020000)), 1);
	assert_int_equal(ipset_find(s, n, v4(0x0b000000)), 0);
	assert_int_equal(ipset_find(s, n, v4(0x09ffffff)), 0);
	assert_int_equal(ipset_find(s, n, (struct ip_addr){0x20010db8ffffffff, 1}), 2);
	assert_int_equal(ipset_find(s, n, (struct ip_addr){0x20010db900000000, 0}), 0);
	assert_int_equal(ipset_find(NULL, 0, v4(1)), 0);
}

static void everything_and_the_last_address_have_a_place(void **state)
{
	struct ip_prefix p[] = {{{0, 0}, 0, 1}, {{UINT64_MAX, UINT64_MAX}, 128, 2}};
	struct ip_step s[IPSET_STEPS(2)];
	size_t n = ipset_compile(p, 2, s);
	(void)state;
	assert_int_equal(n, 2);
	assert_int_equal(ipset_find(s, n, (struct ip_addr){0, 0}), 1);
	assert_int_equal(ipset_find(s, n, (struct ip_addr){UINT64_MAX, UINT64_MAX - 1}), 1);
	assert_int_equal(ipset_find(s, n, (struct ip_addr){UINT64_MAX, UINT64_MAX}), 2);
	assert_int_equal(ipset_compile(p, 0, s), 0);
}

static void random_sets_agree_with_asking_every_prefix(void **state)
{
	enum { N = 60 };
	struct hg_rand rand;
	struct ip_prefix p[N], sorted[N];
	struct ip_step s[IPSET_STEPS(N)];
	(void)state;
	hg_rand_seed(&rand, 3);
	for (int round = 0; round < 300; round++) {
		size_t n = 1 + hg_rand_below(&rand, N);
		for (size_t i = 0; i < n; i++) {
			/* Few bits differ, so that they nest often. */
			p[i].addr = v4(hg_rand_below(&rand, 1024) << 22 | hg_rand_below(&rand, 4));
			p[i].bits = 90 + hg_rand_below(&rand, 39);
			p[i].value = 1 + hg_rand_below(&rand, 2);
			sorted[i] = p[i];
		}
		size_t steps = ipset_compile(sorted, n, s);
		assert_true(steps <= IPSET_STEPS(n) && ipset_valid(s, steps));
		for (int i = 0; i < 200; i++) {
			struct ip_addr a = p[hg_rand_below(&rand, (uint32_t)n)].addr;
			a.lo += hg_rand_below(&rand, 5) - 2u;
			if (hg_rand_below(&rand, 2)) a.lo ^= 1ull << hg_rand_below(&rand, 40);
			if (ipset_find(s, steps, a) != longest(p, n, a))
				fail_msg("round %d: %llx", round, (unsigned long long)a.lo);
		}
	}
}

static void steps_that_are_out_of_order_are_refused(void **state)
{
	struct ip_step s[] = {{0, 0, 0, 0}, {1, 5, 1, 0}, {1, 9, 0, 0}};
	(void)state;
	assert_true(ipset_valid(s, 3));
	s[2].lo = 5;
	assert_false(ipset_valid(s, 3));
	s[2] = (struct ip_step){0, 9, 0, 0};
	assert_false(ipset_valid(s, 3));
	s[0].lo = 1;
	assert_false(ipset_valid(s, 1));
	assert_true(ipset_valid(s, 0));
}

static void a_client_of_ipv6_is_its_network_of_64_bits(void **state)
{
	struct ip_addr a = ip_addr_client((struct ip_addr){0x20010db800010002, 77});
	(void)state;
	assert_true(a.hi == 0x20010db800010002 && a.lo == 0);
	a = ip_addr_client(v4(0xc0000201));
	assert_true(a.lo == v4(0xc0000201).lo && ip_addr_is_v4(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_longest_prefix_decides),
	        cmocka_unit_test(everything_and_the_last_address_have_a_place),
	        cmocka_unit_test(random_sets_agree_with_asking_every_prefix),
	        cmocka_unit_test(steps_that_are_out_of_order_are_refused),
	        cmocka_unit_test(a_client_of_ipv6_is_its_network_of_64_bits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
