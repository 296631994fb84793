/* The part of command_move that moves people, their keys and votes, and the audit log. */
#ifndef FEEDBACK_MOVE_PRIV_H
#define FEEDBACK_MOVE_PRIV_H

#include "db/db.h"

/* Is the file of a version that has this table? */
HG_MUST enum hg_rc move_there(
        struct db *from, const char *table, bool *ret_there, struct hg_err *err);
/*
 * Copies them with their ids, a thousand rows a transaction; rows that are there already stay, so
 * that a run that was killed is taken up by the next. Sessions end: people sign in again.
 */
HG_MUST enum hg_rc move_people(struct db *from, struct db *to, struct hg_err *err);
/* HG_E_DB_QUERY: the two do not have as many of each. */
HG_MUST enum hg_rc move_people_same(struct db *from, struct db *to, struct hg_err *err);

#endif
