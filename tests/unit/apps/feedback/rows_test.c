#include "tests/unit/test.h"

#include "tests/unit/db/dir.h"

#include "apps/feedback/rows.c"

static struct rows *open_ok(const char *path)
{
	struct rows_options o = {.url = path, .durability = DB_NORMAL};
	struct hg_err err = {0};
	struct rows *r = NULL;
	if (rows_open(&o, &r, &err) < 0) fail_msg("%s %s", err.message, err.detail);
	return r;
}

static int64_t add(struct rows *r, const char *text)
{
	struct message m = {.n = strlen(text)};
	struct row row;
	memcpy(m.bytes, text, m.n);
	assert_int_equal(rows_create(r, &m, 0, 1792393943109149123u, &row, NULL), HG_OK);
	assert_str(((struct hg_str){row.message.bytes, row.message.n}), text);
	assert_string_equal(row.created_at, "2026-10-19T07:12:23.109149Z");
	assert_string_equal(row.updated_at, row.created_at);
	return row.id;
}

static int64_t total_of(struct rows *r)
{
	int64_t n = -1;
	assert_int_equal(rows_total(r, &n, NULL), HG_OK);
	return n;
}

static void a_row_is_created_read_changed_and_deleted(void **state)
{
	struct dir *d = *state;
	struct rows *r = open_ok(d->db);
	struct message m = {.n = 3, .bytes = "new"};
	struct row row;
	int64_t id = add(r, "old");
	assert_int_equal(total_of(r), 1);
	assert_int_equal(rows_update(r, id, 0, &m, 1792393944000000000u, &row, NULL), HG_OK);
	assert_int_equal(rows_get(r, id, &row, NULL), HG_OK);
	assert_str(((struct hg_str){row.message.bytes, row.message.n}), "new");
	assert_string_equal(row.created_at, "2026-10-19T07:12:23.109149Z");
	assert_string_equal(row.updated_at, "2026-10-19T07:12:24.000000Z");
	assert_int_equal(rows_delete(r, id, 0, NULL), HG_OK);
	assert_int_equal(rows_delete(r, id, 0, NULL), HG_E_NOT_FOUND);
	assert_int_equal(rows_get(r, id, &row, NULL), HG_E_NOT_FOUND);
	assert_int_equal(rows_update(r, id, 0, &m, 1, &row, NULL), HG_E_NOT_FOUND);
	assert_int_equal(total_of(r), 0);
	/* an id is never given twice */
	assert_true(add(r, "next") > id);
	rows_close(r);
}

static void the_list_is_newest_first_and_pages_meet_without_gap_or_overlap(void **state)
{
	enum { N = 25 };
	struct dir *d = *state;
	struct rows *r = open_ok(d->db);
	struct hg_buf b;
	struct rows_page page = {0};
	int64_t before = 0;
	int seen = 0, pages = 0;
	hg_buf_init(&b, 1 << 20);
	for (int i = 1; i <= N; i++)
		assert_int_equal(add(r, "x"), i);
	do {
		hg_buf_reset(&b);
		assert_int_equal(rows_list(r, ROWS_V1, before, 10, &b, &page, NULL), HG_OK);
		for (const char *p = hg_buf_text(&b); (p = strstr(p, "{\"id\":")); p++) {
			assert_int_equal(strtoll(p + 6, NULL, 10), N - seen);
			seen++;
		}
		before = page.next;
		pages++;
	} while (page.next);
	assert_int_equal(seen, N);
	assert_int_equal(pages, 3);
	/* a last page that is just full has no next */
	hg_buf_reset(&b);
	assert_int_equal(rows_list(r, ROWS_V1, 11, 10, &b, &page, NULL), HG_OK);
	assert_int_equal(page.next, 0);
	assert_int_equal(page.total, N);
	hg_buf_reset(&b);
	assert_int_equal(rows_list(r, ROWS_V1, 1, 10, &b, &page, NULL), HG_OK);
	assert_string_equal(hg_buf_text(&b), "[]\n");
	hg_buf_free(&b);
	rows_close(r);
}

