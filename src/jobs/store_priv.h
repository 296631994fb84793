/* Between store.c (what workers do) and store_people.c (what people ask for). */
#ifndef JOBS_STORE_PRIV_H
#define JOBS_STORE_PRIV_H

#include "jobs/store.h"

enum statement {
	PUT,
	FIND,
	DUE_AT,
	CLAIM_RUN,
	CLAIM_SEND,
	TAKE,
	SENT,
	BEAT,
	END,
	IS_MINE,
	LAPSED,
	RESCUE,
	SWEEP,
	STATEMENTS
};

struct jobs_store {
	struct db *db;
	struct db_stmt *stmt[STATEMENTS];
	int64_t pretended_ms;
};

#endif
