/* Artifacts are read, copied and removed beside the loop; and go when nobody needs them. */
#include "rig.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

#define BUILT                         \
	"app: hello\n"                \
	"command: sleep $PORT\n"      \
	"domain: hello.example.com\n" \
	"artifact: build\n"
#define OTHER "app: other\ncommand: sleep $PORT\ndomain: hello.example.com\n"

/* `mib` of them, without blocks on the disk, behind one line of text. */
static void build(struct rig *r, const char *text, off_t mib)
{
	char path[256];
	(void)snprintf(path, sizeof path, "%s/build", r->dir);
	assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
	(void)snprintf(path, sizeof path, "%s/build/server", r->dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	if (mib) assert_int_equal(truncate(path, mib << 20), 0);
}

/* Names below DATA/releases/`app`; -1: no such folder. */
static int names(struct rig *r, const char *app)
{
	char path[256];
	int n = 0;
	(void)snprintf(path, sizeof path, "%s/releases/%s", r->dir, app);
	DIR *d = opendir(path);
	if (!d) return -1;
	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

struct asker {
	struct fleet_reading *reading;
	bool done;
	uint32_t release;
	bool fresh;
};

static void on_done(void *arg)
{
	struct asker *a = arg;
	a->done = true;
}

static enum hg_rc ask(struct rig *r, struct asker *a, struct hg_err *err)
{
	struct fleet_change c = {0};
	fleet_reading_enter(r->fleet, &a->reading);
	enum hg_rc rc =
	        fleet_release_make(r->fleet, HG_STR("hello"), &c, &a->release, &a->fresh, err);
	fleet_reading_leave(r->fleet);
	return rc;
}

static void begin(struct rig *r, struct asker *a)
{
	struct hg_err err = {0};
	assert_int_equal(ask(r, a, &err), HG_E_FLEET_READING);
	assert_non_null(a->reading);
	assert_int_equal(fleet_reading_start(a->reading, on_done, a, &err), HG_OK);
}

static void end(struct rig *r, struct asker *a)
{
	struct hg_err err = {0};
	if (ask(r, a, &err) < 0) fail_msg("%s", err.message);
	fleet_reading_free(a->reading);
	a->reading = NULL;
}

static void up_and_serving(struct rig *r)
{
	build(r, "one", 0);
	rig_apply(r, BUILT);
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
}

/* ---- reading ---- */

static void the_loop_turns_while_an_artifact_is_read(void **state)
{
	struct rig *r = *state;
	struct asker a = {0};
	uint64_t longest_ms = 0, bytes = 0;
	const char *app = "";
	up_and_serving(r);
	build(r, "two", 100);
	begin(r, &a);
	uint64_t began = clock_mono_ms();
	while (!a.done) {
		uint64_t now = clock_mono_ms();
		assert_int_equal(loop_turn(r->loop, 1), HG_OK);
		longest_ms = HG_MAX(longest_ms, clock_mono_ms() - now);
		(void)fleet_reading_at(r->fleet, 0, &app, &bytes);
	}
	uint64_t took_ms = clock_mono_ms() - began;
	if (longest_ms * 2 > took_ms)
		fail_msg("a turn took %u of %u ms", (unsigned)longest_ms, (unsigned)took_ms);
	assert_true(bytes >= 100u << 20);
	assert_string_equal(app, "hello");
	assert_false(fleet_reading_at(r->fleet, 0, &app, &bytes));
	/* What was read is what is released, whatever is built by now. */
	build(r, "three", 0);
	end(r, &a);
	assert_int_equal(a.release, 2);
	assert_true(a.fresh);
	struct stat st;
	char path[PATH_MAX];
	const struct fleet_release *rel = fleet_release_find(r->fleet, r->fleet->apps[0], 2);
	assert_non_null(rel);
	(void)snprintf(path, sizeof path, "%s/server", rel->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 100 << 20);
}

static void a_changed_file_waits_for_its_artifacts_too(void **state)
{
	struct rig *r = *state;
	struct asker a = {0};
	struct hg_err err = {0};
	build(r, "one", 1);
	fleet_reading_enter(r->fleet, &a.reading);
	assert_int_equal(rig_try(r, BUILT, &err), HG_E_FLEET_READING);
	fleet_reading_leave(r->fleet);
	assert_int_equal(r->fleet->app_count, 0); /* nothing was applied */
	assert_int_equal(fleet_reading_start(a.reading, on_done, &a, &err), HG_OK);
	RIG_UNTIL(r, a.done);
	fleet_reading_enter(r->fleet, &a.reading);
	assert_int_equal(rig_try(r, BUILT, &err), HG_OK);
	fleet_reading_leave(r->fleet);
	fleet_reading_free(a.reading);
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	assert_int_equal(names(r, "hello"), 1);
}

static void an_artifact_that_is_not_there_is_told_when_it_was_looked_for(void **state)
{
	struct rig *r = *state;
	struct asker a = {0};
	struct hg_err err = {0};
	char path[256];
	up_and_serving(r);
	(void)snprintf(path, sizeof path, "%s/build/server", r->dir);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof path, "%s/build", r->dir);
	assert_int_equal(rmdir(path), 0);
	begin(r, &a);
	RIG_UNTIL(r, a.done);
	assert_int_equal(ask(r, &a, &err), HG_E_FLEET_ARTIFACT);
	assert_non_null(strstr(err.message, "could not read artifact"));
	fleet_reading_free(a.reading);
}

static void two_who_ask_for_the_same_get_the_same(void **state)
{
	struct rig *r = *state;
	struct asker a = {0}, b = {0};
	up_and_serving(r);
	build(r, "two", 30);
	begin(r, &a);
	begin(r, &b);
	RIG_UNTIL(r, a.done && b.done);
	end(r, &a);
	end(r, &b);
	assert_int_equal(a.release, 2);
	assert_int_equal(b.release, 2);
	assert_true(a.fresh);
	assert_false(b.fresh);
	fleet_releases_sweep(r->fleet, r->fleet->apps[0]);
	RIG_UNTIL(r, names(r, "hello") == 2);
}

static void who_goes_away_leaves_nothing_behind(void **state)
{
	struct rig *r = *state;
	struct asker a = {0};
	const char *app;
	uint64_t bytes;
	up_and_serving(r);
	build(r, "two", 1000);
	begin(r, &a);
	RIG_UNTIL(r, fleet_reading_at(r->fleet, 0, &app, &bytes) && bytes > 0);
	uint64_t began = clock_mono_ms();
	fleet_reading_free(a.reading);
	assert_true(clock_mono_ms() - began < 100); /* nobody waits for the thread */
	RIG_UNTIL(r, r->fleet->reading_count == 0);
	assert_false(a.done);
	assert_int_equal(names(r, "hello"), 1);
}

static void no_more_are_read_at_a_time_than_a_few(void **state)
{
	struct rig *r = *state;
	struct asker a[FLEET_READINGS_MAX] = {0}, more = {0};
	struct hg_err err = {0};
	up_and_serving(r);
	for (uint32_t i = 0; i < FLEET_READINGS_MAX; i++)
		assert_int_equal(ask(r, &a[i], &err), HG_E_FLEET_READING);
	assert_int_equal(ask(r, &more, &err), HG_E_AGAIN);
	assert_null(more.reading);
	for (uint32_t i = 0; i < FLEET_READINGS_MAX; i++)
		fleet_reading_free(a[i].reading);
	assert_int_equal(ask(r, &more, &err), HG_E_FLEET_READING);
	fleet_reading_free(more.reading);
}

static void a_copy_that_is_being_made_is_not_swept_away(void **state)
{
	struct rig *r = *state;
	struct asker a = {0}, b = {0};
	up_and_serving(r);
	build(r, "two", 0);
	begin(r, &a);
	RIG_UNTIL(r, a.done);
	/* The copy is there, its release is not: somebody else's change sweeps now. */
	assert_int_equal(names(r, "hello"), 2);
	build(r, "three", 0);
	begin(r, &b);
	RIG_UNTIL(r, b.done);
	end(r, &b);
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_turn(r->loop, 1), HG_OK);
	assert_int_equal(names(r, "hello"), 3);
	end(r, &a);
	const struct fleet_release *rel =
	        fleet_release_find(r->fleet, r->fleet->apps[0], a.release);
	assert_non_null(rel);
	assert_int_equal(access(rel->path, F_OK), 0);
}

