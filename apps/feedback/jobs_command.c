/* feedback-app jobs …: the queue on the command line. */
#include "apps/feedback/jobs_priv.h"

#include <inttypes.h>
#include <stdio.h>

#include "apps/feedback/config_priv.h"
#include "apps/feedback/text_priv.h"

struct printing {
	FILE *out;
	bool json;
	uint32_t rows;
	struct hg_buf text;
	int64_t now_ms;
};

static void print_json(void *arg, const struct job_row *row)
{
	struct printing *p = arg;
	hg_buf_reset(&p->text);
	jobs_row_json(row, &p->text);
	fprintf(p->out, "%s\n", hg_buf_text(&p->text));
	p->rows++;
}

static void short_time(int64_t ms, char to[TEXT_TIME_MAX])
{
	size_t n = ms ? text_time_iso((uint64_t)ms * 1000000u, to) : 0;
	to[HG_MIN(n, 19u)] = 0;
	if (!n) snprintf(to, TEXT_TIME_MAX, "-");
}

static const char *state_text(const struct job_row *r)
{
	return r->sent ? "sent" : job_state_name(r->state);
}

static void print_line(void *arg, const struct job_row *r)
{
	struct printing *p = arg;
	char when[TEXT_TIME_MAX], what[64];
	struct hg_str e = r->error.n && r->state != JOB_DONE ? r->error : r->result;
	if (p->rows++ == 0)
		fprintf(p->out, "%-8s %-9s %-18s %-24s %-3s %-19s %s\n", "ID", "STATE", "QUEUE",
		        "KIND", "TRY", "WHEN", "LAST WORDS");
	short_time(r->finished_ms ? r->finished_ms : r->run_at_ms, when);
	snprintf(what, sizeof what, "%.*s", HG_STR_ARG(e));
	for (char *c = what; *c; c++)
		if ((unsigned char)*c < ' ') *c = ' '; /* one line, and nothing for a terminal */
	fprintf(p->out, "%-8" PRId64 " %-9s %-18.*s %-24.*s %-3u %-19s %s\n", r->id, state_text(r),
	        HG_STR_ARG(r->queue), HG_STR_ARG(r->kind), r->attempt, when, what);
}

static void print_depth(void *arg, const struct jobs_depth *d)
{
	struct printing *p = arg;
	bool waits = d->state == JOB_AVAILABLE || d->state == JOB_RETRYABLE;
	int64_t age_s = (p->now_ms - d->oldest_ms) / 1000;
	const char *state = d->sent ? "sent" : job_state_name(d->state);
	if (p->json) {
		fprintf(p->out,
		        "{\"queue\":\"%.*s\",\"state\":\"%s\",\"jobs\":%" PRId64
		        ",\"oldest_age_s\":%" PRId64 "}\n",
		        HG_STR_ARG(d->queue), state, d->jobs, HG_MAX(age_s, 0));
		return;
	}
	if (p->rows++ == 0)
		fprintf(p->out, "%-24s %-10s %10s  %s\n", "QUEUE", "STATE", "JOBS", "OLDEST");
	if (age_s < 0)
		fprintf(p->out, "%-24.*s %-10s %10" PRId64 "  due in %" PRId64 " s\n",
		        HG_STR_ARG(d->queue), state, d->jobs, -age_s);
	else
		fprintf(p->out, "%-24.*s %-10s %10" PRId64 "  %s %" PRId64 " s\n",
		        HG_STR_ARG(d->queue), state, d->jobs, waits ? "due for" : "made ago",
		        age_s);
}

static struct hg_str or_empty(const char *text)
{
	return text ? hg_str(text) : HG_STR("");
}

static enum hg_rc put(
        struct jobs_store *s, const struct jobs_command *o, struct printing *p, struct hg_err *err)
{
	struct job_new n = {.queue = o->queue ? hg_str(o->queue) : HG_STR(QUEUE_TASKS),
	        .kind = or_empty(o->kind),
	        .args = or_empty(o->args),
	        .unique_key = or_empty(o->unique_key),
	        .priority = o->priority,
	        .attempts_max = o->attempts,
	        .run_at_ms = o->in_s ? p->now_ms + o->in_s * 1000 : 0};
	int64_t id = 0;
	bool made = false;
	enum hg_rc rc = jobs_store_put(s, &n, p->now_ms, &id, &made, err);
	if (rc == HG_OK) fprintf(p->out, "%" PRId64 "%s\n", id, made ? "" : " is there already");
	return rc;
}

