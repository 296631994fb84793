/* The Feedback App's list and create on libmicrohttpd, SQLite and jansson, as one would write it:
 * one thread with epoll, one connection to the database, each create its own transaction. */
#include <jansson.h>
#include <microhttpd.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BODY_MAX 65536

struct app {
	sqlite3 *db;
	sqlite3_stmt *list, *insert, *count;
};

struct body {
	char bytes[BODY_MAX];
	size_t n;
	int too_large;
};

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	struct MHD_Response *r =
	        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	MHD_add_response_header(r, "Content-Type", "application/json");
	enum MHD_Result ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status, const char *what)
{
	return answer(c, status, json_pack("{s:s}", "error", what));
}

static enum MHD_Result list(struct app *a, struct MHD_Connection *c)
{
	const char *asked = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "limit");
	long limit = asked ? strtol(asked, NULL, 10) : 100;
	if (limit < 1 || limit > 1000)
		return refuse(c, 400, "limit must be a number from 1 to 1000");
	json_t *rows = json_array();
	sqlite3_bind_int64(a->list, 1, limit);
	while (sqlite3_step(a->list) == SQLITE_ROW)
		json_array_append_new(rows, json_pack("{s:I,s:s,s:s,s:s}", "id",
		                                    (json_int_t)sqlite3_column_int64(a->list, 0),
		                                    "message", sqlite3_column_text(a->list, 1),
		                                    "created_at", sqlite3_column_text(a->list, 2),
		                                    "updated_at", sqlite3_column_text(a->list, 3)));
	sqlite3_reset(a->list);
	return answer(c, 200, rows);
}

static void now_text(char *to, size_t cap)
{
	struct timeval tv;
	struct tm tm;
	gettimeofday(&tv, NULL);
	gmtime_r(&tv.tv_sec, &tm);
	size_t n = strftime(to, cap, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(to + n, cap - n, ".%06ldZ", (long)tv.tv_usec);
}

static enum MHD_Result create(struct app *a, struct MHD_Connection *c, const struct body *b)
{
	char now[64];
	json_error_t err;
	json_t *j = b->too_large ? NULL : json_loadb(b->bytes, b->n, 0, &err);
	const char *message = json_string_value(json_object_get(j, "message"));
	size_t n = message ? strlen(message) : 0;
	enum MHD_Result ok;
	if (n == 0) {
		ok = refuse(c, 400, "Message field is required and cannot be empty");
	} else if (n > 2000) {
		ok = refuse(c, 400, "Message cannot exceed 500 characters");
	} else {
		now_text(now, sizeof now);
		sqlite3_bind_text(a->insert, 1, message, (int)n, SQLITE_STATIC);
		sqlite3_bind_text(a->insert, 2, now, -1, SQLITE_STATIC);
		int rc = sqlite3_step(a->insert);
		sqlite3_reset(a->insert);
		ok = rc == SQLITE_DONE
		             ? answer(c, 201,
		                       json_pack("{s:I,s:s,s:s,s:s}", "id",
		                               (json_int_t)sqlite3_last_insert_rowid(a->db),
		                               "message", message, "created_at", now, "updated_at",
		                               now))
		             : refuse(c, 500, "Internal server error");
	}
	json_decref(j);
	return ok;
}

static enum MHD_Result health(struct app *a, struct MHD_Connection *c)
{
	long long n = sqlite3_step(a->count) == SQLITE_ROW ? sqlite3_column_int64(a->count, 0) : 0;
	sqlite3_reset(a->count);
	return answer(c, 200,
	        json_pack("{s:s,s:I}", "status", "healthy", "feedback_count", (json_int_t)n));
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *c, const char *url,
        const char *method, const char *version, const char *data, size_t *n, void **call)
{
	struct app *a = arg;
	struct body *b = *call;
	(void)version;
	if (!b) {
		*call = b = malloc(sizeof *b);
		if (!b) return MHD_NO;
		b->n = 0;
		b->too_large = 0;
		return MHD_YES;
	}
	if (*n) {
		if (*n > sizeof b->bytes - b->n)
			b->too_large = 1;
		else
			memcpy(b->bytes + b->n, data, *n), b->n += *n;
		*n = 0;
		return MHD_YES;
	}
	if (strcmp(url, "/health") == 0) return health(a, c);
	if (strcmp(url, "/feedback") != 0) return refuse(c, 404, "Not found");
	if (strcmp(method, "GET") == 0) return list(a, c);
	if (strcmp(method, "POST") == 0) return create(a, c, b);
	return refuse(c, 405, "Method not allowed");
}

static void completed(
        void *arg, struct MHD_Connection *c, void **call, enum MHD_RequestTerminationCode why)
{
	(void)arg, (void)c, (void)why;
	free(*call);
	*call = NULL;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *s = NULL;
	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK) return s;
	fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
	exit(1);
}

int main(void)
{
	struct app a = {0};
	const char *path = getenv("DATABASE_PATH"), *port = getenv("PORT"),
	           *sync = getenv("DATABASE_SYNC");
	char pragma[64];
	if (!path || !port || !sync || sqlite3_open(path, &a.db) != SQLITE_OK) return 1;
	snprintf(pragma, sizeof pragma, "PRAGMA synchronous = %s", sync);
	sqlite3_busy_timeout(a.db, 5000);
	sqlite3_exec(a.db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
	sqlite3_exec(a.db, pragma, NULL, NULL, NULL);
	sqlite3_exec(a.db,
	        "CREATE TABLE IF NOT EXISTS feedback(id INTEGER PRIMARY KEY AUTOINCREMENT, message "
	        "TEXT NOT NULL,"
	        " created_at TEXT NOT NULL, updated_at TEXT NOT NULL)",
	        NULL, NULL, NULL);
	a.list = prepare(a.db, "SELECT id, message, created_at, updated_at FROM feedback ORDER BY "
	                       "id DESC LIMIT ?");
	a.insert = prepare(
	        a.db, "INSERT INTO feedback(message, created_at, updated_at) VALUES (?1, ?2, ?2)");
	a.count = prepare(a.db, "SELECT count(*) FROM feedback");
	signal(SIGPIPE, SIG_IGN);
	struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO,
	        (uint16_t)strtoul(port, NULL, 10), NULL, NULL, handle, &a,
	        MHD_OPTION_CONNECTION_LIMIT, 1000u, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
	        MHD_OPTION_END);
	if (!d) return 1;
	pause();
	return 0;
}
