/* Whatever a mail server says, and however libcurl cuts it: the dialogue is short printable lines
 * and never holds the password. */
#include "fuzz.h"

#include "fetch/smtp_priv.h"
#include "wire/base64.h"

#define PASSWORD HG_STR("correct-horse")

static bool holds(struct hg_str text, struct hg_str what)
{
	return text.n && memmem(text.p, text.n, what.p, what.n) != NULL;
}

static void check(const struct smtp_call *c)
{
	struct hg_str d = hg_buf_view(&c->report->dialogue);
	HG_ASSERT(!c->report->dialogue.failed && d.n <= SMTP_DIALOGUE_MAX);
	HG_ASSERT(c->report->reply >= 0 && c->report->reply <= 999);
	HG_ASSERT(!holds(d, PASSWORD) && !holds(d, hg_buf_view(&c->hide[1])));
	while (d.n) {
		struct hg_str line = hg_str_cut(&d, '\n');
		HG_ASSERT(line.n >= 2 && line.n <= 1100);
		HG_ASSERT(line.p[0] == 'C' || line.p[0] == 'S' || line.p[0] == '*');
		for (size_t i = 0; i < line.n; i++)
			HG_ASSERT(line.p[i] >= 0x20 && line.p[i] < 0x7f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const curl_infotype types[] = {
	        CURLINFO_HEADER_IN, CURLINFO_HEADER_OUT, CURLINFO_TEXT, CURLINFO_DATA_OUT};
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct hg_str rest = {copy, size};
	struct smtp_report r = {0};
	struct smtp_call c = {.report = &r};
	hg_buf_init(&r.dialogue, SMTP_DIALOGUE_MAX + 8);
	for (size_t i = 0; i < HG_COUNT(c.hide); i++)
		hg_buf_init(&c.hide[i], 64);
	hg_buf_str(&c.hide[0], PASSWORD);
	base64_encode(&c.hide[1], PASSWORD);
	while (rest.n) {
		struct hg_str chunk = hg_str_cut(&rest, 0);
		if (!chunk.n) continue;
		unsigned type = (unsigned char)chunk.p[0] % HG_COUNT(types);
		smtp_dialogue_add(&c, types[type], (struct hg_str){chunk.p + 1, chunk.n - 1});
	}
	check(&c);
	smtp_report_free(&r);
	for (size_t i = 0; i < HG_COUNT(c.hide); i++)
		hg_buf_free(&c.hide[i]);
	free(copy);
	return 0;
}
