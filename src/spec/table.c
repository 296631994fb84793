#include "spec/spec_priv.h"

#include "gen/spec_table.h"

const struct spec_group *const spec_root = &group_root;

const struct spec_key *spec_key_find(const struct spec_group *g, struct hg_str name)
{
	for (size_t i = 0; i < g->key_count; i++) {
		if (hg_str_eq(hg_str(g->keys[i].name), name)) return &g->keys[i];
	}
	return NULL;
}

const struct spec_key *spec_key_get(const struct spec_group *g, const char *name)
{
	const struct spec_key *k = spec_key_find(g, hg_str(name));
	HG_ASSERT(k);
	return k;
}

/* Lower-case letters and digits only: maxSurge, max-surge and max_surge are the same. */
static struct hg_str letters(struct hg_str s, char *to, size_t cap)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n && n < cap; i++) {
		char c = s.p[i];
		if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) to[n++] = c;
	}
	return (struct hg_str){to, n};
}

const struct spec_key *spec_key_near(const struct spec_group *g, struct hg_str name, uint32_t edits)
{
	char a[64], b[64];
	const struct spec_key *best = NULL;
	uint32_t best_distance = edits + 1;
	struct hg_str want = letters(name, a, sizeof a);
	for (size_t i = 0; i < g->key_count; i++) {
		struct hg_str have = hg_str(g->keys[i].name);
		if (want.n && hg_str_eq(letters(have, b, sizeof b), want)) return &g->keys[i];
		uint32_t d = hg_str_distance(have, name);
		/* three letters are two edits away from half the table */
		bool closer = d < best_distance ||
		              (best && d == best_distance && have.n > strlen(best->name));
		if (closer && d < have.n && d + 1 < name.n) {
			best = &g->keys[i];
			best_distance = d;
		}
	}
	return best;
}

static const struct {
	const char *name, *example;
} kinds[] = {
        [SPEC_K_STRING] = {"a text", "text"},
        [SPEC_K_COMMAND] = {"a command", "./program --port $PORT"},
        [SPEC_K_BOOL] = {"true or false", "true"},
        [SPEC_K_INT] = {"a whole number", "3"},
        [SPEC_K_DURATION] = {"a duration", "30s"},
        [SPEC_K_SIZE] = {"a size", "256Mi"},
        [SPEC_K_RATIO] = {"a ratio", "5%"},
        [SPEC_K_FACTOR] = {"a factor", "1.5x"},
        [SPEC_K_CPU] = {"an amount of CPU", "500m"},
        [SPEC_K_ENUM] = {"a word", NULL},
        [SPEC_K_ADDRESS] = {"a port, or address:port", "127.0.0.1:8080"},
        [SPEC_K_SHARE] = {"a count or a ratio", "25%"},
        [SPEC_K_STRINGS] = {"a list of texts", "[one, two]"},
        [SPEC_K_PAIRS] = {"a mapping of names to texts", "{NAME: value}"},
        [SPEC_K_GROUP] = {"a mapping", NULL},
        [SPEC_K_MAP] = {"a mapping by name", NULL},
        [SPEC_K_LIST] = {"a list", NULL},
        [SPEC_K_OVERLAYS] = {"a mapping by name", "{production: {apps: {…}}}"},
};

const char *spec_kind_name(enum spec_kind kind)
{
	return kinds[kind].name;
}

const char *spec_kind_example(const struct spec_key *k)
{
	if (k->example) return k->example;
	if (k->fallback && k->fallback[0] != '[' && k->fallback[0] != '{') return k->fallback;
	return kinds[k->kind].example ? kinds[k->kind].example : "…";
}
