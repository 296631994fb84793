/* simulate: a rollout played before it is begun, as people read it. */
#include "simulate_priv.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "config_priv.h"

#define EVENTS_SHOWN 60u

/* ---- what is asked for ---- */

static enum hg_rc app_of(const struct cli_config *k, const char *name,
        const struct spec_app **ret_app, struct hg_err *err)
{
	const struct spec *s = k->spec;
	*ret_app = spec_app_find(s, hg_str(name));
	if (*ret_app) return HG_OK;
	hg_err_set(err, HG_E_NOT_FOUND, "there is no app \"%.64s\" in %.200s", name, k->file);
	for (uint32_t i = 0; i < s->app_count; i++)
		if (hg_str_distance(hg_str(name), s->apps[i].name) <= 2)
			hg_err_hint(err, "did you mean \"%.*s\"?", HG_STR_ARG(s->apps[i].name));
	if (!err->hint[0] && s->app_count)
		hg_err_hint(err, "the file has \"%.*s\"%s", HG_STR_ARG(s->apps[0].name),
		        s->app_count > 1 ? " and others" : "");
	return HG_E_NOT_FOUND;
}

/* All but the app, so that the command line is judged before the file. */
static enum hg_rc options_of(const struct cli *c, struct sim_options *o, struct hg_err *err)
{
	const struct cli_args *a = &c->args;
	const char *traffic = a->value[CLI_F_TRAFFIC], *baseline = a->value[CLI_F_BASELINE];
	enum hg_rc rc = HG_OK;
	if (traffic) rc = sim_traffic_parse(hg_str(traffic), "--traffic", &o->traffic, err);
	if (rc == HG_OK && baseline)
		rc = sim_baseline_parse(hg_str(baseline), "--baseline", &o->baseline, err);
	for (int i = 0; i < a->many_count && rc == HG_OK; i++) {
		if (a->many[i].id != CLI_F_FAULT) continue;
		if (o->fault_count == SIM_FAULTS_MAX)
			return hg_err_set(err, HG_E_USAGE, "more than %u faults", SIM_FAULTS_MAX);
		rc = sim_fault_parse(
		        hg_str(a->many[i].value), "--fault", &o->fault[o->fault_count++], err);
	}
	if (rc < 0) return rc;
	if (cli_has(a, CLI_F_STRATEGY) &&
	        !ro_strategy_parse(hg_str(a->value[CLI_F_STRATEGY]), &o->strategy))
		return hg_err_set(err, HG_E_USAGE, "there is no strategy \"%.40s\"",
		        a->value[CLI_F_STRATEGY]);
	if (cli_has(a, CLI_F_SEED)) o->seed = a->number[CLI_F_SEED];
	if (cli_has(a, CLI_F_UNTIL)) o->limit_ms = HG_MIN(a->number[CLI_F_UNTIL], SIM_SPAN_MAX_MS);
	if (cli_has(a, CLI_F_RUNS) &&
	        (a->number[CLI_F_RUNS] < 1 || a->number[CLI_F_RUNS] > SIM_RUNS_MAX))
		return hg_err_set(err, HG_E_USAGE, "--runs is 1 to %u", SIM_RUNS_MAX);
	return HG_OK;
}

/* ---- one run ---- */

static void header(const struct cli *c, const struct cli_simulation *s, struct hg_buf *to)
{
	const struct cli_args *a = &c->args;
	const struct sim_options *o = s->o;
	char rate[CLI_TEXT_MAX];
	hg_buf_cstr(to, cli_bold(c));
	cli_put(c, to, o->app->name, 20);
	if (cli_has(a, CLI_F_VERSION)) {
		hg_buf_fmt(to, " %s ", cli_arrow(c));
		cli_put(c, to, hg_str(a->value[CLI_F_VERSION]), 14);
	}
	hg_buf_fmt(to, "%s   %s   %u replica%s   ", cli_off(c),
	        ro_strategy_name(s->rules->strategy), o->app->replicas,
	        o->app->replicas == 1 ? "" : "s");
	if (s->summary)
		hg_buf_fmt(to, "simulated %u times\n", s->summary->runs);
	else
		hg_buf_fmt(to, "simulated, seed %llu\n", (unsigned long long)o->seed);
	hg_buf_cstr(to, " traffic   ");
	cli_wrap(c, to, hg_str(a->value[CLI_F_TRAFFIC] ? a->value[CLI_F_TRAFFIC] : "1000/s"), 11);
	hg_buf_fmt(to, " serves    %s failing, ", cli_human_share(o->baseline.errors, rate));
	hg_buf_fmt(
	        to, "%.0f ms, 95 %% within %.0f ms\n", o->baseline.median_ms, o->baseline.p95_ms);
	for (int i = 0; i < a->many_count; i++) {
		if (a->many[i].id != CLI_F_FAULT) continue;
		hg_buf_cstr(to, " fault     ");
		cli_put(c, to, hg_str(a->many[i].value), 60);
		hg_buf_byte(to, '\n');
	}
}

