#include "tests/unit/test.h"

#include "jobs/store.c"

#include "tests/unit/jobs/table.h"

#define NOW 1795700000000ll

struct table {
	struct dir *dir;
	struct db *db;
	struct jobs_store *s;
};

static int setup(void **state)
{
	struct table *t = calloc(1, sizeof *t);
	if (!t || dir_setup((void **)&t->dir)) return -1;
	t->db = table_make(t->dir);
	t->s = table_store(t->db);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct table *t = *state;
	jobs_store_free(t->s);
	db_close(t->db);
	dir_teardown((void **)&t->dir);
	free(t);
	return 0;
}

static const char *const queues[] = {"a", "b"};

struct got {
	uint32_t n;
	struct jobs_claimed *job[64];
};

static void claim(
        struct table *t, uint32_t queue_count, uint32_t most, int64_t now, bool send, struct got *g)
{
	struct jobs_claim c = {queues, queue_count, most, now, now + 30000, "w1", send};
	struct hg_list to;
	struct hg_err err = {0};
	hg_list_init(&to);
	if (jobs_store_claim(t->s, &c, &to, &g->n, &err) < 0) fail_msg("%s", err.message);
	for (uint32_t i = 0; i < g->n; i++)
		g->job[i] = HG_CONTAINER(hg_list_pop(&to), struct jobs_claimed, node);
	assert_true(hg_list_empty(&to));
}

static void drop(struct got *g)
{
	while (g->n)
		free(g->job[--g->n]);
}

static int64_t put(struct table *t, struct job_new n)
{
	int64_t id = 0;
	bool made = false;
	if (!n.queue.n) n.queue = HG_STR("a");
	if (!n.kind.n) n.kind = HG_STR("k");
	assert_int_equal(jobs_store_put(t->s, &n, NOW, &id, &made, NULL), HG_OK);
	return made ? id : -id;
}

static void keep_row(void *arg, const struct job_row *row)
{
	*(struct job_row *)arg = *row;
	((struct job_row *)arg)->error.n = row->error.n;
}

static struct job_row row_of_job(struct table *t, int64_t id)
{
	struct job_row r = {0};
	assert_int_equal(jobs_store_get(t->s, id, keep_row, &r, NULL), HG_OK);
	return r;
}

