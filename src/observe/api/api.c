#include "api_priv.h"

#include <stdlib.h>

#include "os/clock.h"

#define CONFIG_MAX ((size_t)1 << 20)

/* ---- what threads share ---- */

void pa_lock(struct pa_job *job)
{
	if (!job->brief) observe_lock_take(job->p->o.lock);
}

void pa_unlock(struct pa_job *job)
{
	if (!job->brief) observe_lock_give(job->p->o.lock);
}

bool pa_may_go_on(struct pa_job *job)
{
	if (atomic_load(&job->cancel))
		return pa_fail(&job->error, PA_CANCELED, "the request was canceled");
	if (clock_mono_ms() < job->deadline_ms) return true;
	return pa_fail(&job->error, PA_TIMEOUT, "query timed out in query execution");
}

bool pa_reserve(struct pa_job *job)
{
	struct promapi *p = job->p;
	size_t held = atomic_load(&p->memory), take;
	do {
		size_t left = p->o.memory_max - HG_MIN(held, p->o.memory_max);
		/* Half, so that one large query does not keep all others from beginning. */
		take = HG_MIN(left, p->o.memory_max / 2);
		if (left < PA_LEAST)
			return pa_fail(&job->error, PA_UNAVAILABLE,
			        "the answers to other queries hold all the memory that queries may "
			        "have; try again");
	} while (!atomic_compare_exchange_weak(&p->memory, &held, held + take));
	job->memory = take;
	return true;
}

void pa_release(struct pa_job *job, size_t keep)
{
	if (keep < job->memory)
		atomic_fetch_sub(&job->p->memory, job->memory - keep);
	else
		atomic_fetch_add(&job->p->memory, keep - job->memory);
	job->memory = keep;
}

bool pa_select(struct pa_job *job, const char *param, const struct label_matcher *m, uint32_t n,
        struct tsdb_selection **ret_selection)
{
	struct tsdb_select_limits limits = {.bytes = TSDB_SELECT_BYTES - job->selected};
	struct hg_err err = {0};
	pa_lock(job);
	enum hg_rc rc = tsdb_select_within(
	        job->p->o.db, m, n, job->start_ms, job->end_ms, &limits, ret_selection, &err);
	pa_unlock(job);
	if (rc == HG_OK) {
		uint64_t left = TSDB_SELECT_BYTES - 1 - job->selected;
		job->selected += HG_MIN(tsdb_selection_bytes(*ret_selection), left);
		return true;
	}
	err.rc = rc;
	return pa_fail_from(&job->error, param, &err);
}

/* ---- jobs ---- */

void pa_job_free(struct pa_job *job)
{
	loop_task_cancel(&job->task);
	if (job->found_free) job->found_free(job);
	promql_result_free(job->result);
	if (job->deflate) (void)deflateEnd(job->deflate);
	free(job->deflate);
	hg_buf_free(&job->raw);
	hg_buf_free(&job->out);
	pa_release(job, 0);
	hg_list_remove(&job->node);
	pa_form_free(&job->form);
	free(job);
}

static void job_run(struct pool_job *pj)
{
	struct pa_job *job = HG_CONTAINER(pj, struct pa_job, pool);
	if (pa_may_go_on(job)) job->kind->run(job);
	if (job->error.kind == PA_FINE) pa_fill(job, PA_WHOLE);
}

static void job_done(struct pool_job *pj)
{
	pa_answer_job(HG_CONTAINER(pj, struct pa_job, pool));
}