static void at_text(double ms, char to[CLI_TEXT_MAX])
{
	/* Sixtieths of a second would hide what happens within one. */
	if (ms < 60000)
		snprintf(to, CLI_TEXT_MAX, "%.3fs", ms / 1000);
	else
		(void)cli_human_ms((int64_t)ms, to);
}

/* The end is told below, and a weight of 0 is none. */
static bool is_shown(const struct sim_event *e)
{
	if (!strcmp(e->what, "rollout.weight")) return e->weight_ppm > 0;
	return strcmp(e->what, "rollout.ended") != 0;
}

static void timeline(const struct cli *c, const struct sim_result *r, struct hg_buf *to)
{
	char t[CLI_TEXT_MAX], weight[CLI_TEXT_MAX];
	uint32_t shown = 0;
	hg_buf_fmt(to, "\n%s%10s %7s  %-9s %s%s\n", cli_bold(c), "TIME", "WEIGHT", "EVIDENCE",
	        "EVENT", cli_off(c));
	for (uint32_t i = 0; i < r->event_count; i++) {
		const struct sim_event *e = &r->event[i];
		if (!is_shown(e)) continue;
		if (++shown > EVENTS_SHOWN) continue;
		at_text(e->at_ms, t);
		hg_buf_fmt(to, "%10s %7s  ", t, cli_human_share(e->weight_ppm / 1e6, weight));
		size_t before = to->n;
		if (e->threshold > 0)
			cli_put_evidence(to, e->e);
		else
			hg_buf_cstr(to, "-");
		hg_buf_fmt(to, "%*s ", (int)(9 - HG_MIN(to->n - before, (size_t)9)), "");
		cli_wrap(c, to, hg_str(e->text[0] ? e->text : e->what), 29);
	}
	uint32_t more = shown > EVENTS_SHOWN ? shown - EVENTS_SHOWN : 0;
	if (more + r->events_dropped)
		hg_buf_fmt(to, "%10s and %u events more; --json has them\n", "",
		        more + r->events_dropped);
}

static const char *how_many(double n, char to[CLI_TEXT_MAX])
{
	if (n >= 9999.5) return cli_human_rate(n, to);
	snprintf(to, CLI_TEXT_MAX, "%.0f", n);
	return to;
}

static void finds(const struct cli_simulation *s, double weight, double rate_new, struct hg_buf *to)
{
	char t[CLI_TEXT_MAX];
	double n = judge_detects(&s->rules->judge, weight, s->o->baseline.errors, rate_new);
	hg_buf_fmt(to, " %8s", isfinite(n) && n < 1e12 ? how_many(n, t) : "-");
}

static void steps(const struct cli *c, const struct cli_simulation *s, struct hg_buf *to)
{
	const struct sim_result *r = s->result;
	char t[CLI_TEXT_MAX];
	if (r->step_count == 0) return;
	hg_buf_fmt(to,
	        "\n%sSTEP  WEIGHT     TOOK  REQUESTS  PROVEN     FINDS 100 %%      5 %%      1 "
	        "%%%s\n",
	        cli_bold(c), cli_off(c));
	for (uint32_t i = 0; i < r->step_count; i++) {
		const struct sim_step *x = &r->step[i];
		double w = x->weight_ppm / 1e6;
		hg_buf_fmt(to, "%-5u %6s", i + 1, cli_human_share(w, t));
		hg_buf_fmt(to, " %8s", x->begun ? cli_human_ms((int64_t)x->took_ms, t) : "-");
		hg_buf_fmt(to, "  %8s", how_many((double)x->requests_new, t));
		hg_buf_fmt(to, "  %-10s   ", x->proof ? ro_proof_name(x->proof) : "-");
		finds(s, w, 1, to);
		finds(s, w, 0.05, to);
		finds(s, w, 0.01, to);
		hg_buf_byte(to, '\n');
	}
	hg_buf_cstr(to, "      FINDS: requests to both releases until so many failing are found\n");
}

static void waits_text(const struct sim_result *r, struct hg_buf *to)
{
	switch (r->waits) {
	case RO_WAITS_RESUME: hg_buf_cstr(to, "paused, a person resumes or aborts"); break;
	case RO_WAITS_PERSON: hg_buf_cstr(to, "a gate waits for a person"); break;
	case RO_WAITS_REPLICAS: hg_buf_cstr(to, "replicas are not ready"); break;
	case RO_WAITS_EVIDENCE: hg_buf_cstr(to, "nothing is proven either way"); break;
	case RO_WAITS_OLD: hg_buf_cstr(to, "the old release is not ready"); break;
	default: hg_buf_cstr(to, "the time is over"); break;
	}
}

