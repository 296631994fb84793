#include "../test.h"

#include "wire/mail.h"

static struct hg_buf out;

static const char *written(const char *from, const char *subject, struct hg_str body)
{
	struct mail m = {.subject = hg_str(subject),
	        .body = body,
	        .id = HG_STR("feedback-7"),
	        .unix_s = 784111777};
	assert_true(mail_address_parse(hg_str(from), &m.from));
	assert_true(mail_address_parse(HG_STR("admin@example.com"), &m.to));
	hg_buf_free(&out);
	hg_buf_init(&out, 1u << 20);
	mail_write(&out, &m);
	assert_false(out.failed);
	return hg_buf_text(&out);
}

static int clean(void **state)
{
	(void)state;
	hg_buf_free(&out);
	return 0;
}

static const char *body_of(const char *message)
{
	const char *at = strstr(message, "\r\n\r\n");
	assert_non_null(at);
	return at + 4;
}

static void a_message_has_the_fields_of_rfc_5322_and_mime(void **state)
{
	(void)state;
	assert_string_equal(written("Feedback App <feedback@example.com>", "New Feedback",
	                            HG_STR("Great product.\nThank you!")),
	        "Date: Sun, 06 Nov 1994 08:49:37 +0000\r\n"
	        "From: \"Feedback App\" <feedback@example.com>\r\n"
	        "To: admin@example.com\r\n"
	        "Subject: New Feedback\r\n"
	        "Message-ID: <feedback-7@example.com>\r\n"
	        "MIME-Version: 1.0\r\n"
	        "Content-Type: text/plain; charset=utf-8\r\n"
	        "Content-Transfer-Encoding: quoted-printable\r\n"
	        "Auto-Submitted: auto-generated\r\n"
	        "\r\n"
	        "Great product.\r\nThank you!\r\n");
}

static void addresses_are_one_mailbox_or_refused(void **state)
{
	static const struct {
		const char *in, *name, *addr;
	} good[] = {
	        {"a@b", "", "a@b"},
	        {" ops@mail.example.com ", "", "ops@mail.example.com"},
	        {"<ops@example.com>", "", "ops@example.com"},
	        {"Ops <ops+night@example.com>", "Ops", "ops+night@example.com"},
	        {"\"Ops, night\" <o.p-s@example.com>", "Ops, night", "o.p-s@example.com"},
	        {"J\xc3\xbcrgen <j@xn--bcher-kva.example>", "J\xc3\xbcrgen",
	                "j@xn--bcher-kva.example"},
	};
	static const char *const bad[] = {"", "a", "@b", "a@", "a@b@c", "a b@c", "a@b c", ".a@b",
	        "a.@b", "a..b@c", "a@.b", "a@b.", "a@-b", "a@b-", "a@b,c@d", "a@b\r\nRCPT TO:<x@y>",
	        "a\n@b", "A <a@b> B", "A <a@b", "a@b>", "<>", "A\r\nBcc: x@y <a@b>", "A\x7f <a@b>",
	        "\"A\" \"B\" <a@b>", "A\\ <a@b>", "A\xff <a@b>", "j\xc3\xbc@b", "a@b\xc3\xbc",
	        "a@[127.0.0.1]", "\"a b\"@c", "a@b<", "<<a@b>>",
	        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b"};
	struct mail_address a;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(good); i++) {
		if (!mail_address_parse(hg_str(good[i].in), &a)) fail_msg("\"%s\"", good[i].in);
		assert_str(a.name, good[i].name);
		assert_str(a.addr, good[i].addr);
	}
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		if (mail_address_parse(hg_str(bad[i]), &a)) fail_msg("\"%s\"", bad[i]);
	assert_false(mail_address_parse((struct hg_str){"a\0@b", 4}, &a));
	assert_false(mail_address_parse((struct hg_str){"a@b\0c", 5}, &a));
}

