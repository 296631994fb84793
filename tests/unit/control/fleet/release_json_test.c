/* What a release is made of: the artifact's digest, and the way through the store and back. */
#include "../../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/fleet/fleet_priv.h"
#include "os/file.h"

static char top[64];
static struct fleet_conf conf;
static struct spec *spec;

static int set_up(void **state)
{
	char path[128];
	(void)state;
	snprintf(top, sizeof top, "/tmp/hg-release-XXXXXX");
	if (!mkdtemp(top)) return -1;
	snprintf(path, sizeof path, "%s/build", top);
	conf = (struct fleet_conf){.name = "a"};
	hg_arena_init(&conf.mem, "test", 64u << 20);
	return mkdir(path, 0755);
}

static int tear_down(void **state)
{
	char command[128];
	(void)state;
	hg_arena_fini(&conf.mem);
	snprintf(command, sizeof command, "rm -rf %s", top);
	return system(command);
}

static const char *at(const char *name)
{
	static char path[4][256];
	static unsigned next;
	char *p = path[next++ % 4];
	snprintf(p, sizeof path[0], "%s/build/%s", top, name);
	return p;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(at(name), "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void load(const char *yaml)
{
	struct spec_report *report = calloc(1, sizeof *report);
	assert_non_null(report);
	struct spec_source from = {.text = hg_str(yaml), .file = "headgate.yaml"};
	if (spec_load(&from, &conf.mem, report, &spec) < 0)
		fail_msg("%s", report->errors[0].message);
	free(report);
}

static enum hg_rc make(const char **ret_json, char digest[40], struct hg_err *err)
{
	struct warden_child child = {.data_dir = top};
	struct fleet f = {.o = {.child = &child}};
	enum hg_rc rc = fleet_release_json(&f, &conf, &spec->apps[0], top, top, err);
	*ret_json = conf.release_json;
	snprintf(digest, 40, "%s", rc == HG_OK ? conf.digest : "");
	return rc;
}

/* The digest of the artifact as it is now; good until the next call. */
static const char *digest(void)
{
	static char d[40];
	const char *json;
	struct hg_err err = {0};
	if (make(&json, d, &err) < 0) fail_msg("%s", err.message);
	return d;
}

static void whatever_changes_in_a_folder_changes_its_digest_and_nothing_else_does(void **state)
{
	(void)state;
	load("app: a\ncommand: server\nartifact: build\n");
	put("server", "one");
	assert_int_equal(mkdir(at("sub"), 0755), 0);
	put("sub/page", "hello");
	assert_int_equal(symlink("server", at("link")), 0);
	char was[40];
	snprintf(was, sizeof was, "%s", digest());
	assert_int_equal(strlen(was), 32);
	assert_string_equal(digest(), was);
	put("server", "one"); /* written anew, but the same */
	assert_string_equal(digest(), was);

	put("sub/page", "hellp");
	assert_string_not_equal(digest(), was);
	put("sub/page", "hello");
	assert_string_equal(digest(), was);

	assert_int_equal(chmod(at("server"), 0755), 0);
	assert_string_not_equal(digest(), was);
	assert_int_equal(chmod(at("server"), 0644), 0);

	assert_int_equal(rename(at("sub/page"), at("sub/pagf")), 0);
	assert_string_not_equal(digest(), was);
	assert_int_equal(rename(at("sub/pagf"), at("sub/page")), 0);

	assert_int_equal(unlink(at("link")), 0);
	assert_int_equal(symlink("serves", at("link")), 0);
	assert_string_not_equal(digest(), was);
	assert_int_equal(unlink(at("link")), 0);
	assert_int_equal(symlink("server", at("link")), 0);
	assert_string_equal(digest(), was);

	put("new", "");
	assert_string_not_equal(digest(), was);
}

static void a_single_file_is_an_artifact_and_its_folder_comes_first_in_path(void **state)
{
	const char *json;
	char first[40], second[40], want[160];
	struct hg_err err = {0};
	(void)state;
	load("app: a\ncommand: server\nartifact: build/server\n");
	put("server", "one");
	assert_int_equal(make(&json, first, &err), HG_OK);
	assert_true(conf.kept);
	snprintf(want, sizeof want, "\"path\":\"%s/releases/a/%s\"", top, first);
	if (!strstr(json, want)) fail_msg("no %s in %s", want, json);
	snprintf(want, sizeof want, "\"source\":\"%s/build/server\"", top);
	if (!strstr(json, want)) fail_msg("no %s in %s", want, json);
	put("other", "beside it"); /* not part of it */
	assert_int_equal(make(&json, second, &err), HG_OK);
	assert_string_equal(first, second);
	put("server", "two");
	assert_int_equal(make(&json, second, &err), HG_OK);
	assert_string_not_equal(first, second);
}

static void expect(enum hg_rc rc, const char *want)
{
	const char *json;
	char d[40];
	struct hg_err err = {0};
	assert_int_equal(make(&json, d, &err), rc);
	if (!strstr(err.message, want)) fail_msg("\"%s\" has no \"%s\"", err.message, want);
}

static void an_artifact_that_cannot_be_read_to_its_end_is_refused(void **state)
{
	char name[128] = "deep";
	size_t n = strlen(name);
	(void)state;
	load("app: a\ncommand: server\nartifact: build\n");
	assert_int_equal(mkfifo(at("pipe"), 0644), 0); /* no part of it, and not read from */
	assert_int_equal(strlen(digest()), 32);
	for (int i = 0; i < 17; i++) {
		assert_int_equal(mkdir(at(name), 0755), 0);
		n += (size_t)snprintf(name + n, sizeof name - n, "/d");
	}
	expect(HG_E_FLEET_ARTIFACT, "its folders are too deep");
	load("app: a\ncommand: server\nartifact: build/pipe\n");
	expect(HG_E_FLEET_ARTIFACT, "it is neither a file nor a folder");
	load("app: a\ncommand: server\nartifact: build/none\n");
	expect(HG_E_FLEET_ARTIFACT, "No such file or directory");
}

static void too_many_files_are_refused(void **state)
{
	char name[32];
	(void)state;
	load("app: a\ncommand: server\nartifact: build\n");
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof name, "%d", i);
		put(name, "");
	}
	assert_int_equal(strlen(digest()), 32);
	put("one-more", "");
	expect(HG_E_FLEET_ARTIFACT, "it has too many files");
}

