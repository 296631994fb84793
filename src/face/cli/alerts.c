/* alerts, silences, tests of receivers; and secrets, which receivers are reached with. */
#include "client_priv.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/notify/notify.h"
#include "os/clock.h"
#include "os/file.h"
#include "warden/warden.h"
#include "wire/date.h"

#define SECRET_MAX 4096u

static int json_print(json_t *doc)
{
	char *text = json_dumps(doc, JSON_INDENT(2));
	cli_out("%s\n", text ? text : "null");
	free(text);
	json_decref(doc);
	return 0;
}

static void labels_text(const json_t *labels, bool all, struct hg_buf *to)
{
	const char *name;
	json_t *value;
	bool any = false;
	json_object_foreach((json_t *)labels, name, value)
	{
		if (!all && strcmp(name, "alertname") == 0) continue;
		hg_buf_fmt(to, "%s%s=%s", any ? " " : "", name, json_string_value(value));
		any = true;
	}
}

static void alert_line(const struct cli *c, const json_t *a, const json_t *group, struct hg_buf *to)
{
	const json_t *labels = json_object_get(a, "labels"), *status = json_object_get(a, "status");
	const char *severity = cli_text(labels, "severity");
	bool kept = strcmp(cli_text(status, "state"), "suppressed") == 0;
	const char *why = json_array_size(json_object_get(status, "silencedBy")) ? "silenced"
	                  : kept                                                 ? "inhibited"
	                         : cli_text(group, "last");
	cli_pad(to, cli_text(labels, "alertname"), 28);
	hg_buf_byte(to, ' ');
	cli_pad(to, *severity ? severity : cli_dash(c), 9);
	hg_buf_byte(to, ' ');
	cli_pad(to, cli_text(json_object_get(group, "receiver"), "name"), 12);
	hg_buf_byte(to, ' ');
	cli_pad(to, why, 18);
	hg_buf_byte(to, ' ');
	labels_text(labels, false, to);
	hg_buf_byte(to, '\n');
}

/* Why the last attempt at its receiver went wrong. */
static void failure_line(const json_t *group, struct hg_buf *to)
{
	const json_t *error = json_object_get(group, "lastError");
	if (!error) return;
	hg_buf_fmt(to, "  %s: %s (attempt %lld)\n", cli_text(group, "lastChannel"),
	        json_string_value(error),
	        (long long)json_integer_value(json_object_get(group, "attempts")));
}

int cli_do_alerts_list(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_buf to;
	json_t *doc, *group, *alert;
	size_t i, k, n = 0;
	if (cli_call(c, "GET", "/api/v2/alerts/groups", NULL, CLI_READ_MS, &doc, &err) < 0)
		return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON))
		return json_print(
		        json_pack("{s:s,s:o}", "schema", "headgate.alerts/1", "groups", doc));
	hg_buf_init(&to, 4u << 20);
	hg_buf_fmt(&to, "%s%-28s %-9s %-12s %-18s LABELS%s\n", cli_bold(c), "ALERT", "SEVERITY",
	        "RECEIVER", "TOLD", cli_off(c));
	json_array_foreach(doc, i, group)
	{
		json_array_foreach(cli_list(group, "alerts"), k, alert)
		{
			alert_line(c, alert, group, &to);
			n++;
		}
		failure_line(group, &to);
	}
	cli_out("%s", n ? hg_buf_text(&to) : "no alerts fire for which there is a receiver\n");
	hg_buf_free(&to);
	json_decref(doc);
	return 0;
}

/* ---- silences ---- */

static json_t *matcher_of(const char *text, struct hg_err *err)
{
	struct hg_arena mem;
	struct label_matcher m;
	json_t *o = NULL;
	hg_arena_init(&mem, "matcher", 1 << 20);
	if (notify_matcher_parse(hg_str(text), &mem, &m, err) == HG_OK)
		o = json_pack("{s:s%,s:s%,s:b,s:b}", "name", m.name.p, m.name.n, "value", m.value.p,
		        m.value.n, "isRegex", m.op == LABEL_RE || m.op == LABEL_NRE, "isEqual",
		        m.op == LABEL_EQ || m.op == LABEL_RE);
	else
		err->rc = HG_E_USAGE;
	hg_arena_fini(&mem);
	return o;
}

