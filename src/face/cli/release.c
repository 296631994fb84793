/* deploy, plan, rollback: a release on its way. */
#include "rollout_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A path as a name in the request line; false: no app is called so. */
static bool app_path(const char *app, const char *what, char to[256])
{
	static const char safe[] =
	        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	if (!*app || strspn(app, safe) != strlen(app)) return false;
	return snprintf(to, 256, "/v1/apps/%s/%s", app, what) < 256;
}

static enum hg_rc no_app(const char *app, struct hg_err *err)
{
	return hg_err_set(err, HG_E_NOT_FOUND, "there is no app \"%.64s\"", app);
}

/* Control has another working directory than the person. */
static enum hg_rc absolute(const char *path, char to[4096], struct hg_err *err)
{
	struct hg_out o = hg_out_over(to, 4095);
	if (path[0] != '/') {
		char here[3072];
		if (!getcwd(here, sizeof here))
			return hg_err_set(err, HG_E_IO, "could not read the working directory: %m");
		hg_out_fmt(&o, "%s/", strcmp(here, "/") ? here : "");
		while (path[0] == '.' && path[1] == '/')
			path += 2;
		if (!strcmp(path, ".")) path = "";
	}
	hg_out_cstr(&o, path);
	while (o.n > 1 && to[o.n - 1] == '/')
		o.n--;
	if (hg_out_failed(&o)) return hg_err_set(err, HG_E_USAGE, "the path is too long");
	to[o.n] = 0;
	return HG_OK;
}

static enum hg_rc env_put(const struct cli *c, json_t *body, struct hg_err *err)
{
	json_t *env = json_object();
	enum hg_rc rc = HG_OK;
	for (int i = 0; i < c->args.many_count && rc == HG_OK; i++) {
		const char *pair = c->args.many[i].value, *eq = strchr(pair, '=');
		if (c->args.many[i].id != CLI_F_ENV) continue;
		char name[256];
		if (!eq || eq == pair ||
		        !hg_str_copy(
		                (struct hg_str){pair, (size_t)(eq - pair)}, name, sizeof name)) {
			rc = hg_err_set(err, HG_E_USAGE, "\"%.80s\" is not NAME=VALUE", pair);
			hg_err_hint(err, "for example: --env LOG_LEVEL=debug");
		} else if (json_object_get(env, name)) {
			rc = hg_err_set(err, HG_E_USAGE, "--env gives \"%s\" twice", name);
		} else if (json_object_set_new(env, name, json_string(eq + 1)) < 0) {
			rc = hg_err_set(
			        err, HG_E_USAGE, "the value of \"%s\" is not valid UTF-8", name);
		}
	}
	if (rc == HG_OK && json_object_size(env))
		json_object_set_new(body, "env", env);
	else
		json_decref(env);
	return rc;
}

static enum hg_rc deploy_body(const struct cli *c, json_t *body, struct hg_err *err)
{
	static const struct {
		enum cli_flag_id flag;
		const char *name;
	} texts[] = {{CLI_F_VERSION, "version"}, {CLI_F_COMMAND, "command"},
	        {CLI_F_ARTIFACT, "artifact"}, {CLI_F_STRATEGY, "strategy"},
	        {CLI_F_OVERRIDE, "override"}};
	char path[4096];
	for (size_t i = 0; i < HG_COUNT(texts); i++) {
		const char *v = c->args.value[texts[i].flag];
		if (!v) continue;
		if (texts[i].flag == CLI_F_ARTIFACT) {
			enum hg_rc rc = absolute(v, path, err);
			if (rc < 0) return rc;
			v = path;
		}
		if (json_object_set_new(body, texts[i].name, json_string(v)) < 0)
			return hg_err_set(
			        err, HG_E_USAGE, "--%s is not valid UTF-8", texts[i].name);
	}
	return env_put(c, body, err);
}

/* ---- plan ---- */

static void plan_steps(const struct cli *c, const json_t *plan, struct hg_buf *to)
{
	const json_t *s;
	size_t i;
	char t[CLI_TEXT_MAX];
	if (!json_array_size(cli_list(plan, "steps"))) return;
	hg_buf_fmt(to, "\n%sSTEP  WEIGHT   REPLICAS  AT LEAST  PROVEN AFTER%s\n", cli_bold(c),
	        cli_off(c));
	json_array_foreach(cli_list(plan, "steps"), i, s)
	{
		int64_t proven = cli_int(s, "proven_ms");
		hg_buf_fmt(to, "%-5zu ", i + 1);
		cli_cell(c, to, cli_human_share(cli_num(s, "weight"), t), 8);
		hg_buf_fmt(to, " %-9lld ", (long long)cli_int(s, "replicas"));
		cli_cell(c, to, cli_human_ms(cli_int(s, "least_ms"), t), 9);
		hg_buf_fmt(to, " %s\n",
		        proven < 0 ? "never at this traffic" : cli_human_ms(proven, t));
	}
	hg_buf_byte(to, '\n');
}

