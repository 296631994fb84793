#include "../test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store_priv.h"

#include "place.h"

static void reopen(struct place *p)
{
	store_close(p->s);
	p->s = NULL;
	if (store_open(p->dir, &p->s, &p->err) < 0) fail_msg("%s", p->err.message);
}

static void single_values_are_replaced_and_survive(void **state)
{
	struct place *p = *state;
	struct hg_buf b;
	uint64_t v = 9;
	hg_buf_init(&b, 1000);
	assert_int_equal(store_kv_get(p->s, "a", &b, NULL), HG_E_NOT_FOUND);
	assert_int_equal(store_kv_u64(p->s, "n", &v, NULL), HG_OK);
	assert_int_equal(v, 0);
	assert_int_equal(store_kv_set(p->s, "a", HG_STR("one"), NULL), HG_OK);
	assert_int_equal(store_kv_set(p->s, "a", HG_STR("two\0three"), NULL), HG_OK);
	assert_int_equal(store_kv_u64_set(p->s, "n", UINT64_MAX, NULL), HG_OK);
	reopen(p);
	assert_int_equal(store_kv_get(p->s, "a", &b, NULL), HG_OK);
	assert_true(hg_str_eq(hg_buf_view(&b), HG_STR("two\0three")));
	assert_int_equal(store_kv_u64(p->s, "n", &v, NULL), HG_OK);
	assert_true(v == UINT64_MAX);
	assert_int_equal(store_kv_u64(p->s, "a", &v, &p->err), HG_E_DB_CORRUPT);
	hg_buf_free(&b);
}

static void the_newest_configuration_is_in_force(void **state)
{
	struct place *p = *state;
	struct store_config c;
	struct hg_buf mem;
	hg_buf_init(&mem, 1 << 20);
	assert_int_equal(store_config_get(p->s, &mem, &c, NULL), HG_E_NOT_FOUND);
	for (uint64_t i = 1; i <= 3; i++) {
		char text[32];
		int n = snprintf(text, sizeof text, "app: x%d\n", (int)i);
		c = (struct store_config){.text = {text, (size_t)n},
		        .file = HG_STR("headgate.yaml"),
		        .dir = HG_STR("/srv"),
		        .environment = HG_STR(""),
		        .applied_ms = i};
		assert_int_equal(store_config_set(p->s, &c, NULL), HG_OK);
	}
	reopen(p);
	assert_int_equal(store_config_get(p->s, &mem, &c, NULL), HG_OK);
	assert_str(c.text, "app: x3\n");
	assert_str(c.file, "headgate.yaml");
	assert_str(c.dir, "/srv");
	assert_str(c.environment, "");
	assert_int_equal(c.applied_ms, 3);
	hg_buf_free(&mem);
}

static void count_app(void *arg, const struct store_app *a)
{
	unsigned *n = arg;
	(void)a;
	(*n)++;
}

static void an_app_keeps_its_number_for_ever(void **state)
{
	struct place *p = *state;
	struct store_app a, b, again;
	unsigned n = 0;
	assert_int_equal(store_app_open(p->s, HG_STR("feedback"), &a, NULL), HG_OK);
	assert_int_equal(store_app_open(p->s, HG_STR("shop"), &b, NULL), HG_OK);
	assert_int_not_equal(a.id, b.id);
	assert_int_equal(a.scale, -1);
	a.scale = 7;
	a.release = 3;
	a.revision = 5;
	a.present = true;
	assert_int_equal(store_app_set(p->s, &a, NULL), HG_OK);
	reopen(p);
	assert_int_equal(store_app_open(p->s, HG_STR("feedback"), &again, NULL), HG_OK);
	assert_int_equal(again.id, a.id);
	assert_int_equal(again.scale, 7);
	assert_int_equal(again.release, 3);
	assert_int_equal(again.revision, 5);
	assert_true(again.present);
	assert_int_equal(store_apps(p->s, count_app, &n, NULL), HG_OK);
	assert_int_equal(n, 2);
	a.id = 999;
	assert_int_equal(store_app_set(p->s, &a, NULL), HG_E_NOT_FOUND);
}

