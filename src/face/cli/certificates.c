/* certs list, certs renew. */
#include "client_priv.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void day_text(const json_t *j, const char *name, const char *none, char to[CLI_TEXT_MAX])
{
	time_t s = (time_t)(cli_int(j, name) / 1000);
	struct tm tm;
	if (s <= 0 || !gmtime_r(&s, &tm) || !strftime(to, CLI_TEXT_MAX, "%F %H:%M", &tm))
		snprintf(to, CLI_TEXT_MAX, "%s", none);
}

/* The next thing that happens by itself. */
static void next_text(const json_t *cert, char to[CLI_TEXT_MAX])
{
	int64_t next = cli_int(cert, "next_ms"), now = (int64_t)clock_wall_ms();
	if (strcmp(cli_text(cert, "source"), "file") == 0)
		snprintf(to, CLI_TEXT_MAX, "-");
	else if (next <= now)
		snprintf(to, CLI_TEXT_MAX, "now");
	else
		day_text(cert, "next_ms", "now", to);
}

static enum cli_mark mark_of(const char *state)
{
	if (strcmp(state, "served") == 0) return CLI_GOOD;
	if (strcmp(state, "failing") == 0 || strcmp(state, "expired") == 0) return CLI_BAD;
	return CLI_WAIT;
}

static void row(const struct cli *c, const json_t *cert)
{
	char until[CLI_TEXT_MAX], next[CLI_TEXT_MAX];
	struct hg_buf names;
	const json_t *name;
	size_t i;
	hg_buf_init(&names, 65536);
	json_array_foreach(json_object_get(cert, "names"), i, name)
	{
		if (i) hg_buf_byte(&names, ' ');
		cli_clean(&names, hg_str(json_string_value(name)));
	}
	day_text(cert, "not_after_ms", "-", until);
	next_text(cert, next);
	const char *state = cli_text(cert, "state"), *why = cli_text(cert, "last_error");
	cli_out("%s %-15s %-4s %-16s  %-16s  %s\n", cli_mark(c, mark_of(state)), state,
	        cli_text(cert, "source"), until, next, hg_buf_text(&names));
	hg_buf_free(&names);
	if (!why[0]) return;
	hg_buf_init(&names, 65536);
	cli_clean(&names, hg_str(why));
	cli_out("    %s\n", hg_buf_text(&names));
	hg_buf_free(&names);
}

int cli_do_certs_list(struct cli *c)
{
	struct hg_err err = {0};
	json_t *j = NULL, *cert;
	size_t i;
	if (cli_call(c, "GET", "/v1/certificates", NULL, CLI_READ_MS, &j, &err) < 0)
		return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON)) {
		char *text = json_dumps(j, JSON_INDENT(2));
		cli_out("%s\n", text ? text : "{}");
		free(text);
		json_decref(j);
		return 0;
	}
	if (json_array_size(cli_list(j, "certificates")) == 0) {
		cli_say("there are no certificates: edge.tls names none");
	} else {
		cli_out("  %-15s %-4s %-16s  %-16s  %s\n", "STATE", "FROM", "ENDS (UTC)",
		        "NEXT TRY (UTC)", "NAMES");
		json_array_foreach(cli_list(j, "certificates"), i, cert) row(c, cert);
	}
	if (json_is_true(json_object_get(j, "placeholder")))
		cli_say("until the first one is there, clients meet a certificate that nobody "
		        "trusts");
	json_decref(j);
	cli_next(c, "headgate certs renew NAME");
	return 0;
}

int cli_do_certs_renew(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_buf path;
	const char *name = c->args.positional[0];
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN);
	json_t *body = json_pack("{s:b}", "dry_run", dry);
	hg_buf_init(&path, 4096);
	hg_buf_fmt(&path, "/v1/certificates/%s/renew", name);
	bool clean =
	        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-*") ==
	        strlen(name);
	enum hg_rc rc =
	        clean ? cli_call(c, "POST", hg_buf_text(&path), body, CLI_CHANGE_MS, NULL, &err)
	              : hg_err_set(
	                        &err, HG_E_NOT_FOUND, "there is no certificate for \"%s\"", name);
	json_decref(body);
	hg_buf_free(&path);
	if (rc < 0) return cli_fail(&err);
	cli_say("%s %s", name, dry ? "would be obtained anew (dry run)" : "is obtained anew");
	cli_next(c, "headgate certs");
	return 0;
}
