/* Certificates that come from elsewhere, challenges, and the stand-in for the time before both. */
#include <stdlib.h>
#include <string.h>

#include "control/cert/certs_priv.h"
#include "meter/meter.h"
#include "os/tls_make.h"

#define STAND_IN_S (10LL * 365 * 86400)

enum hg_rc certs_texts_copy(const struct certs_other *from, struct cert_texts *to)
{
	*to = (struct cert_texts){.chain_n = from->chain.n, .key_n = from->key.n};
	to->chain = strndup(from->chain.p, from->chain.n);
	to->key = strndup(from->key.p, from->key.n);
	if (to->chain && to->key) return HG_OK;
	cert_texts_free(to);
	return HG_E_NOMEM;
}

static void others_free(struct certs_one *list, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		cert_texts_free(&list[i].texts);
		free(list[i].cert);
	}
	free(list);
}

static void alpn_free(struct certs *c)
{
	for (uint32_t i = 0; i < c->alpn_count; i++)
		cert_texts_free(&c->alpn[i]);
	free(c->alpn);
	free(c->tokens);
	c->alpn = NULL;
	c->tokens = NULL;
	c->alpn_count = c->token_count = 0;
}

void certs_more_free(struct certs *c)
{
	others_free(c->other, c->other_count);
	c->other = NULL;
	c->other_count = 0;
	alpn_free(c);
	cert_texts_free(&c->stand_in);
}

/* What was said of an expiry is not said again for the same certificate. */
static uint8_t warned_before(const struct certs *c, const struct certs_other *o)
{
	for (uint32_t i = 0; i < c->other_count; i++) {
		const struct cert_texts *t = &c->other[i].texts;
		if (hg_str_eq((struct hg_str){t->chain, t->chain_n}, o->chain))
			return c->other[i].warned;
	}
	return 0;
}

enum hg_rc certs_others_set(
        struct certs *c, const struct certs_other *others, uint32_t n, struct hg_err *err)
{
	char why[TLS_WHY_MAX];
	struct certs_one *list = calloc(n + 1, sizeof *list);
	enum hg_rc rc = list ? HG_OK : hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	for (uint32_t i = 0; list && i < n && rc == HG_OK; i++) {
		struct tls_pem pem = {others[i].chain, others[i].key};
		rc = certs_texts_copy(&others[i], &list[i].texts);
		list[i].cert = strdup("acme");
		list[i].other = true;
		list[i].warned = warned_before(c, &others[i]);
		if (rc < 0 || !list[i].cert) {
			rc = hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
		} else if (tls_pem_check(&pem, &list[i].is, why) < 0) {
			rc = hg_err_set(
			        err, HG_E_CERT_FILE, "could not use a certificate: %s", why);
		}
	}
	if (rc < 0) {
		others_free(list, list ? n : 0);
		return rc;
	}
	others_free(c->other, c->other_count);
	c->other = list;
	c->other_count = n;
	return HG_OK;
}

enum hg_rc certs_challenges_set(struct certs *c, const struct cert_token *tokens,
        uint32_t token_count, const struct certs_other *alpn, uint32_t alpn_count,
        struct hg_err *err)
{
	HG_ASSERT(token_count <= CERT_TOKENS_MAX && alpn_count <= CERT_TOKENS_MAX);
	alpn_free(c);
	c->tokens = calloc(token_count + 1, sizeof *c->tokens);
	c->alpn = calloc(alpn_count + 1, sizeof *c->alpn);
	enum hg_rc rc = c->tokens && c->alpn ? HG_OK : HG_E_NOMEM;
	if (rc == HG_OK && token_count) {
		memcpy(c->tokens, tokens, token_count * sizeof *tokens);
		c->token_count = token_count;
	}
	for (uint32_t i = 0; i < alpn_count && rc == HG_OK; i++) {
		rc = certs_texts_copy(&alpn[i], &c->alpn[i]);
		if (rc == HG_OK) c->alpn_count++;
	}
	if (rc == HG_OK) return HG_OK;
	alpn_free(c);
	return hg_err_set(err, rc, "memory is exhausted");
}

enum hg_rc certs_stand_in(struct certs *c, struct hg_err *err)
{
	char why[TLS_WHY_MAX];
	struct hg_buf key, chain;
	int64_t now_s = (int64_t)(c->o.wall_ms() / 1000);
	struct tls_self self = {.common_name = "Headgate has no certificate for this name yet",
	        .from_s = now_s - 3600,
	        .until_s = now_s + STAND_IN_S};
	if (c->stand_in.chain) return HG_OK;
	hg_buf_init(&key, CERT_FILE_MAX);
	hg_buf_init(&chain, CERT_FILE_MAX);
	enum hg_rc rc = tls_key_make(&key);
	if (rc == HG_OK) rc = tls_self_make(hg_buf_view(&key), &self, &chain, why);
	if (rc == HG_OK) {
		struct certs_other o = {hg_buf_view(&chain), hg_buf_view(&key)};
		rc = certs_texts_copy(&o, &c->stand_in);
	}
	if (key.p) explicit_bzero(key.p, key.n);
	hg_buf_free(&key);
	hg_buf_free(&chain);
	return rc < 0 ? hg_err_set(err, rc, "could not make a certificate to stand in") : HG_OK;
}

bool certs_placeholder(const struct certs *c)
{
	return c->now && !c->now->off && c->stands_in;
}

bool certs_plan_covers(const struct certs_plan *p, struct hg_str host)
{
	for (uint32_t i = 0; i < p->count; i++)
		if (tls_cert_covers(&p->one[i].is, host)) return true;
	return false;
}

uint64_t certs_acknowledged(const struct meter *m)
{
	uint64_t most = 0;
	for (uint32_t w = 0; m && w < m->worker_count; w++)
		most = HG_MAX(
		        most, atomic_load_explicit(&m->worker[w].certs_ack, memory_order_acquire));
	return most;
}

bool certs_taken(const struct certs *c, uint64_t generation)
{
	return !c->o.meter || !meter_behind(c->o.meter, 0, generation);
}
