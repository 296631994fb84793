#include "fetch/spans.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/clock.h"

#define DELAY_MS 1000u

struct spans_thread {
	struct loop *loop;
	struct spans *spans; /* both are the thread's */
	struct loop_io wake;
	struct loop_timer turn;
	int wake_fd;
	uint32_t delay_ms;
	struct hg_buf taken;
	uint64_t stop_at_ms; /* 0: it goes on */
	pthread_t thread;
	bool started;
	/* under the lock */
	pthread_mutex_t lock;
	struct hg_buf in;
	uint64_t in_n, dropped;
	bool woken;
	uint32_t stop_within_ms; /* 0: it goes on */
	struct spans_stats shown;
};

static void wake(struct spans_thread *t)
{
	uint64_t one = 1;
	/* Cannot fail but when the counter is full, and then it is awake anyway. */
	if (write(t->wake_fd, &one, sizeof one) < 0) return;
}

/* Hands over what has come; the two buffers change places, so that the lock is held for no copy. */
static void take(struct spans_thread *t)
{
	hg_buf_reset(&t->taken);
	pthread_mutex_lock(&t->lock);
	struct hg_buf full = t->in;
	t->in = t->taken;
	t->taken = full;
	t->in_n = 0;
	t->woken = false;
	if (t->stop_within_ms && !t->stop_at_ms)
		t->stop_at_ms = clock_mono_ms() + t->stop_within_ms;
	spans_stats(t->spans, &t->shown);
	pthread_mutex_unlock(&t->lock);
	struct hg_str rest = hg_buf_view(&t->taken);
	for (size_t size; (size = span_size(rest)) > 0;) {
		spans_put(t->spans, (struct hg_str){rest.p, size});
		rest = (struct hg_str){rest.p + size, rest.n - size};
	}
}

static void on_turn(struct loop *l, struct loop_timer *timer)
{
	struct spans_thread *t = HG_CONTAINER(timer, struct spans_thread, turn);
	take(t);
	if (loop_timer_start(l, &t->turn, t->delay_ms, on_turn) < 0) loop_stop(l);
}

static void on_wake(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct spans_thread *t = HG_CONTAINER(io, struct spans_thread, wake);
	uint64_t n;
	(void)l, (void)events;
	if (read(t->wake_fd, &n, sizeof n) < 0) return;
	take(t);
}

static void *work(void *arg)
{
	struct spans_thread *t = arg;
	while (!t->stop_at_ms)
		if (loop_turn(t->loop, -1) < 0) return NULL;
	while (!spans_flush(t->spans) && clock_mono_ms() < t->stop_at_ms)
		if (loop_turn(t->loop, 10) < 0) return NULL;
	return NULL;
}

/* Signals belong to the loop: the thread is born with all of them blocked. */
static bool start(struct spans_thread *t)
{
	sigset_t all, before;
	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
	t->started = pthread_create(&t->thread, NULL, work, t) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return t->started;
}

enum hg_rc spans_thread_new(
        const struct spans_options *o, struct spans_thread **ret_thread, struct hg_err *err)
{
	struct spans_thread *t = calloc(1, sizeof *t);
	if (!t) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	struct spans_options inner = *o;
	inner.delay_ms = 0; /* they wait before the lock, where they cost least */
	t->delay_ms = o->delay_ms ? o->delay_ms : DELAY_MS;
	t->wake.fd = -1;
	hg_buf_init(&t->in, SPANS_QUEUE_MAX);
	hg_buf_init(&t->taken, SPANS_QUEUE_MAX);
	pthread_mutex_init(&t->lock, NULL);
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	enum hg_rc rc = t->wake_fd < 0 ? HG_E_IO : loop_new(&t->loop);
	if (rc == HG_OK) rc = spans_new(t->loop, &inner, &t->spans, err);
	if (rc == HG_OK) rc = loop_io_start(t->loop, &t->wake, t->wake_fd, EPOLLIN, on_wake);
	if (rc == HG_OK) rc = loop_timer_start(t->loop, &t->turn, t->delay_ms, on_turn);
	if (rc == HG_OK && !start(t)) rc = HG_E_NOMEM;
	if (rc < 0) {
		if (!err->message[0])
			hg_err_set(err, rc, "the thread for traces could not be made");
		spans_thread_stop(t, 0);
		return rc;
	}
	*ret_thread = t;
	return HG_OK;
}

void spans_thread_put(struct spans_thread *t, struct hg_str record)
{
	bool now = false;
	pthread_mutex_lock(&t->lock);
	if (t->in.n + record.n > SPANS_QUEUE_MAX / 2 && !t->woken) now = t->woken = true;
	if (t->in.n + record.n <= SPANS_QUEUE_MAX) {
		hg_buf_str(&t->in, record);
		t->in_n++;
		if (t->in.failed) {
			t->dropped += t->in_n;
			t->in_n = 0;
			hg_buf_reset(&t->in);
		}
	} else {
		t->dropped++;
	}
	pthread_mutex_unlock(&t->lock);
	if (now) wake(t);
}

void spans_thread_stop(struct spans_thread *t, uint32_t within_ms)
{
	if (!t) return;
	if (t->started) {
		pthread_mutex_lock(&t->lock);
		t->stop_within_ms = HG_MAX(within_ms, 1u);
		pthread_mutex_unlock(&t->lock);
		wake(t);
		pthread_join(t->thread, NULL);
	}
	spans_free(t->spans);
	if (t->loop) {
		loop_io_stop(t->loop, &t->wake);
		loop_timer_stop(t->loop, &t->turn);
		loop_free(t->loop);
	}
	if (t->wake_fd >= 0) close(t->wake_fd);
	pthread_mutex_destroy(&t->lock);
	hg_buf_free(&t->in);
	hg_buf_free(&t->taken);
	free(t);
}

void spans_thread_stats(struct spans_thread *t, struct spans_stats *ret_stats)
{
	pthread_mutex_lock(&t->lock);
	*ret_stats = t->shown;
	ret_stats->dropped += t->dropped;
	ret_stats->queued += t->in_n;
	pthread_mutex_unlock(&t->lock);
}
