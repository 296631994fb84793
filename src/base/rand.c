#include "base/rand.h"

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

/* splitmix64 spreads a small seed over the whole state. */
static uint64_t spread(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void hg_rand_seed(struct hg_rand *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->s[i] = spread(&seed);
}

uint64_t hg_rand_u64(struct hg_rand *r)
{
	uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint32_t hg_rand_below(struct hg_rand *r, uint32_t n)
{
	HG_ASSERT(n > 0);
	for (;;) {
		uint64_t m = (hg_rand_u64(r) >> 32) * n;
		if ((uint32_t)m >= (uint32_t)-n % n) return (uint32_t)(m >> 32);
	}
}

double hg_rand_unit(struct hg_rand *r)
{
	return (double)(hg_rand_u64(r) >> 11) * 0x1.0p-53;
}