static void keep_release(void *arg, const struct store_release *r)
{
	uint32_t *number = arg;
	*number = *number * 10 + r->number;
}

static void releases_are_numbered_per_app(void **state)
{
	struct place *p = *state;
	struct store_app a, b;
	uint32_t number, seen = 0;
	assert_int_equal(store_app_open(p->s, HG_STR("a"), &a, NULL), HG_OK);
	assert_int_equal(store_app_open(p->s, HG_STR("b"), &b, NULL), HG_OK);
	for (uint32_t i = 1; i <= 3; i++) {
		struct store_release r = {.app = a.id, .spec = HG_STR("{}"), .created_ms = i};
		assert_int_equal(store_release_add(p->s, &r, &number, NULL), HG_OK);
		assert_int_equal(number, i);
	}
	struct store_release r = {.app = b.id, .spec = HG_STR("{}")};
	assert_int_equal(store_release_add(p->s, &r, &number, NULL), HG_OK);
	assert_int_equal(number, 1);
	assert_int_equal(store_releases(p->s, a.id, 0, keep_release, &seen, NULL), HG_OK);
	assert_int_equal(seen, 321);
	seen = 0;
	assert_int_equal(store_releases(p->s, a.id, 2, keep_release, &seen, NULL), HG_OK);
	assert_int_equal(seen, 2);
	assert_int_equal(store_releases(p->s, b.id, 2, keep_release, &seen, NULL), HG_E_NOT_FOUND);
	r.app = 999;
	assert_int_equal(store_release_add(p->s, &r, &number, NULL), HG_E_DB_CONSTRAINT);
}

static void note_release(void *arg, const struct store_release *r)
{
	char *to = arg;
	(void)snprintf(to, 64, "%u %.*s %d", r->number, HG_STR_ARG(r->version), r->kept);
}

static void what_is_wanted_of_two_releases_survives(void **state)
{
	struct place *p = *state;
	struct store_app a, again;
	uint32_t number;
	char text[64];
	assert_int_equal(store_app_open(p->s, HG_STR("a"), &a, NULL), HG_OK);
	a.release = 7;
	a.revision = 12;
	a.trial = 8;
	a.trial_revision = 11;
	a.trial_replicas = 3;
	a.recreate = true;
	a.file_release = 6;
	a.told = 5;
	assert_int_equal(store_app_set(p->s, &a, NULL), HG_OK);
	struct store_release r = {
	        .app = a.id, .spec = HG_STR("{}"), .version = HG_STR("1.4"), .kept = true};
	assert_int_equal(store_release_add(p->s, &r, &number, NULL), HG_OK);
	reopen(p);
	assert_int_equal(store_app_open(p->s, HG_STR("a"), &again, NULL), HG_OK);
	assert_int_equal(again.trial, 8);
	assert_int_equal(again.trial_revision, 11);
	assert_int_equal(again.trial_replicas, 3);
	assert_true(again.recreate);
	assert_int_equal(again.file_release, 6);
	assert_int_equal(again.told, 5);
	assert_int_equal(store_releases(p->s, a.id, number, note_release, text, NULL), HG_OK);
	assert_string_equal(text, "1 1.4 1");
	r = (struct store_release){.app = a.id, .number = number, .version = HG_STR("1.4.1")};
	assert_int_equal(store_release_note(p->s, &r, NULL), HG_OK);
	assert_int_equal(store_releases(p->s, a.id, number, note_release, text, NULL), HG_OK);
	assert_string_equal(text, "1 1.4.1 0");
	r.number = 99;
	assert_int_equal(store_release_note(p->s, &r, NULL), HG_E_NOT_FOUND);
}

