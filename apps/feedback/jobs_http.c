/* /admin/jobs and /exports: asked of the database at the desk. */
#include "apps/feedback/app_priv.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"
#include "wire/json.h"

#include "apps/feedback/desk_priv.h"
#include "apps/feedback/jobs_priv.h"

#define ANSWER_MAX (16u << 20)

struct asking {
	struct desk_task task;
	struct app *app;
	struct serve_call *call; /* NULL: the client has left */
	const struct serve_request *req;
	enum endpoint endpoint;
	enum http1_method method;
	int64_t id;
	struct jobs_filter filter; /* its texts: */
	char queue[JOBS_NAME_MAX + 1], kind[JOBS_NAME_MAX + 1], format[8];
	/* out */
	struct hg_buf body;
	uint32_t rows;
	int64_t next, now_ms;
	enum job_state state;
	bool is_export;
};

/* ---- at the desk ---- */

static void add_row(void *arg, const struct job_row *row)
{
	struct asking *k = arg;
	if (k->rows++ && k->endpoint == ENDPOINT_JOBS) hg_buf_byte(&k->body, ',');
	k->next = row->id;
	k->state = row->state;
	k->is_export = hg_str_eq(row->kind, HG_STR(KIND_EXPORT));
	if (k->is_export && !jobs_arg_str(row->args, "format", k->format, sizeof k->format))
		k->format[0] = 0;
	jobs_row_json(row, &k->body);
}

static void add_depth(void *arg, const struct jobs_depth *d)
{
	struct asking *k = arg;
	struct json_out j;
	if (k->rows++) hg_buf_byte(&k->body, ',');
	json_out_init(&j, &k->body);
	json_out_object(&j);
	json_out_key(&j, "queue");
	json_out_str(&j, d->queue);
	json_out_key(&j, "state");
	json_out_cstr(&j, d->sent ? "sent" : job_state_name(d->state));
	json_out_key(&j, "jobs");
	json_out_int(&j, d->jobs);
	json_out_key(&j, "oldest_age_s");
	json_out_int(&j, HG_MAX((k->now_ms - d->oldest_ms) / 1000, 0));
	json_out_end(&j);
}

static enum hg_rc list(struct asking *k, struct jobs_store *s, struct hg_err *err)
{
	hg_buf_cstr(&k->body, "{\"jobs\":[");
	enum hg_rc rc = jobs_store_list(s, &k->filter, add_row, k, err);
	hg_buf_cstr(&k->body, "],\"next\":");
	if (k->rows == k->filter.limit)
		hg_buf_fmt(&k->body, "%" PRId64 "}\n", k->next);
	else
		hg_buf_cstr(&k->body, "null}\n");
	return rc;
}

static enum hg_rc one(struct asking *k, struct jobs_store *s, struct hg_err *err)
{
	enum hg_rc rc = jobs_store_get(s, k->id, add_row, k, err);
	hg_buf_byte(&k->body, '\n');
	return rc;
}

static enum hg_rc counted(struct asking *k, enum hg_rc rc, const char *what, int64_t n)
{
	if (rc == HG_OK) hg_buf_fmt(&k->body, "{\"%s\":%" PRId64 "}\n", what, n);
	return rc;
}

static enum hg_rc export(struct asking *k, struct jobs_store *s, struct hg_err *err) {
	char args[40]; int n = snprintf(args, sizeof args, "{\"format\":\"%s\"}", k->format);
	struct job_new new = {.queue = HG_STR(QUEUE_TASKS),
	        .kind = HG_STR(KIND_EXPORT),
	        .args = {args, (size_t)n},
	        .priority = 1};
	bool made = false;
	enum hg_rc rc = jobs_store_put(s, &new, k->now_ms, &k->id, &made, err);
	return rc == HG_OK ? one(k, s, err) : rc;
}

