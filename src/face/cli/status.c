/* status and top: what is, as a table a person reads and an object a program reads. */
#include "rollout_priv.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROLLOUT_WIDTH 14 /* "42 rolled back" */

enum cli_mark cli_phase_mark(const char *phase)
{
	static const struct {
		const char *phase;
		enum cli_mark mark;
	} rows[] = {{"running", CLI_GOOD}, {"ready", CLI_GOOD}, {"crashloop", CLI_BAD},
	        {"backoff", CLI_BAD}, {"degraded", CLI_WARN}, {"unready", CLI_WARN},
	        {"stopped", CLI_NONE}};
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		if (!strcmp(rows[i].phase, phase)) return rows[i].mark;
	return CLI_WAIT;
}

static bool warden_lives(const json_t *status)
{
	const json_t *p;
	size_t i;
	json_array_foreach(cli_list(status, "processes"), i,
	        p) if (!strcmp(cli_text(p, "role"), "warden")) return true;
	return false;
}

int cli_status_exit(const json_t *status)
{
	const json_t *app;
	size_t i;
	if (!warden_lives(status)) return 7; /* traffic goes on, nothing heals */
	json_array_foreach(cli_list(status, "apps"), i, app)
	{
		const char *phase = cli_text(app, "phase");
		if (!strcmp(phase, "degraded") || !strcmp(phase, "crashloop")) return 7;
	}
	return 0;
}

static void cell(struct hg_buf *to, const char *text, size_t width)
{
	cli_pad(to, text, width);
	hg_buf_byte(to, ' ');
}

/* ---- with rollouts: versions instead of numbers, and the newest rollout of each app ---- */

/* The newest of the app; NULL when it has none. */
static const json_t *rollout_of(const json_t *status, const char *app)
{
	const json_t *r;
	size_t i;
	json_array_foreach(cli_list(status, "rollouts"), i, r)
	{
		if (!strcmp(cli_text(r, "app"), app)) return r;
	}
	return NULL;
}

/* The version that serves: the new one once it is promoted, else the old one. */
static const char *version_of(const json_t *app, const json_t *rollout, char t[CLI_TEXT_MAX])
{
	static const char *const sides[] = {"old", "new"};
	for (size_t i = 0; rollout && i < HG_COUNT(sides); i++) {
		const json_t *side = json_object_get(rollout, sides[i]);
		bool serves = cli_int(side, "release") == cli_int(app, "release");
		if (serves && cli_text(side, "version")[0]) return cli_text(side, "version");
	}
	snprintf(t, CLI_TEXT_MAX, "%d", (int)cli_int(app, "release"));
	return t;
}

static void rollout_cell(const struct cli *c, const json_t *rollout, struct hg_buf *to)
{
	char words[64];
	struct hg_buf state;
	if (!rollout) {
		hg_buf_fmt(to, "%s\n", cli_dash(c));
		return;
	}
	hg_buf_init(&state, 256);
	cli_rollout_state(c, rollout, &state);
	/* The number stands between symbol and words. */
	struct hg_str rest = hg_buf_view(&state), mark = hg_str_cut(&rest, ' ');
	long long id = (long long)cli_int(rollout, "id");
	snprintf(words, sizeof words, "%lld %.*s", id, HG_STR_ARG(rest));
	if (strlen(words) > ROLLOUT_WIDTH && hg_str_eq(rest, HG_STR("rolled back")))
		snprintf(words, sizeof words, "%lld back", id);
	hg_buf_fmt(to, "%.*s ", HG_STR_ARG(mark));
	cli_put(c, to, hg_str(words), ROLLOUT_WIDTH);
	hg_buf_byte(to, '\n');
	hg_buf_free(&state);
}

static void app_cells(const struct cli *c, const json_t *app, bool releases, struct hg_buf *to)
{
	double errors = cli_num(app, "error_ratio"), p95 = cli_num(app, "p95_seconds");
	char t[CLI_TEXT_MAX];
	snprintf(t, sizeof t, "%d/%d", (int)cli_int(app, "ready"), (int)cli_int(app, "desired"));
	cell(to, t, releases ? 7 : 6);
	if (!releases) {
		snprintf(t, sizeof t, "%d", (int)cli_int(app, "restarts"));
		cell(to, t, 8);
	}
	cell(to, cli_human_rate(HG_MAX(cli_num(app, "rate"), 0), t), releases ? 5 : 7);
	cell(to, errors < 0 ? cli_dash(c) : cli_human_ratio(errors, t), releases ? 7 : 8);
	cell(to, p95 < 0 ? cli_dash(c) : cli_human_seconds(p95, t), releases ? 6 : 8);
}

static void reason_line(const struct cli *c, const json_t *app, struct hg_buf *to)
{
	struct hg_buf clean;
	hg_buf_init(&clean, 4096);
	hg_buf_cstr(to, "  ");
	cli_clean(&clean, hg_str(cli_text(app, "reason")));
	struct hg_str text = hg_buf_view(&clean);
	size_t width;
	text.n = cli_cut(text, (size_t)c->columns - 4, &width);
	hg_buf_str(to, text);
	hg_buf_byte(to, '\n');
	hg_buf_free(&clean);
}