static struct pa_job *job_new(struct promapi *p, struct serve_call *call,
        const struct serve_request *req, struct pa_form *form)
{
	const struct http1_field *f = http1_find(req->head, HTTP1_F_ACCEPT_ENCODING);
	struct pa_job *job = calloc(1, sizeof *job);
	if (!job) return NULL;
	*job = (struct pa_job){.p = p,
	        .call = call,
	        .pool = {.run = job_run, .done = job_done},
	        .type = "application/json",
	        .limit = UINT64_MAX,
	        .start_ms = -PA_TIME_MAX_MS,
	        .end_ms = PA_TIME_MAX_MS,
	        .given_ns = clock_mono_ns(),
	        .gzip = f && http1_list_has(f->value, HG_STR("gzip")),
	        .form = *form};
	atomic_init(&job->cancel, false);
	hg_buf_init(&job->out, (size_t)64 << 20);
	hg_buf_init(&job->raw, (size_t)64 << 20);
	hg_list_init(&job->node);
	hg_list_append(&p->jobs, &job->node);
	loop_task_init(&job->task, NULL);
	job->deadline_ms = clock_mono_ms() + p->o.deadline_ms;
	*form = (struct pa_form){0};
	return job;
}

/*
 * Most queries of a dashboard read a few series: a thread would take longer to wake up than they
 * take. They are tried here with a budget of less than a millisecond's work, and given to a thread
 * when it is spent. True: that was the answer, or the error that a thread would find, too.
 */
static bool try_here(struct pa_job *job)
{
	if (!job->kind->short_first || job->query.n > 4096) return false;
	job->brief = true;
	job->kind->run(job);
	job->brief = false;
	bool spent = job->error.kind == PA_TIMEOUT || job->error.kind == PA_EXECUTION ||
	             job->error.kind == PA_INTERNAL;
	if (spent) job->error = (struct pa_error){0};
	return !spent;
}

/* Takes the job. */
static void job_give(struct pa_job *job, const struct pa_kind_of_job *kind)
{
	struct promapi *p = job->p;
	job->kind = kind;
	p->stats.queries++;
	if (try_here(job)) {
		if (job->error.kind == PA_FINE) pa_fill(job, PA_SLICE);
		pa_answer_job(job);
		return;
	}
	bool full = pool_waiting(p->pool) >= p->o.queue_max;
	if (!full && pool_give(p->pool, &job->pool) == HG_OK) {
		serve_later(job->call, pa_answer_gone, job);
		return;
	}
	(void)pa_fail(&job->error, PA_UNAVAILABLE, "%s",
	        full ? "too many queries are waiting already; try again"
	             : "no thread could be started for the query; try again");
	pa_answer_job(job);
}

/* ---- requests ---- */

/* Frees the job and answers. */
static void job_refuse(struct pa_job *job)
{
	job->p->stats.failed++;
	struct serve_call *call = job->call;
	struct pa_error e = job->error;
	pa_job_free(job);
	pa_answer_error(call, &e);
}

static bool read_query(struct pa_job *job)
{
	const struct pa_form *f = &job->form;
	struct pa_error *e = &job->error;
	int64_t timeout = job->p->o.deadline_ms;
	job->query = pa_form_get(f, "query");
	job->stats = pa_form_get(f, "stats").n > 0;
	if (!pa_span_of(f, "timeout", &timeout, e) || !pa_limit_of(f, &job->limit, e) ||
	        !pa_span_of(f, "lookback_delta", &job->lookback_ms, e))
		return false;
	if (job->lookback_ms < 0)
		return pa_fail(
		        e, PA_BAD_DATA, "error parsing lookback delta duration: it is negative");
	timeout = HG_MAX(timeout, (int64_t)0);
	job->deadline_ms = HG_MIN(job->deadline_ms, clock_mono_ms() + (uint64_t)timeout);
	return true;
}

static bool read_instant(struct pa_job *job)
{
	job->start_ms = job->p->o.now_ms();
	if (!pa_time_of(&job->form, "time", &job->start_ms, &job->error)) return false;
	job->end_ms = job->start_ms;
	return read_query(job);
}

