/*
 * Exports: all feedback as one file, oldest first, as it was at one moment. Written beside its
 * place and renamed when it is whole and on the disk, so that there is never half a file; an
 * attempt that died is begun anew.
 */
#include "apps/feedback/jobs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/file.h"
#include "wire/json.h"

#include "apps/feedback/config_priv.h"
#include "apps/feedback/rows_priv.h"
#include "apps/feedback/sql_priv.h"

#define PAGE_ROWS  1000
#define TIMEOUT_MS (30u * 60u * 1000u)
#define BLOCK      (64u << 10)

struct export_kind {
	char database[512], dir[256];
};

struct export
{
	const struct export_kind *kind;
	struct db *db;
	bool csv;
	int fd;
	struct hg_buf out;
	int64_t rows;
};

static bool is_csv(struct hg_str format)
{
	return hg_str_eq(format, HG_STR("csv"));
}

bool jobs_export_path(const char *dir, int64_t id, struct hg_str format, char to[EXPORT_PATH_MAX])
{
	if (!is_csv(format) && !hg_str_eq(format, HG_STR("json"))) return false;
	int n = snprintf(
	        to, EXPORT_PATH_MAX, "%s/feedback-%" PRId64 ".%.*s", dir, id, HG_STR_ARG(format));
	return n > 0 && n < EXPORT_PATH_MAX;
}

/*
 * RFC 4180. A cell that a spreadsheet would take for a formula begins with an apostrophe: what
 * strangers wrote is not to be calculated on the reader's machine.
 */
static void csv_text(struct hg_buf *to, struct hg_str s)
{
	bool formula = s.n && memchr("=+-@\t\r", s.p[0], 6);
	hg_buf_byte(to, '"');
	if (formula) hg_buf_byte(to, '\'');
	while (s.n) {
		size_t n = hg_str_find(s, '"');
		hg_buf_str(to, (struct hg_str){s.p, n});
		if (n < s.n) hg_buf_cstr(to, "\"\"");
		n = HG_MIN(n + 1, s.n);
		s = (struct hg_str){s.p + n, s.n - n};
	}
	hg_buf_byte(to, '"');
}

/* Columns are only ever added, behind those that were there. */
#define CSV_HEAD "id,message,created_at,updated_at,votes,status\r\n"

enum { VOTES_COLUMN = 4, STATUS_COLUMN };

static void put_row(struct export *e, struct db_stmt *q)
{
	struct hg_buf *to = &e->out;
	enum status status = status_of(db_column_str(q, STATUS_COLUMN));
	if (e->csv) {
		hg_buf_str(to, db_column_str(q, 0));
		hg_buf_byte(to, ',');
		csv_text(to, db_column_str(q, 1));
		for (unsigned column = 2; column < STATUS_COLUMN; column++) {
			hg_buf_byte(to, ',');
			hg_buf_str(to, db_column_str(q, column));
		}
		hg_buf_byte(to, ',');
		hg_buf_cstr(to, status_name(status));
		hg_buf_cstr(to, "\r\n");
	} else {
		hg_buf_cstr(to, e->rows ? ",\n{\"id\":" : "\n{\"id\":");
		hg_buf_str(to, db_column_str(q, 0));
		hg_buf_cstr(to, ",\"message\":");
		json_quote(to, db_column_str(q, 1));
		hg_buf_cstr(to, ",\"created_at\":");
		json_quote(to, db_column_str(q, 2));
		hg_buf_cstr(to, ",\"updated_at\":");
		json_quote(to, db_column_str(q, 3));
		rows_end_json(ROWS_V2, db_column_i64(q, VOTES_COLUMN), status, to);
	}
	e->rows++;
}

static enum hg_rc flush(struct export *e, struct hg_err *err)
{
	int rc = e->out.failed ? -ENOMEM : file_write_all(e->fd, e->out.p, e->out.n);
	hg_buf_reset(&e->out);
	if (rc == 0) return HG_OK;
	return hg_err_set(err, rc == -ENOSPC ? HG_E_DB_FULL : HG_E_IO,
	        "could not write the export: %s", strerror(-rc));
}

#define ROWS(created, updated)                                                      \
	"SELECT id, message, " created ", " updated ", votes, status FROM feedback" \
	" WHERE id > $1 ORDER BY id LIMIT $2"
static const char file_rows[] = ROWS(SQL_FILE_TIME("created_at"), SQL_FILE_TIME("updated_at"));
static const char server_rows[] =
        ROWS(SQL_SERVER_TIME("created_at"), SQL_SERVER_TIME("updated_at"));

static enum hg_rc put_rows(struct export *e, const atomic_bool *stop, struct hg_err *err)
{
	struct db_stmt *q = NULL;
	int64_t last = INT64_MIN, before = -1;
	enum hg_rc rc = db_prepare(e->db, db_is_postgres(e->db) ? server_rows : file_rows, &q, err);
	while (rc == HG_OK && e->rows > before && !atomic_load(stop)) {
		bool row = false;
		before = e->rows;
		db_bind_i64(q, 1, last);
		db_bind_i64(q, 2, PAGE_ROWS);
		while (rc == HG_OK && (rc = db_step(q, &row, err)) == HG_OK && row) {
			last = db_column_i64(q, 0);
			put_row(e, q);
			if (e->out.n >= BLOCK) rc = flush(e, err);
		}
	}
	db_stmt_free(q);
	if (rc == HG_OK && atomic_load(stop)) rc = hg_err_set(err, HG_E_AGAIN, "stopped");
	return rc;
}

