#include "os/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "os/clock.h"

#define EVENTS_A_TURN 256
#define TURNS_FULL    32 /* of events alone, at most; then timers have their turn as well */
#define SIGNALS_MAX   64

struct loop {
	int epoll_fd;
	bool stop;
	uint64_t now_ns, now_ms;
	struct hg_heap timers;
	struct hg_list tasks;
	struct epoll_event ev[EVENTS_A_TURN];
	unsigned full;   /* turns in a row that had as many events as a turn takes */
	int ev_n, ev_at; /* the events of this turn that are still to be delivered */

	void (*before_wait)(void *arg);
	void (*after_wait)(void *arg);
	void *hook_arg;

	struct loop_io signal_io;
	sigset_t signals;
	struct {
		loop_signal_fn fn;
		void *arg;
	} signal[SIGNALS_MAX];
};

static void clock_read(struct loop *l)
{
	l->now_ns = clock_mono_ns();
	l->now_ms = l->now_ns / CLOCK_NS_PER_MS;
}

enum hg_rc loop_new(struct loop **ret_loop)
{
	struct loop *l = calloc(1, sizeof *l);
	if (!l) return HG_E_NOMEM;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		free(l);
		return HG_E_IO;
	}
	hg_list_init(&l->tasks);
	sigemptyset(&l->signals);
	l->signal_io.fd = -1;
	clock_read(l);
	*ret_loop = l;
	return HG_OK;
}

void loop_free(struct loop *l)
{
	if (!l) return;
	if (l->signal_io.fd >= 0) close(l->signal_io.fd);
	while (hg_heap_min(&l->timers))
		hg_heap_remove(&l->timers, hg_heap_min(&l->timers));
	hg_heap_fini(&l->timers);
	close(l->epoll_fd);
	free(l);
}

uint64_t loop_now_ns(const struct loop *l)
{
	return l->now_ns;
}

uint64_t loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}

void loop_hooks(struct loop *l, void (*before)(void *arg), void (*after)(void *arg), void *arg)
{
	HG_ASSERT(!before == !after);
	l->before_wait = before;
	l->after_wait = after;
	l->hook_arg = arg;
}

static void run_timers(struct loop *l)
{
	/* Timers that a callback starts for "now" wait for the next turn: no starvation. */
	uint64_t until = l->now_ns;
	struct hg_heap_node *min;
	while ((min = hg_heap_min(&l->timers)) && min->key <= until) {
		struct loop_timer *t = HG_CONTAINER(min, struct loop_timer, node);
		hg_heap_remove(&l->timers, min);
		t->fn(l, t);
	}
}

static void run_tasks(struct loop *l)
{
	struct hg_list now;
	if (hg_list_empty(&l->tasks)) return;
	now = l->tasks;
	now.next->prev = now.prev->next = &now;
	hg_list_init(&l->tasks);
	for (struct hg_list *n; (n = hg_list_first(&now));) {
		struct loop_task *t = HG_CONTAINER(n, struct loop_task, node);
		hg_list_remove(n);
		t->fn(l, t);
	}
}

