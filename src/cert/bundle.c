/* The memfd with certificates and keys. */
#include "cert/remotes_priv.h"

#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>

#include "os/shm.h"

#define MAGIC 0xce470004u

struct place {
	uint32_t chain_at, chain_n, key_at, key_n;
};

/* Behind it: the tokens, what is said of replicas (remotes.c), `count` + `challenge_count` places,
 * then the texts, the last of which is that about identities. */
struct head {
	uint32_t magic, size, allow_1_2, count, challenge_count, token_count, ticket_count,
	        remotes_size, identities_size;
	uint32_t pad;
	uint64_t generation;
	struct tls_ticket_key tickets[TLS_TICKETS_MAX];
};

static uint32_t put(char *to, uint32_t *at, struct hg_str s)
{
	uint32_t was = *at;
	memcpy(to + was, s.p, s.n);
	*at += (uint32_t)s.n;
	return was;
}

static size_t texts_size(const struct tls_pem *pem, uint32_t n)
{
	size_t size = 0;
	for (uint32_t i = 0; i < n; i++)
		size += pem[i].chain.n + pem[i].key.n;
	return size;
}

static void texts_put(
        char *p, uint32_t *at, struct place *place, const struct tls_pem *pem, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		place[i].chain_n = (uint32_t)pem[i].chain.n;
		place[i].chain_at = put(p, at, pem[i].chain);
		place[i].key_n = (uint32_t)pem[i].key.n;
		place[i].key_at = put(p, at, pem[i].key);
	}
}

static void fill(char *p, size_t size, size_t remotes, const struct tls_conf *conf,
        const struct cert_extra *extra)
{
	struct head *h = (struct head *)(void *)p;
	*h = (struct head){.magic = MAGIC,
	        .size = (uint32_t)size,
	        .allow_1_2 = conf->allow_1_2,
	        .count = conf->pem_count,
	        .challenge_count = conf->challenge_count,
	        .token_count = extra->token_count,
	        .generation = extra->generation,
	        .remotes_size = (uint32_t)remotes,
	        .identities_size = (uint32_t)extra->identities.n,
	        .ticket_count = HG_MIN(conf->ticket_count, (uint32_t)TLS_TICKETS_MAX)};
	if (h->ticket_count)
		memcpy(h->tickets, conf->tickets, h->ticket_count * sizeof *h->tickets);
	struct cert_token *tokens = (struct cert_token *)(void *)(h + 1);
	if (extra->token_count) memcpy(tokens, extra->tokens, extra->token_count * sizeof *tokens);
	char *block = (char *)(tokens + extra->token_count);
	cert_remotes_put(block, remotes, extra->remotes, extra->remote_count);
	struct place *place = (struct place *)(void *)(block + remotes);
	uint32_t at = (uint32_t)((char *)(place + conf->pem_count + conf->challenge_count) - p);
	texts_put(p, &at, place, conf->pem, conf->pem_count);
	texts_put(p, &at, place + conf->pem_count, conf->challenge, conf->challenge_count);
	if (extra->identities.n) put(p, &at, extra->identities);
	HG_ASSERT(at == size);
}