/* What the program before this schema sends. */
#define FORMER_APPS \
	"SELECT id,name,scale,scale_file,release,revision,present FROM app ORDER BY name"
#define FORMER_SET "UPDATE app SET scale=-1,scale_file=1,release=4,revision=9,present=1 WHERE id=1"
#define FORMER_ADD                                                               \
	"INSERT INTO release(app,number,digest,spec,created_ms) VALUES(1,"       \
	"(SELECT coalesce(max(number),0)+1 FROM release WHERE app=1),'','{}',5)" \
	" RETURNING number"

static void note_row(void *arg, struct hg_str key, struct hg_str value)
{
	struct hg_buf *b = arg;
	hg_buf_fmt(b, "%.*s=%.*s ", HG_STR_ARG(key), HG_STR_ARG(value));
}

static void alerts_are_kept_by_kind_and_key(void **state)
{
	struct place *p = *state;
	struct hg_buf b;
	hg_buf_init(&b, 1000);
	assert_int_equal(
	        store_notify_set(p->s, STORE_ALERT, HG_STR("b"), HG_STR("1"), NULL), HG_OK);
	assert_int_equal(
	        store_notify_set(p->s, STORE_ALERT, HG_STR("a"), HG_STR("2"), NULL), HG_OK);
	assert_int_equal(
	        store_notify_set(p->s, STORE_SILENCE, HG_STR("a"), HG_STR("3"), NULL), HG_OK);
	assert_int_equal(
	        store_notify_set(p->s, STORE_ALERT, HG_STR("b"), HG_STR("4"), NULL), HG_OK);
	assert_int_equal(store_notify_remove(p->s, STORE_ALERT, HG_STR("none"), NULL), HG_OK);
	reopen(p);
	assert_int_equal(store_notify_each(p->s, STORE_ALERT, note_row, &b, NULL), HG_OK);
	assert_int_equal(store_notify_remove(p->s, STORE_SILENCE, HG_STR("a"), NULL), HG_OK);
	assert_int_equal(store_notify_each(p->s, STORE_SILENCE, note_row, &b, NULL), HG_OK);
	assert_str(hg_buf_view(&b), "a=2 b=4 ");
	hg_buf_free(&b);
}

static void a_former_file_is_migrated_and_a_former_program_still_works_with_it(void **state)
{
	struct place *p = *state;
	struct store_app a;
	char text[64];
	/* Back to the file of the first schema. */
	assert_int_equal(db_exec(p->s->db,
	                         "ALTER TABLE app DROP COLUMN trial;"
	                         "ALTER TABLE app DROP COLUMN trial_revision;"
	                         "ALTER TABLE app DROP COLUMN trial_replicas;"
	                         "ALTER TABLE app DROP COLUMN recreate;"
	                         "ALTER TABLE app DROP COLUMN serving_replicas;"
	                         "ALTER TABLE app DROP COLUMN file_release;"
	                         "ALTER TABLE app DROP COLUMN told;"
	                         "ALTER TABLE release DROP COLUMN version;"
	                         "ALTER TABLE release DROP COLUMN kept;"
	                         "DROP TABLE rollout; DROP TABLE quarantine;"
	                         "DROP INDEX token_parent;"
	                         "ALTER TABLE token DROP COLUMN expires_ms;"
	                         "ALTER TABLE token DROP COLUMN login;"
	                         "ALTER TABLE token DROP COLUMN parent;"
	                         "DROP TABLE slo_hour; DROP TABLE incident; DROP TABLE notify;"
	                         "DELETE FROM schema_migrations WHERE version>=2;"
	                         "INSERT INTO app(name,release,revision,present) VALUES('a',3,8,1);"
	                         "INSERT INTO release VALUES(1,3,'','{}',1)",
	                         &p->err),
	        HG_OK);
	reopen(p);
	assert_int_equal(store_app_open(p->s, HG_STR("a"), &a, NULL), HG_OK);
	assert_int_equal(a.release, 3);
	assert_int_equal(a.file_release, 3);
	assert_int_equal(a.told, 3);
	assert_int_equal(a.trial, 0);
	assert_int_equal(store_releases(p->s, a.id, 3, note_release, text, NULL), HG_OK);
	assert_string_equal(text, "3  0");
	assert_int_equal(
	        db_exec(p->s->db, FORMER_APPS ";" FORMER_SET ";" FORMER_ADD, &p->err), HG_OK);
	assert_int_equal(store_app_open(p->s, HG_STR("a"), &a, NULL), HG_OK);
	assert_int_equal(a.release, 4);
	assert_int_equal(a.revision, 9);
	assert_int_equal(store_releases(p->s, a.id, 4, note_release, text, NULL), HG_OK);
	assert_string_equal(text, "4  0");
}

