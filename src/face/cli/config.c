/* config check|show|fmt|schema, explain, reload. */
#include "config_priv.h"
#include "client_priv.h"

#include "control/alert/alert.h"
#include "control/notify/notify.h"
#include "spec/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPEC_ARENA_MAX ((size_t)64 << 20)

static void report_print(const struct spec_report *report)
{
	struct hg_buf text;
	if (!report->error_count && !report->warning_count) return;
	fflush(stdout);
	hg_buf_init(&text, 1u << 20);
	spec_report_print(report, &text);
	fputs(hg_buf_text(&text), stderr);
	hg_buf_free(&text);
}

static const char *file_name(const struct cli *c, const char *file)
{
	if (file) return file;
	if (c->args.value[CLI_F_FILE]) return c->args.value[CLI_F_FILE];
	return "headgate.yaml";
}

static enum hg_rc file_read(const char *path, struct hg_buf *to, struct hg_err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0) {
		enum hg_rc rc = errno == ENOENT ? HG_E_NOT_FOUND : HG_E_IO;
		hg_err_set(err, rc, "could not read the configuration \"%s\": %m", path);
		if (rc == HG_E_NOT_FOUND)
			hg_err_hint(err, "headgate init writes one; -f FILE names another.");
		if (fd >= 0) close(fd);
		return rc;
	}
	enum hg_rc rc = HG_OK;
	if (!S_ISREG(st.st_mode))
		rc = hg_err_set(err, HG_E_INVALID, "\"%s\" is not a regular file", path);
	else if ((uint64_t)st.st_size > SPEC_FILE_MAX)
		rc = hg_err_set(
		        err, HG_E_TOO_LARGE, "\"%s\" is larger than %u bytes", path, SPEC_FILE_MAX);
	while (rc == HG_OK) {
		char *room = hg_buf_room(to, 65536);
		ssize_t n = room ? read(fd, room, 65536) : -1;
		if (n < 0) rc = hg_err_set(err, HG_E_IO, "could not read \"%s\": %m", path);
		if (n <= 0) break;
		hg_buf_add(to, (size_t)n);
	}
	close(fd);
	return rc;
}

/* The folder that relative paths start from. */
static enum hg_rc folder_of(const char *file, char to[4096], struct hg_err *err)
{
	char folder[4096];
	const char *slash = strrchr(file, '/');
	snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file + 1) : 1,
	        slash ? file : ".");
	char *real = realpath(folder, NULL);
	if (!real || strlen(real) >= 4096) {
		free(real);
		return hg_err_set(err, HG_E_IO, "could not resolve the folder of \"%s\": %m", file);
	}
	snprintf(to, 4096, "%s", real);
	free(real);
	return HG_OK;
}

static int refuse_unavailable(const struct spec *s)
{
	struct hg_err *errs = calloc(SPEC_PROBLEMS_MAX, sizeof *errs);
	struct hg_buf text;
	int status = 0;
	if (!errs) return 1;
	uint32_t n = spec_unavailable(s, errs, SPEC_PROBLEMS_MAX);
	hg_buf_init(&text, 1u << 20);
	for (uint32_t i = 0; i < n && i < SPEC_PROBLEMS_MAX; i++) {
		hg_err_print(&errs[i], &text);
		status = hg_rc_info(errs[i].rc)->exit_status;
	}
	if (n > SPEC_PROBLEMS_MAX) hg_buf_fmt(&text, "and %u more\n", n - SPEC_PROBLEMS_MAX);
	fputs(hg_buf_text(&text), stderr);
	if (n) cli_next(NULL, "headgate help %s", hg_rc_info(HG_E_CONFIG_UNAVAILABLE)->code);
	hg_buf_free(&text);
	free(errs);
	return status;
}

/* One more problem of what the configuration says or names, in the same list as the others. */
static void problem_add(struct spec_report *r, const struct hg_err *e)
{
	struct hg_err *to =
	        e->warning ? spec_report_warning(r, 0, 0) : spec_report_error(r, e->rc, 0, 0);
	*to = *e;
	if (e->line && !e->snippet[0] && hg_str_eq(hg_str(e->file), r->file))
		spec_err_place(to, r->file, r->text, e->line, e->column);
}

static void on_rule_note(void *arg, const struct hg_err *e)
{
	problem_add(arg, e);
}

/* What control would refuse of `alerts`, by the same code: who is told, and the files of rules;
 * these with what is probably not meant in them. */
