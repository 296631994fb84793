/* incidents list, show, ack, assign, resolve, report. */
#include "client_priv.h"
#include "os/clock.h"
#include "rollout_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIST_DEFAULT 20

const char *cli_moment(uint64_t ms, char to[32])
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	if (!ms || !gmtime_r(&s, &tm) || !strftime(to, 32, "%F %H:%M", &tm))
		(void)snprintf(to, 32, "-");
	return to;
}

static enum hg_rc list_get(
        const struct cli *c, bool open, unsigned limit, json_t **ret_list, struct hg_err *err)
{
	char path[96];
	(void)snprintf(
	        path, sizeof path, "/v1/incidents?limit=%u%s", limit, open ? "&open=true" : "");
	return cli_call(c, "GET", path, NULL, CLI_READ_MS, ret_list, err);
}

/* By number, or the newest. */
static enum hg_rc id_find(const struct cli *c, uint64_t *ret_id, struct hg_err *err)
{
	json_t *list = NULL;
	if (c->args.count) {
		const char *text = c->args.positional[0];
		if (hg_str_u64(hg_str(text), ret_id) && *ret_id > 0 && *ret_id <= INT64_MAX)
			return HG_OK;
		hg_err_set(err, HG_E_USAGE, "\"%.40s\" is not the number of an incident", text);
		hg_err_hint(err, "headgate incidents list shows them");
		return HG_E_USAGE;
	}
	enum hg_rc rc = list_get(c, false, 1, &list, err);
	if (rc < 0) return rc;
	*ret_id = (uint64_t)cli_int(json_array_get(cli_list(list, "incidents"), 0), "id");
	json_decref(list);
	return *ret_id ? HG_OK : hg_err_set(err, HG_E_NOT_FOUND, "there is no incident yet");
}

static bool is_late(const json_t *i, uint64_t now_ms)
{
	int64_t due = cli_int(i, "due_ms");
	return !strcmp(cli_text(i, "state"), "open") &&
	       (cli_int(i, "escalations") > 0 || (due > 0 && (uint64_t)due < now_ms));
}

static enum cli_mark mark_of(const json_t *i)
{
	const char *state = cli_text(i, "state");
	if (!strcmp(state, "open")) return CLI_BAD;
	return !strcmp(state, "resolved") ? CLI_GOOD : CLI_WAIT;
}

/* Titles come from control, notes from people: neither may steer the terminal. */
static void clean_line(const char *before, const char *text)
{
	struct hg_buf b;
	hg_buf_init(&b, 65536);
	cli_clean(&b, hg_str(text));
	cli_out("%s%s\n", before, hg_buf_text(&b));
	hg_buf_free(&b);
}

static void row(const struct cli *c, const json_t *i, uint64_t now_ms)
{
	char age[CLI_TEXT_MAX], head[256];
	uint64_t opened = (uint64_t)cli_int(i, "opened_ms");
	const char *state = is_late(i, now_ms) ? "open, late" : cli_text(i, "state");
	(void)snprintf(head, sizeof head, "%s %-5lld %-2s %-12.12s %-12s %-5s %-12.12s ",
	        cli_mark(c, mark_of(i)), (long long)cli_int(i, "id"), cli_text(i, "priority"),
	        cli_text(i, "app"), state,
	        now_ms > opened ? cli_human_age((now_ms - opened) / 1000, age) : "now",
	        cli_text(i, "assignee")[0] ? cli_text(i, "assignee") : "-");
	struct hg_buf title;
	size_t width = 0, room = c->columns > 80 ? (size_t)c->columns - 58 : 22;
	hg_buf_init(&title, 65536);
	cli_clean(&title, hg_str(cli_text(i, "title")));
	struct hg_str all = hg_str(hg_buf_text(&title));
	/* For scripts nothing is cut off. */
	if (!c->plain && cli_width(all.p) > room) all.n = cli_cut(all, room, &width);
	cli_out("%s%.*s\n", head, HG_STR_ARG(all));
	hg_buf_free(&title);
}

int cli_do_incidents_list(struct cli *c)
{
	struct hg_err err = {0};
	json_t *list = NULL;
	const json_t *i, *first = NULL;
	size_t k;
	unsigned limit = cli_has(&c->args, CLI_F_LIMIT) ? (unsigned)c->args.number[CLI_F_LIMIT]
	                                                : LIST_DEFAULT;
	if (list_get(c, cli_has(&c->args, CLI_F_OPEN), limit, &list, &err) < 0)
		return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON)) {
		(void)cli_print_json(list, false);
		json_decref(list);
		return 0;
	}
	if (json_array_size(cli_list(list, "incidents")) == 0) {
		cli_say("no incident");
	} else {
		cli_out("  %-5s %-2s %-12s %-12s %-5s %-12s %s\n", "ID", "P", "APP", "STATE", "AGE",
		        "ASSIGNED TO", "TITLE");
		json_array_foreach(cli_list(list, "incidents"), k, i)
		{
			row(c, i, (uint64_t)cli_int(list, "now_ms"));
			if (!first && !strcmp(cli_text(i, "state"), "open")) first = i;
		}
	}
	if (first) cli_next(c, "headgate incidents show %lld", (long long)cli_int(first, "id"));
	json_decref(list);
	return 0;
}

