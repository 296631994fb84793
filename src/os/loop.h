/*
 * One event loop per thread: epoll for descriptors, a heap for timers, signalfd for signals,
 * pidfd for processes, and work that runs at the end of the turn. Nothing is shared between
 * loops. The caller embeds the watchers in his own structs; the loop allocates only its arrays.
 *
 * A callback may stop and free any watcher, its own and others' too: events of the same turn
 * that belong to a stopped watcher are dropped.
 */
#ifndef HG_OS_LOOP_H
#define HG_OS_LOOP_H

#include "base/heap.h"
#include "base/list.h"

#include <sys/epoll.h>
#include <sys/types.h>

struct loop;
struct loop_io;
struct loop_timer;
struct loop_task;

typedef void (*loop_io_fn)(struct loop *l, struct loop_io *io, uint32_t events);
typedef void (*loop_timer_fn)(struct loop *l, struct loop_timer *t);
typedef void (*loop_task_fn)(struct loop *l, struct loop_task *t);
typedef void (*loop_signal_fn)(struct loop *l, int signo, void *arg);

struct loop_io {
	loop_io_fn fn;
	int fd; /* -1: not watched */
};

struct loop_timer {
	struct hg_heap_node node;
	loop_timer_fn fn;
};

struct loop_task {
	struct hg_list node;
	loop_task_fn fn;
};

HG_MUST enum hg_rc loop_new(struct loop **ret_loop);
/* Watchers that are still registered are forgotten; their descriptors stay open. */
void loop_free(struct loop *l);

/* Runs until loop_stop. HG_E_IO when the kernel refuses to wait. */
HG_MUST enum hg_rc loop_run(struct loop *l);
/* One turn: waits at most `wait_ms` (-1: until something happens) and runs what is due. */
HG_MUST enum hg_rc loop_turn(struct loop *l, int wait_ms);
void loop_stop(struct loop *l);

/*
 * `before` is called each time the loop is about to wait for events, `after` when it has waited,
 * also when it did not wait because something was due: for a lock that the loop holds in all its
 * callbacks and nowhere else. NULL takes them away. Not from a callback.
 */
void loop_hooks(struct loop *l, void (*before)(void *arg), void (*after)(void *arg), void *arg);

/* CLOCK_MONOTONIC, read once per turn. */
uint64_t loop_now_ns(const struct loop *l);
uint64_t loop_now_ms(const struct loop *l);

/*
 * `events`: EPOLLIN, EPOLLOUT, EPOLLET, EPOLLEXCLUSIVE … EPOLLERR and EPOLLHUP always come.
 * The descriptor stays the caller's; stop watching before closing it.
 */
HG_MUST enum hg_rc loop_io_start(
        struct loop *l, struct loop_io *io, int fd, uint32_t events, loop_io_fn fn);
HG_MUST enum hg_rc loop_io_change(struct loop *l, struct loop_io *io, uint32_t events);
void loop_io_stop(struct loop *l, struct loop_io *io);

/* One-shot; starting a running timer moves it. `t` must be zeroed before its first use. */
HG_MUST enum hg_rc loop_timer_start(
        struct loop *l, struct loop_timer *t, uint64_t after_ms, loop_timer_fn fn);
void loop_timer_stop(struct loop *l, struct loop_timer *t);
static inline bool loop_timer_active(const struct loop_timer *t)
{
	return t->node.place != 0;
}

/* Runs once at the end of this turn (before the next wait). Queued twice, it runs once. */
void loop_task_init(struct loop_task *t, loop_task_fn fn);
void loop_task_queue(struct loop *l, struct loop_task *t);
void loop_task_cancel(struct loop_task *t);

/*
 * Blocks `signo` for the process and hands it to `fn` from the loop. One handler a signal.
 * Replicas and helpers must be started with an empty mask (os/proc.h does).
 */
HG_MUST enum hg_rc loop_signal(struct loop *l, int signo, loop_signal_fn fn, void *arg);

#endif
