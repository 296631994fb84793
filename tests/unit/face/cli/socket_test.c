/* The command line against the API over a real unix socket: real server, real store, fake fleet. */
#include "../../test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAKES_REAL_SERVE
#include "../api/fakes.h"

#include "face/cli/client_priv.h"

static enum hg_rc reload(
        void *arg, const struct api_config *c, struct hg_buf *ret_diff, struct hg_err *err)
{
	struct store_config keep = {.text = c->text,
	        .file = c->file,
	        .dir = c->dir,
	        .environment = c->environment,
	        .applied_ms = 1};
	if (c->dry_run) return HG_OK;
	hg_buf_cstr(ret_diff, "~ apps.web.replicas: 1 → 2\n");
	return store_config_set(arg, &keep, err);
}

struct world {
	char dir[64];
	pid_t server;
};

static HG_NORETURN void serve_forever(const char *dir, int ready)
{
	struct loop *loop;
	struct store *store;
	struct api *api;
	struct fleet fleet = {0};
	struct sock_addr addr;
	struct hg_err err = {0};
	char path[128];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(path, sizeof path, "unix:%s/control.sock", dir);
	HG_ASSERT(sock_addr_parse(hg_str(path), &addr));
	HG_ASSERT(loop_new(&loop) == HG_OK);
	HG_ASSERT(store_open(dir, &store, &err) == HG_OK);
	struct api_deps d = {.loop = loop,
	        .fleet = &fleet,
	        .store = store,
	        .data_dir = dir,
	        .control_fd = sock_listen(&addr, 16),
	        .admin_fd = -1,
	        .owner_uid = getuid(),
	        .arg = store,
	        .reload = reload};
	HG_ASSERT(api_new(&d, &api, &err) == HG_OK);
	HG_ASSERT(write(ready, "", 1) == 1);
	hg_child_exit(loop_run(loop) == HG_OK ? 0 : 1);
}

