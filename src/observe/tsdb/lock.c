#include "observe/tsdb/lock.h"

void observe_lock_init(struct observe_lock *l)
{
	atomic_init(&l->next, 0);
	atomic_init(&l->serving, 0);
	HG_ASSERT(pthread_mutex_init(&l->m, NULL) == 0);
	HG_ASSERT(pthread_cond_init(&l->turn, NULL) == 0);
}

void observe_lock_fini(struct observe_lock *l)
{
	HG_ASSERT(atomic_load(&l->next) == atomic_load(&l->serving));
	(void)pthread_cond_destroy(&l->turn);
	(void)pthread_mutex_destroy(&l->m);
}

void observe_lock_take(void *lock)
{
	struct observe_lock *l = lock;
	unsigned mine = atomic_fetch_add(&l->next, 1);
	if (HG_LIKELY(atomic_load(&l->serving) == mine)) return;
	HG_ASSERT(pthread_mutex_lock(&l->m) == 0);
	while (atomic_load(&l->serving) != mine)
		(void)pthread_cond_wait(&l->turn, &l->m);
	(void)pthread_mutex_unlock(&l->m);
}

void observe_lock_give(void *lock)
{
	struct observe_lock *l = lock;
	unsigned after = atomic_load_explicit(&l->serving, memory_order_relaxed) + 1;
	HG_ASSERT(atomic_load_explicit(&l->next, memory_order_relaxed) != after - 1);
	atomic_store(&l->serving, after);
	/* One order for all four: who asks after the next line sees that it is his turn; who asked
	 * before it is seen here. The mutex lets nobody fall asleep between looking and waiting. */
	if (HG_LIKELY(atomic_load(&l->next) == after)) return;
	HG_ASSERT(pthread_mutex_lock(&l->m) == 0);
	(void)pthread_cond_broadcast(&l->turn);
	(void)pthread_mutex_unlock(&l->m);
}