static enum hg_rc alerts_check(struct cli_config *k)
{
	const struct spec_alerts *a = &k->spec->alerts;
	struct alert_rules *rules = NULL;
	struct notify_plan *plan = NULL;
	struct hg_err err = {0};
	enum hg_rc rc = notify_check(k->spec, &plan, &err);
	notify_plan_free(plan);
	if (rc < 0) problem_add(k->report, &err);
	if (!a->rule_count && !a->import_count) return rc;
	err = (struct hg_err){0};
	enum hg_rc of_rules =
	        alert_rules_read(k->spec, k->dir, on_rule_note, k->report, &rules, &err);
	alert_rules_free(rules);
	if (of_rules < 0) problem_add(k->report, &err);
	return rc < 0 ? rc : of_rules;
}

int cli_config_load(const struct cli *c, struct cli_config *k, const char *file, const char *text,
        bool runnable)
{
	struct hg_err err = {0};
	*k = (struct cli_config){.environment = c->args.value[CLI_F_ENVIRONMENT]};
	hg_arena_init(&k->mem, "configuration", SPEC_ARENA_MAX);
	hg_buf_init(&k->text, SPEC_FILE_MAX + 65536);
	k->report = calloc(1, sizeof *k->report);
	if (!k->report) {
		hg_err_set(&err, HG_E_NOMEM, "no memory for the configuration");
		return cli_fail(&err);
	}
	file = file_name(c, file);
	snprintf(k->file, sizeof k->file, "%s", file);
	if (text) {
		hg_buf_cstr(&k->text, text);
		if (!getcwd(k->dir, sizeof k->dir)) k->dir[0] = 0;
	} else if (file_read(file, &k->text, &err) < 0 || folder_of(file, k->dir, &err) < 0) {
		return cli_fail(&err);
	}
	struct spec_source from = {hg_buf_view(&k->text), k->file, k->environment, k->dir};
	enum hg_rc rc = spec_load(&from, &k->mem, k->report, &k->spec);
	if (rc == HG_OK) rc = spec_check(k->spec, k->report);
	if (rc == HG_OK) rc = alerts_check(k);
	report_print(k->report);
	if (rc < 0) {
		cli_next(NULL, "headgate help %s", hg_rc_info(rc)->code);
		return hg_rc_info(rc)->exit_status;
	}
	int status = runnable ? refuse_unavailable(k->spec) : 0;
	return status ? status : cli_config_certs(k, runnable);
}

void cli_config_fini(struct cli_config *k)
{
	hg_arena_fini(&k->mem);
	hg_buf_free(&k->text);
	free(k->report);
	json_decref(k->certs);
}

json_t *cli_config_json(const struct cli_config *k, bool dry_run)
{
	char absolute[8300];
	const char *name = strrchr(k->file, '/');
	/* Later messages come from another working directory. */
	snprintf(absolute, sizeof absolute, "%s/%s", strcmp(k->dir, "/") ? k->dir : "",
	        name ? name + 1 : k->file);
	return json_pack("{s:s#,s:s,s:s,s:s,s:b,s:O*}", "text", k->text.p ? k->text.p : "",
	        (int)k->text.n, "file", absolute, "dir", k->dir, "environment",
	        k->environment ? k->environment : "", "dry_run", dry_run, "certificates", k->certs);
}

int cli_config_send(const struct cli *c, const struct cli_config *k, bool dry_run)
{
	struct hg_err err = {0};
	json_t *body = cli_config_json(k, dry_run), *j = NULL, *line;
	size_t i;
	if (!body) {
		hg_err_set(&err, HG_E_INVALID, "the configuration is not valid UTF-8");
		return cli_fail(&err);
	}
	enum hg_rc rc = cli_call_patient(c, "/v1/reload", body, &j, &err);
	if (rc < 0) {
		json_decref(body);
		return cli_fail(&err);
	}
	if (cli_has(&c->args, CLI_F_JSON)) {
		json_object_set(j, "file", json_object_get(body, "file"));
		json_object_set(j, "environment", json_object_get(body, "environment"));
		char *text = json_dumps(j, JSON_INDENT(2));
		cli_out("%s\n", text ? text : "{}");
		free(text);
	} else {
		if (k->file[0] != '(')
			cli_say("from %s%s%s", cli_text(body, "file"),
			        k->environment ? ", environment " : "",
			        k->environment ? k->environment : "");
		json_array_foreach(cli_list(j, "changes"), i, line)
		        cli_out("%s\n", json_string_value(line));
		if (i == 0)
			cli_say("nothing changes");
		else if (dry_run)
			cli_say("%zu change%s (dry run, nothing was changed)", i,
			        i == 1 ? "" : "s");
		else
			cli_say("%s %zu change%s applied", cli_mark(c, CLI_GOOD), i,
			        i == 1 ? "" : "s");
		if (dry_run && cli_has(&c->args, CLI_F_FILE))
			cli_next(c, "headgate reload -f %s", k->file);
		else
			cli_next(c, dry_run ? "headgate reload" : "headgate status");
	}
	json_decref(body);
	json_decref(j);
	return 0;
}

