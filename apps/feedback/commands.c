#include "apps/feedback/commands_priv.h"

#include "apps/feedback/migrations_priv.h"

static void print_state(void *arg, const struct db_migration_state *s)
{
	FILE *out = arg;
	const char *note = s->unknown   ? "  applied by a newer program"
	                   : s->changed ? "  CHANGED since it was applied"
	                                : "";
	fprintf(out, "%04u  %-20s  %.*s%s\n", s->version, s->name,
	        s->applied_at.n ? (int)s->applied_at.n : 7,
	        s->applied_at.n ? s->applied_at.p : "pending", note);
}

static enum hg_rc migrate(struct db *db, const struct migrations *m, struct hg_str action,
        uint32_t steps, FILE *out, struct hg_err *err)
{
	struct db_migrated done = {0};
	enum hg_rc rc;
	if (hg_str_eq(action, HG_STR("status")))
		return db_migration_states(db, m->step, m->n, print_state, out, err);
	bool up = hg_str_eq(action, HG_STR("up"));
	rc = up ? db_migrate(db, m->step, m->n, &done, err)
	        : db_migrate_down(db, m->step, m->n, steps, &done, err);
	if (rc == HG_OK)
		fprintf(out, "%s %u migration%s; the schema is at %u\n",
		        up ? "applied" : "took back", done.applied, done.applied == 1 ? "" : "s",
		        done.version);
	return rc;
}

enum hg_rc command_migrate(
        const char *url, struct hg_str action, uint32_t steps, FILE *out, struct hg_err *err)
{
	bool status = hg_str_eq(action, HG_STR("status"));
	struct db_options o = {.url = url, .durability = DB_FULL, .read_only = status};
	struct migrations m;
	struct db *db = NULL;
	if (!status && !hg_str_eq(action, HG_STR("up")) && !hg_str_eq(action, HG_STR("down"))) {
		hg_err_set(err, HG_E_INVALID, "migrate up, migrate down or migrate status");
		return HG_E_INVALID;
	}
	enum hg_rc rc = db_open(&o, &db, err);
	if (rc < 0) return rc;
	migrations_of(db_is_postgres(db), &m);
	rc = migrate(db, &m, action, steps, out, err);
	db_close(db);
	return rc;
}
