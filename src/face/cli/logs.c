/* logs: lines of the replicas, as people read them or as they are stored. */
#include "client_priv.h"

#include <stdio.h>
#include <stdlib.h>

struct view {
	const struct cli *c;
	bool raw;
	uint64_t lines;
	struct hg_buf text;
};

/* What the columns say already. Control's lines name the app and replica that they are about: these
 * are not its own labels and have to be shown; empty ones and zeros are about none. */
static bool is_label(const char *key, const json_t *value, const json_t *labels)
{
	if (strcmp(key, "app") != 0 && strcmp(key, "release") != 0 && strcmp(key, "replica") != 0)
		return false;
	if (json_is_integer(value) && json_integer_value(value) == 0) return true;
	if (json_is_string(value) && json_string_length(value) == 0) return true;
	return json_equal(value, json_object_get(labels, key));
}

/* The message of a JSON line; the line itself when it is none. `labels`: the stored entry. */
static void message_of(const char *line, const json_t *labels, struct hg_buf *to)
{
	static const char *const names[] = {"message", "msg", "event", "text"};
	json_t *j = line[0] == '{' ? json_loads(line, 0, NULL) : NULL;
	const char *found = NULL;
	for (size_t i = 0; i < HG_COUNT(names) && json_is_object(j) && !found; i++)
		found = json_string_value(json_object_get(j, names[i]));
	if (!found) {
		cli_clean(to, hg_str(line));
		json_decref(j);
		return;
	}
	cli_clean(to, hg_str(found));
	const char *key;
	json_t *value;
	json_object_foreach(j, key, value)
	{
		static const char said[] =
		        " message msg event text ts time timestamp level severity ";
		char padded[64];
		snprintf(padded, sizeof padded, " %.60s ", key);
		if (strstr(said, padded) || is_label(key, value, labels)) continue;
		char *v = json_is_string(value) ? NULL
		                                : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		hg_buf_byte(to, ' ');
		cli_clean(to, hg_str(key));
		hg_buf_byte(to, '=');
		cli_clean(to, hg_str(v ? v : json_string_value(value)));
		free(v);
	}
	json_decref(j);
}

static const char *level_colour(const struct cli *c, const char *level)
{
	if (!c->colour) return "";
	if (!strcmp(level, "error")) return "\033[31m";
	if (!strcmp(level, "warn")) return "\033[33m";
	return !strcmp(level, "debug") ? "\033[2m" : "";
}

void cli_log_line(const struct cli *c, const json_t *j, struct hg_buf *to)
{
	const char *ts = cli_text(j, "ts"), *level = cli_text(j, "level");
	const char *clock = strchr(ts, 'T');
	hg_buf_fmt(to, "%s%.12s%s ", cli_dim(c), clock ? clock + 1 : ts, cli_off(c));
	hg_buf_fmt(to, "%s%-5s%s ", level_colour(c, level), level[0] ? level : "info", cli_off(c));
	hg_buf_fmt(to, "%s.%d.%d  ", cli_text(j, "app"), (int)cli_int(j, "release"),
	        (int)cli_int(j, "replica"));
	message_of(cli_text(j, "text"), j, to);
	hg_buf_byte(to, '\n');
}

static bool show(void *arg, struct hg_str line)
{
	struct view *v = arg;
	v->lines++;
	if (v->raw) {
		cli_out("%.*s\n", HG_STR_ARG(line));
	} else {
		json_t *j = json_loadb(line.p, line.n, 0, NULL);
		hg_buf_reset(&v->text);
		cli_log_line(v->c, j, &v->text);
		cli_out("%s", hg_buf_text(&v->text));
		json_decref(j);
	}
	if (cli_has(&v->c->args, CLI_F_FOLLOW)) fflush(stdout);
	return !ferror(stdout);
}

/* Otherwise the newest lines come newest first, and are turned round before they are shown. */
static bool oldest_first(const struct cli *c)
{
	return cli_has(&c->args, CLI_F_SINCE) && !cli_has(&c->args, CLI_F_LIMIT);
}

