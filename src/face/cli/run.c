/* run, demo: starting without writing a file first. */
#include "up_priv.h"
#include "client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A YAML double-quoted scalar; JSON's strings are a subset of it. */
static bool quoted(struct hg_buf *to, const char *text)
{
	json_t *j = json_string(text);
	char *s = j ? json_dumps(j, JSON_ENCODE_ANY) : NULL;
	if (s) hg_buf_cstr(to, s);
	json_decref(j);
	free(s);
	return s != NULL;
}

/* The specification that `run` stands for. False: an argument is not UTF-8. */
bool cli_run_text(const struct cli_args *a, struct hg_buf *to)
{
	char name[64];
	const char *listen = a->value[CLI_F_LISTEN] ? a->value[CLI_F_LISTEN] : "8080";
	const char *health = a->value[CLI_F_HEALTH];
	bool good = true;
	cli_app_name(a->value[CLI_F_NAME] ? a->value[CLI_F_NAME] : a->positional[0], name);
	hg_buf_fmt(to, "version: 1\nproject: %s\nedge:\n  listen: {http: ", name);
	good &= quoted(to, listen);
	hg_buf_fmt(to, "}\napps:\n  %s:\n    command: [", name);
	for (int i = 0; i < a->count; i++) {
		if (i) hg_buf_cstr(to, ", ");
		good &= quoted(to, a->positional[i]);
	}
	hg_buf_fmt(to, "]\n    replicas: %llu\n    probes:\n",
	        (unsigned long long)(cli_has(a, CLI_F_REPLICAS) ? a->number[CLI_F_REPLICAS] : 1));
	if (health) {
		hg_buf_cstr(to, "      readiness: {http: ");
		good &= quoted(to, health);
		hg_buf_cstr(to, ", every: 2s}\n");
	} else {
		hg_buf_cstr(to, "      readiness: {tcp: true, every: 2s}\n");
	}
	hg_buf_cstr(to, "    routes: [{host: \"*\", path: /}]\n");
	return good && !to->failed;
}

/* A relative program is looked for where the user stands, like a shell does. */
static int program_check(const struct cli *c)
{
	const char *program = c->args.positional[0];
	struct hg_err err = {0};
	if (!strchr(program, '/') || access(program, X_OK) == 0) return 0;
	hg_err_set(&err, errno == ENOENT ? HG_E_NOT_FOUND : HG_E_DENIED, "could not run \"%s\": %m",
	        program);
	return cli_fail(&err);
}

int cli_do_run(struct cli *c)
{
	struct cli_config k;
	struct hg_buf text;
	struct hg_err err = {0};
	int status = program_check(c);
	if (status) return status;
	hg_buf_init(&text, 1u << 20);
	if (!cli_run_text(&c->args, &text)) {
		hg_err_set(&err, HG_E_USAGE, "an argument is not valid UTF-8");
		hg_buf_free(&text);
		return cli_fail(&err);
	}
	status = cli_config_load(c, &k, "(headgate run)", hg_buf_text(&text), true);
	if (!status) status = cli_up(c, &k);
	cli_config_fini(&k);
	hg_buf_free(&text);
	return status;
}

/* ---- demo ---- */

