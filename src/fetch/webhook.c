#include "fetch/webhook.h"

#include "os/file.h"
#include "os/jws.h"
#include "wire/base64.h"
#include "wire/ip.h"

#define PREFIX     HG_STR("whsec_")
#define KEY_MIN    24u
#define KEY_MAX    64u
#define KEY_NEW    32u
#define SIGNED_MAX (1u << 20)

const uint32_t webhook_delay_ms[WEBHOOK_DELAYS] = {
        5000, 300000, 1800000, 7200000, 18000000, 36000000, 50400000, 72000000, 86400000};

enum hg_rc webhook_secret_new(char ret_secret[static WEBHOOK_SECRET_MAX])
{
	char key[KEY_NEW];
	struct hg_buf text;
	if (file_random(key, sizeof key) < 0) return HG_E_IO;
	hg_buf_init(&text, WEBHOOK_SECRET_MAX);
	hg_buf_str(&text, PREFIX);
	base64_encode(&text, (struct hg_str){key, sizeof key});
	bool ok = !text.failed && hg_str_copy(hg_buf_view(&text), ret_secret, WEBHOOK_SECRET_MAX);
	explicit_bzero(key, sizeof key);
	hg_buf_free(&text);
	return ok ? HG_OK : HG_E_NOMEM;
}

/* The bytes behind the prefix. */
static bool key_of(struct hg_str secret, struct hg_buf *to)
{
	if (!hg_str_starts(secret, PREFIX)) return false;
	struct hg_str text = {secret.p + PREFIX.n, secret.n - PREFIX.n};
	return base64_decode(to, text) && !to->failed && to->n >= KEY_MIN && to->n <= KEY_MAX;
}

bool webhook_secret_ok(struct hg_str secret)
{
	struct hg_buf key;
	hg_buf_init(&key, KEY_MAX + 3);
	bool ok = key_of(secret, &key);
	hg_buf_free(&key);
	return ok;
}

static enum hg_rc sign_one(struct hg_str secret, struct hg_str text, struct hg_buf *to)
{
	unsigned char digest[JWS_DIGEST];
	struct hg_buf key;
	enum hg_rc rc = HG_E_INVALID;
	hg_buf_init(&key, KEY_MAX + 3);
	if (key_of(secret, &key)) rc = jws_hmac(hg_buf_view(&key), text, digest);
	if (key.p) explicit_bzero(key.p, key.cap);
	hg_buf_free(&key);
	if (rc < 0) return rc;
	hg_buf_cstr(to, "v1,");
	base64_encode(to, (struct hg_str){(char *)digest, sizeof digest});
	return HG_OK;
}

enum hg_rc webhook_sign(const struct hg_str *secrets, uint32_t n, struct hg_str id, uint64_t unix_s,
        struct hg_str body, struct hg_buf *to)
{
	struct hg_buf text;
	enum hg_rc rc = n ? HG_OK : HG_E_INVALID;
	hg_buf_init(&text, SIGNED_MAX);
	hg_buf_str(&text, id);
	hg_buf_byte(&text, '.');
	hg_buf_u64(&text, unix_s);
	hg_buf_byte(&text, '.');
	hg_buf_str(&text, body);
	if (text.failed) rc = HG_E_NOMEM;
	for (uint32_t i = 0; rc == HG_OK && i < n; i++) {
		if (i) hg_buf_byte(to, ' ');
		rc = sign_one(secrets[i], hg_buf_view(&text), to);
	}
	hg_buf_free(&text);
	return rc == HG_OK && to->failed ? HG_E_NOMEM : rc;
}

static bool visible(struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f) return false;
	return true;
}

static bool name_ok(struct hg_str host)
{
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];
		bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		            (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';
		if (!good) return false;
	}
	return host.n > 0 && host.n <= 253 && host.p[0] != '.';
}

static bool port_ok(struct hg_str port)
{
	uint64_t n;
	return hg_str_u64(port, &n) && n >= 1 && n <= 65535;
}

/* "host", "host:80", "[::1]:80"; `ret_addr` when the host is an address. */
static bool authority_ok(struct hg_str a, bool *ret_is_addr, uint8_t ret_addr[16])
{
	struct hg_str host, port = HG_STR("");
	bool six = a.n && a.p[0] == '[';
	size_t end = six ? hg_str_find(a, ']') : hg_str_find(a, ':');
	if (six && end >= a.n) return false;
	host = six ? (struct hg_str){a.p + 1, end - 1} : (struct hg_str){a.p, HG_MIN(end, a.n)};
	if (six) end++;
	if (end < a.n) {
		if (a.p[end] != ':') return false;
		port = (struct hg_str){a.p + end + 1, a.n - end - 1};
		if (!port_ok(port)) return false;
	}
	*ret_is_addr = ip_parse(host, ret_addr);
	return *ret_is_addr ? six == (hg_str_find(host, ':') < host.n) : !six && name_ok(host);
}

enum hg_rc webhook_url_check(
        struct hg_str url, bool plain, const struct guard *g, struct hg_err *err)
{
	struct hg_str https = HG_STR("https://"), http = HG_STR("http://"), rest = url;
	uint8_t addr[16];
	bool is_addr = false;
	if (url.n >= WEBHOOK_URL_MAX)
		return hg_err_set(
		        err, HG_E_INVALID, "the url is longer than %u bytes", WEBHOOK_URL_MAX - 1);
	if (hg_str_starts(url, https))
		rest = (struct hg_str){url.p + https.n, url.n - https.n};
	else if (plain && hg_str_starts(url, http))
		rest = (struct hg_str){url.p + http.n, url.n - http.n};
	else
		return hg_err_set(err, HG_E_INVALID, "the url does not begin with https://");
	if (!visible(rest) || hg_str_find(rest, '#') < rest.n || hg_str_find(rest, '\\') < rest.n)
		return hg_err_set(err, HG_E_INVALID,
		        "the url has a space, a fragment, or a character that must be encoded");
	size_t n = 0;
	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	struct hg_str authority = {rest.p, n};
	if (hg_str_find(authority, '@') < n)
		return hg_err_set(err, HG_E_INVALID, "the url names a user, which is not sent");
	if (!authority_ok(authority, &is_addr, addr))
		return hg_err_set(err, HG_E_INVALID, "the url names no host");
	enum guard_class c = is_addr ? guard_judge(g, addr) : GUARD_PUBLIC;
	if (guard_lets(c)) return HG_OK;
	hg_err_set(err, HG_E_INVALID, "the url leads to a %s address", guard_class_name(c));
	hg_err_hint(err, "WEBHOOK_ALLOW names networks that are meant to be reached.");
	return HG_E_INVALID;
}

enum webhook_verdict webhook_judge(const struct fetch_answer *a)
{
	if (a->result != FETCH_ANSWERED) return WEBHOOK_FAIL;
	if (a->status == 410) return WEBHOOK_GONE;
	return a->status >= 200 && a->status <= 299 ? WEBHOOK_OK : WEBHOOK_FAIL;
}
