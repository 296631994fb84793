#include "meter/series.h"

#include <math.h>

#define LABELS_MAX 4u
#define NUMBER_MAX 24u

static uint64_t get(const void *base, size_t at)
{
	const meter_u64 *c = (const void *)((const char *)base + at);
	return atomic_load_explicit(c, memory_order_relaxed);
}

/* One label set, its numbers as text beside it. */
struct set {
	const struct meter_series_sink *sink;
	struct prom_label label[LABELS_MAX];
	size_t n;
	char text[LABELS_MAX][NUMBER_MAX];
};

static void add(struct set *s, const char *name, struct hg_str value)
{
	HG_ASSERT(s->n < LABELS_MAX);
	s->label[s->n++] = (struct prom_label){name, value};
}

static void add_number(struct set *s, const char *name, uint64_t v)
{
	struct hg_out o = hg_out_over(s->text[s->n], NUMBER_MAX);
	hg_out_u64(&o, v);
	add(s, name, (struct hg_str){s->text[s->n], o.n});
}

static void whole(const struct meter_series_sink *s, bool is_whole)
{
	if (s->whole) s->whole(s->arg, is_whole);
}

static void emit(const struct set *s, const char *name, double v)
{
	s->sink->sample(s->sink->arg, name, s->label, s->n, v);
}

static void family(
        const struct meter_series_sink *s, const char *name, const char *type, const char *help)
{
	s->family(s->arg, name, type, help);
}

/* ---- lanes ---- */

static uint32_t workers(const struct meter *m)
{
	return HG_MIN(m->worker_count, (uint32_t)METER_WORKERS_MAX);
}

static void release_set(
        struct set *s, const struct meter_series_sink *sink, const struct meter_series_lane *l)
{
	*s = (struct set){.sink = sink};
	add(s, "app", l->app);
	add_number(s, "release", l->release);
}

static bool is_shown(const struct meter_series_view *v, const struct meter_series_lane *l)
{
	size_t all = v->lanes_all ? v->lanes_all : v->lane_n;
	return all <= METER_SERIES_ZEROS || meter_lane_used(v->meter, l->lane);
}

/* Those a rate is commonly taken of are there from the start with 0, the others when they occur. */
static bool always_shown(unsigned code)
{
	static const unsigned shown[] = {200, 400, 404, 500, 502, 503, 504};
	for (size_t i = 0; i < HG_COUNT(shown); i++)
		if (shown[i] == code) return true;
	return false;
}

static void requests(const struct meter_series_view *v, const struct meter_series_sink *sink)
{
	static const char name[] = "headgate_requests_total";
	family(sink, name, "counter", "Responses sent to clients.");
	for (size_t i = 0; i < v->lane_n; i++) {
		const struct meter_series_lane *l = &v->lanes[i];
		if (!is_shown(v, l)) continue;
		whole(sink, l->whole);
		for (uint32_t at = 0; at < METER_CODES; at++) {
			char text[8];
			unsigned code = meter_code_at(at);
			uint64_t n = meter_lane_place(v->meter, l->lane, at);
			if (n == 0 && !always_shown(code)) continue;
			struct set s;
			release_set(&s, sink, l);
			add(&s, "route", l->route);
			struct hg_out o = hg_out_over(text, sizeof text);
			hg_out_u64(&o, code);
			if (code < 100) hg_out_cstr(&o, "xx");
			add(&s, "code", (struct hg_str){text, o.n});
			emit(&s, name, (double)n);
		}
	}
	whole(sink, false);
}

static bool same_release(const struct meter_series_lane *a, const struct meter_series_lane *b)
{
	return a->release == b->release && hg_str_eq(a->app, b->app);
}

/* Where the next release begins, and whether anything of the one whose first lane is `i` is shown:
 * not if nobody has asked it, and there are too many of those. */