static void a_release_comes_back_from_the_store_as_it_was(void **state)
{
	const char *json;
	char d[40];
	struct hg_err err = {0};
	struct fleet_release *r;
	(void)state;
	load("app: a\ncommand: ./server --name \"é\"\nenv: {A: '1', EMPTY: ''}\n"
	     "sandbox: {writable: [data/, /var/x], user: 1234, private_tmp: true}\n");
	assert_int_equal(make(&json, d, &err), HG_OK);
	assert_string_equal(d, "");
	assert_int_equal(fleet_release_read(hg_str(json), 7, &r, &err), HG_OK);
	assert_int_equal(r->number, 7);
	assert_string_equal(r->command, "./server --name \"é\"");
	assert_string_equal(r->dir, top);
	assert_int_equal(r->uid, 1234);
	assert_true(r->flags & WD_F_PRIVATE_TMP);
	assert_false(r->flags & WD_F_READ_ONLY_ROOT);
	assert_int_equal(r->env_count, 2);
	assert_int_equal(r->writable_count, 2);
	assert_string_equal(r->writable[1], "/var/x");
	assert_int_equal(strncmp(r->writable[0], top, strlen(top)), 0);
	fleet_release_free(r);
}

static void limits_are_part_of_a_release_and_none_leaves_no_trace(void **state)
{
	const char *json;
	char d[40];
	struct hg_err err = {0};
	struct fleet_release *r;
	(void)state;
	load("app: a\ncommand: ./server\nresources: {requests: {cpu: 200m, memory: 256Mi}, "
	     "limits: {cpu: 1.5, memory: 1Gi}}\n");
	assert_int_equal(make(&json, d, &err), HG_OK);
	assert_int_equal(fleet_release_read(hg_str(json), 1, &r, &err), HG_OK);
	assert_int_equal(r->memory_max, 1u << 30);
	assert_int_equal(r->cpu_max_milli, 1500);
	assert_int_equal(r->memory_low, 256u << 20);
	assert_int_equal(r->cpu_milli, 200);
	fleet_release_free(r);
	/* Releases that were made before there were limits stay the same. */
	load("app: a\ncommand: ./server\n");
	assert_int_equal(make(&json, d, &err), HG_OK);
	assert_null(strstr(json, "memory"));
	assert_null(strstr(json, "cpu"));
	assert_int_equal(fleet_release_read(hg_str(json), 1, &r, &err), HG_OK);
	assert_int_equal(r->memory_max, 0);
	fleet_release_free(r);
}

static void a_release_that_is_damaged_in_the_store_is_refused_with_its_number(void **state)
{
	static const char *const bad[] = {"", "[]", "{",
	        "{\"command\":1,\"dir\":\"/\",\"path\":\"\"}", "{\"command\":\"a\",\"dir\":\"/\"}",
	        "{\"command\":\"a\",\"dir\":\"/\",\"path\":\"\",\"env\":{\"A\":1}}",
	        "{\"command\":\"a\",\"dir\":\"/\",\"path\":\"\",\"writable\":[null]}",
	        "{\"command\":\"a\",\"command\":\"b\",\"dir\":\"/\",\"path\":\"\"}"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		struct hg_err err = {0};
		struct fleet_release *r;
		if (fleet_release_read(hg_str(bad[i]), 12, &r, &err) != HG_E_DB_CORRUPT)
			fail_msg("taken: %s", bad[i]);
		assert_non_null(strstr(err.message, "release 12"));
	}
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        CASE(whatever_changes_in_a_folder_changes_its_digest_and_nothing_else_does),
	        CASE(a_single_file_is_an_artifact_and_its_folder_comes_first_in_path),
	        CASE(an_artifact_that_cannot_be_read_to_its_end_is_refused),
	        CASE(too_many_files_are_refused),
	        CASE(a_release_comes_back_from_the_store_as_it_was),
	        CASE(limits_are_part_of_a_release_and_none_leaves_no_trace),
	        CASE(a_release_that_is_damaged_in_the_store_is_refused_with_its_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
