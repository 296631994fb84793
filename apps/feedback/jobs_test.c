/*
 * Jobs for tests, and for trying a queue out, with FEEDBACK_FAULT=jobs only: the kind "test" does
 * what its arguments say, and mail and webhooks are written down in EXPORT_DIR/jobs.log instead of
 * being sent: one line each, "KIND KEY ATTEMPT PID ARGS", as whoever is told would see it.
 */
#include "apps/feedback/jobs_priv.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/file.h"

#include "apps/feedback/config_priv.h"

#define SLEEP_MAX_MS 600000

struct test_kind {
	char path[EXPORT_PATH_MAX];
};

/* One write: lines of several processes do not mix. */
static bool write_down(const struct test_kind *t, const struct job *job)
{
	char line[2000];
	int fd = file_open(t->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0) return false;
	int n = snprintf(line, sizeof line, "%.*s %.*s %u %d %.*s\n", HG_STR_ARG(job->kind),
	        HG_STR_ARG(job->key), job->attempt, (int)getpid(), (int)HG_MIN(job->args.n, 1500),
	        job->args.p);
	bool ok = file_write_all(fd, line, (size_t)n) == 0;
	close(fd);
	return ok;
}

static enum job_verdict work_test(
        void *arg, struct job_run *run, const atomic_bool *stop, struct hg_buf *text)
{
	const struct test_kind *t = arg;
	const struct job *job = job_of(run);
	int64_t ms = HG_MIN(jobs_arg_i64(job->args, "ms"), SLEEP_MAX_MS);
	int64_t fails = jobs_arg_i64(job->args, "fails"); /* so many attempts fail */
	uint64_t until = clock_mono_ms() + (uint64_t)HG_MAX(ms, 0);
	char what[16] = "";
	(void)jobs_arg_str(job->args, "do", what, sizeof what);
	while (clock_mono_ms() < until && !atomic_load(stop))
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	if (atomic_load(stop) || !job_is_ours(run)) {
		hg_buf_cstr(text, "stopped");
		return JOB_RETRY;
	}
	if (!strcmp(what, "crash")) abort();
	if (!strcmp(what, "give up") || !strcmp(what, "fail") || fails >= (int64_t)job->attempt) {
		hg_buf_fmt(text, "attempt %u fails, as it was asked to", job->attempt);
		return what[0] == 'g' ? JOB_GIVE_UP : JOB_RETRY;
	}
	if (!write_down(t, job)) {
		hg_buf_cstr(text, "it could not be written down");
		return JOB_RETRY;
	}
	hg_buf_cstr(text, "written down");
	return JOB_OK;
}

static const uint32_t soon_ms[] = {100, 200};

static bool make(const struct jobs_context *c, const char *name, struct job_kind *ret_kind)
{
	struct test_kind *t;
	if (c->config->fault.kind != FAULT_JOBS) return false;
	t = calloc(1, sizeof *t);
	if (!t) return false;
	snprintf(t->path, sizeof t->path, "%s/jobs.log", c->config->export_dir);
	(void)!file_mkdirs(c->config->export_dir, 0755); /* what goes wrong, writing says */
	*ret_kind = (struct job_kind){.name = name,
	        .work = work_test,
	        .arg = t,
	        .policy = {.schedule_ms = soon_ms, .schedule_count = HG_COUNT(soon_ms)}};
	return true;
}

bool jobs_make_test(const struct jobs_context *c, struct job_kind *ret_kind)
{
	return make(c, KIND_TEST, ret_kind);
}

bool jobs_make_test_email(const struct jobs_context *c, struct job_kind *ret_kind)
{
	return make(c, KIND_EMAIL, ret_kind);
}

bool jobs_make_test_webhook(const struct jobs_context *c, struct job_kind *ret_kind)
{
	return make(c, KIND_WEBHOOK, ret_kind);
}

void jobs_unmake_test(void *arg)
{
	free(arg);
}
