#include "rig.h"

#include "store/store_priv.h"

#define HELLO                            \
	"app: hello\n"                   \
	"command: sleep $PORT\n"         \
	"domain: hello.example.com\n"    \
	"env: {COLOR: blue, LEVEL: 1}\n" \
	"versions:\n"                    \
	"  bad: {env: {COLOR: red}}\n"

static void put(struct rig *r, const char *name, const char *text, mode_t mode)
{
	char path[256];
	(void)snprintf(path, sizeof path, "%s/%s", r->dir, name);
	/* In place, as a careless build does it. */
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void folder(struct rig *r, const char *name)
{
	char path[256];
	(void)snprintf(path, sizeof path, "%s/%s", r->dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static bool holds(const char *path, const char *text)
{
	struct hg_buf b = {0};
	bool same = file_read(path, 1 << 20, &b, NULL) == HG_OK &&
	            hg_str_eq(hg_buf_view(&b), hg_str(text));
	hg_buf_free(&b);
	return same;
}

static enum hg_rc try(struct rig *r, struct fleet_change c, uint32_t *ret_number, bool *ret_fresh,
        struct hg_err *err)
{
	return fleet_release_make(r->fleet, HG_STR("hello"), &c, ret_number, ret_fresh, err);
}

static uint32_t make(struct rig *r, struct fleet_change c, bool want_fresh)
{
	struct hg_err err = {0};
	uint32_t number = 0;
	bool fresh = !want_fresh;
	if (try(r, c, &number, &fresh, &err) < 0) fail_msg("%s", err.message);
	assert_int_equal(fresh, want_fresh);
	return number;
}

static const struct fleet_release *release(struct rig *r, uint32_t number)
{
	const struct fleet_release *rel = fleet_release_find(r->fleet, r->fleet->apps[0], number);
	assert_non_null(rel);
	return rel;
}

static const char *env_of(struct rig *r, uint32_t number, const char *name)
{
	const struct fleet_release *rel = release(r, number);
	for (uint32_t i = 0; i < rel->env_count; i++)
		if (hg_str_eq(rel->env[i].name, hg_str(name))) return rel->env[i].value.p;
	return "";
}

static void a_release_is_the_configuration_with_what_is_laid_over(void **state)
{
	struct rig *r = *state;
	static const struct spec_pair env[] = {{{"LEVEL", 5}, {"2", 1}}, {{"MORE", 4}, {"x", 1}}};
	struct fleet_release_info info;
	struct hg_err err = {0};
	rig_apply(r, HELLO);
	/* As configured: that is the one that serves. */
	assert_int_equal(make(r, (struct fleet_change){0}, false), 1);
	uint32_t n = make(r,
	        (struct fleet_change){.version = HG_STR("bad"), .env = env, .env_count = 2}, true);
	assert_int_equal(n, 2);
	assert_string_equal(env_of(r, 2, "COLOR"), "red");
	assert_string_equal(env_of(r, 2, "LEVEL"), "2");
	assert_string_equal(env_of(r, 2, "MORE"), "x");
	assert_string_equal(release(r, 2)->command, "sleep $PORT");
	n = make(r,
	        (struct fleet_change){.version = HG_STR("1.4"), .command = HG_STR("true $PORT")},
	        true);
	assert_int_equal(n, 3);
	assert_string_equal(release(r, 3)->command, "true $PORT");
	assert_string_equal(env_of(r, 3, "COLOR"), "blue");
	/* Nothing was started for them. */
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	assert_int_equal(r->proc_count, 1);
	assert_int_equal(rig_app(r, NULL).release, 1);
	/* The same again is the same; a new name is noted. */
	n = make(r,
	        (struct fleet_change){.version = HG_STR("1.4.1"), .command = HG_STR("true $PORT")},
	        false);
	assert_int_equal(n, 3);
	assert_int_equal(fleet_release_info(r->fleet, HG_STR("hello"), 3, &info, &err), HG_OK);
	assert_string_equal(info.version, "1.4.1");
	assert_string_equal(info.digest, "");
	assert_true(info.created_ms > 0);
	assert_int_equal(
	        fleet_release_info(r->fleet, HG_STR("hello"), 9, &info, &err), HG_E_NOT_FOUND);
	assert_int_equal(
	        fleet_release_info(r->fleet, HG_STR("hello"), 0, &info, &err), HG_E_NOT_FOUND);
	assert_int_equal(
	        fleet_release_info(r->fleet, HG_STR("helo"), 1, &info, &err), HG_E_FLEET_APP);
	assert_non_null(strstr(r->kinds, "release.created release.created release.created "));
}

static void what_cannot_run_makes_no_release(void **state)
{
	static const struct spec_pair bad = {{"A=B", 3}, {"", 0}};
	static const struct {
		struct fleet_change c;
		enum hg_rc rc;
	} row[] = {
	        {{.command = {"no-such-program", 15}}, HG_E_FLEET_COMMAND},
	        {{.command = {"sleep '", 7}}, HG_E_COMMAND},
	        {{.artifact = {"/no/such/file", 13}}, HG_E_FLEET_ARTIFACT},
	        {{.artifact = {"build", 5}}, HG_E_FLEET_ARTIFACT},
	        {{.artifact = {"/dev/null", 9}}, HG_E_FLEET_ARTIFACT},
	        {{.env = &bad, .env_count = 1}, HG_E_INVALID},
	        {{.command = {"sleep \xff", 7}}, HG_E_FLEET_COMMAND},
	        {{.version = {"0123456789012345678901234567890123456789012345678901234567890123",
	                  64}},
	                HG_E_INVALID},
	};
	struct rig *r = *state;
	struct hg_err err = {0};
	uint32_t number;
	bool fresh;
	rig_apply(r, HELLO);
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		if (try(r, row[i].c, &number, &fresh, &err) != row[i].rc)
			fail_msg("row %zu: %s", i, err.message);
	}
	assert_int_equal(
	        fleet_release_make(r->fleet, HG_STR("x"), &row[0].c, &number, &fresh, &err),
	        HG_E_FLEET_APP);
	assert_int_equal(make(r, (struct fleet_change){.command = HG_STR("true")}, true), 2);
}

#define BUILT                         \
	"app: hello\n"                \
	"command: %s $PORT\n"         \
	"domain: hello.example.com\n" \
	"artifact: build%s\n"

static void apply_built(struct rig *r, const char *command, const char *artifact)
{
	char yaml[256];
	(void)snprintf(yaml, sizeof yaml, BUILT, command, artifact);
	rig_apply(r, yaml);
}

static void a_rebuilt_artifact_does_not_change_an_old_release(void **state)
{
	/* By PATH, by its name where it is built, and as a file alone. */
	static const char *const row[][2] = {{"server", ""}, {"./build/server", ""},
	        {"./build/../build//server", "/server"}, {"server", "/server"}};
	struct rig *r = *state;
	struct hg_err err = {0};
	char first[128];
	folder(r, "build");
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		(void)snprintf(first, sizeof first, "#!/bin/sh\nexit 1%zu\n", i);
		put(r, "build/server", first, 0700);
		apply_built(r, row[i][0], row[i][1]);
		RIG_UNTIL(r, r->proc_count == 2 * i + 1 && rig_living(r) == 1);
		struct rig_proc *p = rig_alive(r, 0);
		char place[128];
		(void)snprintf(place, sizeof place, "%s/releases/hello/", r->dir);
		assert_ptr_equal(strstr(p->argv0, place), p->argv0);
		assert_true(holds(p->argv0, first));
		struct stat st;
		assert_int_equal(stat(p->argv0, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0755);
		RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
		put(r, "build/server", "#!/bin/sh\nexit 2\n", 0700);
		assert_true(holds(p->argv0, first));
		/* Its next process is still of the same build. */
		(void)snprintf(place, sizeof place, "%s", p->argv0);
		rig_end(p, SIGKILL);
		RIG_UNTIL(r, r->proc_count == 2 * i + 2 && rig_living(r) == 1);
		assert_string_equal(rig_alive(r, 0)->argv0, place);
		RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	}
	/* A deploy without anything reads what was built meanwhile. */
	uint32_t n = make(r, (struct fleet_change){0}, true);
	struct fleet_release_info info;
	assert_int_equal(fleet_release_info(r->fleet, HG_STR("hello"), n, &info, &err), HG_OK);
	assert_int_equal(strlen(info.digest), 32);
	/* And a reload with the same build then means that one. */
	apply_built(r, row[3][0], row[3][1]);
	assert_int_equal(r->fleet->apps[0]->file_release, n);
}

static bool kept(struct rig *r, const char *digest)
{
	char path[PATH_MAX];
	struct stat st;
	(void)snprintf(path, sizeof path, "%s/releases/hello/%s", r->dir, digest);
	return stat(path, &st) == 0;
}

static uint32_t copies(struct rig *r)
{
	char path[256];
	struct stat st;
	(void)snprintf(path, sizeof path, "%s/releases/hello", r->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0711);
	return (uint32_t)st.st_nlink - 2;
}

static void a_folder_is_kept_whole_and_a_damaged_copy_is_made_anew(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	struct fleet_release_info info;
	char path[PATH_MAX], text[64] = "";
	struct stat st;
	folder(r, "build");
	folder(r, "build/bin");
	put(r, "build/bin/server", "#!/bin/sh\n", 0750);
	put(r, "build/data", "text", 0600);
	(void)snprintf(path, sizeof path, "%s/build/now", r->dir);
	assert_int_equal(symlink("bin/server", path), 0);
	(void)snprintf(path, sizeof path, "%s/build/pipe", r->dir);
	assert_int_equal(mkfifo(path, 0600), 0); /* no part of it */
	apply_built(r, "./build/bin/server", "");
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	assert_int_equal(fleet_release_info(r->fleet, HG_STR("hello"), 1, &info, &err), HG_OK);
	const char *top = release(r, 1)->path;
	(void)snprintf(path, sizeof path, "%s/bin/server", top);
	assert_string_equal(rig_alive(r, 0)->argv0, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	(void)snprintf(path, sizeof path, "%s/data", top);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	(void)snprintf(path, sizeof path, "%s/pipe", top);
	assert_int_equal(lstat(path, &st), -1);
	(void)snprintf(path, sizeof path, "%s/now", top);
	assert_true(readlink(path, text, sizeof text - 1) > 0);
	assert_string_equal(text, "bin/server");
	/* Somebody damages the copy: the next look makes it whole, under the same name. */
	(void)snprintf(path, sizeof path, "%s/data", top);
	assert_int_equal(truncate(path, 1), 0);
	apply_built(r, "./build/bin/server", "");
	assert_true(holds(path, "text"));
	assert_int_equal(rig_app(r, NULL).release, 1);
	assert_int_equal(copies(r), 1);
	/* The executable bit is a part of it, the rest of the mode is not. */
	put(r, "build/data", "text", 0640);
	assert_int_equal(make(r, (struct fleet_change){0}, false), 1);
	put(r, "build/data", "text", 0700);
	assert_int_equal(make(r, (struct fleet_change){0}, true), 2);
	/* What a broken copy left behind goes with the next sweep. */
	folder(r, "releases/hello/.tmp-1");
	put(r, "releases/hello/.tmp-1/half", "x", 0600);
	apply_built(r, "./build/bin/server", "");
	RIG_UNTIL(r, copies(r) == 2);
}

static void the_last_ten_artifacts_are_kept_beside_those_in_use(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	struct fleet_release_info info;
	char text[64], digest[20][80];
	folder(r, "build");
	put(r, "build/server", "0", 0700);
	apply_built(r, "server", "");
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	for (uint32_t i = 1; i <= 14; i++) {
		(void)snprintf(text, sizeof text, "build %u", i);
		put(r, "build/server", text, 0700);
		assert_int_equal(make(r, (struct fleet_change){0}, true), i + 1);
	}
	for (uint32_t i = 1; i <= 15; i++) {
		assert_int_equal(
		        fleet_release_info(r->fleet, HG_STR("hello"), i, &info, &err), HG_OK);
		(void)snprintf(digest[i], sizeof digest[i], "%s", info.digest);
		/* 1 serves, 6 to 15 are the last ten. */
		if (kept(r, digest[i]) != (i == 1 || i > 5)) fail_msg("release %u", i);
	}
	RIG_UNTIL(r, copies(r) == 11);
	/* One whose artifact is gone cannot be wanted, a kept one can. */
	struct fleet_want w = {.serving = 3};
	assert_int_equal(fleet_want_set(r->fleet, HG_STR("hello"), &w, &err), HG_E_FLEET_ARTIFACT);
	w = (struct fleet_want){.serving = 1, .trial = 6, .trial_replicas = 1};
	assert_int_equal(fleet_want_set(r->fleet, HG_STR("hello"), &w, &err), HG_OK);
	for (uint32_t i = 15; i <= 20; i++) {
		(void)snprintf(text, sizeof text, "build %u", i);
		put(r, "build/server", text, 0700);
		assert_int_equal(make(r, (struct fleet_change){0}, true), i + 1);
	}
	assert_true(kept(r, digest[1]));
	assert_true(kept(r, digest[6]));
	assert_false(kept(r, digest[7]));
	RIG_UNTIL(r, copies(r) == 12);
	/* Made of the same as before: the number is the same and the artifact is back. */
	put(r, "build/server", "build 2", 0700);
	assert_int_equal(make(r, (struct fleet_change){0}, false), 3);
}

static void a_release_of_before_the_copies_is_the_same_release(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	folder(r, "build");
	put(r, "build/server", "#!/bin/sh\n", 0700);
	apply_built(r, "server", "");
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	rig_control_dies(r);
	char sql[256];
	(void)snprintf(sql, sizeof sql,
	        "UPDATE release SET spec=json_remove(json_set(spec,'$.path','%s/build'),"
	        "'$.source'), kept=0",
	        r->dir);
	assert_int_equal(db_exec(r->store->db, sql, &err), HG_OK);
	rig_control(r, 2);
	apply_built(r, "server", "");
	RIG_UNTIL(r, !r->fleet->known);
	assert_int_equal(rig_app(r, NULL).release, 1);
	assert_int_equal(r->fleet->apps[0]->file_release, 1);
	assert_int_equal(r->proc_count, 1);
}

static void a_control_that_replaces_a_dead_one_looks_at_no_artifact(void **state)
{
	struct rig *r = *state;
	char path[256];
	folder(r, "build");
	put(r, "build/server", "#!/bin/sh\n", 0700);
	apply_built(r, "server", "");
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	for (int gone = 0; gone < 2; gone++) {
		rig_control_dies(r);
		put(r, "build/server", "#!/bin/sh\nexit 1\n", 0700);
		(void)snprintf(path, sizeof path, "%s/build/server", r->dir);
		if (gone) assert_int_equal(unlink(path), 0);
		rig_control(r, 2);
		apply_built(r, "server", "");
		RIG_UNTIL(r, !r->fleet->known);
		assert_int_equal(rig_app(r, NULL).release, 1);
		assert_int_equal(r->fleet->apps[0]->file_release, 1);
		assert_int_equal(r->proc_count, 1);
		assert_int_equal(copies(r), 1);
	}
	/* A reload does. */
	put(r, "build/server", "#!/bin/sh\nexit 1\n", 0700);
	apply_built(r, "server", "");
	RIG_UNTIL(r, rig_app(r, NULL).release == 2 && r->proc_count == 2);
}

static void an_artifact_that_cannot_be_kept_is_run_from_where_it_is(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint32_t number;
	bool fresh;
	folder(r, "build");
	put(r, "build/server", "#!/bin/sh\n", 0700);
	put(r, "releases", "in the way", 0600);
	apply_built(r, "server", "");
	RIG_UNTIL(r, rig_endpoints(r, SNAP_EP_UP) == 1);
	assert_non_null(strstr(rig_alive(r, 0)->argv0, "/build/server"));
	/* A deploy says so instead. */
	assert_int_equal(
	        try(r, (struct fleet_change){0}, &number, &fresh, &err), HG_E_FLEET_ARTIFACT);
	assert_non_null(strstr(err.message, "could not keep a copy"));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
	        CASE(a_release_is_the_configuration_with_what_is_laid_over),
	        CASE(what_cannot_run_makes_no_release),
	        CASE(a_rebuilt_artifact_does_not_change_an_old_release),
	        CASE(a_folder_is_kept_whole_and_a_damaged_copy_is_made_anew),
	        CASE(the_last_ten_artifacts_are_kept_beside_those_in_use),
	        CASE(a_release_of_before_the_copies_is_the_same_release),
	        CASE(a_control_that_replaces_a_dead_one_looks_at_no_artifact),
	        CASE(an_artifact_that_cannot_be_kept_is_run_from_where_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
