#include "store/store_priv.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const struct db_migration schema[] = {
        {1, "first",
                "CREATE TABLE kv(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
                "CREATE TABLE config(id INTEGER PRIMARY KEY, text BLOB NOT NULL,"
                " file TEXT NOT NULL, dir TEXT NOT NULL, environment TEXT NOT NULL,"
                " applied_ms INTEGER NOT NULL);"
                "CREATE TABLE app(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
                " scale INTEGER NOT NULL DEFAULT -1, scale_file INTEGER NOT NULL DEFAULT 0,"
                " release INTEGER NOT NULL DEFAULT 0, revision INTEGER NOT NULL DEFAULT 0,"
                " present INTEGER NOT NULL DEFAULT 0);"
                "CREATE TABLE release(app INTEGER NOT NULL REFERENCES app(id),"
                " number INTEGER NOT NULL, digest TEXT NOT NULL, spec TEXT NOT NULL,"
                " created_ms INTEGER NOT NULL, PRIMARY KEY(app, number)) WITHOUT ROWID;"
                /* AUTOINCREMENT: an id is never used again, also when its row is gone. */
                "CREATE TABLE replica(id INTEGER PRIMARY KEY AUTOINCREMENT,"
                " app INTEGER NOT NULL REFERENCES app(id), release INTEGER NOT NULL,"
                " revision INTEGER NOT NULL, number INTEGER NOT NULL, state INTEGER NOT NULL,"
                " pid INTEGER NOT NULL, address TEXT NOT NULL, flags INTEGER NOT NULL,"
                " restarts INTEGER NOT NULL, streak INTEGER NOT NULL,"
                " started_ms INTEGER NOT NULL, exit_ms INTEGER NOT NULL,"
                " exit_status INTEGER NOT NULL);"
                "INSERT INTO sqlite_sequence(name, seq) VALUES('replica', 1023);"
                "CREATE TABLE lane(lane INTEGER PRIMARY KEY, app INTEGER NOT NULL,"
                " release INTEGER NOT NULL, route TEXT NOT NULL);"
                "CREATE TABLE event(id INTEGER PRIMARY KEY AUTOINCREMENT, ts_ms INTEGER NOT NULL,"
                " kind TEXT NOT NULL, app TEXT NOT NULL, release INTEGER NOT NULL,"
                " replica INTEGER NOT NULL, text TEXT NOT NULL);"
                "CREATE INDEX event_app ON event(app, id);"
                "CREATE TABLE token(sha256 BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
                " role INTEGER NOT NULL, created_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL);"
                "CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, ts_ms INTEGER NOT NULL,"
                " who TEXT NOT NULL, what TEXT NOT NULL, target TEXT NOT NULL,"
                " result TEXT NOT NULL, text TEXT NOT NULL);"},
        /* Until then every release was made from the file, and there was one at a time. */
        {2, "releases under trial",
                "ALTER TABLE app ADD COLUMN trial INTEGER NOT NULL DEFAULT 0;"
                "ALTER TABLE app ADD COLUMN trial_revision INTEGER NOT NULL DEFAULT 0;"
                "ALTER TABLE app ADD COLUMN trial_replicas INTEGER NOT NULL DEFAULT 0;"
                "ALTER TABLE app ADD COLUMN recreate INTEGER NOT NULL DEFAULT 0;"
                "ALTER TABLE app ADD COLUMN serving_replicas INTEGER NOT NULL DEFAULT 0;"
                "ALTER TABLE app ADD COLUMN file_release INTEGER NOT NULL DEFAULT 0;"
                "ALTER TABLE app ADD COLUMN told INTEGER NOT NULL DEFAULT 0;"
                "UPDATE app SET file_release=release, told=release;"
                "ALTER TABLE release ADD COLUMN version TEXT NOT NULL DEFAULT '';"
                "ALTER TABLE release ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;"},
        {3, "rollouts",
                "CREATE TABLE rollout(id INTEGER PRIMARY KEY AUTOINCREMENT, app INTEGER NOT NULL,"
                " created_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL DEFAULT 0,"
                " old INTEGER NOT NULL, new INTEGER NOT NULL, promoted INTEGER NOT NULL,"
                " begun INTEGER NOT NULL, state BLOB NOT NULL, text TEXT NOT NULL);"
                "CREATE INDEX rollout_app ON rollout(app, id);"
                "CREATE TABLE quarantine(app INTEGER NOT NULL, release INTEGER NOT NULL,"
                " rollout INTEGER NOT NULL, PRIMARY KEY(app, release)) WITHOUT ROWID;"},
        {4, "objectives and incidents",
                "CREATE TABLE slo_hour(app INTEGER NOT NULL, hour INTEGER NOT NULL,"
                " counts BLOB NOT NULL, base BLOB NOT NULL, PRIMARY KEY(app, hour)) WITHOUT ROWID;"
                "CREATE TABLE incident(id INTEGER PRIMARY KEY AUTOINCREMENT, app TEXT NOT NULL,"
                " cause TEXT NOT NULL, title TEXT NOT NULL, priority INTEGER NOT NULL,"
                " state INTEGER NOT NULL, escalations INTEGER NOT NULL,"
                " opened_ms INTEGER NOT NULL, acknowledged_ms INTEGER NOT NULL,"
                " resolved_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL,"
                " first_event INTEGER NOT NULL, last_event INTEGER NOT NULL,"
                " assignee TEXT NOT NULL, runbook TEXT NOT NULL);"
                "CREATE INDEX incident_open ON incident(id) WHERE resolved_ms=0;"},
        {5, "alerts, silences and what was told",
                "CREATE TABLE notify(kind INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
                " PRIMARY KEY(kind, key)) WITHOUT ROWID;"},
        {6, "tokens that end, and the history of releases",
                "ALTER TABLE token ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0;"
                "ALTER TABLE token ADD COLUMN login INTEGER NOT NULL DEFAULT 0;"
                "ALTER TABLE token ADD COLUMN parent TEXT NOT NULL DEFAULT '';"
                "CREATE INDEX token_parent ON token(parent);"
                "CREATE INDEX rollout_release ON rollout(app, new, id);"},
};

