/* The meter: rates over the last seconds for people, counters in the text format for Prometheus. */
#include "control/acme/acme.h"
#include "control/cert/certs.h"
#include "control/cert/clients.h"
#include "control/cert/identities.h"
#include "control/incident/incident.h"
#include "control/slo/slo.h"
#include "api_priv.h"
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

void api_rates_tick(struct api *a)
{
	size_t n = 0;
	uint64_t now = clock_mono_ms();
	if (!a->d.meter || !a->d.fleet) return;
	const struct fleet_lane *lanes = fleet_lanes(a->d.fleet, &n);
	for (size_t i = 0; i < n; i++) {
		struct api_rate *r = rate_open(a, lanes[i].app);
		struct meter_lane_sum sum;
		if (!r) continue;
		struct api_point *p = point_now(r, now);
		meter_lane_sum(a->d.meter, lanes[i].lane, &sum);
		p->total += sum.total;
		p->errors += sum.by_class[5];
		for (size_t b = 0; b < METER_BUCKETS; b++)
			p->bucket[b] += sum.bucket[b];
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

static void lane_labels(struct hg_buf *to, const char *name, const struct fleet_lane *l)
{
	hg_buf_fmt(to, "%s{app=\"", name);
	label(to, l->app);
	hg_buf_fmt(to, "\",release=\"%u\",route=\"", l->release);
	label(to, l->route);
	hg_buf_byte(to, '"');
}

#define ZEROS_SHOWN 1000u /* lanes; with more, those that nobody has ever asked are left out */

/* Those a rate is commonly taken of are there from the start with 0, the others when they occur. */
static bool always_shown(unsigned code)
{
	static const unsigned shown[] = {200, 400, 404, 500, 502, 503, 504};
	for (size_t i = 0; i < HG_COUNT(shown); i++)
		if (shown[i] == code) return true;
	return false;
}

static void requests(
        const struct meter *m, const struct fleet_lane *lanes, size_t n, struct hg_buf *to)
{
	head(to, "headgate_requests_total", "counter", "Responses sent to clients.");
	for (size_t i = 0; i < n; i++) {
		if (n > ZEROS_SHOWN && !meter_lane_used(m, lanes[i].lane)) continue;
		for (uint32_t at = 0; at < METER_CODES; at++) {
			unsigned code = meter_code_at(at);
			uint64_t v = meter_lane_place(m, lanes[i].lane, at);
			if (v == 0 && !always_shown(code)) continue;
			lane_labels(to, "headgate_requests_total", &lanes[i]);
			hg_buf_fmt(to, ",code=\"%u%s\"} %llu\n", code, code < 100 ? "xx" : "",
			        (unsigned long long)v);
		}
	}
}

static bool same_release(const struct fleet_lane *a, const struct fleet_lane *b)
{
	return a->release == b->release && strcmp(a->app, b->app) == 0;
}

/* Routes of one (app, release) are summed: the label set of design section 7. They stand together.
 */
static bool first_of_release(const struct fleet_lane *lanes, size_t i)
{
	return i == 0 || !same_release(&lanes[i - 1], &lanes[i]);
}

static void release_sum(const struct meter *m, const struct fleet_lane *lanes, size_t n, size_t i,
        struct meter_lane_sum *ret_sum)
{
	*ret_sum = (struct meter_lane_sum){0};
	for (size_t j = i; j < n && same_release(&lanes[j], &lanes[i]); j++) {
		struct meter_lane_sum s;
		meter_lane_sum(m, lanes[j].lane, &s);
		for (size_t b = 0; b < METER_BUCKETS; b++)
			ret_sum->bucket[b] += s.bucket[b];
		ret_sum->duration_ns += s.duration_ns;
		ret_sum->bytes_in += s.bytes_in;
		ret_sum->bytes_out += s.bytes_out;
		ret_sum->attempts += s.attempts;
		ret_sum->failures += s.failures;
		ret_sum->retries += s.retries;
		ret_sum->aborted += s.aborted;
		ret_sum->fast += s.fast;
		ret_sum->broken += s.broken;
	}
}

static void release_labels(struct hg_buf *to, const char *name, const struct fleet_lane *l)
{
	hg_buf_fmt(to, "%s{app=\"", name);
	label(to, l->app);
	hg_buf_fmt(to, "\",release=\"%u\"", l->release);
}

/* The edge of the app's own latency objective, where no bucket ends, between those at `b` − 1 and
 * `b`. What was counted with another objective before is no reason to fall or to jump. */
static void own_edge(const struct api *a, const struct fleet_lane *l, size_t b, uint64_t below,
        const struct meter_lane_sum *s, struct hg_buf *to)
{
	double edge = a->d.slo ? slo_edge_s(a->d.slo, l->app) : 0;
	if (edge <= (b ? meter_bounds[b - 1] : 0) || edge >= meter_bounds[b]) return;
	uint64_t v = HG_MIN(HG_MAX(s->fast, below), below + s->bucket[b]);
	release_labels(to, "headgate_request_duration_seconds_bucket", l);
	hg_buf_fmt(to, ",le=\"%g\"} %llu\n", edge, (unsigned long long)v);
}

static void durations(
        const struct api *a, const struct fleet_lane *lanes, size_t n, struct hg_buf *to)
{
	const struct meter *m = a->d.meter;
	static const char *const name = "headgate_request_duration_seconds";
	head(to, name, "histogram", "First byte of the request to the last of the response.");
	for (size_t i = 0; i < n; i++) {
		struct meter_lane_sum s;
		uint64_t sum = 0;
		if (!first_of_release(lanes, i)) continue;
		release_sum(m, lanes, n, i, &s);
		for (size_t b = 0; b < METER_BUCKETS; b++) {
			own_edge(a, &lanes[i], b, sum, &s, to);
			sum += s.bucket[b];
			release_labels(to, "headgate_request_duration_seconds_bucket", &lanes[i]);
			if (b == METER_BUCKETS - 1)
				hg_buf_cstr(to, ",le=\"+Inf\"} ");
			else
				hg_buf_fmt(to, ",le=\"%g\"} ", meter_bounds[b]);
			hg_buf_fmt(to, "%llu\n", (unsigned long long)sum);
		}
		release_labels(to, "headgate_request_duration_seconds_sum", &lanes[i]);
		hg_buf_fmt(to, "} %.9g\n", (double)s.duration_ns / 1e9);
		release_labels(to, "headgate_request_duration_seconds_count", &lanes[i]);
		hg_buf_fmt(to, "} %llu\n", (unsigned long long)sum);
	}
}

static void upstream(
        const struct meter *m, const struct fleet_lane *lanes, size_t n, struct hg_buf *to)
{
	static const struct {
		const char *name, *help;
		size_t at;
	} rows[] = {
#define ROW(name, member, help) {name, help, offsetof(struct meter_lane_sum, member)}
	        ROW("headgate_upstream_attempts_total", attempts, "Requests sent to replicas."),
	        ROW("headgate_upstream_failures_total", failures,
	                "Attempts without a complete response head."),
	        ROW("headgate_upstream_retries_total", retries, "Further attempts elsewhere."),
	        ROW("headgate_requests_aborted_total", aborted, "The client went away first."),
	        ROW("headgate_responses_broken_total", broken,
	                "The answer stopped in the middle, not by the client's doing."),
	        ROW("headgate_request_body_bytes_total", bytes_in, "Bytes of request bodies."),
	        ROW("headgate_response_body_bytes_total", bytes_out, "Bytes of response bodies."),
#undef ROW
	};
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		head(to, rows[k].name, "counter", rows[k].help);
		for (size_t i = 0; i < n; i++) {
			struct meter_lane_sum s;
			uint64_t v;
			if (!first_of_release(lanes, i)) continue;
			release_sum(m, lanes, n, i, &s);
			memcpy(&v, (const char *)&s + rows[k].at, sizeof v);
			release_labels(to, rows[k].name, &lanes[i]);
			hg_buf_fmt(to, "} %llu\n", (unsigned long long)v);
		}
	}
}

static void edge(const struct meter *m, struct hg_buf *to)
{
	static const struct {
		const char *name, *help;
		size_t at;
	} rows[] = {
#define ROW(member, help) \
	{"headgate_edge_" #member "_total", help, offsetof(struct meter_worker, member)}
	        ROW(accepted, "Client connections accepted."),
	        ROW(closed, "Client connections closed."),
	        ROW(bad_requests, "Requests refused as malformed."),
	        ROW(timeouts, "Requests ended by a time limit."),
	        ROW(refused_full, "Connections refused because all slots were in use."),
	        ROW(no_route, "Requests for which there is no route."),
	        ROW(no_replica, "Requests for which no replica was ready."),
	        ROW(upstream_connects, "Connections opened to replicas."),
	        ROW(upstream_connect_errors, "Connections to replicas that failed."),
	        ROW(upstream_reused, "Requests sent over a kept connection."),
	        ROW(upstream_tls_handshakes, "TLS handshakes completed with replicas."),
	        ROW(upstream_tls_resumed, "Of these, sessions resumed."),
	        ROW(upstream_tls_failures, "TLS with replicas that failed, or was cut short."),
	        ROW(ejected, "Replicas left out for a while, for whatever reason."),
	        ROW(ejected_failing,
	                "Replicas left out as more of their answers failed than the others'."),
	        ROW(ejected_slow, "Replicas left out as they were slower than the others."),
	        ROW(panic, "Requests sent to a replica that is not ready, as none of its app is."),
	        ROW(tls_handshakes, "TLS handshakes completed."),
	        ROW(tls_resumed, "Of these, sessions resumed by a ticket."),
	        ROW(tls_failures, "TLS handshakes that failed."),
	        ROW(proxy_headers, "PROXY protocol headers that told a client's address."),
	        ROW(proxy_refused,
	                "Connections closed for a PROXY protocol header that is not valid."),
	        ROW(client_asked, "TLS handshakes that asked for a client certificate."),
	        ROW(client_shown, "Of these, clients that showed one."),
	        ROW(client_invalid, "Of these, certificates that are not valid."),
	        ROW(client_refused, "Requests refused for want of a client certificate."),
	        ROW(h2_sessions, "HTTP/2 connections begun."),
	        ROW(h2_streams, "HTTP/2 requests begun."),
	        ROW(h2_resets_received, "HTTP/2 requests that clients gave up."),
	        ROW(h2_resets_sent, "HTTP/2 requests ended by the edge without a whole answer."),
	        ROW(h2_goaways, "GOAWAY frames sent."),
	        ROW(h2_calmed, "HTTP/2 connections ended because the client asked too much."),
	        ROW(upstream_calmed, "HTTP/2 connections ended because the replica broke limits."),
	        ROW(rate_limited, "Requests refused by a rate limit."),
	        ROW(rate_asked, "Requests that the count of all machines has decided."),
	        ROW(rate_alone, "Requests that this machine's count alone has decided."),
	        ROW(refused_per_ip, "Connections refused because their client has too many."),
	        ROW(denied, "Connections closed because their client is denied."),
	        ROW(forbidden, "Requests refused because their client is denied."),
	        ROW(access_lines, "Access log lines written."),
	        ROW(access_dropped, "Access log lines dropped."),
	        ROW(spans_written, "Spans of traces handed over to be exported."),
	        ROW(spans_dropped, "Spans of traces dropped for want of room."),
	        ROW(loop_turns, "Turns of the event loop."),
#undef ROW
	};
	head(to, "headgate_edge_connections", "gauge", "Client connections open.");
	for (uint32_t w = 0; w < m->worker_count && w < METER_WORKERS_MAX; w++)
		hg_buf_fmt(to, "headgate_edge_connections{worker=\"%u\"} %u\n", w,
		        atomic_load_explicit(&m->worker[w].connections, memory_order_relaxed));
	head(to, "headgate_edge_snapshot_generation", "gauge", "Configuration in force.");
	for (uint32_t w = 0; w < m->worker_count && w < METER_WORKERS_MAX; w++)
		hg_buf_fmt(to, "headgate_edge_snapshot_generation{worker=\"%u\"} %llu\n", w,
		        (unsigned long long)atomic_load_explicit(
		                &m->worker[w].snapshot_ack, memory_order_relaxed));
	head(to, "headgate_edge_busy_seconds_total", "counter", "Time not spent waiting.");
	for (uint32_t w = 0; w < m->worker_count && w < METER_WORKERS_MAX; w++)
		hg_buf_fmt(to, "headgate_edge_busy_seconds_total{worker=\"%u\"} %.6f\n", w,
		        (double)atomic_load_explicit(&m->worker[w].busy_ns, memory_order_relaxed) /
		                1e9);
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		head(to, rows[k].name, "counter", rows[k].help);
		for (uint32_t w = 0; w < m->worker_count && w < METER_WORKERS_MAX; w++) {
			const meter_u64 *v =
			        (const void *)((const char *)&m->worker[w] + rows[k].at);
			hg_buf_fmt(to, "%s{worker=\"%u\"} %llu\n", rows[k].name, w,
			        (unsigned long long)atomic_load_explicit(v, memory_order_relaxed));
		}
	}
}

/* Why handshakes failed: a rise says what to look for. */
static void handshakes(const struct meter *m, struct hg_buf *to)
{
	static const char name[] = "headgate_edge_tls_failure_reasons_total";
	static const char *const reason[] = {"not_tls", "version", "nothing_shared", "alpn",
	        "alert", "closed", "other", "timeout"};
	head(to, name, "counter", "TLS handshakes that failed, by reason.");
	for (size_t k = 0; k < HG_COUNT(reason); k++) {
		uint64_t n = 0;
		for (uint32_t w = 0; w < m->worker_count && w < METER_WORKERS_MAX; w++)
			n += atomic_load_explicit(
			        &m->worker[w].tls_failed[k], memory_order_relaxed);
		hg_buf_fmt(to, "%s{reason=\"%s\"} %llu\n", name, reason[k], (unsigned long long)n);
	}
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

static void replica_duration(struct hg_buf *to, const struct fleet_app_status *app,
        const struct fleet_replica_status *r, const struct meter_replica_sum *s)
{
	uint64_t sum = 0;
	for (size_t b = 0; b < METER_BUCKETS; b++) {
		sum += s->bucket[b];
		hg_buf_cstr(to, "headgate_replica_duration_seconds_bucket{app=\"");
		label(to, app->name);
		hg_buf_fmt(to, "\",release=\"%u\",replica=\"%u\",le=\"", r->release, r->number);
		if (b == METER_BUCKETS - 1)
			hg_buf_cstr(to, "+Inf\"} ");
		else
			hg_buf_fmt(to, "%g\"} ", meter_bounds[b]);
		hg_buf_fmt(to, "%llu\n", (unsigned long long)sum);
	}
	replica_line(
	        to, "headgate_replica_duration_seconds_sum", app, r, (double)s->duration_ns / 1e9);
	replica_line(to, "headgate_replica_duration_seconds_count", app, r, (double)sum);
}

/* What replicas have answered. Their counters go on from whoever had the place before them: rates
 * do not see it. */
static void replica_traffic(const struct meter *m, const struct fleet_status *s, struct hg_buf *to)
{
	static const struct {
		const char *name, *type, *help;
	} rows[] = {
	        {"headgate_replica_requests_total", "counter", "Requests answered, or overtaken."},
	        {"headgate_replica_errors_total", "counter", "Of them with 5xx."},
	        {"headgate_replica_failures_total", "counter", "Attempts without an answer."},
	        {"headgate_replica_overtaken_total", "counter",
	                "Attempts that a second one beside them was quicker than."},
	        {"headgate_replica_duration_seconds", "histogram",
	                "From the choice of the replica to the end of its answer."},
	};
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		head(to, rows[k].name, rows[k].type, rows[k].help);
		for (uint32_t i = 0; i < s->app_count; i++) {
			const struct fleet_app_status *app = &s->apps[i];
			for (uint32_t j = 0; j < app->replica_count; j++) {
				const struct fleet_replica_status *r = &app->replicas[j];
				struct meter_replica_sum sum;
				if (r->endpoint < 0) continue;
				meter_replica_sum(m, (uint32_t)r->endpoint, &sum);
				double v[] = {(double)sum.count, (double)sum.errors,
				        (double)sum.failures, (double)sum.overtaken};
				if (k < HG_COUNT(v))
					replica_line(to, rows[k].name, app, r, v[k]);
				else
					replica_duration(to, app, r, &sum);
			}
		}
	}
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
	        {"headgate_replica_in_flight", "gauge", "Requests being answered."},
	};
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		head(to, rows[k].name, rows[k].type, rows[k].help);
		for (uint32_t i = 0; i < s->app_count; i++) {
			const struct fleet_app_status *app = &s->apps[i];
			for (uint32_t j = 0; j < app->replica_count; j++) {
				const struct fleet_replica_status *r = &app->replicas[j];
				double v[] = {r->state == FLEET_READY, r->cpu_seconds,
				        (double)r->memory_bytes, (double)r->memory_limit,
				        r->cpu_limit, r->restarts, r->in_flight};
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

static void guard_gauges(const struct meter *m, const struct fleet_status *s, struct hg_buf *to)
{
	static const struct {
		const char *name, *help;
		size_t at;
		bool flag; /* how many workers have one, not how much */
	} rows[] = {
	        {"headgate_edge_breaker_open",
	                "Workers whose circuit breaker for the app is not closed.",
	                offsetof(struct meter_app, breaker), true},
	        {"headgate_edge_adaptive_limit",
	                "Requests that the app takes at a time; 0: unknown.",
	                offsetof(struct meter_app, limit), false},
	        {"headgate_edge_queue_waiting", "Requests that wait now.",
	                offsetof(struct meter_app, waiting), false},
	};
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		head(to, rows[k].name, "gauge", rows[k].help);
		for (uint32_t i = 0; i < s->app_count; i++) {
			uint32_t n = 0;
			for (uint32_t w = 0; w < m->worker_count; w++) {
				const struct meter_app *ma =
				        meter_app_find(&m->worker[w], s->apps[i].id);
				if (!ma) continue;
				const _Atomic uint32_t *g =
				        (const void *)((const char *)ma + rows[k].at);
				uint32_t v = atomic_load_explicit(g, memory_order_relaxed);
				n += rows[k].flag ? v != 0 : v;
			}
			hg_buf_fmt(to, "%s{app=\"%s\"} %u\n", rows[k].name, s->apps[i].name, n);
		}
	}
}

/* What guards the apps, of all workers together. */
static void guards(const struct meter *m, const struct fleet_status *s, struct hg_buf *to)
{
	static const struct {
		const char *name, *help;
		size_t at;
	} rows[] = {
#define ROW(name, member, help) {name, help, offsetof(struct meter_app, member)}
	        ROW("headgate_edge_breaker_opened_total", breaker_opened,
	                "Times the app's circuit breaker opened."),
	        ROW("headgate_edge_breaker_refused_total", breaker_refused,
	                "Requests refused by it."),
	        ROW("headgate_edge_shed_total", shed,
	                "Requests turned away as the app had enough to do."),
	        ROW("headgate_edge_queue_entered_total", queued,
	                "Requests that waited for a replica with room."),
	        ROW("headgate_edge_queue_full_total", queue_full,
	                "Requests turned away as too many waited."),
	        ROW("headgate_edge_queue_timeouts_total", queue_late,
	                "Requests that waited too long."),
	        ROW("headgate_edge_queue_left_total", queue_left,
	                "Requests whose client left while they waited."),
	        ROW("headgate_edge_queue_nanoseconds_total", queue_ns,
	                "Time that requests waited."),
	        ROW("headgate_edge_deadline_passed_total", late,
	                "Requests answered 504 as their time was over."),
	        ROW("headgate_identity_seen_total", identity_seen,
	                "Requests with a token that had been verified before."),
	        ROW("headgate_identity_verified_total", identity_verified,
	                "Requests whose token was verified."),
	        ROW("headgate_identity_keys_total", identity_keys, "Requests with a good API key."),
	        ROW("headgate_edge_hedges_total", hedged,
	                "Second attempts made beside a slow first one."),
	        ROW("headgate_edge_hedges_won_total", hedges_won,
	                "Second attempts that answered before the first one."),
#undef ROW
	};
	guard_gauges(m, s, to);
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		head(to, rows[k].name, "counter", rows[k].help);
		for (uint32_t i = 0; i < s->app_count; i++) {
			uint64_t v = 0;
			for (uint32_t w = 0; w < m->worker_count; w++) {
				const struct meter_app *ma =
				        meter_app_find(&m->worker[w], s->apps[i].id);
				if (!ma) continue;
				const meter_u64 *c = (const void *)((const char *)ma + rows[k].at);
				v += atomic_load_explicit(c, memory_order_relaxed);
			}
			hg_buf_fmt(to, "%s{app=\"%s\"} %llu\n", rows[k].name, s->apps[i].name,
			        (unsigned long long)v);
		}
	}
}

/* Requests refused by who sent them; reasons that never occurred are left out. */
static void denials(const struct meter *m, const struct fleet_status *s, struct hg_buf *to)
{
	static const char name[] = "headgate_identity_refused_total";
	head(to, name, "counter", "Requests refused by who sent them, by reason.");
	for (uint32_t i = 0; i < s->app_count; i++) {
		for (int d = 0; d < METER_DENIALS; d++) {
			uint64_t v = 0;
			for (uint32_t w = 0; w < m->worker_count; w++) {
				const struct meter_app *ma =
				        meter_app_find(&m->worker[w], s->apps[i].id);
				if (!ma) continue;
				v += atomic_load_explicit(&ma->denied[d], memory_order_relaxed);
			}
			if (v == 0) continue;
			hg_buf_fmt(to, "%s{app=\"%s\",reason=\"%s\"} %llu\n", name, s->apps[i].name,
			        meter_denial_name((enum meter_denial)d), (unsigned long long)v);
		}
	}
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

void api_metrics_text(struct api *a, struct hg_buf *to)
{
	struct fleet_status *s;
	size_t n = 0;
	head(to, "headgate_build_info", "gauge", "Always 1; the version is a label.");
	hg_buf_cstr(to, "headgate_build_info{version=\"" HG_VERSION "\"} 1\n");
	head(to, "headgate_api_answers_total", "counter", "Answers of this API.");
	for (unsigned class = 1; class < 6; class ++)
		hg_buf_fmt(to, "headgate_api_answers_total{class=\"%uxx\"} %llu\n", class,
		        (unsigned long long)a->answers[class]);
	head(to, "headgate_api_streams", "gauge", "Open streams of this API.");
	hg_buf_fmt(to, "headgate_api_streams{kind=\"events\"} %u\n", a->event_count);
	hg_buf_fmt(to, "headgate_api_streams{kind=\"logs\"} %u\n", a->log_count);
	if (a->d.fleet && fleet_status(a->d.fleet, &s) == HG_OK) {
		replicas(s, to);
		if (a->d.meter) guards(a->d.meter, s, to);
		if (a->d.meter) denials(a->d.meter, s, to);
		if (a->d.meter) replica_traffic(a->d.meter, s, to);
		fleet_status_free(s);
	}
	if (!a->d.meter || !a->d.fleet) return;
	const struct fleet_lane *lanes = fleet_lanes(a->d.fleet, &n);
	requests(a->d.meter, lanes, n, to);
	durations(a, lanes, n, to);
	upstream(a->d.meter, lanes, n, to);
	certificates(a->d.certs, to);
	authorities(a->d.clients, to);
	identities(a->d.identities, to);
	acme(a->d.acme, to);
	edge(a->d.meter, to);
	handshakes(a->d.meter, to);
	if (a->d.rollouts) rollouts_metrics(a->d.rollouts, to);
	if (a->d.slo) slo_metrics(a->d.slo, to);
	if (a->d.incidents) incidents_metrics(a->d.incidents, to);
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
