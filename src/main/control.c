#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/acme/acme.h"
#include "control/cert/certs.h"
#include "control/cert/clients.h"
#include "control/cert/identities.h"
#include "control/cert/upstreams.h"
#include "control/fleet/fleet.h"
#include "control/incident/incident.h"
#include "control/alert/alert.h"
#include "control/notify/notify.h"
#include "control/rollout/rollout.h"
#include "control/slo/slo.h"
#include "face/api/api.h"
#include "fetch/fetch.h"
#include "main/main_priv.h"
#include "meter/meter.h"
#include "os/clock.h"
#include "spec/spec.h"

#define SPEC_ARENA_MAX ((size_t)64 << 20)
#define PLAN_MAX       ((size_t)16 << 20)
#define DRAIN_MS       2000

/* One configuration in memory: the arena holds everything the spec points to. */
struct running {
	struct hg_arena mem;
	struct spec *spec;
};

struct control {
	struct loop *loop;
	struct hg_log log;
	struct store *store;
	struct fleet *fleet;
	struct fetch *fetch;
	struct rollouts *rollouts;
	struct notify *notify;
	struct alert_watch *alert_watch;
	struct certs *certs;
	struct clients *clients;
	struct upstreams *upstreams;
	struct identities *identities;
	struct acme *acme;
	struct slo *slo;
	struct incidents *incidents;
	struct api *api;
	struct telemetry telemetry;
	struct fleet_watch watch;
	struct running *running; /* NULL until the first configuration is applied */
	const struct warden_child *child;
	int status;
};

static void running_free(struct running *r)
{
	if (!r) return;
	hg_arena_fini(&r->mem);
	free(r);
}

/* Check, first half: text → spec, all problems in `err` (the first) and on the log (all). */
static enum hg_rc running_load(struct control *c, const struct api_config *config,
        struct running **ret_running, struct hg_err *err)
{
	struct spec_report *report = calloc(1, sizeof *report);
	struct running *r = calloc(1, sizeof *r);
	enum hg_rc rc = HG_E_NOMEM;
	if (!report || !r) goto out;
	hg_arena_init(&r->mem, "configuration", SPEC_ARENA_MAX);
	struct spec_source from = {.text = config->text,
	        .file = config->file.p,
	        .environment = config->environment.n ? config->environment.p : NULL,
	        .dir = config->dir.p};
	rc = spec_load(&from, &r->mem, report, &r->spec);
	if (rc == HG_OK) rc = spec_check(r->spec, report);
	if (rc == HG_OK && spec_unavailable(r->spec, err, 1) > 0) {
		rc = err->rc;
		goto out;
	}
	for (uint32_t i = 0; i < report->error_count && i < SPEC_PROBLEMS_MAX; i++) {
		hg_log(&c->log, HG_ERROR, "config.problem",
		        HG_S("message", report->errors[i].message),
		        HG_I("line", report->errors[i].line));
	}
	if (rc < 0) *err = report->errors[0];
	if (rc == HG_OK) {
		*ret_running = r;
		r = NULL;
	}
out:
	if (rc == HG_E_NOMEM)
		hg_err_set(err, rc, "could not load the configuration: out of memory");
	running_free(r);
	free(report);
	return rc;
}

static void change_line(const struct spec_change *ch, struct hg_buf *to)
{
	static const char *const note[] = {
	        [SPEC_APPLY_LIVE] = "",
	        [SPEC_APPLY_RELEASE] = "  (new release)",
	        [SPEC_APPLY_RESTART] = "  (takes effect after down and up)",
	};
	const char *sign = ch->was.n == 0 ? "+" : ch->now.n == 0 ? "-" : "~";
	hg_buf_fmt(to, "%s %.*s: ", sign, HG_STR_ARG(ch->path));
	hg_buf_str(to, ch->was.n ? ch->was : ch->now);
	if (ch->was.n && ch->now.n) hg_buf_fmt(to, " \xe2\x86\x92 %.*s", HG_STR_ARG(ch->now));
	hg_buf_fmt(to, "%s\n", note[ch->apply]);
}

