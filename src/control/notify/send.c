/* One attempt: by HTTP on the loop, or by SMTP on a thread. */
#include "control/notify/notify_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "fetch/webhook.h"
#include "os/file.h"

/* The value of a secret without spaces around it; false with why. */
static bool secret(struct notify *n, struct hg_str name, struct hg_buf *to, char *why, size_t why_n)
{
	char path[4096];
	struct hg_err err = {0};
	snprintf(path, sizeof path, "%s/secrets/%.*s", n->o.data_dir, HG_STR_ARG(name));
	enum hg_rc rc = file_read(path, NOTIFY_SECRET_MAX, to, &err);
	struct hg_str value = rc == HG_OK ? hg_str_trim(hg_buf_view(to)) : (struct hg_str){0};
	if (value.n && hg_str_find(value, 0) == value.n && hg_str_find(value, '\n') == value.n) {
		memmove(to->p, value.p, value.n);
		to->n = value.n;
		return true;
	}
	snprintf(why, why_n, "secret %.*s has no value: headgate secret set %.*s", HG_STR_ARG(name),
	        HG_STR_ARG(name));
	return false;
}

static void wipe(struct hg_buf *b)
{
	if (b->p) explicit_bzero(b->p, b->cap);
	hg_buf_free(b);
}

/* What an answer means: Alertmanager tries 5xx and 429 again; so do we silence and 408. The head
 * says it: one that took the message has it, also when the rest of its answer never comes. */
static enum notify_result judge(const struct fetch_answer *a)
{
	int status = a->head_status;
	if (status >= 200 && status < 300) return NOTIFY_DELIVERED;
	if (status == 0 || status >= 500 || status == 429 || status == 408) return NOTIFY_RETRY;
	return NOTIFY_FINAL;
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
	struct notify_attempt *at = arg;
	char why[320];
	at->call = NULL;
	enum notify_result r = judge(a);
	if (a->result == FETCH_ANSWERED) {
		struct hg_str body = {a->body.p, HG_MIN(a->body.n, (size_t)200)};
		bool shown = hg_utf8_valid(body) && r != NOTIFY_DELIVERED;
		snprintf(why, sizeof why, "status %d%s%.*s", a->status, shown && body.n ? ": " : "",
		        shown ? (int)body.n : 0, body.p ? body.p : "");
	} else if (a->head_status) {
		snprintf(why, sizeof why, "status %d, then %.280s", a->head_status, a->why);
	} else {
		snprintf(why, sizeof why, "%s", a->why);
	}
	notify_attempt_done(at, r, a->retry_after_ms, why);
}

/* Standard Webhooks: who asks knows by these whether it is from us, and whether it had it. */
struct signature {
	char id[64], at[64];
	struct hg_buf line;
};

static bool sign(struct notify *n, const struct notify_way *way, const struct notify_message *m,
        struct hg_str body, struct signature *s, char *why, size_t why_n)
{
	struct hg_buf key = {0};
	snprintf(s->id, sizeof s->id, "webhook-id: %s", m->id);
	snprintf(s->at, sizeof s->at, "webhook-timestamp: %llu",
	        (unsigned long long)(n->o.wall_ms() / 1000));
	hg_buf_init(&s->line, 4096);
	if (!way->key[0]) return true;
	if (!secret(n, hg_str(way->key), &key, why, why_n)) return false;
	struct hg_str one = hg_buf_view(&key);
	hg_buf_cstr(&s->line, "webhook-signature: ");
	enum hg_rc rc = webhook_sign(&one, 1, hg_str(m->id), n->o.wall_ms() / 1000, body, &s->line);
	wipe(&key);
	if (rc == HG_OK) return true;
	snprintf(why, why_n, "secret %s is no key of a webhook (whsec_ and base64)", way->key);
	return false;
}

static enum hg_rc http_go(struct notify_attempt *a, const char *url, struct hg_str body,
        struct signature *s, struct hg_err *err)
{
	const char *headers[5] = {"Content-Type: application/json", "User-Agent: Headgate"};
	const struct notify_way *way = &a->n->plan->ways[a->channel];
	bool hook = a->n->plan->conf.channels[a->channel].kind == NOTIFY_WEBHOOK;
	uint32_t n = 2;
	struct hg_buf ca = {0};
	enum hg_rc rc = HG_OK;
	if (hook) {
		headers[n++] = s->id;
		headers[n++] = s->at;
		if (s->line.n) headers[n++] = hg_buf_text(&s->line);
	}
	if (hook && way->ca[0]) rc = file_read(way->ca, 1 << 20, &ca, err);
	struct fetch_request r = {.method = "POST",
	        .url = url,
	        .headers = headers,
	        .header_count = n,
	        .body = body,
	        .timeout_ms = NOTIFY_HTTP_MS,
	        .ca_pem = hg_buf_view(&ca)};
	if (rc == HG_OK) rc = fetch_start(a->n->fetch, &r, on_answer, a, &a->call, err);
	hg_buf_free(&ca);
	return rc;
}