static enum hg_rc ask_jobs(struct asking *k, struct jobs_store *s, struct hg_err *err)
{
	const struct jobs_filter *f = &k->filter;
	int64_t n = 1;
	enum hg_rc rc;
	switch (k->endpoint) {
	case ENDPOINT_JOBS:
		if (k->method != HTTP1_DELETE) return list(k, s, err);
		rc = jobs_store_purge(s, f->state, f->queue, &n, err);
		return counted(k, rc, "deleted", n);
	case ENDPOINT_JOBS_RETRY:
		rc = jobs_store_retry_all(s, f->state, f->queue, k->now_ms, &n, err);
		return counted(k, rc, "retried", n);
	case ENDPOINT_JOBS_STATS:
		hg_buf_cstr(&k->body, "{\"queues\":[");
		rc = jobs_store_depths(s, false, add_depth, k, err);
		hg_buf_cstr(&k->body, "]}\n");
		return rc;
	case ENDPOINT_JOB_RETRY:
		rc = jobs_store_retry(s, k->id, k->now_ms, err);
		return rc < 0 ? rc : one(k, s, err);
	case ENDPOINT_JOB:
		if (k->method == HTTP1_DELETE)
			return counted(k, jobs_store_delete(s, k->id, err), "deleted", 1);
		return one(k, s, err);
	case ENDPOINT_EXPORTS: return export(k, s, err);
	default: return one(k, s, err);
	}
}

static enum hg_rc run(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct asking *k = HG_CONTAINER(t, struct asking, task);
	struct jobs_store *s = NULL;
	enum hg_rc rc = jobs_store_new(db, &s, err);
	if (rc == HG_OK) rc = jobs_store_now(s, &k->now_ms, err);
	if (rc == HG_OK) rc = ask_jobs(k, s, err);
	jobs_store_free(s);
	if (rc == HG_OK && k->body.failed)
		rc = hg_err_set(
		        err, HG_E_TOO_LARGE, "the answer is over 16 MiB; ask for fewer jobs");
	return rc;
}

/* ---- a file ---- */

struct download {
	int fd;
	struct serve_call *call;
};

static void on_download_gone(void *arg)
{
	struct download *d = arg;
	close(d->fd);
	free(d);
}

static void on_download(void *arg)
{
	struct download *d = arg;
	char block[32u << 10];
	for (;;) {
		ssize_t n = read(d->fd, block, sizeof block);
		if (n < 0) {
			serve_abort(d->call); /* a part must not look like the whole */
			on_download_gone(d);
			return;
		}
		if (n == 0) {
			serve_end(d->call);
			on_download_gone(d);
			return;
		}
		if (!serve_write(d->call, (struct hg_str){block, (size_t)n})) return;
	}
}

static void send_file(struct app *a, struct serve_call *call, const struct serve_request *req,
        int64_t id, const char *format)
{
	char path[EXPORT_PATH_MAX], name[80];
	bool csv = hg_str_eq(hg_str(format), HG_STR("csv"));
	struct download *d = calloc(1, sizeof *d);
	int fd = -1;
	if (d && jobs_export_path(a->config->export_dir, id, hg_str(format), path))
		fd = file_open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0) {
		free(d);
		app_refuse(a, call, req, 410, "The file of this export is not here any more");
		return;
	}
	*d = (struct download){.fd = fd, .call = call};
	int n = snprintf(
	        name, sizeof name, "attachment; filename=\"feedback-%" PRId64 ".%s\"", id, format);
	app_cors(call, req);
	serve_field(call, "Cache-Control", HG_STR("no-store"));
	serve_field(call, "X-Content-Type-Options", HG_STR("nosniff"));
	serve_field(call, "Content-Disposition", (struct hg_str){name, (size_t)n});
	serve_stream(call, 200, csv ? "text/csv; charset=utf-8" : "application/json", on_download,
	        on_download_gone, d);
	on_download(d);
}

/* ---- answers ---- */

static void answer_export(
        struct asking *k, struct serve_call *call, const struct serve_request *req)
{
	char where[48];
	int n = snprintf(where, sizeof where, "/exports/%" PRId64, k->id);
	if (k->endpoint == ENDPOINT_EXPORT && !k->is_export) {
		app_refuse(k->app, call, req, 404, "There is no such export");
	} else if (k->endpoint == ENDPOINT_EXPORT && k->state == JOB_DONE) {
		send_file(k->app, call, req, k->id, k->format);
	} else {
		serve_field(call, "Location", (struct hg_str){where, (size_t)n});
		if (k->state != JOB_DEAD) serve_field(call, "Retry-After", HG_STR("1"));
		app_answer(
		        k->app, call, req, k->state == JOB_DEAD ? 200 : 202, hg_buf_view(&k->body));
	}
}

