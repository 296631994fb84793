/* The meter: rates over the last seconds for people, counters in the text format for Prometheus. */
#include "control/acme/acme.h"
#include "control/cert/certs.h"
#include "control/cert/clients.h"
#include "control/cert/identities.h"
#include "control/incident/incident.h"
#include "control/slo/slo.h"
#include "api_priv.h"
#include "meter/board.h"
#include "meter/series.h"
#include "os/clock.h"
#include "wire/json.h"

#include <math.h>
#include <stdlib.h>

static uint64_t grown(uint64_t from, uint64_t to)
{
	return to >= from ? to - from : to; /* a lane was handed out again */
}

struct api_now api_rate_between(const struct api_point *from, const struct api_point *to)
{
	uint64_t bucket[METER_BUCKETS];
	uint64_t total = grown(from->total, to->total);
	double seconds = (double)(to->at_ms - from->at_ms) / 1e3;
	for (size_t i = 0; i < METER_BUCKETS; i++)
		bucket[i] = grown(from->bucket[i], to->bucket[i]);
	return (struct api_now){
	        .rate = seconds > 0 ? (double)total / seconds : 0,
	        .error_ratio = total ? (double)grown(from->errors, to->errors) / (double)total : -1,
	        .p50_s = meter_quantile(bucket, 0.5),
	        .p95_s = meter_quantile(bucket, 0.95),
	};
}

static struct api_rate *rate_open(struct api *a, const char *app)
{
	for (uint32_t i = 0; i < a->rate_count; i++)
		if (!strcmp(a->rates[i].app, app)) return &a->rates[i];
	if (a->rate_count >= 1024) return NULL;
	struct api_rate *more = realloc(a->rates, (a->rate_count + 1) * sizeof *more);
	if (!more) return NULL;
	a->rates = more;
	struct api_rate *r = &more[a->rate_count];
	*r = (struct api_rate){0};
	if (!hg_str_copy(hg_str(app), r->app, sizeof r->app)) return NULL;
	a->rate_count++;
	return r;
}

/* The point being filled in this tick; the ring is moved on once per tick and app. */
static struct api_point *point_now(struct api_rate *r, uint64_t now_ms)
{
	struct api_point *p = &r->point[r->next];
	if (p->at_ms == now_ms && r->n) return p;
	if (r->n) r->next = (r->next + 1) % API_POINTS;
	if (r->n < API_POINTS) r->n++;
	p = &r->point[r->next];
	*p = (struct api_point){.at_ms = now_ms};
	return p;
}

void api_point_add(struct api_point *p, const struct meter *m, uint32_t lane)
{
	struct meter_lane_sum sum;
	meter_lane_sum(m, lane, &sum);
	p->total += sum.total;
	p->errors += sum.by_class[5];
	for (size_t b = 0; b < METER_BUCKETS; b++)
		p->bucket[b] += sum.bucket[b];
}

void api_rates_tick(struct api *a)
{
	size_t n = 0;
	uint64_t now = clock_mono_ms();
	if (!a->d.meter || !a->d.fleet) return;
	const struct fleet_lane *lanes = fleet_lanes(a->d.fleet, &n);
	for (size_t i = 0; i < n; i++) {
		struct api_rate *r = rate_open(a, lanes[i].app);
		if (r) api_point_add(point_now(r, now), a->d.meter, lanes[i].lane);
	}
}

bool api_rate_now(const struct api *a, const char *app, struct api_now *ret_now)
{
	for (uint32_t i = 0; i < a->rate_count; i++) {
		const struct api_rate *r = &a->rates[i];
		if (strcmp(r->app, app) != 0) continue;
		if (r->n < 2) return false;
		uint32_t oldest = r->n < API_POINTS ? 0 : (r->next + 1) % API_POINTS;
		*ret_now = api_rate_between(&r->point[oldest], &r->point[r->next]);
		return true;
	}
	return false;
}

/* Label values: backslash, quote and line feed are escaped (text format 0.0.4). */
static void label(struct hg_buf *to, const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"') hg_buf_byte(to, '\\');
		if (*value == '\n')
			hg_buf_cstr(to, "\\n");
		else
			hg_buf_byte(to, *value);
	}
}