#define REPLICA_COLUMNS                                                                      \
	"id,app,release,revision,number,state,pid,address,flags,restarts,streak,started_ms," \
	"exit_ms,exit_status"
#define EVENT_COLUMNS "id,ts_ms,kind,app,release,replica,text"
#define APP_COLUMNS                                                                              \
	"id,name,scale,scale_file,release,revision,present,trial,trial_revision,trial_replicas," \
	"recreate,file_release,told,serving_replicas"
#define ROLLOUT_COLUMNS "app,created_ms,ended_ms,old,new,promoted,begun,state,text"
#define INCIDENT_COLUMNS                                                                    \
	"app,cause,title,priority,state,escalations,opened_ms,acknowledged_ms,resolved_ms," \
	"due_ms,first_event,last_event,assignee,runbook"
#define TOKEN_COLUMNS "sha256,name,role,created_ms,used_ms,expires_ms,login,parent"
/* A token and what was made with it, and so on. */
#define TOKEN_FAMILY                                                                 \
	"WITH RECURSIVE family(name) AS (SELECT name FROM token WHERE name=$1 UNION" \
	" SELECT token.name FROM token JOIN family ON token.parent=family.name)"
#define RELEASE_COLUMNS "app,number,digest,spec,created_ms,version,kept"

static const char *const sql[Q_COUNT] = {
        [Q_KV_GET] = "SELECT value FROM kv WHERE key=$1",
        [Q_KV_SET] = "INSERT INTO kv VALUES($1,$2) ON CONFLICT(key) DO UPDATE SET value=$2",
        [Q_CONFIG_ADD] = "INSERT INTO config(text,file,dir,environment,applied_ms)"
                         " VALUES($1,$2,$3,$4,$5)",
        [Q_CONFIG_GET] = "SELECT text,file,dir,environment,applied_ms FROM config"
                         " ORDER BY id DESC LIMIT 1",
        [Q_APP_GET] = "SELECT " APP_COLUMNS " FROM app WHERE name=$1",
        [Q_APP_ADD] = "INSERT INTO app(name) VALUES($1)",
        [Q_APP_SET] = "UPDATE app SET scale=$2,scale_file=$3,release=$4,revision=$5,present=$6,"
                      "trial=$7,trial_revision=$8,trial_replicas=$9,recreate=$10,"
                      "file_release=$11,told=$12,serving_replicas=$13 WHERE id=$1",
        [Q_APPS] = "SELECT " APP_COLUMNS " FROM app ORDER BY name",
        [Q_RELEASE_ADD] = "INSERT INTO release(" RELEASE_COLUMNS ") VALUES($1,"
                          "(SELECT coalesce(max(number),0)+1 FROM release WHERE app=$1),"
                          "$2,$3,$4,$5,$6) RETURNING number",
        [Q_RELEASE_GET] = "SELECT " RELEASE_COLUMNS " FROM release WHERE app=$1 AND number=$2",
        [Q_RELEASES] = "SELECT " RELEASE_COLUMNS " FROM release"
                       " WHERE app=$1 ORDER BY number DESC",
        [Q_HISTORY] = "SELECT r.number,r.version,r.digest,r.created_ms,r.kept,"
                      "coalesce((SELECT rollout FROM quarantine q"
                      " WHERE q.app=r.app AND q.release=r.number),0),"
                      "coalesce((SELECT max(id) FROM rollout o"
                      " WHERE o.app=r.app AND o.new=r.number),0)"
                      " FROM release r WHERE r.app=$1 AND r.number<$2"
                      " ORDER BY r.number DESC LIMIT $3",
        [Q_RELEASE_NOTE] = "UPDATE release SET version=$3,kept=$4 WHERE app=$1 AND number=$2",
        [Q_REPLICA_ADD] = "INSERT INTO replica(" REPLICA_COLUMNS ")"
                          " VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14) RETURNING id",
        [Q_REPLICA_SET] = "UPDATE replica SET app=$2,release=$3,revision=$4,number=$5,state=$6,"
                          "pid=$7,address=$8,flags=$9,restarts=$10,streak=$11,started_ms=$12,"
                          "exit_ms=$13,exit_status=$14 WHERE id=$1",
        [Q_REPLICA_REMOVE] = "DELETE FROM replica WHERE id=$1",
        [Q_REPLICAS] = "SELECT " REPLICA_COLUMNS " FROM replica ORDER BY app,number,id",
        [Q_LANE_SET] = "INSERT OR REPLACE INTO lane(lane,app,release,route) VALUES($1,$2,$3,$4)",
        [Q_LANES_CLEAR] = "DELETE FROM lane",
        [Q_LANES] = "SELECT lane,app,release,route FROM lane ORDER BY lane",
        [Q_EVENT_ADD] = "INSERT INTO event(ts_ms,kind,app,release,replica,text)"
                        " VALUES($1,$2,$3,$4,$5,$6) RETURNING id",
        [Q_EVENTS] = "SELECT " EVENT_COLUMNS " FROM event WHERE id>$1 ORDER BY id LIMIT $2",
        [Q_EVENTS_APP] = "SELECT " EVENT_COLUMNS " FROM event WHERE app=$3 AND id>$1"
                         " ORDER BY id LIMIT $2",
        [Q_EVENTS_LAST] = "SELECT * FROM (SELECT " EVENT_COLUMNS " FROM event"
                          " ORDER BY id DESC LIMIT $1) ORDER BY id",
        [Q_EVENTS_LAST_APP] = "SELECT * FROM (SELECT " EVENT_COLUMNS " FROM event"
                              " WHERE app=$2 ORDER BY id DESC LIMIT $1) ORDER BY id",
        [Q_TOKEN_ADD] = "INSERT INTO token(" TOKEN_COLUMNS ") VALUES($1,$2,$3,$4,$5,$6,$7,$8)",
        [Q_TOKEN_FIND] = "SELECT " TOKEN_COLUMNS " FROM token WHERE sha256=$1",
        [Q_TOKEN_USED] = "UPDATE token SET used_ms=$2 WHERE sha256=$1 AND used_ms<$2-60000",
        [Q_TOKEN_REMOVE] = TOKEN_FAMILY " DELETE FROM token WHERE name IN family",
        [Q_TOKENS] = "SELECT " TOKEN_COLUMNS " FROM token ORDER BY name",
        [Q_TOKENS_PRUNE] = "DELETE FROM token WHERE expires_ms BETWEEN 1 AND $1",
        [Q_LOGINS] = "SELECT count(*) FROM token WHERE login=1 AND expires_ms>$1",
        [Q_ROLLOUT_ADD] = "INSERT INTO rollout(" ROLLOUT_COLUMNS ")"
                          " VALUES($2,$3,$4,$5,$6,$7,$8,$9,$10) RETURNING id",
        [Q_ROLLOUT_SET] = "UPDATE rollout SET app=$2,created_ms=$3,ended_ms=$4,old=$5,new=$6,"
                          "promoted=$7,begun=$8,state=$9,text=$10 WHERE id=$1",
        [Q_ROLLOUT_GET] = "SELECT id," ROLLOUT_COLUMNS " FROM rollout WHERE id=$1",
        [Q_ROLLOUTS] = "SELECT id," ROLLOUT_COLUMNS " FROM rollout"
                       " WHERE ($1=0 OR app=$1) ORDER BY id DESC LIMIT $2",
        [Q_ROLLOUTS_OPEN] = "SELECT id," ROLLOUT_COLUMNS " FROM rollout"
                            " WHERE ended_ms=0 AND ($1=0 OR app=$1) ORDER BY id DESC LIMIT $2",
        [Q_SLO_HOUR_SET] = "INSERT INTO slo_hour VALUES($1,$2,$3,$4)"
                           " ON CONFLICT(app,hour) DO UPDATE SET counts=$3,base=$4",
        [Q_SLO_HOURS] = "SELECT app,hour,counts,base FROM slo_hour WHERE app=$1 ORDER BY hour",
        [Q_SLO_HOURS_PRUNE] = "DELETE FROM slo_hour WHERE app=$1 AND hour<$2",
        [Q_INCIDENT_ADD] = "INSERT INTO incident(" INCIDENT_COLUMNS ")"
                           " VALUES($2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15)"
                           " RETURNING id",
        [Q_INCIDENT_SET] = "UPDATE incident SET app=$2,cause=$3,title=$4,priority=$5,state=$6,"
                           "escalations=$7,opened_ms=$8,acknowledged_ms=$9,resolved_ms=$10,"
                           "due_ms=$11,first_event=$12,last_event=$13,assignee=$14,runbook=$15"
                           " WHERE id=$1",
        [Q_INCIDENT_GET] = "SELECT id," INCIDENT_COLUMNS " FROM incident WHERE id=$1",
        [Q_INCIDENTS] = "SELECT id," INCIDENT_COLUMNS " FROM incident ORDER BY id DESC LIMIT $1",
        [Q_INCIDENTS_OPEN] = "SELECT id," INCIDENT_COLUMNS " FROM incident"
                             " WHERE resolved_ms=0 ORDER BY id DESC LIMIT $1",
        [Q_QUARANTINE_SET] = "INSERT INTO quarantine(app,release,rollout) VALUES($1,$2,$3)"
                             " ON CONFLICT(app,release) DO UPDATE SET rollout=excluded.rollout",
        [Q_QUARANTINE_GET] = "SELECT rollout FROM quarantine WHERE app=$1 AND release=$2",
        [Q_QUARANTINE_REMOVE] = "DELETE FROM quarantine WHERE app=$1 AND release=$2",
        [Q_NOTIFY_SET] = "INSERT INTO notify VALUES($1,$2,$3)"
                         " ON CONFLICT(kind,key) DO UPDATE SET value=excluded.value",
        [Q_NOTIFY_REMOVE] = "DELETE FROM notify WHERE kind=$1 AND key=$2",
        [Q_NOTIFY_EACH] = "SELECT key,value FROM notify WHERE kind=$1 ORDER BY key",
        [Q_AUDIT_ADD] = "INSERT INTO audit(ts_ms,who,what,target,result,text)"
                        " VALUES($1,$2,$3,$4,$5,$6)",
        [Q_AUDITS] = "SELECT id,ts_ms,who,what,target,result,text FROM audit"
                     " WHERE id<$1 ORDER BY id DESC LIMIT $2",
};

