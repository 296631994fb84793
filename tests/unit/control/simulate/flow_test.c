/*
 * Requests by the number against requests one by one: the same judge, the same ticks, and the
 * request at which the trial trips has the same distribution. The reference here knows nothing of
 * windows: it draws each arrival, each arm, each response time, and orders what follows from them.
 */
#include "../../test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/simulate/flow_priv.h"

#define TICK_MS 200
#define END_MS  600000

struct scene {
	const char *name;
	double rate;                                 /* requests a second */
	double weight, fails_old, fails_new, slower; /* slower: ms more on the new release */
	bool hangs;
	double median_ms, p95_ms;
	bool rules;
};

static struct judge_rules rules_of(const struct scene *s)
{
	return (struct judge_rules){.alpha = 0.001,
	        .tolerance_errors = 1,
	        .tolerance_latency = 1.2,
	        .error_rate = s->rules ? 0.05 : 0,
	        .p95 = s->rules};
}

static void limits(const struct scene *s, bool of_new, double to[FLOW_LIMITS])
{
	struct sim_latency l = sim_latency_of(s->median_ms, s->p95_ms);
	const double level[] = {0.5, 0.95, 0.99};
	for (int i = 0; i < 3; i++)
		to[i] = sim_latency_quantile(l, level[i]) * (of_new ? 1.2 : 1);
	to[3] = s->rules ? 2000 : 0;
	to[4] = 0;
}

/* ---- one by one ---- */

struct happening {
	double at;
	bool of_new, enters;
	uint32_t mask;
};

struct queue {
	struct happening h[1 << 16];
	uint32_t n;
};

static void push(struct queue *q, struct happening h)
{
	uint32_t i = q->n++;
	assert_true(q->n < HG_COUNT(q->h));
	for (; i > 0 && q->h[(i - 1) / 2].at > h.at; i = (i - 1) / 2)
		q->h[i] = q->h[(i - 1) / 2];
	q->h[i] = h;
}

static struct happening pop(struct queue *q)
{
	struct happening top = q->h[0], last = q->h[--q->n];
	uint32_t i = 0;
	for (uint32_t c; (c = 2 * i + 1) < q->n; i = c) {
		if (c + 1 < q->n && q->h[c + 1].at < q->h[c].at) c++;
		if (q->h[c].at >= last.at) break;
		q->h[i] = q->h[c];
	}
	q->h[i] = last;
	return top;
}

static double normal(struct hg_rand *r)
{
	return sqrt(-2 * log(1 - hg_rand_unit(r))) * cos(2 * M_PI * hg_rand_unit(r));
}

/* What the edge does of one request: data/edge/evidence.c. */
static void arrives(struct queue *q, struct hg_rand *r, const struct scene *s, double now)
{
	static const enum judge_metric metric[] = {JUDGE_P50, JUDGE_P95, JUDGE_P99, JUDGE_RULE_P95};
	struct sim_latency l = sim_latency_of(s->median_ms, s->p95_ms);
	bool of_new = hg_rand_unit(r) < s->weight;
	double limit[FLOW_LIMITS], took = exp(l.mu + l.sigma * normal(r));
	bool fails = hg_rand_unit(r) < (of_new ? s->fails_new : s->fails_old);
	if (of_new) took += s->slower;
	if (of_new && s->hangs) took = 30000, fails = true;
	limits(s, of_new, limit);
	bool in = false;
	for (int turn = 0; turn < 4; turn++) {
		double least = INFINITY;
		int the = -1;
		for (int i = 0; i < 4; i++)
			if (limit[i] > 0 && limit[i] < took && limit[i] < least)
				least = limit[i], the = i;
		if (the < 0) break;
		limit[the] = 0;
		/* A sweep every 50 ms, unless it ends before. */
		double seen = HG_MIN(least + 50 * hg_rand_unit(r), took);
		push(q, (struct happening){now + seen, of_new, !in, 1u << metric[the]});
		in = true;
	}
	if (fails || !in)
		push(q, (struct happening){
		                now + took, of_new, !in, fails ? 1u << JUDGE_ERRORS : 0});
}

