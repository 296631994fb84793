#include "tests/unit/test.h"

#include "jobs/relay.c"

#include "tests/unit/jobs/table.h"

/* A broker that does what the test says. */
struct fake {
	struct relay_driver_options o;
	bool up, refuses, silent, says_no;
	uint32_t published, wanted, acked;
	struct relay_message last[512];
};

static struct fake broker;

static enum hg_rc fake_open(
        struct loop *l, const struct relay_driver_options *o, void **ret_driver, struct hg_err *err)
{
	(void)l;
	(void)err;
	broker.o = *o;
	*ret_driver = &broker;
	return HG_OK;
}

static enum hg_rc fake_publish(void *driver, const struct relay_message *m)
{
	struct fake *f = driver;
	if (f->refuses) return HG_E_AGAIN;
	f->last[f->published++ % HG_COUNT(f->last)] = (struct relay_message){m->id, m->lease};
	return HG_OK;
}

static void fake_want(void *driver, uint32_t n)
{
	((struct fake *)driver)->wanted = n;
}

static void fake_ack(void *driver, const struct relay_delivery *d)
{
	(void)d;
	((struct fake *)driver)->acked++;
}

static bool fake_connected(const void *driver)
{
	return ((const struct fake *)driver)->up;
}

static void fake_close(void *driver)
{
	(void)driver;
}

static const struct relay_driver fake_driver = {
        "fake", fake_open, fake_publish, fake_want, fake_ack, fake_connected, fake_close};

struct world {
	struct dir *dir;
	struct db *db;
	struct jobs_store *s;
	struct loop *l;
	struct jobs_relay *r;
	struct jobs_worker *w;
	bool stopped;
	int ran;
};

static const char *const queues[] = {"a"};

static int setup(void **state)
{
	struct world *x = calloc(1, sizeof *x);
	if (!x || dir_setup((void **)&x->dir)) return -1;
	x->db = table_make(x->dir);
	x->s = table_store(x->db);
	broker = (struct fake){.up = true};
	if (loop_new(&x->l) < 0) return -1;
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct world *x = *state;
	jobs_relay_free(x->r);
	jobs_worker_free(x->w);
	loop_free(x->l);
	jobs_store_free(x->s);
	db_close(x->db);
	dir_teardown((void **)&x->dir);
	free(x);
	return 0;
}

static void relay(struct world *x)
{
	struct jobs_relay_options o = {.database = table_url(x->dir),
	        .durability = DB_NORMAL,
	        .name = "relay",
	        .queue = queues,
	        .queue_count = 1,
	        .driver = &fake_driver,
	        .url = "fake://"};
	struct hg_err err = {0};
	if (jobs_relay_new(x->l, &o, &x->r, &err) < 0) fail_msg("%s", err.message);
}

static int64_t count_of(struct world *x, const char *where)
{
	char sql[200];
	int64_t n = -1;
	snprintf(sql, sizeof sql, "SELECT count(*) FROM jobs WHERE %s", where);
	assert_int_equal(db_query_i64(x->db, sql, &n, NULL), HG_OK);
	return n;
}

static void put(struct world *x, int n)
{
	int64_t now = 0;
	assert_int_equal(jobs_store_now(x->s, &now, NULL), HG_OK);
	assert_int_equal(db_begin(x->db, NULL), HG_OK);
	while (n--)
		table_put(x->s, "a", "k", now);
	assert_int_equal(db_commit(x->db, NULL), HG_OK);
}