static int silence_add(struct cli *c)
{
	struct hg_err err = {0};
	json_t *matchers = json_array(), *reply = NULL;
	char from[DATE_RFC3339_SIZE], to[DATE_RFC3339_SIZE];
	const struct passwd *who = getpwuid(geteuid());
	const char *comment = c->args.value[CLI_F_COMMENT];
	for (int i = 1; i < c->args.count; i++) {
		json_t *m = matcher_of(c->args.positional[i], &err);
		if (!m) {
			json_decref(matchers);
			return cli_fail(&err);
		}
		json_array_append_new(matchers, m);
	}
	if (c->args.count < 2 || !comment) {
		hg_err_set(&err, HG_E_USAGE, "a silence needs a matcher and --comment WHY");
		json_decref(matchers);
		return cli_fail(&err);
	}
	uint64_t now = clock_wall_ms();
	uint64_t lasts = cli_has(&c->args, CLI_F_FOR) ? c->args.number[CLI_F_FOR] : 3600000;
	date_rfc3339(now, from);
	date_rfc3339(now + lasts, to);
	json_t *body = json_pack("{s:o,s:s,s:s,s:s,s:s}", "matchers", matchers, "startsAt", from,
	        "endsAt", to, "createdBy", who ? who->pw_name : "headgate", "comment", comment);
	enum hg_rc rc = cli_call(c, "POST", "/api/v2/silences", body, CLI_CHANGE_MS, &reply, &err);
	json_decref(body);
	if (rc < 0) return cli_fail(&err);
	cli_out("%s\n", cli_text(reply, "silenceID"));
	json_decref(reply);
	return 0;
}

static int silence_list(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_buf to;
	json_t *doc, *s, *m;
	size_t i, k;
	if (cli_call(c, "GET", "/api/v2/silences", NULL, CLI_READ_MS, &doc, &err) < 0)
		return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON))
		return json_print(
		        json_pack("{s:s,s:o}", "schema", "headgate.silences/1", "silences", doc));
	hg_buf_init(&to, 4u << 20);
	hg_buf_fmt(&to, "%s%-36s %-8s %-20s WHAT%s\n", cli_bold(c), "ID", "STATE", "UNTIL",
	        cli_off(c));
	json_array_foreach(doc, i, s)
	{
		hg_buf_fmt(&to, "%-36s %-8s %.19sZ", cli_text(s, "id"),
		        cli_text(json_object_get(s, "status"), "state"), cli_text(s, "endsAt"));
		json_array_foreach(cli_list(s, "matchers"), k, m)
		{
			bool regex = json_is_true(json_object_get(m, "isRegex"));
			bool equal = json_is_true(json_object_get(m, "isEqual"));
			hg_buf_fmt(&to, " %s%s%s\"%s\"", cli_text(m, "name"), equal ? "=" : "!",
			        regex   ? "~"
			        : equal ? ""
			                : "=",
			        cli_text(m, "value"));
		}
		hg_buf_fmt(&to, " (%s: %s)\n", cli_text(s, "createdBy"), cli_text(s, "comment"));
	}
	cli_out("%s", i ? hg_buf_text(&to) : "no silences\n");
	hg_buf_free(&to);
	json_decref(doc);
	return 0;
}

static int silence_expire(struct cli *c)
{
	struct hg_err err = {0};
	char path[128];
	if (c->args.count != 2 || strlen(c->args.positional[1]) > 64 ||
	        strspn(c->args.positional[1], "0123456789abcdef-") !=
	                strlen(c->args.positional[1])) {
		hg_err_set(&err, HG_E_USAGE,
		        "which silence? \"headgate alerts silence list\" has their ids");
		return cli_fail(&err);
	}
	snprintf(path, sizeof path, "/api/v2/silence/%s", c->args.positional[1]);
	if (cli_call(c, "DELETE", path, NULL, CLI_CHANGE_MS, NULL, &err) < 0) return cli_fail(&err);
	return 0;
}