/* What the Headgate that runs was last given; the store keeps it. */
static enum hg_rc remembered(const struct cli *c, json_t **ret_config, struct hg_err *err)
{
	enum hg_rc rc = cli_call(c, "GET", "/v1/config", NULL, CLI_READ_MS, ret_config, err);
	if (rc < 0) return rc;
	const char *file = cli_text(*ret_config, "file"), *slash = strrchr(file, '/');
	if (file[0] && (slash ? slash[1] : file[0]) != '(') return HG_OK;
	hg_err_set(err, HG_E_USAGE, "the Headgate that runs was started without a file");
	hg_err_hint(err, "Name one: headgate reload -f FILE");
	return HG_E_USAGE;
}

int cli_do_reload(struct cli *c)
{
	struct cli_config k;
	struct hg_err err = {0};
	struct cli with = *c; /* the environment that goes with the file */
	json_t *was = NULL;
	const char *file = NULL;
	if (!cli_has(&c->args, CLI_F_FILE)) {
		if (remembered(c, &was, &err) < 0) {
			json_decref(was);
			return cli_fail(&err);
		}
		file = cli_text(was, "file");
		const char *environment = cli_text(was, "environment");
		if (!cli_has(&c->args, CLI_F_ENVIRONMENT) && environment[0])
			with.args.value[CLI_F_ENVIRONMENT] = environment;
	}
	int status = cli_config_load(&with, &k, file, NULL, true);
	if (!status) status = cli_config_send(&with, &k, cli_has(&c->args, CLI_F_DRY_RUN));
	cli_config_fini(&k);
	json_decref(was);
	return status;
}

/* The file may be named by -f or by an argument, not by both. */
static int file_argument(const struct cli *c, const char **ret_file)
{
	struct hg_err err = {0};
	*ret_file = c->args.count ? c->args.positional[0] : NULL;
	if (!*ret_file || !cli_has(&c->args, CLI_F_FILE)) return 0;
	hg_err_set(&err, HG_E_USAGE, "the file is given twice");
	return cli_fail(&err);
}

static json_t *problems_json(const struct hg_err *errs, uint32_t n)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < n && i < SPEC_PROBLEMS_MAX; i++)
		json_array_append_new(
		        list, json_pack("{s:s,s:s,s:s,s:s,s:i,s:i}", "code",
		                      hg_rc_info(errs[i].rc)->code, "message", errs[i].message,
		                      "hint", errs[i].hint, "file", errs[i].file, "line",
		                      (int)errs[i].line, "column", (int)errs[i].column));
	return list;
}

int cli_do_config_check(struct cli *c)
{
	struct cli_config k;
	struct hg_err *later = NULL;
	const char *file;
	int status = file_argument(c, &file);
	if (status) return status;
	status = cli_config_load(c, &k, file, NULL, false);
	uint32_t n = 0;
	if (!status && (later = calloc(SPEC_PROBLEMS_MAX, sizeof *later)))
		n = spec_unavailable(k.spec, later, SPEC_PROBLEMS_MAX);
	if (cli_has(&c->args, CLI_F_JSON)) {
		json_t *j = json_pack("{s:s,s:b,s:o,s:o,s:o}", "schema", "headgate.config-check/1",
		        "valid", status == 0, "errors",
		        problems_json(k.report ? k.report->errors : NULL,
		                k.report ? k.report->error_count : 0),
		        "warnings",
		        problems_json(k.report ? k.report->warnings : NULL,
		                k.report ? k.report->warning_count : 0),
		        "not_available", problems_json(later, n));
		char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
		cli_out("%s\n", text ? text : "{}");
		free(text);
		json_decref(j);
	} else if (!status) {
		for (uint32_t i = 0; i < n && i < SPEC_PROBLEMS_MAX; i++)
			cli_say("%s:%u:%u: note: %s", later[i].file, later[i].line, later[i].column,
			        later[i].message);
		cli_out("%s %s is valid: %u app%s\n", cli_mark(c, CLI_GOOD), k.file,
		        k.spec->app_count, k.spec->app_count == 1 ? "" : "s");
		if (n)
			cli_say("%u key%s not available yet: \"up\" will refuse this file", n,
			        n == 1 ? " is" : "s are");
		cli_next(c, "headgate up -f %s", k.file);
	}
	free(later);
	cli_config_fini(&k);
	return status;
}