/* What would change, one line each; nothing before the first configuration. */
static enum hg_rc describe(
        const struct control *c, struct running *next, struct hg_buf *to, struct hg_err *err)
{
	struct spec_change *changes;
	uint32_t n;
	if (!to || !c->running) return HG_OK;
	enum hg_rc rc = spec_diff(c->running->spec, next->spec, &next->mem, &changes, &n);
	if (rc < 0)
		return hg_err_set(err, rc, "could not compare the configurations: out of memory");
	for (uint32_t i = 0; i < n; i++)
		change_line(&changes[i], to);
	return HG_OK;
}

/* Everything with keys and certificates of one configuration. */
struct secrets {
	struct certs_plan *certs;
	struct clients_plan *clients;
	struct upstreams_plan *upstreams;
	struct identities_plan *identities;
	struct acme_conf *acme;
};

static enum hg_rc secrets_find(struct control *c, const struct api_config *config,
        const struct spec *s, struct secrets *to, struct hg_err *err)
{
	const char *dir = config->dir.p;
	uint32_t n = config->cert_count;
	struct certs_given *given = calloc(config->cert_count + 1, sizeof *given);
	if (!given) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	for (uint32_t i = 0; i < config->cert_count; i++) {
		const struct api_cert *from = &config->certs[i];
		given[i] = (struct certs_given){from->cert, from->chain, from->key};
	}
	enum hg_rc rc = certs_check(c->certs, s, dir, given, n, &to->certs, err);
	if (rc == HG_OK) rc = clients_check(c->clients, s, dir, given, n, &to->clients, err);
	if (rc == HG_OK) rc = upstreams_check(c->upstreams, s, dir, given, n, &to->upstreams, err);
	if (rc == HG_OK)
		rc = identities_check(c->identities, s, dir, given, n, &to->identities, err);
	if (rc == HG_OK) rc = acme_check(c->acme, s, dir, to->certs, given, n, &to->acme, err);
	free(given);
	return rc;
}

/* Certificates first: more than the configuration names do no harm, fewer would. */
static enum hg_rc secrets_keep(struct control *c, struct secrets *s, struct hg_err *err)
{
	enum hg_rc rc = certs_keep(c->certs, s->certs, err);
	if (rc == HG_OK) rc = clients_keep(c->clients, s->clients, err);
	if (rc == HG_OK) rc = upstreams_keep(c->upstreams, s->upstreams, err);
	if (rc == HG_OK) rc = identities_keep(c->identities, s->identities, err);
	return rc;
}

static void secrets_apply(struct control *c, struct secrets *s)
{
	acme_apply(c->acme, s->acme);
	upstreams_apply(c->upstreams, s->upstreams);
	identities_apply(c->identities, s->identities);
	certs_apply(c->certs, s->certs);
	clients_apply(c->clients, s->clients);
	*s = (struct secrets){0};
}

static void secrets_free(struct secrets *s)
{
	certs_plan_free(s->certs);
	clients_plan_free(s->clients);
	upstreams_plan_free(s->upstreams);
	identities_plan_free(s->identities);
	acme_conf_free(s->acme);
}

static uint32_t authorities(void *arg, struct fleet_authority to[SNAP_CAS_MAX])
{
	const struct control *c = arg;
	uint32_t n = c->clients ? clients_count(c->clients) : 0;
	for (uint32_t i = 0; i < n; i++) {
		struct clients_view v = clients_at(c->clients, i);
		to[i] = (struct fleet_authority){v.name, v.certs, v.crl};
	}
	return n;
}

/* What travels with the certificates has changed. */
static void on_companions(void *arg)
{
	struct control *c = arg;
	certs_refresh(c->certs);
}

