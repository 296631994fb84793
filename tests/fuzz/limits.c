/* Rates, networks and lists of hops: what is accepted keeps its bounds, and is the same when it is
 * written and read again. */
#include "fuzz.h"

#include "math/gcra.h"
#include "wire/ip.h"
#include "wire/rate.h"

static void rate_is_bounded(struct hg_str in)
{
	struct rate r;
	struct gcra_rule rule;
	const char *why = NULL;
	if (!rate_parse(in, &r, &why)) {
		HG_ASSERT(why);
		return;
	}
	HG_ASSERT(r.count > 0 && r.burst > 0 && r.period_s > 0 && r.period_s <= 30 * 86400);
	HG_ASSERT(r.name.n == 0 || (r.name.p >= in.p && r.name.p + r.name.n <= in.p + in.n));
	/* Whatever the configuration accepts the edge can count. */
	HG_ASSERT(gcra_rule_make(r.count, r.period_s * 1000000000u, r.burst, &rule));
	HG_ASSERT(gcra_decide(rule, 0, 1).admit);
}

static void net_is_the_same_again(struct hg_str in)
{
	uint8_t addr[16], again[16];
	char text[IP_TEXT_MAX];
	uint32_t bits;
	if (!ip_parse_net(in, addr, &bits)) return;
	HG_ASSERT(bits <= 128);
	HG_ASSERT(ip_parse((struct hg_str){text, ip_text(addr, text)}, again));
	HG_ASSERT(memcmp(addr, again, sizeof addr) == 0);
}

static void hops_come_to_an_end(struct hg_str in)
{
	uint8_t addr[16];
	struct hg_str list = in;
	for (size_t before = list.n + 1; ip_list_last(&list, addr); before = list.n)
		HG_ASSERT(list.n < before);
	HG_ASSERT(list.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hg_str in = {(const char *)data, size};
	char *copy = fuzz_copy(in);
	in.p = copy;
	rate_is_bounded(in);
	net_is_the_same_again(in);
	hops_come_to_an_end(in);
	free(copy);
	return 0;
}
