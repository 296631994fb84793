#include "apps/feedback/store_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <errno.h>
#include <sys/stat.h>

#include "db/pool.h"

#include "apps/feedback/store_pg_priv.h"
#include "apps/feedback/writer_priv.h"

struct store {
	struct rows *rows; /* to read */
	struct writer *writer;
	struct store_pg *pg; /* NULL: the two above */
};

/* The folder of the default database is made; whatever goes wrong, opening says it better. */
static void make_folder(const char *database)
{
	char path[sizeof((struct config *)0)->database];
	struct hg_str d = hg_str(database);
	if (hg_str_starts(d, HG_STR("sqlite:"))) d = (struct hg_str){d.p + 7, d.n - 7};
	if (hg_str_starts(d, HG_STR("//"))) d = (struct hg_str){d.p + 2, d.n - 2};
	if (!hg_str_copy(d, path, sizeof path)) return;
	for (char *c = path + (path[0] == '/'); *c; c++) {
		if (*c != '/') continue;
		*c = 0;
		if (mkdir(path, 0755) < 0 && errno != EEXIST) return;
		*c = '/';
	}
}

static enum hg_rc open_file(
        struct store *s, struct loop *l, const struct store_options *with, struct hg_err *err)
{
	struct rows_options o = {.url = with->config->database,
	        .durability = with->config->durability,
	        .as_is = !with->config->migrate,
	        .notify_email = with->config->notify_email,
	        .webhooks = with->config->webhooks};
	struct rows *writes = NULL;
	enum hg_rc rc;
	make_folder(o.url);
	rc = rows_open(&o, &writes, err);
	if (rc == HG_OK) rc = rows_open(&o, &s->rows, err);
	if (rc < 0) {
		rows_close(writes);
		return rc;
	}
	rc = writer_new(l, writes, with->done, with->arg, &s->writer);
	return rc < 0 ? hg_err_set(err, rc, "could not start the writer") : HG_OK;
}

enum hg_rc store_open(
        struct loop *l, const struct store_options *o, struct store **ret_store, struct hg_err *err)
{
	struct store *s = calloc(1, sizeof *s);
	if (!s) return hg_err_set(err, HG_E_NOMEM, "not enough memory to open the database");
	enum hg_rc rc = db_url_is_postgres(o->config->database) ? store_pg_open(l, o, &s->pg, err)
	                                                        : open_file(s, l, o, err);
	if (rc < 0)
		store_close(s);
	else
		*ret_store = s;
	return rc;
}

void store_close(struct store *s)
{
	if (!s) return;
	writer_free(s->writer);
	rows_close(s->rows);
	store_pg_close(s->pg);
	free(s);
}

struct rows *store_rows(struct store *s)
{
	return s->rows;
}

enum hg_rc store_queue(struct store *s, struct store_op *op, struct hg_err *err)
{
	if (s->pg) return store_pg_queue(s->pg, op, err);
	if (writer_queue(s->writer, op)) return HG_OK;
	return hg_err_set(err, HG_E_NOMEM, "the writer's queue is full");
}

void store_metrics(struct store *s, struct hg_buf *to)
{
	if (s->pg) store_pg_metrics(s->pg, to);
}

uint32_t store_position_s(const struct store *s)
{
	return s->pg ? store_pg_position_s(s->pg) : 0;
}
