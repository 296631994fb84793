#include "apps/feedback/mailer_priv.h"

#include <stdio.h>

#include "os/clock.h"
#include "os/file.h"
#include "wire/mail.h"

#include "apps/feedback/trace_priv.h"

#define MESSAGE_MAX   (256u << 10)
#define ID_BYTES      12
#define TIME_EXTRA_MS 5000u /* beyond the mail's own: its time-out should be heard of */

enum smtp_result mailer_send(const struct outgoing *o, const struct mailer_letter *l,
        const atomic_bool *stop, struct smtp_report *ret_report)
{
	struct smtp_server s = {.url = o->smtp_url,
	        .user = o->smtp_user,
	        .password = o->smtp_password,
	        .tls = o->smtp_tls,
	        .ca = o->smtp_ca,
	        .timeout_ms = o->smtp_ms};
	struct mail m = {.subject = l->subject,
	        .body = l->body,
	        .id = l->id,
	        .unix_s = l->unix_s,
	        .trace = l->trace};
	struct hg_buf text;
	*ret_report = (struct smtp_report){.result = SMTP_LATER};
	hg_buf_init(&text, MESSAGE_MAX);
	const char *why = !o->smtp_url[0] ? "no mail can be sent: SMTP_URL is not set"
	                  : !mail_address_parse(hg_str(o->mail_from), &m.from)
	                          ? "no mail can be sent: MAIL_FROM is not set"
	                  : !mail_address_parse(l->to, &m.to) ? "there is nobody to send it to"
	                                                      : NULL;
	if (!why) mail_write(&text, &m);
	if (!why && text.failed) why = "the mail is too large";
	if (why) {
		(void)snprintf(ret_report->why, sizeof ret_report->why, "%s", why);
		hg_buf_init(&ret_report->dialogue, SMTP_WHY_MAX + 8);
		hg_buf_fmt(&ret_report->dialogue, "* %s\n", why);
	} else {
		smtp_send(&s, m.from.addr, m.to.addr, hg_buf_view(&text), stop, ret_report);
	}
	hg_buf_free(&text);
	return ret_report->result;
}

enum smtp_result mailer_test(const struct outgoing *o, struct hg_str to, const atomic_bool *stop,
        struct smtp_report *ret_report)
{
	unsigned char random[ID_BYTES];
	char id[ID_BYTES * 2 + 8] = "test-";
	struct hg_out out = hg_out_over(id + 5, sizeof id - 5);
	if (file_random(random, sizeof random) < 0) memset(random, 0, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		hg_out_fmt(&out, "%02x", random[i]);
	struct mailer_letter l = {.to = to,
	        .subject = HG_STR("Test of the Feedback App's mail"),
	        .body = HG_STR("If you can read this, the Feedback App can send mail.\n"),
	        .id = {id, 5 + out.n},
	        .unix_s = clock_wall_ms() / 1000};
	return mailer_send(o, &l, stop, ret_report);
}

/* ---- the job ---- */

static enum hg_rc load(
        void *arg, struct db *db, const struct job *job, struct hg_buf *to, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	bool row = false;
	(void)arg;
	enum hg_rc rc = db_prepare(db, "SELECT message FROM feedback WHERE id = $1", &s, err);
	if (rc < 0) return rc;
	db_bind_i64(s, 1, jobs_arg_i64(job->args, "feedback_id"));
	rc = db_step(s, &row, err);
	if (rc == HG_OK && row) hg_buf_str(to, db_column_str(s, 0));
	if (rc == HG_OK && !row)
		rc = hg_err_set(err, HG_E_NOT_FOUND, "the feedback was deleted meanwhile");
	db_stmt_free(s);
	return rc;
}

/* The server's last words, which name its queue; else the whole dialogue, its end at least. */
static void tell(const struct smtp_report *r, struct hg_buf *text)
{
	struct hg_str rest = hg_buf_view(&r->dialogue), last = HG_STR("");
	if (r->result == SMTP_SENT) {
		while (rest.n) {
			struct hg_str line = hg_str_cut(&rest, '\n');
			if (hg_str_starts(line, HG_STR("S: 250"))) last = line;
		}
		hg_buf_str(text, last);
		return;
	}
	hg_buf_cstr(text, r->why);
	hg_buf_byte(text, '\n');
	size_t room = JOBS_ERROR_MAX - HG_MIN(text->n, JOBS_ERROR_MAX);
	if (rest.n > room) {
		rest = (struct hg_str){rest.p + rest.n - room, room};
		(void)hg_str_cut(&rest, '\n'); /* from the beginning of a line on */
	}
	hg_buf_str(text, rest);
}

static enum job_verdict work(
        void *arg, struct job_run *run, const atomic_bool *stop, struct hg_buf *text)
{
	static const enum job_verdict verdict[] = {
	        [SMTP_SENT] = JOB_OK, [SMTP_LATER] = JOB_RETRY, [SMTP_REFUSED] = JOB_GIVE_UP};
	const struct jobs_context *c = arg;
	const struct job *job = job_of(run);
	struct trace trace = trace_of_job(c->tracer, job);
	char field[TRACECTX_SIZE];
	struct smtp_report r;
	char to[MAIL_NAME_MAX + MAIL_ADDRESS_MAX + 8];
	if (!jobs_arg_str(job->args, "to", to, sizeof to)) {
		hg_buf_cstr(text, "the job does not say to whom");
		return JOB_GIVE_UP;
	}
	struct mailer_letter l = {.to = hg_str(to),
	        .subject = HG_STR("New Feedback"),
	        .body = job_loaded(run),
	        .id = job->key,
	        .unix_s = (uint64_t)job->created_ms / 1000,
	        .trace = trace_field(c->tracer, &trace, TRACE_SELF, field)};
	enum smtp_result result = mailer_send(&c->config->outgoing, &l, stop, &r);
	tell(&r, text);
	smtp_report_free(&r);
	return verdict[result];
}

bool mailer_make(const struct jobs_context *c, struct job_kind *ret_kind)
{
	const struct outgoing *o = &c->config->outgoing;
	*ret_kind = (struct job_kind){.name = KIND_EMAIL,
	        .timeout_ms = o->smtp_ms + TIME_EXTRA_MS,
	        .load = load,
	        .work = work,
	        .arg = (void *)(uintptr_t)c};
	return true;
}
