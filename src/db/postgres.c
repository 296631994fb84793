#include "db/postgres_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "db/libpq_priv.h"
#include "db/pool.h"

#define CONNECT_MS 5000u
#define BLOB_MAX   (64u << 20)

struct postgres {
	struct libpq pq;
	PGconn *conn;
	int socket; /* another descriptor of the connection's, for postgres_interrupt; -1: none */
	unsigned statements; /* names given so far */
	int64_t changes;
	char name[256]; /* the address without its password */
};

struct postgres_stmt {
	struct postgres *pg;
	char name[16];
	char *sql; /* for messages */
	char *value[DB_PARAMETERS_MAX];
	int length[DB_PARAMETERS_MAX], format[DB_PARAMETERS_MAX];
	int count;   /* the highest parameter that was bound */
	bool failed; /* no memory for a parameter */
	PGresult *result;
	int row;
	struct hg_buf blob;
};

/* Of a result, or of the connection when `r` is NULL. */
static enum hg_rc refuse(
        struct postgres *pg, const PGresult *r, const char *tried, struct hg_err *err)
{
	const char *state = r ? pg->pq.resultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
	const char *message = r ? pg->pq.resultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	enum hg_rc rc = libpq_rc_of(state);
	char words[256];
	libpq_words(message ? message : pg->pq.errorMessage(pg->conn), words, sizeof words);
	hg_err_set(err, rc, "could not %s database \"%.120s\": %s", tried, pg->name, words);
	if (rc == HG_E_DB_FULL) hg_err_hint(err, "Free space on the disk of the server.");
	return rc;
}

enum hg_rc postgres_open(const struct db_options *o, struct postgres **ret_pg, struct hg_err *err)
{
	char lock_ms[16];
	struct libpq_parameters p = {0};
	struct postgres *pg = calloc(1, sizeof *pg);
	enum hg_rc rc = HG_OK;
	if (!pg) return hg_err_set(err, HG_E_NOMEM, "not enough memory to open the database");
	pg->socket = -1;
	snprintf(lock_ms, sizeof lock_ms, "%u", o->busy_ms ? o->busy_ms : 5000u);
	struct libpq_wishes w = {.session = o->read_only ? "any" : "read-write",
	        .connect_ms = CONNECT_MS,
	        .lock_ms = lock_ms,
	        .name = "headgate"};
	db_url_text(o->url, pg->name, sizeof pg->name);
	rc = libpq_load(&pg->pq, err);
	if (rc < 0) {
		free(pg);
		return rc;
	}
	rc = libpq_parameters_of(&pg->pq, o->url, &w, &p, err);
	if (rc == HG_OK) {
		pg->conn = pg->pq.connectdbParams(p.key, p.value, 0);
		if (!pg->conn || pg->pq.status(pg->conn) != CONNECTION_OK) {
			char words[256] = "not enough memory";
			if (pg->conn) libpq_words(pg->pq.errorMessage(pg->conn), words, 256);
			rc = hg_err_set(err, HG_E_DB_OPEN, "could not open database \"%.120s\": %s",
			        pg->name, words);
			hg_err_hint(err, "The server must run, know the user and the database, and "
			                 "accept this address.");
		}
	}
	libpq_parameters_free(&pg->pq, &p);
	if (rc == HG_OK && o->durability == DB_NORMAL)
		rc = postgres_exec(pg, "SET synchronous_commit = off", "open", err);
	if (rc == HG_OK) /* notices would go to stderr */
		rc = postgres_exec(pg, "SET client_min_messages = warning", "open", err);
	if (rc < 0) {
		postgres_close(pg);
		return rc;
	}
	pg->socket = fcntl(pg->pq.socket(pg->conn), F_DUPFD_CLOEXEC, 3);
	*ret_pg = pg;
	return HG_OK;
}

/* libpq may close its own descriptor at any moment; this one is ours. */
void postgres_interrupt(struct postgres *pg)
{
	if (pg->socket >= 0) (void)shutdown(pg->socket, SHUT_RDWR);
}

void postgres_close(struct postgres *pg)
{
	if (!pg) return;
	if (pg->conn) pg->pq.finish(pg->conn);
	if (pg->socket >= 0) (void)close(pg->socket);
	free(pg);
}

static bool is_good(const struct postgres *pg, const PGresult *r)
{
	ExecStatusType s = pg->pq.resultStatus(r);
	return s == PGRES_COMMAND_OK || s == PGRES_TUPLES_OK || s == PGRES_EMPTY_QUERY;
}

enum hg_rc postgres_exec(
        struct postgres *pg, const char *sql, const char *tried, struct hg_err *err)
{
	PGresult *r = pg->pq.exec(pg->conn, sql);
	enum hg_rc rc = HG_OK;
	if (!r || !is_good(pg, r)) rc = refuse(pg, r, tried, err);
	if (r) pg->pq.clear(r);
	return rc;
}