enum hg_rc store_stmt(
        struct store *s, enum store_q q, struct db_stmt **ret_stmt, struct hg_err *err)
{
	if (!s->stmt[q]) {
		enum hg_rc rc = db_prepare(s->db, sql[q], &s->stmt[q], err);
		if (rc < 0) return rc;
	}
	*ret_stmt = s->stmt[q];
	return HG_OK;
}

static enum hg_rc folder_make(const char *path, struct hg_err *err)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST) return HG_OK;
	return hg_err_set(err, errno == ENOSPC ? HG_E_DB_FULL : HG_E_DB_OPEN,
	        "could not create folder \"%s\": %s", path, strerror(errno));
}

enum hg_rc store_open(const char *data_dir, struct store **ret_store, struct hg_err *err)
{
	char path[PATH_MAX];
	struct db_migrated done;
	struct store *s = calloc(1, sizeof *s);
	if (!s) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	enum hg_rc rc = HG_E_INVALID;
	if ((size_t)snprintf(path, sizeof path, "%s/store", data_dir) + 16 > sizeof path) {
		(void)hg_err_set(err, rc, "the path of the data folder is too long");
		goto out;
	}
	rc = folder_make(path, err);
	if (rc < 0) goto out;
	size_t n = strlen(path);
	(void)snprintf(path + n, sizeof path - n, "/headgate.db");
	/* Control is the only writer: whoever else holds a lock is a visitor, and the loop must
	 * not wait for him for long. */
	struct db_options o = {.url = path, .durability = DB_FULL, .busy_ms = 500};
	rc = db_open(&o, &s->db, err);
	if (rc < 0) goto out;
	rc = db_migrate(s->db, schema, HG_COUNT(schema), &done, err);
	if (rc < 0) goto out;
	*ret_store = s;
	s = NULL;
out:
	store_close(s);
	return rc;
}

