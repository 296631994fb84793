/* open: where the dashboard and the apps are, and a link that signs in. */
#include "client_priv.h"
#include "up_priv.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define URL_TEXT 512

extern char **environ;

static void browse(const char *url)
{
	char program[] = "xdg-open", address[URL_TEXT];
	char *argv[] = {program, address, NULL};
	pid_t pid;
	snprintf(address, sizeof address, "%s", url);
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0)
		cli_say("no xdg-open here: open the address yourself");
	else
		waitpid(pid, NULL, 0);
}

/* The first route of the app that names a host, and the edge's port. */
static void app_url(const struct spec *s, const struct spec_app *app, char to[URL_TEXT])
{
	char edge[160];
	cli_url(&s->edge.listen.http, edge);
	snprintf(to, URL_TEXT, "%s", edge);
	for (uint32_t i = 0; i < app->route_count; i++) {
		struct hg_str host = app->routes[i].host, path = app->routes[i].path;
		const char *port = strrchr(edge, ':');
		bool any = !host.n || host.p[0] == '*';
		bool has_port = port && port[1] != '/';
		if (any)
			snprintf(to, URL_TEXT, "%s%.*s", edge, (int)HG_MIN(path.n, 200), path.p);
		else
			snprintf(to, URL_TEXT, "http://%.*s%s%.*s", (int)HG_MIN(host.n, 200),
			        host.p, has_port ? port : "", (int)HG_MIN(path.n, 200), path.p);
		return;
	}
}

static int app_open(struct cli *c, const char *name, char url[URL_TEXT])
{
	struct hg_err err = {0};
	struct cli_config k = {0};
	json_t *j = NULL;
	if (cli_has(&c->args, CLI_F_ROLE)) {
		hg_err_set(&err, HG_E_USAGE, "--role is for the dashboard, not for an app");
		return cli_fail(&err);
	}
	if (cli_call(c, "GET", "/v1/config", NULL, CLI_READ_MS, &j, &err) < 0)
		return cli_fail(&err);
	const char *env = cli_text(j, "environment");
	c->args.value[CLI_F_ENVIRONMENT] = env[0] ? env : NULL;
	int status = cli_config_load(c, &k, cli_text(j, "file"), cli_text(j, "text"), false);
	const struct spec_app *app = status ? NULL : spec_app_find(k.spec, hg_str(name));
	if (app) app_url(k.spec, app, url);
	cli_config_fini(&k);
	json_decref(j);
	return status;
}

static int admin_open(const struct cli *c, char url[URL_TEXT])
{
	struct hg_err err = {0};
	json_t *j = NULL;
	if (cli_call(c, "GET", "/v1/status", NULL, CLI_READ_MS, &j, &err) < 0)
		return cli_fail(&err);
	const char *at = cli_text(json_object_get(j, "listeners"), "admin");
	if (at[0]) snprintf(url, URL_TEXT, "http://%s", at);
	json_decref(j);
	return 0;
}

static int login_open(const struct cli *c, char url[URL_TEXT])
{
	struct hg_err err = {0};
	const char *role = c->args.value[CLI_F_ROLE];
	json_t *j = NULL, *body = role ? json_pack("{s:s}", "role", role) : json_object();
	enum hg_rc rc = cli_call(c, "POST", "/v1/logins", body, CLI_CHANGE_MS, &j, &err);
	json_decref(body);
	if (rc < 0) return cli_fail(&err);
	snprintf(url, URL_TEXT, "%s", cli_text(j, "url"));
	if (url[0])
		cli_say("This link signs in as %s, once, within five minutes.",
		        cli_text(j, "role"));
	json_decref(j);
	return 0;
}

int cli_do_open(struct cli *c)
{
	struct hg_err err = {0};
	char url[URL_TEXT] = "";
	int status;
	if (c->args.count)
		status = app_open(c, c->args.positional[0], url);
	else if (cli_has(&c->args, CLI_F_ADMIN))
		status = admin_open(c, url);
	else
		status = login_open(c, url);
	if (status) return status;
	if (!url[0]) {
		hg_err_set(&err, HG_E_NOT_FOUND, "there is nothing to open under that name");
		return cli_fail(&err);
	}
	cli_out("%s\n", url);
	fflush(stdout);
	if (cli_has(&c->args, CLI_F_BROWSER)) browse(url);
	return 0;
}
