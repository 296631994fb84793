/* What is known without looking at samples: targets, rules, alerts, and the state of all this. */
#include "api_priv.h"

#include "wire/date.h"

/* The Prometheus whose API is spoken: Grafana asks for it to know what it may ask. */
#define SPOKEN "3.14.0"

static void text(struct json_out *j, const char *key, struct hg_str v)
{
	json_out_key(j, key);
	json_out_str(j, v);
}

static void when(struct json_out *j, const char *key, int64_t ms)
{
	char at[DATE_RFC3339_SIZE];
	json_out_key(j, key);
	if (ms <= 0) {
		json_out_cstr(j, "0001-01-01T00:00:00Z"); /* Go's zero */
		return;
	}
	date_rfc3339((uint64_t)ms, at);
	json_out_cstr(j, at);
}

static void labels(struct json_out *j, const char *key, struct labels ls)
{
	struct hg_buf b;
	hg_buf_init(&b, (size_t)1 << 20);
	pa_labels_json(&b, ls);
	json_out_key(j, key);
	json_out_raw(j, b.failed ? HG_STR("{}") : hg_buf_view(&b));
	hg_buf_free(&b);
}

/* "1m30s", as Prometheus writes spans. */
static void span(struct json_out *j, const char *key, uint64_t ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} unit[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
	char to[64];
	struct hg_out o = hg_out_over(to, sizeof to);
	for (size_t i = 0; i < HG_COUNT(unit); i++) {
		if (ms < unit[i].ms) continue;
		hg_out_u64(&o, ms / unit[i].ms);
		hg_out_cstr(&o, unit[i].unit);
		ms %= unit[i].ms;
	}
	text(j, key, o.n ? (struct hg_str){to, o.n} : HG_STR("0s"));
}

/* ---- targets ---- */

static void target_json(struct json_out *j, const struct scrape_status *t)
{
	static const char *const health[] = {
	        [SCRAPE_UNKNOWN] = "unknown", [SCRAPE_UP] = "up", [SCRAPE_DOWN] = "down"};
	json_out_object(j);
	labels(j, "discoveredLabels", t->discovered);
	if (!t->dropped) labels(j, "labels", t->labels);
	text(j, "scrapePool", t->job);
	if (!t->dropped) {
		text(j, "scrapeUrl", t->url);
		text(j, "globalUrl", t->url);
		text(j, "lastError", hg_str(t->why));
		when(j, "lastScrape", t->last_ms);
		json_out_key(j, "lastScrapeDuration");
		json_out_num(j, t->duration_s);
		text(j, "health", hg_str(health[t->health]));
		span(j, "scrapeInterval", t->interval_ms);
		span(j, "scrapeTimeout", t->timeout_ms);
	}
	json_out_end(j);
}

static void targets_where(const struct pa_ask *a, struct json_out *j, bool dropped, bool wanted)
{
	struct hg_str pool = pa_form_get(a->form, "scrapePool");
	struct scrape_status t;
	size_t at = 0;
	json_out_key(j, dropped ? "droppedTargets" : "activeTargets");
	json_out_array(j);
	while (wanted && a->p->o.scrape && scrape_status_next(a->p->o.scrape, &at, &t))
		if (t.dropped == dropped && (!pool.n || hg_str_eq(pool, t.job))) target_json(j, &t);
	json_out_end(j);
}

static bool targets(struct pa_ask *a, struct json_out *j)
{
	struct hg_str state = pa_form_get(a->form, "state");
	bool any = !state.n || hg_str_eq_nocase(state, HG_STR("any"));
	json_out_object(j);
	targets_where(a, j, false, any || hg_str_eq_nocase(state, HG_STR("active")));
	targets_where(a, j, true, any || hg_str_eq_nocase(state, HG_STR("dropped")));
	json_out_key(j, "droppedTargetCounts");
	json_out_raw(j, HG_STR("{}"));
	json_out_end(j);
	return true;
}

/* Has a target before this one the same job? Those of a job follow each other until the file is
 * changed. */
static bool job_was_told(const struct scrape *scrape, struct hg_str job, size_t before)
{
	struct scrape_status t;
	size_t at = 0;
	while (scrape_status_next(scrape, &at, &t) && at != before)
		if (hg_str_eq(t.job, job)) return true;
	return false;
}

static bool scrape_pools(struct pa_ask *a, struct json_out *j)
{
	struct scrape_status t;
	struct hg_str last = {0};
	size_t at = 0;
	json_out_object(j);
	json_out_key(j, "scrapePools");
	json_out_array(j);
	while (a->p->o.scrape && scrape_status_next(a->p->o.scrape, &at, &t)) {
		if (last.n && hg_str_eq(last, t.job)) continue;
		last = t.job;
		if (!job_was_told(a->p->o.scrape, t.job, at)) json_out_str(j, t.job);
	}
	json_out_end(j);
	json_out_end(j);
	return true;
}

/* ---- rules ---- */