/* ---- what nobody needs any more ---- */

/* As if it had been left out of the file so long ago. */
static void long_ago(struct rig *r, const char *app, time_t seconds)
{
	char path[256];
	struct timespec then[2] = {
	        {.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};
	(void)snprintf(path, sizeof path, "%s/releases/%s/.removed", r->dir, app);
	assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
}

static void copies_of_an_app_that_left_the_file_go_a_day_later(void **state)
{
	struct rig *r = *state;
	char path[256];
	up_and_serving(r);
	assert_int_equal(names(r, "hello"), 1);
	rig_apply(r, OTHER);
	/* Its replica still runs from them. */
	assert_int_equal(names(r, "hello"), 1);
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1 && rig_living(r) == 1);
	RIG_UNTIL(r, (fleet_removed_sweep(r->fleet), names(r, "hello")) == 2); /* and the mark */
	long_ago(r, "hello", FLEET_REMOVED_KEEP_S - 60);
	fleet_removed_sweep(r->fleet);
	assert_int_equal(names(r, "hello"), 2);
	/* Back in the file: nothing was lost, and the day begins anew. */
	rig_apply(r, BUILT);
	RIG_UNTIL(r, names(r, "hello") == 1);
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	rig_apply(r, OTHER);
	RIG_UNTIL(r, rig_living(r) == 1);
	RIG_UNTIL(r, (fleet_removed_sweep(r->fleet), names(r, "hello")) == 2);
	long_ago(r, "hello", FLEET_REMOVED_KEEP_S + 60);
	/* What an end of control left of a removal goes as well. */
	(void)snprintf(path, sizeof path, "%s/releases/.old-1-1", r->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	fleet_removed_sweep(r->fleet);
	RIG_UNTIL(r, names(r, "hello") == -1 && names(r, "") == 0);
	/* Its release is made again, with its number. */
	rig_apply(r, BUILT);
	RIG_UNTIL(r, names(r, "hello") == 1);
	assert_int_equal(fleet_app_find(r->fleet, HG_STR("hello"))->file_release, 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
	        CASE(the_loop_turns_while_an_artifact_is_read),
	        CASE(a_changed_file_waits_for_its_artifacts_too),
	        CASE(an_artifact_that_is_not_there_is_told_when_it_was_looked_for),
	        CASE(two_who_ask_for_the_same_get_the_same),
	        CASE(who_goes_away_leaves_nothing_behind),
	        CASE(no_more_are_read_at_a_time_than_a_few),
	        CASE(a_copy_that_is_being_made_is_not_swept_away),
	        CASE(copies_of_an_app_that_left_the_file_go_a_day_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
