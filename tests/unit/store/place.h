/* A store in a folder of its own, for tests. Included behind store_priv.h and stdio.h. */
#ifndef TESTS_STORE_PLACE_H
#define TESTS_STORE_PLACE_H

#include <stdio.h>
#include <stdlib.h>

struct place {
	char dir[64];
	struct store *s;
	struct hg_err err;
};

static inline int open_fresh(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	assert_non_null(p);
	(void)snprintf(p->dir, sizeof p->dir, "/tmp/headgate-store-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	if (store_open(p->dir, &p->s, &p->err) < 0) fail_msg("%s", p->err.message);
	*state = p;
	return 0;
}

static inline int remove_all(void **state)
{
	struct place *p = *state;
	static const char *const names[] = {
	        "store/headgate.db", "store/headgate.db-wal", "store/headgate.db-shm", "store", ""};
	store_close(p->s);
	for (size_t i = 0; i < HG_COUNT(names); i++) {
		char path[128];
		(void)snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
		(void)remove(path);
	}
	free(p);
	return 0;
}

#endif
