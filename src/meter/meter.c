#include "meter/meter.h"

#include <math.h>
#include <string.h>

/* Dense where service objectives lie (50 ms to 1 s), so that a quantile read from them is sharp. */
const double meter_bounds[METER_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075,
        0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 2.5, 5, 10, 30, INFINITY};

/* The same bounds in nanoseconds: the hot path does no floating point. */
static const uint64_t bounds_ns[METER_BUCKETS] = {500000, 1000000, 2500000, 5000000, 10000000,
        25000000, 50000000, 75000000, 100000000, 150000000, 200000000, 250000000, 300000000,
        400000000, 500000000, 750000000, 1000000000, 1500000000, 2000000000, 2500000000, 5000000000,
        10000000000, 30000000000, UINT64_MAX};

/* IANA's registry of status codes (2026), and what is in common use beside it (nginx's 444, 494 to
 * 499, Cloudflare's 520 to 530). The last five places are for what is in none. */
static const uint16_t codes[METER_CODES - 5] = {100, 101, 102, 103, 104, 200, 201, 202, 203, 204,
        205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403, 404,
        405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424,
        425, 426, 428, 429, 431, 444, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 511,
        520, 524, 529};

unsigned meter_code_at(uint32_t at)
{
	HG_ASSERT(at < METER_CODES);
	return at < HG_COUNT(codes) ? codes[at] : 1 + at - (uint32_t)HG_COUNT(codes);
}

size_t meter_size(uint32_t workers)
{
	/* A new counter takes the place of a reserved one. */
	_Static_assert(offsetof(struct meter, worker) % 64 == 0, "workers begin a line");
	_Static_assert(sizeof(struct meter_worker) % 64 == 0, "all of them");
	_Static_assert(offsetof(struct meter_worker, lane) % 64 == 0 &&
	                       sizeof(struct meter_lane) % 64 == 0,
	        "lanes are whole lines");
	_Static_assert(offsetof(struct meter_worker, replica) % 64 == 0 &&
	                       sizeof(struct meter_replica) % 64 == 0,
	        "replicas are, too");
	return sizeof(struct meter) + (size_t)workers * sizeof(struct meter_worker);
}

static uint32_t mix(uint32_t h, size_t v)
{
	for (int i = 0; i < 4; i++)
		h = (h ^ ((uint32_t)(v >> (8 * i)) & 255)) * 16777619u;
	return h;
}

uint32_t meter_layout(void)
{
	uint32_t h = 2166136261u;
	h = mix(h, sizeof(struct meter));
	h = mix(h, sizeof(struct meter_worker));
	h = mix(h, sizeof(struct meter_lane));
	h = mix(h, offsetof(struct meter_worker, in_flight));
	h = mix(h, offsetof(struct meter_worker, lane_used));
	h = mix(h, codes[METER_CODES - 6]);
	h = mix(h, offsetof(struct meter_worker, replica));
	h = mix(h, offsetof(struct meter_worker, trial));
	h = mix(h, offsetof(struct meter_worker, lane));
	h = mix(h, sizeof(struct meter_app));
	h = mix(h, offsetof(struct meter_worker, app));
	h = mix(h, sizeof(struct meter_trial));
	h = mix(h, sizeof(struct meter_trial_cell));
	h = mix(h, sizeof(struct meter_trial_count));
	h = mix(h, offsetof(struct meter_trial, differs));
	h = mix(h, sizeof(struct meter_difference));
	h = mix(h, sizeof(struct meter_top));
	h = mix(h, offsetof(struct meter_worker, top));
	h = mix(h, offsetof(struct meter_lane, bucket));
	h = mix(h, offsetof(struct meter_lane, aborted));
	h = mix(h, offsetof(struct meter_lane, fast));
	h = mix(h, offsetof(struct meter_lane, broken));
	for (int i = 0; i < METER_BUCKETS; i++)
		h = mix(h, (size_t)(bounds_ns[i] / 1000));
	return h;
}

