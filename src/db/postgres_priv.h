/*
 * The door's functions for a PostgreSQL address: one connection that blocks, for commands,
 * migrations and tests. What answers requests uses the pool.
 */
#ifndef DB_POSTGRES_PRIV_H
#define DB_POSTGRES_PRIV_H

#include "db/db.h"

struct postgres;
struct postgres_stmt;

HG_MUST enum hg_rc postgres_open(
        const struct db_options *o, struct postgres **ret_pg, struct hg_err *err);
void postgres_close(struct postgres *pg);
/* From another thread. */
void postgres_interrupt(struct postgres *pg);
HG_MUST enum hg_rc postgres_exec(
        struct postgres *pg, const char *sql, const char *tried, struct hg_err *err);
HG_MUST enum hg_rc postgres_prepare(
        struct postgres *pg, const char *sql, struct postgres_stmt **ret_stmt, struct hg_err *err);
void postgres_stmt_free(struct postgres_stmt *s);
/* `text` NULL: null. `blob`: bytes as they are, else text. */
void postgres_bind(struct postgres_stmt *s, unsigned n, const char *text, size_t size, bool blob);
HG_MUST enum hg_rc postgres_step(struct postgres_stmt *s, bool *ret_row, struct hg_err *err);
void postgres_reset(struct postgres_stmt *s);
/* Views until the next step or reset; empty for null. */
struct hg_str postgres_column(struct postgres_stmt *s, unsigned column);
struct hg_str postgres_column_blob(struct postgres_stmt *s, unsigned column);
bool postgres_column_null(struct postgres_stmt *s, unsigned column);
HG_MUST enum hg_rc postgres_commit(struct postgres *pg, struct hg_err *err);
bool postgres_in_transaction(const struct postgres *pg);
int64_t postgres_changes(const struct postgres *pg);

#endif
