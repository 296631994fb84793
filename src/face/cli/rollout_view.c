/* A rollout as a page, as a line, and as an explanation. Pure: documents in, text out. */
#include "rollout_priv.h"

#include <stdio.h>

#define LABEL 12 /* column where what is said begins */

int cli_rollout_exit(const json_t *doc, bool to_end)
{
	const char *outcome = cli_text(doc, "outcome"), *phase = cli_text(doc, "phase");
	const json_t *old = json_object_get(doc, "old");
	if (!strcmp(outcome, "promoted") || !strcmp(phase, "watch"))
		return to_end && strcmp(phase, "end") != 0 ? -1 : 0;
	if (!strcmp(outcome, "rolled_back"))
		return cli_int(old, "wanted") > 0 && cli_int(old, "ready") == 0 ? 7 : 4;
	if (!strcmp(outcome, "superseded")) return 4;
	return outcome[0] || !strcmp(phase, "end") ? 1 : -1;
}

static bool is_canary(const json_t *doc)
{
	return !strcmp(cli_text(doc, "strategy"), "canary");
}

/* What the two releases are called in sentences. */
static const char *new_word(const json_t *doc)
{
	return is_canary(doc) ? "canary" : "new";
}
static const char *old_word(const json_t *doc)
{
	return is_canary(doc) ? "stable" : "old";
}

static const char *version_of(const json_t *doc, const char *which)
{
	return cli_text(json_object_get(doc, which), "version");
}

/* A version, or a dash: the first release of an app comes from nowhere. */
static void put_version(const struct cli *c, const json_t *doc, const char *which, size_t columns,
        struct hg_buf *to)
{
	const char *v = version_of(doc, which);
	if (v[0])
		cli_put(c, to, hg_str(v), columns);
	else
		hg_buf_cstr(to, cli_dash(c));
}

static void label(const struct cli *c, enum cli_mark m, const char *name, struct hg_buf *to)
{
	hg_buf_fmt(to, " %s %-9s", cli_mark(c, m), name);
}

static void put_share(struct hg_buf *to, double share)
{
	char t[CLI_TEXT_MAX];
	hg_buf_cstr(to, cli_human_share(share, t));
}

void cli_rollout_header(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	hg_buf_cstr(to, cli_bold(c));
	cli_put(c, to, hg_str(cli_text(doc, "app")), 20);
	hg_buf_byte(to, ' ');
	put_version(c, doc, "old", 14, to);
	hg_buf_fmt(to, " %s ", cli_arrow(c));
	put_version(c, doc, "new", 14, to);
	hg_buf_fmt(to, "%s   ", cli_off(c));
	cli_put(c, to, hg_str(cli_text(doc, "strategy")), 10);
	hg_buf_fmt(to, "   rollout %lld\n", (long long)cli_int(doc, "id"));
}

/* ---- phases ---- */

static bool phase_is(const json_t *doc, const char *phase)
{
	return !strcmp(cli_text(doc, "phase"), phase);
}

static bool went_back(const json_t *doc)
{
	const char *o = cli_text(doc, "outcome");
	return phase_is(doc, "back") || !strcmp(o, "rolled_back") || !strcmp(o, "superseded");
}

/* True when it got as far as a share of the requests. */
static bool had_steps(const json_t *doc)
{
	const json_t *step = json_object_get(doc, "step");
	return cli_int(step, "index") > 0 || phase_is(doc, "watch") ||
	       !strcmp(cli_text(doc, "outcome"), "promoted");
}

static void start_line(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const json_t *new = json_object_get(doc, "new");
	bool now = phase_is(doc, "start");
	enum cli_mark m = now ? CLI_WAIT : went_back(doc) && !had_steps(doc) ? CLI_BAD : CLI_GOOD;
	label(c, m, "start", to);
	hg_buf_fmt(to, "%lld/%lld %s replicas ready", (long long)cli_int(new, "ready"),
	        (long long)cli_int(new, "wanted"), new_word(doc));
	if (cli_int(new, "starting"))
		hg_buf_fmt(to, ", %lld starting", (long long)cli_int(new, "starting"));
	if (cli_int(new, "crash_loops"))
		hg_buf_fmt(to, ", %lld in a crash loop", (long long)cli_int(new, "crash_loops"));
	hg_buf_byte(to, '\n');
}

