/* top --consumers: who asks most of an app, and for what. */
#include "client_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void cell(struct hg_buf *to, const char *text, size_t width)
{
	cli_pad(to, text, width);
	hg_buf_byte(to, ' ');
}

static void ago(int64_t ms, char *to, size_t cap)
{
	int64_t s = HG_MAX(ms, 0) / 1000;
	if (s < 60)
		snprintf(to, cap, "%llds ago", (long long)s);
	else if (s < 3600)
		snprintf(to, cap, "%lldm ago", (long long)(s / 60));
	else
		snprintf(to, cap, "%lldh ago", (long long)(s / 3600));
}

static void table(const struct cli *c, const json_t *doc, const char *list, const char *key,
        const char *title, struct hg_buf *to)
{
	size_t i;
	const json_t *row;
	char t[CLI_TEXT_MAX];
	hg_buf_fmt(to, "%s%-26s %-20s REQUESTS   4XX   5XX   MEAN     LAST%s\n", cli_bold(c), title,
	        "ROUTE", cli_off(c));
	json_array_foreach(cli_list(doc, list), i, row)
	{
		double counted = (double)cli_int(row, "counted");
		snprintf(t, sizeof t, "%s%lld", cli_int(row, "over") ? "~" : "",
		        (long long)cli_int(row, "requests"));
		const char *name = cli_text(row, key), *route = cli_text(row, "route");
		cell(to, name, c->plain ? HG_MAX((size_t)26, strlen(name)) : 26);
		cell(to, route, c->plain ? HG_MAX((size_t)20, strlen(route)) : 20);
		cell(to, t, 10);
		hg_buf_fmt(to, "%-5lld %-5lld ", (long long)cli_int(row, "refused"),
		        (long long)cli_int(row, "errors"));
		cell(to,
		        counted > 0 ? cli_human_seconds(cli_num(row, "seconds") / counted, t)
		                    : cli_dash(c),
		        8);
		ago(cli_int(doc, "now_ms") - cli_int(row, "last_ms"), t, sizeof t);
		hg_buf_fmt(to, "%s\n", t);
	}
	if (i == 0) hg_buf_cstr(to, "nobody yet\n");
}

int cli_do_consumers(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_buf path, text;
	json_t *doc = NULL;
	const char *app = c->args.value[CLI_F_CONSUMERS];
	hg_buf_init(&path, 1024);
	hg_buf_fmt(&path, "/v1/apps/%s/consumers", app);
	enum hg_rc rc =
	        strspn(app, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(app) && *app
	                ? cli_call(c, "GET", hg_buf_text(&path), NULL, CLI_READ_MS, &doc, &err)
	                : hg_err_set(&err, HG_E_USAGE, "\"%.64s\" is no name of an app", app);
	hg_buf_free(&path);
	if (rc < 0) return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON)) {
		char *dump = json_dumps(doc, JSON_INDENT(2));
		cli_out("%s\n", dump ? dump : "{}");
		free(dump);
		json_decref(doc);
		return 0;
	}
	hg_buf_init(&text, 1u << 20);
	table(c, doc, "consumers", "consumer", "CONSUMER", &text);
	hg_buf_byte(&text, '\n');
	table(c, doc, "paths", "path", "PATH", &text);
	cli_out("%s", hg_buf_text(&text));
	hg_buf_free(&text);
	json_decref(doc);
	cli_next(c, "headgate explain apps.%s.analytics", app);
	return 0;
}