static void answer(struct asking *k, struct serve_call *call, const struct serve_request *req,
        enum hg_rc rc, const char *why)
{
	struct app *a = k->app;
	bool exports = k->endpoint == ENDPOINT_EXPORTS || k->endpoint == ENDPOINT_EXPORT;
	if (rc == HG_E_NOT_FOUND)
		app_refuse(a, call, req, 404, exports ? "There is no such export" : why);
	else if (rc == HG_E_DB_CONSTRAINT)
		app_refuse(a, call, req, 409, why);
	else if (rc == HG_E_INVALID || rc == HG_E_TOO_LARGE)
		app_refuse(a, call, req, 400, why);
	else if (rc < 0)
		app_fail(a, call, req, ERROR_DATABASE, rc, why);
	else if (exports)
		answer_export(k, call, req);
	else
		app_answer(a, call, req, 200, hg_buf_view(&k->body));
	if (rc == HG_OK && k->method == HTTP1_POST) worker_nudge(a->workers);
}

static void done(struct desk_task *t, enum hg_rc rc, const char *why)
{
	struct asking *k = HG_CONTAINER(t, struct asking, task);
	struct serve_call *call = k->call;
	k->call = NULL;
	if (call) answer(k, call, k->req, rc, why);
	hg_buf_free(&k->body);
	free(k);
}

static void gone(void *arg)
{
	struct asking *k = arg;
	if (!k->call) return; /* it is being answered */
	k->call = NULL;
	desk_cancel(k->app->desk, &k->task);
}

/* ---- questions ---- */

static bool query_name(struct hg_str query, const char *name, char *to, struct hg_str *ret_v)
{
	*ret_v = HG_STR("");
	if (!serve_query(query, name, to, JOBS_NAME_MAX + 1)) return true;
	*ret_v = hg_str(to);
	return text_is_token(*ret_v, JOBS_NAME_MAX);
}

static bool query_number(struct hg_str query, const char *name, uint64_t max, uint64_t *number)
{
	char text[24];
	uint64_t n = 0;
	if (!serve_query(query, name, text, sizeof text)) return true;
	if (!hg_str_u64(hg_str(text), &n) || n < 1 || n > max) return false;
	*number = n;
	return true;
}

/* NULL, or what is wrong. */
static const char *filter_of(struct asking *k, const struct serve_request *req)
{
	uint64_t before = 0, limit = 100;
	char state[16];
	bool all = (k->endpoint == ENDPOINT_JOBS && k->method == HTTP1_DELETE) ||
	           k->endpoint == ENDPOINT_JOBS_RETRY;
	if (serve_query(req->query, "state", state, sizeof state)) {
		k->filter.by_state = true;
		if (!jobs_state_parse(hg_str(state), &k->filter.state))
			return "state must be available, running, retryable, dead or done";
	} else if (all) {
		return "state must be given, for example ?state=dead";
	}
	if (!query_name(req->query, "queue", k->queue, &k->filter.queue))
		return "queue must be the name of a queue";
	if (!query_name(req->query, "kind", k->kind, &k->filter.kind))
		return "kind must be the name of a kind of jobs";
	if (!query_number(req->query, "limit", 1000, &limit))
		return "limit must be a number from 1 to 1000";
	if (!query_number(req->query, "before", INT64_MAX, &before))
		return "before must be the id of a job";
	k->filter.limit = (uint32_t)limit;
	k->filter.before = (int64_t)before;
	return NULL;
}

/* {"format": "csv"}; nothing is csv. */
static const char *format_of(struct asking *k, const struct serve_request *req)
{
	if (!req->body.n) {
		(void)hg_str_copy(HG_STR("csv"), k->format, sizeof k->format);
		return NULL;
	}
	if (!jobs_arg_str(req->body, "format", k->format, sizeof k->format) ||
	        (strcmp(k->format, "csv") != 0 && strcmp(k->format, "json") != 0))
		return "format must be csv or json";
	return NULL;
}