static size_t release_end(const struct meter_series_view *v, size_t i, bool *ret_shown)
{
	const struct meter_series_lane *first = &v->lanes[i];
	*ret_shown = false;
	for (; i < v->lane_n && same_release(&v->lanes[i], first); i++)
		if (is_shown(v, &v->lanes[i])) *ret_shown = true;
	return i;
}

/* A counter of these lanes; `at`: within struct meter_lane. Not all of meter_lane_sum: there may be
 * thousands of lanes, and their memory is not in the cache. */
static uint64_t lanes_counter(const struct meter_series_view *v, size_t from, size_t to, size_t at)
{
	uint64_t n = 0;
	for (size_t i = from; i < to; i++) {
		if (!meter_lane_used(v->meter, v->lanes[i].lane)) continue;
		for (uint32_t w = 0; w < workers(v->meter); w++)
			n += get(&v->meter->worker[w].lane[v->lanes[i].lane], at);
	}
	return n;
}

/* `of` as it is, and a bucket's bound. */
static void bucket(const struct set *of, const char *name, struct hg_str le, uint64_t v)
{
	struct set s = *of; /* its numbers' texts stay where they are, in `of` */
	add(&s, "le", le);
	emit(&s, name, (double)v);
}

/* The texts of meter_bounds: printing numbers was a tenth of all this. */
static struct hg_str bound_text(size_t b)
{
	static const char *const text[METER_BUCKETS] = {"0.0005", "0.001", "0.0025", "0.005",
	        "0.01", "0.025", "0.05", "0.075", "0.1", "0.15", "0.2", "0.25", "0.3", "0.4", "0.5",
	        "0.75", "1", "1.5", "2", "2.5", "5", "10", "30", "+Inf"};
	return hg_str(text[b]);
}

/* An edge of the app's own. */
struct own_edge {
	double at;      /* seconds; 0: none */
	uint64_t count; /* answers within it */
};

/*
 * Those edges that lie between the bounds at `b` − 1 and `b`, the lower one first. What was counted
 * with another threshold before is no reason to fall or to jump.
 */
static void own_edges(const struct set *s, const struct own_edge own[2], size_t b, uint64_t below,
        uint64_t in_bucket)
{
	size_t first = own[0].at > own[1].at;
	uint64_t least = below;
	for (size_t i = 0; i < 2; i++) {
		char text[32];
		const struct own_edge *e = &own[i ^ first];
		struct hg_out o = hg_out_over(text, sizeof text);
		if (e->at <= (b ? meter_bounds[b - 1] : 0) || e->at >= meter_bounds[b]) continue;
		least = HG_MIN(HG_MAX(e->count, least), below + in_bucket);
		hg_out_fmt(&o, "%g", e->at);
		bucket(s, "headgate_request_duration_seconds_bucket", (struct hg_str){text, o.n},
		        least);
	}
}

static void duration(const struct meter_series_view *v, size_t from, size_t to, const struct set *s)
{
	uint64_t n = 0;
	const struct meter_series_lane *l = &v->lanes[from];
	struct own_edge own[2] = {{.at = l->edge_s}, {.at = l->rule_s}};
	if (l->edge_s > 0)
		own[0].count = lanes_counter(v, from, to, offsetof(struct meter_lane, fast));
	if (l->rule_s > 0)
		own[1].count = lanes_counter(v, from, to, offsetof(struct meter_lane, rule));
	for (size_t b = 0; b < METER_BUCKETS; b++) {
		size_t at = offsetof(struct meter_lane, bucket) + b * sizeof(meter_u64);
		uint64_t one = lanes_counter(v, from, to, at);
		own_edges(s, own, b, n, one);
		n += one;
		bucket(s, "headgate_request_duration_seconds_bucket", bound_text(b), n);
	}
	uint64_t ns = lanes_counter(v, from, to, offsetof(struct meter_lane, duration_ns));
	emit(s, "headgate_request_duration_seconds_sum", (double)ns / 1e9);
	emit(s, "headgate_request_duration_seconds_count", (double)n);
}

