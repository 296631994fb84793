/* What the program does besides serving: migrate, move, user, mail, webhooks. They print, and
 * return an exit status.
 */
#ifndef FEEDBACK_COMMANDS_PRIV_H
#define FEEDBACK_COMMANDS_PRIV_H

#include "base/err.h"

#include <stdio.h>

struct config;
struct outgoing;

/* `action`: "up", "down" or "status"; `steps`: of a way down. HG_E_INVALID: another action. */
HG_MUST enum hg_rc command_migrate(
        const char *url, struct hg_str action, uint32_t steps, FILE *out, struct hg_err *err);

/* A mail to `to`; prints the whole dialogue with the server. HG_E_IO: it was not sent. */
HG_MUST enum hg_rc command_mail_test(
        const struct outgoing *o, const char *to, FILE *out, struct hg_err *err);
/*
 * list; add URL, remove, rotate, enable, test ID: `what` is the word behind the action, or NULL.
 * HG_E_NOT_FOUND, HG_E_INVALID; HG_E_IO: the trial was no success.
 */
HG_MUST enum hg_rc command_webhooks(const struct config *c, struct hg_str action, const char *what,
        FILE *out, struct hg_err *err);

struct command_user {
	const char *url;
	bool migrate;             /* bring the schema up to date first */
	struct hg_str action;     /* add, list, role, disable, enable, password, totp-off */
	const char *email, *role; /* NULL: not given */
};

/* People, from the command line; a password comes from standard input. */
HG_MUST enum hg_rc command_user(const struct command_user *u, FILE *out, struct hg_err *err);

/* How many rows a transaction takes. */
#define MOVE_BATCH 500u

struct move_options {
	const char *from, *to; /* sqlite:PATH, postgres://… */
	uint32_t batch;        /* 0: MOVE_BATCH */
};

/*
 * Copies every row of a file to a PostgreSQL database: ids, times and keys are kept, the sequence
 * goes on behind them. The file is only read. After each batch the target knows how far it has
 * come, in the transaction of the batch, so that a run that was killed is taken up by the next.
 * At the end both are read whole and compared by count and hash. HG_E_INVALID: the target has rows
 * that are not from here; HG_E_DB_QUERY: a row cannot be moved, or the two differ.
 */
HG_MUST enum hg_rc command_move(const struct move_options *o, FILE *out, struct hg_err *err);

/* Microseconds since 1970 of "2026-11-21T07:12:23.109149Z", also with an offset, or none (UTC). */
HG_MUST bool move_time(struct hg_str t, int64_t *ret_us);

#endif
