#include "tests/unit/test.h"

#include "tests/unit/db/dir.h"

#include "apps/feedback/writer.c"

struct seen {
	int created, missing, failed, other;
	int64_t last_id;
	uint64_t begun_ns; /* of the newest commit … */
	int commits;       /* … and how many there were */
};

static void on_done(void *arg, struct store_op *op)
{
	struct seen *s = arg;
	if (op->rc == HG_E_NOT_FOUND)
		s->missing++;
	else if (op->rc < 0)
		s->failed++;
	else if (op->kind == STORE_CREATE)
		s->created++;
	else
		s->other++;
	s->last_id = op->row.id;
	s->commits += op->begun_ns != s->begun_ns;
	s->begun_ns = op->begun_ns;
	free(op);
}

static struct rows *rows_for(const char *path)
{
	struct rows_options o = {.url = path, .durability = DB_NORMAL};
	struct hg_err err = {0};
	struct rows *r = NULL;
	if (rows_open(&o, &r, &err) < 0) fail_msg("%s", err.message);
	return r;
}

static struct store_op *op_of(enum store_kind kind, int64_t id)
{
	struct store_op *op = calloc(1, sizeof *op);
	assert_non_null(op);
	op->kind = kind;
	op->row.id = id;
	op->row.message = (struct message){.n = 2, .bytes = "hi"};
	return op;
}

static int64_t total_of(const char *path)
{
	struct rows *r = rows_for(path);
	int64_t n = -1;
	assert_int_equal(rows_total(r, &n, NULL), HG_OK);
	rows_close(r);
	return n;
}

static void operations_come_back_committed_in_their_order(void **state)
{
	struct dir *d = *state;
	struct loop *l = NULL;
	struct writer *w = NULL;
	struct seen s = {0};
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(writer_new(l, rows_for(d->db), on_done, &s, &w), HG_OK);
	for (int i = 0; i < 300; i++)
		assert_true(writer_queue(w, op_of(STORE_CREATE, 0)));
	assert_true(writer_queue(w, op_of(STORE_UPDATE, 300)));
	assert_true(writer_queue(w, op_of(STORE_DELETE, 300)));
	assert_true(writer_queue(w, op_of(STORE_DELETE, 300)));
	while (s.created + s.missing + s.failed + s.other < 303)
		assert_int_equal(loop_turn(l, 1000), HG_OK);
	assert_int_equal(s.created, 300);
	assert_int_equal(s.other, 2);
	assert_int_equal(s.missing, 1);
	assert_int_equal(s.failed, 0);
	/* seen by another connection: it is committed */
	assert_int_equal(total_of(d->db), 299);
	writer_free(w);
	loop_free(l);
}

static void what_was_queued_is_finished_before_the_end(void **state)
{
	struct dir *d = *state;
	struct loop *l = NULL;
	struct writer *w = NULL;
	struct seen s = {0};
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(writer_new(l, rows_for(d->db), on_done, &s, &w), HG_OK);
	for (int i = 0; i < 1000; i++)
		assert_true(writer_queue(w, op_of(STORE_CREATE, 0)));
	writer_free(w);
	assert_int_equal(s.created, 1000);
	assert_int_equal(total_of(d->db), 1000);
	loop_free(l);
}

/* Without that a durable create is a commit of its own, and waits for the disk for itself. */
static void what_one_turn_brings_is_one_commit(void **state)
{
	struct dir *d = *state;
	struct loop *l = NULL;
	struct writer *w = NULL;
	struct seen s = {0};
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(writer_new(l, rows_for(d->db), on_done, &s, &w), HG_OK);
	for (int turn = 1; turn <= 5; turn++) {
		for (int i = 0; i < 64; i++)
			assert_true(writer_queue(w, op_of(STORE_CREATE, 0)));
		while (s.created < 64 * turn)
			assert_int_equal(loop_turn(l, 1000), HG_OK);
		assert_int_equal(s.commits, turn);
	}
	writer_free(w);
	loop_free(l);
}

static void one_that_fails_takes_no_neighbour_with_it(void **state)
{
	struct dir *d = *state;
	struct loop *l = NULL;
	struct writer *w = NULL;
	struct db *db = NULL;
	struct seen s = {0};
	rows_close(rows_for(d->db));
	assert_int_equal(db_open(&(struct db_options){.url = d->db}, &db, NULL), HG_OK);
	/* A rule of the operator's own, before and behind the row and its total. */
	assert_int_equal(
	        db_exec(db,
	                "CREATE TRIGGER x BEFORE INSERT ON feedback WHEN NEW.message = 'no'"
	                " BEGIN SELECT raise(ABORT, 'x'); END; CREATE TRIGGER y AFTER"
	                " INSERT ON feedback WHEN NEW.message = 'on' BEGIN"
	                " SELECT raise(ABORT, 'y'); END;",
	                NULL),
	        HG_OK);
	db_close(db);
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(writer_new(l, rows_for(d->db), on_done, &s, &w), HG_OK);
	for (int i = 0; i < 60; i++) {
		struct store_op *op = op_of(STORE_CREATE, 0);
		if (i % 3) memcpy(op->row.message.bytes, i % 3 == 1 ? "no" : "on", 2);
		assert_true(writer_queue(w, op));
	}
	while (s.created + s.failed < 60)
		assert_int_equal(loop_turn(l, 1000), HG_OK);
	assert_int_equal(s.created, 20);
	assert_int_equal(s.failed, 40);
	assert_int_equal(s.commits, 1);
	assert_int_equal(total_of(d->db), 20);
	writer_free(w);
	loop_free(l);
}

static void a_full_queue_says_so_and_loses_nothing(void **state)
{
	struct dir *d = *state;
	struct loop *l = NULL;
	struct writer *w = NULL;
	struct seen s = {0};
	struct store_op *extra = op_of(STORE_CREATE, 0);
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(writer_new(l, rows_for(d->db), on_done, &s, &w), HG_OK);
	/* nothing is delivered while the loop does not turn, so the queue fills for certain */
	for (unsigned i = 0; i < WRITER_QUEUE_MAX; i++)
		assert_true(writer_queue(w, op_of(STORE_CREATE, 0)));
	assert_false(writer_queue(w, extra));
	free(extra);
	writer_free(w);
	assert_int_equal(s.created, WRITER_QUEUE_MAX);
	loop_free(l);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)
	const struct CMUnitTest tests[] = {
	        T(operations_come_back_committed_in_their_order),
	        T(what_was_queued_is_finished_before_the_end),
	        T(what_one_turn_brings_is_one_commit),
	        T(one_that_fails_takes_no_neighbour_with_it),
	        T(a_full_queue_says_so_and_loses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