static uint32_t app_id(void *arg, struct hg_str app)
{
	const struct control *c = arg;
	return c->fleet ? fleet_app_id(c->fleet, app) : 0;
}

static struct tls_remote *remote_of(void *arg, struct hg_str app)
{
	const struct control *c = arg;
	return upstreams_remote(c->upstreams, app);
}

static void on_clients(void *arg)
{
	struct control *c = arg;
	fleet_authorities_changed(c->fleet);
}

static void on_rule_note(void *arg, const struct hg_err *e)
{
	struct control *c = arg;
	hg_log(&c->log, HG_WARN, "rule.note", HG_S("file", e->file), HG_I("line", e->line),
	        HG_S("message", e->message), HG_S("hint", e->hint));
}

/*
 * The files of rules belong to the configuration, but may be edited by themselves. A control that
 * is started again must not fail by that: then *ret_rules is NULL, and observe goes on with those
 * that it has.
 */
static enum hg_rc rules_check(struct control *c, const struct spec *s, const char *dir,
        struct alert_rules **ret_rules, struct hg_err *err)
{
	enum hg_rc rc = alert_rules_read(s, dir, on_rule_note, c, ret_rules, err);
	if (rc == HG_OK || c->running || c->child->incarnation <= 1) return rc;
	hg_log(&c->log, HG_ERROR, "alert.rules_not_read", HG_S("file", err->file),
	        HG_I("line", err->line), HG_S("error", err->message));
	*ret_rules = NULL;
	return HG_OK;
}

/*
 * Check all, then apply all or nothing. The text is made durable before it is applied: a control
 * that is killed in between starts with it, which is what the caller asked for.
 */
static enum hg_rc reload(
        void *arg, const struct api_config *config, struct hg_buf *ret_diff, struct hg_err *err)
{
	struct control *c = arg;
	struct running *next = NULL;
	struct fleet_plan *plan = NULL;
	struct rollouts_plan *ways = NULL;
	struct notify_plan *alerts = NULL;
	struct slo_plan *goals = NULL;
	struct alert_rules *rules = NULL;
	struct secrets secrets = {0};
	enum hg_rc rc = running_load(c, config, &next, err);
	if (rc < 0) goto out;
	HG_ASSERT(next);
	rc = fleet_check(c->fleet, next->spec, config->dir.p, &plan, err);
	if (rc == HG_OK) rc = rollouts_check(c->rollouts, next->spec, &ways, err);
	if (rc == HG_OK) rc = notify_check(next->spec, &alerts, err);
	if (rc == HG_OK) rc = slo_check(c->slo, next->spec, &goals, err);
	if (rc == HG_OK) rc = rules_check(c, next->spec, config->dir.p, &rules, err);
	if (rc == HG_OK) rc = secrets_find(c, config, next->spec, &secrets, err);
	if (rc == HG_OK) rc = describe(c, next, ret_diff, err);
	if (rc < 0 || config->dry_run) goto out;
	struct store_config keep = {.text = config->text,
	        .file = config->file,
	        .dir = config->dir,
	        .environment = config->environment,
	        .applied_ms = clock_wall_ms()};
	rc = secrets_keep(c, &secrets, err);
	if (rc == HG_OK) rc = store_config_set(c->store, &keep, err);
	if (rc < 0) goto out;
	secrets_apply(c, &secrets);
	/* The ways first: a release that the fleet makes finds its strategy. */
	rollouts_apply(c->rollouts, ways);
	ways = NULL;
	fleet_apply(c->fleet, plan);
	plan = NULL;
	notify_apply(c->notify, alerts);
	alerts = NULL;
	slo_apply(c->slo, goals);
	goals = NULL;
	if (rules) telemetry_apply(&c->telemetry, next->spec, rules);
	running_free(c->running);
	c->running = next;
	next = NULL;
	hg_log(&c->log, HG_INFO, "config.applied", HG_V("file", config->file));
out:
	fleet_plan_free(plan);
	rollouts_plan_free(ways);
	notify_plan_free(alerts);
	slo_plan_free(goals);
	alert_rules_free(rules);
	secrets_free(&secrets);
	running_free(next);
	return rc;
}