/* They have no default. */
static bool read_bound(struct pa_job *job, const char *name, int64_t *ret_ms)
{
	struct hg_str s = pa_form_get(&job->form, name);
	if (pa_time(s, ret_ms)) return true;
	return pa_fail_param(&job->error, name, "cannot parse \"%.*s\" to a valid timestamp",
	        (int)HG_MIN(s.n, (size_t)100), s.p);
}

static bool read_range(struct pa_job *job)
{
	struct pa_error *e = &job->error, why = {0};
	job->range = true;
	if (!read_bound(job, "start", &job->start_ms) || !read_bound(job, "end", &job->end_ms))
		return false;
	if (job->end_ms < job->start_ms)
		return pa_fail_param(e, "end", "end timestamp must not be before start time");
	if (!pa_span(pa_form_get(&job->form, "step"), &job->step_ms, &why))
		return pa_fail_param(e, "step", "%s", why.text);
	if (job->step_ms <= 0)
		return pa_fail_param(e, "step",
		        "zero or negative query resolution step widths are not accepted. Try a "
		        "positive integer");
	if ((job->end_ms - job->start_ms) / job->step_ms > PA_POINTS_MAX)
		return pa_fail(e, PA_BAD_DATA,
		        "exceeded maximum resolution of 11,000 points per timeseries. Try "
		        "decreasing the query resolution (?step=XX)");
	return read_query(job);
}

static bool read_names(struct pa_job *job)
{
	struct pa_form *f = &job->form;
	struct pa_error *e = &job->error;
	return pa_limit_of(f, &job->limit, e) && pa_time_of(f, "start", &job->start_ms, e) &&
	       pa_time_of(f, "end", &job->end_ms, e) &&
	       pa_form_all(f, "match[]", &job->match, &job->match_n, e);
}

static bool read_series(struct pa_job *job)
{
	if (!read_names(job)) return false;
	return job->match_n > 0 ||
	       pa_fail(&job->error, PA_BAD_DATA, "no match[] parameter provided");
}

static bool read_values(struct pa_job *job)
{
	if (!pa_label_name(&job->form, job->label, &job->label))
		return pa_fail(&job->error, PA_INTERNAL, "no memory for the parameters");
	if (!job->label.n || !hg_utf8_valid(job->label))
		return pa_fail(&job->error, PA_BAD_DATA, "invalid label name: \"%.*s\"",
		        (int)HG_MIN(job->label.n, (size_t)100), job->label.p);
	return read_names(job);
}

static bool read_text(struct pa_job *job)
{
	job->query = pa_form_get(&job->form, "query");
	return true;
}

static bool read_federate(struct pa_job *job)
{
	job->end_ms = job->p->o.now_ms();
	job->start_ms = job->end_ms - 300000 + 1;
	job->type = "text/plain; version=0.0.4; charset=utf-8";
	if (labels_copy(&job->form.mem, job->p->external, &job->external) < 0)
		return pa_fail(&job->error, PA_INTERNAL, "no memory for the external labels");
	return pa_form_all(&job->form, "match[]", &job->match, &job->match_n, &job->error);
}

static bool read_cardinality(struct pa_job *job)
{
	struct tsdb_stats st;
	job->limit = 10;
	job->end_ms = job->p->o.now_ms();
	job->start_ms = job->end_ms - 3600000;
	tsdb_stats(job->p->o.db, &st);
	if (st.min_ms != TSDB_NO_MAX) {
		job->head_min_ms = st.min_ms;
		job->head_max_ms = st.max_ms;
	}
	return pa_limit_of(&job->form, &job->limit, &job->error);
}

static bool read_columns(struct pa_job *job)
{
	struct pa_error *e = &job->error;
	e->problem = true;
	if (!pa_form_all(&job->form, "query", &job->queries, &job->query_n, e)) return false;
	if (job->query_n == 0 || job->query_n > PA_COLUMNS_MAX)
		return pa_fail_param(e, "query", "it is there %u times, and may be 1 to %d times",
		        job->query_n, PA_COLUMNS_MAX);
	return read_range(job);
}

