#include <stdio.h>
#include <string.h>

#include "fetch/smtp_priv.h"
#include "wire/base64.h"
#include "wire/mail.h"

#define CONNECT_MAX_MS     10000L
#define PASSWORD_SHOWN_MAX 3u /* so short that it would be found everywhere */

static size_t on_read(char *to, size_t one, size_t n, void *arg)
{
	struct smtp_call *c = arg;
	size_t take = HG_MIN(one * n, c->message.n - c->sent);
	if (take) memcpy(to, c->message.p + c->sent, take);
	c->sent += take;
	return take;
}

/* Nothing is downloaded; what the server says comes by on_debug. */
static size_t on_write(char *p, size_t one, size_t n, void *arg)
{
	(void)p, (void)arg;
	return one * n;
}

static int on_debug(CURL *easy, curl_infotype what, char *p, size_t n, void *arg)
{
	(void)easy;
	smtp_dialogue_add(arg, what, (struct hg_str){p, n});
	return 0;
}

/* Once a second at least: after QUIT nothing is waited for any more. */
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
	struct smtp_call *c = arg;
	(void)a, (void)b, (void)d, (void)e;
	return c->over || (c->stop && atomic_load(c->stop));
}

#define SET(option, value) (c->curl.easy_setopt(c->easy, option, value) == CURLE_OK)

static bool server_set(struct smtp_call *c, const struct smtp_server *s)
{
	static const long use[] = {[SMTP_TLS_REQUIRED] = CURLUSESSL_ALL,
	        [SMTP_TLS_TRY] = CURLUSESSL_TRY,
	        [SMTP_TLS_OFF] = CURLUSESSL_NONE};
	long connect_ms = HG_MIN((long)s->timeout_ms, CONNECT_MAX_MS);
	bool ok = SET(CURLOPT_PROTOCOLS_STR, "smtp,smtps") && SET(CURLOPT_URL, s->url) &&
	          SET(CURLOPT_PROXY, "") && SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) &&
	          SET(CURLOPT_USE_SSL, use[s->tls]) && SET(CURLOPT_SSL_VERIFYPEER, 1L) &&
	          SET(CURLOPT_SSL_VERIFYHOST, 2L) && SET(CURLOPT_NOSIGNAL, 1L) &&
	          /* A name that is still being looked up must not be waited for at the end. */
	          SET(CURLOPT_QUICK_EXIT, 1L) && SET(CURLOPT_TIMEOUT_MS, (long)s->timeout_ms) &&
	          SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms) && SET(CURLOPT_FORBID_REUSE, 1L);
	if (ok && s->user[0])
		ok = SET(CURLOPT_USERNAME, s->user) && SET(CURLOPT_PASSWORD, s->password);
	/* A file that is not there, or holds no certificate, fails the handshake and is named. */
	if (ok && s->ca[0]) ok = SET(CURLOPT_CAINFO, s->ca) && SET(CURLOPT_CAPATH, NULL);
	return ok;
}

static bool mail_set(struct smtp_call *c, struct hg_str from, struct hg_str to)
{
	char address[MAIL_ADDRESS_MAX + 3];
	(void)snprintf(address, sizeof address, "<%.*s>", HG_STR_ARG(to));
	c->to = c->curl.slist_append(NULL, address);
	(void)snprintf(address, sizeof address, "<%.*s>", HG_STR_ARG(from));
	return c->to && SET(CURLOPT_MAIL_FROM, address) && SET(CURLOPT_MAIL_RCPT, c->to) &&
	       SET(CURLOPT_UPLOAD, 1L) && SET(CURLOPT_READFUNCTION, on_read) &&
	       SET(CURLOPT_READDATA, c) &&
	       SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->message.n) &&
	       SET(CURLOPT_WRITEFUNCTION, on_write) && SET(CURLOPT_WRITEDATA, c) &&
	       SET(CURLOPT_VERBOSE, 1L) && SET(CURLOPT_DEBUGFUNCTION, on_debug) &&
	       SET(CURLOPT_DEBUGDATA, c) && SET(CURLOPT_NOPROGRESS, 0L) &&
	       SET(CURLOPT_XFERINFOFUNCTION, on_progress) && SET(CURLOPT_XFERINFODATA, c) &&
	       SET(CURLOPT_ERRORBUFFER, c->error);
}

static bool host_there(struct hg_str rest)
{
	for (size_t i = 0; i < rest.n; i++)
		if (!rest.p || (unsigned char)rest.p[i] <= 0x20 || (unsigned char)rest.p[i] >= 0x7f)
			return false;
	return rest.n && rest.p[0] != '/' && rest.p[0] != ':' && hg_str_find(rest, '@') >= rest.n;
}

