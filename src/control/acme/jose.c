/* Requests of an ACME account: flattened JSON Web Signatures (RFC 7515 section 7.2.2). */
#include <string.h>

#include "control/acme/acme_priv.h"
#include "wire/base64.h"
#include "wire/json.h"

#define PART_MAX (1u << 20)

static struct hg_str bytes(const unsigned char *p, size_t n)
{
	return (struct hg_str){(const char *)p, n};
}

/* Members in this order: the thumbprint is of these bytes (RFC 7638 section 3). */
static enum hg_rc jwk_write(const struct jws_key *key, struct hg_buf *to)
{
	unsigned char x[32], y[32];
	enum hg_rc rc = jws_key_point(key, x, y);
	if (rc < 0) return rc;
	hg_buf_cstr(to, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
	base64url_encode(to, bytes(x, sizeof x));
	hg_buf_cstr(to, "\",\"y\":\"");
	base64url_encode(to, bytes(y, sizeof y));
	hg_buf_cstr(to, "\"}");
	return to->failed ? HG_E_NOMEM : HG_OK;
}

enum hg_rc acme_thumbprint(const struct jws_key *key, char ret_text[ACME_THUMB_MAX])
{
	unsigned char digest[JWS_DIGEST];
	struct hg_buf jwk, text;
	hg_buf_init(&jwk, PART_MAX);
	hg_buf_init(&text, PART_MAX);
	enum hg_rc rc = jwk_write(key, &jwk);
	if (rc == HG_OK) rc = jws_sha256(hg_buf_view(&jwk), digest);
	if (rc == HG_OK) base64url_encode(&text, bytes(digest, sizeof digest));
	if (rc == HG_OK && !hg_str_copy(hg_buf_view(&text), ret_text, ACME_THUMB_MAX))
		rc = HG_E_NOMEM;
	hg_buf_free(&jwk);
	hg_buf_free(&text);
	return rc;
}

/* protected and payload are JSON; `sign` gets "protected.payload" and writes the signature. */
static enum hg_rc flatten(struct hg_str protected, struct hg_str payload,
        enum hg_rc (*sign)(const void *key, struct hg_str input, unsigned char *to, size_t *n),
        const void *key, struct hg_buf *to)
{
	unsigned char signature[JWS_SIGNATURE];
	struct hg_buf input;
	size_t n;
	hg_buf_init(&input, PART_MAX);
	base64url_encode(&input, protected);
	size_t first = input.n;
	hg_buf_byte(&input, '.');
	base64url_encode(&input, payload);
	enum hg_rc rc = input.failed ? HG_E_NOMEM : sign(key, hg_buf_view(&input), signature, &n);
	if (rc == HG_OK) {
		hg_buf_cstr(to, "{\"protected\":\"");
		hg_buf_str(to, (struct hg_str){input.p, first});
		hg_buf_cstr(to, "\",\"payload\":\"");
		hg_buf_str(to, (struct hg_str){input.p + first + 1, input.n - first - 1});
		hg_buf_cstr(to, "\",\"signature\":\"");
		base64url_encode(to, bytes(signature, n));
		hg_buf_cstr(to, "\"}");
		if (to->failed) rc = HG_E_NOMEM;
	}
	hg_buf_free(&input);
	return rc;
}

static enum hg_rc sign_account(
        const void *key, struct hg_str input, unsigned char *to, size_t *ret_n)
{
	*ret_n = JWS_SIGNATURE;
	return jws_sign(key, input, to);
}

static enum hg_rc sign_mac(const void *key, struct hg_str input, unsigned char *to, size_t *ret_n)
{
	*ret_n = JWS_DIGEST;
	return jws_hmac(*(const struct hg_str *)key, input, to);
}

enum hg_rc acme_request_sign(const struct jws_key *key, const char *account, const char *nonce,
        const char *url, struct hg_str payload, struct hg_buf *to)
{
	struct hg_buf head;
	struct json_out j;
	enum hg_rc rc = HG_OK;
	hg_buf_init(&head, PART_MAX);
	json_out_init(&j, &head);
	json_out_object(&j);
	json_out_key(&j, "alg");
	json_out_cstr(&j, "ES256");
	if (account) {
		json_out_key(&j, "kid");
		json_out_cstr(&j, account);
	} else {
		struct hg_buf jwk;
		hg_buf_init(&jwk, PART_MAX);
		rc = jwk_write(key, &jwk);
		json_out_key(&j, "jwk");
		json_out_raw(&j, rc == HG_OK ? hg_buf_view(&jwk) : HG_STR("null"));
		hg_buf_free(&jwk);
	}
	json_out_key(&j, "nonce");
	json_out_cstr(&j, nonce);
	json_out_key(&j, "url");
	json_out_cstr(&j, url);
	json_out_end(&j);
	if (rc == HG_OK && !json_out_ok(&j)) rc = HG_E_NOMEM;
	if (rc == HG_OK) rc = flatten(hg_buf_view(&head), payload, sign_account, key, to);
	hg_buf_free(&head);
	return rc;
}

/* RFC 8555 section 7.3.4. */
static enum hg_rc eab_write(const struct jws_key *key, const char *url, struct hg_str kid,
        struct hg_str hmac, struct hg_buf *to)
{
	struct hg_buf head, jwk;
	struct json_out j;
	hg_buf_init(&head, PART_MAX);
	hg_buf_init(&jwk, PART_MAX);
	json_out_init(&j, &head);
	json_out_object(&j);
	json_out_key(&j, "alg");
	json_out_cstr(&j, "HS256");
	json_out_key(&j, "kid");
	json_out_str(&j, kid);
	json_out_key(&j, "url");
	json_out_cstr(&j, url);
	json_out_end(&j);
	enum hg_rc rc = json_out_ok(&j) ? jwk_write(key, &jwk) : HG_E_NOMEM;
	if (rc == HG_OK) rc = flatten(hg_buf_view(&head), hg_buf_view(&jwk), sign_mac, &hmac, to);
	hg_buf_free(&head);
	hg_buf_free(&jwk);
	return rc;
}

enum hg_rc acme_account_payload(const struct jws_key *key, const char *url,
        const struct acme_conf *conf, bool eab, struct hg_buf *to)
{
	struct json_out j;
	enum hg_rc rc = HG_OK;
	json_out_init(&j, to);
	json_out_object(&j);
	json_out_key(&j, "termsOfServiceAgreed");
	json_out_bool(&j, true);
	if (conf->email[0]) {
		char contact[320];
		struct hg_out o = hg_out_over(contact, sizeof contact - 1);
		hg_out_cstr(&o, "mailto:");
		hg_out_cstr(&o, conf->email);
		json_out_key(&j, "contact");
		json_out_array(&j);
		json_out_str(&j, (struct hg_str){contact, o.n});
		json_out_end(&j);
	}
	if (eab) {
		struct hg_buf mac, inner;
		hg_buf_init(&mac, PART_MAX);
		hg_buf_init(&inner, PART_MAX);
		if (!base64url_decode(&mac, hg_str(conf->hmac))) rc = HG_E_INVALID;
		if (rc == HG_OK)
			rc = eab_write(key, url, hg_str(conf->kid), hg_buf_view(&mac), &inner);
		json_out_key(&j, "externalAccountBinding");
		json_out_raw(&j, rc == HG_OK ? hg_buf_view(&inner) : HG_STR("null"));
		if (mac.p) explicit_bzero(mac.p, mac.n);
		hg_buf_free(&mac);
		hg_buf_free(&inner);
	}
	json_out_end(&j);
	return rc == HG_OK && !json_out_ok(&j) ? HG_E_NOMEM : rc;
}

enum hg_rc acme_order_payload(const struct acme_cert *c, const char *replaces, struct hg_buf *to)
{
	struct json_out j;
	json_out_init(&j, to);
	json_out_object(&j);
	json_out_key(&j, "identifiers");
	json_out_array(&j);
	for (uint32_t i = 0; i < c->name_count; i++) {
		json_out_object(&j);
		json_out_key(&j, "type");
		json_out_cstr(&j, "dns");
		json_out_key(&j, "value");
		json_out_cstr(&j, c->names[i]);
		json_out_end(&j);
	}
	json_out_end(&j);
	if (replaces[0]) {
		json_out_key(&j, "replaces");
		json_out_cstr(&j, replaces);
	}
	json_out_end(&j);
	return json_out_ok(&j) ? HG_OK : HG_E_NOMEM;
}

enum hg_rc acme_finalize_payload(
        const struct acme_cert *c, struct hg_str key_pem, struct hg_buf *to, char why[TLS_WHY_MAX])
{
	struct hg_str names[ACME_NAMES_MAX];
	struct hg_buf der;
	hg_buf_init(&der, PART_MAX);
	for (uint32_t i = 0; i < c->name_count; i++)
		names[i] = hg_str(c->names[i]);
	enum hg_rc rc = tls_request_make(key_pem, names, c->name_count, &der, why);
	if (rc == HG_OK) {
		hg_buf_cstr(to, "{\"csr\":\"");
		base64url_encode(to, hg_buf_view(&der));
		hg_buf_cstr(to, "\"}");
		if (to->failed) rc = HG_E_NOMEM;
	}
	hg_buf_free(&der);
	return rc;
}

void acme_renewal_id(struct hg_str chain, char ret_id[ACME_ID_MAX])
{
	unsigned char authority[40], serial[40];
	size_t authority_n, serial_n;
	struct hg_buf text;
	ret_id[0] = 0;
	hg_buf_init(&text, PART_MAX);
	if (tls_leaf_id(chain, authority, &authority_n, serial, &serial_n, sizeof serial) ==
	        HG_OK) {
		base64url_encode(&text, bytes(authority, authority_n));
		hg_buf_byte(&text, '.');
		base64url_encode(&text, bytes(serial, serial_n));
		if (!hg_str_copy(hg_buf_view(&text), ret_id, ACME_ID_MAX)) ret_id[0] = 0;
	}
	hg_buf_free(&text);
}
