/* Nanoseconds to verify a token, by algorithm, and to know one again: bench/jwt [vectors.json].
 * ninja -C build bench/jwt */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/identity.h"
#include "auth/jwks.h"

#define NOW    1800000000
#define ROUNDS 5

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void verify(const struct jwt_keys *keys, struct hg_str token)
{
	struct jwt_policy p = {.issuer = HG_STR("https://id.example"), .skew_s = JWT_SKEW_S};
	struct jwt_claims c;
	if (jwt_verify(keys, &p, token, NOW, &c) != JWT_GOOD) abort();
	jwt_claims_fini(&c);
}

static void known(struct auth_seen *s, struct hg_str token)
{
	uint8_t digest[AUTH_DIGEST];
	if (!auth_seen_digest(s, token, digest) || !auth_seen_find(s, digest, NOW)) abort();
}

static void measure(const char *name, const struct jwt_keys *keys, struct hg_str token)
{
	struct auth_seen *s;
	uint8_t digest[AUTH_DIGEST];
	struct auth_words none = {NULL, 0};
	struct auth_identity *id = auth_identity_new(HG_STR("ann"), none, none, INT64_MAX);
	double best[2] = {1e18, 1e18};
	if (auth_seen_new(4096, &s) < 0 || !auth_seen_digest(s, token, digest)) abort();
	auth_seen_put(s, digest, id);
	for (int r = 0; r < ROUNDS; r++) {
		double from = now_ns();
		for (int i = 0; i < 2000; i++)
			verify(keys, token);
		best[0] = HG_MIN(best[0], (now_ns() - from) / 2000);
		from = now_ns();
		for (int i = 0; i < 100000; i++)
			known(s, token);
		best[1] = HG_MIN(best[1], (now_ns() - from) / 100000);
	}
	printf("%-6s %4zu bytes  verified %8.0f ns  known again %6.0f ns\n", name, token.n, best[0],
	        best[1]);
	auth_identity_unref(id);
	auth_seen_free(s);
}

int main(int argc, char **argv)
{
	json_t *row,
	        *all = json_load_file(argc > 1 ? argv[1] : "tests/unit/auth/vectors.json", 0, NULL);
	size_t i;
	uint32_t done = 0;
	json_array_foreach(all, i, row)
	{
		struct jwks_report report;
		struct jwt_keys *keys;
		char *set = json_dumps(json_object_get(row, "jwks"), JSON_COMPACT);
		if (!set || jwt_keys_new(&keys) < 0) abort();
		if (jwks_read(hg_str(set), true, keys, &report) < 0) abort();
		uint32_t alg = jwt_keys_algs(keys);
		if (json_is_true(json_object_get(row, "good")) && !(done & alg)) {
			done |= alg;
			for (int a = 0; a < JWT_ALGS; a++)
				if (alg & JWT_BIT(a))
					measure(jwt_alg_name((enum jwt_alg)a), keys,
					        hg_str(json_string_value(
					                json_object_get(row, "token"))));
		}
		jwt_keys_free(keys);
		free(set);
	}
	json_decref(all);
	return done ? 0 : 1;
}