static void messages_are_escaped_in_json_and_kept_byte_by_byte(void **state)
{
	struct dir *d = *state;
	struct rows *r = open_ok(d->db);
	struct hg_buf b;
	struct rows_page page = {0};
	struct row row;
	hg_buf_init(&b, 1 << 20);
	add(r, "a\"b\\c\n\x01 </script>\xe2\x80\xa8\xf0\x9f\x8c\x8a");
#define WANT                                                                                     \
	"{\"id\":1,\"message\":\"a\\\"b\\\\c\\n\\u0001 </script>\xe2\x80\xa8\xf0\x9f\x8c\x8a\"," \
	"\"created_at\":\"2026-10-19T07:12:23.109149Z\",\"updated_at\":\"2026-10-19T07:12:23."   \
	"109149Z\"}"
	assert_int_equal(rows_list(r, ROWS_V1, 0, 10, &b, &page, NULL), HG_OK);
	assert_string_equal(hg_buf_text(&b), "[" WANT "]\n");
	hg_buf_reset(&b);
	assert_int_equal(rows_get(r, 1, &row, NULL), HG_OK);
	row_json(&row, ROWS_V1, &b);
	assert_string_equal(hg_buf_text(&b), WANT "\n");
	/* the second version has two members more */
	hg_buf_reset(&b);
	row_json(&row, ROWS_V2, &b);
	assert_true(hg_str_ends(
	        hg_buf_view(&b), HG_STR("109149Z\",\"votes\":0,\"status\":\"open\"}\n")));
	hg_buf_reset(&b);
	assert_int_equal(rows_list(r, ROWS_V2, 0, 10, &b, &page, NULL), HG_OK);
	assert_true(hg_str_ends(
	        hg_buf_view(&b), HG_STR("109149Z\",\"votes\":0,\"status\":\"open\"}]\n")));
	hg_buf_free(&b);
	rows_close(r);
}

static int64_t stamp_of(struct rows *r)
{
	int64_t total, stamp = 0;
	assert_int_equal(rows_stamp(r, &total, &stamp, NULL), HG_OK);
	return stamp;
}

/* A vote, and what it must come to; the stamp is another one exactly when something has changed. */
static void vote(struct rows *r, int64_t id, int64_t voter, bool given, bool change, int64_t votes)
{
	struct row row = {0};
	bool changed = !change;
	int64_t stamp = stamp_of(r);
	assert_int_equal(rows_vote(r, id, voter, given, 5000000, &row, &changed, NULL), HG_OK);
	assert_int_equal(changed, change);
	assert_int_equal(row.id, id);
	assert_int_equal(row.votes, votes);
	assert_int_equal(stamp != stamp_of(r), change);
}

static void a_vote_counts_once_and_draws_a_new_stamp(void **state)
{
	struct dir *d = *state;
	struct rows *r = open_ok(d->db);
	struct row row;
	bool changed;
	int64_t id = add(r, "one"), other = add(r, "two"), n = -1;
	vote(r, id, 7, true, true, 1);
	vote(r, id, 7, true, false, 1);
	vote(r, id, -8, true, true, 2);
	vote(r, other, 7, true, true, 1);
	vote(r, id, 9, false, false, 2);
	vote(r, id, 7, false, true, 1);
	vote(r, id, 7, false, false, 1);
	assert_int_equal(rows_get(r, other, &row, NULL), HG_OK);
	assert_int_equal(row.votes, 1);
	assert_int_equal(rows_vote(r, 99, 7, true, 1, &row, &changed, NULL), HG_E_NOT_FOUND);
	assert_int_equal(rows_vote(r, 99, 7, false, 1, &row, &changed, NULL), HG_E_NOT_FOUND);
	/* what is deleted takes its votes along */
	assert_int_equal(rows_delete(r, id, 0, NULL), HG_OK);
	assert_int_equal(
	        db_query_i64(r->db, "SELECT count(*) FROM feedback_votes", &n, NULL), HG_OK);
	assert_int_equal(n, 1);
	rows_close(r);
}

static void a_status_that_is_the_same_changes_nothing(void **state)
{
	struct dir *d = *state;
	struct rows *r = open_ok(d->db);
	struct row row;
	bool changed = false;
	int64_t id = add(r, "one"), before = stamp_of(r);
	assert_int_equal(rows_status(r, id, STATUS_DONE, 1, &row, &changed, NULL), HG_OK);
	assert_true(changed && row.status == STATUS_DONE && row.id == id);
	assert_string_equal(row.updated_at, row.created_at);
	int64_t after = stamp_of(r);
	assert_true(after != before);
	assert_int_equal(rows_status(r, id, STATUS_DONE, 1, &row, &changed, NULL), HG_OK);
	assert_true(!changed && row.status == STATUS_DONE && after == stamp_of(r));
	assert_int_equal(rows_status(r, 99, STATUS_DONE, 1, &row, &changed, NULL), HG_E_NOT_FOUND);
	rows_close(r);
}

static enum rows_once once(
        struct rows *r, const char *key, const char *text, uint64_t wall_s, struct row *ret_row)
{
	struct message m = {.n = strlen(text)};
	enum rows_once once = ROWS_OTHER;
	memcpy(m.bytes, text, m.n);
	assert_int_equal(rows_begin(r, NULL), HG_OK);
	assert_int_equal(
	        rows_create_once(r, hg_str(key), &m, 0, wall_s * 1000000000u, ret_row, &once, NULL),
	        HG_OK);
	assert_int_equal(rows_commit(r, NULL), HG_OK);
	return once;
}

