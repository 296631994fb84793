/* The steps of the schema that are built into the program, for either engine. */
#ifndef FEEDBACK_MIGRATIONS_PRIV_H
#define FEEDBACK_MIGRATIONS_PRIV_H

#include "db/db.h"

#define MIGRATIONS_MAX 64

struct migrations {
	struct db_migration step[MIGRATIONS_MAX];
	char name[MIGRATIONS_MAX][48]; /* `step` points here */
	size_t n;
};

void migrations_of(bool postgres, struct migrations *ret_m);
/* Brings the schema up to date. */
HG_MUST enum hg_rc migrations_apply(
        struct db *db, struct db_migrated *ret_done, struct hg_err *err);
/* HG_E_DB_MIGRATION when it is not. */
HG_MUST enum hg_rc migrations_check(struct db *db, struct hg_err *err);

#endif