static double one_by_one(const struct scene *s, uint64_t seed)
{
	static struct queue q;
	struct judge j;
	struct judge_evidence e = {0};
	struct hg_rand r;
	double now = 0, arrival = 0, tick = TICK_MS, requests = 0;
	struct judge_rules rules = rules_of(s);
	hg_rand_seed(&r, seed);
	q.n = 0;
	judge_init(&j, &rules);
	judge_epoch(&j, s->weight, NULL);
	while (now < END_MS) {
		double next = HG_MIN(arrival, q.n ? q.h[0].at : INFINITY);
		if (tick <= next) {
			now = tick;
			tick += TICK_MS;
			judge_tune(&j, &e);
			continue;
		}
		now = next;
		if (next == arrival) {
			if (now > 0) requests++;
			if (now > 0) arrives(&q, &r, s, now);
			arrival = now - log(1 - hg_rand_unit(&r)) / s->rate * 1000;
			continue;
		}
		struct happening h = pop(&q);
		if (h.enters) *(h.of_new ? &e.n_new : &e.n_old) += 1;
		for (int m = 0; m < JUDGE_METRICS; m++)
			if (h.mask & 1u << m) *(h.of_new ? &e.count[m].c : &e.count[m].s) += 1;
		if (h.of_new && h.mask && judge_decide(&j.lens, &e, NULL) == JUDGE_BAD)
			return requests;
	}
	return INFINITY;
}

/* ---- by the number ---- */

static double by_number(const struct scene *s, uint64_t seed)
{
	static struct flow f;
	static struct sim_world w;
	struct judge j;
	struct judge_rules rules = rules_of(s);
	memset(&f, 0, sizeof f);
	memset(&w, 0, sizeof w);
	hg_rand_seed(&w.rand, seed);
	judge_init(&j, &rules);
	judge_epoch(&j, s->weight, NULL);
	f.base = sim_latency_of(s->median_ms, s->p95_ms);
	f.timeout_ms = 30000;
	for (int i = 0; i < 2; i++) {
		struct flow_arm *a = &f.arm[i];
		a->ready = true;
		limits(s, i, a->limit_ms);
		if (i && s->hangs)
			a->way[a->ways++] =
			        (struct flow_way){.share = 1, .hangs = true, .factor = 1};
		a->way[a->ways++] = (struct flow_way){.share = i ? s->fails_new : s->fails_old,
		        .failed = true,
		        .factor = 1,
		        .plus_ms = i ? s->slower : 0};
		a->way[a->ways++] =
		        (struct flow_way){.share = 1, .factor = 1, .plus_ms = i ? s->slower : 0};
	}
	flow_prepare(&f);
	struct ro_split split = {.present = true,
	        .weight_ppm = (uint32_t)(s->weight * RO_WHOLE),
	        .epoch = 1,
	        .flags = RO_SPLIT_JUDGE};
	sim_split_set(&w.edge, &split);
	for (uint32_t tick = 0; tick < END_MS / TICK_MS; tick++) {
		double now = tick * TICK_MS;
		w.edge.lens = j.lens;
		flow_window(&f, &w, now, now + TICK_MS, s->rate / 1000, INFINITY, s->weight);
		if (w.edge.tripped) return (double)(f.total.new_ + f.total.old);
		judge_tune(&j, sim_cell(&w.edge, 1));
	}
	return INFINITY;
}

/* ---- the same distribution? ---- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov: the largest distance of the two distribution functions. */
static double distance(double *a, double *b, uint32_t n)
{
	double most = 0;
	qsort(a, n, sizeof *a, by_size);
	qsort(b, n, sizeof *b, by_size);
	for (uint32_t i = 0, k = 0; i < n && k < n;) {
		double at = HG_MIN(a[i], b[k]);
		if (!isfinite(at)) break;
		while (i < n && a[i] <= at)
			i++;
		while (k < n && b[k] <= at)
			k++;
		most = HG_MAX(most, fabs((double)i - k) / n);
	}
	return most;
}