static bool yes(struct hg_str s)
{
	return hg_str_eq(s, HG_STR("true")) || hg_str_eq(s, HG_STR("1")) ||
	       hg_str_eq(s, HG_STR("t")) || hg_str_eq(s, HG_STR("TRUE"));
}

static bool rules(struct pa_ask *a, struct json_out *j)
{
	struct hg_str type = pa_form_get(a->form, "type");
	bool alert = hg_str_eq_nocase(type, HG_STR("alert"));
	bool record = hg_str_eq_nocase(type, HG_STR("record"));
	struct promapi_rules_ask ask = {.alerting = alert || !type.n,
	        .recording = record || !type.n,
	        .without_alerts = yes(pa_form_get(a->form, "exclude_alerts"))};
	if (type.n && !alert && !record)
		return pa_fail_param(&a->error, "type", "not supported value \"%.*s\"",
		        (int)HG_MIN(type.n, (size_t)100), type.p);
	if (!pa_form_all(a->form, "rule_name[]", &ask.names, &ask.name_n, &a->error) ||
	        !pa_form_all(a->form, "rule_group[]", &ask.groups, &ask.group_n, &a->error) ||
	        !pa_form_all(a->form, "file[]", &ask.files, &ask.file_n, &a->error))
		return false;
	if (a->p->rules.rules)
		a->p->rules.rules(a->p->rules.arg, &ask, j);
	else
		json_out_raw(j, HG_STR("{\"groups\":[]}"));
	return true;
}

static bool alerts(struct pa_ask *a, struct json_out *j)
{
	if (a->p->rules.alerts)
		a->p->rules.alerts(a->p->rules.arg, j);
	else
		json_out_raw(j, HG_STR("{\"alerts\":[]}"));
	return true;
}

/* ---- the state of all this ---- */

static bool config(struct pa_ask *a, struct json_out *j)
{
	json_out_object(j);
	text(j, "yaml", hg_buf_view(&a->p->config));
	json_out_end(j);
	return true;
}

static void number(struct json_out *j, const char *key, uint64_t v)
{
	char to[24];
	struct hg_out o = hg_out_over(to, sizeof to);
	hg_out_u64(&o, v);
	text(j, key, (struct hg_str){to, o.n});
}

/* In Prometheus' words, what it has as flags. */
static bool flags(struct pa_ask *a, struct json_out *j)
{
	const struct promapi_options *o = &a->p->o;
	json_out_object(j);
	text(j, "query.lookback-delta", HG_STR("5m"));
	number(j, "query.max-concurrency", o->threads);
	number(j, "query.max-samples", 50000000);
	span(j, "query.timeout", o->deadline_ms);
	text(j, "storage.tsdb.path", hg_str(o->dir ? o->dir : ""));
	span(j, "storage.tsdb.retention.time", o->keep_ms);
	text(j, "web.enable-admin-api", HG_STR("false"));
	text(j, "web.enable-lifecycle", HG_STR("false"));
	json_out_end(j);
	return true;
}

static bool runtime(struct pa_ask *a, struct json_out *j)
{
	struct tsdb_stats st;
	tsdb_stats(a->p->o.db, &st);
	json_out_object(j);
	when(j, "startTime", a->p->started_ms);
	text(j, "CWD", hg_str(a->p->o.dir ? a->p->o.dir : ""));
	when(j, "serverTime", a->p->o.now_ms());
	json_out_key(j, "reloadConfigSuccess");
	json_out_bool(j, true);
	when(j, "lastConfigTime", a->p->started_ms);
	json_out_key(j, "corruptionCount");
	json_out_u64(j, st.damaged);
	json_out_key(j, "goroutineCount");
	json_out_u64(j, a->p->o.threads + 1);
	json_out_key(j, "GOMAXPROCS");
	json_out_u64(j, a->p->o.threads);
	span(j, "storageRetention", a->p->o.keep_ms);
	json_out_end(j);
	return true;
}

static bool build(struct pa_ask *a, struct json_out *j)
{
	char revision[64];
	struct hg_out o = hg_out_over(revision, sizeof revision);
	hg_out_fmt(&o, "headgate-%s", a->p->o.version ? a->p->o.version : "");
	json_out_object(j);
	text(j, "version", HG_STR(SPOKEN));
	text(j, "revision", (struct hg_str){revision, o.n});
	text(j, "branch", HG_STR("headgate"));
	text(j, "buildUser", HG_STR(""));
	text(j, "buildDate", HG_STR(""));
	text(j, "goVersion", HG_STR(""));
	json_out_end(j);
	return true;
}

static bool fixed(struct json_out *j, const char *json)
{
	json_out_raw(j, hg_str(json));
	return true;
}

static bool replay(struct pa_ask *a, struct json_out *j)
{
	(void)a;
	return fixed(j, "{\"min\":0,\"max\":0,\"current\":0,\"state\":\"done\"}");
}

static bool empty_list(struct pa_ask *a, struct json_out *j)
{
	(void)a;
	return fixed(j, "[]");
}