static int wait_of(const struct loop *l, int wait_ms)
{
	const struct hg_heap_node *min = hg_heap_min(&l->timers);
	if (!hg_list_empty(&l->tasks)) return 0;
	if (!min) return wait_ms;
	uint64_t now = clock_mono_ns();
	/* Rounded up: waking a little late is one turn, waking early is two. */
	uint64_t ms =
	        min->key <= now ? 0 : (min->key - now + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
	if (ms > 3600000) ms = 3600000;
	return wait_ms < 0 || (uint64_t)wait_ms > ms ? (int)ms : wait_ms;
}

static int wait_events(struct loop *l, int wait_ms)
{
	int ms = wait_of(l, wait_ms);
	if (!l->before_wait) return epoll_wait(l->epoll_fd, l->ev, EVENTS_A_TURN, ms);
	l->before_wait(l->hook_arg);
	int n = epoll_wait(l->epoll_fd, l->ev, EVENTS_A_TURN, ms), e = errno;
	l->after_wait(l->hook_arg);
	errno = e;
	return n;
}

enum hg_rc loop_turn(struct loop *l, int wait_ms)
{
	int n = wait_events(l, wait_ms);
	if (n < 0 && errno != EINTR) return HG_E_IO;
	clock_read(l);
	l->ev_n = n > 0 ? n : 0;
	for (l->ev_at = 0; l->ev_at < l->ev_n;) {
		struct epoll_event *e = &l->ev[l->ev_at++];
		struct loop_io *io = e->data.ptr;
		if (io) io->fn(l, io, e->events);
	}
	l->ev_n = l->ev_at = 0;
	/* After a stall thousands may be ready: what has come must be seen before its absence is.
	 */
	l->full = n == EVENTS_A_TURN ? l->full + 1 : 0;
	if (l->full % TURNS_FULL == 0) run_timers(l);
	run_tasks(l);
	return HG_OK;
}

enum hg_rc loop_run(struct loop *l)
{
	enum hg_rc rc = HG_OK;
	for (l->stop = false; !l->stop && rc == HG_OK;)
		rc = loop_turn(l, -1);
	return rc;
}

enum hg_rc loop_io_start(struct loop *l, struct loop_io *io, int fd, uint32_t events, loop_io_fn fn)
{
	struct epoll_event e = {.events = events, .data.ptr = io};
	io->fn = fn;
	io->fd = fd;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0) return HG_OK;
	io->fd = -1;
	return errno == ENOMEM || errno == ENOSPC ? HG_E_NOMEM : HG_E_IO;
}

enum hg_rc loop_io_change(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = io};
	HG_ASSERT(io->fd >= 0);
	return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, io->fd, &e) == 0 ? HG_OK : HG_E_IO;
}

void loop_io_stop(struct loop *l, struct loop_io *io)
{
	if (io->fd < 0) return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	io->fd = -1;
	for (int i = l->ev_at; i < l->ev_n; i++) {
		if (l->ev[i].data.ptr == io) l->ev[i].data.ptr = NULL;
	}
}

enum hg_rc loop_timer_start(
        struct loop *l, struct loop_timer *t, uint64_t after_ms, loop_timer_fn fn)
{
	hg_heap_remove(&l->timers, &t->node);
	enum hg_rc rc = hg_heap_reserve(&l->timers);
	if (rc < 0) return rc;
	t->fn = fn;
	/* +1 ns: a timer of 0 ms started inside a timer waits for the next turn. */
	hg_heap_put(&l->timers, &t->node, l->now_ns + after_ms * CLOCK_NS_PER_MS + 1);
	return HG_OK;
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
	hg_heap_remove(&l->timers, &t->node);
}

void loop_task_init(struct loop_task *t, loop_task_fn fn)
{
	hg_list_init(&t->node);
	t->fn = fn;
}

void loop_task_queue(struct loop *l, struct loop_task *t)
{
	if (hg_list_empty(&t->node)) hg_list_append(&l->tasks, &t->node);
}

void loop_task_cancel(struct loop_task *t)
{
	hg_list_remove(&t->node);
}

static void on_signal(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct signalfd_siginfo si;
	(void)events;
	while (read(io->fd, &si, sizeof si) == sizeof si) {
		if (si.ssi_signo >= SIGNALS_MAX || !l->signal[si.ssi_signo].fn) continue;
		l->signal[si.ssi_signo].fn(l, (int)si.ssi_signo, l->signal[si.ssi_signo].arg);
	}
}

enum hg_rc loop_signal(struct loop *l, int signo, loop_signal_fn fn, void *arg)
{
	HG_ASSERT(signo > 0 && signo < SIGNALS_MAX);
	sigaddset(&l->signals, signo);
	l->signal[signo].fn = fn;
	l->signal[signo].arg = arg;
	if (sigprocmask(SIG_BLOCK, &l->signals, NULL) < 0) return HG_E_IO;
	int fd = signalfd(l->signal_io.fd, &l->signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0) return HG_E_IO;
	if (l->signal_io.fd >= 0) return HG_OK;
	return loop_io_start(l, &l->signal_io, fd, EPOLLIN, on_signal);
}