static void durations(const struct meter_series_view *v, const struct meter_series_sink *sink)
{
	family(sink, "headgate_request_duration_seconds", "histogram",
	        "First byte of the request to the last of the response.");
	for (size_t i = 0, end; i < v->lane_n; i = end) {
		struct set s;
		bool shown;
		end = release_end(v, i, &shown);
		if (!shown) continue;
		release_set(&s, sink, &v->lanes[i]);
		duration(v, i, end, &s);
	}
}

static void upstream(const struct meter_series_view *v, const struct meter_series_sink *sink)
{
	static const struct {
		const char *name, *help;
		size_t at;
	} rows[] = {
#define ROW(name, member, help) {name, help, offsetof(struct meter_lane, member)}
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
		family(sink, rows[k].name, "counter", rows[k].help);
		for (size_t i = 0, end; i < v->lane_n; i = end) {
			bool shown;
			const struct meter_series_lane *l = &v->lanes[i];
			end = release_end(v, i, &shown);
			if (!shown) continue;
			struct set s;
			release_set(&s, sink, l);
			emit(&s, rows[k].name, (double)lanes_counter(v, i, end, rows[k].at));
		}
	}
}

/* ---- workers ---- */

static void worker_gauges(const struct meter_series_view *v, const struct meter_series_sink *sink)
{
	static const struct {
		const char *name, *type, *help;
	} rows[] = {
	        {"headgate_edge_connections", "gauge", "Client connections open."},
	        {"headgate_edge_snapshot_generation", "gauge", "Configuration in force."},
	        {"headgate_edge_busy_seconds_total", "counter", "Time not spent waiting."},
	};
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		family(sink, rows[k].name, rows[k].type, rows[k].help);
		for (uint32_t i = 0; i < workers(v->meter); i++) {
			const struct meter_worker *w = &v->meter->worker[i];
			double n[] = {atomic_load_explicit(&w->connections, memory_order_relaxed),
			        (double)atomic_load_explicit(
			                &w->snapshot_ack, memory_order_relaxed),
			        (double)atomic_load_explicit(&w->busy_ns, memory_order_relaxed) /
			                1e9};
			struct set s = {.sink = sink};
			add_number(&s, "worker", i);
			emit(&s, rows[k].name, n[k]);
		}
	}
}

static void edge(const struct meter_series_view *v, const struct meter_series_sink *sink)
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
	        ROW(tls_put_off, "TLS handshakes that waited, as others had taken their time."),
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
	worker_gauges(v, sink);
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		family(sink, rows[k].name, "counter", rows[k].help);
		for (uint32_t i = 0; i < workers(v->meter); i++) {
			struct set s = {.sink = sink};
			add_number(&s, "worker", i);
			emit(&s, rows[k].name, (double)get(&v->meter->worker[i], rows[k].at));
		}
	}
}

/* Why handshakes failed: a rise says what to look for. */
static void handshakes(const struct meter_series_view *v, const struct meter_series_sink *sink)
{
	static const char name[] = "headgate_edge_tls_failure_reasons_total";
	static const char *const reason[] = {"not_tls", "version", "nothing_shared", "alpn",
	        "alert", "closed", "other", "timeout"};
	family(sink, name, "counter", "TLS handshakes that failed, by reason.");
	for (size_t k = 0; k < HG_COUNT(reason); k++) {
		uint64_t n = 0;
		for (uint32_t i = 0; i < workers(v->meter); i++)
			n += get(&v->meter->worker[i].tls_failed[k], 0);
		struct set s = {.sink = sink};
		add(&s, "reason", hg_str(reason[k]));
		emit(&s, name, (double)n);
	}
}

/* ---- apps ---- */

static void app_sample(const struct meter_series_sink *sink, const char *name,
        const struct meter_series_app *app, uint64_t n)
{
	struct set s = {.sink = sink};
	add(&s, "app", app->name);
	emit(&s, name, (double)n);
}

