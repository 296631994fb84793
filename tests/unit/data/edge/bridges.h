/*
 * The threads of bridges. Each ends by itself, soon after its connection; the last ones are waited
 * for when the program ends, as OpenSSL's own end frees what its threads still use.
 */
#ifndef TESTS_EDGE_BRIDGES_H
#define TESTS_EDGE_BRIDGES_H

#include <openssl/ssl.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BRIDGES 1024

static struct {
	pthread_mutex_t lock;
	struct bridge_thread {
		pthread_t thread;
		int plain, net; /* to the test, and to the edge; -1: closed */
		bool used;
	} slot[BRIDGES];
} bridges = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void bridges_end(void)
{
	pthread_mutex_lock(&bridges.lock);
	for (int i = 0; i < BRIDGES; i++) {
		struct bridge_thread *t = &bridges.slot[i];
		if (!t->used || t->plain < 0) continue;
		shutdown(t->plain, SHUT_RDWR);
		shutdown(t->net, SHUT_RDWR);
	}
	pthread_mutex_unlock(&bridges.lock);
	for (int i = 0; i < BRIDGES; i++)
		if (bridges.slot[i].used) pthread_join(bridges.slot[i].thread, NULL);
}

static inline void bridges_watch(void)
{
	OPENSSL_init_ssl(0, NULL); /* what is registered later is called earlier */
	if (atexit(bridges_end)) abort();
}

/* A place of one that has ended, or a new one. */
static inline struct bridge_thread *bridges_place(void)
{
	for (int i = 0; i < BRIDGES; i++) {
		struct bridge_thread *t = &bridges.slot[i];
		if (!t->used) return t;
		if (t->plain < 0 && pthread_tryjoin_np(t->thread, NULL) == 0) return t;
	}
	abort();
}

/* The two are closed by bridge_close() alone. */
static inline void bridge_start(void *(*run)(void *), void *arg, int plain, int net)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, bridges_watch);
	pthread_mutex_lock(&bridges.lock);
	struct bridge_thread *t = bridges_place();
	t->plain = plain;
	t->net = net;
	t->used = true;
	if (pthread_create(&t->thread, NULL, run, arg)) abort();
	pthread_mutex_unlock(&bridges.lock);
}

/* The last that a thread does. */
static inline void bridge_close(int plain, int net)
{
	pthread_mutex_lock(&bridges.lock);
	for (int i = 0; i < BRIDGES; i++) {
		struct bridge_thread *t = &bridges.slot[i];
		if (t->used && t->plain == plain) t->plain = -1;
	}
	close(net);
	close(plain);
	pthread_mutex_unlock(&bridges.lock);
}

#endif