static void http(struct notify_attempt *a, struct notify_message *m)
{
	struct notify *n = a->n;
	const struct notify_channel *c = &n->plan->conf.channels[a->channel];
	const struct notify_way *way = &n->plan->ways[a->channel];
	char why[320] = "";
	struct hg_err err = {0};
	struct hg_buf value = {0}, body;
	struct signature s = {0};
	hg_buf_init(&body, NOTIFY_BODY_MAX);
	enum hg_rc rc = HG_E_SECRET;
	if (!secret(n, c->secret, &value, why, sizeof why)) goto out;
	bool pager = c->kind == NOTIFY_PAGERDUTY;
	rc = HG_E_TOO_LARGE;
	if (!notify_body(m, hg_buf_view(&value), &body)) {
		snprintf(why, sizeof why, "the message is larger than %u bytes", NOTIFY_BODY_MAX);
		goto out;
	}
	rc = HG_E_SECRET;
	if (c->kind == NOTIFY_WEBHOOK && !sign(n, way, m, hg_buf_view(&body), &s, why, sizeof why))
		goto out;
	rc = http_go(a, pager ? way->url : hg_buf_text(&value), hg_buf_view(&body), &s, &err);
	if (rc < 0) snprintf(why, sizeof why, "%.300s", err.message);
out:
	wipe(&value);
	wipe(&body); /* it holds the routing key */
	hg_buf_free(&s.line);
	if (rc < 0)
		notify_attempt_done(a, rc == HG_E_TOO_LARGE ? NOTIFY_FINAL : NOTIFY_RETRY, 0, why);
}

/* ---- mail ---- */

static void mail_work(void *arg, const atomic_bool *stop)
{
	struct notify_attempt *a = arg;
	(void)smtp_send(&a->server, hg_str(a->from), hg_str(a->to), hg_buf_view(&a->message), stop,
	        &a->report);
}

static void mail_done(void *arg)
{
	struct notify_attempt *a = arg;
	char why[SMTP_WHY_MAX];
	a->work = NULL;
	memcpy(why, a->report.why, sizeof why);
	enum notify_result r = a->report.result == SMTP_SENT    ? NOTIFY_DELIVERED
	                       : a->report.result == SMTP_LATER ? NOTIFY_RETRY
	                                                        : NOTIFY_FINAL;
	notify_attempt_done(a, r, 0, why);
}

static void mail(struct notify_attempt *a, struct notify_message *m)
{
	const struct notify_plan *p = a->n->plan;
	char why[320] = "";
	struct hg_buf value = {0};
	bool good = !p->mail.password[0] ||
	            secret(a->n, hg_str(p->mail.password), &value, why, sizeof why);
	hg_buf_init(&a->message, NOTIFY_BODY_MAX);
	a->password = strndup(value.p ? value.p : "", value.n);
	wipe(&value);
	a->server = (struct smtp_server){.url = p->mail.server,
	        .user = p->mail.user,
	        .password = a->password,
	        .tls = p->mail.tls,
	        .ca = p->mail.ca,
	        .timeout_ms = NOTIFY_MAIL_MS};
	(void)hg_str_copy(p->mail.from.addr, a->from, sizeof a->from);
	(void)hg_str_copy(p->conf.channels[a->channel].to, a->to, sizeof a->to);
	if (good && (!a->password || !notify_mail(m, &a->message))) {
		snprintf(why, sizeof why, "the mail is larger than %u bytes", NOTIFY_BODY_MAX);
		good = false;
	}
	if (good && work_start(a->n->o.loop, mail_work, mail_done, a, &a->work) < 0) {
		snprintf(why, sizeof why, "no thread could be made");
		good = false;
	}
	if (!good) notify_attempt_done(a, NOTIFY_RETRY, 0, why);
}

/* ---- attempts ---- */

void notify_attempt_free(struct notify_attempt *a)
{
	if (a->call) fetch_cancel(a->call);
	work_stop(a->work);
	if (a->password) {
		explicit_bzero(a->password, strlen(a->password));
		free(a->password);
	}
	smtp_report_free(&a->report);
	hg_buf_free(&a->message);
	hg_list_remove(&a->node);
	free(a);
}

void notify_attempts_stop(struct notify *n)
{
	struct hg_list *node;
	while ((node = hg_list_first(&n->attempts)))
		notify_attempt_free(HG_CONTAINER(node, struct notify_attempt, node));
}

void notify_attempt_begin(struct notify *n, struct notify_send *send, struct notify_test *test,
        uint32_t channel, struct notify_message *m)
{
	struct notify_attempt *a = calloc(1, sizeof *a);
	if (!a) {
		if (send)
			notify_result(n->state, send, NOTIFY_RETRY, 0, "memory is exhausted",
			        n->o.wall_ms());
		return;
	}
	a->n = n;
	a->send = send;
	a->test = test;
	a->channel = channel;
	hg_list_append(&n->attempts, &a->node);
	if (n->plan->conf.channels[channel].kind == NOTIFY_EMAIL)
		mail(a, m);
	else
		http(a, m);
}
