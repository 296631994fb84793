/* A path that is accepted is final: encoded and read again it is the same, without dots. */
#include "fuzz.h"

#include "wire/url.h"

static void path_is_final(struct hg_str in)
{
	struct hg_str path, again, rest;
	struct hg_buf b;
	char *to = malloc(in.n + 1), *second = NULL;
	HG_ASSERT(to);
	if (url_path(in, to, in.n, &path)) {
		HG_ASSERT(path.n > 0 && path.n <= in.n && path.p[0] == '/');
		rest = path;
		while (rest.n) {
			struct hg_str part = hg_str_cut(&rest, '/');
			HG_ASSERT(!hg_str_eq(part, HG_STR(".")) && !hg_str_eq(part, HG_STR("..")));
		}
		hg_buf_init(&b, path.n * 3 + 1);
		url_encode(&b, path, "/");
		second = malloc(b.n + 1);
		HG_ASSERT(second && !b.failed && url_path(hg_buf_view(&b), second, b.n, &again));
		HG_ASSERT(hg_str_eq(path, again));
		hg_buf_free(&b);
	}
	free(second);
	free(to);
}

static void encoding_is_reversible(struct hg_str in)
{
	struct hg_buf b;
	size_t n = 0;
	char *back = malloc(in.n + 1);
	HG_ASSERT(back);
	hg_buf_init(&b, in.n * 3 + 1);
	url_encode(&b, in, "");
	bool ok = url_decode(hg_buf_view(&b), true, back, in.n, &n);
	HG_ASSERT(ok == (in.n == 0 || !memchr(in.p, 0, in.n)));
	if (ok) HG_ASSERT(hg_str_eq(in, (struct hg_str){back, n}));
	hg_buf_free(&b);
	free(back);
}

/* Whatever the walk shows, the search finds: the first pair with that name. */
static void walk_and_search_agree(struct hg_str in)
{
	struct hg_str rest = in, name, value, found;
	char decoded[64];
	size_t n;
	for (unsigned i = 0; i < 64 && url_query_next(&rest, &name, &value); i++) {
		if (!url_decode(name, true, decoded, sizeof decoded, &n)) continue;
		HG_ASSERT(url_query_find(in, (struct hg_str){decoded, n}, &found));
		HG_ASSERT(found.p <= value.p);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct hg_str in = {copy, size};
	path_is_final(in);
	encoding_is_reversible(in);
	walk_and_search_agree(in);
	free(copy);
	return 0;
}