static enum hg_rc config_text(void *arg, struct hg_buf *to, struct hg_err *err)
{
	struct control *c = arg;
	if (!c->running) return hg_err_set(err, HG_E_AGAIN, "no configuration was applied yet");
	spec_show(c->running->spec, to);
	return HG_OK;
}

/* "http://localhost:8080": what a person types; all addresses are reached as localhost. */
static void url_line(
        const struct spec_address *a, const char *scheme, uint16_t usual, struct hg_buf *to)
{
	bool any = a->host.n == 0 || hg_str_eq(a->host, HG_STR("0.0.0.0")) ||
	           hg_str_eq(a->host, HG_STR("::"));
	struct hg_str host = any ? HG_STR("localhost") : a->host;
	bool six = hg_str_find(host, ':') < host.n && host.p[0] != '[';
	hg_buf_fmt(to, six ? "%s://[%.*s]" : "%s://%.*s", scheme, HG_STR_ARG(host));
	if (a->port != usual) hg_buf_fmt(to, ":%u", a->port);
	hg_buf_cstr(to, "\n");
}

static void edge_urls(void *arg, struct hg_buf *to)
{
	struct control *c = arg;
	if (!c->running) return;
	const struct spec_edge *e = &c->running->spec->edge;
	if (e->listen.https.set) url_line(&e->listen.https, "https", 443, to);
	url_line(&e->listen.http, "http", 80, to);
}

static bool ready(void *arg, const char **ret_why)
{
	struct control *c = arg;
	*ret_why = c->running ? "" : "no configuration was applied yet";
	return c->running != NULL;
}

static void on_event(void *arg, const struct store_event *e)
{
	struct control *c = arg;
	(void)e;
	if (c->api) api_events_changed(c->api);
}

static void on_rollout_event(void *arg)
{
	struct control *c = arg;
	if (c->api) api_events_changed(c->api);
}

/* ---- what burns a budget or was taken back opens an incident ---- */

static enum hg_rc may_deploy(void *arg, struct hg_str app, struct hg_err *err)
{
	struct control *c = arg;
	return c->slo ? slo_may_deploy(c->slo, app, err) : HG_OK;
}

static void incident_say(struct control *c, uint64_t id, const struct incident_trigger *t)
{
	hg_log(&c->log, HG_WARN, "incident.triggered", HG_I("incident", id), HG_S("app", t->app),
	        HG_S("title", t->title), HG_I("priority", t->priority));
}

/* Burning budgets and bad releases of an app are taken for one cause: the second of them within
 * the same night should not wake a second person. */
static enum hg_rc incident_of(struct control *c, const char *app, const char *title,
        const char *runbook, uint32_t priority, struct hg_err *err)
{
	char cause[128];
	uint64_t id = 0;
	(void)snprintf(cause, sizeof cause, "app:%s", app);
	struct incident_trigger t = {.app = app,
	        .cause = cause,
	        .title = title,
	        .runbook = runbook,
	        .priority = priority};
	enum hg_rc rc = incidents_trigger(c->incidents, &t, &id, err);
	if (rc == HG_OK) incident_say(c, id, &t);
	return rc;
}

/* An alert of a rule. */
static enum hg_rc on_firing(void *arg, const struct notify_input *in, struct hg_err *err)
{
	struct control *c = arg;
	struct incident_alert a;
	uint64_t id = 0;
	if (!incident_of_alert(in->labels, in->annotations, &a)) return HG_OK;
	enum hg_rc rc = incidents_alert(c->incidents, &a.trigger, in->starts_ms, &id, err);
	if (rc == HG_OK && id) incident_say(c, id, &a.trigger);
	return rc;
}

