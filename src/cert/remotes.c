/* How replicas are spoken to by TLS, behind the certificates of a bundle. */
#include "cert/remotes_priv.h"

#include <stdlib.h>
#include <string.h>

struct text {
	uint32_t at, n; /* from the start of the block */
};

struct place {
	struct text app, ca, chain, key, name;
	uint32_t verify, allow_1_2;
};

struct block {
	uint32_t count, size;
};

/* ---- writing ---- */

/* Many apps trust the same authorities: their text is there once. */
static uint32_t same_ca(const struct cert_remote_conf *r, uint32_t i)
{
	for (uint32_t k = 0; k < i; k++) {
		struct hg_str a = r[k].conf.ca, b = r[i].conf.ca;
		if (a.n == b.n && (a.p == b.p || memcmp(a.p, b.p, a.n) == 0)) return k;
	}
	return i;
}

size_t cert_remotes_size(const struct cert_remote_conf *r, uint32_t n)
{
	size_t size = sizeof(struct block) + n * sizeof(struct place);
	for (uint32_t i = 0; i < n; i++) {
		const struct tls_remote_conf *c = &r[i].conf;
		size += r[i].app.n + c->chain.n + c->key.n + c->name.n;
		if (same_ca(r, i) == i) size += c->ca.n;
	}
	return (size + 7) / 8 * 8;
}

static struct text put(char *block, uint32_t *at, struct hg_str s)
{
	struct text t = {*at, (uint32_t)s.n};
	if (s.n) memcpy(block + t.at, s.p, s.n);
	*at += t.n;
	return t;
}

void cert_remotes_put(char *to, size_t size, const struct cert_remote_conf *r, uint32_t n)
{
	struct block *b = (struct block *)(void *)to;
	struct place *place = (struct place *)(void *)(b + 1);
	uint32_t at = (uint32_t)(sizeof *b + n * sizeof *place);
	*b = (struct block){n, (uint32_t)size};
	for (uint32_t i = 0; i < n; i++) {
		const struct tls_remote_conf *c = &r[i].conf;
		uint32_t k = same_ca(r, i);
		place[i] = (struct place){.app = put(to, &at, r[i].app),
		        .chain = put(to, &at, c->chain),
		        .key = put(to, &at, c->key),
		        .name = put(to, &at, c->name),
		        .verify = c->verify,
		        .allow_1_2 = c->allow_1_2};
		place[i].ca = k < i ? place[k].ca : put(to, &at, c->ca);
	}
	HG_ASSERT(at <= size);
}

/* ---- reading ---- */

static bool inside(const struct block *b, struct text t)
{
	return t.at <= b->size && t.n <= b->size - t.at;
}

static bool place_good(const struct block *b, const struct place *p)
{
	return inside(b, p->app) && inside(b, p->ca) && inside(b, p->chain) && inside(b, p->key) &&
	       inside(b, p->name);
}

static struct hg_str str(const char *block, struct text t)
{
	return (struct hg_str){block + t.at, t.n};
}

struct tls_remote *cert_remotes_find(const struct cert_remotes *r, struct hg_str app)
{
	for (uint32_t i = 0; r && i < r->count; i++)
		if (hg_str_eq(hg_str(r->one[i].app), app)) return r->one[i].remote;
	return NULL;
}

void cert_remotes_free(struct cert_remotes *r)
{
	for (uint32_t i = 0; r && i < r->count; i++) {
		free(r->one[i].app);
		tls_remote_unref(r->one[i].remote);
	}
	free(r);
}

/* The one of before if nothing has changed, so that its sessions go on. */
static enum hg_rc remote_make(const struct tls_remote_conf *conf, struct tls_remote *old,
        struct tls_remote *like, struct tls_remote **ret, char why[TLS_WHY_MAX])
{
	if (old && tls_remote_is(old, conf)) {
		*ret = tls_remote_ref(old);
		return HG_OK;
	}
	return tls_remote_new(conf, like ? like : old, ret, why);
}

enum hg_rc cert_remotes_read(const char *block, size_t size, const struct cert_remotes *old,
        struct cert_remotes **ret_remotes, char why[TLS_WHY_MAX])
{
	const struct block *b = (const struct block *)(const void *)block;
	*ret_remotes = NULL;
	if (size < sizeof *b || b->size < sizeof *b || b->size > size ||
	        b->count > CERT_REMOTES_MAX ||
	        b->count > (b->size - sizeof *b) / sizeof(struct place))
		return HG_E_INVALID;
	if (b->count == 0) return HG_OK;
	const struct place *place = (const struct place *)(const void *)(b + 1);
	struct cert_remotes *r = calloc(1, sizeof *r + b->count * sizeof *r->one);
	if (!r) return HG_E_NOMEM;
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < b->count && rc == HG_OK; i++) {
		const struct place *p = &place[i];
		struct tls_remote *like = NULL;
		if (!place_good(b, p)) {
			rc = HG_E_INVALID;
			break;
		}
		for (uint32_t k = 0; k < i && !like; k++)
			if (place[k].ca.at == p->ca.at && place[k].verify) like = r->one[k].remote;
		struct tls_remote_conf conf = {.ca = str(block, p->ca),
		        .chain = str(block, p->chain),
		        .key = str(block, p->key),
		        .name = str(block, p->name),
		        .verify = p->verify != 0,
		        .allow_1_2 = p->allow_1_2 != 0};
		struct cert_remote *to = &r->one[r->count++];
		to->app = strndup(block + p->app.at, p->app.n);
		rc = to->app ? remote_make(&conf, cert_remotes_find(old, str(block, p->app)), like,
		                       &to->remote, why)
		             : HG_E_NOMEM;
	}
	if (rc == HG_OK)
		*ret_remotes = r;
	else
		cert_remotes_free(r);
	return rc;
}
