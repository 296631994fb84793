#include "apps/feedback/writer_priv.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/clock.h"

#define WRITER_MAGIC 0x3717e401u

struct writer {
	uint32_t magic;
	struct loop *loop;
	struct rows *rows;
	void (*done)(void *arg, struct store_op *op);
	void *arg;
	struct hg_list fresh;       /* of this turn; the loop's */
	struct loop_task hand_over; /* … at its end */
	struct loop_io wake;        /* eventfd: operations are in `finished` */
	int wake_fd;
	pthread_t thread;
	bool started;
	uint32_t pending; /* queued, in work or finished; the loop's thread counts */
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct hg_list queued, finished;
	bool stop;
};

static struct rows_deed deed_of(const struct store_op *op)
{
	static const char *const action[] = {[STORE_CREATE] = "feedback.create",
	        [STORE_UPDATE] = "feedback.update",
	        [STORE_VOTE] = "feedback.vote",
	        [STORE_STATUS] = "feedback.status",
	        [STORE_DELETE] = "feedback.delete"};
	struct rows_deed deed = {action[op->kind], "", op->row.id};
	if (op->kind == STORE_VOTE && !op->given) deed.action = "feedback.unvote";
	if (op->kind == STORE_STATUS) deed.detail = status_name(op->row.status);
	return deed;
}

static void run_one(struct writer *w, struct store_op *op, struct hg_err *err)
{
	bool changed = true;
	uint64_t now_ns = clock_wall_ns();
	struct message m = op->row.message;
	switch (op->kind) {
	case STORE_CREATE:
		rows_trace(w->rows, hg_str(op->trace_field));
		op->rc = op->key_n ? rows_create_once(w->rows, (struct hg_str){op->key, op->key_n},
		                             &m, op->owner, now_ns, &op->row, &op->once, err)
		                   : rows_create(w->rows, &m, op->owner, now_ns, &op->row, err);
		break;
	case STORE_UPDATE:
		op->rc =
		        rows_update(w->rows, op->row.id, op->only_owner, &m, now_ns, &op->row, err);
		break;
	case STORE_VOTE:
		op->rc = rows_vote(
		        w->rows, op->row.id, op->voter, op->given, now_ns, &op->row, &changed, err);
		break;
	case STORE_STATUS:
		op->rc = rows_status(
		        w->rows, op->row.id, op->row.status, now_ns, &op->row, &changed, err);
		break;
	case STORE_DELETE: op->rc = rows_delete(w->rows, op->row.id, op->only_owner, err); break;
	default: op->rc = hg_err_set(err, HG_E_INTERNAL, "not a write"); /* cannot be */
	}
	op->same = !changed;
	if (op->rc < 0 || !op->from.on || op->once != ROWS_FIRST || op->same) return;
	struct rows_deed deed = deed_of(op);
	op->rc = rows_audit(w->rows, &op->from, &deed, now_ns, err);
}

static void fail_one(struct store_op *op, enum hg_rc rc, const struct hg_err *err)
{
	op->rc = rc;
	snprintf(op->why, sizeof op->why, "%s", err->message);
}

static void fail_all(struct hg_list *batch, enum hg_rc rc, const struct hg_err *err)
{
	HG_LIST_EACH (node, batch) {
		fail_one(HG_CONTAINER(node, struct store_op, node), rc, err);
	}
}

/* One transaction for the batch. A statement that fails is taken back alone by the engine. */
static void run_batch(struct writer *w, struct hg_list *batch)
{
	struct hg_err err = {0};
	enum hg_rc rc = rows_begin(w->rows, &err);
	if (rc < 0) {
		fail_all(batch, rc, &err);
		return;
	}
	HG_LIST_EACH (node, batch) {
		struct store_op *op = HG_CONTAINER(node, struct store_op, node);
		run_one(w, op, &err);
		if (op->rc < 0 && op->rc != HG_E_NOT_FOUND && op->rc != HG_E_DENIED)
			fail_one(op, op->rc, &err);
		/* A full disk or a broken one takes the whole transaction with it. */
		if (!rows_in_transaction(w->rows)) {
			fail_all(batch, op->rc < 0 ? op->rc : HG_E_DB_QUERY, &err);
			return;
		}
	}
	rc = rows_commit(w->rows, &err);
	if (rc < 0) fail_all(batch, rc, &err);
}

static void move_some(struct hg_list *from, struct hg_list *to, uint32_t most)
{
	for (uint32_t i = 0; i < most && !hg_list_empty(from); i++) {
		struct hg_list *node = hg_list_first(from);
		hg_list_remove(node);
		hg_list_append(to, node);
	}
}

