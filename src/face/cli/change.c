/* scale, restart, tokens: small changes through the API. */
#include "client_priv.h"
#include "os/clock.h"
#include "spec/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_DEFAULT_MS 120000

struct target {
	struct hg_str app;
	uint32_t replicas;
};

static enum hg_rc target_parse(const char *text, struct target *ret_t, struct hg_err *err)
{
	struct hg_str rest = hg_str(text), app = hg_str_cut(&rest, '=');
	uint64_t n;
	if (!app.n || !memchr(text, '=', strlen(text)) || !hg_str_u64(rest, &n) || n > 256) {
		hg_err_set(err, HG_E_USAGE, "\"%s\" is not APP=N with N from 0 to 256", text);
		hg_err_hint(err, "for example: headgate scale web=3");
		return HG_E_USAGE;
	}
	*ret_t = (struct target){app, (uint32_t)n};
	return HG_OK;
}

static enum hg_rc app_call(const struct cli *c, struct hg_str app, const char *what, json_t *body,
        json_t **ret_json, struct hg_err *err)
{
	char path[256];
	snprintf(path, sizeof path, "/v1/apps/%.*s/%s", (int)HG_MIN(app.n, 128), app.p, what);
	for (const char *p = path; *p; p++) /* it goes into a request line */
		if (*p <= ' ' || *p == '?' || *p == '#' || *p == '%' || *p == 0x7f) {
			json_decref(body);
			return hg_err_set(err, HG_E_NOT_FOUND, "there is no app \"%.*s\"",
			        (int)HG_MIN(app.n, 64), app.p);
		}
	if (cli_has(&c->args, CLI_F_DRY_RUN)) json_object_set_new(body, "dry_run", json_true());
	enum hg_rc rc = cli_call(c, "POST", path, body, CLI_CHANGE_MS, ret_json, err);
	json_decref(body);
	return rc;
}

/* True when the app runs as it should: all wanted replicas ready, none of an older revision. */
static bool app_settled(const json_t *app, const char **ret_phase)
{
	*ret_phase = cli_text(app, "phase");
	return !strcmp(*ret_phase, "running") || !strcmp(*ret_phase, "stopped");
}

/* Polls until settled. Exit status. */
static int wait_settled(const struct cli *c, struct hg_str app)
{
	uint64_t ms =
	        cli_has(&c->args, CLI_F_TIMEOUT) ? c->args.number[CLI_F_TIMEOUT] : WAIT_DEFAULT_MS;
	uint64_t until = clock_mono_ms() + ms;
	struct hg_err err = {0};
	char path[256], phase[32] = "unknown";
	snprintf(path, sizeof path, "/v1/apps/%.*s", (int)HG_MIN(app.n, 128), app.p);
	/* The pass that begins the change runs at the end of control's turn. */
	nanosleep(&(struct timespec){.tv_nsec = 100 * 1000000}, NULL);
	for (;;) {
		json_t *j = NULL;
		const char *now;
		enum hg_rc rc = cli_call(c, "GET", path, NULL, CLI_READ_MS, &j, &err);
		if (rc < 0 && rc != HG_E_CONTROL_SILENT) return cli_fail(&err);
		bool settled = rc == HG_OK && app_settled(json_object_get(j, "app"), &now);
		if (rc == HG_OK) snprintf(phase, sizeof phase, "%s", now);
		json_decref(j);
		if (settled) {
			cli_say("%s %.*s is %s", cli_mark(c, CLI_GOOD), HG_STR_ARG(app), phase);
			return 0;
		}
		if (clock_mono_ms() >= until) break;
		nanosleep(&(struct timespec){.tv_nsec = 100 * 1000000}, NULL);
	}
	hg_err_set(&err, HG_E_NOT_READY, "\"%.*s\" is still %s after %llu s", HG_STR_ARG(app),
	        phase, (unsigned long long)ms / 1000);
	hg_err_hint(&err, "It goes on; headgate status %.*s shows where it is.", HG_STR_ARG(app));
	return cli_fail(&err);
}

static int print_json(json_t *j)
{
	char *text = json_dumps(j, JSON_INDENT(2));
	cli_out("%s\n", text ? text : "{}");
	free(text);
	json_decref(j);
	return 0;
}