enum hg_rc cert_bundle_make(const struct tls_conf *conf, const struct cert_extra *extra,
        int *ret_fd, struct hg_err *err)
{
	uint32_t places = conf->pem_count + conf->challenge_count;
	size_t remotes = cert_remotes_size(extra->remotes, extra->remote_count);
	size_t size = sizeof(struct head) + remotes +
	              extra->token_count * sizeof(struct cert_token) +
	              places * sizeof(struct place) + texts_size(conf->pem, conf->pem_count) +
	              texts_size(conf->challenge, conf->challenge_count) + extra->identities.n;
	HG_ASSERT(
	        extra->token_count <= CERT_TOKENS_MAX && conf->challenge_count <= CERT_TOKENS_MAX);
	if (conf->pem_count > CERT_MAX || extra->remote_count > CERT_REMOTES_MAX ||
	        size > CERT_TOTAL_MAX) {
		return hg_err_set(err, HG_E_TOO_LARGE,
		        "there are more than %u certificates, or more than %u MiB of them",
		        CERT_MAX, CERT_TOTAL_MAX >> 20);
	}
	char *p = calloc(1, size);
	if (!p) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	fill(p, size, remotes, conf, extra);
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

static bool head_good(const struct head *h, size_t size)
{
	if (size < sizeof *h || h->magic != MAGIC || h->size != size || h->count > CERT_MAX ||
	        h->challenge_count > CERT_TOKENS_MAX || h->token_count > CERT_TOKENS_MAX ||
	        h->ticket_count > TLS_TICKETS_MAX || h->remotes_size % 8 ||
	        h->remotes_size > CERT_TOTAL_MAX)
		return false;
	size_t fixed = h->remotes_size + h->token_count * sizeof(struct cert_token) +
	               (h->count + h->challenge_count) * sizeof(struct place);
	return inside(h, sizeof *h, (uint32_t)fixed) &&
	       h->identities_size <= h->size - sizeof *h - fixed;
}

/* A copy with every text ended, whatever the bundle says. */
static enum hg_rc tokens_read(
        const struct head *h, const struct cert_token *from, struct cert_opened *to)
{
	if (h->token_count == 0) return HG_OK;
	to->tokens = malloc(h->token_count * sizeof *from);
	if (!to->tokens) return HG_E_NOMEM;
	memcpy(to->tokens, from, h->token_count * sizeof *from);
	to->token_count = h->token_count;
	for (uint32_t i = 0; i < to->token_count; i++) {
		to->tokens[i].token[sizeof to->tokens[i].token - 1] = 0;
		to->tokens[i].answer[sizeof to->tokens[i].answer - 1] = 0;
	}
	return HG_OK;
}

static enum hg_rc bundle_read(
        const char *p, size_t size, const char *alpn, struct cert_opened *to, char why[TLS_WHY_MAX])
{
	const struct head *h = (const struct head *)(const void *)p;
	if (!head_good(h, size)) return HG_E_INVALID;
	const struct cert_token *tokens = (const struct cert_token *)(const void *)(h + 1);
	const struct place *place =
	        (const struct place *)(const void *)((const char *)(tokens + h->token_count) +
	                                             h->remotes_size);
	uint32_t n = h->count + h->challenge_count;
	struct tls_pem *pem = calloc(n + 1, sizeof *pem);
	if (!pem) return HG_E_NOMEM;
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < n && rc == HG_OK; i++) {
		struct place at = place[i];
		if (!inside(h, at.chain_at, at.chain_n) || !inside(h, at.key_at, at.key_n))
			rc = HG_E_INVALID;
		pem[i] = (struct tls_pem){{p + at.chain_at, at.chain_n}, {p + at.key_at, at.key_n}};
	}
	struct tls_conf conf = {.pem = pem,
	        .pem_count = h->count,
	        .challenge = pem + h->count,
	        .challenge_count = h->challenge_count,
	        .allow_1_2 = h->allow_1_2 != 0,
	        .tickets = h->tickets,
	        .ticket_count = h->ticket_count,
	        .alpn = alpn};
	if (rc == HG_OK) rc = tokens_read(h, tokens, to);
	/* Without HTTPS there are none, and replicas may speak TLS all the same. */
	if (rc == HG_OK && n) rc = tls_keyring_new(&conf, &to->keyring, why);
	to->generation = h->generation;
	free(pem);
	return rc;
}

enum hg_rc cert_bundle_remotes(int fd, const struct cert_remotes *old,
        struct cert_remotes **ret_remotes, char why[TLS_WHY_MAX])
{
	int64_t size = shm_size(fd);
	snprintf(why, TLS_WHY_MAX, "it is not a whole bundle");
	if (size <= 0 || size > CERT_TOTAL_MAX || !shm_is_sealed(fd)) return HG_E_INVALID;
	void *p = shm_map(fd, (size_t)size, false);
	if (!p) return HG_E_NOMEM;
	const struct head *h = p;
	enum hg_rc rc = HG_E_INVALID;
	if (head_good(h, (size_t)size)) {
		const struct cert_token *tokens = (const struct cert_token *)(const void *)(h + 1);
		const char *block = (const char *)(tokens + h->token_count);
		rc = cert_remotes_read(block, h->remotes_size, old, ret_remotes, why);
	}
	shm_unmap(p, (size_t)size);
	return rc;
}

enum hg_rc cert_bundle_identities(int fd, char **ret_text, size_t *ret_n)
{
	int64_t size = shm_size(fd);
	if (size <= 0 || size > CERT_TOTAL_MAX || !shm_is_sealed(fd)) return HG_E_INVALID;
	void *p = shm_map(fd, (size_t)size, false);
	if (!p) return HG_E_NOMEM;
	const struct head *h = p;
	enum hg_rc rc = head_good(h, (size_t)size) ? HG_OK : HG_E_INVALID;
	*ret_text = NULL;
	*ret_n = rc == HG_OK ? h->identities_size : 0;
	if (*ret_n) {
		*ret_text = malloc(*ret_n);
		if (*ret_text)
			memcpy(*ret_text, (const char *)p + h->size - *ret_n, *ret_n);
		else
			rc = HG_E_NOMEM;
	}
	shm_unmap(p, (size_t)size);
	return rc;
}

enum hg_rc cert_bundle_open(
        int fd, const char *alpn, struct cert_opened *ret_opened, char why[TLS_WHY_MAX])
{
	struct cert_opened to = {0};
	int64_t size = shm_size(fd);
	snprintf(why, TLS_WHY_MAX, "it is not a whole bundle");
	if (size <= 0 || size > CERT_TOTAL_MAX || !shm_is_sealed(fd)) return HG_E_INVALID;
	void *p = shm_map(fd, (size_t)size, false);
	if (!p) return HG_E_NOMEM;
	enum hg_rc rc = bundle_read(p, (size_t)size, alpn, &to, why);
	shm_unmap(p, (size_t)size);
	if (rc < 0)
		free(to.tokens);
	else
		*ret_opened = to;
	return rc;
}

const char *cert_token_answer(const struct cert_token *tokens, uint32_t n, struct hg_str token)
{
	for (uint32_t i = 0; i < n; i++)
		if (hg_str_eq(hg_str(tokens[i].token), token)) return tokens[i].answer;
	return NULL;
}
