#include "apps/feedback/desk_priv.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"

#define LOOK_MS      100u  /* how often times that are over are looked for, while tasks are there */
#define PAUSE_MIN_MS 100u  /* after a connection that could not be made … */
#define PAUSE_MAX_MS 3000u /* … doubled up to this */
#define IDLE_MS      1000u /* a server's connection that was idle for so long is tried first */

struct seat {
	struct desk *desk;
	pthread_t thread;
	bool started;
	struct db *db;          /* changed by the thread, under the lock */
	struct desk_task *task; /* that runs; under the lock */
	bool interrupted;       /* once is enough; under the lock */
	uint64_t used_ms;       /* the rest is the thread's alone */
	uint32_t pause_ms;
};

struct desk {
	struct loop *loop;
	struct desk_options with;
	struct loop_io wake; /* eventfd: tasks are in `finished` */
	int wake_fd;
	struct loop_timer look;
	uint32_t pending; /* the loop's thread counts */
	struct seat seat[DESK_THREADS_MAX];
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t work; /* something to do for the threads */
	pthread_cond_t rest; /* a thread has finished something */
	struct hg_list queued, finished;
	uint64_t away_ms; /* since when there is none */
	char away[320];   /* why there is no connection; "" unless so */
	bool stop;        /* set on the loop's thread, which needs no lock to look */
};

