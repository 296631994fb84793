/* Inside the store: the connection and its prepared statements, compiled on first use. */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include "db/db.h"
#include "store/store.h"

enum store_q {
	Q_KV_GET,
	Q_KV_SET,
	Q_CONFIG_ADD,
	Q_CONFIG_GET,
	Q_APP_GET,
	Q_APP_ADD,
	Q_APP_SET,
	Q_APPS,
	Q_RELEASE_ADD,
	Q_RELEASE_GET,
	Q_RELEASES,
	Q_HISTORY,
	Q_RELEASE_NOTE,
	Q_REPLICA_ADD,
	Q_REPLICA_SET,
	Q_REPLICA_REMOVE,
	Q_REPLICAS,
	Q_LANE_SET,
	Q_LANES_CLEAR,
	Q_LANES,
	Q_EVENT_ADD,
	Q_EVENTS,
	Q_EVENTS_APP,
	Q_EVENTS_LAST,
	Q_EVENTS_LAST_APP,
	Q_TOKEN_ADD,
	Q_TOKEN_FIND,
	Q_TOKEN_USED,
	Q_TOKEN_REMOVE,
	Q_TOKENS,
	Q_TOKENS_PRUNE,
	Q_LOGINS,
	Q_ROLLOUT_ADD,
	Q_ROLLOUT_SET,
	Q_ROLLOUT_GET,
	Q_ROLLOUTS,
	Q_ROLLOUTS_OPEN,
	Q_SLO_HOUR_SET,
	Q_SLO_HOURS,
	Q_SLO_HOURS_PRUNE,
	Q_INCIDENT_ADD,
	Q_INCIDENT_SET,
	Q_INCIDENT_GET,
	Q_INCIDENTS,
	Q_INCIDENTS_OPEN,
	Q_QUARANTINE_SET,
	Q_QUARANTINE_GET,
	Q_QUARANTINE_REMOVE,
	Q_NOTIFY_SET,
	Q_NOTIFY_REMOVE,
	Q_NOTIFY_EACH,
	Q_AUDIT_ADD,
	Q_AUDITS,
	Q_COUNT
};

/*
 * Tokens that were asked for lately: programs come with the same one many times a second, and each
 * look into the database is a transaction. Nobody else writes tokens, so a token is here as it is
 * there: adding, removing, pruning and rolling back empty all places.
 */
#define STORE_TOKENS_KEPT   16u /* by the first byte of the digest */
#define STORE_TOKEN_TEXT    160u
#define STORE_TOKEN_USED_MS 60000u /* Q_TOKEN_USED has it, too */

struct store_kept {
	bool there;
	struct store_token t; /* strings in `text` */
	char text[STORE_TOKEN_TEXT];
};

struct store {
	struct db *db;
	struct db_stmt *stmt[Q_COUNT];
	struct store_kept kept[STORE_TOKENS_KEPT];
};

void store_tokens_forget(struct store *s);

/* The statement, compiled if this is its first use. */
HG_MUST enum hg_rc store_stmt(
        struct store *s, enum store_q q, struct db_stmt **ret_stmt, struct hg_err *err);

#endif