static void gate_lines(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const json_t *g;
	size_t i;
	char t[CLI_TEXT_MAX];
	json_array_foreach(cli_list(doc, "gates"), i, g)
	{
		const char *state = cli_text(g, "state");
		enum cli_mark m = !strcmp(state, "passed")    ? CLI_GOOD
		                  : !strcmp(state, "failed")  ? CLI_BAD
		                  : !strcmp(state, "running") ? CLI_WAIT
		                                              : CLI_NONE;
		label(c, m, "gate", to);
		cli_cell(c, to, cli_text(g, "run"), 32);
		hg_buf_byte(to, ' ');
		cli_cell(c, to, cli_text(g, "when"), 16);
		hg_buf_byte(to, ' ');
		cli_put(c, to, hg_str(state), 8);
		if (m == CLI_GOOD || m == CLI_BAD)
			hg_buf_fmt(to, " %s", cli_human_ms(cli_int(g, "took_ms"), t));
		hg_buf_byte(to, '\n');
	}
}

static void bar(const struct cli *c, double share, int width, struct hg_buf *to)
{
	int full = (int)(share * width + 0.5);
	for (int i = 0; i < width; i++)
		hg_buf_cstr(to, i < full ? (c->utf8 ? "█" : "#") : (c->utf8 ? "░" : "."));
}

/* "█████░░░  step 2/4  set 10 %  actual 9.8 %  8m20s left" */
static void progress(
        const struct cli *c, const json_t *doc, uint64_t now_ms, enum cli_mark m, struct hg_buf *to)
{
	const json_t *step = json_object_get(doc, "step"), *weight = json_object_get(doc, "weight");
	int64_t since = cli_int(step, "since_ms"), until = cli_int(step, "until_ms");
	int64_t left = until - (int64_t)now_ms;
	char facts[160], t[CLI_TEXT_MAX], set[CLI_TEXT_MAX];
	double share = until > since ? 1 - (double)HG_MAX(left, 0) / (double)(until - since)
	                             : HG_MAX(cli_num(weight, "set"), 0);
	struct hg_out o = hg_out_over(facts, sizeof facts - 1);
	hg_out_fmt(&o, "step %lld/%lld  set %s  actual %s", (long long)cli_int(step, "index"),
	        (long long)cli_int(step, "count"), cli_human_share(cli_num(weight, "set"), set),
	        cli_human_share(cli_num(weight, "actual"), t));
	if (m == CLI_WAIT && until && left > 0) hg_out_fmt(&o, "  %s left", cli_human_ms(left, t));
	facts[o.n] = 0;
	label(c, m, is_canary(doc) ? "canary" : "step", to);
	int width = HG_MIN(c->columns, 80) - LABEL - 2 - (int)o.n;
	if (width >= 5) bar(c, HG_MIN(HG_MAX(share, 0), 1), HG_MIN(width, 20), to);
	hg_buf_fmt(to, "%s%s\n", width >= 5 ? "  " : "", facts);
}

/* "steps  ✔ 1 %  ◌ 10 %  25 %  100 %" */
static void step_chips(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const json_t *s;
	size_t i, column = LABEL;
	char t[CLI_TEXT_MAX], chip[64];
	if (json_array_size(cli_list(doc, "steps")) < 2) return;
	label(c, CLI_NONE, "steps", to);
	json_array_foreach(cli_list(doc, "steps"), i, s)
	{
		const char *state = cli_text(s, "state");
		bool unproven = json_is_true(json_object_get(s, "unproven"));
		enum cli_mark m = unproven                    ? CLI_WARN
		                  : !strcmp(state, "done")    ? CLI_GOOD
		                  : strcmp(state, "now") != 0 ? CLI_NONE
		                  : went_back(doc)            ? CLI_BAD
		                                              : CLI_WAIT;
		snprintf(chip, sizeof chip, "%s%s%s%s", m == CLI_NONE ? "" : cli_mark(c, m),
		        m == CLI_NONE ? "" : " ", cli_human_share(cli_num(s, "weight"), t),
		        unproven ? " unproven" : "");
		size_t width = cli_columns(hg_str(chip)) + (i ? 2 : 0);
		if (column + width > 76) {
			hg_buf_fmt(to, "  %s", c->utf8 ? "…" : "...");
			break;
		}
		hg_buf_fmt(to, "%s%s", i ? "  " : "", chip);
		column += width;
	}
	hg_buf_byte(to, '\n');
}