void store_close(struct store *s)
{
	if (!s) return;
	for (int q = 0; q < Q_COUNT; q++)
		db_stmt_free(s->stmt[q]);
	db_close(s->db);
	free(s);
}

enum hg_rc store_begin(struct store *s, struct hg_err *err)
{
	return db_begin(s->db, err);
}

enum hg_rc store_commit(struct store *s, struct hg_err *err)
{
	enum hg_rc rc = db_commit(s->db, err);
	if (rc < 0) store_tokens_forget(s);
	return rc;
}

void store_rollback(struct store *s)
{
	store_tokens_forget(s);
	db_rollback(s->db);
}

bool store_in_transaction(const struct store *s)
{
	return db_in_transaction(s->db);
}

enum hg_rc store_kv_get(struct store *s, const char *key, struct hg_buf *to, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	enum hg_rc rc = store_stmt(s, Q_KV_GET, &q, err);
	if (rc < 0) return rc;
	db_bind_str(q, 1, hg_str(key));
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	if (!row) return HG_E_NOT_FOUND;
	hg_buf_str(to, db_column_blob(q, 0));
	db_reset(q);
	return to->failed ? hg_err_set(err, HG_E_NOMEM, "memory is exhausted") : HG_OK;
}

enum hg_rc store_kv_set(struct store *s, const char *key, struct hg_str value, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_KV_SET, &q, err);
	if (rc < 0) return rc;
	db_bind_str(q, 1, hg_str(key));
	db_bind_blob(q, 2, value);
	return db_run(q, err);
}