static enum hg_rc on_rolled_back(void *arg, const struct rollouts_incident *i, struct hg_err *err)
{
	struct control *c = arg;
	/* The former release serves; when it does not come back, users may be without. */
	return incident_of(c, i->app, i->why, "", i->stuck ? INCIDENT_P1 : INCIDENT_P3, err);
}

static enum hg_rc on_burn(void *arg, const struct slo_alert *a, struct hg_err *err)
{
	struct control *c = arg;
	/* A ticket is no incident, and what is over is in the journal. */
	if (!a->firing || a->priority > INCIDENT_P2) return HG_OK;
	return incident_of(c, a->app, a->summary, a->runbook, a->priority, err);
}

/* An alert of our own goes the way of all others. Pairs are in order of their names; those without
 * a value are left out. `ends_ms` 0: it fires. */
static void tell(struct control *c, const struct label labels[static 4],
        const struct label notes[static 2], uint64_t starts_ms, uint64_t ends_ms)
{
	struct label label[4], note[2];
	struct hg_err err = {0};
	uint32_t n = 0, m = 0;
	for (int i = 0; i < 4; i++)
		if (labels[i].value.n) label[n++] = labels[i];
	for (int i = 0; i < 2; i++)
		if (notes[i].value.n) note[m++] = notes[i];
	struct notify_input in = {.labels = {label, n},
	        .annotations = {note, m},
	        .starts_ms = starts_ms,
	        .ends_ms = ends_ms};
	if (c->notify && notify_alert(c->notify, &in, 1, &err) < 0)
		hg_log(&c->log, HG_ERROR, "alert.not_taken", HG_S("error", err.message));
}

static void on_alert(void *arg, const struct slo_alert *a)
{
	const struct label labels[4] = {{HG_STR("alertname"), HG_STR("ErrorBudgetBurn")},
	        {HG_STR("app"), hg_str(a->app)}, {HG_STR("severity"), hg_str(a->severity)},
	        {HG_STR("slo"), hg_str(a->slo)}};
	const struct label notes[2] = {{HG_STR("runbook_url"), hg_str(a->runbook)},
	        {HG_STR("summary"), hg_str(a->summary)}};
	tell(arg, labels, notes, a->since_ms, a->firing ? 0 : clock_wall_ms());
}

static void on_late(void *arg, const struct incident_late_notice *l)
{
	char id[24];
	(void)snprintf(id, sizeof id, "%llu", (unsigned long long)l->id);
	const struct label labels[4] = {{HG_STR("alertname"), HG_STR("IncidentUnacknowledged")},
	        {HG_STR("app"), hg_str(l->app)}, {HG_STR("incident"), hg_str(id)},
	        {HG_STR("severity"),
	                l->priority <= INCIDENT_P2 ? HG_STR("critical") : HG_STR("warning")}};
	const struct label notes[2] = {
	        {HG_STR("runbook_url"), hg_str(l->runbook)}, {HG_STR("summary"), hg_str(l->title)}};
	tell(arg, labels, notes, clock_wall_ms(), 0);
}

static void on_release(void *arg, const char *app, uint32_t release)
{
	struct control *c = arg;
	if (c->rollouts) rollouts_on_release(c->rollouts, app, release);
}

static void on_api_drained(void *arg)
{
	struct control *c = arg;
	loop_stop(c->loop);
}

static void on_stopped(void *arg)
{
	struct control *c = arg;
	hg_log(&c->log, HG_INFO, "control.stopping");
	api_drain(c->api, DRAIN_MS, on_api_drained, c);
}

static void on_warden_lost(void *arg)
{
	struct control *c = arg;
	/* Traffic goes on and so does the API, which says what is wrong; nothing heals. */
	hg_log(&c->log, HG_ERROR, "warden.lost",
	        HG_S("hint", "headgate down, then headgate up -f FILE"));
}