/* One commit for all: each of them took as long as it. */
static void stamp(struct hg_list *batch, uint64_t begun_ns)
{
	uint64_t now_ns = clock_wall_ns();
	HG_LIST_EACH (node, batch) {
		struct store_op *op = HG_CONTAINER(node, struct store_op, node);
		op->begun_ns = begun_ns;
		op->ended_ns = now_ns;
	}
}

static void *work(void *arg)
{
	struct writer *w = HG_OBJ(arg, struct writer, WRITER_MAGIC);
	struct hg_list batch;
	hg_list_init(&batch);
	pthread_mutex_lock(&w->lock);
	for (;;) {
		uint64_t one = 1;
		while (hg_list_empty(&w->queued) && !w->stop)
			pthread_cond_wait(&w->work, &w->lock);
		if (hg_list_empty(&w->queued)) break;
		move_some(&w->queued, &batch, WRITER_BATCH_MAX);
		pthread_mutex_unlock(&w->lock);
		uint64_t begun_ns = clock_wall_ns();
		run_batch(w, &batch);
		stamp(&batch, begun_ns);
		pthread_mutex_lock(&w->lock);
		move_some(&batch, &w->finished, UINT32_MAX);
		/* Cannot fail but when the counter is full, and then the loop is awake anyway. */
		if (write(w->wake_fd, &one, sizeof one) < 0) continue;
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void deliver(struct writer *w)
{
	struct hg_list ready;
	hg_list_init(&ready);
	pthread_mutex_lock(&w->lock);
	move_some(&w->finished, &ready, UINT32_MAX);
	pthread_mutex_unlock(&w->lock);
	while (!hg_list_empty(&ready)) {
		struct store_op *op = HG_CONTAINER(hg_list_first(&ready), struct store_op, node);
		hg_list_remove(&op->node);
		w->pending--;
		w->done(w->arg, op);
	}
}

/* What one turn has brought is one commit: handed over one by one, the first would have a commit
 * of its own, and a thread woken for it, while the others are still being read. */
static void hand_over(struct writer *w)
{
	if (hg_list_empty(&w->fresh)) return;
	pthread_mutex_lock(&w->lock);
	move_some(&w->fresh, &w->queued, UINT32_MAX);
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
}

static void on_end_of_turn(struct loop *l, struct loop_task *t)
{
	(void)l;
	hand_over(HG_CONTAINER(t, struct writer, hand_over));
}

static void on_wake(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct writer *w = HG_CONTAINER(io, struct writer, wake);
	uint64_t n;
	(void)l;
	(void)events;
	if (read(w->wake_fd, &n, sizeof n) < 0) return;
	deliver(w);
}

/* Signals belong to the loop: the thread is born with all of them blocked. */
static bool start_thread(struct writer *w)
{
	sigset_t all, before;
	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
	w->started = pthread_create(&w->thread, NULL, work, w) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return w->started;
}

enum hg_rc writer_new(struct loop *l, struct rows *rows,
        void (*done)(void *arg, struct store_op *op), void *arg, struct writer **ret_writer)
{
	struct writer *w = calloc(1, sizeof *w);
	enum hg_rc rc = HG_E_NOMEM;
	if (!w) {
		rows_close(rows);
		return rc;
	}
	*w = (struct writer){
	        .magic = WRITER_MAGIC, .loop = l, .rows = rows, .done = done, .arg = arg};
	w->wake.fd = -1;
	hg_list_init(&w->fresh);
	loop_task_init(&w->hand_over, on_end_of_turn);
	hg_list_init(&w->queued);
	hg_list_init(&w->finished);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd < 0) goto out;
	rc = loop_io_start(l, &w->wake, w->wake_fd, EPOLLIN, on_wake);
	if (rc < 0) goto out;
	rc = start_thread(w) ? HG_OK : HG_E_NOMEM;
	if (rc < 0) goto out;
	*ret_writer = w;
	w = NULL;
out:
	writer_free(w);
	return rc;
}

bool writer_queue(struct writer *w, struct store_op *op)
{
	if (w->pending >= WRITER_QUEUE_MAX) return false;
	w->pending++;
	hg_list_append(&w->fresh, &op->node);
	loop_task_queue(w->loop, &w->hand_over);
	return true;
}

void writer_free(struct writer *w)
{
	if (!w) return;
	loop_task_cancel(&w->hand_over);
	if (w->started) {
		hand_over(w);
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		pthread_cond_signal(&w->work);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
		deliver(w);
	}
	loop_io_stop(w->loop, &w->wake);
	if (w->wake_fd >= 0) close(w->wake_fd);
	rows_close(w->rows);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
	w->magic = 0;
	free(w);
}
