/* Mail to a server on a thread that fails where it is told to. TLS is tests/e2e/mail_test.py's. */
#include "../test.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fetch/smtp.h"
#include "os/clock.h"
#include "os/sock.h"

#define STALL "stall"
#define CUT   "cut"

struct rig {
	int listener;
	char url[64];
	pthread_t thread;
	const char *offers; /* lines of EHLO's answer */
	enum smtp_phase at; /* where something else is said … */
	const char *say;    /* … this; NULL: nowhere */
	atomic_bool stop;   /* of the client */
	bool dumb_quit;     /* QUIT is not answered */
	char got[8192];     /* all that was said to it */
	size_t got_n;
	uint32_t connections;
};

static bool reply(const struct rig *r, FILE *f, enum smtp_phase at, const char *usual)
{
	const char *say = r->say && r->at == at ? r->say : usual;
	if (strcmp(say, CUT) == 0) return false;
	if (strcmp(say, STALL) == 0) {
		char c;
		while (fread(&c, 1, 1, f) == 1)
			continue;
		return false;
	}
	return fprintf(f, "%s\r\n", say) > 0 && fflush(f) == 0;
}

static bool hear(struct rig *r, FILE *f, char *line, size_t cap)
{
	if (!fgets(line, (int)cap, f)) return false;
	size_t n = HG_MIN(strlen(line), sizeof r->got - 1 - r->got_n);
	memcpy(r->got + r->got_n, line, n);
	r->got_n += n;
	return true;
}

static bool answer(struct rig *r, FILE *f, const char *line)
{
	char hello[512], text[1024];
	if (strncmp(line, "EHLO", 4) == 0) {
		(void)snprintf(hello, sizeof hello, "250-test\r\n%s250 8BITMIME", r->offers);
		return reply(r, f, SMTP_HELLO, hello);
	}
	if (strncmp(line, "HELO", 4) == 0) return reply(r, f, SMTP_HELLO, "250 test");
	if (strncmp(line, "AUTH PLAIN", 10) == 0) {
		if (fputs("334 \r\n", f) < 0 || fflush(f) || !hear(r, f, text, sizeof text))
			return false;
		return reply(r, f, SMTP_AUTH, "235 welcome");
	}
	if (strncmp(line, "MAIL", 4) == 0) return reply(r, f, SMTP_FROM, "250 ok");
	if (strncmp(line, "RCPT", 4) == 0) return reply(r, f, SMTP_TO, "250 ok");
	if (strncmp(line, "QUIT", 4) == 0) {
		if (!r->dumb_quit) return reply(r, f, SMTP_GREETING, "221 bye") && false;
		while (hear(r, f, text, sizeof text))
			continue;
		return false;
	}
	if (strncmp(line, "DATA", 4) != 0) return fputs("500 what?\r\n", f) >= 0 && fflush(f) == 0;
	if (!reply(r, f, SMTP_DATA, "354 go on")) return false;
	if (r->say && r->at == SMTP_DATA) return true;
	while (hear(r, f, text, sizeof text))
		if (strcmp(text, ".\r\n") == 0) return reply(r, f, SMTP_TEXT, "250 taken");
	return false;
}

static void *serve(void *arg)
{
	struct rig *r = arg;
	for (;;) {
		char line[1024];
		int fd = accept(r->listener, NULL, NULL);
		if (fd < 0) return NULL;
		FILE *f = fdopen(fd, "r+");
		r->connections++;
		if (reply(r, f, SMTP_GREETING, "220 test ESMTP"))
			while (hear(r, f, line, sizeof line))
				if (!answer(r, f, line)) break;
		fclose(f);
	}
}

static int up(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	assert_non_null(r);
	r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->listener, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(r->listener, 16), 0);
	assert_int_equal(getsockname(r->listener, (struct sockaddr *)&a, &n), 0);
	(void)snprintf(r->url, sizeof r->url, "smtp://127.0.0.1:%u/app.test", ntohs(a.sin_port));
	r->offers = "";
	assert_int_equal(pthread_create(&r->thread, NULL, serve, r), 0);
	*state = r;
	return 0;
}

