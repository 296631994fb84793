#include "jobs/worker_priv.h"

#include <stdio.h>
#include <stdlib.h>

const struct job_kind *jobs_kind_of(const struct jobs_setting *set, struct hg_str name)
{
	for (uint32_t i = 0; i < set->kinds; i++)
		if (hg_str_eq(hg_str(set->kind[i].name), name)) return &set->kind[i];
	return NULL;
}

void jobs_run_free(struct job_run *run)
{
	if (!run) return;
	hg_buf_free(&run->loaded);
	hg_buf_free(&run->text);
	free(run->claimed);
	run->magic = 0;
	free(run);
}

static struct job_next next_of(const struct job_run *run, enum job_verdict verdict, int64_t now_ms)
{
	static const struct job_policy otherwise;
	const struct job *job = &run->claimed->job;
	struct job_policy p = run->kind ? run->kind->policy : otherwise;
	if (run->sent) return (struct job_next){JOB_AVAILABLE, now_ms, job->attempt};
	if (job->attempts_max) p.attempts_max = job->attempts_max;
	return job_decide_end(&p, verdict, job->attempt, run->after_ms, now_ms, run->unit);
}

static enum hg_rc write_end(
        struct jobs_store *s, struct job_run *run, int64_t now_ms, struct hg_err *err)
{
	const struct job *job = &run->claimed->job;
	run->next = next_of(run, run->verdict, now_ms);
	return jobs_store_end(s, job->id, job->lease, &run->next, hg_buf_view(&run->text), now_ms,
	        &run->ended, err);
}

/*
 * The end and what the handler writes with it: both or neither. What the handler cannot write is a
 * failure of the job; a database that is away shows at the next statement.
 */
static enum hg_rc end_settled(struct jobs_store *s, struct db *db, struct job_run *run,
        int64_t now_ms, struct hg_err *err)
{
	struct job_outcome o = {run->verdict, run->after_ms, hg_buf_view(&run->text)};
	struct hg_err why = {0};
	enum hg_rc rc = db_mark(db, err);
	if (rc == HG_OK) rc = write_end(s, run, now_ms, err);
	if (rc < 0) return rc;
	if (run->ended == JOBS_ENDED &&
	        run->kind->settle(run->kind->arg, db, &run->claimed->job, &o, &why) < 0) {
		rc = db_mark_undo(db, err);
		if (rc < 0) return rc;
		run->verdict = JOB_RETRY;
		hg_buf_reset(&run->text);
		hg_buf_fmt(&run->text, "its end could not be written: %s", why.message);
		return write_end(s, run, now_ms, err);
	}
	return db_mark_keep(db, err);
}

static enum hg_rc write_ends(
        struct jobs_store *s, struct db *db, struct turn *t, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	HG_LIST_EACH (node, &t->ending) {
		struct job_run *run = HG_CONTAINER(node, struct job_run, turn_node);
		bool settles = run->kind && run->kind->settle && run->verdict != JOB_RELEASE;
		rc = settles ? end_settled(s, db, run, t->now_ms, err)
		             : write_end(s, run, t->now_ms, err);
		if (rc < 0) break;
	}
	return rc;
}

static enum hg_rc add_run(
        const struct jobs_setting *set, struct turn *t, struct jobs_claimed *c, struct hg_err *err)
{
	struct job_run *run = calloc(1, sizeof *run);
	if (!run) {
		free(c);
		return hg_err_set(err, HG_E_NOMEM, "not enough memory for a job");
	}
	*run = (struct job_run){.magic = JOB_RUN_MAGIC,
	        .kind = jobs_kind_of(set, c->job.kind),
	        .claimed = c,
	        .leased_mono_ms = t->begun_mono_ms,
	        .lease_ms = set->lease_ms};
	run->sent = set->send;
	hg_buf_init(&run->loaded, JOBS_LOADED_MAX);
	hg_buf_init(&run->text, JOBS_ERROR_MAX * 2);
	hg_list_init(&run->node);
	hg_list_append(&t->claimed, &run->turn_node);
	t->claimed_n++;
	return HG_OK;
}

static struct jobs_claim claim_of(const struct jobs_setting *set, const struct turn *t)
{
	return (struct jobs_claim){.now_ms = t->now_ms,
	        .until_ms = t->now_ms + (int64_t)set->lease_ms,
	        .worker = set->name,
	        .send = set->send};
}

/* A broker is given only so much: what is lost with it is not much either. */
static enum hg_rc room_in_broker(struct jobs_store *s, uint32_t *most, struct hg_err *err)
{
	int64_t sent = 0;
	enum hg_rc rc = jobs_store_sent(s, &sent, err);
	*most = (uint32_t)HG_MIN((int64_t)*most, HG_MAX(RELAY_WINDOW - sent, 0));
	return rc;
}

