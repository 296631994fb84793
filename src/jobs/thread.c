#include "jobs/worker_priv.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BUSY_MS 5000u
#define LEAVE_S 1 /* how long an end waits for a call of the database */

struct jobs_thread {
	const struct jobs_setting *set;
	struct loop *loop;
	void (*done)(void *arg);
	void *arg;
	struct loop_io wake;
	int wake_fd;
	pthread_t thread;
	bool started;
	/* the thread's */
	struct db *db;
	struct jobs_store *store;
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct turn *given, *finished;
	struct db *in_call; /* it is open, and not closed before this is NULL */
	bool stop;
};

static void disconnect(struct jobs_thread *t)
{
	jobs_store_free(t->store);
	db_close(t->db);
	t->store = NULL;
	t->db = NULL;
}

static enum hg_rc connect_to(struct jobs_thread *t, struct hg_err *err)
{
	struct db_options o = {.url = t->set->database,
	        .durability = t->set->durability,
	        .busy_ms = BUSY_MS,
	        .cache_kib = 512};
	enum hg_rc rc = HG_OK;
	if (!t->db) rc = db_open(&o, &t->db, err);
	if (rc == HG_OK && !t->store) rc = jobs_store_new(t->db, &t->store, err);
	if (rc < 0) disconnect(t);
	return rc;
}

static void set_in_call(struct jobs_thread *t, struct db *db)
{
	pthread_mutex_lock(&t->lock);
	t->in_call = db;
	pthread_mutex_unlock(&t->lock);
}

static void carry_out(struct jobs_thread *t, struct turn *turn)
{
	turn->rc = connect_to(t, &turn->err);
	if (turn->rc < 0) return;
	set_in_call(t, t->db);
	turn->rc = jobs_turn(t->set, t->store, t->db, turn, &turn->err);
	set_in_call(t, NULL);
	if (turn->rc == HG_OK) return;
	db_rollback(t->db);
	/* A file that was only busy is the same file later; of a server nobody knows. */
	if (turn->rc != HG_E_AGAIN || db_is_postgres(t->db)) disconnect(t);
}

static void *work(void *arg)
{
	struct jobs_thread *t = arg;
	static const uint64_t one = 1;
	pthread_mutex_lock(&t->lock);
	for (;;) {
		while (!t->given && !t->stop)
			pthread_cond_wait(&t->work, &t->lock);
		struct turn *turn = t->given;
		if (!turn) break;
		t->given = NULL;
		pthread_mutex_unlock(&t->lock);
		carry_out(t, turn);
		pthread_mutex_lock(&t->lock);
		t->finished = turn;
		/* Cannot fail: one turn at a time, and the counter is far from full. */
		while (write(t->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
			continue;
	}
	pthread_mutex_unlock(&t->lock);
	disconnect(t);
	return NULL;
}

static void on_wake(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct jobs_thread *t = HG_CONTAINER(io, struct jobs_thread, wake);
	uint64_t n;
	(void)l;
	(void)events;
	if (read(t->wake_fd, &n, sizeof n) < 0) return;
	pthread_mutex_lock(&t->lock);
	bool any = t->finished != NULL;
	t->finished = NULL;
	pthread_mutex_unlock(&t->lock);
	if (any) t->done(t->arg);
}

static bool start_thread(struct jobs_thread *t)
{
	sigset_t all, before;
	sigfillset(&all); /* signals are the loop's */
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
	t->started = pthread_create(&t->thread, NULL, work, t) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return t->started;
}

enum hg_rc jobs_thread_new(struct loop *l, const struct jobs_setting *set, void (*done)(void *arg),
        void *arg, struct jobs_thread **ret_thread)
{
	struct jobs_thread *t = calloc(1, sizeof *t);
	enum hg_rc rc = HG_E_NOMEM;
	if (!t) return rc;
	*t = (struct jobs_thread){.set = set, .loop = l, .done = done, .arg = arg, .wake.fd = -1};
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->wake_fd < 0) goto out;
	rc = loop_io_start(l, &t->wake, t->wake_fd, EPOLLIN, on_wake);
	if (rc < 0) goto out;
	rc = start_thread(t) ? HG_OK : HG_E_NOMEM;
	if (rc < 0) goto out;
	*ret_thread = t;
	return HG_OK;
out:
	(void)jobs_thread_free(t);
	return rc;
}

void jobs_thread_give(struct jobs_thread *t, struct turn *turn)
{
	pthread_mutex_lock(&t->lock);
	HG_ASSERT(!t->given);
	t->given = turn;
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->lock);
}

void jobs_thread_interrupt(struct jobs_thread *t)
{
	pthread_mutex_lock(&t->lock);
	if (t->in_call) db_interrupt(t->in_call);
	pthread_mutex_unlock(&t->lock);
}

bool jobs_thread_free(struct jobs_thread *t)
{
	struct timespec until;
	if (!t) return true;
	loop_io_stop(t->loop, &t->wake);
	if (t->started) {
		pthread_mutex_lock(&t->lock);
		t->stop = true;
		pthread_cond_signal(&t->work);
		pthread_mutex_unlock(&t->lock);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += LEAVE_S;
		if (pthread_timedjoin_np(t->thread, NULL, &until) != 0) return false;
	}
	if (t->wake_fd >= 0) close(t->wake_fd);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return true;
}