static int down(void **state)
{
	struct rig *r = *state;
	shutdown(r->listener, SHUT_RDWR);
	pthread_join(r->thread, NULL);
	close(r->listener);
	free(r);
	return 0;
}

static struct smtp_server plain(const struct rig *r)
{
	return (struct smtp_server){.url = r->url,
	        .user = "",
	        .password = "",
	        .ca = "",
	        .tls = SMTP_TLS_OFF,
	        .timeout_ms = 5000};
}

static const char text[] = "Subject: x\r\n\r\nhello\r\n.dot\r\n";

static enum smtp_result send_mail(
        struct rig *r, const struct smtp_server *s, struct smtp_report *ret)
{
	r->got_n = 0;
	memset(r->got, 0, sizeof r->got);
	return smtp_send(s, HG_STR("app@example.com"), HG_STR("ops@example.com"), hg_str(text),
	        &r->stop, ret);
}

static void a_mail_is_taken_over_and_the_dialogue_is_told(void **state)
{
	struct rig *r = *state;
	struct smtp_server s = plain(r);
	struct smtp_report p;
	assert_int_equal(send_mail(r, &s, &p), SMTP_SENT);
	assert_string_equal(p.why, "");
	assert_int_equal(p.reply, 250);
	const char *d = hg_buf_text(&p.dialogue);
	static const char *const lines[] = {"S: 220 test ESMTP\n", "C: EHLO app.test\n",
	        "C: MAIL FROM:<app@example.com>", "C: RCPT TO:<ops@example.com>\n", "C: DATA\n",
	        "S: 354 go on\n", "C: (the message, 27 bytes)\n", "S: 250 taken\n", "C: QUIT\n"};
	const char *at = d;
	for (size_t i = 0; i < HG_COUNT(lines); i++) {
		at = strstr(at, lines[i]);
		if (!at) fail_msg("no \"%s\" in its place in\n%s", lines[i], d);
	}
	smtp_report_free(&p);
	/* The dot that begins a line is doubled on the wire. */
	assert_non_null(strstr(r->got, "\r\n..dot\r\n.\r\n"));
}

static void what_the_server_says_about_the_mail_is_final_and_all_else_is_not(void **state)
{
	static const struct {
		enum smtp_phase at;
		const char *say;
		enum smtp_result want;
		int reply;
	} row[] = {
	        {SMTP_GREETING, "554 no", SMTP_LATER, 554},
	        {SMTP_GREETING, "421 busy", SMTP_LATER, 421},
	        {SMTP_GREETING, CUT, SMTP_LATER, 0},
	        {SMTP_HELLO, "421 busy", SMTP_LATER, 421},
	        {SMTP_HELLO, CUT, SMTP_LATER, 0},
	        {SMTP_FROM, "550 5.7.1 no such sender", SMTP_REFUSED, 550},
	        {SMTP_FROM, "530 5.7.0 Authentication required", SMTP_LATER, 530},
	        {SMTP_FROM, "451 4.7.1 greylisted", SMTP_LATER, 451},
	        {SMTP_FROM, CUT, SMTP_LATER, 0},
	        {SMTP_TO, "550 5.1.1 no such user", SMTP_REFUSED, 550},
	        {SMTP_TO, "550-no\r\n550 really", SMTP_REFUSED, 550},
	        {SMTP_TO, "450 4.2.0 try later", SMTP_LATER, 450},
	        {SMTP_TO, CUT, SMTP_LATER, 0},
	        {SMTP_DATA, "554 no", SMTP_REFUSED, 554},
	        {SMTP_DATA, "452 full", SMTP_LATER, 452},
	        {SMTP_DATA, CUT, SMTP_LATER, 0},
	        {SMTP_TEXT, "552 5.3.4 too big", SMTP_REFUSED, 552},
	        {SMTP_TEXT, "451 try later", SMTP_LATER, 451},
	        {SMTP_TEXT, CUT, SMTP_LATER, 0},
	        {SMTP_TEXT, "nonsense", SMTP_LATER, 0},
	};
	struct rig *r = *state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct smtp_server s = plain(r);
		struct smtp_report p;
		r->at = row[i].at;
		r->say = row[i].say;
		s.timeout_ms = 1500;
		enum smtp_result got = send_mail(r, &s, &p);
		if (got != row[i].want || p.reply != row[i].reply)
			fail_msg("row %zu \"%s\": %d, reply %d, %s\n%s", i, row[i].say, got,
			        p.reply, p.why, hg_buf_text(&p.dialogue));
		assert_true(p.why[0]);
		/* What went wrong stands in the last line. */
		if (!strstr(hg_buf_text(&p.dialogue), p.why)) fail_msg("row %zu", i);
		smtp_report_free(&p);
	}
}