static void wake(struct desk *d)
{
	uint64_t one = 1;
	/* Cannot fail but when the counter is full, and then the loop is awake anyway. */
	while (write(d->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
		continue;
}

/* Under the lock. */
static void finish(struct desk *d, struct desk_task *t, enum hg_rc rc, const char *why)
{
	hg_list_remove(&t->node);
	t->state = DESK_FINISHED;
	t->rc = rc;
	snprintf(t->why, sizeof t->why, "%s", why);
	hg_list_append(&d->finished, &t->node);
	wake(d);
}

static void set_db(struct seat *s, struct db *db)
{
	pthread_mutex_lock(&s->desk->lock);
	s->db = db;
	s->interrupted = false;
	pthread_mutex_unlock(&s->desk->lock);
}

static void close_db(struct seat *s)
{
	struct db *db = s->db;
	set_db(s, NULL);
	db_close(db);
}

static void say_away(struct desk *d, const char *why)
{
	pthread_mutex_lock(&d->lock);
	if (!d->away[0]) d->away_ms = clock_mono_ms();
	snprintf(d->away, sizeof d->away, "%s", why);
	pthread_mutex_unlock(&d->lock);
}

/* True: there is a connection that worked a moment ago, or none is wanted. */
static bool connected(struct seat *s)
{
	struct desk *d = s->desk;
	struct db_options o = {.url = d->with.url, .durability = d->with.durability};
	struct hg_err err = {0};
	struct db *db = NULL;
	if (!d->with.url) return true;
	bool old = s->db && db_is_postgres(s->db) && clock_mono_ms() - s->used_ms > IDLE_MS;
	if (old && db_exec(s->db, "SELECT 1", NULL) < 0) close_db(s);
	if (!s->db && db_open(&o, &db, &err) == HG_OK) set_db(s, db);
	say_away(d, s->db ? "" : err.message);
	s->used_ms = clock_mono_ms();
	s->pause_ms = s->db         ? 0
	              : s->pause_ms ? HG_MIN(s->pause_ms * 2, PAUSE_MAX_MS)
	                            : PAUSE_MIN_MS;
	return s->db != NULL;
}

static void run_task(struct seat *s, struct desk_task *t)
{
	struct desk *d = s->desk;
	struct hg_err err = {0};
	enum hg_rc rc = t->run(t, s->db, &err);
	bool lost = s->db && db_is_postgres(s->db) && (rc == HG_E_AGAIN || rc == HG_E_DB_OPEN);
	if (s->db) db_rollback(s->db);
	s->used_ms = clock_mono_ms();
	pthread_mutex_lock(&d->lock);
	s->task = NULL;
	lost |= s->interrupted;
	finish(d, t, rc, rc < 0 ? err.message : "");
	pthread_cond_broadcast(&d->rest);
	pthread_mutex_unlock(&d->lock);
	if (lost) close_db(s);
}

/* Under the lock: waits, at most `ms`, unless the desk ends. */
static void pause_for(struct desk *d, uint32_t ms)
{
	uint64_t until_ns = clock_mono_ns() + (uint64_t)ms * CLOCK_NS_PER_MS;
	struct timespec until = {.tv_sec = (time_t)(until_ns / CLOCK_NS_PER_S),
	        .tv_nsec = (long)(until_ns % CLOCK_NS_PER_S)};
	while (!d->stop && clock_mono_ns() < until_ns)
		(void)pthread_cond_timedwait(&d->work, &d->lock, &until);
}

static void *work(void *arg)
{
	struct seat *s = arg;
	struct desk *d = s->desk;
	pthread_mutex_lock(&d->lock);
	while (!d->stop) {
		/* A server that is away is looked for whether somebody waits for it or not. */
		if (hg_list_empty(&d->queued) && !d->away[0]) {
			pthread_cond_wait(&d->work, &d->lock);
			continue;
		}
		pthread_mutex_unlock(&d->lock);
		bool ok = connected(s);
		pthread_mutex_lock(&d->lock);
		if (!ok) {
			pause_for(d, s->pause_ms);
			continue;
		}
		struct hg_list *node = d->stop ? NULL : hg_list_pop(&d->queued);
		if (!node) continue; /* another thread took it, or its time was over */
		s->task = HG_CONTAINER(node, struct desk_task, node);
		s->task->state = DESK_RUNNING;
		struct desk_task *t = s->task;
		pthread_mutex_unlock(&d->lock);
		run_task(s, t);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	close_db(s);
	return NULL;
}

static void deliver(struct desk *d)
{
	for (;;) {
		pthread_mutex_lock(&d->lock);
		struct hg_list *node = hg_list_pop(&d->finished);
		pthread_mutex_unlock(&d->lock);
		if (!node) break;
		struct desk_task *t = HG_CONTAINER(node, struct desk_task, node);
		d->pending--;
		t->state = DESK_NEW;
		t->done(t, t->rc, t->why);
	}
	if (!d->pending) loop_timer_stop(d->loop, &d->look);
}

static void on_wake(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct desk *d = HG_CONTAINER(io, struct desk, wake);
	uint64_t n;
	(void)l, (void)events;
	if (read(d->wake_fd, &n, sizeof n) < 0) return;
	deliver(d);
}

/* Under the lock: a database that still works on what nobody will take any more is interrupted. */
static void hurry(struct seat *s, uint64_t now_ms)
{
	if (!s->task || !s->db || s->interrupted || now_ms < s->task->until_ms) return;
	s->interrupted = true;
	db_interrupt(s->db);
}

static void on_look(struct loop *l, struct loop_timer *t)
{
	struct desk *d = HG_CONTAINER(t, struct desk, look);
	uint64_t now_ms = clock_mono_ms();
	pthread_mutex_lock(&d->lock);
	HG_LIST_EACH_SAFE (node, after, &d->queued) {
		struct desk_task *task = HG_CONTAINER(node, struct desk_task, node);
		if (now_ms >= task->until_ms)
			finish(d, task, HG_E_AGAIN,
			        d->away[0] ? d->away : "too much was asked at a time");
	}
	for (size_t i = 0; i < DESK_THREADS_MAX; i++)
		hurry(&d->seat[i], now_ms);
	pthread_mutex_unlock(&d->lock);
	if (d->pending) (void)!loop_timer_start(l, &d->look, LOOK_MS, on_look);
}

bool desk_queue(struct desk *d, struct desk_task *t, uint32_t within_ms)
{
	if (d->stop || d->pending >= d->with.queue_max) return false;
	if (!d->pending && loop_timer_start(d->loop, &d->look, LOOK_MS, on_look) < 0) return false;
	d->pending++;
	t->until_ms = clock_mono_ms() + (within_ms ? within_ms : DESK_WITHIN_MS);
	t->cancelled = false;
	t->state = DESK_QUEUED;
	pthread_mutex_lock(&d->lock);
	hg_list_append(&d->queued, &t->node);
	if (d->away[0] && clock_mono_ms() - d->away_ms >= DESK_WITHIN_MS)
		finish(d, t, HG_E_AGAIN, d->away); /* it would be in vain */
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
	return true;
}

void desk_cancel(struct desk *d, struct desk_task *t)
{
	pthread_mutex_lock(&d->lock);
	if (t->state == DESK_QUEUED) finish(d, t, HG_E_CLOSED, "");
	t->cancelled = true;
	pthread_mutex_unlock(&d->lock);
}

uint32_t desk_pending(const struct desk *d)
{
	return d->pending;
}

/* Signals belong to the loop: threads are born with all of them blocked. */
static bool start_threads(struct desk *d)
{
	sigset_t all, before;
	bool ok = true;
	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
	for (size_t i = 0; ok && i < d->with.threads; i++) {
		struct seat *s = &d->seat[i];
		s->desk = d;
		ok = s->started = pthread_create(&s->thread, NULL, work, s) == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ok;
}

enum hg_rc desk_new(struct loop *l, const struct desk_options *o, struct desk **ret_desk)
{
	struct desk *d = calloc(1, sizeof *d);
	pthread_condattr_t mono;
	enum hg_rc rc = HG_E_IO;
	if (!d) return HG_E_NOMEM;
	*d = (struct desk){.loop = l, .with = *o, .wake.fd = -1, .wake_fd = -1};
	d->with.threads = HG_MIN(o->threads ? o->threads : 1, DESK_THREADS_MAX);
	d->with.queue_max = o->queue_max ? o->queue_max : DESK_QUEUE_MAX;
	hg_list_init(&d->queued);
	hg_list_init(&d->finished);
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&d->work, &mono);
	pthread_cond_init(&d->rest, &mono);
	pthread_condattr_destroy(&mono);
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->wake_fd < 0) goto out;
	rc = loop_io_start(l, &d->wake, d->wake_fd, EPOLLIN, on_wake);
	if (rc < 0) goto out;
	rc = start_threads(d) ? HG_OK : HG_E_IO;
	if (rc < 0) goto out;
	*ret_desk = d;
	d = NULL;
out:
	desk_free(d);
	return rc;
}

/* Under the lock: what runs comes to its end, or to the end of its time. */
static void wait_for_seat(struct desk *d, struct seat *s)
{
	while (s->task) {
		uint64_t ns = s->task->until_ms * CLOCK_NS_PER_MS;
		struct timespec until = {.tv_sec = (time_t)(ns / CLOCK_NS_PER_S),
		        .tv_nsec = (long)(ns % CLOCK_NS_PER_S)};
		hurry(s, clock_mono_ms());
		if (s->interrupted || !s->db)
			pthread_cond_wait(&d->rest, &d->lock);
		else
			(void)pthread_cond_timedwait(&d->rest, &d->lock, &until);
	}
}

void desk_free(struct desk *d)
{
	if (!d) return;
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_broadcast(&d->work);
	for (size_t i = 0; i < DESK_THREADS_MAX; i++)
		wait_for_seat(d, &d->seat[i]);
	while (!hg_list_empty(&d->queued))
		finish(d, HG_CONTAINER(hg_list_first(&d->queued), struct desk_task, node),
		        HG_E_CLOSED, "the app is stopping");
	pthread_mutex_unlock(&d->lock);
	for (size_t i = 0; i < DESK_THREADS_MAX; i++)
		if (d->seat[i].started) pthread_join(d->seat[i].thread, NULL);
	deliver(d);
	loop_timer_stop(d->loop, &d->look);
	loop_io_stop(d->loop, &d->wake);
	if (d->wake_fd >= 0) close(d->wake_fd);
	pthread_cond_destroy(&d->work);
	pthread_cond_destroy(&d->rest);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