/* Alerts go to Headgate's own notifications, /api/v2 at the same address. */
static bool alertmanagers(struct pa_ask *a, struct json_out *j)
{
	(void)a;
	return fixed(j, "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}");
}

static const struct {
	const char *path; /* behind /api/v1/ */
	pa_data_fn data;
	bool post; /* may be asked by POST as well */
} row[] = {
        {"alertmanagers", alertmanagers, false},
        {"alerts", alerts, false},
        {"metadata", pa_metadata, false},
        {"notifications", empty_list, false},
        {"query_exemplars", pa_exemplars, true},
        {"rules", rules, false},
        {"scrape_pools", scrape_pools, false},
        {"status/buildinfo", build, false},
        {"status/config", config, false},
        {"status/flags", flags, false},
        {"status/runtimeinfo", runtime, false},
        {"status/walreplay", replay, false},
        {"targets", targets, false},
        {"targets/metadata", pa_targets_metadata, false},
};

static void answer(struct pa_ask *a, pa_data_fn fn)
{
	struct hg_buf b;
	struct json_out j;
	hg_buf_init(&b, (size_t)64 << 20);
	json_out_init(&j, &b);
	bool ok = fn(a, &j);
	if (ok && !json_out_ok(&j))
		ok = pa_fail(&a->error, PA_INTERNAL, "no memory for the answer");
	if (ok)
		pa_answer_data(a->call, hg_buf_view(&b));
	else
		pa_answer_error(a->call, &a->error);
	hg_buf_free(&b);
}

static void plain(struct pa_ask *a, unsigned status, struct hg_str body)
{
	serve_answer(a->call, status, "text/plain; charset=utf-8", body);
}

/* /-/healthy and the rest of the management API. */
static void management(struct pa_ask *a, struct hg_str path)
{
	bool healthy = hg_str_eq(path, HG_STR("/-/healthy"));
	if (a->get && healthy)
		plain(a, 200, HG_STR("Headgate's metrics are healthy.\n"));
	else if (a->get && hg_str_eq(path, HG_STR("/-/ready")))
		plain(a, 200, HG_STR("Headgate's metrics are ready.\n"));
	else if (hg_str_eq(path, HG_STR("/-/reload")) || hg_str_eq(path, HG_STR("/-/quit")))
		plain(a, 403,
		        HG_STR("This is not done over HTTP here: headgate reload, headgate "
		               "down.\n"));
	else
		plain(a, 404, HG_STR("404 page not found\n"));
}

void pa_status_http(struct promapi *p, struct serve_call *call, const struct serve_request *req,
        struct pa_form *form)
{
	struct hg_str path = req->path, head = HG_STR("/api/v1/");
	struct pa_ask a = {.p = p,
	        .call = call,
	        .form = form,
	        .get = req->method == HTTP1_GET || req->method == HTTP1_HEAD};
	if (hg_str_starts(path, HG_STR("/-/"))) {
		management(&a, path);
		return;
	}
	path = (struct hg_str){path.p + head.n, path.n - head.n};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		if (!hg_str_eq(path, hg_str(row[i].path))) continue;
		if (a.get || (row[i].post && req->method == HTTP1_POST))
			answer(&a, row[i].data);
		else
			pa_refuse_method(call, row[i].post);
		return;
	}
	if (hg_str_starts(path, HG_STR("admin/tsdb/")))
		(void)pa_fail(&a.error, PA_UNAVAILABLE,
		        "admin APIs disabled: what is stored goes by retention alone, and is saved "
		        "with the data folder");
	else
		(void)pa_fail(&a.error, PA_NOT_FOUND, "there is nothing at this path");
	pa_answer_error(call, &a.error);
}

/* ---- what it says of itself ---- */

static void metric(
        struct hg_buf *to, const char *name, const char *type, const char *help, uint64_t v)
{
	hg_buf_fmt(to,
	        "# HELP headgate_query_%s %s\n# TYPE headgate_query_%s %s\nheadgate_query_%s "
	        "%llu\n",
	        name, help, name, type, name, (unsigned long long)v);
}

void promapi_metrics(const struct promapi *p, struct hg_buf *to)
{
	struct promapi_stats st;
	promapi_stats(p, &st);
	metric(to, "requests_total", "counter", "Requests of the API of metrics.", st.requests);
	metric(to, "evaluated_total", "counter", "Those that read the store.", st.queries);
	metric(to, "refused_total", "counter",
	        "Those told 503: too many wait, or no memory is left.", st.refused);
	metric(to, "failed_total", "counter", "Those that are wrong or cannot be evaluated.",
	        st.failed);
	metric(to, "timed_out_total", "counter", "Those that took too long.", st.timed_out);
	metric(to, "canceled_total", "counter", "Those whose client went away.", st.canceled);
	metric(to, "samples_total", "counter", "Samples that they read.", st.samples);
	metric(to, "running", "gauge", "Those that are evaluated now.", st.running);
	metric(to, "waiting", "gauge", "Those that wait for a thread.", st.waiting);
	metric(to, "memory_bytes", "gauge", "What they and their answers hold.", st.memory);
}