int cli_apps_table(const struct cli *c, const json_t *status, struct hg_buf *to)
{
	const json_t *app;
	size_t i;
	int lines = 1;
	char t[CLI_TEXT_MAX];
	bool releases = json_array_size(cli_list(status, "rollouts")) > 0;
	hg_buf_fmt(to, "%s%s%s\n", cli_bold(c),
	        releases ? "APP          VERSION   READY   RATE  ERRORS  P95    STATE       ROLLOUT"
	                 : "APP              REL  READY  RESTARTS RATE/S  ERRORS   P95      STATE",
	        cli_off(c));
	json_array_foreach(cli_list(status, "apps"), i, app)
	{
		const char *phase = cli_text(app, "phase");
		const json_t *rollout = releases ? rollout_of(status, cli_text(app, "name")) : NULL;
		const char *name = cli_text(app, "name");
		/* Scripts and completions read the first column: nothing is cut off it. */
		size_t width = releases ? 12 : 16;
		cell(to, name, c->plain ? HG_MAX(width, strlen(name)) : width);
		snprintf(t, sizeof t, "%d", (int)cli_int(app, "release"));
		if (releases) {
			cli_cell(c, to, version_of(app, rollout, t), 9);
			hg_buf_byte(to, ' ');
		} else {
			cell(to, t, 4);
		}
		app_cells(c, app, releases, to);
		hg_buf_fmt(to, "%s ", cli_mark(c, cli_phase_mark(phase)));
		if (releases) {
			cell(to, phase, 9);
			rollout_cell(c, rollout, to);
		} else {
			hg_buf_fmt(to, "%s\n", phase);
		}
		lines++;
		if (!cli_text(app, "reason")[0]) continue;
		reason_line(c, app, to);
		lines++;
	}
	return lines;
}

static void replicas_table(
        const struct cli *c, const json_t *app, uint64_t now_ms, struct hg_buf *to)
{
	const json_t *r;
	size_t i;
	char t[CLI_TEXT_MAX];
	hg_buf_fmt(to,
	        "%sREPLICA REL  PID      ADDRESS               RESTARTS CPU    MEMORY   STATE%s\n",
	        cli_bold(c), cli_off(c));
	json_array_foreach(cli_list(app, "replicas"), i, r)
	{
		const char *state = cli_text(r, "state");
		uint64_t since = (uint64_t)cli_int(r, "since_ms");
		snprintf(t, sizeof t, "%d", (int)cli_int(r, "replica"));
		cell(to, t, 7);
		snprintf(t, sizeof t, "%d", (int)cli_int(r, "release"));
		cell(to, t, 4);
		snprintf(t, sizeof t, "%d", (int)cli_int(r, "pid"));
		cell(to, cli_int(r, "pid") ? t : cli_dash(c), 8);
		cell(to, cli_text(r, "address")[0] ? cli_text(r, "address") : cli_dash(c), 21);
		snprintf(t, sizeof t, "%d", (int)cli_int(r, "restarts"));
		cell(to, t, 8);
		snprintf(t, sizeof t, "%.2f", HG_MAX(cli_num(r, "cpu"), 0));
		cell(to, t, 6);
		cell(to, cli_human_bytes((uint64_t)cli_int(r, "memory_bytes"), t), 8);
		hg_buf_fmt(to, "%s %s", cli_mark(c, cli_phase_mark(state)), state);
		if (since && now_ms > since)
			hg_buf_fmt(to, " %s", cli_human_age((now_ms - since) / 1000, t));
		hg_buf_byte(to, '\n');
		const char *exit_text = cli_text(json_object_get(r, "exit"), "text");
		const char *why = cli_text(r, "reason");
		if (strcmp(state, "ready") != 0 && (exit_text[0] || why[0])) {
			hg_buf_fmt(
			        to, "        %s%s", exit_text, exit_text[0] && why[0] ? "; " : "");
			cli_clean(to, hg_str(why));
			hg_buf_byte(to, '\n');
		}
	}
}

/* Limits and who keeps them, of the newest release that runs; nothing when there are none. */
static void limits_line(const json_t *app, struct hg_buf *to)
{
	const json_t *r, *newest = NULL;
	size_t i;
	char t[CLI_TEXT_MAX];
	json_array_foreach(cli_list(app, "replicas"), i, r)
	{
		if (!cli_int(r, "pid")) continue;
		if (!newest || cli_int(r, "release") > cli_int(newest, "release")) newest = r;
	}
	const json_t *l = json_object_get(newest, "limits");
	uint64_t bytes = (uint64_t)cli_int(l, "memory_bytes");
	double cpu = cli_num(l, "cpu");
	const char *keeper = cli_text(l, "memory_keeper");
	if (!bytes && cpu <= 0) return;
	hg_buf_cstr(to, "limits  ");
	if (bytes)
		hg_buf_fmt(to, "memory %s (%s)%s", cli_human_bytes(bytes, t),
		        !strcmp(keeper, "cgroup")  ? "cgroup"
		        : !strcmp(keeper, "watch") ? "watched once a second: no cgroup"
		                                   : "not kept",
		        cpu > 0 ? ", " : "");
	if (cpu > 0)
		hg_buf_fmt(to, "CPU %g (%s)", cpu,
		        cli_text(l, "cpu_keeper")[0] ? "cgroup" : "not kept: no cgroup");
	hg_buf_byte(to, '\n');
}