/* The expected lines were read back by Python's email.header.decode_header. */
static void subjects_that_are_not_short_ascii_become_encoded_words(void **state)
{
	static const struct {
		const char *in, *want;
	} row[] = {
	        {"New Feedback", "Subject: New Feedback\r\n"},
	        {"", "Subject: \r\n"},
	        {"Gr\xc3\xbc\xc3\x9f"
	         "e",
	                "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n"},
	        {"=?utf-8?B?QQ==?=", "Subject: =?utf-8?B?PT91dGYtOD9CP1FRPT0/PQ==?=\r\n"},
	        {" blank", "Subject: =?utf-8?B?IGJsYW5r?=\r\n"},
	        {"a\xff"
	         "b",
	                "Subject: =?utf-8?B?Ye+/vWI=?=\r\n"},
	        {"abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz abcdefghijklmn",
	                "Subject: "
	                "=?utf-8?B?YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXogYWJjZGVmZ2hpamts?=\r\n"
	                " =?utf-8?B?bW5vcHFyc3R1dnd4eXogYWJjZGVmZ2hpamtsbW4=?=\r\n"},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		const char *got = written("a@b", row[i].in, HG_STR("x"));
		const char *at = strstr(got, "Subject:"), *end = strstr(got, "Message-ID:");
		assert_non_null(at);
		assert_non_null(end);
		assert_str(((struct hg_str){at, (size_t)(end - at)}), row[i].want);
	}
}

static void nothing_can_add_a_field_or_end_the_header(void **state)
{
	static const char *const evil[] = {"x\r\nBcc: victim@example.com", "x\nBcc: a@b",
	        "x\rBcc: a@b", "x\r\n\r\nbody",
	        "x\xc2\x85"
	        "Bcc: a@b",
	        "x\xe2\x80\xa8"
	        "Bcc: a@b",
	        "x\v\fBcc: a@b"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(evil); i++) {
		const char *got = written("a@b", evil[i], HG_STR("x"));
		assert_null(strstr(got, "Bcc"));
		assert_string_equal(body_of(got), "x\r\n");
	}
	struct mail m = {.subject = HG_STR("s"),
	        .body = HG_STR("b"),
	        .id = HG_STR("a>\r\nBcc: x@y\r\n<.b@c.")};
	assert_true(mail_address_parse(HG_STR("a@b"), &m.from));
	assert_true(mail_address_parse(HG_STR("c@d"), &m.to));
	hg_buf_reset(&out);
	mail_write(&out, &m);
	assert_non_null(strstr(hg_buf_text(&out), "Message-ID: <a___Bcc__x_y___.b_c_@b>\r\n"));
}

static void what_cannot_be_folded_is_cut(void **state)
{
	char id[2000];
	struct mail m = {.subject = HG_STR("s"), .body = HG_STR("b"), .id = {id, sizeof id}};
	(void)state;
	memset(id, 'i', sizeof id);
	assert_true(mail_address_parse(HG_STR("a@b"), &m.from));
	assert_true(mail_address_parse(HG_STR("c@d"), &m.to));
	hg_buf_free(&out);
	hg_buf_init(&out, 1u << 20);
	mail_write(&out, &m);
	const char *at = strstr(hg_buf_text(&out), "Message-ID: <");
	assert_non_null(at);
	assert_int_equal(strcspn(at, "\r"), strlen("Message-ID: <@b>") + MAIL_ID_MAX);
}

