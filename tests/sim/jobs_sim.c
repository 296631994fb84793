/*
 * The queue in a world of its own clock: workers that die, hang longer than their lease and come
 * back, a database that is away, and commits whose end nobody hears of. The decisions, the turns
 * and the rows are those of the program; only the loop and the clock are made up.
 *
 * usage: jobs_sim FIRST COUNT    (seeds FIRST … FIRST + COUNT - 1)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/worker_priv.h"
#include "os/file.h"

#define WORKERS   4u
#define JOBS      48u
#define TROUBLE_S 90 /* how long things go wrong */
#define START_MS  1795700000000ll

struct fake_job {
	int64_t id;
	uint64_t put_at;
	bool put, poison;
	uint32_t running, effects, hits; /* hits: what may have made its effect come twice */
};

struct fake_run {
	struct job_run *run;
	uint64_t until;
	enum job_verdict verdict;
};

struct worker {
	bool alive;
	uint64_t alive_at, die_at, frozen_until;
	struct jobs_pace pace;
	struct fake_run run[16];
	uint32_t runs;
	struct hg_list ended;
	struct turn turn;
	bool under_way; /* the turn is carried out, and its end not heard yet */
	bool unheard;   /* it was, but it looks as if it had failed */
	uint64_t heard_at, look_at;
};

struct world {
	uint64_t seed, now; /* now: monotonic */
	struct hg_rand rand;
	struct db *db;
	struct jobs_store *s;
	struct jobs_setting set;
	struct worker w[WORKERS];
	struct fake_job job[JOBS];
	uint64_t away_from, away_until;
	uint64_t deaths, effects, turns;
};