void meter_init(struct meter *m, uint32_t workers)
{
	HG_ASSERT(workers > 0 && workers <= METER_WORKERS_MAX);
	m->worker_count = workers;
	m->layout = meter_layout();
	m->magic = METER_MAGIC;
}

struct meter *meter_open(void *mapping, size_t size)
{
	struct meter *m = mapping;
	if (!m || size < sizeof *m || m->magic != METER_MAGIC || m->layout != meter_layout()) {
		return NULL;
	}
	if (m->worker_count == 0 || m->worker_count > METER_WORKERS_MAX) return NULL;
	return size < meter_size(m->worker_count) ? NULL : m;
}

void meter_worker_reset(struct meter *m, uint32_t worker)
{
	HG_ASSERT(worker < m->worker_count);
	struct meter_worker *w = &m->worker[worker];
	atomic_store_explicit(&w->pid, 0, memory_order_relaxed);
	atomic_store_explicit(&w->connections, 0, memory_order_relaxed);
	atomic_store_explicit(&w->snapshot_ack, 0, memory_order_relaxed);
	atomic_store_explicit(&w->certs_ack, 0, memory_order_relaxed);
	for (uint32_t i = 0; i < METER_ENDPOINTS; i++) {
		/* Reading first keeps pages that were never touched out of memory. */
		if (atomic_load_explicit(&w->in_flight[i], memory_order_relaxed)) {
			atomic_store_explicit(&w->in_flight[i], 0, memory_order_relaxed);
		}
	}
	for (uint32_t i = 0; i < METER_APPS; i++) {
		/* What its successor knows of the app's health is nothing. */
		if (atomic_load_explicit(&w->app[i].id, memory_order_relaxed)) {
			atomic_store_explicit(&w->app[i].breaker, 0, memory_order_relaxed);
			atomic_store_explicit(&w->app[i].waiting, 0, memory_order_relaxed);
			atomic_store_explicit(&w->app[i].limit, 0, memory_order_relaxed);
			atomic_store_explicit(&w->app[i].dip_ms, 0, memory_order_relaxed);
		}
	}
}

/* Open addressing by id; places are never given back. */
static uint32_t app_place(const struct meter_worker *w, uint32_t id, uint32_t *ret_have)
{
	uint32_t at = id * 2654435761u % METER_APPS;
	for (uint32_t i = 0; i < METER_APPS; i++, at = (at + 1) % METER_APPS) {
		*ret_have = atomic_load_explicit(&w->app[at].id, memory_order_acquire);
		if (*ret_have == id || *ret_have == 0) return at;
	}
	return METER_APPS;
}

struct meter_app *meter_app_take(struct meter_worker *w, uint32_t id)
{
	uint32_t have, at = app_place(w, id, &have);
	if (id == 0 || at == METER_APPS) return NULL;
	if (!have) atomic_store_explicit(&w->app[at].id, id, memory_order_release);
	return &w->app[at];
}

const struct meter_app *meter_app_find(const struct meter_worker *w, uint32_t id)
{
	uint32_t have, at = app_place(w, id, &have);
	return id && at < METER_APPS && have == id ? &w->app[at] : NULL;
}

static uint32_t bucket_of(uint64_t ns)
{
	uint32_t at = 0;
	for (uint32_t half = METER_BUCKETS / 2; half; half /= 2) {
		while (at + half < METER_BUCKETS && ns > bounds_ns[at + half - 1])
			at += half;
	}
	return at;
}

bool meter_bound_at(uint64_t ns)
{
	return ns < UINT64_MAX && bounds_ns[bucket_of(ns)] == ns;
}

/* Where each hundred begins in the codes. */
static const uint8_t class_at[7] = {0, 0, 5, 15, 23, 54, HG_COUNT(codes)};

static uint32_t place_of(unsigned status)
{
	unsigned class = status / 100;
	for (uint32_t i = class_at[class]; i < class_at[class + 1] && codes[i] <= status; i++)
		if (codes[i] == status) return i;
	return (uint32_t)HG_COUNT(codes) + class - 1;
}

