/* The memfd with certificates and keys. */
#include "cert/cert.h"

#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>

#include "os/shm.h"

#define MAGIC 0xce470001u

struct place {
	uint32_t chain_at, chain_n, key_at, key_n;
};

/* Behind it: `count` places, then the texts. */
struct head {
	uint32_t magic, size, allow_1_2, count, ticket_count;
	struct tls_ticket_key tickets[TLS_TICKETS_MAX];
};

static uint32_t put(char *to, uint32_t *at, struct hg_str s)
{
	uint32_t was = *at;
	memcpy(to + was, s.p, s.n);
	*at += (uint32_t)s.n;
	return was;
}

enum hg_rc cert_bundle_make(const struct tls_conf *conf, int *ret_fd, struct hg_err *err)
{
	size_t size = sizeof(struct head) + conf->pem_count * sizeof(struct place);
	for (uint32_t i = 0; i < conf->pem_count; i++)
		size += conf->pem[i].chain.n + conf->pem[i].key.n;
	if (conf->pem_count > CERT_MAX || size > CERT_TOTAL_MAX) {
		return hg_err_set(err, HG_E_TOO_LARGE,
		        "there are more than %u certificates, or more than %u MiB of them",
		        CERT_MAX, CERT_TOTAL_MAX >> 20);
	}
	char *p = calloc(1, size);
	if (!p) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	struct head *h = (struct head *)(void *)p;
	struct place *place = (struct place *)(void *)(h + 1);
	uint32_t at = (uint32_t)(sizeof *h + conf->pem_count * sizeof *place);
	*h = (struct head){.magic = MAGIC,
	        .size = (uint32_t)size,
	        .allow_1_2 = conf->allow_1_2,
	        .count = conf->pem_count,
	        .ticket_count = HG_MIN(conf->ticket_count, (uint32_t)TLS_TICKETS_MAX)};
	if (h->ticket_count)
		memcpy(h->tickets, conf->tickets, h->ticket_count * sizeof *h->tickets);
	for (uint32_t i = 0; i < conf->pem_count; i++) {
		const struct tls_pem *pem = &conf->pem[i];
		place[i].chain_n = (uint32_t)pem->chain.n;
		place[i].chain_at = put(p, &at, pem->chain);
		place[i].key_n = (uint32_t)pem->key.n;
		place[i].key_at = put(p, &at, pem->key);
	}
	int fd = shm_sealed("headgate-certs", (struct hg_str){p, size});
	explicit_bzero(p, size);
	free(p);
	if (fd < 0) {
		return hg_err_set(
		        err, HG_E_IO, "could not pass on the certificates: %s", strerror(-fd));
	}
	*ret_fd = fd;
	return HG_OK;
}

static bool inside(const struct head *h, uint32_t at, uint32_t n)
{
	return at <= h->size && n <= h->size - at;
}

static enum hg_rc bundle_read(const char *p, size_t size, const char *alpn,
        struct tls_keyring **ret_keyring, char why[TLS_WHY_MAX])
{
	const struct head *h = (const struct head *)(const void *)p;
	const struct place *place = (const struct place *)(const void *)(h + 1);
	if (size < sizeof *h || h->magic != MAGIC || h->size != size || h->count > CERT_MAX ||
	        h->ticket_count > TLS_TICKETS_MAX ||
	        !inside(h, sizeof *h, (uint32_t)(h->count * sizeof *place))) {
		return HG_E_INVALID;
	}
	struct tls_pem *pem = calloc(h->count + 1, sizeof *pem);
	if (!pem) return HG_E_NOMEM;
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < h->count && rc == HG_OK; i++) {
		struct place at = place[i];
		if (!inside(h, at.chain_at, at.chain_n) || !inside(h, at.key_at, at.key_n))
			rc = HG_E_INVALID;
		pem[i] = (struct tls_pem){{p + at.chain_at, at.chain_n}, {p + at.key_at, at.key_n}};
	}
	struct tls_conf conf = {.pem = pem,
	        .pem_count = h->count,
	        .allow_1_2 = h->allow_1_2 != 0,
	        .tickets = h->tickets,
	        .ticket_count = h->ticket_count,
	        .alpn = alpn};
	if (rc == HG_OK) rc = tls_keyring_new(&conf, ret_keyring, why);
	free(pem);
	return rc;
}

enum hg_rc cert_bundle_open(
        int fd, const char *alpn, struct tls_keyring **ret_keyring, char why[TLS_WHY_MAX])
{
	int64_t size = shm_size(fd);
	snprintf(why, TLS_WHY_MAX, "it is not a whole bundle");
	if (size <= 0 || size > CERT_TOTAL_MAX || !shm_is_sealed(fd)) return HG_E_INVALID;
	void *p = shm_map(fd, (size_t)size, false);
	if (!p) return HG_E_NOMEM;
	enum hg_rc rc = bundle_read(p, (size_t)size, alpn, ret_keyring, why);
	shm_unmap(p, (size_t)size);
	return rc;
}