static int setup(void **s)
{
	struct world *w = calloc(1, sizeof *w);
	int ready[2];
	char byte;
	snprintf(w->dir, sizeof w->dir, "/tmp/hg-cli-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(pipe(ready), 0);
	fflush(NULL);
	w->server = fork();
	if (w->server == 0) serve_forever(w->dir, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	setenv("HEADGATE_DATA", w->dir, 1);
	*s = w;
	return 0;
}

static int teardown(void **s)
{
	struct world *w = *s;
	char command[128];
	kill(w->server, SIGKILL);
	waitpid(w->server, NULL, 0);
	snprintf(command, sizeof command, "rm -r %s", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

/* Runs the program; what it wrote on stdout and stderr is in `ret_text`. Exit status. */
static int run(const char *line, char ret_text[8192])
{
	static const struct cli_deps deps = {0};
	char copy[256], *argv[16];
	int argc = 0;
	snprintf(copy, sizeof copy, "headgate %s", line);
	for (char *at = copy; at && *at;) {
		argv[argc++] = at;
		at = strchr(at, ' ');
		if (at) *at++ = 0;
	}
	FILE *file = tmpfile();
	fflush(NULL);
	int out = dup(1), errors = dup(2);
	dup2(fileno(file), 1);
	dup2(fileno(file), 2);
	int status = cli_main(argc, argv, &deps);
	fflush(NULL);
	dup2(out, 1);
	dup2(errors, 2);
	close(out);
	close(errors);
	rewind(file);
	ret_text[fread(ret_text, 1, 8191, file)] = 0;
	fclose(file);
	return status;
}

static void reading_verbs_show_what_the_api_says(void **s)
{
	char text[8192];
	(void)s;
	assert_int_equal(run("status", text), 7); /* an app is degraded */
	assert_non_null(strstr(text, "web"));
	assert_non_null(strstr(text, "degraded"));
	assert_non_null(strstr(text, "next: headgate logs web"));
	assert_int_equal(run("status web", text), 7);
	assert_non_null(strstr(text, "exit status 1"));
	assert_int_equal(run("status wbe", text), 2);
	assert_non_null(strstr(text, "did you mean \"web\"?"));
	assert_int_equal(run("status --json", text), 7);
	json_t *j = json_loads(text, 0, NULL);
	assert_string_equal(cli_text(j, "schema"), "headgate.status/1");
	json_decref(j);
	assert_int_equal(run("top --plain", text), 0);
	assert_non_null(strstr(text, "REPLICA"));
	assert_int_equal(run("logs", text), 1); /* no observe here: HG1008 */
	assert_non_null(strstr(text, "log store"));
}

static void changing_verbs_change_and_report(void **s)
{
	char text[8192];
	(void)s;
	assert_int_equal(run("scale web=5", text), 0);
	assert_non_null(strstr(text, "5 replicas"));
	assert_int_equal(run("scale web=5 --dry-run", text), 0);
	assert_non_null(strstr(text, "nothing was changed"));
	assert_int_equal(run("scale nope=5", text), 2);
	assert_int_equal(run("restart web", text), 0);
	assert_int_equal(run("restart we?b", text), 2);
	assert_int_equal(run("token create ci --role deployer", text), 0);
	assert_int_equal(strncmp(text, "hgt_", 4), 0);
	assert_int_equal(run("token create ci", text), 6); /* the name is taken */
	assert_int_equal(run("token list", text), 0);
	assert_non_null(strstr(text, "deployer"));
	assert_int_equal(run("token revoke ci", text), 0);
	assert_int_equal(run("token revoke ci", text), 2);
}

static void scale_says_as_json_what_was_changed(void **s)
{
	char text[8192];
	(void)s;
	assert_int_equal(run("scale web=5 --json", text), 0);
	json_t *j = json_loads(text, 0, NULL);
	const json_t *app = json_array_get(cli_list(j, "apps"), 0);
	assert_string_equal(cli_text(j, "schema"), "headgate.scaled/1");
	assert_true(json_is_false(json_object_get(j, "dry_run")));
	assert_int_equal(json_array_size(cli_list(j, "apps")), 1);
	assert_string_equal(cli_text(app, "app"), "web");
	assert_int_equal(cli_int(app, "was"), 2);
	assert_int_equal(cli_int(app, "replicas"), 5);
	json_decref(j);
	assert_int_equal(run("scale web=5 --json --dry-run", text), 0);
	j = json_loads(text, 0, NULL);
	assert_true(json_is_true(json_object_get(j, "dry_run")));
	json_decref(j);
	/* The first was changed, the second does not exist. */
	assert_int_equal(run("scale web=4 nope=5 --json", text), 2);
	assert_non_null(strchr(text, '{'));
	j = json_loads(strchr(text, '{'), JSON_DISABLE_EOF_CHECK, NULL);
	assert_int_equal(json_array_size(cli_list(j, "apps")), 1);
	json_decref(j);
}

static void a_reload_is_checked_here_and_applied_there(void **s)
{
	struct world *w = *s;
	char text[8192], path[128], line[256];
	snprintf(path, sizeof path, "%s/h.yaml", w->dir);
	FILE *f = fopen(path, "w");
	fputs("version: 1\nproject: t\napps:\n  web: {command: ./x --port $PORT, replcas: 2}\n", f);
	fclose(f);
	snprintf(line, sizeof line, "reload -f %s", path);
	assert_int_equal(run(line, text), 3);
	assert_non_null(strstr(text, "did you mean \"replicas\"?"));
	f = fopen(path, "w");
	fputs("version: 1\nproject: t\napps:\n  web: {command: ./x --port $PORT, replicas: 2}\n",
	        f);
	fclose(f);
	assert_int_equal(run(line, text), 0);
	assert_non_null(strstr(text, "1 change applied"));
	snprintf(line, sizeof line, "reload --dry-run -f %s", path);
	assert_int_equal(run(line, text), 0);
	assert_non_null(strstr(text, "nothing changes"));
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void a_reload_without_a_file_takes_the_one_that_runs(void **s)
{
	struct world *w = *s;
	char text[8192], path[128], line[256], want[256], was[512];
	snprintf(path, sizeof path, "%s/live.yaml", w->dir);
	write_text(path,
	        "project: t\napps:\n  web: {command: ./x --port $PORT, domain: a.b, health: /h}\n"
	        "environments: {staging: {apps: {web: {replicas: 3}}}}\n");
	/* Another one lies where the command is called. */
	assert_non_null(getcwd(was, sizeof was));
	assert_int_equal(chdir(w->dir), 0);
	write_text("headgate.yaml", "project: t\napps: {}\n");
	assert_int_equal(run("reload", text), 2); /* nothing was applied yet */
	snprintf(line, sizeof line, "reload -f live.yaml -e staging");
	assert_int_equal(run(line, text), 0);
	snprintf(want, sizeof want, "from %s, environment staging\n", path);
	assert_non_null(strstr(text, want));
	assert_int_equal(run("reload", text), 0);
	assert_non_null(strstr(text, want));
	assert_int_equal(run("reload --json", text), 0);
	json_t *j = json_loads(text, 0, NULL);
	assert_string_equal(cli_text(j, "schema"), "headgate.reload/1");
	assert_string_equal(cli_text(j, "file"), path);
	assert_string_equal(cli_text(j, "environment"), "staging");
	json_decref(j);
	/* A file that is named is taken as it is named. */
	assert_int_equal(run("reload -f live.yaml", text), 0);
	snprintf(want, sizeof want, "from %s\n", path);
	assert_non_null(strstr(text, want));
	assert_int_equal(unlink("live.yaml"), 0);
	assert_int_equal(run("reload", text), 2);
	assert_non_null(strstr(text, path));
	assert_int_equal(chdir(was), 0);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	        CASE(reading_verbs_show_what_the_api_says),
	        CASE(changing_verbs_change_and_report),
	        CASE(scale_says_as_json_what_was_changed),
	        CASE(a_reload_is_checked_here_and_applied_there),
	        CASE(a_reload_without_a_file_takes_the_one_that_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