static void guard_gauges(const struct meter_series_view *v, const struct meter_series_sink *sink)
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
		family(sink, rows[k].name, "gauge", rows[k].help);
		for (size_t i = 0; i < v->app_n; i++) {
			uint32_t n = 0;
			for (uint32_t w = 0; w < workers(v->meter); w++) {
				const struct meter_app *ma =
				        meter_app_find(&v->meter->worker[w], v->apps[i].id);
				if (!ma) continue;
				const _Atomic uint32_t *g =
				        (const void *)((const char *)ma + rows[k].at);
				uint32_t one = atomic_load_explicit(g, memory_order_relaxed);
				n += rows[k].flag ? one != 0 : one;
			}
			app_sample(sink, rows[k].name, &v->apps[i], n);
		}
	}
}

static uint64_t app_counter(const struct meter *m, uint32_t id, size_t at)
{
	uint64_t n = 0;
	for (uint32_t w = 0; w < workers(m); w++) {
		const struct meter_app *ma = meter_app_find(&m->worker[w], id);
		if (ma) n += get(ma, at);
	}
	return n;
}

/* What guards the apps, of all workers together. */
static void guards(const struct meter_series_view *v, const struct meter_series_sink *sink)
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
	guard_gauges(v, sink);
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		family(sink, rows[k].name, "counter", rows[k].help);
		for (size_t i = 0; i < v->app_n; i++)
			app_sample(sink, rows[k].name, &v->apps[i],
			        app_counter(v->meter, v->apps[i].id, rows[k].at));
	}
}

/* Requests refused by who sent them; reasons that never occurred are left out. */
static void denials(const struct meter_series_view *v, const struct meter_series_sink *sink)
{
	static const char name[] = "headgate_identity_refused_total";
	family(sink, name, "counter", "Requests refused by who sent them, by reason.");
	for (size_t i = 0; i < v->app_n; i++) {
		for (int d = 0; d < METER_DENIALS; d++) {
			size_t at =
			        offsetof(struct meter_app, denied) + (size_t)d * sizeof(meter_u64);
			uint64_t n = app_counter(v->meter, v->apps[i].id, at);
			if (n == 0) continue;
			struct set s = {.sink = sink};
			add(&s, "app", v->apps[i].name);
			add(&s, "reason", hg_str(meter_denial_name((enum meter_denial)d)));
			emit(&s, name, (double)n);
		}
	}
}

/* ---- replicas ---- */

/* The place may become another one's between two reads. */
static uint64_t since(uint64_t now, uint64_t base)
{
	return now > base ? now - base : 0;
}

/* What this replica has answered, and not whoever had its place before. */
static void replica_sum(const struct meter_series_view *v, const struct meter_series_replica *r,
        struct meter_replica_sum *ret_sum)
{
	meter_replica_sum(v->meter, r->endpoint, ret_sum);
	if (!r->base) return;
	for (size_t b = 0; b < METER_BUCKETS; b++)
		ret_sum->bucket[b] = since(ret_sum->bucket[b], r->base->bucket[b]);
	ret_sum->count = since(ret_sum->count, r->base->count);
	ret_sum->duration_ns = since(ret_sum->duration_ns, r->base->duration_ns);
	ret_sum->errors = since(ret_sum->errors, r->base->errors);
	ret_sum->failures = since(ret_sum->failures, r->base->failures);
	ret_sum->overtaken = since(ret_sum->overtaken, r->base->overtaken);
}

static void replica_duration(const struct set *s, const struct meter_replica_sum *sum)
{
	uint64_t n = 0;
	for (size_t b = 0; b < METER_BUCKETS; b++) {
		n += sum->bucket[b];
		bucket(s, "headgate_replica_duration_seconds_bucket", bound_text(b), n);
	}
	emit(s, "headgate_replica_duration_seconds_sum", (double)sum->duration_ns / 1e9);
	emit(s, "headgate_replica_duration_seconds_count", (double)n);
}