struct hours {
	uint64_t sum;
	uint32_t n;
};

static void on_hour(void *arg, const struct store_slo_hour *h)
{
	struct hours *to = arg;
	to->sum = to->sum * 1000 + h->hour;
	to->n++;
	assert_int_equal(h->app, 2);
	assert_str(h->counts, h->hour == 5 ? "new" : "x");
}

static void hours_of_an_app_come_in_order_and_can_be_forgotten(void **state)
{
	struct place *p = *state;
	struct hours got = {0};
	static const uint64_t hours[] = {7, 5, 6, 5};
	for (size_t i = 0; i < HG_COUNT(hours); i++) {
		struct store_slo_hour h = {.app = 2,
		        .hour = hours[i],
		        .counts = i == 3 ? HG_STR("new") : HG_STR("x"),
		        .base = HG_STR("b")};
		assert_int_equal(store_slo_hour_set(p->s, &h, NULL), HG_OK);
		h.app = 3;
		assert_int_equal(store_slo_hour_set(p->s, &h, NULL), HG_OK);
	}
	reopen(p);
	assert_int_equal(store_slo_hours(p->s, 2, on_hour, &got, NULL), HG_OK);
	assert_int_equal(got.sum, 5006007);
	assert_int_equal(store_slo_hours_prune(p->s, 2, 7, NULL), HG_OK);
	got = (struct hours){0};
	assert_int_equal(store_slo_hours(p->s, 2, on_hour, &got, NULL), HG_OK);
	assert_int_equal(got.n, 1);
}

static void check_replica(void *arg, const struct store_replica *r)
{
	unsigned *n = arg;
	(*n)++;
	assert_int_equal(r->release, 4);
	assert_int_equal(r->pid, 77);
	assert_str(r->address, "127.0.0.1:4000");
	assert_true(r->started);
	assert_false(r->ready);
	assert_true(r->retire);
	assert_true(r->spare);
	assert_int_equal(r->exit_status, 9);
}

static void a_replica_id_is_never_used_again(void **state)
{
	struct place *p = *state;
	struct store_app a;
	struct store_replica r = {0};
	uint64_t first, second;
	unsigned n = 0;
	assert_int_equal(store_app_open(p->s, HG_STR("a"), &a, NULL), HG_OK);
	r.app = a.id;
	assert_int_equal(store_replica_add(p->s, &r, &first, NULL), HG_OK);
	assert_int_equal(first, 1024);
	assert_int_equal(store_replica_remove(p->s, first, NULL), HG_OK);
	reopen(p);
	assert_int_equal(store_replica_add(p->s, &r, &second, NULL), HG_OK);
	assert_int_equal(second, 1025);
	r.id = 5000;
	assert_int_equal(store_replica_add(p->s, &r, &first, NULL), HG_OK);
	assert_int_equal(first, 5000);
	assert_int_equal(store_replica_remove(p->s, first, NULL), HG_OK);
	assert_int_equal(store_replica_next_id(p->s, &first, NULL), HG_OK);
	assert_int_equal(first, 5001);
	r = (struct store_replica){.id = second,
	        .app = a.id,
	        .release = 4,
	        .number = 1,
	        .pid = 77,
	        .address = HG_STR("127.0.0.1:4000"),
	        .started = true,
	        .retire = true,
	        .spare = true,
	        .exit_status = 9};
	assert_int_equal(store_replica_set(p->s, &r, NULL), HG_OK);
	assert_int_equal(store_replicas(p->s, check_replica, &n, NULL), HG_OK);
	assert_int_equal(n, 1);
	r.id = first;
	assert_int_equal(store_replica_set(p->s, &r, NULL), HG_E_NOT_FOUND);
}