/* `limit` 0: no further apart than two samples of one distribution are in one of a thousand cases.
 */
static void agrees(const struct scene *s, uint32_t runs, double limit)
{
	if (getenv("HEADGATE_TEST_LONG") && *getenv("HEADGATE_TEST_LONG")) runs *= 10;
	double *a = calloc(runs, sizeof *a), *b = calloc(runs, sizeof *b);
	assert_non_null(a);
	assert_non_null(b);
	for (uint32_t i = 0; i < runs; i++) {
		a[i] = one_by_one(s, 1000 + i);
		b[i] = by_number(s, 500000 + i);
	}
	double d = distance(a, b, runs);
	if (!(limit > 0)) limit = 1.95 * sqrt(2.0 / runs);
	printf("# %s: median %.0f one by one, %.0f by the number; distance %.3f of %.3f\n", s->name,
	        a[runs / 2], b[runs / 2], d, limit);
	assert_true(isfinite(a[runs / 2]));
	assert_true(d < limit);
	free(a);
	free(b);
}

static void the_request_that_completes_the_proof_is_distributed_as_one_by_one(void **state)
{
	static const struct scene scenes[] = {
	        {"all fail, 10 %", 1000, 0.1, 0, 1, 0, false, 1, 4, false},
	        {"all fail, 10 %, the old one 0.1 %, rules", 1000, 0.1, 0.001, 1, 0, false, 1, 4,
	                true},
	        {"half fail, 10 %", 1000, 0.1, 0.001, 0.5, 0, false, 1, 4, true},
	        {"5 % fail, 10 %", 1000, 0.1, 0.001, 0.05, 0, false, 1, 4, false},
	        {"5 % fail, 50 %, rules", 1000, 0.5, 0.001, 0.05, 0, false, 1, 4, true},
	        {"5 % fail, 10 %, 20 requests/s", 20, 0.1, 0.001, 0.05, 0, false, 1, 4, true},
	        {"all fail, 1 %", 1000, 0.01, 0, 1, 0, false, 1, 4, false},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(scenes); i++)
		agrees(&scenes[i], 500, 0);
}

static void it_is_so_when_thousands_come_within_a_window(void **state)
{
	static const struct scene scenes[] = {
	        {"1 % fail, 10 %, 50,000 requests/s", 50000, 0.1, 0.001, 0.01, 0, false, 1, 4,
	                true},
	        {"2 % fail, 50 %, 50,000 requests/s", 50000, 0.5, 0.01, 0.02, 0, false, 1, 4,
	                false},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(scenes); i++)
		agrees(&scenes[i], 100, 0);
}

/* Response times enter with the mean of their kind: a bound beyond chance, which is what the
 * documents promise. */
static void response_times_are_near_enough(void **state)
{
	static const struct scene scenes[] = {
	        {"slower by the median, 10 %", 1000, 0.1, 0, 0, 20, false, 20, 80, false},
	        {"slower by 2 s", 1000, 0.1, 0, 0, 2000, false, 20, 80, true},
	        {"hangs", 1000, 0.1, 0, 0, 0, true, 20, 80, true},
	        {"all fail after 20 ms, 10 %", 1000, 0.1, 0, 1, 0, false, 20, 80, true},
	        {"all fail after 200 ms, 10 %", 200, 0.1, 0, 1, 0, false, 200, 800, true},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(scenes); i++)
		agrees(&scenes[i], 300, 0.25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_request_that_completes_the_proof_is_distributed_as_one_by_one),
	        cmocka_unit_test(it_is_so_when_thousands_come_within_a_window),
	        cmocka_unit_test(response_times_are_near_enough),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