/* The document that `up` handed over; whoever reads it, the descriptor stays the warden's. */
static enum hg_rc plan_read(
        int fd, struct hg_arena *mem, struct api_config *ret_config, struct hg_err *err)
{
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 || (size_t)st.st_size > PLAN_MAX) {
		return hg_err_set(
		        err, HG_E_IO, "could not read the configuration handed over by \"up\"");
	}
	size_t n = (size_t)st.st_size;
	char *p = hg_arena_take(mem, n + 1);
	if (!p || pread(fd, p, n, 0) != (ssize_t)n) {
		return hg_err_set(
		        err, HG_E_IO, "could not read the configuration handed over by \"up\"");
	}
	return api_config_parse(mem, (struct hg_str){p, n}, ret_config, err);
}

/* First start: what `up` was given. After a crash: what was applied last, unless there is none. */
static enum hg_rc first_config(struct control *c, struct hg_err *err)
{
	struct hg_arena mem;
	struct hg_buf text;
	struct store_config kept;
	struct api_config config = {0};
	enum hg_rc rc = HG_E_NOT_FOUND;
	hg_arena_init(&mem, "plan", 2 * PLAN_MAX);
	hg_buf_init(&text, STORE_CONFIG_MAX + 65536);
	if (c->child->incarnation > 1) {
		rc = store_config_get(c->store, &text, &kept, err);
		config = (struct api_config){.text = kept.text,
		        .file = kept.file,
		        .dir = kept.dir,
		        .environment = kept.environment};
	}
	if (rc < 0) rc = plan_read(c->child->plan_fd, &mem, &config, err);
	if (rc == HG_OK) rc = reload(c, &config, NULL, err);
	hg_buf_free(&text);
	hg_arena_fini(&mem);
	return rc;
}

static enum hg_rc hook_run(
        void *arg, const struct acme_hook *h, acme_hook_fn done, void *done_arg, struct hg_err *err)
{
	struct control *c = arg;
	struct fleet_hook hook = {.name = h->name,
	        .dir = h->dir,
	        .command = h->command,
	        .env = h->env,
	        .env_count = h->env_count,
	        .timeout_ms = h->timeout_ms};
	return fleet_hook_run(c->fleet, &hook, done, done_arg, err);
}

/* Those who keep certificates and keys. */
static enum hg_rc secrets_new(struct control *c, struct hg_err *err)
{
	const struct warden_child *child = c->child;
	struct upstreams_options upstreams = {.loop = c->loop,
	        .log = &c->log,
	        .data_dir = child->data_dir,
	        .wall_ms = clock_wall_ms,
	        .on_change = on_companions,
	        .arg = c};
	enum hg_rc rc = upstreams_new(&upstreams, &c->upstreams, err);
	if (rc < 0) return rc;
	struct identities_options identities = {.loop = c->loop,
	        .log = &c->log,
	        .fetch = c->fetch,
	        .meter = meter_open(child->meter, child->meter_size),
	        .data_dir = child->data_dir,
	        .wall_ms = clock_wall_ms,
	        .app_id = app_id,
	        .on_change = on_companions,
	        .arg = c};
	rc = identities_new(&identities, &c->identities, err);
	if (rc < 0) return rc;
	struct certs_options certs = {.loop = c->loop,
	        .log = &c->log,
	        .store = c->store,
	        .child = child,
	        .upstreams = c->upstreams,
	        .identities = c->identities,
	        .meter = meter_open(child->meter, child->meter_size),
	        .wall_ms = clock_wall_ms};
	rc = certs_new(&certs, &c->certs, err);
	if (rc < 0) return rc;
	struct clients_options clients = {.loop = c->loop,
	        .log = &c->log,
	        .data_dir = child->data_dir,
	        .wall_ms = clock_wall_ms,
	        .on_change = on_clients,
	        .arg = c};
	return clients_new(&clients, &c->clients, err);
}

