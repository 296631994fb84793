#include "apps/feedback/migrations_priv.h"

#include "base/embed.h"

extern const struct hg_embed feedback_migrations[];
extern const size_t feedback_migrations_count;

/* The text of a file by its name without the folder; NULL when there is none. */
static const char *text_of(bool postgres, struct hg_str name, const char *tail)
{
	char url[128];
	struct hg_out o = hg_out_over(url, sizeof url);
	hg_out_fmt(&o, "%s%.*s%s", postgres ? "/postgres/" : "/", HG_STR_ARG(name), tail);
	const struct hg_embed *f = hg_embed_find(feedback_migrations, feedback_migrations_count,
	        (struct hg_str){url, hg_out_failed(&o) ? 0 : o.n});
	return f ? f->data.p : NULL;
}

/* "/0002_total.sql" or "/postgres/0002_total.sql" → 2, "total"; with .down.sql the way back. */
void migrations_of(bool postgres, struct migrations *ret_m)
{
	struct hg_str folder = postgres ? HG_STR("/postgres/") : HG_STR("/");
	ret_m->n = 0;
	for (size_t i = 0; i < feedback_migrations_count; i++) {
		const struct hg_embed *f = &feedback_migrations[i];
		uint64_t version = 0;
		if (!hg_str_starts(f->url, folder) || hg_str_ends(f->url, HG_STR(".down.sql")))
			continue;
		struct hg_str whole = {f->url.p + folder.n, f->url.n - folder.n - strlen(".sql")};
		if (hg_str_find(whole, '/') < whole.n) continue;
		struct hg_str name = whole, number = hg_str_cut(&name, '_');
		size_t k = ret_m->n++;
		HG_ASSERT(k < MIGRATIONS_MAX);
		bool ok = hg_str_u64(number, &version) &&
		          hg_str_copy(name, ret_m->name[k], sizeof ret_m->name[k]);
		HG_ASSERT(ok);
		ret_m->step[k] = (struct db_migration){(uint32_t)version, ret_m->name[k], f->data.p,
		        text_of(postgres, whole, ".down.sql")};
	}
}

enum hg_rc migrations_apply(struct db *db, struct db_migrated *ret_done, struct hg_err *err)
{
	struct migrations m;
	migrations_of(db_is_postgres(db), &m);
	return db_migrate(db, m.step, m.n, ret_done, err);
}

static void count_missing(void *arg, const struct db_migration_state *state)
{
	unsigned *missing = arg;
	*missing += state->applied_at.n == 0;
}

enum hg_rc migrations_check(struct db *db, struct hg_err *err)
{
	struct migrations m;
	unsigned missing = 0;
	migrations_of(db_is_postgres(db), &m);
	enum hg_rc rc = db_migration_states(db, m.step, m.n, count_missing, &missing, err);
	if (rc < 0 || !missing) return rc;
	hg_err_set(
	        err, HG_E_DB_MIGRATION, "the schema lacks %u migrations of this program", missing);
	hg_err_hint(err, "Run feedback-app migrate up, or set DATABASE_MIGRATE=on.");
	return HG_E_DB_MIGRATION;
}
