/* A folder of its own for each test, removed with the database files in it. */
#ifndef TESTS_UNIT_DB_DIR_H
#define TESTS_UNIT_DB_DIR_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct dir {
	char path[64];
	char db[80];
};

static int dir_setup(void **state)
{
	struct dir *d = calloc(1, sizeof *d);
	if (!d) return -1;
	snprintf(d->path, sizeof d->path, "/tmp/hg-db-test-XXXXXX");
	if (!mkdtemp(d->path)) return -1;
	snprintf(d->db, sizeof d->db, "%s/test.db", d->path);
	*state = d;
	return 0;
}

static int dir_teardown(void **state)
{
	static const char *const tails[] = {"", "-wal", "-shm"};
	struct dir *d = *state;
	for (size_t i = 0; i < HG_COUNT(tails); i++) {
		char name[96];
		snprintf(name, sizeof name, "%s%s", d->db, tails[i]);
		unlink(name);
	}
	rmdir(d->path);
	free(d);
	return 0;
}

#endif