static void end(
        struct table *t, const struct job *j, enum job_verdict v, int64_t now, enum jobs_ended want)
{
	struct job_policy p = {0};
	struct job_next next = job_decide_end(&p, v, j->attempt, 0, now, 0.5);
	enum jobs_ended how;
	struct hg_err err = {0};
	if (jobs_store_end(t->s, j->id, j->lease, &next, HG_STR("words"), now, &how, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(how, want);
}

static void jobs_come_by_priority_then_by_time_and_only_when_due(void **state)
{
	struct table *t = *state;
	struct got g;
	int64_t low = put(t, (struct job_new){.priority = 0}),
	        late = put(t, (struct job_new){.priority = 1, .run_at_ms = NOW - 5}),
	        first = put(t, (struct job_new){.priority = 1, .run_at_ms = NOW - 9}),
	        high = put(t, (struct job_new){.priority = 2}),
	        other = put(t, (struct job_new){.priority = 2, .queue = HG_STR("b")});
	put(t, (struct job_new){.priority = 2, .run_at_ms = NOW + 1});
	claim(t, 1, 2, NOW, false, &g);
	assert_int_equal(g.n, 2);
	assert_int_equal(g.job[0]->job.id, high);
	assert_int_equal(g.job[1]->job.id, first);
	drop(&g);
	claim(t, 2, 64, NOW, false, &g);
	assert_int_equal(g.n, 3);
	assert_int_equal(g.job[0]->job.id, late);
	assert_int_equal(g.job[1]->job.id, low);
	assert_int_equal(g.job[2]->job.id, other);
	assert_str(g.job[2]->job.queue, "b");
	drop(&g);
	claim(t, 2, 64, NOW + 1, false, &g);
	assert_int_equal(g.n, 1);
	drop(&g);
}

static void a_claim_says_what_is_to_be_done_and_is_one_attempt(void **state)
{
	struct table *t = *state;
	struct got g;
	struct job_new n = {.kind = HG_STR("mail"),
	        .args = HG_STR("{\"id\":7}"),
	        .attempts_max = 3,
	        .priority = 1};
	int64_t id = put(t, n);
	claim(t, 1, 64, NOW, false, &g);
	const struct job *j = &g.job[0]->job;
	char key[64];
	snprintf(key, sizeof key, "job-%lld-%llx", (long long)id, (unsigned long long)NOW);
	assert_str(j->kind, "mail");
	assert_str(j->args, "{\"id\":7}");
	assert_str(j->key, key);
	assert_int_equal(j->attempt, 1);
	assert_int_equal(j->attempts_max, 3);
	assert_int_equal(j->created_ms, NOW);
	end(t, j, JOB_RETRY, NOW, JOBS_ENDED);
	struct job_row r = row_of_job(t, id);
	assert_int_equal(r.state, JOB_RETRYABLE);
	assert_int_equal(r.run_at_ms, NOW + 16000);
	drop(&g);
	claim(t, 1, 64, NOW + 15999, false, &g);
	assert_int_equal(g.n, 0);
	claim(t, 1, 64, NOW + 16000, false, &g);
	assert_int_equal(g.job[0]->job.attempt, 2);
	assert_str(g.job[0]->job.key, key); /* the same for every attempt */
	end(t, &g.job[0]->job, JOB_OK, NOW, JOBS_ENDED);
	r = row_of_job(t, id);
	assert_int_equal(r.state, JOB_DONE);
	assert_int_equal(r.finished_ms, NOW);
	assert_int_equal(r.lease_until_ms, 0);
	drop(&g);
}

static void who_lost_its_lease_cannot_end_or_renew(void **state)
{
	struct table *t = *state;
	struct got old, new;
	bool ours = true;
	uint32_t n = 0;
	int64_t id = put(t, (struct job_new){.priority = 1});
	claim(t, 1, 1, NOW, false, &old);
	const struct job *j = &old.job[0]->job;
	assert_int_equal(jobs_store_rescue(t->s, NULL, 0, NOW + 30000, &n, NULL), HG_OK);
	assert_int_equal(n, 0); /* to the millisecond */
	assert_int_equal(jobs_store_beat(t->s, id, j->lease, NOW + 40000, &ours, NULL), HG_OK);
	assert_true(ours);
	assert_int_equal(jobs_store_rescue(t->s, NULL, 0, NOW + 40000, &n, NULL), HG_OK);
	assert_int_equal(n, 0);
	assert_int_equal(jobs_store_rescue(t->s, NULL, 0, NOW + 40001, &n, NULL), HG_OK);
	assert_int_equal(n, 1);
	/* rescued, not yet claimed by anybody */
	assert_int_equal(jobs_store_beat(t->s, id, j->lease, NOW + 70000, &ours, NULL), HG_OK);
	assert_false(ours);
	end(t, j, JOB_OK, NOW + 40002, JOBS_NOT_OURS);
	assert_int_equal(row_of_job(t, id).state, JOB_RETRYABLE);
	/* claimed by another */
	claim(t, 1, 1, NOW + 40002, false, &new);
	assert_int_equal(new.n, 1);
	assert_int_equal(new.job[0]->job.attempt, 2);
	end(t, j, JOB_OK, NOW + 40003, JOBS_NOT_OURS);
	assert_int_equal(row_of_job(t, id).state, JOB_RUNNING);
	end(t, &new.job[0]->job, JOB_OK, NOW + 40004, JOBS_ENDED);
	/* its commit was not heard of, and it says it again */
	end(t, &new.job[0]->job, JOB_OK, NOW + 40005, JOBS_ALREADY);
	assert_int_equal(row_of_job(t, id).finished_ms, NOW + 40004);
	drop(&old);
	drop(&new);
}

static void a_job_whose_workers_die_is_dead_after_its_attempts(void **state)
{
	struct table *t = *state;
	struct job_kind kind = {.name = "k", .policy.attempts_max = 2};
	int64_t id = put(t, (struct job_new){.priority = 1}), now = NOW;
	uint32_t n = 0;
	struct got g;
	for (int i = 0; i < 2; i++, now += 30001) {
		claim(t, 1, 1, now, false, &g);
		assert_int_equal(g.n, 1);
		drop(&g);
		assert_int_equal(jobs_store_rescue(t->s, &kind, 1, now + 30001, &n, NULL), HG_OK);
		assert_int_equal(n, 1);
	}
	struct job_row r = row_of_job(t, id);
	assert_int_equal(r.state, JOB_DEAD);
	assert_int_equal(r.finished_ms, now);
	assert_true(r.error.n > 0);
}

static void a_unique_key_is_taken_while_its_job_is_unfinished(void **state)
{
	struct table *t = *state;
	struct job_new n = {.unique_key = HG_STR("daily"), .priority = 1};
	struct job_new other_kind = {
	        .unique_key = HG_STR("daily"), .kind = HG_STR("x"), .priority = 1};
	struct got g;
	int64_t id = put(t, n);
	assert_int_equal(put(t, n), -id);
	assert_true(put(t, other_kind) > 0);
	claim(t, 1, 1, NOW, false, &g);
	assert_int_equal(put(t, n), -id); /* running */
	end(t, &g.job[0]->job, JOB_RETRY, NOW, JOBS_ENDED);
	assert_int_equal(put(t, n), -id); /* waits for its next attempt */
	drop(&g);
	claim(t, 1, 64, NOW + 16000, false, &g);
	for (uint32_t i = 0; i < g.n; i++)
		end(t, &g.job[i]->job, JOB_GIVE_UP, NOW, JOBS_ENDED);
	drop(&g);
	int64_t again = put(t, n);
	assert_true(again > id);
	/* the dead one cannot come back beside it */
	assert_int_equal(jobs_store_retry(t->s, id, NOW, NULL), HG_E_DB_CONSTRAINT);
	int64_t tried = -1;
	assert_int_equal(
	        jobs_store_retry_all(t->s, JOB_DEAD, HG_STR(""), NOW, &tried, NULL), HG_OK);
	assert_int_equal(tried, 1); /* that of the other kind */
}

static void people_try_again_and_purge(void **state)
{
	struct table *t = *state;
	struct got g;
	int64_t n = 0, id = put(t, (struct job_new){.priority = 1});
	put(t, (struct job_new){.priority = 1, .queue = HG_STR("b")});
	put(t, (struct job_new){.priority = 1, .queue = HG_STR("b")});
	claim(t, 2, 64, NOW, false, &g);
	assert_int_equal(jobs_store_retry(t->s, id, NOW, NULL), HG_E_DB_CONSTRAINT);
	assert_int_equal(jobs_store_delete(t->s, id, NULL), HG_E_DB_CONSTRAINT);
	assert_int_equal(jobs_store_retry(t->s, 99999, NOW, NULL), HG_E_NOT_FOUND);
	assert_int_equal(jobs_store_delete(t->s, 99999, NULL), HG_E_NOT_FOUND);
	for (uint32_t i = 0; i < g.n; i++)
		end(t, &g.job[i]->job, JOB_GIVE_UP, NOW, JOBS_ENDED);
	assert_int_equal(jobs_store_retry(t->s, id, NOW + 5, NULL), HG_OK);
	struct job_row r = row_of_job(t, id);
	assert_int_equal(r.state, JOB_AVAILABLE);
	assert_int_equal(r.attempt, 0);
	assert_int_equal(r.run_at_ms, NOW + 5);
	assert_int_equal(r.finished_ms, 0);
	assert_true(r.error.n > 0); /* what went wrong the last time is still to be read */
	/* whoever had it may not end it now */
	end(t, &g.job[0]->job, JOB_OK, NOW, JOBS_NOT_OURS);
	assert_int_equal(jobs_store_retry_all(t->s, JOB_DEAD, HG_STR("a"), NOW, &n, NULL), HG_OK);
	assert_int_equal(n, 0);
	assert_int_equal(jobs_store_retry_all(t->s, JOB_DEAD, HG_STR("b"), NOW, &n, NULL), HG_OK);
	assert_int_equal(n, 2);
	assert_int_equal(
	        jobs_store_retry_all(t->s, JOB_RUNNING, HG_STR(""), NOW, &n, NULL), HG_E_INVALID);
	assert_int_equal(jobs_store_purge(t->s, JOB_RUNNING, HG_STR(""), &n, NULL), HG_E_INVALID);
	assert_int_equal(jobs_store_purge(t->s, JOB_AVAILABLE, HG_STR("b"), &n, NULL), HG_OK);
	assert_int_equal(n, 2);
	assert_int_equal(jobs_store_delete(t->s, id, NULL), HG_OK);
	drop(&g);
}

static void what_ended_long_ago_is_swept(void **state)
{
	struct table *t = *state;
	struct got g;
	uint32_t n = 0;
	int64_t first = 0;
	for (int i = 0; i < 3; i++)
		first = put(t, (struct job_new){.priority = 1});
	claim(t, 1, 2, NOW, false, &g);
	end(t, &g.job[0]->job, JOB_OK, NOW, JOBS_ENDED);
	end(t, &g.job[1]->job, JOB_GIVE_UP, NOW + 10, JOBS_ENDED);
	drop(&g);
	assert_int_equal(jobs_store_sweep(t->s, NOW, &n, NULL), HG_OK);
	assert_int_equal(n, 0);
	assert_int_equal(jobs_store_sweep(t->s, NOW + 1, &n, NULL), HG_OK);
	assert_int_equal(n, 1);
	assert_int_equal(jobs_store_sweep(t->s, NOW + 99999, &n, NULL), HG_OK);
	assert_int_equal(n, 1);
	assert_int_equal(row_of_job(t, first).state, JOB_AVAILABLE); /* waiting is never over */
}

static void what_a_broker_was_given_is_taken_once_and_with_its_number(void **state)
{
	struct table *t = *state;
	struct got g;
	uint32_t n = 0;
	struct jobs_claimed *j = NULL;
	struct jobs_claim c = {.now_ms = NOW + 1, .until_ms = NOW + 30001, .worker = "w2"};
	int64_t id = put(t, (struct job_new){.priority = 1});
	claim(t, 1, 1, NOW, true, &g);
	assert_int_equal(g.job[0]->job.attempt, 0);
	int64_t lease = g.job[0]->job.lease;
	drop(&g);
	assert_true(row_of_job(t, id).sent);
	assert_int_equal(jobs_store_take(t->s, id, lease - 1, &c, &j, NULL), HG_OK);
	assert_null(j);
	/* lost in the broker: due again, and it was no attempt */
	assert_int_equal(jobs_store_rescue(t->s, NULL, 0, NOW + 30001, &n, NULL), HG_OK);
	assert_int_equal(n, 1);
	assert_int_equal(row_of_job(t, id).state, JOB_AVAILABLE);
	assert_int_equal(jobs_store_take(t->s, id, lease, &c, &j, NULL), HG_OK);
	assert_null(j);
	claim(t, 1, 1, NOW + 30001, true, &g);
	lease = g.job[0]->job.lease;
	drop(&g);
	assert_int_equal(jobs_store_take(t->s, id, lease, &c, &j, NULL), HG_OK);
	assert_non_null(j);
	assert_int_equal(j->job.attempt, 1);
	struct jobs_claimed *twice = NULL;
	assert_int_equal(jobs_store_take(t->s, id, lease, &c, &twice, NULL), HG_OK);
	assert_null(twice);
	end(t, &j->job, JOB_OK, NOW + 2, JOBS_ENDED);
	free(j);
}

static void count_row(void *arg, const struct job_row *row)
{
	int64_t *n = arg;
	n[0]++;
	n[1] = row->id;
}

static void sum_depth(void *arg, const struct jobs_depth *d)
{
	int64_t *n = arg;
	n[d->state] += d->jobs;
}

static void lists_and_depths_say_what_there_is(void **state)
{
	struct table *t = *state;
	struct got g;
	int64_t ids[5], seen[2] = {0}, depth[JOB_STATES] = {0};
	for (int i = 0; i < 5; i++)
		ids[i] = put(t, (struct job_new){
		                        .priority = 1, .queue = i < 3 ? HG_STR("a") : HG_STR("b")});
	claim(t, 1, 3, NOW, false, &g);
	end(t, &g.job[0]->job, JOB_GIVE_UP, NOW, JOBS_ENDED);
	end(t, &g.job[1]->job, JOB_OK, NOW, JOBS_ENDED);
	drop(&g);
	struct jobs_filter all = {.limit = 10};
	assert_int_equal(jobs_store_list(t->s, &all, count_row, seen, NULL), HG_OK);
	assert_int_equal(seen[0], 5);
	assert_int_equal(seen[1], ids[0]); /* newest first */
	seen[0] = 0;
	struct jobs_filter dead = {
	        .by_state = true, .state = JOB_DEAD, .queue = HG_STR("a"), .limit = 9};
	assert_int_equal(jobs_store_list(t->s, &dead, count_row, seen, NULL), HG_OK);
	assert_int_equal(seen[0], 1);
	seen[0] = 0;
	struct jobs_filter page = {.before = ids[2], .kind = HG_STR("k"), .limit = 1};
	assert_int_equal(jobs_store_list(t->s, &page, count_row, seen, NULL), HG_OK);
	assert_int_equal(seen[0], 1);
	assert_int_equal(seen[1], ids[1]);
	assert_int_equal(jobs_store_depths(t->s, false, sum_depth, depth, NULL), HG_OK);
	assert_int_equal(depth[JOB_AVAILABLE], 2);
	assert_int_equal(depth[JOB_RUNNING], 1);
	assert_int_equal(depth[JOB_DEAD], 1);
	assert_int_equal(depth[JOB_DONE], 0);
	assert_int_equal(jobs_store_depths(t->s, true, sum_depth, depth, NULL), HG_OK);
	assert_int_equal(depth[JOB_DONE], 1);
}

static void what_others_claim_at_the_moment_is_left_to_them(void **state)
{
	struct table *t = *state;
	struct got mine, theirs;
	if (!db_is_postgres(t->db)) return; /* a file has one writer at a time */
	struct db *db = table_connect(t->dir);
	struct table other = {.db = db, .s = table_store(db)};
	for (int i = 0; i < 4; i++)
		put(t, (struct job_new){.priority = 1});
	assert_int_equal(db_begin(t->db, NULL), HG_OK);
	claim(t, 1, 3, NOW, false, &mine);
	claim(&other, 1, 3, NOW, false, &theirs);
	assert_int_equal(mine.n, 3);
	assert_int_equal(theirs.n, 1);
	assert_int_equal(db_commit(t->db, NULL), HG_OK);
	drop(&mine);
	drop(&theirs);
	jobs_store_free(other.s);
	db_close(db);
}

static void claims_use_the_index_whatever_waits_for_later(void **state)
{
	struct table *t = *state;
	struct got g;
	if (db_is_postgres(t->db)) return; /* the plan depends on statistics there */
	struct db_stmt *q = NULL;
	bool row = false;
	char sql[1600];
	snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", sql_of[CLAIM_RUN].sqlite);
	assert_int_equal(db_prepare(t->db, sql, &q, NULL), HG_OK);
	bool indexed = false;
	while (db_step(q, &row, NULL) == HG_OK && row) {
		struct hg_str d = db_column_str(q, 3);
		char line[256];
		assert_true(hg_str_copy(d, line, sizeof line));
		if (strstr(line, "jobs_waiting")) indexed = strstr(line, "run_at<?") != NULL;
		assert_null(strstr(line, "SCAN jobs"));
	}
	db_stmt_free(q);
	assert_true(indexed);
	claim(t, 1, 1, NOW, false, &g);
	assert_int_equal(g.n, 0);
}

static void what_is_no_job_is_refused(void **state)
{
	struct table *t = *state;
	struct hg_err err = {0};
	int64_t id;
	bool made;
	struct job_new bad[] = {{.queue = HG_STR("a"), .kind = HG_STR("k"), .priority = 3},
	        {.kind = HG_STR("k")}, {.queue = HG_STR("a")},
	        {.queue = HG_STR("a"), .kind = HG_STR("k"), .args = {"", JOBS_ARGS_MAX + 1}}};
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		assert_true(jobs_store_put(t->s, &bad[i], NOW, &id, &made, &err) < 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	        TEST(jobs_come_by_priority_then_by_time_and_only_when_due),
	        TEST(a_claim_says_what_is_to_be_done_and_is_one_attempt),
	        TEST(who_lost_its_lease_cannot_end_or_renew),
	        TEST(a_job_whose_workers_die_is_dead_after_its_attempts),
	        TEST(a_unique_key_is_taken_while_its_job_is_unfinished),
	        TEST(people_try_again_and_purge),
	        TEST(what_ended_long_ago_is_swept),
	        TEST(what_a_broker_was_given_is_taken_once_and_with_its_number),
	        TEST(lists_and_depths_say_what_there_is),
	        TEST(what_others_claim_at_the_moment_is_left_to_them),
	        TEST(claims_use_the_index_whatever_waits_for_later),
	        TEST(what_is_no_job_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