static void head(struct hg_buf *to, const char *name, const char *type, const char *help)
{
	hg_buf_fmt(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* When certificates end, for alerts; the label is the file, as the configuration names it. */
static void certificates(const struct certs *c, struct hg_buf *to)
{
	static const char name[] = "headgate_certificate_expires_timestamp_seconds";
	if (!c || certs_count(c) == 0) return;
	head(to, name, "gauge", "When the certificate ends, in seconds since 1970.");
	for (uint32_t i = 0; i < certs_count(c); i++) {
		struct certs_view v = certs_at(c, i);
		hg_buf_fmt(to, "%s{file=\"", name);
		label(to, v.file);
		hg_buf_cstr(to, "\",host=\"");
		label(to, v.cert->name_count ? v.cert->names[0] : "");
		hg_buf_fmt(to, "\"} %lld\n", (long long)v.cert->until_s);
	}
}

/* An authority that ends, or whose list does, lets nobody in. */
static void authorities(const struct clients *c, struct hg_buf *to)
{
	static const char name[] = "headgate_client_ca_expires_timestamp_seconds";
	static const char crl[] = "headgate_client_ca_crl_expires_timestamp_seconds";
	if (!c || clients_count(c) == 0) return;
	head(to, name, "gauge", "When a client authority ends, in seconds since 1970.");
	for (uint32_t i = 0; i < clients_count(c); i++) {
		struct clients_view v = clients_at(c, i);
		hg_buf_fmt(to, "%s{ca=\"", name);
		label(to, v.name);
		hg_buf_fmt(to, "\"} %lld\n", (long long)v.cert->until_s);
	}
	head(to, crl, "gauge", "When its revocation list ends, in seconds since 1970.");
	for (uint32_t i = 0; i < clients_count(c); i++) {
		struct clients_view v = clients_at(c, i);
		if (!v.crl_until_s) continue;
		hg_buf_fmt(to, "%s{ca=\"", crl);
		label(to, v.name);
		hg_buf_fmt(to, "\"} %lld\n", (long long)v.crl_until_s);
	}
}

/* What ACME did and does; the label is the first name. */
static void acme(const struct acme *a, struct hg_buf *to)
{
	static const char next[] = "headgate_acme_next_attempt_timestamp_seconds";
	static const char fails[] = "headgate_acme_failures";
	if (!a || acme_count(a) == 0) return;
	struct acme_counts c = acme_counts(a);
	head(to, "headgate_acme_orders_total", "counter", "Orders that were begun.");
	hg_buf_fmt(to, "headgate_acme_orders_total %llu\n", (unsigned long long)c.orders);
	head(to, "headgate_acme_order_failures_total", "counter", "Orders that came to nothing.");
	hg_buf_fmt(to, "headgate_acme_order_failures_total %llu\n", (unsigned long long)c.failures);
	head(to, next, "gauge", "When a certificate is tried for next, in seconds since 1970.");
	for (uint32_t i = 0; i < acme_count(a); i++) {
		struct acme_view v;
		acme_at(a, i, &v);
		hg_buf_fmt(to, "%s{host=\"", next);
		label(to, v.first);
		hg_buf_fmt(to, "\"} %lld\n", (long long)(v.next_ms > 0 ? v.next_ms / 1000 : 0));
	}
	head(to, fails, "gauge", "Failures in a row, none since the last certificate.");
	for (uint32_t i = 0; i < acme_count(a); i++) {
		struct acme_view v;
		acme_at(a, i, &v);
		hg_buf_fmt(to, "%s{host=\"", fails);
		label(to, v.first);
		hg_buf_fmt(to, "\"} %u\n", v.failures);
	}
}

static void replica_line(struct hg_buf *to, const char *name, const struct fleet_app_status *app,
        const struct fleet_replica_status *r, double v)
{
	hg_buf_fmt(to, "%s{app=\"", name);
	label(to, app->name);
	hg_buf_fmt(to, "\",release=\"%u\",replica=\"%u\"} %.17g\n", r->release, r->number, v);
}

static void replicas(const struct fleet_status *s, struct hg_buf *to)
{
	static const struct {
		const char *name, *type, *help;
	} rows[] = {
	        {"headgate_replica_up", "gauge", "1 while the replica takes requests."},
	        {"headgate_replica_cpu_seconds_total", "counter",
	                "CPU time of the replica, with all processes that it started."},
	        {"headgate_replica_memory_bytes", "gauge",
	                "Memory that could not be taken back from the replica."},
	        {"headgate_replica_memory_limit_bytes", "gauge", "Its limit; 0: none."},
	        {"headgate_replica_cpu_limit", "gauge", "Its limit in CPUs; 0: none."},
	        {"headgate_replica_restarts_total", "counter", "Times it was started again."},
	};
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		head(to, rows[k].name, rows[k].type, rows[k].help);
		for (uint32_t i = 0; i < s->app_count; i++) {
			const struct fleet_app_status *app = &s->apps[i];
			for (uint32_t j = 0; j < app->replica_count; j++) {
				const struct fleet_replica_status *r = &app->replicas[j];
				double v[] = {r->state == FLEET_READY, r->cpu_seconds,
				        (double)r->memory_bytes, (double)r->memory_limit,
				        r->cpu_limit, r->restarts};
				replica_line(to, rows[k].name, app, r, v[k]);
			}
		}
	}
	head(to, "headgate_app_replicas_desired", "gauge", "Replicas wanted.");
	for (uint32_t i = 0; i < s->app_count; i++)
		hg_buf_fmt(to, "headgate_app_replicas_desired{app=\"%s\"} %u\n", s->apps[i].name,
		        s->apps[i].desired);
	head(to, "headgate_app_release", "gauge",
	        "Number of the release that serves, or is tried.");
	for (uint32_t i = 0; i < s->app_count; i++) {
		hg_buf_fmt(to, "headgate_app_release{app=\"%s\",arm=\"serving\"} %u\n",
		        s->apps[i].name, s->apps[i].release);
		if (s->apps[i].trial)
			hg_buf_fmt(to, "headgate_app_release{app=\"%s\",arm=\"trial\"} %u\n",
			        s->apps[i].name, s->apps[i].trial);
	}
	head(to, "headgate_app_replicas_ready", "gauge",
	        "Replicas that take requests, without those of a trial.");
	for (uint32_t i = 0; i < s->app_count; i++)
		hg_buf_fmt(to, "headgate_app_replicas_ready{app=\"%s\"} %u\n", s->apps[i].name,
		        s->apps[i].ready);
	head(to, "headgate_snapshot_generation", "gauge", "Configuration published last.");
	hg_buf_fmt(to, "headgate_snapshot_generation %llu\n", (unsigned long long)s->generation);
}

/* Sets of keys of tokens that are fetched. */
static void identities(const struct identities *d, struct hg_buf *to)
{
	static const struct {
		const char *name, *type, *help;
	} rows[] = {
	        {"headgate_identity_jwks_keys", "gauge",
	                "Keys that tokens of the app are checked with; 0: not known yet."},
	        {"headgate_identity_jwks_fetched_timestamp_seconds", "gauge",
	                "When the set was last fetched; 0: not since control started."},
	        {"headgate_identity_jwks_failures_total", "counter",
	                "Times the set could not be fetched or used."},
	};
	for (size_t k = 0; identities_count(d) && k < HG_COUNT(rows); k++) {
		head(to, rows[k].name, rows[k].type, rows[k].help);
		for (uint32_t i = 0; i < identities_count(d); i++) {
			struct identities_view v = identities_at(d, i);
			uint64_t values[] = {v.keys, v.fetched_ms / 1000, v.failures};
			if (!v.fetched) continue;
			hg_buf_fmt(to, "%s{app=\"%s\"", rows[k].name, v.app);
			if (v.issuer) {
				hg_buf_cstr(to, ",issuer=");
				json_quote(to, hg_str(v.issuer));
			}
			hg_buf_fmt(to, "} %llu\n", (unsigned long long)values[k]);
		}
	}
}

/* ---- what the meter has counted ---- */

/* The names that the meter's numbers stand for; free the arrays. */
static bool view_make(const struct api *a, const struct fleet_status *s,
        struct meter_series_view *v, struct meter_replica_sum **ret_bases)
{
	size_t n = 0, replicas = 0;
	const struct fleet_lane *lanes = fleet_lanes(a->d.fleet, &n);
	for (uint32_t i = 0; i < s->app_count; i++)
		replicas += s->apps[i].replica_count;
	struct meter_series_lane *l = calloc(n + 1, sizeof *l);
	struct meter_series_app *p = calloc((size_t)s->app_count + 1, sizeof *p);
	struct meter_series_replica *r = calloc(replicas + 1, sizeof *r);
	*v = (struct meter_series_view){.meter = a->d.meter, .lanes = l, .apps = p, .replicas = r};
	struct meter_replica_sum *bases = calloc(replicas + 1, sizeof *bases);
	*ret_bases = bases;
	if (!l || !p || !r || !bases) return false;
	for (size_t i = 0; i < n; i++)
		l[v->lane_n++] = (struct meter_series_lane){.app = hg_str(lanes[i].app),
		        .route = hg_str(lanes[i].route),
		        .release = lanes[i].release,
		        .lane = lanes[i].lane,
		        .edge_s = a->d.slo ? slo_edge_s(a->d.slo, lanes[i].app) : 0,
		        .rule_s = lanes[i].rule_ms / 1e3};
	for (uint32_t i = 0; i < s->app_count; i++) {
		const struct fleet_app_status *app = &s->apps[i];
		p[v->app_n++] = (struct meter_series_app){hg_str(app->name), app->id};
		for (uint32_t k = 0; k < app->replica_count; k++) {
			const struct fleet_replica_status *from = &app->replicas[k];
			if (from->endpoint < 0) continue;
			uint32_t at = (uint32_t)from->endpoint;
			struct meter_replica_sum *base = &bases[v->replica_n];
			bool has = a->d.board && board_base_get(a->d.board, at, base);
			r[v->replica_n++] = (struct meter_series_replica){.app = hg_str(app->name),
			        .release = from->release,
			        .replica = from->number,
			        .endpoint = at,
			        .base = has ? base : NULL};
		}
	}
	return true;
}

static void of_meter(struct api *a, struct hg_buf *to)
{
	struct fleet_status *s;
	struct meter_series_view v;
	struct meter_replica_sum *bases = NULL;
	if (!a->d.meter || !a->d.fleet || fleet_status(a->d.fleet, &s) < 0) return;
	struct meter_series_sink sink = meter_series_text(to);
	if (view_make(a, s, &v, &bases))
		meter_series(&v, &sink);
	else
		to->failed = true;
	free(bases);
	free((void *)(uintptr_t)v.lanes);
	free((void *)(uintptr_t)v.apps);
	free((void *)(uintptr_t)v.replicas);
	fleet_status_free(s);
}

void api_metrics_own(struct api *a, struct hg_buf *to)
{
	struct fleet_status *s;
	head(to, "headgate_build_info", "gauge", "Always 1; the version is a label.");
	hg_buf_cstr(to, "headgate_build_info{version=\"" HG_VERSION "\"} 1\n");
	head(to, "headgate_api_answers_total", "counter", "Answers of this API.");
	for (unsigned class = 1; class < 6; class ++)
		hg_buf_fmt(to, "headgate_api_answers_total{class=\"%uxx\"} %llu\n", class,
		        (unsigned long long)a->answers[class]);
	head(to, "headgate_api_streams", "gauge", "Open streams of this API.");
	hg_buf_fmt(
	        to, "headgate_api_streams{kind=\"events\"} %u\n", a->event_count - a->live_count);
	hg_buf_fmt(to, "headgate_api_streams{kind=\"live\"} %u\n", a->live_count);
	hg_buf_fmt(to, "headgate_api_streams{kind=\"logs\"} %u\n", a->log_count);
	if (a->d.fleet && fleet_status(a->d.fleet, &s) == HG_OK) {
		replicas(s, to);
		fleet_status_free(s);
	}
	certificates(a->d.certs, to);
	authorities(a->d.clients, to);
	identities(a->d.identities, to);
	acme(a->d.acme, to);
	if (a->d.rollouts) rollouts_metrics(a->d.rollouts, to);
	if (a->d.slo) slo_metrics(a->d.slo, to);
	if (a->d.incidents) incidents_metrics(a->d.incidents, to);
}

void api_metrics_text(struct api *a, struct hg_buf *to)
{
	api_metrics_own(a, to);
	of_meter(a, to);
}

enum hg_rc api_get_metrics(struct api_request *r, struct hg_err *err)
{
	struct hg_buf b;
	enum hg_rc rc = HG_OK;
	hg_buf_init(&b, 32u << 20);
	api_metrics_text(r->api, &b);
	if (b.failed)
		rc = hg_err_set(err, HG_E_TOO_LARGE, "the metrics are larger than 32 MiB");
	else
		api_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", hg_buf_view(&b));
	hg_buf_free(&b);
	return rc;
}