struct ids {
	uint64_t id[8];
	unsigned n;
};

static void keep_event(void *arg, const struct store_event *e)
{
	struct ids *ids = arg;
	if (ids->n < HG_COUNT(ids->id)) ids->id[ids->n] = e->id;
	ids->n++;
}

static void events_come_in_order_by_app_and_after_an_id(void **state)
{
	struct place *p = *state;
	uint64_t id;
	for (uint64_t i = 1; i <= 6; i++) {
		struct store_event e = {.ts_ms = i,
		        .kind = HG_STR("replica.ready"),
		        .app = i % 2 ? HG_STR("odd") : HG_STR("even"),
		        .text = HG_STR("{\"a\":1}")};
		assert_int_equal(store_event_add(p->s, &e, &id, NULL), HG_OK);
		assert_int_equal(id, i);
	}
	struct ids got = {0};
	assert_int_equal(store_events(p->s, 2, HG_STR(""), 3, keep_event, &got, NULL), HG_OK);
	assert_int_equal(got.n, 3);
	assert_int_equal(got.id[0], 3);
	assert_int_equal(got.id[2], 5);
	got = (struct ids){0};
	assert_int_equal(store_events(p->s, 0, HG_STR("odd"), 9, keep_event, &got, NULL), HG_OK);
	assert_int_equal(got.n, 3);
	assert_int_equal(got.id[1], 3);
	got = (struct ids){0};
	assert_int_equal(store_events_last(p->s, HG_STR(""), 2, keep_event, &got, NULL), HG_OK);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.id[0], 5);
	got = (struct ids){0};
	assert_int_equal(
	        store_events(p->s, UINT64_MAX, HG_STR(""), 2, keep_event, &got, NULL), HG_OK);
	assert_int_equal(got.n, 0);
}

static void keep_past(void *arg, const struct store_past *r)
{
	hg_buf_fmt(arg, "%u:%.*s:%d:%llu:%llu ", r->number, HG_STR_ARG(r->version), r->kept,
	        (unsigned long long)r->quarantined_by, (unsigned long long)r->rollout);
}

static void the_history_of_an_app_says_what_became_of_each_release(void **state)
{
	struct place *p = *state;
	struct store_app a, other;
	struct hg_buf b;
	uint32_t number;
	uint64_t id;
	assert_int_equal(store_app_open(p->s, HG_STR("a"), &a, NULL), HG_OK);
	assert_int_equal(store_app_open(p->s, HG_STR("other"), &other, NULL), HG_OK);
	struct store_release r = {.app = a.id, .spec = HG_STR("{}"), .version = HG_STR("v")};
	for (int i = 0; i < 4; i++) {
		r.kept = i == 3;
		assert_int_equal(store_release_add(p->s, &r, &number, NULL), HG_OK);
	}
	r.app = other.id;
	assert_int_equal(store_release_add(p->s, &r, &number, NULL), HG_OK);
	struct store_rollout run = {
	        .app = a.id, .old_release = 1, .new_release = 2, .text = HG_STR("{}")};
	assert_int_equal(store_rollout_add(p->s, &run, &id, NULL), HG_OK);
	assert_int_equal(store_rollout_add(p->s, &run, &id, NULL), HG_OK);
	run.new_release = 3;
	assert_int_equal(store_rollout_add(p->s, &run, &id, NULL), HG_OK);
	run.app = other.id;
	assert_int_equal(store_rollout_add(p->s, &run, &id, NULL), HG_OK);
	assert_int_equal(store_quarantine_set(p->s, a.id, 3, 3, NULL), HG_OK);
	hg_buf_init(&b, 1000);
	assert_int_equal(store_history(p->s, a.id, 0, 100, keep_past, &b, NULL), HG_OK);
	assert_string_equal(hg_buf_text(&b), "4:v:1:0:0 3:v:0:3:3 2:v:0:0:2 1:v:0:0:0 ");
	hg_buf_reset(&b);
	assert_int_equal(store_history(p->s, a.id, 4, 2, keep_past, &b, NULL), HG_OK);
	assert_string_equal(hg_buf_text(&b), "3:v:0:3:3 2:v:0:0:2 ");
	hg_buf_free(&b);
}