/* What is special now, in the room's own words. */
static void now_line(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const char *state = cli_text(doc, "state"), *why = cli_text(doc, "why");
	long long id = (long long)cli_int(doc, "id");
	if (cli_rollout_exit(doc, true) >= 0) return;
	if (!strcmp(state, "paused")) {
		label(c, CLI_WARN, "paused", to);
		hg_buf_fmt(to, "go on with: headgate rollouts resume %lld\n", id);
		return;
	}
	if (!strcmp(state, "waiting")) {
		label(c, CLI_WARN, "waiting", to);
		hg_buf_fmt(to, "for a person; go on with: headgate promote %lld\n", id);
		if (!why[0]) return;
	} else if (phase_is(doc, "watch")) {
		label(c, CLI_GOOD, "promoted", to);
		put_version(c, doc, "new", 30, to);
		hg_buf_cstr(to, " serves; watched for a while\n");
		return;
	} else if (phase_is(doc, "promote")) {
		label(c, CLI_WAIT, "promote", to);
		put_version(c, doc, "new", 30, to);
		hg_buf_cstr(to, " takes over\n");
		return;
	} else if (phase_is(doc, "back")) {
		label(c, CLI_BAD, "back", to);
		put_version(c, doc, "old", 30, to);
		hg_buf_cstr(to, " takes every request\n");
	} else if (phase_is(doc, "hold")) {
		label(c, CLI_WAIT, "hold", to);
		cli_wrap(c, to, hg_str(why[0] ? why : "not proven either way yet"), LABEL);
		return;
	}
	if (!why[0]) return;
	label(c, CLI_NONE, "why", to);
	cli_wrap(c, to, hg_str(why), LABEL);
}

/* ---- evidence ---- */

static const char *metric_name(const char *metric)
{
	static const char *const rows[][2] = {{"errors", "errors"}, {"p50", "slow p50"},
	        {"p95", "slow p95"}, {"p99", "slow p99"}, {"error_rate", "max error"},
	        {"p95_limit", "max p95"}, {"error_rate_above_stable", "above old"},
	        {"p95_vs_stable", "p95 ratio"}};
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		if (!strcmp(rows[i][0], metric)) return rows[i][1];
	return metric;
}

static bool metric_shown(const json_t *m)
{
	const json_t *enabled = json_object_get(m, "enabled");
	return !enabled || json_is_true(enabled);
}

/* Cells are built apart, because they have to be measured. */
struct row {
	const struct cli *c;
	struct hg_buf *to, cell;
};

static void row_cell(struct row *r, size_t columns)
{
	cli_cell(r->c, r->to, hg_buf_text(&r->cell), columns);
	hg_buf_byte(r->to, ' ');
	hg_buf_reset(&r->cell);
}

static void put_rate(struct hg_buf *to, const json_t *side, bool interval)
{
	char t[CLI_TEXT_MAX], u[CLI_TEXT_MAX];
	double low = cli_num(side, "low"), high = cli_num(side, "high");
	if (cli_int(side, "n") == 0) {
		hg_buf_cstr(to, "-");
		return;
	}
	hg_buf_cstr(to, cli_human_ratio(cli_num(side, "rate"), t));
	if (!interval || low < 0 || high < low) return;
	snprintf(t, sizeof t, "%.3g", low * 100);
	snprintf(u, sizeof u, "%.3g", high * 100);
	hg_buf_fmt(to, " [%s, %s]", t, u);
}

static void metric_row(
        struct row *r, const json_t *doc, const json_t *m, double threshold, struct hg_buf *to)
{
	const json_t *new = json_object_get(m, "new"), *old = json_object_get(m, "old");
	double e = cli_num(m, "e");
	bool bad = threshold > 0 && e >= threshold;
	const char *verdict = cli_text(doc, "verdict");
	enum cli_mark mark = bad ? CLI_BAD : cli_int(new, "n") ? CLI_GOOD : CLI_NONE;
	hg_buf_byte(to, ' ');
	cli_cell(r->c, to, metric_name(cli_text(m, "metric")), LABEL - 2);
	hg_buf_byte(to, ' ');
	put_rate(&r->cell, old, false);
	row_cell(r, 15);
	put_rate(&r->cell, new, true);
	row_cell(r, 25);
	cli_put_evidence(&r->cell, e);
	hg_buf_cstr(&r->cell, " of ");
	cli_put_evidence(&r->cell, threshold);
	row_cell(r, 13);
	hg_buf_fmt(to, "%s %s\n", cli_mark(r->c, mark),
	        bad && !strcmp(verdict, "shared") ? "shared"
	        : bad                             ? "bad"
	        : mark == CLI_NONE                ? "no data"
	                                          : "within");
}