#define M_GET  1u
#define M_POST 2u

static const struct route {
	const char *path;
	unsigned methods;
	bool (*read)(struct pa_job *job);
	const struct pa_kind_of_job *kind;
} route[] = {
        {"/api/v1/query", M_GET | M_POST, read_instant, &pa_job_query},
        {"/api/v1/query_range", M_GET | M_POST, read_range, &pa_job_query},
        {"/api/v1/series", M_GET | M_POST, read_series, &pa_job_series},
        {"/api/v1/labels", M_GET | M_POST, read_names, &pa_job_labels},
        {"/api/v1/format_query", M_GET | M_POST, read_text, &pa_job_format},
        {"/api/v1/parse_query", M_GET | M_POST, read_text, &pa_job_tree},
        {"/api/v1/status/tsdb", M_GET, read_cardinality, &pa_job_cardinality},
        {"/federate", M_GET, read_federate, &pa_job_federate},
        {"/v1/columns", M_POST, read_columns, &pa_job_columns},
};

static unsigned method_bit(enum http1_method m)
{
	return m == HTTP1_GET || m == HTTP1_HEAD ? M_GET : m == HTTP1_POST ? M_POST : 0;
}

static void begin(struct promapi *p, struct serve_call *call, const struct serve_request *req,
        struct pa_form *form, const struct route *r, struct hg_str label)
{
	struct pa_job *job = job_new(p, call, req, form);
	if (!job) {
		struct pa_error e = {0};
		pa_form_free(form);
		(void)pa_fail(&e, PA_INTERNAL, "no memory for the request");
		pa_answer_error(call, &e);
		return;
	}
	/* The path is gone when the client is. */
	job->label = label.n ? hg_arena_str(&job->form.mem, label) : label;
	if (label.n && !job->label.p) {
		(void)pa_fail(&job->error, PA_INTERNAL, "no memory for the request");
		job_refuse(job);
		return;
	}
	if (r->read(job))
		job_give(job, r->kind);
	else
		job_refuse(job);
}

/* "/api/v1/label/NAME/values" */
static bool label_path(struct hg_str path, struct hg_str *ret_label)
{
	struct hg_str head = HG_STR("/api/v1/label/"), tail = HG_STR("/values");
	if (path.n < head.n + tail.n || !hg_str_starts(path, head) || !hg_str_ends(path, tail))
		return false;
	*ret_label = (struct hg_str){path.p + head.n, path.n - head.n - tail.n};
	return hg_str_find(*ret_label, '/') == ret_label->n;
}

static const struct route *route_find(struct hg_str path, struct hg_str *ret_label)
{
	static const struct route values = {NULL, M_GET, read_values, &pa_job_values};
	*ret_label = (struct hg_str){0};
	for (size_t i = 0; i < HG_COUNT(route); i++)
		if (hg_str_eq(path, hg_str(route[i].path))) return &route[i];
	return label_path(path, ret_label) ? &values : NULL;
}

static bool form_read(struct pa_form *form, const struct serve_request *req, struct pa_error *e)
{
	const struct http1_field *f = http1_find(req->head, HTTP1_F_CONTENT_TYPE);
	struct hg_str none = {0}, kind = f ? f->value : none;
	kind = hg_str_trim(hg_str_cut(&kind, ';'));
	bool is_form = req->method == HTTP1_POST &&
	               hg_str_eq_nocase(kind, HG_STR("application/x-www-form-urlencoded"));
	return pa_form_read(form, is_form ? req->body : none, req->query, e);
}

static bool ours(struct hg_str path)
{
	return hg_str_starts(path, HG_STR("/api/v1/")) || hg_str_eq(path, HG_STR("/federate")) ||
	       hg_str_eq(path, HG_STR("/v1/columns")) || hg_str_starts(path, HG_STR("/-/"));
}

