#include "auth/apikey.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/crc32c.h"

#define BODY 43u
#define SUM  6u

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

bool apikey_prefix_good(struct hg_str p)
{
	if (p.n == 0 || p.n > APIKEY_PREFIX_MAX || p.p[0] == '_' || p.p[p.n - 1] == '_')
		return false;
	for (size_t i = 0; i < p.n; i++) {
		char c = p.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return false;
	}
	return true;
}

/* A big number, most significant byte first, in base 62 with `n` digits; it is used up. */
static void base62(uint8_t *number, size_t bytes, char *to, size_t n)
{
	for (size_t k = n; k-- > 0;) {
		unsigned rest = 0;
		for (size_t i = 0; i < bytes; i++) {
			unsigned at = rest << 8 | number[i];
			number[i] = (uint8_t)(at / 62);
			rest = at % 62;
		}
		to[k] = digits[rest];
	}
}

static void checksum(struct hg_str text, char to[SUM])
{
	uint32_t crc = hg_crc32c(0, text.p, text.n);
	uint8_t number[4] = {
	        (uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
	base62(number, sizeof number, to, SUM);
}

size_t apikey_make(struct hg_str prefix, const uint8_t random[APIKEY_RANDOM],
        char ret_text[APIKEY_TEXT_MAX + 1])
{
	uint8_t number[APIKEY_RANDOM];
	size_t n = prefix.n;
	HG_ASSERT(apikey_prefix_good(prefix));
	memcpy(ret_text, prefix.p, n);
	ret_text[n++] = '_';
	memcpy(number, random, sizeof number);
	base62(number, sizeof number, ret_text + n, BODY);
	OPENSSL_cleanse(number, sizeof number);
	n += BODY;
	checksum((struct hg_str){ret_text, n}, ret_text + n);
	n += SUM;
	ret_text[n] = 0;
	return n;
}

bool apikey_well_formed(struct hg_str text)
{
	char sum[SUM];
	size_t tail = 1 + BODY + SUM;
	if (text.n <= tail || text.p[text.n - tail] != '_') return false;
	if (!apikey_prefix_good((struct hg_str){text.p, text.n - tail})) return false;
	for (size_t i = text.n - tail + 1; i < text.n; i++) {
		char c = text.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
			return false;
	}
	checksum((struct hg_str){text.p, text.n - SUM}, sum);
	return memcmp(sum, text.p + text.n - SUM, SUM) == 0;
}

bool apikey_hash(struct hg_str text, uint8_t ret_hash[APIKEY_HASH])
{
	unsigned n = 0;
	return EVP_Digest(text.p, text.n, ret_hash, &n, EVP_sha256(), NULL) == 1 &&
	       n == APIKEY_HASH;
}

bool apikey_same(const uint8_t a[APIKEY_HASH], const uint8_t b[APIKEY_HASH])
{
	return CRYPTO_memcmp(a, b, APIKEY_HASH) == 0;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9') return c - '0';
	if (c >= 'a' && c <= 'f') return c - 'a' + 10;
	if (c >= 'A' && c <= 'F') return c - 'A' + 10;
	return -1;
}

bool apikey_hash_read(struct hg_str hex, uint8_t ret_hash[APIKEY_HASH])
{
	if (hex.n != (size_t)2 * APIKEY_HASH) return false;
	for (size_t i = 0; i < APIKEY_HASH; i++) {
		int high = nibble(hex.p[2 * i]), low = nibble(hex.p[2 * i + 1]);
		if (high < 0 || low < 0) return false;
		ret_hash[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void apikey_hash_text(const uint8_t hash[APIKEY_HASH], char ret_hex[2 * APIKEY_HASH + 1])
{
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < APIKEY_HASH; i++) {
		ret_hex[2 * i] = hex[hash[i] >> 4];
		ret_hex[2 * i + 1] = hex[hash[i] & 15];
	}
	ret_hex[2 * APIKEY_HASH] = 0;
}
