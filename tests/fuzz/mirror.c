/*
 * Paths, then two bodies, with zero bytes between. A body says the same as itself; the order of two
 * does not change whether they differ; and what is told as the difference is none any more once it
 * is ignored.
 */
#include "fuzz.h"

#include "wire/mirror.h"

static struct jsondiff_scratch scratch;

static uint32_t paths(struct hg_str list, struct jsonpath *to)
{
	uint32_t n = 0;
	while (list.n && n < JSONDIFF_IGNORE_MAX - 1) {
		struct hg_str one = hg_str_cut(&list, '\n');
		size_t at;
		if (!jsonpath_parse(one, &to[n], &at)) n++;
		HG_ASSERT(at <= one.n);
	}
	return n;
}

static void place_is_found_again(
        struct hg_str a, struct hg_str b, struct jsonpath *p, uint32_t n, struct hg_str where)
{
	char at[MIRROR_AT_MAX];
	size_t at_n, bad;
	HG_ASSERT(where.n > 0 && where.p[0] == '$');
	if (memchr(where.p, '\\', where.n) || hg_str_ends(where, HG_STR("…"))) return;
	if (jsonpath_parse(where, &p[n], &bad)) return; /* a name with a quote in it, or too deep */
	if (jsondiff(a, b, p, n + 1, &scratch, at, sizeof at, &at_n) != JSONDIFF_DIFFERS) return;
	HG_ASSERT(!hg_str_eq(where, (struct hg_str){at, at_n}));
}

static void answers(struct hg_str a, struct hg_str b, const struct jsonpath *p, uint32_t n)
{
	struct mirror_answer x = {.status = 200, .body = a}, y = {.status = 200, .body = b};
	struct mirror_result r, back;
	mirror_compare(&x, &y, p, n, &scratch, &r);
	mirror_compare(&y, &x, p, n, &scratch, &back);
	HG_ASSERT(r.what == back.what && r.at_n <= sizeof r.at);
	HG_ASSERT(r.what == MIRROR_SAME || r.what == MIRROR_JSON || r.what == MIRROR_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jsonpath p[JSONDIFF_IGNORE_MAX];
	char at[MIRROR_AT_MAX];
	size_t at_n;
	struct hg_str rest = {(const char *)data, size};
	struct hg_str list = hg_str_cut(&rest, 0), one = hg_str_cut(&rest, 0);
	char *texts[] = {fuzz_copy(list), fuzz_copy(one), fuzz_copy(rest)};
	struct hg_str a = {texts[1], one.n}, b = {texts[2], rest.n};
	uint32_t n = paths((struct hg_str){texts[0], list.n}, p);
	HG_ASSERT(jsondiff(a, a, p, n, &scratch, at, sizeof at, &at_n) != JSONDIFF_DIFFERS);
	enum jsondiff_result there = jsondiff(b, a, p, n, &scratch, at, sizeof at, &at_n);
	enum jsondiff_result back = jsondiff(a, b, p, n, &scratch, at, sizeof at, &at_n);
	HG_ASSERT(there == back);
	if (back == JSONDIFF_DIFFERS) place_is_found_again(a, b, p, n, (struct hg_str){at, at_n});
	answers(a, b, p, n);
	for (size_t i = 0; i < HG_COUNT(texts); i++)
		free(texts[i]);
	return 0;
}