static bool keep(void *arg, struct hg_str line)
{
	struct hg_buf *all = arg;
	hg_buf_str(all, line);
	hg_buf_byte(all, '\n');
	return !all->failed;
}

/* The lines of `all` from the last to the first. */
static void each_backwards(const struct hg_buf *all, bool (*fn)(void *, struct hg_str), void *arg)
{
	for (size_t end = all->n; end;) {
		size_t start = end - 1; /* the line feed that ends this line */
		while (start && all->p[start - 1] != '\n')
			start--;
		if (!fn(arg, (struct hg_str){all->p + start, end - 1 - start})) return;
		end = start;
	}
}

enum hg_rc cli_log_tail(const struct cli *c, const char *path, bool (*fn)(void *, struct hg_str),
        void *arg, struct hg_err *err)
{
	struct hg_buf all;
	hg_buf_init(&all, 512u << 20);
	enum hg_rc rc = cli_lines(c, path, 30000, keep, &all, err);
	if (rc == HG_OK && all.failed)
		rc = hg_err_set(
		        err, HG_E_TOO_LARGE, "that is more than 512 MiB of lines: add --limit");
	if (rc == HG_OK) each_backwards(&all, fn, arg);
	hg_buf_free(&all);
	return rc;
}

static void logs_path(const struct cli *c, struct hg_buf *path)
{
	static const struct {
		enum cli_flag_id flag;
		const char *name;
	} passed[] = {{CLI_F_SINCE, "since"}, {CLI_F_LEVEL, "level"}, {CLI_F_GREP, "grep"},
	        {CLI_F_RELEASE, "release"}, {CLI_F_REPLICA, "replica"}};
	const char *app = c->args.count ? c->args.positional[0] : c->args.value[CLI_F_APP];
	const char *limit = c->args.value[CLI_F_LIMIT];
	hg_buf_cstr(path, "/v1/logs");
	if (app) cli_query_add(path, "app", hg_str(app));
	for (size_t i = 0; i < HG_COUNT(passed); i++)
		if (cli_has(&c->args, passed[i].flag))
			cli_query_add(path, passed[i].name, hg_str(c->args.value[passed[i].flag]));
	/* With a begin in time everything since then is meant. */
	if (!limit) limit = cli_has(&c->args, CLI_F_SINCE) ? "1000000" : "200";
	cli_query_add(path, "limit", hg_str(limit));
	if (oldest_first(c)) cli_query_add(path, "order", HG_STR("oldest"));
	if (cli_has(&c->args, CLI_F_FOLLOW)) cli_query_add(path, "follow", HG_STR("1"));
}

int cli_do_logs(struct cli *c)
{
	struct view v = {.c = c, .raw = cli_has(&c->args, CLI_F_JSON)};
	struct hg_err err = {0};
	struct hg_buf path;
	if (c->args.count && cli_has(&c->args, CLI_F_APP)) {
		hg_err_set(&err, HG_E_USAGE, "the app is given twice");
		return cli_fail(&err);
	}
	hg_buf_init(&path, 16384);
	hg_buf_init(&v.text, 1u << 20);
	logs_path(c, &path);
	bool follow = cli_has(&c->args, CLI_F_FOLLOW);
	enum hg_rc rc = follow || oldest_first(c)
	                        ? cli_lines(c, hg_buf_text(&path), follow ? UINT32_MAX : 30000,
	                                  show, &v, &err)
	                        : cli_log_tail(c, hg_buf_text(&path), show, &v, &err);
	hg_buf_free(&path);
	hg_buf_free(&v.text);
	if (rc < 0) return cli_fail(&err);
	if (!v.raw && v.lines == 0)
		cli_say("no line matches");
	else if (!v.raw && !cli_has(&c->args, CLI_F_FOLLOW))
		cli_next(c, "headgate logs -f");
	return 0;
}