/* "   users    …", broken where the screen ends. */
static void said(const struct cli *c, struct hg_buf *to, const char *label, const char *fmt, ...)
        HG_PRINTF(4, 5);
static void said(const struct cli *c, struct hg_buf *to, const char *label, const char *fmt, ...)
{
	char text[300];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	hg_buf_fmt(to, "   %-9s", label);
	cli_wrap(c, to, hg_str(text), 12);
}

static void users(const struct cli *c, const struct sim_result *r, struct hg_buf *to)
{
	unsigned long long seen = r->seen_new, failed = r->failed_new, rescued = r->rescued;
	if (failed)
		said(c, to, "users",
		        "%llu error%s seen: %llu of %llu failures answered by the old release",
		        seen, seen == 1 ? "" : "s", rescued, failed);
	else
		said(c, to, "users", "0 errors of the new release");
	if (r->unserved)
		said(c, to, "", "%llu of the requests found no replica ready",
		        (unsigned long long)r->unserved);
	if (r->seen_old)
		said(c, to, "", "%llu error%s of the old release", (unsigned long long)r->seen_old,
		        r->seen_old == 1 ? "" : "s");
}

/* The last look at the evidence before it was decided. */
static void evidence(const struct cli *c, const struct sim_result *r, struct hg_buf *to)
{
	for (uint32_t i = 0; i < r->event_count; i++) {
		const struct sim_event *e = &r->event[i];
		if (strcmp(e->what, r->tripped ? "edge.trip" : "rollout.back") != 0) continue;
		if (!(e->threshold > 0)) return;
		struct hg_buf t;
		hg_buf_init(&t, 256);
		cli_put_evidence(&t, e->e);
		hg_buf_cstr(&t, r->judged ? " of " : ", decides at ");
		cli_put_evidence(&t, e->threshold);
		said(c, to, "evidence", "new %llu of %llu failed, old %llu of %llu; %s",
		        (unsigned long long)e->c_new, (unsigned long long)e->n_new,
		        (unsigned long long)e->c_old, (unsigned long long)e->n_old,
		        hg_buf_text(&t));
		hg_buf_free(&t);
		return;
	}
}

static void end(const struct cli *c, const struct cli_simulation *s, struct hg_buf *to)
{
	const struct sim_result *r = s->result;
	char t[CLI_TEXT_MAX];
	enum cli_mark m = r->end == SIM_PROMOTED  ? CLI_GOOD
	                  : r->end == SIM_WAITING ? CLI_WAIT
	                                          : CLI_BAD;
	hg_buf_fmt(to, "\n %s ", cli_mark(c, m));
	if (r->end == SIM_PROMOTED) {
		hg_buf_fmt(to, "would be promoted, over after %s",
		        cli_human_ms((int64_t)r->end_ms, t));
	} else if (r->end == SIM_WAITING) {
		hg_buf_fmt(to, "would wait at %s (", cli_human_ms((int64_t)r->end_ms, t));
		waits_text(r, to);
		hg_buf_byte(to, ')');
	} else if (r->zero_ms >= 0) {
		at_text(r->zero_ms - r->raised_ms, t);
		hg_buf_fmt(to, "would be rolled back %s after its first request", t);
	} else {
		hg_buf_fmt(to, "would be rolled back before any request (%s)",
		        ro_cause_name(r->cause));
	}
	hg_buf_fmt(to, "   exit %d\n", cli_simulation_exit(r->end));
	if (r->end == SIM_ROLLED_BACK && r->zero_ms >= 0) {
		said(c, to, "why", "%s: %llu requests to it, %llu failed, %llu to both",
		        ro_cause_name(r->cause), (unsigned long long)r->requests_new,
		        (unsigned long long)r->failed_new, (unsigned long long)r->requests_until);
		evidence(c, r, to);
	}
	users(c, r, to);
}

int cli_simulation_exit(enum sim_end end)
{
	return end == SIM_PROMOTED ? 0 : end == SIM_ROLLED_BACK ? 4 : 5;
}

/* ---- many ---- */

enum sim_end cli_simulation_usual(const struct sim_summary *s)
{
	enum sim_end best = SIM_PROMOTED;
	for (enum sim_end i = SIM_ROLLED_BACK; i <= SIM_WAITING; i++)
		if (s->ended[i] > s->ended[best]) best = i;
	return best;
}