int cli_do_config_show(struct cli *c)
{
	struct cli_config k;
	struct hg_buf text;
	const char *file;
	int status = file_argument(c, &file);
	if (status) return status;
	bool named = file || cli_has(&c->args, CLI_F_FILE) || cli_has(&c->args, CLI_F_ENVIRONMENT);
	json_t *running = NULL;
	if (!named &&
	        cli_call(c, "GET", "/v1/config", NULL, CLI_READ_MS, &running, NULL) == HG_OK &&
	        cli_text(running, "effective")[0]) {
		cli_out("%s", cli_text(running, "effective"));
		json_decref(running);
		return 0;
	}
	json_decref(running);
	status = cli_config_load(c, &k, file, NULL, false);
	if (!status) {
		hg_buf_init(&text, 16u << 20);
		spec_show(k.spec, &text);
		cli_out("%s", hg_buf_text(&text));
		hg_buf_free(&text);
	}
	cli_config_fini(&k);
	return status;
}

/* Temporary file beside it, fsync, rename: the old text or the new, never half of it. */
static enum hg_rc file_replace(const char *path, struct hg_str text, struct hg_err *err)
{
	char temp[4200];
	struct stat st;
	snprintf(temp, sizeof temp, "%s.headgate-new", path);
	int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool good = fd >= 0 && stat(path, &st) == 0 && fchmod(fd, st.st_mode & 0777) == 0;
	for (size_t at = 0; good && at < text.n;) {
		ssize_t n = write(fd, text.p + at, text.n - at);
		good = n > 0;
		at += good ? (size_t)n : 0;
	}
	good = good && fsync(fd) == 0 && rename(temp, path) == 0;
	int why = errno;
	if (fd >= 0) close(fd);
	if (good) return HG_OK;
	unlink(temp);
	return hg_err_set(err, HG_E_IO, "could not write \"%s\": %s", path, strerror(why));
}

int cli_do_config_fmt(struct cli *c)
{
	struct hg_buf was, now;
	struct hg_err err = {0};
	const char *file;
	int status = file_argument(c, &file);
	struct spec_report *report = calloc(1, sizeof *report);
	if (status || !report) {
		free(report);
		return status ? status : 1;
	}
	file = file_name(c, file);
	hg_buf_init(&was, SPEC_FILE_MAX + 65536);
	hg_buf_init(&now, 4u << 20);
	enum hg_rc rc = file_read(file, &was, &err);
	if (rc == HG_OK) {
		struct spec_source from = {hg_buf_view(&was), file, NULL, NULL};
		rc = spec_fmt(&from, &now, report);
		report_print(report);
		if (rc < 0) status = hg_rc_info(rc)->exit_status;
	} else {
		status = cli_fail(&err);
	}
	bool same = rc == HG_OK && hg_str_eq(hg_buf_view(&was), hg_buf_view(&now));
	if (rc == HG_OK && cli_has(&c->args, CLI_F_CHECK)) {
		status = same ? 0 : 3;
		if (!same) {
			cli_say("%s is not in the standard form", file);
			cli_next(NULL, "headgate config fmt --write %s", file);
		}
	} else if (rc == HG_OK && cli_has(&c->args, CLI_F_WRITE)) {
		if (!same && file_replace(file, hg_buf_view(&now), &err) < 0)
			status = cli_fail(&err);
		if (!status) cli_say(same ? "%s is unchanged" : "%s is written", file);
	} else if (rc == HG_OK) {
		cli_out("%s", hg_buf_text(&now));
	}
	hg_buf_free(&was);
	hg_buf_free(&now);
	free(report);
	return status;
}

int cli_do_config_schema(struct cli *c)
{
	struct hg_str text = spec_schema();
	(void)c;
	cli_out("%.*s\n", HG_STR_ARG(hg_str_trim(text)));
	return 0;
}

int cli_do_explain(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_buf text;
	struct hg_str key = hg_str(c->args.positional[0]);
	const struct hg_rc_info *info = hg_rc_by_code(key);
	if (info) return cli_help_code(info);
	hg_buf_init(&text, 4u << 20);
	enum hg_rc rc = spec_explain(key, &text, &err);
	if (rc == HG_E_NOT_FOUND && strncmp(key.p, "apps.", 5) != 0) {
		/* People leave the app out: `probes.readiness` means that of an app. */
		char full[512];
		struct hg_err unused;
		snprintf(full, sizeof full, "apps.*.%.400s", key.p);
		if (spec_explain(hg_str(full), &text, &unused) == HG_OK) rc = HG_OK;
	}
	if (rc == HG_OK) cli_out("%s", hg_buf_text(&text));
	hg_buf_free(&text);
	return rc < 0 ? cli_fail(&err) : 0;
}