/* Those who look after objectives and what comes of missing them. */
static enum hg_rc goals_new(struct control *c, struct hg_err *err)
{
	const struct warden_child *child = c->child;
	struct snap_table *table = snap_table_open(child->table, child->table_size);
	HG_ASSERT(table); /* rollouts_new has seen it */
	struct slo_options slo = {.loop = c->loop,
	        .store = c->store,
	        .log = &c->log,
	        .fleet = c->fleet,
	        .meter = meter_open(child->meter, child->meter_size),
	        .memory_id = atomic_load_explicit(&table->id, memory_order_relaxed),
	        .wall_ms = clock_wall_ms,
	        .on_news = on_burn,
	        .on_alert = on_alert,
	        .on_event = on_rollout_event,
	        .arg = c};
	struct incidents_options incidents = {.loop = c->loop,
	        .store = c->store,
	        .log = &c->log,
	        .wall_ms = clock_wall_ms,
	        .on_late = on_late,
	        .on_event = on_rollout_event,
	        .arg = c};
	enum hg_rc rc = incidents_new(&incidents, &c->incidents, err);
	return rc < 0 ? rc : slo_new(&slo, &c->slo, err);
}

/* Who tells people, and who asks observe what to tell. */
static enum hg_rc alerts_new(struct control *c, uint64_t seed, struct hg_err *err)
{
	struct notify_options alerts = {.loop = c->loop,
	        .log = &c->log,
	        .store = c->store,
	        .data_dir = c->child->data_dir,
	        .seed = seed,
	        .wall_ms = clock_wall_ms,
	        .mono_ms = clock_mono_ms,
	        .on_event = on_rollout_event,
	        .arg = c};
	enum hg_rc rc = notify_new(&alerts, &c->notify, err);
	if (rc < 0) return rc;
	struct alert_watch_options watch = {.loop = c->loop,
	        .log = &c->log,
	        .notify = c->notify,
	        .data_dir = c->child->data_dir,
	        .wall_ms = clock_wall_ms,
	        .on_firing = on_firing,
	        .arg = c};
	return alert_watch_new(&watch, &c->alert_watch, err);
}