static void evidence_table(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const json_t *ev = json_object_get(doc, "evidence"), *m, *first = NULL, *sides[2];
	struct row r = {.c = c, .to = to};
	size_t i;
	json_array_foreach(cli_list(ev, "metrics"), i, m)
	{
		if (!first && metric_shown(m)) first = m;
	}
	if (!first) return;
	hg_buf_init(&r.cell, 4096);
	sides[0] = json_object_get(first, "old");
	sides[1] = json_object_get(first, "new");
	hg_buf_fmt(to, "\n%*s", LABEL, "");
	for (int k = 0; k < 2; k++) {
		hg_buf_fmt(&r.cell, "%s ", k ? new_word(doc) : old_word(doc));
		put_version(c, doc, k ? "new" : "old", k ? 17 : 8, &r.cell);
		row_cell(&r, k ? 25 : 15);
	}
	hg_buf_cstr(to, "evidence      verdict\n requests   ");
	for (int k = 0; k < 2; k++) {
		hg_buf_fmt(&r.cell, "%lld", (long long)cli_int(sides[k], "n"));
		if (k)
			hg_buf_str(to, hg_buf_view(&r.cell));
		else
			row_cell(&r, 15);
	}
	hg_buf_reset(&r.cell);
	hg_buf_byte(to, '\n');
	json_array_foreach(cli_list(ev, "metrics"), i, m)
	{
		if (metric_shown(m)) metric_row(&r, doc, m, cli_num(ev, "threshold"), to);
	}
	const json_t *good = json_object_get(ev, "good");
	if (cli_num(good, "needs") > 0) {
		hg_buf_cstr(to, " good       ");
		cli_put_evidence(to, cli_num(good, "e"));
		hg_buf_cstr(to, " of the ");
		cli_put_evidence(to, cli_num(good, "needs"));
		hg_buf_cstr(to, " that prove it good\n");
	}
	hg_buf_free(&r.cell);
}

static void put_count(struct hg_buf *to, int64_t n, const char *one, const char *many)
{
	hg_buf_fmt(to, "%lld %s", (long long)n, n == 1 ? one : many);
}

static void users_text(const json_t *doc, struct hg_buf *to)
{
	const json_t *u = json_object_get(doc, "users");
	int64_t rescued = cli_int(u, "rescued"), forced = cli_int(u, "forced");
	put_count(to, cli_int(u, "seen"), "error seen", "errors seen");
	hg_buf_fmt(to, ": %lld %s %s answered by %s", (long long)rescued, new_word(doc),
	        rescued == 1 ? "failure" : "failures", old_word(doc));
	if (cli_int(u, "unreplayable"))
		hg_buf_fmt(
		        to, ", %lld could not be repeated", (long long)cli_int(u, "unreplayable"));
	if (forced) {
		hg_buf_cstr(to, "; ");
		put_count(to, forced, "request had asked for it", "requests had asked for it");
	}
}

bool cli_mirror_text(const json_t *doc, struct hg_buf *to)
{
	const json_t *m = json_object_get(doc, "mirror");
	int64_t copied = cli_int(m, "copied"), dropped = cli_int(m, "dropped");
	if (copied + dropped == 0) return false;
	put_count(to, copied, "request copied", "requests copied");
	hg_buf_fmt(to, ": %lld answered differently", (long long)cli_int(m, "differs"));
	if (cli_int(m, "failed"))
		hg_buf_fmt(to, ", %lld of them not at all", (long long)cli_int(m, "failed"));
	if (cli_int(m, "partly"))
		hg_buf_fmt(to, "; bodies of %lld not compared", (long long)cli_int(m, "partly"));
	if (dropped) hg_buf_fmt(to, "; %lld left out", (long long)dropped);
	return true;
}

static void users_line(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	struct hg_buf text;
	if (!json_is_object(json_object_get(doc, "users"))) return;
	hg_buf_init(&text, 4096);
	users_text(doc, &text);
	hg_buf_cstr(to, " users      ");
	cli_wrap(c, to, hg_buf_view(&text), LABEL);
	hg_buf_reset(&text);
	if (cli_mirror_text(doc, &text)) {
		hg_buf_cstr(to, " mirror     ");
		cli_wrap(c, to, hg_buf_view(&text), LABEL);
	}
	hg_buf_free(&text);
}

void cli_rollout_page(const struct cli *c, const json_t *doc, uint64_t now_ms, struct hg_buf *to)
{
	int over = cli_rollout_exit(doc, false);
	cli_rollout_header(c, doc, to);
	start_line(c, doc, to);
	gate_lines(c, doc, to);
	if (cli_int(json_object_get(doc, "step"), "index")) {
		enum cli_mark m = over == 0 ? CLI_GOOD : went_back(doc) ? CLI_BAD : CLI_WAIT;
		progress(c, doc, now_ms, m, to);
		step_chips(c, doc, to);
	}
	now_line(c, doc, to);
	evidence_table(c, doc, to);
	users_line(c, doc, to);
}

/* ---- one line ---- */

