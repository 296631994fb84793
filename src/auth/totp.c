#include "auth/totp.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "wire/url.h"

bool totp_code(struct hg_str secret, uint64_t step, unsigned digits, uint32_t *ret_code)
{
	static const uint32_t power[] = {1000000, 10000000, 100000000};
	unsigned char counter[8], mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	HG_ASSERT(digits >= 6 && digits <= 8 && secret.n <= 64);
	for (size_t i = 0; i < sizeof counter; i++)
		counter[i] = (unsigned char)(step >> (56 - 8 * i));
	if (!HMAC(EVP_sha1(), secret.p, (int)secret.n, counter, sizeof counter, mac, &n) || n < 20)
		return false;
	unsigned at = mac[19] & 15u; /* RFC 4226 section 5.3 */
	uint32_t word = (uint32_t)(mac[at] & 127) << 24 | (uint32_t)mac[at + 1] << 16 |
	                (uint32_t)mac[at + 2] << 8 | mac[at + 3];
	*ret_code = word % power[digits - 6];
	return true;
}

uint64_t totp_match(struct hg_str secret, struct hg_str code, uint64_t now_s, uint64_t last_step)
{
	uint64_t given = 0, now = now_s / TOTP_STEP_S, found = 0;
	if (code.n != TOTP_DIGITS || !hg_str_u64(code, &given)) return 0;
	for (int i = -TOTP_WINDOW; i <= TOTP_WINDOW; i++) {
		uint64_t step = now + (uint64_t)(int64_t)i;
		uint32_t want = 0;
		if (!totp_code(secret, step, TOTP_DIGITS, &want)) return 0;
		if (want == given && step > last_step && !found) found = step;
	}
	return found;
}

void totp_base32(struct hg_str bytes, struct hg_buf *to)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint32_t word = 0;
	unsigned bits = 0;
	for (size_t i = 0; i < bytes.n; i++) {
		word = word << 8 | (unsigned char)bytes.p[i];
		for (bits += 8; bits >= 5; bits -= 5)
			hg_buf_byte(to, letters[word >> (bits - 5) & 31]);
	}
	if (bits) hg_buf_byte(to, letters[word << (5 - bits) & 31]);
}

void totp_uri(struct hg_str issuer, struct hg_str account, struct hg_str secret, struct hg_buf *to)
{
	hg_buf_cstr(to, "otpauth://totp/");
	url_encode(to, issuer, "");
	hg_buf_byte(to, ':');
	url_encode(to, account, "@");
	hg_buf_cstr(to, "?secret=");
	totp_base32(secret, to);
	hg_buf_cstr(to, "&issuer=");
	url_encode(to, issuer, "");
	hg_buf_cstr(to, "&algorithm=SHA1&digits=6&period=30");
}