static void plan_detects(const struct cli *c, const json_t *plan, struct hg_buf *to)
{
	const json_t *d;
	size_t i;
	char new[CLI_TEXT_MAX], old[CLI_TEXT_MAX], weight[CLI_TEXT_MAX], t[CLI_TEXT_MAX];
	(void)c;
	json_array_foreach(cli_list(plan, "detects"), i, d)
	{
		int64_t ms = cli_int(d, "ms");
		hg_buf_fmt(to, " %-9s  %s failing (now %s) at %s: %lld requests",
		        i ? "" : "detects", cli_human_share(cli_num(d, "rate_new"), new),
		        cli_human_share(cli_num(d, "rate_old"), old),
		        cli_human_share(cli_num(d, "weight"), weight),
		        (long long)cli_int(d, "requests"));
		if (ms >= 0)
			hg_buf_fmt(to, ", %s\n", cli_human_ms(ms, t));
		else
			hg_buf_cstr(to, "\n");
	}
}

void cli_plan_text(const struct cli *c, const json_t *plan, struct hg_buf *to)
{
	const json_t *v, *old = json_object_get(plan, "old"), *new = json_object_get(plan, "new");
	const char *from = cli_text(old, "version"), *till = cli_text(new, "version");
	int64_t total = cli_int(plan, "total_ms");
	size_t i;
	char t[CLI_TEXT_MAX];
	hg_buf_cstr(to, cli_bold(c));
	cli_put(c, to, hg_str(cli_text(plan, "app")), 20);
	hg_buf_byte(to, ' ');
	cli_put(c, to, hg_str(from[0] ? from : cli_dash(c)), 14);
	hg_buf_fmt(to, " %s ", cli_arrow(c));
	cli_put(c, to, hg_str(till[0] ? till : "a new release"), 14);
	hg_buf_fmt(to, "%s   ", cli_off(c));
	cli_put(c, to, hg_str(cli_text(plan, "strategy")), 10);
	hg_buf_cstr(to, "   plan, nothing was changed\n");
	json_array_foreach(cli_list(plan, "changes"), i, v)
	{
		hg_buf_fmt(to, " %-9s  ", i ? "" : "changes");
		cli_wrap(c, to, hg_str(json_string_value(v)), 12);
	}
	hg_buf_fmt(to, " traffic    %s requests/s\n",
	        cli_human_rate(
	                HG_MAX(cli_num(json_object_get(plan, "traffic"), "requests_per_second"), 0),
	                t));
	plan_steps(c, plan, to);
	hg_buf_fmt(to, " total      %s\n",
	        total < 0 ? "no end at this traffic: a person promotes" : cli_human_ms(total, t));
	plan_detects(c, plan, to);
	json_array_foreach(cli_list(plan, "warnings"), i, v)
	{
		hg_buf_fmt(to, " %s warning  ", cli_mark(c, CLI_WARN));
		cli_wrap(c, to, hg_str(json_string_value(v)), 12);
	}
}

static int plan_show(const struct cli *c, const json_t *plan)
{
	struct hg_buf text;
	if (cli_has(&c->args, CLI_F_JSON)) return cli_print_json(plan, false);
	hg_buf_init(&text, 1u << 20);
	cli_plan_text(c, plan, &text);
	cli_out("%s", hg_buf_text(&text));
	hg_buf_free(&text);
	cli_next(c, "headgate deploy %s, with the same flags", c->args.positional[0]);
	return 0;
}

/* ---- deploy ---- */

/* Control may have died between doing it and saying so. */
static int ask_failed(const struct cli *c, struct hg_err *err)
{
	if (err->rc == HG_E_CONTROL_SILENT && !cli_has(&c->args, CLI_F_DRY_RUN))
		hg_err_hint(err, "It may have begun all the same: headgate rollouts list %.64s",
		        c->args.positional[0]);
	return cli_fail(err);
}

static enum hg_rc deploy_ask(const struct cli *c, bool dry, json_t **ret_answer, struct hg_err *err)
{
	char path[256];
	json_t *body = json_object();
	if (dry) json_object_set_new(body, "dry_run", json_true());
	enum hg_rc rc = app_path(c->args.positional[0], "rollouts", path)
	                        ? deploy_body(c, body, err)
	                        : no_app(c->args.positional[0], err);
	if (rc == HG_OK) rc = cli_call_patient(c, path, body, ret_answer, err);
	json_decref(body);
	return rc;
}

