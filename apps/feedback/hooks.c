#include "apps/feedback/hooks_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "os/clock.h"
#include "os/file.h"
#include "wire/date.h"

#include "apps/feedback/jsonlog_priv.h"
#include "apps/feedback/trace_priv.h"

#define CA_MAX        (1u << 20)
#define PAYLOAD_MAX   (64u << 10)
#define SHOWN_MAX     200u  /* bytes of an answer that people are shown */
#define TIME_EXTRA_MS 5000u /* beyond the call's own: its time-out should be heard of */

struct hooks {
	struct fetch *fetch;
	const struct outgoing *with;
	struct hg_buf ca;
	struct tracer *tracer; /* NULL: of jobs' traces no spans are made */
};

/* One POST under way. */
struct hooks_call {
	struct fetch_call *fetch;
	uint64_t begun_ms;
	hooks_fn fn;
	void *arg;
};

enum hg_rc hooks_new(struct loop *l, const struct outgoing *o, uint32_t calls,
        struct hooks **ret_hooks, struct hg_err *err)
{
	struct hooks *h = calloc(1, sizeof *h);
	if (!h) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	h->with = o;
	hg_buf_init(&h->ca, CA_MAX);
	enum hg_rc rc = fetch_new(l, &h->fetch, err);
	if (rc == HG_OK) fetch_limit(h->fetch, calls);
	if (rc == HG_OK && o->webhook_ca[0]) rc = file_read(o->webhook_ca, CA_MAX, &h->ca, err);
	if (rc == HG_OK)
		*ret_hooks = h;
	else
		hooks_free(h);
	return rc;
}

void hooks_free(struct hooks *h)
{
	if (!h) return;
	fetch_free(h->fetch);
	hg_buf_free(&h->ca);
	free(h);
}

/* ---- one POST ---- */

static void words_of(const struct fetch_answer *a, uint64_t took_ms, char *to, size_t cap)
{
	struct hg_out o = hg_out_over(to, cap - 1);
	if (a->result != FETCH_ANSWERED) {
		hg_out_fmt(&o, "no answer: %s", a->why);
	} else {
		hg_out_fmt(&o, "%d from %s after %llu ms", a->status, a->peer,
		        (unsigned long long)took_ms);
		if (webhook_judge(a) != WEBHOOK_OK && a->body.n) hg_out_cstr(&o, ": ");
		for (size_t i = 0;
		        webhook_judge(a) != WEBHOOK_OK && i < HG_MIN(a->body.n, SHOWN_MAX); i++)
			hg_out_byte(&o,
			        a->body.p[i] >= 0x20 && a->body.p[i] < 0x7f ? a->body.p[i] : ' ');
	}
	to[o.n] = 0;
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
	struct hooks_call *c = arg;
	char words[HOOKS_WORDS_MAX];
	words_of(a, clock_mono_ms() - c->begun_ms, words, sizeof words);
	struct hooks_told t = {webhook_judge(a), a->retry_after_ms, words};
	hooks_fn fn = c->fn;
	void *for_fn = c->arg;
	free(c);
	fn(for_fn, &t);
}

/* The signatures of the secrets that count now. */
static enum hg_rc sign(const struct hook *h, struct hg_str id, struct hg_str body, uint64_t now_ms,
        struct hg_buf *to)
{
	struct hg_str secret[] = {hg_str(h->secret), hg_str(h->old_secret)};
	bool both = secret[1].n && (int64_t)now_ms < h->secret_changed_ms + HOOKS_OLD_MS;
	hg_buf_cstr(to, "webhook-signature: ");
	return webhook_sign(secret, both ? 2 : 1, id, now_ms / 1000, body, to);
}

static enum hg_rc post(struct hooks *h, const struct hook *hook, struct hg_str id,
        struct hg_str body, struct hg_str trace, struct hooks_call *c, struct hg_err *err)
{
	uint64_t now_ms = clock_wall_ms();
	char id_field[160], time_field[64], trace_line[80];
	struct hg_buf signature;
	hg_buf_init(&signature, 512);
	(void)snprintf(id_field, sizeof id_field, "webhook-id: %.*s", HG_STR_ARG(id));
	(void)snprintf(time_field, sizeof time_field, "webhook-timestamp: %llu",
	        (unsigned long long)(now_ms / 1000));
	enum hg_rc rc = sign(hook, id, body, now_ms, &signature);
	if (rc < 0) {
		hg_buf_free(&signature);
		return hg_err_set(err, rc, "the delivery could not be signed");
	}
	(void)snprintf(trace_line, sizeof trace_line, "traceparent: %.*s", HG_STR_ARG(trace));
	const char *headers[] = {"Content-Type: application/json", id_field, time_field,
	        hg_buf_text(&signature), trace_line};
	struct fetch_request r = {.method = "POST",
	        .url = hook->url,
	        .headers = headers,
	        .header_count = HG_COUNT(headers) - (trace.n == 0),
	        .body = body,
	        .timeout_ms = h->with->webhook_ms,
	        .ca_pem = hg_buf_view(&h->ca),
	        .body_max = WEBHOOK_BODY_MAX,
	        .guard = &h->with->webhook_allow};
	c->begun_ms = clock_mono_ms();
	rc = fetch_start(h->fetch, &r, on_answer, c, &c->fetch, err);
	hg_buf_free(&signature);
	return rc;
}

