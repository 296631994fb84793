#include "apps/feedback/seen_priv.h"

#include <stdlib.h>

#define WAYS 4u

struct seen {
	struct place {
		unsigned char hash[SEEN_HASH];
		uint64_t until_ms; /* 0: free */
		struct seen_who who;
	} place[SEEN_PLACES];
};

enum hg_rc seen_new(struct seen **ret_seen)
{
	*ret_seen = calloc(1, sizeof **ret_seen); /* memory is touched only as it is used */
	return *ret_seen ? HG_OK : HG_E_NOMEM;
}

void seen_free(struct seen *s)
{
	free(s);
}

/* Hashes are SHA-256 of what nobody else could choose: their first bytes are as good as any. */
static size_t first_of(const unsigned char hash[SEEN_HASH])
{
	uint32_t n;
	memcpy(&n, hash, sizeof n);
	return n % (SEEN_PLACES / WAYS) * WAYS;
}

static bool is(const struct place *p, const unsigned char hash[SEEN_HASH])
{
	return p->until_ms && memcmp(p->hash, hash, SEEN_HASH) == 0;
}

const struct seen_who *seen_find(
        const struct seen *s, const unsigned char hash[SEEN_HASH], uint64_t now_ms)
{
	const struct place *p = &s->place[first_of(hash)];
	for (size_t i = 0; i < WAYS; i++)
		if (is(&p[i], hash)) return now_ms < p[i].until_ms ? &p[i].who : NULL;
	return NULL;
}

void seen_put(struct seen *s, const unsigned char hash[SEEN_HASH], const struct seen_who *who,
        uint64_t until_ms)
{
	struct place *p = &s->place[first_of(hash)], *to = p;
	for (size_t i = 0; i < WAYS; i++) {
		if (is(&p[i], hash)) {
			to = &p[i];
			break;
		}
		if (p[i].until_ms < to->until_ms) to = &p[i]; /* the one that is over first */
	}
	memcpy(to->hash, hash, SEEN_HASH);
	to->until_ms = until_ms;
	to->who = *who;
}

void seen_forget(struct seen *s, const unsigned char hash[SEEN_HASH])
{
	struct place *p = &s->place[first_of(hash)];
	for (size_t i = 0; i < WAYS; i++)
		if (is(&p[i], hash)) p[i].until_ms = 0;
}

void seen_forget_user(struct seen *s, int64_t user)
{
	for (size_t i = 0; i < SEEN_PLACES; i++)
		if (s->place[i].until_ms && s->place[i].who.who.user == user)
			s->place[i].until_ms = 0;
}

uint32_t seen_count(const struct seen *s, uint64_t now_ms)
{
	uint32_t n = 0;
	for (size_t i = 0; i < SEEN_PLACES; i++)
		n += now_ms < s->place[i].until_ms;
	return n;
}
