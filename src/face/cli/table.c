#include "cli_priv.h"

#include "gen/cli_rows.h"

const struct cli_verb_row *cli_rows(size_t *ret_n)
{
	*ret_n = HG_COUNT(cli_verb_rows);
	return cli_verb_rows;
}

const struct cli_later *cli_laters(size_t *ret_n)
{
	*ret_n = HG_COUNT(cli_later_rows);
	return cli_later_rows;
}

const struct cli_group *cli_groups(size_t *ret_n)
{
	*ret_n = HG_COUNT(cli_group_rows);
	return cli_group_rows;
}

const struct cli_exit *cli_exits(size_t *ret_n)
{
	*ret_n = HG_COUNT(cli_exit_rows);
	return cli_exit_rows;
}

const struct cli_env *cli_envs(size_t *ret_n)
{
	*ret_n = HG_COUNT(cli_env_rows);
	return cli_env_rows;
}

const struct cli_flag *cli_common_flags(void)
{
	return cli_flags_all;
}

const char *cli_program_summary(void)
{
	return cli_summary;
}

const struct cli_verb_row *cli_row_find(struct hg_str name)
{
	for (size_t i = 0; i < HG_COUNT(cli_verb_rows); i++)
		if (hg_str_eq(hg_str(cli_verb_rows[i].name), name)) return &cli_verb_rows[i];
	return NULL;
}

const struct cli_later *cli_later_find(struct hg_str name)
{
	for (size_t i = 0; i < HG_COUNT(cli_later_rows); i++)
		if (hg_str_eq(hg_str(cli_later_rows[i].name), name)) return &cli_later_rows[i];
	return NULL;
}

static struct hg_str first_word(const char *name)
{
	struct hg_str rest = hg_str(name);
	return hg_str_cut(&rest, ' ');
}

bool cli_is_noun(struct hg_str word)
{
	for (size_t i = 0; i < HG_COUNT(cli_verb_rows); i++) {
		const char *name = cli_verb_rows[i].name;
		if (strchr(name, ' ') && hg_str_eq(first_word(name), word)) return true;
	}
	return false;
}

const struct cli_verb_row *cli_row_alone(struct hg_str noun)
{
	for (size_t i = 0; i < HG_COUNT(cli_verb_rows); i++)
		if (cli_verb_rows[i].alone && hg_str_eq(first_word(cli_verb_rows[i].name), noun))
			return &cli_verb_rows[i];
	return NULL;
}

static void consider(const char *name, struct hg_str given, uint32_t *best, const char **ret_best)
{
	uint32_t d = hg_str_distance(first_word(name), given);
	if (d < *best) {
		*best = d;
		*ret_best = name;
	}
}

const char *cli_nearest_verb(struct hg_str word)
{
	/* What other tools call the same thing. */
	static const char *const foreign[][2] = {{"start", "up"}, {"stop", "down"},
	        {"ps", "status"}, {"list", "status"}, {"ls", "status"}, {"tail", "logs"},
	        {"log", "logs"}, {"validate", "config check"}, {"lint", "config check"},
	        {"check", "config check"}, {"fmt", "config fmt"}, {"schema", "config schema"},
	        {"update", "reload"}, {"apply", "reload"}, {"release", "deploy"},
	        {"undo", "rollback"}};
	const char *nearest = NULL;
	uint32_t best = word.n <= 3 ? 2 : 3; /* "xy" is not near "up" */
	for (size_t i = 0; i < HG_COUNT(foreign); i++)
		if (hg_str_eq(hg_str(foreign[i][0]), word)) return foreign[i][1];
	for (size_t i = 0; i < HG_COUNT(cli_verb_rows); i++)
		consider(cli_verb_rows[i].name, word, &best, &nearest);
	for (size_t i = 0; i < HG_COUNT(cli_later_rows); i++)
		consider(cli_later_rows[i].name, word, &best, &nearest);
	return nearest;
}

const char *cli_nearest_flag(const struct cli_verb_row *row, struct hg_str name)
{
	const char *nearest = NULL;
	uint32_t best = name.n <= 3 ? 2 : 3;
	for (const struct cli_flag *f = row->flags; f->name; f++)
		consider(f->name, name, &best, &nearest);
	for (const struct cli_flag *f = cli_flags_all; f->name; f++)
		consider(f->name, name, &best, &nearest);
	return nearest;
}