enum hg_rc postgres_prepare(
        struct postgres *pg, const char *sql, struct postgres_stmt **ret_stmt, struct hg_err *err)
{
	struct postgres_stmt *s = calloc(1, sizeof *s);
	enum hg_rc rc = HG_OK;
	PGresult *r;
	if (!s || !(s->sql = strdup(sql))) {
		free(s);
		return hg_err_set(err, HG_E_NOMEM, "not enough memory to prepare a statement");
	}
	s->pg = pg;
	hg_buf_init(&s->blob, BLOB_MAX);
	snprintf(s->name, sizeof s->name, "s%u", pg->statements++);
	r = pg->pq.prepare(pg->conn, s->name, sql, 0, NULL);
	if (!r || !is_good(pg, r)) {
		rc = refuse(pg, r, "prepare a statement for", err);
		hg_err_detail(err, "%s", sql);
	}
	if (r) pg->pq.clear(r);
	if (rc < 0) {
		s->name[0] = 0;
		postgres_stmt_free(s);
		return rc;
	}
	*ret_stmt = s;
	return HG_OK;
}

void postgres_stmt_free(struct postgres_stmt *s)
{
	char sql[32];
	if (!s) return;
	postgres_reset(s);
	snprintf(sql, sizeof sql, "DEALLOCATE %s", s->name);
	/* In a transaction that has failed it is refused, and goes with the connection. */
	if (s->name[0]) (void)!postgres_exec(s->pg, sql, "change", NULL);
	hg_buf_free(&s->blob);
	free(s->sql);
	free(s);
}

void postgres_bind(struct postgres_stmt *s, unsigned n, const char *text, size_t size, bool blob)
{
	HG_ASSERT(n >= 1 && n <= DB_PARAMETERS_MAX && size < INT32_MAX);
	n--;
	free(s->value[n]);
	s->value[n] = NULL;
	s->count = HG_MAX(s->count, (int)n + 1);
	if (!text) return;
	s->value[n] = malloc(size + 1);
	if (!s->value[n]) {
		s->failed = true;
		return;
	}
	memcpy(s->value[n], text, size);
	s->value[n][size] = 0;
	s->length[n] = (int)size;
	s->format[n] = blob;
}

void postgres_reset(struct postgres_stmt *s)
{
	for (size_t i = 0; i < DB_PARAMETERS_MAX; i++) {
		free(s->value[i]);
		s->value[i] = NULL;
	}
	if (s->result) s->pg->pq.clear(s->result);
	s->result = NULL;
	s->failed = false;
}

static enum hg_rc run(struct postgres_stmt *s, struct hg_err *err)
{
	struct postgres *pg = s->pg;
	if (s->failed) return hg_err_set(err, HG_E_NOMEM, "not enough memory for a parameter");
	s->result = pg->pq.execPrepared(pg->conn, s->name, s->count, (const char *const *)s->value,
	        s->length, s->format, 0);
	s->row = -1;
	if (s->result && is_good(pg, s->result)) {
		pg->changes = strtoll(pg->pq.cmdTuples(s->result), NULL, 10);
		return HG_OK;
	}
	enum hg_rc rc = refuse(pg, s->result, "query", err);
	hg_err_detail(err, "%s", s->sql);
	return rc;
}

enum hg_rc postgres_step(struct postgres_stmt *s, bool *ret_row, struct hg_err *err)
{
	if (!s->result) {
		enum hg_rc rc = run(s, err);
		if (rc < 0) {
			postgres_reset(s);
			return rc;
		}
	}
	*ret_row = ++s->row < s->pg->pq.ntuples(s->result);
	if (!*ret_row) postgres_reset(s);
	return HG_OK;
}

struct hg_str postgres_column(struct postgres_stmt *s, unsigned column)
{
	const char *p = s->pg->pq.getvalue(s->result, s->row, (int)column);
	if (!p) return HG_STR("");
	return (struct hg_str){p, (size_t)s->pg->pq.getlength(s->result, s->row, (int)column)};
}

static unsigned nibble(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

/* bytea comes as "\x" and hexadecimal digits. */
struct hg_str postgres_column_blob(struct postgres_stmt *s, unsigned column)
{
	struct hg_str t = postgres_column(s, column);
	if (t.n < 2 || t.p[0] != '\\' || t.p[1] != 'x') return t;
	hg_buf_reset(&s->blob);
	for (size_t i = 2; i + 1 < t.n; i += 2)
		hg_buf_byte(&s->blob, (char)(nibble(t.p[i]) << 4 | nibble(t.p[i + 1])));
	return s->blob.failed ? HG_STR("") : hg_buf_view(&s->blob);
}

bool postgres_column_null(struct postgres_stmt *s, unsigned column)
{
	return s->pg->pq.getisnull(s->result, s->row, (int)column) == 1;
}

enum hg_rc postgres_commit(struct postgres *pg, struct hg_err *err)
{
	/* The server would call it a success, and roll back. */
	if (pg->pq.transactionStatus(pg->conn) == PQTRANS_INERROR)
		return hg_err_set(err, HG_E_DB_QUERY,
		        "could not commit to database \"%.120s\": a statement of it failed",
		        pg->name);
	return postgres_exec(pg, "COMMIT", "commit to", err);
}

bool postgres_in_transaction(const struct postgres *pg)
{
	PGTransactionStatusType t = pg->pq.transactionStatus(pg->conn);
	return t == PQTRANS_INTRANS || t == PQTRANS_INERROR;
}

int64_t postgres_changes(const struct postgres *pg)
{
	return pg->changes;
}
