/* An address that is taken for a webhook says one thing to every reader: a scheme, a host without a
 * user, and no bytes that could end a line. A secret that is taken signs. */
#include "fuzz.h"

#include "fetch/webhook.h"

static void address(struct hg_str url)
{
	static const struct guard nothing;
	for (int plain = 0; plain < 2; plain++) {
		struct hg_str rest = url;
		if (webhook_url_check(url, plain, &nothing, NULL) < 0) continue;
		HG_ASSERT(url.n < WEBHOOK_URL_MAX && hg_str_starts(url, HG_STR("http")));
		for (size_t i = 0; i < url.n; i++)
			HG_ASSERT(url.p[i] > 0x20 && url.p[i] < 0x7f && url.p[i] != '\\');
		HG_ASSERT(hg_str_find(url, '#') == url.n);
		(void)hg_str_cut(&rest, ':');
		HG_ASSERT(hg_str_starts(rest, HG_STR("//")) && rest.n > 2);
		rest = (struct hg_str){rest.p + 2, rest.n - 2};
		size_t end = HG_MIN(hg_str_find(rest, '/'), hg_str_find(rest, '?'));
		HG_ASSERT(end > 0 && hg_str_find((struct hg_str){rest.p, end}, '@') == end);
	}
}

static void secret(struct hg_str text)
{
	struct hg_buf b;
	hg_buf_init(&b, 256);
	bool ok = webhook_secret_ok(text);
	enum hg_rc rc = webhook_sign(&text, 1, HG_STR("id"), 1, HG_STR("{}"), &b);
	HG_ASSERT(ok == (rc == HG_OK));
	HG_ASSERT(!ok || (b.n == 3 + 44 && hg_str_starts(hg_buf_view(&b), HG_STR("v1,"))));
	hg_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct hg_str in = {copy, size};
	struct guard g;
	address(in);
	secret(in);
	if (guard_parse(in, &g, NULL) == HG_OK) HG_ASSERT(g.allow_count <= GUARD_ALLOW_MAX);
	free(copy);
	return 0;
}