static void replicas(const struct meter_series_view *v, const struct meter_series_sink *sink)
{
	static const struct {
		const char *name, *type, *help;
	} rows[] = {
	        {"headgate_replica_requests_total", "counter", "Requests answered, or overtaken."},
	        {"headgate_replica_errors_total", "counter", "Of them with 5xx."},
	        {"headgate_replica_failures_total", "counter", "Attempts without an answer."},
	        {"headgate_replica_overtaken_total", "counter",
	                "Attempts that a second one beside them was quicker than."},
	        {"headgate_replica_in_flight", "gauge", "Requests being answered."},
	        {"headgate_replica_duration_seconds", "histogram",
	                "From the choice of the replica to the end of its answer."},
	};
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		family(sink, rows[k].name, rows[k].type, rows[k].help);
		for (size_t i = 0; i < v->replica_n; i++) {
			const struct meter_series_replica *r = &v->replicas[i];
			struct meter_replica_sum sum;
			replica_sum(v, r, &sum);
			double n[] = {(double)sum.count, (double)sum.errors, (double)sum.failures,
			        (double)sum.overtaken, meter_in_flight(v->meter, r->endpoint)};
			struct set s = {.sink = sink};
			add(&s, "app", r->app);
			add_number(&s, "release", r->release);
			add_number(&s, "replica", r->replica);
			whole(sink, r->whole && rows[k].type[0] != 'g');
			if (k < HG_COUNT(n))
				emit(&s, rows[k].name, n[k]);
			else
				replica_duration(&s, &sum);
		}
	}
	whole(sink, false);
}

void meter_series(const struct meter_series_view *v, const struct meter_series_sink *s)
{
	requests(v, s);
	durations(v, s);
	upstream(v, s);
	replicas(v, s);
	guards(v, s);
	denials(v, s);
	edge(v, s);
	handshakes(v, s);
}

/* ---- in pieces ---- */

static void lane_piece(
        const struct meter_series_view *v, size_t *at, const struct meter_series_sink *s)
{
	bool shown;
	size_t end = release_end(v, *at, &shown);
	const struct meter_series_view part = {.meter = v->meter,
	        .lanes = v->lanes + *at,
	        .lane_n = end - *at,
	        .lanes_all = v->lane_n};
	requests(&part, s);
	durations(&part, s);
	upstream(&part, s);
	*at = end;
}

bool meter_series_piece(
        const struct meter_series_view *v, size_t *at, const struct meter_series_sink *s)
{
	struct meter_series_view part = {.meter = v->meter, .lanes_all = v->lane_n};
	if (*at < v->lane_n) {
		lane_piece(v, at, s);
		return false;
	}
	size_t i = (*at)++ - v->lane_n;
	if (i < v->replica_n) {
		part.replicas = v->replicas + i;
		part.replica_n = 1;
		replicas(&part, s);
		return false;
	}
	i -= v->replica_n;
	if (i < v->app_n) {
		part.apps = v->apps + i;
		part.app_n = 1;
		guards(&part, s);
		denials(&part, s);
		return false;
	}
	edge(v, s);
	handshakes(v, s);
	return true;
}

/* ---- as text ---- */

static void text_family(void *arg, const char *name, const char *type, const char *help)
{
	prom_head(arg, name, type, help);
}

static void text_sample(
        void *arg, const char *name, const struct prom_label *labels, size_t n, double v)
{
	/* Counters are whole numbers and are written as such, whatever their size. */
	if (v >= 0 && v < 0x1p63 && v == floor(v))
		prom_sample_u64(arg, name, labels, n, (uint64_t)v);
	else
		prom_sample(arg, name, labels, n, v);
}

struct meter_series_sink meter_series_text(struct hg_buf *to)
{
	return (struct meter_series_sink){.family = text_family, .sample = text_sample, .arg = to};
}