/* Begun, and not waited for. */
static int started(const struct cli *c, const json_t *answer, const char *what)
{
	unsigned long long id = (unsigned long long)cli_int(answer, "id");
	if (cli_has(&c->args, CLI_F_JSON)) return cli_print_json(answer, false);
	cli_out("%s: %s rollout %llu\n", c->args.positional[0], what, id);
	cli_next(c, "headgate rollouts show %llu --watch", id);
	return 0;
}

int cli_do_deploy(struct cli *c)
{
	struct hg_err err = {0};
	json_t *answer = NULL;
	int status;
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN), detach = cli_has(&c->args, CLI_F_DETACH);
	if (detach && (cli_has(&c->args, CLI_F_WAIT) || cli_has(&c->args, CLI_F_TIMEOUT))) {
		hg_err_set(&err, HG_E_USAGE, "--detach does not wait: leave --wait and --timeout");
		return cli_fail(&err);
	}
	if (deploy_ask(c, dry, &answer, &err) < 0) return ask_failed(c, &err);
	uint64_t id = (uint64_t)cli_int(answer, "id");
	if (dry)
		status = plan_show(c, answer);
	else if (detach)
		status = started(c, answer, "began");
	else
		status = cli_rollout_wait(c, id, &(struct cli_wait){0});
	json_decref(answer);
	return status;
}

int cli_do_plan(struct cli *c)
{
	struct hg_err err = {0};
	json_t *plan = NULL;
	if (deploy_ask(c, true, &plan, &err) < 0) return cli_fail(&err);
	int status = plan_show(c, plan);
	json_decref(plan);
	return status;
}

/* ---- rollback ---- */

static bool names(const json_t *side, const char *version, int64_t *ret_release)
{
	if (strcmp(cli_text(side, "version"), version) != 0) return false;
	*ret_release = cli_int(side, "release");
	return *ret_release > 0;
}

/* "7" is a release; anything else the version of one that a rollout of the app was about. */
static enum hg_rc release_find(
        const struct cli *c, const char *text, int64_t *ret_release, struct hg_err *err)
{
	uint64_t n;
	json_t *list = NULL;
	const json_t *row;
	size_t i;
	struct hg_buf path;
	if (hg_str_u64(hg_str(text), &n) && n > 0 && n <= UINT32_MAX) {
		*ret_release = (int64_t)n;
		return HG_OK;
	}
	hg_buf_init(&path, 8192);
	hg_buf_cstr(&path, "/v1/rollouts");
	cli_query_add(&path, "app", hg_str(c->args.positional[0]));
	cli_query_add(&path, "limit", HG_STR("1000"));
	enum hg_rc rc = cli_call(c, "GET", hg_buf_text(&path), NULL, CLI_READ_MS, &list, err);
	hg_buf_free(&path);
	if (rc < 0) return rc;
	bool found = false;
	json_array_foreach(cli_list(list, "rollouts"), i, row)
	{
		if (!found)
			found = names(json_object_get(row, "new"), text, ret_release) ||
			        names(json_object_get(row, "old"), text, ret_release);
	}
	json_decref(list);
	if (found) return HG_OK;
	hg_err_set(err, HG_E_NOT_FOUND, "no rollout of \"%.64s\" was about a release \"%.64s\"",
	        c->args.positional[0], text);
	hg_err_hint(err, "headgate rollouts list %.64s shows numbers and versions",
	        c->args.positional[0]);
	return HG_E_NOT_FOUND;
}

int cli_do_rollback(struct cli *c)
{
	struct hg_err err = {0};
	const char *app = c->args.positional[0], *to = c->args.value[CLI_F_TO];
	json_t *answer = NULL, *body = json_object();
	int64_t release = 0;
	char path[256];
	int status;
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN);
	enum hg_rc rc = app_path(app, "rollback", path) ? HG_OK : no_app(app, &err);
	if (rc == HG_OK && to) rc = release_find(c, to, &release, &err);
	if (release) json_object_set_new(body, "to", json_integer(release));
	if (dry) json_object_set_new(body, "dry_run", json_true());
	if (rc == HG_OK) rc = cli_call(c, "POST", path, body, CLI_CHANGE_MS, &answer, &err);
	json_decref(body);
	if (rc < 0) return ask_failed(c, &err);
	if (dry && !cli_has(&c->args, CLI_F_JSON)) {
		cli_out("%s: would go back (dry run, nothing was changed)\n", app);
		cli_next(c, "headgate rollouts list %s", app);
		status = 0;
	} else if (dry || !cli_has(&c->args, CLI_F_WAIT)) {
		status = started(c, answer, "goes back in");
	} else {
		status = cli_rollout_wait(
		        c, (uint64_t)cli_int(answer, "id"), &(struct cli_wait){.back = true});
	}
	json_decref(answer);
	return status;
}