static void a_server_that_is_silent_costs_the_time_out_and_no_more(void **state)
{
	struct rig *r = *state;
	for (enum smtp_phase at = SMTP_GREETING; at <= SMTP_TEXT; at++) {
		struct smtp_server s = plain(r);
		struct smtp_report p;
		uint64_t began = clock_mono_ms();
		if (at == SMTP_AUTH) continue;
		r->at = at;
		r->say = STALL;
		s.timeout_ms = 400;
		if (send_mail(r, &s, &p) != SMTP_LATER) fail_msg("phase %d", at);
		if (clock_mono_ms() - began > 2400)
			fail_msg("phase %d: %u ms", at, (unsigned)(clock_mono_ms() - began));
		assert_true(p.why[0]);
		smtp_report_free(&p);
	}
	/* Sent is sent; its farewell is not waited for. */
	struct smtp_server s = plain(r);
	struct smtp_report p;
	uint64_t began = clock_mono_ms();
	r->say = NULL;
	r->dumb_quit = true;
	s.timeout_ms = 30000;
	assert_int_equal(send_mail(r, &s, &p), SMTP_SENT);
	assert_true(clock_mono_ms() - began < 3000);
	smtp_report_free(&p);
}

static void *stop_soon(void *arg)
{
	struct rig *r = arg;
	usleep(200000);
	atomic_store(&r->stop, true);
	return NULL;
}

static void it_ends_soon_after_it_is_told_to(void **state)
{
	struct rig *r = *state;
	struct smtp_server s = plain(r);
	struct smtp_report p;
	pthread_t t;
	uint64_t began = clock_mono_ms();
	r->at = SMTP_TEXT;
	r->say = STALL;
	s.timeout_ms = 60000;
	assert_int_equal(pthread_create(&t, NULL, stop_soon, r), 0);
	assert_int_equal(send_mail(r, &s, &p), SMTP_LATER);
	assert_true(clock_mono_ms() - began < 2500);
	assert_string_equal(p.why, "stopped before the end");
	pthread_join(t, NULL);
	smtp_report_free(&p);
}

static void without_starttls_nothing_is_said_where_it_is_required(void **state)
{
	struct rig *r = *state;
	struct smtp_server s = plain(r);
	struct smtp_report p;
	s.tls = SMTP_TLS_REQUIRED;
	s.user = "app";
	s.password = "secret-word";
	r->offers = "250-AUTH PLAIN\r\n";
	assert_int_equal(send_mail(r, &s, &p), SMTP_LATER);
	assert_null(strstr(r->got, "AUTH"));
	assert_null(strstr(r->got, "MAIL"));
	assert_true(p.why[0]);
	smtp_report_free(&p);
	/* A server that says it has it, and has not. */
	r->offers = "250-STARTTLS\r\n250-AUTH PLAIN\r\n";
	assert_int_equal(send_mail(r, &s, &p), SMTP_LATER);
	assert_null(strstr(r->got, "AUTH"));
	assert_null(strstr(r->got, "MAIL"));
	smtp_report_free(&p);
}

static void a_password_is_in_no_dialogue_even_if_the_server_repeats_it(void **state)
{
	/* base64 of "\0app\0secret-word" and of "secret-word" */
	static const char *const says[] = {"535 5.7.8 no",
	        "502 unknown: AGFwcABzZWNyZXQtd29yZA==", "535 bad password secret-word for app",
	        "535 c2VjcmV0LXdvcmQ="};
	struct rig *r = *state;
	struct smtp_server s = plain(r);
	s.user = "app";
	s.password = "secret-word";
	r->offers = "250-AUTH PLAIN\r\n";
	for (size_t i = 0; i < HG_COUNT(says); i++) {
		struct smtp_report p;
		r->at = SMTP_AUTH;
		r->say = says[i];
		assert_int_equal(send_mail(r, &s, &p), SMTP_LATER);
		const char *d = hg_buf_text(&p.dialogue);
		assert_non_null(strstr(r->got, "AGFwcABzZWNyZXQtd29yZA=="));
		assert_null(strstr(d, "AGFwc"));
		assert_null(strstr(d, "secret-word"));
		assert_null(strstr(d, "c2VjcmV0"));
		assert_non_null(strstr(d, "C: AUTH PLAIN"));
		assert_non_null(strstr(d, "***"));
		smtp_report_free(&p);
	}
}