void app_jobs(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r, struct deferred *d)
{
	const char *wrong = NULL;
	struct asking *k = NULL;
	app_deferred_free(d); /* from here on the task looks after the client */
	if (!app_admit(a, call, req, NULL,
	            r->endpoint == ENDPOINT_EXPORT || r->endpoint == ENDPOINT_EXPORTS
	                    ? ACCESS_EXPORTS_CREATE
	                    : ACCESS_JOBS_ADMIN))
		return;
	k = calloc(1, sizeof *k);
	if (!k) {
		app_fail(a, call, req, ERROR_OVERLOAD, HG_E_NOMEM, "");
		return;
	}
	*k = (struct asking){.task = {.run = run, .done = done},
	        .app = a,
	        .call = call,
	        .req = req,
	        .endpoint = r->endpoint,
	        .method = req->method,
	        .id = r->id};
	hg_buf_init(&k->body, ANSWER_MAX);
	wrong = r->endpoint == ENDPOINT_EXPORTS ? format_of(k, req) : filter_of(k, req);
	if (!wrong && desk_queue(a->desk, &k->task, 0)) {
		serve_later(call, gone, k);
		return;
	}
	free(k);
	if (wrong)
		app_refuse(a, call, req, 400, wrong);
	else
		app_fail(a, call, req, ERROR_OVERLOAD, HG_E_NOMEM, "the desk is full");
}

/* ---- depths for /metrics ---- */

struct measuring {
	struct desk_task task;
	struct app *app;
	struct deferred *d;
	struct hg_buf size, age;
	int64_t now_ms;
	uint32_t rows;
};

static void measure_depth(void *arg, const struct jobs_depth *d)
{
	struct measuring *m = arg;
	bool waits = d->state == JOB_AVAILABLE || d->state == JOB_RETRYABLE;
	const char *state = d->sent ? "sent" : job_state_name(d->state);
	hg_buf_fmt(&m->size, "queue_size{queue_name=\"%.*s\",state=\"%s\"} %" PRId64 "\n",
	        HG_STR_ARG(d->queue), state, d->jobs);
	if (waits)
		hg_buf_fmt(&m->age,
		        "queue_oldest_age_seconds{queue_name=\"%.*s\",state=\"%s\"} %.3f\n",
		        HG_STR_ARG(d->queue), state,
		        (double)HG_MAX(m->now_ms - d->oldest_ms, 0) / 1e3);
}

static enum hg_rc measure(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct measuring *m = HG_CONTAINER(t, struct measuring, task);
	struct jobs_store *s = NULL;
	enum hg_rc rc = jobs_store_new(db, &s, err);
	if (rc == HG_OK) rc = jobs_store_now(s, &m->now_ms, err);
	if (rc == HG_OK) rc = jobs_store_depths(s, false, measure_depth, m, err);
	jobs_store_free(s);
	return rc;
}

static void measured(struct desk_task *t, enum hg_rc rc, const char *why)
{
	struct measuring *m = HG_CONTAINER(t, struct measuring, task);
	struct app *a = m->app;
	struct deferred *d = m->d;
	(void)why;
	hg_buf_reset(&a->depths);
	if (rc == HG_OK) {
		hg_buf_cstr(&a->depths, "# HELP queue_size Jobs that are not done\n"
		                        "# TYPE queue_size gauge\n");
		hg_buf_str(&a->depths, hg_buf_view(&m->size));
		hg_buf_cstr(&a->depths,
		        "# HELP queue_oldest_age_seconds How long the next job has been due\n"
		        "# TYPE queue_oldest_age_seconds gauge\n");
		hg_buf_str(&a->depths, hg_buf_view(&m->age));
	}
	hg_buf_free(&m->size);
	hg_buf_free(&m->age);
	free(m);
	d->queued = false;
	if (d->call)
		app_measured(a, d);
	else
		app_deferred_free(d);
}

bool app_measure(struct app *a, struct deferred *d)
{
	struct measuring *m = calloc(1, sizeof *m);
	if (!m) return false;
	*m = (struct measuring){.task = {.run = measure, .done = measured}, .app = a, .d = d};
	hg_buf_init(&m->size, 1 << 20);
	hg_buf_init(&m->age, 1 << 20);
	d->queued = true;
	if (desk_queue(a->desk, &m->task, STORE_HEALTH_MS)) return true;
	d->queued = false;
	free(m);
	return false;
}