enum hg_rc smtp_check(const struct smtp_server *s, struct hg_err *err)
{
	struct hg_str url = hg_str(s->url);
	size_t head = hg_str_starts(url, HG_STR("smtp://"))    ? 7
	              : hg_str_starts(url, HG_STR("smtps://")) ? 8
	                                                       : 0;
	if (!head || !host_there((struct hg_str){url.p + head, url.n - head})) {
		hg_err_set(err, HG_E_INVALID,
		        "SMTP_URL is not smtp://HOST[:PORT] or smtps://HOST[:PORT]");
		hg_err_hint(err, "The user and the password are SMTP_USER and SMTP_PASSWORD.");
		return HG_E_INVALID;
	}
	if (!s->user[0] != !s->password[0])
		return hg_err_set(err, HG_E_INVALID, "SMTP_USER and SMTP_PASSWORD belong together");
	return HG_OK;
}

static void hide(struct smtp_call *c, const struct smtp_server *s)
{
	struct hg_str password = hg_str(s->password);
	char both[1024];
	struct hg_out o = hg_out_over(both, sizeof both);
	for (size_t i = 0; i < HG_COUNT(c->hide); i++)
		hg_buf_init(&c->hide[i], 2048);
	if (password.n <= PASSWORD_SHOWN_MAX) return;
	hg_buf_str(&c->hide[0], password);
	base64_encode(&c->hide[1], password);
	/* As PLAIN sends it (RFC 4616). */
	hg_out_byte(&o, 0);
	hg_out_cstr(&o, s->user);
	hg_out_byte(&o, 0);
	hg_out_str(&o, password);
	if (!hg_out_failed(&o)) base64_encode(&c->hide[2], (struct hg_str){both, o.n});
	explicit_bzero(both, sizeof both);
}

static void failed(struct smtp_report *r, const char *why)
{
	(void)hg_str_copy((struct hg_str){why, HG_MIN(strlen(why), sizeof r->why - 1)}, r->why,
	        sizeof r->why);
	/* libcurl has often said it already. */
	char line[SMTP_WHY_MAX + 4];
	(void)snprintf(line, sizeof line, "* %s\n", r->why);
	if (!hg_str_ends(hg_buf_view(&r->dialogue), hg_str(line))) hg_buf_cstr(&r->dialogue, line);
}

static void perform(
        struct smtp_call *c, const struct smtp_server *s, struct hg_str from, struct hg_str to)
{
	struct smtp_report *r = c->report;
	c->easy = c->curl.easy_init();
	if (!c->easy || !server_set(c, s) || !mail_set(c, from, to)) {
		failed(r, "libcurl refuses the mail");
		return;
	}
	CURLcode code = c->curl.easy_perform(c->easy);
	bool stopped = code == CURLE_ABORTED_BY_CALLBACK;
	r->result = smtp_judge(code == CURLE_OK, r->phase, stopped ? 0 : r->reply);
	if (code != CURLE_OK)
		failed(r, stopped       ? "stopped before the end"
		          : c->error[0] ? c->error
		                        : c->curl.easy_strerror(code));
}

enum smtp_result smtp_send(const struct smtp_server *s, struct hg_str from, struct hg_str to,
        struct hg_str message, const atomic_bool *stop, struct smtp_report *ret_report)
{
	struct smtp_call c = {.message = message, .stop = stop, .report = ret_report};
	struct mail_address a, b;
	struct hg_err err = {0};
	*ret_report = (struct smtp_report){.result = SMTP_LATER};
	hg_buf_init(&ret_report->dialogue, SMTP_DIALOGUE_MAX + SMTP_WHY_MAX + 8);
	if (smtp_check(s, &err) < 0 || curl_calls_load(&c.curl, &err) < 0) {
		failed(ret_report, err.message);
		return ret_report->result;
	}
	/* Addresses alone: nothing of them can end the command they stand in. */
	if (!mail_address_parse(from, &a) || !mail_address_parse(to, &b) || a.name.n || b.name.n) {
		ret_report->result = SMTP_REFUSED;
		failed(ret_report, "not an address that mail can be sent to");
		return ret_report->result;
	}
	hide(&c, s);
	perform(&c, s, a.addr, b.addr);
	if (c.easy) c.curl.easy_cleanup(c.easy);
	c.curl.slist_free_all(c.to);
	for (size_t i = 0; i < HG_COUNT(c.hide); i++) {
		if (c.hide[i].p) explicit_bzero(c.hide[i].p, c.hide[i].cap);
		hg_buf_free(&c.hide[i]);
	}
	return ret_report->result;
}

void smtp_report_free(struct smtp_report *r)
{
	hg_buf_free(&r->dialogue);
}

enum smtp_result smtp_judge(bool sent, enum smtp_phase phase, int reply)
{
	if (sent) return SMTP_SENT;
	if (reply < 500 || reply > 599 || phase < SMTP_FROM) return SMTP_LATER;
	/* "Must issue a STARTTLS command first", "Authentication required": said to MAIL, about us.
	 */
	return reply == 530 || reply == 534 || reply == 535 || reply == 538 ? SMTP_LATER
	                                                                    : SMTP_REFUSED;
}
