/* What a rate limit costs a request: hash, look-up and charge, with all keys in cache or none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "math/ipset.h"
#include "meter/rates.h"

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void limits(struct rates *t, uint64_t rounds, uint32_t clients, size_t name_n)
{
	struct gcra_rule rule;
	char name[256] = {0};
	uint64_t admitted = 0, i = 0;
	if (!gcra_rule_make(1000, 60000000000u, 1000, &rule)) return;
	uint64_t start = now_ns();
	for (; i < rounds; i++) {
		uint64_t who = i * 2654435761u % clients;
		memcpy(name, &who, sizeof who);
		uint64_t key = rates_key(t, 1, 1, name, name_n);
		admitted += rates_take(t, key, rule, start + i * 100).admit;
	}
	printf("%7u clients, names of %3zu bytes: %5.1f ns a request (%.1f%% admitted)\n", clients,
	        name_n, (double)(now_ns() - start) / (double)rounds,
	        100.0 * (double)admitted / (double)rounds);
}

static void lists(uint64_t rounds, uint32_t nets)
{
	struct ip_prefix *p = calloc(nets, sizeof *p);
	struct ip_step *s = calloc(IPSET_STEPS(nets), sizeof *s);
	uint64_t found = 0;
	if (!p || !s) abort();
	for (uint32_t i = 0; i < nets; i++)
		p[i] = (struct ip_prefix){{0, 0xffff00000000 | (uint64_t)i << 12}, 96 + 24, 1};
	uint64_t start = now_ns();
	size_t n = ipset_compile(p, nets, s);
	double made = (double)(now_ns() - start) / 1e6;
	start = now_ns();
	for (uint64_t i = 0; i < rounds; i++)
		found += ipset_find(
		        s, n, (struct ip_addr){0, 0xffff00000000 | (i * 2654435761u % UINT32_MAX)});
	printf("%7u networks, %zu steps made in %.1f ms: %5.1f ns an address (%llu found)\n", nets,
	        n, made, (double)(now_ns() - start) / (double)rounds, (unsigned long long)found);
	free(p);
	free(s);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 4000000;
	struct rates *t =
	        mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t == MAP_FAILED) return 1;
	rates_init(t, (const uint8_t[16]){1});
	limits(t, n, 100, 16);
	limits(t, n, 100, 160);
	limits(t, n, 100000, 16);
	limits(t, n, 400000, 16);
	lists(n, 10);
	lists(n, 10000);
	return 0;
}