static enum hg_rc put_all(struct export *e, const atomic_bool *stop, struct hg_err *err)
{
	/* One moment, whoever writes meanwhile. */
	enum hg_rc rc = db_exec(e->db,
	        db_is_postgres(e->db) ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" : "BEGIN",
	        err);
	if (rc < 0) return rc;
	hg_buf_cstr(&e->out, e->csv ? CSV_HEAD : "[");
	rc = put_rows(e, stop, err);
	if (rc == HG_OK && !e->csv) hg_buf_cstr(&e->out, e->rows ? "\n]\n" : "]\n");
	db_rollback(e->db);
	return rc == HG_OK ? flush(e, err) : rc;
}

static enum hg_rc sync_and_rename(
        struct export *e, const char *temp, const char *path, struct hg_err *err)
{
	int dir = -1;
	bool ok = fsync(e->fd) == 0 && rename(temp, path) == 0;
	if (ok) {
		dir = file_open(e->kind->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		ok = dir >= 0 && fsync(dir) == 0;
		if (dir >= 0) close(dir);
	}
	if (ok) return HG_OK;
	return hg_err_set(err, HG_E_IO, "could not finish the export: %s", strerror(errno));
}

static enum hg_rc write_export(struct export *e, const char *path, const struct job *job,
        const atomic_bool *stop, struct hg_err *err)
{
	char temp[EXPORT_PATH_MAX + 32];
	struct db_options o = {.url = e->kind->database, .read_only = true};
	int made = file_mkdirs(e->kind->dir, 0755);
	/* A name of this claim's own: who lost the lease and does not know yet is not in the way.
	 */
	snprintf(temp, sizeof temp, "%s.%" PRId64 ".part", path, job->lease);
	e->fd = made < 0 ? made : file_open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (e->fd < 0)
		return hg_err_set(err, HG_E_IO, "could not write to \"%s\": %s", e->kind->dir,
		        strerror(-e->fd));
	enum hg_rc rc = db_open(&o, &e->db, err);
	if (rc == HG_OK) rc = put_all(e, stop, err);
	if (rc == HG_OK) rc = sync_and_rename(e, temp, path, err);
	if (rc < 0) unlink(temp);
	db_close(e->db);
	close(e->fd);
	return rc;
}

/* Files go with their jobs; so does what is left of attempts that died. */
static void sweep(const char *dir)
{
	time_t before = (time_t)(((int64_t)clock_wall_ms() - JOBS_KEEP_MS) / 1000);
	DIR *d = opendir(dir);
	struct dirent *f;
	if (!d) return;
	while ((f = readdir(d))) {
		struct stat st;
		if (strncmp(f->d_name, "feedback-", 9) != 0 ||
		        fstatat(dirfd(d), f->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		bool part = hg_str_ends(hg_str(f->d_name), HG_STR(".part"));
		time_t limit = part ? (time_t)(clock_wall_ms() / 1000) - 86400 : before;
		if (S_ISREG(st.st_mode) && st.st_mtime < limit) unlinkat(dirfd(d), f->d_name, 0);
	}
	closedir(d);
}

static enum job_verdict work_export(
        void *arg, struct job_run *run, const atomic_bool *stop, struct hg_buf *text)
{
	const struct job *job = job_of(run);
	struct export e = {.kind = arg};
	struct hg_err err = {0};
	char path[EXPORT_PATH_MAX], format[8] = "";
	if (!jobs_arg_str(job->args, "format", format, sizeof format) ||
	        !jobs_export_path(e.kind->dir, job->id, hg_str(format), path)) {
		hg_buf_cstr(text, "the format of an export is csv or json");
		return JOB_GIVE_UP;
	}
	e.csv = is_csv(hg_str(format));
	hg_buf_init(&e.out, BLOCK * 4);
	enum hg_rc rc = write_export(&e, path, job, stop, &err);
	hg_buf_free(&e.out);
	sweep(e.kind->dir);
	if (rc < 0)
		hg_buf_cstr(text, err.message);
	else
		hg_buf_fmt(text, "%" PRId64 " rows", e.rows);
	return rc < 0 ? JOB_RETRY : JOB_OK;
}

bool jobs_make_export(const struct jobs_context *c, struct job_kind *ret_kind)
{
	struct export_kind *k = calloc(1, sizeof *k);
	if (!k) return false;
	(void)hg_str_copy(hg_str(c->config->database), k->database, sizeof k->database);
	(void)hg_str_copy(hg_str(c->config->export_dir), k->dir, sizeof k->dir);
	*ret_kind = (struct job_kind){
	        .name = KIND_EXPORT, .work = work_export, .timeout_ms = TIMEOUT_MS, .arg = k};
	return true;
}

void jobs_unmake_export(void *arg)
{
	free(arg);
}
