/* Verified tokens by their hash: sets of four places, the longest unused of which goes. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "auth/identity.h"

#define WAYS 4u

struct place {
	uint8_t digest[AUTH_DIGEST];
	struct auth_identity *id; /* NULL: free */
	uint64_t used;
};

struct auth_seen {
	EVP_MD *sha256;
	EVP_MD_CTX *md;
	uint64_t clock; /* counts uses */
	uint32_t sets, count;
	struct place place[];
};

enum hg_rc auth_seen_new(uint32_t places, struct auth_seen **ret_seen)
{
	HG_ASSERT(places >= WAYS && (places & (places - 1)) == 0);
	struct auth_seen *s = calloc(1, sizeof *s + places * sizeof s->place[0]);
	if (!s) return HG_E_NOMEM;
	s->sets = places / WAYS;
	s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	s->md = EVP_MD_CTX_new();
	if (!s->sha256 || !s->md) {
		auth_seen_free(s);
		return HG_E_NOMEM;
	}
	*ret_seen = s;
	return HG_OK;
}

void auth_seen_clear(struct auth_seen *s)
{
	for (uint32_t i = 0; i < s->sets * WAYS; i++) {
		auth_identity_unref(s->place[i].id);
		s->place[i].id = NULL;
	}
	s->count = 0;
}

void auth_seen_free(struct auth_seen *s)
{
	if (!s) return;
	auth_seen_clear(s);
	EVP_MD_CTX_free(s->md);
	EVP_MD_free(s->sha256);
	free(s);
}

bool auth_seen_digest(struct auth_seen *s, struct hg_str token, uint8_t ret_digest[AUTH_DIGEST])
{
	unsigned n = 0;
	return EVP_DigestInit_ex2(s->md, s->sha256, NULL) == 1 &&
	       EVP_DigestUpdate(s->md, token.p, token.n) == 1 &&
	       EVP_DigestFinal_ex(s->md, ret_digest, &n) == 1 && n == AUTH_DIGEST;
}

static struct place *set_of(struct auth_seen *s, const uint8_t digest[AUTH_DIGEST])
{
	uint32_t k;
	memcpy(&k, digest, sizeof k);
	return &s->place[(k & (s->sets - 1)) * WAYS];
}

static void place_free(struct auth_seen *s, struct place *p)
{
	auth_identity_unref(p->id);
	p->id = NULL;
	s->count--;
}

struct auth_identity *auth_seen_find(
        struct auth_seen *s, const uint8_t digest[AUTH_DIGEST], int64_t now_s)
{
	struct place *set = set_of(s, digest);
	for (uint32_t i = 0; i < WAYS; i++) {
		if (!set[i].id || memcmp(set[i].digest, digest, AUTH_DIGEST) != 0) continue;
		if (now_s >= set[i].id->until_s) {
			place_free(s, &set[i]);
			return NULL;
		}
		set[i].used = ++s->clock;
		return set[i].id;
	}
	return NULL;
}

void auth_seen_put(struct auth_seen *s, const uint8_t digest[AUTH_DIGEST], struct auth_identity *id)
{
	struct place *set = set_of(s, digest), *to = NULL;
	for (uint32_t i = 0; i < WAYS; i++) {
		struct place *p = &set[i];
		if (p->id && memcmp(p->digest, digest, AUTH_DIGEST) == 0) {
			to = p;
			break;
		}
		if (!to || (to->id && (!p->id || p->used < to->used))) to = p;
	}
	if (to->id) place_free(s, to);
	memcpy(to->digest, digest, AUTH_DIGEST);
	to->id = auth_identity_ref(id);
	to->used = ++s->clock;
	s->count++;
}

uint32_t auth_seen_count(const struct auth_seen *s)
{
	return s->count;
}