/* {"type": …, "timestamp": …, "data": {…}} */
static void payload(struct hg_buf *to, const char *type, uint64_t at_ms, struct hg_str data)
{
	char at[DATE_RFC3339_SIZE];
	date_rfc3339(at_ms, at);
	hg_buf_fmt(to, "{\"type\":\"%s\",\"timestamp\":\"%s\",\"data\":%.*s}", type, at,
	        HG_STR_ARG(data));
}

enum hg_rc hooks_try(struct hooks *h, const struct hook *hook, hooks_fn fn, void *arg,
        struct hooks_call **ret_call, struct hg_err *err)
{
	char id[64];
	struct hg_buf body;
	uint64_t now_ms = clock_wall_ms();
	struct hooks_call *c = calloc(1, sizeof *c);
	if (!c) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	c->fn = fn;
	c->arg = arg;
	(void)snprintf(id, sizeof id, "test-%lld-%llx", (long long)hook->id,
	        (unsigned long long)clock_wall_ns());
	hg_buf_init(&body, PAYLOAD_MAX);
	payload(&body, "webhook.test", now_ms, HG_STR("{\"message\":\"It works.\"}"));
	enum hg_rc rc = body.failed
	                        ? HG_E_NOMEM
	                        : post(h, hook, hg_str(id), hg_buf_view(&body), HG_STR(""), c, err);
	hg_buf_free(&body);
	if (rc == HG_OK)
		*ret_call = c;
	else
		free(c);
	return rc;
}

void hooks_cancel(struct hooks_call *c)
{
	fetch_cancel(c->fetch);
	free(c);
}

/* ---- the job ---- */

struct run {
	struct job_run *job;
	struct hooks_call *call;
};

/* The row as the API shows it, and the status it has got, if that is what is told. Old rows of a
 * file have no zone; their times are UTC. */
static void row_json_of(struct db_stmt *s, const char *status, struct hg_buf *to)
{
	static const char *const name[] = {"created_at", "updated_at"};
	struct json_out j;
	json_out_init(&j, to);
	json_out_object(&j);
	json_out_key(&j, "id");
	json_out_int(&j, db_column_i64(s, 0));
	json_out_key(&j, "message");
	json_out_str(&j, db_column_str(s, 1));
	for (unsigned i = 0; i < HG_COUNT(name); i++) {
		struct hg_str t = db_column_str(s, i + 2);
		char text[64];
		struct hg_out o = hg_out_over(text, sizeof text);
		bool zone = t.n < 20 || hg_str_ends(t, HG_STR("Z")) || t.p[t.n - 6] == '+';
		hg_out_fmt(&o, "%.*s%s", HG_STR_ARG(t), zone ? "" : "Z");
		json_out_key(&j, name[i]);
		json_out_str(&j, (struct hg_str){text, o.n});
	}
	if (status[0]) {
		json_out_key(&j, "votes");
		json_out_int(&j, db_column_i64(s, 4));
		json_out_key(&j, "status");
		json_out_cstr(&j, status);
	}
	json_out_end(&j);
	to->failed |= !json_out_ok(&j);
}

#define PG_TIME(column) \
	"to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

static enum hg_rc load_body(struct db *db, const struct job *job, int64_t feedback,
        struct hg_buf *to, struct hg_err *err)
{
	const char *sql = db_is_postgres(db)
	                          ? "SELECT id, message, " PG_TIME("created_at") ", " PG_TIME(
	                                    "updated_at") ", votes FROM feedback WHERE id = $1"
	                          : "SELECT id, message, created_at, updated_at, votes"
	                            " FROM feedback WHERE id = $1";
	char event[40] = EVENT_CREATED, status[16] = "";
	/* As it was when that happened: every attempt says the same. */
	if (jobs_arg_str(job->args, "status", status, sizeof status))
		(void)jobs_arg_str(job->args, "event", event, sizeof event);
	struct db_stmt *s = NULL;
	struct hg_buf data;
	bool row = false;
	enum hg_rc rc = db_prepare(db, sql, &s, err);
	if (rc < 0) return rc;
	hg_buf_init(&data, PAYLOAD_MAX / 2);
	db_bind_i64(s, 1, feedback);
	rc = db_step(s, &row, err);
	if (rc == HG_OK && !row)
		rc = hg_err_set(err, HG_E_NOT_FOUND, "the feedback was deleted meanwhile");
	if (rc == HG_OK) {
		row_json_of(s, status, &data);
		payload(to, event, (uint64_t)job->created_ms, hg_buf_view(&data));
		if (data.failed || to->failed) rc = hg_err_set(err, HG_E_NOMEM, "too large");
	}
	db_stmt_free(s);
	hg_buf_free(&data);
	return rc;
}