/* Folder of this program, without a slash at its end. */
static bool program_dir(char to[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", to, PATH_MAX - 1);
	if (n <= 0) return false;
	to[n] = 0;
	*strrchr(to, '/') = 0;
	return true;
}

/* Beside headgate, in PATH, or in its libexec folder. */
static bool feedback_find(char to[PATH_MAX])
{
	char dir[PATH_MAX / 2];
	char all[PATH_MAX];
	static const char *const tries[] = {"/feedback-app", "/apps/feedback/feedback-app",
	        "/../feedback-app", "/../libexec/headgate/feedback-app"};
	if (!program_dir(all) || !hg_str_copy(hg_str(all), dir, sizeof dir)) return false;
	for (size_t i = 0; i < HG_COUNT(tries); i++) {
		snprintf(to, PATH_MAX, "%s%s", dir, tries[i]);
		if (access(to, X_OK) == 0) return true;
	}
	return false;
}

static void demo_text(const char *program, const char *dir, const char *listen, struct hg_buf *to)
{
	hg_buf_cstr(to,
	        "# The Feedback App: three replicas behind the edge. Written by headgate demo.\n"
	        "version: 1\nproject: demo\nedge:\n  listen: {http: ");
	(void)quoted(to, listen);
	hg_buf_cstr(to, "}\napps:\n  feedback:\n    command: [");
	(void)quoted(to, program);
	hg_buf_cstr(to, ", --port, $PORT]\n    dir: ");
	(void)quoted(to, dir);
	hg_buf_cstr(to, "\n    replicas: 3\n"
	                "    env: {DATABASE_URL: \"sqlite:data/feedback.db\"}\n"
	                "    health: /health\n"
	                "    routes: [{host: \"*\", path: /}]\n"
	                "    sandbox: {writable: [data/]}\n");
}

/* Not its data/: what the replicas write to is made by the warden, which gives it to their user. */
static enum hg_rc demo_folder(const struct cli *c, char dir[PATH_MAX], struct hg_err *err)
{
	const char *named = c->args.value[CLI_F_DIR];
	snprintf(dir, PATH_MAX, "%s", named ? named : "/tmp/headgate-demo-XXXXXX");
	bool good = named ? mkdir(dir, 0755) == 0 || errno == EEXIST : mkdtemp(dir) != NULL;
	/* Replicas run as users of their own when headgate is root. */
	if (good && !named) good = chmod(dir, 0755) == 0;
	char *real = good ? realpath(dir, NULL) : NULL;
	if (!real) return hg_err_set(err, HG_E_IO, "could not make \"%s\": %m", dir);
	snprintf(dir, PATH_MAX, "%s", real);
	free(real);
	return HG_OK;
}

int cli_do_demo(struct cli *c)
{
	char program[PATH_MAX], dir[PATH_MAX], file[PATH_MAX + 16];
	const char *listen = cli_has(&c->args, CLI_F_LISTEN) ? c->args.value[CLI_F_LISTEN] : "8080";
	struct hg_err err = {0};
	struct cli_config k;
	struct hg_buf text;
	if (!feedback_find(program)) {
		hg_err_set(&err, HG_E_NOT_FOUND, "feedback-app is not installed beside headgate");
		hg_err_hint(&err, "Build it with make, or install the whole package.");
		return cli_fail(&err);
	}
	if (cli_has(&c->args, CLI_F_DRY_RUN)) {
		cli_say("would start 3 replicas of %s behind an edge on %s", program, listen);
		cli_next(c, "headgate demo");
		return 0;
	}
	if (demo_folder(c, dir, &err) < 0) return cli_fail(&err);
	hg_buf_init(&text, 65536);
	demo_text(program, dir, listen, &text);
	snprintf(file, sizeof file, "%s/headgate.yaml", dir);
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool good = fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n;
	if (fd >= 0) close(fd);
	hg_buf_free(&text);
	if (!good) {
		hg_err_set(&err, HG_E_IO, "could not write \"%s\": %m", file);
		return cli_fail(&err);
	}
	if (!cli_has(&c->args, CLI_F_DATA)) {
		snprintf(c->data_dir, sizeof c->data_dir, "%.3000s/.headgate", dir);
		c->args.value[CLI_F_DATA] = c->data_dir; /* what is said next names it */
	}
	int status = cli_config_load(c, &k, file, NULL, true);
	if (!status) {
		char url[160];
		cli_url(&k.spec->edge.listen.http, url);
		cli_say("demo in %s", dir);
		cli_say("try: open %s, then in another terminal", url);
		cli_say("  headgate --data %s status feedback    and kill -9 a replica",
		        c->data_dir);
		status = cli_up(c, &k);
	}
	cli_config_fini(&k);
	return status;
}