/* Appends what became of it to `list`, or says it. */
static enum hg_rc scale_one(
        const struct cli *c, const struct target *t, json_t *list, struct hg_err *err)
{
	json_t *j = NULL;
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN);
	enum hg_rc rc = app_call(
	        c, t->app, "scale", json_pack("{s:i}", "replicas", (int)t->replicas), &j, err);
	if (rc < 0) return rc;
	int was = (int)cli_int(j, "was");
	if (cli_has(&c->args, CLI_F_JSON))
		json_array_append_new(list, json_pack("{s:s,s:i,s:i}", "app", cli_text(j, "app"),
		                                    "was", was, "replicas", (int)t->replicas));
	else
		cli_out("%.*s: %d %s %u replicas%s\n", HG_STR_ARG(t->app), was, cli_arrow(c),
		        t->replicas, dry ? " (dry run, nothing was changed)" : "");
	json_decref(j);
	return HG_OK;
}

int cli_do_scale(struct cli *c)
{
	struct hg_err err = {0};
	struct target t[32];
	int status = 0;
	HG_ASSERT(c->args.count <= (int)HG_COUNT(t));
	for (int i = 0; i < c->args.count; i++)
		if (target_parse(c->args.positional[i], &t[i], &err) < 0) return cli_fail(&err);
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN), json = cli_has(&c->args, CLI_F_JSON);
	bool wait = !dry && cli_has(&c->args, CLI_F_WAIT);
	json_t *list = json_array();
	for (int i = 0; i < c->args.count && !status; i++)
		if (scale_one(c, &t[i], list, &err) < 0) status = cli_fail(&err);
	for (int i = 0; i < c->args.count && !status && wait; i++)
		status = wait_settled(c, t[i].app);
	/* What was changed before a failure is said as well; the exit status tells of the rest. */
	if (json)
		print_json(json_pack("{s:s,s:b,s:O}", "schema", "headgate.scaled/1", "dry_run", dry,
		        "apps", list));
	else if (!status)
		cli_next(c, "headgate status");
	json_decref(list);
	return status;
}

int cli_do_restart(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_str app = hg_str(c->args.positional[0]);
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN);
	json_t *j = NULL;
	if (app_call(c, app, "restart", json_object(), &j, &err) < 0) return cli_fail(&err);
	cli_out("%.*s: %d replicas %s\n", HG_STR_ARG(app), (int)cli_int(j, "replicas"),
	        dry ? "would be replaced (dry run, nothing was changed)"
	            : "are replaced one by one");
	json_decref(j);
	if (!dry && cli_has(&c->args, CLI_F_WAIT)) {
		int status = wait_settled(c, app);
		if (status) return status;
	}
	cli_next(c, "headgate status %.*s", HG_STR_ARG(app));
	return 0;
}

static json_t *maintenance_body(const struct cli *c, bool on)
{
	json_t *allow = json_array(), *body = json_pack("{s:b}", "on", on);
	const char *message = c->args.value[CLI_F_MESSAGE];
	if (cli_has(&c->args, CLI_F_FOR))
		json_object_set_new(
		        body, "for_ms", json_integer((json_int_t)c->args.number[CLI_F_FOR]));
	if (message) json_object_set_new(body, "message", json_string(message));
	for (int i = 0; i < c->args.many_count; i++)
		if (c->args.many[i].id == CLI_F_ALLOW)
			json_array_append_new(allow, json_string(c->args.many[i].value));
	if (json_array_size(allow)) json_object_set(body, "allow", allow);
	json_decref(allow);
	return body;
}

int cli_do_maintenance(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_str app = hg_str(c->args.positional[0]);
	bool on = strcmp(c->args.positional[1], "on") == 0;
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN);
	json_t *j = NULL;
	if (!on && strcmp(c->args.positional[1], "off") != 0) {
		hg_err_set(&err, HG_E_USAGE, "\"%.64s\" is not on or off", c->args.positional[1]);
		hg_err_hint(&err, "for example: headgate maintenance web on --for 30m");
		return cli_fail(&err);
	}
	if (app_call(c, app, "maintenance", maintenance_body(c, on), &j, &err) < 0)
		return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON)) return print_json(j);
	cli_out("%.*s: %s%s\n", HG_STR_ARG(app),
	        on ? "in maintenance, the edge answers 503 for it" : "served again",
	        dry ? " (dry run, nothing was changed)" : "");
	json_decref(j);
	if (on)
		cli_next(c, "headgate maintenance %.*s off", HG_STR_ARG(app));
	else
		cli_next(c, "headgate status %.*s", HG_STR_ARG(app));
	return 0;
}