void cli_rollout_key(const json_t *doc, char to[256])
{
	const json_t *g, *step = json_object_get(doc, "step");
	size_t i;
	struct hg_out o = hg_out_over(to, 255);
	hg_out_fmt(&o, "%.16s %.16s %.16s %lld ", cli_text(doc, "state"), cli_text(doc, "phase"),
	        cli_text(doc, "outcome"), (long long)cli_int(step, "index"));
	json_array_foreach(cli_list(doc, "gates"), i, g)
	        hg_out_fmt(&o, "%.1s", cli_text(g, "state"));
	to[HG_MIN(o.n, (size_t)255)] = 0;
}

enum cli_mark cli_rollout_mark(const json_t *doc)
{
	const char *state = cli_text(doc, "state");
	if (went_back(doc)) return CLI_BAD;
	if (!strcmp(cli_text(doc, "outcome"), "promoted") || phase_is(doc, "watch"))
		return CLI_GOOD;
	if (!strcmp(state, "paused") || !strcmp(state, "waiting")) return CLI_WARN;
	return CLI_WAIT;
}

/* The row of a list has a number as its weight, the whole document an object. */
static double weight_of(const json_t *doc)
{
	const json_t *w = json_object_get(doc, "weight");
	return json_is_object(w) ? cli_num(w, "set") : cli_num(doc, "weight");
}

static void state_words(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const char *outcome = cli_text(doc, "outcome"), *state = cli_text(doc, "state");
	const char *phase = cli_text(doc, "phase");
	bool held = !strcmp(state, "paused") || !strcmp(state, "waiting");
	if (!strcmp(outcome, "rolled_back")) {
		hg_buf_cstr(to, "rolled back");
	} else if (outcome[0]) {
		cli_put(c, to, hg_str(outcome), 14);
	} else if (!strcmp(phase, "watch")) {
		hg_buf_cstr(to, "promoted");
	} else {
		cli_put(c, to, hg_str(held ? state : phase), 10);
		if (!strcmp(phase, "step") || !strcmp(phase, "hold") || held) {
			hg_buf_byte(to, ' ');
			put_share(to, weight_of(doc));
		}
	}
}

void cli_rollout_state(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	hg_buf_fmt(to, "%s ", cli_mark(c, cli_rollout_mark(doc)));
	state_words(c, doc, to);
}

/* What a line says beside the state. */
static void line_detail(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	const json_t *step = json_object_get(doc, "step"), *g;
	const json_t *new = json_object_get(doc, "new");
	const char *why = cli_text(doc, "why");
	size_t i;
	if (!strcmp(cli_text(doc, "outcome"), "promoted") || phase_is(doc, "watch")) {
		put_version(c, doc, "new", 30, to);
		hg_buf_cstr(to, " serves 100 %");
	} else if (!strcmp(cli_text(doc, "state"), "waiting")) {
		hg_buf_fmt(
		        to, "for a person: headgate promote %lld", (long long)cli_int(doc, "id"));
	} else if (phase_is(doc, "start")) {
		hg_buf_fmt(to, "%lld/%lld replicas ready", (long long)cli_int(new, "ready"),
		        (long long)cli_int(new, "wanted"));
	} else if (phase_is(doc, "gate")) {
		json_array_foreach(cli_list(doc, "gates"), i, g)
		{
			if (!strcmp(cli_text(g, "state"), "running"))
				cli_put(c, to, hg_str(cli_text(g, "run")), 40);
		}
	} else if (phase_is(doc, "step")) {
		hg_buf_fmt(to, "%lld/%lld", (long long)cli_int(step, "index"),
		        (long long)cli_int(step, "count"));
	} else {
		cli_put(c, to, hg_str(why), 48);
	}
}

void cli_rollout_line(const struct cli *c, const json_t *doc, struct hg_buf *to)
{
	char t[CLI_TEXT_MAX];
	struct hg_buf words;
	int64_t changed = cli_int(doc, "changed_ms"), created = cli_int(doc, "created_ms");
	hg_buf_init(&words, 4096);
	cli_rollout_state(c, doc, &words);
	hg_buf_fmt(to, "%8s  ", cli_human_ms(HG_MAX(changed - created, 0), t));
	hg_buf_str(to, hg_buf_view(&words));
	for (size_t n = cli_columns(hg_buf_view(&words)); n < 16; n++)
		hg_buf_byte(to, ' ');
	hg_buf_reset(&words);
	line_detail(c, doc, &words);
	if (words.n) hg_buf_fmt(to, "  %s", hg_buf_text(&words));
	hg_buf_byte(to, '\n');
	hg_buf_free(&words);
}
