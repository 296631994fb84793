#include "db/pool_priv.h"

#include <string.h>

const uint64_t db_pool_bucket_ns[DB_POOL_BUCKETS] = {500000, 1000000, 2500000, 5000000, 10000000,
        25000000, 50000000, 100000000, 250000000, 500000000, 1000000000, 5000000000};

void pool_sample(struct samples *s, uint64_t lsn, uint64_t now_ms)
{
	uint32_t last = (s->first + s->n - 1) % POOL_SAMPLES;
	/* Nothing was written since: the position is as old as when it was first seen. */
	if (s->n && s->at[last].lsn >= lsn) return;
	if (s->n == POOL_SAMPLES)
		s->first = (s->first + 1) % POOL_SAMPLES;
	else
		s->n++;
	last = (s->first + s->n - 1) % POOL_SAMPLES;
	s->at[last].lsn = lsn;
	s->at[last].ms = now_ms;
}

uint64_t pool_lag_ms(const struct samples *s, uint64_t replayed, uint64_t now_ms)
{
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t at = (s->first + i) % POOL_SAMPLES;
		if (s->at[at].lsn > replayed)
			return now_ms > s->at[at].ms ? now_ms - s->at[at].ms : 1;
	}
	return 0;
}

/* The message of a statement that was planned before a migration. */
static bool stale_plan(const char *state, const char *message)
{
	return strcmp(state, "0A000") == 0 && message && strstr(message, "cached plan");
}

bool pool_untouched(const char *state, const char *message)
{
	static const char *const states[] = {
	        "25006", /* read_only_sql_transaction: it is a standby */
	        "26000", /* the prepared statement is gone */
	        "40001", /* serialization_failure */
	        "40P01", /* deadlock_detected */
	        "57P03", /* cannot_connect_now */
	};
	if (!state) return false;
	for (size_t i = 0; i < HG_COUNT(states); i++)
		if (strcmp(state, states[i]) == 0) return true;
	return stale_plan(state, message);
}

enum useless pool_useless(const char *state, const char *message)
{
	if (!state) return USELESS_NONE;
	if (strncmp(state, "57P", 3) == 0) return USELESS_THIS;
	/* A standby now, or a schema that has changed: it is so for all of them. */
	if (strcmp(state, "25006") == 0 || strcmp(state, "26000") == 0 ||
	        stale_plan(state, message))
		return USELESS_ALL;
	return USELESS_NONE;
}

struct hg_str pool_element(const char *text, unsigned i, unsigned *ret_count)
{
	struct hg_str rest = hg_str(text), found = HG_STR("");
	unsigned n = 0;
	for (;;) {
		bool last = hg_str_find(rest, ',') == rest.n;
		struct hg_str one = hg_str_cut(&rest, ',');
		if (n++ == i) found = one;
		if (last) break;
	}
	if (ret_count) *ret_count = n;
	/* One port is for every host. */
	return n == 1 ? hg_str(text) : found;
}

bool db_url_is_postgres(const char *url)
{
	return libpq_is_url(url);
}

/* Where the password lies: behind the first ':' of what stands before '@', or behind a name. */
static struct hg_str secret_of(const char *url)
{
	const char *start = strstr(url, "://"), *end, *at = NULL, *colon;
	const char *query = strstr(url, "password=");
	if (start) {
		start += 3;
		end = start + strcspn(start, "/?");
		for (const char *p = start; p < end; p++)
			if (*p == '@') at = p;
		colon = at ? memchr(start, ':', (size_t)(at - start)) : NULL;
		if (colon) return (struct hg_str){colon + 1, (size_t)(at - colon - 1)};
	}
	if (!query) return (struct hg_str){url + strlen(url), 0};
	query += strlen("password=");
	return (struct hg_str){query, strcspn(query, "&")};
}

size_t db_url_text(const char *url, char *to, size_t cap)
{
	struct hg_str secret = secret_of(url);
	struct hg_out o = hg_out_over(to, cap - 1);
	hg_out_str(&o, (struct hg_str){url, (size_t)(secret.p - url)});
	if (secret.n) hg_out_cstr(&o, "***");
	/* A password may stand in both places. */
	if (secret.n && strstr(secret.p + secret.n, "password="))
		hg_out_cstr(&o, "…");
	else
		hg_out_cstr(&o, secret.p + secret.n);
	to[o.n] = 0;
	return o.n;
}