bool cli_expiry(struct hg_str text, uint64_t now_ms, uint64_t *ret_ms)
{
	uint64_t span_ms, end_s, end_ms;
	if (cli_duration(text, &span_ms))
		end_ms = now_ms + span_ms;
	else if (spec_day_end(text, &end_s))
		end_ms = end_s * 1000;
	else
		return false;
	if (end_ms <= now_ms) return false;
	*ret_ms = end_ms;
	return true;
}

int cli_do_token_create(struct cli *c)
{
	struct hg_err err = {0};
	const char *role = c->args.value[CLI_F_ROLE], *expires = c->args.value[CLI_F_EXPIRES];
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN);
	uint64_t expires_ms = 0;
	if (expires && !cli_expiry(hg_str(expires), clock_wall_ms(), &expires_ms)) {
		hg_err_set(&err, HG_E_USAGE, "\"%s\" is not a time to come", expires);
		hg_err_hint(&err, "for example --expires 30d or --expires 2027-01-31");
		return cli_fail(&err);
	}
	json_t *j = NULL, *body = json_pack("{s:s,s:s,s:b}", "name", c->args.positional[0], "role",
	                          role ? role : "viewer", "dry_run", dry);
	if (!body) {
		hg_err_set(&err, HG_E_USAGE, "the name is not valid UTF-8");
		return cli_fail(&err);
	}
	if (expires_ms)
		json_object_set_new(body, "expires_ms", json_integer((json_int_t)expires_ms));
	enum hg_rc rc = cli_call(c, "POST", "/v1/tokens", body, CLI_CHANGE_MS, &j, &err);
	json_decref(body);
	if (rc < 0) return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON)) return print_json(j);
	if (dry) {
		cli_say("a token with the role %s would be made (dry run)", cli_text(j, "role"));
	} else {
		cli_out("%s\n", cli_text(j, "token"));
		cli_say("This is shown once. Role: %s.", cli_text(j, "role"));
	}
	json_decref(j);
	cli_next(c, "headgate token list");
	return 0;
}

int cli_do_token_list(struct cli *c)
{
	struct hg_err err = {0};
	json_t *j = NULL, *t;
	size_t i;
	if (cli_call(c, "GET", "/v1/tokens", NULL, CLI_READ_MS, &j, &err) < 0)
		return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON)) return print_json(j);
	cli_out("%-24s %-8s %-10s %-16s %s\n", "NAME", "ROLE", "MADE (UTC)", "LAST USED (UTC)",
	        "EXPIRES (UTC)");
	json_array_foreach(cli_list(j, "tokens"), i, t)
	{
		char made[32], used[32], ends[32];
		uint64_t used_ms = (uint64_t)cli_int(t, "used_ms");
		uint64_t ends_ms = (uint64_t)cli_int(t, "expires_ms");
		cli_moment((uint64_t)cli_int(t, "created_ms"), made);
		if (ends_ms && ends_ms <= clock_wall_ms())
			snprintf(ends, sizeof ends, "expired");
		else
			cli_moment(ends_ms, ends);
		cli_out("%-24s %-8s %-10.10s %-16s %s\n", cli_text(t, "name"), cli_text(t, "role"),
		        made, used_ms ? cli_moment(used_ms, used) : "never",
		        ends_ms ? ends : "never");
	}
	json_decref(j);
	cli_next(c, "headgate token create NAME --role viewer");
	return 0;
}

int cli_do_token_revoke(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_buf path;
	const char *name = c->args.positional[0];
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN);
	json_t *body = json_pack("{s:b}", "dry_run", dry);
	hg_buf_init(&path, 4096);
	hg_buf_fmt(&path, "/v1/tokens/%s", name);
	bool clean = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(name);
	enum hg_rc rc =
	        clean ? cli_call(c, "DELETE", hg_buf_text(&path), body, CLI_CHANGE_MS, NULL, &err)
	              : hg_err_set(&err, HG_E_NOT_FOUND, "there is no token \"%s\"", name);
	json_decref(body);
	hg_buf_free(&path);
	if (rc < 0) return cli_fail(&err);
	cli_say("%s %s", name, dry ? "would be revoked (dry run)" : "is revoked");
	cli_next(c, "headgate token list");
	return 0;
}