static void keep_audit(void *arg, const struct store_audit *a)
{
	struct ids *ids = arg;
	if (ids->n < HG_COUNT(ids->id)) ids->id[ids->n] = a->id;
	ids->n++;
}

static void the_audit_trail_is_read_backwards_in_pages(void **state)
{
	struct place *p = *state;
	struct store_audit a = {.who = HG_STR("unix:0"), .what = HG_STR("POST"), .ts_ms = 1};
	struct ids got = {0};
	for (int i = 0; i < 5; i++)
		assert_int_equal(store_audit_add(p->s, &a, NULL), HG_OK);
	assert_int_equal(store_audits(p->s, 0, 3, keep_audit, &got, NULL), HG_OK);
	assert_int_equal(got.n, 3);
	assert_int_equal(got.id[0], 5);
	got = (struct ids){0};
	assert_int_equal(store_audits(p->s, 3, 9, keep_audit, &got, NULL), HG_OK);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.id[0], 2);
}

static void a_transaction_is_kept_whole_or_not_at_all(void **state)
{
	struct place *p = *state;
	uint64_t v;
	assert_int_equal(store_begin(p->s, NULL), HG_OK);
	assert_int_equal(store_kv_u64_set(p->s, "x", 1, NULL), HG_OK);
	store_rollback(p->s);
	assert_int_equal(store_kv_u64(p->s, "x", &v, NULL), HG_OK);
	assert_int_equal(v, 0);
	assert_int_equal(store_begin(p->s, NULL), HG_OK);
	assert_int_equal(store_kv_u64_set(p->s, "x", 2, NULL), HG_OK);
	assert_int_equal(store_commit(p->s, NULL), HG_OK);
	assert_int_equal(store_kv_u64(p->s, "x", &v, NULL), HG_OK);
	assert_int_equal(v, 2);
}

static void a_full_disk_is_an_error_and_the_former_state_stays(void **state)
{
	struct place *p = *state;
	static char big[1 << 20];
	struct hg_buf b;
	hg_buf_init(&b, 2 << 20);
	memset(big, 'x', sizeof big);
	assert_int_equal(store_kv_set(p->s, "a", HG_STR("before"), NULL), HG_OK);
	assert_int_equal(db_exec(p->s->db, "PRAGMA max_page_count=60", NULL), HG_OK);
	struct hg_str all = {big, sizeof big};
	assert_int_equal(store_kv_set(p->s, "a", all, &p->err), HG_E_DB_FULL);
	assert_true(p->err.message[0] != 0);
	assert_int_equal(store_kv_get(p->s, "a", &b, NULL), HG_OK);
	assert_str(hg_buf_view(&b), "before");
	assert_int_equal(db_exec(p->s->db, "PRAGMA max_page_count=100000", NULL), HG_OK);
	assert_int_equal(store_kv_set(p->s, "a", all, &p->err), HG_OK);
	hg_buf_free(&b);
}