static enum hg_rc start(struct control *c, struct hg_err *err)
{
	const struct warden_child *child = c->child;
	struct fleet_options options = {
	        .store = NULL,
	        .log = &c->log,
	        .child = child,
	        .seed = clock_mono_ns() ^ ((uint64_t)getpid() << 32),
	        .on_stopped = on_stopped,
	        .on_warden_lost = on_warden_lost,
	        .on_release = on_release,
	        .authorities = authorities,
	        .remote = remote_of,
	        .arg = c,
	};
	struct rollouts_options ways = {.log = &c->log,
	        .child = child,
	        .on_event = on_rollout_event,
	        .may_deploy = may_deploy,
	        .on_incident = on_rolled_back,
	        .arg = c};
	enum hg_rc rc = loop_new(&c->loop);
	if (rc < 0) return hg_err_set(err, rc, "could not make an event loop");
	rc = store_open(child->data_dir, &c->store, err);
	if (rc < 0) return rc;
	options.loop = c->loop;
	options.store = c->store;
	rc = fleet_new(&options, &c->fleet, err);
	if (rc < 0) return rc;
	fleet_watch_start(c->fleet, &c->watch, on_event, c);
	telemetry_init(&c->telemetry, c->loop, &c->log, child, c->fleet);
	ways.loop = c->loop;
	ways.store = c->store;
	ways.fleet = c->fleet;
	rc = fetch_new(c->loop, &c->fetch, err);
	if (rc < 0) return rc;
	ways.fetch = c->fetch;
	rc = rollouts_new(&ways, &c->rollouts, err);
	if (rc < 0) return rc;
	rc = goals_new(c, err);
	if (rc < 0) return rc;
	rc = alerts_new(c, options.seed ^ 0xa1e7, err);
	if (rc < 0) return rc;
	rc = secrets_new(c, err);
	if (rc < 0) return rc;
	struct acme_options acme = {.loop = c->loop,
	        .log = &c->log,
	        .store = c->store,
	        .fetch = c->fetch,
	        .certs = c->certs,
	        .data_dir = child->data_dir,
	        .seed = options.seed ^ 0xac3e,
	        .wall_ms = clock_wall_ms,
	        .on_event = on_rollout_event,
	        .hook_run = hook_run,
	        .arg = c};
	rc = acme_new(&acme, &c->acme, err);
	if (rc < 0) return rc;
	rc = first_config(c, err);
	if (rc < 0) return rc;
	struct stat owner;
	struct api_deps deps = {
	        .loop = c->loop,
	        .log = &c->log,
	        .fleet = c->fleet,
	        .rollouts = c->rollouts,
	        .certs = c->certs,
	        .clients = c->clients,
	        .identities = c->identities,
	        .acme = c->acme,
	        .notify = c->notify,
	        .slo = c->slo,
	        .incidents = c->incidents,
	        .store = c->store,
	        .meter = meter_open(child->meter, child->meter_size),
	        .board = c->telemetry.board,
	        .data_dir = child->data_dir,
	        .control_fd = child->control_fd,
	        .admin_fd = child->admin_fd,
	        .owner_uid = stat(child->data_dir, &owner) == 0 ? owner.st_uid : geteuid(),
	        .reload = reload,
	        .config_text = config_text,
	        .edge_urls = edge_urls,
	        .ready = ready,
	        .arg = c,
	};
	rc = api_new(&deps, &c->api, err);
	if (rc == HG_OK) telemetry_start(&c->telemetry, c->api);
	return rc;
}

/* On the log, and to the warden: until control runs, nobody could ask for its log. */
static int failed(struct control *c, enum hg_rc rc, const struct hg_err *err)
{
	const struct hg_rc_info *info = hg_rc_info(rc);
	const char *why = err->message[0] ? err->message : info->summary;
	struct wd_msg m = {.magic = WD_MAGIC, .type = WD_FAILED, .error = rc};
	hg_log(&c->log, HG_ERROR, "control.failed", HG_S("code", info->code), HG_S("message", why),
	        HG_S("detail", err->detail), HG_S("hint", err->hint));
	struct hg_out text = hg_out_over(m.dir, sizeof m.dir - 1);
	hg_out_fmt(&text, "%.*s", (int)sizeof m.dir - 2, why);
	if (err->hint[0]) hg_out_fmt(&text, "; %s", err->hint); /* left out when it does not fit */
	if (sock_send(c->child->warden_fd, &m, sizeof m, NULL, 0) < 0) c->log.dropped++;
	return info->exit_status;
}

int control_main(const struct warden_child *child)
{
	struct control c = {
	        .child = child,
	        .log = {.fd = STDERR_FILENO,
	                .least = HG_INFO,
	                .who = "control",
	                .wall_ms = clock_wall_ms},
	};
	struct hg_err err = {0};
	enum hg_rc rc = start(&c, &err);
	if (rc == HG_OK) rc = loop_run(c.loop);
	if (rc < 0) c.status = failed(&c, rc, &err);
	telemetry_fini(&c.telemetry);
	api_free(c.api);
	acme_free(c.acme);
	certs_free(c.certs);
	slo_free(c.slo);
	incidents_free(c.incidents);
	alert_watch_free(c.alert_watch);
	notify_free(c.notify); /* the two above may have something to say until then */
	rollouts_free(c.rollouts);
	identities_free(c.identities);
	fetch_free(c.fetch);
	fleet_free(c.fleet);
	clients_free(c.clients);
	upstreams_free(c.upstreams);
	store_close(c.store);
	running_free(c.running);
	loop_free(c.loop);
	return c.status;
}