static void a_dialogue_without_end_is_cut_in_the_middle(void **state)
{
	static char many[60000];
	struct rig *r = *state;
	struct smtp_server s = plain(r);
	struct smtp_report p;
	for (size_t i = 0; i < 800; i++)
		memcpy(many + i * 60,
		        "550-0123456789012345678901234567890123456789 \x1b[31mred!!!!!\r\n", 60);
	memcpy(many + 48000, "550 the end", 12);
	r->at = SMTP_TO;
	r->say = many;
	if (send_mail(r, &s, &p) != SMTP_REFUSED) fail_msg("%s", hg_buf_text(&p.dialogue));
	const char *d = hg_buf_text(&p.dialogue);
	assert_true(p.dialogue.n < SMTP_DIALOGUE_MAX + SMTP_WHY_MAX);
	assert_non_null(strstr(d, "S: 220 test"));
	assert_non_null(strstr(d, "S: 550 the end\n"));
	assert_null(strchr(d, 0x1b));
	smtp_report_free(&p);
}

static void addresses_and_settings_that_cannot_be_are_refused_before_the_network(void **state)
{
	static const char *const urls[] = {"", "mail.example.com", "http://x", "smtp://",
	        "smtp:///x", "smtp://a b", "smtp://u:p@host", "smtps://", "smtp://x\r\ny"};
	struct rig *r = *state;
	struct smtp_server s = plain(r);
	struct smtp_report p;
	struct hg_err err;
	for (size_t i = 0; i < HG_COUNT(urls); i++) {
		s.url = urls[i];
		assert_int_equal(smtp_check(&s, &err), HG_E_INVALID);
		assert_non_null(strstr(err.message, "SMTP_URL"));
	}
	s = plain(r);
	s.user = "x";
	assert_int_equal(smtp_check(&s, &err), HG_E_INVALID);
	s = plain(r);
	assert_int_equal(smtp_send(&s, HG_STR("a@b>\r\nRCPT TO:<x@y"), HG_STR("a@b"), hg_str(text),
	                         NULL, &p),
	        SMTP_REFUSED);
	smtp_report_free(&p);
	assert_int_equal(smtp_send(&s, HG_STR("a@b"), HG_STR("A <a@b>"), hg_str(text), NULL, &p),
	        SMTP_REFUSED);
	smtp_report_free(&p);
	assert_int_equal(r->connections, 0);
	/* Nobody listens there. */
	s.url = "smtp://127.0.0.1:1";
	assert_int_equal(send_mail(r, &s, &p), SMTP_LATER);
	assert_true(p.why[0]);
	smtp_report_free(&p);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(
	                a_mail_is_taken_over_and_the_dialogue_is_told, up, down),
	        cmocka_unit_test_setup_teardown(
	                what_the_server_says_about_the_mail_is_final_and_all_else_is_not, up, down),
	        cmocka_unit_test_setup_teardown(
	                a_server_that_is_silent_costs_the_time_out_and_no_more, up, down),
	        cmocka_unit_test_setup_teardown(it_ends_soon_after_it_is_told_to, up, down),
	        cmocka_unit_test_setup_teardown(
	                without_starttls_nothing_is_said_where_it_is_required, up, down),
	        cmocka_unit_test_setup_teardown(
	                a_password_is_in_no_dialogue_even_if_the_server_repeats_it, up, down),
	        cmocka_unit_test_setup_teardown(
	                a_dialogue_without_end_is_cut_in_the_middle, up, down),
	        cmocka_unit_test_setup_teardown(
	                addresses_and_settings_that_cannot_be_are_refused_before_the_network, up,
	                down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
