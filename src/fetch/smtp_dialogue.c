/* What was said to a mail server and by it, as lines for people: without what is secret, and
 * without what a terminal would take for a command. */
#include "fetch/smtp_priv.h"

#include <string.h>

#define LINE_MAX_BYTES 1000u
#define HEAD_KEPT      2048u /* of a dialogue that is too long the middle is left out */
#define DROPPED        4096u
#define MASK           HG_STR("***")

/* libcurl's remarks that help nobody. */
static bool noise(struct hg_str line)
{
	static const char *const begins[] = {"TLSv1.", "TLS ", " CA", "CA",
	        "processing:", "Closing", "Connection #", "shutting down", "Hostname ", "old SSL",
	        "We are completely"};
	for (size_t i = 0; i < HG_COUNT(begins); i++)
		if (hg_str_starts(line, hg_str(begins[i]))) return true;
	return line.n == 0;
}

/* Room for another line: the middle goes. */
static void make_room(struct hg_buf *d)
{
	if (d->n + LINE_MAX_BYTES + 64 <= SMTP_DIALOGUE_MAX) return;
	char *head = memchr(d->p + HEAD_KEPT, '\n', d->n - HEAD_KEPT);
	char *rest = memchr(d->p + HEAD_KEPT + DROPPED, '\n', d->n - HEAD_KEPT - DROPPED);
	if (!head || !rest) return;
	memmove(head, rest, (size_t)(d->p + d->n - rest));
	d->n -= (size_t)(rest - head);
}

/* How many bytes at `s` must not be shown. */
static size_t hidden(const struct smtp_call *c, struct hg_str s)
{
	size_t most = 0;
	for (size_t i = 0; i < HG_COUNT(c->hide); i++) {
		struct hg_str h = hg_buf_view(&c->hide[i]);
		if (h.n > most && hg_str_starts(s, h)) most = h.n;
	}
	return most;
}

static void say(struct smtp_call *c, const char *who, struct hg_str line)
{
	struct hg_buf *d = &c->report->dialogue;
	make_room(d);
	hg_buf_cstr(d, who);
	for (size_t i = 0, end = HG_MIN(line.n, LINE_MAX_BYTES / 2); i < end;) {
		size_t n = hidden(c, (struct hg_str){line.p + i, line.n - i});
		if (n) {
			hg_buf_str(d, MASK);
			i += n;
			continue;
		}
		char shown = line.p[i++];
		hg_buf_byte(d, shown >= 0x20 && shown < 0x7f ? shown : '?');
	}
	hg_buf_byte(d, '\n');
}

/* "AUTH PLAIN AGEAYg==" without what is behind the mechanism. */
static void say_auth(struct smtp_call *c, struct hg_str line)
{
	struct hg_str rest = line, shown;
	(void)hg_str_cut(&rest, ' ');
	(void)hg_str_cut(&rest, ' ');
	shown = (struct hg_str){line.p, line.n - rest.n};
	say(c, "C: ", shown);
	if (!rest.n) return;
	c->report->dialogue.n--; /* the line goes on */
	hg_buf_str(&c->report->dialogue, MASK);
	hg_buf_byte(&c->report->dialogue, '\n');
}

static void client(struct smtp_call *c, struct hg_str line)
{
	static const struct {
		const char *command;
		enum smtp_phase phase;
	} phases[] = {{"EHLO", SMTP_HELLO}, {"HELO", SMTP_HELLO}, {"STARTTLS", SMTP_HELLO},
	        {"AUTH", SMTP_AUTH}, {"MAIL", SMTP_FROM}, {"RCPT", SMTP_TO}, {"DATA", SMTP_DATA}};
	if (c->secret) {
		say(c, "C: ", MASK);
		return;
	}
	if (hg_str_starts(line, HG_STR("QUIT"))) {
		c->over = true;
		say(c, "C: ", line);
		return;
	}
	c->report->reply = 0;
	for (size_t i = 0; i < HG_COUNT(phases); i++)
		if (hg_str_starts(line, hg_str(phases[i].command)))
			c->report->phase = phases[i].phase;
	c->secret = c->report->phase == SMTP_AUTH;
	if (c->secret)
		say_auth(c, line);
	else
		say(c, "C: ", line);
}

static void server(struct smtp_call *c, struct hg_str line)
{
	uint64_t reply = 0;
	bool last = line.n == 3 || (line.n > 3 && line.p[3] == ' ');
	say(c, "S: ", line);
	/* What it says about our leaving changes nothing. */
	if (c->over || !last || !hg_str_u64((struct hg_str){line.p, 3}, &reply)) return;
	c->report->reply = (int)reply;
	if (reply != 334) c->secret = false;
}

void smtp_dialogue_add(struct smtp_call *c, curl_infotype what, struct hg_str bytes)
{
	if (what == CURLINFO_DATA_OUT) {
		if (c->text) return;
		char line[64];
		struct hg_out o = hg_out_over(line, sizeof line);
		c->text = true;
		c->report->phase = SMTP_TEXT;
		c->report->reply = 0;
		hg_out_fmt(&o, "(the message, %zu bytes)", c->message.n);
		say(c, "C: ", (struct hg_str){line, o.n});
		return;
	}
	if (what != CURLINFO_TEXT && what != CURLINFO_HEADER_IN && what != CURLINFO_HEADER_OUT)
		return;
	while (bytes.n) {
		struct hg_str line = hg_str_cut(&bytes, '\n');
		while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' '))
			line.n--;
		if (what == CURLINFO_HEADER_OUT)
			client(c, line);
		else if (what == CURLINFO_HEADER_IN)
			server(c, line);
		else if (!c->over && !noise(line))
			say(c, "* ", line);
	}
}
