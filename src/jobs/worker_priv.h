/*
 * Between worker.c (the loop: handlers, time, what to do next), thread.c (the one connection to
 * the database) and turn.c (what is done there).
 *
 * The two take turns: the loop fills a struct turn and hands it over, the thread carries it out in
 * one transaction and hands it back. One is under way at a time, so nothing is locked meanwhile.
 */
#ifndef JOBS_WORKER_PRIV_H
#define JOBS_WORKER_PRIV_H

#include "base/rand.h"
#include "jobs/relay.h"
#include "jobs/store.h"
#include "os/work.h"

#define JOBS_LOADED_MAX (1u << 20)
#define JOBS_NAMES_MAX  128u

enum job_cancel {
	CANCEL_NOT,
	CANCEL_TIME, /* over its time */
	CANCEL_LOST, /* the lease is another's, or may be */
	CANCEL_STOP  /* the worker stops */
};

struct job_run {
	uint32_t magic;
	struct hg_list node;      /* in the worker's runs, until its end was written */
	struct hg_list turn_node; /* claimed; ended; being written */
	struct jobs_worker *worker;
	const struct job_kind *kind; /* NULL: nobody here knows it */
	struct jobs_claimed *claimed;
	struct hg_buf loaded;
	enum hg_rc load_rc;
	char load_why[256];
	void *data;
	struct loop_timer timer;
	struct work *work;
	uint64_t started_mono_ms;
	_Atomic uint64_t leased_mono_ms; /* its thread may ask */
	uint64_t lease_ms;
	enum job_cancel cancelled;
	bool over; /* job_end was called */
	bool sent; /* the relay's: it was no attempt */
	/* How it ended. */
	enum job_verdict verdict;
	uint64_t after_ms;
	double unit;
	struct hg_buf text;
	/* Written by the thread. */
	enum jobs_ended ended;
	struct job_next next;
};

#define JOB_RUN_MAGIC 0x10b20b01u

struct jobs_beat {
	int64_t id, lease;
	bool ours;
};

/* A message of a broker, to be taken. */
struct jobs_message {
	struct relay_delivery delivery;
	int64_t id, lease;
};

struct turn {
	/* in */
	struct jobs_plan plan;
	uint32_t queue_first; /* the queues' order turns, so that none is always the last */
	struct hg_list ending;
	struct jobs_beat beat[JOBS_SLOTS_MAX];
	uint32_t beats;
	struct jobs_message message[JOBS_SLOTS_MAX];
	uint32_t messages;
	uint64_t begun_mono_ms; /* leases count from here */
	/* out */
	enum hg_rc rc;
	struct hg_err err;
	struct hg_list claimed; /* struct job_run */
	uint32_t claimed_n, rescued, swept;
	bool claim_asked, claim_full;
	int64_t next_due_ms, now_ms;
	bool stale[JOBS_SLOTS_MAX]; /* messages that fit no more */
};

/* What the thread needs; never changes. */
struct jobs_setting {
	char database[512];
	enum db_durability durability;
	char name[JOBS_NAMES_MAX];
	char queue_text[JOBS_QUEUES_MAX][JOBS_NAME_MAX + 1];
	const char *queue[JOBS_QUEUES_MAX];
	uint32_t queues;
	struct job_kind kind[JOBS_KINDS_MAX];
	uint32_t kinds;
	uint32_t slots;
	uint64_t lease_ms, keep_ms;
	bool send; /* for a broker, instead of running */
};

/* turn.c: one turn on a connection that is open; the caller rolls back after a failure. */
HG_MUST enum hg_rc jobs_turn(const struct jobs_setting *set, struct jobs_store *s, struct db *db,
        struct turn *t, struct hg_err *err);
const struct job_kind *jobs_kind_of(const struct jobs_setting *set, struct hg_str name);
void jobs_run_free(struct job_run *run);

/* thread.c */
struct jobs_thread;

/* `done`: from the loop, when the turn that was given is carried out. */
HG_MUST enum hg_rc jobs_thread_new(struct loop *l, const struct jobs_setting *set,
        void (*done)(void *arg), void *arg, struct jobs_thread **ret_thread);
void jobs_thread_give(struct jobs_thread *t, struct turn *turn);
/* A call of the database that it waits for fails soon. */
void jobs_thread_interrupt(struct jobs_thread *t);
/* Waits a second for its end. False: it hangs in a call of the database, and what it was given
 * must stay. Takes NULL. */
bool jobs_thread_free(struct jobs_thread *t);

#endif