static enum hg_rc load(
        void *arg, struct db *db, const struct job *job, struct hg_buf *to, struct hg_err *err)
{
	int64_t id = jobs_arg_i64(job->args, "webhook_id");
	int64_t feedback = jobs_arg_i64(job->args, "feedback_id");
	struct hook hook;
	(void)arg;
	enum hg_rc rc = hooks_get(db, id, &hook, err);
	if (rc == HG_OK && !hook.enabled)
		rc = hg_err_set(err, HG_E_NOT_FOUND, "the webhook was disabled");
	if (rc < 0) return rc;
	hg_buf_str(to, (struct hg_str){(char *)&hook, sizeof hook});
	explicit_bzero(&hook, sizeof hook);
	return load_body(db, job, feedback, to, err);
}

static void end(struct run *r, enum job_verdict verdict, uint64_t after_ms, const char *words)
{
	struct job_outcome o = {verdict, after_ms, hg_str(words)};
	struct job_run *job = r->job;
	free(r);
	job_end(job, &o);
}

static void on_told(void *arg, const struct hooks_told *t)
{
	static const enum job_verdict verdict[] = {
	        [WEBHOOK_OK] = JOB_OK, [WEBHOOK_FAIL] = JOB_RETRY, [WEBHOOK_GONE] = JOB_GIVE_UP};
	end(arg, verdict[t->verdict], t->after_ms, t->words);
}

static void start(void *arg, struct job_run *job)
{
	struct hooks *h = arg;
	struct hg_str loaded = job_loaded(job);
	struct hg_err err = {0};
	struct hook hook;
	struct run *r = calloc(1, sizeof *r);
	struct hooks_call *c = calloc(1, sizeof *c);
	if (!r || !c) {
		free(r);
		free(c);
		job_end(job, &(struct job_outcome){JOB_RETRY, 0, HG_STR("memory is exhausted")});
		return;
	}
	HG_ASSERT(loaded.n > sizeof hook);
	memcpy(&hook, loaded.p, sizeof hook);
	struct hg_str body = {loaded.p + sizeof hook, loaded.n - sizeof hook};
	*c = (struct hooks_call){.fn = on_told, .arg = r};
	*r = (struct run){job, c};
	job_set_data(job, r);
	char field[TRACECTX_SIZE];
	struct trace trace = trace_of_job(h->tracer, job_of(job));
	enum hg_rc rc = post(h, &hook, job_of(job)->key, body,
	        trace_field(h->tracer, &trace, TRACE_SELF, field), c, &err);
	explicit_bzero(&hook, sizeof hook);
	if (rc == HG_OK) return;
	free(c);
	end(r, JOB_RETRY, 0, err.message);
}

static void cancel(void *arg, struct job_run *job)
{
	struct run *r = job_data(job);
	(void)arg;
	hooks_cancel(r->call);
	end(r, JOB_RETRY, 0, "no answer yet");
}

/* How it went is to be seen at the webhook; a receiver that wants no more gets no more. */
static enum hg_rc settle(void *arg, struct db *db, const struct job *job,
        const struct job_outcome *o, struct hg_err *err)
{
	const char *sql = o->verdict == JOB_GIVE_UP
	                          ? "UPDATE webhooks SET told_at = $2, told = $3, enabled = 0,"
	                            " disabled_at = $2, disabled_why = $3 WHERE id = $1"
	                          : "UPDATE webhooks SET told_at = $2, told = $3 WHERE id = $1";
	struct db_stmt *s = NULL;
	(void)arg;
	enum hg_rc rc = db_prepare(db, sql, &s, err);
	if (rc < 0) return rc;
	db_bind_i64(s, 1, jobs_arg_i64(job->args, "webhook_id"));
	db_bind_i64(s, 2, (int64_t)clock_wall_ms());
	db_bind_str(s, 3, (struct hg_str){o->text.p, HG_MIN(o->text.n, HOOKS_WORDS_MAX - 1)});
	rc = db_run(s, err);
	db_stmt_free(s);
	return rc;
}

bool hooks_make(const struct jobs_context *c, struct job_kind *ret_kind)
{
	const struct outgoing *o = &c->config->outgoing;
	struct hooks *h = NULL;
	struct hg_err err = {0};
	if (hooks_new(c->loop, o, c->config->concurrency, &h, &err) < 0) {
		jsonlog(c->log, HG_ERROR, "feedback.jobs", "webhooks cannot be sent",
		        HG_S("reason", err.message));
		return false;
	}
	HG_ASSERT(h);
	h->tracer = c->tracer;
	*ret_kind = (struct job_kind){.name = KIND_WEBHOOK,
	        .timeout_ms = o->webhook_ms + TIME_EXTRA_MS,
	        .policy = {.attempts_max = WEBHOOK_ATTEMPTS,
	                .cap_ms = webhook_delay_ms[WEBHOOK_DELAYS - 1],
	                .schedule_ms = webhook_delay_ms,
	                .schedule_count = WEBHOOK_DELAYS},
	        .load = load,
	        .start = start,
	        .cancel = cancel,
	        .settle = settle,
	        .arg = h};
	return true;
}

void hooks_unmake(void *arg)
{
	hooks_free(arg);
}
