/* Answers: the envelope, and large results bit by bit. */
#include "api_priv.h"

#include <stdlib.h>

#include "os/clock.h"

#define JSON "application/json"

void pa_answer_error(struct serve_call *call, const struct pa_error *e)
{
	struct hg_buf b;
	if (e->kind == PA_UNAVAILABLE) serve_field(call, "Retry-After", HG_STR("1"));
	if (e->problem) {
		serve_problem(call, pa_status(e->kind), pa_code(e->kind), e->text);
		return;
	}
	hg_buf_init(&b, 16u << 10);
	pa_error_json(e, &b);
	serve_answer(call, pa_status(e->kind), JSON, hg_buf_view(&b));
	hg_buf_free(&b);
}

void promapi_unavailable(struct serve_call *call, const char *why)
{
	struct pa_error e = {0};
	(void)pa_fail(&e, PA_UNAVAILABLE, "%s", why);
	pa_answer_error(call, &e);
}

void pa_refuse_method(struct serve_call *call, bool post)
{
	struct pa_error e = {0};
	struct hg_buf b;
	(void)pa_fail(&e, PA_BAD_DATA, "this path has no such method");
	serve_field(call, "Allow", post ? HG_STR("GET, POST") : HG_STR("GET"));
	hg_buf_init(&b, 4096);
	pa_error_json(&e, &b);
	serve_answer(call, 405, JSON, hg_buf_view(&b));
	hg_buf_free(&b);
}

void pa_answer_data(struct serve_call *call, struct hg_str data)
{
	struct hg_buf b;
	hg_buf_init(&b, data.n + 64);
	hg_buf_cstr(&b, "{\"status\":\"success\",\"data\":");
	hg_buf_str(&b, data);
	hg_buf_byte(&b, '}');
	serve_answer(call, 200, JSON, hg_buf_view(&b));
	hg_buf_free(&b);
}

/* ---- making ---- */

static void compress_raw(struct pa_job *job, bool last)
{
	z_stream *z = job->deflate;
	z->next_in = (Bytef *)job->raw.p;
	z->avail_in = (uInt)job->raw.n;
	do {
		size_t room = 64u << 10;
		char *to = hg_buf_room(&job->out, room);
		if (!to) return;
		z->next_out = (Bytef *)to;
		z->avail_out = (uInt)room;
		(void)deflate(z, last ? Z_FINISH : Z_NO_FLUSH);
		hg_buf_add(&job->out, room - z->avail_out);
	} while (z->avail_out == 0);
	hg_buf_reset(&job->raw);
}

/* What is there becomes what is to be compressed. Without memory for it the answer is plain. */
static void compress_begin(struct pa_job *job)
{
	z_stream *z = calloc(1, sizeof *z);
	job->gzip = false;
	if (!z) return;
	/* The fastest level: the answer is text that repeats itself, and somebody waits. */
	if (deflateInit2(z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(z);
		return;
	}
	job->deflate = z;
	job->gzip = true;
	struct hg_buf swap = job->raw;
	job->raw = job->out;
	job->out = swap;
}

void pa_fill(struct pa_job *job, size_t least)
{
	while (job->more && !job->out.failed && job->out.n < least) {
		struct hg_buf *to = job->deflate ? &job->raw : &job->out;
		job->full = to->n + PA_SLICE;
		job->more(job, to);
		if (to->failed) job->out.failed = true;
		if (job->gzip && !job->deflate && to->n >= PA_GZIP_LEAST) compress_begin(job);
		if (job->deflate)
			compress_raw(job, !job->more);
		else
			job->gzip = false; /* not at the beginning: never */
	}
}

/* ---- sending ---- */

static void work_soon(struct pa_job *job)
{
	loop_task_queue(job->p->o.loop, &job->task);
}

/* The connection is cut, so that nobody takes the answer for whole. */
static void cut(struct pa_job *job)
{
	struct serve_call *call = job->call;
	pa_job_free(job);
	serve_abort(call);
}

static void send_slice(struct pa_job *job)
{
	if (job->sent == job->out.n) {
		hg_buf_reset(&job->out);
		job->sent = 0;
		pa_fill(job, 1);
		if (job->out.failed) {
			cut(job);
			return;
		}
	}
	struct hg_str part = {job->out.p + job->sent, job->out.n - job->sent};
	part.n = HG_MIN(part.n, PA_SLICE);
	job->sent += part.n;
	job->blocked = part.n && !serve_write(job->call, part);
	if (job->sent < job->out.n || job->more) {
		if (!job->blocked) work_soon(job);
		return;
	}
	struct serve_call *call = job->call;
	pa_job_free(job);
	serve_end(call);
}

static void on_task(struct loop *l, struct loop_task *t)
{
	struct pa_job *job = HG_CONTAINER(t, struct pa_job, task);
	(void)l;
	if (!job->blocked) send_slice(job);
}

static void on_writable(void *arg)
{
	struct pa_job *job = arg;
	job->blocked = false;
	work_soon(job);
}

void pa_answer_gone(void *arg)
{
	struct pa_job *job = arg;
	job->call = NULL;
	job->p->stats.canceled++;
	if (job->streaming || pool_take_back(job->p->pool, &job->pool)) {
		pa_job_free(job);
		return;
	}
	/* It runs: it looks at this between two series, and is freed when it is done. */
	atomic_store(&job->cancel, true);
}

static void count(const struct pa_job *job)
{
	struct promapi_stats *st = &job->p->stats;
	st->samples += job->samples;
	if (job->error.kind == PA_FINE || !job->call) return;
	if (job->error.kind == PA_TIMEOUT)
		st->timed_out++;
	else if (job->error.kind == PA_UNAVAILABLE)
		st->refused++;
	else
		st->failed++;
}

void pa_answer_job(struct pa_job *job)
{
	struct serve_call *call = job->call;
	count(job);
	if (!call) {
		pa_job_free(job);
		return;
	}
	if (job->error.kind == PA_FINE && job->out.failed)
		(void)pa_fail(&job->error, PA_INTERNAL, "no memory for the answer");
	if (job->error.kind != PA_FINE) {
		struct pa_error e = job->error;
		pa_job_free(job);
		pa_answer_error(call, &e);
		return;
	}
	if (job->deflate) {
		serve_field(call, "Content-Encoding", HG_STR("gzip"));
		serve_field(call, "Vary", HG_STR("Accept-Encoding"));
	}
	if (!job->more && job->out.n <= PA_WHOLE + PA_SLICE) {
		serve_answer(call, 200, job->type, hg_buf_view(&job->out));
		pa_job_free(job);
		return;
	}
	job->task.fn = on_task;
	job->streaming = true;
	serve_stream(call, 200, job->type, on_writable, pa_answer_gone, job);
	work_soon(job);
}
