/* JSON strings are well-formed and keep valid text; dates that are read are shown as read. */
#include "fuzz.h"

#include "wire/date.h"
#include "wire/json.h"

static unsigned hex4(const char *p)
{
	unsigned v = 0;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		HG_ASSERT((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
		v = v * 16 + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return v;
}

/* Undoes the escapes; asserts that the string is one that RFC 8259 section 7 allows. */
static void unquote(struct hg_str q, struct hg_buf *to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	HG_ASSERT(q.n >= 2 && q.p[0] == '"' && q.p[q.n - 1] == '"' && hg_utf8_valid(q));
	for (size_t i = 1; i < q.n - 1; i++) {
		char c = q.p[i];
		HG_ASSERT((unsigned char)c >= 0x20 && c != '"');
		if (c == '\\' && q.p[i + 1] == 'u') {
			HG_ASSERT(i + 5 < q.n - 1 && hex4(q.p + i + 2) < 0x80);
			hg_buf_byte(to, (char)hex4(q.p + i + 2));
			i += 5;
		} else if (c == '\\') {
			const char *at = memchr(from, q.p[++i], sizeof from - 1);
			HG_ASSERT(at && i < q.n - 1);
			hg_buf_byte(to, into[at - from]);
		} else {
			hg_buf_byte(to, c);
		}
	}
}

static void quoting_keeps_text(struct hg_str in)
{
	struct hg_buf quoted, back;
	hg_buf_init(&quoted, in.n * 6 + 2);
	hg_buf_init(&back, in.n * 6 + 2);
	json_quote(&quoted, in);
	HG_ASSERT(!quoted.failed);
	unquote(hg_buf_view(&quoted), &back);
	HG_ASSERT(hg_str_eq(in, hg_buf_view(&back)) == hg_utf8_valid(in));
	hg_buf_free(&quoted);
	hg_buf_free(&back);
}

static void a_date_is_shown_as_read(struct hg_str in)
{
	char text[DATE_RFC3339_SIZE];
	uint64_t ms, again;
	if (!date_rfc3339_parse(in, &ms)) return;
	date_rfc3339(ms, text);
	HG_ASSERT(date_rfc3339_parse(hg_str(text), &again));
	/* The offset may carry the last day of 9999 beyond what is shown. */
	HG_ASSERT(again == ms || ms / 1000 > 253402300799u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct hg_str in = {copy, size};
	quoting_keeps_text(in);
	a_date_is_shown_as_read(in);
	free(copy);
	return 0;
}