static enum hg_rc show(
        struct jobs_store *s, const struct jobs_command *o, struct printing *p, struct hg_err *err)
{
	struct jobs_filter f = {.by_state = o->by_state,
	        .state = o->state,
	        .queue = or_empty(o->queue),
	        .kind = or_empty(o->kind),
	        .limit = o->limit};
	enum hg_rc rc;
	if (o->id) return jobs_store_get(s, o->id, print_json, p, err);
	rc = jobs_store_list(s, &f, p->json ? print_json : print_line, p, err);
	if (rc == HG_OK && !p->rows && !p->json) fprintf(p->out, "no jobs\n");
	return rc;
}

static enum hg_rc retry(
        struct jobs_store *s, const struct jobs_command *o, struct printing *p, struct hg_err *err)
{
	int64_t n = 1;
	enum hg_rc rc =
	        o->id ? jobs_store_retry(s, o->id, p->now_ms, err)
	              : jobs_store_retry_all(s, o->state, or_empty(o->queue), p->now_ms, &n, err);
	if (rc == HG_OK) fprintf(p->out, "%" PRId64 " to be tried again\n", n);
	return rc;
}

static enum hg_rc purge(
        struct jobs_store *s, const struct jobs_command *o, struct printing *p, struct hg_err *err)
{
	int64_t n = 1;
	enum hg_rc rc = o->id ? jobs_store_delete(s, o->id, err)
	                      : jobs_store_purge(s, o->state, or_empty(o->queue), &n, err);
	if (rc == HG_OK) fprintf(p->out, "%" PRId64 " deleted\n", n);
	return rc;
}

static enum hg_rc act(
        struct jobs_store *s, const struct jobs_command *o, struct printing *p, struct hg_err *err)
{
	struct hg_str action = hg_str(o->action);
	bool whom = o->id || o->by_state;
	if (hg_str_eq(action, HG_STR("list"))) return show(s, o, p, err);
	if (hg_str_eq(action, HG_STR("show")) && o->id) return show(s, o, p, err);
	if (hg_str_eq(action, HG_STR("retry")) && whom) return retry(s, o, p, err);
	if (hg_str_eq(action, HG_STR("purge")) && whom) return purge(s, o, p, err);
	if (hg_str_eq(action, HG_STR("stats")))
		return jobs_store_depths(s, true, print_depth, p, err);
	if (hg_str_eq(action, HG_STR("put")) && o->kind) return put(s, o, p, err);
	hg_err_set(err, HG_E_INVALID,
	        "jobs list [--state S] [--queue Q] [--kind K] [--limit N] [--json], show ID, "
	        "retry ID|--state S, purge ID|--state S, stats, or put --kind K");
	hg_err_hint(err, "put also takes --queue, --args JSON, --in SECONDS, --unique KEY, "
	                 "--priority 0-2 and --attempts N");
	return HG_E_INVALID;
}

enum hg_rc command_jobs(
        const struct config *c, const struct jobs_command *o, FILE *out, struct hg_err *err)
{
	struct db_options with = {.url = c->database, .durability = DB_FULL};
	struct printing p = {.out = out, .json = o->json};
	struct jobs_store *s = NULL;
	struct db *db = NULL;
	hg_buf_init(&p.text, 1 << 20);
	enum hg_rc rc = db_open(&with, &db, err);
	if (rc == HG_OK) rc = jobs_store_new(db, &s, err);
	if (rc == HG_OK) rc = jobs_store_now(s, &p.now_ms, err);
	if (rc == HG_OK) rc = act(s, o, &p, err);
	jobs_store_free(s);
	db_close(db);
	hg_buf_free(&p.text);
	return rc;
}
