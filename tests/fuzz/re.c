/*
 * First byte: flags. Then the pattern up to a zero byte, then the text. The two machines and the
 * shortcuts agree, what is found is within the text, and a list of literals matches itself.
 */
#include "fuzz.h"

#include "wire/re.h"

#define TEXT_MAX 512u /* a pattern of n instructions costs n for each byte */

static void groups_lie_in_the_text(const struct re_group *g, size_t n, struct hg_str text)
{
	for (size_t i = 0; i < n; i++) {
		if (!g[i].p) continue;
		HG_ASSERT(g[i].p >= text.p && g[i].p + g[i].n <= text.p + text.n);
		HG_ASSERT(g[i].p >= g[0].p && g[i].p + g[i].n <= g[0].p + g[0].n);
	}
}

static void machines_agree(struct re *re, struct hg_str text)
{
	static struct re_group g[RE_GROUPS_MAX];
	bool match = re_match(re, text);
	bool search = re_search(re, text, g, re_groups(re));
	/* Leading and trailing ".*" as comparisons pass over bytes that are not UTF-8. */
	if (hg_utf8_valid(text)) HG_ASSERT(match == search);
	if (search) {
		struct hg_buf to;
		groups_lie_in_the_text(g, re_groups(re), text);
		hg_buf_init(&to, 4096);
		re_expand(re, text, g, &to);
		hg_buf_free(&to);
	}
}

static void literals_match_themselves(struct re *re)
{
	const struct hg_str *at;
	size_t n;
	if (!re_literals(re, &at, &n)) return;
	for (size_t i = 0; i < HG_MIN(n, (size_t)20); i++) {
		struct re_group whole;
		HG_ASSERT(re_match(re, at[i]) && re_search(re, at[i], &whole, 1));
		HG_ASSERT(hg_str_starts(at[i], re_literal_prefix(re)));
	}
}

static void quoted_matches_itself(struct hg_str text)
{
	struct hg_buf b;
	struct re *re = NULL;
	hg_buf_init(&b, text.n * 2 + 1);
	re_quote(text, &b);
	HG_ASSERT(re_compile(hg_buf_view(&b), RE_LABEL, &re, NULL) >= 0);
	HG_ASSERT(re_match(re, text));
	re_free(re);
	hg_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) return 0;
	char *copy = fuzz_copy((struct hg_str){(const char *)data + 1, size - 1});
	struct hg_str text = {copy, size - 1}, pattern = hg_str_cut(&text, 0);
	struct hg_err err = {0};
	struct re *re = NULL;
	text.n = HG_MIN(text.n, (size_t)TEXT_MAX);
	if (re_compile(pattern, data[0] & 7, &re, &err) >= 0) {
		machines_agree(re, text);
		machines_agree(re, HG_STR(""));
		literals_match_themselves(re);
		re_free(re);
	} else {
		HG_ASSERT(err.message[0]);
	}
	if (hg_utf8_valid(text)) quoted_matches_itself(text);
	free(copy);
	return 0;
}
