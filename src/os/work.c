#include "os/work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct work {
	struct loop *loop;
	struct loop_io io;
	int fd; /* eventfd: it has ended */
	pthread_t thread;
	atomic_bool stop;
	work_fn fn;
	work_done_fn done;
	void *arg;
};

static void *run(void *arg)
{
	struct work *w = arg;
	static const uint64_t one = 1;
	w->fn(w->arg, &w->stop);
	/* Cannot fail: the counter was 0. */
	while (write(w->fd, &one, sizeof one) < 0 && errno == EINTR)
		continue;
	return NULL;
}

static void end(struct work *w)
{
	loop_io_stop(w->loop, &w->io);
	(void)pthread_join(w->thread, NULL);
	(void)close(w->fd);
	free(w);
}

static void on_end(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct work *w = HG_CONTAINER(io, struct work, io);
	work_done_fn done = w->done;
	void *arg = w->arg;
	(void)l, (void)events;
	end(w);
	done(arg);
}

enum hg_rc work_start(
        struct loop *l, work_fn fn, work_done_fn done, void *arg, struct work **ret_work)
{
	sigset_t all, old;
	struct work *w = calloc(1, sizeof *w);
	enum hg_rc rc = HG_E_NOMEM;
	if (!w) return rc;
	*w = (struct work){.loop = l, .fn = fn, .done = done, .arg = arg, .io.fd = -1};
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0) {
		rc = HG_E_IO;
		goto out;
	}
	rc = loop_io_start(l, &w->io, w->fd, EPOLLIN, on_end);
	if (rc < 0) goto out;
	/* Signals are the loop's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	int e = pthread_create(&w->thread, NULL, run, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (e) {
		rc = HG_E_IO;
		goto out;
	}
	*ret_work = w;
	return HG_OK;
out:
	loop_io_stop(l, &w->io);
	if (w->fd >= 0) (void)close(w->fd);
	free(w);
	return rc;
}

void work_hurry(struct work *w)
{
	atomic_store(&w->stop, true);
}

void work_stop(struct work *w)
{
	if (!w) return;
	work_hurry(w);
	end(w);
}
