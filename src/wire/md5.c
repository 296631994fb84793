#include "wire/md5.h"

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static uint32_t mix(unsigned round, const uint32_t h[4])
{
	switch (round) {
	case 0: return (h[1] & h[2]) | (~h[1] & h[3]);
	case 1: return (h[3] & h[1]) | (~h[3] & h[2]);
	case 2: return h[1] ^ h[2] ^ h[3];
	default: return h[2] ^ (h[1] | ~h[3]);
	}
}

static void block(uint32_t sum[4], const uint8_t *p)
{
	static const uint8_t turn[4][4] = {
	        {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
	static const uint8_t step[4] = {1, 5, 3, 7}, first[4] = {0, 1, 5, 0};
	/* 2^32 * |sin(i + 1)|, whole parts. */
	static const uint32_t sine[64] = {0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee,
	        0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1,
	        0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340,
	        0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6,
	        0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
	        0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60,
	        0xbebfbc70, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5,
	        0x1fa27cf8, 0xc4ac5665, 0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3,
	        0x8f0ccc92, 0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
	        0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
	uint32_t h[4] = {sum[0], sum[1], sum[2], sum[3]}, word[16];
	for (unsigned i = 0; i < 16; i++)
		word[i] = (uint32_t)p[i * 4] | (uint32_t)p[i * 4 + 1] << 8 |
		          (uint32_t)p[i * 4 + 2] << 16 | (uint32_t)p[i * 4 + 3] << 24;
	for (unsigned i = 0; i < 64; i++) {
		unsigned round = i / 16;
		uint32_t x = h[0] + mix(round, h) + sine[i] +
		             word[(first[round] + step[round] * i) % 16];
		h[0] = h[3];
		h[3] = h[2];
		h[2] = h[1];
		h[1] += rotate(x, turn[round][i % 4]);
	}
	for (unsigned i = 0; i < 4; i++)
		sum[i] += h[i];
}

void md5(struct hg_str s, uint8_t ret_sum[16])
{
	uint32_t sum[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
	const uint8_t *p = (const uint8_t *)s.p;
	uint8_t last[128] = {0};
	size_t whole = s.n / 64 * 64, rest = s.n - whole, end = rest < 56 ? 64 : 128;
	for (size_t at = 0; at < whole; at += 64)
		block(sum, p + at);
	if (rest) memcpy(last, p + whole, rest);
	last[rest] = 0x80;
	for (unsigned i = 0; i < 8; i++)
		last[end - 8 + i] = (uint8_t)((uint64_t)s.n * 8 >> (8 * i));
	for (size_t at = 0; at < end; at += 64)
		block(sum, last + at);
	for (unsigned i = 0; i < 16; i++)
		ret_sum[i] = (uint8_t)(sum[i / 4] >> (8 * (i % 4)));
}
