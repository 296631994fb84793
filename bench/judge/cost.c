/*
 * What the judge costs: a request without an event, a failure, a tick, a look. One core.
 * usage: judge-cost     prints a table; nanoseconds of CPU, the best of 30 rounds
 */
#include "math/judge.h"

#include <stdio.h>
#include <time.h>

enum { ROUNDS = 30, MANY = 500000, FEW = 1000 };

struct place {
	struct judge j;
	struct judge_evidence e;
	uint8_t bytes[JUDGE_SAVED_SIZE];
	double sum;
};

static void one_request(struct place *p)
{
	/* What a worker does: its own counter, which control reads. */
	__atomic_store_n(&p->e.n_new, p->e.n_new + 1, __ATOMIC_RELAXED);
}

static void one_shared_count(struct place *p)
{
	__atomic_fetch_add((uint64_t *)(void *)&p->e.count[JUDGE_P50], 1, __ATOMIC_RELAXED);
}

static void one_decision(struct place *p)
{
	p->e.count[JUDGE_ERRORS].s++;
	p->sum += judge_decide(&p->j.lens, &p->e, NULL);
}

static void one_mean(struct place *p)
{
	double mean;
	p->e.count[JUDGE_ERRORS].s++;
	judge_decide(&p->j.lens, &p->e, &mean);
	p->sum += mean;
}

static void one_tick(struct place *p)
{
	p->e.n_old += 100;
	judge_tune(&p->j, &p->e);
}

static void one_look(struct place *p)
{
	p->e.n_old += 100;
	judge_look(&p->j, &p->e);
}

static void one_report(struct place *p)
{
	struct judge_report r;
	judge_report(&p->j, &p->e, &r);
	p->sum += r.e_good;
}

static void one_save(struct place *p)
{
	judge_save(&p->j, p->bytes);
}

static void one_load(struct place *p)
{
	p->sum += judge_load(p->bytes, sizeof p->bytes, &p->j);
}

static double cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Five minutes at 1 % failures. */
static struct place place(const struct judge_rules *rules)
{
	struct place p = {0};
	judge_init(&p.j, rules);
	judge_epoch(&p.j, 0.1, NULL);
	for (uint32_t i = 1; i <= 5; i++) {
		p.e.n_new = 6000 * i;
		p.e.n_old = 54000 * i;
		for (unsigned m = 0; m < JUDGE_METRICS; m++)
			p.e.count[m] = (struct judge_count){60 * i, 540 * i};
		judge_look(&p.j, &p.e);
	}
	return p;
}

static void measure(
        const char *what, const struct judge_rules *rules, void (*step)(struct place *), int n)
{
	double best = 1e300;
	for (int round = 0; round < ROUNDS; round++) {
		struct place p = place(rules);
		judge_save(&p.j, p.bytes);
		double from = cpu_ns();
		for (int i = 0; i < n; i++) {
			step(&p);
			__asm__ volatile("" : : "r"(&p) : "memory");
		}
		double ns = (cpu_ns() - from) / n;
		best = ns < best ? ns : best;
	}
	printf("| %s | %.1f |\n", what, best);
}

int main(void)
{
	const struct judge_rules none = {.alpha = 0.001};
	const struct judge_rules two = {.alpha = 0.001, .error_rate = 0.05, .p95 = true};
	const struct judge_rules all = {.alpha = 0.001,
	        .error_rate = 0.05,
	        .p95 = true,
	        .error_above = 0.03,
	        .p95_ratio = 1.5};
	printf("| what | ns |\n| --- | ---: |\n");
	measure("request without an event: a counter of the worker's own", &none, one_request,
	        MANY);
	measure("count of a failure, shared word", &none, one_shared_count, MANY);
	measure("decision at a failure, no rules (4 metrics)", &none, one_decision, MANY / 10);
	measure("decision at a failure, two rules (6 metrics)", &two, one_decision, MANY / 10);
	measure("decision at a failure, all rules (8 metrics)", &all, one_decision, MANY / 10);
	measure("the same, and what the mean is", &all, one_mean, MANY / 10);
	measure("tick", &two, one_tick, FEW);
	measure("tick with error_rate_above_stable", &all, one_tick, FEW);
	measure("look", &all, one_look, FEW);
	measure("report", &all, one_report, FEW);
	measure("save", &all, one_save, FEW);
	measure("load", &all, one_load, FEW);
	printf("\n%zu bytes of lens, %zu of state, %d saved\n", sizeof(struct judge_lens),
	        sizeof(struct judge), JUDGE_SAVED_SIZE);
	return 0;
}