static void a_key_makes_one_row_and_gives_it_again_as_it_was_made(void **state)
{
	enum { DAY = 24 * 3600, NOW = 1792393943 };
	struct dir *d = *state;
	struct rows *r = open_ok(d->db);
	struct message changed = {.n = 7, .bytes = "changed"};
	struct row first, row;
	assert_int_equal(once(r, "k1", "one", NOW, &first), ROWS_FIRST);
	assert_int_equal(once(r, "k2", "one", NOW, &row), ROWS_FIRST);
	assert_int_equal(total_of(r), 2);
	assert_int_equal(rows_update(r, first.id, 0, &changed, 1, &row, NULL), HG_OK);
	assert_int_equal(once(r, "k1", "one", NOW + DAY - 1, &row), ROWS_AGAIN);
	assert_int_equal(row.id, first.id);
	assert_str(((struct hg_str){row.message.bytes, row.message.n}), "one");
	assert_string_equal(row.created_at, first.created_at);
	assert_string_equal(row.updated_at, first.updated_at);
	assert_int_equal(once(r, "k1", "two", NOW, &row), ROWS_OTHER);
	assert_int_equal(rows_delete(r, first.id, 0, NULL), HG_OK);
	assert_int_equal(once(r, "k1", "one", NOW, &row), ROWS_AGAIN);
	assert_int_equal(total_of(r), 1);
	/* a day later it is a new wish */
	assert_int_equal(once(r, "k1", "one", NOW + DAY + 1, &row), ROWS_FIRST);
	assert_int_equal(total_of(r), 2);
	rows_close(r);
}

static void old_keys_leave_faster_than_new_ones_come(void **state)
{
	enum { OLD = 40, DAY = 24 * 3600, NOW = 1792393943 };
	struct dir *d = *state;
	struct rows *r = open_ok(d->db);
	struct db_stmt *s = NULL;
	struct row row;
	char key[16];
	bool more = false;
	for (int i = 0; i < OLD; i++) {
		snprintf(key, sizeof key, "old%d", i);
		assert_int_equal(once(r, key, "x", NOW, &row), ROWS_FIRST);
	}
	for (int i = 0; i < OLD / KEYS_A_WRITE; i++) {
		snprintf(key, sizeof key, "new%d", i);
		assert_int_equal(once(r, key, "x", NOW + 2 * DAY, &row), ROWS_FIRST);
	}
	assert_int_equal(db_prepare(r->db, "SELECT count(*) FROM feedback_keys", &s, NULL), HG_OK);
	assert_int_equal(db_step(s, &more, NULL), HG_OK);
	assert_int_equal(db_column_i64(s, 0), OLD / KEYS_A_WRITE);
	db_stmt_free(s);
	rows_close(r);
}

static void a_database_of_the_first_app_is_taken_over(void **state)
{
	struct dir *d = *state;
	struct db_options o = {.url = d->db};
	struct db *db = NULL;
	struct row row;
	assert_int_equal(db_open(&o, &db, NULL), HG_OK);
	assert_int_equal(db_exec(db,
	                         "CREATE TABLE feedback(id INTEGER PRIMARY KEY AUTOINCREMENT, "
	                         "message TEXT NOT"
	                         " NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL);"
	                         "INSERT INTO feedback(message, created_at, updated_at) VALUES"
	                         "('one', '2026-11-21T07:12:23.109149', '2026-11-21T07:12:23'),"
	                         "('two', '2026-11-21T07:12:23+00:00', '2026-11-21T07:12:23Z')",
	                         NULL),
	        HG_OK);
	db_close(db);
	struct rows *r = open_ok(d->db);
	assert_int_equal(total_of(r), 2);
	assert_int_equal(rows_get(r, 1, &row, NULL), HG_OK);
	assert_string_equal(row.created_at, "2026-11-21T07:12:23.109149Z");
	assert_string_equal(row.updated_at, "2026-11-21T07:12:23Z");
	assert_int_equal(rows_get(r, 2, &row, NULL), HG_OK);
	assert_string_equal(row.created_at, "2026-11-21T07:12:23+00:00");
	assert_int_equal(add(r, "three"), 3);
	assert_int_equal(total_of(r), 3);
	rows_close(r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)
	const struct CMUnitTest tests[] = {
	        T(a_row_is_created_read_changed_and_deleted),
	        T(the_list_is_newest_first_and_pages_meet_without_gap_or_overlap),
	        T(messages_are_escaped_in_json_and_kept_byte_by_byte),
	        T(a_vote_counts_once_and_draws_a_new_stamp),
	        T(a_status_that_is_the_same_changes_nothing),
	        T(a_key_makes_one_row_and_gives_it_again_as_it_was_made),
	        T(old_keys_leave_faster_than_new_ones_come),
	        T(a_database_of_the_first_app_is_taken_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