bool promapi_http(struct promapi *p, struct serve_call *call, const struct serve_request *req)
{
	struct hg_str label;
	struct pa_error e = {0};
	struct pa_form form = {0};
	if (!ours(req->path)) return false;
	const struct route *r = route_find(req->path, &label);
	p->stats.requests++;
	e.problem = r && r->kind == &pa_job_columns;
	if (r && !(r->methods & method_bit(req->method))) {
		pa_refuse_method(call, r->methods & M_POST);
		return true;
	}
	if (!form_read(&form, req, &e)) {
		pa_form_free(&form);
		pa_answer_error(call, &e);
		return true;
	}
	if (r) {
		begin(p, call, req, &form, r, label);
		return true;
	}
	pa_status_http(p, call, req, &form);
	pa_form_free(&form);
	return true;
}

/* ---- the object ---- */

enum hg_rc promapi_new(
        const struct promapi_options *o, struct promapi **ret_api, struct hg_err *err)
{
	struct promapi *p = calloc(1, sizeof *p);
	if (!p) return hg_err_set(err, HG_E_NOMEM, "no memory for the API of metrics");
	p->o = *o;
	if (!p->o.threads) p->o.threads = PROMAPI_THREADS;
	if (!p->o.queue_max) p->o.queue_max = PROMAPI_QUEUE_MAX;
	if (!p->o.memory_max) p->o.memory_max = PROMAPI_MEMORY_MAX;
	if (!p->o.deadline_ms) p->o.deadline_ms = PROMAPI_DEADLINE_MS;
	hg_list_init(&p->jobs);
	hg_buf_init(&p->config, CONFIG_MAX);
	atomic_init(&p->memory, 0);
	p->started_ms = o->now_ms();
	enum hg_rc rc = pool_new(o->loop, p->o.threads, &p->pool);
	if (rc < 0) {
		free(p);
		return hg_err_set(err, rc, "the threads for queries could not be prepared");
	}
	*ret_api = p;
	return HG_OK;
}

void promapi_free(struct promapi *p)
{
	if (!p) return;
	HG_LIST_EACH (at, &p->jobs) {
		atomic_store(&HG_CONTAINER(at, struct pa_job, node)->cancel, true);
	}
	pool_free(p->pool, observe_lock_give, observe_lock_take, p->o.lock);
	HG_LIST_EACH_SAFE (at, after, &p->jobs) {
		pa_job_free(HG_CONTAINER(at, struct pa_job, node));
	}
	labels_free(p->external);
	hg_buf_free(&p->config);
	free(p);
}

enum hg_rc promapi_external_labels(struct promapi *p, struct labels ls)
{
	struct labels copy = {0};
	enum hg_rc rc = ls.n ? labels_clone(ls, &copy) : HG_OK;
	if (rc < 0) return rc;
	labels_free(p->external);
	p->external = copy;
	return HG_OK;
}

enum hg_rc promapi_config_text(struct promapi *p, struct hg_str yaml)
{
	struct hg_buf b;
	hg_buf_init(&b, CONFIG_MAX);
	hg_buf_str(&b, yaml);
	if (b.failed) {
		hg_buf_free(&b);
		return HG_E_NOMEM;
	}
	hg_buf_free(&p->config);
	p->config = b;
	return HG_OK;
}

void promapi_rules_set(struct promapi *p, const struct promapi_rules *r)
{
	p->rules = r ? *r : (struct promapi_rules){0};
}

bool promapi_wanted(const struct hg_str *list, uint32_t n, struct hg_str text)
{
	for (uint32_t i = 0; i < n; i++)
		if (hg_str_eq(list[i], text)) return true;
	return n == 0;
}

void promapi_stats(const struct promapi *p, struct promapi_stats *ret_stats)
{
	*ret_stats = p->stats;
	ret_stats->running = pool_running(p->pool);
	ret_stats->waiting = pool_waiting(p->pool);
	ret_stats->memory = atomic_load(&p->memory);
}