static enum hg_rc claim(
        const struct jobs_setting *set, struct jobs_store *s, struct turn *t, struct hg_err *err)
{
	const char *queue[JOBS_QUEUES_MAX];
	struct jobs_claim c = claim_of(set, t);
	struct hg_list got;
	uint32_t n = 0;
	enum hg_rc rc;
	hg_list_init(&got);
	for (uint32_t i = 0; i < set->queues; i++)
		queue[i] = set->queue[(i + t->queue_first) % set->queues];
	c.queue = queue;
	c.queue_count = set->queues;
	c.most = t->plan.claim;
	rc = set->send ? room_in_broker(s, &c.most, err) : HG_OK;
	if (rc == HG_OK) rc = jobs_store_claim(s, &c, &got, &n, err);
	while (!hg_list_empty(&got)) {
		struct hg_list *node = hg_list_first(&got);
		struct jobs_claimed *one = HG_CONTAINER(node, struct jobs_claimed, node);
		hg_list_remove(node);
		if (rc == HG_OK)
			rc = add_run(set, t, one, err);
		else
			free(one);
	}
	t->claim_full = n == t->plan.claim;
	return rc;
}

static enum hg_rc take(
        const struct jobs_setting *set, struct jobs_store *s, struct turn *t, struct hg_err *err)
{
	struct jobs_claim c = claim_of(set, t);
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; rc == HG_OK && i < t->messages; i++) {
		const struct jobs_message *m = &t->message[i];
		struct jobs_claimed *got = NULL;
		rc = jobs_store_take(s, m->id, m->lease, &c, &got, err);
		t->stale[i] = rc == HG_OK && !got;
		if (rc == HG_OK && got) rc = add_run(set, t, got, err);
	}
	return rc;
}

static enum hg_rc beat(
        const struct jobs_setting *set, struct jobs_store *s, struct turn *t, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; rc == HG_OK && i < t->beats; i++) {
		struct jobs_beat *b = &t->beat[i];
		rc = jobs_store_beat(
		        s, b->id, b->lease, t->now_ms + (int64_t)set->lease_ms, &b->ours, err);
	}
	return rc;
}

static enum hg_rc write_all(const struct jobs_setting *set, struct jobs_store *s, struct db *db,
        struct turn *t, struct hg_err *err)
{
	enum hg_rc rc = write_ends(s, db, t, err);
	if (rc == HG_OK && t->plan.beat) rc = beat(set, s, t, err);
	if (rc == HG_OK && t->plan.rescue)
		rc = jobs_store_rescue(s, set->kind, set->kinds, t->now_ms, &t->rescued, err);
	if (rc == HG_OK && t->plan.sweep)
		rc = jobs_store_sweep(s, t->now_ms - (int64_t)set->keep_ms, &t->swept, err);
	if (rc == HG_OK && t->messages) rc = take(set, s, t, err);
	if (rc == HG_OK && t->plan.claim) rc = claim(set, s, t, err);
	return rc;
}

/* Before its run, and outside of the transaction: a handler may read much. */
static void load(struct db *db, struct turn *t)
{
	HG_LIST_EACH (node, &t->claimed) {
		struct job_run *run = HG_CONTAINER(node, struct job_run, turn_node);
		struct hg_err why = {0};
		if (!run->kind || !run->kind->load) continue;
		run->load_rc =
		        run->kind->load(run->kind->arg, db, &run->claimed->job, &run->loaded, &why);
		if (run->load_rc == HG_OK && run->loaded.failed) run->load_rc = HG_E_NOMEM;
		snprintf(run->load_why, sizeof run->load_why, "%.250s",
		        why.message[0] ? why.message : hg_rc_info(run->load_rc)->summary);
	}
}

static void forget_claims(struct turn *t)
{
	for (struct hg_list *node; (node = hg_list_pop(&t->claimed));)
		jobs_run_free(HG_CONTAINER(node, struct job_run, turn_node));
	t->claimed_n = 0;
}

enum hg_rc jobs_turn(const struct jobs_setting *set, struct jobs_store *s, struct db *db,
        struct turn *t, struct hg_err *err)
{
	enum hg_rc rc = jobs_store_now(s, &t->now_ms, err);
	if (rc < 0) return rc;
	t->next_due_ms = INT64_MAX;
	bool writes = t->plan.beat || t->plan.rescue || t->plan.sweep || t->messages ||
	              !hg_list_empty(&t->ending);
	/* Most claims find nothing: that is a read, which keeps no writer waiting. */
	if (t->plan.claim && !writes) {
		rc = jobs_store_due(s, set->queue, set->queues, &t->next_due_ms, err);
		if (rc < 0) return rc;
		if (t->next_due_ms > t->now_ms) t->plan.claim = 0;
	}
	if (!t->plan.claim && !writes) return HG_OK;
	rc = db_begin(db, err);
	if (rc < 0) return rc;
	rc = write_all(set, s, db, t, err);
	if (rc == HG_OK) rc = db_commit(db, err);
	if (rc < 0) {
		db_rollback(db);
		forget_claims(t);
		return rc;
	}
	load(db, t);
	return HG_OK;
}