static const json_t *app_in(const json_t *status, const char *name, struct hg_err *err)
{
	const json_t *app;
	size_t i;
	uint32_t best = 3;
	const char *near = NULL;
	json_array_foreach(cli_list(status, "apps"), i, app)
	{
		uint32_t d = hg_str_distance(hg_str(cli_text(app, "name")), hg_str(name));
		if (d == 0) return app;
		if (d < best) {
			best = d;
			near = cli_text(app, "name");
		}
	}
	hg_err_set(err, HG_E_NOT_FOUND, "there is no app \"%s\"", name);
	if (near) hg_err_hint(err, "did you mean \"%s\"?", near);
	return NULL;
}

static void listeners_line(const json_t *status, struct hg_buf *to)
{
	const json_t *l = json_object_get(status, "listeners"), *url;
	size_t i;
	hg_buf_byte(to, '\n');
	json_array_foreach(cli_list(l, "edge"), i, url)
	        hg_buf_fmt(to, "%s%s", i ? " " : "edge   ", json_string_value(url));
	if (json_array_size(cli_list(l, "edge"))) hg_buf_byte(to, '\n');
	if (cli_text(l, "admin")[0]) hg_buf_fmt(to, "admin  http://%s\n", cli_text(l, "admin"));
	hg_buf_fmt(to, "data   %s\n", cli_text(status, "data"));
}

/* Beside the status, for the table: a Headgate that knows no rollouts has none. */
void cli_rollouts_add(const struct cli *c, json_t *status)
{
	struct hg_err err = {0};
	json_t *list = NULL;
	if (cli_call(c, "GET", "/v1/rollouts?limit=100", NULL, CLI_READ_MS, &list, &err) == HG_OK &&
	        json_is_array(cli_list(list, "rollouts")))
		json_object_set(status, "rollouts", cli_list(list, "rollouts"));
	json_decref(list);
}

static int status_once(struct cli *c, struct hg_buf *to, struct hg_err *err, json_t **ret_status)
{
	json_t *status = NULL;
	enum hg_rc rc = cli_call(c, "GET", "/v1/status", NULL, CLI_READ_MS, &status, err);
	if (rc < 0) return -1;
	const char *name = c->args.count ? c->args.positional[0] : NULL;
	const json_t *app = name ? app_in(status, name, err) : NULL;
	if (name && !app) {
		json_decref(status);
		return -1;
	}
	if (cli_has(&c->args, CLI_F_JSON)) {
		char *text = json_dumps(
		        status, cli_has(&c->args, CLI_F_WATCH) ? JSON_COMPACT : JSON_INDENT(2));
		hg_buf_fmt(to, "%s\n", text ? text : "{}");
		free(text);
	} else {
		cli_rollouts_add(c, status);
		cli_apps_table(c, status, to);
		if (app) {
			hg_buf_byte(to, '\n');
			replicas_table(c, app, (uint64_t)cli_int(status, "now_ms"), to);
			limits_line(app, to);
		} else {
			listeners_line(status, to);
		}
	}
	*ret_status = status;
	return 0;
}

static void status_next(const struct cli *c, const json_t *status)
{
	const json_t *app;
	size_t i;
	if (cli_has(&c->args, CLI_F_JSON)) return;
	if (!warden_lives(status)) {
		cli_say("%s the warden is dead: traffic goes on, but nothing is started again",
		        cli_mark(c, CLI_BAD));
		cli_next(c, "headgate down, then headgate up");
		return;
	}
	json_array_foreach(cli_list(status, "apps"), i, app)
	{
		enum cli_mark m = cli_phase_mark(cli_text(app, "phase"));
		if (m != CLI_BAD && m != CLI_WARN) continue;
		cli_next(c, "headgate logs %s --since 15m", cli_text(app, "name"));
		return;
	}
	cli_next(c, "headgate logs -f");
}

int cli_do_status(struct cli *c)
{
	struct hg_buf text;
	struct hg_err err = {0};
	int status = 0;
	bool watch = cli_has(&c->args, CLI_F_WATCH);
	hg_buf_init(&text, 16u << 20);
	for (;;) {
		json_t *j = NULL;
		hg_buf_reset(&text);
		if (status_once(c, &text, &err, &j) < 0) {
			hg_buf_free(&text);
			return cli_fail(&err);
		}
		if (watch && c->out_tty && !cli_has(&c->args, CLI_F_JSON)) cli_out("\033[H\033[J");
		cli_out("%s", hg_buf_text(&text));
		status = cli_status_exit(j);
		if (!watch) status_next(c, j);
		json_decref(j);
		if (!watch) break;
		fflush(stdout);
		if (ferror(stdout)) break;
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	}
	hg_buf_free(&text);
	return status;
}
