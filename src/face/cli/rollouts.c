/* rollouts list, show, why, and the verbs that steer one. */
#include "rollout_priv.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LIST_DEFAULT 20
#define AROUND_MS    1000 /* log lines this far from the first failure */

int cli_print_json(const json_t *j, bool compact)
{
	char *text = json_dumps(j, compact ? JSON_COMPACT : JSON_INDENT(2));
	cli_out("%s\n", text ? text : "{}");
	free(text);
	return 0;
}

/* ---- which one ---- */

static enum hg_rc list_get(
        const struct cli *c, const char *app, unsigned limit, json_t **ret_list, struct hg_err *err)
{
	struct hg_buf path;
	char n[16];
	snprintf(n, sizeof n, "%u", limit);
	hg_buf_init(&path, 8192);
	hg_buf_cstr(&path, "/v1/rollouts");
	if (app) cli_query_add(&path, "app", hg_str(app));
	cli_query_add(&path, "limit", hg_str(n));
	enum hg_rc rc = cli_call(c, "GET", hg_buf_text(&path), NULL, CLI_READ_MS, ret_list, err);
	hg_buf_free(&path);
	return rc;
}

static bool is_running(const json_t *row)
{
	const char *state = cli_text(row, "state");
	return !strcmp(state, "running") || !strcmp(state, "paused") || !strcmp(state, "waiting");
}

/* The one that runs; `or_newest`: when none does, the newest of all. */
static enum hg_rc id_guess(
        const struct cli *c, bool or_newest, uint64_t *ret_id, struct hg_err *err)
{
	json_t *list = NULL;
	const json_t *row, *found = NULL;
	struct hg_buf ids;
	size_t i;
	unsigned running = 0;
	enum hg_rc rc = list_get(c, NULL, 1000, &list, err);
	if (rc < 0) return rc;
	hg_buf_init(&ids, 256);
	json_array_foreach(cli_list(list, "rollouts"), i, row)
	{
		if (!is_running(row)) continue;
		if (!running++) found = row;
		hg_buf_fmt(&ids, " %lld", (long long)cli_int(row, "id"));
	}
	if (!found && or_newest) found = json_array_get(cli_list(list, "rollouts"), 0);
	if (running > 1) {
		rc = hg_err_set(err, HG_E_USAGE, "%u rollouts run: name one", running);
		hg_err_hint(err, "one of:%s", hg_buf_text(&ids));
	} else if (!found) {
		rc = hg_err_set(err, HG_E_ROLLOUT_STATE,
		        or_newest ? "there is no rollout yet" : "no rollout runs");
		hg_err_hint(err, "headgate rollouts list shows those that ended");
	} else {
		*ret_id = (uint64_t)cli_int(found, "id");
	}
	hg_buf_free(&ids);
	json_decref(list);
	return rc;
}

static enum hg_rc id_find(const struct cli *c, bool or_newest, uint64_t *ret_id, struct hg_err *err)
{
	if (!c->args.count) return id_guess(c, or_newest, ret_id, err);
	const char *text = c->args.positional[0];
	if (hg_str_u64(hg_str(text), ret_id) && *ret_id > 0 && *ret_id <= INT64_MAX) return HG_OK;
	hg_err_set(err, HG_E_USAGE, "\"%.40s\" is not the number of a rollout", text);
	hg_err_hint(err, "headgate rollouts list shows them");
	return HG_E_USAGE;
}

static enum hg_rc doc_get(const struct cli *c, uint64_t id, json_t **ret_doc, struct hg_err *err)
{
	char path[64];
	snprintf(path, sizeof path, "/v1/rollouts/%llu", (unsigned long long)id);
	return cli_call(c, "GET", path, NULL, CLI_READ_MS, ret_doc, err);
}

/* ---- list ---- */

static void list_cell(const struct cli *c, struct hg_buf *to, const char *text, size_t width)
{
	/* For scripts nothing is cut off. */
	size_t need = c->plain ? cli_columns(hg_str(text)) : 0;
	cli_cell(c, to, text, HG_MAX(width, need));
	hg_buf_byte(to, ' ');
}

static const char *version_or_dash(const struct cli *c, const json_t *row, const char *which)
{
	const char *v = cli_text(json_object_get(row, which), "version");
	return v[0] ? v : cli_dash(c);
}