void meter_observe(struct meter_lane *l, unsigned status, uint64_t duration_ns)
{
	HG_ASSERT(status >= 100 && status < 600);
	meter_add(&l->code[place_of(status)], 1);
	meter_add(&l->bucket[bucket_of(duration_ns)], 1);
	meter_add(&l->duration_ns, duration_ns);
}

void meter_observe_replica(struct meter_replica *r, unsigned status, uint64_t duration_ns)
{
	meter_add(&r->bucket[bucket_of(duration_ns)], 1);
	meter_add(&r->duration_ns, duration_ns);
	if (status >= 500) meter_add(&r->errors, 1);
}

void meter_observe_overtaken(struct meter_replica *r, uint64_t age_ns)
{
	meter_add(&r->bucket[bucket_of(age_ns)], 1);
	meter_add(&r->duration_ns, age_ns);
	meter_add(&r->overtaken, 1);
}

static uint64_t get(const meter_u64 *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

uint64_t meter_lane_code(const struct meter *m, uint32_t lane, unsigned status)
{
	return status < 100 || status >= 600 ? 0 : meter_lane_place(m, lane, place_of(status));
}

static bool used(const struct meter_worker *w, uint32_t lane)
{
	return atomic_load_explicit(&w->lane_used[lane], memory_order_relaxed);
}

uint64_t meter_lane_place(const struct meter *m, uint32_t lane, uint32_t at)
{
	uint64_t n = 0;
	if (lane >= METER_LANES_MAX || at >= METER_CODES) return 0;
	for (uint32_t w = 0; w < m->worker_count; w++)
		if (used(&m->worker[w], lane)) n += get(&m->worker[w].lane[lane].code[at]);
	return n;
}

bool meter_lane_used(const struct meter *m, uint32_t lane)
{
	if (lane >= METER_LANES_MAX) return false;
	for (uint32_t w = 0; w < m->worker_count; w++)
		if (used(&m->worker[w], lane)) return true;
	return false;
}

static void sum_add(const struct meter_lane *l, struct meter_lane_sum *s)
{
	for (unsigned i = 0; i < METER_CODES; i++) {
		uint64_t n = get(&l->code[i]);
		unsigned code = meter_code_at(i), class = code < 100 ? code : code / 100;
		HG_ASSERT(class < HG_COUNT(s->by_class));
		s->by_class[class] += n;
		s->total += n;
	}
	for (int i = 0; i < METER_BUCKETS; i++) {
		uint64_t n = get(&l->bucket[i]);
		s->bucket[i] += n;
		s->count += n;
	}
	s->duration_ns += get(&l->duration_ns);
	s->bytes_in += get(&l->bytes_in);
	s->bytes_out += get(&l->bytes_out);
	s->attempts += get(&l->attempts);
	s->failures += get(&l->failures);
	s->retries += get(&l->retries);
	s->aborted += get(&l->aborted);
	s->fast += get(&l->fast);
	s->broken += get(&l->broken);
}

void meter_lane_sum(const struct meter *m, uint32_t lane, struct meter_lane_sum *ret_sum)
{
	*ret_sum = (struct meter_lane_sum){0};
	if (lane >= METER_LANES_MAX) return;
	for (uint32_t w = 0; w < m->worker_count; w++)
		if (used(&m->worker[w], lane)) sum_add(&m->worker[w].lane[lane], ret_sum);
}

double meter_quantile(const uint64_t bucket[METER_BUCKETS], double q)
{
	uint64_t total = 0, below = 0;
	for (size_t i = 0; i < METER_BUCKETS; i++)
		total += bucket[i];
	if (total == 0) return -1;
	double rank = q * (double)total;
	for (size_t i = 0; i < METER_BUCKETS; i++) {
		if ((double)(below + bucket[i]) < rank || bucket[i] == 0) {
			below += bucket[i];
			continue;
		}
		double low = i ? meter_bounds[i - 1] : 0;
		if (i == METER_BUCKETS - 1)
			return low; /* nothing is known above, as in Prometheus */
		return low + (meter_bounds[i] - low) * (rank - (double)below) / (double)bucket[i];
	}
	return meter_bounds[METER_BUCKETS - 2];
}

uint32_t meter_behind(const struct meter *m, uint64_t snapshot, uint64_t certs)
{
	for (uint32_t w = 0; w < m->worker_count; w++) {
		const struct meter_worker *k = &m->worker[w];
		/* A slot without a process is between two: the next one begins with the newest. */
		uint32_t pid = atomic_load_explicit(&k->pid, memory_order_relaxed);
		if (!pid) continue;
		if (atomic_load_explicit(&k->snapshot_ack, memory_order_acquire) < snapshot ||
		        atomic_load_explicit(&k->certs_ack, memory_order_acquire) < certs)
			return pid;
	}
	return 0;
}

void meter_replica_sum(const struct meter *m, uint32_t endpoint, struct meter_replica_sum *ret_sum)
{
	*ret_sum = (struct meter_replica_sum){0};
	if (endpoint >= METER_ENDPOINTS) return;
	for (uint32_t w = 0; w < m->worker_count; w++) {
		const struct meter_replica *r = &m->worker[w].replica[endpoint];
		for (int i = 0; i < METER_BUCKETS; i++) {
			uint64_t n = get(&r->bucket[i]);
			ret_sum->bucket[i] += n;
			ret_sum->count += n;
		}
		ret_sum->duration_ns += get(&r->duration_ns);
		ret_sum->errors += get(&r->errors);
		ret_sum->failures += get(&r->failures);
		ret_sum->overtaken += get(&r->overtaken);
	}
}

uint32_t meter_in_flight(const struct meter *m, uint32_t endpoint)
{
	uint32_t n = 0;
	if (endpoint >= METER_ENDPOINTS) return 0;
	for (uint32_t w = 0; w < m->worker_count; w++) {
		n += atomic_load_explicit(&m->worker[w].in_flight[endpoint], memory_order_relaxed);
	}
	return n;
}

/* ---- trials ---- */

void meter_trial_sum(const struct meter *m, uint32_t cell, struct meter_trial_sum *ret_sum)
{
	*ret_sum = (struct meter_trial_sum){0};
	if (cell >= METER_CELLS) return;
	for (int i = 0; i < METER_METRICS; i++)
		ret_sum->word[i] =
		        atomic_load_explicit(&m->cell[cell].word[i], memory_order_acquire);
	for (uint32_t w = 0; w < m->worker_count; w++) {
		const struct meter_trial_count *c = &m->worker[w].trial[cell];
		ret_sum->n_new += get(&c->n_new);
		ret_sum->n_old += get(&c->n_old);
		ret_sum->warm_new += get(&c->warm_new);
		ret_sum->forced += get(&c->forced);
		ret_sum->rescued += get(&c->rescued);
		ret_sum->seen += get(&c->seen);
		ret_sum->unreplayable += get(&c->unreplayable);
		ret_sum->mirrored += get(&c->mirrored);
		ret_sum->mirror_differs += get(&c->mirror_differs);
		ret_sum->mirror_failed += get(&c->mirror_failed);
		ret_sum->mirror_partly += get(&c->mirror_partly);
		ret_sum->mirror_dropped += get(&c->mirror_dropped);
	}
}

bool meter_trip(struct meter_trial *t, uint64_t rollout, uint32_t epoch, uint64_t wall_ms)
{
	uint64_t was = atomic_load_explicit(&t->tripped, memory_order_relaxed);
	while (was < rollout) {
		if (!atomic_compare_exchange_weak_explicit(
		            &t->tripped, &was, rollout, memory_order_acq_rel, memory_order_relaxed))
			continue;
		atomic_store_explicit(&t->tripped_epoch, epoch, memory_order_relaxed);
		atomic_store_explicit(&t->tripped_wall_ms, wall_ms, memory_order_release);
		return true;
	}
	return false;
}

/* ---- the first of a rollout ---- */

/* Takes a place that belongs to an earlier rollout. */
static bool place_take(_Atomic uint64_t *owner, uint64_t rollout)
{
	uint64_t was = atomic_load_explicit(owner, memory_order_relaxed);
	return was >> 1 < rollout &&
	       atomic_compare_exchange_strong_explicit(
	               owner, &was, rollout << 1, memory_order_acq_rel, memory_order_relaxed);
}

static void place_done(_Atomic uint64_t *owner, uint64_t rollout)
{
	atomic_store_explicit(owner, rollout << 1 | 1, memory_order_release);
}

/* Copies what follows `owner`, which stands first; false: it is none of this rollout, or not whole.
 */
static bool place_get(const _Atomic uint64_t *owner, uint64_t rollout, void *to, size_t size)
{
	uint64_t want = rollout << 1 | 1;
	if (atomic_load_explicit(owner, memory_order_acquire) != want) return false;
	memcpy((char *)to + sizeof *owner, (const char *)owner + sizeof *owner,
	        size - sizeof *owner);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(owner, memory_order_relaxed) == want;
}

/* A worker that dies while it fills its place leaves it taken: one of eight is lost. */
struct meter_failure *meter_failure_take(struct meter_trial *t, uint64_t rollout)
{
	for (int i = 0; i < METER_FAILURES; i++)
		if (place_take(&t->first[i].owner, rollout)) return &t->first[i];
	return NULL;
}

void meter_failure_done(struct meter_failure *f, uint64_t rollout)
{
	place_done(&f->owner, rollout);
}

bool meter_failure_get(const struct meter_trial *t, uint32_t i, uint64_t rollout,
        struct meter_failure *ret_failure)
{
	struct meter_failure *f = ret_failure;
	if (i >= METER_FAILURES || !place_get(&t->first[i].owner, rollout, f, sizeof *f))
		return false;
	/* Shared memory is not trusted with lengths. */
	f->method_n = HG_MIN(f->method_n, (uint8_t)sizeof f->method);
	f->path_n = HG_MIN(f->path_n, (uint8_t)sizeof f->path);
	f->rid_n = HG_MIN(f->rid_n, (uint8_t)sizeof f->rid);
	f->body_n = HG_MIN(f->body_n, (uint16_t)sizeof f->body);
	return true;
}

static bool alike(const struct meter_difference *a, const struct meter_difference *b)
{
	return a->what == b->what && a->cause == b->cause && a->status_old == b->status_old &&
	       a->status_new == b->status_new && a->at_n == b->at_n &&
	       memcmp(a->at, b->at, a->at_n) == 0;
}

void meter_difference_keep(
        struct meter_trial *t, uint64_t rollout, const struct meter_difference *d)
{
	struct meter_difference there;
	for (uint32_t i = 0; i < METER_DIFFERENCES; i++) {
		struct meter_difference *to = &t->differs[i];
		if (meter_difference_get(t, i, rollout, &there) && alike(&there, d)) return;
		if (!place_take(&to->owner, rollout)) continue;
		memcpy((char *)to + sizeof to->owner, (const char *)d + sizeof d->owner,
		        sizeof *d - sizeof d->owner);
		place_done(&to->owner, rollout);
		return;
	}
}

bool meter_difference_get(const struct meter_trial *t, uint32_t i, uint64_t rollout,
        struct meter_difference *ret_difference)
{
	struct meter_difference *d = ret_difference;
	if (i >= METER_DIFFERENCES || !place_get(&t->differs[i].owner, rollout, d, sizeof *d))
		return false;
	d->method_n = HG_MIN(d->method_n, (uint8_t)sizeof d->method);
	d->path_n = HG_MIN(d->path_n, (uint8_t)sizeof d->path);
	d->rid_n = HG_MIN(d->rid_n, (uint8_t)sizeof d->rid);
	d->at_n = HG_MIN(d->at_n, (uint8_t)sizeof d->at);
	return true;
}

const char *meter_denial_name(enum meter_denial d)
{
	static const char *const names[METER_DENIALS] = {"no_credential", "ambiguous", "malformed",
	        "too_large", "algorithm", "unknown_key", "signature", "expired", "not_yet",
	        "issuer", "audience", "type", "no_user", "api_key", "api_key_expired", "role",
	        "scope", "cross_site", "unavailable"};
	HG_ASSERT(d < METER_DENIALS);
	return names[d];
}