#define MUST(x, cond)                                                                        \
	do {                                                                                 \
		if (!(cond)) {                                                               \
			fprintf(stderr, "jobs_sim: seed %llu at %llu ms: not: %s\n",         \
			        (unsigned long long)(x)->seed, (unsigned long long)(x)->now, \
			        #cond);                                                      \
			exit(1);                                                             \
		}                                                                            \
	} while (0)

static uint32_t below(struct world *x, uint32_t n)
{
	return hg_rand_below(&x->rand, n);
}

static bool chance(struct world *x, double share)
{
	return hg_rand_unit(&x->rand) < share;
}

static struct fake_job *job_of_id(struct world *x, int64_t id)
{
	for (uint32_t i = 0; i < JOBS; i++)
		if (x->job[i].put && x->job[i].id == id) return &x->job[i];
	MUST(x, false && "a job that nobody put");
	return NULL;
}

static bool trouble(const struct world *x)
{
	return x->now < TROUBLE_S * 1000;
}

static void be_born(struct world *x, struct worker *w)
{
	*w = (struct worker){.alive = true, .look_at = x->now, .frozen_until = 0};
	w->die_at = trouble(x) && chance(x, 0.8) ? x->now + 500 + below(x, 15000) : UINT64_MAX;
	w->pace = (struct jobs_pace){
	        .slots = x->set.slots, .lease_ms = x->set.lease_ms, .next_due_ms = INT64_MAX};
	hg_list_init(&w->ended);
	hg_list_init(&w->turn.ending);
	hg_list_init(&w->turn.claimed);
}

/* Its effect may have been, and its end not been written; or it was claimed in vain. */
static void hit(struct world *x, const struct job_run *run)
{
	job_of_id(x, run->claimed->job.id)->hits++;
}

static void drop_list(struct world *x, struct hg_list *l)
{
	for (struct hg_list *node; (node = hg_list_pop(l));) {
		struct job_run *run = HG_CONTAINER(node, struct job_run, turn_node);
		hit(x, run);
		jobs_run_free(run);
	}
}

static void die(struct world *x, struct worker *w)
{
	for (uint32_t i = 0; i < w->runs; i++) {
		struct job_run *run = w->run[i].run;
		hit(x, run);
		if (!run->text.n) job_of_id(x, run->claimed->job.id)->running--;
		jobs_run_free(run);
	}
	drop_list(x, &w->ended);
	drop_list(x, &w->turn.ending);
	drop_list(x, &w->turn.claimed);
	x->deaths++;
	*w = (struct worker){.alive_at = x->now + below(x, 3000)};
}

static void end_run(struct world *x, struct worker *w, uint32_t i, enum job_verdict v)
{
	struct job_run *run = w->run[i].run;
	job_of_id(x, run->claimed->job.id)->running--;
	run->verdict = v;
	run->unit = hg_rand_unit(&x->rand);
	hg_list_append(&w->ended, &run->turn_node);
	w->run[i] = w->run[--w->runs];
}

static void start_run(struct world *x, struct worker *w, struct job_run *run)
{
	struct fake_job *j = job_of_id(x, run->claimed->job.id);
	uint64_t long_ms = x->set.lease_ms * 2;
	MUST(x, run->kind && w->runs < HG_COUNT(w->run) && w->runs < x->set.slots);
	MUST(x, !j->running); /* nobody else who is awake runs it */
	j->running++;
	w->run[w->runs++] = (struct fake_run){.run = run,
	        .until =
	                x->now + 1 + (chance(x, 0.1) ? below(x, (uint32_t)long_ms) : below(x, 300)),
	        .verdict = chance(x, 0.75)                 ? JOB_OK
	                   : chance(x, 0.9) || !trouble(x) ? JOB_RETRY
	                                                   : JOB_GIVE_UP};
}

static void give_back_ends(struct worker *w)
{
	for (struct hg_list *node; (node = hg_list_pop(&w->turn.ending));)
		hg_list_append(&w->ended, node);
}

static void turn_over(struct world *x, struct worker *w)
{
	struct turn *t = &w->turn;
	struct jobs_pace *p = &w->pace;
	w->under_way = false;
	p->tried_mono_ms = x->now;
	if (t->rc < 0 || w->unheard) {
		p->away = true;
		p->failures++;
		give_back_ends(w);
		/* Claimed, and nobody knows: the leases lapse. */
		drop_list(x, &t->claimed);
		return;
	}
	p->away = false;
	p->failures = 0;
	if (t->plan.beat) p->beat_mono_ms = t->begun_mono_ms;
	if (t->plan.rescue) p->rescued_mono_ms = x->now;
	if (t->plan.sweep) p->swept_mono_ms = x->now;
	if (t->claimed_n && w->runs == 0) p->beat_mono_ms = t->begun_mono_ms;
	if (t->claim_asked) {
		p->claimed_mono_ms = x->now;
		p->next_due_ms = t->next_due_ms;
		p->more = t->plan.claim && t->claim_full;
		p->idle = t->claimed_n ? 0 : p->idle + 1;
	}
	for (struct hg_list *node; (node = hg_list_pop(&t->ending));) {
		struct job_run *run = HG_CONTAINER(node, struct job_run, turn_node);
		/* The database was away for longer than the lease when it was done. */
		if (run->ended == JOBS_NOT_OURS) hit(x, run);
		jobs_run_free(run);
	}
	for (uint32_t i = 0; i < w->runs; i++)
		for (uint32_t k = 0; k < t->beats; k++) {
			const struct job *job = &w->run[i].run->claimed->job;
			if (t->beat[k].id != job->id || t->beat[k].lease != job->lease) continue;
			if (t->beat[k].ours) w->run[i].run->leased_mono_ms = t->begun_mono_ms;
		}
	for (struct hg_list *node; (node = hg_list_pop(&t->claimed));)
		start_run(x, w, HG_CONTAINER(node, struct job_run, turn_node));
}

/* As worker.c: what may be another's is broken off before anything else. */
static uint64_t guard(struct world *x, struct worker *w)
{
	uint64_t next = UINT64_MAX;
	for (uint32_t i = 0; i < w->runs;) {
		struct job_run *run = w->run[i].run;
		if (job_lease_lapsed(run->leased_mono_ms, x->set.lease_ms, x->now)) {
			hit(x, run);
			end_run(x, w, i, JOB_RETRY);
			continue;
		}
		next = HG_MIN(next, run->leased_mono_ms + x->set.lease_ms - x->set.lease_ms / 10);
		i++;
	}
	return next;
}

static void begin_turn(struct world *x, struct worker *w, const struct jobs_plan *plan)
{
	struct turn *t = &w->turn;
	struct hg_err err = {0};
	*t = (struct turn){.plan = *plan, .claim_asked = plan->claim > 0, .begun_mono_ms = x->now};
	hg_list_init(&t->ending);
	hg_list_init(&t->claimed);
	for (struct hg_list *node; (node = hg_list_pop(&w->ended));)
		hg_list_append(&t->ending, node);
	for (uint32_t i = 0; plan->beat && i < w->runs; i++) {
		const struct job *job = &w->run[i].run->claimed->job;
		t->beat[t->beats++] = (struct jobs_beat){job->id, job->lease, false};
	}
	x->turns++;
	w->under_way = true;
	w->heard_at = x->now + below(x, 20);
	w->unheard = trouble(x) && chance(x, 0.005);
	jobs_store_pretend(x->s, START_MS + (int64_t)x->now);
	if (x->now >= x->away_from && x->now < x->away_until)
		t->rc = HG_E_DB_OPEN;
	else
		t->rc = jobs_turn(&x->set, x->s, x->db, t, &err);
	if (t->rc < 0 && t->rc != HG_E_DB_OPEN) {
		fprintf(stderr, "jobs_sim: seed %llu: %s\n", (unsigned long long)x->seed,
		        err.message);
		exit(1);
	}
}

/* What a worker does now; returns when it wants to be asked again. */
static uint64_t act(struct world *x, struct worker *w)
{
	uint64_t next;
	if (x->now < w->frozen_until) return w->frozen_until;
	next = guard(x, w);
	for (uint32_t i = 0; i < w->runs;) {
		struct fake_job *j = job_of_id(x, w->run[i].run->claimed->job.id);
		if (w->run[i].until > x->now) {
			next = HG_MIN(next, w->run[i].until);
			i++;
			continue;
		}
		if (j->poison && trouble(x)) {
			die(x, w);
			return w->alive_at;
		}
		if (w->run[i].verdict == JOB_OK) {
			j->effects++;
			x->effects++;
		}
		end_run(x, w, i, w->run[i].verdict);
	}
	if (w->under_way && x->now >= w->heard_at) turn_over(x, w);
	if (w->under_way) return HG_MIN(next, w->heard_at);
	w->pace.running = w->runs;
	w->pace.ended = !hg_list_empty(&w->ended);
	struct jobs_plan plan = jobs_decide_plan(
	        &w->pace, START_MS + (int64_t)x->now, x->now, hg_rand_unit(&x->rand));
	if (!plan.any) return HG_MIN(next, HG_MAX(plan.wake_mono_ms, x->now + 1));
	begin_turn(x, w, &plan);
	return HG_MIN(next, HG_MAX(w->heard_at, x->now + 1));
}

static void happen(struct world *x, struct worker *w)
{
	if (!w->alive) {
		if (x->now >= w->alive_at) be_born(x, w);
		return;
	}
	if (x->now >= w->die_at) {
		die(x, w);
		return;
	}
	/* Its runs stand still; those whose lease is over meanwhile may be run by others. */
	if (trouble(x) && x->now >= w->frozen_until && chance(x, 0.0005))
		w->frozen_until = x->now + below(x, (uint32_t)x->set.lease_ms * 3);
}

static void put_jobs(struct world *x)
{
	static const struct hg_str queues[] = {{"a", 1}, {"b", 1}};
	for (uint32_t i = 0; i < JOBS; i++) {
		struct fake_job *j = &x->job[i];
		struct job_new n = {.queue = queues[i % 2],
		        .kind = HG_STR("k"),
		        .priority = below(x, JOBS_PRIORITIES)};
		bool made = false;
		if (j->put || x->now < j->put_at) continue;
		if (chance(x, 0.2)) n.run_at_ms = START_MS + (int64_t)x->now + below(x, 20000);
		if (jobs_store_put(x->s, &n, START_MS + (int64_t)x->now, &j->id, &made, NULL) < 0)
			exit(1);
		j->put = made;
	}
}

/* Frozen workers do not run anything: what they hold may be run elsewhere once. */
static void check_overlap(struct world *x)
{
	for (uint32_t i = 0; i < WORKERS; i++) {
		if (x->now >= x->w[i].frozen_until) continue;
		for (uint32_t k = 0; k < x->w[i].runs; k++) {
			const struct job_run *run = x->w[i].run[k].run;
			if (!job_lease_lapsed(run->leased_mono_ms, x->set.lease_ms, x->now))
				continue;
			/* Broken off when it wakes: no longer counted. */
			if (run->text.n) continue;
			hg_buf_byte(&x->w[i].run[k].run->text, '!');
			job_of_id(x, run->claimed->job.id)->running--;
		}
	}
}

/* A run that was counted out while it was frozen is counted in again before it is broken off. */
static void thaw(struct world *x, struct worker *w)
{
	if (!w->alive || x->now < w->frozen_until) return;
	for (uint32_t k = 0; k < w->runs; k++) {
		struct job_run *run = w->run[k].run;
		if (!run->text.n) continue;
		hg_buf_reset(&run->text);
		job_of_id(x, run->claimed->job.id)->running++;
	}
}

static bool finished(struct world *x)
{
	int64_t left = 0;
	for (uint32_t i = 0; i < JOBS; i++)
		if (!x->job[i].put) return false;
	if (db_query_i64(x->db, "SELECT count(*) FROM jobs WHERE state NOT IN ('done', 'dead')",
	            &left, NULL) < 0)
		exit(1);
	return left == 0;
}

static void check_one(void *arg, const struct job_row *row)
{
	struct world *x = arg;
	const struct fake_job *j = job_of_id(x, row->id);
	MUST(x, row->state == JOB_DONE || row->state == JOB_DEAD);
	MUST(x, row->state != JOB_DONE || j->effects >= 1);
	MUST(x, j->effects <= 1 + j->hits);
	MUST(x, row->attempt <= x->set.kind[0].policy.attempts_max);
}

static void check_end(struct world *x)
{
	struct jobs_filter all = {.limit = 1000};
	uint64_t twice = 0, hits = 0;
	int64_t n = 0;
	if (jobs_store_list(x->s, &all, check_one, x, NULL) < 0 ||
	        db_query_i64(x->db, "SELECT count(*) FROM jobs", &n, NULL) < 0)
		exit(1);
	MUST(x, n == JOBS);
	for (uint32_t i = 0; i < JOBS; i++) {
		twice += x->job[i].effects > 1 ? x->job[i].effects - 1 : 0;
		hits += x->job[i].hits;
	}
	/* One job at a time: one at most for each death, sleep, or commit that nobody heard of. */
	MUST(x, twice <= hits);
}

static void prepare(struct world *x, uint64_t seed)
{
	struct db *db = x->db;
	struct jobs_store *s = x->s;
	*x = (struct world){.seed = seed, .db = db, .s = s, .now = 1};
	hg_rand_seed(&x->rand, seed);
	x->set = (struct jobs_setting){.queue = {"a", "b"},
	        .queues = 2,
	        .kind = {{.name = "k", .policy = {.attempts_max = 6, .cap_ms = 5000}}},
	        .kinds = 1,
	        .slots = 1 + below(x, 6),
	        .lease_ms = 2000 + below(x, 8000),
	        .keep_ms = JOBS_KEEP_MS,
	        .name = "w"};
	for (uint32_t i = 0; i < JOBS; i++) {
		x->job[i].put_at = below(x, 60000);
		x->job[i].poison = chance(x, 0.03);
	}
	for (uint32_t i = 0; i < WORKERS; i++)
		x->w[i].alive_at = 1 + below(x, 100);
	x->away_from = below(x, 60000);
	x->away_until = x->away_from + (chance(x, 0.5) ? below(x, 30000) : 0);
	if (db_exec(x->db, "DELETE FROM jobs", NULL) < 0) exit(1);
}

static void run(struct world *x)
{
	uint64_t checked = 0;
	while (x->now < checked + 1000 || !finished(x)) {
		uint64_t next = x->now + 1000;
		MUST(x, x->now < 3600000); /* everything ends */
		if (x->now >= checked + 1000) checked = x->now;
		put_jobs(x);
		check_overlap(x);
		for (uint32_t i = 0; i < WORKERS; i++) {
			struct worker *w = &x->w[i];
			thaw(x, w);
			happen(x, w);
			if (w->alive && x->now >= w->look_at) w->look_at = act(x, w);
			next = HG_MIN(next, w->alive ? HG_MIN(w->look_at, w->die_at) : w->alive_at);
		}
		x->now = HG_MAX(next, x->now + 1);
	}
	check_end(x);
	for (uint32_t i = 0; i < WORKERS; i++)
		if (x->w[i].alive) {
			/* Nothing is left but what nobody wants to hear. */
			for (uint32_t k = 0; k < x->w[i].runs; k++)
				jobs_run_free(x->w[i].run[k].run);
			drop_list(x, &x->w[i].ended);
			drop_list(x, &x->w[i].turn.ending);
			drop_list(x, &x->w[i].turn.claimed);
		}
}

int main(int argc, char **argv)
{
	static struct world x;
	struct db_options o = {.url = ":memory:", .durability = DB_NORMAL};
	struct hg_buf sql = {0};
	struct hg_err err = {0};
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
	uint64_t deaths = 0, effects = 0, turns = 0, jobs = 0;
	hg_buf_init(&sql, 1 << 20);
	if (file_read(JOBS_TABLE, 1 << 20, &sql, &err) < 0 || db_open(&o, &x.db, &err) < 0 ||
	        db_exec(x.db, hg_buf_text(&sql), &err) < 0 ||
	        jobs_store_new(x.db, &x.s, &err) < 0) {
		fprintf(stderr, "jobs_sim: %s\n", err.message);
		return 1;
	}
	for (uint64_t seed = first; seed < first + count; seed++) {
		prepare(&x, seed);
		run(&x);
		deaths += x.deaths;
		effects += x.effects;
		turns += x.turns;
		jobs += JOBS;
	}
	printf("%llu worlds: %llu jobs, %llu effects, %llu deaths of workers, %llu turns: none "
	       "lost, "
	       "none at once\n",
	        (unsigned long long)count, (unsigned long long)jobs, (unsigned long long)effects,
	        (unsigned long long)deaths, (unsigned long long)turns);
	jobs_store_free(x.s);
	db_close(x.db);
	hg_buf_free(&sql);
	return 0;
}
