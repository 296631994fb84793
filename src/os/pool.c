#include "os/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS_MAX 64u

struct line { /* first come, first served */
	struct pool_job *first, *last;
};

struct pool {
	struct loop *loop;
	struct loop_io io; /* eventfd: jobs are done */
	int fd;
	unsigned wanted, started;
	pthread_t *thread;
	pthread_mutex_t m;
	pthread_cond_t work;
	/* Under the mutex. */
	struct line todo, done;
	unsigned waiting, running;
	bool end;
};

static void line_put(struct line *l, struct pool_job *job)
{
	job->next = NULL;
	if (l->last)
		l->last->next = job;
	else
		l->first = job;
	l->last = job;
}

static struct pool_job *line_take(struct line *l)
{
	struct pool_job *job = l->first;
	if (!job) return NULL;
	l->first = job->next;
	if (!l->first) l->last = NULL;
	return job;
}

static bool line_remove(struct line *l, const struct pool_job *job)
{
	struct pool_job *before = NULL;
	for (struct pool_job *at = l->first; at; before = at, at = at->next) {
		if (at != job) continue;
		if (before)
			before->next = at->next;
		else
			l->first = at->next;
		if (l->last == at) l->last = before;
		return true;
	}
	return false;
}

static void lock(struct pool *p)
{
	HG_ASSERT(pthread_mutex_lock(&p->m) == 0);
}

static void unlock(struct pool *p)
{
	HG_ASSERT(pthread_mutex_unlock(&p->m) == 0);
}

static void tell(const struct pool *p)
{
	static const uint64_t one = 1;
	/* EAGAIN: it has been told 2^64 times and not looked yet. */
	while (write(p->fd, &one, sizeof one) < 0 && errno == EINTR)
		continue;
}

static void *thread_main(void *arg)
{
	struct pool *p = arg;
	lock(p);
	for (;;) {
		while (!p->end && !p->todo.first)
			(void)pthread_cond_wait(&p->work, &p->m);
		if (p->end) break;
		struct pool_job *job = line_take(&p->todo);
		HG_ASSERT(job);
		p->waiting--;
		p->running++;
		unlock(p);
		job->run(job);
		lock(p);
		p->running--;
		line_put(&p->done, job);
		tell(p);
	}
	unlock(p);
	return NULL;
}

static void on_done(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct pool *p = HG_CONTAINER(io, struct pool, io);
	uint64_t count;
	(void)l, (void)events;
	if (read(io->fd, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR) return;
	lock(p);
	struct pool_job *job = p->done.first;
	p->done = (struct line){0};
	unlock(p);
	while (job) {
		struct pool_job *next = job->next;
		job->done(job);
		job = next;
	}
}

enum hg_rc pool_new(struct loop *l, unsigned threads, struct pool **ret_pool)
{
	HG_ASSERT(threads > 0 && threads <= THREADS_MAX);
	struct pool *p = calloc(1, sizeof *p);
	if (!p) return HG_E_NOMEM;
	*p = (struct pool){.loop = l, .wanted = threads, .io.fd = -1};
	p->thread = calloc(threads, sizeof *p->thread);
	p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	enum hg_rc rc = !p->thread ? HG_E_NOMEM : p->fd < 0 ? HG_E_IO : HG_OK;
	if (rc == HG_OK) rc = loop_io_start(l, &p->io, p->fd, EPOLLIN, on_done);
	if (rc < 0) {
		if (p->fd >= 0) (void)close(p->fd);
		free(p->thread);
		free(p);
		return rc;
	}
	HG_ASSERT(pthread_mutex_init(&p->m, NULL) == 0);
	HG_ASSERT(pthread_cond_init(&p->work, NULL) == 0);
	*ret_pool = p;
	return HG_OK;
}

void pool_free(struct pool *p, void (*before)(void *), void (*after)(void *), void *arg)
{
	if (!p) return;
	HG_ASSERT(!before == !after);
	lock(p);
	p->end = true;
	(void)pthread_cond_broadcast(&p->work);
	unlock(p);
	if (before) before(arg);
	for (unsigned i = 0; i < p->started; i++)
		(void)pthread_join(p->thread[i], NULL);
	if (after) after(arg);
	loop_io_stop(p->loop, &p->io);
	(void)close(p->fd);
	(void)pthread_cond_destroy(&p->work);
	(void)pthread_mutex_destroy(&p->m);
	free(p->thread);
	free(p);
}

/* Signals are the loop's. One thread is enough to go on with. */
static enum hg_rc threads_start(struct pool *p)
{
	sigset_t all, old;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->started < p->wanted &&
	        pthread_create(&p->thread[p->started], NULL, thread_main, p) == 0)
		p->started++;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return p->started ? HG_OK : HG_E_IO;
}

enum hg_rc pool_give(struct pool *p, struct pool_job *job)
{
	enum hg_rc rc = threads_start(p);
	if (rc < 0) return rc;
	lock(p);
	line_put(&p->todo, job);
	p->waiting++;
	(void)pthread_cond_signal(&p->work);
	unlock(p);
	return HG_OK;
}

bool pool_take_back(struct pool *p, struct pool_job *job)
{
	lock(p);
	bool found = line_remove(&p->todo, job);
	if (found) p->waiting--;
	unlock(p);
	return found;
}

unsigned pool_waiting(struct pool *p)
{
	lock(p);
	unsigned n = p->waiting;
	unlock(p);
	return n;
}

unsigned pool_running(struct pool *p)
{
	lock(p);
	unsigned n = p->running;
	unlock(p);
	return n;
}