static void range(const char *name, const struct sim_range *r, bool is_time, struct hg_buf *to)
{
	const double v[] = {r->median, r->low, r->high};
	char t[CLI_TEXT_MAX];
	hg_buf_fmt(to, " %-38s", name);
	for (size_t i = 0; i < HG_COUNT(v); i++) {
		if (r->n == 0)
			snprintf(t, sizeof t, "-");
		else if (is_time)
			at_text(v[i], t);
		else if (v[i] < 1e7)
			snprintf(t, sizeof t, "%.0f", v[i]);
		else
			(void)cli_human_rate(v[i], t);
		hg_buf_fmt(to, " %10s", t);
	}
	hg_buf_byte(to, '\n');
}

static void summary(const struct cli *c, const struct cli_simulation *s, struct hg_buf *to)
{
	static const char *const names[] = {"promoted", "rolled back", "waiting"};
	static const enum cli_mark marks[] = {CLI_GOOD, CLI_BAD, CLI_WAIT};
	const struct sim_summary *x = s->summary;
	char t[CLI_TEXT_MAX];
	hg_buf_byte(to, '\n');
	for (uint32_t i = 0; i <= SIM_WAITING; i++)
		hg_buf_fmt(to, " %s %-12s %6u of %u runs  %s\n", cli_mark(c, marks[i]), names[i],
		        x->ended[i], x->runs, cli_human_share((double)x->ended[i] / x->runs, t));
	hg_buf_fmt(to, "\n%s %-38s %10s %21s%s\n", cli_bold(c), "", "MEDIAN", "95 % OF THE RUNS",
	        cli_off(c));
	range("requests until weight 0, to both", &x->requests, false, to);
	range("requests to the new release", &x->requests_new, false, to);
	range("time from its first to weight 0", &x->zero_ms, true, to);
	range("failures of the new release", &x->failed_new, false, to);
	range("of them seen by users", &x->seen, false, to);
	range("time until the end", &x->end_ms, true, to);
}

void cli_simulation_text(const struct cli *c, const struct cli_simulation *s, struct hg_buf *to)
{
	header(c, s, to);
	if (s->summary) {
		summary(c, s, to);
		return;
	}
	timeline(c, s->result, to);
	steps(c, s, to);
	end(c, s, to);
}

/* ---- the command ---- */

static void next_command(const struct cli *c, enum sim_end end)
{
	const char *app = c->args.positional[0];
	if (!cli_has(&c->args, CLI_F_RUNS))
		cli_next(c, "headgate simulate %s --runs 100, with the same flags", app);
	else if (end == SIM_PROMOTED)
		cli_next(c, "headgate plan %s", app);
	else
		cli_next(c, "headgate explain apps.*.rollout");
}

static int show(const struct cli *c, const struct cli_simulation *s)
{
	enum sim_end end = s->summary ? cli_simulation_usual(s->summary) : s->result->end;
	int status = cli_simulation_exit(end);
	if (cli_has(&c->args, CLI_F_JSON)) {
		json_t *doc = cli_simulation_json(c, s, status);
		int failed = cli_print_json(doc, false);
		json_decref(doc);
		return failed ? failed : status;
	}
	struct hg_buf text;
	hg_buf_init(&text, 1u << 20);
	cli_simulation_text(c, s, &text);
	cli_out("%s", hg_buf_text(&text));
	hg_buf_free(&text);
	next_command(c, end);
	return status;
}

static int play(const struct cli *c, const struct sim_options *o)
{
	struct hg_err err = {0};
	struct ro_rules *rules = malloc(sizeof *rules);
	struct sim_result *result = calloc(1, sizeof *result);
	struct sim_summary sum = {0};
	bool many = cli_has(&c->args, CLI_F_RUNS);
	struct cli_simulation s = {
	        .o = o, .rules = rules, .result = result, .summary = many ? &sum : NULL};
	enum hg_rc rc;
	int status = 1;
	if (!rules || !result) {
		hg_err_set(&err, HG_E_NOMEM, "memory is exhausted");
		status = cli_fail(&err);
		goto out;
	}
	sim_rules(o, rules);
	if (many)
		rc = simulate_runs(o, (uint32_t)c->args.number[CLI_F_RUNS], &sum, &err);
	else
		rc = simulate(o, result, &err);
	status = rc < 0 ? cli_fail(&err) : show(c, &s);
out:
	free(rules);
	free(result);
	return status;
}

int cli_do_simulate(struct cli *c)
{
	struct hg_err err = {0};
	struct sim_options o;
	struct cli_config k;
	const struct spec_app *app = NULL;
	sim_options_default(&o, NULL);
	if (options_of(c, &o, &err) < 0) return cli_fail(&err);
	int status = cli_config_load(c, &k, NULL, NULL, false);
	if (!status && app_of(&k, c->args.positional[0], &app, &err) < 0) status = cli_fail(&err);
	if (!status) {
		o.app = app;
		status = play(c, &o);
	}
	cli_config_fini(&k);
	return status;
}
