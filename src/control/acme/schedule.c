#include "control/acme/decide.h"

#include <string.h>

#define MINUTE_MS    60000ll
#define HOUR_MS      (60 * MINUTE_MS)
#define DAY_MS       (24 * HOUR_MS)
#define NEXT_CA_MS   5000ll
#define ARI_MS       (6 * HOUR_MS) /* RFC 9773 section 4.3: when no Retry-After says otherwise */
#define ARI_LEAST_MS MINUTE_MS
#define TIE_MS       100ll /* a wake-up is not earlier than this */

/* Uniform in [0, span). */
static int64_t draw(struct hg_rand *r, int64_t span)
{
	return span <= 0 ? 0 : (int64_t)(hg_rand_unit(r) * (double)span);
}

/* When the hour's orders allow one more. */
static int64_t book_free_ms(const struct acme_book *b, uint32_t most, int64_t now_ms)
{
	if (most == 0 || b->count < most) return INT64_MIN;
	int64_t oldest = b->at_ms[b->count - most];
	/* A clock that went back must not shut the door for longer than an hour. */
	return HG_MIN(oldest, now_ms) + HOUR_MS;
}

void acme_book_add(struct acme_book *b, int64_t now_ms)
{
	if (b->count == ACME_ORDERS_MAX) {
		memmove(b->at_ms, b->at_ms + 1, (ACME_ORDERS_MAX - 1) * sizeof *b->at_ms);
		b->count--;
	}
	b->at_ms[b->count++] = now_ms;
}

/* When it is due by itself; what failed is not tried before its time. */
static int64_t order_ms(const struct acme_cert *c)
{
	int64_t at = c->until_ms == 0 || c->wanted ? INT64_MIN : c->renew_ms;
	return HG_MAX(at, c->next_ms);
}

static bool wants_staging(const struct acme_cert *c, const struct acme_rules *rules)
{
	if (c->proved || rules->staging == ACME_STAGING_NONE) return false;
	bool first = rules->staging == ACME_STAGING_FIRST && c->until_ms == 0;
	return first || c->failures > 0;
}

static bool earlier(const struct acme_cert *a, const struct acme_cert *b)
{
	/* Who has none comes first, then who loses it first. */
	return a->until_ms < b->until_ms;
}

struct acme_due acme_schedule(const struct acme_cert *certs, uint32_t n,
        const struct acme_rules *rules, const struct acme_book *book,
        const int64_t ca_after_ms[ACME_CAS_MAX], int64_t now_ms)
{
	struct acme_due due = {.wake_ms = INT64_MAX};
	int64_t free_ms = book_free_ms(book, rules->orders_per_hour, now_ms);
	for (uint32_t i = 0; i < n; i++) {
		const struct acme_cert *c = &certs[i];
		uint32_t ca = c->ca < rules->ca_count ? c->ca : 0;
		bool staging = wants_staging(c, rules);
		int64_t at = HG_MAX(order_ms(c), free_ms);
		if (!staging) at = HG_MAX(at, ca_after_ms[ca]);
		if (at <= now_ms) {
			if (due.kind == ACME_DUE_ORDER && !earlier(c, &certs[due.cert])) continue;
			due = (struct acme_due){ACME_DUE_ORDER, i, ca, staging, now_ms};
		} else if (due.kind == ACME_DUE_NOTHING && c->ari_ms && c->ari_ms <= now_ms) {
			due = (struct acme_due){ACME_DUE_RENEWAL, i, ca, false, now_ms};
		} else if (due.kind == ACME_DUE_NOTHING) {
			if (c->ari_ms) at = HG_MIN(at, c->ari_ms);
			due.wake_ms = HG_MIN(due.wake_ms, HG_MAX(at, now_ms + TIE_MS));
		}
	}
	return due;
}

/* retry × 2^(failures-1), up to a day, and up to a fifth more so that many do not come at once. */
static int64_t back_off(
        const struct acme_cert *c, const struct acme_rules *rules, struct hg_rand *r)
{
	int64_t ms = rules->retry_ms;
	for (uint32_t i = 1; i < c->failures && ms < DAY_MS; i++)
		ms *= 2;
	ms = HG_MIN(ms, DAY_MS);
	return ms + draw(r, ms / 5 + 1);
}

static bool is_of_the_authority(enum acme_trouble t)
{
	return t == ACME_AWAY || t == ACME_LIMITED || t == ACME_REFUSED || t == ACME_SLOW;
}

void acme_cert_failed(struct acme_cert *c, const struct acme_rules *rules, bool staging,
        enum acme_trouble trouble, int64_t retry_after_ms, struct hg_rand *r, int64_t now_ms)
{
	if (staging && (trouble == ACME_AWAY || trouble == ACME_LIMITED || trouble == ACME_SLOW)) {
		acme_cert_proved(c);
		return;
	}
	c->proved = false;
	c->wanted = false;
	if (!staging && is_of_the_authority(trouble) && c->ca + 1 < rules->ca_count) {
		c->ca++;
		c->next_ms = now_ms + HG_MIN(NEXT_CA_MS, rules->retry_ms);
		return;
	}
	bool alone = rules->ca_count <= 1;
	c->ca = 0;
	if (c->failures < UINT32_MAX) c->failures++;
	int64_t wait = back_off(c, rules, r);
	if (alone && retry_after_ms > wait) wait = retry_after_ms + draw(r, HG_MIN(retry_after_ms / 5, MINUTE_MS) + 1);
	c->next_ms = now_ms + wait;
}

void acme_cert_proved(struct acme_cert *c)
{
	c->proved = true;
	c->next_ms = 0;
}

void acme_cert_issued(struct acme_cert *c, int64_t from_ms, int64_t until_ms, bool ari,
        struct hg_rand *r, int64_t now_ms)
{
	int64_t life = HG_MAX(until_ms - from_ms, (int64_t)1);
	c->from_ms = from_ms;
	c->until_ms = until_ms;
	c->renew_ms = from_ms + life / 3 * 2 - life / 60 + draw(r, life / 30);
	/* One that comes with a past beginning, or is half over already, is not renewed at once. */
	c->renew_ms = HG_MAX(c->renew_ms, now_ms + (until_ms - now_ms) / 2);
	c->window_from_ms = c->window_until_ms = 0;
	c->ari_ms = ari ? now_ms + 1 : 0;
	c->failures = 0;
	c->next_ms = 0;
	c->ca = 0;
	c->proved = c->wanted = false;
	c->why[0] = 0;
}

void acme_cert_window(struct acme_cert *c, int64_t from_ms, int64_t until_ms,
        int64_t retry_after_ms, struct hg_rand *r, int64_t now_ms)
{
	int64_t wait =
	        retry_after_ms > 0 ? HG_MIN(HG_MAX(retry_after_ms, ARI_LEAST_MS), DAY_MS) : ARI_MS;
	/* Short-lived ones need news more often than that. */
	wait = HG_MIN(wait, HG_MAX((c->until_ms - c->from_ms) / 12, (int64_t)1000));
	c->ari_ms = now_ms + wait;
	if (from_ms <= 0 || until_ms <= from_ms) return;
	if (from_ms == c->window_from_ms && until_ms == c->window_until_ms) return;
	c->window_from_ms = from_ms;
	c->window_until_ms = until_ms;
	/* Uniform in the window; one that is over means now (RFC 9773 section 4.2). Never later
	 * than the middle of what is left of the certificate's last third. */
	int64_t latest = c->until_ms - (c->until_ms - c->from_ms) / 6;
	c->renew_ms = HG_MIN(from_ms + draw(r, until_ms - from_ms), latest);
}