static void page(const struct cli *c, const json_t *i)
{
	char when[32], head[128];
	const json_t *line;
	size_t k;
	(void)snprintf(head, sizeof head, "%s incident %lld, %s, %s: ", cli_mark(c, mark_of(i)),
	        (long long)cli_int(i, "id"), cli_text(i, "priority"),
	        is_late(i, (uint64_t)cli_int(i, "now_ms")) ? "open, late" : cli_text(i, "state"));
	clean_line(head, cli_text(i, "title"));
	cli_out("  opened       %s UTC\n", cli_moment((uint64_t)cli_int(i, "opened_ms"), when));
	if (cli_int(i, "acknowledged_ms"))
		cli_out("  acknowledged %s UTC\n",
		        cli_moment((uint64_t)cli_int(i, "acknowledged_ms"), when));
	else
		cli_out("  due          %s UTC\n",
		        cli_moment((uint64_t)cli_int(i, "due_ms"), when));
	if (cli_int(i, "resolved_ms"))
		cli_out("  resolved     %s UTC\n",
		        cli_moment((uint64_t)cli_int(i, "resolved_ms"), when));
	if (cli_text(i, "assignee")[0]) clean_line("  assigned to  ", cli_text(i, "assignee"));
	if (cli_text(i, "runbook")[0]) clean_line("  runbook      ", cli_text(i, "runbook"));
	cli_out("\n");
	json_array_foreach(cli_list(i, "timeline"), k, line)
	{
		(void)snprintf(head, sizeof head, "  %s  ",
		        cli_moment((uint64_t)cli_int(line, "ts_ms"), when));
		clean_line(head, cli_text(line, "text"));
	}
}

int cli_do_incidents_show(struct cli *c)
{
	struct hg_err err = {0};
	json_t *i = NULL;
	uint64_t id = 0;
	char path[64];
	enum hg_rc rc = id_find(c, &id, &err);
	(void)snprintf(path, sizeof path, "/v1/incidents/%llu", (unsigned long long)id);
	if (rc == HG_OK) rc = cli_call(c, "GET", path, NULL, CLI_READ_MS, &i, &err);
	if (rc < 0) return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON)) {
		(void)cli_print_json(i, false);
	} else {
		const char *state = cli_text(i, "state");
		page(c, i);
		cli_next(c, "headgate incidents %s %llu",
		        !strcmp(state, "open")       ? "ack"
		        : !strcmp(state, "resolved") ? "report"
		                                     : "resolve",
		        (unsigned long long)id);
	}
	json_decref(i);
	return 0;
}

static bool print_line(void *arg, struct hg_str line)
{
	(void)arg;
	cli_out("%.*s\n", HG_STR_ARG(line));
	return true;
}

int cli_do_incidents_report(struct cli *c)
{
	struct hg_err err = {0};
	uint64_t id = 0;
	char path[64];
	enum hg_rc rc = id_find(c, &id, &err);
	(void)snprintf(path, sizeof path, "/v1/incidents/%llu/report", (unsigned long long)id);
	if (rc == HG_OK) rc = cli_lines(c, path, CLI_READ_MS, print_line, NULL, &err);
	return rc < 0 ? cli_fail(&err) : 0;
}

/* ---- ack, assign, resolve ---- */

static const struct step {
	enum cli_verb verb;
	const char *name, *done, *next;
} steps[] = {
        {CLI_INCIDENTS_ACK, "ack", "is acknowledged", "resolve"},
        {CLI_INCIDENTS_ASSIGN, "assign", "is assigned", "resolve"},
        {CLI_INCIDENTS_RESOLVE, "resolve", "is resolved", "report"},
};

int cli_do_incident(struct cli *c)
{
	struct hg_err err = {0};
	const struct step *s = NULL;
	json_t *body = json_object();
	uint64_t id = 0;
	char path[64];
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN);
	for (size_t i = 0; i < HG_COUNT(steps); i++)
		if (steps[i].verb == c->args.row->verb) s = &steps[i];
	HG_ASSERT(s);
	if (dry) json_object_set_new(body, "dry_run", json_true());
	if (cli_has(&c->args, CLI_F_NOTE))
		json_object_set_new(body, "note", json_string(c->args.value[CLI_F_NOTE]));
	if (s->verb == CLI_INCIDENTS_ASSIGN)
		json_object_set_new(body, "to", json_string(c->args.positional[1]));
	enum hg_rc rc = id_find(c, &id, &err);
	(void)snprintf(path, sizeof path, "/v1/incidents/%llu/%s", (unsigned long long)id, s->name);
	if (rc == HG_OK) rc = cli_call(c, "POST", path, body, CLI_CHANGE_MS, NULL, &err);
	json_decref(body);
	if (rc < 0) return cli_fail(&err);
	if (dry)
		cli_say("incident %llu: would %s (dry run, nothing was changed)",
		        (unsigned long long)id, s->name);
	else
		cli_say("incident %llu %s", (unsigned long long)id, s->done);
	cli_next(c, "headgate incidents %s %llu", s->next, (unsigned long long)id);
	return 0;
}