void cli_rollouts_table(const struct cli *c, const json_t *list, uint64_t now_ms, struct hg_buf *to)
{
	const json_t *row;
	size_t i;
	char t[CLI_TEXT_MAX];
	struct hg_buf state;
	hg_buf_init(&state, 4096);
	hg_buf_fmt(to,
	        "%sID    APP          REL  FROM       TO         STRATEGY   STATE             "
	        "AGE%s\n",
	        cli_bold(c), cli_off(c));
	json_array_foreach(cli_list(list, "rollouts"), i, row)
	{
		uint64_t created = (uint64_t)cli_int(row, "created_ms");
		snprintf(t, sizeof t, "%lld", (long long)cli_int(row, "id"));
		list_cell(c, to, t, 5);
		list_cell(c, to, cli_text(row, "app"), 12);
		snprintf(t, sizeof t, "%lld",
		        (long long)cli_int(json_object_get(row, "new"), "release"));
		list_cell(c, to, t, 4);
		list_cell(c, to, version_or_dash(c, row, "old"), 10);
		list_cell(c, to, version_or_dash(c, row, "new"), 10);
		list_cell(c, to, cli_text(row, "strategy"), 10);
		hg_buf_reset(&state);
		cli_rollout_state(c, row, &state);
		hg_buf_str(to, hg_buf_view(&state));
		for (size_t n = cli_columns(hg_buf_view(&state)); n < 18; n++)
			hg_buf_byte(to, ' ');
		hg_buf_fmt(to, "%s\n",
		        now_ms > created ? cli_human_age((now_ms - created) / 1000, t) : "now");
	}
	hg_buf_free(&state);
}

int cli_do_rollouts_list(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_buf text;
	json_t *list = NULL;
	unsigned limit = cli_has(&c->args, CLI_F_LIMIT) ? (unsigned)c->args.number[CLI_F_LIMIT]
	                                                : LIST_DEFAULT;
	const char *app = c->args.count ? c->args.positional[0] : NULL;
	if (list_get(c, app, limit, &list, &err) < 0) return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON)) {
		(void)cli_print_json(list, false);
		json_decref(list);
		return 0;
	}
	hg_buf_init(&text, 4u << 20);
	size_t n = json_array_size(cli_list(list, "rollouts"));
	if (n) cli_rollouts_table(c, list, clock_wall_ms(), &text);
	cli_out("%s", hg_buf_text(&text));
	if (!n) cli_say("no rollout yet");
	const json_t *first = json_array_get(cli_list(list, "rollouts"), 0);
	if (first)
		cli_next(c, "headgate rollouts %s %lld",
		        cli_rollout_mark(first) == CLI_BAD ? "why" : "show",
		        (long long)cli_int(first, "id"));
	else
		cli_next(c, "headgate deploy APP --version NAME");
	hg_buf_free(&text);
	json_decref(list);
	return 0;
}

/* ---- show ---- */

int cli_do_rollouts_show(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_buf text;
	json_t *doc = NULL;
	uint64_t id = 0;
	if (id_find(c, true, &id, &err) < 0) return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_WATCH))
		return cli_rollout_wait(c, id, &(struct cli_wait){.to_end = true, .each = true});
	if (doc_get(c, id, &doc, &err) < 0) return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON)) {
		(void)cli_print_json(doc, false);
		json_decref(doc);
		return 0;
	}
	hg_buf_init(&text, 1u << 20);
	int over = cli_rollout_exit(doc, true);
	cli_rollout_page(c, doc, clock_wall_ms(), &text);
	if (over >= 0) {
		hg_buf_byte(&text, '\n');
		cli_rollout_end(c, doc, NULL, over, &text);
	}
	cli_out("%s", hg_buf_text(&text));
	if (over < 0) cli_next(c, "headgate rollouts show %llu --watch", (unsigned long long)id);
	hg_buf_free(&text);
	json_decref(doc);
	return 0;
}

/* ---- why ---- */

static bool keep_line(void *arg, struct hg_str line)
{
	json_t *j = json_loadb(line.p, line.n, 0, NULL);
	if (json_is_object(j)) json_array_append(arg, j);
	json_decref(j);
	return json_array_size(arg) < 200;
}

