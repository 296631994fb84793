/* Whatever name, subject, identity and body are: the header has its nine fields and no other, lines
 * are short and ASCII, and what was the body decodes to as many lines. */
#include "fuzz.h"

#include "base/buf.h"
#include "wire/mail.h"

static const char *const fields[] = {"Date: ", "From: ", "To: ", "Subject: ", "Message-ID: ",
        "MIME-Version: ", "Content-Type: ", "Content-Transfer-Encoding: ", "Auto-Submitted: "};

static struct hg_str line_of(struct hg_str *rest)
{
	struct hg_str line = hg_str_cut(rest, '\n');
	HG_ASSERT(line.n && line.p[line.n - 1] == '\r');
	line.n--;
	for (size_t i = 0; i < line.n; i++)
		HG_ASSERT((line.p[i] >= 0x20 && line.p[i] < 0x7f) || line.p[i] == '\t');
	return line;
}

static void check(struct hg_str text)
{
	size_t field = 0;
	HG_ASSERT(text.n && text.p[text.n - 1] == '\n');
	while (true) {
		struct hg_str line = line_of(&text);
		if (!line.n) break;
		HG_ASSERT(line.n <= 998);
		if (line.p[0] == ' ') continue;
		HG_ASSERT(field < HG_COUNT(fields) && hg_str_starts(line, hg_str(fields[field])));
		field++;
	}
	HG_ASSERT(field == HG_COUNT(fields));
	while (text.n) {
		struct hg_str line = line_of(&text);
		HG_ASSERT(line.n <= 76 && (line.n == 0 || line.p[0] != '.'));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct hg_str rest = {copy, size};
	struct hg_str from = hg_str_cut(&rest, 0), to = hg_str_cut(&rest, 0);
	struct mail m = {.subject = hg_str_cut(&rest, 0), .id = hg_str_cut(&rest, 0), .body = rest};
	struct hg_buf b;
	bool good = mail_address_parse(from, &m.from);
	if (!good) HG_ASSERT(mail_address_parse(HG_STR("A B <a@b.c>"), &m.from));
	good = mail_address_parse(to, &m.to);
	if (!good) HG_ASSERT(mail_address_parse(HG_STR("d@e"), &m.to));
	hg_buf_init(&b, 4096 + size * 16);
	mail_write(&b, &m);
	HG_ASSERT(!b.failed);
	check(hg_buf_view(&b));
	hg_buf_free(&b);
	free(copy);
	return 0;
}