int cli_do_alerts_silence(struct cli *c)
{
	const char *what = c->args.positional[0];
	struct hg_err err = {0};
	if (strcmp(what, "add") == 0) return silence_add(c);
	if (strcmp(what, "expire") == 0) return silence_expire(c);
	if (strcmp(what, "list") == 0) return silence_list(c);
	hg_err_set(&err, HG_E_USAGE, "\"%.40s\" is not add, expire or list", what);
	return cli_fail(&err);
}

int cli_do_alerts_test_receiver(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_buf path;
	json_t *doc = NULL, *one;
	size_t i;
	const char *name = c->args.positional[0];
	if (!*name || strchr(name, '/') || strchr(name, '?') || strchr(name, ' ')) {
		hg_err_set(&err, HG_E_USAGE, "\"%.60s\" is no name of a receiver", name);
		return cli_fail(&err);
	}
	hg_buf_init(&path, 4096);
	hg_buf_fmt(&path, "/v1/receivers/%s/test", name);
	enum hg_rc rc = cli_call(c, "POST", hg_buf_text(&path), NULL, 40000, &doc, &err);
	hg_buf_free(&path);
	if (rc < 0) return cli_fail(&err);
	json_array_foreach(cli_list(doc, "channels"), i, one)
	        cli_out("%s: delivered (%s)\n", cli_text(one, "channel"), cli_text(one, "answer"));
	json_decref(doc);
	return 0;
}

/* ---- secrets ---- */

static enum hg_rc secret_write(
        const struct cli *c, const char *name, struct hg_str value, struct hg_err *err)
{
	char path[4096 + 128];
	snprintf(path, sizeof path, "%s/secrets", c->data_dir);
	int rc = file_mkdirs(path, 0700);
	if (rc < 0)
		return hg_err_set(err, HG_E_IO, "could not make \"%s\": %s", path, strerror(-rc));
	/* Set by root, it is for control, which then runs as a user of its own. */
	bool give = geteuid() == 0;
	if (give && chown(path, WARDEN_UID_CONTROL, WARDEN_UID_CONTROL) < 0)
		return hg_err_set(err, HG_E_IO, "could not give \"%s\" away: %m", path);
	snprintf(path, sizeof path, "%s/secrets/%s", c->data_dir, name);
	enum hg_rc done = file_write_atomic(path, 0600, value, err);
	if (done == HG_OK && give && chown(path, WARDEN_UID_CONTROL, WARDEN_UID_CONTROL) < 0)
		return hg_err_set(err, HG_E_IO, "could not give \"%s\" away: %m", path);
	return done;
}

int cli_do_secret_set(struct cli *c)
{
	struct hg_err err = {0};
	char value[SECRET_MAX + 1];
	size_t n = 0;
	ssize_t got = 0;
	const char *name = c->args.positional[0];
	if (!*name || strlen(name) > 100 ||
	        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != strlen(name)) {
		hg_err_set(&err, HG_E_USAGE, "\"%.60s\" is no name of a secret", name);
		hg_err_hint(&err, "capital letters, digits and _, as SLACK_WEBHOOK_URL");
		return cli_fail(&err);
	}
	while (n < sizeof value && (got = read(STDIN_FILENO, value + n, sizeof value - n)) > 0)
		n += (size_t)got;
	struct hg_str s = hg_str_trim((struct hg_str){value, n});
	if (got < 0 || !s.n || n > SECRET_MAX || hg_str_find(s, '\n') < s.n)
		hg_err_set(&err, HG_E_USAGE,
		        "the value is one line of at most %u bytes on standard input", SECRET_MAX);
	else if (secret_write(c, name, s, &err) == HG_OK)
		err.rc = HG_OK;
	explicit_bzero(value, sizeof value);
	return err.rc < 0 ? cli_fail(&err) : 0;
}