static void a_trace_goes_on_when_it_is_one(void **state)
{
	static const char good[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	struct mail m = {.subject = HG_STR("s"), .body = HG_STR("b"), .id = HG_STR("i")};
	(void)state;
	assert_true(mail_address_parse(HG_STR("a@b"), &m.from));
	assert_true(mail_address_parse(HG_STR("c@d"), &m.to));
	hg_buf_free(&out);
	hg_buf_init(&out, 1u << 20);
	for (int i = 0; i < 3; i++) {
		m.trace = i == 0 ? hg_str(good) : i == 1 ? HG_STR("x\r\nBcc: a@b") : HG_STR("");
		hg_buf_reset(&out);
		mail_write(&out, &m);
		const char *at = strstr(hg_buf_text(&out), "Traceparent: ");
		assert_int_equal(at != NULL, i == 0);
		if (at) assert_memory_equal(at + 13, good, sizeof good - 1);
		assert_null(strstr(hg_buf_text(&out), "Bcc"));
	}
}

static void a_body_is_quoted_printable_with_short_lines(void **state)
{
	static const struct {
		const char *in, *want;
	} row[] = {
	        {"", ""},
	        {"a", "a\r\n"},
	        {"a\r\nb\rc\nd\n", "a\r\nb\r\nc\r\nd\r\n"},
	        {"\n\n", "\r\n\r\n"},
	        {".", "=2E\r\n"},
	        {"a\n.\nb", "a\r\n=2E\r\nb\r\n"},
	        {"..a", "=2E.a\r\n"},
	        {"From me", "=46rom me\r\n"},
	        {"1 = 1", "1 =3D 1\r\n"},
	        {"end \nend\t", "end=20\r\nend=09\r\n"},
	        {"a\tb", "a\tb\r\n"},
	        {"nice caf\xc3\xa9 in town", "nice caf=C3=A9 in town\r\n"},
	        {"a bell \a rings, some more text to keep it ascii",
	                "a bell =EF=BF=BD rings, some more text to keep it ascii\r\n"},
	        {"0123456789012345678901234567890123456789012345678901234567890123456789012345",
	                "01234567890123456789012345678901234567890123456789012345678901234567890123"
	                "45\r\n"},
	        {"01234567890123456789012345678901234567890123456789012345678901234567890123456",
	                "01234567890123456789012345678901234567890123456789012345678901234567890123"
	                "4=\r\n56\r\n"},
	        {"012345678901234567890123456789012345678901234567890123456789012345678901234.x",
	                "01234567890123456789012345678901234567890123456789012345678901234567890123"
	                "4=\r\n=2Ex\r\n"},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		const char *got = body_of(written("a@b", "s", hg_str(row[i].in)));
		if (strcmp(got, row[i].want) != 0)
			fail_msg("row %zu: have \"%s\", want \"%s\"", i, got, row[i].want);
	}
}

static void a_body_in_another_script_is_base64(void **state)
{
	(void)state;
	const char *got = written("a@b", "s", HG_STR("\xe6\x97\xa5\xe6\x9c\xac\n\xe8\xaa\x9e"));
	assert_non_null(strstr(got, "Content-Transfer-Encoding: base64\r\n"));
	assert_string_equal(body_of(got), "5pel5pysDQroqp4NCg==\r\n");
}

static void a_full_buffer_is_a_failure_and_no_shorter_message(void **state)
{
	struct mail m = {.subject = HG_STR("s"), .body = HG_STR("b"), .id = HG_STR("i")};
	(void)state;
	assert_true(mail_address_parse(HG_STR("a@b"), &m.from));
	m.to = m.from;
	hg_buf_free(&out);
	hg_buf_init(&out, 100);
	mail_write(&out, &m);
	assert_true(out.failed);
}

static void a_trace_is_a_field_and_nothing_comes_along_with_it(void **state)
{
#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	static const struct {
		const char *trace;
		bool there;
	} row[] = {{"00-" TRACE, true}, {"01-" TRACE "-x\r\nBcc: eve@example.com", true},
	        {"00-" TRACE "\r\nBcc: eve@example.com", false}, {"", false}, {"x", false}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct mail m = {.body = HG_STR("x"),
		        .id = HG_STR("feedback-7"),
		        .trace = hg_str(row[i].trace)};
		assert_true(mail_address_parse(HG_STR("a@example.com"), &m.from));
		assert_true(mail_address_parse(HG_STR("b@example.com"), &m.to));
		hg_buf_free(&out);
		hg_buf_init(&out, 1u << 20);
		mail_write(&out, &m);
		const char *text = hg_buf_text(&out);
		assert_true(row[i].there ==
		            (strstr(text, "\r\nTraceparent: 00-" TRACE "\r\n") != NULL));
		assert_null(strstr(text, "Bcc"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_trace_is_a_field_and_nothing_comes_along_with_it),
	        cmocka_unit_test(a_message_has_the_fields_of_rfc_5322_and_mime),
	        cmocka_unit_test(addresses_are_one_mailbox_or_refused),
	        cmocka_unit_test(subjects_that_are_not_short_ascii_become_encoded_words),
	        cmocka_unit_test(nothing_can_add_a_field_or_end_the_header),
	        cmocka_unit_test(what_cannot_be_folded_is_cut),
	        cmocka_unit_test(a_trace_goes_on_when_it_is_one),
	        cmocka_unit_test(a_body_is_quoted_printable_with_short_lines),
	        cmocka_unit_test(a_body_in_another_script_is_base64),
	        cmocka_unit_test(a_full_buffer_is_a_failure_and_no_shorter_message),
	};
	return cmocka_run_group_tests(tests, NULL, clean);
}