enum hg_rc store_kv_u64(struct store *s, const char *key, uint64_t *ret_v, struct hg_err *err)
{
	struct hg_buf b;
	hg_buf_init(&b, 64);
	enum hg_rc rc = store_kv_get(s, key, &b, err);
	uint64_t v = 0;
	if (rc == HG_E_NOT_FOUND)
		rc = HG_OK;
	else if (rc == HG_OK && !hg_str_u64(hg_buf_view(&b), &v))
		rc = hg_err_set(
		        err, HG_E_DB_CORRUPT, "value \"%s\" of the store is no number", key);
	hg_buf_free(&b);
	if (rc == HG_OK) *ret_v = v;
	return rc;
}

enum hg_rc store_kv_u64_set(struct store *s, const char *key, uint64_t v, struct hg_err *err)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%llu", (unsigned long long)v);
	return store_kv_set(s, key, (struct hg_str){text, (size_t)n}, err);
}

enum hg_rc store_config_set(struct store *s, const struct store_config *c, struct hg_err *err)
{
	struct db_stmt *q;
	if (c->text.n > STORE_CONFIG_MAX)
		return hg_err_set(err, HG_E_TOO_LARGE, "the configuration is larger than 16 MiB");
	enum hg_rc rc = store_stmt(s, Q_CONFIG_ADD, &q, err);
	if (rc < 0) return rc;
	db_bind_blob(q, 1, c->text);
	db_bind_str(q, 2, c->file);
	db_bind_str(q, 3, c->dir);
	db_bind_str(q, 4, c->environment);
	db_bind_i64(q, 5, (int64_t)c->applied_ms);
	return db_run(q, err);
}

enum hg_rc store_config_get(
        struct store *s, struct hg_buf *mem, struct store_config *ret_config, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	size_t at[5];
	enum hg_rc rc = store_stmt(s, Q_CONFIG_GET, &q, err);
	if (rc < 0) return rc;
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	if (!row) return HG_E_NOT_FOUND;
	/* Offsets first: the buffer moves while it grows. Each string is zero-terminated. */
	for (unsigned i = 0; i < 4; i++) {
		at[i] = mem->n;
		hg_buf_str(mem, i == 0 ? db_column_blob(q, i) : db_column_str(q, i));
		hg_buf_byte(mem, 0);
	}
	at[4] = mem->n;
	uint64_t applied_ms = (uint64_t)db_column_i64(q, 4);
	db_reset(q);
	if (mem->failed) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	struct hg_str part[4];
	for (unsigned i = 0; i < 4; i++)
		part[i] = (struct hg_str){mem->p + at[i], at[i + 1] - at[i] - 1};
	*ret_config = (struct store_config){part[0], part[1], part[2], part[3], applied_ms};
	return HG_OK;
}