#define UNTIL(x, cond)                                                            \
	do {                                                                      \
		uint64_t until_ = clock_mono_ms() + 10000;                        \
		while (!(cond)) {                                                 \
			assert_int_equal(loop_turn((x)->l, 20), HG_OK);           \
			if (clock_mono_ms() > until_) fail_msg("not: %s", #cond); \
		}                                                                 \
	} while (0)

static void turns(struct world *x, int n)
{
	while (n--)
		assert_int_equal(loop_turn(x->l, 20), HG_OK);
}

static void what_the_broker_confirmed_is_sent_and_no_attempt(void **state)
{
	struct world *x = *state;
	struct jobs_relay_stats st;
	put(x, 3);
	relay(x);
	UNTIL(x, broker.published == 3);
	for (uint32_t i = 0; i < 3; i++)
		broker.o.confirmed(broker.o.arg, broker.last[i].id, broker.last[i].lease, HG_OK);
	jobs_relay_stats(x->r, &st);
	assert_int_equal(st.published, 3);
	assert_int_equal(st.unconfirmed, 0);
	turns(x, 20);
	assert_int_equal(broker.published, 3);
	assert_int_equal(
	        count_of(x, "state = 'running' AND sent_at IS NOT NULL AND attempt = 0"), 3);
}

static void what_it_did_not_confirm_goes_back_and_is_sent_again(void **state)
{
	struct world *x = *state;
	put(x, 1);
	relay(x);
	UNTIL(x, broker.published == 1);
	struct relay_message first = broker.last[0];
	broker.o.confirmed(broker.o.arg, first.id, first.lease, HG_E_AGAIN);
	UNTIL(x, broker.published == 2);
	assert_int_equal(broker.last[1].id, first.id);
	assert_int_equal(
	        broker.last[1].lease, first.lease + 1); /* the first, if it is there, is stale */
	assert_int_equal(count_of(x, "attempt = 0"), 1);
	/* a confirmation of the first, late, is nobody's */
	broker.o.confirmed(broker.o.arg, first.id, first.lease, HG_OK);
	struct jobs_relay_stats st;
	jobs_relay_stats(x->r, &st);
	assert_int_equal(st.unconfirmed, 1);
	assert_int_equal(st.returned, 1);
}

static void without_a_broker_jobs_wait_in_the_database(void **state)
{
	struct world *x = *state;
	broker.up = false;
	put(x, 1);
	relay(x);
	turns(x, 30);
	assert_int_equal(count_of(x, "state = 'available' AND lease = 0"), 1);
	broker.up = true;
	broker.refuses = true; /* up, and full */
	UNTIL(x, count_of(x, "lease > 0") == 1);
	broker.refuses = false;
	UNTIL(x, broker.published == 1);
}

static void a_broker_is_given_only_so_much(void **state)
{
	struct world *x = *state;
	uint32_t confirmed = 0;
	put(x, (int)RELAY_WINDOW + 300);
	relay(x);
	for (int i = 0; i < 600; i++) {
		turns(x, 1);
		for (; confirmed < broker.published; confirmed++) {
			struct relay_message m = broker.last[confirmed % HG_COUNT(broker.last)];
			broker.o.confirmed(broker.o.arg, m.id, m.lease, HG_OK);
		}
		if (confirmed >= RELAY_WINDOW && i % 50 == 49) break;
	}
	assert_int_equal(confirmed, RELAY_WINDOW);
	assert_int_equal(count_of(x, "state = 'available'"), 300);
	assert_int_equal(db_exec(x->db, "DELETE FROM jobs WHERE sent_at IS NOT NULL", NULL), HG_OK);
	UNTIL(x, broker.published == RELAY_WINDOW + 256); /* as many as may be unconfirmed */
}

static void on_stopped(void *arg)
{
	((struct world *)arg)->stopped = true;
}

static void a_stop_waits_for_what_is_not_confirmed(void **state)
{
	struct world *x = *state;
	put(x, 1);
	relay(x);
	UNTIL(x, broker.published == 1);
	jobs_relay_stop(x->r, on_stopped, x);
	put(x, 1);
	turns(x, 10);
	assert_false(x->stopped);
	broker.o.confirmed(broker.o.arg, broker.last[0].id, broker.last[0].lease, HG_OK);
	UNTIL(x, x->stopped);
	assert_int_equal(broker.published, 1);
}

static void start_one(void *arg, struct job_run *run)
{
	struct world *x = arg;
	x->ran++;
	job_end(run, &(struct job_outcome){.verdict = JOB_OK});
}

static void a_message_is_a_job_once_whatever_the_broker_repeats(void **state)
{
	struct world *x = *state;
	struct job_kind kind = {.name = "k", .start = start_one, .arg = x};
	struct jobs_worker_options o = {.database = table_url(x->dir),
	        .durability = DB_NORMAL,
	        .name = "w",
	        .queue = queues,
	        .queue_count = 1,
	        .kind = &kind,
	        .kind_count = 1,
	        .slots = 3,
	        .broker = &fake_driver,
	        .broker_url = "fake://"};
	struct jobs_claim c = {queues, 1, 9, 1, 9000000000000, "relay", true};
	struct relay_message m[4] = {{.id = 12345, .lease = 1}};
	struct hg_list sent;
	uint32_t n = 0;
	hg_list_init(&sent);
	put(x, 3);
	c.now_ms = 9000000000000 - 1;
	assert_int_equal(jobs_store_claim(x->s, &c, &sent, &n, NULL), HG_OK);
	for (uint32_t i = 1; i < 4; i++) {
		struct hg_list *node = hg_list_pop(&sent);
		assert_non_null(node);
		struct jobs_claimed *one = HG_CONTAINER(node, struct jobs_claimed, node);
		m[i] = (struct relay_message){one->job.id, one->job.lease};
		free(one);
	}
	assert_int_equal(jobs_worker_new(x->l, &o, &x->w, NULL), HG_OK);
	UNTIL(x, broker.wanted == 3);
	for (uint32_t i = 0; i < 8; i++) /* each twice, and one of a job that is gone */
		broker.o.delivered(broker.o.arg, &(struct relay_delivery){.a = i}, &m[i % 4]);
	UNTIL(x, broker.acked == 8);
	UNTIL(x, count_of(x, "state = 'done' AND attempt = 1") == 3);
	assert_int_equal(x->ran, 3);
	UNTIL(x, broker.wanted == 3);
	put(x, 1);
	turns(x, 20);
	assert_int_equal(x->ran, 3); /* it asks nobody but the broker */
}

static void the_address_says_which_broker(void **state)
{
	(void)state;
	assert_ptr_equal(relay_driver_of("redis://h"), &relay_redis);
	assert_ptr_equal(relay_driver_of("unix:/run/redis"), &relay_redis);
	assert_null(relay_driver_of("kafka://h"));
	assert_null(relay_driver_of(""));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	        TEST(what_the_broker_confirmed_is_sent_and_no_attempt),
	        TEST(what_it_did_not_confirm_goes_back_and_is_sent_again),
	        TEST(without_a_broker_jobs_wait_in_the_database),
	        TEST(a_broker_is_given_only_so_much),
	        TEST(a_stop_waits_for_what_is_not_confirmed),
	        TEST(a_message_is_a_job_once_whatever_the_broker_repeats),
	        cmocka_unit_test(the_address_says_which_broker),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