static void a_lock_held_by_another_program_is_an_error(void **state)
{
	struct place *p = *state;
	struct db *other;
	char path[128];
	(void)snprintf(path, sizeof path, "%s/store/headgate.db", p->dir);
	assert_int_equal(db_open(&(struct db_options){.url = path}, &other, NULL), HG_OK);
	assert_int_equal(db_begin(other, NULL), HG_OK);
	assert_int_equal(store_kv_u64_set(p->s, "x", 1, &p->err), HG_E_AGAIN);
	db_rollback(other);
	assert_int_equal(store_kv_u64_set(p->s, "x", 1, &p->err), HG_OK);
	db_close(other);
}

static void a_file_that_is_no_database_is_refused_and_kept(void **state)
{
	struct place *p = *state;
	char path[128];
	struct store *s = NULL;
	struct stat st;
	store_close(p->s);
	p->s = NULL;
	(void)snprintf(path, sizeof path, "%s/store/headgate.db", p->dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 1000; i++)
		assert_true(fputs("this is not a database\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(store_open(p->dir, &s, &p->err), HG_E_DB_CORRUPT);
	assert_null(s);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 23000);
}

/* The child writes as fast as it can and tells each committed event id through the pipe. */
static void write_until_killed(const char *dir, int to)
{
	struct store *s;
	if (store_open(dir, &s, NULL) < 0) _exit(3);
	for (uint64_t i = 1;; i++) {
		uint64_t id;
		struct store_event e = {.ts_ms = i, .kind = HG_STR("x"), .app = HG_STR("a")};
		if (store_begin(s, NULL) < 0 || store_event_add(s, &e, &id, NULL) < 0 ||
		        store_kv_u64_set(s, "last", id, NULL) < 0 || store_commit(s, NULL) < 0)
			_exit(4);
		if (write(to, &id, sizeof id) != sizeof id) _exit(5);
	}
}

static void what_was_committed_survives_kill_9_at_any_moment(void **state)
{
	struct place *p = *state;
	uint64_t told = 0;
	store_close(p->s);
	p->s = NULL;
	for (unsigned round = 0; round < 8; round++) {
		int fd[2], status;
		uint64_t id, last, before = told;
		assert_int_equal(pipe(fd), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) write_until_killed(p->dir, fd[1]);
		close(fd[1]);
		/* Killed somewhere within the commits after the nth, a different n each round. */
		for (unsigned n = 0; n < 3 + round * 7; n++)
			assert_int_equal(read(fd[0], &told, sizeof told), sizeof told);
		usleep(137 * round);
		assert_int_equal(kill(pid, SIGKILL), 0);
		while (read(fd[0], &id, sizeof id) == (ssize_t)sizeof id)
			told = id;
		close(fd[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_true(told > before);
		if (store_open(p->dir, &p->s, &p->err) < 0) fail_msg("%s", p->err.message);
		assert_int_equal(store_kv_u64(p->s, "last", &last, NULL), HG_OK);
		assert_true(last >= told);
		struct ids got = {0};
		assert_int_equal(
		        store_events(p->s, 0, HG_STR("a"), UINT32_MAX, keep_event, &got, NULL),
		        HG_OK);
		/* Both halves of every transaction, and not one event missing. */
		assert_int_equal(got.n, last);
		store_close(p->s);
		p->s = NULL;
		told = last;
	}
}

static void rollout_into(void *arg, const struct store_rollout *r)
{
	struct store_rollout *to = arg;
	assert_int_equal(r->state.n, 3);
	assert_memory_equal(r->state.p, "a\0b", 3);
	assert_true(hg_str_eq(r->text, HG_STR("{}")));
	*to = *r;
}

static void count_rollout(void *arg, const struct store_rollout *r)
{
	uint64_t *sum = arg;
	*sum = *sum * 10 + r->id;
}

static void rollouts_are_kept_and_releases_put_in_quarantine(void **state)
{
	struct place *p = *state;
	struct store_rollout r = {.app = 1,
	        .old_release = 1,
	        .new_release = 2,
	        .created_ms = 5,
	        .begun = true,
	        .state = {"a\0b", 3},
	        .text = HG_STR("{}")};
	struct store_rollout found = {0};
	uint64_t first = 0, second = 0, sum = 0, by = 7;
	assert_int_equal(store_rollout_add(p->s, &r, &first, NULL), HG_OK);
	r.app = 2;
	assert_int_equal(store_rollout_add(p->s, &r, &second, NULL), HG_OK);
	assert_true(second > first);
	r.id = first;
	r.app = 1;
	r.ended_ms = 9;
	r.promoted = true;
	assert_int_equal(store_rollout_set(p->s, &r, NULL), HG_OK);
	reopen(p);
	assert_int_equal(store_rollout_get(p->s, first, rollout_into, &found, NULL), HG_OK);
	assert_int_equal(found.ended_ms, 9);
	assert_true(found.promoted && found.begun);
	assert_int_equal(found.new_release, 2);
	assert_int_equal(store_rollouts(p->s, 0, false, 10, count_rollout, &sum, NULL), HG_OK);
	assert_int_equal(sum, second * 10 + first);
	sum = 0;
	assert_int_equal(store_rollouts(p->s, 1, false, 10, count_rollout, &sum, NULL), HG_OK);
	assert_int_equal(sum, first);
	sum = 0;
	assert_int_equal(store_rollouts(p->s, 0, true, 10, count_rollout, &sum, NULL), HG_OK);
	assert_int_equal(sum, second);
	r.id = 99;
	assert_int_equal(store_rollout_set(p->s, &r, NULL), HG_E_NOT_FOUND);
	assert_int_equal(store_rollout_get(p->s, 99, rollout_into, &found, NULL), HG_E_NOT_FOUND);
	assert_int_equal(store_quarantine_get(p->s, 1, 2, &by, NULL), HG_OK);
	assert_int_equal(by, 0);
	assert_int_equal(store_quarantine_set(p->s, 1, 2, first, NULL), HG_OK);
	assert_int_equal(store_quarantine_set(p->s, 1, 2, second, NULL), HG_OK);
	assert_int_equal(store_quarantine_get(p->s, 1, 2, &by, NULL), HG_OK);
	assert_int_equal(by, second);
	assert_int_equal(store_quarantine_remove(p->s, 1, 2, NULL), HG_OK);
	assert_int_equal(store_quarantine_get(p->s, 1, 2, &by, NULL), HG_OK);
	assert_int_equal(by, 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, open_fresh, remove_all)
	const struct CMUnitTest tests[] = {
	        CASE(single_values_are_replaced_and_survive),
	        CASE(the_newest_configuration_is_in_force),
	        CASE(an_app_keeps_its_number_for_ever),
	        CASE(releases_are_numbered_per_app),
	        CASE(what_is_wanted_of_two_releases_survives),
	        CASE(rollouts_are_kept_and_releases_put_in_quarantine),
	        CASE(alerts_are_kept_by_kind_and_key),
	        CASE(a_former_file_is_migrated_and_a_former_program_still_works_with_it),
	        CASE(hours_of_an_app_come_in_order_and_can_be_forgotten),
	        CASE(a_replica_id_is_never_used_again),
	        CASE(events_come_in_order_by_app_and_after_an_id),
	        CASE(the_history_of_an_app_says_what_became_of_each_release),
	        CASE(the_audit_trail_is_read_backwards_in_pages),
	        CASE(a_transaction_is_kept_whole_or_not_at_all),
	        CASE(a_full_disk_is_an_error_and_the_former_state_stays),
	        CASE(a_lock_held_by_another_program_is_an_error),
	        CASE(a_file_that_is_no_database_is_refused_and_kept),
	        CASE(what_was_committed_survives_kill_9_at_any_moment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