json_t *cli_rollout_logs(const struct cli *c, const json_t *doc, uint32_t patience_ms)
{
	const json_t *f = json_array_get(cli_list(doc, "first_failures"), 0);
	json_t *lines = json_array();
	struct hg_buf path;
	char n[32];
	int64_t at = cli_int(f, "ts_ms");
	uint64_t until = clock_mono_ms() + patience_ms;
	if (!f || at <= AROUND_MS) return lines;
	hg_buf_init(&path, 8192);
	hg_buf_cstr(&path, "/v1/logs");
	cli_query_add(&path, "app", hg_str(cli_text(doc, "app")));
	const struct {
		const char *name;
		int64_t value;
	} rows[] = {{"release", cli_int(json_object_get(doc, "new"), "release")},
	        {"replica", cli_int(f, "replica")}, {"since", at - AROUND_MS},
	        {"until", at + AROUND_MS}, {"limit", 50}};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		snprintf(n, sizeof n, "%lld", (long long)rows[i].value);
		cli_query_add(&path, rows[i].name, hg_str(n));
	}
	cli_query_add(&path, "order", HG_STR("oldest"));
	for (;;) {
		struct hg_err err = {0};
		/* A log store that does not answer changes nothing of what happened. */
		json_array_clear(lines);
		if (cli_lines(c, hg_buf_text(&path), 2000, keep_line, lines, &err) < 0) break;
		if (json_array_size(lines) || clock_mono_ms() >= until) break;
		nanosleep(&(struct timespec){.tv_nsec = 200 * 1000000}, NULL);
	}
	hg_buf_free(&path);
	return lines;
}

int cli_do_rollouts_why(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_buf text;
	json_t *doc = NULL;
	uint64_t id = 0;
	if (id_find(c, true, &id, &err) < 0) return cli_fail(&err);
	if (doc_get(c, id, &doc, &err) < 0) return cli_fail(&err);
	json_t *logs = cli_rollout_logs(c, doc, 0);
	if (cli_has(&c->args, CLI_F_JSON)) {
		json_t *j = json_pack(
		        "{s:s,s:O,s:O}", "schema", "headgate.why/1", "rollout", doc, "logs", logs);
		(void)cli_print_json(j, false);
		json_decref(j);
	} else {
		int over = cli_rollout_exit(doc, true);
		hg_buf_init(&text, 1u << 20);
		cli_rollout_header(c, doc, &text);
		if (over >= 0) {
			cli_rollout_end(c, doc, logs, over, &text);
		} else {
			hg_buf_cstr(&text, " ");
			cli_rollout_state(c, doc, &text);
			hg_buf_byte(&text, '\n');
			cli_rollout_why(c, doc, &text);
		}
		cli_out("%s", hg_buf_text(&text));
		if (over < 0)
			cli_next(c, "headgate rollouts show %llu --watch", (unsigned long long)id);
		hg_buf_free(&text);
	}
	json_decref(logs);
	json_decref(doc);
	return 0;
}

/* ---- steering ---- */

static const struct steer {
	enum cli_verb verb;
	const char *name, *done;
} steers[] = {
        {CLI_ROLLOUTS_PROMOTE, "promote", "goes on"},
        {CLI_PROMOTE, "promote", "goes on"},
        {CLI_ROLLOUTS_PAUSE, "pause", "is paused"},
        {CLI_ROLLOUTS_RESUME, "resume", "goes on"},
        {CLI_ROLLOUTS_ABORT, "abort", "is taken back: the old version serves"},
        {CLI_ABORT, "abort", "is taken back: the old version serves"},
        {CLI_ROLLOUTS_RETRY, "retry", "is tried again"},
};

int cli_do_steer(struct cli *c)
{
	struct hg_err err = {0};
	const struct steer *s = NULL;
	json_t *answer = NULL, *body = json_object();
	uint64_t id = 0;
	char path[96];
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN);
	for (size_t i = 0; i < HG_COUNT(steers); i++)
		if (steers[i].verb == c->args.row->verb) s = &steers[i];
	HG_ASSERT(s);
	enum hg_rc rc = id_find(c, false, &id, &err);
	if (dry) json_object_set_new(body, "dry_run", json_true());
	if (cli_has(&c->args, CLI_F_FULL)) json_object_set_new(body, "full", json_true());
	snprintf(path, sizeof path, "/v1/rollouts/%llu/%s", (unsigned long long)id, s->name);
	if (rc == HG_OK) rc = cli_call(c, "POST", path, body, CLI_CHANGE_MS, &answer, &err);
	json_decref(body);
	if (rc < 0) return cli_fail(&err);
	uint64_t after = (uint64_t)cli_int(answer, "id");
	if (cli_has(&c->args, CLI_F_JSON)) {
		(void)cli_print_json(answer, false);
	} else {
		if (dry)
			cli_out("rollout %llu: would %s (dry run, nothing was changed)\n",
			        (unsigned long long)id, s->name);
		else if (after && after != id)
			cli_out("rollout %llu %s as rollout %llu\n", (unsigned long long)id,
			        s->done, (unsigned long long)after);
		else
			cli_out("rollout %llu %s\n", (unsigned long long)id, s->done);
		cli_next(c, "headgate rollouts show %llu --watch",
		        (unsigned long long)(after ? after : id));
	}
	json_decref(answer);
	return 0;
}
