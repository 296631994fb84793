/* What is said of a rollout that is over: why, who noticed, what failed first, what now. Pure. */
#include "rollout_priv.h"

#include <stdio.h>

#define LABEL     12
#define LOG_LINES 10
#define BODY_MAX  256

static const char *old_version(const json_t *doc)
{
	return cli_text(json_object_get(doc, "old"), "version");
}
static const char *new_version(const json_t *doc)
{
	return cli_text(json_object_get(doc, "new"), "version");
}

static void label(const char *name, struct hg_buf *to)
{
	hg_buf_fmt(to, "   %-9s", name);
}

static const char *cause_text(const char *cause)
{
	static const char *const rows[][2] = {
	        {"evidence", "it was proved to be worse"},
	        {"no_ready_replica", "none of its replicas is ready any more"},
	        {"crash_loop", "a replica ends again and again"},
	        {"start_failed", "a replica did not start"},
	        {"deadline", "its replicas were not ready in time"},
	        {"gate", "a gate failed"},
	        {"damaged", "its record in the store could not be read"},
	        {"memory", "it uses more memory than is allowed"},
	        {"cpu", "it uses more CPU than is allowed"},
	        {"inconclusive", "it could not be proved to be good in time"},
	        {"person", "a person ended it"},
	        {"superseded", "another rollout of the app began"},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		if (!strcmp(rows[i][0], cause)) return rows[i][1];
	return cause;
}

/* The metric with the most evidence against the new release. */
static const json_t *worst_metric(const json_t *doc)
{
	const json_t *m, *worst = NULL;
	size_t i;
	json_array_foreach(cli_list(json_object_get(doc, "evidence"), "metrics"), i, m)
	{
		if (json_is_false(json_object_get(m, "enabled"))) continue;
		if (!worst || cli_num(m, "e") > cli_num(worst, "e")) worst = m;
	}
	return worst;
}

static void evidence_line(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const json_t *m = worst_metric(doc), *ev = json_object_get(doc, "evidence");
	const json_t *new = json_object_get(m, "new"), *old = json_object_get(m, "old");
	double e = cli_num(m, "e"), threshold = cli_num(ev, "threshold");
	struct hg_buf text;
	if (!m || cli_int(new, "n") == 0) return;
	hg_buf_init(&text, 4096);
	hg_buf_fmt(&text, "%s: new %lld/%lld, old %lld/%lld; ", cli_text(m, "metric"),
	        (long long)cli_int(new, "bad"), (long long)cli_int(new, "n"),
	        (long long)cli_int(old, "bad"), (long long)cli_int(old, "n"));
	cli_put_evidence(&text, e);
	hg_buf_cstr(&text, e >= threshold ? " ≥ " : " < ");
	cli_put_evidence(&text, threshold);
	label("evidence", to);
	cli_wrap(c, to, hg_buf_view(&text), LABEL);
	hg_buf_free(&text);
}

static void why_lines(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const char *why = cli_text(doc, "why"), *cause = cli_text(doc, "cause");
	if (!why[0]) why = cause_text(cause);
	if (why[0]) {
		label("why", to);
		cli_wrap(c, to, hg_str(why), LABEL);
	}
	evidence_line(c, doc, to);
}

static void gates_failed(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const json_t *g;
	size_t i;
	json_array_foreach(cli_list(doc, "gates"), i, g)
	{
		struct hg_buf text;
		if (strcmp(cli_text(g, "state"), "failed") != 0) continue;
		hg_buf_init(&text, 8192);
		if (cli_text(g, "note")[0])
			hg_buf_fmt(&text, "%s: %s", cli_text(g, "run"), cli_text(g, "note"));
		else
			hg_buf_fmt(&text, "%s ended with %lld", cli_text(g, "run"),
			        (long long)cli_int(g, "status"));
		label("gate", to);
		cli_wrap(c, to, hg_buf_view(&text), LABEL);
		hg_buf_free(&text);
	}
}

static void users_line(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const json_t *u = json_object_get(doc, "users");
	struct hg_buf text;
	int64_t seen = cli_int(u, "seen"), rescued = cli_int(u, "rescued");
	if (!json_is_object(u)) return;
	hg_buf_init(&text, 4096);
	hg_buf_fmt(&text, "%lld %s seen: %lld of %lld failures answered by %s", (long long)seen,
	        seen == 1 ? "error" : "errors", (long long)rescued,
	        (long long)cli_int(u, "failed_new"), old_version(doc));
	if (cli_int(u, "unreplayable"))
		hg_buf_fmt(&text, ", %lld could not be repeated",
		        (long long)cli_int(u, "unreplayable"));
	label("users", to);
	cli_wrap(c, to, hg_buf_view(&text), LABEL);
	hg_buf_free(&text);
}

static void first_failure(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const json_t *f = json_array_get(cli_list(doc, "first_failures"), 0);
	const char *cause = cli_text(f, "cause"), *body = cli_text(f, "body");
	struct hg_buf text;
	if (!f) return;
	hg_buf_init(&text, 65536);
	hg_buf_fmt(&text, "%s %s ", cli_text(f, "method"), cli_text(f, "path"));
	if (cli_int(f, "status"))
		hg_buf_fmt(&text, "%lld", (long long)cli_int(f, "status"));
	else
		hg_buf_fmt(&text, "no answer (%s)", cause[0] ? cause : "unknown");
	if (body[0])
		hg_buf_fmt(&text, " \"%.*s\"", (int)HG_MIN(strlen(body), (size_t)BODY_MAX), body);
	label("first", to);
	cli_wrap(c, to, hg_buf_view(&text), LABEL);
	if (cli_text(f, "request_id")[0] || cli_int(f, "replica")) {
		hg_buf_reset(&text);
		hg_buf_fmt(&text, "replica %lld", (long long)cli_int(f, "replica"));
		if (cli_text(f, "request_id")[0])
			hg_buf_fmt(&text, ", request %s", cli_text(f, "request_id"));
		label("", to);
		cli_wrap(c, to, hg_buf_view(&text), LABEL);
	}
	hg_buf_free(&text);
}

/* "GET /a: body at $.items[3].price", "GET /b: 200 became 404". */
static void difference_text(const json_t *d, struct hg_buf *to)
{
	const char *kind = cli_text(d, "kind"), *at = cli_text(d, "at");
	hg_buf_fmt(to, "%s %s: ", cli_text(d, "method"), cli_text(d, "path"));
	if (!strcmp(kind, "status"))
		hg_buf_fmt(to, "%lld became %lld", (long long)cli_int(d, "status_old"),
		        (long long)cli_int(d, "status_new"));
	else if (!strcmp(kind, "no_answer"))
		hg_buf_fmt(to, "no answer (%s)", cli_text(d, "cause"));
	else if (!strcmp(kind, "header"))
		hg_buf_fmt(to, "header %s", at);
	else
		hg_buf_fmt(to, "body at %s", at);
	if (cli_text(d, "request_id")[0]) hg_buf_fmt(to, ", request %s", cli_text(d, "request_id"));
}

static void mirror_lines(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const json_t *d;
	size_t i;
	struct hg_buf text;
	hg_buf_init(&text, 65536);
	if (cli_mirror_text(doc, &text)) {
		label("mirror", to);
		cli_wrap(c, to, hg_buf_view(&text), LABEL);
	}
	json_array_foreach(cli_list(doc, "first_differences"), i, d)
	{
		hg_buf_reset(&text);
		difference_text(d, &text);
		label(i ? "" : "differs", to);
		cli_wrap(c, to, hg_buf_view(&text), LABEL);
	}
	hg_buf_free(&text);
}

/* Promoted without proof: nobody came, or a person or a rule said so. */
static void unproven_line(const json_t *doc, struct hg_buf *to)
{
	const json_t *s;
	size_t i, n = 0, quiet = 0;
	json_array_foreach(cli_list(doc, "steps"), i, s)
	{
		bool bare = json_is_true(json_object_get(s, "unproven"));
		n += bare;
		quiet += bare && strcmp(cli_text(s, "proof"), "quiet") == 0;
	}
	if (n == 0) return;
	label("unproven", to);
	hg_buf_fmt(to, "%zu of %zu steps%s\n", n, json_array_size(cli_list(doc, "steps")),
	        quiet == n ? ": no request came, so nothing was judged" : "");
}

static void log_lines(const struct cli *c, const json_t *logs, struct hg_buf *to)
{
	const json_t *line;
	size_t i, width = (size_t)HG_MIN(c->columns, 120) - LABEL;
	/* Colours of a log line would be cleaned away with everything else: it is drawn plainly. */
	struct cli plain = *c;
	struct hg_buf text;
	plain.colour = false;
	hg_buf_init(&text, 1u << 20);
	json_array_foreach(logs, i, line)
	{
		label(i ? "" : "logs", to);
		if (i == LOG_LINES) {
			hg_buf_fmt(to, "%zu lines more\n", json_array_size(logs) - LOG_LINES);
			break;
		}
		hg_buf_reset(&text);
		cli_log_line(&plain, line, &text);
		cli_put(c, to, hg_buf_view(&text), width);
		hg_buf_byte(to, '\n');
	}
	hg_buf_free(&text);
}

static void now_serves(const struct cli *c, const json_t *doc, bool new, struct hg_buf *to)
{
	const json_t *side = json_object_get(doc, new ? "new" : "old");
	struct hg_buf text;
	const char *version = cli_text(side, "version");
	hg_buf_init(&text, 4096);
	hg_buf_fmt(&text, "%s serves 100 %%, %lld of %lld replicas ready",
	        version[0] ? version : "the old release", (long long)cli_int(side, "ready"),
	        (long long)cli_int(side, "wanted"));
	if (cli_int(side, "wanted") && !cli_int(side, "ready")) {
		hg_buf_reset(&text);
		hg_buf_fmt(&text, "none of the %lld replicas of %s is ready: needs a human",
		        (long long)cli_int(side, "wanted"),
		        version[0] ? version : "the old release");
	}
	label("now", to);
	cli_wrap(c, to, hg_buf_view(&text), LABEL);
	hg_buf_free(&text);
}

/* One command a line: they are there to be copied. */
static void next_line(const struct cli *c, const json_t *doc, bool good, struct hg_buf *to)
{
	const json_t *f = json_array_get(cli_list(doc, "first_failures"), 0);
	const char *next = cli_text(doc, "next");
	struct hg_buf text;
	hg_buf_init(&text, 4096);
	if (next[0])
		hg_buf_cstr(&text, next);
	else
		hg_buf_fmt(&text, "headgate rollouts %s %lld", good ? "show" : "why",
		        (long long)cli_int(doc, "id"));
	if (f && !good)
		hg_buf_fmt(&text, "\nheadgate logs %s --release %lld --replica %lld",
		        cli_text(doc, "app"),
		        (long long)cli_int(json_object_get(doc, "new"), "release"),
		        (long long)cli_int(f, "replica"));
	struct hg_str rest = hg_buf_view(&text);
	for (const char *name = "next"; rest.n; name = "") {
		label(name, to);
		cli_put(c, to, hg_str_cut(&rest, '\n'), (size_t)c->columns - LABEL);
		hg_buf_byte(to, '\n');
	}
	hg_buf_free(&text);
}

/* The line with the exit status at its right end. */
static void headline(
        const struct cli *c, enum cli_mark m, struct hg_buf *text, int status, struct hg_buf *to)
{
	size_t width = (size_t)HG_MIN(c->columns, 80) - 3;
	hg_buf_fmt(to, " %s ", cli_mark(c, m));
	hg_buf_cstr(to, cli_bold(c));
	cli_cell(c, to, hg_buf_text(text), width - 8);
	hg_buf_fmt(to, "%s  exit %d\n", cli_off(c), status);
}

static void back_text(const json_t *doc, struct hg_buf *to)
{
	const json_t *back = json_object_get(doc, "back"), *step = json_object_get(doc, "step");
	const char *outcome = cli_text(doc, "outcome");
	char t[CLI_TEXT_MAX];
	hg_buf_cstr(to,
	        !strcmp(outcome, "superseded") ? "superseded by another rollout" : "rolled back");
	if (cli_int(step, "index") == 0 && cli_int(back, "requests") == 0) {
		hg_buf_cstr(to, " before it got a request");
		return;
	}
	if (cli_int(step, "index"))
		hg_buf_fmt(to, " from %s", cli_human_share(cli_num(step, "weight"), t));
	if (!back) return;
	hg_buf_fmt(to, " after %s", cli_human_ms(cli_int(back, "took_ms"), t));
	hg_buf_fmt(to, ", %lld requests, %lld failed", (long long)cli_int(back, "requests"),
	        (long long)cli_int(back, "failures"));
}

void cli_rollout_why(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	why_lines(c, doc, to);
	gates_failed(c, doc, to);
	users_line(c, doc, to);
	first_failure(c, doc, to);
	mirror_lines(c, doc, to);
}

void cli_rollout_end(
        const struct cli *c, const json_t *doc, const json_t *logs, int status, struct hg_buf *to)
{
	const char *outcome = cli_text(doc, "outcome");
	bool back = !strcmp(outcome, "rolled_back") || !strcmp(outcome, "superseded");
	int64_t took = HG_MAX(cli_int(doc, "ended_ms"), cli_int(doc, "changed_ms"));
	struct hg_buf text;
	char t[CLI_TEXT_MAX];
	hg_buf_init(&text, 8192);
	if (back) {
		back_text(doc, &text);
		headline(c, CLI_BAD, &text, status, to);
		cli_rollout_why(c, doc, to);
		log_lines(c, logs, to);
		now_serves(c, doc, false, to);
	} else if (cli_rollout_exit(doc, false) == 0) {
		hg_buf_fmt(&text, "promoted: %s serves, after %s", new_version(doc),
		        cli_human_ms(HG_MAX(took - cli_int(doc, "created_ms"), 0), t));
		headline(c, CLI_GOOD, &text, status, to);
		users_line(c, doc, to);
		unproven_line(doc, to);
		mirror_lines(c, doc, to);
		now_serves(c, doc, true, to);
	} else {
		hg_buf_fmt(&text, "ended as \"%s\"", outcome[0] ? outcome : cli_text(doc, "state"));
		headline(c, CLI_WARN, &text, status, to);
		cli_rollout_why(c, doc, to);
	}
	next_line(c, doc, !back, to);
	hg_buf_free(&text);
}
